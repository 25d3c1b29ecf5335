"""Numbers as texts that sort as the numbers do, exact for every decimal, so that a plain index over texts is one over numbers.

MongoDB's own decimals have 34 digits; FHIR's have as many as somebody wrote. A number other than 0 is written as in
0.54 x 10^1: its sign, where its first digit stands, its digits without the zeros at either end. So 5.4 is `p51054.`:

    p       positive ("n" negative, "o" zero)
    51 0    where the first digit stands, 0, in one digit (51; two digits 52; and for 10^-1 one digit 49, complemented)
    54      the digits
    .       the number itself ("-" just below it, "/" just above it)

What is negative sorts the other way round, so there every digit is taken from 9, and a ":" after them, which sorts after
any digit, puts -5.4 before -5. The last sign tells `less than 5` from `5`: no number lies between just below 5 and 5.

A fraction that no decimal is equal to (the 1/3600 of something an hour) keeps 60 digits: two such numbers sort as equal only
where they agree in all of these.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Literal

EARLIEST, LATEST = "", "~"  # before and after every text there is: the open ends of an interval

_FRACTION_DIGITS = 60
_BELOW, _ON, _ABOVE = "-", ".", "/"  # all of them before any digit
_SIDES = {-1: _BELOW, 0: _ON, 1: _ABOVE}
_AFTER_DIGITS = ":"
_COMPLEMENT = str.maketrans("0123456789", "9876543210")

Number = int | Decimal | Fraction


def sortable(number: Number, just: Literal[-1, 0, 1] = 0) -> str:
    """The text of a number, or of what is just below (-1) or above (1) it. Raises ValueError for what is not finite."""
    # asking for the type itself: Fraction has an abstract base, which makes isinstance slow
    is_negative, digits, exponent = _from_fraction(number) if type(number) is Fraction else _from_decimal(number)
    if not digits:
        return "o" + _SIDES[just]
    size = _exponent_text(exponent) + digits
    if is_negative:
        return "n" + size.translate(_COMPLEMENT) + _AFTER_DIGITS + _SIDES[just]
    return "p" + size + _SIDES[just]


def _from_decimal(number: Number) -> tuple[bool, str, int]:
    """Whether it is negative, its digits without outer zeros, and the power of ten of the first."""
    sign, figures, exponent = (number if isinstance(number, Decimal) else Decimal(int(number))).as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(f"{number} is no number")  # noqa: TRY004 - its type is right, its value has no place in the order
    digits = "".join(map(str, figures)).lstrip("0")
    return bool(sign), digits.rstrip("0"), exponent + len(digits) - 1


def _from_fraction(number: Fraction) -> tuple[bool, str, int]:
    top, bottom = abs(number.numerator), number.denominator
    places = _decimal_places(bottom)
    if places is not None:
        is_negative, digits, exponent = _from_decimal(number.numerator * 10**places // bottom)
        return is_negative, digits, exponent - places
    # one digit more than is kept, by the numbers' lengths in bits
    shift = _FRACTION_DIGITS + 2 + int((bottom.bit_length() - top.bit_length()) * 0.30103)
    quotient = top * 10**shift // bottom if shift >= 0 else top // (bottom * 10**-shift)
    digits = "".join(map(str, Decimal(quotient).as_tuple().digits))
    # it lies between these digits and the next number of as many: in the middle, for the order
    return number < 0, digits[:_FRACTION_DIGITS] + "5", len(digits) - 1 - shift


def _decimal_places(bottom: int) -> int | None:
    """How many decimals n/bottom has; None where they never end."""
    twos = (bottom & -bottom).bit_length() - 1
    rest, fives = bottom >> twos, 0
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    return max(twos, fives) if rest == 1 else None


@lru_cache(maxsize=1024)
def _exponent_text(exponent: int) -> str:
    digits = str(abs(exponent))
    if exponent >= 0:
        return f"{50 + len(digits)}{digits}"
    return f"{50 - len(digits)}{digits.translate(_COMPLEMENT)}"

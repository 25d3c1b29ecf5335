"""What dates, numbers and quantities have alike: a value is an interval, a query compares its own with it (R4 §3.1.1.4.5).

R4 words each prefix by the range of the search value and the range of the target value, and so do the tables here and in
`date`. Each says what one value must keep: `ne2026` finds a resource one of whose dates is not in 2026, and none that has no
date. Where a prefix is one thing or another (`ge`: above, or inside), it is two spans, each of which an index serves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from phb_fhir.fhir.dates import with_plus
from phb_fhir.outcome import Rejected
from phb_fhir.query import AnyOf, Bound, Node, Span
from phb_fhir.search.asking import malformed
from phb_fhir.search.kinds.keys import shown
from phb_fhir.search.kinds.kind import Asked, Index
from phb_fhir.search.order import EARLIEST, LATEST, sortable

PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
EXPONENT_MAX = 1_000  # the size of numbers that the codec takes, and that are reckoned with

_CHARACTERS_MAX = 1_000
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?")
_ONE_DIGIT = re.compile(r"-?[0-9][eE].*")


# ---- what is asked -----------------------------------------------------------------------------------------------


def split_prefix(asked: Asked, text: str) -> tuple[str, str]:
    """The prefix, `eq` where there is none, and the value. Raises Rejected (400) for letters that are no prefix."""
    if not text[:2].isalpha():
        return "eq", text
    if text[:2] not in PREFIXES:
        raise wrong(asked, f"the prefix '{text[:2]}' is not one of {', '.join(PREFIXES)}")
    return text[:2], text[2:]


def wrong(asked: Asked, why: str) -> Rejected:
    return malformed(f"{asked.name}={shown(asked.text)}: {why}")


class AskedNumber(NamedTuple):
    """A number, and half of its last digit: 100 is 100 and 0.5, 100.00 is 100 and 0.005 (R4 §3.1.1.4.6)."""

    value: Fraction
    half: Fraction


def parse_number(asked: Asked, text: str) -> AskedNumber:
    """Raises Rejected (400) for what is not written as a FHIR decimal, or is larger or smaller than any number stored."""
    written = with_plus(text)
    if len(written) > _CHARACTERS_MAX or not _DECIMAL.fullmatch(written):
        raise wrong(asked, f"'{shown(text)}' is no number; write it as 100, -5.40 or 1e2")
    number = Decimal(written)
    if abs(number.adjusted()) > EXPONENT_MAX:
        raise wrong(asked, f"'{shown(text)}' is too large, or too small, to be a measurement or money")
    place = number.as_tuple().exponent
    assert isinstance(place, int)  # noqa: S101 - the pattern knows no NaN
    # R4's own table reads 1e2 as [95, 105): where one digit stands before an exponent, the digit after it counts as known
    half = Fraction(5) * Fraction(10) ** (place - (2 if _ONE_DIGIT.fullmatch(written) else 1))
    return AskedNumber(Fraction(number), half)


def compare_number(
    parameter: str,
    prefix: str,
    asked: AskedNumber,
    *,
    unit: str | None = None,
    of: Callable[[Fraction], Decimal | Fraction] = lambda number: number,
) -> Node:
    """What a prefix asks of the intervals of numbers, which have both their ends (R4 §3.1.1.4.6).

    All but eq, ne and ap take the number as exact. `of` turns the numbers of the query into those of `unit`.
    """
    exact = sortable(of(asked.value))
    start, end = sortable(of(asked.value - asked.half)), sortable(of(asked.value + asked.half))
    near = abs(asked.value) / 10
    spans: dict[str, tuple[tuple[Bound, ...], ...]] = {
        "eq": ((Bound("lo", ">=", start), Bound("hi", "<", end)),),
        "ne": ((Bound("lo", "<", start),), (Bound("hi", ">=", end),)),
        "gt": ((Bound("hi", ">", exact),),),
        "lt": ((Bound("lo", "<", exact),),),
        "ge": ((Bound("hi", ">=", exact),),),
        "le": ((Bound("lo", "<=", exact),),),
        "sa": ((Bound("lo", ">", exact),),),
        "eb": ((Bound("hi", "<", exact),),),
        "ap": (
            (
                Bound("lo", "<=", sortable(of(asked.value + near))),
                Bound("hi", ">=", sortable(of(asked.value - near))),
            ),
        ),
    }
    return any_of(parameter, spans[prefix], unit)


def any_of(parameter: str, spans: tuple[tuple[Bound, ...], ...], unit: str | None = None) -> Node:
    nodes = tuple(Span(parameter, bounds, unit) for bounds in spans)
    return nodes[0] if len(nodes) == 1 else AnyOf(nodes)


# ---- what is kept ------------------------------------------------------------------------------------------------


class Ends(NamedTuple):
    """An interval as two texts that sort."""

    lo: str
    hi: str


def keep(made: Index, name: str, ends: Sequence[Ends], is_list: bool) -> None:
    """The sortable texts of these intervals, by a name: where the first begins and, of a list, the last."""
    if ends:
        made.lo[name] = min(one.lo for one in ends)
        if is_list:
            made.lo[f"{name}~max"] = max(one.lo for one in ends)


def number_of(value: Any) -> Decimal | None:
    """A finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    number = Decimal(value) if isinstance(value, int) else value
    return number if number.is_finite() else None


class Numbers(NamedTuple):
    """The numbers from `low` to `high` (None: without end); `-1` or `1` where it ends just below or above one of them."""

    low: Decimal | Fraction | None
    high: Decimal | Fraction | None
    low_just: Literal[-1, 0, 1] = 0
    high_just: Literal[-1, 0, 1] = 0

    def ends(self) -> Ends:
        low = EARLIEST if self.low is None else sortable(self.low, self.low_just)
        if self.low is self.high and self.low is not None:  # one number, as nearly all are
            return Ends(low, low)
        return Ends(low, LATEST if self.high is None else sortable(self.high, self.high_just))


def range_of(element: dict[str, Any]) -> Numbers | None:
    """The numbers of a Range; None where it states no end, or ends before it begins."""
    low, high = (_end_of(element.get(end)) for end in ("low", "high"))
    if (low is None and high is None) or (low is not None and high is not None and low > high):
        return None
    return Numbers(low, high)


def _end_of(quantity: Any) -> Decimal | None:
    return number_of(quantity.get("value")) if isinstance(quantity, dict) else None

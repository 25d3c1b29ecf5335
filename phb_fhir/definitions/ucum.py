"""Which units measure the same, and how many of one are one of the other: UCUM's units in base units, exactly.

A unit is a number times a product of base units (UCUM §17 to §25): mg/dL is 10 times g.m-3. `canonical` gives that number,
a Fraction and never a float, and the product as one text, its parts in alphabetical order, so that two units can be
compared exactly when their texts are equal. The facts are in `registers/ucum_units.tsv`.

* An arbitrary unit (§24), such as [iU], is a base unit of its own: 5 [iU]/mL is 5 000 000 [iU].m-3, and never grams.
* A temperature in Cel, [degF] or [degRe] has another zero (§21): it becomes K, and only by itself, not as part of a product.
* What is read off another function, such as [pH] or B, compares with itself only: no number of mol/L is found as a pH.
* As UCUM has it, mol and % are plain numbers, and a note in braces says nothing: {beats}/min is /min.

What `check_unit` refuses, and what is too large to reckon with, has no canonical unit.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal, Inexact
from fractions import Fraction
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from phb_fhir.definitions.terminology_ucum import check_unit

_TABLE = Path(__file__).parent / "registers" / "ucum_units.tsv"
_EXPONENT_MAX = 100  # of one unit; a length to the third and 10*24 are in use
_BITS_MAX = 4_096  # of either half of a factor: some 1200 digits
_EXACT = Context(prec=10_000, traps=[Inexact])  # digits, more than any factor of that size or any number stored needs

_TOKEN = re.compile(r"[./()]|\{[^{}]*\}|(?:\[[^\[\]]*\]|[^./(){}\[\]])+")
_NOTE = re.compile(r"\{[^{}]*\}")
_UNIT = re.compile(r"(?P<symbol>.+?)(?P<exponent>[+-]?[0-9]+)?")


class Canonical(NamedTuple):
    """A number of the unit, times `factor`, plus `offset`, is the number of `unit`.

    `decimals` are the two as decimals, where they are any: most are, and decimals are quicker to reckon with.
    """

    unit: str
    factor: Fraction
    offset: Fraction = Fraction(0)
    decimals: tuple[Decimal, Decimal] | None = None

    def of(self, number: Decimal | Fraction) -> Decimal | Fraction:
        """The number of the canonical unit, exactly."""
        if isinstance(number, Decimal) and self.decimals:
            return number.fma(*self.decimals, context=_EXACT)
        return Fraction(number) * self.factor + self.offset


def _canonical(unit: str, factor: Fraction, offset: Fraction = Fraction(0)) -> Canonical:
    try:
        return Canonical(unit, factor, offset, (_decimal(factor), _decimal(offset)))
    except Inexact:
        return Canonical(unit, factor, offset)


def _decimal(number: Fraction) -> Decimal:
    return _EXACT.divide(Decimal(number.numerator), Decimal(number.denominator))


class _Measure(NamedTuple):
    """A factor, and the exponents of base units that are not 0."""

    factor: Fraction
    powers: dict[str, int]

    def times(self, other: _Measure, sign: int) -> _Measure:
        """The product with `other` (1), or the quotient (-1). Raises ValueError if it grows beyond bounds."""
        powers = dict(self.powers)
        for base, power in other.powers.items():
            powers[base] = powers.get(base, 0) + sign * power
        factor = self.factor * other.factor if sign > 0 else self.factor / other.factor
        if max(factor.numerator.bit_length(), factor.denominator.bit_length()) > _BITS_MAX:
            raise ValueError("larger than any measure")
        return _Measure(factor, {base: power for base, power in powers.items() if power})

    def to_the(self, exponent: int) -> _Measure:
        if abs(exponent) > _EXPONENT_MAX:
            raise ValueError("larger than any measure")
        made, sign = _ONE, 1 if exponent > 0 else -1
        for _ in range(abs(exponent)):
            made = made.times(self, sign)
        return made


_ONE = _Measure(Fraction(1), {})


@lru_cache(maxsize=4096)
def canonical(code: str) -> Canonical | None:
    """The canonical unit of a UCUM code; None where there is none."""
    if check_unit(code):
        return None
    with_zero = _point(_NOTE.sub("", code))
    if with_zero:
        return with_zero
    try:
        measure, _ = _term(_TOKEN.findall(code), 0)
    except ValueError:
        return None
    return _canonical(_text(measure.powers), measure.factor)


def _text(powers: dict[str, int]) -> str:
    return ".".join(base if power == 1 else f"{base}{power}" for base, power in sorted(powers.items())) or "1"


# ---- the table ---------------------------------------------------------------------------------------------------


class _Units(NamedTuple):
    """`measured` are the definitions still to be worked out: a number and a unit; `own`, what can only be compared with itself."""

    prefixes: dict[str, Fraction]
    measured: dict[str, tuple[Fraction, str]]
    bases: frozenset[str]
    scales: frozenset[str]
    points: dict[str, tuple[Fraction, Fraction, str]]


@cache
def _units() -> _Units:
    rows = [line.split("\t") for line in _TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return _Units(
        prefixes={row[1]: Fraction(row[2]) for row in rows if row[0] == "prefix"},
        measured={row[1]: (Fraction(row[2]), row[3]) for row in rows if row[0] == "unit"},
        bases=frozenset(symbol for row in rows if row[0] in ("base", "arbitrary") for symbol in row[1].split(" ")),
        scales=frozenset(symbol for row in rows if row[0] == "scale" for symbol in row[1].split(" ")),
        points={row[1]: (Fraction(row[2]), Fraction(row[3]), row[4]) for row in rows if row[0] == "point"},
    )


def _point(code: str) -> Canonical | None:
    """Cel, [degF] and what else has a zero of its own, by itself and with a prefix; and a scale."""
    units = _units()
    symbol, size = _without_prefix(code, units.points.keys() | units.scales)
    if symbol in units.scales:
        return _canonical(symbol, size)
    if symbol not in units.points:
        return None
    zero, number, unit = units.points[symbol]
    step, _ = _term(_TOKEN.findall(unit), 0)
    factor = number * step.factor
    return _canonical(_text(step.powers), factor * size, zero * factor)


def _without_prefix(code: str, symbols: frozenset[str] | set[str]) -> tuple[str, Fraction]:
    """The symbol, and what its prefix is worth; the code itself where it is neither. `check_unit` saw to what may have one."""
    if code in symbols:
        return code, Fraction(1)
    for prefix, size in _units().prefixes.items():
        if code.startswith(prefix) and code[len(prefix) :] in symbols:
            return code[len(prefix) :], size
    return code, Fraction(1)


# ---- the grammar; check_unit has seen that it is kept ---------------------------------------------------------------


def _term(tokens: list[str], at: int) -> tuple[_Measure, int]:
    """Components joined by operators, from left to right; and where it ends."""
    made, sign = _ONE, 1
    while at < len(tokens) and tokens[at] != ")":
        part, at = tokens[at], at + 1
        if part in "./":
            sign = 1 if part == "." else -1
        elif part == "(":
            inner, closing = _term(tokens, at)
            made, at = made.times(inner, sign), closing + 1
        elif not part.startswith("{"):
            made = made.times(_unit(part), sign)
    return made, at


@lru_cache(maxsize=1024)
def _unit(text: str) -> _Measure:
    if text.isdigit():
        return _Measure(Fraction(_positive(text)), {})
    found = _UNIT.fullmatch(text)
    if found is None or found["exponent"] is None:
        return _symbol(text)
    return _symbol(found["symbol"]).to_the(int(found["exponent"]))


def _positive(text: str) -> int:
    number = int(text)
    if not number:
        raise ValueError("nothing is measured in noughts")
    return number


def _symbol(text: str) -> _Measure:
    """A unit with or without a prefix. Raises ValueError for one that cannot be part of a product."""
    units = _units()
    symbol, size = _without_prefix(text, units.bases | units.measured.keys())
    if symbol in units.bases:
        return _Measure(size, {symbol: 1})
    if symbol not in units.measured:
        raise ValueError(f"{text} cannot be multiplied")
    number, unit = units.measured[symbol]
    made, _ = _term(_TOKEN.findall(unit), 0)
    return _Measure(made.factor * number * size, made.powers)

"""Quantity parameters: a prefix, a number and, if it is stated, its unit (R4 §3.1.1.4.11).

    5.4                                    in whatever unit
    5.4||mg                                in what is written mg, as the code or as the unit for people
    5.4|http://unitsofmeasure.org|mg       as much as 5.4 mg, in any unit of UCUM: 0.0054 g is found
    5.4|http://other.example|mg            in this very unit
    10|urn:iso:std:iso:4217|GBP            Money

So a quantity is kept as it was written, under each way to name its unit; and where UCUM knows the unit, once more in base
units (`definitions/ucum`), under their name behind a "~". A Range is all from its low to its high. A comparator makes one too:
`<5` is all below 5, and 5 itself is not in it. SampledData has many numbers, of which R4 does not say which to take: none is kept.
What is there without a number is not missing (`:missing`), and no number finds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from sys import getsizeof
from typing import Any, NamedTuple

from phb_fhir.definitions.load import SearchParameter
from phb_fhir.definitions.ucum import Canonical, canonical
from phb_fhir.query import Node
from phb_fhir.search.escapes import split_escaped
from phb_fhir.search.kinds.interval import (
    EXPONENT_MAX,
    Ends,
    Numbers,
    compare_number,
    keep,
    number_of,
    parse_number,
    range_of,
    split_prefix,
    wrong,
)
from phb_fhir.search.kinds.keys import check_length, cut, escaped
from phb_fhir.search.kinds.kind import Asked, Index, Kind, OwnAddress, Value
from phb_fhir.search.order import EARLIEST, LATEST

UCUM = "http://unitsofmeasure.org"
CURRENCIES = "urn:iso:std:iso:4217"
CANONICAL = "~"  # in front of a canonical unit; no other unit is named without a bar

# is there without a number: every quantity is asked for in a unit ("" for any), and this has none
_NUMBERLESS: dict[str, Any] = {"lo": LATEST, "hi": EARLIEST, "u": []}
_SORTED_MAX = 64  # characters of a unit
_SMALL_BYTES = 500  # of an amount whose entries are kept at hand
_RIGHT = "write [number], [number]|[system]|[code] or [number]||[unit]"


# ---- what is asked -----------------------------------------------------------------------------------------------


def parse(asked: Asked) -> Node:
    number, *unit = split_escaped(asked.text, "|")
    if len(unit) not in (0, 2) or (len(unit) == 2 and unit[0] and not unit[1]):
        raise wrong(asked, f"it is no quantity; {_RIGHT}, and a '|' inside a part as '\\|'")
    prefix, text = split_prefix(asked, number)
    found = parse_number(asked, text)
    check_length(asked.name, asked.text)
    system, code = unit or ("", "")
    base = canonical(code) if system == UCUM else None
    if base:
        return compare_number(asked.parameter.code, prefix, found, unit=CANONICAL + base.unit, of=base.of)
    return compare_number(asked.parameter.code, prefix, found, unit=_name(system, code) if code else "")


def _name(system: str, code: str) -> str:
    return cut(f"{escaped(system)}|{code}")


# ---- what is kept ------------------------------------------------------------------------------------------------


class _Amount(NamedTuple):
    """Numbers and their unit: the one for people, and the code in its system."""

    numbers: Numbers
    unit: str
    system: str
    code: str

    def names(self) -> tuple[str, ...]:
        """Each way to ask for the unit."""
        named = [""]
        if self.unit:
            named.append(_name("", self.unit))
        if self.code:
            named += [_name("", self.code), _name(self.system, self.code)]
        return tuple(dict.fromkeys(named))

    def kept(self) -> _Kept:
        """What is kept of it; at hand for a while, where it is small: several parameters and composites look at one element."""
        size = getsizeof(self.numbers.low) + getsizeof(self.numbers.high)
        is_small = size + len(self.unit) + len(self.system) + len(self.code) <= _SMALL_BYTES
        return _kept_at_hand(self) if is_small else _kept(self)

    def canonical(self) -> tuple[str, Ends] | None:
        base = canonical(self.code) if self.system == UCUM and self.code else None
        if base is None or not (_can_be_reckoned(self.numbers.low) and _can_be_reckoned(self.numbers.high)):
            return None
        return base.unit, _converted(self.numbers, base).ends()


def index(made: Index, parameter: SearchParameter, values: Sequence[Value], is_list: bool, own: OwnAddress) -> None:  # noqa: ARG001
    code = parameter.code
    kept = [amount.kept() for _, element in values for amount in _amounts(element)]
    if kept:
        rows = dict.fromkeys(row for one in kept for row in one.rows)
        made.spans[code] = [{"lo": ends.lo, "hi": ends.hi, "u": list(names)} for ends, names in rows]
        keep(made, code, [one.written for one in kept], is_list)
        keep(made, f"{code}~unit", [one.sized for one in kept], is_list)
    elif any(type(element) is dict for _, element in values):
        made.spans[code] = [dict(_NUMBERLESS)]


class _Kept(NamedTuple):
    """What is kept of an amount: its intervals, each with the names of its unit, and what it is sorted by.

    `sized` has the unit in front, so that what can be compared sorts together.
    """

    rows: tuple[tuple[Ends, tuple[str, ...]], ...]
    written: Ends
    sized: Ends


def _kept(amount: _Amount) -> _Kept:
    ends, names = amount.numbers.ends(), amount.names()
    rows: tuple[tuple[Ends, tuple[str, ...]], ...] = ((ends, names),)
    unit, size = amount.code or amount.unit, ends
    if in_base := amount.canonical():
        unit, size = in_base
        rows += ((size, (CANONICAL + unit,)),)
    return _Kept(rows, ends, Ends(f"{unit[:_SORTED_MAX]}|{size.lo}", ""))


_kept_at_hand = lru_cache(maxsize=1_024)(_kept)


def _amounts(element: Any) -> Iterator[_Amount]:
    if not isinstance(element, dict):
        return
    if "low" in element or "high" in element:
        yield from _of_range(element)
    elif (number := number_of(element.get("value"))) is not None:
        numbers = _compared(number, element.get("comparator"))
        if isinstance(currency := element.get("currency"), str):
            yield _Amount(numbers, "", CURRENCIES, currency)
        else:
            yield _Amount(numbers, *_unit(element))


def _compared(number: Decimal, comparator: Any) -> Numbers:
    """What a Quantity with this comparator (R4 §2.24.0.9) may be."""
    match comparator:
        case "<":
            return Numbers(None, number, 0, -1)
        case "<=":
            return Numbers(None, number)
        case ">=":
            return Numbers(number, None)
        case ">":
            return Numbers(number, None, 1, 0)
    return Numbers(number, number)


def _of_range(element: dict[str, Any]) -> Iterator[_Amount]:
    """A Range in one unit; where its ends state two, each is a measure of its own, and no interval can be made of them."""
    units = {_unit(end) for end in (element.get("low"), element.get("high")) if isinstance(end, dict)}
    numbers = range_of(element)
    if numbers and len(units) == 1:
        yield _Amount(numbers, *units.pop())


def _unit(quantity: dict[str, Any]) -> tuple[str, str, str]:
    unit, system, code = (
        part if isinstance(part := quantity.get(name), str) else "" for name in ("unit", "system", "code")
    )
    return unit, system, code


def _can_be_reckoned(number: Decimal | Fraction | None) -> bool:
    return not isinstance(number, Decimal) or abs(number.adjusted()) <= EXPONENT_MAX


def _converted(numbers: Numbers, base: Canonical) -> Numbers:
    low = None if numbers.low is None else base.of(numbers.low)
    if numbers.low is numbers.high:
        return Numbers(low, low)
    return Numbers(low, None if numbers.high is None else base.of(numbers.high), numbers.low_just, numbers.high_just)


KIND = Kind(modifiers=(), parse=parse, index=index, sort="lo")

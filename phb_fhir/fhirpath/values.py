"""What a FHIRPath expression computes with: items, and when two of them are equal, before or after one another.

An item is a JSON value together with its FHIR type and, for a primitive, its `_` twin: `("2026-04", "date", None)`.
A primitive of which only the twin is there has the value None. What an expression computes itself has a System type:
`(True, "System.Boolean", None)`. A collection is a list of items, and nobody changes one that was handed to him.

Sources: FHIRPath N1 §5 and §6 (http://hl7.org/fhirpath/N1).
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any, TypeAlias

from phb_fhir.definitions.ucum import canonical

Item: TypeAlias = "tuple[Any, str, Any]"
Items: TypeAlias = "list[Item]"

TRUE: Items = [(True, "System.Boolean", None)]
FALSE: Items = [(False, "System.Boolean", None)]
NOTHING: Items = []

DATES = frozenset(("date", "dateTime", "instant", "System.Date", "System.DateTime"))
TIMES = frozenset(("time", "System.Time"))
QUANTITIES = frozenset(
    ("Quantity", "Age", "Count", "Distance", "Duration", "MoneyQuantity", "SimpleQuantity", "System.Quantity")
)


class NotEvaluableError(Exception):
    """The expression cannot be evaluated, here or on this data; the text says why, as the end of a sentence."""


class TooCostlyError(Exception):
    """The expressions are more work on this resource than this server does for one request."""


class Steps:
    """How much work the expressions of one validation may still be."""

    __slots__ = ("left",)

    def __init__(self, steps_max: int) -> None:
        self.left = steps_max

    def take(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise TooCostlyError


def boolean(value: object) -> Items:
    """An answer as a collection."""
    return TRUE if value else FALSE


def system(value: Any) -> Items:
    """A value that was computed, as a collection; None is none."""
    return NOTHING if value is None else [(value, _SYSTEM_TYPES.get(type(value), "System.Decimal"), None)]


_SYSTEM_TYPES: dict[type, str] = {bool: "System.Boolean", int: "System.Integer", str: "System.String"}


def is_primitive(type_name: str) -> bool:
    """FHIR writes the names of primitive types with a small first letter (R4 §2.24)."""
    return type_name[:1].islower() or type_name in _SYSTEM_PRIMITIVES


_SYSTEM_PRIMITIVES = frozenset(
    f"System.{name}" for name in ("Boolean", "String", "Integer", "Decimal", "Date", "DateTime", "Time")
)


def one(items: Items, asking: str) -> Item | None:
    """The only item of a collection; None where it is empty, or has an element without a value."""
    if len(items) > 1:
        raise NotEvaluableError(f"{asking} wants one value and there are {len(items)}")
    return items[0] if items and items[0][0] is not None else None


def text_of(items: Items, asking: str) -> str | None:
    """The only text of a collection; None where there is none."""
    item = one(items, asking)
    if item is None:
        return None
    value = item[0]
    if type(value) is not str:
        raise NotEvaluableError(f"{asking} wants a text")
    return value


def truth(items: Items) -> bool | None:
    """A collection where true or false is wanted: one value that is not a boolean counts as true (N1 §4.5).

    A boolean element without a value is not true; HL7's own validator has it so.
    """
    if not items:
        return None
    if len(items) > 1:
        raise NotEvaluableError(f"true or false is wanted and there are {len(items)} values")
    value, type_name, _ = items[0]
    return value if type(value) is bool else type_name != "boolean"


# ---- equality --------------------------------------------------------------------------------------


def is_equal(left: Item, right: Item, steps: Steps) -> bool | None:
    """Whether two items are equal; None where that cannot be said: dates of different precision (N1 §6.1.1)."""
    a, b = left[0], right[0]
    if type(a) is str and type(b) is str and left[1] not in DATES and right[1] not in DATES:
        return a == b if left[1] not in TIMES or right[1] not in TIMES else _is_none(compared_times(a, b))
    if left[1] in QUANTITIES and right[1] in QUANTITIES and "System.Quantity" in (left[1], right[1]):
        return _is_none(compared_quantities(a, b))  # what an expression measures is compared as a measure
    if type(a) is dict and type(b) is dict and (a is b or len(a) != len(b)):
        return a is b
    if left[1] in DATES and right[1] in DATES and type(a) is str and type(b) is str:
        return _is_none(compared_dates(a, b))
    return key_of(left, steps) == key_of(right, steps)


def _is_none(difference: int | None) -> bool | None:
    return None if difference is None else difference == 0


def key_of(item: Item, steps: Steps) -> Hashable:
    """A key that equal items share: numbers by their value, objects by all their properties."""
    value, type_name, _ = item
    if type(value) is str:
        return (*moment, "moment") if type_name in DATES and (moment := moment_of(value)) is not None else value
    if type_name == "System.Quantity":
        return _frozen({"value": value["value"], "unit": value.get("code") or value.get("unit")}, steps)
    return _frozen(value, steps)


def _frozen(value: Any, steps: Steps) -> Hashable:
    if type(value) is dict:
        steps.take(len(value))
        return frozenset((name, _frozen(child, steps)) for name, child in value.items())
    if type(value) is list:
        steps.take(len(value))
        return tuple(_frozen(child, steps) for child in value)
    return (value,) if type(value) is bool else value  # True is not 1


def distinct(items: Iterable[Item], steps: Steps) -> Items:
    """The items without repetitions, in the order of their first appearance."""
    found: dict[Hashable, Item] = {}
    for item in items:
        steps.take(1)
        found.setdefault(key_of(item, steps), item)
    return list(found.values())


def is_equivalent(left: Items, right: Items, steps: Steps) -> bool:
    """`~`: order, letter case and white space do not matter, nor digits that the other of two numbers lacks (N1 §6.1.3)."""
    if len(left) != len(right):
        return False
    if len(left) == 1 and (alike := _alike(left[0], right[0])) is not None:
        return alike
    steps.take(4 * len(left))
    return sorted(map(repr, (_loose(item, steps) for item in left))) == sorted(
        map(repr, (_loose(item, steps) for item in right))
    )


def _alike(left: Item, right: Item) -> bool | None:
    """Whether two numbers, or two measures, are equivalent; None of anything else."""
    a, b = left[0], right[0]
    if is_number(a) and is_number(b):
        return _rounded_alike(Decimal(a), Decimal(b))
    if left[1] in QUANTITIES and right[1] in QUANTITIES and "System.Quantity" in (left[1], right[1]):
        return compared_quantities(a, b) == 0
    return None


def is_number(value: Any) -> bool:
    return isinstance(value, int | Decimal) and type(value) is not bool


def _rounded_alike(a: Decimal, b: Decimal) -> bool:
    """Compared with the places of whichever has fewer; noughts at the end are none."""
    places = min(0, max(int(number.normalize().as_tuple().exponent) for number in (a, b)))
    unit = Decimal(1).scaleb(places)
    return a == b or a.quantize(unit, ROUND_HALF_UP) == b.quantize(unit, ROUND_HALF_UP)


def _loose(item: Item, steps: Steps) -> Hashable:
    value = item[0]
    if type(value) is str and item[1] not in DATES:
        return " ".join(value.lower().split())
    if isinstance(value, Decimal):
        return value.normalize()
    return key_of(item, steps)


# ---- dates and times -------------------------------------------------------------------------------

_MOMENT = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(?:(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d{1,9})?))?)?)?(Z|[+-]\d\d:\d\d)?)?)?)?"
)
_TIME = re.compile(r"(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d{1,9})?))?)?")


def compared_dates(left: str, right: str) -> int | None:
    """-1, 0 or 1; None where the less precise of the two leaves it open, or one is no date.

    HL7's own validator decides likewise: part by part from the year, in UTC where there is a time.
    """
    return _compared_parts(moment_of(left), moment_of(right))


def compared_times(left: str, right: str) -> int | None:
    """-1, 0 or 1; None where the less precise of the two leaves it open."""
    return _compared_parts(_time_of(left), _time_of(right))


def _compared_parts(left: tuple[Any, ...] | None, right: tuple[Any, ...] | None) -> int | None:
    if left is None or right is None:
        return None
    for a, b in zip(left, right, strict=False):
        if a != b:
            return -1 if a < b else 1
    return 0 if len(left) == len(right) else None


@lru_cache(maxsize=2048)
def moment_of(text: str) -> tuple[Any, ...] | None:
    """Year, month, day, hour, minute and second as far as they are given, in UTC; None for what is no date."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    *parts, second, zone = found.groups()
    numbers = [int(part) for part in parts if part is not None]
    if zone not in (None, "Z") and len(numbers) == 5:
        sign = -1 if zone[0] == "+" else 1
        try:
            at = datetime(*numbers, tzinfo=UTC) + sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))  # type: ignore[arg-type, misc]
        except (ValueError, OverflowError):
            return None
        numbers = [at.year, at.month, at.day, at.hour, at.minute]
    return (*numbers, Decimal(second)) if second is not None else tuple(numbers)


def is_moment(text: str) -> bool:
    """Whether this is a date, as far as it is given, that there is; with a time or without."""
    parts = moment_of(text)
    if parts is None:
        return False
    try:
        datetime(*parts[:5], *(1, 1, 0, 0)[len(parts[:5]) - 1 :])  # noqa: DTZ001 - it is tried, and let go
    except ValueError:
        return False
    return True


def is_time(text: str) -> bool:
    """Whether this is a time of the day, as far as it is given."""
    parts = _time_of(text)
    return parts is not None and all(part < most for part, most in zip(parts, (24, 60, 60), strict=False))


def _time_of(text: str) -> tuple[Any, ...] | None:
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    hour, minute, second = found.groups()
    parts = [int(part) for part in (hour, minute) if part is not None]
    return (*parts, Decimal(second)) if second is not None else tuple(parts)


# ---- quantities ------------------------------------------------------------------------------------

UCUM = "http://unitsofmeasure.org"
_DIGITS_MAX = 100  # before or after the point, of a number that is converted
# UCUM units met in ranges and limits: what they measure, and how many of its first unit one of them is.
_UNITS: dict[str, tuple[str, Decimal]] = {
    code: (dimension, Decimal(factor))
    for dimension, units in {
        "time": {"ms": "0.001", "s": "1", "min": "60", "h": "3600", "d": "86400", "wk": "604800"},
        "calendar": {"mo": "1", "a": "12"},
        "mass": {"ng": "1e-9", "ug": "1e-6", "mg": "0.001", "g": "1", "kg": "1000"},
        "length": {"mm": "0.001", "cm": "0.01", "m": "1", "km": "1000"},
        "volume": {"uL": "1e-6", "mL": "0.001", "ml": "0.001", "dL": "0.1", "L": "1", "l": "1"},
        "number": {"1": "1", "%": "0.01"},
    }.items()
    for code, factor in units.items()
}
CALENDAR_WORDS = {
    "year": "a", "years": "a", "month": "mo", "months": "mo", "week": "wk", "weeks": "wk", "day": "d", "days": "d",
    "hour": "h", "hours": "h", "minute": "min", "minutes": "min", "second": "s", "seconds": "s",
    "millisecond": "ms", "milliseconds": "ms",
}  # fmt: skip


def quantity(value: Decimal, unit: str) -> Items:
    """A quantity written in an expression: `4 days`, `3 'mg'`."""
    code = CALENDAR_WORDS.get(unit, unit)
    return [({"value": value, "unit": code, "system": UCUM, "code": code}, "System.Quantity", None)]


def compared_quantities(left: dict[str, Any], right: dict[str, Any]) -> int | None:
    """-1, 0 or 1; None where one has no value, or their units do not measure the same thing.

    Raises NotEvaluableError where units differ and how they convert is not known here.
    """
    a, b = left.get("value"), right.get("value")
    if not isinstance(a, int | Decimal) or not isinstance(b, int | Decimal):
        return None
    if _unit_of(left) != _unit_of(right):
        one_unit, other = _UNITS.get(_unit_of(left)[1]), _UNITS.get(_unit_of(right)[1])
        if one_unit is None or other is None:
            return None if "" in (_unit_of(left)[1], _unit_of(right)[1]) else _compared_by_ucum(left, right)
        if one_unit[0] != other[0]:
            return None
        a, b = a * one_unit[1], b * other[1]
    return int(a > b) - int(a < b)


def _compared_by_ucum(left: dict[str, Any], right: dict[str, Any]) -> int | None:
    units = [canonical(code) if system in ("", UCUM) else None for system, code in map(_unit_of, (left, right))]
    if (
        units[0] is None
        or units[1] is None
        or any(abs(Decimal(one["value"]).adjusted()) > _DIGITS_MAX for one in (left, right))
    ):
        raise NotEvaluableError("how these two units convert is not known here")
    if units[0].unit != units[1].unit:
        return None
    a, b = (
        Fraction(one["value"]) * unit.factor + unit.offset
        for one, unit in zip((left, right), units, strict=True)
        if unit
    )
    return int(a > b) - int(a < b)


def _unit_of(measured: dict[str, Any]) -> tuple[str, str]:
    if type(code := measured.get("code")) is str:
        return str(measured.get("system", "")), code
    return "", str(measured.get("unit", ""))

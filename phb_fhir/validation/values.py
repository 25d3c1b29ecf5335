"""Values as they come, and against values: fixed, pattern, smallest and largest (R4 §5.1.0.5, ElementDefinition).

Numbers are compared as numbers, so 1.0 is 1.00; everything else is compared as it stands.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from phb_fhir.fhirpath.values import (
    NotEvaluableError,
    compared_dates,
    compared_quantities,
    compared_times,
)

_NUMBERS = (int, float, Decimal)
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d(T.*)?)?)?")


def list_of(value: Any) -> list[Any]:
    """The list that stands there; an empty one where none does."""
    return value if type(value) is list else []


def numbered_objects(value: Any) -> list[tuple[int, dict[str, Any]]]:
    """The objects of a list with their places; none where it is no list."""
    return [(index, item) for index, item in enumerate(list_of(value)) if type(item) is dict]


def is_same(fixed: Any, value: Any) -> bool:
    """Whether `value` is exactly `fixed`: every element of the one in the other, ids aside."""
    if type(fixed) is dict:
        if type(value) is not dict:
            return False
        return (fixed.keys() - {"id"}) == (value.keys() - {"id"}) and all(
            is_same(inner, value[key]) for key, inner in fixed.items() if key != "id"
        )
    if type(fixed) is list:
        return type(value) is list and len(fixed) == len(value) and all(map(is_same, fixed, value))
    return _is_equal(fixed, value)


def fits(pattern: Any, value: Any) -> bool:
    """Whether `value` has at least what `pattern` has; an item of a list somewhere in the list."""
    if type(pattern) is dict:
        return type(value) is dict and all(key in value and fits(inner, value[key]) for key, inner in pattern.items())
    if type(pattern) is list:
        return type(value) is list and all(any(fits(inner, item) for item in value) for inner in pattern)
    return _is_equal(pattern, value)


def _is_equal(one: Any, other: Any) -> bool:
    if _is_number(one) and _is_number(other):
        return _number(one) == _number(other)
    return type(one) is type(other) and bool(one == other)


def compared(value: Any, bound: Any) -> int | None:
    """-1, 0 or 1 as `value` is less than, the same as or more than `bound`; None where that cannot be said.

    Quantities are compared when their units are the same or convert; dates and times as far as both are precise.
    """
    if _is_number(value) and _is_number(bound):
        return (_number(value) > _number(bound)) - (_number(value) < _number(bound))
    if type(value) is dict and type(bound) is dict:
        try:
            return compared_quantities(value, bound)
        except NotEvaluableError:
            return None
    if type(value) is str and type(bound) is str:
        return compared_dates(value, bound) if _DATE.fullmatch(value) else compared_times(value, bound)
    return None


def _is_number(value: Any) -> bool:
    return type(value) is not bool and isinstance(value, _NUMBERS)


def _number(value: Any) -> Decimal:
    return Decimal(str(value))

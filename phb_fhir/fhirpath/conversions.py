"""FHIRPath's conversions from one type to another: what cannot be converted is nothing (N1 §5.5)."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import TypeAlias

from phb_fhir.fhirpath.values import (
    CALENDAR_WORDS,
    NOTHING,
    QUANTITIES,
    Items,
    boolean,
    is_moment,
    is_time,
    one,
    quantity,
    system,
    text_of,
)
from phb_fhir.fhirpath.walk import Evaluation

Conversion: TypeAlias = "Callable[[Items, Evaluation], Items]"

_INTEGER = re.compile(r"[+-]?\d{1,18}")
_QUANTITY = re.compile(r"([+-]?\d{1,18}(?:\.\d{1,18})?)\s*(?:'([^']+)'|([a-z]+))?")
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")
_BOOLEANS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1", "1.0"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0", "0.0"), False),
}


def to_string(focus: Items, _: Evaluation) -> Items:
    """The text of a primitive; of anything else there is none."""
    item = one(focus, "toString()")
    if item is None or type(item[0]) in (dict, list):
        return NOTHING
    return system(_plain_text(item[0]))


def to_integer(focus: Items, _: Evaluation) -> Items:
    item = one(focus, "toInteger()")
    if item is None:
        return NOTHING
    text = str(int(item[0])) if type(item[0]) is bool else str(item[0])
    return system(int(text)) if _INTEGER.fullmatch(text) else NOTHING


def to_boolean(focus: Items, _: Evaluation) -> Items:
    item = one(focus, "toBoolean()")
    return NOTHING if item is None else system(_BOOLEANS.get(_plain_text(item[0]).lower()))


def to_quantity(focus: Items, _: Evaluation) -> Items:
    """A number is a quantity of ones; a text has a number and a unit, in quotes or a word of the calendar (N1 §5.5.7)."""
    item = one(focus, "toQuantity()")
    if item is None or item[1] in QUANTITIES:
        return [] if item is None else [item]
    found = _QUANTITY.fullmatch(str(int(item[0])) if type(item[0]) is bool else str(item[0]))
    if found is None or (found[3] is not None and found[3] not in CALENDAR_WORDS):
        return NOTHING
    return quantity(Decimal(found[1]), found[2] or found[3] or "1")


def to_date(focus: Items, _: Evaluation) -> Items:
    """A date, also of a text or a time that begins with one; a day that there is not is none."""
    text = text_of(focus, "a conversion to date or time")
    day = (text or "").partition("T")[0]
    return [(day, "System.Date", None)] if _DATE.fullmatch(day) and is_moment(str(text)) else NOTHING


def to_date_time(focus: Items, _: Evaluation) -> Items:
    text = text_of(focus, "a conversion to date or time")
    return [(text, "System.DateTime", None)] if text is not None and is_moment(text) else NOTHING


def to_time(focus: Items, _: Evaluation) -> Items:
    text = text_of(focus, "a conversion to date or time")
    return [(text, "System.Time", None)] if text is not None and is_time(text) else NOTHING


def converts(conversion: Conversion) -> Conversion:
    """Whether there is something that the conversion would give."""
    return lambda focus, evaluation: boolean(conversion(focus, evaluation)) if focus else NOTHING


def _plain_text(value: object) -> str:
    return str(value).lower() if type(value) is bool else str(value)

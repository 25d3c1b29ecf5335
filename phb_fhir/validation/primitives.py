"""The primitive types: what JSON value each one is, and which of those are right (R4 §2.24.0.1).

A row of `PRIMITIVES` names the Python type the JSON value has in our resources, makes a test from the
definitions, and says in words what would be right. Tests are as close to C as they come, because most of
validating is this.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from phb_fhir.fhir.codec import Exact
from phb_fhir.outcome import Kind
from phb_fhir.validation.wording import json_kind, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from phb_fhir.definitions.load import Definitions

    Test = Callable[[Any], object]
    Match = Callable[[str], object]

STRING_CHARACTERS_MAX = 1024 * 1024  # "strings SHALL NOT exceed 1MB"
_DAYS_ALWAYS = "28"  # every month has these


@dataclass(frozen=True, slots=True)
class Primitive:
    """A primitive type as it stands in JSON: a value of `python` type that passes `test`."""

    name: str
    python: type
    test: Test
    says: str

    def complaint(self, value: Any) -> tuple[Kind, str] | None:
        """What is wrong with `value`, or None."""
        if type(value) is self.python:
            if self.test(value):
                return None
            return Kind.VALUE, f"{shown(value)} is not {self.says}."
        if value is None:
            return Kind.STRUCTURE, "null is not allowed here; an element without a value is left out."
        if self.python in _ACCEPTED and _ACCEPTED[self.python](value):
            return None
        return Kind.STRUCTURE, f"{json_kind(value)} stands where {self.says} belongs."


def primitives(definitions: Definitions) -> dict[str, Primitive]:
    """Every primitive type, with its test."""
    return {
        name: Primitive(name, python, test_of(definitions.pattern(name).fullmatch), says)
        for name, (python, test_of, says) in PRIMITIVES.items()
    }


# ---- tests ---------------------------------------------------------------------------------------


def _published(matches: Match) -> Test:
    return matches


def _is_text(matches: Match, value: str) -> bool:
    # a text of blanks only "could be trimmed to nothing", so it says nothing; a printable one needs no pattern
    if value.isspace() or len(value) > STRING_CHARACTERS_MAX:
        return False
    return (value != "" and value.isprintable()) or bool(matches(value))


def _text(matches: Match) -> Test:
    return partial(_is_text, matches)


def _is_address(matches: Match, value: str) -> bool:
    return value != "" and bool(matches(value))


def _address(matches: Match) -> Test:
    return partial(_is_address, matches)


def _is_calendar_date(matches: Match, value: str) -> bool:
    """The pattern lets 30 February pass; the text of the type does not: "Dates SHALL be valid dates"."""
    if not matches(value):
        return False
    return value[8:10] <= _DAYS_ALWAYS or _is_day(value[:10])


def _calendar_date(matches: Match) -> Test:
    return partial(_is_calendar_date, matches)


def _is_day(value: str) -> bool:
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_base64(value: str) -> bool:
    # the published pattern takes time exponential in the blanks, so: blanks out, then RFC 4648 §4 to the letter
    try:
        return value.isascii() and bool(binascii.a2b_base64("".join(value.split()), strict_mode=True))
    except ValueError:
        return False


def _base64(_: Match) -> Test:
    return _is_base64


def _whole(low: int, high: int) -> Callable[[Match], Test]:
    inside = range(low, high + 1).__contains__
    return lambda _: inside


def _anything(_: Match) -> Test:
    return lambda _: True


def _finite(_: Match) -> Test:
    return Decimal.is_finite


_INT_MAX = 2**31 - 1

# name: (how it stands in our resources, its test, what to call it)
PRIMITIVES: dict[str, tuple[type, Callable[[Match], Test], str]] = {
    "boolean": (bool, _anything, "true or false"),
    "integer": (int, _whole(-(2**31), _INT_MAX), "a whole number from -2147483648 to 2147483647"),
    "unsignedInt": (int, _whole(0, _INT_MAX), "a whole number from 0 to 2147483647"),
    "positiveInt": (int, _whole(1, _INT_MAX), "a whole number from 1 to 2147483647"),
    "decimal": (Exact, _finite, "a number"),
    "string": (str, _text, "a text that is not blank, of at most 1048576 characters"),
    "markdown": (str, _text, "a text that is not blank, of at most 1048576 characters"),
    "code": (str, _published, "a code: a text without leading, trailing or double spaces"),
    "id": (str, _published, "an id: 1 to 64 letters, digits, hyphens and dots"),
    "uri": (str, _address, "a URI: a text without spaces"),
    "url": (str, _address, "a URL: a text without spaces"),
    "canonical": (str, _address, "a canonical URL: a text without spaces"),
    "oid": (str, _published, "an OID such as urn:oid:1.2.3.4"),
    "uuid": (str, _published, "a UUID in lower case such as urn:uuid:c757873d-ec9a-4326-a141-556f43239520"),
    "date": (str, _calendar_date, "a calendar date: 2024, 2024-02 or 2024-02-29"),
    "dateTime": (
        str,
        _calendar_date,
        "a date, or a date and time with seconds and time zone: 2024-02-29T13:28:17+00:00",
    ),
    "instant": (str, _calendar_date, "a date and time with seconds and time zone: 2024-02-29T13:28:17.239Z"),
    "time": (str, _published, "a time of day with seconds: 13:28:17"),
    "base64Binary": (str, _base64, "base64 (RFC 4648)"),
    "xhtml": (str, _anything, "an XHTML text"),
}

# JSON values whose Python type differs from the row's and that are right all the same.
_ACCEPTED: dict[type, Test] = {
    # a decimal without a fraction is an int; other Decimals and floats come from our own code, not the codec
    Exact: lambda v: type(v) is int or (isinstance(v, (Decimal, float)) and Decimal(v).is_finite()),
}

"""The primitive types: what JSON value each one is, and which of those are right (R4 §2.24.0.1).

A row of `PRIMITIVES` names the Python type the JSON value has in our resources, makes a test from the
definitions, and says in words what would be right. Tests are as close to C as they come, because most of
validating is this.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from phb_fhir.fhir.codec import Exact
from phb_fhir.fhir.reference import has_scheme
from phb_fhir.outcome import Kind, Severity
from phb_fhir.validation.errata import CANONICALS
from phb_fhir.validation.wording import json_kind, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from phb_fhir.definitions.load import Definitions

    Test = Callable[[Any], object]
    Match = Callable[[str], object]
    Remark = Callable[[Match, str], str]
    Complaint = tuple[Kind, str, Severity]

STRING_CHARACTERS_MAX = 1024 * 1024  # "strings SHALL NOT exceed 1MB"
_DAYS_ALWAYS = "28"  # every month has these
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # "strings SHOULD not contain Unicode character points below 32"
_BLANK = re.compile(r"[^\S ]")  # any but the space
_RELATIVE = re.compile(r"[A-Z][A-Za-z]+/[^/#]+(?:[#|].*)?")
_CLAIMED = re.compile(r"(?:urn:)?(?:uuid|oid):", re.IGNORECASE)
_CLAIMING = frozenset(("urn:", "URN:", "oid:", "uuid"))  # how such a URI starts
_UUID_OR_OID = re.compile(r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+")


@dataclass(frozen=True, slots=True)
class Primitive:
    """A primitive type as it stands in JSON: a value of `python` type that passes `test`.

    `remark` is what to say of a value that does not pass, and is allowed all the same; empty where there is nothing.
    """

    name: str
    python: type
    test: Test
    says: str
    remark: Callable[[Any], str]

    def complaint(self, value: Any) -> Complaint | None:
        """What is wrong with `value`, or None."""
        if type(value) is self.python:
            if self.test(value):
                return None
            remark = self.remark(value)
            if remark:
                return Kind.VALUE, remark, "warning"
            return Kind.VALUE, f"{shown(value)} is not {self.says}.", "error"
        if value is None:
            return Kind.STRUCTURE, "null is not allowed here; an element without a value is left out.", "error"
        if self.python in _ACCEPTED and _ACCEPTED[self.python](value):
            return None
        return Kind.STRUCTURE, f"{json_kind(value)} stands where {self.says} belongs.", "error"


def primitives(definitions: Definitions) -> dict[str, Primitive]:
    """Every primitive type, with its test."""
    made = {}
    for name, (python, test_of, says) in PRIMITIVES.items():
        matches = definitions.pattern(name).fullmatch
        made[name] = Primitive(name, python, test_of(matches), says, partial(_REMARKS.get(name, _nothing), matches))
    return made


# ---- tests ---------------------------------------------------------------------------------------


def _published(matches: Match) -> Test:
    return matches


def _is_text(matches: Match, value: str) -> bool:
    # a printable one needs no pattern
    if value.isspace() or len(value) > STRING_CHARACTERS_MAX:
        return False
    return (value != "" and value.isprintable()) or (bool(matches(value)) and _CONTROL.search(value) is None)


def _text(matches: Match) -> Test:
    return partial(_is_text, matches)


def _remark_on_text(matches: Match, value: str) -> str:
    if len(value) > STRING_CHARACTERS_MAX or not matches(value):
        return ""
    if value.isspace():  # R4: "could be trimmed to nothing", so it should not be
        return "The text has nothing but white space; leave the element out, or write something."
    return "The text has control characters; it should have none but tab, line feed and carriage return."


def _is_code(matches: Match, value: str) -> bool:
    """The pattern lets a single tab pass; the text of the type does not: "no whitespace other than single spaces"."""
    return bool(matches(value)) and (value.isprintable() or _BLANK.search(value) is None)


def _code(matches: Match) -> Test:
    return partial(_is_code, matches)


def _is_address(matches: Match, value: str) -> bool:
    return value != "" and bool(matches(value)) and (value[:4] not in _CLAIMING or is_urn(value))


def is_urn(value: str) -> bool:
    """A URN that claims to be a UUID or an OID is one (R4 §2.24.0.1: "for UUID use all lowercase"; RFC 3061, RFC 4122)."""
    name = value.partition("#")[0].partition("|")[0]
    return _CLAIMED.match(name) is None or _UUID_OR_OID.fullmatch(name) is not None


def _remark_on_full_url(value: str) -> str:
    if is_urn(value) or not value.isascii() or not value.isprintable() or " " in value:
        return ""
    return f"{shown(value)} is neither a UUID in lower case nor an OID; it names the resource in this Bundle only."


def full_url(uri: Primitive) -> Primitive:
    """A fullUrl is a URI, but many number their entries `urn:uuid:1`; a Bundle holds together all the same."""
    return replace(uri, remark=_remark_on_full_url)


def _is_canonical(matches: Match, value: str) -> bool:
    return _is_address(matches, value) and (value[0] == "#" or has_scheme(value))


def _canonical(matches: Match) -> Test:
    return partial(_is_canonical, matches)


def _remark_on_canonical(matches: Match, value: str) -> str:
    """R4's own examples have some that are the address of a definition, `Library/example`; those are only remarked upon."""
    if (_RELATIVE.fullmatch(value) is None and value not in CANONICALS) or not _is_address(matches, value):
        return ""
    return f"A canonical URL is absolute; {shown(value)} is relative."


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
        bare = "".join(value.split())
        return len(bare) % 4 == 0 and value.isascii() and bool(binascii.a2b_base64(bare, strict_mode=True))
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
    "string": (str, _text, "a text of 1 to 1048576 characters"),
    "markdown": (str, _text, "a text of 1 to 1048576 characters"),
    "code": (str, _code, "a code: a text with no other white space than single spaces inside"),
    "id": (str, _published, "an id: 1 to 64 letters, digits, hyphens and dots"),
    "uri": (str, _address, "a URI: no spaces in it, and a UUID or OID where it starts like one"),
    "url": (str, _address, "a URL: no spaces in it, and a UUID or OID where it starts like one"),
    "canonical": (
        str,
        _canonical,
        "a canonical URL: absolute, no spaces in it, and a UUID or OID where it starts like one",
    ),
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


def _nothing(_: Match, __: Any) -> str:
    return ""


# What is said of values that are allowed and not as they should be.
_REMARKS: dict[str, Remark] = {
    "string": _remark_on_text,
    "markdown": _remark_on_text,
    "canonical": _remark_on_canonical,
}

# JSON values whose Python type differs from the row's and that are right all the same.
_ACCEPTED: dict[type, Test] = {
    # a decimal without a fraction is an int; other Decimals and floats come from our own code, not the codec
    Exact: lambda v: type(v) is int or (isinstance(v, (Decimal, float)) and Decimal(v).is_finite()),
}

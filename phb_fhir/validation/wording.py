"""How a sentence about a resource quotes, lists and guesses. Everything is cut to a length a person reads."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from phb_fhir.fhir.codec import Exact

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN_CHARACTERS_MAX = 60
_SHOWN_BITS_MAX = 200
_LISTED_MAX = 12

_KINDS = {
    dict: "An object",
    list: "A list",
    str: "A text",
    bool: "true or false",
    int: "A number",
    type(None): "null",
}


def shown(value: Any) -> str:
    """A primitive value as it was given; true and false as JSON spells them."""
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int and value.bit_length() > _SHOWN_BITS_MAX:
        return "A number of that size"  # Python refuses to spell out thousands of digits
    return f'"{short(value)}"' if isinstance(value, str) else short(str(value))


def short(text: str, longest: int = _SHOWN_CHARACTERS_MAX) -> str:
    """`text`, cut where it grows too long to read."""
    return text if len(text) <= longest else text[:longest] + "…"


def json_kind(value: Any) -> str:
    """What kind of JSON value this is, as the first words of a sentence; a whole number that is none of ours, as it was given."""
    if isinstance(value, Exact) and value.text.removeprefix("-").isdigit():
        return short(value.text)
    return _KINDS.get(type(value), "A number with a fraction")


def guess(name: str, known: Iterable[str]) -> str:
    """`; did you mean "birthDate"?`, or a full stop when nothing comes near. A very long name is no slip of
    the pen.
    """
    close = get_close_matches(name, known, n=1) if len(name) <= _SHOWN_CHARACTERS_MAX else []
    return f'; did you mean "{close[0]}"?' if close else "."


def listed(names: Iterable[str], near: str = "") -> str:
    """All of a few names; of many, those like `near`, or else the first ones."""
    every = list(names)
    if len(every) <= _LISTED_MAX:
        return ", ".join(every)
    close = get_close_matches(short(near), every, n=3) if near else []
    return ", ".join([*(close or every[:_LISTED_MAX]), f"… ({len(every)} in all)"])

"""What a log may say of a fault: where it happened and of what kind, and nothing that anybody sent or that is stored.

The message of an exception is made of whatever was at hand: a KeyError is the key, a duplicate in the database is the document's
name. So of an exception there are left its types, the codes that drivers and the system give, and the lines of source it went through.
And whatever is logged, by us or by a library: a number that can be an NHS number is not in it.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

from nhs_number.validate import is_valid

FRAMES_MAX = 40  # of each exception: the outermost and the innermost half
_CAUSES_MAX = 5
_NUMBER = re.compile(r"(?<![0-9A-Za-z])\d{3}([ -]?)\d{3}\1\d{4}(?![0-9A-Za-z])")
_MASK = "[number]"


def without_numbers(text: str) -> str:
    """The text with each NHS number (ten digits that pass the check of Modulus 11) masked."""
    return _NUMBER.sub(lambda found: _MASK if is_valid(found[0]) else found[0], text)


def has_number(text: str) -> bool:
    return without_numbers(text) != text


def story_of(error: BaseException) -> str:
    """Where an exception came from, the cause first, as Python would tell it but for its words."""
    told = []
    known: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in known and len(known) < _CAUSES_MAX:
        known.append(one)
        told.append(_one(one))
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return "\nwhich led to:\n".join(reversed(told))


def _one(error: BaseException) -> str:
    frames = traceback.format_tb(error.__traceback__)
    if len(frames) > FRAMES_MAX:
        half = FRAMES_MAX // 2
        frames = [*frames[:half], f"  ... {len(frames) - FRAMES_MAX} more\n", *frames[-half:]]
    codes = {name: getattr(error, name, None) for name in ("code", "errno")}
    said = "".join(f" {name}={value}" for name, value in codes.items() if isinstance(value, int))
    return f"{''.join(frames)}{type(error).__module__}.{type(error).__qualname__}{said}"


def tell_exception(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """For structlog: `exc_info` becomes the story of the exception."""
    given = event.pop("exc_info", None)
    if given:
        error = (
            given if isinstance(given, BaseException) else (given if isinstance(given, tuple) else sys.exc_info())[1]
        )
        if error is not None:
            event["exception"] = story_of(error)
    return event


def mask_numbers(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """For structlog: no NHS number in any of the words."""
    for name, value in event.items():
        event[name] = _masked(value)
    return event


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return without_numbers(value)
    if isinstance(value, list | tuple):
        return [_masked(each) for each in value]
    return value


def first_line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """For what libraries log: their first line. asyncio's further ones show the objects at hand."""
    event["event"] = str(event.get("event", "")).partition("\n")[0]
    return event

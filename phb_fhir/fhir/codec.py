"""Bytes to resource and back, digit for digit.

FHIR decimals carry their precision (`10.00` is not `10.0`, R4 §2.24.0.1), so a JSON number with a fraction or an exponent
becomes an `Exact`: a Decimal that remembers the text it came from, and is written as that text again. Everything else is
plain Python: dict (in the order it came), list, str, int, bool, None.

Reading uses the standard library, whose hooks see every object and every number; that is what lets a duplicate key be
refused instead of one of its values silently lost. Writing uses orjson.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any, Self, cast

import orjson

from phb_fhir.outcome import Kind, Refusal, Rejected, refuse

Resource = dict[str, Any]

_NUMBER_CHARACTERS_MAX = 1_000  # a number longer than this is no measurement and no money
_EXPONENT_MAX = 1_000  # nor is 1e99999999, which would fill the memory of whoever rounds it
_EXPONENT_CHARACTERS_MAX = 6
_SMALL_DIGITS = 18
_KEY_SHOWN_MAX = 80


class Exact(Decimal):
    """A decimal as it was written: arithmetic as Decimal, output as the original text."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __str__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[Any, ...]:
        return Exact, (self.text,)

    def __copy__(self) -> Exact:
        return self

    def __deepcopy__(self, memo: Any) -> Exact:
        return self


class _DuplicateKeyError(ValueError):
    pass


def loads(body: bytes, *, depth_max: int) -> Any:
    """The JSON value in `body`.

    Raises Rejected (400): not UTF-8, not JSON, a key twice in one object, NaN or Infinity, an unpaired surrogate,
    objects or arrays nested deeper than `depth_max`.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _malformed(f"byte {error.start + 1} of the body is not valid UTF-8") from None
    if not text.strip():
        raise _malformed("it is empty")
    try:
        value = _DECODER.decode(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        raise _malformed(f"{error.msg.removesuffix(' at')} at line {error.lineno}, column {error.colno}") from None
    except _DuplicateKeyError as error:
        raise _malformed(
            f"the key {json.dumps(str(error)[:_KEY_SHOWN_MAX])} stands twice in one object; nothing was taken, as one of its values would be lost"
        ) from None
    except RecursionError:
        raise _too_deep(depth_max) from None
    except (ValueError, InvalidOperation) as error:
        raise _malformed(str(error)) from None
    if (text.count("{") + text.count("[")) > depth_max and _depth_passes(value, depth_max):
        raise _too_deep(depth_max)
    if "\\u" in text and _has_lone_surrogate(text, value):
        raise _malformed("a \\u escape stands for half a character (an unpaired surrogate)")
    return value


def dumps(value: Any) -> bytes:
    """`value` as compact JSON in UTF-8, decimals as they were written."""
    return orjson.dumps(value, default=_fragment)


def dumps_pretty(value: Any) -> bytes:
    """`value` as JSON for a person to read, indented by two."""
    return _pretty(value, "\n").encode()


def canonical(value: Any) -> bytes:
    """`value` as JSON with sorted keys: equal bytes mean the same content, digits included."""
    return orjson.dumps(value, default=_fragment, option=orjson.OPT_SORT_KEYS)


def _pretty(value: Any, newline: str) -> str:
    # orjson's own indentation does not reach inside a Fragment's neighbours evenly, and a reader's page is not hot
    inner = newline + "  "
    if isinstance(value, dict) and value:
        rows = (f"{inner}{dumps(key).decode()}: {_pretty(item, inner)}" for key, item in value.items())
        return "{" + ",".join(rows) + newline + "}"
    if isinstance(value, list) and value:
        return "[" + ",".join(inner + _pretty(item, inner) for item in value) + newline + "]"
    return dumps(value).decode()


def _fragment(value: Any) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value).encode())
    raise TypeError(type(value).__name__)


def _object(pairs: list[tuple[str, Any]]) -> Resource:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKeyError(key)
            seen.add(key)
    return made


def _exact(text: str) -> Exact:
    if len(text) > _NUMBER_CHARACTERS_MAX:
        raise ValueError(f"a number of {len(text)} characters is longer than this server takes")
    number = Exact(text) if len(text.partition("e")[2] or text.partition("E")[2]) <= _EXPONENT_CHARACTERS_MAX else None
    if number is None or abs(number.adjusted()) > _EXPONENT_MAX:
        raise ValueError(f"{text[:_KEY_SHOWN_MAX]} is too large, or too small, to be a measurement or money")
    return number


def _whole(text: str) -> int | Exact:
    # beyond 64 bits the writer needs the text; and -0 is not 0 to whoever compares digits
    return int(text) if len(text) <= _SMALL_DIGITS and text != "-0" else _exact(text)


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_exact, parse_int=_whole, parse_constant=_constant)


def _depth_passes(value: Any, depth_max: int) -> bool:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > depth_max + 1:
            return True
        level = [
            child
            for item in level
            for child in (item.values() if type(item) is dict else item if type(item) is list else ())
            if type(child) is dict or type(child) is list
        ]
    return depth > depth_max


def _has_lone_surrogate(text: str, value: Any) -> bool:
    if "\\ud" not in text and "\\uD" not in text:
        return False
    try:
        dumps(value)
    except orjson.JSONEncodeError:
        return True
    return False


def _malformed(reason: str) -> Rejected:
    return refuse(Refusal.BAD_REQUEST, Kind.STRUCTURE, f"The body is not well-formed JSON: {reason}.")


def _too_deep(depth_max: int) -> Rejected:
    return refuse(
        Refusal.BAD_REQUEST,
        Kind.STRUCTURE,
        f"The body nests deeper than the {depth_max} levels this server takes.",
    )


def as_resource(value: Any) -> Resource:
    """`value`, when it is a JSON object that names its resourceType; else Rejected (400)."""
    if not isinstance(value, dict):
        raise refuse(Refusal.BAD_REQUEST, Kind.STRUCTURE, "The body must be one FHIR resource: a JSON object.")
    if not isinstance(value.get("resourceType"), str):
        raise refuse(
            Refusal.BAD_REQUEST,
            Kind.STRUCTURE,
            'The body is not a FHIR resource: it has no "resourceType" text.',
            "resourceType",
        )
    return cast("Resource", value)

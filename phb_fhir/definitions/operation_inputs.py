"""The inputs of one call of an operation, read from Parameters (R4 §3.2.0.4.1).

A GET is the same with each query parameter as a `valueString`, so a value is read as the type the operation wants, whatever
it was sent as. What an operation does not take is refused, never passed over: the answer would be to another question.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from phb_fhir.definitions.terminology_systems import dicts
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse

Json = dict[str, Any]

_INTEGER_MAX = 2_147_483_647  # FHIR's integer
_BOOLEANS = {"true": True, "false": False, True: True, False: False}
_NAME_SHOWN_MAX = 60


class Inputs(NamedTuple):
    """The parameters of one call, each with its values in the order they came."""

    values: Mapping[str, list[Any]]

    def texts(self, name: str) -> tuple[str, ...]:
        found = self.values.get(name, [])
        for value in found:
            if not isinstance(value, str):
                raise bad_input(f'The parameter "{name}" must be a text.')
            if not value.strip():
                raise bad_input(f'The parameter "{name}" is empty: say something, or leave it out.')
        return tuple(found)

    def text(self, name: str) -> str:
        return next(iter(self.texts(name)), "")

    def flag(self, name: str) -> bool | None:
        for value in self.values.get(name, []):
            if not isinstance(value, (str, bool)) or value not in _BOOLEANS:
                raise bad_input(f'The parameter "{name}" must be true or false.')
            return _BOOLEANS[value]
        return None

    def number(self, name: str) -> int | None:
        for value in self.values.get(name, []):
            text = str(value)
            if isinstance(value, bool) or not text.isdecimal() or len(text) > 10 or int(text) > _INTEGER_MAX:
                raise bad_input(f'The parameter "{name}" must be a whole number, not below 0.')
            return int(text)
        return None

    def object(self, name: str) -> Json | None:
        for value in self.values.get(name, []):
            if not isinstance(value, dict):
                raise bad_input(f'The parameter "{name}" must be an element of its type, not a text.')
            return value
        return None

    def resource(self, name: str, type_: str = "") -> Json | None:
        """The resource given as `name`, of `type_` where one is wanted."""
        found = self.object(name)
        if found is not None and type_ and found.get("resourceType") != type_:
            raise bad_input(f'The parameter "{name}" must hold a {type_} resource.')
        return found


def read_inputs(operation: str, parameters: Json, takes: Mapping[str, bool], many: Collection[str] = ()) -> Inputs:
    """The inputs of a Parameters resource. Raises Rejected (400) for one that `operation` does not take.

    `takes` are all that R4 defines, each with whether it is supported here; those in `many` may stand more than once.
    """
    values: dict[str, list[Any]] = {}
    for row in dicts(parameters.get("parameter")):
        name = str(row.get("name"))
        if name not in takes:
            raise bad_input(_not_taken(operation, name, takes))
        if not takes[name]:
            text = f'The parameter "{name}" of {operation} is not supported here; nothing was answered without it.'
            raise refuse(Refusal.BAD_REQUEST, Kind.NOT_SUPPORTED, text)
        values.setdefault(name, []).append(_value(row))
        if len(values[name]) > 1 and name not in many:
            raise bad_input(f'The parameter "{name}" may stand once.')
    return Inputs(values)


def bad_input(text: str) -> Rejected:
    return refuse(Refusal.BAD_REQUEST, Kind.INVALID, text)


def _not_taken(operation: str, name: str, takes: Mapping[str, bool]) -> str:
    near = get_close_matches(name[:_NAME_SHOWN_MAX], [one for one, is_supported in takes.items() if is_supported], n=1)
    hint = f' Did you mean "{near[0]}"?' if near else ""
    supported = ", ".join(one for one, is_supported in takes.items() if is_supported)
    return f'{operation} has no parameter "{name[:_NAME_SHOWN_MAX]}"; it takes {supported or "none"}.{hint}'


def _value(row: Json) -> Any:
    for key, value in row.items():
        if key.startswith("value") or key == "resource":
            return value
    raise bad_input(f'The parameter "{row.get("name")}" has no value.')

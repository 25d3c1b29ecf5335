"""The types of the inputs of our own operations, as their OperationDefinitions declare them (R4 §3.2.0.4.1).

An input in the address is a text, whatever its type. One in a body has a type of its own, and is held to the declared one: what
says `valueString: "false"` is no boolean, and is not read as one. Texts that differ only in what they are for (a code, a uri) are taken for
each other, and so are a date and a moment, and whole numbers of different ranges; these for a decimal, too (`takes_alike`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from phb_fhir.data import data_path
from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.fhirpath_patch import takes_alike
from phb_fhir.outcome import Issue, Kind

Declared = Mapping[str, Resource]


def check_types(type_: str, code: str, rows: list[Any]) -> list[Issue]:
    """What is wrong with the types of the inputs in a body; nothing where the operation is not one of our own."""
    return [*_wrong(_declared().get((type_, code), {}), rows, "Parameters.parameter")]


def _wrong(declared: Declared, rows: list[Any], place: str) -> Iterator[Issue]:
    for index, row in enumerate(rows):
        wanted = declared.get(str(row.get("name")))
        if wanted is None:
            continue  # told of where the names are looked at
        here = f"{place}[{index}]"
        if parts := wanted.get("part"):
            yield from _wrong(_by_name(parts), row.get("part", []), f"{here}.part")
        for said in row:
            if said.startswith("value") and not _fits(said, str(wanted.get("type"))):
                right = f"of the type {wanted['type']}" if "type" in wanted else "made of parts"
                text = f'The parameter "{row["name"]}" is {right}; this one is a {said}.'
                yield Issue(Kind.INVALID, text, f"{here}.{said}")


def _fits(said: str, wanted: str) -> bool:
    name = said.removeprefix("value")
    given = name[:1].lower() + name[1:]
    return wanted in (name, given) or (bool(given) and takes_alike(wanted, given))


@cache
def _declared() -> Mapping[tuple[str, str], Declared]:
    """The inputs of each operation, by type ("" for the whole system) and code."""
    found: dict[tuple[str, str], Declared] = {}
    for file in sorted(data_path("profiles").glob("OperationDefinition-*.json")):
        definition = json.loads(file.read_text("utf-8"))
        takes = _by_name(one for one in definition.get("parameter", ()) if one["use"] == "in")
        for type_ in definition.get("resource", ("",)):
            found[type_, definition["code"]] = takes
    return found


def _by_name(rows: Any) -> Declared:
    return {str(one["name"]): one for one in rows}

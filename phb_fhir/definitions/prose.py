"""What the elements of R4's types mean, in R4's words: for snapshots that are handed out.

A snapshot to validate with needs no prose, and is kept without. One that others read has a `definition` on every element
(sdf-3), which an element takes over from what it constrains where the profile says nothing of its own.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from phb_fhir.definitions.load import Definitions

Resource = dict[str, Any]

_ARCHIVE = Path(__file__).parent / "r4_prose.zip"


def prose_of(definitions: Definitions) -> dict[str, str]:
    """The same as `read_prose`, kept from the first time on."""
    return definitions.derived(_prose_of)


def _prose_of(_: Definitions) -> dict[str, str]:
    return read_prose()


def read_prose() -> dict[str, str]:
    """By the path of each type's elements (`Patient.name`, `HumanName.given`), what the element means."""
    with zipfile.ZipFile(_ARCHIVE) as archive:
        said: dict[str, str] = orjson.loads(archive.read("definitions.json"))
    return said


def with_prose(structure: Resource, prose: dict[str, str]) -> Resource:
    """A copy of a structure with a snapshot, in which every element says what it means."""
    elements = [_said(element, prose) for element in structure["snapshot"]["element"]]
    return {**structure, "snapshot": {**structure["snapshot"], "element": elements}}


def _said(element: Resource, prose: dict[str, str]) -> Resource:
    if "definition" in element:
        return element
    base = element.get("base", {}).get("path", element["path"])
    said = prose.get(base) or element.get("short") or base
    return _after(element, "short" if "short" in element else "path", "definition", said)


def _after(element: Resource, name: str, key: str, value: str) -> Resource:
    """The element with a further property, where FHIR's order has it."""
    made: Resource = {}
    for each, one in element.items():
        made[each] = one
        if each == name:
            made[key] = value
    return made

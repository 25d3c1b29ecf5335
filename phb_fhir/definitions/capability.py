"""The capability statement as the source: what is served is what `capability_statement.json` promises.

Routes, allowed parameters and `/metadata` all come from here; an interaction that is not in the file does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

TYPE_INTERACTIONS = (
    "read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type",
)  # fmt: skip
SYSTEM_INTERACTIONS = ("transaction", "batch", "search-system", "history-system")


@dataclass(frozen=True, slots=True)
class Capability:
    """What the statement promises. `interactions` by type, "" for the whole system; `parameters` likewise."""

    statement: dict[str, Any]
    interactions: Mapping[str, frozenset[str]]
    parameters: Mapping[str, frozenset[str]]

    def promises(self, type_: str, interaction: str) -> bool:
        return interaction in self.interactions.get(type_, frozenset())

    @property
    def types(self) -> frozenset[str]:
        return frozenset(self.interactions) - {""}


def load(path: Path) -> Capability:
    """The capability statement in the file `path`. Raises ValueError, naming what is wrong with it."""
    statement = orjson.loads(path.read_bytes())
    if statement.get("resourceType") != "CapabilityStatement" or statement.get("fhirVersion") != "4.0.1":
        raise ValueError(f"{path.name} is not a CapabilityStatement for FHIR 4.0.1")
    rest = statement["rest"][0]
    rows = {"": rest, **{row["type"]: row for row in rest["resource"]}}
    return Capability(
        statement,
        {type_: frozenset(entry["code"] for entry in row.get("interaction", [])) for type_, row in rows.items()},
        {type_: frozenset(entry["name"] for entry in row.get("searchParam", [])) for type_, row in rows.items()},
    )


def check(capability: Capability, resource_types: frozenset[str]) -> list[str]:
    """What the statement promises and this software does not know, in words; the server does not start with any."""
    unknown = [f"it promises the type {type_}, which R4 does not have" for type_ in capability.types - resource_types]
    for type_, codes in capability.interactions.items():
        known = TYPE_INTERACTIONS if type_ else SYSTEM_INTERACTIONS
        unknown += [f"it promises {code} on {type_ or 'the system'}, which is not built" for code in codes - set(known)]
    return sorted(unknown)

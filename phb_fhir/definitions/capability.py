"""The capability statement as the source: what is served is what `capability_statement.json` promises.

Routes, operations, allowed parameters and `/metadata` all come from here; an interaction or operation that is not in the file
does not exist. The file may be edited (to serve less), so it is checked when it is read: against `capability.schema.json`, and
against what is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from jsonschema import Draft202012Validator

_SCHEMA = Path(__file__).with_name("capability.schema.json")


class WrongCapability(Exception):  # noqa: N818 - it is a sentence for the operator, not a fault in the program
    """A capability statement that cannot be served, as one sentence."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Capability:
    """What the statement promises. `interactions` by type, "" for the whole system.

    `parameters` likewise; those of the whole system are for every type (R4: CapabilityStatement.rest.searchParam), and so
    are among each type's. `operations` too: by name, without its `$`, the URL of the OperationDefinition that says what is
    meant.
    """

    statement: dict[str, Any]
    interactions: Mapping[str, frozenset[str]]
    parameters: Mapping[str, frozenset[str]]
    operations: Mapping[str, Mapping[str, str]]
    types: frozenset[str]

    def promises(self, type_: str, interaction: str) -> bool:
        return interaction in self.interactions.get(type_, frozenset())


def load(path: Path, resource_types: frozenset[str]) -> Capability:
    """The capability statement in the file `path`. Raises WrongCapability, naming the place and what is wrong there."""
    try:
        statement = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise WrongCapability(f"{path} cannot be read as JSON: {error}") from None
    wrong = next(Draft202012Validator(orjson.loads(_SCHEMA.read_bytes())).iter_errors(statement), None)
    if wrong is not None:
        raise WrongCapability(f"{path.name} is not right at {wrong.json_path}: {wrong.message}")
    rest = statement["rest"][0]
    rows = {"": rest, **{row["type"]: row for row in rest["resource"]}}
    if unknown := sorted(rows.keys() - resource_types - {""}):
        raise WrongCapability(f"{path.name} promises {', '.join(unknown)}, which FHIR R4 does not have.")
    of_each = {type_: frozenset(entry["name"] for entry in row.get("searchParam", [])) for type_, row in rows.items()}
    return Capability(
        statement,
        {type_: frozenset(entry["code"] for entry in row.get("interaction", [])) for type_, row in rows.items()},
        {type_: names | of_each[""] for type_, names in of_each.items()},
        {
            type_: {entry["name"]: entry["definition"] for entry in row.get("operation", [])}
            for type_, row in rows.items()
        },
        frozenset(rows) - {""},
    )

"""The capability statement is checked when it is read, and says where it is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phb_fhir.data import data_path
from phb_fhir.definitions import capability
from phb_fhir.definitions.capability import WrongCapability
from phb_fhir.definitions.load import load


def written(folder: Path, change: Any) -> Path:
    statement = json.loads(data_path("capability_statement.json").read_bytes())
    change(statement)
    file = folder / "capability_statement.json"
    file.write_text(json.dumps(statement))
    return file


def test_the_statement_that_ships_promises_every_type_of_r4() -> None:
    promised = capability.load(data_path("capability_statement.json"), load().resource_types)
    assert promised.types == load().resource_types
    assert promised.promises("Account", "vread")
    assert promised.promises("", "transaction")
    assert not promised.promises("", "read")


def test_a_type_taken_out_is_not_promised(tmp_path: Path) -> None:
    def take_out(statement: dict[str, Any]) -> None:
        rows = statement["rest"][0]["resource"]
        rows[:] = [row for row in rows if row["type"] != "Account"]

    promised = capability.load(written(tmp_path, take_out), load().resource_types)
    assert promised.types == load().resource_types - {"Account"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: s.update(fhirVersion="5.0.0"), r"not right at \$\.fhirVersion: '4\.0\.1' was expected"),
        (
            lambda s: s["rest"][0]["resource"][3]["interaction"].append({"code": "raed"}),
            r"not right at \$\.rest\[0\]\.resource\[3\]\.interaction\[9\]\.code: 'raed' is not one of",
        ),
        (lambda s: s.pop("rest"), "'rest' is a required property"),
        (lambda s: s["rest"][0]["resource"][0].update(type="Budget"), "promises Budget, which FHIR R4 does not have"),
    ],
)
def test_a_statement_that_cannot_be_served_is_refused_with_its_place(
    tmp_path: Path, change: Any, sentence: str
) -> None:
    with pytest.raises(WrongCapability, match=sentence):
        capability.load(written(tmp_path, change), load().resource_types)


def test_a_statement_that_is_no_json_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "capability_statement.json"
    file.write_text("{")
    with pytest.raises(WrongCapability, match="cannot be read as JSON"):
        capability.load(file, load().resource_types)

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
from phb_fhir.definitions.search_parameters import search_parameters
from phb_fhir.interactions.capabilities import check_promised
from tools import build_capability


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


def test_what_is_promised_for_the_whole_system_is_promised_for_every_type() -> None:
    promised = capability.load(data_path("capability_statement.json"), load().resource_types)
    everywhere = {"_id", "_lastUpdated", "_tag", "_profile", "_security", "_source", "_text", "_content"}
    assert promised.parameters[""] == everywhere | {"_filter", "_list", "_has"}
    assert all(promised.parameters[""] <= promised.parameters[type_] for type_ in promised.types)
    assert "account" in promised.parameters["ChargeItem"] - promised.parameters[""]


def test_the_statement_that_ships_is_what_the_tool_writes() -> None:
    assert build_capability.statement() == data_path("capability_statement.json").read_text()


def first_parameter(name: str) -> Any:
    """Changes the first search parameter of this name."""

    def change(statement: dict[str, Any], **to: str) -> None:
        rest = statement["rest"][0]
        rows = [rest, *rest["resource"]]
        found = [one for row in rows for one in row["searchParam"] if one["name"] == name]
        found[0].update(to)

    return change


@pytest.mark.parametrize(
    ("name", "to", "sentence"),
    [
        ("care-plan", {"name": "care-plane"}, "to search Account by care-plane, which is not built"),
        ("_tag", {"name": "_tog"}, "to search every type by _tog, which is not built"),
        ("period", {"type": "string"}, "to search Account by period, which is a date parameter, defined by http"),
        (
            "period",
            {"definition": "http://example.org/period"},
            "defined by http://hl7.org/fhir/SearchParameter/Account-period",
        ),
        ("_has", {"type": "string"}, "to search every type by _has, which no SearchParameter defines"),
        ("owner", {"name": "_has", "type": "special"}, "to search Account by _has, which is not built"),
    ],
)
def test_a_search_parameter_that_is_not_built_as_it_is_promised_is_refused_with_its_type(
    tmp_path: Path, name: str, to: dict[str, str], sentence: str
) -> None:
    shipped = search_parameters(load())
    good = written(tmp_path, dict)  # as it is
    check_promised(capability.load(good, load().resource_types), shipped)
    wrong = written(tmp_path, lambda statement: first_parameter(name)(statement, **to))
    with pytest.raises(WrongCapability, match=sentence):
        check_promised(capability.load(wrong, load().resource_types), shipped)


def test_a_search_parameter_that_is_taken_out_is_not_promised(tmp_path: Path) -> None:
    def take_out(statement: dict[str, Any]) -> None:
        row = next(row for row in statement["rest"][0]["resource"] if row["type"] == "Account")
        row["searchParam"] = [one for one in row["searchParam"] if one["name"] != "owner"]

    promised = capability.load(written(tmp_path, take_out), load().resource_types)
    check_promised(promised, search_parameters(load()))
    assert "owner" not in promised.parameters["Account"]
    assert "patient" in promised.parameters["Account"]


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

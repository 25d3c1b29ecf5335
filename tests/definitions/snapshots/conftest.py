"""R4's own definitions, and what makes a snapshot of a profile or tells why there is none."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from phb_fhir.definitions.snapshot import SnapshotFailed, generate_snapshot

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def core():
    """R4's own StructureDefinitions by URL, as HL7 published them."""
    spec = importlib.util.spec_from_file_location("compile_r4", ROOT / "tools" / "compile_r4.py")
    compiler = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(compiler)
    return {one["url"]: one for one in compiler.read_package(compiler.fetch_wheel())["StructureDefinition"]}


@pytest.fixture
def made(core):
    """The snapshot of a profile as {id: element}; `others` are definitions it needs, with or without a snapshot."""

    def make(one, *others):
        known = {other["url"]: other for other in others}
        elements = generate_snapshot(one, lambda url: known.get(url) or core.get(url))
        assert len({element["id"] for element in elements}) == len(elements)
        return {element["id"]: element for element in elements}

    return make


@pytest.fixture
def refusal(made):
    """The (path, sentence) with which a profile is refused."""

    def refuse(one, *others):
        with pytest.raises(SnapshotFailed) as caught:
            made(one, *others)
        return caught.value.path, caught.value.sentence

    return refuse

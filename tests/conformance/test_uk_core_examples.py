"""UK Core's own examples meet UK Core's own profiles, and stop meeting them when something is taken away."""

from __future__ import annotations

import copy
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.fhir import codec
from phb_fhir.validation.validate import validate

PACKAGE = Path(__file__).parents[2].parent / "shared" / "conformance" / "uk-core" / "fhir.r4.ukcore.stu2-2.0.0.tgz"
UK_CORE = "https://fhir.hl7.org.uk/StructureDefinition/"
TRIED = 36  # extensions that the examples have with a value


@cache
def content() -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """The package's conformance resources, and its examples by file name."""
    conformance, examples = [], {}
    with tarfile.open(PACKAGE, mode="r:gz") as tgz:
        for member in tgz:
            if not member.name.endswith(".json"):
                continue
            resource = codec.loads(tgz.extractfile(member).read(), depth_max=200)
            if "/examples/" in member.name:
                examples[Path(member.name).stem] = resource
            elif "resourceType" in resource:
                conformance.append(resource)
    return conformance, examples


@cache
def known() -> Registry:
    return Registry.of(load(), content()[0])


def errors(resource, profiles=()):
    found = validate(resource, load(), profiles, known=known())
    return [f"{issue.expression}: {issue.text}" for issue in found if issue.is_error]


def profiles_of(name, example):
    """The examples claim nothing. Each meets the profile of its type, and the narrower one that its own name begins with."""
    url = f"{UK_CORE}UKCore-{example['resourceType']}"
    narrower = [one for one in profiles() if name.startswith(f"{one.removeprefix(UK_CORE)}-") and one != url]
    return [one for one in (url, *narrower) if one in profiles()]


@cache
def profiles() -> frozenset[str]:
    """The package's profiles of resources."""
    structures = (r for r in content()[0] if r["resourceType"] == "StructureDefinition")
    return frozenset(structure["url"] for structure in structures if structure["type"] != "Extension")


def test_every_example_meets_the_profiles_of_its_type_and_name():
    examples = content()[1]
    assert len(examples) == 146
    held = {name: profiles_of(name, example) for name, example in examples.items()}
    assert sum(map(bool, held.values())) == 142
    assert {name: told for name, example in examples.items() if (told := errors(example, held[name]))} == {}


def test_all_profiles_are_among_these_but_one_that_has_no_example():
    held = {url for name, example in content()[1].items() for url in profiles_of(name, example)}
    assert {url.removeprefix(UK_CORE) for url in profiles() - held} == {"UKCore-Observation-Group-Lab"}


def test_every_example_meets_them_with_our_snapshots_in_place_of_the_publishers():
    bare = [{key: value for key, value in r.items() if key != "snapshot"} for r in content()[0]]
    ours = Registry.of(load(), bare)
    for name, example in content()[1].items():
        found = validate(example, load(), profiles_of(name, example), known=ours)
        assert [f"{name}: {issue.expression}: {issue.text}" for issue in found if issue.is_error] == []


def extensions(value: Any) -> Iterator[dict[str, Any]]:
    """Those that the package defines and that stand somewhere in `value`."""
    if isinstance(value, dict):
        if known().find("StructureDefinition", str(value.get("url", ""))) is not None:
            yield value
        for inner in value.values():
            yield from extensions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from extensions(inner)


def test_every_extension_with_a_value_is_refused_with_one_of_a_type_it_does_not_have():
    tried = set()
    for name, example in content()[1].items():
        for index, one in enumerate(extensions(example)):
            key = next((key for key in one if key.startswith("value")), None)
            if key is None or one["url"] in tried:
                continue
            tried.add(one["url"])
            bad = copy.deepcopy(example)
            changed = list(extensions(bad))[index]
            del changed[key]
            changed["valueInteger" if key != "valueInteger" else "valueTime"] = 1
            assert any("value" in told.partition(": ")[0] for told in errors(bad)), (name, one["url"])
    assert len(tried) == TRIED


def test_an_extension_of_the_package_is_held_against_its_definition():
    patient = copy.deepcopy(content()[1]["UKCore-Patient-Extension-BirthSex-Example"])
    [sex] = [e for e in patient["extension"] if e["url"] == f"{UK_CORE}Extension-UKCore-BirthSex"]
    assert errors(patient) == []
    sex["valueString"] = sex.pop("valueCodeableConcept")["coding"][0]["code"]
    assert [told.partition(":")[0] for told in errors(patient)] == ["Patient.extension[0].value.ofType(string)"]


def test_every_definition_of_the_package_is_usable():
    structures = [r for r in content()[0] if r["resourceType"] == "StructureDefinition"]
    assert len(structures) == 78
    assert [s["url"] for s in structures if known().structure(s["url"]) is None] == []


def test_an_nhs_number_whose_verification_is_missing_is_refused():
    name, patient = next(
        (name, copy.deepcopy(example))
        for name, example in content()[1].items()
        if example["resourceType"] == "Patient"
        and any(
            i.get("system") == "https://fhir.nhs.uk/Id/nhs-number" and i.get("extension")
            for i in example.get("identifier", ())
        )
    )
    assert errors(patient, [f"{UK_CORE}UKCore-Patient"]) == [], name
    number = next(i for i in patient["identifier"] if i["system"] == "https://fhir.nhs.uk/Id/nhs-number")
    number["extension"][0]["valueCodeableConcept"] = {"text": "checked by hand"}
    assert errors(patient, [f"{UK_CORE}UKCore-Patient"]) != []

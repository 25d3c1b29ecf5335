"""UK Core's own examples meet UK Core's own profiles, and stop meeting them when something is taken away."""

from __future__ import annotations

import copy
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.fhir import codec
from phb_fhir.validation.validate import validate

PACKAGE = Path(__file__).parents[2].parent / "shared" / "conformance" / "uk-core" / "fhir.r4.ukcore.stu2-2.0.0.tgz"
UK_CORE = "https://fhir.hl7.org.uk/StructureDefinition/"


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


def profiles_of(example):
    """The examples claim nothing; the package has one profile for each of their types."""
    url = f"{UK_CORE}UKCore-{example['resourceType']}"
    return [url] if known().structure(url) is not None else []


def test_every_example_meets_the_profile_of_its_type():
    examples = content()[1]
    assert len(examples) == 146
    assert sum(len(profiles_of(example)) for example in examples.values()) == 142
    told = {name: errors(example, profiles_of(example)) for name, example in examples.items()}
    assert {name: issues for name, issues in told.items() if issues} == {}


def test_an_extension_of_the_package_is_held_against_its_definition():
    patient = copy.deepcopy(content()[1]["UKCore-Patient-Extension-BirthSex-Example"])
    [sex] = [e for e in patient["extension"] if e["url"] == f"{UK_CORE}Extension-UKCore-BirthSex"]
    assert errors(patient) == []
    sex["valueString"] = sex.pop("valueCodeableConcept")["coding"][0]["code"]
    assert [told.partition(":")[0] for told in errors(patient)] == ["Patient.extension[0].value"]


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

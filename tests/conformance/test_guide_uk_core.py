"""What meets our profiles of people, organisations, plans and tasks meets UK Core's too, and says so.

Our profiles do not derive from UK Core, because its package may not be installed; they restate what it asks. So two things
are held here with the package loaded: each rule of a UK Core profile has one of ours that is at least as strict, and every
example of these types conforms to both. The package has no profile of CarePlan and Task yet; UK Core's drafts of them add
nothing but must-support marks, which are listed below.
"""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.fhir import codec
from phb_fhir.validation.validate import validate
from tests.conformance.test_uk_core_examples import UK_CORE, content

Resource = dict[str, Any]

ROOT = Path(__file__).parents[2]
OURS = "https://fhir.phb.nhs.example/StructureDefinition/"
PROFILES = {
    "Patient": "phb-patient",
    "Organization": "phb-organization",
    "Practitioner": "phb-practitioner",
    "PractitionerRole": "phb-practitioner-role",
    "RelatedPerson": "phb-related-person",
}
MUST_SUPPORT_OF_DRAFTS = {
    "phb-plan": {"CarePlan.status", "CarePlan.intent", "CarePlan.category", "CarePlan.subject"},
    "phb-task": {
        "Task.status",
        "Task.intent",
        "Task.code",
        "Task.focus",
        "Task.for",
        "Task.authoredOn",
        "Task.requester",
        "Task.owner",
        "Task.reasonCode",
        "Task.reasonReference",
        "Task.restriction.period",
        "Task.input",
    },
}
BOTH = (*PROFILES, "CarePlan", "Task")
EXAMPLES = [
    path
    for folder in ("profiles/examples", "examples/jill", "examples/family")
    for path in sorted((ROOT / folder).glob("*.json"))
    if path.name.split("-")[0] in BOTH
]

example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
restated = pytest.mark.parametrize("resource_type", PROFILES)


@cache
def known() -> Registry:
    ours = [orjson.loads(path.read_bytes()) for path in sorted((ROOT / "profiles").glob("*.json"))]
    return Registry.of(load(), [*content()[0], *ours])


def read(path: Path) -> Resource:
    made: Resource = codec.loads(path.read_bytes(), depth_max=64)
    return made


def errors(resource: Resource, *profiles: str) -> list[str]:
    found = validate(resource, load(), profiles, known=known())
    return [f"{issue.expression}: {issue.text}" for issue in found if issue.is_error]


def elements(url: str, view: str) -> dict[str, Resource]:
    structure = known().structure(url)
    assert structure is not None
    return {element["id"]: element for element in structure[view]["element"]}


def most(element: Resource) -> float:
    return float("inf") if element["max"] == "*" else int(element["max"])


# ---- rule by rule ----------------------------------------------------------------------------------------------------


def rules(resource_type: str) -> list[tuple[str, Resource, Resource]]:
    """The elements that UK Core says something of: their id, UK Core's words, and ours."""
    theirs = elements(f"{UK_CORE}UKCore-{resource_type}", "differential")
    ours = elements(OURS + PROFILES[resource_type], "snapshot")
    return [(name, element, ours.get(name, {})) for name, element in theirs.items()]


@restated
def test_what_uk_core_wants_supported_we_want_supported(resource_type: str) -> None:
    wanted = [(name, ours) for name, theirs, ours in rules(resource_type) if theirs.get("mustSupport")]
    assert len(wanted) > 3
    assert [name for name, ours in wanted if not ours.get("mustSupport")] == []


@restated
def test_no_more_and_no_less_is_allowed_than_in_uk_core(resource_type: str) -> None:
    found = rules(resource_type)
    assert [name for name, theirs, ours in found if "min" in theirs and ours.get("min", 0) < theirs["min"]] == []
    assert [name for name, theirs, ours in found if "max" in theirs and not (ours and most(ours) <= most(theirs))] == []


@restated
def test_what_uk_core_fixes_or_binds_for_good_is_the_same_here(resource_type: str) -> None:
    for name, theirs, ours in rules(resource_type):
        if "fixedUri" in theirs:
            assert ours["fixedUri"] == theirs["fixedUri"], name
        if theirs.get("binding", {}).get("strength") == "required":
            assert {key: ours["binding"][key] for key in ("strength", "valueSet")} == {
                key: theirs["binding"][key] for key in ("strength", "valueSet")
            }, name


@pytest.mark.parametrize("profile", MUST_SUPPORT_OF_DRAFTS)
def test_what_uk_cores_drafts_want_supported_we_want_supported(profile: str) -> None:
    ours = elements(OURS + profile, "snapshot")
    assert {name for name in MUST_SUPPORT_OF_DRAFTS[profile] if not ours[name].get("mustSupport")} == set()


# ---- example by example ----------------------------------------------------------------------------------------------


def test_each_of_the_seven_types_has_examples() -> None:
    assert {path.name.split("-")[0] for path in EXAMPLES} == set(BOTH)


@example
def test_an_example_claims_our_profile_and_uk_cores(path: Path) -> None:
    resource = read(path)
    ours, theirs = resource["meta"]["profile"]
    assert theirs == f"{UK_CORE}UKCore-{resource['resourceType']}"
    structure = known().structure(ours)
    assert structure is not None
    assert (ours.startswith(OURS), structure["type"]) == (True, resource["resourceType"])


@example
def test_an_example_meets_our_profile_and_uk_cores(path: Path) -> None:
    resource = read(path)
    assert errors(resource) == []  # what it claims, as far as the package has it
    theirs = f"{UK_CORE}UKCore-{resource['resourceType']}"
    assert (known().structure(theirs) is not None) == (resource["resourceType"] in PROFILES)


def a_person() -> Resource:
    return copy.deepcopy(read(ROOT / "profiles" / "examples" / "Patient-example-person.json"))


def places(found: list[str]) -> list[str]:
    return sorted({told.partition(":")[0] for told in found})


def test_a_second_nhs_number_is_refused_by_either() -> None:
    person = a_person()
    del person["meta"]
    profiles = (f"{OURS}phb-patient", f"{UK_CORE}UKCore-Patient")
    assert [errors(person, profile) for profile in profiles] == [[], []]
    person["identifier"].append({"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9000000327"})
    assert [places(errors(person, profile)) for profile in profiles] == [["Patient.identifier"]] * 2


def test_a_second_ethnic_category_is_refused_by_either() -> None:
    person = a_person()
    del person["meta"]
    category = {
        "url": f"{UK_CORE}Extension-UKCore-EthnicCategory",
        "valueCodeableConcept": {
            "coding": [{"system": "https://fhir.hl7.org.uk/CodeSystem/UKCore-EthnicCategoryEngland", "code": "Z"}]
        },
    }
    profiles = (f"{OURS}phb-patient", f"{UK_CORE}UKCore-Patient")
    person["extension"] = [category]
    assert [errors(person, profile) for profile in profiles] == [[], []]
    person["extension"] = [category, category]
    assert [places(errors(person, profile)) for profile in profiles] == [["Patient.extension"]] * 2


def test_without_the_package_an_example_is_only_warned_about_the_profile_nobody_here_knows() -> None:
    ours = [orjson.loads(path.read_bytes()) for path in sorted((ROOT / "profiles").glob("*.json"))]
    found = validate(a_person(), load(), known=Registry.of(load(), ours))
    told = [issue for issue in found if issue.severity != "information" and "UKCore-Patient" in issue.text]
    assert [issue.severity for issue in told] == ["warning"]
    assert [issue for issue in found if issue.is_error] == []

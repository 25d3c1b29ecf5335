"""What R4 says should be so and not that it shall: a warning that names it, and nothing is refused for it."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from phb_fhir.definitions.load import load
from phb_fhir.fhir import codec
from phb_fhir.outcome import Kind
from phb_fhir.validation.validate import validate
from tests.validation.resources import patient

R4 = load()
UUID = "urn:uuid:c757873d-ec9a-4326-a141-556f43239520"


class Case(NamedTuple):
    good: dict[str, Any]
    worse: dict[str, Any]
    place: str
    says: str
    kind: Kind = Kind.VALUE


def pointing(reference):
    return patient(managingOrganization={"reference": reference})


def following(canonical):
    asked = {"status": "active", "intent": "plan", "subject": {"display": "A"}}
    return {"resourceType": "CarePlan", **asked, "instantiatesCanonical": [canonical]}


def collection(full_url):
    entry = {"fullUrl": full_url, "resource": {"resourceType": "Patient", "active": True}}
    return {"resourceType": "Bundle", "type": "collection", "entry": [entry]}


REFERENCE = "Patient.managingOrganization.reference"
CASES = {
    "a text has more than white space": Case(
        patient(name=[{"text": " A "}]), patient(name=[{"text": " \n"}]), "Patient.name[0].text", "nothing but white space"
    ),
    "a text has no control characters": Case(
        patient(name=[{"text": "A\tB\r\n"}]), patient(name=[{"text": "A\u0007"}]), "Patient.name[0].text", "control characters"
    ),
    "every text of a list": Case(
        patient(name=[{"given": ["A", "B"]}]), patient(name=[{"given": ["A", " "]}]), "Patient.name[0].given[1]", "white space"
    ),
    "nulls after the last value are left out": Case(
        patient(name=[{"given": ["A"], "_given": [{"id": "a"}]}]),
        patient(name=[{"given": ["A"], "_given": [{"id": "a"}, None]}]),
        "Patient.name[0].given",
        "leave out the nulls past the last value",
        Kind.STRUCTURE,
    ),
    "the id of an element has no spaces": Case(
        patient(name=[{"id": "a-b", "text": "A"}]),
        patient(name=[{"id": "a b", "text": "A"}]),
        "Patient.name[0].id",
        "without spaces",
    ),
    "a canonical URL is absolute": Case(
        following("http://example.org/PlanDefinition/q|1"),
        following("PlanDefinition/q"),
        "CarePlan.instantiatesCanonical[0]",
        "absolute",
    ),
    "a fullUrl that starts like a UUID is one": Case(
        collection(UUID), collection("urn:uuid:1"), "Bundle.entry[0].fullUrl", "in this Bundle only"
    ),
    "a reference names a resource type and an id": Case(
        pointing("Organization/1"), pointing("Organization"), REFERENCE, "Type/id"
    ),
    "a reference names a type that there is": Case(
        pointing("Organization/1/_history/2"), pointing("Organisation/1"), REFERENCE, "Type/id"
    ),
    "a reference names an id that may be": Case(
        pointing("https://example.org/Organization/1"), pointing("Organization/a_b"), REFERENCE, "Type/id"
    ),
    "a reference that starts like a UUID is one": Case(
        pointing(UUID), pointing("urn:uuid:organisation"), REFERENCE, "urn:uuid:"
    ),
    "a conditional reference is one": Case(
        pointing("Organization?identifier=1"), pointing("Organization/identifier/1"), REFERENCE, "Type/id"
    ),
}  # fmt: skip


def told(resource):
    """What is said at the elements; that a narrative should be there (dom-6) is said of the resource."""
    found = validate(codec.loads(codec.dumps(resource), depth_max=100), R4)
    return [issue for issue in found if issue.kind is not Kind.INVARIANT]


@pytest.mark.parametrize("name", CASES)
def test_what_is_as_it_should_be_is_not_remarked_upon(name):
    assert told(CASES[name].good) == []


@pytest.mark.parametrize("name", CASES)
def test_what_is_not_as_it_should_be_is_a_warning_at_its_place(name):
    case = CASES[name]
    [issue] = told(case.worse)
    assert (issue.severity, issue.kind, issue.expression) == ("warning", case.kind, case.place)
    assert case.says in issue.text


def test_a_reference_with_a_blank_is_no_uri_and_refused():
    [issue] = told(pointing("Organization/1 "))
    assert (issue.severity, issue.kind, issue.expression) == ("error", Kind.VALUE, REFERENCE)

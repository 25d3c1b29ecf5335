"""Where a problem is: one element and no other, as FHIRPath that finds it."""

from __future__ import annotations

import pytest

from phb_fhir.definitions.load import load
from phb_fhir.fhir import codec
from phb_fhir.validation.validate import validate
from tests.validation.resources import observation, patient

R4 = load()
EXT = "https://example.org/e"
ORGANISATION = {"resourceType": "Organization", "id": "o", "name": "O"}


def places(resource):
    """Where the errors are."""
    read = codec.loads(codec.dumps(resource), depth_max=100)
    return [issue.expression for issue in validate(read, R4) if issue.is_error]


def parameter(**value):
    return {"resourceType": "Parameters", "parameter": [{"name": "x", **value}]}


PLACES = {
    "a choice has the type it has there": (observation(valueInteger="1"), ["Observation.value.ofType(integer)"]),
    "below a choice too": (observation(valueQuantity={"value": "1"}), ["Observation.value.ofType(Quantity).value"]),
    "in an extension": (
        patient(extension=[{"url": EXT, "valuePeriod": {"start": "x"}}]),
        ["Patient.extension[0].value.ofType(Period).start"],
    ),
    "in an extension of a primitive": (
        patient(birthDate="2000", _birthDate={"extension": [{"url": EXT, "valueCode": " "}]}),
        ["Patient.birthDate.extension[0].value.ofType(code)"],
    ),
    "in an extension of one of several primitives": (
        patient(name=[{"given": ["A", "B"], "_given": [None, {"extension": [{"url": EXT, "valueCode": " "}]}]}]),
        ["Patient.name[0].given[1].extension[0].value.ofType(code)"],
    ),
    "in Parameters": (parameter(valueUnsignedInt=-1), ["Parameters.parameter[0].value.ofType(unsignedInt)"]),
    "in a resource in Parameters": (
        parameter(resource=observation(valueInteger="1")),
        ["Parameters.parameter[0].resource.value.ofType(integer)"],
    ),
    "in a contained resource": (
        patient(
            contained=[{**ORGANISATION, "extension": [{"url": EXT, "valueCode": " "}]}],
            managingOrganization={"reference": "#o"},
        ),
        ["Patient.contained[0].extension[0].value.ofType(code)"],
    ),
    "of a choice that only has a twin": (
        observation(_valueString={"extension": []}),
        ["Observation.value.ofType(string).extension"],
    ),
    "a choice that is given twice has no one type": (
        observation(valueInteger=1, valueString="a"),
        ["Observation.value"],
    ),
    "a choice that is missing has none yet": (
        {"resourceType": "MedicationStatement", "status": "active", "subject": {"display": "J"}},
        ["MedicationStatement.medication"],
    ),
    "an element that is no choice has its plain name": (patient(gender="x"), ["Patient.gender"]),
    "an unknown property is named as it is": (observation(valueAddress={"text": "a"}), ["Observation.valueAddress"]),
    "in the order of the document, choices and twins too": (
        observation(
            _issued={"id": "a"},
            valueQuantity={"value": "1"},
            effectivePeriod={"start": "x"},
            note=[{"authorString": "", "text": "a"}],
        ),
        [
            "Observation.issued",
            "Observation.value.ofType(Quantity).value",
            "Observation.effective.ofType(Period).start",
            "Observation.note[0].author.ofType(string)",
        ],
    ),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_problem_is_at(name):
    resource, expected = PLACES[name]
    assert places(resource) == expected

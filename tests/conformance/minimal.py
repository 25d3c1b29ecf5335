"""The least that a resource of a type must hold, made from the definitions: what is mandatory, and nothing else.

`MORE` adds what no cardinality says but an invariant asks for.
"""

from __future__ import annotations

from typing import Any

from phb_fhir.definitions.load import Element, load

R4 = load()
IDENTIFIER = {"system": "http://example.org/ids", "value": "1"}

PRIMITIVES: dict[str, Any] = {
    "boolean": True,
    "integer": 1,
    "unsignedInt": 1,
    "positiveInt": 1,
    "decimal": 1,
    "string": "text",
    "markdown": "text",
    "code": "en",
    "id": "example",
    "uri": "http://example.org/one",
    "url": "http://example.org/one",
    "canonical": "http://example.org/one",
    "oid": "urn:oid:1.2.3",
    "uuid": "urn:uuid:00000000-0000-4000-8000-000000000000",
    "base64Binary": "eA==",
    "date": "2026-11-22",
    "dateTime": "2026-11-22",
    "instant": "2026-11-22T09:00:00Z",
    "time": "09:00:00",
    "xhtml": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>',
}
# of the types with nothing mandatory, the part that says something
TELLING: dict[str, dict[str, Any]] = {
    "Attachment": {"url": "http://example.org/one"},
    "CodeableConcept": {"text": "text"},
    "Coding": {"code": "text"},
    "Identifier": {"value": "1"},
    "Money": {"value": 1, "currency": "GBP"},
    "Period": {"start": "2026-11-22"},
    "Quantity": {"value": 1},
}
_TEXT = {"text": "text"}
_SOFTWARE = {"name": "text"}
MORE: dict[str, dict[str, Any]] = {
    "AllergyIntolerance": {  # ait-1
        "clinicalStatus": {
            "coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": "active"}
            ]
        }
    },
    "Appointment": {"status": "proposed", "participant": [{"type": [_TEXT], "status": "accepted"}]},  # app-1, app-3
    "AppointmentResponse": {"participantType": [_TEXT]},  # apr-1
    "CapabilityStatement": {"software": _SOFTWARE, "rest": [{"mode": "server"}]},  # cpb-1, cpb-2, cpb-15
    "Consent": {"policyRule": _TEXT},  # ppc-1
    "EventDefinition": {"trigger": [{"type": "named-event", "name": "text"}]},  # trd-3
    "ImmunizationRecommendation": {  # imr-1
        "recommendation": [{"targetDisease": _TEXT, "forecastStatus": _TEXT}]
    },
    "InsurancePlan": {"name": "text"},  # ipn-1
    "Linkage": {  # lnk-1
        "item": [
            {"type": "source", "resource": {"reference": "Patient/one"}},
            {"type": "alternate", "resource": {"reference": "Patient/two"}},
        ]
    },
    "Organization": {"name": "text"},  # org-1
    # one that can be searched by
    "SearchParameter": {"code": "least", "base": ["Basic"], "type": "token", "expression": "Basic.language"},
    "StructureDefinition": {  # sdf-6, sdf-8a, sdf-14
        "type": "Patient",
        "differential": {"element": [{"id": "Patient", "path": "Patient"}]},
    },
    "TerminologyCapabilities": {"kind": "capability", "software": _SOFTWARE},  # tcp-2, tcp-4
}


def minimal(type_: str) -> dict[str, Any]:
    """The least valid `type_`."""
    return {"resourceType": type_, **_mandatory(type_), **MORE.get(type_, {})}


def _mandatory(name: str) -> dict[str, Any]:
    type_ = R4.type(name)
    spelled = {choice: spellings[0] for choice, spellings in type_.choices.items()}
    wanted = [one for one in type_.elements.values() if one.min > 0 and spelled.get(one.choice, one.name) == one.name]
    return {one.name: _value(one) for one in wanted}


def _value(element: Element) -> Any:
    value = _one(element)
    return [value] if element.is_list else value


def _one(element: Element) -> Any:
    if element.binding is not None and element.binding.strength == "required":
        codes = R4.codes(element.binding.value_set)
        if codes and element.type == "code":
            return min(code for listed in codes.values() for code in listed)
    if element.type in PRIMITIVES:
        return PRIMITIVES[element.type]
    if element.type == "Reference":
        targets = [target for target in element.targets if target in R4.resource_types]
        return {"reference": f"{targets[0] if targets else 'Patient'}/example"}
    if element.type == "Resource":
        return {"resourceType": "Basic", "code": {"text": "text"}}
    return _mandatory(element.type) or TELLING[element.type]

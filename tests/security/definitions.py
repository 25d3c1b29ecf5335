"""One of each kind of definition, which everybody may read."""

from __future__ import annotations

from tests.security.elements import Resource, coded, thing

_BASE = {"name": "Thing", "status": "active"}
_ACTIVE = {"status": "active"}
_WITHOUT_URL = ("Endpoint", "NamingSystem")
_CONTENT: dict[str, Resource] = {
    "ActivityDefinition": _ACTIVE,
    "CapabilityStatement": {
        **_ACTIVE,
        "date": "2026-01-01",
        "kind": "requirements",
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [{"mode": "server"}],
        "description": "What is asked of a server",
    },
    "CodeSystem": {**_ACTIVE, "content": "not-present"},
    "CompartmentDefinition": {**_BASE, "code": "Patient", "search": True},
    "ConceptMap": _ACTIVE,
    "Endpoint": {
        **_ACTIVE,
        "connectionType": {"code": "hl7-fhir-rest"},
        "payloadType": [{"text": "any"}],
        "address": "https://elsewhere.example",
    },
    "GraphDefinition": {**_BASE, "start": "Patient"},
    "ImplementationGuide": {**_BASE, "packageId": "thing.example", "fhirVersion": ["4.0.1"]},
    "Library": {**_ACTIVE, "type": coded("logic-library", "http://terminology.hl7.org/CodeSystem/library-type")},
    "Measure": _ACTIVE,
    "NamingSystem": {
        **_BASE,
        "kind": "identifier",
        "date": "2026-01-01",
        "uniqueId": [{"type": "uri", "value": "http://names.example"}],
    },
    "OperationDefinition": {
        **_BASE,
        "kind": "operation",
        "code": "thing",
        "system": False,
        "type": False,
        "instance": True,
        "resource": ["Patient"],
    },
    "PlanDefinition": _ACTIVE,
    "Questionnaire": _ACTIVE,
    "SearchParameter": {
        **_BASE,
        "status": "retired",
        "description": "What nothing is found by",
        "code": "thing",
        "base": ["Basic"],
        "type": "token",
        "expression": "Basic.code",
    },
    "StructureDefinition": {
        **_BASE,
        "kind": "resource",
        "abstract": False,
        "type": "Basic",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Basic",
        "derivation": "constraint",
        "differential": {"element": [{"id": "Basic", "path": "Basic"}]},
    },
    "StructureMap": {
        **_BASE,
        "group": [
            {
                "name": "a",
                "typeMode": "none",
                "input": [{"name": "a", "mode": "source"}],
                "rule": [{"name": "r", "source": [{"context": "a"}]}],
            }
        ],
    },
    "ValueSet": _ACTIVE,
}


def guide() -> list[Resource]:
    return [thing(type_, f"a-{type_.lower()}", **_named(type_), **content) for type_, content in _CONTENT.items()]


def _named(type_: str) -> Resource:
    return {} if type_ in _WITHOUT_URL else {"url": f"http://defined.example/{type_}"}

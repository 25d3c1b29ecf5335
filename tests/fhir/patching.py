"""People and operations to try a patch on, and what a refusal says."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phb_fhir.definitions.load import load
from phb_fhir.fhir import codec
from phb_fhir.fhir.codec import Exact
from phb_fhir.fhir.patch import apply_fhirpath_patch, apply_json_patch
from phb_fhir.outcome import Kind, Refusal, Rejected

SHARED = Path(__file__).parents[2].parent / "shared" / "conformance" / "patch"
R4 = load()

Refused = tuple[Refusal, Kind, str]


def refusal_of(patch: Callable[[], Any]) -> Refused:
    with pytest.raises(Rejected) as refused:
        patch()
    (issue,) = refused.value.issues
    return refused.value.refusal, issue.kind, issue.text


BLOGGS: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "active": True,
    "name": [{"family": "Bloggs", "given": ["Jo", "Ann"]}, {"text": "Jo"}],
    "multipleBirthInteger": 1,
}


def json_patch_of(*operations: dict[str, Any], of: dict[str, Any] = BLOGGS) -> dict[str, Any]:
    before = copy.deepcopy(of)
    try:
        return apply_json_patch(of, list(operations))
    finally:
        assert of == before, "the resource given was changed"


SMITH: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "contained": [{"resourceType": "Organization", "id": "gp", "name": "The Surgery"}],
    "extension": [
        {"url": "http://x.org/nhs", "valueString": "one"},
        {"url": "http://x.org/many", "extension": [{"url": "inner", "valueCode": "c"}]},
    ],
    "identifier": [{"system": "a", "value": "1"}, {"system": "b", "value": "2", "use": "old"}],
    "name": [
        {"use": "official", "family": "Smith", "given": ["Al", "Bo", "Cy"], "_given": [None, {"id": "bo"}, None]},
        {"use": "usual", "text": "Al"},
    ],
    "telecom": [
        {"system": "phone", "use": "home", "value": "1"},
        {"system": "email", "use": "home", "value": "e"},
        {"system": "phone", "use": "work", "value": "2"},
    ],
    "birthDate": "1970-01-01",
    "_birthDate": {"extension": [{"url": "http://x.org/time", "valueDateTime": "1970-01-01T10:00:00Z"}]},
    "deceasedBoolean": False,
    "managingOrganization": {"reference": "#gp"},
}
TEST_RESULT: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"text": "weight"},
    "valueQuantity": {"value": Exact("70.50"), "unit": "kg"},
    "component": [
        {"code": {"coding": [{"code": "x"}, {"code": "y"}]}, "valueInteger": 1},
        {"code": {"coding": [{"code": "z"}]}, "valueString": "s"},
    ],
}


def part(name: str, value: object) -> dict[str, Any]:
    """A part named `name`: its parts (a list), a whole number, or a dict with the value[x]."""
    if isinstance(value, list):
        return {"name": name, "part": value}
    if isinstance(value, int):
        return {"name": name, "valueInteger": value}
    return {"name": name, **value} if isinstance(value, dict) else {"name": name, "valueString": value}


def operation(type_name: str, **parts: object) -> dict[str, Any]:
    listed = [{"name": "type", "valueCode": type_name}, *(part(name, value) for name, value in parts.items())]
    return {"name": "operation", "part": listed}


def patched(resource: dict[str, Any], *operations: dict[str, Any]) -> dict[str, Any]:
    before = copy.deepcopy(resource)
    try:
        return apply_fhirpath_patch(resource, {"resourceType": "Parameters", "parameter": list(operations)}, R4)
    finally:
        assert codec.canonical(resource) == codec.canonical(before), "the resource given was changed"


def one(resource: dict[str, Any], type_name: str, **parts: object) -> dict[str, Any]:
    return patched(resource, operation(type_name, **parts))

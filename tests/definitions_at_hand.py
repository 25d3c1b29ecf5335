"""Definitions that tests bring to a server: a profile, codes and a value set of their own."""

from __future__ import annotations

from typing import Any

BASE = "https://definitions.example"


def profile(
    name: str = "born", *, path: str = "Patient.birthDate", version: str = "1.0", **more: Any
) -> dict[str, Any]:
    """A profile that asks for one element: by default of a Patient, its birthDate."""
    type_ = path.partition(".")[0]
    element = {"id": path, "path": path, "min": 1}
    return {
        "resourceType": "StructureDefinition",
        "id": name,
        "url": f"{BASE}/StructureDefinition/{name}",
        "version": version,
        "name": name.capitalize().replace("-", ""),
        "status": "active",
        "fhirVersion": "4.0.1",
        "kind": "resource",
        "abstract": False,
        "type": type_,
        "baseDefinition": f"http://hl7.org/fhir/StructureDefinition/{type_}",
        "derivation": "constraint",
        "differential": {"element": [{"id": type_, "path": type_}, element]},
        **more,
    }


def code_system(name: str = "colours", codes: tuple[str, ...] = ("red", "green"), **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "CodeSystem",
        "id": name,
        "url": f"{BASE}/CodeSystem/{name}",
        "version": "1.0",
        "name": name.capitalize(),
        "status": "active",
        "caseSensitive": True,
        "content": "complete",
        "concept": [{"code": code, "display": code.capitalize()} for code in codes],
        **more,
    }


def value_set(name: str = "colours", *, include: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "ValueSet",
        "id": name,
        "url": f"{BASE}/ValueSet/{name}",
        "version": "1.0",
        "name": name.capitalize(),
        "status": "active",
        "compose": {"include": [include or {"system": f"{BASE}/CodeSystem/{name}"}]},
        **more,
    }


def bound(name: str = "painted", value_set_name: str = "colours") -> dict[str, Any]:
    """A profile of Basic whose code is bound to a value set."""
    made = profile(name, path="Basic.code")
    made["differential"]["element"][1]["binding"] = {
        "strength": "required",
        "valueSet": f"{BASE}/ValueSet/{value_set_name}",
    }
    return made


def claiming(resource: dict[str, Any], name: str = "born") -> dict[str, Any]:
    """The resource, claiming the profile of this name."""
    return {**resource, "meta": {"profile": [f"{BASE}/StructureDefinition/{name}"]}}


def search_parameter(
    name: str = "marital", *, expression: str = "Patient.maritalStatus", **more: Any
) -> dict[str, Any]:
    """A search parameter of Patient: by default, to find people by their marital status."""
    return {
        "resourceType": "SearchParameter",
        "id": name,
        "url": f"{BASE}/SearchParameter/{name}",
        "version": "1.0",
        "name": name.capitalize().replace("-", ""),
        "status": "active",
        "description": "Of a deployment's own.",
        "code": name,
        "base": ["Patient"],
        "type": "token",
        "expression": expression,
        **more,
    }

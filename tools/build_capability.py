"""Write the resource rows of capability_statement.json: every R4 type, with the interactions all types share.

The file is the source of what is served, and may be edited by hand; this tool is for renewing its like rows at once.
Run: python tools/build_capability.py
"""

from __future__ import annotations

import json
from pathlib import Path

from phb_fhir.definitions.load import load
from phb_fhir.search.index import has_url

FILE = Path(__file__).resolve().parents[1] / "capability_statement.json"

TYPE_INTERACTIONS = (
    "read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type",
)  # fmt: skip
SYSTEM_INTERACTIONS = ("transaction", "batch", "search-system", "history-system")

COMMON = {
    "versioning": "versioned",
    "readHistory": True,
    "updateCreate": True,
    "conditionalCreate": True,
    "conditionalRead": "full-support",
    "conditionalUpdate": True,
    "conditionalDelete": "multiple",
    "referencePolicy": ["literal", "logical", "local"],
}
DATE = {
    "name": "_lastUpdated",
    "definition": "http://hl7.org/fhir/SearchParameter/Resource-lastUpdated",
    "type": "date",
}
ID = {"name": "_id", "definition": "http://hl7.org/fhir/SearchParameter/Resource-id", "type": "token"}

OPERATIONS = {
    "CodeSystem": ("lookup", "subsumes", "validate-code"),
    "StructureDefinition": ("snapshot",),
    "ValueSet": ("expand", "validate-code"),
}  # beside $validate, which every type has

HEAD = {
    "resourceType": "CapabilityStatement",
    "id": "phb-fhir",
    "url": "https://fhir.phb.nhs.example/CapabilityStatement/phb-fhir",
    "version": "0.1.0",
    "name": "PhbFhirServer",
    "title": "FHIR R4 server for NHS Personal Health Budgets",
    "status": "active",
    "experimental": False,
    "date": "2026-11-22",
    "publisher": "phb_fhir",
    "description": "Budgets, care plans, purchases and workflow tasks as FHIR R4 resources, and every other R4 type with"
    " them. What stands here is what is served: the server reads its routes from this statement.",
    "kind": "instance",
    "software": {"name": "phb_fhir"},
    "implementation": {"description": "A phb_fhir server"},
    "fhirVersion": "4.0.1",
    "format": ["application/fhir+json", "json"],
    "patchFormat": ["application/json-patch+json", "application/fhir+json", "application/merge-patch+json"],
}


def main() -> None:
    definitions = load()
    resources = []
    for type_ in sorted(definitions.resource_types):
        parameters = [ID, DATE]
        if found := definitions.search_parameters(type_).get("identifier"):
            parameters.append({"name": "identifier", "definition": found.url, "type": "token"})
        if has_url(type_, definitions):
            found = definitions.search_parameters(type_)["url"]
            parameters.append({"name": "url", "definition": found.url, "type": "uri"})
        resources.append(
            {
                "type": type_,
                "profile": f"http://hl7.org/fhir/StructureDefinition/{type_}",
                "interaction": [{"code": code} for code in TYPE_INTERACTIONS],
                **COMMON,
                "searchParam": parameters,
                "operation": [
                    *(_operation(type_, name) for name in OPERATIONS.get(type_, ())),
                    _operation("Resource", "validate"),
                ],
            }
        )
    rest = {
        "mode": "server",
        "documentation": "Creates, updates and deletes are acknowledged once a majority of the database has them in its"
        " journal. Unknown parameters are refused unless Prefer: handling=lenient is sent, and then reported.",
        "resource": resources,
        "interaction": [{"code": code} for code in SYSTEM_INTERACTIONS],
        "searchParam": [ID, DATE],
    }
    FILE.write_text(json.dumps({**HEAD, "rest": [rest]}, indent=2, ensure_ascii=False) + "\n")


def _operation(type_: str, name: str) -> dict[str, str]:
    return {"name": name, "definition": f"http://hl7.org/fhir/OperationDefinition/{type_}-{name}"}


if __name__ == "__main__":
    main()

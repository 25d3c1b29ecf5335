"""Write capability_statement.json: every R4 type, with the interactions and operations that types share, and every search
parameter of FHIR R4 and of the guide.

The file is the source of what is served, and may be edited by hand; this tool is for renewing its like rows at once.
Run: python tools/build_capability.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from phb_fhir.definitions.load import SearchParameter, load
from phb_fhir.definitions.search_parameters import SearchParameters, search_parameters
from phb_fhir.operations.registry import OPERATIONS as REGISTERED

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
R4 = "http://hl7.org/fhir"
GUIDE = "https://fhir.phb.nhs.example"

# what every type is searched by stands once, for the whole system (R4: "for searching all resources"); these two are
# repeated with each type, because clients look for them there
EVERYWHERE = ("_id", "_lastUpdated")
SHARED = (*EVERYWHERE, "_profile", "_security", "_source", "_tag", "_text", "_content", "_filter")
SPECIAL = ("_has", "_list")  # R4 §3.1.1 describes them, and defines no SearchParameter

# the operations of single types, as they are built
OPERATIONS = {
    type_: tuple(one.url for one in REGISTERED.values() if type_ in one.types)
    for type_ in sorted({type_ for one in REGISTERED.values() for type_ in one.types})
}
OF_EVERY_TYPE = tuple(
    f"{R4}/OperationDefinition/Resource-{name}" for name in ("meta", "meta-add", "meta-delete", "validate")
)
OF_THE_SYSTEM = (f"{GUIDE}/OperationDefinition/phb-fsck", f"{R4}/OperationDefinition/Resource-meta")

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
    FILE.write_text(statement())


def statement() -> str:
    """What the server is to promise, as it stands in the file."""
    definitions = load()
    parameters = search_parameters(definitions)
    rest = {
        "mode": "server",
        "documentation": "Creates, updates and deletes are acknowledged once a majority of the database has them in its"
        " journal. Unknown parameters are refused unless Prefer: handling=lenient is sent, and then reported.",
        "resource": [_row(type_, parameters) for type_ in sorted(definitions.resource_types)],
        "interaction": [{"code": code} for code in SYSTEM_INTERACTIONS],
        "searchParam": [*(_parameter(parameters.of("Basic")[code]) for code in SHARED), *map(_special, SPECIAL)],
        "operation": _operations(*OF_THE_SYSTEM),
    }
    return _written({**HEAD, "rest": [rest]})


def _row(type_: str, parameters: SearchParameters) -> dict[str, Any]:
    own = [parameter for parameter in parameters.of(type_).values() if parameter.base == type_]
    every = parameters.of(type_)
    return {
        "type": type_,
        "profile": f"{R4}/StructureDefinition/{type_}",
        "interaction": [{"code": code} for code in TYPE_INTERACTIONS],
        **COMMON,
        "searchParam": [_parameter(parameter) for parameter in (*(every[code] for code in EVERYWHERE), *own)],
        "operation": _operations(*OPERATIONS.get(type_, ()), *OF_EVERY_TYPE),
    }


def _parameter(parameter: SearchParameter) -> dict[str, str]:
    return {"name": parameter.code, "definition": parameter.url, "type": parameter.type}


def _special(name: str) -> dict[str, str]:
    return {"name": name, "type": "special"}


def _operations(*urls: str) -> list[dict[str, str]]:
    return sorted(({"name": REGISTERED[url].code, "definition": url} for url in urls), key=lambda one: one["name"])


def _written(statement: dict[str, Any]) -> str:
    """As JSON for people: what says one thing stands on one line."""
    text = json.dumps(statement, indent=2, ensure_ascii=False)
    short = re.compile(r"[{\[]\n\s+([^{}\[\]]{1,200}?)\n\s+[}\]]")
    return short.sub(lambda found: found[0][0] + _on_one_line(found[1]) + found[0][-1], text) + "\n"


def _on_one_line(inner: str) -> str:
    joined = re.sub(r"\n\s+", " ", inner)
    return f" {joined} " if inner.startswith('"') and '": ' in inner else joined


if __name__ == "__main__":
    main()

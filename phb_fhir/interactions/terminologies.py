"""`/metadata?mode=terminology`: which codes are known here, and what may be asked of them (R4 §3.1.0.10, TerminologyCapabilities).

What is named only, and none of whose codes are here (SNOMED CT, LOINC, dm+d), is not in it. A system whose codes follow rules instead of
being listed (UCUM, media types) is compositional.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from phb_fhir import __version__
from phb_fhir.definitions.registry import Registry
from phb_fhir.definitions.terminology import terminology_of
from phb_fhir.definitions.terminology_grammars import GRAMMARS
from phb_fhir.definitions.terminology_operations import taken
from phb_fhir.fhir.codec import Resource, dumps
from phb_fhir.interactions.answers import check_parameters
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.interactions.statements import Statements
from phb_fhir.interactions.subset import subset_json

_AS_STATED = ("version", "status", "experimental", "date", "publisher", "kind")  # of the server, in either statement
_TITLE = "Codes known to the FHIR R4 server for NHS Personal Health Budgets"
_TEXT_FILTER = "Every word of the filter begins the code, or a word of one of its names."


def terminology_capabilities(context: Context, request: FhirRequest) -> Answer:
    """The TerminologyCapabilities of what is known at the moment."""
    check_parameters(context, request, "TerminologyCapabilities")
    asked = (request.base, request.subset)

    def make() -> bytes:
        return subset_json(dumps(_statement(context, request.base)), request.subset, context.definitions)

    return Answer(200, context.known.derived(_texts).text(context.parameters, None, asked, make), is_kept=True)


def _texts(_: Registry) -> Statements:
    return Statements()


def _statement(context: Context, base: str) -> Resource:
    stated = context.capability.statement
    url: str = stated["url"]
    return {
        "resourceType": "TerminologyCapabilities",
        "id": stated["id"],
        "url": url.replace("/CapabilityStatement/", "/TerminologyCapabilities/"),
        "name": "PhbFhirServerTerminology",
        "title": _TITLE,
        **{name: stated[name] for name in _AS_STATED},
        "software": {**stated["software"], "version": __version__},
        "implementation": {**stated["implementation"], "url": base},
        "codeSystem": list(_code_systems(context.known)),
        "expansion": {
            "hierarchical": False,
            "paging": True,
            "incomplete": False,
            "parameter": [{"name": name} for name in taken("ValueSet/$expand")],
            "textFilter": _TEXT_FILTER,
        },
        "codeSearch": "explicit",
        "validateCode": {"translations": False},
    }


def _code_systems(known: Registry) -> Iterator[dict[str, Any]]:
    loaded = terminology_of(known).loaded
    for url in sorted({*loaded.base.code_system_urls(), *loaded.systems, *loaded.supplements, *GRAMMARS}):
        held = loaded.held(url)
        if held.system is None and held.grammar is None:
            continue
        others = {kept.version for kept in loaded.systems.get(url, ())} - {held.version, ""}
        rows = [{"code": one, "isDefault": one == held.version} for one in (held.version, *sorted(others)) if one]
        if held.system is None or held.system.is_compositional:
            rows = [{**row, "compositional": True} for row in rows or [{"isDefault": True}]]
        row = {"uri": url} | ({"version": rows} if rows else {})
        yield row if held.system is None else row | {"subsumption": held.system.has_subsumption}

"""capabilities: `/metadata` (R4 §3.1.0.10), the statement that the routes were read from."""

from __future__ import annotations

from typing import Any

from phb_fhir import __version__
from phb_fhir.fhir.codec import dumps
from phb_fhir.interactions.answers import check_parameters
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.interactions.subset import subset_json
from phb_fhir.outcome import Kind, Refusal, refuse


async def capabilities(context: Context, request: FhirRequest) -> Answer:
    """The CapabilityStatement, with the running software's version and address."""
    mode = dict(request.parameters).get("mode", "full")
    if mode not in ("full", "normative"):
        raise refuse(Refusal.BAD_REQUEST, Kind.NOT_SUPPORTED, f"mode={mode}: this server answers full and normative.")
    check_parameters(_without_mode(request))
    return Answer(200, subset_json(dumps(statement(context, request.base)), request.subset, context.definitions))


def statement(context: Context, base: str) -> dict[str, Any]:
    """The statement as served at `base`: versioning follows the setting that requires If-Match."""
    written = context.capability.statement
    rest = written["rest"][0]
    rows = [_row(row, context.settings.versioned_update) for row in rest["resource"]]
    return {
        **written,
        "software": {**written["software"], "version": __version__},
        "implementation": {**written["implementation"], "url": base},
        "rest": [{**rest, "resource": rows}],
    }


def _row(row: dict[str, Any], versioned: tuple[str, ...]) -> dict[str, Any]:
    return {**row, "versioning": "versioned-update"} if row["type"] in versioned else row


def _without_mode(request: FhirRequest) -> FhirRequest:
    return request._replace(parameters=tuple(pair for pair in request.parameters if pair[0] != "mode"))

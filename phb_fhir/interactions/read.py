"""read: the current version of a resource (R4 §3.1.0.2)."""

from __future__ import annotations

from phb_fhir.interactions.answers import check_parameters, show
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.preconditions import is_not_modified
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.outcome import Kind, Refusal, refuse


async def read(context: Context, request: FhirRequest) -> Answer:
    """Raises Rejected: 404 if it never was, 410 if it was deleted."""
    if request.parameters:
        check_parameters(context, request)
    version = await context.reader.read(request.type, request.id)
    if version is None:
        raise refuse(Refusal.NOT_FOUND, Kind.NOT_FOUND, f"There is no {request.type}/{request.id}.")
    if version.json is not None and is_not_modified(request.headers, version):
        return Answer(304, None, version)
    return show(context, request, version)

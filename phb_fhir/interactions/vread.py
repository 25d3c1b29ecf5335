"""vread: one version of a resource, current or not (R4 §3.1.0.3)."""

from __future__ import annotations

import re

from phb_fhir.interactions.answers import check_parameters, show
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.preconditions import is_not_modified
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.outcome import Kind, Refusal, refuse

_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


async def vread(context: Context, request: FhirRequest) -> Answer:
    """Raises Rejected: 404 if there was no such version, 410 if that version is the deletion."""
    check_parameters(context, request)
    wanted = request.segments[3]
    number = int(wanted) if _NUMBER.fullmatch(wanted) else 0
    version = await context.reader.read_version(request.type, request.id, number) if number else None
    if version is None or version.number != number:
        raise refuse(Refusal.NOT_FOUND, Kind.NOT_FOUND, f"There is no version {wanted} of {request.type}/{request.id}.")
    if version.json is not None and is_not_modified(request.headers, version):
        return Answer(304, None, version)
    return show(context, request, version)

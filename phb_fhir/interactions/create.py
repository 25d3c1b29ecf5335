"""create, and conditional create (R4 §3.1.0.8)."""

from __future__ import annotations

from phb_fhir.change import Create
from phb_fhir.interactions.answers import check_parameters, written
from phb_fhir.interactions.commit import commit
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.preconditions import criteria_in
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.interactions.validation import check_resource


async def create(context: Context, request: FhirRequest) -> Answer:
    """Raises Rejected: 400 or 422 for the content, 412 if If-None-Exist matches several."""
    check_parameters(request)
    return written(context, request, await commit(context, change_of_create(context, request)))


def change_of_create(context: Context, request: FhirRequest) -> Create:
    """The change that a create asks for; the id in the body, if any, is not the client's to choose (R4 §3.1.0.8)."""
    check_resource(context, request.body, request.type)
    criteria = request.headers.if_none_exist
    unless = criteria_in(context, request.type, criteria) if criteria else None
    return Create(request.type, context.new_id(), request.body, unless)

"""create, and conditional create (R4 §3.1.0.8).

The criteria stand in If-None-Exist. Some clients (fhirpy's `get_or_create`) send them as the query of the address instead,
as every other conditional interaction does; that means the same here.
"""

from __future__ import annotations

from phb_fhir.change import Create, Criteria
from phb_fhir.interactions.answers import written
from phb_fhir.interactions.commit import commit
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.preconditions import criteria_in, criteria_of
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.interactions.validation import check_type, checked_whole
from phb_fhir.outcome import Kind, Refusal, refuse
from phb_fhir.search.parse import PRESENTATION


async def create(context: Context, request: FhirRequest) -> Answer:
    """Raises Rejected: 400 or 422 for the content, 412 if If-None-Exist matches several."""
    change = await checked_whole(context, change_of_create(context, request))
    return await written(context, request, await commit(context, change))


def change_of_create(context: Context, request: FhirRequest) -> Create:
    """The change that a create asks for; the id in the body, if any, is not the client's to choose (R4 §3.1.0.8).

    Its content is yet to be `checked`.
    """
    check_type(request.body, request.type)
    if request.headers.if_match:
        text = "If-Match names a version that is there, and a create makes what is not there yet; nothing was made."
        raise refuse(Refusal.PRECONDITION_FAILED, Kind.CONFLICT, text)
    return Create(request.type, context.new_id(), request.body, _unless(context, request))


def _unless(context: Context, request: FhirRequest) -> Criteria | None:
    header = request.headers.if_none_exist
    in_query = any(name not in PRESENTATION for name, _ in request.parameters)
    if header and in_query:
        text = "The criteria stand in If-None-Exist and in the address; say them once."
        raise refuse(Refusal.BAD_REQUEST, Kind.INVALID, text)
    if in_query:
        return criteria_of(context, request)
    return criteria_in(context, request.type, header) if header else None

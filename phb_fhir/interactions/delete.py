"""delete and conditional delete (R4 §3.1.0.7). What is deleted stays in the history."""

from __future__ import annotations

from phb_fhir.change import Delete
from phb_fhir.interactions.answers import check_parameters, deleted
from phb_fhir.interactions.commit import commit
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.preconditions import conditions_of, criteria_of
from phb_fhir.interactions.request import Answer, FhirRequest


async def delete(context: Context, request: FhirRequest) -> Answer:
    """Raises Rejected: 412 for If-Match or If-None-Match, or if a conditional delete matches more than it may."""
    if request.id:
        check_parameters(context, request)
    return deleted(request, await commit(context, change_of_delete(context, request)))


def change_of_delete(context: Context, request: FhirRequest) -> Delete:
    """The change that `DELETE Type/id` or `DELETE Type?criteria` asks for."""
    if_match, if_none_match = conditions_of(request)
    if request.id:
        return Delete(request.type, request.id, if_match, if_none_match)
    where = criteria_of(context, request)
    return Delete(request.type, "", if_match, if_none_match, where, context.settings.conditional_delete_max)

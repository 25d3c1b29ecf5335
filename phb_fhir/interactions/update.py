"""update, update as create, and conditional update (R4 §3.1.0.4)."""

from __future__ import annotations

from typing import Any

from phb_fhir.change import Put
from phb_fhir.fhir.reference import is_id
from phb_fhir.interactions.answers import check_parameters, written
from phb_fhir.interactions.commit import commit
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.preconditions import conditions_of, criteria_of
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.interactions.validation import check_type, checked
from phb_fhir.outcome import Kind, Refusal, refuse
from phb_fhir.validation.wording import shown


async def update(context: Context, request: FhirRequest) -> Answer:
    """Raises Rejected: 400 or 422 for the content or its id, 409 or 412 for what stands there."""
    if request.id:
        check_parameters(context, request)
    change = checked(context, change_of_update(context, request))
    return await written(context, request, await commit(context, change))


def change_of_update(context: Context, request: FhirRequest) -> Put:
    """The change that `PUT Type/id` or `PUT Type?criteria` asks for; its content is yet to be `checked`."""
    check_type(request.body, request.type)
    if_match, if_none_match = conditions_of(request)
    given = request.body.get("id", "")
    if request.id:
        check_id(request, given)
        return Put(request.type, request.id, request.body, if_match, if_none_match)
    where = criteria_of(context, request)
    return Put(request.type, given, request.body, if_match, if_none_match, where, fresh_id=context.new_id())


def check_id(request: FhirRequest, given: Any) -> None:
    if not is_id(request.id):
        text = f"'{request.id}' is no id: 1 to 64 letters, digits, '-' and '.'."
        raise refuse(Refusal.BAD_REQUEST, Kind.VALUE, text, f"{request.type}.id")
    if given != request.id:
        named = f"'{given}'" if isinstance(given, str) else shown(given)
        said = f"says {named}" if given else "has none"
        text = f"The address is for the id '{request.id}', but the body {said}; they must agree."
        raise refuse(Refusal.BAD_REQUEST, Kind.INVALID, text, f"{request.type}.id")

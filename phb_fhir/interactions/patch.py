"""patch and conditional patch (R4 §3.1.0.6): JSON Patch, FHIRPath Patch as Parameters, or a JSON Merge Patch."""

from __future__ import annotations

from typing import Any

from phb_fhir.change import Patch
from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.merge_patch import apply_merge_patch
from phb_fhir.fhir.patch import apply_fhirpath_patch, apply_json_patch
from phb_fhir.interactions.answers import check_parameters, written
from phb_fhir.interactions.commit import commit
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.preconditions import conditions_of, criteria_of
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.interactions.validation import check_resource


async def patch(context: Context, request: FhirRequest) -> Answer:
    """Raises Rejected: 400 or 422 for the patch or what it would make, 404, 410, 412 for what stands there."""
    if request.id:
        check_parameters(context, request)
    return await written(context, request, await commit(context, change_of_patch(context, request)))


def change_of_patch(context: Context, request: FhirRequest) -> Patch:
    """The change that `PATCH Type/id` or `PATCH Type?criteria` asks for. A list is a JSON Patch, Parameters are a FHIRPath Patch."""
    body = request.body
    if _is_parameters(body):
        check_resource(context, _apart(body), "Parameters")
    if_match, if_none_match = conditions_of(request)
    where = None if request.id else criteria_of(context, request)
    return Patch(request.type, request.id, _application(context, body), if_match, if_none_match, where)


def _is_parameters(body: Any) -> bool:
    return isinstance(body, dict) and body.get("resourceType") == "Parameters"


def _apart(value: Any) -> Any:
    """The same where nothing points to what is contained (`#a`): that is in the resource, which is looked at with the patch applied (ref-1)."""
    if isinstance(value, list):
        return [_apart(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: "#" if name == "reference" and isinstance(one, str) and one.startswith("#") else _apart(one)
        for name, one in value.items()
    }


def _application(context: Context, body: Any) -> Any:
    def apply(resource: Resource) -> Resource:
        if _is_parameters(body):
            return apply_fhirpath_patch(resource, body, context.definitions, depth_max=context.settings.depth_max)
        if isinstance(body, dict):
            return apply_merge_patch(resource, body)
        return apply_json_patch(resource, body, depth_max=context.settings.depth_max)

    return apply

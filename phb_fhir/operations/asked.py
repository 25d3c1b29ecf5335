"""What every operation needs: its inputs from the request, the resource it was asked of, and how it is answered.

What is done on something large is done in a thread (`apart`). It is given what is known at the moment, not the Context: what
the server knows changes, and is its event loop's to ask.

An operation is asked by GET, its inputs in the address, or by POST with Parameters. Where exactly one input is a resource,
that resource may also be the body itself (R4 §3.2.0.4.1); R4 then has no inputs in the address, but clients send them there
(`$validate?profile=…`), and what else could they mean?
"""

from __future__ import annotations

import base64
from typing import Any

from phb_fhir.definitions.registry import Registry
from phb_fhir.fhir.codec import Resource, dumps, loads
from phb_fhir.interactions.apart import apart
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.interactions.subset import STORED_DEPTH_MAX, subset_json
from phb_fhir.interactions.validation import reject_errors, relocated
from phb_fhir.operations.declared import check_types
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.search.parse import PRESENTATION
from phb_fhir.search.results import check_elements
from phb_fhir.validation.validate import validate


def parameters_of(known: Registry, request: FhirRequest, operation: str, *, body_is: str = "") -> Resource:
    """The inputs of one call, as Parameters. `body_is` is the input that the body may be, if it is no Parameters.

    Raises Rejected: 400 for a body that is not right as Parameters. The resources in it are not looked at.
    """
    asked = [(name, value) for name, value in request.parameters if name not in PRESENTATION]
    rows = [*_of_body(known, request, operation, body_is), *({"name": n, "valueString": v} for n, v in asked)]
    return {"resourceType": "Parameters", "parameter": rows}


def _of_body(known: Registry, request: FhirRequest, operation: str, body_is: str) -> list[Any]:
    body = request.body if request.method == "POST" else None
    if body is None:
        return []
    if body["resourceType"] != "Parameters":
        if body_is:
            return [{"name": body_is, "resource": body}]
        type_ = str(body["resourceType"])
        text = (
            f"The body is {'an' if type_[0] in 'AEIO' else 'a'} {type_}; what {operation} is asked with are Parameters."
        )
        raise refuse(Refusal.BAD_REQUEST, Kind.INVALID, text)
    around = validate(_without_resources(body), known.definitions, known=known)
    reject_errors([issue for issue in around if issue.kind is not Kind.INVARIANT])
    rows: list[Any] = body.get("parameter", [])
    type_ = request.segments[0] if len(request.segments) > 1 else ""
    if wrong := check_types(type_, request.segments[-1].removeprefix("$"), rows):
        raise Rejected(Refusal.BAD_REQUEST, *wrong)
    return rows


def _without_resources(body: Resource) -> Resource:
    """The Parameters alone, so that each problem is told of its own; what a row then lacks is no fault of it."""
    rows = body.get("parameter")
    if not isinstance(rows, list):
        return body
    bare = [
        {name: value for name, value in row.items() if name != "resource" or not isinstance(value, dict)}
        if isinstance(row, dict)
        else row
        for row in rows
    ]
    return {**body, "parameter": bare}


def check_resources(known: Registry, request: FhirRequest, parameters: Resource) -> None:
    """Raise Rejected for a resource sent along that is not valid: no operation builds on what a write would refuse."""
    for index, row in enumerate(parameters["parameter"]):
        if isinstance(sent := row.get("resource"), dict):
            try:
                reject_errors(validate(sent, known.definitions, known=known, keeps_unknown=True))
            except Rejected as rejected:
                is_body = sent is request.body
                raise rejected if is_body else relocated(rejected, f"Parameters.parameter[{index}].resource") from None


def instance_of(request: FhirRequest) -> str:
    """The id of the resource that an operation is asked of, "" when it is asked of a type."""
    return request.segments[1] if len(request.segments) > 2 else ""


async def read_instance(context: Context, request: FhirRequest) -> bytes:
    """The stored resource that an operation is asked of. Raises Rejected: 404, 410."""
    key = f"{request.type}/{instance_of(request)}"
    version = await context.reader.read(request.type, instance_of(request))
    if version is None:
        raise refuse(Refusal.NOT_FOUND, Kind.NOT_FOUND, f"There is no {key}.")
    if version.json is None:
        raise refuse(Refusal.GONE, Kind.DELETED, f"{key} was deleted (version {version.number}).")
    return version.json


async def stored(context: Context, request: FhirRequest) -> Resource:
    """The same, read."""
    json = await read_instance(context, request)
    resource: Resource = await apart(len(json), loads, json, depth_max=STORED_DEPTH_MAX)
    return resource


def binary_of(content_type: str, written: bytes) -> Answer:
    """A Binary, to be sent as what it holds."""
    data = base64.b64encode(written).decode()
    binary = {"resourceType": "Binary", "contentType": content_type, "data": data}
    return Answer(200, dumps(binary), is_content=True)


def answered(context: Context, request: FhirRequest, resource: Resource) -> Answer:
    """The answer with this resource, or as much of it as was asked for."""
    if request.subset.summary == "count":
        text = "_summary=count counts what a search or a history finds; an operation answers with one resource."
        raise refuse(Refusal.BAD_REQUEST, Kind.INVALID, text)
    if request.method == "GET" and request.handling == "strict":  # by POST it may have been done already
        check_elements(request.subset.elements, (str(resource["resourceType"]),), context.definitions)
    return Answer(200, subset_json(dumps(resource), request.subset, context.definitions))

"""The terminology operations over HTTP: $expand, $validate-code, $lookup, $subsumes (R4 §4.8.18, §4.9.18).

What they answer is decided in `definitions/terminology_operations`, from what is known at the moment; here they get their
Parameters, the instance they are asked of, and a clock. Their bounds stand where they bite: `CODES_MAX` codes in one
expansion (`definitions/terminology_expand`), past which the answer is too-costly and asks for pages.
"""

from __future__ import annotations

from collections.abc import Callable

from phb_fhir.definitions import terminology_operations
from phb_fhir.definitions.terminology import Terminology, terminology_of
from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import instant_text
from phb_fhir.interactions.apart import apart
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.operations.asked import answered, check_resources, instance_of, parameters_of, stored

Ask = Callable[[Terminology, Resource, Resource | None], Resource]


async def expand(context: Context, request: FhirRequest) -> Answer:
    """ValueSet/$expand: the value set with its codes. Raises Rejected: 404 not known, 422 cannot be listed."""
    now = instant_text(context.now())

    def ask(terminology: Terminology, parameters: Resource, instance: Resource | None) -> Resource:
        return terminology_operations.expand(terminology, parameters, now=now, resource=instance)

    return await _answer(context, request, ask, "$expand", body_is="valueSet")


async def validate_code_in_value_set(context: Context, request: FhirRequest) -> Answer:
    """ValueSet/$validate-code: true or false. Raises Rejected (422) where neither can be known."""
    return await _answer(context, request, _validate_in_value_set, "$validate-code", body_is="valueSet")


async def validate_code_in_code_system(context: Context, request: FhirRequest) -> Answer:
    """CodeSystem/$validate-code: the same."""
    return await _answer(context, request, _validate_in_code_system, "$validate-code", body_is="codeSystem")


async def lookup(context: Context, request: FhirRequest) -> Answer:
    """CodeSystem/$lookup: what a code is called. Raises Rejected (404) for a code or a system not known here."""
    return await _answer(context, request, _lookup, "$lookup")


async def subsumes(context: Context, request: FhirRequest) -> Answer:
    """CodeSystem/$subsumes: whether one code is a kind of the other. Raises Rejected (422) where that cannot be known."""
    return await _answer(context, request, _subsumes, "$subsumes")


def _validate_in_value_set(terminology: Terminology, parameters: Resource, instance: Resource | None) -> Resource:
    return terminology_operations.validate_code_in_value_set(terminology, parameters, resource=instance)


def _validate_in_code_system(terminology: Terminology, parameters: Resource, instance: Resource | None) -> Resource:
    return terminology_operations.validate_code_in_code_system(terminology, parameters, resource=instance)


def _lookup(terminology: Terminology, parameters: Resource, _instance: Resource | None) -> Resource:
    return terminology_operations.lookup(terminology, parameters)


def _subsumes(terminology: Terminology, parameters: Resource, instance: Resource | None) -> Resource:
    return terminology_operations.subsumes(terminology, parameters, resource=instance)


async def _answer(context: Context, request: FhirRequest, ask: Ask, name: str, *, body_is: str = "") -> Answer:
    instance = await stored(context, request) if instance_of(request) else None
    known = context.known

    def work() -> Resource:
        parameters = parameters_of(known, request, f"{request.type}/{name}", body_is=body_is)
        check_resources(known, request, parameters)
        return ask(terminology_of(known), parameters, instance)

    return answered(context, request, await apart(request.size, work))

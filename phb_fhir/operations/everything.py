"""Patient/[id]/$everything and Account/[id]/$everything: one record whole, page by page.

For a Patient (R4 operation Patient-everything): the patient, all that is in the patient compartment, the tasks for the patient
(which R4's compartment leaves out), and what these refer to outside of it: who gave care, where, and with what. `start` and `end` are about when care was given; what has no such date is
kept. For an Account (our own OperationDefinition): the budget, its parts, the person and the care plan with its goals, the
purchases and their evidence, the payments, and the tasks about any of these.

Both are searches, and their pages those of a search: no resource is skipped or repeated while others write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from phb_fhir.definitions.operation_inputs import Inputs, bad_input, read_inputs
from phb_fhir.fhir.dates import period_of, sortable_end, sortable_text
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.interactions.search_type import Scope, members_of, searchset, understood
from phb_fhir.operations.asked import instance_of, parameters_of, read_instance
from phb_fhir.query import AllOf, AnyOf, Bound, Id, Include, Key, Linked, LinkedFrom, Node, Not, Present, Span
from phb_fhir.search.parse import parse_search

NAME = "$everything"
_BOTH = {"_since": True, "_type": True, "_count": True, "_page": True}
_TAKES = {"Patient": _BOTH | {"start": True, "end": True}, "Account": _BOTH}

# what resources of a patient's record refer to outside of it, and a reader needs to understand them
SUPPORTING = (
    "ChargeItemDefinition",
    "Device",
    "HealthcareService",
    "Location",
    "Medication",
    "Organization",
    "Practitioner",
    "PractitionerRole",
    "Questionnaire",
    "Substance",
)

# by which search parameter a type says when care was given; where a resource has several, each must agree
CARE_DATES = (
    "authored",
    "authored-on",
    "authoredon",
    "date",
    "effective-time",
    "occurrence",
    "onset-date",
    "period",
    "recorded",
    "started",
    "whenhandedover",
)

ACCOUNT_TYPES = (
    "Account",
    "CarePlan",
    "ChargeItem",
    "DocumentReference",
    "Goal",
    "Patient",
    "PaymentReconciliation",
    "Task",
)


async def everything(context: Context, request: FhirRequest) -> Answer:
    """Raises Rejected: 400 for inputs, 404 or 410 for the resource, 410 for a page that is too old."""
    await read_instance(context, request)
    inputs = read_inputs(NAME, parameters_of(context.known, request, NAME), _TAKES[request.type], many=("_type",))
    of_patient = request.type == "Patient"
    types = (*members_of(context, "Patient"), "Task") if of_patient else ACCOUNT_TYPES
    where = _in_record(request, inputs) if of_patient else _about_budget(instance_of(request))
    scope = Scope("/".join(request.segments), _wanted(inputs, types, SUPPORTING if of_patient else ()), where)
    search = parse_search(scope.types, _as_search(inputs), context.asking(), scope.within)
    includes = _supporting(inputs) if of_patient else ()
    search = replace(search, includes=includes, applied=(*_given(inputs), *_presented(request)))
    return await searchset(context, request, await understood(context, request, scope, search))


def _in_record(request: FhirRequest, inputs: Inputs) -> Node:
    patient = f"Patient/{instance_of(request)}"
    return AllOf((Key((f"_in={patient}", f"patient={patient}")), *_care_given(inputs)))


def _care_given(inputs: Inputs) -> list[Node]:
    start, end = (_period(inputs, name) if inputs.text(name) else None for name in ("start", "end"))
    if start is not None and end is not None and start[0] >= end[1]:
        raise bad_input('"start" is after "end".')
    bounds = [
        *([Bound("hi", ">", sortable_text(start[0]))] if start is not None else []),
        *([Bound("lo", "<", sortable_end(end[1]))] if end is not None else []),
    ]
    if not bounds:
        return []
    return [AnyOf((Not(Present(name)), Span(name, tuple(bounds)))) for name in CARE_DATES]


def _period(inputs: Inputs, name: str) -> tuple[Any, Any]:
    try:
        return period_of(inputs.text(name))
    except ValueError:
        raise bad_input(f'The parameter "{name}" must be a date: YYYY, YYYY-MM or YYYY-MM-DD.') from None


def _about_budget(id_: str) -> Node:
    """What belongs to a budget, by what refers to it, and by what it refers to."""
    budget = f"Account/{id_}"
    itself, charged = Id((budget,)), Key((f"account={budget}",))
    plan = LinkedFrom("Account", "care-plan", itself)
    return AnyOf(
        (
            itself,
            Key((f"part-of={budget}", f"focus={budget}")),
            charged,
            plan,
            LinkedFrom("Account", "patient", itself),
            LinkedFrom("CarePlan", "goal", plan),
            LinkedFrom("ChargeItem", "evidence", charged),
            Linked("focus", ("CarePlan",), plan),
            Linked("focus", ("ChargeItem",), charged),
        )
    )


def _wanted(inputs: Inputs, types: Sequence[str], more: Sequence[str]) -> tuple[str, ...]:
    """The types that are asked for, of those there may be. Raises Rejected (400) for one that is never among them."""
    asked = [name for text in inputs.texts("_type") for name in text.split(",")]
    if unknown := [name for name in asked if name not in types and name not in more]:
        raise bad_input(f"{NAME} never brings a {unknown[0]}; it brings {', '.join(sorted({*types, *more}))}.")
    return tuple(name for name in types if name in asked) if asked else tuple(types)


def _supporting(inputs: Inputs) -> tuple[Include, ...]:
    asked = [name for text in inputs.texts("_type") for name in text.split(",")]
    return tuple(Include("*", "*", target) for target in SUPPORTING if not asked or target in asked)


def _as_search(inputs: Inputs) -> list[tuple[str, str]]:
    named = {"_since": "_lastUpdated", "_count": "_count", "_page": "_page"}
    prefix = {"_since": "ge"}
    return [
        (into, prefix.get(name, "") + str(it)) for name, into in named.items() for it in inputs.values.get(name, ())
    ]


def _given(inputs: Inputs) -> list[tuple[str, str]]:
    names = ("start", "end", "_since", "_type", "_count")
    return [(name, str(value)) for name in names for value in inputs.values.get(name, ())]


def _presented(request: FhirRequest) -> list[tuple[str, str]]:
    """What shapes each resource, which goes with the links: the next page is as this one."""
    subset = request.subset
    shaping = [("_summary", subset.summary), ("_elements", ",".join(subset.elements))]
    shaping += [(name, value) for name, value in request.parameters if name in ("_format", "_pretty")]
    return [(name, value) for name, value in shaping if value]

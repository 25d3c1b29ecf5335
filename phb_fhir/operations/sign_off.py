"""CarePlan/[id]/$check-sign-off, $sign-off, $refuse: shortcuts to the Task that decides about a plan (C32E4, R93 to R98, R139, R140).

$check-sign-off writes nothing: it answers the nine criteria one by one. The other two complete the Task `plan-sign-off` that waits for an
answer about this plan, or make one; the rules do the rest (`rules/sign_off`): whether it may be, what becomes of the plan and its budgets,
and that the person is told. The Task names the version of the plan that was looked at; if the plan has changed since, nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from phb_fhir.change import Change, Committed, Create, Patch
from phb_fhir.definitions.operation_inputs import Inputs, bad_input, read_inputs
from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import instant_text
from phb_fhir.interactions.commit import commit_all
from phb_fhir.interactions.contents import content_of, relative
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.judging import asked, by_whom
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.interactions.seen import whole
from phb_fhir.interactions.validation import check_resource
from phb_fhir.operations.asked import answered, parameters_of, stored
from phb_fhir.outcome import Kind, Refusal, outcome_of, refuse
from phb_fhir.reports.parameters import Row, group, parameters, reference_row, row
from phb_fhir.rules.budget import LONDON
from phb_fhir.rules.criteria import CODES, Result, check_sign_off
from phb_fhir.rules.plan import is_plan, title_of
from phb_fhir.rules.sign_off import HIDDEN, waiting
from phb_fhir.rules.words import (
    BUSINESS_STATUS,
    REFUSAL_REASON,
    SIGNOFF_CRITERION,
    TASK_CODE,
    TASK_PARAMETER,
    code_in,
    codings,
    concept,
    key_of,
)

_ANSWERS = ("person-present", "amendment-guidance")  # of phb-task-parameter: what an earlier answer may have left


# ---- $check-sign-off -----------------------------------------------------------------------------


async def check(context: Context, request: FhirRequest) -> Answer:
    """The nine criteria, each with what shows it and what is missing. Raises Rejected: 404, 410; 422 for another plan."""
    read_inputs("$check-sign-off", parameters_of(context.known, request, "$check-sign-off"), {})
    results = await _results(context, await plan_asked(context, request))
    told = [_told(one, await _seen(context, one)) for one in results]
    return answered(context, request, parameters(row("ready", Boolean=all(one.is_met for one in results)), *told))


async def _results(context: Context, plan: Resource) -> list[Result]:
    return await asked(context, check_sign_off(plan, context.now().astimezone(LONDON).date()))


async def _seen(context: Context, result: Result) -> set[str]:
    """What of the evidence the one who asks may see."""
    return set(await context.reader.read_all(result.evidence)) if result.evidence else set()


def _told(result: Result, seen: set[str]) -> list[Row]:
    """A criterion, as far as it may be told: who does not see all that it rests on does not hear from it either."""
    is_open = seen >= set(result.evidence)
    said = (*result.missing, *result.notes) if is_open else (HIDDEN,) if result.missing else ()
    return group(
        "criterion",
        row("code", Code=result.code),
        row("met", Boolean=result.is_met),
        *(reference_row("evidence", key) for key in dict.fromkeys(result.evidence) if key in seen),
        *(row("diagnostics", String=one) for one in said),
    )


async def plan_asked(context: Context, request: FhirRequest) -> Resource:
    """The plan that is asked about. Raises Rejected: 404, 410; 422 for a CarePlan that goes with no budget."""
    plan = await stored(context, request)
    if not is_plan(plan):
        text = f"CarePlan/{plan['id']} is not the plan of a personal health budget, so it is not signed off."
        raise refuse(Refusal.UNPROCESSABLE, Kind.BUSINESS_RULE, text, "CarePlan.category")
    return relative(context, plan) or plan


# ---- $sign-off -----------------------------------------------------------------------------------


async def sign_off(context: Context, request: FhirRequest) -> Answer:
    """The plan, active. Raises Rejected: 400 for inputs, 404, 410; 403, or 422 with all that stands in the way."""
    takes = dict.fromkeys(("authoriser", "personPresent", "personAbsentReason", "panelDecision"), True)
    inputs = read_inputs("$sign-off", parameters_of(context.known, request, "$sign-off"), takes)
    authoriser, panel = reference_in(context, inputs, "authoriser"), reference_in(context, inputs, "panelDecision")
    if not authoriser:
        raise bad_input(
            'There is no "authoriser": name the role that signs off, such as PractitionerRole/priya-nair-coordinator.'
        )
    presence = _presence(inputs)
    plan = await plan_asked(context, request)
    outputs = [*(_output(SIGNOFF_CRITERION, code, valueBoolean=True) for code in CODES), *presence]
    reason = {"reasonReference": {"reference": panel}} if panel else {}
    committed = await _decide(context, plan, "approved", authoriser, outputs, reason)
    rows = [{"name": "return", "resource": await stored(context, request)}]
    if advice := [issue for one in committed for issue in one.advice]:
        rows.append({"name": "outcome", "resource": outcome_of(advice)})
    return answered(context, request, parameters(rows))


# ---- $refuse -------------------------------------------------------------------------------------


async def refuse_plan(context: Context, request: FhirRequest) -> Answer:
    """The decision, with its reasons; the plan stays a draft. Raises Rejected: 400 for inputs, 404, 410; 403 or 422."""
    takes = ("authoriser", "criterion", "reason", "guidance", "personPresent", "personAbsentReason")
    asked_with = parameters_of(context.known, request, "$refuse")
    inputs = read_inputs("$refuse", asked_with, dict.fromkeys(takes, True), many=("criterion", "reason"))
    criteria, guidance = inputs.texts("criterion"), inputs.text("guidance")
    reasons = _reasons(inputs)
    if wrong := [one for one in criteria if one not in CODES]:
        raise bad_input(f'"criterion" is one of {", ".join(CODES)}; {wrong[0]} is none of them.')
    if not guidance:
        raise bad_input('There is no "guidance": say how the plan needs to change, so that it can be signed off.')
    presence = _presence(inputs)
    plan = await plan_asked(context, request)
    met = {one.code: one.is_met and one.code not in criteria for one in await _results(context, plan)}
    outputs = [_output(SIGNOFF_CRITERION, code, valueBoolean=met[code]) for code in CODES]
    outputs += [*presence, _output(TASK_PARAMETER, "amendment-guidance", valueString=guidance)]
    reason = {"statusReason": _together(reasons, criteria)}
    authoriser = reference_in(context, inputs, "authoriser")
    committed = await _decide(context, plan, "not-approved", authoriser, outputs, reason)
    return answered(context, request, content_of(committed[0].version))


def _reasons(inputs: Inputs) -> list[dict[str, Any]]:
    found = [one for one in inputs.values.get("reason", []) if isinstance(one, dict) and code_in(one, REFUSAL_REASON)]
    if not found or len(found) < len(inputs.values.get("reason", [])):
        raise bad_input(f'A refusal has at least one "reason", each a CodeableConcept of {REFUSAL_REASON}.')
    return found


def _together(reasons: Sequence[Mapping[str, Any]], criteria: Sequence[str]) -> dict[str, Any]:
    """All the reasons as one statusReason, of which R4 has one: their codes, the criteria's, and their words."""
    said = [one for reason in reasons for one in reason.get("coding", ())]
    named = [{"system": SIGNOFF_CRITERION, "code": code} for code in criteria]
    words = [reason.get("text") or _shown(reason) for reason in reasons]
    return {"coding": [*said, *named], "text": "; ".join(str(one) for one in words if one)}


def _shown(reason: Mapping[str, Any]) -> str:
    shown = next((one["display"] for one in reason.get("coding", ()) if one.get("display")), "")
    return str(shown) or next((code for _, code in codings(reason)), "")


# ---- the Task that both write --------------------------------------------------------------------


def _presence(inputs: Inputs) -> list[dict[str, Any]]:
    """R98: whether the person was there, and if not why."""
    was_there, why = inputs.flag("personPresent"), inputs.text("personAbsentReason")
    if was_there is None:
        raise bad_input('There is no "personPresent": say whether the person, or who speaks for them, was there.')
    if not was_there and not why:
        raise bad_input('The person was not there: say why, as "personAbsentReason".')
    told = [_output(TASK_PARAMETER, "person-present", valueBoolean=was_there)]
    return told if was_there else [*told, _output(TASK_PARAMETER, "person-present", valueString=why)]


def _output(system: str, code: str, **value: Any) -> dict[str, Any]:
    return {"type": concept(system, code), **value}


async def _decide(
    context: Context, plan: Resource, answer: str, authoriser: str, outputs: list[dict[str, Any]], more: dict[str, Any]
) -> list[Committed]:
    """Complete the Task that waits for this answer, or make one that has it."""
    at = instant_text(context.now())
    task = await _waiting(context, f"CarePlan/{plan['id']}")
    owner = authoriser or key_of((task or {}).get("owner"))
    if not owner:
        raise bad_input('There is no "authoriser", and no sign-off is waiting that names one: say who decides.')
    decided = {
        "status": "completed",
        "businessStatus": concept(BUSINESS_STATUS, answer),
        "focus": {
            "reference": f"CarePlan/{plan['id']}/_history/{plan['meta']['versionId']}",
            "display": title_of(plan),
        },
        "lastModified": at,
        **more,
    }

    def apply(now: Resource) -> Resource:
        kept = [one for one in now.get("output", ()) if not _is_answer(one)]
        was = now.get("owner") or {}
        is_same = key_of(was) == owner
        return {**now, **decided, "owner": was if is_same else {"reference": owner}, "output": [*kept, *outputs]}

    if task is not None:
        change: Change = Patch("Task", str(task["id"]), apply)
    else:
        made = {**_new_task(plan, owner, _asker(context) or owner, at), **decided, "output": outputs}
        change = Create("Task", context.new_id(), made, advice=check_resource(context, made, "Task"))
    return await commit_all(context, [change])


def _is_answer(row_: Mapping[str, Any]) -> bool:
    type_ = row_.get("type")
    return bool(code_in(type_, SIGNOFF_CRITERION)) or code_in(type_, TASK_PARAMETER) in _ANSWERS


async def _waiting(context: Context, plan: str) -> Resource | None:
    """The Task that waits for a decision about this plan, the first of those that the one who asks may complete."""
    tasks = await asked(context, waiting(plan))
    found = list((await context.reader.read_all([f"Task/{one['id']}" for one in tasks])).values())
    if context.access is not None:
        found = await context.access.shown(whole(context.reader), found, "u")
    theirs = {version.key for version in found}
    return next((one for one in tasks if f"Task/{one['id']}" in theirs), None)


def _asker(context: Context) -> str:
    """The commissioner, where it asks its own roles to decide; "" where who decides asks themselves."""
    by = by_whom(context)
    return next(
        (name for name in sorted(by.names) if by.role == "commissioner" and name.startswith("Organization/")), ""
    )


def _new_task(plan: Resource, owner: str, asker: str, at: str) -> Resource:
    return {
        "resourceType": "Task",
        "status": "completed",
        "intent": "order",
        "priority": "routine",
        "code": concept(TASK_CODE, "plan-sign-off", "Sign off the care plan"),
        "description": f"Check {title_of(plan)} against the nine criteria, and agree it or say how it must change.",
        "for": plan["subject"],
        "authoredOn": at,
        "requester": {"reference": asker},
        "owner": {"reference": owner},
        "restriction": {"period": {"end": at}},
    }


def reference_in(context: Context, inputs: Inputs, name: str) -> str:
    """`PractitionerRole/1` from an input that is a Reference, or the text of one; "" where it is left out."""
    value = next(iter(inputs.values.get(name, [])), None)
    text = value.get("reference", "") if isinstance(value, dict) else value
    if text is None:
        return ""
    key = key_of(context.own.local(text)) if isinstance(text, str) else ""
    if not key:
        raise bad_input(f'"{name}" is a reference to something that is here, such as PractitionerRole/1.')
    return key

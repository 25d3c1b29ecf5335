"""Task/[id]/$panel-decide: what a risk enablement panel decided, recorded (RULE-PANEL; R119, R120, R127 to R136).

It completes the referral with the votes, the record of the seven questions and the minutes. Whether the panel may decide so is for the rules
to say (`rules/panel`); a PUT of the same Task does the same.
"""

from __future__ import annotations

from typing import Any

from phb_fhir.change import Patch
from phb_fhir.definitions.operation_inputs import Inputs, bad_input, read_inputs
from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import instant_text
from phb_fhir.interactions.commit import commit_all
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.operations.asked import answered, instance_of, parameters_of, stored
from phb_fhir.operations.sign_off import reference_in
from phb_fhir.outcome import Kind, Refusal, outcome_of, refuse
from phb_fhir.reports.parameters import parameters
from phb_fhir.rules.deciding import kind_of
from phb_fhir.rules.panel import CODE
from phb_fhir.rules.panel_meeting import PANEL_ROLE, VOTES
from phb_fhir.rules.words import BUSINESS_STATUS, TASK_PARAMETER, code_in, concept

NAME = "$panel-decide"
DECISIONS = ("approved", "not-approved", "referred-on")
VOTES_MAX = 50
_WRITES = (*VOTES, "suitability-record", "minutes", "review-on")


async def panel_decide(context: Context, request: FhirRequest) -> Answer:
    """The referral, decided. Raises Rejected: 400 for inputs, 404, 410; 403, or 422 with all that stands in the way."""
    given = parameters_of(context.known, request, NAME)
    rows = given["parameter"]
    others = {**given, "parameter": [one for one in rows if one.get("name") != "vote"]}
    takes = dict.fromkeys(("decision", "suitability", "minutes", "reviewOn", "reason"), True)
    inputs = read_inputs(NAME, others, takes)
    decision = inputs.text("decision")
    if decision not in DECISIONS:
        raise bad_input(f'"decision" is one of {", ".join(DECISIONS)}.')
    votes = [_vote(context, one) for one in rows if one.get("name") == "vote"]
    if not votes or len(votes) > VOTES_MAX:
        raise bad_input(f'There is a "vote" for each member who was there, at least one and at most {VOTES_MAX}.')
    outputs = [*votes, *_records(context, inputs)]
    await _referral(context, request)
    change = Patch("Task", instance_of(request), _decided(decision, inputs.text("reason"), outputs, context))
    (committed,) = await commit_all(context, [change])
    made = [{"name": "return", "resource": await stored(context, request)}]
    if committed.advice:
        made.append({"name": "outcome", "resource": outcome_of(committed.advice)})
    return answered(context, request, parameters(made))


async def _referral(context: Context, request: FhirRequest) -> None:
    task = await stored(context, request)
    if kind_of(task) != CODE:
        text = f"Task/{task['id']} is no referral to the risk enablement panel."
        raise refuse(Refusal.UNPROCESSABLE, Kind.BUSINESS_RULE, text, "Task.code")


def _vote(context: Context, row: dict[str, Any]) -> dict[str, Any]:
    """An output of the Task from a vote as it is told: who, as what, and whether in favour."""
    parts = {"parameter": row.get("part", [])}
    inputs = read_inputs(f"A vote of {NAME}", parts, dict.fromkeys(("member", "role", "inFavour"), True))
    member, role, is_in_favour = reference_in(context, inputs, "member"), inputs.text("role"), inputs.flag("inFavour")
    if not member or not role or is_in_favour is None:
        raise bad_input('A vote says who voted ("member"), as what ("role"), and whether in favour ("inFavour").')
    code = next(code for code, favours in VOTES.items() if favours is is_in_favour)
    type_ = concept(TASK_PARAMETER, code)
    type_["coding"].append({"system": PANEL_ROLE, "code": role})
    return {"type": type_, "valueReference": {"reference": member}}


def _records(context: Context, inputs: Inputs) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for name, code in (("suitability", "suitability-record"), ("minutes", "minutes")):
        key = reference_in(context, inputs, name)
        if not key:
            raise bad_input(f'There is no "{name}": what the panel found and decided is written down.')
        made.append({"type": concept(TASK_PARAMETER, code), "valueReference": {"reference": key}})
    if day := inputs.text("reviewOn"):
        made.append({"type": concept(TASK_PARAMETER, "review-on"), "valueDate": day})
    return made


def _decided(decision: str, reason: str, outputs: list[dict[str, Any]], context: Context) -> Any:
    at = instant_text(context.now())

    def apply(task: Resource) -> Resource:
        kept = [one for one in task.get("output", ()) if code_in(one.get("type"), TASK_PARAMETER) not in _WRITES]
        said: Resource = {"statusReason": {"text": reason}} if reason else {}
        return {
            **task,
            "status": "completed",
            "businessStatus": concept(BUSINESS_STATUS, decision),
            "lastModified": at,
            "output": [*kept, *outputs],
            **said,
        }

    return apply

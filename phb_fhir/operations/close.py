"""Account/[id]/$close: a budget that is closing is closed, after its last review (C32E1.6, R15).

It writes the stage, the last day, and why; and among the outputs of the review, which budget it closed. The rules judge these as any write.
"""

from __future__ import annotations

from datetime import date

from phb_fhir.change import Patch
from phb_fhir.definitions.operation_inputs import Inputs, bad_input, read_inputs
from phb_fhir.fhir.codec import Resource
from phb_fhir.interactions.commit import commit_all
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.operations.asked import answered, instance_of, parameters_of, stored
from phb_fhir.operations.budgets import budget_asked
from phb_fhir.outcome import Kind, Refusal, refuse
from phb_fhir.rules.budget import LONDON
from phb_fhir.rules.words import TASK_PARAMETER, code_in, concept, extension_url, key_of, keys_in, with_value

NAME = "$close"


async def close(context: Context, request: FhirRequest) -> Answer:
    """The budget, closed. Raises Rejected: 400 for inputs, 404, 410; 403 or 422 with all that stands in the way."""
    inputs = read_inputs(
        NAME, parameters_of(context.known, request, NAME), {"review": True, "end": True, "reason": True}
    )
    await budget_asked(context, request)
    reason, review = inputs.text("reason"), _review(context, inputs)
    if not reason:
        raise bad_input('There is no "reason": say why the budget ends.')
    if review not in await context.reader.read_all([review]):
        raise refuse(Refusal.UNPROCESSABLE, Kind.NOT_FOUND, f"There is no {review}.", "review")
    end = _end(inputs) or context.now().astimezone(LONDON).date()
    budget = f"Account/{instance_of(request)}"
    closing = Patch("Account", instance_of(request), lambda now: closed(now, end, reason, review))
    noting = Patch("Task", review.partition("/")[2], lambda now: _with_budget(now, budget))
    await commit_all(context, [closing, noting])
    return answered(context, request, await stored(context, request))


def closed(account: Resource, end: date, reason: str, review: str) -> Resource:
    """The budget as it is when it is over."""
    why = {
        "url": extension_url("phb-amendment-reason"),
        "extension": [
            {"url": "date", "valueDate": end.isoformat()},
            {"url": "reason", "valueString": reason},
            {"url": "review", "valueReference": {"reference": review}},
        ],
    }
    made = with_value(account, "phb-lifecycle-status", "Code", "closed")
    period = {**account.get("servicePeriod", {}), "end": end.isoformat()}
    return {**made, "status": "inactive", "servicePeriod": period, "extension": [*made["extension"], why]}


def _with_budget(task: Resource, budget: str) -> Resource:
    """The review with the budget it closed among its outputs."""
    outputs = task.get("output", [])
    budgets = [one for one in outputs if code_in(one.get("type"), TASK_PARAMETER) == "budget"]
    if budget in keys_in([one.get("valueReference") for one in budgets]):
        return task
    made = {"type": concept(TASK_PARAMETER, "budget", "Budget"), "valueReference": {"reference": budget}}
    return {**task, "output": [*outputs, made]}


def _review(context: Context, inputs: Inputs) -> str:
    value = next(iter(inputs.values.get("review", [])), None)
    text = value.get("reference", "") if isinstance(value, dict) else value
    key = key_of(context.own.local(text)) if isinstance(text, str) else ""
    if not key.startswith("Task/"):
        raise bad_input('There is no "review": name the closing review, such as Task/jill-closing-review.')
    return key


def _end(inputs: Inputs) -> date | None:
    text = inputs.text("end")
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise bad_input('"end" is a date, such as 2026-10-09.') from None

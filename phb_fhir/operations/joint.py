"""Account/[id]/$join and $leave: shortcuts that end in the rules of joint budgets (C32E10, R28; `rules/joining`).

$join makes a budget part of a joint one, with its share, and agrees the person's request where nobody has yet. $leave takes it out again, and
tells the person why; what was bought until then stays split as it was.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from phb_fhir.change import Change, Create, Patch
from phb_fhir.definitions.operation_inputs import Inputs, bad_input, read_inputs
from phb_fhir.fhir.codec import Exact, Resource
from phb_fhir.fhir.dates import instant_text
from phb_fhir.interactions.commit import commit_all
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.interactions.validation import check_resource
from phb_fhir.operations.asked import answered, instance_of, parameters_of, stored
from phb_fhir.operations.budgets import budget_asked
from phb_fhir.operations.sign_off import reference_in
from phb_fhir.outcome import Kind, Refusal, refuse
from phb_fhir.rules.budget import joint_of
from phb_fhir.rules.joining import REQUEST, is_agreed, letter_of_leaving
from phb_fhir.rules.words import BUSINESS_STATUS, TASK_CODE, TASK_PARAMETER, code_in, concept, extension_url, with_value

_OPEN = ("requested", "received", "accepted", "in-progress")


async def join(context: Context, request: FhirRequest) -> Answer:
    """The budget, part of the joint one. Raises Rejected: 400 for inputs, 404, 410; 403 or 422 with all that stands in the way."""
    takes = dict.fromkeys(("joint", "share", "request"), True)
    inputs = read_inputs("$join", parameters_of(context.known, request, "$join"), takes)
    joint, task = reference_in(context, inputs, "joint"), reference_in(context, inputs, "request")
    if not joint.startswith("Account/"):
        raise bad_input('There is no "joint": name the joint budget, such as Account/asha-joint.')
    if not task.startswith("Task/"):
        raise bad_input('There is no "request": name the person\'s request, a Task joint-budget-request.')
    share = _share(inputs)
    await budget_asked(context, request)

    def apply(account: Resource) -> Resource:
        joined = {**account, "partOf": {"reference": joint}}
        return joined if share is None else with_value(joined, "phb-joint-share", "Decimal", share)

    changes: list[Change] = [Patch("Account", instance_of(request), apply)]
    await commit_all(context, [*changes, *await _agreed(context, task, joint)])
    return answered(context, request, await stored(context, request))


def _share(inputs: Inputs) -> Exact | None:
    found = next(iter(inputs.values.get("share", [])), None)
    if found is None:
        return None
    try:
        share = Decimal(str(found))
    except InvalidOperation:
        share = Decimal(0)
    if not share.is_finite() or share <= 0:
        raise bad_input(
            '"share" is a number above nothing, to stand beside the other funders\': 5 and 1 share five to one.'
        )
    return Exact(str(found))


async def _agreed(context: Context, key: str, joint: str) -> list[Change]:
    """The person's request with the answer yes, where it has none yet. Raises Rejected (422) for another Task."""
    version = (await context.reader.read_all([key])).get(key)
    if version is None or version.json is None:
        raise refuse(Refusal.UNPROCESSABLE, Kind.NOT_FOUND, f"There is no {key}.", "request")
    at = instant_text(context.now())

    def apply(task: Resource) -> Resource:
        if code_in(task.get("code"), TASK_CODE) != REQUEST:
            text = f"{key} is no request for a joint budget (Task joint-budget-request)."
            raise refuse(Refusal.UNPROCESSABLE, Kind.BUSINESS_RULE, text, "request")
        if is_agreed(task) or task.get("status") not in _OPEN:
            return task
        output = {"type": concept(TASK_PARAMETER, "budget", "Budget"), "valueReference": {"reference": joint}}
        agreed: dict[str, Any] = {
            "status": "completed",
            "businessStatus": concept(BUSINESS_STATUS, "approved", "Approved"),
        }
        return {**task, **agreed, "lastModified": at, "output": [*task.get("output", ()), output]}

    return [Patch("Task", key.partition("/")[2], apply)]


async def leave(context: Context, request: FhirRequest) -> Answer:
    """The budget by itself. Raises Rejected: 400 without a reason, 404, 410; 403; 422 where it is part of nothing."""
    reason = read_inputs("$leave", parameters_of(context.known, request, "$leave"), {"reason": True}).text("reason")
    if not reason:
        raise bad_input('There is no "reason": say why the budget leaves the joint one.')
    account = await budget_asked(context, request)
    joint = joint_of(account)
    if not joint:
        text = f"Account/{account['id']} is part of no joint budget."
        raise refuse(Refusal.UNPROCESSABLE, Kind.BUSINESS_RULE, text, "Account.partOf")
    named = (
        joint if await context.may_name(context.store, [joint]) else ""
    )  # its lead's, and not every funder's to write of
    letter = letter_of_leaving(account, named, reason, instant_text(context.now()))
    telling = Create("Communication", context.new_id(), letter, advice=check_resource(context, letter, "Communication"))
    await commit_all(context, [Patch("Account", instance_of(request), _alone), telling])
    return answered(context, request, await stored(context, request))


def _alone(account: Resource) -> Resource:
    url = extension_url("phb-joint-share")
    left = {name: value for name, value in account.items() if name != "partOf"}
    return {**left, "extension": [one for one in account.get("extension", ()) if one.get("url") != url]}

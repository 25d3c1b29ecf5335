"""Account/[id]/$request-repayment: notice that direct payments must be repaid (SM-J; direct payments regulations 2013, regulation 15).

It makes the Task `repayment-notice`, as issued. The rules (`rules/repayment`) judge it as any other, and write the letter.
"""

from __future__ import annotations

from typing import Any

from phb_fhir.change import Create
from phb_fhir.definitions.operation_inputs import Inputs, bad_input, read_inputs
from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import instant_text
from phb_fhir.fhir.money import pence_of
from phb_fhir.interactions.commit import commit_all
from phb_fhir.interactions.contents import content_of
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.interactions.validation import check_resource
from phb_fhir.operations.asked import answered, parameters_of
from phb_fhir.operations.budgets import budget_asked
from phb_fhir.operations.sign_off import reference_in
from phb_fhir.rules.budget import first_day
from phb_fhir.rules.repayment import CODE, GROUND
from phb_fhir.rules.words import BASE, BUSINESS_STATUS, TASK_CODE, TASK_PARAMETER, codings, concept

NAME = "$request-repayment"
ACCOUNT_NUMBER = f"{BASE}/Id/phb-account-number"


async def request_repayment(context: Context, request: FhirRequest) -> Answer:
    """The notice. Raises Rejected: 400 for inputs, 404, 410; 403, or 422 with all that stands in the way."""
    takes = dict.fromkeys(("ground", "amount", "due", "from", "reason"), True)
    inputs = read_inputs(NAME, parameters_of(context.known, request, NAME), takes, many=("ground",))
    ground, amount, due = _ground(inputs), inputs.object("amount"), inputs.text("due")
    owner, reason = reference_in(context, inputs, "from"), inputs.text("reason")
    if amount is None or not pence_of(amount):
        raise bad_input('There is no "amount": say how much is to be repaid, in pounds and whole pence.')
    if first_day(due) is None:
        raise bad_input('There is no "due": say by which day it is to be repaid, such as 2027-01-31.')
    if not owner:
        raise bad_input('There is no "from": say who must repay, such as Patient/jill.')
    if not reason:
        raise bad_input('There is no "reason": say why, in words that whoever must repay can understand.')
    account = await budget_asked(context, request)
    notice = _notice(context, account, ground, {"amount": amount, "due": due, "from": owner, "reason": reason})
    advice = check_resource(context, notice, "Task")
    committed = await commit_all(context, [Create("Task", context.new_id(), notice, advice=advice)])
    return answered(context, request, content_of(committed[0].version))


def _ground(inputs: Inputs) -> dict[str, Any]:
    """All the grounds as one reasonCode, of which R4 has one."""
    found = [one for one in inputs.values.get("ground", []) if isinstance(one, dict)]
    known = [coding for one in found for coding in one.get("coding", ()) if coding.get("system") == GROUND]
    if not known or not all(any(system == GROUND for system, _ in codings(one)) for one in found):
        raise bad_input(f'There is no "ground": each is a CodeableConcept of {GROUND}.')
    return {"coding": known}


def _notice(context: Context, account: Resource, ground: dict[str, Any], said: dict[str, Any]) -> Resource:
    at = instant_text(context.now())
    numbers = [one for one in account.get("identifier", ()) if one.get("system") == ACCOUNT_NUMBER]
    return {
        "resourceType": "Task",
        "meta": {"profile": [f"{BASE}/StructureDefinition/phb-repayment-task"]},
        **({"groupIdentifier": numbers[0]} if numbers else {}),
        "status": "requested",
        "businessStatus": concept(BUSINESS_STATUS, "issued", "Issued"),
        "intent": "order",
        "priority": "routine",
        "code": concept(TASK_CODE, CODE, "Ask for money back"),
        "description": said["reason"],
        "focus": {"reference": f"Account/{account['id']}"},
        "for": account["subject"][0],
        "authoredOn": at,
        "lastModified": at,
        "requester": account["owner"],
        "owner": {"reference": said["from"]},
        "reasonCode": ground,
        "restriction": {"period": {"end": said["due"]}},
        "input": [
            {"type": concept(TASK_PARAMETER, "repayment-amount", "Amount to repay"), "valueMoney": said["amount"]}
        ],
    }

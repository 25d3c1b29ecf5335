"""$check-purchase, $approve, $reject: shortcuts that end in the rules every purchase is judged by (C32E2).

$check-purchase writes nothing and lists all that would be said. The other two change the status of a purchase, as a PUT or PATCH might,
and record why; whether they may is the rules' to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from phb_fhir.change import Create, Patch
from phb_fhir.definitions.operation_inputs import Inputs, bad_input, read_inputs
from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import instant_text
from phb_fhir.fhir.money import money
from phb_fhir.interactions.commit import commit_all
from phb_fhir.interactions.contents import relative
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.facts import Facts
from phb_fhir.interactions.judgement import check_references, unnamed
from phb_fhir.interactions.judging import by_whom, case_of
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.interactions.spelling import check_spelling
from phb_fhir.interactions.validation import Content, check_type, judged, without_best_practice
from phb_fhir.operations.asked import answered, instance_of, parameters_of, stored
from phb_fhir.outcome import Issue, Kind, Refusal, Rejected, outcome_of, refuse
from phb_fhir.rules.book import RULES
from phb_fhir.rules.case import Decision, Read, judge_in_order
from phb_fhir.rules.ledger import CONTINGENCY, Ledger
from phb_fhir.rules.naming import several_meant
from phb_fhir.rules.purchase import OPEN, Purchase, read_purchase
from phb_fhir.rules.purchasing import is_their_own
from phb_fhir.rules.words import BASE, EXCLUDED_ITEM, code_in, concept, key_of

_NOTICE = f"{BASE}/CodeSystem/phb-communication-category"


async def check_purchase(context: Context, request: FhirRequest) -> Answer:
    """The status a purchase would get, what would be left, and all that would be said of it. Raises Rejected: 400, 404."""
    parameters = parameters_of(context.known, request, "$check-purchase", body_is="purchase")
    purchase = read_inputs("$check-purchase", parameters, {"purchase": True}).resource("purchase", "ChargeItem")
    if purchase is None:
        raise bad_input("There is no purchase to be checked: send it as the body, or as the parameter purchase.")
    check_type(purchase, "ChargeItem")
    issues = without_best_practice(await judged(context, purchase, "ChargeItem", size=request.size))
    if any(issue.kind is Kind.STRUCTURE and issue.is_error for issue in issues):
        raise Rejected(Refusal.BAD_REQUEST, *issues)
    tried, account = await _tried(context, purchase, issues)
    told = (await context.store.read_all([account])).values()
    return answered(context, request, tried)._replace(about=tuple(told))


async def _tried(context: Context, purchase: Resource, issues: list[Issue]) -> tuple[Resource, str]:
    """What would come of it, and the key of the budget whose money that tells of."""
    charge = relative(context, {**purchase, "id": "purchase"}) or purchase
    facts = Facts(context, context.store, {"ChargeItem/purchase": charge})
    try:
        await _check_seen(context, charge)
        await check_references(context, context.store, [(None, charge)])
        check_spelling(context, Content("ChargeItem", "purchase", purchase))
    except Rejected as rejected:  # what is written would be refused for its content first
        raise Rejected(rejected.refusal, *(one for one in issues if one.is_error), *rejected.issues) from None
    case = case_of(context, "ChargeItem/purchase", None, charge)
    found = await facts.ask(read_purchase(charge, by_whom(context), case.today))
    if found is None:
        several = await facts.ask(several_meant(charge.get("account"), "ChargeItem.account"))
        if several is not None:
            raise Rejected(Refusal.UNPROCESSABLE, several)
        text = "The purchase is charged to no budget that is here."
        raise refuse(Refusal.UNPROCESSABLE, Kind.BUSINESS_RULE, text, "ChargeItem.account")
    decision: Decision = await facts.ask(judge_in_order(case, RULES["ChargeItem"]))
    facts.post(decision.entries)
    said = [*issues, *await unnamed(context, context.store, decision.issues, facts.pending)]
    stands = decision.content or charge
    if decision.first:
        (first,) = (await facts.answer(Read(decision.first))).values()
        stands = first or charge
        said.append(Issue(Kind.INFORMATIONAL, f"It is recorded already, as {decision.first}.", severity="information"))
    return _told(stands, _left(found, facts.ledgers), said), found.account


def _left(purchase: Purchase, ledgers: Mapping[str, Ledger]) -> int:
    """Pence that are left where it is taken from: of its part, or of all that the funders of a joint budget put in."""
    accounts = [f"Account/{member['id']}" for member in purchase.members] or [purchase.account]
    if purchase.members and not purchase.is_contingency:
        of_each = [ledgers[account] for account in accounts]
        return sum(one.total.available - one.of(CONTINGENCY).available for one in of_each)
    return sum(ledgers[account].of(purchase.pot).available for account in accounts)


def _told(stands: Resource, left: int, said: list[Issue]) -> Resource:
    rows: list[Resource] = []
    if not any(issue.is_error for issue in said):
        rows.append({"name": "status", "valueCode": str(stands.get("status"))})
    rows.append({"name": "available", "valueMoney": money(left)})
    if said:
        rows.append({"name": "outcome", "resource": outcome_of(said)})
    return {"resourceType": "Parameters", "parameter": rows}


async def _check_seen(context: Context, charge: Resource) -> None:
    """Raise Rejected (422) for a budget that the one who asks may not see, as a write would."""
    accounts = [key for one in charge.get("account", ()) if (key := key_of(one))]
    there = await context.may_name(context.store, accounts)
    if missing := [key for key in accounts if key not in there]:
        raise refuse(Refusal.UNPROCESSABLE, Kind.NOT_FOUND, f"There is no {missing[0]}.", "ChargeItem.account[0]")


async def approve(context: Context, request: FhirRequest) -> Answer:
    """A purchase that waited becomes billable. Raises Rejected: 404, 410; 403 or 422 with all that stands in the way."""
    inputs = _inputs(context, request, "$approve", {"reason": True, "exceptionFor": True})
    reason, exception = inputs.text("reason"), inputs.text("exceptionFor")
    if exception and not reason:
        raise bad_input('An exception needs a "reason".')
    await stored(context, request)

    def apply(resource: Resource) -> Resource:
        if resource.get("status") != "planned":
            text = f"Only a purchase that is planned waits for a decision; this one is {resource.get('status')}."
            raise refuse(Refusal.UNPROCESSABLE, Kind.BUSINESS_RULE, text, "ChargeItem.status")
        if exception and code_in(resource.get("code"), EXCLUDED_ITEM) not in ("", exception):
            raise bad_input(f'"exceptionFor" is {exception}, and the purchase is another excluded item.')
        more = {"overrideReason": reason} if exception else {}
        return _noted({**resource, "status": "billable", **more}, context, reason)

    return await _changed(context, request, apply)


async def reject(context: Context, request: FhirRequest) -> Answer:
    """A purchase that waited is refused; one that was recorded is disallowed. The person is told why, and that they can appeal.

    Raises Rejected: 400 without a reason, 404, 410; 403 or 422 where it may not be.
    """
    inputs = _inputs(context, request, "$reject", {"reason": True, "explanation": True}, many=("reason",))
    reasons, explanation = inputs.values.get("reason", []), inputs.text("explanation")
    if not reasons or not all(isinstance(one, dict) for one in reasons) or not explanation:
        raise bad_input(
            'A refusal needs a "reason" (a CodeableConcept) and an "explanation" that the person can understand.'
        )
    charge = await stored(context, request)
    if is_their_own(charge, by_whom(context)):
        text = "Nobody refuses what they asked for themselves; to take it back, withdraw it (status aborted, or entered-in-error)."
        raise refuse(Refusal.UNPROCESSABLE, Kind.BUSINESS_RULE, text, "ChargeItem.status")
    notice = Create("Communication", context.new_id(), _notice(context, request, charge, reasons, explanation))

    def apply(resource: Resource) -> Resource:
        if resource.get("status") not in OPEN:
            text = f"What is planned, billable or billed is refused; this purchase is {resource.get('status')} already."
            raise refuse(Refusal.UNPROCESSABLE, Kind.BUSINESS_RULE, text, "ChargeItem.status")
        status = "aborted" if resource.get("status") == "planned" else "not-billable"
        return _noted({**resource, "status": status}, context, explanation)

    return await _changed(context, request, apply, notice)


def _inputs(
    context: Context, request: FhirRequest, name: str, takes: dict[str, bool], many: tuple[str, ...] = ()
) -> Inputs:
    return read_inputs(name, parameters_of(context.known, request, name), takes, many)


def _noted(resource: Resource, context: Context, text: str) -> Resource:
    if not text:
        return resource
    note = {"time": instant_text(context.now()), "text": text}
    return {**resource, "note": [*resource.get("note", ()), note]}


def _notice(context: Context, request: FhirRequest, charge: Resource, reasons: list[Any], explanation: str) -> Resource:
    what = (charge.get("code") or {}).get("text", "your purchase")
    text = f"About {what}: {explanation} If you do not agree, you can ask for this decision to be looked at again."
    return {
        "resourceType": "Communication",
        "status": "completed",
        "category": [concept(_NOTICE, "decision-notice")],
        "subject": charge["subject"],
        "about": [{"reference": f"ChargeItem/{instance_of(request)}"}],
        "sent": instant_text(context.now()),
        "recipient": [charge["subject"]],
        "reasonCode": reasons,
        "payload": [{"contentString": text}],
    }


async def _changed(
    context: Context, request: FhirRequest, apply: Callable[[Resource], Resource], *more: Create
) -> Answer:
    await commit_all(context, [Patch(request.type, instance_of(request), apply), *more])
    return answered(context, request, await stored(context, request))

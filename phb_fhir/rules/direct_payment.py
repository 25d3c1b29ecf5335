"""Direct payments: what the NHS (Direct Payments) Regulations 2013 ask before any money is paid, and when it stops (RULE-DP, DP-1 to DP-9).

    DP-1  the law does not exclude the person (Schedule; Flag with a code of phb-dp-exclusion)
    DP-2  somebody consented who may, and whoever is paid is named by it (regulations 3 to 6)
    DP-4  the money covers the full cost of what the plan says (regulations 8 and 13)
    DP-5  nobody of the household is paid, but for an exception that was approved (regulation 8)
    DP-6  the account is approved (regulation 10), that of each who is paid: the profile asks for one (phb-acc-4), and for the terms of records (phb-acc-14)
    R92   both sides signed the agreement
    DP-9  consent that is withdrawn stops the payments (regulation 17); each advance asks for DP-1 and DP-2 again (`payment_checks`)

DP-3 (a no has reasons) is in `requests`, DP-7 (notice of a reduction) in `amendment`, DP-8 (reviews) in `review`. Whatever
stands in the way of a direct payment leaves the two other ways of holding the money open, and each refusal says so where it matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from functools import partial
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import instant_text
from phb_fhir.fhir.money import pence_of, sterling
from phb_fhir.outcome import Issue
from phb_fhir.rules.around import (
    CHILD_UNDER,
    age_on,
    coordinator_in,
    is_connected,
    is_decided,
    lacks_capacity,
    tasks_about,
    teams_of,
    with_their_records,
)
from phb_fhir.rules.budget import (
    Element,
    amounts_of,
    days_of,
    elements_of,
    first_day,
    in_words,
    is_budget,
    is_to_leave_hospital,
    owner_of,
    person_of,
    plan_of,
    stage_of,
)
from phb_fhir.rules.case import NOTHING, Asking, Case, Decision, Find, Follow, Judging, Read, advice, follow_on, refusal
from phb_fhir.rules.eligibility import exclusions
from phb_fhir.rules.words import (
    BASE,
    BUSINESS_STATUS,
    EVIDENCE_TYPE,
    TASK_CODE,
    TASK_PARAMETER,
    code_in,
    concept,
    extension_url,
    extensions,
    key_of,
    value_of,
    with_value,
)

MODEL = "direct-payment"
AGREEMENT = "direct-payment-agreement"  # what both sides signed, of phb-evidence-type
CONSENT_KIND = f"{BASE}/CodeSystem/phb-consent-kind"
LEGAL_BASIS = f"{BASE}/CodeSystem/phb-legal-basis"
_PART = "Account.extension.where(url.endsWith('phb-management-element'))"
_OTHER_WAYS = "A notional or a third-party budget is still open to them."
# who may agree for somebody who cannot agree themselves (regulations 4 and 5)
FOR_OTHERS = frozenset(
    (
        "parental-responsibility",
        "best-interest",
        "health-and-welfare-lasting-power-of-attorney",
        "court-appointed-personal-welfare-deputy",
    )
)


def direct_payments(account: Resource, day: date) -> list[Element]:
    """The parts that are paid out to somebody, now or later."""
    return [one for one in elements_of(account) if one.model == MODEL and (one.days.end is None or one.days.end >= day)]


def may_be_paid(account: Resource, day: date) -> Asking[list[Issue]]:
    """What speaks against the direct payments of a budget, all of it; nothing where it has none (DP-1 to DP-6, R92)."""
    parts = direct_payments(account, day)
    if not parts:
        return []
    issues = yield from _excluded(account, day)
    issues += yield from _consented(account, parts, day)
    issues += _into_approved(account, parts)
    issues += yield from connected(account)
    return issues


def accounts_of(account: Resource, holder: str) -> list[Mapping[str, Any]]:
    """The bank accounts that were approved for who holds direct payments (regulation 10): their own; where none says whose it is, those."""
    approved = [one for one in extensions(account, "phb-bank-account") if value_of(one, "approved") is True]
    theirs = [one for one in approved if key_of(value_of(one, "holder")) == holder]
    return theirs or [one for one in approved if value_of(one, "holder") is None]


def _into_approved(account: Resource, parts: Iterable[Element]) -> list[Issue]:
    """Each is paid into an account of theirs (DP-6). That there is one at all is the profile's to say (phb-acc-4)."""
    if not extensions(account, "phb-bank-account"):
        return []
    text = "No bank account of {0}, who holds the part '{1}', is approved: a direct payment goes into one that is (regulation 10). {2}"
    return [
        refusal(text.format(part.holder, part.id, _OTHER_WAYS), _PART)
        for part in parts
        if not accounts_of(account, part.holder)
    ]


def _excluded(account: Resource, day: date) -> Asking[list[Issue]]:
    codes = yield from exclusions(person_of(account), day)
    return [excluded(_PART)] if codes else []


def excluded(place: str) -> Issue:
    """That the law excludes the person. Which of the Schedule's grounds it is, is not for everybody who hears this."""
    return refusal(f"The law excludes this person from direct payments (DP-1). {_OTHER_WAYS}", place)


# ---- DP-2: consent, and the agreement ------------------------------------------------------------


def _consented(account: Resource, parts: Iterable[Element], day: date) -> Asking[list[Issue]]:
    key, person = f"Account/{account['id']}", person_of(account)
    found: list[Resource] = yield Find("Consent", ("patient", person), ("status", "active"))
    consents = [one for one in found if is_direct_payment(one) and key in budgets_of(one)]
    standing = [one for one in consents if _ends_not_before(one, day)]
    if not standing:
        text = (
            f"Nobody has agreed to a direct payment from this budget (DP-2): an active Consent says so. {_OTHER_WAYS}"
        )
        return [refusal(text, _PART), *(yield from _signed(account, ()))]
    patient: Resource | None = (yield Read(person))[person]
    incapable = yield from lacks_capacity(person, MODEL)
    age = age_on(patient, day)
    is_child = age is not None and age < CHILD_UNDER
    issues = [text for one in standing for text in _basis(one, is_child=is_child, incapable=incapable)]
    issues += _recipients(parts, standing)
    issues += yield from _signed(account, standing)
    return issues


def is_direct_payment(consent: Mapping[str, Any]) -> bool:
    """Whether a Consent is to direct payments."""
    return code_in(consent.get("scope"), CONSENT_KIND) == MODEL


def budgets_of(consent: Mapping[str, Any]) -> list[str]:
    """The accounts a Consent is about."""
    data = consent.get("provision", {}).get("data", ())
    return [key for one in data if (key := key_of(one.get("reference")))]


def _ends_not_before(consent: Mapping[str, Any], day: date) -> bool:
    end = days_of(consent.get("provision", {}).get("period")).end
    return end is None or end >= day


def agrees(consent: Mapping[str, Any], account: str, day: date) -> bool:
    """Whether somebody agrees by this consent, on a day, to direct payments from a budget."""
    return (
        consent.get("status") == "active"
        and is_direct_payment(consent)
        and consent.get("provision", {}).get("type") != "deny"
        and account in budgets_of(consent)
        and _ends_not_before(consent, day)
    )


def _agrees_to(consent: Mapping[str, Any], account: str, part: Element, day: date) -> bool:
    """The same, to direct payments of one part to who holds it; by the day on which the part begins, where that is later."""
    since = days_of(consent.get("provision", {}).get("period")).start
    begins = since is None or since <= max(day, part.days.start or day)
    return begins and agrees(consent, account, day) and part.holder in _named(consent)


def why_not_paid(
    part: Element, account: str, consents: Iterable[Mapping[str, Any]], day: date, place: str
) -> list[Issue]:
    """Whether nobody agrees to a direct payment of a part on a day, to who holds it (DP-2, DP-9). A consent given once the part had ended is for
    another part.
    """
    if any(_agrees_to(one, account, part, day) and not _given_after(one, part) for one in consents):
        return []
    text = (
        f"Nobody agrees to direct payments of the part '{part.id}' on {in_words(day)}, so none is made then (DP-9). Find out with the person"
        " how this money is to be held."
    )
    return [refusal(text, place)]


def _given_after(consent: Mapping[str, Any], part: Element) -> bool:
    """Whether a consent was given once a part had ended; on its last day, too: where consent was withdrawn that day is the last (`_ended`)."""
    since = days_of(consent.get("provision", {}).get("period")).start or first_day(consent.get("dateTime"))
    if part.days.end is None or since is None:
        return False
    return since > part.days.end or since == part.days.end != part.days.start


def _basis(consent: Mapping[str, Any], *, is_child: bool, incapable: bool) -> list[Issue]:
    basis = code_in(consent.get("policyRule"), LEGAL_BASIS)
    if is_child and basis != "parental-responsibility" and basis not in FOR_OTHERS:
        text = (
            f"For a child under {CHILD_UNDER}, somebody with parental responsibility agrees to a direct payment (DP-2)."
        )
        return [refusal(text, "Account")]
    if incapable and basis not in FOR_OTHERS:
        text = (
            "The person is recorded as not able to agree; a representative agrees to a direct payment for them (DP-2)."
        )
        return [refusal(text, "Account")]
    return []


def _recipients(parts: Iterable[Element], consents: Iterable[Mapping[str, Any]]) -> list[Issue]:
    named = {who for one in consents for who in _named(one)}
    return [
        refusal(
            f"The consent to direct payments does not name {part.holder}, who holds the part '{part.id}' (DP-2).", _PART
        )
        for part in parts
        if part.holder not in named
    ]


def _named(consent: Mapping[str, Any]) -> frozenset[str]:
    """Whom a consent lets be paid."""
    return frozenset(key_of(actor.get("reference")) for actor in consent.get("provision", {}).get("actor", ()))


def _signed(account: Resource, consents: Iterable[Mapping[str, Any]]) -> Asking[list[Issue]]:
    """Both sides signed what the money is for and which records are kept (R92)."""
    key = f"Account/{account['id']}"
    agreed = f"{EVIDENCE_TYPE}|{AGREEMENT}"
    found: list[Resource] = yield Find("DocumentReference", ("patient", person_of(account)), ("type", agreed))
    sources = {key_of(one.get("sourceReference")) for one in consents}
    for one in found:
        related = {key_of(each) for each in one.get("context", {}).get("related", ())}
        if _is_signed(one) and (key in related or f"DocumentReference/{one['id']}" in sources):
            return []
    text = "A direct payment begins with an agreement that both sides signed (a DocumentReference of type direct-payment-agreement, R92)."
    return [refusal(text, _PART)]


def _is_signed(document: Resource) -> bool:
    """Whether a document is an agreement that counts, by what it says."""
    is_final = document.get("docStatus", "final") in ("final", "amended") and document.get("status") == "current"
    return is_final and code_in(document.get("type"), EVIDENCE_TYPE) == AGREEMENT


def judge_signing(case: Case) -> Judging:
    """That both sides signed is for the NHS to say: what the other side hands in is preliminary until then (R92)."""
    yield from ()
    if case.by.is_professional or not _is_signed(case.after or {}) or _is_signed(case.before or {}):
        return NOTHING
    text = (
        "A direct payment rests on this agreement, so the NHS team records that both sides signed it. Hand in yours as a preliminary one"
        " (docStatus preliminary), which they make final."
    )
    return Decision((refusal(text, "DocumentReference.docStatus"),))


# ---- DP-4: enough --------------------------------------------------------------------------------


def sufficient(account: Resource) -> Asking[list[Issue]]:
    """The money covers the full cost of what the plan says it pays for (DP-4, R58). Of a plan that several budgets serve, theirs together."""
    plan_key = plan_of(account)
    plan: Resource | None = (yield Read(plan_key))[plan_key] if plan_key else None
    if plan is None:
        return []
    serving: list[Resource] = yield Find("Account", ("care-plan", plan_key))
    others = [one for one in serving if one.get("id") != account.get("id") and is_budget(one)]
    there = sum(row.worth for one in (account, *others) for row in amounts_of(one, "approved", "contingency"))
    needed = cost_of(plan, with_others=bool(others))
    if needed <= there:
        return []
    text = (
        f"The plan says what costs {sterling(needed)}, and there is {sterling(there)}: a budget covers the full cost of what is agreed"
        " (regulation 13). Change the plan, or approve more."
    )
    return [refusal(text, "Account.extension.where(url.endsWith('phb-budget-amount'))")]


def cost_of(plan: Mapping[str, Any], *, with_others: bool = False) -> int:
    """The pence that the activities of a plan cost the budget; with those that other funders pay for, where asked."""
    paid = {"personal-health-budget", "", *(("local-authority",) if with_others else ())}
    return sum(
        pence_of(value_of(one, "phb-activity-cost")) or 0
        for one in plan.get("activity", ())
        if (value_of(one, "phb-activity-funding") or "") in paid
    )


# ---- DP-5: connected persons ---------------------------------------------------------------------


def connected(account: Resource) -> Asking[list[Issue]]:
    """Nobody who lives in the same household is paid, but where an exception was approved (DP-5). The plan says who does what.

    Of a single sum to leave hospital, an exception about the budget is from its limit.
    """
    plan_key = plan_of(account)
    plan: Resource | None = (yield Read(plan_key))[plan_key] if plan_key else None
    paid = [one for one in (plan or {}).get("activity", ()) if pence_of(value_of(one, "phb-activity-cost"))]
    who = {key_of(one) for activity in paid for one in activity.get("detail", {}).get("performer", ())}
    keys = sorted(key for key in who if key.startswith("RelatedPerson/"))
    read: Mapping[str, Resource | None] = (yield Read(*keys)) if keys else {}
    close: dict[str, list[Resource]] = {}
    for key, one in read.items():
        records = yield from with_their_records([one] if one is not None else [], person_of(account))
        if any(is_connected(each) for each in records):
            close[key] = records
    if not close:
        return []
    theirs = {each for records in close.values() for each in _keys_of(records)}
    budget = f"Account/{account['id']}"
    whole = {plan_key} if is_to_leave_hospital(account) else {plan_key, budget}
    decided = yield from tasks_about("exception", *sorted(whole | theirs))
    excepted = {key_of(one.get("focus")) for one in decided if is_decided(one, BUSINESS_STATUS, "approved")}
    left = [key for key in close if not excepted & {*whole, *_keys_of(close[key])}]
    if not left:
        return []
    text = (
        f"The plan pays {', '.join(left)}, of the person's own household. The law allows that in very limited circumstances (DP-5): ask for"
        " an exception (Task exception), which must be approved first."
    )
    return [refusal(text, "Account")]


def _keys_of(records: Iterable[Resource]) -> list[str]:
    return [f"RelatedPerson/{one['id']}" for one in records]


_WHO = ("patient", "identifier", "name", "birthDate")  # by which somebody is known, also in another record of them


def judge_household(case: Case) -> Judging:
    """That somebody lives in the person's household, and who that is, is taken back by who decides for the NHS: anybody else could pay them by
    that, or be paid.
    """
    yield from ()
    before, after = case.before or {}, case.after or {}
    if case.is_own or case.by.is_professional or not is_connected(before):
        return NOTHING
    what = "That somebody lives in the same household is taken back"
    if is_connected(after):
        if all(before.get(name) == after.get(name) for name in _WHO):
            return NOTHING
        what = "Who it is (name, date of birth, number) that lives in the same household is put right"
    text = f"{what} by the NHS team or the commissioner, once they have looked into it: whether they may be paid depends on it (DP-5)."
    return Decision((refusal(text, "RelatedPerson.extension.where(url.endsWith('phb-connected-person'))"),))


# ---- DP-9: stopping ------------------------------------------------------------------------------

CONSENT_STEPS: Mapping[str, tuple[str, ...]] = {
    "draft": ("proposed", "active", "rejected", "entered-in-error"),
    "proposed": ("active", "rejected", "entered-in-error"),
    "active": ("inactive", "entered-in-error"),
    "rejected": ("entered-in-error",),
    "inactive": ("entered-in-error",),
    "entered-in-error": (),
}


def judge_consent(case: Case) -> Judging:
    """A consent keeps to its states (SM-E); one to direct payments that ends stops them at once (DP-9, regulation 17(1))."""
    if not any(is_budgets_consent(one) for one in (case.before, case.after) if one is not None):
        return NOTHING
    issues = [*_consent_step(case), *_on_a_ground_of_the_law(case)]
    if issues:
        return Decision(tuple(issues))
    before, follow = case.before or {}, list[Follow]()
    if before.get("status") == "active" and is_direct_payment(before):
        for key in budgets_of(before):
            follow += yield from _stopped(key, before, case)
    why, remarks = _reason(case)
    return Decision((*remarks, *_best_interest(case)), content=why, follow=tuple(follow))


def is_budgets_consent(consent: Mapping[str, Any]) -> bool:
    """Whether a Consent is of a kind that is about budgets, or names a ground of the law on which somebody acts for the person."""
    return (
        code_in(consent.get("policyRule"), LEGAL_BASIS) in FOR_OTHERS
        or is_direct_payment(consent)
        or any(code_in(one, CONSENT_KIND) for one in consent.get("category", ()))
    )


def _consent_step(case: Case) -> list[Issue]:
    if case.before is None or case.after is None:
        return []
    was, now = str(case.before.get("status")), str(case.after.get("status"))
    if was == now or now in CONSENT_STEPS.get(was, ()):
        return []
    text = (
        f"A consent that is {was} does not become {now}. What was given up or refused is given anew by another Consent."
    )
    return [refusal(text, "Consent.status")]


def _on_a_ground_of_the_law(case: Case) -> Iterator[Issue]:
    """That somebody acts for another by law is recorded by who has seen the papers (R163, R166); what a person agrees to is their consent."""
    before, after = case.before or {}, case.after or {}
    basis = code_in(after.get("policyRule"), LEGAL_BASIS)
    if basis not in FOR_OTHERS or case.is_own or case.by.is_professional:
        return
    if any(before.get(name) != after.get(name) for name in ("policyRule", "provision", "patient")):
        text = (
            f"That somebody acts on the ground {basis} is recorded by the NHS team or the commissioner, once they have seen the papers. Whom you choose"
            " yourself acts by your consent."
        )
        yield refusal(text, "Consent.policyRule")


def _best_interest(case: Case) -> Iterator[Issue]:
    """R163: where others decide in somebody's best interest, how that was decided is written down, and the consent says where."""
    after, before = case.after or {}, case.before or {}
    if (
        _is_best_interest(after)
        and not _is_best_interest(before)
        and not after.keys() & {"sourceReference", "sourceAttachment"}
    ):
        text = (
            "Somebody acts for the person in their best interest, and this does not say where it is written down how that was decided: name the record"
            " (sourceReference), or attach it (R163)."
        )
        yield advice(text, "Consent.source")


def _is_best_interest(consent: Mapping[str, Any]) -> bool:
    return consent.get("status") == "active" and code_in(consent.get("policyRule"), LEGAL_BASIS) == "best-interest"


def _reason(case: Case) -> tuple[Resource | None, list[Issue]]:
    """A consent that ends has a reason of its own for that (SM-E, R11). Nobody is kept from ending one for want of it: of the person's own no,
    the server says so for them; others are reminded.
    """
    before, after = case.before, case.after
    if before is None or after is None or before.get("status") == after.get("status"):
        return None, []
    code = _THEIR_NO.get(str(after.get("status")))
    if code is None or extensions(before, _REASON) != extensions(after, _REASON):
        return None, []
    if case.by.role != "person":
        text = f"The reason is still the one for which this consent became {before.get('status')}: say why it is {after.get('status')} now."
        return None, [advice(text, f"Consent.extension.where(url.endsWith('{_REASON}'))")]
    return with_value(after, _REASON, "CodeableConcept", concept(_REASONS, *code)), []


_REASON = "phb-consent-status-reason"
_REASONS = f"{BASE}/CodeSystem/{_REASON}"
_THEIR_NO: Mapping[str, tuple[str, str]] = {
    "inactive": ("withdrawn-by-person", "Withdrawn by the person"),
    "rejected": ("declined", "Declined"),
}


def _stopped(key: str, before: Resource, case: Case) -> Asking[list[Follow]]:
    """The budget with the direct payments ended today to which nobody agrees any more, and a Task that somebody finds another way, so that no care
    stops.
    """
    account: Resource | None = (yield Read(key))[key]
    if account is None or not is_budget(account) or stage_of(account) not in ("authorised", "active", "suspended"):
        return []
    person = person_of(account)
    agreed = [one for one in direct_payments(account, case.today) if one.holder in _named(before)]
    if not agreed:
        return []
    found: list[Resource] = yield Find("Consent", ("patient", person), ("status", "active"))
    left = [one for one in found if one.get("id") != case.id]
    left += [case.after] if case.after is not None and key_of(case.after.get("patient")) == person else []
    parts = [part for part in agreed if not any(_agrees_to(one, key, part, case.today) for one in left)]
    if not parts:
        return []
    plan_key = plan_of(account)
    plan: Resource | None = (yield Read(plan_key))[plan_key] if plan_key else None
    teams = yield from teams_of(plan)
    owner = coordinator_in(teams, case.today) or owner_of(account)
    ended = partial(_ended, parts=parts, day=case.today)
    return [follow_on(account, key, ended), Follow(_another_way(key, account, parts, owner, case))]


def _ended(account: Resource, parts: Iterable[Element], day: date) -> Resource:
    """The same budget, these parts of which have today as their last day."""
    url, ids = extension_url("phb-management-element"), {part.id for part in parts}
    rows = [
        _until(row, day) if row.get("url") == url and value_of(row, "id") in ids else row
        for row in account.get("extension", ())
    ]
    return {**account, "extension": rows}


def _until(row: Mapping[str, Any], day: date) -> dict[str, Any]:
    period = value_of(row, "period") or {}
    end = days_of(period).end
    if end is not None and end <= day:
        return dict(row)
    parts = [one for one in row["extension"] if one.get("url") != "period"]
    return {**row, "extension": [*parts, {"url": "period", "valuePeriod": {**period, "end": day.isoformat()}}]}


def _another_way(key: str, account: Resource, parts: Iterable[Element], owner: str, case: Case) -> Resource:
    names = ", ".join(f"'{part.id}' ({sterling(part.pence)})" for part in parts)
    return {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "priority": "urgent",
        "code": concept(TASK_CODE, "management-model-request", "Choose how the money is held"),
        "description": f"Consent to the direct payment ended on {in_words(case.today)}. Agree with the person how {names} is held"
        " from now on, so that their care goes on. What was agreed for later days stays agreed.",
        "focus": {"reference": key},
        "for": {"reference": person_of(account)},
        "authoredOn": instant_text(case.now),
        "lastModified": instant_text(case.now),
        "requester": {"reference": owner_of(account)},
        "owner": {"reference": owner},
        "input": [
            {
                "type": concept(TASK_PARAMETER, "budget", "Budget"),
                "valueReference": {"reference": key},
            }
        ],
    }

"""What speaks against a purchase, and what somebody has to decide about it (RULE-EXCL, RULE-EVID, RULE-LINK, RULE-MODEL; R67 to R76).

CHECKS refuse it: each says what is wrong in a sentence, and all of them are told at once. WAITS do not: what is merely unusual is never
refused, and waits for a decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.money import pence_of, portion, sterling
from phb_fhir.outcome import Issue, Kind
from phb_fhir.rules.allocation import pot_first, pot_name
from phb_fhir.rules.around import died_on, is_connected, is_decided, is_same_human
from phb_fhir.rules.budget import (
    Element,
    days_of,
    element_of,
    elements_of,
    in_words,
    is_joint,
    is_to_leave_hospital,
    owner_of,
    person_of,
    plan_of,
    stage_of,
)
from phb_fhir.rules.case import (
    no_step,
    refusal,
)
from phb_fhir.rules.evidence import is_evidence
from phb_fhir.rules.exclusions import doubtful_in, excluded_in
from phb_fhir.rules.joint import Bought, Split, split
from phb_fhir.rules.ledger import UNASSIGNED
from phb_fhir.rules.purchase import OPEN, Purchase, element_id, link_of, occurrence, reason_of, references_of
from phb_fhir.rules.words import (
    BASE,
    BUSINESS_STATUS,
    PERTAINS_TO_GOAL,
    extensions,
    key_of,
    keys_in,
    refers_to,
    value_of,
)

# SM-C: from which status a purchase may come to which
STEPS: Mapping[str, tuple[str, ...]] = {
    "planned": ("planned", "billable", "billed", "aborted", "entered-in-error"),
    "billable": ("billable", "billed", "not-billable", "aborted", "entered-in-error"),
    "billed": ("billed", "not-billable", "entered-in-error"),
    "not-billable": ("not-billable", "billed", "entered-in-error"),  # billed again, where an appeal is upheld
    "aborted": ("aborted", "entered-in-error"),
    "entered-in-error": ("entered-in-error",),
}


def refusals(purchase: Purchase) -> list[Issue]:
    """Why a purchase cannot be, every reason; of one that was taken back or given up, none."""
    if purchase.status not in OPEN:
        return []
    return [issue for check in CHECKS for issue in check(purchase)]


def in_step(p: Purchase) -> Iterator[Issue]:
    was = str(p.before.get("status", "")) if p.before is not None else ""
    if was and p.status not in STEPS.get(was, ()):
        yield no_step("A purchase", was, p.status, STEPS.get(was, ()), "ChargeItem.status")


def disallowed_by(p: Purchase) -> Iterator[Issue]:
    if p.status == "not-billable" and p.before is not None and not p.by.is_professional:
        text = "A purchase is disallowed by the NHS team or the commissioner. One that was wrong is taken back as entered-in-error."
        yield refusal(text, "ChargeItem.status")


def taken_back_by(p: Purchase) -> Iterator[Issue]:
    """What was agreed or spent is given up by who holds the money, or decides for the NHS; while it is not billed, also by who asked for it."""
    before, by = p.before, p.by
    if before is None or not p.was_money or p.status not in _GIVEN_UP or by.is_professional:
        return
    asked = key_of(before.get("enterer")) in by.names | by.patients | by.acts_for
    part = element_of(p.elements, element_id(before))
    is_others = _falls_to_others(p) if p.members else part is not None and not _is_theirs(p, part)
    if is_others and not (asked and before.get("status") == "billable"):
        text = "This is paid from money that somebody else holds: they take it back, or the NHS team does. Tell them what is wrong with it."
        yield refusal(text, "ChargeItem.status")


_GIVEN_UP = ("aborted", "entered-in-error")


def _for_its_person(p: Purchase) -> Iterator[Issue]:
    if not refers_to(p.charge.get("subject"), person_of(p.budget), p.person):
        yield refusal("The budget is another person's than the purchase is for.", "ChargeItem.subject")
    account = p.before and p.before.get("account")
    if account and p.was_money and keys_in(account) and keys_in(account) != [p.account]:
        text = "A purchase stays with the budget it was charged to. Take it back (entered-in-error), and record it with the other."
        yield refusal(text, "ChargeItem.account")


def _keeps_its_reference(p: Purchase) -> Iterator[Issue]:
    """By its reference a purchase that is posted again is known; without it the same would be bought twice."""
    if not p.was_money:
        return
    for lost in sorted({*references_of(p.before or {})} - {*references_of(p.charge)}):
        text = f"The reference {lost} stays: posted again under it, this would be bought a second time. If it is wrong, take this back and record it anew."
        yield refusal(text, "ChargeItem.identifier")


def _budget_is_open(p: Purchase) -> Iterator[Issue]:
    stage = stage_of(p.budget)
    if stage == "active" or (stage in ("suspended", "closing") and p.was_money):
        return
    said = _STAGES.get(stage, f"The budget is not active yet: it is at the stage {stage}.")
    yield refusal(said, "ChargeItem.account")


_STAGES: Mapping[str, str] = {
    "suspended": "The budget is suspended: nothing new is bought until it is active again.",
    "closing": "The budget is closing: nothing new is bought from it.",
    "closed": "The budget is closed.",
    "entered-in-error": "The budget was entered in error.",
    "": "The budget has no stage yet, so nothing can be bought from it.",
}


def _costs_what_it_says(p: Purchase) -> Iterator[Issue]:
    """What is to be paid is the price, whole (R16): nothing is reckoned with a factor, and what it would come to nobody could tell."""
    factor = p.charge.get("factorOverride")
    if factor not in (None, 1) and factor != (p.before or {}).get("factorOverride"):
        text = f"A factor ({factor}) is not reckoned with here: the price (priceOverride) is all that is to be paid."
        yield refusal(text, "ChargeItem.factorOverride")


def _may_be_bought(p: Purchase) -> Iterator[Issue]:
    for what in (p.charge, p.item):
        found = excluded_in(what) if what is not None else None
        if found is None:
            continue
        excepted = found.code == "primary-care" and p.charge.get("overrideReason") and p.by.role in _MAY_EXCEPT
        if not excepted:
            yield Issue(Kind.BUSINESS_RULE, found.reason, "ChargeItem.code", details=_excluded(found.code))
        return


_MAY_EXCEPT = ("", "system", "commissioner")


def _excluded(code: str) -> dict[str, Any]:
    return {"coding": [{"system": f"{BASE}/CodeSystem/phb-excluded-item", "code": code}]}


def _within_dates(p: Purchase) -> Iterator[Issue]:
    """It is for days on which there is money for it, when it is agreed. What was agreed stays so when a part is made to end sooner after that."""
    days = occurrence(p.charge)
    if p.before is not None and p.was_money and _when_and_whence(p.before) == _when_and_whence(p.charge):
        return
    names = ("occurrencePeriod", "occurrenceTiming")
    at = f"ChargeItem.{next((name for name in names if name in p.charge), 'occurrenceDateTime')}"
    places = [("the budget runs", days_of(p.budget.get("servicePeriod")))]
    if p.element is not None:
        places.append((f"{pot_name(p.element.id)} of the budget runs", p.element.days))
    if p.plan is not None:
        places.append(("the care plan runs", days_of(p.plan.get("period"))))
    if days.start is None or days.end is None:
        missing = " and ".join(what for what, day in (("first", days.start), ("last", days.end)) if day is None)
        yield refusal(
            f"Say for which days this is: its {missing} day is missing, and nothing is bought without end.", at
        )
    for what, within in places:
        outside = next((day for day in (days.start, days.end) if day is not None and not within.covers(day)), None)
        if outside is not None:
            yield refusal(f"{in_words(outside)} is outside the time for which {what}: {within}.", at)


def _when_and_whence(charge: Resource) -> tuple[object, ...]:
    return occurrence(charge), element_id(charge), reason_of(charge), keys_in(charge.get("account"))


def _names_its_part(p: Purchase) -> Iterator[Issue]:
    if p.is_contingency or not p.elements:
        return
    named = element_id(p.charge)
    known = ", ".join(one.id for one in p.elements)
    if named and p.element is None:
        yield refusal(f"The budget has no part '{named}'; it has {known}.", _PART)
    elif not named and not p.members and not p.ledger.of(UNASSIGNED).allocated:
        yield refusal(f"Say which part of the budget this is paid from: {known}.", _PART)


_PART = "ChargeItem.extension.where(url.endsWith('phb-element'))"
_LINK = "ChargeItem.extension.where(url.endsWith('phb-purchase-link'))"
_GOAL = "ChargeItem.extension.where(url.endsWith('resource-pertainsToGoal'))"


def _serves_the_plan(p: Purchase) -> Iterator[Issue]:
    reference, activity = link_of(p.charge)
    if reference is None or (p.before is not None and link_of(p.before) == link_of(p.charge)):
        return  # what was linked to a plan stays so when another takes that one's place
    plan = plan_of(p.budget)
    if key_of(reference) != plan:
        text = "The purchase is linked to another care plan than the budget's" + (
            f", {plan}." if plan else ", which has none yet."
        )
        yield refusal(text, _LINK)
    elif p.linked is None:
        yield refusal(f"There is no {key_of(reference)}.", _LINK)
    else:
        yield from _in_the_plan(p, p.linked, activity)


def _in_the_plan(p: Purchase, plan: Resource, activity: str) -> Iterator[Issue]:
    if activity and _activity(plan, activity) is None:
        known = ", ".join(sorted(str(one.get("id", "")) for one in plan.get("activity", ())))
        yield refusal(f"The care plan has no activity '{activity}'; it has {known}.", _LINK)
    goals = keys_in(plan.get("goal"))
    for named in (
        key_of(value_of({"extension": [one]}, PERTAINS_TO_GOAL)) for one in extensions(p.charge, PERTAINS_TO_GOAL)
    ):
        if named not in goals:
            yield refusal(f"{named or 'The goal'} is not a goal of the care plan.", _GOAL)


def _activity(plan: Resource | None, id_: str) -> dict[str, Any] | None:
    found = plan.get("activity", ()) if plan is not None else ()
    return next((one for one in found if one.get("id") == id_), None)


def _by_who_may(p: Purchase) -> Iterator[Issue]:
    enterer = key_of(p.charge.get("enterer"))
    if p.before is not None:
        if enterer != key_of(p.before.get("enterer")) and not p.by.is_professional:
            yield refusal("Who entered a purchase stays on record.", "ChargeItem.enterer")
    elif p.by.role not in ("", "system") and enterer not in p.by.names:
        another = "The purchase says that somebody else entered it than who is signed in."
        unsaid = "The purchase does not say, by a reference, that it was entered by who is signed in."
        yield refusal(another if enterer else unsaid, "ChargeItem.enterer")
    elif why := _may_not(p, enterer):
        yield refusal(why, "ChargeItem.enterer")


def _may_not(p: Purchase, enterer: str) -> str:
    """Why somebody may not purchase from this budget at all; "" where they may, or may at least ask."""
    type_ = enterer.partition("/")[0]
    if type_ == "Patient" and enterer != person_of(p.budget):
        return "Somebody else's budget cannot be purchased from."
    if type_ == "RelatedPerson" and not any(lets_purchase(one, enterer, p.account, p.today) for one in p.consents):
        return "Whoever entered this has no consent that lets them purchase from this budget now."
    holders = {one.holder for one in p.elements} | {owner_of(p.budget)} | {owner_of(one) for one in p.members}
    if type_ == "Organization" and p.elements and enterer not in holders:
        return "The organisation holds no part of this budget."
    return ""


def lets_purchase(consent: Resource, who: str, account: str, today: date) -> bool:
    """Whether a Consent lets somebody purchase from a budget today (R11, SM-E)."""
    provision = consent.get("provision") or {}
    if consent.get("status") != "active" or provision.get("type") == "deny":
        return False
    actors = {key_of(one.get("reference")) for one in provision.get("actor", ())}
    actions = {
        code for one in provision.get("action", ()) for coding in one.get("coding", ()) if (code := coding.get("code"))
    }
    data = {key_of(one.get("reference")) for one in provision.get("data", ())}
    about = not data or account in data
    return who in actors and "purchase" in actions and about and days_of(provision.get("period")).covers(today)


def _by_the_holder(p: Purchase) -> Iterator[Issue]:
    """Money of a part is spent by who holds it, or by the NHS team (R20): others ask, and their purchase waits for these to decide."""
    is_decided = p.before is not None and p.by.is_professional
    if p.status == "planned" or p.was_money or p.element is None or is_decided or not _is_outsider(p):
        return
    text = (
        f"{pot_first(p.element.id)} is held by {p.element.holder}. You can ask for this purchase (status planned); "
        f"whoever holds the money, or the NHS team, makes it."
    )
    yield refusal(text, "ChargeItem.status")


def _is_outsider(p: Purchase) -> bool:
    """Whether who enters or changes this does not hold the part it is paid from, nor act for the person who does."""
    return p.element is not None and not _is_theirs(p, p.element)


def _is_theirs(p: Purchase, part: Element) -> bool:
    """Whether a part is theirs to spend: they hold it, act for the person who does, or decide for the NHS. That somebody else is paid directly makes
    it nobody's but that holder's.
    """
    if _is_for_the_nhs(p) or part.holder in _acting(p):
        return True
    return part.model == "direct-payment" and part.holder == person_of(p.budget) and _acts_for_person(p)


def _acting(p: Purchase) -> frozenset[str]:
    """Who enters or changes it, by the names that the record has for them."""
    speaks = p.by.role and not p.by.is_professional
    return p.by.names | p.by.patients if speaks else frozenset((key_of(p.charge.get("enterer")),)) - {""}


def _acts_for_person(p: Purchase) -> bool:
    """Whether it is the person, or whom they let purchase for them: what a consent must say is asked of every RelatedPerson."""
    close = any(key.startswith("RelatedPerson/") for key in _acting(p))
    return close or person_of(p.budget) in _acting(p) | p.by.acts_for


def _is_for_the_nhs(p: Purchase) -> bool:
    """Whether the NHS team, the commissioner or the system enters it, or what was entered by one of them."""
    enterer = key_of(p.charge.get("enterer"))
    if p.by.role == "system" or (p.by.role and p.by.is_professional and enterer in p.by.names):
        return True
    if not p.by.is_professional or enterer.partition("/")[0] in ("Patient", "RelatedPerson"):
        return False
    funders = {owner_of(one) for one in (p.budget, *p.members)}
    return not enterer.startswith("Organization/") or enterer in funders


def _split(p: Purchase) -> Split:
    """Over which parts of the budgets that a joint one is made of it would fall, of what they have left."""
    return split(p.pence, p.members, p.ledgers, bought=Bought(occurrence(p.charge), is_contingency=p.is_contingency))


def _falls_to_others(p: Purchase) -> bool:
    """Whether some of it falls to a part of these budgets that is not theirs to spend."""
    parts = {f"Account/{one['id']}": elements_of(one) for one in p.members}
    held = (element_of(parts[account], pot) for account, pot in _split(p).places)
    return any(one is not None and not _is_theirs(p, one) for one in held)


def _has_evidence(p: Purchase) -> Iterator[Issue]:
    if p.status != "billed" or extensions(p.charge, _WAIVER):
        return
    found = {key: one for key, one in p.evidence.items() if key.startswith("DocumentReference/")}
    missing = [key for key, one in found.items() if one is None]
    for key in missing:
        yield refusal(f"There is no {key}.", "ChargeItem.supportingInformation")
    if not missing and not any(_is_evidence(one) for one in found.values() if one is not None):
        text = "A purchase that is billed has a receipt, an invoice or a bank statement (a current DocumentReference), or a recorded reason for having none."
        yield refusal(text, "ChargeItem.supportingInformation")


def _waived_by_who_decides(p: Purchase) -> Iterator[Issue]:
    """That no document is needed is decided by the NHS team or the commissioner, and recorded by who decided it (R16, RULE-EVID)."""
    known = extensions(p.before or {}, _WAIVER)
    fresh = [one for one in extensions(p.charge, _WAIVER) if one not in known]
    if p.by.role in ("", "system"):
        return
    if fresh and not p.by.is_professional:
        text = "Whether a purchase needs a receipt is decided by the NHS team or the commissioner: ask them, or hand in what you have."
        yield refusal(text, _WAIVED)
    elif any(key_of(value_of(one, "waivedBy")) not in p.by.names for one in fresh):
        yield refusal(
            "The purchase says that somebody else decided that it needs no receipt than who is signed in.", _WAIVED
        )


_WAIVER = "phb-evidence-waiver"
_WAIVED = f"ChargeItem.extension.where(url.endsWith('{_WAIVER}'))"


def _is_evidence(document: Resource) -> bool:
    return document.get("status") == "current" and is_evidence(document)


def _is_affordable(p: Purchase) -> Iterator[Issue]:
    if p.was_money or p.members or is_joint(p.budget):
        return  # what is committed has its money; a joint budget's is looked at where it falls
    if any(_names_its_part(p)):
        return  # which money it is was asked already
    available = p.ledger.of(p.pot).available
    if p.pence > available and not is_given(p):
        yield short(p.pence, available, p.pot)


def short(pence: int, available: int, pot: str) -> Issue:
    """£12.50 is more than the £10.00 left."""
    where = f" of {pot_name(pot)}" if pot else ""
    return refusal(
        f"{sterling(pence)} is more than the {sterling(max(available, 0))} left{where}.", "ChargeItem.priceOverride"
    )


def is_given(p: Purchase) -> bool:
    """Whether it is for care that was given already, said so: then it is recorded, and somebody looks into it (R88)."""
    end = occurrence(p.charge).end
    return p.status == "billed" and reason_of(p.charge) == "care-already-given" and end is not None and end <= p.today


def _pays_no_relative(p: Purchase) -> Iterator[Issue]:
    """Somebody of the same household is paid only by an exception that was decided (regulation 8(5A); DP-5)."""
    excepted = {key_of(one.get("focus")) for one in p.exceptions if is_decided(one, BUSINESS_STATUS, "approved")} - {""}
    of_budget = set() if is_to_leave_hospital(p.budget) else {p.account}  # there it is from the limit of that
    if excepted & {*of_budget, plan_of(p.budget), f"ChargeItem/{p.charge.get('id')}"}:
        return
    if any(is_connected(one) and not excepted & _records_of(one, p) for one in p.payees):
        text = "Somebody who lives in the same household can be paid only where an exception was agreed: an approved Task 'exception' says why it is necessary."
        yield refusal(text, "ChargeItem.performer")


def _records_of(payee: Resource, p: Purchase) -> set[str]:
    """The records of somebody whom it pays: an exception may be about any of them."""
    return {f"RelatedPerson/{one.get('id')}" for one in p.payees if one is payee or is_same_human(one, payee)}


def _contingency_says_why(p: Purchase) -> Iterator[Issue]:
    if p.is_contingency and not any(one.get("text") for one in p.charge.get("reason", ())):
        yield refusal(
            "Money for emergencies is used for a reason: say which, in words (reason.text).", "ChargeItem.reason"
        )


CHECKS: tuple[Callable[[Purchase], Iterator[Issue]], ...] = (
    in_step,
    _budget_is_open,
    _for_its_person,
    _keeps_its_reference,
    _costs_what_it_says,
    _may_be_bought,
    _within_dates,
    _names_its_part,
    _by_who_may,
    _by_the_holder,
    _serves_the_plan,
    _pays_no_relative,
    _contingency_says_why,
    _waived_by_who_decides,
    _has_evidence,
    _is_affordable,
)


def waits(purchase: Purchase) -> list[str]:
    """What keeps a purchase from being made without anybody's decision, each in a sentence; nothing where nothing does."""
    return [why for check in WAITS if (why := check(purchase))]


def _unlinked(p: Purchase) -> str:
    reference, activity = link_of(p.charge)
    return "" if reference is not None and activity else "It is not linked to an activity of the care plan."


_RESTS: Mapping[str, str] = {
    "on-hold": "is on hold",
    "cancelled": "was cancelled",
    "stopped": "was stopped",
    "entered-in-error": "was entered in error",
}


def _plan_rests(p: Purchase) -> str:
    """What is on hold lets nobody act by it for now (request-status); nor does an activity that was stopped."""
    _, named = link_of(p.charge)
    if p.plan is None or not named:
        return ""
    if rests := _RESTS.get(str(p.plan.get("status"))):
        return f"The care plan {rests}."
    detail = (_activity(p.plan, named) or {}).get("detail") or {}
    rests = _RESTS.get(str(detail.get("status")))
    return f"The activity '{named}' of the care plan {rests}." if rests else ""


def _not_in_directory(p: Purchase) -> str:
    if p.item is None:
        return "It is not in the directory."
    if p.item.get("status") != "active":
        return "It is not offered in the directory any more."
    day = occurrence(p.charge).start
    return (
        ""
        if day is None or days_of(p.item.get("effectivePeriod")).covers(day)
        else "It is not in the directory on that day."
    )


def _dearer(p: Purchase) -> str:
    unit = item_pence(p.item)
    count = (p.charge.get("quantity") or {}).get("value", 1)
    listed = 0 if unit is None else portion(unit, count)
    return f"The directory's price for it is {sterling(listed)}." if unit is not None and p.pence > listed else ""


def item_pence(item: Resource | None) -> int | None:
    """The base price of an item of the directory, in pence."""
    for group in item.get("propertyGroup", ()) if item is not None else ():
        for part in group.get("priceComponent", ()):
            if part.get("type") == "base":
                return pence_of(part.get("amount"))
    return None


def _asked_for(p: Purchase) -> str:
    if p.members and not _is_for_the_nhs(p) and _falls_to_others(p):
        return "Some of it falls to a part of the budgets that is held by somebody else."
    was = element_of(p.elements, element_id(p.before or {})) if p.was_money else None
    others = [one for one in (p.element, was) if one is not None and not _is_theirs(p, one)]
    return f"{pot_first(others[0].id)} is held by somebody else." if others else ""


def _from_contingency(p: Purchase) -> str:
    return "It is to be paid from the money for emergencies." if p.is_contingency else ""


def _after_death(p: Purchase) -> str:
    """What follows a death, such as the notice of an assistant, is decided by somebody; what was bought before is not touched."""
    died, day = died_on(p.person), occurrence(p.charge).start
    return f"The person died on {in_words(died)}." if died is not None and day is not None and day > died else ""


def _beyond_what_is_left(p: Purchase) -> str:
    """Care that was given is recorded, also beyond what is left: by those who decide. Nobody else takes a budget below nothing by saying so."""
    if not is_given(p) or p.by.is_professional:
        return ""
    is_beyond = bool(_split(p).issues) if p.members else p.pence > p.ledger.of(p.pot).available
    return "It was given already, and comes to more than is left." if is_beyond else ""


def _doubtful(p: Purchase) -> str:
    """Words that may say what no budget pays for; what it is called in the directory was looked at when it came there."""
    said = str((p.charge.get("code") or {}).get("text") or "")
    is_named = any(name in p.charge for name in ("productCodeableConcept", "productReference"))
    return "" if p.item is not None and said == p.item.get("title") and not is_named else doubtful_in(p.charge)


WAITS: tuple[Callable[[Purchase], str], ...] = (
    _unlinked,
    _plan_rests,
    _not_in_directory,
    _dearer,
    _doubtful,
    _beyond_what_is_left,
    _asked_for,
    _from_contingency,
    _after_death,
)

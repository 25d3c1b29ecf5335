"""Purchases (C32E2; SM-C; RULE-EXCL, RULE-EVID, RULE-LINK, RULE-MODEL; decision 5 of the implementation guide).

A purchase is proposed as `planned`, commits its price as `billable`, and spends it as `billed`. What is in the plan, in the directory and
within the money of its part needs nobody's decision: it becomes billable by itself. What is merely unusual is never refused: it waits as
planned, with a Task for somebody to decide (R76). What is against a rule is refused with all the reasons (CHECKS); what makes it wait is
told as well (WAITS).

    read_purchase    what the record says about it, in one go
    refusals, waits  what speaks against it, and what somebody has to decide
    judge_purchase   what becomes of it: its status, its ledger entries, its Task
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.money import pence_of, portion, sterling
from phb_fhir.outcome import Issue, Kind
from phb_fhir.rules.allocation import pot_name
from phb_fhir.rules.budget import (
    Days,
    Element,
    days_of,
    element_of,
    elements_of,
    first_day,
    is_budget,
    is_joint,
    last_day,
    owner_of,
    person_of,
    plan_of,
    stage_of,
)
from phb_fhir.rules.case import (
    NOTHING,
    Asking,
    Books,
    By,
    Case,
    Decision,
    Find,
    Follow,
    Judging,
    Posted,
    Read,
    ReadVersion,
    advice,
    refusal,
)
from phb_fhir.rules.exclusions import excluded_in
from phb_fhir.rules.joint import Split, split
from phb_fhir.rules.ledger import CONTINGENCY, UNASSIGNED, Entry, Ledger, Sums, Told, entry, moved, positions
from phb_fhir.rules.words import (
    BASE,
    BUSINESS_STATUS,
    PERTAINS_TO_GOAL,
    PURCHASE_REASON,
    PURCHASE_REFERENCE,
    TASK_CODE,
    TASK_PARAMETER,
    code_in,
    concept,
    extensions,
    key_of,
    keys_in,
    pair_of,
    value_of,
    with_value,
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
MONEY = {"billable": "committed", "billed": "spent"}  # which sum a status holds
OPEN = ("planned", "billable", "billed")
DECIDED_WITHIN_DAYS = 14  # an unusual request, unless the commissioner says otherwise

# what was decided about a purchase, which nobody changes without deciding again
_TERMS = ("priceOverride", "quantity", "code", "definitionCanonical", "occurrenceDateTime", "occurrencePeriod")
_TERM_EXTENSIONS = ("phb-element", "phb-purchase-link")


# ---- what the record says ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Purchase:
    """A purchase with all that is known about it. `budget` is the budget it is charged to, under the key `account`.

    `item` is that of the directory; `pence` the whole price. `plans` are the care plan as it is and, where the link names one, the version it
    was linked to. `enterer_may`: whether whoever entered it acts for the person, by the record.
    """

    charge: Resource
    account: str
    budget: Resource
    ledger: Ledger
    by: By
    today: date
    plan: Resource | None = None
    linked: Resource | None = None
    item: Resource | None = None
    evidence: Mapping[str, Resource | None] = field(default_factory=dict)
    consents: Sequence[Resource] = ()
    payee: Resource | None = None
    exceptions: Sequence[Resource] = ()
    members: Sequence[Resource] = ()
    ledgers: Mapping[str, Ledger] = field(default_factory=dict)
    before: Resource | None = None

    @property
    def status(self) -> str:
        return str(self.charge.get("status", ""))

    @property
    def pence(self) -> int:
        return pence_of(self.charge.get("priceOverride")) or 0

    @property
    def elements(self) -> list[Element]:
        return [one for member in self.members for one in elements_of(member)] or elements_of(self.budget)

    @property
    def element(self) -> Element | None:
        return element_of(self.elements, element_id(self.charge))

    @property
    def is_contingency(self) -> bool:
        return reason_of(self.charge) == "contingency"

    @property
    def pot(self) -> str:
        return CONTINGENCY if self.is_contingency else element_id(self.charge)

    @property
    def was_money(self) -> bool:
        return self.before is not None and self.before.get("status") in MONEY


def element_id(charge: Resource) -> str:
    found = value_of(charge, "phb-element")
    return found if isinstance(found, str) else ""


def reason_of(charge: Resource) -> str:
    """`contingency` or `care-already-given` (phb-purchase-reason); "" for neither."""
    return next((code for one in charge.get("reason", ()) if (code := code_in(one, PURCHASE_REASON))), "")


def occurrence(charge: Resource) -> Days:
    """The days a purchase is for."""
    if "occurrencePeriod" in charge:
        return days_of(charge["occurrencePeriod"])
    return Days(first_day(charge.get("occurrenceDateTime")), last_day(charge.get("occurrenceDateTime")))


def link_of(charge: Resource) -> tuple[Any, str]:
    """The reference to the care plan, and the id of the activity."""
    link = next(iter(extensions(charge, "phb-purchase-link")), {})
    return value_of(link, "carePlan"), str(value_of(link, "activityId") or "")


def reference_of(charge: Resource) -> str:
    """The business identifier of a purchase; "" for none."""
    return next(
        (pair[1] for one in charge.get("identifier", ()) if (pair := pair_of(one))[0] == PURCHASE_REFERENCE), ""
    )


def account_of(charge: Resource) -> Asking[str]:
    """`Account/1`: the one it is charged to, by reference or by an identifier that one Account has; "" for none, or several."""
    accounts = charge.get("account")
    if not isinstance(accounts, list) or len(accounts) != 1:
        return ""
    if key := key_of(accounts[0]):
        return key
    system, value = pair_of(accounts[0].get("identifier"))
    found: list[Resource] = (yield Find("Account", ("identifier", f"{system}|{value}"))) if value else []
    return f"Account/{found[0]['id']}" if len(found) == 1 else ""


def read_purchase(charge: Resource, by: By, today: date, before: Resource | None = None) -> Asking[Purchase | None]:
    """All that the rules of a purchase want to know; None where it is charged to no budget, and is none of theirs."""
    account = yield from account_of(charge)
    if not account:
        return None
    wanted = [account, *keys_named(charge)]
    found: dict[str, Resource | None] = yield Read(*wanted)
    budget = found[account]
    if budget is None or not is_budget(budget):
        return None
    books: dict[str, Ledger] = yield Books(account)
    purchase = Purchase(charge, account, budget, books[account], by, today, before=before)
    purchase = replace(purchase, evidence={key: found[key] for key in keys_in(charge.get("supportingInformation"))})
    performers = [key_of(one.get("actor")) for one in charge.get("performer", ())]
    payees = (found.get(key) for key in performers if key.startswith("RelatedPerson/"))
    purchase = replace(purchase, payee=next((one for one in payees if one is not None), None))
    if is_joint(budget):
        purchase = yield from _with_members(purchase)
    purchase = yield from _with_plan(purchase)
    return (yield from _with_who(purchase))


def keys_named(charge: Resource) -> list[str]:
    """What a purchase refers to that its rules look at: its evidence, its plan, and whom it pays."""
    plan = key_of(link_of(charge)[0])
    performers = [key_of(one.get("actor")) for one in charge.get("performer", ()) if isinstance(one, dict)]
    people = [key for key in performers if key.startswith("RelatedPerson/")]
    return [*keys_in(charge.get("supportingInformation")), *([plan] if plan else []), *people]


def _with_members(purchase: Purchase) -> Asking[Purchase]:
    members: list[Resource] = yield Find("Account", ("part-of", purchase.account))
    ledgers: dict[str, Ledger] = (yield Books(*(f"Account/{one['id']}" for one in members))) if members else {}
    return replace(purchase, members=tuple(members), ledgers=ledgers)


def _with_plan(purchase: Purchase) -> Asking[Purchase]:
    """The plan of the budget, the version that the purchase was linked to, and the item of the directory."""
    reference, _ = link_of(purchase.charge)
    plan = key_of(reference) or plan_of(purchase.budget)
    found: dict[str, Resource | None] = (yield Read(plan)) if plan.startswith("CarePlan/") else {}
    current = found.get(plan)
    linked = current
    if number := _version_in(reference):
        linked = (yield ReadVersion(plan, number)) or current
    item = yield from _item(purchase.charge)
    return replace(purchase, plan=current, linked=linked, item=item)


def _version_in(reference: Any) -> int:
    text = reference.get("reference", "") if isinstance(reference, dict) else ""
    found = re.fullmatch(r"CarePlan/[^/]+/_history/(\d{1,9})", text)
    return int(found[1]) if found else 0


def _item(charge: Resource) -> Asking[Resource | None]:
    """The item of the directory that a purchase names, by url and version."""
    canonical = next(iter(charge.get("definitionCanonical", ())), "")
    if not isinstance(canonical, str) or not canonical:
        return None
    url, _, version = canonical.partition("|")
    found: list[Resource] = yield Find("ChargeItemDefinition", ("url", url))
    return next((one for one in found if not version or one.get("version") == version), None)


def _with_who(purchase: Purchase) -> Asking[Purchase]:
    """What lets a representative purchase, and what excepts somebody from a rule: read only where it matters."""
    enterer = key_of(purchase.charge.get("enterer"))
    if enterer.startswith("RelatedPerson/"):
        consents: list[Resource] = yield Find("Consent", ("patient", person_of(purchase.budget)), ("status", "active"))
        purchase = replace(purchase, consents=tuple(consents))
    if _is_connected(purchase.payee):
        code = f"{TASK_CODE}|exception"
        tasks: list[Resource] = yield Find("Task", ("patient", person_of(purchase.budget)), ("code", code))
        purchase = replace(purchase, exceptions=tuple(tasks))
    return purchase


# ---- what speaks against it ----------------------------------------------------------------------


def refusals(purchase: Purchase) -> list[Issue]:
    """Why a purchase cannot be, every reason; of one that was taken back or given up, none."""
    if purchase.status not in OPEN:
        return []
    return [issue for check in CHECKS for issue in check(purchase)]


def _in_step(p: Purchase) -> Iterator[Issue]:
    was = str(p.before.get("status", "")) if p.before is not None else ""
    if was and p.status not in STEPS.get(was, ()):
        may = ", ".join(one for one in STEPS.get(was, ()) if one != was) or "nothing else"
        yield refusal(f"A purchase that is {was} cannot become {p.status}; it can become {may}.", "ChargeItem.status")


def _disallowed_by(p: Purchase) -> Iterator[Issue]:
    if p.status == "not-billable" and p.before is not None and not p.by.is_professional:
        text = "A purchase is disallowed by the NHS team or the commissioner. One that was wrong is taken back as entered-in-error."
        yield refusal(text, "ChargeItem.status")


def _for_its_person(p: Purchase) -> Iterator[Issue]:
    subject = key_of(p.charge.get("subject"))
    if subject and subject != person_of(p.budget):
        yield refusal("The budget is another person's than the purchase is for.", "ChargeItem.subject")
    account = p.before and p.before.get("account")
    if account and p.was_money and keys_in(account) and keys_in(account) != [p.account]:
        text = "A purchase stays with the budget it was charged to. Take it back (entered-in-error), and record it with the other."
        yield refusal(text, "ChargeItem.account")


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
    days = occurrence(p.charge)
    at = "ChargeItem.occurrencePeriod" if "occurrencePeriod" in p.charge else "ChargeItem.occurrenceDateTime"
    places = [("the budget runs", days_of(p.budget.get("servicePeriod")))]
    if p.element is not None:
        places.append((f"{pot_name(p.element.id)} of the budget runs", p.element.days))
    if p.plan is not None:
        places.append(("the care plan runs", days_of(p.plan.get("period"))))
    for what, within in places:
        outside = next((day for day in (days.start, days.end) if day is not None and not within.covers(day)), None)
        if outside is not None:
            yield refusal(f"{outside:%-d %B %Y} is outside the time for which {what}: {within}.", at)


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
    if reference is None:
        return
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
    by = p.by
    if p.before is None and by.role not in ("", "system") and enterer and enterer not in by.names:
        yield refusal("The purchase says that somebody else entered it than who is signed in.", "ChargeItem.enterer")
    elif p.before is None and (why := _may_not(p, enterer)):
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
    """Money of a part is spent by who holds it, or by the NHS team (R20): others ask, and their purchase waits."""
    if p.status == "planned" or p.was_money or p.element is None or not _is_outsider(p):
        return
    text = (
        f"{pot_name(p.element.id).capitalize()} is held by {p.element.holder}. You can ask for this purchase (status planned); "
        f"whoever holds the money, or the NHS team, makes it."
    )
    yield refusal(text, "ChargeItem.status")


def _is_outsider(p: Purchase) -> bool:
    """Whether who enters this does not hold the part it is paid from, nor act for who does."""
    if p.element is None or p.by.role == "system":
        return False
    enterer = key_of(p.charge.get("enterer"))
    is_for_person = enterer == person_of(p.budget) or enterer.startswith("RelatedPerson/")
    return is_for_person and p.element.model != "direct-payment"


def _has_evidence(p: Purchase) -> Iterator[Issue]:
    if p.status != "billed" or extensions(p.charge, "phb-evidence-waiver"):
        return
    found = {key: one for key, one in p.evidence.items() if key.startswith("DocumentReference/")}
    missing = [key for key, one in found.items() if one is None]
    for key in missing:
        yield refusal(f"There is no {key}.", "ChargeItem.supportingInformation")
    if not missing and not any(_is_evidence(one) for one in found.values() if one is not None):
        text = "A purchase that is billed has a receipt, an invoice or a bank statement (a current DocumentReference), or a recorded reason for having none."
        yield refusal(text, "ChargeItem.supportingInformation")


def _is_evidence(document: Resource) -> bool:
    return document.get("status") == "current" and bool(
        code_in(document.get("type"), f"{BASE}/CodeSystem/phb-evidence-type")
    )


def _is_affordable(p: Purchase) -> Iterator[Issue]:
    if p.was_money or p.members or is_joint(p.budget):
        return  # what is committed has its money; a joint budget's is looked at where it falls
    available = p.ledger.of(p.pot).available
    if p.pence > available and not _is_given(p):
        yield short(p.pence, available, p.pot)


def short(pence: int, available: int, pot: str) -> Issue:
    """£12.50 is more than the £10.00 left."""
    where = f" of {pot_name(pot)}" if pot else ""
    return refusal(
        f"{sterling(pence)} is more than the {sterling(max(available, 0))} left{where}.", "ChargeItem.priceOverride"
    )


def _is_given(p: Purchase) -> bool:
    """Whether it is for care that was given already, said so: then it is recorded, and somebody looks into it (R88)."""
    end = occurrence(p.charge).end
    return p.status == "billed" and reason_of(p.charge) == "care-already-given" and end is not None and end <= p.today


def _pays_no_relative(p: Purchase) -> Iterator[Issue]:
    """Somebody of the same household is paid only by an exception that was decided (regulation 8(5A); DP-5)."""
    if not _is_connected(p.payee):
        return
    allowed = any(
        one.get("status") == "completed" and code_in(one.get("businessStatus"), BUSINESS_STATUS) == "approved"
        for one in p.exceptions
        if key_of(one.get("focus")) in (p.account, plan_of(p.budget), f"ChargeItem/{p.charge.get('id')}")
    )
    if not allowed:
        text = "Somebody who lives in the same household can be paid only where an exception was agreed: an approved Task 'exception' says why it is necessary."
        yield refusal(text, "ChargeItem.performer")


def _is_connected(payee: Resource | None) -> bool:
    return payee is not None and value_of(payee, "phb-connected-person") is True


def _contingency_says_why(p: Purchase) -> Iterator[Issue]:
    if p.is_contingency and not any(one.get("text") for one in p.charge.get("reason", ())):
        yield refusal(
            "Money for emergencies is used for a reason: say which, in words (reason.text).", "ChargeItem.reason"
        )


CHECKS: tuple[Callable[[Purchase], Iterator[Issue]], ...] = (
    _in_step,
    _budget_is_open,
    _for_its_person,
    _may_be_bought,
    _within_dates,
    _names_its_part,
    _by_who_may,
    _by_the_holder,
    _serves_the_plan,
    _pays_no_relative,
    _contingency_says_why,
    _has_evidence,
    _is_affordable,
)


# ---- what somebody has to decide -----------------------------------------------------------------


def waits(purchase: Purchase) -> list[str]:
    """What keeps a purchase from being made without anybody's decision, each in a sentence; nothing where nothing does."""
    return [why for check in WAITS if (why := check(purchase))]


def _unlinked(p: Purchase) -> str:
    reference, activity = link_of(p.charge)
    return "" if reference is not None and activity else "It is not linked to an activity of the care plan."


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
    return f"{pot_name(p.element.id).capitalize()} is held by somebody else." if p.element and _is_outsider(p) else ""


def _from_contingency(p: Purchase) -> str:
    return "It is to be paid from the money for emergencies." if p.is_contingency else ""


WAITS: tuple[Callable[[Purchase], str], ...] = (_unlinked, _not_in_directory, _dearer, _asked_for, _from_contingency)


# ---- what becomes of it --------------------------------------------------------------------------


def judge_purchase(case: Case) -> Judging:
    """What is to be said of a write of a ChargeItem that is charged to a budget, and what follows from it."""
    posted: list[Entry] = [] if case.is_new else (yield Posted(case.key))
    if case.after is None:
        return _deleted(posted)
    purchase = yield from read_purchase(case.after, case.by, case.today, case.before)
    if purchase is None:
        return _taken_away(posted)
    if case.is_new and (first := (yield from _first(case, purchase))):
        return first
    purchase = _with_only_part(purchase)
    issues = refusals(purchase)
    if purchase.status not in OPEN:
        issues += [*_in_step(purchase), *_disallowed_by(purchase)]
    if issues:
        return Decision(tuple(issues))
    return (yield from _decided(case, purchase, posted))


def _decided(case: Case, purchase: Purchase, posted: list[Entry]) -> Judging:
    why = waits(purchase) if purchase.status in OPEN else []
    status = _status(purchase, why)
    if isinstance(status, Issue):
        return Decision((status,))
    charge = purchase.charge if status == purchase.status else {**purchase.charge, "status": status}
    purchase = replace(purchase, charge=charge)
    entries, issues = _entries(case, purchase, posted)
    if issues:
        return Decision(tuple(issues))
    follow = list((yield from _tasks(case, purchase, why)))
    said = tuple(advice(one, "ChargeItem") for one in why) if status == "planned" else ()
    changed = charge if charge is not case.after else None
    return Decision(said, changed, tuple(entries), tuple(follow))


def _status(p: Purchase, why: list[str]) -> str | Issue:
    """The status it gets: billable by itself where nothing has to be decided, planned where something has."""
    is_decided = p.by.is_professional or p.was_money
    if p.status == "planned":
        return "planned" if why else "billable"
    if p.status in MONEY and why and not is_decided:
        if p.before is not None:
            return refusal(f"Somebody has to decide this: {' '.join(why)}", "ChargeItem.status")
        return "planned"
    if p.was_money and why and not p.by.is_professional and _changes_terms(p):
        text = f"What was agreed about this purchase can be changed by whoever decides it: {' '.join(why)}"
        return refusal(text, "ChargeItem")
    return p.status


def _changes_terms(p: Purchase) -> bool:
    before = p.before or {}
    plain = any(before.get(name) != p.charge.get(name) for name in _TERMS)
    return plain or any(extensions(before, name) != extensions(p.charge, name) for name in _TERM_EXTENSIONS)


def _with_only_part(p: Purchase) -> Purchase:
    """The purchase with its part named, where the budget has one part alone."""
    is_open = not element_id(p.charge) and not p.members and not p.is_contingency and p.status in OPEN
    if is_open and len(p.elements) == 1 and not p.ledger.of(UNASSIGNED).allocated:
        return replace(p, charge=with_value(p.charge, "phb-element", "Id", p.elements[0].id))
    return p


def _first(case: Case, purchase: Purchase) -> Asking[Decision | None]:
    """The same business identifier posted again answers with the first result; with other details, it is refused."""
    reference = reference_of(purchase.charge)
    if not reference:
        return None
    found: list[Resource] = yield Find("ChargeItem", ("identifier", f"{PURCHASE_REFERENCE}|{reference}"))
    for one in found:
        if one.get("id") == case.id:
            continue
        key = f"ChargeItem/{one['id']}"
        if _same(one, purchase.charge) and not case.names_id:
            return Decision(first=key)
        text = f"The reference {reference} is that of {key} already, which is another purchase. Give this one a reference of its own."
        return Decision((Issue(Kind.DUPLICATE, text, "ChargeItem.identifier"),))
    return None


def _same(one: Resource, other: Resource) -> bool:
    """Whether two say the same purchase: what, when, how much, from which budget. Its status may have moved on since."""
    names = ("account", "subject", "priceOverride", "quantity", "occurrenceDateTime", "occurrencePeriod")
    code = (one.get("code") or {}).get("text") == (other.get("code") or {}).get("text")
    return code and all(_plain(one.get(name)) == _plain(other.get(name)) for name in names)


def _plain(value: Any) -> Any:
    """References and accounts without what is only for reading."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items() if name != "display"}
    return [_plain(each) for each in value] if isinstance(value, list) else value


_OWN = ("commitment", "release", "spend", "reversal")


def _entries(case: Case, p: Purchase, posted: list[Entry]) -> tuple[list[Entry], list[Issue]]:
    """What moves in the ledgers, and why it cannot."""
    sum_ = MONEY.get(p.status)
    # a refund stands beside what was spent, until the purchase is taken back and all of it with it
    was = positions(one for one in posted if sum_ is None or one.kind in _OWN)
    falls = _falls(p, was, sum_)
    if falls.issues:
        return [], list(falls.issues)
    wanted = {place: Sums(**{sum_: pence}) for place, pence in falls.places.items()} if sum_ else {}
    funders = {p.account: owner_of(p.budget)} | {f"Account/{one['id']}": owner_of(one) for one in p.members}
    day = (occurrence(p.charge).end or case.today).isoformat()
    accounts = {place[0] for place in (*was, *wanted)}
    reason = "care already given" if _is_given(p) else ""
    told = {account: Told(case.version, case.key, funders.get(account, ""), day, reason) for account in accounts}
    entries = moved(was, wanted, told)
    issues = [] if _is_given(p) else list(_overspent(p, entries))
    if stage_of(p.budget) == "closed":
        entries += _recovered(entries, told)
    return entries, issues


def _falls(p: Purchase, was: Mapping[tuple[str, str], Sums], sum_: str | None) -> Split:
    """Over which accounts and pots the price falls. What a joint budget split once stays split as it was, while its price stays."""
    if sum_ is None:
        return Split({})
    if not is_joint(p.budget):
        return Split({(p.account, p.pot): p.pence} if p.pence else {})
    held = {place: sums.committed + sums.spent for place, sums in was.items() if sums.committed + sums.spent}
    if sum(held.values()) == p.pence:
        return Split(held)
    back = {account: _without(ledger, was) for account, ledger in p.ledgers.items()}
    return split(p.pence, p.members, back)


def _without(ledger: Ledger, was: Mapping[tuple[str, str], Sums]) -> Ledger:
    """The ledger as if this purchase had not been posted."""
    pots = {pot: sums.plus(was.get((ledger.account, pot), Sums()).opposite) for pot, sums in ledger.pots.items()}
    return replace(ledger, pots=pots)


def _overspent(p: Purchase, entries: Sequence[Entry]) -> Iterator[Issue]:
    """Money is never spent twice: what is available after this is not less than nothing."""
    ledgers = {p.account: p.ledger, **p.ledgers}
    for (account, pot), sums in positions(entries).items():
        available = ledgers[account].of(pot).available
        if sums.available < 0 and available + sums.available < 0:
            yield short(p.pence, available, pot)


def _recovered(entries: Sequence[Entry], told: Mapping[str, Told]) -> list[Entry]:
    """What comes back to a budget that is closed goes back to whoever gave it."""
    return [
        entry("surplus-recovery", sums.available, *place, told[place[0]])
        for place, sums in positions(entries).items()
        if sums.available > 0
    ]


def _deleted(posted: Sequence[Entry]) -> Decision:
    if not posted:
        return NOTHING
    text = (
        "Money has moved on this purchase, and its record is kept. Mark it as entered in error instead: that undoes it."
    )
    return Decision((refusal(text, "ChargeItem"),))


def _taken_away(posted: Sequence[Entry]) -> Decision:
    """A purchase that names no budget any more, where it did."""
    if not any(positions(posted).values()):
        return NOTHING
    text = "A purchase stays with the budget it was charged to. Take it back (entered-in-error), and record it anew."
    return Decision((refusal(text, "ChargeItem.account"),))


# ---- who is asked --------------------------------------------------------------------------------


def _tasks(case: Case, p: Purchase, why: Sequence[str]) -> Asking[list[Follow]]:
    """The Task for whoever decides; its end, once it is decided; and the question that an overspend raises."""
    follow: list[Follow] = []
    if p.status == "planned" and case.is_new:
        text = f"Decide whether the budget can pay for this: {_what(p)}, {sterling(p.pence)}. {' '.join(why)}"
        follow.append((yield from _task(case, p, "unusual-request", text)))
    elif case.before is not None and case.before.get("status") == "planned" and p.status != "planned":
        follow += yield from _ended(case, p)
    if _is_given(p) and p.pence > p.ledger.of(p.pot).available and not p.was_money:
        text = f"{_what(p)} was given already and costs {sterling(p.pence)}, more than is left. Find out why, and what follows (R88)."
        follow.append((yield from _task(case, p, "overspend-query", text)))
    return follow


def _what(p: Purchase) -> str:
    return str((p.charge.get("code") or {}).get("text") or "a purchase")


def _task(case: Case, p: Purchase, code: str, text: str) -> Asking[Follow]:
    owner = yield from _coordinator(p)
    enterer = p.charge.get("enterer")
    at = case.now.isoformat(timespec="seconds")
    task: Resource = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "priority": "routine",
        "code": concept(TASK_CODE, code),
        "description": text,
        "focus": {"reference": case.key, "display": _what(p)},
        "for": {"reference": person_of(p.budget)},
        "authoredOn": at,
        "lastModified": at,
        "requester": _bare(enterer) if isinstance(enterer, dict) else {"reference": owner_of(p.budget)},
        "owner": {"reference": owner},
        "restriction": {"period": {"end": (case.today + timedelta(days=DECIDED_WITHIN_DAYS)).isoformat()}},
        "input": [{"type": concept(TASK_PARAMETER, "purchase"), "valueReference": {"reference": case.key}}],
    }
    return Follow(task)


def _bare(reference: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in reference.items() if name in ("reference", "identifier", "display")}


def _coordinator(p: Purchase) -> Asking[str]:
    """The care co-ordinator of the plan's team; the commissioner, where there is none."""
    teams = keys_in(p.plan.get("careTeam")) if p.plan is not None else []
    found: dict[str, Resource | None] = (yield Read(*teams)) if teams else {}
    for team in found.values():
        for one in team.get("participant", ()) if team is not None else ():
            roles = {code_in(role, f"{BASE}/CodeSystem/phb-care-team-role") for role in one.get("role", ())}
            if "care-coordinator" in roles and (member := key_of(one.get("member"))):
                return member
    return owner_of(p.budget)


_ENDS = {"billable": "approved", "billed": "approved"}


def _ended(case: Case, p: Purchase) -> Asking[list[Follow]]:
    """The Task that asked for a decision is over once there is one."""
    code = f"{TASK_CODE}|unusual-request"
    tasks: list[Resource] = yield Find(
        "Task", ("focus", case.key), ("code", code), ("status", "requested,received,accepted,in-progress")
    )
    said = _ENDS.get(p.status, "not-approved")
    at = case.now.isoformat(timespec="seconds")
    return [
        Follow(
            {**task, "status": "completed", "businessStatus": concept(BUSINESS_STATUS, said), "lastModified": at},
            f"Task/{task['id']}",
        )
        for task in tasks
    ]

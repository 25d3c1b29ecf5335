"""What must be in the record at each stage of a budget (SM-A, RULE-ELIG, RULE-VOL, RULE-CC, R2, R10, R15, R37 to R66, R157 to R166).

NEEDS is the table: at which stages something is needed, which elements of the Account it looks at, and how it is looked into. It is looked
into when a budget comes to one of the stages, and when one of the elements changes while it is there. Each gives all its reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import date
from typing import Any, NamedTuple

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.money import portion, sterling
from phb_fhir.outcome import Issue
from phb_fhir.rules.allocation import pot_first
from phb_fhir.rules.around import (
    TOLD_DAYS,
    coordinator_in,
    has_died,
    is_decided,
    is_of_professional,
    lacks_capacity,
    policy_of,
    says_why,
    tasks_about,
    teams_of,
    told,
    told_lately,
)
from phb_fhir.rules.authority import within_authority
from phb_fhir.rules.budget import (
    ONGOING,
    Days,
    amounts_of,
    days_of,
    elements_of,
    first_day,
    in_words,
    is_joint,
    is_to_leave_hospital,
    joint_of,
    last_day,
    person_of,
    plan_of,
    stage_of,
)
from phb_fhir.rules.case import Asking, Books, Case, Find, Read, advice, refusal
from phb_fhir.rules.death import alive_still
from phb_fhir.rules.direct_payment import FOR_OTHERS, LEGAL_BASIS, may_be_paid, sufficient
from phb_fhir.rules.eligibility import check_eligibility, eligible_by
from phb_fhir.rules.ledger import Ledger
from phb_fhir.rules.plan import activities_of
from phb_fhir.rules.repayment import CODE as REPAYMENT
from phb_fhir.rules.repayment import amount_of
from phb_fhir.rules.review import first_too_late, purpose_of
from phb_fhir.rules.words import (
    BUSINESS_STATUS,
    TASK_CODE,
    code_in,
    extensions,
    key_of,
    keys_in,
    value_of,
)

_FORTH = (
    "requested",
    "eligibility-confirmed",
    "indicative-set",
    "planning",
    "sign-off-pending",
    "authorised",
    "active",
)
_STAGE = "Account.extension.where(url.endsWith('phb-lifecycle-status')).value"
_AMOUNT = "Account.extension.where(url.endsWith('phb-budget-amount'))"
_PLAN = "Account.extension.where(url.endsWith('phb-care-plan')).value"
_OFFER = "Account.extension.where(url.endsWith('phb-offer'))"
_WEEK_DAYS = 7
_YEAR_WEEKS = 52


def from_(stage: str) -> frozenset[str]:
    """A stage and those after it, as far as the budget being active."""
    return frozenset(_FORTH[_FORTH.index(stage) :])


Look = Callable[[Case, Resource], Asking[list[Issue]]]


class Need(NamedTuple):
    """`at` these stages; `of` these elements or extensions of the Account. A joint budget needs only what `is_joints` says."""

    at: frozenset[str]
    of: tuple[str, ...]
    look: Look
    is_joints: bool = False


def needed(case: Case) -> Asking[list[Issue]]:
    """What the record lacks for the stage that a budget has come to, or for what has changed at it."""
    after = case.after
    if after is None:
        return []
    issues: list[Issue] = []
    stage = stage_of(after)
    arrives = stage != stage_of(case.before)
    for need in NEEDS:
        if stage not in need.at or (is_joint(after) and not need.is_joints):
            continue
        if arrives or (not case.is_own and _changed(case, need.of)):
            issues += yield from need.look(case, after)
    return issues


def _changed(case: Case, names: Iterable[str]) -> bool:
    before, after = case.before or {}, case.after or {}
    return any(_of(before, name) != _of(after, name) for name in names)


def _of(account: Resource, name: str) -> Any:
    return extensions(account, name) if name.startswith("phb-") else account.get(name)


# ---- before there is a plan ----------------------------------------------------------------------


def _eligible(case: Case, account: Resource) -> Asking[list[Issue]]:
    return (yield from eligible_by(account, case.today))


def _asked_for(case: Case, account: Resource) -> Asking[list[Issue]]:
    """A professional asked for the budget (R10): what is a draft was not asked yet."""
    del account
    requests = [one for one in (yield from tasks_about("phb-request", case.key)) if one.get("status") != "draft"]
    if any(is_of_professional(one) and not is_decided(one, BUSINESS_STATUS, "not-approved") for one in requests):
        return []
    text = (
        "A budget is set up because a professional asked for it: a Task phb-request with this Account as its focus, whose requester is a"
        " practitioner or their organisation."
    )
    return [refusal(text, "Account")]


class Offer(NamedTuple):
    """A row of `phb-offer`."""

    day: str
    response: str
    by: str


def offers_of(account: Resource) -> list[Offer]:
    """The offers of a budget and what was said to each, the last one last."""
    found = [
        Offer(
            str(value_of(row, "offered") or ""),
            str(value_of(row, "response") or ""),
            key_of(value_of(row, "respondedBy")),
        )
        for row in extensions(account, "phb-offer")
    ]
    return sorted(found, key=lambda one: one.day)


def _last_answer(account: Resource) -> Offer:
    answered = [one for one in offers_of(account) if one.response]
    return answered[-1] if answered else Offer("", "", "")


def _not_declined(case: Case, account: Resource) -> Asking[list[Issue]]:
    """Nobody is made to have a budget (RULE-VOL, R53)."""
    del case
    yield from ()
    if _last_answer(account).response != "declined":
        return []
    text = "The person has said no to a budget, and nobody is made to have one. Their care goes on as it is; they can change their mind."
    return [refusal(text, _OFFER)]


def _accepted(case: Case, account: Resource) -> Asking[list[Issue]]:
    """The person said yes, knowing about how much there will be, before the planning begins; or who may speak for them did (R53, R166)."""
    answer = _last_answer(account)
    if answer.response == "declined":
        return []  # told already
    if answer.response != "accepted":
        said = "has asked to be asked again later" if answer.response == "deferred" else "has not answered yet"
        return [
            refusal(f"A budget is planned once the person has accepted the offer; the person {said} (R53).", _OFFER)
        ]
    return (yield from _may_answer(case, account, answer.by))


def _may_answer(case: Case, account: Resource, who: str) -> Asking[list[Issue]]:
    person = person_of(account)
    incapable = yield from lacks_capacity(person, "having-a-budget")
    if who == person and incapable:
        text = "The person is recorded as not able to decide this: who speaks for them answers the offer (R93.1, R166)."
        return [refusal(text, _OFFER)]
    if who == person:
        return []
    consents: list[Resource] = yield Find("Consent", ("patient", person), ("status", "active"), ("actor", who))
    if any(_speaks(one, case.today, incapable=incapable) for one in consents):
        return []
    text = (
        f"{who} answered the offer; an active Consent says that they speak for the person: on a ground of the law, or where the person can agree to"
        " that, by letting them do more than look (R166)."
    )
    return [refusal(text, _OFFER)]


def _speaks(consent: Resource, day: date, *, incapable: bool) -> bool:
    """Whether somebody whom a Consent names answers for the person; a person who cannot agree has not chosen them."""
    provision = consent.get("provision") or {}
    if provision.get("type") == "deny" or not days_of(provision.get("period")).covers(day):
        return False
    if code_in(consent.get("policyRule"), LEGAL_BASIS) in FOR_OTHERS:
        return True
    actions = {coding.get("code") for one in provision.get("action", ()) for coding in one.get("coding", ())}
    return not incapable and bool(actions & {"plan", "purchase"})


def _informed(case: Case, account: Resource) -> Asking[list[Issue]]:
    """The person was told about budgets, before an amount is named (R44)."""
    person = person_of(account)
    given: list[Resource] = yield from told(person, "phb-information-given")
    if any((day := first_day(one.get("sent"))) is not None and day <= case.today for one in given):
        return []
    tasks: list[Resource] = yield Find("Task", ("code", f"{TASK_CODE}|give-information"), ("patient", person))
    if any(one.get("status") == "completed" for one in tasks):
        return []
    text = (
        "The person is told about personal health budgets first (R44): record the Communication of category phb-information-given, or"
        " complete the Task give-information."
    )
    return [refusal(text, "Account")]


# ---- the plan ------------------------------------------------------------------------------------


def _plan_signed(case: Case, account: Resource) -> Asking[list[Issue]]:
    """Plan and money are agreed together: the plan is signed off, which makes it active (R35). What is newly linked, `plan.judge_link` judges."""
    key = plan_of(account)
    if case.before is None or plan_of(case.before) != key:
        return []
    plan: Resource | None = (yield Read(key))[key] if key else None
    if plan is None or plan.get("status") == "active":
        return []
    text = f"The plan {key} is {plan.get('status')}. Money is authorised once the plan is signed off, and active."
    return [refusal(text, _PLAN)]


def _coordinated(case: Case, account: Resource) -> Asking[list[Issue]]:
    """Somebody is the care co-ordinator, however the money is held (RULE-CC, R157, R161)."""
    key = plan_of(account)
    plan: Resource | None = (yield Read(key))[key] if key else None
    teams = yield from teams_of(plan)
    if coordinator_in(teams, case.today):
        return []
    text = (
        "Nobody is named as the care co-ordinator: the CareTeam of the plan has a participant with that role, whichever way the money is"
        " held (R157, R161)."
    )
    return [refusal(text, _PLAN)]


# ---- the money -----------------------------------------------------------------------------------


def _contingency(case: Case, account: Resource) -> Asking[list[Issue]]:
    """What is set aside for emergencies keeps to the commissioner's limit (R80)."""
    del case
    aside = sum(row.worth for row in amounts_of(account, "contingency"))
    if not aside:
        return []
    policy = yield from policy_of(account.get("owner"))
    most = portion(weekly(account), policy.contingency_weeks)
    if aside <= most:
        return []
    text = (
        f"{sterling(aside)} is set aside for emergencies; {policy.contingency_weeks} weeks' money, {sterling(most)}, is the most"
        f" ({policy.name})."
    )
    return [refusal(text, _AMOUNT)]


def weekly(account: Resource) -> int:
    """What the approved amount comes to in a week, to the nearest penny; of one without an end, a year is taken."""
    rows = amounts_of(account, "approved")
    days = sum(
        (row.days.end - row.days.start).days + 1
        if row.days.start is not None and row.days.end is not None
        else _YEAR_WEEKS * _WEEK_DAYS
        for row in rows
    )
    return round(sum(row.worth for row in rows) * _WEEK_DAYS / days) if days else 0


def _one_off(case: Case, account: Resource) -> Asking[list[Issue]]:
    """A single sum to leave hospital keeps to its limit, which an approved exception raises once."""
    if not is_to_leave_hospital(account):
        return []
    policy = yield from policy_of(account.get("owner"))
    approved = sum(row.worth for row in amounts_of(account, "approved"))
    if approved <= policy.one_off_max:
        return []
    if approved > policy.one_off_exception_max:
        text = f"A one-off budget to leave hospital is {sterling(policy.one_off_exception_max)} at the most, even as an exception."
        return [refusal(text, _AMOUNT)]
    exceptions = yield from tasks_about("exception", case.key)
    if any(is_decided(one, BUSINESS_STATUS, "approved") for one in exceptions):
        return []
    text = (
        f"A one-off budget to leave hospital is {sterling(policy.one_off_max)} at the most; {sterling(approved)} needs an exception that was"
        " approved (Task exception with this Account as its focus)."
    )
    return [refusal(text, _AMOUNT)]


def _sufficient(case: Case, account: Resource) -> Asking[list[Issue]]:
    del case
    return (yield from sufficient(account))


# ---- starting ------------------------------------------------------------------------------------


def _ready(case: Case, account: Resource) -> Asking[list[Issue]]:
    """All that the plan needs on the first day is there (R48)."""
    lists = yield from tasks_about("start-up-checklist", case.key, joint_of(account), plan_of(account))
    waiting = [one for one in lists if one.get("status") != "completed"]
    if lists and not waiting:
        return []
    text = "A budget starts when everything is in place: " + (
        f"the checklist Task/{waiting[0].get('id')} is {waiting[0].get('status')}, not completed (R48)."
        if waiting
        else "a Task start-up-checklist about it or its plan, completed, says so (R48)."
    )
    return [refusal(text, "Account")]


def _providers_checked(case: Case, account: Resource) -> Asking[list[Issue]]:
    """Where somebody wanted to know of a provider of the plan whether it can be relied on, that is known before the care begins (R48, R107)."""
    if stage_of(case.before) != "authorised":
        return []  # what comes with its history, or begins again
    key = plan_of(account)
    plan: Resource | None = (yield Read(key))[key] if key else None
    checks = yield from tasks_about("provider-check", *_providers(plan or {}))
    checks = [one for one in checks if key_of(one.get("for")) in ("", person_of(account))]
    waiting = [one for one in checks if one.get("status") not in ("completed", "draft")]
    if waiting:
        task = waiting[0]
        text = (
            f"A budget starts when everything is in place: whether {key_of(task.get('focus'))} is right for this is still being looked into"
            f" (Task/{task.get('id')}). Complete that check first, or take it back (R48, R107)."
        )
        return [refusal(text, "Account")]
    last = {key_of(one.get("focus")): one for one in sorted(checks, key=lambda one: str(one.get("authoredOn", "")))}
    return [
        advice(f"{provider} was looked into, and not found right for this (Task/{one.get('id')}; R107).", _PLAN)
        for provider, one in last.items()
        if is_decided(one, BUSINESS_STATUS, "not-approved")
    ]


def _providers(plan: Resource) -> list[str]:
    """The organisations that do something of a plan."""
    performers = [key for one in activities_of(plan) for key in keys_in((one.get("detail") or {}).get("performer"))]
    return [*dict.fromkeys(key for key in performers if key.startswith("Organization/"))]


def _may_be_paid(case: Case, account: Resource) -> Asking[list[Issue]]:
    return (yield from may_be_paid(account, case.today))


def _alive(case: Case, account: Resource) -> Asking[list[Issue]]:
    """After a suspension a budget goes on as it was; not when the person has died."""
    del case
    person = person_of(account)
    yield alive_still(person)
    if has_died((yield Read(person))[person]):
        return [refusal("The person has died: the budget is closed now, not started.", _STAGE)]
    return []


def _money_within(case: Case, account: Resource) -> Asking[list[Issue]]:
    """A part, or an amount, is for days on which the budget runs: there is no money for others (R20, R37, R85). One that was, ends with it."""
    yield from ()
    runs, known = days_of(account.get("servicePeriod")), _dated(case.before or {})
    return [
        refusal(
            f"{what} is for the time {days}, and {in_words(day)} is outside the time for which the budget runs: {runs}.",
            f"Account.extension.where(url.endsWith('{name}'))",
        )
        for name, what, days in _dated(account)
        for day in days
        if day is not None and not runs.covers(day) and (name, what, days) not in known
    ]


def _dated(account: Resource) -> list[tuple[str, str, Days]]:
    """The parts and the amounts of a budget in a sentence, each with its extension and its days."""
    parts = [("phb-management-element", pot_first(one.id), one.days) for one in elements_of(account)]
    rows = amounts_of(account, "approved", "contingency")
    return [
        *parts,
        *(("phb-budget-amount", f"{sterling(one.worth)} of the {one.type} amount", one.days) for one in rows),
    ]


# ---- stopping and ending -------------------------------------------------------------------------


def _told_of(case: Case, account: Resource) -> Asking[list[Issue]]:
    """Nobody's money is stopped silently: they were told why (R51)."""
    del account
    if (yield from told_lately(case)):
        return []
    text = (
        "Before spending is stopped the person is told why: record the Communication of category decision-notice about this budget, sent in"
        f" the last {TOLD_DAYS} days (R51)."
    )
    return [refusal(text, _STAGE)]


def _declined(case: Case, account: Resource) -> Asking[list[Issue]]:
    """Their no is on record (R53), and nothing was bought before."""
    issues = []
    if _last_answer(account).response != "declined":
        text = "A budget is declined by the person: record their answer to the offer (phb-offer, response declined)."
        issues.append(refusal(text, _OFFER))
    ledger: Ledger = (yield Books(case.key))[case.key]
    if ledger.total.spent or ledger.total.committed or ledger.total.advanced:
        issues.append(
            refusal("Money of this budget has been used already: it is closed, with its last review.", _STAGE)
        )
    return issues


def _refused(case: Case, account: Resource) -> Asking[list[Issue]]:
    """A no has its reasons, in a decision that can be challenged (R140)."""
    tasks: list[Resource] = yield Find(
        "Task", ("code", f"{TASK_CODE}|phb-request,{TASK_CODE}|eligibility-request"), ("patient", person_of(account))
    )
    about = {case.key, *(key_of(row.get("coverage")) for row in account.get("coverage", ()))}
    theirs = [one for one in tasks if key_of(one.get("focus")) in about]
    if any(
        one.get("status") == "rejected" or is_decided(one, BUSINESS_STATUS, "not-approved")
        for one in theirs
        if says_why(one)
    ):
        return []
    text = (
        "A refusal has its reasons: complete the Task phb-request (or eligibility-request) about this budget as not-approved, with its"
        " statusReason, so that the person can ask for it to be looked at again (R140)."
    )
    return [refusal(text, _STAGE)]


def _without_ground(case: Case, account: Resource) -> Asking[list[Issue]]:
    """Nobody is told they are not eligible who is (R2)."""
    found = yield from check_eligibility(person_of(account), case.today)
    standing = [ground for ground in found.grounds if ground.stands and ground.category is not None]
    if not found.is_eligible or not standing:
        return []
    names = ", ".join(f"{ground.category.display} ({ground.coverage})" for ground in standing if ground.category)
    return [refusal(f"The person is eligible: {names}.", _STAGE)]


def _ended_well(case: Case, account: Resource) -> Asking[list[Issue]]:
    """The last review is over, every purchase decided, and money that lies elsewhere accounted for (R15, regulation 15)."""
    issues = yield from _reviewed(case, account)
    issues += yield from _nothing_waits(case)
    issues += yield from _returned(case, account)
    end = last_day(account.get("servicePeriod", {}).get("end"))
    if end is not None and end > case.today:
        issues.append(
            refusal(
                f"The budget runs to {in_words(end)}: it is closed then, or its end is brought forward.",
                "Account.servicePeriod",
            )
        )
    return issues


def _reviewed(case: Case, account: Resource) -> Asking[list[Issue]]:
    reviews = yield from tasks_about("phb-review", case.key, joint_of(account))
    if any(purpose_of(one) == "closing" and one.get("status") == "completed" for one in reviews):
        return []
    text = "A budget ends with its last review: a Task phb-review of type closing about it, completed (R15)."
    return [refusal(text, _STAGE)]


def _nothing_waits(case: Case) -> Asking[list[Issue]]:
    waiting: list[Resource] = yield Find("ChargeItem", ("account", case.key), ("status", "planned"))
    if not waiting:
        return []
    count = (
        f"{len(waiting)} purchases still wait" if len(waiting) > 1 else f"ChargeItem/{waiting[0].get('id')} still waits"
    )
    return [refusal(f"{count} for a decision: approve or refuse what is planned before the budget closes.", _STAGE)]


def _returned(case: Case, account: Resource) -> Asking[list[Issue]]:
    """What was paid out and not spent came back, or was given up: what is repaid is paid out no more, and what is written off is said how much."""
    ledger: Ledger = (yield Books(case.key))[case.key]
    held = {pot: sums.advanced - sums.spent for pot, sums in ledger.pots.items() if sums.advanced > sums.spent}
    issues = []
    if held:
        notices = yield from tasks_about(REPAYMENT, case.key)
        given_up = sum(amount_of(one) for one in notices if is_decided(one, BUSINESS_STATUS, "written-off"))
        if sum(held.values()) > given_up:
            names = ", ".join(f"{sterling(pence)} of the part '{pot}'" for pot, pence in held.items())
            but = f", and {sterling(given_up)} of it is written off: the rest" if given_up else ": it"
            text = f"{names} was paid out and not spent{but} comes back first, or a repayment notice for it is written off (regulation 15)."
            issues.append(refusal(text, _STAGE))
    if ledger.total.available < 0:
        queries = yield from tasks_about("overspend-query", case.key)
        if not any(one.get("status") == "completed" for one in queries):
            text = f"{sterling(-ledger.total.available)} more was spent than there was: complete the Task overspend-query first (R88)."
            issues.append(refusal(text, _STAGE))
    del account
    return issues


# ---- the table -----------------------------------------------------------------------------------


def _at(*stages: str) -> frozenset[str]:
    return frozenset(stages)


NEEDS: Collection[Need] = (
    Need(from_("requested"), ("phb-management-element", "phb-budget-amount", "servicePeriod"), _money_within),
    Need(from_("eligibility-confirmed"), ("coverage",), _eligible),
    Need(from_("eligibility-confirmed"), (), _asked_for),
    Need(from_("eligibility-confirmed"), ("phb-offer",), _not_declined),
    Need(from_("indicative-set"), (), _informed),
    Need(from_("planning"), ("phb-offer",), _accepted),
    Need(from_("authorised"), (), _plan_signed, is_joints=True),
    Need(from_("authorised"), ("phb-budget-amount",), _contingency),
    Need(from_("authorised"), ("phb-budget-amount", "type", "phb-one-off-purpose"), _one_off),
    Need(from_("authorised"), ("phb-budget-amount", "phb-care-plan"), _sufficient),
    Need(ONGOING, ("phb-budget-amount", "phb-care-plan", "coverage"), within_authority),
    Need(_at("active"), ("phb-care-plan",), _coordinated, is_joints=True),
    Need(_at("active"), (), _ready, is_joints=True),
    Need(_at("active"), (), _providers_checked, is_joints=True),
    Need(_at("active"), (), _alive, is_joints=True),
    Need(_at("active"), ("phb-review-schedule",), first_too_late, is_joints=True),
    Need(_at("active"), ("phb-management-element", "phb-bank-account", "phb-care-plan"), _may_be_paid),
    Need(_at("suspended"), (), _told_of, is_joints=True),
    Need(_at("declined-by-person"), ("phb-offer",), _declined, is_joints=True),
    Need(_at("refused"), (), _refused, is_joints=True),
    Need(_at("not-eligible"), (), _without_ground),
    Need(_at("closed"), (), _ended_well, is_joints=True),
)

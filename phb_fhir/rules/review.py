"""Reviews: the outcomes and the money, looked at together (SM-H, RULE-REVIEW, R13, R147 to R156; DP-8).

Anybody around the person may call one at any time, and none is refused because it is not on the schedule (R148). A review that is over has
looked at both the outcomes and the money (R150), and at whether each goal of the plan is reached (R151); the server adds the sums of the
day to it. Then it writes the next one, the budget says when, and money that has built up is asked about (`surplus`). When a budget becomes
active, the first is written. The law's limits are three months for the first and twelve after that; a commissioner or a schedule may ask
for sooner.

    STEPS         which status follows which
    judge_review  what speaks against a review as it is written, and what follows when it is over
    scheduled     what a budget that becomes active gets: its schedule, and its first review
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import days_later, instant_text, months_later
from phb_fhir.fhir.money import sterling
from phb_fhir.outcome import Issue
from phb_fhir.rules.amendment import outcome_of_review
from phb_fhir.rules.around import (
    NEVER_MEANT,
    coordinator_in,
    participants,
    policy_of,
    teams_of,
)
from phb_fhir.rules.budget import (
    days_of,
    first_day,
    in_words,
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
    SPEAK_FOR_THEMSELVES,
    Asking,
    Books,
    Case,
    Decision,
    Find,
    Follow,
    Judging,
    Read,
    no_step,
    refusal,
)
from phb_fhir.rules.commissioning import Policy
from phb_fhir.rules.ledger import CONTINGENCY, Ledger
from phb_fhir.rules.remarks import coming_of_age
from phb_fhir.rules.surplus import asked_about
from phb_fhir.rules.words import (
    ACCOUNT_TYPE,
    BASE,
    BUSINESS_STATUS,
    TASK_CODE,
    TASK_PARAMETER,
    code_in,
    concept,
    extension_url,
    extensions,
    key_of,
    keys_in,
    value_of,
)

REVIEW = "phb-review"
REVIEW_TYPE = f"{BASE}/CodeSystem/phb-review-type"
_SECTIONS = {
    "outcomes": "the outcomes",
    "money": "the money",
}  # link ids of Questionnaire/phb-review, both to be answered
_ON = ("authorised", "active", "suspended")  # stages in which reviews go on
_MONTHS = {"mo": 1, "a": 12}
_WEEK_DAYS = 7

_CALLED = ("received", "accepted", "ready", "in-progress", "on-hold", "rejected", "cancelled", "entered-in-error")
STEPS: Mapping[str, tuple[str, ...]] = {
    "draft": ("requested", "ready", "cancelled", "entered-in-error"),
    "requested": _CALLED,
    "received": ("accepted", "ready", "in-progress", "on-hold", "rejected", "cancelled", "entered-in-error"),
    "accepted": ("ready", "in-progress", "on-hold", "cancelled", "entered-in-error"),
    "ready": ("in-progress", "on-hold", "cancelled", "entered-in-error"),
    "on-hold": ("ready", "in-progress", "cancelled", "entered-in-error"),
    "in-progress": ("completed", "on-hold", "failed", "cancelled", "entered-in-error"),
    "completed": ("entered-in-error",),
    "failed": ("entered-in-error",),
    "rejected": ("entered-in-error",),
    "cancelled": ("entered-in-error",),
    "entered-in-error": (),
}
OVER = frozenset(("completed", "failed", "rejected", "cancelled", "entered-in-error"))


def is_review(task: Mapping[str, Any] | None) -> bool:
    return task is not None and code_in(task.get("code"), TASK_CODE) == REVIEW


def purpose_of(task: Mapping[str, Any]) -> str:
    """Why a review takes place, of phb-review-type: first, scheduled, on-request, …"""
    return code_in(task.get("reasonCode"), REVIEW_TYPE)


def due_of(task: Mapping[str, Any]) -> date | None:
    """The day by which it takes place."""
    return last_day(task.get("restriction", {}).get("period", {}).get("end"))


# ---- a review, judged ----------------------------------------------------------------------------


def judge_review(case: Case) -> Judging:
    """What speaks against a review as it is written; when it is over: the sums of the day, the next one, the budget's schedule."""
    task = case.after
    lost = yield from _lost(case)
    if not is_review(task):
        return NOTHING if not is_review(case.before) else Decision((*_kept(case), *lost))
    if task is None or task.get("status") == "entered-in-error":
        return Decision((*_stepped(case), *lost))
    key = key_of(task.get("focus"))
    account: Resource | None = (yield Read(key))[key] if key else None
    issues = [*_stepped(case), *_about(task, key, account), *lost]
    if account is None or any(issue.is_error for issue in issues):
        return Decision(tuple(issues))
    plan_key = plan_of(account)
    plan: Resource | None = (yield Read(plan_key))[plan_key]
    teams = yield from teams_of(plan)
    issues += yield from _called_by(case, account, teams)
    if task.get("status") != "completed":
        return Decision(tuple(issues))
    finishes = case.before is None or case.before.get("status") != "completed"
    issues += [*_finished_by(case, task)] if finishes else []
    issues += yield from _looked_at(case, task, plan) if finishes else _none()
    if issues or not finishes:
        return Decision(tuple(issues))
    remarks = yield from coming_of_age(case, account, "Task.focus")
    said = yield from _over(case, account, teams)
    return replace(said, issues=(*said.issues, *remarks))


def _none() -> Asking[list[Issue]]:
    yield from ()
    return []


def _kept(case: Case) -> Iterator[Issue]:
    """A review that took place stays on record."""
    if (case.before or {}).get("status") == "completed":
        yield refusal("A review that took place stays on record; one that never did is entered in error.", "Task")


def _lost(case: Case) -> Asking[list[Issue]]:
    """The law wants a next review (R149, DP-8): the one that is planned is not called off, or put off too late, while no other is planned."""
    before, after = case.before, case.after
    key = key_of((before or {}).get("focus"))
    if case.is_own or before is None or not is_planned(before) or not key or not _is_later(before, after):
        return []
    named: Resource | None = (yield Read(key))[key]
    days = []
    for one in (yield from _relying_on(named, before)):
        days += yield from _latest_without(case, one)
    if not days:
        return []  # no budget kept such a day by it, or the day is kept all the same
    text = (
        f"The next review of this budget takes place by {in_words(min(days))} (R149, DP-8), and no other is planned. Plan another first; one"
        " that is late stays as it is until it takes place."
    )
    return [refusal(text, "Task")]


def _relying_on(named: Resource | None, review: Resource) -> Asking[list[Resource]]:
    """The budgets that a review serves and the law wants one for: the one it names, and all that share its plan."""
    plans = keys_in(review.get("basedOn"))
    sharing: list[Resource] = (yield Find("Account", ("care-plan", ",".join(plans)))) if plans else []
    budgets = {one["id"]: one for one in (*sharing, *([named] if named is not None else []))}
    return [one for one in budgets.values() if is_reviewed(one) and stage_of(one) in ("active", "suspended")]


def _latest_without(case: Case, account: Resource) -> Asking[list[date]]:
    """The last day for the next review of a budget, where this write takes away the one that kept it."""
    policy = yield from policy_of(account.get("owner"))
    reviews = yield from reviews_of(account)
    others = [one for one in reviews if one.get("id") != case.id]
    latest = last_lawful(account, policy, others)
    was, now = (_waiting([*_serving(one, account), *others]) for one in (case.before, case.after))
    return [] if was is None or was > latest or (now is not None and now <= latest) else [latest]


def _serving(review: Resource | None, account: Resource) -> list[Resource]:
    """The review, if it is of this budget or its plan."""
    task = review or {}
    is_theirs = key_of(task.get("focus")) == f"Account/{account['id']}" or plan_of(account) in keys_in(
        task.get("basedOn")
    )
    return [task] if is_theirs else []


def _is_later(before: Resource, after: Resource | None) -> bool:
    """Whether a planned review will not take place any more, or not by the day it was planned for."""
    if after is not None and after.get("status") == "completed":
        return False
    if after is None or not is_planned(after) or key_of(after.get("focus")) != key_of(before.get("focus")):
        return True
    was, now = planned_for(before), planned_for(after)
    return was is not None and (now is None or now > was)


def _stepped(case: Case) -> Iterator[Issue]:
    if case.before is None or case.after is None or not is_review(case.before):
        return
    was, now = str(case.before.get("status")), str(case.after.get("status"))
    if was == now or now in STEPS.get(was, ()):
        return
    yield no_step("A review", was, now, STEPS.get(was, ()), "Task.status")


def _about(task: Resource, key: str, account: Resource | None) -> Iterator[Issue]:
    """A review is of a budget and its plan, both of which are there (R13)."""
    if account is None or not is_budget(account):
        yield refusal(f"A review is of a budget; {key or 'what it names'} is none that is here.", "Task.focus")
        return
    if key_of(task.get("for")) != person_of(account):
        yield refusal("The review is for the person whose budget it is.", "Task.for")
    plan = plan_of(account)
    if not plan:
        yield refusal(
            "A review looks at the money and the plan together, and this budget has no plan yet (R13).", "Task.focus"
        )
    elif plan not in keys_in(task.get("basedOn")):
        yield refusal(f"A review looks at the plan of the budget as well: {plan} (R13, R150).", "Task.basedOn")


def _called_by(case: Case, account: Resource, teams: Sequence[Resource]) -> Asking[list[Issue]]:
    """Anybody of the team, the person, and who acts for them may call a review, in their own name (R148)."""
    by, person = case.by, person_of(account)
    if case.is_own or by.is_professional or case.before is not None:
        return []
    issues = []
    if key_of((case.after or {}).get("requester")) not in by.names:
        issues.append(refusal("Whoever calls the review is named as the one who asks for it.", "Task.requester"))
    of_team = {who for who, _ in participants(teams, case.today)}
    if person in by.patients | by.acts_for or by.names & of_team:
        return issues
    names = ",".join(sorted(by.names))
    found: list[Resource] = (
        (yield Find("Consent", ("patient", person), ("status", "active"), ("actor", names))) if names else []
    )
    if any(days_of(one.get("provision", {}).get("period")).covers(case.today) for one in found):
        return issues
    text = "A review is called by the person, by who acts for them, or by somebody of their care team."
    return [*issues, refusal(text, "Task.requester")]


def _finished_by(case: Case, task: Resource) -> Iterator[Issue]:
    """Whoever leads a review says that it is over: never the person whose money it is about, nor who acts for them, by naming themselves."""
    leads = case.by.role not in SPEAK_FOR_THEMSELVES and key_of(task.get("owner")) in case.by.names
    if not (case.is_own or case.by.is_professional or leads):
        yield refusal("A review is completed by whoever leads it for the NHS, or by the NHS team.", "Task.status")


# ---- what a review has looked at -----------------------------------------------------------------


def _looked_at(case: Case, task: Resource, plan: Resource | None) -> Asking[list[Issue]]:
    """Outcomes and money, both; and each goal of the plan, since the review began (R150, R151)."""
    issues: list[Issue] = []
    began = first_day(task.get("executionPeriod", {}).get("start"))
    if began is None:
        issues.append(refusal("A review that is over says when it took place.", "Task.executionPeriod"))
    elif began > case.today:
        text = f"{in_words(began)} is still to come: a review is over once it took place."
        issues.append(refusal(text, "Task.executionPeriod"))
    issues += yield from _recorded(task)
    keys = keys_in((plan or {}).get("goal"))
    goals: Mapping[str, Resource | None] = (yield Read(*keys)) if keys else {}
    for key, goal in goals.items():
        issues += _goal(key, goal or {}, began)
    return issues


def _recorded(task: Resource) -> Asking[list[Issue]]:
    records = [
        key_of(one.get("valueReference"))
        for one in task.get("output", ())
        if code_in(one.get("type"), TASK_PARAMETER) == "record"
    ]
    forms = [key for key in records if key.startswith("QuestionnaireResponse/")]
    read: Mapping[str, Resource | None] = (yield Read(*forms)) if forms else {}
    answered = {item for form in read.values() if form is not None for item in _answered(form)}
    missing = [name for link, name in _SECTIONS.items() if link not in answered]
    if not missing:
        return []
    text = (
        f"A review looks at the outcomes and the money together; its record says nothing of {' and '.join(missing)} (R150): answer the"
        " items outcomes and money of Questionnaire/phb-review."
    )
    return [refusal(text, "Task.output")]


def _answered(form: Resource) -> Iterator[str]:
    """The link ids of all that was answered in a form that is finished."""
    if form.get("status") not in ("completed", "amended"):
        return
    pending = list(form.get("item", ()))
    while pending:
        item = pending.pop()
        pending += item.get("item", ())
        if item.get("answer"):
            yield str(item.get("linkId"))


def _goal(key: str, goal: Resource, began: date | None) -> Iterator[Issue]:
    if goal.get("lifecycleStatus") in ("cancelled", "rejected", "entered-in-error"):
        return
    looked = first_day(goal.get("statusDate"))
    if not goal.get("achievementStatus"):
        yield refusal(
            f"A review says of each goal whether it is reached: {key} has no achievementStatus (R151).", "Task.basedOn"
        )
    elif began is not None and (looked is None or looked < began):
        since = f"its statusDate is {in_words(looked)}" if looked else "it has no statusDate"
        text = f"A review says of each goal whether it is reached: {key} was not looked at since {in_words(began)}; {since} (R151)."
        yield refusal(text, "Task.basedOn")


# ---- what follows when it is over ----------------------------------------------------------------


def _over(case: Case, account: Resource, teams: Sequence[Resource]) -> Judging:
    task = case.after or {}
    content = (yield from _with_statement(case, task, account)) if case.before is not None else None
    if purpose_of(task) == "closing" or outcome_of_review(task) == "close" or stage_of(account) not in _ON:
        return Decision(content=content)
    policy = yield from policy_of(account.get("owner"))
    reviews = yield from reviews_of(account)
    others = [one for one in reviews if one.get("id") != case.id]
    held = first_day(task.get("executionPeriod", {}).get("start")) or case.today
    if any(_held(one) > held for one in others if one.get("status") == "completed"):
        return Decision(content=content)  # brought in later than one that came after it
    waiting = _waiting(others)
    follow: list[Follow] = []
    if is_reviewed(account) and (waiting is None or waiting > last_lawful(account, policy, others, held)):
        due = next_due(account, policy, held)
        follow.append(_planned(account, reviews, review_task(account, teams, "scheduled", due, case)))
        waiting = due
    if waiting is not None and _schedule(account).get("next") != waiting.isoformat():
        follow.append(Follow(_with_schedule(account, {"next": waiting.isoformat()}), f"Account/{account['id']}"))
    ledgers = yield from _ledgers(account)
    for member, ledger in ledgers:
        follow += yield from asked_about(case, member, ledger)
    return Decision(content=content, follow=tuple(follow))


def planned_again(case: Case, account: Resource, gone: Resource) -> Asking[list[Follow]]:
    """The next review of a budget, where one that is called off was the last that was planned in time; a late one takes place now."""
    if not is_reviewed(account) or stage_of(account) not in ("active", "suspended"):
        return []
    policy = yield from policy_of(account.get("owner"))
    others = [one for one in (yield from reviews_of(account)) if one.get("id") != gone.get("id")]
    latest, waiting = last_lawful(account, policy, others), _waiting(others)
    if waiting is not None and waiting <= max(latest, case.today):
        return []
    plan_key = plan_of(account)
    plan: Resource | None = (yield Read(plan_key))[plan_key] if plan_key else None
    teams = yield from teams_of(plan)
    due = max(latest, case.today)
    schedule = _with_schedule(account, {"next": due.isoformat()})
    planned = _planned(account, [*others, gone], review_task(account, teams, "scheduled", due, case))
    return [planned, Follow(schedule, f"Account/{account['id']}")]


def _planned(account: Resource, reviews: Iterable[Mapping[str, Any]], task: Resource) -> Follow:
    """The review that comes after these, under an id of its own for that: several that plan it at once plan one."""
    said = [
        plan_of(account) or str(account.get("id")),
        str(due_of(task)),
        *sorted(str(one.get("id")) for one in reviews),
    ]
    id_ = f"{REVIEW}-{hashlib.sha256(' '.join(said).encode()).hexdigest()[:32]}"
    return Follow({"resourceType": "Task", "id": id_, **task}, f"Task/{id_}")


def reviews_of(account: Resource) -> Asking[list[Resource]]:
    """The reviews of a budget, and those of its plan: one review serves all budgets of a plan. Without those that came to nothing."""
    key, plan = f"Account/{account['id']}", plan_of(account)
    found: list[Resource] = yield Find("Task", ("code", f"{TASK_CODE}|{REVIEW}"), ("focus", key))
    if plan:
        also: list[Resource] = yield Find("Task", ("code", f"{TASK_CODE}|{REVIEW}"), ("based-on", plan))
        known = {one.get("id") for one in found}
        found = [*found, *(one for one in also if one.get("id") not in known)]
    return [one for one in found if one.get("status") not in NEVER_MEANT]


def _held(task: Mapping[str, Any]) -> date:
    return first_day(task.get("executionPeriod", {}).get("start")) or date.min


def is_planned(task: Mapping[str, Any]) -> bool:
    """Whether this is a review that is still to take place."""
    return is_review(task) and task.get("status") not in (*OVER, "draft")


def planned_for(task: Mapping[str, Any]) -> date | None:
    """The day a review is planned for."""
    return first_day(task.get("restriction", {}).get("period", {}).get("start")) or due_of(task)


def _waiting(reviews: Iterable[Mapping[str, Any]]) -> date | None:
    """The day of the next review that is planned already."""
    return min((day for one in reviews if is_planned(one) if (day := planned_for(one))), default=None)


def last_lawful(account: Resource, policy: Policy, others: Iterable[Mapping[str, Any]], held: date = date.min) -> date:
    """The last day for the next review: so many months after the last one, which was on `held` or among these; else for the first."""
    last = max((held, *(_held(one) for one in others if one.get("status") == "completed")))
    if last > date.min:
        return months_later(last, policy.review_months)
    begins = first_day(account.get("servicePeriod", {}).get("start")) or date.min
    first = first_day(_schedule(account).get("first")) or date.min
    return max(first, months_later(begins, policy.first_review_months))


def is_reviewed(account: Resource) -> bool:
    """A single sum for a single purpose is spent and over; everything else is looked at again."""
    return code_in(account.get("type"), ACCOUNT_TYPE) != "one-off"


def _schedule(account: Resource) -> dict[str, Any]:
    row = next(iter(extensions(account, "phb-review-schedule")), {})
    return {name: value_of(row, name) for name in ("first", "interval", "next") if value_of(row, name) is not None}


def next_due(account: Resource, policy: Policy, held: date) -> date:
    """When the next review is due: after the schedule's interval, or the commissioner's where that is shorter."""
    latest = months_later(held, policy.review_months)
    interval = _schedule(account).get("interval")
    own = _after(held, interval) if isinstance(interval, Mapping) else None
    return latest if own is None else min(own, latest)


def _after(day: date, duration: Mapping[str, Any]) -> date | None:
    count, code = duration.get("value"), duration.get("code")
    if not isinstance(count, int | Decimal) or count <= 0:
        return None
    if code in _MONTHS:
        return months_later(day, int(count * _MONTHS[code]))
    days = {"d": 1, "wk": _WEEK_DAYS}.get(str(code))
    return days_later(day, int(count * days)) if days else None


def review_task(account: Resource, teams: Sequence[Resource], purpose: str, due: date, case: Case) -> Resource:
    """A review that is planned, for the care co-ordinator to lead (R160)."""
    name = {"first": "First review", "scheduled": "Scheduled review", "closing": "Closing review"}[purpose]
    moment = instant_text(case.now)
    return {
        "resourceType": "Task",
        "basedOn": [{"reference": plan_of(account)}],
        "status": "ready",
        "businessStatus": concept(BUSINESS_STATUS, "scheduled", "Scheduled"),
        "intent": "plan",
        "priority": "routine",
        "code": concept(TASK_CODE, REVIEW, "Review"),
        "description": f"{name}: how is the person doing, is the plan working, and what has been spent?",
        "focus": {"reference": f"Account/{account['id']}"},
        "for": {"reference": person_of(account)},
        "authoredOn": moment,
        "lastModified": moment,
        "requester": {"reference": owner_of(account)},
        "owner": {"reference": coordinator_in(teams, case.today) or owner_of(account)},
        "reasonCode": concept(REVIEW_TYPE, purpose, name),
        "restriction": {"period": {"end": due.isoformat()}},
    }


def _with_schedule(account: Resource, parts: Mapping[str, str]) -> Resource:
    """The budget with these days in its review schedule."""
    url = extension_url("phb-review-schedule")
    row: Mapping[str, Any] = next(iter(extensions(account, "phb-review-schedule")), {"url": url, "extension": []})
    kept = [one for one in row["extension"] if one.get("url") not in parts]
    made = {**row, "extension": [*kept, *({"url": name, "valueDate": day} for name, day in parts.items())]}
    rows = account.get("extension", ())
    if not extensions(account, "phb-review-schedule"):
        return {**account, "extension": [*rows, made]}
    return {**account, "extension": [made if one.get("url") == url else one for one in rows]}


def _with_statement(case: Case, task: Resource, account: Resource) -> Asking[Resource | None]:
    """The review with the sums of the day among its inputs, unless a statement is there (R150). Of a joint budget, those of its members."""
    if any(code_in(one.get("type"), TASK_PARAMETER) == "statement" for one in task.get("input", ())):
        return None
    lines = [line for member, ledger in (yield from _ledgers(account)) for line in _sums(member, ledger)]
    said = f"The money on {in_words(case.today)}. " + " ".join(lines)
    statement = {"type": concept(TASK_PARAMETER, "statement", "Statement"), "valueString": said}
    return {**task, "input": [*task.get("input", ()), statement]}


def _ledgers(account: Resource) -> Asking[list[tuple[Resource, Ledger]]]:
    """A budget with its ledger; of a joint one, each that it is made of."""
    members: list[Resource] = (
        (yield Find("Account", ("part-of", f"Account/{account['id']}"))) if is_joint(account) else [account]
    )
    keys = [f"Account/{one['id']}" for one in members]
    ledgers: Mapping[str, Ledger] = (yield Books(*keys)) if keys else {}
    return [(one, ledgers[key]) for key, one in zip(keys, members, strict=True)]


def _sums(account: Resource, ledger: Ledger) -> Iterator[str]:
    total, aside = ledger.total, ledger.of(CONTINGENCY)
    yield (
        f"{account.get('name') or 'Account/' + account['id']}: allocated {sterling(total.allocated)}, committed"
        f" {sterling(total.committed)}, spent {sterling(total.spent)}, available {sterling(total.available)}"
        f" (for emergencies {sterling(aside.available)} of it); after entry {ledger.last} of its ledger."
    )


# ---- a budget that becomes active ----------------------------------------------------------------


def scheduled(case: Case) -> Asking[tuple[Resource | None, tuple[Follow, ...]]]:
    """The schedule of a budget that becomes active, and its first review, where neither is there (R149, DP-8)."""
    account = case.after or {}
    if stage_of(account) != "active" or stage_of(case.before) == "active" or not is_reviewed(account):
        return None, ()
    policy = yield from policy_of(account.get("owner"))
    plan_key = plan_of(account)
    plan: Resource | None = (yield Read(plan_key))[plan_key] if plan_key else None
    reviews = yield from reviews_of(account)
    follow: tuple[Follow, ...] = ()
    day, last = (
        _waiting(reviews),
        max((_held(one) for one in reviews if one.get("status") == "completed"), default=None),
    )
    first = first_day(_schedule(account).get("first"))
    latest = first_due(case, policy) if last is None else last_lawful(account, policy, reviews)
    parts: dict[str, str] = {}
    if day is None or day > latest:
        teams = yield from teams_of(plan)
        wanted = (first or latest) if last is None else next_due(account, policy, last)
        day = max(wanted, case.today)  # one that was missed takes place now
        task = review_task(account, teams, "first" if last is None else "scheduled", day, case)
        follow = (_planned(account, reviews, task),)
        parts = {"next": day.isoformat(), **({"first": day.isoformat()} if last is None and first is None else {})}
    if "next" not in _schedule(account):
        parts["next"] = day.isoformat()
    return (_with_schedule(account, parts) if parts else None), follow


def first_due(case: Case, policy: Policy) -> date:
    """The last day for the first review: so many months from when the money flows, which is today or when the budget begins, the later."""
    begins = first_day((case.after or {}).get("servicePeriod", {}).get("start")) or case.today
    return months_later(max(begins, case.today), policy.first_review_months)


def first_too_late(case: Case, account: Resource) -> Asking[list[Issue]]:
    """The first review of a budget that becomes active is not planned later than the limit (DP-8, R149)."""
    first = first_day(_schedule(account).get("first"))
    if first is None or not is_reviewed(account):
        return []
    policy = yield from policy_of(account.get("owner"))
    begins = first_day(account.get("servicePeriod", {}).get("start")) or case.today
    starts_now = case.before is not None and stage_of(case.before) != "active"
    start = max(begins, case.today) if starts_now else begins
    latest = months_later(start, policy.first_review_months)
    if first <= latest:
        return []
    text = (
        f"The first review is planned for {in_words(first)}; it takes place within {policy.first_review_months} months, by"
        f" {in_words(latest)} (R149, DP-8)."
    )
    return [refusal(text, "Account.extension.where(url.endsWith('phb-review-schedule'))")]

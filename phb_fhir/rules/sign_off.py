"""Signing off a plan (C32E4; R93 to R98, R139 to R141): the Task `plan-sign-off`, and what follows from its answer.

    approved      all nine criteria are met, whoever decides may decide so much money, and the plan takes effect
    not-approved  the reasons are said, and how the plan must change; it stays a draft, and the person is told
    referred-on   another process decides, the panel for one; the reason says which

Whoever decides is the Task's owner: a role with a limit that the commissioner gave it (`phb-authorisation-limit`, R96), or the commissioner.
The operations $sign-off and $refuse write this Task and nothing else: any client that can write a Task does the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import instant_text
from phb_fhir.fhir.money import pence_of, portion, sterling
from phb_fhir.outcome import Issue
from phb_fhir.rules.around import policy_of, says_why
from phb_fhir.rules.budget import Days, amounts_of, days_of, owner_of
from phb_fhir.rules.case import NOTHING, Asking, Case, Decision, Find, Follow, Judging, Read, Sees, refusal
from phb_fhir.rules.criteria import CODES, Result, check_criteria, check_sign_off
from phb_fhir.rules.deciding import (
    answer_of,
    brought,
    check_decider,
    check_step,
    check_taken_up,
    day_of_decision,
    is_about,
    is_being_decided,
    is_brought_in,
    notice,
    reason_in_words,
    same_person,
)
from phb_fhir.rules.plan import IN_FORCE, is_plan, sign_offs_of, status_of, title_of
from phb_fhir.rules.plan_record import PlanRecord, amount_in, coverages_of, is_health, read_plan
from phb_fhir.rules.words import (
    ELIGIBILITY,
    REFUSAL_REASON,
    SIGNOFF_CRITERION,
    TASK_CODE,
    code_in,
    concept,
    extensions,
    key_of,
    value_of,
)

__all__ = ["CODES", "Result", "check_sign_off", "judge_sign_off"]

CODE = "plan-sign-off"
HIDDEN = "Something is missing in a part of the record that is not yours to see; the care co-ordinator can tell more."
_YEAR_DAYS = 366  # an amount for a longer time is so much a year


def judge_sign_off(case: Case) -> Judging:
    """What may become of a sign-off, and what follows from it."""
    if not is_about(case, CODE):
        return NOTHING
    issues = [*check_step(case), *check_taken_up(case), *(yield from _withdrawn(case))]
    task = case.after
    if task is None or not is_being_decided(case):
        return Decision(tuple(issues))
    plan = yield from _plan_of(task)
    role = yield from _role_of(task)
    if not_theirs := [*check_decider(case.by, key_of(task.get("owner")), role)]:
        return Decision((*issues, *not_theirs))  # and hears no more of the record
    issues += [*_its_plan(task, plan), *_presence(task)]
    if answer_of(task) == "approved":
        issues += yield from _approved(case, task, plan, role)
    else:
        issues += _refused(task, plan)
    if issues:
        return Decision(tuple(issues))
    return Decision(follow=(*_following(case, task, plan), *(yield from _others_end(case, task))))


def _plan_of(task: Resource) -> Asking[Resource | None]:
    key = key_of(task.get("focus"))
    found: dict[str, Resource | None] = (yield Read(key)) if key.startswith("CarePlan/") else {}
    return found.get(key)


def _role_of(task: Resource) -> Asking[Resource | None]:
    key = key_of(task.get("owner"))
    found: dict[str, Resource | None] = (yield Read(key)) if key.startswith("PractitionerRole/") else {}
    return found.get(key)


def _withdrawn(case: Case) -> Asking[list[Issue]]:
    """A plan in force keeps the sign-off that put it in force."""
    before = case.before
    if answer_of(before) != "approved" or before is None or answer_of(case.after) == "approved":
        return []
    plan = yield from _plan_of(before)
    if status_of(plan) not in IN_FORCE:
        return []
    text = "The plan that this sign-off agreed is in force. End the plan first, or replace it by another one."
    return [refusal(text, "Task.status")]


def waiting(plan: str) -> Asking[list[Resource]]:
    """The sign-offs of a plan that are not decided yet, the oldest first."""
    found: list[Resource] = yield Find("Task", ("focus", plan), ("code", f"{TASK_CODE}|{CODE}"))
    return sorted((one for one in found if one.get("status") in _WAITS), key=lambda one: str(one.get("authoredOn", "")))


_WAITS = ("requested", "received", "accepted", "ready", "in-progress")


# ---- what holds for every answer -----------------------------------------------------------------


def _its_plan(task: Resource, plan: Resource | None) -> Iterator[Issue]:
    if plan is None or not is_plan(plan):
        yield refusal(
            "The focus of a sign-off is the plan of a personal health budget, and this one is not there.", "Task.focus"
        )
        return
    yield from same_person(task, key_of(plan.get("subject")), "the plan")


def _presence(task: Resource) -> Iterator[Issue]:
    """R98: the person is there when it is decided; where not, it is said why."""
    said = brought(task, "person-present")
    if True in said or any(isinstance(one, str) and one.strip() for one in said):
        return
    text = (
        "Say whether the person, or who speaks for them, was there when it was decided; if not, say in words why not."
    )
    yield refusal(text, "Task.output")


def _refused(task: Resource, plan: Resource | None) -> Iterator[Issue]:
    """R139, R140: reasons are given; the plan stays a draft."""
    reason = task.get("statusReason")
    is_coded = bool(code_in(reason, REFUSAL_REASON) or code_in(reason, SIGNOFF_CRITERION))
    if not (is_coded or (answer_of(task) == "referred-on" and says_why(task))):
        text = "A plan that is not signed off comes back with the reasons: a statusReason of phb-refusal-reason, or the criterion not met."
        yield refusal(text, "Task.statusReason")
    if status_of(plan) in IN_FORCE:
        text = f"The plan is {status_of(plan)}: it was signed off before. Only a draft can come back to be changed."
        yield refusal(text, "Task.focus")


# ---- approved ------------------------------------------------------------------------------------


def _approved(case: Case, task: Resource, plan: Resource | None, role: Resource | None) -> Asking[list[Issue]]:
    if plan is None or not is_plan(plan):
        return []
    if status_of(plan) not in ("draft", *IN_FORCE):
        return _of_ended(case, plan)
    key = f"CarePlan/{plan.get('id')}"
    others = [one for one in (yield from sign_offs_of(key)) if one.get("id") != case.id]
    if others:
        text = f"{title_of(plan)} was signed off already, by Task/{others[0].get('id')}. To change it, write a draft that replaces it."
        return [refusal(text, "Task.focus")]
    record = yield from read_plan(plan, day_of_decision(case))
    issues: list[Issue] = []
    for result in check_criteria(record):
        issues += yield from unmet(result)
    issues += _named_panel(task, record)
    return issues + (yield from _within_limits(task, record, role))


def _named_panel(task: Resource, record: PlanRecord) -> Iterator[Issue]:
    """R119: the decision of the panel that is named agreed to this plan, or to a budget it serves."""
    named = key_of(task.get("reasonReference"))
    if named.startswith("Task/") and named not in {f"Task/{one.get('id')}" for one in record.panels}:
        text = f"{named} is no decision of the risk enablement panel that agreed to this plan, or to its budget."
        yield refusal(text, "Task.reasonReference")


def _of_ended(case: Case, plan: Resource) -> list[Issue]:
    """A plan that is over is signed off only by what comes into the record with its history."""
    if case.is_new:
        return []
    return [refusal(f"The plan is {status_of(plan)}; only a draft can be signed off.", "Task.focus")]


def unmet(result: Result) -> Asking[list[Issue]]:
    """What keeps a criterion from being met, as far as it may be told: who does not see all that it rests on does not hear from it either."""
    seen: frozenset[str] = (yield Sees(*result.evidence)) if result.missing and result.evidence else frozenset()
    said = result.missing if seen >= set(result.evidence) else (HIDDEN,) if result.missing else ()
    return [replace(refusal(one, "Task.focus"), details=concept(SIGNOFF_CRITERION, result.code)) for one in said]


def _within_limits(task: Resource, record: PlanRecord, role: Resource | None) -> Asking[list[Issue]]:
    """R96: whoever signs off may do so for this money and these people. The council's money is the council's to agree."""
    budgets = [one for one in record.with_money if is_health(record, one)]
    owner = key_of(task.get("owner"))
    if not budgets or all(owner == owner_of(one) for one in budgets):
        return []
    if role is None:
        text = "Whoever signs off is a role with a limit (PractitionerRole), or the commissioner that owns the budget."
        return [refusal(text, "Task.owner")]
    policy = yield from policy_of(budgets[0].get("owner"))
    return [
        *may_act(role, record),
        *check_funder(role, record, budgets),
        *check_limit(role, record, budgets, policy.delegated_sign_off_max),
    ]


def may_act(role: Resource, record: PlanRecord) -> Iterator[Issue]:
    if role.get("active") is False or not days_of(role.get("period")).covers(record.day):
        yield refusal("Whoever signs off does not have this role any more, or not yet.", "Task.owner")


def check_funder(role: Resource, record: PlanRecord, budgets: Sequence[Resource]) -> Iterator[Issue]:
    """A role at another funder of the plan, such as the council, agrees to that one's money, and not to the NHS's, whatever limit it has there."""
    where = key_of(role.get("organization"))
    if where in {owner_of(one) for one in record.with_money} - {owner_of(one) for one in budgets}:
        text = "Whoever signs off works for another funder of this plan. The NHS's money is agreed to by its commissioner, or by a role that this has given a limit."
        yield refusal(text, "Task.owner")


def check_limit(role: Resource, record: PlanRecord, budgets: Sequence[Resource], most: int | None) -> Iterator[Issue]:
    """Why a role may not agree to these budgets. `most` is what the commissioner leaves to roles that have no limit of their own: pence a year."""
    rows = extensions(role, "phb-authorisation-limit")
    together = sum(yearly(record, one) for one in budgets)
    if not rows and most is None:
        text = "The role of whoever signs off has no limit (phb-authorisation-limit): the commissioner has not let it sign off plans."
        yield refusal(text, "Task.owner")
        return
    for category in sorted({_category(record, one) for one in budgets}):
        limits = [most or 0] if not rows else [_limit(row) for row in rows if category in _categories(row, category)]
        if not limits:
            yield refusal(
                f"The role of whoever signs off may not do so for people of the category {category}.", "Task.owner"
            )
        elif together > max(limits):
            text = (
                f"The plan comes to {sterling(together)} a year; whoever signs off may agree up to {sterling(max(limits))}. "
                "Somebody with a higher limit, or the commissioner, has to."
            )
            yield refusal(text, "Task.owner")
            return


def yearly(record: PlanRecord, budget: Resource) -> int:
    """What a budget gives in a year: for the time of the plan, or once that is over, whichever is more; of a time longer than a year, for one. Pence."""
    later = [row for row in amounts_of(budget, "approved", "contingency") if _is_later(row.days, record.period)]
    times = [day for row in later for day in row.days]
    span = Days(min(filter(None, times)), max(filter(None, times))) if later and None not in times else Days()
    return max(
        _a_year(amount_in(record, budget, "approved", "contingency"), record.period),
        _a_year(sum(row.worth for row in later), span),
    )


def _is_later(days: Days, period: Days) -> bool:
    return days.start is not None and period.end is not None and days.start > period.end


def _a_year(whole: int, time: Days) -> int:
    start, end = time
    days = (end - start).days + 1 if start is not None and end is not None else 0
    return whole if days <= _YEAR_DAYS else portion(whole, Decimal(_YEAR_DAYS - 1) / days)


def _limit(row: Any) -> int:
    return pence_of(value_of(row, "amount")) or 0


def _categories(row: Any, category: str) -> list[str]:
    """The categories a limit is for; left out, all of them."""
    named = [code_in(one.get("valueCodeableConcept"), ELIGIBILITY) for one in extensions(row, "category")]
    return named or [category]


def _category(record: PlanRecord, budget: Resource) -> str:
    covers = record.of(coverages_of(budget))
    return next((code for one in covers if (code := code_in(one.get("type"), ELIGIBILITY))), "unknown")


# ---- what follows --------------------------------------------------------------------------------


def _following(case: Case, task: Resource, plan: Resource | None) -> Iterator[Follow]:
    if plan is None:
        return
    if answer_of(task) == "approved" and status_of(plan) == "draft":
        yield Follow({**plan, "status": "active"}, f"CarePlan/{plan.get('id')}")
    if not is_brought_in(case):
        yield notice(case, *_letter(task, plan))


def _others_end(case: Case, task: Resource) -> Asking[list[Follow]]:
    """Nobody goes on deciding about a plan that was agreed."""
    if answer_of(task) != "approved":
        return []
    others = yield from waiting(key_of(task.get("focus")))
    why = {"text": f"The plan was signed off ({case.key})."}
    return [
        Follow(
            {**one, "status": "cancelled", "statusReason": why, "lastModified": instant_text(case.now)},
            f"Task/{one.get('id')}",
        )
        for one in others
        if one.get("id") != case.id
    ]


def _letter(task: Resource, plan: Resource) -> tuple[str, ...]:
    title, why = title_of(plan), reason_in_words(task)
    if answer_of(task) == "approved":
        return (f"{title} was agreed", f"{title} was signed off and is now in force.")
    guidance = [one for one in brought(task, "amendment-guidance") if isinstance(one, str)]
    return (
        f"{title} was not agreed yet" if answer_of(task) == "not-approved" else f"{title} was referred on",
        f"Why: {why}",
        *(f"What needs to change: {one}" for one in guidance),
        "You can change the plan and ask again, and you can ask for somebody else to look at this decision (an appeal).",
    )

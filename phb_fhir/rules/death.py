"""When somebody has died, their budgets come to an end, and somebody sees to that (R15; regulation 15; DP-9).

Nothing ends by itself: what was bought before is still to be paid, what follows from the death (an assistant's notice) is to be decided, and
what was paid out and not spent comes back from whoever looks after the estate. So a closing review is asked for, of the care co-ordinator,
else the commissioner: one for each plan, as a review serves all budgets of one. Advances are neither made nor sent any more
(`payment_checks`), and nothing new begins (`stages`, `eligibility`).

Where a death was recorded in error, what was asked for because of it is called off, the reviews that the law asks for are planned again, and
advances that were held are sent by the next run. A budget that is closing already goes on to its end: SM-A knows no way back.
"""

from __future__ import annotations

from collections.abc import Iterable

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import days_later, instant_text
from phb_fhir.rules.around import died_on, has_died, policy_of, teams_of
from phb_fhir.rules.budget import in_words, is_budget, is_joint, plan_of, stage_of
from phb_fhir.rules.case import NOTHING, Asking, Case, Decision, Find, Follow, Hold, Judging, Read
from phb_fhir.rules.review import OVER, REVIEW, planned_again, purpose_of, review_task, reviews_of
from phb_fhir.rules.words import TASK_CODE, key_of

_GOES_ON = ("authorised", "active", "suspended")
_WITH_MONEY = ("authorised", "active", "suspended", "closing")
_TO_DO = (
    " Close the budget, and what else is planned together with it. Nothing more is paid in advance; advances that wait to be sent are cancelled."
    " Pay and record what was bought before, and decide what follows from the death, such as an assistant's notice. What was paid out and not"
    " spent is asked back from whoever looks after the estate (repayment-notice). End with this review, with the family as far as they wish."
)


def judge_death(case: Case) -> Judging:
    """What follows when a death is recorded, once; and when it is taken back."""
    if case.after is None or has_died(case.after) == has_died(case.before):
        return NOTHING
    yield alive_still(case.key)
    follow = (yield from _died(case)) if has_died(case.after) else (yield from _alive_after_all(case))
    return Decision(follow=tuple(follow))


def _died(case: Case) -> Asking[list[Follow]]:
    found: list[Resource] = yield Find("Account", ("patient", case.key))
    budgets = sorted((one for one in found if is_budget(one) and stage_of(one) in _WITH_MONEY), key=_rank)
    follow = []
    for account in _one_for_each_plan(budgets):
        reviews = yield from reviews_of(account)
        if not any(purpose_of(one) == "closing" for one in reviews):
            follow.append((yield from _closing(case, account)))
    return follow


def _alive_after_all(case: Case) -> Asking[list[Follow]]:
    """The closing reviews that the death asked for are called off; and each budget that goes on has its next review, as the law wants."""
    tasks: list[Resource] = yield Find("Task", ("patient", case.key), ("code", f"{TASK_CODE}|{REVIEW}"))
    asked = [one for one in tasks if key_of(one.get("reasonReference")) == case.key and one.get("status") not in OVER]
    keys = {key_of(one.get("focus")): one for one in asked}
    read: dict[str, Resource | None] = (yield Read(*keys)) if keys else {}
    follow = []
    for key, account in read.items():
        if account is None or stage_of(account) not in _GOES_ON:
            continue
        reason = {"statusReason": {"text": "The person is alive: their death was recorded in error."}}
        task = {**keys[key], "status": "cancelled", **reason, "lastModified": instant_text(case.now)}
        follow.append(Follow(task, f"Task/{task['id']}"))
        follow += yield from planned_again(case, account, task)
    return follow


def alive_still(person: str) -> Hold:
    """What begins because somebody is alive, and the record of their death, do not pass each other by."""
    return Hold(f"alive {person}")


def _rank(account: Resource) -> tuple[bool, str]:
    return not is_joint(account), str(account.get("id"))


def _one_for_each_plan(budgets: Iterable[Resource]) -> list[Resource]:
    """The first budget of each plan, and each that has none."""
    return list({plan_of(one) or f"Account/{one['id']}": one for one in reversed([*budgets])}.values())


def _closing(case: Case, account: Resource) -> Asking[Follow]:
    plan_key = plan_of(account)
    plan: Resource | None = (yield Read(plan_key))[plan_key] if plan_key else None
    teams = yield from teams_of(plan)
    policy = yield from policy_of(account.get("owner"))
    task = review_task(account, teams, "closing", days_later(case.today, policy.decision_days), case)
    died = died_on(case.after)
    said = "The person died" + (f" on {in_words(died)}." if died is not None else ".")
    why = {"reasonReference": {"reference": case.key}}  # by which it is known again where the death is taken back
    return Follow({**task, "priority": "urgent", "description": said + _TO_DO, **why})

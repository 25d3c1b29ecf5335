"""When somebody has died, their budgets come to an end, and somebody sees to that (R15; regulation 15; DP-9).

Nothing ends by itself: what was bought before is still to be paid, what follows from the death (an assistant's notice) is to be decided, and
what was paid out and not spent comes back from whoever looks after the estate. So a closing review is asked for, of the care co-ordinator,
else the commissioner: one for each plan, as a review serves all budgets of one. Advances are neither made nor sent any more
(`payment_checks`), and nothing new begins (`stages`, `eligibility`).
"""

from __future__ import annotations

from collections.abc import Iterable

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import days_later
from phb_fhir.rules.around import died_on, has_died, policy_of, teams_of
from phb_fhir.rules.budget import in_words, is_budget, is_joint, plan_of, stage_of
from phb_fhir.rules.case import NOTHING, Asking, Case, Decision, Find, Follow, Hold, Judging, Read
from phb_fhir.rules.review import purpose_of, review_task, reviews_of

_WITH_MONEY = ("authorised", "active", "suspended", "closing")
_TO_DO = (
    " Close the budget, and what else is planned together with it. Nothing more is paid in advance; advances that wait to be sent are cancelled."
    " Pay and record what was bought before, and decide what follows from the death, such as an assistant's notice. What was paid out and not"
    " spent is asked back from whoever looks after the estate (repayment-notice). End with this review, with the family as far as they wish."
)


def judge_death(case: Case) -> Judging:
    """What follows when a death is recorded, once."""
    if not has_died(case.after) or has_died(case.before):
        return NOTHING
    yield alive_still(case.key)
    found: list[Resource] = yield Find("Account", ("patient", case.key))
    budgets = sorted((one for one in found if is_budget(one) and stage_of(one) in _WITH_MONEY), key=_rank)
    follow = []
    for account in _one_for_each_plan(budgets):
        reviews = yield from reviews_of(account)
        if not any(purpose_of(one) == "closing" for one in reviews):
            follow.append((yield from _closing(case, account)))
    return Decision(follow=tuple(follow))


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
    return Follow({**task, "priority": "urgent", "description": said + _TO_DO})

"""Surplus: money that was to be used by now, and was not (R87, R88; R40). It is never taken away, and always asked about.

What was allocated is reckoned to be used evenly over the time of the budget, as long as that is: not month by month. What should have been
used by a day, and is neither spent nor committed, is unspent, wherever it lies: with the NHS, or paid out to the person or a third party
and not accounted for by purchases yet. Money for emergencies is left out, for it is meant to stay. More than so many weeks' money unspent
(`surplus_weeks` of the commissioner's policy) is a surplus, and a Task `surplus-review` asks why.

    reckon        how a budget stands on a day
    surplus_of    the same, where it is a surplus by the commissioner's policy
    asked_about   the Task that asks, where none is open and none was answered lately
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import days_later
from phb_fhir.fhir.money import portion, sterling
from phb_fhir.rules.around import policy_of, tasks_about
from phb_fhir.rules.budget import Days, amounts_of, days_of, first_day, in_words, is_joint, plan_of, stage_of
from phb_fhir.rules.case import Asking, Case, Follow, Read
from phb_fhir.rules.ledger import CONTINGENCY, Ledger, summed
from phb_fhir.rules.tasks import task_to_decide
from phb_fhir.rules.words import ACCOUNT_TYPE, code_in

CODE = "surplus-review"
_WEEK_DAYS = 7
_YEAR_WEEKS = 52
_TENTH = Decimal("0.1")


class Standing(NamedTuple):
    """How a budget stands on a day, in pence. `weekly` is what a week comes to, `due` what should have been used by then, `used` what is
    spent or committed, `advanced` what was paid out and not accounted for.
    """

    day: date
    weekly: int
    due: int
    used: int
    advanced: int

    @property
    def unspent(self) -> int:
        return max(self.due - self.used, 0)

    @property
    def weeks(self) -> Decimal:
        """The unspent money in weeks, to a tenth."""
        return (Decimal(self.unspent) / self.weekly).quantize(_TENTH) if self.weekly else Decimal(0)

    def is_more_than(self, weeks: int) -> bool:
        return self.unspent > self.weekly * weeks


def reckon(account: Resource, ledger: Ledger, day: date) -> Standing | None:
    """How a budget stands on a day. None for one that is not active or has not begun, for a single sum, and for a joint one, whose
    money is that of the budgets it is made of.
    """
    time = time_of(account)
    is_single = code_in(account.get("type"), ACCOUNT_TYPE) == "one-off"
    if stage_of(account) != "active" or is_joint(account) or is_single or time is None or day < time[0]:
        return None
    pots = {pot: sums for pot, sums in ledger.pots.items() if pot != CONTINGENCY}
    total = summed(pots.values())
    days = (time[1] - time[0]).days + 1
    gone = min((day - time[0]).days, days)
    return Standing(
        day,
        portion(total.allocated, Decimal(_WEEK_DAYS) / days),
        portion(total.allocated, Decimal(gone) / days),
        total.spent + total.committed,
        sum(max(sums.advanced - sums.spent, 0) for sums in pots.values()),
    )


def time_of(account: Resource) -> tuple[date, date] | None:
    """The first and the last day of a budget's time. Of one without an end, the last of its approved amounts; else a year is taken."""
    time: Days = days_of(account.get("servicePeriod"))
    if time.start is None:
        return None
    ends = [row.days.end for row in amounts_of(account, "approved") if row.days.end is not None]
    end = time.end or max(ends, default=days_later(time.start, _YEAR_WEEKS * _WEEK_DAYS - 1))
    return (time.start, end) if end >= time.start else None


def surplus_of(account: Resource, ledger: Ledger, day: date) -> Asking[Standing | None]:
    """How a budget stands that has a surplus by its commissioner's policy; None where it has none."""
    found = reckon(account, ledger, day)
    if found is None or not found.unspent:
        return None
    policy = yield from policy_of(account.get("owner"))
    return found if found.is_more_than(policy.surplus_weeks) else None


def asked_about(case: Case, account: Resource, ledger: Ledger) -> Asking[list[Follow]]:
    """The Task that asks about a budget's surplus. None while one is open, nor before another could have built up since one was answered."""
    found = yield from surplus_of(account, ledger, case.today)
    if found is None:
        return []
    key = f"Account/{account['id']}"
    policy = yield from policy_of(account.get("owner"))
    earlier = yield from tasks_about(CODE, key)
    since = days_later(case.today, -policy.surplus_weeks * _WEEK_DAYS)
    if is_open(earlier) or any((first_day(one.get("lastModified")) or date.min) > since for one in earlier):
        return []
    plan_key = plan_of(account)
    plan: Resource | None = (yield Read(plan_key))[plan_key] if plan_key else None
    focus = {"reference": key, **({"display": account["name"]} if account.get("name") else {})}
    text = in_plain_words(found, policy.surplus_weeks)
    task = yield from task_to_decide(case, account, plan, CODE, text, focus)
    id_ = _id_for(key, case.today)
    return [Follow({"resourceType": "Task", "id": id_, **task}, f"Task/{id_}")]


def _id_for(account: str, day: date) -> str:
    """One for each budget and day: what several advances or reviews that come at once ask about is one Task."""
    digest = hashlib.sha256(f"{account} {day}".encode()).hexdigest()
    return f"{CODE}-{digest[:32]}"


def is_open(tasks: Iterable[Resource]) -> bool:
    """Whether any of these still waits for an answer."""
    return any(one.get("status") != "completed" for one in tasks)


def in_plain_words(found: Standing, weeks: int) -> str:
    """What the Task says."""
    text = (
        f"By {in_words(found.day)}, {sterling(found.due)} of this budget was expected to be used, and {sterling(found.used)} is spent or"
        f" agreed. {sterling(found.unspent)} is unspent: that is more than {weeks} weeks' money, at {sterling(found.weekly)} a week."
    )
    if paid_out := min(found.advanced, found.unspent):
        text += f" {sterling(paid_out)} of it was paid out, and is not accounted for by purchases yet."
    return f"{text} Ask the person why, and whether the plan or the amount should change. Nothing is taken away because of this (R87, R88)."

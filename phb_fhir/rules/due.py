"""By when what is asked for is decided (R141): nobody waits without knowing for how long.

A request that somebody decides, and an appeal, say by when (`Task.restriction.period`). Where whoever asks names no day, it is the commissioner's
`decisionDays` after it was asked, and stays that day. What is late is found by `Task?due=lt…`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import days_later
from phb_fhir.rules.appeal import CODE as APPEAL
from phb_fhir.rules.around import policy_of
from phb_fhir.rules.budget import first_day
from phb_fhir.rules.case import NOTHING, Asking, Case, Decision, Judging, Read
from phb_fhir.rules.deciding import kind_of
from phb_fhir.rules.requests import DECIDED
from phb_fhir.rules.words import key_of

KINDS = frozenset((*DECIDED, APPEAL))
WAITS = frozenset(("requested", "received", "accepted", "ready", "in-progress", "on-hold"))


def judge_due(case: Case) -> Judging:
    """The day by which something is decided, where nobody said it."""
    task = case.after
    if task is None or case.is_own or kind_of(task) not in KINDS or task.get("status") not in WAITS or _time(task):
        return NOTHING
    time = _time(case.before or {}) or {"end": (yield from _day(case, task)).isoformat()}
    return Decision(content={**task, "restriction": {**(task.get("restriction") or {}), "period": time}})


def _time(task: Resource) -> Any:
    return (task.get("restriction") or {}).get("period")


def _day(case: Case, task: Resource) -> Asking[date]:
    keys = tuple(_leading_to_commissioner(task))
    found: dict[str, Resource | None] = (yield Read(*keys)) if keys else {}
    there = [one for key in keys if (one := found[key]) is not None]
    named = (one.get("owner") or one.get("organization") for one in there)
    policy = yield from policy_of(next((one for one in named if one), task.get("owner")))
    asked = min(first_day(task.get("authoredOn")) or case.today, case.today)
    return days_later(asked, policy.decision_days)


def _leading_to_commissioner(task: Resource) -> Iterator[str]:
    """The budget that it is about, and the role that decides: whose commissioner's policy it is goes by the first of these."""
    for name, type_ in (("focus", "Account"), ("owner", "PractitionerRole")):
        if (key := key_of(task.get(name))).startswith(f"{type_}/"):
            yield key

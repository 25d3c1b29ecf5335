"""Tasks that rules write themselves: something has come up that somebody has to decide, or to look into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import days_later, instant_text
from phb_fhir.rules.around import coordinator_in, policy_of, teams_of
from phb_fhir.rules.budget import owner_of, person_of
from phb_fhir.rules.case import Asking, Case, Follow, follow_on
from phb_fhir.rules.words import TASK_CODE, TASK_PARAMETER, concept


def task_to_decide(
    case: Case, budget: Resource, plan: Resource | None, code: str, text: str, focus: Mapping[str, Any]
) -> Asking[Resource]:
    """A Task of a kind (phb-task-code) for the care co-ordinator of the plan's team, where there is none for the commissioner.

    The policy says how many days there are to answer.
    """
    coordinator = coordinator_in((yield from teams_of(plan)), case.today)
    policy = yield from policy_of(budget.get("owner"))
    at = case.now.isoformat(timespec="seconds")
    return {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "priority": "routine",
        "code": concept(TASK_CODE, code),
        "description": text,
        "focus": dict(focus),
        "for": {"reference": person_of(budget)},
        "authoredOn": at,
        "lastModified": at,
        "requester": {"reference": owner_of(budget)},
        "owner": {"reference": coordinator or owner_of(budget)},
        "restriction": {"period": {"end": days_later(case.today, policy.decision_days).isoformat()}},
    }


def naming(case: Case, task: Resource, key: str) -> Follow:
    """A Task with the version of the budget that came of it among its outputs (R14)."""
    made = {"type": concept(TASK_PARAMETER, "budget", "Budget"), "valueReference": {"reference": case.version}}

    def named(now: Resource) -> Resource:
        return {**now, "output": [*now.get("output", ()), made], "lastModified": instant_text(case.now)}

    return follow_on(task, key, named)

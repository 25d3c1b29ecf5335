"""By when what is asked for is decided, where nobody says it (R141): pure, of `rules/due`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from phb_fhir.rules.around import ODS
from phb_fhir.rules.case import Case, PolicyOf, Read, answered
from phb_fhir.rules.commissioning import Policy
from phb_fhir.rules.due import judge_due
from phb_fhir.rules.words import TASK_CODE

Resource = dict[str, Any]
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
STRICT = {"identifier": {"system": ODS, "value": "QX1"}}  # a commissioner who decides within ten days
ACCOUNT, ROLE = "Account/one", "PractitionerRole/one"


def task(kind: str = "phb-request", status: str = "requested", **more: Any) -> Resource:
    code = {"coding": [{"system": TASK_CODE, "code": kind}]}
    return {"resourceType": "Task", "status": status, "code": code, "authoredOn": "2026-11-20", **more}


def until(day: str) -> Resource:
    return {"restriction": {"period": {"end": day}}}


def day_of(after: Resource, before: Resource | None = None, *, is_own: bool = False) -> str | None:
    """The day that the rule writes into a Task; None where it leaves it alone."""
    case = Case("Task", "one", before, after, "Task/one/_history/2", NOW, NOW.date())
    account, role = {"owner": STRICT}, {"organization": STRICT}
    answers: dict[Any, Any] = {
        Read(ACCOUNT): {ACCOUNT: account},
        Read(ROLE): {ROLE: role},
        Read(ACCOUNT, ROLE): {ROLE: {"organization": {"display": "Somebody else"}}, ACCOUNT: account},
        PolicyOf("QX1"): Policy(decision_days=10),
        PolicyOf(""): Policy(),
    }
    decision = answered(judge_due(replace(case, is_own=is_own)), answers)
    assert not decision.issues
    if decision.content is None:
        return None
    assert {**decision.content, "restriction": None} == {**after, "restriction": None}
    return str(decision.content["restriction"]["period"]["end"])


KINDS = [
    "phb-request",
    "eligibility-request",
    "management-model-request",
    "joint-budget-request",
    "exception",
    "appeal",
]


@pytest.mark.parametrize("kind", KINDS)
def test_what_somebody_decides_has_a_day_four_weeks_after_it_was_asked_for(kind: str) -> None:
    assert day_of(task(kind)) == "2026-12-18"


@pytest.mark.parametrize("kind", ["phb-review", "needs-assessment", "safeguarding-referral", "plan-sign-off"])
def test_other_tasks_are_left_alone(kind: str) -> None:
    assert day_of(task(kind)) is None


@pytest.mark.parametrize(
    "about",
    [
        {"focus": {"reference": ACCOUNT}},
        {"owner": {"reference": ROLE}},
        {"owner": STRICT},
        {"focus": {"reference": ACCOUNT}, "owner": {"reference": ROLE}},
    ],
)
def test_the_commissioner_says_how_long_it_may_take(about: Resource) -> None:
    assert day_of(task(**about)) == "2026-11-30"


def test_who_asks_may_name_a_day() -> None:
    assert day_of(task(**until("2026-11-25"))) is None


def test_a_day_that_was_said_stays_where_a_later_version_leaves_it_out() -> None:
    assert day_of(task(status="accepted"), task(**until("2026-11-25"))) == "2026-11-25"


def test_what_else_restricts_it_stays() -> None:
    asked = task(restriction={"repetitions": 1})
    case = Case("Task", "one", None, asked, "Task/one/_history/1", NOW, NOW.date())
    content = answered(judge_due(case), {PolicyOf(""): Policy()}).content
    assert content is not None
    assert content["restriction"] == {"repetitions": 1, "period": {"end": "2026-12-18"}}


@pytest.mark.parametrize("asked", ["2026-12-24", None])
def test_a_day_to_come_or_none_counts_from_today(asked: str | None) -> None:
    assert day_of(task(authoredOn=asked)) == "2026-12-20"


@pytest.mark.parametrize("status", ["draft", "completed", "rejected", "cancelled", "failed", "entered-in-error"])
def test_what_is_a_draft_or_over_waits_for_nobody(status: str) -> None:
    assert day_of(task(status=status)) is None


def test_what_the_server_writes_has_its_day_already() -> None:
    assert day_of(task(), is_own=True) is None

"""Which review decides a change of a budget's money: one that is recorded, is over, and is about this budget (R14, R150)."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from phb_fhir.rules.amendment import Reason, _decided_by
from phb_fhir.rules.case import Read, answered
from phb_fhir.rules.words import TASK_CODE, concept, extension_url

KEY = "Task/review"
PLAN = {"url": extension_url("phb-care-plan"), "valueReference": {"reference": "CarePlan/jill"}}
BUDGET: dict[str, Any] = {"resourceType": "Account", "id": "jill", "extension": [PLAN]}
REVIEW: dict[str, Any] = {"resourceType": "Task", "code": concept(TASK_CODE, "phb-review"), "status": "completed"}


def said(**review: Any) -> list[str]:
    """What speaks against a change that cites this review."""
    reason = Reason(date(2026, 12, 31), "Her needs have changed.", KEY)
    return [one.text for one in answered(_decided_by(reason, BUDGET), {Read(KEY): {KEY: REVIEW | review}})]


@pytest.mark.parametrize(
    "about", [{"focus": {"reference": "Account/jill"}}, {"basedOn": [{"reference": "CarePlan/jill"}]}]
)
def test_a_review_of_the_budget_or_of_its_plan_decides(about: dict[str, Any]) -> None:
    assert said(**about) == []


@pytest.mark.parametrize(
    "about",
    [{}, {"focus": {"reference": "Account/ben"}}, {"basedOn": [{"reference": "CarePlan/ben"}]}],
    ids=["of nothing", "of another budget", "of another plan"],
)
def test_a_review_of_another_budget_does_not(about: dict[str, Any]) -> None:
    assert said(**about) == [f"{KEY} is a review of another budget."]

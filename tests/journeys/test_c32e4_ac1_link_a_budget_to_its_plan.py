"""C32E4 AC1: a personal health budget and a care plan are linked, and the plan can be viewed from the budget (R18, R100)."""

from __future__ import annotations

import copy

import httpx
import pytest

from tests.journeys.jills_budget import read, refused
from tests.journeys.planning import CARE_PLAN, changed, diet, plan_linked, planned, put, record, value
from tests.stories import FAMILY, tell


@pytest.fixture
def jill(api: httpx.Client) -> httpx.Client:
    record(api, planned())
    return api


def linked_to(api: httpx.Client, key: str) -> httpx.Response:
    budget = read(api, "Account/jill-budget")
    next(one for one in budget["extension"] if one["url"] == CARE_PLAN)["valueReference"] = {"reference": key}
    return put(api, budget)


def found(api: httpx.Client, address: str) -> list[str]:
    return sorted(
        f"{one['resource']['resourceType']}/{one['resource']['id']}" for one in api.get(address).json()["entry"]
    )


def test_the_plan_is_found_from_the_budget_and_the_budget_from_the_plan(jill: httpx.Client) -> None:
    assert plan_linked(jill) == "CarePlan/jill-plan"
    assert found(jill, "/Account?_id=jill-budget&_include=Account:care-plan") == [
        "Account/jill-budget",
        "CarePlan/jill-plan",
    ]
    assert found(jill, "/CarePlan?_id=jill-plan&_revinclude=Account:care-plan") == [
        "Account/jill-budget",
        "CarePlan/jill-plan",
    ]
    assert found(jill, "/Account?care-plan=CarePlan/jill-plan") == ["Account/jill-budget"]


def test_one_plan_serves_the_budgets_of_several_funders(api: httpx.Client) -> None:
    tell(api, FAMILY)
    assert found(api, "/Account?care-plan=CarePlan/asha-plan") == [
        "Account/asha-health",
        "Account/asha-joint",
        "Account/asha-social-care",
    ]


def test_a_budget_is_linked_to_no_plan_of_somebody_else(jill: httpx.Client) -> None:
    tell(jill, FAMILY)
    said = refused(linked_to(jill, "CarePlan/asha-plan"))
    assert "CarePlan/asha-plan is the plan of somebody else: Patient/asha, not Patient/jill." in said
    assert plan_linked(jill) == "CarePlan/jill-plan"


def test_a_budget_is_linked_to_no_other_kind_of_care_plan_and_to_none_that_is_not_there(jill: httpx.Client) -> None:
    assert put(jill, diet()).status_code == 201
    for key in ("CarePlan/diet", "CarePlan/nowhere"):
        text = f"{key} is no plan of a personal health budget; write one, of the kind phb-plan."
        assert text in refused(linked_to(jill, key))


def test_a_draft_that_a_budget_names_stays_with_its_person_and_in_the_record(jill: httpx.Client) -> None:
    answer = changed(jill, "CarePlan/jill-plan", subject={"reference": "Patient/asha"})
    assert refused(answer) == ["Jill's personal health budget goes with this plan, and is the budget of Patient/jill."]
    assert refused(jill.delete("/CarePlan/jill-plan")) == [
        "Jill's personal health budget names this plan; link it to another one first."
    ]


def test_a_link_to_another_draft_of_the_same_person_is_taken(jill: httpx.Client) -> None:
    assert put(jill, {**copy.deepcopy(planned()["CarePlan/jill-plan"]), "id": "jill-other"}).status_code == 201
    answer = linked_to(jill, "CarePlan/jill-other")
    assert answer.status_code == 200, answer.text
    assert value(answer.json(), CARE_PLAN)["reference"] == "CarePlan/jill-other"

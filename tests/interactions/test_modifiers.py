"""What could turn round the meaning of something about a budget is refused; what is nobody's budget is kept as it was sent (R4 §2.4.1.1)."""

from __future__ import annotations

import copy
from typing import Any

import httpx
import pytest

from tests.interactions.phb import by_number, charged, hospital_account, to
from tests.paying import advance, made, said
from tests.stories import massage, story, tell

ACCOUNT_NUMBER = "https://fhir.phb.nhs.example/Id/phb-account-number"
NOT_DONE = [{"url": "https://example.org/not-done", "valueBoolean": True}]
WHY = (
    "https://example.org/not-done may change what this means, and is not understood here: what is about a budget is written without it, or money"
    " would be reckoned with that means something else."
)


@pytest.fixture
def jill(api: httpx.Client) -> httpx.Client:
    tell(api)
    return api


def of_story(key: str) -> dict[str, Any]:
    (one,) = (each for each in story() if f"{each['resourceType']}/{each['id']}" == key)
    return copy.deepcopy(one)


@pytest.mark.parametrize(
    "resource",
    [
        massage("PUR-NOT"),
        {**massage("PUR-NOT"), "account": [by_number(ACCOUNT_NUMBER, "PHB-2026-000417")]},
        advance("PAY-NOT", 1),
        {key: value for key, value in of_story("Consent/jill-direct-payment").items() if key != "id"},
        {key: value for key, value in of_story("CarePlan/jill-plan").items() if key != "id"} | {"status": "draft"},
    ],
    ids=["purchase", "purchase by number", "payment", "consent", "plan"],
)
def test_a_modifier_that_is_not_understood_is_refused_in_what_is_about_a_budget(
    jill: httpx.Client, resource: dict[str, Any]
) -> None:
    type_ = resource["resourceType"]
    answer = jill.post(f"/{type_}", json={**resource, "modifierExtension": NOT_DONE})
    assert WHY in said(answer)
    places = [place for one in answer.json()["issue"] for place in one.get("expression", ())]
    assert f"{type_}.modifierExtension[0]" in places


def test_a_trial_of_a_purchase_says_it_too(jill: httpx.Client) -> None:
    tried = made(jill.post("/ChargeItem/$check-purchase", json=massage("PUR-NOT", modifierExtension=NOT_DONE)))
    (outcome,) = (one["resource"] for one in tried["parameter"] if one["name"] == "outcome")
    assert WHY in [issue["diagnostics"] for issue in outcome["issue"]]


def test_a_budget_takes_no_modifier_and_one_within_it_is_found(jill: httpx.Client) -> None:
    account = made(jill.get("/Account/jill-budget"))
    assert WHY in said(jill.put("/Account/jill-budget", json={**account, "modifierExtension": NOT_DONE}))
    (cover, *others) = account["coverage"]
    within = {**account, "coverage": [{**cover, "modifierExtension": NOT_DONE}, *others]}
    answer = jill.put("/Account/jill-budget", json=within)
    assert WHY in said(answer)
    assert {"Account.coverage[0].modifierExtension[0]"} <= {
        place for one in answer.json()["issue"] for place in one.get("expression", ())
    }


def test_rules_by_which_it_is_to_be_read_otherwise_are_not_understood_either(jill: httpx.Client) -> None:
    (why,) = said(jill.post("/ChargeItem", json=massage("PUR-NOT", implicitRules="https://example.org/in-euros")))
    assert why.startswith("https://example.org/in-euros may change what this means")


def test_a_purchase_that_was_posted_before_is_no_excuse_for_a_modifier(jill: httpx.Client) -> None:
    made(jill.post("/ChargeItem", json=massage("PUR-ONCE")))
    assert said(jill.post("/ChargeItem", json=massage("PUR-ONCE", modifierExtension=NOT_DONE))) == [WHY]


def test_what_is_nobodys_budget_keeps_its_modifier(api: httpx.Client) -> None:
    account = made(api.post("/Account", json={**hospital_account(), "modifierExtension": NOT_DONE}))
    assert account["modifierExtension"] == NOT_DONE
    plain = charged(
        to(f"Account/{account['id']}"), "extension", "identifier", "code", "reason", "supportingInformation"
    )
    plain = {**plain, "code": {"text": "Bandage"}, "modifierExtension": NOT_DONE}
    assert made(api.post("/ChargeItem", json=plain))["modifierExtension"] == NOT_DONE

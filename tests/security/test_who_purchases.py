"""Who may purchase from a budget, ask for it, decide, and disallow: the roles of the policy, and the rules behind it (R11, R20, R76)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from phb_fhir.cli.token import Asked
from tests.people import People, signed_in
from tests.stories import massage

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def people(mongodb_uri: str) -> Iterator[People]:
    with signed_in(mongodb_uri) as made:
        made.know("tom", Asked("person", "Tom", "Patient/tom", "tom"))
        made.know("cousin", Asked("delegate", "A cousin", "RelatedPerson/cousin", "jill"))
        yield made


def bought(**more: Any) -> dict[str, Any]:
    return massage(f"PUR-W-{next(_NUMBERS)}", **more)


def unusual(**more: Any) -> dict[str, Any]:
    charge = bought(**more)
    charge["code"]["text"] = "A kite"
    del charge["definitionCanonical"]
    return charge


ENTERERS = {
    "jill": "Patient/jill",
    "ruth": "RelatedPerson/ruth-harper",
    "co-ordinator": "PractitionerRole/priya-nair-coordinator",
    "commissioner": "Organization/harbourside-north",
    "system": "Patient/jill",
}


@pytest.mark.parametrize("who", ENTERERS)
def test_who_may_purchase_does_so_in_their_own_name(people: People, who: str) -> None:
    answer = people[who].post("/ChargeItem", json=bought(enterer={"reference": ENTERERS[who]}))
    assert (answer.status_code, answer.json().get("status")) == (201, "billable"), answer.text


@pytest.mark.parametrize("who", ["jill", "ruth", "co-ordinator"])
def test_nobody_enters_a_purchase_in_another_name(people: People, who: str) -> None:
    other = next(name for one, name in ENTERERS.items() if one != who)
    answer = people[who].post("/ChargeItem", json=bought(enterer={"reference": other}))
    assert answer.status_code == 422
    (issue,) = answer.json()["issue"]
    assert issue["diagnostics"] == "The purchase says that somebody else entered it than who is signed in."


@pytest.mark.parametrize("who", ["practice", "auditor", "tom", "cousin"])
def test_who_has_nothing_to_do_with_the_budget_purchases_nothing(people: People, who: str) -> None:
    answer = people[who].post("/ChargeItem", json=bought())
    assert answer.status_code in (403, 404, 422), answer.text
    assert "left" not in answer.text  # nobody learns what is in it


@pytest.mark.parametrize("who", ["jill", "ruth"])
def test_what_is_unusual_waits_when_the_person_asks_and_they_cannot_approve_it_themselves(
    people: People, who: str
) -> None:
    made = people[who].post("/ChargeItem", json=unusual(enterer={"reference": ENTERERS[who]}, status="billable"))
    assert (made.status_code, made.json()["status"]) == (201, "planned"), made.text
    address = f"/ChargeItem/{made.json()['id']}"
    assert people[who].put(address, json=made.json() | {"status": "billable"}).status_code == 422
    body = {"resourceType": "Parameters"}
    assert people[who].post(f"{address}/$approve", json=body).status_code == 422
    approved = people["co-ordinator"].post(f"{address}/$approve", json=body)
    assert (approved.status_code, approved.json()["status"]) == (200, "billable"), approved.text


def test_what_was_approved_is_not_made_another_purchase_afterwards(people: People) -> None:
    made = people["jill"].post("/ChargeItem", json=unusual()).json()
    people["co-ordinator"].post(f"/ChargeItem/{made['id']}/$approve", json={"resourceType": "Parameters"})
    stands = people["jill"].get(f"/ChargeItem/{made['id']}").json()
    dearer = stands | {"priceOverride": {"value": 90.0, "currency": "GBP"}}
    assert people["jill"].put(f"/ChargeItem/{made['id']}", json=dearer).status_code == 422
    noted = stands | {"note": [{"text": "It flies."}]}
    assert people["jill"].put(f"/ChargeItem/{made['id']}", json=noted).status_code == 200


def test_the_person_takes_a_purchase_back_and_only_the_nhs_disallows_one(people: People) -> None:
    made = people["jill"].post("/ChargeItem", json=bought()).json()
    address = f"/ChargeItem/{made['id']}"
    disallowed = made | {"status": "not-billable", "note": [{"text": "Not for this."}]}
    assert people["jill"].put(address, json=disallowed).status_code == 422
    assert people["jill"].put(address, json=made | {"status": "aborted"}).status_code == 200
    other = people["jill"].post("/ChargeItem", json=bought()).json()
    disallowed = other | {"status": "not-billable", "note": [{"text": "Not for this."}]}
    assert people["commissioner"].put(f"/ChargeItem/{other['id']}", json=disallowed).status_code == 200


def test_a_trial_is_for_who_may_purchase_and_tells_others_nothing(people: People) -> None:
    assert people["jill"].post("/ChargeItem/$check-purchase", json=bought()).status_code == 200
    for who in ("tom", "practice", "auditor"):
        answer = people[who].post("/ChargeItem/$check-purchase", json=bought())
        assert answer.status_code in (403, 404, 422), who
        assert "available" not in answer.text


def test_the_task_for_the_co_ordinator_is_hers_to_see_and_the_persons(people: People) -> None:
    made = people["jill"].post("/ChargeItem", json=unusual()).json()
    for who in ("jill", "co-ordinator"):
        found = people[who].get("/Task", params={"focus": f"ChargeItem/{made['id']}"}).json()
        assert found["total"] == 1, who

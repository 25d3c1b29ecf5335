"""What a refusal tells of a joint budget: nothing of the budgets of other funders, to who may not see these."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from phb_fhir.rules.joint import split
from tests.paying import BASE, NORTH, line, made, payment, said
from tests.people import People, signed_in
from tests.stories import FAMILY, JILLS, story

HEALTH, CARE = "Account/asha-health", "Account/asha-social-care"
ICB, COUNCIL = "Organization/wreake-valley", "Organization/wreake-valley-council"


@pytest.fixture(scope="module")
def people(mongodb_uri: str) -> Iterator[People]:
    with signed_in(mongodb_uri, JILLS, FAMILY) as signed:
        yield signed


def kit(reference: str, pounds: float) -> dict[str, Any]:
    charge = copy.deepcopy(next(one for one in story(FAMILY) if one["id"] == "asha-sensory-kit"))
    number = [{**charge["identifier"][0], "value": reference}]
    more = {"status": "billable", "identifier": number, "enterer": {"reference": ICB}}
    del charge["id"]
    return charge | more | {"priceOverride": {"value": pounds, "currency": "GBP"}}


def test_what_would_fall_to_a_budget_that_is_hidden_is_told_without_its_name_and_its_money(people: People) -> None:
    assert people["another commissioner"].get(f"/{CARE}").status_code == 404
    own = "£75,000.00 of this would fall to Asha's health budget, which has £55,575.00 left."
    assert said(people["another commissioner"].post("/ChargeItem", json=kit("PUR-A", 90_000))) == [
        own,
        "A part of this would fall to another budget, which has not as much left.",
    ]
    assert said(people["system"].post("/ChargeItem", json=kit("PUR-B", 90_000))) == [
        own,
        "£15,000.00 of this would fall to Asha's social care budget, which has £11,450.00 left.",
    ]


def test_who_else_gives_money_is_not_told_to_who_may_not_see_their_budget(people: People) -> None:
    charge = made(people["system"].post("/ChargeItem", json=kit("PUR-C", 6)))
    key = f"ChargeItem/{charge['id']}"
    # issued by somebody who holds none of it
    paid = payment("PAY-X", line(6, key), account=HEALTH, issuer=NORTH, payee="Organization/hollow-farm")
    told = {}
    for who in ("system", "another commissioner"):
        reasons = said(people[who].post("/PaymentReconciliation", json=paid))
        (told[who],) = [one for one in reasons if "it is paid by" in one]
    assert COUNCIL in told["system"]
    assert COUNCIL not in told["another commissioner"]
    assert ICB in told["another commissioner"]
    assert told["another commissioner"].endswith("another funder.")


def test_a_budget_that_is_hidden_and_suspended_is_not_named() -> None:
    member = {"resourceType": "Account", "id": "a", "name": "Asha's social care budget", "extension": []}
    for hidden in (False, True):
        found = split(100, [member, ACTIVE], {}, {"Account/a"} if hidden else ())
        (issue,) = found.issues
        assert ("social care" in issue.text) is not hidden
        assert issue.text.startswith("Another budget") is hidden


ACTIVE = {
    "resourceType": "Account",
    "id": "b",
    "extension": [{"url": f"{BASE}/StructureDefinition/phb-lifecycle-status", "valueCode": "active"}],
}


def test_a_funder_takes_its_own_budget_out_of_a_joint_one_that_it_does_not_lead(mongodb_uri: str) -> None:
    with signed_in(mongodb_uri, FAMILY) as people:
        assert people["council"].get("/Account/asha-joint").status_code == 404
        why = {
            "resourceType": "Parameters",
            "parameter": [{"name": "reason", "valueString": "We manage it ourselves."}],
        }
        assert people["another commissioner"].post(f"/{CARE}/$leave", json=why).status_code == 404
        left = people["council"].post(f"/{CARE}/$leave", json=why)
        assert left.status_code == 200, left.text
        assert "partOf" not in left.json()
        told = people["system"].get(f"/Communication?about={CARE}").json()["entry"][0]["resource"]
        assert told["about"] == [{"reference": CARE}]
        assert told["sender"] == {"reference": COUNCIL}
        assert "We manage it ourselves." in told["payload"][0]["contentString"]

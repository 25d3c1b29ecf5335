"""C32E7: who may record payments, and run them. Money is paid by who has it, and recorded by who may (RULE-MODEL, RULE-ACCESS)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.paying import advance, evidence, line, payment
from tests.reports.signed_in import (
    ANOTHER_COMMISSIONER,
    COMMISSIONER,
    FINANCE,
    JILL,
    PRIYA,
    PROVIDER,
    RUTH,
    running_stories,
)
from tests.security.world import World

BED = "ChargeItem/jill-profiling-bed"


@pytest.fixture(scope="module")
def world(mongodb_uri: str) -> Iterator[World]:
    with running_stories(mongodb_uri) as made:
        yield made


def run(world: World, who: Any, issuer: str = "Organization/harbourside-north") -> Any:
    parts = [
        {"name": "holder", "valueReference": {"reference": issuer}},
        {"name": "name", "valueString": "NHS"},
        {"name": "sort-code", "valueString": "600001"},
        {"name": "account-number", "valueString": "71930284"},
    ]
    jill = [
        {"name": "holder", "valueReference": {"reference": "Patient/jill"}},
        {"name": "name", "valueString": "Jill Harper"},
        {"name": "sort-code", "valueString": "600003"},
        {"name": "account-number", "valueString": "30994417"},
    ]
    body = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "issuer", "valueReference": {"reference": issuer}},
            {"name": "account", "part": parts},
            {"name": "account", "part": jill},
        ],
    }
    return world.post(who, "/PaymentReconciliation/$payment-run", body)


@pytest.mark.parametrize(
    ("who", "status"),
    [(COMMISSIONER, 201), (PRIYA, 201), (JILL, 403), (RUTH, 403), (PROVIDER, 403)],
    ids=lambda one: one["role"] if isinstance(one, dict) else str(one),
)
def test_payments_are_recorded_by_the_nhs_and_by_nobody_for_themselves(world: World, who: Any, status: int) -> None:
    answer = world.post(who, "/PaymentReconciliation", advance(f"PAY-{who['role']}", 1))
    assert answer.status_code == status, answer.text


def test_another_commissioner_neither_pays_from_a_budget_nor_runs_its_payments(world: World) -> None:
    mine = world.post(COMMISSIONER, "/PaymentReconciliation", advance("PAY-OWN", 1)).json()
    assert world.post(ANOTHER_COMMISSIONER, "/PaymentReconciliation", advance("PAY-THEIRS", 1)).status_code == 422
    answer = run(world, ANOTHER_COMMISSIONER)
    assert answer.status_code == 200
    assert [one["name"] for one in answer.json()["parameter"]] == ["run"]
    assert world.get(ANOTHER_COMMISSIONER, f"/PaymentReconciliation/{mine['id']}").status_code == 404
    sent = run(world, FINANCE).json()["parameter"]
    assert {"reference": f"PaymentReconciliation/{mine['id']}"} in [one.get("valueReference") for one in sent]


@pytest.mark.parametrize("who", [JILL, RUTH, PROVIDER], ids=lambda one: one["role"])
def test_a_run_is_not_for_everybody(world: World, who: Any) -> None:
    assert run(world, who).status_code == 403


def test_finance_pays_in_its_own_name(world: World) -> None:
    mobility = "Organization/harbour-mobility"
    elsewhere = payment("PAY-W", line(1, BED), issuer="Organization/willow-tree-budgets", payee=mobility)
    answer = world.post(FINANCE, "/PaymentReconciliation", elsewhere)
    assert answer.status_code == 422
    assert "The payment is neither made nor received by the organisation that is signed in." in answer.text


def test_finance_completes_a_payment_and_that_bills_its_purchase(world: World) -> None:
    """Whoever records that it was paid need not be allowed to decide about the purchase."""

    charge = world.get(PRIYA, "/ChargeItem/jill-counselling-2026-11-26").json()
    document = world.post(PRIYA, "/DocumentReference", evidence("Patient/jill")).json()
    charge["supportingInformation"] = [{"reference": f"DocumentReference/{document['id']}"}]
    assert world.put(PRIYA, charge).status_code == 200
    paid = payment(
        "PAY-C", line(60, "ChargeItem/jill-counselling-2026-11-26"), payee="Organization/stillwater-counselling"
    )
    stored = world.post(FINANCE, "/PaymentReconciliation", paid)
    assert stored.status_code == 201, stored.text
    done = {**stored.json(), "outcome": "complete"}
    assert world.put(FINANCE, done).status_code == 200
    assert world.get(PRIYA, "/ChargeItem/jill-counselling-2026-11-26").json()["status"] == "billed"


def test_a_person_asks_for_a_notice_to_be_looked_at_again_and_does_not_decide_about_it(world: World) -> None:
    ground = {"system": "https://fhir.phb.nhs.example/CodeSystem/phb-repayment-ground", "code": "unused-money"}
    rows = [
        {"name": "ground", "valueCodeableConcept": {"coding": [ground]}},
        {"name": "amount", "valueMoney": {"value": 100.0, "currency": "GBP"}},
        {"name": "due", "valueDate": "2027-01-31"},
        {"name": "from", "valueReference": {"reference": "Patient/jill"}},
        {"name": "reason", "valueString": "It has not been used."},
    ]
    body = {"resourceType": "Parameters", "parameter": rows}
    assert world.post(JILL, "/Account/jill-budget/$request-repayment", body).status_code == 403
    notice = world.post(COMMISSIONER, "/Account/jill-budget/$request-repayment", body)
    assert notice.status_code == 200, notice.text
    key = f"/Task/{notice.json()['id']}"

    def moved(state: str, status: str) -> dict[str, Any]:
        system = "https://fhir.phb.nhs.example/CodeSystem/phb-task-business-status"
        stored = world.get(JILL, key).json()
        why = {"statusReason": {"text": "I need it in December."}}
        return {**stored, "businessStatus": {"coding": [{"system": system, "code": state}]}, "status": status, **why}

    refused = world.put(JILL, moved("withdrawn", "completed"))
    assert refused.status_code == 422
    assert "Whoever must repay can ask for it to be looked at again." in refused.text
    assert world.put(JILL, moved("reconsideration-requested", "in-progress")).status_code == 200
    assert world.put(JILL, moved("withdrawn", "completed")).status_code == 422
    assert world.put(COMMISSIONER, moved("withdrawn", "completed")).status_code == 200

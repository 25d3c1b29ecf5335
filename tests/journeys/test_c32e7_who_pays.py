"""C32E7: who may record payments, and run them. Money is paid by who has it, and recorded by who may (RULE-MODEL, RULE-ACCESS)."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from tests.journeys.bank_files import report
from tests.journeys.planning import put
from tests.paying import advance, evidence, line, payment
from tests.people import People, signed_in
from tests.stories import FAMILY, JILLS

BED = "ChargeItem/jill-profiling-bed"


@pytest.fixture(scope="module")
def people(mongodb_uri: str) -> Iterator[People]:
    with signed_in(mongodb_uri, JILLS, FAMILY) as made:
        yield made


def run(people: People, who: str, issuer: str = "Organization/harbourside-north", **more: str) -> Any:
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
            *({"name": name, "valueDate" if name == "date" else "valueString": it} for name, it in more.items()),
            {"name": "account", "part": parts},
            {"name": "account", "part": jill},
        ],
    }
    return people[who].post("/PaymentReconciliation/$payment-run", json=body)


@pytest.mark.parametrize(
    ("who", "status"),
    [("commissioner", 201), ("co-ordinator", 201), ("jill", 403), ("ruth", 403), ("provider", 403)],
)
def test_payments_are_recorded_by_the_nhs_and_by_nobody_for_themselves(people: People, who: str, status: int) -> None:
    answer = people[who].post("/PaymentReconciliation", json=advance(f"PAY-{who}", 1))
    assert answer.status_code == status, answer.text


def test_another_commissioner_neither_pays_from_a_budget_nor_runs_its_payments(people: People) -> None:
    mine = people["commissioner"].post("/PaymentReconciliation", json=advance("PAY-OWN", 1)).json()
    assert (
        people["another commissioner"].post("/PaymentReconciliation", json=advance("PAY-THEIRS", 1)).status_code == 422
    )
    answer = run(people, "another commissioner")
    assert answer.status_code == 200
    assert [one["name"] for one in answer.json()["parameter"]] == ["run"]
    assert people["another commissioner"].get(f"/PaymentReconciliation/{mine['id']}").status_code == 404
    sent = run(people, "finance").json()["parameter"]
    assert {"reference": f"PaymentReconciliation/{mine['id']}"} in [one.get("valueReference") for one in sent]


@pytest.mark.parametrize("who", ["jill", "ruth", "provider"])
def test_a_run_is_not_for_everybody(people: People, who: str) -> None:
    assert run(people, who).status_code == 403


def test_finance_pays_in_its_own_name(people: People) -> None:
    mobility = "Organization/harbour-mobility"
    elsewhere = payment("PAY-W", line(1, BED), issuer="Organization/willow-tree-budgets", payee=mobility)
    answer = people["finance"].post("/PaymentReconciliation", json=elsewhere)
    assert answer.status_code == 422
    assert "The payment is neither made nor received by the organisation that is signed in." in answer.text


def test_finance_completes_a_payment_and_that_bills_its_purchase(people: People) -> None:
    """Whoever records that it was paid need not be allowed to decide about the purchase."""

    charge = people["co-ordinator"].get("/ChargeItem/jill-counselling-2026-11-26").json()
    document = people["co-ordinator"].post("/DocumentReference", json=evidence("Patient/jill")).json()
    charge["supportingInformation"] = [{"reference": f"DocumentReference/{document['id']}"}]
    assert put(people["co-ordinator"], charge).status_code == 200
    paid = payment(
        "PAY-C", line(60, "ChargeItem/jill-counselling-2026-11-26"), payee="Organization/stillwater-counselling"
    )
    stored = people["finance"].post("/PaymentReconciliation", json=paid)
    assert stored.status_code == 201, stored.text
    done = {**stored.json(), "outcome": "complete"}
    assert put(people["finance"], done).status_code == 200
    assert people["co-ordinator"].get("/ChargeItem/jill-counselling-2026-11-26").json()["status"] == "billed"


def test_finance_pays_people_who_hold_their_money_from_the_schedule_to_the_banks_result(people: People) -> None:
    """It sees no people; whom a budget pays, the budget says."""
    finance = people["finance"]
    assert finance.get("/Patient/jill").status_code == 403
    before = finance.get("/Account/jill-budget/$balance").json()
    ledger = [one for one in before["parameter"] if one["name"] == "advanced"]
    answer = run(people, "finance", date="2026-12-05", run="RUN-DEC")
    sent = answer.json()["parameter"]
    assert [one for one in sent if one["name"] == "left-out" and "Patient/jill" in str(one)] == [], answer.text
    keys = [one["valueReference"]["reference"] for one in sent if one["name"] == "payment"]
    paid = [finance.get(f"/{key}").json() for key in keys]
    to_jill = [one for one in paid if "Patient/jill" in str(one["extension"])]
    (jills,) = (one for one in to_jill if one["paymentIdentifier"]["value"].startswith("ADV-20261205-"))
    (encoded,) = (one["valueBase64Binary"] for one in sent if one["name"] == "document")
    assert "30994417" in base64.b64decode(encoded).decode()
    told = finance.post(
        "/PaymentReconciliation/$payment-results",
        json=report("RUN-DEC", (jills["paymentIdentifier"]["value"], "ACSC")),
    )
    assert told.status_code == 200, told.text
    assert finance.get(f"/PaymentReconciliation/{jills['id']}").json()["outcome"] == "complete"
    after = finance.get("/Account/jill-budget/$balance").json()
    (moved,) = (one for one in after["parameter"] if one["name"] == "advanced")
    assert moved["valueMoney"]["value"] > ledger[0]["valueMoney"]["value"]


def test_a_provider_asks_the_budget_to_pay_that_its_purchase_names(people: People) -> None:
    """It sees no budgets; what was bought from it says from which."""
    massage = people["provider"].get("/ChargeItem/jill-massage-2026-10-23").json()
    price = massage["priceOverride"]
    part = {"priceComponent": [{"type": "base", "amount": price}]}
    invoice = {
        "resourceType": "Invoice",
        "status": "issued",
        "date": "2026-11-21",
        "issuer": {"reference": "Organization/riverbank-therapies"},
        "account": {"reference": massage["account"][0]["reference"]},
        "lineItem": [{"chargeItemReference": {"reference": f"ChargeItem/{massage['id']}"}, **part}],
        "totalGross": price,
    }
    elsewhere = people["provider"].post("/Invoice", json={**invoice, "account": {"reference": "Account/asha-health"}})
    assert (elsewhere.status_code, "There is no Account/asha-health." in elsewhere.text) == (422, True)
    asked = people["provider"].post("/Invoice", json=invoice)
    assert asked.status_code == 201, asked.text
    assert people["finance"].get(f"/Invoice/{asked.json()['id']}").status_code == 200


def test_finance_pays_a_person_by_hand_and_nobody_else_whom_it_does_not_see(people: People) -> None:
    answer = people["finance"].post("/PaymentReconciliation", json=advance("PAY-F", 1))
    assert answer.status_code == 201, answer.text
    for payee in ("Patient/asha", "RelatedPerson/asha-mother", "Patient/nobody"):
        answer = people["finance"].post("/PaymentReconciliation", json=advance(f"PAY-F-{payee[-4:]}", 1, payee=payee))
        assert answer.status_code == 422
        assert f"There is no {payee}." in answer.text


def test_a_person_asks_for_a_notice_to_be_looked_at_again_and_does_not_decide_about_it(people: People) -> None:
    ground = {"system": "https://fhir.phb.nhs.example/CodeSystem/phb-repayment-ground", "code": "unused-money"}
    rows = [
        {"name": "ground", "valueCodeableConcept": {"coding": [ground]}},
        {"name": "amount", "valueMoney": {"value": 100.0, "currency": "GBP"}},
        {"name": "due", "valueDate": "2027-01-31"},
        {"name": "from", "valueReference": {"reference": "Patient/jill"}},
        {"name": "reason", "valueString": "It has not been used."},
    ]
    body = {"resourceType": "Parameters", "parameter": rows}
    assert people["jill"].post("/Account/jill-budget/$request-repayment", json=body).status_code == 403
    notice = people["commissioner"].post("/Account/jill-budget/$request-repayment", json=body)
    assert notice.status_code == 200, notice.text
    key = f"/Task/{notice.json()['id']}"

    def moved(state: str, status: str) -> dict[str, Any]:
        system = "https://fhir.phb.nhs.example/CodeSystem/phb-task-business-status"
        stored = people["jill"].get(key).json()
        why = {"statusReason": {"text": "I need it in December."}}
        return {**stored, "businessStatus": {"coding": [{"system": system, "code": state}]}, "status": status, **why}

    refused = put(people["jill"], moved("withdrawn", "completed"))
    assert refused.status_code == 422
    assert "Whoever must repay can ask for it to be looked at again." in refused.text
    assert put(people["jill"], moved("reconsideration-requested", "in-progress")).status_code == 200
    assert put(people["jill"], moved("withdrawn", "completed")).status_code == 422
    assert put(people["commissioner"], moved("withdrawn", "completed")).status_code == 200

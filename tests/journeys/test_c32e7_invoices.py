"""C32E7: what a provider asks for in an Invoice, and its payment."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.builders import NHS_NUMBER
from tests.journeys.jills_payments import (
    BUDGET,
    COUNSELLING,
    MOBILITY,
    STILLWATER,
    counselling,
    invoice,
    pay,
    plain_charge,
    update,
    with_receipt,
)
from tests.paying import BASE, NORTH, line, made, payment, said
from tests.stories import massage


def test_an_invoice_says_what_each_component_comes_to(jill: httpx.Client) -> None:
    line_ = invoice()["lineItem"][0]
    less = {"type": "discount", "factor": 0.1}
    with_factor = {**line_, "priceComponent": [*line_["priceComponent"], less]}
    assert said(jill.post("/Invoice", json=invoice(lineItem=[with_factor]))) == [
        "Each price component says its amount in pounds: what a factor alone would come to is not reckoned with."
    ]
    told = {
        **line_,
        "priceComponent": [*line_["priceComponent"], {**less, "amount": {"value": 6.0, "currency": "GBP"}}],
    }
    money = {"value": 54.0, "currency": "GBP"}
    made(jill.post("/Invoice", json=invoice(lineItem=[told], totalNet=money, totalGross=money)))


def test_an_invoice_is_paid_whole_and_is_balanced_then(jill: httpx.Client) -> None:
    with_receipt(jill, COUNSELLING)
    sent = made(jill.post("/Invoice", json=invoice()))
    key = f"Invoice/{sent['id']}"
    (why,) = said(jill.post("/PaymentReconciliation", json=payment("PAY-1", line(50, key), payee=STILLWATER)))
    assert why == f"{key} comes to £60.00. An invoice is paid whole; a part of it by its purchases."
    paid = pay(jill, payment("PAY-1", line(60, key), payee=STILLWATER))
    assert made(jill.get(f"/{key}"))["status"] == "issued"
    assert said(jill.post("/PaymentReconciliation", json=counselling("PAY-2")))
    assert update(jill, paid, outcome="complete").status_code == 200
    assert made(jill.get(f"/{key}"))["status"] == "balanced"
    assert made(jill.get(f"/{COUNSELLING}"))["status"] == "billed"
    paid = made(jill.get(f"/PaymentReconciliation/{paid['id']}"))
    assert update(jill, paid, status="cancelled").status_code == 200
    assert made(jill.get(f"/{key}"))["status"] == "issued"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"amount": 61}, "Counselling, one hour costs £60.00; £61.00 is asked for."),
        ({"totalGross": {"value": 59.0, "currency": "GBP"}}, "The lines come to £60.00, which is not what totalGross"),
        ({"issuer": {"reference": MOBILITY}}, "Counselling, one hour was provided by Organization/stillwater-couns"),
        (
            {"subject": {"identifier": {"system": NHS_NUMBER, "value": "9000000254"}}},
            "The budget is another person's than the invoice is about.",
        ),
        ({"status": "balanced"}, "Of the £60.00 for Counselling, one hour, £0.00 is paid."),
    ],
)
def test_an_invoice_that_is_wrong_is_refused(jill: httpx.Client, changes: dict[str, Any], why: str) -> None:
    (reason,) = said(jill.post("/Invoice", json=invoice(**changes)))
    assert reason.startswith(why)


def test_what_an_invoice_that_was_sent_asks_for_stays_as_it_is(jill: httpx.Client) -> None:
    sent = made(jill.post("/Invoice", json=invoice()))
    less = invoice(50)
    assert said(jill.put(f"/Invoice/{sent['id']}", json={**sent, "lineItem": less["lineItem"]}))[0] == (
        "What an invoice that was sent asks for stays as it is. Cancel it, and send another."
    )
    made(jill.put(f"/Invoice/{sent['id']}", json={**sent, "status": "cancelled", "cancelledReason": "Wrong."}))
    made(jill.post("/Invoice", json=less))


NUMBER = {"identifier": {"system": f"{BASE}/Id/phb-account-number", "value": "PHB-2026-000417"}}


def test_an_invoice_names_its_budget_by_a_number_and_is_held_to_the_same_rules(jill: httpx.Client) -> None:
    (why,) = said(jill.post("/Invoice", json=invoice(61, account=NUMBER)))
    assert why.startswith("Counselling, one hour costs £60.00; £61.00 is asked for.")
    sent = made(jill.post("/Invoice", json=invoice(account=NUMBER)))
    assert sent["account"] == {"reference": BUDGET, **NUMBER}  # it stays with it, whoever has the number later
    assert made(jill.put(f"/Invoice/{sent['id']}", json={**sent, "account": NUMBER}))["account"] == sent["account"]
    (why,) = said(jill.put(f"/Invoice/{sent['id']}", json={**sent, "status": "balanced"}))
    assert why == "Of the £60.00 for Counselling, one hour, £0.00 is paid."
    assert said(jill.put(f"/Invoice/{sent['id']}", json={**sent, "totalNet": {"value": 1.0, "currency": "GBP"}}))


@pytest.mark.parametrize(
    "account", [None, {"display": "Jill's budget"}, {"reference": "http://elsewhere.example/Account/1"}]
)
def test_an_invoice_for_what_a_budget_bought_names_that_budget(jill: httpx.Client, account: Any) -> None:
    stray = invoice(6_000, account=account) if account else {k: v for k, v in invoice(6_000).items() if k != "account"}
    why = f"{COUNSELLING} is a purchase of {BUDGET}: the invoice names the budget that is to pay."
    assert said(jill.post("/Invoice", json=stray)) == [why]
    made(jill.post("/Invoice", json=stray | {"status": "draft"}))
    elsewhere = made(jill.post("/ChargeItem", json=plain_charge()))
    stray["lineItem"] = [{"chargeItemReference": {"reference": f"ChargeItem/{elsewhere['id']}"}}]
    made(jill.post("/Invoice", json=stray))


def test_a_number_that_two_accounts_have_says_nobodys_money(jill: httpx.Client) -> None:
    other = {"resourceType": "Account", "status": "active", "identifier": [NUMBER["identifier"]]}
    other = made(jill.post("/Account", json=other))  # a hospital's
    why = "2 accounts have the number PHB-2026-000417, and it cannot be told which of them is meant. Name the budget by its address."
    assert said(jill.post("/Invoice", json=invoice(account=NUMBER))) == [why]
    assert said(jill.post("/ChargeItem", json=massage(account=[NUMBER]))) == [why]
    assert said(jill.post("/ChargeItem/$check-purchase", json=massage(account=[NUMBER]))) == [why]
    charge = made(jill.post("/ChargeItem", json=massage(account=[{"reference": BUDGET, **NUMBER}])))
    taken = {**charge, "account": [NUMBER], "status": "entered-in-error"}
    made(jill.put(f"/ChargeItem/{charge['id']}", json=charge))
    assert jill.put(f"/ChargeItem/{charge['id']}", json=taken).status_code == 422  # it stays with its budget
    assert jill.delete(f"/Account/{other['id']}").is_success
    made(jill.post("/Invoice", json=invoice(account=NUMBER)))


@pytest.mark.parametrize("outcome", ["queued", "complete"])
@pytest.mark.parametrize("status", ["entered-in-error", "cancelled"])
def test_nothing_is_paid_twice_by_way_of_an_invoice_that_is_taken_back(
    jill: httpx.Client, outcome: str, status: str
) -> None:
    with_receipt(jill, COUNSELLING)
    sent = made(jill.post("/Invoice", json=invoice()))
    key = f"Invoice/{sent['id']}"
    whole = payment("PAY-1", line(60, key), issuer=NORTH, payee=STILLWATER, outcome=outcome)
    if outcome == "complete" and status == "cancelled":
        whole["outcome"] = "queued"  # what is balanced is not cancelled
    paid = made(jill.post("/PaymentReconciliation", json=whole))
    stood = made(jill.get(f"/{key}"))
    back = {**stood, "status": status, "cancelledReason": "Wrong."}
    less = {name: one for name, one in invoice(1).items() if name in ("lineItem", "totalNet", "totalGross")}
    stays = "What an invoice that was sent asks for stays as it is. Cancel it, and send another."
    assert said(jill.put(f"/{key}", json={**back, **less})) == [stays]
    made(jill.put(f"/{key}", json=back))
    assert said(jill.put(f"/{key}", json={**back, **less})) == [stays]
    assert said(jill.delete(f"/{key}")) == ["PAY-1 pays this invoice, and its lines tell what for: it is kept."]
    again = payment("PAY-2", line(60, COUNSELLING), issuer=NORTH, payee=STILLWATER, outcome="complete")
    (why,) = said(jill.post("/PaymentReconciliation", json=again))
    assert why.endswith("costs £60.00, and £60.00 of it is paid already or on its way.")
    stored = made(jill.get(f"/PaymentReconciliation/{paid['id']}"))
    made(jill.put(f"/PaymentReconciliation/{paid['id']}", json={**stored, "status": "entered-in-error"}))
    assert jill.delete(f"/{key}").status_code == 204
    made(jill.post("/PaymentReconciliation", json=again))


def test_a_purchase_is_invoiced_once(jill: httpx.Client) -> None:
    first = made(jill.post("/Invoice", json=invoice()))
    assert said(jill.post("/Invoice", json=invoice())) == [
        "Counselling, one hour costs £60.00, and £60.00 of it is invoiced already; £60.00 is asked for."
    ]
    cancelled = {**first, "status": "cancelled", "cancelledReason": "Sent twice."}
    made(jill.put(f"/Invoice/{first['id']}", json=cancelled))
    made(jill.post("/Invoice", json=invoice()))

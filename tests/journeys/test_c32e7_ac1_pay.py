"""C32E7 AC1: a payment is made, and recorded against the budget: for purchases."""

from __future__ import annotations

import copy

import httpx
import pytest

from tests.builders import bundle, entry
from tests.journeys.jills_payments import (
    BED,
    BUDGET,
    COUNSELLING,
    DAILY,
    MOBILITY,
    STILLWATER,
    THERAPY,
    counselling,
    invoice,
    pay,
    plain_charge,
    update,
    with_receipt,
)
from tests.paying import WILLOW, Books, advance, evidence, line, made, payment, said
from tests.stories import massage, tell

# ---- purchases -----------------------------------------------------------------------------------


def test_a_payment_of_a_purchase_is_queued_and_once_complete_the_purchase_is_billed(
    jill: httpx.Client, books: Books
) -> None:
    with_receipt(jill, COUNSELLING)
    before = books.pot(BUDGET, THERAPY)
    queued = pay(jill, counselling())
    assert made(jill.get(f"/{COUNSELLING}"))["status"] == "billable"
    assert books.pot(BUDGET, THERAPY) == before

    assert update(jill, queued, outcome="complete").status_code == 200
    assert made(jill.get(f"/{COUNSELLING}"))["status"] == "billed"
    after = books.pot(BUDGET, THERAPY)
    assert (after["committed"] - before["committed"], after["spent"] - before["spent"]) == (-6000, 6000)
    found = jill.get("/PaymentReconciliation", params={"purchase": COUNSELLING}).json()["entry"]
    assert [one["resource"]["id"] for one in found] == [queued["id"]]
    assert books.agrees()


def test_a_payment_that_is_complete_at_once_spends_its_purchase_once(jill: httpx.Client, books: Books) -> None:
    with_receipt(jill, COUNSELLING)
    before = books.pot(BUDGET, THERAPY)
    pay(jill, counselling(outcome="complete"))
    assert books.pot(BUDGET, THERAPY)["spent"] - before["spent"] == 6000
    assert [kind for _, _, kind, _ in books.about(COUNSELLING)] == ["commitment", "release", "spend"]


def test_a_purchase_and_its_payment_in_one_transaction_spend_it_once(jill: httpx.Client, books: Books) -> None:
    document = made(jill.post("/DocumentReference", json=evidence("Patient/jill")))
    charge = copy.deepcopy(made(jill.get(f"/{COUNSELLING}")))
    charge |= {
        "id": "another",
        "identifier": [{**charge["identifier"][0], "value": "PUR-NEW"}],
        "supportingInformation": [{"reference": f"DocumentReference/{document['id']}"}],
    }
    paid = payment("PAY-1", line(60, "ChargeItem/another"), payee=STILLWATER, outcome="complete")
    before = books.pot(BUDGET, THERAPY)
    whole = bundle(
        "transaction", entry("PUT", "ChargeItem/another", charge), entry("POST", "PaymentReconciliation", paid)
    )
    assert jill.post("", json=whole).status_code == 200
    assert made(jill.get("/ChargeItem/another"))["status"] == "billed"
    after = books.pot(BUDGET, THERAPY)
    assert (after["committed"], after["spent"]) == (before["committed"], before["spent"] + 6000)
    assert books.agrees()


def test_nobody_is_paid_for_what_has_no_evidence_and_with_it_they_are(jill: httpx.Client) -> None:
    (why,) = said(jill.post("/PaymentReconciliation", json=counselling()))
    assert why.startswith("Counselling, one hour cannot be paid yet. A purchase that is billed has a receipt")
    with_receipt(jill, COUNSELLING)
    pay(jill, counselling())


def test_a_line_that_comes_later_needs_its_receipt_as_well(jill: httpx.Client) -> None:
    with_receipt(jill, COUNSELLING)
    queued = pay(jill, counselling(amount=40))
    other = made(jill.post("/ChargeItem", json=massage("PUR-9", performingOrganization={"reference": STILLWATER})))
    lines = [line(40, COUNSELLING), line(45, f"ChargeItem/{other['id']}")]
    more = {"detail": lines, "paymentAmount": {"value": 85.0, "currency": "GBP"}}
    (why,) = said(update(jill, queued, **more))
    assert why.startswith("Massage therapy, one hour cannot be paid yet. A purchase that is billed has a receipt")
    with_receipt(jill, f"ChargeItem/{other['id']}")
    made(update(jill, queued, **more))


@pytest.mark.parametrize("outcome", ["complete", "error"])
def test_what_the_bank_did_is_recorded_though_a_receipt_was_lost_since(
    jill: httpx.Client, books: Books, outcome: str
) -> None:
    with_receipt(jill, COUNSELLING)
    queued = pay(jill, counselling())
    (receipt,) = (one["reference"] for one in made(jill.get(f"/{COUNSELLING}"))["supportingInformation"])
    lost = made(jill.get(f"/{receipt}")) | {"status": "entered-in-error"}
    made(jill.put(f"/{receipt}", json=lost))
    made(update(jill, queued, outcome=outcome))
    charge = made(jill.get(f"/{COUNSELLING}"))
    assert charge["status"] == "billable"
    said_of = {
        "complete": "PAY-1 paid this, and it is not billed yet: A purchase that is billed has a receipt",
        "error": "The payment PAY-1 of £60.00 failed. It is still to be paid.",
    }
    assert charge["note"][-1]["text"].startswith(said_of[outcome])
    assert books.pot(BUDGET, THERAPY)["committed"] == 6_000
    assert said(jill.post("/PaymentReconciliation", json=counselling("PAY-2")))
    with_receipt(jill, COUNSELLING)
    if outcome == "complete":
        made(jill.put(f"/{COUNSELLING}", json=made(jill.get(f"/{COUNSELLING}")) | {"status": "billed"}))
        assert books.pot(BUDGET, THERAPY)["committed"] == 0
    else:
        pay(jill, counselling("PAY-2", outcome="complete"))
    assert books.agrees()


def test_several_purchases_are_paid_at_once(jill: httpx.Client) -> None:
    with_receipt(jill, COUNSELLING)
    more = copy.deepcopy(made(jill.get(f"/{COUNSELLING}")))
    more["identifier"][0]["value"] = "PUR-2"
    del more["id"]
    second = made(jill.post("/ChargeItem", json=more))
    pay(
        jill,
        payment(
            "PAY-1",
            line(60, COUNSELLING),
            line(60, f"ChargeItem/{second['id']}"),
            payee=STILLWATER,
            outcome="complete",
        ),
    )
    assert made(jill.get(f"/ChargeItem/{second['id']}"))["status"] == "billed"
    assert made(jill.get(f"/{COUNSELLING}"))["status"] == "billed"


def test_more_than_the_price_is_refused_and_the_price_in_two_payments_is_not(jill: httpx.Client) -> None:
    with_receipt(jill, COUNSELLING)
    assert said(jill.post("/PaymentReconciliation", json=counselling(amount=60.01))) == [
        "Counselling, one hour costs £60.00."
    ]
    first = pay(jill, counselling(amount=40, outcome="complete"))
    assert made(jill.get(f"/{COUNSELLING}"))["status"] == "billable"
    assert said(jill.post("/PaymentReconciliation", json=counselling("PAY-2", 20.01))) == [
        "Counselling, one hour costs £60.00, and £40.00 of it is paid already or on its way."
    ]
    pay(jill, counselling("PAY-2", 20, outcome="complete"))
    assert made(jill.get(f"/{COUNSELLING}"))["status"] == "billed"
    assert first["outcome"] == "complete"


def test_a_payment_on_its_way_counts_and_one_that_failed_does_not(jill: httpx.Client) -> None:
    with_receipt(jill, COUNSELLING)
    queued = pay(jill, counselling())
    assert len(said(jill.post("/PaymentReconciliation", json=counselling("PAY-2")))) == 1
    failed = {"processNote": [{"type": "display", "text": "The bank says RJCT: AC01."}], "outcome": "error"}
    assert update(jill, queued, **failed).status_code == 200
    charge = made(jill.get(f"/{COUNSELLING}"))
    assert charge["status"] == "billable"
    assert [one["text"] for one in charge["note"]] == [
        "The payment PAY-1 of £60.00 failed (The bank says RJCT: AC01). It is still to be paid."
    ]
    pay(jill, counselling("PAY-2"))


def test_the_same_payment_posted_again_is_the_first_and_another_under_its_identifier_is_refused(
    jill: httpx.Client, books: Books
) -> None:
    first = pay(jill, advance("PAY-1", 100))
    paid_out = books.pot(BUDGET, DAILY)["advanced"]
    again = jill.post("/PaymentReconciliation", json=advance("PAY-1", 100))
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    assert books.pot(BUDGET, DAILY)["advanced"] == paid_out
    (why,) = said(jill.post("/PaymentReconciliation", json=advance("PAY-1", 101)))
    assert why == (
        f"The payment PAY-1 is recorded already, as PaymentReconciliation/{first['id']}. Give another payment an identifier of its own."
    )


def test_a_draft_does_not_become_a_payment_under_anothers_identifier(jill: httpx.Client) -> None:
    first = pay(jill, advance("PAY-1", 100))
    draft = pay(jill, advance("PAY-2", 100) | {"status": "draft"})
    names = {"paymentIdentifier": first["paymentIdentifier"]}
    (why,) = said(update(jill, draft, status="active", **names))
    assert "is recorded already" in why
    assert update(jill, draft, status="active").status_code == 200


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"payee": MOBILITY}, "Counselling, one hour is owed to Organization/stillwater-counselling, not to"),
        ({"issuer": WILLOW}, "Organization/willow-tree-budgets does not hold this money; it is paid by"),
    ],
)
def test_a_payment_by_or_to_somebody_else_is_refused(jill: httpx.Client, changes: dict[str, str], why: str) -> None:
    with_receipt(jill, COUNSELLING)
    (reason,) = said(jill.post("/PaymentReconciliation", json=counselling(**changes)))
    assert reason.startswith(why)


def test_a_payment_has_one_payee(jill: httpx.Client) -> None:
    with_receipt(jill, COUNSELLING)
    to_another = {**line(60, COUNSELLING), "payee": {"reference": MOBILITY}}
    (why,) = said(jill.post("/PaymentReconciliation", json=payment("PAY-1", to_another, payee=STILLWATER)))
    assert why == f"This line is paid to {MOBILITY}, and the payment to {STILLWATER}: a payment has one payee."


def test_an_advance_is_paid_to_whoever_holds_its_part(jill: httpx.Client) -> None:
    (why,) = said(jill.post("/PaymentReconciliation", json=advance("PAY-1", 10, payee=MOBILITY)))
    assert why.endswith(" is paid to Patient/jill, who holds it or receives it for them.")


def test_an_invoice_that_was_not_sent_is_not_paid(jill: httpx.Client) -> None:
    with_receipt(jill, COUNSELLING)
    key = f"Invoice/{made(jill.post('/Invoice', json=invoice(status='draft')))['id']}"
    asked = payment("PAY-1", line(60, key), payee=STILLWATER)
    assert f"{key} is draft; one that is issued is paid." in said(jill.post("/PaymentReconciliation", json=asked))


def test_what_is_not_agreed_not_there_or_another_budgets_is_not_paid(jill: httpx.Client) -> None:
    tell(jill, name="tom")
    planned = made(jill.get("/ChargeItem/jill-gardening-tools"))
    for request, why in (
        ("ChargeItem/jill-gardening-tools", f"{planned['code']['text']} is planned. What is approved"),
        ("ChargeItem/tom-profiling-bed", "Profiling bed is not paid from this budget, but from Account/tom-budget."),
    ):
        reasons = said(jill.post("/PaymentReconciliation", json=payment("PAY-1", line(1, request), payee=MOBILITY)))
        assert any(reason.startswith(why) for reason in reasons), reasons
    there_is_none = payment("PAY-1", line(1, "ChargeItem/nothing"), payee=MOBILITY)
    assert said(jill.post("/PaymentReconciliation", json=there_is_none)) == ["There is no ChargeItem/nothing."]


def test_a_payment_from_an_account_that_is_not_there_is_refused(jill: httpx.Client) -> None:
    nowhere = advance("PAY-1", 500, account="Account/nowhere")
    assert said(jill.post("/PaymentReconciliation", json=nowhere)) == ["There is no Account/nowhere."]
    made(jill.post("/PaymentReconciliation", json=nowhere | {"status": "draft"}))


@pytest.mark.parametrize(
    "account", ["http://elsewhere.example/fhir/Account/1", "urn:uuid:6f1f4b1e-5d5a-4c0e-9d7b-000000000001"]
)
def test_a_payment_from_a_budget_elsewhere_is_none_of_ours_and_refused(jill: httpx.Client, account: str) -> None:
    why = "The payment is made from no budget that is here. Name the budget by its address (Account/…)."
    assert said(jill.post("/PaymentReconciliation", json=advance("PAY-1", 500, account=account))) == [why]
    made(jill.post("/PaymentReconciliation", json=advance("PAY-1", 500, account=account) | {"status": "draft"}))


def test_a_payment_that_names_no_budget_pays_for_nothing_that_one_bought(jill: httpx.Client) -> None:
    with_receipt(jill, COUNSELLING)
    plain = {name: value for name, value in counselling().items() if name not in ("extension", "paymentIdentifier")}
    why = f"{COUNSELLING} is a purchase of {BUDGET}: say from which budget this pays for it (phb-account)."
    assert said(jill.post("/PaymentReconciliation", json=plain)) == [why]
    elsewhere = made(jill.post("/ChargeItem", json=plain_charge()))
    made(jill.post("/PaymentReconciliation", json=plain | {"detail": [line(60, f"ChargeItem/{elsewhere['id']}")]}))
    pay(jill, counselling())


def test_what_is_paid_on_a_day_to_come_is_queued_until_then(jill: httpx.Client) -> None:
    ahead = advance("PAY-1", 500, paymentDate="2026-11-23", outcome="complete")
    why = "23 November 2026 is still to come: a payment that is to be made then is queued until it is."
    assert said(jill.post("/PaymentReconciliation", json=ahead)) == [why]
    queued = pay(jill, ahead | {"outcome": "queued"})
    assert said(update(jill, queued, outcome="complete")) == [why]
    made(update(jill, queued, outcome="complete", paymentDate="2026-11-22"))


@pytest.mark.parametrize("outcome", ["queued", "complete"])
def test_a_payment_for_nothing_is_none_and_a_draft_may_have_no_lines_yet(jill: httpx.Client, outcome: str) -> None:
    nothing = {name: value for name, value in counselling(outcome=outcome).items() if name != "detail"}
    (reason,) = said(jill.post("/PaymentReconciliation", json=nothing))
    assert reason.startswith("Say what this payment pays: ")
    draft = made(jill.post("/PaymentReconciliation", json=nothing | {"status": "draft"}))
    url = f"/PaymentReconciliation/{draft['id']}"
    assert said(jill.put(url, json=draft | {"status": "active"})) == [reason]


def test_a_purchase_whose_payment_is_on_its_way_is_not_taken_back_meanwhile(jill: httpx.Client) -> None:
    with_receipt(jill, COUNSELLING)
    queued = pay(jill, counselling())
    charge = made(jill.get(f"/{COUNSELLING}"))
    taken = {**charge, "status": "entered-in-error"}
    assert said(jill.put(f"/{COUNSELLING}", json=taken)) == [
        "The payment PAY-1 for this is on its way. Cancel it first, or wait for what comes of it."
    ]
    assert update(jill, queued, status="cancelled").status_code == 200
    assert jill.put(f"/{COUNSELLING}", json=taken).status_code == 200


def test_a_purchase_that_was_paid_does_not_become_cheaper_than_that(jill: httpx.Client) -> None:
    bed = made(jill.get(f"/{BED}"))
    cheaper = {**bed, "priceOverride": {"value": 1800.0, "currency": "GBP"}}
    assert said(jill.put(f"/{BED}", json=cheaper)) == [
        "£1,850.00 is paid for this or on its way, so it cannot cost £1,800.00. Record what comes back as a refund."
    ]


# ---- what was made stays as it was made ----------------------------------------------------------


def test_a_payment_that_was_made_is_not_changed_but_taken_back(jill: httpx.Client, books: Books) -> None:
    before = books.pot(BUDGET, DAILY)["advanced"]
    stored = pay(jill, advance("PAY-1", 100, outcome="complete"))
    changed = advance("PAY-1", 90, outcome="complete")
    (why,) = said(update(jill, stored, paymentAmount=changed["paymentAmount"], detail=changed["detail"]))
    assert why.startswith("This payment was made, and stays as it is.")
    assert said(update(jill, stored, outcome="queued")) == [
        "A payment that is complete cannot become queued; it can become nothing else."
    ]
    assert said(jill.delete(f"/PaymentReconciliation/{stored['id']}"))
    assert update(jill, stored, status="entered-in-error").status_code == 200
    assert books.pot(BUDGET, DAILY)["advanced"] == before
    assert [kind for _, _, kind, _ in books.about(f"PaymentReconciliation/{stored['id']}")] == ["advance", "reversal"]


def test_a_part_that_came_through_counts_and_the_rest_does_not(jill: httpx.Client, books: Books) -> None:
    before = books.pot(BUDGET, DAILY)["advanced"]
    stored = pay(jill, advance("PAY-1", 100))
    part = advance("PAY-1", 40)
    assert (
        update(jill, stored, outcome="partial", paymentAmount=part["paymentAmount"], detail=part["detail"]).status_code
        == 200
    )
    assert books.pot(BUDGET, DAILY)["advanced"] - before == 4000


@pytest.mark.parametrize("outcome", ["queued", "complete"])
def test_who_was_paid_for_a_purchase_stays_who_provided_it_until_the_payment_is_taken_back(
    jill: httpx.Client, outcome: str
) -> None:
    with_receipt(jill, COUNSELLING)
    paid = pay(jill, counselling(outcome=outcome))
    another = {"performingOrganization": {"reference": "Organization/riverbank-therapies"}}
    charge = made(jill.get(f"/{COUNSELLING}"))
    assert said(jill.put(f"/{COUNSELLING}", json=charge | another)) == [
        "PAY-1 pays Organization/stillwater-counselling for this, so it stays provided by them. Where somebody else was owed, take the payment back first."
    ]
    assert update(jill, paid, status="cancelled").status_code == 200
    assert jill.put(f"/{COUNSELLING}", json=made(jill.get(f"/{COUNSELLING}")) | another).status_code == 200


def test_two_payments_for_one_purchase_that_fail_together_are_both_told_on_it(jill: httpx.Client) -> None:
    with_receipt(jill, COUNSELLING)
    two = [pay(jill, counselling(name, 30)) for name in ("PAY-1", "PAY-2")]
    failed = [
        entry(
            "PUT",
            f"PaymentReconciliation/{one['id']}",
            {**made(jill.get(f"/PaymentReconciliation/{one['id']}")), "outcome": "error"},
        )
        for one in two
    ]
    answer = jill.post("", json=bundle("transaction", *failed))
    assert answer.status_code == 200, answer.text
    assert sorted(one["text"] for one in made(jill.get(f"/{COUNSELLING}"))["note"]) == [
        f"The payment {name} of £30.00 failed. It is still to be paid." for name in ("PAY-1", "PAY-2")
    ]

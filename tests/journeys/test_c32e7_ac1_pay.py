"""C32E7 AC1: a payment is made, and recorded against the budget: for purchases, for invoices, in advance, and back again."""

from __future__ import annotations

import copy
from typing import Any

import httpx
import pytest

from tests.builders import NHS_NUMBER, bundle, entry
from tests.paying import BASE, DOCUMENTS, NORTH, WILLOW, Books, advance, evidence, line, made, payment, said
from tests.running import RunningServer
from tests.stories import massage, tell

COUNSELLING = "ChargeItem/jill-counselling-2026-11-26"  # £60.00, billable, of the part that the NHS holds
NIGHTS = "ChargeItem/jill-overnight-2026-11"  # billable, of the part that Willow Tree holds
MASSAGE = "ChargeItem/jill-massage-2026-10-09"  # £45.00, billed, of the part that Jill holds
BED = "ChargeItem/jill-profiling-bed"  # £1850.00, billed and paid
STILLWATER = "Organization/stillwater-counselling"
MOBILITY = "Organization/harbour-mobility"
LANTERN = "Organization/lantern-home-care"
BUDGET = "Account/jill-budget"
THERAPY, DAILY, NURSING = "therapy-and-equipment", "daily-life", "nights-and-payroll"


def pay(api: httpx.Client, resource: dict[str, Any]) -> dict[str, Any]:
    return made(api.post("/PaymentReconciliation", json=resource))


def update(api: httpx.Client, stored: dict[str, Any], **changes: Any) -> httpx.Response:
    return api.put(f"/PaymentReconciliation/{stored['id']}", json={**stored, **changes})


def with_receipt(api: httpx.Client, charge: str) -> None:
    document = made(api.post("/DocumentReference", json=evidence("Patient/jill", name="invoice")))
    found = made(api.get(f"/{charge}"))
    found["supportingInformation"] = [{"reference": f"DocumentReference/{document['id']}"}]
    made(api.put(f"/{charge}", json=found))


def counselling(reference: str = "PAY-1", amount: float = 60, **more: Any) -> dict[str, Any]:
    return payment(reference, line(amount, COUNSELLING), **{"payee": STILLWATER} | more)


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


def plain_charge() -> dict[str, Any]:
    """A charge that has to do with no budget."""
    code = {"text": "Parking"}
    return {"resourceType": "ChargeItem", "status": "billable", "code": code, "subject": {"reference": "Patient/jill"}}


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


# ---- advances ------------------------------------------------------------------------------------


def test_an_advance_is_counted_from_when_it_is_queued_until_it_fails(jill: httpx.Client, books: Books) -> None:
    before = books.pot(BUDGET, DAILY)
    queued = pay(jill, advance("PAY-1", 1525))
    after = books.pot(BUDGET, DAILY)
    assert after["advanced"] - before["advanced"] == 152_500
    assert {**after, "advanced": 0} == {**before, "advanced": 0}
    assert update(jill, queued, outcome="error").status_code == 200
    assert books.pot(BUDGET, DAILY) == before


def test_never_more_is_advanced_than_the_part_has_and_all_of_it_may_be(jill: httpx.Client, books: Books) -> None:
    pot = books.pot(BUDGET, DAILY)
    left = (pot["allocated"] - pot["advanced"]) / 100
    (why,) = said(jill.post("/PaymentReconciliation", json=advance("PAY-1", left + 0.01)))
    assert why == (
        "The part 'daily-life' has £18,300.00, and £3,050.00 of it is paid out already: £15,250.01 more is too much."
    )
    pay(jill, advance("PAY-1", left))
    assert books.pot(BUDGET, DAILY)["advanced"] == pot["allocated"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"part": THERAPY}, "The part 'therapy-and-equipment' is notional: the NHS holds it"),
        ({"part": "nothing"}, "Say for which part of this budget the advance is; it has daily-life"),
        ({"payee": "RelatedPerson/ruth-harper"}, "The part 'daily-life' is paid to Patient/jill"),
        ({"issuer": WILLOW}, "Organization/willow-tree-budgets does not hold this money"),
    ],
)
def test_an_advance_goes_to_whoever_holds_a_part_that_is_paid_out(
    jill: httpx.Client, changes: dict[str, str], why: str
) -> None:
    (reason,) = said(jill.post("/PaymentReconciliation", json=advance("PAY-1", 10, **changes)))
    assert reason.startswith(why)


def test_money_that_a_third_party_returns_is_taken_off_what_was_paid_out(jill: httpx.Client, books: Books) -> None:
    before = books.pot(BUDGET, NURSING)["advanced"]
    back = payment("BACK-1", line(50, kind="advance"), issuer=WILLOW, payee=NORTH, part=NURSING, outcome="complete")
    stored = pay(jill, back)
    assert books.about(f"PaymentReconciliation/{stored['id']}") == [(BUDGET, NURSING, "advance-returned", -5000)]
    assert before - books.pot(BUDGET, NURSING)["advanced"] == 5000
    too_much = payment(
        "BACK-2", line(701, kind="advance"), issuer=WILLOW, payee=NORTH, part=NURSING, outcome="complete"
    )
    assert said(jill.post("/PaymentReconciliation", json=too_much)) == [
        "£700.00 was paid out for the part 'nights-and-payroll', so £701.00 cannot come back."
    ]


STRANGER = "Organization/stillwater-counselling"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, f"{STRANGER} does not hold this money; it is paid by {NORTH}, and comes back to them."),
        (
            {"payee": NORTH, "part": NURSING},
            f"{STRANGER} does not hold this money; it comes back from {WILLOW}.",
        ),
    ],
    ids=["to the person", "for a third party"],
)
def test_an_advance_from_somebody_who_was_paid_none_is_not_money_that_comes_back(
    jill: httpx.Client, changes: dict[str, str], why: str
) -> None:
    strange = advance("PAY-1", 50, **{"issuer": STRANGER, "outcome": "complete"} | changes)
    assert said(jill.post("/PaymentReconciliation", json=strange)) == [why]


def test_whoever_holds_a_part_pays_from_it_and_when_the_nhs_does_that_is_paid_out_as_well(
    jill: httpx.Client, books: Books
) -> None:
    with_receipt(jill, NIGHTS)
    price = made(jill.get(f"/{NIGHTS}"))["priceOverride"]["value"]
    before = books.pot(BUDGET, NURSING)["advanced"]
    theirs = pay(jill, payment("W-1", line(price, NIGHTS), issuer=WILLOW, payee=LANTERN))
    assert books.pot(BUDGET, NURSING)["advanced"] == before
    assert update(jill, theirs, status="cancelled").status_code == 200
    pay(jill, payment("N-1", line(price, NIGHTS), payee=LANTERN, outcome="complete"))
    assert books.pot(BUDGET, NURSING)["advanced"] - before == round(price * 100)
    assert books.agrees()


def test_what_somebody_paid_already_is_paid_back_to_them_and_not_to_the_provider_again(
    jill: httpx.Client, books: Books
) -> None:
    riverbank = "Organization/riverbank-therapies"
    again = jill.post("/PaymentReconciliation", json=payment("PAY-1", line(45, MASSAGE), payee=riverbank))
    assert said(again) == [
        "Massage therapy, one hour is owed to Patient/jill, not to Organization/riverbank-therapies."
    ]
    pay(jill, payment("PAY-1", line(45, MASSAGE), payee="Patient/jill"))
    billed(jill, NIGHTS, "third-party")
    price = made(jill.get(f"/{NIGHTS}"))["priceOverride"]["value"]
    (why,) = said(jill.post("/PaymentReconciliation", json=payment("N-1", line(price, NIGHTS), payee=LANTERN)))
    assert why == f"Overnight care, two nights is owed to {WILLOW}, not to {LANTERN}."
    told = payment("W-1", line(price, NIGHTS), issuer=WILLOW, payee=LANTERN, outcome="complete")
    pay(jill, told)  # what Willow Tree paid is recorded
    assert books.agrees()


# ---- refunds -------------------------------------------------------------------------------------


def test_what_comes_back_of_a_purchase_is_there_to_be_spent_again_and_never_more_than_was_spent(
    jill: httpx.Client, books: Books
) -> None:
    before = books.pot(BUDGET, THERAPY)
    back = payment("BACK-1", line(50, BED, "adjustment"), issuer=MOBILITY, payee=NORTH, outcome="complete")
    pay(jill, back)
    assert before["spent"] - books.pot(BUDGET, THERAPY)["spent"] == 5000
    assert books.about(BED)[-1] == (BUDGET, THERAPY, "refund", -5000)
    too_much = payment("BACK-2", line(1800.01, BED, "adjustment"), issuer=MOBILITY, payee=NORTH, outcome="complete")
    assert said(jill.post("/PaymentReconciliation", json=too_much)) == [
        "£1,800.00 is spent on Profiling bed, so no more can come back."
    ]


def billed(jill: httpx.Client, key: str, by: str) -> float:
    """The price of a purchase that was paid by the NHS team or a third party, without a payment that is recorded here."""
    with_receipt(jill, key)
    charge = made(jill.get(f"/{key}"))
    rest = [one for one in charge["extension"] if not one["url"].endswith("phb-paid-by")]
    paid = {"url": f"{BASE}/StructureDefinition/phb-paid-by", "valueCode": by}
    made(jill.put(f"/{key}", json={**charge, "status": "billed", "extension": [*rest, paid]}))
    price: float = charge["priceOverride"]["value"]
    return price


def refund(reference: str, amount: float, key: str, issuer: str, payee: str = NORTH) -> dict[str, Any]:
    return payment(reference, line(amount, key, "adjustment"), issuer=issuer, payee=payee, outcome="complete")


def test_what_comes_back_comes_back_to_where_it_was_paid_from(jill: httpx.Client, books: Books) -> None:
    """Counselling is paid by the NHS, nights from the part that Willow Tree holds; Jill holds another."""
    with_receipt(jill, COUNSELLING)
    pay(jill, counselling("PAY-1", outcome="complete"))
    billed(jill, NIGHTS, "third-party")
    before = books.pot(BUDGET, THERAPY), books.pot(BUDGET, NURSING)
    for key, issuer, who in ((COUNSELLING, STILLWATER, NORTH), (NIGHTS, LANTERN, f"{NORTH}, {WILLOW}")):
        (why,) = said(jill.post("/PaymentReconciliation", json=refund("BACK-1", 10, key, issuer, "Patient/jill")))
        assert why.endswith(f" was paid by {who}, so what comes back of it comes back to them, not to Patient/jill.")
    assert (books.pot(BUDGET, THERAPY), books.pot(BUDGET, NURSING)) == before
    pay(jill, refund("BACK-1", 10, COUNSELLING, STILLWATER))
    pay(jill, refund("BACK-2", 10, NIGHTS, LANTERN, WILLOW))
    pay(jill, refund("BACK-3", 10, MASSAGE, "Organization/riverbank-therapies", "Patient/jill"))
    assert books.agrees()


def returned(jill: httpx.Client, amount: float) -> None:
    """Willow Tree gives back what was advanced to it."""
    back = payment("RETURN", line(amount, kind="advance"), issuer=WILLOW, payee=NORTH, part=NURSING, outcome="complete")
    pay(jill, back)


def test_what_comes_back_for_a_part_of_which_nothing_is_paid_out_is_taken(jill: httpx.Client, books: Books) -> None:
    returned(jill, books.pot(BUDGET, NURSING)["advanced"] / 100)
    price = billed(jill, NIGHTS, "third-party")
    before = books.pot(BUDGET, NURSING)
    assert before["advanced"] == 0
    stored = pay(jill, refund("BACK-1", 30, NIGHTS, LANTERN))
    after = books.pot(BUDGET, NURSING)
    assert (before["spent"] - after["spent"], after["advanced"]) == (3000, 0)
    again = pay(jill, refund("BACK-2", price - 30, NIGHTS, LANTERN))
    assert books.pot(BUDGET, NURSING)["spent"] == before["spent"] - round(price * 100)
    # what is advanced later is not touched by a note on what came back before
    pay(jill, advance("PAY-9", 100, payee=WILLOW, part=NURSING))
    assert update(jill, stored, processNote=[{"type": "display", "text": "By cheque."}]).status_code == 200
    assert books.pot(BUDGET, NURSING)["advanced"] == 10_000
    assert update(jill, again, status="entered-in-error").status_code == 200
    assert books.pot(BUDGET, NURSING)["advanced"] == 10_000
    assert books.agrees()


def test_what_comes_back_is_taken_off_what_is_paid_out_as_far_as_anything_is(jill: httpx.Client, books: Books) -> None:
    returned(jill, books.pot(BUDGET, NURSING)["advanced"] / 100 - 20)
    billed(jill, NIGHTS, "third-party")
    stored = pay(jill, refund("BACK-1", 30, NIGHTS, LANTERN))
    assert books.pot(BUDGET, NURSING)["advanced"] == 0
    assert update(jill, stored, status="entered-in-error").status_code == 200
    assert books.pot(BUDGET, NURSING)["advanced"] == 2000
    assert books.agrees()


def beside(jill: httpx.Client, pounds: str = "100.00") -> str:
    """A purchase from the part that Jill holds, which the NHS paid without a payment that is here."""
    charge = massage(
        "PUR-BESIDE", pounds=pounds, status="billed", supportingInformation=[{"reference": DOCUMENTS["jill"]}]
    )
    charge["extension"].append({"url": f"{BASE}/StructureDefinition/phb-paid-by", "valueCode": "nhs-team"})
    return f"ChargeItem/{made(jill.post('/ChargeItem', json=charge | {'performingOrganization': {'reference': STILLWATER}}))['id']}"


def noted(jill: httpx.Client, key: str, **more: Any) -> None:
    made(jill.put(f"/{key}", json={**made(jill.get(f"/{key}")), "note": [{"text": "Looked at."}], **more}))


def test_what_the_nhs_pays_beside_is_not_paid_in_advance_as_well(jill: httpx.Client, books: Books) -> None:
    before = books.pot(BUDGET, DAILY)
    key = beside(jill)
    after = books.pot(BUDGET, DAILY)
    assert (after["spent"] - before["spent"], after["advanced"] - before["advanced"]) == (10_000, 10_000)
    rest = (after["allocated"] - after["advanced"]) / 100
    (why,) = said(jill.post("/PaymentReconciliation", json=advance("ADV-1", rest + 0.01)))
    assert why.endswith("more is too much.")
    made(jill.put(f"/{key}", json={**made(jill.get(f"/{key}")), "status": "entered-in-error"}))
    assert books.pot(BUDGET, DAILY) == before
    assert books.agrees()


def test_what_the_nhs_paid_is_counted_once_whether_its_payment_is_recorded_or_not(
    jill: httpx.Client, books: Books
) -> None:
    before = books.pot(BUDGET, DAILY)["advanced"]
    key = beside(jill)

    def paid_out() -> int:
        noted(jill, key)
        assert books.agrees()
        return books.pot(BUDGET, DAILY)["advanced"] - before

    first = pay(jill, payment("PAY-1", line(40, key), payee=STILLWATER))
    assert paid_out() == 10_000
    made(update(jill, first, outcome="complete"))
    pay(jill, payment("PAY-2", line(60, key), payee=STILLWATER, outcome="complete"))
    assert paid_out() == 10_000
    made(update(jill, made(jill.get(f"/PaymentReconciliation/{first['id']}")), status="entered-in-error"))
    assert paid_out() == 10_000
    pay(jill, payment("PAY-3", line(40, key), payee=STILLWATER, outcome="complete"))
    assert paid_out() == 10_000
    pay(jill, refund("BACK-1", 100, key, STILLWATER))
    assert paid_out() == 0
    noted(jill, key, status="entered-in-error")
    assert books.pot(BUDGET, DAILY)["advanced"] == before


def test_a_payment_that_is_taken_back_is_told_on_its_purchase_which_stays_the_nhss_to_pay(
    jill: httpx.Client, books: Books
) -> None:
    with_receipt(jill, NIGHTS)
    price = made(jill.get(f"/{NIGHTS}"))["priceOverride"]["value"]
    charge = made(jill.get(f"/{NIGHTS}"))
    unsaid = [one for one in charge["extension"] if not one["url"].endswith("phb-paid-by")]
    made(jill.put(f"/{NIGHTS}", json={**charge, "extension": unsaid}))
    before = books.pot(BUDGET, NURSING)["advanced"]
    paid = pay(jill, payment("PAY-1", line(price, NIGHTS), payee=LANTERN, outcome="complete"))
    made(update(jill, paid, status="entered-in-error"))
    charge = made(jill.get(f"/{NIGHTS}"))
    said_ = charge["note"][-1]["text"]
    assert (charge["status"], said_) == (
        "billed",
        f"The payment PAY-1 of £{price:.2f} was taken back. It is still to be paid.",
    )
    assert books.pot(BUDGET, NURSING)["advanced"] - before == round(price * 100)
    noted(jill, NIGHTS)
    pay(jill, payment("PAY-2", line(price, NIGHTS), payee=LANTERN, outcome="complete"))
    assert books.pot(BUDGET, NURSING)["advanced"] - before == round(price * 100)
    assert books.agrees()


def test_what_the_nhs_paid_beside_and_gets_back_is_paid_out_no_more(jill: httpx.Client, books: Books) -> None:
    before = books.pot(BUDGET, NURSING)
    price = round(billed(jill, NIGHTS, "nhs-team") * 100)
    pay(jill, refund("BACK-1", 30, NIGHTS, LANTERN))
    after = books.pot(BUDGET, NURSING)
    assert (after["spent"] - before["spent"], after["advanced"] - before["advanced"]) == (price - 3000, price - 3000)
    noted(jill, NIGHTS, status="not-billable")
    after = books.pot(BUDGET, NURSING)
    assert (after["spent"], after["advanced"]) == (before["spent"], before["advanced"])
    noted(jill, NIGHTS, status="billed")
    after = books.pot(BUDGET, NURSING)
    assert (after["spent"] - before["spent"], after["advanced"] - before["advanced"]) == (price - 3000, price - 3000)
    assert books.agrees()


def test_what_was_paid_stays_paid_from_the_part_that_it_was_paid_from(jill: httpx.Client, books: Books) -> None:
    with_receipt(jill, COUNSELLING)
    paid = pay(jill, counselling("PAY-1"))
    moved = made(jill.get(f"/{COUNSELLING}"))
    next(one for one in moved["extension"] if one["url"].endswith("phb-element"))["valueId"] = DAILY
    assert said(jill.put(f"/{COUNSELLING}", json=moved)) == [
        f"PAY-1 pays this from the part '{THERAPY}', so it stays paid from there. Where that was wrong, take the payment back first."
    ]
    made(update(jill, paid, status="cancelled"))
    before = books.pot(BUDGET, DAILY)
    made(jill.put(f"/{COUNSELLING}", json=moved))
    assert books.pot(BUDGET, DAILY)["committed"] - before["committed"] == 6000
    assert books.agrees()


def test_what_is_taken_off_a_payment_was_not_paid_out(jill: httpx.Client, books: Books) -> None:
    with_receipt(jill, NIGHTS)
    price = made(jill.get(f"/{NIGHTS}"))["priceOverride"]["value"]
    before = books.pot(BUDGET, NURSING)
    lines = (line(price, NIGHTS), line(-30, NIGHTS, "adjustment"))
    stored = pay(jill, payment("N-1", *lines, payee=LANTERN, outcome="complete"))
    after = books.pot(BUDGET, NURSING)
    whole = round(price * 100) - 3000
    assert (after["spent"] - before["spent"], after["advanced"] - before["advanced"]) == (whole, whole)
    assert update(jill, stored, status="entered-in-error").status_code == 200
    assert books.pot(BUDGET, NURSING)["advanced"] == before["advanced"]
    assert books.agrees()


def test_a_refund_within_a_payment_and_its_undoing(jill: httpx.Client, books: Books) -> None:
    with_receipt(jill, COUNSELLING)
    before = books.pot(BUDGET, THERAPY)
    stored = pay(
        jill,
        payment(
            "PAY-1",
            line(60, COUNSELLING),
            line(-5, COUNSELLING, "adjustment"),
            payee=STILLWATER,
            outcome="complete",
        ),
    )
    assert books.pot(BUDGET, THERAPY)["spent"] - before["spent"] == 5500
    # a billed purchase that is written again is not spent again, with a refund beside it
    charge = made(jill.get(f"/{COUNSELLING}"))
    made(jill.put(f"/{COUNSELLING}", json={**charge, "note": [{"text": "She liked it."}]}))
    assert books.pot(BUDGET, THERAPY)["spent"] - before["spent"] == 5500
    assert update(jill, stored, status="entered-in-error").status_code == 200
    assert books.pot(BUDGET, THERAPY)["spent"] - before["spent"] == 6000
    made(jill.put(f"/{COUNSELLING}", json={**charge, "note": [{"text": "She liked it a lot."}]}))
    assert books.pot(BUDGET, THERAPY)["spent"] - before["spent"] == 6000
    assert books.agrees()


def test_a_purchase_that_is_taken_back_takes_its_refund_with_it_whichever_comes_first(
    jill: httpx.Client, books: Books
) -> None:
    price = round(billed(jill, NIGHTS, "third-party") * 100)
    back = pay(jill, refund("BACK-1", 50, NIGHTS, LANTERN, WILLOW))
    nights = made(jill.get(f"/{NIGHTS}"))
    spent = books.pot(BUDGET, NURSING)["spent"]
    made(jill.put(f"/{NIGHTS}", json={**nights, "status": "entered-in-error"}))
    assert spent - books.pot(BUDGET, NURSING)["spent"] == price - 5_000
    assert update(jill, back, status="entered-in-error").status_code == 200
    assert spent - books.pot(BUDGET, NURSING)["spent"] == price - 5_000
    assert sum(pence for *_, pence in books.about(NIGHTS)) == 0
    assert books.agrees()


OUT = (
    "The NHS paid £60.00 for this (PAY-1), which has not come back: it would be there to be spent again. Record the refund first; or where it was"
    " not paid, take the payment back as well (entered-in-error)."
)


@pytest.mark.parametrize("status", ["entered-in-error", "not-billable"])
def test_what_the_nhs_paid_is_not_there_to_be_spent_again_until_it_comes_back(
    jill: httpx.Client, books: Books, status: str
) -> None:
    with_receipt(jill, COUNSELLING)
    pay(jill, counselling("PAY-1", outcome="complete"))
    charge = made(jill.get(f"/{COUNSELLING}")) | {"status": status, "note": [{"text": "Nobody came."}]}
    spent = books.pot(BUDGET, THERAPY)["spent"]
    assert said(jill.put(f"/{COUNSELLING}", json=charge)) == [OUT]
    pay(jill, refund("BACK-1", 20, COUNSELLING, STILLWATER))
    assert said(jill.put(f"/{COUNSELLING}", json=charge)) == [OUT.replace("60", "40")]
    pay(jill, refund("BACK-2", 40, COUNSELLING, STILLWATER))
    made(jill.put(f"/{COUNSELLING}", json=charge))
    assert books.pot(BUDGET, THERAPY)["spent"] == spent - 6_000
    assert books.agrees()


def test_a_purchase_and_its_payment_that_never_were_are_taken_back_together(jill: httpx.Client, books: Books) -> None:
    with_receipt(jill, COUNSELLING)
    paid = pay(jill, counselling("PAY-1", outcome="complete"))
    charge = made(jill.get(f"/{COUNSELLING}")) | {"status": "entered-in-error"}
    both = [
        entry("PUT", COUNSELLING, charge),
        entry("PUT", f"PaymentReconciliation/{paid['id']}", {**paid, "status": "entered-in-error"}),
    ]
    made(jill.post("", json=bundle("transaction", *both)))
    assert sum(pence for *_, pence in books.about(COUNSELLING)) == 0
    assert books.agrees()


def test_what_a_holder_paid_and_is_disallowed_is_theirs_to_make_good(jill: httpx.Client, books: Books) -> None:
    with_receipt(jill, NIGHTS)
    price = made(jill.get(f"/{NIGHTS}"))["priceOverride"]["value"]
    pay(jill, payment("W-1", line(price, NIGHTS), issuer=WILLOW, payee=LANTERN, outcome="complete"))
    before = books.pot(BUDGET, NURSING)
    nights = made(jill.get(f"/{NIGHTS}")) | {"status": "not-billable", "note": [{"text": "Nobody came."}]}
    made(jill.put(f"/{NIGHTS}", json=nights))
    after = books.pot(BUDGET, NURSING)
    assert (before["spent"] - after["spent"], after["advanced"]) == (round(price * 100), before["advanced"])
    assert books.agrees()


def partly_back(jill: httpx.Client) -> tuple[str, dict[str, Any]]:
    """A purchase that Jill paid herself, of which £5.00 came back."""
    charge = massage("PUR-PARTS", status="billed", supportingInformation=[{"reference": DOCUMENTS["jill"]}])
    charge["extension"].append({"url": f"{BASE}/StructureDefinition/phb-paid-by", "valueCode": "person"})
    charge = made(jill.post("/ChargeItem", json=charge))
    key = f"ChargeItem/{charge['id']}"
    back = payment("BACK-1", line(5, key, "adjustment"), issuer="Organization/riverbank-therapies", payee=NORTH)
    pay(jill, {**back, "outcome": "complete"})
    return key, charge


def test_a_purchase_does_not_cost_less_than_came_back_of_it(jill: httpx.Client, books: Books) -> None:
    key, charge = partly_back(jill)
    less = {**charge, "priceOverride": {"value": 4.99, "currency": "GBP"}}
    assert said(jill.put(f"/{key}", json=less)) == ["£5.00 came back for this already, so it cannot cost £4.99."]
    made(jill.put(f"/{key}", json={**charge, "priceOverride": {"value": 5.0, "currency": "GBP"}}))
    assert sum(pence for *_, pence in books.about(key)) == 0
    assert books.agrees()


def test_a_purchase_of_which_a_part_came_back_stays_paid_from_where_it_was(jill: httpx.Client, books: Books) -> None:
    key, charge = partly_back(jill)
    elsewhere = copy.deepcopy(charge)
    next(one for one in elsewhere["extension"] if one["url"].endswith("phb-element"))["valueId"] = THERAPY
    (why,) = said(jill.put(f"/{key}", json=elsewhere))
    assert why.startswith("A part of its price came back already to where it was paid from")
    made(jill.put(f"/{key}", json={**charge, "note": [{"text": "She liked it."}]}))
    made(jill.put(f"/{key}", json={**charge, "status": "entered-in-error"}))
    assert books.agrees()


def test_a_refund_of_what_was_disallowed_since_is_put_right_with_it(jill: httpx.Client, books: Books) -> None:
    price = round(billed(jill, NIGHTS, "third-party") * 100)
    back = pay(jill, refund("BACK-1", 50, NIGHTS, LANTERN, WILLOW))
    nights = made(jill.get(f"/{NIGHTS}"))
    made(jill.put(f"/{NIGHTS}", json={**nights, "status": "not-billable", "note": [{"text": "Never delivered."}]}))
    assert said(update(jill, back, status="entered-in-error")) == [
        "Overnight care, two nights was disallowed since, with what had come back of it. Put that right first."
    ]
    nights = made(jill.get(f"/{NIGHTS}"))
    made(jill.put(f"/{NIGHTS}", json={**nights, "status": "billed"}))
    assert update(jill, back, status="entered-in-error").status_code == 200
    assert sum(pence for *_, pence in books.about(NIGHTS)) == price
    assert books.agrees()


def test_a_refund_stays_that_let_its_purchase_be_taken_back_while_somebody_has_the_money(
    jill: httpx.Client, books: Books
) -> None:
    with_receipt(jill, COUNSELLING)
    paid = pay(jill, counselling("PAY-1", outcome="complete"))
    back = pay(jill, refund("BACK-1", 60, COUNSELLING, STILLWATER))
    made(jill.put(f"/{COUNSELLING}", json={**made(jill.get(f"/{COUNSELLING}")), "status": "entered-in-error"}))
    before = books.pot(BUDGET, THERAPY)
    (why,) = said(update(jill, back, status="entered-in-error"))
    assert why == (
        "Counselling, one hour was taken back since, because this came back: the £60.00 that the NHS paid for it (PAY-1) would be there to be spent"
        " again. Where that was never paid either, take that payment back first, or both together."
    )
    gone = {"status": "entered-in-error"}
    both = [entry("PUT", f"PaymentReconciliation/{one['id']}", {**one, **gone}) for one in (back, paid)]
    made(jill.post("", json=bundle("transaction", *both)))
    assert books.pot(BUDGET, THERAPY) == before
    assert books.agrees()


def test_no_more_comes_back_than_the_nhs_has_paid(jill: httpx.Client, books: Books) -> None:
    with_receipt(jill, COUNSELLING)
    pay(jill, counselling("PAY-1", amount=30, outcome="complete"))
    charge = made(jill.put(f"/{COUNSELLING}", json={**made(jill.get(f"/{COUNSELLING}")), "status": "billed"}))
    back = refund("BACK-1", 30.01, COUNSELLING, STILLWATER)
    assert said(jill.post("/PaymentReconciliation", json=back)) == [
        "£30.00 is paid for Counselling, one hour, so £30.01 cannot come back."
    ]
    pay(jill, refund("BACK-1", 30, COUNSELLING, STILLWATER))
    assert said(jill.post("/PaymentReconciliation", json=refund("BACK-2", 1, COUNSELLING, STILLWATER))) == [
        "£30.00 is paid for Counselling, one hour, and £30.00 of it came back, so £1.00 cannot come back."
    ]
    made(jill.put(f"/{COUNSELLING}", json={**charge, "status": "entered-in-error"}))
    assert books.agrees()


# ---- invoices ------------------------------------------------------------------------------------


def invoice(amount: float = 60, **more: Any) -> dict[str, Any]:
    money = {"value": float(amount), "currency": "GBP"}
    return {
        "resourceType": "Invoice",
        "status": "issued",
        "subject": {"reference": "Patient/jill"},
        "date": "2026-11-21",
        "issuer": {"reference": STILLWATER},
        "account": {"reference": BUDGET},
        "lineItem": [
            {"chargeItemReference": {"reference": COUNSELLING}, "priceComponent": [{"type": "base", "amount": money}]}
        ],
        "totalNet": money,
        "totalGross": money,
        **more,
    }


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


def test_an_advance_that_was_paid_before_is_recorded_though_its_budget_is_closing_now(
    jill: httpx.Client, server: RunningServer, books: Books
) -> None:
    """It is out of the door: what is not recorded nobody asks back."""
    account = made(jill.get("/Account/jill-budget"))
    for one in account["extension"]:
        if one["url"].endswith("phb-lifecycle-status"):
            one["valueCode"] = "closing"
    made(jill.put("/Account/jill-budget", json=account | {"status": "on-hold"}))
    before = books.pot(BUDGET, DAILY)["advanced"]
    for sent in (advance("PAY-1", 100), advance("PAY-1", 100, outcome="complete")):
        assert said(jill.post("/PaymentReconciliation", json=sent)) == [
            "The budget is closing; money is paid in advance from one that is active."
        ]
    late = advance("PAY-1", 100, outcome="complete", paymentDate="2026-11-20")
    made(jill.post("/PaymentReconciliation", json=late))
    assert books.pot(BUDGET, DAILY)["advanced"] == before + 10_000
    assert books.agrees()
    server.foretold.set(seconds=3 * 86_400)  # a day on which it had been closing for a while is no earlier day
    later = advance("PAY-2", 100, outcome="complete", paymentDate="2026-11-24")
    assert said(jill.post("/PaymentReconciliation", json=later)) == [
        "The budget is closing; money is paid in advance from one that is active."
    ]
    assert books.pot(BUDGET, DAILY)["advanced"] == before + 10_000


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

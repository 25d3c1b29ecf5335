"""C32E7: what comes back of a purchase, and where to."""

from __future__ import annotations

import copy
from typing import Any

import httpx
import pytest

from tests.builders import bundle, entry
from tests.journeys.jills_payments import (
    BED,
    BUDGET,
    COUNSELLING,
    DAILY,
    LANTERN,
    MASSAGE,
    MOBILITY,
    NIGHTS,
    NURSING,
    STILLWATER,
    THERAPY,
    billed,
    counselling,
    pay,
    update,
    with_receipt,
)
from tests.paying import BASE, DOCUMENTS, NORTH, WILLOW, Books, advance, line, made, payment, said
from tests.stories import massage

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

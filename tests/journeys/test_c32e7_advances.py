"""C32E7: money that is paid out in advance, to whoever holds a part, and what of it comes back."""

from __future__ import annotations

import httpx
import pytest

from tests.journeys.jills_payments import (
    BUDGET,
    DAILY,
    LANTERN,
    MASSAGE,
    NIGHTS,
    NURSING,
    THERAPY,
    billed,
    pay,
    update,
    with_receipt,
)
from tests.paying import NORTH, WILLOW, Books, advance, line, made, payment, said
from tests.running import RunningServer

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

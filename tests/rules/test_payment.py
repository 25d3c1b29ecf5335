"""The tables of payments, invoices and notices to repay, pair by pair (SM-I, SM-J)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from phb_fhir.fhir.money import money
from phb_fhir.rules import invoice, repayment
from phb_fhir.rules.case import By, Case
from phb_fhir.rules.ledger import Entry, Ledger, Sums
from phb_fhir.rules.paid import RUN, amounts_by_purchase, line_total, paid_for, total_of
from phb_fhir.rules.payment import Payment
from phb_fhir.rules.payment_checks import OUTCOME, STATUS, _for_something, _to_whom, stands, stays_as_it_is, stepped
from phb_fhir.rules.words import BASE
from tests.paying import advance, line

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
STATE = f"{BASE}/CodeSystem/phb-task-business-status"


def stepping(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    budget = {"resourceType": "Account", "id": "1"}
    found = Payment(after, "Account/1", budget, By(), date(2026, 11, 22), before)
    return [issue.text for issue in stepped(found)]


def case(type_: str, before: dict[str, Any], after: dict[str, Any]) -> Case:
    return Case(type_, "1", before, after, f"{type_}/1/_history/2", NOW, NOW.date())


@pytest.mark.parametrize("was", sorted(STATUS))
@pytest.mark.parametrize("now", sorted(STATUS))
def test_a_payment_comes_from_one_status_to_those_of_the_table_alone(was: str, now: str) -> None:
    allowed = {
        "draft": {"draft", "active", "cancelled", "entered-in-error"},
        "active": {"active", "cancelled", "entered-in-error"},
        "cancelled": {"cancelled", "entered-in-error"},
        "entered-in-error": {"entered-in-error"},
    }
    said = stepping({"status": was, "outcome": "queued"}, {"status": now, "outcome": "queued"})
    assert (not said) is (now in allowed[was])


@pytest.mark.parametrize("was", sorted(OUTCOME))
@pytest.mark.parametrize("now", sorted(OUTCOME))
def test_an_active_payment_is_decided_once(was: str, now: str) -> None:
    said = stepping({"status": "active", "outcome": was}, {"status": "active", "outcome": now})
    assert (not said) is (was in ("queued", now))
    assert not said or said[0].startswith(f"A payment that is {was} cannot become {now}")


def some(pence: int, request: str = "", kind: str = "advance") -> dict[str, Any]:
    return line(0, request, kind) | {"amount": money(pence)}


CHARGE = "ChargeItem/1"
WHAT_FOR = [
    (some(60, CHARGE, "payment"), ""),
    (some(60, "Invoice/1", "payment"), ""),
    (some(-60, CHARGE, "adjustment"), ""),
    (some(60), ""),
    (some(60, CHARGE, "discount"), "A line is a payment, an advance or an adjustment."),
    (
        some(-60, CHARGE, "payment"),
        "Money that comes back for a purchase is an adjustment; a payment is more than nothing,",
    ),
    (some(60, CHARGE, "adjustment"), "An adjustment is what comes back for a purchase."),
    (some(60, "", "payment"), "Say which purchase this line is about."),
    (some(-60, "Invoice/1", "adjustment"), "What comes back is about one purchase: say which."),
    (some(0, CHARGE, "payment"), "A line is of more or less than nothing, in whole pence."),
]


@pytest.mark.parametrize(("one", "why"), WHAT_FOR)
def test_each_line_says_what_it_is_for_as_its_kind_asks(one: dict[str, Any], why: str) -> None:
    found = Payment({"detail": [one]}, "Account/1", {"resourceType": "Account", "id": "1"}, By(), NOW.date())
    issues = list(_for_something(found))
    assert len(issues) == bool(why)
    assert not why or issues[0].text.startswith(why)


def test_each_line_of_an_invoice_says_which_purchase_it_is_about() -> None:
    travel = {"chargeItemCodeableConcept": {"text": "Travel"}}
    found = invoice.Invoice({"lineItem": [travel]}, {"resourceType": "Account", "id": "1"}, By())
    assert [issue.text for issue in invoice._lines(found)] == ["Each line says which purchase it is about."]


SENT = {"identifier": [{"system": RUN, "value": "RUN-1"}]}
LESS_AND_MORE = [
    ("the rest of a line", {"detail": [some(4_000)]}, True),
    ("as much as was sent", {"detail": [some(10_000)]}, True),
    ("more than was sent", {"detail": [some(10_001)]}, False),
    ("a line that was not sent", {"detail": [some(4_000, "ChargeItem/1")]}, False),
    ("to somebody else", {"payee": "Patient/ben"}, False),
    ("from another budget", {"account": "Account/ben-budget"}, False),
    ("of another part", {"part": "overnight"}, False),
    ("on another day", {"paymentDate": "2026-11-21"}, False),
]


@pytest.mark.parametrize(("changed", "may"), [row[1:] for row in LESS_AND_MORE], ids=[row[0] for row in LESS_AND_MORE])
def test_of_what_was_sent_to_the_bank_some_may_come_through_and_nothing_else(
    changed: dict[str, Any], *, may: bool
) -> None:
    before = advance("PAY-1", 100, detail=[some(10_000)], **SENT)
    after = advance("PAY-1", 100, outcome="partial", **{"detail": [some(10_000)]} | SENT | changed)
    found = Payment(after, "Account/jill-budget", {"resourceType": "Account", "id": "1"}, By(), NOW.date(), before)
    assert ([issue.text for issue in stays_as_it_is(found)] == []) is stands(found) is may


@pytest.mark.parametrize("was", sorted(invoice.STEPS))
@pytest.mark.parametrize("now", sorted(invoice.STEPS))
def test_an_invoice_comes_from_one_status_to_those_of_the_table_alone(was: str, now: str) -> None:
    allowed = {
        "draft": {"draft", "issued", "cancelled", "entered-in-error"},
        "issued": {"issued", "balanced", "cancelled", "entered-in-error"},
        "balanced": {"balanced", "issued", "entered-in-error"},
        "cancelled": {"cancelled", "entered-in-error"},
        "entered-in-error": {"entered-in-error"},
    }
    said = list(invoice._stepped(case("Invoice", {"status": was}, {"status": now})))
    assert (not said) is (now in allowed[was])


def notice(state: str) -> dict[str, Any]:
    status = "completed" if state in repayment.ENDED else "in-progress"
    return {"status": status, "businessStatus": {"coding": [{"system": STATE, "code": state}]}}


@pytest.mark.parametrize("was", repayment.STATES)
@pytest.mark.parametrize("now", repayment.STATES)
def test_a_notice_to_repay_comes_from_one_state_to_those_of_the_table_alone(was: str, now: str) -> None:
    allowed = {
        "issued": {"reconsideration-requested", "withdrawn", "repaid", "written-off"},
        "reconsideration-requested": {"confirmed", "varied", "withdrawn"},
        "confirmed": {"repaid", "written-off"},
        "varied": {"repaid", "written-off"},
    }
    said = list(repayment._stepped(case("Task", notice(was), notice(now))))
    assert (not said) is (now == was or now in allowed.get(was, ()))


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error"])
@pytest.mark.parametrize("now", repayment.STATES)
def test_a_notice_that_was_taken_off_the_record_does_not_come_back(status: str, now: str) -> None:
    assert list(repayment._stepped(case("Task", {"status": status}, notice(now))))
    assert not list(repayment._stepped(case("Task", {"status": status}, {"status": status})))


# ---- what lines come to --------------------------------------------------------------------------


def component(kind: str, pence: int) -> dict[str, Any]:
    return {"type": kind, "amount": money(pence)}


@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_taken_off_a_line_is_taken_off_whichever_sign_it_has(sign: int) -> None:
    line = {
        "priceComponent": [
            component("base", 1000),
            component("surcharge", 50),
            component("discount", sign * 100),
            component("deduction", sign * 25),
            component("tax", 200),
            component("informational", 99_999),
        ]
    }
    assert (line_total(line), line_total(line, with_tax=False)) == (1125, 925)


def test_two_lines_for_one_purchase_are_asked_for_together() -> None:
    line = {"chargeItemReference": {"reference": "ChargeItem/1"}, "priceComponent": [component("base", 150)]}
    asked = {"lineItem": [line, line]}
    assert (amounts_by_purchase(asked), total_of(asked)) == ({"ChargeItem/1": 300}, 300)


def test_what_is_paid_counts_payments_alone_and_through_an_invoice_its_lines() -> None:
    def row(kind: str, key: str, pence: int) -> dict[str, Any]:
        system = "http://terminology.hl7.org/CodeSystem/payment-type"
        return {
            "type": {"coding": [{"system": system, "code": kind}]},
            "request": {"reference": key},
            "amount": money(pence),
        }

    line = {"chargeItemReference": {"reference": "ChargeItem/1"}, "priceComponent": [component("base", 30)]}
    payment = {
        "detail": [
            row("payment", "ChargeItem/1", 100),
            row("adjustment", "ChargeItem/1", -7),
            row("payment", "ChargeItem/2", 5),
            row("payment", "Invoice/1", 30),
        ]
    }
    assert paid_for("ChargeItem/1", [payment], {"Invoice/1": {"lineItem": [line]}}) == 130


# ---- what a refusal tells of other funders -------------------------------------------------------


def part_of(id_: str, owner: str, holder: str) -> dict[str, Any]:
    """A budget of one part, which somebody else holds."""
    parts = [
        {"url": "id", "valueId": id_},
        {"url": "model", "valueCode": "third-party"},
        {"url": "holder", "valueReference": {"reference": holder}},
    ]
    row = {"url": f"{BASE}/StructureDefinition/phb-management-element", "extension": parts}
    subject = [{"reference": "Patient/asha"}]
    return {"id": id_, "subject": subject, "owner": {"reference": owner}, "extension": [row]}


def owed(seen: set[str]) -> str:
    """Who is owed for a purchase from a joint budget that third parties paid for already."""
    charge = {
        "code": {"text": "Lights"},
        "performingOrganization": {"reference": "Organization/shop"},
        "extension": [{"url": f"{BASE}/StructureDefinition/phb-paid-by", "valueCode": "third-party"}],
    }
    line = {"request": {"reference": "ChargeItem/1"}, "amount": money(100), "type": {"coding": [PAYMENT]}}
    payee = {"url": f"{BASE}/StructureDefinition/phb-payee", "valueReference": {"reference": "Organization/other"}}
    entries = [
        Entry(f"Account/{one}", one, "commitment", Sums(committed=50), "ChargeItem/1/_history/1") for one in "ab"
    ]
    found = Payment(
        {"detail": [line], "extension": [payee], "paymentIssuer": {"reference": "Organization/icb"}},
        "Account/a",
        part_of("a", "Organization/icb", "Organization/beacon"),
        By(),
        date(2026, 11, 22),
        family={"Account/b": part_of("b", "Organization/council", "Organization/lantern")},
        purchases={"ChargeItem/1": charge},
        posted={"ChargeItem/1": entries},
        seen=frozenset(seen),
    )
    (issue,) = _to_whom(found)
    return issue.text


PAYMENT = {"system": "http://terminology.hl7.org/CodeSystem/payment-type", "code": "payment"}


def test_who_holds_a_budget_that_is_hidden_is_not_told_as_who_is_owed() -> None:
    everybody = "Organization/beacon, Organization/lantern, Organization/shop"
    assert (
        owed({"Account/a", "Account/b", "ChargeItem/1"}) == f"Lights is owed to {everybody}, not to Organization/other."
    )
    assert "Organization/beacon, Organization/shop, somebody else" in owed({"Account/a", "ChargeItem/1"})
    assert "Organization/beacon, somebody else" in owed({"Account/a"})


def test_who_holds_a_budget_that_is_hidden_is_not_told_as_who_received_money() -> None:
    budgets = {
        "Account/a": part_of("a", "Organization/icb", "Organization/beacon"),
        "Account/b": part_of("b", "Organization/council", "Organization/lantern"),
    }
    ledgers = {key: Ledger(key, {key[-1]: Sums(10_000, advanced=5_000)}) for key in budgets}
    amount = {"type": {"coding": [{"system": f"{BASE}/CodeSystem/phb-task-parameter", "code": "repayment-amount"}]}}
    task = {
        "for": {"reference": "Patient/asha"},
        "owner": {"reference": "Organization/other"},
        "input": [{**amount, "valueMoney": money(20_000)}],
    }
    for seen, who, paid in (
        ({"Account/a", "Account/b"}, "Organization/beacon, Organization/lantern, Patient/asha", "£100.00"),
        ({"Account/a"}, "Organization/beacon, Patient/asha, somebody else", "Less"),
    ):
        given = repayment.Notice(task, By(), budgets, ledgers, seen=frozenset(seen))
        (issue,) = repayment._from_whom(given)
        assert issue.text == f"Organization/other received no money of this budget; {who} did."
        (issue,) = repayment._no_more_than_was_paid(given)
        assert issue.text == f"{paid} was paid out to them, so £200.00 cannot be asked back."

"""What a budget needs at its stage (SM-A), where no journey tells of it: a single sum, and its parts."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from phb_fhir.fhir.money import money
from phb_fhir.rules.allocation import _too_much_in_parts
from phb_fhir.rules.case import Case, Find, PolicyOf, answered
from phb_fhir.rules.commissioning import STANDARD
from phb_fhir.rules.stages import NEEDS, _one_off
from phb_fhir.rules.words import ACCOUNT_TYPE, BASE, BUSINESS_STATUS, TASK_CODE, concept, extension_url

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
KEY = "Account/one"


def amount(pence: int, type_: str = "approved") -> dict[str, Any]:
    rows = [{"url": "type", "valueCode": type_}, {"url": "amount", "valueMoney": money(pence)}]
    return {"url": extension_url("phb-budget-amount"), "extension": rows}


def part(id_: str, pence: int) -> dict[str, Any]:
    rows = [
        {"url": "id", "valueId": id_},
        {"url": "model", "valueCode": "notional"},
        {"url": "amount", "valueMoney": money(pence)},
    ]
    return {"url": extension_url("phb-management-element"), "extension": rows}


def budget(*extensions: dict[str, Any], kind: str = "one-off", purpose: str = "") -> dict[str, Any]:
    said = concept(f"{BASE}/CodeSystem/phb-one-off-purpose", purpose)
    why = [{"url": extension_url("phb-one-off-purpose"), "valueCodeableConcept": said}] if purpose else []
    stage = {"url": extension_url("phb-lifecycle-status"), "valueCode": "authorised"}
    return {
        "resourceType": "Account",
        "id": "one",
        "type": concept(ACCOUNT_TYPE, kind),
        "extension": [stage, *why, *extensions],
    }


def exception(answer: str) -> dict[str, Any]:
    return {"resourceType": "Task", "status": "completed", "businessStatus": concept(BUSINESS_STATUS, answer)}


def said(account: dict[str, Any], *exceptions: dict[str, Any]) -> str:
    """What speaks against a single sum, where these exceptions were decided about it."""
    case = Case("Account", "one", None, account, f"{KEY}/_history/1", NOW, date(2026, 11, 22))
    asked = Find("Task", ("code", f"{TASK_CODE}|exception"), ("focus", KEY))
    issues = answered(_one_off(case, account), {PolicyOf(""): STANDARD, asked: list(exceptions)})
    return " ".join(issue.text for issue in issues)


MOST, EXCEPTION = STANDARD.one_off_max, STANDARD.one_off_exception_max


def test_a_single_sum_is_asked_for_its_limit_when_money_is_authorised() -> None:
    (need,) = (one for one in NEEDS if one.look is _one_off)
    assert "authorised" in need.at
    assert need.of == ("phb-budget-amount", "type", "phb-one-off-purpose")


def test_a_single_sum_to_leave_hospital_keeps_to_its_limit() -> None:
    assert said(budget(amount(MOST))) == ""
    assert said(budget(amount(MOST + 1))) == (
        "A one-off budget to leave hospital is £200.00 at the most; £200.01 needs an exception that was approved"
        " (Task exception with this Account as its focus)."
    )


@pytest.mark.parametrize(("answer", "may"), [("approved", True), ("refused", False)])
def test_an_approved_exception_raises_it(answer: str, *, may: bool) -> None:
    assert (said(budget(amount(EXCEPTION)), exception(answer)) == "") is may


def test_no_exception_raises_it_twice() -> None:
    assert said(budget(amount(EXCEPTION + 1)), exception("approved")) == (
        "A one-off budget to leave hospital is £400.00 at the most, even as an exception."
    )


@pytest.mark.parametrize(
    ("account", "is_held"),
    [
        (budget(amount(MOST + 1), purpose="hospital-discharge"), True),
        (budget(amount(MOST + 1), purpose="equipment"), False),
        (budget(amount(MOST + 1), kind="personal-health-budget"), False),
        (budget(amount(MOST), amount(1)), True),
        (budget(amount(MOST), amount(1, "contingency")), False),
    ],
    ids=["to leave hospital", "for something else", "no single sum", "in two rows", "beside what is set aside"],
)
def test_the_limit_is_of_what_is_approved_to_leave_hospital(account: dict[str, Any], *, is_held: bool) -> None:
    assert bool(said(account)) is is_held


def test_the_parts_of_a_budget_are_no_more_than_is_approved() -> None:
    whole = [amount(10_000), part("days", 6_000)]
    assert list(_too_much_in_parts(budget(*whole, part("nights", 4_000)))) == []
    (issue,) = _too_much_in_parts(budget(*whole, part("nights", 4_001)))
    assert issue.text == "The parts of the budget come to £100.01, and £100.00 is approved."

"""What a write of a budget moves in its ledger: from what that has, to what the record says (R37, R80). Pure, of `rules/allocation`."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from phb_fhir.rules.allocation import judge_allocation
from phb_fhir.rules.case import Books, Case, answered
from phb_fhir.rules.ledger import UNASSIGNED, Ledger, Sums
from phb_fhir.rules.words import ACCOUNT_TYPE, concept, extension_url

KEY = "Account/jill"


def budget(pounds: int, stage: str = "active", **more: Any) -> dict[str, Any]:
    amount = [
        {"url": "type", "valueCode": "approved"},
        {"url": "amount", "valueMoney": {"value": pounds, "currency": "GBP"}},
    ]
    return {
        "resourceType": "Account",
        "id": "jill",
        "type": concept(ACCOUNT_TYPE, "personal-health-budget"),
        "owner": {"reference": "Organization/icb"},
        "extension": [
            {"url": extension_url("phb-lifecycle-status"), "valueCode": stage},
            {"url": extension_url("phb-budget-amount"), "extension": amount},
        ],
        **more,
    }


def moved(before: dict[str, Any], after: dict[str, Any], allocated: int) -> list[tuple[str, int]]:
    """The entries of this write, where the ledger has allocated so many pence; what speaks against it is none."""
    now = datetime(2026, 11, 23, 9, tzinfo=UTC)
    case = Case("Account", "jill", before, after, f"{KEY}/_history/2", now, date(2026, 11, 23))
    ledger = Ledger(KEY, {UNASSIGNED: Sums(allocated=allocated)}, last=1)
    decision = answered(judge_allocation(case), {Books(KEY): {KEY: ledger}})
    assert decision.issues == ()
    return [(one.kind, one.sums.allocated) for one in decision.entries]


@pytest.mark.parametrize("allocated", [10_000, 10_714])
def test_a_change_of_the_money_leads_the_ledger_to_what_the_record_says(allocated: int) -> None:
    """What was posted by a rule that has been mended since (a month from the 31st) is put right by the next change of the money."""
    entries = moved(budget(100), budget(150), allocated)
    assert entries == [("allocation", 15_000 - allocated)]


def test_another_change_moves_no_money() -> None:
    assert moved(budget(100), budget(100, name="Jill's budget"), 10_714) == []


def test_a_budget_recorded_in_error_gives_back_what_its_ledger_has() -> None:
    assert moved(budget(100), budget(100, "entered-in-error"), 10_714) == [("reversal", -10_714)]


def test_a_budget_that_was_closed_unused_is_recorded_in_error_and_moves_nothing() -> None:
    """What it had went back when it closed: it is not taken once more."""
    assert moved(budget(100, "closed"), budget(100, "entered-in-error"), 0) == []

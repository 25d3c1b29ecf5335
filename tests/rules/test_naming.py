"""Which account a purchase or an invoice means: one budget pays, and it is told without guessing (`rules/naming`)."""

from __future__ import annotations

from typing import Any

import pytest

from phb_fhir.rules.case import Find, Read, Sees, answered
from phb_fhir.rules.naming import several_meant
from tests.rules.test_joining import budget

NUMBER = {"identifier": {"system": "urn:x", "value": "B-1"}}
ACCOUNTS = {
    "Account/b": budget("b"),
    "Account/ward": {"resourceType": "Account", "id": "ward"},
    "Account/theatre": {"resourceType": "Account", "id": "theatre"},
}


def by_address(*keys: str) -> list[dict[str, Any]]:
    return [{"reference": key} for key in keys]


def told(references: Any, *keys: str, numbered: tuple[str, ...] = (), seen: frozenset[str] | None = None) -> str:
    """What is said of these references, which mean the accounts with these keys; `numbered` are those with the number."""
    answers: dict[Any, Any] = {
        Find("Account", ("identifier", "urn:x|B-1")): [{"id": key.partition("/")[2]} for key in numbered],
        Read(*keys): {key: ACCOUNTS.get(key) for key in keys},
    }
    if seen is not None:
        answers[Sees(*numbered)] = seen
    issue = answered(several_meant(references, "ChargeItem.account"), answers)
    return issue.text if issue else ""


@pytest.mark.parametrize("other", ["Account/ward", "Account/nobody"])
def test_one_budget_pays_and_is_named_alone(other: str) -> None:
    assert told(by_address("Account/b", other), "Account/b", other) == "One budget pays: name it alone."


def test_one_budget_or_several_accounts_of_others_are_let_be() -> None:
    assert told(by_address("Account/b")) == ""
    assert told(by_address("Account/ward", "Account/theatre"), "Account/ward", "Account/theatre") == ""
    assert told(None) == ""


def test_a_number_that_a_budget_shares_says_nobodys_money() -> None:
    shared = ("Account/b", "Account/ward")
    assert told(NUMBER, numbered=("Account/b",)) == ""
    assert told(NUMBER, numbered=shared, seen=frozenset({"Account/b"})) == ""
    assert told(NUMBER, *shared, numbered=shared) == (
        "2 accounts have the number B-1, and it cannot be told which of them is meant. Name the budget by its address."
    )

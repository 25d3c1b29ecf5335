"""Joint budgets: every penny falls somewhere, to whom it should, and always to the same (R28)."""

from __future__ import annotations

import copy
import random
from dataclasses import replace
from datetime import date
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from phb_fhir.fhir.codec import Exact
from phb_fhir.fhir.money import money
from phb_fhir.rules.budget import Days
from phb_fhir.rules.joint import Bought, falls_otherwise, split
from phb_fhir.rules.ledger import CONTINGENCY, Ledger, Sums
from phb_fhir.rules.words import extension_url

PARTS = ("a", "b")


def member(n: int, *, share: str = "", rank: int = 0, stage: str = "active") -> dict[str, Any]:
    rows: list[dict[str, Any]] = [{"url": extension_url("phb-lifecycle-status"), "valueCode": stage}]
    if share:
        rows.append({"url": extension_url("phb-joint-share"), "valueDecimal": Exact(share)})
    for name in PARTS:
        parts = [{"url": "id", "valueId": name}, {"url": "amount", "valueMoney": money(1)}]
        rows.append({"url": extension_url("phb-management-element"), "extension": parts})
    coverage = [{"priority": rank}] if rank else []
    return {"resourceType": "Account", "id": f"m{n}", "name": f"Funder {n}", "extension": rows, "coverage": coverage}


def books(*pots: tuple[int, ...]) -> dict[str, Ledger]:
    """A ledger for each member, with so much in its parts."""
    return {
        f"Account/m{n}": Ledger(f"Account/m{n}", {name: Sums(has) for name, has in zip(PARTS, several, strict=False)})
        for n, several in enumerate(pots)
    }


shares = st.decimals(min_value="0.01", max_value=1000, places=2).map(str)
money_in_pots = st.tuples(st.integers(0, 5_000), st.integers(0, 5_000))
PLENTY = (10**9, 0)


@given(pence=st.integers(1, 10**8), several=st.lists(shares, min_size=1, max_size=5))
def test_every_penny_falls_and_each_share_is_right_to_the_penny(pence: int, several: list[str]) -> None:
    members = [member(n, share=one) for n, one in enumerate(several)]
    falls, issues = split(pence, members, books(*[PLENTY] * len(several)))
    assert not issues
    assert sum(falls.values()) == pence
    whole = sum(Exact(one) for one in several)
    for n, one in enumerate(several):
        part = sum(taken for (account, _), taken in falls.items() if account == f"Account/m{n}")
        assert abs(part - pence * Exact(one) / whole) < 1


@given(
    pence=st.integers(1, 20_000),
    several=st.lists(st.tuples(shares, money_in_pots), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
)
def test_the_order_in_which_the_record_tells_them_makes_no_difference(
    pence: int, several: list[tuple[str, tuple[int, int]]], seed: int
) -> None:
    members = [member(n, share=one) for n, (one, _) in enumerate(several)]
    ledgers = books(*(pots for _, pots in several))
    mixed = members[:]
    random.Random(seed).shuffle(mixed)
    assert split(pence, members, ledgers) == split(pence, mixed, ledgers)


@given(pence=st.integers(1, 50_000), several=st.lists(money_in_pots, min_size=1, max_size=4), with_shares=st.booleans())
def test_nobody_pays_more_than_they_have_and_what_is_missing_is_said(
    pence: int, several: list[tuple[int, int]], *, with_shares: bool
) -> None:
    members = [
        member(n, share=str(n + 1) if with_shares else "", rank=0 if with_shares else n + 1)
        for n in range(len(several))
    ]
    ledgers = books(*several)
    falls, issues = split(pence, members, ledgers)
    for (account, pot), taken in falls.items():
        assert 0 < taken <= ledgers[account].of(pot).available
    assert bool(issues) is (sum(falls.values()) < pence)
    if not with_shares:
        assert bool(issues) is (pence > sum(map(sum, several)))


@given(pence=st.integers(1, 20_000), several=st.lists(money_in_pots, min_size=2, max_size=4))
def test_by_priority_the_next_is_used_only_when_the_one_before_is_used_up(
    pence: int, several: list[tuple[int, int]]
) -> None:
    members = [member(n, rank=n + 1) for n in range(len(several))]
    falls, _ = split(pence, members, books(*several))
    taken = [sum(one for (key, _), one in falls.items() if key == f"Account/m{n}") for n in range(len(several))]
    for n, has in enumerate(map(sum, several)):
        if any(taken[n + 1 :]):
            assert taken[n] == has


def test_parts_are_used_in_the_order_in_which_they_stand() -> None:
    falls, _ = split(150, [member(0, share="1")], books((100, 100)))
    assert falls == {("Account/m0", "a"): 100, ("Account/m0", "b"): 50}


def test_a_funder_whose_budget_is_over_does_not_pay_and_one_that_is_suspended_holds_everything_up() -> None:
    ledgers = books(PLENTY, PLENTY)
    over = [member(0, share="1"), member(1, share="1", stage="closed")]
    assert split(10, over, ledgers).places == {("Account/m0", "a"): 10}
    (issue,) = split(10, [member(0, share="1"), member(1, share="1", stage="suspended")], ledgers).issues
    assert issue.text.startswith("Funder 1, which pays a part of this, is suspended")
    (issue,) = split(10, [member(0, share="1", stage="closed")], ledgers).issues
    assert issue.text == "None of the budgets that make up this joint one is active."


NOVEMBER = Bought(Days(date(2026, 11, 20), date(2026, 11, 21)))


def running(member_: dict[str, Any], start: str, end: str, part: str = "") -> dict[str, Any]:
    """The funder with a time of its own; with `part`, that part of it."""
    period = {"start": start, "end": end}
    if not part:
        return {**member_, "servicePeriod": period}
    rows = copy.deepcopy(member_["extension"])
    for row in rows:
        if {"url": "id", "valueId": part} in row.get("extension", ()):
            row["extension"].append({"url": "period", "valuePeriod": period})
    return {**member_, "extension": rows}


def test_a_part_that_does_not_run_then_pays_nothing_though_it_has_money() -> None:
    over = running(member(0, share="1"), "2026-04-01", "2026-11-20", part="a")
    assert split(100, [over], books((1_000, 1_000)), (), NOVEMBER) == ({("Account/m0", "b"): 100}, ())
    _, (issue,) = split(100, [over], books((1_000, 0)), (), NOVEMBER)
    assert issue.text == "£1.00 of this would fall to Funder 0, which has £0.00 left."


def test_a_funder_with_a_share_whose_time_is_over_is_not_paid_for_by_the_others() -> None:
    members = [running(member(0, share="1"), "2026-04-01", "2026-11-20"), member(1, share="1")]
    falls, (issue,) = split(100, members, books((1_000, 0), (1_000, 0)), (), NOVEMBER)
    assert (falls, issue.text) == (
        {},
        "Funder 0, which pays a part of this, runs from 1 April 2026 to 20 November 2026, and not on all of these days.",
    )
    _, (hidden,) = split(100, members, books((1_000, 0), (1_000, 0)), ["Account/m0"], NOVEMBER)
    assert hidden.text == "Another budget, which pays a part of this, does not run on all of these days."


def test_by_priority_the_money_of_a_funder_whose_time_is_over_is_not_used() -> None:
    members = [running(member(0, rank=1), "2026-04-01", "2026-11-20"), member(1, rank=2)]
    falls, issues = split(100, members, books((1_000, 0), (1_000, 0)), (), NOVEMBER)
    assert (falls, issues) == ({("Account/m1", "a"): 100}, ())


def test_care_already_given_takes_nothing_from_a_funder_whose_time_is_over() -> None:
    members = [member(0, rank=1), running(member(1, rank=2), "2026-04-01", "2026-11-20")]
    given_ = NOVEMBER._replace(is_given=True)
    assert split(100, members, books((30, 0), (1_000, 0)), (), given_) == ({("Account/m0", "a"): 100}, ())


def test_an_emergency_is_paid_from_what_is_set_aside_and_where_nothing_is_as_ever() -> None:
    members, ledgers = [member(0, share="5"), member(1, share="1")], books((1_000, 0), (1_000, 0))
    ledgers["Account/m0"] = replace(ledgers["Account/m0"], pots={"a": Sums(1_000), CONTINGENCY: Sums(60)})
    falls, issues = split(60, members, ledgers, (), Bought(is_contingency=True))
    assert (falls, issues) == ({("Account/m0", CONTINGENCY): 50, ("Account/m1", "a"): 10}, ())
    _, (issue,) = split(120, members, ledgers, (), Bought(is_contingency=True))
    assert issue.text == "£1.00 of this would fall to Funder 0, which has £0.60 left."


def test_what_is_set_aside_for_emergencies_pays_for_nothing_else() -> None:
    ledgers = {"Account/m0": Ledger("Account/m0", {"a": Sums(10), CONTINGENCY: Sums(60)})}
    falls, (issue,) = split(20, [member(0, share="1")], ledgers)
    assert (falls, issue.text) == (
        {("Account/m0", "a"): 10},
        "£0.20 of this would fall to Funder 0, which has £0.10 left.",
    )


def test_care_already_given_falls_where_it_should_and_takes_more_than_there_is_only_where_it_must() -> None:
    members, given_ = [member(0, share="1"), member(1, share="1")], Bought(is_given=True)
    assert split(100, members, books((50, 0), (50, 0)), (), given_) == (
        {("Account/m0", "a"): 50, ("Account/m1", "a"): 50},
        (),
    )
    assert split(100, members, books((30, 0), (50, 0)), (), given_) == (
        {("Account/m0", "a"): 50, ("Account/m1", "a"): 50},
        (),
    )


def test_of_several_priorities_of_one_funder_the_first_says_when_its_turn_is() -> None:
    early = {**member(1), "coverage": [{"priority": 3}, {"priority": 1}]}
    assert split(10, [member(0, rank=2), early], books((10, 0), (10, 0))).places == {("Account/m1", "a"): 10}
    assert not falls_otherwise(early, {**early, "coverage": [{"priority": 1}, {"priority": 2}]})
    assert falls_otherwise(early, {**early, "coverage": [{"priority": 3}]})
    assert falls_otherwise(early, {**early, "coverage": []})

"""The $statement of a joint budget which others join and leave: each begins with what the one before it ended with (R12; decision 6 of the guide)."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest

from tests.journeys.test_c32e10_ac1_manage_budgets_as_one import CARE, HEALTH, ask_again, join, joint_purchase, leave
from tests.operations.test_statement import adds_up, balance, rows_of, statement
from tests.paying import made
from tests.stories import FAMILY, tell

JOINT = "asha-joint"
LEFT, JOINED = "Left this joint budget.", "Joined this joint budget."


def after(end: str) -> str:
    return (datetime.fromisoformat(end) + timedelta(milliseconds=1)).isoformat(timespec="milliseconds")


def come_and_gone(api: httpx.Client) -> list[str]:
    """A budget leaves, buys by itself, and comes back, with purchases before and after. Gives the instants between."""
    steps = [
        lambda: api.post("/ChargeItem", json=joint_purchase(180)),
        lambda: leave(api, CARE),
        lambda: api.post("/ChargeItem", json=joint_purchase(90, "PUR-J2")),
        lambda: join(api, CARE, request=ask_again(api), share=("Decimal", 1)),
        lambda: api.post("/ChargeItem", json=joint_purchase(60, "PUR-J3")),
    ]
    ends = [statement(api, JOINT)["to"]]
    for step in steps:
        made(step())
        ends.append(statement(api, JOINT)["to"])
    return ends


def crossings(found: dict[str, Any], reason: str) -> list[dict[str, Any]]:
    return [line for line in found.get("line", []) if line.get("reason") == reason]


@pytest.fixture
def asha(api: httpx.Client) -> httpx.Client:
    tell(api, FAMILY)
    return api


def test_each_begins_with_what_the_one_before_it_ended_with_though_a_budget_left_and_came_back(
    asha: httpx.Client,
) -> None:
    ends = come_and_gone(asha)
    now = balance(asha, JOINT)
    parts = [statement(asha, JOINT, end=ends[0])]
    parts += [statement(asha, JOINT, start=after(one), end=two) for one, two in pairwise(ends)]
    assert all(adds_up(part) for part in parts)
    assert [part["opening"] for part in parts[1:]] == [part["closing"] for part in parts[:-1]]
    assert [part["closing"] for part in parts] == [balance(asha, JOINT, asOf=end)["available"] for end in ends]
    assert [len(crossings(part, LEFT)) > 0 for part in parts] == [False, False, True, False, False, False]
    assert [len(crossings(part, JOINED)) > 0 for part in parts] == [False, False, False, False, True, False]
    whole = statement(asha, JOINT)
    assert adds_up(whole)
    assert (whole["opening"], whole["closing"]) == (0, now["available"])
    causes = [line["cause"] for part in parts for line in part.get("line", [])]
    assert [line["cause"] for line in whole["line"]] == causes


def test_what_a_budget_buys_while_it_is_not_part_of_it_is_not_in_it(asha: httpx.Client) -> None:
    ends = come_and_gone(asha)
    away = statement(asha, JOINT, start=after(ends[2]), end=ends[3])
    assert {line["account"] for line in away["line"]} == {HEALTH}
    left = statement(asha, JOINT, start=after(ends[1]), end=ends[2])
    gone = crossings(left, LEFT)
    assert {line["account"] for line in gone} == {CARE}
    assert (
        -sum(line["change"] for line in gone) == balance(asha, CARE.removeprefix("Account/"), asOf=ends[1])["available"]
    )


def test_in_the_form_for_spreadsheets_it_is_said_in_words(asha: httpx.Client) -> None:
    come_and_gone(asha)
    told = rows_of(asha.get(f"/Account/{JOINT}/$statement", params={"format": "csv"}))
    assert {LEFT, JOINED} <= {value for row in told for value in row.values()}

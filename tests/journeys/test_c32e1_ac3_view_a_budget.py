"""C32E1 AC3: the budget is displayed, with its purchases, its plan, its money and how it was worked out."""

from __future__ import annotations

import httpx

from tests.journeys.jills_budget import BUDGET, found, read
from tests.stories import massage, tell


def test_a_budget_is_seen_with_its_purchases_and_its_plan(api: httpx.Client) -> None:
    tell(api)
    bought = api.post("/ChargeItem", json=massage())
    assert bought.status_code == 201
    seen = found(api, "/Account?_id=jill-budget&_revinclude=ChargeItem:account&_include=Account:care-plan&_count=100")
    by_type: dict[str, set[str]] = {}
    for one in seen:
        by_type.setdefault(one["resourceType"], set()).add(one["id"])
    assert by_type["Account"] == {"jill-budget"}
    assert by_type["CarePlan"] == {"jill-plan"}
    assert bought.json()["id"] in by_type["ChargeItem"]
    assert len(by_type["ChargeItem"]) == len(found(api, f"/ChargeItem?account={BUDGET}&_count=100"))


def test_a_budget_is_seen_with_its_money(api: httpx.Client) -> None:
    tell(api)
    rows = {row["name"]: row for row in api.get(f"/{BUDGET}/$balance").json()["parameter"]}
    sums = {name: rows[name]["valueMoney"]["value"] for name in ("allocated", "committed", "spent", "available")}
    assert sums["allocated"] == 26260.00
    assert sums["available"] == sums["allocated"] - sums["committed"] - sums["spent"]


def test_every_version_of_it_stays_to_be_seen(api: httpx.Client) -> None:
    tell(api)
    account = read(api, BUDGET)
    assert api.put(f"/{BUDGET}", json={**account, "name": "Jill's money"}).status_code == 200
    versions = found(api, f"/{BUDGET}/_history")
    assert [one["name"] for one in versions] == ["Jill's money", "Jill's personal health budget"]

"""Account/$ledger: every entry, by number, a page at a time; nothing in it ever changes (RULE-LEDGER)."""

from __future__ import annotations

import pytest

from tests.builders import problem
from tests.operations.asking import said
from tests.operations.money import told
from tests.stories import FAMILY, massage, tell

ADDRESS = "/Account/jill-budget/$ledger"


def page(api, **asked):
    return told(api.get(ADDRESS, params={name.replace("count", "_count"): value for name, value in asked.items()}))


def everything(api):
    found, after = [], 0
    for _ in range(100):
        one = page(api, after=after, count=4)
        found += one.get("entry", [])
        if "next" not in one:
            return found
        after = one["next"]
    raise AssertionError(after)


def test_the_pages_have_every_entry_once_in_its_order(jills):
    whole = page(jills, count=200)
    assert everything(jills) == whole["entry"]
    assert [one["number"] for one in whole["entry"]] == list(range(1, whole["total"] + 1))


def test_an_entry_tells_what_moved_why_and_by_what(jills):
    before = page(jills, count=1)["total"]
    charge = jills.post("/ChargeItem", json=massage()).json()
    ((found),) = page(jills, after=before)["entry"]
    recorded = found.pop("recorded")
    assert found == {
        "number": before + 1,
        "kind": "commitment",
        "element": "daily-life",
        "committed": 4_500,
        "cause": f"ChargeItem/{charge['id']}/_history/1",
        "item": f"ChargeItem/{charge['id']}",
        "funder": "Organization/harbourside-north",
        "occurred": "2026-11-20",
    }
    assert recorded == charge["meta"]["lastUpdated"]


def test_what_is_undone_stays_and_is_followed_by_what_undoes_it(jills):
    charge = jills.post("/ChargeItem", json=massage()).json()
    before = everything(jills)
    assert jills.put(f"/ChargeItem/{charge['id']}", json={**charge, "status": "entered-in-error"}).status_code == 200
    after = everything(jills)
    assert after[: len(before)] == before
    assert [(one["kind"], one["committed"]) for one in after[len(before) :]] == [("release", -4_500)]


def test_the_entries_come_to_the_balance(jills):
    jills.post("/ChargeItem", json=massage())
    balance = told(jills.get("/Account/jill-budget/$balance"))
    entries = everything(jills)
    for name in ("allocated", "committed", "spent", "advanced"):
        for aside in (False, True):
            come_to = sum(one.get(name, 0) for one in entries if one.get("contingency", False) is aside)
            assert come_to == (balance["contingency"] if aside else balance)[name]


def test_a_joint_budget_has_no_entries_and_names_those_that_have(api):
    tell(api, FAMILY)
    rows = said(api.get("/Account/asha-joint/$ledger"))["parameter"]
    named = [row["valueReference"]["reference"] for row in rows if row["name"] == "budget"]
    assert named == ["Account/asha-health", "Account/asha-social-care"]
    assert [row.get("valueUnsignedInt") for row in rows if row["name"] in ("total", "entry")] == [0]


def test_past_the_last_entry_there_are_none(jills):
    total = page(jills)["total"]
    assert page(jills, after=total) == {"account": "Account/jill-budget", "total": total}


@pytest.mark.parametrize("asked", ["after=-1", "after=one", "_count=0", "_count=many", "number=1"])
def test_an_input_that_means_nothing_is_refused(jills, asked):
    assert problem(jills.get(f"{ADDRESS}?{asked}")).status == 400


def test_a_page_is_never_longer_than_the_server_lets_it_be(jills, server):
    found = page(jills, count=2_000_000_000)
    assert len(found["entry"]) <= server.settings.page_size_max

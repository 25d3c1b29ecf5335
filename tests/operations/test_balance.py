"""Account/$balance: now and at any past instant, by part, by funder, with money for emergencies apart (R12, R28; RULE-LEDGER)."""

from __future__ import annotations

import pytest

from tests.builders import budget, problem
from tests.operations.money import sums, told
from tests.stories import FAMILY, massage, tell


@pytest.fixture
def familys(api):
    tell(api, FAMILY)
    return api


def balance(api, key="jill-budget", **asked):
    return told(api.get(f"/Account/{key}/$balance", params=asked))


def test_a_balance_has_the_sums_of_the_budget_and_of_each_part(jills):
    found = balance(jills)
    parts = {part["id"]: part for part in found["part"]}
    names = ("allocated", "committed", "spent", "advanced", "available")
    assert {name: found[name] for name in names} == {name: sum(part[name] for part in parts.values()) for name in names}
    assert found["available"] == found["allocated"] - found["committed"] - found["spent"] == 2_104_750
    assert parts["daily-life"] == {
        "id": "daily-life",
        "model": "direct-payment",
        "purpose": "Personal assistant and their training, massage, swimming",
        **sums(1_830_000, 126_000, 138_250, parts["daily-life"]["advanced"]),
    }


def test_money_for_emergencies_is_apart_and_in_no_other_sum(jills):
    found = balance(jills)
    assert (found["allocated"], found["contingency"]) == (2_626_000, sums(202_000))


def test_a_purchase_changes_the_balance_of_its_part_and_of_the_budget(jills):
    before = balance(jills)
    assert jills.post("/ChargeItem", json=massage()).json()["status"] == "billable"
    after = balance(jills)
    assert (after["committed"] - before["committed"], after["available"] - before["available"]) == (4_500, -4_500)
    was, is_ = ({part["id"]: part for part in one["part"]} for one in (before, after))
    assert is_["daily-life"]["committed"] - was["daily-life"]["committed"] == 4_500
    assert {id_: is_[id_] for id_ in is_ if id_ != "daily-life"} == {
        id_: was[id_] for id_ in was if id_ != "daily-life"
    }


def test_as_of_a_past_instant_the_balance_is_as_it_was_then(jills):
    at = balance(jills)["at"]
    before = balance(jills)
    jills.post("/ChargeItem", json=massage())
    then, now = balance(jills, asOf=at), balance(jills)
    assert then.pop("at") == at
    assert then == {name: value for name, value in before.items() if name != "at"} | {"part": then["part"]}
    assert now["committed"] == then["committed"] + 4_500
    assert [part["available"] for part in then["part"]] == [part["available"] for part in before["part"]]


def test_the_day_before_everything_began_there_was_nothing(jills):
    found = balance(jills, asOf="2026-11-21")
    assert found == {"at": "2026-11-21T23:59:59.999Z", **sums(0)}


def test_a_date_means_the_end_of_that_day_and_today_means_now(jills):
    today, now = balance(jills, asOf="2026-11-22"), balance(jills)
    assert today["at"] < now["at"]
    assert {**today, "at": ""} == {**now, "at": ""}


def test_a_joint_budget_is_the_budgets_it_is_made_of_each_to_the_penny(familys):
    found = balance(familys, "asha-joint")
    funders = {one["budget"]: one for one in found["funder"]}
    assert set(funders) == {"Account/asha-health", "Account/asha-social-care"}
    names = ("allocated", "committed", "spent", "advanced", "available")
    for name in names:
        assert found[name] == sum(one[name] for one in funders.values()) == sum(part[name] for part in found["part"])
    for key, funder in funders.items():
        alone = balance(familys, key.removeprefix("Account/"))
        assert {name: funder[name] for name in names} == {name: alone[name] for name in names}
        assert funder.get("contingency") == alone.get("contingency")
    assert funders["Account/asha-health"]["owner"] == "Organization/wreake-valley"
    assert {part["budget"] for part in found["part"]} == set(funders)


def test_as_of_an_instant_before_one_left_a_joint_budget_is_what_it_was_made_of_then(familys):
    before = balance(familys, "asha-joint")
    why = {"resourceType": "Parameters", "parameter": [{"name": "reason", "valueString": "The council ends it."}]}
    left = familys.post("/Account/asha-social-care/$leave", json=why)
    assert left.status_code == 200, left.text
    names = ("allocated", "committed", "spent", "advanced", "available", "funder", "part")
    now, then = balance(familys, "asha-joint"), balance(familys, "asha-joint", asOf=before["at"])
    assert {name: then[name] for name in names} == {name: before[name] for name in names}
    assert [one["owner"] for one in now["funder"]] == ["Organization/wreake-valley"]
    last = told(familys.get("/Account/asha-joint/$statement", params={"end": before["at"]}))
    assert last["closing"] == before["available"]
    assert told(familys.get("/Account/asha-joint/$statement"))["closing"] == now["available"]


@pytest.mark.parametrize("as_of", ["0001", "0001-01-01", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_before_there_was_anything_there_was_no_money(jills, as_of):
    assert balance(jills, asOf=as_of)["allocated"] == 0
    stated = told(jills.get("/Account/jill-budget/$statement", params={"start": as_of}))
    assert stated["opening"] == 0
    assert stated["closing"] == balance(jills)["available"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"asOf": ""}, "is empty"),
        ({"asOf": "2030-01-01"}, "still to come"),
        ({"asOf": "2026-11-23T00:00:00Z"}, "still to come"),
        ({"asOf": "2026-11-30"}, "still to come"),
        ({"asOf": "2026-11"}, "not over yet"),
        ({"asOf": "2026"}, "not over yet"),
        ({"asOf": "yesterday"}, "a date or a time"),
        ({"asOf": "2026-02-30"}, "a date or a time"),
        ({"on": "2026-11-22"}, "asOf"),
    ],
)
def test_what_cannot_be_told_is_refused_in_words(jills, asked, words):
    refused = problem(jills.get("/Account/jill-budget/$balance", params=asked))
    assert refused.status == 400
    assert words in refused.text


def test_an_account_that_is_no_budget_has_no_balance_here(api):
    assert api.put("/Account/plain", json={**budget(), "id": "plain"}).status_code == 201
    refused = problem(api.get("/Account/plain/$balance"))
    assert (refused.status, refused.code, refused.expression) == (422, "business-rule", "Account.type")
    assert problem(api.get("/Account/nobody/$balance")).status == 404

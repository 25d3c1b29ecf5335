"""Who is told of a budget's money: its person, who acts for them, their team, its commissioner; and nobody else (R1, R9, R17)."""

from __future__ import annotations

import pytest

from tests.operations.money import told
from tests.reports.signed_in import (
    ANALYST,
    ANOTHER_COMMISSIONER,
    AUDITOR,
    COMMISSIONER,
    COUNCIL,
    FINANCE,
    JILL,
    PRIYA,
    PROVIDER,
    RUTH,
    STRANGER,
    SYSTEM,
    running_stories,
)

OPERATIONS = (
    "$balance",
    "$statement",
    "$statement?format=html",
    "$statement?format=csv",
    "$statement?format=bundle",
    "$ledger",
)
JILLS = "/Account/jill-budget"


@pytest.fixture(scope="module")
def world(mongodb_uri):
    with running_stories(mongodb_uri) as made:
        yield made


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("who", "status"),
    [
        (SYSTEM, 200),
        (JILL, 200),
        (RUTH, 200),
        (PRIYA, 200),
        (COMMISSIONER, 200),
        (FINANCE, 200),
        (STRANGER, 404),
        (ANOTHER_COMMISSIONER, 404),
        (PROVIDER, 403),
        (AUDITOR, 403),
        (ANALYST, 403),
    ],
    ids=lambda one: one["role"] + one.get("organization", "")[13:20] if isinstance(one, dict) else str(one),
)
def test_a_budgets_money_is_told_to_whom_it_concerns_alone(world, who, status, operation):
    answer = world.get(who, f"{JILLS}/{operation}")
    assert answer.status_code == status, answer.text[:500]
    if status != 200:
        assert "26260" not in answer.text
        assert answer.json()["resourceType"] == "OperationOutcome"


def test_what_is_not_there_and_what_may_not_be_seen_are_refused_alike(world):
    hidden = world.get(STRANGER, f"{JILLS}/$statement").json()["issue"]
    absent = world.get(STRANGER, "/Account/nobodys-budget/$statement").json()["issue"]
    assert str(hidden).replace("jill-budget", "nobodys-budget") == str(absent)


def test_sums_are_whole_for_whoever_may_ask_and_names_are_those_they_may_see(world):
    whole, finance = (told(world.get(who, f"{JILLS}/$statement")) for who in (SYSTEM, FINANCE))
    assert [line["change"] for line in finance["line"]] == [line["change"] for line in whole["line"]]
    assert finance["closing"] == whole["closing"]
    assert any("evidence" in line for line in whole["line"])
    assert any("goal" in line for line in whole["line"])
    for line in finance["line"]:  # the money side sees purchases, and neither letters nor plans
        assert not {"evidence", "goal", "activity", "activityTitle", "plan"} & line.keys()
    assert {line["item"] for line in finance["line"] if "item" in line} == {
        line["item"] for line in whole["line"] if "item" in line
    }


def test_a_bundle_brings_nothing_that_may_not_be_seen(world):
    found = world.get(FINANCE, f"{JILLS}/$statement?format=bundle").json()
    types = {one["resource"]["resourceType"] for one in found["entry"]}
    assert types == {"Parameters", "Account", "ChargeItem", "PaymentReconciliation"}


def test_one_funder_of_a_joint_budget_knows_its_sums_and_not_the_others_records(world):
    whole = told(world.get(SYSTEM, "/Account/asha-joint/$balance"))
    owner = world.stands("Account/asha-joint")["owner"]["reference"]
    who = ANOTHER_COMMISSIONER if owner == ANOTHER_COMMISSIONER["organization"] else COUNCIL
    found = told(world.get(who, "/Account/asha-joint/$balance"))
    assert (found["available"], len(found["funder"])) == (whole["available"], 2)
    own = [one for one in found["funder"] if "budget" in one]
    assert [one["owner"] for one in own] == [who["organization"]]
    assert world.get(who, "/Account/asha-joint/$statement").status_code == 200
    lines = told(world.get(who, "/Account/asha-joint/$statement"))["line"]
    theirs = [line for line in lines if line["funder"] != who["organization"]]
    assert theirs
    assert all("account" not in line for line in theirs)
    assert {line["account"] for line in lines if line not in theirs} == {own[0]["budget"]}
    assert not any(line["cause"].startswith("Account/") for line in theirs if "cause" in line)


def test_a_look_at_a_statement_is_in_the_audit_trail_under_the_persons_name(world):
    assert world.get(COMMISSIONER, f"{JILLS}/$statement?format=html").status_code == 200
    found = world.get(AUDITOR, "/AuditEvent?patient=Patient/jill&_count=100").json()
    texts = [str(one["resource"]) for one in found["entry"]]
    assert any("$statement" in text and "Organization/harbourside-north" in text for text in texts)


@pytest.mark.parametrize(
    ("who", "status"),
    [
        (SYSTEM, 200),
        (AUDITOR, 200),
        (JILL, 403),
        (RUTH, 403),
        (PRIYA, 403),
        (COMMISSIONER, 403),
        (PROVIDER, 403),
        (ANALYST, 403),
    ],
    ids=lambda one: one["role"] if isinstance(one, dict) else str(one),
)
def test_whether_the_record_is_whole_is_told_to_auditors_and_systems_alone(world, who, status):
    answer = world.get(who, "/$fsck")
    assert answer.status_code == status
    severities = {issue["severity"] for issue in answer.json()["issue"]}
    assert severities == ({"information"} if status == 200 else {"error"})


def test_an_auditor_whose_scopes_leave_the_trail_out_is_not_told_either(world):
    narrow = {**AUDITOR, "scope": "user/Provenance.rs"}
    assert world.get(narrow, "/$fsck").status_code == 403

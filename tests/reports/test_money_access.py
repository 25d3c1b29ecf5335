"""Who is told of a budget's money: its person, who acts for them, their team, its commissioner; and nobody else (R1, R9, R17)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.operations.money import told
from tests.people import PEOPLE, signed_in
from tests.stories import FAMILY, JILLS, massage

OPERATIONS = (
    "$balance",
    "$statement",
    "$statement?format=html",
    "$statement?format=csv",
    "$statement?format=bundle",
    "$ledger",
)
BUDGET = "/Account/jill-budget"


@pytest.fixture(scope="module")
def people(mongodb_uri):
    with signed_in(mongodb_uri, JILLS, FAMILY) as made:
        yield made


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("who", "status"),
    [
        ("system", 200),
        ("jill", 200),
        ("ruth", 200),
        ("co-ordinator", 200),
        ("commissioner", 200),
        ("finance", 200),
        ("stranger", 404),
        ("another commissioner", 404),
        ("provider", 403),
        ("auditor", 403),
        ("analyst", 403),
    ],
)
def test_a_budgets_money_is_told_to_whom_it_concerns_alone(people, who, status, operation):
    answer = people[who].get(f"{BUDGET}/{operation}")
    assert answer.status_code == status, answer.text[:500]
    if status != 200:
        assert "26260" not in answer.text
        assert answer.json()["resourceType"] == "OperationOutcome"


def test_what_is_not_there_and_what_may_not_be_seen_are_refused_alike(people):
    hidden = people["stranger"].get(f"{BUDGET}/$statement").json()["issue"]
    absent = people["stranger"].get("/Account/nobodys-budget/$statement").json()["issue"]
    assert str(hidden).replace("jill-budget", "nobodys-budget") == str(absent)


def test_sums_are_whole_for_whoever_may_ask_and_names_are_those_they_may_see(people):
    whole, finance = (told(people[who].get(f"{BUDGET}/$statement")) for who in ("system", "finance"))
    assert [line["change"] for line in finance["line"]] == [line["change"] for line in whole["line"]]
    assert finance["closing"] == whole["closing"]
    assert any("evidence" in line for line in whole["line"])
    assert any("goal" in line for line in whole["line"])
    for line in finance["line"]:  # the money side sees purchases, and neither letters nor plans
        assert not {"evidence", "goal", "activity", "activityTitle", "plan"} & line.keys()
    assert {line["item"] for line in finance["line"] if "item" in line} == {
        line["item"] for line in whole["line"] if "item" in line
    }


def test_a_bundle_brings_nothing_that_may_not_be_seen(people):
    found = people["finance"].get(f"{BUDGET}/$statement?format=bundle").json()
    types = {one["resource"]["resourceType"] for one in found["entry"]}
    assert types == {"Parameters", "Account", "ChargeItem", "PaymentReconciliation"}


def test_one_funder_of_a_joint_budget_knows_its_sums_and_not_the_others_records(people):
    whole = told(people["system"].get("/Account/asha-joint/$balance"))
    owner = people["system"].get("/Account/asha-joint").json()["owner"]["reference"]
    who = "another commissioner" if owner == PEOPLE["another commissioner"].organization else "council"
    organization = PEOPLE[who].organization
    found = told(people[who].get("/Account/asha-joint/$balance"))
    assert (found["available"], len(found["funder"])) == (whole["available"], 2)
    own = [one for one in found["funder"] if "budget" in one]
    assert [one["owner"] for one in own] == [organization]
    assert people[who].get("/Account/asha-joint/$statement").status_code == 200
    lines = told(people[who].get("/Account/asha-joint/$statement"))["line"]
    theirs = [line for line in lines if line["funder"] != organization]
    assert theirs
    assert all("account" not in line for line in theirs)
    assert {line["account"] for line in lines if line not in theirs} == {own[0]["budget"]}
    assert not any(line["cause"].startswith("Account/") for line in theirs if "cause" in line)


def test_a_look_at_a_statement_is_in_the_audit_trail_under_the_persons_name(people):
    assert people["commissioner"].get(f"{BUDGET}/$statement?format=html").status_code == 200
    found = people["auditor"].get("/AuditEvent?patient=Patient/jill&_count=100").json()
    texts = [str(one["resource"]) for one in found["entry"]]
    assert any("$statement" in text and "Organization/harbourside-north" in text for text in texts)


NUMBER = {"system": "https://fhir.phb.nhs.example/Id/phb-account-number", "value": "PHB-2026-000417"}
NHS_NUMBER = {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9000000106"}
BY_NUMBERS = {"account": [{"identifier": NUMBER}], "subject": {"identifier": NHS_NUMBER}}


@pytest.mark.parametrize(
    ("who", "named", "status", "of"),
    [
        ("co-ordinator", {}, 200, "your budget"),
        ("co-ordinator", BY_NUMBERS, 200, "your budget"),
        ("another commissioner", {}, 422, "your purchase,"),
    ],
)
@pytest.mark.parametrize("is_wrapped", [False, True])
def test_a_try_to_purchase_is_in_the_audit_trail_of_whose_money_it_tells(people, who, named, status, of, is_wrapped):
    tried = massage("PUR-TRIED") | {"enterer": {"reference": "PractitionerRole/priya-nair-coordinator"}} | named
    wrapped = {"resourceType": "Parameters", "parameter": [{"name": "purchase", "resource": tried}]}
    answer = people[who].post("/ChargeItem/$check-purchase", json=wrapped if is_wrapped else tried)
    assert answer.status_code == status, answer.text
    assert ('"available"' in answer.text) is (status == 200)
    found = people["jill"].get("/AuditEvent?_sort=-date&_count=100").json()["entry"]
    told = [one["resource"] for one in found if answer.headers["x-request-id"] in str(one["resource"])]
    assert len(told) == 1
    assert of in told[0]["text"]["div"]
    assert "using $check-purchase" in told[0]["text"]["div"]


@pytest.mark.parametrize(
    ("who", "status"),
    [
        ("system", 200),
        ("auditor", 200),
        ("jill", 403),
        ("ruth", 403),
        ("co-ordinator", 403),
        ("commissioner", 403),
        ("provider", 403),
        ("analyst", 403),
    ],
)
def test_whether_the_record_is_whole_is_told_to_auditors_and_systems_alone(people, who, status):
    answer = people[who].get("/$fsck")
    assert answer.status_code == status
    severities = {issue["severity"] for issue in answer.json()["issue"]}
    assert severities == ({"information"} if status == 200 else {"error"})


def test_an_auditor_whose_scopes_leave_the_trail_out_is_not_told_either(people):
    people.know("narrow", replace(PEOPLE["auditor"], scope="user/Provenance.rs"))
    assert people["narrow"].get("/$fsck").status_code == 403

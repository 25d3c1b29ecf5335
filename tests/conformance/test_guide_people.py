"""The profiles of people and plans ask what they should, when they should, and of whom they should.

`test_guide.py` holds every example and counter-example against its profile. Here: which status frees a resource from which
rule, so that a record can always be corrected; that a resource falls under a profile by what it is, claimed or not; and that
every rule we state has a counter-example.
"""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from phb_fhir.data import data_path
from phb_fhir.definitions.guide import read_guide
from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.fhir import codec
from phb_fhir.validation.validate import validate

Resource = dict[str, Any]

PROFILES = data_path("profiles")
OURS = "https://fhir.phb.nhs.example/StructureDefinition/"
MINE = {
    *("phb-patient", "phb-related-person", "phb-organization", "phb-practitioner", "phb-practitioner-role"),
    *("phb-plan", "phb-goal", "phb-care-team", "phb-risk-assessment", "phb-capacity"),
    *("phb-task", "phb-practice-request", "phb-review-task", "phb-signoff-task", "phb-appeal-task"),
    *("phb-panel-referral", "phb-repayment-task", "phb-delegate-consent", "phb-direct-payment-consent"),
    *("phb-review-record", "phb-plan-content-record", "phb-risk-sheet-record", "phb-panel-suitability-record"),
}
STATUS = {"Goal": "lifecycleStatus"}  # where it is not `status`
STATELESS = {"Patient", "RelatedPerson", "Organization", "Practitioner", "PractitionerRole"}

PLAN = {"draft", "active", "on-hold", "revoked", "completed", "entered-in-error", "unknown"}
TEAM = {"proposed", "active", "suspended", "inactive", "entered-in-error"}
RISK = {"registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown"}
GOAL = {
    *("proposed", "planned", "accepted", "active", "on-hold", "completed", "cancelled", "rejected"),
    "entered-in-error",
}
TASK = {
    *("draft", "requested", "received", "accepted", "rejected", "ready", "cancelled", "in-progress", "on-hold"),
    *("failed", "completed", "entered-in-error"),
}
CONSENT = {"draft", "proposed", "active", "rejected", "inactive", "entered-in-error"}
RECORD = {"in-progress", "completed", "amended", "entered-in-error", "stopped"}
ASSESSED = {"final", "amended", "corrected"}
LIVE = TASK - {"draft", "cancelled", "entered-in-error"}

# the counter-example to begin with, its rule, the statuses there are, and those in which the rule asks
ASKED = [
    ("CarePlan-plan-activity-without-performer", "phb-plan-1", PLAN, {"active"}),
    ("CarePlan-plan-without-team", "phb-plan-2", PLAN, {"active"}),
    ("CarePlan-plan-without-activities", "phb-plan-3", PLAN, {"active"}),
    ("CarePlan-plan-activity-for-a-goal-of-another-plan", "phb-plan-4", PLAN, {"active"}),
    ("Goal-goal-in-nobodys-words", "phb-goal-2", GOAL, GOAL - {"entered-in-error"}),
    ("CareTeam-team-without-coordinator", "phb-care-team-1", TEAM, {"active"}),
    ("CareTeam-team-coordinated-by-the-family", "phb-care-team-2", TEAM, {"active"}),
    ("RiskAssessment-risk-of-nothing", "phb-risk-1", RISK, ASSESSED),
    ("RiskAssessment-risk-without-mitigation", "phb-risk-2", RISK, ASSESSED),
    ("RiskAssessment-risk-without-what-remains", "phb-risk-3", RISK, ASSESSED),
    ("Task-task-due-before-it-was-asked", "phb-task-1", TASK, TASK - {"cancelled", "entered-in-error"}),
    ("Task-task-without-owner", "phb-task-2", TASK, LIVE),
    ("Task-task-rejected-without-reason", "phb-task-3", TASK, {"rejected"}),
    ("Task-task-asked-by-nobody", "phb-task-4", TASK, LIVE),
    ("Task-practice-request-without-ods-code", "phb-practice-request-1", TASK, LIVE),
    ("Task-practice-request-without-end", "phb-practice-request-2", TASK, LIVE),
    ("Task-review-without-outcome", "phb-review-1", TASK, {"completed"}),
    ("Task-review-scheduled-without-date", "phb-review-2", TASK, {"ready"}),
    ("Task-sign-off-with-eight-answers", "phb-signoff-1", TASK, {"completed"}),
    ("Task-sign-off-approved-with-a-criterion-not-met", "phb-signoff-2", TASK, {"completed"}),
    ("Task-sign-off-without-date", "phb-signoff-6", TASK, LIVE),
    ("Task-appeal-without-outcome", "phb-appeal-1", TASK, {"completed"}),
    ("Task-appeal-decided-without-reason", "phb-appeal-2", TASK, {"completed"}),
    ("Task-panel-with-too-little-notice", "phb-panel-1", TASK, LIVE - {"rejected"}),
    ("Task-panel-referrer-not-said", "phb-panel-2", TASK, LIVE),
    ("Task-panel-decision-without-minutes", "phb-panel-3", TASK, {"completed"}),
    ("Task-repayment-without-amount", "phb-repayment-1", TASK, LIVE),
    ("Consent-delegate-appointed-by-themself", "phb-consent-1", CONSENT, {"active"}),
    ("Consent-delegate-from-no-day", "phb-consent-2", CONSENT, {"active"}),
    ("Consent-direct-payment-without-agreement", "phb-direct-payment-1", CONSENT, {"active"}),
    ("Observation-capacity-for-no-decision", "phb-capacity-1", RISK, ASSESSED),
    ("Observation-capacity-without-finding", "phb-capacity-2", RISK, ASSESSED),
    ("Observation-capacity-lacking-without-help", "phb-capacity-3", RISK, ASSESSED),
    ("Observation-capacity-found-by-nobody", "phb-capacity-4", RISK, ASSESSED),
    ("QuestionnaireResponse-review-record-without-money", "phb-review-record-1", RECORD, {"completed", "amended"}),
    ("QuestionnaireResponse-suitability-with-six-answers", "phb-panel-suitability-record-1", RECORD, {"completed", "amended"}),
]  # fmt: skip


@cache
def known() -> Registry:
    return Registry.of(load(), read_guide(PROFILES).resources)


def read(path: Path) -> Resource:
    made: Resource = codec.loads(path.read_bytes(), depth_max=64)
    return made


@cache
def reasons() -> dict[str, Resource]:
    """Our rows of the table of counter-examples, by the name of the file."""
    rows = orjson.loads((PROFILES / "counter-examples" / "reasons.json").read_bytes())
    return {row["file"].removesuffix(".json"): row for row in rows if row["profile"].removeprefix(OURS) in MINE}


def counter_example(name: str) -> Resource:
    return copy.deepcopy(read(PROFILES / "counter-examples" / f"{name}.json"))


def errors(resource: Resource) -> list[str]:
    return [f"{i.expression}: {i.text}" for i in validate(resource, load(), known=known()) if i.is_error]


def with_status(resource: Resource, status: str) -> Resource:
    return {**resource, STATUS.get(resource["resourceType"], "status"): status}


INVARIANTS = sorted(
    name
    for name, row in reasons().items()
    if row["code"] == "invariant" and "severity" not in row and name.split("-")[0] not in STATELESS
)
GOVERNED = sorted(
    name
    for name, row in reasons().items()
    if not name.split("-")[0].startswith("Questionnaire")
    and name.split("-")[0] not in {*STATELESS, "RiskAssessment"}
    # these lack the very thing by which one would know them
    and name not in {"Task-task-without-code", "Goal-goal-without-direction"}
)


# ---- when a rule asks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "rule", "statuses", "asking"), ASKED, ids=[f"{r}-{n}" for n, r, _, _ in ASKED])
def test_a_rule_asks_in_its_statuses_and_in_no_other(
    name: str, rule: str, statuses: set[str], asking: set[str]
) -> None:
    broken = counter_example(name)
    told = {status: errors(with_status(broken, status)) for status in statuses}
    assert {status for status, found in told.items() if any(f"({rule})" in text for text in found)} == asking


@pytest.mark.parametrize("name", INVARIANTS)
def test_what_was_entered_in_error_may_say_so_whatever_rule_it_breaks(name: str) -> None:
    broken = counter_example(name)
    assert errors(broken) != []
    assert errors(with_status(broken, "entered-in-error")) == []


def test_a_plan_may_begin_as_little_more_than_its_name() -> None:
    plan = read(PROFILES / "examples" / "CarePlan-example-plan.json")
    for part in ("careTeam", "goal", "activity", "supportingInfo", "contributor", "period", "author"):
        del plan[part]
    assert errors(with_status(plan, "active")) != []
    assert errors(with_status(plan, "draft")) == []


def test_an_activity_that_was_cancelled_need_not_say_when() -> None:
    plan = counter_example("CarePlan-plan-activity-without-time")
    assert any("(phb-plan-1)" in text for text in errors(plan))
    plan["activity"][1]["detail"]["status"] = "cancelled"
    assert errors(plan) == []


@pytest.mark.parametrize(("end", "refused"), [("2026-10-13", True), ("2026-10-14", False), ("2026-11-02", False)])
def test_the_panel_has_nine_days_at_least(end: str, refused: bool) -> None:
    referral = counter_example("Task-panel-with-too-little-notice")  # asked on Monday, 5 October
    referral["restriction"]["period"]["end"] = end
    assert any("(phb-panel-1)" in text for text in errors(referral)) == refused


# ---- of whom it asks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOVERNED)
def test_a_resource_of_a_phb_kind_is_refused_though_it_claims_no_profile(name: str) -> None:
    row, broken = reasons()[name], counter_example(name)
    del broken["meta"]
    severity = row.get("severity", "error")
    found = [
        i for i in validate(broken, load(), known=known()) if (i.severity, i.kind.value) == (severity, row["code"])
    ]
    told_again = f"{row['expression']}.coding[0]"  # a code that its own system does not have either
    places = [issue.expression for issue in found if row["words"] in issue.text]
    assert [place for place in places if place != told_again] == [row["expression"]]


def test_a_risk_is_held_to_its_profile_where_its_plan_is_that_of_a_budget() -> None:
    plan = read(PROFILES / "examples" / "CarePlan-example-plan.json")
    risk = counter_example("RiskAssessment-risk-without-mitigation")
    del risk["meta"]
    in_one_write = transaction(plan, risk)
    assert [text for text in errors(in_one_write) if "(phb-risk-2)" in text] != []
    plan["category"] = plan["category"][:1]  # any care plan
    del plan["meta"]
    assert errors(transaction(plan, risk)) == []


def transaction(*resources: Resource) -> Resource:
    entries = []
    for resource in resources:
        name = f"{resource['resourceType']}/{resource['id']}"
        request = {"method": "PUT", "url": name}
        entries.append({"fullUrl": f"https://phb.example/fhir/{name}", "resource": resource, "request": request})
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


@pytest.mark.parametrize(
    ("name", "element", "other"),
    [
        ("CarePlan-plan-without-team", "category", [{"text": "Wound care plan"}]),
        ("Task-task-without-owner", "code", {"text": "Refill the printer"}),
        ("CareTeam-team-without-coordinator", "category", [{"text": "Stroke team"}]),
        ("Goal-goal-in-nobodys-words", "category", [{"text": "Blood pressure"}]),
        ("Observation-capacity-without-finding", "code", {"text": "Mood"}),
        ("Consent-delegate-from-no-day", "category", [{"text": "Photographs"}]),
    ],
)
def test_a_resource_of_another_kind_is_left_alone(name: str, element: str, other: Any) -> None:
    broken = counter_example(name)
    del broken["meta"]
    assert errors(broken) != []
    assert errors({**broken, element: other}) == []


# ---- that nothing is left out ----------------------------------------------------------------------------------------


def test_every_rule_we_state_has_a_counter_example() -> None:
    stated = {
        rule["key"]
        for name in MINE
        for element in read(PROFILES / f"StructureDefinition-{name}.json")["differential"]["element"]
        for rule in element.get("constraint", ())
    }
    words = " ".join(row["words"] for row in reasons().values())
    assert {key for key in stated if f"({key})" not in words} == set()


def test_every_profile_has_an_example_and_a_counter_example() -> None:
    examples = [read(path) for path in (PROFILES / "examples").glob("*.json")]
    assert {OURS + name for name in MINE} - {
        url for each in examples for url in each.get("meta", {}).get("profile", ())
    } == set()
    assert MINE - {row["profile"].removeprefix(OURS) for row in reasons().values()} == set()

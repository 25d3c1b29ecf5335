"""What may become of an appeal (SM-F), pair by pair, and what can be appealed: pure, of `rules/appeal`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from phb_fhir.rules.appeal import APPEAL_STEPS, DECISIONS, judge_appeal
from phb_fhir.rules.case import By, Case, Decision, Find, Read, answered
from phb_fhir.rules.deciding import check_taken_up
from phb_fhir.rules.words import BUSINESS_STATUS, TASK_CODE

Resource = dict[str, Any]
FIRST, OWNER = "PractitionerRole/first", "PractitionerRole/second"
DECISION = "Task/decision"
ANYBODY = By()
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)

# SM-F, once more and by itself
MAY = {
    "draft": {"requested"},
    "requested": {"received", "accepted", "rejected"},
    "received": {"accepted", "rejected"},
    "accepted": {"in-progress", "on-hold"},
    "in-progress": {"completed", "on-hold", "failed"},
    "on-hold": {"accepted", "in-progress"},
    "rejected": set(),
    "cancelled": set(),
    "failed": set(),
    "completed": set(),
    "entered-in-error": set(),
}
OPEN = {"draft", "requested", "received", "accepted", "in-progress", "on-hold"}


def task(code: str, id_: str, **more: Any) -> Resource:
    return {
        "resourceType": "Task",
        "id": id_,
        "code": {"coding": [{"system": TASK_CODE, "code": code}]},
        "for": {"reference": "Patient/jill"},
        **more,
    }


def decision(kind: str = "plan-sign-off", status: str = "completed", **more: Any) -> Resource:
    answer = {"coding": [{"system": BUSINESS_STATUS, "code": "not-approved"}]}
    return task(kind, "decision", status=status, owner={"reference": FIRST}, businessStatus=answer, **more)


def appeal(status: str = "requested", **more: Any) -> Resource:
    made = task("appeal", "appeal", status=status, focus={"reference": DECISION}, owner={"reference": OWNER})
    asker = {"reference": "Patient/jill"}
    outcome = {"coding": [{"system": BUSINESS_STATUS, "code": "upheld"}]} if status == "completed" else {}
    return {**made, "requester": asker, **({"businessStatus": outcome} if outcome else {}), **more}


def judged(
    before: Resource | None,
    after: Resource | None,
    *,
    found: Resource | None = None,
    others: tuple[Resource, ...] = (),
    behind: dict[str, str] | None = None,
    by: By = ANYBODY,
) -> Decision:
    roles = {
        key: {"practitioner": {"reference": (behind or {}).get(key, f"Practitioner/of-{key[-5:]}")}}
        for key in (FIRST, OWNER)
    }
    answers: dict[Any, Any] = {
        Read(DECISION): {DECISION: decision() if found is None else found},
        Find("Task", ("focus", DECISION), ("code", f"{TASK_CODE}|appeal")): list(others),
        Read(OWNER, FIRST): roles,
        Read(FIRST): roles,
        Read(OWNER): roles,
        Read("RelatedPerson/ruth"): {"RelatedPerson/ruth": {"patient": {"reference": "Patient/jill"}}},
    }
    case = Case("Task", "appeal", before, after, "Task/appeal/_history/2", NOW, NOW.date(), by)
    return answered(judge_appeal(case), answers)


def said(found: Decision) -> list[str]:
    return [issue.text for issue in found.issues]


@pytest.mark.parametrize("is_now", MAY)
@pytest.mark.parametrize("was", MAY)
def test_an_appeal_goes_where_the_table_says_and_nowhere_else(was: str, is_now: str) -> None:
    may = is_now in MAY[was] or is_now in (was, "entered-in-error") or (is_now == "cancelled" and was in OPEN)
    assert (said(judged(appeal(was), appeal(is_now))) == []) is may
    assert is_now in APPEAL_STEPS


@pytest.mark.parametrize("status", MAY)
def test_an_appeal_may_come_into_the_record_at_any_stage(status: str) -> None:
    assert said(judged(None, appeal(status))) == []


@pytest.mark.parametrize("kind", DECISIONS)
def test_each_kind_of_decision_can_be_appealed(kind: str) -> None:
    assert said(judged(None, appeal(), found=decision(kind))) == []


@pytest.mark.parametrize("kind", ["appeal", "risk-panel-referral", "give-information", "start-up-checklist"])
def test_what_decides_nothing_or_decided_finally_cannot(kind: str) -> None:
    assert judged(None, appeal(), found=decision(kind)).is_refusal


@pytest.mark.parametrize(
    ("status", "may"), [("completed", True), ("rejected", True), ("in-progress", False), ("cancelled", False)]
)
def test_a_decision_is_over_before_it_is_appealed(status: str, may: bool) -> None:
    assert judged(None, appeal(), found=decision(status=status)).is_refusal is not may


def test_a_notice_to_pay_back_can_be_appealed_from_the_day_it_is_given() -> None:
    assert not judged(None, appeal(), found=decision("repayment-notice", "in-progress")).is_refusal


@pytest.mark.parametrize(
    ("status", "may"),
    [("requested", False), ("completed", False), ("in-progress", False), ("cancelled", True), ("rejected", True)],
)
def test_there_is_one_reconsideration_and_one_that_came_to_nothing_does_not_count(status: str, may: bool) -> None:
    other = {**appeal(status), "id": "other"}
    assert judged(None, appeal(), others=(other,)).is_refusal is not may
    assert not judged(None, appeal(), others=(appeal(status),)).is_refusal  # itself


def test_of_two_that_were_asked_for_at_once_none_is_decided_while_there_are_two() -> None:
    other = {**appeal(), "id": "other"}
    assert judged(appeal("in-progress"), appeal("completed"), others=(other, appeal("in-progress"))).is_refusal
    assert not judged(appeal("in-progress"), appeal("completed"), others=(appeal("in-progress"),)).is_refusal


@pytest.mark.parametrize("status", ["accepted", "in-progress", "completed"])
def test_who_decided_first_takes_no_appeal_up_in_whichever_role(status: str) -> None:
    same = {FIRST: "Practitioner/priya", OWNER: "Practitioner/priya"}
    assert judged(None, appeal(status), behind=same).is_refusal
    assert not judged(None, appeal("requested"), behind=same).is_refusal  # it can still be given to another
    assert not judged(None, appeal(status)).is_refusal


@pytest.mark.parametrize(
    ("by", "may"),
    [
        (By(), True),
        (By("system"), True),
        (By("nhs-team", frozenset({OWNER})), True),
        (By("nhs-team", frozenset({OWNER, FIRST})), False),
        (By("nhs-team", frozenset({"PractitionerRole/third"})), False),
        (By("person", frozenset({OWNER}), frozenset({"Patient/jill"})), False),
    ],
)
def test_an_appeal_is_decided_by_who_has_it_and_not_by_who_decided_first(by: By, may: bool) -> None:
    assert judged(appeal("in-progress"), appeal("completed"), by=by).is_refusal is not may


@pytest.mark.parametrize(
    ("asker", "by", "may"),
    [
        ("Patient/jill", By("person", frozenset({"Patient/jill"}), frozenset({"Patient/jill"})), True),
        ("RelatedPerson/ruth", By("delegate", frozenset({"RelatedPerson/ruth"})), True),
        ("RelatedPerson/ruth", By("person", frozenset(), frozenset({"Patient/jill"})), False),
        ("Patient/jill", By("delegate", frozenset({"RelatedPerson/ruth"})), False),
        ("Patient/jill", By("care-coordinator", frozenset({FIRST})), True),
        ("Organization/icb", By(), False),
    ],
)
def test_an_appeal_is_asked_for_by_the_person_or_for_them(asker: str, by: By, may: bool) -> None:
    assert judged(None, appeal(requester={"reference": asker}), by=by).is_refusal is not may


def test_the_person_is_told_of_the_outcome_unless_it_is_of_long_ago() -> None:
    (follow,) = judged(appeal("in-progress"), appeal("completed")).follow
    assert follow.resource["topic"] == {"text": "Your appeal succeeded"}
    assert judged(None, appeal("completed", executionPeriod={"end": "2026-03-01"})).follow == ()
    assert judged(appeal("requested"), appeal("accepted")).follow == ()


def test_another_task_is_let_be() -> None:
    other = task("give-information", "x", status="requested")
    assert judged(None, other) == Decision()


# ---- nobody takes up what they ask for themselves ------------------------------------------------

JILL = By("person", frozenset({"Patient/jill"}), frozenset({"Patient/jill"}))


@pytest.mark.parametrize("kind", ["appeal", "plan-sign-off", "risk-panel-referral"])
@pytest.mark.parametrize("status", ["received", "accepted", "in-progress", "rejected", "on-hold", "failed"])
def test_whoever_asks_takes_nothing_up_and_turns_nothing_down(kind: str, status: str) -> None:
    before = {"received": "requested", "accepted": "received", "rejected": "received", "in-progress": "accepted"}.get(
        status, "in-progress"
    )
    case = told(task(kind, "asked", status=before), task(kind, "asked", status=status))
    (why,) = check_taken_up(replace(case, by=JILL))
    assert why.text.startswith("This is taken up by those who decide it")
    assert not [*check_taken_up(replace(case, by=By("nhs-team"))), *check_taken_up(case)]
    assert [*check_taken_up(replace(case, before=None, by=JILL))] == [why]


@pytest.mark.parametrize("status", ["requested", "cancelled", "entered-in-error"])
def test_whoever_asks_may_withdraw_it(status: str) -> None:
    before = task("appeal", "asked", status="in-progress")
    assert not [*check_taken_up(replace(told(before, {**before, "status": status}), by=JILL))]


def test_who_decides_is_not_for_whoever_asked_to_change() -> None:
    before, other = task("appeal", "asked", owner={"reference": OWNER}), {"reference": "PractitionerRole/friend"}
    for status, said in (("requested", 0), ("in-progress", 1)):
        case = told({**before, "status": status}, {**before, "status": status, "owner": other})
        assert len([*check_taken_up(replace(case, by=JILL))]) == said
        assert not [*check_taken_up(case)]


def test_a_decision_is_not_made_undone_by_whoever_it_went_against() -> None:
    before = appeal("completed")
    assert judged(before, appeal("entered-in-error"), by=JILL).is_refusal
    assert not judged(before, appeal("entered-in-error"), by=By("nhs-team")).is_refusal


def told(before: Resource, after: Resource) -> Case:
    return Case("Task", "asked", before, after, "Task/asked/_history/2", NOW, NOW.date())

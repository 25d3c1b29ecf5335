"""What may become of Tasks without a table of their own (SM-D), pair by pair, and who decides: pure, of `rules/requests`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from phb_fhir.data import data_path
from phb_fhir.rules.case import By, Case, answered
from phb_fhir.rules.requests import DECIDED, SEEN_TO, STEPS, judge_request
from phb_fhir.rules.words import BUSINESS_STATUS, TASK_CODE

Resource = dict[str, Any]
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
GOING_ON = ("draft", "requested", "received", "accepted", "ready", "in-progress", "on-hold")
OVER = ("rejected", "cancelled", "failed", "completed", "entered-in-error")
HAVE_THEIR_OWN = {"phb-review", "plan-sign-off", "appeal", "risk-panel-referral", "repayment-notice"}
KINDS = [
    one["code"]
    for one in orjson.loads((data_path("profiles") / "CodeSystem-phb-task-code.json").read_bytes())["concept"]
]
COMMISSIONER, COORDINATOR = By("commissioner"), By("care-coordinator")
PERSON, DELEGATE, PRACTICE = By("person"), By("delegate"), By("practice")


def task(status: str, kind: str = "start-up-checklist", answer: str = "approved", **more: Any) -> Resource:
    said = {"coding": [{"system": BUSINESS_STATUS, "code": answer}]} if answer else None
    made = {"resourceType": "Task", "status": status, "code": {"coding": [{"system": TASK_CODE, "code": kind}]}, **more}
    return {**made, **({"businessStatus": said} if said and status == "completed" else {})}


def said(before: Resource | None, after: Resource | None, by: By = COMMISSIONER, *, is_own: bool = False) -> list[str]:
    case = replace(Case("Task", "one", before, after, "Task/one/_history/2", NOW, NOW.date(), by), is_own=is_own)
    return [issue.text for issue in answered(judge_request(case), {}).issues]


@pytest.mark.parametrize("kind", ["start-up-checklist", "exception"])
@pytest.mark.parametrize("is_now", [*GOING_ON, *OVER])
@pytest.mark.parametrize("was", [*GOING_ON, *OVER])
def test_what_is_over_stays_over_and_what_was_asked_for_is_no_draft_again(was: str, is_now: str, kind: str) -> None:
    forth = was in GOING_ON and (is_now != "draft" or was == "draft")
    may = was == is_now or forth or (is_now == "entered-in-error" and was in OVER)
    assert (said(task(was, kind), task(is_now, kind)) == []) is may
    assert (is_now in STEPS[was]) is may or was == is_now


@pytest.mark.parametrize("kind", sorted(HAVE_THEIR_OWN))
def test_kinds_with_a_table_of_their_own_are_left_to_it(kind: str) -> None:
    assert kind in KINDS
    assert said(task("completed", kind), task("requested", kind)) == []


@pytest.mark.parametrize("kind", sorted(set(KINDS) - HAVE_THEIR_OWN))
def test_every_other_kind_is_held_to_the_common_one(kind: str) -> None:
    (only,) = said(task("completed", kind), task("requested", kind))
    assert only == "A task that is completed cannot become requested; it can become entered-in-error."


def test_what_the_server_does_itself_and_tasks_of_others_are_passed_by() -> None:
    assert said(task("rejected", "surplus-review"), task("requested", "surplus-review"), is_own=True) == []
    other = {"resourceType": "Task", "status": "completed"}
    assert said(other, {**other, "status": "requested"}) == []


@pytest.mark.parametrize("kind", DECIDED)
@pytest.mark.parametrize("by", [PERSON, DELEGATE, PRACTICE, By("finance")])
def test_nobody_says_yes_to_what_they_ask_for(by: By, kind: str) -> None:
    for before in (None, task("requested", kind)):
        assert len(said(before, task("completed", kind), by)) == 1
    assert said(None, task("requested", kind), by) == []
    assert said(task("completed", kind), task("completed", kind, note=[{"text": "Thank you."}]), by) == []


@pytest.mark.parametrize("kind", DECIDED)
def test_a_commissioner_decides_each_kind_and_says_yes_or_no_and_why_not(kind: str) -> None:
    asked = task("requested", kind)
    assert said(asked, task("completed", kind)) == []
    assert said(asked, task("completed", kind, "scheduled")) == [
        "A request that is completed was decided: say approved or not-approved."
    ]
    assert said(asked, task("completed", kind, "not-approved")) == ["Whoever is told no is told why: give the reason."]
    assert said(asked, task("completed", kind, "not-approved", statusReason={"text": "There is another way."})) == []


def test_a_case_outside_the_groups_is_the_commissioners_and_the_others_the_teams_too() -> None:
    allowed = {kind for kind in DECIDED if not said(None, task("completed", kind), COORDINATOR)}
    assert allowed == set(DECIDED) - {"eligibility-request"}


@pytest.mark.parametrize("kind", DECIDED)
def test_what_was_decided_stands_and_is_not_deleted(kind: str) -> None:
    no = task("completed", kind, "not-approved", statusReason={"text": "There is another way."})
    assert "What was decided stands as it was decided." in said(no, task("completed", kind))[0]
    assert "A decision is not deleted" in said(no, None)[0]
    assert said(task("requested", kind), None) == []


@pytest.mark.parametrize("kind", sorted(SEEN_TO))
@pytest.mark.parametrize("by", [PERSON, DELEGATE, By("broker"), By("provider")])
def test_nobody_says_of_their_own_spending_that_it_was_looked_into(by: By, kind: str) -> None:
    for before in (None, task("requested", kind), task("completed", kind)):
        assert said(before, task("completed", kind), by) == [SEEN_TO[kind][1]]
    assert said(task("requested", kind), task("in-progress", kind), by) == []


@pytest.mark.parametrize("kind", sorted(SEEN_TO))
@pytest.mark.parametrize("status", ["rejected", "cancelled", "failed", "entered-in-error"])
def test_nobody_calls_off_what_they_did_not_ask_for(status: str, kind: str) -> None:
    theirs = {"requester": {"reference": "Organization/icb"}}
    before, after = ({**task(one, kind), **theirs} for one in ("in-progress", status))
    jill = By("person", frozenset(), frozenset({"Patient/jill"}))
    assert said(before, after, jill) == [SEEN_TO[kind][1]]
    assert said(before, after, COORDINATOR) == []
    own = {"requester": {"reference": "Patient/jill"}}
    assert (said({**before, **own}, {**after, **own}, jill) == []) is (status == "cancelled")
    assert said(before, {**after, **own}, jill) == [SEEN_TO[kind][1]]


@pytest.mark.parametrize("kind", sorted(SEEN_TO))
@pytest.mark.parametrize("by", [COMMISSIONER, COORDINATOR, By("nhs-team"), By("system"), By()])
def test_the_team_and_the_commissioner_say_that_they_have_seen_to_something(by: By, kind: str) -> None:
    for before in (None, task("requested", kind)):
        assert said(before, task("completed", kind), by) == []


def test_a_practice_answers_what_it_is_asked_and_says_of_nothing_else_that_it_is_done() -> None:
    asked = {kind for kind in SEEN_TO if not said(task("requested", kind), task("completed", kind), PRACTICE)}
    assert asked == {"clinical-information-request", "medical-history-confirmation"}


@pytest.mark.parametrize("kind", ["surplus-review", "overspend-query"])
def test_nobody_keeps_the_server_from_asking_by_asking_first(kind: str) -> None:
    for before in (None, task("draft", "needs-assessment")):
        (only,) = said(before, task("requested", kind), PERSON)
        assert only.startswith("How the money is used is asked about by the NHS team")
    assert said(None, task("requested", "unusual-request"), PERSON) == []
    assert said(None, task("requested", kind), COORDINATOR) == []


KIND_STAYS = "What a task is about, its kind, stays as it was asked for. Take this one back, and make another."


@pytest.mark.parametrize("by", [PERSON, COORDINATOR, By("system")])
@pytest.mark.parametrize("status", ["requested", "in-progress", "completed"])
@pytest.mark.parametrize("now", ["exception", "plan-sign-off", "overspend-query"])
def test_no_task_becomes_one_of_another_kind(by: By, status: str, now: str) -> None:
    before, after = (task(status, kind) for kind in ("care-planning", now))
    assert KIND_STAYS in said(before, after, by)
    assert KIND_STAYS in said(after, before, by)
    assert KIND_STAYS not in said({**before, "status": "draft"}, after, by)
    assert said(before, {**after, "status": "entered-in-error"}, COORDINATOR) == []


@pytest.mark.parametrize("kind", ["overspend-query", "plan-sign-off", "care-planning"])
def test_nor_does_it_become_one_of_no_kind_but_by_who_decides(kind: str) -> None:
    before, after = task("requested", kind), task("completed", "")
    assert KIND_STAYS in said(before, after, PERSON)
    assert KIND_STAYS not in said(before, after, COORDINATOR)
    assert KIND_STAYS in said(after, before, COORDINATOR)


@pytest.mark.parametrize("name", ["focus", "for", "description"])
@pytest.mark.parametrize("status", ["requested", "in-progress"])
def test_what_others_ask_stays_as_they_asked_it(status: str, name: str) -> None:
    jill = By("person", frozenset(), frozenset({"Patient/jill"}))
    theirs, own = ({"requester": {"reference": one}} for one in ("Organization/icb", "Patient/jill"))
    before, after = task(status, **{name: "this"}), task(status, **{name: "that"})
    (only,) = said({**before, **theirs}, {**after, **theirs}, jill)
    assert only.startswith("What this is about is for who asked for it")
    assert said({**before, **own}, {**after, **own}, jill) == []
    assert said({**before, **theirs}, {**after, **theirs}, COORDINATOR) == []


def test_what_is_over_is_of_what_it_was_of() -> None:
    jill = By("person", frozenset(), frozenset({"Patient/jill"}))
    own = {"requester": {"reference": "Patient/jill"}}
    done = task("completed", "give-information", focus={"reference": "Account/one"}, **own)
    (only,) = said(done, {**done, "focus": {"reference": "Account/two"}}, jill)
    assert only.startswith("What this is about is for who asked for it")

"""C32E4: a decision is looked at again, once, by somebody who did not make it (R142 to R146; SM-F)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.journeys.jills_budget import read, refused
from tests.journeys.planning import (
    BUSINESS,
    PRIYA,
    REASON,
    TASK_CODE,
    changed,
    coded,
    letters,
    parameters,
    planned,
    put,
    record,
    said_in,
    sign_off,
)

TOM = "PractitionerRole/tom-whelan-ms-nurse"
Resource = dict[str, Any]


@pytest.fixture
def jill(api: httpx.Client) -> httpx.Client:
    """Jill, whose plan was not signed off."""
    record(api, planned())
    asked = {
        "reason": ("CodeableConcept", coded(REASON, "poor-value")),
        "guidance": ("String", "Look for a gym nearer by."),
        "personPresent": ("Boolean", True),
    }
    answer = api.post("/CarePlan/jill-plan/$refuse", json=parameters(**asked))
    assert answer.status_code == 200, answer.text
    return api


def appeal(**more: Any) -> Resource:
    return {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": coded(TASK_CODE, "appeal"),
        "description": "Swimming is why I sleep. The other pool has no hoist.",
        "focus": {"reference": "Task/jill-sign-off"},
        "for": {"reference": "Patient/jill"},
        "authoredOn": "2026-11-22T09:00:00Z",
        "lastModified": "2026-11-22T09:00:00Z",
        "requester": {"reference": "Patient/jill"},
        "owner": {"reference": TOM},
        **more,
    }


def decided(answer: str, **more: Any) -> Resource:
    said = {"text": "The nearer pool cannot be reached with a wheelchair."}
    return {"status": "completed", "businessStatus": coded(BUSINESS, answer), "statusReason": said, **more}


def asked(api: httpx.Client, **more: Any) -> str:
    answer = api.post("/Task", json=appeal(**more))
    assert answer.status_code == 201, answer.text
    return f"Task/{answer.json()['id']}"


def taken_up(api: httpx.Client) -> str:
    key = asked(api)
    for status in ("accepted", "in-progress"):
        assert changed(api, key, status=status).status_code == 200
    return key


@pytest.mark.parametrize(
    ("outcome", "words"),
    [("upheld", "succeeded"), ("part-upheld", "succeeded in part"), ("not-upheld", "did not succeed")],
)
def test_an_appeal_is_asked_for_taken_up_and_decided_and_the_person_is_told_why(
    jill: httpx.Client, outcome: str, words: str
) -> None:
    key = taken_up(jill)
    answer = changed(jill, key, **decided(outcome))
    assert answer.status_code == 200, answer.text
    _, letter = letters(jill)
    assert letter["topic"]["text"] == f"Your appeal {words}"
    assert "whether the plan is signed off" in said_in(letter)
    assert "Why: The nearer pool cannot be reached with a wheelchair." in said_in(letter)
    assert letter["about"] == [{"reference": key}]


def test_an_appeal_says_by_when_it_is_decided_and_what_is_late_is_found(jill: httpx.Client) -> None:
    key = asked(jill)
    assert read(jill, key)["restriction"] == {"period": {"end": "2026-12-20"}}
    taken = {**appeal(status="accepted"), "id": key.partition("/")[2]}
    assert put(jill, taken).status_code == 200
    assert read(jill, key)["restriction"] == {"period": {"end": "2026-12-20"}}
    for day, found in (("2026-12-20", []), ("2026-12-21", [key])):
        late = jill.get("/Task", params={"code": f"{TASK_CODE}|appeal", "due": f"lt{day}"}).json()
        assert [f"Task/{one['resource']['id']}" for one in late.get("entry", [])] == found


def test_who_decided_first_does_not_decide_again_in_this_role_or_another(jill: httpx.Client) -> None:
    other = {**read(jill, PRIYA), "id": "priya-manager"}
    del other["meta"], other["identifier"]
    assert put(jill, other).status_code == 201
    for owner in (PRIYA, "PractitionerRole/priya-manager", "Practitioner/priya-nair"):
        key = asked(jill, owner={"reference": owner})
        assert refused(changed(jill, key, status="accepted")) == [
            f"An appeal is decided by somebody who did not make the decision: {PRIYA} did, so {owner} cannot."
        ]
        assert changed(jill, key, status="accepted", owner={"reference": TOM}).status_code == 200
        assert changed(jill, key, status="cancelled").status_code == 200


def test_an_appeal_is_not_handed_to_who_decided_first_once_it_is_taken_up(jill: httpx.Client) -> None:
    key = taken_up(jill)
    assert refused(changed(jill, key, **decided("not-upheld"), owner={"reference": PRIYA})) != []


def test_a_decision_is_looked_at_again_once(jill: httpx.Client) -> None:
    first = asked(jill)
    (text,) = refused(jill.post("/Task", json=appeal()))
    assert text.startswith(
        f"This decision has been appealed already, by {first}, which is being looked at (requested)."
    )
    assert changed(jill, first, status="cancelled").status_code == 200
    second = taken_up(jill)
    assert changed(jill, second, **decided("not-upheld")).status_code == 200
    (text,) = refused(jill.post("/Task", json=appeal()))
    assert "which is decided (not-upheld)" in text
    (text,) = refused(jill.post("/Task", json=appeal(focus={"reference": second})))
    assert text.startswith("This is an appeal that was decided.")


def test_of_two_appeals_that_are_asked_for_at_once_one_is_taken(jill: httpx.Client) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: jill.post("/Task", json=appeal()), range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, *[422] * 5]


def test_an_appeal_is_about_a_decision_that_was_made(jill: httpx.Client) -> None:
    assert (
        "which is not" not in refused(jill.post("/Task", json=appeal(focus={"reference": "Task/jill-step-4-plan"})))[0]
    )
    for focus, words in (
        ("Task/jill-step-4-plan", "Nothing was decided by this task that could be appealed."),
        ("Task/nowhere", "An appeal is about a decision that is in the record"),
    ):
        said = refused(jill.post("/Task", json=appeal(focus={"reference": focus})))
        assert any(one.startswith(words) for one in said)


def test_an_appeal_before_anything_is_decided_is_told_so(api: httpx.Client) -> None:
    record(api, planned())
    assert refused(api.post("/Task", json=appeal())) == [
        "Nothing is decided yet: the task about whether the plan is signed off is requested."
    ]


def test_an_appeal_is_asked_for_by_the_person_or_who_speaks_for_them(jill: httpx.Client) -> None:
    asked_by_ruth = asked(jill, requester={"reference": "RelatedPerson/ruth-harper"})
    assert changed(jill, asked_by_ruth, status="cancelled").status_code == 200
    stranger = {**read(jill, "RelatedPerson/ruth-harper"), "id": "stranger", "patient": {"reference": "Patient/asha"}}
    del stranger["meta"]
    assert put(jill, stranger).status_code == 201
    (text,) = refused(jill.post("/Task", json=appeal(requester={"reference": "RelatedPerson/stranger"})))
    assert text.startswith("An appeal is asked for by the person whom the decision is about")
    assert refused(jill.post("/Task", json=appeal(**{"for": {"reference": "Patient/asha"}}))) != []


def test_an_appeal_is_looked_at_before_it_is_decided(jill: httpx.Client) -> None:
    key = asked(jill)
    (text,) = refused(changed(jill, key, **decided("upheld")))
    assert text.startswith("A task that is requested cannot become completed")


def test_the_outcome_of_an_appeal_stands(jill: httpx.Client) -> None:
    key = taken_up(jill)
    assert changed(jill, key, **decided("not-upheld")).status_code == 200
    assert refused(changed(jill, key, businessStatus=coded(BUSINESS, "upheld"))) != []
    assert refused(jill.delete(f"/{key}")) != []


def test_after_an_appeal_that_succeeded_the_plan_is_signed_off(jill: httpx.Client) -> None:
    assert changed(jill, taken_up(jill), **decided("upheld")).status_code == 200
    assert sign_off(jill).status_code == 200

"""C32E5: whoever holds the money does not say that somebody has looked into how it is used (R48, R76, R87, R88, R107)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.journeys.jills_budget import PHB, coded, read, refused, task
from tests.journeys.jills_budget import put as put_together
from tests.journeys.planning import put
from tests.people import People, signed_in
from tests.stories import massage

KINDS = ("surplus-review", "overspend-query", "start-up-checklist", "unusual-request", "provider-check")
DONE = "Whether this is done is for the NHS team or the commissioner to say; they complete the task."


@pytest.fixture(scope="module")
def people(mongodb_uri: str) -> Iterator[People]:
    with signed_in(mongodb_uri) as made:
        yield made


@pytest.mark.parametrize("kind", KINDS)
def test_a_holder_does_not_silence_a_question_by_answering_it_first(people: People, kind: str) -> None:
    mine = task("mine", kind, requester={"reference": "Patient/jill"}, owner={"reference": "Patient/jill"})
    del mine["id"]
    assert DONE in refused(people["jill"].post("/Task", json={**mine, "status": "completed"}))


@pytest.mark.parametrize("kind", KINDS)
def test_the_co_ordinator_says_that_something_was_seen_to_and_the_holder_does_not(people: People, kind: str) -> None:
    asked = {name: one for name, one in task("", kind).items() if name != "id"}
    made = people["co-ordinator"].post("/Task", json=asked)
    assert made.status_code == 201, made.text
    stored = read(people["jill"], f"Task/{made.json()['id']}")
    assert DONE in refused(put(people["jill"], {**stored, "status": "completed"}))
    assert put(people["co-ordinator"], {**stored, "status": "completed"}).status_code == 200


@pytest.mark.parametrize("status", ["cancelled", "completed", "rejected", "entered-in-error"])
def test_a_worry_about_harm_is_not_called_off_by_whom_it_is_about(people: People, status: str) -> None:
    worry = task("", "safeguarding-referral", description="A neighbour saw bruises.")
    made = people["co-ordinator"].post("/Task", json={name: one for name, one in worry.items() if name != "id"})
    assert made.status_code == 201, made.text
    stored = {**read(people["jill"], f"Task/{made.json()['id']}"), "statusReason": {"text": "It is nothing."}}
    assert refused(put(people["jill"], {**stored, "status": status})) == [DONE]
    assert put(people["co-ordinator"], {**stored, "status": status}).status_code == 200


def test_who_raised_a_worry_about_harm_may_take_it_back(people: People) -> None:
    worry = task("", "safeguarding-referral", requester={"reference": "Patient/jill"}, description="I am afraid.")
    made = people["jill"].post("/Task", json={name: one for name, one in worry.items() if name != "id"})
    assert made.status_code == 201, made.text
    stored = read(people["jill"], f"Task/{made.json()['id']}")
    assert put(people["jill"], {**stored, "status": "cancelled"}).status_code == 200


@pytest.mark.parametrize("kind", ["exception", "eligibility-request", "management-model-request"])
def test_nobody_makes_a_decision_of_a_task_of_another_kind(people: People, kind: str) -> None:
    asked = task("", "care-planning", requester={"reference": "Patient/jill"}, status="completed")
    asked["businessStatus"] = coded("phb-task-business-status", "approved")
    made = people["jill"].post("/Task", json={name: one for name, one in asked.items() if name != "id"})
    assert made.status_code == 201, made.text
    decision = {**read(people["jill"], f"Task/{made.json()['id']}"), "code": coded("phb-task-code", kind)}
    (why,) = refused(put(people["jill"], decision))
    assert why.startswith("What a task is about, its kind, stays as it was asked for.")


def test_a_question_about_the_money_is_not_made_into_another_task(people: People) -> None:
    asked = {name: one for name, one in task("", "overspend-query").items() if name != "id"}
    made = people["co-ordinator"].post("/Task", json=asked)
    stored = read(people["jill"], f"Task/{made.json()['id']}")
    for other in ({"code": coded("phb-task-code", "care-planning")}, {"focus": {"reference": "CarePlan/jill-plan"}}):
        assert put(people["jill"], {**stored, **other}).status_code == 422
    assert read(people["jill"], f"Task/{made.json()['id']}") == stored


def test_what_the_practice_is_asked_is_answered_by_the_practice(people: People) -> None:
    asked = read(people["jill"], "Task/jill-clinical-information")
    assert refused(put(people["jill"], {**asked, "status": "completed"})) == [
        "What a practice is asked is answered by the practice, or recorded by the NHS team."
    ]
    assert put(people["practice"], {**asked, "status": "completed"}).status_code == 200


def test_a_person_does_not_take_back_that_somebody_lives_in_their_household(people: People) -> None:
    ruth = read(people["jill"], "RelatedPerson/ruth-harper")
    lives = {"url": f"{PHB}/StructureDefinition/phb-connected-person", "valueBoolean": True}
    others = [one for one in ruth.get("extension", ()) if one["url"] != lives["url"]]
    flagged = {**ruth, "extension": [*others, lives]}
    assert put(people["jill"], flagged).status_code == 200  # to say that somebody does is anybody's
    without = {**ruth, "extension": [*others, {**lives, "valueBoolean": False}]}
    (why,) = refused(put(people["jill"], without))
    assert why.startswith("That somebody lives in the same household is taken back by the NHS team")
    at = next(n for n, one in enumerate(flagged["extension"]) if one["url"] == lives["url"])
    patch = [{"op": "replace", "path": f"/extension/{at}/valueBoolean", "value": False}]
    headers = {"Content-Type": "application/json-patch+json"}
    answer = people["jill"].patch("/RelatedPerson/ruth-harper", content=json.dumps(patch), headers=headers)
    assert refused(answer) == [why]
    called = {**flagged, "telecom": [{"system": "phone", "value": "01632 960123"}]}
    assert put(people["jill"], called).status_code == 200
    (why,) = refused(put(people["jill"], {**called, "name": [{"family": "Else", "given": ["Somebody"]}]}))
    assert why.startswith(
        "Who it is (name, date of birth, number) that lives in the same household is put right by the NHS"
    )
    assert put(people["co-ordinator"], without).status_code == 200


RUTH = {"use": "official", "family": "HARPER", "given": ["Ruth", "Ann"]}
NUMBER = {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9000000173"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"name": [RUTH]}),
        ({"birthDate": "1970-03-01"}, {"name": [{"text": "Ruth  Harper"}], "birthDate": "1970-03-01"}),
        ({"birthDate": "1970-03-01"}, {"name": [RUTH]}),
        ({"identifier": [NUMBER]}, {"identifier": [NUMBER], "name": [{"family": "Baker"}]}),
    ],
)
def test_somebody_of_the_household_is_not_paid_by_another_record_of_them(
    people: People, first: dict[str, Any], second: dict[str, Any]
) -> None:
    ruth = read(people["system"], "RelatedPerson/ruth-harper")
    lives = {"url": f"{PHB}/StructureDefinition/phb-connected-person", "valueBoolean": True}
    assert put(people["co-ordinator"], {**ruth, **first, "extension": [lives]}).status_code == 200
    again = {"resourceType": "RelatedPerson", "id": "again", "patient": {"reference": "Patient/jill"}, **second}
    assert put(people["system"], again).status_code in (200, 201)
    paying = massage("PUR-HOME", performer=[{"actor": {"reference": "RelatedPerson/again"}}])
    (why,) = refused(people["system"].post("/ChargeItem", json=paying))
    assert why.startswith("Somebody who lives in the same household can be paid only where an exception was agreed")


@pytest.mark.parametrize(
    ("purchase", "first", "second"),
    [
        ("PUR-BORN", {"birthDate": "1970-03-01"}, {"name": [RUTH], "birthDate": "1994-07-21"}),
        ("PUR-NUMBER", {"identifier": [NUMBER]}, {"name": [RUTH], "identifier": [{**NUMBER, "value": "9000000181"}]}),
        ("PUR-NAME", {}, {"name": [{"family": "Harper", "given": ["Rose"]}]}),
    ],
)
def test_somebody_else_of_the_same_name_is_paid(
    people: People, purchase: str, first: dict[str, Any], second: dict[str, Any]
) -> None:
    ruth = read(people["system"], "RelatedPerson/ruth-harper")
    lives = {"url": f"{PHB}/StructureDefinition/phb-connected-person", "valueBoolean": True}
    assert put(people["co-ordinator"], {**ruth, **first, "extension": [lives]}).status_code == 200
    niece = {"resourceType": "RelatedPerson", "id": "niece", "patient": {"reference": "Patient/jill"}, **second}
    assert put(people["system"], niece).status_code in (200, 201)
    paying = massage(purchase, performer=[{"actor": {"reference": "RelatedPerson/niece"}}])
    made = people["system"].post("/ChargeItem", json=paying)
    assert made.status_code == 201, made.text


def test_what_is_bought_after_a_death_waits_for_somebody_to_decide(people: People) -> None:
    """The plan and the directory agree to it, and the person it was for is not there any more."""
    jill = read(people["co-ordinator"], "Patient/jill")
    assert put(people["system"], {**jill, "deceasedDateTime": "2026-11-19"}).status_code == 200
    for day, status in (("2026-11-19", "billable"), ("2026-11-20", "planned")):
        made = people["jill"].post("/ChargeItem", json=massage(f"PUR-{day}", occurrenceDateTime=day))
        assert (made.status_code, made.json().get("status")) == (201, status), made.text


def others(people: People, first: int, last: int) -> None:
    """People around Jill, by number."""
    rows = [
        {
            "resourceType": "RelatedPerson",
            "id": f"other-{n}",
            "patient": {"reference": "Patient/jill"},
            "name": [{"text": f"No {n}"}],
        }
        for n in range(first, last)
    ]
    made = put_together(people["system"], *rows)
    assert made.status_code == 200, made.text


def test_whoever_is_of_the_household_is_found_among_however_many_who_are_close(people: People) -> None:
    lives = {"url": f"{PHB}/StructureDefinition/phb-connected-person", "valueBoolean": True}
    zoe = {"resourceType": "RelatedPerson", "id": "zoe", "patient": {"reference": "Patient/jill"}}
    zoe["name"] = [{"family": "Harper", "given": ["Zoe"]}]
    others(people, 0, 250)
    assert put(people["system"], {**zoe, "id": "zoe-at-home", "extension": [lives]}).status_code == 201
    others(people, 250, 500)
    assert put(people["system"], zoe).status_code == 201
    paying = massage("PUR-MANY", performer=[{"actor": {"reference": "RelatedPerson/zoe"}}])
    (why,) = refused(people["system"].post("/ChargeItem", json=paying))
    assert why.startswith("Somebody who lives in the same household can be paid only where an exception was agreed")
    others(people, 500, 2_001)
    answer = people["system"].post("/ChargeItem", json=paying)
    assert (answer.status_code, [issue["code"] for issue in answer.json()["issue"]]) == (422, ["too-costly"])
    assert answer.json()["issue"][0]["details"]["text"] == (
        "More than 2,000 RelatedPerson are recorded that this is to be held against, which is more than are looked at."
    )


AGREEMENT = "DocumentReference/jill-direct-payment-agreement"


def test_that_both_sides_signed_is_not_said_by_one_of_them(people: People) -> None:
    """What the person hands in is preliminary until the team makes it final (R92)."""
    signed = read(people["jill"], AGREEMENT)
    mine = {name: one for name, one in signed.items() if name not in ("id", "meta", "identifier")}
    for said in ("final", "amended", None):
        sent = {name: one for name, one in {**mine, "docStatus": said}.items() if one}
        (issue,) = refused(people["jill"].post("/DocumentReference", json=sent))
        assert issue.startswith("A direct payment rests on this agreement, so the NHS team records that both sides")
    draft = people["jill"].post("/DocumentReference", json={**mine, "docStatus": "preliminary"})
    assert draft.status_code == 201, draft.text
    assert put(people["co-ordinator"], {**draft.json(), "docStatus": "final"}).status_code == 200

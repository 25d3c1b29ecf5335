"""Nobody writes in somebody else's name: who asked for something, and who filled in or signed what is relied on (R9, R108, R168)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.people import People, signed_in

BASE = "https://fhir.phb.nhs.example"
NURSE = "PractitionerRole/priya-nair-coordinator"
NAMES = {"jill": "Patient/jill", "ruth": "RelatedPerson/ruth-harper", "co-ordinator": NURSE}


@pytest.fixture(scope="module")
def people(mongodb_uri: str) -> Iterator[People]:
    with signed_in(mongodb_uri) as made:
        yield made


def asked(code: str, requester: str | None) -> dict[str, Any]:
    return {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": {"coding": [{"system": f"{BASE}/CodeSystem/phb-task-code", "code": code}]},
        "description": "I would like this to be looked at.",
        "for": {"reference": "Patient/jill"},
        "focus": {"reference": "Account/jill-budget"},
        "authoredOn": "2026-11-22T09:00:00Z",
        "owner": {"reference": "Organization/harbourside-north"},
        **({"requester": {"reference": requester}} if requester else {}),
    }


KINDS = ("exception", "management-model-request", "joint-budget-request", "give-information")


@pytest.mark.parametrize("code", KINDS)
@pytest.mark.parametrize(("who", "other"), [("ruth", "jill"), ("jill", "ruth"), ("ruth", "co-ordinator")])
def test_who_asks_for_something_is_who_is_signed_in(people: People, code: str, who: str, other: str) -> None:
    own = people[who].post("/Task", json=asked(code, NAMES[who]))
    assert own.status_code == 201, own.text
    forged = people[who].post("/Task", json=asked(code, NAMES[other]))
    assert forged.status_code == 422, forged.text
    assert "Who asks for this is who is signed in: name yourself." in forged.text
    changed = people[who].put(f"/Task/{own.json()['id']}", json=own.json() | {"requester": {"reference": NAMES[other]}})
    assert changed.status_code in (403, 422), changed.text


def test_a_professional_writes_down_what_somebody_asks(people: People) -> None:
    written = people["co-ordinator"].post("/Task", json=asked("exception", "Patient/jill"))
    assert written.status_code == 201, written.text
    # and whoever takes part in it later leaves it as it stands
    task = written.json()
    assert people["ruth"].put(f"/Task/{task['id']}", json=task | {"priority": "urgent"}).status_code == 200


def form(author: str | None) -> dict[str, Any]:
    return {
        "resourceType": "QuestionnaireResponse",
        "status": "completed",
        "subject": {"reference": "Patient/jill"},
        **({"author": {"reference": author}} if author else {}),
        "item": [{"linkId": "1", "answer": [{"valueString": "She can do it."}]}],
    }


@pytest.mark.parametrize("who", ["jill", "ruth"])
def test_a_form_is_not_filled_in_in_the_name_of_a_professional_by_others(people: People, who: str) -> None:
    for author in (NURSE, "Practitioner/priya-nair", "Organization/harbourside-community-trust"):
        forged = people[who].post("/QuestionnaireResponse", json=form(author))
        assert forged.status_code == 422, forged.text
        assert "QuestionnaireResponse.author" in forged.text
    own = people[who].post("/QuestionnaireResponse", json=form(NAMES[who]))
    assert own.status_code == 201, own.text
    changed = people[who].put(f"/QuestionnaireResponse/{own.json()['id']}", json=own.json() | form(NURSE))
    assert changed.status_code == 422, changed.text
    assert people[who].post("/QuestionnaireResponse", json=form(None)).status_code == 201
    # who speaks for the person types what the person says
    assert people[who].post("/QuestionnaireResponse", json=form("Patient/jill")).status_code == 201
    theirs = people["co-ordinator"].post("/QuestionnaireResponse", json=form(NURSE))
    assert theirs.status_code == 201, theirs.text
    noted = people[who].put(f"/QuestionnaireResponse/{theirs.json()['id']}", json=theirs.json())
    assert noted.status_code == 200, noted.text


@pytest.mark.parametrize("who", ["jill", "ruth"])
@pytest.mark.parametrize(
    "other",
    [{"item": [{"linkId": "note", "answer": [{"valueString": "Far more."}]}]}, {"status": "amended"}, {"author": None}],
)
def test_what_a_professional_filled_in_is_not_rewritten_by_others(
    people: People, who: str, other: dict[str, Any]
) -> None:
    theirs = people["co-ordinator"].post("/QuestionnaireResponse", json=form(NURSE)).json()
    rewritten = {name: value for name, value in {**theirs, **other}.items() if value is not None}
    answer = people[who].put(f"/QuestionnaireResponse/{theirs['id']}", json=rewritten)
    assert answer.status_code == 422, answer.text
    assert "A professional filled this in, or signed it" in answer.text
    assert people["co-ordinator"].put(f"/QuestionnaireResponse/{theirs['id']}", json=rewritten).status_code == 200


@pytest.mark.parametrize("who", ["jill", "ruth"])
def test_what_a_professional_signed_is_not_rewritten_by_others(people: People, who: str) -> None:
    own = people[who].post("/QuestionnaireResponse", json=form(NAMES[who])).json()
    assert people[who].put(f"/QuestionnaireResponse/{own['id']}", json=own | {"status": "amended"}).status_code == 200
    target = [{"reference": f"QuestionnaireResponse/{own['id']}"}]
    traced = people["system"].post("/Provenance", json={**signed(NURSE), "target": target})
    assert traced.status_code == 201, traced.text
    answer = people[who].put(f"/QuestionnaireResponse/{own['id']}", json=own)
    assert answer.status_code == 422, answer.text
    assert "A professional filled this in, or signed it" in answer.text


@pytest.mark.parametrize("who", ["jill", "ruth"])
def test_what_is_not_finished_is_taken_over_in_ones_own_name(people: People, who: str) -> None:
    begun = people["co-ordinator"].post("/QuestionnaireResponse", json=form(NURSE) | {"status": "in-progress"}).json()
    address, finished = f"/QuestionnaireResponse/{begun['id']}", begun | {"status": "completed"}
    assert people[who].put(address, json=finished).status_code == 422
    mine = finished | {"author": {"reference": NAMES[who]}}
    assert people[who].put(address, json=mine).status_code == 200


def signed(by: str) -> dict[str, Any]:
    return {
        "resourceType": "Provenance",
        "recorded": "2026-11-22T09:00:00Z",
        "agent": [{"who": {"display": "A signature pad"}}],
        "signature": [
            {
                "type": [{"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.1"}],
                "when": "2026-11-22T09:00:00Z",
                "who": {"reference": by},
            }
        ],
    }


@pytest.mark.parametrize("who", ["jill", "ruth"])
def test_nobody_signs_for_a_professional_by_the_provenance_that_they_send(people: People, who: str) -> None:
    headers = {"X-Provenance": json.dumps(signed(NURSE))}
    refused = people[who].post("/QuestionnaireResponse", json=form(None), headers=headers)
    assert refused.status_code == 400, refused.text
    assert "X-Provenance" in refused.text
    for by in ("Patient/jill", "RelatedPerson/ruth-harper"):
        headers = {"X-Provenance": json.dumps(signed(by))}
        assert people[who].post("/QuestionnaireResponse", json=form(None), headers=headers).status_code == 201
    headers = {"X-Provenance": json.dumps(signed(NURSE))}
    assert people["co-ordinator"].post("/QuestionnaireResponse", json=form(NURSE), headers=headers).status_code == 201


def letter(sender: str | None, code: str = "") -> dict[str, Any]:
    category = {"system": f"{BASE}/CodeSystem/phb-communication-category", "code": code}
    return {
        "resourceType": "Communication",
        "status": "completed",
        "subject": {"reference": "Patient/jill"},
        "about": [{"reference": "Account/jill-budget"}],
        "sent": "2026-11-20T09:00:00Z",
        "recipient": [{"reference": "Patient/jill"}],
        "payload": [{"contentString": "The budget is less from January on."}],
        **({"category": [{"coding": [category]}]} if code else {}),
        **({"sender": {"reference": sender}} if sender else {}),
    }


NORTH = "Organization/harbourside-north"


@pytest.mark.parametrize("who", ["jill", "practice"])
def test_a_notice_of_a_decision_is_written_by_who_decides(people: People, who: str) -> None:
    for sender in (NORTH, None):
        forged = people[who].post("/Communication", json=letter(sender, "decision-notice"))
        assert forged.status_code == 422, forged.text
        assert "A notice of a decision is written by the NHS team or the commissioner." in forged.text
    assert people[who].post("/Communication", json=letter(None)).status_code == 201
    for decides in ("commissioner", "co-ordinator"):
        written = people[decides].post("/Communication", json=letter(NORTH, "decision-notice"))
        assert written.status_code == 201, written.text


def test_a_person_writes_in_their_own_name(people: People) -> None:
    forged = people["jill"].post("/Communication", json=letter(NORTH))
    assert forged.status_code == 422, forged.text
    assert people["jill"].post("/Communication", json=letter("Patient/jill")).status_code == 201

"""X-Provenance: a Provenance that comes with a change is kept with it, about the versions that came of it (R4 §6.3)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.builders import bundle, entry, person, problem, task
from tests.interactions.checks import made
from tests.journeys.audited import PRIYA, SYSTEM, Audited, audited, budget, populate

AGENT = {"who": {"display": "Somebody's own tool"}}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


def sent(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Provenance", "recorded": "2026-11-22T08:00:00Z", "agent": [AGENT], **more}


def header(provenance: Any) -> dict[str, str]:
    return {"X-Provenance": provenance if isinstance(provenance, str) else json.dumps(provenance)}


def stored(api: httpx.Client, **params: str) -> list[dict[str, Any]]:
    answer = api.get("/Provenance", params=params)
    return [one["resource"] for one in answer.json().get("entry", [])]


def targets(provenance: dict[str, Any]) -> list[str]:
    return [target["reference"] for target in provenance["target"]]


# ---- on an open server -----------------------------------------------------------------------------------------------


def test_without_the_header_an_open_server_makes_none(api: httpx.Client) -> None:
    made(api.put("/Patient/a", json=person(id="a")))
    assert stored(api) == []


def test_a_create_brings_its_provenance(api: httpx.Client) -> None:
    created = made(api.post("/Patient", json=person(), headers=header(sent())))
    (found,) = stored(api)
    assert targets(found) == [f"Patient/{created['id']}/_history/1"]
    assert found["agent"] == [AGENT]
    assert found["meta"]["versionId"] == "1"


def test_when_it_was_recorded_is_for_the_server_to_say(api: httpx.Client) -> None:
    """What the client says is when it was done."""
    made(api.post("/Patient", json=person(), headers=header(sent(recorded="2020-01-01T00:00:00Z"))))
    (found,) = stored(api)
    assert found["recorded"][:19] == found["meta"]["lastUpdated"][:19]
    assert found["occurredDateTime"] == "2020-01-01T00:00:00Z"
    period = {"start": "2026-11-20", "end": "2026-11-21"}
    made(api.post("/Task", json=task(), headers=header(sent(occurredPeriod=period))))
    (other,) = stored(api, **{"target:Task.status": "requested"})
    assert (other["recorded"] > found["recorded"], other["occurredPeriod"]) == (True, period)
    assert "occurredDateTime" not in other
    unsaid = {name: value for name, value in sent().items() if name != "recorded"}
    last = made(api.post("/Patient", json=person(), headers=header(unsaid)))
    (third,) = stored(api, target=f"Patient/{last['id']}")
    assert third["recorded"] > other["recorded"]
    assert "occurredDateTime" not in third


def test_under_one_request_id_another_provenance_makes_it_another_request(api: httpx.Client) -> None:
    sends = {"X-Request-ID": "0c7a1f6e-with-its-origin"}
    others = [header(sent()), header(sent(recorded="2026-11-22T08:30:00Z"))]
    first, again, other = (
        made(api.post("/Patient", json=person(), headers=sends | one)) for one in (others[0], *others)
    )
    assert again == first
    assert other["id"] != first["id"]
    assert [targets(one) for one in stored(api)] == [[f"Patient/{one['id']}/_history/1"] for one in (first, other)]


def test_each_kind_of_change_brings_its_provenance(api: httpx.Client) -> None:
    made(api.put("/Task/a", json=task(id="a"), headers=header(sent())))
    made(api.put("/Task/a", json=task(id="a", description="b"), headers=header(sent())), 200)
    patch = [{"op": "replace", "path": "/description", "value": "c"}]
    made(api.patch("/Task/a", json=patch, headers=JSON_PATCH | header(sent())), 200)
    assert api.delete("/Task/a", headers=header(sent())).status_code == 204
    assert sorted(targets(one)[0] for one in stored(api)) == [f"Task/a/_history/{number}" for number in range(1, 5)]


def test_a_transaction_brings_one_for_all_that_it_wrote(api: httpx.Client) -> None:
    made(api.put("/Task/a", json=task(id="a")))
    posted = bundle(
        "transaction",
        entry("PUT", "Task/a", task(id="a", description="b")),
        entry("PUT", "Task/b", task(id="b")),
        entry("GET", "Task/a"),
    )
    assert api.post("", json=posted, headers=header(sent())).status_code == 200
    (found,) = stored(api)
    assert sorted(targets(found)) == ["Task/a/_history/2", "Task/b/_history/1"]


def test_each_change_of_a_batch_brings_its_own(api: httpx.Client) -> None:
    posted = bundle("batch", entry("PUT", "Task/a", task(id="a")), entry("PUT", "Task/b", task(id="b")))
    assert api.post("", json=posted, headers=header(sent())).status_code == 200
    assert sorted(targets(one)[0] for one in stored(api)) == ["Task/a/_history/1", "Task/b/_history/1"]


def test_what_changes_nothing_leaves_none(api: httpx.Client) -> None:
    made(api.put("/Task/a", json=task(id="a")))
    made(api.put("/Task/a", json=task(id="a"), headers=header(sent())), 200)
    assert stored(api) == []


def test_a_change_that_is_refused_leaves_none(api: httpx.Client) -> None:
    answer = api.put("/Task/a", json=task(id="a"), headers=header(sent()) | {"If-Match": 'W/"1"'})
    assert answer.status_code == 412
    posted = bundle("transaction", entry("PUT", "Task/a", task(id="a")), entry("DELETE", "Task/b", ifMatch='W/"9"'))
    assert api.post("", json=posted, headers=header(sent())).status_code == 412
    assert stored(api) == []


def test_a_target_that_is_what_is_written_is_taken(api: httpx.Client) -> None:
    given = sent(target=[{"reference": "Patient/a"}])
    made(api.put("/Patient/a", json=person(id="a"), headers=header(given)))
    assert [targets(one) for one in stored(api)] == [["Patient/a/_history/1"]]


WRONG = {
    "no JSON": ("{", "structure", "X-Provenance cannot be read"),
    "not an object": ("[]", "invalid", "this is none"),
    "another resource": (json.dumps(person()), "invalid", "this is none"),
    "no agent": (json.dumps({"resourceType": "Provenance", "recorded": "2026-11-22T08:00:00Z"}), "required", "agent"),
    "a misspelt element": (json.dumps(sent(recordedAt="x")), "structure", "recordedAt"),
    "a time that is none": (json.dumps(sent(recorded="yesterday")), "value", "yesterday"),
    "another target": (json.dumps(sent(target=[{"reference": "Patient/b"}])), "business-rule", "Patient/b"),
    "criteria": (
        json.dumps(sent(entity=[{"role": "source", "what": {"reference": "Patient?identifier=9000000009"}}])),
        "value",
        "is no address of a resource here",
    ),
    "a target without a reference": (
        json.dumps(sent(target=[{"display": "x"}])),
        "business-rule",
        "Leave the target out",
    ),
}


@pytest.mark.parametrize(("text", "code", "word"), WRONG.values(), ids=WRONG)
def test_a_wrong_one_is_refused_and_the_change_with_it(api: httpx.Client, text: str, code: str, word: str) -> None:
    answer = api.put("/Patient/a", json=person(id="a"), headers=header(text))
    assert answer.status_code == 400, answer.text
    issue = answer.json()["issue"][0]
    assert issue["code"] == code
    assert word in issue["diagnostics"]
    assert api.get("/Patient/a").status_code == 404
    posted = api.post("", json=bundle("transaction", entry("PUT", "Patient/a", person(id="a"))), headers=header(text))
    assert posted.status_code == 400
    assert stored(api) == []


def test_a_question_has_no_provenance(api: httpx.Client) -> None:
    refused = problem(api.get("/Patient", headers=header(sent())))
    assert (refused.status, refused.code) == (400, "invalid")
    assert api.get("/Patient").status_code == 200


def test_it_is_held_against_the_profile_that_it_claims(api: httpx.Client) -> None:
    profile = {"profile": ["https://fhir.phb.nhs.example/StructureDefinition/phb-provenance"]}
    answer = api.put("/Patient/a", json=person(id="a"), headers=header(sent(meta=profile)))
    assert answer.status_code == 400  # by that profile an agent has a type
    author = {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type", "code": "author"}]
    }
    made(
        api.put(
            "/Patient/a", json=person(id="a"), headers=header(sent(meta=profile, agent=[{"type": author, **AGENT}]))
        )
    )
    assert len(stored(api)) == 1


# ---- where somebody is signed in -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def secure(mongodb_uri: str) -> Iterator[Audited]:
    with audited(mongodb_uri) as running:
        populate(running)
        yield running


def test_who_is_signed_in_is_an_agent_beside_those_that_were_sent(secure: Audited) -> None:
    system = secure.as_(SYSTEM)
    made(system.put("/Account/p", json=budget("p", "jill"), headers=header(sent(reason=[{"text": "as agreed"}]))))
    (found,) = stored(system, target="Account/p/_history/1")
    assert [agent["who"]["display"] for agent in found["agent"]] == ["Somebody's own tool", "The system"]
    assert found["reason"] == [{"text": "as agreed"}]


def test_the_purpose_of_use_is_the_reason(secure: Audited) -> None:
    priya = secure.as_(PRIYA, X_Purpose_Of_Use="TREAT")
    plan = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "Patient/jill"},
    }
    answer = priya.post("/Observation", json=plan)
    assert answer.status_code == 201, answer.text
    (found,) = stored(secure.as_(SYSTEM), target=f"Observation/{answer.json()['id']}/_history/1")
    assert found["reason"][0]["coding"][0]["code"] == "TREAT"
    assert found["agent"][0]["onBehalfOf"] == {
        "reference": "Organization/harbourside",
        "display": "Harbourside Community Trust",
    }
    assert found["agent"][0]["role"][0]["coding"][0]["code"] == "care-coordinator"


def test_a_wrong_one_is_refused_here_too_and_taken_down(secure: Audited) -> None:
    system = secure.as_(SYSTEM)
    answer = system.put("/Account/wrong", json=budget("wrong", "jill"), headers=header(sent(agent=[])))
    assert answer.status_code == 400
    assert system.get("/Account/wrong").status_code == 404
    (block,) = secure.database.audit.find().sort("_id", -1).skip(1).limit(1)
    assert '"status":400' in block["records"][0]


def test_a_provenance_has_none_of_its_own(secure: Audited) -> None:
    system = secure.as_(SYSTEM)
    before = secure.database.resources.count_documents({"type": "Provenance"})
    own = sent(target=[{"reference": "Patient/jill"}])
    assert system.post("/Provenance", json=own).status_code == 201
    assert secure.database.resources.count_documents({"type": "Provenance"}) == before + 1

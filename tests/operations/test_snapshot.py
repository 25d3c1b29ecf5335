"""StructureDefinition/$snapshot: a profile with its snapshot, by url, sent along, or stored."""

from __future__ import annotations

from tests.builders import problem
from tests.operations.asking import parameters, said

PATIENT = "http://hl7.org/fhir/StructureDefinition/Patient"
VITALS = "http://hl7.org/fhir/StructureDefinition/vitalsigns"


def profile(*elements, **more):
    return {
        "resourceType": "StructureDefinition",
        "id": "named",
        "url": "http://example.org/StructureDefinition/named",
        "name": "Named",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": "Patient",
        "baseDefinition": PATIENT,
        "derivation": "constraint",
        "differential": {"element": [{"id": path, "path": path, **rest} for path, rest in elements]},
        **more,
    }


NAMED = profile(("Patient.name", {"min": 1}))


def minimum(definition, path):
    return {row["path"]: row["min"] for row in definition["snapshot"]["element"]}[path]


def test_a_profile_that_is_sent_gets_a_snapshot_as_body_or_as_parameter(api):
    for body in (NAMED, parameters(definition=NAMED)):
        made = said(api.post("/StructureDefinition/$snapshot", json=body))
        assert {name: value for name, value in made.items() if name != "snapshot"} == NAMED
        assert made["snapshot"]["element"][0]["path"] == "Patient"
        assert (minimum(made, "Patient.name"), minimum(made, "Patient.gender")) == (1, 0)


def test_what_is_answered_is_a_valid_definition_that_can_be_stored(api):
    made = said(api.post("/StructureDefinition/$snapshot", json=NAMED))
    assert api.put("/StructureDefinition/named", json=made).status_code == 201
    found = said(api.get("/StructureDefinition/$snapshot", params={"url": VITALS}))
    judged = said(api.post("/StructureDefinition/$validate", json=found))
    assert "error" not in {issue["severity"] for issue in judged["issue"]}


def test_a_stored_profile_gets_a_snapshot_by_its_address(api):
    api.put("/StructureDefinition/named", json=NAMED)
    assert minimum(said(api.get("/StructureDefinition/named/$snapshot")), "Patient.name") == 1
    assert "snapshot" not in api.get("/StructureDefinition/named").json()
    assert problem(api.get("/StructureDefinition/none/$snapshot")).status == 404


def test_a_snapshot_that_came_along_is_made_anew_from_the_differential(api):
    old = said(api.post("/StructureDefinition/$snapshot", json=NAMED))
    changed = old | {"differential": profile(("Patient.gender", {"min": 1}))["differential"]}
    made = said(api.post("/StructureDefinition/$snapshot", json=changed))
    assert (minimum(made, "Patient.name"), minimum(made, "Patient.gender")) == (0, 1)


def test_a_definition_that_is_known_is_answered_by_its_url(api):
    found = said(api.get("/StructureDefinition/$snapshot", params={"url": VITALS}))
    assert (found["url"], found["snapshot"]["element"][0]["path"]) == (VITALS, "Observation")


def test_a_url_that_is_not_known_is_not_found(api):
    answer = api.get("/StructureDefinition/$snapshot?url=http://example.org/none")
    assert problem(answer) == (404, "not-found", "The definition http://example.org/none is not known here.", "")


def test_a_profile_that_no_snapshot_can_be_made_of_is_refused_with_the_reason(api):
    lost = {**NAMED, "baseDefinition": "http://example.org/none"}
    answer = problem(api.post("/StructureDefinition/$snapshot", json=lost))
    assert answer[:2] == (422, "invalid")
    assert answer.text.startswith("No snapshot can be made of http://example.org/StructureDefinition/named: ")
    assert "http://example.org/none" in answer.text


def test_a_profile_that_is_not_valid_is_refused_with_the_place(api):
    answer = problem(api.post("/StructureDefinition/$snapshot", json={**NAMED, "status": "plum"}))
    assert (answer.status, answer.expression) == (422, "StructureDefinition.status")


def test_which_definition_is_meant_is_said_once(api):
    sentence = "Which definition is meant must be said once: by url, by definition, or by asking the instance."
    assert problem(api.get("/StructureDefinition/$snapshot")) == (400, "invalid", sentence, "")
    both = parameters(definition=NAMED, url=VITALS)
    assert problem(api.post("/StructureDefinition/$snapshot", json=both)) == (400, "invalid", sentence, "")

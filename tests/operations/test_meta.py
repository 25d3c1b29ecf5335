"""$meta, $meta-add, $meta-delete (R4 operations Resource-meta, Resource-meta-add, Resource-meta-delete)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders import person, problem
from tests.operations.asking import said

RED = {"system": "https://example.org/tags", "code": "red"}
BLUE = {"system": "https://example.org/tags", "code": "blue"}
SECRET = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
PATIENT = "http://hl7.org/fhir/StructureDefinition/Patient"


def given(**meta: Any) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": meta}]}


def told(answer) -> dict[str, Any]:
    (row,) = said(answer)["parameter"]
    assert row["name"] == "return"
    return row["valueMeta"]


@pytest.fixture
def tagged(api):
    assert api.put("/Patient/jill", json={**person(), "id": "jill", "meta": {"tag": [RED]}}).status_code == 201
    return api


def test_meta_of_a_resource_is_its_own(tagged):
    expected = {"tag": [RED], "versionId": "1", "lastUpdated": "2026-11-22T09:00:00.000Z"}
    found = told(tagged.get("/Patient/jill/$meta"))
    assert {**found, "lastUpdated": expected["lastUpdated"]} == expected
    assert told(tagged.post("/Patient/jill/$meta", json={"resourceType": "Parameters"})) == found


def test_meta_add_puts_labels_beside_those_there_in_a_new_version(tagged):
    found = told(tagged.post("/Patient/jill/$meta-add", json=given(tag=[BLUE], security=[SECRET], profile=[PATIENT])))
    assert (found["tag"], found["security"], found["profile"]) == ([RED, BLUE], [SECRET], [PATIENT])
    assert found["versionId"] == "2"
    assert tagged.get("/Patient/jill/_history/1").json()["meta"]["tag"] == [RED]
    assert [row["resource"]["id"] for row in tagged.get("/Patient?_tag=blue").json()["entry"]] == ["jill"]


def test_a_tag_that_is_there_is_not_added_again_whatever_its_display(tagged):
    found = told(tagged.post("/Patient/jill/$meta-add", json=given(tag=[{**RED, "display": "Rot"}])))
    assert (found["tag"], found["versionId"]) == ([RED], "1")


def test_meta_delete_takes_away_what_is_there_and_nothing_else(tagged):
    tagged.post("/Patient/jill/$meta-add", json=given(tag=[BLUE]))
    found = told(tagged.post("/Patient/jill/$meta-delete", json=given(tag=[RED, SECRET])))
    assert (found["tag"], found["versionId"]) == ([BLUE], "3")
    assert told(tagged.post("/Patient/jill/$meta-delete", json=given(tag=[RED])))["versionId"] == "3"
    assert "tag" not in told(tagged.post("/Patient/jill/$meta-delete", json=given(tag=[BLUE])))


def test_meta_of_a_type_and_of_everything_tells_what_is_in_use(tagged):
    tagged.post("/Patient", json={**person(), "meta": {"tag": [RED, BLUE]}})
    tagged.post("/Basic", json={"resourceType": "Basic", "code": {"text": "a"}, "meta": {"security": [SECRET]}})
    by_code = sorted(told(tagged.get("/Patient/$meta"))["tag"], key=lambda tag: tag["code"])
    assert by_code == [BLUE, RED]
    assert told(tagged.get("/Basic/$meta")) == {"security": [SECRET]}
    everything = told(tagged.get("/$meta"))
    assert (len(everything["tag"]), everything["security"]) == (2, [SECRET])
    assert said(tagged.get("/Account/$meta")) == {"resourceType": "Parameters"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"resourceType": "Parameters"}, 'needs a parameter "meta"'),
        (given(versionId="3"), 'needs a parameter "meta"'),
        (given(tag=[BLUE], versionId="3"), "versionId cannot be changed"),
        (given(tag=[BLUE])["parameter"][0]["valueMeta"] | {"resourceType": "Patient"}, "Parameters"),
    ],
)
def test_what_meta_add_cannot_do_is_refused_in_words(tagged, body, words):
    refused = problem(tagged.post("/Patient/jill/$meta-add", json=body))
    assert refused.status == 400
    assert words in refused.text


def test_labels_of_what_is_not_there_cannot_be_changed(tagged):
    assert problem(tagged.post("/Patient/nobody/$meta-add", json=given(tag=[BLUE]))).status == 404
    tagged.delete("/Patient/jill")
    assert problem(tagged.post("/Patient/jill/$meta-add", json=given(tag=[BLUE]))).status == 410
    assert problem(tagged.get("/Patient/jill/$meta")).status == 410


def test_a_profile_that_the_resource_does_not_keep_cannot_be_added(tagged):
    refused = problem(
        tagged.post(
            "/Patient/jill/$meta-add", json=given(profile=["http://hl7.org/fhir/StructureDefinition/Observation"])
        )
    )
    assert refused.status == 422


def test_changing_labels_is_asked_for_by_post_alone(tagged):
    assert problem(tagged.get("/Patient/jill/$meta-add")).status == 405

"""create (R4 §3.1.0.8): POST of a new resource, what the server sets and what it leaves, and every form of the answer."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from tests.builders import NHS_NUMBER, budget, bundle, person, purchase, task
from tests.interactions.checks import made, nothing_was_written, refused, told, versions
from tests.running import RunningServer

FIRST = "2026-11-22T09:00:00.000Z"
FIRST_HTTP = "Sun, 22 Nov 2026 09:00:00 GMT"
STORED_PERSON = {
    "resourceType": "Patient",
    "id": "id-1",
    "meta": {"versionId": "1", "lastUpdated": FIRST},
    "identifier": [{"system": NHS_NUMBER, "value": "9000000009"}],
    "name": [{"family": "Marsh", "given": ["Jill"]}],
}


def test_a_create_answers_201_with_the_stored_resource_and_where_it_is(api: httpx.Client) -> None:
    answer = api.post("Patient", json=person())
    assert answer.status_code == 201
    assert answer.json() == STORED_PERSON
    assert answer.headers["Location"] == str(api.base_url.join("Patient/id-1/_history/1"))
    assert answer.headers["ETag"] == 'W/"1"'
    assert answer.headers["Last-Modified"] == FIRST_HTTP
    assert answer.headers["Content-Type"].startswith("application/fhir+json")


def test_what_was_created_is_read_again_under_each_of_its_addresses(api: httpx.Client) -> None:
    location = api.post("Patient", json=person()).headers["Location"]
    for address in (location, "Patient/id-1", "Patient/id-1/_history/1"):
        assert api.get(address).json() == STORED_PERSON
    assert versions(api, "Patient/id-1") == [("POST", 'W/"1"', True)]


def test_keys_keep_their_order_and_the_id_and_meta_follow_the_type(api: httpx.Client) -> None:
    body = {"name": [{"text": "Jill"}], "resourceType": "Patient", "gender": "female", "active": True}
    assert list(api.post("Patient", json=body).json()) == ["name", "resourceType", "id", "meta", "gender", "active"]


def test_an_id_in_the_body_is_not_taken(api: httpx.Client) -> None:
    assert made(api.post("Patient", json=person(id="mine")))["id"] == "id-1"
    assert api.get("Patient/mine").status_code == 404


def test_a_version_and_time_in_the_body_are_replaced_and_the_other_meta_kept(api: httpx.Client) -> None:
    tag = {"system": "https://example.org/tags", "code": "demo"}
    meta = {"versionId": "77", "lastUpdated": "1999-01-01T00:00:00Z", "tag": [tag], "source": "urn:example:gp"}
    stored = made(api.post("Patient", json=person(meta=meta)))
    assert stored["meta"] == {"versionId": "1", "lastUpdated": FIRST, "tag": [tag], "source": "urn:example:gp"}


def test_two_equal_creates_make_two_resources(api: httpx.Client) -> None:
    assert [made(api.post("Patient", json=person()))["id"] for _ in range(2)] == ["id-1", "id-2"]


def test_decimals_and_unknown_extensions_are_kept_to_the_digit(api: httpx.Client) -> None:
    body = (
        '{"resourceType":"ChargeItem","status":"billable","code":{"text":"Swimming"},"subject":{"reference":"Patient/jill"},'
        '"quantity":{"value":1.50},"factorOverride":1E2,"priceOverride":{"value":10.00,"currency":"GBP"},'
        '"_enteredDate":{"extension":[{"url":"https://example.org/unknown","valueDecimal":0.123456789012345678}]}}'
    )
    answer = api.post("ChargeItem", content=body)
    assert answer.status_code == 201, answer.text
    assert api.get("ChargeItem/id-1").text == answer.text
    assert body.removeprefix('{"resourceType":"ChargeItem",') in answer.text


# ---- Prefer (R4 §3.1.0.1.9) ------------------------------------------------------------------------------------------


def test_return_minimal_answers_with_headers_and_no_body(api: httpx.Client) -> None:
    answer = api.post("Patient", json=person(), headers={"Prefer": "return=minimal"})
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["Location"].endswith("/fhir/Patient/id-1/_history/1")
    assert answer.headers["ETag"] == 'W/"1"'
    assert api.get("Patient/id-1").json() == STORED_PERSON


def test_return_representation_answers_with_the_resource(api: httpx.Client) -> None:
    answer = api.post("Patient", json=person(), headers={"Prefer": "return=representation"})
    assert made(answer) == STORED_PERSON


def test_return_operation_outcome_answers_with_a_sentence(api: httpx.Client) -> None:
    answer = api.post("Patient", json=person(), headers={"Prefer": "return=OperationOutcome"})
    told(answer, 201, "Patient/id-1 was created.")
    assert answer.headers["Location"].endswith("/fhir/Patient/id-1/_history/1")


def test_a_preference_nobody_knows_changes_nothing(api: httpx.Client) -> None:
    assert made(api.post("Patient", json=person(), headers={"Prefer": "return=everything"})) == STORED_PERSON


# ---- refusals --------------------------------------------------------------------------------------------------------


def test_a_resource_without_a_required_element_is_refused_with_its_path(api: httpx.Client) -> None:
    body = budget()
    del body["status"]
    refused(api.post("Account", json=body), 422, "required", "status", at="Account.status")
    assert nothing_was_written(api)
    made(api.post("Account", json=budget()))


def test_a_code_outside_a_required_value_set_is_refused_with_its_path(api: httpx.Client) -> None:
    answer = api.post("Account", json=budget(status="open"))
    refused(answer, 422, "code-invalid", "open", at="Account.status")
    assert nothing_was_written(api)


def test_every_problem_of_a_resource_is_named_at_once(api: httpx.Client) -> None:
    answer = api.post("Patient", json=person(birthDate="yesterday", gender="f", shoeSize=5))
    assert answer.status_code == 400
    found = {(issue["code"], issue["expression"][0]) for issue in answer.json()["issue"]}
    assert found == {
        ("value", "Patient.birthDate"),
        ("code-invalid", "Patient.gender"),
        ("structure", "Patient.shoeSize"),
    }
    assert nothing_was_written(api)


def test_a_resource_of_another_type_than_the_address_is_refused(api: httpx.Client) -> None:
    answer = api.post("Account", json=person())
    refused(answer, 400, "invalid", "Patient", "Account", at="Account.resourceType")
    assert nothing_was_written(api)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "not well-formed JSON"),
        ("{", "not well-formed JSON"),
        ("[]", "one FHIR resource"),
        ("{}", "resourceType"),
        ('{"resourceType":"Patient","resourceType":"Patient"}', "stands twice"),
    ],
    ids=["no body", "cut short", "an array", "no type", "a key twice"],
)
def test_a_body_that_is_no_resource_is_refused(api: httpx.Client, body: str, words: str) -> None:
    answer = api.post("Patient", content=body)
    assert answer.status_code == 400
    assert [issue["code"] for issue in answer.json()["issue"]] == ["structure"]
    assert words in answer.json()["issue"][0]["details"]["text"]
    assert nothing_was_written(api)


def test_a_type_that_fhir_does_not_have_is_refused_with_what_was_perhaps_meant(api: httpx.Client) -> None:
    refused(api.post("Patiant", json=person()), 404, "not-supported", "'Patiant'", "'Patient'")


def test_a_create_at_an_address_with_an_id_is_refused_with_what_is_served_there(api: httpx.Client) -> None:
    answer = api.post("Patient/jill", json=person(id="jill"))
    refused(answer, 405, "not-supported", "POST is not served at /Patient/jill")
    assert {"GET", "PUT", "PATCH", "DELETE"} <= set(answer.headers["Allow"].split(", "))


def test_a_parameter_that_means_nothing_is_refused_even_where_lenience_is_asked_for(api: httpx.Client) -> None:
    # what it was meant to say might be what keeps a second resource from being made
    for handling in ("strict", "lenient"):
        answer = api.post("Patient?shoe-size=5", json=person(), headers={"Prefer": f"handling={handling}"})
        refused(answer, 400, "not-supported", "'shoe-size'")
    assert nothing_was_written(api)
    made(api.post("Patient?_pretty=true", json=person()))


# ---- every type ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "resource",
    [
        person(),
        budget(),
        purchase(),
        task(),
        bundle("collection", {"fullUrl": "https://example.org/Patient/1", "resource": person(id="1")}),
    ],
    ids=lambda resource: resource["resourceType"],
)
def test_types_are_created_alike(api: httpx.Client, resource: dict[str, object]) -> None:
    stored = made(api.post(str(resource["resourceType"]), json=resource))
    assert stored.pop("id") == "id-1"
    assert stored.pop("meta") == {"versionId": "1", "lastUpdated": FIRST}
    assert stored == resource


def test_content_posted_to_binary_as_itself_is_kept_and_given_back(api: httpx.Client) -> None:
    receipt = b"%PDF-1.7 receipt \x00\xff"
    answer = api.post("Binary", content=receipt, headers={"Content-Type": "application/pdf"})
    assert made(answer)["contentType"] == "application/pdf"
    assert api.get("Binary/id-1", headers={"Accept": "application/pdf"}).content == receipt


def test_the_answer_to_a_create_can_be_a_summary(api: httpx.Client) -> None:
    narrative = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Jill</div>'}
    stored = made(api.post("Patient?_summary=data", json=person(text=narrative)))
    assert "text" not in stored
    assert stored["meta"]["tag"][0]["code"] == "SUBSETTED"
    assert api.get("Patient/id-1").json()["text"] == narrative


def test_a_created_resource_is_in_the_database_as_it_was_answered(
    server: RunningServer, api: httpx.Client, mongodb_admin: MongoClient[dict[str, Any]]
) -> None:
    answer = api.post("Patient", json=person())
    document = mongodb_admin[server.settings.mongodb_database]["resources"].find_one({"_id": "Patient/id-1"})
    assert document is not None
    assert document["json"] == answer.text
    assert json.loads(document["json"]) == STORED_PERSON
    assert (document["version"], document["method"], document["deleted"]) == (1, "POST", False)

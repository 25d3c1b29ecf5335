"""update (R4 §3.1.0.4): PUT at an id, what makes a version and what makes none, and coming back after a delete.

The conditions a PUT may carry are in `test_versions`, updates by criteria in `test_conditional`.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.builders import NHS_NUMBER, person, purchase
from tests.interactions.checks import made, nothing_was_written, refused, told, versions

STORED_JILL: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "jill",
    "meta": {"versionId": "1", "lastUpdated": "2026-11-22T09:00:00.000Z"},
    "identifier": [{"system": NHS_NUMBER, "value": "9000000009"}],
    "name": [{"family": "Marsh", "given": ["Jill"]}],
}


def put(api: httpx.Client, body: dict[str, Any], **headers: str) -> httpx.Response:
    """`PUT Type/id`, both from the body; header names with `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.put(f"{body['resourceType']}/{body['id']}", json=body, headers=named)


# ---- update as create ------------------------------------------------------------------------------------------------


def test_a_put_where_nothing_is_creates_under_the_id_that_the_client_chose(api: httpx.Client) -> None:
    answer = put(api, person(id="jill"))
    assert made(answer) == STORED_JILL
    assert answer.headers["Location"] == str(api.base_url.join("Patient/jill/_history/1"))
    assert answer.headers["ETag"] == 'W/"1"'
    assert answer.headers["Last-Modified"] == "Sun, 22 Nov 2026 09:00:00 GMT"
    assert versions(api, "Patient/jill") == [("PUT", 'W/"1"', True)]


@pytest.mark.parametrize("id_", ["a", "0", "-", "A.b-9", "x" * 64])
def test_an_id_of_fhirs_form_is_taken(api: httpx.Client, id_: str) -> None:
    made(put(api, person(id=id_)))
    assert api.get(f"Patient/{id_}").json()["id"] == id_


@pytest.mark.parametrize("id_", ["x" * 65, "a_b", "a%20b", "%C3%A9", "a:b", "a+b"])
def test_an_id_of_another_form_is_refused(api: httpx.Client, id_: str) -> None:
    answer = api.put(f"Patient/{id_}", json=person(id="jill"))
    refused(answer, 400, "value", "is no id", at="Patient.id")


def test_a_body_of_another_id_is_refused_in_words_that_tell_a_number_from_a_text(api: httpx.Client) -> None:
    for given, said in (("ruth", "says 'ruth'"), (1, "says 1;"), (None, "has none")):
        body = {name: value for name, value in {**person(), "id": given}.items() if value is not None}
        refused(
            api.put("Patient/1", json=body), 400, "invalid", f"is for the id '1', but the body {said}", at="Patient.id"
        )
    assert nothing_was_written(api)


# ---- a new version ---------------------------------------------------------------------------------------------------


def test_a_put_over_a_resource_answers_200_with_the_next_version(api: httpx.Client) -> None:
    put(api, person(id="jill"))
    answer = put(api, person(id="jill", gender="female"))
    stored = made(answer, 200)
    assert stored == {
        **STORED_JILL,
        "meta": {"versionId": "2", "lastUpdated": stored["meta"]["lastUpdated"]},
        "gender": "female",
    }
    assert stored["meta"]["lastUpdated"] > STORED_JILL["meta"]["lastUpdated"]
    assert answer.headers["ETag"] == 'W/"2"'
    assert answer.headers["Location"].endswith("/fhir/Patient/jill/_history/2")
    assert api.get("Patient/jill").json() == stored


def test_earlier_versions_stay_as_they_were(api: httpx.Client) -> None:
    bodies = [person(id="jill", birthDate=f"196{number}-05-01") for number in range(4)]
    stored = [put(api, body).json() for body in bodies]
    for number, version in enumerate(stored, start=1):
        assert api.get(f"Patient/jill/_history/{number}").json() == version
        assert (version["birthDate"], version["meta"]["versionId"]) == (f"196{number - 1}-05-01", str(number))
    assert versions(api, "Patient/jill") == [("PUT", f'W/"{number}"', True) for number in (4, 3, 2, 1)]


def test_a_put_replaces_the_whole_and_what_it_leaves_out_is_gone(api: httpx.Client) -> None:
    tag = {"system": "https://example.org/tags", "code": "demo"}
    put(api, person(id="jill", gender="female", meta={"tag": [tag]}))
    stored = made(put(api, person(id="jill")), 200)
    assert "gender" not in stored
    assert "tag" not in stored["meta"]


def test_a_resource_created_by_post_is_updated_by_put(api: httpx.Client) -> None:
    made(api.post("Patient", json=person()))
    made(put(api, person(id="id-1", active=True)), 200)
    assert versions(api, "Patient/id-1") == [("PUT", 'W/"2"', True), ("POST", 'W/"1"', True)]


def test_the_search_finds_the_new_content_and_not_the_old(api: httpx.Client) -> None:
    put(api, person("9000000009", id="jill"))
    put(api, person("9000000017", id="jill"))
    assert api.get(f"Patient?identifier={NHS_NUMBER}|9000000009").json()["total"] == 0
    assert api.get(f"Patient?identifier={NHS_NUMBER}|9000000017").json()["total"] == 1


def test_a_version_and_time_in_the_body_are_not_taken(api: httpx.Client) -> None:
    put(api, person(id="jill"))
    meta = {"versionId": "40", "lastUpdated": "1999-01-01T00:00:00Z"}
    stored = made(put(api, person(id="jill", active=True, meta=meta)), 200)
    assert stored["meta"]["versionId"] == "2"
    assert stored["meta"]["lastUpdated"].startswith("2026-11-22T09:00:")


# ---- an update that changes nothing makes no version -----------------------------------------------------------------


def unchanged(api: httpx.Client, answer: httpx.Response) -> None:
    assert answer.status_code == 200, answer.text
    assert answer.json() == STORED_JILL
    assert answer.headers["ETag"] == 'W/"1"'
    assert versions(api, "Patient/jill") == [("PUT", 'W/"1"', True)]


def test_the_same_content_again_makes_no_version(api: httpx.Client) -> None:
    put(api, person(id="jill"))
    unchanged(api, put(api, person(id="jill")))


def test_what_was_read_put_back_makes_no_version(api: httpx.Client) -> None:
    put(api, person(id="jill"))
    unchanged(api, put(api, api.get("Patient/jill").json()))


def test_another_version_id_and_time_alone_make_no_version(api: httpx.Client) -> None:
    put(api, person(id="jill"))
    meta = {"versionId": "9", "lastUpdated": "2030-01-01T00:00:00Z"}
    unchanged(api, put(api, person(id="jill", meta=meta)))


def test_the_same_content_in_another_order_makes_no_version(api: httpx.Client) -> None:
    put(api, person(id="jill"))
    unchanged(api, put(api, dict(reversed(person(id="jill").items()))))


def test_the_answer_to_an_unchanged_update_says_so_when_asked(api: httpx.Client) -> None:
    put(api, person(id="jill"))
    answer = put(api, person(id="jill"), Prefer="return=OperationOutcome")
    told(answer, 200, "Patient/jill was left as it was: nothing in it changed.")


@pytest.mark.parametrize(
    ("before", "after"),
    [("10.0", "10.00"), ("10.00", "10.0"), ("1.0", "1"), ("100", "1E2"), ("0.10", "0.1")],
)
def test_other_digits_of_the_same_amount_are_a_change(api: httpx.Client, before: str, after: str) -> None:
    text = (
        '{"resourceType":"ChargeItem","id":"P-1","status":"billable","code":{"text":"Swimming"},'
        '"subject":{"reference":"Patient/jill"},"priceOverride":{"value":%s,"currency":"GBP"}}'
    )
    assert api.put("ChargeItem/P-1", content=text % before).status_code == 201
    assert api.put("ChargeItem/P-1", content=text % before).headers["ETag"] == 'W/"1"'
    answer = api.put("ChargeItem/P-1", content=text % after)
    assert answer.headers["ETag"] == 'W/"2"'
    assert f'"value":{after},' in api.get("ChargeItem/P-1").text
    assert f'"value":{before},' in api.get("ChargeItem/P-1/_history/1").text


def test_another_order_within_a_list_is_a_change(api: httpx.Client) -> None:
    put(api, person(id="jill", name=[{"given": ["Jill", "Ann"]}]))
    assert put(api, person(id="jill", name=[{"given": ["Ann", "Jill"]}])).headers["ETag"] == 'W/"2"'


def test_a_tag_in_meta_is_a_change(api: httpx.Client) -> None:
    put(api, person(id="jill"))
    meta = {"tag": [{"system": "https://example.org/tags", "code": "demo"}]}
    assert put(api, person(id="jill", meta=meta)).headers["ETag"] == 'W/"2"'


# ---- deleted, and back -----------------------------------------------------------------------------------------------


def test_a_put_brings_back_what_was_deleted_as_the_next_version(api: httpx.Client) -> None:
    put(api, person(id="jill"))
    api.delete("Patient/jill")
    assert api.get("Patient/jill").status_code == 410
    answer = put(api, person(id="jill"))
    assert made(answer)["meta"]["versionId"] == "3"
    assert answer.headers["Location"].endswith("/fhir/Patient/jill/_history/3")
    assert api.get("Patient/jill").json() == answer.json()
    assert versions(api, "Patient/jill") == [
        ("PUT", 'W/"3"', True),
        ("DELETE", 'W/"2"', False),
        ("PUT", 'W/"1"', True),
    ]


def test_what_came_back_is_found_by_search_again(api: httpx.Client) -> None:
    put(api, person(id="jill"))
    api.delete("Patient/jill")
    assert api.get(f"Patient?identifier={NHS_NUMBER}|9000000009").json()["total"] == 0
    put(api, person(id="jill"))
    assert api.get(f"Patient?identifier={NHS_NUMBER}|9000000009").json()["total"] == 1


# ---- refusals --------------------------------------------------------------------------------------------------------


def test_a_body_with_another_id_than_the_address_is_refused(api: httpx.Client) -> None:
    answer = api.put("Patient/jill", json=person(id="jack"))
    refused(answer, 400, "invalid", "'jill'", "'jack'", at="Patient.id")
    assert nothing_was_written(api)


def test_a_body_without_an_id_is_refused(api: httpx.Client) -> None:
    refused(api.put("Patient/jill", json=person()), 400, "invalid", "'jill'", "none", at="Patient.id")
    assert nothing_was_written(api)


def test_a_body_of_another_type_is_refused(api: httpx.Client) -> None:
    answer = api.put("Account/jill", json=person(id="jill"))
    refused(answer, 400, "invalid", "Patient", "Account", at="Account.resourceType")


def test_an_invalid_update_is_refused_and_the_resource_stays(api: httpx.Client) -> None:
    put(api, purchase(id="P-1"))
    before = api.get("ChargeItem/P-1").text
    refused(put(api, purchase(id="P-1", status="paid")), 422, "code-invalid", "paid", at="ChargeItem.status")
    assert api.get("ChargeItem/P-1").text == before
    assert versions(api, "ChargeItem/P-1") == [("PUT", 'W/"1"', True)]


def test_a_put_to_a_version_is_refused(api: httpx.Client) -> None:
    put(api, person(id="jill"))
    answer = api.put("Patient/jill/_history/1", json=person(id="jill", active=True))
    refused(answer, 405, "not-supported", "PUT is not served", "GET")
    assert "active" not in api.get("Patient/jill").json()


def test_a_search_parameter_beside_an_id_is_refused(api: httpx.Client) -> None:
    refused(api.put("Patient/jill?active=true", json=person(id="jill")), 400, "not-supported", "'active'")
    assert nothing_was_written(api)


# ---- Prefer ----------------------------------------------------------------------------------------------------------


def test_return_minimal_answers_an_update_with_headers_alone(api: httpx.Client) -> None:
    put(api, person(id="jill"))
    answer = put(api, person(id="jill", active=True), Prefer="return=minimal")
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (200, b"", 'W/"2"')


def test_return_representation_answers_an_update_with_the_resource(api: httpx.Client) -> None:
    put(api, person(id="jill"))
    assert made(put(api, person(id="jill", active=True), Prefer="return=representation"), 200)["active"] is True


def test_return_operation_outcome_answers_an_update_with_a_sentence(api: httpx.Client) -> None:
    told(put(api, person(id="jill"), Prefer="return=OperationOutcome"), 201, "Patient/jill was created.")
    told(put(api, person(id="jill", active=True), Prefer="return=OperationOutcome"), 200, "Patient/jill was updated.")

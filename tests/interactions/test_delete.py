"""delete (R4 §3.1.0.7): what is gone from reads and searches stays in the history. By criteria: `test_conditional`."""

from __future__ import annotations

import httpx
import pytest

from tests.builders import person
from tests.interactions.checks import made, nhs, nothing_was_written, refused, told, versions


@pytest.fixture
def jill(api: httpx.Client) -> str:
    """Patient/jill at version 1."""
    made(api.put("Patient/jill", json=person(id="jill")))
    return "Patient/jill"


def test_a_delete_answers_204_without_a_body_and_with_the_version_of_the_deletion(api: httpx.Client, jill: str) -> None:
    answer = api.delete(jill)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["ETag"] == 'W/"2"'


def test_what_was_deleted_answers_410_with_the_way_back(api: httpx.Client, jill: str) -> None:
    api.delete(jill)
    refused(api.get(jill), 410, "deleted", "Patient/jill was deleted", "version 2", "PUT")


def test_what_was_deleted_is_not_found_by_search(api: httpx.Client, jill: str) -> None:
    assert api.get(f"Patient?{nhs('9000000009')}").json()["total"] == 1
    api.delete(jill)
    for question in ("Patient", f"Patient?{nhs('9000000009')}", "Patient?_id=jill", "?_id=jill"):
        found = api.get(question).json()
        assert (found["total"], found.get("entry", [])) == (0, [])


def test_the_history_keeps_what_was_deleted_and_that_it_was(api: httpx.Client, jill: str) -> None:
    before = api.get(jill).text
    api.delete(jill)
    assert versions(api, jill) == [("DELETE", 'W/"2"', False), ("PUT", 'W/"1"', True)]
    assert api.get(f"{jill}/_history/1").text == before
    refused(api.get(f"{jill}/_history/2"), 410, "deleted", "Patient/jill was deleted")


def test_a_delete_of_what_never_was_answers_204_and_leaves_no_trace(api: httpx.Client) -> None:
    answer = api.delete("Patient/nobody")
    assert (answer.status_code, answer.content) == (204, b"")
    assert "ETag" not in answer.headers
    assert api.get("Patient/nobody").status_code == 404
    assert nothing_was_written(api)


def test_a_second_delete_answers_204_and_makes_no_version(api: httpx.Client, jill: str) -> None:
    api.delete(jill)
    answer = api.delete(jill)
    assert (answer.status_code, answer.headers["ETag"]) == (204, 'W/"2"')
    assert len(versions(api, jill)) == 2


def test_a_resource_is_deleted_and_brought_back_as_often_as_needed(api: httpx.Client, jill: str) -> None:
    for round_ in range(3):
        assert api.delete(jill).headers["ETag"] == f'W/"{2 * round_ + 2}"'
        answer = api.put(jill, json=person(id="jill"))
        assert (answer.status_code, answer.headers["ETag"]) == (201, f'W/"{2 * round_ + 3}"')
    methods = [method for method, _, _ in versions(api, jill)]
    assert methods == ["PUT", "DELETE"] * 3 + ["PUT"]


def test_the_answer_to_a_delete_says_what_happened_when_asked(api: httpx.Client, jill: str) -> None:
    told(api.delete(jill, headers={"Prefer": "return=OperationOutcome"}), 200, "1 deleted.")
    told(api.delete(jill, headers={"Prefer": "return=OperationOutcome"}), 200, "There was nothing to delete.")
    told(api.delete("Patient/x", headers={"Prefer": "return=OperationOutcome"}), 200, "There was nothing to delete.")


@pytest.mark.parametrize("preference", ["minimal", "representation"])
def test_a_delete_has_no_resource_to_return(api: httpx.Client, jill: str, preference: str) -> None:
    answer = api.delete(jill, headers={"Prefer": f"return={preference}"})
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_past_version_cannot_be_deleted(api: httpx.Client, jill: str) -> None:
    refused(api.delete(f"{jill}/_history/1"), 405, "not-supported", "DELETE is not served", "GET")
    refused(api.delete(f"{jill}/_history"), 405, "not-supported", "DELETE is not served", "GET")
    assert versions(api, jill) == [("PUT", 'W/"1"', True)]


def test_a_type_that_fhir_does_not_have_cannot_be_deleted(api: httpx.Client) -> None:
    refused(api.delete("Patiant/jill"), 404, "not-supported", "'Patiant'", "'Patient'")


def test_a_search_parameter_beside_an_id_is_refused_and_nothing_deleted(api: httpx.Client, jill: str) -> None:
    refused(api.delete(f"{jill}?identifier=1"), 400, "not-supported", "'identifier'")
    assert api.get(jill).status_code == 200


def test_the_whole_server_cannot_be_deleted(api: httpx.Client, jill: str) -> None:
    answer = api.delete(str(api.base_url).rstrip("/"))
    refused(answer, 405, "not-supported", "DELETE is not served")
    assert api.get(jill).status_code == 200

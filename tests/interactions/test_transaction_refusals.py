"""A transaction that is refused (R4 §3.1.0.11.2): nothing is written, and one outcome names the entry and the element."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.builders import budget, bundle, entry, person, task
from tests.interactions.checks import (
    ids,
    made,
    nhs,
    nothing_was_written,
    refused,
    refused_by,
    sent,
    server_with,
    versions,
)

JILL, JACK = "9000000009", "9000000017"
UUID = "urn:uuid:1b4b1f7e-0000-4000-8000-00000000000"
GOOD = entry("POST", "Task", task())


@pytest.fixture
def jill(api: httpx.Client) -> str:
    """Patient/jill at version 1."""
    made(api.put("Patient/jill", json=person(id="jill")))
    return "Patient/jill"


def post(api: httpx.Client, *entries: Any) -> httpx.Response:
    return api.post("", json=bundle("transaction", *entries))


# ---- all or nothing --------------------------------------------------------------------------------------------------


def test_an_invalid_resource_in_the_last_entry_refuses_all_of_them(api: httpx.Client, jill: str) -> None:
    bad = entry("POST", "Account", budget(status="open"))
    answer = post(api, entry("PUT", jill, person(id="jill", active=True)), GOOD, entry("DELETE", "Patient/x"), bad)
    refused(answer, 422, "code-invalid", "open", at="Bundle.entry[3].resource.status")
    assert ids(api, "Task") == ids(api, "Account") == []
    assert len(versions(api, jill)) == 1


def test_the_problems_of_one_entry_are_named_together_with_their_places(api: httpx.Client) -> None:
    answer = post(api, GOOD, entry("POST", "Patient", person(gender="f", contact=[{}, {"name": {"family": 5}}])))
    assert answer.status_code == 400
    places = {issue["expression"][0] for issue in answer.json()["issue"]}
    assert "Bundle.entry[1].resource.gender" in places
    assert "Bundle.entry[1].resource.contact[1].name.family" in places
    assert nothing_was_written(api)


def test_a_failing_if_match_in_one_entry_refuses_all_of_them(api: httpx.Client, jill: str) -> None:
    change = entry("PUT", jill, person(id="jill", active=True), ifMatch='W/"7"')
    refused(post(api, GOOD, change), 412, "conflict", "Patient/jill", "its version is 1", at="Bundle.entry[1].request")
    assert ids(api, "Task") == []
    assert len(versions(api, jill)) == 1


def test_a_failing_if_match_on_a_delete_refuses_all_of_them(api: httpx.Client, jill: str) -> None:
    answer = post(api, GOOD, entry("DELETE", jill, ifMatch='W/"7"'))
    refused(answer, 412, "conflict", "its version is 1", at="Bundle.entry[1].request")
    assert (ids(api, "Task"), ids(api, "Patient")) == ([], ["jill"])


def test_a_failing_if_none_match_in_one_entry_refuses_all_of_them(api: httpx.Client, jill: str) -> None:
    change = entry("PUT", jill, person(id="jill", active=True), ifNoneMatch="*")
    refused(post(api, change, GOOD), 412, "duplicate", "Patient/jill exists", at="Bundle.entry[0].request")
    assert ids(api, "Task") == []


def test_an_if_match_that_is_no_etag_is_refused(api: httpx.Client, jill: str) -> None:
    answer = post(api, GOOD, entry("PUT", jill, person(id="jill"), ifMatch="7"))
    refused(answer, 400, "invalid", "If-Match", at="Bundle.entry[1].request")


def test_a_condition_that_matches_several_refuses_all_of_them(api: httpx.Client, jill: str) -> None:
    made(api.post("Patient", json=person()))
    for one in (
        entry("POST", "Patient", person(), ifNoneExist=nhs(JILL)),
        entry("PUT", f"Patient?{nhs(JILL)}", person()),
    ):
        answer = post(api, GOOD, one)
        refused(answer, 412, "multiple-matches", "more than one Patient", at="Bundle.entry[1].request")
    assert ids(api, "Task") == []


def test_a_conditional_update_with_another_id_is_refused_at_the_id(api: httpx.Client, jill: str) -> None:
    answer = post(api, GOOD, entry("PUT", f"Patient?{nhs(JILL)}", person(id="jack")))
    refused(answer, 400, "invalid", "Patient/jill", "'jack'", at="Bundle.entry[1].resource.id")


def test_a_read_that_fails_refuses_all_of_them(api: httpx.Client) -> None:
    refused(post(api, GOOD, entry("GET", "Patient/x")), 404, "not-found", "Patient/x", at="Bundle.entry[1].request")
    answer = post(api, entry("GET", "Patient?shoe-size=5"), GOOD)
    refused(answer, 400, "not-supported", "'shoe-size'", at="Bundle.entry[0].request")
    assert nothing_was_written(api)


def test_a_read_of_what_the_transaction_deletes_refuses_all_of_it(api: httpx.Client, jill: str) -> None:
    answer = post(api, entry("DELETE", jill), entry("GET", jill))
    refused(answer, 410, "deleted", "Patient/jill", at="Bundle.entry[1].request")
    assert api.get(jill).status_code == 200


# ---- patches ---------------------------------------------------------------------------------------------------------


def json_patch(text: str, content_type: str = "application/json-patch+json") -> dict[str, Any]:
    data = base64.b64encode(text.encode()).decode()
    return {"resourceType": "Binary", "contentType": content_type, "data": data}


@pytest.mark.parametrize(
    ("patch", "status", "code", "words"),
    [
        (json_patch('[{"op":"add","path":"/gender","value":"f"}]'), 422, "code-invalid", "f"),
        (json_patch('[{"op":"remove","path":"/contact/0"}]'), 422, "not-found", "operation[0]"),
        (json_patch('[{"op":"replace","path":"/id","value":"x"}]'), 400, "value", "may not change"),
        (json_patch('[{"op":"test","path":"/birthDate","value":"x"}]'), 422, "conflict", "test failed"),
    ],
    ids=["invalid result", "leads nowhere", "another id", "failed test"],
)
def test_a_patch_that_cannot_be_refuses_all_of_them(
    api: httpx.Client, jill: str, patch: dict[str, Any], status: int, code: str, words: str
) -> None:
    answer = post(api, GOOD, entry("PATCH", jill, patch))
    refused(answer, status, code, words, at="Bundle.entry[1].resource")
    assert ids(api, "Task") == []
    assert len(versions(api, jill)) == 1


def test_a_patch_of_what_is_not_there_refuses_all_of_them(api: httpx.Client, jill: str) -> None:
    patch = json_patch('[{"op":"add","path":"/active","value":true}]')
    refused(
        post(api, GOOD, entry("PATCH", "Patient/x", patch)), 404, "not-found", "Patient/x", at="Bundle.entry[1].request"
    )
    answer = post(api, GOOD, entry("PATCH", f"Patient?{nhs(JACK)}", patch))
    refused(answer, 404, "not-found", "No Patient matches", at="Bundle.entry[1].request")
    api.delete(jill)
    refused(post(api, GOOD, entry("PATCH", jill, patch)), 410, "deleted", "Patient/jill", at="Bundle.entry[1].request")
    assert ids(api, "Task") == []


@pytest.mark.parametrize(
    ("patch", "code", "at"),
    [
        (json_patch("[]", "text/plain"), "value", "Bundle.entry[0].resource.contentType"),
        ({**json_patch(""), "data": "%%%"}, "value", "Bundle.entry[0].resource.data"),
        (json_patch("[{]"), "structure", "Bundle.entry[0].resource.data"),
        (json_patch('{"active": false}'), "structure", "Bundle.entry[0].resource.data"),
    ],
    ids=["another type", "no base64", "no JSON", "no list"],
)
def test_a_binary_that_holds_no_json_patch_is_refused(
    api: httpx.Client, jill: str, patch: dict[str, Any], code: str, at: str
) -> None:
    refused(post(api, entry("PATCH", jill, patch)), 400, code, at=at)
    assert len(versions(api, jill)) == 1


def test_a_patch_whose_type_is_written_otherwise_is_taken(api: httpx.Client, jill: str) -> None:
    patch = json_patch('[{"op":"add","path":"/active","value":false}]', "application/JSON-Patch+json; charset=utf-8")
    assert post(api, entry("PATCH", jill, patch)).status_code == 200
    assert api.get(jill).json()["active"] is False


# ---- the same thing twice --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "twice",
    [
        [entry("PUT", "Patient/jill", person(id="jill", active=True)), entry("DELETE", "Patient/jill")],
        [entry("PUT", "Patient/jill", person(id="jill")), entry("PUT", "Patient/jill", person(id="jill"))],
        [entry("DELETE", "Patient/jill"), entry("DELETE", "Patient/jill")],
        [entry("PUT", f"Patient?{nhs(JILL)}", person()), entry("PUT", "Patient/jill", person(JACK, id="jill"))],
        [
            entry("PATCH", "Patient/jill", json_patch('[{"op":"add","path":"/active","value":true}]')),
            entry("PUT", "Patient/jill", person(id="jill")),
        ],
        [entry("DELETE", f"Patient?{nhs(JILL)}"), entry("PUT", "Patient/jill", person(id="jill", active=True))],
        [entry("PUT", "Patient/new", person(JACK, id="new")), entry("PUT", "Patient/new", person(JACK, id="new"))],
    ],
    ids=[
        "PUT DELETE",
        "PUT PUT",
        "DELETE DELETE",
        "conditional PUT, PUT",
        "PATCH PUT",
        "conditional DELETE, PUT",
        "new",
    ],
)
def test_a_resource_that_two_entries_write_refuses_all_of_them(
    api: httpx.Client, jill: str, twice: list[dict[str, Any]]
) -> None:
    answer = post(api, GOOD, *twice)
    refused(answer, 400, "duplicate", "by entry 1 and by entry 2", at="Bundle.entry[2].request.url")
    assert ids(api, "Task") == []
    assert len(versions(api, jill)) == 1


def test_the_same_id_in_two_types_is_no_duplicate(api: httpx.Client) -> None:
    sent(api, "transaction", entry("PUT", "Patient/1", person(id="1")), entry("PUT", "Account/1", budget(id="1")))


def test_two_conditional_creates_that_would_match_each_other_are_refused(api: httpx.Client) -> None:
    one = entry("POST", "Patient", person(), ifNoneExist=nhs(JILL))
    answer = post(api, one, one)
    assert answer.status_code == 400, answer.text
    found = [(issue["code"], issue["expression"]) for issue in answer.json()["issue"]]
    assert found == [("duplicate", ["Bundle.entry[0].request"]), ("duplicate", ["Bundle.entry[1].request"])]
    assert nhs(JILL) in answer.json()["issue"][0]["details"]["text"]
    assert nothing_was_written(api)


def test_two_conditional_creates_that_do_not_match_each_other_are_done(api: httpx.Client) -> None:
    entries = [entry("POST", "Patient", person(number), ifNoneExist=nhs(number)) for number in (JILL, JACK)]
    sent(api, "transaction", *entries)
    assert len(ids(api, "Patient")) == 2


@pytest.mark.parametrize(
    "conditional",
    [
        entry("POST", "Patient", person(JACK), ifNoneExist=nhs(JILL)),
        entry("PUT", f"Patient?{nhs(JILL)}", person(JACK)),
    ],
    ids=["create", "update"],
)
def test_a_condition_that_another_entry_would_meet_is_refused(api: httpx.Client, conditional: dict[str, Any]) -> None:
    answer = post(api, entry("POST", "Patient", person(JILL)), conditional)
    refused(answer, 400, "duplicate", "Entry 0 writes a resource", nhs(JILL), at="Bundle.entry[1].request")
    assert nothing_was_written(api)


def test_a_patch_by_a_condition_that_a_created_resource_meets_too_is_refused(api: httpx.Client, jill: str) -> None:
    patch = json_patch('[{"op":"add","path":"/active","value":true}]')
    answer = post(api, entry("POST", "Patient", person(JILL)), entry("PATCH", f"Patient?{nhs(JILL)}", patch))
    refused(answer, 400, "duplicate", "Entry 0 writes a resource", at="Bundle.entry[1].request")
    assert ids(api, "Patient") == ["jill"]


def test_the_same_full_url_twice_is_refused(api: httpx.Client) -> None:
    answer = post(api, entry("POST", "Patient", person(), f"{UUID}1"), entry("POST", "Task", task(), f"{UUID}1"))
    refused(answer, 400, "duplicate", f"{UUID}1", at="Bundle.entry[1].fullUrl")
    assert nothing_was_written(api)


# ---- malformed Bundles -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["collection", "document", "searchset", "history", "transaction-response"])
def test_a_bundle_of_another_type_is_refused_with_where_it_could_go(api: httpx.Client, kind: str) -> None:
    answer = api.post("", json=bundle(kind, {"resource": person(id="1"), "fullUrl": f"{UUID}1"}))
    refused(answer, 400, "invalid", "batch or transaction", "/Bundle", at="Bundle.type")
    assert nothing_was_written(api)


@pytest.mark.parametrize("body", [person(), {"resourceType": "Bundle"}, {"resourceType": "Bundle", "type": 5}])
def test_what_is_no_bundle_to_be_done_is_refused(api: httpx.Client, body: dict[str, Any]) -> None:
    refused(api.post("", json=body), 400, "invalid", "batch or transaction", at="Bundle.type")
    assert nothing_was_written(api)


@pytest.mark.parametrize(
    ("bad", "code", "at"),
    [
        ({"request": {"method": "FETCH", "url": "Patient"}}, "code-invalid", ".request.method"),
        ({"request": {"method": "GET"}}, "required", ".request.url"),
        ({"request": {"url": "Patient/1"}}, "required", ".request.method"),
        ({"request": {"method": "GET", "url": ""}}, "value", ".request.url"),
        ({"request": {"method": "GET", "url": 5}}, "structure", ".request.url"),
        ({"resource": person()}, "required", ".request"),
        ({"request": {"method": "POST", "url": "Patient"}}, "required", ".resource"),
        ({"request": {"method": "PUT", "url": "Patient/1"}}, "required", ".resource"),
        ({"request": {"method": "PATCH", "url": "Patient/1"}}, "required", ".resource"),
        (entry("GET", "Patient/1", colour="red"), "structure", ".request.colour"),
        (entry("GET", "https://example.org/fhir/Patient/1"), "value", ".request.url"),
        (entry("GET", "urn:uuid:1b4b1f7e-0000-4000-8000-000000000001"), "value", ".request.url"),
        (entry("GET", "http://[/Patient"), "value", ".request.url"),
        (entry("GET", "Patient/%FF"), "value", ".request.url"),
        (entry("GET", "Patiant/1"), "not-supported", ".request"),
        (entry("GET", "Patient/1/_hist"), "not-supported", ".request"),
        (entry("POST", "Patient/1", person()), "not-supported", ".request"),
        (entry("POST", "Patient/_search", {"resourceType": "Parameters"}), "not-supported", ".request"),
        (entry("POST", "Patient/$match", {"resourceType": "Parameters"}), "not-supported", ".request"),
        (entry("PUT", "Patient/1", person(id="2")), "invalid", ".resource.id"),
        (entry("POST", "Account", person()), "invalid", ".resource"),
        (entry("POST", "Patient", person(), ifNoneExist="shoe-size=5"), "not-supported", ".request"),
        (entry("POST", "Patient", person(), ifNoneExist="Person?_id=5"), "invalid", ".request"),
        (entry("DELETE", "Patient"), "required", ".request"),
        ({}, "structure", ""),
        (5, "structure", ""),
    ],
)
def test_a_malformed_entry_refuses_all_of_them_and_is_named(api: httpx.Client, bad: Any, code: str, at: str) -> None:
    answer = post(api, GOOD, bad)
    assert 400 <= answer.status_code < 500, answer.text
    refused_by(answer.json(), code, at=f"Bundle.entry[1]{at}")
    assert nothing_was_written(api)


def test_a_sibling_of_this_servers_address_is_not_this_server(api: httpx.Client) -> None:
    url = str(api.base_url).rstrip("/") + "ly/Patient"
    refused(post(api, entry("POST", url, person())), 400, "value", url, at="Bundle.entry[0].request.url")
    assert nothing_was_written(api)


@pytest.mark.parametrize("kind", ["transaction", "batch"])
def test_a_bundle_within_a_bundle_is_refused(api: httpx.Client, kind: str) -> None:
    inner = entry("POST", "/", bundle(kind, GOOD))
    refused(post(api, GOOD, inner), 400, "invalid", "does not stand inside", at="Bundle.entry[1].request")
    assert nothing_was_written(api)


@pytest.mark.parametrize("value", [[], "x", 5, None])
def test_a_list_of_entries_that_is_none_is_refused(api: httpx.Client, value: Any) -> None:
    answer = api.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": value})
    refused(answer, 400, "structure", at="Bundle.entry")


# ---- limits ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(mongodb_uri: str) -> Iterator[httpx.Client]:
    """A client of a server that takes three entries and 2,000 bytes."""
    with server_with(mongodb_uri, bundle_entries_max=3, body_bytes_max=2_000) as client:
        yield client


@pytest.mark.parametrize("kind", ["transaction", "batch"])
def test_more_entries_than_the_setting_allows_are_refused(small: httpx.Client, kind: str) -> None:
    before = len(ids(small, "Task"))
    answer = small.post("", json=bundle(kind, *[GOOD] * 4))
    refused(answer, 413, "too-long", "4 entries", "at most 3", at="Bundle.entry")
    assert len(ids(small, "Task")) == before
    sent(small, kind, *[GOOD] * 3)
    assert len(ids(small, "Task")) == before + 3


def test_more_bytes_than_the_setting_allows_are_refused(small: httpx.Client) -> None:
    long = entry("POST", "Patient", person(name=[{"text": "x" * 2_000}]))
    refused(post(small, long), 413, "too-long", "2000 bytes")
    assert ids(small, "Patient") == []
    sent(small, "transaction", entry("POST", "Patient", person(name=[{"text": "x" * 1_000}])))

"""batch (R4 §3.1.0.11.1): every entry is answered on its own, and what is wrong with one is no matter of the others."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from tests.builders import budget, bundle, entry, person, task
from tests.interactions.checks import ids, made, nhs, nothing_was_written, refused, refused_by, sent, versions

JILL, JACK = "9000000009", "9000000017"
GOOD = entry("POST", "Task", task())


@pytest.fixture
def jill(api: httpx.Client) -> str:
    """Patient/jill at version 1."""
    made(api.put("Patient/jill", json=person(id="jill")))
    return "Patient/jill"


def statuses(answered: list[dict[str, Any]]) -> list[str]:
    return [each["response"]["status"] for each in answered]


def failed(answered: dict[str, Any], status: str, code: str, *words: str, at: str) -> None:
    """The answer to one entry, once it is this refusal and nothing else."""
    assert set(answered) == {"response"}, answered
    assert set(answered["response"]) == {"status", "outcome"}
    assert answered["response"]["status"] == status, answered
    refused_by(answered["response"]["outcome"], code, *words, at=at)


# ---- what is done ----------------------------------------------------------------------------------------------------


def test_a_batch_answers_each_entry_in_its_place(api: httpx.Client, jill: str) -> None:
    made(api.put("Account/old", json=budget(id="old")))
    patch = base64.b64encode(b'[{"op":"add","path":"/active","value":true}]').decode()
    binary = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": patch}
    done = sent(
        api,
        "batch",
        entry("GET", jill),
        entry("PATCH", jill, binary),
        entry("PUT", "Account/new", budget(id="new")),
        GOOD,
        entry("DELETE", "Account/old"),
    )
    assert statuses(done) == ["200 OK", "200 OK", "201 Created", "201 Created", "204 No Content"]
    assert [each["response"].get("etag") for each in done] == ['W/"2"', 'W/"2"', 'W/"1"', 'W/"1"', 'W/"2"']
    assert done[0]["fullUrl"] == str(api.base_url.join("Patient/jill"))
    assert done[0]["resource"] == api.get(jill).json()
    assert all("resource" not in each for each in done[1:])
    assert done[2]["response"]["location"] == str(api.base_url.join("Account/new/_history/1"))
    for each in done[:4]:
        assert each["response"]["lastModified"].startswith("2026-11-22T09:00:")


def test_a_batch_is_worked_in_the_order_of_methods(api: httpx.Client) -> None:
    made(api.put("Patient/old", json=person(id="old")))
    done = sent(
        api,
        "batch",
        entry("GET", "Patient/jill"),
        entry("PUT", "Patient/jill", person(JACK, id="jill")),
        entry("POST", "Patient", person(), ifNoneExist=nhs(JILL)),
        entry("DELETE", "Patient/old"),
    )
    # the delete comes first, so the condition finds nothing; the read comes last, so it finds what was put
    assert statuses(done) == ["200 OK", "201 Created", "201 Created", "204 No Content"]


def test_a_batch_may_change_one_resource_in_several_entries(api: httpx.Client, jill: str) -> None:
    done = sent(api, "batch", entry("DELETE", jill), entry("PUT", jill, person(id="jill", active=True)))
    assert statuses(done) == ["204 No Content", "201 Created"]
    assert [method for method, _, _ in versions(api, jill)] == ["PUT", "DELETE", "PUT"]


def test_equal_conditional_creates_in_one_batch_make_one_resource(api: httpx.Client) -> None:
    one = entry("POST", "Patient", person(), ifNoneExist=nhs(JILL))
    done = sent(api, "batch", *[one] * 20)
    assert sorted(statuses(done)) == ["200 OK"] * 19 + ["201 Created"]
    assert len({each["response"]["location"] for each in done}) == 1
    assert len(ids(api, "Patient")) == 1


def test_searches_histories_and_the_capability_statement_can_be_asked_for_together(
    api: httpx.Client, jill: str
) -> None:
    done = sent(
        api,
        "batch",
        entry("GET", f"Patient?{nhs(JILL)}"),
        entry("GET", f"{jill}/_history"),
        entry("GET", f"{jill}/_history/1"),
        entry("GET", "metadata"),
        entry("GET", "?_id=jill"),
        entry("GET", "_history?_count=1"),
    )
    assert statuses(done) == ["200 OK"] * 6
    kinds = [each["resource"].get("type", each["resource"]["resourceType"]) for each in done]
    assert kinds == ["searchset", "history", "Patient", "CapabilityStatement", "searchset", "history"]
    assert done[0]["resource"]["entry"][0]["resource"]["id"] == "jill"


def test_a_read_that_knows_the_version_is_answered_304(api: httpx.Client, jill: str) -> None:
    done = sent(api, "batch", entry("GET", jill, ifNoneMatch='W/"1"'), entry("GET", jill, ifNoneMatch='W/"9"'))
    assert statuses(done) == ["304 Not Modified", "200 OK"]


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_a_head_is_answered_as_a_get_without_the_content(api: httpx.Client, jill: str, kind: str) -> None:
    head, get, search = sent(api, kind, entry("HEAD", jill), entry("GET", jill), entry("HEAD", "Patient"))
    assert head == {"response": get["response"]}
    assert search == {"response": {"status": "200 OK"}}


def test_an_absolute_url_of_this_server_is_taken(api: httpx.Client, jill: str) -> None:
    base = str(api.base_url).rstrip("/")
    done = sent(api, "batch", entry("GET", f"{base}/{jill}"), entry("POST", f"{base}/Task", task()))
    assert statuses(done) == ["200 OK", "201 Created"]


def test_an_empty_batch_is_answered_with_an_empty_response(api: httpx.Client) -> None:
    answer = api.post("", json={"resourceType": "Bundle", "type": "batch"})
    assert (answer.status_code, answer.json()) == (200, {"resourceType": "Bundle", "type": "batch-response"})


def test_prefer_shapes_the_answers_of_a_batch(api: httpx.Client, jill: str) -> None:
    change = entry("PUT", jill, person(id="jill", active=True))
    whole = sent(api, "batch", change, GOOD, entry("GET", "Patient/x"), Prefer="return=representation")
    assert whole[0]["resource"] == api.get(jill).json()
    assert whole[1]["resource"]["resourceType"] == "Task"
    words = sent(api, "batch", change, entry("DELETE", jill), Prefer="return=OperationOutcome")
    assert words[0]["response"]["outcome"]["issue"][0]["severity"] == "information"
    assert words[1]["response"]["outcome"]["issue"][0]["details"]["text"] == "1 deleted."
    bare = sent(api, "batch", entry("PUT", jill, person(id="jill")), Prefer="return=minimal")
    assert set(bare[0]) == {"response"}
    assert "outcome" not in bare[0]["response"]


# ---- what fails alone ------------------------------------------------------------------------------------------------


def test_one_failing_entry_leaves_the_others_done(api: httpx.Client, jill: str) -> None:
    change = entry("PUT", jill, person(id="jill", active=True), ifMatch='W/"7"')
    done = sent(api, "batch", GOOD, change, entry("PUT", "Account/b", budget(id="b")))
    assert [statuses(done)[0], statuses(done)[2]] == ["201 Created", "201 Created"]
    at = "Bundle.entry[1].request"
    failed(done[1], "412 Precondition Failed", "conflict", "Patient/jill", "its version is 1", at=at)
    assert (len(ids(api, "Task")), ids(api, "Account")) == (1, ["b"])
    assert len(versions(api, jill)) == 1


@pytest.mark.parametrize(
    ("bad", "status", "code", "at"),
    [
        (entry("GET", "Patient/x"), "404 Not Found", "not-found", ".request"),
        (entry("GET", "Patient?shoe-size=5"), "400 Bad Request", "not-supported", ".request"),
        (entry("POST", "Patient", person(gender="f")), "422 Unprocessable Entity", "code-invalid", ".resource.gender"),
        (entry("POST", "Patient", person(shoeSize=5)), "400 Bad Request", "structure", ".resource.shoeSize"),
        (entry("POST", "Account", person()), "400 Bad Request", "invalid", ".resource"),
        (entry("PUT", "Patient/1", person(id="2")), "400 Bad Request", "invalid", ".resource.id"),
        (entry("PUT", "Patient?_id=x", person(), ifMatch='W/"1"'), "412 Precondition Failed", "conflict", ".request"),
        (entry("POST", "Patient", person(), ifNoneExist="x=1"), "400 Bad Request", "not-supported", ".request"),
        (entry("DELETE", "Patient"), "400 Bad Request", "required", ".request"),
        (entry("POST", "Patiant", person()), "404 Not Found", "not-supported", ".request"),
        (entry("POST", "Patient/_search", task()), "400 Bad Request", "not-supported", ".request"),
        (entry("DELETE", "Patient/1/_history/1"), "405 Method Not Allowed", "not-supported", ".request"),
        (entry("GET", "https://example.org/fhir/Patient/1"), "400 Bad Request", "value", ".request.url"),
        (entry("GET", "http://[/Patient"), "400 Bad Request", "value", ".request.url"),
        (entry("POST", "/", bundle("batch", GOOD)), "400 Bad Request", "invalid", ".request"),
        (entry("POST", "", bundle("transaction", GOOD)), "422 Unprocessable Entity", "value", ".request.url"),
        ({"request": {"method": "FETCH", "url": "Patient"}}, "422 Unprocessable Entity", "code-invalid", ".request.method"),
        ({"request": {"method": "GET"}}, "422 Unprocessable Entity", "required", ".request.url"),
        ({"request": {"method": "POST", "url": "Patient"}}, "400 Bad Request", "required", ".resource"),
        ({"request": {"method": ["GET"], "url": "Patient"}}, "400 Bad Request", "structure", ".request.method"),
        ({"request": "GET Patient"}, "400 Bad Request", "structure", ".request"),
        ({"resource": person()}, "400 Bad Request", "required", ".request"),
        (entry("GET", "Patient/1", colour="red"), "400 Bad Request", "structure", ".request.colour"),
        ({"fullUrl": 5, "request": {"method": "GET", "url": "Patient"}}, "400 Bad Request", "structure", ".fullUrl"),
        ({}, "400 Bad Request", "structure", ""),
        (5, "400 Bad Request", "structure", ""),
        ([], "400 Bad Request", "structure", ""),
    ],
)  # fmt: skip
def test_a_bad_entry_is_answered_alone_with_its_place(
    api: httpx.Client, bad: Any, status: str, code: str, at: str
) -> None:
    done = sent(api, "batch", GOOD, bad, GOOD)
    assert [statuses(done)[0], statuses(done)[2]] == ["201 Created", "201 Created"]
    failed(done[1], status, code, at=f"Bundle.entry[1]{at}")
    assert (len(ids(api, "Task")), ids(api, "Patient")) == (2, [])


def test_a_patch_that_makes_an_invalid_resource_is_answered_at_the_patch(api: httpx.Client, jill: str) -> None:
    patch = base64.b64encode(b'[{"op":"add","path":"/gender","value":"f"}]').decode()
    binary = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": patch}
    done = sent(api, "batch", entry("PATCH", jill, binary), GOOD)
    failed(done[0], "422 Unprocessable Entity", "code-invalid", "f", at="Bundle.entry[0].resource")
    assert len(versions(api, jill)) == 1


def test_a_batch_of_nothing_but_failures_is_answered_200_and_writes_nothing(api: httpx.Client) -> None:
    done = sent(api, "batch", entry("GET", "Patient/x"), entry("POST", "Patient", person(gender="f")))
    assert statuses(done) == ["404 Not Found", "422 Unprocessable Entity"]
    assert nothing_was_written(api)


# ---- what refuses the whole ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [[], "x", 5, None])
def test_a_list_of_entries_that_is_none_refuses_the_whole(api: httpx.Client, value: Any) -> None:
    answer = api.post("", json={"resourceType": "Bundle", "type": "batch", "entry": value})
    refused(answer, 400, "structure", at="Bundle.entry")


def test_a_bundle_that_is_malformed_around_its_entries_is_refused(api: httpx.Client) -> None:
    answer = api.post("", json={**bundle("batch", GOOD), "colour": "red"})
    refused(answer, 400, "structure", "colour", at="Bundle.colour")
    assert nothing_was_written(api)


def test_an_entry_of_a_batch_does_not_refer_to_what_another_makes(api: httpx.Client) -> None:
    """It would be kept as it is, and lead nowhere (R4 §3.1.0.11.1); in a transaction it is followed."""
    made = "urn:uuid:0c1ef22e-0000-4000-8000-000000000001"
    about = {"resourceType": "Observation", "status": "final", "code": {"text": "a"}, "subject": {"reference": made}}
    entries = [{**entry("POST", "Patient", person()), "fullUrl": made}, entry("POST", "Observation", about)]
    first, second = api.post("/", json=bundle("batch", *entries)).json()["entry"]
    assert statuses([first]) == ["201 Created"]
    failed(
        second,
        "400 Bad Request",
        "invalid",
        "another entry's",
        "transaction",
        at="Bundle.entry[1].resource.subject.reference",
    )
    answered = api.post("/", json=bundle("transaction", *entries)).json()["entry"]
    assert statuses(answered) == ["201 Created", "201 Created"]

"""The Prefer header (R4 §3.1.0.1.9, RFC 7240): how much is sent back, and how strictly a request is read."""

from __future__ import annotations

import pytest

from tests.builders import person, problem

# ---- return ----------------------------------------------------------------------------------------------------------

WRITES = {
    "create": ("POST", "/Patient", person(), 201, "Patient/id-1/_history/1", "Patient/id-1 was created."),
    "update": (
        "PUT", "/Patient/jill", person(id="jill", active=True), 200, "Patient/jill/_history/2",
        "Patient/jill was updated.",
    ),
    "update as create": (
        "PUT", "/Patient/asha", person(id="asha"), 201, "Patient/asha/_history/1", "Patient/asha was created.",
    ),
    "update that changes nothing": (
        "PUT", "/Patient/jill", person(id="jill"), 200, "Patient/jill/_history/1",
        "Patient/jill was left as it was: nothing in it changed.",
    ),
    "patch": (
        "PATCH", "/Patient/jill", [{"op": "add", "path": "/active", "value": True}], 200, "Patient/jill/_history/2",
        "Patient/jill was updated.",
    ),
}  # fmt: skip


@pytest.fixture(params=WRITES.values(), ids=WRITES.keys())
def write(request, api, server):
    """A way to write with a Prefer header, with what is to be expected of it."""
    method, path, body, status, location, sentence = request.param
    api.put("/Patient/jill", json=person(id="jill"))

    def send(prefer):
        kind = "application/json-patch+json" if method == "PATCH" else "application/fhir+json"
        headers = {"Content-Type": kind, **({"Prefer": prefer} if prefer else {})}
        answer = api.request(method, path, json=body, headers=headers)
        assert answer.status_code == status
        assert answer.headers["location"] == f"{server.base}/{location}"
        assert answer.headers["etag"] == f'W/"{location[-1]}"'
        return answer, sentence

    return send


@pytest.mark.parametrize("prefer", ["", "return=representation", "return=everything", "respond-async"])
def test_a_write_is_answered_with_the_resource_as_it_now_stands(api, write, prefer):
    answer, _ = write(prefer)
    stored = api.get(answer.headers["location"])
    assert answer.content == stored.content
    assert answer.json()["meta"]["versionId"] == answer.headers["location"][-1]


def test_a_write_under_return_minimal_is_answered_without_a_body(write):
    answer, _ = write("return=minimal")
    assert answer.content == b""
    assert "content-type" not in answer.headers


def test_a_write_under_return_operation_outcome_is_answered_in_words(write):
    answer, sentence = write("return=OperationOutcome")
    assert answer.json() == {
        "resourceType": "OperationOutcome",
        "issue": [
            {
                "severity": "information",
                "code": "informational",
                "details": {"text": sentence},
                "diagnostics": sentence,
            }
        ],
    }


@pytest.mark.parametrize(
    "prefer",
    [
        'return="minimal"',
        "Return=Minimal",
        "return = minimal",
        "respond-async, wait=10; x, return=minimal",
        "return=minimal, return=representation",
        'note="a, return=representation", return=minimal',
    ],
)
def test_a_preference_may_be_written_in_every_way_that_http_has(write, prefer):
    answer, _ = write(prefer)
    assert answer.content == b""


def test_a_delete_is_answered_with_nothing_or_in_words(api):
    for name in ("jill", "asha"):
        api.put(f"/Patient/{name}", json=person(id=name))
    silent = api.delete("/Patient/jill")
    assert (silent.status_code, silent.content) == (204, b"")
    told = api.delete("/Patient/asha", headers={"Prefer": "return=OperationOutcome"})
    assert (told.status_code, told.json()["issue"][0]["diagnostics"]) == (200, "1 deleted.")


# ---- handling --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefer", ["", "handling=strict", "handling=relaxed", "return=minimal"])
def test_an_unknown_parameter_is_refused_unless_leniency_is_asked_for(api, prefer):
    api.put("/Patient/jill", json=person(id="jill"))
    headers = {"Prefer": prefer} if prefer else {}
    found = problem(api.get("/Patient?identifer=1&_count=5", headers=headers))
    assert found[:2] == (400, "not-supported")
    assert found.text == "Patient has no search parameter 'identifer' here. Did you mean identifier?"


@pytest.mark.parametrize("prefer", ["handling=lenient", "return=minimal, handling=lenient", "handling=lenient; wait=5"])
def test_an_unknown_parameter_is_left_out_and_reported_under_leniency(api, server, prefer):
    api.put("/Patient/jill", json=person(id="jill"))
    answer = api.get("/Patient?identifer=1&_id=jill&_sort=birthdat", headers={"Prefer": prefer})
    assert answer.status_code == 200
    found = answer.json()
    assert found["link"] == [{"relation": "self", "url": f"{server.base}/Patient?_id=jill"}]
    assert found["total"] == 1
    match, outcome = found["entry"]
    assert (match["fullUrl"], match["search"]) == (f"{server.base}/Patient/jill", {"mode": "match"})
    assert outcome["search"] == {"mode": "outcome"}
    assert outcome["resource"]["resourceType"] == "OperationOutcome"
    assert [(issue["severity"], issue["code"]) for issue in outcome["resource"]["issue"]] == [
        ("warning", "not-supported"),
        ("warning", "not-supported"),
    ]
    first, second = (issue["diagnostics"] for issue in outcome["resource"]["issue"])
    assert first == "Left out: Patient has no search parameter 'identifer' here. Did you mean identifier?"
    assert second.startswith("Left out: ")
    assert "birthdat" in second


@pytest.mark.parametrize("bad", ["_lastUpdated=yesterday", "_count=many", "_total=some", "gender:exact=male"])
def test_what_is_badly_written_is_refused_and_under_leniency_left_out_and_reported(api, server, bad):
    assert problem(api.get(f"/Patient?{bad}")).status == 400
    found = api.get(f"/Patient?{bad}", headers={"Prefer": "handling=lenient"}).json()
    assert found["link"] == [{"relation": "self", "url": f"{server.base}/Patient"}]
    (outcome,) = found["entry"]
    assert outcome["search"] == {"mode": "outcome"}
    assert outcome["resource"]["issue"][0]["diagnostics"].startswith("Left out: ")


def test_leniency_never_widens_a_conditional_write(api):
    api.put("/Patient/jill", json=person(id="jill"))
    answer = api.delete("/Patient?identifer=9", headers={"Prefer": "handling=lenient"})
    assert problem(answer)[:2] == (400, "not-supported")
    assert api.get("/Patient/jill").status_code == 200


@pytest.mark.parametrize("address", ["/Patient/jill", "/Patient/jill/_history/1", "/metadata"])
def test_a_parameter_that_means_nothing_on_a_read_is_refused_or_left_out(api, address):
    api.put("/Patient/jill", json=person(id="jill"))
    found = problem(api.get(f"{address}?colour=blue"))
    assert found == (400, "not-supported", "The parameter 'colour' has no meaning on this request.", "")
    lenient = api.get(f"{address}?colour=blue", headers={"Prefer": "handling=lenient"})
    assert (lenient.status_code, lenient.content) == (200, api.get(address).content)


def test_a_parameter_that_means_nothing_on_a_write_is_refused_and_nothing_is_written(api):
    refused = [
        api.put("/Patient/jill?colour=blue", json=person(id="jill")),
        api.delete("/Patient/jill?colour=blue"),
        api.post("/?colour=blue", json={"resourceType": "Bundle", "type": "batch"}),
    ]
    assert [problem(answer)[:2] for answer in refused] == [(400, "not-supported")] * 3
    assert api.get("/_history").json()["total"] == 0

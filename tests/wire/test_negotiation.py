"""Which form an answer takes, and which forms a body may have (R4 §3.1.0.1.11, RFC 9110 §12.5)."""

from __future__ import annotations

import httpx
import pytest

from tests.builders import person, problem

FHIR_JSON = "application/fhir+json"
SENT_FHIR = "application/fhir+json;charset=utf-8"
SENT_PLAIN = "application/json;charset=utf-8"
PRETTY_PERSON = """{
  "resourceType": "Patient",
  "id": "jill",
  "meta": {
    "versionId": "1",
    "lastUpdated": "2026-11-22T09:00:00.000Z"
  },
  "multipleBirthInteger": 2
}"""


@pytest.fixture
def jill(api):
    """Jill's record is there; paths are asked for with no Accept header but a test's own."""
    assert api.put("/Patient/jill", json=person(id="jill")).status_code == 201
    del api.headers["Accept"]
    return api


# ---- the Accept header -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "sent"),
    [
        ("application/fhir+json", SENT_FHIR),
        ("APPLICATION/FHIR+JSON", SENT_FHIR),
        ("application/json+fhir", SENT_FHIR),  # DSTU2 clients
        ("application/json", SENT_PLAIN),
        ("text/json", SENT_PLAIN),
        ("*/*", SENT_FHIR),
        ("application/*", SENT_FHIR),
        ("", SENT_FHIR),
        ("application/fhir+json; charset=utf-8", SENT_FHIR),
        ("application/fhir+json; fhirVersion=4.0", SENT_FHIR),
        ("application/fhir+json;fhirVersion=4.0.1", SENT_FHIR),
        ('application/fhir+json; fhirVersion="4.0"', SENT_FHIR),
        # the most wanted of those we have
        ("application/fhir+xml, application/json;q=0.9, application/fhir+json;q=0.8", SENT_PLAIN),
        ("application/json;q=0.5, application/fhir+json;q=0.75", SENT_FHIR),
        ("application/json;q=0.5;charset=utf-8, application/fhir+json;q=0.499", SENT_PLAIN),
        ("application/json, application/fhir+json", SENT_PLAIN),
        ("application/fhir+json;fhirVersion=3.0, application/json;q=0.1", SENT_PLAIN),
        ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", SENT_FHIR),
        # what is refused by name is not sent under a wildcard
        ("application/fhir+json;q=0, */*", SENT_PLAIN),
        ("*/*, application/json;q=0", SENT_FHIR),
        # a quality that is none is as if it were not there
        ("application/json;q=high, application/fhir+json;q=0.9", SENT_PLAIN),
        ("application/fhir+json;q=nan", SENT_FHIR),
    ],
)
def test_accept_chooses_the_form_of_the_answer(jill, accept, sent):
    answer = jill.get("/Patient/jill", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, sent)
    assert answer.json()["id"] == "jill"


def test_without_an_accept_header_the_answer_is_fhir_json(jill, server):
    with httpx.Client(base_url=server.base) as client:
        del client.headers["accept"]
        answer = client.get("/Patient/jill")
    assert "accept" not in answer.request.headers
    assert (answer.status_code, answer.headers["content-type"]) == (200, SENT_FHIR)


@pytest.mark.parametrize(
    "accept",
    [
        "application/fhir+xml",
        "application/xml",
        "text/html",
        "text/turtle",
        "image/*",
        "application/fhir+json;q=0",
        "*/*;q=0",
        "application/fhir+json;q=0, application/json;q=0, */*",
        "application/fhir+json; fhirVersion=3.0",
        "application/fhir+json; fhirVersion=5.0, application/xml",
    ],
)
def test_an_accept_header_with_nothing_we_write_is_refused(jill, accept):
    found = problem(jill.get("/Patient/jill", headers={"Accept": accept}))
    assert found[:2] == (406, "not-supported")
    assert found.text == f"Accept: {accept} asks for a form that this server does not write; it writes {FHIR_JSON}."


def test_a_write_that_cannot_be_answered_in_the_wanted_form_writes_nothing(jill):
    refused = jill.put("/Patient/asha", json=person(id="asha"), headers={"Accept": "application/fhir+xml"})
    assert problem(refused).status == 406
    assert jill.get("/Patient/asha").status_code == 404


# ---- _format and _pretty ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("json", SENT_FHIR),
        ("application/json", SENT_PLAIN),
        ("text/json", SENT_PLAIN),
        ("application/fhir%2Bjson", SENT_FHIR),
        ("application/fhir+json", SENT_FHIR),  # a '+' that was not percent-encoded
        ("application/fhir%2Bjson;%20fhirVersion%3D4.0", SENT_FHIR),
    ],
)
def test_format_outranks_the_accept_header(jill, asked, sent):
    answer = jill.get(f"/Patient/jill?_format={asked}", headers={"Accept": "application/fhir+xml"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, sent)


@pytest.mark.parametrize(
    "asked",
    ["xml", "application/fhir+xml", "ttl", "html", "*/*", "json,xml", "application/fhir%2Bjson;fhirVersion=3.0"],
)
def test_a_format_that_we_do_not_write_is_refused(jill, asked):
    found = problem(jill.get(f"/Patient/jill?_format={asked}", headers={"Accept": FHIR_JSON}))
    assert found[:2] == (406, "not-supported")
    assert found.text.startswith("_format=")


def test_a_search_by_form_may_say_the_format_in_the_form(jill):
    form = {"_id": "jill", "_format": "application/json", "_pretty": "true"}
    answer = jill.post("/Patient/_search", data=form, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, SENT_PLAIN)
    assert answer.text.startswith('{\n  "resourceType": "Bundle"')
    refused = jill.post(
        "/Patient/_search", data={"_format": "xml"}, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert problem(refused).status == 406


def test_pretty_indents_the_same_resource(api):
    api.put("/Patient/jill", json={"resourceType": "Patient", "id": "jill", "multipleBirthInteger": 2})
    assert api.get("/Patient/jill?_pretty=true").text == PRETTY_PERSON
    plain = api.get("/Patient/jill?_pretty=false")
    assert plain.text == api.get("/Patient/jill").text
    assert "\n" not in plain.text
    assert plain.json() == api.get("/Patient/jill?_pretty=true").json()


def test_pretty_keeps_every_digit(api):
    body = (
        b'{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"valueQuantity":{"value":10.00}}'
    )
    api.put("/Observation/o", content=body)
    assert '"value": 10.00\n' in api.get("/Observation/o?_pretty=true").text


def test_pretty_indents_bundles_and_refusals_too(jill):
    assert jill.get("/Patient?_pretty=true").text.startswith('{\n  "resourceType": "Bundle",\n  "type"')
    assert jill.get("/Patient/nobody?_pretty=true").text.startswith('{\n  "resourceType": "OperationOutcome",\n')


def test_pretty_is_true_or_false(jill):
    assert problem(jill.get("/Patient/jill?_pretty=yes")) == (400, "value", "_pretty=yes: it is true or false.", "")


# ---- the form of a body ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "media_type",
    [
        "application/fhir+json",
        "application/json",
        "text/json",
        "application/json+fhir",
        "Application/FHIR+JSON",
        "application/fhir+json;charset=utf-8",
        "application/fhir+json; charset=UTF-8",
        'application/fhir+json; charset="utf-8"; fhirVersion=4.0',
        "application/json; charset=us-ascii",
    ],
)
def test_a_body_in_a_form_we_read_is_taken(api, media_type):
    answer = api.post("/Patient", json=person(), headers={"Content-Type": media_type})
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("media_type", "because"),
    [
        ("application/fhir+xml", "The body is application/fhir+xml; this address takes application/fhir+json."),
        ("text/plain", "The body is text/plain; this address takes application/fhir+json."),
        ("application/x-www-form-urlencoded", "this address takes application/fhir+json."),
        ("application/json-patch+json", "this address takes application/fhir+json."),
        ("", "The body has no Content-Type; this address takes application/fhir+json."),
        ("application/fhir+json; charset=iso-8859-1", "The body's character set is iso-8859-1; FHIR is UTF-8"),
        ("application/fhir+json; charset=utf-16", "The body's character set is utf-16; FHIR is UTF-8"),
        ("application/fhir+json; fhirVersion=3.0", "The body is FHIR 3.0; this server speaks 4.0."),
    ],
)
def test_a_body_in_a_form_we_do_not_read_is_refused(api, media_type, because):
    for answer in (
        api.post("/Patient", json=person(), headers={"Content-Type": media_type}),
        api.put("/Patient/jill", json=person(id="jill"), headers={"Content-Type": media_type}),
    ):
        found = problem(answer)
        assert found[:2] == (415, "not-supported")
        assert because in found.text
    assert api.get("/Patient?_summary=count").json()["total"] == 0


@pytest.mark.parametrize("media_type", ["text/plain", "application/fhir+xml", "application/xml-patch+xml"])
def test_a_patch_in_a_form_we_do_not_read_names_those_we_do(jill, media_type):
    found = problem(jill.patch("/Patient/jill", content=b"[]", headers={"Content-Type": media_type}))
    assert found[:2] == (415, "not-supported")
    assert "application/fhir+json (FHIRPath Patch), application/json-patch+json" in found.text


@pytest.mark.parametrize("address", ["/Patient/_search", "/_search"])
def test_a_search_by_post_that_is_no_form_is_refused(jill, address):
    found = problem(jill.post(address, json={"_id": "jill"}))
    assert found == (415, "not-supported", "A search by POST is a form: application/x-www-form-urlencoded.", "")


def test_utf8_comes_back_as_it_went(api):
    body = '{"resourceType":"Patient","id":"j","name":[{"family":"Ó Súilleabháin","given":["幸子","🌻"]}]}'.encode()
    api.put("/Patient/j", content=body)
    assert api.get("/Patient/j").content.endswith(body[body.index(b'"name"') :])

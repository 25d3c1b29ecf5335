"""Binary: content that comes and goes as itself, or as a FHIR resource for who asks for FHIR (R4 §2.42.1)."""

from __future__ import annotations

import base64
import json

import pytest

from tests.builders import problem

PICTURE = bytes(range(256)) * 8
PNG = {
    "resourceType": "Binary",
    "id": "photo",
    "contentType": "image/png",
    "data": base64.b64encode(PICTURE).decode(),
}
FHIR_JSON = "application/fhir+json;charset=utf-8"


@pytest.fixture
def photo(api):
    assert api.put("/Binary/photo", json=PNG).status_code == 201
    del api.headers["Accept"]
    return api


def got(api, accept, address="/Binary/photo"):
    answer = api.get(address, headers={"Accept": accept})
    return answer.status_code, answer.headers["content-type"], answer.content


@pytest.mark.parametrize(
    "accept",
    [
        "image/png",
        "image/*",
        "IMAGE/PNG",
        "*/*",
        "",
        "text/html, application/xml;q=0.9, */*;q=0.8",
        "image/png, application/fhir+json;q=0.9",
        "application/pdf",  # R4: the type stated in the resource, unless FHIR is asked for
    ],
)
def test_content_is_sent_as_itself_unless_fhir_is_asked_for(photo, accept):
    assert got(photo, accept) == (200, "image/png", PICTURE)
    assert got(photo, accept, "/Binary/photo/_history/1") == (200, "image/png", PICTURE)


@pytest.mark.parametrize(
    "accept",
    [
        "application/fhir+json",
        "application/fhir+json, image/png",
        "application/fhir+json, */*;q=0.1",
        "application/pdf, application/fhir+json;q=0.5",
        "application/fhir+xml, application/fhir+json;q=0.5",
    ],
)
def test_content_is_sent_as_a_resource_to_who_asks_for_fhir(photo, accept):
    status, sent, body = got(photo, accept)
    assert (status, sent) == (200, FHIR_JSON)
    assert b'"data":"' + base64.b64encode(PICTURE) + b'"' in body


def test_format_asks_for_fhir_too(photo):
    answer = photo.get("/Binary/photo?_format=json", headers={"Accept": "image/png"})
    assert (answer.headers["content-type"], answer.json()["contentType"]) == (FHIR_JSON, "image/png")


@pytest.mark.parametrize("query", ["_summary=true", "_elements=contentType"])
def test_a_part_of_a_binary_is_a_resource_and_not_empty_content(photo, query):
    answer = photo.get(f"/Binary/photo?{query}", headers={"Accept": "*/*"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, FHIR_JSON)
    assert answer.json()["contentType"] == "image/png"


def test_content_in_another_form_of_fhir_is_refused(photo):
    refused = photo.get("/Binary/photo", headers={"Accept": "application/fhir+xml"})
    assert problem(refused)[:2] == (406, "not-supported")


def test_content_has_the_headers_of_its_version_and_may_run_nothing(photo):
    answer = photo.get("/Binary/photo", headers={"Accept": "image/png"})
    assert answer.headers["etag"] == 'W/"1"'
    assert answer.headers["last-modified"] == "Sun, 22 Nov 2026 09:00:00 GMT"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'; sandbox"
    again = photo.get("/Binary/photo", headers={"Accept": "image/png", "If-None-Match": 'W/"1"'})
    assert (again.status_code, again.content) == (304, b"")
    head = photo.head("/Binary/photo", headers={"Accept": "image/png", "Accept-Encoding": "identity"})
    assert (head.status_code, head.headers["content-type"], head.headers["content-length"]) == (
        200,
        "image/png",
        "2048",
    )


def test_what_is_said_of_content_is_fhir(photo):
    missing = photo.get("/Binary/nothing", headers={"Accept": "image/png"})
    assert problem(missing)[:2] == (404, "not-found")
    found = photo.get("/Binary?_id=photo", headers={"Accept": "*/*"})
    assert (found.headers["content-type"], found.json()["total"]) == (FHIR_JSON, 1)


# ---- content that is sent --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "content"),
    [
        ("image/png", PICTURE),
        ("application/pdf", b"%PDF-1.7"),
        ("text/plain", b""),
        ("text/plain; charset=iso-8859-1", "é".encode("latin-1")),
        ("text/csv;charset=utf-16", "a,b".encode("utf-16")),
        ("application/octet-stream", b'{"resourceType":"Patient"}'),
    ],
)
def test_content_posted_as_itself_comes_back_as_itself(api, declared, content):
    made = api.post("/Binary", content=content, headers={"Content-Type": declared})
    assert made.status_code == 201
    assert made.json()["contentType"] == declared
    back = api.get("/Binary/id-1", headers={"Accept": "*/*"})
    assert (back.headers["content-type"], back.content) == (declared, content)


def test_content_put_as_itself_becomes_the_next_version(photo):
    answer = photo.put("/Binary/photo", content=b"GIF89a", headers={"Content-Type": "image/gif"})
    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"2"')
    assert got(photo, "*/*") == (200, "image/gif", b"GIF89a")
    assert got(photo, "*/*", "/Binary/photo/_history/1") == (200, "image/png", PICTURE)


def test_content_may_name_who_may_see_it(api):
    headers = {"Content-Type": "image/png", "X-Security-Context": "Patient/jill"}
    assert api.post("/Binary", content=b"x", headers=headers).json()["securityContext"] == {"reference": "Patient/jill"}


@pytest.mark.parametrize("declared", ["application/fhir+xml", "application/xml+fhir"])
def test_fhir_in_a_form_that_we_do_not_read_is_not_content(api, declared):
    refused = api.post("/Binary", content=b"<Binary/>", headers={"Content-Type": declared})
    assert problem(refused)[:2] == (415, "not-supported")


def test_content_of_no_type_is_refused(api):
    assert problem(api.post("/Binary", content=b"x", headers={"Content-Type": ""})).status == 415


def test_a_content_type_that_would_break_the_headers_is_refused_and_not_put_in_them(photo, api):
    planted = "text/html\nSet-Cookie:planted=1"
    assert api.put("/Binary/b", json={**PNG, "id": "b", "contentType": planted}).status_code == 422
    # … and if it had come into the record otherwise
    text = json.dumps({**PNG, "contentType": planted})
    api.shelf.database["resources"].update_one({"_id": "Binary/photo"}, {"$set": {"json": text}})
    answer = photo.get("/Binary/photo", headers={"Accept": "*/*"})
    assert "set-cookie" not in answer.headers
    assert (answer.headers["content-type"], answer.content) == ("application/octet-stream", PICTURE)

"""Bodies that cannot be read: each gets a clear 4xx at once, keeps nothing, and harms nobody else."""

from __future__ import annotations

import json
import socket
import threading
from urllib.parse import urlsplit

import httpx
import pytest

from tests.builders import person, problem

JILL = b'{"resourceType":"Patient","id":"jill","active":true}'
MEGABYTE = 1_000_000
LARGEST = 20 * MEGABYTE


def put(api, body):
    return api.put("/Patient/jill", content=body)


# ---- not JSON --------------------------------------------------------------------------------------------------------

MALFORMED = {
    "empty": (b"", "it is empty"),
    "blank": (b" \n ", "it is empty"),
    "cut short": (JILL[:-1], "Expecting ',' delimiter at line 1, column 52"),
    "half a string": (JILL[:29], "Unterminated string starting at"),
    "single quotes": (
        JILL.replace(b'"', b"'"),
        "Expecting property name enclosed in double quotes at line 1, column 2",
    ),
    "trailing comma": (JILL[:-1] + b",}", "at line 1, column 53"),
    "two values": (JILL + b"{}", "Extra data at line 1, column 53"),
    "a bare word": (JILL.replace(b"true", b"yes"), "Expecting value at line 1, column 48"),
    "a control character": (JILL.replace(b"jill", b"ji\nll"), "Invalid control character at line 1"),
    "a bad escape": (JILL.replace(b"jill", b"ji\\xll"), "Invalid \\escape"),
    "a leading zero": (JILL.replace(b"true", b"01"), "at line 1"),
    "NaN": (JILL.replace(b"true", b"NaN"), "NaN is not a JSON number"),
    "Infinity": (JILL.replace(b"true", b"-Infinity"), "-Infinity is not a JSON number"),
    "half a character": (JILL.replace(b"jill", b"\\ud83c"), "an unpaired surrogate"),
    "a byte that is no UTF-8": (JILL.replace(b"jill", b"ji\xffl"), "byte 35 of the body is not valid UTF-8"),
    "UTF-16": (JILL.decode().encode("utf-16"), "byte 1 of the body is not valid UTF-8"),
    "Latin-1": ('{"resourceType":"Patient","id":"é"}'.encode("latin-1"), "byte 33 of the body is not valid UTF-8"),
    "an overlong encoding": (JILL.replace(b"jill", b"\xc0\xaf"), "byte 33 of the body is not valid UTF-8"),
    "XML": (b'<Patient xmlns="http://hl7.org/fhir"/>', "Expecting value at line 1, column 1"),
    "a key twice": (
        b'{"resourceType":"Patient","id":"jill","gender":"male","gender":"female"}',
        'the key "gender" stands twice in one object',
    ),
    "a key twice, deep down": (
        b'{"resourceType":"Patient","id":"jill","name":[{"family":"a","given":["b"],"family":"c"}]}',
        'the key "family" stands twice in one object',
    ),
    "a key twice, written differently": (
        b'{"resourceType":"Patient","id":"jill","gender":"male","\\u0067ender":"female"}',
        'the key "gender" stands twice in one object',
    ),
    "a number of a thousand digits": (JILL.replace(b"true", b"0." + b"1" * 1_000), "longer than this server takes"),
    "a whole number of ten thousand digits": (JILL.replace(b"true", b"9" * 10_000), "longer than this server takes"),
}


@pytest.mark.parametrize(("body", "reason"), MALFORMED.values(), ids=MALFORMED)
def test_a_body_that_is_not_json_is_refused_with_the_place(api, body, reason):
    for answer in (put(api, body), api.post("/Patient", content=body), api.post("/", content=body)):
        found = problem(answer)
        assert found[:2] == (400, "structure")
        assert found.text.startswith("The body is not well-formed JSON: ")
        assert reason in found.text
    assert api.get("/_history").json()["total"] == 0


@pytest.mark.parametrize(
    "body",
    [
        JILL,
        b"\xef\xbb\xbf" + JILL,  # a byte order mark
        b" \r\n\t" + JILL + b"\n",
        JILL.replace(b"jill", b"\\u006aill"),
        b'{"resourceType":"Patient","id":"jill","name":[{"text":"\\ud83c\\udf3b"}]}',
        b'{"resourceType":"Patient","id":"jill","name":[{"family":"a"},{"family":"a"}]}',
    ],
)
def test_a_body_that_is_json_all_the_same_is_taken(api, body):
    assert put(api, body).status_code == 201


@pytest.mark.parametrize("body", [b"null", b"[]", b'"Patient"', b"42", b"true", JILL.replace(b"{", b"[{") + b"]"])
def test_json_that_is_no_object_is_no_resource(api, body):
    assert problem(put(api, body)) == (400, "structure", "The body must be one FHIR resource: a JSON object.", "")


@pytest.mark.parametrize("body", [b"{}", b'{"id":"jill"}', b'{"resourceType":1}', b'{"resourceType":["Patient"]}'])
def test_an_object_that_names_no_type_is_no_resource(api, body):
    found = problem(put(api, body))
    assert (found.status, found.code, found.expression) == (400, "structure", "resourceType")


def test_a_resource_of_another_type_than_the_address_is_refused(api):
    found = problem(put(api, b'{"resourceType":"Practitioner","id":"jill"}'))
    assert found[:2] == (400, "invalid")
    assert found.text == "The body's resourceType is Practitioner, and this address is for Patient."


# ---- wrong types at depth --------------------------------------------------------------------------------------------

WRONG = {
    "text for a list": ({"name": "Jill"}, "Patient.name"),
    "an object for a list": ({"name": {"family": "Marsh"}}, "Patient.name"),
    "a list for an object": ({"maritalStatus": [{"text": "x"}]}, "Patient.maritalStatus"),
    "a number for text": ({"name": [{"family": 5}]}, "Patient.name[0].family"),
    "text for a boolean": ({"active": "true"}, "Patient.active"),
    "a number for a boolean": ({"active": 1}, "Patient.active"),
    "text for a list of texts": ({"contact": [{"name": {"given": "Ruth"}}]}, "Patient.contact[0].name.given"),
    "a list in a list": ({"name": [{"given": [["Ruth"]]}]}, "Patient.name[0].given[0]"),
    "null for an object": ({"maritalStatus": None}, "Patient.maritalStatus"),
    "an empty list": ({"name": []}, "Patient.name"),
    "an empty object": ({"name": [{}]}, "Patient.name[0]"),
    "text for a number": ({"multipleBirthInteger": "2"}, "Patient.multipleBirth.ofType(integer)"),
    "a fraction for an integer": ({"multipleBirthInteger": 2.5}, "Patient.multipleBirth.ofType(integer)"),
    "an unknown element": ({"contact": [{"name": {"text": "R"}, "nickname": "R"}]}, "Patient.contact[0].nickname"),
    "in an extension": (
        {"extension": [{"url": "http://example.org/x", "valueQuantity": {"value": "5"}}]},
        "Patient.extension[0].value.ofType(Quantity).value",
    ),
    "in a contained resource": (
        {
            "contained": [{"resourceType": "Organization", "id": "o", "name": "P", "active": "no"}],
            "managingOrganization": {"reference": "#o"},
        },
        "Patient.contained[0].active",
    ),
}


@pytest.mark.parametrize(("more", "place"), WRONG.values(), ids=WRONG)
def test_a_wrong_type_is_refused_with_its_place(api, more, place):
    found = problem(put(api, json.dumps({"resourceType": "Patient", "id": "jill", **more}).encode()))
    assert (found.status, found.expression) == (400, place)
    assert found.code in ("structure", "value")
    assert api.get("/Patient/jill").status_code == 404


# ---- deep ------------------------------------------------------------------------------------------------------------


def nested(levels):
    """Jill's record with extensions in extensions, `levels` objects and arrays deep."""
    around = (levels - 3) // 2
    inner = b'{"url":"http://example.org/x","valueBoolean":true}'
    opened = b'{"url":"http://example.org/x","extension":[' * around
    return b'{"resourceType":"Patient","id":"jill","extension":[' + opened + inner + b"]}" * (around + 1)


def test_a_body_as_deep_as_may_be_is_taken(api):
    assert put(api, nested(63)).status_code == 201


@pytest.mark.parametrize("levels", [67, 100, 1_000, 200_000])
def test_a_body_that_is_too_deep_is_refused(api, levels):
    text = "The body nests deeper than the 64 levels this server takes."
    assert problem(put(api, nested(levels))) == (400, "structure", text, "")


@pytest.mark.parametrize("body", [b"[" * 1_000_000, b'{"a":' * 500_000, b"[" * 100_000 + b"]" * 100_000])
def test_a_pile_of_brackets_is_refused(api, body):
    assert problem(put(api, body))[:2] == (400, "structure")
    assert put(api, JILL).status_code == 201


# ---- large -----------------------------------------------------------------------------------------------------------


def sized(count):
    return JILL[:-1] + b" " * (count - len(JILL)) + b"}"


def chunks(body):
    for start in range(0, len(body), MEGABYTE):
        yield body[start : start + MEGABYTE]


TOO_LARGE = (413, "too-long", f"The body is larger than the {LARGEST} bytes this server takes.", "")


def test_a_body_of_the_largest_size_is_taken(api):
    assert put(api, sized(LARGEST)).status_code == 201
    assert put(api, chunks(sized(LARGEST))).status_code == 200


@pytest.mark.parametrize("size", [LARGEST + 1, 50 * MEGABYTE])
def test_a_body_that_is_too_large_is_refused(api, size):
    assert problem(put(api, sized(size))) == TOO_LARGE
    assert problem(put(api, chunks(sized(size)))) == TOO_LARGE  # without a Content-Length
    assert api.get("/Patient/jill").status_code == 404


def test_others_are_answered_while_a_body_that_is_too_large_arrives(api, server):
    """The large body is held back in the middle until somebody else has been answered."""
    api.put("/Patient/asha", json=person(id="asha"))
    answered = threading.Event()

    def halting():
        for place, chunk in enumerate(chunks(sized(50 * MEGABYTE))):
            if place == 30:
                assert answered.wait(30)
            yield chunk

    refused = []
    large = threading.Thread(target=lambda: refused.append(put(api, halting())))
    large.start()
    try:
        with httpx.Client(base_url=server.base) as other:
            assert other.get("/Patient/asha").status_code == 200
            assert other.put("/Patient/jill", json=person(id="jill")).status_code == 201
    finally:
        answered.set()
        large.join(30)
    assert [problem(answer) for answer in refused] == [TOO_LARGE]


def asked_first(server, length):
    """The first line that a client hears that asks, by Expect, whether it should send so large a body."""
    parts = urlsplit(server.base)
    head = (
        f"PUT /fhir/Patient/jill HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/fhir+json\r\n"
        f"Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as client:
        client.sendall(head.encode())
        return client.recv(65536).partition(b"\r\n")[0]


def test_a_client_that_asks_first_hears_that_its_body_is_too_large(server):
    assert asked_first(server, 50 * MEGABYTE) == b"HTTP/1.1 413 Request Entity Too Large"
    assert asked_first(server, 50) == b"HTTP/1.1 100 Continue"


def test_a_body_that_breaks_off_keeps_nothing(api, server):
    parts = urlsplit(server.base)
    head = (
        f"PUT /fhir/Patient/jill HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/fhir+json\r\n"
        f"Content-Length: {len(JILL) + 10}\r\n\r\n"
    )
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as client:
        client.sendall(head.encode() + JILL)
        client.shutdown(socket.SHUT_WR)
        client.recv(65536)
    assert api.get("/Patient/jill").status_code == 404


@pytest.mark.parametrize("address", ["/Patients", "/Patient/jill/_history/1", "/Patient/1/2"])
def test_a_large_body_for_an_address_that_is_none_is_refused_too(api, address):
    assert problem(api.post(address, content=sized(50 * MEGABYTE))).status in (404, 405)


# ---- queries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["_id=%ff", "_id=%C3%28", "_format=%ff", "&".join(["_id=1"] * 2_000)])
def test_a_query_that_cannot_be_read_is_refused(api, query):
    text = "The query is not percent-encoded UTF-8, or has too many fields."
    assert problem(api.get(f"/Patient?{query}")) == (400, "invalid", text, "")


def test_a_search_form_that_cannot_be_read_is_refused(api):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert problem(api.post("/Patient/_search", content=b"_id=%ff", headers=headers)).status == 400
    assert problem(api.post("/Patient/_search", content="_id=é".encode(), headers=headers)).status == 400

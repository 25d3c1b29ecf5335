"""Addresses and methods: what is served where, and what a client hears that asks for something else (R4 §3.1.0)."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

import pytest

from phb_fhir.app import at_work
from phb_fhir.data import data_path
from phb_fhir.definitions import capability
from phb_fhir.definitions.load import load
from phb_fhir.interactions.request import FhirRequest
from phb_fhir.interactions.routes import methods_at, route_of
from phb_fhir.outcome import Refusal, Rejected
from tests.builders import bundle, entry, person, problem

# every kind of address, with all that it answers
ADDRESSES = {
    "": "GET, POST, HEAD, OPTIONS",
    "/": "GET, POST, HEAD, OPTIONS",
    "/metadata": "GET, HEAD, OPTIONS",
    "/_history": "GET, HEAD, OPTIONS",
    "/_search": "POST, OPTIONS",
    "/Patient": "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS",
    "/Patient/": "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS",
    "/Patient/_history": "GET, HEAD, OPTIONS",
    "/Patient/_search": "POST, OPTIONS",
    "/Patient/jill": "GET, PUT, PATCH, DELETE, HEAD, OPTIONS",
    "/Patient/jill/_history": "GET, HEAD, OPTIONS",
    "/Patient/jill/_history/1": "GET, HEAD, OPTIONS",
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "LINK")
REFUSED = [
    (method, address)
    for address, allowed in ADDRESSES.items()
    for method in METHODS
    if method not in allowed.split(", ")
]


@pytest.fixture
def jill(api):
    api.put("/Patient/jill", json=person(id="jill"))
    return api


def allowed_at(answer):
    return set(answer.headers["allow"].split(", "))


@pytest.mark.parametrize("address", ADDRESSES)
def test_options_names_the_methods_of_an_address(jill, address):
    answer = jill.request("OPTIONS", str(jill.base_url).rstrip("/") + address)
    assert (answer.status_code, answer.content) == (204, b"")
    assert allowed_at(answer) == set(ADDRESSES[address].split(", "))


@pytest.mark.parametrize("address", ["/Patient", "/Patient/jill", "/metadata", "/Patient/_history"])
def test_where_a_patch_is_taken_options_and_a_refusal_of_its_kind_say_which(jill, address):
    takes = "application/fhir+json, application/json-patch+json, application/merge-patch+json"
    expected = takes if "PATCH" in ADDRESSES[address] else None
    assert jill.request("OPTIONS", address).headers.get("accept-patch") == expected
    refused = jill.patch(address, content=b"<diff/>", headers={"Content-Type": "application/xml-patch+xml"})
    assert refused.status_code == (415 if expected else 405)
    assert refused.headers.get("accept-patch") == expected


@pytest.mark.parametrize(("method", "address"), REFUSED)
def test_a_method_that_an_address_does_not_have_is_refused_with_those_it_has(jill, method, address):
    answer = jill.request(method, str(jill.base_url).rstrip("/") + address)
    assert answer.status_code == 405
    assert allowed_at(answer) == set(ADDRESSES[address].split(", "))
    if method != "HEAD":
        found = problem(answer)
        asked = address.strip("/")
        assert found.code == "not-supported"
        assert found.text == f"{method} is not served at /{asked}; {answer.headers['allow']} is."


def test_what_was_not_refused_is_served(jill):
    served = {(m, a) for a in ADDRESSES for m in METHODS} - set(REFUSED)
    assert len(served) + len(REFUSED) == len(ADDRESSES) * len(METHODS)
    for method, address in served:
        answer = jill.request(method, str(jill.base_url).rstrip("/") + address)
        assert answer.status_code not in (404, 405), (method, address)
        if (method, address) == ("DELETE", "/Patient/jill"):
            jill.put("/Patient/jill", json=person(id="jill"))


# ---- a statement that promises less ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def working(server):
    """What runs a story, and the context of that server."""
    with asyncio.Runner() as runner:
        opened = AsyncExitStack()
        yield runner, runner.run(opened.enter_async_context(at_work(server.settings)))
        runner.run(opened.aclose())


@pytest.fixture
def less(working, tmp_path):
    """A context whose statement promises of AuditEvent only that it is read and searched, of the system nothing."""
    statement = json.loads(data_path("capability_statement.json").read_bytes())
    (rest,) = statement["rest"]
    rest["interaction"] = []
    rest["resource"] = [row for row in rest["resource"] if row["type"] == "AuditEvent"]
    rest["resource"][0]["interaction"] = [{"code": "read"}, {"code": "search-type"}]
    (tmp_path / "less.json").write_text(json.dumps(statement))
    _, context = working
    return context._replace(capability=capability.load(tmp_path / "less.json", load().resource_types))


@pytest.mark.parametrize(
    ("address", "methods"),
    [
        ("AuditEvent", ("GET", "HEAD", "OPTIONS")),
        ("AuditEvent/1", ("GET", "HEAD", "OPTIONS")),
        ("AuditEvent/_search", ("POST", "OPTIONS")),
        ("AuditEvent/1/_history", ("OPTIONS",)),
        ("AuditEvent/1/_history/1", ("OPTIONS",)),
        ("_history", ("OPTIONS",)),
        ("metadata", ("GET", "HEAD", "OPTIONS")),
    ],
)
def test_what_is_not_promised_is_neither_served_nor_allowed(less, address, methods):
    segments = tuple(address.split("/"))
    assert methods_at(less, segments) == methods
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        if method in methods:
            assert route_of(less, method, segments)
            continue
        with pytest.raises(Rejected) as caught:
            route_of(less, method, segments)
        assert caught.value.refusal is Refusal.METHOD_NOT_ALLOWED


def test_a_type_that_is_not_promised_is_no_address(less):
    with pytest.raises(Rejected) as caught:
        route_of(less, "GET", ("Patient",))
    assert caught.value.refusal is Refusal.NOT_FOUND


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_a_bundle_that_is_not_promised_is_refused(working, less, kind):
    runner, _ = working
    request = FhirRequest("POST", (), body=bundle(kind, entry("GET", "AuditEvent/1")))
    with pytest.raises(Rejected) as caught:
        runner.run(route_of(less, "POST", ()).run(less, request))
    assert caught.value.refusal is Refusal.METHOD_NOT_ALLOWED
    assert [issue.text for issue in caught.value.issues] == [f"A {kind} is not served here."]


# ---- HEAD ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "/Patient/jill",
        "/Patient/jill/_history/1",
        "/Patient/jill/_history",
        "/Patient/_history",
        "/_history",
        "/Patient?_id=jill",
        "/metadata",
        "/Patient/nobody",
        "/Patients/1",
        "/Patient?colour=blue",
    ],
)
def test_a_head_is_a_get_without_the_body(jill, address):
    def told(answer):
        return {name: value for name, value in answer.headers.items() if name not in ("x-request-id", "date")}

    jill.headers["Accept-Encoding"] = "identity"
    got, head = jill.get(address), jill.head(address)
    assert head.content == b""
    assert (head.status_code, told(head)) == (got.status_code, told(got))
    assert int(head.headers["content-length"]) == len(got.content)


# ---- addresses that are none -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "meant"),
    [
        ("/Patients", "Patient"),
        ("/patient", "Patient"),
        ("/Patient1/jill", "Patient"),
        ("/Observaton/1/_history", "Observation"),
        ("/careplan", "CarePlan"),
        ("/ChargeItems/_search", "ChargeItem"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_a_type_that_is_none_is_refused_with_the_one_that_was_meant(api, method, address, meant):
    name = address.split("/")[1]
    assert problem(api.request(method, address)) == (
        404,
        "not-supported",
        f"'{name}' is not a resource type of FHIR R4. Did you mean '{meant}'?",
        "",
    )


def test_a_type_unlike_any_other_is_refused_without_a_guess(api):
    assert problem(api.get("/Xyzzy")).text == "'Xyzzy' is not a resource type of FHIR R4."


@pytest.mark.parametrize("name", ["Resource", "DomainResource", "Element", "HumanName", "SubscriptionTopic"])
def test_what_is_abstract_or_of_another_version_is_no_type(api, name):
    assert problem(api.get(f"/{name}/1"))[:2] == (404, "not-supported")


@pytest.mark.parametrize(
    "address",
    [
        "/Patient/jill/_history/1/name",
        "/Patient/$validate/jill",
        "/Patient/_history/1/2",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_an_address_that_is_none_is_refused(jill, method, address):
    found = problem(jill.request(method, address))
    assert found == (404, "not-supported", f"Nothing is served at {address}.", "")


@pytest.mark.parametrize("address", ["/Patient/jill/name", "/Patient/jill/name/$validate", "/Patient//name"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_what_stands_behind_a_compartment_is_a_type(jill, method, address):
    found = problem(jill.request(method, address))
    assert found == (404, "not-supported", "'name' is not a resource type of FHIR R4.", "")


def test_the_root_says_where_everything_is(api, server):
    found = api.get(server.root).json()
    assert found == {"fhir": "/fhir", "metadata": "/fhir/metadata", "operators": "/docs"}
    assert [api.get(server.root + address).status_code for address in found.values()] == [200] * 3


@pytest.mark.parametrize("address", ["/fhir2/Patient", "/fhirPatient", "/nowhere", "/health"])
def test_outside_the_api_an_address_that_is_none_says_where_the_api_is(api, server, address):
    answer = api.get(server.root + address)
    assert answer.status_code == 404
    assert answer.json()["issue"][0]["code"] == "not-found"
    assert "/fhir" in answer.json()["issue"][0]["diagnostics"]


@pytest.mark.parametrize(
    "path", ["/fhir%2FPatient/jill", "/fhir/Patient%2Fjill", "/fhir/Patient%2fjill/_history", "/fhir%2Fmetadata"]
)
def test_a_slash_that_is_percent_encoded_parts_no_path(jill, server, path):
    """So who is kept from an address by what stands before the server is not let in by another way of writing it."""
    assert jill.get(server.root + path.replace("%2F", "/").replace("%2f", "/")).status_code == 200
    assert problem(jill.get(server.root + path)).status == 404


@pytest.mark.parametrize(
    "id_", ["a%2Fb", "%00", "%ff", "..%2f..%2fetc", "a%20b", "x" * 65, "%F0%9F%8C%BB", "'", "{$gt:''}", "jill%0d%0aX:1"]
)
def test_an_id_that_can_be_none_is_not_found_and_harms_nothing(jill, id_):
    assert problem(jill.get(f"/Patient/{id_}")).status == 404
    assert jill.delete(f"/Patient/{id_}").status_code in (204, 404)
    assert jill.get("/Patient/jill").status_code == 200

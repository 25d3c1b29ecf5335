"""Every promise of the capability statement, as `/metadata` serves it, is exercised on every type it is made for.

The statement is walked, not our list of what should be in it: a promise for which no exercise is written here fails, so
that none can be added without showing that it is kept. The resources are the least of each type (`minimal`).
"""

from __future__ import annotations

import copy
import json
import uuid

import httpx
import pytest

from phb_fhir import __version__
from phb_fhir.data import data_path
from phb_fhir.definitions.load import load
from tests.builders import bundle, entry
from tests.conformance.minimal import IDENTIFIER, minimal
from tests.running import RunningServer

R4 = load()
WRITTEN = json.loads(data_path("capability_statement.json").read_bytes())
TYPES = [row["type"] for row in WRITTEN["rest"][0]["resource"]]
of_each_type = pytest.mark.parametrize("type_", TYPES)


@pytest.fixture(scope="module")
def promised(server):
    """The statement as it is served."""
    return httpx.get(f"{server.base}/metadata").json()


@pytest.fixture(scope="module")
def rows(promised):
    return {row["type"]: row for row in promised["rest"][0]["resource"]}


def one_of(type_, **more):
    return {**minimal(type_), "id": "one", **more}


def content(resource):
    """What a resource says itself, without what the server sets."""
    return {name: value for name, value in resource.items() if name not in ("id", "meta")}


def matches(answer):
    assert answer.status_code == 200, answer.text
    return [one["resource"]["id"] for one in answer.json().get("entry", []) if one["search"]["mode"] == "match"]


# ---- the statement itself --------------------------------------------------------------------------------------------


def test_the_statement_is_the_one_that_was_written_with_this_software_and_this_address(promised, server):
    expected = copy.deepcopy(WRITTEN)
    expected["software"]["version"] = __version__
    expected["implementation"]["url"] = server.base
    assert promised == expected


def test_the_statement_is_a_valid_resource_that_can_be_stored_and_read(api, promised):
    answer = api.put(f"/CapabilityStatement/{promised['id']}", json=promised)
    assert answer.status_code == 201
    assert content(answer.json()) == content(promised)


def test_the_statement_names_the_version_of_fhir_that_is_spoken(promised):
    assert (promised["fhirVersion"], R4.fhir_version, promised["kind"]) == ("4.0.1", "4.0.1", "instance")


def test_every_type_of_fhir_is_promised_once_and_by_its_own_definition(promised):
    listed = [(row["type"], row["profile"]) for row in promised["rest"][0]["resource"]]
    assert listed == [(name, f"http://hl7.org/fhir/StructureDefinition/{name}") for name in sorted(R4.resource_types)]
    assert len(listed) == 146  # R4's 148 without the two that are abstract


def test_there_is_nothing_in_the_statement_that_is_not_looked_at_here(promised, rows):
    said = {"resourceType", "id", "url", "version", "name", "title", "status", "experimental", "date", "publisher"}
    said |= {"description", "kind", "software", "implementation", "fhirVersion", "format", "patchFormat", "rest"}
    assert set(promised) == said
    (rest,) = promised["rest"]
    assert set(rest) == {"mode", "documentation", "resource", "interaction", "searchParam"}
    assert rest["mode"] == "server"
    for row in rows.values():
        assert set(row) == {"type", "profile", "interaction", "searchParam", *FLAGS}


def test_what_is_not_a_mode_of_the_statement_is_refused(api):
    for mode in ("full", "normative"):
        assert api.get(f"/metadata?mode={mode}").json() == api.get("/metadata").json()
    assert api.get("/metadata?mode=terminology").status_code == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_statement_cannot_be_written(api, method):
    assert api.request(method, "/metadata").status_code == 405


# ---- formats ---------------------------------------------------------------------------------------------------------


def test_every_format_is_read_and_written(api, promised):
    assert promised["format"] == ["application/fhir+json", "json"]
    for name in promised["format"]:
        answer = api.get("/metadata", params={"_format": name}, headers={"Accept": "text/html"})
        assert answer.headers["content-type"] == "application/fhir+json;charset=utf-8"
    for media_type in (name for name in promised["format"] if "/" in name):
        answer = api.post("/Basic", json=minimal("Basic"), headers={"Content-Type": media_type, "Accept": media_type})
        assert answer.status_code == 201
        assert answer.headers["content-type"].startswith(media_type)


FHIRPATH_PATCH = {
    "resourceType": "Parameters",
    "parameter": [
        {
            "name": "operation",
            "part": [
                {"name": "type", "valueCode": "add"},
                {"name": "path", "valueString": "TYPE"},
                {"name": "name", "valueString": "language"},
                {"name": "value", "valueCode": "en-GB"},
            ],
        }
    ],
}
# by format, a patch that sets Resource.language, which every resource may have
PATCHES = {
    "application/json-patch+json": [{"op": "add", "path": "/language", "value": "en-GB"}],
    "application/fhir+json": FHIRPATH_PATCH,
    "application/merge-patch+json": {"language": "en-GB"},
}


def patched(api, address, type_, media_type):
    body = json.dumps(PATCHES[media_type]).replace("TYPE", type_)
    return api.patch(address, content=body, headers={"Content-Type": media_type})


@of_each_type
def test_every_patch_format_patches(api, promised, type_):
    assert promised["patchFormat"] == list(PATCHES)
    for number, media_type in enumerate(promised["patchFormat"], 1):
        api.put(f"/{type_}/p{number}", json={**minimal(type_), "id": f"p{number}"})
        answer = patched(api, f"/{type_}/p{number}", type_, media_type)
        assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"2"'), answer.text
        assert content(answer.json()) == {**minimal(type_), "language": "en-GB"}


# ---- interactions of a type ------------------------------------------------------------------------------------------


def create(api, type_):
    answer = api.post(f"/{type_}", json=minimal(type_))
    assert (answer.status_code, answer.headers["etag"]) == (201, 'W/"1"'), answer.text
    assert answer.headers["location"].endswith(f"/{type_}/id-1/_history/1")
    assert content(api.get(f"/{type_}/id-1").json()) == minimal(type_)


def read(api, type_):
    api.put(f"/{type_}/one", json=one_of(type_))
    answer = api.get(f"/{type_}/one")
    assert (answer.status_code, answer.json()["id"]) == (200, "one")
    assert content(answer.json()) == minimal(type_)
    assert api.get(f"/{type_}/none").status_code == 404


def update(api, type_):
    api.put(f"/{type_}/one", json=one_of(type_))
    answer = api.put(f"/{type_}/one", json=one_of(type_, language="en-GB"))
    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"2"'), answer.text
    assert content(api.get(f"/{type_}/one").json()) == {**minimal(type_), "language": "en-GB"}


def patch(api, type_):
    api.put(f"/{type_}/one", json=one_of(type_))
    assert patched(api, f"/{type_}/one", type_, "application/json-patch+json").json()["language"] == "en-GB"


def vread(api, type_):
    update(api, type_)
    assert content(api.get(f"/{type_}/one/_history/1").json()) == minimal(type_)
    assert api.get(f"/{type_}/one/_history/2").json()["language"] == "en-GB"


def delete(api, type_):
    api.put(f"/{type_}/one", json=one_of(type_))
    assert api.delete(f"/{type_}/one").status_code == 204
    assert api.get(f"/{type_}/one").status_code == 410


def history_instance(api, type_):
    delete(api, type_)
    assert told(api, f"/{type_}/one/_history") == [("DELETE", 'W/"2"'), ("PUT", 'W/"1"')]


def history_type(api, type_):
    api.put("/Basic/other", json={**minimal("Basic"), "id": "other"})
    delete(api, type_)
    expected = [("DELETE", 'W/"2"'), ("PUT", 'W/"1"')]
    assert told(api, f"/{type_}/_history") == expected + ([("PUT", 'W/"1"')] if type_ == "Basic" else [])


def told(api, address):
    return [(one["request"]["method"], one["response"]["etag"]) for one in api.get(address).json()["entry"]]


def search_type(api, type_):
    api.put(f"/{type_}/one", json=one_of(type_))
    assert matches(api.get(f"/{type_}")) == ["one"]
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert matches(api.post(f"/{type_}/_search", content="_count=5", headers=form)) == ["one"]


INTERACTIONS = {
    "create": create,
    "read": read,
    "vread": vread,
    "update": update,
    "patch": patch,
    "delete": delete,
    "history-instance": history_instance,
    "history-type": history_type,
    "search-type": search_type,
}


@pytest.mark.parametrize("code", INTERACTIONS)
@of_each_type
def test_every_interaction_of_every_type_is_there_when_it_is_promised(api, rows, type_, code):
    assert code in {one["code"] for one in rows[type_]["interaction"]}
    INTERACTIONS[code](api, type_)


@of_each_type
def test_no_interaction_is_promised_that_is_not_exercised(rows, type_):
    assert {one["code"] for one in rows[type_]["interaction"]} == set(INTERACTIONS)


# ---- flags of a type -------------------------------------------------------------------------------------------------


def versioned(api, type_):
    update(api, type_)
    assert api.put(f"/{type_}/one", json=one_of(type_), headers={"If-Match": 'W/"1"'}).status_code == 412
    assert api.put(f"/{type_}/one", json=one_of(type_), headers={"If-Match": 'W/"2"'}).status_code == 200
    assert api.put(f"/{type_}/one", json=one_of(type_, language="cy")).status_code == 200


def creates_by_update(api, type_):
    answer = api.put(f"/{type_}/chosen-by.the-client", json={**minimal(type_), "id": "chosen-by.the-client"})
    assert (answer.status_code, answer.headers["etag"]) == (201, 'W/"1"')


def creates_conditionally(api, type_):
    api.put(f"/{type_}/one", json=one_of(type_))
    there = api.post(f"/{type_}", json=minimal(type_), headers={"If-None-Exist": "_id=one"})
    assert (there.status_code, there.json()["id"]) == (200, "one")
    made = api.post(f"/{type_}", json=minimal(type_), headers={"If-None-Exist": "_id=two"})
    assert made.status_code == 201
    assert len(matches(api.get(f"/{type_}"))) == 2


def reads_conditionally(api, type_):
    api.put(f"/{type_}/one", json=one_of(type_))
    fresh = api.get(f"/{type_}/one")
    for name, header in (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified")):
        again = api.get(f"/{type_}/one", headers={name: fresh.headers[header]})
        assert (again.status_code, again.content) == (304, b"")
    assert api.get(f"/{type_}/one", headers={"If-None-Match": 'W/"9"'}).status_code == 200
    assert api.get(f"/{type_}/one", headers={"If-Modified-Since": "Sat, 21 Nov 2026 09:00:00 GMT"}).status_code == 200


def updates_conditionally(api, type_):
    api.put(f"/{type_}/one", json=one_of(type_))
    there = api.put(f"/{type_}?_id=one", json={**minimal(type_), "language": "en-GB"})
    assert (there.status_code, there.headers["etag"], there.json()["id"]) == (200, 'W/"2"', "one")
    assert api.put(f"/{type_}?_id=two", json=minimal(type_)).status_code == 201


def deletes_several_conditionally(api, type_):
    for name in ("one", "two", "three"):
        api.put(f"/{type_}/{name}", json={**minimal(type_), "id": name})
    assert api.delete(f"/{type_}?_id=one,two").status_code == 204
    assert matches(api.get(f"/{type_}")) == ["three"]
    assert api.delete(f"/{type_}?_id=one,two").status_code == 204


def points_anywhere(api, type_):
    """Literal, logical and local references are kept as they are, whether their targets are here or not."""
    inside = {"resourceType": "Basic", "id": "inside", "code": {"text": "text"}}
    pointers = [
        {"url": "http://example.org/literal", "valueReference": {"reference": "Patient/elsewhere"}},
        {"url": "http://example.org/absolute", "valueReference": {"reference": "https://example.org/fhir/Patient/1"}},
        {"url": "http://example.org/logical", "valueReference": {"identifier": IDENTIFIER}},
        {"url": "http://example.org/local", "valueReference": {"reference": "#inside"}},
    ]
    if R4.type(type_).base != "DomainResource":
        return
    answer = api.put(f"/{type_}/one", json=one_of(type_, contained=[inside], extension=pointers))
    assert answer.status_code == 201, answer.text
    assert answer.json()["extension"] == pointers


# by flag, what it may say and how that is shown
FLAGS = {
    "versioning": {"versioned": versioned},
    "readHistory": {True: vread},
    "updateCreate": {True: creates_by_update},
    "conditionalCreate": {True: creates_conditionally},
    "conditionalRead": {"full-support": reads_conditionally},
    "conditionalUpdate": {True: updates_conditionally},
    "conditionalDelete": {"multiple": deletes_several_conditionally},
    "referencePolicy": {("literal", "logical", "local"): points_anywhere},
}


@pytest.mark.parametrize("flag", FLAGS)
@of_each_type
def test_every_flag_of_every_type_says_what_is_so(api, rows, type_, flag):
    said = rows[type_][flag]
    FLAGS[flag][tuple(said) if isinstance(said, list) else said](api, type_)


def test_types_that_the_setting_names_promise_versioned_update_and_keep_it(mongodb_uri, mongodb_admin):
    name = f"test_{uuid.uuid4().hex}"
    with (
        RunningServer(mongodb_uri, name, versioned_update=("Account", "CarePlan")) as running,
        httpx.Client(base_url=running.base, headers={"Content-Type": "application/fhir+json"}) as api,
    ):
        said = {row["type"]: row["versioning"] for row in api.get("/metadata").json()["rest"][0]["resource"]}
        assert {type_ for type_, versioning in said.items() if versioning == "versioned-update"} == {
            "Account",
            "CarePlan",
        }
        assert set(said.values()) == {"versioned", "versioned-update"}
        for type_, refused in (("Account", 412), ("CarePlan", 412), ("Patient", 200)):
            api.put(f"/{type_}/one", json=one_of(type_))
            assert api.put(f"/{type_}/one", json=one_of(type_, language="cy")).status_code == refused
            named = api.put(f"/{type_}/one", json=one_of(type_, language="en"), headers={"If-Match": "*"})
            assert named.status_code == 200
    mongodb_admin.drop_database(name)


# ---- search parameters -----------------------------------------------------------------------------------------------


def finds_by_id(api, address, type_):
    assert matches(api.get(f"{address}?_id=one")) == ["one"]
    assert matches(api.get(f"{address}?_id=two")) == []


def finds_by_time(api, address, type_):
    at = api.get(f"/{type_}/one").json()["meta"]["lastUpdated"]
    assert matches(api.get(address, params={"_lastUpdated": at})) == ["one"]
    assert matches(api.get(address, params={"_lastUpdated": f"gt{at}"})) == []


def finds_by_identifier(api, address, type_):
    """Each element that the parameter's definition names is searched, and nothing else."""
    elements = [part.rpartition(".")[2] for part in R4.search_parameters(type_)["identifier"].expression.split(" | ")]
    for number, name in enumerate(elements, 7):
        value = {"system": "http://example.org/ids", "value": str(number)}
        given = [value] if R4.type(type_).elements[name].is_list else value
        assert api.put(f"/{type_}/{name}", json={**minimal(type_), "id": name, name: given}).status_code == 201
        assert matches(api.get(f"{address}?identifier=http://example.org/ids|{number}")) == [name]
        assert matches(api.get(f"{address}?identifier={number}")) == [name]
        assert matches(api.get(f"{address}?identifier=|{number}")) == []


PARAMETERS = {"_id": finds_by_id, "_lastUpdated": finds_by_time, "identifier": finds_by_identifier}


@of_each_type
def test_every_search_parameter_of_every_type_finds_and_does_not_find(api, rows, type_):
    api.put(f"/{type_}/one", json=one_of(type_))
    for parameter in rows[type_]["searchParam"]:
        defined = R4.search_parameters(type_)[parameter["name"]]
        assert (parameter["definition"], parameter["type"]) == (defined.url, defined.type)
        PARAMETERS[parameter["name"]](api, f"/{type_}", type_)


@of_each_type
def test_a_search_parameter_that_is_not_promised_is_refused(api, rows, type_):
    listed = {parameter["name"] for parameter in rows[type_]["searchParam"]}
    others = sorted(set(R4.search_parameters(type_)) - listed)
    assert others
    for name in others:
        assert api.get(f"/{type_}?{name}=2026").status_code == 400, name


# ---- the whole system ------------------------------------------------------------------------------------------------


def transaction(api):
    entries = [entry("PUT", "Basic/one", one_of("Basic")), entry("POST", "Patient", minimal("Patient"))]
    answer = api.post("", json=bundle("transaction", *entries))
    assert (answer.status_code, answer.json()["type"]) == (200, "transaction-response")
    assert [one["response"]["status"] for one in answer.json()["entry"]] == ["201 Created"] * 2
    broken = bundle(
        "transaction", entry("PUT", "Basic/two", {**one_of("Basic"), "id": "two"}), entry("GET", "Basic/no")
    )
    assert api.post("", json=broken).status_code == 404
    assert api.get("/Basic/two").status_code == 404


def batch(api):
    entries = [entry("PUT", "Basic/one", one_of("Basic")), entry("GET", "Basic/none"), entry("GET", "Basic/one")]
    answer = api.post("", json=bundle("batch", *entries))
    assert (answer.status_code, answer.json()["type"]) == (200, "batch-response")
    statuses = [one["response"]["status"] for one in answer.json()["entry"]]
    assert statuses == ["201 Created", "404 Not Found", "200 OK"]


def search_system(api):
    for type_ in ("Basic", "Patient"):
        api.put(f"/{type_}/one", json=one_of(type_))
    assert matches(api.get("/?_id=one")) == ["one", "one"]


def history_system(api):
    for type_ in ("Basic", "Patient"):
        api.put(f"/{type_}/one", json=one_of(type_))
    assert [one["fullUrl"].split("/")[-2] for one in api.get("/_history").json()["entry"]] == ["Patient", "Basic"]


SYSTEM = {
    "transaction": transaction,
    "batch": batch,
    "search-system": search_system,
    "history-system": history_system,
}


@pytest.mark.parametrize("code", SYSTEM)
def test_every_interaction_of_the_system_is_there_when_it_is_promised(api, promised, code):
    assert [one["code"] for one in promised["rest"][0]["interaction"]] == list(SYSTEM)
    SYSTEM[code](api)


def test_every_search_parameter_of_the_system_finds_and_does_not_find(api, promised):
    api.put("/Basic/one", json=one_of("Basic"))
    for parameter in promised["rest"][0]["searchParam"]:
        PARAMETERS[parameter["name"]](api, "/", "Basic")

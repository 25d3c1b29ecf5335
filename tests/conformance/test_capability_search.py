"""Every search parameter that `/metadata` promises is searched by, on every type it is promised for.

Each finds what its definition names, in resources that have everything (`filled`); finds nothing by another value; and refuses
what is no value of it. What the statement promises to include is asked for too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from phb_fhir.change import Version
from phb_fhir.data import data_path
from phb_fhir.search.index import index_of
from phb_fhir.search.own import OwnBase
from phb_fhir.search.results import INCLUDES_MAX
from phb_fhir.store.documents import document_of
from tests.conformance.filled import PARAMETERS, R4, WRONG, all_filled, asked, elsewhere
from tests.conformance.minimal import minimal

WRITTEN = json.loads(data_path("capability_statement.json").read_bytes())
TYPES = [row["type"] for row in WRITTEN["rest"][0]["resource"]]
of_each_type = pytest.mark.parametrize("type_", TYPES)
AT = datetime(2026, 11, 22, 9, tzinfo=UTC)
TOGETHER = 40  # searches in one batch


@pytest.fixture(scope="module")
def rest(server):
    """What the statement says, as it is served."""
    return httpx.get(f"{server.base}/metadata").json()["rest"][0]


@pytest.fixture(scope="module")
def rows(rest):
    return {row["type"]: row for row in rest["resource"]}


@pytest.fixture
def store(api, server, shelf):
    """Puts resources into the record as they are, valid or not; gives their index values."""
    resources = shelf.database.resources

    def stored(*given: dict[str, Any]) -> list[Any]:
        indexes = [index_of(resource, PARAMETERS, OwnBase(server.base)) for resource in given]
        documents = [
            document_of(Version(one["resourceType"], one["id"], 1, _at(one), "PUT", json.dumps(one).encode()), index)
            for one, index in zip(given, indexes, strict=True)
        ]
        resources.insert_many(documents)
        return indexes

    return stored


def _at(resource: dict[str, Any]) -> datetime:
    return AT if resource["id"] == "labelled" else AT - timedelta(days=1)


def search_all(api: httpx.Client, addresses: Sequence[str]) -> list[tuple[int, list[str]]]:
    """The status of each search, and the ids it finds; asked together, as a batch."""
    answers: list[tuple[int, list[str]]] = []
    for start in range(0, len(addresses), TOGETHER):
        entries = [{"request": {"method": "GET", "url": one}} for one in addresses[start : start + TOGETHER]]
        batch = {"resourceType": "Bundle", "type": "batch", "entry": entries}
        answer = api.post("", json=batch)
        assert answer.status_code == 200, answer.text
        answers += [_found(entry) for entry in answer.json()["entry"]]
    return answers


def _found(entry: dict[str, Any]) -> tuple[int, list[str]]:
    found = entry.get("resource", {}).get("entry", [])
    ids = [one["resource"]["id"] for one in found if one["search"]["mode"] == "match"]
    return int(entry["response"]["status"][:3]), ids


def address(type_: str, name: str, value: str) -> str:
    return f"{type_}?{httpx.QueryParams({name: value})}"


# ---- each type's own -------------------------------------------------------------------------------------------------


@of_each_type
def test_every_parameter_of_a_type_finds_what_it_names_and_nothing_else_and_refuses_what_is_no_value(
    api, rows, store, type_
):
    filled = [{**one, "id": f"filled-{number}"} for number, one in enumerate(all_filled(type_))]
    indexes = store(*filled, {**minimal(type_), "id": "least"})[:-1]
    own = [PARAMETERS.of(type_)[row["name"]] for row in rows[type_]["searchParam"]]
    own = [parameter for parameter in own if parameter.base == type_]
    values = {parameter.code: next(asked(parameter, indexes)) for parameter in own}

    finding = search_all(api, [address(type_, code, value) for code, value in values.items()])
    for (status, ids), (code, value) in zip(finding, values.items(), strict=True):
        assert (status, bool(ids)) == (200, True), f"{type_}?{code}={value}"
        assert "least" not in ids or value in json.dumps(minimal(type_)), f"{type_}?{code}={value}"

    missing = search_all(api, [address(type_, one.code, elsewhere(one)) for one in own])
    assert {one.code: found for one, found in zip(own, missing, strict=True) if found != (200, [])} == {}

    refused = search_all(api, [address(type_, one.code, WRONG[one.type]) for one in own])
    assert {one.code: found for one, found in zip(own, refused, strict=True) if found != (400, [])} == {}


@of_each_type
def test_the_parameters_of_a_type_are_all_there_are_and_are_promised_as_they_are_defined(api, rows, rest, type_):
    listed = rows[type_]["searchParam"]
    said = {row["name"]: (row["definition"], row["type"]) for row in listed}
    assert [row["name"] for row in listed] == sorted(said)
    defined = {code: (one.url, one.type) for code, one in PARAMETERS.of(type_).items() if one.base == type_}
    everywhere = {row["name"] for row in rest["searchParam"]}
    assert {name: row for name, row in said.items() if name not in everywhere} == defined
    refused = search_all(api, [address(type_, name, "2026") for name in ("_query", "no-such", "Name")])
    assert refused == [(400, [])] * 3


def test_the_guide_is_among_what_is_promised(rows):
    names = {type_: {row["name"] for row in rows[type_]["searchParam"]} for type_ in rows}
    assert names["ChargeItem"] >= {"status", "definition", "goal", "care-plan", "activity", "element", "evidence"}
    assert names["Account"] >= {"care-plan", "lifecycle", "part-of", "coverage", "model", "next-review", "holder"}
    assert names["Task"] >= {"due", "practice"}


# ---- of every type ---------------------------------------------------------------------------------------------------

LABELLED = {
    "meta": {
        "source": "http://example.org/source",
        "profile": ["http://example.org/StructureDefinition/some"],
        "security": [{"system": "http://example.org/labels", "code": "secret"}],
        "tag": [{"system": "http://example.org/tags", "code": "zebra", "display": "Zebra"}],
        "lastUpdated": "2026-11-22T09:00:00.000Z",
    },
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">A giraffe</div>'},
}
LIST = {"resourceType": "List", "id": "the-list", "status": "current", "mode": "working"}

# by name: a value that finds the labelled resource, one that does not, and one that is refused
EVERYWHERE: dict[str, tuple[str, str, str]] = {
    "_id": ("labelled", "nobody", "no/id"),
    "_lastUpdated": ("2026-11-22T09:00:00.000Z", "gt2026-11-22T09:00:00.000Z", "lately"),
    "_profile": ("http://example.org/StructureDefinition/some", "http://example.org/other", "x" * 2_000),
    "_security": ("http://example.org/labels|secret", "http://example.org/tags|secret", "x" * 2_000),
    "_source": ("http://example.org/source", "http://example.org/tags", "x" * 2_000),
    "_tag": ("zebra", "giraffe", "x" * 2_000),
    "_text": ("giraffe", "zebra", "giraffe AND zebra"),
    "_content": ("zebra", "elephant", "giraffe AND zebra"),
    "_filter": ("_id eq labelled", "_id eq nobody", "_id is labelled"),
    "_has": (":List:item:_id=the-list", ":List:item:_id=other", ":List:no-such:_id=the-list"),
    "_list": ("the-list", "other", "List/the-list"),
}


def asking(type_: str, name: str, value: str) -> str:
    if name == "_has":
        path, _, value = value.partition("=")
        name += path
    return address(type_, name, value)


def labelled(type_: str) -> dict[str, Any]:
    made = {**minimal(type_), "id": "labelled", "meta": LABELLED["meta"]}
    return made if R4.type(type_).base != "DomainResource" else {**made, "text": LABELLED["text"]}


def listing(type_: str) -> list[dict[str, Any]]:
    item = [{"item": {"reference": f"{type_}/labelled"}}]
    return [{**LIST, "entry": item}, {**LIST, "id": "other"}]


def _says_nothing(name: str, type_: str) -> bool:
    """Four types have no narrative, and R4 has no reference that leads to Parameters."""
    return (name == "_text" and "text" not in labelled(type_)) or (name == "_has" and type_ == "Parameters")


@of_each_type
def test_every_parameter_of_the_whole_system_is_one_of_every_type(api, rest, store, type_):
    store(labelled(type_), *listing(type_))
    assert {row["name"] for row in rest["searchParam"]} == EVERYWHERE.keys()
    names = [name for name in EVERYWHERE if not _says_nothing(name, type_)]
    finding = search_all(api, [asking(type_, name, EVERYWHERE[name][0]) for name in names])
    assert dict(zip(names, finding, strict=True)) == dict.fromkeys(names, (200, ["labelled"]))
    missing = search_all(api, [asking(type_, name, EVERYWHERE[name][1]) for name in names])
    assert dict(zip(names, missing, strict=True)) == dict.fromkeys(names, (200, []))
    refused = search_all(api, [asking(type_, name, EVERYWHERE[name][2]) for name in names])
    assert dict(zip(names, refused, strict=True)) == dict.fromkeys(names, (400, []))


def test_every_parameter_of_the_whole_system_searches_all_types_at_once(api, rest, store):
    store(labelled("Basic"), *listing("Basic"))
    for parameter in rest["searchParam"]:
        name = parameter["name"]
        defined = PARAMETERS.of("Basic").get(name)
        assert (parameter.get("definition"), parameter["type"]) == (
            (defined.url, defined.type) if defined else (None, "special")
        )
        found, other, wrong = (api.get("/" + asking("", name, value)) for value in EVERYWHERE[name])
        assert (found.status_code, other.status_code, wrong.status_code) == (200, 200, 400), name
        assert "labelled" in [one["resource"]["id"] for one in found.json()["entry"]], name
        assert "labelled" not in [one["resource"]["id"] for one in other.json().get("entry", [])], name


# ---- what comes with it ----------------------------------------------------------------------------------------------


@of_each_type
def test_everything_that_is_promised_to_be_included_can_be_and_nothing_else(api, rows, type_):
    row = rows[type_]
    own = {code: one for code, one in PARAMETERS.of(type_).items() if one.type == "reference"}
    assert row.get("searchInclude", ["*"]) == ["*", *(f"{type_}:{code}" for code in sorted(own))]
    for name, listed in (("_include", row.get("searchInclude", [])), ("_revinclude", row.get("searchRevInclude", []))):
        for start in range(0, len(listed), INCLUDES_MAX):
            asked_for = listed[start : start + INCLUDES_MAX]
            answer = api.get(f"/{type_}", params=[(name, value) for value in asked_for])
            assert answer.status_code == 200, answer.text
            assert [
                value for key, value in httpx.URL(self_link(answer)).params.multi_items() if key == name
            ] == asked_for
        assert api.get(f"/{type_}", params={name: f"{type_}:no-such"}).status_code == 400


def self_link(answer: httpx.Response) -> str:
    return next(link["url"] for link in answer.json()["link"] if link["relation"] == "self")


def test_what_refers_to_a_type_is_listed_with_it(rows):
    assert {"Task:focus", "ChargeItem:account", "AuditEvent:entity"} <= set(rows["Account"]["searchRevInclude"])
    assert "ChargeItem:account" not in rows["Patient"]["searchRevInclude"]


def test_what_is_included_comes(api):
    api.put("/Account/one", json={"resourceType": "Account", "id": "one", "status": "active"})
    item = {**minimal("ChargeItem"), "id": "item", "account": [{"reference": "Account/one"}]}
    assert api.put("/ChargeItem/item", json=item).status_code == 201
    for search, expected in (
        ("ChargeItem?_include=ChargeItem:account", [("item", "match"), ("one", "include")]),
        ("Account?_revinclude=ChargeItem:account", [("one", "match"), ("item", "include")]),
    ):
        entries = api.get(f"/{search}").json()["entry"]
        assert [(one["resource"]["id"], one["search"]["mode"]) for one in entries] == expected

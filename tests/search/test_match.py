"""One condition, two readers: MongoDB by its filter, and `match` in memory. They agree on every tree and all index values.

A transaction matches its own entries in memory and the rest in the database: a resource that the one finds and the other
does not would be made twice, or not at all.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.collection import Collection

from phb_fhir.change import Version
from phb_fhir.query import (
    EVERYTHING,
    NOTHING,
    AllOf,
    AnyOf,
    Bound,
    Id,
    InHierarchy,
    InList,
    Joined,
    Judge,
    Key,
    KeyPart,
    KeyRange,
    Linked,
    LinkedFrom,
    Node,
    Not,
    Present,
    Query,
    Span,
    Updated,
)
from phb_fhir.search.kinds.kind import Index
from phb_fhir.search.match import Subject, keys_asked, match, match_query, names_tokens
from phb_fhir.store.documents import document_of
from phb_fhir.store.filters import Filter, base, condition, joint
from phb_fhir.store.plan import parts_of

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
TYPES = ("Patient", "Person", "Task")

ids = st.sampled_from(["a", "b", "A", "a.b", "$a", "a-1"])
moments = st.integers(-3, 3).map(lambda step: NOON + timedelta(milliseconds=step))

# --- index values, as strange as text can be ---

values = st.sampled_from(
    ["", "5", "55", "|5", "*5", "5\\", ".*", "$5", "$$this", "é", "e\u0301", "\U0001f33b", "\uffff", "~", "a b", "\x00"]
)
codes = st.sampled_from(["name", "name:exact", "code", "$where", "a.b"])
entries = st.builds("{}={}".format, codes, values)
bare_entries = st.builds("={}".format, values)
parameters = st.sampled_from(["date", "a.b", "$date", "0", "%2E"])
ends = st.sampled_from(["", "2026-01-01", "2026-02", "2026-02-01", "o.", "p51054.", "~"])
units = st.sampled_from(["", "|mg", "$mg", "~g"])


@st.composite
def rows(draw) -> dict[str, Any]:
    row: dict[str, Any] = {"lo": draw(ends), "hi": draw(ends)}
    return row | ({"u": draw(st.lists(units, max_size=3))} if draw(st.booleans()) else {})


intervals = st.lists(rows(), max_size=3)
components = st.fixed_dictionaries({}, optional={"k": st.lists(bare_entries, max_size=2), "r": intervals})
elements = st.fixed_dictionaries({}, optional={"0": components, "1": components})
indexes = st.builds(
    Index,
    st.lists(entries, max_size=4).map(dict.fromkeys),
    st.dictionaries(parameters, ends, max_size=2),
    st.dictionaries(parameters, intervals, max_size=2),
    st.dictionaries(parameters, st.lists(elements, max_size=3), max_size=2),
)
resources = st.lists(st.tuples(st.sampled_from(TYPES), ids, moments, st.booleans(), indexes), max_size=6)

# --- what is asked of them ---


def key_nodes(of: st.SearchStrategy[str]) -> st.SearchStrategy[Node]:
    return st.lists(of, max_size=3).map(lambda found: Key(tuple(found)))


def range_nodes(of: st.SearchStrategy[str]) -> st.SearchStrategy[Node]:
    return st.tuples(of, of).map(lambda pair: KeyRange(min(pair), max(pair)))


def span_nodes(of: st.SearchStrategy[str]) -> st.SearchStrategy[Node]:
    bounds = st.builds(Bound, st.sampled_from(["lo", "hi"]), st.sampled_from(["<", "<=", ">", ">="]), ends)
    return st.builds(Span, of, st.lists(bounds, max_size=3).map(tuple), st.one_of(st.none(), units))


def trees(leaves: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda parts: AllOf(tuple(parts))),
            st.lists(inner, max_size=3).map(lambda parts: AnyOf(tuple(parts))),
            st.builds(Not, inner),
        ),
        max_leaves=6,
    )


unnamed = st.just("")
part_nodes = trees(
    st.one_of(key_nodes(bare_entries), range_nodes(bare_entries), span_nodes(unnamed), st.builds(Present, unnamed))
)
starts = st.one_of(codes, codes.map("{}=".format), entries, st.just(""))
leaves = st.one_of(
    key_nodes(entries),
    range_nodes(entries),
    st.builds(KeyPart, starts, values),
    span_nodes(parameters),
    st.builds(Present, parameters),
    st.builds(Joined, parameters, st.lists(part_nodes, max_size=2).map(tuple)),
    st.lists(st.one_of(ids, st.builds("{}/{}".format, st.sampled_from(TYPES), ids)), max_size=3).map(
        lambda found: Id(tuple(found))
    ),
    st.builds(Updated, st.one_of(st.none(), moments), st.one_of(st.none(), moments), st.booleans()),
)
queries = st.builds(Query, st.sampled_from([(), ("Patient",), ("Patient", "Task")]), trees(leaves))


@pytest.fixture(scope="module")
def collection(mongodb_admin: MongoClient[dict[str, Any]]):
    name = f"test_{uuid.uuid4().hex}"
    yield mongodb_admin[name]["resources"]
    mongodb_admin.drop_database(name)


Found = list[tuple[str, str, datetime, bool, Index]]


def stored(collection: Collection[dict[str, Any]], found: Found) -> dict[str, Subject]:
    """Put them into the database; gives those that are not deleted, as `match` sees them."""
    collection.delete_many({})
    last = {f"{type_}/{id_}": (type_, id_, at, deleted, index) for type_, id_, at, deleted, index in found}
    documents = [
        document_of(Version(type_, id_, 1, at, "PUT", None if deleted else b"{}"), index)
        for type_, id_, at, deleted, index in last.values()
    ]
    if documents:
        collection.insert_many(documents)
    return {
        key: Subject(type_, id_, at, index, {}) for key, (type_, id_, at, deleted, index) in last.items() if not deleted
    }


def filters(query: Query) -> tuple[Filter, Filter]:
    """What a search asks of MongoDB: written as what leads to it is, and as all that is looked at besides is."""
    return joint([*base(query), condition(query.where, query.types)]), joint(parts_of(query))


def found_by(collection: Collection[dict[str, Any]], query: Query) -> set[str]:
    """The keys of what the database finds, however it is asked."""
    leading, looked_at = ({one["_id"] for one in collection.find(way, {"_id": 1})} for way in filters(query))
    assert leading == looked_at
    return leading


ODD = Index({"name=$5": None}, {}, {"a.b": [{"lo": "", "hi": "~"}]}, {"0": [{"0": {"k": ["=5"]}}]})
ONE: Found = [("Patient", "$a", NOON, False, ODD), ("Task", "a", NOON, True, ODD)]


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@example(ONE, Query((), KeyPart("name=", "$5")))
@example(ONE, Query((), KeyPart("", "")))
@example(ONE, Query((), KeyPart("name=$5", "")))
@example(ONE, Query((), Present("a.b")))
@example(ONE, Query((), Joined("0", ())))
@example(ONE, Query((), Joined("0", (Key(("=5",)), Not(Span("", ()))))))
@example(ONE, Query(("Patient",), Not(Not(EVERYTHING))))
@example(ONE, Query((), NOTHING))
@example(ONE, Query((), Updated(None, None, inside=False)))
@given(resources, queries)
def test_the_database_and_the_memory_find_the_same(collection: Collection[dict[str, Any]], found: Found, query: Query):
    alive = stored(collection, found)
    assert found_by(collection, query) == {key for key, subject in alive.items() if match_query(query, subject)}


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(resources, queries)
def test_not_finds_exactly_the_others_of_the_types(collection: Collection[dict[str, Any]], found: Found, query: Query):
    alive = stored(collection, found)
    of_types = {key for key, subject in alive.items() if not query.types or subject.type in query.types}
    there = found_by(collection, query)
    others = found_by(collection, Query(query.types, Not(query.where)))
    assert there | others == of_types
    assert not there & others


def test_what_was_deleted_is_never_found(collection: Collection[dict[str, Any]]):
    stored(collection, [("Patient", "a", NOON, True, ODD)])
    asked = (
        EVERYTHING,
        Id(("a",)),
        Updated(NOON, None),
        Not(Key(("name=$5",))),
        Not(Present("a.b")),
        Key(("name=$5",)),
    )
    for node in asked:
        for types in ((), ("Patient",)):
            assert found_by(collection, Query(types, node)) == set()


def test_a_code_in_a_query_is_never_an_operator(collection: Collection[dict[str, Any]]):
    alive = stored(collection, [("Patient", "a", NOON, False, Index({"name=$where": None, "name=.*": None}))])
    for node, is_found in (
        (Key(("name=$where",)), True),
        (Key(("name=.",)), False),
        (KeyPart("name=", "$wh"), True),
        (KeyPart("name=", "$$ROOT"), False),
        (KeyPart("name=", "."), True),
        (KeyPart("name=.", "."), False),
        (KeyPart("name=", "^"), False),
    ):
        found = found_by(collection, Query(("Patient",), node))
        assert (found == {"Patient/a"}) is match(node, alive["Patient/a"]) is is_found


# --- what only others can tell, and what the resource can ---

SUBJECT = Subject(
    "Patient", "a", NOON, Index({"identifier=urn:s|5": None}), {"resourceType": "Patient", "active": True}
)


@pytest.mark.parametrize(
    "node",
    [
        Linked("subject", ("Patient",), EVERYTHING),
        LinkedFrom("Task", "subject", EVERYTHING),
        InHierarchy("subject", "below", "Location", "partof", ("Location/1",)),
        InList("1"),
    ],
)
def test_a_condition_on_other_resources_is_refused_as_not_resolved(node: Node):
    with pytest.raises(TypeError):
        match(AllOf((node,)), SUBJECT)
    with pytest.raises(TypeError):
        filters(Query(("Patient",), node))
    assert match(AnyOf((EVERYTHING, node)), SUBJECT)  # where it does not matter, it is not asked


def test_a_judge_reads_the_resource_in_memory_and_is_nothing_to_mongodb():
    judge = Judge("_text=x", lambda resource: resource["active"] is True)
    assert match(judge, SUBJECT)
    assert not match(Not(judge), SUBJECT)
    with pytest.raises(TypeError):
        filters(Query(("Patient",), judge))


# --- names, which conditional changes lock ---

NAME, URL, CODE = Key(("identifier=urn:s|5",)), Key(("url=http://a",)), Key(("code=*5",))


@pytest.mark.parametrize(
    ("node", "is_named", "asked"),
    [
        (NAME, True, {"identifier=urn:s|5"}),
        (URL, True, {"url=http://a"}),
        (CODE, False, set()),
        (Key(("identifier:of-type=a|b|5",)), False, set()),
        (Key(("identifier=*5", "code=*5")), False, {"identifier=*5"}),
        (KeyRange("identifier=urn:s|", "identifier=urn:s}"), False, set()),
        (Not(NAME), False, set()),
        (AllOf((CODE, NAME)), True, {"identifier=urn:s|5"}),
        (AllOf((CODE, Not(NAME))), False, set()),
        (AnyOf((NAME, URL)), True, {"identifier=urn:s|5", "url=http://a"}),
        (AnyOf((NAME, CODE)), False, {"identifier=urn:s|5"}),
        (EVERYTHING, False, set()),
    ],
)
def test_what_names_a_resource_is_an_identifier_or_url_stated_in_full(node: Node, is_named: bool, asked: set[str]):
    assert (names_tokens(node), keys_asked(node)) == (is_named, asked)

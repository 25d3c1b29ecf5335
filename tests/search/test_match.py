"""One Query, three readers: MongoDB's filter, `match` in memory, and a plain reading of R4. They agree.

A transaction matches its own entries in memory and the rest in the database: a resource that the one finds and the other
does not would be made twice, or not at all.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.collection import Collection

from phb_fhir.change import Version
from phb_fhir.definitions.load import load
from phb_fhir.query import AllOf, AnyOf, Id, Query, Token, Updated
from phb_fhir.search.index import token_entries
from phb_fhir.search.match import match_query
from phb_fhir.store.documents import document_of
from phb_fhir.store.filters import filter_of

R4 = load()
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
TYPES = ("Patient", "Person", "Task")

ids = st.sampled_from(["a", "b", "A", "a.b", "$a", "a-1"])
systems = st.sampled_from(["", "urn:s", "urn:s|", "urn:s\\", "*", "*urn:s", "urn:é", "URN:S"])
codes = st.sampled_from(["5", "55", "|5", "*5", "5\\", ".*", "$5", "é", "\U0001f33b", "~"])
moments = st.integers(-3, 3).map(lambda step: NOON + timedelta(milliseconds=step))
identifiers = st.lists(st.tuples(systems, codes), max_size=3)
resources = st.lists(st.tuples(st.sampled_from(TYPES), ids, moments, st.booleans(), identifiers), max_size=8)


@st.composite
def tokens(draw):
    system = draw(st.one_of(st.none(), systems))
    code = draw(codes) if not system else draw(st.one_of(st.none(), codes))
    return Token("identifier", system, code)


@st.composite
def updates(draw):
    low, high = draw(st.one_of(st.none(), moments)), draw(st.one_of(st.none(), moments))
    if low is None and high is None:
        low = NOON
    return Updated(low, high, inside=draw(st.booleans()))


leaves = st.one_of(tokens(), updates(), st.lists(ids, min_size=1, max_size=3).map(lambda found: Id(tuple(found))))
nodes = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: AllOf(tuple(parts))),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: AnyOf(tuple(parts))),
    ),
    max_leaves=6,
)
queries = st.builds(Query, st.sampled_from([(), ("Patient",), ("Patient", "Task")]), nodes)


class Kept:
    """A resource as it is stored, and as R4 sees it."""

    def __init__(self, type_: str, id_: str, at: datetime, deleted: bool, identifiers: list[tuple[str, str]]) -> None:
        self.type, self.id, self.at, self.deleted = type_, id_, at, deleted
        self.identifiers = [] if deleted else identifiers
        listed = [{"system": s, "value": v} if s else {"value": v} for s, v in self.identifiers]
        self.tokens = token_entries({"resourceType": type_, "identifier": listed}, R4)

    @property
    def key(self) -> str:
        return f"{self.type}/{self.id}"

    def document(self) -> dict[str, Any]:
        json = None if self.deleted else b"{}"
        return document_of(Version(self.type, self.id, 1, self.at, "PUT", json), self.tokens)


def is_meant(kept: Kept, query: Query) -> bool:
    """R4's own words, without an index."""
    return (not query.types or kept.type in query.types) and _is_meant(kept, query.where)


def _is_meant(kept: Kept, node: Any) -> bool:
    match node:
        case AllOf(parts):
            return all(_is_meant(kept, part) for part in parts)
        case AnyOf(parts):
            return any(_is_meant(kept, part) for part in parts)
        case Id(wanted):
            return kept.id in wanted
        case Updated(low, high, inside):
            return ((low is None or low <= kept.at) and (high is None or kept.at < high)) == inside
        case Token(_, system, code):
            return any(system in (None, s) and code in (None, v) for s, v in kept.identifiers)
    raise AssertionError(node)


@pytest.fixture(scope="module")
def collection(mongodb_admin: MongoClient[dict[str, Any]]):
    name = f"test_{uuid.uuid4().hex}"
    yield mongodb_admin[name]["resources"]
    mongodb_admin.drop_database(name)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(resources, queries)
def test_the_database_and_the_memory_find_what_is_meant(collection: Collection[dict[str, Any]], found, query):
    stored = {kept.key: kept for kept in (Kept(*one) for one in found)}
    collection.delete_many({})
    if stored:
        collection.insert_many([kept.document() for kept in stored.values()])
    there = {document["_id"] for document in collection.find(filter_of(query), {"_id": 1})}
    alive = [kept for kept in stored.values() if not kept.deleted]
    matched = {kept.key for kept in alive if match_query(query, kept.type, kept.id, kept.at, kept.tokens)}
    meant = {kept.key for kept in alive if is_meant(kept, query)}
    assert there == meant
    assert matched == meant


def test_what_was_deleted_is_never_found(collection: Collection[dict[str, Any]]):
    collection.delete_many({})
    collection.insert_one(Kept("Patient", "a", NOON, deleted=True, identifiers=[]).document())
    for query in (Query(("Patient",)), Query(()), Query((), Id(("a",))), Query((), Updated(NOON, None))):
        assert list(collection.find(filter_of(query))) == []

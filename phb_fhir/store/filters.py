"""A Query becomes a MongoDB filter. User text only ever stands as a value: no operators, no regular expressions."""

from __future__ import annotations

from typing import Any

from phb_fhir.query import AllOf, AnyOf, HistoryQuery, Id, Node, Query, Token, Updated, Uri
from phb_fhir.search.kinds.token import entry_wanted
from phb_fhir.search.kinds.uri import entry_wanted as uri_entry

Filter = dict[str, Any]


def filter_of(query: Query) -> Filter:
    """The filter over `resources` for a search: current versions that are not deleted."""
    parts: list[Filter] = [{"deleted": False}]
    if query.types:
        parts.append({"type": query.types[0] if len(query.types) == 1 else {"$in": list(query.types)}})
    parts.append(_node(query.where, query.types))
    return {"$and": [part for part in parts if part]}


def _node(node: Node, types: tuple[str, ...]) -> Filter:
    match node:
        case AllOf(parts):
            inner = [made for part in parts if (made := _node(part, types))]
            return {"$and": inner} if inner else {}
        case AnyOf(parts):
            return {"$or": [_node(part, types) for part in parts]}
        case Id(ids):
            # _id is the whole reference; with the types known it is a lookup
            return (
                {"_id": {"$in": [f"{type_}/{id_}" for type_ in types for id_ in ids]}}
                if types
                else {"id": {"$in": list(ids)}}
            )
        case Updated():
            return _updated(node)
        case Uri():
            return {"ix.token": uri_entry(node)}
        case Token():
            low, high = entry_wanted(node)
            return {"ix.token": low if high is None else {"$elemMatch": {"$gte": low, "$lt": high}}}


def _updated(node: Updated) -> Filter:
    bounds: Filter = {}
    if node.low is not None:
        bounds["$gte"] = node.low
    if node.high is not None:
        bounds["$lt"] = node.high
    return {"at": bounds} if node.inside else {"at": {"$not": bounds}}


def current_filter(query: HistoryQuery) -> Filter:
    """The filter over `resources` for the versions of a history that are current, deletions included."""
    found: Filter = {}
    if query.id:
        found["_id"] = f"{query.type}/{query.id}"
    elif query.type:
        found["type"] = query.type
    return _period(found, query, superseded=False)


def superseded_filter(query: HistoryQuery) -> Filter:
    """The filter over `history` for the same."""
    found: Filter = {}
    if query.id:
        found["key"] = f"{query.type}/{query.id}"
    elif query.type:
        found["type"] = query.type
    return _period(found, query, superseded=True)


def _period(found: Filter, query: HistoryQuery, *, superseded: bool) -> Filter:
    at: Filter = {}
    if query.since is not None:
        at["$gte"] = query.since
    if query.current_in is not None:
        start, end = query.current_in
        at["$lt"] = end
        if superseded:
            found["until"] = {"$gt": start}
    if at:
        found["at"] = at
    return found

"""A Query becomes a MongoDB filter. User text only ever stands as a value: no operators, no regular expressions.

What a condition means is said twice, here and in `search/match`; a test holds the two together. `store/plan` decides in which
order the conditions are put, and which index is to serve them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from phb_fhir.query import (
    AllOf,
    AnyOf,
    Bound,
    HistoryQuery,
    Id,
    Joined,
    Key,
    KeyPart,
    KeyRange,
    Node,
    Not,
    OfType,
    Present,
    Query,
    Span,
    Updated,
)
from phb_fhir.store.documents import field_of

Filter = dict[str, Any]

NOBODY: Filter = {"_id": {"$in": []}}
_DIGITS_MAX = 18  # of a number that MongoDB has room for
_OPERATORS = {"<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}


def base(query: Query) -> list[Filter]:
    """What holds for all that any search of these types finds."""
    parts: list[Filter] = [of_types(query.types)] if query.types else []
    # what was deleted has no index values, so a condition on those leaves it out by itself
    return parts if needs_values(query.where) else [*parts, {"deleted": False}]


def of_types(types: Sequence[str]) -> Filter:
    return {"type": types[0] if len(types) == 1 else {"$in": list(types)}}


def joint(parts: Sequence[Filter]) -> Filter:
    """All of these. MongoDB takes the bounds of an index from the first that it serves, so their order is kept."""
    wanted = [part for part in parts if part]
    return {"$and": wanted} if wanted else {}


def needs_values(node: Node) -> bool:
    """Whether nothing without index values can match."""
    match node:
        case AllOf(parts):
            return any(needs_values(part) for part in parts)
        case AnyOf(parts):
            return all(needs_values(part) for part in parts)
    return isinstance(node, Key | KeyRange | KeyPart | Span | Present | Joined)


def condition(node: Node, types: Sequence[str]) -> Filter:
    """The filter for one condition on resources of these types (empty: any); empty where it asks for nothing.

    Raises TypeError for a condition that only other resources, or reading the resource, can tell.
    """
    match node:
        case Id(ids):
            return _ids(ids, types)
        case OfType(named):
            return of_types(named)
        case Updated():
            return _updated(node)
        case AllOf(parts):
            return joint([condition(part, types) for part in parts])
        case AnyOf(parts):
            return _any([condition(part, types) for part in parts])
        case Not(part):
            return {"$nor": [condition(part, types)]}
        case KeyPart():
            return _key_part(node)
    return _values(node, "ix.k", lambda parameter: f"ix.r.{field_of(parameter)}")


def _values(node: Node, keys: str, spans: Any) -> Filter:
    """The filter for a condition on index values, whose entries are at the path `keys`, and intervals at `spans(parameter)`."""
    match node:
        case Key(asked):
            return {keys: asked[0] if len(asked) == 1 else {"$in": list(asked)}}
        case KeyRange(low, high):
            return {keys: {"$elemMatch": {"$gte": low, "$lt": high}}}
        case Span():
            return {spans(node.parameter): {"$elemMatch": _row(node)}}
        case Present(parameter):
            return {spans(parameter): {"$exists": True, "$ne": []}}
        case Joined(parameter, parts):
            inner = [_values(part, f"{n}.k", lambda _, n=n: f"{n}.r") for n, part in enumerate(parts)]
            return {f"ix.c.{field_of(parameter)}": {"$elemMatch": joint(inner)}}
        case AllOf(parts):
            return joint([_values(part, keys, spans) for part in parts])
        case AnyOf(parts):
            return _any([_values(part, keys, spans) for part in parts])
        case Not(part):
            return {"$nor": [_values(part, keys, spans)]}
    raise TypeError(node)


def _any(parts: list[Filter]) -> Filter:
    return {"$or": parts} if parts else NOBODY


def _row(span: Span) -> Filter:
    unit = [] if span.unit is None else [{"u": span.unit}]
    return joint([*(_bound(bound) for bound in span.bounds), *unit])


def _bound(bound: Bound) -> Filter:
    return {bound.end: {_OPERATORS[bound.is_]: bound.value}}


def _ids(ids: Sequence[str], types: Sequence[str]) -> Filter:
    # _id is the whole reference; with the types known it is a lookup
    whole = [id_ for id_ in ids if "/" in id_ and (not types or id_.partition("/")[0] in types)]
    alone = [id_ for id_ in ids if "/" not in id_]
    if alone and not types:
        return _any([{"_id": {"$in": whole}}, {"id": {"$in": alone}}])
    return {"_id": {"$in": [*whole, *(f"{type_}/{id_}" for type_ in types for id_ in alone)]}}


def _updated(node: Updated) -> Filter:
    bounds: Filter = {}
    if node.low is not None:
        bounds["$gte"] = node.low
    if node.high is not None:
        bounds["$lt"] = node.high
    if not bounds:
        return {} if node.inside else NOBODY
    return {"at": bounds} if node.inside else {"at": {"$not": bounds}}


def _key_part(node: KeyPart) -> Filter:
    """Found without a regular expression."""
    begins = {"$eq": [{"$indexOfCP": ["$$this", {"$literal": node.start}]}, 0]}
    has_text = {"$gte": [{"$indexOfCP": ["$$this", {"$literal": node.text}, len(node.start)]}, 0]}
    # MongoDB finds no empty text at the very end of another
    keeps = {"$and": [begins, has_text]} if node.text else begins
    each = {"$map": {"input": {"$ifNull": ["$ix.k", []]}, "in": keeps}}
    return {"$expr": {"$anyElementTrue": [each]}}


# --- the history ---


def current_filter(query: HistoryQuery) -> Filter:
    """The filter over `resources` for the versions of a history that are current, deletions included."""
    found: Filter = {}
    if query.id:
        found["_id"] = f"{query.type}/{query.id}"
    elif query.type:
        found["type"] = query.type
    return joint([_period(found, query, superseded=False), _among(query.among, _current), accessible(query.where)])


def superseded_filter(query: HistoryQuery) -> Filter:
    """The filter over `history` for the same."""
    found: Filter = {}
    if query.id:
        found["key"] = f"{query.type}/{query.id}"
    elif query.type:
        found["type"] = query.type
    return joint([_period(found, query, superseded=True), _among(query.among, _superseded), accessible(query.where)])


def _among(items: Sequence[str] | None, those: Callable[[list[str], list[tuple[str, int]]], list[Filter]]) -> Filter:
    """Of a history: what is of these resources, or is one of these versions. No item that is no address here matches."""
    if items is None:
        return {}
    named = [item.partition("/_history/") for item in items]
    whole = [key for key, mark, _ in named if not mark]
    single = [
        (key, int(number)) for key, mark, number in named if mark and number.isdecimal() and len(number) <= _DIGITS_MAX
    ]
    return _any(those(whole, single))


def _current(whole: list[str], single: list[tuple[str, int]]) -> list[Filter]:
    return [{"_id": {"$in": whole}}, *({"_id": key, "version": number} for key, number in single)]


def _superseded(whole: list[str], single: list[tuple[str, int]]) -> list[Filter]:
    return [{"key": {"$in": whole}}, {"_id": {"$in": [f"{key}/{number}" for key, number in single]}}]


def accessible(node: Node) -> Filter:
    """The filter for a condition on the access entries that versions carry, in either collection."""
    match node:
        case Id(ids):
            parts = [id_.split("/") for id_ in ids]
            return _any([{"type": type_, "id": id_} for type_, id_ in parts])
        case OfType(named):
            return of_types(named)
        case AllOf(parts):
            return joint([accessible(part) for part in parts])
        case AnyOf(parts):
            return _any([accessible(part) for part in parts])
        case Not(part):
            return {"$nor": [accessible(part)]}
    return _values(node, "a", str)


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

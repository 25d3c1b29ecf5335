"""What MongoDB computes of the matches: an order that no index has, and where their references lead.

User text stands in here as literals, never as expressions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phb_fhir.query import Order, SortKey
from phb_fhir.store.documents import SEQ_MARK, Document, value_path
from phb_fhir.store.plan import Sort, sorted_name

SORT_TEXT_MAX = 200  # characters of a value that count: a page's position carries them


def value_name(n: int) -> str:
    """The field that the n-th rule of an order sorts by."""
    return f"s{n}"


def computing(types: Sequence[str], order: Order) -> list[Document]:
    """The stages that add what an order sorts by: `s0` for its first rule, and `m0`, whether that value is missing."""
    values = {value_name(n): _computed(key, types) for n, key in enumerate(order)}
    missing = {f"m{n}": {"$cond": [{"$eq": [f"${value_name(n)}", None]}, 1, 0]} for n in range(len(order))}
    return [{"$set": values}, {"$set": missing}]


def computed_sort(order: Order) -> Sort:
    """Each rule, what misses its value last; then by `seq`, and by `_id` for those without."""
    found: list[tuple[str, int]] = []
    for n, key in enumerate(order):
        found += [(f"m{n}", 1), (value_name(n), -1 if key.descending else 1)]
    return (*found, ("seq", 1), ("_id", 1))


def _computed(key: SortKey, types: Sequence[str]) -> Any:
    match key.by:
        case "at":
            return "$at"
        case "id":
            return "$id"
        case "lo":
            paths = [f"${value_path(type_, sorted_name(key))}" for type_ in types]
            return _cut({"$arrayElemAt": [{"$split": [{"$ifNull": [*paths, None]}, SEQ_MARK]}, 0]})
        case "keys":
            first = "$max" if key.descending else "$min"
            # of a token the code counts, which has an entry of its own, whatever its system
            starts = [f"{key.parameter}={mark}" for mark in ("*", "")]
            return _cut({"$ifNull": [{first: _entries(start)} for start in starts]})


def _cut(text: Any) -> Any:
    """A text of bounded length; missing stays missing."""
    cut = {"$cond": [{"$eq": ["$$text", None]}, None, {"$substrCP": ["$$text", 0, SORT_TEXT_MAX]}]}
    return {"$let": {"vars": {"text": {"$ifNull": [text, None]}}, "in": cut}}


def _entries(start: str) -> Document:
    """The entries that begin like this."""
    begins = {"$eq": [{"$indexOfCP": ["$$this", {"$literal": start}]}, 0]}
    return {"$filter": {"input": {"$ifNull": ["$ix.k", []]}, "as": "this", "cond": begins}}


def entries(start: str) -> list[Document]:
    """From resources to their distinct keys (`_id`) that begin like this."""
    return [{"$project": {"_id": 0, "k": _entries(start)}}, {"$unwind": "$k"}, {"$group": {"_id": "$k"}}]


def pointed_at(parameter: str, types: Sequence[str]) -> list[Document]:
    """From resources to the distinct keys (`_id`) of what a reference parameter of theirs points to, here."""
    keys = _named(parameter)
    # a reference to a resource here is its type and id; a longer one names a version, or another place
    pieces = {"$split": ["$$this", "/"]}
    of_types = [{"$in": [{"$arrayElemAt": [pieces, 0]}, {"$literal": list(types)}]}] if types else []
    is_here = {"$and": [{"$eq": [{"$size": pieces}, 2]}, *of_types]}
    return [
        {"$project": {"_id": 0, "to": {"$filter": {"input": keys, "as": "this", "cond": is_here}}}},
        {"$unwind": "$to"},
        {"$group": {"_id": "$to"}},
    ]


def first_to_point(parameter: str, keys: Sequence[str]) -> list[Document]:
    """From resources to the least `seq` among those whose reference parameter points to each of these keys (`_id`)."""
    among = {"$setIntersection": [_named(parameter), {"$literal": list(keys)}]}
    return [
        {"$project": {"_id": 0, "seq": 1, "to": among}},
        {"$unwind": "$to"},
        {"$group": {"_id": "$to", "seq": {"$min": "$seq"}}},
    ]


def _named(parameter: str) -> Document:
    """What a reference parameter names."""
    start = f"{parameter}="
    named = {"$substrCP": ["$$this", len(start), {"$strLenCP": "$$this"}]}
    return {"$map": {"input": _entries(start), "in": named}}

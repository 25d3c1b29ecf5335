"""Does a resource that is not stored yet match a query? The same answer the store would give, in memory.

A transaction needs it: a conditional reference may mean a resource that an earlier entry of the same Bundle creates.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from phb_fhir.query import AllOf, AnyOf, Id, Node, Query, Token, Updated, Uri
from phb_fhir.search.kinds.token import entry_wanted
from phb_fhir.search.kinds.uri import entry_wanted as uri_entry


def match_query(query: Query, type_: str, id_: str, at: datetime, tokens: Collection[str]) -> bool:
    """Whether the resource `type_`/`id_`, updated `at`, with these token entries, is among what `query` asks for."""
    if query.types and type_ not in query.types:
        return False
    return _match(query.where, id_, at, tokens)


def _match(node: Node, id_: str, at: datetime, tokens: Collection[str]) -> bool:
    match node:
        case AllOf(parts):
            return all(_match(part, id_, at, tokens) for part in parts)
        case AnyOf(parts):
            return any(_match(part, id_, at, tokens) for part in parts)
        case Id(ids):
            return id_ in ids
        case Updated(low, high, inside):
            return ((low is None or at >= low) and (high is None or at < high)) is inside
        case Uri():
            return uri_entry(node) in tokens
        case Token():
            low_entry, high_entry = entry_wanted(node)
            return (
                low_entry in tokens if high_entry is None else any(low_entry <= entry < high_entry for entry in tokens)
            )


def names_tokens(node: Node) -> bool:
    """Whether all that matches carries a token that the condition states in full: then that token stands for it."""
    match node:
        case AllOf(parts):
            return any(names_tokens(part) for part in parts)
        case AnyOf(parts):
            return all(names_tokens(part) for part in parts)
        case Token():
            return node.code is not None
        case Uri():
            return True
    return False


def tokens_asked(node: Node) -> set[str]:
    """The index entries that the tokens of a condition look for."""
    match node:
        case AllOf(parts) | AnyOf(parts):
            return {entry for part in parts for entry in tokens_asked(part)}
        case Token():
            return {entry_wanted(node)[0]}
        case Uri():
            return {uri_entry(node)}
    return set()

"""Does a resource that is not stored yet match a query? The same answer the store would give, in memory.

A transaction needs it: a conditional reference may mean a resource that an earlier entry of the same Bundle creates. So does
whoever looks at candidates one by one. `store/filters` says the same to MongoDB, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from operator import ge, gt, le, lt
from typing import Any, NamedTuple, Protocol

from phb_fhir.fhir.codec import Resource
from phb_fhir.query import (
    AllOf,
    AnyOf,
    Id,
    Joined,
    Judge,
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

_COMPARED = {"<": lt, "<=": le, ">": gt, ">=": ge}
_NAMES = ("identifier=", "url=")


class Values(Protocol):
    """The index values that a condition is held against: `search/kinds/kind.Index`, or one element of a composite."""

    @property
    def keys(self) -> Collection[str]: ...

    @property
    def spans(self) -> Mapping[str, Sequence[Mapping[str, Any]]]: ...

    @property
    def joined(self) -> Mapping[str, Sequence[Mapping[str, Any]]]: ...


class Subject(NamedTuple):
    """A resource, and what is known of it."""

    type: str
    id: str
    at: datetime
    index: Values  # type: ignore[assignment]  # a tuple's own `index` is no loss
    resource: Resource


class _Part(NamedTuple):
    """One component of one element of a composite. Its entries and intervals go by no name of their own."""

    keys: Collection[str]
    spans: Mapping[str, Sequence[Mapping[str, Any]]]
    joined: Mapping[str, Sequence[Mapping[str, Any]]]


def match_query(query: Query, subject: Subject) -> bool:
    """Whether the subject is among what `query` asks for."""
    return (not query.types or subject.type in query.types) and match(query.where, subject)


def match(node: Node, subject: Subject) -> bool:
    """Whether the condition holds. Raises TypeError for one that only other resources can tell: those are resolved before."""
    match node:
        case AllOf(parts):
            return all(match(part, subject) for part in parts)
        case AnyOf(parts):
            return any(match(part, subject) for part in parts)
        case Not(part):
            return not match(part, subject)
        case Id(ids):
            return subject.id in ids or f"{subject.type}/{subject.id}" in ids
        case OfType(types):
            return subject.type in types
        case Updated(low, high, inside):
            return ((low is None or subject.at >= low) and (high is None or subject.at < high)) is inside
        case Judge():
            return node.judge(subject.resource)
    return _holds(node, subject.index)


def _holds(node: Node, index: Values) -> bool:
    match node:
        case Key(keys):
            return any(key in index.keys for key in keys)
        case KeyRange(low, high):
            return any(low <= key < high for key in index.keys)
        case KeyPart(start, text):
            return any(key.startswith(start) and text in key[len(start) :] for key in index.keys)
        case Span():
            return any(_keeps(row, node) for row in index.spans.get(node.parameter, ()))
        case Present(parameter):
            return bool(index.spans.get(parameter))
        case Joined(parameter, parts):
            return any(_is_joined(element, parts) for element in index.joined.get(parameter, ()))
        case AllOf(parts):
            return all(_holds(part, index) for part in parts)
        case AnyOf(parts):
            return any(_holds(part, index) for part in parts)
        case Not(part):
            return not _holds(part, index)
    raise TypeError(node)


def _keeps(row: Mapping[str, Any], span: Span) -> bool:
    in_unit = span.unit is None or span.unit in row.get("u", ())
    return in_unit and all(_COMPARED[bound.is_](row[bound.end], bound.value) for bound in span.bounds)


def _is_joined(element: Mapping[str, Any], parts: Sequence[Node]) -> bool:
    return all(_holds(part, _component(element, number)) for number, part in enumerate(parts))


def _component(element: Mapping[str, Any], number: int) -> _Part:
    found = element.get(str(number), {})
    return _Part(found.get("k", ()), {"": found.get("r", ())}, {})


def names_tokens(node: Node) -> bool:
    """Whether all that matches carries an identifier or a url that the condition states in full: then that stands for it."""
    match node:
        case AllOf(parts):
            return any(names_tokens(part) for part in parts)
        case AnyOf(parts):
            return all(names_tokens(part) for part in parts)
        case Key(keys):
            return all(is_name(key) for key in keys)
    return False


def keys_asked(node: Node) -> set[str]:
    """The identifiers and urls that a condition looks for, as they are in the index."""
    match node:
        case AllOf(parts) | AnyOf(parts):
            return {key for part in parts for key in keys_asked(part)}
        case Key(keys):
            return {key for key in keys if is_name(key)}
    return set()


def is_name(key: str) -> bool:
    """Whether this entry names a resource: an identifier with its value, or a url."""
    return key.startswith(_NAMES)

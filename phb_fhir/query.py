"""The vocabulary of asking: a small tree that search parses, security narrows, and the store turns into a filter.

The leaves speak of index values (`search/index` makes them, docs/search.md shows them), not of FHIR's search types: what a
token or a date means is settled in `search/kinds`, once for what is stored and once for what is asked, side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

# --- what a resource must have ---


@dataclass(frozen=True, slots=True)
class Key:
    """One of these entries is among its keys: `code=http://loinc.org|1234`, `subject=Patient/1`."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeyRange:
    """An entry from `low` up to, not including, `high` is among its keys: all that begin alike."""

    low: str
    high: str


@dataclass(frozen=True, slots=True)
class KeyPart:
    """An entry that begins with `start` and has `text` anywhere behind it is among its keys. No index serves this."""

    start: str
    text: str


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of an interval compared: `lo >= value`. Values are texts that sort as what they stand for."""

    end: Literal["lo", "hi"]
    is_: Literal["<", "<=", ">", ">="]
    value: str


@dataclass(frozen=True, slots=True)
class Span:
    """One of the parameter's intervals keeps all the bounds; for a quantity, one that is in this `unit` ("": as it was written)."""

    parameter: str
    bounds: tuple[Bound, ...]
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Present:
    """The parameter has at least one interval."""

    parameter: str


@dataclass(frozen=True, slots=True)
class Joined:
    """One element of a composite parameter keeps each of the parts: the first component the first part, and so on."""

    parameter: str
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Id:
    """Its logical id is one of these; or, written `Patient/1`, type and id."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OfType:
    """It is of one of these types: where a question of several types means something else for each of them."""

    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Updated:
    """It was last updated at or after `low` and before `high` (None: open); `inside=False` asks for all others."""

    low: datetime | None
    high: datetime | None
    inside: bool = True


# --- what only other resources, or the whole resource, can tell ---


@dataclass(frozen=True, slots=True)
class Linked:
    """Chaining (R4 §3.1.1.4.15): its reference `parameter` points to a resource of these types that `where` holds for.

    `by_url`: it may be a canonical, which means what has that url.
    """

    parameter: str
    types: tuple[str, ...]
    where: Node
    by_url: bool = False


@dataclass(frozen=True, slots=True)
class LinkedFrom:
    """Reverse chaining, `_has` (R4 §3.1.1.4.16): a `type` that `where` holds for points to it by its reference `parameter`.

    `by_url`: as in `Linked`.
    """

    type: str
    parameter: str
    where: Node
    by_url: bool = False


@dataclass(frozen=True, slots=True)
class InHierarchy:
    """`:above` and `:below` (R4 §3.1.1.4.14): its reference `parameter` points to one of `starts`, or to what is above or below
    one of these, where every `type` is part of what its own reference `by` points to. `starts` are written `Location/1`.
    """

    parameter: str
    way: Literal["above", "below"]
    type: str
    by: str
    starts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InList:
    """It is an entry of the List of this id (`_list`, R4 §3.1.1.4.22), not a removed one."""

    id: str


@dataclass(frozen=True, slots=True)
class Judge:
    """What the resource itself must be read for (`_text`, `_content`, `near`). No index serves this."""

    name: str  # the parameter and its value, as they were asked
    judge: Callable[[dict[str, Any]], bool] = field(compare=False)


# --- how conditions join ---


@dataclass(frozen=True, slots=True)
class Not:
    part: Node


@dataclass(frozen=True, slots=True)
class AllOf:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple[Node, ...]


Node = (
    Key
    | KeyRange
    | KeyPart
    | Span
    | Present
    | Joined
    | Id
    | OfType
    | Updated
    | Linked
    | LinkedFrom
    | InHierarchy
    | InList
    | Judge
    | Not
    | AllOf
    | AnyOf
)

EVERYTHING = AllOf(())
NOTHING = AnyOf(())

Total = Literal["none", "estimate", "accurate"]


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of which resource types (empty: all of them)."""

    types: tuple[str, ...]
    where: Node = EVERYTHING

    def __and__(self, other: Node) -> Query:
        return Query(self.types, AllOf((self.where, other)))


# --- how the answer is ordered, and what comes with it ---


@dataclass(frozen=True, slots=True)
class SortKey:
    """One rule of `_sort`. `by` says where its values are: "lo" sortable texts of the index, "keys" the entries of the parameter,
    "id", "at" the time of the last update.

    `is_list`: a resource may have several values, of which the one that comes first in the order counts (R4 §3.1.1.5.1).
    """

    parameter: str
    by: Literal["lo", "keys", "id", "at"]
    descending: bool = False
    is_list: bool = False


Order = tuple[SortKey, ...]  # empty: as the store likes best, always the same for the same query


@dataclass(frozen=True, slots=True)
class Include:
    """`_include` or, `reverse`, `_revinclude` (R4 §3.1.1.5.4): what reference `parameter` of `type` leads to (or comes from).

    `type` "*" is any type, `parameter` "*" every reference; `target` limits the types at the other end; `iterate` follows what
    was included too.
    """

    type: str
    parameter: str
    target: str = ""
    iterate: bool = False
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Versions of one resource, one type, or everything, newest first.

    `since`: made at or after this instant. `current_in`: current at some point of this period [start, end). `among`: of these
    resources (`Patient/1`), or one of these versions (`Patient/1/_history/2`). `where` is a condition
    on the access entries that each version carries (`search/access`).
    """

    type: str = ""
    id: str = ""
    since: datetime | None = None
    current_in: tuple[datetime, datetime] | None = None
    where: Node = EVERYTHING
    among: tuple[str, ...] | None = None

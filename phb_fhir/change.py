"""The vocabulary of writing, shared by rules, store and interactions.

A `Change` is what somebody wants written, with its preconditions. `interactions/commit` turns changes into `Version`s:
what is stored. Nothing here reads, waits or decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Literal, NamedTuple

from phb_fhir.fhir.codec import Resource
from phb_fhir.outcome import Issue
from phb_fhir.query import Query

Method = Literal["POST", "PUT", "PATCH", "DELETE"]


class Version(NamedTuple):
    """One version of one resource as it is stored. `json` is its exact text in UTF-8; None means it was deleted here.

    `seq` is the resource's place in the order of a search: the store gives it with the first version and keeps it ever after.
    A version that is not stored yet, or superseded, has none. `access` are the index entries by which it is decided who may see it
    (`search/access`); a deletion has those of what it deleted.
    """

    type: str
    id: str
    number: int
    at: datetime
    method: Method
    json: bytes | None
    seq: str = ""
    access: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.type}/{self.id}"

    @property
    def is_deleted(self) -> bool:
        return self.json is None


@dataclass(frozen=True, slots=True)
class Condition:
    """Which versions a write accepts as the current one (RFC 9110 §13.1; FHIR R4 §3.1.0.5).

    `numbers` None is `*`: any existing version.
    """

    numbers: frozenset[int] | None

    def holds_for(self, current: Version | None) -> bool:
        if current is None or current.is_deleted:
            return False
        return self.numbers is None or current.number in self.numbers


@dataclass(frozen=True, slots=True)
class Criteria:
    """A search that picks the target of a conditional interaction. `text` is the criteria as they were sent."""

    query: Query
    text: str


@dataclass(frozen=True, slots=True)
class Create:
    """POST: a new resource under a new id, unless `unless` matches one that is there (If-None-Exist, R4 §3.1.0.8.1).

    `advice` is what its writer is told beside, should it be done. `is_governed` says that the content was looked at with what it
    refers to, and need not be again.
    """

    type: str
    id: str
    resource: Resource
    unless: Criteria | None = None
    advice: tuple[Issue, ...] = ()
    is_governed: bool = False


@dataclass(frozen=True, slots=True)
class Put:
    """PUT: this content under this id, or under the one that `where` matches (R4 §3.1.0.4.3).

    `id` is empty when a conditional update named none; `fresh_id` is then used if nothing matches.
    """

    type: str
    id: str
    resource: Resource
    if_match: Condition | None = None
    if_none_match: Condition | None = None
    where: Criteria | None = None
    fresh_id: str = ""
    advice: tuple[Issue, ...] = ()


@dataclass(frozen=True, slots=True)
class Patch:
    """PATCH: `apply` makes the next content out of the current one. Pure, so that a transaction may try it again."""

    type: str
    id: str
    apply: Callable[[Resource], Resource]
    if_match: Condition | None = None
    if_none_match: Condition | None = None
    where: Criteria | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE: this id, or every resource that `where` matches, when there are no more than `count_max` of them."""

    type: str
    id: str
    if_match: Condition | None = None
    if_none_match: Condition | None = None
    where: Criteria | None = None
    count_max: int = 1


Change = Create | Put | Patch | Delete


class Effect(Enum):
    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"  # the content was there already; no version was made
    DELETED = "deleted"
    ABSENT = "absent"  # nothing to delete
    MATCHED = "matched"  # a conditional create found its resource


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of one change: its effect and the version that now stands (None where nothing does).

    `advice` is what its writer is told beside: warnings of what was written.
    """

    effect: Effect
    version: Version | None
    count: int = 1
    advice: tuple[Issue, ...] = ()

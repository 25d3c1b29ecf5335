"""The vocabulary of asking: a small tree that search parses, security narrows, and the store turns into a filter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True)
class Token:
    """A token parameter's value (R4 §3.1.1.4.10). `system`: None any, "" none stated; `code`: None any code of it."""

    parameter: str
    system: str | None
    code: str | None


@dataclass(frozen=True, slots=True)
class Uri:
    """A uri parameter's value (R4 §3.1.1.4.14): the whole of it, of this version when one is named."""

    parameter: str
    uri: str
    version: str | None


@dataclass(frozen=True, slots=True)
class Id:
    """Resources whose logical id is one of these."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Updated:
    """Resources last updated at or after `low` and before `high` (None: open); `inside=False` asks for all others."""

    low: datetime | None
    high: datetime | None
    inside: bool = True


@dataclass(frozen=True, slots=True)
class AllOf:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple[Node, ...]


Node = Token | Uri | Id | Updated | AllOf | AnyOf

EVERYTHING = AllOf(())

Total = Literal["none", "estimate", "accurate"]


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of which resource types (empty: all of them)."""

    types: tuple[str, ...]
    where: Node = EVERYTHING

    def __and__(self, other: Node) -> Query:
        return Query(self.types, AllOf((self.where, other)))


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Versions of one resource, one type, or everything, newest first.

    `since`: made at or after this instant. `current_in`: current at some point of this period [start, end).
    """

    type: str = ""
    id: str = ""
    since: datetime | None = None
    current_in: tuple[datetime, datetime] | None = None

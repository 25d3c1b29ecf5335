"""What a search parameter type is made of (R4 §3.1.1.4): what it keeps of a resource, and what a value of a query asks of that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from phb_fhir.definitions.load import SearchParameter
from phb_fhir.query import Node

Value = tuple[
    str, Any
]  # the FHIR type of an element, and the element as JSON: ("Coding", {...}), ("dateTime", "2026-11")


@dataclass(slots=True)
class Index:
    """The index values of one resource (docs/search.md). `keys` keeps the order and has each entry once.

    `lo` are texts that sort as the values do, by parameter (and `parameter~max`, `parameter~long`, `parameter~unit`);
    `spans` the intervals `{lo, hi}` (with `u`, the units, for a quantity) by parameter; `joined` the elements of composites.
    """

    keys: dict[str, None] = field(default_factory=dict)
    lo: dict[str, str] = field(default_factory=dict)
    spans: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    joined: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    digest: str = ""  # of the parameters these values were made by


class Codes(Protocol):
    """What terminology tells a search. Raises Rejected (400) for a value set or code that is not known here."""

    def members(self, value_set: str) -> Sequence[tuple[str, str]]:
        """The (system, code) pairs of a value set, by its url or as `ValueSet/[id]`."""

    def related(self, system: str, code: str, relation: Literal["above", "below"]) -> Sequence[tuple[str, str]]:
        """The code itself and those that subsume it (above), or that it subsumes (below)."""


class OwnAddress(Protocol):
    """Tells this server's own addresses from others."""

    def local(self, reference: str) -> str:
        """`Patient/1` for `http://this.server/fhir/Patient/1`; any other reference as it is."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One value of a parameter in a query string: `text` is between two commas, its escapes still in it.

    `modifier` is what stands behind the colon ("" for none).
    """

    parameter: SearchParameter
    modifier: str
    text: str
    codes: Codes
    own: OwnAddress

    @property
    def name(self) -> str:
        """As it was asked, for sentences: `code:in`."""
        return f"{self.parameter.code}:{self.modifier}" if self.modifier else self.parameter.code


@dataclass(frozen=True, slots=True)
class Kind:
    """One search parameter type. `:missing` is not among the `modifiers`: it is alike for all, and `search/conditions` has it.

    `parse` gives what one value asks, and raises Rejected (400) with a sentence that says what would be right. `index` adds what
    these values of one resource give; `is_list` says whether a resource could have several.
    `sort` says where values to sort by are: "lo", "keys", or "" for none.
    """

    modifiers: tuple[str, ...]
    parse: Callable[[Asked], Node]
    index: Callable[[Index, SearchParameter, Sequence[Value], bool, OwnAddress], None]
    sort: Literal["lo", "keys", ""]

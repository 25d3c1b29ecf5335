"""What the tests of search kinds have alike: a parameter, what is kept of values, and whether a query finds them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import strategies as st

from phb_fhir.definitions.load import Component, SearchParameter
from phb_fhir.outcome import Issue, Rejected
from phb_fhir.query import Node
from phb_fhir.search.kinds.kind import Asked, Index, Kind, Value
from phb_fhir.search.match import Subject, match


class NoCodes:
    """No terminology: these kinds have no use for it."""

    def members(self, value_set: str) -> Sequence[tuple[str, str]]:
        raise AssertionError(value_set)

    def related(self, system: str, code: str, relation: str) -> Sequence[tuple[str, str]]:
        raise AssertionError((system, code, relation))


class Here:
    """A server at http://here.example/fhir."""

    def local(self, reference: str) -> str:
        return reference.removeprefix("http://here.example/fhir/")


def parameter(type_: str, code: str = "", components: Sequence[tuple[str, str, str]] = ()) -> SearchParameter:
    parts = tuple(Component(*part) for part in components)
    return SearchParameter("Basic", code or type_, type_, "Basic.x", "http://here.example/x", components=parts)


def asked(kind: Kind, of: SearchParameter, text: str) -> Node:
    return kind.parse(Asked(of, "", text, NoCodes(), Here()))


def kept(kind: Kind, of: SearchParameter, *values: Value, is_list: bool = False) -> Index:
    made = Index()
    kind.index(made, of, values, is_list, Here())
    return made


def finds(node: Node, made: Index, resource: dict[str, Any] | None = None) -> bool:
    return match(node, Subject("Basic", "1", datetime(2026, 1, 1, tzinfo=UTC), made, resource or {}))


def refusal(kind: Kind, of: SearchParameter, text: str) -> Issue:
    with pytest.raises(Rejected) as caught:
        asked(kind, of, text)
    (issue,) = caught.value.issues
    return issue


_NAMES = st.sampled_from(
    ("start", "end", "event", "repeat", "boundsPeriod", "value", "code", "system", "unit", "currency", "comparator", "low",
     "high", "position", "latitude", "longitude")
)  # fmt: skip
_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.decimals(), st.text(max_size=3), st.sampled_from(("2026", "mg", "<", "-"))
)  # fmt: skip
# JSON of any shape, with the names and texts that the kinds look for in it
shapes = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_NAMES, inner, max_size=3)),
    max_leaves=8,
)
TYPES = (
    "date",
    "dateTime",
    "instant",
    "Period",
    "Timing",
    "decimal",
    "integer",
    "Quantity",
    "Money",
    "Range",
    "SampledData",
    "",
)
values = st.tuples(st.sampled_from(TYPES), shapes)

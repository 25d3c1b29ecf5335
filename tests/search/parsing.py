"""A query string read as the server would read it, with R4's and the guide's own parameters, all of them promised."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.definitions.search_parameters import search_parameters
from phb_fhir.outcome import Kind, Refusal, Rejected
from phb_fhir.query import AllOf, Node
from phb_fhir.search.asking import Asking
from phb_fhir.search.codes import KnownCodes
from phb_fhir.search.own import OwnBase
from phb_fhir.search.parse import Search, parse_search

BASE = "https://phb.example/fhir"
SYSTEM_WIDE = frozenset(
    {"_id", "_lastUpdated", "_profile", "_security", "_source", "_tag", "_text", "_content", "_filter"}
)
UNDEFINED = frozenset({"_has", "_list"})  # R4 describes them without a SearchParameter

BAD_VALUE = frozenset({Kind.VALUE, Kind.INVALID})  # as the parameter's kind calls what it cannot read

Pair = tuple[str, str]


def promised(type_: str) -> Collection[str]:
    """What the capability statement promises: with each type its own, and once what all have."""
    if not type_:
        return SYSTEM_WIDE | UNDEFINED
    return search_parameters(load()).of(type_).keys() - SYSTEM_WIDE | {"_id", "_lastUpdated"}


def asking(*resources: dict[str, Any], **changed: Any) -> Asking:
    """What a query is read against; `resources` are ValueSets and CodeSystems that are known besides."""
    definitions = load()
    made = Asking(
        search_parameters(definitions),
        KnownCodes(Registry.of(definitions, resources)),
        OwnBase(BASE),
        definitions,
        promised,
        count_default=50,
        count_max=1_000,
    )
    return replace(made, **changed)


ASKING = asking()


def parsed(types: str, *pairs: Pair, **changed: Any) -> Search:
    """A search of these types, named with blanks between them."""
    return parse_search(tuple(types.split()), pairs, replace(ASKING, **changed))


def conditions(types: str, *pairs: Pair) -> tuple[Node, ...]:
    """What a search asks, parameter by parameter."""
    where = parsed(types, *pairs).query.where
    assert isinstance(where, AllOf)
    return where.parts


def refused(types: str, *pairs: Pair, **changed: Any) -> list[tuple[Kind, str]]:
    """Every issue of a refusal: its kind and its sentence."""
    with pytest.raises(Rejected) as caught:
        parsed(types, *pairs, **changed)
    assert caught.value.refusal is Refusal.BAD_REQUEST
    return [(issue.kind, issue.text) for issue in caught.value.issues]


def check_refused(types: str, pair: Pair, kind: Kind | Collection[Kind], *words: str) -> None:
    """One problem, of this kind (or one of these), whose sentence has these words."""
    ((found, text),) = refused(types, pair)
    assert found in ({kind} if isinstance(kind, Kind) else kind), text
    assert all(word in text for word in words), text

"""Issues in the order of the document they speak of, each at an exact place.

The walk meets most of them in that order; profiles, invariants and Bundle rules come after it. A place is found by
following the issue's FHIRPath down the resource; an element that is missing comes after those that are there.

On the way a choice is given the type it has there, as HL7's validator writes it: `Observation.value` becomes
`Observation.value.ofType(Quantity)`, which is one element and no other. A choice that is missing, or given twice, keeps
its plain name.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from phb_fhir.definitions.load import Definitions, TypeDef
    from phb_fhir.outcome import Issue

_STEP = re.compile(r"\.([^.\[\]]+)(?:\[(\d+)\])?")
_NOWHERE = 1_000_000
_Key: TypeAlias = tuple[int, ...]


class _Place(NamedTuple):
    """Where an expression leads: what to sort it by, and how it is written with the types of its choices."""

    key: _Key
    written: str


def in_document_order(issues: list[Issue], resource: Any, definitions: Definitions) -> list[Issue]:
    """The issues without repetitions, sorted by where they are; those at one place keep their order."""
    unique = list({(issue.expression, issue.text): issue for issue in issues}.values())
    if type(resource) is not dict:
        return unique
    walk = _Walk(resource, definitions)
    places = {expression: walk.place(expression) for expression in {issue.expression for issue in unique}}
    unique.sort(key=lambda issue: places[issue.expression].key)
    return [_written(issue, places[issue.expression].written) for issue in unique]


def _written(issue: Issue, expression: str) -> Issue:
    return issue if issue.expression == expression else replace(issue, expression=expression)


class _Walk:
    """Follows expressions down one resource."""

    def __init__(self, resource: dict[str, Any], definitions: Definitions) -> None:
        self._resource = resource
        self._definitions = definitions
        self._positions: dict[int, dict[str, int]] = {}

    def place(self, expression: str) -> _Place:
        root, _, _ = expression.partition(".")
        node: dict[str, Any] = self._resource
        type_def = self._type_of("Resource", node)
        key: list[int] = []
        written = [root]
        for name, index in _STEP.findall(expression):
            spelled = _spelled(name, node, type_def)
            property_ = spelled[0]
            key.append(self._position(node, property_))
            element = type_def.elements.get(property_) if type_def is not None else None
            written.append(f".{name}[{index}]" if index else f".{name}")
            if element is not None and element.choice and len(spelled) == 1:
                written.append(f".ofType({element.type})")
            if index:
                key.append(int(index))
            node = _children(node, property_, int(index) if index else None)
            type_def = self._type_of(element.type, node) if element is not None else None
        return _Place(tuple(key), "".join(written))

    def _position(self, node: dict[str, Any], property_: str) -> int:
        table = self._positions.get(id(node))
        if table is None:
            table = self._positions[id(node)] = {name: number for number, name in enumerate(node)}
        return min(table.get(property_, _NOWHERE), table.get(f"_{property_}", _NOWHERE))

    def _type_of(self, name: str, node: dict[str, Any]) -> TypeDef | None:
        if name == "Resource":
            name = str(node.get("resourceType"))
            return self._definitions.type(name) if name in self._definitions.resource_types else None
        return self._definitions.type(name)


def _spelled(name: str, node: dict[str, Any], type_def: TypeDef | None) -> list[str]:
    """The JSON properties that are this element here: one, or the spellings of a choice that is given more than once."""
    spellings = type_def.choices.get(f"{name}[x]", ()) if type_def is not None else ()
    return [spelling for spelling in spellings if spelling in node or f"_{spelling}" in node] or [name]


def _children(node: dict[str, Any], property_: str, index: int | None) -> dict[str, Any]:
    """The object below; that of a primitive is its twin."""
    for name in (property_, f"_{property_}"):
        below = node.get(name)
        if index is not None and type(below) is list:
            below = below[index] if index < len(below) else None
        if type(below) is dict:
            return below
    return {}

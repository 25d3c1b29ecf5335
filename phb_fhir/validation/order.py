"""Issues in the order of the document they speak of.

The walk meets most of them in that order; profiles, invariants and Bundle rules come after it. A place is found by
following the issue's FHIRPath down the resource; an element that is missing comes after those that are there.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

from phb_fhir.outcome import Issue

_STEP = re.compile(r"\.([^.\[\]]+)(?:\[(\d+)\])?")
_NOWHERE = 1_000_000
_Key: TypeAlias = tuple[int, ...]


def in_document_order(issues: list[Issue], resource: Any) -> list[Issue]:
    """The issues without repetitions, sorted by where they are; those at one place keep their order."""
    unique = list({(issue.expression, issue.text): issue for issue in issues}.values())
    if len(unique) < 2 or type(resource) is not dict:
        return unique
    positions: dict[int, dict[str, int]] = {}
    keys: dict[str, _Key] = {}
    for issue in unique:
        if issue.expression not in keys:
            keys[issue.expression] = _key(issue.expression, resource, positions)
    return sorted(unique, key=lambda issue: keys[issue.expression])


def _key(expression: str, node: Any, positions: dict[int, dict[str, int]]) -> _Key:
    key: list[int] = []
    for name, index in _STEP.findall(expression):
        place = -1
        if type(node) is dict:
            table = positions.get(id(node))
            if table is None:
                table = positions[id(node)] = {inner: number for number, inner in enumerate(node)}
            property_ = _property(name, table)
            place = table.get(property_, -1)
            node = node.get(property_)
        key.append(place if place >= 0 else _NOWHERE)
        if index:
            key.append(int(index))
            node = node[int(index)] if type(node) is list and int(index) < len(node) else None
    return tuple(key)


def _property(name: str, table: dict[str, int]) -> str:
    """The JSON property of an element: itself, its twin, or a choice's spelling."""
    for spelled in (name, f"_{name}"):
        if spelled in table:
            return spelled
        size = len(spelled)
        for key in table:
            if key.startswith(spelled) and key[size].isupper():
                return key
    return name

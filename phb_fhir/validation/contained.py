"""Contained resources are parts of what contains them: each is pointed to from there, or points back (dom-3, R4 §2.3.2).

The published expression of dom-3 looks at references and at values of type canonical, uri and url. A narrative that shows a
contained image points to it as well, so its links count here too, as they do in HL7's own validator.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from phb_fhir.definitions.trail import Trail, path_of
from phb_fhir.outcome import Issue, Kind
from phb_fhir.validation.frame import Frame
from phb_fhir.validation.wording import short

_LINK = re.compile(r"""(?:href|src)\s*=\s*["']#([^"']+)["']""")


def check_contained(node: dict[str, Any], trail: Trail, frame: Frame) -> None:
    """Every resource in `contained` is linked with the one that contains it."""
    inside = node.get("contained")
    if type(inside) is not list:
        return
    _check_ids(inside, trail, frame)
    pointed = set(_targets({key: value for key, value in node.items() if key != "contained"}))
    points = {index: set(_targets(resource)) for index, resource in enumerate(inside) if type(resource) is dict}
    linked = _linked(inside, points, pointed)
    for index in points.keys() - linked:
        id_ = inside[index].get("id")
        which = f'"{short(id_)}"' if type(id_) is str else "one without an id"
        text = f"A contained resource is part of what refers to it, and nothing refers to {which}: refer to it, or leave it out (dom-3)."
        frame.issues.append(Issue(Kind.INVARIANT, text, path_of((trail, "contained", index))))


def _check_ids(inside: list[Any], trail: Trail, frame: Frame) -> None:
    """`#a` means one resource."""
    seen: set[str] = set()
    for index, resource in enumerate(inside):
        id_ = resource.get("id") if type(resource) is dict else None
        if type(id_) is not str:
            continue
        if id_ in seen:
            text = f'Another contained resource has the id "{short(id_)}" as well, so "#{short(id_)}" names neither.'
            frame.issues.append(Issue(Kind.INVALID, text, path_of(((trail, "contained", index), "id", None))))
        seen.add(id_)


def _linked(inside: list[Any], points: dict[int, set[str]], pointed: set[str]) -> set[int]:
    """The contained resources that are pointed to, from the container or one another, or that point to the container."""
    everywhere = pointed.union(*(targets for targets in points.values()))
    ids = {index: inside[index].get("id") for index in points}
    return {i for i, targets in points.items() if "" in targets or (type(ids[i]) is str and ids[i] in everywhere)}


def _targets(value: Any) -> Iterator[str]:
    """The ids that texts somewhere in `value` point to: what stands behind `#`."""
    level: list[Any] = [value]
    while level:
        node = level.pop()
        if type(node) is dict:
            level.extend(node.values())
        elif type(node) is list:
            level.extend(node)
        elif type(node) is str and "#" in node:
            if node.startswith("#"):
                yield node[1:]
            elif node.lstrip().startswith("<"):
                yield from _LINK.findall(node)

"""Every element of a resource with the invariants R4 states on it, found by the definitions alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from phb_fhir.definitions.load import Invariant, load
from phb_fhir.definitions.terminology import Terminology
from phb_fhir.definitions.trail import Trail, path_of
from phb_fhir.outcome import Issue
from phb_fhir.validation.frame import Frame, Run
from phb_fhir.validation.invariants import hold, rules_of

R4 = load()
TERMINOLOGY = Terminology.of(R4, ())


def check_invariants(
    invariants: tuple[Invariant, ...], node: Any, at: Trail, frame: Frame, type_name: str = ""
) -> Iterator[Issue]:
    """What these invariants have to say about a node."""
    return hold(rules_of(invariants, type_name), node, None, at, frame)


class Found(NamedTuple):
    """One element: its value and twin, its type, where it is, what surrounds it, and what holds for it."""

    value: Any
    twin: Any
    type: str
    at: Trail
    frame: Frame
    invariants: tuple[Invariant, ...]

    def __repr__(self) -> str:
        return f"{self.type} at {path_of(self.at)}: {self.value} {self.twin or ''}"


def frame_of(resource: dict[str, Any], **more: Any) -> Frame:
    """The frame of a resource by itself; no profile is asked for, so none is known."""
    run = Run(R4, None, more.pop("terminology", TERMINOLOGY), [], more.pop("conforms", lambda *_: None), **more)
    return Frame(run, resource, str(resource.get("resourceType", "")))


def invariants_of(type_name: str) -> Iterator[Invariant]:
    """The invariants of a type and of those it is built on."""
    while type_name:
        type_def = R4.type(type_name)
        yield from type_def.invariants
        type_name = type_def.base


def stated() -> Iterator[tuple[str, str, Invariant]]:
    """Every invariant of R4's definitions: the type or element it is stated on, the type of its values, itself."""
    for name in sorted(R4.resource_types | R4.complex_types | R4.primitive_types | R4.abstract_types):
        yield from _stated_in(name)


def _stated_in(name: str) -> Iterator[tuple[str, str, Invariant]]:
    type_def = R4.type(name)
    for invariant in type_def.invariants:
        yield name, name, invariant
    for element in type_def.elements.values():
        place = f"{name}.{element.path_name}"
        for invariant in element.invariants:
            yield place, element.type, invariant
        if element.type == place:
            yield from _stated_in(place)


def elements(resource: dict[str, Any]) -> Iterator[Found]:
    """Every element of `resource`, the resources inside it included, in the order of the definitions."""
    frame = frame_of(resource)
    yield from _walk(resource, None, resource["resourceType"], frame.at, frame, ())


def _walk(
    value: Any, twin: Any, type_name: str, at: Trail, frame: Frame, stated: tuple[Invariant, ...]
) -> Iterator[Found]:
    yield Found(value, twin, type_name, at, frame, (*stated, *invariants_of(type_name)))
    content = value if type(value) is dict else twin
    if type(content) is not dict:
        return
    for element in R4.type(type_name).elements.values():
        values, twins = content.get(element.name), content.get(f"_{element.name}")
        if not element.is_list:
            values, twins = [values], [twins]
        for index in range(max(len(values or ()), len(twins or ()))):
            item, beside = (_at(listed, index) for listed in (values, twins))
            if item is None and beside is None:
                continue
            here = (at, element.path_name, index if element.is_list else None)
            if element.type == "Resource":
                inner = frame.inner(item, here, content, "contained" if element.name == "contained" else "inner")
                yield from _walk(item, None, item["resourceType"], here, inner, element.invariants)
            else:
                yield from _walk(item, beside, element.type, here, frame, element.invariants)


def _at(listed: list[Any] | None, index: int) -> Any:
    return listed[index] if listed is not None and index < len(listed) else None

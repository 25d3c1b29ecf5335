"""Where in a resource to look, put together so that one walk finds the values of many expressions.

An expression such as `Patient.telecom.where(system='email')` is a route: a property, another property, a test. The routes of
all search parameters of a type share their beginnings, so they are laid into one tree (`Place`), and `collect` goes through a
resource along that tree, once, visiting nothing that no route leads to. What it finds at the end of a route it puts into the
route's slot, with its FHIR type, in the order of the resource.

A resource is taken as it is, whatever shape it has: a value that its type does not allow is no value, and nothing raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from phb_fhir.fhir.codec import Exact
from phb_fhir.search.kinds.kind import Value

Test: TypeAlias = Callable[[Any, dict[str, Any]], object]  # (element, resource) → whether it counts
Systems: TypeAlias = "tuple[tuple[str, frozenset[str] | None], ...]"
Found: TypeAlias = dict[int, list[Value]]  # by slot

_JSON_TYPES: dict[str, frozenset[type]] = {
    "boolean": frozenset((bool,)),
    "integer": frozenset((int,)),
    "unsignedInt": frozenset((int,)),
    "positiveInt": frozenset((int,)),
    "decimal": frozenset((int, Exact)),
}
_TEXT, _OBJECT = frozenset((str,)), frozenset((dict,))


@dataclass(frozen=True, slots=True)
class Step:
    """To a property `key`, whose values are of a FHIR `type`; where `nth` is given, to that one of them only.

    `choice` is the element's own (`value[x]`), `systems` the code systems that its codes are of (None: whatever code it is).
    """

    key: str
    type: str
    is_list: bool
    choice: str = ""
    nth: int | None = None
    systems: Systems = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """Only elements that the test holds for, which are then of `type`. `says` tells one test from another."""

    says: str
    type: str
    test: Test = field(compare=False)


@dataclass(frozen=True, slots=True)
class Route:
    """One way from where an expression starts to values of one FHIR type. `branch` is its place in unions.

    `of_resource`: it starts from the resource, where the expression is about an element inside.
    """

    type: str
    steps: tuple[Step | Filter, ...] = ()
    branch: tuple[int, ...] = ()
    of_resource: bool = False

    def to(self, step: Step | Filter) -> Route:
        return replace(self, type=step.type, steps=(*self.steps, step))

    @property
    def is_list(self) -> bool:
        """Whether it may lead to several values."""
        return any(type(step) is Step and step.is_list and step.nth is None for step in self.steps)

    @property
    def begins(self) -> str | None:
        """The property without which it leads nowhere; None where it does not begin with one."""
        first = self.steps[0] if self.steps else None
        return first.key if type(first) is Step else None

    @property
    def systems(self) -> Systems:
        """The code systems of the codes it leads to, as far as the definitions name them."""
        last = next((step for step in reversed(self.steps) if type(step) is Step), None)
        return last.systems if last is not None else ()

    def excludes(self, other: Route) -> bool:
        """Whether only one of two ways can lead anywhere: they part at two spellings of one choice."""
        for mine, its in zip(self.steps, other.steps, strict=False):
            if mine != its:
                both = type(mine) is Step and type(its) is Step
                return both and mine.choice != "" and mine.choice == its.choice and mine.key != its.key  # type: ignore[union-attr]
        return False


def may_be_several(routes: Sequence[Route]) -> bool:
    """Whether these routes can lead to more than one value, by the cardinalities."""
    if any(route.is_list for route in routes):
        return True
    pairs = ((one, other) for number, one in enumerate(routes) for other in routes[number + 1 :])
    return any(not one.excludes(other) for one, other in pairs)


class Place:
    """What is looked for at one place of a resource: the slots of routes that end here, and the ways on."""

    __slots__ = ("filters", "is_resource", "json_types", "nth", "on", "slots", "type")

    def __init__(self, type_: str, *, is_primitive: bool, is_resource: bool) -> None:
        self.type = type_
        self.json_types: frozenset[type] = _JSON_TYPES.get(type_, _TEXT) if is_primitive else _OBJECT
        self.is_resource = is_resource  # what type it is, the value itself says
        self.slots: list[int] = []
        self.filters: dict[Filter, Place] = {}
        self.on: dict[str, Place] = {}
        self.nth: dict[str, list[tuple[int, Place]]] = {}


def laid_out(routes: Iterable[tuple[Route, int]], start: str, is_primitive: Callable[[str], bool]) -> Place:
    """The tree of these routes, each with its slot, from an element of the type `start`."""

    def place(type_: str) -> Place:
        is_open = type_ in ("Resource", "DomainResource")
        return Place(type_, is_primitive=is_primitive(type_), is_resource=is_open)

    root = place(start)
    for route, slot in routes:
        here = root
        for step in route.steps:
            here = _next(here, step, place)
        here.slots.append(slot)
    return root


def _next(here: Place, step: Step | Filter, place: Callable[[str], Place]) -> Place:
    if type(step) is Filter:
        if step not in here.filters:
            here.filters[step] = place(step.type)
        return here.filters[step]
    assert type(step) is Step  # noqa: S101 - the other one of the two
    if step.nth is None:
        if step.key not in here.on:
            here.on[step.key] = place(step.type)
        return here.on[step.key]
    there = here.nth.setdefault(step.key, [])
    for number, found in there:
        if number == step.nth:
            return found
    made = place(step.type)
    there.append((step.nth, made))
    return made


def collect(place: Place, value: Any, resource: dict[str, Any], found: Found) -> None:
    """Put what the routes from `place` lead to in `value` into their slots."""
    if type(value) not in place.json_types:
        return
    if place.slots:
        typed = (_named(value) if place.is_resource else place.type, value)
        for slot in place.slots:
            found.setdefault(slot, []).append(typed)
    for one, after in place.filters.items():
        if one.test(value, resource):
            collect(after, value, resource, found)
    on = place.on
    if on and type(value) is dict:
        # the shorter of the two is gone through
        for key in value if len(value) < len(on) else on:
            if key in value and key in on:
                _go_on(on[key], value[key], resource, found)
    for key, numbered in place.nth.items():
        listed = value.get(key) if type(value) is dict else None
        items = listed if type(listed) is list else [listed]
        for number, after in numbered:
            if number < len(items):
                collect(after, items[number], resource, found)


def _go_on(place: Place, value: Any, resource: dict[str, Any], found: Found) -> None:
    if type(value) is list:
        for item in value:
            collect(place, item, resource, found)
    else:
        collect(place, value, resource, found)


def _named(resource: dict[str, Any]) -> str:
    name = resource.get("resourceType")
    return name if type(name) is str else "Resource"

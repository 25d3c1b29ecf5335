"""Finding what stands at an element, and what a discriminator's path leads to.

An `Occurrence` is one value with everything a check may ask of it: its twin (`_x`), its type where the JSON tells it,
where it is, the object it stands in and the frame of its resource. `occurrences` finds those of one element;
`steps_of` reads the restricted FHIRPath of discriminators, and `walk_of` follows it: `$this`, names, `extension('url')`, `ofType(T)`,
`resolve()` (R4 §5.1.0.12).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from phb_fhir.definitions.trail import Trail
from phb_fhir.validation.frame import Frame, FrameKind, address_of

if TYPE_CHECKING:
    from phb_fhir.definitions.load import Definitions


class Occurrence(NamedTuple):
    """One value of an element. `value` is None where a primitive has a twin alone."""

    value: Any
    twin: Any
    type: str  # empty where neither JSON nor definition tells it
    at: Trail
    holder: Any
    frame: Frame

    @property
    def outside(self) -> Frame:
        """The frame of the resource that has this element: of a contained resource, its container's."""
        is_resource = self.frame.resource is self.value and self.frame.outer is not None
        return self.frame.outer if is_resource and self.frame.outer is not None else self.frame

    @property
    def children(self) -> dict[str, Any]:
        """The object whose properties are this value's children: a primitive's are in its twin."""
        if type(self.value) is dict:
            return self.value
        return self.twin if type(self.twin) is dict else {}


def occurrences(
    holder: dict[str, Any], name: str, spellings: Mapping[str, str], at: Trail, frame: Frame
) -> list[Occurrence]:
    """The values of one element of `holder`; `spellings` gives its JSON properties, with the type of each."""
    if len(spellings) == 1:
        ((key, type_name),) = spellings.items()
        value, twin = holder.get(key), holder.get(f"_{key}")
        return [] if value is None and twin is None else _listed(holder, name, value, twin, type_name, at, frame)
    found: list[Occurrence] = []
    for key in holder:
        plain = key.removeprefix("_")
        if plain in spellings and (plain == key or plain not in holder):
            value, twin = holder.get(plain), holder.get(f"_{plain}")
            found.extend(_listed(holder, name, value, twin, spellings[plain], at, frame))
    return found


def _listed(holder: Any, name: str, value: Any, twin: Any, type_name: str, at: Trail, frame: Frame) -> list[Occurrence]:
    if type(value) is not list and type(twin) is not list:
        return [_one(holder, value, twin, type_name, (at, name, None), frame)]
    values = value if type(value) is list else []
    if twin is None:
        return [
            _one(holder, item, None, type_name, (at, name, index), frame)
            for index, item in enumerate(values)
            if item is not None
        ]
    twins = twin if type(twin) is list else []
    pairs = enumerate(zip_longest(values, twins))
    return [
        _one(holder, item, beside, type_name, (at, name, index), frame)
        for index, (item, beside) in pairs
        if item is not None or beside is not None
    ]


def _one(holder: Any, value: Any, twin: Any, type_name: str, at: Trail, frame: Frame) -> Occurrence:
    if type(value) is dict and "resourceType" in value:
        kind: FrameKind = "contained" if type(at) is tuple and at[1] == "contained" else "inner"
        inner = frame.inner(value, at, holder if type(holder) is dict else {}, kind)
        return Occurrence(value, twin, str(value["resourceType"]), at, holder, inner)
    return Occurrence(value, twin, type_name, at, holder, frame)


# ---- paths ---------------------------------------------------------------------------------------

Step: TypeAlias = tuple[str, str]  # what to do, and its argument: ("child", "code")
Found: TypeAlias = list[Occurrence]
Walk: TypeAlias = Callable[[Occurrence], Found]

_STEP = re.compile(
    r"""\s*(?:
        (?P<this>\$this)
      | (?P<function>extension|ofType|as|resolve)\(\s*(?:'(?P<one>[^']*)'|"(?P<two>[^"]*)"|(?P<bare>[A-Za-z.]*))\s*\)
      | (?P<child>[A-Za-z_][A-Za-z0-9_]*)(?:\[x\])?
    )\s*(?:\.|$)""",
    re.VERBOSE,
)


def steps_of(path: str) -> list[Step] | None:
    """The steps of a discriminator's path; None for one that is more than discriminators may be."""
    steps: list[Step] = []
    position = 0
    while position < len(path):
        found = _STEP.match(path, position)
        if found is None:
            return None
        position = found.end()
        if found["child"]:
            steps.append(("child", found["child"]))
        elif found["function"]:
            argument = found["one"] or found["two"] or found["bare"] or ""
            steps.append((found["function"], argument.removeprefix("FHIR.")))
    return steps


def walk_of(steps: list[Step], definitions: Definitions) -> Walk:
    """What is at the end of the steps, starting from an occurrence."""

    def walk(start: Occurrence) -> Found:
        found = [start]
        for kind, argument in steps:
            found = [next_ for here in found for next_ in _STEPS[kind](here, argument, definitions)]
        return found

    return walk


def _child(here: Occurrence, name: str, definitions: Definitions) -> Found:
    node = here.children
    if name in node or f"_{name}" in node:
        return occurrences(node, name, {name: ""}, here.at, here.frame)
    spelled = {key: type_ for key in node if (type_ := spelled_type(name, key, definitions))}
    return occurrences(node, name, spelled, here.at, here.frame) if spelled else []


def _extension(here: Occurrence, url: str, _: Definitions) -> Found:
    every = occurrences(here.children, "extension", {"extension": "Extension"}, here.at, here.frame)
    return [one for one in every if type(one.value) is dict and one.value.get("url") == url]


def _of_type(here: Occurrence, type_name: str, _: Definitions) -> Found:
    return [here] if here.type in ("", type_name) else []


def _resolve(here: Occurrence, _: str, __: Definitions) -> Found:
    """What a reference or canonical points to. Of a target that is not at hand no more than its type is known: it has no value."""
    node = here.value if type(here.value) is dict else {"reference": here.value}
    reference = node.get("reference")
    target = here.frame.find(reference) if type(reference) is str else None
    type_name = type_of_target(node, target, here.frame)
    if target is None:
        return [Occurrence(None, None, type_name, here.at, None, here.frame)] if type_name else []
    return [Occurrence(target.resource, None, type_name, target.at, None, target)]


def type_of_target(node: dict[str, Any], target: Frame | None, frame: Frame) -> str:
    """The type of what a Reference points to, by what is at hand, its address, or what it says; empty where nothing tells."""
    if target is not None:
        return str(target.resource.get("resourceType", ""))
    reference, stated = node.get("reference"), node.get("type")
    types = frame.definitions.resource_types
    address = address_of(reference.partition("#")[0], types) if type(reference) is str else None
    if address is not None:
        return address.type
    return stated if type(stated) is str and stated in types else ""


_STEPS: dict[str, Callable[[Occurrence, str, Any], Found]] = {
    "child": _child,
    "extension": _extension,
    "ofType": _of_type,
    "as": _of_type,
    "resolve": _resolve,
}


def spelled_type(name: str, key: str, definitions: Definitions) -> str:
    """The type in a choice's spelling, `Quantity` for value and `valueQuantity`; empty where `key` is none."""
    plain = key.removeprefix("_")
    if not plain.startswith(name) or len(plain) == len(name):
        return ""
    end = plain[len(name) :]
    for type_name in (end, end[0].lower() + end[1:]):
        if definitions.has_type(type_name):
            return type_name
    return ""

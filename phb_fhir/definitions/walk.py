"""Every place in a resource that points somewhere, found by type and not by guessing at names.

A transaction gives new ids and must change every reference to them (R4 §3.1.0.11.2): in References, in values
of type uri, url, oid, uuid and canonical, and in the links of a narrative. `references` finds those places,
through choices, extensions (also those of primitives, `_birthDate`), contained resources and Parameters;
`rewrite` sets new values.

What the walk does not know it leaves alone: it follows properties their type has, and expects the shapes
`validate` asks for, but meets others without harm.
"""

from __future__ import annotations

import re
from html import escape, unescape
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from phb_fhir.definitions.trail import Trail, path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from phb_fhir.definitions.load import Definitions, Element

PointerKind = Literal["Reference", "uri", "canonical", "xhtml"]

_POINTERS: dict[str, PointerKind] = {
    "uri": "uri",
    "url": "uri",
    "oid": "uri",
    "uuid": "uri",
    "canonical": "canonical",
    "xhtml": "xhtml",
}
_RESOURCE = "Resource"  # any resource, by its own resourceType
_BUNDLED = "Resource in a Bundle"  # the same, walked only when asked for
_TAG = re.compile(r"""<[A-Za-z](?:[^<>"']|"[^"<]*"|'[^'<]*')*>""")
_LINK = re.compile(r"""(\s(?:href|src)\s*=\s*)("[^"]*"|'[^']*')""")


class ReferenceAt(NamedTuple):
    """One place that points somewhere: `holder[key]` is `value`.

    `targets` are the resource types it may point to, empty where any may be. Of kind "xhtml" `value` is the
    whole div.
    """

    holder: Any
    key: Any
    value: str
    kind: PointerKind
    targets: tuple[str, ...]
    trail: Trail

    @property
    def path(self) -> str:
        """Where it is, as FHIRPath: `CarePlan.activity[0].reference.reference`."""
        return path_of(self.trail)


def references(
    resource: dict[str, Any], definitions: Definitions, *, into_bundles: bool = False
) -> Iterator[ReferenceAt]:
    """The places in `resource` that point somewhere, in the order of the document.

    The resources in a Bundle's entries are left out unless `into_bundles`; those in Parameters and
    `contained` are in.
    """
    found: list[ReferenceAt] = []
    _Walk(definitions.derived(_Tables), found, into_bundles=into_bundles).resource(resource, None)
    return iter(found)


def rewrite(resource: dict[str, Any], definitions: Definitions, mapping: Callable[[ReferenceAt], str | None]) -> None:
    """Set what `mapping` answers at each place of `resource`, in place; where it answers None nothing
    changes.

    In a narrative `mapping` is asked once for each href and src, with that URL as the value; the text stays
    as it is.
    """
    rewrite_at(references(resource, definitions), mapping)


def rewrite_at(places: Iterable[ReferenceAt], mapping: Callable[[ReferenceAt], str | None]) -> None:
    """The same for places already found. Where `mapping` answers None the value found there is set again, so that
    it can be done over with another mapping.
    """
    for place in places:
        new = _rewritten_links(place, mapping) if place.kind == "xhtml" else mapping(place)
        place.holder[place.key] = place.value if new is None else new


def _rewritten_links(place: ReferenceAt, mapping: Callable[[ReferenceAt], str | None]) -> str:
    def one(link: re.Match[str]) -> str:
        new = mapping(place._replace(value=unescape(link[2][1:-1])))
        return link[0] if new is None else f'{link[1]}"{escape(new)}"'

    return _TAG.sub(lambda tag: _LINK.sub(one, tag[0]), place.value)


# ---- which properties of a type lead anywhere ----------------------------------------------------


class _Step(NamedTuple):
    """What to do at a property: `pointer` is the kind of pointer there, else `into` the type to walk into."""

    pointer: PointerKind | None
    into: str
    path_name: str
    targets: tuple[str, ...]


class _Tables(dict[str, dict[str, _Step]]):
    """By type name, the properties that lead somewhere; made when first asked for."""

    def __init__(self, definitions: Definitions) -> None:
        super().__init__()
        self._definitions = definitions

    def __missing__(self, name: str) -> dict[str, _Step]:
        table = dict(self._steps(name)) if name else {}
        self[name] = table
        return table

    def of_resource(self, resource_type: Any) -> dict[str, _Step]:
        known = isinstance(resource_type, str) and resource_type in self._definitions.resource_types
        return self[resource_type if known else ""]

    def _steps(self, name: str) -> Iterator[tuple[str, _Step]]:
        for element in self._definitions.type(name).elements.values():
            if element.type not in self._definitions.primitive_types:
                into = _BUNDLED if element.type == _RESOURCE and name.startswith("Bundle.") else element.type
                yield element.name, _Step(None, into, element.path_name, element.targets)
                continue
            yield f"_{element.name}", _Step(None, "Element", element.path_name, ())
            pointer = self._pointer(name, element)
            if pointer is not None:
                yield element.name, _Step(pointer, "", element.path_name, element.targets)

    @staticmethod
    def _pointer(owner: str, element: Element) -> PointerKind | None:
        return "Reference" if (owner, element.name) == ("Reference", "reference") else _POINTERS.get(element.type)


class _Walk:
    """One walk through one resource."""

    __slots__ = ("_found", "_into_bundles", "_tables")

    def __init__(self, tables: _Tables, found: list[ReferenceAt], *, into_bundles: bool) -> None:
        self._tables = tables
        self._found = found
        self._into_bundles = into_bundles

    def resource(self, node: dict[str, Any], trail: Trail | None) -> None:
        resource_type = node.get("resourceType")
        self._object(node, self._tables.of_resource(resource_type), trail or str(resource_type), ())

    def _object(self, node: dict[str, Any], table: dict[str, _Step], trail: Trail, targets: tuple[str, ...]) -> None:
        for key, value in node.items():
            step = table.get(key)
            if step is None:
                continue
            pointer, into, name, own_targets = step
            if pointer is not None:
                if type(value) is str:
                    allowed = targets if pointer == "Reference" else own_targets
                    self._found.append(ReferenceAt(node, key, value, pointer, allowed, (trail, name, None)))
                elif type(value) is list:
                    self._list(value, step, trail)
            elif into == _RESOURCE or (into == _BUNDLED and self._into_bundles):
                self._resources(value, name, trail)
            elif into == _BUNDLED:
                continue
            elif type(value) is dict:
                self._object(value, self._tables[into], (trail, name, None), own_targets)
            elif type(value) is list:
                inner = self._tables[into]
                for index, item in enumerate(value):
                    if type(item) is dict:
                        self._object(item, inner, (trail, name, index), own_targets)

    def _list(self, values: list[Any], step: _Step, trail: Trail) -> None:
        for index, value in enumerate(values):
            if type(value) is str and step.pointer is not None:
                place = (trail, step.path_name, index)
                self._found.append(ReferenceAt(values, index, value, step.pointer, step.targets, place))

    def _resources(self, value: Any, name: str, trail: Trail) -> None:
        if type(value) is dict:
            self.resource(value, (trail, name, None))
        elif type(value) is list:
            for index, item in enumerate(value):
                if type(item) is dict:
                    self.resource(item, (trail, name, index))

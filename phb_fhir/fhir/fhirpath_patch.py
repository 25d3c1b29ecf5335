"""FHIRPath Patch: FHIR R4 fhirpatch.html over plain dicts.

An operation says where (a FHIRPath), what to do, and with which value. `read` turns the Parameters that carry the
operations into `_Operation`s; `path.locate` turns a path into places; the five operations at the end of this file
change what stands there.

An element is handled as a *row*: its JSON value, and the companion that carries the id and the extensions of a
primitive (`birthDate` and `_birthDate`, R4 json.html#primitive). Where an element repeats, the two are arrays filled
up with null to the same length; reading rows and writing rows back keeps them so.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, NoReturn, TypeAlias

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.path import (
    BadPathError,
    ElementShape,
    Place,
    Shape,
    Steps,
    is_primitive,
    locate,
    locate_list,
    named,
)
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse

_QUOTED_MAX = 200  # characters of a path that a refusal repeats

_Object: TypeAlias = dict[str, Any]
_Row: TypeAlias = tuple[Any, _Object | None]


def patched(resource: Resource, parameters: object, shape: Shape, operations_max: int) -> Resource:
    """`resource` after the operations in `parameters`, changed in place.

    Raises Rejected: BAD_REQUEST for what is no FHIRPath Patch, has more than `operations_max` operations, or has a
    path that cannot be followed in any resource of this type; UNPROCESSABLE for an operation that does not fit.
    """
    steps = Steps()
    for operation in list(_read(parameters, shape, operations_max)):
        try:
            _TYPES[operation.type].apply(_Target(resource, shape, steps, operation))
        except BadPathError as error:
            raise operation.malformed(Kind.VALUE, str(error)) from None
    return resource


@dataclass(frozen=True, slots=True)
class _Value:
    """A value to put somewhere: of a FHIR type, with its row; or of no type, given as named parts."""

    type: str = ""
    row: _Row = (None, None)
    parts: tuple[tuple[str, _Value], ...] = ()


@dataclass(frozen=True, slots=True)
class _Operation:
    """One operation, well formed. What its type does not need is at its default."""

    number: int
    type: str
    path: str
    name: str = ""
    value: _Value = _Value()
    index: int = 0
    source: int = 0
    destination: int = 0

    def malformed(self, kind: Kind, reason: str) -> Rejected:
        return self._refuse(Refusal.BAD_REQUEST, kind, reason)

    def refused(self, kind: Kind, reason: str) -> Rejected:
        return self._refuse(Refusal.UNPROCESSABLE, kind, reason)

    def _refuse(self, refusal: Refusal, kind: Kind, reason: str) -> Rejected:
        path = self.path if len(self.path) <= _QUOTED_MAX else f"{self.path[:_QUOTED_MAX]}…"
        return refuse(refusal, kind, f"operation[{self.number}] ({self.type} {path}): {reason}.", path)


# --- reading the Parameters -----------------------------------------------------------------------


def _read(parameters: object, shape: Shape, operations_max: int) -> Iterator[_Operation]:
    if not isinstance(parameters, dict) or parameters.get("resourceType") != "Parameters":
        raise _wrong(Kind.STRUCTURE, "A FHIRPath Patch is a Parameters resource (fhirpatch.html).", "")
    listed = parameters.get("parameter", [])
    if not isinstance(listed, list):
        raise _wrong(Kind.STRUCTURE, "Parameters.parameter is a JSON array.", "Parameters.parameter")
    if len(listed) > operations_max:
        text = f"The patch has {len(listed)} operations, and this server takes {operations_max}."
        raise _wrong(Kind.TOO_COSTLY, text, "Parameters.parameter")
    for number, parameter in enumerate(listed):
        yield _Reader(number, shape).read(parameter)


def _wrong(kind: Kind, text: str, expression: str) -> Rejected:
    return refuse(Refusal.BAD_REQUEST, kind, text, expression)


class _Reader:
    """Reads one operation, and says where something is wrong with it."""

    def __init__(self, number: int, shape: Shape) -> None:
        self.number = number
        self.title = f"operation[{number}]"
        self.value_types = shape.type("Parameters.parameter").elements

    def read(self, parameter: object) -> _Operation:
        if not isinstance(parameter, dict) or parameter.get("name") != "operation":
            self.wrong(Kind.VALUE, 'each parameter of a patch has the name "operation"')
        parts = self.parts_of(parameter)
        type_name = self.text(parts, "type")
        if type_name not in _TYPES:
            self.wrong(Kind.NOT_SUPPORTED, f"its type is {type_name!r}, and may be {', '.join(_TYPES)}")
        self.title = f"{self.title} ({type_name})"
        self.check_parts(parts.keys() - {"type", "path"}, _TYPES[type_name].parts)
        read = {name: _READ_PART[name](self, parts, name) for name in parts if name not in ("type", "path")}
        return _Operation(self.number, type_name, self.text(parts, "path"), **read)

    def parts_of(self, parameter: _Object) -> dict[str, _Object]:
        parts: dict[str, _Object] = {}
        listed = parameter.get("part", [])
        for part in listed if isinstance(listed, list) else [listed]:
            name = part.get("name") if isinstance(part, dict) else None
            if not isinstance(name, str) or name not in ("type", "path", *_READ_PART):
                self.wrong(Kind.NOT_SUPPORTED, f"it has a part {name!r}, which no operation has")
            if name in parts:
                self.wrong(Kind.DUPLICATE, f"it has its part {name} twice")
            parts[name] = part
        return parts

    def check_parts(self, given: set[str], wanted: frozenset[str]) -> None:
        if missing := sorted(wanted - given):
            self.wrong(Kind.REQUIRED, f"it lacks its part {missing[0]}")
        if beyond := sorted(given - wanted):
            self.wrong(Kind.NOT_SUPPORTED, f"an operation of this type has no part {beyond[0]}")

    def text(self, parts: dict[str, _Object], name: str) -> str:
        # type is a code and the others are strings; clients in the field take the one for the other
        part = parts.get(name, {})
        text = part.get("valueString", part.get("valueCode"))
        if not isinstance(text, str) or not text:
            self.wrong(
                Kind.REQUIRED, f"it lacks its part {name}, with a {'valueCode' if name == 'type' else 'valueString'}"
            )
        return text

    def whole(self, parts: dict[str, _Object], name: str) -> int:
        part = parts[name]
        number = part.get("valueInteger", part.get("valueUnsignedInt", part.get("valuePositiveInt")))
        if not isinstance(number, int) or isinstance(number, bool):
            self.wrong(Kind.VALUE, f"its part {name} must have a valueInteger")
        return number

    def value(self, parts: dict[str, _Object], name: str) -> _Value:
        return self.value_of(parts[name], name)

    def value_of(self, part: _Object, name: str) -> _Value:
        """The value of a part: exactly one of value[x] (with or without companion), resource, part."""
        typed = {key.removeprefix("_") for key in part if key.removeprefix("_").startswith("value")}
        given = [*typed, *({"resource", "part"} & part.keys())]
        if len(given) != 1:
            self.wrong(Kind.REQUIRED, f"its part {name} must have one value[x], one resource, or parts")
        if given == ["part"]:
            return _Value(parts=tuple(self.children(part["part"], name)))
        if given == ["resource"]:
            return self.resource(part["resource"], name)
        return self.typed(part, given[0], name)

    def typed(self, part: _Object, key: str, name: str) -> _Value:
        element = self.value_types.get(key)
        if element is None:
            self.wrong(Kind.STRUCTURE, f"its part {name} has a {key}, which FHIR R4 does not have")
        data, companion = part.get(key), part.get(f"_{key}")
        if is_primitive(element.type):
            fits = not isinstance(data, dict | list) and isinstance(companion, dict | None)
            fits = fits and (data is not None or bool(companion))
        else:
            fits = isinstance(data, dict) and bool(data) and companion is None
        if not fits:
            self.wrong(Kind.STRUCTURE, f"the {key} of its part {name} is not written as FHIR writes a {element.type}")
        return _Value(element.type, (data, companion))

    def resource(self, data: Any, name: str) -> _Value:
        if not isinstance(data, dict) or not isinstance(data.get("resourceType"), str):
            self.wrong(Kind.STRUCTURE, f"the resource of its part {name} is no resource")
        return _Value("Resource", (data, None))

    def children(self, listed: Any, name: str) -> Iterator[tuple[str, _Value]]:
        if not isinstance(listed, list) or not listed:
            self.wrong(Kind.STRUCTURE, f"the parts of its part {name} are an array with something in it")
        for part in listed:
            child = part.get("name") if isinstance(part, dict) else None
            if not isinstance(child, str):
                self.wrong(Kind.REQUIRED, f"each part of its part {name} has the name of an element")
            yield child, self.value_of(part, f"{name}.{child}")

    def wrong(self, kind: Kind, reason: str) -> NoReturn:
        raise _wrong(kind, f"{self.title}: {reason}.", f"Parameters.parameter[{self.number}]")


_READ_PART: dict[str, Callable[[_Reader, dict[str, _Object], str], Any]] = {
    "name": _Reader.text,
    "value": _Reader.value,
    "index": _Reader.whole,
    "source": _Reader.whole,
    "destination": _Reader.whole,
}


# --- where it goes --------------------------------------------------------------------------------

# Types whose values may stand for one another: they are written alike, and the whole resource is validated later. The
# official cases give a valueString for an xhtml, and a valueDate for a dateTime.
_ALIKE = (
    frozenset({"string", "code", "id", "markdown", "xhtml", "uri", "url", "canonical", "oid", "uuid"}),
    frozenset({"date", "dateTime", "instant"}),
    frozenset({"integer", "unsignedInt", "positiveInt"}),
    frozenset({"Quantity", "Age", "Count", "Distance", "Duration"}),
)
_WHOLE_NUMBERS = _ALIKE[2]


@dataclass(frozen=True, slots=True)
class _Target:
    """The resource being changed, and the operation at work on it."""

    resource: Resource
    shape: Shape
    steps: Steps
    operation: _Operation

    def places(self) -> list[Place]:
        return locate(self.resource, self.operation.path, self.shape, self.steps).places

    def the_one(self, places: list[Place]) -> Place:
        """The place, if there is one: "the FHIRPath statement must return a single element"."""
        if not places:
            raise self.operation.refused(Kind.NOT_FOUND, "the path leads to nothing that is in this resource")
        if len(places) > 1:
            reason = f"the path leads to {len(places)} elements, and must lead to one"
            raise self.operation.refused(Kind.MULTIPLE_MATCHES, reason)
        return places[0]

    def inside(self, places: list[Place]) -> Place:
        """The one place, which is not the resource itself."""
        place = self.the_one(places)
        if place.up is None:
            reason = f"a patch cannot {self.operation.type} the resource itself"
            raise self.operation.refused(Kind.VALUE, reason)
        return place

    def the_list(self) -> tuple[_Object, str, ElementShape]:
        """The one list the path names: what holds it, its JSON property, what it holds."""
        holders, step = locate_list(self.resource, self.operation.path, self.shape, self.steps)
        holder = self.the_one(holders.places)
        for name, element in named(self.shape, holder.type, step).items():
            if element.is_list:
                return _content(holder), name, element
        raise self.operation.refused(Kind.VALUE, f"{step} does not repeat, so it has no positions")

    def check_position(self, part: str, position: int, last: int) -> None:
        if not 0 <= position <= last:
            may_be = f"may be 0 to {last}" if last >= 0 else "cannot be anything, as the list is empty"
            raise self.operation.refused(Kind.VALUE, f"{part} is {position}, and {may_be}")

    def property_for(self, variants: dict[str, ElementShape], value: _Value) -> tuple[str, ElementShape]:
        """The one of `variants` that takes `value`: "servers SHALL return an error if the type is wrong"."""
        for takes in (_takes_exactly, takes_alike):
            for name, element in variants.items():
                if takes(element.type, value.type):
                    return name, element
        wanted = sorted({element.type for element in variants.values()})
        belongs = ", ".join(wanted[:4]) + (", …" if len(wanted) > 4 else "")
        given = f"a {value.type}" if value.type else "given as parts"
        raise self.operation.refused(Kind.VALUE, f"the value is {given}, where {belongs} belongs")

    def row_of(self, element: ElementShape, value: _Value) -> _Row:
        if value.type:
            return copy.deepcopy(value.row)
        built: _Object = {}
        for step, part in value.parts:
            self.put(built, element.type, step, part)
        return built, None

    def put(self, holder: _Object, holder_type: str, step: str, value: _Value) -> None:
        """Append `value` to the list `step` of `holder`, or set it where it does not repeat and is not there."""
        variants = named(self.shape, holder_type, step)
        if not variants:
            raise self.operation.malformed(Kind.STRUCTURE, f"there is no element {step} in {holder_type}")
        name, element = self.property_for(variants, value)
        rivals = named(self.shape, holder_type, element.choice.removesuffix("[x]")) or variants
        if not element.is_list and any(_rows(holder, rival) for rival in rivals):
            raise self.operation.refused(Kind.DUPLICATE, f"{step} is there already, and it does not repeat")
        _write(holder, name, [*_rows(holder, name), self.row_of(element, value)], is_list=element.is_list)


def _takes_exactly(wanted: str, given: str) -> bool:
    return wanted == given


def takes_alike(wanted: str, given: str) -> bool:
    """Whether a value of one type may stand for another, of those that are written alike; "" for parts in place of a value."""
    if not given:  # parts make an element of any type that has children
        return not is_primitive(wanted) and wanted != "Resource"
    if wanted == "decimal":
        return given in _WHOLE_NUMBERS
    return any(wanted in alike and given in alike for alike in _ALIKE)


# --- rows -----------------------------------------------------------------------------------------


def _rows(holder: _Object, name: str) -> list[_Row]:
    data, beside = holder.get(name), holder.get(f"_{name}")
    if isinstance(data, list) or isinstance(beside, list):
        return list(zip_longest(data or (), beside or ()))
    return [] if data is None and beside is None else [(data, beside)]


def _write(holder: _Object, name: str, rows: list[_Row], *, is_list: bool) -> None:
    for key, column in ((name, [data for data, _ in rows]), (f"_{name}", [beside for _, beside in rows])):
        if all(item is None for item in column):
            holder.pop(key, None)
        else:
            holder[key] = column if is_list else column[0]


def _write_row(place: Place, row: _Row | None) -> None:
    """Set the element at `place` to `row`, or take it out."""
    rows, position = _rows(place.holder, place.name), place.index or 0
    rows[position : position + 1] = [] if row is None else [row]
    _write(place.holder, place.name, rows, is_list=place.index is not None)


def _content(place: Place) -> _Object:
    """The object that holds the children of `place`; for a primitive that has none, a new companion."""
    if place.is_primitive and not place.content:
        _write_row(place, (place.data, {}))
    return place.content


def _rename(holder: _Object, old: str, new: str) -> None:
    """Give a choice the property of another type, where the old one stood."""
    names = {old: new, f"_{old}": f"_{new}"}
    items = [(names.get(name, name), value) for name, value in holder.items()]
    holder.clear()
    holder.update(items)


# --- the five operations --------------------------------------------------------------------------


def _add(target: _Target) -> None:
    place = target.the_one(target.places())
    target.put(_content(place), place.type, target.operation.name, target.operation.value)


def _insert(target: _Target) -> None:
    holder, name, element = target.the_list()
    rows = _rows(holder, name)
    # "must be equal or less than the number of elements in the list"
    target.check_position("index", target.operation.index, len(rows))
    target.property_for({name: element}, target.operation.value)
    rows.insert(target.operation.index, target.row_of(element, target.operation.value))
    _write(holder, name, rows, is_list=True)


def _delete(target: _Target) -> None:
    places = target.places()
    if places:  # "path of the element to delete (if found)"
        _remove(target.inside(places))


def _remove(place: Place) -> None:
    _write_row(place, None)
    up = place.up
    if up is None or up.up is None or up.content:
        return
    if up.is_primitive and up.data is not None:
        _write_row(up, (up.data, None))  # its companion is empty now, its value stays
    else:
        _remove(up)  # FHIR has no empty elements (ele-1)


def _replace(target: _Target) -> None:
    place = target.inside(target.places())
    holder_type = place.up.type if place.up else ""
    variants = named(target.shape, holder_type, place.step)
    name, element = target.property_for(variants, target.operation.value)
    if name != place.name:
        _rename(place.holder, place.name, name)
    rows = _rows(place.holder, name)
    rows[place.index or 0] = target.row_of(element, target.operation.value)
    _write(place.holder, name, rows, is_list=element.is_list)


def _move(target: _Target) -> None:
    holder, name, _ = target.the_list()
    rows = _rows(holder, name)
    target.check_position("source", target.operation.source, len(rows) - 1)
    target.check_position("destination", target.operation.destination, len(rows) - 1)
    rows.insert(target.operation.destination, rows.pop(target.operation.source))
    _write(holder, name, rows, is_list=True)


@dataclass(frozen=True, slots=True)
class _Type:
    """A type of operation: what it does, and the parts it has beside `type` and `path`, all of them required."""

    apply: Callable[[_Target], None]
    parts: frozenset[str]


_TYPES = {
    "add": _Type(_add, frozenset({"name", "value"})),
    "insert": _Type(_insert, frozenset({"index", "value"})),
    "delete": _Type(_delete, frozenset()),
    "replace": _Type(_replace, frozenset({"value"})),
    "move": _Type(_move, frozenset({"source", "destination"})),
}

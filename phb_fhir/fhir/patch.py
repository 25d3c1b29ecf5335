"""Changing a resource piece by piece: JSON Patch and FHIRPath Patch, as pure functions.

Both take a resource and a list of operations, work on a copy, and give the changed resource; the first operation that does
not fit stops the whole patch. What comes out is only a proposal: the server processes it "as an update" (FHIR R4
http.html#patch), so it is validated afterwards like any other body. Here only what a patch itself may not do is refused:
become another type, another id, or grow out of bounds.

Which refusal: a patch that is wrong in itself (an operation nobody knows, a path that cannot be read) is BAD_REQUEST; one
that is well made but does not fit this resource (nothing there, already there, a failed `test`) is UNPROCESSABLE. That is
RFC 5789 §2.2; FHIR R4 leaves the status of a failed `test` open, and R5 settles it as 422 (http.html#patch).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NoReturn, cast

from jsonpatch import JsonPatch, JsonPatchException, JsonPatchTestFailed, JsonPointer, JsonPointerException

from phb_fhir.fhir.path import BadPathError, Place, Shape, Steps, is_primitive, locate, locate_list, named
from phb_fhir.outcome import Issue, Kind, Refusal, Rejected, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from phb_fhir.fhir.path import ElementShape

OPERATIONS_MAX = 1_000
DEPTH_MAX = 100  # levels of objects and arrays in the result
_COPIED_MAX = (
    100_000  # JSON values that the `copy` operations of one patch may add; each could double the document
)

Json = dict[str, Any]


# === JSON Patch ===================================================================================================

# What each operation must carry beside its path (RFC 6902 §4). jsonpatch knows one more, `append`, which is not standard.
_JSON_OPERATIONS = {
    "add": "value",
    "remove": "",
    "replace": "value",
    "move": "from",
    "copy": "from",
    "test": "value",
}


def apply_json_patch(
    resource: Json, patch: object, *, operations_max: int = OPERATIONS_MAX, depth_max: int = DEPTH_MAX
) -> Json:
    """`resource` after the JSON Patch document `patch` (RFC 6902; FHIR R4 http.html#patch). `resource` is not changed.

    Arrays and objects that the patch itself has emptied are left out of the result, since FHIR's JSON has none
    (json.html: "objects and arrays are never empty").

    Raises Rejected. BAD_REQUEST: `patch` is no list of at most `operations_max` operations, an operation is unknown or
    lacks what it needs, a pointer cannot be read, the resource would change its type or id. UNPROCESSABLE: an operation
    leads nowhere, a `test` fails, the result nests deeper than `depth_max`.
    """
    document = copy.deepcopy(resource)
    emptied: dict[int, Any] = {}
    patched = _run_json_patch(document, patch, operations_max, depth_max, emptied)
    _check_same_resource(resource, patched)
    _drop_emptied(patched, emptied)
    return cast("Json", patched)


def patch_document(
    document: Any, patch: object, *, operations_max: int = OPERATIONS_MAX, depth_max: int = DEPTH_MAX
) -> Any:
    """Any JSON value after the JSON Patch document `patch`: RFC 6902 and nothing else. `document` is not changed.

    Raises Rejected as `apply_json_patch`, save that the document may become anything.
    """
    return _run_json_patch(copy.deepcopy(document), patch, operations_max, depth_max, {})


@dataclass(frozen=True, slots=True)
class _JsonOperation:
    """One operation of a JSON Patch, well formed."""

    number: int
    op: str
    path: Any  # JsonPointer
    source: Any  # JsonPointer, or None
    content: Json

    def refused(self, kind: Kind, reason: str, document: Any) -> Rejected:
        title = f"operation[{self.number}] ({self.op} {self.path.path or 'the whole document'})"
        return refuse(
            Refusal.UNPROCESSABLE, kind, f"{title}: {reason}.", _as_fhirpath(document, self.path.parts)
        )


def _run_json_patch(
    document: Any, patch: object, operations_max: int, depth_max: int, emptied: dict[int, Any]
) -> Any:
    copied = 0
    for operation in _read_json_patch(patch, operations_max):
        if operation.op == "copy":
            copied += _size(_at(document, operation.source), _COPIED_MAX)
            if copied > _COPIED_MAX:
                raise operation.refused(
                    Kind.TOO_COSTLY, "the patch copies more than this server does at once", document
                )
        source = (
            operation.path
            if operation.op == "remove"
            else operation.source
            if operation.op == "move"
            else None
        )
        holder = _at(document, JsonPointer.from_parts(source.parts[:-1])) if source and source.parts else None
        document = _apply_json_operation(document, operation)
        if holder is not None:
            emptied[id(holder)] = holder  # kept alive, so that its id stays its own
    _check_depth(document, depth_max)
    return document


def _apply_json_operation(document: Any, operation: _JsonOperation) -> Any:
    try:
        return JsonPatch([operation.content]).apply(document, in_place=True)
    except JsonPatchTestFailed:
        if _at(document, operation.path) is _NOTHING:
            raise operation.refused(
                Kind.CONFLICT, "the test failed, there is nothing at that path", document
            ) from None
        raise operation.refused(
            Kind.CONFLICT, "the test failed, the value there is another", document
        ) from None
    except (JsonPatchException, JsonPointerException):
        raise operation.refused(Kind.NOT_FOUND, _why_not(document, operation), document) from None
    except RecursionError:
        raise operation.refused(
            Kind.TOO_COSTLY, "what it moves or copies nests too deeply", document
        ) from None


def _read_json_patch(patch: object, operations_max: int) -> list[_JsonOperation]:
    if not isinstance(patch, list):
        raise _bad_patch(Kind.STRUCTURE, "A JSON Patch document is a JSON array of operations (RFC 6902 §3).")
    _check_count(len(patch), operations_max)
    return [_read_json_operation(number, content) for number, content in enumerate(patch)]


def _read_json_operation(number: int, content: object) -> _JsonOperation:
    title = f"operation[{number}]"
    if not isinstance(content, dict):
        raise _bad_patch(Kind.STRUCTURE, f"{title}: an operation is a JSON object.")
    op = content.get("op")
    if not isinstance(op, str) or op not in _JSON_OPERATIONS:
        raise _bad_patch(Kind.NOT_SUPPORTED, f'{title}: "op" must be one of {", ".join(_JSON_OPERATIONS)}.')
    needed = _JSON_OPERATIONS[op]
    if needed == "value" and "value" not in content:
        raise _bad_patch(Kind.REQUIRED, f'{title} ({op} {content.get("path")}): it lacks its "value".')
    source = _read_pointer(content, "from", f"{title} ({op})") if needed == "from" else None
    return _JsonOperation(number, op, _read_pointer(content, "path", f"{title} ({op})"), source, content)


def _read_pointer(content: Json, name: str, title: str) -> Any:
    pointer = content.get(name)
    if not isinstance(pointer, str):
        raise _bad_patch(Kind.REQUIRED, f'{title}: it lacks its "{name}", a JSON Pointer.')
    try:
        return JsonPointer(pointer)
    except JsonPointerException:
        reason = 'a JSON Pointer starts with "/", and "~" stands in it only as "~0" or "~1" (RFC 6901)'
        raise _bad_patch(Kind.VALUE, f'{title}: "{name}" is {pointer!r}; {reason}.') from None


_NOTHING = object()


def _at(document: Any, pointer: Any) -> Any:
    """What stands at `pointer`, or `_NOTHING`. The "-" of an array is the element after the last: nothing."""
    if pointer.parts and pointer.parts[-1] == "-" and isinstance(_at(document, _parent(pointer)), list):
        return _NOTHING
    return pointer.resolve(document, _NOTHING)


def _parent(pointer: Any) -> Any:
    return JsonPointer.from_parts(pointer.parts[:-1])


def _why_not(document: Any, operation: _JsonOperation) -> str:
    source, path = operation.source, operation.path
    if source is not None and _at(document, source) is _NOTHING:
        return f"there is nothing at {source.path}"
    if operation.op == "move" and path.parts[: len(source.parts)] == source.parts:
        return "nothing can be moved into itself"
    if not path.parts:
        return "the whole document cannot be removed"
    holder = _at(document, _parent(path))
    if holder is _NOTHING:
        return f"there is nothing at {_parent(path).path} to change"
    if isinstance(holder, list):
        return f"{path.parts[-1]!r} is no index that can be used here; the array has {len(holder)} elements"
    if isinstance(holder, dict):
        return "there is nothing at that path"
    return f"{_parent(path).path} is neither an object nor an array"


def _size(value: Any, stop_at: int) -> int:
    """How many JSON values `value` is made of; counting stops past `stop_at`."""
    found = [value]
    for item in found:  # grows while it is read, at most to stop_at and one level more
        if len(found) > stop_at:
            break
        found.extend(item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
    return len(found)


def _drop_emptied(document: Any, emptied: dict[int, Any]) -> None:
    """Leave out the arrays and objects of `emptied` that are empty now, and what becomes empty by that."""
    inside = [(document, key, item) for key, item in _entries(document)]
    for _, _, item in inside:  # parents come before their children
        inside.extend((item, key, child) for key, child in _entries(item))
    for holder, _, item in reversed(inside):
        if isinstance(item, dict | list) and not item and id(item) in emptied:
            _take_out(holder, item)
            emptied[id(holder)] = holder


def _entries(value: Any) -> list[tuple[Any, Any]]:
    return (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value))
        if isinstance(value, list)
        else []
    )


def _take_out(holder: Any, item: Any) -> None:
    key = next(key for key, value in _entries(holder) if value is item)
    del holder[key]


def _as_fhirpath(document: Any, parts: list[str]) -> str:
    """A JSON Pointer as the FHIRPath an OperationOutcome speaks in: /name/0/given/1 → Patient.name[0].given[1]."""
    if not isinstance(document, dict) or "resourceType" not in document:
        return ""
    steps = (f"[{part}]" if part.isdecimal() else f".{part.lstrip('_')}" for part in parts if part != "-")
    return f"{document['resourceType']}{''.join(steps)}"


# === FHIRPath Patch ===============================================================================================


def apply_fhirpath_patch(
    resource: Json,
    parameters: Json,
    shape: Shape,
    *,
    operations_max: int = OPERATIONS_MAX,
    depth_max: int = DEPTH_MAX,
) -> Json:
    """`resource` after the operations in `parameters` (FHIR R4 fhirpatch.html). `resource` is not changed.

    `parameters` is a Parameters resource with one parameter `operation` for each operation, whose parts are `type`
    (add, insert, delete, replace, move), `path`, and by type `name`, `value`, `index`, `source`, `destination`. A
    `value` is a `value[x]`, a `resource` (for elements that hold one), or parts named after the children of an
    element whose type has no `value[x]`. `replace` replaces the whole element, a primitive's extensions included;
    `delete` of what is not there changes nothing; what it leaves empty goes too.

    Raises Rejected. BAD_REQUEST: `parameters` is not such a resource or has more than `operations_max` operations, a path
    is not FHIRPath, names an element that does not exist or does work beyond bounds, the resource would change its
    id. UNPROCESSABLE: a path leads to no element or to several, the element is already there, an index is out of
    bounds, a value is of the wrong type, the result nests deeper than `depth_max`.
    """
    operations = list(_read_operations(parameters, shape, operations_max))
    patched = copy.deepcopy(resource)
    steps = Steps()
    for operation in operations:
        try:
            _OPERATIONS[operation.type].apply(_Target(patched, shape, steps, operation))
        except BadPathError as error:
            raise operation.malformed(Kind.VALUE, str(error)) from None
    _check_same_resource(resource, patched)
    _check_depth(patched, depth_max)
    return patched


@dataclass(frozen=True, slots=True)
class _Value:
    """A value to put somewhere: a `value[x]` of a FHIR type with its companion, a resource, or parts."""

    type: str = ""  # empty for parts
    data: Any = None
    companion: Json | None = None
    parts: tuple[tuple[str, _Value], ...] = ()

    @property
    def what(self) -> str:
        return f"a {self.type}" if self.type else "given as parts"


@dataclass(frozen=True, slots=True)
class _Operation:
    """One operation of a FHIRPath Patch, well formed."""

    number: int
    type: str
    path: str
    name: str
    index: int
    source: int
    destination: int
    value: _Value

    @property
    def title(self) -> str:
        return f"operation[{self.number}] ({self.type} {self.path})"

    def malformed(self, kind: Kind, reason: str) -> Rejected:
        return refuse(Refusal.BAD_REQUEST, kind, f"{self.title}: {reason}.", self.path)

    def refused(self, kind: Kind, reason: str) -> Rejected:
        return refuse(Refusal.UNPROCESSABLE, kind, f"{self.title}: {reason}.", self.path)


@dataclass(frozen=True, slots=True)
class _Target:
    """The resource being changed, and the operation at work on it."""

    resource: Json
    shape: Shape
    steps: Steps
    operation: _Operation

    def one(self, places: list[Place]) -> Place:
        """The single place; else refused: "the FHIRPath statement must return a single element"."""
        if not places:
            raise self.operation.refused(Kind.NOT_FOUND, "the path leads to no element of this resource")
        if len(places) > 1:
            reason = f"the path leads to {len(places)} elements, and must lead to one"
            raise self.operation.refused(Kind.MULTIPLE_MATCHES, reason)
        return places[0]

    def element(self) -> Place:
        return self.one(self.elements())

    def elements(self) -> list[Place]:
        return locate(self.resource, self.operation.path, self.shape, self.steps).places

    def the_list(self) -> tuple[Json, str, ElementShape]:
        """The one list the path names: its holder, its JSON property, what it holds."""
        holders, step = locate_list(self.resource, self.operation.path, self.shape, self.steps)
        holder = self.one(holders.places)
        for name, element in named(self.shape, holder.type, step).items():
            if element.is_list:
                return _content_for_writing(holder), name, element
        raise self.operation.refused(Kind.VALUE, f"{step} does not repeat, and only a list has positions")

    def check_index(self, part: str, index: int, last: int) -> None:
        if not 0 <= index <= last:
            counted = f"must be between 0 and {last} here" if last >= 0 else "is of no use, the list is empty"
            raise self.operation.refused(Kind.VALUE, f"{part} is {index} and {counted}")


# --- the five operations ------------------------------------------------------------------------------------------


def _add(target: _Target) -> None:
    place = target.element()
    holder = place.content or _content_for_writing(place)
    _put(target, holder, place.type, target.operation.name, target.operation.value)


def _insert(target: _Target) -> None:
    holder, name, element = target.the_list()
    rows = _rows(holder, name)
    target.check_index("index", target.operation.index, len(rows))
    _check_type(target, {name: element}, target.operation.value)
    rows.insert(target.operation.index, _row(target, element, target.operation.value))
    _write_rows(holder, name, rows)


def _delete(target: _Target) -> None:
    places = target.elements()
    if places:  # "Path of the element to delete (if found)"
        place = target.one(places)
        if place.up is None:
            raise target.operation.refused(Kind.VALUE, "a patch cannot delete the resource itself")
        _remove(place)


def _replace(target: _Target) -> None:
    place, value = target.element(), target.operation.value
    if place.up is None:
        raise target.operation.refused(Kind.VALUE, "a patch cannot replace the resource itself")
    name, element = _check_type(target, named(target.shape, place.up.type, place.step), value)
    if name != place.name:
        _rename(place.holder, place.name, name)
    rows = _rows(place.holder, name)
    rows[place.index or 0] = _row(target, element, value)
    _write_rows(place.holder, name, rows, is_list=element.is_list)


def _move(target: _Target) -> None:
    holder, name, _ = target.the_list()
    rows = _rows(holder, name)
    target.check_index("source", target.operation.source, len(rows) - 1)
    target.check_index("destination", target.operation.destination, len(rows) - 1)
    rows.insert(target.operation.destination, rows.pop(target.operation.source))
    _write_rows(holder, name, rows)


@dataclass(frozen=True, slots=True)
class _OperationType:
    """What an operation of this type does, and the parts it must have beside `type` and `path`."""

    apply: Callable[[_Target], None]
    parts: frozenset[str]


_OPERATIONS = {
    "add": _OperationType(_add, frozenset({"name", "value"})),
    "insert": _OperationType(_insert, frozenset({"index", "value"})),
    "delete": _OperationType(_delete, frozenset()),
    "replace": _OperationType(_replace, frozenset({"value"})),
    "move": _OperationType(_move, frozenset({"source", "destination"})),
}


# --- putting values where they belong -----------------------------------------------------------------------------

# Types whose values may stand for one another where the element says otherwise: they are written alike, and the whole
# resource is validated afterwards. The official cases give a valueString for a xhtml and a valueDate for a dateTime.
_ALIKE = (
    frozenset({"string", "code", "id", "markdown", "xhtml", "uri", "url", "canonical", "oid", "uuid"}),
    frozenset({"date", "dateTime", "instant"}),
    frozenset({"integer", "unsignedInt", "positiveInt"}),
    frozenset({"Quantity", "Age", "Count", "Distance", "Duration"}),
)
_NUMBERS = frozenset({"integer", "unsignedInt", "positiveInt", "decimal"})


def _put(target: _Target, holder: Json, holder_type: str, step: str, value: _Value) -> None:
    """Append `value` to the list `step` of `holder`, or set it where it does not repeat and is not there yet."""
    variants = named(target.shape, holder_type, step)
    if not variants:
        raise target.operation.malformed(Kind.STRUCTURE, f"there is no element {step} in {holder_type}")
    name, element = _check_type(target, variants, value)
    if not element.is_list:
        choices = (
            named(target.shape, holder_type, element.choice.removesuffix("[x]"))
            if element.choice
            else variants
        )
        if any(choice in holder or f"_{choice}" in holder for choice in choices):
            raise target.operation.refused(
                Kind.DUPLICATE, f"{step} is there already and does not repeat; use replace"
            )
    rows = _rows(holder, name)
    _write_rows(holder, name, [*rows, _row(target, element, value)], is_list=element.is_list)


def _check_type(
    target: _Target, variants: dict[str, ElementShape], value: _Value
) -> tuple[str, ElementShape]:
    """The property among `variants` that takes `value`: "servers SHALL return an error if the type is wrong"."""
    for takes in (_takes_exactly, _takes_alike):
        for name, element in variants.items():
            if takes(element.type, value):
                return name, element
    wanted = sorted({element.type for element in variants.values()})
    listed = ", ".join(wanted[:5]) + (", …" if len(wanted) > 5 else "")
    raise target.operation.refused(Kind.VALUE, f"the value is {value.what}, where {listed} belongs")


def _takes_exactly(wanted: str, value: _Value) -> bool:
    return wanted == value.type


def _takes_alike(wanted: str, value: _Value) -> bool:
    if not value.type:  # parts make an element of any type that has children
        return not is_primitive(wanted) and wanted != "Resource"
    if wanted == "decimal":
        return value.type in _NUMBERS
    return any(wanted in alike and value.type in alike for alike in _ALIKE)


def _row(target: _Target, element: ElementShape, value: _Value) -> _Row:
    if value.type:
        return copy.deepcopy(value.data), copy.deepcopy(value.companion)
    built: Json = {}
    for step, part in value.parts:
        _put(target, built, element.type, step, part)
    return built, None


# An element as JSON writes it: its value, and the companion that stands beside a primitive (json.html#primitive). Of
# what repeats there is a row for each position, the two arrays filled up with null to the same length.
_Row = tuple[Any, "Json | None"]


def _rows(holder: Json, name: str) -> list[_Row]:
    data, beside = holder.get(name), holder.get(f"_{name}")
    if isinstance(data, list) or isinstance(beside, list):
        return list(zip_longest(data or (), beside or ()))
    return [] if data is None and beside is None else [(data, beside)]


def _write_rows(holder: Json, name: str, rows: list[_Row], *, is_list: bool = True) -> None:
    for key, column in ((name, [data for data, _ in rows]), (f"_{name}", [beside for _, beside in rows])):
        if all(item is None for item in column):
            holder.pop(key, None)
        else:
            holder[key] = column if is_list else column[0]


def _rename(holder: Json, old: str, new: str) -> None:
    """Give a choice its new property, where the old one stood."""
    names = {old: new, f"_{old}": f"_{new}"}
    items = [(names.get(name, name), value) for name, value in holder.items()]
    holder.clear()
    holder.update(items)


def _remove(place: Place) -> None:
    """Take the element out, and every element above that has nothing left in it."""
    doomed: Place | None = place
    while doomed is not None and doomed.up is not None:
        rows = _rows(doomed.holder, doomed.name)
        del rows[doomed.index or 0]
        _write_rows(doomed.holder, doomed.name, rows, is_list=doomed.index is not None)
        doomed = _without_emptied_companion(doomed.up) if not doomed.up.content else None


def _without_emptied_companion(place: Place) -> Place | None:
    """`place` if nothing is left of it; a primitive that still has its value loses its empty companion only."""
    if not place.is_primitive or place.data is None:
        return place
    rows = _rows(place.holder, place.name)
    rows[place.index or 0] = (place.data, None)
    _write_rows(place.holder, place.name, rows, is_list=place.index is not None)
    return None


def _content_for_writing(place: Place) -> Json:
    """The object that holds the children of `place`; beside a primitive that has none yet, a new companion."""
    if place.content or not place.is_primitive:
        return place.content
    companion: Json = {}
    rows = _rows(place.holder, place.name)
    rows[place.index or 0] = (place.data, companion)
    _write_rows(place.holder, place.name, rows, is_list=place.index is not None)
    return companion


# --- reading the Parameters ---------------------------------------------------------------------------------------

_PARTS = ("type", "path", "name", "value", "index", "source", "destination")
_NO_VALUE = _Value()


def _read_operations(parameters: Json, shape: Shape, operations_max: int) -> Iterator[_Operation]:
    if not isinstance(parameters, dict) or parameters.get("resourceType") != "Parameters":
        raise _bad_patch(Kind.STRUCTURE, "A FHIRPath Patch is a Parameters resource (fhirpatch.html).")
    operations = parameters.get("parameter", [])
    if not isinstance(operations, list):
        raise _bad_patch(Kind.STRUCTURE, "Parameters.parameter must be a JSON array.", "Parameters.parameter")
    _check_count(len(operations), operations_max)
    for number, parameter in enumerate(operations):
        yield _OperationReader(number, shape).read(parameter)


class _OperationReader:
    """Reads the parts of one operation; knows its number, to say where something is wrong."""

    def __init__(self, number: int, shape: Shape) -> None:
        self.title = f"operation[{number}]"
        self.expression = f"Parameters.parameter[{number}]"
        self.number = number
        self.shape = shape
        self.value_types = shape.type("Parameters.parameter").elements

    def read(self, parameter: object) -> _Operation:
        if not isinstance(parameter, dict) or parameter.get("name") != "operation":
            self.wrong(Kind.VALUE, 'each parameter of a patch is named "operation"')
        given = dict(self.parts(parameter))
        type_name = self.text(given, "type")
        if type_name not in _OPERATIONS:
            self.wrong(
                Kind.NOT_SUPPORTED, f"its type must be one of {', '.join(_OPERATIONS)}, not {type_name!r}"
            )
        self.title = f"{self.title} ({type_name})"
        self.check_parts(set(given), _OPERATIONS[type_name].parts | {"type", "path"})
        return _Operation(
            number=self.number,
            type=type_name,
            path=self.text(given, "path"),
            name=self.text(given, "name") if "name" in given else "",
            index=self.whole(given, "index") if "index" in given else -1,
            source=self.whole(given, "source") if "source" in given else -1,
            destination=self.whole(given, "destination") if "destination" in given else -1,
            value=self.value(given["value"], "value") if "value" in given else _NO_VALUE,
        )

    def parts(self, parameter: Json) -> Iterator[tuple[str, Json]]:
        seen: set[str] = set()
        parts = parameter.get("part", [])
        if not isinstance(parts, list):
            self.wrong(Kind.STRUCTURE, "its part must be a JSON array")
        for part in parts:
            name = part.get("name") if isinstance(part, dict) else None
            if name not in _PARTS:
                self.wrong(Kind.NOT_SUPPORTED, f"a part is named {name!r}, and may be {', '.join(_PARTS)}")
            if name in seen:
                self.wrong(Kind.DUPLICATE, f"it has the part {name} twice")
            seen.add(name)
            yield name, part

    def check_parts(self, given: set[str], wanted: frozenset[str]) -> None:
        if missing := sorted(wanted - given):
            self.wrong(Kind.REQUIRED, f"it lacks its part {missing[0]}")
        if beyond := sorted(given - wanted):
            self.wrong(Kind.NOT_SUPPORTED, f"this type of operation has no part {beyond[0]}")

    def text(self, given: dict[str, Json], name: str) -> str:
        # type is a code and the others are strings; clients take the one for the other
        part = given.get(name, {})
        text = part.get("valueString", part.get("valueCode"))
        if not isinstance(text, str) or not text:
            self.wrong(
                Kind.REQUIRED,
                f"its part {name} must have a {'valueCode' if name == 'type' else 'valueString'}",
            )
        return text

    def whole(self, given: dict[str, Json], name: str) -> int:
        part = given[name]
        number = part.get("valueInteger", part.get("valueUnsignedInt", part.get("valuePositiveInt")))
        if not isinstance(number, int) or isinstance(number, bool):
            self.wrong(Kind.VALUE, f"its part {name} must have a valueInteger")
        return number

    def value(self, part: Json, name: str) -> _Value:
        """The value of one part: exactly one of value[x] (with or without its companion), resource, part."""
        keys = {key.removeprefix("_") for key in part if key.removeprefix("_").startswith("value")}
        kinds = [*keys, *({"resource", "part"} & part.keys())]
        if len(kinds) != 1:
            self.wrong(
                Kind.REQUIRED,
                f"its part {name} must have one value[x], resource or part, and has {len(kinds)}",
            )
        if kinds == ["part"]:
            return _Value(parts=tuple(self.children(part["part"], name)))
        if kinds == ["resource"]:
            return _Value("Resource", part["resource"])
        return self.typed_value(part, kinds[0], name)

    def typed_value(self, part: Json, key: str, name: str) -> _Value:
        element = self.value_types.get(key)
        if element is None:
            self.wrong(Kind.STRUCTURE, f"its part {name} has a {key}, and FHIR R4 has no such value[x]")
        data, companion = part.get(key), part.get(f"_{key}")
        if is_primitive(element.type):
            fits = not isinstance(data, dict | list) and isinstance(companion, dict | None)
        else:
            fits = isinstance(data, dict) and companion is None
        if not fits or data in ({}, None) and not companion:
            self.wrong(Kind.STRUCTURE, f"the {key} of its part {name} is not written as a {element.type}")
        return _Value(element.type, data, companion)

    def children(self, parts: object, name: str) -> Iterator[tuple[str, _Value]]:
        if not isinstance(parts, list) or not parts:
            self.wrong(
                Kind.STRUCTURE, f"the part of its part {name} must be a JSON array with something in it"
            )
        for part in parts:
            child = part.get("name") if isinstance(part, dict) else None
            if not isinstance(child, str):
                self.wrong(Kind.REQUIRED, f"each part in its part {name} must have a name")
            yield child, self.value(part, f"{name}.{child}")

    def wrong(self, kind: Kind, reason: str) -> NoReturn:
        raise _bad_patch(kind, f"{self.title}: {reason}.", self.expression)


# === both =========================================================================================================


def _bad_patch(kind: Kind, text: str, expression: str = "") -> Rejected:
    return refuse(Refusal.BAD_REQUEST, kind, text, expression)


def _check_count(count: int, operations_max: int) -> None:
    if count > operations_max:
        text = f"The patch has {count} operations, and this server takes {operations_max}."
        raise _bad_patch(Kind.TOO_COSTLY, text)


def _check_same_resource(before: Json, after: Any) -> None:
    """A patch may change a resource, and not make it another one (FHIR R4 http.html#update: 400 where the id differs)."""
    issues = [
        Issue(Kind.VALUE, f"A patch may not change the {name} of a resource.", name)
        for name in ("resourceType", "id")
        if not isinstance(after, dict) or before.get(name) != after.get(name)
    ]
    if issues:
        raise Rejected(Refusal.BAD_REQUEST, *issues)


def _check_depth(document: Any, depth_max: int) -> None:
    level, depth = [document], 0
    while level:
        depth += 1
        level = [child for item in level for _, child in _entries(item) if isinstance(child, dict | list)]
        if depth > depth_max:
            text = f"The patch makes the resource nest deeper than the {depth_max} levels this server takes."
            raise refuse(Refusal.UNPROCESSABLE, Kind.TOO_COSTLY, text)

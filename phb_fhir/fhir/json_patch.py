"""JSON Patch: RFC 6902 over any JSON value, by way of the jsonpatch library.

jsonpatch does the work; what stands around it here is what it leaves to its callers. It knows an operation that is
not standard (`append`). Its messages quote whole documents, and these hold what concerns nobody else. And it has no
bounds: thirty `copy` operations, each of the whole document into itself, make a thousand million documents of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jsonpatch import JsonPatch, JsonPatchException, JsonPatchTestFailed, JsonPointer, JsonPointerException

from phb_fhir.outcome import Kind, Refusal, Rejected, refuse

COPIED_MAX = 100_000  # JSON values that the `copy` operations of one patch may add
_QUOTED_MAX = 200  # characters of a pointer that a refusal repeats

# What each operation needs beside its path (RFC 6902 §4).
_NEEDS = {"add": "value", "remove": "", "replace": "value", "move": "from", "copy": "from", "test": "value"}
_NOTHING = object()


def patched(document: Any, patch: object, operations_max: int, *, drops_emptied: bool = False) -> Any:
    """`document` after `patch`, changed in place as far as it can be.

    With `drops_emptied`, arrays and objects from which `remove` or `move` has taken the last element are left out.

    Raises Rejected: BAD_REQUEST for a patch that is no JSON Patch or has more than `operations_max` operations,
    UNPROCESSABLE for an operation that does not fit `document`.
    """
    emptied: dict[int, Any] = {}  # by id; the values keep them alive, so that no id is used again
    copied = 0
    for operation in _read(patch, operations_max):
        if operation.op == "copy":
            copied += _size(_at(document, operation.source), COPIED_MAX)
            if copied > COPIED_MAX:
                raise operation.refused(Kind.TOO_COSTLY, "the patch copies more than this server does", document)
        losers = [_at(document, _parent(pointer)) for pointer in operation.takes_from]
        document = _apply(document, operation)
        emptied.update((id(loser), loser) for loser in losers)
    if drops_emptied:
        _drop(document, emptied)
    return document


@dataclass(frozen=True, slots=True)
class _Operation:
    """One operation, well formed. `path` and `source` (of move and copy) are JSON Pointers."""

    number: int
    op: str
    path: Any
    source: Any
    content: dict[str, Any]

    @property
    def takes_from(self) -> list[Any]:
        """The place something is taken from, if any."""
        return {"remove": [self.path], "move": [self.source]}.get(self.op, [])

    def refused(self, kind: Kind, reason: str, document: Any) -> Rejected:
        title = f"operation[{self.number}] ({self.op} {_quoted(self.path) or 'the whole document'})"
        expression = _as_fhirpath(document, self.path.parts)
        return refuse(Refusal.UNPROCESSABLE, kind, f"{title}: {reason}.", expression)


def _apply(document: Any, operation: _Operation) -> Any:
    try:
        return JsonPatch([operation.content]).apply(document, in_place=True)
    except JsonPatchTestFailed:
        nothing = _at(document, operation.path) is _NOTHING
        reason = "there is nothing there" if nothing else "the value there is another"
        raise operation.refused(Kind.CONFLICT, f"the test failed, {reason}", document) from None
    except (JsonPatchException, JsonPointerException):
        raise operation.refused(Kind.NOT_FOUND, _why_not(document, operation), document) from None
    except RecursionError:
        raise operation.refused(Kind.TOO_COSTLY, "what it copies nests too deeply", document) from None


def _read(patch: object, operations_max: int) -> list[_Operation]:
    if not isinstance(patch, list):
        raise _wrong(Kind.STRUCTURE, "A JSON Patch document is a JSON array of operations (RFC 6902 §3)")
    if len(patch) > operations_max:
        text = f"The patch has {len(patch)} operations, and this server takes {operations_max}"
        raise _wrong(Kind.TOO_COSTLY, text)
    return [_read_operation(f"operation[{number}]", number, content) for number, content in enumerate(patch)]


def _read_operation(title: str, number: int, content: object) -> _Operation:
    if not isinstance(content, dict):
        raise _wrong(Kind.STRUCTURE, f"{title}: an operation is a JSON object")
    op = content.get("op")
    if not isinstance(op, str) or op not in _NEEDS:
        raise _wrong(Kind.NOT_SUPPORTED, f'{title}: "op" must be one of {", ".join(_NEEDS)}')
    title = f"{title} ({op})"
    path = _read_pointer(title, content, "path")
    source = _read_pointer(title, content, "from") if _NEEDS[op] == "from" else None
    if _NEEDS[op] == "value" and "value" not in content:
        raise _wrong(Kind.REQUIRED, f'{title}: it lacks its "value"')
    return _Operation(number, op, path, source, content)


def _read_pointer(title: str, content: dict[str, Any], name: str) -> Any:
    pointer = content.get(name)
    if not isinstance(pointer, str):
        raise _wrong(Kind.REQUIRED, f'{title}: it lacks its "{name}", a JSON Pointer')
    try:
        return JsonPointer(pointer)
    except JsonPointerException:
        rule = 'a JSON Pointer starts with "/", and "~" stands in it as "~0" or "~1" only (RFC 6901)'
        raise _wrong(Kind.VALUE, f'{title}: "{name}" is {pointer[:_QUOTED_MAX]!r}; {rule}') from None


def _wrong(kind: Kind, text: str) -> Rejected:
    return refuse(Refusal.BAD_REQUEST, kind, f"{text}.")


def _why_not(document: Any, operation: _Operation) -> str:
    path, source = operation.path, operation.source
    if source is not None and _at(document, source) is _NOTHING:
        return f"there is nothing at {_quoted(source)}"
    if operation.op == "move" and path.contains(source):
        return "nothing can be moved into itself"
    if not path.parts:
        return "the whole document cannot be removed"
    holder = _at(document, _parent(path))
    if holder is _NOTHING:
        return f"there is nothing at {_quoted(_parent(path))} to change"
    if isinstance(holder, list):
        position = path.parts[-1][:_QUOTED_MAX]
        return f"{position!r} is no position that can be used; the array has {len(holder)} elements"
    if isinstance(holder, dict):
        return "there is nothing at that path"
    return f"{_quoted(_parent(path)) or 'the document'} is neither an object nor an array"


def _quoted(pointer: Any) -> str:
    text = str(pointer.path)
    return text if len(text) <= _QUOTED_MAX else f"{text[:_QUOTED_MAX]}…"


def _at(document: Any, pointer: Any) -> Any:
    """What stands at `pointer`, or `_NOTHING`. The "-" of an array is the element after its last, so nothing."""
    if pointer.parts[-1:] == ["-"] and isinstance(_at(document, _parent(pointer)), list):
        return _NOTHING
    return pointer.resolve(document, _NOTHING)


def _parent(pointer: Any) -> Any:
    return JsonPointer.from_parts(pointer.parts[:-1])


def _as_fhirpath(document: Any, parts: list[str]) -> str:
    """A JSON Pointer as the FHIRPath that an OperationOutcome speaks in: /name/0/family → Patient.name[0].family."""
    if not isinstance(document, dict) or "resourceType" not in document:
        return ""
    steps = (f"[{part}]" if part.isdecimal() else f".{part.removeprefix('_')}" for part in parts if part != "-")
    return f"{document['resourceType']}{''.join(steps)}"[:_QUOTED_MAX]


def _size(value: Any, stop_at: int) -> int:
    """How many JSON values `value` is made of; past `stop_at` it is not counted to the end."""
    found = [value]
    for item in found:  # grows while it is read
        found.extend(child for _, child in _entries(item))
        if len(found) > stop_at:
            break
    return len(found)


def _drop(document: Any, emptied: dict[int, Any]) -> None:
    """Leave out what is in `emptied` and empty now, and what becomes empty by that."""
    inside = [(document, item) for _, item in _entries(document)]
    for _, item in inside:  # grows while it is read: what holds comes before what it holds
        inside.extend((item, child) for _, child in _entries(item))
    for holder, item in reversed(inside):
        if isinstance(item, dict | list) and not item and id(item) in emptied:
            del holder[next(key for key, value in _entries(holder) if value is item)]
            emptied[id(holder)] = holder


def _entries(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []

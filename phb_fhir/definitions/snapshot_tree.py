"""The elements of a StructureDefinition as the tree they describe.

FHIR lists them flat, each with its whole path, and slices follow the element they slice (R4 profiling.html, Slicing). Merging
is easier on a tree, where a slice hangs on its element and both have children of their own: nothing has to count rows.
`parse_snapshot` reads the complete list of a snapshot, `parse_differential` the sparse one of a differential, and `write`
makes a list again, giving every element its path and its id (R4 elementdefinition.html, Element ids).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

ElementDefinition = dict[str, Any]

_NESTED_MAX = 48  # levels of elements in one definition
ROWS_MAX = 10_000  # elements that one list of them may have; the largest that are published have some thousands
SLICES_MAX = 1_000  # of one element
NODES_MAX = 30_000  # elements that are copied for one snapshot: a row of a differential may ask for a hundred
_ROW_VALUES_MAX = 5_000  # texts, numbers and the like in one row
_WRITTEN_VALUES_MAX = 3_000_000  # the same in one snapshot
_PLACED = ("id", "path", "sliceName")  # said by the place in the tree
# The order in which R4 elementdefinition.html lists the properties; a choice such as fixed[x] stands for all its spellings.
_ORDER = (
    "id", "extension", "modifierExtension", "path", "representation", "sliceName", "sliceIsConstraining", "label", "code",
    "slicing", "short", "definition", "comment", "requirements", "alias", "min", "max", "base", "contentReference", "type",
    "defaultValue[x]", "meaningWhenMissing", "orderMeaning", "fixed[x]", "pattern[x]", "example", "minValue[x]",
    "maxValue[x]", "maxLength", "condition", "constraint", "mustSupport", "isModifier", "isModifierReason", "isSummary",
    "binding", "mapping",
)  # fmt: skip
_RANK = {name: rank for rank, name in enumerate(_ORDER)}
_CHOICES = tuple(name.removesuffix("[x]") for name in _ORDER if name.endswith("[x]"))


class SnapshotFailed(Exception):  # noqa: N818 - the fault is in a definition, not in us
    """A snapshot that cannot be made: a sentence that says what is wrong and what would be right, and the id of the element.

    `path` is written as an element id, so that a slice is named: `Patient.identifier:nhsNumber.system`.
    """

    def __init__(self, sentence: str, path: str) -> None:
        super().__init__(sentence, path)
        self.sentence = sentence
        self.path = path

    def __str__(self) -> str:
        return f"{self.path}: {self.sentence}" if self.path else self.sentence


@dataclass(slots=True)
class Node:
    """One element: its name in its parent, what its definition says, its children, and its slices.

    `element` lacks what the place says (id, path, sliceName). The values in it are shared with the definitions read and are
    never changed in place. `slices` holds the slices of slices too (`name/part`), each after the one it belongs to.
    `stated` is false for an element a differential passes through without a row of its own.
    """

    name: str
    element: ElementDefinition = field(default_factory=dict)
    slice_name: str = ""
    children: list[Node] = field(default_factory=list)
    slices: list[Node] = field(default_factory=list)
    stated: bool = True

    def child(self, name: str) -> Node | None:
        return next((child for child in self.children if child.name == name), None)

    def slice(self, name: str) -> Node | None:
        return next((piece for piece in self.slices if piece.slice_name == name), None)

    def at(self, id_: str) -> Node | None:
        """The element of this id, in the tree this is the root of."""
        found: Node | None = self
        for step in id_.split(".")[1:]:
            name, _, piece = step.partition(":")
            found = found.child(name) if found else None
            found = found.slice(piece) if found and piece else found
        return found

    def add_slice(self, piece: Node, *, after: str) -> None:
        """Put a slice last, or where it is a slice of the slice `after`, last among those."""
        if len(self.slices) >= SLICES_MAX:
            raise SnapshotFailed(f"it has more than {SLICES_MAX} slices", self.name)
        places = (
            [i for i, other in enumerate(self.slices) if f"{other.slice_name}/".startswith(f"{after}/")]
            if after
            else []
        )
        self.slices.insert(places[-1] + 1 if after else len(self.slices), piece)

    def size(self) -> int:
        """How many elements it is, with everything below it."""
        return 1 + sum(child.size() for child in self.children) + sum(piece.size() for piece in self.slices)

    @property
    def is_choice(self) -> bool:
        return self.name.endswith("[x]")

    def copy(self) -> Node:
        """The element with everything below it; the values inside the definitions stay shared."""
        return Node(
            self.name,
            dict(self.element),
            self.slice_name,
            [child.copy() for child in self.children],
            [piece.copy() for piece in self.slices],
            self.stated,
        )

    def segment(self) -> str:
        """Its part of an element id: `identifier:nhsNumber`."""
        return f"{self.name}:{self.slice_name}" if self.slice_name else self.name


# ---- reading -------------------------------------------------------------------------------------


def parse_snapshot(rows: list[ElementDefinition]) -> Node:
    """The tree of a snapshot: every element has a row, and a slice has its sliceName."""
    if not rows:
        raise SnapshotFailed("the snapshot has no elements", "")
    _check_number(rows)
    root = Node(rows[0]["path"], _definition(rows[0]))
    above = [root]
    for row in rows[1:]:
        *parents, name = row["path"].split(".")
        if not 0 < len(parents) <= len(above):
            raise SnapshotFailed("its parent has no row before it in the snapshot", row["path"])
        _check_depth(row["path"])
        del above[len(parents) :]
        node = Node(name, _definition(row), row.get("sliceName", ""))
        _hang(node, above[-1])
        above.append(node)
    return root


def _hang(node: Node, parent: Node) -> None:
    entry = parent.child(node.name) if node.slice_name else None
    (entry.slices if entry else parent.children).append(node)
    if entry is None:
        node.slice_name = ""


def parse_differential(rows: list[ElementDefinition], type_: str) -> Node:
    """The tree of a differential for `type_`: only what it says, with the elements on the way there.

    A row belongs to the slice its id names; where it has no usable id, to the slice the rows before it were in. Raises
    SnapshotFailed for a row outside the type, a second row about one element, and a cardinality that is none.
    """
    root = Node(type_, stated=False)
    before: list[tuple[str, str]] = []
    places: _Places = {}
    _check_number(rows)
    for row in rows:
        path = row.get("path") or ""
        names = path.split(".")
        if names[0] != type_ or not all(names):
            raise SnapshotFailed(
                f'a path starts with the type "{type_}" and names every step, and this is "{path}"', path
            )
        _check_depth(path)
        _check_cardinality(row)
        before = _steps(row, names, before)
        _state(root, before, row, places)
    return root


_Places = dict[tuple[int, str, str], Node]  # a child by its parent's id(), name, and slice


def _state(root: Node, steps: list[tuple[str, str]], row: ElementDefinition, places: _Places) -> None:
    node = root
    for name, slice_name in steps[1:]:
        child = places.get((id(node), name, ""))
        if child is None:
            child = places[id(node), name, ""] = Node(name, stated=False)
            node.children.append(child)
        piece = places.get((id(node), name, slice_name))
        if piece is None:
            piece = places[id(node), name, slice_name] = Node(name, slice_name=slice_name, stated=False)
            child.add_slice(piece, after="")
        node = piece
    if node.stated:
        ids = ".".join(f"{name}:{piece}" if piece else name for name, piece in steps)
        raise SnapshotFailed("the differential has a second row for it; a slice is told apart by its sliceName", ids)
    node.stated, node.element = True, _definition(row)


def _check_number(rows: list[ElementDefinition]) -> None:
    if len(rows) > ROWS_MAX:
        raise SnapshotFailed(f"it has {len(rows)} elements, and {ROWS_MAX} are the most", rows[0].get("path", ""))


def _check_depth(path: str) -> None:
    if path.count(".") > _NESTED_MAX:
        raise SnapshotFailed(f"it lies more than {_NESTED_MAX} levels deep", path)


def _check_cardinality(row: ElementDefinition) -> None:
    least, most = row.get("min", 0), row.get("max", "*")
    if type(least) is not int or least < 0 or type(most) is not str or not (most == "*" or most.isdecimal()):
        raise SnapshotFailed(
            f'its cardinality is {least}..{most}; min is a whole number, max one as text or "*"', row["path"]
        )


def _steps(row: ElementDefinition, names: list[str], before: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The steps to a row, as names with the slice each one is in."""
    own = row.get("sliceName", "")
    segments = [segment.partition(":")[::2] for segment in row.get("id", "").split(".")]
    if len(segments) == len(names) and all(_same_name(a, b) for (a, _), b in zip(segments, names, strict=True)):
        steps = segments
    else:
        steps = [(name, "") for name in names]
        for place, (name, slice_name) in enumerate(before[: len(names) - 1]):
            if name != names[place]:
                break
            steps[place] = (name, slice_name)
    return [*steps[:-1], (steps[-1][0], own or steps[-1][1])]


def _same_name(in_id: str, in_path: str) -> bool:
    return in_id == in_path or (in_id.endswith("[x]") and in_path.startswith(in_id[:-3]))


def _definition(row: ElementDefinition) -> ElementDefinition:
    if _values_in(row) > _ROW_VALUES_MAX:
        raise SnapshotFailed(f"it says more than {_ROW_VALUES_MAX} things of one element", row.get("path", ""))
    return {key: value for key, value in row.items() if key not in _PLACED}


# ---- writing -------------------------------------------------------------------------------------


def write(root: Node) -> list[ElementDefinition]:
    """The elements of the tree in order, sharing nothing with it."""
    known: dict[int, int] = {}  # most values are shared by many elements
    written = 0
    for node, id_, _ in _walk(root, root.name, root.name):
        for value in node.element.values():
            if id(value) not in known:
                known[id(value)] = _values_in(value)
            written += known[id(value)]
        if written > _WRITTEN_VALUES_MAX:
            raise SnapshotFailed(f"the snapshot would say more than {_WRITTEN_VALUES_MAX} things", id_)
    return [_row(node, id_, path) for node, id_, path in _walk(root, root.name, root.name)]


def _walk(node: Node, id_: str, path: str) -> Iterator[tuple[Node, str, str]]:
    yield node, id_, path
    for child in node.children:
        for piece in (child, *child.slices):
            yield from _walk(piece, f"{id_}.{piece.segment()}", f"{path}.{piece.name}")


def _row(node: Node, id_: str, path: str) -> ElementDefinition:
    row: ElementDefinition = {"id": id_, "path": path, **node.element}
    if node.slice_name:
        row["sliceName"] = node.slice_name
    return {key: _copied(row[key]) for key in sorted(row, key=_rank)}


def _rank(key: str) -> tuple[int, bool]:
    name = key.removeprefix("_")
    if name in _RANK:
        return _RANK[name], key.startswith("_")
    choice = next((stem for stem in _CHOICES if name.startswith(stem)), "")
    return _RANK.get(f"{choice}[x]", len(_RANK)), key.startswith("_")


def _values_in(value: Any) -> int:
    if type(value) is dict:
        return 1 + sum(map(_values_in, value.values()))
    return 1 + sum(map(_values_in, value)) if type(value) is list else 1


def _copied(value: Any) -> Any:
    if type(value) is dict:
        return {key: _copied(item) for key, item in value.items()}
    if type(value) is list:
        return [_copied(item) for item in value]
    return value

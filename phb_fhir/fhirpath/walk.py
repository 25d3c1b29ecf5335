"""Walking through a resource for FHIRPath: children by name or all of them, each with its type, twins beside values.

What an expression may know of the world around it is here too: the resource, what references lead to, the terminology
(`Surroundings`), and what one evaluation keeps on its way (`Evaluation`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, TypeVar, cast

from phb_fhir.fhirpath.values import NOTHING, Item, Items, Steps

if TYPE_CHECKING:
    from datetime import date

    from phb_fhir.definitions.load import Definitions, TypeDef

Code: TypeAlias = "Callable[[Items, Items, Evaluation], Items]"  # (focus, $this, evaluation) → collection

T = TypeVar("T")

STEPS_MAX = 1_000_000  # of all the expressions of one validation; a step is about a microsecond
STEPS_OF_EACH_VALUE = 10  # and so many for each JSON value of a resource for which that was not enough


class Surroundings(Protocol):
    """The resource around the element being checked, and what is at hand; `frame.Frame` is one."""

    @property
    def resource(self) -> dict[str, Any]:
        """%resource: the nearest resource, which may be a contained one."""

    @property
    def root(self) -> dict[str, Any]:
        """%rootResource: the container of a contained resource, else the resource itself."""

    @property
    def definitions(self) -> Definitions: ...

    @property
    def terminology(self) -> Any:
        """`.validate_code(value_set, system, code, display)` gives something with `.valid`: True, False, None;
        `.parts_of(value_set)` says how much work that is.
        """

    @property
    def run(self) -> Run: ...

    def find(self, reference: str) -> Surroundings | None:
        """The resource a literal reference points to, where it is at hand."""

    def html_complaint(self, text: str) -> str | None:
        """What is wrong with the XHTML of a narrative, in a sentence; None when it is right."""

    def conforms_to(self, url: str, node: Any) -> bool | None:
        """Whether an element meets the profile; None where the profile is not known here."""


class Run(Protocol):
    """One validation, of a resource and all that is inside it."""

    @property
    def memory(self) -> dict[Any, Any]:
        """For what is found out on the way."""

    @property
    def today(self) -> date | None:
        """What `today()` answers; without it an expression that asks cannot be evaluated."""


class Evaluation:
    """One evaluation: where it began, and what it came to know on the way. `extension` is %extension, in rules of where one may stand.

    `unknown` collects what would have been needed and is not known here (codes of a system that is not loaded, a
    resource that is elsewhere). An answer that is not true while something is unknown decides nothing.
    """

    __slots__ = ("context", "extension", "frame", "index", "memo", "steps", "tables", "total", "unknown")

    def __init__(self, frame: Surroundings, context: Item, extension: Item | None = None) -> None:
        self.frame = frame
        self.context = context
        self.extension = extension
        memory = frame.run.memory
        shared = memory.get(Evaluation)
        if shared is None:
            shared = memory[Evaluation] = (frame.definitions.derived(Tables), Steps(STEPS_MAX))
        self.tables: Tables = shared[0]
        self.steps: Steps = shared[1]
        self.memo: dict[Code, Any] = {}
        self.unknown: list[str] = []
        self.index = 0
        self.total: Items = NOTHING

    def memory(self, *, of_root: bool = False) -> dict[Any, Any]:
        """What is worked out once for this resource, or for its container and all it contains."""
        key = (Evaluation, None if of_root else id(self.frame.resource), id(self.frame.root))
        return cast("dict[Any, Any]", self.frame.run.memory.setdefault(key, {}))

    def is_granted_more(self) -> bool:
        """Whether a large resource may have more steps: once, and in proportion to its size."""
        memory, key = self.frame.run.memory, (Steps, id(self.frame.resource))
        if key in memory:
            return False
        memory[key] = True
        found: list[Any] = [self.frame.resource]
        for value in found:  # grows while it is read, and ends because a resource does
            found.extend(value.values() if type(value) is dict else value if type(value) is list else ())
        self.steps.left = max(0, self.steps.left) + STEPS_OF_EACH_VALUE * len(found)
        return True


class Row(NamedTuple):
    """One JSON property of a type. `is_resource`: what type it is, only the value itself tells."""

    key: str
    twin: str
    type: str
    is_resource: bool


class Tables:
    """What navigation asks of the definitions, by type name; made when first asked for. An unknown type has nothing."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self.members: dict[str, Mapping[str, tuple[Row, ...]]] = _ByType(self._members, {})
        self.children: dict[str, Mapping[str, Row]] = _ByType(self._children, {})
        self.kinds: dict[str, frozenset[str]] = _ByType(self._kinds, frozenset())

    def _type(self, name: str) -> TypeDef | None:
        if not self._definitions.has_type(name.partition(".")[0]):
            return None
        try:
            return self._definitions.type(name)
        except KeyError:
            return None

    def _rows(self, type_name: str) -> list[tuple[str, Row]] | None:
        type_def = self._type(type_name)
        if type_def is None:
            return None
        return [
            (element.path_name, Row(element.name, f"_{element.name}", element.type, element.type in _ANY_RESOURCE))
            for element in type_def.elements.values()
        ]

    def _members(self, type_name: str) -> Mapping[str, tuple[Row, ...]] | None:
        rows = self._rows(type_name)
        if rows is None:
            return _OWN_MEMBERS.get(type_name)
        found: dict[str, tuple[Row, ...]] = {}
        for name, row in rows:
            found[name] = (*found.get(name, ()), row)
        return found

    def _children(self, type_name: str) -> Mapping[str, Row] | None:
        rows = self._rows(type_name)
        return None if rows is None else {row.key: row for _, row in rows}

    def _kinds(self, type_name: str) -> frozenset[str] | None:
        """Every name under which a value of this type answers to `is`, `as` and `ofType`."""
        if type_name.startswith("System."):
            plain = type_name.removeprefix("System.")
            return frozenset((type_name, plain, plain.lower()))
        names: list[str] = []
        above = self._type(type_name)
        while above is not None:
            names.append(above.name)
            above = self._type(above.base) if above.base else None
        as_system = [_AS_SYSTEM[name] for name in names if name in _AS_SYSTEM][:1]
        every = (*names, *(f"FHIR.{name}" for name in names), *as_system, *(f"System.{name}" for name in as_system))
        return frozenset(every) if every else None


class _ByType(dict[str, T]):
    """A table that fills up by itself, but only with types there are: a resource may claim to be anything."""

    def __init__(self, build: Callable[[str], T | None], without: T) -> None:
        super().__init__()
        self._build = build
        self._without = without

    def __missing__(self, type_name: str) -> T:
        found = self._build(type_name)
        if found is None:
            return self._without
        self[type_name] = found
        return found


_ANY_RESOURCE = frozenset(("Resource", "DomainResource"))
_OWN_MEMBERS: dict[str, Mapping[str, tuple[Row, ...]]] = {
    "System.TypeInfo": {
        "name": (Row("name", "_name", "System.String", is_resource=False),),
        "namespace": (Row("namespace", "_namespace", "System.String", is_resource=False),),
    },
}
# que-7 asks whether a valueBoolean `is Boolean`: FHIR's primitives answer to the System types they convert to by
# themselves (R4 fhirpath.html#types).
_AS_SYSTEM = {
    "boolean": "Boolean", "string": "String", "uri": "String", "base64Binary": "String", "xhtml": "String",
    "integer": "Integer", "decimal": "Decimal", "date": "Date", "dateTime": "DateTime", "instant": "DateTime",
    "time": "Time", "Quantity": "Quantity",
}  # fmt: skip


def item_of(value: Any, type_name: str, twin: Any = None) -> Item:
    """The item of a JSON value; a resource says itself what type it is."""
    if type(value) is dict and (not type_name or type_name in _ANY_RESOURCE):
        named = value.get("resourceType")
        type_name = named if type(named) is str else type_name
    return value, type_name, twin


# ---- steps ---------------------------------------------------------------------------------------


def member(name: str) -> Code:
    """The children of this name; a choice is found by its FHIRPath name, `value` for `valueQuantity`."""

    def code(focus: Items, _: Items, evaluation: Evaluation) -> Items:
        members = evaluation.tables.members
        found: Items = []
        for value, type_name, twin in focus:
            rows = members[type_name].get(name)
            if rows is None:
                continue
            content = value if type(value) is dict else twin
            if type(content) is not dict:
                continue
            for row in rows:
                if row.key in content or row.twin in content:
                    _add(found, content.get(row.key), row, content.get(row.twin))
        evaluation.steps.take(len(found) + 1)
        return found

    return code


def _add(found: Items, value: Any, row: Row, twin: Any) -> None:
    """Put what stands at one JSON property into `found`."""
    if type(value) is list or type(twin) is list:
        pairs = zip_longest(value if type(value) is list else (), twin if type(twin) is list else ())
        for item, beside in pairs:
            if item is not None or beside is not None:
                found.append(item_of(item, row.type, beside) if row.is_resource else (item, row.type, beside))
    elif value is not None or twin is not None:
        found.append(item_of(value, row.type, twin) if row.is_resource else (value, row.type, twin))


def children_of(item: Item, evaluation: Evaluation) -> Items:
    """All children of an element, extensions and id included, in the order of the JSON."""
    value, type_name, twin = item
    content = value if type(value) is dict else twin
    found: Items = []
    if type(content) is dict:
        rows = evaluation.tables.children[type_name]
        for key in content:
            row = rows.get(key)
            if row is None and key[:1] == "_" and key[1:] not in content:
                row = rows.get(key[1:])
            if row is not None:
                _add(found, content.get(row.key), row, content.get(row.twin))
    evaluation.steps.take(len(found) + 1)
    return found

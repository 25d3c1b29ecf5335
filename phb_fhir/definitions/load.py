"""The definitions of FHIR R4 4.0.1, as one frozen object.

`load()` gives it. The tables beside this file (`r4/`, compiled by `tools/compile_r4.py` from HL7's own
package) are read one type at a time, when that type is first asked for: a server that meets twenty types
holds twenty. Nothing here is guessed; what a table does not say, the package did not say.

Types are named as FHIR names them (`Patient`, `HumanName`, `date`) and, inside a type, by the path of their
element (`Patient.contact`, `Questionnaire.item`). Elements are found by their JSON property, so a choice is
spelled out: `Observation` has `valueQuantity`, `valueString` and the rest, each knowing that it is
`value[x]`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TypeKind = Literal["resource", "complex", "primitive", "backbone"]
T = TypeVar("T")

_R4 = Path(__file__).parent / "r4"

# The modifiers a parameter takes, by its type (R4 §3.1.1.4.4; the package itself names none).
SEARCH_MODIFIERS: dict[str, tuple[str, ...]] = {
    "number": ("missing",),
    "date": ("missing",),
    "string": ("missing", "exact", "contains"),
    "token": ("missing", "text", "not", "above", "below", "in", "not-in", "of-type"),
    "reference": (
        "missing",
        "identifier",
        "above",
        "below",
    ),  # and the name of a target type: `subject:Patient`
    "composite": ("missing",),
    "quantity": ("missing",),
    "uri": ("missing", "above", "below"),
    "special": (),
}


@dataclass(frozen=True, slots=True)
class Binding:
    """The codes an element may hold: `strength` is required, extensible, preferred or example (R4 §4.1.5).

    `largest` is the value set no code may leave even where the binding itself is loose
    (elementdefinition-maxValueSet).
    """

    strength: str
    value_set: str
    largest: str = ""


@dataclass(frozen=True, slots=True)
class Invariant:
    """A rule on a type or an element, as FHIRPath evaluated on it (R4 §5.1.0.8)."""

    key: str
    severity: str
    human: str
    expression: str


@dataclass(frozen=True, slots=True)
class Element:
    """One JSON property of a type.

    `min` and `max` are the definition's own, so each spelling of a required choice has `min` 1 and only one
    is needed. `targets` are the resource types a Reference or canonical may point to, empty where any may be.
    """

    name: str  # the JSON property: valueQuantity
    path_name: str  # what FHIRPath calls it: value
    type: str  # what to ask Definitions.type() for
    min: int
    max: int | None  # None: any number
    is_list: bool
    choice: str = ""  # value[x]
    targets: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()  # profiles of the type, such as SimpleQuantity
    binding: Binding | None = None
    is_summary: bool = False
    is_modifier: bool = False
    invariants: tuple[Invariant, ...] = ()


@dataclass(frozen=True, slots=True)
class TypeDef:
    """One type: its elements by JSON property, in the order FHIR lists them.

    `choices` holds each choice (`value[x]`) with its spellings. `pattern` is a primitive's regular expression
    as published. `invariants` are the type's own; those of `base` hold as well.
    """

    name: str
    kind: TypeKind
    base: str
    is_abstract: bool
    elements: Mapping[str, Element]
    choices: Mapping[str, tuple[str, ...]]
    pattern: str = ""
    invariants: tuple[Invariant, ...] = ()


@dataclass(frozen=True, slots=True)
class Component:
    """One part of a composite search parameter; `expression` starts from what the composite's own expression
    finds.
    """

    code: str
    type: str
    expression: str


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """One search parameter of one type. `expression` speaks of that type only; it is empty where FHIR gives
    none.

    `marks_missing`: the index says of a resource that it has no value, so that `:missing=true` is one look-up. So for
    parameters whose own definition lists the modifier `missing`.
    """

    base: str
    code: str
    type: str
    expression: str
    url: str
    description: str = ""
    target: tuple[str, ...] = ()
    components: tuple[Component, ...] = ()
    modifiers: tuple[str, ...] = ()
    marks_missing: bool = False


@dataclass(frozen=True, slots=True)
class Compartment:
    """Which resources belong to, say, a patient: each member type with the search parameters that lead there.

    The parameter `{def}` stands for the compartment's own resource (R4 §2.10).
    """

    code: str
    members: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Definitions:
    """Everything this server believes about FHIR. Frozen: what fills up inside is only a memory of tables
    read.
    """

    fhir_version: str
    resource_types: frozenset[str]
    complex_types: frozenset[str]
    primitive_types: frozenset[str]
    abstract_types: frozenset[str]
    folder: Path
    _types: dict[str, TypeDef] = field(default_factory=dict, repr=False)
    _derived: dict[Callable[[Definitions], Any], Any] = field(default_factory=dict, repr=False)

    def type(self, name: str) -> TypeDef:
        """The type of this name or element path. Raises KeyError for a name FHIR does not have."""
        found = self._types.get(name)
        if found is None:
            self._read_type(name.partition(".")[0])
            found = self._types[name]
        return found

    def has_type(self, name: str) -> bool:
        """Whether `name` is a type: resource, complex or primitive, abstract ones too."""
        return (
            name in self.resource_types
            or name in self.complex_types
            or name in self.primitive_types
            or name in self.abstract_types
        )

    def search_parameters(self, resource_type: str) -> Mapping[str, SearchParameter]:
        """By code, the parameters to search `resource_type` by, with those every resource has (`_id` and the
        like).
        """
        return self.derived(_search_parameters)(resource_type)

    def compartment(self, name: str) -> Compartment:
        """The compartment of this code (`Patient`). Raises KeyError when FHIR defines none."""
        return self.derived(_compartments)[name]

    def codes(self, value_set: str) -> Mapping[str, frozenset[str]] | None:
        """By code system, the codes of a value set with a required binding; None when they cannot be listed
        here.
        """
        return self.derived(_codes).get(value_set.partition("|")[0])

    def pattern(self, primitive: str) -> re.Pattern[str]:
        """The published regular expression of a primitive type, to be used with `fullmatch`."""
        return self.derived(_patterns)(primitive)

    def derived(self, build: Callable[[Definitions], T]) -> T:
        """`build(self)`, built once and kept as long as these definitions: for tables other rooms make of
        them.
        """
        if build not in self._derived:
            self._derived[build] = build(self)
        return cast("T", self._derived[build])

    def _read_type(self, owner: str) -> None:
        if not self.has_type(owner):
            raise KeyError(owner)
        rows = _read(self.folder / "types" / f"{owner}.json")
        self._types.update(_types_in(owner, rows, is_abstract=owner in self.abstract_types))


@cache
def load() -> Definitions:
    """The definitions of FHIR R4 4.0.1, always the same object."""
    return read(_R4)


def read(folder: Path) -> Definitions:
    """The definitions compiled into `folder`."""
    index = _read(folder / "index.json")
    return Definitions(
        fhir_version=index["fhirVersion"],
        resource_types=frozenset(index["resource"]),
        complex_types=frozenset(index["complex"]),
        primitive_types=frozenset(index["primitive"]),
        abstract_types=frozenset(index["abstract"]),
        folder=folder,
    )


def _read(path: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(path.read_bytes()))


# ---- types ---------------------------------------------------------------------------------------


def _types_in(owner: str, rows: dict[str, Any], *, is_abstract: bool) -> Iterator[tuple[str, TypeDef]]:
    """The type `owner` and the backbone types inside it, from the rows of its table."""
    head = rows.pop("")
    yield owner, _type(owner, head["kind"], head["base"], rows, head, is_abstract=is_abstract)
    for path, row in rows.items():
        if path in row["types"]:
            base = "Element" if f"{path}.modifierExtension" not in rows else "BackboneElement"
            yield path, _type(path, "backbone", base, rows, row, is_abstract=False)


def _type(
    name: str, kind: TypeKind, base: str, rows: dict[str, Any], head: dict[str, Any], *, is_abstract: bool
) -> TypeDef:
    mine = {path: row for path, row in rows.items() if path.rpartition(".")[0] == name}
    elements = {element.name: element for path, row in mine.items() for element in _elements(path, row)}
    choices: dict[str, tuple[str, ...]] = {}
    for element in elements.values():
        if element.choice:
            choices[element.choice] = (*choices.get(element.choice, ()), element.name)
    return TypeDef(name, kind, base, is_abstract, elements, choices, head.get("pattern", ""), _invariants(head))


def _elements(path: str, row: dict[str, Any]) -> Iterator[Element]:
    """One element, or each spelling of a choice: `value[x]` of string and Period is `valueString` and
    `valuePeriod`.
    """
    listed = path.rpartition(".")[2]
    path_name = listed.removesuffix("[x]")
    choice = listed if listed != path_name else ""
    largest = row.get("max", "1")
    is_backbone = path in row["types"]
    for type_name, targets in row["types"].items():
        yield Element(
            name=path_name + type_name[0].upper() + type_name[1:] if choice else path_name,
            path_name=path_name,
            type=type_name,
            min=row.get("min", 0),
            max=None if largest == "*" else int(largest),
            is_list=largest != "1",
            choice=choice,
            targets=tuple(targets),
            profiles=tuple(row.get("profiles", {}).get(type_name, ())),
            binding=Binding(*row["binding"]) if "binding" in row else None,
            is_summary=row.get("isSummary", False),
            is_modifier=row.get("isModifier", False),
            invariants=() if is_backbone else _invariants(row),
        )


def _invariants(row: dict[str, Any]) -> tuple[Invariant, ...]:
    return tuple(Invariant(*invariant) for invariant in row.get("invariants", ()))


# ---- what else is read when first asked for ------------------------------------------------------


def _search_parameters(definitions: Definitions) -> Callable[[str], Mapping[str, SearchParameter]]:
    @cache
    def of_base(base: str) -> dict[str, SearchParameter]:
        path = definitions.folder / "search" / f"{base}.json"
        return {code: _search_parameter(base, code, row) for code, row in _read(path).items()} if path.exists() else {}

    @cache
    def of_type(resource_type: str) -> Mapping[str, SearchParameter]:
        if resource_type not in definitions.resource_types:
            raise KeyError(resource_type)
        inherited = of_base("Resource")
        if definitions.type(resource_type).base == "DomainResource":
            inherited = {**inherited, **of_base("DomainResource")}
        return {**inherited, **of_base(resource_type)}

    return of_type


def _search_parameter(base: str, code: str, row: dict[str, Any]) -> SearchParameter:
    return SearchParameter(
        base=base,
        code=code,
        type=row["type"],
        expression=row["expression"],
        url=row["url"],
        description=row["description"],
        target=tuple(row.get("target", ())),
        components=tuple(Component(*component) for component in row.get("components", ())),
        modifiers=SEARCH_MODIFIERS[row["type"]],
    )


def _compartments(definitions: Definitions) -> dict[str, Compartment]:
    tables = {path.stem: _read(path) for path in sorted((definitions.folder / "compartments").glob("*.json"))}
    return {
        code: Compartment(code, {member: tuple(parameters) for member, parameters in rows.items()})
        for code, rows in tables.items()
    }


def _codes(definitions: Definitions) -> dict[str, dict[str, frozenset[str]]]:
    table = _read(definitions.folder / "codes.json")
    return {
        value_set: {system: frozenset(codes) for system, codes in systems.items()}
        for value_set, systems in table.items()
    }


def _patterns(definitions: Definitions) -> Callable[[str], re.Pattern[str]]:
    # The patterns are written for XML Schema, whose \s is blank, tab and line ends: ASCII comes closest.
    @cache
    def compiled(primitive: str) -> re.Pattern[str]:
        return re.compile(definitions.type(primitive).pattern or ".*", re.ASCII | re.DOTALL)

    return compiled

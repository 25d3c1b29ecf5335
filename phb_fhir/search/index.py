"""A resource becomes index values: what is stored beside its text so that MongoDB can find it (docs/search.md shows them).

What to look for is worked out once for a type (`_Plan`): the expressions of all its search parameters, laid together so that one
walk through the resource finds the values of them all (`search/routes`), each parameter's values then going to its kind
(`search/kinds`). Added to that are the compartments the resource is in, and which parameters it has no value for.

Nothing here raises on a resource, whatever shape it has: it may have been stored before today's rules.

Sources: R4 §3.1.1.4 (parameters), §2.10 (compartments).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from phb_fhir.definitions.load import SEARCH_MODIFIERS, Definitions, SearchParameter
from phb_fhir.definitions.search_parameters import SearchParameters
from phb_fhir.fhir.codec import Resource
from phb_fhir.fhirpath.values import is_primitive
from phb_fhir.search.expressions import Program, component_of, program_of
from phb_fhir.search.kinds import KINDS
from phb_fhir.search.kinds.kind import Index, OwnAddress, Value
from phb_fhir.search.kinds.token import keep
from phb_fhir.search.kinds.uri import entry
from phb_fhir.search.routes import Found, Place, Route, collect, laid_out

COMPARTMENTS = ("Patient", "Encounter", "RelatedPerson", "Practitioner", "Device")  # R4 §2.10
_NOT_INDEXED = frozenset(("_id", "_lastUpdated", "_content", "_text", "_filter", "_query", "_has", "_list"))
_INDEXED = KINDS.keys() - {"special"}
_NOTHING: list[Value] = []


def index_of(resource: Resource, parameters: SearchParameters, own: OwnAddress) -> Index:
    """The index values of a resource, by all the parameters of its type."""
    plan = parameters.derived(_plans)(resource["resourceType"])
    index = Index(digest=plan.digest)
    work, found = _Work(resource, own, {}), Found()
    collect(plan.place, resource, resource, found)
    keys = index.keys
    for slots, code, program, add, mark in plan.rows:
        before = len(keys)
        if program.function is not None:
            values = program.function(resource, resource)
        elif len(slots) == 1:
            values = found.get(slots[0], _NOTHING)
        elif found.keys().isdisjoint(slots):
            values = _NOTHING
        else:
            values = program.put_together(found, slots[0])
        if values:
            add(index, values, work)
        if mark and len(keys) == before and code not in index.spans and code not in index.joined:
            keys[mark] = None
    _add_compartments(index, plan, resource)
    return index


# ---- the plan of a type ---------------------------------------------------------------------------------------------

KindIndex: TypeAlias = Callable[[Index, SearchParameter, Sequence[Value], bool, OwnAddress], None]
Add: TypeAlias = "Callable[[Index, Sequence[Value], _Work], None]"


class _Work(NamedTuple):
    """One resource being indexed. `parts`: what components found in its elements; several composites ask for the same."""

    resource: Resource
    own: OwnAddress
    parts: dict[tuple[Program, str, int], dict[str, Any]]


class _Row(NamedTuple):
    """One parameter: the slots its values are found in, and what adds them to the index.

    `mark` is the entry that says that it has none ("": none is kept).
    """

    slots: tuple[int, ...]
    code: str
    program: Program
    add: Add
    mark: str = ""


class _Plan(NamedTuple):
    """How resources of one type are indexed. `memberships`: how keys begin that put them into a compartment (R4 §2.10), such as
    `subject=Patient/`; `own_compartments` those that they are themselves.
    """

    digest: str
    place: Place
    rows: tuple[_Row, ...]
    memberships: tuple[str, ...]
    own_compartments: tuple[str, ...]


def _plans(parameters: SearchParameters) -> Callable[[str], _Plan]:
    plans: dict[str, _Plan] = {}

    def plan(type_: str) -> _Plan:
        found = plans.get(type_)
        if found is None:
            found = plans[type_] = _plan(parameters, type_)
        return found

    return plan


def _plan(parameters: SearchParameters, type_: str) -> _Plan:
    definitions = parameters.definitions
    rows: list[_Row] = []
    routes: list[tuple[Route, int]] = []
    firsts: dict[Program, int] = {}  # parameters with the same expression share its slots
    slots = 0
    for code, parameter in parameters.of(type_).items():
        found = _usable(definitions, parameter, type_)
        if found is None:
            continue
        program, add = found
        if program not in firsts:
            firsts[program] = slots
            routes += program.slotted(slots)
            slots += program.slots
        taken = tuple(range(firsts[program], firsts[program] + program.slots))
        rows.append(_Row(taken, code, program, add, f"!{code}" if parameter.marks_missing else ""))
    listed = {code: definitions.compartment(code).members.get(type_, ()) for code in COMPARTMENTS}
    memberships = tuple(f"{name}={code}/" for code, names in listed.items() for name in names)
    own = tuple(code for code in COMPARTMENTS if code == type_ or "{def}" in listed[code])
    place = laid_out(routes, type_, is_primitive)
    return _Plan(parameters.digest(type_), place, tuple(rows), memberships, own)


def _usable(definitions: Definitions, parameter: SearchParameter, type_: str) -> tuple[Program, Add] | None:
    """What finds the values of a parameter that is indexed, and what adds them; a stored one that is broken finds nothing."""
    if parameter.code in _NOT_INDEXED or not parameter.expression or parameter.type not in _INDEXED:
        return None
    try:
        program = program_of(definitions, parameter.expression, type_)
        if parameter.type == "composite":
            return program, _add_joined(definitions, parameter, program, type_)
    except ValueError:
        return None
    return program, _add(parameter, program, type_)


# ---- what is added --------------------------------------------------------------------------------------------------


def _add(parameter: SearchParameter, program: Program, type_: str) -> Add:
    """What adds the values of one parameter, by its kind."""
    add, is_list = KINDS[parameter.type].index, program.is_list
    if parameter.type == "token" and program.systems:
        return _add_codes(add, parameter, program)
    if parameter.type == "uri" and parameter.expression == f"{type_}.url":
        return _add_url(add, parameter)
    return lambda index, values, work: add(index, parameter, values, is_list, work.own)


def _add_codes(add: KindIndex, parameter: SearchParameter, program: Program) -> Add:
    """A code of which the definitions state the system is found with that too (R4 §3.1.1.4.10)."""

    def codes(index: Index, values: Sequence[Value], work: _Work) -> None:
        add(index, parameter, values, program.is_list, work.own)
        for type_, code in values:
            for system, allowed in program.systems if type_ == "code" else ():
                if allowed is None or code in allowed:
                    keep(index.keys, parameter.code, "Coding", {"system": system, "code": code})

    return codes


def _add_url(add: KindIndex, parameter: SearchParameter) -> Add:
    """A definition is found by its url, and by its url with its version, as a canonical states it (R4 §2.3.0.5.1)."""

    def url(index: Index, values: Sequence[Value], work: _Work) -> None:
        add(index, parameter, values, False, work.own)
        version = work.resource.get("version")
        if type(version) is str and version:
            index.keys[entry(parameter.code, values[0][1], version)] = None

    return url


def _add_joined(definitions: Definitions, parameter: SearchParameter, program: Program, type_: str) -> Add:
    """Each element that all the components find something in, with what each found (R4 §3.1.1.4.17)."""
    parts = {starts: _parts(definitions, parameter, starts, type_) for starts in program.types}

    def joined(index: Index, values: Sequence[Value], work: _Work) -> None:
        rows = [row for starts, value in values if (row := _join(parts.get(starts, ()), value, work)) is not None]
        if rows:
            index.joined[parameter.code] = rows

    return joined


class _Part(NamedTuple):
    """A component: what it looks for in elements of a type, and what adds that, as its kind does, to an index of its own."""

    program: Program
    kind: str
    add: Add


def _parts(definitions: Definitions, parameter: SearchParameter, starts: str, type_: str) -> list[_Part]:
    """The components of a composite whose expression finds elements of the type `starts`; their entries have no name."""
    found = []
    for part in parameter.components:
        nameless = SearchParameter("", "", part.type, part.expression, "", modifiers=SEARCH_MODIFIERS[part.type])
        program = component_of(definitions, part.expression, starts, type_)
        found.append(_Part(program, part.type, _add(nameless, program, starts)))
    return found


def _join(parts: Sequence[_Part], element: Any, work: _Work) -> dict[str, Any] | None:
    """What the components find in one element; None where one of them finds nothing."""
    row: dict[str, Any] = {}
    for place in reversed(range(len(parts))):  # the last one is the rarest: everything has a code
        program, kind, add = parts[place]
        values = program.run(element, work.resource)
        if not values:
            return None
        made = work.parts.get((program, kind, id(element)))
        if made is None:
            index = Index()
            add(index, values, work)
            made = work.parts[program, kind, id(element)] = _stored(index)
        if not made:
            return None
        row[str(place)] = made
    return {str(place): row[str(place)] for place in range(len(parts))}


def _stored(index: Index) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if index.keys:
        row["k"] = list(index.keys)
    if index.spans:
        row["r"] = next(iter(index.spans.values()))
    return row


def _add_compartments(index: Index, plan: _Plan, resource: Resource) -> None:
    """The compartments it is in: its own, and those of whom its references name (R4 §2.10)."""
    id_ = resource.get("id")
    names = [f"{code}/{id_}" for code in plan.own_compartments] if type(id_) is str else []
    for key in index.keys:
        if key.startswith(plan.memberships):
            name = key.partition("=")[2]
            if name.count("/") == 1:
                names.append(name)
    for name in names:
        index.keys[f"_in={name}"] = None

"""The shape of a resource, held against the definition of its type.

For each type a plan is made when it is first met: a table from JSON property to what is expected there.
Checking walks the resource once, property by property, and everything follows from the plan's rows: unknown
properties, objects where lists belong, missing elements, two spellings of one choice, primitives and their
`_` twins, bindings, what references may point to, extensions, invariants. The usual case, a primitive that is right,
is decided in the loop itself; all else is a row's `check`, which appends Issues.

A resource inside another (contained, in a Bundle, in Parameters) is walked in its place, with a `Frame` of its own.
When a resource's own type has been walked, its profiles are held against it (`selection`).

Sources: R4 §2.6 (JSON), §2.24 (datatypes), §2.26 (resource), §4.1.5 (bindings).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from phb_fhir.definitions.terminology_grammars import UCUM
from phb_fhir.definitions.trail import Trail, path_of
from phb_fhir.outcome import Issue, Kind
from phb_fhir.validation import narrative
from phb_fhir.validation.bindings import binding_check, check_coding, plain_codes
from phb_fhir.validation.bundles import check_bundle
from phb_fhir.validation.contained import check_contained
from phb_fhir.validation.definition_rules import (
    check_code_system,
    check_search_parameter,
    check_structure_rules,
    check_value_set_rules,
)
from phb_fhir.validation.definitions import check_definition, check_expressions, check_value_set
from phb_fhir.validation.errata import FRAGMENTS, TARGETS
from phb_fhir.validation.extensions import check_extension
from phb_fhir.validation.frame import Frame, FrameKind
from phb_fhir.validation.governed import is_governed
from phb_fhir.validation.identifiers import check_attachment, check_identifier, check_quantity
from phb_fhir.validation.invariants import Rule as InvariantRule
from phb_fhir.validation.invariants import hold, rules_of
from phb_fhir.validation.places import Occurrence
from phb_fhir.validation.primitives import Primitive, full_url, primitives
from phb_fhir.validation.profile import plans_of
from phb_fhir.validation.questionnaires import check_questionnaire, check_response
from phb_fhir.validation.references import check_reference
from phb_fhir.validation.selection import check_profiles
from phb_fhir.validation.wording import guess, json_kind, listed, short, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from phb_fhir.definitions.load import Definitions, Element, Invariant, TypeDef
    from phb_fhir.validation.primitives import Complaint

    Node: TypeAlias = dict[str, Any]
    # the value, the object it stands in, where that object is, and the resource around it
    Check: TypeAlias = Callable[[Any, Node, Trail, Frame], None]
    Rule: TypeAlias = Callable[[Node, Trail, Frame], None]

_GUESSES_MAX = 50  # suggestions cost time; after this many issues a resource is beyond slips of the pen
_STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
# Invariants that the walk itself decides, in words of its own.
HELD_BY_THE_WALK = frozenset(("ele-1", "ext-1", "dom-2", "dom-3", "txt-1", "txt-2"))


def check_structure(frame: Frame) -> None:
    """Everything about `frame.resource` that its type's definition does not allow, and then its profiles."""
    _check_resource(frame, frame.definitions.derived(_Plans), "")


# ---- plans ---------------------------------------------------------------------------------------


class _Row(NamedTuple):
    """What is expected at one JSON property.

    A value of exactly the type `python` that passes `test` is right; any other value is for `check` to judge.
    `spelling` is the element of a choice that this property (or its twin) spells.
    """

    python: type | None
    test: Callable[[Any], object] | None
    check: Check
    choice: str
    spelling: str


@dataclass(slots=True)
class _Plan:
    """How to check one type.

    `required` holds, per required element, its FHIRPath name and every property that is it. `needs_content`:
    an object of this type must not be empty, nor hold an id alone.
    """

    name: str
    needs_content: bool
    rows: dict[str, _Row]
    required: tuple[tuple[str, frozenset[str]], ...]
    rules: tuple[Rule, ...]
    invariants: tuple[InvariantRule, ...]
    choices: Mapping[str, tuple[str, ...]]


class _Plans(dict[str, _Plan]):
    """The plan of each type, made when first asked for."""

    def __init__(self, definitions: Definitions) -> None:
        super().__init__()
        self.definitions = definitions
        self.primitives = primitives(definitions)

    def __missing__(self, name: str) -> _Plan:
        type_def = self.definitions.type(name)
        plan = _Plan(
            name=name,
            needs_content=type_def.kind in ("complex", "backbone"),
            rows=dict(_rows(type_def, self)),
            required=tuple(_required(type_def)),
            rules=_RULES.get(name, ()) + ((check_contained,) if "contained" in type_def.elements else ()),
            invariants=rules_of(_invariants(type_def, self.definitions), name),
            choices=type_def.choices,
        )
        self[name] = plan
        return plan


def _rows(type_def: TypeDef, plans: _Plans) -> Iterator[tuple[str, _Row]]:
    if type_def.kind == "resource":
        yield "resourceType", _Row(str, None, _ignore, "", "")
    for element in type_def.elements.values():
        primitive = plans.primitives.get(element.type)
        if element.name == "id" and type_def.kind != "resource" and primitive is not None:
            yield "id", _Row(None, None, _element_id_check(primitive), "", "id")
        elif primitive is None:
            check_of = _resource_check if element.type == "Resource" else _complex_check
            yield element.name, _Row(None, None, check_of(element, type_def, plans), element.choice, element.name)
        else:
            yield element.name, _primitive_row(element, primitive, plans)
            twin = _Row(None, None, _twin_check(element, plans), element.choice, element.name)
            yield f"_{element.name}", twin


def _required(type_def: TypeDef) -> Iterator[tuple[str, frozenset[str]]]:
    """Elements with a minimum: a choice once, with all its spellings; a primitive's twin will do."""
    seen: set[str] = set()
    for element in type_def.elements.values():
        if element.min and element.path_name not in seen:
            seen.add(element.path_name)
            spellings = type_def.choices.get(element.choice, (element.name,))
            yield element.path_name, frozenset((*spellings, *(f"_{spelling}" for spelling in spellings)))


def _invariants(type_def: TypeDef, definitions: Definitions) -> Iterator[Invariant]:
    """A type's own invariants and those of the types it is built on."""
    seen = set(HELD_BY_THE_WALK)
    above: TypeDef | None = type_def
    while above is not None:
        for invariant in above.invariants:
            if invariant.key not in seen:
                seen.add(invariant.key)
                yield invariant
        above = definitions.type(above.base) if above.base else None


def _of_element(element: Element) -> tuple[InvariantRule, ...]:
    """The invariants that an element adds to those of its type."""
    return rules_of((i for i in element.invariants if i.key not in HELD_BY_THE_WALK), element.type)


def _ignore(value: Any, node: Node, trail: Trail, frame: Frame) -> None:
    pass


# ---- objects and resources -----------------------------------------------------------------------


def _check_resource(frame: Frame, plans: _Plans, where: str) -> None:
    """A resource by itself, contained, or in a Bundle or Parameters; `where` is empty for the outermost."""
    resource: Any = frame.resource
    if type(resource) is not dict:
        frame.issues.append(Issue(Kind.STRUCTURE, "A resource is a JSON object.", where))
        return
    name = resource.get("resourceType")
    if type(name) is not str:
        frame.issues.append(Issue(Kind.STRUCTURE, 'A resource names its type: "resourceType" is missing.', where))
    elif name not in plans.definitions.resource_types:
        hint = _guess(name, plans.definitions.resource_types, frame)
        frame.issues.append(Issue(Kind.STRUCTURE, f'FHIR R4 has no resource type "{short(name)}"{hint}', where))
    else:
        _check_object(resource, plans[name], frame.at, frame)
        check_profiles(frame)


def _check_object(node: Node, plan: _Plan, trail: Trail, frame: Frame) -> None:
    """One object against its plan."""
    if len(node) < 2 and plan.needs_content and _says_nothing(node, trail, frame):
        return
    rows = plan.rows
    chosen: dict[str, str] | None = None
    for key, value in node.items():
        row = rows.get(key)
        if row is None:
            frame.issues.append(_unknown(key, plan, trail, frame))
            continue
        python, test, check, choice, spelling = row
        if choice:
            chosen = {} if chosen is None else chosen
            if chosen.setdefault(choice, spelling) != spelling:
                frame.issues.append(_second_choice(choice, chosen[choice], spelling, trail))
        if type(value) is python and (test is None or test(value)):
            continue
        check(value, node, trail, frame)
    for path_name, properties in plan.required:
        if properties.isdisjoint(node):
            frame.issues.append(_missing(path_name, plan, trail))
    for rule in plan.rules:
        rule(node, trail, frame)
    for invariant in plan.invariants:
        if not invariant.test(node, None, frame):
            frame.issues.extend(invariant.complain(node, None, trail, frame))


def _says_nothing(node: Node, trail: Trail, frame: Frame) -> bool:
    if not node:
        text = "An empty object says nothing; leave the element out."
        frame.issues.append(Issue(Kind.STRUCTURE, text, path_of(trail)))
    elif "id" in node:
        text = "An element has a value or children, not an id alone (ele-1)."
        frame.issues.append(Issue(Kind.INVARIANT, text, path_of(trail)))
    return not node


def _unknown(key: str, plan: _Plan, trail: Trail, frame: Frame) -> Issue:
    name = key.removeprefix("_")
    if name != key and name in plan.rows:
        text = f'"{key}" stands beside a single value; "{name}" is an object, so its id and extensions go inside it.'
        return Issue(Kind.STRUCTURE, text, path_of((trail, name, None)))
    where = path_of((trail, key, None) if _IDENTIFIER.fullmatch(key) else trail)
    spellings = plan.choices.get(f"{key}[x]")
    choice = f"; the type is part of the name: {listed(spellings)}." if spellings else ""
    hint = choice or _guess(key, plan.rows, frame)
    return Issue(Kind.STRUCTURE, f'{plan.name} has no property "{short(key)}"{hint}', where)


def _guess(name: str, known: Iterable[str], frame: Frame) -> str:
    return guess(name, known) if len(frame.issues) < _GUESSES_MAX else "."


def _second_choice(choice: str, first: str, second: str, trail: Trail) -> Issue:
    text = f'"{first}" and "{second}" both give {choice}; only one of them may stand here.'
    return Issue(Kind.STRUCTURE, text, path_of((trail, choice.removesuffix("[x]"), None)))


def _missing(path_name: str, plan: _Plan, trail: Trail) -> Issue:
    spellings = plan.choices.get(f"{path_name}[x]")
    what = f'"{path_name}[x]" ({listed(spellings)})' if spellings else f'"{path_name}"'
    return Issue(Kind.REQUIRED, f"{plan.name} must have {what}.", path_of((trail, path_name, None)))


def _complex_check(element: Element, owner: TypeDef, plans: _Plans) -> Check:
    name, type_name = element.path_name, element.type
    extra = _extra_check(element, owner, plans.definitions)

    def one(value: Any, _: Node, trail: Trail, frame: Frame) -> None:
        if type(value) is dict:
            here = (trail, name, None)
            _check_object(value, plans[type_name], here, frame)
            if extra is not None:
                extra(value, here, frame)
        elif type(value) is list:
            text = f'"{element.name}" does not repeat: write the {_called(type_name)} without brackets.'
            frame.issues.append(Issue(Kind.STRUCTURE, text, path_of((trail, name, None))))
        else:
            frame.issues.append(_not_an_object(value, type_name, (trail, name, None)))

    def many(value: Any, node: Node, trail: Trail, frame: Frame) -> None:
        if type(value) is not list:
            frame.issues.append(_not_a_list(value, element, trail))
            if type(value) is dict:
                one(value, node, trail, frame)
            return
        if not value:
            frame.issues.append(_empty_list(element, trail))
        for index, item in enumerate(value):
            here = (trail, name, index)
            if type(item) is dict:
                _check_object(item, plans[type_name], here, frame)
                if extra is not None:
                    extra(item, here, frame)
            else:
                frame.issues.append(_not_an_object(item, type_name, here))

    return many if element.is_list else one


def _extra_check(element: Element, owner: TypeDef, definitions: Definitions) -> Rule | None:
    """What an element asks of its value beyond the value's type: a binding, targets, invariants."""
    checks: list[Rule] = []
    binding = element.binding and binding_check(element.binding, element.type, definitions)
    if binding:
        bound = binding
        checks.append(lambda node, trail, frame: bound(node, trail, frame, frame.issues))
    if element.profiles:
        checks.append(lambda node, trail, frame: _hold_profiles(element, node, trail, frame))
    if element.type == "Reference":
        targets = frozenset(element.targets) | TARGETS.get((owner.name, element.path_name), frozenset())
        checks.append(lambda node, trail, frame: check_reference(node, targets, trail, frame))
    invariants = _of_element(element)
    if invariants:
        checks.append(lambda node, trail, frame: frame.issues.extend(hold(invariants, node, None, trail, frame)))
    if len(checks) < 2:
        return checks[0] if checks else None

    def every(node: Node, trail: Trail, frame: Frame) -> None:
        for check in checks:
            check(node, trail, frame)

    return every


def _hold_profiles(element: Element, node: Node, trail: Trail, frame: Frame) -> None:
    """A type that R4 itself narrows where it uses it: SimpleQuantity."""
    one = Occurrence(node, None, element.type, trail, None, frame)
    canonicals = [f"{_STRUCTURE}{name}" for name in element.profiles]
    plans_of(frame.known).hold_any(one, canonicals, element.path_name, frame.issues)


def _resource_check(element: Element, _: TypeDef, plans: _Plans) -> Check:
    name = element.path_name
    kind: FrameKind = "contained" if name == "contained" else "inner"

    def one(value: Any, node: Node, trail: Trail, frame: Frame) -> None:
        here = (trail, name, None)
        _check_resource(frame.inner(value, here, node, kind), plans, path_of(here))

    def contained(value: Any, node: Node, trail: Trail, frame: Frame) -> None:
        if type(value) is not list:
            frame.issues.append(_not_a_list(value, element, trail))
            return
        if not value:
            frame.issues.append(_empty_list(element, trail))
        for index, item in enumerate(value):
            here = (trail, name, index)
            _check_resource(frame.inner(item, here, node, kind), plans, path_of(here))
            if type(item) is dict and "contained" in item:
                text = "A contained resource contains no other (dom-2): contain both in the outermost one."
                frame.issues.append(Issue(Kind.INVARIANT, text, path_of((here, "contained", None))))

    return contained if element.is_list else one


def _not_an_object(value: Any, type_name: str, trail: Trail) -> Issue:
    if value is None:
        text = "null is not allowed here; an element without a value is left out."
    else:
        text = f"{json_kind(value)} stands where an object, {_called(type_name)}, belongs."
    return Issue(Kind.STRUCTURE, text, path_of(trail))


def _not_a_list(value: Any, element: Element, trail: Trail) -> Issue:
    text = f'"{element.name}" may repeat, so it is a list even of one: put the value in brackets.'
    if value is None:
        text = f'null is not allowed here; leave "{element.name}" out.'
    return Issue(Kind.STRUCTURE, text, path_of((trail, element.path_name, None)))


def _empty_list(element: Element, trail: Trail) -> Issue:
    text = f'An empty list says nothing; leave "{element.name}" out.'
    return Issue(Kind.STRUCTURE, text, path_of((trail, element.path_name, None)))


def _called(type_name: str) -> str:
    """A backbone type has a path for a name; a person calls it by the path's end."""
    return type_name.rpartition(".")[2]


# ---- primitives and their twins ------------------------------------------------------------------


def _primitive_row(element: Element, primitive: Primitive, plans: _Plans) -> _Row:
    if primitive.name == "xhtml":
        return _Row(None, None, _narrative_check(element, primitive), "", element.name)
    if element.name == "fullUrl":
        primitive = full_url(primitive)
    codes = plain_codes(element, plans.definitions)
    test = primitive.test if codes is None else codes.__contains__

    def complaint(value: Any) -> Complaint | None:
        wrong = primitive.complaint(value)
        if wrong is None and codes is not None and value not in codes:
            allowed = listed(sorted(codes), value)
            return Kind.CODE_INVALID, f"{shown(value)} is not one of the codes allowed here: {allowed}.", "error"
        return wrong

    beyond = _beyond(element, plans.definitions, is_listed=codes is not None)
    check = _list_check(element, primitive.python, test, complaint, beyond)
    if element.is_list:
        return _Row(None, None, check, element.choice, element.name)
    python = primitive.python if beyond is None else None
    return _Row(python, test, _one_check(element, complaint, beyond), element.choice, element.name)


def _beyond(
    element: Element, definitions: Definitions, *, is_listed: bool
) -> Callable[[Any, Trail, Frame], None] | None:
    """What is asked of a primitive that is right by itself: a binding that the tables do not list, invariants."""
    binding = None if is_listed or element.binding is None else element.binding
    bound = binding and binding_check(binding, element.type, definitions)
    invariants = _of_element(element)
    is_canonical = element.type == "canonical"
    if not bound and not invariants and not is_canonical:
        return None

    def check(value: Any, trail: Trail, frame: Frame) -> None:
        if is_canonical and type(value) is str and value[0] == "#" and frame.find(value) is None:
            text = f"{shown(value)} points to no resource contained in this one."
            is_let_pass = frame.kind == "contained" or frame.resource.get("resourceType") in FRAGMENTS
            frame.issues.append(Issue(Kind.INVALID, text, path_of(trail), "warning" if is_let_pass else "error"))
        if bound:
            bound(value, trail, frame, frame.issues)
        if invariants:
            frame.issues.extend(hold(invariants, value, None, trail, frame))

    return check


def _one_check(
    element: Element,
    complaint: Callable[[Any], Complaint | None],
    beyond: Callable[[Any, Trail, Frame], None] | None,
) -> Check:
    def one(value: Any, _: Node, trail: Trail, frame: Frame) -> None:
        wrong = complaint(value)
        if wrong is not None:
            frame.issues.append(_issue(wrong, (trail, element.path_name, None)))
            if wrong[2] == "error":
                return
        if beyond is not None:
            beyond(value, (trail, element.path_name, None), frame)

    return one


def _list_check(
    element: Element,
    python: type,
    test: Callable[[Any], object],
    complaint: Callable[[Any], Complaint | None],
    beyond: Callable[[Any, Trail, Frame], None] | None,
) -> Check:
    twin = f"_{element.name}"

    def many(value: Any, node: Node, trail: Trail, frame: Frame) -> None:
        if type(value) is not list:
            frame.issues.append(_not_a_list(value, element, trail))
            return
        if not value:
            frame.issues.append(_empty_list(element, trail))
        for index, item in enumerate(value):
            if not (type(item) is python and test(item)):
                wrong = None if item is None and _twin_speaks(node.get(twin), index) else complaint(item)
                if wrong is not None:
                    frame.issues.append(_issue(wrong, (trail, element.path_name, index)))
                    if wrong[2] == "error":
                        continue
            if beyond is not None:
                beyond(item, (trail, element.path_name, index), frame)

    return many


def _issue(wrong: Complaint, where: Trail) -> Issue:
    kind, text, severity = wrong
    return Issue(kind, text, path_of(where), severity)


def _twin_speaks(twins: Any, index: int) -> bool:
    """Whether a null in a list of primitives has an object at the same place of its twin (R4 §2.6.2.3)."""
    return type(twins) is list and index < len(twins) and type(twins[index]) is dict


def _twin_check(element: Element, plans: _Plans) -> Check:
    """The `_x` of a primitive: its id and extensions (R4 §2.6.2.3)."""
    name, twin = element.path_name, f"_{element.name}"

    def check_one(value: Any, *, alone: bool, here: Trail, frame: Frame) -> None:
        if type(value) is not dict:
            text = f'"{twin}" holds the id and extensions of "{element.name}": it is {_twin_shape(element)}.'
            frame.issues.append(Issue(Kind.STRUCTURE, text, path_of(here)))
            return
        # next to a value an id is enough; alone it says nothing
        if (alone or not value) and len(value) < 2 and _says_nothing(value, here, frame):
            return
        _check_object(value, plans[element.type], here, frame)

    def one(value: Any, node: Node, trail: Trail, frame: Frame) -> None:
        check_one(value, alone=element.name not in node, here=(trail, name, None), frame=frame)

    def many(value: Any, node: Node, trail: Trail, frame: Frame) -> None:
        if type(value) is not list or not value:
            text = f'"{twin}" lines up with the list "{element.name}": it is {_twin_shape(element)}.'
            frame.issues.append(Issue(Kind.STRUCTURE, text, path_of((trail, name, None))))
            return
        values = node.get(element.name)
        if type(values) is list and len(values) != len(value):
            frame.issues.append(_uneven(element, values, value, trail))
        for index, item in enumerate(value):
            has_value = type(values) is list and index < len(values) and values[index] is not None
            if item is not None:
                check_one(item, alone=not has_value, here=(trail, name, index), frame=frame)
            elif type(values) is not list:
                text = f'null in "{twin}" stands for an entry of "{element.name}", and there is none.'
                frame.issues.append(Issue(Kind.STRUCTURE, text, path_of((trail, name, index))))

    return many if element.is_list else one


def _uneven(element: Element, values: list[Any], twins: list[Any], trail: Trail) -> Issue:
    """Nulls fill out both lists (R4 §2.6.2.3). Nulls past the last value stand for nothing, and do no harm."""
    text = f'"{element.name}" and "_{element.name}" line up, and have {len(values)} and {len(twins)} entries: '
    where = path_of((trail, element.path_name, None))
    if len(twins) > len(values) and all(twin is None for twin in twins[len(values) :]):
        return Issue(Kind.STRUCTURE, f"{text}leave out the nulls past the last value.", where, "warning")
    return Issue(Kind.STRUCTURE, f"{text}fill the shorter with null.", where)


def _twin_shape(element: Element) -> str:
    return "a list of objects and nulls" if element.is_list else "an object"


def _element_id_check(primitive: Primitive) -> Check:
    """The id of an element: unique in its resource, and any text without spaces (R4 §2.24.0.3, Element.id)."""

    def one(value: Any, _: Node, trail: Trail, frame: Frame) -> None:
        here = (trail, "id", None)
        wrong = primitive.complaint(value)
        if wrong is not None:
            frame.issues.append(_issue(wrong, here))
            return
        if " " in value:
            text = f"The id of an element is a text without spaces; {shown(value)} has some."
            frame.issues.append(Issue(Kind.VALUE, text, path_of(here), "warning"))
        seen: set[tuple[str, str]] = frame.memory.setdefault(("element ids", id(frame.resource)), set())
        key = (_part(trail, frame), value)
        if key in seen:
            text = f"Another element of this resource has the id {shown(value)} as well; an id is given once."
            frame.issues.append(Issue(Kind.INVALID, text, path_of(here)))
        seen.add(key)

    return one


def _part(trail: Trail, frame: Frame) -> str:
    """Where ids are unique: in the resource; of a StructureDefinition, in its snapshot, and in its differential."""
    if frame.resource.get("resourceType") != "StructureDefinition":
        return ""
    name = ""
    while type(trail) is tuple and trail != frame.at:
        trail, name, _ = trail
    return name


def _narrative_check(element: Element, primitive: Primitive) -> Check:
    def one(value: Any, _: Node, trail: Trail, frame: Frame) -> None:
        here = (trail, element.path_name, None)
        wrong = primitive.complaint(value)
        if wrong is not None:
            frame.issues.append(_issue(wrong, here))
            return
        for severity, text in narrative.judged(value, frame):
            frame.issues.append(Issue(Kind.INVARIANT, text, path_of(here), severity))

    return one


# ---- rules of single types -----------------------------------------------------------------------


_POINTS = frozenset(("reference", "identifier", "display", "_reference", "_display", "extension"))


def _check_points(node: Node, trail: Trail, frame: Frame) -> None:
    """At least one of the three "SHALL be present (unless an extension is provided)" (R4 §2.3.0.1)."""
    if _POINTS.isdisjoint(node):
        text = 'A reference has at least one of "reference", "identifier" and "display".'
        frame.issues.append(Issue(Kind.REQUIRED, text, path_of(trail)))


def _check_identifier(node: Node, trail: Trail, frame: Frame) -> None:
    found: list[Issue] = []
    check_identifier(node, trail, found)
    if found:
        frame.issues.extend(_graver(found, frame))


def _check_unit(node: Node, trail: Trail, frame: Frame) -> None:
    if "system" in node and node["system"] != UCUM:
        check_coding(node, trail, frame)
        return
    found: list[Issue] = []
    check_quantity(node, trail, found)
    if found:
        frame.issues.extend(_graver(found, frame))


def _check_attachment(node: Node, trail: Trail, frame: Frame) -> None:
    check_attachment(node, trail, frame.issues)


def _graver(warnings: list[Issue], frame: Frame) -> list[Issue]:
    """What R4 leaves open is an error where a guide here governs the resource: money and care hang on these."""
    if frame.run.mode != "error" or not is_governed(frame):
        return warnings
    return [replace(issue, severity="error") for issue in warnings]


_RULES: dict[str, tuple[Rule, ...]] = {
    "Identifier": (_check_identifier,),
    "Attachment": (_check_attachment,),
    **dict.fromkeys(("Quantity", "Age", "Count", "Distance", "Duration"), (_check_unit,)),
    "Extension": (check_extension,),
    "Coding": (check_coding,),
    "Reference": (_check_points,),
    "Bundle": (check_bundle,),
    "StructureDefinition": (check_definition, check_expressions, check_structure_rules),
    "ValueSet": (check_value_set, check_value_set_rules),
    "CodeSystem": (check_code_system,),
    "SearchParameter": (check_search_parameter,),
    "Questionnaire": (check_questionnaire,),
    "QuestionnaireResponse": (check_response,),
}

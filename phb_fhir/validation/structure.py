"""The shape of a resource, held against the definition of its type.

For each type a plan is made when it is first met: a table from JSON property to what is expected there.
Checking walks the resource once, property by property, and everything follows from the plan's rows: unknown
properties, objects where lists belong, missing elements, two spellings of one choice, primitives and their
`_` twins, required codes. The usual case, a primitive that is right, is decided in the loop itself; all else
is a row's `check`, which appends Issues.

Sources: R4 §2.6 (JSON), §2.24 (datatypes), §2.26 (resource), §4.1.5 (bindings).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from phb_fhir.definitions.trail import Trail, path_of
from phb_fhir.outcome import Issue, Kind
from phb_fhir.validation import narrative
from phb_fhir.validation.bindings import check_concept, concept_codes, plain_codes
from phb_fhir.validation.primitives import Primitive, primitives
from phb_fhir.validation.wording import guess, json_kind, listed, short, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from phb_fhir.definitions.load import Definitions, Element, TypeDef

    Node: TypeAlias = dict[str, Any]
    # the value, the object it stands in, where that object is, and the list to append to
    Check: TypeAlias = Callable[[Any, Node, Trail, list[Issue]], None]
    Rule: TypeAlias = Callable[[Node, Trail, list[Issue]], None]

_GUESSES_MAX = 50  # suggestions cost time; after this many issues a resource is beyond slips of the pen
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def check_structure(resource: dict[str, Any], definitions: Definitions) -> list[Issue]:
    """Everything about the shape of `resource` that its type's definition does not allow."""
    issues: list[Issue] = []
    try:
        _check_resource(resource, definitions.derived(_Plans), None, issues)
    except RecursionError:
        text = "The resource nests too deep to be checked."
        issues.append(Issue(Kind.TOO_COSTLY, text, short(str(resource.get("resourceType", "")))))
    return issues


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
            rules=_RULES.get(name, ()),
            choices=type_def.choices,
        )
        self[name] = plan
        return plan


def _rows(type_def: TypeDef, plans: _Plans) -> Iterator[tuple[str, _Row]]:
    if type_def.kind == "resource":
        yield "resourceType", _Row(str, None, _ignore, "", "")
    for element in type_def.elements.values():
        primitive = plans.primitives.get(element.type)
        if primitive is None:
            check_of = _resource_check if element.type == "Resource" else _complex_check
            yield element.name, _Row(None, None, check_of(element, plans), element.choice, element.name)
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


def _ignore(value: Any, node: Node, trail: Trail, issues: list[Issue]) -> None:
    pass


# ---- objects and resources -----------------------------------------------------------------------


def _check_resource(resource: Any, plans: _Plans, trail: Trail | None, issues: list[Issue]) -> None:
    """A resource by itself (`trail` None), contained, or in a Bundle or Parameters."""
    where = path_of(trail) if trail else ""
    if type(resource) is not dict:
        issues.append(Issue(Kind.STRUCTURE, "A resource is a JSON object.", where))
        return
    name = resource.get("resourceType")
    if type(name) is not str:
        issues.append(Issue(Kind.STRUCTURE, 'A resource names its type: "resourceType" is missing.', where))
    elif name not in plans.definitions.resource_types:
        hint = _guess(name, plans.definitions.resource_types, issues)
        issues.append(Issue(Kind.STRUCTURE, f'FHIR R4 has no resource type "{short(name)}"{hint}', where))
    else:
        _check_object(resource, plans[name], trail or name, issues)


def _check_object(node: Node, plan: _Plan, trail: Trail, issues: list[Issue]) -> None:
    """One object against its plan."""
    if len(node) < 2 and plan.needs_content and _says_nothing(node, trail, issues):
        return
    rows = plan.rows
    chosen: dict[str, str] | None = None
    for key, value in node.items():
        row = rows.get(key)
        if row is None:
            issues.append(_unknown(key, plan, trail, issues))
            continue
        python, test, check, choice, spelling = row
        if choice:
            chosen = {} if chosen is None else chosen
            if chosen.setdefault(choice, spelling) != spelling:
                issues.append(_second_choice(choice, chosen[choice], spelling, trail))
        if type(value) is python and (test is None or test(value)):
            continue
        check(value, node, trail, issues)
    for path_name, properties in plan.required:
        if properties.isdisjoint(node):
            issues.append(_missing(path_name, plan, trail))
    for rule in plan.rules:
        rule(node, trail, issues)


def _says_nothing(node: Node, trail: Trail, issues: list[Issue]) -> bool:
    if not node:
        text = "An empty object says nothing; leave the element out."
        issues.append(Issue(Kind.STRUCTURE, text, path_of(trail)))
    elif "id" in node:
        text = "An element has a value or children, not an id alone (ele-1)."
        issues.append(Issue(Kind.INVARIANT, text, path_of(trail)))
    return not node


def _unknown(key: str, plan: _Plan, trail: Trail, issues: list[Issue]) -> Issue:
    where = path_of((trail, key, None) if _IDENTIFIER.fullmatch(key) else trail)
    spellings = plan.choices.get(f"{key}[x]")
    choice = f"; the type is part of the name: {listed(spellings)}." if spellings else ""
    hint = choice or _guess(key, plan.rows, issues)
    return Issue(Kind.STRUCTURE, f'{plan.name} has no property "{short(key)}"{hint}', where)


def _guess(name: str, known: Iterable[str], issues: list[Issue]) -> str:
    return guess(name, known) if len(issues) < _GUESSES_MAX else "."


def _second_choice(choice: str, first: str, second: str, trail: Trail) -> Issue:
    text = f'"{first}" and "{second}" both give {choice}; only one of them may stand here.'
    return Issue(Kind.STRUCTURE, text, path_of((trail, choice.removesuffix("[x]"), None)))


def _missing(path_name: str, plan: _Plan, trail: Trail) -> Issue:
    spellings = plan.choices.get(f"{path_name}[x]")
    what = f'"{path_name}[x]" ({listed(spellings)})' if spellings else f'"{path_name}"'
    return Issue(Kind.REQUIRED, f"{plan.name} must have {what}.", path_of((trail, path_name, None)))


def _complex_check(element: Element, plans: _Plans) -> Check:
    name, type_name = element.path_name, element.type
    codes = concept_codes(element, plans.definitions)

    def one(value: Any, _: Node, trail: Trail, issues: list[Issue]) -> None:
        if type(value) is dict:
            here = (trail, name, None)
            _check_object(value, plans[type_name], here, issues)
            if codes is not None:
                check_concept(value, codes, here, issues)
        elif type(value) is list:
            text = f'"{element.name}" does not repeat: write the {_called(type_name)} without brackets.'
            issues.append(Issue(Kind.STRUCTURE, text, path_of((trail, name, None))))
        else:
            issues.append(_not_an_object(value, type_name, (trail, name, None)))

    def many(value: Any, node: Node, trail: Trail, issues: list[Issue]) -> None:
        if type(value) is not list:
            issues.append(_not_a_list(value, element, trail))
            if type(value) is dict:
                one(value, node, trail, issues)
            return
        if not value:
            issues.append(_empty_list(element, trail))
        for index, item in enumerate(value):
            here = (trail, name, index)
            if type(item) is dict:
                _check_object(item, plans[type_name], here, issues)
                if codes is not None:
                    check_concept(item, codes, here, issues)
            else:
                issues.append(_not_an_object(item, type_name, here))

    return many if element.is_list else one


def _resource_check(element: Element, plans: _Plans) -> Check:
    name = element.path_name

    def one(value: Any, _: Node, trail: Trail, issues: list[Issue]) -> None:
        _check_resource(value, plans, (trail, name, None), issues)

    def contained(value: Any, _: Node, trail: Trail, issues: list[Issue]) -> None:
        if type(value) is not list:
            issues.append(_not_a_list(value, element, trail))
            return
        if not value:
            issues.append(_empty_list(element, trail))
        for index, item in enumerate(value):
            here = (trail, name, index)
            _check_resource(item, plans, here, issues)
            if type(item) is dict and "contained" in item:
                text = "A contained resource contains no other (dom-2): contain both in the outermost one."
                issues.append(Issue(Kind.INVARIANT, text, path_of((here, "contained", None))))

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
    codes = plain_codes(element, plans.definitions)
    test = primitive.test if codes is None else codes.__contains__

    def complaint(value: Any) -> tuple[Kind, str] | None:
        wrong = primitive.complaint(value)
        if wrong is None and codes is not None and value not in codes:
            allowed = listed(sorted(codes), value)
            return Kind.CODE_INVALID, f"{shown(value)} is not one of the codes allowed here: {allowed}."
        return wrong

    check = _list_check(element, primitive.python, test, complaint)
    if element.is_list:
        return _Row(None, None, check, element.choice, element.name)
    return _Row(primitive.python, test, _one_check(element, complaint), element.choice, element.name)


def _one_check(element: Element, complaint: Callable[[Any], tuple[Kind, str] | None]) -> Check:
    def one(value: Any, _: Node, trail: Trail, issues: list[Issue]) -> None:
        wrong = complaint(value)
        if wrong is not None:
            issues.append(Issue(*wrong, path_of((trail, element.path_name, None))))

    return one


def _list_check(
    element: Element,
    python: type,
    test: Callable[[Any], object],
    complaint: Callable[[Any], tuple[Kind, str] | None],
) -> Check:
    twin = f"_{element.name}"

    def many(value: Any, node: Node, trail: Trail, issues: list[Issue]) -> None:
        if type(value) is not list:
            issues.append(_not_a_list(value, element, trail))
            return
        if not value:
            issues.append(_empty_list(element, trail))
        for index, item in enumerate(value):
            if type(item) is python and test(item):
                continue
            wrong = None if item is None and _twin_speaks(node.get(twin), index) else complaint(item)
            if wrong is not None:
                issues.append(Issue(*wrong, path_of((trail, element.path_name, index))))

    return many


def _twin_speaks(twins: Any, index: int) -> bool:
    """Whether a null in a list of primitives has an object at the same place of its twin (R4 §2.6.2.3)."""
    return type(twins) is list and index < len(twins) and type(twins[index]) is dict


def _twin_check(element: Element, plans: _Plans) -> Check:
    """The `_x` of a primitive: its id and extensions (R4 §2.6.2.3)."""
    name, twin = element.path_name, f"_{element.name}"

    def check_one(value: Any, *, alone: bool, here: Trail, issues: list[Issue]) -> None:
        if type(value) is not dict:
            text = f'"{twin}" holds the id and extensions of "{element.name}": it is {_twin_shape(element)}.'
            issues.append(Issue(Kind.STRUCTURE, text, path_of(here)))
            return
        # next to a value an id is enough; alone it says nothing
        if (alone or not value) and len(value) < 2 and _says_nothing(value, here, issues):
            return
        _check_object(value, plans[element.type], here, issues)

    def one(value: Any, node: Node, trail: Trail, issues: list[Issue]) -> None:
        check_one(value, alone=element.name not in node, here=(trail, name, None), issues=issues)

    def many(value: Any, node: Node, trail: Trail, issues: list[Issue]) -> None:
        if type(value) is not list or not value:
            text = f'"{twin}" lines up with the list "{element.name}": it is {_twin_shape(element)}.'
            issues.append(Issue(Kind.STRUCTURE, text, path_of((trail, name, None))))
            return
        values = node.get(element.name)
        if type(values) is list and len(values) != len(value):
            both = f'"{element.name}" has {len(values)} entries and "{twin}" {len(value)}'
            text = f"{both}; they line up, so the shorter is filled with null."
            issues.append(Issue(Kind.STRUCTURE, text, path_of((trail, name, None))))
        for index, item in enumerate(value):
            has_value = type(values) is list and index < len(values) and values[index] is not None
            if item is not None:
                check_one(item, alone=not has_value, here=(trail, name, index), issues=issues)
            elif type(values) is not list:
                text = f'null in "{twin}" stands for an entry of "{element.name}", and there is none.'
                issues.append(Issue(Kind.STRUCTURE, text, path_of((trail, name, index))))

    return many if element.is_list else one


def _twin_shape(element: Element) -> str:
    return "a list of objects and nulls" if element.is_list else "an object"


def _narrative_check(element: Element, primitive: Primitive) -> Check:
    def one(value: Any, _: Node, trail: Trail, issues: list[Issue]) -> None:
        wrong = primitive.complaint(value)
        if wrong is not None:
            issues.append(Issue(*wrong, path_of((trail, element.path_name, None))))
            return
        text = narrative.complaint(value)
        if text is not None:
            issues.append(Issue(Kind.INVARIANT, text, path_of((trail, element.path_name, None))))

    return one


# ---- rules of single types -----------------------------------------------------------------------


def _check_extension(node: Node, trail: Trail, issues: list[Issue]) -> None:
    """ext-1: either a value or extensions."""
    has_value = any(key.startswith(("value", "_value")) for key in node)
    if has_value and "extension" in node:
        text = "An extension has a value or further extensions, not both (ext-1)."
    elif not has_value and "extension" not in node:
        text = "An extension has a value, or further extensions; this one has neither (ext-1)."
    else:
        return
    issues.append(Issue(Kind.EXTENSION, text, path_of(trail)))


def _check_extension_url(node: Node, trail: Trail, issues: list[Issue]) -> None:
    """R4 §2.5.1.1: the url is absolute, except inside another extension, where a plain name will do."""
    url = node.get("url")
    above = trail[0] if type(trail) is tuple else trail
    is_inner = type(above) is tuple and above[1] in ("extension", "modifierExtension")
    if type(url) is str and url and ":" not in url and not is_inner:
        text = f'The url of an extension is absolute (https://example.org/{short(url)}), not "{short(url)}".'
        issues.append(Issue(Kind.EXTENSION, text, path_of((trail, "url", None))))


_POINTS = frozenset(("reference", "identifier", "display", "_reference", "_display", "extension"))


def _check_reference(node: Node, trail: Trail, issues: list[Issue]) -> None:
    """At least one of the three "SHALL be present (unless an extension is provided)" (R4 §2.3.0.1)."""
    if _POINTS.isdisjoint(node):
        text = 'A reference has at least one of "reference", "identifier" and "display".'
        issues.append(Issue(Kind.REQUIRED, text, path_of(trail)))


_RULES: dict[str, tuple[Rule, ...]] = {
    "Extension": (_check_extension_url, _check_extension),
    "Reference": (_check_reference,),
}

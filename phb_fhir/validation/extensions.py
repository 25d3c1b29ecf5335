"""Extensions: known ones are held against their definition, wherever they stand; unknown ones are named.

The definition of an extension says where it may stand (its context of use), whether it modifies, and what value it has.
An unknown extension is passed on with a remark, as R4 asks of every server ("an application SHALL NOT reject a resource
merely because it carries extensions it does not know", §2.5.0.3); an unknown *modifier* extension is an error, because
nobody can process the element safely without understanding it (§2.5.0.4).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from phb_fhir.definitions.load import Invariant
from phb_fhir.definitions.trail import Trail, path_of
from phb_fhir.fhir.path import BadPathError, locate
from phb_fhir.fhir.reference import has_scheme
from phb_fhir.fhirpath.walk import item_of
from phb_fhir.outcome import Issue, Kind, Severity
from phb_fhir.validation.errata import CONTEXT_RULES, CONTEXTS, PARTS
from phb_fhir.validation.frame import Frame
from phb_fhir.validation.invariants import check_context
from phb_fhir.validation.places import Occurrence
from phb_fhir.validation.profile import plans_of
from phb_fhir.validation.wording import listed, short, shown

if TYPE_CHECKING:
    from phb_fhir.definitions.load import Definitions
    from phb_fhir.definitions.registry import Resource
    from phb_fhir.validation.specs import Spec

_LISTS = ("extension", "modifierExtension")
_OF_INSTANCES = (
    "example",
    "fixed",
    "pattern",
    "defaultValue",
)  # values that stand in a definition for others elsewhere
_NAMES_KEPT_MAX = 10_000  # of places where extensions stand; a resource has a few dozen
_FIRST_NAME = re.compile(r"[A-Z]\w*")
# Names nobody owns (RFC 2606), and those R4's own examples use: what stands there cannot be known anywhere.
_FOR_EXAMPLES = re.compile(r"https?://(?:[^/?#]+\.)?(?:example\.(?:org|com|net)|acme\.com|nema\.org)(?:[/:?#]|$)")
# R4 has no name in its tables for what FHIR calls interfaces: a canonical resource is one with these elements.
_CANONICAL = frozenset(("url", "version", "status", "experimental", "jurisdiction"))


def check_extension(node: dict[str, Any], trail: Trail, frame: Frame) -> None:
    """Everything about one extension beyond the shape of the type."""
    above = trail[0] if type(trail) is tuple else trail
    is_inner = type(above) is tuple and above[1] in _LISTS
    _check_content(node, trail, frame)
    url = node.get("url")
    if type(url) is not str or not url:
        return
    if not has_scheme(url):
        if not is_inner:
            text = f'The url of an extension is absolute (https://example.org/{short(url)}), not "{short(url)}".'
            frame.issues.append(Issue(Kind.EXTENSION, text, path_of((trail, "url", None))))
        return
    _check_definition(node, url, trail, frame)


def _check_content(node: dict[str, Any], trail: Trail, frame: Frame) -> None:
    """ext-1: either a value or extensions."""
    has_value = any(key.startswith(("value", "_value")) for key in node)
    if has_value and "extension" in node:
        text = "An extension has a value or further extensions, not both (ext-1)."
    elif not has_value and "extension" not in node:
        text = "An extension has a value, or further extensions; this one has neither (ext-1)."
    else:
        return
    frame.issues.append(Issue(Kind.EXTENSION, text, path_of(trail)))


def _check_definition(node: dict[str, Any], url: str, trail: Trail, frame: Frame) -> None:
    modifies = type(trail) is tuple and trail[1] == "modifierExtension"
    plain = url.partition("|")[0]
    plans = plans_of(frame.known)
    tree = plans.tree(plain)
    if plain != url and tree is not None:
        text = f"The url of an extension has no version: write {plain}."
        frame.issues.append(Issue(Kind.EXTENSION, text, path_of((trail, "url", None))))
    if tree is None:
        frame.issues.append(_unknown(url, trail, frame, modifies=modifies))
        return
    if tree.type != "Extension":
        text = f"{shown(url)} is the definition of {tree.type}, not of an extension."
        frame.issues.append(Issue(Kind.EXTENSION, text, path_of((trail, "url", None))))
        return
    if bool(tree.root.definition.get("isModifier")) != modifies:
        belongs = "modifierExtension" if not modifies else "extension"
        text = f"The extension {plain} belongs in {belongs}, not here."
        frame.issues.append(Issue(Kind.EXTENSION, text, path_of(trail)))
    _check_context(tree.structure, node, trail, frame)
    plan = plans.plan(plain)
    if plan is not None and plain == url:
        plan.hold(Occurrence(node, None, "Extension", trail, None, frame), frame.issues)
    _check_parts(node, tree.root, plain, trail, frame)


def _check_parts(node: dict[str, Any], spec: Spec, url: str, trail: Trail, frame: Frame) -> None:
    """The relative urls inside a complex extension mean the parts its definition has, and no others (R4 §5.1.3.3)."""
    parts, inside = spec.children.get("extension"), node.get("extension")
    if parts is None or parts.max == 0 or type(inside) is not list:
        return
    by_url = {part.value_of_child("url"): part for part in parts.slices}
    for index, each in enumerate(inside):
        name = each.get("url") if type(each) is dict else None
        if type(name) is not str or not name or has_scheme(name) or (url, name) in PARTS:
            continue
        here = (trail, "extension", index)
        if name in by_url:
            _check_parts(each, by_url[name], url, here, frame)
        else:
            known = f": it has {listed(sorted(map(str, by_url)), name)}" if by_url else ""
            text = f"The extension {url} has no part {shown(name)}{known}."
            frame.issues.append(Issue(Kind.EXTENSION, text, path_of(here)))


def _unknown(url: str, trail: Trail, frame: Frame, *, modifies: bool) -> Issue:
    problem = frame.known.structure_problem(url)
    why = f" ({problem})" if problem else ""
    if modifies:
        text = (
            f"The modifier extension {short(url, 200)} is not known here{why}, and what it modifies cannot be ignored."
        )
        return Issue(Kind.EXTENSION, text, path_of(trail), "warning" if frame.run.keeps_unknown else "error")
    text = f"The extension {short(url, 200)} is not known here{why}; it was not checked."
    severity: Severity = "error" if frame.run.closed and not _FOR_EXAMPLES.match(url) else "information"
    return Issue(Kind.EXTENSION, text, path_of(trail), severity)


# ---- context of use ------------------------------------------------------------------------------


class _Place(NamedTuple):
    """The element an extension stands on: its value or object, and each name it goes by, `Patient.name`, `HumanName`."""

    node: Any
    type: str
    names: frozenset[str]
    extension_url: str  # of the extension it is, or whose value it is; else empty


def _check_context(structure: Resource, node: dict[str, Any], trail: Trail, frame: Frame) -> None:
    errata = [{"type": "element", "expression": path} for path in CONTEXTS.get(structure["url"], ())]
    contexts = [*structure.get("context", ()), *errata]
    if not contexts and "contextInvariant" not in structure:
        return
    place = _place_of(trail, frame)
    if place is None:
        return
    if contexts and not any(_allows(row, place, node, frame) for row in contexts):
        allowed = listed([f"{row.get('expression')}" for row in contexts])
        text = f"The extension {structure['url']} may stand on {allowed}, not here."
        frame.issues.append(Issue(Kind.EXTENSION, text, path_of(trail)))
        return
    invariants = tuple(
        Invariant(
            f"context-{number}",
            "error",
            f"The extension {structure['url']} may stand only where {rule}",
            CONTEXT_RULES.get(rule, rule),
        )
        for number, rule in enumerate(structure.get("contextInvariant", ()), 1)
    )
    if invariants:
        here, extension = item_of(place.node, place.type), item_of(node, "Extension")
        frame.issues.extend(check_context(invariants, here, extension, trail, frame))


def _allows(row: Resource, place: _Place, node: dict[str, Any], frame: Frame) -> bool:
    kind, expression = row.get("type"), str(row.get("expression", ""))
    if kind == "extension":
        return place.extension_url == expression
    if kind == "fhirpath":
        return _is_selected(expression, node, frame)
    return expression.replace("[x]", "") in place.names or expression in ("*", "Element" if place.names else "")


def _is_selected(expression: str, extension: dict[str, Any], frame: Frame) -> bool:
    """Whether the FHIRPath selects the element that holds this extension; what cannot be followed allows it."""
    start = _FIRST_NAME.match(expression)
    if start is not None and start[0] not in _with_bases(str(frame.resource.get("resourceType")), frame.definitions):
        return False
    try:
        found = locate(frame.resource, expression, frame.definitions)
    except BadPathError:
        return True
    return any(
        item is extension
        for place in found.places
        for name in _LISTS
        for item in (place.data.get(name) if isinstance(place.data, dict) else place.companion.get(name)) or ()
    )


def _place_of(trail: Trail, frame: Frame) -> _Place | None:
    """The element that holds the extension at `trail`, found by walking down from its resource."""
    steps: list[tuple[str, int | None]] = []
    while trail != frame.at and type(trail) is tuple:
        steps.append((trail[1], trail[2]))
        trail = trail[0]
    node: Any = frame.resource
    type_name = str(frame.resource.get("resourceType"))
    walked: list[tuple[str, str, bool]] = [("", type_name, False)]
    url = ""
    for name, index in reversed(steps[1:]):
        found = _step(node, type_name, name, index, frame.definitions)
        if found is None or (type_name == "ElementDefinition" and name in _OF_INSTANCES):
            return None
        node, type_name, key = found
        walked.append((name, type_name, key != name))
        if type_name == "Extension" and isinstance(node, dict):
            url = str(node.get("url", ""))
        elif name != "value":
            url = ""
    return _Place(node, type_name, _names_of(tuple(walked), frame.definitions), url)


def _names_of(walked: tuple[tuple[str, str, bool], ...], definitions: Definitions) -> frozenset[str]:
    """Every name of an element, by the steps to it: each one's name, its type, and whether it is one type of a choice."""
    known = definitions.derived(_every_name)
    names = known.get(walked)
    if names is None:
        names = frozenset(_names(walked, definitions))
        if len(known) < _NAMES_KEPT_MAX:
            known[walked] = names
    return names


def _every_name(_: Definitions) -> dict[tuple[tuple[str, str, bool], ...], frozenset[str]]:
    return {}


def _names(walked: tuple[tuple[str, str, bool], ...], definitions: Definitions) -> set[str]:
    paths: list[tuple[str, str]] = []  # each type met, with the path from there to the element
    names: set[str] = set()
    for name, type_name, is_choice in walked:
        paths = [(above, f"{path}.{name}") for above, path in paths]
        names = {base + path for above, path in paths for base in _with_bases(above, definitions)}
        if is_choice:
            names |= {f"{base}{path}.ofType({type_name})" for base, path in paths}
        names |= set(_with_bases(type_name, definitions))
        paths.append((type_name, ""))
    return names


def _step(
    node: Any, type_name: str, name: str, index: int | None, definitions: Definitions
) -> tuple[Any, str, str] | None:
    """The value of an element, its type and its JSON property."""
    if type(node) is not dict or not ("." in type_name or definitions.has_type(type_name)):
        return None
    elements = definitions.type(type_name).elements
    for key in (name,) if name in node and name in elements else node:
        plain = key.removeprefix("_")
        element = elements.get(plain)
        if element is None or element.path_name != name:
            continue
        value = node.get(plain, node[key])
        if element.type in definitions.primitive_types and f"_{plain}" in node:
            value = node[f"_{plain}"]  # the children of a primitive are in its twin
        if index is not None and type(value) is list:
            value = value[index] if index < len(value) else None
        if type(value) is dict and element.type == "Resource":
            return value, str(value.get("resourceType")), plain
        return value, element.type, plain
    return None


def _with_bases(type_name: str, definitions: Definitions) -> tuple[str, ...]:
    """A type and what it is built on, by name."""
    known = definitions.derived(_every_base)
    if type_name not in known:
        known[type_name] = tuple(_bases(type_name, definitions))
    return known[type_name]


def _every_base(_: Definitions) -> dict[str, tuple[str, ...]]:
    return {}


def _bases(type_name: str, definitions: Definitions) -> Iterator[str]:
    while type_name and ("." in type_name or definitions.has_type(type_name)):
        yield type_name
        type_def = definitions.type(type_name)
        if type_def.kind == "resource" and type_def.elements.keys() >= _CANONICAL:
            yield from ("CanonicalResource", "MetadataResource")
        type_name = type_def.base

"""What R4 asks of definitions in prose, beside the invariants of their types: what they are about, and what they count.

A StructureDefinition constrains what its base is; an extension says its own url; what a differential fixes is of the
element's type, and it names elements in the order of the base (R4 §5.3, §5.4.2). A CodeSystem counts what it has, and a
ValueSet is made of code systems (R4 §4.8, §4.9). Whether a definition can be used at all is for `definitions`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from phb_fhir.definitions.registry import is_core
from phb_fhir.definitions.trail import Trail, path_of
from phb_fhir.fhir.reference import has_scheme
from phb_fhir.outcome import Issue, Kind
from phb_fhir.validation.frame import Frame
from phb_fhir.validation.values import numbered_objects
from phb_fhir.validation.wording import listed, short, shown

Node = dict[str, Any]

_INTERFACES = frozenset(("CanonicalResource", "MetadataResource", "Definition", "Request", "Event"))
_COMPONENTS_MIN = 2


# ---- structure definitions -----------------------------------------------------------------------


def check_structure_rules(node: Node, trail: Trail, frame: Frame) -> None:
    """What a StructureDefinition says of itself fits its base; what its differential fixes fits the elements."""
    base = node.get("baseDefinition")
    found = frame.known.structure(base) if type(base) is str else None
    for name, text in (*_about(node, found), *_about_extension(node)):
        frame.issues.append(Issue(Kind.INVALID, text, path_of((trail, name, None))))
    _check_contexts(node, trail, frame)
    if found is not None:
        _check_differential(node, found, trail, frame)


def _about(node: Node, base: Node | None) -> Iterator[tuple[str, str]]:
    """An element of the definition, and what is wrong with it."""
    derivation, kind, type_ = node.get("derivation"), node.get("kind"), node.get("type")
    if type(node.get("baseDefinition")) is str and derivation is None:
        yield "derivation", 'What has a base says how it derives from it: "derivation" is constraint or specialization.'
    if base is None or type(type_) is not str:
        return
    if derivation == "constraint" and kind != base["kind"]:
        yield "kind", f'The kind of a profile is that of its base, "{base["kind"]}", not {shown(kind)}.'
    if derivation == "specialization" and type_ == base["type"]:
        yield (
            "type",
            f"{short(type_)} is the type of the base; a specialization is a type of its own, or it is a constraint.",
        )


def _about_extension(node: Node) -> Iterator[tuple[str, str]]:
    if node.get("type") != "Extension":
        if node.get("context"):
            yield (
                "context",
                f"Only an extension has a context of use, and this is about {short(str(node.get('type')))}.",
            )
        return
    url = node.get("url")
    for _, element in _elements(node):
        if element.get("path") == "Extension.url" and element.get("fixedUri", url) != url:
            yield "url", f"The extension fixes its url to {shown(element['fixedUri'])}, and is itself {shown(url)}."


def _check_contexts(node: Node, trail: Trail, frame: Frame) -> None:
    for index, row in numbered_objects(node.get("context")):
        path = row.get("expression")
        if row.get("type") == "element" and type(path) is str and not _is_element(path, frame):
            text = f"R4 has no element {short(path)} for the extension to stand on."
            frame.issues.append(Issue(Kind.INVALID, text, path_of(((trail, "context", index), "expression", None))))


def _is_element(path: str, frame: Frame) -> bool:
    """Whether the path of an element leads somewhere in R4; one of another definition (`url#path`) is not looked up."""
    if ":" in path or path in _INTERFACES or path == "*":
        return True
    name, *steps = path.split(".")
    if not frame.definitions.has_type(name):
        return False
    types = [name]
    for step in steps:
        plain = step.removesuffix("[x]")
        rows = [
            element
            for type_ in types
            if "." in type_ or frame.definitions.has_type(type_)
            for element in frame.definitions.type(type_).elements.values()
            if plain in (element.path_name, element.name)
        ]
        if not rows:
            return plain in ("extension", "id", "modifierExtension")
        types = [row.type for row in rows]
    return True


def _check_differential(node: Node, base: Node, trail: Trail, frame: Frame) -> None:
    there = {row["path"]: row for row in base["snapshot"]["element"]}
    order = {path: number for number, path in enumerate(there)}
    rows = _elements(node)
    at: Trail = (trail, "differential", None)
    for index, element in rows:
        for name, text in _about_element(element, there.get(str(element.get("path")), {}), frame):
            frame.issues.append(Issue(Kind.INVALID, text, path_of(((at, "element", index), name, None))))
    for (_, before), (index, after) in pairwise(rows):
        if not _is_in_order(str(before.get("id", "")), str(after.get("id", "")), order):
            text = f"{short(str(after.get('id')))} comes before {short(str(before.get('id')))} in the base, and so it does here."
            frame.issues.append(Issue(Kind.INVALID, text, path_of((at, "element", index))))


def _about_element(element: Node, there: Node, frame: Frame) -> Iterator[tuple[str, str]]:
    """What an element of a differential says that its type does not allow."""
    types = element.get("type", there.get("type"))
    codes = {str(row.get("code")) for _, row in numbered_objects(types)}
    for kind in ("fixed", "pattern"):
        key = next((name for name in element if name.startswith(kind)), None)
        if key is None or not codes or any("/" in code for code in codes):
            continue
        type_ = key.removeprefix(kind)
        if not codes & {type_, type_[:1].lower() + type_[1:]}:
            wanted = listed(sorted(codes))
            yield kind, f"The element is {wanted}, so what it is held to is {wanted} too, not {short(type_)}."
    binding = element.get("binding")
    canonical = binding.get("valueSet") if type(binding) is dict else None
    if type(canonical) is str and _is_code_system(canonical, frame):
        yield "binding", f"A binding is to a value set, and {short(canonical, 200)} is a code system."


def _is_code_system(canonical: str, frame: Frame) -> bool:
    url = canonical.partition("|")[0]
    if frame.known.value_set(canonical) or is_core(frame.definitions, "ValueSet", url):
        return False
    return frame.known.code_system(canonical) is not None or is_core(frame.definitions, "CodeSystem", url)


def _is_in_order(before: str, after: str, order: dict[str, int]) -> bool:
    """Whether two neighbours of a differential stand as in the base; slices of one element in any order."""
    parent = ""
    for one, other in zip(before.split("."), after.split("."), strict=False):
        if one != other:
            first, second = (order.get(f"{parent}{step.partition(':')[0]}") for step in (one, other))
            return first is None or second is None or first <= second
        parent += one.partition(":")[0] + "."
    return True


def _elements(node: Node) -> list[tuple[int, Node]]:
    differential = node.get("differential")
    return numbered_objects(differential.get("element")) if type(differential) is dict else []


# ---- terminology and search ----------------------------------------------------------------------


def check_code_system(node: Node, trail: Trail, frame: Frame) -> None:
    """A CodeSystem has the codes it says it has."""
    for name, text in _about_codes(node, frame):
        frame.issues.append(Issue(Kind.INVALID, text, path_of((trail, name, None))))
    kinds = {str(row.get("code")): str(row.get("type")) for _, row in numbered_objects(node.get("property"))}
    for concept, at in _concepts(node, trail):
        for index, row in numbered_objects(concept.get("property")):
            key = next((name for name in row if name.startswith("value")), "")
            kind = kinds.get(str(row.get("code")))
            if kind and key and key.removeprefix("value").casefold() != kind.casefold():
                text = f"The property {shown(row.get('code'))} is declared as {short(kind)}, and its value here is {short(key)}."
                frame.issues.append(Issue(Kind.INVALID, text, path_of((at, "property", index))))


def _about_codes(node: Node, frame: Frame) -> Iterator[tuple[str, str]]:
    content, stated = node.get("content"), node.get("count")
    if content == "not-present" and node.get("concept"):
        yield "concept", "The code system says that its codes are not present, and here are some."
    if content == "supplement" and not node.get("supplements"):
        yield "supplements", 'A supplement says which code system it adds to: "supplements".'
    if content == "complete" and type(stated) is int and node.get("concept"):
        actual = sum(1 for _ in _concepts(node, ""))
        if actual != stated:
            yield "count", f"The code system is complete with {actual} concepts, and says that it has {stated}."
    supplemented = node.get("supplements")
    if content == "supplement" and type(supplemented) is str:
        for concept, _ in _concepts(node, ""):
            code = concept.get("code")
            if type(code) is str and frame.terminology.validate_code_in_system(supplemented, code).valid is False:
                yield "concept", f"{shown(code)} is not a code of {short(supplemented, 200)}, which this adds to."
                return


def _concepts(node: Node, trail: Trail) -> Iterator[tuple[Node, Trail]]:
    ahead = [(row, (trail, "concept", index)) for index, row in numbered_objects(node.get("concept"))]
    while ahead:
        concept, at = ahead.pop()
        yield concept, at
        ahead.extend((row, (at, "concept", index)) for index, row in numbered_objects(concept.get("concept")))


def check_value_set_rules(node: Node, trail: Trail, frame: Frame) -> None:
    """What a ValueSet includes by system is a code system."""
    compose = node.get("compose")
    for name in ("include", "exclude") if type(compose) is dict else ():
        for index, part in numbered_objects(compose.get(name)):  # type: ignore[union-attr]
            system = part.get("system")
            if type(system) is not str or not system:
                continue
            text = ""
            if not has_scheme(system):
                text = f"The system of a value set is absolute; {shown(system)} is relative."
            elif is_core(frame.definitions, "ValueSet", system) or frame.known.value_set(system):
                text = f'{short(system, 200)} is a value set; it goes under "valueSet".'
            if text:
                at: Trail = (((trail, "compose", None), name, index), "system", None)
                frame.issues.append(Issue(Kind.INVALID, text, path_of(at)))


def check_search_parameter(node: Node, trail: Trail, frame: Frame) -> None:
    """A composite parameter is made of several."""
    if node.get("type") == "composite" and len(numbered_objects(node.get("component"))) < _COMPONENTS_MIN:
        text = "A composite search parameter is made of two components or more."
        frame.issues.append(Issue(Kind.REQUIRED, text, path_of((trail, "component", None))))

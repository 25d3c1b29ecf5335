"""What a token parameter looks at, as far as its expression says it plainly: the elements, with their types and bindings.

Some modifiers have a meaning for some types only, so one that could never find anything is refused. And a code of the type
`code` may be asked for by its code alone where its binding says the system.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from phb_fhir.definitions.load import Definitions, Element, SearchParameter, load

MIME_TYPES = "http://hl7.org/fhir/ValueSet/mimetypes"
MIME_SYSTEM = "urn:ietf:bcp:13"
_KEPT = 4_096  # parameters; R4 has fewer of all types

_PATH = re.compile(
    r"(?P<start>[A-Z][A-Za-z]+)(?P<rest>(?:\.[a-z]\w*)+)(?:\.(?:as|ofType)\((?P<kind>\w+)\)| as (?P<also>\w+))?"
)
_WHERE = re.compile(r"\.where\((?:[^()]|\([^()]*\))*\)")


@lru_cache(maxsize=_KEPT)
def elements_of(parameter: SearchParameter) -> tuple[Element, ...]:
    """The elements that the parameter's paths end at; none where one of its expressions is more than a path."""
    found: list[Element] = []
    for part in parameter.expression.split("|"):
        path = part.strip()
        there = _elements(path[1:-1] if path.startswith("(") else path)
        if not there:
            return ()
        found += there
    return tuple(found)


def types_of(parameter: SearchParameter) -> frozenset[str]:
    """The FHIR types of what the parameter looks at; none where only the expression's evaluation tells."""
    return frozenset(element.type for element in elements_of(parameter))


@lru_cache(maxsize=_KEPT)
def is_text(parameter: SearchParameter) -> bool:
    """Whether all it looks at are strings: as tokens these are matched whole, but in any case (R4 §3.1.1.4.10)."""
    return types_of(parameter) == {"string"}


def is_mime(parameter: SearchParameter) -> bool:
    """Whether all it looks at are MIME types."""
    value_sets = {element.binding.value_set.partition("|")[0] for element in elements_of(parameter) if element.binding}
    return value_sets == {MIME_TYPES}


@lru_cache(maxsize=_KEPT)
def system_of(parameter: SearchParameter) -> str:
    """The one code system that all codes of its elements are from, as their bindings say; "" where they do not."""
    definitions = load()
    systems: set[str] = set()
    for element in elements_of(parameter):
        is_bound = element.type == "code" and element.binding is not None and element.binding.strength == "required"
        systems.update(
            (definitions.codes(element.binding.value_set) if is_bound and element.binding else None) or ("",)
        )
    return systems.pop() if len(systems) == 1 else ""


def _elements(path: str) -> list[Element]:
    matched = _PATH.fullmatch(_WHERE.sub("", path))
    definitions = load()
    if matched is None or not definitions.has_type(matched["start"]):
        return []
    types: Iterable[str] = (matched["start"],)
    found: list[Element] = []
    for name in matched["rest"][1:].split("."):
        found = [element for type_ in types for element in _named(definitions, type_, name)]
        types = [element.type for element in found]
    wanted = matched["kind"] or matched["also"]
    return [element for element in found if wanted in (None, element.type)]


def _named(definitions: Definitions, type_: str, name: str) -> list[Element]:
    try:
        elements = definitions.type(type_).elements.values()
    except KeyError:
        return []
    return [element for element in elements if element.path_name == name]

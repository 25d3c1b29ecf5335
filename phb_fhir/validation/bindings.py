"""Required bindings: the codes an element may hold, where the definitions can list them (R4 §4.1.5).

Value sets that take in what HL7 does not publish as a list (currencies, MIME types, UCUM) are not held
against anything here; the loose strengths, extensible and preferred, never refuse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from phb_fhir.definitions.trail import Trail, path_of
from phb_fhir.outcome import Issue, Kind
from phb_fhir.validation.wording import listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phb_fhir.definitions.load import Definitions, Element

    Codes: TypeAlias = Mapping[str, frozenset[str]]  # by code system


def plain_codes(element: Element, definitions: Definitions) -> frozenset[str] | None:
    """The codes an element of type code may be; None where that is not bound, or cannot be listed."""
    codes = _required(element, definitions)
    return None if codes is None else frozenset().union(*codes.values())


def concept_codes(element: Element, definitions: Definitions) -> Codes | None:
    """The same for a Coding or CodeableConcept; there a code counts only with its system."""
    return _required(element, definitions) if element.type in ("CodeableConcept", "Coding") else None


def check_concept(value: dict[str, Any], codes: Codes, trail: Trail, issues: list[Issue]) -> None:
    """A CodeableConcept has a coding from the value set among its codings; a Coding is from it."""
    codings = value.get("coding", [value] if "code" in value else [])
    if type(codings) is not list or any(_is_from(coding, codes) for coding in codings):
        return
    if not codings and "extension" in value and "text" not in value:
        return  # an extension says why there is none
    every = sorted(code for system in codes.values() for code in system)
    text = f"A code of {listed(codes)} is required here: {listed(every)}."
    issues.append(Issue(Kind.CODE_INVALID, text, path_of(trail)))


def _required(element: Element, definitions: Definitions) -> Codes | None:
    if element.binding is None or element.binding.strength != "required":
        return None
    return definitions.codes(element.binding.value_set)


def _is_from(coding: Any, codes: Codes) -> bool:
    if type(coding) is not dict:
        return True  # its shape is complained of already
    system, code = coding.get("system"), coding.get("code")
    return type(system) is str and type(code) is str and code in codes.get(system, ())

"""The most that a resource of a type can hold, made from the definitions: every element, every choice of each.

No such resource is valid, because of every choice one is allowed and invariants say more. It is for asking whether a search
parameter finds what its definition names. Where an element may refer to several types, or have one of several codes, the
variants of a resource have one after the other; a list has them all at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from phb_fhir.definitions.load import Element, SearchParameter, load
from phb_fhir.definitions.search_parameters import search_parameters
from tests.conformance.minimal import IDENTIFIER, PRIMITIVES

R4 = load()
PARAMETERS = search_parameters(R4)
DEPTH_MAX = 6  # elements within elements; what search parameters look at is not deeper
VARIANTS_MAX = 12
_LEFT_OUT = frozenset(("id", "extension", "modifierExtension", "contained", "meta", "implicitRules", "comparator"))
_TELECOM = [{"system": system, "value": "text"} for system in ("phone", "email")]
_CATEGORY = {"system": "https://fhir.phb.nhs.example/CodeSystem/phb-purchase-category", "code": "text"}
_SUBJECT = {"url": "http://hl7.org/fhir/StructureDefinition/questionnaireresponse-isSubject", "valueBoolean": True}
_ANYTHING = (
    "Patient",
    "Organization",
    "CarePlan",
    "DocumentReference",
    "ChargeItem",
)  # of where any type may be referred to
# what an expression picks out by more than its path
MORE: dict[str, dict[str, Any]] = {
    "ChargeItemDefinition": {"code": {"coding": [_CATEGORY]}},
    "Location": {"position": {"latitude": 1, "longitude": 1}},
    "QuestionnaireResponse": {
        "item": [{"extension": [_SUBJECT], "answer": [{"valueReference": {"reference": "Patient/example"}}]}]
    },
}
_FIRST = [{"resource": {"resourceType": type_, "id": "example"}} for type_ in ("Composition", "MessageHeader")]


def all_filled(type_: str) -> list[dict[str, Any]]:
    """The variants of a `type_` with everything in it."""
    made = [_filled(type_, variant) for variant in range(_variants(type_))]
    if type_ in MORE:
        made.append({"resourceType": type_, **MORE[type_]})
    return [{**made[0], "entry": [first]} for first in _FIRST] if type_ == "Bundle" else made


def _filled(type_: str, variant: int) -> dict[str, Any]:
    found = (_extension(parameter) for parameter in PARAMETERS.of(type_).values() if parameter.base == type_)
    extensions = [extension for extension in found if extension is not None]
    return {"resourceType": type_, **_elements(type_, (), variant), "extension": extensions}


def _elements(name: str, within: tuple[str, ...], variant: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for element in R4.type(name).elements.values():
        if element.name not in _LEFT_OUT and element.type != "Narrative":
            values = [value for value in _values(element, within, variant) if value not in (None, {})]
            if values:
                made[element.name] = values if element.is_list else values[variant % len(values)]
    return made


def _values(element: Element, within: tuple[str, ...], variant: int) -> list[Any]:
    if element.type == "Reference":
        return [{"reference": f"{target}/example", "identifier": IDENTIFIER} for target in _targets(element)]
    if element.type == "ContactPoint":
        return list(_TELECOM)
    if element.type in PRIMITIVES:
        return _codes(element) or [PRIMITIVES[element.type]]
    if element.type in within or len(within) == DEPTH_MAX or element.type == "Resource":
        return []
    variants = range(_variants(element.type)) if element.is_list and not within else (variant,)
    return [_elements(element.type, (*within, element.type), one) for one in variants]


def _variants(name: str) -> int:
    """How many of these it takes to have every type an element may refer to, and every code it may have."""
    single = [one for one in R4.type(name).elements.values() if not one.is_list and one.name not in _LEFT_OUT]
    wanted = [len(_targets(one)) if one.type == "Reference" else len(_codes(one)) for one in single]
    return min(VARIANTS_MAX, max([1, *wanted]))


def _targets(element: Element) -> list[str]:
    return [target for target in element.targets if target in R4.resource_types] or list(_ANYTHING)


def _codes(element: Element) -> list[str]:
    """The codes that the element may have, if they are few."""
    if element.binding is None or element.binding.strength != "required" or element.type != "code":
        return []
    return sorted(code for codes in (R4.codes(element.binding.value_set) or {}).values() for code in codes)


_STEP = re.compile(r"extension(?:\.where\(url ?= ?|\()'([^']+)'\)")
_TYPE = re.compile(r"(?:ofType\(|as )(\w+)")


def _extension(parameter: SearchParameter) -> dict[str, Any] | None:
    """The extension that a parameter looks for: the last of the alternatives, which is the published one."""
    expression = parameter.expression.rpartition(" | ")[2]
    urls = _STEP.findall(expression)
    if not urls:
        return None
    named = _TYPE.search(expression)
    type_ = named[1] if named else {"string": "string", "token": "Identifier"}.get(parameter.type, "Reference")
    extension: dict[str, Any] = {"url": urls[-1], f"value{type_[0].upper()}{type_[1:]}": _of_type(type_, parameter)}
    for url in reversed(urls[:-1]):
        extension = {"url": url, "extension": [extension]}
    return extension


def _of_type(type_: str, parameter: SearchParameter) -> Any:
    if type_ == "Reference":
        return {"reference": f"{next(iter(parameter.target), 'Patient')}/example"}
    return PRIMITIVES.get(type_) or _elements(type_, (), 0)


# ---- asking ----------------------------------------------------------------------------------------------------------

# what none of these resources has, and what nothing can be, by the search parameter type
ELSEWHERE = {
    "number": "123456",
    "date": "1802-03-04",
    "string": "nobody",
    "token": "http://example.org/none|none",
    "quantity": "123456",
    "uri": "http://example.org/none",
    "special": "60|60|1",
}
WRONG = {
    "number": "many",
    "date": "yesterday",
    "string": "x" * 2_000,
    "token": "x" * 2_000,
    "quantity": "1|kg",
    "reference": "x" * 2_000,
    "composite": "one",
    "uri": "x" * 2_000,
    "special": "here",
}
_SPANS = {"date": "2026-11-22", "number": "1", "quantity": "1"}


def asked(parameter: SearchParameter, indexes: list[Any]) -> Iterator[str]:
    """Values of a parameter by which one of these is found, as its index has them."""
    for index in indexes:
        if parameter.type == "special":
            yield "1|1|10"
        elif parameter.type == "composite":
            yield from (_joined(parameter, row) for row in index.joined.get(parameter.code, ()))
        elif parameter.type in _SPANS:
            yield from (_SPANS[parameter.type] for _ in index.spans.get(parameter.code, ()))
        else:
            start = f"{parameter.code}={'*' if parameter.type == 'token' else ''}"
            values = (key.removeprefix(start) for key in index.keys if key.startswith(start))
            yield from (value for value in values if _may_be_asked(parameter, value))


def _may_be_asked(parameter: SearchParameter, value: str) -> bool:
    """Whether a reference is of a type that the parameter says it leads to; the element may allow more."""
    type_ = value.partition("/")[0]
    return parameter.type != "reference" or not R4.has_type(type_) or type_ in (parameter.target or (type_,))


def _joined(parameter: SearchParameter, row: dict[str, Any]) -> str:
    """A value of a composite, from one of the elements it joins."""
    parts = []
    for place, part in enumerate(parameter.components):
        keys = [key for key in row[str(place)].get("k", ()) if key.startswith("=*" if part.type == "token" else "=")]
        parts.append(_SPANS.get(part.type) or keys[0].lstrip("=*"))
    return "$".join(parts)


def elsewhere(parameter: SearchParameter) -> str:
    """A good value that none of these has."""
    if parameter.type == "composite":
        return "$".join(ELSEWHERE.get(part.type, "Patient/none") for part in parameter.components)
    if parameter.type == "reference":
        return f"{next(iter(parameter.target), 'Patient')}/none"
    return ELSEWHERE[parameter.type]

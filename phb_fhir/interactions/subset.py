"""`_summary` and `_elements`: less of a resource, marked as such.

A subset carries the tag SUBSETTED (R4 §3.1.1.5.8), so that nobody writes it back over the whole, and always the elements
that a resource cannot do without.
"""

from __future__ import annotations

from typing import Any

from phb_fhir.definitions.load import Definitions, Element, TypeDef
from phb_fhir.fhir.codec import Resource, dumps, loads
from phb_fhir.interactions.request import WHOLE, Subset
from phb_fhir.outcome import Rejected
from phb_fhir.search.results import ALWAYS_SHOWN, check_subset, elements_in, spelled_out

SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
    "display": "subsetted",
}
_NARRATIVE = frozenset({"text"})
STORED_DEPTH_MAX = 900  # what was stored was measured when it came in


def parse_subset(parameters: tuple[tuple[str, str], ...], *, lenient: bool = False) -> Subset:
    """What `_summary` and `_elements` ask for; one without a value asks for nothing (R4 §3.1.1.3).

    Raises Rejected (400) for a summary that R4 does not have, for one of them said twice, and for both at once; where it is to
    be `lenient`, what comes first counts.
    """
    if not parameters:
        return WHOLE
    summary, elements = "", ""
    for name, value in parameters:
        if name not in ("_summary", "_elements") or not value:
            continue
        try:
            check_subset(name, value, summary, elements)
        except Rejected:
            if not lenient:
                raise
            continue
        summary, elements = (value, elements) if name == "_summary" else (summary, value)
    return Subset("" if summary == "false" else summary, elements_in(elements))  # type: ignore[arg-type]


def subset_json(json: bytes, subset: Subset, definitions: Definitions) -> bytes:
    """The text of a resource, cut to `subset`; the same bytes when the whole is wanted."""
    if not subset:
        return json
    return dumps(subset_of(loads(json, depth_max=STORED_DEPTH_MAX), subset, definitions))


def subset_of(resource: Resource, subset: Subset, definitions: Definitions) -> Resource:
    type_ = definitions.type(resource["resourceType"])
    if subset.summary == "true":
        cut = _summary(resource, type_, definitions)
    elif subset.summary == "data":
        cut = {name: value for name, value in resource.items() if name not in _NARRATIVE}
    elif subset.summary == "text":
        cut = _only(resource, _mandatory(type_) | _NARRATIVE)
    else:
        wanted = (spelled_out(name, type_) for name in subset.elements)
        cut = _only(resource, _mandatory(type_).union(*wanted))
    return _marked(cut)


def _mandatory(type_: TypeDef) -> frozenset[str]:
    return frozenset(name for name, element in type_.elements.items() if element.min > 0 or element.is_modifier)


def _only(resource: Resource, names: frozenset[str]) -> Resource:
    return {name: value for name, value in resource.items() if name in ALWAYS_SHOWN or name.removeprefix("_") in names}


def _summary(value: Resource, type_: TypeDef, definitions: Definitions) -> Resource:
    cut: Resource = {}
    for name, item in value.items():
        element = type_.elements.get(name.removeprefix("_"))
        if name in ALWAYS_SHOWN:
            cut[name] = item
        elif element is not None and (element.is_summary or _is_needed(element, type_)):
            cut[name] = _summary_of(item, element.type, definitions)
    return cut


def _is_needed(element: Element, type_: TypeDef) -> bool:
    # a summary may not say something else than the whole: what modifies it stays, marked as summary or not
    return type_.kind == "resource" and (element.min > 0 or element.is_modifier)


def _summary_of(item: Any, type_name: str, definitions: Definitions) -> Any:
    # only backbone elements say for each of their parts whether it is in the summary; a data type is shown whole
    type_ = definitions.type(type_name) if "." in type_name else None
    if type_ is None:
        return item
    if isinstance(item, list):
        return [_summary(one, type_, definitions) for one in item]
    return _summary(item, type_, definitions) if isinstance(item, dict) else item


def _marked(resource: Resource) -> Resource:
    meta = resource.get("meta", {})
    tags = [tag for tag in meta.get("tag", []) if tag.get("code") != "SUBSETTED"]
    return {**resource, "meta": {**meta, "tag": [*tags, SUBSETTED]}}

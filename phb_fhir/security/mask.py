"""What is seen in part: the elements that are kept, so that a new one is hidden until somebody says otherwise.

A provider sees of a purchase from its directory that somebody else delivers what was bought, not by whom: codes and numbers, and no words
that somebody wrote, which could tell. A person sees who looked at
their record without the places of these entries in the trail, which would tell how much everybody does. Who reads figures sees none of so few that
somebody could be recognised (`security/suppression`).

Only the search parameters that are made of what is kept may be asked for; the index entries of all others are taken away with the
elements.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.query import AllOf, AnyOf, Key, KeyPart, KeyRange, Linked, LinkedFrom, Node, Not
from phb_fhir.security.suppression import suppressed

_SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}


@dataclass(frozen=True, slots=True)
class Mask:
    """The elements of a type that are shown, and the search parameters that tell no more than these."""

    elements: frozenset[str]
    parameters: frozenset[str]


MASKS = {
    "ChargeItem": Mask(
        frozenset(
            (
                "resourceType",
                "id",
                "meta",
                "status",
                "code",
                "definitionCanonical",
                "occurrenceDateTime",
                "occurrencePeriod",
            )
        )
        | {"quantity", "priceOverride"},
        frozenset(("_id", "_lastUpdated", "status", "code", "definition", "occurrence", "quantity", "price-override")),
    ),
    "AuditEvent": Mask(
        frozenset(("resourceType", "id", "meta", "text", "type", "subtype", "action", "period", "recorded", "outcome"))
        | {"outcomeDesc", "purposeOfEvent", "agent", "source", "entity"},
        frozenset(("_id", "_lastUpdated", "_in", "action", "address", "agent", "agent-name", "agent-role", "altid"))
        | {"date", "entity", "entity-name", "entity-role", "entity-type", "outcome", "patient", "policy", "site"}
        | {"source", "subtype", "type"},
    ),
    "MeasureReport": Mask(
        frozenset(("resourceType", "id", "meta", "status", "type", "measure", "date", "reporter", "period", "group"))
        | {"improvementNotation"},
        frozenset(("_id", "_lastUpdated", "date", "measure", "period", "report-type", "reporter", "status")),
    ),
}
_META = ("versionId", "lastUpdated")
WORDLESS = ("ChargeItem",)  # of which codes and numbers are shown
# what is kept of an element of these that has more in it than can be told: no words, and no extensions
_PARTS = {
    "code": ("coding",),
    "coding": ("system", "version", "code"),
    "quantity": ("value", "comparator", "system", "code"),
    "priceOverride": ("value", "currency"),
    "occurrencePeriod": ("start", "end"),
}
_WORDS = ":text"  # how the name of what is found by words ends (`search/kinds/token`)


def masked(resource: Resource) -> Resource:
    """The resource with what its mask keeps, marked as a part (R4 §3.1.1.5.8)."""
    mask = MASKS[resource["resourceType"]]
    kept = {name: value for name, value in resource.items() if name in mask.elements}
    if resource["resourceType"] in WORDLESS:
        kept = {name: part for name, value in kept.items() if (part := _part(name, value))}
    if resource["resourceType"] == "MeasureReport":
        kept = {name: suppressed(value) if name == "group" else value for name, value in kept.items()}
    meta = {name: resource["meta"][name] for name in _META if name in resource.get("meta", {})}
    return {**kept, "meta": {**meta, "tag": [_SUBSETTED]}}


def _part(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [part for one in value if (part := _part(name, one))]
    if not isinstance(value, dict) or name not in _PARTS:
        return value
    return {inner: part for inner in _PARTS[name] if inner in value and (part := _part(inner, value[inner]))}


def shown(type_: str, parameters: Collection[str]) -> bool:
    """Whether a question by these parameters may be asked of what is masked."""
    return type_ in MASKS and set(parameters) <= MASKS[type_].parameters


def asks_for_words(node: Node) -> bool:
    """Whether a question goes by what somebody wrote in words, such as `code:text`; by what others wrote of others, too."""
    match node:
        case AllOf(parts) | AnyOf(parts):
            return any(map(asks_for_words, parts))
        case Not(part):
            return asks_for_words(part)
        case Linked(where=where) | LinkedFrom(where=where):
            return asks_for_words(where)
        case Key(keys):
            return any(key.partition("=")[0].endswith(_WORDS) for key in keys)
        case KeyRange(low, _):
            return low.partition("=")[0].endswith(_WORDS)
        case KeyPart(start, _):
            return start.partition("=")[0].endswith(_WORDS)
    return False

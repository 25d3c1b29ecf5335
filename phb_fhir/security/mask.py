"""What is seen in part: the elements that are kept, so that a new one is hidden until somebody says otherwise.

A provider sees of a purchase from its directory that somebody else delivers what was bought, not by whom. A person sees who looked at
their record without the places of these entries in the trail, which would tell how much everybody does.

Only the search parameters that are made of what is kept may be asked for; the index entries of all others are taken away with the
elements.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from phb_fhir.fhir.codec import Resource

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
}
_META = ("versionId", "lastUpdated")


def masked(resource: Resource) -> Resource:
    """The resource with what its mask keeps, marked as a part (R4 §3.1.1.5.8)."""
    mask = MASKS[resource["resourceType"]]
    kept = {name: value for name, value in resource.items() if name in mask.elements}
    meta = {name: resource["meta"][name] for name in _META if name in resource.get("meta", {})}
    return {**kept, "meta": {**meta, "tag": [_SUBSETTED]}}


def shown(type_: str, parameters: Collection[str]) -> bool:
    """Whether a question by these parameters may be asked of what is masked."""
    return type_ in MASKS and set(parameters) <= MASKS[type_].parameters

"""What is in a List, for who asks for that alone: `_list` of a search (R4 §3.1.1.5.12) and of a history (§3.1.0.11.1)."""

from __future__ import annotations

from collections.abc import Iterator

from phb_fhir.fhir.codec import Resource
from phb_fhir.search.kinds.kind import OwnAddress


def items_of(resource: Resource, own: OwnAddress) -> Iterator[str]:
    """What is in a List and was not taken out of it again (List.entry.deleted): `Patient/1`, or `Patient/1/_history/2` of one version."""
    for entry in resource.get("entry", ()):
        reference = entry.get("item", {}).get("reference", "")
        if reference and entry.get("deleted") is not True:
            yield own.local(reference)

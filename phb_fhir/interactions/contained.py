"""What a resource contains, as the target of its own references: "a chained condition will be evaluated inside contained
resources" (R4 §3.1.1.5.5).

A contained resource is found by nothing else. So nothing of it is in the index but a mark on the resource around it, that a
reference parameter leads inside; who has the mark is read, and its inner resources are held against the condition here. They
are looked into one level deep, as they cannot contain others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from phb_fhir.change import Version
from phb_fhir.fhir.codec import Resource, dumps, loads
from phb_fhir.interactions.subset import STORED_DEPTH_MAX
from phb_fhir.query import Linked
from phb_fhir.search.asking import Asking
from phb_fhir.search.expressions import extractor
from phb_fhir.search.index import index_of
from phb_fhir.search.kinds.reference import CONTAINS
from phb_fhir.store.store import Hit

__all__ = ["CONTAINS", "contained_targets"]


def contained_targets(hit: Hit, node: Linked, asking: Asking) -> list[Hit]:
    """The resources inside this one that its reference parameter leads to, of the types the condition asks for.

    As if they were found by themselves, but for their ids, which mean nothing outside: `#medication`.
    """
    version = hit.version
    if version.json is None or f"{node.parameter}{CONTAINS}" not in hit.index.keys:
        return []
    resource = loads(version.json, depth_max=STORED_DEPTH_MAX)
    inside = _inside(resource, node.parameter, asking)
    return [_found(one, version, asking) for one in inside if one.get("resourceType") in node.types]


def _inside(resource: Resource, code: str, asking: Asking) -> Iterator[Resource]:
    """What the references of a parameter name in `contained`; and a value that is a resource: the first of a document or a message."""
    type_ = resource["resourceType"]
    parameter = asking.parameters.of(type_)[code]
    values: list[tuple[str, Any]] = extractor(asking.definitions, parameter, type_).values(resource)
    found = [value for _, value in values if isinstance(value, dict)]
    named = {value.get("reference") for value in found}
    yield from (one for one in resource.get("contained", ()) if f"#{one.get('id')}" in named)
    yield from (value for value in found if "resourceType" in value)


def _found(resource: Resource, around: Version, asking: Asking) -> Hit:
    index = index_of(resource, asking.parameters, asking.own)
    version = Version(
        resource["resourceType"], f"#{resource.get('id', '')}", 0, around.at, around.method, dumps(resource)
    )
    return Hit(version, [], index)

"""Changing a resource piece by piece: JSON Patch and FHIRPath Patch.

Both take a resource and a list of operations, work on a copy, and give the changed resource; the first operation
that does not fit stops the whole patch. What comes out is only a proposal: the server processes it "as an update"
(FHIR R4 http.html#patch), so it is validated afterwards like any other body. Here only what a patch itself may not
do is refused: make another resource of it, or grow out of bounds.

Which refusal: a patch that is wrong in itself (an operation nobody knows, a path that cannot be read) is
BAD_REQUEST; one that is well made and does not fit this resource (nothing there, already there, a failed `test`) is
UNPROCESSABLE. So RFC 5789 §2.2 has it; FHIR R4 says nothing of a failed `test`, and R5 says 422 (http.html#patch).
"""

from __future__ import annotations

import copy
from typing import Any

from phb_fhir.fhir import fhirpath_patch, json_patch
from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.path import Shape
from phb_fhir.outcome import Issue, Kind, Refusal, Rejected, refuse

OPERATIONS_MAX = 1_000
DEPTH_MAX = 100  # levels of objects and arrays in the result


def apply_json_patch(
    resource: Resource, patch: object, *, operations_max: int = OPERATIONS_MAX, depth_max: int = DEPTH_MAX
) -> Resource:
    """`resource` after the JSON Patch document `patch` (RFC 6902; FHIR R4 http.html#patch). `resource` stays as it is.

    Arrays and objects that the patch itself has emptied are left out of the result, as FHIR's JSON has none
    (json.html: "objects are never empty", and so for arrays).

    Raises Rejected. BAD_REQUEST: `patch` is no list of at most `operations_max` operations, an operation is unknown
    or lacks what it needs, a pointer cannot be read, the resource would change its type or id. UNPROCESSABLE: an
    operation leads nowhere, a `test` fails, the result nests deeper than `depth_max`.
    """
    patched = json_patch.patched(copy.deepcopy(resource), patch, operations_max, drops_emptied=True)
    return _checked(resource, patched, depth_max)


def apply_fhirpath_patch(
    resource: Resource,
    parameters: Resource,
    shape: Shape,
    *,
    operations_max: int = OPERATIONS_MAX,
    depth_max: int = DEPTH_MAX,
) -> Resource:
    """`resource` after the operations in `parameters` (FHIR R4 fhirpatch.html). `resource` stays as it is.

    `parameters` is a Parameters resource with one parameter `operation` for each operation, whose parts are `type`
    (add, insert, delete, replace, move), `path`, and by type `name`, `value`, `index`, `source`, `destination`. A
    `value` is a `value[x]`, or a `resource` where the element is one, or parts named after the children of an element
    whose type is no `value[x]`. A choice is named without its type (`value`); the value's type decides the property.
    `replace` replaces the whole element, with the extensions of a primitive; `delete` of what is not there changes
    nothing, and takes along what it leaves empty.

    Raises Rejected. BAD_REQUEST: `parameters` is no such resource or has more than `operations_max` operations, a path
    is not FHIRPath, names an element that does not exist, or asks for work beyond bounds, the resource would change
    its id. UNPROCESSABLE: a path leads to no element or to several, the element is already there, an index is out of
    bounds, a value is of the wrong type, the result nests deeper than `depth_max`.
    """
    patched = fhirpath_patch.patched(copy.deepcopy(resource), parameters, shape, operations_max)
    return _checked(resource, patched, depth_max)


def _checked(before: Resource, after: Any, depth_max: int) -> Resource:
    _check_same_resource(before, after)
    _check_depth(after, depth_max)
    resource: Resource = after
    return resource


def _check_same_resource(before: Resource, after: Any) -> None:
    # "if the id disagrees with the id in the URL, the server SHALL respond with 400" (FHIR R4 http.html#update)
    issues = [
        Issue(Kind.VALUE, f"A patch may not change the {name} of a resource.", f"{before['resourceType']}.{name}")
        for name in ("resourceType", "id")
        if not isinstance(after, dict) or before.get(name) != after.get(name)
    ]
    if issues:
        raise Rejected(Refusal.BAD_REQUEST, *issues)


def _check_depth(resource: Resource, depth_max: int) -> None:
    level: list[Any] = [resource]
    for _ in range(depth_max):
        inside = (item.values() if isinstance(item, dict) else item for item in level)
        level = [child for children in inside for child in children if isinstance(child, dict | list)]
    if level:
        text = f"The patch makes the resource nest deeper than the {depth_max} levels this server takes."
        raise refuse(Refusal.UNPROCESSABLE, Kind.TOO_COSTLY, text)

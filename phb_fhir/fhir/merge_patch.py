"""JSON Merge Patch (RFC 7396): a part of the resource as it should become; null takes a member away.

R4 does not name it, but client libraries send it (fhirpy's `patch()` does), and its meaning is plain. A list replaces the
whole list. What comes of it is validated like any other content.
"""

from __future__ import annotations

from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.outcome import Kind, Refusal, refuse


def apply_merge_patch(resource: Resource, patch: dict[str, Any]) -> Resource:
    """A new resource: `resource` with `patch` merged in. Raises Rejected (400) if it would change the type or the id."""
    for name in ("resourceType", "id"):
        if name in patch and patch[name] != resource.get(name):
            text = f"A patch cannot change the {name}: it is {resource.get(name)}, and would become {patch[name]}."
            raise refuse(Refusal.BAD_REQUEST, Kind.INVALID, text, f"{resource['resourceType']}.{name}")
    return _merged(resource, patch)


def _merged(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    made = dict(target)
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        elif isinstance(value, dict):
            made[name] = _merged(made[name] if isinstance(made.get(name), dict) else {}, value)
        else:
            made[name] = value
    return made

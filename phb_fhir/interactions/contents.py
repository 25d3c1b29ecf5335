"""What stored versions hold, decoded.

The same few budgets, plans and people are asked for by one request after the other, so what was decoded a moment ago is kept, by its very
bytes, and handed out again. Nobody changes it: whoever wants another makes a copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import lru_cache
from typing import Any

from phb_fhir.change import Version
from phb_fhir.definitions.walk import rewrite
from phb_fhir.fhir.codec import Resource, loads
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.subset import STORED_DEPTH_MAX

_KEPT_MAX = 256  # so many contents are kept …
_KEPT_BYTES_MAX = 32_000  # … each no longer than this


def content_of(version: Version | None) -> Resource:
    """What a version holds; nothing at all for none, and for a deletion."""
    if version is None or version.json is None:
        return {}
    return (_kept if len(version.json) <= _KEPT_BYTES_MAX else _decoded)(version.json)


def _decoded(json: bytes) -> Resource:
    content: Resource = loads(json, depth_max=STORED_DEPTH_MAX)
    return content


_kept = lru_cache(maxsize=_KEPT_MAX)(_decoded)


def held(context: Context, version: Version | None) -> Resource | None:
    """What a version holds (`content_of`), as rules see it (`relative`); None for none, and for a deletion."""
    if version is None or version.json is None:
        return None
    content = content_of(version)
    return relative(context, content) if _ABSOLUTE in version.json else content


_ABSOLUTE = b'"reference":"http'  # as `dumps` writes it


def relative(context: Context, resource: Resource | None) -> Resource | None:
    """The resource with its references to this server's own address as they are written here: `Account/1`."""
    if resource is None or not any(_absolute(resource)):
        return resource
    made = deepcopy(resource)
    rewrite(made, context.definitions, lambda at: context.own.local(at.value) if at.kind == "Reference" else None)
    return made


def _absolute(value: Any) -> Iterator[bool]:
    """Whether anything in it is an absolute reference: a quick look, so that few are copied."""
    if isinstance(value, dict):
        reference = value.get("reference")
        if isinstance(reference, str) and reference.startswith("http"):
            yield True
        for each in value.values():
            if isinstance(each, dict | list):
                yield from _absolute(each)
    elif isinstance(value, list):
        for each in value:
            yield from _absolute(each)

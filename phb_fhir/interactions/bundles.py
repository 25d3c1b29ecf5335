"""Answered Bundles as resources. The resources in them are JSON text already, and are put in as they are."""

from __future__ import annotations

from typing import Any

import orjson

from phb_fhir.interactions.request import BundleAnswer, Entry


def bundle_resource(answer: BundleAnswer) -> dict[str, Any]:
    """The Bundle to write with `codec.dumps`; entry resources are fragments, not to be walked."""
    made: dict[str, Any] = {"resourceType": "Bundle"}
    if answer.identifier is not None:
        made["identifier"] = dict(answer.identifier)
    made["type"] = answer.type
    if answer.timestamp:
        made["timestamp"] = answer.timestamp
    if answer.total is not None:
        made["total"] = answer.total
    if answer.links:
        made["link"] = [{"relation": relation, "url": url} for relation, url in answer.links]
    if answer.entries:
        made["entry"] = [_entry(entry) for entry in answer.entries]
    return made


def _entry(entry: Entry) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if entry.full_url:
        made["fullUrl"] = entry.full_url
    if entry.resource is not None:
        made["resource"] = orjson.Fragment(entry.resource)
    if entry.search_mode:
        made["search"] = {"mode": entry.search_mode}
    if entry.request:
        made["request"] = entry.request
    if entry.response:
        made["response"] = entry.response
    return made

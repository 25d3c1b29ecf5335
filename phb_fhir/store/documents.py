"""How a version looks in MongoDB.

`resources` holds the current version of everything, one document each, `_id` its reference (`Patient/1`):

    {_id, type, id, version, at, method, deleted, json, ix: {token: [...]}}

`json` is the exact text that a read answers, as a string, so that anyone with a MongoDB shell can read the record. A
deleted resource keeps its document, without `json` and `ix`. `history` holds every version that was superseded, `_id` its
versioned reference (`Patient/1/3`), with `key` (`Patient/1`) and `until`, the instant it stopped being current. The two
together are the complete history; a version is in exactly one of them, because both change in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import bson
from bson.codec_options import CodecOptions

from phb_fhir.change import Version
from phb_fhir.outcome import Kind, Refusal, refuse

Document = dict[str, Any]

RESOURCES = "resources"
HISTORY = "history"
LOCKS = "locks"
META = "meta"

CODEC: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)

DOCUMENT_BYTES_MAX = 16 * 1024 * 1024 - 1024  # MongoDB's limit, less what a version needs more in the history
_WEIGHED_BYTES_MIN = 1_000_000  # of JSON; with less the document is small enough, whatever its index entries


def document_of(version: Version, tokens: Sequence[str]) -> Document:
    """The `resources` document of a version that becomes current. Raises Rejected (413) when MongoDB would not take it."""
    document: Document = {
        "_id": version.key,
        "type": version.type,
        "id": version.id,
        "version": version.number,
        "at": version.at,
        "method": version.method,
        "deleted": version.json is None,
    }
    if version.json is not None:
        document["json"] = version.json.decode()
        document["ix"] = {"token": list(tokens)}
        if len(version.json) > _WEIGHED_BYTES_MIN and len(bson.encode(document)) > DOCUMENT_BYTES_MAX:
            # found out here, because MongoDB would refuse its neighbours in the same batch along with it
            text = "The resource is larger than the 16 MB that the database keeps in one piece."
            raise refuse(Refusal.TOO_LARGE, Kind.TOO_LONG, text)
    return document


def superseded(version: Version, until: datetime) -> Document:
    """The `history` document of a version that was current and is not any more."""
    document: Document = {
        "_id": f"{version.key}/{version.number}",
        "key": version.key,
        "type": version.type,
        "id": version.id,
        "version": version.number,
        "at": version.at,
        "until": until,
        "method": version.method,
    }
    if version.json is not None:
        document["json"] = version.json.decode()
    return document


def version_of(document: Document) -> Version:
    """The version in a document of either collection."""
    text = document.get("json")
    return Version(
        document["type"],
        document["id"],
        document["version"],
        document["at"],
        document["method"],
        None if text is None else text.encode(),
    )


WITHOUT_INDEX = {"ix": 0}

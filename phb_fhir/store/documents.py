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

from bson.codec_options import CodecOptions

from phb_fhir.change import Version

Document = dict[str, Any]

RESOURCES = "resources"
HISTORY = "history"
LOCKS = "locks"
META = "meta"

CODEC: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)

_READ_FIELDS = ("type", "id", "version", "at", "method", "json")


def document_of(version: Version, tokens: Sequence[str]) -> Document:
    """The `resources` document of a version that becomes current."""
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


PROJECTION = dict.fromkeys(_READ_FIELDS, 1)

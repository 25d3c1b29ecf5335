"""How a version looks in MongoDB.

`resources` holds the current version of everything, one document each, `_id` its reference (`Patient/1`):

    {_id, type, id, version, at, method, deleted, seq, a: [...], json,
     ix: {g, k: [...], lo: {<Type>: {...}}, r: {...}, c: {...}}}

`json` is the exact text that a read answers, as a string, so that anyone with a MongoDB shell can read the record. A
deleted resource keeps its document, without `json` and `ix`. `seq` is an ObjectId made with the first version and kept by
all that follow, deletions included: the order of a search that asks for none. `ix` holds the index values (docs/search.md):
`g` the digest of the parameters they were made by, `k` the entries, `lo` texts to sort by, `r` the intervals, `c` the
elements of composites. Each text of `lo` ends with a tab and the `seq`, which makes of any of them a complete order.

`a` are the entries by which access is decided (`search/access`), kept with every version, deletions and superseded ones too.

`history` holds every version that was superseded, `_id` its versioned reference (`Patient/1/3`), with `key` (`Patient/1`)
and `until`, the instant it stopped being current. The two together are the complete history; a version is in exactly one
of them, because both change in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
from bson.codec_options import CodecOptions

from phb_fhir.change import Version
from phb_fhir.outcome import Kind, Refusal, refuse
from phb_fhir.search.kinds.kind import Index

Document = dict[str, Any]

RESOURCES = "resources"
HISTORY = "history"
LOCKS = "locks"
META = "meta"
AUDIT = "audit"
PENDING = "audit_pending"
LEDGER = "ledger"
BALANCES = "balances"
REQUESTS = "requests"
COLLECTIONS = (
    META,
    RESOURCES,
    HISTORY,
    LEDGER,
    BALANCES,
    REQUESTS,
    AUDIT,
    PENDING,
)  # the record; LOCKS says only who is at work

RESTORING = "restoring"  # the note in `meta` of a record that a back-up is being made into (store/backup)
UNFINISHED = (
    "The record here is a part of a back-up: `phb-fhir restore` has not finished. If nobody runs it, run it again."
)
PAGE_KEY = "page-key"  # the secret in `meta` that page links are signed with
OURS = (PAGE_KEY, RESTORING)  # one of which `meta` has, wherever there is a record
WITH_EACH = frozenset({"type", "version", "seq"})  # of what is in `resources`

CODEC: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)

DOCUMENT_BYTES_MAX = 16 * 1024 * 1024 - 1024  # MongoDB's limit, less what a version needs more in the history
_WEIGHED_BYTES_MIN = 1_000_000  # of JSON; with less the document is small enough, whatever its index entries
_WEIGHED_VALUES_MIN = 10_000  # … up to so many of them

SEQ_MARK = "\t"  # between a sortable text and the seq: before any character that a text may have
# of a parameter, beside the sortable text that goes by its name alone
MAX = "~max"  # the greatest, where it may have several values
UNIT = "~unit"  # of a quantity: its unit and its number, both in base units where they are known
LONG = "~long"  # the first beginning of its long intervals, where one is long
END = "~end"  # … and the last end of any

_ESCAPES = {"%": "%25", ".": "%2E", "$": "%24"}  # in names of fields, where MongoDB means something by them


def field_of(parameter: str) -> str:
    """The name of a field for a search parameter's code."""
    return parameter.translate(_ESCAPED)


_ESCAPED = str.maketrans(_ESCAPES)


def _parameter_of(field: str) -> str:
    for character, escape in reversed(_ESCAPES.items()):
        field = field.replace(escape, character)
    return field


def value_path(type_: str, name: str) -> str:
    """Where the sortable text of this name (`date`, `date~max`) is in the documents of a type."""
    return f"ix.lo.{type_}.{field_of(name)}"


def document_of(version: Version, index: Index | None, before: Version | None = None) -> Document:
    """The `resources` document of a version that becomes current, after `before`.

    Raises Rejected (413) when MongoDB would not take it.
    """
    seq = bson.ObjectId(version.seq or (before.seq if before else "") or None)
    document: Document = {
        "_id": version.key,
        "type": version.type,
        "id": version.id,
        "version": version.number,
        "at": version.at,
        "method": version.method,
        "deleted": version.json is None,
        "seq": seq,
        "a": list(version.access),
    }
    if version.json is not None:
        document["json"] = version.json.decode()
        document["ix"] = index_document(index or Index(), version.type, str(seq))
        _weigh(document, version.json, index)
    return document


def _weigh(document: Document, json: bytes, index: Index | None) -> None:
    is_large = len(json) > _WEIGHED_BYTES_MIN or (index is not None and _values(index) > _WEIGHED_VALUES_MIN)
    if is_large and len(bson.encode(document)) > DOCUMENT_BYTES_MAX:
        # found out here, because MongoDB would refuse its neighbours in the same batch along with it
        text = "The resource is larger than the 16 MB that the database keeps in one piece."
        raise refuse(Refusal.TOO_LARGE, Kind.TOO_LONG, text)


def _values(index: Index) -> int:
    return len(index.keys) + sum(len(rows) for part in (index.spans, index.joined) for rows in part.values())


# --- index values ---


def index_document(index: Index, type_: str, seq: str) -> Document:
    """The `ix` of a document."""
    texts = {field_of(name): f"{text}{SEQ_MARK}{seq}" for name, text in (index.lo | _long(index)).items()}
    made: Document = {"g": index.digest, "k": list(index.keys), "lo": {type_: texts} if texts else {}}
    made["r"] = {field_of(name): rows for name, rows in index.spans.items() if rows}
    made["c"] = {field_of(name): elements for name, elements in index.joined.items() if elements}
    return {name: value for name, value in made.items() if value or name == "g"}


def index_of(document: Document) -> Index:
    """The index values in a document, as they were given."""
    ix = document.get("ix", {})
    texts = ix.get("lo", {}).get(document["type"], {})
    return Index(
        dict.fromkeys(ix.get("k", ())),
        {_parameter_of(n): text.rpartition(SEQ_MARK)[0] for n, text in texts.items() if not n.endswith(END)},
        {_parameter_of(name): rows for name, rows in ix.get("r", {}).items()},
        {_parameter_of(name): elements for name, elements in ix.get("c", {}).items()},
        ix.get("g", ""),
    )


def _long(index: Index) -> dict[str, str]:
    """Where the long intervals of each parameter begin and end: the beginnings of the short ones tell where they end."""
    found: dict[str, str] = {}
    for name, rows in index.spans.items():
        for path, ends in _sorted_by(name, rows).items():
            begins = [low for low, high in ends if low < earliest(high)]
            if begins:
                found |= {path + LONG: min(begins), path + END: max(high for _, high in ends)}
    return found


def _sorted_by(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[str, str]]]:
    """The ends of the intervals, by the sortable text that they go with: of quantities, one is in base units."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        units = row.get("u", ())
        unit = canonical_unit(units[0]) if units else None
        low, high = row["lo"], row["hi"]
        path, ends = (name, (low, high)) if unit is None else (name + UNIT, (f"{unit}|{low}", f"{unit}|{high}"))
        found.setdefault(path, []).append(ends)
    return found


def canonical_unit(unit: str) -> str | None:
    """The base unit that is named behind a `~`; None for a unit as it was written."""
    return unit[1:] if unit.startswith("~") else None


def earliest(end: str) -> str:
    """Where an interval that ends here begins at the earliest unless it is long: a day before; for a number, there."""
    if len(end) != _MOMENT_LENGTH or end[-1] != "Z":
        return end
    try:
        day_before = datetime.fromisoformat(end[:-1]) - timedelta(days=1)
    except (ValueError, OverflowError):
        return ""
    return day_before.isoformat(timespec="microseconds") + "Z"


_MOMENT_LENGTH = len("2026-11-22T09:00:00.000000Z")


# --- versions that were superseded, and versions read ---


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
        "a": list(version.access),
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
        str(document.get("seq", "")),
        tuple(document.get("a", ())),
    )


WITHOUT_INDEX = {"ix": 0}

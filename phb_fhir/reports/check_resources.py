"""Whether resources are as they should lie: their text, their index values, their versions, and what they refer to."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from phb_fhir.definitions.walk import references
from phb_fhir.fhir.codec import Resource, loads
from phb_fhir.fhir.dates import instant_text
from phb_fhir.fhir.reference import unversioned
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.subset import STORED_DEPTH_MAX
from phb_fhir.reports.drift import Drift, Looked
from phb_fhir.search.access import access_entries
from phb_fhir.security.policy import GUIDE
from phb_fhir.store.documents import Document, index_document
from phb_fhir.store.sweep import Still

_LOCAL = re.compile(r"([A-Z][A-Za-z]*/[A-Za-z0-9\-.]{1,64})(?:/_history/(\d{1,9}))?")
# of these, what they refer to may never have been here: definitions come from elsewhere, and who was refused, asked for anything
_ABOUT_ELSEWHERE = frozenset((*GUIDE, "AuditEvent"))
_SHOWN_MAX = 5  # index entries that are named in one sentence


def read_content(document: Document) -> Resource | None:
    """What a document holds; None for a deletion. Raises ValueError for a text that is no resource."""
    text = document.get("json")
    if text is None:
        return None
    try:
        content = loads(text.encode(), depth_max=STORED_DEPTH_MAX)
    except Exception as error:
        raise ValueError(str(error)) from error
    if not isinstance(content, dict):
        raise ValueError("no object")  # noqa: TRY004 - it is the text that is wrong
    return content


def check_current(context: Context, document: Document, content: Resource | None, looked: Looked) -> Iterator[Drift]:
    """What is wrong with what is current: a resource that is not what its document says, or is not found by what is in it."""
    key = str(document["_id"])
    if content is None:
        if not document.get("deleted"):
            yield Drift("content", key, "It has no text, and is not deleted.")
        return
    if document.get("deleted"):
        yield Drift("content", key, "It is marked as deleted, and has a text.")
    elif why := _misplaced(document, content):
        yield Drift("content", key, why)
    else:
        yield from _index(context, key, document, content, looked)


def _misplaced(document: Document, content: Resource) -> str:
    meta = content.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    at = document.get("at")
    said = {
        "type": content.get("resourceType"),
        "id": content.get("id"),
        "version": meta.get("versionId"),
        "time": meta.get("lastUpdated"),
    }
    is_ = {
        "type": document.get("type"),
        "id": document.get("id"),
        "version": str(document.get("version")),
        "time": instant_text(at) if isinstance(at, datetime) else None,
    }
    wrong = [
        f"the {name} {said[name]}, and its place is that of {is_[name]}" for name in said if said[name] != is_[name]
    ]
    if document["_id"] != f"{document.get('type')}/{document.get('id')}":
        wrong.append(f"the place of {document.get('type')}/{document.get('id')}")
    return f"Its text has {'; '.join(wrong)}." if wrong else ""


def _index(context: Context, key: str, document: Document, content: Resource, looked: Looked) -> Iterator[Drift]:
    index = context.index_of(content, str(content["id"]))
    kept: Any = document.get("ix") or {}
    if kept.get("g") != index.digest and kept.get("g"):
        looked.behind += 1  # made by other parameters: `phb-fhir index` tells how far that is
        return
    wanted = index_document(index, str(document["type"]), str(document.get("seq")))
    if kept != wanted:
        yield Drift("index", key, f"Its index values are not those of its content: {_difference(kept, wanted)}.")
    if list(document.get("a") or ()) != list(access_entries(index.keys)):
        yield Drift("index", key, "The entries by which it is decided who may see it are not those of its content.")


def _difference(kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    has, wants = set(kept.get("k", ())), set(wanted.get("k", ()))
    said = [f"it lacks {one}" for one in sorted(wants - has)] + [f"it has {one}" for one in sorted(has - wants)]
    said += [f"they differ in {name}" for name in ("lo", "r", "c") if kept.get(name) != wanted.get(name)]
    return "; ".join(said[:_SHOWN_MAX]) or "they are in another order"


# ---- versions --------------------------------------------------------------------------------------


async def check_versions(still: Still, documents: Sequence[Document], looked: Looked) -> AsyncIterator[Drift]:
    """Whether each has a version of every number below its own, each ending where the next begins."""
    current = {str(one["_id"]): one for one in documents}
    next_: dict[str, tuple[int, Any]] = {
        key: (int(one.get("version") or 0), one.get("at")) for key, one in current.items()
    }
    told: set[str] = set()
    async for one in still.superseded(list(current)):
        looked.versions += 1
        number, begins = next_[one.key]
        if one.key not in told:
            if one.number != number - 1:
                told.add(one.key)
                yield Drift("history", one.key, f"Before version {number} comes version {one.number}.")
            elif one.until != begins:
                told.add(one.key)
                yield Drift("history", one.key, f"Version {one.number} does not end when version {number} begins.")
        next_[one.key] = (one.number if isinstance(one.number, int) else number - 1, one.at)
    for key, (number, _) in next_.items():
        looked.versions += 1
        if number != 1 and key not in told:
            yield Drift("history", key, f"Its history begins with version {number}; what was before that is not there.")


# ---- what they refer to ----------------------------------------------------------------------------


def references_in(context: Context, content: Resource) -> dict[str, str]:
    """What a resource refers to here, `Patient/1` or with a version, with where it does so first."""
    type_ = str(content.get("resourceType"))
    if type_ in _ABOUT_ELSEWHERE:
        return {}
    found: dict[str, str] = {}
    for at in references(content, context.definitions):
        if at.kind != "Reference" or (type_ == "Provenance" and not at.path.startswith("Provenance.target")):
            continue
        local = _LOCAL.fullmatch(context.own.local(at.value))
        if local is not None and local[1].partition("/")[0] in context.capability.types:
            found.setdefault(local[0], at.path)
    return found


async def check_references(
    context: Context, still: Still, contents: Mapping[str, Resource], looked: Looked
) -> AsyncIterator[Drift]:
    """Whether what these refer to is there; what was deleted is there, and so are its versions."""
    several = {key: references_in(context, content) for key, content in contents.items()}
    targets = {unversioned(reference) for found in several.values() for reference in found}
    there = await still.current(targets)
    for key, found in several.items():
        looked.references += len(found)
        for reference, path in found.items():
            target, _, number = reference.partition("/_history/")
            if target not in there:
                yield Drift("reference", key, f"It refers to {target}, which is not there ({path}).")
            elif number and not 1 <= int(number) <= int(there[target].get("version") or 0):
                yield Drift("reference", key, f"It refers to {reference}, a version that is not there ({path}).")

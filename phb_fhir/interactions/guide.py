"""The guide of `profiles/`, kept readable: each of its definitions is a resource that can be read and searched like any other.

A note in the database says which state of the guide is there. A start that finds its own state reads that note and nothing
more. One that does not puts the guide in place in one transaction: what is new or changed gets a new version, what the guide
no longer has is deleted. Several servers that start at once meet at a lock, and one does it.

These resources are for reading. What resources are held against is the guide itself, as it came with the software, so
nothing that happens to them changes what is right; and nobody changes them but the next guide (`knowledge.check_guide`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import structlog

from phb_fhir.change import Delete, Put, Version
from phb_fhir.definitions.guide import NO_GUIDE, Guide, published
from phb_fhir.definitions.kept import Kept
from phb_fhir.definitions.registry import Registry
from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import to_millisecond
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.versions import is_same, next_version
from phb_fhir.store.store import Transaction, Write

NOTE = "guide"

_log = structlog.get_logger("phb_fhir")


async def keep_guide(context: Context, guide: Guide) -> None:
    """Put the guide in place, unless it is there already; with `NO_GUIDE`, take away what was there of one.

    Raises Rejected when the database cannot.
    """
    if _is_there(await context.store.note_of(NOTE), guide):
        return
    contents = published(guide, Registry.of(context.definitions, guide.resources))

    async def work(transaction: Transaction) -> int:
        await transaction.lock([NOTE])
        note = await transaction.note_of(NOTE)
        if _is_there(note, guide):
            return 0
        before: dict[str, str] = (note or {}).get("urls", {})
        view = await transaction.read_all({*contents, *before})
        writes = list(_writes(context, contents, before, view, to_millisecond(context.now())))
        await transaction.write(writes)
        await transaction.note(NOTE, {"digest": guide.digest, "urls": dict(guide.urls)})
        return len(writes)

    written = await context.store.transaction(work, contended=[NOTE])
    _log.info("guide", written=written)


def _is_there(note: Mapping[str, Any] | None, guide: Guide) -> bool:
    there: str = (note or {}).get("digest", NO_GUIDE.digest)
    return there == guide.digest


def _writes(
    context: Context,
    contents: Mapping[str, Resource],
    before: Mapping[str, str],
    view: Mapping[str, Version],
    now: datetime,
) -> Iterator[Write]:
    for key, content in contents.items():
        current = view.get(key)
        if current is not None and current.json is not None:
            if is_same(current, content):
                continue
            if Kept.of_text(current.json).url not in (content.get("url", ""), before.get(key)):
                _log.warning("guide", reason=f"{key} is somebody's own, so the guide's is not put there.")
                continue
        type_, _, id_ = key.partition("/")
        index = context.index_of(content, id_)
        yield Write(current, next_version(Put(type_, id_, content), current, content, now, index), index)
    for key in before.keys() - contents.keys():
        gone = view.get(key)
        if gone is not None and gone.json is not None:
            yield Write(gone, next_version(Delete(gone.type, gone.id), gone, None, now, None), None)

"""What was recorded is made readable: AuditEvents are published of the trail.

That is done in the background while a worker is idle (`keep_trail`), and at the latest before a question is answered that could see one
(`show_trail`), so that nobody who asks misses what was done a moment ago. What is published of a record is always the same, byte for
byte (`published`), so two workers that publish the same do no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import parse_qsl

import structlog

from phb_fhir.change import Version
from phb_fhir.fhir.codec import Resource, dumps
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.entries import asked_in, entries_sent
from phb_fhir.interactions.reindex import owner
from phb_fhir.interactions.request import FhirRequest
from phb_fhir.interactions.search_type import EVERY_TYPE
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.search.access import access_entries
from phb_fhir.search.kinds.kind import Index
from phb_fhir.security.audit import Block, Head, Record, instant
from phb_fhir.security.audit_event import Place, events
from phb_fhir.store.patience import patiently
from phb_fhir.store.trail import Chain

PUBLISH_BLOCKS = 32  # at once
PUBLISH_EVENTS_MAX = 500  # in one insert
PUBLISH_WAIT_MAX_S = 8.0  # for which a question waits; past it, it is told to come again
LOOK_S = 1.0  # how often a worker looks whether there is anything to publish
LEFT_AFTER_S = 5.0  # after which what is pending was left by a crash
BEHIND_MAX_S = 600.0  # for which a busy worker puts publishing off
REST = 1.0  # of the time that publishing took, it is quiet
TELL_HEAD_S = 60.0  # how often the log is told of the head

_log = structlog.get_logger("phb_fhir.audit")


def could_show(request: FhirRequest) -> bool:
    """Whether the answer to this question could have an AuditEvent in it, or go by one."""
    segments = request.segments
    if "AuditEvent" in segments or EVERY_TYPE in segments or "$everything" in segments:
        return True
    if not segments or segments[0].startswith(("_", "$")):
        return True
    return any(
        "AuditEvent" in name or "AuditEvent" in value or (name.startswith("_revinclude") and value.startswith("*"))
        for name, value in request.parameters
    )


async def show_trail(context: Context, request: FhirRequest) -> None:
    """Publish all that was recorded until now, where the question could see it. Raises Rejected (503) when that takes too long."""
    if context.access is not None and not context.access.sees_type("AuditEvent"):
        return
    if not any(could_show(one) for one in _questions(request)):
        return
    try:
        with patiently(PUBLISH_WAIT_MAX_S, "reading the audit trail") as most_s:
            async with asyncio.timeout(most_s):
                await publish(context)
    except TimeoutError:
        context.scribe.wanted.set()  # the background goes on with it, busy or not
        text = "The audit trail is being made readable. Ask again in a moment."  # how much is left, tells of others
        raise refuse(Refusal.UNAVAILABLE, Kind.TRANSIENT, text) from None


def _questions(request: FhirRequest) -> list[FhirRequest]:
    """The questions in a request: itself, if it is one, or those of a Bundle that is posted."""
    if request.method == "GET":
        return [request]
    if request.segments:  # a search by form, or an operation
        return [request] if request.segments[-1] == "_search" or request.segments[-1].startswith("$") else []
    asked = [asked_in(entry) for entry in entries_sent(request)]
    urls = [
        str(one.get("url", "")).removeprefix(request.base).strip("/") for one in asked if one.get("method") in _READS
    ]
    parts = [url.partition("?") for url in urls]
    return [
        FhirRequest("GET", tuple(path.split("/")) if path else (), tuple(parse_qsl(query))) for path, _, query in parts
    ]


_READS = ("GET", "HEAD")


async def publish(context: Context) -> int:
    """Make AuditEvents of everything that is recorded now. Gives how many blocks of it that were. Raises Rejected (503)."""
    chain, scribe = context.store.trail, context.scribe
    scribe.waiting += 1
    try:
        async with scribe.publishing:
            # nobody who was let look is missing: it is asked of a primary that knows of all (`store/primary`)
            upto = await context.store.steadily("reading the audit trail", lambda: _recorded(chain))
            done = begun = await chain.published()
            while done < upto:
                done = await _publish_some(context, done)
            return done - begun
    finally:
        scribe.waiting -= 1


async def _recorded(chain: Chain) -> int:
    """The number of the last block, once all that was recorded until now is in the chain."""
    await chain.seal_left()
    return (await chain.head()).block


async def _publish_some(context: Context, after: int) -> int:
    """Publish the next few blocks. Gives the number of the last one that is."""
    chain = context.store.trail
    blocks = await chain.blocks(after, count=PUBLISH_BLOCKS)
    made: list[tuple[Version, Index]] = []
    for block in blocks:
        for event in _indexed(context, block):
            made.append(event)
            await asyncio.sleep(0)  # what is done with each takes its time, and requests are waiting
            if len(made) == PUBLISH_EVENTS_MAX:
                await chain.publish(made, block.number - 1)
                made = []
    done = blocks[-1].number if blocks else after
    await chain.publish(made, done)
    return done


def _indexed(context: Context, block: Block) -> Iterable[tuple[Version, Index]]:
    """The AuditEvents of a block, with what they are found by."""
    for number, text in enumerate(block.records):
        for event in published(block, number, text):
            index = context.index_of(event.resource, event.version.id)
            yield event.version._replace(access=access_entries(index.keys)), index


class Published(NamedTuple):
    """An AuditEvent as it is stored: the resource, and the version of it."""

    resource: Resource
    version: Version


def published(block: Block, index: int, text: str) -> list[Published]:
    """What is published of one record of a block, byte for byte. Nothing, of a text that is no record."""
    try:
        record = Record.read(text)
        before = block.seal_of(index - 1) if index else block.before
        made = events(record, Place(block.first + index, before, block.seal_of(index), block.at))
    except ValueError:
        return []
    at = instant(block.at)
    told = []
    for resource in made:
        stamped = {**resource, "meta": {"versionId": "1", "lastUpdated": at, **resource["meta"]}}
        version = Version("AuditEvent", resource["id"], 1, block.at, "POST", dumps(stamped))
        told.append(Published(stamped, version))
    return told


async def keep_trail(context: Context) -> None:
    """Seal what a crash left, publish while nobody asks for anything, and tell the log of the head, for as long as this runs."""
    watch = _Watch(context)
    while True:
        try:
            await watch.look()
        except Rejected as rejected:
            _log.warning("audit", reason=rejected.issues[0].text)
        except Exception:  # noqa: BLE001 - what went wrong with one record must not end this for all
            _log.exception("audit")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await context.scribe.wanted.wait()


class _Watch:
    """What one worker does about the trail in the background. Publishing is one worker's at a time: two do no harm, and no good."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._chain, self._scribe = context.store.trail, context.scribe
        self._owner = owner()
        self._appended = -1  # at the last look, by this worker
        self._caught_up_at = time.monotonic()
        self._told = 0
        self._told_at = self._caught_up_at - TELL_HEAD_S

    async def look(self) -> None:
        """Do what there is to do. Raises Rejected when the database cannot."""
        await self._chain.seal_left(older_than_s=LEFT_AFTER_S)
        head = await self._chain.head()
        self._tell(head)
        if not self._scribe.wanted.is_set() and await self._context.store.room.is_short():
            return  # the trail itself is kept with what room there is; the AuditEvents made of it can wait until they are asked for
        was_idle, self._appended = self._appended == self._chain.appended, self._chain.appended
        is_pressing = self._scribe.wanted.is_set() or time.monotonic() - self._caught_up_at > BEHIND_MAX_S
        if (was_idle or is_pressing) and await self._publish(head.block, is_pressing=is_pressing):
            self._caught_up_at = time.monotonic()
            self._scribe.wanted.clear()

    async def _publish(self, upto: int, *, is_pressing: bool) -> bool:
        """Whether everything up to that block is published; it stops as soon as somebody asks for something."""
        done = await self._chain.published()
        while done < upto:
            is_wanted = is_pressing or self._appended == self._chain.appended
            if self._scribe.waiting or not is_wanted or not await self._chain.take_turn(self._owner):
                return False
            begun = time.monotonic()
            async with self._scribe.publishing:
                done = await _publish_some(self._context, done)
            await asyncio.sleep(REST * (time.monotonic() - begun))
        return True

    def _tell(self, head: Head) -> None:
        """Tell the log, which others keep, where the trail ends."""
        if head.number != self._told and time.monotonic() - self._told_at > TELL_HEAD_S:
            _log.info("head", number=head.number, seal=head.seal.hex())
            self._told, self._told_at = head.number, time.monotonic()

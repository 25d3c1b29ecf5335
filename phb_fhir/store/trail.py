"""How the audit trail is kept (`security/audit` says what it is).

`audit` has the chain, a document for each block:

    {_id: number, first, last, before, seal, at, records: [text, ...], seals, pending: [...]}

`before` and `seal` are hexadecimal, `seals` the seals of the records one behind the other. Blocks are only ever inserted. All
records that come in one moment share a block, and so one insert, acknowledged by a majority's journal before any of their answers
leaves. Every process appends to the one chain: the number of the block is its `_id`, so of two that would write the same block one
is told, reads the new head, and seals its records behind that.

`audit_pending` has the records of changes, each inserted by the MongoDB transaction of the change itself, so that there is no
change without a record and no record without a change. They are not chained there, or all writers would queue behind each other.
Right after the commit they are sealed into the chain and taken away; what a crash leaves, any process seals later. A block names
those it took from there (`pending`, which a unique index covers), so that none is sealed twice, whoever does it and whenever.

`meta` has under `audit` how far the chain went, noted shortly after, so that a chain whose end was cut off shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pymongo
from bson import Binary, ObjectId, encode
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError

from phb_fhir.change import Version
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.search.kinds.kind import Index
from phb_fhir.security.audit import START, Block, Head, block_after
from phb_fhir.store.documents import AUDIT, META, PENDING, RESOURCES, Document, document_of
from phb_fhir.store.faults import rejection_of, translated
from phb_fhir.store.gather import Gather
from phb_fhir.store.patience import asked

BLOCK_BYTES_MAX = 4_000_000  # of text; MongoDB takes 16 MB
ATTEMPTS_MAX = 1_000  # of one block against other processes; the time limit comes first
NOTE_AFTER_S = 0.2  # how long the head may be ahead of what is noted of it
CLOSE_MAX_S = 5.0
TURN_MS = 10_000  # a worker that does not renew its turn to publish for so long has lost it
LEFT_MAX = 1_000  # records that are asked for at once, of those that a crash left
_HEAD = "audit"
_PUBLISHED = "audit-published"
_TURN = "audit-publishing"
_DUPLICATE_CODE = 11000
_IN_PLACE = {"_id": {"$gt": 0}}  # the blocks of the chain: of numbers alone, says MongoDB
_HEAD_FIELDS = {"records": 0, "seals": 0}


class Kept(NamedTuple):
    """A record to be sealed: its text, its time, and its id among the pending ones where it is one of those."""

    text: str
    at: datetime
    pending: ObjectId | None = None


class Chain:
    """The trail in the database. What waits raises Rejected (503) when the database cannot."""

    def __init__(self, database: AsyncDatabase[Document], *, batch_max: int, time_max_s: float) -> None:
        self._blocks: AsyncCollection[Document] = database[AUDIT]
        self._pending: AsyncCollection[Document] = database[PENDING]
        self._meta: AsyncCollection[Document] = database[META]
        self._resources: AsyncCollection[Document] = database[RESOURCES]
        self._time_max_s = time_max_s
        # one block at a time: the next one says the seal of this
        self._gather: Gather[Kept, None] = Gather(self._seal, batch_max=batch_max, under_way_max=1)
        self._head: Head | None = None  # while nobody else wrote, as far as is known
        self._sealing: dict[ObjectId, asyncio.Task[None]] = {}
        self._noting: asyncio.Task[None] | None = None
        self._tidying: set[asyncio.Task[None]] = set()
        self.appended = 0  # records that this process has sealed

    # --- appending ---

    async def append(self, text: str, at: datetime) -> None:
        """Seal a record. When this returns, it is in the chain and in a majority's journal."""
        await asked(self._gather, Kept(text, at), self._time_max_s, "keeping the audit trail", last=True)

    async def file(self, session: AsyncClientSession, records: Sequence[tuple[str, datetime]]) -> list[Kept]:
        """Put records down as a part of the transaction of this session. They are to be given to `seal_soon` when it is committed."""
        filed = [Kept(text, at, ObjectId()) for text, at in records]
        await self._pending.insert_many(
            [{"_id": kept.pending, "record": kept.text, "at": kept.at} for kept in filed], session=session
        )
        return filed

    def seal_soon(self, filed: Iterable[Kept]) -> None:
        """Seal these in the background. They are safe where they are, and sealed later if this does not go well."""
        for kept in filed:
            self._sealed(kept)

    async def seal_left(self, *, older_than_s: float = 0) -> int:
        """Seal what is pending for longer than that, whoever put it down. Gives how many records those were."""
        before = ObjectId.from_datetime(datetime.now(UTC) - timedelta(seconds=older_than_s))
        wanted = {"_id": {"$lt": before}} if older_than_s else {}
        count, last = 0, None
        while True:
            with translated("reading the audit trail"):
                page = wanted if last is None else {"_id": {**wanted.get("_id", {}), "$gt": last}}
                found = await self._pending.find(page).sort("_id", 1).limit(LEFT_MAX).to_list()
            if not found:
                return count
            await asyncio.gather(*(self._sealed(Kept(it["record"], it["at"], it["_id"])) for it in found))
            count, last = count + len(found), found[-1]["_id"]

    def _sealed(self, kept: Kept) -> asyncio.Task[None]:
        """The sealing of a pending record, begun once however often it is asked for."""
        if kept.pending is None:
            raise ValueError("only what is pending is sealed like this")
        id_ = kept.pending
        if id_ not in self._sealing:
            task = asyncio.get_running_loop().create_task(self._gather.ask(kept))
            self._sealing[id_] = task
            task.add_done_callback(lambda done: (self._sealing.pop(id_, None), done.cancelled() or done.exception()))
        return self._sealing[id_]

    async def _seal(self, asked: list[Kept]) -> list[BaseException | None]:
        answers: list[BaseException | None] = []
        left = asked
        try:
            with pymongo.timeout(self._time_max_s):
                while left:
                    batch = _fitting(left)
                    await self._insert(batch)
                    left = left[len(batch) :]
                    answers += [None] * len(batch)
        except PyMongoError as error:
            self._head = None  # whether the block is there is not known
            answers += [rejection_of(error, "keeping the audit trail", writing=False)] * len(left)
        except Rejected as rejected:
            answers += [rejected] * len(left)
        self._tidy([kept.pending for kept in asked[: len(asked) - len(left)] if kept.pending is not None])
        return answers

    async def _insert(self, batch: list[Kept]) -> None:
        for attempt in range(ATTEMPTS_MAX):
            if not batch:
                return
            head = self._head or await self.head()
            block = block_after(head, [kept.text for kept in batch], max(kept.at for kept in batch))
            try:
                await self._blocks.insert_one(_document(block, batch))
            except DuplicateKeyError as error:
                self._head = None
                if "pending" in (error.details or {}).get("keyPattern", {}):
                    batch = await self._unsealed(batch)
                await asyncio.sleep(random.uniform(0, 0.001 * min(attempt, 20)))  # noqa: S311 - spreads a crowd
                continue
            self._head = block.head
            self.appended += len(batch)
            self._note_soon()
            return
        text = "Others kept writing to the audit trail at the same moment. Try again in a moment."
        raise refuse(Refusal.UNAVAILABLE, Kind.TRANSIENT, text)

    async def _unsealed(self, batch: list[Kept]) -> list[Kept]:
        """Without those that another process has sealed meanwhile."""
        ids = [kept.pending for kept in batch if kept.pending is not None]
        found = await self._blocks.find({"pending": {"$in": ids}}, {"pending": 1}).to_list()
        sealed = {id_ for document in found for id_ in document["pending"]}
        return [kept for kept in batch if kept.pending not in sealed]

    def _tidy(self, sealed: Sequence[ObjectId]) -> None:
        """Take away what is in the chain. Where that fails it is found again, and not sealed again."""
        if sealed:
            task = asyncio.get_running_loop().create_task(self._take_away(sealed))
            self._tidying.add(task)
            task.add_done_callback(self._tidying.discard)

    async def _take_away(self, sealed: Sequence[ObjectId]) -> None:
        with contextlib.suppress(PyMongoError), pymongo.timeout(self._time_max_s):
            await self._pending.delete_many({"_id": {"$in": list(sealed)}})

    # --- the head ---

    async def head(self) -> Head:
        """Where the chain ends now, as far as a majority has it: behind a block that could be rolled back, none is put."""
        with translated("reading the audit trail"):
            found = await self._blocks.find_one(_IN_PLACE, _HEAD_FIELDS, sort=[("_id", -1)])
        return _head_of(found) if found else START

    async def noted(self) -> Head:
        """How far the chain went once: where it ends, or a moment behind that. `START` where nothing was ever kept."""
        with translated("reading the audit trail"):
            found = await self._meta.find_one({"_id": _HEAD})
        return Head(found["block"], found["number"], _bytes(found["seal"]), found["at"]) if found else START

    def _note_soon(self) -> None:
        if self._noting is None or self._noting.done():
            self._noting = asyncio.get_running_loop().create_task(self._note_later())

    async def _note_later(self) -> None:
        await asyncio.sleep(NOTE_AFTER_S)
        self._noting = None  # what comes from now on is noted by the next
        await self._note()

    async def _note(self) -> None:
        head = self._head
        if head is None:
            return
        said = {"block": head.block, "number": head.number, "seal": head.seal.hex(), "at": head.at}
        # another process may be further already: then there is nothing to update, and the insert is refused
        with contextlib.suppress(PyMongoError), pymongo.timeout(self._time_max_s):
            await self._meta.update_one({"_id": _HEAD, "block": {"$lt": head.block}}, {"$set": said}, upsert=True)

    async def close(self) -> None:
        """End what is under way, and note the head."""
        under_way = {*self._sealing.values(), *self._tidying}
        if under_way:
            await asyncio.wait(under_way, timeout=CLOSE_MAX_S)
        if self._tidying:
            await asyncio.wait(self._tidying, timeout=CLOSE_MAX_S)
        if self._noting is not None and not self._noting.done():
            self._noting.cancel()
            await self._note()

    # --- reading ---

    async def blocks(self, after: int, *, count: int) -> list[Block]:
        """Up to `count` blocks with higher numbers, in their order."""
        with translated("reading the audit trail"):
            found = await self._blocks.find({"_id": {"$gt": after}}).sort("_id", 1).limit(count).to_list()
        return [_block_of(document) for document in found]

    async def all(self, after: int = 0, *, at_once: int = 100) -> AsyncIterator[Block]:
        """Every block with a higher number, in their order."""
        while blocks := await self.blocks(after, count=at_once):
            for block in blocks:
                yield block
            after = blocks[-1].number

    async def astray(self) -> str:
        """How a block is called that has no place in the chain, which begins with block 1; "" where there is none."""
        with translated("reading the audit trail"):
            found = await self._blocks.find_one({"_id": {"$not": _IN_PLACE["_id"]}}, {"_id": 1}, sort=[("_id", 1)])
        return repr(found["_id"]) if found else ""

    async def block_with(self, number: int) -> Block | None:
        """The block that has the record of this number."""
        with translated("reading the audit trail"):
            found = await self._blocks.find_one({"last": {"$gte": number}}, sort=[("_id", 1)])
        return _block_of(found) if found else None

    async def pending(self) -> int:
        """How many records of changes wait to be sealed."""
        with translated("reading the audit trail"):
            return await self._pending.count_documents({})

    # --- what is published of it ---

    async def published(self) -> int:
        """The number of the last block whose AuditEvents are among the resources; 0 for none."""
        with translated("reading the audit trail"):
            found = await self._meta.find_one({"_id": _PUBLISHED})
        return int(found["block"]) if found else 0

    async def take_turn(self, owner: str) -> bool:
        """Have the turn to publish, or keep it: it is this owner's already, or nobody's, or was let lapse. By MongoDB's clock."""
        free = {"$or": [{"$eq": ["$owner", {"$literal": owner}]}, {"$lt": ["$until", "$$NOW"]}]}
        held = {"$set": {"owner": {"$literal": owner}, "until": {"$add": ["$$NOW", TURN_MS]}}}
        with translated("publishing the audit trail"):
            for _ in range(2):
                done = await self._meta.update_one({"_id": _TURN, "$expr": free}, [held])
                if done.matched_count:
                    return True
                made = await self._meta.update_one({"_id": _TURN}, {"$setOnInsert": {"until": START.at}}, upsert=True)
                if made.upserted_id is None:
                    return False
        return False

    async def stored(self, keys: Sequence[str]) -> dict[str, Document]:
        """Of the published AuditEvents with these keys, what is stored: all but their index values; no `json`, if one was deleted."""
        with translated("reading what is published of the audit trail"):
            found = await self._resources.find({"_id": {"$in": list(keys)}}, {"ix": 0, "a": 0}).to_list()
        return {document["_id"]: document for document in found}

    async def audit_events(self) -> AsyncIterator[tuple[str, str]]:
        """Every AuditEvent that is stored, wherever it came from: its key and its text."""
        with translated("reading what is published of the audit trail"):
            wanted = {"type": "AuditEvent", "deleted": False}
            async for document in self._resources.find(wanted, {"json": 1}):
                yield document["_id"], str(document.get("json", ""))

    async def publish(self, events: Sequence[tuple[Version, Index]], upto: int) -> None:
        """Put these into the resources, those that are not there yet, and note that the blocks up to this one are."""
        documents = [document_of(version, index) for version, index in events]
        with translated("publishing the audit trail", writing=True):
            try:
                if documents:
                    await self._resources.insert_many(documents, ordered=False)
            except BulkWriteError as error:
                if any(row.get("code") != _DUPLICATE_CODE for row in error.details.get("writeErrors", ())):
                    raise
            with contextlib.suppress(DuplicateKeyError):  # somebody is further already
                further = {"_id": _PUBLISHED, "block": {"$lt": upto}}
                await self._meta.update_one(further, {"$set": {"block": upto}}, upsert=True)


def _fitting(kept: Sequence[Kept]) -> list[Kept]:
    """As many from the start as go into one block; one at least."""
    size, count = 0, 0
    for one in kept:
        size += 4 * len(one.text) if not one.text.isascii() else len(one.text)
        if count and size > BLOCK_BYTES_MAX:
            break
        count += 1
    return list(kept[:count])


def _document(block: Block, batch: Sequence[Kept]) -> Document:
    document: Document = {
        "_id": block.number,
        "first": block.first,
        "last": block.last,
        "before": block.before.hex(),
        "seal": block.seal.hex(),
        "at": block.at,
        "records": list(block.records),
        "seals": Binary(block.seals),
    }
    if pending := [kept.pending for kept in batch if kept.pending is not None]:
        document["pending"] = pending
    return document


def _block_of(document: Document) -> Block:
    """The block in a document. What somebody damaged by hand is read as well as it can be, for `check` to tell."""
    records = tuple(text if isinstance(text, str) else repr(text) for text in _list(document.get("records")))
    seals = document.get("seals")
    block = Block(
        document["_id"],
        _number(document.get("first")),
        _number(document.get("last")),
        _bytes(document.get("before")),
        _bytes(document.get("seal")),
        at if isinstance(at := document.get("at"), datetime) else START.at,
        records,
        bytes(seals) if isinstance(seals, bytes) else b"",
    )
    return block._replace(odd=_odd(document, _document(block, ())))


def _odd(document: Document, made: Document) -> str:
    """The first field that is not, to the byte, as it is written; "" where there is none. Records and seals answer for one another."""
    names = sorted({*document, *made} - {"records", "seals", "pending"})
    return next((name for name in names if encode({"": document.get(name)}) != encode({"": made.get(name)})), "")


def _head_of(document: Document) -> Head:
    """Raises Rejected (503) for a block that somebody damaged: nothing can be put behind it."""
    block = _block_of(document)
    if block.odd:
        text = f"The audit trail cannot go on: its last block ({block.number}) was damaged. phb-fhir audit verify says more."
        raise refuse(Refusal.UNAVAILABLE, Kind.EXCEPTION, text)
    return block.head


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _bytes(value: Any) -> bytes:
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        return b""

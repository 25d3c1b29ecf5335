"""Reading and writing versions.

`Reader` answers questions; `Store` is the reader that the server works with, gathering single reads and single inserts
into batches; `Transaction` is the reader inside one MongoDB transaction, which can also write. A write is acknowledged
when a majority has it in its journal, and reads see only what a majority has: nothing that was shown can be rolled back.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import pymongo
import structlog
from pymongo import AsyncMongoClient, InsertOne, ReplaceOne, UpdateMany, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError

from phb_fhir.change import Version
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.query import HistoryQuery
from phb_fhir.search.access import LABEL, TAKEN_BACK, labels_of
from phb_fhir.search.kinds.kind import Index
from phb_fhir.store import indexes
from phb_fhir.store.concerns import KEPT, MAJORITY, PRIMARY, SNAPSHOT
from phb_fhir.store.documents import (
    CODEC,
    HISTORY,
    LOCKS,
    META,
    REQUESTS,
    RESTORING,
    UNFINISHED,
    WITHOUT_INDEX,
    Document,
    document_of,
    superseded,
    version_of,
)
from phb_fhir.store.faults import is_silence, rejection_of, translated, unanswered
from phb_fhir.store.filters import current_filter, superseded_filter
from phb_fhir.store.found import Finder, Hit, Limits, Pointer, references
from phb_fhir.store.gather import Gather
from phb_fhir.store.ledger import LedgerReader, LedgerWriter
from phb_fhir.store.monitor import Counts
from phb_fhir.store.patience import answering, asked, patiently
from phb_fhir.store.positions import Position
from phb_fhir.store.primary import Ask, Primary, at_once, question
from phb_fhir.store.rarity import Rarity
from phb_fhir.store.reindex import Reindexing
from phb_fhir.store.room import Room
from phb_fhir.store.sweep import Sweep
from phb_fhir.store.trail import Chain, Kept
from phb_fhir.store.watch import AWAIT_MAX_MS, Watch, pipeline

__all__ = ["Hit", "Limits", "Pointer", "Position", "Reader", "Store", "Transaction", "Write", "references"]

T = TypeVar("T")

READY_MAX_S = 2.5  # what sends traffic asks every few seconds, and to learn late that nobody answers is to send more to who cannot
ATTENDED_EVERY_S = 2.0  # whoever does what takes long asks whether the database is there
_OTHERS_CODES = {112, 11000}  # WriteConflict, DuplicateKey
_log = structlog.get_logger("phb_fhir")
_DIRECT = (
    "The address of MongoDB (PHB_MONGODB_URI) says directConnection=true, and its replica set has several members: when another "
    "becomes primary, nothing is written until this one is primary again. Name all members, and leave that out."
)
READ_TURNS_MAX = 2  # of the event loop, for which reads wait for others to come along (docs/performance.md)
ATTEMPTS_MAX = 200  # of one transaction; the time limit ends a fair fight long before

Moment = tuple[datetime, str]  # where a page of history ends: (at, key)


@dataclass(frozen=True, slots=True)
class Write:
    """One version to store: what was current before it (None: nothing at all), what is next, and its index values."""

    before: Version | None
    after: Version
    index: Index | None


class Reader(Finder):
    """Questions about versions; those of a search are in `store/found`. With a session, they are asked inside its transaction."""

    def __init__(
        self,
        database: AsyncDatabase[Document],
        ask: Ask,
        session: AsyncClientSession | None = None,
        rarity: Rarity | None = None,
    ) -> None:
        super().__init__(database, ask, session, rarity)
        self._history: AsyncCollection[Document] = database[HISTORY]
        self.ledger = LedgerReader(database, ask, session)

    @property
    def is_in_transaction(self) -> bool:
        """Whether one question must be answered before the next is asked."""
        return self._session is not None

    async def read(self, type_: str, id_: str) -> Version | None:
        """The current version, a deletion included; None where there never was one."""
        return (await self.read_all([f"{type_}/{id_}"])).get(f"{type_}/{id_}")

    async def read_all(self, keys: Iterable[str]) -> dict[str, Version]:
        """The current versions under these keys (`Patient/1`), in one call."""
        return {document["_id"]: version_of(document) for document in await self._documents(list(keys))}

    @question("reading")
    async def _documents(self, keys: list[str]) -> list[Document]:
        cursor = self._resources.find({"_id": {"$in": keys}}, WITHOUT_INDEX, session=self._session)
        return await cursor.to_list()

    async def read_version(self, type_: str, id_: str, number: int) -> Version | None:
        """One version. The current one is looked at first: a version only ever moves from there into the history."""
        current = await self.read(type_, id_)
        if current is None or current.number == number:
            return current
        document = await self._superseded(f"{type_}/{id_}/{number}")
        return version_of(document) if document else None

    @question("reading a version")
    async def _superseded(self, key: str) -> Document | None:
        return await self._history.find_one({"_id": key}, session=self._session)

    @question("reading the history")
    async def history(self, query: HistoryQuery, *, after: Moment | None, count: int) -> list[Version]:
        """Up to `count` versions, newest first, those older than the position `after`.

        The current versions are read before the superseded ones: a version that moves in between is then met twice,
        which is mended here, and never missed.
        """
        found = await self._newest(self._resources, current_filter(query), "_id", after, count)
        found += await self._newest(self._history, superseded_filter(query), "key", after, count)
        unique = {(version.key, version.number): version for version in found}
        return sorted(unique.values(), key=lambda version: (version.at, version.key), reverse=True)[:count]

    @question("counting the history")
    async def history_count(self, query: HistoryQuery) -> int:
        """How many versions a history has."""
        current = await self._resources.count_documents(current_filter(query), session=self._session)
        return current + await self._history.count_documents(superseded_filter(query), session=self._session)

    @question("reading the history")
    async def brought_back(self, versions: Collection[Version]) -> set[Version]:
        """Those of these versions that brought back what was deleted: the one before each is its deletion."""
        before = {f"{one.key}/{one.number - 1}": one for one in versions if one.method == "PUT" and one.number > 1}
        if not before:
            return set()
        wanted = {"_id": {"$in": list(before)}, "method": "DELETE"}
        found = await self._history.find(wanted, {"_id": 1}, session=self._session).to_list()
        return {before[document["_id"]] for document in found}

    @question("reading a note")
    async def note_of(self, name: str) -> Document | None:
        """The note kept under this name (`Transaction.note`); None where there is none."""
        return await self._database[META].find_one({"_id": name}, session=self._session)

    @question("reading notes")
    async def notes(self, start: str, *, count: int) -> list[Document]:
        """Up to `count` notes whose names begin like this, by name."""
        wanted = {"_id": {"$gte": start, "$lt": start + "\uffff"}}
        return await self._database[META].find(wanted, session=self._session).sort("_id", 1).limit(count).to_list()

    async def _newest(
        self,
        collection: AsyncCollection[Document],
        wanted: Document,
        key: str,
        after: Moment | None,
        count: int,
    ) -> list[Version]:
        if after is not None:
            at, last = after
            older: Document = {"$or": [{"at": {"$lt": at}}, {"at": at, key: {"$lt": last}}]}
            wanted = {"$and": [wanted, {"at": {"$lte": at}}, older]}
        cursor = collection.find(wanted, WITHOUT_INDEX, session=self._session)
        ordered = cursor.sort([("at", -1), (key, -1)]).limit(count)
        return [version_of(document) for document in await ordered.to_list()]


class Transaction(Reader):
    """A reader that sees its own writes; all of them land together, or none."""

    async def lock(self, keys: Iterable[str]) -> None:
        """Hold these names until the end: of two transactions that lock one name, one waits and begins again."""
        touch = {"$inc": {"n": 1}, "$set": {"at": datetime.now(UTC)}}
        if updates := [UpdateOne({"_id": key}, touch, upsert=True) for key in sorted(keys)]:
            await self._database[LOCKS].bulk_write(updates, ordered=True, session=self._session)

    def __init__(
        self,
        database: AsyncDatabase[Document],
        session: AsyncClientSession,
        rarity: Rarity,
        trail: Chain,
    ) -> None:
        super().__init__(database, at_once, session, rarity)
        self.books = LedgerWriter(database, session)
        self._of = session
        self._trail = trail
        self.written: list[Version] = []
        self.filed: list[Kept] = []

    async def write(self, writes: Sequence[Write]) -> None:
        """Store the versions and move the ones they supersede into the history. Contended documents go last."""
        moved = [superseded(write.before, write.after.at) for write in writes if write.before is not None]
        relabelled = [
            _relabelling(write.after)
            for write in writes
            if write.before is not None and labels_of(write.before.access) != labels_of(write.after.access)
        ]
        current: list[InsertOne[Document] | ReplaceOne[Document]] = [_current(write) for write in writes]
        if moved:
            await self._history.insert_many(moved, ordered=False, session=self._session)
        if relabelled:
            await self._history.bulk_write(relabelled, ordered=False, session=self._session)
        if current:
            await self._resources.bulk_write(current, ordered=False, session=self._session)
        self.written += [write.after for write in writes]

    async def file(self, records: Sequence[tuple[str, datetime]]) -> None:
        """Put down audit records, each a text and its time: they are kept with what this transaction writes, or not at all."""
        self.filed += await self._trail.file(self._of, records)

    async def outcome_of(self, request: str) -> list[list[object]] | None:
        """What was kept of a request under this name; None where nothing was."""
        kept = await self._database[REQUESTS].find_one({"_id": request}, session=self._session)
        return None if kept is None else list(kept["rows"])

    async def keep_outcome(self, request: str, rows: Sequence[Sequence[object]], at: datetime) -> None:
        """Keep what came of a request. Of two that come at once, one waits for the other and begins again."""
        await self._database[REQUESTS].insert_one({"_id": request, "at": at, "rows": rows}, session=self._session)

    async def note(self, name: str, note: Document) -> None:
        """Keep a note of our own under this name, in place of the one that was there (`Reader.note_of`)."""
        await self._database[META].replace_one({"_id": name}, {**note, "_id": name}, upsert=True, session=self._session)

    async def forget(self, name: str) -> None:
        """Keep the note under this name no longer."""
        await self._database[META].delete_one({"_id": name}, session=self._session)


def _relabelling(version: Version) -> UpdateMany:
    """How restricted a record is holds for all of its past: the labels of what is current go with every version before it."""
    is_other = {"$and": [{"$ne": [{"$indexOfCP": ["$$this", LABEL]}, 0]}, {"$ne": ["$$this", TAKEN_BACK]}]}
    others = {"$filter": {"input": "$a", "cond": is_other}}
    labels = {"$literal": list(labels_of(version.access))}
    return UpdateMany({"key": version.key}, [{"$set": {"a": {"$concatArrays": [labels, others]}}}])


def _current(write: Write) -> InsertOne[Document] | ReplaceOne[Document]:
    document = document_of(write.after, write.index, write.before)
    if write.before is None:
        return InsertOne(document)
    return ReplaceOne({"_id": write.after.key, "version": write.before.number}, document)


class Store(Reader):
    """The store of a running server. `on_written` is told of what this process wrote, before whoever wrote it is."""

    def __init__(
        self, client: AsyncMongoClient[Document], name: str, limits: Limits, counts: Counts | None = None
    ) -> None:
        database = client.get_database(
            name, codec_options=CODEC, read_preference=PRIMARY, read_concern=KEPT, write_concern=MAJORITY
        )
        self._primary = Primary(client, database, limits.query_time_max_ms / 1000, limits.commit_time_max_s)
        super().__init__(database, self._primary.ask)
        self._client = client
        self._limits = limits
        self._reads = Gather(
            self._read_batch, batch_max=limits.read_batch_max, under_way_max=2, turns_max=READ_TURNS_MAX
        )
        self._inserts = Gather(self._insert_batch, batch_max=limits.commit_batch_max, under_way_max=2)
        self._queues: dict[str, tuple[asyncio.Lock, int]] = {}
        self.on_written: Callable[[Sequence[Version]], None] | None = None
        self.reindexing = Reindexing(database)
        self.sweep = Sweep(client, database)
        self.room = Room(database, limits.disk_free_bytes_min, counts)
        self.trail = Chain(database, batch_max=limits.read_batch_max, time_max_s=limits.commit_time_max_s)

    async def open(self) -> None:
        """Make the collections and indexes that are missing. Raises Rejected (503) for a part of a back-up, too."""
        with translated("opening the database"):
            if await self._database[META].find_one({"_id": RESTORING}):
                raise refuse(Refusal.UNAVAILABLE, Kind.TRANSIENT, UNFINISHED)
            await indexes.build(self._database)
        await self._primary.known("opening the database")
        if self._is_direct_to_one_of_several():
            _log.warning("database", reason=_DIRECT)

    def _is_direct_to_one_of_several(self) -> bool:
        topology = self._client.topology_description
        hosts = {host for one in topology.server_descriptions().values() for host in one.all_hosts}
        return topology.topology_type_name == "Single" and len(hosts) > 1

    async def close(self) -> None:
        await self.trail.close()
        self.room.close()
        await self._client.close()

    async def check_ready(self) -> list[str]:
        """What keeps this store from serving, in words; empty when nothing does. Raises Rejected (503) after `READY_MAX_S`."""
        with answering("looking at the indexes", READY_MAX_S):
            _, missing = await asyncio.gather(
                self._primary.known("asking the primary", READY_MAX_S), indexes.missing(self._database)
            )
        return [f"the index {name} is missing" for name in missing]

    async def attended(self, work: Awaitable[T], silent_max_s: float = 0) -> T:
        """What comes of work whose steps may take minutes each, given up when the database has said nothing for so long.

        So it is asked beforehand, and again and again meanwhile, whether there is anybody. Raises Rejected (503) where there is not.
        """
        doing = asyncio.ensure_future(work)
        heard = time.monotonic()
        try:
            while not doing.done():
                try:
                    with answering("asking whether it is there", READY_MAX_S):
                        await self._client.admin.command("ping")
                    heard = time.monotonic()
                except Rejected:
                    if time.monotonic() - heard >= silent_max_s:
                        raise unanswered("waiting for what it was asked") from None
                await asyncio.wait({doing}, timeout=ATTENDED_EVERY_S)
            return doing.result()
        finally:
            doing.cancel()
            await asyncio.gather(doing, return_exceptions=True)

    async def steadily(self, doing: str, ask: Callable[[], Awaitable[T]]) -> T:
        """For what is no single `@question`: see `Primary.steadily`."""
        return await self._primary.steadily(doing, ask)

    async def secret(self, name: str, fresh: bytes) -> bytes:
        """The bytes kept under `name`, the same for every worker: `fresh` if there were none yet."""
        with answering("reading a secret", self._limits.query_time_max_ms / 1000):
            document = await self._database[META].find_one_and_update(
                {"_id": name}, {"$setOnInsert": {"secret": fresh}}, upsert=True, return_document=True
            )
        if document is None:
            raise LookupError(name)
        return bytes(document["secret"])

    async def read(self, type_: str, id_: str) -> Version | None:
        """As `Reader.read`; reads that are asked for in the same moment share one call."""
        return await asked(self._reads, f"{type_}/{id_}", self._limits.query_time_max_ms / 1000, "reading")

    async def insert(self, version: Version, index: Index | None) -> bool:
        """Store a first version by itself, sharing the journal's wait with its neighbours. False: the id is taken."""
        await self.room.check()
        document, most_s = document_of(version, index), self._limits.commit_time_max_s
        is_new = await asked(self._inserts, document, most_s, "writing", writing=True)
        if is_new:
            self._tell([version])
        return is_new

    async def transaction(self, work: Callable[[Transaction], Awaitable[T]], contended: Iterable[str] = ()) -> T:
        """Run `work` in one MongoDB transaction and commit it; run it again when another got in its way.

        `contended` names what this work is likely to fight over: works of this process that share a name take turns
        instead of making each other begin again. Raises Rejected: what `work` raises, or a database that is out of
        reach, too slow, or without room (503), or a conflict that does not end (409).
        """
        await self.room.check()
        with patiently(self._limits.commit_time_max_s, "writing") as most_s:
            deadline = asyncio.get_running_loop().time() + most_s
            async with self._turn(contended, deadline):
                # one limit for the wait and all attempts together; 0 would mean none
                with pymongo.timeout(max(0.001, deadline - asyncio.get_running_loop().time())):
                    return await self._attempts(work)

    async def _attempts(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        others = False  # whether they are why it did not work the last time

        async def watched(transaction: Transaction) -> T:
            nonlocal others
            try:
                return await work(transaction)
            except PyMongoError as error:
                others = _met_others(error) or (others and error.timeout and not is_silence(error))
                raise

        for attempt in range(ATTEMPTS_MAX):
            try:
                return await self._attempt(watched)
            except PyMongoError as error:
                perhaps = error.has_error_label("UnknownTransactionCommitResult")
                if others and error.timeout and not perhaps:
                    break
                if not _met_others(error):
                    raise rejection_of(error, "writing", writing=perhaps) from error
            # two inserts of one _id met: as transient as a write conflict, though the driver does not begin again for it
            await asyncio.sleep(random.uniform(0, 0.002 * min(attempt + 1, 25)))  # noqa: S311 - spreads a crowd
        raise _too_many_others()

    async def _attempt(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        written: list[Version] = []
        filed: list[Kept] = []

        async def inside(session: AsyncClientSession) -> T:
            nonlocal written, filed
            transaction = Transaction(self._database, session, self._rarity, self.trail)
            answer = await work(transaction)
            written, filed = transaction.written, transaction.filed
            return answer

        async with self._client.start_session() as session:
            answer = await session.with_transaction(
                inside, read_concern=SNAPSHOT, write_concern=MAJORITY, read_preference=PRIMARY
            )
        self._tell(written)
        self.trail.seal_soon(filed)
        return answer

    def _tell(self, written: Sequence[Version]) -> None:
        if self.on_written is not None and written:
            self.on_written(written)

    @asynccontextmanager
    async def watch(self, types: Collection[str]) -> AsyncIterator[Watch]:
        """Follow what is written to these types, by whichever process (`store/watch.py`). Raises Rejected when that ends."""
        with translated("following the definitions"):
            async with (
                self._client.start_session(causal_consistency=True) as session,
                await self._resources.watch(pipeline(types), max_await_time_ms=AWAIT_MAX_MS, session=session) as stream,
            ):
                yield Watch(self._resources, types, session, stream)

    @asynccontextmanager
    async def _turn(self, names: Iterable[str], deadline: float) -> AsyncIterator[None]:
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout_at(deadline):
                    for name in sorted(set(names)):
                        await held.enter_async_context(self._queue(name))
            except TimeoutError:
                raise _too_long_a_queue() from None
            yield

    @asynccontextmanager
    async def _queue(self, name: str) -> AsyncIterator[None]:
        lock, waiting = self._queues.get(name, (asyncio.Lock(), 0))
        self._queues[name] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._queues[name]
            if waiting == 1:
                del self._queues[name]
            else:
                self._queues[name] = (lock, waiting - 1)

    async def _read_batch(self, keys: list[str]) -> list[Version | BaseException | None]:
        found = {document["_id"]: document for document in await self._documents(list(dict.fromkeys(keys)))}
        return [_read_or_fault(found.get(key)) for key in keys]

    async def _insert_batch(self, documents: list[Document]) -> list[bool | BaseException]:
        answers: list[bool | BaseException] = [True] * len(documents)
        try:
            with pymongo.timeout(self._limits.commit_time_max_s):
                await self._resources.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            _spread(error, answers)
        except PyMongoError as error:
            return [rejection_of(error, "writing", writing=True)] * len(documents)
        return answers


def _met_others(error: PyMongoError) -> bool:
    """Whether another transaction got in the way: it wrote the same document, or inserted under the same _id."""
    if isinstance(error, BulkWriteError):
        rows = error.details.get("writeErrors", [])
        return bool(rows) and all(row.get("code") in _OTHERS_CODES for row in rows)
    return isinstance(error, OperationFailure) and error.code in _OTHERS_CODES


def _too_many_others() -> Rejected:
    text = "Others kept writing to the same resources at the same moment; nothing was changed. Try again."
    return refuse(Refusal.CONFLICT, Kind.CONFLICT, text)


def _too_long_a_queue() -> Rejected:
    text = "Others who write to the same resources took too long; nothing was changed. Try again in a moment."
    return refuse(Refusal.UNAVAILABLE, Kind.TIMEOUT, text)


def _read_or_fault(document: Document | None) -> Version | BaseException | None:
    """The version in a document; a damaged one is the fault of its own read, not of those that came along with it."""
    try:
        return version_of(document) if document else None
    except (KeyError, AttributeError) as error:
        return error


def _spread(error: BulkWriteError, answers: list[bool | BaseException]) -> None:
    """Give each failed document of a batch its own answer; a write concern that failed fails them all."""
    details = cast("dict[str, Any]", error.details)
    if details.get("writeConcernErrors"):
        answers[:] = [rejection_of(error, "writing", writing=True)] * len(answers)
        return
    for row in details.get("writeErrors", []):
        answers[row["index"]] = False if row.get("code") == 11000 else rejection_of(error, "writing", writing=True)

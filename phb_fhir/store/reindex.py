"""What MongoDB is asked for while index values are brought up to date (`interactions/reindex`).

Each resource's document carries, as `ix.g`, the digest of the parameters that its index values were made by. Documents with
another digest than their type's are found by the index {type, deleted, ix.g}, and mended in place: `ix` alone changes, and only
where the version is still the one that was read, so that whoever writes meanwhile wins. A note for each digest says which
parameters it stands for. One worker at a time does this, by a lease on one document in `meta` that also tells how far it is;
MongoDB's own clock runs it, because those of several machines do not agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError

from phb_fhir.search.access import access_entries
from phb_fhir.search.kinds.kind import Index
from phb_fhir.store.documents import META, RESOURCES, Document, index_document
from phb_fhir.store.patience import answering

LEASE_MS = 10_000  # a worker that does not renew its turn for so long has lost it
ASKED_MAX_S = 10.0
BATCH_MAX_S = 60.0  # to count a large type takes its time, and nobody waits for it
BATCH_BYTES_MAX = 8_000_000
NOTE = "parameters/"  # and the digest
_JOB = "reindex"
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_READ = {"type": 1, "version": 1, "json": 1, "seq": 1, "ix.g": 1}


class Stale(NamedTuple):
    """A resource as it was read, and the digest that its index values were made by: None for one of a build that kept none."""

    key: str
    type: str
    number: int | None  # None in a document that was damaged by hand
    json: str
    seq: str
    digest: str | None

    @staticmethod
    def of(document: Document) -> Stale:
        digest = document.get("ix", {}).get("g")
        number, json, seq = document.get("version"), document.get("json", ""), str(document.get("seq", ""))
        return Stale(document["_id"], document["type"], number, json, seq, digest)


class Counts(NamedTuple):
    """Of one type: how many resources there are, and how many of them are not up to date."""

    total: int
    stale: int


class Reindexing:
    """The questions and changes of the reindex. All raise Rejected (503) when the database cannot."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._resources: AsyncCollection[Document] = database[RESOURCES]
        self._meta: AsyncCollection[Document] = database[META]

    # --- whose turn it is ---

    async def take(self, owner: str) -> bool:
        """Have the turn, or keep it: it is this owner's already, or nobody's, or of one who let it lapse."""
        with _asking():
            for _ in range(2):
                done = await self._meta.update_one({"_id": _JOB, "$expr": _free_for(owner)}, [_held(owner)])
                if done.matched_count:
                    return True
                made = await self._meta.update_one({"_id": _JOB}, {"$setOnInsert": {"until": _LONG_AGO}}, upsert=True)
                if made.upserted_id is None:
                    return False
        return False

    async def tell(self, owner: str, types: Mapping[str, Mapping[str, int]], *, ended: bool = False) -> bool:
        """Say how far it is, and keep the turn. False: it is somebody else's by now.

        A job that another worker had begun and could not end goes on: since when it runs is not changed.
        """
        running = {"$eq": ["$state", "running"]}
        told = {
            "state": "done" if ended else "running",
            "since": {"$cond": [running, "$since", "$$NOW"]},
            "at": "$$NOW",
            "types": {"$literal": dict(types)},
        }
        with _asking():
            done = await self._meta.update_one({"_id": _JOB, "owner": owner}, [{"$set": told}, _held(owner)])
        return done.matched_count == 1

    async def leave(self, owner: str) -> None:
        """Give the turn up, for another to take at once."""
        with _asking():
            await self._meta.update_one({"_id": _JOB, "owner": owner}, {"$set": {"until": _LONG_AGO}})

    async def job(self) -> Document:
        """What was said last: `owner`, `state`, `since`, `at`, `types`, and whether the turn is held by anybody (`held`)."""
        pipeline: list[Document] = [{"$match": {"_id": _JOB}}, {"$set": {"held": {"$gt": ["$until", "$$NOW"]}}}]
        with _asking():
            found = await (await self._meta.aggregate(pipeline)).to_list()
        return found[0] if found else {}

    # --- what the digests stand for ---

    async def note(self, notes: Mapping[str, Document]) -> None:
        """Keep what these digests stand for; a note that is there stays as it is."""
        updates = [
            UpdateOne({"_id": NOTE + digest}, {"$setOnInsert": note}, upsert=True) for digest, note in notes.items()
        ]
        with _asking():
            if updates:
                await self._meta.bulk_write(updates, ordered=False)

    async def noted(self, digests: Sequence[str]) -> dict[str, Document]:
        """The notes of these digests, of those that have one."""
        with _asking():
            found = await self._meta.find({"_id": {"$in": [NOTE + digest for digest in digests]}}).to_list()
        return {document["_id"].removeprefix(NOTE): document for document in found}

    # --- what is not up to date ---

    async def types(self) -> list[str]:
        """The types of which there is, or was, a resource."""
        with _asking():
            return sorted(await self._resources.distinct("type"))

    async def digests(self, type_: str) -> list[str]:
        """The digests by which resources of a type are indexed."""
        with _asking():
            return [digest for digest in await self._resources.distinct("ix.g", _current(type_)) if digest]

    async def other(self, type_: str, digests: Sequence[str]) -> str | None:
        """The digest of a resource that is indexed by none of these: "" for one that has none, None if there is no such."""
        with _asking():
            found = await self._resources.find_one(_other_than(type_, digests), {"ix.g": 1, "_id": 0})
        return None if found is None else found.get("ix", {}).get("g") or ""

    async def counts(self, type_: str, digests: Sequence[str]) -> Counts:
        with _asking(BATCH_MAX_S):
            total = await self._resources.count_documents(_current(type_))
            return Counts(total, await self._resources.count_documents(_other_than(type_, digests)))

    async def defined(self, type_: str) -> dict[str, int]:
        """The keys of all resources of a type, with the numbers of their versions: for a type of which there are few."""
        with _asking():
            found = await self._resources.find(_current(type_), {"version": 1}).to_list()
        return {document["_id"]: document["version"] for document in found}

    # --- mending it ---

    async def batch(self, type_: str, digests: Sequence[str], count: int) -> list[Stale]:
        """Up to `count` resources that are indexed by none of these digests; fewer where they are large."""
        with _asking(BATCH_MAX_S):
            found = self._resources.find(_other_than(type_, digests), _READ).limit(count)
            batch, size = [], 0
            async for each in found:
                batch.append(Stale.of(each))
                size += len(batch[-1].json)
                if size > BATCH_BYTES_MAX:
                    break
            await found.close()
        return batch

    async def mend(self, mended: Sequence[tuple[Stale, Index]]) -> int:
        """Put these index values in place of those that were read, where nobody wrote since. Gives how many were put."""
        updates = [UpdateOne(_as_read(stale), {"$set": _mended(stale, index)}) for stale, index in mended]
        with _asking(BATCH_MAX_S):
            try:
                done = await self._resources.bulk_write(updates, ordered=False)
            except BulkWriteError as error:
                return int(error.details.get("nModified", 0))
        return done.modified_count


def _current(type_: str) -> Document:
    return {"type": type_, "deleted": False}


def _other_than(type_: str, digests: Sequence[str]) -> Document:
    return {**_current(type_), "ix.g": {"$nin": list(digests)}}


def _as_read(stale: Stale) -> Document:
    return {"_id": stale.key, "version": stale.number, "ix.g": stale.digest}  # None: where there is none


def _mended(stale: Stale, index: Index) -> Document:
    """The parts of the document that depend on the parameters; one of an older build is given its place in the order too."""
    seq = ObjectId(stale.seq or None)
    return {"seq": seq, "a": list(access_entries(index.keys)), "ix": index_document(index, stale.type, str(seq))}


def _free_for(owner: str) -> Document:
    return {"$or": [{"$eq": ["$owner", {"$literal": owner}]}, {"$lt": ["$until", "$$NOW"]}]}


def _held(owner: str) -> Document:
    return {"$set": {"owner": {"$literal": owner}, "until": {"$add": ["$$NOW", LEASE_MS]}}}


@contextmanager
def _asking(most_s: float = ASKED_MAX_S) -> Iterator[None]:
    with answering("looking after the index values", most_s):
        yield

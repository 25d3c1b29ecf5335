"""The same documents without us: plain inserts through the asynchronous driver, acknowledged by a majority's journal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.write_concern import WriteConcern

Document = dict[str, Any]

DATABASE = "bench_plain"
_MAJORITY = WriteConcern(w="majority", j=True)


async def inserts_per_second(uri: str, documents: Iterator[Document], *, at_once: int, seconds: float) -> float:
    """`insert_one` after `insert_one`, by so many tasks on one event loop, for so long."""
    async with AsyncMongoClient[Document](uri) as client:
        collection = _collection(client)
        await collection.insert_one(next(documents))  # which makes the collection, and connects
        begun = time.perf_counter()
        counts = await asyncio.gather(*(_insert_until(begun + seconds, collection, documents) for _ in range(at_once)))
        return sum(counts) / (time.perf_counter() - begun)


async def batches_per_second(uri: str, documents: Iterator[Document], *, size: int, seconds: float) -> float:
    """One `insert_many` of so many documents after the other, for so long."""
    async with AsyncMongoClient[Document](uri) as client:
        collection = _collection(client)
        await collection.insert_one(next(documents))
        spent, batches = 0.0, 0
        while spent < seconds:
            batch = list(islice(documents, size))
            begun = time.perf_counter()
            await collection.insert_many(batch)
            spent += time.perf_counter() - begun
            batches += 1
        return batches / spent


async def pairs_per_second(uri: str, *, at_once: int, seconds: float) -> float:
    """Transactions that insert two small documents each, by so many tasks on one event loop, for so long."""
    async with AsyncMongoClient[Document](uri) as client:
        one, other = (client[DATABASE].get_collection(name, write_concern=_MAJORITY) for name in ("one", "other"))
        await one.insert_one({"first": True})
        await other.insert_one({"first": True})
        begun = time.perf_counter()

        async def until(end: float) -> int:
            count = 0
            while time.perf_counter() < end:
                async with client.start_session() as session, await session.start_transaction(write_concern=_MAJORITY):
                    await one.insert_one({"text": "x" * 500}, session=session)
                    await other.insert_one({"text": "x" * 500}, session=session)
                count += 1
            return count

        counts = await asyncio.gather(*(until(begun + seconds) for _ in range(at_once)))
        return sum(counts) / (time.perf_counter() - begun)


async def stored_document(uri: str, database: str, key: str) -> Document:
    """What the server keeps under `key`."""
    async with AsyncMongoClient[Document](uri) as client:
        found = await client[database]["resources"].find_one({"_id": key})
        if found is None:
            raise LookupError(key)
        return found


async def _insert_until(end: float, collection: AsyncCollection[Document], documents: Iterator[Document]) -> int:
    count = 0
    while time.perf_counter() < end:
        await collection.insert_one(next(documents))
        count += 1
    return count


def _collection(client: AsyncMongoClient[Document]) -> AsyncCollection[Document]:
    return client[DATABASE].get_collection("resources", write_concern=_MAJORITY)

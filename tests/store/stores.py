"""Stores of their own for tests, on the real database, and versions to put into them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from phb_fhir.change import Method, Version
from phb_fhir.search.kinds.kind import Index
from phb_fhir.settings import read_settings
from phb_fhir.store.open import open_store
from phb_fhir.store.store import Limits, Store, Transaction, Write

MOMENT = datetime(2026, 11, 22, 9, 0, 0, tzinfo=UTC)
LIMITS = Limits(query_time_max_ms=10_000, commit_time_max_s=10.0, read_batch_max=200, commit_batch_max=64)
STORY_TIMEOUT_S = 60


class Commands:
    """How often MongoDB was asked what."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()

    def command(self, name: str, seconds: float, *, succeeded: bool) -> None:  # noqa: ARG002 - as `Counts` wants it
        self.count[name] += 1

    def connections(self, state: str, change: int) -> None:
        pass

    def room(self, left: int) -> None:
        pass


@asynccontextmanager
async def connected(uri: str, name: str, commands: Commands | None = None, **limits: Any) -> AsyncIterator[Store]:
    """A store that was not opened: nothing was asked of the database yet."""
    settings = read_settings(mongodb_uri=uri, mongodb_database=name, open=True)
    store = open_store(settings, replace(LIMITS, **limits), commands or Commands())
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def opened(uri: str, name: str, commands: Commands | None = None, **limits: Any) -> AsyncIterator[Store]:
    async with connected(uri, name, commands, **limits) as store:
        await store.open()
        yield store


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """A story that does not end is a failure, not a hang."""
    asyncio.run(asyncio.wait_for(story(), STORY_TIMEOUT_S))


def version(
    id_: str, number: int = 1, text: str | None = "{}", *, at: datetime | None = None, method: Method = "PUT"
) -> Version:
    """A version of a Task; each number is a second after the one before."""
    moment = at or MOMENT + timedelta(seconds=number)
    return Version("Task", id_, number, moment, method, None if text is None else text.encode())


def bare(found: Version | None) -> Version | None:
    """A version as it was before it was stored: without the place that the store gave it."""
    return None if found is None else found._replace(seq="")


def keyed(*keys: str) -> Index:
    """Index values that are these entries."""
    return Index(dict.fromkeys(keys))


async def put(store: Store, after: Version, keys: Iterable[str] = (), index: Index | None = None) -> None:
    """Store a version over whatever is current, with these entries or index values."""

    async def work(transaction: Transaction) -> None:
        before = await transaction.read(after.type, after.id)
        await transaction.write([Write(before, after, index or keyed(*keys))])

    await store.transaction(work)


async def raise_number(store: Store, id_: str) -> int:
    """Store the next version of a Task, whichever it is. Gives its number."""

    async def work(transaction: Transaction) -> int:
        before = await transaction.read("Task", id_)
        after = version(id_, before.number + 1 if before else 1)
        await transaction.write([Write(before, after, None)])
        return after.number

    return await store.transaction(work)

"""Everything that is stored, looked at once, in order and in bounded memory: for whoever checks that it is whole (`reports/check`).

A sweep goes in steps, and each step is one instant: all that is asked within `moment` is answered as the database was then, whatever is
written meanwhile. Nothing is written, and nothing is hidden: who asks must be one who may know.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from phb_fhir.store.documents import BALANCES, HISTORY, LEDGER, RESOURCES, Document
from phb_fhir.store.faults import translated
from phb_fhir.store.ledger import LedgerReader
from phb_fhir.store.primary import at_once

STEP_BYTES_MAX = 8_000_000  # of resources that one step holds


class Superseded(NamedTuple):
    """A version in the history, as far as its place in it goes."""

    key: str
    number: Any
    at: Any
    until: Any


class Sweep:
    """Where steps begin. Raises Rejected (503) when the database cannot be reached."""

    def __init__(self, client: AsyncMongoClient[Document], database: AsyncDatabase[Document]) -> None:
        self._client = client
        self._database = database

    @asynccontextmanager
    async def moment(self) -> AsyncIterator[Still]:
        """One instant of the database, for as long as a step may take (minutes)."""
        with translated("looking through the record"):
            async with self._client.start_session(snapshot=True) as session:
                yield Still(self._database, session)


class Still:
    """The database at one instant."""

    def __init__(self, database: AsyncDatabase[Document], session: AsyncClientSession) -> None:
        self._database = database
        self._session = session
        self.ledger = LedgerReader(database, at_once, session)

    async def next_account(self, after: str) -> str | None:
        """The next account, by key, that has entries, a balance, or is there; None after the last."""
        ledger = await self._first(LEDGER, {"account": {"$gt": after}}, "account")
        balance = await self._first(BALANCES, {"_id": {"$gt": after}}, "_id")
        own = await self._first(RESOURCES, {"_id": {"$gt": max(after, "Account/"), "$lt": "Account0"}}, "_id")
        return min((key for key in (ledger, balance, own) if key is not None), default=None)

    async def _first(self, collection: str, wanted: Document, field: str) -> str | None:
        order = [("account", 1), ("n", 1)] if collection == LEDGER else [("_id", 1)]
        found = self._database[collection].find(wanted, {field: 1}, session=self._session).sort(order).limit(1)
        return next((str(one[field]) for one in await found.to_list()), None)

    async def entries(self, account: str) -> AsyncIterator[Document]:
        """The entries of an account as they lie there, by number."""
        async for one in self._database[LEDGER].find({"account": account}, session=self._session).sort("n", 1):
            yield one

    async def balance(self, account: str) -> Document | None:
        return await self._database[BALANCES].find_one({"_id": account}, session=self._session)

    async def about(self, keys: Sequence[str]) -> AsyncIterator[Document]:
        """The entries about any of these purchases and payments."""
        async for one in self._database[LEDGER].find({"about": {"$in": list(keys)}}, session=self._session):
            yield one

    async def resources(self, after: str, count: int) -> list[Document]:
        """The next documents of `resources` by key, whole: up to `count`, fewer where they are large."""
        found = self._database[RESOURCES].find({"_id": {"$gt": after}}, session=self._session).sort("_id", 1)
        several, size = [], 0
        async for one in found.limit(count):
            several.append(one)
            size += len(one.get("json") or "")
            if size > STEP_BYTES_MAX:
                break
        await found.close()
        return several

    async def current(self, keys: Iterable[str]) -> dict[str, Document]:
        """Of these keys those that are there, with the number of their version, and whether they were deleted."""
        wanted = {"_id": {"$in": list(keys)}}
        found = self._database[RESOURCES].find(wanted, {"version": 1, "deleted": 1}, session=self._session)
        return {one["_id"]: one for one in await found.to_list()}

    async def contents(self, keys: Iterable[str]) -> dict[str, str]:
        """The JSON of what is there under these keys."""
        found = self._database[RESOURCES].find({"_id": {"$in": list(keys)}}, {"json": 1}, session=self._session)
        return {one["_id"]: one["json"] for one in await found.to_list() if one.get("json") is not None}

    async def versions(self, places: Collection[tuple[str, int]]) -> dict[tuple[str, int], Document]:
        """Of these versions, by key and number, those that are there: when each was written, and its JSON."""
        fields = {"key": 1, "version": 1, "at": 1, "json": 1}
        wanted = {"_id": {"$in": [key for key, _ in places]}}
        rows = await self._database[RESOURCES].find(wanted, fields, session=self._session).to_list()
        found = {(str(one["_id"]), one.get("version")): one for one in rows}
        missing = [f"{key}/{number}" for key, number in places if (key, number) not in found]
        if missing:
            older = self._database[HISTORY].find({"_id": {"$in": missing}}, fields, session=self._session)
            found |= {(str(one.get("key")), one.get("version")): one for one in await older.to_list()}
        return {place: found[place] for place in places if place in found}

    async def earlier(self, key: str) -> AsyncIterator[str]:
        """The JSON of each version of a resource that is in the history."""
        async for one in self._database[HISTORY].find({"key": key}, {"json": 1}, session=self._session):
            if one.get("json") is not None:
                yield one["json"]

    async def superseded(self, keys: Sequence[str]) -> AsyncIterator[Superseded]:
        """The versions of these in the history, by key, the newest first."""
        fields = {"key": 1, "version": 1, "at": 1, "until": 1, "_id": 0}
        wanted = {"key": {"$in": list(keys)}}
        found = self._database[HISTORY].find(wanted, fields, session=self._session).sort([("key", 1), ("at", -1)])
        async for one in found:
            yield Superseded(one["key"], one.get("version"), one.get("at"), one.get("until"))

    async def keys_in_history(self, after: str, count: int) -> list[str]:
        """The next keys, up to `count`, that have versions in the history."""
        found = self._database[HISTORY].find({"key": {"$gt": after}}, {"key": 1, "_id": 0}, session=self._session)
        keys: dict[str, None] = {}
        async for one in found.sort("key", 1):
            keys[str(one["key"])] = None
            if len(keys) > count:
                break
        await found.close()
        return list(keys)[:count]

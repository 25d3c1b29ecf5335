"""How much room is left on the disk that MongoDB keeps its files on.

A MongoDB whose disk is full ends, and with it everything that could still have been read. So while less is left than must be, nothing new
is written, and what is there can be read until somebody has made room. What keeps the audit trail goes on, for which the rest is meant.

A write goes by the last look, which is no older than a moment while there are writes, and does not wait for the next one. Only a refusal
is by a look of its own, so that the first write after room was made is taken.
"""

from __future__ import annotations

import asyncio
import time

import pymongo
import structlog
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from phb_fhir.outcome import Kind, Refusal, refuse
from phb_fhir.store.documents import Document
from phb_fhir.store.monitor import Counts

LOOK_S = 1.0  # how old the last look may be when something is written
LOOK_MAX_S = 2.0  # for which a look may take
MB = 1_000_000
_log = structlog.get_logger("phb_fhir")


class Room:
    """`bytes_min` must be left for anything to be written; 0 lets the disk fill up. `counts` is told what is left."""

    def __init__(self, database: AsyncDatabase[Document], bytes_min: int, counts: Counts | None = None) -> None:
        self._database = database
        self._bytes_min = bytes_min
        self._counts = counts
        self._left: int | None = None  # None: MongoDB does not say
        self._looked_at = 0.0
        self._looking: asyncio.Task[None] | None = None

    async def check(self) -> None:
        """Raise Rejected (503) where there is too little room to write."""
        if await self.is_short():
            text = (
                "The disk of the database is nearly full, so nothing is written until whoever runs this server has made room. Nothing was "
                "kept of this. What is there can be read."
            )
            raise refuse(Refusal.UNAVAILABLE, Kind.NO_STORE, text)

    async def is_short(self) -> bool:
        """Whether there is too little room to write. No is said by the last look, yes by a new one."""
        if not self._bytes_min:
            return False
        if self._is_below or not self._looked_at:
            await asyncio.shield(self._look_once())
        elif time.monotonic() - self._looked_at > LOOK_S:
            self._look_once()
        return self._is_below

    async def shortage(self) -> str:
        """What there is to say of it to operators, by a new look; "" while there is room enough."""
        await asyncio.shield(self._look_once())
        return self._shortage() if self._bytes_min and self._is_below else ""

    def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()

    @property
    def _is_below(self) -> bool:
        return self._left is not None and self._left < self._bytes_min

    def _shortage(self) -> str:
        left, least = (self._left or 0) // MB, self._bytes_min // MB
        return (
            f"the disk of the database has {left} MB left, and nothing is written below {least} (PHB_DISK_FREE_MB_MIN)"
        )

    def _look_once(self) -> asyncio.Task[None]:
        """The look that is under way, or a new one."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())
        return self._looking

    async def _look(self) -> None:
        was_short = self._is_below
        try:
            with pymongo.timeout(LOOK_MAX_S):
                said = await self._database.command("dbStats")
            self._left = int(said["fsTotalSize"] - said["fsUsedSize"])
        except (PyMongoError, KeyError):
            self._left = None  # a write will tell what is wrong
        self._looked_at = time.monotonic()
        if self._left is not None and self._counts is not None:
            self._counts.room(self._left)
        if self._is_below and not was_short:
            _log.warning("database", reason=self._shortage())

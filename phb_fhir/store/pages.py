"""Reading the pages of a plan, phase after phase.

An order by `seq` or by id stands still whatever is written. Any other order is of values that a write may change, and then the
resource would be met again further on, or not at all. So its first page is read from a *snapshot* of the database, its time goes
with the page's position, and the pages after it are read as of the same moment. MongoDB keeps the past for some minutes (five,
unless `minSnapshotHistoryWindowInSeconds` says otherwise). A page asked for later is read as things are by then, after the same
position: what was not changed meanwhile is still neither skipped nor repeated, and what was is where its new value puts it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import pymongo
from bson import Timestamp
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError

from phb_fhir.store.computed import computing
from phb_fhir.store.documents import RESOURCES, Document
from phb_fhir.store.filters import Filter, joint
from phb_fhir.store.plan import Computed, Led, Phase, Plan
from phb_fhir.store.positions import Position, ordered, position_of, read_position, time_of
from phb_fhir.store.rarity import Rarity

_PAST_GONE_CODES = {239, 246}  # SnapshotTooOld, SnapshotUnavailable (of a collection or an index that is younger)


class _NoSnapshot(Exception):  # noqa: N818 - it is no error
    """The past is not to be had: it is read as things are now."""


@dataclass(slots=True)
class Snapshot:
    """A moment that is read from; the first answer tells which."""

    time: Timestamp | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Which page is wanted: up to `count` of what comes after a position or, `backwards`, before it. `fields` as MongoDB has them.

    `dated`: whether it is read as of the first page; of an order that writes move, unless it is no page for anybody to read.
    """

    count: int
    after: Position | None = None
    backwards: bool = False
    fields: Document | None = None
    dated: Literal["where it moves", "always", "never"] = "where it moves"

    def is_dated(self, plan: Plan) -> bool:
        return self.dated == "always" or (self.dated == "where it moves" and plan.moves)

    @property
    def direction(self) -> int:
        return -1 if self.backwards else 1


class Pages:
    """Reads pages; with a session, inside its transaction."""

    def __init__(self, database: AsyncDatabase[Document], session: AsyncClientSession | None, rarity: Rarity) -> None:
        self._database = database
        self._resources: AsyncCollection[Document] = database[RESOURCES]
        self._session = session
        self._rarity = rarity

    async def read(self, plan: Plan, page: Page) -> list[tuple[Document, Position]]:
        """The documents of a page in the order of the answer, each with its position."""
        if self._session is None and page.is_dated(plan):
            known = time_of(page.after)
            for snapshot in (Snapshot(known), Snapshot()) if known else (Snapshot(),):
                with suppress(_NoSnapshot):
                    return await self._read(plan, page, snapshot)
        return await self._read(plan, page, None)

    async def grouped(self, reading: Led, stages: list[Document], most: int, time: Timestamp | None) -> list[Document]:
        """What these stages make of the matches, up to `most`; as of a time, while that is to be had."""
        pipeline = [{"$match": joint(reading.parts)}, *stages, {"$limit": most}]
        command = {
            "aggregate": RESOURCES,
            "pipeline": pipeline,
            "cursor": {"batchSize": most + 1},
            "hint": reading.index,
        }
        if time is not None and self._session is None:
            with suppress(_NoSnapshot):
                return await self._ask(command, Snapshot(time))
        return await self._ask(command, None)

    async def _read(self, plan: Plan, page: Page, snapshot: Snapshot | None) -> list[tuple[Document, Position]]:
        found: dict[str, tuple[Document, Position]] = {}
        for number, beyond in phases_left(plan, page.after, page.direction):
            asked = _Asked(plan.phases[number], beyond, page, page.count - len(found))
            for document in await self._phase(plan, asked, snapshot):
                # what a write moved while the phases were read is shown once
                position = position_of(plan, number, document, snapshot.time if snapshot else None)
                found.setdefault(document["_id"], (document, position))
            if len(found) >= page.count:
                break
        answer = list(found.values())
        return answer[::-1] if page.backwards else answer

    async def _phase(self, plan: Plan, asked: _Asked, snapshot: Snapshot | None) -> list[Document]:
        """The next of a phase. Where its index has what matches too far apart, that is found and sorted instead."""
        far = ("far", plan.query, asked.sort)
        at_once = plan.at_once or (plan.patience_ms is not None and self._rarity.known(far) is not None)
        if plan.patience_ms is None or at_once or self._session is not None or isinstance(asked.phase, Computed):
            return await self._ask(asked.command(plan, at_once=at_once), snapshot)
        try:
            with pymongo.timeout(plan.patience_ms / 1000):
                return await self._ask(asked.command(plan, at_once=False), snapshot)
        except PyMongoError as error:
            if not error.timeout:
                raise
        self._rarity.learn(far, 1)
        return await self._ask(asked.command(plan, at_once=True), snapshot)

    async def _ask(self, command: Document, snapshot: Snapshot | None) -> list[Document]:
        if snapshot is not None:
            return await self._ask_the_past(command, snapshot)
        if "pipeline" in command:
            found = await self._resources.aggregate(command["pipeline"], session=self._session, hint=command["hint"])
            return await found.to_list()
        fields, size = command.get("projection"), command["limit"]
        cursor = self._resources.find(
            command["filter"], fields, session=self._session, hint=command["hint"], batch_size=size
        )
        return await cursor.sort(list(command["sort"].items())).limit(size).to_list()

    async def _ask_the_past(self, command: Document, snapshot: Snapshot) -> list[Document]:
        """The driver has no words for a time of one's own, so this is said to MongoDB directly."""
        concern: Document = {"level": "snapshot"} | ({"atClusterTime": snapshot.time} if snapshot.time else {})
        codec = self._database.codec_options
        try:
            answer = await self._database.command({**command, "readConcern": concern}, codec_options=codec)
        except OperationFailure as error:
            if error.code in _PAST_GONE_CODES:
                raise _NoSnapshot from error
            raise
        cursor = answer["cursor"]
        if cursor["id"]:  # more than fits into one message, which the driver knows how to fetch
            await self._database.command({"killCursors": RESOURCES, "cursors": [cursor["id"]]})
            raise _NoSnapshot
        snapshot.time = cursor.get("atClusterTime", snapshot.time)
        found: list[Document] = cursor["firstBatch"]
        return found


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is wanted of one phase."""

    phase: Phase | Computed
    beyond: Filter
    page: Page
    count: int

    @property
    def sort(self) -> tuple[tuple[str, int], ...]:
        return ordered(self.phase, self.page.direction)

    def command(self, plan: Plan, *, at_once: bool) -> Document:
        asked = command_of(plan, self.phase, self.beyond, dict(self.sort), self.count, at_once=at_once)
        if not self.page.fields:
            return asked
        if "pipeline" in asked:
            return {**asked, "pipeline": [*asked["pipeline"], {"$project": self.page.fields}]}
        return {**asked, "projection": self.page.fields}


def command_of(
    plan: Plan, phase: Phase | Computed, beyond: Filter, sort: dict[str, Any], count: int, *, at_once: bool
) -> Document:
    """The MongoDB command for what comes beyond a place in a phase."""
    reading = plan.read(phase, at_once=at_once)
    if isinstance(phase, Phase):
        wanted = joint([beyond, *reading.parts])
        # room for one more, or MongoDB keeps open what it sorted: only beyond the last it sees that this was all
        asked: Document = {"find": RESOURCES, "filter": wanted, "sort": sort, "limit": count, "batchSize": count + 1}
        return {**asked, "hint": reading.index}
    matches: Document = {"$match": joint(reading.parts)}
    values = computing(plan.query.types, phase.order)
    pipeline = [matches, *values, {"$match": beyond}, {"$sort": sort}, {"$limit": count}]
    return {"aggregate": RESOURCES, "pipeline": pipeline, "cursor": {"batchSize": count + 1}, "hint": reading.index}


def phases_left(plan: Plan, after: Position | None, direction: int) -> Iterator[tuple[int, Filter]]:
    """The numbers of the phases that are still to be read, and what is beyond the position in each."""
    numbers = range(len(plan.phases))[::direction]
    if after is None:
        yield from ((number, {}) for number in numbers)
        return
    start, beyond = read_position(plan, after, direction)
    for number in numbers:
        if (number - start) * direction >= 0:
            yield number, beyond if number == start else {}

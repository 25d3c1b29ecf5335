"""Searching: what `store/plan` thinks out, asked of MongoDB.

How rare an entry is decides which of several leads: it is counted on the index, up to so many, and remembered for a moment
(`Rarity`). A count that is out of date makes a search slower, never wrong: the order of an answer does not depend on it, because
a page's position says in which order it was read.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from bson import json_util
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from phb_fhir.change import Version
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.query import EVERYTHING, AllOf, Key, Node, Order, Query
from phb_fhir.search.kinds.keys import beginning
from phb_fhir.search.kinds.kind import Index
from phb_fhir.store.computed import entries, first_to_point, pointed_at
from phb_fhir.store.documents import END, MAX, RESOURCES, WITHOUT_INDEX, Document, index_of, version_of
from phb_fhir.store.explained import summary
from phb_fhir.store.filters import Filter, joint, of_types
from phb_fhir.store.indexes import BY_SEQ
from phb_fhir.store.pages import Page, Pages, command_of, phases_left
from phb_fhir.store.plan import (
    PROBED_MAX,
    RARE_MAX,
    Computed,
    Led,
    Phase,
    Plan,
    Probe,
    are_few,
    freely,
    gone_through,
    in_order,
    is_in_order,
    led,
    probes,
)
from phb_fhir.store.positions import Position, lost, mode_of, ordered, time_of
from phb_fhir.store.primary import Ask, question
from phb_fhir.store.rarity import Rarity
from phb_fhir.store.ways import ANY_TYPE, SEQ, Way, conditions, types_named, ways

SCANNED_MAX = (
    50_000  # resources of the types asked for that are looked at one by one, where no index leads to what is asked
)
SORTED_MAX = 50_000  # matches that are put into an order that no index has

PROBES_MAX = 10  # of so many conditions the rarest is looked for
_SIZE_REMEMBERED_S = 60.0
_BARE: Document = {"json": 0, "ix": 0}
_WITHOUT_VALUES: Document = {
    "ix.k": 0,
    "ix.r": 0,
    "ix.c": 0,
}  # the sortable texts stay, because positions are made of them
_POPULATION_MAX = 200_000  # how many resources of a type are counted, to tell what is common among them


class Pointer(NamedTuple):
    """A resource that points to others: its place among its like, and the keys of what it points to here, sorted."""

    position: Position
    targets: tuple[str, ...]


class Hit(NamedTuple):
    """A resource that a search found, where it is in the answer, and its index values."""

    version: Version
    position: Position
    index: Index  # type: ignore[assignment]  # a tuple's own `index` is no loss


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of every wait and batch, from the settings."""

    query_time_max_ms: int
    commit_time_max_s: float
    read_batch_max: int
    commit_batch_max: int
    disk_free_bytes_min: int = 0


class Finder:
    """Searches. With a session, they are made inside its transaction."""

    def __init__(
        self,
        database: AsyncDatabase[Document],
        ask: Ask,
        session: AsyncClientSession | None = None,
        rarity: Rarity | None = None,
    ) -> None:
        self._resources: AsyncCollection[Document] = database[RESOURCES]
        self._database = database
        self._ask = ask
        self._session = session
        self._rarity = rarity or Rarity()
        self._pages = Pages(database, session, self._rarity)

    # --- questions ---

    async def find(
        self,
        query: Query,
        order: Order = (),
        *,
        after: Position | None = None,
        backwards: bool = False,
        count: int,
        is_bare: bool = False,
        is_steady: bool = False,
        with_index: bool = True,
    ) -> list[Hit]:
        """Up to `count` resources that match, those after a position; `backwards`, the last ones before it, in the same order.

        `is_bare`: without their content and index values, for who wants to know no more than which they are. Not `with_index`:
        without the index values, which are half of what is read. `is_steady`: where no order is asked for, always in that of
        `seq`, whatever else there is: an order that others' data decides would tell of it.
        Raises Rejected: 400 where it would be too costly, 410 for a position of another order, 503 when it takes too long.
        """
        fields = _BARE if is_bare else None if with_index else _WITHOUT_VALUES
        dated: Literal["never", "where it moves"] = "never" if is_bare else "where it moves"
        found = await self._found(query, order, Page(count, after, backwards, fields, dated), is_steady=is_steady)
        return [Hit(version_of(document), position, index_of(document)) for document, position in found]

    async def search(self, query: Query, *, count: int) -> list[Version]:
        """The first few that match."""
        found = await self._found(query, (), Page(count, fields=WITHOUT_INDEX, dated="never"))
        return [version_of(document) for document, _ in found]

    async def keys(self, query: Query, *, count: int) -> list[str]:
        """The keys (`Patient/1`) of the first that match, in the order of a search that asks for none."""
        found = await self._found(query, (), Page(count, fields={"_id": 1}, dated="never"))
        return [document["_id"] for document, _ in found]

    @question("counting")
    async def count(self, query: Query) -> int:
        """How many resources match."""
        return await self._counted(await self._named(query))

    @question("counting")
    async def count_up_to(self, query: Query, most: int) -> int:
        """How many resources match, no more than `most` of them counted."""
        return await self._counted(await self._named(query), most) if most > 0 else 0

    async def leads_in_order(self, query: Query) -> bool:
        """Whether what matches is read off an index in the order of `seq`, whatever else it could be found by."""
        found = ways(query)
        return all(way.mode == SEQ for way in found) and any(is_in_order(query, way) for way in found)

    async def pointers(
        self,
        query: Query,
        parameter: str,
        types: Sequence[str],
        *,
        after: Position | None = None,
        backwards: bool = False,
        count: int,
    ) -> list[Pointer]:
        """The next that match, in the order of `seq` and as of the first page, with what they point to (as `pointed_at`)."""
        page = Page(count, after, backwards, {"type": 1, "seq": 1, "ix.k": 1}, "always")
        return [
            Pointer(position, tuple(sorted(references(document["ix"]["k"], parameter, types))))
            for document, position in await self._found(query, (), page)
        ]

    @question("following references")
    async def first_pointers(
        self, query: Query, parameter: str, keys: Sequence[str], *, as_of: Position
    ) -> dict[str, str]:
        """By these keys, the first in the order of `seq` of what matches and points to it, as of the page of this position."""
        pointing = query & Key(tuple(f"{parameter}={key}" for key in keys))
        way, _ = await self._soonest(pointing, ways(pointing), is_sized=False)
        stages = first_to_point(parameter, keys)
        found = await self._pages.grouped(led(pointing, way), stages, len(keys), time_of(as_of))
        return {document["_id"]: str(document["seq"]) for document in found}

    @question("following references")
    async def pointed_at(self, query: Query, parameter: str, types: Sequence[str], *, count: int) -> list[str]:
        """The distinct resources here of these types (empty: any) that the reference parameter of what matches points to."""
        query = await self._named(query)
        return await self._distinct(query, pointed_at(parameter, types), count)

    @question("looking what is in use")
    async def entries_in_use(
        self, types: Sequence[str], start: str, *, most: int, where: Node = EVERYTHING
    ) -> list[str]:
        """The distinct keys beginning like this (`_tag=`) of the resources of these types (empty: any), up to `most`."""
        query = await self._named(Query(tuple(types), AllOf((beginning(start), where))))
        return await self._distinct(query, entries(start), most)

    async def _distinct(self, query: Query, stages: list[Document], most: int) -> list[str]:
        """What these stages make of the matches, each `_id` once, sorted."""
        way, _ = await self._soonest(query, ways(query), is_sized=False)
        leading = led(query, way)
        pipeline = [{"$match": joint(leading.parts)}, *stages, {"$limit": most}]
        cursor = await self._resources.aggregate(pipeline, session=self._session, hint=leading.index)
        return sorted(document["_id"] for document in await cursor.to_list())

    @question("counting")
    async def led_to(self, query: Query) -> int:
        """How many an index leads to at the least, of what matches and of what does not; as far as that was counted a moment ago."""
        query = await self._named(query)
        return (await self._soonest(query, ways(query), is_sized=True))[1]

    @question("looking how much there is")
    async def check_served(self, query: Query) -> None:
        """Raise Rejected (400) when no index leads to what is asked, and there is too much to look through."""
        if not conditions(query.where) or ways(query):
            return
        if await self._size((), self._resources.estimated_document_count) <= SCANNED_MAX:
            return
        named = await self._named(query)
        population = 0 if ways(named) else await self._population(named.types)
        if population > SCANNED_MAX:
            raise _unserved(query.types)

    async def _population(self, types: tuple[str, ...]) -> int:
        """How many resources of these types there are, as far as they are counted; as it was a moment ago."""
        alive = {**of_types(types), "deleted": False}
        return await self._size(types, lambda: self._count_now(alive, BY_SEQ, _POPULATION_MAX))

    async def _size(self, types: tuple[str, ...], count: Callable[[], Awaitable[int]]) -> int:
        return await self._rarity.of(("size", types), count, _SIZE_REMEMBERED_S)

    @question("explaining")
    async def explain(self, query: Query, order: Order, count: int, *, after: Position | None = None) -> dict[str, Any]:
        """How this search is answered: by phase, what MongoDB is asked and what it did. `count` matches are asked for."""
        plan = await self._planned(await self._named(query), order, after, count)
        phases: list[dict[str, Any]] = []
        wanted = count
        for number, beyond in phases_left(plan, after, 1):
            phases.append(await self._explained(plan, plan.phases[number], beyond, wanted))
            wanted -= phases[-1]["returned"]
            if wanted <= 0:
                break
        return {"order": plan.mode, "phases": phases}

    async def _explained(self, plan: Plan, phase: Phase | Computed, beyond: Filter, count: int) -> dict[str, Any]:
        sort = dict(ordered(phase))
        asked = command_of(plan, phase, beyond, sort, count, at_once=plan.at_once)
        answer = await self._database.command({"explain": asked, "verbosity": "executionStats"})
        wanted = asked["filter"] if "filter" in asked else asked["pipeline"][0]["$match"]
        return {
            "filter": json.loads(json_util.dumps(wanted)),
            "sort": sort,
            "index": asked["hint"],
            **summary(answer),
        }

    # --- pages ---

    @question("searching")
    async def _found(
        self, query: Query, order: Order, page: Page, *, is_steady: bool = False
    ) -> list[tuple[Document, Position]]:
        if page.count <= 0:  # which MongoDB takes for "all of them"
            return []
        plan = await self._planned(await self._named(query), order, page.after, page.count, is_steady=is_steady)
        if any(isinstance(phase, Computed) for phase in plan.phases):
            await self._check_sorted(plan)
        return await self._pages.read(plan, page)

    async def _check_sorted(self, plan: Plan) -> None:
        if await self._count(plan.led, SORTED_MAX + 1) > SORTED_MAX:
            raise _unsorted()

    # --- plans ---

    async def _named(self, query: Query) -> Query:
        """The query with its types named: an index begins with the type."""
        if query.types:
            return query
        if types := types_named(query):
            return Query(types, query.where)
        there = await self._resources.distinct("type", session=self._session)
        return Query((ANY_TYPE, *sorted(there)), query.where)

    async def _planned(
        self, query: Query, order: Order, after: Position | None, count: int, *, is_steady: bool = False
    ) -> Plan:
        """The plan for the page after a position; where no order was asked for, in the order that the position is of."""
        led_by = ways(query)
        if order:
            way, size = await self._soonest(query, led_by, is_sized=True)
            plan = in_order(query, order, way, size, few=await self._are_few(query, size, count))
            return replace(plan, at_once=plan.at_once and not await self._is_near(plan, order, way, size))
        if after is not None or is_steady:
            mode = SEQ if after is None else mode_of(after)
            led_by = [way for way in led_by if way.mode == mode]
            if not led_by and mode != SEQ:
                raise lost()
        is_sized = any(way.kind == "key" and not is_in_order(query, way) for way in led_by)
        way, size = await self._soonest(query, led_by, is_sized=is_sized)
        return freely(query, way, size, few=is_sized and await self._are_few(query, size, count))

    async def _is_near(self, plan: Plan, order: Order, way: Way | None, size: int) -> bool:
        """Whether the texts of the period lead to what matches past no more than that is."""
        phase = gone_through(plan, order, way)
        if phase is None:
            return False
        wanted = joint(phase.where)
        asked = ("through", plan.query, order)
        return await self._rarity.of(asked, lambda: self._count_now(wanted, phase.index, RARE_MAX)) <= size

    async def _are_few(self, query: Query, size: int, count: int) -> bool:
        if not RARE_MAX <= size < PROBED_MAX:
            return size < RARE_MAX
        return are_few(size, count, await self._population(query.types))

    async def _soonest(self, query: Query, led_by: Sequence[Way], *, is_sized: bool) -> tuple[Way | None, int]:
        """The way that leads to the fewest, and how many those are, as far as they were counted: not at all, unless there
        is a choice or `is_sized` asks for it.
        """
        led_by = led_by[:PROBES_MAX]
        if not led_by:
            return None, PROBED_MAX
        if len(led_by) == 1 and not is_sized:
            return led_by[0], PROBED_MAX
        known = {way: size for way in led_by if (size := self._known_size(query, way)) is not None}
        least = min(known.values(), default=None)
        # where the size of one is known, it is only asked of the others whether they lead to fewer
        for most in (RARE_MAX, PROBED_MAX) if least is None else (least,):
            asked = [way for way in led_by if way not in known]
            counted = await asyncio.gather(*(self._size_of(query, way, most) for way in asked))
            sizes = known | dict(zip(asked, counted, strict=True))
            first = min(
                sizes, key=sizes.__getitem__
            )  # of several a known one, which may be less than what was not counted on
            if sizes[first] < most:
                break
        return first, sizes[first]

    def _known_size(self, query: Query, way: Way) -> int | None:
        """How many it leads to, up to `PROBED_MAX`, where that need not be counted."""
        if way.kind == "id":
            return min(way.points or 0, PROBED_MAX)
        return self._rarity.known((query.types, way, PROBED_MAX))

    async def _size_of(self, query: Query, way: Way, most: int) -> int:
        return await self._rarity.of((query.types, way, most), lambda: self._probe(query, way, most))

    async def _probe(self, query: Query, way: Way, most: int) -> int:
        # outside of a transaction, if there is one: it decides nothing but the time
        counts = [self._probed(probe, most) for probe in probes(query, way)]
        return min(most, sum(await asyncio.gather(*counts)))

    async def _probed(self, probe: Probe, most: int) -> int:
        if probe.path.endswith((MAX, END)):  # of lists, and of long intervals: most parameters have neither
            any_: Filter = {probe.path: {"$gte": ""}}
            asked = ("used", probe.path)
            if not await self._rarity.of(asked, lambda: self._count_now(any_, probe.index, 1), _SIZE_REMEMBERED_S):
                return 0
        return await self._count_now(probe.wanted, probe.index, most)

    # --- counting ---

    async def _counted(self, query: Query, most: int | None = None) -> int:
        way, _ = await self._soonest(query, ways(query), is_sized=False)
        if way is None or way.reach is None:
            return await self._count(led(query, way), most)
        # the phases of a period exclude each other
        plan, counted = freely(query, way, PROBED_MAX, few=False), 0
        for phase in plan.phases:
            if most is None or counted < most:
                counted += await self._count(plan.read(phase, at_once=False), None if most is None else most - counted)
        return counted

    async def _count(self, reading: Led, most: int | None = None) -> int:
        """MongoDB's `count` reads an index alone where it can, and is not to be had inside a transaction."""
        wanted = joint(reading.parts)
        if self._session is None:
            return await self._count_now(wanted, reading.index, most)
        limit = {} if most is None else {"limit": most}
        return await self._resources.count_documents(wanted, session=self._session, hint=reading.index, **limit)

    async def _count_now(self, wanted: Filter, index: str, most: int | None) -> int:
        limit = {} if most is None else {"limit": most}
        command: Document = {"count": RESOURCES, "query": wanted, "hint": index, **limit}
        answer = await self._database.command({**command, "readConcern": {"level": "majority"}})
        return int(answer["n"])


def references(entries: Iterable[str], parameter: str, types: Sequence[str]) -> Iterator[str]:
    """Of these entries of `ix.k`, what a reference parameter points to here, as `Patient/1`, of these types (none named: of any)."""
    start = f"{parameter}="
    for entry in entries:
        if entry.startswith(start):
            target = entry[len(start) :]
            type_, _, id_ = target.partition("/")
            if id_ and "/" not in id_ and (type_ in types or not types):
                yield target


def _unserved(types: Sequence[str]) -> Rejected:
    named = " and ".join(types) if types else "resources"
    text = (
        f"No index leads to what is asked, and there are more than {SCANNED_MAX} {named} to look through. Add a parameter "
        "that picks some of them: a reference such as subject or patient, a code or an identifier without :not, a date, or _id."
    )
    return refuse(Refusal.BAD_REQUEST, Kind.TOO_COSTLY, text)


def _unsorted() -> Rejected:
    text = (
        f"More than {SORTED_MAX} resources match, and no index has them in the order asked for. Sort by one date, number, "
        "quantity or string of one type, by _lastUpdated or by _id, or add a parameter so that fewer match."
    )
    return refuse(Refusal.BAD_REQUEST, Kind.TOO_COSTLY, text)

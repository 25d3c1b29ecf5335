"""The record as one actor sees it: a Reader that shows only what they may see.

Every question of an interaction goes through one of these, those of its joins, includes and criteria too, so that nothing is told by a
detour: not by a chain, not by a total, not by the order, not by whether a page is full. What may not be seen is not there.

A predicate that asks for other resources (whose budget a purchase is paid from) is resolved like any join, by `Joins` over the plain
reader. What may be seen in part alone is found only by what that part tells, and shown without the rest (`security/mask`).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from phb_fhir.change import Version
from phb_fhir.definitions.search_parameters import SearchParameters
from phb_fhir.interactions.access import Access, access_of
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.joins import Joins, Resolved, asks_others, local_references, split
from phb_fhir.interactions.settled import parameters_asked
from phb_fhir.interactions.trail import Trail, asker_of
from phb_fhir.outcome import Kind, Refusal, refuse
from phb_fhir.query import EVERYTHING, NOTHING, AllOf, HistoryQuery, Node, OfType, Order, Query
from phb_fhir.search.kinds.kind import Index
from phb_fhir.security.actor import Actor
from phb_fhir.security.mask import MASKS, WORDLESS, asks_for_words, shown
from phb_fhir.security.policy import RESTRICTED_OR_IN, any_of
from phb_fhir.store.plan import PROBED_MAX
from phb_fhir.store.store import Hit, Moment, Pointer, Position, Reader
from phb_fhir.store.ways import ways

REMEMBERED_MAX = 10_000  # tokens
LOOKED_MAX_S = 10.0  # at candidates, for one question
PREDICATE_JOINS_MAX = 1_000  # conditions on others in what somebody may see of all types; most are the same again
NOTED_MAX = 500  # restricted records that one question may open
_BATCH = 200  # versions of a history looked at together


async def admitted(context: Context, actor: Actor, purpose: str, remembered: Remembered, trail: Trail) -> Context:
    """The context of one request of an actor: what they may see is all there is, and `trail` takes down what they do.

    `purpose` is what the request states it is for.
    """
    access = None if purpose else remembered.of(actor, context)
    if access is None:
        access = await access_of(context, actor, purpose)
        access.narrowed = partial(Seen, access=access)
        access.asker = asker_of(actor, access, purpose)
        remembered.keep(access)
    trail.asked_by(access)
    return context._replace(access=access, reader=Seen(context.store, access), trail=trail)


class Remembered:
    """The access of those whose tokens say it all, so that it is worked out once for a token. One for each process."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, tuple[Access, SearchParameters]] = OrderedDict()

    def of(self, actor: Actor, context: Context) -> Access | None:
        """What was worked out for this very token, while resources are found by the same parameters."""
        access, parameters = self._known.get(id(actor), (None, None))
        return access if access is not None and access.actor is actor and parameters is context.parameters else None

    def keep(self, access: Access) -> None:
        if access.is_lasting:
            self._known[id(access.actor)] = access, access.context.parameters
            while len(self._known) > REMEMBERED_MAX:
                self._known.popitem(last=False)


def whole(reader: Reader) -> Reader:
    """The reader with nothing left out: for sums that must be whole, asked by whoever may see what they are of.

    What else it tells is not to be shown.
    """
    return reader.inner if isinstance(reader, Seen) else reader


class Seen(Reader):
    """`inner` is the store, or one transaction. It has no collections of its own: what is not said here, is not answered."""

    def __init__(self, inner: Reader, access: Access) -> None:
        self._inner = inner
        self._access = access
        self._resolved: dict[tuple[str, ...], Resolved] = {}

    @property
    def inner(self) -> Reader:
        """The same, with nothing left out (`whole`)."""
        return self._inner

    @cached_property
    def _joins(self) -> Joins:
        return Joins(self._inner, self._access.context.asking())

    @property
    def is_in_transaction(self) -> bool:
        return self._inner.is_in_transaction

    # --- single versions ---

    async def read(self, type_: str, id_: str) -> Version | None:
        version = await self._inner.read(type_, id_)
        return None if version is None else await self._shown(version)

    async def _shown(self, version: Version) -> Version | None:
        plain = self._access.shows_plainly(version)
        if plain is not None:
            return version if plain else None
        return next(iter(await self._access.shown(self._inner, [version], "r")), None)

    async def read_all(self, keys: Iterable[str]) -> dict[str, Version]:
        found = await self._inner.read_all(keys)
        return {version.key: version for version in await self._access.shown(self._inner, list(found.values()))}

    async def read_version(self, type_: str, id_: str, number: int) -> Version | None:
        version = await self._inner.read_version(type_, id_, number)
        return None if version is None else await self._shown(version)

    # --- the history ---

    async def history(self, query: HistoryQuery, *, after: Moment | None, count: int) -> list[Version]:
        asked, is_left = await self._narrowed_history(query)
        found: list[Version] = []
        deadline = _deadline()
        while asked is not None and len(found) < count:
            batch = await self._inner.history(asked, after=after, count=max(_BATCH, count) if is_left else count)
            found += await self._access.shown(self._inner, batch, _letter_of(query))
            if not is_left or len(batch) < max(_BATCH, count):
                break
            after = (batch[-1].at, batch[-1].key)
            _check_time(deadline)
        return found[:count]

    async def history_count(self, query: HistoryQuery) -> int:
        asked, is_left = await self._narrowed_history(query)
        if asked is None:
            return 0
        if not is_left:
            return await self._inner.history_count(asked)
        total, after, deadline = 0, None, _deadline()
        while True:
            batch = await self._inner.history(asked, after=after, count=_BATCH)
            total += len(await self._access.shown(self._inner, batch, _letter_of(query)))
            if len(batch) < _BATCH:
                return total
            after = (batch[-1].at, batch[-1].key)
            _check_time(deadline)

    async def brought_back(self, versions: Collection[Version]) -> set[Version]:
        return await self._inner.brought_back(versions)

    async def _narrowed_history(self, query: HistoryQuery) -> tuple[HistoryQuery | None, bool]:
        """The same history as far as the store can narrow it, and whether each version must be looked at besides."""
        types = self._access.types_seen((query.type,) if query.type else ())
        views = {type_: self._access.view(type_, _letter_of(query)) for type_ in types}
        nodes = {type_: view.within for type_, view in views.items() if view.where != NOTHING or view.masked != NOTHING}
        is_many = False
        if not query.id:  # one resource has few versions to look at, and joins cost questions
            nodes, is_many = await self._settled_of_each(nodes)
        is_many = is_many or any(map(asks_others, nodes.values()))
        is_left = is_many or any(view.is_wide or view.masked != NOTHING for view in views.values())
        where = any_of(AllOf((OfType((one,)), EVERYTHING if is_many else node)) for one, node in nodes.items())
        if where == NOTHING:
            return None, False
        is_all = not is_left and all(view.where == EVERYTHING for view in views.values()) and bool(query.type)
        parts = (query.where,) if is_all else (query.where, where)
        return replace(query, where=AllOf(parts)), is_left

    async def _settled_of_each(self, nodes: dict[str, Node]) -> tuple[dict[str, Node], bool]:
        """What is seen of each type with its joins resolved; and whether some are of too many for that."""
        settled: dict[str, Node] = {}
        for type_, node in nodes.items():
            found = await self._settled((type_,), node)
            if found.left:
                return nodes, True
            settled[type_] = found.query.where
        return settled, False

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
        del is_steady
        asked = await self._narrowed(query, order)
        if asked is None:
            return []
        if not asked.left:
            found = await self._inner.find(
                asked.query,
                order,
                after=after,
                backwards=backwards,
                count=count,
                is_bare=is_bare and not self._masks(asked.query.types),
                is_steady=True,
                with_index=with_index or self._masks(asked.query.types),
            )
            return await self._as_seen(found)
        return await self._as_seen(await self._sifted(asked, order, after, backwards=backwards, count=count))

    async def _sifted(
        self, asked: Resolved, order: Order, after: Position | None, *, backwards: bool, count: int
    ) -> list[Hit]:
        found: list[Hit] = []
        deadline = _deadline()
        while True:
            sifted = await self._joins.sift(
                asked, order, after=after, backwards=backwards, count=count - len(found), is_steady=True
            )
            found = sifted.hits + found if backwards else found + sifted.hits
            if not sifted.more or len(found) >= count:
                return found
            after = sifted.edge
            _check_time(deadline)

    async def search(self, query: Query, *, count: int) -> list[Version]:
        return [hit.version for hit in await self.find(query, count=count)]

    async def keys(self, query: Query, *, count: int) -> list[str]:
        asked = await self._narrowed(query)
        if asked is None:
            return []
        if not asked.left:
            return await self._inner.keys(asked.query, count=count)
        return [hit.version.key for hit in await self._sifted(asked, (), None, backwards=False, count=count)]

    async def count(self, query: Query) -> int:
        asked = await self._narrowed(query)
        return 0 if asked is None else await self._joins.count(asked, LOOKED_MAX_S)

    async def count_up_to(self, query: Query, most: int) -> int:
        asked = await self._narrowed(query)
        if asked is None or most <= 0:
            return 0
        if not asked.left:
            return await self._inner.count_up_to(asked.query, most)
        return len(await self.keys(query, count=most))

    async def pointed_at(self, query: Query, parameter: str, types: Sequence[str], *, count: int) -> list[str]:
        asked = await self._narrowed(query, parameters=(parameter,))
        if asked is None:
            return []
        if not asked.left:
            return await self._inner.pointed_at(asked.query, parameter, types, count=count)
        hits = await self._sifted(asked, (), None, backwards=False, count=count * 10)
        targets = {target for hit in hits for target in local_references(hit, parameter, types)}
        return sorted(targets)[:count]

    async def leads_in_order(self, query: Query) -> bool:
        asked = await self._narrowed(query)
        if asked is None or asked.left or self._masks(asked.query.types):
            return False
        return await self._inner.leads_in_order(asked.query)

    async def led_to(self, query: Query) -> int:
        # what there is of others decides nothing here, not even the order
        return 0 if ways(query) else PROBED_MAX

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
        asked = await self._narrowed(query, parameters=(parameter,))
        if asked is None or asked.left:  # in which case it leads in no order
            return []
        return await self._inner.pointers(asked.query, parameter, types, after=after, backwards=backwards, count=count)

    async def first_pointers(
        self, query: Query, parameter: str, keys: Sequence[str], *, as_of: Position
    ) -> dict[str, str]:
        asked = await self._narrowed(query, parameters=(parameter,))
        if asked is None or asked.left:
            return {}
        return await self._inner.first_pointers(asked.query, parameter, keys, as_of=as_of)

    async def entries_in_use(
        self, types: Sequence[str], start: str, *, most: int, where: Node = EVERYTHING
    ) -> list[str]:
        asked = await self._narrowed(Query(tuple(types), where), parameters=(start.rstrip("="),))
        if asked is None:
            return []
        if asked.left:
            text = "With this role, what is in use cannot be told of all resources at once; ask for one resource."
            raise refuse(Refusal.FORBIDDEN, Kind.TOO_COSTLY, text)
        return await self._inner.entries_in_use(asked.query.types, start, most=most, where=asked.query.where)

    async def check_served(self, query: Query) -> None:
        asked = await self._narrowed(query)
        if asked is not None:
            await self._inner.check_served(asked.query)

    async def explain(self, query: Query, order: Order, count: int, *, after: Position | None = None) -> dict[str, Any]:
        if any(self._access.view(type_).where != EVERYTHING for type_ in self._access.types_seen(query.types)):
            text = "How a search is answered tells of what you may not see, so it is told only to who sees everything."
            raise refuse(Refusal.FORBIDDEN, Kind.FORBIDDEN, text)
        return await self._inner.explain(query, order, count, after=after)

    # --- narrowing ---

    async def _narrowed(self, query: Query, order: Order = (), parameters: Iterable[str] = ()) -> Resolved | None:
        """The question with what may be seen; None where that is nothing."""
        types = self._access.types_seen(query.types)
        by = {
            *parameters,
            *(name for _, name in parameters_asked(types, query.where)),
            *(key.parameter for key in order),
        }
        by_node: dict[Node, list[str]] = {}
        for type_ in types:
            view = self._access.view(type_, "s")
            is_told = shown(type_, by) and (type_ not in WORDLESS or not asks_for_words(query.where))
            node = any_of((view.where, view.masked)) if is_told else view.where
            if node != NOTHING:
                by_node.setdefault(node, []).append(type_)
        if not by_node:
            return None
        seen = tuple(type_ for group in by_node.values() for type_ in group)
        types = tuple(type_ for type_ in types if type_ in seen)
        if len(by_node) == 1:
            node = next(iter(by_node))
        else:
            node = any_of(AllOf((OfType(tuple(group)), one)) for one, group in by_node.items())
        settled = await self._settled(types, node)
        asked = Resolved(Query(types, AllOf((query.where, settled.query.where))), settled.left)
        if self._access.is_breaking_glass:
            await self._note_opened(asked)
        return asked

    async def _note_opened(self, asked: Resolved) -> None:
        """Whose restricted records a question is answered from, though it were only with a number."""
        restricted = await self._joins.resolve(Query(asked.query.types, RESTRICTED_OR_IN))
        sifted = await self._joins.sift(
            Resolved(asked.query & restricted.query.where, (*asked.left, *restricted.left)), count=NOTED_MAX
        )
        await self._access.note_opened(self._inner, [hit.version for hit in sifted.hits])

    async def _settled(self, types: tuple[str, ...], node: Node) -> Resolved:
        """The predicate with its joins resolved as far as they are of few; once for a request."""
        if not asks_others(node):
            return split(Query(types, node))
        key = (*types, repr(node))
        if key not in self._resolved or self.is_in_transaction:
            self._resolved[key] = await self._joins.resolve(Query(types, node), joins_max=PREDICATE_JOINS_MAX)
        return self._resolved[key]

    def _masks(self, types: Iterable[str]) -> bool:
        return any(self._access.view(type_).masked != NOTHING for type_ in types)

    async def _as_seen(self, hits: list[Hit]) -> list[Hit]:
        """The hits, masked where only a part of them may be seen; what they are found by goes with it."""
        await self._access.note_opened(self._inner, [hit.version for hit in hits])
        if not any(self._masks((hit.version.type,)) for hit in hits):
            return hits
        shown_ = {one.key: one for one in await self._access.shown(self._inner, [hit.version for hit in hits])}
        made = []
        for hit in hits:
            version = shown_.get(hit.version.key)
            if version is not None:
                made.append(
                    hit if version is hit.version else Hit(version, hit.position, _part_of(hit.index, version.type))
                )
        return made


def _part_of(index: Index, type_: str) -> Index:
    kept = MASKS[type_].parameters
    keys = {key: None for key in index.keys if key.lstrip("!").partition("=")[0] in kept}
    return Index(keys, {}, {name: rows for name, rows in index.spans.items() if name in kept}, {}, index.digest)


def _letter_of(query: HistoryQuery) -> str:
    """The history of one resource is read, that of many is searched (SMART App Launch 2, "Scopes for requesting FHIR Resources")."""
    return "r" if query.id else "s"


def _deadline() -> float:
    return asyncio.get_running_loop().time() + LOOKED_MAX_S


def _check_time(deadline: float) -> None:
    if asyncio.get_running_loop().time() > deadline:
        text = (
            "What you may see must be looked for one by one, which takes too long here. Say more of what you look for."
        )
        raise refuse(Refusal.UNAVAILABLE, Kind.TIMEOUT, text)

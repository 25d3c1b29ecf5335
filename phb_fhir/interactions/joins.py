"""Conditions on other resources: chaining, `_has`, hierarchies and `_list` (R4 §3.1.1.4.14 to 16, §3.1.1.5.12).

MongoDB looks at each document by itself, so such a condition is turned into one on the resource: for
`ChargeItem?subject.name=jill` the Patients of that name are asked for first, and then what points to one of these. That is
exact, and quick, as long as they are few. A chain is also kept by what a resource contains (R4 §3.1.1.5.5).

When they are many (`JOINED_MAX`), no list of them is made. The condition is then left over, and looked at for those candidates
that the other conditions leave, a batch at a time: what do these point to, and which of that does the condition hold for?
What only the whole resource can tell (`Judge`) is looked at there too, and so is every "or" and "not" around one of them. A
page is then what was found among so many candidates (`CANDIDATES_MAX`), and says where to go on.

`_has` begins at the far end, where very many may point to a few. Where they are many, and no other condition leads to few, a
page is read off what points (`pointing`). Else, or where that leads to nobody new, the candidates are gone through: what is
common is soon found among the first, and only where these do not fill a page is all that points asked whom it points to
(`_insisted`).

A canonical leads to what has its url (`canonicals`). There are few definitions, and much may refer to each. So of a chain, the
definitions' names become the condition; and of `_has`, each candidate is asked for by its names, unless little points anywhere.
What is above or below in a hierarchy (`hierarchies`) is a list of keys before anything else is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from phb_fhir.change import Version
from phb_fhir.fhir.codec import loads
from phb_fhir.fhir.reference import unversioned
from phb_fhir.interactions.canonicals import Name, meant_by, mentioning, named, names_of, naming
from phb_fhir.interactions.contained import CONTAINS, contained_targets
from phb_fhir.interactions.hierarchies import in_hierarchy
from phb_fhir.interactions.listed import items_of
from phb_fhir.interactions.pointing import Pointing, Target, is_from_pointing
from phb_fhir.interactions.subset import STORED_DEPTH_MAX
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.query import (
    NOTHING,
    AllOf,
    AnyOf,
    Id,
    InHierarchy,
    InList,
    Judge,
    Key,
    Linked,
    LinkedFrom,
    Node,
    Not,
    Order,
    Query,
)
from phb_fhir.search.asking import Asking
from phb_fhir.search.match import Subject, match, match_query
from phb_fhir.store.plan import PROBED_MAX
from phb_fhir.store.positions import lost
from phb_fhir.store.store import Hit, Position, Reader, references

JOINS_MAX = 50  # conditions on other resources in one search
JOINED_MAX = 1_000  # resources that one of them is turned into a list of
NAMES_MAX = 300  # of definitions, that a chain asks for at once; where there are more, each candidate is looked at
POINTING_MAX = 100_000  # resources that are asked whom they point to, for a `_has`
POINTED_MAX = 5_000  # of these, as many as are asked together whether they point to some candidates
FEW = 100  # candidates that are looked at first of all
SPARE = 4  # of so many that point, one may point to what was found already
RARE = 50  # what fewer than one candidate in so many keeps
BATCH = 500  # candidates looked at together
CANDIDATES_MAX = 5_000  # candidates looked at for one page
LED_MAX = 5_000  # candidates that other conditions lead to; where these are more, `_has` begins with what points
_CHUNK = 500  # ids in one question
_COUNTED = 1_000  # matches counted at once, where they must be looked at
_AT_ONCE = 8  # questions under way together

Types = tuple[str, ...]  # empty: all of them
_OF_OTHERS = (Linked, LinkedFrom, InHierarchy, InList)  # what only other resources can tell


class Resolved(NamedTuple):
    """A query as the store can answer it, and the conditions left over, to be looked at.

    `has` is the one among these, if there is one, that a page can begin with (`pointing`).
    """

    query: Query
    left: tuple[Node, ...] = ()
    has: LinkedFrom | None = None


class Sifted(NamedTuple):
    """`hits` in the order of the search. `more`: there may be others beyond `edge`, the place up to which was looked."""

    hits: list[Hit]
    more: bool
    edge: Position | None


NOT_SOON = Sifted([], True, None)


def split(query: Query) -> Resolved:
    """What of a query the store can answer, and the rest of its conditions."""
    asked: list[Node] = []
    left: list[Node] = []
    for one in _conditions(query.where):
        is_left = any(isinstance(leaf, (*_OF_OTHERS, Judge)) for leaf in _leaves(one))
        (left if is_left else asked).append(one)
    return Resolved(Query(query.types, AllOf(tuple(asked))), tuple(left)) if left else Resolved(query)


class Joins:
    """Answers queries of any kind, by asking `reader` one question after another."""

    def __init__(self, reader: Reader, asking: Asking) -> None:
        self._reader = reader
        self._asking = asking
        self._known: dict[tuple[Types, Node], Node] = {}  # what was found of a condition, for where it stands again
        self._listed: dict[
            tuple[Query, int], list[str] | None
        ] = {}  # and of what matches, for another that leads to it

    async def resolve(self, query: Query, after: Position | None = None, joins_max: int = JOINS_MAX) -> Resolved:
        """The query with its joins resolved, as far as they are of few; for the page that begins `after` a place.

        Raises Rejected (400) for more joins than `joins_max`.
        """
        joins = sum(isinstance(leaf, _OF_OTHERS) for leaf in _leaves(query.where))
        if joins > joins_max:
            text = f"The search has {joins} conditions on other resources; at most {joins_max} are taken."
            raise refuse(Refusal.BAD_REQUEST, Kind.TOO_COSTLY, text)
        if not joins:
            return split(query)
        if self._reader.is_in_transaction:  # in which something may have been written since
            self._known.clear()
            self._listed.clear()
        query = Query(query.types, await self._walked(query.where))
        has = await self._leading(query)
        if has is not None and is_from_pointing(after):  # however few they are by now, the order stays
            others = (part for part in _conditions(query.where) if part is not has)
            rest = await self._settled(query.types, AllOf(tuple(others)))
            return split(Query(query.types, AllOf((rest, has))))._replace(has=has)
        resolved = split(Query(query.types, await self._settled(query.types, query.where)))
        if has is None:
            return resolved
        return resolved._replace(has=next((one for one in resolved.left if isinstance(one, LinkedFrom)), None))

    async def _leading(self, query: Query) -> LinkedFrom | None:
        """The `_has` that a page can begin with: the only one, and of what is read off one index."""
        found = [part for part in _conditions(query.where) if isinstance(part, LinkedFrom)]
        if len(found) != 1 or found[0].by_url or split(Query((), found[0].where)).left:
            return None
        return found[0] if await self._reader.leads_in_order(Query((found[0].type,), found[0].where)) else None

    async def sift(
        self,
        asked: Resolved,
        order: Order = (),
        *,
        after: Position | None = None,
        backwards: bool = False,
        count: int,
        is_steady: bool = False,
        with_index: bool = True,
    ) -> Sifted:
        """Up to `count` of what matches, what is left over included, from the place `after` on; `is_steady` and `with_index` as in
        `Finder.find`.

        Raises Rejected (410) for a place in another order.
        """
        if is_from_pointing(after):
            if asked.has is None or order:
                raise lost()
            return await self._sift_pointing(asked, asked.has, after, backwards=backwards, count=count)
        if (
            after is None
            and not is_steady
            and asked.has is not None
            and await self._may_begin_with_pointing(asked, order)
        ):
            page = NOT_SOON
            if await self._are_common(asked.has):
                page = await self._sift(asked, backwards=backwards, count=count, is_soon=True)
            if page is NOT_SOON:
                page = await self._sift_pointing(asked, asked.has, backwards=backwards, count=count)
            if page is not NOT_SOON:
                return page
        return await self._sift(
            asked, order, after=after, backwards=backwards, count=count, is_steady=is_steady, with_index=with_index
        )

    async def _may_begin_with_pointing(self, asked: Resolved, order: Order) -> bool:
        """Whether a first page may: where nothing else leads to few."""
        if order or self._reader.is_in_transaction:
            return False
        return await self._reader.led_to(asked.query) > LED_MAX

    async def _are_common(self, node: LinkedFrom) -> bool:
        """Whether so much points that it is best to look at candidates first, and see."""
        return await self._reader.led_to(Query((node.type,), node.where)) >= PROBED_MAX

    async def explain(self, asked: Resolved, order: Order, count: int) -> dict[str, Any]:
        """How the first page of this search is answered, as `Reader.explain` tells it."""
        has, query = asked.has, asked.query
        if has is not None and await self._may_begin_with_pointing(asked, order) and not await self._are_common(has):
            said = await self._reader.explain(Query((has.type,), has.where), order, count)
            said["begins_with"] = f"what points: {has.type}"
        else:
            said = await self._reader.explain(query, order, count)
        if asked.left:
            said["looked_at_one_by_one"] = [repr(node) for node in asked.left]
        return said

    async def _sift_pointing(
        self,
        asked: Resolved,
        node: LinkedFrom,
        after: Position | None = None,
        *,
        backwards: bool = False,
        count: int,
    ) -> Sifted:
        """The same, beginning at what points; NOT_SOON where that leads to too little, which only a first page finds out."""
        pointing = Pointing(self._reader, node, asked.query.types)
        rest = asked._replace(left=tuple(one for one in asked.left if one is not node))
        found: list[Hit] = []
        edge, size, looked_at = after, min(BATCH, 1 + count + count // SPARE), 0
        while looked_at < CANDIDATES_MAX:
            seen = await pointing.look(edge, backwards=backwards, count=size)
            kept = await self._that_keep(rest, seen.targets)
            found = kept + found if backwards else found + kept
            if len(found) > count:
                return _full(found, count, edge, backwards=backwards)
            edge = seen.edge
            if not seen.more:
                return Sifted(found, False, edge)
            looked_at += size
            if after is None and len(found) * RARE < looked_at:
                return NOT_SOON
            size = _needed(count + 1, len(found), looked_at)
        return Sifted(found, True, edge)

    async def _that_keep(self, asked: Resolved, targets: Sequence[Target]) -> list[Hit]:
        """Those of these that keep the other conditions."""
        if not targets:
            return []
        query = asked.query & Id(tuple(target.key for target in targets))
        hits = await self.look(asked.left, await self._reader.find(query, count=len(targets)))
        there = {hit.version.key: hit for hit in hits}
        return [there[target.key]._replace(position=target.position) for target in targets if target.key in there]

    async def _sift(
        self,
        asked: Resolved,
        order: Order = (),
        *,
        after: Position | None = None,
        backwards: bool = False,
        count: int,
        is_steady: bool = False,
        with_index: bool = True,
        is_soon: bool = False,
    ) -> Sifted:
        """The same, in any order, beginning at the candidates; with `is_soon`, NOT_SOON where the first do not fill the page."""
        found: list[Hit] = []
        edge, size, looked_at = after, count + 1, 0
        is_insisted = False
        while looked_at < CANDIDATES_MAX:
            is_bare = bool(asked.left) and not order and all(_is_of_keys(node) for node in asked.left)
            candidates = await self._reader.find(
                asked.query,
                order,
                after=edge,
                backwards=backwards,
                count=size,
                is_bare=is_bare,
                is_steady=is_steady,
                with_index=with_index or bool(asked.left),
            )
            kept = await self.look(asked.left, candidates)
            found = kept + found if backwards else found + kept
            if len(found) > count:
                page = _full(found, count, edge, backwards=backwards)
                return page._replace(hits=await self._whole(page.hits))
            if candidates:
                edge = candidates[0 if backwards else -1].position
            if len(candidates) < size:
                return Sifted(await self._whole(found), False, edge)
            looked_at += size
            if is_soon and looked_at >= BATCH:
                return NOT_SOON
            if not is_insisted and looked_at >= BATCH and len(found) * RARE < looked_at:
                asked, is_insisted = await self._insisted(asked), True
            size = _needed(count + 1, len(found), looked_at)
        return Sifted(await self._whole(found), True, edge)

    async def _whole(self, hits: list[Hit]) -> list[Hit]:
        """The same hits with their content, which was not read of candidates that only others can tell of."""
        bare = [hit.version for hit in hits if hit.version.json is None]
        if not bare:
            return hits
        types = tuple({version.type: None for version in bare})
        query = Query(types, Id(tuple(version.key for version in bare)))
        there = {hit.version.key: hit for hit in await self._reader.find(query, count=len(bare))}
        known = ((hit, hit if hit.version.json is not None else there.get(hit.version.key)) for hit in hits)
        return [whole._replace(position=hit.position) for hit, whole in known if whole is not None]

    async def count(self, asked: Resolved, most_s: float) -> int:
        """How many match, what is left over included. Raises Rejected (503) when looking takes too long."""
        deadline = asyncio.get_running_loop().time() + most_s
        asked = await self._insisted(asked)
        if not asked.left:
            return await self._reader.count(asked.query)
        count, edge = 0, None
        while True:
            hits, more, edge = await self._sift(asked, after=edge, count=_COUNTED)
            count += len(hits)
            if not more:
                return count
            if asyncio.get_running_loop().time() > deadline:
                text = "What is asked must be looked at one by one, which takes too long. Ask without a total, or for less."
                raise refuse(Refusal.UNAVAILABLE, Kind.TIMEOUT, text)

    async def matching(self, query: Query, *, count: int) -> list[Version]:
        """The first `count` resources that match.

        Raises Rejected (400) where so many must be looked at that it is not known: who changes what matches has to know it.
        """
        asked = await self.resolve(query)
        await self._reader.check_served(asked.query)
        if not asked.left:
            return await self._reader.search(asked.query, count=count)
        sifted = await self._sift(asked, count=count)
        if sifted.more and len(sifted.hits) < count:
            raise undecided()
        return [hit.version for hit in sifted.hits]

    async def look(self, left: Sequence[Node], hits: list[Hit]) -> list[Hit]:
        """Those of a batch of candidates that keep the conditions `left` too, which `resolve` left over."""
        for node in left:
            if hits:
                hits = _kept(await self._plain(node, hits), hits)
        return hits

    # ---- few: a list of them -------------------------------------------------------------------------

    async def _walked(self, node: Node) -> Node:
        """The condition with every hierarchy in it turned into keys, wherever it stands."""
        match node:
            case InHierarchy():
                return await in_hierarchy(self._reader, node)
            case AllOf(parts) | AnyOf(parts):
                return type(node)(tuple([await self._walked(part) for part in parts]))
            case Not(part):
                return Not(await self._walked(part))
            case Linked() | LinkedFrom():
                return replace(node, where=await self._walked(node.where))
        return node

    async def _settled(self, types: Types, node: Node) -> Node:
        """The condition with every join in it that is of few resources turned into keys or ids."""
        match node:
            case AllOf():
                return await self._all_settled(types, _conditions(node))
            case AnyOf(parts):
                return AnyOf(tuple([await self._settled(types, part) for part in parts]))
            case Not(part):
                return Not(await self._settled(types, part))
            case Linked() | LinkedFrom():
                return await self._joined(types, node)
            case InList():
                return await self._in_list(node)
        return node

    async def _joined(self, types: Types, node: Linked | LinkedFrom) -> Node:
        """The same of a join, which is asked for once: policies say the same of a budget in several places."""
        if (types, node) not in self._known:
            asked = self._linked(types, node) if isinstance(node, Linked) else self._linked_from(Query(types), node)
            self._known[types, node] = await asked
        return self._known[types, node]

    async def _all_settled(self, types: Types, parts: Sequence[Node]) -> Node:
        done = [await self._settled(types, part) for part in parts if not isinstance(part, LinkedFrom)]
        for part in parts:
            if isinstance(part, LinkedFrom):
                done.append(await self._linked_from(Query(types, AllOf(tuple(done))), part))
        return AllOf(tuple(done))

    async def _linked(self, types: Types, node: Linked) -> Node:
        node = replace(node, where=await self._settled(node.types, node.where))
        await self._reader.check_served(split(Query(node.types, node.where)).query)
        if node.by_url:
            return await self._linked_by_url(types, node)
        keys = await self._keys(Query(node.types, node.where), JOINED_MAX)
        containing = await self._containing(types, node)
        if keys is None or containing is None:
            return node
        pointing = Key(tuple(f"{node.parameter}={key}" for key in keys)) if keys else NOTHING
        return AnyOf((pointing, containing)) if containing != NOTHING else pointing

    async def _linked_by_url(self, types: Types, node: Linked) -> Node:
        """The same for a canonical: the names of the definitions, where they are few; where not, what to look at one by one."""
        hits = await self._hits(Query(node.types, node.where), JOINED_MAX)
        containing = await self._containing(types, node)
        if hits is None or containing is None:
            return node
        names = names_of(hits)
        if len(names) > NAMES_MAX:
            return AllOf((mentioning(node.parameter, names), node)) if containing == NOTHING else node
        pointing = naming(node.parameter, names) if names else NOTHING
        return AnyOf((pointing, containing)) if containing != NOTHING else pointing

    async def _hits(self, query: Query, most: int) -> list[Hit] | None:
        """What matches, with its index values; None where it is more than `most`, or where it is not known."""
        asked = split(query)
        if not asked.left:
            hits = await self._reader.find(asked.query, count=most + 1)
            return hits if len(hits) <= most else None
        sifted = await self._sift(asked, count=most)
        return None if sifted.more else sifted.hits

    async def _keys(self, query: Query, most: int) -> list[str] | None:
        """The keys of what matches, looked for once; None where they are more than `most`, or where it is not known."""
        if (query, most) not in self._listed:
            self._listed[query, most] = await self._looked_for(split(query), most)
        return self._listed[query, most]

    async def _looked_for(self, asked: Resolved, most: int) -> list[str] | None:
        if not asked.left:
            keys = await self._reader.keys(asked.query, count=most + 1)
            return keys if len(keys) <= most else None
        sifted = await self._sift(asked, count=most)
        return None if sifted.more else [hit.version.key for hit in sifted.hits]

    async def _containing(self, types: Types, node: Linked) -> Node | None:
        """What contains the target that the condition holds for; None where too many contain any."""
        candidates = Query(types, Key((f"{node.parameter}{CONTAINS}",)))
        if not await self._reader.count_up_to(candidates, 1):
            return NOTHING
        hits = await self._reader.find(candidates, count=JOINED_MAX + 1)
        return _ids(await self._that_contain(node, hits)) if len(hits) <= JOINED_MAX else None

    async def _linked_from(self, among: Query, node: LinkedFrom) -> Node:
        """`among` is what the other conditions leave: where that is little, it is asked who points to each of these."""
        node = replace(node, where=await self._settled((node.type,), node.where))
        if _conditions(among.where) and await self._is_served(among):
            if node.by_url:
                hits = await self._hits(among, FEW)
                if hits is not None:
                    return _ids(await self._named(node, hits))
            else:
                candidates = await self._keys(among, FEW)
                if candidates is not None:
                    return _ids(await self._pointed_at(node, candidates))
        return await self._targets(among.types, node, JOINED_MAX)

    async def _is_served(self, query: Query) -> bool:
        try:
            await self._reader.check_served(split(query).query)
        except Rejected:
            return False
        return True

    async def _targets(self, types: Types, node: LinkedFrom, most: int) -> Node:
        """The ids of all that is pointed to; the condition as it is where more than `most` point, or they point to too many."""
        asked = split(Query((node.type,), node.where))
        await self._reader.check_served(asked.query)
        if node.by_url:
            most = min(most, BATCH)
        if asked.left or await self._reader.count_up_to(asked.query, most + 1) > most:
            return node
        if node.by_url:
            return _meant(await self._reader.find(asked.query, count=most), node.parameter)
        targets = await self._reader.pointed_at(asked.query, node.parameter, types, count=JOINED_MAX + 1)
        return _ids(targets) if len(targets) <= JOINED_MAX else node

    async def _insisted(self, asked: Resolved) -> Resolved:
        """The same conditions, each `_has` among them resolved where many point, but to few."""
        types = asked.query.types
        done = tuple(
            [
                await self._targets(types, node, POINTING_MAX) if isinstance(node, LinkedFrom) else node
                for node in asked.left
            ]
        )
        return split(asked.query & AllOf(done)) if done != asked.left else asked

    async def _in_list(self, node: InList) -> Node:
        version = await self._reader.read("List", node.id)
        if version is None or version.json is None:
            return NOTHING  # a search for what is not there is no error (R4 §3.1.1.3)
        found = items_of(loads(version.json, depth_max=STORED_DEPTH_MAX), self._asking.own)
        items = dict.fromkeys(map(unversioned, found))  # whatever versions they name
        if len(items) <= JOINED_MAX:
            return _ids(items)
        return Judge(f"_list={node.id}", lambda resource: f"{resource['resourceType']}/{resource['id']}" in items)

    # ---- many: looked at batch by batch --------------------------------------------------------------

    async def _plain(self, node: Node, hits: Sequence[Hit]) -> Node:
        """The condition with every join in it replaced by the ids of those of the batch that keep it."""
        match node:
            case AllOf(parts):
                return AllOf(tuple(await self._plain_of_all(parts, hits)))
            case AnyOf(parts):
                return AnyOf(tuple(await self._plain_of_any(parts, hits)))
            case Not(part):
                return Not(await self._plain(part, hits))
            case Linked():
                pointing = await (self._naming(node, hits) if node.by_url else self._pointing(node, hits))
                return _ids([*pointing, *await self._that_contain(node, hits)])
            case InHierarchy():
                return await in_hierarchy(self._reader, node)
            case InList():
                return await self._in_list(node)
            case LinkedFrom() if node.by_url:
                return _ids(await self._named(node, hits))
            case LinkedFrom():
                return _ids(await self._pointed_at(node, [hit.version.key for hit in hits]))
        return node

    async def _plain_of_all(self, parts: Sequence[Node], hits: Sequence[Hit]) -> list[Node]:
        """The same of each of these, all of which must hold: the others are asked of those only that keep all yet, the plain ones first."""
        made, left = list[Node](), list(hits)
        for part in sorted(parts, key=asks_others):
            made.append(await self._plain(part, left) if left else NOTHING)
            left = _kept(made[-1], left)
        return made

    async def _plain_of_any(self, parts: Sequence[Node], hits: Sequence[Hit]) -> list[Node]:
        """The same of each of these, of which one is enough: the others are asked of those only that keep none yet, the plain ones first."""
        made, left = list[Node](), list(hits)
        for part in sorted(parts, key=asks_others):
            if not left:
                break
            made.append(await self._plain(part, left))
            kept = {hit.version.key for hit in _kept(made[-1], left)}
            left = [hit for hit in left if hit.version.key not in kept]
        return made

    async def _pointing(self, node: Linked, hits: Sequence[Hit]) -> list[str]:
        """Those of the batch that point to something the condition holds for."""
        named = {hit.version.key: set(local_references(hit, node.parameter, node.types)) for hit in hits}
        wanted = list(dict.fromkeys(target for targets in named.values() for target in targets))
        held: set[str] = set()
        for start in range(0, len(wanted), _CHUNK):
            chunk = tuple(wanted[start : start + _CHUNK])
            held.update(await self._held(Query(node.types, AllOf((Id(chunk), node.where))), len(chunk)))
        return [key for key, targets in named.items() if targets & held]

    async def _naming(self, node: Linked, hits: Sequence[Hit]) -> list[str]:
        """Those of the batch that name something the condition holds for by a canonical."""
        meant = {hit.version.key: meant_by(hit.index.keys, node.parameter) for hit in hits}
        wanted = list(dict.fromkeys(name for names in meant.values() for name in names))
        held: dict[Name, None] = {}
        for start in range(0, len(wanted), _CHUNK):
            for one in named(wanted[start : start + _CHUNK]):
                held |= names_of(await self._all(Query(node.types, AllOf((one, node.where)))))
        return [key for key, names in meant.items() if not held.keys().isdisjoint(names)]

    async def _all(self, query: Query) -> list[Hit]:
        """All that match, with their index values. Raises Rejected (400) where they are too many."""
        asked, kept, looked_at = split(query), list[Hit](), 0
        edge: Position | None = None
        while looked_at < CANDIDATES_MAX:
            batch = await self._reader.find(asked.query, after=edge, count=_CHUNK, is_steady=True)
            kept += await self.look(asked.left, batch)
            if len(batch) < _CHUNK:
                return kept
            edge, looked_at = batch[-1].position, looked_at + len(batch)
        raise undecided()

    async def _held(self, query: Query, most: int) -> list[str]:
        """The keys of what matches a query that names its candidates, `most` of them."""
        asked = split(query)
        if not asked.left:
            return await self._reader.keys(asked.query, count=most)
        hits = await self.look(asked.left, await self._reader.find(asked.query, count=most))
        return [hit.version.key for hit in hits]

    async def _that_contain(self, node: Linked, hits: Sequence[Hit]) -> list[str]:
        """Those of the batch that contain a target that the condition holds for."""
        asked = split(Query(node.types, node.where))
        found = []
        for hit in hits:
            targets = contained_targets(hit, node, self._asking)
            keeping = [target for target in targets if match_query(asked.query, _subject(target, reads=False))]
            if await self.look(asked.left, keeping):
                found.append(hit.version.key)
        return found

    async def _pointed_at(self, node: LinkedFrom, keys: Sequence[str]) -> list[str]:
        """Those of these keys that something the condition holds for points to.

        All are asked for together where not much points to them; else one by one, each until the first is found.
        """
        pointing = Query((node.type,), Key(tuple(f"{node.parameter}={key}" for key in keys)))
        asked, most = split(pointing & node.where), POINTED_MAX + 1
        if len(keys) > 1 and await self._reader.count_up_to(pointing, most) < most:
            if asked.left:
                hits = await self.look(asked.left, await self._reader.find(asked.query, count=most))
                targets = {target for hit in hits for target in local_references(hit, node.parameter, ())}
                return [key for key in keys if key in targets]
            targets = set(await self._reader.pointed_at(asked.query, node.parameter, (), count=most))
            if len(targets) < most:
                return [key for key in keys if key in targets]
        held = await self._each([partial(self._is_there, node, Key((f"{node.parameter}={key}",))) for key in keys])
        return [key for key, is_held in zip(keys, held, strict=True) if is_held]

    async def _named(self, node: LinkedFrom, hits: Sequence[Hit]) -> list[str]:
        """The keys of those of the batch that something the condition holds for names by a canonical; each is asked for by itself."""
        asked = [partial(self._is_there, node, naming(node.parameter, names_of([hit]))) for hit in hits]
        held = await self._each(asked)
        return [hit.version.key for hit, is_held in zip(hits, held, strict=True) if is_held]

    async def _is_there(self, node: LinkedFrom, pointing: Node) -> bool:
        """Whether something the condition holds for points so."""
        asked = split(Query((node.type,), AllOf((pointing, node.where))))
        if not asked.left:
            return bool(await self._reader.keys(asked.query, count=1))
        sifted = await self._sift(asked, count=1)
        if sifted.more and not sifted.hits:
            raise undecided()
        return bool(sifted.hits)

    async def _each(self, questions: Sequence[Callable[[], Awaitable[bool]]]) -> list[bool]:
        """The answers, several asked for together; within a transaction, which takes one question at a time, one by one."""
        at_once = 1 if self._reader.is_in_transaction else _AT_ONCE
        answers: list[bool] = []
        for start in range(0, len(questions), at_once):
            answers += await asyncio.gather(*(ask() for ask in questions[start : start + at_once]))
        return answers


def asks_others(node: Node) -> bool:
    """Whether only other resources can tell whether a condition holds."""
    return any(isinstance(leaf, _OF_OTHERS) for leaf in _leaves(node))


def undecided() -> Rejected:
    """The refusal of a condition that would have to be looked at for too many resources."""
    text = "What is asked of other resources fits too many to be decided; say more of the resource itself."
    return refuse(Refusal.BAD_REQUEST, Kind.TOO_COSTLY, text)


def local_references(hit: Hit, parameter: str, types: Sequence[str]) -> Iterator[str]:
    """What a resource refers to here by a parameter, as `Patient/1`, of these types (none named: of any)."""
    return references(hit.index.keys, parameter, types)


def _full(found: list[Hit], count: int, edge: Position | None, *, backwards: bool) -> Sifted:
    """The page of these, which are more than it holds."""
    page = found[len(found) - count :] if backwards else found[:count]
    return Sifted(page, True, page[0 if backwards else -1].position if page else edge)


def _needed(wanted: int, found: int, looked_at: int) -> int:
    """How many to look at next, to find as many as are wanted, if what matches is as rare as it was so far."""
    return min(BATCH, 1 + (wanted - found) * looked_at // max(1, found))


def _is_of_keys(node: Node) -> bool:
    """Whether a condition left over asks for no more of a candidate than its key."""
    return isinstance(node, LinkedFrom) and not node.by_url


def _meant(hits: Sequence[Hit], parameter: str) -> Node:
    """The condition to be what these name by a canonical."""
    parts = named({name: None for hit in hits for name in meant_by(hit.index.keys, parameter)})
    return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))


def _ids(keys: Iterable[str]) -> Node:
    ids = tuple(dict.fromkeys(keys))
    return Id(ids) if ids else NOTHING


def _kept(plain: Node, hits: Sequence[Hit]) -> list[Hit]:
    """Those of these that keep a condition that asks nobody else."""
    reads = any(isinstance(leaf, Judge) for leaf in _leaves(plain))
    return [hit for hit in hits if match(plain, _subject(hit, reads=reads))]


def _subject(hit: Hit, *, reads: bool) -> Subject:
    version = hit.version
    resource = loads(version.json or b"{}", depth_max=STORED_DEPTH_MAX) if reads else {}
    return Subject(version.type, version.id, version.at, hit.index, resource)


# ---- the tree ------------------------------------------------------------------------------------


def _conditions(node: Node) -> tuple[Node, ...]:
    """What all must hold, however deep the "and"s are nested."""
    if isinstance(node, AllOf):
        return tuple(one for part in node.parts for one in _conditions(part))
    return (node,)


def _leaves(node: Node) -> Iterator[Node]:
    """Every condition in the tree, those asked of other resources included."""
    match node:
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from _leaves(part)
        case Not(part):
            yield from _leaves(part)
        case Linked(where=where) | LinkedFrom(where=where):
            yield node
            yield from _leaves(where)
        case _:
            yield node

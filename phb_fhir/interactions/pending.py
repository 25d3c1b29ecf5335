"""What a transaction is about to write, findable before it is written.

A conditional reference may mean a resource that the same Bundle makes, and two conditional entries may mean each other's. With
thousands of entries, asking each of each would take minutes; so what is pending is filed under its identifiers and urls, and only
a condition that names none of these is held against all. What a condition asks of other resources (`subject.identifier=…`) is
looked up among what is stored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from phb_fhir.change import Create, Put, Version
from phb_fhir.fhir.codec import dumps
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.joins import Joins
from phb_fhir.query import Node, Query
from phb_fhir.search.match import Subject, is_name, keys_asked, match_query, names_tokens
from phb_fhir.store.store import Hit


class Pending:
    """The creates and updates of one Bundle, by entry."""

    def __init__(self, context: Context, changes: Mapping[int, Create | Put], now: datetime) -> None:
        self._indexes = {index: context.index_of(change.resource, change.id) for index, change in changes.items()}
        self._subjects = {
            index: Subject(change.type, change.id, now, self._indexes[index], change.resource)
            for index, change in changes.items()
        }
        self._filed: dict[str, list[int]] = defaultdict(list)
        for index, subject in self._subjects.items():
            for key in filter(is_name, subject.index.keys):
                self._filed[key].append(index)

    async def matching(self, joins: Joins, query: Query) -> list[int]:
        """The entries that write what a query matches. Raises Rejected where that cannot be told."""
        if not self._subjects:
            return []
        asked, left, _ = await joins.resolve(query)
        found = [index for index in self._candidates(asked) if match_query(asked, self._subjects[index])]
        return await self._looked_at(joins, left, found) if left else found

    async def _looked_at(self, joins: Joins, left: Sequence[Node], found: list[int]) -> list[int]:
        hits = [self._hit(index) for index in found]
        kept = {hit.version.key for hit in await joins.look(left, hits)}
        return [index for index, hit in zip(found, hits, strict=True) if hit.version.key in kept]

    def _hit(self, index: int) -> Hit:
        """What an entry writes, as if it were found in the store."""
        type_, id_, at, _, resource = self._subjects[index]
        return Hit(Version(type_, id_, 0, at, "PUT", dumps(resource)), [], self._indexes[index])

    def _candidates(self, query: Query) -> Collection[int]:
        if not names_tokens(query.where):
            return self._subjects.keys()
        return {index: None for key in keys_asked(query.where) for index in self._filed.get(key, ())}

"""What a transaction is about to write, findable before it is written.

A conditional reference may mean a resource that the same Bundle makes, and two conditional entries may mean each other's. With
thousands of entries, asking each of each would take minutes; so what is pending is filed under its tokens, as in the store.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime

from phb_fhir.change import Create, Criteria, Put
from phb_fhir.definitions.load import Definitions
from phb_fhir.search.index import token_entries
from phb_fhir.search.match import match_query, names_tokens, tokens_asked


class Pending:
    """The creates and updates of one Bundle, by entry."""

    def __init__(self, changes: Mapping[int, Create | Put], definitions: Definitions, now: datetime) -> None:
        self._changes = changes
        self._now = now
        self._tokens = {index: token_entries(change.resource, definitions) for index, change in changes.items()}
        self._filed: dict[str, list[int]] = defaultdict(list)
        for index, tokens in self._tokens.items():
            for token in tokens:
                self._filed[token].append(index)

    def matching(self, criteria: Criteria) -> list[int]:
        """The entries that write what `criteria` match."""
        return [index for index in self._candidates(criteria) if self._matches(index, criteria)]

    def _candidates(self, criteria: Criteria) -> Collection[int]:
        if not names_tokens(criteria.query.where):
            return self._changes.keys()
        return {index: None for token in tokens_asked(criteria.query.where) for index in self._filed.get(token, ())}

    def _matches(self, index: int, criteria: Criteria) -> bool:
        change = self._changes[index]
        return match_query(criteria.query, change.type, change.id, self._now, self._tokens[index])

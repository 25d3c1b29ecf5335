"""A page of `_has` that begins at the far end (R4 §3.1.1.4.16), where very many point, and to many.

`Patient?_has:Observation:patient:code=…` asks for the people whom some observations point to. Those observations are read in the
order of their `seq`, off the index that leads to them, and each person stands where the first that points to them does. So a
page costs what it shows, however many people there are, and however many of them have none.

A place in this order is the key of what is pointed to, and the place of what points: that may point to several. Writes move it:
who deletes somebody's first observation moves the person to the second. So what points is read as of the first page, as in
every order that moves (`store/pages`). What is pointed to is read as it is now.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from phb_fhir.query import LinkedFrom, Query
from phb_fhir.store.store import Pointer, Position, Reader

_MARK = "from"  # how a position of this order begins
_FIRST, _LAST = "", "~"  # before and after every key
_START, _END = f"{1:024x}", f"{16**24 - 2:024x}"  # before and after every `seq`, and not so far that nothing is beyond


def is_from_pointing(position: Position | None) -> bool:
    """Whether it is a place in this order."""
    return position is not None and position[:1] == [_MARK]


class Target(NamedTuple):
    """What is pointed to, and its place in the answer."""

    key: str
    position: Position

    @property
    def seq(self) -> str:
        """Of what points to it."""
        return str(self.position[-1])

    @property
    def place(self) -> tuple[str, str]:
        return self.seq, self.key


class Seen(NamedTuple):
    """`targets` in the order of the search; `edge` is how far was looked, and `more` whether there may be others beyond it."""

    targets: list[Target]
    edge: Position | None
    more: bool


class Pointing:
    """What points to resources of these types, in a search with the condition `node` on them."""

    def __init__(self, reader: Reader, node: LinkedFrom, types: Sequence[str]) -> None:
        self._reader = reader
        self._parameter = node.parameter
        self._query = Query((node.type,), node.where)
        self._types = types

    async def look(self, after: Position | None, *, backwards: bool, count: int) -> Seen:
        """What the next `count` are the first to point to."""
        # what the place is at may point to others as well, so it is read once more
        inner, size = (None, count) if after is None else (_just_before(after[2:], backwards=backwards), count + 1)
        rows = await self._reader.pointers(
            self._query, self._parameter, self._types, after=inner, backwards=backwards, count=size
        )
        if not rows:
            return Seen([], after, False)
        listed = [Target(key, [_MARK, key, *row.position]) for row in rows for key in row.targets]
        if after is not None:
            place = Target(str(after[1]), after).place
            listed = [one for one in listed if (one.place < place if backwards else one.place > place)]
        row, key, end = (rows[0], _FIRST, _START) if backwards else (rows[-1], _LAST, _END)
        is_end = len(rows) < size
        edge = [_MARK, key, *row.position[:-1], end if is_end else row.position[-1]]
        return Seen(await self._firsts(listed, rows, is_start=after is None and not backwards), edge, not is_end)

    async def _firsts(self, listed: list[Target], rows: Sequence[Pointer], *, is_start: bool) -> list[Target]:
        """Those that nothing points to before what is listed here does."""
        keys = tuple(dict.fromkeys(target.key for target in listed))
        if is_start:  # nothing is before
            found = {target.key: target.seq for target in reversed(listed)}
        elif keys:
            found = await self._reader.first_pointers(self._query, self._parameter, keys, as_of=rows[0].position)
        else:
            found = {}
        return [target for target in listed if found.get(target.key) == target.seq]


def _just_before(position: Position, *, backwards: bool) -> Position:
    """A place from which on the resource at this place comes first."""
    *others, seq = position
    return [*others, f"{int(str(seq), 16) + (1 if backwards else -1):024x}"]

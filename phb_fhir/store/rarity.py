"""What was counted a moment ago, and so need not be counted again to choose between two ways."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from time import monotonic

LIFE_S = 30.0
COUNTS_MAX = 2_000


class Rarity:
    """Counts by what was asked. So many are remembered, each for so long."""

    def __init__(self, *, counts_max: int = COUNTS_MAX, now: Callable[[], float] = monotonic) -> None:
        self._counts: OrderedDict[int, tuple[float, int]] = OrderedDict()
        self._counts_max = counts_max
        self._now = now

    async def of(self, asked: Hashable, count: Callable[[], Awaitable[int]], life_s: float = LIFE_S) -> int:
        """What was counted, or is now."""
        known = self.known(asked)
        if known is None:
            known = await count()
            self.learn(asked, known, life_s)
        return known

    def known(self, asked: Hashable) -> int | None:
        until, count = self._counts.get(hash(asked), (0.0, None))
        return count if until > self._now() else None

    def learn(self, asked: Hashable, count: int, life_s: float = LIFE_S) -> None:
        # by its hash: what is asked may be long, and two that were taken for each other would only be slower
        self._counts[hash(asked)] = (self._now() + life_s, count)
        self._counts.move_to_end(hash(asked))
        while len(self._counts) > self._counts_max:
            self._counts.popitem(last=False)

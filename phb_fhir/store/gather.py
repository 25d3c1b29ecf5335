"""Many small database calls become few large ones.

The cost of a call to MongoDB is mostly the call, not the documents. A `Gather` collects what is asked for while earlier
calls are under way and sends it as one batch: at rest a single item goes at once, under load the batches grow by
themselves, because a further batch begins only when it is as large as those under way. Where that pays, it also waits for
more as long as each turn of the event loop brings some, a few turns at most. So a slow call holds up no more than it
carries, and nothing waits for a timer.

Items that would hinder each other in two calls at the same moment are given names: what shares a name with something under way, or
with something that waits before it, waits, while the others go.

A batch is nobody's own: it is sent in a context of its own, so that the deadline of one who asked (`pymongo.timeout`, `store/patience`)
is not that of all who come along, or come after. Who asks may say how long to wait for the turn and the answer together. That is not
measured at each item: four times a second one look goes over all that wait.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection
from contextvars import Context
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


LOOK_S = 0.25


class Overdue(Exception):  # noqa: N818 - whoever asked makes words of it
    """An item was not answered in time. `is_sent`: whether it may be done all the same."""

    def __init__(self, *, is_sent: bool) -> None:
        super().__init__()
        self.is_sent = is_sent


class _Waiting(NamedTuple, Generic[Item, Answer]):
    item: Item
    names: Collection[str]
    future: asyncio.Future[Answer]
    until: float  # by the clock of the event loop


class Gather(Generic[Item, Answer]):
    """`send` takes a list of items and answers a list as long: for each item its answer, or the exception it met.

    `turns_max`: for how many turns of the event loop a batch waits while each brings more to ask. That pays where the call is work for this
    process; where it is a wait for a disk, the wait had better begin.
    """

    def __init__(
        self,
        send: Callable[[list[Item]], Awaitable[list[Answer | BaseException]]],
        *,
        batch_max: int,
        under_way_max: int,
        turns_max: int = 0,
    ) -> None:
        self._send = send
        self._batch_max = batch_max
        self._under_way_max = under_way_max
        self._turns_max = turns_max
        self._waiting: list[_Waiting[Item, Answer]] = []
        self._under_way: dict[asyncio.Task[None], list[_Waiting[Item, Answer]]] = {}
        self._worth: float = 1  # the size from which on a further batch may begin
        self._is_woken = False
        self._looking = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def ask(self, item: Item, names: Collection[str] = (), most_s: float = math.inf) -> Answer:
        """The answer to one item. Raises what `send` said of it, or Overdue."""
        loop = self._loop = self._loop or asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append(_Waiting(item, names, future, loop.time() + most_s))
        if not self._looking:
            self._looking = True
            loop.call_later(LOOK_S, self._look)
        if not self._is_woken and len(self._waiting) >= self._worth:
            self._is_woken = True
            # after everything else that is ready this turn has asked, too
            loop.call_soon(self._when_all_asked, loop, len(self._waiting), self._turns_max)
        return await future

    def _when_all_asked(self, loop: asyncio.AbstractEventLoop, size: int, turns: int) -> None:
        """Begin; where more wait than `size`, as many did a turn ago, a turn later, and after so many `turns` in any case."""
        if turns and len(self._waiting) > size:
            loop.call_soon(self._when_all_asked, loop, len(self._waiting), turns - 1)
        else:
            self._start()

    def _weigh(self) -> None:
        """How large a further batch must be: as large as those under way; with as many of them as may be, none begins."""
        is_full = len(self._under_way) >= self._under_way_max
        self._worth = math.inf if is_full else max(map(len, self._under_way.values()), default=1)

    def _start(self) -> None:
        self._is_woken = False
        while self._waiting:
            batch, left = self._free()
            if len(batch) < self._worth:
                return
            self._waiting = left
            task = asyncio.get_running_loop().create_task(self._run(batch), context=Context())
            self._under_way[task] = batch
            self._weigh()
            task.add_done_callback(self._done)

    def _free(self) -> tuple[list[_Waiting[Item, Answer]], list[_Waiting[Item, Answer]]]:
        """What waits and can go now, as much as a batch takes; and what is left."""
        taken = {name for batch in self._under_way.values() for one in batch for name in one.names}
        if not taken:
            return self._waiting[: self._batch_max], self._waiting[self._batch_max :]
        batch: list[_Waiting[Item, Answer]] = []
        left: list[_Waiting[Item, Answer]] = []
        for one in self._waiting:
            if len(batch) < self._batch_max and taken.isdisjoint(one.names):
                batch.append(one)
            else:
                left.append(one)
                taken.update(one.names)  # nobody who comes later passes it by
        return batch, left

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self._weigh()
        if self._waiting and not self._is_woken:
            self._is_woken = True
            self._when_all_asked(task.get_loop(), 0, self._turns_max)

    def _look(self) -> None:
        """Give up what is overdue; what was not sent then never is."""
        now = asyncio.get_running_loop().time()
        sent = [one for batch in self._under_way.values() for one in batch]
        for one in sent:
            _give_up(one, now, is_sent=True)
        for one in self._waiting:
            _give_up(one, now, is_sent=False)
        self._waiting = [one for one in self._waiting if not one.future.done()]
        self._looking = bool(sent or self._waiting)
        if self._looking:
            asyncio.get_running_loop().call_later(LOOK_S, self._look)

    async def _run(self, batch: list[_Waiting[Item, Answer]]) -> None:
        try:
            answers = await self._send([one.item for one in batch])
        except BaseException as error:  # noqa: BLE001 - whoever asked must hear of it, whatever it is
            answers = [error] * len(batch)
        for (_, _, future, _), answer in zip(batch, answers, strict=True):
            if future.done():  # whoever asked has gone
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)


def _give_up(one: _Waiting[Item, Answer], now: float, *, is_sent: bool) -> None:
    if one.until < now and not one.future.done():
        one.future.set_exception(Overdue(is_sent=is_sent))

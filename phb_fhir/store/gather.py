"""Many small database calls become few large ones.

The cost of a call to MongoDB is mostly the call, not the documents. A `Gather` collects what is asked for while earlier
calls are under way and sends it as one batch: at rest a single item goes at once, under load the batches grow by
themselves, because a further batch begins only when it is as large as those under way. So a slow call holds up no more than
it carries, and nothing waits for a timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Gather(Generic[Item, Answer]):
    """`send` takes a list of items and answers a list as long: for each item its answer, or the exception it met."""

    def __init__(
        self,
        send: Callable[[list[Item]], Awaitable[list[Answer | BaseException]]],
        *,
        batch_max: int,
        under_way_max: int,
    ) -> None:
        self._send = send
        self._batch_max = batch_max
        self._under_way_max = under_way_max
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._under_way: dict[asyncio.Task[None], int] = {}
        self._woken = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def ask(self, item: Item) -> Answer:
        """The answer to one item. Raises what `send` said of it."""
        loop = self._loop = self._loop or asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((item, future))
        if not self._woken and self._may_start():
            self._woken = True
            loop.call_soon(self._start)  # after everything else that is ready this turn has asked, too
        return await future

    def _may_start(self) -> bool:
        return len(self._under_way) < self._under_way_max and len(self._waiting) >= max(
            self._under_way.values(), default=0
        )

    def _start(self) -> None:
        self._woken = False
        while self._waiting and self._may_start():
            batch, self._waiting = self._waiting[: self._batch_max], self._waiting[self._batch_max :]
            task = asyncio.get_running_loop().create_task(self._run(batch))
            self._under_way[task] = len(batch)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        if self._waiting:
            self._start()

    async def _run(self, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._send([item for item, _ in batch])
        except BaseException as error:  # noqa: BLE001 - whoever asked must hear of it, whatever it is
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():  # whoever asked has gone
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)

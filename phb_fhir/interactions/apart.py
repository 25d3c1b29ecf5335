"""Work on something large is done in a thread, so that others are answered meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

LARGE_BYTES = 256_000  # from here on; reading as much JSON takes some milliseconds

P = ParamSpec("P")
T = TypeVar("T")


async def apart(size: int, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """The outcome of `work` on something of `size` bytes, in a thread where that is much."""
    if size < LARGE_BYTES:
        return work(*arguments, **named)
    return await asyncio.to_thread(work, *arguments, **named)

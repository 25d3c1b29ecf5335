"""How long one request waits for a database that does not answer.

Each wait has a bound of its own: a search, a commit, a record of the audit trail. A request has several of them, one after another, and
with a database that hangs (it is there, and says nothing) they would add up. So a request has its `Patience`: what it waited in vain is
taken off what is left for its other waits, those of the entries of a batch, too, and when nothing is left, it is refused without asking
again. A wait that is answered costs nothing, so a long Bundle may take its time. What is answered with an error (a search that took too
long, two that wrote the same) was answered.

The record of what was refused comes last, and may be all there is of somebody's attempt: it has a moment of its own.

A Patience belongs to the task that answers the request. What runs for several requests at once (`store/gather`), or for none, has none.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import pymongo
from pymongo.errors import ExecutionTimeout, OperationFailure, PyMongoError

from phb_fhir.outcome import Refusal, Rejected
from phb_fhir.store.faults import translated, unanswered
from phb_fhir.store.gather import Gather, Overdue

Item = TypeVar("Item")
Answer = TypeVar("Answer")

LAST_S = 1.0  # for the records of a request whose patience is over


class Patience:
    """What is left of it, in seconds: of the waits of a request, and of those of its records."""

    __slots__ = ("_last_s", "_left_s")

    def __init__(self, most_s: float) -> None:
        self._left_s = most_s
        self._last_s = LAST_S

    def most(self, most_s: float, doing: str, *, last: bool) -> float:
        """How long a wait may take that may take no longer than that by itself. Raises Rejected (503) where nothing is left."""
        left = max(self._left_s, self._last_s) if last else self._left_s
        if left <= 0:
            raise unanswered(doing)
        return min(most_s, left)

    def spend(self, seconds: float, *, last: bool) -> None:
        """So long it was waited in vain."""
        self._left_s -= seconds
        if last:
            self._last_s -= seconds


_PATIENCE: ContextVar[Patience | None] = ContextVar("patience", default=None)


def be_patient(most_s: float) -> None:
    """From here on this task waits in vain for so long altogether."""
    _PATIENCE.set(Patience(most_s))


@contextmanager
def patiently(most_s: float, doing: str, *, last: bool = False) -> Iterator[float]:
    """Around a wait that takes no longer than `most_s` by itself: gives how long it may take. Raises Rejected (503) for no time at all."""
    patience = _PATIENCE.get()
    if patience is None:
        yield most_s
        return
    most_s = patience.most(most_s, doing, last=last)
    begun = time.monotonic()
    try:
        yield most_s
    except (PyMongoError, Rejected, TimeoutError, Overdue) as error:
        _spend(patience, begun, error, last=last)
        raise


def _spend(patience: Patience, begun: float, error: Exception, *, last: bool) -> None:
    if _is_in_vain(error):
        patience.spend(time.monotonic() - begun, last=last)


def _is_in_vain(error: Exception) -> bool:
    if isinstance(error, Rejected):
        return error.refusal is Refusal.UNAVAILABLE
    if isinstance(error, ExecutionTimeout):
        return "codeName" not in (error.details or {})  # the driver's own, where there was no time left to ask
    return not isinstance(error, OperationFailure)  # which MongoDB itself said


@contextmanager
def answering(doing: str, most_s: float, *, writing: bool = False, last: bool = False) -> Iterator[None]:
    """Around database calls that are to be answered within `most_s` together; what the driver raises becomes Rejected."""
    with (
        translated(doing, writing=writing),
        patiently(most_s, doing, last=last) as bound_s,
        pymongo.timeout(bound_s),
    ):
        yield


async def asked(
    gather: Gather[Item, Answer],
    item: Item,
    most_s: float,
    doing: str,
    *,
    writing: bool = False,
    last: bool = False,
) -> Answer:
    """What `gather` answers to one item within `most_s`, its turn included. Raises Rejected (503) where it does not.

    As `patiently`, spelled out: every read comes by here.
    """
    patience = _PATIENCE.get()
    bound_s = most_s if patience is None else patience.most(most_s, doing, last=last)
    begun = time.monotonic()
    try:
        return await gather.ask(item, most_s=bound_s)
    except (PyMongoError, Rejected, TimeoutError, Overdue) as error:
        if patience is not None:
            _spend(patience, begun, error, last=last)
        if isinstance(error, Overdue):
            raise unanswered(doing, writing=writing and error.is_sent) from None
        raise

"""Purchases that come at once are written at once.

A transaction waits for the journal, and two that post to one budget wait for each other. So what is recorded on a budget while one
transaction is under way goes into the next one together: each purchase is judged by itself, over what those before it leave, and one that is
refused keeps none of its neighbours from being written. Transactions on different budgets are under way side by side, so that one is judged
while another waits for its journal. Where something goes wrong with one of them all the same (it may not be written after all,
which only the written tells, or it meets a fault), each is done again alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from phb_fhir.change import Committed, Create
from phb_fhir.interactions.commit import Prepared, Settled, commit_all, keys_of, lock_names, prepare, store
from phb_fhir.interactions.facts import Facts
from phb_fhir.outcome import Refusal, Rejected
from phb_fhir.rules.book import names_in
from phb_fhir.store.faults import DriverError, unanswered
from phb_fhir.store.gather import Gather, Overdue
from phb_fhir.store.patience import patiently
from phb_fhir.store.store import Store, Transaction

if TYPE_CHECKING:
    from phb_fhir.interactions.context import Context


UNDER_WAY_MAX = 2
TURNS_MAX = 2  # that one waits for: of those before it, and its own


class Asked(NamedTuple):
    """A purchase to be recorded, by whoever's context it is; `locks` and `budgets` are what it may meet others over."""

    context: Context
    change: Create
    locks: set[str]
    budgets: set[str]


Answer = Committed | BaseException


class Together:
    """One for each process: its transactions of purchases on one budget follow one another."""

    def __init__(self, store: Store, batch_max: int, time_max_s: float) -> None:
        self._store = store
        self._time_max_s = time_max_s
        self._gather: Gather[Asked, Committed] = Gather(self._write, batch_max=batch_max, under_way_max=UNDER_WAY_MAX)

    async def record(self, context: Context, change: Create) -> Committed:
        """Record one. Raises Rejected, as `commit` does."""
        one = Asked(context, change, lock_names(context, [change]), keys_of([change]))
        try:
            with patiently(self._time_max_s, "writing"):
                return await self._gather.ask(one, one.locks | one.budgets, TURNS_MAX * self._time_max_s)
        except Overdue as overdue:
            raise unanswered("writing", writing=overdue.is_sent) from None

    async def _write(self, batch: list[Asked]) -> list[Answer]:
        if len(batch) == 1:
            return [await _alone(batch[0])]
        answers: dict[int, Answer] = {}
        with suppress(_Undecided):
            answers |= await self._together({index: batch[index] for index in _of_different_names(batch)})
        for index, one in enumerate(batch):
            if index not in answers:
                answers[index] = await _alone(one)
        return [answers[index] for index in range(len(batch))]

    async def _together(self, batch: dict[int, Asked]) -> dict[int, Answer]:
        locks = {name for one in batch.values() for name in one.locks}
        budgets = {name for one in batch.values() for name in one.budgets}

        async def work(transaction: Transaction) -> dict[int, Answer]:
            await transaction.lock(locks)
            return await _write_each(transaction, batch)

        return await self._store.transaction(work, contended=locks | budgets)


class _Undecided(Exception):  # noqa: N818 - it never leaves this module
    """Something is wrong with one of a batch, and it does not show with which: each is then written alone."""


async def _write_each(transaction: Transaction, batch: dict[int, Asked]) -> dict[int, Answer]:
    try:
        return await _judge_each(transaction, batch)
    except DriverError:
        raise  # the store knows what to make of it
    except Exception as error:
        if _is_of_all(error):
            raise
        raise _Undecided from error


def _is_of_all(error: Exception) -> bool:
    """Whether it says nothing of one purchase: the database is away."""
    return isinstance(error, Rejected) and error.refusal is Refusal.UNAVAILABLE


async def _judge_each(transaction: Transaction, batch: dict[int, Asked]) -> dict[int, Answer]:
    first = next(iter(batch.values()))
    facts = Facts(first.context, transaction)
    await facts.expect([one.change.resource for one in batch.values()])
    answers: dict[int, Answer] = {}
    done: list[Prepared] = []
    for index, one in batch.items():
        mark = facts.mark()
        try:
            prepared = await prepare(one.context, transaction, [Settled(one.change)], facts)
        except Rejected as rejected:
            if _is_of_all(rejected):
                raise
            facts.take_back(mark)
            answers[index] = rejected
            continue
        done.append(prepared)
        (answers[index],) = prepared.answers
    await store(transaction, done, facts)
    return answers


async def _alone(one: Asked) -> Answer:
    try:
        return (await commit_all(one.context, [one.change]))[0]
    except Exception as error:  # noqa: BLE001 - it is the answer to this one, and to nobody else
        return error


def _of_different_names(batch: Sequence[Asked]) -> list[int]:
    """The places of those that share no business identifier with one before them: of two that do, one must see the other stored."""
    seen: set[str] = set()
    found = []
    for index, one in enumerate(batch):
        names = set(names_in(one.change.resource))
        if not names & seen:
            found.append(index)
        seen |= names
    return found

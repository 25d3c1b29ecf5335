"""Asking the primary of the replica set, and knowing that it knows (MongoDB: read concern "majority", elections).

Whoever was told of a write finds it, whichever process they ask next. While one primary stays, a read of what a majority has shows all
that was acknowledged. A primary that was just elected has it too, and does not know yet that a majority does: until it has written
something of its own that a majority took, it answers such a read as things were before. So the first thing that each process asks of a
primary after an election is to take a small write, and questions wait for that. The driver may ask a question again by itself, of a
primary elected meanwhile; so an answer counts only if no election was heard of while it was waited for.

What this does not see: a primary that lost its place and does not know it, while the server hears from no other member. It keeps no record
of who looked either, so those who are signed in get no answer of it. `docs/decisions/0023-reads-after-an-election.md` has the reasoning.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import pymongo
from bson import ObjectId
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from phb_fhir.store.documents import META, Document
from phb_fhir.store.faults import rejection_of, unanswered
from phb_fhir.store.gather import Gather
from phb_fhir.store.patience import answering, asked

ATTEMPTS_MAX = 5  # of one question, over as many elections
WAITING_MAX = 10_000  # that one write is enough for
PROOF = "primary"  # the note in `meta` that is written for no more than this

T = TypeVar("T")
P = ParamSpec("P")


class Ask(Protocol):
    async def __call__(self, doing: str, ask: Callable[[], Awaitable[T]], /) -> T: ...


class Asks(Protocol):
    _ask: Ask


Self_ = TypeVar("Self_", bound=Asks)


def question(
    doing: str,
) -> Callable[[Callable[Concatenate[Self_, P], Awaitable[T]]], Callable[Concatenate[Self_, P], Awaitable[T]]]:
    """A method that only reads, and may be run again: it is asked as its object asks. `doing` completes "… while <doing>"."""

    def put(method: Callable[Concatenate[Self_, P], Awaitable[T]]) -> Callable[Concatenate[Self_, P], Awaitable[T]]:
        @wraps(method)
        async def asking(self: Self_, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return await self._ask(doing, lambda: method(self, *args, **kwargs))

        return asking

    return put


async def at_once(_: str, ask: Callable[[], Awaitable[T]], /) -> T:
    """As a transaction asks: it has its own deadline, and the driver must see its own errors, to know that they mean "begin again"."""
    return await ask()


class Primary:
    """Whoever is the primary. `question_max_s`: how long one question may take, which MongoDB is told of too; `write_max_s`: one write."""

    def __init__(
        self,
        client: AsyncMongoClient[Document],
        database: AsyncDatabase[Document],
        question_max_s: float,
        write_max_s: float,
    ) -> None:
        self._client = client
        self._notes = database[META]
        self._question_max_s = question_max_s
        self._write_max_s = write_max_s
        self._proven: ObjectId | None = None  # the election whose primary has shown that it knows
        self._proofs: Gather[None, ObjectId | None] = Gather(self._prove, batch_max=WAITING_MAX, under_way_max=1)

    async def ask(self, doing: str, ask: Callable[[], Awaitable[T]], /) -> T:
        """What `ask` gives, which only reads, in the time of one question. Raises Rejected (503) as `steadily`, or for the time."""

        async def in_time() -> T:
            with answering(doing, self._question_max_s):
                return await ask()

        return await self.steadily(doing, in_time)

    async def steadily(self, doing: str, ask: Callable[[], Awaitable[T]], /) -> T:
        """What `ask` gives, asked of one primary that knows all that was acknowledged; it may be run again, and bounds its own waits.

        Raises Rejected (503) where none knows it in time, or primaries change all the time.
        """
        for _ in range(ATTEMPTS_MAX):
            election = await self.known(doing)
            answer = await ask()
            if self._election() == election:
                return answer
        raise unanswered(doing)

    async def known(self, doing: str, most_s: float = math.inf) -> ObjectId | None:
        """The election of the primary, once that knows all that was acknowledged. Raises Rejected (503), after `most_s` at the latest."""
        election = self._election()
        if election is not None and election == self._proven:
            return election
        return await asked(self._proofs, None, min(most_s, self._write_max_s), doing)

    def _election(self) -> ObjectId | None:
        """The latest that the driver has heard of; None before it has of any."""
        heard = self._client.topology_description
        if heard.max_election_id is not None:
            return heard.max_election_id
        # where the address names one member alone (`directConnection`), it is not kept for them all
        return next((one.election_id for one in heard.server_descriptions().values()), None)

    async def _prove(self, waiting: list[None]) -> list[ObjectId | BaseException | None]:
        try:
            with pymongo.timeout(self._write_max_s):
                election = self._election()
                await self._write()
                if election is None:  # it was the first thing at all that was asked
                    election = self._election()
                    await self._write()
        except PyMongoError as error:
            return [rejection_of(error, "asking the primary", writing=False)] * len(waiting)
        self._proven = election
        return [election] * len(waiting)

    async def _write(self) -> None:
        await self._notes.update_one({"_id": PROOF}, {"$set": {"at": datetime.now(UTC)}}, upsert=True)

"""Many calls become few: what is asked together is sent together, and everybody hears of their own item alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest

from phb_fhir.store.gather import Gather, Overdue

Answers = list[str | BaseException]


class Recorded:
    """A place to send batches to, which keeps them and may be held up. It answers `red` with `RED`."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.under_way = 0
        self.most_under_way = 0
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, items: list[str]) -> Answers:
        self.batches.append(list(items))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.open.wait()
            return [item.upper() for item in items]
        finally:
            self.under_way -= 1


def gather(
    send: Callable[[list[str]], Awaitable[Answers]], batch_max: int = 100, under_way_max: int = 1, turns_max: int = 0
) -> Gather[str, str]:
    return Gather(send, batch_max=batch_max, under_way_max=under_way_max, turns_max=turns_max)


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """A story that does not end is a failure, not a hang."""
    asyncio.run(asyncio.wait_for(story(), timeout=20))


async def turns(count: int = 5) -> None:
    """Lets everything that is ready have its turn."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_what_is_asked_in_one_moment_is_sent_as_one_batch_in_the_order_of_asking() -> None:
    async def story() -> None:
        sent = Recorded()
        reads = gather(sent.send)
        assert await asyncio.gather(*(reads.ask(word) for word in ("a", "b", "c"))) == ["A", "B", "C"]
        assert sent.batches == [["a", "b", "c"]]

    run(story)


def test_a_single_item_is_sent_at_once() -> None:
    async def story() -> None:
        sent = Recorded()
        reads = gather(sent.send)
        assert await reads.ask("a") == "A"
        assert await reads.ask("b") == "B"
        assert sent.batches == [["a"], ["b"]]

    run(story)


def test_the_same_item_asked_twice_is_answered_twice() -> None:
    async def story() -> None:
        sent = Recorded()
        reads = gather(sent.send)
        assert await asyncio.gather(*[reads.ask("a"), reads.ask("a")]) == ["A", "A"]

    run(story)


def test_what_is_asked_while_a_batch_is_under_way_goes_with_the_next_one() -> None:
    async def story() -> None:
        sent = Recorded()
        sent.open.clear()
        reads = gather(sent.send)
        first = asyncio.create_task(reads.ask("a"))
        await turns()
        later = [asyncio.create_task(reads.ask(word)) for word in ("b", "c")]
        await turns()
        # what was sent before they asked must not answer them: it may have been read before what they know of
        assert sent.batches == [["a"]]
        sent.open.set()
        assert await asyncio.gather(first, *later) == ["A", "B", "C"]
        assert sent.batches == [["a"], ["b", "c"]]

    run(story)


async def ask_in_turns(reads: Gather[str, str], each_turn: list[str]) -> list[asyncio.Task[str]]:
    """Asks for the letters of a word in each turn of the event loop, and gives the questions."""
    asked: list[asyncio.Task[str]] = []
    for word in each_turn:
        asked += [asyncio.create_task(reads.ask(letter)) for letter in word]
        await asyncio.sleep(0)
    return asked


@pytest.mark.parametrize(
    ("each_turn", "turns_max", "batches"),
    [
        (["a", "b", "c"], 0, ["a", "bc"]),  # it goes after the turn in which it was asked for
        (["ab", "cd", "e"], 2, ["abcde"]),  # more come, and then no more
        (["a", "", "b"], 2, ["a", "b"]),  # a turn that brings nobody ends the wait
        (["ab", "cd", "ef", "gh", "ij"], 2, ["abcdef", "ghij"]),  # whoever comes and comes: it goes all the same
    ],
)
def test_a_batch_waits_while_each_turn_brings_more_and_no_longer_than_stated(
    each_turn: list[str], turns_max: int, batches: list[str]
) -> None:
    async def story() -> None:
        sent = Recorded()
        sent.open.clear()
        reads = gather(sent.send, turns_max=turns_max)
        asked = await ask_in_turns(reads, each_turn)
        await turns()
        sent.open.set()
        await asyncio.gather(*asked)
        assert ["".join(batch) for batch in sent.batches] == batches

    run(story)


@pytest.mark.parametrize("under_way_max", [1, 2, 3])
def test_no_batch_is_longer_and_no_more_are_under_way_than_the_bounds_say(under_way_max: int) -> None:
    async def story() -> None:
        sent = Recorded()
        sent.open.clear()
        reads = gather(sent.send, batch_max=3, under_way_max=under_way_max)
        asked = [asyncio.create_task(reads.ask(f"w{number}")) for number in range(20)]
        await turns()
        assert len(sent.batches) == under_way_max
        sent.open.set()
        assert await asyncio.gather(*asked) == [f"W{number}" for number in range(20)]
        assert [len(batch) for batch in sent.batches] == [3, 3, 3, 3, 3, 3, 2]
        assert [word for batch in sent.batches for word in batch] == [f"w{number}" for number in range(20)]
        assert sent.most_under_way == under_way_max

    run(story)


def test_what_shares_a_name_with_what_is_under_way_waits_while_others_go() -> None:
    async def story() -> None:
        sent = Recorded()
        sent.open.clear()
        writes = gather(sent.send, under_way_max=3)
        asked = [asyncio.create_task(writes.ask("a", {"red"}))]
        await turns()
        for word, names in (
            ("b", {"red"}),
            ("c", {"blue"}),
            ("d", {"red", "green"}),
            ("e", {"green"}),
            ("f", {"grey"}),
        ):
            asked.append(asyncio.create_task(writes.ask(word, names)))
            await turns()
        # e could go by its name, and would then keep d waiting, who was there before
        assert sent.batches == [["a"], ["c"], ["f"]]
        sent.open.set()
        assert await asyncio.gather(*asked) == ["A", "B", "C", "D", "E", "F"]
        assert sent.batches[3:] == [["b", "d", "e"]]

    run(story)


def test_an_exception_for_one_item_reaches_whoever_asked_for_it_alone() -> None:
    async def send(items: list[str]) -> Answers:
        return [LookupError(item) if item == "b" else item.upper() for item in items]

    async def story() -> None:
        reads = gather(send)
        answers = await asyncio.gather(*(reads.ask(word) for word in ("a", "b", "c")), return_exceptions=True)
        assert [answers[0], answers[2]] == ["A", "C"]
        assert isinstance(answers[1], LookupError)
        assert answers[1].args == ("b",)

    run(story)


def test_a_batch_that_fails_fails_for_its_askers_and_not_for_the_next() -> None:
    async def send(items: list[str]) -> Answers:
        if "bad" in items:
            raise ConnectionError("the database is away")
        return [item.upper() for item in items]

    async def story() -> None:
        reads = gather(send, batch_max=2)
        words = ("a", "bad", "c", "d")
        answers = await asyncio.gather(*(reads.ask(word) for word in words), return_exceptions=True)
        assert [type(answer) for answer in answers] == [ConnectionError, ConnectionError, str, str]
        assert await reads.ask("e") == "E"

    run(story)


def test_an_asker_who_goes_away_takes_no_answer_from_the_others() -> None:
    async def story() -> None:
        sent = Recorded()
        sent.open.clear()
        reads = gather(sent.send)
        asked = [asyncio.create_task(reads.ask(word)) for word in ("a", "b", "c")]
        await turns()
        asked[1].cancel()
        await turns()
        sent.open.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [answers[0], answers[2]] == ["A", "C"]
        assert isinstance(answers[1], asyncio.CancelledError)
        # what was sent was sent: a write that nobody waits for any more is still done
        assert sent.batches == [["a", "b", "c"]]
        assert await reads.ask("d") == "D"

    run(story)


def test_when_all_askers_go_away_the_next_is_answered_all_the_same() -> None:
    async def story() -> None:
        sent = Recorded()
        sent.open.clear()
        reads = gather(sent.send)
        asked = [asyncio.create_task(reads.ask(word)) for word in ("a", "b")]
        await turns()
        waiting = asyncio.create_task(reads.ask("c"))
        await turns()
        for one in (*asked, waiting):
            one.cancel()
        await turns()
        sent.open.set()
        assert await reads.ask("d") == "D"
        assert sent.under_way == 0

    run(story)


def test_a_thousand_askers_at_once_each_hear_their_own_answer() -> None:
    async def story() -> None:
        sent = Recorded()
        reads = gather(sent.send, batch_max=64, under_way_max=2)
        words = [f"w{number}" for number in range(1000)]
        assert await asyncio.gather(*(reads.ask(word) for word in words)) == [word.upper() for word in words]
        assert max(len(batch) for batch in sent.batches) == 64
        assert len(sent.batches) == 16

    run(story)


def test_the_deadline_of_one_who_asks_is_not_that_of_the_batch() -> None:
    deadline: ContextVar[str] = ContextVar("deadline", default="none")

    async def send(items: list[str]) -> Answers:
        return [deadline.get() for _ in items]

    async def story() -> None:
        deadline.set("mine, and soon")
        assert await gather(send).ask("a") == "none"

    run(story)


def test_what_waits_too_long_for_its_turn_is_given_up_and_never_sent() -> None:
    async def story() -> None:
        sent = Recorded()
        sent.open.clear()
        writes = gather(sent.send)
        first = asyncio.create_task(writes.ask("first"))
        await turns()
        with pytest.raises(Overdue) as given_up:
            await writes.ask("second", most_s=0.01)
        assert not given_up.value.is_sent
        sent.open.set()
        assert await first == "FIRST"
        assert await writes.ask("third") == "THIRD"
        assert sent.batches == [["first"], ["third"]]

    run(story)


def test_what_was_sent_and_is_not_answered_in_time_may_be_done_all_the_same() -> None:
    async def story() -> None:
        sent = Recorded()
        sent.open.clear()
        writes = gather(sent.send)
        with pytest.raises(Overdue) as given_up:
            await writes.ask("first", most_s=0.01)
        assert given_up.value.is_sent
        sent.open.set()
        assert await writes.ask("second") == "SECOND"

    run(story)

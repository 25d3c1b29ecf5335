"""Searching on the real database while others write: nothing that is there throughout is missed or met twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from phb_fhir.outcome import Refusal, Rejected
from phb_fhir.query import (
    EVERYTHING,
    Node,
    Order,
    Query,
)
from phb_fhir.store.positions import Position
from phb_fhir.store.store import Store
from tests.store.finding import (
    BY_CODE,
    CODED,
    DATE,
    ORDERS,
    SINGLE,
    Admin,
    Observed,
    asks,
    dated_index,
    key,
    observation,
    observations,
    observed,
    pages,
)
from tests.store.stores import keyed, opened, put, run, version

N = 60
ROUNDS = 12  # with changes; then there is an end to what is new


def changes(number: int) -> Iterator[Observed]:
    """What is written in a round: some that stay are changed, some are new, one goes."""
    for n in range(0, N, 5):
        day = (n * 7 + number * 11) % N
        yield observed(f"stays{n}", number, dated_index(day, "code=*a", f"code=*{number}"))
        yield observed(f"new{number}-{n}", 1, dated_index(day, "code=*a"), at=number)
    yield observed(f"goes{number}", 2, None)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("query", "order"), ORDERS)
def test_what_is_there_throughout_is_met_once_whatever_is_written_meanwhile(
    mongodb_uri: str, database_name: str, query: Query, order: Order, backwards: bool
) -> None:
    """Every resource that stays is changed between the pages too: its date, its code, and when it was last updated."""

    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store, opened(mongodb_uri, database_name) as other:
            names = [f"{word}{day}" for day in range(N) for word in ("stays", "goes")]
            there = [observed(name, 1, dated_index(place // 2, "code=*a")) for place, name in enumerate(names)]
            await observations(store, there)
            met: list[str] = []
            number = 1
            async for page in pages(store, query, order, 7, backwards=backwards):
                met += [hit.version.id for hit in page]
                number += 1
                if number < ROUNDS:
                    await observations(other, list(changes(number)))
            stayed = [id_ for id_ in met if id_.startswith("stays")]
            assert sorted(stayed) == sorted(f"stays{day}" for day in range(N))
            assert len(set(met)) == len(met)

    run(story)


@pytest.mark.parametrize("where", [EVERYTHING, CODED])
def test_pages_of_values_are_of_one_moment_and_those_after_its_memory_of_their_own(
    mongodb_uri: str, database_name: str, where: Node
) -> None:
    """Whether they are read off the index of the order, or found by another and then sorted."""

    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for day in range(6):
                await observation(store, str(day), 1, dated_index(day, "code=*a"))
            query = Query((SINGLE,), where)
            await settled(store, query)
            first = await store.find(query, (DATE,), count=2)
            await observation(store, "0", 2, dated_index(30, "code=*a"))  # behind the others, by now
            await observation(store, "4", 2, None)
            after = first[-1].position
            assert [hit.version.id for hit in await store.find(query, (DATE,), after=after, count=9)] == [
                "2",
                "3",
                "4",
                "5",
            ]
            long_ago = [f"{str(after[0]).partition('@')[0]}@1.1", *after[1:]]
            later = await store.find(query, (DATE,), after=long_ago, count=9)
            assert [hit.version.id for hit in later] == ["2", "3", "5", "0"]
            assert "@" in str(later[-1].position[0])

    run(story)


async def settled(store: Store, query: Query) -> None:
    """Until the indexes are old enough to be read from a snapshot; that they never are is a failure of the story's time."""
    while "@" not in str((await store.find(query, (DATE,), count=1))[0].position[0]):
        await asyncio.sleep(0.01)


def test_a_position_of_another_order_is_gone_and_its_own_is_not(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for day in range(4):
                await observation(store, str(day), 1, dated_index(day, "code=*a"))
            query, ranged = Query((SINGLE,)), Query((SINGLE,), asks("date", "ge2020-01-01"))
            (last,) = await store.find(ranged, count=1)
            assert len(await store.find(ranged, after=last.position, count=9)) == 3
            good = (await store.find(query, (DATE,), count=1))[0].position
            assert len(await store.find(query, (DATE,), after=good, count=9)) == 3
            wrong: list[Position] = [
                [*last.position[:1], 7, *last.position[2:]], ["seq", 0, "no seq"], ["seq", 0], ["seq", -1, "0" * 24], [], ["seq"],
                good[:2], [*good, "more"],
            ]  # fmt: skip
            for position, asked, order in (
                *((position, query, ()) for position in (last.position, good, *wrong)),
                *((position, query, (DATE,)) for position in (last.position, *wrong)),
                (good, query, BY_CODE),
            ):
                with pytest.raises(Rejected, match="run the search again") as refused:
                    await store.find(asked, order, after=position, count=1)
                assert refused.value.refusal is Refusal.GONE

    run(story)


# --- places in the order ---


def test_a_resource_keeps_its_place_through_updates_and_death_and_revival(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for id_ in "abc":
                assert await store.insert(version(id_), keyed("code=*a"))
            places = {each.id: each.seq for each in await store.search(Query(("Task",)), count=9)}
            assert list(places.values()) == sorted(places.values())
            assert all(len(seq) == 24 for seq in places.values())
            await put(store, version("a", 2), ["code=*b"])
            await put(store, version("a", 3, None, method="DELETE"))
            assert [each.id for each in await store.search(Query(("Task",)), count=9)] == ["b", "c"]
            gone = await store.read("Task", "a")
            assert gone is not None
            assert gone.seq == places["a"]
            await put(store, version("a", 4), ["code=*a"])
            for query in (Query(("Task",)), Query(("Task",), key("code=*a"))):
                assert {each.id: each.seq for each in await store.search(query, count=9)} == places

    run(story)


def test_a_resource_of_an_older_release_is_given_a_place_at_its_next_write(
    mongodb_uri: str, database_name: str, mongodb_admin: Admin
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            await store.insert(version("a"), None)
            mongodb_admin[database_name]["resources"].update_one({"_id": "Task/a"}, {"$unset": {"seq": 1, "ix": 1}})
            old = await store.read("Task", "a")
            assert old is not None
            assert old.seq == ""
            assert [each.id for each in await store.search(Query(("Task",)), count=9)] == ["a"]
            await put(store, version("a", 2), ["code=*a"])
            (hit,) = await store.find(Query(("Task",), key("code=*a")), count=9)
            assert hit.version.seq == hit.position[-1] != ""

    run(story)

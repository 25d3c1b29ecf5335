"""A primary that was just elected answers once it has shown that it knows all that was acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient

from phb_fhir.app import at_work
from phb_fhir.interactions.publishing import publish
from phb_fhir.outcome import Refusal, Rejected
from phb_fhir.settings import Settings
from phb_fhir.store.concerns import DRIVER
from phb_fhir.store.primary import ATTEMPTS_MAX, Primary
from tests.replica_set import ReplicaSet
from tests.store.stores import Commands, connected, opened, raise_number, run

SHORT_S = 1.5  # long enough for MongoDB to take a write, were there a majority


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    with ReplicaSet(tmp_path_factory.mktemp("members")) as started:
        yield started


def test_nothing_is_read_of_a_primary_that_was_elected_before_a_majority_takes_something_of_it(
    members: ReplicaSet, database_name: str
) -> None:
    async def story() -> None:
        async with (
            opened(members.uri, database_name) as writing,
            opened(members.uri, database_name, commit_time_max_s=SHORT_S) as reading,
        ):
            assert await raise_number(writing, "a") == 1
            with members.elected_and_alone():
                for question in (reading.read("Task", "a"), reading.ledger.of(["Account/a"]), reading.note_of("a")):
                    with pytest.raises(Rejected) as refused:
                        await question
                    assert refused.value.refusal is Refusal.UNAVAILABLE
                with pytest.raises(Rejected):
                    await reading.check_ready()
            found = await writing.read("Task", "a")
            assert found is not None
            assert found.number == 1
            assert await writing.check_ready() == []

    run(story)


def test_a_question_is_asked_again_of_whoever_was_elected_while_it_was_answered(
    members: ReplicaSet, database_name: str
) -> None:
    async def story() -> None:
        async with AsyncMongoClient(members.uri, **DRIVER) as client:
            primary = Primary(client, client[database_name], 20.0, 20.0)
            asked: list[ObjectId | None] = []

            async def ask() -> int:
                asked.append(await primary.known("asking"))
                if len(asked) == 1:
                    await asyncio.to_thread(members.elect)
                    while client.topology_description.max_election_id == asked[0]:
                        await asyncio.sleep(0.01)
                return len(asked)

            assert await primary.ask("asking", ask) == 2
            first, second = asked
            assert first is not None
            assert second is not None
            assert first < second

    run(story)


def test_where_primaries_change_all_the_time_a_question_is_given_up(members: ReplicaSet, database_name: str) -> None:
    async def story() -> None:
        async with AsyncMongoClient(members.uri, **DRIVER) as client:
            primary = Primary(client, client[database_name], 20.0, 20.0)
            asked = 0

            async def ask() -> None:
                nonlocal asked
                asked += 1
                before = client.topology_description.max_election_id
                await asyncio.to_thread(members.elect)
                while client.topology_description.max_election_id == before:
                    await asyncio.sleep(0.01)

            with pytest.raises(Rejected) as refused:
                await primary.ask("asking", ask)
            assert refused.value.refusal is Refusal.UNAVAILABLE
            assert asked == ATTEMPTS_MAX

    run(story)


def test_who_looked_is_not_told_by_a_primary_that_does_not_know_the_last_of_them(
    members: ReplicaSet, database_name: str
) -> None:
    settings = Settings(
        mongodb_uri=members.uri, mongodb_database=database_name, open=True, guide=False, commit_time_max_s=SHORT_S
    )

    async def story() -> None:
        async with at_work(settings) as context:
            await publish(context)
            with members.elected_and_alone():
                with pytest.raises(Rejected) as refused:
                    await publish(context)
                assert refused.value.refusal is Refusal.UNAVAILABLE
            assert await publish(context) == 0

    run(story)


@pytest.mark.parametrize("address", ["", "&directConnection=true"])
def test_while_a_primary_stays_it_shows_that_once(mongodb_uri: str, database_name: str, address: str) -> None:
    async def story() -> None:
        commands = Commands()
        async with connected(mongodb_uri + address, database_name, commands) as store:
            assert await asyncio.gather(*(store.read("Task", id_) for id_ in "abc")) == [None, None, None]
            shown = commands.count["update"]
            assert shown > 0
            assert await store.read("Task", "a") is None
            assert await store.notes("x", count=1) == []
            assert commands.count["update"] == shown

    run(story)

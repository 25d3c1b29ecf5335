"""The audit trail in the database: one chain whoever writes to it, and each record in it once, whatever dies in between."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from phb_fhir.outcome import Refusal, Rejected
from phb_fhir.search.kinds.kind import Index
from phb_fhir.security.audit import START, Break, Head, Record, check, instant
from phb_fhir.store.store import Store, Transaction, Write
from phb_fhir.store.trail import BLOCK_BYTES_MAX, Chain
from tests.store.stores import MOMENT, Commands, connected, opened, run, version
from tests.store.test_faults import Road

APPENDING = """
import asyncio, sys
from tests.store.stores import opened
from tests.store.test_trail import append_all

async def main():
    async with opened(sys.argv[1], sys.argv[2]) as store:
        print("ready", flush=True)
        for turn in range(int(sys.argv[4])):
            sys.stdin.readline()
            await append_all(store, f"{sys.argv[3]}-{turn}", 30)
            print("ready", flush=True)

asyncio.run(main())
"""

DYING = """
import asyncio, os, sys
from tests.store.stores import opened
from tests.store.test_trail import change

async def main():
    async with opened(sys.argv[1], sys.argv[2]) as store:
        for number in range(int(sys.argv[3])):
            await change(store, f"dying-{number}")
        os.kill(os.getpid(), 9)

asyncio.run(main())
"""


def record(name: str, **more: Any) -> Record:
    return Record(instant(MOMENT), name, "GET", "read", f"Task/{name}", 200)._replace(**more)


async def append(store: Store, name: str, **more: Any) -> None:
    await store.trail.append(record(name, **more).text(), MOMENT)


async def append_all(store: Store, start: str, count: int) -> None:
    """That many records, sixteen at once: as clients of a busy server make them."""
    gate = asyncio.Semaphore(16)

    async def one(number: int) -> None:
        async with gate:
            await append(store, f"{start}-{number}")

    await asyncio.gather(*(one(number) for number in range(count)))


async def change(store: Store, name: str) -> None:
    """A change with its record, in one transaction."""

    async def work(transaction: Transaction) -> None:
        await transaction.file([(record(name).text(), MOMENT)])
        await transaction.write([Write(None, version(name), None)])

    await store.transaction(work)


def told(processes: list[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    """The processes, once all of them were told to begin."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return processes


async def kept(chain: Chain) -> list[str]:
    """The names of all records in the chain, once it is found to be whole."""
    head, names = START, []
    async for block in chain.all():
        assert check(head, block) is None
        head = block.head
        names += [Record.read(text).request_id for text in block.records]
    return names


async def settled(chain: Chain, but: int = 0) -> bool:
    """Whether nothing is pending but so many, within the time a test may wait."""
    for _ in range(1_000):
        if await chain.pending() <= but:
            return True
        await asyncio.sleep(0.01)
    return False


# ---- appending -------------------------------------------------------------------------------------------------------


def test_what_is_appended_is_in_the_chain_when_that_returns(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            assert await store.trail.head() == START
            await append(store, "one")
            await append(store, "two")
            assert await kept(store.trail) == ["one", "two"]
            assert (await store.trail.head()).number == 2

    run(story)


def test_records_of_one_moment_share_an_insert(mongodb_uri: str, database_name: str) -> None:
    commands = Commands()

    async def story() -> None:
        async with opened(mongodb_uri, database_name, commands) as store:
            await append(store, "first")
            before = commands.count["insert"]
            await asyncio.gather(*(append(store, str(number)) for number in range(100)))
            assert commands.count["insert"] - before <= 2
            assert Counter(await kept(store.trail)) == Counter(["first", *map(str, range(100))])

    run(story)


def test_records_too_large_for_one_block_are_kept_in_several(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            large = "x" * (BLOCK_BYTES_MAX // 3)
            await asyncio.gather(*(append(store, str(number), query=large) for number in range(9)))
            assert sorted(await kept(store.trail)) == [str(number) for number in range(9)]
            assert (await store.trail.head()).block >= 4

    run(story)


def test_several_stores_append_to_one_chain_and_nothing_is_lost(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as one, opened(mongodb_uri, database_name) as other:
            await asyncio.gather(append_all(one, "one", 100), append_all(other, "other", 100))
            names = [f"{start}-{number}" for start in ("one", "other") for number in range(100)]
            assert sorted(await kept(one.trail)) == sorted(names)

    run(story)


def test_two_processes_append_at_once_and_the_chain_is_whole(mongodb_uri: str, database_name: str) -> None:
    def begun(start: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", APPENDING, mongodb_uri, database_name, start, "10"]
        return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    processes = [begun("a"), begun("b")]
    for _ in range(10):  # neither gets further ahead than a turn, however busy the machine is
        assert [process.stdout and process.stdout.readline() for process in processes] == ["ready\n"] * 2
        told(processes)
    ends = [process.communicate(timeout=60) and process.returncode for process in processes]
    assert ends == [0, 0]

    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            names = await kept(store.trail)
            assert sorted(names) == sorted(
                f"{start}-{turn}-{number}" for start in "ab" for turn in range(10) for number in range(30)
            )
            assert {name[0] for name in names[: len(names) // 2]} == {"a", "b"}

    run(story)


def test_a_database_that_is_away_refuses_the_record_and_takes_the_next(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        with Road(mongodb_uri) as road:
            async with opened(road.uri, database_name, commit_time_max_s=1.0) as store:
                await append(store, "one")
                road.block()
                with pytest.raises(Rejected) as refused:
                    await append(store, "two")
                assert refused.value.refusal is Refusal.UNAVAILABLE
                road.open()
                await append(store, "three")
                names = await kept(store.trail)
                assert [name for name in names if name != "two"] == ["one", "three"]
                assert names.count("two") <= 1, "nobody was told whether it was kept"

    run(story)


@pytest.mark.parametrize("toll", [b"insert", b"find"])
def test_a_record_whose_connection_breaks_is_kept_once(mongodb_uri: str, database_name: str, toll: bytes) -> None:
    async def story() -> None:
        with Road(mongodb_uri, toll, tolls=1) as road:
            async with connected(road.uri, database_name) as store:
                await append(store, "one")
                await append(store, "two")
                assert road.tolls == 0
                assert await kept(store.trail) == ["one", "two"]

    run(story)


# ---- changes ---------------------------------------------------------------------------------------------------------


def test_a_change_is_recorded_once_it_is_committed(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            await change(store, "one")
            assert await settled(store.trail)
            assert await kept(store.trail) == ["one"]

    run(story)


def test_a_change_that_fails_leaves_no_record(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:

            async def work(transaction: Transaction) -> None:
                await transaction.file([(record("never").text(), MOMENT)])
                raise ValueError("a rule said no")

            with pytest.raises(ValueError, match="a rule said no"):
                await store.transaction(work)
            assert await store.trail.seal_left() == 0
            assert await kept(store.trail) == []

    run(story)


def test_a_transaction_that_begins_again_is_recorded_once(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store, opened(mongodb_uri, database_name) as other:
            attempts = 0

            async def work(transaction: Transaction) -> None:
                nonlocal attempts
                attempts += 1
                await transaction.file([(record("again").text(), MOMENT)])
                if attempts == 1:
                    await change(other, "in-the-way")
                await transaction.lock(["in-the-way"])
                await transaction.write([Write(None, version("again" if attempts > 1 else "in-the-way"), None)])

            await store.transaction(work)
            assert attempts > 1
            assert await settled(store.trail)
            assert sorted(await kept(store.trail)) == ["again", "in-the-way"]

    run(story)


def test_what_a_killed_process_left_is_sealed_by_another_once(
    mongodb_uri: str, mongodb_admin: MongoClient[dict[str, Any]], database_name: str
) -> None:
    """It is killed after the last commit and before it has sealed anything more."""
    ended = subprocess.run([sys.executable, "-c", DYING, mongodb_uri, database_name, "5"], check=False, timeout=60)
    assert ended.returncode == -9
    assert mongodb_admin[database_name].resources.count_documents({}) == 5
    assert mongodb_admin[database_name].audit_pending.count_documents({}) > 0

    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store, opened(mongodb_uri, database_name) as other:
            await asyncio.gather(store.trail.seal_left(), other.trail.seal_left(), store.trail.seal_left())
            assert sorted(await kept(store.trail)) == [f"dying-{number}" for number in range(5)]
            assert await settled(store.trail)

    run(story)


def test_what_was_sealed_and_not_taken_away_is_not_sealed_again(
    mongodb_uri: str, mongodb_admin: MongoClient[dict[str, Any]], database_name: str
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            await change(store, "one")
            assert await settled(store.trail)
        (block,) = mongodb_admin[database_name].audit.find()
        left = {"_id": block["pending"][0], "record": block["records"][0], "at": block["at"]}
        fresh = {"_id": ObjectId(), "record": record("two").text(), "at": MOMENT}
        mongodb_admin[database_name].audit_pending.insert_many([left, fresh])
        async with opened(mongodb_uri, database_name) as store:
            assert await store.trail.seal_left() == 2
            assert await kept(store.trail) == ["one", "two"]
            assert await settled(store.trail)

    run(story)


def test_what_was_put_down_a_moment_ago_is_left_to_whoever_did(
    mongodb_uri: str, mongodb_admin: MongoClient[dict[str, Any]], database_name: str
) -> None:
    def pending(name: str, id_: ObjectId) -> None:
        document = {"_id": id_, "record": record(name).text(), "at": MOMENT}
        mongodb_admin[database_name].audit_pending.insert_one(document)

    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            pending("new", ObjectId())
            pending("old", ObjectId.from_datetime(MOMENT - timedelta(days=1000)))
            assert await store.trail.seal_left(older_than_s=60) == 1
            assert await kept(store.trail) == ["old"]
            assert await settled(store.trail, but=1)
            assert await store.trail.seal_left() == 1
            assert await kept(store.trail) == ["old", "new"]

    run(story)


# ---- how far it went -------------------------------------------------------------------------------------------------


def test_the_head_is_noted_soon_and_at_the_end_at_the_latest(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            await append(store, "one")
            first = await store.trail.head()
            for _ in range(1_000):
                if await store.trail.noted() == first:
                    break
                await asyncio.sleep(0.01)
            assert await store.trail.noted() == first
            await append(store, "two")
            last = await store.trail.head()
        async with opened(mongodb_uri, database_name) as store:
            assert await store.trail.noted() == last

    run(story)


def test_a_process_that_is_behind_does_not_note_an_older_head(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as behind:
            await append(behind, "one")
            async with opened(mongodb_uri, database_name) as ahead:
                await append(ahead, "two")
                last = await ahead.trail.head()
        async with opened(mongodb_uri, database_name) as store:
            assert await store.trail.noted() == last

    run(story)


def test_one_worker_at_a_time_has_the_turn_to_publish(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            assert await store.trail.take_turn("one")
            assert not await store.trail.take_turn("other")
            assert await store.trail.take_turn("one")

    run(story)


def test_what_is_published_twice_is_there_once_and_the_place_only_goes_on(
    mongodb_uri: str, mongodb_admin: MongoClient[dict[str, Any]], database_name: str
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for upto in (3, 2, 5):
                await store.trail.publish([(version("event"), Index())], upto)
            assert await store.trail.published() == 5

    run(story)
    assert mongodb_admin[database_name].resources.count_documents({}) == 1


def test_a_damaged_block_is_read_and_found(
    mongodb_uri: str, mongodb_admin: MongoClient[dict[str, Any]], database_name: str
) -> None:
    damages: Sequence[dict[str, Any]] = (
        {"$set": {"records": "gone"}},
        {"$set": {"records": [1]}},
        {"$unset": {"seals": 1}},
        {"$set": {"before": "zz"}},
        {"$set": {"seal": 7}},
        {"$set": {"first": "1"}},
        {"$set": {"at": "yesterday"}},
        {"$unset": dict.fromkeys(("first", "before", "seal", "at", "records", "seals"), 1)},
    )

    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            await append(store, "one")
            (sound,) = mongodb_admin[database_name].audit.find()
            for damage in damages:
                mongodb_admin[database_name].audit.update_one({"_id": 1}, damage)
                (block,) = await store.trail.blocks(0, count=1)
                assert isinstance(check(START, block), Break), damage
                mongodb_admin[database_name].audit.replace_one({"_id": 1}, sound)
            (block,) = await store.trail.blocks(0, count=1)
            assert check(START, block) is None

    run(story)


def test_the_block_of_a_record_is_found_by_its_number(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for name in ("one", "two", "three"):
                await append(store, name)
            found = [await store.trail.block_with(number) for number in (1, 3, 4)]
            assert [block and block.number for block in found] == [1, 3, None]
            assert isinstance(await store.trail.head(), Head)

    run(story)

"""Versions on the real database: stored together, found again, moved into the history, never lost between two hands."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from structlog.testing import capture_logs

from phb_fhir.change import Version
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.query import EVERYTHING, AllOf, HistoryQuery, Id, Key, Query, Updated
from phb_fhir.store.embedded import PrivateMongo
from phb_fhir.store.store import Store, Transaction, Write
from tests.store.stores import MOMENT, Commands, bare, keyed, opened, put, raise_number, run, version

Admin = MongoClient[dict[str, Any]]

X_ENTRY = "identifier=urn:s|x"
X = Key((X_ENTRY,))
TASKS = Query(("Task",))
LARGER_THAN_MONGODB_TAKES = 16_900_000
AS_LARGE_AS_MONGODB_TAKES = 16_700_000


def numbers(versions: list[Version]) -> list[tuple[str, int]]:
    return [(found.id, found.number) for found in versions]


# --- where it is ---


def test_an_address_of_one_member_alone_is_remarked_on_where_there_are_several(
    tmp_path: Path, database_name: str
) -> None:
    with PrivateMongo(tmp_path, cache_mb=256) as mongo:
        alone = f"mongodb://127.0.0.1:{mongo.port}/?directConnection=true"

        def remarks(uri: str) -> list[Any]:
            async def story() -> None:
                async with opened(uri, database_name):
                    pass

            with capture_logs() as logs:
                run(story)
            return [line["reason"] for line in logs]

        assert remarks(alone) == []
        with MongoClient[dict[str, Any]](alone) as client:
            config = client.admin.command("replSetGetConfig")["config"]
            config["members"].append({"_id": 1, "host": "127.0.0.1:1", "votes": 0, "priority": 0})
            client.admin.command("replSetReconfig", {**config, "version": config["version"] + 1})
        (remark,) = remarks(alone)
        assert "directConnection=true, and its replica set has several members" in remark
        assert remarks(mongo.uri) == []


# --- single reads and inserts ---


def test_a_version_is_read_as_it_was_inserted(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            made = version("a", text='{"resourceType":"Task","amount":10.00,"word":"naïve – £"}', method="POST")
            assert await store.insert(made, None)
            assert bare(await store.read("Task", "a")) == made
            assert await store.read("Task", "b") is None
            assert await store.read("Patient", "a") is None

    run(story)


def test_reads_of_one_moment_share_a_call_and_inserts_share_a_write(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        commands = Commands()
        async with opened(mongodb_uri, database_name, commands) as store:
            commands.count.clear()
            ids = [f"n{number}" for number in range(50)]
            assert await asyncio.gather(*(store.insert(version(id_), None) for id_ in ids)) == [True] * 50
            found = await asyncio.gather(*(store.read("Task", id_) for id_ in ids))
            assert [one.id if one else "" for one in found] == ids
            assert commands.count == {"insert": 1, "find": 1}

    run(story)


def test_of_two_inserts_of_one_id_in_one_batch_one_is_kept_and_their_neighbours_are(
    mongodb_uri: str, database_name: str
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            texts = {"a": '"first"', "b": '"b"', "c": '"c"'}
            wanted = [*(version(id_, text=text) for id_, text in texts.items()), version("a", text='"second"')]
            assert await asyncio.gather(*(store.insert(one, None) for one in wanted)) == [True, True, True, False]
            kept = await store.read_all([f"Task/{id_}" for id_ in texts])
            assert {found.id: (found.json or b"").decode() for found in kept.values()} == texts
            assert not await store.insert(version("b", text='"later"'), None)
            assert bare(await store.read("Task", "b")) == version("b", text='"b"')

    run(story)


def test_of_fifty_inserts_of_one_id_by_two_stores_one_is_kept(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as one, opened(mongodb_uri, database_name) as other:
            made = [version("a", text=f'"{number}"') for number in range(50)]
            kept = await asyncio.gather(*((one, other)[n % 2].insert(it, None) for n, it in enumerate(made)))
            assert kept.count(True) == 1
            assert bare(await one.read("Task", "a")) == made[kept.index(True)]

    run(story)


def test_a_document_too_large_for_mongodb_is_refused_alone(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            wanted = [version("a"), version("big", text="x" * LARGER_THAN_MONGODB_TAKES), version("c")]
            answers = await asyncio.gather(*(store.insert(one, None) for one in wanted), return_exceptions=True)
            assert [answers[0], answers[2]] == [True, True]
            refused = answers[1]
            assert isinstance(refused, Rejected)
            assert (refused.refusal, refused.issues[0].kind) == (Refusal.TOO_LARGE, Kind.TOO_LONG)
            assert numbers(await store.search(TASKS, count=10)) == [("a", 1), ("c", 1)]

    run(story)


def test_an_update_that_mongodb_would_not_take_is_refused_and_the_largest_it_takes_is_kept(
    mongodb_uri: str, database_name: str
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            await put(store, version("a"))
            for size in (LARGER_THAN_MONGODB_TAKES, 16 * 1024 * 1024 - 100):
                with pytest.raises(Rejected, match="larger than the 16 MB") as refused:
                    await put(store, version("a", 2, "x" * size))
                assert refused.value.refusal is Refusal.TOO_LARGE
            assert bare(await store.read("Task", "a")) == version("a")
            largest = version("a", 2, "x" * AS_LARGE_AS_MONGODB_TAKES)
            await put(store, largest)
            await put(store, version("a", 3))
            assert bare(await store.read_version("Task", "a", 2)) == largest

    run(story)


def test_what_index_entries_add_counts_as_size_too(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            entries = [f"identifier=*{number:0>60}" for number in range(100_000)]
            with pytest.raises(Rejected, match="larger than the 16 MB"):
                await store.insert(version("a", text="x" * 10_000_000), keyed(*entries))
            assert await store.insert(version("a", text="x" * 10_000_000), keyed(*entries[:1000]))

    run(story)


# --- versions and the history ---


def test_each_version_is_found_by_its_number_wherever_it_is(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            made = [version("a", 1), version("a", 2, '"two"'), version("a", 3, None, method="DELETE"), version("a", 4)]
            for one in made:
                await put(store, one)
            assert [bare(await store.read_version("Task", "a", number)) for number in range(1, 5)] == made
            assert await store.read_version("Task", "a", 5) is None
            assert await store.read_version("Task", "b", 1) is None

    run(story)


def test_a_deleted_resource_is_current_as_a_deletion_and_matches_no_search(
    mongodb_uri: str, database_name: str
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            await put(store, version("a"), [X_ENTRY])
            assert numbers(await store.search(Query(("Task",), X), count=5)) == [("a", 1)]
            gone = version("a", 2, None, method="DELETE")
            await put(store, gone)
            assert bare(await store.read("Task", "a")) == gone
            assert await store.search(Query(("Task",), X), count=5) == []
            assert await store.count(TASKS) == 0
            await put(store, version("a", 3), [X_ENTRY])
            assert numbers(await store.search(Query(("Task",), X), count=5)) == [("a", 3)]

    run(story)


def test_the_history_is_newest_first_and_pages_through_it_meet_every_version_once(
    mongodb_uri: str, database_name: str
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            # a, b and c share their moments, so that the key must decide
            made = [version(id_, number) for number in range(1, 5) for id_ in "abc"]
            for one in made:
                await put(store, one)
            newest_first = [(id_, number) for number in range(4, 0, -1) for id_ in "cba"]
            everything = HistoryQuery()
            assert numbers(await store.history(everything, after=None, count=100)) == newest_first
            assert await store.history_count(everything) == len(made)
            for size in (1, 2, 5):
                walked: list[tuple[str, int]] = []
                after = None
                while page := await store.history(everything, after=after, count=size):
                    assert len(page) <= size
                    walked += numbers(page)
                    after = (page[-1].at, page[-1].key)
                assert walked == newest_first

    run(story)


def test_the_history_of_one_resource_or_type_or_time_has_no_others(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for number in (1, 2, 3):
                await put(store, version("a", number))
                await put(store, version("aa", number))
            person = Version("Patient", "a", 1, MOMENT, "POST", b"{}")
            await put(store, person)

            async def found(**asked: Any) -> list[tuple[str, int]]:
                query = HistoryQuery(**asked)
                versions = await store.history(query, after=None, count=100)
                assert await store.history_count(query) == len(versions)
                return numbers(versions)

            assert await found(type="Task", id="a") == [("a", 3), ("a", 2), ("a", 1)]
            assert await found(type="Patient") == [("a", 1)]
            assert await found(type="Task", since=MOMENT + timedelta(seconds=3)) == [("aa", 3), ("a", 3)]
            second = MOMENT + timedelta(seconds=2)
            # version 1 was current until the very moment of version 2
            assert await found(type="Task", id="a", current_in=(second, second + timedelta(milliseconds=1))) == [
                ("a", 2)
            ]
            before = second - timedelta(milliseconds=1)
            assert await found(type="Task", id="a", current_in=(before, second)) == [("a", 1)]

    run(story)


def test_a_history_read_while_versions_move_misses_none_and_shows_none_twice(
    mongodb_uri: str, database_name: str
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store, opened(mongodb_uri, database_name) as writer:
            last = await raise_number(writer, "a")
            over = asyncio.Event()

            async def write() -> None:
                nonlocal last
                for _ in range(80):
                    last = await raise_number(writer, "a")
                over.set()

            writing = asyncio.create_task(write())
            looks = 0
            while not over.is_set():
                known = last
                found = [it.number for it in await store.history(HistoryQuery("Task", "a"), after=None, count=1000)]
                assert found == list(range(found[0], 0, -1))
                assert found[0] >= known
                single = bare(await store.read_version("Task", "a", known))
                assert single == version("a", known)
                looks += 1
            await writing
            assert looks > 10

    run(story)


def test_a_search_is_paged_in_the_order_of_creation_and_counted(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for id_ in ("b", "a", "d", "c"):
                await store.insert(
                    version(id_, at=MOMENT + timedelta(seconds=ord(id_))), keyed(X_ENTRY) if id_ != "d" else None
                )
            x = Query(("Task",), X)
            assert numbers(await store.search(x, count=2)) == [("b", 1), ("a", 1)]
            first = await store.find(x, count=2)
            rest = await store.find(x, after=first[-1].position, count=2)
            assert [hit.version.id for hit in (*first, *rest)] == ["b", "a", "c"]
            assert await store.count(x) == 3
            assert numbers(await store.search(Query(("Task",), Id(("d", "e"))), count=5)) == [("d", 1)]
            since_c = Updated(MOMENT + timedelta(seconds=ord("c")), None)
            assert numbers(await store.search(Query((), AllOf((since_c, X))), count=5)) == [("c", 1)]
            assert await store.count(Query(("Patient",), EVERYTHING)) == 0

    run(story)


# --- transactions ---


async def make_unless_found(store: Store, id_: str, lock: str) -> bool:
    """Under a lock: insert a resource with the token X unless one is there, whatever its id."""

    async def work(transaction: Transaction) -> bool:
        await transaction.lock([lock])
        if await transaction.search(Query(("Task",), X), count=1):
            return False
        await transaction.write([Write(None, version(id_), keyed(X_ENTRY))])
        return True

    return await store.transaction(work)


def test_a_transaction_sees_its_own_writes_and_nobody_else_does_before_the_end(
    mongodb_uri: str, database_name: str
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            await put(store, version("a"))

            async def work(transaction: Transaction) -> None:
                await transaction.write(
                    [Write(version("a"), version("a", 2), keyed(X_ENTRY)), Write(None, version("b"), keyed(X_ENTRY))]
                )
                assert numbers(await transaction.search(Query(("Task",), X), count=5)) == [("a", 2), ("b", 1)]
                assert numbers(await transaction.history(HistoryQuery("Task", "a"), after=None, count=5)) == [
                    ("a", 2),
                    ("a", 1),
                ]
                assert bare(await store.read("Task", "a")) == version("a")
                assert await store.read("Task", "b") is None
                assert await store.count(Query(("Task",), X)) == 0

            await store.transaction(work)
            assert await store.count(Query(("Task",), X)) == 2

    run(story)


def test_a_transaction_that_is_refused_midway_leaves_nothing(
    mongodb_uri: str, database_name: str, mongodb_admin: Admin
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            await put(store, version("a"))
            no = refuse(Refusal.UNPROCESSABLE, Kind.BUSINESS_RULE, "more than is left")

            async def work(transaction: Transaction) -> None:
                await transaction.lock(["budget"])
                await transaction.write([Write(version("a"), version("a", 2), None), Write(None, version("b"), None)])
                raise no

            with pytest.raises(Rejected) as refused:
                await store.transaction(work)
            assert refused.value is no
            assert bare(await store.read("Task", "a")) == version("a")
            assert await store.read("Task", "b") is None
        database = mongodb_admin[database_name]
        assert [database[name].count_documents({}) for name in ("resources", "history", "locks")] == [1, 0, 0]

    run(story)


def test_fifty_transactions_of_two_stores_on_one_resource_all_count(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as one, opened(mongodb_uri, database_name) as other:
            made = await asyncio.gather(*(raise_number((one, other)[turn % 2], "a") for turn in range(50)))
            assert sorted(made) == list(range(1, 51))
            history = await one.history(HistoryQuery("Task", "a"), after=None, count=100)
            assert numbers(history) == [("a", number) for number in range(50, 0, -1)]

    run(story)


def test_transactions_that_lock_one_name_run_one_after_the_other(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as one, opened(mongodb_uri, database_name) as other:
            made = await asyncio.gather(*(make_unless_found((one, other)[n % 2], f"n{n}", "x") for n in range(20)))
            assert made.count(True) == 1
            assert await one.count(Query(("Task",), X)) == 1

    run(story)


def test_transactions_that_lock_different_names_do_not_wait_for_each_other(
    mongodb_uri: str, database_name: str
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            other_is_done = asyncio.Event()

            async def slow(transaction: Transaction) -> None:
                await transaction.lock(["one", "two"])
                await other_is_done.wait()

            waiting = asyncio.create_task(store.transaction(slow))
            assert await make_unless_found(store, "a", "three")
            other_is_done.set()
            await waiting

    run(story)


def test_a_lock_that_is_not_let_go_ends_in_a_conflict_and_not_in_waiting(
    mongodb_uri: str, database_name: str, mongodb_admin: Admin
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name, commit_time_max_s=0.5) as store:
            with mongodb_admin.start_session() as session:
                session.start_transaction()
                mongodb_admin[database_name]["locks"].insert_one({"_id": "x"}, session=session)
                with pytest.raises(Rejected, match="nothing was changed") as refused:
                    await make_unless_found(store, "a", "x")
                assert (refused.value.refusal, refused.value.issues[0].kind) == (Refusal.CONFLICT, Kind.CONFLICT)
                session.abort_transaction()
            assert await store.read("Task", "a") is None
            assert await make_unless_found(store, "a", "x")

    run(story)


# --- turns within one process ---


def test_works_that_name_the_same_thing_take_turns_and_others_do_not_wait(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            told: list[str] = []
            go_on = asyncio.Event()

            async def first(_: Transaction) -> None:
                told.append("first begins")
                await go_on.wait()
                told.append("first ends")

            async def second(_: Transaction) -> None:
                told.append("second")

            async def other(_: Transaction) -> None:
                told.append("other")

            one = asyncio.create_task(store.transaction(first, contended={"a", "b"}))
            while not told:
                await asyncio.sleep(0)
            two = asyncio.create_task(store.transaction(second, contended={"b", "c"}))
            gone = asyncio.create_task(store.transaction(second, contended={"b"}))
            await store.transaction(other, contended={"d"})
            gone.cancel()
            go_on.set()
            await asyncio.gather(one, two)
            assert told == ["first begins", "other", "first ends", "second"]
            assert store._queues == {}

    run(story)


def test_a_turn_that_does_not_come_is_refused_in_time_with_nothing_changed(
    mongodb_uri: str, database_name: str
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name, commit_time_max_s=0.5) as store:
            begun, go_on = asyncio.Event(), asyncio.Event()

            async def slow(_: Transaction) -> None:
                begun.set()
                await go_on.wait()

            async def next_one(transaction: Transaction) -> None:
                await transaction.write([Write(None, version("a"), None)])

            one = asyncio.create_task(store.transaction(slow, contended={"a"}))
            await begun.wait()
            waiting = [store.transaction(next_one, contended={"a"}) for _ in range(5)]
            refused = await asyncio.gather(*waiting, return_exceptions=True)
            assert [it.refusal for it in refused if isinstance(it, Rejected)] == [Refusal.UNAVAILABLE] * 5
            assert "nothing was changed" in str(refused[0])
            go_on.set()
            await asyncio.gather(one, return_exceptions=True)
            assert await store.read("Task", "a") is None
            await store.transaction(next_one, contended={"a"})
            assert bare(await store.read("Task", "a")) == version("a")

    run(story)


# --- what all workers share ---


def test_a_secret_is_the_same_for_all_who_ask_at_once_and_later(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as one, opened(mongodb_uri, database_name) as other:
            fresh = [bytes([number]) * 32 for number in range(20)]
            asked = [(one, other)[n % 2].secret("page-key", secret) for n, secret in enumerate(fresh)]
            given = set(await asyncio.gather(*asked))
            assert len(given) == 1
            assert given < set(fresh)
            assert {await one.secret("other", b"another")} == {b"another"}
        async with opened(mongodb_uri, database_name) as later:
            assert {await later.secret("page-key", b"late")} == given

    run(story)

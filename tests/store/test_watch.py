"""What others write is told as it happens, what was there before is read, and nothing falls between the two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from phb_fhir.change import Version
from phb_fhir.outcome import Rejected
from phb_fhir.search.kinds.kind import Index
from phb_fhir.store import watch as module
from phb_fhir.store.store import Store, Transaction, Write
from tests.store.stores import Commands, bare, opened, put, run, version


async def standing(watch) -> dict[str, int]:
    return {one.key: one.number async for one in watch.current()}


async def told(changes: AsyncIterator[Version | str], count: int) -> list[tuple[str, int, bool] | str]:
    """The next changes: key, number and whether it was deleted; a key alone for a document that is gone."""
    found: list[tuple[str, int, bool] | str] = []
    while len(found) < count:
        change = await anext(changes)
        found.append(change if isinstance(change, str) else (change.key, change.number, change.is_deleted))
    return found


async def first(store: Store, meanwhile: Callable[[], None]) -> None:
    """Waits for the first change to a Task, after something was done."""
    async with store.watch(["Task"]) as watch:
        meanwhile()
        await told(watch.changes(), 1)


def test_what_stands_is_read_and_what_happens_is_told(mongodb_uri, database_name):
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store, opened(mongodb_uri, database_name) as other:
            await put(store, version("a"))
            await put(store, version("gone"))
            await put(store, version("gone", 2, None))
            async with store.watch(["Task"]) as watch:
                changes = watch.changes()
                await put(other, version("b"))  # after the beginning, before the reading: told, and read as well
                assert await standing(watch) == {"Task/a": 1, "Task/b": 1}
                await put(other, version("a", 2, '{"x": 1}'))
                await put(other, version("a", 3, None))
                assert await told(changes, 3) == [("Task/b", 1, False), ("Task/a", 2, False), ("Task/a", 3, True)]

    run(story)


def test_other_index_values_are_no_news_and_what_is_done_to_the_text_by_hand_is(
    mongodb_uri, database_name, mongodb_admin
):
    resources = mongodb_admin[database_name].resources

    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            await put(store, version("a"))
            async with store.watch(["Task"]) as watch:
                [stale] = await store.reindexing.batch("Task", ["new"], 1)
                assert await store.reindexing.mend([(stale, Index(digest="new"))]) == 1
                await put(store, version("b"))
                resources.update_one({"_id": "Task/a"}, {"$set": {"json": "{}"}})
                resources.update_one({"_id": "Task/a"}, {"$set": {"json": '{"a":1}'}})
                assert await told(watch.changes(), 2) == [("Task/b", 1, False), "Task/a"]

    run(story)


def test_a_version_is_told_as_it_is_read(mongodb_uri, database_name):
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store, store.watch(["Task"]) as watch:
            written = version("a", text='{"resourceType":"Task"}')
            await put(store, written, ["identifier=|1"])
            heard = await anext(watch.changes())
            assert heard == await store.read("Task", "a")
            assert bare(heard) == written

    run(story)


def test_other_types_are_not_told_however_their_names_begin(mongodb_uri, database_name):
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store, store.watch(["Task", "List"]) as watch:
            for type_ in ("Tas", "Task0", "Taskx", "Patient", "List"):
                one = version("a")
                await put(store, Version(type_, one.id, 1, one.at, "PUT", one.json))
            assert await told(watch.changes(), 1) == [("List/a", 1, False)]
            assert await standing(watch) == {"List/a": 1}

    run(story)


def test_all_of_a_transaction_is_told_and_nothing_of_one_that_was_broken_off(mongodb_uri, database_name):
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store, store.watch(["Task"]) as watch:

            async def broken(transaction: Transaction) -> None:
                await transaction.write([Write(None, version("never"), None)])
                raise LookupError

            with pytest.raises(LookupError):
                await store.transaction(broken)

            async def whole(transaction: Transaction) -> None:
                await transaction.write([Write(None, version(name), None) for name in "abc"])

            await store.transaction(whole)
            found = await told(watch.changes(), 3)
            assert sorted(found) == [("Task/a", 1, False), ("Task/b", 1, False), ("Task/c", 1, False)]

    run(story)


def test_a_document_that_somebody_takes_away_is_told_by_its_key(mongodb_uri, mongodb_admin, database_name):
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            await put(store, version("a"))
            async with store.watch(["Task"]) as watch:
                mongodb_admin[database_name].resources.delete_one({"_id": "Task/a"})
                assert await told(watch.changes(), 1) == ["Task/a"]

    run(story)


def test_a_watch_ends_when_the_collection_is_taken_away(mongodb_uri, mongodb_admin, database_name):
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            with pytest.raises(Rejected, match="was taken away"):
                await first(store, lambda: mongodb_admin.drop_database(database_name))

    run(story)


def test_a_watch_ends_when_the_database_says_nothing_any_more(mongodb_uri, database_name, monkeypatch):
    monkeypatch.setattr(module, "SILENCE_MAX_S", 0.05)

    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            with pytest.raises(Rejected, match=r"said nothing for 0\.05 seconds"):
                await first(store, lambda: None)
            await put(store, version("a"))  # and the store goes on

    run(story)


def test_to_wait_for_news_is_not_counted_as_a_slow_command(mongodb_uri, database_name):
    commands = Commands()

    async def story() -> None:
        async with opened(mongodb_uri, database_name, commands) as store, store.watch(["Task"]) as watch:
            waiting = asyncio.create_task(told(watch.changes(), 1))
            await asyncio.sleep(1.5)  # longer than one question is kept open
            await put(store, version("a"))
            assert await waiting == [("Task/a", 1, False)]

    run(story)
    assert commands.count["aggregate"] == 1
    assert commands.count["getMore"] == 0


def test_the_process_that_writes_is_told_before_its_writer_is(mongodb_uri, database_name):
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            heard: list[str] = []
            store.on_written = lambda written: heard.extend(f"{one.key}/{one.number}" for one in written)
            assert await store.insert(version("a"), None)
            assert heard == ["Task/a/1"]
            assert not await store.insert(version("a"), None)
            await put(store, version("a", 2))
            assert heard == ["Task/a/1", "Task/a/2"]

            async def broken(transaction: Transaction) -> None:
                await transaction.write([Write(None, version("b"), None)])
                raise LookupError

            with pytest.raises(LookupError):
                await store.transaction(broken)
            assert heard == ["Task/a/1", "Task/a/2"]

    run(story)


def test_notes_are_kept_with_what_is_written_or_not_at_all(mongodb_uri, database_name):
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:

            async def keep(transaction: Transaction) -> None:
                await transaction.note("package/b", {"n": 1})
                await transaction.note("package/b", {"n": 2})
                await transaction.note("package/a", {"n": 3})
                await transaction.note("packages", {"n": 4})
                assert (await transaction.note_of("package/b")) == {"_id": "package/b", "n": 2}

            async def broken(transaction: Transaction) -> None:
                await transaction.note("package/c", {"n": 5})
                raise LookupError

            await store.transaction(keep)
            with pytest.raises(LookupError):
                await store.transaction(broken)
            assert [note["n"] for note in await store.notes("package/", count=10)] == [3, 2]
            assert [note["n"] for note in await store.notes("package/", count=1)] == [3]
            assert await store.note_of("package/c") is None

    run(story)

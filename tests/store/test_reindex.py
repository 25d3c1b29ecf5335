"""What MongoDB is asked while index values are brought up to date: whose turn it is, what is behind, and what may be put in place."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from phb_fhir.search.kinds.kind import Index
from phb_fhir.store import reindex
from phb_fhir.store.documents import index_document
from phb_fhir.store.store import Store
from tests.store.stores import opened, raise_number, run, version

ROW = {"Task": {"done": 1, "total": 2, "failed": 0}}


@pytest.fixture
def database(mongodb_admin: MongoClient[dict[str, Any]], database_name: str):
    return mongodb_admin[database_name]


def indexed(digest: str, *keys: str) -> Index:
    return Index(keys=dict.fromkeys(keys), digest=digest)


async def insert(store: Store, id_: str, digest: str = "old") -> None:
    assert await store.insert(version(id_), indexed(digest))


# ---- whose turn it is ------------------------------------------------------------------------------------------------


def test_one_has_the_turn_and_keeps_it_until_it_is_left(mongodb_uri, database_name):
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            turns = [await store.reindexing.take(name) for name in ("one", "other", "one", "other")]
            assert turns == [True, False, True, False]
            await store.reindexing.leave("other")
            assert not await store.reindexing.take("other")
            await store.reindexing.leave("one")
            assert await store.reindexing.take("other")
            assert not await store.reindexing.take("one")

    run(story)


def test_of_many_who_ask_for_the_turn_at_once_one_has_it(mongodb_uri, database_name):
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            turns = await asyncio.gather(*(store.reindexing.take(f"worker {n}") for n in range(20)))
            assert sorted(turns) == [False] * 19 + [True]

    run(story)


def test_a_turn_that_is_not_renewed_lapses_and_one_that_is_does_not(mongodb_uri, database_name, monkeypatch):
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            monkeypatch.setattr(reindex, "LEASE_MS", 60_000)
            await store.reindexing.take("dead")
            assert not await store.reindexing.take("next")
            monkeypatch.setattr(reindex, "LEASE_MS", 0)
            assert await store.reindexing.tell("dead", ROW)
            monkeypatch.setattr(reindex, "LEASE_MS", 60_000)
            while not await store.reindexing.take("next"):  # until MongoDB's clock has moved by a millisecond
                await asyncio.sleep(0)
            assert not await store.reindexing.tell("dead", ROW)
            assert (await store.reindexing.job())["owner"] == "next"

    run(story)


def test_a_job_that_changes_hands_has_run_since_it_was_begun(mongodb_uri, database_name):
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            turn = store.reindexing
            assert await turn.job() == {}
            await turn.take("one")
            await turn.tell("one", ROW)
            begun = await turn.job()
            assert (begun["state"], begun["types"], begun["held"]) == ("running", ROW, True)
            await turn.leave("one")
            assert (await turn.job())["held"] is False
            await turn.take("other")
            await turn.tell("other", {}, ended=True)
            ended = await turn.job()
            assert (ended["state"], ended["since"], ended["owner"]) == ("done", begun["since"], "other")
            await asyncio.sleep(0.002)  # the clock of MongoDB counts milliseconds
            await turn.tell("other", ROW)
            assert (await turn.job())["since"] > begun["since"]

    run(story)


# ---- what is behind --------------------------------------------------------------------------------------------------


def test_what_has_another_digest_or_none_is_found_and_what_was_deleted_is_not(mongodb_uri, database_name, database):
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for id_, digest in (("a", "new"), ("b", "old"), ("c", "new")):
                await insert(store, id_, digest)
            turn = store.reindexing
            assert await turn.types() == ["Task"]
            assert sorted(await turn.digests("Task")) == ["new", "old"]
            assert await turn.other("Task", ["new"]) == "old"
            assert await turn.other("Task", ["new", "old"]) is None
            assert await turn.counts("Task", ["new"]) == (3, 1)
            database.resources.update_one({"_id": "Task/c"}, {"$unset": {"ix": 1}})
            assert await turn.other("Task", ["new", "old"]) == ""
            assert sorted(await turn.digests("Task")) == ["new", "old"]
            assert sorted(stale.key for stale in await turn.batch("Task", ["new"], 10)) == ["Task/b", "Task/c"]
            database.resources.update_many({}, {"$set": {"deleted": True}})
            assert await turn.other("Task", ["new"]) is None
            assert await turn.counts("Task", []) == (0, 0)
            assert await turn.other("Patient", []) is None

    run(story)


def test_the_looks_are_answered_by_the_index_alone(mongodb_uri, database_name, database):
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for number in range(50):
                await insert(store, f"t{number}", "new")

    run(story)
    wanted = {"type": "Task", "deleted": False, "ix.g": {"$nin": ["new"]}}
    look = database.resources.find(wanted, {"ix.g": 1, "_id": 0}).limit(1).explain()["executionStats"]
    assert look["totalDocsExamined"] == 0
    assert look["totalKeysExamined"] <= 2
    count = database.command("explain", {"count": "resources", "query": wanted}, verbosity="executionStats")
    assert count["executionStats"]["totalDocsExamined"] == 0
    types = database.command("explain", {"distinct": "resources", "key": "type"}, verbosity="executionStats")
    assert types["executionStats"]["totalKeysExamined"] <= 2


def test_a_batch_of_large_resources_is_a_small_one(mongodb_uri, database_name, monkeypatch):
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for number in range(5):
                await store.insert(version(f"t{number}", text='{"text":"%s"}' % ("a" * 1000)), indexed("old"))
            assert len(await store.reindexing.batch("Task", [], 4)) == 4
            monkeypatch.setattr(reindex, "BATCH_BYTES_MAX", 1500)
            assert len(await store.reindexing.batch("Task", [], 4)) == 2

    run(story)


# ---- mending it ------------------------------------------------------------------------------------------------------


def test_index_values_and_access_entries_are_put_in_place_and_nothing_else_is_changed(
    mongodb_uri, database_name, database
):
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            await store.insert(version("a", text='{"a": 1}'), indexed("old", "code=*old"))
            before = database.resources.find_one()
            [stale] = await store.reindexing.batch("Task", ["new"], 10)
            keys = {"code=*new": None, "owner=Organization/1": None, "status=*draft": None}
            made = Index(keys, {"date": "2026"}, {"date": [{"lo": "a", "hi": "b"}]}, {}, "new")
            assert await store.reindexing.mend([(stale, made)]) == 1
            seq = str(before["seq"])
            after = database.resources.find_one()
            assert after.pop("ix") == index_document(made, "Task", seq) != before["ix"]
            assert after.pop("a") == ["code=*new", "owner=Organization/1"]
            del before["ix"], before["a"]
            assert after == before
            assert database.history.count_documents({}) == 0

    run(story)


def test_whoever_wrote_meanwhile_wins(mongodb_uri, database_name, database):
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for id_ in ("written", "deleted", "mended", "left"):
                await insert(store, id_)
            batch = await store.reindexing.batch("Task", ["new"], 10)
            await raise_number(store, "written")
            database.resources.update_one({"_id": "Task/deleted"}, {"$set": {"deleted": True, "version": 2}})
            database.resources.update_one({"_id": "Task/mended"}, {"$set": {"ix": {"g": "newer"}}})
            assert await store.reindexing.mend([(stale, indexed("new")) for stale in batch]) == 1
            digests = {row["_id"]: row.get("ix", {}).get("g") for row in database.resources.find()}
            assert digests["Task/left"] == "new"
            assert digests["Task/mended"] == "newer"
            assert "new" not in (digests["Task/written"], digests["Task/deleted"])

    run(story)


def test_a_resource_of_an_older_build_gets_its_place_in_the_order_too(mongodb_uri, database_name, database):
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            await insert(store, "a")
            database.resources.update_one({}, {"$set": {"ix": {"token": ["identifier=a|"]}}, "$unset": {"seq": 1}})
            [stale] = await store.reindexing.batch("Task", ["new"], 10)
            assert stale.digest is None
            assert await store.reindexing.mend([(stale, indexed("new", "code=*a"))]) == 1
            after = database.resources.find_one()
            assert isinstance(after["seq"], ObjectId)
            assert after["ix"] == {"g": "new", "k": ["code=*a"]}

    run(story)


# ---- what the digests stand for --------------------------------------------------------------------------------------


def test_a_note_is_kept_as_it_was_first_written(mongodb_uri, database_name):
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            await store.reindexing.note({"d1": {"parameters": {"a": "1"}}, "d2": {"parameters": {}}})
            await store.reindexing.note({"d1": {"parameters": {"a": "2"}}})
            await store.reindexing.note({})
            noted = await store.reindexing.noted(["d1", "d3"])
            assert {digest: note["parameters"] for digest, note in noted.items()} == {"d1": {"a": "1"}}

    run(story)

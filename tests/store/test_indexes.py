"""The indexes: built once, missed when they are not there, and used by every question that is asked often."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient

from phb_fhir.query import HistoryQuery
from phb_fhir.store.filters import current_filter, superseded_filter
from phb_fhir.store.indexes import INDEXES, LOCK_LIFE_S, RETIRED
from tests.store.stores import MOMENT, connected, opened, raise_number, run

Admin = MongoClient[dict[str, Any]]

NAMES = {f"{collection}.{model.document['name']}" for collection, models in INDEXES.items() for model in models}


def present(admin: Admin, name: str) -> set[str]:
    database = admin[name]
    listed = {
        (kind, index["name"]) for kind in database.list_collection_names() for index in database[kind].list_indexes()
    }
    return {f"{kind}.{index}" for kind, index in listed if index != "_id_"}


def test_opening_builds_every_index_and_opening_again_changes_nothing(
    mongodb_uri: str, database_name: str, mongodb_admin: Admin
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            assert await store.check_ready() == []
            assert present(mongodb_admin, database_name) == NAMES
            await store.open()
            assert present(mongodb_admin, database_name) == NAMES

    run(story)


def test_several_workers_may_open_an_empty_database_at_once(
    mongodb_uri: str, database_name: str, mongodb_admin: Admin
) -> None:
    async def story() -> None:
        async with (
            connected(mongodb_uri, database_name) as one,
            connected(mongodb_uri, database_name) as two,
            connected(mongodb_uri, database_name) as three,
        ):
            await asyncio.gather(one.open(), two.open(), three.open())
            assert present(mongodb_admin, database_name) == NAMES

    run(story)


def test_indexes_that_are_missing_are_named_and_opening_brings_them_back(
    mongodb_uri: str, database_name: str, mongodb_admin: Admin
) -> None:
    async def story() -> None:
        async with connected(mongodb_uri, database_name) as store:
            assert set(await store.check_ready()) == {f"the index {name} is missing" for name in NAMES}
            await store.open()
            mongodb_admin[database_name]["resources"].drop_index("key_seq")
            mongodb_admin[database_name]["history"].drop_index("at")
            said = ["the index resources.key_seq is missing", "the index history.at is missing"]
            assert sorted(await store.check_ready()) == sorted(said)
            await raise_number(store, "a")
            await store.open()
            assert await store.check_ready() == []
            assert (await store.read("Task", "a")) is not None

    run(story)


def test_locks_go_away_by_themselves(mongodb_uri: str, database_name: str, mongodb_admin: Admin) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name):
            life = mongodb_admin[database_name]["locks"].index_information()["life"]
            assert (life["key"], life["expireAfterSeconds"]) == ([("at", 1)], LOCK_LIFE_S)

    run(story)


def test_what_an_earlier_release_indexed_goes_and_what_somebody_else_did_stays(
    mongodb_uri: str, database_name: str, mongodb_admin: Admin
) -> None:
    async def story() -> None:
        resources = mongodb_admin[database_name]["resources"]
        for name in RETIRED["resources"]:
            resources.create_index([(name, 1), ("_id", 1)], name=name)
        resources.create_index([("method", 1)], name="theirs")
        async with connected(mongodb_uri, database_name) as one, connected(mongodb_uri, database_name) as two:
            await asyncio.gather(one.open(), two.open())
            assert present(mongodb_admin, database_name) == NAMES | {"resources.theirs"}
            assert await one.check_ready() == []

    run(story)


# --- used by the history; what searches use is in test_plan ---

FEW = 400
NEWEST_CURRENT = [("at", -1), ("_id", -1)]
NEWEST_SUPERSEDED = [("at", -1), ("key", -1)]
SINCE = MOMENT + timedelta(seconds=FEW // 2)


@pytest.fixture(scope="module")
def filled(mongodb_uri: str, mongodb_admin: Admin) -> Any:
    """A database with its indexes and documents enough that a plan is a choice."""
    name = f"test_{uuid4().hex}"

    async def story() -> None:
        async with opened(mongodb_uri, name):
            pass

    run(story)
    database = mongodb_admin[name]
    kinds = ("Task", "Patient", "Account", "ChargeItem")
    moments = [MOMENT + timedelta(seconds=number) for number in range(FEW)]
    database["resources"].insert_many(
        {"_id": f"{kinds[n % 4]}/{n}", "type": kinds[n % 4], "id": str(n), "at": at, "deleted": n % 10 == 0}
        for n, at in enumerate(moments)
    )
    database["history"].insert_many(
        {"_id": f"{kinds[n % 4]}/{n % 40}/{n}", "key": f"{kinds[n % 4]}/{n % 40}", "type": kinds[n % 4], "at": at}
        for n, at in enumerate(moments)
    )
    yield database
    mongodb_admin.drop_database(name)


def stages(plan: dict[str, Any]) -> set[str]:
    """The stages of a plan, from the winner down."""
    below = [plan["inputStage"]] if "inputStage" in plan else plan.get("inputStages", [])
    return {plan["stage"]}.union(*(stages(each) for each in below))


def plan_of(database: Any, collection: str, wanted: dict[str, Any], order: list[tuple[str, int]]) -> set[str]:
    explained = database[collection].find(wanted).sort(order).limit(10).explain()
    winning = explained["queryPlanner"]["winningPlan"]
    return stages(winning.get("queryPlan", winning))


SORTED_BY_INDEX = [
    ("resources", current_filter(HistoryQuery("Task")), NEWEST_CURRENT),
    ("resources", current_filter(HistoryQuery()), NEWEST_CURRENT),
    ("resources", current_filter(HistoryQuery(since=SINCE)), NEWEST_CURRENT),
    ("history", superseded_filter(HistoryQuery("Task", "4")), NEWEST_SUPERSEDED),
    ("history", superseded_filter(HistoryQuery("Task")), NEWEST_SUPERSEDED),
    ("history", superseded_filter(HistoryQuery()), NEWEST_SUPERSEDED),
    ("history", superseded_filter(HistoryQuery("Task", since=SINCE)), NEWEST_SUPERSEDED),
]


@pytest.mark.parametrize(("collection", "wanted", "order"), SORTED_BY_INDEX)
def test_a_page_of_a_history_is_read_off_an_index_in_its_order(
    filled: Any, collection: str, wanted: dict[str, Any], order: list[tuple[str, int]]
) -> None:
    plan = plan_of(filled, collection, wanted, order)
    assert "IXSCAN" in plan
    assert not plan & {"COLLSCAN", "SORT"}


def test_the_plans_are_those_of_the_indexes(filled: Any) -> None:
    # the twin of the one above: a question that no index serves is seen to be one
    assert "COLLSCAN" in plan_of(filled, "resources", {"method": "PUT"}, [("method", 1)])

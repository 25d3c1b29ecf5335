"""Purchases that are written at once, when something is wrong with one of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx
from pymongo import MongoClient

from phb_fhir.app import at_work
from phb_fhir.change import Committed, Create
from phb_fhir.fhir.codec import dumps, loads
from phb_fhir.interactions.commit import commit
from phb_fhir.settings import Settings
from tests.running import RunningServer
from tests.stories import massage, tell


def test_a_fault_with_one_is_for_that_one_alone(mongodb_uri: str, database_name: str) -> None:
    with (
        RunningServer(mongodb_uri, database_name) as server,
        httpx.Client(base_url=server.base, headers={"Content-Type": "application/fhir+json"}, timeout=60) as client,
    ):
        tell(client)
        answers = asyncio.run(written(server.settings, [massage(f"AT-ONCE-{n}") for n in range(4)], at_fault=2))
        kinds = [type(answer) for answer in answers]
        assert kinds == [Committed, Committed, TypeError, Committed]
        assert {f"AT-ONCE-{n}" for n in range(4)} & _references(client, "jill") == {
            "AT-ONCE-0",
            "AT-ONCE-1",
            "AT-ONCE-3",
        }


def test_a_budget_that_is_held_up_holds_up_no_other(mongodb_uri: str, database_name: str) -> None:
    with (
        RunningServer(mongodb_uri, database_name) as server,
        httpx.Client(base_url=server.base, headers={"Content-Type": "application/fhir+json"}, timeout=60) as client,
        MongoClient[dict[str, Any]](mongodb_uri) as others,
    ):
        tell(client)
        tell(client, name="ben")
        held, free = [massage("HELD")], [massage(f"FREE-{n}", name="ben") for n in range(3)]
        asyncio.run(beside_each_other(server.settings, others, held, free))
        assert _references(client, "jill") >= {"HELD"}
        assert _references(client, "ben") >= {"FREE-0", "FREE-1", "FREE-2"}


def _references(client: httpx.Client, name: str) -> set[str]:
    found = client.get("/ChargeItem", params={"account": f"Account/{name}-budget", "_count": "100"}).json()
    return {one["resource"]["identifier"][0]["value"] for one in found["entry"]}


async def beside_each_other(
    settings: Settings, others: MongoClient[dict[str, Any]], held: list[dict[str, Any]], free: list[dict[str, Any]]
) -> None:
    """Record some on a budget whose balance another process is changing, then some on another budget, which are first to be written."""
    first, second = (
        [Create("ChargeItem", one["identifier"][0]["value"], loads(dumps(one), depth_max=50)) for one in several]
        for several in (held, free)
    )
    async with at_work(settings) as context:
        balances = others[settings.mongodb_database]["balances"]
        with others.start_session() as session, session.start_transaction():
            balances.update_one({"_id": "Account/jill-budget"}, {"$set": {"touched": True}}, session=session)
            waiting = asyncio.gather(*(commit(context, change) for change in first))
            await asyncio.sleep(0)  # they have asked before the others do
            await asyncio.gather(*(commit(context, change) for change in second))
            assert not waiting.done()
            session.abort_transaction()
        await waiting


async def written(settings: Settings, purchases: list[dict[str, Any]], *, at_fault: int) -> list[Any]:
    """What comes of recording them in one moment, when the content of one is what no validation would have let through."""
    changes = [Create("ChargeItem", f"at-once-{n}", loads(dumps(one), depth_max=50)) for n, one in enumerate(purchases)]
    changes[at_fault] = replace(
        changes[at_fault], resource={**changes[at_fault].resource, "note": {1, 2}}, is_governed=True
    )
    async with at_work(settings) as context:
        return await asyncio.gather(*(commit(context, change) for change in changes), return_exceptions=True)

"""Purchases that are written at once, when something is wrong with one of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx

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
        there = client.get("/ChargeItem", params={"account": "Account/jill-budget", "_count": "100"}).json()["entry"]
    references = {one["resource"]["identifier"][0]["value"] for one in there}
    assert {f"AT-ONCE-{n}" for n in range(4)} & references == {"AT-ONCE-0", "AT-ONCE-1", "AT-ONCE-3"}


async def written(settings: Settings, purchases: list[dict[str, Any]], *, at_fault: int) -> list[Any]:
    """What comes of recording them in one moment, when the content of one is what no validation would have let through."""
    changes = [Create("ChargeItem", f"at-once-{n}", loads(dumps(one), depth_max=50)) for n, one in enumerate(purchases)]
    changes[at_fault] = replace(
        changes[at_fault], resource={**changes[at_fault].resource, "note": {1, 2}}, is_governed=True
    )
    async with at_work(settings) as context:
        return await asyncio.gather(*(commit(context, change) for change in changes), return_exceptions=True)

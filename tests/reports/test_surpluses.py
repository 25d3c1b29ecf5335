"""Which budgets have a surplus, over the whole record: the most weeks first, and no more of them than are asked for (R87, R88)."""

from __future__ import annotations

import asyncio
from datetime import date

import httpx

from phb_fhir.app import at_work
from phb_fhir.reports.surpluses import Surpluses, read_surpluses
from phb_fhir.settings import Settings
from tests.running import RunningServer
from tests.stories import FAMILY, tell

LATER = date(2027, 6, 1)  # by when hardly anything of the stories' budgets has been used


async def found(settings: Settings, on: date, most: int) -> Surpluses:
    async with at_work(settings) as context:
        return await read_surpluses(context, on, most=most)


def test_all_budgets_are_gone_through_and_a_list_that_is_cut_says_so(mongodb_uri: str, database_name: str) -> None:
    with (
        RunningServer(mongodb_uri, database_name) as server,
        httpx.Client(base_url=server.base, headers={"Content-Type": "application/fhir+json"}, timeout=60) as client,
    ):
        tell(client)
        tell(client, FAMILY)
        whole = asyncio.run(found(server.settings, LATER, 10))
        cut = asyncio.run(found(server.settings, LATER, 1))
        early = asyncio.run(found(server.settings, date(2026, 11, 22), 10))
    weeks = [one.weeks for one in whole.budgets]
    assert weeks == sorted(weeks, reverse=True)
    assert "Account/jill-budget" in {one.budget for one in whole.budgets}
    assert "Account/asha-joint" not in {one.budget for one in whole.budgets}  # its money is that of its parts
    assert (whole.more, cut.more, len(cut.budgets)) == (False, True, 1)
    assert "Account/jill-budget" not in {one.budget for one in early.budgets}

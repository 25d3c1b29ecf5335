"""Is the record whole? All that is kept beside the resources is worked out anew from what it was made of, and held against what is kept.

    balance      a budget's balance is what its entries come to
    numbering    a ledger's entries are numbered from 1, and none is left out
    entry        an entry moves what its kind moves, and is not older than the one before it
    cause        the version that caused an entry is there, and so is what it is about; the entry's day and funder are what they make them
    allocation   what a budget was given is what its amounts and parts say (`rules/allocation`)
    position     what a purchase or payment holds of budgets is what it says (`rules/purchase`, `rules/payment`)
    index        a resource is found by what is in it
    content      the text of a resource is that of its place: type, id, version, time
    history      the versions of a resource are 1, 2, 3, … without a gap, each ending where the next begins
    reference    what a resource refers to here is there

Two sides are asked, and neither is believed: nothing here goes by a balance that a rule has gone by. The record is gone through in steps
of one instant each (`store/sweep`), so that it may be written meanwhile; memory does not grow with it. Nothing is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from phb_fhir.fhir.codec import Resource
from phb_fhir.interactions.contents import relative
from phb_fhir.interactions.context import Context
from phb_fhir.reports.check_ledger import check_account
from phb_fhir.reports.check_positions import check_positions
from phb_fhir.reports.check_resources import check_current, check_references, check_versions, read_content
from phb_fhir.reports.drift import Drift, Looked
from phb_fhir.store.documents import Document
from phb_fhir.store.sweep import Still, Sweep

STEP = 100  # resources, or keys of the history, in one step


async def check(context: Context, looked: Looked) -> AsyncGenerator[Drift, None]:
    """Everything that does not agree, as it is found. `looked` is kept up to date meanwhile. Raises Rejected (503)."""
    sweep = context.store.sweep
    async for drift in _ledger(context, sweep, looked):
        yield drift
    async for drift in _resources(context, sweep, looked):
        yield drift
    async for drift in _left_behind(sweep):
        yield drift


async def _ledger(context: Context, sweep: Sweep, looked: Looked) -> AsyncGenerator[Drift, None]:
    after = ""
    while True:
        async with sweep.moment() as still:
            account = await still.next_account(after)
            if account is None:
                return
            after = account
            looked.accounts += 1
            async for drift in check_account(context, still, account, looked):
                yield drift


async def _resources(context: Context, sweep: Sweep, looked: Looked) -> AsyncGenerator[Drift, None]:
    after = ""
    while True:
        async with sweep.moment() as still:
            documents = await still.resources(after, STEP)
            if not documents:
                return
            after = str(documents[-1]["_id"])
            looked.resources += len(documents)
            async for drift in _step(context, still, documents, looked):
                yield drift


async def _step(
    context: Context, still: Still, documents: list[Document], looked: Looked
) -> AsyncGenerator[Drift, None]:
    contents: dict[str, Resource | None] = {}
    for document in documents:
        await asyncio.sleep(0)  # each takes its time, and requests are waiting
        key = str(document["_id"])
        try:
            content = read_content(document)
            found = list(check_current(context, document, content, looked))
            contents[key] = relative(context, content)
        except Exception as error:  # noqa: BLE001 - whatever was done to it must not hide what else is wrong
            found = [Drift("content", key, f"Its text cannot be read as a resource: {error}"[:500])]
        for drift in found:
            yield drift
    async for drift in check_versions(still, documents, looked):
        yield drift
    for drift in await check_positions(context, still, contents):
        yield drift
    there = {key: content for key, content in contents.items() if content is not None}
    async for drift in check_references(context, still, there, looked):
        yield drift


async def _left_behind(sweep: Sweep) -> AsyncGenerator[Drift, None]:
    """Histories of what is not there at all."""
    after = ""
    while True:
        async with sweep.moment() as still:
            keys = await still.keys_in_history(after, STEP)
            if not keys:
                return
            after = keys[-1]
            there = await still.current(keys)
            for key in keys:
                if key not in there:
                    yield Drift("history", key, "It has superseded versions, and none that is current.")

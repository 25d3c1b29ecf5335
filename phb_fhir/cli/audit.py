"""`phb-fhir audit`: is the audit trail whole, and where does it end?

It reads the database itself and writes nothing, so it tells the truth whether or not a server runs, and to whoever may read alone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import typer

from phb_fhir.cli.database import database
from phb_fhir.interactions.audit_check import Kept, Verdict, verify
from phb_fhir.outcome import Rejected
from phb_fhir.settings import WrongSetting
from phb_fhir.store.embedded import CannotStart
from phb_fhir.store.open import open_store
from phb_fhir.store.store import Limits
from phb_fhir.wire.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phb_fhir.security.audit import Head
    from phb_fhir.settings import Settings
    from phb_fhir.store.store import Store

EXIT_BROKEN = 1


def audit_verify(settings: Settings, *, since: int, heads: Sequence[str], as_json: bool) -> int:
    """Says whether the trail is whole; gives the code to end with, 1 where it is not. Raises CannotStart, WrongSetting."""
    kept = [_kept(text) for text in heads]
    with database(settings, is_ours=False) as reached:
        verdict = asyncio.run(_verify(reached, since, kept))
    if as_json:
        typer.echo(orjson.dumps(_json(verdict)).decode())
    else:
        for line in lines(verdict):
            typer.echo(line)
    return EXIT_BROKEN if verdict.broken is not None else 0


def audit_head(settings: Settings) -> None:
    """Says where the trail ends, to be kept where nobody who can write to the database can. Raises CannotStart."""
    with database(settings, is_ours=False) as reached:
        typer.echo(str(asyncio.run(_head(reached))))


def _kept(text: str) -> Kept:
    try:
        return Kept.parse(text)
    except ValueError:
        raise WrongSetting(f'--head "{text}" is not what `phb-fhir audit head` prints: 4711:9f86…') from None


async def _verify(settings: Settings, since: int, kept: Sequence[Kept]) -> Verdict:
    store = _open(settings)
    try:
        return await store.attended(
            verify(store.trail, since=since, kept=kept), silent_max_s=settings.database_wait_max_s
        )
    except Rejected as rejected:
        raise CannotStart(rejected.issues[0].text) from None
    finally:
        await store.close()


async def _head(settings: Settings) -> Head:
    store = _open(settings)
    try:
        return await store.trail.head()
    except Rejected as rejected:
        raise CannotStart(rejected.issues[0].text) from None
    finally:
        await store.close()


def _open(settings: Settings) -> Store:
    limits = Limits(
        settings.query_time_max_ms, settings.commit_time_max_s, settings.read_batch_max, settings.commit_batch_max
    )
    return open_store(settings, limits, Metrics())


def lines(verdict: Verdict) -> list[str]:
    """What is said, for a person."""
    if verdict.broken is not None:
        return [str(verdict.broken), f"Before that, {verdict.records} records in {verdict.blocks} blocks are whole."]
    said = [
        f"The audit trail is whole: {verdict.records} records in {verdict.blocks} blocks.",
        f"Head: {verdict.head}",
        f"Published as AuditEvents: {verdict.published} of {verdict.head.block} blocks.",
    ]
    if not verdict.head.number:
        said.append("Nothing was ever recorded: a server with --open keeps no trail.")
    if verdict.pending:
        said.append(f"Not sealed yet: {verdict.pending} records of changes. A server that runs does that in seconds.")
    if verdict.strangers:
        said.append(f"AuditEvents that are not of this trail, and do not say so: {verdict.strangers}.")
    return said


def _json(verdict: Verdict) -> dict[str, Any]:
    broken = verdict.broken
    return {
        "whole": broken is None,
        "records": verdict.records,
        "blocks": verdict.blocks,
        "head": str(verdict.head),
        "published": verdict.published,
        "pending": verdict.pending,
        "strangers": verdict.strangers,
        "broken": None if broken is None else {"record": broken.number, "block": broken.block, "text": broken.text},
    }

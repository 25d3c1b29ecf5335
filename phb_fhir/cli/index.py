"""`phb-fhir index`: how far resources are indexed by the search parameters of this moment.

It looks in the database itself, so it tells the truth whether or not a server runs: how many resources of each type still have
index values of other parameters, and who is at work on them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from phb_fhir.app import at_work
from phb_fhir.cli.database import database
from phb_fhir.fhir.dates import instant_text
from phb_fhir.interactions.reindex import counts, state_of
from phb_fhir.outcome import Rejected
from phb_fhir.store.embedded import CannotStart

if TYPE_CHECKING:
    from phb_fhir.settings import Settings
    from phb_fhir.store.reindex import Counts

EXIT_BEHIND = 1


class Seen(NamedTuple):
    """What is there: of each type how many resources there are and how many are behind, and what the worker says."""

    types: Mapping[str, Counts]
    state: Mapping[str, Any]


def index(settings: Settings) -> int:
    """Says it; gives the code to end with, 1 while something is behind. Raises CannotStart."""
    with database(settings) as reached:
        seen = asyncio.run(_look(reached))
    for line in lines(seen):
        typer.echo(line)
    return EXIT_BEHIND if any(row.stale for row in seen.types.values()) else 0


async def _look(settings: Settings) -> Seen:
    try:
        async with at_work(settings) as context:
            return Seen(await counts(context), await state_of(context.store))
    except Rejected as rejected:
        raise CannotStart(rejected.issues[0].text) from None


def lines(seen: Seen) -> list[str]:
    """What is said, for a person."""
    behind = {type_: row for type_, row in seen.types.items() if row.stale}
    total = sum(row.total for row in seen.types.values())
    said = [f"{type_}: {row.total - row.stale} of {row.total} are indexed" for type_, row in behind.items()]
    said += [f"{type_}: {row['failed']} cannot be read and have no index values" for type_, row in _failed(seen)]
    if not behind:
        return [*said, f"All resources ({total}) are indexed by the search parameters of this moment."]
    if seen.state["status"] == "running":
        return [*said, f"Under way since {instant_text(seen.state['since'])}, by {seen.state['by']}."]
    return [*said, "Nobody is at it. A server that runs begins within a minute."]


def _failed(seen: Seen) -> list[tuple[str, Mapping[str, int]]]:
    return [(type_, row) for type_, row in sorted(seen.state.get("types", {}).items()) if row["failed"]]

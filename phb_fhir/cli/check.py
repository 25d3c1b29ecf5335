"""`phb-fhir check`: is the record whole? All of it is worked out anew, beside a server or without one, and nothing is written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Table

from phb_fhir.app import at_work
from phb_fhir.cli.database import database
from phb_fhir.outcome import Rejected
from phb_fhir.reports.check import check
from phb_fhir.reports.drift import Drift, Looked, summary
from phb_fhir.store.embedded import CannotStart

if TYPE_CHECKING:
    from phb_fhir.interactions.context import Context
    from phb_fhir.settings import Settings

EXIT_DRIFT = 1
SHOWN_MAX = 1_000  # rows; the rest is counted
_TELL_S = 0.5


def check_record(settings: Settings, *, as_json: bool) -> int:
    """Says what does not agree; gives the code to end with, 1 where anything does not. Raises CannotStart."""
    with database(settings) as reached:
        found, count, looked = asyncio.run(_check(reached))
    if as_json:
        typer.echo(orjson.dumps(_json(found, count, looked)).decode())
    else:
        show(Console(), found, count, looked)
    return EXIT_DRIFT if count else 0


async def _check(settings: Settings) -> tuple[list[Drift], int, Looked]:
    """What was found, at most SHOWN_MAX of it, how much there is of it, and how much was looked at."""
    found: list[Drift] = []
    looked = Looked()
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    try:
        async with at_work(settings) as context:
            with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
                task = progress.add_task("Looking through the record", total=None)
                teller = asyncio.create_task(_tell(progress, task, looked))
                try:
                    count = await context.store.attended(
                        _look(context, looked, found), silent_max_s=settings.database_wait_max_s
                    )
                finally:
                    teller.cancel()
    except Rejected as rejected:
        raise CannotStart(rejected.issues[0].text) from None
    return found, count, looked


async def _look(context: Context, looked: Looked, found: list[Drift]) -> int:
    count = 0
    async for drift in check(context, looked):
        count += 1
        if len(found) < SHOWN_MAX:
            found.append(drift)
    return count


async def _tell(progress: Progress, task: TaskID, looked: Looked) -> None:
    while True:
        progress.update(task, description=summary(looked))
        await asyncio.sleep(_TELL_S)


def show(console: Console, found: list[Drift], count: int, looked: Looked) -> None:
    """For a person: a table of what does not agree, and what was looked at."""
    if found:
        table = Table(title="What does not agree", title_justify="left")
        table.add_column("Kind")
        table.add_column("Where", overflow="fold")
        table.add_column("How", overflow="fold")
        for drift in found:
            table.add_row(drift.kind, drift.key, drift.text)
        console.print(table)
    if count > len(found):
        console.print(f"{count - len(found)} more are not shown.")
    console.print(summary(looked), soft_wrap=True)
    if looked.behind:
        text = f"{looked.behind} resources are still to be indexed anew (phb-fhir index); their index values were not compared."
        console.print(text, soft_wrap=True)
    said = "One thing does not agree." if count == 1 else f"{count} things do not agree."
    console.print(said if count else "Everything agrees.")


def _json(found: list[Drift], count: int, looked: Looked) -> dict[str, object]:
    return {
        "whole": not count,
        "count": count,
        "found": [drift._asdict() for drift in found],
        "looked": {name: getattr(looked, name) for name in Looked.__slots__},
    }

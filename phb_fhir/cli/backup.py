"""`phb-fhir backup` and `phb-fhir restore`: the whole record in one file, beside servers that write; and the record of it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from phb_fhir.cli.database import database
from phb_fhir.store.backup import Counts, back_up, restore
from phb_fhir.store.documents import AUDIT, HISTORY, LEDGER, RESOURCES

if TYPE_CHECKING:
    from phb_fhir.settings import Settings

_CALLED = {
    RESOURCES: "resources",
    HISTORY: "earlier versions",
    LEDGER: "ledger entries",
    AUDIT: "blocks of the audit trail",
}


def make(settings: Settings, path: Path) -> None:
    """Writes the file and says what is in it. Raises CannotStart."""
    with database(settings) as reached, _telling("Backing up") as told:
        counts = back_up(str(reached.mongodb_uri), reached.mongodb_database, path, told)
    typer.echo(f"{path} has {in_words(counts)}, as they were at one instant.")


def take(settings: Settings, path: Path) -> None:
    """Makes the record of the file and says what to look at next. Raises CannotStart."""
    with database(settings) as reached, _telling("Restoring") as told:
        counts = restore(str(reached.mongodb_uri), reached.mongodb_database, path, told)
    typer.echo(f"Restored {in_words(counts)}.")
    typer.echo(
        "Now run `phb-fhir check`, and `phb-fhir audit verify --head N:HASH` with the last head that was kept elsewhere."
    )


def in_words(counts: Counts) -> str:
    *said, last = [f"{counts[name]:,} {called}" for name, called in _CALLED.items()]
    return f"{', '.join(said)} and {last}"


@contextmanager
def _telling(doing: str) -> Iterator[Callable[[Counts], None]]:
    """How far it went, for whoever waits at a terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(doing, total=None)
        yield lambda counts: progress.update(task, description=f"{doing}: {in_words(counts)}")

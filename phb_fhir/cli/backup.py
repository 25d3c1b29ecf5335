"""`phb-fhir backup` and `phb-fhir restore`: the whole record in one file, beside servers that write; and the record of it again."""

from __future__ import annotations

import os
import platform
import pwd
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from phb_fhir.cli.database import database
from phb_fhir.fhir.dates import to_millisecond
from phb_fhir.security.audit import WORDS_NOW, Record, Who, bounded_path, instant
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
        by = by_command("backup", path)
        counts = back_up(str(reached.mongodb_uri), reached.mongodb_database, path, told, by)
    typer.echo(f"{path} has {in_words(counts)}, as they were at one instant.")


def take(settings: Settings, path: Path) -> None:
    """Makes the record of the file and says what to look at next. Raises CannotStart."""
    with database(settings) as reached, _telling("Restoring") as told:
        by = by_command("restore", path)
        counts = restore(str(reached.mongodb_uri), reached.mongodb_database, path, told, by)
    typer.echo(f"Restored {in_words(counts)}.")
    typer.echo(
        "Now run `phb-fhir check`, and `phb-fhir audit verify --head N:HASH` with the last head that was kept elsewhere."
    )


def by_command(name: str, path: Path) -> Record:
    """What stands in the audit trail of it: the user of the operating system, the command, and the file without its folder."""
    user, machine = _user(), platform.node() or "?"
    who = Who(subject=user, client=f"phb-fhir {name}", name=f"{user} (a user of the machine {machine})")
    at = instant(to_millisecond(datetime.now(UTC)))
    return Record(at, str(uuid.uuid4()), "", name, bounded_path(_printable(path.name)), 200, who, words=WORDS_NOW)


def _user() -> str:
    """By the operating system, and not by what the environment says."""
    try:
        return _printable(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:
        return f"uid {os.getuid()}"


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


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

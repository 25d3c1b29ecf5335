"""`phb-fhir packages`: install FHIR packages, take them away again, list those that are installed, build our own.

The record may be in use meanwhile. A command works on the same database as the servers (`cli/database`), in a transaction of
its own, and they follow what it changes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from phb_fhir.app import at_work
from phb_fhir.change import Effect
from phb_fhir.cli.database import database
from phb_fhir.data import data_path
from phb_fhir.definitions.guide import read_guide
from phb_fhir.definitions.load import load
from phb_fhir.definitions.package import Package, WrongPackage, build_package, read_package
from phb_fhir.definitions.registry import Registry
from phb_fhir.interactions import packages
from phb_fhir.outcome import Rejected
from phb_fhir.store.embedded import CannotStart

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from phb_fhir.interactions.packages import Installed, Problem, Uninstalled
    from phb_fhir.settings import Settings

PROBLEMS_SHOWN_MAX = 20
_WORDS = {Effect.CREATED: "new", Effect.UPDATED: "updated", Effect.UNCHANGED: "unchanged"}


def install(settings: Settings, files: Sequence[Path]) -> None:
    """Installs them, all or none, and says what came of it. Raises WrongPackage or CannotStart."""
    definitions = load()
    found = [read_package(file, definitions) for file in files]
    with database(settings) as reached:
        for one in asyncio.run(_install(reached, found)):
            _say_installed(one)


def uninstall(settings: Settings, name: str) -> None:
    """Takes a package away, and says what came of it. Raises WrongPackage or CannotStart."""
    with database(settings) as reached:
        done = asyncio.run(_uninstall(reached, name))
    if done is None:
        raise WrongPackage(f"No package {name} is installed: phb-fhir packages list shows those that are.")
    typer.echo(f"{done.label}: {_definitions(done.gone)} deleted.")
    if done.of_others:
        typer.echo(
            f"  {len(done.of_others)} stay, because another package has brought them, too: {_some(done.of_others)}."
        )
    if done.changed:
        typer.echo(f"  {len(done.changed)} stay, because somebody has changed them since: {_some(done.changed)}.")


def list_installed(settings: Settings) -> None:
    """Prints the packages that are installed. Raises CannotStart."""
    with database(settings) as reached:
        found = asyncio.run(_installed(reached))
    if not found:
        typer.echo("No package is installed.")
        return
    for note in found:
        definitions = _definitions(len(note["resources"]))
        typer.echo(f"{note['name']} {note['version']}: {definitions}, installed {note['at']}")


def build(folder: Path) -> None:
    """Writes the guide's package into `folder`. Raises WrongPackage."""
    guide = read_guide(data_path("profiles"))
    name, body = build_package(guide, Registry.of(load(), guide.resources))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    except OSError as error:
        raise WrongPackage(f"{folder / name} cannot be written: {error.strerror}.") from None
    typer.echo(folder / name)


# --- the record ---


async def _install(settings: Settings, found: Sequence[Package]) -> list[Installed]:
    try:
        async with at_work(settings) as context:
            problems = [problem for problem in packages.problems_in(context, found) if problem.issue.is_error]
            if problems:
                raise _not_installed(problems)
            return await packages.install(context, found)
    except Rejected as rejected:
        raise CannotStart(f"Nothing was installed. {rejected.issues[0].text}") from None


async def _uninstall(settings: Settings, name: str) -> Uninstalled | None:
    try:
        async with at_work(settings) as context:
            return await packages.uninstall(context, name)
    except Rejected as rejected:
        raise CannotStart(f"Nothing was uninstalled. {rejected.issues[0].text}") from None


async def _installed(settings: Settings) -> list[dict[str, Any]]:
    try:
        async with at_work(settings) as context:
            return await packages.installed(context)
    except Rejected as rejected:
        raise CannotStart(rejected.issues[0].text) from None


# --- what is said ---


def _not_installed(problems: Sequence[Problem]) -> WrongPackage:
    """Shows the problems; the sentence that sums them up."""
    out = Console(stderr=True, highlight=False)
    for problem in problems[:PROBLEMS_SHOWN_MAX]:
        text = f"{problem.package}, {problem.file}: {problem.issue.expression}: {problem.issue.text}"
        out.print(text, markup=False, soft_wrap=True)
    count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
    shown = f", of which {PROBLEMS_SHOWN_MAX} are shown" if len(problems) > PROBLEMS_SHOWN_MAX else ""
    return WrongPackage(f"Nothing was installed: the definitions have {count}{shown}.")


def _say_installed(one: Installed) -> None:
    counts = ", ".join(f"{one.effects[effect]} {word}" for effect, word in _WORDS.items() if one.effects.get(effect))
    typer.echo(f"{one.package.label}: {counts or 'nothing to do'}.")
    if one.package.others:
        typer.echo(f"  {one.package.others} resources define nothing, and were left in it.")
    if one.left_out:
        typer.echo(f"  {len(one.left_out)} are R4's own or this server's, which stand: {_some(one.left_out)}.")
    if one.missing:
        typer.echo(f"  It builds on packages that are not installed: {_some(one.missing)}.")


def _definitions(count: int) -> str:
    return "one definition" if count == 1 else f"{count} definitions"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"

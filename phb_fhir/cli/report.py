"""`phb-fhir report`: what the record says across budgets, for those who run them. It reads the database itself and writes nothing."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
import typer
from rich.console import Console
from rich.table import Column, Table

from phb_fhir.app import at_work
from phb_fhir.cli.database import database
from phb_fhir.fhir.money import sterling
from phb_fhir.outcome import Rejected
from phb_fhir.reports.reviews import OVERDUE_MAX, Overdue, OverdueReviews, read_overdue
from phb_fhir.reports.surpluses import SURPLUSES_MAX, Surplus, Surpluses, read_surpluses
from phb_fhir.rules.budget import LONDON
from phb_fhir.settings import WrongSetting
from phb_fhir.store.embedded import CannotStart

if TYPE_CHECKING:
    from phb_fhir.interactions.context import Context
    from phb_fhir.settings import Settings

EXIT_OVERDUE = 1
EXIT_SURPLUS = 1
WIDE = 400  # columns

T = TypeVar("T")

# ---- reviews -------------------------------------------------------------------------------------


def overdue_reviews(settings: Settings, *, on: str, as_json: bool) -> int:
    """Lists them; gives the code to end with, 1 where there are any. Raises CannotStart, WrongSetting."""
    day = _day("--on", on)
    with database(settings) as reached:
        found = asyncio.run(_read(reached, day, read_overdue))
    if as_json:
        typer.echo(orjson.dumps(_json(found)).decode())
    else:
        _tell(found)
    return EXIT_OVERDUE if found.reviews else 0


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text) if text else datetime.now(LONDON).date()
    except ValueError:
        raise WrongSetting(f'{option} "{text}" is not a date such as 2026-11-22.') from None


async def _read(settings: Settings, day: date, read: Callable[[Context, date], Awaitable[T]]) -> T:
    try:
        async with at_work(settings) as context:
            return await read(context, day)
    except Rejected as rejected:
        raise CannotStart(rejected.issues[0].text) from None


def _tell(found: OverdueReviews) -> None:
    out = _console()
    if not found.reviews:
        out.print(f"No review is overdue on {found.on}.", highlight=False)
        return
    table = _table(("Due", "Days over"), ("Review", "Budget", "Person", "Led by", "Why"))
    for one in found.reviews:
        table.add_row(*_row(one, found.on))
    out.print(table)
    count = len(found.reviews)
    out.print(f"{count} review{' is' if count == 1 else 's are'} overdue on {found.on}.", highlight=False)
    if found.more:
        out.print(f"There are more than these {OVERDUE_MAX}.", highlight=False)


def _console() -> Console:
    """The screen; what is not shown on one is as wide as it needs to be."""
    return Console(width=None if sys.stdout.isatty() else WIDE)


def _table(whole: tuple[str, ...], folded: tuple[str, ...]) -> Table:
    """A table of which nothing is cut off where the screen is narrow: dates and sums stay in one piece, and names go on in the next line."""
    columns = (*(Column(name, no_wrap=True) for name in whole), *(Column(name, overflow="fold") for name in folded))
    return Table(*columns, box=None)


def _row(one: Overdue, on: date) -> tuple[str, ...]:
    return (one.due.isoformat(), str(one.days(on)), one.task, one.budget, one.person, one.owner, one.purpose)


def _json(found: OverdueReviews) -> dict[str, Any]:
    rows = [
        {
            "review": one.task,
            "budget": one.budget,
            "person": one.person,
            "owner": one.owner,
            "purpose": one.purpose,
            "due": one.due.isoformat(),
            "days": one.days(found.on),
        }
        for one in found.reviews
    ]
    return {"on": found.on.isoformat(), "overdue": rows, "more": found.more}


# ---- surpluses -----------------------------------------------------------------------------------


def surpluses(settings: Settings, *, as_of: str, as_json: bool) -> int:
    """Lists the budgets whose money has built up; gives the code to end with, 1 where there are any. Raises CannotStart, WrongSetting."""
    day = _day("--as-of", as_of)
    with database(settings) as reached:
        found = asyncio.run(_read(reached, day, read_surpluses))
    if as_json:
        typer.echo(orjson.dumps(_surpluses_json(found)).decode())
    else:
        _tell_surpluses(found)
    return EXIT_SURPLUS if found.budgets else 0


def _tell_surpluses(found: Surpluses) -> None:
    out = _console()
    if not found.budgets:
        out.print(f"No budget has a surplus on {found.on}.", highlight=False)
        return
    table = _table(("Weeks", "Unspent", "A week", "Paid out"), ("Budget", "Person", "Commissioner", "Looked into"))
    for one in found.budgets:
        table.add_row(*_surplus_row(one))
    out.print(table)
    count = len(found.budgets)
    out.print(f"{count} budget{' has' if count == 1 else 's have'} a surplus on {found.on}.", highlight=False)
    if found.more:
        out.print(f"There are more than these {SURPLUSES_MAX}.", highlight=False)


def _surplus_row(one: Surplus) -> tuple[str, ...]:
    sums = (one.standing.unspent, one.standing.weekly, one.standing.advanced)
    who = (one.budget, one.person, one.owner, "yes" if one.is_asked_about else "no")
    return (str(one.weeks), *(sterling(pence) for pence in sums), *who)


def _surpluses_json(found: Surpluses) -> dict[str, Any]:
    """Amounts in pence."""
    rows = [
        {
            "budget": one.budget,
            "person": one.person,
            "owner": one.owner,
            "weeks": float(one.weeks),
            "unspent": one.standing.unspent,
            "weekly": one.standing.weekly,
            "due": one.standing.due,
            "used": one.standing.used,
            "advanced": one.standing.advanced,
            "review": one.is_asked_about,
        }
        for one in found.budgets
    ]
    return {"on": found.on.isoformat(), "surpluses": rows, "more": found.more}

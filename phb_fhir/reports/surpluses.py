"""Budgets whose money has built up (R87, R88): more than so many weeks' money unspent, as `rules/surplus` reckons it.

An advance and a review ask about a surplus by themselves; somebody who buys nothing writes nothing, and is found here. All ledgers are gone
through, some at a time. For a past day they are as they stood when it ended, and the budgets as they are now.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from phb_fhir.fhir.codec import Resource
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.facts import Facts
from phb_fhir.reports.balance import ledgers_of
from phb_fhir.reports.moments import day_of, last_instant
from phb_fhir.rules.around import tasks_about
from phb_fhir.rules.budget import is_budget, owner_of, person_of
from phb_fhir.rules.case import Asking, Read
from phb_fhir.rules.ledger import Ledger
from phb_fhir.rules.surplus import CODE, Standing, is_open, surplus_of

SURPLUSES_MAX = 10_000  # budgets that one report tells of
STEP = 200  # ledgers looked at together


@dataclass(frozen=True, slots=True)
class Surplus:
    """A budget that has one: whose it is, who pays for it, how it stands, and whether somebody is looking into it."""

    budget: str
    person: str
    owner: str
    standing: Standing
    is_asked_about: bool

    @property
    def weeks(self) -> Decimal:
        return self.standing.weeks


@dataclass(frozen=True, slots=True)
class Surpluses:
    """`more` says that there are others beside."""

    on: date
    budgets: tuple[Surplus, ...]
    more: bool


async def read_surpluses(context: Context, on: date, *, most: int = SURPLUSES_MAX) -> Surpluses:
    """The budgets with a surplus on a day, the most weeks first. Raises Rejected."""
    until = last_instant(on.isoformat()) if on < day_of(context.now()) else None
    found: list[Surplus] = []
    async for ledgers in _ledgers(context):
        found += await _among(context, ledgers, on, until)
        if len(found) > most:
            break
    rows = sorted(found[:most], key=lambda one: (-one.weeks, one.budget))
    return Surpluses(on, tuple(rows), len(found) > most)


async def _ledgers(context: Context) -> AsyncIterator[list[Ledger]]:
    after = ""
    while step := await context.store.ledger.next(after, count=STEP):
        yield step
        after = step[-1].account


async def _among(context: Context, ledgers: Sequence[Ledger], on: date, until: datetime | None) -> list[Surplus]:
    facts = Facts(context, context.store)
    known = {one.account: one for one in ledgers}
    if until is not None:
        known = await ledgers_of(context, list(known), until)
    return await facts.ask(_with_surplus(known, on))


def _with_surplus(ledgers: dict[str, Ledger], on: date) -> Asking[list[Surplus]]:
    accounts: dict[str, Resource | None] = yield Read(*ledgers)
    found = []
    for key, account in accounts.items():
        if account is None or not is_budget(account):
            continue
        standing = yield from surplus_of(account, ledgers[key], on)
        if standing is not None:
            asked = is_open((yield from tasks_about(CODE, key)))
            found.append(Surplus(key, person_of(account), owner_of(account), standing, asked))
    return found

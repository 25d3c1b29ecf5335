"""The statement of a budget over a time: what it began with, every movement of its money, and what is left (R12, R17, R150; E3).

A movement belongs to the instant it was recorded. So a statement of a time that is over never changes again, one that ends today ends
with what `$balance` says, and one begins with what the one before it ended with: but for a joint budget that somebody joined or left
meanwhile, as each is of the budgets it was made of at its end. The day that something was for stands beside it.

    opening + credits − debits − commitments = closing

Money for emergencies is reckoned apart (`contingency`), as in `reports/balance`: its lines change its sums and no others. Sums are whole,
whoever asks; names of purchases and documents that they may not see are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.reference import unversioned
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.seen import whole
from phb_fhir.reports.balance import contingency_of, ledgers_of, members_of, without_contingency
from phb_fhir.reports.moments import STEP
from phb_fhir.reports.purchases import Named, Trail, purchases_since, read_trails, too_much
from phb_fhir.rules.ledger import CONTINGENCY, NONE, Entry, Ledger, Sums, summed

LINES_MAX = 5_000


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums from a beginning to an end, in pence. What moves between parts of the same is neither credit nor debit."""

    opening: Sums
    credits: int
    debits: int
    commitments: int
    closing: Sums

    @property
    def adds_up(self) -> bool:
        return self.opening.available + self.credits - self.debits - self.commitments == self.closing.available


@dataclass(frozen=True, slots=True)
class Line:
    """One movement. `left` is what is available after it: of the budget, or of the money for emergencies, whichever it moves.

    `about` is the purchase or payment, `account` the budget whose ledger it is in, and `trail` all that is known of the purchase, where the
    one who asks may see these.
    """

    entry: Entry
    left: int
    about: Named
    account: str
    trail: Trail | None = None

    @property
    def change(self) -> int:
        """By how much it changes what is available: pence, less than nothing for what goes."""
        return self.entry.sums.available

    @property
    def is_contingency(self) -> bool:
        return self.entry.pot == CONTINGENCY


@dataclass(frozen=True, slots=True)
class Statement:
    """`start` and `end` are the first and the last instant. `purchases` are the trails of all that moved or changed meanwhile."""

    account: Resource
    start: datetime | None
    end: datetime
    tally: Tally
    contingency: Tally | None
    lines: tuple[Line, ...]
    purchases: tuple[Trail, ...]
    person: Named
    owner: Named

    @property
    def waiting(self) -> list[Trail]:
        """The purchases that wait for a decision as things stand."""
        return [one for one in self.purchases if one.status == "planned"]


async def read_statement(context: Context, account: Resource, start: datetime | None, end: datetime) -> Statement:
    """The statement of a budget. Raises Rejected (422) for more lines or purchases than fit into one."""
    members = await members_of(context, account, end)
    keys = [f"Account/{one['id']}" for one in members]
    before = await ledgers_of(context, keys, start - STEP) if start else {key: Ledger(key) for key in keys}
    after = await ledgers_of(context, keys, end)
    if sum(after[key].last - before[key].last for key in keys) > LINES_MAX:
        raise too_much("movements of money")
    entries = await _entries(context, before, after)
    charged = list(dict.fromkeys([f"Account/{account['id']}", *keys]))
    trails = await _trails(context, entries, charged, start, end)
    main, aside = tallies(before.values(), after.values(), entries)
    lines = lined(entries, trails, main, aside, await _seen(context, entries))
    person, owner = _called(next(iter(account.get("subject", ())), {})), _called(account.get("owner") or {})
    return Statement(account, start, end, main, aside, tuple(lines), tuple(trails.values()), person, owner)


async def _entries(context: Context, before: Mapping[str, Ledger], after: Mapping[str, Ledger]) -> list[Entry]:
    """What was posted in between, in the order it was."""
    found: list[Entry] = []
    for key, ledger in after.items():
        first, count = before[key].last, ledger.last - before[key].last
        if count:
            found += await whole(context.reader).ledger.entries(key, after=first, count=count)
    return sorted(found, key=lambda one: (one.at, one.account, one.number))


async def _trails(
    context: Context, entries: Sequence[Entry], accounts: Sequence[str], start: datetime | None, end: datetime
) -> dict[str, Trail]:
    """The purchases that moved money or changed meanwhile, in the order that they first did."""
    moved = {one.about: None for one in entries if one.about.startswith("ChargeItem/")}
    written = await purchases_since(context, accounts, start)
    found = await read_trails(context, list(dict.fromkeys([*moved, *written])), accounts)
    meanwhile = {
        key: trail
        for key, trail in found.items()
        if key in moved or any((start is None or start <= step.at) and step.at <= end for step in trail.steps)
    }
    return dict(sorted(meanwhile.items(), key=lambda pair: (pair[1].steps[0].at, pair[0])))


async def _seen(context: Context, entries: Sequence[Entry]) -> frozenset[str]:
    """Of what entries are about and in, and of what caused them, what the one who asks may see."""
    keys = dict.fromkeys(key for one in entries for key in (one.about, cause_key(one), one.account) if key)
    return frozenset(await context.reader.read_all(list(keys)))


def cause_key(entry: Entry) -> str:
    return unversioned(entry.cause)


# ---- sums ------------------------------------------------------------------------------------------


def tallies(before: Iterable[Ledger], after: Iterable[Ledger], entries: Sequence[Entry]) -> tuple[Tally, Tally | None]:
    before, after = list(before), list(after)
    main = tally(
        summed(without_contingency(one) for one in before),
        summed(without_contingency(one) for one in after),
        [one for one in entries if one.pot != CONTINGENCY],
    )
    aside = [found for one in after if (found := contingency_of(one)) is not None]
    if not aside:
        return main, None
    opening = summed(contingency_of(one) or NONE for one in before)
    return main, tally(opening, summed(aside), [one for one in entries if one.pot == CONTINGENCY])


def tally(opening: Sums, closing: Sums, entries: Sequence[Entry]) -> Tally:
    """What entries come to between these two."""
    moves = [_credited(one) for one in entries if one.kind != "transfer"]
    moves.append(sum(_credited(one) for one in entries if one.kind == "transfer"))
    return Tally(
        opening,
        sum(pence for pence in moves if pence > 0),
        -sum(pence for pence in moves if pence < 0),
        sum(one.sums.committed for one in entries),
        closing,
    )


def _credited(entry: Entry) -> int:
    """What comes in, or goes out (less than nothing); what is only committed does neither."""
    return entry.sums.allocated - entry.sums.spent


def lined(
    entries: Sequence[Entry], trails: Mapping[str, Trail], main: Tally, aside: Tally | None, seen: frozenset[str]
) -> list[Line]:
    left = {False: main.opening.available, True: aside.opening.available if aside else 0}
    lines = []
    for one in entries:
        is_aside = one.pot == CONTINGENCY
        left[is_aside] += one.sums.available
        trail = trails.get(one.about)
        is_shown = one.about in seen or trail is not None
        about = Named(one.about, trail.item if trail else "") if is_shown else Named("")
        shown = one if is_shown or cause_key(one) in seen else _without_cause(one)
        account = one.account if one.account in seen else ""
        lines.append(Line(shown, left[is_aside], about, account, trail))
    return lines


def _without_cause(entry: Entry) -> Entry:
    return replace(entry, cause="", about="")


# ---- who -------------------------------------------------------------------------------------------


def _called(reference: Mapping[str, object]) -> Named:
    return Named(str(reference.get("reference") or ""), str(reference.get("display") or ""))

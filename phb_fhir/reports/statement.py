"""The statement of a budget over a time: what it began with, every movement of its money, and what is left (R12, R17, R150; E3).

A movement belongs to the instant it was recorded. So a statement of a time that is over never changes again, one that ends today ends
with what `$balance` says, and one begins with what the one before it ended with. The day that something was for stands beside it. Into that of
a joint budget a budget comes with all that it has, and goes with it: a transfer, which is in no ledger.

    opening + credits − debits − commitments = closing

Money for emergencies is reckoned apart (`contingency`), as in `reports/balance`: its lines change its sums and no others. Sums are whole,
whoever asks; names of purchases and documents that they may not see are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from phb_fhir.change import Version
from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import instant_text
from phb_fhir.fhir.reference import unversioned
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.seen import whole
from phb_fhir.reports.balance import contingency_of, told_of, without_contingency
from phb_fhir.reports.moments import STEP, day_of
from phb_fhir.reports.purchases import Named, Trail, purchases_since, read_trails, too_much
from phb_fhir.reports.stays import Stay, stays_of
from phb_fhir.rules.budget import is_joint, owner_of
from phb_fhir.rules.ledger import CONTINGENCY, NONE, Entry, Ledger, Sums, Told, summed

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

    @property
    def is_crossing(self) -> bool:
        """Whether it is what a budget has as it joins or leaves, which no ledger has (`_crossing`)."""
        return self.entry.number == 0


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
    spans = [await _span(context, one, start, end) for one in await _stays(context, account, start, end)]
    if sum(one.after.last - one.before.last for one in spans) > LINES_MAX:
        raise too_much("movements of money")
    entries = sorted([row for one in spans for row in await _entries(context, one)], key=_place)
    trails = await _trails(
        context, entries, [_Times(f"Account/{account['id']}", start, end), *(one.times for one in spans)]
    )
    before = [one.before for one in spans if one.stay.joined is None]
    after = [one.after for one in spans if one.stay.left is None]
    main, aside = tallies(before, after, entries)
    lines = lined(entries, trails, main, aside, await _seen(context, entries))
    person, owner = _called(next(iter(account.get("subject", ())), {})), _called(account.get("owner") or {})
    return Statement(account, start, end, main, aside, tuple(lines), tuple(trails.values()), person, owner)


async def _stays(context: Context, account: Resource, start: datetime | None, end: datetime) -> list[Stay]:
    """The budgets that a statement goes by, and when: those a joint one was made of meanwhile, else itself alone."""
    if not is_joint(account):
        return [Stay(account)]
    stays = await stays_of(context, account, start, end)
    told = await told_of(context, account, [one.account for one in stays])
    return [one for one in stays if f"Account/{one.account['id']}" in told]


class _Times(NamedTuple):
    """From when until when the purchases charged to an account belong into a statement, both included."""

    account: str
    start: datetime | None
    end: datetime

    def has(self, at: datetime) -> bool:
        return (self.start is None or self.start <= at) and at <= self.end


class _Span(NamedTuple):
    """A stay, with what the budget's ledger came to before it and at its end."""

    stay: Stay
    times: _Times
    before: Ledger
    after: Ledger


async def _span(context: Context, stay: Stay, start: datetime | None, end: datetime) -> _Span:
    key = f"Account/{stay.account['id']}"
    first, last = stay.joined.at if stay.joined else start, stay.left.at - STEP if stay.left else end
    books = whole(context.reader).ledger
    before = await books.as_of(key, first - STEP) if first else Ledger(key)
    return _Span(stay, _Times(key, first, last), before, await books.as_of(key, last))


async def _entries(context: Context, span: _Span) -> list[Entry]:
    """What was posted during a stay, and what came with it and went with it."""
    stay, before, after = span.stay, span.before, span.after
    count = after.last - before.last
    posted = await whole(context.reader).ledger.entries(after.account, after=before.last, count=count) if count else []
    came = _crossing(stay.account, stay.joined, before, "Joined this joint budget.") if stay.joined else []
    went = _crossing(stay.account, stay.left, after, "Left this joint budget.") if stay.left else []
    return [*came, *posted, *(replace(one, sums=one.sums.opposite) for one in went)]


def _crossing(account: Resource, version: Version, ledger: Ledger, reason: str) -> list[Entry]:
    """The money that a budget has as it joins or leaves, by pot: it stands in no ledger of the joint one, which has none."""
    told = Told(
        f"{version.key}/_history/{version.number}", "", owner_of(account), day_of(version.at).isoformat(), reason
    )
    pots = ((pot, sums) for pot, sums in sorted(ledger.pots.items()) if sums != NONE)
    return [Entry(version.key, pot, "transfer", sums, *told, at=instant_text(version.at)) for pot, sums in pots]


def _place(entry: Entry) -> tuple[datetime, str, int]:
    return datetime.fromisoformat(entry.at), entry.account, entry.number


async def _trails(context: Context, entries: Sequence[Entry], times: Sequence[_Times]) -> dict[str, Trail]:
    """The purchases that moved money or changed meanwhile, in the order that they first did."""
    accounts = list(dict.fromkeys(one.account for one in times))
    moved = {one.about: None for one in entries if one.about.startswith("ChargeItem/")}
    written = await purchases_since(context, accounts, times[0].start)
    found = await read_trails(context, list(dict.fromkeys([*moved, *written])), accounts)
    meanwhile = {key: trail for key, trail in found.items() if key in moved or _is_in(trail, times)}
    return dict(sorted(meanwhile.items(), key=lambda pair: (pair[1].steps[0].at, pair[0])))


def _is_in(trail: Trail, times: Sequence[_Times]) -> bool:
    return any(one.has(step.at) for one in times if one.account in trail.accounts for step in trail.steps)


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
    aside = [one for one in entries if one.pot == CONTINGENCY]
    if not aside and all(contingency_of(one) is None for one in (*before, *after)):
        return main, None
    opening, closing = (summed(contingency_of(one) or NONE for one in several) for several in (before, after))
    return main, tally(opening, closing, aside)


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

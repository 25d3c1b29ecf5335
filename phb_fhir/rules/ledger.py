"""The ledger: every movement of a budget's money, once, in whole pence, for ever (RULE-LEDGER, R86 to R90).

An entry moves one or more of the four sums of one pot of one account. A pot is a part of a budget by the id of its management element;
"" is what no element holds yet, and CONTINGENCY what is set aside for emergencies (R80). Nothing is ever changed or taken away: what
was wrong is undone by a reversal, which names what it undoes. Each entry names the version of the resource that caused it.

    available = allocated − committed − spent

`advanced` is what was paid out to whoever holds a pot, the person or a third party, before it is spent: it moves where the money lies and
not how much is left. EFFECTS says what each kind of entry moves, and which way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

Kind = Literal[
    "allocation",
    "reduction",
    "contingency",
    "commitment",
    "release",
    "spend",
    "refund",
    "reversal",
    "surplus-recovery",
    "transfer",
    "advance",
    "advance-returned",
]

UNASSIGNED = ""
CONTINGENCY = "(contingency)"  # no id of an element can be this


class Sums(NamedTuple):
    """What an entry moves, or what a pot holds: pence."""

    allocated: int = 0
    committed: int = 0
    spent: int = 0
    advanced: int = 0

    @property
    def available(self) -> int:
        return self.allocated - self.committed - self.spent

    def plus(self, other: Sums) -> Sums:
        return Sums(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def opposite(self) -> Sums:
        return Sums(*(-each for each in self))


NONE = Sums()

# which sum each kind moves, and which way; a transfer goes either way, and a reversal is the opposite of anything
EFFECTS: Mapping[Kind, Sums | None] = {
    "allocation": Sums(allocated=1),
    "reduction": Sums(allocated=-1),
    "contingency": Sums(allocated=1),
    "commitment": Sums(committed=1),
    "release": Sums(committed=-1),
    "spend": Sums(spent=1),
    "refund": Sums(spent=-1),
    "surplus-recovery": Sums(allocated=-1),
    "advance": Sums(advanced=1),
    "advance-returned": Sums(advanced=-1),
    "transfer": None,
    "reversal": None,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement, of one pot of one account (`Account/1`).

    `cause` is the versioned reference of what caused it, `about` the purchase or payment it belongs to ("" where it is about the budget
    itself). `funder` is whose money it is. `day` is when it happened (`2026-10-09`), which may be long before it was recorded. `reason` is
    recorded where a rule wants one. `number` counts an account's entries from 1, and `at` is the instant it was recorded; both are the
    store's to say.
    """

    account: str
    pot: str
    kind: Kind
    sums: Sums
    cause: str
    about: str = ""
    funder: str = ""
    day: str = ""
    reason: str = ""
    number: int = 0
    at: str = ""

    @property
    def pence(self) -> int:
        """The amount, without its direction."""
        return max((abs(each) for each in self.sums), default=0)


class Told(NamedTuple):
    """What an entry tells beside what it moves."""

    cause: str
    about: str = ""
    funder: str = ""
    day: str = ""
    reason: str = ""


def entry(kind: Kind, pence: int, account: str, pot: str, told: Told) -> Entry:
    """An entry of a kind that moves one sum one way. Raises ValueError for an amount that is not more than nothing."""
    effect = EFFECTS[kind]
    if effect is None or pence <= 0:
        raise ValueError(kind, pence)
    return Entry(account, pot, kind, Sums(*(pence * each for each in effect)), *told)


def reversal(of: Sums, account: str, pot: str, told: Told) -> Entry:
    """The entry that undoes these sums."""
    return Entry(account, pot, "reversal", of.opposite, *told)


def transfer(pence: int, account: str, pot: str, told: Told) -> Entry:
    """What comes into a pot from another, or goes (less than nothing); the two of them are posted together."""
    return Entry(account, pot, "transfer", Sums(allocated=pence), *told)


@dataclass(frozen=True, slots=True)
class Ledger:
    """What an account's entries come to, by pot. `last` is the number of the last one, `at` the instant it was recorded."""

    account: str
    pots: Mapping[str, Sums] = field(default_factory=dict)
    last: int = 0
    at: str = ""

    def of(self, pot: str) -> Sums:
        return self.pots.get(pot, NONE)

    @property
    def total(self) -> Sums:
        """All pots together."""
        return summed(self.pots.values())

    def after(self, entries: Iterable[Entry]) -> Ledger:
        """The ledger once these entries are posted, which are its own."""
        pots, last = dict(self.pots), self.last
        for each in entries:
            if each.account != self.account:
                raise ValueError(each.account)
            pots[each.pot] = pots.get(each.pot, NONE).plus(each.sums)
            last += 1
        return replace(self, pots=pots, last=last)


def summed(several: Iterable[Sums]) -> Sums:
    whole = NONE
    for each in several:
        whole = whole.plus(each)
    return whole


def numbered(ledger: Ledger, entries: Iterable[Entry], at: str) -> list[Entry]:
    """The entries with the numbers and the instant under which they are posted."""
    return [replace(each, number=ledger.last + n, at=at) for n, each in enumerate(entries, 1)]


def positions(entries: Iterable[Entry]) -> dict[tuple[str, str], Sums]:
    """What entries come to, by account and pot."""
    found: dict[tuple[str, str], Sums] = {}
    for each in entries:
        place = (each.account, each.pot)
        found[place] = found.get(place, NONE).plus(each.sums)
    return found


def moved(
    posted: Mapping[tuple[str, str], Sums], wanted: Mapping[tuple[str, str], Sums], told: Mapping[str, Told]
) -> list[Entry]:
    """The entries that bring a purchase from where the ledger has it to where it should be; `told` is by account.

    What was committed is released and committed anew; what was spent is never rewritten: it is reversed, and spent anew.
    """
    back, forth = [], []
    for place in dict.fromkeys((*posted, *wanted)):
        was, wants, say = posted.get(place, NONE), wanted.get(place, NONE), told[place[0]]
        if was.committed != wants.committed:
            back += [entry("release", was.committed, *place, say)] if was.committed else []
            forth += [entry("commitment", wants.committed, *place, say)] if wants.committed else []
        if was.spent != wants.spent:
            back += [reversal(Sums(spent=was.spent), *place, say)] if was.spent else []
            forth += [entry("spend", wants.spent, *place, say)] if wants.spent else []
        if was.advanced != wants.advanced:
            back += [reversal(Sums(advanced=was.advanced), *place, say)] if was.advanced else []
            forth += [entry("advance", wants.advanced, *place, say)] if wants.advanced else []
    return back + forth

"""A statement always adds up: whatever was posted, and wherever the statement begins and ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phb_fhir.reports.statement import lined, tallies
from phb_fhir.rules.ledger import (
    CONTINGENCY,
    EFFECTS,
    UNASSIGNED,
    Ledger,
    Sums,
    Told,
    entry,
    numbered,
    reversal,
    transfer,
)

ACCOUNTS = ("Account/a", "Account/b")
POTS = (UNASSIGNED, "daily-life", "nights", CONTINGENCY)
TOLD = Told("Account/a/_history/1")
ONE_WAY = [kind for kind, effect in EFFECTS.items() if effect is not None]


@st.composite
def postings(draw):
    """What one write posts: an entry, a reversal, or a transfer between two pots of an account."""
    account, pot = draw(st.sampled_from(ACCOUNTS)), draw(st.sampled_from(POTS))
    pence = draw(st.integers(1, 10_000_000))
    kind = draw(st.sampled_from([*ONE_WAY, "reversal", "transfer"]))
    if kind == "reversal":
        sums = Sums(*draw(st.tuples(*[st.integers(-1_000_000, 1_000_000)] * 4)))
        return [reversal(sums, account, pot, TOLD)]
    if kind == "transfer":
        other = draw(st.sampled_from(POTS))
        return [transfer(-pence, account, pot, TOLD), transfer(pence, account, other, TOLD)]
    return [entry(kind, pence, account, pot, TOLD)]


@given(st.lists(postings(), max_size=30), st.integers(0, 60), st.integers(0, 60))
def test_opening_and_every_line_come_to_the_closing_wherever_it_is_cut(written, first, second):
    posted, ledgers = [], {account: Ledger(account) for account in ACCOUNTS}
    states = [dict(ledgers)]
    for several in written:
        for one in several:
            (row,) = numbered(ledgers[one.account], [one], f"2026-11-22T09:00:{len(posted):02d}")
            posted.append(row)
            ledgers[one.account] = ledgers[one.account].after([row])
            states.append(dict(ledgers))
    start, end = sorted((min(first, len(posted)), min(second, len(posted))))
    entries = posted[start:end]
    main, aside = tallies(states[start].values(), states[end].values(), entries)
    lines = lined(entries, {}, main, aside, frozenset())
    assert main.adds_up
    assert main.credits >= 0
    assert main.debits >= 0
    for tally, is_aside in ((main, False), (aside, True)):
        own = [line for line in lines if line.is_contingency is is_aside]
        if tally is None:
            assert own == []
            continue
        assert tally.adds_up
        assert tally.opening.available + sum(line.change for line in own) == tally.closing.available
        if own:
            assert own[-1].left == tally.closing.available


def test_what_moves_between_parts_is_neither_a_credit_nor_a_debit():
    before = Ledger("Account/a", {"one": Sums(1000), "two": Sums(500)}, 2)
    moves = [transfer(-300, "Account/a", "one", TOLD), transfer(300, "Account/a", "two", TOLD)]
    main, _ = tallies([before], [before.after(moves)], moves)
    assert (main.opening.available, main.credits, main.debits, main.closing.available) == (1500, 0, 0, 1500)


def test_what_goes_into_money_for_emergencies_leaves_the_rest():
    before = Ledger("Account/a", {"one": Sums(1000)}, 1)
    moves = [transfer(-300, "Account/a", "one", TOLD), transfer(300, "Account/a", CONTINGENCY, TOLD)]
    main, aside = tallies([before], [before.after(moves)], moves)
    assert (main.debits, main.closing.available) == (300, 700)
    assert (aside.credits, aside.closing.available) == (300, 300)

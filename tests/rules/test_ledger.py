"""The ledger's arithmetic: what entries come to, and how a purchase moves from one position to another."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phb_fhir.fhir.codec import Exact
from phb_fhir.fhir.money import PENCE_MAX, divided, money, pence_of, portion, pounds, sterling
from phb_fhir.rules.allocation import pot_first
from phb_fhir.rules.ledger import (
    CONTINGENCY,
    EFFECTS,
    NONE,
    Entry,
    Kind,
    Ledger,
    Sums,
    Told,
    entry,
    moved,
    numbered,
    positions,
    reversal,
    summed,
    transfer,
)

TOLD = Told("ChargeItem/1/_history/1", "ChargeItem/1")
PLACES = [("Account/a", ""), ("Account/a", "daily"), ("Account/b", "daily")]
amounts = st.integers(1, 10_000_000)
wanted = st.dictionaries(
    st.sampled_from(PLACES),
    st.one_of(amounts.map(lambda p: Sums(committed=p)), amounts.map(lambda p: Sums(spent=p))),
)


@pytest.mark.parametrize("kind", [kind for kind, effect in EFFECTS.items() if effect is not None])
def test_an_entry_moves_one_sum_one_way(kind: Kind) -> None:
    made = entry(kind, 250, "Account/a", "daily", TOLD)
    assert sorted(made.sums) in ([0, 0, 0, 250], [-250, 0, 0, 0])
    assert made.pence == 250


@pytest.mark.parametrize("kind", ["transfer", "reversal", "spend"])
def test_an_entry_of_nothing_or_of_no_one_direction_is_none(kind: Kind) -> None:
    with pytest.raises(ValueError, match=kind):
        entry(kind, 0 if kind == "spend" else 1, "Account/a", "", TOLD)


def test_a_reversal_undoes_and_the_two_halves_of_a_transfer_come_to_nothing() -> None:
    spent = entry("spend", 1250, "Account/a", "daily", TOLD)
    undone = reversal(spent.sums, "Account/a", "daily", TOLD)
    assert spent.sums.plus(undone.sums) == NONE
    halves = [transfer(-300, "Account/a", "", TOLD), transfer(300, "Account/a", "daily", TOLD)]
    assert summed(one.sums for one in halves) == NONE


@given(st.lists(wanted, max_size=6))
def test_whatever_becomes_of_a_purchase_its_entries_come_to_where_it_stands(
    course: list[dict[tuple[str, str], Sums]],
) -> None:
    entries: list[Entry] = []
    told = dict.fromkeys(("Account/a", "Account/b"), TOLD)
    for wants in course:
        before = positions(entries)
        more = moved(before, wants, told)
        assert (not more) == ({p: s for p, s in before.items() if any(s)} == wants)
        entries += more
        stands = {place: sums for place, sums in positions(entries).items() if any(sums)}
        assert stands == wants


@given(
    st.lists(st.tuples(st.sampled_from(["", "daily"]), st.sampled_from(["allocation", "commitment", "spend"]), amounts))
)
def test_a_ledger_is_the_sum_of_its_entries_and_what_is_available_is_the_difference(
    rows: list[tuple[str, Kind, int]],
) -> None:
    entries = [entry(kind, pence, "Account/a", pot, TOLD) for pot, kind, pence in rows]
    ledger = Ledger("Account/a").after(entries)
    assert ledger.last == len(entries)
    assert [one.number for one in numbered(Ledger("Account/a"), entries, "now")] == list(range(1, len(entries) + 1))
    for pot, sums in ledger.pots.items():
        assert sums == summed(one.sums for one in entries if one.pot == pot)
        assert sums.available == sums.allocated - sums.committed - sums.spent
    assert ledger.total == summed(one.sums for one in entries)


def test_a_ledger_takes_no_entry_of_another_account() -> None:
    with pytest.raises(ValueError, match="Account/b"):
        Ledger("Account/a").after([entry("spend", 1, "Account/b", "", TOLD)])


# ---- pence ---------------------------------------------------------------------------------------

PENCE = [
    ({"value": Exact("12.50"), "currency": "GBP"}, 1250),
    ({"value": Exact("12.500"), "currency": "GBP"}, 1250),
    ({"value": 12, "currency": "GBP"}, 1200),
    ({"value": Exact("-0.01"), "currency": "GBP"}, -1),
    ({"value": Exact("1e2")}, 10_000),
    ({"value": Exact("12.505"), "currency": "GBP"}, None),
    ({"value": Exact("12.5" + "0" * 40), "currency": "GBP"}, 1250),
    ({"value": Exact("12.5" + "0" * 40 + "1"), "currency": "GBP"}, None),
    ({"value": Exact("12." + "9" * 40), "currency": "GBP"}, None),
    ({"value": Exact("10000000000.00"), "currency": "GBP"}, PENCE_MAX),
    ({"value": Exact("10000000000.01"), "currency": "GBP"}, None),
    ({"value": Exact("-1e400"), "currency": "GBP"}, None),
    ({"value": Exact("12.50"), "currency": "EUR"}, None),
    ({"value": True, "currency": "GBP"}, None),
    ({"value": "12.50"}, None),
    ({}, None),
    (None, None),
]


@pytest.mark.parametrize(("element", "pence"), PENCE)
def test_an_amount_is_whole_pence_in_pounds_or_none(element: object, pence: int | None) -> None:
    assert pence_of(element) == pence


@given(st.integers(-(10**12), 10**12))
def test_pence_written_and_read_are_the_same_pence(pence: int) -> None:
    assert pence_of(money(pence)) == pence
    assert Decimal(pounds(pence)) * 100 == pence


@pytest.mark.parametrize(("pence", "said"), [(0, "£0.00"), (1, "£0.01"), (123456, "£1,234.56"), (-5, "-£0.05")])
def test_money_is_said_as_a_person_reads_it(pence: int, said: str) -> None:
    assert sterling(pence) == said


@given(st.integers(-(10**9), 10**9), st.lists(st.integers(0, 1000), min_size=1, max_size=8).filter(any))
def test_every_penny_that_is_divided_falls_somewhere_and_near_its_share(pence: int, shares: list[int]) -> None:
    parts = divided(pence, shares)
    assert sum(parts) == pence
    assert parts == divided(pence, shares)
    for part, share in zip(parts, shares, strict=True):
        assert abs(part - Decimal(pence) * share / sum(shares)) < 1


@pytest.mark.parametrize(
    ("pence", "shares", "parts"), [(18000, [5, 1], [15000, 3000]), (100, [1, 1, 1], [34, 33, 33]), (1, [1, 1], [1, 0])]
)
def test_what_is_left_over_goes_to_the_largest_remainder_the_first_of_equals_first(
    pence: int, shares: list[int], parts: list[int]
) -> None:
    assert divided(pence, shares) == parts


@pytest.mark.parametrize("shares", [[], [0, 0], [-1, 2]])
def test_nothing_is_divided_among_nobody(shares: list[int]) -> None:
    with pytest.raises(ValueError, match=r"\["):
        divided(100, shares)


@pytest.mark.parametrize(
    ("pence", "count", "comes_to"), [(52000, 52, 2704000), (1, Decimal("0.5"), 0), (3, Decimal("0.5"), 2)]
)
def test_so_many_times_an_amount_is_to_the_nearest_penny(pence: int, count: Decimal | int, comes_to: int) -> None:
    assert portion(pence, count) == comes_to


@pytest.mark.parametrize(
    ("pot", "name"),
    [
        ("Respite-A", "The part 'Respite-A'"),
        ("", "The money that no part holds"),
        (CONTINGENCY, "The money for emergencies"),
    ],
)
def test_a_pot_begins_a_sentence_with_its_id_as_it_is_written(pot: str, name: str) -> None:
    assert pot_first(pot) == name

"""Numbers as texts: the texts sort as the numbers do, in Python and by their bytes, as MongoDB compares them."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phb_fhir.fhir.codec import Exact
from phb_fhir.search.order import EARLIEST, LATEST, sortable

# few digits and exponents, so that two numbers are often close, or equal in all but their zeros
near = st.builds(lambda n, e: Decimal(n).scaleb(e), st.integers(-1_200, 1_200), st.integers(-4, 4))
wide = st.builds(
    lambda sign, digits, exponent: Decimal((sign, tuple(digits), exponent)),
    st.integers(0, 1), st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(-3_000, 3_000),
)  # fmt: skip
decimals = st.one_of(near, wide)
fractions = st.builds(Fraction, st.integers(-200, 200), st.integers(1, 200))
sides = st.sampled_from((-1, 0, 1))


def sign(one, other):
    return (one > other) - (one < other)


@given(decimals, decimals)
def test_the_texts_of_any_two_decimals_sort_as_the_decimals_do(one, other):
    assert sign(sortable(one), sortable(other)) == sign(one, other)


@given(st.one_of(near, fractions), st.one_of(near, fractions))
def test_the_texts_of_fractions_sort_among_those_of_decimals(one, other):
    assert sign(sortable(one), sortable(other)) == sign(Fraction(one), Fraction(other))


@given(near, sides, near, sides)
def test_just_below_and_just_above_lie_between_a_number_and_every_other(one, one_side, other, other_side):
    assert sign(sortable(one, one_side), sortable(other, other_side)) == sign((one, one_side), (other, other_side))


@given(decimals, sides)
def test_every_number_lies_between_the_open_ends_and_is_plain_ascii(number, side):
    text = sortable(number, side)
    assert EARLIEST < text < LATEST
    assert text.isascii()
    assert text.isprintable()


@given(near, near, st.text("0123456789abcdef", min_size=1, max_size=4))
def test_what_the_store_adds_behind_a_tab_changes_no_order(one, other, seq):
    assert sign(f"{sortable(one)}\t{seq}", f"{sortable(other)}\t{seq}") == sign(one, other)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Decimal("5.4"), "p51054."),
        (100, "p5121."),
        (Decimal("0.05"), "p4975."),
        (0, "o."),
        (-5, "n4894:."),
        (10**12, "p52121."),
    ],
)
def test_a_number_is_its_size_and_its_digits(number, text):
    assert sortable(number) == text


@pytest.mark.parametrize(
    "texts", [("5.4", "5.40", "54e-1", "0.0540e2"), ("-0", "0", "0.00", "0e9"), ("100", "1e2", "1.00E+2")]
)
def test_however_it_is_written_a_number_has_one_text(texts):
    assert len({sortable(Exact(text)) for text in texts}) == 1


def test_a_fraction_that_is_a_decimal_has_the_text_of_the_decimal():
    assert sortable(Fraction(27, 5)) == sortable(Decimal("5.4"))


def test_numbers_that_differ_in_the_sixtieth_digit_are_told_apart():
    third, digits = Fraction(1, 3), Decimal(f"0.{'3' * 60}")
    assert sortable(digits) < sortable(third) < sortable(third + Fraction(1, 10**60))
    assert sortable(-digits) > sortable(-third) > sortable(-third - Fraction(1, 10**60))


@pytest.mark.parametrize("exponent", [10**9, 10**17, -(10**9), -(10**17)])
def test_an_exponent_of_any_size_costs_no_more_than_its_digits(exponent):
    number = Decimal((0, (1, 5), exponent))
    assert len(sortable(number)) < 30
    assert sign(sortable(number), sortable(1)) == sign(exponent, 0)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_has_no_text(text):
    with pytest.raises(ValueError, match="is no number"):
        sortable(Decimal(text))

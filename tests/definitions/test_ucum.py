"""UCUM's units in base units: the facts by published conversions, the arithmetic exact."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phb_fhir.definitions.terminology_ucum import atoms, check_unit
from phb_fhir.definitions.ucum import canonical


@pytest.mark.parametrize(
    ("one", "code", "number", "other"),
    [
        ("1", "kg", "1000", "g"),
        ("1", "[lb_av]", "453.59237", "g"),
        ("1", "[stone_av]", "14", "[lb_av]"),
        ("1", "[in_i]", "2.54", "cm"),
        ("1", "[mi_i]", "1609.344", "m"),
        ("3937", "[ft_us]", "1200", "m"),
        ("1", "L", "1000", "cm3"),
        ("1", "dL", "100", "mL"),
        ("1", "mm[Hg]", "133.322", "Pa"),
        ("1", "cm[H2O]", "98.0665", "Pa"),
        ("1", "mg/dL", "10", "g/m3"),
        ("1", "mmol/L", "1000", "umol/L"),
        ("1", "meq/L", "1", "mmol/L"),
        ("1", "U/L", "1", "umol/min/L"),
        ("60", "/min", "1", "Hz"),
        ("72", "{beats}/min", "72", "/min"),
        ("1", "h", "3600", "s"),
        ("1", "wk", "168", "h"),
        ("1", "a", "365.25", "d"),
        ("12", "mo", "1", "a"),
        ("100", "%", "1", "1"),
        ("1", "10*3/uL", "1", "10*9/L"),
        ("1", "10^3/uL", "1", "10*9/L"),
        ("1", "kcal", "4184", "J"),
        ("1", "J", "1", "kg.m2.s-2"),
        ("1", "N", "1", "kg.m/s2"),
        ("1", "mL/min/{1.73_m2}", "1", "mL/min"),
        ("1", "k[IU]/L", "1", "[iU]/mL"),
        ("37", "Cel", "98.6", "[degF]"),
        ("37", "Cel", "310.15", "K"),
        ("0", "[degF]", "459.67", "[degR]"),
        ("80", "[degRe]", "100", "Cel"),
        ("37000", "mCel", "37", "Cel"),
        ("10", "dB", "1", "B"),
        ("360", "deg", "1", "circ"),
        ("1", "kg/(m.s2)", "1", "Pa"),
        ("2", "m/s/s", "2", "m/s2"),
        ("1", "m/s.s", "1", "m"),  # from left to right: a solidus does not take all that follows below it
    ],
)
def test_two_ways_to_say_one_amount_have_one_canonical_amount(one, code, number, other):
    left, right = canonical(code), canonical(other)
    assert left is not None
    assert right is not None
    assert (left.unit, left.of(Fraction(one))) == (right.unit, right.of(Fraction(number)))


@pytest.mark.parametrize(
    ("code", "unit"),
    [
        ("mg", "g"), ("mmol/L", "m-3"), ("mg/dL", "g.m-3"), ("[iU]/mL", "[iU].m-3"), ("J/kg/K", "K-1.m2.s-2"),
        ("%", "1"), ("m/m", "1"), ("{score}", "1"), ("Cel", "K"), ("[pH]", "[pH]"), ("dB[SPL]", "B[SPL]"),
    ],
)  # fmt: skip
def test_a_canonical_unit_is_base_units_in_alphabetical_order(code, unit):
    found = canonical(code)
    assert found is not None
    assert found.unit == unit


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mmol/L", "mg/L"), ("g", "m"), ("[iU]", "[arb'U]"), ("[iU]", "1"), ("[iU]/L", "mg/L"), ("[pH]", "mol/L"), ("dB", "1"),
        ("B", "B[SPL]"), ("Cel", "1"), ("m2", "m3"), ("[CFU]", "[PFU]"),
    ],
)  # fmt: skip
def test_units_that_measure_something_else_are_told_apart(one, other):
    left, right = canonical(one), canonical(other)
    assert left is not None
    assert right is not None
    assert left.unit != right.unit


def test_every_unit_that_ucum_has_can_be_reckoned_with():
    known = atoms()
    assert [unit for unit in sorted(known.every) if canonical(unit) is None] == []
    assert [unit for unit in sorted(known.metric) if canonical("k" + unit) is None and not check_unit("k" + unit)] == []


def test_every_prefix_makes_a_unit_larger_or_smaller_by_a_power_of_ten_or_two():
    sizes = {prefix: canonical(prefix + "g").factor for prefix in atoms().prefixes}
    assert sizes["k"] == 1000
    assert sizes["da"] == 10
    assert sizes["u"] == Fraction(1, 10**6)
    assert sizes["Ki"] == 1024
    assert len(set(sizes.values())) == len(sizes)


def test_no_unit_can_be_read_as_two_prefixes_of_two_others():
    known = atoms()
    readings: dict[str, set[str]] = {}
    for prefix in known.prefixes:
        for unit in known.metric:
            readings.setdefault(prefix + unit, set()).add(prefix)
    assert {unit for unit, found in readings.items() if len(found) > 1 and unit not in known.every} == set()


@pytest.mark.parametrize(
    "code",
    [
        "", "mmHg", "xx", "mg/", "(m/s)2",  # no units
        "Cel/min", "10.Cel", "Cel2", "dB/m", "[pH].mol", "m.Cel",  # a zero of its own, or a scale, in a product
        "10*9999999", "10*-9999999", "0.mg", ".".join(["10*99"] * 50), "m999999999999",  # beyond reckoning
    ],
)  # fmt: skip
def test_what_is_no_unit_or_beyond_reckoning_has_no_canonical_unit(code):
    assert canonical(code) is None


def test_a_unit_beside_those_is_reckoned_with():
    assert [canonical(code) is None for code in ("mm[Hg]", "10*99", "100.mg", "K/min", "Cel{oral}")] == [False] * 5


numbers = st.decimals(min_value=-(10**9), max_value=10**9, places=6)


@given(numbers, st.sampled_from(("mg", "Cel", "[degF]", "/min", "[in_i]", "mmol/L", "deg", "10*-6")))
def test_decimals_and_fractions_come_to_the_same_number(number, code):
    found = canonical(code)
    assert Fraction(found.of(number)) == Fraction(number) * found.factor + found.offset == found.of(Fraction(number))


@given(numbers, numbers, st.sampled_from(sorted(atoms().every)))
def test_more_of_a_unit_is_more_of_its_canonical_unit(one, other, code):
    found = canonical(code)
    assert (found.of(one) > found.of(other)) is (one > other)


symbols = st.sampled_from(("m", "g", "s", "mol", "[iU]", "%", "10*3", "L", "m2", "s-1", "{a}", "7"))


@given(
    st.recursive(symbols, lambda inner: st.builds("({}{}{})".format, inner, st.sampled_from("./"), inner), max_leaves=8)
)
def test_a_term_is_worth_what_its_parts_are_worth(code):
    def worth(term: str) -> Fraction:
        if not term.startswith("("):
            return Fraction(1) if term == "{a}" else Fraction(canonical(term).factor)
        depth = 0
        for at, letter in enumerate(term[1:-1], 1):
            depth += (letter == "(") - (letter == ")")
            if depth == 0 and letter in "./":
                left, right = worth(term[1:at]), worth(term[at + 1 : -1])
                return left * right if letter == "." else left / right
        raise AssertionError(term)

    found = canonical(code)
    assert found is not None
    assert found.factor == worth(code)

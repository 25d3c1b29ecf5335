"""Number parameters (R4 §3.1.1.4.6): implicit precision, prefixes, ranges, against plain arithmetic with fractions."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from phb_fhir.fhir.codec import Exact
from phb_fhir.outcome import Kind
from phb_fhir.query import Bound, Present, Span
from phb_fhir.search.kinds import number
from phb_fhir.search.kinds.interval import PREFIXES
from phb_fhir.search.order import sortable
from tests.search.asking import asked, finds, kept, parameter, refusal, values

NUMBER = parameter("number")


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        # R4 §3.1.1.4.6's own table, and the quantity of §3.1.1.4.11
        ("100", "99.5", "100.5"),
        ("100.00", "99.995", "100.005"),
        ("1e2", "95", "105"),
        ("5.4", "5.35", "5.45"),
        ("5.40e-3", "0.005395", "0.005405"),
        # and so on
        ("0", "-0.5", "0.5"),
        ("0.0", "-0.05", "0.05"),
        ("-5", "-5.5", "-4.5"),
        ("1.0e2", "95", "105"),
        ("1.00E+2", "99.5", "100.5"),
        ("10e1", "95", "105"),
        ("1e 2", "95", "105"),
    ],
)
def test_as_many_digits_as_are_written_are_meant(text, low, high):
    bounds = (Bound("lo", ">=", sortable(Decimal(low))), Bound("hi", "<", sortable(Decimal(high))))
    assert asked(number.KIND, NUMBER, text) == Span("number", bounds)


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        ("99.4", "ne lt le eb ap"),
        ("99.5", "eq lt le eb ap"),
        ("100", "eq ge le ap"),
        ("100.4999", "eq gt ge sa ap"),
        ("100.5", "ne gt ge sa ap"),
        ("90", "ne lt le eb ap"),
        ("89.9", "ne lt le eb"),
        ("110", "ne gt ge sa ap"),
        ("110.1", "ne gt ge sa"),
    ],
)
def test_each_prefix_with_a_hundred_finds_the_numbers_on_its_side(stored, found):
    made = kept(number.KIND, NUMBER, ("decimal", Exact(stored)))
    assert [one for one in PREFIXES if finds(asked(number.KIND, NUMBER, f"{one}100"), made)] == found.split()


# numbers that are often just at the edges of one another
plain = st.builds(lambda n, e: Decimal(n).scaleb(-e), st.integers(-130, 130), st.integers(0, 2))
texts = plain.map(str).filter(lambda text: "E" not in text)


def meant(text):
    """What a number without an exponent means, and half of its last digit."""
    return Fraction(text), Fraction(1, 2 * 10 ** len(text.partition(".")[2]))


def holds(prefix, text, low, high):
    """Whether a prefix holds of the numbers from `low` to `high`, both among them; None is no end."""
    value, half = meant(text)
    least, most = value - half, value + half
    ends_below = high is not None and high < value
    begins_above = low is not None and low > value
    return {
        "eq": low is not None and high is not None and least <= low and high < most,
        "ne": low is None or high is None or low < least or high >= most,
        "gt": high is None or high > value,
        "lt": low is None or low < value,
        "ge": not ends_below,
        "le": not begins_above,
        "sa": begins_above,
        "eb": ends_below,
        "ap": (low is None or low <= value + abs(value) / 10) and (high is None or high >= value - abs(value) / 10),
    }[prefix]


@given(plain, st.sampled_from(PREFIXES), texts)
def test_every_prefix_is_what_r4_says_of_a_number(stored, prefix, text):
    made = kept(number.KIND, NUMBER, ("decimal", stored))
    assert finds(asked(number.KIND, NUMBER, prefix + text), made) is holds(
        prefix, text, Fraction(stored), Fraction(stored)
    )


@given(st.one_of(st.none(), plain), st.one_of(st.none(), plain), st.sampled_from(PREFIXES), texts)
def test_every_prefix_is_what_r4_says_of_a_range(low, high, prefix, text):
    stored = {name: {"value": end} for name, end in (("low", low), ("high", high)) if end is not None}
    made = kept(number.KIND, NUMBER, ("Range", stored))
    is_one = bool(stored) and (low is None or high is None or low <= high)
    assert finds(asked(number.KIND, NUMBER, prefix + text), made) is (is_one and holds(prefix, text, low, high))
    assert finds(Present("number"), made) is is_one


@given(st.lists(plain, min_size=1, max_size=3), st.sampled_from(PREFIXES), texts)
def test_of_several_numbers_one_that_keeps_it_is_enough(several, prefix, text):
    made = kept(number.KIND, NUMBER, *(("decimal", one) for one in several), is_list=True)
    assert finds(asked(number.KIND, NUMBER, prefix + text), made) is any(
        holds(prefix, text, one, one) for one in several
    )
    assert made.lo == {"number": sortable(min(several)), "number~max": sortable(max(several))}


@given(plain, plain, texts)
def test_a_number_is_never_both_below_and_above_nor_neither(stored, other, text):
    found = {
        prefix: finds(asked(number.KIND, NUMBER, prefix + text), kept(number.KIND, NUMBER, ("decimal", stored)))
        for prefix in PREFIXES
    }
    assert found["ne"] is not found["eq"]
    assert found["gt"] is not found["le"]
    assert found["lt"] is not found["ge"]
    assert (found["sa"], found["eb"]) == (found["gt"], found["lt"])


def test_an_integer_and_a_decimal_are_the_same_number_and_are_kept_once():
    made = kept(number.KIND, NUMBER, ("integer", 5), ("decimal", Exact("5.0")), ("decimal", Exact("5e0")))
    assert made.spans == {"number": [{"lo": "p5105.", "hi": "p5105."}]}
    assert made.lo == {"number": "p5105."}
    assert not made.keys


@pytest.mark.parametrize(
    "value", [True, None, "5", [5], {}, {"low": 5}, {"low": {}}, Decimal("NaN"), Decimal("Infinity")]
)
def test_what_is_no_number_is_not_kept(value):
    assert kept(number.KIND, NUMBER, ("decimal", value)).spans == {}


@example([("Range", {"low": {"value": 5}, "high": {"value": 7}}), ("decimal", -5)], True)
@given(st.lists(values, max_size=4), st.booleans())
def test_no_shape_of_data_stops_the_index(several, is_list):
    made = kept(number.KIND, NUMBER, *several, is_list=is_list)
    assert [row for row in made.spans.get("number", []) if row["lo"] > row["hi"]] == []


@pytest.mark.parametrize(
    "text",
    ["", "gt", "+5", " 5", "5 ", "05", ".5", "5.", "5,4", "1e", "1e99999", "NaN", "Infinity", "0x10", "٥", "1_000", "5" * 1_001, "5|mg"],
)  # fmt: skip
def test_a_number_that_is_none_is_refused_and_told_how_to_write_it(text):
    issue = refusal(number.KIND, NUMBER, text)
    assert issue.kind is Kind.INVALID
    assert issue.text.startswith(f"number={text[:100]}")
    assert "write it as" in issue.text or "prefix" in issue.text
    assert len(issue.text) < 400


@pytest.mark.parametrize("text", ["1e2000", "-1e-2000", f"{'9' * 900}e900"])
def test_a_number_no_resource_could_have_is_refused(text):
    assert "too large, or too small" in refusal(number.KIND, NUMBER, text).text


def test_the_largest_number_that_a_resource_could_have_is_found():
    made = kept(number.KIND, NUMBER, ("decimal", Exact("1.5e1000")))
    assert finds(asked(number.KIND, NUMBER, "gt1e1000"), made)
    assert not finds(asked(number.KIND, NUMBER, "gt2e1000"), made)


def test_a_prefix_that_is_none_is_refused_and_told_the_nine_there_are():
    assert refusal(number.KIND, NUMBER, "xx5").text == (
        "number=xx5: the prefix 'xx' is not one of eq, ne, gt, lt, ge, le, sa, eb, ap"
    )

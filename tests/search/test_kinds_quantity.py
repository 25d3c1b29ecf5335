"""Quantity parameters (R4 §3.1.1.4.11): units as written and by UCUM, comparators, ranges, money."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from phb_fhir.fhir.codec import Exact
from phb_fhir.outcome import Kind
from phb_fhir.query import Present, Span
from phb_fhir.search.kinds import quantity
from phb_fhir.search.kinds.interval import PREFIXES
from tests.search.asking import asked, finds, kept, parameter, refusal, values

QUANTITY = parameter("quantity")
UCUM = "http://unitsofmeasure.org"
OTHER = "http://other.example|units"
POUNDS = "urn:iso:std:iso:4217|GBP"


def amount(value, code="", system=UCUM, **more):
    return {"value": Exact(str(value)), **({"system": system, "code": code} if code else {}), **more}


def is_found(text, *stored, type_="Quantity"):
    return finds(asked(quantity.KIND, QUANTITY, text), kept(quantity.KIND, QUANTITY, *((type_, one) for one in stored)))


@pytest.mark.parametrize(
    ("text", "stored", "found"),
    [
        # in whatever unit
        ("5.4", amount("5.4", "mg"), True),
        ("5.4", amount("5.4"), True),
        ("5.4", amount("0.0054", "g"), False),
        ("5.4||", amount("5.4", "mg"), True),
        # as it is written, code or unit
        ("5.4||mg", amount("5.4", "mg"), True),
        ("5.4||mg", amount("5.4", "mg", "http://other.example"), True),
        ("5.4||milligram", amount("5.4", "mg", unit="milligram"), True),
        ("5.4||milligram", {"value": Exact("5.4"), "unit": "milligram"}, True),
        ("5.4||g", amount("5.4", "mg"), False),
        ("5.4||mg", amount("5.4"), False),
        # by UCUM
        (f"5.4|{UCUM}|mg", amount("5.4", "mg"), True),
        (f"5.4|{UCUM}|mg", amount("0.0054", "g"), True),
        (f"5.4|{UCUM}|mg", amount("5400", "ug"), True),
        (f"5.4|{UCUM}|mg", amount("5.4", "g"), False),
        (f"5.4|{UCUM}|mg", amount("5.4", "mL"), False),
        (f"5.4|{UCUM}|mg", amount("5.4", "mg", "http://other.example"), False),
        (f"5.4|{UCUM}|mg", {"value": Exact("5.4"), "unit": "mg"}, False),
        (f"gt5|{UCUM}|mg", amount("0.0054", "g"), True),
        (f"98.6|{UCUM}|[degF]", amount("37.0", "Cel"), True),
        (f"gt100|{UCUM}|[degF]", amount("37.9", "Cel"), True),
        (f"gt100|{UCUM}|[degF]", amount("37.7", "Cel"), False),
        (f"72|{UCUM}|/min", amount("72", "{beats}/min"), True),
        (f"5|{UCUM}|mmol/L", amount("5000", "umol/L"), True),
        (f"7.4|{UCUM}|[pH]", amount("7.4", "[pH]"), True),
        (f"1|{UCUM}|h", amount("60", "min"), True),
        (f"5|{UCUM}|[iU]/mL", amount("5", "[IU]/mL"), True),
        (f"5|{UCUM}|[iU]/mL", amount("5", "mg/mL"), False),
        # what UCUM does not know is compared as it is written
        (f"5|{UCUM}|mmHg", amount("5", "mmHg"), True),
        (f"5|{UCUM}|mmHg", amount("5", "mm[Hg]"), False),
        (f"5|{UCUM}|Cel/min", amount("5", "Cel/min"), True),
        # another system, with a bar in it
        ("5|http://other.example\\|units|mg", amount("5", "mg", OTHER), True),
        ("5|http://other.example|mg", amount("5", "mg", OTHER), False),
        # a code that could be taken for a canonical unit
        ("5||~g", amount("5", "g"), False),
        ("5|~g|x", amount("5", "g"), False),
    ],
)  # fmt: skip
def test_a_quantity_is_found_by_its_number_and_its_unit(text, stored, found):
    assert is_found(text, stored) is found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10", True), ("10.00", True), (f"10|{POUNDS}", True), (f"le10|{POUNDS}", True), ("10||GBP", True), (f"10.01|{POUNDS}", False),
        (f"lt10|{POUNDS}", False), ("10|urn:iso:std:iso:4217|EUR", False), ("10||EUR", False), (f"10|{UCUM}|GBP", False),
    ],
)  # fmt: skip
def test_money_is_found_by_its_currency(text, found):
    assert is_found(text, {"value": Exact("10.00"), "currency": "GBP"}, type_="Money") is found


@pytest.mark.parametrize("type_", ["Quantity", "SimpleQuantity", "Age", "Duration", "Count", "Distance"])
def test_every_kind_of_quantity_is_one(type_):
    assert is_found(f"6|{UCUM}|mo", amount("0.5", "a"), type_=type_)


# ---- comparators and ranges --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("comparator", "found"),
    [
        # by gt5, ge5, lt5, le5, sa5, eb5, eq5, ne5
        ("<", "lt le eb ne"),
        ("<=", "ge lt le ne"),
        (">=", "gt ge le ne"),
        (">", "gt ge sa ne"),
    ],
)
def test_a_comparator_leaves_it_open_how_much_it_is_and_keeps_its_own_number_in_or_out(comparator, found):
    stored = amount("5", "mg", comparator=comparator)
    asked_in = [
        prefix
        for prefix in ("gt", "ge", "lt", "le", "sa", "eb", "eq", "ne")
        if is_found(f"{prefix}5|{UCUM}|mg", stored)
    ]
    assert asked_in == found.split()
    in_grams = [
        prefix
        for prefix in ("gt", "ge", "lt", "le", "sa", "eb", "eq", "ne")
        if is_found(f"{prefix}0.005|{UCUM}|g", stored)
    ]
    assert in_grams == asked_in


@pytest.mark.parametrize(
    ("text", "stored", "found"),
    [
        ("gt39", {"low": amount("35", "a"), "high": amount("40", "a")}, True),
        ("gt40", {"low": amount("35", "a"), "high": amount("40", "a")}, False),
        ("40", {"low": amount("39.6", "a"), "high": amount("40.4", "a")}, True),
        ("40", {"low": amount("39.6", "a"), "high": amount("40.6", "a")}, False),
        (f"le480|{UCUM}|mo", {"low": amount("35", "a"), "high": amount("40", "a")}, True),
        (f"sa400|{UCUM}|mo", {"low": amount("35", "a"), "high": amount("40", "a")}, True),
        ("gt1000", {"low": amount("35", "a")}, True),
        ("lt0", {"high": amount("40", "a")}, True),
        # no range: two units, or the wrong way round, or no end
        ("gt0", {"low": amount("35", "a"), "high": amount("40", "mo")}, False),
        ("gt0", {"low": amount("40", "a"), "high": amount("35", "a")}, False),
        ("gt0", {"low": {"unit": "a"}}, False),
    ],
)
def test_a_range_is_all_from_its_low_to_its_high(text, stored, found):
    assert is_found(text, stored, type_="Range") is found


SAMPLED = ("SampledData", {"origin": amount("5", "mg"), "period": 10, "dimensions": 1, "data": "5 6 7"})


@pytest.mark.parametrize(
    "element",
    [SAMPLED, ("Quantity", {"unit": "mg"}), ("Money", {"currency": "GBP"}), ("Range", {"low": {"unit": "a"}})],
)
def test_what_is_there_without_a_number_is_not_missing_and_no_number_finds_it(element):
    """R4 §3.1.1.4.18: `:missing` asks whether the element is there."""
    made = kept(quantity.KIND, QUANTITY, element)
    assert finds(Present("quantity"), made)
    for prefix in PREFIXES:
        for unit in ("", "||mg", f"|{UCUM}|mg"):
            assert not finds(asked(quantity.KIND, QUANTITY, f"{prefix}5{unit}"), made)
    assert not finds(Present("quantity"), kept(quantity.KIND, QUANTITY))


# ---- against plain arithmetic ------------------------------------------------------------------------------------

# how many grams, metres, or kelvins one is, and where its zero lies; by hand
UNITS = {
    "g": ("mass", Fraction(1), Fraction(0)),
    "mg": ("mass", Fraction(1, 1000), Fraction(0)),
    "[oz_av]": ("mass", Fraction("28.349523125"), Fraction(0)),
    "m": ("length", Fraction(1), Fraction(0)),
    "cm": ("length", Fraction(1, 100), Fraction(0)),
    "[in_i]": ("length", Fraction(254, 10_000), Fraction(0)),
    "K": ("temperature", Fraction(1), Fraction(0)),
    "Cel": ("temperature", Fraction(1), Fraction(27_315, 100)),
    "[degF]": ("temperature", Fraction(5, 9), Fraction(45_967, 180)),
    "/s": ("rate", Fraction(1), Fraction(0)),
    "/min": ("rate", Fraction(1, 60), Fraction(0)),
}
units = st.sampled_from(sorted(UNITS))
numbers = st.builds(lambda n, e: Decimal(n).scaleb(-e), st.integers(-2_000, 2_000), st.integers(0, 4))
# numbers that are the same, or nearly, in other units
texts = st.sampled_from(
    ("0", "1", "1.0", "60", "25.4", "0.0254", "1000", "0.001", "-40", "37", "98.6", "310.15", "273.15", "32")
)
stored_numbers = st.one_of(numbers, texts.map(Decimal))


def in_base(number, unit):
    _, factor, zero = UNITS[unit]
    return Fraction(number) * factor + zero


@given(
    stored_numbers,
    units,
    st.sampled_from(PREFIXES),
    st.one_of(texts, numbers.map(str).filter(lambda t: "E" not in t)),
    units,
)
def test_in_units_of_one_kind_every_prefix_is_what_r4_says_of_the_amounts(number, unit, prefix, text, asked_unit):
    value, half = Fraction(text), Fraction(1, 2 * 10 ** len(text.partition(".")[2]))
    target, exact = in_base(number, unit), in_base(value, asked_unit)
    is_inside = in_base(value - half, asked_unit) <= target < in_base(value + half, asked_unit)
    near = abs(value) / 10
    expected = (
        UNITS[unit][0] == UNITS[asked_unit][0]
        and {
            "eq": is_inside,
            "ne": not is_inside,
            "gt": target > exact,
            "sa": target > exact,
            "lt": target < exact,
            "eb": target < exact,
            "ge": target >= exact,
            "le": target <= exact,
            "ap": in_base(value - near, asked_unit) <= target <= in_base(value + near, asked_unit),
        }[prefix]
    )
    assert is_found(f"{prefix}{text}|{UCUM}|{asked_unit}", amount(number, unit)) is expected


def test_a_quantity_is_kept_as_written_under_each_name_of_its_unit_and_in_base_units():
    made = kept(quantity.KIND, QUANTITY, ("Quantity", amount("5.40", "mg", unit="milligram")))
    assert made.spans == {
        "quantity": [
            {"lo": "p51054.", "hi": "p51054.", "u": ["", "|milligram", "|mg", f"{UCUM}|mg"]},
            {"lo": "p49654.", "hi": "p49654.", "u": ["~g"]},
        ]
    }
    assert made.lo == {"quantity": "p51054.", "quantity~unit": "g|p49654."}
    assert not made.keys


def test_several_quantities_are_sorted_by_the_least_and_the_greatest_of_what_they_come_to():
    several = [("Quantity", amount(value, unit)) for value, unit in (("2", "g"), ("3", "mg"), ("1", "cm"))]
    made = kept(quantity.KIND, QUANTITY, *several, is_list=True)
    assert made.lo == {
        "quantity": "p5101.", "quantity~max": "p5103.", "quantity~unit": "g|p4963.", "quantity~unit~max": "m|p4971.",
    }  # fmt: skip


@example([("Quantity", {"value": 5, "unit": "g"}), ("Money", {"value": 5, "currency": "GBP"})], True)
@given(st.lists(values, max_size=4), st.booleans())
def test_no_shape_of_data_stops_the_index(several, is_list):
    made = kept(quantity.KIND, QUANTITY, *several, is_list=is_list)
    rows = [row for row in made.spans.get("quantity", []) if row["u"]]
    assert all(row["lo"] <= row["hi"] and all(row["u"][1:]) for row in rows)


@pytest.mark.parametrize("exponent", ["1e5000", "1e-5000", "1e999999999"])
def test_a_number_beyond_reckoning_is_kept_as_it_is_written(exponent):
    made = kept(quantity.KIND, QUANTITY, ("Quantity", {"value": Decimal(exponent), "system": UCUM, "code": "[degF]"}))
    assert [row["u"] for row in made.spans["quantity"]] == [["", "|[degF]", f"{UCUM}|[degF]"]]


def test_a_unit_of_any_length_takes_a_bounded_entry():
    made = kept(quantity.KIND, QUANTITY, ("Quantity", {"value": 5, "unit": "x" * 100_000}))
    assert max(len(name) for row in made.spans["quantity"] for name in row["u"]) < 1_100
    assert max(map(len, made.lo.values())) < 100


# ---- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["5.4|mg", f"5.4|{UCUM}", f"5.4|{UCUM}|", "5.4|a|b|c"])
def test_a_unit_without_its_parts_is_refused_and_told_how_to_write_it(text):
    issue = refusal(quantity.KIND, QUANTITY, text)
    assert issue.kind is Kind.INVALID
    assert issue.text == (
        f"quantity={text}: it is no quantity; write [number], [number]|[system]|[code] or [number]||[unit], "
        "and a '|' inside a part as '\\|'"
    )


@pytest.mark.parametrize("text", ["", "|", "||mg", "gt||mg", "mg", f"five|{UCUM}|mg", "x5||mg"])
def test_a_quantity_without_a_number_is_refused(text):
    assert refusal(quantity.KIND, QUANTITY, text).kind is Kind.INVALID


def test_a_unit_longer_than_any_is_refused():
    assert refusal(quantity.KIND, QUANTITY, "5||" + "x" * 2_000).kind is Kind.TOO_LONG


def test_what_is_asked_names_the_unit_that_it_means():
    nodes = [asked(quantity.KIND, QUANTITY, text) for text in ("gt5", "gt5||mg", f"gt5|{UCUM}|mg", f"gt5|{POUNDS}")]
    assert [node.unit for node in nodes if isinstance(node, Span)] == ["", "|mg", "~g", POUNDS]

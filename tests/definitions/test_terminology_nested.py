"""Value sets made of value sets (R4 §4.9.5), three-valued answers, and judging held against listing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phb_fhir.definitions.terminology_value_sets import DEPTH_MAX, INCLUDES_MAX, NESTED_MAX
from phb_fhir.outcome import Kind, Rejected
from tests.definitions.codes import (
    FOOD,
    FOODS,
    code_system,
    codes_in,
    concept,
    food,
    judged,
    knowing,
    listing,
    value_set,
    where,
)

# ---- §4.9.5 value sets in value sets --------------------------------------------------------------

FRUIT, GREEN = "http://example.org/ValueSet/fruit", "http://example.org/ValueSet/green"


def nested(*urls, **more):
    return {"valueSet": list(urls), **more}


def with_fruit_and_green(*includes, **more):
    fruit, green = where("concept", "is-a", "fruit"), where("colour", "=", "green")
    both = (value_set(fruit, url=FRUIT, version="3"), value_set(green, listing("carrot"), url=GREEN))
    return knowing(food(), *both, value_set(*includes, **more))


def test_a_value_set_takes_in_another():
    terminology = with_fruit_and_green(nested(FRUIT), listing("carrot"))
    assert codes_in(terminology, FOODS) == ["fruit", "apple", "bramley", "pear", "carrot"]
    assert judged(terminology, "pear", "carrot", "root") == [True, True, False]


def test_of_several_value_sets_in_one_include_only_what_all_have_is_taken_in():
    terminology = with_fruit_and_green(nested(FRUIT, GREEN))
    assert codes_in(terminology, FOODS) == ["bramley", "pear"]
    assert judged(terminology, "pear", "apple", "carrot") == [True, False, False]


def test_a_system_and_a_value_set_in_one_include_must_both_have_it():
    terminology = with_fruit_and_green(nested(GREEN, **listing("pear", "apple")))
    assert codes_in(terminology, FOODS) == ["pear"]


def test_a_value_set_may_be_excluded():
    assert codes_in(with_fruit_and_green(nested(FRUIT), exclude=[nested(GREEN)]), FOODS) == ["fruit", "apple"]


def test_a_canonical_with_a_version_means_that_version():
    assert judged(with_fruit_and_green(nested(f"{FRUIT}|3")), "pear") == [True]
    assert judged(with_fruit_and_green(nested(f"{FRUIT}|4")), "pear") == [None]


def test_a_value_set_that_takes_itself_in_is_refused():
    for rows in ([value_set(nested(FOODS))], [value_set(nested(FRUIT)), value_set(nested(f"{FOODS}|"), url=FRUIT)]):
        terminology = knowing(food(), *rows)
        assert terminology.validate_code(FOODS, FOOD, "pear").reason == f"the value set {FOODS} takes itself in"
        with pytest.raises(Rejected) as refused:
            terminology.expand(FOODS)
        assert refused.value.issues[0].kind is Kind.INVALID


def test_a_circle_elsewhere_does_not_hide_what_is_certain():
    circle = value_set(nested(GREEN), url=GREEN)
    terminology = knowing(food(), circle, value_set(nested(GREEN), listing("pear")))
    assert judged(terminology, "pear", "apple") == [True, None]


def _chain(length, width=1):
    url = "http://example.org/ValueSet/{}".format
    links = [value_set(*[nested(url(n + 1))] * width, url=url(n)) for n in range(length)]
    return knowing(food(), *links, value_set(listing("pear"), url=url(length))), url(0)


def test_many_ways_to_the_same_value_set_are_walked_once():
    terminology, start = _chain(DEPTH_MAX - 1, width=4)  # 4 to the 29th ways
    assert judged(terminology, "pear", "apple", value_set=start) == [True, False]
    assert codes_in(terminology, start) == ["pear"]


def test_value_sets_nested_too_deep_are_left_open():
    terminology, start = _chain(DEPTH_MAX + 2)
    verdict = terminology.validate_code(start, FOOD, "pear")
    assert (verdict.valid, "leads to more value sets" in verdict.reason) == (None, True)


def test_a_value_set_that_leads_to_too_many_others_is_left_open():
    urls = [f"http://example.org/ValueSet/{n}" for n in range(NESTED_MAX + 1)]
    many = [value_set(listing("pear"), url=url) for url in urls]
    assert judged(knowing(food(), *many, value_set(*map(nested, urls))), "pear") == [None]
    assert judged(knowing(food(), *many, value_set(*map(nested, urls[1:]))), "pear") == [True]


def test_a_value_set_of_too_many_includes_is_left_open():
    assert judged(knowing(food(), value_set(*[listing("pear")] * (INCLUDES_MAX + 1))), "pear") == [None]
    assert judged(knowing(food(), value_set(*[listing("pear")] * INCLUDES_MAX)), "pear") == [True]


# ---- three values ---------------------------------------------------------------------------------


def test_one_yes_outweighs_a_doubt_and_a_doubt_outweighs_a_no():
    terminology = knowing(food(), value_set({"system": "http://example.org/drink"}, listing("pear")))
    assert judged(terminology, "pear", "plum") == [True, False]
    assert judged(terminology, "tea", system="http://example.org/drink") == [None]
    assert judged(terminology, "pear", "tea", system=None) == [True, None]


# ---- judging and listing agree --------------------------------------------------------------------

_CODES = st.sampled_from("abcdefgh")
_FILTERS = st.builds(
    lambda op, code: where("concept", op, code if op != "in" else f"{code},a"),
    st.sampled_from(["is-a", "descendent-of", "is-not-a", "generalizes", "=", "in", "not-in"]),
    _CODES,
)
_LISTS = st.lists(_CODES, min_size=1, max_size=4, unique=True).map(lambda codes: listing(*codes))
_NESTED = st.lists(st.sampled_from([FRUIT, GREEN]), min_size=1, max_size=2).map(lambda urls: {"valueSet": urls})
_PARTS = st.one_of(_FILTERS, _LISTS, _NESTED, st.just({"system": FOOD}))


@st.composite
def _systems(draw):
    """Eight codes, each below some of those before it."""
    rows = []
    for position, code in enumerate("abcdefgh"):
        parents = draw(st.lists(st.sampled_from("abcdefgh"[:position]), max_size=2, unique=True)) if position else []
        row = concept(code, inactive=draw(st.booleans()))
        row["property"] += [{"code": "parent", "valueCode": parent} for parent in parents]
        rows.append(row)
    return code_system(*rows)


@settings(max_examples=200, deadline=None)
@given(
    _systems(), st.lists(_PARTS, min_size=1, max_size=3), st.lists(_PARTS, max_size=2), _FILTERS, _LISTS, st.booleans()
)
def test_exactly_the_codes_that_are_listed_are_judged_to_be_in(system, includes, excludes, one, two, inactive):
    terminology = knowing(
        system,
        value_set(one, url=FRUIT),
        value_set(two, url=GREEN),
        value_set(*includes, exclude=excludes, compose={"inactive": inactive}),
    )
    listed = codes_in(terminology, FOODS)
    assert [code for code, valid in zip("abcdefgh", judged(terminology, *"abcdefgh"), strict=True) if valid] == sorted(
        listed
    )
    assert None not in judged(terminology, *"abcdefgh", "z")

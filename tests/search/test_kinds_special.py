"""Location `near` (R4 §8.7.5): distances that are known, and distances by another formula."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phb_fhir.fhir.codec import Exact
from phb_fhir.outcome import Kind
from phb_fhir.query import Judge
from phb_fhir.search.kinds import special
from phb_fhir.search.kinds.kind import Index
from tests.search.asking import asked, finds, kept, parameter, refusal, shapes

NEAR = parameter("special", "near")
LEEDS = {"latitude": Exact("53.8008"), "longitude": Exact("-1.5491")}
YORK = "53.9590|-1.0815"  # 35.3 km, or 21.9 miles, from Leeds


def is_near(text, position):
    return finds(asked(special.KIND, NEAR, text), Index(), {"resourceType": "Location", "position": position})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{YORK}|36|km", True),
        (f"{YORK}|35|km", False),
        (f"{YORK}|36", True),
        (f"{YORK}|36|", True),
        (f"{YORK}|35", False),
        (f"{YORK}|22|mi", True),
        (f"{YORK}|21.5|mi", False),
        (f"{YORK}|22|[mi_us]", True),
        (f"{YORK}|22|[mi_i]", True),
        (f"{YORK}|36000|m", True),
        (f"{YORK}|35000|m", False),
        # without a distance, 50 km, whatever the units
        (YORK, True),
        (f"{YORK}||m", True),
        ("51.5074|-0.1278", False),
        ("53.8008|-1.5491|0", True),
    ],
)
def test_a_place_is_near_when_it_is_within_the_distance(text, found):
    assert is_near(text, LEEDS) is found


@pytest.mark.parametrize(
    ("place", "position", "km"),
    [
        ("0|179.9", (0, Decimal("-179.9")), 22.24),
        ("89.9|0", (Decimal("89.9"), 180), 22.24),
        ("0|0", (0, 180), 20_015.1),
        ("51.5074|-0.1278", (Decimal("48.8566"), Decimal("2.3522")), 343.6),
        ("+51.5074| 0.1278", (Decimal("51.5074"), Decimal("0.1278")), 0),
    ],
)
def test_distances_are_those_on_the_globe(place, position, km):
    there = {"latitude": position[0], "longitude": position[1]}
    assert is_near(f"{place}|{km + 0.1:.1f}|km", there)
    assert not km or not is_near(f"{place}|{km - 0.1:.1f}|km", there)


latitudes = st.decimals(-90, 90, places=3)
longitudes = st.decimals(-180, 180, places=3)


@given(latitudes, longitudes, latitudes, longitudes, st.integers(0, 21_000))
def test_a_place_is_near_exactly_when_the_angle_between_the_two_is_small(
    latitude, longitude, other, other_longitude, km
):
    def point(north, east):
        north, east = math.radians(north), math.radians(east)
        return math.cos(north) * math.cos(east), math.cos(north) * math.sin(east), math.sin(north)

    # the straight line through the Earth, made an arc
    chord = math.dist(point(latitude, longitude), point(other, other_longitude))
    distance = 2 * math.asin(min(1.0, chord / 2)) * 6_371.0088
    if abs(distance - km) > 0.01:
        there = {"latitude": other, "longitude": other_longitude}
        assert is_near(f"{latitude}|{longitude}|{km}|km", there) is (distance < km)


@given(shapes)
def test_no_shape_of_a_position_stops_the_judge(shape):
    assert is_near("0|0|1", shape) in (True, False)


@pytest.mark.parametrize(
    "position",
    [None, {}, {"latitude": 0}, {"latitude": "0", "longitude": "0"}, {"latitude": 91, "longitude": 0}, {"latitude": 0, "longitude": 181}],
)  # fmt: skip
def test_what_is_nowhere_is_near_nothing(position):
    assert not is_near("0|0|30000", position)
    assert is_near("0|0|30000", {"latitude": 0, "longitude": 0})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is no place"),
        ("53.8", "it is no place"),
        ("1|2|3|km|5", "it is no place"),
        ("91|0", "'91' is no latitude; it is a number from -90 to 90"),
        ("0|-180.1", "'-180.1' is no longitude; it is a number from -180 to 180"),
        ("north|0", "'north' is no latitude"),
        ("NaN|0", "'NaN' is no latitude"),
        ("1e1|0", "'1e1' is no latitude"),
        ("0|0|-1", "'-1' is no distance"),
        ("0|0|far", "'far' is no distance"),
        ("0|0|5|kg", "'kg' is no unit of length"),
        ("0|0|5|miles", "'miles' is no unit of length"),
    ],
)
def test_a_place_that_is_none_is_refused_and_told_what_is_right(text, said):
    issue = refusal(special.KIND, NEAR, text)
    assert issue.kind is Kind.INVALID
    assert issue.text.startswith(f"near={text}: {said}")


def test_a_special_parameter_of_another_making_is_not_known():
    assert refusal(special.KIND, parameter("special", "far"), "0|0").kind is Kind.NOT_SUPPORTED


def test_nothing_is_kept_of_a_place_and_nothing_sorted_by_it():
    assert kept(special.KIND, NEAR, ("BackboneElement", LEEDS)) == Index()
    assert special.KIND.sort == ""


def test_what_is_asked_is_told_apart_by_its_words():
    one, same, other = (asked(special.KIND, NEAR, text) for text in ("0|0|5", "0|0|5", "0|0|6"))
    assert isinstance(one, Judge)
    assert (one == same, one == other) == (True, False)

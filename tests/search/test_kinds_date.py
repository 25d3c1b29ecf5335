"""Date parameters (R4 §3.1.1.4.5, §3.1.1.4.7): every prefix, against the ranges that R4 words it by, taken as plain numbers."""

from __future__ import annotations

import calendar
import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from phb_fhir.fhir.dates import span_of
from phb_fhir.outcome import Kind, Rejected
from phb_fhir.query import Present, Updated
from phb_fhir.search.kinds import date
from tests.search.asking import asked, finds, kept, parameter, refusal, values

DATE = parameter("date")

# ---- R4's own words, on ranges of seconds ------------------------------------------------------------------------


def seconds(year, month, day, second_of_day=0):
    days = sum(366 if calendar.isleap(one) else 365 for one in range(2000, year))
    days += sum(calendar.monthrange(year, one)[1] for one in range(1, month)) + day - 1
    return days * 86_400 + second_of_day


def contains(outer, inner):
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def overlaps(one, other):
    return one[0] < other[1] and other[0] < one[1]


def holds(prefix, search, target):
    above, below = (search[1], math.inf), (-math.inf, search[0])
    slack = max(search[1] - search[0], 86_400)
    return {
        "eq": lambda: contains(search, target),
        "ne": lambda: not contains(search, target),
        "gt": lambda: overlaps(above, target),
        "lt": lambda: overlaps(below, target),
        "ge": lambda: overlaps(above, target) or contains(search, target),
        "le": lambda: overlaps(below, target) or contains(search, target),
        "sa": lambda: not overlaps(search, target) and contains(above, target),
        "eb": lambda: not overlaps(search, target) and contains(below, target),
        "ap": lambda: overlaps((search[0] - slack, search[1] + slack), target),
    }[prefix]()


# ---- dates close to one another ----------------------------------------------------------------------------------

ZONES = {"": 0, "Z": 0, "+00:00": 0, "+01:00": 3_600, "-05:30": -19_800, "+14:00": 50_400, "-12:00": -43_200}


@st.composite
def dates(draw):
    """A date as it is written, and its range."""
    year, month, day = (
        draw(st.sampled_from((2023, 2024))),
        draw(st.sampled_from((1, 2, 12))),
        draw(st.sampled_from((1, 2, 28))),
    )
    hour, minute, second = (
        draw(st.sampled_from((0, 1, 23))),
        draw(st.sampled_from((0, 59))),
        draw(st.sampled_from((0, 59))),
    )
    zone = draw(st.sampled_from(sorted(ZONES)))
    to_the_minute = seconds(year, month, day, hour * 3_600 + minute * 60) - ZONES[zone]
    written = f"{year}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}"
    following = (year + 1, 1) if month == 12 else (year, month + 1)
    return draw(
        st.sampled_from(
            (
                (f"{year}", (seconds(year, 1, 1), seconds(year + 1, 1, 1))),
                (f"{year}-{month:02d}", (seconds(year, month, 1), seconds(*following, 1))),
                (f"{year}-{month:02d}-{day:02d}", (seconds(year, month, day), seconds(year, month, day) + 86_400)),
                (f"{written}{zone}", (to_the_minute, to_the_minute + 60)),
                (f"{written}:{second:02d}{zone}", (to_the_minute + second, to_the_minute + second + 1)),
            )
        )
    )


@st.composite
def periods(draw):
    """A Period, and its range; None where it has none."""
    ends = {name: end for name in ("start", "end") if (end := draw(st.one_of(st.none(), dates())))}
    low = ends["start"][1][0] if "start" in ends else -math.inf
    high = ends["end"][1][1] if "end" in ends else math.inf
    return {name: text for name, (text, _) in ends.items()}, (low, high) if ends and low < high else None


@st.composite
def timings(draw):
    events = draw(st.lists(dates(), max_size=2))
    bounds = draw(st.lists(periods(), max_size=1))
    timing = {"event": [text for text, _ in events]} if events else {}
    timing |= {"repeat": {"frequency": 1, "boundsPeriod": bounds[0][0]}} if bounds else {}
    known = [found for _, found in (*events, *bounds) if found]
    return timing, (min(low for low, _ in known), max(high for _, high in known)) if known else None


def typed(type_, strategy):
    return strategy.map(lambda pair: ((type_, pair[0]), pair[1]))


# a value as it is stored, and its range
targets = st.one_of(typed("dateTime", dates()), typed("Period", periods()), typed("Timing", timings()))
prefixes = st.sampled_from(date.PREFIXES)


@settings(max_examples=500)
@given(targets, prefixes, dates())
def test_every_prefix_is_what_r4_says_of_the_two_ranges(target, prefix, date_asked):
    (value, found), (text, search) = target, date_asked
    expected = found is not None and holds(prefix, search, found)
    assert finds(asked(date.KIND, DATE, prefix + text), kept(date.KIND, DATE, value)) is expected


@given(st.lists(targets, max_size=3), prefixes, dates())
def test_of_several_values_one_that_keeps_it_is_enough(several, prefix, date_asked):
    text, search = date_asked
    made = kept(date.KIND, DATE, *(value for value, _ in several), is_list=True)
    expected = any(found is not None and holds(prefix, search, found) for _, found in several)
    assert finds(asked(date.KIND, DATE, prefix + text), made) is expected


@given(targets)
def test_what_is_there_is_there_whether_or_not_it_says_when(target):
    value, _ = target
    assert finds(Present("date"), kept(date.KIND, DATE, value))
    assert not finds(Present("date"), kept(date.KIND, DATE))


@given(dates(), dates())
def test_texts_sort_as_the_moments_they_begin_and_end_at(one, other):
    for mine, others, moment, other_moment in zip(span_of(one[0]), span_of(other[0]), one[1], other[1], strict=True):
        assert (mine < others, mine == others) == (moment < other_moment, moment == other_moment)


@given(st.lists(targets, min_size=1, max_size=3))
def test_a_list_is_sorted_by_its_first_or_its_last_beginning(several):
    made = kept(date.KIND, DATE, *(value for value, _ in several), is_list=True)
    begins = [row["lo"] for row in made.spans["date"] if row["lo"] < row["hi"]]
    assert made.lo == ({"date": min(begins), "date~max": max(begins)} if begins else {})


def test_a_single_date_is_kept_once():
    made = kept(date.KIND, DATE, ("date", "2026-03"))
    assert made.lo == {"date": "2026-03-01T00:00:00.000000Z"}
    assert made.spans == {"date": [{"lo": "2026-03-01T00:00:00.000000Z", "hi": "2026-04-01T00:00:00.000000Z"}]}
    assert not made.keys


@example([("date", "2026"), ("Period", {"start": "2026-03"})], True)
@given(st.lists(values, max_size=4), st.booleans())
def test_no_shape_of_data_stops_the_index(several, is_list):
    made = kept(date.KIND, DATE, *several, is_list=is_list)
    assert all(type(row["lo"]) is type(row["hi"]) is str for row in made.spans.get("date", []))


# ---- the edges of what can be written ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "stored", "found"),
    [
        # R4 §3.1.1.4.7's own examples
        ("eq2013-01-14", "2013-01-14T00:00", True),
        ("eq2013-01-14", "2013-01-14T10:00", True),
        ("eq2013-01-14", "2013-01-15T00:00", False),
        ("ne2013-01-14", "2013-01-15T00:00", True),
        ("ne2013-01-14", "2013-01-14T00:00", False),
        ("lt2013-01-14T10:00", "2013-01-14", True),
        ("gt2013-01-14T10:00", "2013-01-14", True),
        ("ge2013-03-14", "2013-03-14", True),
        ("ge2013-03-14", "2013-03-13", False),
        ("le2013-03-14", "2013-03-14", True),
        ("sa2013-03-14", "2013-03-14", False),
        ("sa2013-03-14", "2013-03-15", True),
        ("eb2013-03-14", "2013-03-13", True),
        ("eb2013-03-14", "2013-03-14", False),
        ("ap2013-03-14", "2013-03-15", True),
        ("ap2013-03-14", "2013-03-16", False),
        ("ap2013-03", "2013-05-01T23:00", True),  # as long again as March is
        ("ap2013-03", "2013-05-02", False),
        ("ap2013-03", "2013-01-29", True),
        ("ap2013-03", "2013-01-28", False),
        # a '+' that was not percent-encoded
        ("2013-01-14T01:00:00 01:00", "2013-01-14T00:00:00Z", True),
        ("2013-01-14T01:00:00+01:00", "2013-01-14T00:00:00Z", True),
        ("2013-01-14T01:00:00-01:00", "2013-01-14T00:00:00Z", False),
        # fractions of a second; what is finer than a microsecond is not told apart
        ("2013-01-14T10:00:00Z", "2013-01-14T10:00:00.999999999Z", True),
        ("2013-01-14T10:00:00.5Z", "2013-01-14T10:00:00.59Z", True),
        ("2013-01-14T10:00:00.5Z", "2013-01-14T10:00:00.6Z", False),
        ("2013-01-14T10:00:00.1234567Z", "2013-01-14T10:00:00.1234568Z", True),
        # a leap second is the second after it
        ("2017-01-01", "2016-12-31T23:59:60Z", True),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z", True),
        ("2016-12-31", "2016-12-31T23:59:59Z", True),
        # the end of the years there are
        ("9999", "9999-12-31T23:59:59.9999999Z", True),
        ("9999-12-31", "9999-12-31T23:59:59.999Z", True),
        ("gt9999-12-30", "9999-12-31", True),
        ("gt9999-12-31", "9999-12-31", False),
        ("sa9998", "9999-12-31T23:59:60-12:00", True),
        ("ap9999-12-31", "9999-12-30", True),
        ("lt0001-01-02", "0001-01-01T00:00:00+14:00", True),
        ("ap0001-01-01", "0001-01-02", True),
    ],
)  # fmt: skip
def test_a_date_is_found_by_the_time_it_means(text, stored, found):
    assert finds(asked(date.KIND, DATE, text), kept(date.KIND, DATE, ("dateTime", stored))) is found


@pytest.mark.parametrize(
    ("text", "period", "found"),
    [
        ("gt2026", {"start": "2020"}, True),
        ("gt9999", {"start": "2020"}, True),
        ("lt0001", {"end": "2020"}, True),
        ("2026", {"start": "2026", "end": "2026-06"}, True),
        ("2026", {"start": "2026"}, False),
        ("ne2026", {"start": "2026"}, True),
        ("sa2019", {"start": "2020"}, True),
        ("eb2021", {"end": "2020"}, True),
        ("eb2021", {"start": "2020"}, False),
        ("gt2026", {"start": "2020", "end": "9999-12-31"}, True),
        # neither end, or an end before the start: no time at all
        ("gt0001", {}, False),
        ("gt0001", {"start": "2026", "end": "2020"}, False),
        ("ne2026", {"start": "soon"}, False),
    ],
)
def test_a_period_without_an_end_goes_on(text, period, found):
    assert finds(asked(date.KIND, DATE, text), kept(date.KIND, DATE, ("Period", period))) is found


BAD = [
    "", "eq", "2026-00", "2026-13", "2026-02-30", "26-01-01", "2026-1-1", "2026-01-01T10", "2026-01-01T25:00", "2026-01-01T24:00:00Z",
    "2026-01-01Z", "2026-01-01T10:00:61Z", "2026-01-01T10:00:00+15:00", "٢٠٢٦", "0000", "10000", "today", "+2026", "2026 ", "eq eq2026",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_a_date_that_is_none_is_refused_and_told_how_to_write_it(text):
    issue = refusal(date.KIND, DATE, text)
    assert issue.kind is Kind.INVALID
    assert issue.text.startswith(f"date={text}: ")
    assert "YYYY-MM-DD" in issue.text or "prefix" in issue.text


@pytest.mark.parametrize("text", ["xx2026", "EQ2026", "in2026", "po2026"])
def test_a_prefix_that_is_none_is_refused_and_told_the_nine_there_are(text):
    said = f"date={text}: the prefix '{text[:2]}' is not one of eq, ne, gt, lt, ge, le, sa, eb, ap"
    assert refusal(date.KIND, DATE, text).text == said


# ---- _lastUpdated ------------------------------------------------------------------------------------------------


def at(*parts):
    return datetime(*parts, tzinfo=UTC)


START, END = at(2026, 3, 1), at(2026, 4, 1)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", Updated(START, END)),
        ("eq", Updated(START, END)),
        ("ne", Updated(START, END, inside=False)),
        ("gt", Updated(END, None)),
        ("sa", Updated(END, None)),
        ("ge", Updated(START, None)),
        ("lt", Updated(None, START)),
        ("eb", Updated(None, START)),
        ("le", Updated(None, END)),
        ("ap", Updated(at(2026, 1, 29), at(2026, 5, 2))),
    ],
)
def test_a_prefix_says_which_side_of_the_period_it_was_updated(prefix, expected):
    assert date.parse_updated("_lastUpdated", f"{prefix}2026-03") == expected


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026", at(2026, 1, 1), at(2027, 1, 1)),
        ("2026-12", at(2026, 12, 1), at(2027, 1, 1)),
        ("2024-02-29", at(2024, 2, 29), at(2024, 3, 1)),
        ("2026-03-01T10:30", at(2026, 3, 1, 10, 30), at(2026, 3, 1, 10, 31)),
        ("2026-03-01T10:30:05Z", at(2026, 3, 1, 10, 30, 5), at(2026, 3, 1, 10, 30, 6)),
        ("2026-03-01T10:30:05 01:00", at(2026, 3, 1, 9, 30, 5), at(2026, 3, 1, 9, 30, 6)),
        ("2026-03-01T22:30:05-05:00", at(2026, 3, 2, 3, 30, 5), at(2026, 3, 2, 3, 30, 6)),
        ("2026-03-01T10:30:05.250Z", at(2026, 3, 1, 10, 30, 5, 250_000), at(2026, 3, 1, 10, 30, 5, 251_000)),
        ("ap9999", at(9998, 1, 1, 0, 0, 0, 1), None),
    ],
)
def test_a_date_of_an_update_is_a_period_as_wide_as_its_precision(text, start, end):
    assert date.parse_updated("_lastUpdated", text) == Updated(start, end)


@pytest.mark.parametrize("text", [*BAD, "xx2026"])
def test_a_date_of_an_update_that_is_none_is_refused(text):
    with pytest.raises(Rejected) as caught:
        date.parse_updated("_lastUpdated", text)
    assert [issue.kind for issue in caught.value.issues] == [Kind.INVALID]


@given(st.datetimes(at(1, 2, 1).replace(tzinfo=None), at(9998, 12, 1).replace(tzinfo=None)))
def test_every_instant_is_on_one_side_or_inside(moment):
    """eq, lt and gt part time in three; the others are put together from them."""
    stamp = f"{moment:%Y-%m-%dT%H:%M:%S}Z".rjust(20, "0")
    nodes = {one: date.parse_updated("_lastUpdated", one + stamp) for one in date.PREFIXES}
    for instant in (moment + timedelta(seconds=step / 2) for step in range(-3, 4)):
        there = {one: _is_in(node, instant.replace(tzinfo=UTC)) for one, node in nodes.items()}
        assert there["eq"] + there["lt"] + there["gt"] == 1
        assert there["ne"] is not there["eq"]
        assert there["ge"] is (there["eq"] or there["gt"])
        assert there["le"] is (there["eq"] or there["lt"])
        assert (there["sa"], there["eb"]) == (there["gt"], there["lt"])
        assert there["ap"] >= there["eq"]


def _is_in(node, instant):
    return ((node.low is None or instant >= node.low) and (node.high is None or instant < node.high)) is node.inside

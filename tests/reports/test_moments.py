"""Days and instants of reports: a day is a day in England, summer and winter."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from phb_fhir.reports.moments import STEP, day_of, first_instant, last_instant
from phb_fhir.rules.budget import in_words


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026-11-22", "2026-11-22T00:00:00+00:00", "2026-11-22T23:59:59.999000+00:00"),
        ("2026-07-14", "2026-07-13T23:00:00+00:00", "2026-07-14T22:59:59.999000+00:00"),  # British Summer Time
        ("2026-10-25", "2026-10-24T23:00:00+00:00", "2026-10-25T23:59:59.999000+00:00"),  # a day of 25 hours
        ("2026-10", "2026-09-30T23:00:00+00:00", "2026-10-31T23:59:59.999000+00:00"),
        ("2026", "2026-01-01T00:00:00+00:00", "2026-12-31T23:59:59.999000+00:00"),
        ("2026-10-09T18:30:00Z", "2026-10-09T18:30:00+00:00", "2026-10-09T18:30:00.999000+00:00"),
        ("2026-10-09T18:30:00.250+01:00", "2026-10-09T17:30:00.250000+00:00", "2026-10-09T17:30:00.250000+00:00"),
        ("2026-10-09T18:30:00 01:00", "2026-10-09T17:30:00+00:00", "2026-10-09T17:30:00.999000+00:00"),
    ],
)
def test_a_date_covers_its_day_in_england_and_a_time_as_much_as_it_says(text, first, last):
    assert (first_instant(text), last_instant(text)) == (datetime.fromisoformat(first), datetime.fromisoformat(last))


def test_the_first_days_of_all_are_told_as_they_are():
    assert (first_instant("0001-06-05"), last_instant("0001-01-02")) == (
        datetime(1, 6, 5, 0, 1, 15, tzinfo=UTC),
        datetime(1, 1, 3, 0, 1, 14, 999000, tzinfo=UTC),
    )
    for text in ("0001-01-01", "0001-01-01T00:00:00+14:00"):
        assert day_of(first_instant(text) - STEP) == date(1, 1, 1)  # a statement opens with what was there before it


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13", "2026-02-30", "9999-12-31", "2026-10-09T25:00:00Z", "T"])
def test_what_is_no_date_is_refused(text):
    with pytest.raises((ValueError, OverflowError)):
        last_instant(text)


def test_one_day_ends_right_before_the_next_begins():
    days = [date(2026, 3, 25) + timedelta(days=n) for n in range(250)]  # both changes of the clocks are in it
    for day, next_day in pairwise(days):
        assert last_instant(day.isoformat()) + STEP == first_instant(next_day.isoformat())
        assert day_of(last_instant(day.isoformat())) == day_of(first_instant(day.isoformat())) == day


def test_days_are_told_as_people_say_them():
    assert in_words(date(2026, 10, 9)) == "9 October 2026"
    assert day_of("2026-07-14T23:30:00+00:00") == date(2026, 7, 15)
    assert day_of(datetime(2026, 12, 1, 23, 30, tzinfo=UTC)) == date(2026, 12, 1)

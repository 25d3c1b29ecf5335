"""The day of something is its day in England, whichever time zone it was written in."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from phb_fhir.rules.budget import Amount, Days, first_day, last_day

DAYS = {
    "2026-10-04T23:30:00Z": date(2026, 10, 5),  # half past midnight, summer time
    "2026-10-04T22:59:59Z": date(2026, 10, 4),
    "2026-10-04T23:30:00+01:00": date(2026, 10, 4),
    "2026-10-05T00:30:00+01:00": date(2026, 10, 5),
    "2026-11-20T23:30:00Z": date(2026, 11, 20),  # winter
    "2026-11-20T23:30:00-05:00": date(2026, 11, 21),
    "2026-03-29T00:59:59.999999999Z": date(2026, 3, 29),
    # what no clock here shows is taken as it is written
    "2026-11-20T23:59:60Z": date(2026, 11, 20),
    "0001-01-01T00:00:00+14:00": date(1, 1, 1),
    "9999-12-31T23:59:59-12:00": date(9999, 12, 31),
}


@pytest.mark.parametrize(("text", "day"), DAYS.items())
def test_an_instant_is_of_its_day_in_england(text: str, day: date) -> None:
    assert first_day(text) == last_day(text) == day


@pytest.mark.parametrize("text", ["2026-02-30T10:00:00Z", "T10:00:00Z", "", None, 3])
def test_what_is_no_day_is_none(text: object) -> None:
    assert first_day(text) is None


def test_a_month_and_a_year_begin_and_end() -> None:
    assert (first_day("2028-02"), last_day("2028-02")) == (date(2028, 2, 1), date(2028, 2, 29))
    assert (first_day("2026"), last_day("2026")) == (date(2026, 1, 1), date(2026, 12, 31))


@pytest.mark.parametrize(
    ("start", "end", "frequency", "pence"),
    [
        (date(2026, 4, 6), date(2026, 5, 5), "mo", 10_000),
        (date(2026, 4, 6), date(2026, 4, 20), "mo", 5_000),
        (date(2026, 1, 31), date(2026, 2, 28), "mo", 10_000),  # to the last day, as no 31st comes
        (date(2026, 1, 30), date(2026, 2, 28), "mo", 10_000),
        (date(2026, 1, 31), date(2026, 2, 27), "mo", 9_655),  # but for one of 29 days
        (date(2026, 8, 31), date(2026, 9, 30), "mo", 10_000),
        (date(2026, 1, 31), date(2026, 3, 29), "mo", 19_667),  # but for one of the 30 days up to 31 March
        (date(2026, 1, 31), date(2026, 3, 30), "mo", 20_000),
        (date(2028, 2, 29), date(2029, 2, 28), "a", 10_000),
        (date(2028, 2, 29), date(2032, 2, 28), "a", 40_000),
        (date(2026, 10, 5), date(2027, 10, 4), "a", 10_000),
        (date(2026, 11, 23), date(2026, 11, 23), "d", 10_000),
        (date(2026, 11, 23), date(2026, 11, 23), "wk", 1_429),
        (date(9999, 12, 31), date(9999, 12, 31), "mo", 0),
    ],
)
def test_what_is_a_month_or_a_year_is_worth_one(start: date, end: date, frequency: str, pence: int) -> None:
    assert Amount("approved", 10_000, Days(start, end), frequency, "").worth == pence


@pytest.mark.parametrize("start", [date(2026, 1, day) for day in range(28, 32)] + [date(2028, 2, 29)])
@pytest.mark.parametrize("frequency", ["mo", "a", "wk", "d"])
def test_no_day_more_is_worth_less(start: date, frequency: str) -> None:
    ends = [start + timedelta(days=count) for count in range(800)]
    worth = [Amount("approved", 100_000, Days(start, end), frequency, "").worth for end in ends]
    assert worth == sorted(worth)

"""The day of something is its day in England, whichever time zone it was written in."""

from __future__ import annotations

from datetime import date

import pytest

from phb_fhir.rules.budget import first_day, last_day

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

"""Working days in England and Wales (R123), held against the days that GOV.UK lists for 2012 to 2028 (gov.uk/bank-holidays)."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from phb_fhir.rules.working_days import (
    bank_holidays,
    easter,
    is_working_day,
    working_days_after,
    working_days_between,
)

LISTED = """
2012-01-02 2012-04-06 2012-04-09 2012-05-07 2012-06-04 2012-06-05 2012-08-27 2012-12-25 2012-12-26
2013-01-01 2013-03-29 2013-04-01 2013-05-06 2013-05-27 2013-08-26 2013-12-25 2013-12-26
2014-01-01 2014-04-18 2014-04-21 2014-05-05 2014-05-26 2014-08-25 2014-12-25 2014-12-26
2015-01-01 2015-04-03 2015-04-06 2015-05-04 2015-05-25 2015-08-31 2015-12-25 2015-12-28
2016-01-01 2016-03-25 2016-03-28 2016-05-02 2016-05-30 2016-08-29 2016-12-26 2016-12-27
2017-01-02 2017-04-14 2017-04-17 2017-05-01 2017-05-29 2017-08-28 2017-12-25 2017-12-26
2018-01-01 2018-03-30 2018-04-02 2018-05-07 2018-05-28 2018-08-27 2018-12-25 2018-12-26
2019-01-01 2019-04-19 2019-04-22 2019-05-06 2019-05-27 2019-08-26 2019-12-25 2019-12-26
2020-01-01 2020-04-10 2020-04-13 2020-05-08 2020-05-25 2020-08-31 2020-12-25 2020-12-28
2021-01-01 2021-04-02 2021-04-05 2021-05-03 2021-05-31 2021-08-30 2021-12-27 2021-12-28
2022-01-03 2022-04-15 2022-04-18 2022-05-02 2022-06-02 2022-06-03 2022-08-29 2022-09-19 2022-12-26 2022-12-27
2023-01-02 2023-04-07 2023-04-10 2023-05-01 2023-05-08 2023-05-29 2023-08-28 2023-12-25 2023-12-26
2024-01-01 2024-03-29 2024-04-01 2024-05-06 2024-05-27 2024-08-26 2024-12-25 2024-12-26
2025-01-01 2025-04-18 2025-04-21 2025-05-05 2025-05-26 2025-08-25 2025-12-25 2025-12-26
2026-01-01 2026-04-03 2026-04-06 2026-05-04 2026-05-25 2026-08-31 2026-12-25 2026-12-28
2027-01-01 2027-03-26 2027-03-29 2027-05-03 2027-05-31 2027-08-30 2027-12-27 2027-12-28
2028-01-03 2028-04-14 2028-04-17 2028-05-01 2028-05-29 2028-08-28 2028-12-25 2028-12-26
"""


@pytest.mark.parametrize("year", range(2012, 2029))
def test_the_bank_holidays_of_a_year_are_those_that_are_listed(year: int) -> None:
    listed = {date.fromisoformat(day) for day in LISTED.split()}
    assert bank_holidays(year) == {day for day in listed if day.year == year}


@pytest.mark.parametrize("year", [*range(1999, 2100, 7), 9990])
def test_a_year_has_at_least_eight_bank_holidays_and_all_are_weekdays(year: int) -> None:
    found = bank_holidays(year)
    assert len(found) >= 8
    assert {day.weekday() for day in found} <= set(range(5))


@pytest.mark.parametrize(
    ("year", "month", "day"),  # early, late, and the two exceptions of the reckoning
    [(1818, 3, 22), (2008, 3, 23), (2038, 4, 25), (1943, 4, 25), (1954, 4, 18), (1981, 4, 19), (2049, 4, 18)],
)
def test_easter_is_when_the_tables_have_it(year: int, month: int, day: int) -> None:
    assert easter(year) == date(year, month, day)


@pytest.mark.parametrize(
    ("day", "is_one"),
    [("2026-11-20", True), ("2026-11-21", False), ("2026-11-22", False), ("2026-12-25", False), ("2026-12-24", True)],
)
def test_a_working_day_is_a_weekday_that_is_no_bank_holiday(day: str, is_one: bool) -> None:
    assert is_working_day(date.fromisoformat(day)) is is_one


@pytest.mark.parametrize(
    ("start", "count", "end"),
    [
        ("2026-11-23", 7, "2026-12-02"),  # a Monday: the Wednesday of the week after
        ("2026-11-22", 7, "2026-12-01"),  # a Sunday: from the Monday on
        ("2026-12-18", 7, "2026-12-31"),  # over Christmas: the 25th and the 28th do not count
        ("2026-12-18", 1, "2026-12-21"),
    ],
)
def test_working_days_are_counted_over_weekends_and_holidays(start: str, count: int, end: str) -> None:
    first, last = date.fromisoformat(start), date.fromisoformat(end)
    assert working_days_after(first, count) == last
    assert working_days_between(first, last) == count
    assert working_days_between(first, last - timedelta(days=1)) == count - 1


def test_between_a_day_and_one_before_it_there_are_none() -> None:
    assert working_days_between(date(2026, 11, 23), date(2026, 11, 20)) == 0
    assert working_days_between(date(2026, 11, 23), date(2026, 11, 23)) == 0


def test_counting_by_weeks_comes_to_the_same_as_counting_by_days() -> None:
    start = date(2024, 12, 20)
    for length in range(0, 800, 13):
        end = start + timedelta(days=length)
        days = (start + timedelta(days=n + 1) for n in range(length))
        assert working_days_between(start, end) == sum(is_working_day(day) for day in days)

"""Working days in England and Wales: Monday to Friday, but for bank holidays (RULE-PANEL f, R123).

The holidays of a year follow from the Banking and Financial Dealings Act 1971 and what is proclaimed every year: eight days, and a substitute
for each that falls on a weekend. What was once proclaimed beside them, or instead, is in MOVED and ONCE; a proclamation to come is one more
line there. Easter Sunday is that of the Gregorian calendar.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from functools import cache

_DAY = timedelta(days=1)
_MONDAY, _SATURDAY = 0, 5
_JANUARY, _MAY, _JUNE, _AUGUST, _DECEMBER = 1, 5, 6, 8, 12

# holidays that were on another day, for once
MOVED: Mapping[date, date] = {
    date(2012, 5, 28): date(2012, 6, 4),  # the spring holiday, for the Diamond Jubilee
    date(2020, 5, 4): date(2020, 5, 8),  # the early May holiday, for the 75th anniversary of VE Day
    date(2022, 5, 30): date(2022, 6, 2),  # the spring holiday, for the Platinum Jubilee
}
ONCE = frozenset(
    (
        date(2012, 6, 5),  # Diamond Jubilee
        date(2022, 6, 3),  # Platinum Jubilee
        date(2022, 9, 19),  # State funeral of Queen Elizabeth II
        date(2023, 5, 8),  # Coronation of King Charles III
    )
)


def is_working_day(day: date) -> bool:
    """Whether offices are open."""
    return day.weekday() < _SATURDAY and day not in bank_holidays(day.year)


def working_days_after(day: date, count: int) -> date:
    """The working day that comes so many working days after a day, which does not count itself."""
    for _ in range(count):
        day += _DAY
        while not is_working_day(day):
            day += _DAY
    return day


def working_days_between(start: date, end: date) -> int:
    """How many working days there are after `start`, up to and with `end`."""
    whole, rest = divmod(max((end - start).days, 0), 7)
    weekdays = whole * _SATURDAY + sum((start + _DAY * (n + 1)).weekday() < _SATURDAY for n in range(rest))
    years = range(start.year, end.year + 1) if end > start else ()
    return weekdays - sum(start < day <= end for year in years for day in bank_holidays(year))


@cache
def bank_holidays(year: int) -> frozenset[date]:
    """The bank holidays of a year; all of them are weekdays."""
    named = {MOVED.get(day, day) for day in _named(year)}
    return frozenset((*named, *_around_christmas(year), *(day for day in ONCE if day.year == year)))


def _named(year: int) -> Iterator[date]:
    """Those that are always on the same day of the week, and New Year's Day."""
    yield _weekday_from(date(year, _JANUARY, 1))
    yield easter(year) - 2 * _DAY
    yield easter(year) + _DAY
    yield _monday_from(date(year, _MAY, 1))
    yield _monday_from(date(year, _JUNE, 1)) - 7 * _DAY
    yield _monday_from(date(year, _AUGUST, 25))


def _around_christmas(year: int) -> tuple[date, date]:
    """Christmas Day and Boxing Day; the first of those on a weekend gets the first weekday after both."""
    days = [date(year, _DECEMBER, 25), date(year, _DECEMBER, 26)]
    kept = [day for day in days if day.weekday() < _SATURDAY]
    free = _weekday_from(date(year, _DECEMBER, 27))
    while len(kept) < len(days):
        kept.append(free)
        free += _DAY
    return kept[0], kept[1]


def _weekday_from(day: date) -> date:
    while day.weekday() >= _SATURDAY:
        day += _DAY
    return day


def _monday_from(day: date) -> date:
    return day + _DAY * ((_MONDAY - day.weekday()) % 7)


def easter(year: int) -> date:
    """Easter Sunday, by the Gregorian reckoning: the Sunday after the full moon that falls on or follows 21 March."""
    golden, century = year % 19, year // 100
    skipped = century - century // 4 - (8 * century + 13) // 25  # leap days left out, and the moon's own drift
    moon = (19 * golden + skipped + 15) % 30
    moon -= (moon // 28) * (1 - (29 // (moon + 1)) * ((21 - golden) // 11))
    weekday = (year + year // 4 + moon + 2 - century + century // 4) % 7
    days = moon - weekday
    month = 3 + (days + 40) // 44
    return date(year, month, days + 28 - 31 * (month // 4))

"""FHIR dates as half-open periods of UTC, and HTTP's dates.

A FHIR date, dateTime or instant is a period as wide as its precision (R4 §3.1.1.4.7): `2026-03` runs from the first
instant of March up to, not including, the first of April. A date without a time zone is taken as UTC. A leap second
(`23:59:60`, which R4's dateTime allows) is taken as the second after it, as computers' clocks take it. What a time zone or
the year 9999 moves out of the reach of four-digit years is the first or the last instant inside it.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:T(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?P<fraction>\.\d+)?)?(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)

_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_END = "9999-12-31T24:00Z"  # what no datetime can say


def with_plus(text: str) -> str:
    """A date or number whose `+` was not percent-encoded, so that it arrived as a blank."""
    return text.replace(" ", "+")


@lru_cache(maxsize=4096)  # a day is asked for, and written, many times
def span_of(text: str) -> tuple[str, str]:
    """The period of `period_of` as two texts that sort as its instants do: `2026-03-01T00:00:00.000000Z`."""
    start, end = period_of(text)
    return sortable_text(start), sortable_end(end)


def sortable_text(at: datetime) -> str:
    """An instant of UTC to the microsecond; as a text it sorts where the instant does."""
    return f"{at.isoformat(timespec='microseconds')[:26]}Z"


def sortable_end(at: datetime) -> str:
    """The same of an end, which may be the end of all years: then it sorts behind every instant."""
    return _END if at == _LAST else sortable_text(at)


def period_of(text: str) -> tuple[datetime, datetime]:
    """The period [start, end) that a FHIR date, dateTime or instant stands for. Raises ValueError if it is none."""
    found = _DATE.fullmatch(text)
    if not found:
        raise ValueError(text)
    if found["day"] is None:
        return _year_or_month(int(found["year"]), found["month"])
    second = int(found["second"] or 0)
    local = datetime(
        int(found["year"]), int(found["month"]), int(found["day"]), int(found["hour"] or 0), int(found["minute"] or 0),
        min(second, 59), tzinfo=UTC,
    )  # fmt: skip
    if second > 60:
        raise ValueError(text)
    start = _moved(local, timedelta(seconds=second // 60) - _offset(found["zone"]))
    if found["fraction"]:
        digits = found["fraction"][1:]
        start = _moved(start, timedelta(microseconds=int(digits[:6].ljust(6, "0"))))
        return start, _moved(start, timedelta(microseconds=10 ** max(0, 6 - len(digits))))
    return start, _moved(start, _width(found["hour"], found["second"]))


def _moved(at: datetime, by: timedelta) -> datetime:
    try:
        return at + by
    except OverflowError:
        return _FIRST if by < timedelta() else _LAST


def _year_or_month(year: int, month: str | None) -> tuple[datetime, datetime]:
    start = datetime(year, int(month or 1), 1, tzinfo=UTC)
    next_year, next_month = (year + 1, 1) if month is None else (year + start.month // 12, start.month % 12 + 1)
    return start, _LAST if next_year > _LAST.year else datetime(next_year, next_month, 1, tzinfo=UTC)


def _width(hour: str | None, second: str | None) -> timedelta:
    if hour is None:
        return timedelta(days=1)
    return timedelta(minutes=1) if second is None else timedelta(seconds=1)


def _offset(zone: str | None) -> timedelta:
    if zone is None or zone == "Z":
        return timedelta()
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if hours > 14 or minutes > 59:
        raise ValueError(zone)
    return (1 if zone[0] == "+" else -1) * timedelta(hours=hours, minutes=minutes)


def days_later(day: date, days: int) -> date:
    """So many days later, or earlier for fewer than none; no further than the first or the last day of all years."""
    return date.fromordinal(min(max(day.toordinal() + days, 1), date.max.toordinal()))


def months_later(day: date, months: int) -> date:
    """The same day so many months later; where there is no such day, the last of the month; no further than all years go."""
    year, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + year, month + 1
    if not date.min.year <= year <= date.max.year:
        return date.max if months > 0 else date.min
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def instant_text(at: datetime) -> str:
    """A FHIR instant to the millisecond, in UTC: what MongoDB keeps of a time, so what is said is what is stored."""
    return f"{at.isoformat(timespec='milliseconds')[:23]}Z"


def to_millisecond(at: datetime) -> datetime:
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


@lru_cache(maxsize=4096)  # a resource that is read is read again
def http_date(at: datetime) -> str:
    """An HTTP date (RFC 9110 §5.6.7) of a time in UTC."""
    day, month = _DAYS[at.weekday()], _MONTHS[at.month - 1]
    return f"{day}, {at.day:02d} {month} {at.year:04d} {at.hour:02d}:{at.minute:02d}:{at.second:02d} GMT"


def parse_http_date(text: str) -> datetime | None:
    """The instant an HTTP date names; None if it is none (a recipient must then ignore the header, RFC 9110 §13.1.3)."""
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)

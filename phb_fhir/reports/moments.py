"""Days and instants as people say them, for reports: a day is a day in England, whatever the clock of the server says.

The ledger keeps instants to the millisecond. `last_instant` and `first_instant` turn what somebody named into the last, or first, of
them that it covers, so that the end of one report is right before the beginning of the next.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from datetime import time as clock

from phb_fhir.fhir.dates import period_of, with_plus
from phb_fhir.rules.budget import LONDON, first_day, last_day

STEP = timedelta(milliseconds=1)
_FIRST = datetime(
    1, 1, 1, 0, 2, tzinfo=UTC
)  # the first minute of all whose step back is still a time that clocks show, in England too


def first_instant(text: str) -> datetime:
    """The instant at which a FHIR date or dateTime begins; a date, in England. Raises ValueError."""
    if "T" in text:
        return max(period_of(with_plus(text))[0], _FIRST)
    day = first_day(text) if _is_date(text) else None
    if day is None:
        raise ValueError(text)
    return max(midnight(day), _FIRST)


def last_instant(text: str) -> datetime:
    """The last millisecond of a FHIR date or dateTime; of a date, in England. Raises ValueError."""
    if "T" in text:
        return max(period_of(with_plus(text))[1] - STEP, _FIRST)
    day = last_day(text) if _is_date(text) else None
    if day is None or day == date.max:
        raise ValueError(text)
    return max(midnight(day + timedelta(days=1)) - STEP, _FIRST)


def midnight(day: date) -> datetime:
    """When a day begins in England."""
    return datetime.combine(day, clock(), LONDON).astimezone(UTC)


def day_of(instant: str | datetime) -> date:
    """The day in England at an instant."""
    at = datetime.fromisoformat(instant) if isinstance(instant, str) else instant
    return at.astimezone(LONDON).date()


def _is_date(text: str) -> bool:
    period_of(text)
    return True

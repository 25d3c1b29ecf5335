"""When something of a plan happens, in plain words: a `scheduled[x]` of an activity (R4 §2.24.0.8, Timing)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.rules.budget import days_of, first_day, in_words

_UNITS = {"s": "second", "min": "minute", "h": "hour", "d": "day", "wk": "week", "mo": "month", "a": "year"}
_TIMES = {1: "once", 2: "twice"}
_DAYS = {
    "mon": "Mondays",
    "tue": "Tuesdays",
    "wed": "Wednesdays",
    "thu": "Thursdays",
    "fri": "Fridays",
    "sat": "Saturdays",
    "sun": "Sundays",
}


def when(detail: Resource) -> str:
    """`once a week, from 5 October 2026 to 3 October 2027`; "" where nothing is said that can be put into words."""
    if said := detail.get("scheduledString"):
        return str(said)
    if period := detail.get("scheduledPeriod"):
        return span(period)
    timing = detail.get("scheduledTiming") or {}
    repeat = timing.get("repeat") or {}
    said = [*_often(repeat), *_on(repeat), *_events(timing), *_bounds(repeat)]
    code = timing.get("code") or {}
    return ", ".join(said) or str(code.get("text") or next((c.get("display", "") for c in code.get("coding", ())), ""))


def span(period: Any) -> str:
    """A Period in words; "" for one that is open at both ends."""
    days = days_of(period)
    return str(days) if days.start or days.end else ""


def _often(repeat: Mapping[str, Any]) -> Iterator[str]:
    """`twice a week`, `once every 2 weeks`, `2 to 3 times a day`."""
    unit, period = _UNITS.get(str(repeat.get("periodUnit"))), repeat.get("period")
    if unit is None or period is None:
        return
    least, most = repeat.get("frequency", 1), repeat.get("frequencyMax")
    times = f"{least} to {most} times" if most else _TIMES.get(least, f"{least} times")
    if longest := repeat.get("periodMax"):
        yield f"{times} every {_plain(period)} to {_plain(longest)} {unit}s"
    elif period == 1:
        yield f"{times} {'an' if unit == 'hour' else 'a'} {unit}"
    else:
        yield f"{times} every {_plain(period)} {unit}s"


def _plain(number: Any) -> str:
    """`2` of 2.0, `1.5` of 1.50."""
    return f"{Decimal(str(number)).normalize():f}"


def _on(repeat: Mapping[str, Any]) -> Iterator[str]:
    if days := [_DAYS[one] for one in repeat.get("dayOfWeek", ()) if one in _DAYS]:
        yield f"on {listed(days)}"
    if clock := [str(one)[:5] for one in repeat.get("timeOfDay", ())]:
        yield f"at {listed(clock)}"


def _events(timing: Mapping[str, Any]) -> Iterator[str]:
    days = [day for one in timing.get("event", ()) if (day := first_day(one)) is not None]
    if days:
        yield f"on {listed([in_words(day) for day in days])}"


def _bounds(repeat: Mapping[str, Any]) -> Iterator[str]:
    if count := repeat.get("count"):
        yield f"{_TIMES.get(count, f'{count} times')} in all"
    if said := span(repeat.get("boundsPeriod")):
        yield said
    bound = repeat.get("boundsDuration") or {}
    unit = _UNITS.get(str(bound.get("code")))
    if unit and (value := bound.get("value")) is not None:
        yield f"for {_plain(value)} {unit}{'' if value == 1 else 's'}"


def listed(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(part for part in (", ".join(parts[:-1]), *parts[-1:]) if part)

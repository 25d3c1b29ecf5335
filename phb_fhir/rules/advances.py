"""Advances on a schedule (R86): what of each part is due to be paid out by a day, by `phb-payment-schedule`.

A schedule names its days (`event`), or says how often, from when until when, at most how many times; these are counted from its first. One
that says more (a day of the week, how long instead of until when) has no days here: it would be paid on others than it says. The money of a part is
divided over all of them, every penny once, the earlier ones a penny more where it does not come out even. What is due by a day is what falls
on the days until then, less what was paid out already: so an advance is paid once, and one that was missed is caught up with. What was given back
was paid out as well: money that was asked back is not sent again by the next run. A part that ends sooner than it did gets no more at a time for that,
and nothing after its last day: what is left is for a review to give elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import days_later, months_later
from phb_fhir.fhir.money import divided
from phb_fhir.rules.budget import ONGOING, Days, Element, days_of, elements_of, first_day, joint_of, owner_of, stage_of
from phb_fhir.rules.case import Asking, Find, Posted, ReadVersion
from phb_fhir.rules.ledger import Entry, Ledger, Sums
from phb_fhir.rules.paid import lines_of
from phb_fhir.rules.repayment import CODE as REPAYMENT
from phb_fhir.rules.words import TASK_CODE, value_of

VERSIONS_MAX = 200  # of a budget, that are looked at for the end a part once had
OCCURRENCES_MAX = 1_000  # days of one schedule
_FOLLOWED = frozenset(("id", "extension", "boundsPeriod", "count", "frequency", "period", "periodUnit"))
_MONTHS = {"mo": 1, "a": 12}
_DAYS = {"d": 1, "wk": 7}


class Advance(NamedTuple):
    """An advance that is due: for which part, how much, since which day, and the time it is for."""

    part: Element
    pence: int
    due: date
    period: Days


class Past(NamedTuple):
    """What has become of a budget that its schedule cannot tell, by part: how much holders gave back of what was paid out; and how one was planned
    that was cut short since.
    """

    returned: Mapping[str, int]
    planned: Mapping[str, Element]


NOTHING_PAST = Past({}, {})


def due_advances(account: Resource, ledger: Ledger, until: date, past: Past = NOTHING_PAST) -> list[Advance]:
    """What is to be paid out of an active budget by a day. Nothing for one without a schedule, or with one that has no days."""
    if stage_of(account) != "active":
        return []
    parts = [part for part in elements_of(account) if part.model != "notional"]
    found = (_due(account, part, ledger.of(part.id), until, past) for part in parts)
    return [one for one in found if one is not None]


def past_of(account: Resource) -> Asking[Past]:
    """What has become of a budget that its schedule cannot tell."""
    return Past((yield from returned_advances(account)), (yield from _planned(account)))


def _planned(account: Resource) -> Asking[dict[str, Element]]:
    """Each part that was cut short, it or the budget, as it stood when it was to last longest."""
    now = {part.id: end for part in elements_of(account) if (end := _end_of(account, part)) is not None}
    timing = value_of(account, "phb-payment-schedule") or {}
    bound = days_of((timing.get("repeat") or {}).get("boundsPeriod")).end
    if not any(bound is None or end < bound for end in now.values()):
        return {}
    number = str((account.get("meta") or {}).get("versionId", ""))
    longest: dict[str, Element] = {}
    for n in range(1, min(int(number) if number.isdecimal() else 1, VERSIONS_MAX + 1)):
        version: Resource | None = yield ReadVersion(f"Account/{account['id']}", n)
        for part in elements_of(version) if version is not None and stage_of(version) in ONGOING else ():
            end = _end_of(version or {}, part)
            if end is None or part.id not in now or end <= now[part.id]:
                continue
            if part.id not in longest or end >= (longest[part.id].days.end or end):
                longest[part.id] = part._replace(days=Days(part.days.start, end))
    return longest


def _end_of(account: Resource, part: Element) -> date | None:
    return min((end for end in (part.days.end, days_of(account.get("servicePeriod")).end) if end), default=None)


def returned_advances(account: Resource) -> Asking[dict[str, int]]:
    """The pence that holders gave back of what was paid out in advance, by part: by a notice to repay (regulation 15), or by themselves."""
    key = f"Account/{account['id']}"
    about = ",".join(one for one in (key, joint_of(account)) if one)
    notices: list[Resource] = yield Find("Task", ("focus", about), ("code", f"{TASK_CODE}|{REPAYMENT}"))
    payments: list[Resource] = yield Find(
        "PaymentReconciliation", ("account", key), ("payee", owner_of(account)), ("status", "active")
    )
    own = [one for one in payments if all(line.kind == "advance" for line in lines_of(one))]
    found: dict[str, int] = {}
    for one in (*notices, *own):
        entries: list[Entry] = yield Posted(f"{one['resourceType']}/{one['id']}")
        for entry in (each for each in entries if each.account == key):
            found[entry.pot] = found.get(entry.pot, 0) - entry.sums.advanced
    return found


def has_days(account: Resource) -> bool:
    """Whether the schedule of a budget has days on which any of its parts is paid out, if it has such parts."""
    parts = [part for part in elements_of(account) if part.model != "notional"]
    return not parts or any(schedule_of(account, part) for part in parts)


def _due(account: Resource, part: Element, sums: Sums, until: date, past: Past) -> Advance | None:
    days = schedule_of(account, part)
    fallen = [day for day in days if day <= until]
    if not fallen:
        return None
    fell = min(_fallen(part.pence, days, until), _fallen_as_planned(account, part, until, past))
    pence = min(fell, sums.allocated) - sums.advanced - max(past.returned.get(part.id, 0), 0)
    if pence <= 0:
        return None
    end = days_later(days[len(fallen)], -1) if len(fallen) < len(days) else _within(account, part).end
    return Advance(part, pence, fallen[-1], Days(fallen[-1], end))


def _fallen(pence: int, days: Sequence[date], until: date) -> int:
    """What of an amount falls on the days until one of them."""
    return sum(divided(pence, [1] * len(days))[: sum(day <= until for day in days)]) if days else 0


def _fallen_as_planned(account: Resource, part: Element, until: date, past: Past) -> int:
    """The same as it was planned before the part was cut short: no more is paid out at a time because it ends sooner."""
    planned = past.planned.get(part.id)
    if planned is None:
        return part.pence
    period = {**(account.get("servicePeriod") or {}), "end": (planned.days.end or date.max).isoformat()}
    last = _within(account, part).end or until
    return _fallen(planned.pence, schedule_of({**account, "servicePeriod": period}, planned), min(until, last))


def schedule_of(account: Resource, part: Element) -> list[date]:
    """The days on which a part is paid out."""
    timing = value_of(account, "phb-payment-schedule")
    repeat = timing.get("repeat") if isinstance(timing, dict) else None
    within = _within(account, part)
    if events := timing.get("event") if isinstance(timing, dict) else None:
        named = {day for one in events if (day := first_day(one)) is not None and within.covers(day)}
        return sorted(named)[:OCCURRENCES_MAX]
    if not isinstance(repeat, dict) or within.start is None or within.end is None or repeat.get("frequency", 1) != 1:
        return []
    return list(_days(within, repeat)) if repeat.keys() <= _FOLLOWED else []


def _within(account: Resource, part: Element) -> Days:
    """The time of the schedule, no more than that of the part and of the budget."""
    timing = value_of(account, "phb-payment-schedule") or {}
    several = [
        days_of((timing.get("repeat") or {}).get("boundsPeriod")),
        part.days,
        days_of(account.get("servicePeriod")),
    ]
    starts = [one.start for one in several if one.start is not None]
    ends = [one.end for one in several if one.end is not None]
    return Days(max(starts, default=None), min(ends, default=None))


def _days(within: Days, repeat: Mapping[str, Any]) -> Iterator[date]:
    count, unit = repeat.get("period"), str(repeat.get("periodUnit"))
    if within.start is None or within.end is None or not _is_whole(count) or unit not in (*_MONTHS, *_DAYS):
        return
    step = int(count)  # type: ignore[arg-type]
    times = repeat.get("count", OCCURRENCES_MAX)
    for n in range(min(times, OCCURRENCES_MAX)):
        if unit in _MONTHS:
            day = months_later(within.start, n * step * _MONTHS[unit])
        else:
            day = days_later(within.start, n * step * _DAYS[unit])
        if day > within.end or day == date.max:
            return
        yield day


def _is_whole(count: Any) -> bool:
    return not isinstance(count, bool) and count is not None and count == int(count) and int(count) > 0

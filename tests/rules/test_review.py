"""Reviews: their states pair by pair (SM-H), and when the next one is due (R149, DP-8)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from phb_fhir.fhir.dates import months_later
from phb_fhir.rules.case import Case
from phb_fhir.rules.commissioning import Policy
from phb_fhir.rules.review import STEPS, _stepped, first_due, next_due
from phb_fhir.rules.words import BASE, extension_url

STATUSES = tuple(STEPS)
ENDS = ("cancelled", "entered-in-error")
DRAWN = {
    *(("draft", one) for one in ("requested", "ready", *ENDS)),
    *(("requested", one) for one in ("received", "accepted", "ready", "in-progress", "on-hold", "rejected", *ENDS)),
    *(("received", one) for one in ("accepted", "ready", "in-progress", "on-hold", "rejected", *ENDS)),
    *(("accepted", one) for one in ("ready", "in-progress", "on-hold", *ENDS)),
    *(("ready", one) for one in ("in-progress", "on-hold", *ENDS)),
    *(("on-hold", one) for one in ("ready", "in-progress", *ENDS)),
    *(("in-progress", one) for one in ("completed", "on-hold", "failed", *ENDS)),
    *((one, "entered-in-error") for one in ("completed", "failed", "rejected", "cancelled")),
}


def task(status: str) -> dict[str, Any]:
    code = {"coding": [{"system": f"{BASE}/CodeSystem/phb-task-code", "code": "phb-review"}]}
    return {"resourceType": "Task", "id": "one", "status": status, "code": code}


def case(before: dict[str, Any] | None, after: dict[str, Any] | None) -> Case:
    now = datetime(2026, 11, 22, 9, tzinfo=UTC)
    return Case("Task", "one", before, after, "Task/one/_history/2", now, date(2026, 11, 22))


def test_the_statuses_are_those_of_r4() -> None:
    assert set(STATUSES) == {
        *("draft", "requested", "received", "accepted", "rejected", "ready", "cancelled", "in-progress", "on-hold"),
        *("failed", "completed", "entered-in-error"),
    }


@pytest.mark.parametrize("was", STATUSES)
@pytest.mark.parametrize("now", STATUSES)
def test_a_status_follows_another_or_is_refused_with_what_may(was: str, now: str) -> None:
    said = [issue.text for issue in _stepped(case(task(was), task(now)))]
    if was == now or (was, now) in DRAWN:
        assert said == []
    else:
        assert len(said) == 1
        assert said[0].startswith(f"A review that is {was} cannot become {now}; it can become ")


@pytest.mark.parametrize("status", STATUSES)
def test_a_review_may_be_brought_in_with_any_status(status: str) -> None:
    assert list(_stepped(case(None, task(status)))) == []


# ---- when the next one is due --------------------------------------------------------------------


def account(start: str = "2026-10-05", **schedule: Any) -> dict[str, Any]:
    parts = [{"url": name, **value} for name, value in schedule.items()]
    return {
        "resourceType": "Account",
        "id": "one",
        "servicePeriod": {"start": start},
        "extension": [{"url": extension_url("phb-review-schedule"), "extension": parts}] if parts else [],
    }


def every(value: Any, code: str) -> dict[str, Any]:
    return {"valueDuration": {"value": value, "code": code}}


@pytest.mark.parametrize(
    ("interval", "due"),
    [
        (None, date(2027, 11, 22)),
        (every(6, "mo"), date(2027, 5, 22)),
        (every(1, "a"), date(2027, 11, 22)),
        (every(6, "wk"), date(2027, 1, 3)),
        (every(10, "d"), date(2026, 12, 2)),
        (every(24, "mo"), date(2027, 11, 22)),  # never later than the commissioner's
        (every(Decimal(3), "mo"), date(2027, 2, 22)),
        (every(0, "mo"), date(2027, 11, 22)),
        (every(3, "fortnights"), date(2027, 11, 22)),
    ],
)
def test_the_next_review_is_after_the_interval_and_never_later_than_the_policy(interval: Any, due: date) -> None:
    schedule = {"interval": interval} if interval else {}
    assert next_due(account(**schedule), Policy(), date(2026, 11, 22)) == due


def test_a_stricter_commissioner_is_sooner() -> None:
    assert next_due(account(), Policy(review_months=6), date(2026, 11, 22)) == date(2027, 5, 22)


@pytest.mark.parametrize(
    ("start", "due"),
    [("2026-10-05", date(2027, 2, 22)), ("2026-11-22", date(2027, 2, 22)), ("2026-12-01", date(2027, 3, 1))],
)
def test_the_first_review_is_due_three_months_after_the_money_flows(start: str, due: date) -> None:
    assert first_due(case(None, account(start)), Policy()) == due


@pytest.mark.parametrize(
    ("day", "months", "then"),
    [
        (date(2026, 11, 30), 3, date(2027, 2, 28)),
        (date(2027, 11, 30), 3, date(2028, 2, 29)),
        (date(2026, 1, 31), 1, date(2026, 2, 28)),
        (date(2026, 12, 31), 12, date(2027, 12, 31)),
        (date(2024, 2, 29), 12, date(2025, 2, 28)),
        (date(9999, 10, 31), 3, date.max),
        (date(1, 2, 1), -2, date.min),
        (date(2026, 11, 22), 10**30, date.max),
    ],
)
def test_months_end_where_there_is_no_such_day(day: date, months: int, then: date) -> None:
    assert months_later(day, months) == then

"""Advances by schedule: what is due by a day, every penny once (R86)."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phb_fhir.fhir.money import money
from phb_fhir.rules.advances import Past, due_advances, has_days
from phb_fhir.rules.budget import Days, elements_of
from phb_fhir.rules.ledger import Ledger, Sums
from phb_fhir.rules.words import extension_url

MONTHLY = {"frequency": 1, "period": 1, "periodUnit": "mo"}
YEAR = {"start": "2026-10-05", "end": "2027-10-03"}


def account(
    pence: int, repeat: dict[str, Any], *, model: str = "direct-payment", stage: str = "active"
) -> dict[str, Any]:
    part = [
        {"url": "id", "valueId": "daily"},
        {"url": "model", "valueCode": model},
        {"url": "holder", "valueReference": {"reference": "Patient/1"}},
        {"url": "amount", "valueMoney": money(pence)},
    ]
    return {
        "resourceType": "Account",
        "id": "1",
        "servicePeriod": YEAR,
        "extension": [
            {"url": extension_url("phb-lifecycle-status"), "valueCode": stage},
            {"url": extension_url("phb-management-element"), "extension": part},
            {"url": extension_url("phb-payment-schedule"), "valueTiming": {"repeat": repeat}},
        ],
    }


def ledger(allocated: int, advanced: int = 0) -> Ledger:
    return Ledger("Account/1", {"daily": Sums(allocated=allocated, advanced=advanced)})


def due(pence: int, until: date, advanced: int = 0, repeat: dict[str, Any] = MONTHLY, **more: str) -> list[int]:
    return [one.pence for one in due_advances(account(pence, repeat, **more), ledger(pence, advanced), until)]


@pytest.mark.parametrize(
    ("until", "expected"),
    [(date(2026, 10, 4), []), (date(2026, 10, 5), [1000]), (date(2026, 11, 4), [1000]), (date(2026, 11, 5), [2000])],
)
def test_an_advance_is_due_from_its_day_on_and_not_before(until: date, expected: list[int]) -> None:
    assert due(12_000, until) == expected


def test_what_was_paid_out_is_not_due_again_and_what_was_missed_is() -> None:
    assert due(12_000, date(2026, 12, 5), advanced=3000) == []
    assert due(12_000, date(2026, 12, 5), advanced=1000) == [2000]
    assert due(12_000, date(2026, 12, 5), advanced=5000) == []


@given(pence=st.integers(1, 10**8), unit=st.sampled_from(["d", "wk", "mo"]), period=st.integers(1, 5))
def test_all_of_them_come_to_the_whole_part_to_the_penny_and_none_is_a_penny_more_than_another(
    pence: int, unit: str, period: int
) -> None:
    repeat = {"frequency": 1, "period": period, "periodUnit": unit}
    whole, paid = account(pence, repeat), 0
    amounts = []
    for day in (date.fromordinal(date(2026, 10, 5).toordinal() + n) for n in range(364)):
        for one in due_advances(whole, ledger(pence, paid), day):
            amounts.append(one.pence)
            paid += one.pence
            assert one.due == day
    assert sum(amounts) == pence
    assert max(amounts) - min(amounts) <= 1


def test_a_schedule_may_name_its_days_of_which_those_outside_the_budget_do_not_count() -> None:
    named = account(3_000, {})
    days = ["2027-04-05", "2026-10-05T09:00:00Z", "2026-10-05", "2027-09-30", "2028-01-05"]
    named["extension"][-1]["valueTiming"] = {"event": days}
    for until, pence in ((date(2026, 10, 4), []), (date(2026, 10, 5), [1000]), (date(2027, 12, 31), [3000])):
        assert [one.pence for one in due_advances(named, ledger(3_000), until)] == pence
    assert has_days(named)


@pytest.mark.parametrize("repeat", [MONTHLY | {"frequency": 2}, MONTHLY | {"periodUnit": "h"}, {}])
def test_a_schedule_that_cannot_be_followed_has_no_days(repeat: dict[str, Any]) -> None:
    assert not has_days(account(3_000, repeat))
    assert has_days(account(3_000, repeat, model="notional"))  # nothing is paid out of it


def test_each_advance_is_for_the_time_until_the_next() -> None:
    (first,) = due_advances(account(12_000, MONTHLY), ledger(12_000), date(2026, 10, 5))
    assert first.period == (date(2026, 10, 5), date(2026, 11, 4))
    (last,) = due_advances(account(12_000, MONTHLY), ledger(12_000, 11_000), date(2027, 9, 5))
    assert (last.pence, last.period) == (1000, (date(2027, 9, 5), date(2027, 10, 3)))


def test_what_the_part_was_not_given_is_not_paid_out() -> None:
    budget = account(12_000, MONTHLY)
    assert [one.pence for one in due_advances(budget, ledger(500), date(2026, 12, 5))] == [500]


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "notional"},
        {"stage": "suspended"},
        {"repeat": {"frequency": 2, "period": 1, "periodUnit": "mo"}},
        {"repeat": {"period": 1, "periodUnit": "h"}},
        {"repeat": {"periodUnit": "mo"}},
    ],
)
def test_where_nothing_is_paid_out_by_days_nothing_is_due(changes: dict[str, Any]) -> None:
    assert due(12_000, date(2027, 10, 3), **changes) == []
    assert due(12_000, date(2027, 10, 3)) == [12_000]


def test_a_schedule_may_say_how_many_times_it_pays() -> None:
    thrice = MONTHLY | {"count": 3}
    assert [sum(due(10_000, date(2026, month, 5), repeat=thrice)) for month in (10, 11, 12)] == [3334, 6667, 10_000]


@pytest.mark.parametrize(
    "more",
    [
        {"dayOfWeek": ["fri"]},
        {"timeOfDay": ["09:00:00"]},
        {"frequencyMax": 2},
        {"periodMax": 2},
        {"countMax": 5},
        {"boundsDuration": {"value": 6, "code": "mo"}},
        {"offset": 3, "when": ["AC"]},
    ],
)
def test_a_schedule_that_says_what_is_not_followed_pays_on_no_other_days(more: dict[str, Any]) -> None:
    assert has_days(account(12_000, MONTHLY))
    assert not has_days(account(12_000, MONTHLY | more))
    assert due(12_000, date(2026, 12, 5), repeat=MONTHLY | more) == []


def cut(pence: int, end: str) -> dict[str, Any]:
    """The budget whose part ends sooner than the year, with so much."""
    whole = account(pence, MONTHLY)
    period = {"url": "period", "valuePeriod": {"start": "2026-10-05", "end": end}}
    whole["extension"][1]["extension"].append(period)
    return whole


@pytest.mark.parametrize(
    ("now", "until", "expected"),
    [
        (12_000, date(2026, 11, 30), []),  # two of twelve are paid, and nothing falls due
        (12_000, date(2026, 12, 5), [1000]),
        (12_000, date(2027, 6, 5), [1000]),  # it ended on 10 December
        (3_000, date(2026, 12, 5), [1000]),  # less money for less time: each instalment as before
        (2_400, date(2026, 12, 5), [400]),
    ],
)
def test_a_part_that_ends_sooner_gets_no_more_at_a_time(now: int, until: date, expected: list[int]) -> None:
    (planned,) = elements_of(account(12_000, MONTHLY))
    past = Past({}, {"daily": planned._replace(days=Days(None, date(2027, 10, 3)))})
    found = due_advances(cut(now, "2026-12-10"), ledger(now, 2_000), until, past)
    assert [one.pence for one in found] == expected


def test_what_was_given_back_is_not_due_again() -> None:
    until = date(2026, 12, 5)
    assert due_advances(account(12_000, MONTHLY), ledger(12_000, 2_500), until, Past({"daily": 500}, {})) == []

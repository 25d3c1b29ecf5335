"""Money that has built up is asked about when an advance is paid and when a review is over, and never taken (R87, R88)."""

from __future__ import annotations

import copy
from typing import Any

import httpx
import pytest

from tests.journeys.jills_budget import (
    BUDGET,
    PHB,
    Resource,
    budget,
    finished,
    found,
    looked_at_goals,
    put,
    read,
    record,
    review,
    whole,
    with_rows,
)
from tests.paying import advance, made
from tests.stories import massage

ASKED = f"/Task?code={PHB}/CodeSystem/phb-task-code|surplus-review"
LONG = {"start": "2026-07-06", "end": "2027-07-04"}  # 52 weeks, of which 19 are over and six days
SHORT = {"start": "2026-10-05", "end": "2027-10-03"}


def began(api: httpx.Client, period: Resource) -> httpx.Client:
    """Jill's budget and plan run through a period, and nothing was bought yet."""
    around = [_through(one, period) for one in whole()]
    account = with_rows(budget("active", servicePeriod=period), "phb-review-schedule", reviewed(period["start"]))
    for part in (part for row in account["extension"] for part in row.get("extension", ())):
        if part["url"] == "period":
            part["valuePeriod"] = period
    answer = put(api, *around, account)
    assert answer.status_code == 200, answer.text
    return api


def reviewed(since: str) -> list[Resource]:
    """A row of phb-review-schedule, whose first day is soon enough after the budget began."""
    year = {"value": 12, "unit": "months", "system": "http://unitsofmeasure.org", "code": "mo"}
    return [
        {"url": "first", "valueDate": since},
        {"url": "interval", "valueDuration": year},
        {"url": "next", "valueDate": "2026-12-15"},
    ]


def _through(one: Resource, period: Resource) -> Resource:
    return {**one, "period": period} if one["resourceType"] == "CarePlan" else one


@pytest.fixture
def slow(api: httpx.Client) -> httpx.Client:
    return began(api, LONG)


def paid_out(api: httpx.Client, reference: str, pounds: str = "500.00") -> Resource:
    return made(api.post("/PaymentReconciliation", json=advance(reference, pounds)))


def asked(api: httpx.Client) -> list[Resource]:
    return found(api, ASKED)


def answered(api: httpx.Client, task: Resource) -> None:
    done = {**copy.deepcopy(task), "status": "completed"}
    assert put(api, done).status_code == 200


def test_an_advance_on_money_that_has_built_up_is_paid_and_asked_about_once(slow: httpx.Client) -> None:
    paid_out(slow, "ADV-1")
    (task,) = asked(slow)
    assert task["description"] == (
        "By 22 November 2026, £10,027.86 of this budget was expected to be used, and £0.00 is spent or agreed. £10,027.86 is unspent: that is"
        " more than 8 weeks' money, at £505.00 a week. £500.00 of it was paid out, and is not accounted for by purchases yet. Ask the person"
        " why, and whether the plan or the amount should change. Nothing is taken away because of this (R87, R88)."
    )
    assert task["focus"]["reference"] == BUDGET
    assert task["for"] == {"reference": "Patient/jill"}
    assert task["owner"] == {"reference": "PractitionerRole/priya-nair-coordinator"}
    assert task["restriction"]["period"]["end"] == "2026-12-20"
    paid_out(slow, "ADV-2")
    assert asked(slow) == [task]
    answered(slow, task)
    paid_out(slow, "ADV-3")
    assert [one["status"] for one in asked(slow)] == ["completed"]  # it was answered today


def test_an_advance_on_money_that_is_used_asks_nothing(api: httpx.Client) -> None:
    began(api, SHORT)
    paid_out(api, "ADV-1")
    assert asked(api) == []


def test_two_advances_written_together_ask_once(slow: httpx.Client) -> None:
    entries = [
        {"resource": advance(reference, "100.00"), "request": {"method": "POST", "url": "PaymentReconciliation"}}
        for reference in ("ADV-1", "ADV-2")
    ]
    answer = slow.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.text
    assert len(asked(slow)) == 1


def test_a_review_that_is_over_asks_about_what_has_built_up_and_nothing_is_taken(slow: httpx.Client) -> None:
    over: dict[str, Any] = finished(review(), "no-change")
    assert put(slow, review()).status_code == 200
    assert asked(slow) == []
    answer = put(slow, record(), *looked_at_goals(), over)
    assert answer.status_code == 200, answer.text
    (task,) = asked(slow)
    assert task["focus"]["reference"] == BUDGET
    made(slow.post("/ChargeItem", json=massage()))
    assert read(slow, BUDGET)["status"] == "active"

"""When money has built up, and when it is asked about (R87, R88): pure, of `rules/surplus`. In pounds, as the sentences say them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from phb_fhir.rules.case import Case, Find, PolicyOf, Read, answered
from phb_fhir.rules.commissioning import Policy
from phb_fhir.rules.ledger import CONTINGENCY, Ledger, Sums
from phb_fhir.rules.surplus import CODE, asked_about, in_plain_words, reckon, time_of
from phb_fhir.rules.words import ACCOUNT_TYPE, TASK_CODE, concept, extension_url

KEY = "Account/budget"
NORTH = {"identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "QX1"}}
BEGINS = date(2026, 1, 5)
Resource = dict[str, Any]


def budget(stage: str = "active", kind: str = "personal-health-budget", **more: Any) -> Resource:
    return {
        "resourceType": "Account",
        "id": "budget",
        "name": "Jill's budget",
        "type": concept(ACCOUNT_TYPE, kind),
        "subject": [{"reference": "Patient/jill"}],
        "owner": {"reference": "Organization/north", **NORTH},
        "servicePeriod": {"start": "2026-01-05", "end": "2027-01-03"},  # 52 weeks
        "extension": [{"url": extension_url("phb-lifecycle-status"), "valueCode": stage}],
        **more,
    }


def ledger(allocated: int = 5200, spent: int = 0, committed: int = 0, advanced: int = 0, **more: Sums) -> Ledger:
    """A ledger, in pounds: £100.00 a week unless told otherwise."""
    return Ledger(KEY, {"daily-life": Sums(allocated * 100, committed * 100, spent * 100, advanced * 100), **more})


def week(count: int) -> date:
    """The day after so many weeks of the budget."""
    return BEGINS + timedelta(weeks=count)


# ---- how it stands -------------------------------------------------------------------------------


def test_what_should_be_used_by_now_and_is_not_is_unspent() -> None:
    found = reckon(budget(), ledger(spent=300, committed=100), week(10))
    assert found is not None
    assert (found.weekly, found.due, found.used, found.unspent, found.weeks) == (
        100_00,
        1_000_00,
        400_00,
        600_00,
        Decimal("6.0"),
    )


@pytest.mark.parametrize(("count", "is_more"), [(8, False), (9, True)])
def test_eight_weeks_money_is_no_surplus_and_more_is(count: int, is_more: bool) -> None:
    found = reckon(budget(), ledger(), week(count))
    assert found is not None
    assert found.is_more_than(8) is is_more


def test_what_was_used_early_is_no_debt() -> None:
    found = reckon(budget(), ledger(spent=4000), week(10))
    assert found is not None
    assert (found.unspent, found.is_more_than(8)) == (0, False)


def test_money_that_was_paid_out_counts_as_any_other_until_it_is_accounted_for() -> None:
    kept, paid = (reckon(budget(), ledger(spent=200, advanced=each), week(12)) for each in (0, 1200))
    assert kept is not None
    assert paid is not None
    assert (paid.unspent, paid.advanced) == (kept.unspent, 1_000_00)
    assert "£1,000.00 of it was paid out, and is not accounted for" in in_plain_words(paid, 8)
    assert "paid out" not in in_plain_words(kept, 8)


def test_money_for_emergencies_is_meant_to_stay() -> None:
    aside = {CONTINGENCY: Sums(allocated=400_00, spent=100_00)}
    assert reckon(budget(), ledger(**aside), week(20)) == reckon(budget(), ledger(), week(20))


def test_after_its_last_day_all_of_it_should_be_used_and_never_more() -> None:
    found = reckon(budget(), ledger(), date(2028, 1, 1))
    assert found is not None
    assert found.due == 5_200_00


@pytest.mark.parametrize(
    "account",
    [
        budget("suspended"),
        budget("authorised"),
        budget("closing"),
        budget(kind="one-off"),
        budget(kind="joint"),
        budget(servicePeriod={}),
        budget(servicePeriod={"start": "2027-01-01", "end": "2027-12-31"}),
        budget(servicePeriod={"start": "2026-02-01", "end": "2026-01-01"}),
    ],
)
def test_what_is_not_spent_evenly_now_is_not_reckoned(account: Resource) -> None:
    assert reckon(account, ledger(), week(40)) is None
    assert reckon(budget(), ledger(), week(40)) is not None


def test_a_budget_without_an_end_goes_by_its_approved_amount_or_by_a_year() -> None:
    approved = [
        {"url": "type", "valueCode": "approved"},
        {"url": "amount", "valueMoney": {"value": 100, "currency": "GBP"}},
        {"url": "period", "valuePeriod": {"start": "2026-01-05", "end": "2026-07-05"}},
    ]
    open_ended = budget(servicePeriod={"start": "2026-01-05"})
    assert time_of(open_ended) == (BEGINS, date(2027, 1, 3))
    row = {"url": extension_url("phb-budget-amount"), "extension": approved}
    assert time_of({**open_ended, "extension": [row]}) == (BEGINS, date(2026, 7, 5))


# ---- when it is asked about ----------------------------------------------------------------------


def review(status: str, changed: date) -> Resource:
    return {"resourceType": "Task", "id": "earlier", "status": status, "lastModified": f"{changed}T09:00:00Z"}


def follows(day: date, *earlier: Resource, weeks: int = 8, books: Ledger | None = None) -> list[Resource]:
    """The Tasks that follow on a day."""
    now = datetime(day.year, day.month, day.day, 9, tzinfo=UTC)
    case = Case("Task", "review", None, {}, "Task/review/_history/1", now, day)
    answers: dict[Any, Any] = {
        PolicyOf("QX1"): Policy(surplus_weeks=weeks, decision_days=14),
        Find("Task", ("code", f"{TASK_CODE}|{CODE}"), ("focus", KEY)): list(earlier),
        Read("Organization/north"): {"Organization/north": None},
    }
    return [one.resource for one in answered(asked_about(case, budget(), books or ledger()), answers)]


def test_a_surplus_is_asked_about_in_plain_words_with_days_to_answer() -> None:
    (task,) = follows(date(2026, 3, 16), books=ledger(spent=50))
    assert task["description"] == (
        "By 16 March 2026, £1,000.00 of this budget was expected to be used, and £50.00 is spent or agreed. £950.00 is unspent: that is"
        " more than 8 weeks' money, at £100.00 a week. Ask the person why, and whether the plan or the amount should change. Nothing is"
        " taken away because of this (R87, R88)."
    )
    assert (task["status"], task["code"]["coding"][0]["code"]) == ("requested", "surplus-review")
    assert (task["focus"], task["for"]) == (
        {"reference": KEY, "display": "Jill's budget"},
        {"reference": "Patient/jill"},
    )
    assert task["owner"] == {"reference": "Organization/north"}
    assert task["restriction"]["period"]["end"] == "2026-03-30"


@pytest.mark.parametrize(("weeks", "count"), [(9, 1), (10, 0)])
def test_the_commissioner_says_how_many_weeks_are_too_many(weeks: int, count: int) -> None:
    assert len(follows(week(10), weeks=weeks)) == count


@pytest.mark.parametrize(
    ("status", "ago", "count"),
    [
        ("requested", 300, 0),
        ("in-progress", 300, 0),
        ("completed", 55, 0),  # not before another could have built up
        ("completed", 56, 1),
        ("cancelled", 1, 1),
        ("entered-in-error", 1, 1),
    ],
)
def test_it_is_asked_once_and_again_when_another_may_have_built_up(status: str, ago: int, count: int) -> None:
    assert len(follows(week(40), review(status, week(40) - timedelta(days=ago)))) == count

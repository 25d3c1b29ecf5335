"""C32E1 AC6: a budget is closed after its last review, with no open commitments, and its unspent money dealt with (R15)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.journeys.jills_budget import (
    BUDGET,
    Resource,
    begin,
    budget,
    come_to,
    finished,
    looked_at_goals,
    put,
    read,
    record,
    refused,
    review,
    rows,
    stands,
)
from tests.journeys.test_c32e7_repayment import ask, pounds, step
from tests.paying import advance
from tests.stories import massage


@pytest.fixture
def closing(api: httpx.Client) -> httpx.Client:
    begin(api)
    (one,) = (each for each in _directory())
    assert put(api, one).status_code == 200
    come_to(api, "active")
    assert put(api, review(purpose="closing")).status_code == 200
    return api


def _directory() -> list[Resource]:
    from tests.stories import story

    return [one for one in story() if one["id"] == "massage-therapy"]


def last_review(api: httpx.Client) -> None:
    done = finished(review(purpose="closing"), "close")
    assert put(api, record(), *looked_at_goals(), done).status_code == 200


def close(api: httpx.Client, **more: Any) -> httpx.Response:
    rows_ = [
        {"name": "review", "valueReference": {"reference": "Task/review"}},
        {"name": "reason", "valueString": "Jill moves to Scotland."},
        *more.get("rows", ()),
    ]
    return api.post(f"/{BUDGET}/$close", json={"resourceType": "Parameters", "parameter": rows_})


def balance(api: httpx.Client) -> dict[str, float]:
    found = api.get(f"/{BUDGET}/$balance").json()["parameter"]
    return {row["name"]: float(row["valueMoney"]["value"]) for row in found if "valueMoney" in row}


def test_a_budget_is_closed_and_what_is_left_goes_back(closing: httpx.Client) -> None:
    assert put(closing, budget("closing")).status_code == 200
    last_review(closing)
    answer = close(closing)
    assert answer.status_code == 200, answer.text
    account = answer.json()
    assert stands(account) == ("closed", "inactive")
    assert account["servicePeriod"]["end"] == "2026-11-22"
    (row,) = rows(account, "phb-amendment-reason")
    assert [list(part.values())[1] for part in row["extension"]] == [
        "2026-11-22",
        "Jill moves to Scotland.",
        {"reference": "Task/review"},
    ]
    assert read(closing, "Task/review")["output"][-1]["valueReference"] == {"reference": BUDGET}
    assert balance(closing)["available"] == 0


def test_a_review_that_closes_several_budgets_names_each(closing: httpx.Client) -> None:
    assert put(closing, budget("closing")).status_code == 200
    done = finished(review(purpose="closing"), "close")
    system = "https://fhir.phb.nhs.example/CodeSystem/phb-task-parameter"
    another = {
        "type": {"coding": [{"system": system, "code": "budget"}]},
        "valueReference": {"reference": "Account/another"},
    }
    done["output"] = [*done["output"], another]
    assert put(closing, record(), *looked_at_goals(), done).status_code == 200
    assert close(closing).status_code == 200
    named = [one["valueReference"] for one in read(closing, "Task/review")["output"] if "valueReference" in one]
    assert named[-2:] == [{"reference": "Account/another"}, {"reference": BUDGET}]


def test_a_plain_put_closes_it_as_well(closing: httpx.Client) -> None:
    assert put(closing, budget("closing")).status_code == 200
    last_review(closing)
    closed = budget("closed", servicePeriod={"start": "2026-10-05", "end": "2026-11-22"})
    assert put(closing, closed).status_code == 200


def test_a_budget_that_is_not_closing_is_not_closed(closing: httpx.Client) -> None:
    last_review(closing)
    assert refused(close(closing)) == [
        "A budget that is active cannot become closed; it can become suspended, closing, entered-in-error."
    ]


def test_without_its_last_review_it_is_not_closed(closing: httpx.Client) -> None:
    assert put(closing, budget("closing")).status_code == 200
    assert refused(close(closing)) == [
        "A budget ends with its last review: a Task phb-review of type closing about it, completed (R15).",
        "Task/review is in-progress. A review is over before the money changes by it.",
    ]
    last_review(closing)
    assert close(closing).status_code == 200


def test_what_is_committed_is_paid_or_taken_back_first(closing: httpx.Client) -> None:
    made = closing.post("/ChargeItem", json=massage())
    assert (made.status_code, made.json()["status"]) == (201, "billable")
    assert put(closing, budget("closing")).status_code == 200
    last_review(closing)
    assert refused(close(closing)) == [
        "£45.00 is still committed to purchases; each must be paid or taken back before the budget closes."
    ]


def test_what_waits_for_a_decision_is_decided_first(closing: httpx.Client) -> None:
    unusual = massage(definitionCanonical=["https://fhir.phb.nhs.example/ChargeItemDefinition/unheard-of|1"])
    made = closing.post("/ChargeItem", json=unusual)
    assert (made.status_code, made.json()["status"]) == (201, "planned"), made.text
    assert put(closing, budget("closing")).status_code == 200
    last_review(closing)
    assert refused(close(closing)) == [
        f"ChargeItem/{made.json()['id']} still waits for a decision: approve or refuse what is planned before the budget closes."
    ]


def test_what_is_in_somebodys_hands_comes_back_or_is_written_off_all_of_it(closing: httpx.Client) -> None:
    def asked_back(amount: float, end: str) -> None:
        assert step(closing, ask(closing, amount=pounds(amount)).json(), end).status_code == 200

    assert closing.post("/PaymentReconciliation", json=advance("ADV-1", 3000)).status_code == 201
    asked_back(10, "repaid")
    assert put(closing, budget("closing")).status_code == 200
    last_review(closing)
    (why,) = refused(close(closing))
    assert why == (
        "£2,990.00 of the part 'daily-life' was paid out and not spent: it comes back first, or a repayment notice for it is written off (regulation 15)."
    )
    asked_back(990, "written-off")
    (why,) = refused(close(closing))
    assert "was paid out and not spent, and £990.00 of it is written off: the rest comes back first" in why
    asked_back(2000, "repaid")
    assert close(closing).status_code == 200


def test_its_last_day_is_not_still_to_come(closing: httpx.Client) -> None:
    assert put(closing, budget("closing")).status_code == 200
    last_review(closing)
    (reason,) = refused(close(closing, rows=[{"name": "end", "valueDate": "2026-11-23"}]))
    assert reason.startswith("The budget runs to 23 November 2026")


@pytest.mark.parametrize("left_out", ["review", "reason"])
def test_closing_says_why_and_after_which_review(closing: httpx.Client, left_out: str) -> None:
    given = {"review": {"valueReference": {"reference": "Task/review"}}, "reason": {"valueString": "She moves."}}
    sent = [{"name": name, **value} for name, value in given.items() if name != left_out]
    answer = closing.post(f"/{BUDGET}/$close", json={"resourceType": "Parameters", "parameter": sent})
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["diagnostics"].startswith(f'There is no "{left_out}"')


def test_nothing_follows_closed(closing: httpx.Client) -> None:
    assert put(closing, budget("closing")).status_code == 200
    last_review(closing)
    assert close(closing).status_code == 200
    assert len(refused(put(closing, budget("active")))) >= 1

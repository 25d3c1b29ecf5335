"""C32E1: when somebody has died, their care co-ordinator is asked to close what they had, once, and nothing ends by itself (R15)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from tests.builders import bundle_of
from tests.journeys.jills_budget import BUDGET, at_stage, notice, put, read, stands
from tests.paying import Books, advance, made, said
from tests.running import RunningServer
from tests.stories import FAMILY, massage, tell

CODE = "https://fhir.phb.nhs.example/CodeSystem/phb-review-type"


def closing(api: httpx.Client, person: str = "Patient/jill") -> list[dict[str, Any]]:
    """The closing reviews that are asked for."""
    found = made(api.get("/Task", params={"patient": person, "code": "phb-review"})).get("entry", [])
    return [one["resource"] for one in found if one["resource"]["reasonCode"]["coding"][0]["code"] == "closing"]


def dies(api: httpx.Client, person: str = "Patient/jill", **died: Any) -> httpx.Response:
    return api.put(f"/{person}", json=made(api.get(f"/{person}")) | (died or {"deceasedDateTime": "2026-11-21"}))


def test_the_co_ordinator_is_asked_to_close_the_budget(jill: httpx.Client) -> None:
    made(dies(jill))
    (task,) = closing(jill)
    assert (task["status"], task["priority"]) == ("ready", "urgent")
    assert task["owner"] == {"reference": "PractitionerRole/priya-nair-coordinator"}
    assert task["focus"] == {"reference": "Account/jill-budget"}
    assert task["description"].startswith("The person died on 21 November 2026. Close the budget")
    assert "repayment-notice" in task["description"]
    assert task["restriction"]["period"]["end"] == "2026-12-20"


@pytest.mark.parametrize("way", ["patch", "transaction", "unknown day"])
def test_however_it_is_recorded(jill: httpx.Client, way: str) -> None:
    if way == "patch":
        change = [{"op": "add", "path": "/deceasedDateTime", "value": "2026-11-21"}]
        made(jill.patch("/Patient/jill", json=change, headers={"Content-Type": "application/json-patch+json"}))
    elif way == "transaction":
        patient = made(jill.get("/Patient/jill")) | {"deceasedDateTime": "2026-11-21"}
        made(jill.post("/", json=bundle_of([patient])))
    else:
        made(dies(jill, deceasedBoolean=True))
    (task,) = closing(jill)
    assert task["description"].startswith("The person died")


def test_it_is_asked_once(jill: httpx.Client) -> None:
    made(dies(jill))
    made(dies(jill, deceasedDateTime="2026-11-20"))  # put right
    assert len(closing(jill)) == 1


def lives(api: httpx.Client, **more: Any) -> None:
    """The death was recorded in error."""
    found = {name: value for name, value in made(api.get("/Patient/jill")).items() if not name.startswith("deceased")}
    made(api.put("/Patient/jill", json=found | more))


@pytest.mark.parametrize("alive", [{}, {"deceasedBoolean": False}])
def test_a_death_that_is_taken_back_asks_for_nothing_any_more(jill: httpx.Client, alive: dict[str, Any]) -> None:
    made(dies(jill))
    lives(jill, **alive)
    (task,) = closing(jill)
    assert (task["status"], task["statusReason"]["text"]) == (
        "cancelled",
        "The person is alive: their death was recorded in error.",
    )
    assert len(planned(jill)) == 1  # the review that was planned before stands
    made(dies(jill, deceasedBoolean=True))
    assert sorted(one["status"] for one in closing(jill)) == ["cancelled", "ready"]


def planned(api: httpx.Client) -> list[dict[str, Any]]:
    return [
        one["resource"] for one in made(api.get("/Task?code=phb-review&status=ready&patient=Patient/jill"))["entry"]
    ]


def test_a_closing_review_that_somebody_called_is_theirs(jill: httpx.Client) -> None:
    made(dies(jill))
    (task,) = closing(jill)
    theirs = {name: value for name, value in task.items() if name not in ("id", "meta", "reasonReference")}
    key = made(jill.post("/Task", json=theirs))["id"]
    lives(jill)
    assert made(jill.get(f"/Task/{key}"))["status"] == "ready"


def test_who_goes_on_has_the_next_review_that_the_law_wants(jill: httpx.Client) -> None:
    made(dies(jill))
    (review,) = [one for one in planned(jill) if one["reasonCode"]["coding"][0]["code"] != "closing"]
    made(jill.put(f"/Task/{review['id']}", json={**review, "status": "cancelled", "statusReason": {"text": "Died."}}))
    lives(jill)
    (again,) = planned(jill)
    assert again["restriction"]["period"]["end"] == "2027-01-05"  # three months after the budget began
    account = made(jill.get("/Account/jill-budget"))
    (schedule,) = (one for one in account["extension"] if one["url"].endswith("phb-review-schedule"))
    assert {"url": "next", "valueDate": "2027-01-05"} in schedule["extension"]


def test_an_advance_that_was_held_can_be_sent_again(jill: httpx.Client) -> None:
    made(dies(jill))
    refused = jill.post("/PaymentReconciliation", json=advance("PAY-1", 10))
    assert [one for one in said(refused) if one.startswith("The person died")]
    lives(jill)
    made(jill.post("/PaymentReconciliation", json=advance("PAY-1", 10)))


def test_nothing_ends_by_itself_and_what_is_new_waits(jill: httpx.Client) -> None:
    before = made(jill.get("/Account/jill-budget"))
    made(dies(jill))
    assert made(jill.get("/Account/jill-budget"))["meta"] == before["meta"]
    made(jill.post("/ChargeItem", json=massage()))
    later = massage("PUR-NOTICE", occurrenceDateTime="2026-11-24")
    assert made(jill.post("/ChargeItem", json=later))["status"] == "planned"


def test_a_suspended_budget_does_not_go_on_and_can_close(jill: httpx.Client) -> None:
    assert put(jill, notice("2026-11-22T08:00:00Z"), at_stage(read(jill, BUDGET), "suspended")).status_code == 200
    made(dies(jill))
    goes_on, closes = (at_stage(read(jill, BUDGET), stage) for stage in ("active", "closing"))
    refused = jill.put(f"/{BUDGET}", json=goes_on)
    assert "The person has died: the budget is closed now, not started." in said(refused)
    made(jill.put(f"/{BUDGET}", json=closes))
    assert stands(read(jill, BUDGET)) == ("closing", "on-hold")


def test_one_is_asked_for_the_budgets_of_one_plan(
    api: httpx.Client, server: RunningServer, mongodb_admin: MongoClient[Any]
) -> None:
    tell(api, FAMILY)
    made(dies(api, "Patient/asha"))
    plans = [one["basedOn"][0]["reference"] for one in closing(api, "Patient/asha")]
    assert len(plans) == len(set(plans)) >= 1
    assert Books(server, mongodb_admin).agrees()


def test_somebody_without_a_budget_leaves_nothing_to_do(jill: httpx.Client) -> None:
    made(jill.put("/Patient/nobody", json={"resourceType": "Patient", "id": "nobody", "deceasedBoolean": True}))
    assert closing(jill, "Patient/nobody") == []
    made(dies(jill, deceasedBoolean=False))
    assert closing(jill) == []


def test_nobody_is_deleted_for_whom_money_is_held(jill: httpx.Client) -> None:
    """What is held for them would be nobody's; whoever has no budget may go."""
    (why,) = said(jill.delete("/Patient/jill"))
    assert why == (
        "Jill's personal health budget is this person's budget, and is active. Close it first: what is held for them would be nobody's."
    )
    removal = {"request": {"method": "DELETE", "url": "Patient/jill"}}
    assert said(jill.post("/", json={"resourceType": "Bundle", "type": "transaction", "entry": [removal]})) == [why]
    assert jill.get("/Patient/jill").status_code == 200
    other = made(jill.post("/Patient", json={"resourceType": "Patient"}))["id"]
    assert jill.delete(f"/Patient/{other}").status_code == 204

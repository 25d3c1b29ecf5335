"""What is said or raised around a budget, and what it does not do by itself: an offer in a crisis (R59), growing up (R184), safeguarding (R51)."""

from __future__ import annotations

import httpx
import pytest

from tests.journeys.jills_budget import (
    BUDGET,
    Resource,
    begin,
    budget,
    coded,
    come_to,
    notice,
    offer,
    put,
    read,
    refused,
    stands,
    task,
    with_rows,
)
from tests.stories import massage

TOLD = {"Prefer": "return=OperationOutcome"}


def remarks(answer: httpx.Response) -> list[str]:
    """The warnings with which something was written."""
    assert answer.status_code in (200, 201), answer.text
    return [one["diagnostics"] for one in answer.json()["issue"] if one["severity"] == "warning"]


def written(api: httpx.Client, account: Resource) -> list[str]:
    return remarks(api.put(f"/{BUDGET}", json=account, headers=TOLD))


def flag(code: Resource) -> Resource:
    return {
        "resourceType": "Flag",
        "id": "worry",
        "status": "active",
        "code": code,
        "subject": {"reference": "Patient/jill"},
    }


def test_an_offer_in_a_crisis_is_written_with_a_remark_unless_it_is_put_off(api: httpx.Client) -> None:
    begin(api)
    come_to(api, "requested")
    assert put(api, flag(coded("phb-candidate-criterion", "recent-crisis"))).status_code == 200
    now = with_rows(budget("requested"), "phb-offer", offer("accepted", day="2026-11-22"))
    (text,) = written(api, now)
    assert text.startswith("The person has been through a health crisis lately (Flag recent-crisis)")
    later = [*offer("deferred", day="2026-11-21"), {"url": "deferredUntil", "valueDate": "2027-02-01"}]
    assert written(api, with_rows(budget("requested"), "phb-offer", later)) == []


@pytest.mark.parametrize(
    ("forms", "said"),
    [
        (["leaflet"], "recorded only as 'leaflet' (Communication.medium)"),
        ([], "recorded without a word about how (Communication.medium)"),
        (["leaflet", "talked through"], ""),
    ],
)
def test_who_was_told_by_a_leaflet_alone_is_told_again_in_another_form(
    api: httpx.Client, forms: list[str], said: str
) -> None:
    """R174: "Sending a leaflet … is unlikely to be sufficient"."""
    begin(api)
    come_to(api, "eligibility-confirmed")
    given = {name: one for name, one in read(api, GIVEN).items() if name != "medium"}
    assert put(api, given | ({"medium": [{"text": one} for one in forms]} if forms else {})).status_code == 200
    found = [one for one in written(api, budget("indicative-set")) if "R174" in one]
    assert [said in one for one in found] == ([True] if said else [])


GIVEN = "Communication/jill-information-given"


def test_a_planning_that_begins_before_anybody_thought_of_capacity_is_remarked_on(api: httpx.Client) -> None:
    """R165: at the first stage, and without keeping anything from beginning."""
    begin(api, "QuestionnaireResponse/jill-plan-content")
    come_to(api, "indicative-set")
    (text,) = [one for one in written(api, budget("planning")) if "R165" in one]
    assert text.startswith("Nothing says that it was thought about whether the person may need somebody else to decide")


def test_a_planning_that_begins_with_it_said_is_not(api: httpx.Client) -> None:
    begin(api)
    come_to(api, "indicative-set")
    assert [one for one in written(api, budget("planning")) if "R165" in one] == []


def test_a_person_who_turns_eighteen_is_remarked_on_when_their_budget_is_written(api: httpx.Client) -> None:
    begin(api)
    come_to(api, "requested")
    child = {**read(api, "Patient/jill"), "birthDate": "2009-05-03"}
    assert put(api, child).status_code == 200
    ground = read(api, "Coverage/jill-continuing-healthcare")
    ending = {**ground, "period": {"start": "2026-01-01", "end": "2027-05-02"}}
    assert put(api, ending).status_code == 200
    (text,) = written(api, budget("requested", description="Another description."))
    assert text.startswith("The person turns 18 within twelve months")
    assert put(api, {**ending, "period": {"start": "2026-01-01"}}).status_code == 200
    assert written(api, budget("requested", description="Yet another description.")) == []


# ---- safeguarding --------------------------------------------------------------------------------


@pytest.fixture
def active(api: httpx.Client) -> httpx.Client:
    begin(api)
    come_to(api, "active")
    return api


def test_a_worry_about_harm_does_nothing_to_the_money_by_itself(active: httpx.Client) -> None:
    before = read(active, BUDGET)
    worry = task("worry", "safeguarding-referral", description="A neighbour saw bruises.")
    safeguarding = {"coding": [{"system": "http://snomed.info/sct", "code": "765172009"}], "text": "Safeguarding"}
    assert put(active, worry, flag(safeguarding)).status_code == 200
    assert read(active, BUDGET) == before
    assert active.post("/ChargeItem", json=massage()).json()["status"] == "billable"


def test_stopping_the_money_for_a_worry_is_never_silent(active: httpx.Client) -> None:
    assert (
        put(active, task("worry", "safeguarding-referral", description="A neighbour saw bruises.")).status_code == 200
    )
    suspended = budget("suspended")
    (text,) = refused(put(active, suspended))
    assert text.startswith("Before spending is stopped the person is told why")
    told = notice(
        "2026-11-22T08:00:00Z",
        about=[{"reference": BUDGET}, {"reference": "Task/worry"}],
        reasonCode=[{"text": "Somebody is worried that you could be harmed. We look into it with you this week."}],
    )
    assert put(active, told, suspended).status_code == 200
    assert stands(read(active, BUDGET)) == ("suspended", "on-hold")


def test_a_budget_follows_the_person_into_hospital(active: httpx.Client) -> None:
    """R183: that somebody is an inpatient suspends nothing, and hinders no purchase."""
    stay = {
        "resourceType": "Encounter",
        "id": "stay",
        "status": "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "subject": {"reference": "Patient/jill"},
        "period": {"start": "2026-11-20"},
    }
    assert put(active, stay).status_code == 200
    assert stands(read(active, BUDGET)) == ("active", "active")
    bought = active.post("/ChargeItem", json=massage("PUR-IN-HOSPITAL"))
    assert (bought.status_code, bought.json()["status"]) == (201, "billable")

"""C32E6 AC1: who may have a budget, by which criteria, and why not (R2, R3, R21)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.journeys.jills_budget import Resource, around, begin, budget, coded, decided, put, refused, task

NORTH = "Organization/harbourside-north"


@pytest.fixture
def jill(api: httpx.Client) -> httpx.Client:
    begin(api, "Coverage")
    return api


def coverage(category: str = "chc-adult", **more: Any) -> Resource:
    return {
        "resourceType": "Coverage",
        "id": "ground",
        "status": "active",
        "type": coded("phb-eligibility-category", category),
        "beneficiary": {"reference": "Patient/jill"},
        "period": {"start": "2026-07-06"},
        "payor": [
            {
                "reference": NORTH,
                "identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "98Z"},
            }
        ],
        **more,
    }


def told(api: httpx.Client, on: str = "") -> dict[str, Any]:
    """What the operation answers: eligible, the grounds, what is in the way, and the criteria by their code."""
    answer = api.get("/Patient/jill/$check-eligibility", params={"on": on} if on else {})
    assert answer.status_code == 200, answer.text
    rows = answer.json()["parameter"]
    parts = [{part["name"]: part for part in row["part"]} for row in rows if "part" in row]
    outcome = next((row["resource"]["issue"] for row in rows if row["name"] == "outcome"), [])
    return {
        "eligible": rows[0]["valueBoolean"],
        "grounds": [
            (one["category"]["valueCoding"]["code"], one["legalRight"]["valueBoolean"])
            for one in parts
            if "category" in one
        ],
        "excluded": next(row["valueBoolean"] for row in rows if row["name"] == "directPaymentExcluded"),
        "criteria": {
            one["code"]["valueCode"]: (one.get("held", {}).get("valueBoolean"), one["why"]["valueString"])
            for one in parts
            if "code" in one
        },
        "why": [issue["diagnostics"] for issue in outcome],
    }


def test_a_ground_that_the_law_gives_a_right_to(jill: httpx.Client) -> None:
    assert put(jill, coverage()).status_code == 200
    assert told(jill) == {
        "eligible": True,
        "grounds": [("chc-adult", True)],
        "excluded": False,
        "criteria": {},
        "why": [],
    }


def test_without_any_ground_it_says_what_to_do(jill: httpx.Client) -> None:
    found = told(jill)
    assert (found["eligible"], found["grounds"]) == (False, [])
    assert found["why"] == [
        "Nothing is recorded that lets this person have a budget. Record the Coverage that does, or ask the commissioner to decide the case (Task eligibility-request)."
    ]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (
            {"status": "cancelled", "period": {"start": "2026-07-06", "end": "2026-12-31"}},
            "The Coverage for NHS Continuing Healthcare, adult is cancelled, not active.",
        ),
        (
            {"period": {"start": "2026-07-06", "end": "2026-11-21"}},
            "The Coverage for NHS Continuing Healthcare, adult holds from 6 July 2026 to 21 November 2026, not on 22 November 2026.",
        ),
        (
            {"type": coded("phb-eligibility-category", "cyp-continuing-care")},
            "Children and young people's continuing care is for people of at most 17; the person is 58.",
        ),
        (
            {"type": coded("phb-eligibility-category", "discretionary")},
            "This case is for the commissioner to decide: a Task eligibility-request for this person must be completed, and approved.",
        ),
    ],
)
def test_a_ground_that_does_not_stand_says_why(jill: httpx.Client, changed: Resource, why: str) -> None:
    assert put(jill, coverage(**changed)).status_code == 200
    found = told(jill)
    assert (found["eligible"], found["grounds"], found["why"]) == (False, [], [why])


def test_it_is_asked_for_any_day(jill: httpx.Client) -> None:
    assert put(jill, coverage()).status_code == 200
    assert told(jill, on="2026-07-05")["eligible"] is False
    assert told(jill, on="2026-07-06")["eligible"] is True
    assert jill.get("/Patient/jill/$check-eligibility?on=soon").status_code == 400


def test_a_case_outside_the_groups_is_decided_by_a_task(jill: httpx.Client) -> None:
    assert put(jill, coverage("discretionary")).status_code == 200
    about = {"focus": {"reference": "Coverage/ground"}, "owner": {"reference": NORTH}}
    assert put(jill, task("case", "eligibility-request", **about)).status_code == 200
    assert told(jill)["eligible"] is False
    assert refused(put(jill, task("case", "eligibility-request", status="completed", **about))) == [
        "A request that is completed was decided: say approved or not-approved."
    ]
    assert put(jill, decided("case", "eligibility-request", **about)).status_code == 200
    assert told(jill)["grounds"] == [("discretionary", False)]


def test_what_was_decided_about_one_budget_is_no_ground_for_another(jill: httpx.Client) -> None:
    """Each case is decided by itself (R3)."""
    assert put(jill, coverage("discretionary")).status_code == 200
    gone = ("identifier", "coverage")
    first = {name: it for name, it in budget("requested", id="first").items() if name not in gone}
    about = {"focus": {"reference": "Account/first"}, "owner": {"reference": NORTH}}
    assert put(jill, first, decided("case", "eligibility-request", **about)).status_code == 200
    assert told(jill)["eligible"] is True  # the budget does not say yet on what it rests
    rests = {"coverage": [{"coverage": {"reference": "Coverage/ground"}}]}
    assert put(jill, first | rests).status_code == 200
    assert told(jill)["eligible"] is True
    over = coverage("discretionary", period={"start": "2025-01-01", "end": "2026-11-21"})
    assert put(jill, over, coverage("discretionary", id="another")).status_code == 200
    found = told(jill)
    assert found["eligible"] is False
    assert found["why"][-1:] == [
        "This case is for the commissioner to decide: a Task eligibility-request for this person must be completed, and approved."
    ]


@pytest.mark.parametrize(
    ("owner", "eligible"),
    [
        (NORTH, True),
        ("PractitionerRole/of-north", True),
        ("PractitionerRole/tom-whelan-ms-nurse", False),
        ("Organization/harbourside-community-trust", False),
    ],
)
def test_a_case_is_decided_by_the_commissioner_who_pays(jill: httpx.Client, owner: str, eligible: bool) -> None:
    role = {"resourceType": "PractitionerRole", "id": "of-north", "organization": {"reference": NORTH}}
    assert put(jill, coverage("discretionary"), role).status_code == 200
    about = {"focus": {"reference": "Patient/jill"}, "owner": {"reference": owner}}
    assert put(jill, decided("case", "eligibility-request", **about)).status_code == 200
    found = told(jill)
    assert found["eligible"] is eligible
    assert eligible or found["why"][0].endswith("It is decided by who pays, and not by somebody else.")


def test_a_decision_against_it_says_why_and_gives_no_ground(jill: httpx.Client) -> None:
    assert put(jill, coverage("discretionary")).status_code == 200
    no = decided("case", "eligibility-request", "not-approved", focus={"reference": "Coverage/ground"})
    assert refused(put(jill, no)) == ["Whoever is told no is told why: give the reason."]
    assert put(jill, {**no, "statusReason": {"text": "The care there is meets the needs."}}).status_code == 200
    assert told(jill)["eligible"] is False


def test_who_has_died_has_no_budget(jill: httpx.Client) -> None:
    assert put(jill, coverage()).status_code == 200
    (person,) = (one for one in around() if one["resourceType"] == "Patient")
    assert put(jill, {**person, "deceasedDateTime": "2026-11-20"}).status_code == 200
    assert told(jill)["why"] == ["The person has died."]


def test_exclusion_from_direct_payments_is_told_and_keeps_nobody_from_a_budget(jill: httpx.Client) -> None:
    flag = {
        "resourceType": "Flag",
        "id": "order",
        "status": "active",
        "code": coded("phb-dp-exclusion", "drug-rehabilitation-requirement"),
        "subject": {"reference": "Patient/jill"},
        "period": {"start": "2026-01-01", "end": "2026-11-22"},
    }
    assert put(jill, coverage(), flag).status_code == 200
    found = told(jill)
    assert (found["eligible"], found["excluded"]) == (True, True)
    assert told(jill, on="2026-11-23")["excluded"] is False


# ---- the commissioner's own criteria -------------------------------------------------------------


def criteria(*rows: Resource, **more: Any) -> Resource:
    return {
        "resourceType": "Group",
        "id": "criteria",
        "type": "person",
        "actual": False,
        "active": True,
        "code": coded("phb-group-kind", "criteria"),
        "name": "Who might benefit",
        "managingEntity": {"reference": NORTH},
        "characteristic": list(rows),
        **more,
    }


def asks(code: str, exclude: bool = False, **value: Any) -> Resource:
    return {"code": coded("phb-candidate-criterion", code), **value, "exclude": exclude}


def years(low: int | None = None, high: int | None = None) -> Resource:
    unit = {"unit": "years", "system": "http://unitsofmeasure.org", "code": "a"}
    bounds = {"low": low, "high": high}
    return {name: {"value": value, **unit} for name, value in bounds.items() if value is not None}


def test_each_criterion_says_whether_it_holds_and_why(jill: httpx.Client) -> None:
    group = criteria(
        asks("age", valueRange=years(18, 64)),
        asks("eligibility-category", valueCodeableConcept=coded("phb-eligibility-category", "chc-adult")),
        asks("has-active-phb", exclude=True, valueBoolean=True),
        asks("dst-severe-or-priority-count", valueRange={"low": {"value": 2}}),
        asks("lives-alone", valueBoolean=True),
        asks("transition-16-18", valueBoolean=False),
    )
    assert put(jill, coverage(), group).status_code == 200
    assert told(jill)["criteria"] == {
        "age": (True, "the person is 58; at least 18 and at most 64 is asked for"),
        "eligibility-category": (True, "the person has chc-adult"),
        "has-active-phb": (True, "the person has no active budget; whom this holds for is left out"),
        "dst-severe-or-priority-count": (False, "1 domains were severe or priority; at least 2 is asked for"),
        "lives-alone": (None, "the record does not say"),
        "transition-16-18": (True, "the person is 58"),
    }


@pytest.mark.parametrize("more", [{"active": False}, {"managingEntity": {"reference": "Organization/harbourside-icb"}}])
def test_criteria_that_are_over_or_others_are_not_told_of(jill: httpx.Client, more: Resource) -> None:
    assert put(jill, coverage(), criteria(asks("age", valueRange=years(18)), **more)).status_code == 200
    assert told(jill)["criteria"] == {}

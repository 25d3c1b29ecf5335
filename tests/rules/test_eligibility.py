"""Eligibility: the categories as the guide has them, ages, and each criterion held against a record."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from phb_fhir.rules.around import age_on, turns
from phb_fhir.rules.case import Read, answered
from phb_fhir.rules.characteristics import CHARACTERISTICS, CRITERION, Facts, _judged, levels_of
from phb_fhir.rules.commissioning import Policy
from phb_fhir.rules.eligibility import Eligibility, Ground, _unmet, _why_not, categories
from phb_fhir.rules.words import BASE, ELIGIBILITY

DAY = date(2026, 11, 22)


def test_the_five_categories_of_a_legal_right() -> None:
    rights = {code for code, row in categories().items() if row.is_right}
    assert rights == {"chc-adult", "chc-adult-fast-track", "cyp-continuing-care", "s117-aftercare", "wheelchair"}
    assert (categories()["chc-adult"].age_min, categories()["cyp-continuing-care"].age_max) == (18, 17)
    assert (categories()["mental-health"].age_min, categories()["mental-health"].age_max) == (None, None)


@pytest.mark.parametrize(
    ("born", "age"),
    [("2008-11-22", 18), ("2008-11-23", 17), ("1968", 58), ("2008-11", 18), ("", None), ("soon", None)],
)
def test_age_is_of_the_day(born: str, age: int | None) -> None:
    assert age_on({"birthDate": born}, DAY) == age


@pytest.mark.parametrize(
    ("born", "eve", "birthday"),
    [
        ("2008-02-29", date(2026, 2, 28), date(2026, 3, 1)),
        ("2006-02-29", None, None),
        ("2010-02-28", date(2028, 2, 27), date(2028, 2, 28)),
        ("2008-11-23", date(2026, 11, 22), date(2026, 11, 23)),
        ("2008-11", date(2026, 10, 31), date(2026, 11, 1)),
    ],
)
def test_somebody_is_of_age_from_their_birthday_and_of_a_leap_day_from_the_first_of_march(
    born: str, eve: date | None, birthday: date | None
) -> None:
    person = {"birthDate": born}
    assert turns(person, 18) == birthday
    if eve is not None and birthday is not None:
        assert (age_on(person, eve), age_on(person, birthday)) == (17, 18)


def coverage(category: str = "chc-adult", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Coverage",
        "id": "one",
        "status": "active",
        "type": {"coding": [{"system": ELIGIBILITY, "code": category}]},
        "beneficiary": {"reference": "Patient/jill"},
        "period": {"start": "2026-07-06"},
        **more,
    }


def why(found: dict[str, Any], born: str = "1968-05-11", policy: Policy | None = None) -> list[str]:
    category = categories().get(found["type"]["coding"][0]["code"])
    return list(_why_not(found, category, "Patient/jill", {"birthDate": born}, DAY, policy or Policy()))


@pytest.mark.parametrize(
    ("category", "born", "stands"),
    [
        ("chc-adult", "2008-11-22", True),
        ("chc-adult", "2008-11-23", False),
        ("cyp-continuing-care", "2008-11-23", True),
        ("cyp-continuing-care", "2008-11-22", False),
        ("ehc-plan", "2001-11-23", True),
        ("ehc-plan", "2000-11-22", False),
        ("mental-health", "1920-01-01", True),
        ("chc-adult", "", False),
        ("mental-health", "", True),
    ],
)
def test_a_category_has_its_ages(category: str, born: str, stands: bool) -> None:
    assert (not why(coverage(category), born)) is stands


def test_a_category_the_commissioner_does_not_accept_is_no_ground() -> None:
    north = Policy(name="North", accepted=frozenset(("chc-adult",)))
    assert why(coverage("maternity"), policy=north) == [
        "The commissioner does not accept Maternity as a ground (North)."
    ]
    assert why(coverage(), policy=north) == []


def test_somebody_elses_coverage_is_no_ground() -> None:
    assert why(coverage(beneficiary={"reference": "Patient/ted"})) == [
        "The Coverage for NHS Continuing Healthcare, adult is another person's."
    ]


def test_every_reason_is_told_at_once() -> None:
    wrong = coverage(status="draft", period={"start": "2027-01-01"}, beneficiary={"reference": "Patient/ted"})
    assert len(why(wrong, "2010-01-01")) == 4


def test_one_ground_that_stands_is_enough() -> None:
    stands, falls = (
        Ground(categories()["chc-adult"], "Coverage/1"),
        Ground(categories()["other"], "Coverage/2", ("no",)),
    )
    assert Eligibility((falls, stands), (), is_excluded=False).is_eligible
    assert not Eligibility((falls,), (), is_excluded=False).is_eligible
    assert not Eligibility((stands,), (), is_excluded=False, barriers=("The person has died.",)).is_eligible


# ---- criteria ------------------------------------------------------------------------------------


def concept(system: str, *codes: str) -> dict[str, Any]:
    return {
        "coding": [
            {"system": f"{BASE}/CodeSystem/{system}" if "/" not in system else system, "code": code} for code in codes
        ]
    }


ASSESSMENT = {
    "resourceType": "QuestionnaireResponse",
    "status": "completed",
    "authored": "2026-08-04",
    "item": [
        {
            "linkId": "domains",
            "item": [
                {
                    "linkId": name,
                    "answer": [{"valueCoding": {"system": f"{BASE}/CodeSystem/phb-dst-level", "code": level}}],
                }
                for name, level in (("mobility", "severe"), ("skin", "high"))
            ],
        }
    ],
}
RECORDS: dict[str, list[dict[str, Any]]] = {
    "Coverage": [coverage(), coverage("wheelchair", period={"start": "2027-01-01"})],
    "Condition": [
        {"code": concept("http://snomed.info/sct", "24700007")},
        {"code": concept("http://snomed.info/sct", "195967001"), "clinicalStatus": {"coding": [{"code": "resolved"}]}},
    ],
    "QuestionnaireResponse": [{**ASSESSMENT, "authored": "2020-01-01", "item": []}, ASSESSMENT],
    "Encounter": [
        {
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": code},
            "period": {"start": start},
        }
        for code, start in (("EMER", "2026-03-01"), ("EMER", "2024-03-01"), ("AMB", "2026-03-01"))
    ],
    "CarePlan": [{"status": "draft"}],
    "CareTeam": [
        {
            "participant": [
                {"member": {"reference": "RelatedPerson/r"}, "role": [concept("phb-care-team-role", "carer")]}
            ]
        }
    ],
    "Account": [],
    "Flag": [
        {
            "status": "active",
            "code": concept("phb-candidate-criterion", "recent-crisis"),
            "period": {"start": "2026-10-01"},
        },
        {"status": "active", "code": concept("phb-dp-exclusion", "youth-rehabilitation-order")},
    ],
}
PATIENT = {
    "birthDate": "1968-05-11",
    "generalPractitioner": [{"reference": "Organization/oak"}],
    "managingOrganization": {"reference": "Organization/north"},
}
RANGE = {"valueRange": {"low": {"value": 1}, "high": {"value": Decimal("1.5")}}}

CASES = [
    ("age", {"valueRange": {"low": {"value": 58}}}, True),
    ("age", {"valueRange": {"high": {"value": 57}}}, False),
    ("eligibility-category", {"valueCodeableConcept": concept("phb-eligibility-category", "chc-adult")}, True),
    ("eligibility-category", {"valueCodeableConcept": concept("phb-eligibility-category", "wheelchair")}, False),
    ("active-coverage", {"valueBoolean": True}, True),
    ("active-coverage", {"valueBoolean": False}, False),
    ("has-active-phb", {"valueBoolean": True}, False),
    ("condition", {"valueCodeableConcept": concept("http://snomed.info/sct", "24700007")}, True),
    ("condition", {"valueCodeableConcept": concept("http://snomed.info/sct", "195967001")}, False),
    ("condition-count", RANGE, True),
    ("dst-severe-or-priority-count", RANGE, True),
    ("emergency-admissions-12m", RANGE, True),
    ("care-plan-present", {"valueBoolean": True}, False),
    ("carer-present", {"valueBoolean": True}, True),
    ("registered-practice", {"valueReference": {"reference": "Organization/oak"}}, True),
    ("registered-practice", {"valueReference": {"reference": "Organization/elm"}}, False),
    ("sub-icb-location", {"valueReference": {"reference": "Organization/north"}}, True),
    ("transition-16-18", {"valueBoolean": True}, False),
    ("ethnic-category", {"valueCodeableConcept": concept("http://x.example", "A")}, None),
    ("dp-excluded", {"valueBoolean": True}, True),
    ("recent-crisis", {"valueBoolean": True}, True),
    ("recent-crisis", {"valueBoolean": False}, False),
    ("offer-declined-within", {"valueQuantity": {"value": 6, "code": "mo"}}, False),
    ("offer-declined-within", {"valueQuantity": {"value": 6}}, None),
    ("wheelchair-service-accepted", {"valueBoolean": True}, False),
    ("s117-status", {"valueBoolean": False}, True),
    ("lives-alone", {"valueBoolean": True}, None),
]


def judged(code: str, value: dict[str, Any], *, exclude: bool = False) -> bool | None:
    row = {"code": {"coding": [{"system": CRITERION, "code": code}]}, **value, "exclude": exclude}
    return _judged("Group/1", code, row, Facts("Patient/jill", DAY, PATIENT, RECORDS)).held


@pytest.mark.parametrize(("code", "value", "held"), CASES)
def test_a_criterion_holds_or_does_not_or_nobody_knows(code: str, value: dict[str, Any], held: bool | None) -> None:
    assert judged(code, value) is held
    assert judged(code, value, exclude=True) is (None if held is None else not held)


def test_a_level_of_a_domain_is_that_of_the_last_assessment() -> None:
    both = [*concept("phb-dst-domain", "mobility")["coding"], *concept("phb-dst-level", "severe")["coding"]]
    assert judged("dst-domain-level", {"valueCodeableConcept": {"coding": both}}) is True
    assert levels_of(ASSESSMENT) == {"mobility": "severe", "skin": "high"}


def test_each_criterion_that_is_told_is_one_of_the_guide_and_tried_here() -> None:
    assert set(CHARACTERISTICS) <= {code for code, _, _ in CASES} | {"dst-domain-level"}


def test_criteria_that_are_not_there_are_not_met() -> None:
    told = answered(_unmet("Group/gone", "Patient/jill", DAY), {Read("Group/gone"): {"Group/gone": None}})
    assert told == ["The commissioner's criteria (Group/gone) are not there."]

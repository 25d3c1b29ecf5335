"""Who asks for a joint budget: the person, or somebody who speaks for them (R28, R197). Pure, of `rules/joining`."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from phb_fhir.rules.case import Case, Find, Read, Sees, answered
from phb_fhir.rules.joining import judge_joining
from phb_fhir.rules.words import ACCOUNT_TYPE, BUSINESS_STATUS, TASK_CODE, concept, extension_url

Resource = dict[str, Any]
MOTHER = "RelatedPerson/mother"


def budget(id_: str, kind: str = "personal-health-budget", **more: Any) -> Resource:
    return {
        "resourceType": "Account",
        "id": id_,
        "type": concept(ACCOUNT_TYPE, kind),
        "subject": [{"reference": "Patient/asha"}],
        "extension": [
            {"url": extension_url("phb-lifecycle-status"), "valueCode": "active"},
            {"url": extension_url("phb-joint-share"), "valueDecimal": 1},
        ],
        **more,
    }


def request(requester: str, status: str = "completed", focus: str = "Account/joint") -> Resource:
    said = {"businessStatus": concept(BUSINESS_STATUS, "approved")} if status == "completed" else {}
    return {
        "resourceType": "Task",
        "id": "asked",
        "status": status,
        "focus": {"reference": focus},
        "requester": {"reference": requester},
        **said,
    }


def related(patient: str = "Patient/asha", **more: Any) -> Resource:
    return {"resourceType": "RelatedPerson", "id": "mother", "patient": {"reference": patient}, **more}


def consent(**provision: Any) -> Resource:
    actor = [{"reference": {"reference": MOTHER}}]
    return {"resourceType": "Consent", "status": "active", "provision": {"type": "permit", "actor": actor, **provision}}


def said(*requests: Resource, mother: Resource | None = None, consents: tuple[Resource, ...] = ()) -> list[str]:
    """What speaks against the joining of a budget that was asked for so."""
    joined = budget("health", partOf={"reference": "Account/joint"})
    now = datetime(2026, 11, 22, 9, tzinfo=UTC)
    case = Case("Account", "health", budget("health"), joined, "Account/health/_history/2", now, date(2026, 11, 22))
    answers: dict[Any, Any] = {
        Read("Account/joint"): {"Account/joint": budget("joint", "joint")},
        Find("Account", ("part-of", "Account/joint")): [],
        Find("Task", ("patient", "Patient/asha"), ("code", f"{TASK_CODE}|joint-budget-request")): list(requests),
        Read(MOTHER): {MOTHER: mother},
        Find("Consent", ("patient", "Patient/asha"), ("status", "active"), ("actor", MOTHER)): list(consents),
    }
    return [issue.text for issue in answered(judge_joining(case), answers).issues]


def test_the_person_asks() -> None:
    assert said(request("Patient/asha")) == []


@pytest.mark.parametrize(
    ("mother", "consents"),
    [
        (related(active=True), ()),
        (related(), ()),
        (related("Patient/tom"), (consent(),)),
        (related(active=False), (consent(period={"start": "2026-01-01"}),)),
    ],
)
def test_who_is_theirs_or_may_act_for_them_asks_as_well(mother: Resource, consents: tuple[Resource, ...]) -> None:
    assert said(request(MOTHER), mother=mother, consents=consents) == []


@pytest.mark.parametrize(
    ("mother", "consents"),
    [
        (None, ()),
        (related("Patient/tom", active=True), ()),
        (related(active=False), ()),
        (related(active=False), (consent(period={"end": "2026-11-21"}),)),
        (related(active=False), (consent(type="deny"),)),
    ],
)
def test_who_does_not_speak_for_the_person_is_refused(mother: Resource | None, consents: tuple[Resource, ...]) -> None:
    (text,) = said(request(MOTHER), mother=mother, consents=consents)
    assert text.startswith("RelatedPerson/mother asked for the joint budget, and does not speak for the person")


def test_the_persons_own_request_stands_beside_a_strangers() -> None:
    assert said(request(MOTHER), request("Patient/asha"), mother=related("Patient/tom")) == []


@pytest.mark.parametrize(
    ("asked", "start"),
    [
        (request("Organization/icb"), "Budgets are managed as one because the person asks for it"),
        (request("Patient/asha", focus="Account/other"), "Budgets are managed as one because the person asks for it"),
        (request("Patient/asha", "cancelled"), "Budgets are managed as one because the person asks for it"),
        (request("Patient/asha", "requested"), "The person asked for a joint budget, and nobody has agreed to it yet"),
    ],
)
def test_a_request_is_the_persons_about_this_and_agreed(asked: Resource, start: str) -> None:
    (text,) = said(asked)
    assert text.startswith(start)


@pytest.mark.parametrize(("seen", "named"), [(("Account/school",), "School's"), ((), "Another budget")])
def test_of_the_others_those_that_the_writer_may_not_see_are_not_named(seen: tuple[str, ...], named: str) -> None:
    unshared = {"extension": budget("school")["extension"][:1], "coverage": [{"priority": 1}]}
    other, part_of = budget("school", name="School's", **unshared), {"partOf": {"reference": "Account/joint"}}
    now = datetime(2026, 11, 22, 9, tzinfo=UTC)

    def told(after: Resource) -> str:
        case = Case(
            "Account", "health", budget("health", **part_of), after, "Account/health/_history/2", now, now.date()
        )
        answers: dict[Any, Any] = {
            Read("Account/joint"): {"Account/joint": budget("joint", "joint")},
            Find("Account", ("part-of", "Account/joint")): [other],
            Sees("Account/school"): frozenset(seen),
        }
        (issue,) = answered(judge_joining(case), answers).issues
        return issue.text

    shared = budget("health", coverage=[{"priority": 2}], **part_of)
    assert told(shared).startswith(f"This budget has a share, and the others ({named}) have none.")
    assert told(budget("health", **unshared, **part_of)).startswith(f"{named} has priority 1 already.")

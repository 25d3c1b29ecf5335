"""A personal assistant's health tasks begin once somebody signed off that they can do them (R108): pure, of `rules/training`."""

from __future__ import annotations

from typing import Any

import pytest

from phb_fhir.rules.case import Find, Read, answered
from phb_fhir.rules.plan import STEPS
from phb_fhir.rules.training import KIND, judge_training
from tests.rules.test_plan import case, plan

Resource = dict[str, Any]
FORM = "QuestionnaireResponse/skin-care"
PLAIN = {"coding": [{"system": "urn:other", "code": "pa-health-task"}]}


def activity(id_: str, kind: str, status: str = "scheduled", *outcomes: str) -> Resource:
    detail = {"status": status, "code": {"coding": [{"system": KIND, "code": kind}]}}
    return {"id": id_, "detail": detail, "outcomeReference": [{"reference": key} for key in outcomes]}


def training(*outcomes: str, status: str = "scheduled", id_: str = "course") -> Resource:
    return activity(id_, "pa-training", status, *outcomes)


def task(status: str) -> Resource:
    return activity("skin", "pa-health-task", status)


def with_activities(*several: Resource, status: str = "active") -> Resource:
    return plan(status, activity=[*several])


def form(author: str = "PractitionerRole/nurse", status: str = "completed") -> Resource:
    return {"resourceType": "QuestionnaireResponse", "status": status, "author": {"reference": author}}


def signed(who: str) -> Resource:
    return {"resourceType": "Provenance", "signature": [{"who": {"reference": who}}]}


def said(
    before: Resource | None, after: Resource | None, outcome: Resource | None = None, *provenance: Resource
) -> list[str]:
    """What speaks against a plan, in a record with this outcome of its training."""
    answers: dict[Any, Any] = {
        Read(FORM): {FORM: outcome},
        Find("Provenance", ("target", FORM)): list(provenance),
    }
    return [issue.text for issue in answered(judge_training(case(before, after)), answers).issues]


def begins(course: Resource, outcome: Resource | None = None, *provenance: Resource) -> list[str]:
    return said(
        with_activities(course, task("scheduled")), with_activities(course, task("in-progress")), outcome, *provenance
    )


def test_a_health_task_does_not_begin_before_the_competency_is_signed_off() -> None:
    (text,) = begins(training())
    assert text == (
        "The health task 'skin' of the personal assistant cannot begin: the training 'course' has no outcome that signs off their"
        " competency, a completed QuestionnaireResponse by a professional or signed by one (outcomeReference) (R108)."
    )
    assert begins(training(FORM), form()) == []


@pytest.mark.parametrize(
    ("outcome", "provenance", "is_enough"),
    [
        (form("Practitioner/tom"), (), True),
        (form("Organization/trainers"), (), True),
        (form(status="amended"), (), True),
        (form("RelatedPerson/assistant"), (signed("Practitioner/tom"),), True),
        (None, (), False),
        (form(status="in-progress"), (), False),
        (form("Patient/jill"), (), False),
        (form("RelatedPerson/assistant"), (signed("Patient/jill"),), False),
        (form("RelatedPerson/assistant"), ({"resourceType": "Provenance"},), False),
    ],
)
def test_it_is_signed_off_by_a_form_that_is_filled_in_by_a_professional_or_signed_by_one(
    outcome: Resource | None, provenance: tuple[Resource, ...], *, is_enough: bool
) -> None:
    assert (not begins(training(FORM), outcome, *provenance)) is is_enough


def test_the_plan_says_how_they_are_trained_for_it() -> None:
    (text,) = said(with_activities(task("scheduled")), with_activities(task("in-progress")))
    assert "the plan does not say how they are trained for it" in text
    (text,) = begins(training(FORM, status="cancelled"), form())
    assert "the plan does not say how they are trained for it" in text


def test_each_training_is_signed_off() -> None:
    both = (training(FORM), training(id_="lifting"))
    (text,) = said(with_activities(*both, task("scheduled")), with_activities(*both, task("in-progress")), form())
    assert "the training 'lifting' has no outcome" in text


@pytest.mark.parametrize("status", STEPS)
def test_it_is_held_to_in_a_plan_that_is_in_force(status: str) -> None:
    after = with_activities(training(), task("in-progress"), status=status)
    assert bool(said(plan("draft"), after)) is (status in ("active", "on-hold"))


@pytest.mark.parametrize(
    ("was", "is_now", "count"),
    [
        ("scheduled", "in-progress", 1),
        ("scheduled", "completed", 1),
        ("on-hold", "in-progress", 1),
        ("in-progress", "in-progress", 0),
        ("in-progress", "completed", 0),
        ("scheduled", "on-hold", 0),
        ("scheduled", "cancelled", 0),
    ],
)
def test_what_has_begun_goes_on(was: str, is_now: str, count: int) -> None:
    assert len(said(with_activities(training(), task(was)), with_activities(training(), task(is_now)))) == count


def test_other_activities_begin_as_they_like() -> None:
    other = {"id": "skin", "detail": {"status": "in-progress", "code": PLAIN}}
    assert said(None, with_activities(other)) == []
    assert said(None, {**with_activities(task("in-progress")), "category": []}) == []
    assert said(with_activities(task("in-progress")), None) == []

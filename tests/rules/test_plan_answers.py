"""What the person said in the forms of a plan stands once the plan is signed off: pure, of `rules/plan_answers`."""

from __future__ import annotations

from typing import Any

import pytest

from phb_fhir.rules.case import Find, answered
from phb_fhir.rules.plan import STEPS
from phb_fhir.rules.plan_answers import judge_answers
from phb_fhir.rules.plan_record import PLAN_CONTENT, RISK_SHEET
from phb_fhir.rules.words import BASE, TASK_CODE
from tests.rules.test_plan import KEY, case, plan, sign_off

Resource = dict[str, Any]
PLANS = Find("CarePlan", ("patient", "Patient/jill"), ("status", "active,on-hold,completed,revoked"))
SIGN_OFFS = Find("Task", ("focus", KEY), ("code", f"{TASK_CODE}|plan-sign-off"))


def form(text: str = "I am Jill.", status: str = "completed", **more: Any) -> Resource:
    return {
        "resourceType": "QuestionnaireResponse",
        "id": "content",
        "questionnaire": f"{PLAN_CONTENT}|0.1.0",
        "status": status,
        "subject": {"reference": "Patient/jill"},
        "author": {"reference": "Patient/jill", "display": "Jill"},
        "item": [{"linkId": "about-me", "answer": [{"valueString": text}]}],
        **more,
    }


def said(before: Resource | None, after: Resource | None, *plans: Resource, signed: bool = True) -> list[str]:
    """Why a form is not changed so, in a record with these plans."""
    shown = [
        one for one in plans or (plan("active"),) if one["status"] in ("active", "on-hold", "completed", "revoked")
    ]
    answers: dict[Any, Any] = {PLANS: shown, SIGN_OFFS: [sign_off()] if signed else []}
    return [issue.text for issue in answered(judge_answers(case(before, after)), answers).issues]


def test_other_answers_are_refused_with_the_way_to_say_them() -> None:
    (text,) = said(form(), form("I am somebody else."))
    assert text == (
        "These answers were agreed with Jill's plan when it was signed off, and stay as they are. To say something else, write a new draft"
        f" that names {KEY} in 'replaces', with answers of its own."
    )


@pytest.mark.parametrize("status", STEPS)
def test_they_stand_once_the_plan_was_in_force_and_not_before(status: str) -> None:
    is_agreed = status in ("active", "on-hold", "completed", "revoked")
    assert bool(said(form(), form("Another."), plan(status))) is is_agreed


def test_a_plan_that_was_withdrawn_as_a_draft_keeps_nobody_to_its_words() -> None:
    assert said(form(), form("Another."), plan("revoked"), signed=False) == []


@pytest.mark.parametrize(
    "after",
    [
        None,
        form("Another."),
        form(item=[]),
        form(status="in-progress"),
        form(status="entered-in-error"),
        form(subject={"reference": "Patient/asha"}),
        form(author={"reference": "Patient/asha"}),
        form(questionnaire=f"{RISK_SHEET}|0.1.0"),
    ],
)
def test_whatever_says_something_else_is_a_change(after: Resource | None) -> None:
    assert len(said(form(), after)) == 1


@pytest.mark.parametrize(
    "after",
    [
        form(),
        form(status="amended"),
        form(meta={"tag": [{"code": "seen"}]}),
        form(basedOn=[{"reference": "CarePlan/other"}]),
        form(author={"reference": "Patient/jill", "display": "Jill Harper"}),
    ],
)
def test_what_says_the_same_is_none(after: Resource) -> None:
    assert said(form(), after) == []


def test_a_form_is_a_plans_that_is_based_on_it_and_stays_so() -> None:
    bare, based = plan("active", supportingInfo=[]), form(basedOn=[{"reference": KEY}])
    assert said(form(), form("Another."), bare) == []
    assert said(based, {**based, "item": []}, bare) != []
    assert said(based, form(), bare) != []


@pytest.mark.parametrize(
    "before",
    [
        None,
        form(status="in-progress"),
        form(questionnaire=f"{BASE}/Questionnaire/phb-review|0.1.0"),
        {**form(), "questionnaire": "urn:other"},
    ],
)
def test_of_other_forms_nothing_is_asked(before: Resource | None) -> None:
    assert answered(judge_answers(case(before, form("Another."))), {}).issues == ()


def test_another_care_plan_of_the_person_holds_no_answers() -> None:
    assert said(form(), form("Another."), {**plan("active"), "category": []}) == []

"""What may become of a plan (SM-B), pair by pair, and what of it is kept as it was agreed: pure, of `rules/plan`."""

from __future__ import annotations

import copy
from datetime import UTC, date, datetime
from typing import Any

import pytest

from phb_fhir.rules.case import Case, Decision, Find, Read, answered
from phb_fhir.rules.plan import PLAN_KIND, STEPS, judge_goal, judge_link, judge_plan
from phb_fhir.rules.words import BASE, BUSINESS_STATUS, TASK_CODE

KEY = "CarePlan/plan"
Resource = dict[str, Any]

# SM-B, once more and by itself: what the rules are held against
MAY = {
    "draft": {"draft", "active", "revoked", "entered-in-error"},
    "active": {"active", "on-hold", "completed", "revoked", "entered-in-error"},
    "on-hold": {"on-hold", "active", "completed", "revoked", "entered-in-error"},
    "completed": {"completed", "entered-in-error"},
    "revoked": {"revoked", "entered-in-error"},
    "entered-in-error": {"entered-in-error"},
}


def plan(status: str = "draft", **more: Any) -> Resource:
    return {
        "resourceType": "CarePlan",
        "id": "plan",
        "meta": {"versionId": "1"},
        "status": status,
        "intent": "plan",
        "category": [{"coding": [{"system": PLAN_KIND, "code": "phb-plan"}]}],
        "title": "Jill's plan",
        "subject": {"reference": "Patient/jill"},
        "period": {"start": "2026-10-05", "end": "2027-10-03"},
        "goal": [{"reference": "Goal/out"}],
        "supportingInfo": [{"reference": "QuestionnaireResponse/content"}],
        "activity": [
            {
                "id": "massage",
                "extension": [{"url": f"{BASE}/StructureDefinition/phb-activity-cost", "valueMoney": {"value": 1170}}],
                "detail": {
                    "status": "scheduled",
                    "description": "Every other week",
                    "goal": [{"reference": "Goal/out"}],
                },
            }
        ],
        **more,
    }


def sign_off(focus: str = KEY) -> Resource:
    return {
        "resourceType": "Task",
        "id": "sign-off",
        "status": "completed",
        "code": {"coding": [{"system": TASK_CODE, "code": "plan-sign-off"}]},
        "businessStatus": {"coding": [{"system": BUSINESS_STATUS, "code": "approved"}]},
        "focus": {"reference": focus},
    }


def budget(stage: str = "active", link: str = KEY, person: str = "Patient/jill", **more: Any) -> Resource:
    return {
        "resourceType": "Account",
        "id": "budget",
        "name": "Jill's budget",
        "type": {"coding": [{"system": f"{BASE}/CodeSystem/phb-account-type", "code": "personal-health-budget"}]},
        "subject": [{"reference": person}],
        "extension": [
            {"url": f"{BASE}/StructureDefinition/phb-lifecycle-status", "valueCode": stage},
            {"url": f"{BASE}/StructureDefinition/phb-care-plan", "valueReference": {"reference": link}},
        ],
        **more,
    }


def case(before: Resource | None, after: Resource | None, version: int = 2) -> Case:
    type_ = (after or before or {})["resourceType"]
    id_ = (after or before or {})["id"]
    now = datetime(2026, 11, 22, 9, tzinfo=UTC)
    return Case(type_, id_, before, after, f"{type_}/{id_}/_history/{version}", now, date(2026, 11, 22))


def judged(
    before: Resource | None,
    after: Resource | None,
    *,
    tasks: tuple[Resource, ...] = (sign_off(),),
    budgets: tuple[Resource, ...] = (),
    others: dict[str, Resource | None] | None = None,
) -> Decision:
    """The decision about a plan, in a record with these tasks, budgets and other plans."""
    others = others or {}
    answers: dict[Any, Any] = {
        Find("Task", ("focus", KEY), ("code", f"{TASK_CODE}|plan-sign-off")): list(tasks),
        Find("Account", ("care-plan", KEY)): list(budgets),
        Find("Account", ("care-plan", ",".join([KEY, *others]))): list(budgets),
        Read(*others): others,
    }
    return answered(judge_plan(case(before, after)), answers)


def said(decision: Decision) -> list[str]:
    return [issue.text for issue in decision.issues]


# ---- from one status to another ------------------------------------------------------------------


@pytest.mark.parametrize("is_now", STEPS)
@pytest.mark.parametrize("was", STEPS)
def test_a_plan_goes_where_the_table_says_and_nowhere_else(was: str, is_now: str) -> None:
    decision = judged(plan(was), plan(is_now))
    assert decision.is_refusal is (is_now not in MAY[was])
    if decision.is_refusal:
        assert decision.issues[0].expression == "CarePlan.status"


@pytest.mark.parametrize("status", STEPS)
def test_a_plan_may_come_into_the_record_at_any_stage_that_its_sign_off_allows(status: str) -> None:
    assert not judged(None, plan(status)).is_refusal
    assert judged(None, plan(status), tasks=()).is_refusal is (status in ("active", "on-hold", "completed"))


def test_a_status_that_says_nothing_of_a_plan_is_refused() -> None:
    assert said(judged(None, plan("unknown"))) == [
        "A plan is draft, active, on-hold, completed or revoked; 'unknown' says none of it."
    ]
    assert judged(plan(), plan("unknown")).is_refusal


def test_a_plan_in_force_does_not_become_a_draft_again_and_hears_what_would_be_right() -> None:
    assert said(judged(plan("active"), plan("draft"))) == [
        "This plan is active; it does not become a draft again. To change it, write a new draft that names it in 'replaces'."
    ]


def test_another_care_plan_is_let_be() -> None:
    other = {**plan("active"), "category": []}
    assert answered(judge_plan(case(None, other)), {}) == Decision()


def test_a_plan_in_force_stays_the_plan_of_a_budget_and_a_draft_need_not() -> None:
    assert judged(plan("active"), {**plan("active"), "category": []}).is_refusal
    assert not judged(plan(), {**plan(), "category": []}).is_refusal


# ---- signed off ----------------------------------------------------------------------------------


def test_a_draft_becomes_active_by_a_sign_off_alone() -> None:
    assert not judged(plan(), plan("active")).is_refusal
    (text,) = said(judged(plan(), plan("active"), tasks=()))
    assert text.startswith("A plan becomes active by being signed off")


@pytest.mark.parametrize("answer", ["not-approved", "referred-on"])
def test_a_sign_off_that_did_not_approve_it_does_not_make_a_plan_active(answer: str) -> None:
    task = sign_off()
    task["businessStatus"]["coding"][0]["code"] = answer
    assert judged(plan(), plan("active"), tasks=(task,)).is_refusal
    assert judged(plan(), plan("active"), tasks=({**sign_off(), "status": "in-progress"},)).is_refusal


def test_what_was_signed_off_is_what_the_plan_says() -> None:
    of_this = (sign_off(f"{KEY}/_history/1"),)
    assert not judged(plan(), plan("active"), tasks=of_this).is_refusal
    other = plan("active", goal=[{"reference": "Goal/another"}])
    assert said(judged(plan(), other, tasks=of_this)) == [
        "What was signed off is another version of this plan. It has changed since: have it signed off as it is now."
    ]
    of_an_older = (sign_off(f"{KEY}/_history/1"),)
    assert judged({**plan(), "meta": {"versionId": "2"}}, plan("active"), tasks=of_an_older).is_refusal
    of_the_new = (sign_off(f"{KEY}/_history/2"),)
    assert not judged(plan(), other, tasks=of_the_new).is_refusal


# ---- what was agreed -----------------------------------------------------------------------------

IN_FORCE = ("active", "on-hold", "completed", "revoked")


def with_activity(status: str, /, **more: Any) -> Resource:
    made = plan(status)
    made["activity"][0].update(more)
    return made


def with_detail(status: str, /, **more: Any) -> Resource:
    made = plan(status)
    made["activity"][0]["detail"].update(more)
    return made


AGREED = {
    "goals": lambda status: plan(status, goal=[{"reference": "Goal/out"}, {"reference": "Goal/more"}]),
    "person": lambda status: plan(status, subject={"reference": "Patient/asha"}),
    "period": lambda status: plan(status, period={"start": "2026-10-05", "end": "2028-10-03"}),
    "needs": lambda status: plan(status, addresses=[{"reference": "Condition/new"}]),
    "an activity's cost": lambda status: with_activity(status, extension=[]),
    "an activity's description": lambda status: with_detail(status, description="Every week"),
    "an activity's goals": lambda status: with_detail(status, goal=[]),
    "an activity's id": lambda status: with_activity(status, id="massage-2"),
    "an activity more": lambda status: plan(status, activity=[*plan()["activity"], {"id": "swimming", "detail": {}}]),
    "an activity less": lambda status: plan(status, activity=[]),
    "what it rests on": lambda status: plan(status, supportingInfo=[]),
}
LIVES_ON = {
    "a note": lambda status: plan(status, note=[{"text": "Going well"}]),
    "how far an activity is": lambda status: with_detail(status, status="in-progress"),
    "progress": lambda status: with_activity(status, progress=[{"text": "Twice"}]),
    "more that it rests on": lambda status: plan(
        status, supportingInfo=[*plan()["supportingInfo"], {"reference": "Task/review"}]
    ),
    "names for reading": lambda status: plan(status, goal=[{"reference": "Goal/out", "display": "Out and about"}]),
    "the team": lambda status: plan(status, careTeam=[{"reference": "CareTeam/new"}]),
}


@pytest.mark.parametrize("change", AGREED.values(), ids=AGREED)
@pytest.mark.parametrize("status", IN_FORCE)
def test_what_was_agreed_stands_once_a_plan_is_no_draft(status: str, change: Any) -> None:
    decision = judged(plan(status), change(status))
    assert decision.is_refusal
    assert "replaces" in decision.issues[0].text


@pytest.mark.parametrize("change", AGREED.values(), ids=AGREED)
def test_in_a_draft_anything_may_change(change: Any) -> None:
    assert not judged(plan(), change("draft")).is_refusal


@pytest.mark.parametrize("change", LIVES_ON.values(), ids=LIVES_ON)
@pytest.mark.parametrize("status", IN_FORCE)
def test_what_was_not_agreed_lives_on(status: str, change: Any) -> None:
    assert said(judged(plan(status), change(status))) == []


def test_two_activities_of_one_id_are_refused() -> None:
    twice = plan(activity=[*plan()["activity"], *copy.deepcopy(plan()["activity"])])
    assert said(judged(None, twice)) == ["Two activities have the id 'massage'; purchases name them by it."]


# ---- the budgets of a plan -----------------------------------------------------------------------


def test_a_plan_that_takes_effect_authorises_the_budgets_that_wait_for_it() -> None:
    decision = judged(plan(), plan("active"), budgets=(budget("sign-off-pending"),))
    (follow,) = decision.follow
    assert follow.key == "Account/budget"
    assert follow.resource == budget("authorised")


@pytest.mark.parametrize("stage", ["planning", "authorised", "active", "suspended"])
def test_a_budget_at_another_stage_stays_where_it_is(stage: str) -> None:
    assert judged(plan(), plan("active"), budgets=(budget(stage),)).follow == ()


def test_a_plan_that_takes_effect_takes_the_budgets_over_and_ends_the_one_it_replaces() -> None:
    old = {**plan("active"), "id": "old"}
    new = plan(replaces=[{"reference": "CarePlan/old"}])
    decision = judged(
        new,
        {**new, "status": "active"},
        budgets=(budget("active", "CarePlan/old"),),
        others={"CarePlan/old": old},
    )
    moved, ended = decision.follow
    linked = {"reference": KEY, "display": "Jill's plan"}
    assert moved.resource["extension"][1]["valueReference"] == linked
    assert (ended.key, ended.resource) == ("CarePlan/old", {**old, "status": "revoked"})


def test_a_plan_whose_time_is_over_is_completed_by_the_next_one() -> None:
    old = {**plan("active", period={"start": "2025-10-05", "end": "2026-10-04"}), "id": "old"}
    new = plan(replaces=[{"reference": "CarePlan/old"}])
    decision = judged(new, {**new, "status": "active"}, others={"CarePlan/old": old})
    assert [one.resource["status"] for one in decision.follow] == ["completed"]


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (None, "CarePlan/old is no plan of a personal health budget that could be replaced."),
        (
            {**plan("active"), "category": []},
            "CarePlan/old is no plan of a personal health budget that could be replaced.",
        ),
        (plan("active", subject={"reference": "Patient/asha"}), "CarePlan/old is the plan of somebody else."),
        (
            plan("draft"),
            "CarePlan/old is a draft: change it, or withdraw it (revoked), instead of replacing it.",
        ),
    ],
)
def test_a_plan_replaces_a_plan_of_the_same_person_that_was_in_force(other: Resource | None, text: str) -> None:
    new = plan(replaces=[{"reference": "CarePlan/old"}])
    assert said(judged(new, {**new, "status": "active"}, others={"CarePlan/old": other})) == [text]


@pytest.mark.parametrize("end", ["completed", "revoked", "entered-in-error"])
def test_a_plan_does_not_end_under_a_budget_that_is_spent_by_it(end: str) -> None:
    for stage in ("authorised", "active", "suspended"):
        assert judged(plan("active"), plan(end), budgets=(budget(stage),)).is_refusal
    for stage in ("closing", "closed", "planning"):
        assert not judged(plan("active"), plan(end), budgets=(budget(stage),)).is_refusal


def test_a_plan_that_was_in_force_is_not_deleted_and_a_draft_is_unless_a_budget_names_it() -> None:
    assert judged(plan("active"), None).is_refusal
    assert judged(plan("completed"), None).is_refusal
    assert judged(
        plan("entered-in-error"), None
    ).is_refusal  # its sign-off would otherwise put the next of its id in force
    assert not judged(plan("entered-in-error"), None, tasks=()).is_refusal
    assert not judged(plan(), None, tasks=()).is_refusal
    assert said(judged(plan(), None, tasks=(), budgets=(budget("planning"),))) == [
        "Jill's budget names this plan; link it to another one first."
    ]


def test_a_draft_stays_with_the_person_whose_budget_names_it() -> None:
    other = plan(subject={"reference": "Patient/asha"})
    assert said(judged(plan(), other, budgets=(budget("planning"),))) == [
        "Jill's budget goes with this plan, and is the budget of Patient/jill."
    ]
    assert said(judged(plan(), other)) == []


def linked(before: Resource | None, after: Resource, found: Resource | None) -> list[str]:
    return said(answered(judge_link(case(before, after)), {Read(KEY): {KEY: found}}))


def test_a_budget_names_a_plan_of_its_person() -> None:
    assert linked(None, budget("planning"), plan()) == []
    assert linked(None, budget("planning"), None) == [
        f"{KEY} is no plan of a personal health budget; write one, of the kind phb-plan."
    ]
    assert linked(None, budget("planning"), {**plan(), "category": []}) != []
    assert linked(None, budget("planning", person="Patient/asha"), plan()) == [
        f"{KEY} is the plan of somebody else: Patient/jill, not Patient/asha."
    ]


@pytest.mark.parametrize("status", STEPS)
def test_a_budget_that_is_spent_goes_with_a_plan_in_force(status: str) -> None:
    is_fit = status in ("active", "on-hold")
    for stage in ("authorised", "active", "suspended"):
        assert (linked(budget(stage, "CarePlan/old"), budget(stage), plan(status)) == []) is is_fit
    assert linked(budget("planning", "CarePlan/old"), budget("planning"), plan(status)) == []


def test_a_link_that_stays_is_not_asked_about_again() -> None:
    assert answered(judge_link(case(budget(), budget(description="Spent well"))), {}) == Decision()


def test_a_budget_that_is_spent_keeps_its_plan() -> None:
    bare = budget()
    del bare["extension"][1]
    assert answered(judge_link(case(budget(), bare)), {}).is_refusal
    bare["extension"][0]["valueCode"] = "planning"
    assert not answered(judge_link(case(budget("planning"), bare)), {}).is_refusal


# ---- goals ---------------------------------------------------------------------------------------


def goal(**more: Any) -> Resource:
    return {
        "resourceType": "Goal",
        "id": "out",
        "lifecycleStatus": "active",
        "description": {"text": "Out of the house most days"},
        "subject": {"reference": "Patient/jill"},
        **more,
    }


PLANS_OF_GOAL = Find("CarePlan", ("goal", "Goal/out"), ("status", "active,on-hold"))


def judged_goal(after: Resource | None, *plans: Resource) -> list[str]:
    return said(answered(judge_goal(case(goal(), after)), {PLANS_OF_GOAL: list(plans)}))


def test_what_a_goal_of_a_plan_in_force_is_about_stands() -> None:
    other = goal(description={"text": "Out of the house every day"})
    (text,) = judged_goal(other, plan("active"))
    assert text.startswith("This goal was agreed in Jill's plan")
    assert judged_goal(other) == []
    assert judged_goal(None, plan("active")) != []
    assert judged_goal(None) == []


def test_how_far_a_goal_is_may_be_told_at_any_time() -> None:
    told = goal(
        achievementStatus={"text": "improving"}, lifecycleStatus="on-hold", note=[{"text": "Choir on Thursday"}]
    )
    assert answered(judge_goal(case(goal(), told)), {}) == Decision()
    assert answered(judge_goal(case(None, goal())), {}) == Decision()

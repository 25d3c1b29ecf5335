"""C32E4: what was agreed stands, and is changed by a new plan that replaces it (SM-B, R105); purchases keep the plan they were made by."""

from __future__ import annotations

import copy
from typing import Any

import httpx

from tests.journeys.jills_budget import read, refused
from tests.journeys.planning import amended, approved, changed, plan_linked, planned, put, record, sign_off, stage
from tests.stories import massage, tell

REPLACES = "write a new draft that names this plan in 'replaces'"


def activities(api: httpx.Client) -> list[dict[str, Any]]:
    return copy.deepcopy(read(api, "CarePlan/jill-plan")["activity"])


# ---- what was agreed stands ----------------------------------------------------------------------


def test_what_an_activity_costs_stands(jill: httpx.Client) -> None:
    changed_ = activities(jill)
    changed_[1]["extension"][1]["valueMoney"]["value"] = 2340.00
    (text,) = refused(changed(jill, "CarePlan/jill-plan", activity=changed_))
    assert text.startswith("What the activity 'massage' is and costs was agreed when the plan was signed off.")
    assert REPLACES in text


def test_goals_stand_and_activities_keep_their_ids(jill: httpx.Client) -> None:
    plan = read(jill, "CarePlan/jill-plan")
    renamed = activities(jill)
    renamed[1]["id"] = "massages"
    said = refused(put(jill, {**plan, "goal": plan["goal"][::-1], "activity": renamed}))
    assert [one.partition(" was")[0] for one in said if "was agreed" in one] == [
        "The list of goals",
        "The activity 'massage'",
    ]
    assert any("'massages' was not agreed" in one for one in said)


def test_how_far_an_activity_is_is_told_in_the_plan(jill: httpx.Client) -> None:
    told = activities(jill)
    told[1]["detail"]["status"] = "on-hold"
    told[1]["progress"] = [{"text": "The therapist is ill until December"}]
    answer = changed(jill, "CarePlan/jill-plan", activity=told, note=[{"text": "Going well"}])
    assert answer.status_code == 200, answer.text


def test_what_a_goal_is_about_stands_and_how_far_it_is_is_told(jill: httpx.Client) -> None:
    (text,) = refused(changed(jill, "Goal/jill-goal-out-and-about", description={"text": "I walk"}))
    assert text.startswith("This goal was agreed in Jill's care and support plan, which is in force.")
    assert changed(jill, "Goal/jill-goal-out-and-about", note=[{"text": "Choir three times"}]).status_code == 200


def test_a_plan_pauses_and_goes_on_and_does_not_end_while_its_budget_is_spent(jill: httpx.Client) -> None:
    assert changed(jill, "CarePlan/jill-plan", status="on-hold").status_code == 200
    assert changed(jill, "CarePlan/jill-plan", status="active").status_code == 200
    for end in ("completed", "revoked"):
        (text,) = refused(changed(jill, "CarePlan/jill-plan", status=end))
        assert text.startswith("Jill's personal health budget is active and is spent by this plan.")
    assert "does not become a draft again" in refused(changed(jill, "CarePlan/jill-plan", status="draft"))[0]
    assert "is not deleted" in refused(jill.delete("/CarePlan/jill-plan"))[0]


# ---- a new plan replaces it ----------------------------------------------------------------------


def test_a_new_plan_takes_the_budget_over_and_ends_the_old_one_in_one_commit(jill: httpx.Client) -> None:
    assert put(jill, amended(jill)).status_code == 201
    assert (plan_linked(jill), read(jill, "CarePlan/jill-plan")["status"]) == ("CarePlan/jill-plan", "active")
    answer = sign_off(jill, "jill-plan-2")
    assert answer.status_code == 200, answer.text
    assert (plan_linked(jill), stage(jill)) == ("CarePlan/jill-plan-2", "active")
    assert read(jill, "CarePlan/jill-plan")["status"] == "revoked"
    assert read(jill, "CarePlan/jill-plan-2")["status"] == "active"
    at = {
        read(jill, key)["meta"]["lastUpdated"]
        for key in ("Account/jill-budget", "CarePlan/jill-plan", "CarePlan/jill-plan-2")
    }
    assert len(at) == 1


def test_a_draft_may_change_as_often_as_anybody_likes(jill: httpx.Client) -> None:
    assert put(jill, amended(jill)).status_code == 201
    for title in ("A second plan", "Another second plan"):
        draft = {**read(jill, "CarePlan/jill-plan-2"), "title": title}
        draft["activity"].pop()
        assert put(jill, draft).status_code == 200


def test_a_new_plan_that_costs_more_than_there_is_is_refused_and_the_old_one_stays_in_force(jill: httpx.Client) -> None:
    dear = amended(jill)
    dear["activity"][1]["extension"][1]["valueMoney"]["value"] = 20000.00
    assert put(jill, dear).status_code == 201
    (text,) = refused(sign_off(jill, "jill-plan-2"))
    assert "too little" in text
    assert (plan_linked(jill), read(jill, "CarePlan/jill-plan")["status"]) == ("CarePlan/jill-plan", "active")


def test_a_plan_replaces_no_draft_and_nobody_elses(jill: httpx.Client) -> None:
    tell(jill, "family")
    theirs = amended(jill, replaces=[{"reference": "CarePlan/jill-plan"}, {"reference": "CarePlan/asha-plan"}])
    assert refused(put(jill, theirs)) == ["CarePlan/asha-plan is the plan of somebody else."]
    assert put(jill, amended(jill)).status_code == 201
    both = [{"reference": "CarePlan/jill-plan"}, {"reference": "CarePlan/jill-plan-2"}]
    assert put(jill, {**amended(jill, replaces=both), "id": "jill-plan-3"}).status_code == 201
    (text,) = refused(sign_off(jill, "jill-plan-3"))
    assert text.startswith("CarePlan/jill-plan-2 is a draft")


def test_an_amended_plan_is_signed_off_by_a_plain_task_as_well(jill: httpx.Client) -> None:
    assert put(jill, amended(jill)).status_code == 201
    task = {**copy.deepcopy(read(jill, "Task/jill-sign-off")), "id": "second"}
    for name in ("identifier", "meta", "executionPeriod"):
        del task[name]
    task = approved(task, focus={"reference": "CarePlan/jill-plan-2"})
    answer = put(jill, task)
    assert answer.status_code == 201, answer.text
    assert plan_linked(jill) == "CarePlan/jill-plan-2"


# ---- purchases go by the plan (AC2) --------------------------------------------------------------


def linked_to(plan: str, **more: Any) -> dict[str, Any]:
    made = massage(**more)
    made["extension"][1]["extension"][0]["valueReference"]["reference"] = plan
    return made


def test_a_purchase_after_the_change_goes_by_the_new_plan(jill: httpx.Client) -> None:
    assert put(jill, amended(jill)).status_code == 201
    assert sign_off(jill, "jill-plan-2").status_code == 200
    answer = jill.post("/ChargeItem", json=linked_to("CarePlan/jill-plan-2", reference="PUR-2"))
    assert answer.status_code == 201, answer.text
    assert answer.json()["status"] == "billable"


def test_a_plan_is_asked_about_by_the_version_that_a_purchase_names(jill: httpx.Client) -> None:
    """R19: an activity is looked for in the version of the plan that was in force when it was bought."""
    version = read(jill, "CarePlan/jill-plan")["meta"]["versionId"]
    answer = jill.post("/ChargeItem", json=linked_to(f"CarePlan/jill-plan/_history/{version}"))
    assert (answer.status_code, answer.json().get("status")) == (201, "billable"), answer.text
    wrong = linked_to(f"CarePlan/jill-plan/_history/{version}", reference="PUR-3")
    wrong["extension"][1]["extension"][1]["valueString"] = "skydiving"
    assert any("no activity 'skydiving'" in one for one in refused(jill.post("/ChargeItem", json=wrong)))


def test_before_it_is_signed_off_a_plan_is_nothing_to_spend_by(api: httpx.Client) -> None:
    record(api, planned())
    assert api.post("/ChargeItem", json=massage()).status_code == 422
    assert sign_off(api).status_code == 200


# ---- what the person said ------------------------------------------------------------------------

ANSWERS = "QuestionnaireResponse/jill-plan-content"


def other_words(api: httpx.Client, text: str = "I am somebody else.") -> list[dict[str, Any]]:
    said = copy.deepcopy(read(api, ANSWERS)["item"])
    said[0]["answer"][0]["valueString"] = text
    return said


def test_the_answers_of_a_plan_stand_once_it_is_signed_off(jill: httpx.Client) -> None:
    (text,) = refused(changed(jill, ANSWERS, item=other_words(jill)))
    assert text.startswith("These answers were agreed with Jill's care and support plan when it was signed off")
    (text,) = refused(jill.delete(f"/{ANSWERS}"))
    assert "with answers of its own" in text
    new = {**read(jill, ANSWERS), "id": "second", "item": other_words(jill)}
    del new["meta"]["versionId"], new["meta"]["lastUpdated"]
    answers = {**new, "basedOn": [{"reference": "CarePlan/jill-plan-2"}]}
    assert put(jill, amended(jill)).status_code == 201
    assert put(jill, answers).status_code == 201
    assert changed(jill, "QuestionnaireResponse/second", item=other_words(jill, "I am Jill.")).status_code == 200


def test_the_answers_of_a_draft_change_freely(api: httpx.Client) -> None:
    record(api, planned())
    assert changed(api, ANSWERS, item=other_words(api)).status_code == 200


# ---- personal assistants -------------------------------------------------------------------------

KIND = "https://fhir.phb.nhs.example/CodeSystem/phb-activity-kind"


def test_a_health_task_of_the_assistant_begins_once_their_competency_is_signed_off(api: httpx.Client) -> None:
    resources = planned()
    assistant = resources["CarePlan/jill-plan"]["activity"][0]
    assistant["detail"]["code"]["coding"].append({"system": KIND, "code": "pa-health-task"})
    assistant["detail"]["status"] = "scheduled"
    record(api, resources)
    assert sign_off(api).status_code == 200
    begun = activities(api)
    begun[0]["detail"]["status"] = "in-progress"
    (text,) = refused(changed(api, "CarePlan/jill-plan", activity=begun))
    assert text.startswith(
        "The health task 'personal-assistant' of the personal assistant cannot begin: the training 'pa-training' has"
    )
    form = {
        "resourceType": "QuestionnaireResponse",
        "id": "competency",
        "status": "completed",
        "authored": "2026-11-20T15:00:00Z",
        "author": {"reference": "PractitionerRole/tom-whelan-ms-nurse"},
    }
    assert put(api, form).status_code == 201
    course = next(one for one in begun if one["id"] == "pa-training")
    course["outcomeReference"] = [{"reference": "QuestionnaireResponse/competency"}]
    assert changed(api, "CarePlan/jill-plan", activity=begun).status_code == 200

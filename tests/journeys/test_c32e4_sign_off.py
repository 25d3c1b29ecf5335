"""C32E4: a plan is signed off by nine criteria, or comes back with reasons and guidance (R93 to R98, R139, R140; SM-B)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.builders import bundle_of
from tests.journeys.jills_budget import read, refused
from tests.journeys.planning import (
    BASE,
    BUSINESS,
    CRITERIA,
    CRITERION,
    PARAMETER,
    PRIYA,
    REASON,
    approved,
    changed,
    coded,
    diet,
    letters,
    parameters,
    planned,
    put,
    record,
    said_in,
    set_stage,
    sign_off,
    stage,
)

Resource = dict[str, Any]
OBSERVATION = f"{BASE}/CodeSystem/phb-observation-code"


@pytest.fixture
def jill(api: httpx.Client) -> httpx.Client:
    record(api, planned())
    return api


def checked(api: httpx.Client, plan: str = "jill-plan") -> tuple[bool, dict[str, Resource]]:
    """What $check-sign-off answers: whether all is ready, and each criterion by its code."""
    answer = api.get(f"/CarePlan/{plan}/$check-sign-off")
    assert answer.status_code == 200, answer.text
    ready, *rows = answer.json()["parameter"]
    assert (ready["name"], {row["name"] for row in rows}) == ("ready", {"criterion"})
    found = {}
    for row in rows:
        parts = {"evidence": [], "diagnostics": []}
        for part in row["part"]:
            content = next(one for name, one in part.items() if name.startswith("value"))
            if part["name"] in ("evidence", "diagnostics"):
                parts[part["name"]].append(content)
            else:
                parts[part["name"]] = content
        found[parts["code"]] = parts
    return ready["valueBoolean"], found


def without_answer(api: httpx.Client, link: str) -> None:
    form = read(api, "QuestionnaireResponse/jill-plan-content")
    kept = [one for one in form["item"] if one["linkId"] != link]
    assert put(api, {**form, "status": "in-progress", "item": kept}).status_code == 200


# ---- $check-sign-off -----------------------------------------------------------------------------


def test_the_nine_criteria_are_answered_one_by_one_with_what_shows_them(jill: httpx.Client) -> None:
    ready, found = checked(jill)
    assert ready
    assert tuple(found) == CRITERIA
    assert all(one["met"] and one["evidence"] and not one["diagnostics"] for one in found.values())
    assert {"reference": "QuestionnaireResponse/jill-plan-content"} in found["who-the-person-is"]["evidence"]
    assert {"reference": "RiskAssessment/jill-risk-skin"} in found["risks-and-contingency"]["evidence"]
    assert {"reference": "Account/jill-budget"} in found["money"]["evidence"]
    assert {"reference": PRIYA} in found["care-coordinator"]["evidence"]


@pytest.mark.parametrize("title", ["Pressure cushion for a wheelchair", "Bed, two rails | and a mattress"])
def test_a_goal_that_is_called_as_something_in_the_directory_is_remarked_on(jill: httpx.Client, title: str) -> None:
    """R102: outcomes are not services, however they are written."""
    assert changed(jill, "ChargeItemDefinition/pressure-cushion", title=title).status_code == 200
    assert changed(jill, "Goal/jill-goal-skin-and-sleep", description={"text": title}).status_code == 200
    ready, found = checked(jill)
    assert ready
    assert found["outcomes"]["diagnostics"] == [
        f"The goal “{title}” names a service. Goals are what will be better, be kept, or be avoided by it."
    ]


@pytest.mark.parametrize(
    ("key", "criteria"),
    [
        ("QuestionnaireResponse/jill-plan-content", {"who-the-person-is", "working-and-not-working"}),
        ("RiskAssessment/jill-risk-skin", {"risks-and-contingency"}),
        ("CareTeam/jill-team", {"care-coordinator", "risks-and-contingency"}),
    ],
)
def test_what_is_about_somebody_else_shows_nothing_of_this_plan(
    jill: httpx.Client, key: str, criteria: set[str]
) -> None:
    others = "RiskAssessment/jill-risk-assistant-away"
    if key.startswith("RiskAssessment/"):
        assert changed(jill, others, status="entered-in-error").status_code == 200
    assert changed(jill, key, subject={"reference": "Patient/asha"}).status_code == 200
    ready, found = checked(jill)
    assert not ready
    assert criteria <= {code for code, one in found.items() if not one["met"]}
    assert all({"reference": key} not in one["evidence"] for one in found.values())
    assert sign_off(jill).status_code == 422


def finding(id_: str, code: str, **effective: Any) -> Resource:
    """A finding on Jill's capacity."""
    told = ("capacity-decision", "capacity-help-given", "capacity-basis")
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": coded(OBSERVATION, "mental-capacity"),
        "subject": {"reference": "Patient/jill"},
        **effective,
        "valueCodeableConcept": coded(f"{BASE}/CodeSystem/phb-capacity-status", code),
        "performer": [{"reference": "PractitionerRole/tom-whelan-ms-nurse"}],
        "component": [{"code": coded(OBSERVATION, one), "valueString": "As agreed"} for one in told],
    }


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ({"effectiveDateTime": "2026-08-01"}, {"effectivePeriod": {"start": "2026-09-01", "end": "2026-09-02"}}),
        ({"effectivePeriod": {"start": "2026-08-01"}}, {"effectiveDateTime": "2026-09-01T10:00:00Z"}),
        ({"effectiveDateTime": "2026-09-02T00:30:00+01:00"}, {"effectiveDateTime": "2026-09-01T23:45:00Z"}),
    ],
)
def test_the_last_finding_on_capacity_counts_however_its_time_is_written(
    jill: httpx.Client, first: Resource, last: Resource
) -> None:
    assert put(jill, finding("first", "has-capacity", **first)).status_code == 201
    assert put(jill, finding("last", "lacks-capacity", **last)).status_code == 201
    ready, found = checked(jill)
    assert not ready
    (text,) = found["who-the-person-is"]["diagnostics"]
    assert text.startswith("The person lacks capacity, and nobody speaks for them by law")
    assert put(jill, finding("first", "lacks-capacity", **first)).status_code == 200
    assert put(jill, finding("last", "has-capacity", **last)).status_code == 200
    assert checked(jill)[0]


@pytest.mark.parametrize(
    ("decision", "counts"), [("care-plan", True), ("direct-payment", False), ("other", False), ("", True)]
)
def test_a_finding_on_capacity_counts_for_the_decision_that_it_names(
    jill: httpx.Client, decision: str, *, counts: bool
) -> None:
    """R162: of those that name another, none says anything of the plan; one in words may be about anything."""
    lacks = finding("lacks", "lacks-capacity", effectiveDateTime="2026-09-01")
    if decision:
        named = coded(f"{BASE}/CodeSystem/phb-capacity-decision", decision)
        lacks["component"][0] = {"code": lacks["component"][0]["code"], "valueCodeableConcept": named}
    assert put(jill, lacks).status_code == 201
    assert checked(jill)[0] is not counts


def test_what_is_missing_is_told_in_a_sentence_and_nothing_is_written(jill: httpx.Client) -> None:
    activities = read(jill, "CarePlan/jill-plan")["activity"]
    del activities[1]["detail"]["performer"]
    assert changed(jill, "CarePlan/jill-plan", activity=activities).status_code == 200
    ready, found = checked(jill)
    assert not ready
    assert found["action-plan"]["diagnostics"] == ["The activity “Massage” does not say who does it."]
    assert [code for code, one in found.items() if not one["met"]] == ["action-plan"]
    assert read(jill, "CarePlan/jill-plan")["meta"]["versionId"] == "2"


def test_a_care_plan_that_goes_with_no_budget_is_not_signed_off(jill: httpx.Client) -> None:
    assert put(jill, diet()).status_code == 201
    for answer in (jill.get("/CarePlan/diet/$check-sign-off"), sign_off(jill, "diet")):
        assert refused(answer) == [
            "CarePlan/diet is not the plan of a personal health budget, so it is not signed off."
        ]
    assert jill.get("/CarePlan/nowhere/$check-sign-off").status_code == 404


# ---- $sign-off -----------------------------------------------------------------------------------


def test_a_plan_that_meets_all_nine_becomes_active_and_its_budget_is_authorised(jill: httpx.Client) -> None:
    answer = sign_off(jill)
    assert answer.status_code == 200, answer.text
    (plan,) = [one["resource"] for one in answer.json()["parameter"] if one["name"] == "return"]
    assert (plan["id"], plan["status"]) == ("jill-plan", "active")
    assert stage(jill) == "authorised"
    task = read(jill, "Task/jill-sign-off")
    assert (task["status"], task["businessStatus"]) == ("completed", coded(BUSINESS, "approved"))
    assert task["focus"]["reference"] == "CarePlan/jill-plan/_history/1"
    assert task["owner"]["reference"] == PRIYA
    given = {one["type"]["coding"][0]["code"]: one["valueBoolean"] for one in task["output"]}
    assert given == {**dict.fromkeys(CRITERIA, True), "person-present": True}
    (letter,) = letters(jill)
    assert letter["topic"]["text"] == "Jill's care and support plan was agreed"
    assert letter["about"] == [{"reference": "Task/jill-sign-off"}]


def test_without_a_sign_off_that_waits_one_is_made(jill: httpx.Client) -> None:
    assert jill.delete("/Task/jill-sign-off").status_code < 300
    assert sign_off(jill).status_code == 200
    code = f"{BASE}/CodeSystem/phb-task-code|plan-sign-off"
    (row,) = jill.get("/Task", params={"code": code, "focus": "CarePlan/jill-plan"}).json()["entry"]
    assert row["resource"]["businessStatus"] == coded(BUSINESS, "approved")


def test_a_plan_that_misses_something_is_refused_with_all_that_is_missing_by_criterion(jill: httpx.Client) -> None:
    without_answer(jill, "contingency")
    activities = read(jill, "CarePlan/jill-plan")["activity"]
    del activities[0]["detail"]["performer"]
    assert changed(jill, "CarePlan/jill-plan", activity=activities).status_code == 200
    answer = sign_off(jill)
    said = refused(answer)
    assert "The activity “Personal assistant” does not say who does it." in said
    assert "The plan does not say what to do when things go wrong." in said
    codes = {one["details"]["coding"][0]["code"] for one in answer.json()["issue"]}
    assert {"action-plan", "risks-and-contingency", "who-the-person-is"} <= codes
    assert (read(jill, "CarePlan/jill-plan")["status"], stage(jill)) == ("draft", "sign-off-pending")
    assert read(jill, "Task/jill-sign-off")["status"] == "requested"
    assert letters(jill) == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"personPresent": ("Boolean", True)}, 'There is no "authoriser"'),
        ({"authoriser": ("Reference", {"reference": PRIYA})}, 'There is no "personPresent"'),
        (
            {"authoriser": ("Reference", {"reference": PRIYA}), "personPresent": ("Boolean", False)},
            "The person was not there: say why",
        ),
        (
            {"authoriser": ("Reference", {"reference": "Priya"}), "personPresent": ("Boolean", True)},
            '"authoriser" is a reference',
        ),
        (
            {"authoriser": ("String", PRIYA), "personPresent": ("Boolean", True)},
            '"authoriser" is of the type Reference; this one is a valueString.',
        ),
        (
            {"authoriser": ("Reference", {"reference": PRIYA}), "personPresent": ("String", "true")},
            '"personPresent" is of the type boolean; this one is a valueString.',
        ),
        ({"authorizer": ("String", "Priya")}, 'Did you mean "authoriser"?'),
    ],
)
def test_a_sign_off_says_who_decides_and_whether_the_person_was_there(
    jill: httpx.Client, asked: dict[str, Any], words: str
) -> None:
    answer = jill.post("/CarePlan/jill-plan/$sign-off", json=parameters(**asked))
    assert answer.status_code == 400
    assert words in answer.json()["issue"][0]["diagnostics"]


def test_a_person_who_was_not_there_is_told_why_it_was_decided_without_them(jill: httpx.Client) -> None:
    away = {
        "personPresent": ("Boolean", False),
        "personAbsentReason": ("String", "Jill was in hospital and asked us to"),
    }
    assert sign_off(jill, **away).status_code == 200
    said = [
        one for one in read(jill, "Task/jill-sign-off")["output"] if one["type"] == coded(PARAMETER, "person-present")
    ]
    assert [one.get("valueBoolean", one.get("valueString")) for one in said] == [False, away["personAbsentReason"][1]]


def test_whoever_signs_off_may_do_so_for_as_much_as_the_plan_comes_to(jill: httpx.Client) -> None:
    role = read(jill, PRIYA)
    role["extension"][0]["extension"][0]["valueMoney"]["value"] = 20000
    assert put(jill, role).status_code == 200
    (text,) = refused(sign_off(jill))
    assert text.startswith("The plan comes to £28,280.00 a year; whoever signs off may agree up to £20,000.00.")
    assert sign_off(jill, authoriser="Organization/harbourside-north").status_code == 200


def test_a_role_that_is_over_signs_nothing_off(jill: httpx.Client) -> None:
    assert changed(jill, PRIYA, active=False).status_code == 200
    assert refused(sign_off(jill)) == ["Whoever signs off does not have this role any more, or not yet."]


def test_a_plan_is_signed_off_once(jill: httpx.Client) -> None:
    assert sign_off(jill).status_code == 200
    (text,) = refused(sign_off(jill))
    assert "was signed off already, by Task/jill-sign-off" in text


# ---- the same by plain writes --------------------------------------------------------------------


def test_a_plain_put_of_the_task_does_the_same(jill: httpx.Client) -> None:
    answer = put(jill, approved(read(jill, "Task/jill-sign-off")))
    assert answer.status_code == 200, answer.text
    assert (read(jill, "CarePlan/jill-plan")["status"], stage(jill)) == ("active", "authorised")


def test_task_plan_and_budget_in_one_transaction_are_taken(jill: httpx.Client) -> None:
    plan, budget = read(jill, "CarePlan/jill-plan"), read(jill, "Account/jill-budget")
    set_stage(budget, "authorised", "on-hold")
    task = approved(read(jill, "Task/jill-sign-off"))
    answer = jill.post("", json=bundle_of([{**plan, "status": "active"}, budget, task]))
    assert answer.status_code == 200, answer.text
    assert (read(jill, "CarePlan/jill-plan")["status"], stage(jill)) == ("active", "authorised")


def test_a_plain_put_of_an_active_plan_without_a_sign_off_is_refused(jill: httpx.Client) -> None:
    (text,) = refused(changed(jill, "CarePlan/jill-plan", status="active"))
    assert text.startswith("A plan becomes active by being signed off: ask CarePlan/$sign-off")


def test_a_sign_off_of_a_version_that_has_changed_since_is_refused(jill: httpx.Client) -> None:
    assert changed(jill, "CarePlan/jill-plan", description="A life by the harbour").status_code == 200
    old = {"reference": "CarePlan/jill-plan/_history/1"}
    assert refused(put(jill, approved(read(jill, "Task/jill-sign-off"), focus=old))) == [
        "What was signed off is another version of this plan. It has changed since: have it signed off as it is now."
    ]
    assert read(jill, "CarePlan/jill-plan")["status"] == "draft"


def test_a_sign_off_whose_answers_lie_is_refused(jill: httpx.Client) -> None:
    without_answer(jill, "working")
    assert "The plan does not say what is working." in refused(put(jill, approved(read(jill, "Task/jill-sign-off"))))


def test_a_sign_off_of_somebody_elses_plan_is_refused(jill: httpx.Client) -> None:
    task = approved(read(jill, "Task/jill-sign-off"), **{"for": {"reference": "Patient/asha"}})
    assert "The task is for Patient/asha; the plan is that of Patient/jill." in refused(put(jill, task))


def test_what_a_sign_off_said_stands(jill: httpx.Client) -> None:
    assert sign_off(jill).status_code == 200
    task = read(jill, "Task/jill-sign-off")
    other = {**task, "owner": {"reference": "PractitionerRole/tom-whelan-ms-nurse"}}
    assert refused(put(jill, other)) == [
        "What was decided stands as it was decided. To have it looked at again, ask for an appeal."
    ]
    (kept,) = refused(put(jill, {**task, "status": "entered-in-error"}))
    assert kept.startswith("The plan that this sign-off agreed is in force.")
    assert "A decision is not deleted" in refused(jill.delete("/Task/jill-sign-off"))[0]


# ---- $refuse -------------------------------------------------------------------------------------


def refuse(api: httpx.Client, **more: Any) -> httpx.Response:
    reason = {**coded(REASON, "risk-not-acceptable"), "text": "Nobody is there at night when Jill is unwell"}
    asked = {
        "reason": ("CodeableConcept", reason),
        "criterion": ("Code", "risks-and-contingency"),
        "guidance": ("String", "Say who comes at night, and how quickly."),
        "personPresent": ("Boolean", True),
        **more,
    }
    asked = {name: one for name, one in asked.items() if one is not None}
    return api.post("/CarePlan/jill-plan/$refuse", json=parameters(**asked))


def test_a_plan_that_is_not_signed_off_comes_back_with_reasons_and_guidance_and_stays_a_draft(
    jill: httpx.Client,
) -> None:
    answer = refuse(jill)
    assert answer.status_code == 200, answer.text
    task = answer.json()
    assert (task["id"], task["businessStatus"]) == ("jill-sign-off", coded(BUSINESS, "not-approved"))
    assert task["statusReason"] == {
        "coding": [
            {"system": REASON, "code": "risk-not-acceptable"},
            {"system": CRITERION, "code": "risks-and-contingency"},
        ],
        "text": "Nobody is there at night when Jill is unwell",
    }
    given = {one["type"]["coding"][0]["code"]: one for one in task["output"]}
    assert [code for code in CRITERIA if not given[code]["valueBoolean"]] == ["risks-and-contingency"]
    assert (read(jill, "CarePlan/jill-plan")["status"], stage(jill)) == ("draft", "sign-off-pending")
    (letter,) = letters(jill)
    assert letter["recipient"][0]["reference"] == "Patient/jill"
    assert "Why: Nobody is there at night" in said_in(letter)
    assert "What needs to change: Say who comes at night, and how quickly." in said_in(letter)
    assert "an appeal" in said_in(letter)


def test_a_plan_that_came_back_is_changed_and_signed_off(jill: httpx.Client) -> None:
    assert refuse(jill).status_code == 200
    assert changed(jill, "CarePlan/jill-plan", description="With Lantern at night, within two hours").status_code == 200
    assert sign_off(jill).status_code == 200
    assert (read(jill, "CarePlan/jill-plan")["status"], stage(jill)) == ("active", "authorised")
    assert read(jill, "Task/jill-sign-off")["businessStatus"] == coded(BUSINESS, "not-approved")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"reason": None}, 'A refusal has at least one "reason"'),
        ({"reason": ("CodeableConcept", {"text": "No"})}, 'A refusal has at least one "reason"'),
        ({"guidance": None}, 'There is no "guidance"'),
        ({"criterion": ("Code", "style")}, "style is none of them"),
        ({"personPresent": None}, 'There is no "personPresent"'),
    ],
)
def test_a_refusal_without_reason_or_guidance_is_refused(jill: httpx.Client, asked: dict[str, Any], words: str) -> None:
    answer = refuse(jill, **asked)
    assert answer.status_code == 400
    assert words in answer.json()["issue"][0]["diagnostics"]
    assert letters(jill) == []


def test_a_plain_refusal_by_task_needs_a_reason_of_the_list(jill: httpx.Client) -> None:
    task = approved(read(jill, "Task/jill-sign-off"), businessStatus=coded(BUSINESS, "not-approved"))
    guidance = {"type": coded(PARAMETER, "amendment-guidance"), "valueString": "Say who comes at night."}
    task["output"] = [*task["output"], guidance]
    (text,) = refused(put(jill, {**task, "statusReason": {"text": "No"}}))
    assert text.startswith("A plan that is not signed off comes back with the reasons")
    assert put(jill, {**task, "statusReason": coded(CRITERION, "risks-and-contingency")}).status_code == 200
    assert len(letters(jill)) == 1


def test_a_plan_in_force_is_not_refused_any_more(jill: httpx.Client) -> None:
    assert sign_off(jill).status_code == 200
    authoriser = ("Reference", {"reference": PRIYA})
    assert refused(refuse(jill, authoriser=authoriser)) == [
        "The plan is active: it was signed off before. Only a draft can come back to be changed."
    ]

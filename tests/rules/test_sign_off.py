"""The nine criteria one by one, and who may sign off how much: pure, of `rules/criteria` and `rules/sign_off`, over Jill's own record."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from phb_fhir.fhir.codec import loads
from phb_fhir.rules.case import By, Case, Sees, answered
from phb_fhir.rules.criteria import CODES, CRITERIA, Result, check_criteria
from phb_fhir.rules.deciding import STEPS, check_decider, check_step
from phb_fhir.rules.plan_record import PlanRecord, answers
from phb_fhir.rules.sign_off import HIDDEN, check_funder, check_limit, unmet, yearly
from phb_fhir.rules.words import BASE
from tests.stories import EXAMPLES

Resource = dict[str, Any]
DAY = date(2026, 9, 24)
FOLDERS = {"jill": "jill", "asha": "family"}


def record(person: str = "jill") -> PlanRecord:
    """Everything around a plan of the examples, as the rules read it."""
    paths = sorted((EXAMPLES / FOLDERS[person]).glob("*.json"))
    every = [loads(path.read_bytes(), depth_max=64) for path in paths]
    found = {f"{one['resourceType']}/{one['id']}": one for one in every}
    of = {type_: [one for one in every if one["resourceType"] == type_] for type_ in {r["resourceType"] for r in every}}
    return PlanRecord(
        found[f"CarePlan/{person}-plan"],
        DAY,
        found,
        of["QuestionnaireResponse"],
        of["RiskAssessment"],
        [one for one in of["Task"] if one["code"]["coding"][0]["code"] == "phb-review"],
        (),
        of["Account"],
    )


def result(r: PlanRecord, code: str) -> Result:
    return next(one for one in check_criteria(r) if one.code == code)


def missing(r: PlanRecord, code: str) -> list[str]:
    return list(result(r, code).missing)


def changed(r: PlanRecord, change: Callable[[PlanRecord], None]) -> PlanRecord:
    """The same record with something in it changed."""
    made = copy.deepcopy(r)
    change(made)
    return made


def form(r: PlanRecord) -> Resource:
    return next(one for one in r.records if "phb-plan-content" in one["questionnaire"])


def without_answer(*links: str) -> Callable[[PlanRecord], None]:
    def change(r: PlanRecord) -> None:
        form(r)["item"] = [one for one in form(r)["item"] if one["linkId"] not in links]

    return change


@pytest.mark.parametrize("person", FOLDERS)
def test_the_plans_of_the_examples_meet_all_nine(person: str) -> None:
    results = check_criteria(record(person))
    assert [one.code for one in results] == list(CODES)
    assert [(one.code, one.missing) for one in results if not one.is_met] == []
    assert all(one.evidence for one in results)


def test_an_empty_plan_meets_none_of_them() -> None:
    plan = {"resourceType": "CarePlan", "id": "p", "subject": {"reference": "Patient/jill"}}
    results = check_criteria(PlanRecord(plan, DAY, {}))
    assert [one.code for one in results if one.is_met] == []
    assert len(CRITERIA) == len(CODES) == 9


def test_what_is_missing_in_what_the_decider_may_not_see_is_not_told() -> None:
    lacking = Result("risks-and-contingency", ("RiskAssessment/falls",), ("The risk “Falls” is not told.",))
    (told,) = answered(unmet(lacking), {Sees("RiskAssessment/falls"): frozenset({"RiskAssessment/falls"})})
    (hidden,) = answered(unmet(lacking), {Sees("RiskAssessment/falls"): frozenset()})
    assert (told.text, hidden.text) == ("The risk “Falls” is not told.", HIDDEN)
    assert told.details == hidden.details
    assert answered(unmet(lacking._replace(missing=())), {}) == []


# ---- 1 to 3: in the person's words ---------------------------------------------------------------

QUESTIONS = {
    "about-me": ("who-the-person-is", "The plan does not say who the person is."),
    "strengths": ("who-the-person-is", "The plan does not say what the person is good at."),
    "social-context": ("who-the-person-is", "The plan does not say who and what is in the person's life."),
    "working": ("working-and-not-working", "The plan does not say what is working."),
    "not-working": ("working-and-not-working", "The plan does not say what is not working."),
    "important-to": ("important-to-and-for", "The plan does not say what is important to the person."),
    "important-for": ("important-to-and-for", "The plan does not say what is important for the person's health."),
    "contingency": ("risks-and-contingency", "The plan does not say what to do when things go wrong."),
    "monitoring-how": ("monitoring-and-review", "The plan does not say how and when outcomes and money are looked at."),
    "signs-going-well": ("monitoring-and-review", "The plan does not say how people will know that it is going well."),
    "signs-going-wrong": (
        "monitoring-and-review",
        "The plan does not say how people will know that it is going wrong.",
    ),
}


@pytest.mark.parametrize("link", QUESTIONS)
def test_a_question_without_an_answer_is_missed_by_its_criterion_alone(link: str) -> None:
    code, text = QUESTIONS[link]
    found = check_criteria(changed(record(), without_answer(link)))
    assert {one.code: list(one.missing) for one in found if not one.is_met} == {code: [text]}


@pytest.mark.parametrize("said", [" ", "\n\t"])
def test_a_blank_answer_is_none(said: str) -> None:
    def change(r: PlanRecord) -> None:
        next(one for one in form(r)["item"] if one["linkId"] == "working")["answer"] = [{"valueString": said}]

    assert missing(changed(record(), change), "working-and-not-working") == ["The plan does not say what is working."]


def test_an_answer_may_be_the_page_where_it_stands() -> None:
    def change(r: PlanRecord) -> None:
        reference = {"valueReference": {"reference": "DocumentReference/my-plan", "display": "page 3"}}
        next(one for one in form(r)["item"] if one["linkId"] == "working")["answer"] = [reference]

    assert result(changed(record(), change), "working-and-not-working").is_met


def test_a_form_that_is_not_finished_does_not_count_and_the_last_one_does() -> None:
    half = changed(record(), lambda r: form(r).update(status="in-progress"))
    assert len(missing(half, "who-the-person-is")) == 3
    later = {**copy.deepcopy(form(record())), "id": "later", "authored": "2026-09-20T10:00:00+01:00", "item": []}
    assert not result(replace(record(), records=[form(record()), later]), "important-to-and-for").is_met


def test_nested_answers_are_answers() -> None:
    inner = {"linkId": "inner", "answer": [{"valueBoolean": False}]}
    made = {
        "item": [
            {"linkId": "outer", "item": [inner]},
            {"linkId": "a", "answer": [{"valueString": "x", "item": [inner]}]},
        ]
    }
    assert answers(made) == {"inner": [False, False], "a": ["x"]}
    assert answers(None) == {}


def test_needs_may_be_told_by_the_form_or_by_what_the_plan_addresses() -> None:
    bare = changed(record(), without_answer("health-needs"))
    assert result(bare, "who-the-person-is").is_met
    assert missing(changed(bare, lambda r: r.plan.pop("addresses")), "who-the-person-is") == [
        "The plan does not say what the person needs for their health."
    ]


def test_what_works_is_told_by_the_person_or_who_speaks_for_them() -> None:
    by_nurse = changed(record(), lambda r: form(r)["source"].update(reference="Practitioner/priya-nair"))
    assert missing(by_nurse, "working-and-not-working") == [
        "What is working and not working is told by the person, or by who speaks for them (source of the form)."
    ]
    by_sister = changed(record(), lambda r: form(r)["source"].update(reference="RelatedPerson/ruth-harper"))
    assert result(by_sister, "working-and-not-working").is_met


def capacity(code: str = "lacks-capacity", *told: str) -> Resource:
    told = told or ("capacity-decision", "capacity-basis")
    return {
        "resourceType": "Observation",
        "id": "capacity",
        "status": "final",
        "performer": [{"reference": "Practitioner/tom-whelan"}],
        "valueCodeableConcept": {"coding": [{"system": f"{BASE}/CodeSystem/phb-capacity-status", "code": code}]},
        "component": [
            {"code": {"coding": [{"system": f"{BASE}/CodeSystem/phb-observation-code", "code": one}]}} for one in told
        ],
    }


def consent(basis: str = "best-interest", who: str = "RelatedPerson/ruth-harper", end: str = "2027-01-01") -> Resource:
    return {
        "resourceType": "Consent",
        "id": "speaks",
        "category": [{"coding": [{"system": f"{BASE}/CodeSystem/phb-consent-kind", "code": "delegate"}]}],
        "policyRule": {"coding": [{"system": f"{BASE}/CodeSystem/phb-legal-basis", "code": basis}]},
        "provision": {"period": {"end": end}, "actor": [{"reference": {"reference": who}}]},
    }


def test_where_the_person_lacks_capacity_the_plan_shows_how_that_was_found_and_who_speaks() -> None:
    told = replace(record(), capacity=capacity(), consents=[consent()])
    assert result(told, "who-the-person-is").is_met
    assert {"Observation/capacity", "Consent/speaks"} <= set(result(told, "who-the-person-is").evidence)
    for one in (consent("consent"), consent(who="PractitionerRole/x"), consent(end="2026-09-23")):
        (text,) = missing(replace(told, consents=[one]), "who-the-person-is")
        assert text.startswith("The person lacks capacity, and nobody speaks for them by law")
    (text,) = missing(replace(told, capacity=capacity("lacks-capacity", "capacity-decision")), "who-the-person-is")
    assert "what it rests on" in text


@pytest.mark.parametrize("code", ["has-capacity", "fluctuating"])
def test_who_has_capacity_speaks_for_themselves(code: str) -> None:
    assert result(replace(record(), capacity=capacity(code)), "who-the-person-is").is_met


# ---- 4: risks ------------------------------------------------------------------------------------


def with_residual(code: str) -> Callable[[PlanRecord], None]:
    def change(r: PlanRecord) -> None:
        r.risks[0]["extension"][0]["valueCodeableConcept"]["coding"][0]["code"] = code

    return change


@pytest.mark.parametrize("code", ["negligible", "low", "moderate"])
def test_a_risk_that_remains_small_is_acceptable(code: str) -> None:
    assert result(changed(record(), with_residual(code)), "risks-and-contingency").is_met


@pytest.mark.parametrize("code", ["high", "certain"])
def test_a_risk_that_remains_high_needs_the_panel(code: str) -> None:
    high = changed(record(), with_residual(code))
    (text,) = missing(high, "risks-and-contingency")
    assert f"“Personal assistant ill or on holiday” is {code}" in text
    agreed = result(replace(high, panels=[{"resourceType": "Task", "id": "panel"}]), "risks-and-contingency")
    assert agreed.is_met
    assert "Task/panel" in agreed.evidence


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda risk: risk.pop("prediction"), "The risk “{}” does not say what might happen."),
        (lambda risk: risk.pop("mitigation"), "The risk “{}” does not say what is done about it."),
        (lambda risk: risk.update(status="preliminary"), "The risk “{}” has not been assessed to the end."),
    ],
)
def test_a_risk_says_what_might_happen_and_what_is_done(change: Callable[[Resource], Any], text: str) -> None:
    found = missing(changed(record(), lambda r: change(r.risks[0])), "risks-and-contingency")
    assert found == [text.format("Personal assistant ill or on holiday")]


def sheet(**said: bool | str) -> Resource:
    items = [
        {
            "linkId": link.replace("_", "-"),
            "answer": [{"valueBoolean" if isinstance(one, bool) else "valueString": one}],
        }
        for link, one in said.items()
    ]
    url = f"{BASE}/Questionnaire/phb-risk-sheet"
    return {
        "resourceType": "QuestionnaireResponse",
        "id": "sheet",
        "status": "completed",
        "questionnaire": url,
        "item": items,
    }


def test_without_a_risk_the_risk_sheet_says_that_there_is_none() -> None:
    bare = replace(record(), risks=[])
    (text,) = missing(bare, "risks-and-contingency")
    assert text.startswith("The plan has no risk that was looked at")
    assert result(replace(bare, records=[*bare.records, sheet(no_risks=True)]), "risks-and-contingency").is_met
    assert not result(replace(bare, records=[*bare.records, sheet(no_risks=False)]), "risks-and-contingency").is_met


def test_what_the_risk_sheet_brings_up_is_dealt_with() -> None:
    asked = sheet(harm_abuse=True, employs_assistant=True)
    found = missing(replace(record(), records=[*record().records, asked]), "risks-and-contingency")
    assert len(found) == 2
    told = sheet(
        worried="Falls",
        past="No",
        harm_abuse=True,
        harm_abuse_detail="Priya knows",
        employs_assistant=True,
        pa_support="Willow Tree",
    )
    met = result(replace(record(), records=[*record().records, told]), "risks-and-contingency")
    assert met.is_met
    assert ["safeguarding" in one for one in met.notes] == [True]


def test_a_prompt_of_the_risk_sheet_that_nobody_answered_is_remarked_on() -> None:
    def notes(**said: Any) -> tuple[str, ...]:
        found = result(replace(record(), records=[*record().records, sheet(**said)]), "risks-and-contingency")
        assert found.is_met
        return found.notes

    assert notes(worried="Falls", past="No", harm_abuse=False) == ()
    assert notes(no_risks=True) == (
        "The risk sheet does not say whether the person or their clinician is worried about anything.",
        "The risk sheet does not say whether anything has happened that might happen again.",
        "The risk sheet does not say whether there could be harm or abuse.",
    )
    assert result(record(), "risks-and-contingency").notes == ()


@pytest.mark.parametrize(("remains", "is_told"), [("negligible", False), ("low", False), ("moderate", True)])
def test_a_risk_that_remains_is_shared_in_a_decision_that_is_written_down(remains: str, *, is_told: bool) -> None:
    """R115: the decision, what was agreed, who does what, and how the risk is shared."""

    def change(r: PlanRecord) -> None:
        r.risks[0]["extension"][0]["valueCodeableConcept"]["coding"][0]["code"] = remains

    made = changed(replace(record(), risks=record().risks[:1]), change)
    text = (
        "The risk sheet does not say what was decided together, what was agreed to do, who does what from now on, how the risk is shared: where"
        " something risky is agreed, write down the decision that was shared."
    )
    assert result(made, "risks-and-contingency").notes == ((text,) if is_told else ())
    shared = sheet(
        decision="She sits for two hours", course_of_action="Cushion", roles="Tom looks", risk_sharing="Both"
    )
    told = result(replace(made, records=[*made.records, shared]), "risks-and-contingency")
    assert [one for one in told.notes if "shared" in one] == []


def test_there_is_somebody_to_call_in_health_services() -> None:
    def nobody(r: PlanRecord) -> None:
        team = r.found["CareTeam/jill-team"] or {}
        team["participant"] = [
            one for one in team["participant"] if one["role"][0]["coding"][0]["code"] != "health-contact"
        ]

    assert missing(changed(record(), nobody), "risks-and-contingency") == [
        "The team has nobody to call in health services (role health-contact)."
    ]
    silent = changed(record(), lambda r: (r.found["PractitionerRole/tom-whelan-ms-nurse"] or {}).pop("telecom"))
    (text,) = missing(silent, "risks-and-contingency")
    assert "no telephone number" in text


# ---- 5: goals ------------------------------------------------------------------------------------


def test_a_plan_has_goals_and_something_is_done_for_each() -> None:
    assert missing(changed(record(), lambda r: r.plan.update(goal=[])), "outcomes") == ["The plan has no goal."]

    def idle(r: PlanRecord) -> None:
        for one in r.plan["activity"]:
            one["detail"]["goal"] = [g for g in one["detail"]["goal"] if "stay-out" not in g["reference"]]

    (text,) = missing(changed(record(), idle), "outcomes")
    assert text == (
        "Nothing in the plan is done for the goal “I do not end up in hospital with an infection or a pressure sore”."
    )


def test_a_goal_is_there_and_that_of_the_person() -> None:
    gone = replace(record(), found={**record().found, "Goal/jill-goal-out-and-about": None})
    assert missing(gone, "outcomes") == ["Goal/jill-goal-out-and-about is not there."]
    others = changed(
        record(), lambda r: (r.found["Goal/jill-goal-out-and-about"] or {})["subject"].update(reference="Patient/asha")
    )
    (text,) = missing(others, "outcomes")
    assert text.endswith("is that of somebody else.")


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda goal: goal.pop("addresses"), "does not say which need it answers"),
        (lambda goal: goal.pop("expressedBy"), "is not in the words of the person"),
        (lambda goal: goal["description"].update(text="Massage"), "names a service"),
        (lambda goal: goal.pop("priority"), "does not say how much it matters beside the others"),
        (lambda goal: goal.update(lifecycleStatus="proposed"), "is only proposed"),
    ],
)
def test_a_broken_thread_is_told_and_keeps_nothing_from_being_signed_off(
    change: Callable[[Resource], Any], note: str
) -> None:
    told = result(changed(record(), lambda r: change(r.found["Goal/jill-goal-skin-and-sleep"] or {})), "outcomes")
    assert told.is_met
    assert [one for one in told.notes if note in one]
    assert result(record(), "outcomes").notes == ()


def test_a_single_goal_needs_no_priority() -> None:
    def alone(r: PlanRecord) -> None:
        r.plan["goal"] = [{"reference": "Goal/jill-goal-skin-and-sleep"}]
        (r.found["Goal/jill-goal-skin-and-sleep"] or {}).pop("priority")

    assert [one for one in result(changed(record(), alone), "outcomes").notes if "matters" in one] == []


def test_a_goal_that_is_called_as_something_in_the_directory_names_a_service() -> None:
    """R102: outcomes are not services."""
    text = "My skin stays whole and I sleep through most nights"
    told = result(replace(record(), offered=frozenset((text,))), "outcomes")
    assert told.is_met
    assert told.notes == (
        f"The goal “{text}” names a service. Goals are what will be better, be kept, or be avoided by it.",
    )


# ---- 6: money ------------------------------------------------------------------------------------


def budget(r: PlanRecord) -> Resource:
    return r.budgets[0]


def rows(account: Resource, name: str) -> list[Resource]:
    return [one for one in account["extension"] if one["url"].endswith(name)]


def amount(row: Resource) -> Resource:
    found: Resource = next(one for one in row["extension"] if one["url"] == "amount")["valueMoney"]
    return found


def test_a_plan_has_a_budget() -> None:
    (text,) = missing(replace(record(), budgets=[]), "money")
    assert text.startswith("No budget goes with this plan")


def test_every_pound_of_the_approved_amount_is_held_by_somebody() -> None:
    less = changed(record(), lambda r: amount(rows(budget(r), "management-element")[0]).update(value=18000))
    (text,) = missing(less, "money")
    assert text == (
        "Jill's personal health budget says who holds £25,960.00 of the approved £26,260.00. "
        "Say how the other £300.00 is held (phb-management-element)."
    )


def test_a_budget_without_an_approved_amount_is_told() -> None:
    def change(r: PlanRecord) -> None:
        budget(r)["extension"] = [one for one in budget(r)["extension"] if not one["url"].endswith("budget-amount")]

    assert missing(changed(record(), change), "money")[0] == (
        "Jill's personal health budget has no approved amount for the time of the plan."
    )


def test_an_amount_of_another_year_is_not_there_for_this_plan() -> None:
    later = changed(record(), lambda r: r.plan.update(period={"start": "2027-10-04", "end": "2028-10-02"}))
    assert missing(later, "money")[0].endswith("has no approved amount for the time of the plan.")


def test_what_the_plan_costs_is_there() -> None:
    def dearer(r: PlanRecord) -> None:
        cost = next(one for one in r.plan["activity"][0]["extension"] if one["url"].endswith("activity-cost"))
        cost["valueMoney"]["value"] += 2021

    assert missing(changed(record(), dearer), "money") == [
        "What the plan pays for from the budget comes to £28,281.00; there is £28,280.00, £1.00 too little."
    ]


def test_what_the_budget_pays_for_says_what_it_costs_and_what_the_nhs_provides_need_not() -> None:
    """Nobody has to take all of their care as money (R61, R62, R91)."""

    def change(r: PlanRecord) -> None:
        r.plan["activity"][0]["extension"] = [
            one for one in r.plan["activity"][0]["extension"] if not one["url"].endswith("activity-cost")
        ]

    assert missing(changed(record(), change), "money") == [
        "The activity “Personal assistant” is paid for by the budget, and does not say what it costs."
    ]

    def provided(r: PlanRecord) -> None:
        change(r)
        r.plan["activity"][0]["extension"][-1]["valueCode"] = "nhs-commissioned"

    assert result(changed(record(), provided), "money").is_met


def test_what_the_council_pays_for_is_held_against_the_councils_part() -> None:
    def dearer(r: PlanRecord) -> None:
        paid = [one for one in r.plan["activity"] if one["extension"][-1].get("valueCode") == "local-authority"]
        cost = next(one for one in paid[0]["extension"] if one["url"].endswith("activity-cost"))
        cost["valueMoney"]["value"] += 100000

    (text,) = missing(changed(record("asha"), dearer), "money")
    assert text.startswith("What the plan pays for from the other funders' part comes to")


# ---- 7 to 9 --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "what"),
    [(("performer",), "who does it"), (("scheduledTiming",), "when"), (("description", "code"), "what is done")],
)
def test_each_activity_says_who_does_what_and_when(names: tuple[str, ...], what: str) -> None:
    def change(r: PlanRecord) -> None:
        for name in names:
            r.plan["activity"][0]["detail"].pop(name)

    assert missing(changed(record(), change), "action-plan") == [
        f"The activity “Personal assistant” does not say {what}."
    ]


def test_an_activity_told_elsewhere_or_stopped_need_not_say_so_here() -> None:
    elsewhere = changed(
        record(), lambda r: r.plan["activity"].append({"id": "x", "reference": {"reference": "Task/x"}})
    )
    assert result(elsewhere, "action-plan").is_met
    stopped = changed(record(), lambda r: r.plan["activity"].append({"id": "x", "detail": {"status": "stopped"}}))
    assert result(stopped, "action-plan").is_met
    assert missing(changed(record(), lambda r: r.plan.update(activity=[])), "action-plan") != []


def test_the_care_coordinator_has_a_name() -> None:
    nameless = changed(record(), lambda r: (r.found["Practitioner/priya-nair"] or {}).pop("name"))
    assert missing(nameless, "care-coordinator") == [
        "PractitionerRole/priya-nair-coordinator is the care co-ordinator, and the record does not have their name."
    ]
    none = changed(record(), lambda r: (r.found["CareTeam/jill-team"] or {}).update(participant=[]))
    assert missing(none, "care-coordinator") == ["The plan's team has no care co-ordinator."]


def test_who_is_not_in_the_team_any_more_does_not_coordinate() -> None:
    def left(r: PlanRecord) -> None:
        for one in (r.found["CareTeam/jill-team"] or {})["participant"]:
            one["period"] = {"end": "2026-09-23"}

    assert not result(changed(record(), left), "care-coordinator").is_met


def test_a_review_has_a_date_in_the_plan_or_in_the_budget() -> None:
    def unscheduled(r: PlanRecord) -> None:
        budget(r)["extension"] = [one for one in budget(r)["extension"] if not one["url"].endswith("review-schedule")]

    assert result(replace(record(), reviews=[]), "monitoring-and-review").is_met
    assert result(changed(record(), unscheduled), "monitoring-and-review").is_met
    (text,) = missing(changed(replace(record(), reviews=[]), unscheduled), "monitoring-and-review")
    assert text.startswith("No review has a date")
    over = changed(changed(record(), unscheduled), lambda r: r.reviews[0].update(status="cancelled"))
    assert not result(over, "monitoring-and-review").is_met


# ---- who may sign off how much -------------------------------------------------------------------


def role(pounds: int | None = 30000, *categories: str, **more: Any) -> Resource:
    row: Resource = {
        "url": f"{BASE}/StructureDefinition/phb-authorisation-limit",
        "extension": [{"url": "amount", "valueMoney": {"value": pounds, "currency": "GBP"}}],
    }
    for code in categories:
        category = {"coding": [{"system": f"{BASE}/CodeSystem/phb-eligibility-category", "code": code}]}
        row["extension"].append({"url": "category", "valueCodeableConcept": category})
    return {
        "resourceType": "PractitionerRole",
        "id": "role",
        **({"extension": [row]} if pounds is not None else {}),
        **more,
    }


@pytest.mark.parametrize(
    ("who", "most", "text"),
    [
        (role(28280), None, None),  # 26,260 approved and 2,020 set aside
        (role(28279), None, "The plan comes to £28,280.00 a year; whoever signs off may agree up to £28,279.00."),
        (role(30000, "chc-adult"), None, None),
        (role(30000, "cyp-continuing-care"), None, "may not do so for people of the category chc-adult"),
        (role(None), None, "has no limit"),
        (role(None), 28280_00, None),
        (role(None), 28279_99, "may agree up to £28,279.99"),
        (role(20000), 30000_00, "may agree up to £20,000.00"),
    ],
)
def test_whoever_signs_off_may_agree_to_so_much_a_year(who: Resource, most: int | None, text: str | None) -> None:
    said = [one.text for one in check_limit(who, record(), [budget(record())], most)]
    assert len(said) == (text is not None)
    assert text is None or text in said[0]


@pytest.mark.parametrize(
    ("organization", "count"),
    [("Organization/wreake-valley-council", 1), ("Organization/wreake-valley", 0), ("Organization/a-trust", 0)],
)
def test_a_role_at_another_funder_does_not_agree_to_the_nhss_money(organization: str, count: int) -> None:
    asha = record("asha")
    nhss = [one for one in asha.with_money if one["id"] == "asha-health"]
    who = {**role(1_000_000), "organization": {"reference": organization}}
    assert [*check_limit(who, asha, nhss, None)] == []
    assert len([*check_funder(who, asha, nhss)]) == count


def test_an_amount_for_several_years_counts_by_the_year() -> None:
    def change(r: PlanRecord) -> None:
        r.plan["period"] = {"start": "2026-10-05", "end": "2031-10-04"}  # five years, 1,826 days

    long = changed(record(), change)
    assert yearly(record(), budget(record())) == 28280_00
    assert yearly(long, budget(long)) == round(28280_00 * 365 / 1826)


def test_what_is_for_the_time_after_a_plan_counts_for_whoever_signs_it_off() -> None:
    later = {"start": "2030-01-01", "end": "2031-12-31"}  # two years, 730 days

    def change(r: PlanRecord) -> None:
        row = [
            {"url": "type", "valueCode": "approved"},
            {"url": "amount", "valueMoney": {"value": 900000, "currency": "GBP"}},
            {"url": "period", "valuePeriod": later},
        ]
        url = "https://fhir.phb.nhs.example/StructureDefinition/phb-budget-amount"
        budget(r)["extension"].append({"url": url, "extension": row})

    more = changed(record(), change)
    assert yearly(more, budget(more)) == 450000_00


@pytest.mark.parametrize(("role_", "may"), [("commissioner", True), ("care-coordinator", False), ("nhs-team", False)])
def test_for_the_commissioner_itself_the_commissioner_decides_and_not_everybody_who_works_there(
    role_: str, may: bool
) -> None:
    by = By(role_, frozenset({"Practitioner/priya", "Organization/icb"}))
    assert (not [*check_decider(by, "Organization/icb", None)]) is may
    assert not [*check_decider(by, "Organization/icb", None, (role_,))]


@pytest.mark.parametrize(
    ("by", "may"),
    [
        (By(), True),
        (By("system"), True),
        (By("care-coordinator", frozenset({"PractitionerRole/role"})), True),
        (By("nhs-team", frozenset({"Practitioner/priya"})), True),
        (By("care-coordinator", frozenset({"PractitionerRole/other", "Organization/icb"})), False),
        (By("commissioner", frozenset({"Organization/icb"})), True),
        (By("commissioner", frozenset({"Organization/other"})), False),
        (By("person", frozenset({"PractitionerRole/role"})), False),
        (By("provider", frozenset({"PractitionerRole/role"})), False),
    ],
)
def test_a_decision_is_recorded_by_who_made_it_or_the_commissioner_of_their_role(by: By, may: bool) -> None:
    made = role(practitioner={"reference": "Practitioner/priya"}, organization={"reference": "Organization/icb"})
    assert (not [*check_decider(by, "PractitionerRole/role", made)]) is may


# ---- the Task ------------------------------------------------------------------------------------

TASK_STATUSES = tuple(STEPS)


def task(status: str, **more: Any) -> Resource:
    return {
        "resourceType": "Task",
        "status": status,
        "businessStatus": {"coding": [{"system": f"{BASE}/CodeSystem/phb-task-business-status", "code": "approved"}]},
        "output": [{"type": {"text": "present"}, "valueBoolean": True}],
        **more,
    }


def step(before: Resource | None, after: Resource | None) -> list[str]:
    now = datetime(2026, 11, 22, 9, tzinfo=UTC)
    return [one.text for one in check_step(Case("Task", "t", before, after, "Task/t/_history/2", now, now.date()))]


# what R4's own diagram of Task allows of a Task that decides something, and no more
TASK_MAY = {
    "draft": {"requested"},
    "requested": {"received", "accepted", "in-progress", "completed", "rejected"},
    "received": {"accepted", "in-progress", "completed", "rejected"},
    "accepted": {"in-progress", "completed", "on-hold", "rejected"},
    "ready": {"in-progress", "completed", "on-hold"},
    "in-progress": {"completed", "on-hold", "failed"},
    "on-hold": {"accepted", "in-progress"},
    "rejected": set(),
    "cancelled": set(),
    "failed": set(),
    "completed": set(),
    "entered-in-error": set(),
}
OPEN = {"draft", "requested", "received", "accepted", "ready", "in-progress", "on-hold"}


@pytest.mark.parametrize("is_now", TASK_STATUSES)
@pytest.mark.parametrize("was", TASK_STATUSES)
def test_a_task_that_decides_goes_where_the_table_says_and_nowhere_else(was: str, is_now: str) -> None:
    may = is_now in TASK_MAY[was] or is_now in (was, "entered-in-error") or (is_now == "cancelled" and was in OPEN)
    assert (step(task(was), task(is_now)) == []) is may


def test_a_decision_stands_as_it_was_made() -> None:
    decided = task("completed", statusReason={"text": "All nine are met"})
    assert step(decided, copy.deepcopy(decided)) == []
    assert step(decided, {**decided, "note": [{"text": "Copied to Jill"}]}) == []
    for other in (
        {**decided, "statusReason": {"text": "Something else"}},
        {**decided, "output": []},
        {**decided, "owner": {"reference": "PractitionerRole/other"}},
    ):
        assert step(decided, other) == [
            "What was decided stands as it was decided. To have it looked at again, ask for an appeal."
        ]
    assert step(decided, None) != []
    assert step(task("requested"), None) == []

"""C32E4: what the usual process cannot settle goes to the risk enablement panel, which decides it with one voice (RULE-PANEL; SM-G)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.journeys.jills_budget import read, refused
from tests.journeys.planning import (
    BASE,
    BUSINESS,
    PARAMETER,
    PRIYA,
    TASK_CODE,
    changed,
    coded,
    letters,
    planned,
    put,
    record,
    said_in,
    sign_off,
)

Resource = dict[str, Any]
ROLE = f"{BASE}/CodeSystem/phb-panel-role"
GROUND = f"{BASE}/CodeSystem/phb-panel-ground"
REFERRER = f"{BASE}/CodeSystem/phb-panel-referrer"
REDIRECTION = f"{BASE}/CodeSystem/phb-panel-redirection"
ANSWER = f"{BASE}/CodeSystem/phb-suitability-answer"
TOM = "PractitionerRole/tom-whelan-ms-nurse"
CONVENOR = "PractitionerRole/convenor"
# who sits, and as what; the manager chairs
SEATS = {
    "PractitionerRole/manager": ("team-manager", "chair"),
    TOM: ("responsible-clinician",),
    "PractitionerRole/for-the-icb": ("commissioner-representative",),
    "PractitionerRole/finance": ("finance-representative",),
    "Patient/jill": ("service-user-or-representative",),
    "PractitionerRole/broker": ("invitee",),
}
QUESTIONS = (
    "longer-term-outcomes",
    "risk-and-empowerment",
    "likely-to-engage",
    "legal",
    "related-to-condition",
    "family-consulted",
    "no-major-risk-to-organisations",
)


@pytest.fixture
def jill(api: httpx.Client) -> httpx.Client:
    """Jill, with a risk in her plan that nothing makes small, and a panel that could decide about it."""
    resources = planned()
    residual = resources["RiskAssessment/jill-risk-skin"]["extension"][0]["valueCodeableConcept"]["coding"][0]
    residual.update(code="high", display="High likelihood")
    for key in ("convenor", "manager", "for-the-icb", "finance", "broker", "outsider"):
        resources[f"PractitionerRole/{key}"] = role(key)
    resources["CareTeam/panel"] = panel()
    resources["QuestionnaireResponse/suitability"] = suitability()
    resources["DocumentReference/minutes"] = document("minutes")
    resources["DocumentReference/assessment"] = document("assessment")
    record(api, resources)
    return api


def role(id_: str) -> Resource:
    return {
        "resourceType": "PractitionerRole",
        "id": id_,
        "active": True,
        "practitioner": {"display": id_},
        "organization": {"reference": "Organization/harbourside-north"},
        "code": [{"text": id_}],
    }


def panel(seats: dict[str, tuple[str, ...]] | None = None) -> Resource:
    sits = SEATS if seats is None else seats
    return {
        "resourceType": "CareTeam",
        "id": "panel",
        "status": "active",
        "category": [coded(f"{BASE}/CodeSystem/phb-care-team-kind", "risk-enablement-panel")],
        "name": "Panel about Jill's plan",
        "subject": {"reference": "Patient/jill"},
        "participant": [
            {"role": [coded(ROLE, one) for one in roles], "member": {"reference": member}}
            for member, roles in sits.items()
        ],
    }


def suitability(**answers: str) -> Resource:
    said = {**dict.fromkeys(QUESTIONS, "met"), **{name.replace("_", "-"): one for name, one in answers.items()}}
    return {
        "resourceType": "QuestionnaireResponse",
        "id": "suitability",
        "questionnaire": f"{BASE}/Questionnaire/phb-panel-suitability|0.1.0",
        "status": "completed",
        "subject": {"reference": "Patient/jill"},
        "authored": "2026-12-10T15:00:00Z",
        "author": {"reference": CONVENOR},
        "item": [
            {"linkId": name, "answer": [{"valueCoding": {"system": ANSWER, "code": one}}]} for name, one in said.items()
        ],
    }


def document(id_: str, day: str = "2026-11-20") -> Resource:
    return {
        "resourceType": "DocumentReference",
        "id": id_,
        "status": "current",
        "type": {"text": id_},
        "subject": {"reference": "Patient/jill"},
        "date": f"{day}T10:00:00Z",
        "content": [{"attachment": {"contentType": "text/plain", "data": "T25lIHZvaWNlLgo="}}],
    }


def given(code: str, **value: Any) -> Resource:
    return {"type": coded(PARAMETER, code), **value}


def referral(*inputs: Resource, **more: Any) -> Resource:
    """A referral on a Sunday, for a decision on the Thursday of the week after next."""
    return {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": coded(TASK_CODE, "risk-panel-referral"),
        "description": "Jill wants to sit through choir practice. It is four hours, and her skin has broken down before.",
        "focus": {"reference": "CarePlan/jill-plan"},
        "for": {"reference": "Patient/jill"},
        "authoredOn": "2026-11-22T08:00:00Z",
        "lastModified": "2026-11-22T08:00:00Z",
        "requester": {"reference": TOM},
        "owner": {"reference": CONVENOR},
        "reasonCode": coded(GROUND, "physical-or-emotional-risk"),
        "restriction": {"period": {"end": "2026-12-10"}},
        "input": [
            given("referrer-role", valueCodeableConcept=coded(REFERRER, "clinician")),
            given(
                "why-exceptional", valueString="Nothing that we agreed makes the risk small enough to be signed off."
            ),
            given("panel", valueReference={"reference": "CareTeam/panel"}),
            *inputs,
        ],
        **more,
    }


def referred(api: httpx.Client, *inputs: Resource, **more: Any) -> str:
    answer = api.post("/Task", json=referral(*inputs, **more))
    assert answer.status_code == 201, answer.text
    return f"Task/{answer.json()['id']}"


def sitting(api: httpx.Client, *inputs: Resource, **more: Any) -> str:
    """A referral that the panel sits about."""
    key = referred(api, *inputs, **more)
    for status in ("received", "accepted", "in-progress"):
        answer = changed(api, key, status=status)
        assert answer.status_code == 200, answer.text
    return key


def decide(
    api: httpx.Client, key: str, decision: str = "approved", votes: dict[str, bool] | None = None, **more: Any
) -> httpx.Response:
    cast = (
        dict.fromkeys((one for one, roles in SEATS.items() if roles != ("invitee",)), True) if votes is None else votes
    )
    rows: list[Resource] = [
        {"name": "decision", "valueCode": decision},
        *({"name": "vote", "part": vote(member, is_in_favour=one)} for member, one in cast.items()),
        {"name": "suitability", "valueReference": {"reference": "QuestionnaireResponse/suitability"}},
        {"name": "minutes", "valueReference": {"reference": "DocumentReference/minutes"}},
        *({"name": name, **one} for name, one in more.items()),
    ]
    return api.post(f"/{key}/$panel-decide", json={"resourceType": "Parameters", "parameter": rows})


def vote(member: str, *, is_in_favour: bool) -> list[Resource]:
    return [
        {"name": "member", "valueReference": {"reference": member}},
        {"name": "role", "valueCode": SEATS.get(member, ("finance-representative",))[0]},
        {"name": "inFavour", "valueBoolean": is_in_favour},
    ]


# ---- what the panel agrees to --------------------------------------------------------------------


def follow_ups(api: httpx.Client) -> list[Resource]:
    """What the care team is to do after the panel's decision (R121)."""
    rows = api.get("/Task", params={"code": f"{TASK_CODE}|panel-follow-up", "patient": "jill"}).json()
    return [row["resource"] for row in rows.get("entry", [])]


def test_a_plan_with_a_high_risk_is_signed_off_once_the_panel_agreed_and_not_before(jill: httpx.Client) -> None:
    (text,) = refused(sign_off(jill))
    assert text.startswith("What remains of the risk “Skin breaking down” is high.")
    key = sitting(jill)
    answer = decide(jill, key)
    assert answer.status_code == 200, answer.text
    (task,) = [one["resource"] for one in answer.json()["parameter"] if one["name"] == "return"]
    assert (task["status"], task["businessStatus"]) == ("completed", coded(BUSINESS, "approved"))
    (letter,) = letters(jill)
    assert letter["topic"]["text"] == "The risk enablement panel agreed"
    (follow,) = follow_ups(jill)
    assert (follow["status"], follow["partOf"], follow["owner"]) == (
        "requested",
        [{"reference": key}],
        {"reference": PRIYA},
    )
    assert follow["focus"] == {"reference": "CarePlan/jill-plan"}
    signed = sign_off(jill, panelDecision=("Reference", {"reference": key}))
    assert signed.status_code == 200, signed.text
    assert read(jill, "Task/jill-sign-off")["reasonReference"] == {"reference": key}


def test_a_decision_of_another_panel_is_no_evidence(jill: httpx.Client) -> None:
    key = sitting(jill)
    said = refused(sign_off(jill, panelDecision=("Reference", {"reference": key})))
    assert f"{key} is no decision of the risk enablement panel that agreed to this plan, or to its budget." in said


def test_a_plain_put_of_the_decided_referral_does_the_same(jill: httpx.Client) -> None:
    key = sitting(jill)
    votes = [
        {"type": {"coding": [coded(PARAMETER, "vote-in-favour")["coding"][0], coded(ROLE, roles[0])["coding"][0]]}}
        | {"valueReference": {"reference": member}}
        for member, roles in SEATS.items()
        if roles != ("invitee",)
    ]
    written = [
        given("suitability-record", valueReference={"reference": "QuestionnaireResponse/suitability"}),
        given("minutes", valueReference={"reference": "DocumentReference/minutes"}),
    ]
    decided = {"status": "completed", "businessStatus": coded(BUSINESS, "approved")}
    assert any(
        "at least 5 members; 4 were there" in one
        for one in refused(changed(jill, key, **decided, output=[*votes[1:], *written]))
    )
    assert changed(jill, key, **decided, output=[*votes, *written]).status_code == 200


# ---- how it decides ------------------------------------------------------------------------------


def test_one_voice_against_is_enough_and_not_agreeing_needs_a_reason(jill: httpx.Client) -> None:
    key = sitting(jill)
    votes = {**dict.fromkeys((one for one in SEATS if one != "PractitionerRole/broker"), True), TOM: False}
    assert refused(decide(jill, key, votes=votes)) == [f"The panel approves with one voice; {TOM} voted against."]
    (text,) = refused(decide(jill, key, "not-approved", votes))
    assert text.startswith("A panel that does not agree, or refers on, says why")
    answer = decide(jill, key, "not-approved", votes, reason={"valueString": "Four hours is too long without a break."})
    assert answer.status_code == 200, answer.text
    (letter,) = letters(jill)
    assert "Why: Four hours is too long without a break." in said_in(letter)
    assert follow_ups(jill) == []
    assert any(one.startswith("What remains of the risk") for one in refused(sign_off(jill)))


def test_a_matter_is_referred_on_with_the_reason(jill: httpx.Client) -> None:
    key = sitting(jill)
    answer = decide(jill, key, "referred-on", reason={"valueString": "The equipment panel decides about the cushion."})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("absent", "words"),
    [
        ("PractitionerRole/manager", "The panel needs the team manager."),
        (TOM, "The panel needs the clinician responsible for the support package."),
        ("PractitionerRole/for-the-icb", "The panel needs somebody for the commissioner or the provider trust."),
        ("Patient/jill", None),
    ],
)
def test_the_quorum_is_five_with_those_who_are_needed(jill: httpx.Client, absent: str, words: str | None) -> None:
    key = sitting(jill)
    votes = dict.fromkeys((one for one in SEATS if one not in (absent, "PractitionerRole/broker")), True)
    said = refused(decide(jill, key, votes=votes))
    assert "The panel decides with at least 5 members; 4 were there and voted. A comment in writing is no vote." in said
    assert words is None or words in said


def test_who_took_part_and_kept_silent_is_no_voice_for_it(jill: httpx.Client) -> None:
    assert put(jill, panel({**SEATS, "PractitionerRole/broker": ("project-manager",)})).status_code == 200
    key = sitting(jill)
    assert put(jill, meeting(key, *SEATS)).status_code == 201
    silent = "PractitionerRole/broker"
    votes = dict.fromkeys((one for one in SEATS if one != silent), True)
    assert refused(decide(jill, key, votes=votes)) == [
        f"The panel approves with one voice; {silent} took part in the meeting, and did not vote."
    ]
    came = [*meeting(key, *SEATS)["participant"]][:-1]
    left = [*came, {"actor": {"reference": silent}, "status": "declined"}]
    assert put(jill, {**meeting(key), "participant": left}).status_code == 200
    assert decide(jill, key, votes=votes).status_code == 200


def test_who_has_left_the_panel_has_no_vote(jill: httpx.Client) -> None:
    key = sitting(jill)
    sits = panel()["participant"]
    gone = [
        {**one, "period": {"end": "2026-11-21"}} if "finance" in one["member"]["reference"] else one for one in sits
    ]
    assert put(jill, {**panel(), "participant": gone}).status_code == 200
    assert "PractitionerRole/finance voted, and does not sit on the panel." in refused(decide(jill, key))
    today = [{**one, "period": {"end": "2026-11-22"}} for one in sits]
    assert put(jill, {**panel(), "participant": today}).status_code == 200
    assert decide(jill, key).status_code == 200


def test_who_is_invited_has_no_vote_and_who_does_not_sit_has_none_either(jill: httpx.Client) -> None:
    key = sitting(jill)
    everybody = dict.fromkeys(SEATS, True)
    (text,) = refused(decide(jill, key, votes=everybody))
    assert text.startswith("PractitionerRole/broker voted")
    votes = {
        **dict.fromkeys((one for one in SEATS if one != "PractitionerRole/broker"), True),
        "PractitionerRole/outsider": True,
    }
    assert refused(decide(jill, key, votes=votes)) == [
        "PractitionerRole/outsider voted, and does not sit on the panel."
    ]


def test_a_deputy_who_is_given_the_seat_votes(jill: httpx.Client) -> None:
    seats = {one: roles for one, roles in SEATS.items() if one != "PractitionerRole/finance"}
    deputy = {**seats, "PractitionerRole/outsider": ("finance-representative",)}
    assert put(jill, {**read(jill, "CareTeam/panel"), "participant": panel(deputy)["participant"]}).status_code == 200
    key = sitting(jill)
    votes = dict.fromkeys((one for one in deputy if one != "PractitionerRole/broker"), True)
    assert decide(jill, key, votes=votes).status_code == 200


def standing_in(member: str, for_: str, *roles: str) -> Resource:
    """A member of the panel who stands in for another."""
    url = f"{BASE}/StructureDefinition/phb-deputy-for"
    return {
        "extension": [{"url": url, "valueReference": {"reference": for_}}],
        "role": [coded(ROLE, one) for one in roles],
        "member": {"reference": member},
    }


def test_a_deputy_votes_for_whom_they_stand_in_and_not_beside_them(jill: httpx.Client) -> None:
    """R131: an absent member may nominate a deputy; both stay in the record, and have one seat."""
    deputy = standing_in("PractitionerRole/outsider", "PractitionerRole/finance", "finance-representative")
    assert put(jill, {**panel(), "participant": [*panel()["participant"], deputy]}).status_code == 200
    key = sitting(jill)
    members = [one for one, roles in SEATS.items() if roles != ("invitee",)]
    both = dict.fromkeys([*members, "PractitionerRole/outsider"], True)
    assert refused(decide(jill, key, votes=both)) == [
        "PractitionerRole/outsider stands in for PractitionerRole/finance, and both voted: one of the two was there for the other."
    ]
    del both["PractitionerRole/finance"]
    assert decide(jill, key, votes=both).status_code == 200


@pytest.mark.parametrize(
    ("for_", "role", "said"),
    [
        (
            "PractitionerRole/nobody",
            "finance-representative",
            "PractitionerRole/nobody, who has no seat on this panel.",
        ),
        (
            "PractitionerRole/finance",
            "project-manager",
            "PractitionerRole/finance, who does not sit as project-manager.",
        ),
    ],
)
def test_a_deputy_stands_in_for_a_member_as_what_that_one_is(
    jill: httpx.Client, for_: str, role: str, said: str
) -> None:
    deputy = standing_in("PractitionerRole/outsider", for_, role)
    assert put(jill, {**panel(), "participant": [*panel()["participant"], deputy]}).status_code == 200
    key = referred(jill)
    assert changed(jill, key, status="received").status_code == 200
    assert refused(changed(jill, key, status="accepted")) == [f"PractitionerRole/outsider stands in for {said}"]


def test_a_panel_that_decides_without_the_person_hears_that_nothing_says_so(jill: httpx.Client) -> None:
    """R98."""
    seats = {one: roles for one, roles in SEATS.items() if one != "Patient/jill"}
    more = {**seats, "PractitionerRole/outsider": ("finance-representative",)}
    assert put(jill, {**read(jill, "CareTeam/panel"), "participant": panel(more)["participant"]}).status_code == 200
    key = sitting(jill)
    votes = dict.fromkeys((one for one in more if one != "PractitionerRole/broker"), True)
    decided = decide(jill, key, votes=votes)
    assert decided.status_code == 200, decided.text
    rows = {row["name"]: row["resource"] for row in decided.json()["parameter"]}
    assert "did not sit on the panel" in rows["outcome"]["issue"][0]["diagnostics"]


def test_what_is_approved_meets_all_seven_and_family_may_not_apply(jill: httpx.Client) -> None:
    key = sitting(jill)
    assert put(jill, suitability(legal="not-met")).status_code == 200
    assert refused(decide(jill, key)) == ["The panel can approve only what it found that it is legal."]
    assert put(jill, suitability(family_consulted="not-applicable")).status_code == 200
    assert decide(jill, key).status_code == 200


def test_what_the_panel_decided_is_written_down_and_stands(jill: httpx.Client) -> None:
    key = sitting(jill)
    assert changed(jill, "DocumentReference/minutes", status="entered-in-error").status_code == 200
    assert refused(decide(jill, key)) == ["DocumentReference/minutes is not there, or not finished."]
    assert changed(jill, "DocumentReference/minutes", status="current").status_code == 200
    assert decide(jill, key).status_code == 200
    assert refused(changed(jill, key, businessStatus=coded(BUSINESS, "not-approved"))) != []


def test_the_panel_sets_a_day_to_look_at_it_again(jill: httpx.Client) -> None:
    key = sitting(jill)
    assert decide(jill, key, reviewOn={"valueDate": "2027-03-01"}).status_code == 200
    code = f"{TASK_CODE}|phb-review"
    found = jill.get("/Task", params={"code": code, "part-of": key}).json()["entry"]
    (review,) = [row["resource"] for row in found]
    assert review["restriction"]["period"]["end"] == "2027-03-01"
    assert (review["focus"], review["basedOn"]) == (
        {"reference": "Account/jill-budget"},
        [{"reference": "CarePlan/jill-plan"}],
    )
    assert review["owner"]["reference"] == PRIYA


def test_what_the_panel_decided_is_not_appealed(jill: httpx.Client) -> None:
    key = sitting(jill)
    assert decide(jill, key).status_code == 200
    asked = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": coded(TASK_CODE, "appeal"),
        "description": "Look again",
        "focus": {"reference": key},
        "for": {"reference": "Patient/jill"},
        "authoredOn": "2026-11-22T08:00:00Z",
        "requester": {"reference": "Patient/jill"},
        "owner": {"reference": PRIYA},
    }
    (text,) = refused(jill.post("/Task", json=asked))
    assert text.startswith("What the risk enablement panel decided is final.")


# ---- from being scheduled to being decided -------------------------------------------------------


def meeting(key: str, *members: str) -> Resource:
    """The meeting of the panel about a referral, which these have come to."""
    return {
        "resourceType": "Appointment",
        "id": "meeting",
        "status": "arrived",
        "start": "2026-12-10T10:00:00Z",
        "end": "2026-12-10T11:00:00Z",
        "supportingInformation": [{"reference": key}],
        "participant": [{"actor": {"reference": one}, "status": "accepted"} for one in members],
    }


def test_a_referral_is_scheduled_then_quorate_with_those_who_came_and_then_decided(jill: httpx.Client) -> None:
    key = referred(jill)
    scheduled, quorate = coded(BUSINESS, "scheduled"), coded(BUSINESS, "quorate")
    assert changed(jill, key, status="received").status_code == 200
    (text,) = refused(changed(jill, key, status="accepted", businessStatus=quorate))
    assert text == "The business status of a referral that is accepted says 'scheduled'; this one says 'quorate'."
    assert changed(jill, key, status="accepted", businessStatus=scheduled).status_code == 200
    members = [one for one, roles in SEATS.items() if roles != ("invitee",)]
    assert put(jill, meeting(key, *members[1:])).status_code == 201
    said = refused(changed(jill, key, status="in-progress", businessStatus=quorate))
    assert said[0].startswith("The panel is quorate with at least 5 members; 4 are recorded as there")
    assert said[1:] == ["The panel needs the team manager."]
    assert changed(jill, key, status="in-progress").status_code == 200  # it sits, and waits for the manager
    assert put(jill, meeting(key, *members)).status_code == 200
    assert changed(jill, key, businessStatus=quorate).status_code == 200
    assert decide(jill, key).status_code == 200
    assert read(jill, key)["businessStatus"] == coded(BUSINESS, "approved")


# ---- who sits on it ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seats", "words"),
    [
        (
            {one: roles for one, roles in SEATS.items() if one != "Patient/jill"},
            "A panel has at least 5 members; this one has 4.",
        ),
        ({**SEATS, "PractitionerRole/manager": ("project-manager", "chair")}, "The panel needs the team manager."),
        ({**SEATS, "PractitionerRole/manager": ("team-manager",)}, "A panel has exactly one chair; this one has 0."),
        (
            {**SEATS, PRIYA: ("care-coordinator-other-team",)},
            f"{PRIYA} sits as a care co-ordinator of another team, and is of the person's own.",
        ),
        (
            {**SEATS, "RelatedPerson/ruth-harper": ("independent-service-user",)},
            "RelatedPerson/ruth-harper sits as an independent service user, and has a part in the case.",
        ),
        (
            {
                **SEATS,
                **{
                    f"PractitionerRole/{one}": ("independent-service-user",)
                    for one in ("outsider", "broker", "convenor")
                },
            },
            "A panel has at most 2 independent service users; this one has 3.",
        ),
        (
            {**SEATS, "PractitionerRole/outsider": ("service-user-or-representative",)},
            "PractitionerRole/outsider sits as the person or their representative, and is neither.",
        ),
    ],
)
def test_a_panel_is_made_up_as_the_rules_say_before_a_day_is_set(
    jill: httpx.Client, seats: dict[str, tuple[str, ...]], words: str
) -> None:
    assert put(jill, panel(seats)).status_code == 200
    key = referred(jill)
    assert changed(jill, key, status="received").status_code == 200
    assert words in refused(changed(jill, key, status="accepted"))
    assert put(jill, panel()).status_code == 200
    assert changed(jill, key, status="accepted").status_code == 200


def test_a_panel_about_somebody_else_is_not_this_ones(jill: httpx.Client) -> None:
    assert put(jill, {**panel(), "subject": {"reference": "Patient/asha"}}).status_code == 200
    key = referred(jill)
    assert changed(jill, key, status="received").status_code == 200
    assert refused(changed(jill, key, status="accepted")) == [
        "CareTeam/panel is the panel about somebody else, not Patient/jill."
    ]
    standing = {name: one for name, one in panel().items() if name != "subject"}
    assert put(jill, standing).status_code == 200
    assert changed(jill, key, status="accepted").status_code == 200


def test_a_panel_is_named_before_a_day_is_set(jill: httpx.Client) -> None:
    bare = referral()
    bare["input"] = bare["input"][:2]
    answer = jill.post("/Task", json=bare)
    assert answer.status_code == 201, answer.text
    key = f"Task/{answer.json()['id']}"
    assert changed(jill, key, status="received").status_code == 200
    (text,) = refused(changed(jill, key, status="accepted"))
    assert text.startswith("Once a day is set, a referral names its panel (input panel)")


# ---- referring -----------------------------------------------------------------------------------


def test_the_panel_is_asked_seven_working_days_before_unless_it_is_said_why_not(jill: httpx.Client) -> None:
    """From Tuesday 15 December, Christmas and the substitute for Boxing Day are no working days: the first day is the 24th."""
    asked = {"authoredOn": "2026-12-15T10:00:00Z", "lastModified": "2026-12-15T10:00:00Z"}
    soon = {**asked, "restriction": {"period": {"end": "2026-12-25"}}}
    assert jill.post("/Task", json=referral(**soon)).status_code == 201
    late = {"authoredOn": "2026-12-18T10:00:00Z", "restriction": {"period": {"end": "2026-12-30"}}}
    late["lastModified"] = late["authoredOn"]
    (text,) = refused(jill.post("/Task", json=referral(**late)))
    assert text.startswith(
        "The panel is asked at least 7 working days before a decision is needed. From 18 December 2026 to"
    )
    assert "there are 6; the first day it can decide is 31 December 2026." in text
    waived = given("notice-waived", valueString="Jill's choir sings on New Year's Day.")
    assert jill.post("/Task", json=referral(waived, **late)).status_code == 201


def test_an_early_day_on_the_referral_does_not_make_the_notice_longer(jill: httpx.Client) -> None:
    early = {"authoredOn": "2026-11-01T10:00:00Z", "restriction": {"period": {"end": "2026-11-26"}}}
    (text,) = refused(jill.post("/Task", json=referral(**early)))
    assert "From 22 November 2026 to 26 November 2026 there are 4" in text
    key = f"Task/{jill.post('/Task', json=referral(**{**early, 'restriction': {'period': {'end': '2026-12-10'}}})).json()['id']}"
    sooner = changed(jill, key, restriction={"period": {"end": "2026-11-26"}})
    assert refused(sooner) == [text]


def test_papers_come_seven_days_before(jill: httpx.Client) -> None:
    paper = given("papers", valueReference={"reference": "DocumentReference/assessment"})
    assert jill.post("/Task", json=referral(paper)).status_code == 201
    assert put(jill, document("assessment", "2026-12-04")).status_code == 200
    (text,) = refused(jill.post("/Task", json=referral(paper)))
    assert text == (
        "DocumentReference/assessment came on 4 December 2026. All papers are with the panel at least 7 days before a decision is "
        "needed, by 3 December 2026, unless the notice is waived."
    )
    waived = given("notice-waived", valueString="The scan was late.")
    assert jill.post("/Task", json=referral(paper, waived)).status_code == 201


def test_a_referral_goes_to_a_convenor_of_the_commissioner(jill: httpx.Client) -> None:
    (text,) = refused(jill.post("/Task", json=referral(owner={"reference": TOM})))
    assert text.startswith("A referral goes to the convenor of the panel, who is of the commissioner")


@pytest.mark.parametrize(
    ("requester", "as_what", "is_taken"),
    [
        ("Patient/jill", "service-user", True),
        ("RelatedPerson/ruth-harper", "carer", True),
        (TOM, "clinician", True),
        (TOM, "service-user", False),
        ("Patient/jill", "clinician", False),
    ],
)
def test_who_refers_is_what_they_say_they_are(jill: httpx.Client, requester: str, as_what: str, is_taken: bool) -> None:
    asked = referral(requester={"reference": requester})
    asked["input"][0]["valueCodeableConcept"] = coded(REFERRER, as_what)
    answer = jill.post("/Task", json=asked)
    assert answer.status_code == (201 if is_taken else 422)
    if not is_taken:
        assert f"A referral by the {as_what} is asked for by a" in refused(answer)[0]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("eligibility-refusal-complaint", "an appeal against that decision"),
        ("safeguarding", "the safeguarding team, at once"),
        ("complaint", "the complaints process"),
    ],
)
def test_what_is_not_for_the_panel_is_told_where_it_goes_and_can_be_rejected(
    jill: httpx.Client, code: str, words: str
) -> None:
    both = {"coding": [*coded(GROUND, "physical-or-emotional-risk")["coding"], *coded(REDIRECTION, code)["coding"]]}
    (text,) = refused(jill.post("/Task", json=referral(reasonCode=both)))
    assert text.startswith("This is not for the panel.")
    assert words in text
    key = referred(jill)
    assert changed(jill, key, status="rejected", statusReason=coded(REDIRECTION, code)).status_code == 200


def test_a_referral_is_about_a_budget_or_its_plan_of_that_person(jill: httpx.Client) -> None:
    assert jill.post("/Task", json=referral(focus={"reference": "Account/jill-budget"})).status_code == 201
    assert refused(jill.post("/Task", json=referral(focus={"reference": "CarePlan/nowhere"}))) == [
        "A referral is about a personal health budget, or the plan of one (focus)."
    ]
    said = refused(jill.post("/Task", json=referral(**{"for": {"reference": "Patient/asha"}})))
    assert "The task is for Patient/asha; what it is about is that of Patient/jill." in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"decision": {"valueCode": "upheld"}}, '"decision" is one of approved, not-approved, referred-on'),
        ({"minutes": None}, 'There is no "minutes"'),
        ({"vote": None}, 'There is a "vote" for each member'),
    ],
)
def test_a_decision_that_is_told_badly_is_refused(jill: httpx.Client, change: Resource, words: str) -> None:
    key = referred(jill)
    rows = [
        {"name": "decision", "valueCode": "approved"},
        {"name": "vote", "part": vote(TOM, is_in_favour=True)},
        {"name": "suitability", "valueReference": {"reference": "QuestionnaireResponse/suitability"}},
        {"name": "minutes", "valueReference": {"reference": "DocumentReference/minutes"}},
    ]
    kept = [
        {"name": one["name"], **(change.get(one["name"], one) or {})} for one in rows if change.get(one["name"], one)
    ]
    answer = jill.post(f"/{key}/$panel-decide", json={"resourceType": "Parameters", "parameter": kept})
    assert answer.status_code == 400
    assert words in answer.json()["issue"][0]["diagnostics"]
    assert (
        jill.post(
            "/Task/jill-sign-off/$panel-decide", json={"resourceType": "Parameters", "parameter": rows}
        ).status_code
        == 422
    )

"""The risk enablement panel (SM-G, RULE-PANEL): states pair by pair, who sits, who votes, how early it is asked. Pure, of `rules/panel`."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from phb_fhir.outcome import Issue
from phb_fhir.rules.case import By
from phb_fhir.rules.deciding import check_step
from phb_fhir.rules.panel import PANEL_STEPS, REFERS_AS, asked_on, check_label, check_notice, check_referrer
from phb_fhir.rules.panel_meeting import (
    QUESTIONS,
    SEATS,
    Seat,
    Vote,
    check_members,
    check_quorum,
    check_suitable,
    check_unanimous,
    check_votes,
    present_at,
)
from phb_fhir.rules.words import BASE, BUSINESS_STATUS, TASK_PARAMETER, concept
from tests.rules.test_plan import case

Resource = dict[str, Any]

# SM-G, once more and by itself
MAY = {
    "draft": {"requested"},
    "requested": {"received", "rejected"},
    "received": {"accepted", "rejected"},
    "accepted": {"in-progress", "completed", "on-hold", "rejected"},
    "in-progress": {"completed", "on-hold", "failed"},
    "on-hold": {"accepted", "in-progress"},
    "rejected": set(),
    "cancelled": set(),
    "failed": set(),
    "completed": set(),
    "entered-in-error": set(),
}
OPEN = {"draft", "requested", "received", "accepted", "in-progress", "on-hold"}


@pytest.mark.parametrize("is_now", MAY)
@pytest.mark.parametrize("was", MAY)
def test_a_referral_goes_where_the_table_says_and_nowhere_else(was: str, is_now: str) -> None:
    may = is_now in MAY[was] or is_now in (was, "entered-in-error") or (is_now == "cancelled" and was in OPEN)
    before, after = ({"resourceType": "Task", "id": "t", "status": status} for status in (was, is_now))
    assert (not [*check_step(case(before, after), PANEL_STEPS)]) is may


# ---- what its business status says ---------------------------------------------------------------

SAYS = {
    "draft": {""},
    "requested": {""},
    "received": {""},
    "accepted": {"", "scheduled"},
    "on-hold": {"", "scheduled"},
    "in-progress": {"", "scheduled", "quorate"},
    "completed": {"approved", "not-approved", "referred-on"},
}
CODES = ("", "scheduled", "quorate", "approved", "not-approved", "referred-on", "upheld")


def labelled(status: str, label: str) -> Resource:
    said = {"businessStatus": concept(BUSINESS_STATUS, label)} if label else {}
    return {"resourceType": "Task", "id": "t", "status": status, **said}


@pytest.mark.parametrize("label", CODES)
@pytest.mark.parametrize("status", MAY)
def test_the_business_status_goes_with_the_status(status: str, label: str) -> None:
    may = status not in SAYS or label in SAYS[status]
    assert (not [*check_label(case(None, labelled(status, label)))]) is may


@pytest.mark.parametrize("is_now", ["", "scheduled", "quorate"])
@pytest.mark.parametrize("was", ["", "scheduled", "quorate"])
def test_a_panel_that_sits_does_not_go_back_from_being_quorate(was: str, is_now: str) -> None:
    said = [*check_label(case(labelled("in-progress", was), labelled("in-progress", is_now)))]
    assert bool(said) is (was == "quorate" and is_now != "quorate")
    assert [*check_label(case(labelled("in-progress", was), labelled("on-hold", "")))] == []


def test_what_was_said_before_and_does_not_change_is_let_be() -> None:
    odd = labelled("accepted", "quorate")
    assert [*check_label(case(odd, {**odd, "description": "As before"}))] == []
    assert [one.text for one in check_label(case(None, odd))] == [
        "The business status of a referral that is accepted says 'scheduled'; this one says 'quorate'."
    ]


# ---- who sits ------------------------------------------------------------------------------------

FIVE = {
    "a": ("team-manager", "chair"),
    "b": ("responsible-clinician",),
    "c": ("commissioner-representative",),
    "d": ("finance-representative",),
    "e": ("service-user-or-representative",),
}


def seats(sits: dict[str, tuple[str, ...]]) -> list[Seat]:
    return [Seat(member, frozenset(roles)) for member, roles in sits.items()]


def errors(issues: Any) -> list[str]:
    found: list[Issue] = [*issues]
    return [one.text for one in found if one.is_error]


def test_five_with_those_who_are_needed_make_a_panel() -> None:
    assert [*check_members(seats(FIVE))] == []


@pytest.mark.parametrize("role", SEATS)
def test_each_of_the_nine_kinds_counts(role: str) -> None:
    assert errors(check_members(seats({**FIVE, "d": (role,)}))) == []


def test_who_is_invited_or_only_chairs_does_not_count() -> None:
    for roles in (("invitee",), ("invitee", "chair"), ()):
        few = (
            {**FIVE, "a": ("team-manager",), "d": roles, "x": ("chair",)}
            if "chair" not in roles
            else {**FIVE, "d": roles}
        )
        assert "A panel has at least 5 members; this one has 4." in errors(check_members(seats(few)))


@pytest.mark.parametrize(
    ("member", "instead", "text"),
    [
        ("a", "project-manager", "The panel needs the team manager."),
        ("b", "project-manager", "The panel needs the clinician responsible for the support package."),
        ("c", "project-manager", "The panel needs somebody for the commissioner or the provider trust."),
    ],
)
def test_each_who_is_needed_is_missed(member: str, instead: str, text: str) -> None:
    roles = (instead, "chair") if member == "a" else (instead,)
    assert errors(check_members(seats({**FIVE, member: roles}))) == [text]


def test_the_provider_trust_may_sit_for_the_commissioner() -> None:
    assert [*check_members(seats({**FIVE, "c": ("provider-trust-representative",)}))] == []


def test_two_independent_users_may_sit_and_three_may_not() -> None:
    two = {**FIVE, "f": ("independent-service-user",), "g": ("independent-service-user",)}
    assert [*check_members(seats(two))] == []
    assert errors(check_members(seats({**two, "h": ("independent-service-user",)}))) == [
        "A panel has at most 2 independent service users; this one has 3."
    ]


def test_there_is_one_chair_and_another_than_the_team_manager_is_remarked_on() -> None:
    assert errors(check_members(seats({**FIVE, "b": ("responsible-clinician", "chair")}))) == [
        "A panel has exactly one chair; this one has 2."
    ]
    other = {**FIVE, "a": ("team-manager",), "b": ("responsible-clinician", "chair")}
    (issue,) = check_members(seats(other))
    assert (issue.severity, issue.text) == ("warning", "The chair is not the team manager, who chairs as a rule.")


def test_a_deputy_is_no_other_member_beside_whom_they_stand_in_for() -> None:
    """Clause n: of the two, one counts; a chair's deputy is no second chair, an independent user's no third of them."""
    four = {name: roles for name, roles in FIVE.items() if name != "e"}
    deputies = [Seat(f"for-{name}", frozenset(roles), name) for name, roles in FIVE.items()]
    assert [*check_members([*seats(FIVE), *deputies])] == []
    assert "A panel has at least 5 members; this one has 4." in errors(
        check_members([*seats(four), *(one for one in deputies if one.deputy_for in four)])
    )


def test_a_deputy_makes_a_quorum_and_not_beside_whom_they_stand_in_for() -> None:
    sits = [*seats(FIVE), Seat("for-e", frozenset(FIVE["e"]), "e")]
    assert errors(check_quorum({"a", "b", "c", "d", "for-e"}, sits, {})) == []
    assert len(errors(check_quorum({"a", "b", "c", "e", "for-e"}, sits, {}))) == 1


def test_who_came_along_with_their_deputy_is_not_silent() -> None:
    sits = [*seats(FIVE), Seat("for-e", frozenset(FIVE["e"]), "e")]
    votes = [Vote(one, frozenset(), True) for one in ("a", "b", "c", "d", "for-e")]
    assert errors(check_unanimous(votes, {"a", "e", "for-e"}, sits)) == []
    assert len(errors(check_unanimous(votes[:4], {"a", "e", "for-e"}, sits))) == 1


# ---- who is there --------------------------------------------------------------------------------


def meeting(*members: str, status: str = "arrived", answer: str = "accepted") -> Resource:
    took_part = [{"actor": {"reference": f"PractitionerRole/{one}"}, "status": answer} for one in members]
    return {"resourceType": "Appointment", "status": status, "participant": [*took_part, {"status": "accepted"}]}


def test_who_takes_part_in_an_appointment_that_takes_place_is_there() -> None:
    assert [*present_at(meeting("a", "b"))] == ["PractitionerRole/a", "PractitionerRole/b"]
    assert [*present_at(meeting("a", status="booked"))] == []
    assert [*present_at(meeting("a", answer="declined"))] == []


def test_five_who_are_there_make_the_panel_quorate_and_four_do_not() -> None:
    assert [*check_quorum(set(FIVE), seats(FIVE), behind(*FIVE))] == []
    (text,) = errors(check_quorum(set("abce"), seats(FIVE), behind(*"abce")))
    assert text.startswith("The panel is quorate with at least 5 members; 4 are recorded as there")


def test_who_is_invited_or_does_not_sit_makes_nobody_quorate() -> None:
    invited = {**FIVE, "d": ("invitee",)}
    assert len(errors(check_quorum(set(FIVE), seats(invited), behind(*FIVE)))) == 1
    assert len(errors(check_quorum({*"abce", "x"}, seats(FIVE), behind(*"abcex")))) == 1


def test_one_person_in_two_roles_is_there_once() -> None:
    same = {**behind(*FIVE), "d": frozenset({"Practitioner/1"}), "e": frozenset({"Practitioner/1"})}
    assert len(errors(check_quorum(set(FIVE), seats(FIVE), same))) == 1


def test_who_is_needed_is_missed() -> None:
    six = {**FIVE, "f": ("project-manager",)}
    there = set(six) - {"a"}
    assert errors(check_quorum(there, seats(six), behind(*there))) == ["The panel needs the team manager."]


# ---- who votes -----------------------------------------------------------------------------------


def votes(*members: str, against: str = "") -> list[Vote]:
    return [Vote(one, frozenset(FIVE.get(one, ())[:1]), one != against) for one in members]


def behind(*members: str) -> dict[str, frozenset[str]]:
    return {one: frozenset({one}) for one in members}


def test_five_who_are_needed_decide() -> None:
    assert [*check_votes(votes(*FIVE), seats(FIVE), behind(*FIVE))] == []


@pytest.mark.parametrize("absent", FIVE)
def test_four_do_not_decide_whoever_is_absent(absent: str) -> None:
    there = [one for one in FIVE if one != absent]
    said = errors(check_votes(votes(*there), seats(FIVE), behind(*there)))
    assert "The panel decides with at least 5 members; 4 were there and voted. A comment in writing is no vote." in said
    assert len(said) == (2 if absent in "abc" else 1)


def test_one_person_in_two_roles_has_one_vote() -> None:
    six = {**FIVE, "f": ("project-manager",)}
    same = {**behind(*six), "f": frozenset({"f", "Practitioner/x"}), "d": frozenset({"d", "Practitioner/x"})}
    assert errors(check_votes(votes(*six), seats(six), same)) == [
        "Practitioner/x voted 2 times; each member has one vote."
    ]
    assert "a voted 2 times; each member has one vote." in errors(
        check_votes(votes(*FIVE, "a"), seats(FIVE), behind(*FIVE))
    )


def test_a_vote_names_a_seat_that_the_member_has() -> None:
    wrong = [
        one if one.member != "d" else Vote("d", frozenset({"team-manager"}), is_in_favour=True) for one in votes(*FIVE)
    ]
    said = errors(check_votes(wrong, seats(FIVE), behind(*FIVE)))
    assert "d voted (team-manager), and has no such seat with a vote." in said
    without = [Vote(one.member, frozenset(), is_in_favour=True) for one in votes(*FIVE)]
    assert errors(check_votes(without, seats(FIVE), behind(*FIVE))) == []


def test_approval_needs_one_voice() -> None:
    sits = seats({**FIVE, "f": ("project-manager",), "g": ("invitee",)})
    assert [*check_unanimous(votes(*FIVE), (), sits)] == []
    assert [*check_unanimous(votes(*FIVE), {*FIVE, "g", "somebody"}, sits)] == []
    assert errors(check_unanimous(votes(*FIVE, against="e"), (), sits)) == [
        "The panel approves with one voice; e voted against."
    ]
    assert errors(check_unanimous(votes(*FIVE), {*FIVE, "f"}, sits)) == [
        "The panel approves with one voice; f took part in the meeting, and did not vote."
    ]


# ---- what it found -------------------------------------------------------------------------------


def record(**answers: str) -> Resource:
    said = {**dict.fromkeys(QUESTIONS, "met"), **{name.replace("_", "-"): one for name, one in answers.items()}}
    return {"item": [{"linkId": name, "answer": [{"valueCoding": {"code": one}}]} for name, one in said.items()]}


def test_all_seven_are_met_for_approval() -> None:
    assert errors(check_suitable(record())) == []
    assert errors(check_suitable(None)) != []


@pytest.mark.parametrize("answer", ["not-met", "not-applicable"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_one_that_is_not_met_is_enough_and_family_alone_may_not_apply(question: str, answer: str) -> None:
    said = errors(check_suitable(record(**{question: answer})))
    assert (said == []) is (question == "family-consulted" and answer == "not-applicable")


# ---- how early it is asked, and by whom ----------------------------------------------------------


def referral(*inputs: Resource, **more: Any) -> Resource:
    person = {"reference": "Patient/jill"}
    return {"resourceType": "Task", "description": "May she?", "for": person, "input": list(inputs), **more}


def given(code: str, **value: Any) -> Resource:
    return {"type": {"coding": [{"system": TASK_PARAMETER, "code": code}]}, **value}


@pytest.mark.parametrize(
    ("asked", "due", "is_early"),
    [
        ("2026-11-23", "2026-12-02", True),  # the seventh working day
        ("2026-11-23", "2026-12-01", False),
        ("2026-12-18", "2026-12-31", True),  # over Christmas
        ("2026-12-18", "2026-12-30", False),
        ("2026-04-01", "2026-04-14", True),  # over Easter
        ("2026-04-01", "2026-04-13", False),
    ],
)
def test_the_notice_is_seven_working_days_and_can_be_waived(asked: str, due: str, is_early: bool) -> None:
    task = referral(authoredOn=f"{asked}T09:00:00Z", restriction={"period": {"end": due}})
    day = date.fromisoformat(asked)
    assert (errors(check_notice(task, day)) == []) is is_early
    task["input"] = [given("notice-waived", valueString="The lease ends")]
    assert errors(check_notice(task, day)) == []
    task["input"] = [given("notice-waived", valueString=" ")]
    assert (errors(check_notice(task, day)) == []) is is_early


def test_a_day_at_the_end_of_the_calendar_is_no_trouble() -> None:
    task = referral(authoredOn="9999-12-30", restriction={"period": {"end": "9999-12-31"}})
    assert errors(check_notice(task, date(9999, 12, 30))) == []
    assert errors(check_notice(referral(), None)) == []


EARLIER, LATER = "2026-11-02T09:00:00Z", "2026-12-15T09:00:00Z"
TODAY = date(2026, 11, 22)
WAIVED = [given("notice-waived", valueString="The lease ends")]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, {"authoredOn": EARLIER}, TODAY),
        (None, {"authoredOn": LATER}, date(2026, 12, 15)),
        ({"status": "draft", "authoredOn": EARLIER}, {"authoredOn": EARLIER}, TODAY),
        ({"authoredOn": EARLIER}, {"authoredOn": EARLIER, "status": "received"}, date(2026, 11, 2)),
        ({"authoredOn": LATER}, {"authoredOn": EARLIER}, TODAY),
        ({"authoredOn": EARLIER, "due": "2026-12-24"}, {"authoredOn": EARLIER, "due": "2026-11-24"}, TODAY),
        ({"authoredOn": EARLIER, "due": "2026-12-24"}, {"authoredOn": EARLIER, "due": "2026-12-30"}, date(2026, 11, 2)),
        ({"authoredOn": EARLIER, "input": WAIVED}, {"authoredOn": EARLIER}, TODAY),
        ({"authoredOn": EARLIER}, {}, None),
    ],
)
def test_notice_counts_from_the_day_the_panel_is_asked_which_is_never_before_it_is_recorded(
    before: Resource | None, after: Resource, expected: date | None
) -> None:
    def told(said: Resource) -> Resource:
        due = said.get("due", "2026-12-24")
        more = {name: value for name, value in said.items() if name != "due"}
        return referral(**{"id": "t", "status": "requested", "restriction": {"period": {"end": due}}} | more)

    made = case(None if before is None else told(before), told(after))
    assert asked_on(made, told(after)) == expected


def test_what_was_referred_and_decided_elsewhere_is_brought_in_with_its_own_day() -> None:
    decided = referral(id="t", authoredOn=EARLIER, status="completed", executionPeriod={"end": "2026-11-19"})
    assert asked_on(case(None, decided), decided) == date(2026, 11, 2)


PEOPLE = ("Patient/jill", "RelatedPerson/ruth", "PractitionerRole/tom", "Practitioner/tom", "Organization/help")


@pytest.mark.parametrize("asker", PEOPLE)
@pytest.mark.parametrize("role", REFERS_AS)
def test_who_refers_in_a_role_is_somebody_who_can_have_it(role: str, asker: str) -> None:
    as_what = {"coding": [{"system": f"{BASE}/CodeSystem/phb-panel-referrer", "code": role}]}
    task = referral(given("referrer-role", valueCodeableConcept=as_what), requester={"reference": asker})
    said = errors(check_referrer(By(), task, is_new=True))
    assert (said == []) is (asker.partition("/")[0] in REFERS_AS[role])


def test_the_person_who_refers_is_the_one_it_is_about() -> None:
    as_what = {"coding": [{"system": f"{BASE}/CodeSystem/phb-panel-referrer", "code": "service-user"}]}
    task = referral(given("referrer-role", valueCodeableConcept=as_what), requester={"reference": "Patient/asha"})
    assert errors(check_referrer(By(), task, is_new=True)) == ["The person who refers is the one whose budget it is."]


@pytest.mark.parametrize("words", [{}, {"description": ""}, {"description": " \n"}])
def test_a_referral_is_in_writing(words: dict[str, str]) -> None:
    bare = {name: one for name, one in referral().items() if name != "description"} | words
    text = "A referral is made in writing: say what the panel is to decide."
    assert errors(check_referrer(By(), bare, is_new=True)) == [text]
    assert errors(check_referrer(By(), bare, is_new=False)) == []

"""What a record becomes when somebody reads it: events that are whole, that tell each person what concerns them, and nobody else's."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import pytest

from phb_fhir.data import data_path
from phb_fhir.definitions.guide import read_guide
from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.security.actor import ROLES
from phb_fhir.security.audit import NOBODY, WORDS_NOW, Record, Who
from phb_fhir.security.audit_event import PROFILE, SEQUENCE, VERBS, Place, events
from phb_fhir.security.audit_event import ROLES as CALLED
from phb_fhir.security.policy import POLICY
from phb_fhir.validation.validate import validate

PLACE = Place(41_877, bytes(32), bytes(range(32)), datetime(2026, 11, 22, 9, 0, 1, tzinfo=UTC))
PRIYA = Who(
    "https://issuer.example",
    "priya",
    "case-tool",
    "Priya Nair",
    "care-coordinator",
    "Practitioner/priya",
    organization="Organization/harbourside",
    organization_name="Harbourside Community Trust",
)
PRIYA_SAID = "Priya Nair (care co-ordinator, Harbourside Community Trust)"
JILL = Who("https://issuer.example", "jill", "app", "Jill Harper", "person", "Patient/jill", patient="jill")
RUTH = Who("https://issuer.example", "ruth", "app", "Ruth Harper", "delegate", "RelatedPerson/ruth", patient="jill")
BUDGET = ("Account/b/_history/3", "jill")
PURCHASES = tuple((f"ChargeItem/c{number}/_history/1", "jill") for number in range(3))
OTHERS = ("ChargeItem/d/_history/2", "sam")
NOBODYS = ("Organization/harbourside/_history/1",)


def record(interaction: str = "read", **more: Any) -> Record:
    asked = Record(
        "2026-11-22T09:00:00.000Z",
        "r-1",
        "GET",
        interaction,
        "Account/b",
        200,
        PRIYA,
        address="10.4.7.19",
        what=(BUDGET,),
    )
    return asked._replace(**more)


def said(record: Record, patient: str = "jill") -> str:
    """What the event tells that is about this patient, in words."""
    (found,) = [event for event in events(record, PLACE) if patient in patients(event)]
    return words(found)


def words(event: dict[str, Any]) -> str:
    div = str(event["text"]["div"])
    return div.removeprefix('<div xmlns="http://www.w3.org/1999/xhtml"><p>').removesuffix("</p></div>")


def patients(event: dict[str, Any]) -> list[str]:
    references = [entity.get("what", {}).get("reference", "") for entity in event["entity"]]
    return [text.removeprefix("Patient/") for text in references if text.startswith("Patient/")]


@cache
def known() -> Registry:
    return Registry.of(load(), read_guide(data_path("profiles")).resources)


SAID = [
    (
        record(),
        f"{PRIYA_SAID} looked at your budget on 22 November 2026 at 09:00.",
    ),
    (
        record(at="2026-07-22T09:00:00.000Z", purpose="TREAT"),
        f"{PRIYA_SAID} looked at your budget on 22 July 2026 at 10:00, for treatment and care.",
    ),
    (
        record("search-type", query="status=billable", what=(BUDGET, *PURCHASES)),
        f"{PRIYA_SAID} looked at your budget and 3 of your purchases on 22 November 2026 at 09:00.",
    ),
    (
        record("create", method="POST", status=201, what=(("ChargeItem/c/_history/1", "jill"),)),
        f"{PRIYA_SAID} added a purchase to your record on 22 November 2026 at 09:00.",
    ),
    (record("update", who=JILL), "You changed your budget on 22 November 2026 at 09:00."),
    (
        record("delete", who=RUTH),
        "Ruth Harper (delegate) deleted your budget on 22 November 2026 at 09:00.",
    ),
    (
        record(status=404, why="There is no Account/b.", what=(("Account/b/_history/3", "jill"),)),
        f"{PRIYA_SAID} tried to look at your budget on 22 November 2026 at 09:00, and was refused.",
    ),
    (
        record(status=503, why="The database is away."),
        f"{PRIYA_SAID} tried to look at your budget on 22 November 2026 at 09:00, and it failed.",
    ),
    (
        record("$everything", what=(("Patient/jill/_history/1", "jill"),)),
        f"{PRIYA_SAID} looked at your personal details, using $everything on 22 November 2026 at 09:00.",
    ),
    (
        record("history-instance", what=(("CarePlan/p/_history/2", "jill"), ("CarePlan/p/_history/1", "jill"))),
        f"{PRIYA_SAID} looked at the history of your care plan on 22 November 2026 at 09:00.",
    ),
    (
        record(what=(("MedicationRequest/m/_history/2", "jill"),), who=PRIYA._replace(name="", organization_name="")),
        "Practitioner/priya (care co-ordinator, Organization/harbourside) looked at your medication request on 22 November 2026 at 09:00.",
    ),
]


@pytest.mark.parametrize(("about", "expected"), SAID)
def test_what_happened_is_told_to_the_person_in_words(about: Record, expected: str) -> None:
    assert said(about) == expected


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ("2026-03-29T00:59:00.000Z", "29 March 2026 at 00:59"),
        ("2026-03-29T01:00:00.000Z", "29 March 2026 at 02:00"),
        ("2026-10-25T00:59:00.000Z", "25 October 2026 at 01:59"),
        ("2026-10-25T01:00:00.000Z", "25 October 2026 at 01:00"),
        ("2026-12-31T23:30:00.000Z", "31 December 2026 at 23:30"),
    ],
)
def test_the_time_is_told_as_the_clocks_in_england_show_it(at: str, told: str) -> None:
    assert told in said(record(at=at))


def test_what_is_told_is_escaped() -> None:
    assert "&lt;script&gt;" in said(record(who=PRIYA._replace(name="<script>")))


EVERY = [
    *(about for about, _ in SAID),
    *(record(interaction) for interaction in VERBS),
    *(record(who=PRIYA._replace(role=role)) for role in ROLES),
    record(who=NOBODY, status=401, why="A token is needed.", what=()),
    record(who=Who(subject="s", issuer="no uri", user_identifier="https://x.example|7", ods_code="ABC")),
    record(who=Who(client="backend", role="system")),
    record("search-type", path="ChargeItem", query="a=b", what=(BUDGET, OTHERS, NOBODYS), purpose="BTG"),
    record("search-system", path="", query="", what=()),
    record("create", path="Account", status=422, why="No.", what=(("Account", "jill"),)),
    record("", path="nowhere/at/all", status=404, why="Nothing is served there.", what=()),
    record("transaction", path="", what=(BUDGET, OTHERS)),
    record(request_id="", address="", method=""),
]


@pytest.mark.parametrize("about", EVERY)
def test_every_event_is_valid_by_our_own_profile(about: Record) -> None:
    for event in events(about, PLACE):
        issues = validate(event, load(), (PROFILE,), known=known(), today=lambda: date(2026, 11, 22))
        assert [issue.text for issue in issues if issue.severity in ("error", "fatal")] == []


def test_every_role_has_words() -> None:
    assert set(CALLED) == set(ROLES) == set(POLICY)


# ---- whose it is -----------------------------------------------------------------------------------------------------


def test_what_a_person_asked_about_another_is_told_to_each_by_itself() -> None:
    """By a compartment, whose address names them without a query; for whoever asked, there is nobody there."""
    asked = record("search-type", path="Patient/sam/Account", who=JILL, what=(("Account", "sam"),), words=WORDS_NOW)
    own, sams = events(asked, PLACE)
    assert (patients(own), patients(sams)) == ([], ["sam"])
    assert own["agent"][0]["who"]["reference"] == "Patient/jill"
    assert "Patient/jill" not in json.dumps(sams)
    assert words(own).startswith("Jill Harper (the person) looked at ")
    assert "your" not in words(own)
    assert words(sams).startswith("Jill Harper (the person) asked about your budgets")
    assert len(events(asked._replace(words=1), PLACE)) == 1  # as it was published then


def test_an_access_to_one_person_is_one_event_about_them() -> None:
    (event,) = events(record(), PLACE)
    references = [entity.get("what", {}).get("reference") for entity in event["entity"]]
    assert references == ["Patient/jill", "Account/b/_history/3", None]
    assert event["entity"][2]["detail"] == [
        {"type": "request-id", "valueString": "r-1"},
        {"type": "method", "valueString": "GET"},
        {"type": "path", "valueString": "Account/b"},
        {"type": "resources", "valueString": "1"},
    ]


def test_a_search_that_brought_several_people_tells_each_of_theirs_alone() -> None:
    about = record("search-type", path="ChargeItem", query="_id=c0,d", what=(*PURCHASES, OTHERS, NOBODYS))
    whole, jills, sams = events(about, PLACE)
    assert [patients(event) for event in (whole, jills, sams)] == [[], ["jill"], ["sam"]]
    assert "ChargeItem/d" not in json.dumps(jills)
    assert "sam" not in json.dumps(jills)
    assert "ChargeItem/c" not in json.dumps(sams)
    assert "query" not in json.dumps([jills, sams]).replace('"Query"', "")
    assert base64.b64decode(whole["entity"][-1]["query"]) == b"_id=c0,d"
    assert "5 resources of 2 people" in words(whole)
    assert "jill" not in json.dumps(whole)


def test_a_query_by_somebody_else_is_not_told_to_the_person_it_found() -> None:
    """It may name others: `identifier=<hers>,<his>` finds her alone."""
    whole, jills = events(record("search-type", query="identifier=1,2"), PLACE)
    assert patients(whole) == []
    assert base64.b64decode(whole["entity"][-1]["query"]) == b"identifier=1,2"
    assert "identifier" not in json.dumps(jills["entity"])


def test_a_person_is_told_of_their_own_query_in_one_event() -> None:
    (event,) = events(record("search-type", query="status=active", who=JILL), PLACE)
    assert patients(event) == ["jill"]
    assert base64.b64decode(event["entity"][-1]["query"]) == b"status=active"


def test_the_reason_of_a_refusal_about_several_is_told_in_the_whole_event_alone() -> None:
    about = record("transaction", status=422, why="ChargeItem/d is Sam's.", what=(BUDGET, OTHERS))
    whole, jills, _ = events(about, PLACE)
    assert (whole["outcome"], whole["outcomeDesc"]) == ("4", "ChargeItem/d is Sam's.")
    assert (jills["outcome"], jills["outcomeDesc"]) == ("4", "Refused (422).")


@pytest.mark.parametrize(("status", "outcome"), [(200, "0"), (304, "0"), (403, "4"), (500, "8"), (503, "8")])
def test_the_outcome_says_who_is_to_blame(status: int, outcome: str) -> None:
    assert {event["outcome"] for event in events(record(status=status, why="why"), PLACE)} == {outcome}


def test_success_and_refusal_tell_the_same_of_who_and_what_and_whence() -> None:
    (done,), (whole, jills) = events(record(), PLACE), events(record(status=403, why="No."), PLACE)
    for name in ("agent", "subtype", "action", "recorded", "source", "extension", "type"):
        assert done[name] == whole[name] == jills[name]
    told = [[{**one, "description": ""} for one in event["entity"]] for event in (done, whole, jills)]
    assert told[0] == [*told[2][:-1], told[1][-1]]
    assert (whole["outcomeDesc"], jills["outcomeDesc"]) == ("No.", "Refused (403).")


def test_who_was_refused_is_told_the_same_whether_it_was_there_or_not() -> None:
    """Sam asks for Jill's budget, and reads what he did."""
    sam = JILL._replace(user="Patient/sam", name="Sam Archer", patient="sam")
    asked = record(status=404, why="There is no Account/b.", who=sam, what=(("Account/b",),))
    (absent,) = events(asked, PLACE)
    whole, jills = events(asked._replace(what=(BUDGET,)), PLACE)
    assert whole == absent
    assert whole["agent"][0]["who"]["reference"] == "Patient/sam"
    assert "Patient/sam" not in json.dumps(jills)
    assert (
        words(jills)
        == "Sam Archer (the person) tried to look at your budget on 22 November 2026 at 09:00, and was refused."
    )


# ---- who and where in the trail --------------------------------------------------------------------------------------


def test_one_agent_asked_and_the_others_are_on_whose_behalf() -> None:
    (event,) = events(record(who=RUTH._replace(organization="Organization/o")), PLACE)
    assert [agent["requestor"] for agent in event["agent"]] == [True, False, False, False]
    asked = event["agent"][0]
    assert asked["who"] == {"reference": "RelatedPerson/ruth", "display": "Ruth Harper"}
    assert asked["network"] == {"address": "10.4.7.19", "type": "2"}
    assert [agent["who"].get("reference") for agent in event["agent"][1:]] == [None, "Organization/o", None]


def test_the_place_in_the_trail_is_told() -> None:
    (event,) = events(record(), PLACE)
    (sequence,) = event["extension"]
    assert sequence["url"] == SEQUENCE
    assert sequence["extension"] == [
        {"url": "number", "valuePositiveInt": 41_877},
        {"url": "previous", "valueBase64Binary": base64.b64encode(PLACE.before).decode()},
        {"url": "hash", "valueBase64Binary": base64.b64encode(PLACE.seal).decode()},
    ]


def test_the_events_of_a_record_are_the_same_each_time_and_no_two_share_an_id() -> None:
    about = record("search-type", query="x=y", what=(BUDGET, OTHERS))
    assert events(about, PLACE) == events(Record.read(about.text()), PLACE)
    elsewhere = events(about, PLACE._replace(seal=bytes(32)))
    ids = [event["id"] for event in (*events(about, PLACE), *elsewhere)]
    assert len(set(ids)) == 6


def test_what_was_told_in_other_words_is_told_in_them_again() -> None:
    """A word that is changed changes nothing of what was published, or `audit verify` would take it for a forgery."""
    file = (("Binary/1/_history/1", "jill"),)
    assert said(record(what=file)).startswith(
        "Priya Nair (care co-ordinator, Harbourside Community Trust) looked at your binary on"
    )
    assert "looked at your file on" in said(record(what=file, words=WORDS_NOW))
    assert Record.read(record(words=WORDS_NOW).text()).words == WORDS_NOW
    assert "words" not in record().text()


def test_a_question_about_all_types_is_told_in_words():
    """Of a history that brought nothing, the address alone was told: "looked at the history of /_history"."""
    asked = record("history-system", path="_history", who=JILL, what=())
    (before,), (now,) = events(asked, PLACE), events(asked._replace(words=WORDS_NOW), PLACE)
    (searched,) = events(asked._replace(interaction="search-system", path="", words=WORDS_NOW), PLACE)
    assert "Jill Harper (the person) looked at the history of /_history on" in words(before)
    assert "Jill Harper (the person) looked at the history of all that is theirs to see (/_history) on" in words(now)
    assert "looked at all that is theirs to see (/) on" in words(searched)

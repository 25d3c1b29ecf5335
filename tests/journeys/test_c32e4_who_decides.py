"""C32E4: who may look at a plan's criteria, sign it off, and decide an appeal, where people are signed in (R38, R95, R96, R142)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from phb_fhir.cli.token import Asked
from tests.builders import bundle_of
from tests.fresh import Shelf
from tests.journeys.jills_budget import (
    at_stage,
    finished,
    looked_at_goals,
    read,
    reason,
    record,
    refused,
    review,
    rows,
    with_rows,
)
from tests.journeys.planning import (
    BASE,
    BUSINESS,
    PARAMETER,
    PRIYA,
    REASON,
    TASK_CODE,
    approved,
    changed,
    coded,
    parameters,
    planned,
    put,
    sign_off,
    stage,
)
from tests.people import People, signed_in
from tests.running import secure_server
from tests.stories import FAMILY, JILLS, story

Resource = dict[str, Any]
OWNER = "Organization/harbourside-north"
COORDINATOR = "co-ordinator"


@pytest.fixture(scope="module")
def everybody(mongodb_uri: str) -> Iterator[tuple[People, Shelf]]:
    with secure_server(mongodb_uri) as (server, database), People(server, database) as made:
        made.know("nora", Asked("person", "Nora", "Patient/nora", "nora"))
        made.know("sister", Asked("delegate", "Ruth Harper", "RelatedPerson/ruth-harper", "nora"))
        made.know("broker", Asked("broker", "A broker", "Practitioner/tom-whelan"))
        made.know("viewer", Asked("delegate", "A neighbour", "RelatedPerson/viewer", "nora"))
        yield made, Shelf(server, database)


@pytest.fixture
def people(everybody: tuple[People, Shelf]) -> People:
    """Nora, whose plan waits to be signed off, and those around her: her co-ordinator is Jill's."""
    made, shelf = everybody
    resources = planned("nora")
    resources["RelatedPerson/viewer"] = {**resources["RelatedPerson/ruth-harper"], "id": "viewer"}
    consent = {**resources["Consent/nora-ruth-delegate"], "id": "nora-viewer"}
    view = [one for one in consent["provision"]["action"] if one["coding"][0]["code"] == "view"]
    actor = [{**consent["provision"]["actor"][0], "reference": {"reference": "RelatedPerson/viewer"}}]
    consent["provision"] = {**consent["provision"], "action": view, "actor": actor}
    resources["Consent/nora-viewer"] = consent
    provision = resources["Consent/nora-ruth-delegate"]["provision"]
    provision = provision | {"actor": [{**actor[0], "reference": {"reference": "Practitioner/tom-whelan"}}]}
    plain = {name: it for name, it in consent.items() if name != "meta"}  # the profile is of RelatedPersons
    resources["Consent/nora-broker"] = plain | {
        "id": "nora-broker",
        "category": consent["category"][:1],
        "provision": provision,
    }
    shelf.empty()
    shelf.write_down(made["system"], story(), resources.values())
    return made


def criteria(people: People, who: str) -> dict[str, dict[str, list[Any]]]:
    answer = people[who].get("/CarePlan/nora-plan/$check-sign-off")
    assert answer.status_code == 200, answer.text
    found: dict[str, dict[str, list[Any]]] = {}
    for row in answer.json()["parameter"][1:]:
        parts: dict[str, list[Any]] = {"evidence": [], "diagnostics": [], "met": []}
        for part in row["part"]:
            content = next(value for name, value in part.items() if name.startswith("value"))
            parts.setdefault(part["name"], []).append(content)
        found[parts["code"][0]] = parts
    return found


def without_an_answer(people: People) -> None:
    form = read(people["system"], "QuestionnaireResponse/nora-plan-content")
    kept = [one for one in form["item"] if one["linkId"] != "contingency"]
    assert put(people["system"], {**form, "status": "in-progress", "item": kept}).status_code == 200


# ---- looking -------------------------------------------------------------------------------------


def test_the_person_sees_what_their_plan_is_held_to_and_what_is_missing(people: People) -> None:
    assert all(one["met"] == [True] for one in criteria(people, "nora").values())
    without_an_answer(people)
    found = criteria(people, "nora")["risks-and-contingency"]
    assert found["diagnostics"] == ["The plan does not say what to do when things go wrong."]


def test_who_may_see_a_part_of_the_record_hears_no_more_of_it_than_that(people: People) -> None:
    without_an_answer(people)
    found = criteria(people, "viewer")["risks-and-contingency"]
    assert found["met"] == [False]
    assert found["diagnostics"] == [
        "Something is missing in a part of the record that is not yours to see; the care co-ordinator can tell more."
    ]
    assert all(not one["reference"].startswith("RiskAssessment/") for one in found["evidence"])


def test_who_has_nothing_to_do_with_the_plan_does_not_see_it(people: People) -> None:
    there = {"personPresent": ("Boolean", True)}
    refusing = {"reason": ("CodeableConcept", coded(REASON, "other")), "guidance": ("String", "x"), **there}
    for answer in (
        people["jill"].get("/CarePlan/nora-plan/$check-sign-off"),
        sign_off(people["jill"], "nora-plan"),
        people["jill"].post("/CarePlan/nora-plan/$refuse", json=parameters(**refusing)),
    ):
        assert answer.status_code == 404, answer.text


# ---- signing off ---------------------------------------------------------------------------------


def test_who_is_named_as_deciding_signs_off(people: People) -> None:
    answer = sign_off(people[COORDINATOR], "nora-plan")
    assert answer.status_code == 200, answer.text
    assert stage(people[COORDINATOR], "Account/nora-budget") == "authorised"
    assert read(people["nora"], "CarePlan/nora-plan")["status"] == "active"


def test_the_commissioner_signs_off_itself_or_in_the_name_of_its_role(people: People) -> None:
    answer = sign_off(people["commissioner"], "nora-plan", OWNER)
    assert answer.status_code == 200, answer.text
    assert read(people["system"], "Task/nora-sign-off")["status"] == "cancelled"


def test_the_commissioner_decides_for_a_role_of_its_own(people: People) -> None:
    answer = sign_off(people["commissioner"], "nora-plan", PRIYA)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("who", ["nora", "sister"])
def test_the_person_and_who_helps_them_do_not_sign_off_and_hear_nothing_of_the_record(people: People, who: str) -> None:
    without_an_answer(people)
    answer = sign_off(people[who], "nora-plan")
    assert refused(answer) == [f"This is for {PRIYA} to decide; a decision is recorded by who made it."]
    put_by_hand = put(people[who], approved(read(people["nora"], "Task/nora-sign-off")))
    assert refused(put_by_hand) == [f"This is for {PRIYA} to decide; a decision is recorded by who made it."]


def test_a_professional_does_not_sign_off_in_the_name_of_another(people: People) -> None:
    answer = sign_off(people[COORDINATOR], "nora-plan", "PractitionerRole/tom-whelan-ms-nurse")
    assert refused(answer) == [
        "This is for PractitionerRole/tom-whelan-ms-nurse to decide; a decision is recorded by who made it."
    ]


def test_who_has_a_limit_does_not_get_past_it_in_the_name_of_the_commissioner(people: People) -> None:
    answer = sign_off(people[COORDINATOR], "nora-plan", OWNER)
    assert refused(answer) == [f"This is for {OWNER} to decide; a decision is recorded by who made it."]


def test_the_person_writes_their_own_draft_and_does_not_put_it_in_force(people: People) -> None:
    assert changed(people["nora"], "CarePlan/nora-plan", description="As I want to live").status_code == 200
    (text,) = refused(changed(people["nora"], "CarePlan/nora-plan", status="active"))
    assert text.startswith("A plan becomes active by being signed off")


# ---- money that comes after the plan was signed off ----------------------------------------------


def with_approved(account: Resource, pounds: float) -> Resource:
    """The budget with this approved amount."""
    for row in rows(account, "phb-budget-amount"):
        parts = {part["url"]: part for part in row["extension"]}
        if parts["type"]["valueCode"] == "approved":
            parts["amount"]["valueMoney"]["value"] = pounds
    return account


@pytest.fixture
def signed_early(people: People) -> People:
    """Nora's plan is signed off while her budget does not wait for it yet, which then comes to do so with other money."""
    budget = read(people[COORDINATOR], "Account/nora-budget")
    assert put(people[COORDINATOR], at_stage(budget, "planning")).status_code == 200
    assert sign_off(people[COORDINATOR], "nora-plan").status_code == 200
    return people


def authorise(people: People, who: str, pounds: float) -> httpx.Response:
    for step in ("sign-off-pending", "authorised"):
        budget = with_approved(read(people[who], "Account/nora-budget"), pounds)
        answer = put(people[who], at_stage(budget, step))
    return answer


def test_a_budget_is_not_authorised_with_more_than_who_signed_off_may_agree_to(signed_early: People) -> None:
    """R96: the limit is of the money, and not of the day on which it came into the budget."""
    (text,) = refused(authorise(signed_early, COORDINATOR, 900_000))
    assert text.startswith("The money of this plan comes to £902,020.00 a year, which is more than")
    assert stage(signed_early[COORDINATOR], "Account/nora-budget") == "sign-off-pending"


@pytest.mark.parametrize(("who", "pounds"), [(COORDINATOR, 27_500), ("commissioner", 900_000)])
def test_a_budget_is_authorised_with_what_they_may_agree_to_or_by_the_commissioner(
    signed_early: People, who: str, pounds: float
) -> None:
    answer = authorise(signed_early, who, pounds)
    assert answer.status_code == 200, answer.text


def test_a_review_is_no_way_around_the_limit(people: People) -> None:
    assert sign_off(people[COORDINATOR], "nora-plan").status_code == 200
    review_ = finished(review("review", basedOn=[{"reference": "CarePlan/nora-plan"}]))
    nora = json.loads(json.dumps([record(), review_, *looked_at_goals()]).replace("jill", "nora"))
    assert people["system"].post("", json=bundle_of(nora)).status_code == 200
    budget = with_approved(read(people[COORDINATOR], "Account/nora-budget"), 900_000)
    budget = with_rows(budget, "phb-amendment-reason", reason("Task/review"))
    (text,) = refused(put(people[COORDINATOR], budget))
    assert text.endswith("The commissioner agrees to it by writing this itself.")
    assert put(people["commissioner"], budget).status_code == 200
    assert put(people[COORDINATOR], {**budget, "name": "Nora's budget"}).status_code == 200  # that is no more money


@pytest.mark.parametrize("is_signed", [False, True])
def test_the_nhss_money_stays_that_whatever_it_is_said_to_be_covered_by(people: People, *, is_signed: bool) -> None:
    """The limit is of the NHS's money: a co-ordinator who calls it the council's has one as ever."""
    co_ordinator = people[COORDINATOR]
    if is_signed:
        assert sign_off(co_ordinator, "nora-plan").status_code == 200
    budget = read(co_ordinator, "Account/nora-budget")
    social = coded(f"{BASE}/CodeSystem/phb-eligibility-category", "social-care-personal-budget")
    assert changed(co_ordinator, budget["coverage"][0]["coverage"]["reference"], type=social).status_code == 200
    dear = with_approved(budget, 900_000)
    if is_signed:
        review_ = finished(review("review", basedOn=[{"reference": "CarePlan/nora-plan"}]))
        nora = json.loads(json.dumps([record(), review_, *looked_at_goals()]).replace("jill", "nora"))
        assert people["system"].post("", json=bundle_of(nora)).status_code == 200
        (text,) = refused(put(co_ordinator, with_rows(dear, "phb-amendment-reason", reason("Task/review"))))
        assert text.endswith("The commissioner agrees to it by writing this itself.")
        return
    assert put(co_ordinator, dear).status_code == 200
    assert "may not do so for people of the category" in " ".join(refused(sign_off(co_ordinator, "nora-plan")))


# ---- appealing -----------------------------------------------------------------------------------


def not_agreed(people: People) -> None:
    reason, there = ("CodeableConcept", coded(REASON, "poor-value")), ("Boolean", True)
    asked = parameters(reason=reason, guidance=("String", "Look for a gym nearer by."), personPresent=there)
    answer = people[COORDINATOR].post("/CarePlan/nora-plan/$refuse", json=asked)
    assert answer.status_code == 200, answer.text


def appeal(requester: str, owner: str = OWNER) -> Resource:
    return {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": coded(TASK_CODE, "appeal"),
        "description": "The other pool has no hoist.",
        "focus": {"reference": "Task/nora-sign-off"},
        "for": {"reference": "Patient/nora"},
        "authoredOn": "2026-11-22T09:00:00Z",
        "requester": {"reference": requester},
        "owner": {"reference": owner},
    }


def test_a_person_appeals_and_the_commissioner_decides(people: People) -> None:
    not_agreed(people)
    answer = people["nora"].post("/Task", json=appeal("Patient/nora"))
    assert answer.status_code == 201, answer.text
    key = f"Task/{answer.json()['id']}"
    for status in ("accepted", "in-progress"):
        assert changed(people["commissioner"], key, status=status).status_code == 200
    outcome = {"status": "completed", "businessStatus": coded(BUSINESS, "upheld"), "statusReason": {"text": "No hoist"}}
    assert refused(changed(people["nora"], key, **outcome)) == [
        f"This is for {OWNER} to decide; a decision is recorded by who made it."
    ]
    assert refused(changed(people[COORDINATOR], key, **outcome)) == [
        "You made the decision that is appealed; somebody else looks at it again."
    ]
    assert changed(people["commissioner"], key, **outcome).status_code == 200
    notice = f"{BASE}/CodeSystem/phb-communication-category|decision-notice"
    found = people["nora"].get("/Communication", params={"category": notice, "_sort": "sent"}).json()["entry"]
    assert [row["resource"]["topic"]["text"] for row in found] == [
        "Jill's care and support plan was not agreed yet",
        "Your appeal succeeded",
    ]


def test_nobody_appeals_in_another_name(people: People) -> None:
    not_agreed(people)
    for who, other in (("nora", "RelatedPerson/ruth-harper"), ("broker", "Patient/nora")):
        answer = people[who].post("/Task", json=appeal(other))
        assert f"You ask for this appeal, and it says that {other} does." in refused(answer)
    assert people[COORDINATOR].post("/Task", json=appeal("Patient/nora")).status_code == 201  # written down for her


def test_the_council_does_not_sign_off_the_nhss_money_by_a_limit_of_its_own(mongodb_uri: str) -> None:
    liam = "PractitionerRole/liam-foster-social-worker"
    with signed_in(mongodb_uri, JILLS, FAMILY) as family:
        amount = {"url": "amount", "valueMoney": {"value": 1000000, "currency": "GBP"}}
        limit = {"url": f"{BASE}/StructureDefinition/phb-authorisation-limit", "extension": [amount]}
        role = family["system"].get(f"/{liam}").json()
        assert put(family["system"], role | {"extension": [*role.get("extension", []), limit]}).status_code == 200
        plan = family["system"].get("/CarePlan/asha-plan").json()
        draft = {name: it for name, it in plan.items() if name not in ("meta", "identifier", "text")}
        draft |= {"id": "asha-new", "status": "draft", "replaces": [{"reference": "CarePlan/asha-plan"}]}
        assert family["system"].put("/CarePlan/asha-new", json=draft).status_code == 201
        decided = [
            {"name": "authoriser", "valueReference": {"reference": liam}},
            {"name": "personPresent", "valueBoolean": True},
        ]
        sent = {"resourceType": "Parameters", "parameter": decided}
        answer = family["council"].post("/CarePlan/asha-new/$sign-off", json=sent)
        assert answer.status_code == 422, answer.text
        (issue,) = answer.json()["issue"]
        assert issue["diagnostics"].startswith("Whoever signs off works for another funder of this plan.")


# ---- what is asked for ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["exception", "joint-budget-request"])
def test_who_asks_for_something_does_not_allow_it_themselves(people: People, kind: str) -> None:
    """DP-5: an exception lets somebody of the household be paid, so it is decided by the NHS (R142)."""
    asked = {
        **appeal("Patient/nora", PRIYA),
        "code": coded(TASK_CODE, kind),
        "focus": {"reference": "Account/nora-budget"},
    }
    yes = {"status": "completed", "businessStatus": coded(BUSINESS, "approved")}
    for who, name in (("nora", "Patient/nora"), ("sister", "RelatedPerson/ruth-harper")):
        (text,) = refused(people[who].post("/Task", json={**asked, **yes, "requester": {"reference": name}}))
        assert text.endswith("by the NHS team or the commissioner.")
    key = f"Task/{people['nora'].post('/Task', json=asked).json()['id']}"
    assert len(refused(changed(people["nora"], key, **yes))) == 1
    assert changed(people[COORDINATOR], key, **yes).status_code == 200
    no = {"businessStatus": coded(BUSINESS, "not-approved"), "statusReason": {"text": "No."}}
    assert "What was decided stands as it was decided." in refused(changed(people[COORDINATOR], key, **no))[0]
    assert refused(changed(people["nora"], key, status="requested")) == [
        "A task that is completed cannot become requested; it can become entered-in-error."
    ]


def test_a_person_refers_to_the_panel_in_their_own_name(people: People) -> None:
    asked = {
        **appeal("RelatedPerson/ruth-harper", PRIYA),
        "code": coded(TASK_CODE, "risk-panel-referral"),
        "focus": {"reference": "CarePlan/nora-plan"},
        "reasonCode": coded(f"{BASE}/CodeSystem/phb-panel-ground", "physical-or-emotional-risk"),
        "restriction": {"period": {"end": "2026-12-10"}},
        "input": [
            {
                "type": coded(PARAMETER, "referrer-role"),
                "valueCodeableConcept": coded(f"{BASE}/CodeSystem/phb-panel-referrer", "service-user"),
            },
            {"type": coded(PARAMETER, "why-exceptional"), "valueString": "We cannot agree about the nights."},
        ],
    }
    for who, other in (("nora", "RelatedPerson/ruth-harper"), ("broker", "Patient/nora")):
        answer = people[who].post("/Task", json=asked | {"requester": {"reference": other}})
        assert f"You refer this to the panel, and it says that {other} does." in refused(answer)
    assert people["nora"].post("/Task", json={**asked, "requester": {"reference": "Patient/nora"}}).status_code == 201

"""C32E1 AC2: an individual chosen by the person can see the budget and buy from it from the moment of the consent, and not from its revocation.

The one chosen signs in with a token of their own; what they may do is read from the record at each request.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.builders import bundle_of
from tests.journeys.jills_budget import finished, record, review
from tests.paying import evidence
from tests.security.elements import Resource, coded
from tests.security.world import World, running_world
from tests.stories import massage, story

PHB = "https://fhir.phb.nhs.example"
RUTH = {"role": "delegate", "fhirUser": "RelatedPerson/ruth-harper"}
BUDGET = "/Account/jill-budget"


@pytest.fixture(scope="module")
def world(mongodb_uri: str) -> Iterator[World]:
    """Jill's story beside the world of the access tests, but Ruth's consent is not given yet."""
    with running_world(mongodb_uri) as made:
        ruths = {"reference": "RelatedPerson/ruth-harper", "display": "Ruth Harper, Jill's sister"}
        before = [one for one in story() if one["id"] != "jill-ruth-delegate" and one.get("enterer") != ruths]
        answer = made.post("system", "/", bundle_of(before))
        assert answer.status_code == 200, answer.text
        yield made


def consent(status: str = "active") -> Resource:
    (found,) = (one for one in story() if one["id"] == "jill-ruth-delegate")
    why = "given-by-person" if status == "active" else "withdrawn-by-person"
    reason = coded(why, f"{PHB}/CodeSystem/phb-consent-status-reason")
    url = f"{PHB}/StructureDefinition/phb-consent-status-reason"
    return {**found, "status": status, "extension": [{"url": url, "valueCodeableConcept": reason}]}


def buys(world: World, reference: str) -> httpx.Response:
    purchase = massage(reference, enterer={"reference": "RelatedPerson/ruth-harper"})
    return world.post(RUTH, "/ChargeItem", purchase)


def test_a_chosen_individual_sees_and_buys_from_the_consent_on_and_not_from_its_revocation(world: World) -> None:
    # the whole of it in one test, because each step begins where the one before ended
    assert world.get(RUTH, BUDGET).status_code == 404
    assert buys(world, "PUR-BEFORE").status_code in (403, 422)

    assert world.put("system", consent()).status_code == 201
    assert world.get(RUTH, BUDGET).status_code == 200
    assert world.get(RUTH, f"{BUDGET}/$balance").status_code == 200
    bought = buys(world, "PUR-RUTH")
    assert (bought.status_code, bought.json()["status"]) == (201, "billable"), bought.text
    listed = world.get(RUTH, "/ChargeItem?account=Account/jill-budget&_count=100").json()
    assert bought.json()["id"] in {one["resource"]["id"] for one in listed["entry"]}

    assert world.put("system", consent("inactive")).status_code == 200
    assert world.get(RUTH, BUDGET).status_code == 404
    assert world.get(RUTH, f"/ChargeItem/{bought.json()['id']}").status_code == 404
    assert buys(world, "PUR-AFTER").status_code in (403, 422)
    assert (
        world.stands(f"ChargeItem/{bought.json()['id']}") is not None
    )  # what she bought while she might, stays bought


def test_the_one_chosen_buys_and_does_not_change_the_budget(world: World) -> None:
    again = {**consent(), "id": "jill-ruth-again"}
    assert world.put("system", again).status_code in (200, 201)
    account = world.get(RUTH, BUDGET).json()
    assert world.put(RUTH, {**account, "name": "Mine"}).status_code == 403
    withdrawn = world.put("system", {**consent("inactive"), "id": "jill-ruth-again"})
    assert withdrawn.status_code == 200


def test_the_one_chosen_hands_in_a_receipt_with_its_file_and_opens_it_until_the_consent_ends(world: World) -> None:
    able = {**consent(), "id": "jill-ruth-receipts"}
    assert world.put("system", able).status_code == 201
    document, file = (f"urn:uuid:5f3f0a3e-0000-4000-8000-00000000000{n}" for n in (1, 2))
    said = evidence("Patient/jill") | {"author": [{"reference": "RelatedPerson/ruth-harper"}]}
    attachment = said["content"][0]["attachment"]
    data = attachment.pop("data")
    attachment["url"] = file
    binary = {"resourceType": "Binary", "contentType": "text/plain", "data": data}
    entries = [
        {"fullUrl": document, "resource": said, "request": {"method": "POST", "url": "DocumentReference"}},
        {
            "fullUrl": file,
            "resource": binary | {"securityContext": {"reference": document}},
            "request": {"method": "POST", "url": "Binary"},
        },
    ]
    answer = world.post(RUTH, "/", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.text
    place = "/Binary/" + answer.json()["entry"][1]["response"]["location"].split("/Binary/")[1].split("/")[0]
    assert world.get(RUTH, place, accept="text/plain").content == b"a receipt"
    assert world.put("system", {**consent("inactive"), "id": "jill-ruth-receipts"}).status_code == 200
    assert world.get(RUTH, place).status_code == 404


def test_what_the_one_chosen_asked_for_and_takes_back_was_refused_by_nobody(world: World) -> None:
    able = {**consent(), "id": "jill-ruth-withdraws"}
    assert world.put("system", able).status_code == 201
    asked = massage("PUR-WISH", enterer={"reference": "RelatedPerson/ruth-harper"})
    asked["code"]["text"] = "A second-hand easel"
    del asked["definitionCanonical"]
    made = world.post(RUTH, "/ChargeItem", asked)
    assert (made.status_code, made.json()["status"]) == (201, "planned"), made.text
    key = f"ChargeItem/{made.json()['id']}"
    why = [
        {
            "name": "reason",
            "valueCodeableConcept": coded("not-linked-to-outcomes", f"{PHB}/CodeSystem/phb-refusal-reason"),
        },
        {"name": "explanation", "valueString": "I have changed my mind."},
    ]
    refused = world.post(RUTH, f"/{key}/$reject", {"resourceType": "Parameters", "parameter": why})
    assert refused.status_code == 422
    assert "Nobody refuses what they asked for themselves" in refused.text
    assert world.put(RUTH, {**made.json(), "status": "aborted"}).status_code == 200
    (row,) = world.get("system", f"/Task?focus={key}").json()["entry"]
    assert (row["resource"]["status"], "businessStatus" in row["resource"]) == ("cancelled", False)
    assert world.put("system", {**consent("inactive"), "id": "jill-ruth-withdraws"}).status_code == 200


def test_a_consent_to_see_alone_lets_nobody_buy(world: World) -> None:
    seeing = {**consent(), "id": "jill-ruth-sees"}
    seeing["provision"] = {
        **seeing["provision"],
        "action": [coded("view", f"{PHB}/CodeSystem/phb-consent-action")],
    }
    assert world.put("system", seeing).status_code == 201
    assert world.get(RUTH, BUDGET).status_code == 200
    assert buys(world, "PUR-SEES").status_code in (403, 422)


def test_a_consent_that_was_withdrawn_is_given_anew_by_another(world: World) -> None:
    made = {**consent(), "id": "jill-ruth-once"}
    assert world.put("system", made).status_code == 201
    assert world.put("system", {**consent("inactive"), "id": "jill-ruth-once"}).status_code == 200
    back = world.put("system", made)
    assert back.status_code == 422
    assert back.json()["issue"][0]["diagnostics"] == (
        "A consent that is inactive does not become active. What was given up or refused is given anew by another Consent."
    )


def test_who_ends_a_consent_without_a_new_reason_is_not_kept_from_it_and_the_old_one_does_not_stay_as_theirs(
    world: World,
) -> None:
    jill = {"role": "person", "fhirUser": "Patient/jill", "patient": "jill", "scope": "patient/*.cruds"}
    made = {**consent(), "id": "jill-ruth-no-reason"}
    assert world.put("system", made).status_code == 201
    ended = world.put(jill, {**made, "status": "inactive"})
    assert ended.status_code == 200
    ((why,),) = (one["valueCodeableConcept"]["coding"] for one in ended.json()["extension"])
    assert (why["code"], why["display"]) == ("withdrawn-by-person", "Withdrawn by the person")

    again = {**made, "id": "jill-ruth-no-reason-2"}
    assert world.put("system", again).status_code == 201
    outcome = {"Prefer": "return=OperationOutcome"}
    told = world.put("system", {**again, "status": "inactive"}, **outcome)
    assert told.status_code == 200
    assert "The reason is still the one for which this consent became active: say why it is inactive now." in told.text
    assert world.put("system", {**made, "id": "jill-ruth-3"}).status_code == 201
    assert "still the one" not in world.put("system", {**consent("inactive"), "id": "jill-ruth-3"}, **outcome).text


def test_reviews_are_called_by_the_person_and_by_nobody_from_elsewhere(world: World) -> None:
    jill = {"role": "person", "fhirUser": "Patient/jill", "patient": "jill", "scope": "patient/*.cruds"}
    task = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": coded("phb-review", f"{PHB}/CodeSystem/phb-task-code"),
        "reasonCode": coded("on-request", f"{PHB}/CodeSystem/phb-review-type"),
        "description": "I have been in hospital, and my nights have changed.",
        "basedOn": [{"reference": "CarePlan/jill-plan"}],
        "focus": {"reference": "Account/jill-budget"},
        "for": {"reference": "Patient/jill"},
        "authoredOn": "2026-11-22T09:00:00Z",
        "requester": {"reference": "Patient/jill"},
        "owner": {"reference": "PractitionerRole/priya-nair-coordinator"},
    }
    made = world.post(jill, "/Task", task)
    assert made.status_code == 201, made.text
    another = world.post(jill, "/Task", {**task, "requester": {"reference": "RelatedPerson/ruth-harper"}})
    assert another.status_code == 422
    assert another.json()["issue"][0]["diagnostics"] == "Whoever calls the review is named as the one who asks for it."
    done = {**made.json(), "status": "in-progress"}
    assert world.put(jill, done).status_code == 200
    assert world.put("system", record()).status_code == 201
    over = world.put(jill, finished(done))
    assert over.status_code == 422
    said = [issue["diagnostics"] for issue in over.json()["issue"]]
    assert "A review is completed by whoever leads it for the NHS, or by the NHS team." in said
    mine = finished({**done, "owner": {"reference": "Patient/jill"}})  # nor does naming herself let her
    assert over.json()["issue"] == world.put(jill, mine).json()["issue"]


def test_who_helps_the_person_does_not_end_a_review_by_naming_themselves_as_who_leads_it(world: World) -> None:
    broker, tom = {"role": "broker", "fhirUser": "Practitioner/tom-whelan"}, {"reference": "Practitioner/tom-whelan"}
    provision = consent()["provision"] | {"actor": [consent()["provision"]["actor"][0] | {"reference": tom}]}
    plain = {name: it for name, it in consent().items() if name != "meta"}  # the profile is of RelatedPersons
    theirs = plain | {"id": "jill-tom", "category": consent()["category"][:1], "provision": provision}
    assert world.put("system", theirs).status_code == 201
    led = review("led-by-tom", requester=tom, owner=tom, status="requested")
    made = world.post(broker, "/Task", {name: it for name, it in led.items() if name != "id"})
    assert made.status_code == 201, made.text
    assert world.put("system", record()).status_code in (200, 201)
    began = made.json() | {"status": "in-progress"}
    assert world.put(broker, began).status_code == 200
    over = world.put(broker, finished(began))
    assert over.status_code == 422, over.text
    said = [issue["diagnostics"] for issue in over.json()["issue"]]
    assert "A review is completed by whoever leads it for the NHS, or by the NHS team." in said


def test_eligibility_is_told_to_the_person_and_who_decides_and_to_nobody_else(world: World) -> None:
    jill = {"role": "person", "fhirUser": "Patient/jill", "patient": "jill", "scope": "patient/*.cruds"}
    provider = {"role": "provider", "organization": "Organization/riverbank-therapies"}
    commissioner = {"role": "commissioner", "organization": "Organization/harbourside-north"}
    assert world.get(provider, "/Patient/jill").status_code == 200
    answers = [world.get(who, "/Patient/jill/$check-eligibility") for who in (jill, commissioner, provider)]
    assert [answer.status_code for answer in answers] == [200, 200, 403]
    assert answers[0].json() == answers[1].json()

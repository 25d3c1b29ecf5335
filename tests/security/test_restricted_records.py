"""Restricted records, and breaking the glass: for whom, for how long, and who is told of it, over HTTP."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import pytest

from phb_fhir.security.local_key import LOCAL_ISSUER, local_key
from tests.builders import bundle, entry
from tests.running import FIRST_MOMENT
from tests.security.elements import (
    LABELS,
    Resource,
    labelled,
)
from tests.security.record import record
from tests.security.world import ACTORS, LOADED_AT, RECEIPT, THINGS, USER, made_new

RESTRICTED = ("Condition/jill-restricted", "Observation/jill-very", "Task/jill-restricted-task")


@pytest.mark.parametrize("who", ["ruth", "priya", "harbour", "oak", "north"])
def test_a_restricted_record_is_not_there_for_those_who_help(world, who):
    for key in RESTRICTED:
        assert world.get(who, f"/{key}").status_code in (403, 404), (who, key)
        assert world.get("jill", f"/{key}").status_code == 200


@pytest.mark.parametrize(
    "resource", [record("jill")["ChargeItem"], RECEIPT, record("jill")["Binary"]], ids=lambda one: one["resourceType"]
)
def test_a_person_does_not_hide_what_was_bought_from_who_pays_for_it(world, resource):
    world.restore()
    type_ = resource["resourceType"]
    new = {name: value for name, value in resource.items() if name not in ("id", "identifier")}
    for label in ("R", "V"):
        refused = world.post("jill", f"/{type_}", labelled(new, label))
        assert refused.status_code == 403, refused.text
        assert "neither is restricted" in refused.text
    assert world.post("jill", f"/{type_}", labelled(new, "N")).status_code == 201
    if type_ == "ChargeItem":
        assert world.put("jill", labelled(resource, "R")).status_code == 403
        world.write(labelled(resource, "R"))  # by others it may be, and she may go on with it
        assert world.put("jill", {**labelled(resource, "R"), "language": "cy"}).status_code == 200
    letter = labelled({**record("jill")["Communication"], "id": None}, "R")
    assert world.post("jill", "/Communication", {n: v for n, v in letter.items() if v is not None}).status_code == 201
    world.restore()


def test_the_file_of_a_restricted_document_is_restricted_with_it(world):
    world.restore()
    letter = record("jill")["DocumentReference"]
    for who in ("ruth", "priya", "oak", "north"):
        assert world.get(who, "/Binary/jill-binary").status_code == 200, who
    world.write(labelled(letter, "R"))
    for who in ("ruth", "priya", "oak", "north"):
        assert world.get(who, "/Binary/jill-binary").status_code == 404, who
        assert "Binary/jill-binary" not in world.get(who, "/Binary/_history?_count=100").text, who
    assert world.get("jill", "/Binary/jill-binary").status_code == 200
    world.restore()


def restricting(*codes: str) -> Resource:
    labels = [{"system": LABELS, "code": code} for code in codes]
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"security": labels}}]}


@pytest.mark.parametrize("who", ["priya", "harbour", "oak"])
def test_who_breaks_the_glass_does_not_leave_it_open(world, who):
    """What was opened for once is closed again; whose record it is takes the restriction off."""
    world.restore()
    for key in ("Condition/jill-restricted", "Observation/jill-very"):
        opened = world.get(who, f"/{key}", x_purpose_of_use="BTG").json()
        open_ = {name: value for name, value in opened.items() if name != "meta"}
        for answer in (
            world.put(who, open_, x_purpose_of_use="BTG"),
            world.post(who, f"/{key}/$meta-delete", restricting("R", "V"), x_purpose_of_use="BTG"),
            world.post(who, "/", bundle("transaction", entry("PUT", key, open_)), x_purpose_of_use="BTG"),
        ):
            assert answer.status_code == 403, answer.text
            assert world.get("oak", f"/{key}").status_code == 404
        if who != "oak":  # who does not change such records
            assert world.put(who, {**opened, "language": "cy"}, x_purpose_of_use="BTG").status_code == 200
    task = {name: value for name, value in THINGS["Task", "jill-restricted-task"].items() if name != "meta"}
    assert world.put("jill", task).status_code == 200
    assert world.get("oak", "/Task/jill-restricted-task").status_code == 200
    world.restore()


@pytest.mark.parametrize("type_", ["Account", "ChargeItem", "Coverage", "Invoice", "PaymentReconciliation", "Binary"])
@pytest.mark.parametrize("who", ["priya", "harbour"])
def test_nobody_hides_money_from_who_pays_by_breaking_the_glass(world, who, type_):
    world.restore()
    resource = record("jill")[type_]
    key = f"{type_}/{resource['id']}"
    new = {name: value for name, value in resource.items() if name not in ("id", "identifier")}
    if type_ == "PaymentReconciliation":
        new["paymentIdentifier"] = {**new["paymentIdentifier"], "value": "PAY-hidden"}
    for answer in (
        world.post(who, f"/{type_}", labelled(new, "R"), x_purpose_of_use="BTG"),
        world.put(who, labelled(resource, "V"), x_purpose_of_use="BTG"),
        world.post(who, f"/{key}/$meta-add", restricting("R"), x_purpose_of_use="ETREAT"),
    ):
        assert answer.status_code == 403, answer.text
    assert world.get("north", f"/{key}").status_code == 200
    condition = {name: value for name, value in record("jill")["Condition"].items() if name != "id"}
    assert world.post(who, "/Condition", labelled(condition, "R"), x_purpose_of_use="BTG").status_code == 201
    world.restore()


FILE_ASKED = (
    "/Binary/jill-binary",
    "/Binary/jill-binary/_history",
    "/Binary/_history",
    "/Binary?_id=jill-binary&_summary=count",
)


@pytest.mark.parametrize("path", FILE_ASKED)
@pytest.mark.parametrize("who", ["priya", "harbour", "oak"])
def test_breaking_the_glass_opens_the_file_with_its_document_and_tells_the_person(world, who, path):
    world.restore()
    world.write(labelled(record("jill")["DocumentReference"], "R"))
    tasks = world.get("jill", "/Task?_summary=count").json()["total"]
    found = world.get(who, path, x_purpose_of_use="BTG")
    assert found.status_code == 200, found.text
    assert found.json().get("total", 1) >= 1
    assert world.get("jill", "/Task?_summary=count").json()["total"] == tasks + 1
    world.restore()


def test_a_file_that_is_restricted_itself_and_says_not_whose_it_is_stays_closed(world):
    world.restore()
    world.write(labelled(record("jill")["Binary"], "R"))
    assert world.get("priya", "/Binary/jill-binary", x_purpose_of_use="BTG").status_code == 404
    assert world.get("jill", "/Binary/jill-binary").status_code == 200
    world.restore()


@pytest.mark.parametrize("who", ["priya", "harbour", "oak"])
def test_breaking_the_glass_opens_it_and_tells_the_person(world, who):
    world.restore()
    tasks = world.get("jill", "/Task?_summary=count").json()["total"]
    answer = world.get(who, "/Condition/jill-restricted", x_purpose_of_use="BTG")
    assert answer.status_code == 200
    assert world.get(who, "/Condition/jill-restricted").status_code == 404  # only while the purpose is stated
    assert world.get(who, "/Condition/jill-restricted", x_purpose_of_use="TREAT").status_code == 404
    assert world.get("jill", "/Task?_summary=count").json()["total"] == tasks + 1
    (told,) = world.get("jill", "/Task?_sort=-_lastUpdated&_count=1").json()["entry"]
    said = {
        "priya": "priya (care co-ordinator, harbour trust)",
        "harbour": "harbour (NHS team, harbour trust)",
        "oak": "oak (practice, oak trust)",
    }[who]
    opened = f"{said} opened parts of your record that are kept restricted, to break the glass, on 23 November 2026 at "
    assert told["resource"]["description"].startswith(opened)
    # those who may not see what is restricted do not learn of it by this
    for other in ("ruth", "priya", "harbour", "oak", "north"):
        assert world.get(other, f"/Task/{told['resource']['id']}").status_code == 404, other
        assert "opened parts" not in world.get(other, "/Task?_count=100").text, other
        assert f"Task/{told['resource']['id']}" not in world.get(other, "/Provenance?_count=100").text, other
    answered = world.put("jill", {**told["resource"], "status": "accepted"})
    assert answered.status_code == 200, answered.text
    assert "UTC" not in told["resource"]["description"]


@pytest.mark.parametrize("who", ["ruth", "north", "river", "finance"])
def test_who_may_not_break_the_glass_sees_no_more_by_trying(world, who):
    world.restore()
    for key in RESTRICTED:
        assert world.get(who, f"/{key}", x_purpose_of_use="BTG").status_code in (403, 404), (who, key)
    assert world.get("jill", "/Task?_summary=count").json()["total"] == 7


def test_a_refusal_that_goes_by_what_was_opened_is_told_to_the_person_too(world):
    world.restore()
    tasks = world.get("jill", "/Task?_summary=count").json()["total"]
    body = {"resourceType": "Condition", "subject": {"reference": "Patient/jill"}}
    asked = "/Condition?patient=Patient/jill"
    refused = world.ask("priya", "PUT", asked, body, x_purpose_of_use="BTG")
    assert refused.status_code == 412, refused.text
    assert world.get("jill", "/Task?_summary=count").json()["total"] == tasks + 1


def opening(world, who: str, purpose: str) -> str:
    """The reference of the Task that tells Jill of an opening: whoever opens her record can work it out."""
    stretch = int((FIRST_MOMENT.timestamp() + LOADED_AT) // world.server.settings.break_glass_max_s)
    told = "\n".join((LOCAL_ISSUER, who, "Patient/jill", purpose, str(stretch)))
    return f"OPENED-{hashlib.sha256(told.encode()).hexdigest()[:32]}"


TELLING = "https://fhir.phb.nhs.example/Id/phb-task-reference"


@pytest.mark.parametrize("way", ["create", "update", "patch", "transaction"])
def test_nobody_lays_out_beforehand_what_tells_of_an_opening(world, way):
    world.restore()
    named = {"identifier": [{"system": TELLING, "value": opening(world, "priya", "BTG")}]}
    task = {**record("jill")["Task"], "status": "cancelled", **named}
    new = {name: value for name, value in task.items() if name != "id"}
    tries = {
        "create": lambda: world.post("priya", "/Task", new),
        "update": lambda: world.put("priya", task),
        "patch": lambda: world.ask(
            "priya", "PATCH", "/Task/jill-task", named, content_type="application/merge-patch+json"
        ),
        "transaction": lambda: world.post("priya", "/", bundle("transaction", entry("POST", "Task", new))),
    }
    assert tries[way]().status_code == 403
    assert world.get("priya", "/Condition/jill-restricted", x_purpose_of_use="BTG").status_code == 200
    (told,) = world.get("jill", f"/Task?identifier={TELLING}|{opening(world, 'priya', 'BTG')}").json()["entry"]
    assert "opened parts of your record" in told["resource"]["description"]


@pytest.mark.parametrize("who", ["priya", "harbour", "ruth", "oak"])
def test_nobody_takes_back_what_told_of_an_opening_and_the_person_answers_it(world, who):
    world.restore()
    assert world.get("priya", "/Condition/jill-restricted", x_purpose_of_use="ETREAT").status_code == 200
    (told,) = world.get("jill", f"/Task?identifier={TELLING}|{opening(world, 'priya', 'ETREAT')}").json()["entry"]
    task = told["resource"]
    unnamed = {name: value for name, value in task.items() if name != "identifier"}
    for changed in ({**task, "status": "cancelled"}, {**task, "description": "Nothing."}, unnamed):
        assert world.put(who, changed).status_code in (403, 404)
    assert world.put("jill", unnamed).status_code == 403
    assert world.put("jill", {**task, "status": "completed"}).status_code == 200


def test_what_nobody_could_be_told_of_stays_closed_whatever_the_purpose(world):
    """A payment says whose it is by its budget alone, so it opens for whoever may see it, or not at all."""
    world.restore()
    payment = world.stands("PaymentReconciliation/jill-paymentreconciliation")
    assert world.get("priya", "/PaymentReconciliation/jill-paymentreconciliation").status_code == 200
    world.write(labelled(payment, "R"))
    for purpose in ("TREAT", "BTG"):
        answer = world.get("priya", "/PaymentReconciliation/jill-paymentreconciliation", x_purpose_of_use=purpose)
        assert answer.status_code == 404, purpose
    assert world.get("jill", "/PaymentReconciliation/jill-paymentreconciliation").status_code == 200
    world.restore()


def test_breaking_the_glass_reaches_no_further_than_ones_own_patients(world):
    assert world.get("priya", "/Condition/ted-condition", x_purpose_of_use="BTG").status_code == 404
    assert world.get("priya", "/Condition/jill-restricted", x_purpose_of_use="not a code").status_code == 400


LIVES = {
    # how long a token that breaks the glass lives, how long ago it was issued, in minutes, and what it opens
    "an opening": (60, 0, 200),
    "an opening, half of it": (60, 30, 200),
    "a little longer": (61, 0, 404),
    "longer, and nearly over": (61, 59, 404),
    "a working day, and nearly over": (480, 450, 404),
}


@pytest.mark.parametrize(("minutes", "ago", "status"), LIVES.values(), ids=LIVES)
def test_a_token_breaks_the_glass_if_it_lives_no_longer_than_an_opening(world, minutes, ago, status):
    claims = {**ACTORS["priya"], "sub": f"{minutes}-{ago}", "scope": USER, "purpose_of_use": "BTG"}
    token = local_key(world.server.settings.data).sign(claims, now=time.time() - ago * 60, life_s=minutes * 60)
    found = world.client.get("/Condition/jill-restricted", headers={"Authorization": f"Bearer {token}"})
    world.restore()
    assert found.status_code == status


COUNTED = {
    "counted": "/Condition?_summary=count",
    "asked for none of": "/Condition?_count=0",
    "asked through": "/Patient?_has:Condition:patient:code:text=restricted&_summary=count",
}


@pytest.mark.parametrize("name", COUNTED)
def test_who_counts_what_is_restricted_is_told_to_whose_it_is(world, name):
    """In the list of who looked, beside the Task, though the answer was a number."""
    world.restore()
    request_id = name.replace(" ", "-")
    answer = world.get("priya", COUNTED[name], x_purpose_of_use="BTG", x_request_id=request_id)
    assert answer.json()["total"] >= 1
    found = world.get("jill", "/AuditEvent?patient=Patient/jill&agent=Practitioner/priya&_count=1000").json()
    events = [one["resource"] for one in found["entry"] if request_id in json.dumps(one["resource"])]
    world.restore()
    told = [one["text"]["div"] for one in events if "asked about your" in one["text"]["div"]]
    assert len(told) == 1
    assert "breaking the glass" in told[0]


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_who_counts_what_is_restricted_in_a_bundle_is_told_to_whose_it_is(world, kind):
    """In the list of who looked, by that entry: another entry that opens nothing tells nobody that it asked about them."""
    world.restore()
    asked = ("Condition?_summary=count", "Organization?_summary=count")
    body, request_id = bundle(kind, *(entry("GET", path) for path in asked)), f"in-a-{kind}"
    answer = world.post("priya", "/", body, x_purpose_of_use="BTG", x_request_id=request_id)
    assert [one["resource"]["total"] >= 1 for one in answer.json()["entry"]] == [True, True]
    found = world.get("jill", "/AuditEvent?patient=Patient/jill&agent=Practitioner/priya&_count=1000").json()
    events = [one["resource"] for one in found["entry"] if request_id in json.dumps(one["resource"])]
    world.restore()
    (said,) = [one["text"]["div"] for one in events if "asked about" in one["text"]["div"]]
    assert "asked about your health conditions" in said


def test_the_purpose_that_opened_something_is_taken_down_and_not_one_that_was_not_taken(world):
    """The token lives too long for the purpose that it states; the request states one that counts."""
    claims = {**ACTORS["priya"], "sub": "long", "scope": USER, "purpose_of_use": "BTG"}
    token = local_key(world.server.settings.data).sign(claims, now=time.time(), life_s=8 * 3600)
    headers = {"Authorization": f"Bearer {token}", "X-Purpose-Of-Use": "ETREAT", "X-Request-ID": "for-treatment"}
    assert world.client.get("/Condition/jill-restricted", headers=headers).status_code == 200
    found = world.get("auditor", "/AuditEvent?entity=Condition/jill-restricted&_count=1000").json()
    (event,) = [one["resource"] for one in found["entry"] if "for-treatment" in json.dumps(one["resource"])]
    world.restore()
    assert [one["coding"][0]["code"] for one in event["purposeOfEvent"]] == ["ETREAT"]


def traced(world: Any, who: str, **headers: str) -> set[str]:
    """What somebody is told was written, by whom, since the world was made."""
    found = world.get(who, "/Provenance?_count=200&_total=accurate", **headers).json()
    targets = {one["reference"] for entry in found.get("entry", ()) for one in entry["resource"]["target"]}
    assert found["total"] == len(found.get("entry", ()))
    return {target for target in targets if "/traced-" in target}


def test_who_wrote_what_is_restricted_is_told_to_those_who_see_it(world):
    jill = record("jill")
    task, condition = {**jill["Task"], "id": "traced-task"}, {**jill["Condition"], "id": "traced-condition"}
    bought = {name: it for name, it in jill["ChargeItem"].items() if name != "identifier"} | {"id": "traced-purchase"}
    world.write(task, labelled(condition, "R"), labelled(bought, "V"))
    opened, all_ = {"Task/traced-task/_history/1"}, {"Condition/traced-condition/_history/1"}
    all_ |= opened | {"ChargeItem/traced-purchase/_history/1"}
    assert {who: traced(world, who) for who in ("jill", "priya", "harbour", "north", "auditor")} == {
        **dict.fromkeys(("jill", "auditor"), all_),
        **dict.fromkeys(("priya", "harbour"), opened),
        "north": set(),  # whom tasks do not concern
    }
    found = world.get("system", "/Provenance?target=Condition/traced-condition").json()["entry"][0]["resource"]["id"]
    for path in (f"/Provenance/{found}", f"/Provenance/{found}/_history", f"/Provenance/{found}/_history/1"):
        assert (world.get("jill", path).status_code, world.get("priya", path).status_code) == (200, 404)
    assert traced(world, "priya", x_purpose_of_use="BTG") == opened
    world.write(labelled(task, "R"))
    assert traced(world, "priya") == set()  # nor what was written before it was restricted
    world.write(task, bought)
    told = traced(world, "priya")
    assert "ChargeItem/traced-purchase/_history/2" in told
    assert told & all_ == opened  # its first version was written together with what is restricted still
    assert world.delete("system", "/Condition/traced-condition").status_code in (200, 204)
    assert not any("Condition" in target for target in traced(world, "priya"))
    world.restore()


@pytest.mark.parametrize("who", ["jill", "ruth"])
def test_nobody_hides_what_they_did_by_the_provenance_that_they_send(world, who):
    world.restore()
    sent = labelled(
        {"resourceType": "Provenance", "recorded": "2026-11-22T09:00:00Z", "agent": [{"who": {"display": "x"}}]},
        "R",
        "N",
    )
    bought = made_new("ChargeItem", "jill-chargeitem")
    made = world.post(who, "/ChargeItem", bought, x_provenance=json.dumps(sent))
    assert made.status_code == 201, made.text
    found = world.get("north", f"/Provenance?target=ChargeItem/{made.json()['id']}").json()
    (provenance,) = [one["resource"] for one in found["entry"]]
    assert [one["code"] for one in provenance["meta"]["security"]] == ["N"]
    world.restore()


def test_how_restricted_a_record_is_holds_for_all_of_its_past(world):
    world.restore()
    for path in ("/Condition/once-open", "/Condition/once-open/_history/2", "/Condition/once-open/_history/1"):
        assert world.get("priya", path).status_code == 404
        assert world.get("jill", path).status_code == 200
    world.write({**record("jill")["Condition"], "id": "once-open"})
    statuses = [world.get("priya", f"/Condition/once-open/_history/{number}").status_code for number in (1, 2, 3)]
    assert statuses == [200, 200, 200]

"""SMART scopes over HTTP: they narrow what a role may do, by type, by letter, by patient and by a search's conditions, and never add to it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from phb_fhir.security.policy import POLICY, anybody
from tests.builders import bundle, entry
from tests.security.elements import (
    PHB,
    extension,
    ref,
    secret,
)
from tests.security.record import record
from tests.security.world import ACTORS


def with_scope(who: str, scope: str) -> dict[str, str]:
    return {**ACTORS[who], "scope": scope}


SCOPES = {
    # the scope: what may be done with Jill's Observation (r s), her Task (c u r), and her Condition (r)
    "patient/*.cruds": "Or Os Tc Tu Tr Cr",
    "user/*.cruds": "Or Os Tc Tu Tr Cr",
    "patient/*.rs": "Or Os Tr Cr",
    "patient/*.read": "Or Os Tr Cr",
    "patient/*.*": "Or Os Tc Tu Tr Cr",
    "patient/*.write": "Tc Tu",
    "patient/Observation.rs": "Or Os",
    "patient/Observation.read": "Or Os",
    "patient/Observation.r": "Or",
    "patient/Observation.s": "Os",
    "patient/Observation.r patient/Observation.s": "Or Os",
    "patient/Task.cu": "Tc Tu",
    "patient/Task.c": "Tc",
    "patient/Task.u": "Tu",
    "patient/Task.cruds": "Tc Tu Tr",
    "patient/Observation.rs patient/Task.r": "Or Os Tr",
    "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|vital-signs": "Or Os",
    "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory": "",
    "patient/Observation.rs?category=vital-signs&status=final": "Or Os",
    "patient/Observation.rs?category=vital-signs&status=amended": "",
    "patient/Observation.rs?no-such-parameter=1": "",
    "patient/Observation.rs?_content=observation": "Or Os",  # which only the whole resource can tell
    "patient/Observation.rs?_content=elsewhere": "",
    "patient/Observation.rs?_text=observation": "",
    "patient/Observation.rs?_list=nowhere": "",
    "patient/Observation.rs?_list=of-observations": "Or Os",
    "patient/Observation.rs?category=laboratory patient/Observation.rs?status=final": "Or Os",
    "patient/Encounter.rs": "",
}


@pytest.mark.parametrize(("scope", "expected"), SCOPES.items(), ids=SCOPES)
def test_a_scope_lets_its_token_do_what_it_says(world, scope, expected):
    world.restore()
    who, task = with_scope("jill", scope), record("jill")["Task"]
    fresh = {name: value for name, value in task.items() if name != "id"}
    listed = [{"item": ref("Observation/jill-observation")}]
    world.write({**record("jill")["List"], "id": "of-observations", "entry": listed})
    found = world.get(who, "/Observation?_id=jill-observation")
    told = world.get(who, "/Observation/_history?_count=100")
    assert told.status_code in (200, 403)
    if told.status_code == 200:  # what is searched is found in the history
        there = {one["fullUrl"].rpartition("/")[2] for one in told.json()["entry"]} if told.json()["total"] else set()
        assert ("jill-observation" in there) is ("Os" in expected)
    done = {
        "Or": world.get(who, "/Observation/jill-observation").status_code == 200,
        "Os": found.status_code == 200 and found.json()["total"] == 1,
        "Tc": world.post(who, "/Task", fresh).status_code == 201,
        "Tu": world.put(who, {**task, "language": "cy"}).status_code == 200,
        "Tr": world.get(who, "/Task/jill-task").status_code == 200,
        "Cr": world.get(who, "/Condition/jill-condition").status_code == 200,
    }
    assert [name for name, is_done in done.items() if is_done] == [name for name in done if name in expected.split()]
    world.restore()


def test_a_scope_to_change_alone_shows_nothing_of_what_was_there(world):
    """What an app may change and not read, it is not told by changing nothing of it."""
    world.restore()
    task = record("jill")["Task"]
    for scope, is_told in (("patient/Task.cu", False), ("patient/Task.cru", True)):
        changed = world.put(with_scope("jill", scope), {**task, "language": "cy"}, prefer="return=representation")
        assert changed.status_code == 200, changed.text
        assert (secret("jill") in changed.text) is is_told
        sent = bundle("transaction", entry("PUT", "Task/jill-task", {**task, "language": "en"}))
        answered = world.post(with_scope("jill", scope), "/", sent, prefer="return=representation")
        assert answered.status_code == 200, answered.text
        assert (secret("jill") in answered.text) is is_told
    fresh = {name: value for name, value in task.items() if name != "id"}
    made = world.post(with_scope("jill", "patient/Task.c"), "/Task", fresh)
    assert (made.status_code, secret("jill") in made.text) == (201, True)  # it is their own
    world.restore()


def test_of_the_roles_each_reads_all_that_it_changes():
    for role, rows in POLICY.items():
        for row in rows:
            for type_ in row.types if "u" in row.letters else ():
                reading = (one for one in rows if "r" in one.letters and type_ in one.types and not one.is_masked)
                assert any(one.where in (row.where, anybody) for one in reading), (role, type_)


CLAIMS = {"meta": {"profile": [f"{PHB}/StructureDefinition/phb-task"]}, "code": None}
CONDITION = [  # of a FHIRPath Patch: that somebody wrote a word in it
    {"name": "type", "valueCode": "delete"},
    {"name": "path", "valueString": f"Task.where(description.contains('{secret('jill')}')).language"},
]
PATCHES: dict[str, tuple[str, Any]] = {
    "JSON Patch": ("json-patch+json", [{"op": "test", "path": "/status", "value": "requested"}]),
    "JSON Patch that copies": ("json-patch+json", [{"op": "copy", "from": "/status", "path": "/language"}]),
    "FHIRPath Patch": (
        "fhir+json",
        {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": CONDITION}]},
    ),
    "Merge Patch": ("merge-patch+json", CLAIMS),
}


@pytest.mark.parametrize("kind", PATCHES)
def test_a_patch_is_for_who_reads_what_it_goes_by(world, kind):
    """Whether it fits, and what is wrong with what it makes, would tell an app that may change something and not read it."""
    world.restore()
    content_type, sent = PATCHES[kind]
    headers = {"content_type": f"application/{content_type}"}
    for scope in ("patient/Task.u", "patient/Task.cud", "patient/Task.u patient/Task.r?status=draft"):
        refused = world.ask(with_scope("jill", scope), "PATCH", "/Task/jill-task", sent, **headers)
        assert refused.status_code == 403, (scope, refused.text)
        assert "do not let it read Task/jill-task" in refused.text
        assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    for scope in ("patient/Task.ru", "patient/Task.us", "patient/Task.u patient/Task.r?_id=jill-task"):
        taken = world.ask(with_scope("jill", scope), "PATCH", "/Task/jill-task", sent, **headers)
        assert taken.status_code in (200, 400, 422), (scope, taken.text)
    world.restore()


def test_an_update_that_changes_nothing_is_a_version_like_any_other_for_who_does_not_read(world):
    """Else an app that guesses what is there hears whether it is right."""
    world.restore()
    stands = world.stands("Task/jill-task") or {}
    other = {**stands, "language": "cy"}

    def versions(scope: str) -> list[str]:
        return [world.put(with_scope("jill", scope), one).headers["etag"] for one in (stands, other, other)]

    assert versions("patient/Task.u") == ['W/"2"', 'W/"3"', 'W/"4"']
    world.restore()
    first, *more = versions("patient/Task.ru")
    assert (first, more) == ('W/"1"', ['W/"2"'] * 2)
    world.restore()


CONDITIONAL: dict[str, tuple[str, str, Any, dict[str, str]]] = {
    # what is asked under a condition that Jill's Task keeps, and the scope that lets it be done at all
    "create": ("POST", "/Task", {}, {"if_none_exist": "_id=jill-task"}),
    "update": ("PUT", "/Task?_id=jill-task", {"language": "cy"}, {}),
    "patch": ("PATCH", "/Task?_id=jill-task", None, {"content_type": "application/merge-patch+json"}),
}


@pytest.mark.parametrize("kind", CONDITIONAL)
def test_a_condition_is_looked_at_by_who_may_search_and_is_not_taken_for_one_that_nothing_keeps(world, kind):
    world.restore()
    method, path, more, headers = CONDITIONAL[kind]
    task = {name: value for name, value in record("jill")["Task"].items() if name != "id"}
    sent = {"language": "cy"} if more is None else task | more
    count = world.database.resources.count_documents({"type": "Task"})
    for scope in ("patient/Task.cu", "patient/Task.write", "patient/Task.cru"):
        refused = world.ask(with_scope("jill", scope), method, path, sent, **headers)
        assert refused.status_code == 403, (scope, refused.text)
        assert "do not let it search Task" in refused.text
        assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    assert world.database.resources.count_documents({"type": "Task"}) == count
    assert world.ask(with_scope("jill", "patient/Task.cus"), method, path, sent, **headers).status_code == 200
    assert world.database.resources.count_documents({"type": "Task"}) == count
    world.restore()


def test_a_change_is_shown_to_who_may_read_what_came_of_it(world):
    """An app that changes any of her observations, and reads those of one category."""
    world.restore()
    vital = "?category=http://terminology.hl7.org/CodeSystem/observation-category|vital-signs"
    who = {"sub": "vital"} | with_scope("priya", f"user/Observation.u user/Observation.rs{vital}")
    patch = {"content_type": "application/merge-patch+json", "prefer": "return=representation"}
    for id_, is_told in (("jill-laboratory", False), ("jill-observation", True)):
        assert world.get(who, f"/Observation/{id_}").status_code == (200 if is_told else 404)
        changed = world.ask(who, "PATCH", f"/Observation/{id_}", {"language": "cy"}, **patch)
        assert (changed.status_code, secret("jill") in changed.text) == (200 if is_told else 403, is_told)
        stands = world.stands(f"Observation/{id_}") or {}
        sent = bundle("transaction", entry("PUT", f"Observation/{id_}", {**stands, "language": "en"}))
        answered = world.post(who, "/", sent, prefer="return=representation")
        assert (answered.status_code, secret("jill") in answered.text) == (200, is_told)
    world.restore()


def test_a_scope_of_one_patient_narrows_whoever_has_it_to_that_patient(world):
    north = {**ACTORS["north"], "patient": "jill", "scope": "patient/*.rs"}
    assert world.get("north", "/Patient?_total=accurate").json()["total"] == 2
    assert world.get(north, "/Patient?_total=accurate").json()["total"] == 1
    assert world.get("north", "/Account/mo-account").status_code == 200
    assert world.get(north, "/Account/mo-account").status_code == 404
    nobody = {**ACTORS["north"], "scope": "patient/*.rs"}
    assert world.get(nobody, "/Patient?_total=accurate").json()["total"] == 0
    assert world.get({**north, "patient": "ted"}, "/Patient?_total=accurate").json()["total"] == 0


def test_a_scope_of_one_patient_leaves_the_directory_open(world):
    scoped = with_scope("jill", "patient/*.rs")
    for key in ("List/directory", "ChargeItemDefinition/massage", "Organization/oak", "Questionnaire/a-questionnaire"):
        assert world.get(scoped, f"/{key}").status_code == 200, key
    assert world.get(scoped, "/List?_total=accurate&_sort=_id").json()["total"] == 2  # and her own
    assert world.get(scoped, "/ChargeItemDefinition?_list=directory").json()["total"] == 1


def test_a_scope_adds_nothing_to_a_role(world):
    jill = with_scope("jill", "system/*.cruds user/*.cruds patient/*.cruds")
    assert world.get(jill, "/Patient/jill").status_code == 200
    assert world.get(jill, "/Patient/ted").status_code == 404
    assert world.delete(jill, "/Patient/jill").status_code == 403


@pytest.mark.parametrize(
    "word", ["_count=5", "_sort=date", "_elements=id", "_summary=true", "_include=Observation:subject"]
)
def test_a_scope_with_what_is_no_condition_grants_nothing(world, word):
    scoped = with_scope("jill", f"patient/Observation.rs?{word}")
    assert world.get(scoped, "/Observation").json()["total"] == 0
    assert world.get(scoped, "/Observation/jill-laboratory").status_code == 404
    beside = with_scope("jill", f"patient/Observation.rs?{word} patient/Observation.rs?category=laboratory")
    assert world.get(beside, "/Observation").json()["total"] == 1


def test_scopes_for_reading_and_for_searching_reach_each_as_far_as_its_own(world):
    both = with_scope("jill", "patient/Observation.r?category=vital-signs patient/Observation.s?category=laboratory")
    assert [one["resource"]["id"] for one in world.get(both, "/Observation").json()["entry"]] == ["jill-laboratory"]
    assert world.get(both, "/Observation?_id=jill-observation&_summary=count").json()["total"] == 0
    history = world.get(both, "/Observation/_history").json()["entry"]
    assert {one["resource"]["id"] for one in history} == {"jill-laboratory"}
    for path in ("", "/_history", "/_history/1"):
        assert world.get(both, f"/Observation/jill-observation{path}").status_code == 200
        assert world.get(both, f"/Observation/jill-laboratory{path}").status_code == 404


CONDITIONED = (
    "",
    "?_id:missing=false",
    "?code:missing=false",
    "?_lastUpdated=ge2000",
    "?_security:not=N",
    "?_content=jill",
)


@pytest.mark.parametrize("criteria", CONDITIONED)
def test_what_is_restricted_now_is_so_in_all_its_past_whatever_a_scope_asks(world, criteria):
    who = {"sub": "past"} | with_scope("priya", f"user/Condition.rs{criteria}")
    assert [one["resource"]["id"] for one in world.get(who, "/Condition").json()["entry"]] == ["jill-condition"]
    for path in ("/once-open", "/once-open/_history/1", "/once-open/_history/2", "/once-open/_history"):
        assert world.get(who, f"/Condition{path}").status_code == 404, path
    told = world.get(who, "/Condition/_history").json()
    assert {one["resource"]["id"] for one in told["entry"]} == {"jill-condition"}
    assert told["total"] == 1


OF_DELETED = {  # a scope, and whether it reached the final observation that was deleted
    "patient/Observation.rs": True,
    "patient/Observation.rs?status=final": True,
    "patient/Observation.rs?status=amended": False,
    "patient/Observation.rs?status:not=final": False,
    "patient/Observation.rs?status:missing=true": False,
    "patient/Observation.rs?_filter=not+(status+eq+final)": False,
    "patient/Observation.rs?_content=jill": True,
    "patient/Observation.rs?_content=elsewhere": False,
}


@pytest.mark.parametrize(("scope", "is_told"), OF_DELETED.items(), ids=OF_DELETED)
def test_a_deletion_is_seen_by_whose_scope_reached_what_was_deleted(world, scope, is_told):
    who = with_scope("jill", scope)
    assert world.get(who, "/Observation/jill-deleted").status_code == (410 if is_told else 404)
    assert world.get(who, "/Observation/jill-deleted/_history").status_code == (200 if is_told else 404)
    told = world.get(who, "/Observation/_history?_count=100").json().get("entry", ())
    methods = [one["request"]["method"] for one in told if one["fullUrl"].endswith("/jill-deleted")]
    assert methods == (["DELETE", "PUT"] if is_told else [])


IN_PART = {  # a scope of a provider's token, its launch context, and whether purchases that others deliver are there
    "user/ChargeItem.rs": ("", True),
    "user/ChargeItem.rs?status=billable": ("", True),
    "user/ChargeItem.rs?_id=ted-chargeitem,jill-chargeitem": ("", True),
    "user/ChargeItem.rs?subject=Patient/ted": ("", False),
    "user/ChargeItem.rs?subject:not=Patient/mo": ("", False),
    "user/ChargeItem.rs?patient.name=ted": ("", False),
    "user/ChargeItem.rs?account=Account/ted-account": ("", False),
    "user/ChargeItem.rs?code:text=ted": ("", False),
    "user/ChargeItem.rs?_content=ted": ("", False),
    "user/ChargeItem.rs?_list=ted-list": ("", False),
    "user/ChargeItem.rs?_has:Provenance:target:recorded=ge2000": ("", False),
    "user/ChargeItem.rs?_filter=subject+eq+Patient/ted": ("", False),
    "patient/ChargeItem.rs": ("ted", False),
    "patient/ChargeItem.rs user/ChargeItem.rs": ("ted", True),
}


@pytest.mark.parametrize(("scope", "expected"), IN_PART.items(), ids=IN_PART)
def test_no_scope_tells_whose_purchase_it_is_that_is_seen_in_part(world, scope, expected):
    patient, is_there = expected
    world.write({**record("ted")["List"], "id": "ted-list", "entry": [{"item": ref("ChargeItem/ted-chargeitem")}]})
    who = {"sub": "river", **ACTORS["river"], "scope": scope} | ({"patient": patient} if patient else {})
    assert world.get(who, "/ChargeItem/ted-chargeitem").status_code == (200 if is_there else 404)
    for path in ("/ChargeItem?_count=50", "/ChargeItem/_history?_count=50"):
        ids = {one["resource"]["id"] for one in world.get(who, path).json().get("entry", ())}
        assert ("ted-chargeitem" in ids) is is_there
    world.restore()


ASKING_OTHERS = {  # who, and a scope that asks something of others; whether that is of what they may see, and so is answered
    "a provider of budgets": ("river", "ChargeItem.rs?account.owner=Organization/north", False),
    "a provider of who has such a budget": ("river", "Patient.rs?_has:Account:patient:owner=Organization/north", False),
    "a provider of a list": ("river", "ChargeItem.rs?_list=of-purchases", False),
    "a provider of whom it delivers to": ("river", "ChargeItem.rs?subject:Patient.family=jill", True),
    "a provider of an organisation": ("river", "ChargeItem.rs?performing-organization.name=river", True),
    "finance of a person": ("finance", "Account.rs?patient.family=jill", False),
    "a commissioner of its budgets": ("north", "ChargeItem.rs?account.owner=Organization/north", True),
    "a person of their budget": ("jill", "ChargeItem.rs?account.owner=Organization/north", True),
    "a person of their list": ("jill", "ChargeItem.rs?_list=of-purchases", True),
    "a delegate of a budget": ("lim", "ChargeItem.rs?account._id=jill-account", True),
    "a delegate of another's list": ("lim", "ChargeItem.rs?_list=of-purchases", False),
    "who sees restricted ones": ("jill", "Patient.rs?_has:Condition:patient:_id=jill-restricted", True),
    "who does not see restricted ones": ("priya", "Patient.rs?_has:Condition:patient:_id=jill-restricted", False),
}


@pytest.mark.parametrize("name", ASKING_OTHERS)
def test_a_scope_asks_of_others_no_more_than_its_holder_may_see(world, name):
    who, scope, is_answered = ASKING_OTHERS[name]
    listed = [{"item": ref("ChargeItem/jill-chargeitem")}]
    world.write({**record("jill")["List"], "id": "of-purchases", "entry": listed})
    type_ = scope.partition(".")[0]
    key = {"Patient": "Patient/jill"}.get(type_, f"{type_}/jill-{type_.lower()}")
    holder = {"sub": "asks", **ACTORS[who], "scope": f"user/{scope}"}
    assert world.get(who, f"/{key}").status_code == 200
    assert world.get(holder, f"/{key}").status_code == (200 if is_answered else 404)
    ids = {one["resource"]["id"] for one in world.get(holder, f"/{type_}?_count=50").json().get("entry", ())}
    assert (key.partition("/")[2] in ids) is is_answered
    world.restore()


def test_a_scope_of_ones_own_record_shows_who_looked_at_it(world):
    for scope in ("patient/AuditEvent.rs", "patient/AuditEvent.rs?action=R,E"):
        assert world.get(with_scope("jill", scope), "/AuditEvent?_summary=count").json()["total"], scope


def test_who_acts_in_one_budget_sees_no_plan_of_somebody_else_that_it_names(world):
    misled = {**record("jill")["Account"]}
    misled["extension"] = [extension("phb-care-plan", valueReference=ref("CarePlan/mo-careplan"))]
    world.write(misled)
    assert world.get("lim", "/Account/jill-account").status_code == 200
    assert world.get("lim", "/CarePlan/mo-careplan").status_code == 404
    assert world.get("lim", "/CarePlan?_total=accurate").json()["total"] == 0
    world.restore()


def test_a_scope_that_does_not_reach_is_told_in_the_header_and_a_role_is_not(world):
    reads = with_scope("jill", "patient/Observation.r")
    refused = world.get(reads, "/Observation", origin="http://localhost")
    assert refused.status_code == 403
    assert "WWW-Authenticate" in refused.headers["access-control-expose-headers"]  # for SMART apps in browsers
    assert refused.headers["www-authenticate"] == (
        'Bearer realm="phb-fhir", error="insufficient_scope", '
        'error_description="The scopes of the token do not let it search Observation."'
    )
    assert "www-authenticate" not in world.get(reads, "/Observation/jill-observation").headers
    assert "www-authenticate" not in world.get("jill", "/MeasureReport").headers


def test_a_scope_with_criteria_holds_for_histories_and_what_comes_along(world):
    vital = with_scope("jill", "patient/Observation.rs?category=vital-signs patient/Patient.rs")
    assert world.get(vital, "/Observation/jill-observation/_history").status_code == 200
    assert world.get(vital, "/Observation/jill-laboratory/_history").status_code == 404
    ids = [
        one["resource"]["id"]
        for one in world.get(vital, "/Observation/_history?_count=100").json()["entry"]
        if "resource" in one
    ]
    assert "jill-observation" in ids
    assert "jill-laboratory" not in ids
    along = world.get(vital, "/Patient?_id=jill&_revinclude=Observation:subject").json()["entry"]
    assert "jill-observation" in json.dumps(along)
    assert "jill-laboratory" not in json.dumps(along)
    assert world.get(vital, "/Patient?_has:Observation:subject:category=laboratory").json()["total"] == 0
    assert world.get(vital, "/Patient?_has:Observation:subject:category=vital-signs").json()["total"] == 1

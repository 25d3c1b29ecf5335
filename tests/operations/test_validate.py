"""$validate: is this resource right, and would it be taken? (R4 operation Resource-validate)"""

from __future__ import annotations

import copy
import json
import sys
import threading
import traceback

import httpx
import pytest

from phb_fhir.definitions.load import load
from phb_fhir.interactions.apart import LARGE_BYTES
from phb_fhir.validation.validate import validate
from phb_fhir.wire.api import FhirApi
from tests.builders import NHS_NUMBER, person, problem
from tests.conformance.minimal import minimal
from tests.interactions.checks import server_with
from tests.operations.asking import found, good, issues, outcome, parameters, said

NARRATIVE = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Jill Marsh</div>'}
JILL = person(text=NARRATIVE)
FINE = good("Nothing was found wrong with this Patient.")
NAMED = "http://example.org/StructureDefinition/named"
VITALS = "http://hl7.org/fhir/StructureDefinition/vitalsigns"
R4_PATIENT = "http://hl7.org/fhir/StructureDefinition/Patient"
WRONG = {
    "resourceType": "Patient",
    "text": NARRATIVE,
    "gender": "plum",
    "colour": "blue",
    "birthDate": "22/11/2026",
    "contact": [{"gender": "male"}],
}
WRONGS = [
    ("error", "code-invalid", "Patient.gender"),
    ("error", "structure", "Patient.colour"),
    ("error", "value", "Patient.birthDate"),
    ("error", "invariant", "Patient.contact[0]"),
]


def patient(**more):
    return {**JILL, **more}


# ---- the content -----------------------------------------------------------------------------------------------------


def test_a_resource_that_is_right_is_said_to_be(api):
    assert said(api.post("/Patient/$validate", json=JILL)) == FINE


def test_a_resource_is_judged_as_the_body_and_as_the_parameter_resource(api):
    for body in (WRONG, parameters(resource=WRONG)):
        assert issues(api.post("/Patient/$validate", json=body)) == WRONGS


def test_each_problem_is_a_sentence_with_its_place(api):
    listed = outcome(api.post("/Patient/$validate", json=patient(colour="blue")))
    (issue,) = listed
    assert set(issue) == {"severity", "code", "details", "diagnostics", "expression"}
    assert issue["details"]["text"] == issue["diagnostics"]
    assert "colour" in issue["diagnostics"]


def test_warnings_and_advice_are_told_too(api):
    listed = issues(
        api.post("/Patient/$validate", json=person(extension=[{"url": "http://x.org/y", "valueCode": "z"}]))
    )
    assert [(severity, place) for severity, _, place in listed] == [
        ("warning", "Patient"),  # dom-6: a resource should have a narrative
        ("information", "Patient.extension[0]"),
    ]


def test_nothing_is_stored(api):
    api.post("/Patient/$validate?mode=create", json=JILL)
    assert api.get("/Patient").json()["total"] == 0
    assert api.get("/_history").json()["total"] == 0


def test_a_resource_of_another_type_than_the_address_is_an_error(api):
    (issue,) = outcome(api.post("/Account/$validate", json=JILL))
    assert found(issue)[:2] == ("error", "invalid")
    assert "this address is for Account" in issue["diagnostics"]


def test_parameters_are_judged_when_they_are_sent_as_the_parameter_resource(api):
    inner = parameters(resource=parameters(a="b"))
    assert said(api.post("/Parameters/$validate", json=inner)) == good("Nothing was found wrong with this Parameters.")
    answer = problem(api.post("/Parameters/$validate", json=parameters(a="b")))
    assert answer == (400, "invalid", '$validate has no parameter "a"; it takes resource, mode, profile.', "")


def test_a_bundle_is_judged_as_a_resource_and_not_carried_out(api):
    entry = {"fullUrl": "http://example.org/fhir/Patient/1", "resource": {**WRONG, "id": "1"}}
    answer = api.post("/Bundle/$validate", json={"resourceType": "Bundle", "type": "collection", "entry": [entry]})
    places = [place.replace("Patient", "Bundle.entry[0].resource", 1) for _, _, place in WRONGS]
    assert [place for _, _, place in issues(answer)] == places


@pytest.mark.parametrize("type_", sorted(load().resource_types))
def test_every_type_can_be_judged(api, type_):
    body = parameters(resource=minimal(type_)) if type_ == "Parameters" else minimal(type_)
    assert "error" not in {severity for severity, _, _ in issues(api.post(f"/{type_}/$validate", json=body))}
    broken = {**minimal(type_), "colour": "blue"}
    body = parameters(resource=broken) if type_ == "Parameters" else broken
    assert ("error", "structure", f"{type_}.colour") in issues(api.post(f"/{type_}/$validate", json=body))


def test_without_a_resource_a_type_has_nothing_to_judge(api):
    sentence = "There is no resource to be judged: send it as the body, or as the parameter resource."
    for answer in (
        api.get("/Patient/$validate"),
        api.post("/Patient/$validate"),
        api.post("/Patient/$validate?mode=create"),
    ):
        assert problem(answer) == (400, "invalid", sentence, "")


# ---- what is stored --------------------------------------------------------------------------------------------------


def test_a_stored_resource_is_judged_by_its_address(api):
    api.put("/Patient/jill", json=patient(id="jill"))
    assert said(api.get("/Patient/jill/$validate")) == FINE
    assert said(api.post("/Patient/jill/$validate")) == FINE
    api.put("/Patient/anna", json=person("9000000017", id="anna"))
    assert issues(api.get("/Patient/anna/$validate")) == [("warning", "invariant", "Patient")]


def test_a_resource_that_is_sent_is_judged_instead_of_the_stored_one(api):
    api.put("/Patient/jill", json=patient(id="jill"))
    assert issues(api.post("/Patient/jill/$validate", json=WRONG)) == WRONGS


def test_a_stored_resource_that_is_not_there_is_not_found_and_a_deleted_one_is_gone(api):
    assert problem(api.get("/Patient/jill/$validate")) == (404, "not-found", "There is no Patient/jill.", "")
    api.put("/Patient/jill", json=patient(id="jill"))
    api.delete("/Patient/jill")
    assert problem(api.get("/Patient/jill/$validate")) == (410, "deleted", "Patient/jill was deleted (version 2).", "")


# ---- profiles --------------------------------------------------------------------------------------------------------


def observation(**more):
    return {**minimal("Observation"), "text": NARRATIVE, **more}


def errors(answer):
    return [issue for issue in issues(answer) if issue[0] == "error"]


def test_a_profile_that_is_named_is_held_against_the_resource(api):
    assert errors(api.post("/Observation/$validate", json=observation())) == []
    for answer in (
        api.post("/Observation/$validate", params={"profile": VITALS}, json=observation()),
        api.post("/Observation/$validate", json=parameters(resource=observation(), profile=VITALS)),
        api.post("/Observation/$validate", params={"profile": f"{VITALS}|4.0.1"}, json=observation()),
    ):
        assert ("error", "required", "Observation.category") in errors(answer)


def test_several_profiles_may_be_named(api):
    heart = "http://hl7.org/fhir/StructureDefinition/heartrate"
    one, two = (
        errors(api.post("/Observation/$validate", params={"profile": asked}, json=observation()))
        for asked in (VITALS, [VITALS, heart])
    )
    assert {*one} < {*two}
    in_body = parameters(("profile", VITALS), ("profile", heart), resource=observation())
    assert errors(api.post("/Observation/$validate", json=in_body)) == two


def test_a_profile_that_is_not_known_is_an_error_beside_the_others(api):
    answer = api.post("/Patient/$validate", params={"profile": NAMED}, json=WRONG)
    (unknown,) = [issue for issue in outcome(answer) if issue["code"] == "not-found"]
    assert found(unknown) == ("error", "not-found", "Patient")
    assert unknown["diagnostics"].startswith(f"The profile {NAMED} is not known here")
    assert [issue for issue in issues(answer) if issue[1] != "not-found"] == WRONGS


def test_past_fifty_profiles_the_question_is_refused(api):
    many = [f"{NAMED}{number}" for number in range(51)]
    sentence = "At most 50 profiles may be named at once."
    assert problem(api.post("/Patient/$validate", params={"profile": many}, json=JILL)) == (
        400,
        "too-costly",
        sentence,
        "",
    )
    fewer = api.post("/Patient/$validate", params={"profile": many[:50]}, json=JILL)
    assert errors(fewer) == [("error", "not-found", "Patient")] * 50


def test_mode_profile_judges_what_is_stored_or_sent_against_the_profile(api):
    api.put("/Observation/one", json=observation(id="one"))
    for ask in (api.get, api.post):
        answer = ask("/Observation/one/$validate", params={"mode": "profile", "profile": VITALS})
        assert ("error", "required", "Observation.category") in errors(answer)
    asked = {"mode": "profile", "profile": R4_PATIENT}
    expected = good("Nothing was found wrong with this Patient; it meets what was named.")
    assert said(api.post("/Patient/$validate", params=asked, json=JILL)) == expected


def test_mode_profile_without_a_profile_is_refused(api):
    sentence = "mode=profile needs the profile that is meant: profile=[url]."
    assert problem(api.post("/Patient/$validate?mode=profile", json=JILL)) == (400, "invalid", sentence, "")


def test_a_mode_that_r4_does_not_have_is_refused(api):
    sentence = "mode=replace: it is one of create, update, delete, profile."
    assert problem(api.post("/Patient/$validate?mode=replace", json=JILL)) == (400, "value", sentence, "")


# ---- create ----------------------------------------------------------------------------------------------------------


def test_mode_create_judges_the_content(api):
    expected = good("Nothing was found wrong with this Patient; it could be created.")
    assert said(api.post("/Patient/$validate?mode=create", json=JILL)) == expected
    assert said(api.post("/Patient/$validate", json=parameters(mode="create", resource=JILL))) == expected
    assert issues(api.post("/Patient/$validate?mode=create", json=WRONG)) == WRONGS


def test_mode_create_says_what_a_conditional_create_would_find(api):
    condition = {"If-None-Exist": f"identifier={NHS_NUMBER}|9000000009"}

    def asked():
        return outcome(api.post("/Patient/$validate?mode=create", json=JILL, headers=condition))

    assert asked() == good("Nothing was found wrong with this Patient; it could be created.")["issue"]
    api.put("/Patient/jill", json=patient(id="jill"))
    (there,) = asked()
    assert found(there) == ("information", "informational", "")
    assert there["diagnostics"].startswith("Patient/jill matches ")
    api.put("/Patient/other", json=patient(id="other"))
    (several,) = asked()
    assert found(several) == ("error", "multiple-matches", "")
    assert api.post("/Patient", json=JILL, headers=condition).status_code == 412


# ---- update ----------------------------------------------------------------------------------------------------------


def test_mode_update_needs_the_id_of_the_address(api):
    expected = good("Nothing was found wrong with this Patient; it could be stored here.")
    assert said(api.post("/Patient/jill/$validate?mode=update", json=patient(id="jill"))) == expected
    for body in (patient(id="anna"), JILL):
        answer = api.post("/Patient/jill/$validate?mode=update", json=body)
        assert issues(answer) == [("error", "invalid", "Patient.id")]
        written = problem(api.put("/Patient/jill", json=body))
        assert outcome(answer)[0]["diagnostics"] == written.text


def test_mode_update_tells_of_the_content_and_of_the_id_at_once(api):
    answer = api.post("/Patient/jill/$validate?mode=update", json=WRONG)
    assert issues(answer) == [("error", "invalid", "Patient.id"), *WRONGS]


def test_mode_update_checks_the_version_that_if_match_names(api):
    api.put("/Patient/jill", json=patient(id="jill"))
    for etag, expected in (('W/"1"', []), ('W/"7"', [("error", "conflict", "")])):
        headers = {"If-Match": etag}
        answer = api.post("/Patient/jill/$validate?mode=update", json=patient(id="jill"), headers=headers)
        assert errors(answer) == expected
        assert api.put("/Patient/jill", json=patient(id="jill"), headers=headers).status_code == (
            412 if expected else 200
        )


def test_mode_update_needs_an_address_and_a_resource(api):
    sentence = "mode=update is asked of one resource: /Patient/[id]/$validate."
    assert problem(api.post("/Patient/$validate?mode=update", json=JILL)) == (400, "invalid", sentence, "")
    api.put("/Patient/jill", json=patient(id="jill"))
    assert problem(api.post("/Patient/jill/$validate?mode=update")).text.startswith("There is no resource to be judged")


def test_a_part_of_a_resource_is_told_of_as_a_write_would(api):
    api.put("/Patient/jill", json=patient(id="jill"))
    part = api.get("/Patient/jill?_elements=name").json()
    answer = api.post("/Patient/jill/$validate?mode=update", json=part)
    assert ("error", "business-rule", "Patient.meta.tag[0]") in issues(answer)
    assert problem(api.put("/Patient/jill", json=part)).expression == "Patient.meta.tag[0]"


# ---- delete ----------------------------------------------------------------------------------------------------------


def test_mode_delete_says_whether_it_could_be_deleted(api):
    api.put("/Patient/jill", json=patient(id="jill"))
    expected = good("This Patient could be deleted.")
    for answer in (
        api.get("/Patient/jill/$validate?mode=delete"),
        api.post("/Patient/jill/$validate?mode=delete"),
        api.post("/Patient/jill/$validate", json=parameters(mode="delete")),
        api.post("/Patient/jill/$validate?mode=delete", json=WRONG),  # R4: "the server ignores the content"
    ):
        assert said(answer) == expected
    stale = api.post("/Patient/jill/$validate?mode=delete", headers={"If-Match": 'W/"7"'})
    assert issues(stale) == [("error", "conflict", "")]
    assert api.get("/Patient/jill").status_code == 200


def test_mode_delete_of_what_is_not_there_is_refused(api):
    answer = api.post("/Patient/jill/$validate?mode=delete")
    assert problem(answer) == (404, "not-found", "There is no Patient/jill.", "")
    sentence = "mode=delete is asked of one resource: /Patient/[id]/$validate."
    assert problem(api.post("/Patient/$validate?mode=delete")) == (400, "invalid", sentence, "")


def test_mode_delete_with_a_profile_is_refused(api):
    api.put("/Patient/jill", json=patient(id="jill"))
    sentence = "mode=delete looks at no content, so no profile can be meant."
    answer = api.post("/Patient/jill/$validate", params={"mode": "delete", "profile": NAMED})
    assert problem(answer) == (400, "invalid", sentence, "")


# ---- inputs ----------------------------------------------------------------------------------------------------------


def test_a_resource_does_not_fit_in_an_address(api):
    answer = api.get("/Patient/$validate", params={"resource": json.dumps(JILL)})
    sentence = 'The parameter "resource" must be an element of its type, not a text.'
    assert problem(answer) == (400, "invalid", sentence, "")


def test_two_resources_are_refused(api):
    answer = api.post("/Patient/$validate", json=parameters(("resource", JILL), ("resource", JILL)))
    assert problem(answer) == (400, "invalid", 'The parameter "resource" may stand once.', "")


# ---- as a write would ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        JILL,
        patient(gender="plum"),
        patient(colour="blue"),
        patient(birthDate="2026-02-30"),
        patient(contact=[{}]),
        patient(name={"family": "Marsh"}),
        patient(name=[None]),
        patient(meta="now"),
        patient(modifierExtension=[{"url": "http://x.org/y", "valueCode": "z"}]),
        patient(meta={"profile": [NAMED]}),
        patient(contained=[{"resourceType": "Patient", "id": "in"}]),
    ],
)
def test_what_is_an_error_here_is_what_a_write_is_refused_for(api, body):
    told = [issue for issue in outcome(api.post("/Patient/$validate", json=body)) if issue["severity"] == "error"]
    written = api.post("/Patient", json=body)
    if told:
        assert written.status_code in (400, 422)
        assert written.json()["issue"] == told
    else:
        assert written.status_code == 201


def test_what_governs_a_resource_by_its_content_counts_here_as_in_a_write(api):
    """A personal health budget is one by its type, whatever it claims."""
    system = "https://fhir.phb.nhs.example/CodeSystem/phb-account-type"
    budget = {**minimal("Account"), "type": {"coding": [{"system": system, "code": "personal-health-budget"}]}}
    told = [issue for issue in outcome(api.post("/Account/$validate", json=budget)) if issue["severity"] == "error"]
    written = api.post("/Account", json=budget)
    assert written.status_code == 422
    assert written.json()["issue"] == told
    assert errors(api.post("/Account/$validate", json=minimal("Account"))) == []


# ---- large resources -------------------------------------------------------------------------------------------------


def large(count):
    names = [{"family": "Marsh", "given": [f"Jill {number}"]} for number in range(count)]
    return patient(name=names)


def test_a_large_resource_has_every_problem_found(api):
    body = large(20_000)
    body["name"][19_999]["use"] = "plum"
    for sent in (body, parameters(resource=copy.deepcopy(body))):
        assert len(json.dumps(sent)) > LARGE_BYTES
        assert issues(api.post("/Patient/$validate", json=sent)) == [
            ("error", "code-invalid", "Patient.name[19999].use")
        ]


def test_a_large_resource_is_judged_beside_the_loop_that_answers_others(api):
    body = json.dumps({"resourceType": "Bundle", "type": "collection", "entry": [an_entry(n) for n in range(5_000)]})
    assert len(body) > LARGE_BYTES
    done = threading.Event()

    def judge():
        with httpx.Client(base_url=api.base_url, headers=api.headers, timeout=60) as other:
            statuses.append(other.post("/Bundle/$validate", content=body).status_code)
        done.set()

    statuses: list[int] = []
    thread = threading.Thread(target=judge)
    thread.start()
    stacks = []
    while not done.wait(0.001):  # the server is in this very process
        stacks += [stack for stack in stacks_now() if validate.__code__ in stack]
    thread.join()
    assert statuses == [200]
    assert stacks
    assert not any(FhirApi.__call__.__code__ in stack for stack in stacks)


def stacks_now():
    """What each thread is in the middle of, as the codes of its functions."""
    return [[frame.f_code for frame, _ in traceback.walk_stack(top)] for top in sys._current_frames().values()]


def an_entry(number):
    return {"fullUrl": f"http://example.org/fhir/Patient/{number}", "resource": {**WRONG, "id": str(number)}}


def test_a_body_past_the_limit_is_refused_as_everywhere(mongodb_uri):
    with server_with(mongodb_uri, body_bytes_max=1_000) as api:
        assert problem(api.post("/Patient/$validate", json=large(100))).status == 413
        assert said(api.post("/Patient/$validate", json=JILL)) == FINE

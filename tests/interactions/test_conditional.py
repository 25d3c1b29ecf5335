"""Conditional create, update, patch and delete (R4 §3.1.0.8.1, §3.1.0.4.3, §3.1.0.6, §3.1.0.7.1): the target is what criteria match.

Many of them at the same moment, from several processes, are in `tests/journeys/test_concurrency.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.builders import NHS_NUMBER, budget, bundle, person
from tests.interactions.checks import (
    JSON_PATCH,
    ids,
    made,
    nhs,
    nothing_was_written,
    refused,
    server_with,
    told,
    versions,
)

JILL, JACK = "9000000009", "9000000017"
SET_ACTIVE = [{"op": "add", "path": "/active", "value": True}]


def put(api: httpx.Client, id_: str, nhs_number: str = JILL) -> None:
    made(api.put(f"Patient/{id_}", json=person(nhs_number, id=id_)))


def create(api: httpx.Client, criteria: str, body: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
    return api.post("Patient", json=body or person(), headers={"If-None-Exist": criteria, **headers})


# ---- conditional create ----------------------------------------------------------------------------------------------


def test_if_none_exist_that_matches_nothing_creates(api: httpx.Client) -> None:
    answer = create(api, nhs(JILL))
    assert made(answer)["meta"]["versionId"] == "1"
    assert answer.headers["Location"].endswith(f"/Patient/{answer.json()['id']}/_history/1")


def test_if_none_exist_that_matches_one_answers_200_with_it_and_leaves_it_alone(api: httpx.Client) -> None:
    put(api, "jill")
    stands = api.get("Patient/jill").json()
    answer = create(api, nhs(JILL), person(gender="female"))
    assert (answer.status_code, answer.json()) == (200, stands)
    assert answer.headers["Location"] == str(api.base_url.join("Patient/jill/_history/1"))
    assert answer.headers["ETag"] == 'W/"1"'
    assert ids(api, "Patient") == ["jill"]
    assert len(versions(api, "Patient/jill")) == 1


def test_if_none_exist_that_matches_several_is_refused(api: httpx.Client) -> None:
    put(api, "jill")
    put(api, "jill-again")
    refused(create(api, nhs(JILL)), 412, "multiple-matches", nhs(JILL), "more than one Patient")
    assert ids(api, "Patient") == ["jill", "jill-again"]


def test_the_second_of_two_conditional_creates_finds_the_first(api: httpx.Client) -> None:
    first = made(create(api, nhs(JILL)))
    assert made(create(api, nhs(JILL)), 200) == first
    assert len(ids(api, "Patient")) == 1


@pytest.mark.parametrize("written", ["Ørsted".encode(), "Ørsted".encode("latin-1"), b"%C3%98rsted"], ids=repr)
def test_if_none_exist_finds_a_name_however_its_letters_are_sent(api: httpx.Client, written: bytes) -> None:
    first = made(api.post("Patient", json=person(name=[{"family": "Ørsted"}])))
    headers = {b"If-None-Exist": b"family:exact=" + written}
    assert made(api.post("Patient", json=person(name=[{"family": "Ørsted"}]), headers=headers), 200) == first


def test_two_conditions_of_a_create_are_refused(api: httpx.Client) -> None:
    headers = [("If-None-Exist", nhs(JILL)), ("If-None-Exist", nhs(JACK))]
    refused(api.post("Patient", json=person(JILL), headers=headers), 400, "invalid", "If-None-Exist", "more than once")
    assert ids(api, "Patient") == []


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_the_condition_of_a_create_guards_no_other_change(api: httpx.Client, method: str) -> None:
    """Whoever sent it meant that nothing happens to what is there."""
    put(api, "jill")
    headers = JSON_PATCH if method == "PATCH" else {"Content-Type": "application/fhir+json"}
    body = json.dumps(SET_ACTIVE if method == "PATCH" else person(JILL, id="jill", active=True))
    answer = api.request(method, "Patient/jill", headers={**headers, "If-None-Exist": nhs(JILL)}, content=body)
    refused(answer, 400, "invalid", "If-None-Exist is the condition of a create (POST)")
    asked = {"method": "PUT", "url": "Patient/jill", "ifNoneExist": nhs(JILL)}
    api.post("", json=bundle("transaction", {"resource": person(JILL, id="jill", active=True), "request": asked}))
    assert len(versions(api, "Patient/jill")) == 1


@pytest.mark.parametrize("condition", ['W/"1"', "*"])
def test_a_create_that_is_to_match_a_version_is_refused(api: httpx.Client, condition: str) -> None:
    answer = api.post("Patient", json=person(JILL), headers={"If-Match": condition})
    refused(answer, 412, "conflict", "a create makes what is not there yet")
    for type_ in ("transaction", "batch"):
        guarded = {"resource": person(JILL), "request": {"method": "POST", "url": "Patient", "ifMatch": condition}}
        api.post("", json=bundle(type_, guarded))
    assert ids(api, "Patient") == []


@pytest.mark.parametrize(
    ("method", "header"),
    [
        ("POST", "If-None-Exist"),
        ("PUT", "If-Match"),
        ("PUT", "If-None-Match"),
        ("PATCH", "If-Match"),
        ("DELETE", "If-Match"),
    ],
)
def test_a_condition_that_was_left_empty_is_refused(api: httpx.Client, method: str, header: str) -> None:
    put(api, "jill")
    path = "Patient" if method == "POST" else "Patient/jill"
    headers = JSON_PATCH if method == "PATCH" else {"Content-Type": "application/fhir+json"}
    body = json.dumps(SET_ACTIVE if method == "PATCH" else person(JILL, id="jill", active=True))
    answer = api.request(method, path, headers={**headers, header: ""}, content=body)
    refused(answer, 400, "invalid", f"{header} is empty")
    assert ids(api, "Patient") == ["jill"]
    assert len(versions(api, "Patient/jill")) == 1


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_change_that_is_guarded_by_a_date_alone_is_refused_and_overwrites_nothing(
    api: httpx.Client, method: str
) -> None:
    put(api, "jill")
    headers = JSON_PATCH if method == "PATCH" else {"Content-Type": "application/fhir+json"}
    by_date = {**headers, "If-Unmodified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}
    body = json.dumps(SET_ACTIVE if method == "PATCH" else person(JILL, id="jill", active=True))
    answer = api.request(method, "Patient/jill", headers=by_date, content=body)
    refused(answer, 400, "not-supported", "name the version in If-Match")
    assert len(versions(api, "Patient/jill")) == 1
    done = api.request(method, "Patient/jill", headers={**by_date, "If-Match": 'W/"1"'}, content=body)
    assert done.status_code in (200, 204)
    assert api.get("Patient", headers=by_date).status_code == 200


def test_a_condition_makes_it_another_request_under_the_same_request_id(api: httpx.Client) -> None:
    headers = {"X-Request-ID": "a-proxy-puts-this-on-everything"}
    first = made(api.post("Patient", json=person(JILL), headers=headers))
    assert made(create(api, nhs(JACK), person(JILL), **headers))["id"] != first["id"]
    refused(create(api, nhs(JILL), person(JILL), **headers), 412, "multiple-matches")
    assert len(ids(api, "Patient")) == 2


def test_what_was_deleted_does_not_count_as_a_match(api: httpx.Client) -> None:
    put(api, "jill")
    api.delete("Patient/jill")
    made(create(api, nhs(JILL)))


def test_what_carries_the_identifier_in_another_system_or_type_does_not_count(api: httpx.Client) -> None:
    made(api.post("Patient", json=person(identifier=[{"system": "https://example.org/other", "value": JILL}])))
    made(api.post("Account", json=budget(identifier=[{"system": NHS_NUMBER, "value": JILL}])))
    made(create(api, nhs(JILL)))


def test_an_invalid_resource_is_refused_even_if_one_is_there(api: httpx.Client) -> None:
    put(api, "jill")
    refused(create(api, nhs(JILL), person(gender="f")), 422, "code-invalid", "f", at="Patient.gender")


@pytest.mark.parametrize(
    "form",
    [
        nhs(JILL),
        f"?{nhs(JILL)}",
        f"Patient?{nhs(JILL)}",
        f"identifier=https%3A%2F%2Ffhir.nhs.uk%2FId%2Fnhs-number%7C{JILL}",
        f"identifier={JILL}",
        f"identifier=nobody,{NHS_NUMBER}|{JILL}",
        f"{nhs(JILL)}&_id=jill",
        "_id=jill",
    ],
)
def test_the_criteria_are_understood_in_each_of_their_forms(api: httpx.Client, form: str) -> None:
    put(api, "jill")
    put(api, "jack", JACK)
    assert made(create(api, form), 200)["id"] == "jill"


def test_the_criteria_may_have_this_servers_base_before_them(api: httpx.Client) -> None:
    """So HAPI's Java client sends them."""
    put(api, "jill")
    assert made(create(api, str(api.base_url.join(f"Patient?{nhs(JILL)}"))), 200)["id"] == "jill"


@pytest.mark.parametrize("base", ["https://elsewhere.example/fhir/", "{base}Person/", "{base}x", "fhir/"])
def test_criteria_at_another_base_are_refused(api: httpx.Client, base: str) -> None:
    named = base.format(base=api.base_url)
    refused(create(api, f"{named}Patient?{nhs(JILL)}"), 400, "invalid", "Patient")
    assert nothing_was_written(api)


def test_a_question_mark_within_the_criteria_is_part_of_them(api: httpx.Client) -> None:
    system = "https://example.org/ids?kind=nhs"
    body = person(identifier=[{"system": system, "value": "1"}])
    made(create(api, f"identifier={system}|1", body))
    made(create(api, f"identifier={system}|1", body), 200)
    made(create(api, f"identifier={system}|2", body))


def test_criteria_for_another_type_are_refused(api: httpx.Client) -> None:
    refused(create(api, f"Person?{nhs(JILL)}"), 400, "invalid", "Person", "Patient")
    assert nothing_was_written(api)


every_bad_criterion = pytest.mark.parametrize(
    ("criteria", "code", "word"),
    [
        ("shoe-size=5", "not-supported", "'shoe-size'"),
        ("identifer=1", "not-supported", "Did you mean identifier?"),
        ("identifier:near=1", "not-supported", "':near'"),
        ("identifier=", "value", "needs a value"),
        ("_count=1", "not-supported", "_count: it shapes an answer"),
        ("_lastUpdated=soon", "invalid", "soon"),
    ],
)


@every_bad_criterion
def test_criteria_that_are_not_understood_are_refused_on_a_create(
    api: httpx.Client, criteria: str, code: str, word: str
) -> None:
    refused(create(api, criteria), 400, code, word)
    refused(create(api, criteria, Prefer="handling=lenient"), 400, code, word)
    assert nothing_was_written(api)


@pytest.mark.parametrize("criteria", ["&", "Patient?", "?"])
def test_an_if_none_exist_without_criteria_is_refused(api: httpx.Client, criteria: str) -> None:
    refused(create(api, criteria), 400, "required", "needs a condition")
    assert nothing_was_written(api)


def test_criteria_in_the_address_of_a_create_mean_the_same(api: httpx.Client) -> None:
    # fhirpy's get_or_create sends them there
    first = made(api.post(f"Patient?{nhs(JILL)}", json=person()))
    assert made(api.post(f"Patient?{nhs(JILL)}", json=person()), 200) == first
    answer = api.post(f"Patient?{nhs(JILL)}", json=person(), headers={"If-None-Exist": nhs(JACK)})
    refused(answer, 400, "invalid", "If-None-Exist", "once")


def test_prefer_shapes_the_answer_to_a_conditional_create(api: httpx.Client) -> None:
    put(api, "jill")
    told(
        create(api, nhs(JILL), Prefer="return=OperationOutcome"),
        200,
        "Patient/jill was there already, and was left as it is.",
    )
    answer = create(api, nhs(JILL), Prefer="return=minimal")
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (200, b"", 'W/"1"')
    assert made(create(api, nhs(JILL), Prefer="return=representation"), 200)["id"] == "jill"


# ---- conditional update ----------------------------------------------------------------------------------------------


def update(api: httpx.Client, criteria: str, body: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.put(f"Patient?{criteria}", json=body or person(gender="female"), headers=named)


def test_no_match_and_no_id_creates_under_an_id_of_the_servers(api: httpx.Client) -> None:
    answer = update(api, nhs(JILL))
    assert made(answer)["id"].startswith("id-")
    assert answer.headers["Location"].endswith(f"/Patient/{answer.json()['id']}/_history/1")


def test_no_match_and_an_id_creates_under_that_id(api: httpx.Client) -> None:
    assert made(update(api, nhs(JILL), person(id="jill")))["id"] == "jill"


def test_no_match_and_the_id_of_another_resource_is_refused(api: httpx.Client) -> None:
    put(api, "jack", JACK)
    answer = update(api, nhs(JILL), person(id="jack"))
    refused(answer, 409, "conflict", "Patient/jack", "another resource", at="Patient.id")
    assert len(versions(api, "Patient/jack")) == 1


def test_no_match_and_the_id_of_a_deleted_resource_brings_it_back(api: httpx.Client) -> None:
    put(api, "jill")
    api.delete("Patient/jill")
    assert made(update(api, nhs(JILL), person(id="jill")))["meta"]["versionId"] == "3"


@pytest.mark.parametrize("body", [person(gender="female"), person(gender="female", id="jill")], ids=["no id", "its id"])
def test_one_match_is_updated(api: httpx.Client, body: dict[str, Any]) -> None:
    put(api, "jill")
    put(api, "jack", JACK)
    answer = update(api, nhs(JILL), body)
    assert (made(answer, 200)["id"], answer.json()["gender"]) == ("jill", "female")
    assert answer.headers["ETag"] == 'W/"2"'
    assert versions(api, "Patient/jill")[0] == ("PUT", 'W/"2"', True)


def test_one_match_and_another_id_is_refused(api: httpx.Client) -> None:
    put(api, "jill")
    answer = update(api, nhs(JILL), person(id="jack"))
    refused(answer, 400, "invalid", "Patient/jill", "'jack'", at="Patient.id")
    assert ids(api, "Patient") == ["jill"]


def test_several_matches_are_refused(api: httpx.Client) -> None:
    put(api, "jill")
    put(api, "jill-again")
    refused(update(api, nhs(JILL)), 412, "multiple-matches", "more than one Patient")
    assert len(versions(api, "Patient/jill")) == 1


def test_a_conditional_update_that_changes_nothing_makes_no_version(api: httpx.Client) -> None:
    put(api, "jill")
    answer = update(api, nhs(JILL), person())
    assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"1"')
    assert len(versions(api, "Patient/jill")) == 1


def test_a_conditional_update_honours_if_match(api: httpx.Client) -> None:
    put(api, "jill")
    refused(update(api, nhs(JILL), If_Match='W/"3"'), 412, "conflict", "its version is 1")
    refused(update(api, nhs(JACK), If_Match='W/"1"'), 412, "conflict", "there is no such resource")
    made(update(api, nhs(JILL), If_Match='W/"1"'), 200)


def test_a_conditional_update_honours_if_none_match_star(api: httpx.Client) -> None:
    made(update(api, nhs(JILL), If_None_Match="*"))
    refused(update(api, nhs(JILL), If_None_Match="*"), 412, "duplicate", "If-None-Match")


def test_an_update_without_an_id_and_without_criteria_is_refused(api: httpx.Client) -> None:
    refused(api.put("Patient", json=person()), 400, "required", "needs a condition", "Patient?identifier=")
    assert nothing_was_written(api)


# ---- conditional patch -----------------------------------------------------------------------------------------------


def patch(api: httpx.Client, criteria: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.patch(f"Patient?{criteria}", json=SET_ACTIVE, headers={**named, **JSON_PATCH})


def test_a_conditional_patch_changes_the_one_match(api: httpx.Client) -> None:
    put(api, "jill")
    put(api, "jack", JACK)
    assert (made(patch(api, nhs(JILL)), 200)["id"], versions(api, "Patient/jill")[0][0]) == ("jill", "PATCH")
    assert len(versions(api, "Patient/jack")) == 1


def test_a_conditional_fhirpath_patch_changes_the_one_match(api: httpx.Client) -> None:
    put(api, "jill")
    parts = [
        {"name": "type", "valueCode": "add"},
        {"name": "path", "valueString": "Patient"},
        {"name": "name", "valueString": "active"},
        {"name": "value", "valueBoolean": True},
    ]
    body = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
    assert made(api.patch(f"Patient?{nhs(JILL)}", json=body), 200)["active"] is True


def test_a_conditional_patch_without_a_match_is_refused(api: httpx.Client) -> None:
    refused(patch(api, nhs(JILL)), 404, "not-found", "No Patient matches", nhs(JILL))
    assert nothing_was_written(api)


def test_a_conditional_patch_with_several_matches_is_refused(api: httpx.Client) -> None:
    put(api, "jill")
    put(api, "jill-again")
    refused(patch(api, nhs(JILL)), 412, "multiple-matches", "more than one Patient")


def test_a_conditional_patch_honours_if_match(api: httpx.Client) -> None:
    put(api, "jill")
    refused(patch(api, nhs(JILL), If_Match='W/"3"'), 412, "conflict", "its version is 1")
    made(patch(api, nhs(JILL), If_Match='W/"1"'), 200)


# ---- conditional delete ----------------------------------------------------------------------------------------------


def test_a_conditional_delete_takes_the_one_match(api: httpx.Client) -> None:
    put(api, "jill")
    put(api, "jack", JACK)
    answer = api.delete(f"Patient?{nhs(JILL)}")
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (204, b"", 'W/"2"')
    assert ids(api, "Patient") == ["jack"]
    assert api.get("Patient/jill").status_code == 410


def test_a_conditional_delete_without_a_match_deletes_nothing(api: httpx.Client) -> None:
    put(api, "jack", JACK)
    answer = api.delete(f"Patient?{nhs(JILL)}", headers={"Prefer": "return=OperationOutcome"})
    told(answer, 200, "There was nothing to delete.")
    assert api.delete(f"Patient?{nhs(JILL)}").status_code == 204
    assert ids(api, "Patient") == ["jack"]


def test_a_conditional_delete_that_is_to_match_a_version_is_refused_without_a_match(api: httpx.Client) -> None:
    put(api, "jack", JACK)
    for said in ('W/"1"', "*"):
        refused(
            api.delete(f"Patient?{nhs(JILL)}", headers={"If-Match": said}),
            412,
            "conflict",
            "If-Match",
            "No Patient matches",
        )
    assert api.delete(f"Patient?{nhs(JACK)}", headers={"If-Match": "*"}).status_code == 204


def test_a_conditional_delete_takes_every_match_and_counts_them(api: httpx.Client) -> None:
    for number in range(3):
        put(api, f"jill-{number}")
    put(api, "jack", JACK)
    answer = api.delete(f"Patient?{nhs(JILL)}", headers={"Prefer": "return=OperationOutcome"})
    told(answer, 200, "3 deleted.")
    assert ids(api, "Patient") == ["jack"]
    for number in range(3):
        assert versions(api, f"Patient/jill-{number}")[0] == ("DELETE", 'W/"2"', False)


def test_a_delete_of_several_names_the_version_of_none_of_them(api: httpx.Client) -> None:
    put(api, "jill-1")
    put(api, "jill-2")
    answer = api.delete(f"Patient?{nhs(JILL)}")
    assert answer.status_code == 204
    assert "ETag" not in answer.headers
    assert "Last-Modified" not in answer.headers


def test_a_conditional_delete_of_more_than_the_setting_allows_is_refused_as_a_whole(mongodb_uri: str) -> None:
    with server_with(mongodb_uri, conditional_delete_max=2) as api:
        for number in range(3):
            put(api, f"jill-{number}")
        refused(
            api.delete(f"Patient?{nhs(JILL)}"), 412, "multiple-matches", "more than 2 Patient", "nothing was changed"
        )
        assert ids(api, "Patient") == ["jill-0", "jill-1", "jill-2"]
        api.delete("Patient/jill-0")
        assert api.delete(f"Patient?{nhs(JILL)}").status_code == 204
        assert ids(api, "Patient") == []


def test_a_delete_without_an_id_and_without_criteria_is_refused(api: httpx.Client) -> None:
    put(api, "jill")
    refused(api.delete("Patient"), 400, "required", "needs a condition")
    refused(api.delete("Patient?"), 400, "required", "needs a condition")
    assert ids(api, "Patient") == ["jill"]


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
@every_bad_criterion
def test_criteria_that_are_not_understood_are_refused_on_every_write(
    api: httpx.Client, method: str, criteria: str, code: str, word: str
) -> None:
    put(api, "jill")
    calls: dict[str, Callable[..., httpx.Response]] = {
        "put": lambda **headers: update(api, criteria, **headers),
        "patch": lambda **headers: patch(api, criteria, **headers),
        "delete": lambda **headers: api.delete(f"Patient?{criteria}", headers=headers),
    }
    refused(calls[method](), 400, code, word)
    refused(calls[method](Prefer="handling=lenient"), 400, code, word)
    assert len(versions(api, "Patient/jill")) == 1


def test_search_parameters_that_only_shape_the_answer_are_no_criteria(api: httpx.Client) -> None:
    put(api, "jill")
    refused(api.delete("Patient?_pretty=true"), 400, "required", "needs a condition")
    assert ids(api, "Patient") == ["jill"]
    assert api.delete(f"Patient?{nhs(JILL)}&_pretty=true").status_code == 204

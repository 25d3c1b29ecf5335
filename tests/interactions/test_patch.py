"""patch (R4 §3.1.0.6) over HTTP: JSON Patch, FHIRPath Patch, JSON Merge Patch, and what none of them may do.

Patches by criteria are in `test_conditional`.

How each operation works is shown without a server in `tests/fhir/test_json_patch.py` and `test_fhirpath_patch.py`.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.builders import NHS_NUMBER, person, purchase
from tests.interactions.checks import JSON_PATCH, made, nothing_was_written, refused, told, versions


@pytest.fixture
def jill(api: httpx.Client) -> str:
    """Patient/jill at version 1."""
    made(api.put("Patient/jill", json=person(id="jill", birthDate="1968-05-01")))
    return "Patient/jill"


def json_patch(api: httpx.Client, address: str, *operations: dict[str, Any], **headers: str) -> httpx.Response:
    return api.patch(address, json=list(operations), headers={**JSON_PATCH, **headers})


def op(name: str, path: str, *value: Any) -> dict[str, Any]:
    """One operation of a JSON Patch."""
    return {"op": name, "path": path, **({"value": value[0]} if value else {})}


def fhirpath_patch(*operations: dict[str, Any]) -> dict[str, Any]:
    """A FHIRPath Patch: Parameters with an `operation` for each."""
    return {"resourceType": "Parameters", "parameter": list(operations)}


def operation(type_: str, path: str, **parts: Any) -> dict[str, Any]:
    """One operation of a FHIRPath Patch; `value` is given as `valueCode="female"`, and its like."""
    listed: list[dict[str, Any]] = [{"name": "type", "valueCode": type_}, {"name": "path", "valueString": path}]
    for name, value in parts.items():
        if name.startswith("value"):
            listed.append({"name": "value", name: value})
        else:
            listed.append({"name": name, "valueString" if isinstance(value, str) else "valueInteger": value})
    return {"name": "operation", "part": listed}


STORED = {
    "resourceType": "Patient",
    "id": "jill",
    "identifier": [{"system": NHS_NUMBER, "value": "9000000009"}],
    "name": [{"family": "Marsh", "given": ["Jill"]}],
    "birthDate": "1968-05-01",
}


def stored(answer: httpx.Response) -> dict[str, Any]:
    """What a patch made, without its meta, once that is the second version."""
    resource = made(answer, 200)
    assert resource.pop("meta")["versionId"] == "2"
    assert answer.headers["ETag"] == 'W/"2"'
    assert answer.headers["Location"].endswith("/fhir/Patient/jill/_history/2")
    return resource


# ---- JSON Patch ------------------------------------------------------------------------------------------------------


def test_a_json_patch_makes_the_next_version(api: httpx.Client, jill: str) -> None:
    answer = json_patch(
        api,
        jill,
        op("test", "/birthDate", "1968-05-01"),
        op("replace", "/name/0/family", "Marsh-Hill"),
        op("add", "/name/0/given/-", "Ann"),
        op("add", "/gender", "female"),
        op("remove", "/birthDate"),
    )
    changed = {**STORED, "name": [{"family": "Marsh-Hill", "given": ["Jill", "Ann"]}], "gender": "female"}
    del changed["birthDate"]
    assert stored(answer) == changed
    assert api.get(jill).json() == answer.json()
    assert versions(api, jill) == [("PATCH", 'W/"2"', True), ("PUT", 'W/"1"', True)]


def test_a_json_patch_moves_and_copies(api: httpx.Client, jill: str) -> None:
    move = {"op": "move", "from": "/name/0/given/0", "path": "/name/0/text"}
    copy = {"op": "copy", "from": "/name/0/family", "path": "/contact/0/name/family"}
    answer = json_patch(api, jill, op("add", "/contact", [{"name": {}}]), copy, move)
    assert stored(answer)["contact"] == [{"name": {"family": "Marsh"}}]
    assert answer.json()["name"] == [{"family": "Marsh", "text": "Jill"}]


def test_a_json_patch_under_the_plain_json_media_type_is_taken(api: httpx.Client, jill: str) -> None:
    answer = api.patch(jill, json=[op("add", "/active", True)], headers={"Content-Type": "application/json"})
    assert stored(answer)["active"] is True


def test_a_patch_keeps_the_digits_of_amounts_it_does_not_touch(api: httpx.Client) -> None:
    body = (
        '{"resourceType":"ChargeItem","id":"P-1","status":"billable","code":{"text":"Swimming"},'
        '"subject":{"reference":"Patient/jill"},"priceOverride":{"value":10.00,"currency":"GBP"}}'
    )
    assert api.put("ChargeItem/P-1", content=body).status_code == 201
    patch = '[{"op":"add","path":"/quantity","value":{"value":2.50}}]'
    assert api.patch("ChargeItem/P-1", content=patch, headers=JSON_PATCH).status_code == 200
    text = api.get("ChargeItem/P-1").text
    assert '"priceOverride":{"value":10.00,' in text
    assert '"quantity":{"value":2.50}' in text


def test_a_failed_test_refuses_the_whole_patch(api: httpx.Client, jill: str) -> None:
    answer = json_patch(api, jill, op("add", "/active", True), op("test", "/birthDate", "1970-01-01"))
    refused(answer, 422, "conflict", "operation[1]", "test failed", at="Patient.birthDate")
    assert len(versions(api, jill)) == 1


@pytest.mark.parametrize("name", ["replace", "remove"])
def test_an_operation_that_leads_nowhere_is_refused(api: httpx.Client, jill: str, name: str) -> None:
    answer = json_patch(api, jill, op(name, "/contact/0/gender", "female"))
    refused(answer, 422, "not-found", "operation[0]", "/contact/0", at="Patient.contact[0].gender")
    assert len(versions(api, jill)) == 1


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ([{"op": "append", "path": "/name", "value": {}}], '"op" must be one of'),
        ([{"op": "add", "path": "/active"}], '"value"'),
        ([{"op": "add", "value": True}], '"path"'),
        ([{"op": "add", "path": "active", "value": True}], "JSON Pointer"),
        ([{"op": "move", "path": "/active"}], '"from"'),
        (["add"], "JSON object"),
        (
            {"op": "add", "path": "/active", "value": True},
            "A patch as application/json-patch+json is a list of operations",
        ),
        ("add", "A patch as application/json-patch+json is a list of operations"),
    ],
    ids=["unknown", "no value", "no path", "no pointer", "no from", "no object", "no array", "text"],
)
def test_what_is_no_json_patch_is_refused(api: httpx.Client, jill: str, patch: Any, words: str) -> None:
    answer = api.patch(jill, json=patch, headers=JSON_PATCH)
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["issue"][0]["details"]["text"]
    assert len(versions(api, jill)) == 1


# ---- FHIRPath Patch --------------------------------------------------------------------------------------------------


def test_a_fhirpath_patch_makes_the_next_version(api: httpx.Client, jill: str) -> None:
    patch = fhirpath_patch(
        operation("replace", "Patient.name.first().family", valueString="Marsh-Hill"),
        operation("insert", "Patient.name[0].given", valueString="Ann", index=1),
        operation("add", "Patient", name="gender", valueCode="female"),
        operation("delete", "Patient.birthDate"),
    )
    answer = api.patch(jill, json=patch)
    changed = {**STORED, "name": [{"family": "Marsh-Hill", "given": ["Jill", "Ann"]}], "gender": "female"}
    del changed["birthDate"]
    assert stored(answer) == changed
    assert versions(api, jill) == [("PATCH", 'W/"2"', True), ("PUT", 'W/"1"', True)]


def test_a_fhirpath_patch_that_does_not_fit_is_refused_as_a_whole(api: httpx.Client, jill: str) -> None:
    patch = fhirpath_patch(
        operation("add", "Patient", name="active", valueBoolean=True),
        operation("replace", "Patient.contact[0].gender", valueCode="female"),
    )
    answer = api.patch(jill, json=patch)
    assert answer.status_code == 422, answer.text
    assert "operation[1]" in answer.json()["issue"][0]["details"]["text"]
    assert len(versions(api, jill)) == 1


def test_a_fhirpath_patch_of_an_element_that_fhir_does_not_have_is_refused(api: httpx.Client, jill: str) -> None:
    answer = api.patch(jill, json=fhirpath_patch(operation("replace", "Patient.shoeSize", valueInteger=5)))
    refused(answer, 400, "value", "operation[0]", "shoeSize", at="Patient.shoeSize")


def test_parameters_that_are_no_patch_are_refused(api: httpx.Client, jill: str) -> None:
    body = {"resourceType": "Parameters", "parameter": [{"name": "resource", "valueString": "x"}]}
    answer = api.patch(jill, json=body)
    assert answer.status_code == 400
    assert '"operation"' in answer.json()["issue"][0]["details"]["text"]


# ---- JSON Merge Patch, which R4 does not name and client libraries send ----------------------------------------------


@pytest.mark.parametrize("media_type", ["application/merge-patch+json", "application/json"])
def test_a_merge_patch_makes_the_next_version(api: httpx.Client, jill: str, media_type: str) -> None:
    patch = {"gender": "female", "birthDate": None, "name": [{"family": "Marsh-Hill"}]}
    answer = api.patch(jill, json=patch, headers={"Content-Type": media_type})
    changed = {**STORED, "name": [{"family": "Marsh-Hill"}], "gender": "female"}
    del changed["birthDate"]
    assert stored(answer) == changed


def test_a_merge_patch_to_an_invalid_resource_is_refused(api: httpx.Client, jill: str) -> None:
    answer = api.patch(jill, json={"gender": "f"}, headers={"Content-Type": "application/merge-patch+json"})
    refused(answer, 422, "code-invalid", "f", at="Patient.gender")
    assert len(versions(api, jill)) == 1


def test_a_merge_patch_of_the_id_is_refused(api: httpx.Client, jill: str) -> None:
    answer = api.patch(jill, json={"id": "jack"}, headers={"Content-Type": "application/merge-patch+json"})
    refused(answer, 400, "invalid", "cannot change the id", "jack", at="Patient.id")
    assert len(versions(api, jill)) == 1


# ---- what a patch may not do -----------------------------------------------------------------------------------------


def test_a_patch_whose_result_is_invalid_is_refused_with_the_element(api: httpx.Client, jill: str) -> None:
    answer = json_patch(api, jill, op("add", "/gender", "f"))
    refused(answer, 422, "code-invalid", "f", at="Patient.gender")
    assert len(versions(api, jill)) == 1


def test_a_patch_that_takes_away_what_is_required_is_refused(api: httpx.Client) -> None:
    made(api.put("ChargeItem/P-1", json=purchase(id="P-1")))
    refused(json_patch(api, "ChargeItem/P-1", op("remove", "/code")), 422, "required", "code", at="ChargeItem.code")
    answer = api.patch("ChargeItem/P-1", json=fhirpath_patch(operation("delete", "ChargeItem.code")))
    refused(answer, 422, "required", "code", at="ChargeItem.code")
    assert versions(api, "ChargeItem/P-1") == [("PUT", 'W/"1"', True)]


@pytest.mark.parametrize(
    "change", [op("replace", "/id", "jack"), op("remove", "/id"), op("replace", "/resourceType", "Person")]
)
def test_a_json_patch_that_makes_another_resource_of_it_is_refused(
    api: httpx.Client, jill: str, change: dict[str, Any]
) -> None:
    refused(json_patch(api, jill, change), 400, "value", "may not change", at="Patient." + str(change["path"])[1:])
    assert len(versions(api, jill)) == 1
    assert api.get("Patient/jack").status_code == 404


def test_a_fhirpath_patch_of_the_id_is_refused(api: httpx.Client, jill: str) -> None:
    answer = api.patch(jill, json=fhirpath_patch(operation("replace", "Patient.id", valueId="jack")))
    refused(answer, 400, "value", "may not change", "id", at="Patient.id")
    assert len(versions(api, jill)) == 1


def test_a_patch_of_the_version_and_time_makes_no_version(api: httpx.Client, jill: str) -> None:
    before = api.get(jill).text
    answer = json_patch(api, jill, op("replace", "/meta/versionId", "9"), op("remove", "/meta/lastUpdated"))
    assert (answer.status_code, answer.text) == (200, before)
    assert len(versions(api, jill)) == 1


def test_a_patch_that_changes_nothing_makes_no_version(api: httpx.Client, jill: str) -> None:
    answer = json_patch(api, jill, op("replace", "/birthDate", "1968-05-01"))
    assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"1"')
    assert json_patch(api, jill).status_code == 200
    assert len(versions(api, jill)) == 1


def test_a_patch_of_what_never_was_is_refused(api: httpx.Client) -> None:
    refused(json_patch(api, "Patient/jill", op("add", "/active", True)), 404, "not-found", "no Patient/jill")
    assert nothing_was_written(api)


def test_a_patch_of_what_was_deleted_is_refused_and_does_not_bring_it_back(api: httpx.Client, jill: str) -> None:
    api.delete(jill)
    refused(json_patch(api, jill, op("add", "/active", True)), 410, "deleted", "Patient/jill", "PUT")
    assert api.get(jill).status_code == 410
    assert len(versions(api, jill)) == 2


@pytest.mark.parametrize("media_type", ["application/xml-patch+xml", "text/plain", ""])
def test_a_patch_in_another_form_is_refused_with_those_it_may_have(
    api: httpx.Client, jill: str, media_type: str
) -> None:
    answer = api.patch(jill, content="<diff/>", headers={"Content-Type": media_type})
    refused(answer, 415, "not-supported", "application/fhir+json", "application/json-patch+json")


def test_a_patch_that_grows_without_bound_is_refused(api: httpx.Client, jill: str) -> None:
    doubling = [{"op": "copy", "from": "/name", "path": "/name/-"} for _ in range(40)]
    refused(json_patch(api, jill, *doubling), 422, "too-costly", "copies more", at="Patient.name")
    assert len(versions(api, jill)) == 1


# ---- Prefer ----------------------------------------------------------------------------------------------------------


def test_prefer_shapes_the_answer_to_a_patch(api: httpx.Client, jill: str) -> None:
    minimal = json_patch(api, jill, op("add", "/active", True), Prefer="return=minimal")
    assert (minimal.status_code, minimal.content, minimal.headers["ETag"]) == (200, b"", 'W/"2"')
    whole = json_patch(api, jill, op("add", "/gender", "female"), Prefer="return=representation")
    assert (made(whole, 200)["gender"], whole.headers["ETag"]) == ("female", 'W/"3"')
    sentence = json_patch(api, jill, op("remove", "/gender"), Prefer="return=OperationOutcome")
    told(sentence, 200, "Patient/jill was updated.")
    same = json_patch(api, jill, op("replace", "/active", True), Prefer="return=OperationOutcome")
    told(same, 200, "Patient/jill was left as it was: nothing in it changed.")


def test_a_fhirpath_patch_points_to_what_it_contains(api: httpx.Client, jill: str) -> None:
    """To what it adds, and to what is there; what it points to in vain is told of the resource that it makes (ref-1)."""
    practice = {"resourceType": "Organization", "id": "practice", "name": "Oakfield"}
    adding = operation("add", "Patient", name="contained")
    adding["part"].append({"name": "value", "resource": practice})
    pointing = operation("replace", "Patient.managingOrganization", valueReference={"reference": "#practice"})
    first = operation("add", "Patient", name="managingOrganization", valueReference={"reference": "#practice"})
    found = stored(api.patch(jill, json=fhirpath_patch(adding, first)))
    assert found["contained"] == [practice]
    assert found["managingOrganization"] == {"reference": "#practice"}
    assert stored(api.patch(jill, json=fhirpath_patch(pointing)))["managingOrganization"] == {"reference": "#practice"}
    nowhere = operation("replace", "Patient.managingOrganization", valueReference={"reference": "#nobody"})
    answer = api.patch(jill, json=fhirpath_patch(nowhere))
    assert answer.status_code == 422
    places = [issue["expression"] for issue in answer.json()["issue"]]
    assert ["Patient.managingOrganization"] in places


# ---- sent again --------------------------------------------------------------------------------------------------------

ADDS: dict[str, Any] = {
    "JSON": ([op("add", "/name/-", {"family": "Moss"})], "application/json-patch+json"),
    "FHIRPath": (
        fhirpath_patch(
            {
                "name": "operation",
                "part": [
                    {"name": "type", "valueCode": "add"},
                    {"name": "path", "valueString": "Patient"},
                    {"name": "name", "valueString": "name"},
                    {"name": "value", "valueHumanName": {"family": "Moss"}},
                ],
            }
        ),
        "application/fhir+json",
    ),
}


@pytest.mark.parametrize("address", ["Patient/jill", f"Patient?identifier={NHS_NUMBER}|9000000009"])
@pytest.mark.parametrize("kind", ADDS)
def test_a_patch_sent_again_under_its_request_id_adds_nothing_more(
    api: httpx.Client, jill: str, kind: str, address: str
) -> None:
    body, media = ADDS[kind]
    headers = {"Content-Type": media, "X-Request-ID": "0c7a1f6e-adds-a-name"}
    answers = [api.patch(address, json=body, headers=headers) for _ in range(3)]
    assert answers[0].status_code == 200, answers[0].text
    assert {(one.status_code, one.headers["etag"], one.text) for one in answers} == {(200, 'W/"2"', answers[0].text)}
    assert len(made(api.get(jill), 200)["name"]) == 2
    assert api.patch(address, json=body, headers={**headers, "X-Request-ID": "another"}).headers["etag"] == 'W/"3"'


def test_an_update_of_one_version_sent_again_under_its_request_id_is_answered_as_the_first_time(
    api: httpx.Client, jill: str
) -> None:
    sends = {"X-Request-ID": "0c7a1f6e-an-update", "If-Match": 'W/"1"'}
    first, again = (api.put(jill, json=person(id="jill", active=True), headers=sends) for _ in range(2))
    assert (first.status_code, again.status_code, again.text) == (200, 200, first.text)
    gone = {"X-Request-ID": "0c7a1f6e-a-delete", "If-Match": 'W/"2"'}
    assert [api.delete(jill, headers=gone).status_code for _ in range(2)] == [204, 204]
    assert len(versions(api, jill)) == 3


def test_who_goes_back_to_what_was_there_gets_there_under_whatever_request_id(api: httpx.Client, jill: str) -> None:
    headers = {"X-Request-ID": "a-proxy-puts-this-on-everything"}
    for active in (True, False, True):
        made(api.put(jill, json=person(id="jill", active=active), headers=headers), 200)
    assert made(api.get(jill), 200)["active"] is True

"""Versions as conditions (R4 §3.1.0.5): If-Match and If-None-Match on writes, and the setting that makes If-Match required."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.builders import budget, bundle, entry, person
from tests.interactions.checks import JSON_PATCH, made, nothing_was_written, refused, sent, server_with, versions

SET_ACTIVE = [{"op": "add", "path": "/active", "value": True}]


@pytest.fixture
def jill(api: httpx.Client) -> str:
    """Patient/jill at version 2."""
    api.put("Patient/jill", json=person(id="jill"))
    api.put("Patient/jill", json=person(id="jill", gender="female"))
    return "Patient/jill"


def write(api: httpx.Client, method: str, **headers: str) -> httpx.Response:
    """A change of Patient/jill by this method, with these headers (`_` for `-`)."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if method == "PUT":
        return api.put("Patient/jill", json=person(id="jill", active=True), headers=named)
    if method == "PATCH":
        return api.patch("Patient/jill", json=SET_ACTIVE, headers={**named, **JSON_PATCH})
    return api.delete("Patient/jill", headers=named)


every_write = pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])


# ---- If-Match --------------------------------------------------------------------------------------------------------


@every_write
@pytest.mark.parametrize("condition", ['W/"2"', '"2"', 'W/"1", W/"2"', "*"])
def test_a_write_that_names_the_current_version_is_done(
    api: httpx.Client, jill: str, method: str, condition: str
) -> None:
    assert write(api, method, If_Match=condition).status_code == (204 if method == "DELETE" else 200)
    assert versions(api, jill)[0] == (method, 'W/"3"', method != "DELETE")


@every_write
@pytest.mark.parametrize("condition", ['W/"1"', 'W/"3"', 'W/"02x"', 'W/""', '"1", "7"'])
def test_a_write_that_names_another_version_is_refused(
    api: httpx.Client, jill: str, method: str, condition: str
) -> None:
    answer = write(api, method, If_Match=condition)
    refused(answer, 412, "conflict", "Patient/jill", "If-Match", "its version is 2")
    assert len(versions(api, jill)) == 2


@every_write
@pytest.mark.parametrize("condition", ['W/"1"', "*"])
def test_if_match_where_nothing_is_is_refused(api: httpx.Client, method: str, condition: str) -> None:
    refused(write(api, method, If_Match=condition), 412, "conflict", "there is no such resource")
    assert nothing_was_written(api)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_if_match_on_what_was_deleted_is_refused(api: httpx.Client, jill: str, method: str) -> None:
    api.delete(jill)
    refused(write(api, method, If_Match='W/"3"'), 412, "conflict", "there is no such resource")
    assert len(versions(api, jill)) == 3


@every_write
@pytest.mark.parametrize("condition", ["2", "W/2", 'w/"2"', 'W/"2" W/"3"', "latest"])
def test_an_if_match_that_is_no_etag_is_refused(api: httpx.Client, jill: str, method: str, condition: str) -> None:
    refused(write(api, method, If_Match=condition), 400, "invalid", "If-Match", 'W/"3"')
    assert len(versions(api, jill)) == 2


def test_of_two_updates_from_the_same_version_the_second_is_refused_and_loses_nothing(
    api: httpx.Client, jill: str
) -> None:
    etag = api.get(jill).headers["ETag"]
    first = api.put(jill, json=person(id="jill", birthDate="1968-05-01"), headers={"If-Match": etag})
    second = api.put(jill, json=person(id="jill", active=True), headers={"If-Match": etag})
    assert made(first, 200)["birthDate"] == "1968-05-01"
    refused(second, 412, "conflict", "its version is 3", "Read it again")
    assert api.get(jill).json() == first.json()


def test_if_match_is_judged_before_sameness(api: httpx.Client, jill: str) -> None:
    same = api.get(jill).json()
    refused(api.put(jill, json=same, headers={"If-Match": 'W/"1"'}), 412, "conflict", "its version is 2")
    assert api.put(jill, json=same, headers={"If-Match": 'W/"2"'}).headers["ETag"] == 'W/"2"'


# ---- If-None-Match ---------------------------------------------------------------------------------------------------


def test_if_none_match_star_creates_where_nothing_is(api: httpx.Client) -> None:
    made(write(api, "PUT", If_None_Match="*"))


@every_write
def test_if_none_match_star_over_a_resource_is_refused(api: httpx.Client, jill: str, method: str) -> None:
    refused(write(api, method, If_None_Match="*"), 412, "duplicate", "Patient/jill exists", "If-None-Match")
    assert "active" not in api.get(jill).json()


def test_if_none_match_star_brings_back_what_was_deleted(api: httpx.Client, jill: str) -> None:
    api.delete(jill)
    assert made(write(api, "PUT", If_None_Match="*"))["meta"]["versionId"] == "4"


@every_write
def test_if_none_match_with_the_current_version_is_refused_and_with_another_done(
    api: httpx.Client, jill: str, method: str
) -> None:
    refused(write(api, method, If_None_Match='W/"2"'), 412, "duplicate", "If-None-Match")
    assert len(versions(api, jill)) == 2
    assert write(api, method, If_None_Match='W/"1"').is_success


def test_an_if_none_match_that_is_no_etag_is_refused(api: httpx.Client) -> None:
    refused(write(api, "PUT", If_None_Match="none"), 400, "invalid", "If-None-Match")
    assert nothing_was_written(api)


# ---- versioned-update ------------------------------------------------------------------------------------------------


@pytest.fixture
def versioned(mongodb_uri: str) -> Iterator[httpx.Client]:
    """A client of a server where updates of Accounts must say which version they mean; Account/b is at version 1."""
    with server_with(mongodb_uri, versioned_update=("Account",)) as client:
        made(client.put("Account/b", json=budget(id="b")))
        yield client


def versioning(client: httpx.Client) -> dict[str, str]:
    rows = client.get("metadata").json()["rest"][0]["resource"]
    return {row["type"]: row["versioning"] for row in rows}


def test_versioned_update_is_shown_in_the_capability_statement_for_the_types_it_names(
    api: httpx.Client, versioned: httpx.Client
) -> None:
    assert set(versioning(api).values()) == {"versioned"}
    shown = versioning(versioned)
    assert shown.pop("Account") == "versioned-update"
    assert set(shown.values()) == {"versioned"}


def required(answer: httpx.Response, at: str = "") -> None:
    # 400: "Servers can require that clients provide an If-Match header by returning 400 Client Error" (R4 §3.1.0.5)
    refused(answer, 400, "required", "Account", "If-Match", at=at)


def test_an_update_without_if_match_is_refused_and_with_it_done(versioned: httpx.Client) -> None:
    change = budget(id="b", status="inactive")
    required(versioned.put("Account/b", json=change))
    assert versions(versioned, "Account/b") == [("PUT", 'W/"1"', True)]
    made(versioned.put("Account/b", json=change, headers={"If-Match": 'W/"1"'}), 200)


def test_a_patch_without_if_match_is_refused_and_with_it_done(versioned: httpx.Client) -> None:
    patch = [{"op": "replace", "path": "/status", "value": "inactive"}]
    required(versioned.patch("Account/b", json=patch, headers=JSON_PATCH))
    assert versions(versioned, "Account/b") == [("PUT", 'W/"1"', True)]
    made(versioned.patch("Account/b", json=patch, headers={**JSON_PATCH, "If-Match": 'W/"1"'}), 200)


def test_a_conditional_update_without_if_match_is_refused(versioned: httpx.Client) -> None:
    required(versioned.put("Account?_id=b", json=budget(status="inactive")))


def test_an_entry_without_if_match_is_refused_and_with_it_done(versioned: httpx.Client) -> None:
    change = budget(id="b", status="inactive")
    answer = versioned.post("", json=bundle("transaction", entry("PUT", "Account/b", change)))
    required(answer, at="Bundle.entry[0].request")
    assert versions(versioned, "Account/b") == [("PUT", 'W/"1"', True)]
    done = sent(versioned, "transaction", entry("PUT", "Account/b", change, ifMatch='W/"1"'))
    assert done[0]["response"]["etag"] == 'W/"2"'


def test_another_version_is_still_a_failed_condition(versioned: httpx.Client) -> None:
    answer = versioned.put("Account/b", json=budget(id="b", status="inactive"), headers={"If-Match": 'W/"8"'})
    refused(answer, 412, "conflict", "its version is 1")


def test_a_put_that_creates_or_brings_back_needs_no_if_match(versioned: httpx.Client) -> None:
    made(versioned.put("Account/c", json=budget(id="c")))
    assert versioned.delete("Account/c").status_code == 204
    assert made(versioned.put("Account/c", json=budget(id="c")))["meta"]["versionId"] == "3"


def test_types_that_are_not_named_need_no_if_match(versioned: httpx.Client) -> None:
    made(versioned.put("Patient/jill", json=person(id="jill")))
    made(versioned.put("Patient/jill", json=person(id="jill", active=True)), 200)


# ---- the history -----------------------------------------------------------------------------------------------------


def test_the_history_holds_every_change_and_nothing_that_was_none(api: httpx.Client) -> None:
    made(api.post("Patient", json=person()))
    made(api.put("Patient/id-1", json=person(id="id-1")), 200)  # changes nothing
    made(api.put("Patient/id-1", json=person(id="id-1", active=True)), 200)
    assert api.put("Patient/id-1", json=person(id="id-1"), headers={"If-Match": 'W/"1"'}).status_code == 412
    made(api.patch("Patient/id-1", json=[{"op": "remove", "path": "/active"}], headers=JSON_PATCH), 200)
    assert api.patch("Patient/id-1", json=SET_ACTIVE[:1] * 2, headers=JSON_PATCH).status_code == 200
    assert api.patch("Patient/id-1", json=[{"op": "remove", "path": "/gender"}], headers=JSON_PATCH).status_code == 422
    sent(api, "transaction", entry("PUT", "Patient/id-1", person(id="id-1", gender="female")))
    failing = bundle("transaction", entry("DELETE", "Patient/id-1"), entry("GET", "Patient/x"))
    assert api.post("", json=failing).status_code == 404
    assert api.delete("Patient/id-1").status_code == 204
    assert api.delete("Patient/id-1").status_code == 204
    made(api.put("Patient/id-1", json=person(id="id-1")))
    methods = ["PUT", "DELETE", "PUT", "PATCH", "PATCH", "PUT", "POST"]
    assert versions(api, "Patient/id-1") == [
        (method, f'W/"{number}"', method != "DELETE") for number, method in zip(range(7, 0, -1), methods, strict=True)
    ]
    times = [each["response"]["lastModified"] for each in api.get("Patient/id-1/_history").json()["entry"]]
    assert times == sorted(set(times), reverse=True)
    assert api.get("_history").json()["total"] == api.get("Patient/_history").json()["total"] == 7

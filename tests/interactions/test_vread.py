"""vread: any version there was, as it was (R4 §3.1.0.3)."""

from __future__ import annotations

import pytest

from tests.builders import person, problem


@pytest.fixture
def jill(api):
    """Made, changed, deleted, brought back: four versions."""
    api.put("/Patient/jill", json=person(id="jill"))
    api.put("/Patient/jill", json=person(id="jill", active=True))
    api.delete("/Patient/jill")
    api.put("/Patient/jill", json=person(id="jill", active=False))
    return api


@pytest.mark.parametrize(("number", "active"), [(1, None), (2, True), (4, False)])
def test_each_version_is_read_as_it_was(jill, number, active):
    answer = jill.get(f"/Patient/jill/_history/{number}")
    assert answer.status_code == 200
    assert answer.json().get("active") is active
    assert answer.json()["meta"] == {
        "versionId": str(number),
        "lastUpdated": f"2026-11-22T09:00:0{number - 1}.000Z",
    }
    assert answer.headers["etag"] == f'W/"{number}"'
    assert answer.headers["last-modified"] == f"Sun, 22 Nov 2026 09:00:0{number - 1} GMT"


def test_the_address_that_a_write_answers_reads_that_version_ever_after(api):
    first = api.post("/Patient", json=person())
    assert first.headers["location"].endswith("/Patient/id-1/_history/1")
    api.put("/Patient/id-1", json=person(id="id-1", active=True))
    assert api.get(first.headers["location"]).content == first.content


def test_the_version_of_a_deletion_is_gone(jill):
    found = problem(jill.get("/Patient/jill/_history/3"))
    text = "Patient/jill was deleted (version 3); a PUT to the same address brings it back."
    assert found == (410, "deleted", text, "")


def test_a_deleted_resource_keeps_its_past(jill):
    jill.delete("/Patient/jill")
    assert jill.get("/Patient/jill").status_code == 410
    assert jill.get("/Patient/jill/_history/5").status_code == 410
    assert [jill.get(f"/Patient/jill/_history/{number}").status_code for number in (1, 2, 3, 4)] == [200, 200, 410, 200]


@pytest.mark.parametrize("number", ["0", "5", "01", "-1", "1.0", "one", "%D9%A1", "9" * 40, "latest", "_history"])
def test_a_version_that_never_was_is_not_found(jill, number):
    assert problem(jill.get(f"/Patient/jill/_history/{number}"))[:2] == (404, "not-found")


def test_a_version_of_what_never_was_is_not_found(jill):
    found = problem(jill.get("/Patient/nobody/_history/1"))
    assert found == (404, "not-found", "There is no version 1 of Patient/nobody.", "")
    assert problem(jill.get("/Person/jill/_history/1")).status == 404


@pytest.mark.parametrize("number", [1, 4])
def test_a_version_that_the_client_has_is_not_sent_again(jill, number):
    address = f"/Patient/jill/_history/{number}"
    had = jill.get(address, headers={"If-None-Match": f'W/"{number}"'})
    assert (had.status_code, had.content, had.headers["etag"]) == (304, b"", f'W/"{number}"')
    assert jill.get(address, headers={"If-None-Match": 'W/"2"'}).status_code == 200
    later = {"If-Modified-Since": "Sun, 22 Nov 2026 10:00:00 GMT"}
    assert jill.get(address, headers=later).status_code == 304


def test_a_version_may_be_shown_in_part(jill):
    found = jill.get("/Patient/jill/_history/2?_elements=active").json()
    assert set(found) == {"resourceType", "id", "meta", "active"}
    assert found["meta"]["versionId"] == "2"
    assert [tag["code"] for tag in found["meta"]["tag"]] == ["SUBSETTED"]

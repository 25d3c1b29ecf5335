"""X-Request-ID (R4 §3.1.0.1.13): taken where it is safe, made where there is none, mirrored, and in the log."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid

import httpx
import pytest

from phb_fhir.fhir import codec
from tests.builders import person
from tests.processes import until

MADE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
SAFE = ["1", "a1b2-c3_d4.e5", "x" * 64, "00000000-0000-4000-8000-000000000000"]
UNSAFE = ["", "x" * 65, "two words", "a;b", "<script>", "a/b", "${jndi:ldap://x}", "a\tb", "é", '"', "a,b"]
ADDRESSES = ["/metadata", "/Patient/nobody", "/Patients", "/Patient?colour=blue", "/Patient/jill"]


@pytest.mark.parametrize("given", SAFE)
@pytest.mark.parametrize("address", ADDRESSES)
def test_a_safe_id_is_mirrored(api, address, given):
    assert api.get(address, headers={"X-Request-ID": given}).headers.get_list("x-request-id") == [given]


@pytest.mark.parametrize("given", UNSAFE)
def test_an_id_that_is_not_safe_to_log_is_replaced(api, given):
    answer = api.get("/metadata", headers={"X-Request-ID": given.encode()})
    (mirrored,) = answer.headers.get_list("x-request-id")
    assert MADE.fullmatch(mirrored)


@pytest.mark.parametrize("address", ADDRESSES)
def test_without_an_id_one_is_made_for_each_request(api, address):
    ids = [api.get(address).headers["x-request-id"] for _ in range(2)]
    assert all(MADE.fullmatch(one) for one in ids)
    assert ids[0] != ids[1]


def test_every_kind_of_answer_has_an_id(api, server):
    answers = [
        api.put("/Patient/jill", json=person(id="jill")),
        api.head("/Patient/jill"),
        api.get("/Patient/jill", headers={"If-None-Match": 'W/"1"'}),
        api.delete("/Patient/jill"),
        api.options("/Patient"),
        api.get(server.root + "/health/live"),
        api.get(server.root + "/nowhere"),
        api.options("/Patient", headers={"Origin": "http://x.example", "Access-Control-Request-Method": "PUT"}),
    ]
    assert [answer.status_code for answer in answers] == [201, 200, 304, 204, 204, 200, 404, 403]
    assert all(MADE.fullmatch(answer.headers["x-request-id"]) for answer in answers)


# ---- the log ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def logged(mongodb_uri, database_name, tmp_path):
    """A server as a process: its base, and a function for the rows of its log so far."""
    errors = tmp_path / "stderr"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PHB_")}
    environment |= {"PHB_MONGODB_URI": mongodb_uri, "PHB_MONGODB_DATABASE": database_name, "PHB_OPEN": "true"}
    command = [sys.executable, "-m", "uvicorn", "--factory", "phb_fhir.app:create", "--port", "0"]
    with errors.open("wb") as out:
        process = subprocess.Popen(command, env=environment, stderr=out, stdout=subprocess.DEVNULL)
    try:
        found = until(lambda: re.search(rb"http://127\.0\.0\.1:\d+", errors.read_bytes()))
        assert found
        base = re.search(rb"http://127\.0\.0\.1:\d+", errors.read_bytes())[0].decode() + "/fhir"
        yield (
            base,
            lambda: [codec.loads(one, depth_max=9) for one in errors.read_bytes().splitlines() if one[:1] == b"{"],
        )
    finally:
        process.terminate()
        process.wait(30)


def test_the_log_has_one_row_a_request_with_its_id_and_nothing_of_the_person(logged):
    base, rows = logged
    given = f"test-{uuid.uuid4().hex}"
    with httpx.Client(base_url=base, timeout=30, headers={"X-Request-ID": given}) as client:
        client.post("/Patient", json=person("9000000009"), headers={"Content-Type": "application/fhir+json"})
        client.get("/Patient?identifier=9000000009")
        client.get("/Patient?identifer=9000000009")
        client.get("/9000000009/1")
    assert until(lambda: len([row for row in rows() if row["event"] == "request"]) >= 4)
    told = [row for row in rows() if row["event"] == "request"]
    assert [(row["method"], row["interaction"], row["type"], row["status"]) for row in told] == [
        ("POST", "create", "Patient", 201),
        ("GET", "search-type", "Patient", 200),
        ("GET", "search-type", "Patient", 400),
        ("GET", "other", "", 404),
    ]
    assert {row["request_id"] for row in told} == {given}
    assert all(set(row) == {*told[0]} and row["level"] == "info" and row["ms"] >= 0 for row in told)
    assert "9000000009" not in str(rows())


def test_an_id_that_is_not_safe_never_reaches_the_log(logged):
    base, rows = logged
    with httpx.Client(base_url=base, timeout=30) as client:
        client.get("/metadata", headers={"X-Request-ID": "forged event"})
    assert until(lambda: any(row["event"] == "request" for row in rows()))
    assert "forged" not in str(rows())

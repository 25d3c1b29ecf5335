"""Faults of ours, and a database that is not there: said plainly, with nothing of our insides, and got over."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from phb_fhir.store.embedded import PrivateMongo
from tests.builders import bundle, entry, person, problem
from tests.processes import until
from tests.running import RunningServer

INSIDES = re.compile(r"Traceback|File \"|\.py|phb_fhir/|KeyError|TypeError|pymongo|mongodb://", re.IGNORECASE)
FAULT = "The server met a fault of its own. Nothing is known to be wrong with your request; the log has it under {}."


# ---- a record that somebody damaged behind our back ------------------------------------------------------------------


@pytest.fixture
def damaged(api, server, mongodb_admin):
    """Jill's stored document has lost its version number; Asha's is whole."""
    for name in ("jill", "asha"):
        api.put(f"/Patient/{name}", json=person(id=name))
    resources = mongodb_admin[server.settings.mongodb_database]["resources"]
    assert resources.update_one({"_id": "Patient/jill"}, {"$unset": {"version": ""}}).modified_count == 1
    return api


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("GET", "/Patient/jill"),
        ("GET", "/Patient/jill/_history/1"),
        ("GET", "/Patient/jill/_history"),
        ("GET", "/Patient"),
        ("GET", "/_history"),
        ("PUT", "/Patient/jill"),
        ("DELETE", "/Patient/jill"),
    ],
)
def test_a_fault_of_ours_is_said_to_be_ours_with_an_id_and_no_insides(damaged, method, address):
    body = {"json": person(id="jill", active=True)} if method == "PUT" else {}
    answer = damaged.request(method, address, headers={"X-Request-ID": "id-of-this"}, **body)
    assert problem(answer) == (500, "exception", FAULT.format("id-of-this"), "")
    assert answer.json()["issue"][0]["severity"] == "fatal"
    assert answer.headers["x-request-id"] == "id-of-this"
    assert not INSIDES.search(answer.text + str(answer.headers))


def test_a_fault_of_ours_has_no_body_for_a_head(damaged):
    answer = damaged.head("/Patient/jill")
    assert (answer.status_code, answer.content) == (500, b"")


def test_after_a_fault_the_server_goes_on(damaged):
    assert damaged.get("/Patient/jill").status_code == 500
    assert damaged.get("/Patient/asha").status_code == 200
    assert damaged.put("/Patient/new", json=person(id="new")).status_code == 201


def test_a_fault_in_one_entry_of_a_batch_is_told_without_insides(damaged):
    answer = damaged.post("/", json=bundle("batch", entry("GET", "Patient/jill"), entry("GET", "Patient/asha")))
    assert not INSIDES.search(answer.text)
    assert answer.status_code == 200
    assert [one["response"]["status"] for one in answer.json()["entry"]] == ["500 Internal Server Error", "200 OK"]


def test_a_page_can_read_of_a_fault(damaged):
    answer = damaged.get("/Patient/jill", headers={"Origin": "http://localhost:3000"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (500, "http://localhost:3000")


# ---- no database -----------------------------------------------------------------------------------------------------


def client_of(running):
    headers = {"Content-Type": "application/fhir+json"}
    return httpx.Client(base_url=running.base, headers=headers, timeout=60)


def unavailable(answer):
    assert int(answer.headers["retry-after"]) > 0
    assert not INSIDES.search(answer.text)
    found = problem(answer)
    assert found.status == 503
    return found


def test_a_database_that_goes_away_is_said_and_its_return_needs_nobody(tmp_path):
    with ExitStack() as stack:
        with PrivateMongo(tmp_path, cache_mb=256, start_timeout_s=60) as mongo:
            running = stack.enter_context(RunningServer(mongo.uri, "phb"))
            client = stack.enter_context(client_of(running))
            assert client.put("/Patient/jill", json=person(id="jill")).status_code == 201
        without_database(running, client)
        with PrivateMongo(tmp_path, cache_mb=256, start_timeout_s=60):
            assert until(lambda: client.get("/Patient/jill").status_code == 200)
            assert client.get(running.root + "/health/ready").status_code == 200
            stack.close()  # the server ends before its database


def without_database(running, client):
    """All at once, as each waits for the driver to give the database up."""
    with ThreadPoolExecutor() as others:
        read = others.submit(client.get, "/Patient/jill")
        write = others.submit(client.put, "/Patient/new", json=person(id="new"))
        ready = others.submit(client.get, running.root + "/health/ready")
        assert client.get(running.root + "/health/live").json() == {"status": "ok", "reasons": []}
    text = "The database cannot be reached just now, while reading. Try again in a moment."
    assert unavailable(read.result())[1:3] == ("transient", text)
    assert unavailable(write.result()).code == "transient"
    assert (ready.result().status_code, ready.result().json()["status"]) == (503, "unavailable")


def test_a_server_whose_database_is_not_there_yet_says_so(tmp_path):
    with RunningServer("mongodb://127.0.0.1:9/?replicaSet=nowhere", "phb") as running, client_of(running) as client:
        for answer in (client.get("/Patient/jill"), client.post("/Patient", json=person()), client.get("/metadata")):
            found = unavailable(answer)
            assert found[1:3] == ("transient", "The server is starting and has not reached its database yet.")
        ready = client.get(running.root + "/health/ready")
        assert (ready.status_code, ready.json()) == (
            503, {"status": "unavailable", "reasons": ["the database has not been reached yet"]}
        )  # fmt: skip
        assert client.get(running.root + "/health/live").status_code == 200

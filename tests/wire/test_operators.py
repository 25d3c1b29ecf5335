"""What operators ask: is it alive, is it ready, how is it doing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from phb_fhir import __version__
from phb_fhir.store.indexes import INDEXES
from phb_fhir.wire.metrics import Metrics
from phb_fhir.wire.operators import build_operators
from tests.builders import person
from tests.processes import until
from tests.running import RunningServer

NAMES = [f"{collection}.{model.document['name']}" for collection, models in INDEXES.items() for model in models]


@pytest.fixture(scope="module")
def running(serve):
    return serve()


@pytest.fixture(scope="module")
def operator(running):
    with httpx.Client(base_url=running.root, timeout=30) as client:
        yield client


# ---- health ----------------------------------------------------------------------------------------------------------


def test_a_server_that_answers_is_alive(operator):
    answer = operator.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "reasons": []})


def test_a_server_with_its_database_and_its_indexes_is_ready(operator):
    answer = operator.get("/health/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "reasons": []})


@pytest.mark.parametrize(
    "address", ["/", "/health/live", "/health/ready", "/metrics", "/index", "/docs", "/openapi.json"]
)
def test_a_head_of_an_operators_address_tells_what_a_get_would(operator, address):
    got, head = operator.get(address), operator.head(address)
    assert (head.status_code, head.headers["content-type"]) == (200, got.headers["content-type"])
    assert (head.content, "content-length" in head.headers) == (b"", True)


@pytest.mark.parametrize("address", ["/", "/health/live", "/health/ready", "/metrics", "/index", "/docs"])
def test_options_names_the_methods_of_an_operators_address(operator, address):
    answer = operator.options(address)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["allow"] == operator.delete(address).headers["allow"] == "GET, HEAD, OPTIONS"
    assert operator.options("/nowhere").status_code == 404


@pytest.mark.parametrize("name", NAMES)
def test_a_server_that_misses_an_index_is_not_ready_until_it_is_back(running, operator, mongodb_admin, name):
    collection, _, index = name.partition(".")
    database = mongodb_admin[running.settings.mongodb_database]
    database[collection].drop_index(index)
    answer = operator.get("/health/ready")
    assert (answer.status_code, answer.json()) == (
        503,
        {"status": "unavailable", "reasons": [f"the index {name} is missing"]},
    )
    assert operator.get("/health/live").status_code == 200
    (model,) = (model for model in INDEXES[collection] if model.document["name"] == index)
    database[collection].create_indexes([model])
    assert operator.get("/health/ready").status_code == 200


def test_a_server_whose_database_was_dropped_is_not_ready_and_makes_it_anew_at_the_next_start(
    mongodb_uri, mongodb_admin, serve
):
    running = serve()
    mongodb_admin.drop_database(running.settings.mongodb_database)
    answer = httpx.get(running.root + "/health/ready")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == [f"the index {name} is missing" for name in NAMES]
    again = type(running)(mongodb_uri, running.settings.mongodb_database)
    with again:
        assert httpx.get(again.root + "/health/ready").status_code == 200


def test_the_page_for_operators_describes_these_addresses(operator):
    described = operator.get("/openapi.json").json()
    assert described["info"]["version"] == __version__
    assert set(described["paths"]) == {"/health/live", "/health/ready", "/index", "/metrics"}


def test_how_far_resources_are_indexed_is_told_as_soon_as_the_database_is_reached(operator):
    answer = operator.get("/index")
    assert (answer.status_code, answer.json()["status"]) == (200, "idle")

    async def not_reached() -> httpx.Response:
        app = build_operators(_nothing, lambda: None, Metrics())
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://server") as client:
            return await client.get("/index")

    answer = asyncio.run(not_reached())
    reasons = ["the database has not been reached yet"]
    assert (answer.status_code, answer.json()) == (503, {"status": "unavailable", "reasons": reasons})


@asynccontextmanager
async def _nothing(_app):
    yield


@pytest.mark.parametrize("address", ["/health/live", "/health/ready", "/index", "/metrics", "/"])
def test_a_method_that_an_operators_address_does_not_have_is_refused(operator, address):
    answer = operator.post(address)
    assert answer.status_code == 405
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


# ---- metrics ---------------------------------------------------------------------------------------------------------


def samples(operator):
    """Every number of /metrics by its name and labels."""
    answer = operator.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def requests_of(found):
    return {
        (labels["interaction"], labels["type"], labels["status"]): value
        for (name, pairs), value in found.items()
        if name == "phb_fhir_requests_total"
        for labels in [dict(pairs)]
    }


def test_requests_are_counted_by_interaction_type_and_status(api, shelf, server):
    shelf.begin()
    calls = [
        ("PUT", "/Patient/jill", {"json": person(id="jill")}, ("update", "Patient", "201")),
        ("GET", "/Patient/jill", {}, ("read", "Patient", "200")),
        ("HEAD", "/Patient/jill", {}, ("read", "Patient", "200")),
        ("GET", "/Patient/jill", {"headers": {"If-None-Match": 'W/"1"'}}, ("read", "Patient", "304")),
        ("GET", "/Patient/nobody", {}, ("read", "Patient", "404")),
        ("GET", "/Patient/jill/_history/1", {}, ("vread", "Patient", "200")),
        ("GET", "/Patient/jill/_history", {}, ("history-instance", "Patient", "200")),
        ("GET", "/Patient/_history", {}, ("history-type", "Patient", "200")),
        ("GET", "/_history", {}, ("history-system", "", "200")),
        ("GET", "/Patient?_id=x", {}, ("search-type", "Patient", "200")),
        ("GET", "/Patient?colour=x", {}, ("search-type", "Patient", "400")),
        ("GET", "/?_id=x", {}, ("search-system", "", "200")),
        ("POST", "/Patient", {"json": person()}, ("create", "Patient", "201")),
        ("POST", "/", {"json": {"resourceType": "Bundle", "type": "batch"}}, ("bundle", "", "200")),
        ("DELETE", "/Patient/jill", {}, ("delete", "Patient", "204")),
        ("GET", "/metadata", {}, ("capabilities", "", "200")),
        ("GET", "/Xyzzy/1", {}, ("other", "", "404")),
        ("GET", server.root + "/health/live", {}, ("other", "", "200")),
    ]
    before = requests_of(samples_of(server))
    for method, address, more, _ in calls:
        api.request(method, address, **more)
    expected = dict(before)
    for *_, cell in calls:
        expected[cell] = expected.get(cell, 0) + 1
    cell = ("other", "", "200")  # the looking itself
    expected[cell] = expected.get(cell, 0) + 1
    assert requests_of(samples_of(server)) == expected


def samples_of(server):
    with httpx.Client(base_url=server.root) as client:
        return samples(client)


def test_whatever_is_asked_for_the_number_of_series_is_bounded(operator):
    before = set(samples(operator))
    for number in range(50):
        operator.get(f"/fhir/Type{number}/1")
        operator.get(f"/fhir/Patient/nobody-{number}")
        operator.request(f"VERB{number}", "/fhir/Patient")
    new = {pairs for name, pairs in set(samples(operator)) - before if name == "phb_fhir_requests_total"}
    assert len(new) <= 3
    assert not any("nobody" in value or "Type1" in value for pairs in new for _, value in pairs)


def test_durations_connections_and_mongodb_commands_are_measured(operator):
    operator.put("/fhir/Patient/jill", json=person(id="jill"), headers={"Content-Type": "application/fhir+json"})
    operator.get("/fhir/Patient/jill")
    found = samples(operator)

    def value(name, **labels):
        return found[name, frozenset(labels.items())]

    reads = value("phb_fhir_request_seconds_count", interaction="read")
    assert reads > 0
    assert value("phb_fhir_request_seconds_bucket", interaction="read", le="+Inf") == reads
    assert value("phb_fhir_request_seconds_sum", interaction="read") > 0
    assert value("phb_fhir_mongodb_command_seconds_count", command="find", outcome="ok") > 0
    assert value("phb_fhir_mongodb_command_seconds_count", command="insert", outcome="ok") > 0
    assert value("phb_fhir_mongodb_connections", state="open") > 0
    assert value("phb_fhir_mongodb_connections", state="in use") >= 0
    assert value("phb_fhir_requests_under_way") == 1  # the one that asks


def test_nothing_stays_under_way_after_it_was_answered(operator):
    operator.get("/fhir/Patient/nobody")
    under_way = ("phb_fhir_requests_under_way", frozenset())
    assert until(lambda: samples(operator)[under_way] == 1, 10)


# ---- a disk that is nearly full --------------------------------------------------------------------------------------


def test_a_server_whose_disk_is_nearly_full_is_read_from_and_says_so(mongodb_uri, database_name):
    with RunningServer(mongodb_uri, database_name, guide=True) as before:
        made = httpx.post(before.base + "/Patient", json=person(), timeout=30)
        assert made.status_code == 201
    with RunningServer(mongodb_uri, database_name, guide=True, disk_free_mb_min=1_000_000_000) as short:
        for refused in (
            httpx.post(short.base + "/Patient", json=person(), timeout=30),
            httpx.delete(f"{short.base}/Patient/{made.json()['id']}", timeout=30),
        ):
            assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
            (issue,) = refused.json()["issue"]
            assert issue["code"] == "no-store"
            assert issue["details"]["text"].startswith("The disk of the database is nearly full, so nothing is written")
        assert httpx.get(f"{short.base}/Patient/{made.json()['id']}").json() == made.json()
        assert httpx.get(f"{short.base}/Patient?_summary=count").json()["total"] == 1
        ready = httpx.get(short.root + "/health/ready")
        (reason,) = ready.json()["reasons"]
        assert (ready.status_code, ready.json()["status"]) == (200, "ok")
        assert reason.startswith("the disk of the database has ")
        assert reason.endswith(" MB left, and nothing is written below 1000000000 (PHB_DISK_FREE_MB_MIN)")
        assert "phb_fhir_mongodb_disk_free_bytes" in httpx.get(short.root + "/metrics").text

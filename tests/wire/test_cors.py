"""Pages in a browser: those of this machine may call the API, others only when the settings name their origin."""

from __future__ import annotations

import httpx
import pytest

from tests.builders import person, problem

APP = "https://app.example.org"
STRANGER = "https://stranger.example"
LOOPBACK = ["http://localhost", "http://localhost:3000", "https://127.0.0.1:8443", "http://[::1]:5173"]
NOT_LOOPBACK = [
    STRANGER,
    "http://localhost.stranger.example",
    "http://127.0.0.1.stranger.example",
    "http://stranger.example:80",
    "null",
    "file://",
    "http://localhost:3000.stranger.example",
]


@pytest.fixture(scope="module")
def named(serve):
    """A client of a server whose settings name an origin."""
    with httpx.Client(base_url=serve(cors_origins=(APP,)).base, timeout=30) as client:
        yield client


def preflight(client, origin, method="PUT", path="/Patient/jill", asked="content-type,if-match,prefer,x-request-id"):
    headers = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": asked}
    return client.options(path, headers=headers)


@pytest.mark.parametrize("origin", LOOPBACK)
def test_a_page_of_this_machine_may_call(api, origin):
    answer = api.get("/metadata", headers={"Origin": origin})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["vary"].split(", ").count("Origin") == 1


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"])
def test_a_preflight_of_this_machine_allows_every_method_and_header_of_fhir(api, method):
    answer = preflight(api, "http://localhost:3000", method)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert method in answer.headers["access-control-allow-methods"].split(", ")
    assert answer.headers["access-control-allow-headers"] == "content-type,if-match,prefer,x-request-id"
    assert "x-request-id" in answer.headers


@pytest.mark.parametrize("origin", NOT_LOOPBACK)
def test_a_page_from_elsewhere_is_not_told_anything(api, origin):
    api.put("/Patient/jill", json=person(id="jill"))
    answer = api.get("/Patient/jill", headers={"Origin": origin})
    assert "access-control-allow-origin" not in answer.headers
    refused = preflight(api, origin)
    assert "access-control-allow-origin" not in refused.headers
    found = problem(refused)
    assert found[:2] == (403, "forbidden")
    assert found.text == f"Pages of {origin} may not call this server; PHB_CORS_ORIGINS names those that may."


def test_an_origin_in_the_settings_may_call_and_so_may_this_machine(named):
    for origin in (APP, LOOPBACK[1]):
        assert named.get("/metadata", headers={"Origin": origin}).headers["access-control-allow-origin"] == origin
        assert preflight(named, origin).headers["access-control-allow-origin"] == origin
    assert "access-control-allow-origin" not in named.get("/metadata", headers={"Origin": STRANGER}).headers
    assert preflight(named, STRANGER).status_code == 403


def test_a_star_in_the_settings_lets_every_page_call(serve):
    with httpx.Client(base_url=serve(cors_origins=("*",)).base, timeout=30) as client:
        assert client.get("/metadata", headers={"Origin": STRANGER}).headers["access-control-allow-origin"] == "*"
        assert preflight(client, STRANGER).headers["access-control-allow-origin"] in ("*", STRANGER)


def test_a_page_may_read_the_headers_that_fhir_needs(api):
    answer = api.put("/Patient/jill", json=person(id="jill"), headers={"Origin": "http://localhost"})
    shown = set(answer.headers["access-control-expose-headers"].split(", "))
    fhir = {"ETag", "Location", "Last-Modified", "X-Request-ID", "Content-Location"}
    assert shown == fhir | {"Retry-After", "RateLimit", "RateLimit-Policy", "WWW-Authenticate"}


def test_a_page_can_read_why_it_was_refused(api):
    answer = api.get("/Patient/nobody", headers={"Origin": "http://localhost"})
    assert answer.headers["access-control-allow-origin"] == "http://localhost"
    assert problem(answer)[:2] == (404, "not-found")


def test_no_page_gets_credentials_sent_along(api):
    assert "access-control-allow-credentials" not in preflight(api, "http://localhost").headers


def test_a_preflight_for_a_method_that_is_not_fhirs_is_refused(api):
    assert problem(preflight(api, "http://localhost", "TRACE"))[:2] == (403, "forbidden")


# ---- what a browser sends without asking ------------------------------------------------------------------------------


def test_an_open_server_takes_no_write_from_a_page_of_elsewhere(api):
    sent = [
        api.post("/Binary", content=b"planted", headers={"Content-Type": "text/plain", "Origin": STRANGER}),
        api.post("/Patient", json=person(), headers={"Origin": "null"}),
    ]
    assert [problem(answer)[:2] for answer in sent] == [(403, "forbidden")] * 2
    assert api.get("/_history").json()["total"] == 0
    taken = api.post("/Binary", content=b"meant", headers={"Content-Type": "text/plain", "Origin": LOOPBACK[0]})
    assert taken.status_code == 201


# ---- the host a browser believes it is talking to (DNS rebinding) ----------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_an_open_server_answers_under_the_names_of_loopback(api, server, host):
    port = server.settings.port
    found = api.get("/Patient", headers={"Host": f"{host}:{port}"}).json()
    assert found["link"] == [{"relation": "self", "url": f"http://{host}:{port}/fhir/Patient"}]


@pytest.mark.parametrize(
    "host", ["stranger.example", "localhost.stranger.example", "192.0.2.1:8000", "[::1", "[1]", ""]
)
def test_an_open_server_does_not_answer_under_another_name(api, host):
    api.put("/Patient/jill", json=person(id="jill"))
    answer = api.get("/Patient/jill", headers={"Host": host})
    assert problem(answer)[:2] == (403, "forbidden")


@pytest.mark.parametrize(
    "host", ["localhost:8000/elsewhere", "localhost:123456", "somebody@localhost", "localhost?a=b", "localhost,x"]
)
def test_what_is_more_than_a_name_and_a_port_stands_in_no_link(api, serve, host):
    assert problem(api.get("/Patient", headers={"Host": host}))[:2] == (403, "forbidden")
    guarded = serve(open=False, trust_local_key=True)
    found = httpx.get(f"{guarded.base}/metadata", headers={"Host": host}).json()
    assert found["implementation"]["url"] == guarded.base

"""What every answer tells browsers and caches, whoever gives it; and who may see what operators see."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest

from phb_fhir.settings import Settings
from phb_fhir.wire.exchange import Exchange
from phb_fhir.wire.operators import Gate
from phb_fhir.wire.safeguards import page_policy
from tests.builders import person

ALWAYS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
}
STRANGER = {"Origin": "http://x.example", "Access-Control-Request-Method": "PUT"}


@pytest.mark.parametrize(
    ("method", "address", "headers", "status"),
    [
        ("GET", "/fhir/Patient/jill", {}, 200),
        ("HEAD", "/fhir/Patient/jill", {}, 200),
        ("GET", "/fhir/Patient/jill", {"If-None-Match": 'W/"1"'}, 304),
        ("GET", "/fhir/Patient/nobody", {}, 404),
        ("GET", "/fhir/Patient?colour=blue", {}, 400),
        ("GET", "/fhir/Patient", {"Accept": "text/html"}, 406),
        ("PUT", "/fhir/Patient/jill", {"Content-Type": "text/html"}, 415),
        ("DELETE", "/fhir/Patient/nobody", {}, 204),
        ("OPTIONS", "/fhir/Patient", {}, 204),
        ("OPTIONS", "/fhir/Patient", STRANGER, 403),
        ("GET", "/fhir/metadata", {"Origin": "http://localhost:3000"}, 200),
        ("GET", "/fhir/metadata", {"Host": "stranger.example"}, 403),
        ("GET", "/health/live", {}, 200),
        ("GET", "/metrics", {}, 200),
        ("GET", "/openapi.json", {}, 200),
        ("GET", "/nowhere", {}, 404),
        ("POST", "/metrics", {}, 405),
    ],
)
def test_every_answer_has_the_safeguards_once(api, server, method, address, headers, status):
    api.put("/Patient/jill", json=person(id="jill"))
    answer = api.request(method, server.root + address, headers=headers)
    assert answer.status_code == status
    assert {name: answer.headers.get_list(name) for name in ALWAYS} == {name: [value] for name, value in ALWAYS.items()}
    assert "strict-transport-security" not in answer.headers  # it is not served over TLS


def test_a_version_that_the_client_remembers_is_not_sent_again_though_no_cache_may_keep_it(api):
    first = api.put("/Patient/jill", json=person(id="jill"))
    again = api.get("/Patient/jill", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["cache-control"]) == (304, b"", "no-store")


@pytest.mark.parametrize("base_url", ["https://phb.example.nhs.uk/fhir", None])
def test_behind_https_browsers_are_told_to_come_back_by_https_alone(serve, base_url):
    running = serve(base_url=base_url)
    said = httpx.get(running.root + "/health/live").headers.get("strict-transport-security")
    assert said == ("max-age=31536000" if base_url else None)


def test_the_operators_page_runs_its_scripts_and_may_ask_the_operators_addresses_and_nothing_else(api, server):
    page = api.get(server.root + "/docs")
    (policy,) = page.headers.get_list("content-security-policy")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert page.status_code == 200
    assert rules["default-src"] == rules["frame-ancestors"] == "'none'"
    for source in re.findall(r'(?:src|href)="(https://[^"]+\.(?:js|css))"', page.text):
        kind = "script-src" if source.endswith(".js") else "style-src"
        assert any(source.startswith(allowed) for allowed in rules[kind].split())
    assert "<script>" in page.text
    assert "'unsafe-inline'" in rules["script-src"]
    (described,) = re.findall(r"url: '([^']+)'", page.text)
    assert server.root + described in rules["connect-src"].split()
    assert set(rules["connect-src"].split()) == {
        server.root + path for path in ("/openapi.json", "/health/", "/index", "/metrics")
    }
    assert {name: page.headers[name] for name in list(ALWAYS)[:4]} == {name: ALWAYS[name] for name in list(ALWAYS)[:4]}


@pytest.mark.parametrize("host", [b"x; script-src *", b"a b", b"'self'", b"", b"x/y", b"[::1", b"h:1; x", b"\xff"])
def test_no_host_writes_itself_into_the_policy_of_the_page(host):
    _, policy = page_policy({"scheme": "http", "headers": [(b"host", host)]})
    assert b"connect-src 'none'; base-uri" in policy


@pytest.mark.parametrize("host", [b"localhost:8000", b"[::1]:8000", b"phb.example.nhs.uk"])
def test_a_host_that_can_be_one_is_what_the_page_may_ask(host):
    _, policy = page_policy({"scheme": "https", "headers": [(b"host", host)]})
    assert b"connect-src https://" + host + b"/openapi.json " in policy


def test_the_other_page_with_scripts_of_strangers_is_not_there(api, server):
    assert api.get(server.root + "/redoc").status_code == 404


# ---- who is an operator ----------------------------------------------------------------------------------------------

FOR_ANYBODY = ["/", "/health/live", "/health/ready"]
FOR_OPERATORS = ["/metrics", "/index", "/docs", "/openapi.json", "/docs/oauth2-redirect", "/anything"]


async def _app(scope, _receive, send):
    is_told = b"reasons" if scope.get("phb.operator", True) else b"one word"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": is_told})


def ask(path, address, headers=None, **chosen):
    async def asked():
        gate = Gate(_app, Settings(**chosen))

        async def known(scope, receive, send):
            scope["phb.exchange"] = Exchange("1", address=address)
            await gate(scope, receive, send)

        transport = httpx.ASGITransport(app=known)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(asked())


@pytest.mark.parametrize("path", FOR_OPERATORS)
@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", ""])
def test_a_stranger_does_not_see_what_operators_see(path, address):
    found = problem_of(ask(path, address))
    assert found == (
        403,
        f"{path} is for operators: it is shown at this machine, and to the addresses that PHB_OPERATORS names.",
    )


def problem_of(answer):
    return answer.status_code, answer.json()["issue"][0]["diagnostics"]


@pytest.mark.parametrize("path", FOR_ANYBODY)
def test_a_stranger_hears_whether_it_is_well_and_not_why(path):
    answer = ask(path, "192.0.2.1")
    assert (answer.status_code, answer.text) == (200, "one word")


@pytest.mark.parametrize("path", [*FOR_OPERATORS, *FOR_ANYBODY])
@pytest.mark.parametrize(
    ("address", "chosen"),
    [
        ("127.0.0.1", {}),
        ("::1", {}),
        ("10.1.2.3", {"operators": "192.0.2.1,10.0.0.0/8"}),
        ("192.0.2.1", {"operators": "192.0.2.1,10.0.0.0/8"}),
        ("192.0.2.7", {"open": True}),
    ],
)
def test_an_operator_sees_all_of_it(path, address, chosen):
    answer = ask(path, address, **chosen)
    assert (answer.status_code, answer.text) == (200, "reasons")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_who_comes_through_a_proxy_that_was_not_named_is_not_at_this_machine(header):
    assert ask("/metrics", "127.0.0.1", {header: "127.0.0.1"}).status_code == 403
    assert ask("/metrics", "127.0.0.1", {header: "x"}, trusted_proxies="127.0.0.1").status_code == 200


def test_a_real_server_shows_its_metrics_at_this_machine_and_not_through_a_proxy(serve):
    running = serve(open=False)
    assert httpx.get(running.root + "/metrics").status_code == 200
    refused = httpx.get(running.root + "/metrics", headers={"X-Forwarded-For": "192.0.2.1"})
    assert refused.status_code == 403
    assert "phb_fhir_requests" not in refused.text

"""How often one may ask, as a client sees it: 429, Retry-After, and the RateLimit fields of the draft."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from phb_fhir.outcome import Refusal, Rejected
from phb_fhir.security.actor import Actor
from phb_fhir.settings import Settings
from phb_fhir.wire.admission import Admission
from phb_fhir.wire.exchange import Exchange
from phb_fhir.wire.limits import RateLimits
from phb_fhir.wire.log import RequestLog
from phb_fhir.wire.metrics import Metrics
from phb_fhir.wire.middleware import Edge
from tests.builders import problem
from tests.running import secure_server
from tests.security.issuing import RunningIssuer, authenticator

JILL = Actor("https://issuer.example", "jill", client="app")
ASHA = Actor("https://issuer.example", "asha", client="app")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def settings(**given):
    return Settings(rate_window_s=60, **{"rate_client_max": 3, "rate_address_max": 3, "rate_failed_max": 2, **given})


async def nothing(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def asker(chosen, clock):
    """A function that asks the edge of a server with these settings from an address."""
    edge = Edge(nothing, chosen, Metrics(), RequestLog("json"), RateLimits(chosen, clock))

    def ask(path="/fhir/metadata", address="192.0.2.1", method="GET", **headers):
        async def asked():
            transport = httpx.ASGITransport(app=edge, client=(address, 4711))
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
                return await client.request(method, path, headers=named)

        return asyncio.run(asked())

    return ask


# ---- from a page -----------------------------------------------------------------------------------------------------


def test_a_page_can_read_that_it_is_to_wait_and_the_question_whether_it_may_ask_counts_for_nothing(clock):
    ask, page = asker(settings(), clock), "http://localhost:3000"

    def preflight():
        return ask(method="OPTIONS", Origin=page, Access_Control_Request_Method="GET")

    assert [preflight().status_code for _ in range(5)] == [200] * 5
    answers = [ask(Origin=page) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert {answer.headers["access-control-allow-origin"] for answer in answers} == {page}
    assert "Retry-After" in answers[-1].headers["access-control-expose-headers"]
    assert preflight().status_code == 200


# ---- without a token -------------------------------------------------------------------------------------------------


def test_each_answer_says_what_is_left_and_past_it_the_next_is_refused_with_the_time_to_wait(clock):
    ask = asker(settings(), clock)
    answers = [ask() for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"address";q=3;w=60'}
    assert [answer.headers["ratelimit"] for answer in answers] == [
        '"address";r=2;t=40',
        '"address";r=1;t=40',
        '"address";r=0;t=60',
        '"address";r=0;t=20',
    ]
    assert [answer.headers.get("retry-after") for answer in answers] == [None, None, None, "20"]
    text = (
        "3 requests in 60 seconds came from this address without a token, which is as many as may. "
        "Nothing was done of this one; ask again in 20 seconds."
    )
    assert problem(answers[3]) == (429, "throttled", text, "")


def test_who_waits_as_long_as_was_said_is_answered(clock):
    ask = asker(settings(), clock)
    refused = [ask() for _ in range(4)][-1]
    clock.now += int(refused.headers["retry-after"]) - 1
    assert ask().status_code == 429
    clock.now += 1
    assert ask().status_code == 200


def test_another_address_is_not_held_to_it(clock):
    ask = asker(settings(), clock)
    assert [ask().status_code for _ in range(4)][-1] == 429
    assert ask(address="192.0.2.2").status_code == 200


def test_health_and_metrics_are_not_counted(clock):
    ask = asker(settings(), clock)
    answers = [ask("/health/live") for _ in range(10)]
    assert {answer.status_code for answer in answers} == {200}
    assert not any("ratelimit" in answer.headers for answer in answers)


def test_who_brings_a_token_is_not_counted_by_address(clock):
    ask = asker(settings(), clock)
    assert {ask("/fhir/Patient/jill", Authorization="Bearer x").status_code for _ in range(10)} == {200}


@pytest.mark.parametrize(
    ("path", "token"),
    [
        ("/fhir/metadata", "Bearer x"),
        ("/fhir/metadata/", "Bearer x"),
        ("/fhir/Patient", " "),
        ("/fhir/.well-known/smart-configuration", "Bearer x"),
    ],
)
def test_a_token_that_nobody_looks_at_is_none(clock, path, token):
    ask = asker(settings(), clock)
    assert [ask(path, Authorization=token).status_code for _ in range(4)] == [200, 200, 200, 429]


@pytest.mark.parametrize("chosen", [settings(open=True), settings(rate_address_max=0)], ids=["open", "no limit"])
def test_where_there_is_no_limit_nobody_is_counted(clock, chosen):
    ask = asker(chosen, clock)
    answers = [ask() for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert not any("ratelimit" in answer.headers for answer in answers)


@pytest.mark.parametrize("wish", ["", "?_pretty=nicely", "?_format=image/png"])
def test_who_guesses_tokens_is_counted_however_they_want_to_be_answered(mongodb_uri, wish):
    with secure_server(mongodb_uri, rate_failed_max=3) as (server, _):
        headers = {"Authorization": "Bearer nonsense"}
        answers = [httpx.get(f"{server.base}/Patient/jill{wish}", headers=headers).status_code for _ in range(5)]
    assert answers == [401, 401, 401, 429, 429]


def test_who_brings_tokens_that_nobody_can_judge_just_now_is_counted_by_address(clock):
    """While their issuer is away."""
    with RunningIssuer() as issuer:
        token = issuer.token()
        issuer.stop()
        server = authenticator(issuer.configured())
        admission = Admission(server, RateLimits(settings(), clock))

        async def refused():
            heard = []
            for _ in range(5):
                with pytest.raises(Rejected) as rejected:
                    await admission.actor_of({b"authorization": f"Bearer {token}".encode()}, Exchange("1"))
                heard.append(rejected.value.refusal)
            await server.close()
            return heard

        heard = asyncio.run(refused())
    assert heard == [Refusal.UNAVAILABLE] * 3 + [Refusal.TOO_MANY] * 2


def test_a_real_server_refuses_the_one_too_many_and_stays_watchable(serve):
    running = serve(open=False, rate_address_max=2, rate_window_s=3600)
    with httpx.Client(base_url=running.root, timeout=30) as client:
        statuses = [client.get("/fhir/metadata").status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert client.get("/health/ready").status_code == 200


# ---- behind a proxy --------------------------------------------------------------------------------------------------


def test_behind_a_trusted_proxy_each_client_has_its_own_rate_and_cannot_choose_another(clock):
    ask = asker(settings(trusted_proxies="10.0.0.0/8"), clock)

    def from_(forwarded):
        return ask(address="10.0.0.1", X_Forwarded_For=forwarded).status_code

    assert [from_("192.0.2.1") for _ in range(4)] == [200, 200, 200, 429]
    assert from_("192.0.2.2") == 200
    assert from_("198.51.100.7, 192.0.2.1") == 429  # what it invents stands before what the proxy adds
    assert from_("192.0.2.1, 10.0.0.9") == 429  # a second proxy


def test_without_a_trusted_proxy_what_is_forwarded_means_nothing(clock):
    ask = asker(settings(), clock)
    assert [ask(X_Forwarded_For=f"192.0.2.{number}").status_code for number in range(4)] == [200, 200, 200, 429]


# ---- with a token ----------------------------------------------------------------------------------------------------


def test_a_signed_in_client_has_a_rate_of_its_own_wherever_it_asks_from(clock):
    limits = RateLimits(settings(), clock)
    for number in range(3):
        exchange = Exchange("1", address=f"192.0.2.{number}")
        limits.take(exchange, JILL)
        assert (exchange.standing.taken, exchange.standing.left) == (True, 2 - number)
    refused = Exchange("1", address="192.0.2.9")
    with pytest.raises(Rejected) as rejected:
        limits.take(refused, JILL)
    assert rejected.value.issues[0].text == (
        "This client has asked 3 times in 60 seconds, which is as often as it may. "
        "Nothing was done of this one; ask again in 20 seconds."
    )
    assert not refused.standing.taken
    limits.take(Exchange("1"), ASHA)


def test_after_too_many_wrong_tokens_no_more_are_looked_at_from_there_for_a_while(clock):
    limits = RateLimits(settings(), clock)
    guesser = Exchange("1", address="192.0.2.1")
    for _ in range(2):
        limits.check_may_try(guesser)
        limits.note_failure(guesser)
    assert guesser.standing is None  # what is left is not told: others may be behind the same address
    with pytest.raises(Rejected) as rejected:
        limits.check_may_try(guesser)
    assert rejected.value.issues[0].text == (
        "2 tokens in 60 seconds came from this address that were not right, which is as many as may. "
        "Nothing was done of this one; ask again in 30 seconds."
    )
    limits.check_may_try(Exchange("1", address="192.0.2.2"))
    limits.take(Exchange("1", address="192.0.2.1"), JILL)  # a token that is known
    clock.now += 30
    limits.check_may_try(guesser)


def test_many_right_tokens_are_no_failures(clock):
    limits = RateLimits(settings(), clock)
    several = Exchange("1", address="192.0.2.1")
    for _ in range(100):
        limits.check_may_try(several)
    for _ in range(2):  # and those who come in have all their wrong ones left
        limits.check_may_try(several)
        limits.note_failure(several)
    with pytest.raises(Rejected, match="2 tokens in 60 seconds came from this address"):
        limits.check_may_try(several)

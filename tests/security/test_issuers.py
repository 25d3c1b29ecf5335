"""An issuer in all its moods: found by discovery, changing keys, away, slow, lying; and what is remembered of it meanwhile."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from phb_fhir.outcome import Refusal, Rejected
from phb_fhir.security.actor import Actor
from phb_fhir.security.authenticate import Authenticator
from phb_fhir.security.fetch import NotReached
from phb_fhir.security.issuers import addresses_in
from tests.security.issuing import Clocks, Key, RunningIssuer, authenticator

T = TypeVar("T")

AWAY = "The issuer of the token cannot be asked for its keys just now, so nobody can tell whether the token is right."
NO_SUCH_KEY = "The token is signed with a key that its issuer does not have."
DISCOVERY = "/.well-known/openid-configuration"
OAUTH_DISCOVERY = "/.well-known/oauth-authorization-server"


@pytest.fixture
def issuer() -> Iterator[RunningIssuer]:
    with RunningIssuer() as running:
        yield running


def run(server: Authenticator, work: Callable[[], Awaitable[T]]) -> T:
    async def all_of_it() -> T:
        try:
            return await work()
        finally:
            await server.close()

    return asyncio.run(all_of_it())


async def heard(server: Authenticator, token: str) -> Actor | tuple[Refusal, str]:
    try:
        return await server.actor_of(f"Bearer {token}")
    except Rejected as rejected:
        return rejected.refusal, rejected.issues[0].text


# ---- where keys come from ----------------------------------------------------------------------------------------


def test_keys_are_found_by_discovery_and_asked_for_once_for_many_tokens(issuer: RunningIssuer) -> None:
    server = authenticator(issuer.configured())

    async def work() -> list[Any]:
        return [await heard(server, issuer.token(jti=f"t-{number}")) for number in range(5)]

    assert [actor.token_id for actor in run(server, work)] == ["t-0", "t-1", "t-2", "t-3", "t-4"]
    assert issuer.asked == {DISCOVERY: 1, "/jwks": 1}


def test_requests_that_come_together_ask_an_issuer_once(issuer: RunningIssuer) -> None:
    server = authenticator(issuer.configured())

    async def work() -> list[Any]:
        return await asyncio.gather(*(heard(server, issuer.token(jti=f"t-{number}")) for number in range(50)))

    assert all(isinstance(answer, Actor) for answer in run(server, work))
    assert issuer.asked == {DISCOVERY: 1, "/jwks": 1}


def test_an_issuer_with_oauth_metadata_alone_is_found_too(issuer: RunningIssuer) -> None:
    issuer.answers[DISCOVERY] = 404
    issuer.answers[OAUTH_DISCOVERY] = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/jwks"}
    server = authenticator(issuer.configured())
    assert isinstance(run(server, lambda: heard(server, issuer.token())), Actor)


def test_keys_at_a_configured_address_need_no_discovery(issuer: RunningIssuer) -> None:
    issuer.answers[DISCOVERY] = 404
    server = authenticator(issuer.configured(jwks_uri=f"{issuer.url}/jwks"))
    assert isinstance(run(server, lambda: heard(server, issuer.token())), Actor)
    assert issuer.asked == {"/jwks": 1}


def test_keys_in_a_configured_file_need_no_network(issuer: RunningIssuer, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [issuer.keys[0].jwk()]}))
    server = authenticator(issuer.configured(jwks_file=file))

    async def work() -> list[Any]:
        return [
            await heard(server, issuer.token()),
            await heard(server, issuer.token(header={"kid": "x"})),
        ]

    right, unknown = run(server, work)
    assert isinstance(right, Actor)
    assert unknown == (Refusal.UNAUTHENTICATED, NO_SUCH_KEY)
    assert issuer.asked == {}


@pytest.mark.parametrize(
    ("answers", "what"),
    [
        ({DISCOVERY: {"issuer": "https://evil.example", "jwks_uri": "{url}/jwks"}}, "names another issuer"),
        ({DISCOVERY: {"jwks_uri": "{url}/jwks"}}, "names no issuer"),
        ({DISCOVERY: {"issuer": "{url}"}}, "names no keys"),
        ({DISCOVERY: {"issuer": "{url}", "jwks_uri": "http://keys.example/jwks"}}, "has its keys where anybody can change them"),
        ({DISCOVERY: {"issuer": "{url}", "jwks_uri": 7}}, "has its keys at a number"),
        ({DISCOVERY: ["{url}"]}, "describes itself by a list"),
        ({DISCOVERY: b"<html>"}, "describes itself by a page"),
        ({DISCOVERY: 302}, "sends us elsewhere"),
        ({DISCOVERY: 500}, "is broken"),
        ({"/jwks": 302}, "sends us elsewhere for its keys"),
        ({"/jwks": {"keys": []}}, "has no keys"),
        ({"/jwks": {"keys": "rs"}}, "has a text for keys"),
        ({"/jwks": {"keys": [7, None, {"kty": "oct", "k": "AAAA"}, {"kty": "RSA"}, {"kty": "EC", "crv": "P-1", "x": "", "y": ""}]}}, "has keys that are none"),
        ({"/jwks": b'{"keys":[' + b" " * 20_000 + b"]}"}, "has more to say than is read"),
    ],
)  # fmt: skip
def test_an_issuer_that_is_not_to_be_relied_on_lets_nobody_in_until_it_is(
    issuer: RunningIssuer, answers: dict[str, Any], what: str
) -> None:
    for path, said in answers.items():
        issuer.answers[path] = (
            said if isinstance(said, int | bytes) else json.loads(json.dumps(said).replace("{url}", issuer.url))
        )
    clocks = Clocks()
    server = authenticator(issuer.configured(), clocks=clocks, issuer_bytes_max=10_000)

    async def work() -> tuple[Any, Any]:
        before = await heard(server, issuer.token())
        issuer.answers.clear()
        clocks.pass_(10)
        return before, await heard(server, issuer.token())

    before, after = run(server, work)
    assert before == (Refusal.UNAVAILABLE, AWAY)
    assert isinstance(after, Actor)
    assert issuer.asked["/elsewhere"] == 0


def test_keys_of_kinds_that_are_not_known_here_do_not_keep_the_others_from_serving(issuer: RunningIssuer) -> None:
    issuer.answers["/jwks"] = {"keys": [{"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}, 7, issuer.keys[0].jwk()]}
    server = authenticator(issuer.configured())
    assert isinstance(run(server, lambda: heard(server, issuer.token())), Actor)


@pytest.mark.parametrize("said", [None, 5, True, "verify", {"verify": 1}, 1.5])
def test_a_key_that_says_in_no_list_what_it_is_for_keeps_no_other_from_serving(
    issuer: RunningIssuer, said: Any
) -> None:
    issuer.answers["/jwks"] = {"keys": [Key("RS256", "odd", key_ops=said).jwk(), issuer.keys[0].jwk()]}
    server = authenticator(issuer.configured())
    assert isinstance(run(server, lambda: heard(server, issuer.token())), Actor)


# ---- keys that change --------------------------------------------------------------------------------------------


def test_a_token_of_a_new_key_is_let_in_as_soon_as_the_issuer_may_be_asked_again(issuer: RunningIssuer) -> None:
    clocks = Clocks()
    server = authenticator(issuer.configured(), clocks=clocks, keys_retry_min_s=10)
    new = Key("RS256", "two")

    async def work() -> list[Any]:
        answers = [await heard(server, issuer.token(jti="old"))]
        issuer.keys = [new, *issuer.keys]
        answers.append(await heard(server, issuer.token(new)))  # too soon after the first question
        clocks.pass_(10)
        answers.append(await heard(server, issuer.token(new)))
        answers.append(await heard(server, issuer.token(issuer.keys[1], jti="old again")))
        return answers

    first, too_soon, then, old = run(server, work)
    assert isinstance(first, Actor)
    assert too_soon == (Refusal.UNAUTHENTICATED, NO_SUCH_KEY)
    assert isinstance(then, Actor)
    assert isinstance(old, Actor)
    assert issuer.asked["/jwks"] == 2


def test_invented_key_ids_do_not_make_the_server_a_nuisance_to_the_issuer(issuer: RunningIssuer) -> None:
    clocks = Clocks()
    server = authenticator(issuer.configured(), clocks=clocks, keys_retry_min_s=10)

    async def work() -> None:
        for number in range(100):
            clocks.pass_(0.5)
            await asyncio.gather(
                *(heard(server, issuer.token(header={"kid": f"{number}-{again}"})) for again in range(3))
            )

    run(server, work)
    assert 3 <= issuer.asked["/jwks"] <= 6  # in fifty seconds


def test_a_key_that_the_issuer_took_back_is_no_longer_taken_once_keys_are_renewed(issuer: RunningIssuer) -> None:
    clocks = Clocks()
    server = authenticator(issuer.configured(), clocks=clocks, keys_life_s=100, token_trust_max_s=10)
    old, new = issuer.keys[0], Key("RS256", "two")

    async def work() -> list[Any]:
        answers = [await heard(server, issuer.token(old))]
        issuer.keys = [new]
        clocks.pass_(100)
        return [*answers, await heard(server, issuer.token(old)), await heard(server, issuer.token(new))]

    before, after, renewed = run(server, work)
    assert isinstance(before, Actor)
    assert after == (Refusal.UNAUTHENTICATED, NO_SUCH_KEY)
    assert isinstance(renewed, Actor)


# ---- an issuer that is away --------------------------------------------------------------------------------------


def test_the_keys_of_an_issuer_that_is_away_serve_for_the_stated_time_and_not_beyond(issuer: RunningIssuer) -> None:
    clocks = Clocks()
    server = authenticator(
        issuer.configured(), clocks=clocks, keys_life_s=100, keys_stale_max_s=1000, keys_retry_min_s=10
    )

    async def work() -> list[Any]:
        answers = [await heard(server, issuer.token(jti="1"))]
        issuer.stop()
        for number, seconds in enumerate((101, 898, 101)):  # stale, stale still, too old
            clocks.pass_(seconds)
            answers.append(await heard(server, issuer.token(jti=f"x{number}", exp=int(clocks.clock()) + 60)))
        issuer.start()
        clocks.pass_(10)
        answers.append(await heard(server, issuer.token(jti="5", exp=int(clocks.clock()) + 60)))
        return answers

    fresh, stale, stale_still, too_old, back = run(server, work)
    assert [type(it) for it in (fresh, stale, stale_still, back)] == [Actor] * 4
    assert too_old == (Refusal.UNAVAILABLE, AWAY)


def test_a_token_of_a_new_key_may_be_right_while_its_issuer_is_away(issuer: RunningIssuer) -> None:
    """Who is told that it is wrong throws it away. Once the issuer has been asked, a key that it does not have is one that it does not have."""
    clocks = Clocks()
    server = authenticator(issuer.configured(), clocks=clocks, keys_life_s=1000, keys_retry_min_s=10)
    new = Key("RS256", "two")

    async def work() -> list[Any]:
        answers = [await heard(server, issuer.token(jti="1"))]
        issuer.stop()
        for seconds in (10, 1):  # asked in vain, and not asked again so soon
            clocks.pass_(seconds)
            answers.append(await heard(server, issuer.token(new)))
        answers.append(await heard(server, issuer.token(jti="2")))  # of a key that is known
        issuer.start()
        clocks.pass_(10)
        answers.append(await heard(server, issuer.token(new)))
        issuer.keys = [new, *issuer.keys]
        clocks.pass_(10)
        return [*answers, await heard(server, issuer.token(new))]

    known, away, away_still, of_known_key, no_such_key, then = run(server, work)
    assert [type(it) for it in (known, of_known_key, then)] == [Actor] * 3
    assert away == away_still == (Refusal.UNAVAILABLE, AWAY)
    assert no_such_key == (Refusal.UNAUTHENTICATED, NO_SUCH_KEY)


def test_a_token_that_was_verified_is_let_in_while_its_issuer_is_away(issuer: RunningIssuer) -> None:
    clocks = Clocks()
    server = authenticator(issuer.configured(), clocks=clocks, token_trust_max_s=300)
    token = issuer.token()

    async def work() -> list[Any]:
        answers = [await heard(server, token)]
        issuer.stop()
        clocks.pass_(299)
        return [*answers, server.known(f"Bearer {token}".encode())]

    first, again = run(server, work)
    assert isinstance(first, Actor)
    assert again == first


def test_a_slow_issuer_is_not_waited_for_longer_than_it_may_take(issuer: RunningIssuer) -> None:
    told, has_answered = threading.Event(), threading.Event()

    def slowly(_headers: Any, _form: Any) -> int:
        told.wait(30)
        has_answered.set()
        return 500

    issuer.answers["/jwks"] = slowly
    server = authenticator(issuer.configured(), issuer_timeout_s=0.2)
    try:
        assert run(server, lambda: heard(server, issuer.token())) == (Refusal.UNAVAILABLE, AWAY)
        assert not has_answered.is_set()
    finally:
        told.set()


def test_one_issuer_that_is_away_keeps_nobody_of_another_out(issuer: RunningIssuer) -> None:
    with RunningIssuer() as other:
        server = authenticator(issuer.configured(), other.configured())
        issuer.stop()

        async def work() -> list[Any]:
            return [await heard(server, issuer.token()), await heard(server, other.token())]

        away, let_in = run(server, work)
    assert away == (Refusal.UNAVAILABLE, AWAY)
    assert isinstance(let_in, Actor)


# ---- what is remembered ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exp", "passed", "is_known"), [(600, 299, True), (600, 300, False), (100, 159, True), (100, 160, False)]
)
def test_a_token_is_remembered_until_it_expires_and_never_longer_than_stated(
    issuer: RunningIssuer, exp: int, passed: int, is_known: bool
) -> None:
    clocks = Clocks()
    server = authenticator(issuer.configured(), clocks=clocks, token_trust_max_s=300, clock_skew_max_s=60)
    header = f"Bearer {issuer.token(exp=int(clocks.clock()) + exp)}"

    async def work() -> bool:
        assert server.known(header.encode()) is None
        await server.actor_of(header)
        clocks.pass_(passed)
        return server.known(header.encode()) is not None

    assert run(server, work) is is_known


def test_no_more_tokens_are_remembered_than_stated_and_the_least_used_goes_first(issuer: RunningIssuer) -> None:
    server = authenticator(issuer.configured(), token_cache_max=10)
    headers = [f"Bearer {issuer.token(jti=str(number))}" for number in range(11)]

    async def work() -> list[bool]:
        for header in headers[:10]:
            await server.actor_of(header)
        server.known(headers[0].encode())
        await server.actor_of(headers[10])
        return [server.known(header.encode()) is not None for header in headers]

    assert run(server, work) == [True, False, *[True] * 9]


def test_a_remembered_token_is_known_by_its_scheme_and_its_whole_text(issuer: RunningIssuer) -> None:
    server = authenticator(issuer.configured())
    token = issuer.token()

    async def work() -> list[bool]:
        await server.actor_of(f"Bearer {token}")
        asked = (
            f"Bearer {token}",
            f"bearer {token}",
            f"Basics {token}",
            f"Bearer {token[:-1]}",
            f"Bearer {token}=",
            token,
        )
        return [server.known(header.encode()) is not None for header in asked]

    assert run(server, work) == [True, True, False, False, False, False]


def test_an_issuer_elsewhere_does_not_send_us_to_what_else_runs_on_this_machine() -> None:
    here, keys = "http://127.0.0.1:9200/introspect", "https://login.example.org/jwks"
    said = {"jwks_uri": keys, "introspection_endpoint": here}
    assert addresses_in(said, "https://login.example.org") == {"jwks_uri": keys}
    assert addresses_in(said, "http://127.0.0.1:8080") == said
    with pytest.raises(NotReached, match="where its keys are"):
        addresses_in({"jwks_uri": here}, "https://login.example.org")

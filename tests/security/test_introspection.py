"""Tokens that only their issuer can judge (RFC 7662), and holders that only it can name (UserInfo), over real HTTP."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from phb_fhir.outcome import Refusal, Rejected
from phb_fhir.security.actor import Actor
from phb_fhir.security.authenticate import Authenticator
from phb_fhir.security.trusted import Issuer
from tests.security.issuing import AUDIENCE, NOW, Clocks, RunningIssuer, authenticator

T = TypeVar("T")

INACTIVE = (
    Refusal.UNAUTHENTICATED,
    "The token is not active: it has expired, was revoked, or never was one.",
)
AWAY = (
    Refusal.UNAVAILABLE,
    "The issuer of the token does not answer just now, so nobody can tell whether the token is right.",
)
FORM = (Refusal.UNAUTHENTICATED, "The token is of a form that is not taken here.")
TOKEN = "2YotnFZFEjr1zCsicMWpAA"
SECRET = "s3cret: with space"


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningIssuer]:
    monkeypatch.setenv("TEST_CLIENT_SECRET", SECRET)
    with RunningIssuer() as running:
        running.answers["/introspect"] = active(running)
        yield running


def active(issuer: RunningIssuer, **changed: Any) -> dict[str, Any]:
    return {"active": True, "token_type": "Bearer", **issuer.claims(**changed)}


def asking(issuer: RunningIssuer, userinfo: bool = False, **more: Any) -> Issuer:
    how = {"client_id": "phb fhir", "client_secret_env": "TEST_CLIENT_SECRET", **more}
    return issuer.configured(introspection=how, userinfo=userinfo)


def run(server: Authenticator, work: Callable[[], Awaitable[T]]) -> T:
    async def all_of_it() -> T:
        try:
            return await work()
        finally:
            await server.close()

    return asyncio.run(all_of_it())


async def heard(server: Authenticator, token: str = TOKEN) -> Actor | tuple[Refusal, str]:
    try:
        return await server.actor_of(f"Bearer {token}")
    except Rejected as rejected:
        return rejected.refusal, rejected.issues[0].text


def test_an_opaque_token_is_what_its_issuer_says_and_is_asked_about_once(issuer: RunningIssuer) -> None:
    server = authenticator(asking(issuer))

    async def work() -> list[Any]:
        return await asyncio.gather(*(heard(server) for _ in range(20)))

    actors = run(server, work)
    assert {actor.subject for actor in actors} == {"jill-account"}
    assert actors[0].role == "person"
    assert issuer.asked["/introspect"] == 1
    _, headers, body = next(it for it in issuer.seen if it[0] == "/introspect")
    expected = base64.b64encode(b"phb%20fhir:s3cret%3A%20with%20space").decode()  # RFC 6749 §2.3.1
    assert headers["authorization"] == f"Basic {expected}"
    assert body == f"token={TOKEN}&token_type_hint=access_token".encode()


def test_a_token_of_no_issuer_who_may_be_asked_is_refused_and_sent_to_nobody(issuer: RunningIssuer) -> None:
    for configured in (issuer.configured(), asking(issuer, opaque=False)):
        server = authenticator(configured)
        assert run(server, lambda server=server: heard(server)) == FORM
    assert issuer.asked["/introspect"] == 0


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        ({}, None),
        ({"active": False}, INACTIVE),
        ({"active": "true"}, INACTIVE),
        ({"active": 1}, INACTIVE),
        ({"active": None}, INACTIVE),
        ({"iss": "https://evil.example"}, "The token is from nobody whose tokens are taken here."),
        ({"iss": None}, None),
        ({"aud": None}, "The token is for somebody else than this server."),
        ({"aud": "https://other.example"}, "The token is for somebody else than this server."),
        ({"aud": [AUDIENCE]}, None),
        ({"exp": int(NOW) - 61, "iat": None}, "The token has expired."),
        ({"exp": None}, None),
        ({"exp": "soon"}, "A time in the token is not a time."),
        ({"nbf": int(NOW) + 61}, "The token does not hold yet."),
        ({"token_type": "DPoP"}, "The token is bound to a key of the client, which a bearer token is not."),
        ({"cnf": {"jkt": "x"}}, "The token is bound to a key of the client, which a bearer token is not."),
        ({"token_type": None}, None),
        ({"sub": None}, None),  # then it is the application's own
        ({"sub": None, "client_id": None}, "The token does not say whose it is."),
        ({"sub": 7}, "The token does not say whose it is."),
    ],
)
def test_what_an_issuer_says_of_a_token_is_held_against_this_server(
    issuer: RunningIssuer, changed: dict[str, Any], outcome: Any
) -> None:
    said = {**active(issuer), **changed}
    issuer.answers["/introspect"] = {name: value for name, value in said.items() if value is not None}
    server = authenticator(asking(issuer))
    answer = run(server, lambda: heard(server))
    if outcome is None:
        assert isinstance(answer, Actor)
    else:
        assert answer == (outcome if isinstance(outcome, tuple) else (Refusal.UNAUTHENTICATED, outcome))


def test_an_answer_without_an_audience_is_taken_where_the_configuration_says_so(issuer: RunningIssuer) -> None:
    issuer.answers["/introspect"] = active(issuer, aud=None)
    server = authenticator(asking(issuer, audience_required=False))
    assert isinstance(run(server, lambda: heard(server)), Actor)


@pytest.mark.parametrize("answer", [500, 401, 302, b"<html>", [True]])
def test_an_issuer_that_gives_no_answer_lets_nobody_in_and_is_asked_again(issuer: RunningIssuer, answer: Any) -> None:
    issuer.answers["/introspect"] = answer
    server = authenticator(asking(issuer))

    async def work() -> list[Any]:
        before = await heard(server)
        issuer.answers["/introspect"] = active(issuer)
        return [before, await heard(server)]

    before, after = run(server, work)
    assert before == AWAY
    assert isinstance(after, Actor)


def test_a_token_that_was_revoked_falls_out_within_the_stated_time(issuer: RunningIssuer) -> None:
    clocks = Clocks()
    server = authenticator(asking(issuer), clocks=clocks, introspection_trust_max_s=30)

    async def work() -> list[Any]:
        answers = [await heard(server)]
        issuer.answers["/introspect"] = {"active": False}
        clocks.pass_(29)
        answers.append(await heard(server))
        clocks.pass_(1)
        return [*answers, await heard(server)]

    first, remembered, gone = run(server, work)
    assert isinstance(first, Actor)
    assert remembered == first
    assert gone == INACTIVE


def test_a_token_that_is_not_active_does_not_bother_its_issuer_again_and_again(issuer: RunningIssuer) -> None:
    issuer.answers["/introspect"] = {"active": False}
    clocks = Clocks()
    server = authenticator(asking(issuer), clocks=clocks, introspection_trust_max_s=30)

    async def work() -> list[Any]:
        answers = [await heard(server) for _ in range(10)]
        asked = issuer.asked["/introspect"]
        issuer.answers["/introspect"] = active(issuer)
        clocks.pass_(30)
        return [*answers, asked, await heard(server)]

    *inactive, asked, then = run(server, work)
    assert inactive == [INACTIVE] * 10
    assert asked == 1
    assert isinstance(then, Actor)


def test_a_jwt_of_an_issuer_that_is_always_asked_is_refused_once_it_was_revoked(issuer: RunningIssuer) -> None:
    clocks = Clocks()
    server = authenticator(asking(issuer, always=True), clocks=clocks, introspection_trust_max_s=30)
    token = issuer.token()

    async def work() -> list[Any]:
        answers = [await heard(server, token)]
        issuer.answers["/introspect"] = {"active": False}
        clocks.pass_(30)
        return [*answers, await heard(server, token)]

    first, gone = run(server, work)
    assert isinstance(first, Actor)
    assert gone == INACTIVE


def test_a_jwt_with_a_wrong_signature_is_not_saved_by_what_introspection_says(issuer: RunningIssuer) -> None:
    head, body, _ = issuer.token().split(".")
    server = authenticator(asking(issuer, always=True))
    answer = run(server, lambda: heard(server, f"{head}.{body}.{'A' * 342}"))
    assert answer == (Refusal.UNAUTHENTICATED, "The signature of the token is not right.")
    assert issuer.asked["/introspect"] == 0


def test_introspection_that_names_another_holder_is_refused(issuer: RunningIssuer) -> None:
    issuer.answers["/introspect"] = active(issuer, sub="somebody-else")
    server = authenticator(asking(issuer, always=True))
    answer = run(server, lambda: heard(server, issuer.token()))
    assert answer == (Refusal.UNAUTHENTICATED, "The issuer of the token says that somebody else holds it.")


@pytest.mark.parametrize(
    ("token", "answer", "left"),
    [
        ("user/*.cruds", {"scope": "user/Account.rs"}, {("user", "Account", "rs")}),
        ("user/Account.rs", {"scope": "user/*.cruds"}, {("user", "Account", "rs")}),  # it narrows, and never widens
        ("user/*.rs", {"scope": "patient/*.cruds"}, {("patient", "*", "rs")}),
        ("user/Account.rs user/Task.r", {"scope": "user/Task.cruds user/Goal.r"}, {("user", "Task", "r")}),
        ("user/Account.rs", {"scope": "openid"}, set()),
        ("user/Account.rs", {"scope": ""}, set()),
        ("user/Account.rs", {"scope": None}, set()),
        ("user/Account.rs", {}, {("user", "Account", "rs")}),
        ("openid", {"scope": "user/Goal.r"}, {("user", "Goal", "r")}),
        ("openid", {"scope": "openid"}, {("user", "*", "rs")}),  # what the configuration says stands in
    ],
)
def test_a_jwt_does_no_more_than_its_issuer_says_it_may_now(
    issuer: RunningIssuer, token: str, answer: dict[str, Any], left: set[tuple[str, str, str]]
) -> None:
    said = {name: value for name, value in active(issuer).items() if name != "scope"}
    issuer.answers["/introspect"] = said | answer
    how = {"client_id": "phb fhir", "client_secret_env": "TEST_CLIENT_SECRET", "always": True}
    server = authenticator(issuer.configured(introspection=how, scopes="user/*.rs"))
    actor = run(server, lambda: heard(server, issuer.token(scope=token)))
    assert isinstance(actor, Actor)
    found = {(one.context, one.type, "".join(x for x in "cruds" if x in one.permissions)) for one in actor.scopes}
    assert found == left


def test_the_conditions_of_both_scopes_hold(issuer: RunningIssuer) -> None:
    issuer.answers["/introspect"] = active(issuer, scope="patient/Observation.rs?status=final")
    server = authenticator(asking(issuer, always=True))
    token = issuer.token(scope="patient/Observation.rs?category=laboratory")
    actor = run(server, lambda: heard(server, token))
    assert isinstance(actor, Actor)
    assert [one.criteria for one in actor.scopes] == [(("category", "laboratory"), ("status", "final"))]


def test_what_a_token_does_not_say_of_its_holder_userinfo_does(issuer: RunningIssuer) -> None:
    issuer.answers["/introspect"] = active(issuer, role=None, name=None)
    issuer.answers["/userinfo"] = {"sub": "jill-account", "role": "person", "name": "Jill", "scope": "system/*.cruds"}
    server = authenticator(asking(issuer, userinfo=True))
    actor = run(server, lambda: heard(server))
    assert isinstance(actor, Actor)
    assert (actor.role, actor.name) == ("person", "Jill")
    assert [scope.context for scope in actor.scopes] == ["patient"]  # what the token says goes before
    _, headers, _ = next(it for it in issuer.seen if it[0] == "/userinfo")
    assert headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ({"sub": "somebody-else", "role": "auditor"}, (Refusal.UNAUTHENTICATED, "The issuer of the token says that somebody else holds it.")),
        ({"role": "auditor"}, (Refusal.UNAUTHENTICATED, "The issuer of the token says that somebody else holds it.")),
        (401, (Refusal.UNAUTHENTICATED, "The issuer of the token does not say who holds it.")),
        (500, AWAY),
    ],
)  # fmt: skip
def test_userinfo_of_somebody_else_or_of_nobody_is_refused(
    issuer: RunningIssuer, answer: Any, outcome: tuple[Refusal, str]
) -> None:
    issuer.answers["/userinfo"] = answer
    server = authenticator(asking(issuer, userinfo=True))
    assert run(server, lambda: heard(server)) == outcome


def test_the_secret_is_read_from_its_file_each_time_and_its_loss_lets_nobody_in(
    issuer: RunningIssuer, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text("first\n")
    how = {"client_id": "phb", "client_secret_file": str(file)}
    server = authenticator(issuer.configured(introspection=how))

    async def work() -> list[Any]:
        answers = [await heard(server, "one")]
        file.write_text("second\n")
        answers.append(await heard(server, "two"))
        file.unlink()
        return [*answers, await heard(server, "three")]

    first, second, third = run(server, work)
    assert isinstance(first, Actor)
    assert isinstance(second, Actor)
    assert third == AWAY
    shown = [headers["authorization"] for path, headers, _ in issuer.seen if path == "/introspect"]
    assert [base64.b64decode(it[6:]) for it in shown] == [b"phb:first", b"phb:second"]

"""Signing in with an authorization server that we did not write, and asking this one with what it gives: everything over HTTP."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from phb_fhir.cli.token import Asked, sign
from tests.processes import until
from tests.running import RunningServer, secure_server
from tests.security.authorization import SECRET, AuthorizationServer, SmartApp, backend_token, parts_of
from tests.security.issuing import AUDIENCE, Key, RunningIssuer, real_time

SCOPE = "openid fhirUser launch/patient patient/*.rs"
OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
INVALID = 'Bearer realm="phb-fhir", error="invalid_token", error_description="'


class Deployment:
    """A server that trusts the authorization server, a second issuer and its own key; and two people in it."""

    def __init__(self, server: RunningServer, sign_in: AuthorizationServer, second: RunningIssuer) -> None:
        self.sign_in = sign_in
        self.second = second
        self.settings = server.settings
        self.client = httpx.Client(base_url=server.base, timeout=30, trust_env=False)

    def get(self, path: str, token: str = "", **headers: str) -> httpx.Response:
        shown = {"Authorization": f"Bearer {token}"} if token else {}
        return self.client.get(path, headers={**shown, **headers})

    def configuration(self) -> dict[str, Any]:
        """What a SMART app reads first."""
        return self.get("/.well-known/smart-configuration").raise_for_status().json()

    def system(self) -> str:
        return sign(self.settings, "loader", Asked("system"), 10)

    def app(self, client_id: str = "portal") -> SmartApp:
        return SmartApp(self.configuration(), client_id)


@pytest.fixture(scope="module")
def deployment(mongodb_uri: str) -> Iterator[Deployment]:
    with (
        tempfile.TemporaryDirectory(prefix="phb-fhir-issuers-") as folder,
        AuthorizationServer() as sign_in,
        RunningIssuer() as second,
    ):
        (Path(folder) / "secret").write_text(SECRET)
        asked = {"client_id": "phb-fhir", "client_secret_file": f"{folder}/secret"}
        issuers = [sign_in.configured(introspection=asked), {"issuer": second.url, "audience": AUDIENCE}]
        file = Path(folder) / "issuers.json"
        file.write_text(json.dumps({"issuers": issuers}))
        settings = {"issuers": file, "keys_retry_min_s": 1, "introspection_trust_max_s": 1}
        with secure_server(mongodb_uri, **settings) as (server, _):
            made = Deployment(server, sign_in, second)
            with made.client:
                for id_ in ("jill", "asha"):
                    answer = made.client.put(
                        f"/Patient/{id_}",
                        json={"resourceType": "Patient", "id": id_},
                        headers={"Authorization": f"Bearer {made.system()}"},
                    )
                    assert answer.status_code == 201, answer.text
                yield made


# ---- where to sign in --------------------------------------------------------------------------------------------


def test_smart_configuration_says_what_the_authorization_server_says_and_what_both_can_do(
    deployment: Deployment,
) -> None:
    said = deployment.configuration()
    issuer = deployment.sign_in.issuer
    assert said["issuer"] == issuer
    assert said["authorization_endpoint"] == f"{issuer}/auth"
    assert said["token_endpoint"] == f"{issuer}/token"
    assert said["introspection_endpoint"] == f"{issuer}/token/introspection"
    assert said["revocation_endpoint"] == f"{issuer}/token/revocation"
    assert said["jwks_uri"] == f"{issuer}/jwks"
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert {"authorization_code", "client_credentials"} <= set(said["grant_types_supported"])
    assert said["token_endpoint_auth_signing_alg_values_supported"] == ["RS384", "ES384"]
    assert said["capabilities"] == [
        "client-confidential-asymmetric",
        "client-confidential-symmetric",
        "client-public",
        "context-standalone-patient",
        "launch-standalone",
        "permission-offline",
        "permission-patient",
        "permission-user",
        "permission-v1",
        "permission-v2",
        "sso-openid-connect",
    ]


def test_smart_configuration_is_json_for_everybody_whatever_they_accept(deployment: Deployment) -> None:
    for headers in ({}, {"Accept": "application/fhir+xml"}, {"Authorization": "Bearer nonsense"}):
        answer = deployment.get("/.well-known/smart-configuration", **headers)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    head = deployment.client.head("/.well-known/smart-configuration")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(answer.content)))


def test_smart_configuration_can_be_read_and_nothing_else(deployment: Deployment) -> None:
    answer = deployment.client.post("/.well-known/smart-configuration", json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    options = deployment.client.options("/.well-known/smart-configuration")
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


def test_the_capability_statement_says_where_to_sign_in_without_a_token(deployment: Deployment) -> None:
    issuer = deployment.sign_in.issuer
    security = deployment.get("/metadata").json()["rest"][0]["security"]
    assert security["service"][0]["coding"][0] == {
        "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
        "code": "SMART-on-FHIR",
        "display": "SMART-on-FHIR",
    }
    (extension,) = security["extension"]
    assert extension["url"] == OAUTH_URIS
    assert {part["url"]: part["valueUri"] for part in extension["extension"]} == {
        "authorize": f"{issuer}/auth",
        "token": f"{issuer}/token",
        "introspect": f"{issuer}/token/introspection",
        "revoke": f"{issuer}/token/revocation",
    }
    assert issuer in security["description"]


# ---- people ------------------------------------------------------------------------------------------------------


def test_a_standalone_launch_with_pkce_opens_the_record_of_who_signed_in_and_no_other(deployment: Deployment) -> None:
    with deployment.app() as app:
        given = app.launch("jill", SCOPE)
    assert given["patient"] == "jill"
    assert given["token_type"] == "Bearer"
    assert deployment.get("/Patient/jill", given["access_token"]).status_code == 200
    assert deployment.get("/Patient/asha", given["access_token"]).status_code == 404
    with deployment.app() as app:
        other = app.launch("asha", SCOPE)
    assert deployment.get("/Patient/asha", other["access_token"]).status_code == 200
    assert deployment.get("/Patient/jill", other["access_token"]).status_code == 404


def test_a_scope_that_was_not_granted_is_not_there_even_for_ones_own_record(deployment: Deployment) -> None:
    with deployment.app() as app:
        narrow = app.launch("jill", "openid launch/patient patient/Account.rs")["access_token"]
    assert deployment.get("/Account", narrow).status_code == 200
    assert deployment.get("/Patient/jill", narrow).status_code in (403, 404)
    with deployment.app() as app:
        read_only = app.launch("jill", SCOPE)["access_token"]
    answer = deployment.client.put(
        "/Patient/jill",
        json={"resourceType": "Patient", "id": "jill"},
        headers={"Authorization": f"Bearer {read_only}"},
    )
    assert answer.status_code in (403, 404)


def test_without_the_right_code_verifier_there_is_no_token(deployment: Deployment) -> None:
    with deployment.app() as app:
        code = app.authorize("jill", SCOPE)
        refused = app.exchange(code, verifier="x" * 64)
    assert refused["error"] == "invalid_grant"
    assert "access_token" not in refused


def test_the_id_token_of_the_same_sign_in_opens_nothing(deployment: Deployment) -> None:
    with deployment.app() as app:
        given = app.launch("jill", SCOPE)
    answer = deployment.get("/Patient/jill", given["id_token"])
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == f'{INVALID}The token is for somebody else than this server."'


# ---- backend services --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client_id", ["payments", "payments-rs"])
def test_a_backend_service_that_proves_its_key_is_what_the_configuration_says(
    deployment: Deployment, client_id: str
) -> None:
    key = deployment.sign_in.es384 if client_id == "payments" else deployment.sign_in.rs384
    given = backend_token(deployment.configuration(), client_id, key, "system/*.rs")
    assert parts_of(given["access_token"])[1]["sub"] == client_id
    assert deployment.get("/Patient", given["access_token"]).status_code == 200


def test_a_backend_service_with_the_key_of_another_has_no_token(deployment: Deployment) -> None:
    forged = backend_token(deployment.configuration(), "payments", Key("ES384", "backend-es"), "system/*.rs")
    assert forged["error"] == "invalid_client"


def test_a_backend_service_that_the_configuration_does_not_know_may_do_nothing(deployment: Deployment) -> None:
    given = backend_token(deployment.configuration(), "unknown-here", deployment.sign_in.es384, "system/*.rs")
    assert deployment.get("/Patient", given["access_token"]).status_code == 403


# ---- keys and tokens that come and go ----------------------------------------------------------------------------


def test_after_a_rotation_of_keys_new_tokens_and_old_ones_are_let_in(deployment: Deployment) -> None:
    with deployment.app() as app:
        old = app.launch("jill", SCOPE)["access_token"]
    deployment.sign_in.rotate()
    with deployment.app() as app:
        new = app.launch("jill", SCOPE)["access_token"]
    assert parts_of(old)[0]["kid"] != parts_of(new)[0]["kid"]
    assert until(lambda: deployment.get("/Patient/jill", new).status_code == 200, timeout_s=20)
    assert deployment.get("/Patient/jill", old).status_code == 200


def test_an_opaque_token_is_asked_about_and_falls_out_when_it_is_revoked(deployment: Deployment) -> None:
    with deployment.app("opaque-portal") as app:
        token = app.launch("jill", SCOPE)["access_token"]
        assert "." not in token
        assert deployment.get("/Patient/jill", token).status_code == 200
        assert deployment.get("/Patient/asha", token).status_code == 404
        assert app.revoke(token) == 200
    assert until(lambda: deployment.get("/Patient/jill", token).status_code == 401, timeout_s=20)
    refused = deployment.get("/Patient/jill", token).headers["www-authenticate"]
    assert refused == f'{INVALID}The token is not active: it has expired, was revoked, or never was one."'


def test_an_opaque_token_that_nobody_issued_is_refused(deployment: Deployment) -> None:
    assert deployment.get("/Patient/jill", "2YotnFZFEjr1zCsicMWpAA").status_code == 401


def test_several_issuers_are_taken_at_once_each_by_its_own_keys(deployment: Deployment) -> None:
    now = int(real_time())
    times = {"iat": now, "nbf": now, "exp": now + 300}
    second = deployment.second
    assert deployment.get("/Patient/jill", second.token(**times)).status_code == 200
    assert (
        deployment.get(
            "/Patient/jill", sign(deployment.settings, "jill", Asked("person", patient="jill", user="Patient/jill"), 5)
        ).status_code
        == 200
    )
    assert deployment.get("/Patient/jill", second.token(**times, iss=deployment.sign_in.issuer)).status_code == 401


# ---- each class of failure, at the door --------------------------------------------------------------------------


def test_no_token_is_told_how_to_come_in_and_not_what_is_wrong(deployment: Deployment) -> None:
    for headers in ({}, {"Authorization": "Basic amlsbDpqaWxs"}):
        answer = deployment.get("/Patient/jill", **headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="phb-fhir"'
        (issue,) = answer.json()["issue"]
        assert issue["code"] == "login"
        assert issue["details"]["coding"][0]["code"] == "MSG_AUTH_REQUIRED"


@pytest.mark.parametrize(
    ("changed", "header", "sentence"),
    [
        ({"exp": 1_000_000}, {}, "The token has expired."),
        ({"nbf": 4_000_000_000}, {}, "The token does not hold yet."),
        ({"aud": "https://other.example"}, {}, "The token is for somebody else than this server."),
        ({"iss": "https://evil.example"}, {}, "The token is from nobody whose tokens are taken here."),
        ({"sub": None}, {}, "The token does not say whose it is."),
        ({}, {"alg": "none"}, "The token is signed in a way that is not taken from its issuer."),
        ({}, {"alg": "HS256"}, "The token is signed in a way that is not taken from its issuer."),
        ({}, {"kid": "nobody"}, "The token is signed with a key that its issuer does not have."),
        ({}, {"typ": "logout+jwt"}, "The token is of a type that is not taken here."),
        ({}, {"crit": ["exp"]}, "The header of the token asks for something that is not understood here."),
        ({"role": "person"}, {}, ""),
    ],
)
def test_a_wrong_token_is_told_what_is_wrong_with_it_in_header_and_outcome(
    deployment: Deployment, changed: dict[str, Any], header: dict[str, Any], sentence: str
) -> None:
    now = int(real_time())
    token = deployment.second.token(header=header, **{"iat": None, "nbf": now, "exp": now + 300, **changed})
    answer = deployment.get("/Patient/jill", token)
    if not sentence:
        assert answer.status_code == 200
        return
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == f'{INVALID}{sentence}"'
    assert answer.json()["issue"][0]["diagnostics"] == sentence
    assert token not in answer.text


def test_a_token_in_the_address_or_in_a_form_is_not_looked_at(deployment: Deployment) -> None:
    token = deployment.system()
    assert deployment.get(f"/Patient/jill?access_token={token}").status_code == 401
    answer = deployment.client.post("/Patient/_search", data={"access_token": token})
    assert answer.status_code == 401


def test_a_token_of_an_issuer_that_is_away_is_told_to_come_again(deployment: Deployment) -> None:
    away = RunningIssuer(Key("ES256", "k"))
    with away:
        url = away.url
    now = int(real_time())
    file = deployment.settings.issuers
    assert file is not None
    text = json.dumps({"issuers": [{"issuer": url, "audience": AUDIENCE}]})
    with tempfile.TemporaryDirectory(prefix="phb-fhir-issuers-") as folder:
        own = Path(folder) / "issuers.json"
        own.write_text(text)
        settings = {"open": False, "issuers": own, "keys_retry_min_s": 1}
        with RunningServer(
            deployment.settings.mongodb_uri or "", deployment.settings.mongodb_database, **settings
        ) as server:
            token = away.token(iss=url, iat=now, nbf=now, exp=now + 60)
            with httpx.Client(base_url=server.base, trust_env=False, timeout=30) as client:
                answer = client.get("/Patient/jill", headers={"Authorization": f"Bearer {token}"})
                configuration = client.get("/.well-known/smart-configuration")
                statement = client.get("/metadata")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "www-authenticate" not in answer.headers
    assert configuration.status_code == 503
    security = statement.json()["rest"][0]["security"]
    assert "extension" not in security  # nobody is sent where nothing is known to be
    assert security["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"


def test_an_open_server_claims_no_security_and_no_authorization_server(server: RunningServer) -> None:
    with httpx.Client(base_url=server.base, trust_env=False) as client:
        assert "security" not in client.get("/metadata").json()["rest"][0]
        answer = client.get("/.well-known/smart-configuration")
    assert answer.status_code == 404
    assert answer.json()["issue"][0]["code"] == "not-found"

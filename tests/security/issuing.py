"""An issuer of tokens for tests: real keys, a real HTTP server on loopback, and tokens made by hand.

Tokens are signed with the `cryptography` library itself, so that what verifies them is not what made them, and so that they can be
made wrong in ways that no library would.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from phb_fhir.security.authenticate import Authenticator
from phb_fhir.security.trusted import Issuer
from phb_fhir.settings import Settings

AUDIENCE = "https://phb.example.nhs.uk/fhir"
NOW = 1_800_000_000.0
HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
CURVES = {
    "ES256": (ec.SECP256R1(), "P-256", 32),
    "ES384": (ec.SECP384R1(), "P-384", 48),
    "ES512": (ec.SECP521R1(), "P-521", 66),
}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def packed(value: Any) -> str:
    return b64(json.dumps(value).encode())


def _number(value: int, size: int = 0) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


class Key:
    """A private key for one algorithm: `sign` and the public half as a JWK."""

    def __init__(self, algorithm: str, kid: str | None, *, bits: int = 2048, **more: Any) -> None:
        self.alg, self.kid = algorithm, kid
        self.more = more
        self.private: Any = self._made(bits)

    def _made(self, bits: int) -> Any:
        if self.alg[:2] in ("RS", "PS"):
            return rsa.generate_private_key(65537, bits)
        if self.alg in CURVES:
            return ec.generate_private_key(CURVES[self.alg][0])
        return ed25519.Ed25519PrivateKey.generate()

    def sign(self, message: bytes, alg: str = "") -> bytes:
        alg = alg or self.alg
        if alg.startswith("RS"):
            return self.private.sign(message, padding.PKCS1v15(), HASHES[alg[2:]])
        if alg.startswith("PS"):
            digest = HASHES[alg[2:]]
            return self.private.sign(message, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        if alg.startswith("ES"):
            r, s = decode_dss_signature(self.private.sign(message, ec.ECDSA(HASHES[alg[2:]])))
            size = CURVES[self.alg][2]
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")
        return self.private.sign(message)

    def jwk(self) -> dict[str, Any]:
        public = self.private.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            numbers = public.public_numbers()
            own = {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
        elif isinstance(public, ec.EllipticCurvePublicKey):
            numbers = public.public_numbers()
            _, curve, size = CURVES[self.alg]
            own = {"kty": "EC", "crv": curve, "x": _number(numbers.x, size), "y": _number(numbers.y, size)}
        else:
            own = {"kty": "OKP", "crv": "Ed25519", "x": b64(public.public_bytes_raw())}
        named = {"kid": self.kid} if self.kid is not None else {}
        return {**own, **named, "use": "sig", **self.more}


def signed(header: Mapping[str, Any], claims: Any, sign: Callable[[bytes], bytes]) -> str:
    message = f"{packed(header)}.{packed(claims)}"
    return f"{message}.{b64(sign(message.encode()))}"


class RunningIssuer:
    """A context manager: an HTTP server that is an issuer. Its answers can be changed while it runs; `asked` counts them.

    `stop` and `start` take it away and bring it back at the same address.
    """

    def __init__(self, *keys: Key) -> None:
        self.keys = list(keys) or [Key("RS256", "one")]
        self.asked: Counter[str] = Counter()
        self.seen: list[tuple[str, dict[str, str], bytes]] = []  # path, headers, body
        self.answers: dict[str, Any] = {}  # path -> JSON, bytes, an int for a status, or a function of (headers, form)
        self.more: dict[str, Any] = {}  # further metadata
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):  # whoever asked has given up, as some tests want it
                    super().handle()

            def do_GET(self) -> None:
                issuer.answer(self)

            do_POST = do_GET  # noqa: N815 - as http.server looks for it

            def log_message(self, *_: object) -> None:
                pass

        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked[request.path] += 1
        self.seen.append((request.path, headers, body))
        said = self.answers.get(request.path, self._own(request.path))
        if callable(said):
            said = said(headers, {name: values[0] for name, values in parse_qs(body.decode()).items()})
        status = said if isinstance(said, int) else 200
        text = b"" if isinstance(said, int) else said if isinstance(said, bytes) else json.dumps(said).encode()
        request.send_response(status)
        if status in (301, 302, 307):
            request.send_header("Location", f"{self.url}/elsewhere")
        request.send_header("Content-Length", str(len(text)))
        request.end_headers()
        request.wfile.write(text)

    def _own(self, path: str) -> Any:
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/jwks",
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "introspection_endpoint": f"{self.url}/introspect",
                "userinfo_endpoint": f"{self.url}/userinfo",
                **self.more,
            }
        return {"keys": [key.jwk() for key in self.keys]} if path == "/jwks" else 404

    # ---- tokens --------------------------------------------------------------------------------------------------

    def claims(self, **changed: Any) -> dict[str, Any]:
        """What a good token says; None takes a claim away."""
        good = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "jill-account",
            "iat": int(NOW) - 10,
            "nbf": int(NOW) - 10,
            "exp": int(NOW) + 600,
            "jti": "t-1",
            "client_id": "portal",
            "scope": "openid patient/*.rs",
            "role": "person",
            "patient": "jill",
            "name": "Jill Harper",
        }
        return {name: value for name, value in {**good, **changed}.items() if value is not None}

    def token(self, key: Key | None = None, header: Mapping[str, Any] | None = None, **changed: Any) -> str:
        """A token signed by a key of this issuer. `header` changes the header; None takes a member of it away."""
        key = key or self.keys[0]
        said = {"alg": key.alg, "typ": "at+jwt", "kid": key.kid, **(header or {})}
        said = {name: value for name, value in said.items() if value is not None}
        return signed(said, self.claims(**changed), key.sign)

    def configured(self, **more: Any) -> Issuer:
        return Issuer.model_validate({"issuer": self.url, "audience": AUDIENCE, **more})


class Clocks:
    """The time of day and the steady clock of an Authenticator, moved by hand."""

    def __init__(self, now: float = NOW) -> None:
        self.passed = 0.0
        self._now = now

    def pass_(self, seconds: float) -> None:
        self.passed += seconds

    def clock(self) -> float:
        return self._now + self.passed

    def steady(self) -> float:
        return 1000.0 + self.passed


def authenticator(*issuers: Issuer, clocks: Clocks | None = None, **settings: Any) -> Authenticator:
    clocks = clocks or Clocks()
    made = Settings(**settings)
    return Authenticator(made, issuers, clock=clocks.clock, steady=clocks.steady)


def real_time() -> float:
    return time.time()

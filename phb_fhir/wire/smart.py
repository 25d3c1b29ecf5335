"""`/fhir/.well-known/smart-configuration` (SMART App Launch 2.2, "Conformance"): where SMART apps sign in, told to everybody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from phb_fhir.fhir.codec import dumps
from phb_fhir.interactions.request import Answer
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.security.advertised import Advertised, smart_configuration
from phb_fhir.settings import API_PATH
from phb_fhir.wire.errors import answer_to, extra_headers

PATH = f"{API_PATH}/.well-known/smart-configuration"
_METHODS = ("GET", "HEAD", "OPTIONS")

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class SmartConfiguration:
    """An ASGI application for one address. `advertised` tells what is known at the moment."""

    def __init__(self, advertised: Callable[[], Awaitable[Advertised | None]]) -> None:
        self._advertised = advertised

    async def __call__(self, scope: MutableMapping[str, Any], _receive: Any, send: Send) -> None:
        method = scope["method"]
        scope["phb.exchange"].interaction = "smart-configuration"
        headers = [(b"content-type", b"application/json")]
        try:
            status, body = await self._answer(method)
        except Rejected as rejected:
            refused: Answer = answer_to(rejected)
            status, body = refused.status, dumps(refused.outcome)
            headers = [(b"content-type", b"application/fhir+json;charset=utf-8"), *extra_headers(rejected, _METHODS)]
        if method == "OPTIONS":
            headers.append((b"allow", ", ".join(_METHODS).encode()))
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})

    async def _answer(self, method: str) -> tuple[int, bytes]:
        if method not in _METHODS:
            text = f"{method} is not possible here: this is a document to be read."
            raise refuse(Refusal.METHOD_NOT_ALLOWED, Kind.NOT_SUPPORTED, text)
        if method == "OPTIONS":
            return 204, b""
        advertised = await self._advertised()
        if advertised is None or not advertised.issuers:
            text = "There is no authorization server for SMART apps here."
            raise refuse(Refusal.NOT_FOUND, Kind.NOT_FOUND, text)
        if "token_endpoint" not in advertised.server:
            text = "The authorization server does not answer just now, so nobody can be told where to sign in."
            raise refuse(Refusal.UNAVAILABLE, Kind.TRANSIENT, text)
        return 200, dumps(smart_configuration(advertised.server))

"""Pages in a browser (the Fetch standard's CORS): those of this machine may call the API, and the origins that are named.

A browser asks before it lets a page send FHIR, but not before a plain form or text: that is sent, and only the answer is
kept from the page. An open server cannot tell such a write from its user's own, so it refuses it.
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from phb_fhir.fhir.codec import dumps
from phb_fhir.interactions.status import REFUSED
from phb_fhir.outcome import Issue, Kind, Refusal, outcome_of
from phb_fhir.settings import Settings

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SHOWN = (
    "ETag",
    "Location",
    "Last-Modified",
    "X-Request-ID",
    "Content-Location",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "WWW-Authenticate",
)
_LOOPBACK_ORIGIN = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"


class Cors(CORSMiddleware):
    """Around an application. What it refuses is an OperationOutcome, like every other refusal."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        super().__init__(
            app,
            allow_origins=settings.cors_origins,
            allow_origin_regex=_LOOPBACK_ORIGIN,
            allow_methods=METHODS,
            allow_headers=["*"],
            expose_headers=_SHOWN,
        )
        self._open = settings.open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for name, _ in scope.get("headers", ()):
            if name == b"origin":
                await super().__call__(scope, receive, send)
                return
        await self.app(scope, receive, send)  # no page asks, and most requests are such

    def preflight_response(self, request_headers: Headers) -> Response:
        """The browser's question whether a page may."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        if not self.is_allowed_origin(request_headers["origin"]):
            return _stranger(request_headers["origin"])
        return _refusal(f"A page may not send this here: {bytes(response.body).decode()}.")

    async def simple_response(self, scope: Scope, receive: Receive, send: Send, request_headers: Headers) -> None:
        """Any other request, from a page or not."""
        origin = request_headers.get("origin")
        if self._open and origin and scope["method"] not in _SAFE and not self.is_allowed_origin(origin):
            await _stranger(origin)(scope, receive, send)
            return
        await super().simple_response(scope, receive, send, request_headers)

    async def send(self, message: Message, send: Send, request_headers: Headers) -> None:
        """What goes back to a page. That it depends on the Origin is said once, though the answer itself may have said it."""

        async def sent(told: Message) -> None:
            if told["type"] == "http.response.start":
                headers = MutableHeaders(scope=told)
                headers["vary"] = ", ".join(dict.fromkeys(re.split(r"\s*,\s*", headers["vary"])))
            await send(told)

        await super().send(message, sent, request_headers)


def _stranger(origin: str) -> Response:
    return _refusal(f"Pages of {origin} may not call this server; PHB_CORS_ORIGINS names those that may.")


def _refusal(text: str) -> Response:
    body = dumps(outcome_of([Issue(Kind.FORBIDDEN, text)]))
    headers = {"content-type": "application/fhir+json;charset=utf-8", "vary": "Origin"}
    return Response(body, REFUSED[Refusal.FORBIDDEN], headers)

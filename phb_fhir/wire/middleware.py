"""The edge of the server, around everything: request ids, safeguards, rates, the log line, the metrics, and the last catch.

Written as plain ASGI, because it stands in the way of every read.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog
import uuid_utils

from phb_fhir.fhir.codec import dumps
from phb_fhir.interactions.fault import fault
from phb_fhir.interactions.status import status_of
from phb_fhir.outcome import Rejected, outcome_of
from phb_fhir.settings import API_PATH, Settings
from phb_fhir.wire.admission import PUBLIC
from phb_fhir.wire.cors import Cors
from phb_fhir.wire.discreet import has_number
from phb_fhir.wire.errors import extra_headers, interrupted, overloaded
from phb_fhir.wire.exchange import Exchange
from phb_fhir.wire.limits import RateLimits, rate_headers
from phb_fhir.wire.log import RequestLog
from phb_fhir.wire.metrics import Metrics
from phb_fhir.wire.peer import address_of, networks
from phb_fhir.wire.request import segments_of
from phb_fhir.wire.safeguards import DOCS_PATH, REPORT_POLICY, page_policy, safeguards

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._\-]{1,64}")
_log = structlog.get_logger("phb_fhir.request")


class Edge:
    """Wraps an ASGI application. A request id that is safe to log is kept; any other is replaced (R4 §3.1.0.1.13).

    Past `requests_max` requests under way the next are turned away at once, so that those accepted are still answered in
    time; health and metrics are not, because then they matter most. Who brings no token is held to the rate of an address here.
    Pages may read such an answer as any other, so the turning away is inside of `cors`; a browser's question whether a page may call
    is answered there, and held to no rate: whoever is signed in could not be asked for otherwise.
    """

    def __init__(
        self, app: App, settings: Settings, metrics: Metrics, request_log: RequestLog, limits: RateLimits
    ) -> None:
        self._inside = app
        self._app = Cors(self._guarded(app), settings)
        self._under_way_max = settings.requests_max
        self._is_limited = not settings.open
        self._limits = limits
        self._trusted = networks(settings.trusted_proxies)
        self._safeguards = safeguards(settings)
        self._log = request_log
        self._metrics = metrics
        self._telling = False

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._inside(scope, receive, send)
            return
        scope["phb.exchange"] = exchange = self._exchange(scope)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._dress(message, scope, exchange)
            await send(message)

        begun = time.perf_counter()
        self._metrics.begun()
        self._tell_soon()
        try:
            await self._app(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - begun
            self._metrics.ended(exchange, seconds)
            self._log.ended(exchange, scope["method"], seconds)
            self._tell_soon()

    def _guarded(self, app: App) -> App:
        """The application, where there is room for one more; whatever it raises becomes an answer, unless one has begun."""

        async def guarded(scope: Message, receive: Any, send: Any) -> None:
            exchange: Exchange = scope["phb.exchange"]
            try:
                if scope["path"].startswith(API_PATH):
                    self._check_room(scope, exchange)
                await app(scope, receive, send)
            except (Exception, asyncio.CancelledError) as error:
                ours = _refusal_of(error, scope, exchange)
                if exchange.status:
                    raise
                await _send_fault(send, ours)

        return guarded

    def _exchange(self, scope: Message) -> Exchange:
        sent = _request_id(scope["headers"])
        request_id = str(uuid_utils.uuid4()) if sent is None else sent.decode()
        return Exchange(request_id, address=address_of(scope, self._trusted), is_identified=sent is not None)

    def _dress(self, message: Message, scope: Message, exchange: Exchange) -> None:
        """What every answer says at its head, whoever gives it."""
        exchange.status = message["status"]
        headers = message["headers"]
        headers.append((b"x-request-id", exchange.request_id.encode()))
        headers.extend(self._safeguards)
        if exchange.standing is not None:
            headers.extend(rate_headers(exchange.standing))
        if scope["path"] == DOCS_PATH or exchange.is_report:
            policy = REPORT_POLICY if exchange.is_report else page_policy(scope)
            headers[:] = [*(one for one in headers if one[0] != b"content-security-policy"), policy]

    def _check_room(self, scope: Message, exchange: Exchange) -> None:
        """Raises Rejected: 503 past what is taken at once, 429 past what an address may ask."""
        if self._metrics.under_way > self._under_way_max:
            raise overloaded(self._under_way_max)
        if self._is_limited and not _brings_token(scope):
            self._limits.take_anonymous(exchange)

    def _tell_soon(self) -> None:
        """What a turn of the event loop brought is counted and logged together at its end."""
        if not self._telling:
            self._telling = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._telling = False
        self._metrics.settle()
        self._log.write()


def _brings_token(scope: Message) -> bool:
    """Whether who asks will be known by a token. What anybody may ask is asked by nobody in particular, whatever comes with it."""
    if scope["method"] == "OPTIONS" or segments_of(scope) in PUBLIC:
        return False
    return any(name == b"authorization" and value.strip() for name, value in scope["headers"])


def _request_id(headers: list[tuple[bytes, bytes]]) -> bytes | None:
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value) and not has_number(value.decode()):
            return value
    return None


def _refusal_of(error: BaseException, scope: Message, exchange: Exchange) -> Rejected:
    """What is answered in place of what was raised; of what is our fault, the log is told here."""
    if isinstance(error, Rejected):
        return error
    if isinstance(error, asyncio.CancelledError):
        return interrupted()  # the server ends, and this took longer than `shutdown_timeout_s`
    return fault(exchange.request_id, scope["method"], exchange.interaction)


async def _send_fault(answer: Callable[[Message], Awaitable[None]], rejected: Rejected) -> None:
    body = dumps(outcome_of(rejected.issues))
    headers = [
        (b"content-type", b"application/fhir+json;charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        *extra_headers(rejected, ()),
    ]
    await answer({"type": "http.response.start", "status": status_of(rejected), "headers": headers})
    await answer({"type": "http.response.body", "body": body})

"""The edge of the server, around everything: request ids, the log line, the metrics, and the last catch.

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
from phb_fhir.settings import API_PATH
from phb_fhir.wire.errors import extra_headers, interrupted, overloaded
from phb_fhir.wire.exchange import Exchange
from phb_fhir.wire.log import RequestLog
from phb_fhir.wire.metrics import Metrics

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._\-]{1,64}")
_log = structlog.get_logger("phb_fhir.request")


class Edge:
    """Wraps an ASGI application. A request id that is safe to log is kept; any other is replaced (R4 §3.1.0.1.13).

    Past `under_way_max` requests the next are turned away at once, so that those accepted are still answered in time;
    health and metrics are not, because then they matter most.
    """

    def __init__(self, app: App, metrics: Metrics, request_log: RequestLog, under_way_max: int) -> None:
        self._app = app
        self._under_way_max = under_way_max
        self._log = request_log
        self._metrics = metrics
        self._telling = False

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope["headers"])
        exchange = Exchange(request_id.decode())
        scope["phb.exchange"] = exchange
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                exchange.status = message["status"]
                message["headers"].append((b"x-request-id", request_id))
            await send(message)

        begun = time.perf_counter()
        self._metrics.begun()
        self._tell_soon()
        try:
            if self._metrics.under_way > self._under_way_max and scope["path"].startswith(API_PATH):
                await _send_fault(answer, overloaded(self._under_way_max))
            else:
                await self._app(scope, receive, answer)
        except Exception:
            rejected = fault(exchange.request_id, scope["method"], exchange.interaction)
            if started:
                raise
            await _send_fault(answer, rejected)
        except asyncio.CancelledError:
            # the server ends, and this took longer than `shutdown_timeout_s`
            if started:
                raise
            await _send_fault(answer, interrupted())
        finally:
            seconds = time.perf_counter() - begun
            self._metrics.ended(exchange, seconds)
            self._log.ended(exchange, scope["method"], seconds)
            self._tell_soon()

    def _tell_soon(self) -> None:
        """What a turn of the event loop brought is counted and logged together at its end."""
        if not self._telling:
            self._telling = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._telling = False
        self._metrics.settle()
        self._log.write()


def _request_id(headers: list[tuple[bytes, bytes]]) -> bytes:
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value
    return str(uuid_utils.uuid4()).encode()


async def _send_fault(answer: Callable[[Message], Awaitable[None]], rejected: Rejected) -> None:
    body = dumps(outcome_of(rejected.issues))
    headers = [
        (b"content-type", b"application/fhir+json;charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        *extra_headers(rejected, ()),
    ]
    await answer({"type": "http.response.start", "status": status_of(rejected), "headers": headers})
    await answer({"type": "http.response.body", "body": body})

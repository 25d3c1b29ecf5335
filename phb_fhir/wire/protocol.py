"""HTTP/1.1 as uvicorn speaks it, but for four things: what is written in one turn leaves in one piece, nobody may dawdle, a server that
ends reads what was sent to it before it said so, and a head is what stands before the body and nothing else.

An ASGI answer is two messages, its head and its body, and uvicorn hands each to the kernel by itself. One packet instead of
two is less work for the kernel, and the client wakes up once.

A client that sends its request byte by byte, or reads its answer so, holds a connection, memory, and one of the requests that a
worker takes at once, for next to nothing. So each part of an exchange has its time (`Patience`), and the whole connection is closed when
that is over. Nothing is measured at each request: four times a second one look goes over all connections.

* The head: so many seconds from its first byte (or from the connection's beginning), and so many bytes and fields.
* The body, and the reading of the answer: so many seconds, and beyond them one for each `BYTES_A_SECOND_MIN` that did move. What the
  server itself holds up is not the client's fault and does not count.
* Between requests: uvicorn's own keep-alive timer.
* All connections of a worker: past `connections_max` the one that has waited for a request the longest is closed for the next.

When the server ends, a connection that is kept alive may have the next request on its way already. To close it then would leave its client
not knowing whether that was done. So it stays for a moment, and a request that comes in it is answered, as the last one.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Self

import httptools
import structlog
import uuid_utils
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from phb_fhir.fhir.codec import dumps
from phb_fhir.outcome import Issue, Kind, outcome_of
from phb_fhir.settings import Settings
from phb_fhir.wire.exchange import Exchange
from phb_fhir.wire.safeguards import RawHeader, safeguards

HEAD_BYTES_MAX = 65_536
FIELDS_MAX = 100  # more is nobody's request, and each costs
BYTES_A_SECOND_MIN = 8_000
LOOK_S = 0.25
_NOWHERE: Any = deque(maxlen=0)  # keeps nothing
_TOO_LONG = f"The head of the request is larger than the {HEAD_BYTES_MAX} bytes that this server takes."
_log = structlog.get_logger("phb_fhir.request")
_STATUS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
}
_KINDS = {408: Kind.TIMEOUT, 501: Kind.NOT_SUPPORTED}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client may take, and how many there may be; and what every answer says that this file gives itself."""

    head_s: float = 10.0
    transfer_s: float = 20.0
    connections_max: int = 2_000
    last_s: float = 0.25  # that a server that ends waits for what is on its way
    safeguards: tuple[RawHeader, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(
            settings.head_timeout_s,
            settings.transfer_timeout_s,
            settings.connections_max,
            safeguards=safeguards(settings),
        )


class Config(uvicorn.Config):
    """uvicorn's configuration with our patience, and with TLS as `tls_context` has it."""

    def __init__(self, app: Any, settings: Settings, **more: Any) -> None:
        self.patience = Patience.of(settings)
        self.is_looking = False
        self._tls = (settings.tls_cert, settings.tls_key)
        super().__init__(app, http=OnePiece, ws="none", timeout_keep_alive=settings.keep_alive_timeout_s, **more)

    def load(self) -> None:
        super().load()
        cert, key = self._tls
        if cert is not None and key is not None:
            self.ssl = tls_context(cert, key)


def tls_context(cert: Path, key: Path) -> ssl.SSLContext:
    """What to speak TLS with: 1.2 or later, in the ciphers that Python's own defaults hold for safe. Raises OSError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key, password=_no_password)
    return context


def _no_password() -> str:
    return ""  # or OpenSSL would ask for it at the terminal


class _Phase(Enum):
    IDLE = "nothing of a request has come"
    HEAD = "its head is coming"
    BODY = "its body is coming"
    WHOLE = "it is whole, and is being answered"


class OnePiece(HttpToolsProtocol):
    """A connection. `_since` is when its phase began, by the clock of the event loop."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._patience: Patience = getattr(self.config, "patience", Patience())
        self._phase = _Phase.IDLE
        self._since = self.loop.time()
        self._head_bytes = 0
        self._body_bytes = 0
        self._unread: tuple[float, int] | None = None
        self._said: tuple[int, str] | None = None
        self._is_ending = False
        self._is_heard = False  # its client sends no more, and waits for what it asked for
        self._again = b""  # the head of a request that has to be read once more
        self._gathering = _Gathering(transport, self.loop)
        super().connection_made(self._gathering)  # type: ignore[arg-type]
        _make_room(self)
        _look_soon(self)

    # --- what the parser tells ---

    def data_received(self, data: bytes) -> None:
        if self._phase is _Phase.IDLE:
            self._enter(_Phase.HEAD)  # empty lines may come first, and are no request yet
            self._head_bytes = 0
        self._head_bytes += len(data)
        self._unset_keepalive_if_required()
        self._parse(data)
        if self._phase is _Phase.HEAD and self._head_bytes > HEAD_BYTES_MAX:
            self._refuse(431, _TOO_LONG)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more: what was whole is answered, and then it is closed. TLS knows no half of a connection."""
        self._is_heard = self._phase is _Phase.WHOLE and self.scheme == "http"
        if not self._is_heard:
            self.transport.close()  # with what was written in this turn
        return self._is_heard

    def _parse(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._again, data = b"", self._again + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
            except httptools.HttpParserInvalidMethodError:
                self._said = _why_no_method(data)
                self.send_400_response("")
                return
            except httptools.HttpParserError:
                self.send_400_response("")
                return
            else:
                return

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._phase is not _Phase.HEAD:  # one more request, behind another that is not answered yet
            self._enter(_Phase.HEAD)
            self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._said = self._why_not()
        if self._said is not None:
            raise httptools.HttpParserError(self._said[1])
        if not self.url.startswith(b"/"):
            self.url = _origin_form(self.url, self.headers)
        if self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False  # which HTTP/1.0 did not have (RFC 9110 10.1.1)
        if self._is_elsewhere():
            self._again = _replayed(self.parser, self.url, self.headers)
            return
        super().on_headers_complete()
        if self.expect_100_continue:
            _last_if_unasked(self.cycle)
        self.headers = _NOWHERE  # what comes behind the body is no field of the head (RFC 9110 6.5.1)
        if self._is_ending and self.cycle is not None:
            self.cycle.keep_alive = False
        self._body_bytes = 0
        self._enter(_Phase.BODY)

    def _is_elsewhere(self) -> bool:
        """Whether a client would rather go on in another protocol. It goes on in this one (RFC 9110 7.8), but the parser takes what follows
        the head for the other: so another parser gets the head without that wish, and what follows.
        """
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def _why_not(self) -> tuple[int, str] | None:
        """Why a head is not one of a request to be answered by the application: the status, and the reason in words."""
        if len(self.headers) > FIELDS_MAX:
            return 431, f"The request has more than the {FIELDS_MAX} header fields that this server takes."
        if self._head_bytes > HEAD_BYTES_MAX and _size(self.url, self.headers) > HEAD_BYTES_MAX:
            return 431, _TOO_LONG  # else it is the body that came along
        names = [name for name, _ in self.headers]
        if names.count(b"host") != 1 and self.parser.get_http_version() == "1.1":
            return 400, "A request of HTTP/1.1 has one Host header, and this one has none, or several (RFC 9112 3.2)."
        if b"transfer-encoding" in names and (coding := _transfer_coding(self.headers)) != b"chunked":
            text = "compress a body by Content-Encoding: gzip"
            return 501, f"This server takes no Transfer-Encoding but chunked, not {coding.decode('latin-1')!r}; {text}."
        return None

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._again:
            return
        super().on_message_complete()
        self._enter(_Phase.WHOLE if self._is_answering() else _Phase.IDLE)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_heard and not self._is_answering():
            self.transport.close()
        if self._phase is _Phase.WHOLE and not self._is_answering():
            self._enter(_Phase.IDLE)

    def shutdown(self) -> None:
        """The server ends: what is being answered is the last, or else what comes in a moment."""
        self._is_ending = True
        if self._is_answering():
            super().shutdown()
        else:
            self.loop.call_later(self._patience.last_s, super().shutdown)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words, in place of which stand ours
        self._refuse(*self._said or (400, "This is not HTTP/1.1 as this server understands it."))

    def _enter(self, phase: _Phase) -> None:
        self._phase = phase
        self._since = self.loop.time()

    def _is_answering(self) -> bool:
        return bool(self.pipeline) or (self.cycle is not None and not self.cycle.response_complete)

    # --- what a look finds ---

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for a request, and nothing is being answered."""
        return self._phase in (_Phase.IDLE, _Phase.HEAD) and not self._is_answering()

    @property
    def since(self) -> float:
        return self._since

    def look(self, now: float) -> None:
        """Close it if its client took too long."""
        if self._is_unread(now):
            self.transport.abort()
        elif self._phase is _Phase.IDLE and self.cycle is None and now - self._since > self._patience.head_s:
            self.transport.close()  # it never asked anything, so there is nothing to answer
        elif self._phase is _Phase.HEAD and now - self._since > self._patience.head_s:
            self._refuse(408, f"The head of the request was not whole within {self._patience.head_s:g} seconds.")
        elif self._phase is _Phase.BODY:
            self._look_at_body(now)

    def _look_at_body(self, now: float) -> None:
        if self.flow.read_paused:
            self._since, self._body_bytes = now, 0  # we do not read: its time begins when we do again
        elif now - self._since > self._patience.transfer_s + self._body_bytes / BYTES_A_SECOND_MIN:
            self._refuse(408, "The body of the request came too slowly; nothing was kept.")

    def _is_unread(self, now: float) -> bool:
        """Whether an answer has been waiting too long to be read."""
        left = self.transport.get_write_buffer_size()
        if not left:
            self._unread = None
            return False
        gone = self._gathering.written - left
        began, gone_then = self._unread = self._unread or (now, gone)
        return now - began > self._patience.transfer_s + (gone - gone_then) / BYTES_A_SECOND_MIN

    def _refuse(self, status: int, text: str) -> None:
        """Answer in place of the application, which hears that the client is gone; and close."""
        if self.transport.is_closing():
            return
        started = False
        for cycle in self._under_way():
            started |= cycle.response_started
            cycle.disconnected = True
            cycle.message_event.set()
        if not started:
            named = (b"x-request-id", self._request_id(status).encode())
            self.transport.write(_refusal(status, text, (named, *self._patience.safeguards)))
        self.transport.close()

    def _request_id(self, status: int) -> str:
        """The id of the request under way, whose end is logged by itself; a new one, and its line, where it did not get so far."""
        for cycle in self._under_way():
            if "phb.exchange" in cycle.scope:
                exchange: Exchange = cycle.scope["phb.exchange"]  # type: ignore[typeddict-item]
                return exchange.request_id
        made = str(uuid_utils.uuid4())
        _log.info("refused before it was a request", request_id=made, status=status)
        return made

    def _under_way(self) -> list[RequestResponseCycle]:
        known = [cycle for cycle, _ in self.pipeline] + ([] if self.cycle is None else [self.cycle])
        return [cycle for cycle in known if not cycle.response_complete]


def _size(url: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    return len(url) + sum(len(name) + len(value) for name, value in headers)


def _last_if_unasked(cycle: RequestResponseCycle) -> None:
    """Who asks whether to send a body, and is answered without being told to, may send another request in its place. It would be taken for
    the body, so there is none on this connection (RFC 9110 10.1.1).
    """
    send = cycle.send

    async def sending(message: Any) -> None:
        if cycle.waiting_for_100_continue and not cycle.body:
            cycle.keep_alive = False
        await send(message)

    cycle.send = sending  # type: ignore[method-assign]


def _replayed(parser: httptools.HttpRequestParser, target: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    first = b"%s %s HTTP/%s" % (parser.get_method(), target, parser.get_http_version().encode())
    fields = [name + b": " + value for name, value in headers if name != b"upgrade"]
    return b"\r\n".join([first, *fields, b"", b""])


def _transfer_coding(headers: list[tuple[bytes, bytes]]) -> bytes:
    return b", ".join(value for name, value in headers if name == b"transfer-encoding").strip().lower()


def _why_no_method(data: bytes) -> tuple[int, str] | None:
    """That a request is for a method that this server does not know (RFC 9110 §9.1); None where what came is no request at all."""
    line = _REQUEST_LINE.match(data)
    try:
        httptools.HttpRequestParser(object()).feed_data(line[0] if line else b"")
    except httptools.HttpParserInvalidMethodError:
        return (
            501,
            f"This server knows no method {data.split(maxsplit=1)[0].decode()!r}; what it serves at an address, OPTIONS tells.",
        )
    return None  # the method is known: what follows that request is not one


def _origin_form(target: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The path and query of a target that names the server, too, as one for a proxy does: what it names is the Host, whatever that header
    says (RFC 9112 3.2.2), which is mended in `headers`. Any other target stays as it is.
    """
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        return target
    authority, rest = absolute.groups()
    headers[:] = [*(one for one in headers if one[0] != b"host"), (b"host", authority)]
    return rest if rest.startswith(b"/") else b"/" + rest


_REQUEST_LINE = re.compile(rb"[\w!#$%&'*+.^`|~-]{1,64} \S+ HTTP/1\.[01]\r?\n")  # RFC 9112 §3
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE)


def _refusal(status: int, text: str, more: tuple[RawHeader, ...]) -> bytes:
    body = dumps(outcome_of([Issue(_KINDS.get(status, Kind.STRUCTURE), text)]))
    headers = (
        (b"content-type", b"application/fhir+json;charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *more,
    )
    lines = [b"HTTP/1.1 %d %s" % (status, _STATUS[status]), *(b"%s: %s" % header for header in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


# ---- over all connections of a worker ----------------------------------------------------------------------------------------------


def _ours(one: OnePiece) -> list[OnePiece]:
    return [each for each in one.connections if isinstance(each, OnePiece)]


def _make_room(newcomer: OnePiece) -> None:
    """Past the most connections: close the one that has waited for a request the longest, or else the newcomer."""
    if len(newcomer.connections) <= newcomer._patience.connections_max:  # noqa: SLF001 - its own kind
        return
    waiting = [each for each in _ours(newcomer) if each.is_waiting and not each.transport.is_closing()]
    min(waiting, key=lambda each: each.since, default=newcomer).transport.abort()


def _look_soon(one: OnePiece) -> None:
    """One look for all connections of this process, again and again as long as there are any."""
    config: Any = one.config
    if getattr(config, "is_looking", None) is not False:
        return
    config.is_looking = True

    def look() -> None:
        connections = _ours(one)
        config.is_looking = bool(connections)
        if connections:
            one.loop.call_later(LOOK_S, look)
        now = one.loop.time()
        for each in connections:
            each.look(now)

    one.loop.call_later(LOOK_S, look)


class _Gathering:
    """A transport whose writes wait for the end of the turn. `written` is how many bytes were given to it."""

    __slots__ = ("_loop", "_transport", "_waiting", "written")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting: list[bytes] = []
        self.written = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(data)
        self.written += len(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting and not self._transport.is_closing():
            self._transport.writelines(waiting)

"""The FHIR surface: one ASGI application under `/fhir`. Read, run, respond; a refusal anywhere becomes an outcome."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from phb_fhir.interactions.break_glass import tell_opened
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.fault import fault
from phb_fhir.interactions.operation import operation_at
from phb_fhir.interactions.request import Answer
from phb_fhir.interactions.routes import check_address, interaction_at, methods_at, route_of
from phb_fhir.interactions.trail import Asked, Trail, answered, told_to
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.settings import API_PATH, LOOPBACK_NAMES, Settings
from phb_fhir.store.patience import be_patient
from phb_fhir.wire.admission import PUBLIC, Admission
from phb_fhir.wire.errors import accept_patch, answer_to, extra_headers
from phb_fhir.wire.exchange import Exchange
from phb_fhir.wire.negotiate import FHIR_JSON, Accepted, accept
from phb_fhir.wire.request import (
    RawHeaders,
    Receive,
    Scope,
    headers_of,
    parameters_of,
    read_request,
    segments_of,
)
from phb_fhir.wire.respond import Presentation, Response, respond
from phb_fhir.wire.safeguards import HOST

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class FhirApi:
    """`context` is there once the database is open; until then every request hears 503."""

    def __init__(self, settings: Settings, admission: Admission) -> None:
        self._settings = settings
        self._admission = admission
        self._base = lru_cache(maxsize=64)(self._base_for)
        self.context: Context | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        be_patient(self._settings.database_wait_max_s)
        headers = headers_of(scope)
        exchange: Exchange = scope["phb.exchange"]
        base = self._base(headers.get(b"host", b""))
        segments = segments_of(scope)
        how, wrong = self._wishes(scope, headers, segments, base)
        more: list[tuple[bytes, bytes]] = []
        trail = self._trail(scope, segments, exchange)
        try:
            answer, how = await self._answer(scope, headers, segments, receive, how, wrong, exchange, trail)
        except Rejected as rejected:
            told = await told_to(trail, rejected)
            answer = answer_to(told)
            more = extra_headers(told, self._methods_at(segments))
        except Exception:  # noqa: BLE001 - the client must hear of it, whatever it is
            ours = fault(exchange.request_id, scope["method"], exchange.interaction)
            answer = answer_to(await told_to(trail, ours))
        if scope["method"] == "OPTIONS" and answer.status == 204:
            methods = self._methods_at(segments)
            more = [(b"allow", ", ".join(methods).encode()), *accept_patch(methods)]
        response = await respond(answer, how, self._settings.gzip_bytes_min)
        await _send(send, response, more, head=scope["method"] == "HEAD")

    async def _answer(
        self,
        scope: Scope,
        headers: RawHeaders,
        segments: tuple[str, ...],
        receive: Receive,
        how: Presentation,
        wrong: Rejected | None,
        exchange: Exchange,
        trail: Trail | None,
    ) -> tuple[Answer, Presentation]:
        """The answer, and how it is to be written. `wrong` is what is wrong with how it was asked to be, which is said once it is known who asks."""
        context = self.context
        if context is None or (trail is None and self._is_kept(scope, segments)):
            raise refuse(
                Refusal.UNAVAILABLE,
                Kind.TRANSIENT,
                "The server is starting and has not reached its database yet.",
            )
        if not how.base:
            text = "This server is open to everyone on its machine, so it answers only under a loopback name."
            raise refuse(Refusal.FORBIDDEN, Kind.FORBIDDEN, text)
        if scope["method"] == "OPTIONS":  # what may be done here is the same for everybody, and stands in /metadata
            if wrong is not None:
                raise wrong
            check_address(context, segments)
            return Answer(204), how
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        if trail is not None:
            actor = await self._admission.actor_of(headers, exchange)
            context = await self._admission.context_for(context, actor, headers, trail)
        if wrong is not None:
            raise wrong
        route = route_of(context, method, segments)
        exchange.interaction = route.code or route.name
        exchange.type = segments[0] if segments and segments[0] in context.capability.types else ""
        request = await read_request(
            self._settings, scope, headers, segments, receive, how.base, exchange.request_id, exchange.is_identified
        )
        if how.accepted.form:
            request = request._replace(form=how.accepted.form)
        if segments[-1:] == ("_search",):  # a search by form may say in the form how it is to be answered
            how = _presentation(headers, segments, how.base, dict(request.parameters))
        try:
            answer = await answered(context, request, route)
        finally:  # a refusal can tell of what was opened, too
            await tell_opened(context)
        exchange.is_report = answer.is_content
        return answer, how

    def _trail(self, scope: Scope, segments: tuple[str, ...], exchange: Exchange) -> Trail | None:
        """What takes down this request for the audit; None for what anybody may ask, and on an open server."""
        if self.context is None or not self._is_kept(scope, segments):
            return None
        path, query = "/".join(segments), scope["query_string"].decode("latin-1")
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        trail = Trail(self.context, Asked(exchange.request_id, scope["method"], path, query, exchange.address))
        trail.interaction = interaction_at(method, segments)  # as far as the address tells, whatever becomes of it
        return trail

    def _is_kept(self, scope: Scope, segments: tuple[str, ...]) -> bool:
        """Whether who asks must be known, and what they do is taken down."""
        return not (self._admission.is_open or segments in PUBLIC or scope["method"] == "OPTIONS")

    def _wishes(
        self, scope: Scope, headers: RawHeaders, segments: tuple[str, ...], base: str
    ) -> tuple[Presentation, Rejected | None]:
        """How an answer is asked to be written; and what is wrong with that, in which case it is written as nobody asked."""
        try:
            asked = _asked(scope["query_string"])
            return _presentation(headers, segments, base, asked, self._forms(segments)), None
        except Rejected as rejected:
            return _unnegotiated(base), rejected

    def _forms(self, segments: tuple[str, ...]) -> tuple[str, ...]:
        """The forms, beside FHIR's, that the operation at an address has."""
        if self.context is None or not segments or not segments[-1].startswith("$"):
            return ()
        operation = operation_at(self.context, segments)
        return operation.forms if operation is not None else ()

    def _methods_at(self, segments: tuple[str, ...]) -> tuple[str, ...]:
        return methods_at(self.context, segments) if self.context else ()

    def _base_for(self, host: bytes) -> str:
        """The server's address as this client knows it: another name of loopback is taken, a stranger's is not.

        "" for a stranger on an open server: a page on the web that points its own name at this machine must not read
        the records here (DNS rebinding).
        """
        name = host.decode("latin-1")
        if self._settings.base_url is None and _hostname(name) in LOOPBACK_NAMES:
            return f"{self._settings.scheme}://{name}{API_PATH}"
        own = urlsplit(self._settings.api_url).hostname
        return "" if self._settings.open and _hostname(name) not in (*LOOPBACK_NAMES, own) else self._settings.api_url


def _hostname(host: str) -> str | None:
    """The name in a Host header; None where it is more than a name and a port, which would stand in every link."""
    try:
        return urlsplit(f"//{host}").hostname if HOST.fullmatch(host) else None
    except ValueError:
        return None


def _asked(query: bytes) -> dict[str, str]:
    return dict(parameters_of(query)) if b"_" in query or b"%" in query else {}


def _presentation(
    headers: RawHeaders, segments: tuple[str, ...], base: str, asked: dict[str, str], forms: tuple[str, ...] = ()
) -> Presentation:
    pretty = asked.get("_pretty") or "false"
    if pretty not in ("true", "false"):
        raise refuse(Refusal.BAD_REQUEST, Kind.VALUE, f"_pretty={pretty}: it is true or false.")
    return _presented(
        headers.get(b"accept", b""),
        headers.get(b"accept-encoding", b""),
        asked.get("_format", ""),
        pretty == "true",
        segments[:1] == ("Binary",)
        and not segments[-1].startswith("$")
        and not asked.keys() & {"_summary", "_elements"},
        base,
        forms,
    )


@lru_cache(maxsize=1024)  # a client asks for the same again and again
def _presented(
    accepts: bytes, encodings: bytes, format_: str, pretty: bool, binary: bool, base: str, forms: tuple[str, ...]
) -> Presentation:
    accepted = accept(accepts.decode("latin-1"), format_, binary=binary, forms=forms)
    return Presentation(accepted, pretty, _takes_gzip(encodings), base)


@lru_cache(maxsize=64)
def _unnegotiated(base: str) -> Presentation:
    """How somebody is answered whose wishes are not known yet, or not understood."""
    return Presentation(Accepted(FHIR_JSON), base=base)


@lru_cache(maxsize=256)
def _takes_gzip(header: bytes) -> bool:
    """Whether an Accept-Encoding takes gzip; what it says of gzip itself outranks its `*` (RFC 9110 §12.5.3)."""
    said: dict[str, bool] = {}
    for part in header.decode("latin-1").lower().split(","):
        name, _, rest = part.partition(";")
        said[name.strip()] = rest.replace(" ", "") not in ("q=0", "q=0.", "q=0.0", "q=0.00", "q=0.000")
    return said.get("gzip", said.get("*", False))


async def _send(send: Send, response: Response, more: list[tuple[bytes, bytes]], *, head: bool) -> None:
    response.headers.extend(more)
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    await send({"type": "http.response.body", "body": b"" if head else response.body})

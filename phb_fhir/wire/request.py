"""From HTTP to a `FhirRequest`: the address, the headers, and the body, read within its bounds."""

from __future__ import annotations

import asyncio
import base64
import re
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from phb_fhir.fhir.codec import Resource, as_resource, loads
from phb_fhir.interactions.apart import apart
from phb_fhir.interactions.request import NO_HEADERS, FhirRequest, Handling, Headers, Returned
from phb_fhir.interactions.routes import names_operation
from phb_fhir.interactions.subset import parse_subset
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.settings import API_PATH, Settings
from phb_fhir.wire.negotiate import (
    FHIR_JSON,
    FORM,
    JSON,
    JSON_PATCH,
    MERGE_PATCH,
    OTHER_FHIR,
    content_type,
    is_fhir_json,
    unsupported,
)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
RawHeaders = dict[bytes, bytes]

DRAIN_FACTOR = 8  # how many times the largest body is read and thrown away, so that the client hears why
PARAMETERS_MAX = 1_000
GZIP_MEMBERS_MAX = 64  # each costs a copy of what follows it


def headers_of(scope: Scope) -> RawHeaders:
    """The request headers by lower-case name; of several alike, joined by commas (RFC 9110 §5.3)."""
    found: RawHeaders = {}
    for name, value in scope["headers"]:
        found[name] = found[name] + b", " + value if name in found else value
    return found


def segments_of(scope: Scope) -> tuple[str, ...]:
    """The path below the base; a slash at the end means nothing. One that is percent-encoded is part of a name (RFC 3986 §2.2), and no name has one:
    what stands before this server and goes by paths must not be walked past.
    """
    raw: bytes = scope["raw_path"]
    if b"%" in raw and b"%2f" in raw.lower():
        return tuple(map(unquote, raw[len(API_PATH) :].decode("latin-1").strip("/").split("/")))
    path: str = scope["path"]
    below = path[len(API_PATH) :].strip("/")
    return tuple(below.split("/")) if below else ()


def parameters_of(text: bytes) -> tuple[tuple[str, str], ...]:
    """The decoded query. Raises Rejected (400) where it is not UTF-8, or longer than anybody means."""
    if not text:
        return ()
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=PARAMETERS_MAX)
    except ValueError:
        raise refuse(
            Refusal.BAD_REQUEST,
            Kind.INVALID,
            "The query is not percent-encoded UTF-8, or has too many fields.",
        ) from None
    return tuple(pairs)


async def read_request(
    settings: Settings,
    scope: Scope,
    headers: RawHeaders,
    segments: tuple[str, ...],
    receive: Receive,
    base: str,
    request_id: str,
    is_identified: bool = False,
) -> FhirRequest:
    """The request, its body read and parsed. Raises Rejected: 400, 413, 415."""
    method: str = "GET" if scope["method"] == "HEAD" else scope["method"]
    parameters = parameters_of(scope["query_string"])
    body: Any = None
    size = 0
    if method in ("POST", "PUT", "PATCH"):
        raw = await read_body(settings, headers, receive)
        size = len(raw)
        if segments and segments[-1] == "_search":
            parameters += _form(headers, raw)
        elif raw or not names_operation(segments):  # an operation may have all it needs in its address
            body = await _parsed(settings, method, segments, headers, raw)
    handling, returned = _prefer(headers.get(b"prefer"))
    return FhirRequest(
        method,
        segments,
        parameters,
        _conditions(scope, headers),
        body,
        base,
        handling,
        returned,
        parse_subset(parameters, lenient=handling == "lenient"),
        request_id,
        size,
        _provenance(settings, headers),
        is_identified,
    )


def _provenance(settings: Settings, headers: RawHeaders) -> Resource | None:
    """What X-Provenance brought, if anything: a Provenance as JSON. Raises Rejected (400)."""
    raw = headers.get(b"x-provenance")
    if raw is None:
        return None
    try:
        found = loads(raw, depth_max=settings.depth_max)
    except Rejected as rejected:
        text = f"X-Provenance cannot be read, as if it were a body. {rejected.issues[0].text}"
        raise refuse(Refusal.BAD_REQUEST, Kind.STRUCTURE, text) from None
    if not isinstance(found, dict) or found.get("resourceType") != "Provenance":
        raise refuse(Refusal.BAD_REQUEST, Kind.INVALID, "X-Provenance holds a Provenance as JSON; this is none.")
    return found


def _conditions(scope: Scope, headers: RawHeaders) -> Headers:
    """Raises Rejected (400) for two If-None-Exist, of which no list is made as of ETags: which of them is meant? And for the
    condition of a change that is empty, or If-Unmodified-Since alone: whoever sent it meant one, and without it the change would be
    another.
    """
    if _CONDITIONAL.isdisjoint(headers):
        return NO_HEADERS
    empty = [name for name in _OF_CHANGES if not headers.get(name, b"-").strip()]
    if empty and scope["method"] not in ("GET", "HEAD"):
        said = empty[0].decode().title()
        raise refuse(Refusal.BAD_REQUEST, Kind.INVALID, f"{said} is empty; say the condition, or leave the header out.")
    if (
        _BY_DATE in headers and b"if-match" not in headers and scope["method"] not in ("GET", "HEAD")
    ):  # RFC 9110 §13.1.4
        text = "If-Unmodified-Since cannot tell two changes of one second apart, so it guards nothing; name the version in If-Match."
        raise refuse(Refusal.BAD_REQUEST, Kind.NOT_SUPPORTED, text)
    if sum(name == b"if-none-exist" for name, _ in scope["headers"]) > 1:
        raise refuse(
            Refusal.BAD_REQUEST, Kind.INVALID, "If-None-Exist stands more than once; a create has one condition."
        )
    return Headers(*(_text(headers.get(name, b"")) for name in _CONDITIONAL_ORDER))


def _text(value: bytes) -> str:
    """A field as text: criteria come as UTF-8 from a terminal, and from elsewhere as HTTP once had it (RFC 9110 §5.5)."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


_CONDITIONAL_ORDER = (b"if-match", b"if-none-match", b"if-modified-since", b"if-none-exist")
_BY_DATE = b"if-unmodified-since"
_CONDITIONAL = frozenset((*_CONDITIONAL_ORDER, _BY_DATE))
_OF_CHANGES = (b"if-match", b"if-none-match", b"if-none-exist")


def _prefer(header: bytes | None) -> tuple[Handling, Returned]:
    """`handling` and `return` (R4 §3.1.0.1.9): of each the first (RFC 7240 §2). What is not known is ignored, as that wants."""
    if header is None:
        return "strict", ""
    said: dict[str, str] = {}
    for name, value in _PREFERENCE.findall(header.decode("latin-1").lower()):
        said.setdefault(name, value.strip('"'))
    return _HANDLINGS.get(said.get("handling", ""), "strict"), _RETURNS.get(said.get("return", ""), "")


# a token or a quoted text; case means nothing in either name or value here (RFC 7240 §2, §4.2)
_PREFERENCE = re.compile(r'([^\s=,;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,;"]+)')
_HANDLINGS: dict[str, Handling] = {"strict": "strict", "lenient": "lenient"}
_RETURNS: dict[str, Returned] = {
    "minimal": "minimal",
    "representation": "representation",
    "operationoutcome": "OperationOutcome",
}


# ---- the body --------------------------------------------------------------------------------------------------------


async def read_body(settings: Settings, headers: RawHeaders, receive: Receive) -> bytes:
    """The whole body, unzipped. Raises Rejected: 413 past `body_bytes_max`, 415 for an encoding other than gzip."""
    most = settings.body_bytes_max
    encoding = headers.get(b"content-encoding", b"identity").decode("latin-1").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip", ""):
        text = f"The body is encoded as {encoding}; this server takes gzip or none."
        raise refuse(Refusal.UNSUPPORTED_ENCODING, Kind.NOT_SUPPORTED, text)
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > most and headers.get(b"expect", b"").lower() == b"100-continue":
        raise _too_large(most)  # the client waits to hear whether it should send at all
    raw = await _received(receive, most)
    return raw if encoding in ("identity", "") else await asyncio.to_thread(_unzipped, raw, most)


async def _received(receive: Receive, most: int) -> bytes:
    message = await receive()
    first: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(first) > most:
            raise _too_large(most)
        return first
    chunks, size = [first], len(first)
    while message.get("more_body") and size <= most * DRAIN_FACTOR:
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= most:
            chunks.append(chunk)
        else:
            chunks.clear()
    if size > most:
        raise _too_large(most)
    if message["type"] == "http.disconnect":
        raise refuse(
            Refusal.BAD_REQUEST,
            Kind.STRUCTURE,
            "The connection closed before the body was whole; nothing was kept.",
        )
    return b"".join(chunks)


def _unzipped(raw: bytes, most: int) -> bytes:
    """gzip, member by member, never past `most` bytes, however well it was packed."""
    parts: list[bytes] = []
    size = 0
    for _ in range(GZIP_MEMBERS_MAX):
        if not raw:
            return b"".join(parts)
        unzip = zlib.decompressobj(wbits=31)
        try:
            part = unzip.decompress(raw, most - size + 1)
        except zlib.error:
            raise _bad_gzip() from None
        size += len(part)
        if size > most:
            raise _too_large(most)
        if not unzip.eof:
            raise _bad_gzip()
        parts.append(part)
        raw = unzip.unused_data
    if raw:
        raise refuse(Refusal.BAD_REQUEST, Kind.TOO_COSTLY, f"The body is gzip of more than {GZIP_MEMBERS_MAX} members.")
    return b"".join(parts)


def _bad_gzip() -> Rejected:
    return refuse(Refusal.BAD_REQUEST, Kind.STRUCTURE, "The body says it is gzip, and is not, or is cut short.")


def _too_large(most: int) -> Rejected:
    return refuse(Refusal.TOO_LARGE, Kind.TOO_LONG, f"The body is larger than the {most} bytes this server takes.")


async def _parsed(settings: Settings, method: str, segments: tuple[str, ...], headers: RawHeaders, raw: bytes) -> Any:
    declared = headers.get(b"content-type", b"").decode("latin-1")
    is_native = segments[:1] == ("Binary",) and method in ("POST", "PUT") and _is_native(declared)
    if is_native and not names_operation(segments):
        return _binary(declared, raw, headers, segments[1] if len(segments) > 1 else "")
    media_type = content_type(declared)
    if method == "PATCH" and media_type in _PATCHES:
        return _patch(media_type, await _loads(settings, raw))
    if not is_fhir_json(media_type):
        patches = f"application/fhir+json (FHIRPath Patch), {JSON_PATCH} or {MERGE_PATCH}"
        takes = patches if method == "PATCH" else "application/fhir+json"
        said = f"is {media_type}" if media_type else "has no Content-Type"
        raise unsupported(f"The body {said}; this address takes {takes}.")
    return as_resource(await _loads(settings, raw))


def _patch(media_type: str, body: Any) -> Any:
    """A patch of the kind its media type names. Plain JSON may be any: a list, Parameters and a part differ on sight."""
    expected, is_a = _PATCHES[media_type]
    is_other = media_type == FHIR_JSON and isinstance(body, dict) and body.get("resourceType") != "Parameters"
    if is_other or not isinstance(body, expected):
        raise refuse(Refusal.BAD_REQUEST, Kind.STRUCTURE, f"A patch as {media_type} is {is_a}; the body is not.")
    return body


_PATCHES: dict[str, tuple[type | tuple[type, ...], str]] = {
    JSON_PATCH: (list, "a list of operations (RFC 6902)"),
    MERGE_PATCH: (dict, "an object: the part to change (RFC 7396)"),
    FHIR_JSON: (dict, "a Parameters resource (FHIRPath Patch)"),
    JSON: ((list, dict), "a list of operations, Parameters, or the part to change"),
}


async def _loads(settings: Settings, raw: bytes) -> Any:
    return await apart(len(raw), loads, raw, depth_max=settings.depth_max)


def _is_native(declared: str) -> bool:
    """Whether a body sent to Binary is the content itself: of a type, and of no form of FHIR."""
    media_type = declared.partition(";")[0].strip().lower()
    return bool(media_type) and media_type not in OTHER_FHIR and not is_fhir_json(media_type)


def _binary(declared: str, raw: bytes, headers: RawHeaders, id_: str) -> dict[str, Any]:
    """Content posted as itself, as the Binary that keeps it (R4 §2.42.1)."""
    made: dict[str, Any] = {"resourceType": "Binary"}
    if id_:
        made["id"] = id_
    made["contentType"] = declared.strip()
    if context := headers.get(b"x-security-context", b"").decode("latin-1"):
        made["securityContext"] = {"reference": context}
    if raw:
        made["data"] = base64.b64encode(raw).decode()
    return made


def _form(headers: RawHeaders, raw: bytes) -> tuple[tuple[str, str], ...]:
    if not raw:
        return ()
    if content_type(headers.get(b"content-type", b"").decode("latin-1")) != FORM:
        raise unsupported(f"A search by POST is a form: {FORM}.")
    return parameters_of(raw.strip())

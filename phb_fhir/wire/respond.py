"""From an `Answer` to HTTP: status, headers and bytes."""

from __future__ import annotations

import asyncio
import base64
import gzip
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from phb_fhir.fhir.codec import dumps, dumps_pretty, loads
from phb_fhir.fhir.dates import http_date
from phb_fhir.interactions.bundles import bundle_resource
from phb_fhir.interactions.request import Answer
from phb_fhir.interactions.subset import STORED_DEPTH_MAX
from phb_fhir.wire.negotiate import Accepted

RawHeader = tuple[bytes, bytes]
LARGE_BYTES = 256_000
KEPT_MAX = 2  # of what is the same for everybody: as text for people, and zipped
_GZIP_LEVEL = 1  # a resource of 2 KB shrinks to 0.40 of its size, and to 0.39 at level 6
_PRINTABLE = re.compile(r"[\x20-\x7e]+")

_VARY: RawHeader = (b"vary", b"Accept, Accept-Encoding, Prefer, Origin")


@dataclass(frozen=True, slots=True)
class Presentation:
    """How this client wants to be answered."""

    accepted: Accepted
    pretty: bool = False
    gzip: bool = False
    base: str = ""


class Response(NamedTuple):
    status: int
    headers: list[RawHeader]
    body: bytes


async def respond(answer: Answer, how: Presentation, gzip_bytes_min: int) -> Response:
    """The response to send; a HEAD sends all but its body."""
    headers = _version_headers(answer, how)
    if answer.status == 304:
        headers.append(_VARY)  # as the 200 would have (RFC 9110 §15.4.5)
    if answer.status in (204, 304):
        return Response(answer.status, headers, b"")
    body = _native(answer, how, headers)
    if body is None:
        body = _body(answer, how)
        if body:
            headers.append((b"content-type", f"{how.accepted.media_type};charset=utf-8".encode()))
    headers.append(_VARY)
    if how.gzip and len(body) >= gzip_bytes_min:
        body = _zipped_once(body) if answer.is_kept else await _zipped(body)
        headers.append((b"content-encoding", b"gzip"))
    headers.append((b"content-length", str(len(body)).encode()))
    return Response(answer.status, headers, body)


def _version_headers(answer: Answer, how: Presentation) -> list[RawHeader]:
    version = answer.version
    if version is None:
        return []
    headers = [
        (b"etag", b'W/"%d"' % version.number),
        (b"last-modified", http_date(version.at).encode()),
    ]
    if answer.located:
        headers.append((b"location", f"{how.base}/{version.key}/_history/{version.number}".encode()))
    return headers


def _body(answer: Answer, how: Presentation) -> bytes:
    if answer.bundle is not None:
        body = dumps(bundle_resource(answer.bundle))
    elif answer.outcome is not None:
        body = dumps(answer.outcome)
    else:
        body = answer.resource or b""
    if not (how.pretty and body):
        return body
    return _pretty_once(body) if answer.is_kept else _pretty(body)


def _pretty(body: bytes) -> bytes:
    return dumps_pretty(loads(body, depth_max=STORED_DEPTH_MAX))


_pretty_once = lru_cache(maxsize=KEPT_MAX)(_pretty)


def _native(answer: Answer, how: Presentation, headers: list[RawHeader]) -> bytes | None:
    """A Binary's own content, for a read that asked for that kind (R4 §2.42.1), or an operation; None to answer with FHIR."""
    if answer.is_content and answer.resource is not None:
        content: dict[str, Any] = loads(answer.resource, depth_max=STORED_DEPTH_MAX)
        headers.append((b"content-type", content["contentType"].encode()))
        return base64.b64decode(content["data"])
    version = answer.version
    if not how.accepted.native or answer.resource is None or version is None or version.type != "Binary":
        return None
    if answer.located:
        return None  # a write is answered with the resource
    binary: dict[str, Any] = loads(answer.resource, depth_max=STORED_DEPTH_MAX)
    kept: str = binary["contentType"]
    bare = kept.partition(";")[0].strip().lower()
    if not {bare, bare.partition("/")[0] + "/*", "*/*"} & set(how.accepted.native):
        return None
    # a FHIR code may hold a line end, and a header may not
    sent = kept if _PRINTABLE.fullmatch(kept) else "application/octet-stream"
    headers.append((b"content-type", sent.encode()))
    return base64.b64decode(binary.get("data", ""))


async def _zipped(body: bytes) -> bytes:
    if len(body) < LARGE_BYTES:
        return _gzip(body)
    return await asyncio.to_thread(_gzip, body)


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, _GZIP_LEVEL, mtime=0)


_zipped_once = lru_cache(maxsize=KEPT_MAX)(_gzip)

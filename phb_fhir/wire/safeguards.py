"""The headers that every answer has, whoever gives it: what a browser or a cache may do with it, which is as good as nothing.

`no-store`, and not `private, no-cache`: what is answered is somebody's health and money, and a cache that may keep it, keeps it on a
disk that others use later. A client that holds a version may still ask `If-None-Match` and hear 304: that is its own memory and not a
cache's (RFC 9111 §5.2.2.5), so nothing is lost but what a browser would do by itself.
"""

from __future__ import annotations

import base64
import re
from hashlib import sha256
from typing import Any

from phb_fhir.reports.page import STYLE
from phb_fhir.settings import Settings

RawHeader = tuple[bytes, bytes]

DOCS_PATH = "/docs"
_HSTS_S = 31_536_000  # a year
HOST = re.compile(
    r"[A-Za-z0-9.\-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?", re.ASCII
)  # as a Host header has it

_ALWAYS: tuple[RawHeader, ...] = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
# nothing here is a page: it may not be framed, load or run anything, nor count as of this origin when it is opened
_NO_PAGE: RawHeader = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox")
# the one page there is, with its scripts from where FastAPI has them: they may ask the operators' addresses, and nothing of FHIR
_SCRIPTS = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5/"
_ITS_ADDRESSES = ("openapi.json", "health/", "index", "metrics")


def safeguards(settings: Settings) -> tuple[RawHeader, ...]:
    """For all answers; those of the operators' page have another policy of content (`page_policy`)."""
    encrypted = settings.api_url.startswith("https:")
    hsts = ((b"strict-transport-security", f"max-age={_HSTS_S}".encode()),) if encrypted else ()
    return (*_ALWAYS, *hsts, _NO_PAGE)


# a report is a page that has its own style sheet and nothing else, which is known by its hash
_STYLE_HASH = base64.b64encode(sha256(STYLE.encode()).digest()).decode()
REPORT_POLICY: RawHeader = (
    b"content-security-policy",
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'; sandbox".encode(),
)


def page_policy(scope: Any) -> RawHeader:
    """What the operators' page may do, in the browser of whoever opened it."""
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    origin = f"{scope['scheme']}://{host}" if HOST.fullmatch(host) else ""
    asked = " ".join(f"{origin}/{path}" for path in _ITS_ADDRESSES) if origin else "'none'"
    rules = (
        "default-src 'none'",
        f"script-src 'unsafe-inline' {_SCRIPTS}",
        f"style-src 'unsafe-inline' {_SCRIPTS}",
        "img-src data: https://fastapi.tiangolo.com/img/",
        f"connect-src {asked}",
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    )
    return b"content-security-policy", "; ".join(rules).encode()

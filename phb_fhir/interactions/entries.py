"""The entries of a batch or transaction, read: each becomes the request it stands for (R4 §3.1.0.11.2)."""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from phb_fhir.fhir.codec import loads
from phb_fhir.fhir.dates import http_date, period_of
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import FhirRequest, Headers
from phb_fhir.interactions.subset import parse_subset
from phb_fhir.interactions.validation import relocated
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse

# what is written is written in this order, whatever order it came in (R4 §3.1.0.11.2)
PHASES: tuple[frozenset[str], ...] = (
    frozenset({"DELETE"}),
    frozenset({"POST"}),
    frozenset({"PUT", "PATCH"}),
    frozenset({"GET", "HEAD"}),
)


def request_of(context: Context, entry: dict[str, Any], parent: FhirRequest) -> FhirRequest:
    """The request in `Bundle.entry.request`. Raises Rejected (400) for one that cannot be read."""
    asked = entry.get("request")
    if (
        not isinstance(asked, dict)
        or asked.get("method") not in frozenset().union(*PHASES)
        or not isinstance(asked.get("url"), str)
    ):
        raise refuse(
            Refusal.BAD_REQUEST,
            Kind.REQUIRED,
            "An entry needs a request with a method and a url.",
            "Entry.request",
        )
    segments, parameters = _address(asked["url"], parent.base)
    method = "GET" if asked["method"] == "HEAD" else asked["method"]
    return FhirRequest(
        method,
        segments,
        parameters,
        Headers(
            if_match=_text(asked, "ifMatch"),
            if_none_match=_text(asked, "ifNoneMatch"),
            if_modified_since=_modified_since(asked),
            if_none_exist=_text(asked, "ifNoneExist"),
        ),
        _body(context, method, segments, entry.get("resource")),
        parent.base,
        parent.handling,
        parent.returned or "minimal",
        parse_subset(parameters, lenient=parent.handling == "lenient"),
        parent.request_id,
        parent.size,
    )


def _address(url: str, base: str) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    own = url == base or url.startswith((f"{base}/", f"{base}?"))
    relative = url.removeprefix(base).lstrip("/") if own else url.lstrip("/")
    try:
        parts = urlsplit(relative)
        segments = tuple(unquote(segment, errors="strict") for segment in parts.path.split("/") if segment)
        parameters = tuple(parse_qsl(parts.query, keep_blank_values=True, errors="strict"))
    except ValueError:
        raise _no_address(f"{url} is no address, or not percent-encoded UTF-8.") from None
    if parts.scheme or parts.netloc:
        raise _no_address(f"{url} is not an address of this server ({base}).")
    return segments, parameters


def _no_address(text: str) -> Rejected:
    return refuse(Refusal.BAD_REQUEST, Kind.VALUE, text, "Entry.request.url")


def _modified_since(asked: dict[str, Any]) -> str:
    """`ifModifiedSince` is an instant, where the header it stands for is an HTTP date (R4 Bundle.entry.request)."""
    instant = _text(asked, "ifModifiedSince")
    try:
        return http_date(period_of(instant)[0]) if instant else ""
    except (ValueError, OverflowError):
        raise refuse(
            Refusal.BAD_REQUEST, Kind.VALUE, f"{instant} is no instant.", "Entry.request.ifModifiedSince"
        ) from None


def _text(asked: dict[str, Any], name: str) -> str:
    value = asked.get(name, "")
    return value if isinstance(value, str) else ""


def _body(context: Context, method: str, segments: tuple[str, ...], resource: Any) -> Any:
    if resource is None and segments and segments[-1].startswith("$"):
        return None  # an operation may have all it needs in its address
    if method in ("POST", "PUT", "PATCH") and not isinstance(resource, dict):
        raise refuse(Refusal.BAD_REQUEST, Kind.REQUIRED, f"A {method} entry needs a resource.", "Entry.resource")
    if method == "PATCH" and resource.get("resourceType") == "Binary":
        return _json_patch(context, resource)
    return resource


def _json_patch(context: Context, binary: dict[str, Any]) -> Any:
    """A JSON Patch inside a Bundle travels as a Binary (R4 §3.1.0.6.1)."""
    if str(binary.get("contentType")).partition(";")[0].strip().lower() != "application/json-patch+json":
        text = "A patch in a Bundle is Parameters, or a Binary of application/json-patch+json."
        raise refuse(Refusal.BAD_REQUEST, Kind.VALUE, text, "Entry.resource.contentType")
    try:
        data = base64.b64decode(binary.get("data", ""), validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise refuse(
            Refusal.BAD_REQUEST, Kind.VALUE, "The Binary's data is not base64.", "Entry.resource.data"
        ) from None
    try:
        patch = loads(data, depth_max=context.settings.depth_max)
    except Rejected as rejected:
        raise relocated(rejected, "Entry.resource.data") from None
    if not isinstance(patch, list):
        text = "A JSON Patch is a list of operations (RFC 6902); what is in the Binary is not."
        raise refuse(Refusal.BAD_REQUEST, Kind.STRUCTURE, text, "Entry.resource.data")
    return patch


def entries_sent(request: FhirRequest) -> list[Any]:
    """What stands in the body as entries, before any of it was looked at."""
    entries = request.body.get("entry") if isinstance(request.body, dict) else None
    return entries if isinstance(entries, list) else []


def asked_in(entry: Any) -> dict[str, Any]:
    """What stands in an entry as its request; {} for none."""
    asked = entry.get("request") if isinstance(entry, dict) else None
    return asked if isinstance(asked, dict) else {}

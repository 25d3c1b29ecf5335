"""The conditional headers, read (RFC 9110 §13.1; FHIR R4 §3.1.0.5, §3.1.0.2)."""

from __future__ import annotations

import re
from datetime import datetime
from urllib.parse import parse_qsl

from phb_fhir.change import Condition, Criteria, Version
from phb_fhir.fhir.dates import parse_http_date
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import FhirRequest, Headers
from phb_fhir.outcome import Kind, Refusal, refuse
from phb_fhir.search.parse import PRESENTATION, parse_criteria

_TAG = re.compile(r'(?:W/)?"([^"]*)"')
_BETWEEN = re.compile(r"[ \t]*(?:,[ \t]*)+")  # elements of a list may be empty (RFC 9110 §5.6.1.2)


def parse_condition(header: str, name: str) -> Condition | None:
    """`W/"3"`, `"3"`, a list of them, or `*`. None when the header was not sent; Rejected (400) when it is malformed."""
    if not header:
        return None
    if header.strip() == "*":
        return Condition(None)
    first, *rest = _TAG.split(header)
    tags, between, last = rest[::2], rest[1:-1:2], rest[-1] if rest else ""
    if not tags or (first + last).strip(" \t,") or not all(_BETWEEN.fullmatch(one) for one in between):
        text = f'{name}: {header} is not an ETag; write it as it was given, such as W/"3".'
        raise refuse(Refusal.BAD_REQUEST, Kind.INVALID, text)
    return Condition(frozenset(map(_number, tags)))


def conditions_of(request: FhirRequest) -> tuple[Condition | None, Condition | None]:
    """What a change of what is there is guarded by: If-Match and If-None-Match. Raises Rejected (400), for If-None-Exist, too, which guards
    a create alone (R4 §3.1.0.8.1): what was to be made only if there was none would change what is there.
    """
    headers = request.headers
    if headers.if_none_exist:
        text = "If-None-Exist is the condition of a create (POST); an update has If-None-Match: * for what must not be there."
        raise refuse(Refusal.BAD_REQUEST, Kind.INVALID, text)
    return parse_condition(headers.if_match, "If-Match"), parse_condition(headers.if_none_match, "If-None-Match")


def _number(tag: str) -> int:
    """The version that an ETag is of; one that is no version number is none of ours, and matches nothing."""
    return int(tag) if tag.isascii() and tag.isdigit() and len(tag) < 19 and str(int(tag)) == tag else -1


def is_not_modified(headers: Headers, version: Version) -> bool:
    """Whether a read may answer 304. If-None-Match, where sent, decides alone (RFC 9110 §13.1.3)."""
    if headers.if_none_match:
        condition = parse_condition(headers.if_none_match, "If-None-Match")
        return condition is not None and condition.holds_for(version)
    if headers.if_modified_since:
        since = parse_http_date(headers.if_modified_since)
        return since is not None and _to_second(version.at) <= since
    return False


def _to_second(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def criteria_of(context: Context, request: FhirRequest) -> Criteria:
    """The criteria in the query of a conditional update, patch or delete."""
    asked = tuple(pair for pair in request.parameters if pair[0] not in PRESENTATION)
    return _criteria(context, request.type, asked)


def criteria_in(context: Context, type_: str, text: str) -> Criteria:
    """The criteria of an If-None-Exist header or a conditional reference: `identifier=a|b`, with or without `Type?`.

    The type may have this server's base before it, as HAPI's client sends it. Raises Rejected (400) where they are not understood, or are for another type.
    """
    named, mark, query = text.partition("?")
    if not mark or "=" in named:  # a '?' further on belongs to a value
        named, query = "", text
    base = named.removesuffix(type_)
    if named not in ("", type_) and not (base != named and context.own.has(base)):
        raise refuse(
            Refusal.BAD_REQUEST, Kind.INVALID, f"The criteria {text} are for {named}, and this is for {type_}."
        )
    try:
        parameters = tuple(parse_qsl(query, keep_blank_values=True, errors="strict"))
    except ValueError:
        raise refuse(Refusal.BAD_REQUEST, Kind.INVALID, f"The criteria {text} are not percent-encoded UTF-8.") from None
    return _criteria(context, type_, parameters)


def _criteria(context: Context, type_: str, parameters: tuple[tuple[str, str], ...]) -> Criteria:
    query = parse_criteria(type_, parameters, context.asking())
    return Criteria(query, "&".join(f"{name}={value}" for name, value in sorted(parameters)))

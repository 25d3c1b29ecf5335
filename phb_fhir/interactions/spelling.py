"""References that could be meant for something here, and are spelled so that nothing would be found by them.

`./Account/1`, `Account/1/`, `Account/1?x=y`, `Account/%31`, or this server's own address with another scheme, port or letter case: a reader
may follow each of them to a budget, and no rule would. So what rules look at is refused with one. Criteria (`Patient?identifier=…`) are followed
in a transaction alone (R4 §3.1.0.11, "Conditional References"), and refused of every type anywhere else: they would lead nobody anywhere. Stored ones are let be, or nothing about them
could be put right one by one. What an address of another server, a UUID or `#id` means, is not this server's to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from posixpath import normpath
from typing import Any
from urllib.parse import unquote, urlsplit

from phb_fhir.definitions.walk import references
from phb_fhir.fhir.reference import has_scheme
from phb_fhir.interactions.contents import content_of
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.judging import named
from phb_fhir.interactions.validation import Content
from phb_fhir.outcome import Issue, Kind, Refusal, Rejected
from phb_fhir.rules.book import is_concerned
from phb_fhir.search.own import OwnBase
from phb_fhir.settings import LOOPBACK_NAMES

_PLAIN = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?|#.*|urn:.*", re.DOTALL)
_CRITERIA = re.compile(r"[A-Z][A-Za-z]+\?")
_WEB = re.compile(r"\s*https?:", re.IGNORECASE)
_MEANT = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})", re.DOTALL)
_SHOWN_MAX = 200


def check_spelling(context: Context, content: Content) -> None:
    """Raise Rejected (422) where something newly refers to what may be here by criteria; what rules look at, by whatever is no address."""
    own, concerned = context.own, is_concerned(content.type, content.resource)
    if content.type == "Bundle":  # which may be kept to be sent
        return
    odd = {text for text in _texts(content.resource) if (is_odd(own, text) if concerned else _CRITERIA.match(text))}
    odd -= set(_texts(content_of(content.before))) if odd else set()
    if not odd:
        return
    places = [one for one in references(named(content), context.definitions) if one.kind == "Reference"]
    if issues := [Issue(Kind.VALUE, _said(one.value), one.path) for one in places if one.value in odd]:
        raise Rejected(Refusal.UNPROCESSABLE, *issues)


def is_odd(own: OwnBase, reference: str) -> bool:
    """Whether a literal reference may lead to something here and is not spelled as an address of it."""
    if _PLAIN.fullmatch(reference):
        return False
    if _WEB.match(reference):
        return own.local(reference) == reference and _is_here(own, reference)
    return not has_scheme(reference)  # any other scheme is somewhere else


def _is_here(own: OwnBase, url: str) -> bool:
    """Whether a URL leads to this machine's FHIR API, written in whichever way."""
    base = urlsplit(own.api_url)
    try:
        parts = urlsplit(url.strip())
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return False
    path = normpath(re.sub(r"/+", "/", f"/{unquote(parts.path)}")).lower()
    return host in {base.hostname, *LOOPBACK_NAMES} and path.startswith(f"{base.path.lower()}/")


def _said(text: str) -> str:
    if _CRITERIA.match(text):
        return f'"{text[:_SHOWN_MAX]}" is no address of a resource here: criteria are followed in a transaction alone.'
    meant = _MEANT.fullmatch(re.split(r"[?#]", unquote(text))[0].rstrip("/"))
    better = f" Write {meant[1]}." if meant else ""
    return f'"{text[:_SHOWN_MAX]}" is no address of a resource here, and would be found by nobody.{better}'


def _texts(value: Any) -> Iterator[str]:
    """Every literal reference in a content, in whichever element."""
    if isinstance(value, dict):
        if isinstance(reference := value.get("reference"), str):
            yield reference
        value = value.values()
    for each in value:
        if isinstance(each, dict | list):
            yield from _texts(each)

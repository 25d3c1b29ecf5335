"""SMART scopes, as a token carries them (SMART App Launch 2.2, "Scopes for requesting FHIR Resources").

A token's `scope` is words with spaces between them, and with nothing else that is blank (RFC 6749 §3.3): else a word that somebody
chose could be two of ours and one of the issuer's. Those that name resources become `Scope`s: of version 2
(`patient/Account.rs`, `user/Observation.rs?category=laboratory`) and of version 1 (`patient/Account.read`). All other words
(`openid`, `launch/patient`, `offline_access`) are not about resources. A word that is nearly a scope grants nothing: what was
meant cannot be known, and a guess could only widen it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, cast
from urllib.parse import unquote_plus

from phb_fhir.security.actor import Scope

SCOPES_MAX = 500  # past that a token does not say what it may do, it hides it

_SCOPE = re.compile(
    r"(?P<context>patient|user|system)/(?P<type>\*|[A-Z][A-Za-z]{1,63})\.(?P<permissions>[a-z]+|\*)(?:\?(?P<criteria>.*))?",
    re.ASCII,
)
_V1 = {"read": "rs", "write": "cud", "*": "cruds"}  # "Scopes for requesting FHIR Resources", the table for version 1
_V2 = re.compile(r"(?=.)c?r?u?d?s?")  # in this order, each at most once, and at least one
_PARAMETER = re.compile(r"([A-Za-z_][A-Za-z0-9_\-.:]{0,199})=(.+)", re.DOTALL)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@lru_cache(maxsize=1024)  # the same few are granted to everybody
def parse_scopes(text: str) -> tuple[Scope, ...]:
    """What the words of `text` grant, each once, in their order."""
    words = text.split(" ")
    if len(words) > SCOPES_MAX:
        return ()
    return tuple(dict.fromkeys(scope for word in words if (scope := _scope(word)) is not None))


def names_resources(text: str) -> bool:
    """Whether any word is meant to be about resources, rightly written or not."""
    return any(word.partition("/")[0] in ("patient", "user", "system") for word in text.split(" ") if "/" in word)


def narrowed(scopes: Iterable[Scope], to: Iterable[Scope]) -> tuple[Scope, ...]:
    """What both grant: of each of `scopes`, what each of `to` leaves of it."""
    allowed = tuple(to)
    return tuple(dict.fromkeys(both for one in scopes for other in allowed if (both := _both(one, other)) is not None))


def _both(one: Scope, other: Scope) -> Scope | None:
    permissions = one.permissions & other.permissions
    if not permissions or (one.type != other.type and "*" not in (one.type, other.type)):
        return None
    context = other.context if other.context == "patient" else one.context
    criteria = tuple(dict.fromkeys((*one.criteria, *other.criteria)))
    return Scope(context, other.type if one.type == "*" else one.type, permissions, criteria)


def _scope(word: str) -> Scope | None:
    found = _SCOPE.fullmatch(word)
    if found is None:
        return None
    permissions = _permissions(found["permissions"], has_criteria=found["criteria"] is not None)
    criteria = _criteria(found["criteria"])
    if not permissions or criteria is None:
        return None
    context = cast("Literal['patient', 'user', 'system']", found["context"])
    return Scope(context, found["type"], frozenset(permissions), criteria)


def _permissions(text: str, *, has_criteria: bool) -> str:
    if text in _V1:
        return "" if has_criteria else _V1[text]  # version 1 knows no criteria
    return text if _V2.fullmatch(text) else ""


def _criteria(text: str | None) -> tuple[tuple[str, str], ...] | None:
    """The parameters of `?a=b&c=d`, decoded; None where they are not such, so that they cannot be lost on the way."""
    if text is None:
        return ()
    pairs = [_PARAMETER.fullmatch(part) for part in text.split("&")]
    if _BAD_ESCAPE.search(text) or not all(pairs):
        return None
    try:
        return tuple((pair[1], unquote_plus(pair[2], errors="strict")) for pair in pairs if pair)
    except UnicodeDecodeError:
        return None

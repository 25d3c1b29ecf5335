"""From a refusal to an answer: the status from the one table, the issues as an OperationOutcome."""

from __future__ import annotations

import re

from phb_fhir.interactions.request import Answer
from phb_fhir.interactions.status import status_of
from phb_fhir.outcome import Issue, Kind, Refusal, Rejected, outcome_of
from phb_fhir.security.refusals import AUTH_REQUIRED
from phb_fhir.wire.negotiate import PATCHES

RETRY_AFTER_S = 2
CHALLENGE = b'Bearer realm="phb-fhir"'
_NOT_QUOTABLE = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")  # RFC 6750 §3: what an error_description may not hold


def answer_to(rejected: Rejected) -> Answer:
    return Answer(status_of(rejected), outcome=outcome_of(rejected.issues))


def extra_headers(rejected: Rejected, allowed: tuple[str, ...]) -> list[tuple[bytes, bytes]]:
    """What a refusal says in headers beside its outcome."""
    if rejected.refusal is Refusal.UNAUTHENTICATED:
        return [(b"www-authenticate", challenge(rejected))]
    if rejected.refusal is Refusal.OUT_OF_SCOPE:
        return [(b"www-authenticate", _challenge_of("insufficient_scope", rejected))]
    if rejected.refusal is Refusal.METHOD_NOT_ALLOWED:
        return [(b"allow", ", ".join(allowed).encode())]
    if rejected.refusal is Refusal.UNSUPPORTED_MEDIA_TYPE:
        return accept_patch(allowed)
    if rejected.refusal is Refusal.UNSUPPORTED_ENCODING:
        return [(b"accept-encoding", b"gzip")]  # RFC 9110 §15.5.16
    if rejected.refusal is Refusal.UNAVAILABLE:
        return [(b"retry-after", str(RETRY_AFTER_S).encode())]
    return []


def accept_patch(allowed: tuple[str, ...]) -> list[tuple[bytes, bytes]]:
    """The kinds of patch that an address takes, where it takes any (RFC 5789 §3.1)."""
    return [(b"accept-patch", ", ".join(PATCHES).encode())] if "PATCH" in allowed else []


def challenge(rejected: Rejected) -> bytes:
    """How to be let in (RFC 6750 §3): of a request that showed no token nothing more is said than that it should."""
    if rejected.issues[0].details == AUTH_REQUIRED:
        return CHALLENGE
    return _challenge_of("invalid_token", rejected)


def _challenge_of(error: str, rejected: Rejected) -> bytes:
    said = _NOT_QUOTABLE.sub("", rejected.issues[0].text)
    return CHALLENGE + f', error="{error}", error_description="{said}"'.encode()


def overloaded(most: int) -> Rejected:
    """What a client is told when this worker has as many requests under way as it takes."""
    text = (
        f"The server is answering {most} requests already, as many as it takes at once; nothing was done of this one."
    )
    return Rejected(Refusal.UNAVAILABLE, Issue(Kind.THROTTLED, text))


def interrupted() -> Rejected:
    """What a client is told whose request was under way when the server ended, and took too long to be waited for."""
    text = "The server is being stopped and could not finish this request: what it asked for may or may not have been done."
    return Rejected(Refusal.UNAVAILABLE, Issue(Kind.TRANSIENT, text))

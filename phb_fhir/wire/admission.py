"""Who is let in: from the headers of a request to the Context of whoever asks. The one place where HTTP meets security.

An open server lets everybody in as nobody in particular. Else every request needs a token, but for the statement of what is served
(R4 §3.1.0.12) and the preflight questions of browsers, which tell of nobody.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from phb_fhir.interactions.context import Context
from phb_fhir.interactions.seen import Remembered, admitted
from phb_fhir.interactions.trail import Trail, asker_of
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.security.actor import Actor
from phb_fhir.wire.exchange import Exchange
from phb_fhir.wire.limits import RateLimits
from phb_fhir.wire.request import RawHeaders

if TYPE_CHECKING:
    from phb_fhir.security.authenticate import Authenticator

PUBLIC = frozenset((("metadata",), (".well-known", "smart-configuration")))  # what anybody may read
_PURPOSE = re.compile(r"(?:http://terminology\.hl7\.org/CodeSystem/v3-ActReason\|)?([A-Z]{3,20})")


class Admission:
    """`authenticator` is None on an open server."""

    def __init__(self, authenticator: Authenticator | None, limits: RateLimits) -> None:
        self._authenticator = authenticator
        self._limits = limits
        self._remembered = Remembered()

    @property
    def is_open(self) -> bool:
        return self._authenticator is None

    async def actor_of(self, headers: RawHeaders, exchange: Exchange) -> Actor | None:
        """Who is asking; None on an open server. Raises Rejected: 401, 429, or 503 where only an issuer that is away could tell."""
        if self._authenticator is None:
            return None
        authorization = headers.get(b"authorization", b"")
        actor = self._authenticator.known(authorization)
        if actor is None:
            actor = await self._verified(self._authenticator, authorization.decode("latin-1"), exchange)
        self._limits.take(exchange, actor)
        return actor

    async def _verified(self, authenticator: Authenticator, authorization: str, exchange: Exchange) -> Actor:
        self._limits.check_may_try(exchange)
        try:
            return await authenticator.actor_of(authorization)
        except Rejected as rejected:
            if authorization and rejected.refusal is Refusal.UNAUTHENTICATED:
                self._limits.note_failure(exchange)
            elif (
                rejected.refusal is Refusal.UNAVAILABLE
            ):  # nobody can tell whose it is, so it counts as one without a token
                self._limits.take_anonymous(exchange)
            raise

    async def context_for(self, context: Context, actor: Actor | None, headers: RawHeaders, trail: Trail) -> Context:
        """The context in which a request of this actor is answered. Raises Rejected (400) for a purpose of use that is none."""
        if actor is None:
            return context
        try:
            return await admitted(context, actor, purpose_of(headers), self._remembered, trail)
        except Exception:
            trail.asker = asker_of(actor)  # whatever comes of it, who it was is known
            raise


def purpose_of(headers: RawHeaders) -> str:
    """The purpose of use that the request states: a code of v3 ActReason, such as BTG; "" for none."""
    text = headers.get(b"x-purpose-of-use", b"").decode("latin-1").strip()
    if not text:
        return ""
    found = _PURPOSE.fullmatch(text)
    if found is None:
        said = "X-Purpose-Of-Use is a code of v3-ActReason, such as TREAT, or BTG to break the glass."
        raise refuse(Refusal.BAD_REQUEST, Kind.VALUE, said)
    return found[1]

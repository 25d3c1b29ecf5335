"""How often each client may ask, held against every request: who signed in by who they are, anybody else by their address.

A request without a token counts for its address (`wire/middleware`). One with a token counts for its actor once that is known; until
then its address must not have used up its wrong tokens, so that nobody can go on guessing. Tokens that are known already are not held
against that, so those who share an address with a guesser, and are signed in, notice nothing.

Each worker counts for itself, so several let pass as many times more, if a client's connections are spread over them. An open server
counts nothing: it answers its own machine alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from phb_fhir.outcome import Issue, Kind, Refusal, Rejected
from phb_fhir.security.actor import Actor
from phb_fhir.security.rates import Policy, Rates, Standing, client_at, client_of, limit_field, policy_field
from phb_fhir.settings import Settings
from phb_fhir.wire.exchange import Exchange

_ASKED = {
    "client": "This client has asked {quota} times in {window_s} seconds, which is as often as it may",
    "address": "{quota} requests in {window_s} seconds came from this address without a token, which is as many as may",
    "failed": "{quota} tokens in {window_s} seconds came from this address that were not right, which is as many as may",
}


class RateLimits:
    """`clock` is in seconds and only goes forward. Each method that refuses raises Rejected (TOO_MANY)."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._now = clock
        self._clients = _rates(settings, "client", settings.rate_client_max)
        self._addresses = _rates(settings, "address", settings.rate_address_max)
        self._failures = _rates(settings, "failed", settings.rate_failed_max)

    def take_anonymous(self, exchange: Exchange) -> None:
        """Count a request that brings no token."""
        _hold(exchange, self._addresses.take(client_at(exchange.address), self._now()))

    def take(self, exchange: Exchange, actor: Actor) -> None:
        """Count a request of somebody who is signed in."""
        _hold(exchange, self._clients.take(client_of(actor), self._now()))

    def check_may_try(self, exchange: Exchange) -> None:
        """Before a token is looked at that is not known: have there been too many wrong ones from there?"""
        refusal = self._failures.refusal(client_at(exchange.address), self._now())
        if refusal is not None:
            _hold(exchange, refusal)

    def note_failure(self, exchange: Exchange) -> None:
        """Count a token that was not right. What is left is not said: others may be behind the same address."""
        self._failures.take(client_at(exchange.address), self._now())


def rate_headers(standing: Standing) -> list[tuple[bytes, bytes]]:
    """What an answer says of the client's rate, and when refused, how long to wait (RFC 9110 §10.2.3)."""
    said = [(b"ratelimit-policy", policy_field(standing.policy)), (b"ratelimit", limit_field(standing))]
    return said if standing.taken else [*said, (b"retry-after", str(standing.window_s).encode())]


def _rates(settings: Settings, name: str, quota: int) -> Rates:
    return Rates(Policy(name, 0 if settings.open else quota, settings.rate_window_s))


def _hold(exchange: Exchange, standing: Standing | None) -> None:
    exchange.standing = standing
    if standing is not None and not standing.taken:
        raise Rejected(Refusal.TOO_MANY, Issue(Kind.THROTTLED, _sentence(standing)))


def _sentence(standing: Standing) -> str:
    policy = standing.policy
    asked = _ASKED[policy.name].format(quota=policy.quota, window_s=policy.window_s)
    seconds = "1 second" if standing.window_s == 1 else f"{standing.window_s} seconds"
    return f"{asked}. Nothing was done of this one; ask again in {seconds}."

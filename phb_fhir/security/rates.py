"""How often somebody may ask: a token bucket for each client, in as little memory as can be, by a clock that is given.

A `Policy` gives a client `quota` requests in `window_s` seconds. Who has not asked for a while may use the whole quota at once, and
what was used comes back evenly, one request every `window_s / quota` seconds. So in any window a client gets at most twice its quota,
and over time never more than its quota a window.

Of each client one number is kept (the generic cell rate algorithm, ITU-T I.371): the moment at which its bucket will be full again. A
client whose moment has passed is as one that never asked, and is forgotten. There are never more than `clients_max` of them: past
that, those who asked the longest ago are forgotten first, which gives them their quota back before its time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address

from phb_fhir.security.actor import Actor

CLIENTS_MAX = 50_000
_FORGOTTEN_AT_ONCE = 4  # how many of the full buckets at the old end are looked at for each request
_IPV6_SITE_BITS = 64  # the host part of an address, which its owner chooses freely (RFC 4291 §2.5.1)


@dataclass(frozen=True, slots=True)
class Policy:
    """`quota` requests in `window_s` seconds. A quota of 0 is no limit."""

    name: str
    quota: int
    window_s: int

    @property
    def interval_s(self) -> float:
        return self.window_s / self.quota


@dataclass(frozen=True, slots=True)
class Standing:
    """How a client stands after a request: whether that was within its quota, what is left of it, and for how long.

    `window_s`, in whole seconds: who uses no more than `left` in it is not refused. When refused, it is the time after which the next
    request is taken.
    """

    policy: Policy
    taken: bool
    left: int
    window_s: int


class Rates:
    """The buckets of all clients under one policy. `now` is in seconds, of a clock that only goes forward."""

    def __init__(self, policy: Policy, clients_max: int = CLIENTS_MAX) -> None:
        self.policy = policy
        self._clients_max = clients_max
        self._full_at: dict[bytes, float] = {}  # the one who asked the longest ago first

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, client: bytes, now: float) -> Standing | None:
        """Count a request of this client, if it is within its quota. None where the policy is no limit."""
        policy = self.policy
        if not policy.quota:
            return None
        full_at = max(self._full_at.pop(client, now), now)
        after = full_at + policy.interval_s
        taken = after - now <= policy.window_s + _SLACK_S
        self._full_at[client] = after if taken else full_at
        self._forget(now)
        return _standing(policy, after if taken else full_at, now, taken=taken)

    def refusal(self, client: bytes, now: float) -> Standing | None:
        """How a client stands that has used up its quota; None for one that has not. It counts nothing."""
        policy = self.policy
        full_at = self._full_at.get(client, now)
        if not policy.quota or full_at + policy.interval_s - now <= policy.window_s + _SLACK_S:
            return None
        return _standing(policy, full_at, now, taken=False)

    def _forget(self, now: float) -> None:
        for _ in range(_FORGOTTEN_AT_ONCE):
            oldest = next(iter(self._full_at))
            if len(self._full_at) == 1 or (self._full_at[oldest] > now and len(self._full_at) <= self._clients_max):
                return
            del self._full_at[oldest]


_SLACK_S = 1e-6  # sums of intervals are not exact


def _standing(policy: Policy, full_at: float, now: float, *, taken: bool) -> Standing:
    used_s = max(0.0, full_at - now)
    if not taken:
        return Standing(policy, taken, 0, max(1, math.ceil(used_s + policy.interval_s - policy.window_s - _SLACK_S)))
    left = max(0, math.floor((policy.window_s - used_s) / policy.interval_s + _SLACK_S))
    # never a shorter time than what is left would take at the even pace, lest a client hurry (draft §8.5)
    return Standing(policy, taken, left, max(1, math.ceil(max(used_s, left * policy.interval_s) - _SLACK_S)))


# ---- who is one client -------------------------------------------------------------------------------------------------------------


def client_of(actor: Actor) -> bytes:
    """The name of a signed-in client: the application and whom it acts for. Its bucket keeps no name of a person, only a digest."""
    return _actor_digest(actor.issuer, actor.client, actor.subject)


def client_at(address: str) -> bytes:
    """The name of whoever asks from an address. Of IPv6 it is the network, all of whose addresses one subscriber may use in turn."""
    try:
        ip = ip_address(address)
    except ValueError:
        return _digest("address", address)
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is None:
            return b"6" + ip.packed[: _IPV6_SITE_BITS // 8]
        ip = ip.ipv4_mapped
    return b"4" + ip.packed


@lru_cache(maxsize=1_000)  # whoever asks asks again
def _actor_digest(issuer: str, client: str, subject: str) -> bytes:
    return _digest("actor", issuer, client, subject)


def _digest(*parts: str) -> bytes:
    return blake2b("\0".join(parts).encode(errors="surrogatepass"), digest_size=16).digest()


# ---- how it is said (draft-ietf-httpapi-ratelimit-headers-11) ------------------------------------------------------------------------


def policy_field(policy: Policy) -> bytes:
    """The value of RateLimit-Policy (§3)."""
    return f'"{policy.name}";q={policy.quota};w={policy.window_s}'.encode()


def limit_field(standing: Standing) -> bytes:
    """The value of RateLimit (§4)."""
    return f'"{standing.policy.name}";r={standing.left};t={standing.window_s}'.encode()

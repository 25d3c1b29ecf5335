"""Who is at the other end: the address that a request comes from, through the proxies that are trusted to say so.

A proxy adds to `X-Forwarded-For` whom it heard the request from. Anybody may send that header, so it is read from its end, and only as
far as each next one is a trusted proxy; the first who is none is the client. Without trusted proxies the header means nothing, but it
tells that there is a proxy nobody spoke of: whoever is behind it is not at this machine, though the connection comes from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

Networks = tuple[IPv4Network | IPv6Network, ...]
RawHeaders = Sequence[tuple[bytes, bytes]]

HOPS_MAX = 16
LOOPBACK: Networks = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_FORWARDED = frozenset({b"x-forwarded-for", b"forwarded", b"x-real-ip"})


def networks(words: Sequence[str]) -> Networks:
    return tuple(ip_network(word) for word in words)


def address_of(scope: Any, trusted: Networks) -> str:
    """The address of the client; "" where there is none to be known."""
    client = scope.get("client")
    address: str = client[0] if client else ""
    if not trusted or not is_in(address, trusted):
        return address
    for hop in _hops(scope["headers"]):
        if _ip(hop) is None:
            return address  # what cannot be read says nothing of who is behind it
        address = hop
        if not is_in(hop, trusted):
            return address
    return address


def is_forwarded(scope: Any) -> bool:
    """Whether a proxy says that it stands between."""
    return any(name in _FORWARDED for name, _ in scope["headers"])


@lru_cache(maxsize=4096)
def is_in(address: str, among: Networks) -> bool:
    ip = _ip(address)
    return ip is not None and any(ip in network for network in among)


def _hops(headers: RawHeaders) -> list[str]:
    """What `X-Forwarded-For` says, the nearest first."""
    said = b",".join(value for name, value in headers if name == b"x-forwarded-for").decode("latin-1")
    return [_bare(hop.strip()) for hop in said.rsplit(",", HOPS_MAX)[-HOPS_MAX:][::-1]]


def _bare(hop: str) -> str:
    """Without a port, which some proxies add: `192.0.2.1:4711`, `[2001:db8::1]:4711`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _ip(address: str) -> IPv4Address | IPv6Address | None:
    try:
        ip = ip_address(address)
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip

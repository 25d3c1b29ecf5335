"""The server's own addresses: `http://this.server/fhir/Patient/1` is `Patient/1`, whoever wrote it (R4 §2.3.0.1).

A reference is kept in the index, and looked for in it, by its address; so an own one has one form only, the relative one.
A server that was given no public address is known on this machine by several names, which mean the same on its own port.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from phb_fhir.settings import API_PATH, LOOPBACK_NAMES

_RESTFUL = re.compile(
    r"(?P<base>https?://.+/)(?P<rest>[A-Z][A-Za-z]*/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?)"
)


@dataclass(frozen=True, slots=True)
class OwnBase:
    """The server at this base URL (no slash at its end; "" for none, so that no absolute address is its own).

    `loopback_port`: it was given no public address, and is also what listens on this port of this machine.
    """

    api_url: str
    loopback_port: int | None = None

    def local(self, reference: str) -> str:
        """`Patient/1` for `http://this.server/fhir/Patient/1`; any other reference as it is."""
        if not reference.startswith("http"):
            return reference
        found = _RESTFUL.fullmatch(reference)
        return found["rest"] if found and self.has(found["base"]) else reference

    def has(self, base: str) -> bool:
        """Whether `base` (with its slash) is this server."""
        return _is_own(self.api_url, self.loopback_port, base)


NOWHERE = OwnBase("")  # for what runs without a server: no address is its own


@lru_cache(maxsize=256)
def _is_own(api_url: str, loopback_port: int | None, base: str) -> bool:
    if loopback_port is None or base == f"{api_url}/":
        return api_url != "" and base == f"{api_url}/"
    try:
        parts = urlsplit(base)
        asked = (parts.port, parts.path)
    except ValueError:
        return False
    return parts.hostname in LOOPBACK_NAMES and asked == (loopback_port, f"{API_PATH}/")

"""What an issuer answers: a JSON object, within a time and a size, from the address asked and from nowhere else."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx

from phb_fhir.fhir.codec import loads
from phb_fhir.outcome import Rejected

_DEPTH_MAX = 32


class NotReached(Exception):  # noqa: N818 - the issuer's fault, not ours
    """An issuer did not give the answer that was asked for. `status` is what it said, 0 where it said nothing."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Asks issuers. Redirects are not followed: a token or a secret goes where the configuration says."""

    client: httpx.AsyncClient
    timeout_s: float
    bytes_max: int

    async def json(self, method: str, url: str, **given: Any) -> dict[str, Any]:
        """The JSON object that is answered with 200. Raises NotReached."""
        try:
            async with asyncio.timeout(self.timeout_s):
                text = await self._text(method, url, given)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            raise NotReached(type(error).__name__) from None
        try:
            value = loads(text, depth_max=_DEPTH_MAX)
        except Rejected:
            value = None
        if not isinstance(value, dict):
            raise NotReached("the answer is no JSON object", 200)
        return value

    async def _text(self, method: str, url: str, given: dict[str, Any]) -> bytes:
        headers = {"Accept": "application/json", **given.pop("headers", {})}
        async with self.client.stream(method, url, headers=headers, **given) as answer:
            if answer.status_code != 200:
                raise NotReached(f"it answered {answer.status_code}", answer.status_code)
            text = b""
            async for piece in answer.aiter_bytes():
                text += piece
                if len(text) > self.bytes_max:
                    raise NotReached("the answer is too long", 200)
        return text


def make_client() -> httpx.AsyncClient:
    """What connections to issuers are made with: few, kept open, none of them redirected."""
    limits = httpx.Limits(max_connections=50, max_keepalive_connections=10)
    return httpx.AsyncClient(follow_redirects=False, limits=limits)

"""Asking an issuer about a token: whether it is active (RFC 7662), and who its holder is (the UserInfo of OpenID Connect Core 1.0 §5.3).

An answer is relied on for `trust_s` and no longer, so that a token that was revoked falls out within that time. The same token is
asked about once at a time, and so many tokens at once as `ASKING_MAX`: past that the next wait, within the time an issuer has.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.security.fetch import Fetcher, NotReached
from phb_fhir.security.issuers import IssuerAtWork
from phb_fhir.security.refusals import not_trusted
from phb_fhir.security.tokens import Holds, check_audience, check_times
from phb_fhir.security.trusted import Introspection
from phb_fhir.settings import WrongSetting

ASKING_MAX = 20


class Introspector:
    """Asks one issuer about tokens."""

    def __init__(self, at_work: IssuerAtWork, timeout_s: float) -> None:
        self._at_work = at_work
        self._timeout_s = timeout_s
        self._places = asyncio.Semaphore(ASKING_MAX)
        self._under_way: dict[str, asyncio.Task[dict[str, Any]]] = {}

    async def claims_of(self, token: str, fetcher: Fetcher) -> dict[str, Any]:
        """What the issuer says of an active token. Raises Rejected."""
        task = self._under_way.get(token)
        if task is None:
            task = asyncio.create_task(self._ask(token, fetcher))
            self._under_way[token] = task
            task.add_done_callback(lambda done: self._forget(token, done))
        return await asyncio.shield(task)

    def _forget(self, token: str, done: asyncio.Task[dict[str, Any]]) -> None:
        self._under_way.pop(token, None)
        if not done.cancelled():
            done.exception()  # seen, whether or not anybody still waits for it

    async def _ask(self, token: str, fetcher: Fetcher) -> dict[str, Any]:
        how = self._at_work.issuer.introspection
        if how is None:
            raise not_trusted("The token is of a form that is not taken here.")
        try:
            async with asyncio.timeout(self._timeout_s * 2), self._places:
                address = await self._at_work.endpoint("introspection_endpoint")
                form = {"token": token, "token_type_hint": "access_token"}
                said = await fetcher.json("POST", address, data=form, headers={"Authorization": _basic(how)})
        except (NotReached, TimeoutError, WrongSetting):  # its secret may be gone from where it was at the start
            raise unreachable() from None
        if said.get("active") is not True:
            raise not_trusted("The token is not active: it has expired, was revoked, or never was one.")
        return said

    async def close(self) -> None:
        for task in tuple(self._under_way.values()):
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)


def unreachable() -> Rejected:
    """The refusal of a token that only its issuer could judge, which does not answer."""
    text = "The issuer of the token does not answer just now, so nobody can tell whether the token is right."
    return refuse(Refusal.UNAVAILABLE, Kind.TRANSIENT, text)


def _basic(how: Introspection) -> str:
    """HTTP Basic, the parts encoded first (RFC 6749 §2.3.1)."""
    pair = f"{quote(how.client_id, safe='')}:{quote(how.secret, safe='')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def check_introspected(said: Mapping[str, Any], holds: Holds, how: Introspection) -> None:
    """Raise Rejected where an active token is not for this server, or not at this time (RFC 7662 §2.2, §4)."""
    if said.get("iss", holds.issuer) != holds.issuer:
        raise not_trusted("The token is from nobody whose tokens are taken here.")
    if "aud" in said or how.audience_required:
        check_audience(said.get("aud"), holds.audience)
    kind = said.get("token_type", "Bearer")
    if not isinstance(kind, str) or kind.lower() not in ("bearer", "access_token") or "cnf" in said:
        raise not_trusted("The token is bound to a key of the client, which a bearer token is not.")
    if not isinstance(said.get("sub", ""), str):
        raise not_trusted("The token does not say whose it is.")
    check_times(said, holds)


async def user_info(at_work: IssuerAtWork, token: str, subject: str, fetcher: Fetcher) -> dict[str, Any]:
    """What the issuer says of the token's holder. Raises Rejected."""
    try:
        address = await at_work.endpoint("userinfo_endpoint")
        said = await fetcher.json("GET", address, headers={"Authorization": f"Bearer {token}"})
    except NotReached as error:
        if error.status in (401, 403):
            raise not_trusted("The issuer of the token does not say who holds it.") from None
        raise unreachable() from None
    if said.get("sub") != subject:  # OpenID Connect Core 1.0 §5.3.2: else it may be another person
        raise not_trusted("The issuer of the token says that somebody else holds it.")
    return said

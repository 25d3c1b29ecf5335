"""An issuer's keys and addresses: where they come from, how long they serve, and what happens when it cannot be reached.

The addresses come by discovery (OpenID Connect Discovery 1.0, RFC 8414) unless the configuration says where the keys are. Keys
are asked for with the first token, again after `life_s`, and at once when a token names a key that is not known, because that is
how a change of keys shows; but not twice within `retry_min_s`, so that nobody can make this server a nuisance to an issuer by
inventing key ids. One question is under way at a time, and whoever comes meanwhile waits for its answer. When an issuer cannot be
asked, the keys that it gave last serve for `stale_max_s` more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import structlog

from phb_fhir.fhir.codec import loads
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.security.fetch import Fetcher, NotReached
from phb_fhir.security.keys import TrustedKey, read_keys
from phb_fhir.security.refusals import not_trusted
from phb_fhir.security.trusted import Issuer, check_address
from phb_fhir.settings import WrongSetting

_log = structlog.get_logger("phb_fhir.security")

ENDPOINTS = (
    "authorization_endpoint",
    "token_endpoint",
    "userinfo_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "registration_endpoint",
    "management_endpoint",
    "jwks_uri",
)
_NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Bounds:
    """In seconds: see the settings of the same names."""

    life_s: float
    retry_min_s: float
    stale_max_s: float


class IssuerAtWork:
    """One issuer, as this process knows it. `steady` is a clock that only moves forward."""

    def __init__(
        self, issuer: Issuer, fetcher: Callable[[], Fetcher], bounds: Bounds, steady: Callable[[], float]
    ) -> None:
        self.issuer = issuer
        self._fetcher = fetcher
        self._bounds = bounds
        self._steady = steady
        self._lock = asyncio.Lock()
        self._keys: tuple[TrustedKey, ...] = ()
        self._keys_at = _NEVER
        self._asked_at = _NEVER
        self._discovered: Mapping[str, Any] = {}
        self._discovered_at = _NEVER
        self._fixed = issuer.jwks_file is not None
        if issuer.jwks_file is not None:
            self._keys = _keys_of_file(issuer)

    async def keys_for(self, key_id: str | None, algorithm: str) -> tuple[TrustedKey, ...]:
        """The keys that a token with this `kid` may be signed by. Raises Rejected where there are none."""
        if not self._fixed and self._steady() - self._keys_at >= self._bounds.life_s:
            await self._renew()
        found = self._fitting(key_id, algorithm)
        if not found and not self._fixed:
            await self._renew()
            found = self._fitting(key_id, algorithm)
        if found:
            return found
        if not self._keys or self._asked_at > self._keys_at:  # it was asked in vain: the key may be a new one
            raise refuse(
                Refusal.UNAVAILABLE,
                Kind.TRANSIENT,
                "The issuer of the token cannot be asked for its keys just now, so nobody can tell whether the token is right.",
            )
        raise not_trusted("The token is signed with a key that its issuer does not have.")

    def _fitting(self, key_id: str | None, algorithm: str) -> tuple[TrustedKey, ...]:
        fitting = tuple(key for key in self._keys if algorithm in key.algorithms)
        if key_id is None:
            return fitting if len(fitting) == 1 else ()  # which of several it was is not to be guessed
        return tuple(key for key in fitting if key.key_id == key_id)

    async def _renew(self) -> None:
        """Ask for the keys, unless somebody has just done so. Keys that are too old are let go of."""
        before = self._asked_at
        async with self._lock:
            now = self._steady()
            if self._asked_at == before and now - self._asked_at >= self._bounds.retry_min_s:
                self._asked_at = now
                try:
                    self._keys = await self._ask()
                    self._keys_at = now
                except NotReached as error:
                    _log.warning("issuer", issuer=self.issuer.issuer, reason=error.reason)
            if now - self._keys_at >= self._bounds.life_s + self._bounds.stale_max_s:
                self._keys = ()

    async def _ask(self) -> tuple[TrustedKey, ...]:
        address = self.issuer.jwks_uri or (await self._discover())["jwks_uri"]
        keys = read_keys(await self._fetcher().json("GET", address))
        if not keys:
            raise NotReached("there is no key that is taken here")
        return keys

    # ---- its addresses -------------------------------------------------------------------------------------------

    async def metadata(self) -> Mapping[str, Any]:
        """What the issuer says of itself, with the configuration's addresses before its own. Raises NotReached."""
        said = {**(await self._discovered_now()), "issuer": self.issuer.issuer}
        return {**said, **_configured(self.issuer)}

    async def endpoint(self, name: str) -> str:
        """One of its addresses. Raises NotReached."""
        address = (await self.metadata()).get(name)
        if not isinstance(address, str):
            raise NotReached(f"it has no {name}")
        return address

    async def _discovered_now(self) -> Mapping[str, Any]:
        if _needs_no_discovery(self.issuer):
            return {}
        async with self._lock:
            stale = self._steady() - self._discovered_at
            if stale >= self._bounds.life_s and self._steady() - self._asked_at >= self._bounds.retry_min_s:
                try:
                    await self._discover()
                except NotReached as error:
                    self._asked_at = self._steady()
                    _log.warning("issuer", issuer=self.issuer.issuer, reason=error.reason)
            if not self._discovered:
                raise NotReached("it cannot be asked just now")
            return self._discovered

    async def _discover(self) -> Mapping[str, Any]:
        said: Mapping[str, Any] = {}
        for address in discovery_addresses(self.issuer.issuer):
            try:
                said = await self._fetcher().json("GET", address)
                break
            except NotReached as error:
                if error.status != 404:
                    raise
        if said.get("issuer") != self.issuer.issuer:  # OpenID Connect Discovery 1.0 §4.3, RFC 8414 §3.3
            raise NotReached("it says that it is another issuer" if said else "it has no discovery document")
        self._discovered = addresses_in(said, self.issuer.issuer)
        self._discovered_at = self._steady()
        return self._discovered


def discovery_addresses(issuer: str) -> tuple[str, ...]:
    """Where an issuer may describe itself: OpenID Connect Discovery 1.0 §4.1, then RFC 8414 §3.1."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    inserted = urlunsplit((parts.scheme, parts.netloc, f"/.well-known/oauth-authorization-server{path}", "", ""))
    return f"{issuer.rstrip('/')}/.well-known/openid-configuration", inserted


def addresses_in(said: Mapping[str, Any], issuer: str) -> Mapping[str, Any]:
    """What an issuer says, without addresses that nothing may be sent to."""
    if not _is_address(said.get("jwks_uri"), issuer):
        raise NotReached("it does not say where its keys are")
    return {name: value for name, value in said.items() if name not in ENDPOINTS or _is_address(value, issuer)}


def _is_address(value: Any, issuer: str) -> bool:
    """Whether an issuer may send us there: one elsewhere, to https alone, and not to what else runs on this machine."""
    try:
        return isinstance(value, str) and check_address(value) is not None and _is_https(value) >= _is_https(issuer)
    except ValueError:
        return False


def _is_https(address: str) -> bool:
    return urlsplit(address).scheme == "https"


def _configured(issuer: Issuer) -> dict[str, str]:
    own = {name: getattr(issuer, name, None) for name in ENDPOINTS}
    own["introspection_endpoint"] = issuer.introspection.endpoint if issuer.introspection else None
    return {name: value for name, value in own.items() if value}


def _needs_no_discovery(issuer: Issuer) -> bool:
    """Whether the configuration says all by itself, so that an issuer without discovery can be used."""
    return bool(issuer.jwks_uri or issuer.jwks_file)


def _keys_of_file(issuer: Issuer) -> tuple[TrustedKey, ...]:
    path = issuer.jwks_file
    try:
        keys = read_keys(loads(path.read_bytes(), depth_max=16)) if path else ()
    except (OSError, Rejected):
        keys = ()
    if not keys:
        raise WrongSetting(f"PHB_ISSUERS names {path} for the keys of {issuer.issuer}, and no key can be read there.")
    return keys

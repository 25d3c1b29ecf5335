"""Who is asking: from the Authorization header of a request to an `Actor`, or to a refusal that says what was wrong.

What is asked of a token, in this order: that it is there and not too long; that it is a JWT, and then that its `iss` is an issuer
that is trusted (before any key is touched), its type and algorithm are among those of that issuer, one of the issuer's keys made
its signature, and its claims hold here and now; or that it is opaque, and then that the one issuer who may be asked about such
tokens says it is active. Then the issuer's mapper says who that is.

A token that was found right is remembered by its SHA-256 until it expires, and for `token_trust_max_s` at most, so that the next
request costs a look into a table (`known`). The token itself is kept nowhere.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from phb_fhir.outcome import Refusal, Rejected
from phb_fhir.security.actor import Actor
from phb_fhir.security.advertised import Advertised
from phb_fhir.security.claims import actor_of
from phb_fhir.security.fetch import Fetcher, NotReached, make_client
from phb_fhir.security.introspection import Introspector, check_introspected, user_info
from phb_fhir.security.issuers import Bounds, IssuerAtWork
from phb_fhir.security.keys import TrustedKey
from phb_fhir.security.local_key import LOCAL_ISSUER, local_issuer, local_key
from phb_fhir.security.refusals import no_token, not_trusted
from phb_fhir.security.tokens import Holds, Token, check_claims, check_party, check_type, is_jwt, read_token, verify
from phb_fhir.security.trusted import Issuer, read_issuers
from phb_fhir.settings import Settings

_BEARER = re.compile(r"bearer +([A-Za-z0-9\-._~+/]+=*) *", re.ASCII | re.IGNORECASE)  # RFC 6750 §2.1
_SCHEME = "bearer"


@dataclass(frozen=True, slots=True)
class _Found:
    """A verified token's claims, and until when they may be relied on without asking again.

    `said` is what its issuer says of it besides, where a JWT is asked about too: it may have been narrowed since.
    """

    issuer: Issuer
    claims: Mapping[str, Any]
    expires: float
    until: float
    said: Mapping[str, Any] = field(default_factory=dict)


class Authenticator:
    """One for each process. `clock` is the time of day in seconds since 1970, `steady` a clock that only moves forward."""

    def __init__(
        self,
        settings: Settings,
        issuers: Sequence[Issuer],
        local: TrustedKey | None = None,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._fetcher: Fetcher | None = None
        self._local = local
        bounds = Bounds(settings.keys_life_s, settings.keys_retry_min_s, settings.keys_stale_max_s)
        self._issuers = {it.issuer: IssuerAtWork(it, self._fetch, bounds, steady) for it in issuers}
        self._introspectors = {
            name: Introspector(at_work, settings.issuer_timeout_s)
            for name, at_work in self._issuers.items()
            if at_work.issuer.introspection
        }
        self._opaque = next((name for name in self._introspectors if self._asks_about_opaque(name)), None)
        self._known: OrderedDict[bytes, tuple[Actor, float]] = OrderedDict()
        self._refused: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    @staticmethod
    def of(settings: Settings) -> Authenticator:
        """As the settings say. Raises WrongSetting."""
        issuers = read_issuers(settings.issuers) if settings.issuers else ()
        local = local_key(settings.data).trusted() if settings.trust_local_key else None
        return Authenticator(settings, issuers, local)

    # ---- a request -----------------------------------------------------------------------------------------------

    def known(self, authorization: bytes) -> Actor | None:
        """Who is asking, if their token was verified a short while ago. `authorization` is the header's value."""
        is_bearer = authorization[:7].lower() == b"bearer "
        return self._remembered(_digest(authorization[7:])) if is_bearer else None

    async def actor_of(self, authorization: str) -> Actor:
        """Who is asking. Raises Rejected: 401 for a token that is not right, 503 where only an issuer that is away could tell."""
        token = self._token(authorization)
        digest = _digest(token.encode())
        if actor := self._remembered(digest):
            return actor
        self._check_not_refused(digest)
        found = await (self._verified(token) if is_jwt(token) else self._introspected(token, digest))
        found = await self._completed(found, token)
        base = self._settings.api_url
        actor = actor_of(found.issuer, found.claims, token=token, expires=found.expires, base=base, said=found.said)
        self._check_not_refused(digest)  # another request may have found meanwhile that it is
        self._remember(self._known, digest, (actor, found.until))
        return actor

    async def advertised(self) -> Advertised:
        """What clients are told of how to sign in; it waits for the first issuer as long as an issuer may take."""
        issuers = tuple(self._issuers)
        if not issuers:
            return Advertised()
        try:
            return Advertised(issuers, await self._issuers[issuers[0]].metadata())
        except NotReached:
            return Advertised(issuers)

    async def close(self) -> None:
        for introspector in self._introspectors.values():
            await introspector.close()
        if self._fetcher is not None:
            await self._fetcher.client.aclose()

    def _token(self, authorization: str) -> str:
        if authorization.partition(" ")[0].lower() != _SCHEME:
            raise no_token()
        if len(authorization) > self._settings.token_bytes_max + len("Bearer "):
            raise not_trusted("The token is longer than any that is looked at.")
        found = _BEARER.fullmatch(authorization)
        if found is None:
            raise not_trusted("The Authorization header does not hold one bearer token.")
        return found[1]

    # ---- a token not seen before ---------------------------------------------------------------------------------

    async def _verified(self, text: str) -> _Found:
        """A JWT's claims, when it is right (RFC 9068 §4)."""
        token = read_token(text)
        issuer = self._issuer_of(token)
        expires = check_claims(token.claims, self._holds(issuer))  # before an issuer is asked for keys in its name
        check_party(token.claims, issuer.audience)
        verify(token, await self._keys(token), issuer.algorithms)
        until = self._until(expires, self._settings.token_trust_max_s)
        said: Mapping[str, Any] = {}
        if issuer.introspection and issuer.introspection.always:
            said = await self._introspectors[issuer.issuer].claims_of(text, self._fetch())
            check_introspected({"aud": token.claims["aud"], **said}, self._holds(issuer), issuer.introspection)
            if said.get("sub", token.claims["sub"]) != token.claims["sub"]:
                raise not_trusted("The issuer of the token says that somebody else holds it.")
            until = min(until, self._until(expires, self._settings.introspection_trust_max_s))
        return _Found(issuer, token.claims, expires, until, said)

    def _issuer_of(self, token: Token) -> Issuer:
        """Whose token it says it is: an issuer that is trusted, and with a kind of token that it issues."""
        if token.issuer in self._issuers:
            issuer = self._issuers[token.issuer].issuer
        elif self._local is not None and token.issuer == LOCAL_ISSUER:
            issuer = local_issuer()
        else:
            raise not_trusted("The token is from nobody whose tokens are taken here.")
        check_type(token, issuer.token_types, id_tokens=issuer.id_tokens)
        if token.algorithm not in issuer.algorithms:
            raise not_trusted("The token is signed in a way that is not taken from its issuer.")
        return issuer

    async def _keys(self, token: Token) -> tuple[TrustedKey, ...]:
        """The keys of exactly that issuer which the token may be signed by."""
        if token.issuer in self._issuers:
            return await self._issuers[token.issuer].keys_for(token.key_id, token.algorithm)
        if self._local is None or token.key_id != self._local.key_id:
            raise not_trusted("The token is signed with a key that its issuer does not have.")
        return (self._local,)

    async def _introspected(self, text: str, digest: bytes) -> _Found:
        """What the one issuer of opaque tokens says of this one."""
        if self._opaque is None:
            raise not_trusted("The token is of a form that is not taken here.")
        issuer = self._issuers[self._opaque].issuer
        how = issuer.introspection
        try:
            said = await self._introspectors[self._opaque].claims_of(text, self._fetch())
            if how is not None:
                check_introspected(said, self._holds(issuer), how)
        except Rejected as rejected:
            if rejected.refusal is Refusal.UNAUTHENTICATED:  # so that the same wrong token does not bother the issuer
                until = self._clock() + self._settings.introspection_trust_max_s
                self._remember(self._refused, digest, (rejected.issues[0].text, until))
            raise
        latest = self._clock() + self._settings.introspection_trust_max_s
        expires = float(said.get("exp", latest))
        return _Found(issuer, said, expires, self._until(expires, self._settings.introspection_trust_max_s))

    async def _completed(self, found: _Found, token: str) -> _Found:
        """With what the issuer says of the holder, for issuers whose tokens do not say it."""
        if not found.issuer.userinfo or not found.claims.get("sub"):
            return found
        said = await user_info(self._issuers[found.issuer.issuer], token, str(found.claims["sub"]), self._fetch())
        return replace(found, claims={**said, **found.claims})

    def _holds(self, issuer: Issuer) -> Holds:
        settings = self._settings
        return Holds(
            issuer.issuer, issuer.audience, self._clock(), settings.clock_skew_max_s, settings.token_life_max_s
        )

    def _until(self, expires: float, trust_max_s: float) -> float:
        return min(expires + self._settings.clock_skew_max_s, self._clock() + trust_max_s)

    # ---- what is remembered --------------------------------------------------------------------------------------

    def _remembered(self, digest: bytes) -> Actor | None:
        found = self._known.get(digest)
        if found is None:
            return None
        if self._clock() >= found[1]:
            del self._known[digest]
            return None
        self._known.move_to_end(digest)
        return found[0]

    def _check_not_refused(self, digest: bytes) -> None:
        sentence, until = self._refused.get(digest, ("", 0.0))
        if self._clock() < until:
            raise not_trusted(sentence)
        self._refused.pop(digest, None)

    def _remember(self, where: OrderedDict[bytes, Any], digest: bytes, what: tuple[Any, float]) -> None:
        where[digest] = what
        where.move_to_end(digest)
        while len(where) > self._settings.token_cache_max:
            where.popitem(last=False)

    def _asks_about_opaque(self, name: str) -> bool:
        how = self._issuers[name].issuer.introspection
        return how is not None and how.opaque

    def _fetch(self) -> Fetcher:
        """Made with the first question to an issuer, so that a server without issuers needs no certificates."""
        if self._fetcher is None:
            settings = self._settings
            self._fetcher = Fetcher(make_client(), settings.issuer_timeout_s, settings.issuer_bytes_max)
        return self._fetcher


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()

"""One token: what it says (`read_token`), whether its signature is right (`verify`), and whether it holds here and now (`check_claims`).

A token is an attacker's text until its signature was verified, so reading it decides nothing but which issuer's keys are taken.
The algorithm has to be one that this issuer is allowed and that the key is for: `none` and the HMAC family are not among them at
all, so no public key can be mistaken for a secret (RFC 8725 §3.1). Keys come from the issuer's configuration, never from the
token: `jwk`, `jku`, `x5c` and `x5u` in its header are not looked at (RFC 8725 §3.10). What a header calls critical is refused, as
nothing is understood here that could be (RFC 7515 §4.1.11).

No sentence repeats what a token says: it goes to the client, and to logs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwa import JWSAlgModel
from joserfc.jws import JWSRegistry, deserialize_compact
from joserfc.util import urlsafe_b64decode

from phb_fhir.fhir.codec import loads
from phb_fhir.outcome import Rejected
from phb_fhir.security.keys import TrustedKey
from phb_fhir.security.refusals import not_trusted

ALGORITHMS = (
    *("RS256", "RS384", "RS512"),
    *("PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512"),
    *("EdDSA", "Ed25519"),  # RFC 8037, and by its newer name RFC 9864
)
_DEPTH_MAX = 16
_KEYS_TRIED_MAX = 4  # keys of one `kid`; no issuer has more while it changes from one to the next
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", re.ASCII)
_SECONDS_MAX = 253_402_300_800  # the year 10000


@dataclass(frozen=True, slots=True)
class Token:
    """A JWT that was read, and not believed yet."""

    text: str
    header: Mapping[str, Any]
    claims: Mapping[str, Any]

    @property
    def issuer(self) -> str:
        issuer = self.claims.get("iss")
        return issuer if isinstance(issuer, str) else ""

    @property
    def algorithm(self) -> str:
        algorithm = self.header["alg"]
        return algorithm if isinstance(algorithm, str) else ""

    @property
    def key_id(self) -> str | None:
        return self.header.get("kid")


def is_jwt(text: str) -> bool:
    """Whether it has the three parts of a signed JWT (RFC 7519 §3); any other token is opaque."""
    return text.count(".") == 2


def read_token(text: str) -> Token:
    """What a JWT says, in its one right form (RFC 7515 §3.1). Raises Rejected."""
    if not _COMPACT.fullmatch(text):
        raise not_trusted("The token is not a signed JWT in its compact form.")
    head, body, _ = text.split(".")
    header, claims = _object(head), _object(body)
    if header is None or claims is None or "alg" not in header:
        raise not_trusted("The token cannot be read.")
    if "crit" in header or "b64" in header:
        raise not_trusted("The header of the token asks for something that is not understood here.")
    if not isinstance(header.get("kid", ""), str) or not isinstance(header.get("typ", ""), str):
        raise not_trusted("The header of the token is not right.")
    return Token(text, header, claims)


def _object(part: str) -> dict[str, Any] | None:
    """A part as JSON; a key that stands twice is refused, as two readers could read two things (RFC 7515 §4)."""
    try:
        value = loads(urlsafe_b64decode(part.encode()), depth_max=_DEPTH_MAX)
    except (ValueError, Rejected):
        return None
    return value if isinstance(value, dict) else None


def check_type(token: Token, types: Collection[str], *, id_tokens: bool) -> None:
    """Raise Rejected for a JWT that is meant for something else than to be shown here (RFC 8725 §3.11)."""
    said = token.header.get("typ", "").lower().removeprefix("application/")
    if said not in types:
        raise not_trusted("The token is of a type that is not taken here.")
    if "events" in token.claims:  # a logout token, say, which may come without a type of its own (RFC 8417 §2.2)
        raise not_trusted("This tells of something that happened to an account, and opens nothing here.")
    if not id_tokens and _is_id_token(token.claims):
        raise not_trusted("This is an ID token: it says who signed in to an application, and opens nothing here.")


def _is_id_token(claims: Mapping[str, Any]) -> bool:
    return claims.get("token_use") == "id" or bool(claims.keys() & {"nonce", "at_hash", "c_hash"})


class _Registry(JWSRegistry):
    """Takes the algorithms of one issuer and no others. The sizes are bounded before, for the token as a whole."""

    max_header_length = max_payload_length = max_signature_length = 100_000

    def get_alg(self, name: str) -> JWSAlgModel:
        if name not in (self.allowed or ()):
            raise JoseError
        return self.algorithms[name]


def verify(token: Token, keys: Iterable[TrustedKey], allowed: Collection[str]) -> None:
    """Raise Rejected unless one of these keys made the signature, by an algorithm that is allowed."""
    registry = _Registry(algorithms=[name for name in allowed if name in ALGORITHMS], strict_check_header=False)
    for _, trusted in zip(range(_KEYS_TRIED_MAX), keys, strict=False):
        try:
            deserialize_compact(token.text, trusted.key, registry=registry)
        except (JoseError, ValueError):
            continue
        return
    raise not_trusted("The signature of the token is not right.")


@dataclass(frozen=True, slots=True)
class Holds:
    """What claims are held against: whose tokens, for whom, and the time of this moment in seconds since 1970."""

    issuer: str
    audience: Collection[str]
    now: float
    skew_s: float
    life_max_s: float


def check_claims(claims: Mapping[str, Any], holds: Holds) -> float:
    """When the token expires. Raises Rejected where it does not hold (RFC 7519 §4.1, RFC 9068 §4)."""
    if claims.get("iss") != holds.issuer:
        raise not_trusted("The token is from nobody whose tokens are taken here.")
    check_audience(claims.get("aud"), holds.audience)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise not_trusted("The token does not say whose it is.")
    if "cnf" in claims:  # RFC 9449 §7.1, RFC 8705 §3: whoever holds it must also prove to have a key
        raise not_trusted("The token is bound to a key of the client, which a bearer token is not.")
    expires = seconds_of(claims, "exp")
    if expires is None:
        raise not_trusted("The token does not say when it expires.")
    check_times(claims, holds)
    return expires


def check_audience(said: Any, audience: Collection[str]) -> None:
    """Raise Rejected unless the token is for this server (RFC 7519 §4.1.3)."""
    named = said if isinstance(said, list) else [said]
    if not all(isinstance(name, str) for name in named) or not set(named) & set(audience):
        raise not_trusted("The token is for somebody else than this server.")


def check_party(claims: Mapping[str, Any], audience: Collection[str]) -> None:
    """Raise Rejected for an ID token that was issued to another application (OpenID Connect Core 1.0 §3.1.3.7, 4 and 5)."""
    said = claims.get("aud")
    is_told = "azp" in claims or (isinstance(said, list) and len(said) > 1)
    if _is_id_token(claims) and is_told and claims.get("azp") not in audience:
        raise not_trusted("The token was issued to another application than those whose tokens are taken here.")


def check_times(claims: Mapping[str, Any], holds: Holds) -> None:
    """Raise Rejected for a token that does not hold at this moment, or not at any."""
    expires, begins, issued = (seconds_of(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is not None and holds.now >= expires + holds.skew_s:
        raise not_trusted("The token has expired.")
    if begins is not None and holds.now < begins - holds.skew_s:
        raise not_trusted("The token does not hold yet.")
    if issued is not None and holds.now < issued - holds.skew_s:
        raise not_trusted("The token says that it was issued at a time that is still to come.")
    if expires is not None and issued is not None and expires <= issued:
        raise not_trusted("The token says that it expired before it was issued.")
    if expires is not None and expires - holds.now > holds.life_max_s + holds.skew_s:
        raise not_trusted("The token lives longer than any token that is taken here.")


def seconds_of(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519 §2); None where there is none. Raises Rejected where it is none."""
    value = claims.get(name)
    if name not in claims:
        return None
    if isinstance(value, bool | str | list | dict | None) or not 0 <= value < _SECONDS_MAX:
        raise not_trusted("A time in the token is not a time.")
    return float(value)

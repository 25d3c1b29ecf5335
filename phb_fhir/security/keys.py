"""The public keys that signatures are verified with, from a JWK Set (RFC 7517).

A key is taken when it can be for signatures, is of a kind used here and strong enough. Others in the set are passed over, as
RFC 7517 §5 asks: an issuer may publish keys for encryption, or of kinds that are still to come.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, OKPKey, RSAKey
from joserfc.util import urlsafe_b64decode

KEYS_MAX = 100  # of one issuer
_RSA_BITS_MIN = 2048  # RFC 7518 §3.3
_RSA_BITS_MAX = 8192  # past that a signature costs more than it is worth
_CURVES = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",), "Ed25519": ("EdDSA", "Ed25519")}
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key, and the algorithms it is for: those of its kind, or the one that its `alg` names."""

    key_id: str | None
    key: Key
    algorithms: tuple[str, ...]


def read_keys(value: Any) -> tuple[TrustedKey, ...]:
    """The keys of a JWK Set that can verify signatures."""
    listed = value.get("keys") if isinstance(value, dict) else None
    return tuple(_usable(listed[:KEYS_MAX])) if isinstance(listed, list) else ()


def _usable(listed: list[Any]) -> Iterator[TrustedKey]:
    for jwk in listed:
        key = _imported(jwk)
        algorithms = _algorithms(key) if key else ()
        named = jwk.get("alg") if key else None
        if key and (named is None or named in algorithms):
            key_id = jwk.get("kid")
            yield TrustedKey(
                key_id if isinstance(key_id, str) else None, key, algorithms if named is None else (named,)
            )


def _imported(jwk: Any) -> Key | None:
    if not isinstance(jwk, dict) or not _is_for_signatures(jwk):
        return None
    if jwk.get("kty") == "RSA" and not _RSA_BITS_MIN <= _bits(jwk.get("n")) <= _RSA_BITS_MAX:
        return None
    public = {name: value for name, value in jwk.items() if name in ("kty", "n", "e", "crv", "x", "y", "kid")}
    try:
        return None if public.get("kty") == "oct" else JWKRegistry.import_key(public)
    except (JoseError, ValueError, KeyError, TypeError):
        return None


def _is_for_signatures(jwk: dict[str, Any]) -> bool:
    """Whether a key says that it is for signatures, or does not say what it is for (RFC 7517 §4.2, §4.3)."""
    operations = jwk.get("key_ops", ["verify"])
    return jwk.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _bits(text: Any) -> int:
    """How many bits a number has that is written in base64url; 0 for what is none."""
    try:
        return int.from_bytes(urlsafe_b64decode(text.encode())).bit_length() if isinstance(text, str) else 0
    except ValueError:
        return 0


def _algorithms(key: Key) -> tuple[str, ...]:
    if isinstance(key, RSAKey):
        return _RSA
    if isinstance(key, ECKey | OKPKey):
        return _CURVES.get(key.curve_name, ())
    return ()

"""A key of this machine's own, for development: it signs tokens (`phb-fhir token`) and the server takes them, on loopback alone.

Whoever can read the data folder can sign as anybody, which is no more than they can do with the database that lies beside it.
The key is made when it is first needed, for its owner's eyes only, and never leaves the folder.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from joserfc.jws import serialize_compact

from phb_fhir.security.keys import TrustedKey
from phb_fhir.security.trusted import Issuer
from phb_fhir.settings import WrongSetting

LOCAL_ISSUER = "urn:phb-fhir:local"
FILE = "local-signing-key.json"
ALGORITHM = "ES256"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_FILE_BYTES_MAX = 10_000


def key_path(data: Path) -> Path:
    return data / "keys" / FILE


@dataclass(frozen=True, slots=True)
class LocalKey:
    """The key, with which tokens are signed and verified."""

    key: ECKey

    def sign(self, claims: Mapping[str, Any], *, now: float, life_s: int) -> str:
        """A token that says `claims`, issued `now` and expiring after `life_s`."""
        header = {"alg": ALGORITHM, "typ": "at+jwt", "kid": self.key.thumbprint()}
        issued = int(now)
        times = {"iat": issued, "nbf": issued, "exp": issued + life_s, "jti": secrets.token_hex(16)}
        body = {"iss": LOCAL_ISSUER, "aud": LOCAL_ISSUER, **times, **claims}
        return serialize_compact(header, json.dumps(body), self.key, [ALGORITHM])

    def trusted(self) -> TrustedKey:
        """Its public half, as the keys of an issuer are."""
        public = ECKey.import_key(self.key.as_dict(private=False))
        return TrustedKey(self.key.thumbprint(), public, (ALGORITHM,))


def local_issuer() -> Issuer:
    """What tokens of the local key mean: the generic claims, for this server."""
    return Issuer.model_construct(issuer=LOCAL_ISSUER, audience=(LOCAL_ISSUER,), algorithms=(ALGORITHM,))


def local_key(data: Path) -> LocalKey:
    """The key under this data folder, made if there is none yet. Raises WrongSetting."""
    path = key_path(data)
    try:
        if not path.exists():
            _make(path)
        return LocalKey(_read(path))
    except OSError as error:
        raise WrongSetting(f"The local signing key, {path}, cannot be had: {error.strerror}.") from None


def _make(path: Path) -> None:
    """Several processes may come here at once: the first to be done has made the key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    text = json.dumps(ECKey.generate_key("P-256").as_dict(private=True))
    draft = path.with_suffix(f".{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _read(path: Path) -> ECKey:
    """Raises WrongSetting for a key that others may have read or put there, or that is none."""
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        text = file.read(_FILE_BYTES_MAX)
    if found.st_mode & _OTHERS or found.st_uid != os.geteuid():
        raise WrongSetting(
            f"The local signing key, {path}, can be used by others than you, so no token it signed is worth anything: "
            "delete it, and a new one is made."
        )
    try:
        key = ECKey.import_key(json.loads(text))
    except (ValueError, KeyError, TypeError, JoseError):
        key = None
    if key is None or not key.is_private or key.curve_name != "P-256":
        raise WrongSetting(f"The local signing key, {path}, is no key: delete it, and a new one is made.")
    return key

"""Certificates of an authority of our own, made with the `openssl` command, for servers and clients of a test."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Pair:
    cert: Path
    key: Path

    @property
    def both(self) -> Path:
        """Certificate and key in one file, as mongod wants them."""
        together = self.cert.with_suffix(".both.pem")
        together.write_bytes(self.cert.read_bytes() + self.key.read_bytes())
        return together


class Authority:
    """Signs certificates for loopback; `cert` is what its clients trust."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.folder = folder
        self.cert = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        self._name = name
        _openssl(
            *_new_key(self._key),
            "-x509",
            "-days",
            "2",
            "-subj",
            f"/CN={name}",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
            "-out",
            self.cert,
        )

    def pair(self, name: str, addresses: str = "DNS:localhost,IP:127.0.0.1") -> Pair:
        made = Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extensions.write_text(
            f"subjectAltName={addresses}\nbasicConstraints=critical,CA:FALSE\n"
            "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
        )
        _openssl(*_new_key(made.key), "-subj", f"/CN={name}", "-out", request)
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self._key, "-CAcreateserial",
            "-days", "2", "-extfile", extensions, "-out", made.cert,
        )  # fmt: skip
        return made


def locked(pair: Pair, password: str) -> Pair:
    """The same with a key that only a password opens."""
    key = pair.key.with_suffix(".locked.key")
    _openssl("pkcs8", "-topk8", "-in", pair.key, "-passout", f"pass:{password}", "-out", key)
    return Pair(pair.cert, key)


def _new_key(file: Path) -> tuple[str | Path, ...]:
    return ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", file)


def _openssl(*words: str | Path) -> None:
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

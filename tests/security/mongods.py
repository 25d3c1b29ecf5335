"""A mongod that takes nobody in without TLS and a password, as a hospital's database would be."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Self
from urllib.parse import quote_plus

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from phb_fhir.store.embedded import find_mongod
from tests.processes import until
from tests.security.certificates import Authority

ADMIN, SERVER = "admin", "phb server"
ADMIN_PASSWORD, PASSWORD = "adm1n", "p@ss/wörd:42"  # with all that has to be percent-encoded
WAIT_S = 60


class GuardedMongo:
    """A replica set of one, with `--auth` and `--tlsMode requireTLS`. Its user `SERVER` may read and write one database."""

    def __init__(self, folder: Path, database: str) -> None:
        self.authority = Authority(folder, "mongo-authority")
        self._pair = self.authority.pair("mongod")
        self._folder = folder
        self.database = database
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        files, secret = self._folder / "db", self._folder / "keyfile"
        files.mkdir()
        secret.write_text("c2VjcmV0c2VjcmV0c2VjcmV0")
        secret.chmod(0o600)
        command = [
            find_mongod(), "--dbpath", files, "--port", self.port, "--bind_ip", "127.0.0.1", "--replSet", "guarded",
            "--keyFile", secret, "--tlsMode", "requireTLS", "--tlsCertificateKeyFile", self._pair.both,
            "--tlsCAFile", self.authority.cert, "--tlsAllowConnectionsWithoutCertificates",
            "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64", "--nounixsocket", "--logpath", self._folder / "log",
            "--setParameter", "diagnosticDataCollectionEnabled=false",
        ]  # fmt: skip
        self._process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
        with MongoClient(self._uri("", directConnection="true")) as client:
            assert until(lambda: self._is_up(client), WAIT_S)
            member = {"_id": 0, "host": f"127.0.0.1:{self.port}"}
            client.admin.command("replSetInitiate", {"_id": "guarded", "members": [member]})
            assert until(lambda: client.admin.command("hello")["isWritablePrimary"], WAIT_S)
            client.admin.command("createUser", ADMIN, pwd=ADMIN_PASSWORD, roles=["root"])
        with MongoClient(self.admin_uri) as client:
            role = {"role": "readWrite", "db": self.database}
            client.admin.command("createUser", SERVER, pwd=PASSWORD, roles=[role])
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(WAIT_S)

    @staticmethod
    def _is_up(client: MongoClient) -> bool:
        with contextlib.suppress(PyMongoError):
            return bool(client.admin.command("hello"))
        return False

    @property
    def admin_uri(self) -> str:
        return self._uri(f"{ADMIN}:{ADMIN_PASSWORD}@", directConnection="true")

    @property
    def uri(self) -> str:
        return self.uri_with()

    def uri_with(self, user: str = SERVER, password: str = PASSWORD, **options: str | os.PathLike[str] | None) -> str:
        """The address with other credentials or options; None leaves an option out."""
        who = f"{quote_plus(user)}:{quote_plus(password)}@" if user else ""
        return self._uri(who, **{"replicaSet": "guarded", **options})

    def _uri(self, who: str, **options: str | os.PathLike[str] | None) -> str:
        all_ = {"tls": "true", "tlsCAFile": str(self.authority.cert), **options}
        said = "&".join(f"{name}={quote_plus(str(value))}" for name, value in all_.items() if value is not None)
        return f"mongodb://{who}127.0.0.1:{self.port}/?{said}"

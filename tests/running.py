"""The server, running for tests: in this process but over real HTTP, with a clock and ids that a test can foretell."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Self

import uvicorn
from pymongo import MongoClient
from pymongo.database import Database

from phb_fhir.app import create
from phb_fhir.settings import Settings
from phb_fhir.wire.middleware import App

FIRST_MOMENT = datetime(2026, 11, 22, 9, 0, 0, tzinfo=UTC)
START_TIMEOUT_S = 30
UNPREPARED = ("x-unprepared", "1")  # the header of a request that belongs to the preparation itself


class Place(NamedTuple):
    """Where clock and ids stand: the seconds that the next look finds, the number of the next id, and how far a look moves the clock."""

    seconds: int = 0
    number: int = 1
    step_s: int = 1


class Foretold:
    """The clock moves a second at each look; the ids are id-1, id-2, …. `reset` begins again."""

    def __init__(self) -> None:
        self._alone = threading.Lock()
        self.place = Place()

    def reset(self) -> None:
        self.place = Place()

    def set(self, **changed: int) -> None:
        """Go on from elsewhere: `seconds`, `number` or `step_s` of the Place."""
        self.place = self.place._replace(**changed)

    def now(self) -> datetime:
        with self._alone:
            seconds = self.place.seconds
            self.set(seconds=seconds + self.place.step_s)
        return FIRST_MOMENT + timedelta(seconds=seconds)

    def new_id(self) -> str:
        with self._alone:
            number = self.place.number
            self.set(number=number + 1)
        return f"id-{number}"


class RunningServer:
    """A context manager: uvicorn in a thread on a free loopback port. `base` is the FHIR base, `root` the host's.

    While there is a `prepare`, it is called before a request is taken, whoever sends it.
    """

    def __init__(self, mongodb_uri: str, database: str, **settings: object) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        port = self._socket.getsockname()[1]
        self.settings = Settings(
            mongodb_uri=mongodb_uri,
            mongodb_database=database,
            port=port,
            **{"open": True, "guide": False, **settings},  # type: ignore[arg-type]
        )
        self.foretold = Foretold()
        self.prepare: Callable[[], None] | None = None
        self.root = f"http://127.0.0.1:{port}"
        self.base = self.root + "/fhir"
        app = create(self.settings, self.foretold.now, self.foretold.new_id)
        config = uvicorn.Config(
            self._prepared(app), log_config=None, access_log=False, lifespan="on", server_header=False
        )  # type: ignore[arg-type]
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def _prepared(self, app: App) -> App:
        header = tuple(word.encode() for word in UNPREPARED)

        async def prepared(scope: Any, receive: Any, send: Any) -> None:
            if self.prepare is not None and scope["type"] == "http" and header not in scope["headers"]:
                await asyncio.to_thread(self.prepare)
            await app(scope, receive, send)

        return prepared

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the test server did not start")
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(START_TIMEOUT_S)
        self._socket.close()


@contextmanager
def new_database(mongodb_uri: str) -> Iterator[Database[dict[str, Any]]]:
    """An empty database that nobody else uses, which goes when the tests are done."""
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        database = client[f"test_{uuid.uuid4().hex}"]
        try:
            yield database
        finally:
            client.drop_database(database)


@contextmanager
def secure_server(mongodb_uri: str, **settings: Any) -> Iterator[tuple[RunningServer, Database[dict[str, Any]]]]:
    """A server that asks for tokens, and its database. It trusts what the key in its data folder signs, and holds nobody to a rate."""
    asking = {"open": False, "trust_local_key": True, "rate_client_max": 0, "rate_failed_max": 0}
    with tempfile.TemporaryDirectory(prefix="phb-fhir-secure-") as folder, new_database(mongodb_uri) as database:
        made = {**asking, "data": Path(folder), **settings}
        with RunningServer(mongodb_uri, database.name, **made) as server:
            yield server, database

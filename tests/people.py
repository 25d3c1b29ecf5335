"""The examples' people, signed in: a server that asks for tokens, with their stories in it."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from pymongo import MongoClient

from phb_fhir.cli.token import PERSONAS, Asked, sign
from tests.running import RunningServer
from tests.stories import JILLS, tell

MINUTES = 30


class People:
    """`people["jill"]` is a client of the server as Jill, or as any other persona of the examples, or with the claims of `sign`."""

    def __init__(self, server: RunningServer, held: ExitStack) -> None:
        self.server = server
        self._held = held
        self._clients: dict[str, httpx.Client] = {}
        self._asked = {persona.who: persona.asked for persona in PERSONAS}

    def know(self, name: str, asked: Asked) -> None:
        """Somebody else, by the claims of their token."""
        self._asked[name] = asked

    def __getitem__(self, name: str) -> httpx.Client:
        if name not in self._clients:
            headers = {
                "Authorization": f"Bearer {sign(self.server.settings, name, self._asked[name], MINUTES)}",
                "Content-Type": "application/fhir+json",
            }
            client = httpx.Client(base_url=self.server.base, headers=headers, timeout=30, verify=False)
            self._clients[name] = self._held.enter_context(client)
        return self._clients[name]


@contextmanager
def signed_in(mongodb_uri: str, *stories: str, **settings: Any) -> Iterator[People]:
    """A server with these stories (Jill's, where none is named), which goes when the tests are done."""
    name = f"test_{uuid.uuid4().hex}"
    with tempfile.TemporaryDirectory(prefix="phb-fhir-people-") as folder, MongoClient[Any](mongodb_uri) as mongo:
        secure = {"open": False, "trust_local_key": True, "data": Path(folder), "rate_client_max": 0, **settings}
        try:
            with RunningServer(mongodb_uri, name, **secure) as server, ExitStack() as held:
                people = People(server, held)
                for story in stories or (JILLS,):
                    tell(people["system"], story)
                yield people
        finally:
            mongo.drop_database(name)

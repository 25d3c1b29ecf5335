"""The examples' people, and others, signed in: a server that asks for tokens, with the examples' stories in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self

import httpx
from pymongo.database import Database

from phb_fhir.cli.token import PERSONAS, Asked, sign
from tests.running import RunningServer, secure_server
from tests.stories import JILLS, tell

MINUTES = 60
PEOPLE = {
    **{persona.who: persona.asked for persona in PERSONAS},
    "finance": Asked("finance", "Harbourside North finance", organization="Organization/harbourside-north"),
    "analyst": Asked("analyst", "Harbourside North analysis", organization="Organization/harbourside-north"),
    "another commissioner": Asked("commissioner", "Wreake Valley", organization="Organization/wreake-valley"),
    "council": Asked("commissioner", "Wreake Valley Council", organization="Organization/wreake-valley-council"),
    "stranger": Asked("person", "Asha", "Patient/asha", "asha"),
}


class People:
    """`people["jill"]` is a client of the server as Jill, or as another of PEOPLE, or as who was made known."""

    def __init__(self, server: RunningServer, database: Database[dict[str, Any]]) -> None:
        self.server = server
        self.database = database
        self._asked = dict(PEOPLE)
        self._clients: dict[str, httpx.Client] = {}
        self._held = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def know(self, name: str, asked: Asked) -> None:
        """Somebody else, by the claims of their token."""
        self._asked[name] = asked

    def __getitem__(self, name: str) -> httpx.Client:
        if name not in self._clients:
            self._clients[name] = self.as_(self._asked[name])
        return self._clients[name]

    def as_(self, who: Asked | None, **headers: str) -> httpx.Client:
        """Another client of somebody, or of nobody; `headers` are written with underscores: `If_Match="W/…"`."""
        made = {"Content-Type": "application/fhir+json"} | {name.replace("_", "-"): it for name, it in headers.items()}
        if who is not None:
            made["Authorization"] = f"Bearer {sign(self.server.settings, who.name, who, MINUTES)}"
        # no TLS here, so no authorities to load: that would take longer than most tests
        client = httpx.Client(base_url=self.server.base, headers=made, timeout=30, verify=False)
        return self._held.enter_context(client)


@contextmanager
def signed_in(mongodb_uri: str, *stories: str, **settings: Any) -> Iterator[People]:
    """A server with these stories (Jill's, where none is named), which goes when the tests are done."""
    with secure_server(mongodb_uri, **settings) as (server, database), People(server, database) as people:
        for story in stories or (JILLS,):
            tell(people["system"], story)
        yield people

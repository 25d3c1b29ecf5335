"""A server whose record is as good as new for every test; and what many tests begin with, put there instead of told again.

A story takes the server a good part of a second to judge, and hundreds of tests begin with one. So it is told once, over HTTP, as
anybody would; what then is stored is kept here. A test that begins with the very same finds the same documents, the same next
moment and the same next id, in a hundredth of the time. Whoever wrote anything else before goes on over HTTP.

Definitions are the one thing that the server keeps in mind, and it learns a little later what is done to them behind its back.
So those of the test before stay until it is known whether this test wants the same ones.
"""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database
from pymongo.write_concern import WriteConcern

from phb_fhir.definitions.registry import TYPES
from tests.builders import bundle_of
from tests.processes import until
from tests.running import Place, RunningServer

COLLECTIONS = ("history", "locks", "ledger", "balances", "requests", "resources")
KEPT_MAX = 32  # of half a megabyte each
_DEFINITIONS = {"type": {"$in": sorted(TYPES)}}
_OTHERS = {"type": {"$nin": sorted(TYPES)}}
_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)

Resource = dict[str, Any]
Defined = frozenset[tuple[str, int, str | None]]  # key, version and text of each definition that is stored


@dataclass(frozen=True)
class Kept:
    """What was stored, by collection, which definitions were among it, and where clock and ids stood."""

    documents: dict[str, list[RawBSONDocument]]
    defined: Defined
    place: Place


class Shelf:
    """What a server had stored each time after it was told something, from an empty record on."""

    def __init__(self, server: RunningServer, database: Database[dict[str, Any]]) -> None:
        self._server = server
        self._database = database
        self._raw = database.with_options(codec_options=_RAW)
        # these do not wait for the journal: whatever is written last does, and it comes after them
        self._hurried = database.with_options(codec_options=_RAW, write_concern=WriteConcern(w=1))
        self._kept: OrderedDict[tuple[str, ...], Kept] = OrderedDict()
        self._told: tuple[str, ...] = ()
        self._then = server.foretold.place  # where clock and ids stood once that was told
        self._one_at_a_time = threading.Lock()
        self._left: Defined = frozenset()  # the definitions of the test before, while they are stored

    def empty(self) -> None:
        """Begin anew: there is nothing, the clock is at its beginning, and so are the ids."""
        for name in COLLECTIONS[:-1]:
            self._hurried[name].delete_many({})
        self._database[COLLECTIONS[-1]].delete_many(_OTHERS)
        self._left = self._defined()
        self._server.foretold.reset()
        self._told, self._then = (), self._server.foretold.place

    def forget(self) -> None:
        """Rid the record of the definitions of the test before, and wait until the server has learnt that."""
        with self._one_at_a_time:
            if self._left:
                keys = [key for key, _, _ in self._left]
                self._database["resources"].delete_many({"_id": {"$in": keys}})
                _wait_until_forgotten(self._server.base, self._database)
                self._left = frozenset()

    def write_down(self, api: httpx.Client, *transactions: Iterable[Resource]) -> None:
        """Put these resources where they say they are, those of each transaction together."""
        bodies = [json.dumps(bundle_of(one)).encode() for one in transactions]
        names = [hashlib.sha256(body).hexdigest() for body in bodies]
        done = 0
        if self._server.foretold.place == self._then:
            ways = (count for count in range(len(names), 0, -1) if (*self._told, *names[:count]) in self._kept)
            done = next((count for count in ways if self._put_back((*self._told, *names[:count]))), 0)
        for name, body in zip(names[done:], bodies[done:], strict=True):
            self._tell(api, name, body)

    def _tell(self, api: httpx.Client, name: str, body: bytes) -> None:
        self.forget()
        follows = self._server.foretold.place == self._then
        answer = api.post("", content=body)
        assert answer.status_code == 200, answer.text
        if follows:
            self._told, self._then = (*self._told, name), self._server.foretold.place
            self._kept[self._told] = self._copy()
            while len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)

    def _copy(self) -> Kept:
        documents = {name: list(self._raw[name].find()) for name in COLLECTIONS}
        return Kept(documents, self._defined(), self._server.foretold.place)

    def _put_back(self, told: tuple[str, ...]) -> bool:
        """Whether it could be: the definitions are those that the server knows."""
        kept = self._kept[told]
        if kept.defined != (self._left or self._defined()):
            return False
        self._kept.move_to_end(told)
        for name, documents in kept.documents.items():
            is_last = name == COLLECTIONS[-1]
            others = [one for one in documents if not is_last or one["type"] not in TYPES]
            if self._told:
                self._hurried[name].delete_many(_OTHERS if is_last else {})
            if others:
                (self._raw if is_last else self._hurried)[name].insert_many(others)
        self._server.foretold.place = kept.place
        self._told, self._then, self._left = told, kept.place, frozenset()
        return True

    def _defined(self) -> Defined:
        found = self._database["resources"].find(_DEFINITIONS, {"version": 1, "json": 1})
        return frozenset((one["_id"], one["version"], one.get("json")) for one in found)


class FreshClient(httpx.Client):
    """A client of a server with nothing in its record, until this test writes there. Paths are relative to the FHIR base."""

    def __init__(self, server: RunningServer, shelf: Shelf) -> None:
        headers = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
        # no TLS here, so no authorities to load: that would take longer than most tests
        super().__init__(base_url=server.base, headers=headers, timeout=30, verify=False)
        self.shelf = shelf

    def send(self, request: httpx.Request, **more: Any) -> httpx.Response:
        self.shelf.forget()
        return super().send(request, **more)


def write_down(api: httpx.Client, *transactions: Iterable[Resource]) -> None:
    """Put these resources where they say they are, those of each transaction together, if need be over HTTP."""
    if isinstance(api, FreshClient):
        api.shelf.write_down(api, *transactions)
        return
    for resources in transactions:
        answer = api.post("", json=bundle_of(resources))
        assert answer.status_code == 200, answer.text


def _wait_until_forgotten(base: str, database: Database[dict[str, Any]]) -> None:
    """Waits until the server knows that the definitions of the test before are gone: it learns in order, so when it knows
    one that came into the database after that, and then that this one is gone too."""
    mark = uuid.uuid4().hex
    key = f"CodeSystem/{mark}"
    system = {
        "resourceType": "CodeSystem",
        "url": f"urn:uuid:{mark}",
        "content": "complete",
        "concept": [{"code": "a"}],
    }
    head = {"type": "CodeSystem", "id": mark, "version": 1, "at": datetime.now(UTC), "method": "PUT", "deleted": False}
    with httpx.Client(base_url=base, timeout=30, verify=False) as client:

        def knows() -> bool:
            asked = {"url": system["url"], "code": "a"}
            return client.get("/CodeSystem/$validate-code", params=asked).status_code == 200

        database["resources"].insert_one({"_id": key, **head, "json": json.dumps(system)})
        assert until(knows)
        database["resources"].delete_one({"_id": key})
        assert until(lambda: not knows())

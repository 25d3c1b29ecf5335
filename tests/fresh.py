"""A server whose record is as good as new for every test; and what many tests begin with, put there instead of told again.

A story takes the server a good part of a second to judge, and hundreds of tests begin with one. So it is told once, over HTTP, as
anybody would; what then is stored is kept here. A test that begins with the very same finds the same documents, the same next
moment and the same next id, in a hundredth of the time. Whoever wrote anything else before goes on over HTTP.

What the test before left stays until it is known what this test begins with: most of it is the same, and is not written again. What
is left otherwise goes before the server takes its first request, whoever sends it; who looks behind its back before that does so by
`Shelf.database`. Definitions are the one thing that the server keeps in mind, and it learns a little later what is done to them.
"""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import httpx
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database
from pymongo.write_concern import WriteConcern

from phb_fhir.definitions.registry import TYPES
from tests.builders import bundle_of
from tests.processes import until
from tests.running import UNPREPARED, Place, RunningServer

COLLECTIONS = ("history", "locks", "ledger", "balances", "requests", "resources")
KEPT_MAX = 32  # of half a megabyte each
_DEFINITIONS = {"type": {"$in": sorted(TYPES)}}
_OTHERS = {"type": {"$nin": sorted(TYPES)}}
_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)

Resource = dict[str, Any]
Said = TypeVar("Said")
Defined = frozenset[tuple[str, int, str | None]]  # key, version and text of each definition that is stored


@dataclass(frozen=True)
class Kept:
    """What was stored, by collection, which definitions were among it, where clock and ids stood, and what was said of it."""

    documents: dict[str, list[RawBSONDocument]]
    defined: Defined
    place: Place
    said: Any


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

    @property
    def database(self) -> Database[dict[str, Any]]:
        """What is stored, of this test alone."""
        self.begin()
        return self._database

    def empty(self) -> None:
        """Begin anew: nothing is recorded once somebody looks, the clock is at its beginning, and so are the ids."""
        self._server.prepare = self.begin
        self._server.foretold.reset()
        self._told, self._then = (), self._server.foretold.place

    def end(self) -> None:
        """Whoever comes without a client of ours finds what is there."""
        self._server.prepare = None

    def begin(self) -> None:
        """Rid the record of what the test before left, and wait until the server has learnt of that."""
        with self._one_at_a_time:
            if self._server.prepare is None:
                return
            self._make({})
            if defined := self._defined():
                self._database["resources"].delete_many({"_id": {"$in": [key for key, _, _ in defined]}})
                _wait_until_forgotten(self._server.base, self._database)
            self._server.prepare = None

    def write_down(self, api: httpx.Client, *transactions: Iterable[Resource]) -> None:
        """Put these resources where they say they are, those of each transaction together."""
        bodies = [json.dumps(bundle_of(one)).encode() for one in transactions]
        names = [hashlib.sha256(body).hexdigest() for body in bodies]
        done = 0
        if self._server.foretold.place == self._then:
            ways = (count for count in range(len(names), 0, -1) if (*self._told, *names[:count]) in self._kept)
            done = next((count for count in ways if self._put_back((*self._told, *names[:count]))), 0)
        for name, body in zip(names[done:], bodies[done:], strict=True):
            self._tell(name, partial(_post, api, body))

    def tell(self, api: httpx.Client, told: Callable[[httpx.Client], Said]) -> Said:
        """Have the record as `told` makes it, which always does the same; gives what it gives."""
        key = (*self._told, f"{told.__module__}.{told.__qualname__}")
        if self._server.foretold.place == self._then and key in self._kept and self._put_back(key):
            said: Said = deepcopy(self._kept[key].said)  # so that nobody changes it for others
            return said
        return self._tell(key[-1], partial(told, api))

    def _tell(self, name: str, tell: Callable[[], Said]) -> Said:
        self.begin()
        follows, key = self._server.foretold.place == self._then, (*self._told, name)
        said = tell()
        if follows:
            self._told, self._then = key, self._server.foretold.place
            self._kept[self._told] = self._copy(said)
            while len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        return said

    def _copy(self, said: Any) -> Kept:
        documents = {name: list(self._raw[name].find()) for name in COLLECTIONS}
        return Kept(documents, self._defined(), self._server.foretold.place, said)

    def _put_back(self, told: tuple[str, ...]) -> bool:
        """Whether it could be: the definitions are those that the server knows."""
        kept = self._kept[told]
        if kept.defined != self._defined():
            return False
        self._kept.move_to_end(told)
        self._make(kept.documents)
        self._server.foretold.place = kept.place
        self._told, self._then, self._server.prepare = told, kept.place, None
        return True

    def _make(self, documents: Mapping[str, list[RawBSONDocument]]) -> None:
        """The record becomes these documents, beside the definitions that are there. What is there already is not written again."""
        for name in COLLECTIONS:
            is_last = name == COLLECTIONS[-1]
            collection = (self._raw if is_last else self._hurried)[name]
            all_ = _OTHERS if is_last else {}
            wanted = {one["_id"]: one for one in documents.get(name, ()) if not is_last or one["type"] not in TYPES}
            there = {one["_id"]: one.raw for one in collection.find(all_)} if wanted else {}
            gone = [id_ for id_, raw in there.items() if id_ not in wanted or wanted[id_].raw != raw]
            if gone or is_last or not wanted:
                collection.delete_many({"_id": {"$in": gone}} if wanted else all_)
            if new := [one for id_, one in wanted.items() if there.get(id_) != one.raw]:
                collection.insert_many(new)

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


def write_down(api: httpx.Client, *transactions: Iterable[Resource]) -> None:
    """Put these resources where they say they are, those of each transaction together, if need be over HTTP."""
    if isinstance(api, FreshClient):
        api.shelf.write_down(api, *transactions)
        return
    for resources in transactions:
        answer = api.post("", json=bundle_of(resources))
        assert answer.status_code == 200, answer.text


def tell_once(api: httpx.Client, told: Callable[[httpx.Client], Said]) -> Said:
    """Have the record as `told` makes it, which always does the same; gives what it gives."""
    return api.shelf.tell(api, told) if isinstance(api, FreshClient) else told(api)


def _post(api: httpx.Client, transaction: bytes) -> None:
    answer = api.post("", content=transaction)
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
    with httpx.Client(base_url=base, headers=[UNPREPARED], timeout=30, verify=False) as client:

        def knows() -> bool:
            asked = {"url": system["url"], "code": "a"}
            return client.get("/CodeSystem/$validate-code", params=asked).status_code == 200

        database["resources"].insert_one({"_id": key, **head, "json": json.dumps(system)})
        assert until(knows)
        database["resources"].delete_one({"_id": key})
        assert until(lambda: not knows())

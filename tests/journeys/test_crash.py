"""A 2xx for a write means that it is kept. Several clients write; the server, its workers and its MongoDB are killed (SIGKILL)
in the middle of it, again and again; and whatever was acknowledged, or only shown to a reader, must be there in the end,
byte for byte, with every change whole: its version current or in the history, each transaction on all of its resources or none.

So it is with the MongoDB that the server runs itself, and on a replica set of three, whose primary is lost or gives its place to another. Its
address asks for what would suit another application (reads from secondaries, writes that one member has), which changes nothing.
"""

from __future__ import annotations

import itertools
import json
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.builders import bundle, entry, person, task
from tests.processes import WAIT_S, Answer, Connection, Request, ServerProcess, ask, kill_process, until
from tests.replica_set import ReplicaSet

SEED = 20261122
CLIENTS = 6
SHARED = 3  # resources that everybody updates
PATCHED = "Task/steps"
CONTENT = "https://phb.example/content"  # one value for each write
MARK = "https://phb.example/mark"  # one value for each transaction
STEP = "https://phb.example/step"  # one value for each patch
ONCE = "https://phb.example/once"  # one value for each conditional create
EVERYBODYS = (PATCHED, *(f"Task/shared-{number}" for number in range(SHARED)))
SMALL, LARGE = 3, 60  # people in a transaction, beside the one shared resource that it updates
ROUNDS = {
    "its own": ("mongod", "worker", "parent", "mongod", "everything", "worker", "parent", "mongod", "everything"),
    "three": ("mongod", "primary steps down", "everything", "mongod"),
}
SUITS_ANOTHER = "&readPreference=secondaryPreferred&readConcernLevel=local&w=1&journal=false&retryWrites=false"
OPERATIONS_MAX = 20_000  # of one client; a round that does not end must not fill the disk
Key = tuple[str, int]  # Patient/1 and the version


@dataclass
class Record:
    """What the server said. `bodies`: the text of a version, or None where it was deleted; `markers`: transactions it
    acknowledged, with the number of their resources; `surprises`: answers that no client should get."""

    bodies: dict[Key, bytes | None] = field(default_factory=dict)
    inside: dict[Key, bytes] = field(default_factory=dict)  # the Bundle a version's text stands in
    markers: dict[str, int] = field(default_factory=dict)
    steps: set[str] = field(default_factory=set)
    once: set[str] = field(default_factory=set)
    surprises: list[str] = field(default_factory=list)
    newest: dict[str, int] = field(default_factory=dict)
    acknowledged: int = 0
    unanswered: int = 0

    def keep(self, key: str, version: int, body: bytes | None) -> None:
        self.newest[key] = max(version, self.newest.get(key, 0))
        known = self.bodies.setdefault((key, version), body)
        if known != body:
            self.surprises.append(f"{key} version {version} was told in two ways")


class Client(threading.Thread):
    """Writes, and reads back, until `over`; the server may go away at any moment and come back."""

    def __init__(self, base: str, number: int, record: Record, over: threading.Event) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self._base = base
        self._record = record
        self._over = over
        self._random = random.Random(SEED + number)
        self._words = (f"c{number}-{count}" for count in itertools.count())
        self._mine: list[str] = []
        self._connection: Connection | None = None
        self._kinds: list[Callable[[], None]] = [
            *[self.create] * 3,
            *[self.update] * 4,
            *[self.patch] * 2,
            *[self.transact] * 3,
            self.delete,
            self.create_once,
        ]

    def run(self) -> None:
        try:
            for _ in range(OPERATIONS_MAX):
                if self._over.is_set():
                    return
                self._random.choice(self._kinds)()
        except Exception as error:  # noqa: BLE001 - a thread's exception is lost, and with it the reason
            self._record.surprises.append(repr(error))
        finally:
            self.hang_up()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer | None:
        """The answer; None when there was none, or the database was away: then the write may or may not be kept."""
        try:
            self._connection = self._connection or Connection(self._base)
            answer = self._connection.ask(method, path, body, **headers)
        except OSError:
            self.hang_up()
            self._record.unanswered += 1
            self._over.wait(0.02)
            return None
        if answer.status in (200, 201, 204):
            self._record.acknowledged += 1
            return answer
        if answer.status != 503:
            self._record.surprises.append(f"{method} {path}: {answer.status} {answer.body[:300]!r}")
        self._record.unanswered += 1
        return None

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def keep(self, answer: Answer | None) -> Answer | None:
        if answer is not None:
            self._record.keep(answer.key, answer.version, answer.body)
        return answer

    def create(self) -> None:
        answer = self.keep(self.ask("POST", "/Patient", person(identifier=known(CONTENT, next(self._words)))))
        if answer is not None:
            self._mine.append(answer.key)
            self.read_back(answer.key, answer.version)

    def update(self) -> None:
        id_ = f"shared-{self._random.randrange(SHARED)}"
        answer = self.keep(self.ask("PUT", f"/Task/{id_}", task(id=id_, identifier=known(CONTENT, next(self._words)))))
        if answer is not None:
            self.read_back(answer.key, answer.version)

    def patch(self) -> None:
        word = next(self._words)
        added = {"op": "add", "path": "/identifier/-", "value": known(STEP, word)[0]}
        if self.keep(self.ask("PATCH", f"/{PATCHED}", [added])) is not None:
            self._record.steps.add(word)

    def transact(self) -> None:
        word, people = next(self._words), self._random.choice((SMALL, SMALL, SMALL, LARGE))
        mark = known(MARK, word)
        id_ = f"shared-{self._random.randrange(SHARED)}"
        posted = [entry("POST", "Patient", person(identifier=mark)) for _ in range(people)]
        put = entry("PUT", f"Task/{id_}", task(id=id_, identifier=mark))
        answer = self.ask("POST", "", bundle("transaction", *posted, put), Prefer="return=representation")
        if answer is not None:
            self._record.markers[word] = people + 1
            for each in answer.json()["entry"]:
                resource = each["resource"]
                key = f"{resource['resourceType']}/{resource['id']}"
                self._record.inside[key, int(resource["meta"]["versionId"])] = answer.body

    def delete(self) -> None:
        if not self._mine:
            return
        key = self._mine.pop(self._random.randrange(len(self._mine)))
        answer = self.ask("DELETE", f"/{key}")
        if answer is not None:
            self._record.keep(key, answer.version, None)

    def create_once(self) -> None:
        """What the server advises to do about a write it could not confirm: send it in a form that is safe to repeat."""
        word = next(self._words)
        condition = f"identifier={ONCE}|{word}"
        for _ in range(1000):
            answer = self.keep(
                self.ask("POST", "/Patient", person(identifier=known(ONCE, word)), If_None_Exist=condition)
            )
            if answer is not None:
                self._record.once.add(word)
            if answer is not None or self._over.is_set():
                return

    def read_back(self, key: str, version: int) -> None:
        """Whoever was told of a version finds it or a later one; and what is shown to a reader is kept, too."""
        answer = self.ask("GET", f"/{key}")
        if answer is not None:
            self._record.keep(key, answer.version, answer.body)
            if answer.version < version:
                self._record.surprises.append(f"{key} was at version {version}, then at {answer.version}")


def known(system: str, value: str) -> list[dict[str, str]]:
    return [{"system": system, "value": value}]


@contextmanager
def writing(base: str) -> Iterator[Record]:
    """Clients at work; what they were told."""
    record, over = Record(), threading.Event()
    clients = [Client(base, number, record, over) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield record
    finally:
        over.set()
        for client in clients:
            client.join(WAIT_S)
    assert not [client.name for client in clients if client.is_alive()]


@dataclass
class Site:
    """A server, the replica set it is on where that is not its own, and what its clients were told."""

    server: ServerProcess
    members: ReplicaSet | None
    record: Record = field(default_factory=Record)

    @property
    def uri(self) -> str:
        return self.server.mongodb_uri() if self.members is None else self.members.uri

    def kill_mongod(self) -> None:
        if self.members is None:
            self.server.kill_mongod()
        else:
            self.members.kill_primary()

    def kill(self, victim: str) -> None:
        """Without a warning: the database, one worker, the process that holds all together, or all there is at once."""
        workers = sorted(self.server.workers())
        match victim:
            case "mongod":
                self.kill_mongod()
            case "primary steps down" if self.members is not None:
                self.members.step_down()
            case "worker":
                kill_process(workers[0])
            case "parent":
                self.server.kill()
            case "everything":
                self.kill_mongod()
                for pid in workers:
                    kill_process(pid)
                self.server.kill()


@contextmanager
def site(kind: str, folder: Path) -> Iterator[Site]:
    with ExitStack() as open_ones:
        if kind == "three":
            members = open_ones.enter_context(ReplicaSet(folder))
            server = ServerProcess(folder, mongodb_uri=members.uri + SUITS_ANOTHER, workers=2)
        else:
            members, server = None, ServerProcess(folder, data=folder / "data", workers=2)
        yield Site(open_ones.enter_context(server), members)


@pytest.fixture(scope="module", params=list(ROUNDS))
def aftermath(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server after the rounds of killing, and what its clients had been told."""
    chance = random.Random(SEED)
    with site(request.param, tmp_path_factory.mktemp("crash")) as it:
        assert (
            ask(it.server.base, "PUT", f"/{PATCHED}", task(id="steps", identifier=known(STEP, "start"))).status == 201
        )
        with writing(it.server.base) as it.record:
            for victim in ROUNDS[request.param]:
                assert goes_on(it.record, chance.randint(80, 240)), f"the writing stopped before {victim} was killed"
                it.kill(victim)
                if it.server.process.poll() is not None:
                    it.server.start()
            assert goes_on(it.record, 80), "the writing did not go on after the last round"
        yield it


def goes_on(record: Record, count: int) -> bool:
    """Whether that many more writes are acknowledged, some of each resource that everybody writes among them."""
    wanted, before = record.acknowledged + count, {key: record.newest.get(key, 0) for key in EVERYBODYS}
    return until(
        lambda: (
            record.acknowledged >= wanted and all(record.newest.get(key, 0) > number for key, number in before.items())
        )
    )


# --- what must be there ---


@dataclass(frozen=True)
class Stored:
    """Every version in the database, read behind the server's back."""

    current: dict[str, dict[str, Any]]
    superseded: dict[Key, dict[str, Any]]

    def all(self) -> Iterator[tuple[str, int, str | None]]:
        for document in self.current.values():
            yield document["_id"], document["version"], document.get("json")
        for document in self.superseded.values():
            yield document["key"], document["version"], document.get("json")


@pytest.fixture(scope="module")
def stored(aftermath: Site) -> Stored:
    with MongoClient[dict[str, Any]](aftermath.uri) as client:
        database = client["phb_fhir"]
        current = {it["_id"]: it for it in database["resources"].find()}
        return Stored(current, {(it["key"], it["version"]): it for it in database["history"].find()})


def test_the_clients_met_interruptions_and_no_answer_that_was_wrong(aftermath: Site) -> None:
    record = aftermath.record
    assert record.surprises == []
    assert record.unanswered > 0
    assert record.acknowledged > 80 * len(ROUNDS["three"])
    assert min(len(record.markers), len(record.steps), len(record.once), len(record.inside)) > 0


def test_every_acknowledged_version_is_read_byte_for_byte(aftermath: Site) -> None:
    server, record = aftermath.server, aftermath.record
    wrong = []
    with Connection(server.base) as connection:
        for (key, version), body in record.bodies.items():
            answer = connection.ask("GET", f"/{key}/_history/{version}")
            if (answer.status, answer.body) != (200, body) and (answer.status, body) != (410, None):
                wrong.append((key, version, answer.status))
        for (key, version), around in record.inside.items():
            answer = connection.ask("GET", f"/{key}/_history/{version}")
            if answer.status != 200 or answer.body not in around:
                wrong.append((key, version, answer.status))
    assert wrong == []


def test_every_resource_has_its_versions_without_gap_one_of_them_current(stored: Stored) -> None:
    numbers: dict[str, list[int]] = defaultdict(list)
    for key, version, _ in stored.all():
        numbers[key].append(version)
    assert {key: sorted(found) for key, found in numbers.items()} == {
        key: list(range(1, document["version"] + 1)) for key, document in stored.current.items()
    }


def test_every_superseded_version_was_current_until_the_next_one(stored: Stored) -> None:
    for (key, version), document in stored.superseded.items():
        following = stored.superseded.get((key, version + 1), stored.current[key])
        assert (following["version"], following["at"]) == (version + 1, document["until"])
        assert document["at"] < document["until"]


def test_every_transaction_stands_on_all_of_its_resources_once_or_on_none(aftermath: Site, stored: Stored) -> None:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for key, _, text in stored.all():
        for identifier in json.loads(text or "{}").get("identifier", []):
            if identifier["system"] == MARK:
                found[identifier["value"]][key] += 1
    assert {count for keys in found.values() for count in keys.values()} == {1}
    sizes = {mark: len(keys) for mark, keys in found.items()}
    assert set(sizes.values()) == {SMALL + 1, LARGE + 1}
    record = aftermath.record
    assert {mark: sizes.get(mark) for mark in record.markers} == record.markers


def test_no_change_was_made_twice(stored: Stored) -> None:
    made = Counter(
        identifier["value"]
        for _, _, text in stored.all()
        for identifier in json.loads(text or "{}").get("identifier", [])
        if identifier["system"] in (CONTENT, ONCE)
    )
    assert {word: count for word, count in made.items() if count != 1} == {}


def test_a_conditional_create_that_was_repeated_until_it_was_answered_made_one_resource(
    aftermath: Site,
) -> None:
    server, record = aftermath.server, aftermath.record
    with Connection(server.base) as connection:
        totals = {
            word: connection.ask("GET", f"/Patient?identifier={ONCE}|{word}").json()["total"] for word in record.once
        }
    assert totals == dict.fromkeys(record.once, 1)


def test_every_acknowledged_patch_is_in_the_resource_once(aftermath: Site) -> None:
    server, record = aftermath.server, aftermath.record
    resource = ask(server.base, "GET", f"/{PATCHED}").json()
    steps = [identifier["value"] for identifier in resource["identifier"]]
    assert len(steps) == len(set(steps)) == int(resource["meta"]["versionId"])
    assert record.steps - set(steps) == set()


def test_the_history_that_is_served_is_all_that_is_stored(aftermath: Site, stored: Stored) -> None:
    server = aftermath.server
    path, told = "/_history?_count=1000", []
    for _ in range(100):
        page = ask(server.base, "GET", path).json()
        told += [
            (it["fullUrl"].removeprefix(server.base + "/"), int(it["response"]["etag"][3:-1])) for it in page["entry"]
        ]
        following = [link["url"] for link in page["link"] if link["relation"] == "next"]
        if not following:
            break
        path = following[0].removeprefix(server.base)
    assert page["total"] == len(told) == len(set(told))
    assert sorted(told) == sorted((key, version) for key, version, _ in stored.all())


def test_a_server_killed_between_the_first_and_last_byte_of_a_request_keeps_nothing_of_it(
    aftermath: Site,
) -> None:
    server = aftermath.server
    with Connection(server.base) as connection:
        connection.begin(Request("PUT", "/Patient/half", person(id="half")))
        aftermath.kill("everything")
        with pytest.raises(OSError):  # noqa: PT011 - whichever way the connection ends
            connection.finish()
    server.start()
    assert ask(server.base, "GET", "/Patient/half").status == 404

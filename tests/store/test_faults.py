"""A database that is away, frozen, slow, or that hangs up midway: whoever asked hears so, in bounded time, in plain words, and
is served again as soon as it is back. The `Road` to it is a real connection, which a test may block."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from pymongo import MongoClient
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WTimeoutError,
)
from typer.testing import CliRunner, Result

from phb_fhir.cli.main import app
from phb_fhir.outcome import Kind, Refusal, Rejected
from phb_fhir.query import HistoryQuery, Query, SortKey, Updated
from phb_fhir.store import backup
from phb_fhir.store.embedded import CannotStart, PrivateMongo
from phb_fhir.store.faults import rejection_of, translated
from phb_fhir.store.store import Store, Transaction, Write
from tests.processes import ask, until
from tests.running import RunningServer
from tests.store.stores import bare, connected, opened, put, raise_number, run, version

# how long a refusal may take here: the bound under test is a second at most, the rest is for a machine with other work
PATIENCE_S = 15.0
COMMAND_PATIENCE_S = 40.0  # of which a command waits in vain for a few


class Road:
    """The way to a MongoDB: open, blocked (what is sent stays on the way) or cut (whoever is on it is thrown off).

    With `toll`, a connection on which those bytes are sent is cut before they arrive, `tolls` times. What has the bytes `trap` in it blocks it.
    """

    trap = b""

    def __init__(self, uri: str, toll: bytes = b"", tolls: int = 0) -> None:
        parts = urlsplit(uri)
        self._target = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._passable = threading.Event()
        self._passable.set()
        self._cut = False
        self._ends: list[socket.socket] = []
        self._toll, self.tolls = toll, tolls
        self.uri = f"mongodb://127.0.0.1:{self._listener.getsockname()[1]}/?directConnection=true"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.open()
        self._throw_off()

    def block(self) -> None:
        self._passable.clear()

    def cut(self) -> None:
        self._cut = True
        self._throw_off()

    def open(self) -> None:
        self._cut = False
        self._passable.set()

    def _throw_off(self) -> None:
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._cut:
                    near.close()
                    continue
                far = socket.create_connection(self._target)
                self._ends += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.trap and self.trap in data:
                    self.block()
                self._passable.wait()
                if self.tolls and self._toll in data:
                    self.tolls -= 1
                    break
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A MongoDB of our own, that soon ends the transactions which are left open here."""
    folder = tmp_path_factory.mktemp("mongo")
    with PrivateMongo(folder, cache_mb=256, start_timeout_s=60, transaction_time_max_s=1.0) as mongo:
        yield mongo.uri


@pytest.fixture
def database_name() -> str:
    return f"test_{uuid4().hex}"


@pytest.fixture
def road(uri: str) -> Iterator[Road]:
    with Road(uri) as way:
        yield way


async def in_time(asked: Awaitable[Any]) -> Any:
    """What was refused; a wait without end, or an answer, is the failure."""
    with pytest.raises(Rejected) as refused:
        await asyncio.wait_for(asked, PATIENCE_S)
    return refused.value


QUESTIONS: dict[str, Callable[[Store], Awaitable[Any]]] = {
    "read": lambda store: store.read("Task", "a"),
    "vread": lambda store: store.read_version("Task", "a", 1),
    "search": lambda store: store.search(Query(("Task",)), count=5),
    "find": lambda store: store.find(Query(("Task",)), count=5),
    "find in order": lambda store: store.find(Query(("Task",)), (SortKey("date", "lo"),), count=5),
    "find in a computed order": lambda store: store.find(Query(("Task",)), (SortKey("code", "keys"),), count=5),
    "find of any type": lambda store: store.find(Query(()), count=5),
    "keys": lambda store: store.keys(Query(("Task",)), count=5),
    "references": lambda store: store.pointed_at(Query(("Task",)), "subject", (), count=5),
    "count": lambda store: store.count(Query(("Task",))),
    "explain": lambda store: store.explain(Query(("Task",)), (), 5),
    "history": lambda store: store.history(HistoryQuery(), after=None, count=5),
    "history count": lambda store: store.history_count(HistoryQuery()),
    "balances": lambda store: store.ledger.next("", count=5),
    "readiness": lambda store: store.check_ready(),
}
WRITES: dict[str, Callable[[Store], Awaitable[Any]]] = {
    "insert": lambda store: store.insert(version("b"), None),
    "transaction": lambda store: raise_number(store, "a"),
}


HASTY: dict[str, Any] = {"query_time_max_ms": 400, "commit_time_max_s": 0.4}


# --- away, frozen, back ---


@pytest.mark.parametrize("asked", QUESTIONS | WRITES)
def test_with_the_database_away_each_question_is_refused_in_time_and_answered_when_it_is_back(
    road: Road, database_name: str, asked: str
) -> None:
    async def story() -> None:
        async with opened(road.uri, database_name, **HASTY) as store:
            await asyncio.wait_for(_until_answered((QUESTIONS | WRITES)[asked], store), PATIENCE_S)
            road.cut()
            refused = await in_time((QUESTIONS | WRITES)[asked](store))
            assert refused.refusal is Refusal.UNAVAILABLE
            assert refused.issues[0].text.startswith("The database ")
            road.open()
            await asyncio.wait_for(_until_answered((QUESTIONS | WRITES)[asked], store), PATIENCE_S)

    run(story)


@pytest.mark.parametrize("asked", QUESTIONS | WRITES)
def test_with_the_database_frozen_each_question_is_refused_in_time_and_answered_when_it_goes_on(
    road: Road, database_name: str, asked: str
) -> None:
    async def story() -> None:
        async with opened(road.uri, database_name, **HASTY) as store:
            await asyncio.wait_for(_until_answered((QUESTIONS | WRITES)[asked], store), PATIENCE_S)
            road.block()
            refused = await in_time((QUESTIONS | WRITES)[asked](store))
            assert (refused.refusal, refused.issues[0].kind) == (Refusal.UNAVAILABLE, Kind.TIMEOUT)
            assert refused.issues[0].text.startswith("The database took longer than it may, while ")
            road.open()
            await asyncio.wait_for(_until_answered((QUESTIONS | WRITES)[asked], store), PATIENCE_S)

    run(story)


@pytest.mark.parametrize("gone", [Road.cut, Road.block])
def test_who_met_others_and_then_nobody_hears_of_the_database_and_not_of_the_others(
    uri: str, road: Road, database_name: str, gone: Callable[[Road], None]
) -> None:
    """One who is in the way, and then no answer: to be told that others kept writing (409) would be to be told to send it again at once."""

    async def story() -> None:
        attempts = 0

        async def work(transaction: Transaction) -> None:
            nonlocal attempts
            attempts += 1
            if attempts == 2:
                gone(road)
            await transaction.lock(["x"])

        async with opened(road.uri, database_name, **HASTY) as store:
            with MongoClient[dict[str, Any]](uri) as other, other.start_session() as session:
                session.start_transaction()
                other[database_name]["locks"].insert_one({"_id": "x"}, session=session)
                refused = await in_time(store.transaction(work))
            assert attempts > 1
            assert refused.refusal is Refusal.UNAVAILABLE
            assert refused.issues[0].text.startswith("The database ")

    run(story)


async def _until_answered(question: Callable[[Store], Awaitable[Any]], store: Store) -> None:
    while True:
        try:
            await question(store)
        except Rejected:
            continue
        return


def test_a_crowd_that_meets_a_database_gone_away_is_refused_together_and_not_one_after_the_other(
    road: Road, database_name: str
) -> None:
    async def story() -> None:
        async with opened(road.uri, database_name, **HASTY) as store:
            road.cut()

            async def work(transaction: Transaction) -> None:
                await transaction.lock(["a"])

            # they queue for their turn; one refusal after the other would take longer than the wait allows
            waiting: list[Awaitable[Any]] = [store.transaction(work, contended={"a"}) for _ in range(40)]
            waiting += [store.read("Task", f"n{number}") for number in range(40)]
            answers = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), PATIENCE_S)
            assert [it.refusal for it in answers if isinstance(it, Rejected)] == [Refusal.UNAVAILABLE] * 80

    run(story)


def test_an_insert_that_was_sent_and_not_confirmed_says_that_it_may_be_kept(road: Road, database_name: str) -> None:
    async def story() -> None:
        async with opened(road.uri, database_name, commit_time_max_s=1.0) as store:
            road.block()
            refused = await in_time(store.insert(version("a"), None))
            assert "it may or may not have been kept" in refused.issues[0].text

    run(story)


def test_a_transaction_that_never_reached_its_commit_does_not_say_that_it_may_be_kept(
    road: Road, database_name: str
) -> None:
    async def story() -> None:
        async with opened(road.uri, database_name, commit_time_max_s=1.0) as store:
            road.block()
            refused = await in_time(raise_number(store, "a"))
            assert "may or may not" not in refused.issues[0].text
            road.open()

    run(story)


def test_what_a_transaction_touched_whose_process_was_killed_can_soon_be_written_again(
    uri: str, road: Road, database_name: str
) -> None:
    async def story() -> None:
        async with (
            opened(road.uri, database_name, commit_time_max_s=1.0) as killed,
            opened(uri, database_name) as living,
        ):
            await put(living, version("a"))

            async def cut_off(transaction: Transaction) -> None:
                await transaction.write([Write(version("a"), version("a", 2), None)])
                road.cut()  # nobody is left to end it: MongoDB would keep it, and its hold on the resource, for a minute

            await in_time(killed.transaction(cut_off))
            assert await asyncio.wait_for(raise_number(living, "a"), PATIENCE_S) == 2

    run(story)


# --- hanging up midway: the driver asks again, and nothing happens twice ---


@pytest.mark.parametrize("toll", [b"insert", b"commitTransaction"])
def test_a_write_whose_connection_breaks_is_made_once(uri: str, database_name: str, toll: bytes) -> None:
    async def story() -> None:
        with Road(uri, toll, tolls=1) as way:
            async with connected(way.uri, database_name) as store:
                assert await store.insert(version("b"), None)
                assert await raise_number(store, "a") == 1
                assert way.tolls == 0
                assert bare(await store.read("Task", "b")) == version("b")
                history = await store.history(HistoryQuery("Task", "a"), after=None, count=5)
                assert [bare(each) for each in history] == [version("a")]

    run(story)


def test_a_server_whose_database_hangs_up_while_it_starts_is_ready_as_soon_as_it_does_not(
    uri: str, database_name: str
) -> None:
    tolls = 1_000_000
    # the page key is what a server asks for last as it starts; the driver asks again for as long as a question may take
    with (
        Road(uri, b"findAndModify", tolls) as way,
        RunningServer(way.uri, database_name, query_time_max_ms=100) as server,
    ):
        assert until(lambda: way.tolls < tolls - 4)
        assert ask(server.root, "GET", "/health/ready").status == 503
        assert ask(server.base, "GET", "/metadata").status == 503
        way.tolls = 0
        assert until(lambda: ask(server.root, "GET", "/health/ready").status == 200)
        assert ask(server.base, "GET", "/metadata").status == 200


def test_who_has_the_record_looked_through_hears_in_time_that_the_database_fell_silent_meanwhile(
    uri: str, road: Road, database_name: str
) -> None:
    with RunningServer(road.uri, database_name) as server:
        assert ask(server.base, "GET", "/$fsck").status == 200
        road.trap = b"snapshot"  # each step of it is of one instant
        answer = ask(server.base, "GET", "/$fsck")
        road.trap = b""
        road.open()
        assert answer.status == 503
        assert ask(server.base, "GET", "/$fsck").status == 200


@pytest.mark.parametrize(
    ("words", "trap", "said"),
    [
        (["check"], b"snapshot", "The database cannot be reached just now"),
        (["audit", "verify"], b"audit_pending", "The database cannot be reached just now"),
        (["backup"], b"snapshot", "The record could not be read"),
    ],
    ids=["check", "audit verify", "backup"],
)
def test_a_command_during_which_the_database_falls_silent_ends_with_a_sentence(
    words: list[str],
    trap: bytes,
    said: str,
    road: Road,
    database_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backup, "SILENT_MAX_S", 1.0)
    with RunningServer(road.uri, database_name):
        pass
    road.trap = trap
    file = [str(tmp_path / "copy")] if words == ["backup"] else []
    settings = {"PHB_MONGODB_DATABASE": database_name, "PHB_DATABASE_WAIT_MAX_S": "1"}
    ran: Future[Result] = Future()

    def command() -> None:
        ran.set_result(CliRunner().invoke(app, [*words, *file, "--mongodb-uri", road.uri], env=settings))

    threading.Thread(target=command, daemon=True).start()
    result = ran.result(COMMAND_PATIENCE_S)
    assert isinstance(result.exception, CannotStart)
    assert result.exception.sentence.startswith(said)
    assert list(tmp_path.iterdir()) == []


# --- slow ---


def test_a_question_that_takes_too_long_is_given_up_and_the_same_one_with_more_time_is_answered(
    uri: str, database_name: str
) -> None:
    rows, at = 60_000, datetime(2026, 1, 1, tzinfo=UTC)
    with MongoClient[dict[str, Any]](uri) as client:
        tasks = ({"_id": f"Task/{n}", "type": "Task", "id": str(n), "at": at, "deleted": False} for n in range(rows))
        client[database_name]["resources"].insert_many(tasks)
    all_but_now = Query(("Task",), Updated(datetime(2026, 6, 1, tzinfo=UTC), None, inside=False))

    async def story() -> None:
        async with (
            opened(uri, database_name) as patient,
            connected(uri, database_name, query_time_max_ms=10) as hasty,
        ):
            refused = await in_time(hasty.count(all_but_now))
            assert (refused.refusal, refused.issues[0].kind) == (Refusal.UNAVAILABLE, Kind.TIMEOUT)
            assert (
                refused.issues[0].text
                == "The database took longer than it may, while counting. Try again, or ask for less."
            )
            assert await patient.count(all_but_now) == rows

    run(story)


def test_a_search_without_its_index_says_so_and_is_answered_when_it_is_back(uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(uri, database_name) as store:
            await store.insert(version("a"), None)
            with MongoClient[dict[str, Any]](uri) as client:
                client[database_name]["resources"].drop_index("type_seq")
            refused = await in_time(store.find(Query(("Task",)), count=5))
            assert (refused.refusal, refused.issues[0].kind) == (Refusal.UNAVAILABLE, Kind.TRANSIENT)
            assert "The database lacks an index" in refused.issues[0].text
            await store.open()
            assert len(await store.find(Query(("Task",)), count=5)) == 1

    run(story)


# --- what the driver raises, in words ---

AWAY = "The database cannot be reached just now, while reading. Try again in a moment."
SLOW = "The database took longer than it may, while reading. Try again, or ask for less."


@pytest.mark.parametrize(
    ("error", "refusal", "kind", "text"),
    [
        (AutoReconnect("connection closed"), Refusal.UNAVAILABLE, Kind.TRANSIENT, AWAY),
        (ServerSelectionTimeoutError("No servers found yet"), Refusal.UNAVAILABLE, Kind.TRANSIENT, AWAY),
        (OperationFailure("not primary", 10107), Refusal.UNAVAILABLE, Kind.TRANSIENT, AWAY),
        (NetworkTimeout("timed out"), Refusal.UNAVAILABLE, Kind.TIMEOUT, SLOW),
        (ExecutionTimeout("operation exceeded time limit", 50), Refusal.UNAVAILABLE, Kind.TIMEOUT, SLOW),
        (WTimeoutError("waiting for replication timed out", 64), Refusal.UNAVAILABLE, Kind.TIMEOUT, SLOW),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, PyMongoError) else "",
)
def test_what_the_driver_raises_is_told_in_words(error: PyMongoError, refusal: Refusal, kind: Kind, text: str) -> None:
    with pytest.raises(Rejected) as refused, translated("reading"):
        raise error
    assert (refused.value.refusal, refused.value.issues[0].kind, refused.value.issues[0].text) == (refusal, kind, text)
    assert refused.value.__cause__ is error
    perhaps = rejection_of(error, "writing", writing=True)
    assert (perhaps.refusal, perhaps.issues[0].kind) == (refusal, kind)
    assert "may or may not have been kept" in perhaps.issues[0].text


def test_an_error_that_is_not_the_databases_is_left_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError), translated("reading"):
        raise ZeroDivisionError


def test_a_failed_batch_with_other_errors_than_duplicates_is_told_as_unconfirmed() -> None:
    rows = {"writeErrors": [{"index": 0, "code": 13, "errmsg": "not authorized"}]}
    assert "may or may not" in rejection_of(BulkWriteError(rows), "writing", writing=True).issues[0].text

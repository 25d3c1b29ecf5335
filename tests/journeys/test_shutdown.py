"""Told to end, the server finishes what it accepted, closes its MongoDB and ends with 0; and several workers are one server:
they share the work, their numbers and their page links, and one that dies is replaced."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phb_fhir.app import _end
from tests.builders import bundle, entry, person
from tests.processes import (
    Answer,
    Connection,
    Request,
    ServerProcess,
    ask,
    connections_held,
    is_running,
    kill_process,
    until,
)

CALLERS = 12
ENTRIES = 150
UNDER_WAY = "phb_fhir_requests_under_way"
LONGER_THAN_A_TEST_S = 600
WAIT_S = 60


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path


@contextlib.contextmanager
def serving(folder: Path, **settings: object) -> Iterator[ServerProcess]:
    with ServerProcess(folder, data=folder / "data", **settings) as server:
        yield server


@contextlib.contextmanager
def begun(server: ServerProcess, requests: list[Request]) -> Iterator[list[Connection]]:
    """Connections on which these requests were begun: the server works on them, and misses their last bytes."""
    with contextlib.ExitStack() as open_ones:
        connections = [open_ones.enter_context(Connection(server.base)) for _ in requests]
        for connection, request in zip(connections, requests, strict=True):
            connection.begin(request)
        # the question is itself under way while it is answered
        assert until(lambda: server.metric(UNDER_WAY) == len(requests) + 1)
        yield connections


def large_transaction(mark: str) -> Request:
    people = (entry("POST", "Patient", person(f"{mark}-{number}")) for number in range(ENTRIES))
    return Request("POST", "", bundle("transaction", *people))


def is_listening(port: int) -> bool:
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def total(server: ServerProcess, query: str) -> int:
    found: int = ask(server.base, "GET", query).json()["total"]
    return found


# --- the end ---


@pytest.mark.parametrize("workers", [1, 2])
def test_requests_whose_bodies_are_still_coming_when_the_server_is_told_to_end_are_answered(
    logs: Path, workers: int
) -> None:
    with serving(logs, workers=workers, shutdown_timeout_s=LONGER_THAN_A_TEST_S) as server:
        mongod = server.mongod_pid()
        with begun(server, [Request("POST", "/Patient", person(str(n))) for n in range(CALLERS)]) as connections:
            server.process.send_signal(signal.SIGTERM)
            assert until(server.is_closed)
            assert is_running(mongod)
            answers = [connection.finish() for connection in connections]
        assert [answer.status for answer in answers] == [201] * CALLERS
        assert server.process.wait(60) == 0
        assert not is_running(mongod)
        server.start()
        assert [ask(server.base, "GET", f"/{answer.key}").body for answer in answers] == [
            answer.body for answer in answers
        ]


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 1), (signal.SIGTERM, 2)])
def test_large_transactions_under_way_when_the_server_is_told_to_end_are_finished(
    logs: Path, number: signal.Signals, workers: int
) -> None:
    with serving(logs, workers=workers, shutdown_timeout_s=LONGER_THAN_A_TEST_S) as server:
        mongod = server.mongod_pid()
        with begun(server, [large_transaction(str(n)) for n in range(CALLERS)]) as connections:
            for connection in connections:
                connection.send_rest()
            server.process.send_signal(number)
            answers = [connection.finish() for connection in connections]
        assert [answer.status for answer in answers] == [200] * CALLERS
        assert server.process.wait(60) == 0
        assert not is_running(mongod)
        server.start()
        assert total(server, "/Patient?_summary=count") == CALLERS * ENTRIES


def test_callers_who_keep_their_connections_and_ask_nothing_hold_up_no_end(logs: Path) -> None:
    with serving(logs, shutdown_timeout_s=LONGER_THAN_A_TEST_S) as server, contextlib.ExitStack() as open_ones:
        idle = [open_ones.enter_context(Connection(server.base)) for _ in range(CALLERS)]
        assert {connection.ask("GET", "/metadata").status for connection in idle} == {200}
        assert server.stop() == 0


def test_a_caller_who_never_finishes_is_waited_for_only_as_long_as_the_setting_says(logs: Path) -> None:
    with serving(logs, shutdown_timeout_s=1) as server:
        mongod = server.mongod_pid()
        with begun(server, [Request("PUT", "/Patient/late", person(id="late"))]) as connections:
            assert server.stop() == 0
            told = connections[0].receive()
        assert (told.status, told.json()["issue"][0]["code"]) == (503, "transient")
        assert "could not finish this request" in told.json()["issue"][0]["diagnostics"]
        assert not is_running(mongod)
        server.start()
        assert ask(server.base, "GET", "/Patient/late").status == 404


def test_who_tells_it_to_end_again_waits_for_nobody_and_finds_no_trace_of_a_stack(logs: Path) -> None:
    with serving(logs, shutdown_timeout_s=LONGER_THAN_A_TEST_S) as server:
        mongod = server.mongod_pid()
        with begun(server, [Request("PUT", "/Patient/late", person(id="late"))]):
            server.process.send_signal(signal.SIGINT)
            assert until(lambda: not is_listening(server.port))
            server.process.send_signal(signal.SIGINT)
            assert server.process.wait(WAIT_S) == 0
        assert not is_running(mongod)
        assert "Traceback" not in server.log.read_text()
        server.start()
        assert ask(server.base, "GET", "/Patient/late").status == 404


def test_a_server_whose_database_died_still_ends_with_everything_it_acknowledged(logs: Path) -> None:
    with serving(logs) as server:
        kept = ask(server.base, "POST", "/Patient", person())
        server.kill_mongod()
        assert server.stop() == 0
        server.start()
        assert ask(server.base, "GET", f"/{kept.key}").body == kept.body


# --- several workers ---


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of two workers."""
    with serving(tmp_path_factory.mktemp("pair"), workers=2) as server:
        assert until(lambda: len(server.workers()) == 2)
        yield server


def crowd(server: ServerProcess, open_ones: contextlib.ExitStack) -> list[Connection]:
    """Connections that are kept, to both workers."""
    made: list[Connection] = []
    while len(made) < 400 and not all(connections_held(pid, server.port) for pid in server.workers()):
        more = [open_ones.enter_context(Connection(server.base)) for _ in range(10)]
        for connection in more:
            connection.begin(Request("POST", "/Patient", person()))
        assert {connection.finish().status for connection in more} == {201}
        made += more
    return made


def asked_again(connection: Connection) -> Answer | None:
    try:
        return connection.ask("GET", "/Patient?_summary=count")
    except OSError:
        return None


def test_two_workers_share_the_callers_and_a_killed_one_is_replaced(pair: ServerProcess) -> None:
    with contextlib.ExitStack() as open_ones:
        connections = crowd(pair, open_ones)
        killed, left = sorted(pair.workers())
        kill_process(killed)
        answers = [asked_again(connection) for connection in connections]
    lost = answers.count(None)
    assert 0 < lost < len(answers)
    assert {answer.status for answer in answers if answer is not None} == {200}
    assert until(lambda: len(pair.workers() - {killed}) == 2)
    assert left in pair.workers()
    assert pair.process.poll() is None


def test_metrics_sum_over_the_workers_whichever_answers(pair: ServerProcess) -> None:
    line = 'phb_fhir_requests_total{interaction="create",status="201",type="Patient"}'
    before = pair.metric(line)
    with contextlib.ExitStack() as open_ones:
        made = len(crowd(pair, open_ones))
        assert [pair.metric(line) for _ in range(12)] == [before + made] * 12
        kill_process(max(pair.workers()))
        assert until(lambda: len(pair.workers()) == 2 and pair.is_ready())
        # what the one that died had counted still counts
        assert pair.metric(line) == before + made


def next_of(server: ServerProcess, page: dict[str, Any]) -> str:
    """The path of the next page; empty on the last one."""
    following = [link["url"] for link in page["link"] if link["relation"] == "next"]
    return following[0].removeprefix(server.base) if following else ""


def walk(server: ServerProcess, path: str) -> list[str]:
    """The references on all pages of a Bundle, each page fetched on a connection of its own."""
    found: list[str] = []
    for _ in range(100):
        page = ask(server.base, "GET", path).json()
        found += [it["fullUrl"].removeprefix(server.base + "/") for it in page["entry"]]
        path = next_of(server, page)
        if not path:
            break
    return found


def test_page_links_work_whichever_worker_answers_and_after_a_restart(logs: Path) -> None:
    with serving(logs, workers=2) as server:
        body = {"resourceType": "Organization", "name": "Bromley"}
        keys = sorted(ask(server.base, "POST", "/Organization", body).key for _ in range(21))
        paths = ("/Organization?_count=2", "/Organization/_history?_count=2")
        seconds = [next_of(server, ask(server.base, "GET", path).json()) for path in paths]
        before = [walk(server, path) for path in (*paths, *seconds)]
        assert [sorted(found) for found in before[:2]] == [keys, keys]
        assert [len(found) for found in before[2:]] == [19, 19]
        assert server.stop() == 0
        server.start()
        assert [walk(server, path) for path in (*paths, *seconds)] == before


def test_a_task_that_lost_its_cancellation_is_cancelled_again() -> None:
    """`asyncio.wait_for` of Python 3.11 can forget one; a server must not wait for that task for good."""

    async def loses_one() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(60)

    async def ended() -> bool:
        task = asyncio.create_task(loses_one())
        await asyncio.sleep(0)
        await _end([task])
        return task.cancelled()

    assert asyncio.run(ended())

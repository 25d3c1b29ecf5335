"""Clients that dribble, on real sockets: each part of an exchange has its time, and nobody else waits for them."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from phb_fhir.wire.protocol import FIELDS_MAX, HEAD_BYTES_MAX
from tests.builders import bundle, entry, person
from tests.processes import ServerProcess, until

WAIT_S = 30.0
PATIENCE_S = 1.0  # what a client of the server here may take; every wait of a test is far longer


@pytest.fixture(scope="module")
def hasty(mongodb_uri, mongodb_admin, tmp_path_factory) -> Iterator[ServerProcess]:
    """A server with little patience and few connections."""
    database = f"test_slow_{time.time_ns()}"
    with ServerProcess(
        tmp_path_factory.mktemp("slow"),
        mongodb_uri=mongodb_uri,
        mongodb_database=database,
        guide="false",
        head_timeout_s=PATIENCE_S,
        transfer_timeout_s=PATIENCE_S,
        keep_alive_timeout_s=1,
        connections_max=12,
        body_bytes_max=2_000_000,
    ) as running:
        yield running
    mongodb_admin.drop_database(database)


@contextlib.contextmanager
def connected(running: ServerProcess) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", running.port), timeout=WAIT_S) as client:
        yield client


def head(path: str, *lines: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} /fhir{path} HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""]).encode()


def posting(size: int) -> bytes:
    return head("/Patient", "Content-Type: application/fhir+json", f"Content-Length: {size}", method="POST")


def rest(client: socket.socket) -> bytes:
    """What comes until the server closes."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := client.recv(65_536):
            found += chunk
    return found


def dribbled(client: socket.socket, data: bytes, every_s: float = 0.1) -> bytes:
    """Sends byte by byte until the server has had enough; gives what it said. Fails if it takes all of it."""
    client.settimeout(every_s)
    said = b""
    for byte in data:
        try:
            client.sendall(bytes([byte]))
            chunk = client.recv(65_536)
        except TimeoutError:
            continue
        except OSError:
            return said
        said += chunk
        if not chunk:
            return said
    raise AssertionError("the server waited for all of it")


def serves_others(running: ServerProcess) -> bool:
    return httpx.get(f"{running.base}/metadata", timeout=WAIT_S).status_code == 200


# ---- the head --------------------------------------------------------------------------------------------------------


def test_a_connection_that_asks_nothing_is_closed_without_a_word(hasty):
    with connected(hasty) as client:
        assert rest(client) == b""


@pytest.mark.parametrize(
    "data",
    [b"GET /fhir/metadata HTTP/1.1\r\n" + b"X-Slow: 1\r\n" * 100, b"\r\n" * 500, b"G" * 500],
    ids=["fields", "empty lines", "method"],
)
def test_a_head_that_comes_byte_by_byte_is_given_up(hasty, data):
    with connected(hasty) as client:
        said = dribbled(client, data)
    assert not said or said.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 400 "))
    assert serves_others(hasty)


def test_a_head_that_stops_in_the_middle_is_told_so(hasty):
    with connected(hasty) as client:
        client.sendall(b"GET /fhir/metadata HTTP/1.1\r\nHost: x\r\n")
        said = rest(client)
    assert said.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"\r\nconnection: close\r\n" in said
    assert b"x-content-type-options: nosniff" in said
    issue = json.loads(said.split(b"\r\n\r\n", 1)[1])["issue"][0]
    assert (issue["code"], issue["diagnostics"]) == (
        "timeout",
        "The head of the request was not whole within 1 seconds.",
    )


def test_a_second_request_that_stops_in_the_middle_of_its_head_is_given_up_too(hasty):
    with connected(hasty) as client:
        client.sendall(head("/metadata") + b"GET /fhir/metadata HTTP/1.1\r\nHo")
        said = rest(client)
    assert said.startswith(b"HTTP/1.1 200 ")
    assert said.count(b"HTTP/1.1 ") <= 2


def test_after_an_answer_an_idle_connection_is_closed(hasty):
    with connected(hasty) as client:
        client.sendall(head("/metadata"))
        assert rest(client).startswith(b"HTTP/1.1 200 ")


def test_a_connection_in_use_is_kept(hasty):
    with connected(hasty) as client:
        for _ in range(12):  # longer together than any one of its times
            client.sendall(head("/Patient/nobody"))
            assert client.recv(65_536).startswith(b"HTTP/1.1 404 ")
            time.sleep(PATIENCE_S / 4)


def test_a_head_with_too_many_fields_is_refused(hasty):
    with connected(hasty) as client:
        client.sendall(head("/metadata", *["X: 1"] * FIELDS_MAX))
        said = rest(client)
    assert said.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert f"more than the {FIELDS_MAX} header fields".encode() in said
    with connected(hasty) as client:
        client.sendall(head("/metadata", "Connection: close", *["X: 1"] * (FIELDS_MAX - 2)))
        assert rest(client).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("complete", [True, False])
def test_a_head_that_is_too_large_is_refused(hasty, complete):
    lines = [f"X-{number}: {'x' * 4_000}" for number in range(50)]
    with connected(hasty) as client:
        with contextlib.suppress(OSError):
            client.sendall(head("/metadata", *lines)[: None if complete else -4])
        said = rest(client)
    assert said.startswith(b"HTTP/1.1 431 ")
    assert f"larger than the {HEAD_BYTES_MAX} bytes".encode() in said
    assert serves_others(hasty)


def test_what_is_no_http_is_refused_with_an_outcome(hasty):
    with connected(hasty) as client:
        client.sendall(b"\x16\x03\x01\x02\x00 hello\r\n\r\n")
        said = rest(client)
    assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert json.loads(said.split(b"\r\n\r\n", 1)[1])["resourceType"] == "OperationOutcome"
    assert b"hello" not in said


@pytest.mark.parametrize("hosts", [b"", b"Host: 127.0.0.1\r\nHost: 127.0.0.1\r\n"])
@pytest.mark.parametrize("path", [b"/fhir/metadata", b"/health/live"])
def test_a_request_without_one_host_is_no_http_1_1_and_one_of_1_0_needs_none(hasty, hosts, path):
    with connected(hasty) as client:
        client.sendall(b"GET " + path + b" HTTP/1.1\r\nAccept: application/json\r\n" + hosts + b"\r\n")
        said = rest(client)
    assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    (issue,) = json.loads(said.split(b"\r\n\r\n", 1)[1])["issue"]
    assert "has one Host header" in issue["details"]["text"]
    with connected(hasty) as client:
        client.sendall(b"GET /health/live HTTP/1.0\r\n\r\n")
        assert rest(client).startswith(b"HTTP/1.1 200 ")


def logged(running: ServerProcess, said: bytes) -> list[dict[str, object]]:
    """The lines of the log with the id of an answer."""
    name, _, id_ = next(line for line in said.split(b"\r\n") if line.startswith(b"x-request-id")).partition(b": ")
    assert len(id_) > len(name)
    assert until(lambda: id_ in running.log.read_bytes())
    return [json.loads(line) for line in running.log.read_bytes().splitlines() if id_ in line]


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"hello\r\n\r\n", 400), (b"GET /fhir/metadata HTTP/1.1\r\n", 408), (head("/", *["X: 1"] * FIELDS_MAX), 431)],
)
def test_what_never_was_a_request_is_answered_and_logged_with_an_id_all_the_same(hasty, data, status):
    with connected(hasty) as client:
        client.sendall(data)
        (line,) = logged(hasty, rest(client))
    assert (line["event"], line["status"]) == ("refused before it was a request", status)


def test_a_body_that_stops_is_answered_and_logged_with_the_id_that_its_request_has(hasty):
    given = f"test-{time.time_ns()}"
    with connected(hasty) as client:
        client.sendall(posting(1_000)[:-2] + f"X-Request-ID: {given}\r\n\r\n".encode())
        said = rest(client)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert f"\r\nx-request-id: {given}\r\n".encode() in said
    (line,) = logged(hasty, said)
    assert (line["event"], line["interaction"]) == ("request", "create")


# ---- the body --------------------------------------------------------------------------------------------------------


def test_a_body_that_comes_byte_by_byte_is_given_up_and_nothing_is_kept(hasty):
    body = json.dumps(person("9000000009")).encode().ljust(1_000)
    with connected(hasty) as client:
        client.sendall(posting(len(body)))
        said = dribbled(client, body)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"came too slowly" in said
    assert httpx.get(f"{hasty.base}/Patient?identifier=9000000009&_total=accurate").json()["total"] == 0


def test_a_body_that_never_comes_is_given_up_and_nobody_waits_for_it(hasty):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(hasty)) for _ in range(5)]
        for client in clients:
            client.sendall(posting(1_000))
        assert serves_others(hasty)
        assert [rest(client).split(b"\r\n")[0] for client in clients] == [b"HTTP/1.1 408 Request Timeout"] * 5
    assert until(lambda: hasty.metric("phb_fhir_requests_under_way ") == 1)


def test_a_body_that_comes_slowly_and_steadily_is_taken(hasty):
    body = json.dumps(person(id="slow")).encode().ljust(60_000)
    with connected(hasty) as client:
        client.sendall(posting(len(body)))
        for start in range(0, len(body), 4_000):  # some 16000 bytes a second, longer than PATIENCE_S in all
            client.sendall(body[start : start + 4_000])
            time.sleep(0.25)
        assert client.recv(65_536).startswith(b"HTTP/1.1 201 ")


def test_the_rest_of_a_body_that_was_refused_is_not_waited_for(hasty):
    with connected(hasty) as client:
        client.sendall(head("/Patient", "Content-Type: text/html", "Content-Length: 100", method="POST"))
        said = dribbled(client, b"x" * 100)
    assert said.startswith(b"HTTP/1.1 408 ")


# ---- the answer ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def much(hasty):
    """An address whose answer is larger than what the system keeps for a connection."""
    text = "x" * 900_000
    for number in range(12):
        note = {"resourceType": "Basic", "id": f"b{number}", "code": {"text": text}}
        answer = httpx.put(
            f"{hasty.base}/Basic/b{number}",
            content=json.dumps(note),
            headers={"Content-Type": "application/fhir+json"},
            timeout=WAIT_S,
        )
        assert answer.status_code == 201
    return "/Basic"


def test_an_answer_that_nobody_reads_is_given_up(hasty, much):
    with connected(hasty) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.sendall(head(much))
        assert client.recv(1_000).startswith(b"HTTP/1.1 200 ")
        assert until(lambda: not _has_connection(hasty, client), WAIT_S)
    assert serves_others(hasty)


def _has_connection(running, client) -> bool:
    """Whether the server's end of a connection is still there: a socket that it closed is no longer established."""
    port = client.getsockname()[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        if int(local.split(":")[1], 16) == running.port and int(remote.split(":")[1], 16) == port:
            return state == "01"
    return False


def test_an_answer_that_is_read_slowly_and_steadily_is_sent_to_its_end(hasty, much):
    with connected(hasty) as client:
        client.sendall(head(much, "Connection: close"))
        size = 0
        while chunk := client.recv(400_000):
            size += len(chunk)
            time.sleep(0.05)
    assert size > 10_000_000


# ---- many of them ----------------------------------------------------------------------------------------------------


def test_those_who_only_hold_connections_make_room_for_those_who_ask(hasty):
    """Somebody has more connections open than are taken, and opens another whenever one is closed."""
    stop = threading.Event()

    def hold() -> None:
        held: list[socket.socket] = []
        while not stop.wait(0.02):
            with contextlib.suppress(OSError):
                held.append(socket.create_connection(("127.0.0.1", hasty.port), timeout=WAIT_S))
                held[-1].sendall(b"GET /fhir/meta")
            for old in held[:-30]:
                old.close()
            del held[:-30]
        for old in held:
            old.close()

    attacker = threading.Thread(target=hold, daemon=True)
    attacker.start()
    try:
        assert all(serves_others(hasty) for _ in range(20))
    finally:
        stop.set()
        attacker.join(WAIT_S)


def test_no_more_connections_are_held_than_may_be(hasty):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(hasty)) for _ in range(40)]
        assert until(lambda: sum(_has_connection(hasty, client) for client in clients) <= 12, PATIENCE_S * 10)
        assert serves_others(hasty)


def test_a_batch_that_takes_its_time_is_no_slow_client(hasty):
    """What the server itself takes long for is not held against who waits for it."""
    entries = [entry("GET", "Basic?_count=12") for _ in range(40)]
    answer = httpx.post(
        f"{hasty.base}",
        content=json.dumps(bundle("batch", *entries)),
        headers={"Content-Type": "application/fhir+json", "Accept-Encoding": "identity"},
        timeout=WAIT_S * 4,
    )
    assert answer.status_code == 200

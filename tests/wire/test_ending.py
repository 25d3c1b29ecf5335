"""A server that is told to end, and the connections that are kept alive: on real sockets, with what it speaks HTTP by."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import uvicorn

from phb_fhir.settings import Settings
from phb_fhir.wire.protocol import Config
from tests.processes import until

WAIT_S = 30.0
ASK = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what was sent."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@contextlib.contextmanager
def serving(last_s: float) -> Iterator[tuple[uvicorn.Server, int, threading.Thread]]:
    config = Config(echo, Settings(open=True), log_config=None, lifespan="off")
    config.patience = replace(config.patience, last_s=last_s)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        assert until(lambda: server.started)
        yield server, listener.getsockname()[1], thread
        server.should_exit = True
        thread.join(WAIT_S)


def end(server: uvicorn.Server, port: int) -> None:
    """Tells it to end, and waits until it takes nobody new: by then it has told its connections."""

    def takes_nobody() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as client:
            client.sendall(ASK)
            return client.recv(1) == b""
        return True

    server.should_exit = True
    assert until(takes_nobody)


def all_of(client: socket.socket) -> bytes:
    found = b""
    while chunk := client.recv(65_536):
        found += chunk
    return found


@pytest.mark.parametrize("before", [b"", ASK, ASK[:20]], ids=["new", "used before", "half a head"])
def test_what_was_on_its_way_when_the_server_was_told_to_end_is_answered_as_the_last(before: bytes) -> None:
    with (
        serving(last_s=WAIT_S) as (server, port, thread),
        socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as client,
    ):
        assert until(lambda: bool(server.server_state.connections))
        client.sendall(before)
        if before == ASK:
            assert client.recv(65_536).startswith(b"HTTP/1.1 200 OK")
        end(server, port)
        client.sendall(ASK if before in (b"", ASK) else ASK.removeprefix(before))
        answer = all_of(client)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"connection: close" in answer
        thread.join(WAIT_S)
        assert not thread.is_alive()


def test_a_connection_on_which_nothing_comes_holds_nobody_up() -> None:
    with (
        serving(last_s=0.01) as (server, port, thread),
        socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as client,
    ):
        client.sendall(ASK)
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 OK")
        end(server, port)
        assert client.recv(1) == b""
        thread.join(WAIT_S)
        assert not thread.is_alive()

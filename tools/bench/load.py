"""A load that costs little to make: kept-alive connections over epoll, requests whose bytes are ready beforehand.

Each connection has one request under way. Of an answer only the status and the length are looked at, which takes a few
microseconds, so that on a machine of two cores the server is the one that is measured. An answer with another status
than the expected one ends the run: a refusal is quick, and would pass for speed.
"""

from __future__ import annotations

import re
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

ANSWER_TIMEOUT_S = 30.0
_RECEIVE_BYTES = 1 << 18
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_IN_CHUNKS = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
_CHUNK = re.compile(rb"([0-9a-fA-F]+)\r\n")
CHUNKED = -1


class BenchFailed(Exception):  # noqa: N818 - it is a sentence for whoever measures
    """Why there is no figure."""


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    received: bytes = b""
    wanted: int = 0  # bytes of the whole answer, once its head was read; CHUNKED where nothing tells before the end


def answers_per_second(
    port: int, requests: Iterator[bytes], *, connections: int, seconds: float, status: int = 200
) -> float:
    """Send `requests` for so long, on so many connections. Raises BenchFailed for an answer that is not `status`."""
    with ExitStack() as opened:
        poll = opened.enter_context(closing(select.epoll()))
        known = {}
        for _ in range(connections):
            connected = opened.enter_context(socket.create_connection(("127.0.0.1", port), ANSWER_TIMEOUT_S))
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            known[connected.fileno()] = _Connection(connected)
            poll.register(connected.fileno(), select.EPOLLIN)
        return _drive(poll, known, requests, seconds, b"HTTP/1.1 %d " % status)


def one_answer(port: int, request: bytes, *, status: int = 200) -> bytes:
    """The body of one answer. Raises BenchFailed, and OSError when nobody listens."""
    with socket.create_connection(("127.0.0.1", port), ANSWER_TIMEOUT_S) as connected:
        connected.sendall(request)
        connection = _Connection(connected)
        while not _is_whole(connection, b"HTTP/1.1 %d " % status):
            pass
        return _body(connection.received)


def _drive(
    poll: select.epoll, known: dict[int, _Connection], requests: Iterator[bytes], seconds: float, head: bytes
) -> float:
    begun = time.perf_counter()
    for connection in known.values():
        connection.socket.sendall(next(requests))
    answered = 0
    under_way = len(known)
    elapsed = 0.0
    while under_way:
        ready = poll.poll(ANSWER_TIMEOUT_S)
        if not ready:
            raise BenchFailed(f"{under_way} requests had no answer within {ANSWER_TIMEOUT_S:g} seconds.")
        for descriptor, _ in ready:
            connection = known[descriptor]
            if not _is_whole(connection, head):
                continue
            connection.received, connection.wanted = b"", 0
            if elapsed < seconds:
                answered += 1
                connection.socket.sendall(next(requests))
            else:
                under_way -= 1  # what is answered past the end is awaited, and not counted
        if elapsed < seconds:
            elapsed = time.perf_counter() - begun
    return answered / elapsed


def _is_whole(connection: _Connection, head: bytes) -> bool:
    """Receive once; whether the answer is now complete."""
    chunk = connection.socket.recv(_RECEIVE_BYTES)
    if not chunk:
        raise BenchFailed("The server closed a connection.")
    received = connection.received = connection.received + chunk if connection.received else chunk
    if not connection.wanted:
        if not received.startswith(head[: len(received)]):
            raise BenchFailed(f"An answer was not as it should be: {received[:600].decode(errors='replace')}")
        body_at = received.find(b"\r\n\r\n")
        if body_at < 0:
            return False
        connection.wanted = _wanted(received, body_at)
    if connection.wanted == CHUNKED:
        return received.endswith(b"\r\n0\r\n\r\n")
    return len(received) >= connection.wanted


def _wanted(received: bytes, body_at: int) -> int:
    length = _LENGTH.search(received, 0, body_at)
    if length is not None:
        return body_at + 4 + int(length[1])
    if _IN_CHUNKS.search(received, 0, body_at + 2) is None:
        raise BenchFailed("An answer does not tell its length.")
    return CHUNKED


def _body(received: bytes) -> bytes:
    """The body of a whole answer, out of its chunks where it came in some."""
    head, _, rest = received.partition(b"\r\n\r\n")
    if _IN_CHUNKS.search(head + b"\r\n") is None:
        return rest
    body, at = b"", 0
    while (size := _CHUNK.match(rest, at)) is not None and (length := int(size[1], 16)):
        body += rest[size.end() : size.end() + length]
        at = size.end() + length + 2
    return body

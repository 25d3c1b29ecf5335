"""Where a request begins and ends, and whom it is for (RFC 9112), on real sockets."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.builders import person
from tests.processes import ServerProcess

BODY = json.dumps(person()).encode()
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.fixture(scope="module")
def server(mongodb_uri, mongodb_admin, tmp_path_factory) -> Iterator[ServerProcess]:
    database = f"test_framing_{time.time_ns()}"
    folder = tmp_path_factory.mktemp("framing")
    with ServerProcess(folder, mongodb_uri=mongodb_uri, mongodb_database=database, guide="false") as running:
        yield running
    mongodb_admin.drop_database(database)


def said(server, *parts: bytes) -> bytes:
    """What comes back until the server closes."""
    url = urlsplit(server.base)
    found = b""
    with socket.create_connection((url.hostname, url.port), timeout=30) as client:
        client.sendall(b"".join(parts))
        with contextlib.suppress(ConnectionResetError):
            while chunk := client.recv(65_536):
                found += chunk
    return found


def head(
    target: bytes, *lines: bytes, method: bytes = b"GET", host: bytes = b"127.0.0.1", version: bytes = b"1.1"
) -> bytes:
    first = b"%s %s HTTP/%s" % (method, target, version)
    return b"\r\n".join([first, b"Host: " + host, *lines, b"", b""])


def posting(*lines: bytes, target: bytes = b"/fhir/Patient", version: bytes = b"1.1") -> bytes:
    return head(target, b"Content-Type: application/fhir+json", *lines, method=b"POST", version=version)


CLOSE = b"Connection: close"
LAST = head(b"/fhir/metadata?_elements=name", CLOSE)


def answers(found: bytes) -> list[bytes]:
    """The status of each answer, in order."""
    return re.findall(rb"HTTP/1\.1 (\d{3}) ", found)


# ---- the body's coding -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "coding", [(b"Transfer-Encoding: gzip, chunked",), (b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked")]
)
def test_a_transfer_coding_that_is_not_known_is_not_read_as_if_it_were_none(server, coding):
    found = said(server, posting(*coding), CHUNKED)
    assert answers(found) == [b"501"]
    (issue,) = json.loads(found.split(b"\r\n\r\n", 1)[1])["issue"]
    assert issue["code"] == "not-supported"
    assert "takes no Transfer-Encoding but chunked, not 'gzip, chunked'" in issue["details"]["text"]


@pytest.mark.parametrize("coding", [b"chunked", b"CHUNKED", b" chunked"])
def test_a_body_in_chunks_is_taken(server, coding):
    assert answers(said(server, posting(b"Transfer-Encoding: " + coding), CHUNKED, LAST)) == [b"201", b"200"]


# ---- whom it is for --------------------------------------------------------------------------------------------------


def test_a_target_that_names_the_server_counts_for_more_than_the_host_header(server):
    authority = b"localhost:%d" % urlsplit(server.base).port
    for named, host, status in (
        (authority, b"127.0.0.1", b"200"),
        (authority, b"elsewhere.example", b"200"),
        (b"elsewhere.example", b"127.0.0.1", b"403"),
        (b"somebody@" + authority, b"127.0.0.1", b"403"),
    ):
        found = said(server, head(b"http://" + named + b"/fhir/metadata?_elements=name", CLOSE, host=host))
        assert answers(found) == [status], named
        found = said(server, head(b"HTTP://" + named + b"/fhir/Patient?_count=0", CLOSE, host=host))
        assert answers(found) == [status], named
        assert (b"http://" + authority + b"/fhir/Patient?_count=0" in found) == (status == b"200")


def test_a_target_that_names_the_server_alone_is_its_root(server):
    authority = b"http://127.0.0.1:%d" % urlsplit(server.base).port
    assert said(server, head(authority, CLOSE))[:15] == said(server, head(b"/", CLOSE))[:15]


def test_nobody_of_http_1_0_is_told_to_go_on(server):
    lines = (b"Expect: 100-continue", b"Content-Length: %d" % len(BODY))
    assert answers(said(server, posting(*lines, version=b"1.0"), BODY)) == [b"201"]
    assert answers(said(server, posting(*lines, CLOSE), BODY)) == [b"100", b"201"]


# ---- what is no part of the head -------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", [b"Host: elsewhere.example", b"If-None-Exist: colour=red", b"Content-Encoding: gzip"])
def test_what_stands_behind_the_body_is_no_header(server, field):
    """Who looks over the headers before this server sees none of them."""
    chunked = CHUNKED.removesuffix(b"\r\n") + field + b"\r\nX-Request-ID: from-behind\r\n\r\n"
    found = said(server, posting(b"Transfer-Encoding: chunked"), chunked, LAST)
    assert answers(found) == [b"201", b"200"]
    assert b"from-behind" not in found


# ---- another protocol ------------------------------------------------------------------------------------------------

UPGRADE = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")


@pytest.mark.parametrize("body", [CHUNKED, BODY])
def test_who_would_rather_speak_http_2_is_answered_in_http_1_1(server, body):
    """As Java's own client asks, at the first request of a connection."""
    framing = b"Transfer-Encoding: chunked" if body is CHUNKED else b"Content-Length: %d" % len(BODY)
    asked = posting(framing, *UPGRADE)
    assert answers(said(server, asked, body, LAST)) == [b"201", b"200"]
    for size in (1, 7):
        assert answers(said_in_pieces(server, asked + body + LAST, size)) == [b"201", b"200"]


def test_what_follows_the_wish_for_another_protocol_is_answered(server):
    wish = head(b"/fhir/metadata?_elements=name", *UPGRADE)
    websocket = head(b"/fhir/metadata?_elements=name", b"Connection: Upgrade", b"Upgrade: websocket")
    assert answers(said(server, *[wish] * 30, *[websocket] * 30, LAST, wish)) == [b"200"] * 61


def said_in_pieces(server, data: bytes, size: int) -> bytes:
    url = urlsplit(server.base)
    with socket.create_connection((url.hostname, url.port), timeout=30) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(data), size):
            client.sendall(data[start : start + size])
        found = b""
        while chunk := client.recv(65_536):
            found += chunk
    return found


# ---- a client that asks first, and one that has said all ---------------------------------------------------------------


def test_who_is_answered_without_being_told_to_send_a_body_is_not_heard_on_this_connection_again(server):
    """Its next request would be taken for the body that it did not send."""
    asked = (b"Content-Type: application/fhir+json", b"Content-Length: %d" % len(BODY), b"Expect: 100-continue")
    found = said(server, head(b"/fhir/Nobody", *asked, method=b"POST"))
    assert answers(found) == [b"404"]
    assert b"\r\nconnection: close\r\n" in found
    found = said(server, head(b"/fhir/Nobody", *asked, method=b"POST"), BODY, LAST)
    assert answers(found) == [b"404", b"200"]


@pytest.mark.parametrize("whole", [LAST.replace(CLOSE, b"X: 1"), posting(b"Content-Length: %d" % len(BODY)) + BODY])
@pytest.mark.parametrize("count", [1, 3])
def test_a_client_that_has_said_all_and_listens_is_answered(server, whole, count):
    url = urlsplit(server.base)
    with socket.create_connection((url.hostname, url.port), timeout=30) as client:
        client.sendall(whole * count)
        client.shutdown(socket.SHUT_WR)
        found = b""
        while chunk := client.recv(65_536):
            found += chunk
    assert len(answers(found)) == count


def test_a_client_that_ends_within_its_request_is_not_waited_for(server):
    url = urlsplit(server.base)
    for part in (posting(b"Content-Length: %d" % len(BODY)) + BODY[:-1], LAST[:-2]):
        with socket.create_connection((url.hostname, url.port), timeout=30) as client:
            client.sendall(part)
            client.shutdown(socket.SHUT_WR)
            assert answers(client.recv(65_536)) in ([], [b"400"])
            assert client.recv(65_536) == b""


def test_who_asks_what_the_server_as_a_whole_takes_is_told(server):
    """RFC 9110 §9.3.7: a `*` in place of an address."""
    found = said(server, head(b"*", method=b"OPTIONS"), head(b"*", CLOSE))
    assert answers(found) == [b"204", b"404"]
    assert b"\r\nallow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" in found


@pytest.mark.parametrize("method", [b"FROB", b"GETS", b"get", b"X-Make"])
def test_a_method_that_nobody_knows_is_not_implemented(server, method):
    """RFC 9110 §9.1. One that is known and not served at the address is 405 (`test_methods`)."""
    found = said(server, head(b"/fhir/Patient", method=method))
    assert answers(found) == [b"501"]
    assert f"This server knows no method '{method.decode()}'".encode() in found


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\r\n\r\n", b"hello world\r\n\r\n", b"FROB / HTTP/2.0\r\n\r\n", LAST + b"FROB"]
)
def test_what_is_no_request_is_no_unknown_method(server, sent):
    assert answers(said(server, sent))[-1] != b"501"

"""Whence a request comes, through proxies that may be believed and others that may not."""

from __future__ import annotations

import pytest

from phb_fhir.wire.peer import LOOPBACK, address_of, is_forwarded, is_in, networks

PROXIES = networks(("10.0.0.0/8", "2001:db8:1::/48"))


def scope(client, *forwarded):
    return {"client": (client, 1) if client else None, "headers": [(b"x-forwarded-for", one) for one in forwarded]}


@pytest.mark.parametrize(
    ("client", "forwarded", "address"),
    [
        ("192.0.2.1", (), "192.0.2.1"),
        ("", (), ""),
        ("192.0.2.1", (b"198.51.100.1",), "192.0.2.1"),  # no proxy of ours
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", (b"192.0.2.1",), "192.0.2.1"),
        ("10.0.0.1", (b"198.51.100.1, 192.0.2.1",), "192.0.2.1"),
        ("10.0.0.1", (b"198.51.100.1", b"192.0.2.1"), "192.0.2.1"),
        ("10.0.0.1", (b"192.0.2.1, 10.0.0.2, 10.0.0.3",), "192.0.2.1"),
        ("10.0.0.1", (b"10.0.0.2",), "10.0.0.2"),
        ("10.0.0.1", (b"192.0.2.1:4711",), "192.0.2.1"),
        ("10.0.0.1", (b"[2001:db8::1]:4711",), "2001:db8::1"),
        ("10.0.0.1", (b"2001:db8::1",), "2001:db8::1"),
        ("2001:db8:1::7", (b"2001:db8::1",), "2001:db8::1"),
        ("::ffff:10.0.0.1", (b"192.0.2.1",), "192.0.2.1"),
        ("10.0.0.1", (b"unknown",), "10.0.0.1"),
        ("10.0.0.1", (b"192.0.2.1, <script>, 10.0.0.2",), "10.0.0.2"),
        ("10.0.0.1", (b"",), "10.0.0.1"),
        ("10.0.0.1", (b"\xff\xfe",), "10.0.0.1"),
        ("10.0.0.1", (b"192.0.2.1," + b"10.0.0.2," * 5_000 + b"10.0.0.3",), "10.0.0.2"),  # no further than a few
    ],
)
def test_the_address_is_that_of_the_last_one_that_is_no_trusted_proxy(client, forwarded, address):
    assert address_of(scope(client, *forwarded), PROXIES) == address


def test_without_trusted_proxies_the_connection_alone_counts():
    assert address_of(scope("127.0.0.1", b"192.0.2.1"), ()) == "127.0.0.1"


@pytest.mark.parametrize(
    ("address", "at_home"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.1", False),
        ("::ffff:192.0.2.1", False),
        ("", False),
        ("localhost", False),
    ],
)
def test_this_machine_knows_itself_by_its_loopback_addresses(address, at_home):
    assert is_in(address, LOOPBACK) is at_home


@pytest.mark.parametrize("name", [b"x-forwarded-for", b"forwarded", b"x-real-ip"])
def test_a_proxy_shows_itself_by_what_it_adds(name):
    assert is_forwarded({"headers": [(b"host", b"h"), (name, b"")]})
    assert not is_forwarded({"headers": [(b"host", b"h")]})

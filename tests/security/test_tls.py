"""https, by real certificates: what is spoken, what is refused, and that everything works over it."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from phb_fhir.cli import serve
from phb_fhir.settings import Settings
from phb_fhir.store.embedded import CannotStart
from phb_fhir.wire.protocol import tls_context
from tests.builders import person
from tests.processes import ServerProcess, connections_held, until
from tests.security.certificates import Authority, locked

WAIT_S = 60


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pair(authority):
    return authority.pair("server")


class Encrypted(ServerProcess):
    """A server over TLS. Its clients trust `authority`."""

    authority: Authority

    def is_ready(self) -> bool:
        with self.client() as client, contextlib.suppress(httpx.HTTPError):
            return client.get("/health/ready").status_code == 200
        return False

    def client(self, **more) -> httpx.Client:
        trust = ssl.create_default_context(cafile=str(self.authority.cert))
        return httpx.Client(
            base_url=f"https://127.0.0.1:{self.port}", verify=more.pop("verify", trust), timeout=WAIT_S, **more
        )


def connected(running: Encrypted) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), timeout=WAIT_S)


@pytest.fixture(scope="module", params=[1, 2], ids=["one worker", "two workers"])
def encrypted(request, authority, pair, mongodb_uri, mongodb_admin, tmp_path_factory) -> Iterator[Encrypted]:
    database = f"test_tls_{time.time_ns()}"
    running = Encrypted(
        tmp_path_factory.mktemp("tls"),
        mongodb_uri=mongodb_uri,
        mongodb_database=database,
        guide="false",
        workers=request.param,
        tls_cert=pair.cert,
        tls_key=pair.key,
        head_timeout_s=1,
        transfer_timeout_s=1,
        keep_alive_timeout_s=1,
    )
    running.authority = authority
    with running:
        yield running
    mongodb_admin.drop_database(database)


def test_everything_is_served_over_https_and_its_addresses_say_so(encrypted):
    with encrypted.client() as client:
        made = client.post("/fhir/Patient", json=person(), headers={"Content-Type": "application/fhir+json"})
        assert made.status_code == 201
        assert made.headers["location"].startswith(f"https://127.0.0.1:{encrypted.port}/fhir/Patient/")
        assert made.headers["strict-transport-security"] == "max-age=31536000"
        assert client.get(made.headers["location"]).status_code == 200
        found = client.get("/fhir/Patient?identifier=9000000009")
        assert all(link["url"].startswith("https://") for link in found.json()["link"])
        for path in ("/health/live", "/health/ready", "/metrics"):
            assert client.get(path).status_code == 200


def test_the_welcome_names_the_https_address(encrypted):
    assert until(lambda: f"https://127.0.0.1:{encrypted.port}/fhir" in encrypted.log.read_text())


def test_a_large_answer_comes_whole(encrypted):
    content = bytes(range(256)) * 20_000
    body = {"resourceType": "Binary", "id": "large", "contentType": "image/png"}
    body["data"] = base64.b64encode(content).decode()
    with encrypted.client(headers={"Content-Type": "application/fhir+json", "Accept": "image/png"}) as client:
        assert client.put("/fhir/Binary/large", json=body, headers={"Accept": "*/*"}).status_code == 201
        assert client.get("/fhir/Binary/large").content == content


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken_with_forward_secrecy(encrypted, version):
    context = ssl.create_default_context(cafile=str(encrypted.authority.cert))
    context.minimum_version = context.maximum_version = version
    with connected(encrypted) as plain, context.wrap_socket(plain, server_hostname="localhost") as client:
        name, spoken, _ = client.cipher()
    assert spoken == version.name.replace("_", ".")
    assert "GCM" in name or "CHACHA20" in name
    assert name.startswith(("ECDHE-", "TLS_"))


def test_tls_1_1_is_not_spoken(encrypted):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.options &= ~ssl.OP_NO_TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with connected(encrypted) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain)


def test_a_client_that_trusts_another_authority_does_not_speak_to_it(encrypted, tmp_path):
    stranger = ssl.create_default_context(cafile=str(Authority(tmp_path, "stranger").cert))
    with (
        encrypted.client(verify=stranger) as client,
        pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        client.get("/health/live")


def test_who_speaks_plainly_hears_nothing(encrypted):
    with connected(encrypted) as plain:
        plain.sendall(b"GET /fhir/metadata HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP" not in plain.recv(1_000)


def test_a_client_that_dribbles_is_given_up_here_too(encrypted):
    context = ssl.create_default_context(cafile=str(encrypted.authority.cert))
    with connected(encrypted) as plain, context.wrap_socket(plain, server_hostname="localhost") as client:
        client.sendall(b"GET /fhir/metadata HTTP/1.1\r\n")
        assert client.recv(65_536).startswith(b"HTTP/1.1 408 ")


def test_an_answer_that_nobody_reads_is_given_up_here_too(encrypted):
    content = base64.b64encode(bytes(6_000_000)).decode()
    body = {"resourceType": "Binary", "id": "unread", "contentType": "image/png", "data": content}
    with encrypted.client(headers={"Content-Type": "application/fhir+json"}) as client:
        assert client.put("/fhir/Binary/unread", json=body).status_code == 201
    assert until(lambda: not held(encrypted))
    context = ssl.create_default_context(cafile=str(encrypted.authority.cert))
    with connected(encrypted) as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        with context.wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(b"GET /fhir/Binary/unread HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")
            assert until(lambda: not held(encrypted))


def held(running: Encrypted) -> int:
    answering = running.workers() or {running.process.pid}
    return sum(connections_held(pid, running.port) for pid in answering)


# ---- what it does not start with -------------------------------------------------------------------------------------


def refused(*words: object) -> str:
    """The one sentence with which `serve` refuses."""
    bare = {name: value for name, value in os.environ.items() if not name.upper().startswith("PHB_")}
    command = [sys.executable, "-m", "phb_fhir.cli.main", "serve", "--open", "--port", "0", *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=bare, timeout=WAIT_S, check=False, stdin=subprocess.DEVNULL
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("phb-fhir: ").rstrip("\n")


def test_a_certificate_or_key_that_is_not_there_is_refused_naming_it(pair, tmp_path):
    gone = tmp_path / "gone.pem"
    assert refused("--tls-cert", gone, "--tls-key", pair.key) == (
        f"The TLS certificate (PHB_TLS_CERT) {gone} cannot be read: No such file or directory."
    )
    assert refused("--tls-cert", pair.cert, "--tls-key", tmp_path) == (
        f"The TLS key (PHB_TLS_KEY) {tmp_path} cannot be read: Is a directory."
    )


def test_a_key_of_another_certificate_is_refused(pair, authority):
    other = authority.pair("other")
    assert refused("--tls-cert", pair.cert, "--tls-key", other.key) == (
        f"The TLS key {other.key} is not that of the certificate {pair.cert}."
    )


def test_what_is_no_pem_is_refused(pair, tmp_path):
    words = tmp_path / "words.pem"
    words.write_text("not a certificate")
    for cert, key in ((words, pair.key), (pair.cert, words), (pair.key, pair.key), (pair.cert, pair.cert)):
        sentence = refused("--tls-cert", cert, "--tls-key", key)
        assert sentence.startswith(f"The TLS certificate {cert} and key {key} cannot be used (")
        assert sentence.endswith("): each is a PEM file, the key without a password.")


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(pair):
    shut = locked(pair, "Zaphod42")
    sentence = refused("--tls-cert", shut.cert, "--tls-key", shut.key)
    assert sentence.startswith(f"The TLS certificate {shut.cert} and key {shut.key} cannot be used (")
    assert sentence.endswith("each is a PEM file, the key without a password.")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_what_others_can_reach_is_served_over_tls_or_behind_a_proxy_that_speaks_it(pair, host):
    with pytest.raises(CannotStart) as refusal:
        serve._refuse_clear(Settings(host=host))
    assert refusal.value.sentence == (
        f"On {host} tokens and records would cross the network in the clear: give --tls-cert and --tls-key; or, "
        "where a proxy before this server speaks TLS, its public address as PHB_BASE_URL=https://…/fhir."
    )
    serve._refuse_clear(Settings(host=host, tls_cert=pair.cert, tls_key=pair.key))
    serve._refuse_clear(Settings(host=host, base_url="https://phb.example.nhs.uk/fhir"))
    serve._refuse_clear(Settings(host="127.0.0.1"))


@pytest.mark.parametrize("flag", ["--tls-cert", "--tls-key"])
def test_one_without_the_other_is_refused(pair, flag):
    assert refused(flag, pair.cert) == "The settings do not fit together: tls_cert and tls_key go together."


def test_a_pair_that_fits_is_taken(pair):
    assert tls_context(pair.cert, pair.key).minimum_version is ssl.TLSVersion.TLSv1_2

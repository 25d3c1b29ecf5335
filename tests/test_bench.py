"""What the bench sends is taken: a refusal would be measured as an answer, and a quick one."""

from __future__ import annotations

import contextlib
import itertools
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx

from phb_fhir.fhir.codec import dumps
from tests.running import RunningServer
from tools.bench.load import answers_per_second, one_answer
from tools.bench.purchases import purchases_of, story_of
from tools.bench.samples import TYPE, letter, request, transactions

SENT = {"Content-Type": "application/fhir+json"}


def body_of(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[2]


def test_letters_and_transactions_of_the_bench_are_taken(mongodb_uri: str, database_name: str) -> None:
    with (
        RunningServer(mongodb_uri, database_name, guide=True) as server,
        httpx.Client(base_url=server.base, headers=SENT, timeout=60) as client,
    ):
        assert client.post(f"/{TYPE}", content=dumps(letter())).status_code == 201
        answer = client.post("", content=body_of(next(transactions())))
        assert {one["response"]["status"][:3] for one in answer.json()["entry"]} == {"201"}


def test_purchases_of_the_bench_are_accepted(mongodb_uri: str, database_name: str) -> None:
    with (
        RunningServer(mongodb_uri, database_name, guide=True) as server,
        httpx.Client(base_url=server.base, headers=SENT, timeout=60) as client,
    ):
        assert client.post("", content=dumps(story_of("p0"))).status_code == 200
        for one in itertools.islice(purchases_of(["p0"]), 2):
            assert client.post("/ChargeItem", content=body_of(one)).json()["status"] == "billable"


class InChunks(BaseHTTPRequestHandler):
    """Answers as servers do that do not know beforehand how long their answer is."""

    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the load ends between two chunks
            super().handle()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in (b'{"a":', b'"\r\n0\r\n"}', b""):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))

    def log_message(self, *_: object) -> None:
        """Nothing: a test needs no log."""


def test_the_load_reads_answers_that_come_in_chunks() -> None:
    with HTTPServer(("127.0.0.1", 0), InChunks) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        asked = request("GET", "/anything")
        assert one_answer(server.server_port, asked) == b'{"a":"\r\n0\r\n"}'
        assert answers_per_second(server.server_port, itertools.repeat(asked), connections=1, seconds=0.1) > 0
        server.shutdown()

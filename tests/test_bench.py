"""What the bench sends is taken: a refusal would be measured as an answer, and a quick one."""

from __future__ import annotations

import itertools

import httpx

from phb_fhir.fhir.codec import dumps
from tests.running import RunningServer
from tools.bench.purchases import purchases_of, story_of
from tools.bench.samples import TYPE, letter, transactions

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

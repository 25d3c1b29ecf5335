"""C32E7 through two servers at once: what one payment rules out, another does not find still to be had."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from tests.journeys.jills_payments import COUNSELLING, counselling, invoice, with_receipt
from tests.paying import made
from tests.running import RunningServer
from tests.stories import tell

ROUNDS = 5


@pytest.fixture
def two(
    mongodb_uri: str, mongodb_admin: MongoClient[dict[str, Any]], database_name: str
) -> Iterator[list[httpx.Client]]:
    """Two servers on one database, neither of which knows what the other has under way; the story of Jill is told."""
    del mongodb_admin
    headers = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
    with (
        RunningServer(mongodb_uri, database_name) as one,
        RunningServer(mongodb_uri, database_name) as other,
        httpx.Client(base_url=one.base, headers=headers, timeout=60) as first,
        httpx.Client(base_url=other.base, headers=headers, timeout=60) as second,
    ):
        tell(first)
        yield [first, second]


def at_once(calls: list[Callable[[], httpx.Response]]) -> list[int]:
    with ThreadPoolExecutor(len(calls)) as several:
        return [one.status_code for one in several.map(lambda call: call(), calls)]


def another(api: httpx.Client, number: int) -> str:
    """One more hour of counselling, with its receipt."""
    charge = made(api.get(f"/{COUNSELLING}"))
    charge |= {"id": f"hour-{number}", "identifier": [{**charge["identifier"][0], "value": f"PUR-H{number}"}]}
    made(api.put(f"/ChargeItem/hour-{number}", json=charge))
    return f"ChargeItem/hour-{number}"


def about(resource: dict[str, Any], charge: str, id_: str) -> dict[str, Any]:
    """The same, for another hour and under an id."""
    text = httpx.Response(200, json=resource).text.replace(COUNSELLING, charge)
    return {**httpx.Response(200, text=text).json(), "id": id_}


def test_a_purchase_is_not_paid_twice(two: list[httpx.Client]) -> None:
    with_receipt(two[0], COUNSELLING)
    for number in range(ROUNDS):
        charge = another(two[0], number)
        calls = []
        for n, api in enumerate(itertools.islice(itertools.cycle(two), 4)):
            paid = about(counselling(f"PAY-{number}-{n}"), charge, f"pay-{number}-{n}")
            calls.append(lambda api=api, paid=paid: api.put(f"/PaymentReconciliation/{paid['id']}", json=paid))
        assert sorted(at_once(calls)) == [201, 422, 422, 422]


def test_a_purchase_is_paid_or_taken_back_and_never_both(two: list[httpx.Client]) -> None:
    with_receipt(two[0], COUNSELLING)
    for number in range(ROUNDS):
        charge = another(two[0], number)
        stored = made(two[0].get(f"/{charge}"))
        paid = about(counselling(f"PAY-{number}"), charge, f"pay-{number}")
        codes = at_once(
            [
                lambda paid=paid: two[0].put(f"/PaymentReconciliation/{paid['id']}", json=paid),
                lambda charge=charge, stored=stored: two[1].put(f"/{charge}", json={**stored, "status": "aborted"}),
            ]
        )
        assert codes in ([201, 422], [422, 200])


def test_a_purchase_is_not_invoiced_twice(two: list[httpx.Client]) -> None:
    for number in range(ROUNDS):
        charge = another(two[0], number)
        calls = []
        for n, api in enumerate(two):
            sent = about(invoice(), charge, f"invoice-{number}-{n}")
            calls.append(lambda api=api, sent=sent: api.put(f"/Invoice/{sent['id']}", json=sent))
        assert sorted(at_once(calls)) == [201, 422]

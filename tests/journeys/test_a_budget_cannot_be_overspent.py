"""However many purchase at once, through however many servers, and whatever dies in the middle: a budget is spent once (RULE-LEDGER)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from tests.processes import Answer, Request, ServerProcess, ask, at_once
from tests.stories import massage, tell

Database = Any
BUDGET = "Account/jill-budget"
PART = "daily-life"
COMMITTED = ("allocated", "committed", "spent", "advanced")


@pytest.fixture
def servers(tmp_path: Path, mongodb_uri: str, database_name: str) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """Two servers, each a process of its own, on one database that has Jill's story."""
    with (
        ServerProcess(tmp_path, mongodb_uri=mongodb_uri, mongodb_database=database_name) as one,
        ServerProcess(tmp_path, mongodb_uri=mongodb_uri, mongodb_database=database_name) as other,
    ):
        with httpx.Client(base_url=one.base, headers={"Content-Type": "application/fhir+json"}, timeout=60) as client:
            tell(client)
        yield one, other


@pytest.fixture
def database(mongodb_admin: MongoClient[dict[str, Any]], database_name: str) -> Database:
    return mongodb_admin[database_name]


def left(database: Database) -> int:
    """The pence that are left of the part."""
    pots = {pot: sums for pot, *sums in database.balances.find_one({"_id": BUDGET})["pots"]}
    allocated, committed, spent, _ = pots[PART]
    return int(allocated - committed - spent)


def leave(server: ServerProcess, database: Database, pence: int) -> None:
    """Spend all but so much of the part."""
    price = f"{(left(database) - pence) / 100:.2f}"
    answer = ask(server.base, "POST", "/ChargeItem", massage("ALL-BUT", pounds=price, status="billable"))
    assert answer.status == 201, answer.body
    assert left(database) == pence


def purchases(count: int, start: int = 0) -> Iterator[Request]:
    for n in range(start, start + count):
        yield Request("POST", "/ChargeItem", massage(f"AT-ONCE-{n}", pounds="10.00", status="billable"))


def check_books(database: Database) -> None:
    """Every account's entries are numbered without a gap and come to its balance, whose every part has what it spends."""
    for balance in database.balances.find():
        entries = list(database.ledger.find({"account": balance["_id"]}).sort("n", 1))
        assert [entry["n"] for entry in entries] == list(range(1, balance["last"] + 1))
        sums: dict[str, list[int]] = {}
        for entry in entries:
            pot = sums.setdefault(entry["pot"], [0, 0, 0, 0])
            pot[:] = [a + entry[name] for a, name in zip(pot, COMMITTED, strict=True)]
        assert {pot: row for pot, *row in balance["pots"]} == sums
        assert all(allocated - committed - spent >= 0 for allocated, committed, spent, _ in sums.values())


def check_purchases(database: Database) -> None:
    """What is committed is what the billable purchases cost, one entry for each, caused by it."""
    billable = {one["_id"] for one in database.resources.find({"type": "ChargeItem", "json": {"$regex": '"billable"'}})}
    entries = list(database.ledger.find({"kind": "commitment"}))
    assert Counter(entry["about"] for entry in entries) == Counter(billable)


def test_two_hundred_purchases_of_ten_pounds_at_once_spend_a_thousand_pounds_once(
    servers: tuple[ServerProcess, ServerProcess], database: Database
) -> None:
    leave(servers[0], database, 100_000)
    answers = at_once([one.base for one in servers], purchases(200))
    assert Counter(answer.status for answer in answers) == {201: 100, 422: 100}
    assert left(database) == 0
    assert {said(answer) for answer in answers if answer.status == 422} == {
        "£10.00 is more than the £0.00 left of the part 'daily-life'."
    }
    check_books(database)
    check_purchases(database)


def said(answer: Answer) -> str:
    return str(answer.json()["issue"][0]["diagnostics"])


def test_a_transaction_of_as_many_as_there_is_money_for_is_taken_and_one_more_is_not(
    servers: tuple[ServerProcess, ServerProcess], database: Database
) -> None:
    leave(servers[0], database, 100_000)
    for count, status in ((101, 422), (100, 200)):
        entries = [
            {"resource": one.body, "request": {"method": "POST", "url": "ChargeItem"}} for one in purchases(count)
        ]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        assert ask(servers[0].base, "POST", "", bundle).status == status
    assert left(database) == 0
    check_books(database)
    check_purchases(database)


def test_a_server_killed_in_the_middle_leaves_books_that_agree_with_what_it_acknowledged(
    servers: tuple[ServerProcess, ServerProcess], database: Database
) -> None:
    leave(servers[0], database, 100_000)
    survivor, victim = servers
    acknowledged = [
        answer.key for answer in at_once([one.base for one in servers], purchases(40)) if answer.status == 201
    ]
    requests = [Request("POST", "/ChargeItem", one.body) for one in purchases(40, 40)]
    connections = [_begun(victim, one) for one in requests]
    for connection in connections:
        connection.send_rest()
    victim.kill()
    for connection in connections:
        connection.close()
    check_books(database)
    check_purchases(database)
    assert set(acknowledged) <= {one["_id"] for one in database.resources.find({"type": "ChargeItem"}, {"_id": 1})}
    answers = at_once([survivor.base], purchases(100, 40))  # those that were not answered are sent again
    assert {answer.status for answer in answers} <= {200, 201, 422}
    assert left(database) == 0
    check_books(database)
    check_purchases(database)


def _begun(server: ServerProcess, request: Request) -> Any:
    from tests.processes import Connection

    connection = Connection(server.base)
    connection.begin(request)
    return connection

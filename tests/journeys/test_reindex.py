"""A search parameter comes to a record in use, and the server that indexes for it is killed in the middle of that."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from tests.builders import person
from tests.definitions_at_hand import search_parameter
from tests.processes import Answer, ServerProcess, ask, until

PEOPLE = 4_000
MARRIED = {"coding": [{"system": "urn:marital", "code": "M"}]}
HELD = 1_000  # of a page


@pytest.fixture
def record(mongodb_admin: MongoClient[dict[str, Any]]) -> Iterator[Database[dict[str, Any]]]:
    database = mongodb_admin[f"test_{uuid4().hex}"]
    yield database
    mongodb_admin.drop_database(database.name)


@pytest.fixture
def servers(mongodb_uri: str, record: Database[dict[str, Any]], tmp_path: Path) -> Iterator[list[ServerProcess]]:
    shared: dict[str, Any] = {"mongodb_uri": mongodb_uri, "mongodb_database": record.name, "guide": False}
    with ServerProcess(tmp_path, **shared) as one, ServerProcess(tmp_path, **shared) as other:
        yield [one, other]


def put(server: ServerProcess, resource: dict[str, Any]) -> int:
    return ask(server.base, "PUT", f"/{resource['resourceType']}/{resource['id']}", resource).status


def many(server: ServerProcess, record: Database[dict[str, Any]]) -> None:
    """People, all like one that came by the front door."""
    assert put(server, person(id="p0", maritalStatus=MARRIED)) == 201
    first = record.resources.find_one({"_id": "Patient/p0"})
    assert first is not None
    text, rest = first["json"], {name: value for name, value in first.items() if name != "seq"}
    copies = []
    for number in range(1, PEOPLE):
        id_ = f"p{number}"
        json_ = text.replace('"id":"p0"', f'"id":"{id_}"')
        copies.append({**rest, "_id": f"Patient/{id_}", "id": id_, "json": json_, "seq": type(first["seq"])()})
    record.resources.insert_many(copies)


def state(server: ServerProcess) -> dict[str, Any]:
    return json.loads(server.look("/index").body)


def digests(record: Database[dict[str, Any]]) -> dict[str, int]:
    rows = record.resources.aggregate([{"$match": {"type": "Patient"}}, {"$group": {"_id": "$ix.g", "n": {"$sum": 1}}}])
    return {row["_id"]: row["n"] for row in rows}


def married(server: ServerProcess) -> Answer:
    return ask(server.base, "GET", "/Patient?marital=M&_total=accurate&_count=0")


def answers(server: ServerProcess, *, until_status: int) -> list[Answer]:
    """What the search is answered, time after time, until it has this status."""
    found: list[Answer] = []

    def is_there() -> bool:
        found.append(married(server))
        return found[-1].status == until_status

    assert until(is_there), found[-1].body
    return found


def soon(look: Callable[[], ServerProcess | None]) -> ServerProcess:
    found: list[ServerProcess] = []

    def is_there() -> bool:
        found.extend(each for each in [look()] if each is not None)
        return bool(found)

    assert until(is_there)
    return found[0]


def at_work(servers: list[ServerProcess]) -> ServerProcess | None:
    """The server whose turn it is to index, while it does."""
    told = state(servers[0])
    mine = [one for one in servers if f"process {one.process.pid} " in f"{told['by']} "]
    return mine[0] if told["status"] == "running" and mine else None


def test_when_the_server_that_indexes_is_killed_another_goes_on_and_nobody_is_ever_told_half(
    servers: list[ServerProcess], record: Database[dict[str, Any]]
) -> None:
    one, other = servers
    many(one, record)
    [before] = digests(record)
    assert put(one, search_parameter()) == 201
    killed = soon(lambda: at_work(servers))
    os.kill(killed.process.pid, signal.SIGSTOP)  # dead to the others, while we look at what it left
    left = digests(record)
    assert left[before] > 0, "it was finished before it could be killed"
    survivor = other if killed is one else one

    refused = answers(survivor, until_status=503)  # 400 before: it has not heard of the parameter yet
    assert {answer.status for answer in refused} <= {400, 503}
    assert int(refused[-1].headers["retry-after"]) > 0
    assert "cannot be searched by marital yet" in refused[-1].json()["issue"][0]["diagnostics"]
    assert ask(survivor.base, "GET", "/Patient?name=marsh&_count=1").status == 200
    assert put(survivor, person(id="meanwhile", maritalStatus=MARRIED)) == 201
    assert put(survivor, person(id="p1")) == 200  # not married any more
    assert ask(survivor.base, "DELETE", "/Patient/p2").status == 204

    killed.kill()
    told = answers(survivor, until_status=200)
    assert {answer.status for answer in told} <= {503, 200}
    assert told[-1].json()["total"] == PEOPLE - 2 + 1
    done = state(survivor)
    assert f"process {survivor.process.pid} " in f"{done['by']} "
    assert len(digests(record)) == 2  # the one of today, and none: of the one deleted
    assert record.history.count_documents({"type": "Patient"}) == 2  # what was written, and nothing else

    killed.start()
    assert married(killed).json()["total"] == PEOPLE - 1
    whole = ask(killed.base, "GET", f"/Patient?marital=M&_count={HELD}")
    assert len(whole.json()["entry"]) == HELD

"""A process that was killed left a transaction open: what it had touched is free again at once, and the living are left alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymongo import MongoClient

from phb_fhir.store.abandoned import end_abandoned, process_name
from tests.store.stores import opened, put, raise_number, run, version

Admin = MongoClient[dict[str, Any]]

# opens a transaction that writes a Task, says so, and commits it when it is told to go on
TOUCHING = """
import sys
from pymongo import MongoClient
from phb_fhir.store.abandoned import process_name
uri, database, name = sys.argv[1:]
with MongoClient(uri, appname=name or process_name()) as client, client.start_session() as session:
    session.start_transaction()
    client[database].resources.update_one({"_id": "Task/a"}, {"$set": {"touched": True}}, session=session)
    print("touched", flush=True)
    sys.stdin.readline()
    session.commit_transaction()
"""


@contextmanager
def touching(uri: str, database: str, name: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of a transaction that wrote Task/a."""
    command = [sys.executable, "-c", TOUCHING, uri, database, name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "touched\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def stored(mongodb_uri: str, database_name: str) -> str:
    """The name of a database in which there is a Task/a."""

    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            await put(store, version("a"))

    run(story)
    return database_name


def test_what_a_killed_process_had_touched_can_be_written_at_once(
    mongodb_uri: str, stored: str, mongodb_admin: Admin
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, stored) as store:
            assert await raise_number(store, "a") == 2

    with touching(mongodb_uri, stored) as process:
        process.kill()
        process.wait()
        assert end_abandoned(mongodb_uri) == 1
        run(story)
    assert mongodb_admin[stored]["resources"].count_documents({"touched": True}) == 0
    assert end_abandoned(mongodb_uri) == 0


def test_the_transaction_of_a_process_that_lives_is_left_alone(
    mongodb_uri: str, stored: str, mongodb_admin: Admin
) -> None:
    with touching(mongodb_uri, stored) as process:
        assert end_abandoned(mongodb_uri) == 0
        process.communicate("go on\n")
        assert process.returncode == 0
    assert mongodb_admin[stored]["resources"].count_documents({"touched": True}) == 1


@pytest.mark.parametrize("name", ["phb_fhir another-machine 999999999", "somebody else 999999999", "phb_fhir"])
def test_a_transaction_that_is_not_of_this_machines_server_is_left_alone(
    mongodb_uri: str, stored: str, name: str
) -> None:
    with touching(mongodb_uri, stored, name) as process:
        assert end_abandoned(mongodb_uri) == 0
        process.communicate("go on\n")
        assert process.returncode == 0


def test_a_process_goes_by_its_machine_and_number_towards_mongodb(
    mongodb_uri: str, database_name: str, mongodb_admin: Admin
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name):
            names = {
                each.get("appName")
                for each in mongodb_admin.admin.aggregate([{"$currentOp": {"idleConnections": True}}])
            }
            assert process_name() in names

    run(story)


def test_with_the_database_away_nothing_is_ended_and_nobody_is_kept_waiting() -> None:
    assert end_abandoned("mongodb://127.0.0.1:9/?directConnection=true") == 0

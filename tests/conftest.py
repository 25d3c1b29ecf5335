"""What every test may ask for: a real MongoDB, and a database of its own in it.

There is no stand-in and no skipping: without a mongod the tests that need one fail, with the sentence that
says why.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import hypothesis
import pytest
from pymongo import MongoClient

from phb_fhir.definitions.registry import TYPES
from phb_fhir.store.embedded import PrivateMongo, check_replica_set
from tests.running import RunningServer, new_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database

MONGODB_START_TIMEOUT_S = 60

# generated cases may take what they take; where a red run stops others, the same cases come every time
hypothesis.settings.register_profile("phb", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("phb")

# under nohup this process ignores SIGHUP, and would hand that on to the servers whose answer to it is tested
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def mongodb_uri() -> Iterator[str]:
    """A replica set to test on: that of PHB_MONGODB_URI, else a private one (one for each xdist worker)."""
    given = os.environ.get("PHB_MONGODB_URI")
    if given:
        check_replica_set(given, timeout_s=MONGODB_START_TIMEOUT_S)
        yield given
        return
    with (
        tempfile.TemporaryDirectory(prefix="phb-fhir-tests-") as folder,
        PrivateMongo(Path(folder), cache_mb=256, start_timeout_s=MONGODB_START_TIMEOUT_S) as mongo,
    ):
        yield mongo.uri


@pytest.fixture(scope="session")
def mongodb_admin(mongodb_uri: str) -> Iterator[MongoClient[dict[str, Any]]]:
    """A synchronous client for what stands around a test, and for looking behind the server's back."""
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        yield client


@pytest.fixture
def database_name(mongodb_admin: MongoClient[dict[str, Any]]) -> Iterator[str]:
    """The name of a database that nobody else uses, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex}"
    yield name
    mongodb_admin.drop_database(name)


@pytest.fixture(scope="session")
def server(mongodb_uri: str) -> Iterator[RunningServer]:
    """One server for all tests that only talk to it; each of them finds its database empty (see `api`)."""
    with new_database(mongodb_uri) as database, RunningServer(mongodb_uri, database.name) as running:
        yield running


@pytest.fixture
def api(server: RunningServer, mongodb_admin: MongoClient[dict[str, Any]]) -> Iterator[httpx.Client]:
    """A client of an empty server whose clock and ids begin anew: paths are relative to the FHIR base."""
    database = mongodb_admin[server.settings.mongodb_database]
    defined = database.resources.count_documents({"type": {"$in": sorted(TYPES)}}, limit=1)
    for collection in ("resources", "history", "locks", "ledger", "balances", "requests"):
        database[collection].delete_many({})
    headers = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
    # no TLS here, so no authorities to load: that would take longer than most tests
    with httpx.Client(base_url=server.base, headers=headers, timeout=30, verify=False) as client:
        if defined:
            _until_forgotten(client, database)
        server.foretold.reset()
        yield client


def _until_forgotten(client: httpx.Client, database: Database[dict[str, Any]]) -> None:
    """Waits until the server knows that the definitions of the test before are gone: it learns in order, so when it knows
    one that came into the database after that, and then that this one is gone too."""
    mark = uuid.uuid4().hex
    key = f"CodeSystem/{mark}"
    system = {
        "resourceType": "CodeSystem",
        "url": f"urn:uuid:{mark}",
        "content": "complete",
        "concept": [{"code": "a"}],
    }
    head = {"type": "CodeSystem", "id": mark, "version": 1, "at": datetime.now(UTC), "method": "PUT", "deleted": False}
    asked = {"url": system["url"], "code": "a"}
    for change, known in (
        (lambda: database.resources.insert_one({"_id": key, **head, "json": json.dumps(system)}), True),
        (lambda: database.resources.delete_one({"_id": key}), False),
    ):
        change()
        answers = (client.get("/CodeSystem/$validate-code", params=asked) for _ in range(10_000))
        next(answer for answer in answers if (answer.status_code == 200) is known)

"""What every test may ask for: a real MongoDB, and a database of its own in it.

There is no stand-in and no skipping: without a mongod the tests that need one fail, with the sentence that
says why.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import hypothesis
import pytest
from pymongo import MongoClient

from phb_fhir.store.embedded import PrivateMongo, check_replica_set
from tests.fresh import FreshClient, Shelf
from tests.running import RunningServer, new_database

if TYPE_CHECKING:
    from collections.abc import Iterator


MONGODB_START_TIMEOUT_S = 60
IN_MEMORY_BYTES_MIN = 8 * 1024**3

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
        tempfile.TemporaryDirectory(prefix="phb-fhir-tests-", dir=_in_memory()) as folder,
        PrivateMongo(Path(folder), cache_mb=256, start_timeout_s=MONGODB_START_TIMEOUT_S) as mongo,
    ):
        yield mongo.uri


def _in_memory() -> str | None:
    """A folder that no disk is behind, where there is one with room for several databases: their journals are nobody's after the run."""
    folder = Path("/dev/shm")
    return str(folder) if folder.is_dir() and shutil.disk_usage(folder).free > IN_MEMORY_BYTES_MIN else None


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


@pytest.fixture(scope="session")
def shelf(server: RunningServer, mongodb_admin: MongoClient[dict[str, Any]]) -> Shelf:
    """What was recorded in that server before, for those who begin with the same."""
    return Shelf(server, mongodb_admin[server.settings.mongodb_database])


@pytest.fixture
def api(server: RunningServer, shelf: Shelf) -> Iterator[httpx.Client]:
    """A client of an empty server whose clock and ids begin anew: paths are relative to the FHIR base."""
    shelf.empty()
    with FreshClient(server, shelf) as client:
        yield client
    shelf.end()

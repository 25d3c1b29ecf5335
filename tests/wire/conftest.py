"""Servers with settings of their own, each on a database of its own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from pymongo import MongoClient

from tests.running import RunningServer


@pytest.fixture(scope="module")
def serve(mongodb_uri: str, mongodb_admin: MongoClient[dict[str, Any]]) -> Iterator[Callable[..., RunningServer]]:
    """A function: settings in, a running server out. All are stopped, and their databases dropped, at the end."""
    with ExitStack() as running:

        def start(**settings: Any) -> RunningServer:
            database = f"test_{uuid.uuid4().hex}"
            running.callback(mongodb_admin.drop_database, database)
            return running.enter_context(RunningServer(mongodb_uri, database, **settings))

        yield start

"""Servers with settings of their own, each on a database of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.running import RunningServer, new_database


@pytest.fixture(scope="module")
def serve(mongodb_uri: str) -> Iterator[Callable[..., RunningServer]]:
    """A function: settings in, a running server out. All are stopped, and their databases dropped, at the end."""
    with ExitStack() as running:

        def start(**settings: Any) -> RunningServer:
            database = running.enter_context(new_database(mongodb_uri))
            return running.enter_context(RunningServer(mongodb_uri, database.name, **settings))

        yield start

"""Jill, as the story leaves her, and the books of the server that she is on."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from tests.paying import Books
from tests.running import RunningServer
from tests.stories import tell


@pytest.fixture
def jill(api: httpx.Client) -> httpx.Client:
    """Jill, whose plan is in force and whose budget is being spent."""
    tell(api)
    return api


@pytest.fixture
def books(server: RunningServer, mongodb_admin: MongoClient[dict[str, Any]]) -> Books:
    return Books(server, mongodb_admin)

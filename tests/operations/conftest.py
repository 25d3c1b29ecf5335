"""A server on which Jill's story was told."""

from __future__ import annotations

import httpx
import pytest

from tests.stories import tell


@pytest.fixture
def jills(api: httpx.Client) -> httpx.Client:
    """Jill, whose plan is in force and whose budget is being spent."""
    tell(api)
    return api

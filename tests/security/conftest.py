"""What tests of access share: a server with the people, their budgets and records of `tests/security/world`, one for each file."""

from __future__ import annotations

import pytest

from tests.security.world import running_world


@pytest.fixture(scope="module")
def world(mongodb_uri):
    with running_world(mongodb_uri) as world:
        yield world

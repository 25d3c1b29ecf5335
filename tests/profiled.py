"""What MongoDB was really asked, as its own profiler tells it: nothing of the server is replaced to find out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo.database import Database

PROFILE_BYTES = 512 * 1024**2  # room for some ten thousand commands
OF_THE_RECORD = {"op": {"$in": ["query", "command", "update", "remove"]}, "ns": {"$regex": r"\.resources$"}}


@contextmanager
def commands_to(database: Database[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The commands to `resources` of this database meanwhile, each as it came; the list is filled at the end."""
    told: list[dict[str, Any]] = []
    database.drop_collection("system.profile")
    database.create_collection("system.profile", capped=True, size=PROFILE_BYTES)
    database.command("profile", 2)
    try:
        yield told
    finally:
        database.command("profile", 0)
    told += [each["command"] for each in database["system.profile"].find(OF_THE_RECORD, {"command": 1})]
    assert not any("$truncated" in command for command in told)

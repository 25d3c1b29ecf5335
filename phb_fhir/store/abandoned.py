"""Transactions that a killed process of ours left open.

MongoDB keeps such a transaction until its own limit, a minute unless it was told otherwise, and with it its hold on what it
touched: whoever else writes there is refused so long. So each process goes by a name that tells its machine and process id, and
whoever notices a death ends what the dead left open. Nothing acknowledged is lost with it: it was never committed.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

TIME_MAX_MS = 2_000  # it is a kindness to others, and must not keep anybody waiting
_HOST = socket.gethostname().replace(" ", "-")[:64]

_OPEN_TRANSACTIONS: list[dict[str, Any]] = [
    {"$currentOp": {"allUsers": True, "idleSessions": True}},
    {"$match": {"transaction": {"$exists": True}, "lsid": {"$exists": True}}},
]


def process_name() -> str:
    """What this process is called towards MongoDB: `phb_fhir desk 4711`."""
    return f"phb_fhir {_HOST} {os.getpid()}"


def end_abandoned(uri: str) -> int:
    """Ends the open transactions of this machine's processes that are no more. Gives how many those were.

    Where it cannot, because MongoDB is away or does not let us look, MongoDB's own limit ends them later.
    """
    try:
        with MongoClient[dict[str, Any]](uri, timeoutMS=TIME_MAX_MS) as client:
            found = [each["lsid"] for each in client.admin.aggregate(_OPEN_TRANSACTIONS) if _is_abandoned(each)]
            if found:
                client.admin.command("killAllSessionsByPattern", [{"lsid": lsid} for lsid in found])
            return len(found)
    except PyMongoError:
        return 0


def _is_abandoned(operation: dict[str, Any]) -> bool:
    name, _, pid = str(operation.get("appName", "")).rpartition(" ")
    return name == f"phb_fhir {_HOST}" and pid.isdecimal() and not _is_running(int(pid))


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs, and is somebody else's
    return True

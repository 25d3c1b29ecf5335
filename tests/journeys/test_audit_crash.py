"""A server is killed (SIGKILL) between the commits of changes and the sealing of their records: no record is lost, none is there
twice, and whoever comes next seals what was left.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from phb_fhir.cli.token import sign
from phb_fhir.security.audit import START, Record, check
from phb_fhir.settings import Settings
from tests.journeys.audited import SYSTEM, budget
from tests.processes import Connection, ServerProcess, until
from tests.store.stores import opened, run

ROUNDS_MAX = 8
CLIENTS = 12
WRITES = 60  # acknowledged, before the server is killed


class Secure(ServerProcess):
    """`phb-fhir serve` that trusts the key in its data folder; the database is ours to look at."""

    def _command(self) -> list[str]:
        return [word for word in super()._command() if word != "--open"]


def token(server: Secure) -> str:
    settings = Settings(data=Path(str(server.data)), trust_local_key=True)
    return f"Bearer {sign(settings, 'system', SYSTEM, 60)}"


def write_until_killed(server: Secure, name: str, acknowledged: list[str], enough: threading.Event) -> None:
    bearer = token(server)
    with contextlib.suppress(OSError), Connection(server.base) as connection:
        for number in range(10_000):
            id_ = f"{name}-{number}"
            answer = connection.ask("PUT", f"/Account/{id_}", budget(id_, "jill"), Authorization=bearer)
            assert answer.status == 201, answer.body
            acknowledged.append(f"Account/{id_}/_history/1")
            if len(acknowledged) >= WRITES:
                enough.set()


def killed_in_the_middle(server: Secure, round_: int) -> list[str]:
    """The versions whose writes were acknowledged before it was killed."""
    acknowledged: list[str] = []
    enough = threading.Event()
    clients = [
        threading.Thread(target=write_until_killed, args=(server, f"r{round_}-c{number}", acknowledged, enough))
        for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    assert enough.wait(60)
    server.kill()
    for client in clients:
        client.join(60)
    return acknowledged


def test_a_server_killed_between_commit_and_sealing_loses_no_record_and_seals_each_once(
    mongodb_uri: str, mongodb_admin: MongoClient[dict[str, Any]], database_name: str, tmp_path: Path
) -> None:
    database = mongodb_admin[database_name]
    shared = {"mongodb_uri": mongodb_uri, "mongodb_database": database_name, "trust_local_key": True, "guide": False}
    acknowledged: list[str] = []
    left = 0
    with Secure(tmp_path, data=tmp_path / "data", rate_client_max=0, **shared) as server:
        for round_ in range(ROUNDS_MAX):
            acknowledged += killed_in_the_middle(server, round_)
            left += database.audit_pending.count_documents({})
            server.start()
            if left:
                break
        assert left, "it was never killed between a commit and its sealing, so nothing was shown"
        assert until(lambda: not database.audit_pending.count_documents({}))
    counted = Counter(created(mongodb_uri, database_name))
    stored = {f"{it['_id']}/_history/1" for it in database.resources.find({"type": "Account"})}
    assert set(acknowledged) <= stored
    assert counted == Counter(stored), "each version that is there was recorded once, and nothing else was"
    assert database.resources.count_documents({"type": "Provenance"}) == len(stored)


def created(mongodb_uri: str, database_name: str) -> list[str]:
    """The versions that the trail tells were made, the chain being whole."""
    found: list[str] = []

    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            head = START
            async for block in store.trail.all():
                assert check(head, block) is None
                head = block.head
                records = [Record.read(text) for text in block.records]
                found.extend(row[0] for record in records if record.interaction == "create" for row in record.what)

    run(story)
    return found

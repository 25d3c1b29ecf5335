"""A MongoDB that hangs: it is there, takes what it is sent, and says nothing (SIGSTOP). Whoever asks hears so after one wait, and not after
one for each thing that their request needs; and when it goes on, so does the server, with nothing lost.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from pymongo import MongoClient

from tests.builders import bundle
from tests.journeys.audited import budget
from tests.journeys.test_audit_crash import Secure, created, token
from tests.processes import Answer, Connection, ServerProcess, until

WAIT_S = 2.0  # that a request has for the database
PATIENT_S = 20.0  # a client's patience: several times that, and less than the waits of one request together
PROBE_S = 8.0  # the patience of what sends traffic here: more than the server takes to say that it is not ready, less than a search may take
BATCH = bundle(
    "batch",
    *(
        {"request": {"method": "GET", "url": url}}
        for url in ("Account/a", "Account?subject=Patient/jill", "Account/a/_history", "Account/b", "Account/c")
    ),
)
TRANSACTION = bundle(
    "transaction", {"resource": budget("moved", "jill"), "request": {"method": "PUT", "url": "Account/moved"}}
)
ASKED: dict[str, tuple[str, str, Any]] = {
    "read": ("GET", "/Account/a", None),
    "vread": ("GET", "/Account/a/_history/1", None),
    "search": ("GET", "/Account?subject=Patient/jill", None),
    "history": ("GET", "/Account/_history", None),
    "create": ("POST", "/Account", {"resourceType": "Account", "status": "active"}),
    "update": ("PUT", "/Account/a", budget("a", "sam")),
    "delete": ("DELETE", "/Account/nobodys", None),
    "batch": ("POST", "", BATCH),
    "transaction": ("POST", "", TRANSACTION),
    "who looked": ("GET", "/AuditEvent?patient=Patient/jill", None),
}


@contextmanager
def hanging(server: ServerProcess) -> Iterator[None]:
    os.kill(server.mongod_pid(), signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.mongod_pid(), signal.SIGCONT)


class Writer(threading.Thread):
    """Writes one new budget after another until it is over, and remembers which were acknowledged."""

    def __init__(self, server: Secure, number: int, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self._server, self._number, self._over = server, number, over
        self.acknowledged: list[str] = []
        self.statuses: Counter[int] = Counter()

    def run(self) -> None:
        bearer = token(self._server)
        with Connection(self._server.base, PATIENT_S) as connection:
            for count in range(10_000):
                if self._over.is_set():
                    return
                id_ = f"w{self._number}-{count}"
                answer = connection.ask("PUT", f"/Account/{id_}", budget(id_, "jill"), Authorization=bearer)
                self.statuses[answer.status] += 1
                if answer.status == 201:
                    self.acknowledged.append(f"Account/{id_}/_history/1")


def asked_at_once(server: Secure) -> dict[str, Answer]:
    """What each kind of request hears, all being under way at the same time."""
    bearer = token(server)
    heard: dict[str, Answer] = {}

    def ask(name: str) -> None:
        method, path, body = ASKED[name]
        with Connection(server.base, PATIENT_S) as connection:
            heard[name] = connection.ask(method, path, body, Authorization=bearer)

    threads = [threading.Thread(target=ask, args=(name,), daemon=True) for name in ASKED]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENT_S)
    return heard


def test_a_database_that_hangs_is_waited_for_once_and_gone_on_with_when_it_does(tmp_path: Path) -> None:
    over = threading.Event()
    settings = {"trust_local_key": True, "guide": False, "rate_client_max": 0, "database_wait_max_s": WAIT_S}
    with Secure(tmp_path, data=tmp_path / "data", **settings) as server:
        writers = [Writer(server, number, over) for number in range(4)]
        for writer in writers:
            writer.start()
        assert until(lambda: all(writer.acknowledged for writer in writers))
        with hanging(server):
            with httpx.Client(base_url=server.root, timeout=PROBE_S) as probe:
                assert [probe.get(f"/health/{one}").status_code for one in ("ready", "live")] == [503, 200]
            heard = asked_at_once(server)
            assert until(lambda: all(writer.statuses[503] for writer in writers), PATIENT_S)
        assert set(heard) == set(ASKED), "somebody was kept waiting for longer than a client waits"
        entries = heard.pop("batch").json()["entry"]
        assert {entry["response"]["status"] for entry in entries} == {"503 Service Unavailable"}
        assert {name: answer.status for name, answer in heard.items()} == dict.fromkeys(heard, 503)
        before = [len(writer.acknowledged) for writer in writers]
        assert until(lambda: all(len(w.acknowledged) > count for w, count in zip(writers, before, strict=True)))
        over.set()
        for writer in writers:
            writer.join(PATIENT_S)
        assert all(set(writer.statuses) == {201, 503} for writer in writers)
        check_record(server, {version for writer in writers for version in writer.acknowledged})


def test_who_asks_whether_the_record_is_whole_hears_at_once_that_nobody_can_tell(tmp_path: Path) -> None:
    """Each step of that may take minutes, so it is asked first whether there is anybody to answer."""
    with (
        ServerProcess(tmp_path, data=tmp_path / "data", guide=False) as server,
        httpx.Client(base_url=server.base, timeout=PATIENT_S) as client,
    ):
        assert client.get("/$fsck").status_code == 200
        with hanging(server):
            assert client.get("/$fsck").status_code == 503


def check_record(server: Secure, acknowledged: set[str]) -> None:
    """Everything acknowledged is there, and everything that is there has its one record in a chain that is whole."""
    with MongoClient[dict[str, Any]](server.mongodb_uri()) as client:
        database = client["phb_fhir"]
        assert until(lambda: not database.audit_pending.count_documents({}))
        stored = {f"{it['_id']}/_history/{it['version']}" for it in database.resources.find({"type": "Account"})}
        assert acknowledged <= stored
        assert Counter(created(server.mongodb_uri(), "phb_fhir")) == Counter(stored)

"""A replica set of three mongods on loopback, for what one alone cannot show: a primary that is lost, and another that takes its place."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import AutoReconnect, PyMongoError

from phb_fhir.store.embedded import find_mongod
from tests.processes import lasting_port, until

NAME = "three"
MEMBERS = 3
# so that a lost primary is missed soon
_HASTE = {"electionTimeoutMillis": 1_000, "heartbeatIntervalMillis": 200}
_HELD_BACK = "stopReplProducer"  # MongoDB's own name for a secondary that takes nothing from the primary


class ReplicaSet:
    """Leaving the context ends its members. `uri` names all of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = [lasting_port() for _ in range(MEMBERS)]
        self._members: dict[int, subprocess.Popen[bytes]] = {}
        self.uri = f"mongodb://{','.join(f'127.0.0.1:{port}' for port in self._ports)}/?replicaSet={NAME}"

    def __enter__(self) -> Self:
        with ExitStack() as ended_if_this_fails:
            ended_if_this_fails.callback(self._end)
            for port in self._ports:
                self._start(port)
            if not until(lambda: all(map(_answers, self._ports))):
                raise RuntimeError("the members of the replica set did not start")
            members = [{"_id": number, "host": f"127.0.0.1:{port}"} for number, port in enumerate(self._ports)]
            config = {"_id": NAME, "members": members, "settings": _HASTE}
            with _alone(self._ports[0]) as client:
                client.admin.command("replSetInitiate", config)
            self._await_whole()
            ended_if_this_fails.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def kill_primary(self) -> None:
        """End the primary as a power cut would. It is started again when the next is to go, as a majority has to be there."""
        self._revive()
        with _client(self.uri) as client:
            client.admin.command("ping")
            primary = client.primary
        if primary is None:
            raise RuntimeError("there is no primary to kill")
        self._members[primary[1]].kill()
        self._members[primary[1]].wait()

    def step_down(self) -> None:
        """Have the primary give its place to another, as an operator does before an upgrade."""
        self._revive()
        with _client(self.uri) as client:
            try:
                client.admin.command("replSetStepDown", 10, force=True)
            except AutoReconnect:  # it may hang up as it goes
                return

    def elect(self) -> None:
        """Have a secondary take the place of the primary."""
        self._step_up(*self._primary_and_others()[1:])

    @contextmanager
    def elected_and_alone(self) -> Iterator[None]:
        """A newly elected primary, from which the others take nothing until this ends: none of what it writes is a majority's."""
        primary, chosen, other = self._primary_and_others()
        held = (primary, other)
        try:
            for one in held:
                _set(one, "alwaysOn")
            self._step_up(chosen)
            yield
        finally:
            for one in held:
                _set(one, "off")

    def _primary_and_others(self) -> list[int]:
        self._await_whole()
        with _client(self.uri) as client:
            members = client.admin.command("replSetGetStatus")["members"]
        ordered = sorted(members, key=lambda one: one["stateStr"])  # PRIMARY is before SECONDARY
        return [int(one["name"].rpartition(":")[2]) for one in ordered]

    def _step_up(self, *ports: int) -> None:
        """Have one of these elected; MongoDB refuses who is a moment behind."""
        turns = itertools.cycle(ports)
        if not until(lambda: _steps_up(next(turns))):
            raise RuntimeError("no other member was elected")

    def _start(self, port: int) -> None:
        data = self._folder / str(port)
        data.mkdir(exist_ok=True)
        words = [str(find_mongod()), "--quiet", "--nounixsocket", "--bind_ip", "127.0.0.1", "--port", str(port)]
        words += ["--dbpath", str(data), "--logpath", str(data / "log"), "--logappend", "--replSet", NAME]
        words += ["--wiredTigerCacheSizeGB", "0.25", "--setParameter", "diagnosticDataCollectionEnabled=false"]
        words += ["--setParameter", "enableTestCommands=1"]  # for `elected_and_alone`
        self._members[port] = subprocess.Popen(words, stdout=subprocess.DEVNULL)

    def _revive(self) -> None:
        for port, process in self._members.items():
            if process.poll() is not None:
                self._start(port)
        self._await_whole()

    def _await_whole(self) -> None:
        if not until(self._is_whole):
            raise RuntimeError("the replica set has not all its members")

    def _is_whole(self) -> bool:
        try:
            with _client(self.uri) as client:
                members = client.admin.command("replSetGetStatus")["members"]
        except PyMongoError:
            return False
        return sorted(one["stateStr"] for one in members) == ["PRIMARY", "SECONDARY", "SECONDARY"]

    def _end(self) -> None:
        for process in self._members.values():
            process.kill()
        for process in self._members.values():
            process.wait()


def _answers(port: int) -> bool:
    try:
        with _alone(port) as client:
            client.admin.command("hello")
    except PyMongoError:
        return False
    return True


def _steps_up(port: int) -> bool:
    try:
        with _alone(port) as client:
            client.admin.command("replSetStepUp")
            return bool(client.admin.command("hello")["isWritablePrimary"])
    except PyMongoError:
        return False


def _set(port: int, mode: str) -> None:
    with _alone(port) as client:
        client.admin.command("configureFailPoint", _HELD_BACK, mode=mode)


def _alone(port: int) -> MongoClient[dict[str, Any]]:
    """One member, whatever it is."""
    return _client(f"mongodb://127.0.0.1:{port}/?directConnection=true")


def _client(uri: str) -> MongoClient[dict[str, Any]]:
    return MongoClient(uri, serverSelectionTimeoutMS=5_000, connectTimeoutMS=2_000)

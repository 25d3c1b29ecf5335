"""The private MongoDB, with real processes: it keeps what it acknowledged however it or its server ends."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient, WriteConcern

from phb_fhir.store import embedded
from phb_fhir.store.embedded import CannotStart, PrivateMongo, check_replica_set, find_mongod
from tests.processes import is_running, until

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_S = 30.0
JOURNALED = WriteConcern(w="majority", j=True)

SERVER = """
import sys
from pathlib import Path
from phb_fhir.store.embedded import PrivateMongo
with PrivateMongo(Path(sys.argv[1]), cache_mb=256) as mongo:
    print(mongo.pid, mongo.uri, flush=True)
    sys.stdin.read()
"""


def private(folder: Path, **more: Any) -> PrivateMongo:
    return PrivateMongo(folder, cache_mb=256, start_timeout_s=WAIT_S, **more)


def write(uri: str, word: str) -> None:
    with MongoClient[dict[str, Any]](uri) as client:
        client["kept"].get_collection("words", write_concern=JOURNALED).insert_one({"_id": word})


def words(uri: str) -> set[str]:
    with MongoClient[dict[str, Any]](uri) as client:
        return {it["_id"] for it in client["kept"]["words"].find()}


@contextlib.contextmanager
def bare_mongod(folder: Path, *options: str) -> Iterator[int]:
    """A mongod as an operator might have started it. Gives its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [str(find_mongod()), "--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1"]
    with subprocess.Popen(
        [*command, "--nounixsocket", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            with MongoClient[dict[str, Any]](f"mongodb://127.0.0.1:{port}/?directConnection=true") as client:
                client.admin.command("hello")
            yield port
        finally:
            process.kill()


@contextlib.contextmanager
def somebody_listening(port: int) -> Iterator[None]:
    """A program that took this port and hangs up on whoever calls."""
    socketserver.TCPServer.allow_reuse_address = True
    with socketserver.TCPServer(("127.0.0.1", port), socketserver.BaseRequestHandler) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        yield
        other.shutdown()
        thread.join()


@contextlib.contextmanager
def server(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """A process that has a private MongoDB. Gives the process, mongod's process id, and its address."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            pid, uri = process.stdout.readline().split()
            yield process, int(pid), uri
        finally:
            process.kill()


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with bare_mongod(tmp_path_factory.mktemp("standalone")) as port:
        yield port


@pytest.fixture(scope="module")
def uninitiated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with bare_mongod(tmp_path_factory.mktemp("uninitiated"), "--replSet", "rs0") as port:
        yield port


# --- starting, stopping, starting again ---


def test_data_written_before_a_stop_is_there_at_the_same_address_after_the_next_start(tmp_path: Path) -> None:
    with private(tmp_path) as first:
        write(first.uri, "before")
        pid, uri = first.pid, first.uri
    assert not is_running(pid)
    with private(tmp_path) as second:
        assert second.uri == uri
        assert words(second.uri) == {"before"}


def test_when_its_port_was_taken_it_comes_up_on_another_with_its_data(tmp_path: Path) -> None:
    with private(tmp_path) as first:
        write(first.uri, "before")
        port = first.port
    with somebody_listening(port), private(tmp_path) as second:
        assert second.port != port
        write(second.uri, "after")
        assert words(second.uri) == {"before", "after"}


def test_transactions_work_on_it(mongodb_uri: str, database_name: str) -> None:
    check_replica_set(mongodb_uri, timeout_s=WAIT_S)
    with MongoClient[dict[str, Any]](mongodb_uri) as client, client.start_session() as session:
        with session.start_transaction():
            client[database_name]["a"].insert_one({"_id": 1}, session=session)
            client[database_name]["b"].insert_one({"_id": 1}, session=session)
            assert client[database_name]["a"].count_documents({}) == 0
        assert client[database_name]["b"].count_documents({}) == 1


def test_a_signal_to_the_servers_terminal_does_not_reach_mongod(tmp_path: Path) -> None:
    with private(tmp_path) as mongo:
        assert os.getsid(mongo.pid) != os.getsid(0)


def test_the_folder_and_its_files_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    with private(tmp_path / "made"):
        assert (tmp_path / "made").stat().st_mode & 0o077 == 0
        assert (tmp_path / "made" / "mongo").stat().st_mode & 0o077 == 0


# --- ends that nobody asked for ---


def test_kill_9_of_the_server_ends_its_mongod_and_the_next_start_has_what_was_acknowledged(
    tmp_path: Path,
) -> None:
    with server(tmp_path) as (process, mongod, uri):
        write(uri, "acknowledged")
        process.kill()
        process.wait()
        # at once: the left-over mongod is still closing its files
        with private(tmp_path) as mongo:
            assert not is_running(mongod)
            assert words(mongo.uri) == {"acknowledged"}


def test_a_left_over_mongod_that_missed_its_signal_is_ended_by_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "mongo").mkdir()
    with bare_mongod(tmp_path / "mongo", "--replSet", "phb") as port, private(tmp_path) as mongo:
        assert mongo.port != port
        write(mongo.uri, "works")
        assert words(mongo.uri) == {"works"}


def test_a_process_that_merely_has_the_recorded_number_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mongo").mkdir()
    (tmp_path / "mongo" / "mongod.lock").write_text(f"{os.getpid()}\n")
    with private(tmp_path) as mongo:
        assert mongo.pid != os.getpid()


def test_kill_9_of_mongod_is_followed_by_a_restart_on_the_same_port_with_what_was_acknowledged(
    tmp_path: Path,
) -> None:
    with private(tmp_path) as mongo:
        write(mongo.uri, "acknowledged")
        pid, uri = mongo.pid, mongo.uri
        os.kill(pid, signal.SIGKILL)
        assert words(uri) == {"acknowledged"}  # the driver waits and finds it where it was
        assert mongo.uri == uri
        assert mongo.pid != pid
        write(uri, "later")
        assert words(uri) == {"acknowledged", "later"}


def test_a_mongod_that_dies_before_it_takes_writes_again_is_followed_by_another(tmp_path: Path) -> None:
    with PrivateMongo(tmp_path, cache_mb=256, start_timeout_s=20 * WAIT_S) as mongo:
        write(mongo.uri, "acknowledged")
        first = mongo.pid
        os.kill(first, signal.SIGKILL)
        assert until(lambda: mongo.pid != first and accepts(mongo.port))
        second = mongo.pid
        os.kill(second, signal.SIGKILL)
        assert until(lambda: mongo.pid != second)
        assert words(mongo.uri) == {"acknowledged"}


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def test_a_mongod_that_dies_too_often_is_given_up_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "RESTARTS_MAX", 1)
    lost: list[str] = []
    told = threading.Event()

    def on_lost(sentence: str) -> None:
        lost.append(sentence)
        told.set()

    with private(tmp_path, on_lost=on_lost) as mongo:
        first = mongo.pid
        os.kill(first, signal.SIGKILL)
        assert words(mongo.uri) == set()
        assert not told.is_set()
        os.kill(mongo.pid, signal.SIGKILL)
        assert told.wait(WAIT_S)
    assert lost == [f"The private MongoDB died 2 times within 120 seconds; its log is {tmp_path / 'mongod.log'}."]


def test_a_mongod_that_dies_of_a_full_disk_is_given_up_with_that_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "RESTARTS_MAX", 0)
    monkeypatch.setattr(embedded, "DISK_FULL_BYTES", 10**18)  # as if what is left were nothing
    lost: list[str] = []
    told = threading.Event()
    with private(tmp_path, on_lost=lambda sentence: (lost.append(sentence), told.set())) as mongo:
        os.kill(mongo.pid, signal.SIGKILL)
        assert told.wait(WAIT_S)
    (sentence,) = lost
    assert re.fullmatch(
        r"The private MongoDB died 1 times within 120 seconds \(the disk of \S+ is full, with \d+ MB left\); its log is \S+",
        sentence,
    )


def test_a_log_that_grew_to_its_bound_becomes_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "LOG_BYTES_MAX", 20_000)
    with private(tmp_path) as mongo:
        assert until((tmp_path / "mongod.log.1").exists)
        assert until(mongo.log.exists)
        pid = mongo.pid
        write(mongo.uri, "still there")
        assert mongo.pid == pid


# --- what it will not start with ---


def test_a_folder_in_use_by_a_running_server_is_refused_naming_it(tmp_path: Path) -> None:
    with private(tmp_path) as running:
        with pytest.raises(CannotStart) as refused:
            private(tmp_path).start()
        write(running.uri, "unharmed")
    assert refused.value.sentence == (
        f"The data folder {tmp_path} is in use by another running server (process {os.getpid()}): "
        "stop that one, or give this one a folder of its own with --data."
    )


def test_a_mongod_that_somebody_else_runs_on_the_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mongo").mkdir()
    with bare_mongod(tmp_path / "mongo") as port:
        with pytest.raises(
            CannotStart, match=r"^The private MongoDB ended as it started \(exit code \d+\): .*mongod\.lock"
        ):
            private(tmp_path).start()
        with MongoClient[dict[str, Any]]("127.0.0.1", port) as client:
            assert client.admin.command("ping")["ok"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotStart, match=r"^The data folder .*/file cannot be used: File exists\.$"):
        private(tmp_path / "file").start()


@pytest.mark.parametrize("name", ["server.lock", "mongod.stderr", "mongod.port", "mongod.log"])
def test_a_folder_whose_files_cannot_be_written_is_refused_naming_the_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()  # as little to be written to as another user's file, for root as well
    with pytest.raises(CannotStart) as refused:
        private(tmp_path).start()
    assert str(tmp_path / name) in refused.value.sentence


def test_the_database_of_another_replica_set_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "mongo").mkdir()
    with bare_mongod(tmp_path / "mongo", "--replSet", "theirs") as port:
        host = f"127.0.0.1:{port}"
        made = {"_id": "theirs", "members": [{"_id": 0, "host": host}]}
        with MongoClient[dict[str, Any]](f"mongodb://127.0.0.1:{port}/?directConnection=true") as client:
            client.admin.command("replSetInitiate", made)
    with pytest.raises(CannotStart) as refused:
        private(tmp_path).start()
    assert refused.value.sentence == (
        f'The database in {tmp_path / "mongo"} is of the replica set "theirs", and none that this server made: give it a folder '
        "of its own with --data."
    )
    with (
        bare_mongod(tmp_path / "mongo") as port,
        MongoClient[dict[str, Any]](f"mongodb://127.0.0.1:{port}/?directConnection=true") as client,
    ):
        assert client["local"]["system.replset"].find_one({}, {"members.host": 1}) == {
            "_id": "theirs",
            "members": [{"host": host}],
        }


def test_files_that_are_no_database_are_refused_with_the_reason_and_the_log(tmp_path: Path) -> None:
    (tmp_path / "mongo").mkdir()
    (tmp_path / "mongo" / "storage.bson").write_bytes(b"nonsense")
    with pytest.raises(CannotStart) as refused:
        private(tmp_path).start()
    assert refused.value.sentence.startswith("The private MongoDB ended as it started (exit code ")
    assert "Unable to read the storage engine metadata file" in refused.value.sentence
    assert refused.value.sentence.endswith(f". Its log is {tmp_path / 'mongod.log'}.")


def test_without_a_mongod_the_sentence_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embedded, "WHEEL", "no-such-wheel-is-installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotStart, match=r"^There is no mongod to run: install one with pip install"):
        find_mongod()


def test_without_the_wheel_the_mongod_on_the_path_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mongod").symlink_to(find_mongod())
    monkeypatch.setattr(embedded, "WHEEL", "no-such-wheel-is-installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_mongod() == tmp_path / "mongod"
    with private(tmp_path / "data") as mongo:
        assert words(mongo.uri) == set()


def test_a_mongod_that_misses_a_library_is_refused_naming_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "mongod"
    broken.write_text(
        "#!/bin/sh\necho 'mongod: error while loading shared libraries: libcurl.so.4: "
        "cannot open shared object file' >&2\nexit 127\n"
    )
    broken.chmod(0o755)
    monkeypatch.setattr(embedded, "WHEEL", "no-such-wheel-is-installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotStart, match=r"cannot run on this machine \(libcurl\.so\.4: cannot open shared"):
        private(tmp_path / "data").start()


# --- somebody else's MongoDB ---


def refusal(uri: str) -> str:
    with pytest.raises(CannotStart) as refused:
        check_replica_set(uri, timeout_s=1)
    return refused.value.sentence


def test_a_standalone_is_refused(standalone: int) -> None:
    assert refusal(f"mongodb://127.0.0.1:{standalone}/").startswith(
        f"The MongoDB at 127.0.0.1:{standalone} is a standalone, which has no transactions: "
    )


def test_a_standalone_is_refused_though_its_address_claims_a_replica_set(standalone: int) -> None:
    assert " is a standalone, " in refusal(f"mongodb://127.0.0.1:{standalone}/?replicaSet=rs0")


def test_a_replica_set_that_was_never_initiated_is_refused(uninitiated: int) -> None:
    expected = f"The MongoDB at 127.0.0.1:{uninitiated} is of a replica set that was never initiated: "
    assert refusal(f"mongodb://127.0.0.1:{uninitiated}/").startswith(expected)
    assert refusal(f"mongodb://127.0.0.1:{uninitiated}/?replicaSet=rs0").startswith(expected)


def test_an_unreachable_one_is_refused() -> None:
    assert refusal("mongodb://127.0.0.1:1/").startswith("No MongoDB answered at 127.0.0.1:1 within 1 seconds: ")


def test_a_replica_set_of_another_name_is_refused(mongodb_uri: str) -> None:
    address = mongodb_uri.split("?", maxsplit=1)[0]
    assert refusal(f"{address}?replicaSet=other").endswith(' not "other" as its address says.')


def test_an_address_that_waits_for_more_members_than_there_are_is_taken_and_waits_for_a_majority(
    mongodb_uri: str, database_name: str
) -> None:
    check_replica_set(f"{mongodb_uri}&w=5&wtimeoutMS=1", timeout_s=10, database=database_name)


def test_a_wrong_password_is_refused_without_repeating_it(mongodb_uri: str) -> None:
    address = mongodb_uri.replace("mongodb://", "mongodb://jill:s3cret@")
    sentence = refusal(address)
    assert sentence.endswith(" did not take the user name and password it was given.")
    assert "s3cret" not in sentence


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "localhost:27017",
        "http://h/",
        "mongodb://",
        "mongodb://h:port/",
        "mongodb://h/?replicaSe=x",
        "mongodb://a:b:c@h/",
    ],
)
def test_an_address_that_is_none_is_refused(uri: str) -> None:
    assert refusal(uri).startswith("The MongoDB address (PHB_MONGODB_URI) is not right: ")


@pytest.mark.parametrize("collection", ["resources", "meta", "audit", "requests", "locks"])
@pytest.mark.parametrize("is_written", [True, False])
def test_a_database_in_which_another_program_keeps_something_is_refused_and_left_as_it_was(
    mongodb_uri: str, database_name: str, collection: str, is_written: bool
) -> None:
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        theirs = client[database_name]
        theirs["customers"].insert_one({"_id": 1})
        check_replica_set(mongodb_uri, timeout_s=10, database=database_name, is_written=is_written)
        theirs[collection].insert_one({"_id": "Patient/1", "type": "theirs"})
        with pytest.raises(CannotStart) as refused:
            check_replica_set(mongodb_uri, timeout_s=10, database=database_name, is_written=is_written)
        assert refused.value.sentence.startswith(f"In the database {database_name} of the MongoDB at ")
        assert f' another program keeps something ("{collection}"): give this server a database of its own' in str(
            refused.value
        )
        assert sorted(theirs.list_collection_names()) == sorted(["customers", collection])
        assert list(theirs[collection].index_information()) == ["_id_"]


def test_a_record_is_known_by_its_note_or_by_its_resources(mongodb_uri: str, database_name: str) -> None:
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        ours = client[database_name]
        ours["audit"].insert_one({"_id": 1})
        ours["resources"].insert_one({"_id": "Patient/1", "type": "Patient", "version": 1, "seq": "0" * 24})
        check_replica_set(mongodb_uri, timeout_s=10, database=database_name)
        ours["resources"].drop()
        ours["meta"].insert_one({"_id": "page-key", "secret": b"s"})
        check_replica_set(mongodb_uri, timeout_s=10, database=database_name)


def test_an_older_version_is_refused(mongodb_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_replica_set(mongodb_uri, timeout_s=WAIT_S)
    monkeypatch.setattr(embedded, "VERSION_MIN", (99, 0))
    assert refusal(mongodb_uri).endswith("; this server needs 99.0 or later.")

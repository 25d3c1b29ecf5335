"""`phb-fhir serve`: the parent of everything that runs.

In order: refuse what must not be, take the port, have a MongoDB, load the examples when asked, then answer
requests until told to stop. Each step is undone in the opposite order, so the database goes last, after the
requests that were accepted are finished.

One worker runs in this process. Several are processes of their own that share the listening socket; each dies
with this one, and is replaced when it dies alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import http.client
import ipaddress
import math
import multiprocessing
import os
import resource
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from phb_fhir.cli import demo as examples
from phb_fhir.cli.welcome import say_welcome
from phb_fhir.definitions.load import load
from phb_fhir.store.abandoned import end_abandoned
from phb_fhir.store.embedded import CannotStart, PrivateMongo, check_replica_set
from phb_fhir.wire.protocol import Config, tls_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from types import FrameType

    from phb_fhir.settings import Settings

BACKLOG = 2048
PORT_TIMEOUT_S = 2.0  # the workers of a server that was killed let go of its port at their next tick
READY_TIMEOUT_S = 60.0
DEATHS_MAX = 10  # of workers within DEATHS_WINDOW_S; past that something is wrong that a new one will not cure
DEATHS_WINDOW_S = 60.0
WORKER_SILENT_MAX_S = (
    20  # on a busy machine one takes a while to begin; who says nothing for longer hangs, and is replaced
)
LIFESPAN_TIMEOUT_S = 5.0  # for a worker to close what it opened, once its requests are finished
FILES_BESIDE = 512  # that a worker has open beside its clients' connections: to MongoDB, logs, libraries
GARBAGE_MIN = 20_000  # objects made and not freed before the collector looks which of them are garbage
_POLL_S = 0.05


def serve(settings: Settings, *, demo: bool) -> None:
    """Serves until SIGINT, SIGTERM, SIGQUIT or SIGHUP. Raises CannotStart."""
    _refuse_unsafe(settings)
    _refuse_clear(settings)
    _refuse_tls(settings)
    _allow_connections(settings)
    lost: list[str] = []

    def give_up(sentence: str) -> None:
        lost.append(sentence)
        os.kill(os.getpid(), signal.SIGTERM)

    with _stopped_by_signals(), contextlib.ExitStack() as undo:
        listener = undo.enter_context(_listen(settings.host, settings.port))
        settings = settings.model_copy(update={"port": listener.getsockname()[1]})
        with_database = undo.enter_context(_database(settings, give_up))
        _refuse_broken_promises(settings)
        settings = with_database()
        os.environ.update(settings.to_environment())  # which is where the app, in whichever process, finds them
        if settings.workers > 1:
            undo.enter_context(_shared_metrics())
        if demo:
            examples.load_once(settings)
        undo.enter_context(_welcoming(settings, demo=demo))
        _run(settings, listener)
    if lost:
        raise CannotStart(lost[0])


# --- what must not be ---


def _refuse_unsafe(settings: Settings) -> None:
    if not (settings.open or settings.issuers or settings.trust_local_key):
        raise CannotStart(
            "Nobody could come in: this server takes the tokens of no issuer (PHB_ISSUERS) and none of this machine's own "
            "(--trust-local-key). To serve everybody who is at this machine, without asking who they are, add --open."
        )
    trusting = ("--open serves without authentication" if settings.open else "") or (
        "--trust-local-key takes tokens that are signed at this machine" if settings.trust_local_key else ""
    )
    if trusting and not ipaddress.ip_address(_address(settings.host, settings.port)[1][0]).is_loopback:
        raise CannotStart(
            f"{trusting}, so it listens on a loopback address alone, and {settings.host} is none: leave out --host, or "
            "give 127.0.0.1."
        )
    if not settings.open:
        from phb_fhir.security.authenticate import Authenticator  # noqa: PLC0415 - its imports are slow

        Authenticator.of(settings)  # what is wrong with the issuers is said here, and once


def _refuse_clear(settings: Settings) -> None:
    """Tokens and records that cross a network unencrypted are everybody's."""
    if settings.api_url.startswith("https:"):
        return
    if not ipaddress.ip_address(_address(settings.host, settings.port)[1][0]).is_loopback:
        raise CannotStart(
            f"On {settings.host} tokens and records would cross the network in the clear: give --tls-cert and --tls-key; or, "
            "where a proxy before this server speaks TLS, its public address as PHB_BASE_URL=https://…/fhir."
        )


def _refuse_tls(settings: Settings) -> None:
    """A pair of certificate and key that cannot be served with, while somebody is there to read why."""
    cert, key = settings.tls_cert, settings.tls_key
    if cert is None or key is None:
        return
    for name, path in (("certificate (PHB_TLS_CERT)", cert), ("key (PHB_TLS_KEY)", key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise CannotStart(f"The TLS {name} {path} cannot be read: {error.strerror}.") from None
    try:
        tls_context(cert, key)
    except ssl.SSLError as error:
        raise CannotStart(_why_no_tls(error, settings)) from None


def _why_no_tls(error: ssl.SSLError, settings: Settings) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"The TLS key {settings.tls_key} is not that of the certificate {settings.tls_cert}."
    return (
        f"The TLS certificate {settings.tls_cert} and key {settings.tls_key} cannot be used ({error.reason or 'no PEM'}): "
        "each is a PEM file, the key without a password."
    )


def _allow_connections(settings: Settings) -> None:
    """As many open files as connections are taken, as far as the system lets us; workers inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.connections_max + FILES_BESIDE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _refuse_broken_promises(settings: Settings) -> None:
    from phb_fhir.app import check_types, promises  # noqa: PLC0415 - takes a while; the quick refusals come first
    from phb_fhir.definitions.capability import WrongCapability  # noqa: PLC0415
    from phb_fhir.rules.commissioning import read_policies  # noqa: PLC0415

    try:
        check_types(settings, promises(load()))
        read_policies(settings.commissioning_folder)
    except WrongCapability as wrong:
        raise CannotStart(wrong.sentence) from None


# --- the port ---


def _address(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """Where to listen for `host`; for a name with several addresses the first, IPv4 before IPv6."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise CannotStart(f"The address to listen on, {host}, is not known to this machine.") from None
    family, _, _, _, address = min(found, key=lambda it: it[0] != socket.AF_INET)
    return family, address


@contextlib.contextmanager
def _listen(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens. Callers wait in its queue until the server is ready, and are not turned away."""
    family, address = _address(host, port)
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        deadline = time.monotonic() + PORT_TIMEOUT_S
        while True:
            try:
                listener.bind(address)
                listener.listen(BACKLOG)
            except OSError as error:
                if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                    time.sleep(_POLL_S)
                    continue
                raise CannotStart(_why_not(error, host, port)) from None
            break
        yield listener


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken by another program: stop that one, or choose another with --port."
    if error.errno == errno.EACCES:
        return f"Port {port} may not be used by this user: choose one from 1024 on with --port."
    return f"Port {port} on {host} cannot be listened on: {error.strerror}."


# --- the database ---


@contextlib.contextmanager
def _database(settings: Settings, give_up: Any) -> Iterator[Callable[[], Settings]]:
    """A MongoDB that fits: what is given gives the settings with its address. Ours starts up while others get ready, and is waited for then."""
    timeout_s = settings.mongodb_start_timeout_s
    if settings.mongodb_uri is not None:
        check_replica_set(settings.mongodb_uri, timeout_s=min(timeout_s, 10), database=settings.mongodb_database)
        end_abandoned(settings.mongodb_uri)  # by the server before this one, if it was killed
        yield lambda: settings
        return
    mongo = PrivateMongo(
        settings.data,
        cache_mb=settings.mongodb_cache_mb,
        start_timeout_s=timeout_s,
        transaction_time_max_s=settings.commit_time_max_s,
        disk_free_mb_min=settings.disk_free_mb_min,
        on_lost=give_up,
    )

    def ready() -> Settings:
        mongo.wait()
        return settings.model_copy(update={"mongodb_uri": mongo.uri})

    mongo.begin()
    try:
        yield ready
    finally:
        mongo.stop()


@contextlib.contextmanager
def _shared_metrics() -> Iterator[None]:
    """Where the workers' counters meet, so that /metrics tells of all of them whichever answers."""
    with tempfile.TemporaryDirectory(prefix="phb-fhir-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        yield
        del os.environ["PROMETHEUS_MULTIPROC_DIR"]


# --- answering ---


def _run(settings: Settings, listener: socket.socket) -> None:
    config = config_of(settings)
    if settings.workers == 1:
        uvicorn.Server(config).run(sockets=[listener])
    else:
        workers = _Workers(config, [listener], settings.shutdown_timeout_s, settings.mongodb_uri or "")
        workers.run()
        if workers.gave_up:
            raise CannotStart(workers.gave_up)


def config_of(settings: Settings) -> Config:
    """How uvicorn answers, and keeps workers."""
    return Config(
        f"{__name__}:{'create_here' if settings.workers == 1 else 'create_in_worker'}",
        settings,
        factory=True,
        workers=settings.workers,
        loop="uvloop",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # `wire/peer` says who the client is, and `base_url` what stands before us
        backlog=BACKLOG,
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
        timeout_worker_healthcheck=WORKER_SILENT_MAX_S,
    )


def create_in_worker() -> Any:
    """The app, in a process that ends when its parent does: nobody would be left to replace or to stop it."""
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # a terminal tells all of us; the parent then has the workers finish
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        sys.exit(1)
    return create_here()


def create_here() -> Any:
    """The app, in a process that does nothing else."""
    from phb_fhir.app import create  # noqa: PLC0415 - after a worker has tied its life to its parent's: it takes a while

    app = create()
    gc.freeze()  # what was made by now stays, and no collection need look at it again
    gc.set_threshold(GARBAGE_MIN, 20, 20)
    return app


class Pulse:
    """How long a worker has owed an answer. It is asked again and again, and never waited for: others may need to be replaced."""

    def __init__(self, worker: Connection) -> None:
        self._worker = worker
        self._asked_at: float | None = None

    def silent_s(self, now: float) -> float:
        """Seconds since it was asked what it has not answered yet; infinite where its end of the connection is closed."""
        try:
            while self._worker.poll():
                self._worker.recv()
                self._asked_at = None
            if self._asked_at is None:
                self._worker.send(b"ping")
                self._asked_at = now
        except (OSError, EOFError):
            return math.inf
        return now - self._asked_at


class _Workers(Multiprocess):
    """uvicorn's supervisor, with bounds: on how often workers die, and on how long they take to end."""

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], shutdown_timeout_s: float, mongodb_uri: str
    ) -> None:
        super().__init__(config, sockets)
        self._shutdown_timeout_s = shutdown_timeout_s
        self._mongodb_uri = mongodb_uri
        self._deaths: deque[float] = deque(maxlen=DEATHS_MAX)
        self._pulses: WeakKeyDictionary[Process, Pulse] = WeakKeyDictionary()
        self.gave_up: str | None = None

    def init_processes(self) -> None:
        self.processes = [self._hired() for _ in range(self.processes_num)]

    def keep_subprocess_alive(self) -> None:
        """Replace who died, or says nothing for too long; until told to end."""
        for place, worker in enumerate(self.processes):
            if self._is_told() or self._is_alive(worker):
                continue
            worker.kill()
            worker.join()
            self._note_death(worker.pid)
            if worker.exitcode == STARTUP_FAILURE:
                self.gave_up = "A worker could not start; the log says why."
            if self.gave_up:
                self.should_exit.set()
                return
            self.processes[place] = self._hired()

    def _is_told(self) -> bool:
        return self.should_exit.is_set() or bool(self.signal_queue)

    def _is_alive(self, worker: Process) -> bool:
        pulse = self._pulses.setdefault(worker, Pulse(worker.parent_conn))
        return worker.process.is_alive() and pulse.silent_s(time.monotonic()) <= self.config.timeout_worker_healthcheck

    def _hired(self) -> Process:
        worker = Process(self.config, self.sockets)
        worker.start()
        return worker

    def _note_death(self, pid: int | None) -> None:
        now = time.monotonic()
        self._deaths.append(now)
        mark_process_dead(pid)  # type: ignore[no-untyped-call]
        end_abandoned(self._mongodb_uri)
        if len(self._deaths) == DEATHS_MAX and now - self._deaths[0] < DEATHS_WINDOW_S:
            self.gave_up = (
                f"The workers died {DEATHS_MAX} times within {DEATHS_WINDOW_S:.0f} seconds; the log says of what."
            )

    def handle_hup(self) -> None:
        self.handle_term()  # the terminal is gone

    def handle_quit(self) -> None:
        self.handle_term()  # uvicorn would not hear it

    def terminate_all(self) -> None:
        for listener in self.sockets:
            listener.close()  # or callers would queue for workers that take nobody any more
        super().terminate_all()

    def join_all(self) -> None:
        deadline = time.monotonic() + self._shutdown_timeout_s + LIFESPAN_TIMEOUT_S
        for process in self.processes:
            process.process.join(max(0.0, deadline - time.monotonic()))
            if process.process.exitcode is None:
                process.process.kill()
                process.process.join()


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGINT, SIGTERM, SIGQUIT and SIGHUP unwind what is inside, once: the undoing is not interrupted again."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    def end(_number: int, _frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGTERM)  # whoever takes that now

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, stop) for number in numbers}
    before[signal.SIGQUIT] = signal.signal(signal.SIGQUIT, end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # else it runs under nohup
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, end)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- the first words ---


@contextlib.contextmanager
def _welcoming(settings: Settings, *, demo: bool) -> Iterator[None]:
    """Says where the server is as soon as it answers, from a thread beside it."""
    over = threading.Event()

    def wait_and_say() -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not over.wait(_POLL_S) and time.monotonic() < deadline:
            if _is_ready(settings):
                say_welcome(settings, demo=demo)
                return

    threading.Thread(target=wait_and_say, name="welcome", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _is_ready(settings: Settings) -> bool:
    connection = _connection(settings)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    return False


def _connection(settings: Settings) -> http.client.HTTPConnection:
    """To our own port, where nobody else can be: whatever name the certificate is for."""
    if settings.tls_cert is None:
        return http.client.HTTPConnection(settings.host, settings.port, timeout=READY_TIMEOUT_S)
    unnamed = ssl.create_default_context()
    unnamed.check_hostname = False
    unnamed.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(settings.host, settings.port, timeout=READY_TIMEOUT_S, context=unnamed)

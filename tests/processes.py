"""The real server as processes, for what only processes show: kill -9, signals, several workers, true concurrency.

`ServerProcess` is `phb-fhir serve` as an operator runs it. `at_once` lets requests collide: each has a connection of its
own and is sent but for its last byte; then the last bytes go out together.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

FHIR_JSON = "application/fhir+json"
JSON_PATCH = "application/json-patch+json"
WAIT_S = 60.0
STOP_WAIT_S = 40.0
ANSWER_WAIT_S = 30.0
_POLL_S = 0.02


def until(holds: Callable[[], object], timeout_s: float = WAIT_S) -> bool:
    """Whether `holds` came true within the time a test may wait."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def children(pid: int) -> set[int]:
    found = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found |= {int(child) for child in task.read_text().split()}
    return found


def connections_held(pid: int, port: int) -> int:
    """How many callers of a local port a process has taken."""
    ends = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    established = {
        f"socket:[{end[9]}]" for end in ends if end[3] == "01" and int(end[1].rpartition(":")[2], 16) == port
    }
    held = 0
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            held += file.readlink().name in established
    return held


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a crowd; `body` is JSON-ready, and `server` says whom to ask where there are several."""

    method: str
    path: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self, base: str) -> bytes:
        parts = urlsplit(base)
        data = b"" if self.body is None else json.dumps(self.body).encode()
        kind = JSON_PATCH if self.method == "PATCH" and isinstance(self.body, list) else FHIR_JSON
        lines = [
            f"{self.method} {parts.path}{self.path} HTTP/1.1",
            f"Host: {parts.netloc}",
            f"Content-Type: {kind}",
            f"Content-Length: {len(data)}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def version(self) -> int:
        """The version number in the ETag; 0 without one."""
        tag = self.headers.get("etag", "")
        return int(tag.removeprefix('W/"').rstrip('"')) if tag else 0

    @property
    def key(self) -> str:
        """`Patient/1`, from the Location."""
        return "/".join(self.headers["location"].split("/")[-4:-2])


class Connection:
    """One connection to a server, kept open from request to request. What it raises when that fails is an OSError."""

    def __init__(self, base: str, wait_s: float = ANSWER_WAIT_S) -> None:
        self.base = base
        parts = urlsplit(base)
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=wait_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._method = "GET"
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Sends a request and waits for its answer. Header names are written with `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.begin(Request(method, path, body, named))
        return self.finish()

    def begin(self, request: Request) -> None:
        """Sends all of a request but its last byte."""
        data = request.encoded(self.base)
        self._method = request.method
        self._socket.sendall(data[:-1])
        self._rest = data[-1:]

    def send_rest(self) -> None:
        self._socket.sendall(self._rest)
        self._rest = b""

    def finish(self) -> Answer:
        """Sends what `begin` held back, and reads the answer."""
        if self._rest:
            self.send_rest()
        return self.receive()

    def receive(self) -> Answer:
        """Reads the answer, whether or not the request was sent in full."""
        response = http.client.HTTPResponse(self._socket, method=self._method)
        try:
            response.begin()
            body = response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, body)


def ask(base: str, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """One request on a connection of its own."""
    with Connection(base) as connection:
        return connection.ask(method, path, body, **headers)


def at_once(bases: Sequence[str], requests: Iterable[Request]) -> list[Answer]:
    """The answers to requests that are all under way in the same instant, dealt out to these servers in turn."""
    with contextlib.ExitStack() as open_ones:
        connections = []
        for number, request in enumerate(requests):
            connection = open_ones.enter_context(Connection(bases[number % len(bases)]))
            connection.begin(request)
            connections.append(connection)
        for connection in connections:
            connection.send_rest()
        return [connection.finish() for connection in connections]


class ServerProcess:
    """`phb-fhir serve --open`, in a process of its own; leaving the context kills what is left of it.

    With `data` it runs a private MongoDB in that folder, else it uses the one at `mongodb_uri`. `settings` are PHB_
    settings by their names. It may be started again after it ended: on the same port and the same data.
    """

    def __init__(self, logs: Path, *, data: Path | None = None, **settings: object) -> None:
        self.data = data
        self.log = logs / f"server-{id(self)}.log"
        self.port = lasting_port()
        self.root = f"http://127.0.0.1:{self.port}"
        self.base = self.root + "/fhir"
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        if self.data is not None and (mongod := self.mongod_pid()):
            until(lambda: not is_running(mongod), STOP_WAIT_S)

    def start(self) -> None:
        """Starts it and waits until it is ready."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command(), env=self._environment(), stdout=log, stderr=log)
        if not until(lambda: self.is_ready() or self.process.poll() is not None) or self.process.poll() is not None:
            raise RuntimeError(f"the server did not start: {self.log.read_text()[-2000:]}")

    def _command(self) -> list[str]:
        words = [sys.executable, "-m", "phb_fhir.cli.main", "serve", "--open", "--port", str(self.port)]
        return words if self.data is None else [*words, "--data", str(self.data)]

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("PHB_")}
        kept.pop("PROMETHEUS_MULTIPROC_DIR", None)
        small = {"mongodb_cache_mb": 256} if self.data is not None else {}
        return kept | {f"PHB_{name.upper()}": str(value) for name, value in {**small, **self._settings}.items()}

    @property
    def process(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("this server was not started")
        return self._process

    def is_ready(self) -> bool:
        return self.look("/health/ready").status == 200

    def look(self, path: str) -> Answer:
        """The answer to a GET outside the FHIR API; of status 0 where there is none."""
        try:
            return ask(self.root, "GET", path)
        except OSError:
            return Answer(0, {}, b"")

    def metric(self, line_start: str) -> float:
        """The sum of the metrics whose lines begin like this."""
        lines = self.look("/metrics").body.decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(line_start))

    def workers(self) -> set[int]:
        """The processes that answer, when there are several."""
        return {pid for pid in children(self.process.pid) if _has_word(pid, b"--multiprocessing-fork")}

    def mongod_pid(self) -> int:
        """The process id of the private mongod; 0 while there is none."""
        files = Path(str(self.data)) / "mongo"
        with contextlib.suppress(OSError, ValueError):
            pid = int((files / "mongod.lock").read_text())
            # a mongod that was killed leaves its number there, and another program may have it by now
            if _has_word(pid, os.fsencode(files)) and is_running(pid):
                return pid
        return 0

    def mongodb_uri(self) -> str:
        """The address of the private mongod, to look behind the server's back."""
        return (
            f"mongodb://127.0.0.1:{(Path(str(self.data)) / 'mongod.port').read_text().strip()}/?directConnection=true"
        )

    def kill(self) -> None:
        """Ends it as a power cut would. Its workers, if any, may finish what they have, but take nobody any more."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(STOP_WAIT_S)
        if not until(self.is_closed, STOP_WAIT_S):
            raise RuntimeError(f"somebody still listens on port {self.port}")

    def is_closed(self) -> bool:
        """Whether callers are turned away."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return False

    def kill_mongod(self) -> None:
        kill_process(self.mongod_pid())

    def stop(self) -> int:
        """Tells it to end. Gives its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_WAIT_S)


def kill_process(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        if pid > 0:
            os.kill(pid, signal.SIGKILL)


def _has_word(pid: int, word: bytes) -> bool:
    with contextlib.suppress(OSError):
        return word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return False


def lasting_port() -> int:
    """A port that nobody listens on, from below those that the system gives to outgoing connections: a server that is
    started again must find its port free."""
    for port in random.sample(range(15_000, 32_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")

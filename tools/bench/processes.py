"""The servers that are measured, each a process of its own, and what the kernel says of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from phb_fhir.settings import PREFIX
from phb_fhir.store.processes import end, free_port
from tools.bench.bare import BODY_VARIABLE
from tools.bench.load import BenchFailed, one_answer
from tools.bench.samples import request

DATABASE = "bench_server"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
_TRY_AGAIN_S = 0.002
_UVICORN = (
    "--loop=uvloop",
    "--http=httptools",
    "--ws=none",
    "--no-access-log",
    "--log-level=error",
    "--no-proxy-headers",
    "--no-server-header",
)


@dataclass(frozen=True, slots=True)
class Running:
    port: int
    pid: int
    start_s: float  # from the start of the process to its first answer


@dataclass(frozen=True, slots=True)
class Memory:
    """Megabytes (of 10^6 bytes): all that is resident, and with shared pages counted by their share."""

    resident_mb: float
    proportional_mb: float


@contextmanager
def our_server(log: Path, *options: str, first: str = "/metadata", database: str = DATABASE) -> Iterator[Running]:
    """`phb-fhir serve` with one worker, its log in a file as an operator would have it. `first` is asked for first."""
    command = ["-m", "phb_fhir.cli.main", "serve", "--open", "--workers", "1", *options]
    with _running(command, {"PHB_MONGODB_DATABASE": database}, log, request("GET", first)) as running:
        yield running


@contextmanager
def secure_server(log: Path, data: Path, *options: str, database: str = DATABASE) -> Iterator[Running]:
    """The same, taking the tokens of the local key in a data folder, and from one client as many requests as come."""
    command = ["-m", "phb_fhir.cli.main", "serve", "--workers", "1", *options]
    more = {
        "PHB_MONGODB_DATABASE": database,
        "PHB_TRUST_LOCAL_KEY": "true",
        "PHB_DATA": str(data),
        "PHB_RATE_CLIENT_MAX": "0",
    }
    with _running(command, more, log, request("GET", "/metadata")) as running:
        yield running


@contextmanager
def bare_server(log: Path, body: Path) -> Iterator[Running]:
    """The constant answer, under the same HTTP server with the same options."""
    command = ["-m", "uvicorn", "--factory", "tools.bench.bare:create", *_UVICORN]
    with _running(command, {BODY_VARIABLE: str(body)}, log, request("GET", "/")) as running:
        yield running


def memory_of(pid: int) -> Memory:
    """What one process holds just now."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    found = {name: int(kib) * 1024 / 1e6 for name, kib in re.findall(r"(?m)^(Rss|Pss): +(\d+) kB", rows)}
    return Memory(found["Rss"], found["Pss"])


@contextmanager
def _running(command: list[str], more: dict[str, str], log: Path, first: bytes) -> Iterator[Running]:
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)} | more
    with log.open("ab") as lines:
        begun = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *command, "--port", str(port)], env=environment, stdout=lines, stderr=lines
        )
        try:
            await_answer(process, port, first, log)
            yield Running(port, process.pid, time.perf_counter() - begun)
        finally:
            end(process, STOP_TIMEOUT_S)


def await_answer(
    process: subprocess.Popen[bytes], port: int, first: bytes, log: Path, timeout_s: float = START_TIMEOUT_S
) -> None:
    """Ask until it answers. Raises BenchFailed when it ended, or did not in that time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            one_answer(port, first)
        except (OSError, BenchFailed):  # nobody listens, or it has no database yet
            time.sleep(_TRY_AGAIN_S)
        else:
            return
    said = log.read_text(errors="replace")[-2000:]
    raise BenchFailed(f"A server did not start ({log.name}):\n{said}")

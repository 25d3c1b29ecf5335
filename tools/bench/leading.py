"""The server that most of the field runs, on this machine and beside ours: HAPI FHIR's JPA server on PostgreSQL.

It wants Java 17, Maven and PostgreSQL, which nothing else here does, and so is measured only when asked for (`--only hapi`). Both servers
are sent the same, in turn, on the same cores, each with a database that has its journal on the same disk. HAPI runs with the settings it
comes with (`hapi/src/main/java/beside/Hapi.java`), and is warmed up for each kind of request, as a JVM needs to be. Ours always holds what is
written against its definitions; HAPI does when it is told to, and is measured without that and with it.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phb_fhir.fhir.codec import dumps, loads
from phb_fhir.store.embedded import PrivateMongo
from phb_fhir.store.processes import end, free_port
from tools.bench.load import BenchFailed, answers_per_second, one_answer
from tools.bench.processes import STOP_TIMEOUT_S, Running, await_answer, memory_of, our_server
from tools.bench.rounds import Comparison, measure_in_turn
from tools.bench.samples import TYPE, creates, letter, request, transactions

LETTERS = 1_000
READ_CONNECTIONS = 64
OTHER_CONNECTIONS = 16
WARM_S = 15.0  # of each kind, before anything counts
HEAP = "-Xmx3g"
START_TIMEOUT_S = 300.0
BUILD_TIMEOUT_S = 1_200.0
DEBIAN = "/usr/lib/postgresql/*/bin/initdb"
_SOURCE = Path(__file__).parent / "hapi"
_JILL = {"reference": "Patient/jill"}
NAMED: tuple[dict[str, Any], ...] = (
    {"resourceType": "Organization", "id": "oakfield-surgery", "name": "Oakfield Surgery"},
    {"resourceType": "Organization", "id": "harbourside-north", "name": "Harbourside North"},
    {"resourceType": "Patient", "id": "jill"},
    {"resourceType": "RelatedPerson", "id": "ruth-harper", "patient": _JILL},
    {"resourceType": "PractitionerRole", "id": "priya-nair-coordinator"},
    {
        "resourceType": "Coverage",
        "id": "jill-continuing-healthcare",
        "status": "active",
        "beneficiary": _JILL,
        "payor": [_JILL],
    },
)


@dataclass(frozen=True, slots=True)
class Leading:
    """What was measured, and what each of the two servers holds in memory afterwards (MB), and took to start (s)."""

    comparisons: list[Comparison]
    memory_mb: tuple[float, float]
    starts_s: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Pair:
    """The two servers, and how long to look at each."""

    ours: Running
    hapi: Running
    rounds: int
    seconds: float

    def compare(
        self,
        what: str,
        beside: str,
        asked: Callable[[Running], Iterator[bytes]],
        connections: int,
        *,
        status: int = 200,
    ) -> Comparison:
        """Both in turn, once HAPI is warm; `asked` gives what is asked of each."""
        requests = {one.port: asked(one) for one in (self.ours, self.hapi)}

        def rate(one: Running, seconds: float = self.seconds) -> float:
            return answers_per_second(
                one.port, requests[one.port], connections=connections, seconds=seconds, status=status
            )

        rate(self.hapi, WARM_S)
        rates = measure_in_turn(lambda: rate(self.ours), lambda: rate(self.hapi), rounds=self.rounds)
        return Comparison(f"{what}, {connections} at once", beside, None, rates)


def compare_hapi(folder: Path, rounds: int, seconds: float) -> Leading:
    """Ours and HAPI in turn. Raises BenchFailed, CannotStart."""
    log = folder / "ours.log"
    with PrivateMongo(folder / "beside-hapi") as mongo, _postgres() as address:
        ours_of = ("--mongodb-uri", mongo.uri)
        with our_server(log, *ours_of, database="plain") as ours, _hapi(folder, address("plain")) as hapi:
            compared = list(_compared(Pair(ours, hapi, rounds, seconds)))
            memory = memory_of(ours.pid).resident_mb, memory_of(hapi.pid).resident_mb
            starts = ours.start_s, hapi.start_s
        with our_server(log, *ours_of, database="both") as ours, _hapi(folder, address("both"), "validated") as hapi:
            for one in (ours, hapi):
                _fill(one, 0)
            pair = Pair(ours, hapi, rounds, seconds)
            compared.append(pair.compare("creates", "HAPI, validating too", _creating, OTHER_CONNECTIONS, status=201))
    return Leading(compared, memory, starts)


# ---- what is compared ------------------------------------------------------------------------------------------------


def _compared(pair: Pair) -> Iterator[Comparison]:
    """Each server is asked for its own letters."""
    keys = {one.port: _fill(one, LETTERS) for one in (pair.ours, pair.hapi)}
    numbered = [f"{TYPE}?identifier=H-{number}&_total=none" for number in range(LETTERS)]
    paged = [f"{TYPE}?subject=Patient/p{number}&_count=20&_total=none" for number in _people()]
    yield pair.compare("reads", "HAPI", lambda one: _reads(keys[one.port]), READ_CONNECTIONS)
    yield pair.compare("searches for one by number", "HAPI", lambda _: _reads(numbered), OTHER_CONNECTIONS)
    yield pair.compare("searches for a page of 20", "HAPI", lambda _: _reads(paged), OTHER_CONNECTIONS)
    yield pair.compare("transactions of 100", "HAPI, not validating", lambda _: transactions(), 1)
    yield pair.compare("creates", "HAPI, not validating", _creating, OTHER_CONNECTIONS, status=201)


def _creating(_: Running) -> Iterator[bytes]:
    return creates()


def _reads(keys: Sequence[str]) -> Iterator[bytes]:
    return itertools.cycle([request("GET", f"/{key}") for key in keys])


def _people() -> range:
    return range(LETTERS // 40)  # forty letters to each


def _fill(server: Running, letters: int) -> list[str]:
    """Whom and what the letters name (HAPI wants that to be there), and so many letters. Gives their keys."""
    for one in (*NAMED, *({"resourceType": "Patient", "id": f"p{number}"} for number in _people())):
        path = f"/{one['resourceType']}/{one['id']}"
        one_answer(server.port, request("PUT", path, dumps(one)), status=201)
    made = []
    for number in range(letters):
        sent = letter(f"H-{number}") | {"subject": {"reference": f"Patient/p{number % len(_people())}"}}
        answer = one_answer(server.port, request("POST", f"/{TYPE}", dumps(sent)), status=201)
        made.append(f"{TYPE}/{loads(answer, depth_max=64)['id']}")
    return made


# ---- what is started -------------------------------------------------------------------------------------------------


@contextmanager
def _hapi(folder: Path, url: str, *more: str) -> Iterator[Running]:
    """HAPI on this database, built first where it was not."""
    port, classes, log = free_port(), _built(), folder / "hapi.log"
    with log.open("ab") as lines:
        begun = time.perf_counter()
        command = ["java", HEAP, "-cp", classes, "beside.Hapi", str(port), url, *more]
        process = subprocess.Popen(command, stdout=lines, stderr=lines)
        try:
            await_answer(process, port, request("GET", "/metadata"), log, START_TIMEOUT_S)
            yield Running(port, process.pid, time.perf_counter() - begun)
        finally:
            end(process, STOP_TIMEOUT_S)


def _built() -> str:
    """The class path. Raises BenchFailed where it cannot be built here."""
    if not (shutil.which("java") and shutil.which("mvn")):
        raise BenchFailed("To measure HAPI beside this server, Java 17 and Maven have to be there.")
    path = _SOURCE / "target" / "classpath"
    command = ["mvn", "-q", "-B", "compile", "dependency:build-classpath", f"-Dmdep.outputFile={path}"]
    made = subprocess.run(command, cwd=_SOURCE, check=False, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
    if made.returncode:
        raise BenchFailed(f"HAPI could not be built:\n{made.stdout[-2000:]}")
    return f"{_SOURCE / 'target' / 'classes'}:{path.read_text(encoding='utf-8').strip()}"


@contextmanager
def _postgres() -> Iterator[Any]:
    """A PostgreSQL of its own, as it comes; gives what makes a database in it, and its address for Java."""
    found = shutil.which("initdb", path=os.pathsep.join(str(one.parent) for one in Path("/").glob(DEBIAN[1:])))
    programs = Path(found or shutil.which("initdb") or "")
    if not programs.name:
        raise BenchFailed("To measure HAPI beside this server, PostgreSQL has to be there.")
    # it refuses to run as root
    user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="phb-fhir-postgres-") as name:
        folder, port = Path(name), free_port()
        if user:
            shutil.chown(folder, **user)
        data = str(folder / "data")
        _run([str(programs), "-D", data, "-A", "trust", "-U", "hapi"], user)
        options = ["-p", str(port), "-k", name, "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=100"]
        process = subprocess.Popen(
            [str(programs.with_name("postgres")), "-D", data, *options], stderr=subprocess.DEVNULL, cwd=name, **user
        )
        try:

            def database(called: str) -> str:
                _created(programs.with_name("createdb"), port, called)
                return f"jdbc:postgresql://127.0.0.1:{port}/{called}?user=hapi"

            yield database
        finally:
            end(process, STOP_TIMEOUT_S)


def _created(program: Path, port: int, called: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:  # until it listens
        try:
            _run([str(program), "-h", "127.0.0.1", "-p", str(port), "-U", "hapi", called], {})
        except BenchFailed:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _run(command: list[str], user: dict[str, Any]) -> None:
    made = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/", **user)
    if made.returncode:
        raise BenchFailed(f"{command[0]}: {made.stderr.strip()}")

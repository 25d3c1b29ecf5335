"""`python -m tools.bench`: start a MongoDB and one worker beside it, measure, and print the ratios."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from phb_fhir.fhir.codec import dumps, loads
from phb_fhir.store.embedded import CannotStart, PrivateMongo
from tools.bench import mongo_only
from tools.bench.load import BenchFailed, answers_per_second, one_answer
from tools.bench.processes import DATABASE, Memory, Running, bare_server, memory_of, our_server
from tools.bench.rounds import Comparison, compare
from tools.bench.samples import TRANSACTION_ENTRIES, TYPE, creates, documents, purchase, request, transactions

READ_CONNECTIONS = 64
CREATE_CONNECTIONS = 16
RESOURCES_READ = 1_000
STARTS = 5
MEMORY_GOAL_MB = 150
START_GOAL_S = 3

_terminal = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Bench:
    """What is up, and how long to look at it."""

    folder: Path
    mongodb_uri: str
    server: Running
    first: str  # the key of a purchase that is there
    rounds: int
    seconds: float


@dataclass(slots=True)
class Findings:
    comparisons: list[Comparison] = field(default_factory=list)
    memory: dict[str, Memory] = field(default_factory=dict)
    starts_s: list[float] = field(default_factory=list)


def main(
    *,
    rounds: Annotated[int, typer.Option(help="How many times each thing is measured.", min=1)] = 7,
    seconds: Annotated[float, typer.Option(help="How long each measurement takes.", min=0.1)] = 2.0,
    only: Annotated[str, typer.Option(help="Compare only what has this word in its name.", metavar="WORD")] = "",
) -> None:
    """Measure this server on this machine, beside what it is made of."""
    try:
        with tempfile.TemporaryDirectory(prefix="phb-fhir-bench-") as folder:
            findings = measure(Path(folder), rounds, seconds, only)
    except (BenchFailed, CannotStart) as reason:
        _terminal.print(str(reason), style="red", markup=False)
        raise typer.Exit(1) from None
    show(findings)


def measure(folder: Path, rounds: int, seconds: float, only: str) -> Findings:
    """Everything, in one run. Raises BenchFailed, CannotStart."""
    found = Findings()
    data, log = folder / "data", folder / "server.log"
    with PrivateMongo(data) as mongo, our_server(log, "--mongodb-uri", mongo.uri) as server:
        found.memory["just started"] = memory_of(server.pid)
        bench = Bench(folder, mongo.uri, server, _create_one(server.port), rounds, seconds)
        for what, compare_it in COMPARISONS.items():
            if only in what:
                with _terminal.status(what):
                    found.comparisons.append(compare_it(bench, what))
        found.memory["idle after all this"] = memory_of(server.pid)
    with _terminal.status("starts"):
        for _ in range(STARTS):
            with our_server(log, "--data", str(data), first=f"/{bench.first}") as started:
                found.starts_s.append(started.start_s)
    return found


def _create_one(port: int) -> str:
    """Create the first purchase; its key."""
    made = loads(one_answer(port, request("POST", f"/{TYPE}", dumps(purchase())), status=201), depth_max=64)
    return f"{TYPE}/{made['id']}"


# ---- what is compared ------------------------------------------------------------------------------------------------


def compare_reads(bench: Bench, what: str) -> Comparison:
    """Reads of many purchases in turn, against the same bytes as a constant."""
    keys = [_create_one(bench.server.port) for _ in range(RESOURCES_READ)]
    requests = [request("GET", f"/{key}") for key in keys]
    body = bench.folder / "body.json"
    body.write_bytes(one_answer(bench.server.port, requests[0]))

    def load(port: int) -> float:
        return answers_per_second(
            port, itertools.cycle(requests), connections=READ_CONNECTIONS, seconds=bench.seconds
        )

    with bare_server(bench.folder / "bare.log", body) as bare:
        return compare(what, "/s", 0.5, lambda: load(bench.server.port), lambda: load(bare.port), rounds=bench.rounds)


def compare_creates(bench: Bench, what: str) -> Comparison:
    """Creates, validated and answered in full, against `insert_one` of what the server stores for them."""
    plain = _documents(bench)

    def ours() -> float:
        return answers_per_second(
            bench.server.port, creates(), connections=CREATE_CONNECTIONS, seconds=bench.seconds, status=201
        )

    def baseline() -> float:
        uri, seconds = bench.mongodb_uri, bench.seconds
        return uvloop.run(mongo_only.inserts_per_second(uri, plain, at_once=CREATE_CONNECTIONS, seconds=seconds))

    return compare(what, "/s", 0.7, ours, baseline, rounds=bench.rounds)


def compare_transactions(bench: Bench, what: str) -> Comparison:
    """Transactions of a hundred entries one after the other, against `insert_many` of as many documents."""
    plain, bundles = _documents(bench), transactions()

    def ours() -> float:
        return answers_per_second(bench.server.port, bundles, connections=1, seconds=bench.seconds)

    def baseline() -> float:
        uri, seconds = bench.mongodb_uri, bench.seconds
        return uvloop.run(mongo_only.batches_per_second(uri, plain, size=TRANSACTION_ENTRIES, seconds=seconds))

    return compare(what, "/s", None, ours, baseline, rounds=bench.rounds)


def _documents(bench: Bench):
    return documents(uvloop.run(mongo_only.stored_document(bench.mongodb_uri, DATABASE, bench.first)))


COMPARISONS: dict[str, Callable[[Bench, str], Comparison]] = {
    f"reads, {READ_CONNECTIONS} connections, beside a bare ASGI answer": compare_reads,
    f"creates, {CREATE_CONNECTIONS} connections, beside insert_one": compare_creates,
    f"transactions of {TRANSACTION_ENTRIES} entries, beside insert_many": compare_transactions,
}


# ---- the tables ------------------------------------------------------------------------------------------------------


def show(found: Findings) -> None:
    """Print what was found. The rates belong to this machine and this moment; the ratios are what may be compared."""
    out = Console()
    table = Table(title="Rates, measured in turn; the ratio is the median of the rounds'")
    for heading in ("what", "ours", "baseline", "ratio", "goal", "rounds' ratios"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for one in found.comparisons:
        table.add_row(
            one.what,
            f"{median(one.ours):,.0f}{one.unit}",
            f"{median(one.baseline):,.0f}{one.unit}",
            _judged(f"{one.ratio:.2f}", met=one.goal is None or one.ratio >= one.goal),
            "" if one.goal is None else f"at least {one.goal:g}",
            f"{min(one.ratios):.2f} to {max(one.ratios):.2f}",
        )
    out.print(table)
    table = Table(title="One worker")
    for heading in ("what", "is", "goal", "seen"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for when, memory in found.memory.items():
        is_ = _judged(f"{memory.resident_mb:.0f} MB", met=memory.resident_mb < MEMORY_GOAL_MB)
        seen = f"{memory.proportional_mb:.0f} MB by share"
        table.add_row(f"memory, {when}", is_, f"under {MEMORY_GOAL_MB} MB", seen)
    if starts := found.starts_s:
        is_ = _judged(f"{median(starts):.2f} s", met=median(starts) < START_GOAL_S)
        seen = f"{min(starts):.2f} to {max(starts):.2f} s"
        table.add_row("start to the first read, with its MongoDB", is_, f"under {START_GOAL_S} s", seen)
    out.print(table)


def _judged(text: str, *, met: bool) -> str:
    return f"[green]{text}[/]" if met else f"[red]{text}[/]"


if __name__ == "__main__":
    typer.run(main)

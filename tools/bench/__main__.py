"""`python -m tools.bench`: start a MongoDB and one worker beside it, measure, and print the ratios."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from phb_fhir.fhir.codec import dumps, loads
from phb_fhir.store.embedded import CannotStart, PrivateMongo
from tools.bench import mongo_only
from tools.bench.leading import Leading, compare_hapi
from tools.bench.load import BenchFailed, answers_per_second, one_answer
from tools.bench.processes import DATABASE, Memory, Running, bare_server, memory_of, our_server
from tools.bench.purchases import compare_purchases
from tools.bench.rounds import Comparison, measure_in_turn
from tools.bench.samples import TRANSACTION_ENTRIES, TYPE, creates, documents, letter, request, transactions
from tools.bench.search import GROWTH_GOAL, INDEX_BYTES_GOAL, LARGE, SMALL, SearchFindings, measure_search
from tools.bench.security import compare_security
from tools.bench.validation import compare_validation

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
    first: str  # the key of a letter that is there
    rounds: int
    seconds: float


@dataclass(slots=True)
class Findings:
    comparisons: list[Comparison] = field(default_factory=list)
    memory: dict[str, Memory] = field(default_factory=dict)
    starts_s: list[float] = field(default_factory=list)
    search: SearchFindings | None = None
    leading: Leading | None = None


def main(
    *,
    rounds: Annotated[int, typer.Option(help="How many times each thing is measured.", min=1)] = 7,
    seconds: Annotated[float, typer.Option(help="How long each measurement takes.", min=0.1)] = 2.0,
    only: Annotated[
        str,
        typer.Option(
            help="Compare only this; hapi (which wants Java, Maven and PostgreSQL) only when it is named.",
            metavar="validation|reads|creates|transactions|purchases|search|security|hapi",
        ),
    ] = "",
    people: Annotated[int, typer.Option(help="The larger population that is searched.", min=LARGE // SMALL)] = LARGE,
) -> None:
    """Measure this server on this machine, beside what it is made of."""
    try:
        with tempfile.TemporaryDirectory(prefix="phb-fhir-bench-") as folder:
            findings = measure(Path(folder), rounds, seconds, only, people)
    except (BenchFailed, CannotStart) as reason:
        _terminal.print(str(reason), style="red", markup=False)
        raise typer.Exit(1) from None
    show(findings)


def measure(folder: Path, rounds: int, seconds: float, only: str, people: int) -> Findings:
    """Everything, in one run. Raises BenchFailed, CannotStart."""
    found = Findings()
    if only in VALIDATION:
        with _terminal.status(VALIDATION):
            found.comparisons.extend(compare_validation(rounds, seconds))
    if any(only in what for what in COMPARISONS):
        measure_server(found, folder, rounds, seconds, only)
    if only in SECURITY:
        with _terminal.status(SECURITY):
            found.comparisons.extend(compare_security(folder, rounds, seconds))
    if only in PURCHASES:
        with _terminal.status(PURCHASES):
            found.comparisons.extend(compare_purchases(folder, rounds, seconds))
    if only in SEARCH:
        with _terminal.status(SEARCH) as status:
            found.search = measure_search(folder / SEARCH, people, lambda doing: status.update(f"{SEARCH}: {doing}"))
    if only == HAPI:
        with _terminal.status(HAPI):
            found.leading = compare_hapi(folder, rounds, seconds)
            found.comparisons.extend(found.leading.comparisons)
    return found


def measure_server(found: Findings, folder: Path, rounds: int, seconds: float, only: str) -> None:
    """What needs a server and its MongoDB."""
    data, log = folder / "data", folder / "server.log"
    with PrivateMongo(data) as mongo, our_server(log, "--mongodb-uri", mongo.uri) as server:
        found.memory["just started"] = memory_of(server.pid)
        bench = Bench(folder, mongo.uri, server, _create_one(server.port), rounds, seconds)
        for what, compare_it in COMPARISONS.items():
            if only in what:
                with _terminal.status(what):
                    found.comparisons.append(compare_it(bench))
        found.memory["idle after all this"] = memory_of(server.pid)
    with _terminal.status("starts"):
        for _ in range(STARTS):
            with our_server(log, "--data", str(data), first=f"/{bench.first}") as started:
                found.starts_s.append(started.start_s)


def _create_one(port: int) -> str:
    """Create a letter; its key."""
    made = loads(one_answer(port, request("POST", f"/{TYPE}", dumps(letter())), status=201), depth_max=64)
    return f"{TYPE}/{made['id']}"


# ---- what is compared ------------------------------------------------------------------------------------------------


def compare_reads(bench: Bench) -> Comparison:
    """Reads of many letters in turn, beside the same bytes as a constant."""
    requests = [request("GET", f"/{_create_one(bench.server.port)}") for _ in range(RESOURCES_READ)]
    body = bench.folder / "body.json"
    body.write_bytes(one_answer(bench.server.port, requests[0]))

    def rate(port: int) -> float:
        return answers_per_second(port, itertools.cycle(requests), connections=READ_CONNECTIONS, seconds=bench.seconds)

    with bare_server(bench.folder / "bare.log", body) as bare:
        what, beside = f"reads, {READ_CONNECTIONS} at once", "a bare ASGI answer"
        rates = measure_in_turn(lambda: rate(bench.server.port), lambda: rate(bare.port), rounds=bench.rounds)
    return Comparison(what, beside, 0.5, rates)


def compare_creates(bench: Bench) -> Comparison:
    """Creates, validated and answered in full, beside `insert_one` of what the server stores for them."""
    plain = _documents(bench)

    def ours() -> float:
        port, seconds = bench.server.port, bench.seconds
        return answers_per_second(port, creates(), connections=CREATE_CONNECTIONS, seconds=seconds, status=201)

    def baseline() -> float:
        uri, seconds = bench.mongodb_uri, bench.seconds
        return uvloop.run(mongo_only.inserts_per_second(uri, plain, at_once=CREATE_CONNECTIONS, seconds=seconds))

    what = f"creates, {CREATE_CONNECTIONS} at once"
    return Comparison(what, "insert_one", 0.7, measure_in_turn(ours, baseline, rounds=bench.rounds))


def compare_transactions(bench: Bench) -> Comparison:
    """Transactions of a hundred entries one after the other, beside `insert_many` of as many documents."""
    plain, bundles = _documents(bench), transactions()

    def ours() -> float:
        return answers_per_second(bench.server.port, bundles, connections=1, seconds=bench.seconds)

    def baseline() -> float:
        uri, seconds = bench.mongodb_uri, bench.seconds
        return uvloop.run(mongo_only.batches_per_second(uri, plain, size=TRANSACTION_ENTRIES, seconds=seconds))

    what = f"transactions of {TRANSACTION_ENTRIES}, one by one"
    return Comparison(what, "insert_many", None, measure_in_turn(ours, baseline, rounds=bench.rounds))


def _documents(bench: Bench) -> Iterator[dict[str, Any]]:
    return documents(uvloop.run(mongo_only.stored_document(bench.mongodb_uri, DATABASE, bench.first)))


VALIDATION, PURCHASES, SEARCH, SECURITY, HAPI = "validation", "purchases", "search", "security", "hapi"
COMPARISONS: dict[str, Callable[[Bench], Comparison]] = {
    "reads": compare_reads,
    "creates": compare_creates,
    "transactions": compare_transactions,
}


# ---- the tables ------------------------------------------------------------------------------------------------------


def show(found: Findings) -> None:
    """Print what was found. The rates belong to this machine and this moment; the ratios are what may be compared."""
    out = Console()
    rates, worker = _rates(found), _worker(found)
    if rates.row_count:
        out.print(rates)
        out.print(
            "The ratio is the median of the rounds' ratios, measured in turn. Rounds far apart mean a busy machine.\n"
        )
    if worker.row_count:
        out.print(worker)
    if found.search:
        show_search(found.search, out)


def _rates(found: Findings) -> Table:
    """How many of each kind of request a second, beside what does less."""
    rates = _table("What it costs to be a FHIR server", "what", "beside", "ours", "theirs", "ratio", "goal", "rounds")
    for one in found.comparisons:
        rates.add_row(
            one.what,
            one.beside,
            f"{median(one.ours):,.0f}/s",
            f"{median(one.baseline):,.0f}/s",
            _judged(f"{one.ratio:.2f}", met=one.goal is None or one.ratio >= one.goal),
            "" if one.goal is None else f"{one.goal:g}",
            f"{min(one.ratios):.2f}–{max(one.ratios):.2f}",
        )
    return rates


def _worker(found: Findings) -> Table:
    """What one worker takes: its memory, and the time until it answers."""
    worker = _table("One worker", "what", "is", "goal", "note")
    for when, memory in found.memory.items():
        is_ = _judged(f"{memory.resident_mb:.0f} MB", met=memory.resident_mb < MEMORY_GOAL_MB)
        note = f"{memory.proportional_mb:.0f} MB by its share of shared pages"
        worker.add_row(f"memory, {when}", is_, f"under {MEMORY_GOAL_MB} MB", note)
    if starts := found.starts_s:
        is_ = _judged(f"{median(starts):.2f} s", met=median(starts) < START_GOAL_S)
        took = f"{min(starts):.2f}–{max(starts):.2f} s, MongoDB included"
        worker.add_row("start to first read", is_, f"under {START_GOAL_S} s", took)
    if found.leading:
        (ours_mb, theirs_mb), (ours_s, theirs_s) = found.leading.memory_mb, found.leading.starts_s
        heap = f"HAPI {theirs_mb:.0f} MB, its database not counted"
        worker.add_row("memory after all this", f"{ours_mb:.0f} MB", "", heap)
        tables = f"HAPI {theirs_s:.1f} s, making its tables"
        worker.add_row("start, without its database", f"{ours_s:.1f} s", "", tables)
    return worker


def show_search(found: SearchFindings, out: Console) -> None:
    """Print how searches grow with what there is to search, and what that costs."""
    small = f"{found.people // (LARGE // SMALL):,} people"
    growths = _table("How searches grow", "what", small, f"{found.people:,} people", "growth", "found", "goal")
    for one in found.growths:
        grown, goal = f"{one.ratio:.2f}", ""
        if one.is_alike:
            grown, goal = _judged(grown, met=one.ratio <= GROWTH_GOAL), f"{GROWTH_GOAL:g}"
        times = f"{one.small_ms:.2f} ms", f"{one.large_ms:.2f} ms"
        growths.add_row(one.what, *times, grown, f"{one.small_found:g}, {one.large_found:g}", goal)
    out.print(growths)
    costs = _table(f"What the index costs, of {found.resources:,} resources", "what", "is", "goal")
    total = sum(found.index_bytes.values())
    costs.add_row(
        "all indexes", _judged(f"{total:,.0f} B", met=total <= INDEX_BYTES_GOAL) + " each", f"{INDEX_BYTES_GOAL:,} B"
    )
    for name, size in sorted(found.index_bytes.items(), key=lambda row: -row[1]):
        costs.add_row(f"  {name}", f"{size:,.0f} B each", "")
    costs.add_row("inserts, beside inserts without an index", f"{found.write_ratio:.2f} of the time", "")
    for type_, ratio in found.extraction.items():
        is_ = _judged(f"{ratio:.2f}", met=ratio < 1) + " of validating"
        costs.add_row(f"index values of {type_}", is_, "1")
    out.print(costs)


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("what", "beside", "note") else "right")
    return table


def _judged(text: str, *, met: bool) -> str:
    return f"[green]{text}[/]" if met else f"[red]{text}[/]"


if __name__ == "__main__":
    typer.run(main)

"""Fuzz a server with tokens of little privilege, for as long as is wanted: `python -m tools.fuzz --minutes 10`.

A server of this process asks a private MongoDB (or that of PHB_MONGODB_URI, in a database of its own), which holds the small world of the
security tests; `tests/security/fuzzing` asks it everything. The exit code is 1 where anything was found: a 5xx, or a byte of another
person's record. A finding says its seed, so that it can be had again.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from phb_fhir.store.embedded import PrivateMongo
from tests.security.fuzzing import Finding, Fuzzer
from tests.security.world import running_world

ROUND = 2_000  # requests of one seed; then the world is put back as it was
SHOWN_MAX = 20  # findings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    findings: list[tuple[int, Finding]] = []
    statuses: Counter[int] = Counter()
    deadline, seed = time.monotonic() + asked.minutes * 60, asked.seed
    with _mongodb() as uri, running_world(uri) as world:
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(50)
        )  # what each request logs is not for here
        while time.monotonic() < deadline:
            fuzzer = Fuzzer(world, seed)
            while sum(fuzzer.statuses.values()) < ROUND and time.monotonic() < deadline:
                fuzzer.ask()
            statuses += fuzzer.statuses
            findings += [(seed, one) for one in fuzzer.findings]
            seed += 1
            world.restore()
    _report(statuses, findings, seed - asked.seed)
    return 1 if findings else 0


@contextmanager
def _mongodb() -> Iterator[str]:
    if uri := os.environ.get("PHB_MONGODB_URI"):
        yield uri
        return
    with (
        tempfile.TemporaryDirectory(prefix="phb-fhir-fuzz-") as folder,
        PrivateMongo(Path(folder), cache_mb=256, start_timeout_s=60) as mongo,
    ):
        yield mongo.uri


def _report(statuses: Counter[int], findings: list[tuple[int, Finding]], seeds: int) -> None:
    print(f"{sum(statuses.values())} answers to requests of {seeds} seeds: ", end="")
    print(", ".join(f"{status}: {count}" for status, count in sorted(statuses.items())))
    print(f"{len(findings)} findings")
    for seed, one in findings[:SHOWN_MAX]:
        print(
            f"\n== {one.what} (seed {seed})\n{one.who}: {one.method} {one.path}\n{one.headers}\n{one.body}\n-> {one.answer}"
        )


if __name__ == "__main__":
    sys.exit(main())

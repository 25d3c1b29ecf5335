"""What it costs to know who is asking: reads and searches with a patient's token and the audit trail on, beside an open server.

Both servers have one worker and stand on the same database. They are asked the same things, of the records of a hundred people; the
secure one by one of these people, for what is theirs, so that every answer is found and kept in the trail.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from phb_fhir.fhir.codec import dumps, loads
from phb_fhir.security.local_key import local_key
from phb_fhir.store.embedded import PrivateMongo
from tools.bench.load import answers_per_second, one_answer
from tools.bench.processes import Running, our_server, secure_server
from tools.bench.rounds import Comparison, measure_in_turn
from tools.bench.samples import TYPE, letter, request

GOAL = 0.7
READ_CONNECTIONS, SEARCH_CONNECTIONS = 64, 16
LETTERS = 200  # to the person who asks
OTHERS = 2_000  # letters to other people
PATIENT = "jill"


def compare_security(folder: Path, rounds: int, seconds: float) -> Iterator[Comparison]:
    """Reads, and searches of two kinds, secure beside open. Raises BenchFailed, CannotStart."""
    with _servers(folder) as (open_one, secure_one, token):
        keys = _fill(open_one)
        asked = {
            f"reads with a token, {READ_CONNECTIONS} at once": ([f"/{key}" for key in keys], READ_CONNECTIONS),
            f"searches for one by number, {SEARCH_CONNECTIONS} at once": (
                [f"/{TYPE}?identifier=S-{number}" for number in range(LETTERS)],
                SEARCH_CONNECTIONS,
            ),
            f"searches for a page of 20, {SEARCH_CONNECTIONS} at once": (
                [f"/{TYPE}?subject=Patient/{PATIENT}&_count=20&_total=none"],
                SEARCH_CONNECTIONS,
            ),
        }
        for what, (paths, connections) in asked.items():
            bare = [request("GET", path) for path in paths]
            signed = [request("GET", path, b"", f"Authorization: Bearer {token}") for path in paths]

            def rate(port: int, requests: list[bytes], connections: int = connections) -> float:
                return answers_per_second(port, itertools.cycle(requests), connections=connections, seconds=seconds)

            rates = measure_in_turn(
                lambda signed=signed, rate=rate: rate(secure_one.port, signed),
                lambda bare=bare, rate=rate: rate(open_one.port, bare),
                rounds=rounds,
            )
            yield Comparison(what, "the same without, --open", GOAL, rates)


@contextmanager
def _servers(folder: Path) -> Iterator[tuple[Running, Running, str]]:
    data, log = folder / "security-data", folder / "security.log"
    with PrivateMongo(data) as mongo:
        token = local_key(data).sign(
            {"sub": PATIENT, "role": "person", "fhirUser": f"Patient/{PATIENT}", "scope": "patient/*.rs"},
            now=time.time(),
            life_s=3600,
        )
        where = ("--mongodb-uri", mongo.uri)
        with our_server(log, *where) as open_one, secure_server(log, data, *where) as secure_one:
            yield open_one, secure_one, token


def _fill(server: Running) -> list[str]:
    """The letters to the one who asks, and to others. Gives the keys of theirs."""
    made = []
    for number in range(LETTERS + OTHERS):
        mine = number < LETTERS
        resource = letter(f"S-{number}")
        resource["subject"] = {"reference": f"Patient/{PATIENT if mine else f'other-{number % 100}'}"}
        answer = one_answer(server.port, request("POST", f"/{TYPE}", dumps(resource)), status=201)
        if mine:
            made.append(f"{TYPE}/{loads(answer, depth_max=64)['id']}")
    return made

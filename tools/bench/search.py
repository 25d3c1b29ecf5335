"""Searches of a small population and of one 64 times as large, on the same machine at the same time.

Both are in one MongoDB, in a database each, behind a server each with one worker. Of each kind of search some hundred are asked
one after the other over one connection, small and large in turn; what counts is how the median grows. Beside it: what the index
takes per resource, what keeping it costs a write, and what making its values costs beside validation.
"""

from __future__ import annotations

import http.client
import itertools
import json
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import quote

from pymongo import MongoClient
from pymongo.collection import Collection

from phb_fhir.change import Version
from phb_fhir.data import data_path
from phb_fhir.definitions.guide import read_guide
from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.definitions.search_parameters import search_parameters
from phb_fhir.fhir.codec import loads
from phb_fhir.search.index import index_of
from phb_fhir.search.own import NOWHERE
from phb_fhir.store.documents import CODEC, RESOURCES, Document, document_of
from phb_fhir.store.embedded import PrivateMongo
from phb_fhir.store.indexes import INDEXES
from phb_fhir.validation.validate import validate
from tools.bench import population
from tools.bench.load import BenchFailed
from tools.bench.population import copies_of
from tools.bench.processes import our_server

SMALL = 1_000  # people
LARGE = 64_000
GROWTH_GOAL = 1.5
INDEX_BYTES_GOAL = 3_000
EACH = 200  # searches of each kind
CACHE_MB = 3_072
FAR_PAGE = 50
_BATCH = 50  # people whose resources are inserted at once
_DEPTH_MAX = 100
_ALIKE = 1.1
_SEED = 20_261_122  # which people, months and names are asked for: the same in every run
_TYPES = ("Patient", "Account", "CarePlan", "ChargeItem", "Task", "Observation")

Ask = Callable[[random.Random, int], str]  # the number of people there are → an address


@dataclass(frozen=True, slots=True)
class Growth:
    """The medians of one kind of search: milliseconds, and the resources in an answer."""

    what: str
    small_ms: float
    large_ms: float
    small_found: float
    large_found: float

    @property
    def is_alike(self) -> bool:
        """Whether as much is answered in both populations; where more is, the time has reason to grow."""
        return self.large_found <= self.small_found * _ALIKE

    @property
    def ratio(self) -> float:
        return self.large_ms / self.small_ms


@dataclass(slots=True)
class SearchFindings:
    people: int = 0
    resources: int = 0
    growths: list[Growth] = field(default_factory=list)
    index_bytes: dict[str, float] = field(default_factory=dict)  # of the larger population, per resource, by index
    write_ratio: float = 0.0  # the time of inserts with our indexes to that without any
    extraction: dict[str, float] = field(default_factory=dict)  # by type, the time of making index values to validating


# ---- what is asked ---------------------------------------------------------------------------------------------------


def _person(chance: random.Random, people: int) -> int:
    return chance.randrange(people)


def _month(chance: random.Random) -> str:
    year, month = chance.randrange(2011, 2019), chance.randrange(1, 12)
    return f"date=ge{year}-{month:02d}-01&date=lt{year}-{month + 1:02d}-01"


SEARCHES: dict[str, Ask] = {
    "token": lambda _, __: "Observation?code=http://loinc.org|8302-2",
    "token, one resource": lambda c, n: (
        f"Patient?identifier={population.NHS_NUMBER}|{population.identifier_of(_person(c, n))}"
    ),
    "reference": lambda c, n: f"ChargeItem?account=Account/p{_person(c, n)}-1",
    "date range": lambda c, _: f"Observation?{_month(c)}",
    "reference and token": lambda c, n: (
        f"Observation?patient=Patient/p{_person(c, n)}&code=http://loinc.org|8302-2,http://loinc.org|2093-3"
    ),
    "token and a year": lambda c, _: f"Observation?code=http://loinc.org|8302-2&date={c.randrange(2011, 2019)}",
    "token and a month": lambda c, _: f"Observation?code=http://loinc.org|8302-2&{_month(c)}",
    "the same, a page of 5": lambda c, _: f"Observation?code=http://loinc.org|8302-2&{_month(c)}&_count=5",
    "chained to one": lambda c, n: (
        f"ChargeItem?subject:Patient.identifier={population.NHS_NUMBER}|{population.identifier_of(_person(c, n))}"
    ),
    "_has": lambda _, __: "Patient?_has:Observation:patient:code=http://loinc.org|2093-3",
    "_include": lambda c, n: (
        f"ChargeItem?account=Account/p{_person(c, n)}-1&_include=ChargeItem:account&_include=ChargeItem:subject"
    ),
    "sorted, first page": lambda _, __: "Observation?_sort=-date",
    "token sorted, first page": lambda _, __: "Observation?status=final&_sort=-date",
    "chained to a family name": lambda c, n: f"ChargeItem?subject:Patient.family={population.family_of(_person(c, n))}",
}
FAR = {f"{name[: -len('first page')]}{FAR_PAGE}th page": name for name in SEARCHES if name.endswith("first page")}


# ---- the run ---------------------------------------------------------------------------------------------------------


def measure_search(folder: Path, people: int, tell: Callable[[str], None]) -> SearchFindings:
    """Everything about search, in one run. Raises BenchFailed, CannotStart."""
    found = SearchFindings(people)
    with PrivateMongo(folder / "data", cache_mb=CACHE_MB) as mongo, ExitStack() as servers:
        ports = {}
        for count, name in ((people // (LARGE // SMALL), "search_small"), (people, "search_large")):
            options = ("--mongodb-uri", mongo.uri)
            server = servers.enter_context(our_server(folder / f"{name}.log", *options, database=name))
            ports[count] = server.port
            tell(f"{count} people")
            _fill(mongo.uri, name, count)
        tell("searches")
        found.growths = list(_growths(ports))
        client: MongoClient[Document] = MongoClient(mongo.uri)
        found.resources, found.index_bytes = _index_bytes(client["search_large"][RESOURCES])
        tell("writes")
        found.write_ratio = _write_ratio(client)
    found.extraction = dict(_extraction())
    return found


def _growths(ports: dict[int, int]) -> Iterator[Growth]:
    (small, small_port), (large, large_port) = sorted(ports.items())
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for port in (small_port, large_port)]
    for what, ask in SEARCHES.items():
        asked: tuple[list[_Timed], list[_Timed]] = ([], [])
        chances = random.Random(_SEED), random.Random(_SEED)
        for _ in range(EACH):
            for connection, people, chance, into in zip(connections, (small, large), chances, asked, strict=True):
                into.append(_timed(connection, f"/fhir/{_address(ask(chance, people))}"))
        yield _growth(what, *asked)
    for what, first in FAR.items():
        chance = random.Random(_SEED)
        pages = [
            _far_page(connection, f"/fhir/{_address(SEARCHES[first](chance, small))}") for connection in connections
        ]
        asked = ([], [])
        for _ in range(EACH):
            for connection, page, into in zip(connections, pages, asked, strict=True):
                into.append(_timed(connection, page))
        yield _growth(what, *asked)


class _Timed(NamedTuple):
    ms: float
    found: int


def _growth(what: str, small: list[_Timed], large: list[_Timed]) -> Growth:
    small_ms, large_ms = (median(one.ms for one in side) for side in (small, large))
    return Growth(what, small_ms, large_ms, *(median(one.found for one in side) for side in (small, large)))


def _address(asked: str) -> str:
    return quote(asked, safe="/?&=:,-_.")


def _timed(connection: http.client.HTTPConnection, path: str) -> _Timed:
    begun = time.perf_counter()
    body = _get(connection, path)
    return _Timed((time.perf_counter() - begun) * 1000, body.count(b'"fullUrl"'))


def _get(connection: http.client.HTTPConnection, path: str) -> bytes:
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
    except ConnectionError:  # it was idle for too long, while the other server worked
        connection.close()
        connection.request("GET", path)
        answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise BenchFailed(f"{path} answered {answer.status}: {body.decode(errors='replace')[:500]}")
    return body


def _far_page(connection: http.client.HTTPConnection, path: str) -> str:
    for _ in range(FAR_PAGE - 1):
        links = {link["relation"]: link["url"] for link in json.loads(_get(connection, path))["link"]}
        if "next" not in links:  # of a population too small to have so many
            break
        path = "/fhir/" + links["next"].partition("/fhir/")[2]
    return path


# ---- the population --------------------------------------------------------------------------------------------------


def _fill(uri: str, database: str, people: int) -> None:
    with ProcessPoolExecutor(2) as pool:
        batches = [range(start, min(start + _BATCH, people)) for start in range(0, people, _BATCH)]
        for _ in pool.map(_insert, itertools.repeat(uri), itertools.repeat(database), batches, chunksize=4):
            pass


def _insert(uri: str, database: str, people: range) -> None:
    client: MongoClient[Document] = _client(uri)
    client.get_database(database, codec_options=CODEC)[RESOURCES].insert_many(_documents(people), ordered=False)


_clients: dict[str, MongoClient[Document]] = {}


def _client(uri: str) -> MongoClient[Document]:
    return _clients.setdefault(uri, MongoClient(uri))


def _documents(people: range) -> list[Document]:
    """What the server would have stored for these people."""
    parameters = search_parameters(load())
    made = []
    for copy in itertools.chain.from_iterable(copies_of(number) for number in people):
        text = copy.json.encode()
        index = index_of(loads(text, depth_max=_DEPTH_MAX), parameters, NOWHERE)
        made.append(document_of(Version(copy.type, copy.id, 1, population.WRITTEN, "POST", text), index))
    return made


# ---- what the index costs --------------------------------------------------------------------------------------------


def _index_bytes(resources: Collection[Document]) -> tuple[int, dict[str, float]]:
    sizes = resources.database.command("collStats", RESOURCES)
    count: int = sizes["count"]
    return count, {name: size / count for name, size in sizes["indexSizes"].items()}


def _write_ratio(client: MongoClient[Document], rounds: int = 5) -> float:
    """The time of inserting the same resources with our indexes, to that of inserting them without."""
    with_ours, without = client["search_writes"]["ours"], client["search_writes"]["plain"]
    with_ours.create_indexes(list(INDEXES[RESOURCES]))
    ratios = []
    for number in range(rounds):
        documents = _documents(range(LARGE + number * _BATCH, LARGE + (number + 1) * _BATCH))
        spent = []
        for collection in (with_ours, without):
            begun = time.perf_counter()
            collection.insert_many([dict(one) for one in documents])
            spent.append(time.perf_counter() - begun)
        ratios.append(spent[0] / spent[1])
    client.drop_database("search_writes")
    return median(ratios)


def _extraction(people: int = 20) -> Iterator[tuple[str, float]]:
    """By type, the CPU time of making the index values of some resources, to that of validating them."""
    known = Registry.of(load(), read_guide(data_path("profiles")).resources)
    parameters = search_parameters(known.definitions)
    copies = [copy for number in range(people) for copy in copies_of(number)]
    for type_ in _TYPES:
        resources = [loads(copy.json.encode(), depth_max=_DEPTH_MAX) for copy in copies if copy.type == type_]
        extracting = _cpu(lambda of=resources: [index_of(one, parameters, NOWHERE) for one in of])  # type: ignore[misc]
        validating = _cpu(lambda of=resources: [validate(one, known.definitions, known=known) for one in of])  # type: ignore[misc]
        yield type_, extracting / validating


def _cpu(work: Callable[[], object], rounds: int = 5) -> float:
    work()
    spent = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        spent.append(time.process_time() - begun)
    return median(spent)

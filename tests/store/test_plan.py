"""What MongoDB does for a search, by its own account: an index leads, and a page costs a page wherever it is."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from pymongo import MongoClient

from phb_fhir.change import Version
from phb_fhir.query import (
    AllOf,
    AnyOf,
    Bound,
    Id,
    Joined,
    KeyRange,
    Node,
    Not,
    Order,
    Query,
    SortKey,
    Span,
    Updated,
)
from phb_fhir.search.kinds.kind import Index
from phb_fhir.search.order import sortable
from phb_fhir.store import plan as plan_module
from phb_fhir.store.documents import document_of
from phb_fhir.store.positions import Position
from phb_fhir.store.store import Store
from tests.store.finding import key
from tests.store.stores import MOMENT, keyed, opened

Admin = MongoClient[dict[str, Any]]

MANY = 6_000
PAGE = 10
OBSERVATIONS, PLANS = ("Observation",), ("CarePlan",)


def moment(day: float) -> str:
    return (MOMENT + timedelta(days=day)).strftime("%Y-%m-%dT%H:%M:%S.000000Z")


def observation(n: int, dice: random.Random) -> Index:
    """A point in time; of 100 patients one has it, of 50 codes it has one, and 95 of 100 are final."""
    day, amount = dice.random() * 1000, sortable(Decimal(n % 500) / 10)
    made = keyed(
        f"subject=Patient/{n % 100}",
        f"code=*{n % 50}",
        f"identifier=*{n}",
        f"status=*{'draft' if n % 20 == 0 else 'final'}",
    )
    made.lo = {"date": moment(day), "value": amount, "value~unit": f"g|{amount}"}
    made.spans = {
        "date": [{"lo": moment(day), "hi": moment(day + 1 / 86400)}],
        "value": [{"lo": amount, "hi": amount, "u": ["", "|g"]}, {"lo": amount, "hi": amount, "u": ["~g"]}],
    }
    made.joined = {
        "code-value": [{"0": {"k": [f"=*{n % 50}"]}, "1": {"r": [{"lo": amount, "hi": amount, "u": ["~g"]}]}}]
    }
    return made


def care_plan(n: int, dice: random.Random) -> Index:
    """A period of up to a year, and a name."""
    start = dice.random() * 1000
    made = keyed(f"name={chr(97 + n % 26)}{n}", f"subject=Patient/{n % 100}")
    made.lo = {"date": moment(start), "name": f"{chr(97 + n % 26)}{n}"}
    made.spans = {"date": [{"lo": moment(start), "hi": moment(start + 2 + dice.random() * 360)}]}
    return made


@pytest.fixture(scope="module")
def store(mongodb_uri: str, mongodb_admin: Admin, runner: asyncio.Runner) -> Iterator[Store]:
    """A database with documents enough that a plan is a choice."""
    name = f"test_{uuid.uuid4().hex}"
    opening = opened(mongodb_uri, name)
    made = runner.run(opening.__aenter__())
    dice = random.Random(7)
    documents = [
        document_of(Version(type_, str(n), 1, MOMENT + timedelta(seconds=n), "PUT", b"{}"), index(n, dice))
        for n in range(MANY)
        for type_, index in (("Observation", observation), *([("CarePlan", care_plan)] if n % 4 == 0 else []))
    ]
    mongodb_admin[name]["resources"].insert_many(documents, ordered=False)
    yield made
    runner.run(opening.__aexit__(None, None, None))
    mongodb_admin.drop_database(name)


@pytest.fixture(autouse=True)
def _common(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is common among so few is what these are compared to."""
    monkeypatch.setattr(plan_module, "RARE_MAX", 70)
    monkeypatch.setattr("phb_fhir.store.found.RARE_MAX", 70)


def until(day: float) -> Span:
    return Span("date", (Bound("lo", "<", moment(day)),))


def since(day: float) -> Span:
    return Span("date", (Bound("hi", ">", moment(day)),))


def grams(*bounds: tuple[Any, Any, int]) -> Span:
    return Span("value", tuple(Bound(end, is_, sortable(number)) for end, is_, number in bounds), "~g")


FINAL, PATIENT, CODE = key("status=*final"), key("subject=Patient/7"), key("code=*5")
DATE, LATEST = SortKey("date", "lo"), SortKey("date", "lo", descending=True)
NEWEST = SortKey("_lastUpdated", "at", descending=True)
SOME = tuple(f"subject=Patient/{n}" for n in range(40))

# what is asked, in which order; the index that leads; and the most keys that are looked at for a page
READ: dict[str, tuple[Query, Order, str, int]] = {
    "everything": (Query(OBSERVATIONS), (), "type_seq", PAGE),
    "a common token": (Query(OBSERVATIONS, FINAL), (), "key_seq", PAGE),
    "a reference": (Query(OBSERVATIONS, PATIENT), (), "key_seq", PAGE),
    "a reference, of any type": (Query((), PATIENT), (), "key_seq", PAGE + 2),
    "several references": (Query(OBSERVATIONS, key(*SOME)), (), "key_seq", PAGE + len(SOME)),
    "two ways to say it": (Query(OBSERVATIONS, AnyOf((CODE, PATIENT))), (), "key_seq", PAGE + 2),
    "common first, rare second": (Query(OBSERVATIONS, AllOf((FINAL, PATIENT))), (), "key_seq", 2 * PAGE),
    "rare first, common second": (Query(OBSERVATIONS, AllOf((PATIENT, FINAL))), (), "key_seq", 2 * PAGE),
    "common, and one of two": (Query(OBSERVATIONS, AllOf((FINAL, AnyOf((CODE, PATIENT))))), (), "key_seq", 2 * PAGE),
    "rare, and begins like": (
        Query(OBSERVATIONS, AllOf((KeyRange("identifier=", "identifier>"), PATIENT))), (), "key_seq", PAGE,
    ),
    "rare, and not something": (Query(OBSERVATIONS, AllOf((Not(CODE), PATIENT))), (), "key_seq", PAGE),
    "what nearly all begin with": (Query(OBSERVATIONS, KeyRange("identifier=", "identifier>")), (), "type_seq", PAGE),
    "a composite": (
        Query(OBSERVATIONS, AllOf((CODE, Joined("code-value", (key("=*5"), Span("", (Bound("hi", ">", sortable(0)),), "~g")))))),
        (), "key_seq", PAGE,
    ),
    "up to a date": (Query(OBSERVATIONS, until(100)), (), "sortable", PAGE),
    "a month": (Query(OBSERVATIONS, AllOf((since(500), until(530)))), (), "sortable", 3 * PAGE),
    "a month of what is common": (Query(OBSERVATIONS, AllOf((FINAL, since(500), until(530)))), (), "sortable", 4 * PAGE),
    "periods that reach into a month": (Query(PLANS, AllOf((since(500), until(530)))), (), "sortable", 3 * PAGE),
    "periods that reach past all others": (Query(PLANS, since(1270)), (), "sortable", PAGE),
    "a canonical quantity": (Query(OBSERVATIONS, grams(("lo", ">=", 5), ("hi", "<", 6))), (), "sortable", 2 * PAGE),
    "more than a quantity": (Query(OBSERVATIONS, grams(("hi", ">", 48))), (), "sortable", 3 * PAGE),
    "a quantity as written": (
        Query(OBSERVATIONS, Span("value", (Bound("lo", "<", sortable(2)),), "|g")), (), "sortable", PAGE,
    ),
    "since a moment": (Query(OBSERVATIONS, Updated(MOMENT + timedelta(seconds=MANY // 2), None)), (), "type_at", PAGE),
    "by date": (Query(OBSERVATIONS), (DATE,), "sortable", PAGE),
    "by date, the latest first": (Query(OBSERVATIONS), (LATEST,), "sortable", PAGE),
    "common, the latest first": (Query(OBSERVATIONS, FINAL), (LATEST,), "sortable", 2 * PAGE),
    "a year, the latest first": (Query(OBSERVATIONS, AllOf((since(400), until(765)))), (LATEST,), "sortable", 2 * PAGE),
    "a day, the earliest first": (Query(OBSERVATIONS, AllOf((since(500), until(503)))), (DATE,), "sortable", 2 * PAGE),
    "a day, the latest first": (Query(OBSERVATIONS, AllOf((since(500), until(503)))), (LATEST,), "sortable", 2 * PAGE),
    "by quantity": (Query(OBSERVATIONS), (SortKey("value~unit", "lo"),), "sortable", PAGE),
    "by name": (Query(PLANS), (SortKey("name", "lo"),), "sortable", PAGE),
    "by last update": (Query(OBSERVATIONS), (NEWEST,), "type_at", PAGE),
    "by last update, of two types": (Query(("CarePlan", "Observation")), (NEWEST,), "type_at", 2 * PAGE),
    "by id": (Query(OBSERVATIONS), (SortKey("_id", "id"),), "_id_", PAGE),
}  # fmt: skip


async def explained(store: Store, query: Query, order: Order, after: Position | None = None) -> dict[str, Any]:
    said = await store.explain(query, order, PAGE, after=after)
    stages = {stage for phase in said["phases"] for stage in phase["stages"]}
    assert "COLLSCAN" not in stages
    return {
        "stages": stages,
        "keys": sum(phase["keys_examined"] for phase in said["phases"]),
        "documents": sum(phase["documents_examined"] for phase in said["phases"]),
        "returned": sum(phase["returned"] for phase in said["phases"]),
        "indexes": {name for phase in said["phases"] for name in phase["indexes"]},
    }


@pytest.mark.parametrize("asked", READ)
def test_a_page_is_read_off_an_index_in_its_order_and_costs_a_page(
    store: Store, runner: asyncio.Runner, asked: str
) -> None:
    query, order, index, keys_max = READ[asked]

    async def story() -> None:
        first = await explained(store, query, order)
        assert first["indexes"] == {index}
        assert "SORT" not in first["stages"]
        assert first["returned"] == PAGE
        assert max(first["keys"], first["documents"]) <= keys_max + PAGE // 2
        # … and so does a later page
        half = await store.count(query) // 2
        middle = (await store.find(query, order, count=half, with_index=False))[-1].position
        later = await explained(store, query, order, middle)
        assert "SORT" not in later["stages"]
        assert later["keys"] <= 2 * keys_max + PAGE

    runner.run(story())


FOUND: dict[str, tuple[Query, Order, int]] = {
    "few, by date": (Query(OBSERVATIONS, PATIENT), (DATE,), 60),
    "few, by last update": (Query(OBSERVATIONS, PATIENT), (NEWEST,), 60),
    "few, by id": (Query(OBSERVATIONS, PATIENT), (SortKey("_id", "id"),), 60),
    "few, by token and date": (Query(OBSERVATIONS, PATIENT), (SortKey("code", "keys"), DATE), 60),
    "few that begin alike": (Query(PLANS, KeyRange("name=a", "name=b")), (), 60),
    "ids": (Query(OBSERVATIONS, Id(("1", "2", "3"))), (), 6),
    "ids, by date": (Query(OBSERVATIONS, Id(("1", "2", "3"))), (DATE,), 12),
    "a day, by last update": (Query(OBSERVATIONS, AllOf((since(500), until(501)))), (NEWEST,), 30),
    "long periods, by date": (Query(PLANS, since(1270)), (DATE,), 60),
}


@pytest.mark.parametrize("asked", FOUND)
def test_what_is_rare_is_found_first_and_then_sorted(store: Store, runner: asyncio.Runner, asked: str) -> None:
    query, order, most = FOUND[asked]

    async def story() -> None:
        said = await explained(store, query, order)
        assert said["documents"] <= 2 * most
        assert said["keys"] <= 2 * most

    runner.run(story())


@pytest.mark.parametrize("asked", READ)
def test_a_count_is_of_the_same(store: Store, runner: asyncio.Runner, asked: str) -> None:
    query, order, _, _ = READ[asked]

    async def story() -> None:
        everything = await store.find(query, order, count=2 * MANY, is_bare=True)
        assert await store.count(query) == len(everything)
        assert await store.count_up_to(query, 5) == 5

    runner.run(story())


def test_a_search_that_reads_too_far_is_sorted_instead_with_the_same_answer(
    store: Store, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "PATIENCE_MS", 0.001)
    monkeypatch.setattr(plan_module, "PATIENCE_MANY_MS", 0.001)

    async def story() -> None:
        for query, order in (
            (Query(OBSERVATIONS, AllOf((FINAL, Not(CODE)))), (LATEST,)),
            (Query(OBSERVATIONS, KeyRange("identifier=*1", "identifier=*9")), ()),
        ):
            tired = [hit.version.key for hit in await store.find(query, order, count=PAGE)]
            again = [hit.version.key for hit in await store.find(query, order, count=PAGE)]
            with pytest.MonkeyPatch.context() as patient:
                patient.setattr(plan_module, "PATIENCE_MS", None)
                patient.setattr(plan_module, "PATIENCE_MANY_MS", None)
                calm = [hit.version.key for hit in await store.find(query, order, count=PAGE)]
            assert tired == again == calm
            assert len(calm) == PAGE

    runner.run(story())


def test_an_explanation_can_be_sent_as_json(store: Store, runner: asyncio.Runner) -> None:
    async def story() -> None:
        asked: Node = AllOf((PATIENT, Updated(MOMENT, None), Not(CODE)))
        said = await store.explain(Query(OBSERVATIONS, asked), (SortKey("code", "keys"), DATE), PAGE)
        assert json.loads(json.dumps(said)) == said
        (phase,) = said["phases"]
        assert (phase["index"], phase["indexes"], phase["returned"]) == ("key_seq", ["key_seq"], PAGE)
        assert {"ix.k": "subject=Patient/7"} in phase["filter"]["$and"]

    runner.run(story())

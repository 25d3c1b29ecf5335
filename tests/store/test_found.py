"""Searching on the real database: whatever leads to the matches, the same are found, in the same order, on pages of any size.

The index values come from `search/kinds`, because how a period is found rests on what they keep of it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import combinations_with_replacement, pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient

from phb_fhir.change import Version
from phb_fhir.definitions.load import SearchParameter
from phb_fhir.outcome import Kind, Refusal, Rejected
from phb_fhir.query import (
    EVERYTHING,
    NOTHING,
    AllOf,
    AnyOf,
    Id,
    Key,
    KeyPart,
    KeyRange,
    Node,
    Not,
    Order,
    Present,
    Query,
    SortKey,
    Updated,
)
from phb_fhir.search.kinds import KINDS
from phb_fhir.search.kinds.kind import Asked, Index
from phb_fhir.search.match import Subject, match_query
from phb_fhir.search.own import OwnBase
from phb_fhir.store import found as found_module
from phb_fhir.store import plan as plan_module
from phb_fhir.store.found import Hit
from phb_fhir.store.positions import Position
from phb_fhir.store.rarity import LIFE_S, Rarity
from phb_fhir.store.store import Reader, Store, Transaction, Write
from tests.store.stores import MOMENT, Commands, keyed, opened, put, run, version

Admin = MongoClient[dict[str, Any]]

NOWHERE = OwnBase("")
SINGLE, LISTED = "Observation", "Task"  # types with one date and size at most, and with several
PARAMETERS = {
    code: SearchParameter(LISTED, code, type_, "", "") for code, type_ in (("date", "date"), ("size", "quantity"))
}
UCUM = "http://unitsofmeasure.org"


def asks(code: str, text: str) -> Node:
    """What a value of a parameter asks: `asks("date", "ge2026-01")`."""
    parameter = PARAMETERS[code]
    return KINDS[parameter.type].parse(Asked(parameter, "", text, None, NOWHERE))  # type: ignore[arg-type]


def key(*keys: str) -> Key:
    return Key(keys)


def index(type_: str, keys: Sequence[str] = (), dates: Sequence[Any] = (), sizes: Sequence[Any] = ()) -> Index:
    made = keyed(*keys)
    is_list = type_ == LISTED
    dated = [("dateTime" if isinstance(date, str) else "Period", date) for date in dates]
    KINDS["date"].index(made, PARAMETERS["date"], dated, is_list, NOWHERE)
    sized = [("Quantity", {"value": Decimal(number), **unit}) for number, unit in sizes]
    KINDS["quantity"].index(made, PARAMETERS["size"], sized, is_list, NOWHERE)
    made.lo |= {"name": made_of} if (made_of := "|".join(keys)[:3]) else {}
    return made


# --- what may be there, and what may be asked ---

codes = st.sampled_from(["a", "b", "c"])
keys = st.lists(
    st.one_of(codes.map("code=*{}".format), st.sampled_from(["subject=Patient/1", "subject=Patient/2"])), max_size=3
)
DAYS = ("2019", "2020-01", "2020-01-31", "2020-02-01", "2020-02-01T12:00:00Z", "2020-02-02", "2020-03", "2021")
days = st.sampled_from(DAYS)
periods = st.one_of(
    st.tuples(days, days).filter(lambda pair: pair[0] <= pair[1]).map(lambda pair: {"start": pair[0], "end": pair[1]}),
    days.map(lambda day: {"start": day}),
    days.map(lambda day: {"end": day}),
    st.just({}),
)
UNITS: list[dict[str, Any]] = [
    {"unit": "g", "system": UCUM, "code": "g"},
    {"unit": "kg", "system": UCUM, "code": "kg"},
    {"unit": "g"},
    {},
]
amounts = st.tuples(
    st.sampled_from(["0", "1", "5", "5.4", "1000", "-1"]),
    st.builds(dict[str, Any], st.sampled_from(UNITS)),
)
compared = st.tuples(amounts, st.sampled_from(["<", ">="])).map(
    lambda pair: (pair[0][0], {**pair[0][1], "comparator": pair[1]})
)


@dataclass(frozen=True)
class Thing:
    type: str
    id: str
    keys: tuple[str, ...]
    dates: tuple[Any, ...]
    sizes: tuple[Any, ...]
    at: datetime
    deleted: bool

    @property
    def index(self) -> Index:
        return index(self.type, self.keys, self.dates, self.sizes)

    def version(self) -> Version:
        return Version(self.type, self.id, 1, self.at, "PUT", None if self.deleted else b"{}")


@st.composite
def things(draw) -> Thing:
    type_ = draw(st.sampled_from([SINGLE, LISTED]))
    most = 1 if type_ == SINGLE else 3
    return Thing(
        type_,
        draw(st.sampled_from("abcdefghij")),
        tuple(draw(keys)),
        tuple(draw(st.lists(st.one_of(days, periods), max_size=most))),
        tuple(draw(st.lists(st.one_of(amounts, compared), max_size=most))),
        MOMENT + timedelta(milliseconds=draw(st.integers(0, 3))),
        draw(st.integers(0, 9)) == 0,
    )


PREFIXES = ("", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
prefixes = st.sampled_from(PREFIXES)
dated = st.builds(lambda prefix, day: asks("date", prefix + day), prefixes, days)
sized = st.builds(
    lambda prefix, number, unit: asks("size", prefix + number + unit),
    prefixes,
    st.sampled_from(["0", "1", "5", "5.4", "1000"]),
    st.sampled_from(["", "||g", f"|{UCUM}|g", f"|{UCUM}|kg"]),
)
entries = st.one_of(
    codes.map(lambda code: key(f"code=*{code}")), st.just(key("subject=Patient/1", "subject=Patient/2", "code=*a"))
)
leaves = st.one_of(
    entries,
    st.just(KeyRange("subject=", "subject>")),
    st.just(KeyRange("code=*b", "code=*z")),
    dated,
    sized,
    st.just(Id(("a", "b", "c", "Task/d"))),
    st.just(Present("date")),
    st.just(KeyPart("code=", "a")),
    st.integers(0, 3).map(lambda step: Updated(MOMENT + timedelta(milliseconds=step), None)),
)
nodes = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: AllOf(tuple(parts))),
        st.lists(inner, min_size=1, max_size=2).map(lambda parts: AnyOf(tuple(parts))),
        st.builds(Not, inner),
    ),
    max_leaves=4,
)
wheres = st.one_of(st.just(EVERYTHING), leaves, nodes)


@st.composite
def sort_keys(draw, types: tuple[str, ...]) -> SortKey:
    by = draw(st.sampled_from(["lo", "lo", "lo", "keys", "id", "at"]))
    parameter = {
        "keys": st.sampled_from(["code", "subject"]),
        "lo": st.sampled_from(["date", "size~unit", "name"]),
    }.get(by)
    name = "" if parameter is None else draw(parameter)
    return SortKey(name, by, draw(st.booleans()), by == "lo" and name != "name" and types == (LISTED,))


@st.composite
def questions(draw) -> tuple[Query, Order]:
    types = draw(st.sampled_from([(SINGLE,), (LISTED,), (SINGLE, LISTED), ()]))
    order = draw(st.one_of(st.just(()), st.lists(sort_keys(types), min_size=1, max_size=2).map(tuple)))
    return Query(types, draw(wheres)), order


@st.composite
def ranged_questions(draw) -> tuple[Query, Order]:
    """Led by what is asked of a date or a size, and ordered by it or not."""
    types = draw(st.sampled_from([(SINGLE,), (LISTED,), (SINGLE, LISTED)]))
    spans = draw(st.lists(st.one_of(dated, dated, sized), min_size=1, max_size=2))
    where = (
        AnyOf(tuple(spans)) if draw(st.integers(0, 4)) == 0 else AllOf((*spans, *draw(st.lists(entries, max_size=1))))
    )
    name = draw(st.sampled_from(["", "date", "size", "size~unit"]))
    order = (SortKey(name, "lo", draw(st.booleans()), types == (LISTED,)),) if name else ()
    return Query(types, where), order


# --- the same, whatever leads ---


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as each:
        yield each


@pytest.fixture(scope="module")
def store(mongodb_uri: str, mongodb_admin: Admin, runner: asyncio.Runner) -> Iterator[Store]:
    name = f"test_{uuid.uuid4().hex}"
    opening = opened(mongodb_uri, name)
    yield runner.run(opening.__aenter__())
    runner.run(opening.__aexit__(None, None, None))
    mongodb_admin.drop_database(name)


async def pages(
    reader: Reader, query: Query, order: Order, size: int, *, backwards: bool = False
) -> AsyncIterator[list[Hit]]:
    after: Position | None = None
    while page := await reader.find(query, order, after=after, backwards=backwards, count=size):
        yield page
        after = page[0 if backwards else -1].position


async def walked(reader: Reader, query: Query, order: Order, size: int) -> list[str]:
    return [hit.version.key async for page in pages(reader, query, order, size) for hit in page]


async def walked_back(reader: Reader, query: Query, order: Order, size: int) -> list[str]:
    found: list[str] = []
    async for page in pages(reader, query, order, size, backwards=True):
        found = [hit.version.key for hit in page] + found
    return found


def rank(thing: Thing, sort_key: SortKey) -> Any:
    """What a rule of an order compares; None where the thing has no such value."""
    made = thing.index
    match sort_key.by:
        case "id":
            return thing.id
        case "at":
            return thing.at
        case "lo":
            last = sort_key.descending and sort_key.is_list
            return made.lo.get(sort_key.parameter + ("~max" if last else ""))
    found = [each for each in made.keys if each.startswith(f"{sort_key.parameter}=")]
    return (max if sort_key.descending else min)(found, default=None)


def is_before(one: Thing, other: Thing, order: Order) -> bool:
    """Whether the first may stand before the second."""
    for sort_key in order:
        mine, others = rank(one, sort_key), rank(other, sort_key)
        if mine != others:
            return others is None or (mine is not None and (mine > others) is sort_key.descending)
    return True


LIMITS = [
    {},
    {"RARE_MAX": 0, "PROBED_MAX": 0, "MERGED_MAX": 0},
    {"RARE_MAX": 2, "PROBED_MAX": 3, "MERGED_MAX": 1},
    {"RARE_MAX": 0, "PROBED_MAX": 5, "MERGED_MAX": 2, "PATIENCE_MS": 0.001, "PATIENCE_MANY_MS": 0.001},
]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(things(), max_size=12), questions(), st.integers(1, 5), st.sampled_from(LIMITS))
def test_every_page_forwards_and_backwards_is_of_one_order_of_exactly_what_matches(
    store: Store,
    runner: asyncio.Runner,
    there: list[Thing],
    question: tuple[Query, Order],
    size: int,
    limits: dict[str, Any],
) -> None:
    check_pages(store, runner, there, question, size, limits)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(things(), min_size=4, max_size=12), ranged_questions(), st.integers(1, 5), st.sampled_from(LIMITS))
def test_what_a_period_or_an_amount_leads_to_is_exactly_what_matches(
    store: Store,
    runner: asyncio.Runner,
    there: list[Thing],
    question: tuple[Query, Order],
    size: int,
    limits: dict[str, Any],
) -> None:
    check_pages(store, runner, there, question, size, limits)


def check_pages(
    store: Store,
    runner: asyncio.Runner,
    there: list[Thing],
    question: tuple[Query, Order],
    size: int,
    limits: dict[str, Any],
) -> None:
    query, order = question
    kept = {f"{thing.type}/{thing.id}": thing for thing in there}
    matching = {
        name
        for name, thing in kept.items()
        if not thing.deleted and match_query(query, Subject(thing.type, thing.id, thing.at, thing.index, {}))
    }

    async def story() -> None:
        await store._resources.delete_many({})
        await asyncio.gather(*(store.insert(each.version(), each.index) for each in kept.values()))
        whole = [hit.version.key for hit in await store.find(query, order, count=100)]
        assert sorted(whole) == sorted(matching)
        for one, other in pairwise(whole):
            assert is_before(kept[one], kept[other], order)
        assert await walked(store, query, order, size) == whole
        assert await walked_back(store, query, order, size) == whole
        assert await store.count(query) == len(whole)
        assert await store.count_up_to(query, 3) == min(3, len(whole))
        assert set(await store.keys(query, count=100)) == matching
        assert {each.key for each in await store.search(query, count=100)} == matching

    with pytest.MonkeyPatch.context() as patch:
        for name, value in limits.items():
            patch.setattr(plan_module, name, value)
            if name in ("RARE_MAX", "PROBED_MAX"):
                patch.setattr(found_module, name, value)
        runner.run(story())


ALL_PERIODS = [
    {},
    *({"start": start, "end": end} for start, end in combinations_with_replacement(DAYS, 2)),
    *({"start": day} for day in DAYS),
    *({"end": day} for day in DAYS),
]
ALL_AMOUNTS = [
    (number, {**unit, **comparator})
    for number in ("0", "1", "5", "5.4", "1000")
    for unit in UNITS
    for comparator in ({}, {"comparator": "<"}, {"comparator": ">="})
]


@pytest.mark.parametrize("type_", [SINGLE, LISTED])
@pytest.mark.parametrize("code", ["date", "size"])
def test_every_prefix_finds_every_period_and_amount_that_keeps_it(
    mongodb_uri: str, database_name: str, code: str, type_: str
) -> None:
    values = [*DAYS, *ALL_PERIODS] if code == "date" else ALL_AMOUNTS
    # in a list each comes with the one before it
    lists = [values[max(0, n - (type_ == LISTED)) : n + 1] for n in range(len(values))]
    indexes = [index(type_, dates=each) if code == "date" else index(type_, sizes=each) for each in lists]
    asked = (
        [f"{prefix}{day}" for prefix in PREFIXES for day in DAYS]
        if code == "date"
        else [
            f"{prefix}{n}{unit}"
            for prefix in PREFIXES
            for n in ("1", "5", "1000")
            for unit in ("", "||g", f"|{UCUM}|g")
        ]
    )

    by_value = [(SortKey(name, "lo", down, type_ == LISTED),) for name in (code, "size~unit") for down in (False, True)]

    async def check(store: Store, text: str) -> None:
        query = Query((type_,), asks(code, text))
        matching = {
            str(n) for n, made in enumerate(indexes) if match_query(query, Subject(type_, str(n), MOMENT, made, {}))
        }
        for order in ((), *by_value):
            found = [hit.version.id for hit in await store.find(query, order, count=200)]
            assert (text, order, sorted(found)) == (text, order, sorted(matching))
        assert (text, await store.count(query)) == (text, len(matching))

    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            versions = [Version(type_, str(n), 1, MOMENT, "PUT", b"{}") for n in range(len(indexes))]
            await asyncio.gather(*map(store.insert, versions, indexes))
            await asyncio.gather(*(check(store, text) for text in asked))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_module, "RARE_MAX", 0)  # as it would be done where all of this is common
        patch.setattr(plan_module, "PROBED_MAX", 0)
        patch.setattr(found_module, "RARE_MAX", 0)
        patch.setattr(found_module, "PROBED_MAX", 0)
        run(story)


# --- while others write ---

N = 60
ROUNDS = 12  # with changes; then there is an end to what is new


def dated_index(day: int, *keys: str) -> Index:
    return index(SINGLE, keys, [f"2020-{1 + day // 28:02}-{1 + day % 28:02}"])


Observed = tuple[Version, Index]


def observed(id_: str, number: int, made: Index | None, *, at: int = 0) -> Observed:
    moment = MOMENT + timedelta(seconds=at or number)
    return Version(SINGLE, id_, number, moment, "PUT", None if made is None else b"{}"), made or keyed()


async def observation(store: Store, id_: str, number: int, made: Index | None) -> None:
    await observations(store, [observed(id_, number, made)])


async def observations(store: Store, given: Sequence[Observed]) -> None:
    """Store these together, each over whatever is current."""

    async def work(transaction: Transaction) -> None:
        current = await transaction.read_all([each.key for each, _ in given])
        await transaction.write([Write(current.get(each.key), each, made) for each, made in given])

    await store.transaction(work)


DATE = SortKey("date", "lo")
BY_CODE = (SortKey("code", "keys", descending=True), SortKey("date", "lo"))
CODED = key("code=*a")
ORDERS: list[tuple[Query, Order]] = [
    (Query((SINGLE,)), ()),
    (Query((SINGLE,), CODED), ()),
    (Query((SINGLE,), asks("date", "ge2020-01-01")), ()),
    (Query((SINGLE,)), (DATE,)),
    (Query((SINGLE,)), (SortKey("date", "lo", descending=True),)),
    (Query((SINGLE,)), BY_CODE),
    (Query((SINGLE,)), (SortKey("", "id"),)),
    (Query((SINGLE,)), (SortKey("", "at"),)),
    (Query((SINGLE,)), (SortKey("", "at", descending=True),)),
    (Query((SINGLE,), CODED), (DATE,)),  # found by their code, and then sorted
    (Query((SINGLE,), CODED), (SortKey("", "at"),)),
]


def changes(number: int) -> Iterator[Observed]:
    """What is written in a round: some that stay are changed, some are new, one goes."""
    for n in range(0, N, 5):
        day = (n * 7 + number * 11) % N
        yield observed(f"stays{n}", number, dated_index(day, "code=*a", f"code=*{number}"))
        yield observed(f"new{number}-{n}", 1, dated_index(day, "code=*a"), at=number)
    yield observed(f"goes{number}", 2, None)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("query", "order"), ORDERS)
def test_what_is_there_throughout_is_met_once_whatever_is_written_meanwhile(
    mongodb_uri: str, database_name: str, query: Query, order: Order, backwards: bool
) -> None:
    """Every resource that stays is changed between the pages too: its date, its code, and when it was last updated."""

    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store, opened(mongodb_uri, database_name) as other:
            names = [f"{word}{day}" for day in range(N) for word in ("stays", "goes")]
            there = [observed(name, 1, dated_index(place // 2, "code=*a")) for place, name in enumerate(names)]
            await observations(store, there)
            met: list[str] = []
            number = 1
            async for page in pages(store, query, order, 7, backwards=backwards):
                met += [hit.version.id for hit in page]
                number += 1
                if number < ROUNDS:
                    await observations(other, list(changes(number)))
            stayed = [id_ for id_ in met if id_.startswith("stays")]
            assert sorted(stayed) == sorted(f"stays{day}" for day in range(N))
            assert len(set(met)) == len(met)

    run(story)


@pytest.mark.parametrize("where", [EVERYTHING, CODED])
def test_pages_of_values_are_of_one_moment_and_those_after_its_memory_of_their_own(
    mongodb_uri: str, database_name: str, where: Node
) -> None:
    """Whether they are read off the index of the order, or found by another and then sorted."""

    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for day in range(6):
                await observation(store, str(day), 1, dated_index(day, "code=*a"))
            query = Query((SINGLE,), where)
            await settled(store, query)
            first = await store.find(query, (DATE,), count=2)
            await observation(store, "0", 2, dated_index(30, "code=*a"))  # behind the others, by now
            await observation(store, "4", 2, None)
            after = first[-1].position
            assert [hit.version.id for hit in await store.find(query, (DATE,), after=after, count=9)] == [
                "2",
                "3",
                "4",
                "5",
            ]
            long_ago = [f"{str(after[0]).partition('@')[0]}@1.1", *after[1:]]
            later = await store.find(query, (DATE,), after=long_ago, count=9)
            assert [hit.version.id for hit in later] == ["2", "3", "5", "0"]
            assert "@" in str(later[-1].position[0])

    run(story)


async def settled(store: Store, query: Query) -> None:
    """Until the indexes are old enough to be read from a snapshot; that they never are is a failure of the story's time."""
    while "@" not in str((await store.find(query, (DATE,), count=1))[0].position[0]):
        await asyncio.sleep(0.01)


def test_a_position_of_another_order_is_gone_and_its_own_is_not(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for day in range(4):
                await observation(store, str(day), 1, dated_index(day, "code=*a"))
            query, ranged = Query((SINGLE,)), Query((SINGLE,), asks("date", "ge2020-01-01"))
            (last,) = await store.find(ranged, count=1)
            assert len(await store.find(ranged, after=last.position, count=9)) == 3
            good = (await store.find(query, (DATE,), count=1))[0].position
            assert len(await store.find(query, (DATE,), after=good, count=9)) == 3
            wrong: list[Position] = [
                [*last.position[:1], 7, *last.position[2:]], ["seq", 0, "no seq"], ["seq", 0], ["seq", -1, "0" * 24], [], ["seq"],
                good[:2], [*good, "more"],
            ]  # fmt: skip
            for position, asked, order in (
                *((position, query, ()) for position in (last.position, good, *wrong)),
                *((position, query, (DATE,)) for position in (last.position, *wrong)),
                (good, query, BY_CODE),
            ):
                with pytest.raises(Rejected, match="run the search again") as refused:
                    await store.find(asked, order, after=position, count=1)
                assert refused.value.refusal is Refusal.GONE

    run(story)


# --- places in the order ---


def test_a_resource_keeps_its_place_through_updates_and_death_and_revival(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for id_ in "abc":
                assert await store.insert(version(id_), keyed("code=*a"))
            places = {each.id: each.seq for each in await store.search(Query(("Task",)), count=9)}
            assert list(places.values()) == sorted(places.values())
            assert all(len(seq) == 24 for seq in places.values())
            await put(store, version("a", 2), ["code=*b"])
            await put(store, version("a", 3, None, method="DELETE"))
            assert [each.id for each in await store.search(Query(("Task",)), count=9)] == ["b", "c"]
            gone = await store.read("Task", "a")
            assert gone is not None
            assert gone.seq == places["a"]
            await put(store, version("a", 4), ["code=*a"])
            for query in (Query(("Task",)), Query(("Task",), key("code=*a"))):
                assert {each.id: each.seq for each in await store.search(query, count=9)} == places

    run(story)


def test_a_resource_of_an_older_release_is_given_a_place_at_its_next_write(
    mongodb_uri: str, database_name: str, mongodb_admin: Admin
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            await store.insert(version("a"), None)
            mongodb_admin[database_name]["resources"].update_one({"_id": "Task/a"}, {"$unset": {"seq": 1, "ix": 1}})
            old = await store.read("Task", "a")
            assert old is not None
            assert old.seq == ""
            assert [each.id for each in await store.search(Query(("Task",)), count=9)] == ["a"]
            await put(store, version("a", 2), ["code=*a"])
            (hit,) = await store.find(Query(("Task",), key("code=*a")), count=9)
            assert hit.version.seq == hit.position[-1] != ""

    run(story)


def test_a_hit_brings_the_index_values_that_were_stored(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        made = index(
            LISTED,
            ["code=*a", "code=s|a"],
            ["2020", "2021-01-01"],
            [("5.40", {"unit": "g", "system": UCUM, "code": "g"})],
        )
        made.spans["a.b$c%2E"] = [{"lo": "", "hi": "~"}]
        made.lo["a.b"] = "x"
        made.joined["code-size"] = [{"0": {"k": ["=*a"]}}]
        made.digest = "abc"
        async with opened(mongodb_uri, database_name) as store:
            await store.insert(version("a"), made)
            (hit,) = await store.find(Query(("Task",), Present("a.b$c%2E")), count=9)
        assert (hit.index.keys, hit.index.spans, hit.index.joined, hit.index.digest) == (
            made.keys, made.spans, made.joined, made.digest,
        )  # fmt: skip
        assert made.lo.items() <= hit.index.lo.items()

    run(story)


# --- references ---


def test_what_references_point_to_is_told_once_and_only_what_is_here_and_of_the_types(
    mongodb_uri: str, database_name: str
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            pointing = {
                "a": ["subject=Patient/1", "subject=Patient/1/_history/2", "code=*x"],
                "b": ["subject=Patient/1", "subject=Group/2", "subject=http://other/fhir/Patient/3", "code=*x"],
                "c": ["subject=urn:uuid:4", "subject:identifier=*5", "subject:", "subjects=Patient/6", "code=*x"],
                "d": ["subject=Patient/7"],
                "e": ["subject=Patient/$8", "code=*x"],
            }
            for id_, keys_ in pointing.items():
                await store.insert(version(id_), keyed(*keys_))
            coded = Query(("Task",), key("code=*x"))
            assert await store.pointed_at(coded, "subject", (), count=9) == ["Group/2", "Patient/$8", "Patient/1"]
            assert await store.pointed_at(coded, "subject", ("Patient",), count=9) == ["Patient/$8", "Patient/1"]
            assert len(await store.pointed_at(coded, "subject", (), count=2)) == 2
            assert await store.pointed_at(Query(("Task",)), "subject", ("Patient",), count=9) == [
                "Patient/$8", "Patient/1", "Patient/7",
            ]  # fmt: skip
            dated_ = Query(("Task",), asks("date", "2020"))
            assert await store.pointed_at(dated_, "subject", (), count=9) == []

    run(story)


# --- refusals ---


@pytest.mark.parametrize(
    ("where", "is_served"),
    [
        (EVERYTHING, True),
        (CODED, True),
        (Not(CODED), False),
        (KeyPart("name=", "x"), False),
        (Present("date"), False),
        (asks("date", "ne2020"), False),
        (Updated(MOMENT, None, inside=False), False),
        (AnyOf((CODED, KeyPart("name=", "x"))), False),
        (AnyOf((CODED, KeyRange("name=x", "name=y"))), True),
        (AllOf((Not(CODED), KeyPart("name=", "x"))), False),
        (AllOf((Not(CODED), asks("date", "ge2020"))), True),
        (asks("size", f"5|{UCUM}|g"), True),
        (asks("size", "5"), True),
        (Updated(MOMENT, None), True),
        (Id(("a",)), True),
        (NOTHING, True),
    ],
)
def test_what_no_index_leads_to_is_refused_where_there_is_much_and_answered_where_there_is_little(
    mongodb_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch, where: Node, is_served: bool
) -> None:
    monkeypatch.setattr(found_module, "SCANNED_MAX", 3)

    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for type_, count in (("Task", 4), ("Basic", 3)):
                for number in range(count):
                    await store.insert(version(str(number))._replace(type=type_), None)
            for types, is_much in ((("Task",), True), (("Basic",), False), (("Basic", "Task"), True)):
                if is_served or not is_much:
                    await store.check_served(Query(types, where))
                    continue
                with pytest.raises(Rejected, match="No index leads to what is asked") as refused:
                    await store.check_served(Query(types, where))
                assert (refused.value.refusal, refused.value.issues[0].kind) == (Refusal.BAD_REQUEST, Kind.TOO_COSTLY)

    run(story)


def test_of_any_type_an_entry_leads_to_much_and_a_date_does_not(
    mongodb_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found_module, "SCANNED_MAX", 3)

    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for number in range(4):
                await store.insert(version(str(number)), None)
            await store.check_served(Query((), CODED))
            with pytest.raises(Rejected, match="more than 3 resources to look through"):
                await store.check_served(Query((), asks("date", "2020")))

    run(story)


def test_pages_of_any_type_go_on_where_a_type_is_met_that_there_was_none_of(
    mongodb_uri: str, database_name: str
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for day in range(4):
                await observation(store, str(day), 1, dated_index(day))
            for query, order in (
                (Query((), asks("date", "ge2020-01-01")), ()),
                (Query(()), (DATE,)),
                (Query(()), (SortKey("", "id"),)),
                (Query(()), (SortKey("", "at"),)),
            ):
                first = await store.find(query, order, count=2)
                await store.insert(version("0", at=MOMENT - timedelta(days=1))._replace(type="Account"), dated_index(0))
                rest = await store.find(query, order, after=first[-1].position, count=9)
                assert [hit.version.id for hit in (*first, *rest) if hit.version.type == SINGLE] == list("0123")

    run(story)


def test_none_is_wanted_and_none_is_given(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            await store.insert(version("a"), None)
            for query, order in ((Query(("Task",)), ()), (Query(("Task",)), (DATE,)), (Query(("Task",)), BY_CODE)):
                assert await store.find(query, order, count=0) == []
                assert await store.count_up_to(query, 0) == 0

    run(story)


def test_an_order_that_no_index_has_is_refused_for_too_many_and_given_for_few(
    mongodb_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found_module, "SORTED_MAX", 3)

    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for day in range(4):
                await observation(store, str(day), 1, dated_index(day, "code=*a" if day else "code=*b"))
            with pytest.raises(Rejected, match="no index has them in the order asked for") as refused:
                await store.find(Query((SINGLE,)), BY_CODE, count=1)
            assert (refused.value.refusal, refused.value.issues[0].kind) == (Refusal.BAD_REQUEST, Kind.TOO_COSTLY)
            assert len(await store.find(Query((SINGLE,), CODED), BY_CODE, count=9)) == 3
            assert len(await store.find(Query((SINGLE,)), (DATE,), count=9)) == 4

    run(story)


# --- inside a transaction ---


@pytest.mark.parametrize(("query", "order"), ORDERS)
def test_a_transaction_finds_what_it_wrote_in_every_order(
    mongodb_uri: str, database_name: str, query: Query, order: Order
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            await observation(store, "0", 1, dated_index(0, "code=*a"))

            async def work(transaction: Transaction) -> None:
                await observation_in(transaction, "1", dated_index(1, "code=*a"))
                found = {hit.version.id for hit in await transaction.find(query, order, count=9)}
                assert found == {"0", "1"}
                assert await transaction.count(query) == 2
                assert await transaction.count_up_to(query, 1) == 1
                assert len(await transaction.keys(query, count=9)) == 2

            await store.transaction(work)

    run(story)


async def observation_in(transaction: Transaction, id_: str, made: Index) -> None:
    found = Version(SINGLE, id_, 1, MOMENT, "PUT", b"{}")
    await transaction.write([Write(None, found, made)])


# --- counts that were made a moment ago ---


def test_counts_are_remembered_so_long_and_so_many() -> None:
    async def story() -> None:
        now, asked = 0.0, list[str]()

        async def count() -> int:
            asked.append("asked")
            return len(asked)

        rarity = Rarity(counts_max=2, now=lambda: now)
        assert [await rarity.of("a", count), await rarity.of("a", count)] == [1, 1]
        now = LIFE_S - 0.1
        assert (await rarity.of("a", count), rarity.known("a")) == (1, 1)
        now = LIFE_S
        assert rarity.known("a") is None
        assert await rarity.of("a", count) == 2
        rarity.learn("b", 5)
        rarity.learn("c", 6)
        assert [rarity.known(name) for name in "abc"] == [None, 5, 6]

    run(story)


def test_two_questions_that_have_led_cost_no_more_counting(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        commands = Commands()
        async with opened(mongodb_uri, database_name, commands) as store:
            await observation(store, "0", 1, dated_index(0, "code=*a", "subject=Patient/1"))
            query = Query((SINGLE,), AllOf((CODED, key("subject=Patient/1"))))
            for expected in ({"count": 2, "find": 1}, {"find": 1}):
                commands.count.clear()
                assert len(await store.find(query, count=9)) == 1
                assert commands.count == expected

    run(story)


def test_what_led_to_fewer_leads_again_when_both_are_known(
    mongodb_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (plan_module, found_module):
        monkeypatch.setattr(module, "RARE_MAX", 2)
        monkeypatch.setattr(module, "PROBED_MAX", 20)

    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for day in range(15):
                await observation(store, str(day), 1, dated_index(day, "code=*a", *(["code=*b"] if day < 3 else [])))
            period = asks("date", "ge2020-01-03"), asks("date", "lt2020-01-11")

            async def led_by(*where: Node) -> list[str]:
                said = await store.explain(Query((SINGLE,), AllOf(where)), (), 5)
                return [phase["index"] for phase in said["phases"]][:1]

            for _ in range(3):  # first they are counted, then they are known
                assert await led_by(CODED, *period) == ["sortable"]
                assert await led_by(key("code=*b"), *period) == ["key_seq"]
                assert await led_by(key("code=*b"), CODED) == ["key_seq"]
            # of something new it is only asked whether it leads to fewer than what is known
            assert await led_by(key("code=*b"), asks("date", "ge2020-01-04")) == ["key_seq"]
            assert await led_by(CODED, asks("date", "ge2020-01-14")) == ["sortable"]
            assert await led_by(Id(("1",)), CODED) == ["_id_"]

    run(story)


def test_a_hit_without_its_index_values_is_the_same_version_in_the_same_place(
    mongodb_uri: str, database_name: str
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for day in range(4):
                await observation(store, str(day), 1, dated_index(day, "code=*a"))
            for order in ((), (DATE,), BY_CODE):
                whole = await store.find(Query((SINGLE,)), order, count=9)
                without = await store.find(Query((SINGLE,)), order, count=9, with_index=False)
                assert [hit.version for hit in without] == [hit.version for hit in whole]
                # the moment that they are read as of is another
                assert [hit.position[1:] for hit in without] == [hit.position[1:] for hit in whole]
                assert [list(hit.index.keys) for hit in whole] == [["code=*a"]] * 4
                assert [list(hit.index.keys) for hit in without] == [[]] * 4
                place = without[1].position
                later = await store.find(Query((SINGLE,)), order, after=place, count=9, with_index=False)
                assert [hit.version for hit in later] == [hit.version for hit in whole[2:]]

    run(story)

"""Searching on the real database: whatever leads to the matches, the same are found, in the same order, on pages of any size.

The index values come from `search/kinds`, because how a period is found rests on what they keep of it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations_with_replacement, pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phb_fhir.change import Version
from phb_fhir.query import (
    EVERYTHING,
    AllOf,
    AnyOf,
    Id,
    KeyPart,
    KeyRange,
    Not,
    Order,
    Present,
    Query,
    SortKey,
    Updated,
)
from phb_fhir.search.kinds.kind import Index
from phb_fhir.search.match import Subject, match_query
from phb_fhir.store import found as found_module
from phb_fhir.store import plan as plan_module
from phb_fhir.store.store import Reader, Store
from tests.store.finding import LISTED, SINGLE, UCUM, Admin, asks, index, key, pages
from tests.store.stores import MOMENT, opened, run

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
def store(mongodb_uri: str, mongodb_admin: Admin, runner: asyncio.Runner) -> Iterator[Store]:
    name = f"test_{uuid.uuid4().hex}"
    opening = opened(mongodb_uri, name)
    yield runner.run(opening.__aenter__())
    runner.run(opening.__aexit__(None, None, None))
    mongodb_admin.drop_database(name)


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

"""What is above and below (R4 §3.1.1.4.14): its bounds, what it costs, and who else asks. What it finds is told by cases and oracle."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import pytest

from phb_fhir.interactions import hierarchies
from phb_fhir.interactions.joins import JOINS_MAX, Joins
from phb_fhir.query import AllOf, AnyOf, Id, InHierarchy, Key, Linked, LinkedFrom, Node, Not, Query
from phb_fhir.store.store import Store
from tests.builders import problem
from tests.fresh import write_down
from tests.interactions.test_history import got, link, pages
from tests.interactions.test_search import keys
from tests.search.parsing import ASKING
from tests.store.stores import Commands, opened, put, run, version


def place(id_: str, parent: str = "") -> dict[str, Any]:
    of = {"partOf": {"reference": f"Location/{parent}"}} if parent else {}
    return {"resourceType": "Location", "id": id_, "name": id_, **of}


def in_row(length: int) -> list[dict[str, Any]]:
    """Each part of the one before: l00, l01, …"""
    return [place(f"l{n:02}", f"l{n - 1:02}" if n else "") for n in range(length)]


def test_as_many_levels_as_are_gone_through_are_found_and_one_more_is_refused(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hierarchies, "LEVELS_MAX", 3)
    write_down(api, in_row(6))
    assert keys(got(api, "/Location?partof:below=l02")) == ["Location/l03", "Location/l04", "Location/l05"]
    assert keys(got(api, "/Location?partof:above=l03")) == [
        "Location/l01",
        "Location/l02",
        "Location/l03",
        "Location/l04",
    ]
    found = problem(api.get("/Location?partof:below=l01"))
    assert found[:2] == (400, "too-costly")
    assert "more than 3 levels are below Location/l01;" in found.text
    assert "more than 3 levels are above Location/l04;" in problem(api.get("/Location?partof:above=l04")).text


def test_as_many_resources_as_are_taken_are_found_and_one_more_is_refused(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hierarchies, "MEMBERS_MAX", 4)
    monkeypatch.setattr(hierarchies, "_CHUNK", 1)
    write_down(api, [place("top"), *(place(id_, "top") for id_ in "abc")])
    assert keys(got(api, "/Location?partof:below=top")) == ["Location/a", "Location/b", "Location/c"]
    write_down(api, [place("d", "c")])
    found = problem(api.get("/Location?partof:below=top,d"))
    assert found[:2] == (400, "too-costly")
    assert "more than 4 resources are below Location/top and 1 others;" in found.text
    assert keys(got(api, "/Location?partof:below=c")) == ["Location/d"]


def test_a_conditional_change_past_the_bounds_is_refused_and_changes_nothing(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_down(api, in_row(4))
    monkeypatch.setattr(hierarchies, "LEVELS_MAX", 1)
    assert problem(api.delete("/Location?partof:below=l00&name=l03"))[:2] == (400, "too-costly")
    monkeypatch.setattr(hierarchies, "LEVELS_MAX", 3)
    assert api.delete("/Location?partof:below=l00&name=l03").status_code == 204
    assert keys(got(api, "/Location")) == ["Location/l00", "Location/l01", "Location/l02"]


def test_pages_of_a_hierarchy_go_there_and_back(api: httpx.Client) -> None:
    write_down(api, in_row(5))
    wanted = [f"Location/l{n:02}" for n in range(1, 5)]
    walked = list(pages(api, "/Location?partof:below=l00&_count=1"))
    assert list(itertools.chain(*map(keys, walked))) == wanted
    back = list(pages(api, link(walked[-1], "self"), "previous"))
    assert list(itertools.chain(*(keys(page)[::-1] for page in back))) == wanted[::-1]
    in_order = got(api, "/Location?partof:below=l00&_sort=-name")
    assert (keys(in_order), in_order["total"]) == (wanted[::-1], 4)


def test_an_explanation_shows_what_the_hierarchy_came_to(api: httpx.Client) -> None:
    write_down(api, in_row(3))
    found = got(api, "/Location?partof:below=l00&_explain=true")
    said = found["entry"][-1]["resource"]["issue"][0]["diagnostics"]
    assert all(f"partof=Location/l{n:02}" in said for n in range(3))
    assert "partof:below=l00" in link(found, "self")


def test_what_was_deleted_is_part_of_nothing_and_leads_on_to_nothing(api: httpx.Client) -> None:
    write_down(api, in_row(4))
    api.delete("/Location/l02")
    assert keys(got(api, "/Location?partof:below=l00")) == ["Location/l01"]
    assert keys(got(api, "/Location?partof:above=l03")) == ["Location/l03"]


def test_each_hierarchy_counts_among_the_conditions_on_others(api: httpx.Client) -> None:
    many = "&".join(f"partof:below=l{n:02}" for n in range(JOINS_MAX + 1))
    assert problem(api.get(f"/Location?{many}"))[:2] == (400, "too-costly")
    assert api.get(f"/Location?{many.partition('&')[2]}").status_code == 200


# ---- on the store itself: what it costs, and where it may stand ------------------------------------------------------

BELOW = InHierarchy("part-of", "below", "Task", "part-of", ("Task/1",))
KEPT = Key(tuple(f"part-of=Task/{n}" for n in (1, 2, 3)))


async def row_of_tasks(store: Store) -> None:
    """Task/2 is part of Task/1, and Task/3 of that, which Task/4 is about."""
    for id_, entries in {"1": (), "2": ("part-of=Task/1",), "3": ("part-of=Task/2",), "4": ("focus=Task/3",)}.items():
        await put(store, version(id_), entries)


def test_a_hierarchy_costs_a_question_for_each_level_and_the_last(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        commands = Commands()
        async with opened(mongodb_uri, database_name, commands) as store:
            await row_of_tasks(store)
            joins = Joins(store, ASKING)
            for way, start, asked in (("below", "1", 3), ("above", "3", 3), ("below", "3", 1)):
                node = InHierarchy("part-of", way, "Task", "part-of", (f"Task/{start}",))  # type: ignore[arg-type]
                commands.count.clear()
                assert (await joins.resolve(Query(("Task",), node))).left == ()
                assert commands.count == {"find": asked}, (way, start)

    run(story)


def test_searches_without_a_hierarchy_or_a_canonical_are_asked_as_before(mongodb_uri: str, database_name: str) -> None:
    chained = Linked("focus", ("Task",), Key(("part-of=Task/2",)))

    async def story() -> None:
        commands = Commands()
        async with opened(mongodb_uri, database_name, commands) as store:
            await row_of_tasks(store)
            joins = Joins(store, ASKING)
            for node, asked in ((Key(("part-of=Task/1",)), {}), (chained, {"find": 1, "count": 1})):
                commands.count.clear()
                await joins.resolve(Query(("Task",), node))
                assert commands.count == asked

    run(story)


@pytest.mark.parametrize(
    ("node", "resolved"),
    [
        (BELOW, KEPT),
        (Not(BELOW), Not(KEPT)),
        (AnyOf((BELOW, Key(("status=*x",)))), AnyOf((KEPT, Key(("status=*x",))))),
        (AllOf((Key(("status=*x",)), AllOf((BELOW,)))), AllOf((Key(("status=*x",)), KEPT))),
        (Linked("focus", ("Task",), BELOW), Key(("focus=Task/2", "focus=Task/3"))),
    ],
)
def test_a_hierarchy_becomes_keys_wherever_it_stands(
    node: Node, resolved: Node, mongodb_uri: str, database_name: str
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            await row_of_tasks(store)
            query, left, _ = await Joins(store, ASKING).resolve(Query(("Task",), node))
            assert (query.where, left) == (resolved, ())

    run(story)


@pytest.mark.parametrize(
    ("node", "kept"),
    [
        (BELOW, ["2", "3"]),
        (Not(BELOW), ["1", "4"]),
        (Linked("focus", ("Task",), BELOW), ["4"]),
        (LinkedFrom("Task", "part-of", BELOW), ["1", "2"]),
    ],
)
def test_a_condition_that_was_not_resolved_is_looked_at_for_each_candidate(
    node: Node, kept: list[str], mongodb_uri: str, database_name: str
) -> None:
    """As what a scope grants is: `patient/Task.rs?part-of:below=1`."""

    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            await row_of_tasks(store)
            hits = await store.find(Query(("Task",)), count=9)
            found = await Joins(store, ASKING).look([node], hits)
            assert [hit.version.id for hit in found] == kept

    run(story)


@pytest.mark.parametrize("among", [5, 40])
def test_what_is_left_over_of_others_costs_the_same_for_few_candidates_and_for_many(
    among: int, mongodb_uri: str, database_name: str
) -> None:
    """As what a commissioner sees is: what is pointed to by what is pointed to."""
    inner = LinkedFrom("Task", "based-on", Key(("status=*x",)))
    node = LinkedFrom("Task", "part-of", inner)

    async def story() -> None:
        commands = Commands()
        async with opened(mongodb_uri, database_name, commands) as store:
            for n in range(among):
                await put(store, version(f"a{n:02}"))
                await put(store, version(f"b{n:02}"), (f"part-of=Task/a{n:02}",))
                await put(store, version(f"c{n:02}"), (f"based-on=Task/b{n:02}", "status=*x" if n % 2 else "status=*y"))
            hits = await store.find(Query(("Task",)), count=1_000)
            for one, asked in ((node, 6), (AnyOf((node, Id(("a00",)))), 5), (AnyOf((NOT_LEFT, node)), 0)):
                commands.count.clear()
                found = await Joins(store, ASKING).look([one], hits)
                assert sum(commands.count.values()) == asked
                kept = {hit.version.id for hit in found}
                assert kept >= {f"a{n:02}" for n in range(1, among, 2)}
                assert "a02" not in kept or asked == 0

    run(story)


NOT_LEFT = Not(Id(("x",)))  # which all are

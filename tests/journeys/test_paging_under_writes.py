"""Somebody pages through a type while others create, change and delete in it: whatever was there, and matched, from the first
page to the last is seen exactly once (R4 §3.1.1.8 leaves it to the server; this one promises it). A page link works on every
server process, after a restart, and until it is too old, when it says so."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self
from uuid import uuid4

import httpx
import pytest
from pymongo import MongoClient

from tests.builders import bundle, entry, person, problem, task
from tests.processes import ServerProcess
from tests.running import RunningServer

STEADY, BUSY, MOVING, DOOMED = 50, 20, 20, 30  # how many are left alone, changed beside the point, moved about, deleted
CREATED_MAX = 40  # by each writer, so that the pages come to an end
WRITERS = 3
WRITES_BETWEEN = 4  # pages
PAGE = 11
PAGES_MAX = 60
WAIT_S = 30.0
WORK = "https://phb.example/work"


def work(id_: str, day: int, **more: Any) -> dict[str, Any]:
    """A task of a person, on a day of 2026."""
    return task(
        id=id_,
        code={"coding": [{"system": WORK, "code": "w"}]},
        authoredOn=f"2026-{1 + day % 12:02}-{1 + day % 28:02}",
        **{"for": {"reference": f"Patient/{'jill' if day % 2 else 'tom'}"}, **more},
    )


def record() -> list[dict[str, Any]]:
    names = [("steady", STEADY), ("busy", BUSY), ("moving", MOVING), ("doomed", DOOMED)]
    numbered = [(name, n) for name, most in names for n in range(most)]
    spread = sorted(numbered, key=lambda one: (one[1] * 37 % 101, one[0]))  # so that no kind stands together
    tasks = [work(f"{name}-{n}", day) for day, (name, n) in enumerate(spread)]
    return [person("9000000009", id="jill", gender="female"), person("9000000017", id="tom", gender="male"), *tasks]


def put_all(client: httpx.Client) -> None:
    entries = [entry("PUT", f"{one['resourceType']}/{one['id']}", one) for one in record()]
    assert client.post("/", json=bundle("transaction", *entries)).status_code == 200


class Crowd:
    """Writers, each with tasks of its own, who write until they are told to stop. What goes wrong for one is raised at the end."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._stopped = threading.Event()
        self._written = threading.Condition()
        self._count = 0
        self._faults: list[BaseException] = []
        self._threads = [threading.Thread(target=self._write, args=(n,), daemon=True) for n in range(WRITERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(WAIT_S)
        assert not self._faults, self._faults[0]

    def writes(self, number: int = WRITES_BETWEEN) -> None:
        """Waits until so many more writes are acknowledged."""
        with self._written:
            wanted = self._count + number
            assert self._written.wait_for(lambda: self._count >= wanted or self._faults, WAIT_S)

    def _write(self, writer: int) -> None:
        try:
            with httpx.Client(base_url=self._base, timeout=WAIT_S, verify=False) as client:
                for change in self._changes(writer):
                    if self._stopped.is_set():
                        return
                    answer = client.request(*change[:2], json=change[2])
                    assert answer.status_code in (200, 201, 204), answer.text
                    with self._written:
                        self._count += 1
                        self._written.notify_all()
        except BaseException as fault:  # noqa: BLE001 - told where the test ends
            self._faults.append(fault)

    def _changes(self, writer: int) -> Iterator[tuple[str, str, Any]]:
        """In turn: something changes beside the point, something moves, something goes, something comes."""
        doomed = iter(range(writer, DOOMED, WRITERS))
        for turn in itertools.count():
            busy, moving = (writer + turn * WRITERS) % BUSY, (writer + turn * WRITERS) % MOVING
            if busy % WRITERS == writer:
                day = next(n for n, one in enumerate(record()[2:]) if one["id"] == f"busy-{busy}")
                yield "PUT", f"/Task/busy-{busy}", work(f"busy-{busy}", day, description=f"turn {turn}")
            if moving % WRITERS == writer:
                status = ("requested", "accepted", "completed")[turn % 3]
                yield "PUT", f"/Task/moving-{moving}", work(f"moving-{moving}", turn * 7, status=status)
            if (gone := next(doomed, None)) is not None:
                yield "DELETE", f"/Task/doomed-{gone}", None
            if turn < CREATED_MAX:
                yield "POST", "/Task", {k: v for k, v in work("", turn * 5).items() if k != "id"}


Follow = Callable[[str], dict[str, Any]]


class Walk(NamedTuple):
    seen: Counter[str]
    last: dict[str, Any]


def walk(start: dict[str, Any], follow: Follow, crowd: Crowd | None, way: str = "next") -> Walk:
    """From page to page, with writes before each; how often each resource was seen."""
    seen: Counter[str] = Counter()
    page = start
    for _ in range(PAGES_MAX):
        ids = [one["resource"]["id"] for one in page.get("entry", [])]
        assert len(ids) <= PAGE
        seen.update(ids)
        link = next((link["url"] for link in page["link"] if link["relation"] == way), None)
        if link is None:
            return Walk(seen, page)
        if crowd:
            crowd.writes()
        page = follow(link)
    raise AssertionError(f"no end after {PAGES_MAX} pages")


def follow_with(client: httpx.Client) -> Follow:
    def follow(link: str) -> dict[str, Any]:
        answer = client.get(link)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    return follow


def constant(*names: str) -> set[str]:
    sizes = {"steady": STEADY, "busy": BUSY}
    return {f"{name}-{n}" for name in names for n in range(sizes[name])}


class Way(NamedTuple):
    query: str
    names: tuple[str, ...] = ("steady", "busy")  # whose place in this order does not change
    keeps: Callable[[dict[str, Any]], bool] = lambda _: True


WAYS = {
    "no order": Way(""),
    "a filter": Way("&code=w&status=requested"),
    "a period": Way("&authored-on=ge2026-03", keeps=lambda one: one["authoredOn"] >= "2026-03"),
    "a chain": Way("&patient.gender=female", keeps=lambda one: one["for"]["reference"] == "Patient/jill"),
    "what is not": Way("&status:not=completed"),
    "a date": Way("&_sort=authored-on"),
    "a date, downwards": Way("&_sort=-authored-on"),
    "a date, filtered": Way("&_sort=authored-on&status=requested"),
    "two rules": Way("&_sort=status,-authored-on"),
    "the last update": Way("&_sort=-_lastUpdated", ("steady",)),
    "ids": Way("&_sort=_id"),
}


@pytest.mark.parametrize("name", WAYS)
def test_what_was_there_throughout_is_seen_once_on_the_way_on_and_once_on_the_way_back(
    api: httpx.Client, name: str
) -> None:
    put_all(api)
    way, follow = WAYS[name], follow_with(api)
    wanted = {one["id"] for one in record()[2:] if way.keeps(one)} & constant(*way.names)
    assert len(wanted) > 2 * PAGE
    with Crowd(str(api.base_url)) as crowd:
        onward = walk(follow(f"/Task?_count={PAGE}{way.query}"), follow, crowd)
        back = walk(onward.last, follow, crowd, "previous")
    assert {one: onward.seen[one] for one in wanted} == dict.fromkeys(wanted, 1)
    assert {one: back.seen[one] for one in wanted} == dict.fromkeys(wanted, 1)


def test_without_an_order_nothing_at_all_is_seen_twice(api: httpx.Client) -> None:
    put_all(api)
    follow = follow_with(api)
    with Crowd(str(api.base_url)) as crowd:
        seen = walk(follow(f"/Task?_count={PAGE}"), follow, crowd).seen
    assert [one for one, times in seen.items() if times > 1] == []
    assert len(seen) > STEADY + BUSY


def test_pages_go_on_across_processes_and_over_a_restart(
    mongodb_uri: str, mongodb_admin: MongoClient[dict[str, Any]], tmp_path: Path
) -> None:
    name = f"test_{uuid4().hex}"
    shared: dict[str, Any] = {"mongodb_uri": mongodb_uri, "mongodb_database": name, "guide": False}
    with ExitStack() as stack:
        stack.callback(mongodb_admin.drop_database, name)
        one, other = (stack.enter_context(ServerProcess(tmp_path, **shared)) for _ in range(2))
        client = stack.enter_context(httpx.Client(base_url=one.base, timeout=WAIT_S, verify=False))
        put_all(client)
        answered = itertools.count(1)

        def follow(link: str) -> dict[str, Any]:
            """On the other process each time; the one that answered first is restarted on the way."""
            number = next(answered)
            if number == 4:
                assert one.stop() == 0
                one.start()
            here = (one, other)[number % 2]
            return follow_with(client)(here.base + link.removeprefix(one.base).removeprefix(other.base))

        onward = walk(follow(f"/Task?_count={PAGE}&_sort=-authored-on"), follow, None)
        back = walk(onward.last, follow, None, "previous")
    everything = {one["id"]: 1 for one in record()[2:]}
    assert dict(onward.seen) == everything
    assert dict(back.seen) == everything


def test_a_page_link_that_is_too_old_is_gone_and_one_that_is_not_goes_on(
    api: httpx.Client, server: RunningServer
) -> None:
    put_all(api)
    first = api.get(f"/Task?_count={PAGE}").json()
    link = next(link["url"] for link in first["link"] if link["relation"] == "next")
    server.foretold.set(seconds=server.settings.page_life_s - 1)
    assert len(api.get(link).json()["entry"]) == PAGE
    server.foretold.set(seconds=server.settings.page_life_s + 60)
    found = problem(api.get(link))
    assert (found.status, found.code) == (410, "invalid")
    assert "expired" in found.text

"""The server and an oracle of our own are asked the same things, and must agree on what is found, in what order, and how much.

The oracle (`tests/search/oracle.py`) reads R4 for itself and knows nothing of MongoDB; hypothesis makes the resources and the
questions (`tests/search/generators.py`, `questions.py`). Every example is a population written in one transaction and a dozen questions
about it, over HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.builders import bundle, entry
from tests.running import RunningServer
from tests.search.generators import populations
from tests.search.oracle import Oracle, Resource, key
from tests.search.questions import (
    TRAVELLED,
    Question,
    defined_questions,
    including_questions,
    joined_questions,
    ordered_questions,
    own_questions,
    walking_questions,
)
from tests.search.tables import TABLES

PAGES_MAX = 50
EVERYTHING = {"Organization": 4, "PlanDefinition": 3, "Patient": 3, "Account": 2, "ChargeItem": 3, "Task": 2, "Observation": 3, "Condition": 2, "CarePlan": 2, "List": 2}  # fmt: skip


def of(examples: int) -> settings:
    """So many examples: what this module asks altogether stays within half a minute.

    None is made smaller: that takes minutes here, and a failure names its question and what it is about.
    """
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    return settings(max_examples=examples, phases=phases, suppress_health_check=list(HealthCheck))


class Asked:
    """The server, emptied and filled for each example, beside an oracle that was told the same."""

    def __init__(self, server: RunningServer, client: httpx.Client, database: Any) -> None:
        self._server = server
        self._client = client
        self._database = database
        self.oracle = Oracle(server.base, [])

    def told(self, resources: Sequence[Resource]) -> None:
        for collection in ("resources", "history", "locks"):
            self._database[collection].delete_many({})
        self._server.foretold.reset()
        here: list[Resource] = json.loads(json.dumps(resources).replace("{base}", self._server.base))
        entries = [entry("PUT", key(one), one) for one in here]
        answer = self._client.post("/", json=bundle("transaction", *entries))
        assert answer.status_code == 200, answer.text
        for one, done in zip(here, answer.json()["entry"], strict=True):
            one["meta"] = {**one.get("meta", {}), "lastUpdated": done["response"]["lastModified"]}
        self.oracle = Oracle(self._server.base, here)

    def get(self, url: str, pairs: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
        answer = self._client.get(url, params=list(pairs)) if pairs else self._client.get(url)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def pairs(self, question: Question) -> list[tuple[str, str]]:
        return [(name, value.replace("{base}", self._server.base)) for name, value in question.pairs]

    def wanted(self, question: Question) -> list[str]:
        return self.oracle.find(question.types, self.pairs(question), question.compartment)

    def is_ordered(self, question: Question, found: Sequence[str]) -> bool:
        """Whether these keys stand as the order has them, what it leaves equal in whatever order."""
        rest = list(found)
        for group in self.oracle.order(question.types, self.pairs(question)):
            if sorted(rest[: len(group)]) != sorted(group):
                return False
            del rest[: len(group)]
        return not rest

    def pages(self, question: Question, way: str, start: dict[str, Any]) -> list[dict[str, Any]]:
        """The pages from this one on, as the links lead."""
        pages = [start]
        while link := _link(pages[-1], way):
            pages.append(self.get(link))
            assert len(pages) < PAGES_MAX, question
        return pages


def _link(found: dict[str, Any], relation: str) -> str:
    return next((link["url"] for link in found["link"] if link["relation"] == relation), "")


def _keys(found: dict[str, Any], mode: str = "match") -> list[str]:
    return [key(one["resource"]) for one in found.get("entry", []) if one["search"]["mode"] == mode]


@pytest.fixture(scope="module")
def asked(server: RunningServer, mongodb_admin: Any) -> Iterator[Asked]:
    with httpx.Client(base_url=server.base, timeout=30, verify=False) as client:
        yield Asked(server, client, mongodb_admin[server.settings.mongodb_database])


def _check(asked: Asked, question: Question) -> None:
    found = asked.get(question.path, [*asked.pairs(question), ("_total", "accurate"), ("_count", "200")])
    wanted = asked.wanted(question)
    differing = [asked.oracle.by_key[one] for one in set(_keys(found)) ^ set(wanted)]
    assert not differing, (
        question,
        "found here" if len(_keys(found)) > len(wanted) else "found by the oracle",
        differing,
    )
    assert sorted(_keys(found)) == sorted(wanted), question
    assert found["total"] == len(wanted), question


@pytest.mark.parametrize("kind", TABLES)
def test_every_value_of_a_kind_answers_every_question_as_the_oracle_reads_r4(asked: Asked, kind: str) -> None:
    table = TABLES[kind]()
    asked.told(table.resources)
    for question in table.questions():
        _check(asked, question)


@pytest.mark.parametrize("type_", ["Patient", "Account", "CarePlan", "ChargeItem", "Task", "Observation", "Condition"])
def test_a_search_of_one_type_finds_what_the_oracle_finds(asked: Asked, type_: str) -> None:
    @of(6)
    @given(populations({"Patient": 1, type_: 6}), st.lists(own_questions(type_), min_size=8, max_size=16))
    def agree(resources: list[Resource], questions: list[Question]) -> None:
        asked.told(resources)
        for question in questions:
            _check(asked, question)

    agree()


def test_a_search_across_resources_finds_what_the_oracle_finds(asked: Asked) -> None:
    @of(13)
    @given(populations(EVERYTHING), st.lists(joined_questions(), min_size=8, max_size=16))
    def agree(resources: list[Resource], questions: list[Question]) -> None:
        asked.told(resources)
        for question in questions:
            _check(asked, question)

    agree()


def test_a_search_up_and_down_a_hierarchy_finds_what_the_oracle_finds(asked: Asked) -> None:
    sizes = {"Organization": 5, "Patient": 3, "Account": 3, "CarePlan": 4, "Task": 4}

    @of(10)
    @given(populations(sizes), st.lists(walking_questions(), min_size=15, max_size=25))
    def agree(resources: list[Resource], questions: list[Question]) -> None:
        asked.told(resources)
        for question in questions:
            _check(asked, question)

    agree()


def test_a_search_by_what_canonicals_mean_finds_what_the_oracle_finds(asked: Asked) -> None:
    @of(12)
    @given(populations({"PlanDefinition": 5, "CarePlan": 5}))
    def agree(resources: list[Resource]) -> None:
        asked.told(resources)
        for question in defined_questions():
            _check(asked, question)

    agree()


def test_a_search_brings_along_what_the_oracle_brings(asked: Asked) -> None:
    @of(10)
    @given(populations(EVERYTHING), st.lists(including_questions(), min_size=6, max_size=12))
    def agree(resources: list[Resource], questions: list[Question]) -> None:
        asked.told(resources)
        for question in questions:
            _check(asked, question)
            found = asked.get(question.path, asked.pairs(question))
            wanted = asked.oracle.included(asked.wanted(question), asked.pairs(question))
            assert sorted(_keys(found, "include")) == sorted(wanted), question

    agree()


@pytest.mark.parametrize("type_", TRAVELLED)
def test_a_search_in_order_gives_the_oracles_order_page_by_page_back_and_on_again(asked: Asked, type_: str) -> None:
    @of(5)
    @given(populations({"Patient": 1, type_: 7}), st.lists(ordered_questions(type_), min_size=6, max_size=10))
    def agree(resources: list[Resource], questions: list[Question]) -> None:
        asked.told(resources)
        for question in questions:
            first = asked.get(question.path, asked.pairs(question))
            pages = asked.pages(question, "next", first)
            found = [one for page in pages for one in _keys(page)]
            assert asked.is_ordered(question, found), (question, found)
            size = int(dict(question.pairs)["_count"])
            assert all(len(_keys(page)) == size for page in pages[:-1]), question
            back = asked.pages(question, "previous", pages[-1])
            assert [_keys(page) for page in back] == [_keys(page) for page in reversed(pages)], question
            again = asked.pages(question, "next", back[-1])
            assert [_keys(page) for page in again] == [_keys(page) for page in pages], question

    agree()


@pytest.mark.parametrize("type_", TRAVELLED)
def test_a_search_without_an_order_gives_everything_once_page_by_page(asked: Asked, type_: str) -> None:
    @of(3)
    @given(
        populations({"Patient": 1, type_: 7}), st.lists(own_questions(type_), min_size=4, max_size=8), st.integers(1, 3)
    )
    def agree(resources: list[Resource], questions: list[Question], size: int) -> None:
        asked.told(resources)
        for question in questions:
            counted = question._replace(pairs=(*question.pairs, ("_count", str(size))))
            pages = asked.pages(counted, "next", asked.get(counted.path, asked.pairs(counted)))
            assert sorted(one for page in pages for one in _keys(page)) == sorted(asked.wanted(question)), question

    agree()

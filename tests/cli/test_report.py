"""`phb-fhir report`, as an operator runs it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.builders import bundle_of
from tests.cli.test_index import run
from tests.journeys.jills_budget import budget, review, whole
from tests.running import RunningServer

FIRST = {"review": "Task/first", "purpose": "first", "due": "2026-11-20", "days": 2}
LATER = {"review": "Task/called", "purpose": "on-request", "due": "2026-11-21", "days": 1}
JILLS = {
    "budget": "Account/jill-budget",
    "person": "Patient/jill",
    "owner": "PractitionerRole/priya-nair-coordinator",
}


def due(id_: str, day: str, purpose: str = "on-request", **more: Any) -> dict[str, Any]:
    return review(id_, purpose, status="ready", restriction={"period": {"end": day}}, **more)


@pytest.fixture
def reviewed(mongodb_uri: str, database_name: str) -> list[str]:
    """A database with reviews, some of them overdue, and the words that name it."""
    with RunningServer(mongodb_uri, database_name) as server, httpx.Client(base_url=server.base, verify=False) as api:
        over = {**due("off", "2026-11-01"), "status": "cancelled"}
        tasks = [due("called", "2026-11-21"), due("first", "2026-11-20", "first"), due("today", "2026-11-22"), over]
        answer = api.post("", json=bundle_of([*whole(), budget("active"), *tasks]))
        assert answer.status_code == 200, answer.text
    return ["--mongodb-uri", mongodb_uri]


def test_overdue_reviews_are_listed_the_longest_overdue_first(reviewed: list[str], database_name: str) -> None:
    named = {"PHB_MONGODB_DATABASE": database_name}
    done = run("report", "overdue-reviews", "--on", "2026-11-22", "--json", *reviewed, **named)
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout) == {
        "on": "2026-11-22",
        "overdue": [{**JILLS, **FIRST}, {**JILLS, **LATER}],
        "more": False,
    }
    text = run("report", "overdue-reviews", "--on", "2026-11-22", *reviewed, **named)
    assert text.returncode == 1
    assert [line.split()[:3] for line in text.stdout.splitlines()[1:3]] == [
        ["2026-11-20", "2", "Task/first"],
        ["2026-11-21", "1", "Task/called"],
    ]
    assert text.stdout.splitlines()[-1] == "2 reviews are overdue on 2026-11-22."
    none = run("report", "overdue-reviews", "--on", "2026-11-20", *reviewed, **named)
    assert (none.returncode, none.stdout) == (0, "No review is overdue on 2026-11-20.\n")


def test_a_day_that_is_none_is_refused_with_a_sentence(mongodb_uri: str) -> None:
    done = run("report", "overdue-reviews", "--on", "soon", "--mongodb-uri", mongodb_uri)
    assert (done.returncode, done.stderr) == (2, 'phb-fhir: --on "soon" is not a date such as 2026-11-22.\n')

"""`phb-fhir report`, as an operator runs it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.builders import bundle_of
from tests.commands import run
from tests.journeys.jills_budget import budget, review, whole
from tests.journeys.test_surplus import LONG, began
from tests.paying import advance, made
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


# ---- surpluses -----------------------------------------------------------------------------------


@pytest.fixture
def built_up(mongodb_uri: str, database_name: str) -> list[str]:
    """A database with a budget that is hardly used, and the words that name it."""
    with RunningServer(mongodb_uri, database_name) as server, httpx.Client(base_url=server.base, verify=False) as api:
        began(api, LONG)
    return ["--mongodb-uri", mongodb_uri]


def test_budgets_whose_money_has_built_up_are_listed(built_up: list[str], database_name: str, mongodb_uri: str) -> None:
    named = {"PHB_MONGODB_DATABASE": database_name}
    done = run("report", "surpluses", "--as-of", "2026-11-22", "--json", *built_up, **named)
    assert (done.returncode, done.stderr) == (1, "")
    row = {
        "budget": "Account/jill-budget",
        "person": "Patient/jill",
        "owner": "Organization/harbourside-north",
        "weeks": 19.9,
        "unspent": 10_027_86,
        "weekly": 505_00,
        "due": 10_027_86,
        "used": 0,
        "advanced": 0,
        "review": False,
    }
    assert json.loads(done.stdout) == {"on": "2026-11-22", "surpluses": [row], "more": False}
    with RunningServer(mongodb_uri, database_name) as server, httpx.Client(base_url=server.base, verify=False) as api:
        made(api.post("/PaymentReconciliation", json=advance("ADV-1", "500.00")))
    text = run(
        "report", "surpluses", "--as-of", "2026-11-22", *built_up, **named, COLUMNS="80"
    )  # and nothing is cut off
    assert text.returncode == 1
    cells = ["19.9", "£10,027.86", "£505.00", "£500.00", "Account/jill-budget", "Patient/jill"]
    assert text.stdout.splitlines()[1].split() == [*cells, "Organization/harbourside-north", "yes"]
    assert text.stdout.splitlines()[-1] == "1 budget has a surplus on 2026-11-22."


def test_a_past_day_goes_by_the_ledgers_as_they_stood_then(built_up: list[str], database_name: str) -> None:
    named = {"PHB_MONGODB_DATABASE": database_name}
    none = run("report", "surpluses", "--as-of", "2026-11-21", *built_up, **named)
    assert (none.returncode, none.stdout) == (0, "No budget has a surplus on 2026-11-21.\n")
    wrong = run("report", "surpluses", "--as-of", "soon", *built_up, **named)
    assert (wrong.returncode, wrong.stderr) == (2, 'phb-fhir: --as-of "soon" is not a date such as 2026-11-22.\n')

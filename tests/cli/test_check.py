"""`phb-fhir check`: what an operator is told of a record that is whole, and of one that is not."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from phb_fhir.cli.main import app
from tests.running import RunningServer
from tests.stories import tell

WIDE = {"COLUMNS": "200", "NO_COLOR": "1"}


@pytest.fixture
def record(mongodb_uri, database_name, mongodb_admin):
    """The database of a server that has stopped, with Jill's story and the guide in it."""
    with (
        RunningServer(mongodb_uri, database_name, guide=True) as server,
        httpx.Client(base_url=server.base, timeout=60, verify=False) as api,
    ):
        tell(api)
    return mongodb_admin[database_name]


def check(uri: str, name: str, *words: str) -> Result:
    return CliRunner().invoke(app, ["check", "--mongodb-uri", uri, *words], env={"PHB_MONGODB_DATABASE": name, **WIDE})


def verdict(uri: str, name: str) -> dict[str, Any]:
    result = check(uri, name, "--json")
    said: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == (0 if said["whole"] else 1)
    return said


def test_a_whole_record_ends_with_0_and_a_sentence(record, mongodb_uri):
    result = check(mongodb_uri, record.name)
    assert result.exit_code == 0, result.output
    first, last = result.stdout.splitlines()
    assert first.startswith("Looked at 1 accounts with ")
    assert last == "Everything agrees."


def test_what_does_not_agree_is_named_in_a_table_and_ends_with_1(record, mongodb_uri):
    record.balances.delete_one({"_id": "Account/jill-budget"})
    result = check(mongodb_uri, record.name)
    assert result.exit_code == 1
    row = next(line for line in result.stdout.splitlines() if "Account/jill-budget" in line)
    assert "balance" in row
    assert "no balance" in row
    assert result.stdout.splitlines()[-1] == "One thing does not agree."


def test_a_program_is_told_the_same_as_json(record, mongodb_uri):
    whole = verdict(mongodb_uri, record.name)
    assert (whole["whole"], whole["count"], whole["found"]) == (True, 0, [])
    assert whole["looked"]["accounts"] == 1
    assert whole["looked"]["resources"] > 300  # the guide's, too
    record.ledger.delete_one({"account": "Account/jill-budget", "kind": "contingency"})
    broken = verdict(mongodb_uri, record.name)
    assert [one["kind"] for one in broken["found"]] == ["numbering", "balance", "allocation"]
    assert {one["key"] for one in broken["found"]} == {"Account/jill-budget"}


def test_an_empty_database_is_whole(mongodb_uri, database_name):
    assert verdict(mongodb_uri, database_name)["whole"] is True


def test_nothing_is_written(record, mongodb_uri):
    def stands():
        return {
            name: list(record[name].find().sort("_id", 1)) for name in ("resources", "history", "ledger", "balances")
        }

    before = stands()
    check(mongodb_uri, record.name)
    assert stands() == before


def test_a_database_that_is_not_there_is_one_sentence_and_2():
    result = CliRunner().invoke(app, ["check", "--mongodb-uri", "mongodb://127.0.0.1:1/?replicaSet=rs0"], env=WIDE)
    assert result.exit_code != 0
    assert type(result.exception).__name__ == "CannotStart"

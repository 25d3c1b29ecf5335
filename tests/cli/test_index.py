"""`phb-fhir index` and `phb-fhir explain`, as an operator runs them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from phb_fhir.cli.explain import lines
from tests.builders import person, purchase
from tests.commands import run
from tests.definitions_at_hand import search_parameter
from tests.packages import MANIFEST, packed
from tests.processes import ServerProcess, ask, until
from tests.running import secure_server

MARRIED = {"coding": [{"system": "urn:marital", "code": "M"}]}


@pytest.fixture
def database(mongodb_uri: str, database_name: str) -> tuple[list[str], dict[str, str]]:
    """The words that name an empty database, and the environment that does."""
    return ["--mongodb-uri", mongodb_uri], {"PHB_MONGODB_DATABASE": database_name}


# ---- index -----------------------------------------------------------------------------------------------------------


def test_index_says_what_is_behind_who_is_at_it_and_when_all_is_done(
    database, mongodb_uri, database_name, mongodb_admin: MongoClient[dict[str, Any]], tmp_path
):
    where, settings = database

    def said() -> tuple[int, list[str]]:
        done = run("index", *where, **settings)
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines()

    all_done = "are indexed by the search parameters of this moment."
    assert said() == (0, [f"All resources (0) {all_done}"])
    shared = {"mongodb_uri": mongodb_uri, "mongodb_database": database_name, "guide": False}
    with ServerProcess(tmp_path, **shared) as server:
        for id_ in ("one", "other"):
            assert ask(server.base, "PUT", f"/Patient/{id_}", person(id=id_, maritalStatus=MARRIED)).status == 201
        assert said() == (0, [f"All resources (2) {all_done}"])
        assert server.stop() == 0
        package = tmp_path / "some.tgz"
        package.write_bytes(packed({"package.json": MANIFEST, "p.json": search_parameter()}))
        assert run("packages", "install", str(package), *where, **settings).returncode == 0
        behind = "Patient: 0 of 2 are indexed"
        assert said() == (1, [behind, "Nobody is at it. A server that runs begins within a minute."])
        job = {"owner": "desk, process 1", "state": "running", "since": datetime(2026, 11, 22, 9, tzinfo=UTC)}
        held = {**job, "until": datetime.now(UTC) + timedelta(days=1), "types": {}}
        mongodb_admin[database_name].meta.update_one({"_id": "reindex"}, {"$set": held})
        assert said() == (1, [behind, "Under way since 2026-11-22T09:00:00.000Z, by desk, process 1."])
        mongodb_admin[database_name].meta.delete_one({"_id": "reindex"})
        server.start()
        assert until(lambda: ask(server.base, "GET", "/Patient?marital=M").status == 200)
        assert said() == (0, [f"All resources (3) {all_done}"])


def test_index_says_what_cannot_be_read(database, mongodb_admin: MongoClient[dict[str, Any]], database_name):
    where, settings = database
    assert run("index", *where, **settings).returncode == 0
    row = {"done": 3, "total": 3, "failed": 1}
    told = {"_id": "reindex", "until": datetime(1970, 1, 1, tzinfo=UTC), "state": "done", "types": {"Patient": row}}
    mongodb_admin[database_name].meta.insert_one(told)
    done = run("index", *where, **settings)
    assert done.stdout.splitlines()[0] == "Patient: 1 cannot be read and have no index values"


def test_index_says_in_one_sentence_that_the_database_cannot_be_reached():
    done = run("index", "--mongodb-uri", "mongodb://127.0.0.1:9/?x=1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("phb-fhir: ")
    assert len(done.stderr.splitlines()) == 1


# ---- explain ---------------------------------------------------------------------------------------------------------


def test_explain_says_what_was_applied_which_index_was_chosen_and_what_was_looked_at(api, server):
    api.put("/Patient/jill", json=person(id="jill"))
    api.put("/ChargeItem/one", json=purchase(id="one"))
    done = run("explain", "ChargeItem?subject=Patient/jill&code:text=massage", "--server", server.base)
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    assert said[0] == "1 of 1 found on this page"
    assert said[1].startswith(f"applied: {server.base}/ChargeItem?subject=Patient/jill&code:text=massage")
    rest = "\n".join(said[2:])
    assert "subject=Patient/jill" in rest
    assert "key_seq" in rest
    assert "xamined" in rest


def test_where_somebody_signs_in_it_explains_to_who_shows_a_token_that_sees_all(mongodb_uri):
    with secure_server(mongodb_uri) as (server, _):
        asking = ("explain", "ChargeItem?subject=Patient/jill", "--server", server.base)
        tokens = {who: run("token", "--as", who, "--data", str(server.settings.data)) for who in ("system", "jill")}
        told = run(*asking, PHB_TOKEN=tokens["system"].stdout.strip())
        assert (told.returncode, told.stderr) == (0, "")
        assert "keys_examined" in told.stdout
        for done in (run(*asking), run(*asking, PHB_TOKEN=tokens["jill"].stdout.strip())):
            assert (done.returncode, done.stdout) == (2, "")


def test_explain_says_why_a_search_is_refused(server):
    done = run("explain", "Patient?nome=marsh", "--server", server.base)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("phb-fhir: ")
    assert "nome" in done.stderr
    assert "name" in done.stderr


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/fhir", "no address"])
def test_explain_says_in_one_sentence_that_nobody_answers(address):
    done = run("explain", "Patient?name=marsh", "--server", address)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"phb-fhir: {address}/Patient?name=marsh gives no answer of a FHIR server: ")
    assert len(done.stderr.splitlines()) == 1


def test_what_is_not_an_explanation_is_not_shown_as_one():
    def outcome(diagnostics: str) -> dict[str, Any]:
        issue = {"severity": "information", "code": "informational", "diagnostics": diagnostics}
        resource = {"resourceType": "OperationOutcome", "issue": [issue]}
        return {"resource": resource, "search": {"mode": "outcome"}}

    explained = outcome(
        '{"index": "key_seq", "phases": [{"name": "first", "keysExamined": 1}, 2], "filter": {"a": "b"}}'
    )
    match = {"resource": {"resourceType": "Patient"}, "search": {"mode": "match"}}
    bundle = {"total": 7, "link": [{"relation": "self", "url": "u"}], "entry": [match, outcome("Left out."), explained]}
    assert list(lines(bundle)) == [
        "1 of 7 found on this page",
        "applied: u",
        "index: key_seq",
        "phases:",
        "  - name: first",
        "    keysExamined: 1",
        "  - 2",
        'filter: {"a":"b"}',
    ]

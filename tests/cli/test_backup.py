"""`phb-fhir backup` and `phb-fhir restore`: what was acknowledged before is there again, to the byte, and nothing half is served."""

from __future__ import annotations

import gzip
import json
import os
import pwd
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import bson
import httpx
import pytest
from pymongo import MongoClient
from pymongo.database import Database
from typer.testing import CliRunner, Result

from phb_fhir.cli.main import app
from phb_fhir.cli.token import Asked
from phb_fhir.security.audit import Record
from phb_fhir.store.backup import COLLECTIONS
from phb_fhir.store.documents import AUDIT, META, RESTORING, UNFINISHED
from phb_fhir.store.embedded import CannotStart
from tests.people import People
from tests.processes import until
from tests.running import RunningServer, secure_server
from tests.stories import massage, tell

DAMAGED = "is damaged, or a part of it is missing. Nothing was changed."


def run(command: str, uri: str, name: str, *words: object) -> Result:
    environment = {"PHB_MONGODB_DATABASE": name, "COLUMNS": "200", "NO_COLOR": "1"}
    return CliRunner().invoke(app, [command, *map(str, words), "--mongodb-uri", uri], env=environment)


def said(result: Result) -> str:
    """The sentence it was refused with."""
    assert isinstance(result.exception, CannotStart), result.output
    return result.exception.sentence


def content(database: Database[Any]) -> dict[str, list[Any]]:
    """All of it, but for the audit trail, which goes on where a record is made again (`told`)."""
    found = {name: list(database[name].find().sort("_id", 1)) for name in COLLECTIONS if name != AUDIT}
    return found | {META: [one for one in found[META] if one["_id"] != "audit"]}


def told(database: Database[Any]) -> list[Record]:
    """What the audit trail says."""
    return [Record.read(text) for block in database[AUDIT].find().sort("_id", 1) for text in block["records"]]


@pytest.fixture
def other(mongodb_admin: MongoClient[dict[str, Any]]) -> Iterator[Database[dict[str, Any]]]:
    """A database that has nothing in it."""
    name = f"test_{uuid.uuid4().hex}"
    yield mongodb_admin[name]
    mongodb_admin.drop_database(name)


@pytest.fixture
def record(mongodb_uri, database_name, mongodb_admin):
    """The database of a server that has stopped, with Jill's story in it."""
    with (
        RunningServer(mongodb_uri, database_name, guide=True) as server,
        httpx.Client(base_url=server.base, timeout=60) as api,
    ):
        tell(api)
    return mongodb_admin[database_name]


def test_a_record_comes_back_as_it_was_to_the_byte(record, other, mongodb_uri, tmp_path):
    file = tmp_path / "record"
    made = run("backup", mongodb_uri, record.name, file)
    assert made.exit_code == 0, made.output
    assert "as they were at one instant" in made.stdout
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["record"]
    taken = run("restore", mongodb_uri, other.name, file)
    assert taken.exit_code == 0, taken.output
    assert content(other) == content(record)
    before, after = told(record), told(other)
    assert before == after[:-1]
    assert run("check", mongodb_uri, other.name).stdout.splitlines()[-1] == "Everything agrees."


def test_who_copied_the_record_and_who_made_it_again_stands_in_its_trail(
    mongodb_admin, database_name, other, mongodb_uri, tmp_path
):
    populate(mongodb_uri, mongodb_admin[database_name])
    file = tmp_path / "monday night.phb"
    assert run("backup", mongodb_uri, database_name, file).exit_code == 0
    assert run("restore", mongodb_uri, other.name, file).exit_code == 0
    assert [(one.interaction, one.path, one.status) for one in told(other)] == [
        ("backup", "monday night.phb", 200),
        ("restore", "monday night.phb", 200),
    ]
    assert {one.who.subject for one in told(other)} == {pwd.getpwuid(os.getuid()).pw_name}
    assert [one.who.client for one in told(other)] == ["phb-fhir backup", "phb-fhir restore"]
    assert str(tmp_path) not in "".join(one.text() for one in told(other))
    verified = CliRunner().invoke(
        app, ["audit", "verify", "--mongodb-uri", mongodb_uri], env={"PHB_MONGODB_DATABASE": other.name}
    )
    assert verified.exit_code == 0, verified.output


def test_an_auditor_reads_who_copied_the_record(mongodb_uri, tmp_path):
    with secure_server(mongodb_uri) as (server, database), People(server, database) as people:
        made = run("backup", mongodb_uri, server.settings.mongodb_database, tmp_path / "copy.phb")
        assert made.exit_code == 0, made.output
        people.know("auditor", Asked("auditor", "Ann"))
        found = people["auditor"].get("/AuditEvent?type=110106").json()
        (event,) = [one["resource"] for one in found["entry"]]
    assert "copied the whole record to the file copy.phb" in event["outcomeDesc"]
    assert event["type"]["display"] == "Export"
    assert event["agent"][0]["altId"] == pwd.getpwuid(os.getuid()).pw_name
    assert not [one for one in event["entity"] if "what" in one]


def test_what_was_acknowledged_before_is_in_a_back_up_of_a_server_at_work(mongodb_uri, database_name, other, tmp_path):
    """Purchases, each of which writes to six collections, go on meanwhile: each is in it whole, or not at all."""
    ended, wrong = threading.Event(), []
    with RunningServer(mongodb_uri, database_name, guide=True) as server:
        with httpx.Client(base_url=server.base, timeout=60) as api:
            tell(api)
            before = [buy(api, f"B-{number}") for number in range(5)]

        def keep_buying(name: str) -> None:
            with httpx.Client(base_url=server.base, timeout=60) as api:
                number = 0
                while not ended.is_set():
                    number += 1
                    try:
                        buy(api, f"{name}-{number}")
                    except Exception as error:  # noqa: BLE001 - told by the test
                        wrong.append(error)
                        return

        threads = [threading.Thread(target=keep_buying, args=(f"W{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        try:
            results = [run("backup", mongodb_uri, database_name, tmp_path / f"{number}") for number in range(3)]
        finally:
            ended.set()
            for thread in threads:
                thread.join()
    assert not wrong
    assert [result.exit_code for result in results] == [0, 0, 0], results
    assert run("restore", mongodb_uri, other.name, tmp_path / "2").exit_code == 0
    assert run("check", mongodb_uri, other.name).stdout.splitlines()[-1] == "Everything agrees."
    with (
        RunningServer(mongodb_uri, other.name, guide=True) as server,
        httpx.Client(base_url=server.base, timeout=60) as api,
    ):
        server.foretold.set(number=100_000)  # or it would give what it makes the ids that are there
        for sent in before:
            assert api.get(f"/ChargeItem/{sent['id']}").json() == sent
        assert buy(api, "AFTER")["status"] == "billable"


def buy(api: httpx.Client, number: str) -> dict[str, Any]:
    sent = massage(number, pounds="0.01")
    answer = api.post("/ChargeItem", json=sent)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda whole: whole[: len(whole) // 2], DAMAGED),
        (lambda whole: whole[:-1], DAMAGED),
        (lambda whole: whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:], DAMAGED),
        (lambda whole: gzip.compress(gzip.decompress(whole)[:-4]), DAMAGED),
        (
            lambda whole: gzip.compress(gzip.decompress(whole) + bson.encode({"in": "resources", "document": {}})),
            "order",
        ),
        (lambda _: gzip.compress(bson.encode({"in": "resources", "document": {}})), "is no back-up of this server."),
        (
            lambda _: gzip.compress(bson.encode({"phb-fhir": 99, "version": "9.9"})),
            "another form (99), of version 9.9.",
        ),
        (lambda _: b"not a gzip at all", "is no back-up of this server."),
        (lambda _: b"", "is no back-up of this server."),
    ],
)
def test_of_a_file_that_is_not_whole_nothing_is_restored(spoil, sentence, mongodb_uri, other, tmp_path):
    whole = tmp_path / "whole"
    populate(mongodb_uri, other)
    assert run("backup", mongodb_uri, other.name, whole).exit_code == 0
    for name in other.list_collection_names():
        other.drop_collection(name)
    spoilt = tmp_path / "spoilt"
    spoilt.write_bytes(spoil(whole.read_bytes()))
    assert sentence in said(run("restore", mongodb_uri, other.name, spoilt))
    assert not any(content(other).values())


def populate(uri: str, database: Database[Any]) -> None:
    """A few thousand documents, as far as a back-up looks at them."""
    database.meta.insert_one({"_id": "page-key", "secret": b"s"})
    database.resources.insert_many([{"_id": f"Basic/{number}", "json": uuid.uuid4().hex} for number in range(3_000)])


def test_a_record_is_not_restored_over_another_and_a_file_not_written_over(mongodb_uri, other, tmp_path):
    file = tmp_path / "record"
    populate(mongodb_uri, other)
    assert run("backup", mongodb_uri, other.name, file).exit_code == 0
    there = content(other)
    assert "There is a record in the database" in said(run("restore", mongodb_uri, other.name, file))
    assert content(other) == there
    kept = file.read_bytes()
    assert said(run("backup", mongodb_uri, other.name, file)) == f"{file} is there already: name a new file."
    assert file.read_bytes() == kept


def test_what_cannot_be_made_or_read_is_said_in_a_sentence(mongodb_uri, other, tmp_path):
    assert "There is no record in the database" in said(run("backup", mongodb_uri, other.name, tmp_path / "a"))
    populate(mongodb_uri, other)
    assert "cannot be written" in said(run("backup", mongodb_uri, other.name, tmp_path / "no" / "folder"))
    assert "No such file or directory" in said(run("restore", mongodb_uri, other.name, tmp_path / "none"))
    assert list(tmp_path.iterdir()) == []


def test_a_restore_that_was_killed_is_served_by_nobody_and_begun_again_by_the_next(mongodb_uri, other, tmp_path):
    file = tmp_path / "record"
    populate(mongodb_uri, other)
    rows = [{"_id": f"Basic/more-{number}", "json": "x" * 20_000} for number in range(8_000)]
    other.resources.insert_many(rows)
    assert run("backup", mongodb_uri, other.name, file).exit_code == 0
    whole = content(other)
    for name in other.list_collection_names():
        other.drop_collection(name)
    command = [sys.executable, "-m", "phb_fhir.cli.main", "restore", str(file), "--mongodb-uri", mongodb_uri]
    process = subprocess.Popen(command, env={"PHB_MONGODB_DATABASE": other.name, "PATH": ""})
    assert until(lambda: other.resources.estimated_document_count() > 500)
    process.kill()
    process.wait()
    assert other.meta.find_one({"_id": RESTORING})
    assert other.resources.count_documents({}) < len(whole["resources"])

    assert said(run("check", mongodb_uri, other.name)) == UNFINISHED
    assert said(run("backup", mongodb_uri, other.name, tmp_path / "half")) == UNFINISHED
    assert [one.interaction for one in told(other)] in ([], ["backup"])
    with RunningServer(mongodb_uri, other.name) as server:
        answer = httpx.get(f"{server.base}/Basic/1")
        assert answer.status_code == 503
        assert json.loads(answer.text)["issue"][0]["code"] == "transient"

    assert run("restore", mongodb_uri, other.name, file).exit_code == 0
    assert content(other) == whole


def test_a_private_record_is_backed_up_and_restored_to_a_new_folder(tmp_path):
    """As after `make run`: one folder with a server that has ended, and another that nobody has used."""
    old, new, file = tmp_path / "old", tmp_path / "new", tmp_path / "record"
    command = [sys.executable, "-m", "phb_fhir.cli.main"]

    def ended(*words: str) -> str:
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=False, env={"PATH": ""})
        assert done.returncode == 0, done.stderr
        return done.stdout

    ended("packages", "list", "--data", str(old))  # what opens a record makes its notes
    assert "0 resources" in ended("backup", str(file), "--data", str(old))
    assert "Restored 0 resources" in ended("restore", str(file), "--data", str(new))
    assert "Everything agrees." in ended("check", "--data", str(new))

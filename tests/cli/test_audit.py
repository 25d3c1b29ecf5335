"""`phb-fhir audit`: whether the trail is whole, in the database itself, where it breaks first, and where it ends."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.database import Database
from typer.testing import CliRunner, Result

from phb_fhir.cli.main import app
from phb_fhir.security.audit import moment_of
from tests.journeys.audited import AUDITOR, PRIYA, audited, populate
from tests.processes import until
from tests.security.test_audit import record
from tests.store.stores import opened

RECORDS = 10_000
Trail = Database[dict[str, Any]]


def verify(uri: str, database: Trail, *words: str) -> Result:
    environment = {"PHB_MONGODB_DATABASE": database.name}
    return CliRunner().invoke(app, ["audit", "verify", "--mongodb-uri", uri, *words], env=environment)


def ask_head(uri: str, database: Trail) -> Result:
    environment = {"PHB_MONGODB_DATABASE": database.name}
    return CliRunner().invoke(app, ["audit", "head", "--mongodb-uri", uri], env=environment)


def head(uri: str, database: Trail) -> str:
    return ask_head(uri, database).stdout.strip()


def verdict(uri: str, database: Trail, *words: str) -> dict[str, Any]:
    result = verify(uri, database, "--json", *words)
    said: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == (0 if said["whole"] else 1)
    assert said["whole"] is (said["broken"] is None)
    return said


@pytest.fixture(scope="module")
def long_trail(mongodb_uri: str, mongodb_admin: MongoClient[dict[str, Any]]) -> Iterator[Trail]:
    """Ten thousand records, as a server keeps them."""
    name = f"test_{uuid.uuid4().hex}"

    async def story() -> None:
        async with opened(mongodb_uri, name) as store:
            for start in range(1, RECORDS + 1, 500):
                records = [record(number) for number in range(start, start + 500)]
                await asyncio.gather(*(store.trail.append(one.text(), moment_of(one)) for one in records))

    asyncio.run(story())
    yield mongodb_admin[name]
    mongodb_admin.drop_database(name)


def test_ten_thousand_records_are_whole(mongodb_uri: str, long_trail: Trail) -> None:
    result = verify(mongodb_uri, long_trail)
    assert result.exit_code == 0
    blocks = long_trail.audit.count_documents({})
    assert result.stdout.startswith(
        f"The audit trail is whole: {RECORDS} records in {blocks} blocks.\nHead: {RECORDS}:"
    )
    assert head(mongodb_uri, long_trail) in result.stdout


def change(block: dict[str, Any], at: int) -> None:
    block["records"][at] = block["records"][at].replace('"read"', '"vread"')


def remove(block: dict[str, Any], at: int) -> None:
    del block["records"][at]


def remove_with_its_seal(block: dict[str, Any], at: int) -> None:
    del block["records"][at]
    seals = block["seals"]
    block["seals"] = seals[: 32 * at] + seals[32 * (at + 1) :]
    block["seal"] = block["seals"][-32:].hex()


def swap(block: dict[str, Any], at: int) -> None:
    other = at + 1 if at + 1 < len(block["records"]) else 0
    records = block["records"]
    records[at], records[other] = records[other], records[at]


def duplicate(block: dict[str, Any], at: int) -> None:
    block["records"].insert(at, block["records"][at])


@settings(max_examples=16)
@example(6_500, remove_with_its_seal)  # the last of its block
@given(st.integers(1, RECORDS), st.sampled_from([change, remove, remove_with_its_seal, swap, duplicate]))
def test_whatever_is_done_to_one_of_ten_thousand_is_found_and_the_place_is_named(
    mongodb_uri: str, long_trail: Trail, number: int, do: Callable[[dict[str, Any], int], None]
) -> None:
    sound = long_trail.audit.find_one({"first": {"$lte": number}, "last": {"$gte": number}})
    assert sound is not None
    damaged = {**sound, "records": list(sound["records"])}
    at = number - sound["first"]
    do(damaged, at)
    try:
        long_trail.audit.replace_one({"_id": sound["_id"]}, damaged)
        said = verdict(mongodb_uri, long_trail)
    finally:
        long_trail.audit.replace_one({"_id": sound["_id"]}, sound)
    first = sound["first"] if do is swap and number == sound["last"] else number + (do is duplicate)
    assert said["broken"]["record"] == first, said["broken"]
    assert said["records"] == sound["first"] - 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("note", "x"),
        ("at", "yesterday"),
        ("seal", "zz"),
        ("before", None),
        ("first", True),
        ("last", 2.5),
        ("seal", "AB" * 32),
    ],
)
def test_a_block_with_a_field_that_no_block_has_is_found(
    mongodb_uri: str, long_trail: Trail, name: str, value: Any
) -> None:
    sound = long_trail.audit.find_one({}, sort=[("_id", -1)])
    assert sound is not None
    try:
        long_trail.audit.replace_one({"_id": sound["_id"]}, {**sound, name: value})
        said, end = verdict(mongodb_uri, long_trail), ask_head(mongodb_uri, long_trail)
    finally:
        long_trail.audit.replace_one({"_id": sound["_id"]}, sound)
    assert said["broken"]["block"] == sound["_id"]
    assert f"its last block ({said['broken']['block']}) was damaged" in str(end.exception)


def test_a_damaged_note_of_how_far_the_trail_went_is_told(mongodb_uri: str, long_trail: Trail) -> None:
    sound = long_trail.meta.find_one_and_update({"_id": "audit"}, {"$set": {"seal": "zz"}})
    assert sound is not None
    try:
        assert verdict(mongodb_uri, long_trail)["broken"]["record"] == sound["number"]
    finally:
        long_trail.meta.replace_one({"_id": "audit"}, sound)


@settings(max_examples=4)
@given(st.data())
def test_a_block_that_is_gone_is_found(mongodb_uri: str, long_trail: Trail, data: st.DataObject) -> None:
    number = data.draw(st.integers(1, long_trail.audit.count_documents({})))
    gone = long_trail.audit.find_one_and_delete({"_id": number})
    assert gone is not None
    try:
        said = verdict(mongodb_uri, long_trail)
    finally:
        long_trail.audit.insert_one(gone)
    assert (said["broken"]["block"], said["broken"]["record"]) == (number, gone["first"])


@pytest.mark.parametrize("name", [0, -1, "x"])
def test_a_block_that_was_put_beside_the_chain_is_found_and_named(
    mongodb_uri: str, long_trail: Trail, name: int | str
) -> None:
    sound = long_trail.audit.find_one({"_id": 1})
    assert sound is not None
    long_trail.audit.insert_one({**sound, "_id": name})
    try:
        said = verdict(mongodb_uri, long_trail)
    finally:
        long_trail.audit.delete_one({"_id": name})
    assert said["records"] == RECORDS
    assert f"a block {name!r} besides" in said["broken"]["text"]


def test_an_end_that_was_cut_off_is_found(mongodb_uri: str, long_trail: Trail) -> None:
    last = list(long_trail.audit.find().sort("_id", -1).limit(3))
    long_trail.audit.delete_many({"_id": {"$in": [block["_id"] for block in last]}})
    try:
        result = verify(mongodb_uri, long_trail)
    finally:
        long_trail.audit.insert_many(last)
    assert result.exit_code == 1
    assert f"and it went on to record {RECORDS} once: its end was cut off." in result.stdout
    assert verify(mongodb_uri, long_trail).exit_code == 0


def test_a_trail_that_was_made_anew_is_found_by_a_head_that_was_kept_elsewhere(
    mongodb_uri: str, mongodb_admin: MongoClient[dict[str, Any]], database_name: str
) -> None:
    database = mongodb_admin[database_name]

    def make(name: str) -> None:
        async def story() -> None:
            async with opened(mongodb_uri, database_name) as store:
                for number in range(5):
                    one = record(number)._replace(path=name)
                    await store.trail.append(one.text(), moment_of(one))

        asyncio.run(story())

    make("Account/true")
    kept = head(mongodb_uri, database)
    assert verify(mongodb_uri, database, "--head", kept).exit_code == 0
    for collection in ("audit", "meta"):
        database[collection].delete_many({})
    make("Account/false")
    assert verify(mongodb_uri, database).exit_code == 0, "this is what a chain alone cannot show"
    said = verdict(mongodb_uri, database, "--head", kept)
    assert "made anew" in said["broken"]["text"]
    assert said["broken"]["record"] == 5


def test_it_may_begin_in_the_middle(mongodb_uri: str, long_trail: Trail) -> None:
    sound = long_trail.audit.find_one({"_id": 1})
    assert sound is not None
    long_trail.audit.update_one({"_id": 1}, {"$set": {"records.0": "nonsense"}})
    try:
        assert verdict(mongodb_uri, long_trail)["broken"]["record"] == 1
        said = verdict(mongodb_uri, long_trail, "--from", "5000")
    finally:
        long_trail.audit.replace_one({"_id": 1}, sound)
    assert said["whole"]
    assert RECORDS - 5000 < said["records"] < RECORDS


@pytest.mark.parametrize("text", ["4711", "x:y", "1:", ":", "1:" + "z" * 64, "-1:" + "0" * 64])
def test_a_head_that_is_none_is_refused(mongodb_uri: str, long_trail: Trail, text: str) -> None:
    result = verify(mongodb_uri, long_trail, "--head", text)
    assert result.exit_code != 0
    assert "is not what `phb-fhir audit head` prints" in str(result.exception)


def test_an_empty_trail_is_whole(
    mongodb_uri: str, mongodb_admin: MongoClient[dict[str, Any]], database_name: str
) -> None:
    said = verdict(mongodb_uri, mongodb_admin[database_name])
    assert (said["whole"], said["records"], said["head"]) == (True, 0, "0:" + "0" * 64)
    told = verify(mongodb_uri, mongodb_admin[database_name]).stdout.splitlines()
    assert told[-1] == "Nothing was ever recorded: a server with --open keeps no trail."


def test_nothing_is_written(mongodb_uri: str, mongodb_admin: MongoClient[dict[str, Any]], database_name: str) -> None:
    verify(mongodb_uri, mongodb_admin[database_name])
    head(mongodb_uri, mongodb_admin[database_name])
    assert mongodb_admin[database_name].list_collection_names() == []


# ---- what is published -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(mongodb_uri: str) -> Iterator[Trail]:
    """The trail of a server, published; nobody writes to it any more."""
    with audited(mongodb_uri) as server:
        populate(server)
        assert server.as_(PRIYA).get("/Account").status_code == 200
        assert server.events(AUDITOR)
        assert until(lambda: (verdict(mongodb_uri, server.database)["pending"]) == 0)
        yield server.database


def one_of(published: Trail) -> dict[str, Any]:
    found = published.resources.find_one({"type": "AuditEvent", "json": {"$regex": "Priya Nair"}})
    assert found is not None
    return found


def test_what_is_published_of_a_whole_trail_is_whole(mongodb_uri: str, published: Trail) -> None:
    said = verdict(mongodb_uri, published)
    assert (said["whole"], said["strangers"]) == (True, 0)
    assert said["published"] > 0


DAMAGES: dict[str, tuple[dict[str, Any] | None, str]] = {
    "changed": ({"$set": {"json": '{"resourceType":"AuditEvent"}'}}, "does not say what the record says"),
    "another version": ({"$set": {"version": 2}}, "does not say what the record says"),
    "deleted": ({"$unset": {"json": 1}}, "was deleted"),
    "marked as deleted": ({"$set": {"deleted": True}}, "was deleted"),
    "under another type": ({"$set": {"type": "Basic"}}, "does not stand where it is looked for"),
    "under another id": ({"$set": {"id": "other"}}, "does not stand where it is looked for"),
    "at another time": ({"$set": {"at": datetime(2020, 1, 1, tzinfo=UTC)}}, "does not stand where it is looked for"),
    "taken away": (None, "was taken away"),
}


@pytest.mark.parametrize(("damage", "told"), DAMAGES.values(), ids=DAMAGES)
def test_an_event_that_does_not_say_what_its_record_says_is_found(
    mongodb_uri: str, published: Trail, damage: dict[str, Any] | None, told: str
) -> None:
    event = one_of(published)
    if damage is None:
        published.resources.delete_one({"_id": event["_id"]})
    else:
        published.resources.update_one({"_id": event["_id"]}, damage)
    try:
        said = verdict(mongodb_uri, published)
    finally:
        published.resources.replace_one({"_id": event["_id"]}, event, upsert=True)
    assert said["broken"]["text"] == f"{event['_id']}, which was published of it, {told}."


def test_an_event_that_was_changed_is_found_though_the_note_says_that_it_is_still_to_be_published(
    mongodb_uri: str, published: Trail
) -> None:
    event, note = one_of(published), published.meta.find_one({"_id": "audit-published"})
    assert note is not None
    published.meta.update_one({"_id": "audit-published"}, {"$set": {"block": 0}})
    try:
        assert verdict(mongodb_uri, published)["whole"]
        published.resources.update_one({"_id": event["_id"]}, {"$set": {"json": '{"resourceType":"AuditEvent"}'}})
        said = verdict(mongodb_uri, published)
    finally:
        published.resources.replace_one({"_id": event["_id"]}, event)
        published.meta.replace_one({"_id": "audit-published"}, note)
    assert said["broken"]["text"].endswith("does not say what the record says.")


def test_an_event_that_no_record_made_is_found_if_it_says_so_and_counted_if_not(
    mongodb_uri: str, published: Trail
) -> None:
    event = one_of(published)
    forged = {**event, "_id": "AuditEvent/forged", "id": "forged"}
    own = {**forged, "_id": "AuditEvent/own", "id": "own", "json": '{"resourceType":"AuditEvent"}'}
    try:
        published.resources.insert_one(own)
        assert verdict(mongodb_uri, published)["strangers"] == 1
        published.resources.insert_one(forged)
        said = verdict(mongodb_uri, published)
    finally:
        published.resources.delete_many({"_id": {"$in": ["AuditEvent/forged", "AuditEvent/own"]}})
    assert said["broken"]["text"] == "AuditEvent/forged says that it has a place in the trail, and it has none."


def test_a_private_mongodb_is_started_for_it(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["audit", "verify", "--data", str(tmp_path)])
    assert (result.exit_code, result.stdout.partition("\n")[0]) == (
        0,
        "The audit trail is whole: 0 records in 0 blocks.",
    )

"""The whole record in one file, as it was at one instant; and the record made of such a file again.

A file is a gzip of BSON documents, one behind the other:

    {"phb-fhir": 1, database, version, at}                what it is; `version` is that of this software
    {"in": "resources", "document": {...}}                each document, byte for byte as MongoDB has it
    {"end": {"resources": 12, ...}}                       how many there are of each; without it the file is not whole

`locks` is left out: it says only who is at work. Servers may write meanwhile: all is read in one snapshot of the database, so a
transaction is in it whole or not at all. MongoDB keeps that for minutes (`minSnapshotHistoryWindowInSeconds`, 300); what takes longer
is refused, and nothing is left that looks like a back-up.

A record is made of a file in an empty database alone, and after all of the file was found to be whole. Until it is complete `meta` says so
(`restoring`), and no server serves it.

Who copies everybody's records stands in the audit trail before the first of them is read, and so in the copy, too; who makes the record again, in
the trail of what they made, before anybody is served it. Where that cannot be written, nothing is copied, and nothing is served.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

import bson
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient, MongoClient
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError

from phb_fhir import __version__
from phb_fhir.outcome import Rejected
from phb_fhir.security.audit import Record, moment_of
from phb_fhir.store.concerns import DRIVER, MAJORITY
from phb_fhir.store.documents import COLLECTIONS, LOCKS, META, RESTORING, UNFINISHED
from phb_fhir.store.embedded import CannotStart
from phb_fhir.store.store import Limits, Store

FORMAT = 1

SILENT_MAX_S = 20.0  # of a database, which answers each question here (some thousand documents) in less

_LEVEL = 1  # of compression: what a disk takes, not what a processor could do
_INSERT_BYTES_MAX = 8_000_000
_INSERT_COUNT_MAX = 1_000
_FETCHED = 1_000
_LIMITS = Limits(
    query_time_max_ms=10_000, commit_time_max_s=10.0, read_batch_max=1, commit_batch_max=1
)  # of one record in the audit trail
_HISTORY_GONE_CODES = {239, 246, 249}  # SnapshotTooOld, SnapshotUnavailable, … of a transaction number that is too old
_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument, tz_aware=True, tzinfo=UTC)

Counts = Counter[str]  # documents, by collection
Told = Callable[[Counts], None]  # how far it went, again and again


# ---- making one ------------------------------------------------------------------------------------------------------


def back_up(uri: str, database: str, path: Path, told: Told, by: Record) -> Counts:
    """Write the record to a new file that its owner alone may read. `by` says in the audit trail who does.

    Raises CannotStart with a sentence that says why not.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        with _new(part, path) as out, _client(uri) as client:
            _check_there(client[database])
            _take_down(uri, database, by)
            with client.start_session(snapshot=True) as session:
                counts = _write(out, client[database], session, told)
        part.replace(path)
    except OSError as error:
        raise CannotStart(f"The back-up cannot be written to {path}: {error.strerror or error}.") from None
    except PyMongoError as error:
        raise CannotStart(_why_not_read(error)) from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return counts


@contextlib.contextmanager
def _new(part: Path, path: Path) -> Iterator[BinaryIO]:
    """A file beside the one it becomes, compressed; on the disk when this ends."""
    if path.exists():
        raise CannotStart(f"{path} is there already: name a new file.")
    with open(part, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=_LEVEL) as out:
            yield cast("BinaryIO", out)
        file.flush()
        os.fsync(file.fileno())


def _check_there(database: Database[Any]) -> None:
    if not any(database[name].find_one({}, {"_id": 1}) for name in COLLECTIONS):
        raise CannotStart(f'There is no record in the database "{database.name}".')
    if database[META].find_one({"_id": RESTORING}):
        raise CannotStart(UNFINISHED)


def _take_down(uri: str, database: str, by: Record) -> None:
    """Seal what is done here into the audit trail. Raises CannotStart where that cannot be."""
    try:
        asyncio.run(_append(uri, database, by))
    except Rejected as rejected:
        text = "Who copies or restores the whole record is kept in its audit trail, and that could not be written."
        raise CannotStart(f"{text} {rejected.issues[0].text}") from None


async def _append(uri: str, database: str, by: Record) -> None:
    store = Store(AsyncMongoClient(uri, **DRIVER), database, _LIMITS)
    try:
        await store.trail.append(by.text(), moment_of(by))
    finally:
        await store.close()


def _write(out: BinaryIO, database: Database[Any], session: ClientSession, told: Told) -> Counts:
    counts: Counts = Counter()
    said = {"phb-fhir": FORMAT, "database": database.name, "version": __version__, "at": datetime.now(UTC)}
    out.write(bson.encode(said))
    for name in COLLECTIONS:
        collection = database.get_collection(name, codec_options=_RAW)
        for document in collection.find({}, session=session, batch_size=_FETCHED):
            out.write(bson.encode({"in": name, "document": document}))
            counts[name] += 1
            if counts[name] % _FETCHED == 0:
                told(counts)
    out.write(bson.encode({"end": dict(counts)}))
    return counts


def _why_not_read(error: PyMongoError) -> str:
    if isinstance(error, OperationFailure) and error.code in _HISTORY_GONE_CODES:
        return (
            "The record is too large for this: MongoDB no longer knew the instant at which the back-up began. Let it remember for longer "
            "(minSnapshotHistoryWindowInSeconds), or use MongoDB's own tools."
        )
    return f"The record could not be read: {type(error).__name__}. No back-up was made."


# ---- making the record again -----------------------------------------------------------------------------------------


def restore(uri: str, database: str, path: Path, told: Told, by: Record) -> Counts:
    """Make the record of a file, in a database that has none. `by` says in its audit trail who did.

    Raises CannotStart with a sentence that says why not.
    """
    expected = check_whole(path)
    try:
        with _client(uri) as client:
            at = client.get_database(database, write_concern=MAJORITY)
            _check_empty(at)
            at[META].insert_one({"_id": RESTORING, "at": datetime.now(UTC)})
            counts = _insert(at, path, told)
            if counts != expected:
                raise CannotStart(f"{path} changed while it was read: the record is not complete. Run this again.")
            _take_down(uri, database, by)
            at[META].delete_one({"_id": RESTORING})
    except PyMongoError as error:
        raise CannotStart(
            f"The record could not be written: {type(error).__name__}. What is there is a part; run this again."
        ) from None
    return counts


def check_whole(path: Path) -> Counts:
    """How many documents of each collection a file has. Raises CannotStart where it is no back-up, or not all of one."""
    counts: Counts = Counter()
    for name, _ in _documents(path):
        counts[name] += 1
    return counts


def _documents(path: Path) -> Iterator[tuple[str, RawBSONDocument]]:
    """Every document of a file, with its collection. Raises CannotStart, at the end for one that was cut off."""
    counts: Counts = Counter()
    ended: Mapping[str, int] | None = None
    try:
        with gzip.open(path, "rb") as file:
            lines = bson.decode_file_iter(cast("BinaryIO", file), _RAW)
            _check_head(next(lines, {}), path)
            for line in lines:
                if "end" in line:
                    ended = dict(line["end"])
                    continue
                name = line.get("in")
                if name not in COLLECTIONS or ended is not None:
                    raise CannotStart(f"{path} is no back-up of this server: what is in it stands in another order.")
                counts[name] += 1
                yield name, line["document"]
    except (EOFError, zlib.error, BSONError, KeyError, TypeError, ValueError):
        raise _damaged(path) from None
    except gzip.BadGzipFile as error:
        raise (_no_backup(path) if not counts and "Not a gzip" in str(error) else _damaged(path)) from None
    except OSError as error:
        raise CannotStart(f"{path} cannot be read: {error.strerror}.") from None
    if ended != counts:
        raise _damaged(path)


def _damaged(path: Path) -> CannotStart:
    return CannotStart(f"{path} is damaged, or a part of it is missing. Nothing was changed.")


def _no_backup(path: Path) -> CannotStart:
    return CannotStart(f"{path} is no back-up of this server.")


def _check_head(head: Mapping[str, Any], path: Path) -> None:
    known = head.get("phb-fhir")
    if known is None:
        raise _no_backup(path)
    if known != FORMAT:
        raise CannotStart(f"{path} is a back-up of another form ({known}), of version {head.get('version')}.")


def _check_empty(database: Database[Any]) -> None:
    """Nothing is there; what an earlier attempt left is taken away."""
    if database[META].find_one({"_id": RESTORING}):
        for name in (*COLLECTIONS[1:], LOCKS, META):  # the note last: without it the rest would pass for a record
            database.drop_collection(name)
    elif any(database[name].find_one({}, {"_id": 1}) for name in COLLECTIONS):
        raise CannotStart(f'There is a record in the database "{database.name}" already: restore to another one.')


def _insert(database: Database[Any], path: Path, told: Told) -> Counts:
    counts: Counts = Counter()
    batch: list[RawBSONDocument] = []
    size, of = 0, META
    for name, document in _documents(path):
        length = len(document.raw)
        if batch and (name != of or size + length > _INSERT_BYTES_MAX or len(batch) >= _INSERT_COUNT_MAX):
            database[of].insert_many(batch, ordered=False)
            batch, size = [], 0
            told(counts)
        batch.append(document)
        size, of = size + length, name
        counts[name] += 1
    if batch:
        database[of].insert_many(batch, ordered=False)
    return counts


def _client(uri: str) -> MongoClient[Any]:
    silent_ms = int(SILENT_MAX_S * 1000)
    return MongoClient(
        uri, readConcernLevel="majority", socketTimeoutMS=silent_ms, serverSelectionTimeoutMS=silent_ms, **DRIVER
    )

"""A disk that is nearly full: what is there can be read, and the first write after room was made is taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from phb_fhir.outcome import Kind, Refusal, Rejected
from phb_fhir.store.embedded import PrivateMongo
from phb_fhir.store.room import MB
from phb_fhir.store.store import Store, Transaction
from tests.store.stores import opened, run, version

FILLING_MB = 400


async def put(store: Store, name: str) -> None:
    assert await store.insert(version(name), None)


async def nothing(transaction: Transaction) -> None:
    await transaction.read("Task", "a")


def test_what_would_be_written_is_refused_until_there_is_room_again(tmp_path: Path) -> None:
    filling = tmp_path / "filling"
    with PrivateMongo(tmp_path / "data") as mongo:
        with filling.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, FILLING_MB * MB)

        async def story() -> None:
            least = _free(tmp_path) + FILLING_MB * MB // 2
            async with opened(mongo.uri, "room") as before:
                await put(before, "a")
            async with opened(mongo.uri, "room", disk_free_bytes_min=least) as store:
                for attempt in (store.insert(version("b"), None), store.transaction(nothing)):
                    with pytest.raises(Rejected) as refused:
                        await attempt
                    assert refused.value.refusal is Refusal.UNAVAILABLE
                    assert refused.value.issues[0].kind is Kind.NO_STORE
                assert await store.read("Task", "a") is not None
                assert await store.read("Task", "b") is None
                assert f"nothing is written below {least // MB} (PHB_DISK_FREE_MB_MIN)" in await store.room.shortage()
                filling.unlink()
                await put(store, "b")
                assert await store.room.shortage() == ""

        run(story)


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize

"""Every index of the database, in one place. Built in the background at start; `/health/ready` checks them."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.database import AsyncDatabase

from phb_fhir.store.documents import HISTORY, LOCKS, RESOURCES

LOCK_LIFE_S = 3600

INDEXES: dict[str, tuple[IndexModel, ...]] = {
    RESOURCES: (
        # searches, ordered by _id so that a page's position does not move when a resource is updated
        IndexModel([("type", ASCENDING), ("deleted", ASCENDING), ("_id", ASCENDING)], name="type"),
        IndexModel([("ix.token", ASCENDING), ("type", ASCENDING), ("_id", ASCENDING)], name="token"),
        # _lastUpdated and history, newest first
        IndexModel([("type", ASCENDING), ("at", DESCENDING), ("_id", DESCENDING)], name="type_at"),
        IndexModel([("at", DESCENDING), ("_id", DESCENDING)], name="at"),
    ),
    HISTORY: (
        IndexModel([("key", ASCENDING), ("at", DESCENDING)], name="key_at"),
        IndexModel([("type", ASCENDING), ("at", DESCENDING), ("key", DESCENDING)], name="type_at"),
        IndexModel([("at", DESCENDING), ("key", DESCENDING)], name="at"),
    ),
    LOCKS: (IndexModel([("at", ASCENDING)], name="life", expireAfterSeconds=LOCK_LIFE_S),),
}


async def build(database: AsyncDatabase[dict[str, Any]]) -> None:
    """Create what is missing. Safe from several workers at once, and on a database in use."""
    for collection, models in INDEXES.items():
        await database[collection].create_indexes(list(models))


async def missing(database: AsyncDatabase[dict[str, Any]]) -> list[str]:
    """The indexes that should be there and are not, as `collection.name`."""
    absent = []
    for collection, models in INDEXES.items():
        present = await database[collection].index_information()
        absent += [f"{collection}.{m.document['name']}" for m in models if m.document["name"] not in present]
    return absent

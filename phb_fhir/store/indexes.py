"""Every index of the database, in one place. Built in the background at start; `/health/ready` checks them."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import CollectionInvalid, OperationFailure

from phb_fhir.store.documents import AUDIT, BALANCES, HISTORY, LEDGER, LOCKS, REQUESTS, RESOURCES

LOCK_LIFE_S = 3600
REQUEST_LIFE_S = 7 * 24 * 3600  # so long a request is known again by its X-Request-ID

# the names by which `store/plan` says which index is to serve
BY_SEQ = "type_seq"
BY_KEY = "key_seq"
BY_VALUE = "sortable"
BY_TIME = "type_at"
BY_ID = "_id_"

INDEXES: dict[str, tuple[IndexModel, ...]] = {
    RESOURCES: (
        # searches go by `seq`, so that a page's position does not move when a resource is updated
        IndexModel([("type", ASCENDING), ("deleted", ASCENDING), ("seq", ASCENDING)], name=BY_SEQ),
        IndexModel([("type", ASCENDING), ("ix.k", ASCENDING), ("seq", ASCENDING)], name=BY_KEY),
        # whichever sortable texts there are: one index, in which each path has a place of its own
        IndexModel([("ix.lo.$**", ASCENDING)], name=BY_VALUE),
        # _lastUpdated and history, newest first
        IndexModel([("type", ASCENDING), ("at", DESCENDING), ("_id", DESCENDING)], name=BY_TIME),
        IndexModel([("at", DESCENDING), ("_id", DESCENDING)], name="at"),
        # which are still to be indexed anew; with `deleted`, because what was deleted has no digest either (store/reindex)
        IndexModel([("type", ASCENDING), ("deleted", ASCENDING), ("ix.g", ASCENDING)], name="digest"),
    ),
    HISTORY: (
        IndexModel([("key", ASCENDING), ("at", DESCENDING)], name="key_at"),
        IndexModel([("type", ASCENDING), ("at", DESCENDING), ("key", DESCENDING)], name="type_at"),
        IndexModel([("at", DESCENDING), ("key", DESCENDING)], name="at"),
    ),
    LOCKS: (IndexModel([("at", ASCENDING)], name="life", expireAfterSeconds=LOCK_LIFE_S),),
    LEDGER: (
        IndexModel([("account", ASCENDING), ("n", ASCENDING)], name="account_n", unique=True),
        IndexModel([("about", ASCENDING)], name="about", partialFilterExpression={"about": {"$exists": True}}),
    ),
    BALANCES: (),
    REQUESTS: (IndexModel([("at", ASCENDING)], name="life", expireAfterSeconds=REQUEST_LIFE_S),),
    # the records of changes, each of which is sealed once (store/trail); blocks of reads alone are not in it
    AUDIT: (
        IndexModel(
            [("pending", ASCENDING)],
            name="pending",
            unique=True,
            partialFilterExpression={"pending": {"$exists": True}},
        ),
    ),
}

# what earlier releases made and nothing asks for any more; an index that somebody else made is theirs
RETIRED = {RESOURCES: ("type", "token")}

_THERE_CODE = 48  # NamespaceExists
_GONE_CODES = {26, 27}  # NamespaceNotFound, IndexNotFound: another worker was quicker


async def build(database: AsyncDatabase[dict[str, Any]]) -> None:
    """Create what is missing, then drop what is retired. Safe from several workers at once, and on a database in use."""
    there = set(await database.list_collection_names())
    for collection in INDEXES.keys() - there:
        await _make(database, collection)  # a transaction need not make it then
    for collection, models in INDEXES.items():
        if models:
            await database[collection].create_indexes(list(models))
    for collection, names in RETIRED.items():
        for name in set(names) & set(await database[collection].index_information()):
            await _drop(database, collection, name)


async def _make(database: AsyncDatabase[dict[str, Any]], collection: str) -> None:
    try:
        await database.create_collection(collection)
    except CollectionInvalid:  # another worker was quicker
        return
    except OperationFailure as error:
        if error.code != _THERE_CODE:
            raise


async def _drop(database: AsyncDatabase[dict[str, Any]], collection: str, name: str) -> None:
    try:
        await database[collection].drop_index(name)
    except OperationFailure as error:
        if error.code not in _GONE_CODES:
            raise


async def missing(database: AsyncDatabase[dict[str, Any]]) -> list[str]:
    """The indexes that should be there and are not, as `collection.name`."""
    absent = []
    for collection, models in INDEXES.items():
        present = await database[collection].index_information()
        absent += [f"{collection}.{m.document['name']}" for m in models if m.document["name"] not in present]
    return absent

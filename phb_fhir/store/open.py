"""The connection to MongoDB, as the settings want it."""

from __future__ import annotations

from pymongo import AsyncMongoClient

from phb_fhir.settings import Settings
from phb_fhir.store.abandoned import process_name
from phb_fhir.store.concerns import DRIVER
from phb_fhir.store.monitor import CommandTimes, Counts, PoolSizes
from phb_fhir.store.store import Limits, Store

SERVER_SELECTION_MS = 5_000
CONNECTIONS_MAX = 64


def open_store(settings: Settings, limits: Limits, counts: Counts) -> Store:
    """The store of `settings.mongodb_uri`. It connects when first used. Must be called inside the running event loop."""
    client: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(
        settings.mongodb_uri,
        serverSelectionTimeoutMS=SERVER_SELECTION_MS,
        maxPoolSize=CONNECTIONS_MAX,
        waitQueueTimeoutMS=SERVER_SELECTION_MS,
        event_listeners=[CommandTimes(counts), PoolSizes(counts)],
        appname=process_name(),
        **DRIVER,
    )
    return Store(client, settings.mongodb_database, limits, counts)

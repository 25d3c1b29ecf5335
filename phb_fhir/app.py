"""The composition root: settings, definitions and store become one ASGI application. Read this to see who knows whom."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

import orjson
import structlog
import uuid_utils
from fastapi import FastAPI

from phb_fhir.data import data_path
from phb_fhir.definitions import capability, load
from phb_fhir.definitions.capability import Capability, WrongCapability
from phb_fhir.definitions.load import Definitions
from phb_fhir.definitions.registry import Registry
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.knowledge import Knowledge
from phb_fhir.outcome import Rejected
from phb_fhir.search.paging import Pager
from phb_fhir.search.parse import PARAMETERS
from phb_fhir.settings import API_PATH, Settings, WrongSetting, read_settings
from phb_fhir.store.open import open_store
from phb_fhir.store.store import Limits, Store
from phb_fhir.wire import log
from phb_fhir.wire.api import FhirApi
from phb_fhir.wire.cors import Cors
from phb_fhir.wire.metrics import Metrics
from phb_fhir.wire.middleware import App, Edge
from phb_fhir.wire.operators import build_operators

_OPEN_AGAIN_S = 1.0
_log = structlog.get_logger("phb_fhir")


def create(
    settings: Settings | None = None, now: Callable[[], datetime] | None = None, new_id: Callable[[], str] | None = None
) -> App:
    """The server. Without settings given, they come from the environment: that is how worker processes are told.

    `now` and `new_id` are the clock and the source of ids, for tests that want to know what comes.
    """
    settings = settings or read_settings()
    log.configure(settings.log_format)
    definitions = load.load()
    promised = promises(definitions)
    check_types(settings, promised)
    known = own_profiles(definitions)
    metrics = Metrics()
    api = FhirApi(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        store = open_store(settings, _limits(settings), metrics)

        async def begin() -> None:
            pager = Pager(await _open(store), settings.page_life_s)
            api.context = Context(
                settings,
                definitions,
                Knowledge(known),
                promised,
                store,
                store,
                pager,
                now or _now,
                new_id or _new_id,
                operations={},
            )

        opening = asyncio.create_task(begin())
        try:
            with suppress(TimeoutError):
                # usually done at once; with the database down the server starts all the same, and says so
                await asyncio.wait_for(asyncio.shield(opening), _OPEN_AGAIN_S)
            yield
        finally:
            opening.cancel()
            with suppress(asyncio.CancelledError):
                await opening
            await store.close()

    operators = build_operators(lifespan, lambda: api.context.store if api.context else None, metrics)
    return Edge(
        Cors(_split(api, operators), settings), metrics, log.RequestLog(settings.log_format), settings.requests_max
    )


def promises(definitions: Definitions) -> Capability:
    """What the capability statement promises. Raises WrongCapability when it does not fit this software."""
    promised = capability.load(data_path("capability_statement.json"), definitions.resource_types)
    if unknown := sorted({name for names in promised.parameters.values() for name in names} - PARAMETERS):
        raise WrongCapability(
            f"capability_statement.json promises to search by {', '.join(unknown)}, which is not built."
        )
    return promised


def check_types(settings: Settings, promised: Capability) -> None:
    """Raise WrongSetting when `versioned_update` names what is no type here: its protection would silently be off."""
    for name in settings.versioned_update:
        if name not in promised.types:
            near = get_close_matches(name, promised.types, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise WrongSetting(
                f"The setting versioned_update names {name}, which is no resource type served here.{hint}"
            )


def own_profiles(definitions: Definitions) -> Registry:
    """R4's conformance resources, and those of `profiles/`."""
    files = sorted(data_path("profiles").glob("*.json"))
    return Registry.of(definitions, [orjson.loads(file.read_bytes()) for file in files])


async def _open(store: Store) -> bytes:
    """Open the store, however long the database takes to come back; shutting down ends the wait. Gives the page key."""
    while True:
        try:
            await store.open()
            return await store.secret("page-key", secrets.token_bytes(32))
        except Rejected as rejected:
            _log.warning("database", reason=rejected.issues[0].text)
            await asyncio.sleep(_OPEN_AGAIN_S)


def _split(api: FhirApi, operators: FastAPI) -> App:
    """FHIR below `/fhir`, everything else to the operators' application."""

    async def split(scope: Any, receive: Any, send: Any) -> None:
        path: str = scope.get("path", "")
        if scope["type"] == "http" and (path == API_PATH or path.startswith(API_PATH + "/")):
            await api(scope, receive, send)
        else:
            await operators(scope, receive, send)

    return split


def _limits(settings: Settings) -> Limits:
    return Limits(
        settings.query_time_max_ms,
        settings.commit_time_max_s,
        settings.read_batch_max,
        settings.commit_batch_max,
    )


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    """A UUID of version 7: its start is the time, so that new resources lie side by side in every index."""
    return str(uuid_utils.uuid7())

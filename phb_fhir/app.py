"""The composition root: settings, definitions and store become one ASGI application. Read this to see who knows whom."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
import uuid_utils
from fastapi import FastAPI

from phb_fhir.data import data_path
from phb_fhir.definitions import capability, load
from phb_fhir.definitions.capability import Capability
from phb_fhir.definitions.guide import NO_GUIDE, Guide, read_guide
from phb_fhir.definitions.load import Definitions
from phb_fhir.definitions.registry import Registry
from phb_fhir.definitions.search_parameters import search_parameters
from phb_fhir.interactions.capabilities import check_promised
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.guide import keep_guide
from phb_fhir.interactions.knowledge import Knowledge
from phb_fhir.interactions.publishing import keep_trail
from phb_fhir.interactions.reindex import keep_indexed, note_all
from phb_fhir.interactions.scribe import Scribe
from phb_fhir.interactions.statements import Statements
from phb_fhir.interactions.together import Together
from phb_fhir.operations.registry import OPERATIONS, check_promises
from phb_fhir.outcome import Rejected
from phb_fhir.rules.commissioning import read_policies
from phb_fhir.search.paging import Pager
from phb_fhir.security.advertised import nobody_signs_in
from phb_fhir.settings import API_PATH, Settings, WrongSetting, modes_of, read_settings
from phb_fhir.store.documents import PAGE_KEY
from phb_fhir.store.open import open_store
from phb_fhir.store.room import MB
from phb_fhir.store.store import Limits, Store
from phb_fhir.wire import log
from phb_fhir.wire.admission import Admission
from phb_fhir.wire.api import FhirApi
from phb_fhir.wire.limits import RateLimits
from phb_fhir.wire.metrics import Metrics
from phb_fhir.wire.middleware import App, Edge
from phb_fhir.wire.operators import Gate, build_operators
from phb_fhir.wire.smart import PATH as SMART_PATH
from phb_fhir.wire.smart import SmartConfiguration

if TYPE_CHECKING:
    from phb_fhir.security.authenticate import Authenticator

T = TypeVar("T")

_OPEN_AGAIN_S = 1.0
_CANCEL_AGAIN_S = 0.5
_CANCELS_MAX = 20
_BEGIN_MAX_S = 30.0  # the first time, the guide is put in place, which takes a moment
_log = structlog.get_logger("phb_fhir")


def create(
    settings: Settings | None = None, now: Callable[[], datetime] | None = None, new_id: Callable[[], str] | None = None
) -> App:
    """The server. Without settings given, they come from the environment: that is how worker processes are told.

    `now` and `new_id` are the clock and the source of ids, for tests that want to know what comes.
    """
    settings = settings or read_settings()
    log.configure(settings.log_format)
    world = _World.of(settings, now or _now, new_id or _new_id)
    metrics = Metrics()
    limits = RateLimits(settings)
    authenticator = None if settings.open else _authenticator(settings)
    advertised = nobody_signs_in if authenticator is None else authenticator.advertised
    api = FhirApi(settings, Admission(authenticator, limits))

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        store = open_store(settings, _limits(settings), metrics)
        knowledge = world.knowledge(store)

        refused = asyncio.Event()

        async def begin() -> None:
            context = world.context(store, knowledge, await _insist(lambda: _open(store), refused))
            await knowledge.ready.wait()
            await _insist(lambda: note_all(context), refused)
            await _insist(lambda: keep_guide(context, world.guide if settings.guide else NO_GUIDE), refused)
            api.context = context._replace(advertised=advertised)
            tasks.append(asyncio.create_task(keep_indexed(context)))
            if not settings.open:
                tasks.append(asyncio.create_task(keep_trail(context)))

        tasks = [asyncio.create_task(begin()), asyncio.create_task(knowledge.follow(store))]
        try:
            # nobody hears 503 of a start that goes well; with the database down the server starts all the same, and says so
            await _either(tasks[0], refused, _BEGIN_MAX_S)
            if tasks[0].done():
                tasks[0].result()  # a fault of our own ends the start, instead of answering 503 for good
            with suppress(
                asyncio.CancelledError
            ):  # told to end twice, it does: a stack trace would say nothing to anybody
                yield
        finally:
            await _end(tasks)
            await store.close()
            if authenticator is not None:
                await authenticator.close()

    operators = build_operators(lifespan, lambda: api.context.store if api.context else None, metrics)
    inside = _split(api, SmartConfiguration(advertised), Gate(operators, settings))
    return Edge(inside, settings, metrics, log.RequestLog(settings.log_format), limits)


@asynccontextmanager
async def at_work(settings: Settings) -> AsyncIterator[Context]:
    """What a command works with that changes the record beside a server, or without one. Raises Rejected."""
    world = _World.of(settings, _now, _new_id)
    store = open_store(settings, _limits(settings), Metrics())
    try:
        knowledge = world.knowledge(store)
        context = world.context(store, knowledge, await _open(store))
        await knowledge.load(store)
        yield context
    finally:
        await store.close()


@dataclass(frozen=True, slots=True)
class _World:
    """All that is read and decided before there is a database."""

    settings: Settings
    definitions: Definitions
    promised: Capability
    guide: Guide
    known: Registry
    now: Callable[[], datetime]
    new_id: Callable[[], str]

    @staticmethod
    def of(settings: Settings, now: Callable[[], datetime], new_id: Callable[[], str]) -> _World:
        definitions = load.load()
        promised = promises(definitions)
        check_types(settings, promised)
        read_policies(settings.commissioning_folder)  # so that a mistake in one ends the start
        guide = read_guide(data_path("profiles"))
        return _World(settings, definitions, promised, guide, Registry.of(definitions, guide.resources), now, new_id)

    def knowledge(self, store: Store) -> Knowledge:
        """What is known, which learns of what this process writes as it does."""
        knowledge = Knowledge(self.known, self.guide.urls)
        store.on_written = knowledge.learn
        return knowledge

    def context(self, store: Store, knowledge: Knowledge, page_key: bytes) -> Context:
        return Context(
            self.settings,
            self.definitions,
            knowledge,
            self.promised,
            store,
            store,
            Pager(page_key, self.settings.page_life_s),
            self.now,
            self.new_id,
            operations=OPERATIONS,
            scribe=Scribe(),
            statements=Statements(),
            together=Together(store, self.settings.commit_batch_max, self.settings.commit_time_max_s),
        )


@cache
def promises(definitions: Definitions) -> Capability:
    """What the capability statement promises: read and checked once in a process. Raises WrongCapability when it does not fit
    this software.
    """
    promised = capability.load(data_path("capability_statement.json"), definitions.resource_types)
    check_promised(promised, search_parameters(definitions))
    check_promises(promised)
    return promised


def check_types(settings: Settings, promised: Capability) -> None:
    """Raise WrongSetting when a setting names what is no type here: its protection would silently be off."""
    named = [("versioned_update", name) for name in settings.versioned_update]
    named += [("validation_modes", name) for name in modes_of(settings.validation_modes) if name != "*"]
    for setting, name in named:
        if name not in promised.types:
            near = get_close_matches(name, promised.types, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise WrongSetting(f"The setting {setting} names {name}, which is no resource type served here.{hint}")


async def _open(store: Store) -> bytes:
    """Open the store; gives the key that page links are signed with. Raises Rejected."""
    await store.open()
    return await store.secret(PAGE_KEY, secrets.token_bytes(32))


async def _either(task: asyncio.Task[None], event: asyncio.Event, most_s: float) -> None:
    """Wait for the end of the task, or for the event, or for so long."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait((task, waiting), timeout=most_s, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


async def _insist(work: Callable[[], Awaitable[T]], refused: asyncio.Event) -> T:
    """Do it, however long the database takes to come back; shutting down ends the wait."""
    while True:
        try:
            return await work()
        except Rejected as rejected:
            _log.warning("database", reason=rejected.issues[0].text)
        except Exception:
            if not refused.is_set():
                raise
            _log.exception("database")  # it was away when the server started: nobody is there to hear of a fault
        refused.set()
        await asyncio.sleep(_OPEN_AGAIN_S)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel these tasks, and again where that got lost: the `asyncio.wait_for` of Python 3.11, which the driver waits with,
    forgets a cancellation that comes together with what it waits for.
    """
    for _ in range(_CANCELS_MAX):
        for task in tasks:
            task.cancel()
        _, pending = await asyncio.wait(tasks, timeout=_CANCEL_AGAIN_S)
        if not pending:
            break
    await asyncio.gather(*(task for task in tasks if task.done()), return_exceptions=True)  # so that nobody misses them


def _authenticator(settings: Settings) -> Authenticator:
    from phb_fhir.security.authenticate import Authenticator  # noqa: PLC0415 - an open server needs no cryptography

    return Authenticator.of(settings)


def _split(api: FhirApi, smart: SmartConfiguration, operators: App) -> App:
    """FHIR below `/fhir`, and how to sign in there; everything else to the operators' application."""

    async def split(scope: Any, receive: Any, send: Any) -> None:
        path: str = scope.get("path", "")
        if scope["type"] == "http" and path == SMART_PATH:
            await smart(scope, receive, send)
        elif scope["type"] == "http" and (path == API_PATH or path.startswith(API_PATH + "/")):
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
        settings.disk_free_mb_min * MB,
    )


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    """A UUID of version 7: its start is the time, so that new resources lie side by side in every index."""
    return str(uuid_utils.uuid7())

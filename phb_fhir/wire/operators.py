"""What operators ask: is it alive, is it ready, how is it doing. A FastAPI application, with its own OpenAPI page.

Whether it is alive and ready, anybody may ask: what sends traffic does, and hears one word. The rest is for those at this machine,
and at the addresses that `operators` names; an open server, which answers its own machine alone, makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from phb_fhir import __version__
from phb_fhir.interactions.reindex import state_of
from phb_fhir.interactions.status import REFUSED
from phb_fhir.outcome import Issue, Kind, Refusal, Rejected, outcome_of
from phb_fhir.settings import API_PATH, Settings
from phb_fhir.store.store import Store
from phb_fhir.wire.metrics import Metrics
from phb_fhir.wire.middleware import App
from phb_fhir.wire.peer import LOOPBACK, is_forwarded, is_in, networks

_FOR_ANYBODY = frozenset({"/", "/health/live", "/health/ready"})
_IS_OPERATOR = "phb.operator"
_NOT_REACHED = ["the database has not been reached yet"]

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class IndexOfType(BaseModel):
    """Of `total` resources, `done` are found by every parameter of their type; `failed` could not be read, and have no values."""

    done: int
    total: int
    failed: int


class IndexWork(BaseModel):
    """How far the index values are: `status` is idle, running, or interrupted, until a worker takes it up again.

    `by` is the worker, `since` when the work was begun, `at` when this was last said.
    """

    status: str
    by: str = ""
    since: datetime | None = None
    at: datetime | None = None
    types: dict[str, IndexOfType] = {}


class Health(BaseModel):
    """`status` is ok or unavailable; `reasons` says in words what is missing."""

    status: str
    reasons: list[str] = []


def build_operators(lifespan: Lifespan, store: Callable[[], Store | None], metrics: Metrics) -> FastAPI:
    """The application beside the FHIR API. `store` gives the open store, or None while there is none."""
    app = FastAPI(title="phb_fhir, for operators", version=__version__, lifespan=lifespan, redoc_url=None)

    @app.get("/", include_in_schema=False)
    async def start() -> dict[str, str]:
        return {"fhir": API_PATH, "metadata": f"{API_PATH}/metadata", "operators": "/docs"}

    @app.get("/health/live")
    async def live() -> Health:
        """The process answers. It says nothing of the database."""
        return Health(status="ok")

    @app.get("/health/ready", responses={503: {"model": Health}})
    async def ready(request: Request, response: Response) -> Health:
        """The database is reached and has its indexes. Why not is for operators alone; and what is about to go wrong: it can be read still."""
        there = store()
        reasons = await _reasons(there)
        response.status_code = 503 if reasons else 200
        shortage = "" if there is None or reasons else await there.room.shortage()
        told = [*reasons, *filter(None, [shortage])] if request.scope.get(_IS_OPERATOR, True) else []
        return Health(status="unavailable" if reasons else "ok", reasons=told)

    @app.get("/index", responses={503: {"model": Health}})
    async def index(response: Response) -> IndexWork | Health:
        """How far resources are indexed by the search parameters of this moment (docs/search.md)."""
        try:
            there = store()
            if there is not None:
                return IndexWork.model_validate(await state_of(there))
            reasons = _NOT_REACHED
        except Rejected as rejected:
            reasons = [issue.text for issue in rejected.issues]
        response.status_code = 503
        return Health(status="unavailable", reasons=reasons)

    @app.get("/metrics")
    async def show_metrics() -> Response:
        """Prometheus text."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    app.exception_handler(HTTPException)(_tell)
    return app


async def _tell(request: Request, error: HTTPException) -> Response:
    """What is said where there is no such path, or another method is meant."""
    if (request.method, request.scope["path"]) == ("OPTIONS", "*"):  # of the server as a whole (RFC 9110 §9.3.7)
        return Response(status_code=204, headers={"Allow": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"})
    is_method = error.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    allowed = {"Allow": "GET, HEAD, OPTIONS"} if is_method else {}
    if is_method and request.method == "OPTIONS":
        return Response(status_code=204, headers=allowed)
    text = f"{error.detail}: the FHIR API is under {API_PATH}."
    kind = Kind.NOT_FOUND if error.status_code == 404 else Kind.NOT_SUPPORTED
    outcome = outcome_of([Issue(kind, text)])
    headers = {**(error.headers or {}), **allowed}
    return JSONResponse(outcome, error.status_code, headers, media_type="application/fhir+json")


class Gate:
    """Around the operators' application: who may see what of it."""

    def __init__(self, app: App, settings: Settings) -> None:
        self._app = app
        self._is_open = settings.open
        self._among = (*LOOPBACK, *networks(settings.operators))
        self._has_proxies = bool(settings.trusted_proxies)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and not self._is_open:
            scope[_IS_OPERATOR] = self._is_operator(scope)
            if not scope[_IS_OPERATOR] and scope["path"] not in _FOR_ANYBODY:
                await _not_for_you(scope, receive, send)
                return
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # what speaks HTTP leaves out the body (RFC 9110 §9.3.2)
        await self._app(scope, receive, send)

    def _is_operator(self, scope: Any) -> bool:
        if not self._has_proxies and is_forwarded(scope):
            return False  # a proxy at this machine that nobody spoke of: who is behind it is anybody
        return is_in(scope["phb.exchange"].address, self._among)


async def _not_for_you(scope: Any, receive: Any, send: Any) -> None:
    text = (
        f"{scope['path']} is for operators: it is shown at this machine, and to the addresses that PHB_OPERATORS names."
    )
    outcome = outcome_of([Issue(Kind.FORBIDDEN, text)])
    answer = JSONResponse(outcome, REFUSED[Refusal.FORBIDDEN], media_type="application/fhir+json")
    await answer(scope, receive, send)


async def _reasons(store: Store | None) -> list[str]:
    if store is None:
        return _NOT_REACHED
    try:
        return await store.check_ready()
    except Rejected as rejected:
        return [issue.text for issue in rejected.issues]

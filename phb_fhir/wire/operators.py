"""What operators ask: is it alive, is it ready, how is it doing. A FastAPI application, with its own OpenAPI page."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from phb_fhir import __version__
from phb_fhir.interactions.reindex import state_of
from phb_fhir.outcome import Issue, Kind, Rejected, outcome_of
from phb_fhir.settings import API_PATH
from phb_fhir.store.store import Store
from phb_fhir.wire.metrics import Metrics

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
    app = FastAPI(title="phb_fhir, for operators", version=__version__, lifespan=lifespan)

    @app.get("/", include_in_schema=False)
    async def start() -> dict[str, str]:
        return {"fhir": API_PATH, "metadata": f"{API_PATH}/metadata", "operators": "/docs"}

    @app.get("/health/live")
    async def live() -> Health:
        """The process answers. It says nothing of the database."""
        return Health(status="ok")

    @app.get("/health/ready", responses={503: {"model": Health}})
    async def ready(response: Response) -> Health:
        """The database is reached and has its indexes."""
        reasons = await _reasons(store())
        response.status_code = 503 if reasons else 200
        return Health(status="unavailable" if reasons else "ok", reasons=reasons)

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

    @app.exception_handler(HTTPException)
    async def tell(_request: Request, error: HTTPException) -> Response:
        text = f"{error.detail}: the FHIR API is under {API_PATH}."
        kind = Kind.NOT_FOUND if error.status_code == 404 else Kind.NOT_SUPPORTED
        outcome = outcome_of([Issue(kind, text)])
        return JSONResponse(outcome, error.status_code, error.headers, media_type="application/fhir+json")

    return app


async def _reasons(store: Store | None) -> list[str]:
    if store is None:
        return _NOT_REACHED
    try:
        return await store.check_ready()
    except Rejected as rejected:
        return [issue.text for issue in rejected.issues]

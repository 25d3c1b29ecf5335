"""The examples, loaded through the server's own API before anybody else may call it.

They go in as one transaction: all of them or none, whatever happens in the middle. So one of them, `MARKER`,
tells whether they are there, and a second start leaves alone what its user made of them, deletions included.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from uvicorn.lifespan.on import LifespanOn

from phb_fhir.cli.token import Asked, sign
from phb_fhir.data import data_path
from phb_fhir.fhir.codec import Resource, dumps, loads
from phb_fhir.settings import API_PATH
from phb_fhir.store.embedded import CannotStart

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from phb_fhir.settings import Settings

MARKER = "Account/jill-budget"
REQUESTS = "requests"  # the folder of examples that are bodies to send, and no resources of the record
READY_TIMEOUT_S = 60.0
_POLL_S = 0.05
_MINUTES = 10
_HEADERS = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}


def load_once(settings: Settings) -> None:
    """Loads the examples into the database of the environment's settings, unless they were. Raises CannotStart."""
    asyncio.run(_load_once(settings))
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another libc keeps what was freed, which does no harm
        ctypes.CDLL("libc.so.6").malloc_trim(0)


async def _load_once(settings: Settings) -> None:
    async with _api(settings) as api:
        await _until_ready(api)
        marker = await api.get(f"{API_PATH}/{MARKER}")
        if marker.status_code == 404:
            await _load(api, settings)


@asynccontextmanager
async def _api(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application as it stands in this process, with no socket between."""
    from phb_fhir.app import create  # noqa: PLC0415 - once the environment says where the database is

    headers = _HEADERS | _signed(settings)
    app = create(settings)
    lifespan = LifespanOn(uvicorn.Config(app, log_config=None, lifespan="on"))
    await lifespan.startup()
    transport = httpx.ASGITransport(app=app)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as api:
            yield api
    finally:
        await lifespan.shutdown()


def _signed(settings: Settings) -> dict[str, str]:
    """What the examples are loaded with where nobody may do that unasked: a token of the local key, as the system itself."""
    if settings.open:
        return {}
    if not settings.trust_local_key:
        raise CannotStart(
            "--demo loads the examples through the API, as somebody who may: add --trust-local-key, or --open."
        )
    return {"Authorization": f"Bearer {sign(settings, 'demo', Asked('system', 'The examples'), _MINUTES)}"}


async def _until_ready(api: httpx.AsyncClient) -> None:
    for _ in range(round(READY_TIMEOUT_S / _POLL_S)):
        if (await api.get("/health/ready")).status_code == 200:
            return
        await asyncio.sleep(_POLL_S)
    raise CannotStart(
        f"The examples could not be loaded: the server was not ready within {READY_TIMEOUT_S:.0f} seconds."
    )


async def _load(api: httpx.AsyncClient, settings: Settings) -> None:
    files = list(example_files())
    with _progress() as progress:
        task = progress.add_task("Reading the examples", total=len(files))
        entries = []
        for file in files:
            entries.append(_entry(settings, loads(file.read_bytes(), depth_max=settings.depth_max)))
            progress.advance(task)
        progress.update(task, description=f"Recording {len(entries)} examples", total=None)
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        answer = await api.post(API_PATH, content=dumps(bundle))
        progress.update(task, description=f"Recorded {len(entries)} examples", total=len(files))
    if answer.status_code != 200:
        raise CannotStart(f"The examples could not be loaded: {_first_issue(answer)}")


def example_files() -> Iterator[Path]:
    """The resources among the examples, in an order that is always the same."""
    for folder in sorted(data_path("examples").iterdir()):
        if folder.is_dir() and folder.name != REQUESTS:
            yield from sorted(folder.glob("*.json"))


def _entry(settings: Settings, resource: Resource) -> dict[str, Any]:
    where = f"{resource['resourceType']}/{resource['id']}"
    return {
        "fullUrl": f"{settings.api_url}/{where}",
        "resource": resource,
        "request": {"method": "PUT", "url": where},
    }


def _first_issue(answer: httpx.Response) -> str:
    try:
        issue = answer.json()["issue"][0]
        where = f" ({issue['expression'][0]})" if issue.get("expression") else ""
        return f"{issue['diagnostics']}{where}"
    except (ValueError, LookupError, TypeError):
        return f"the server answered {answer.status_code}."


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))

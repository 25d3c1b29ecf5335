"""The ceiling for one worker: an ASGI application that answers the bytes in the file that BENCH_BODY names, whatever is asked."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Send = Callable[[dict[str, Any]], Awaitable[None]]

BODY_VARIABLE = "BENCH_BODY"


def create() -> Callable[[Any, Any, Send], Awaitable[None]]:
    body = Path(os.environ[BODY_VARIABLE]).read_bytes()
    headers = [(b"content-type", b"application/fhir+json"), (b"content-length", str(len(body)).encode())]
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    end = {"type": "http.response.body", "body": body}

    async def bare(_scope: Any, _receive: Any, send: Send) -> None:
        await send(start)
        await send(end)

    return bare

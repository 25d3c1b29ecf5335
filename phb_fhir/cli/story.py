"""`phb-fhir demo story`: Jill's story and the family's, told by taking every step of them over HTTP, and ended by a check of the record.

The server is a fresh one, private and gone afterwards, where each person asks with a token of their own; or one that runs already
(`--base`), where one token, which may do everything, asks for all of them, or none does.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from rich.console import Console

from phb_fhir.cli.story_family import Family
from phb_fhir.cli.story_jill import Jill
from phb_fhir.cli.teller import StoryEnded, Teller, reasons_in
from phb_fhir.cli.token import Asked, sign
from phb_fhir.settings import API_PATH, PREFIX, Settings, read_settings
from phb_fhir.store.embedded import CannotStart
from phb_fhir.store.processes import end, free_port

if TYPE_CHECKING:
    from phb_fhir.cli.teller import Resource

EXIT_ENDED = 1
READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0
_POLL_S = 0.1
_MINUTES = 60  # that a token of the story holds
_AUDITOR = Asked("auditor", "An auditor")
# what a private server has from nobody but this command
_PRIVATE = {f"{PREFIX}WORKERS": "1", f"{PREFIX}RATE_CLIENT_MAX": "0"}
_KEPT = (f"{PREFIX}MONGODB_CACHE_MB", f"{PREFIX}MONGODB_START_TIMEOUT_S")


def story(base: str | None, token: str) -> int:
    """Tells both stories; gives the code to end with, 1 where one could not be told to its end. Raises CannotStart."""
    console = Console(highlight=False)
    if base is not None:
        address = base.rstrip("/")
        return _tell(console, address, lambda _: token, is_signed_in=False)
    with _private_server(console) as (address, token_of):
        return _tell(console, address, token_of, is_signed_in=True)


def _tell(console: Console, base: str, token_of: Callable[[Asked], str], *, is_signed_in: bool) -> int:
    tellers: list[Teller] = []
    try:
        for one in (Jill, Family):
            teller = Teller(base, token_of, console, secrets.token_hex(3), is_signed_in=is_signed_in)
            tellers.append(teller)
            one(teller).tell()
        return _checked(console, tellers)
    except StoryEnded as ended:
        console.print(f"\nHere the story ended. {ended}", markup=False, soft_wrap=True)
        return EXIT_ENDED
    finally:
        for teller in tellers:
            teller.close()


def _checked(console: Console, tellers: list[Teller]) -> int:
    """The last step: everything is worked out anew, and agrees."""
    tellers[-1].chapter("Is it all whole?")
    found: Resource = tellers[-1].send(_AUDITOR, "GET", "/$fsck")
    tellers[-1].recite(reasons_in(found))
    steps, refusals = (sum(getattr(one, name) for one in tellers) for name in ("steps", "refusals"))
    console.print(f"\n{steps} requests, {refusals} of them rightly refused.")
    return EXIT_ENDED if any(issue["severity"] != "information" for issue in found["issue"]) else 0


# ---- a server of its own -----------------------------------------------------------------------------


@contextmanager
def _private_server(console: Console) -> Iterator[tuple[str, Callable[[Asked], str]]]:
    """A fresh server with a MongoDB of its own, which goes when the story is told; and what signs tokens for it."""
    with tempfile.TemporaryDirectory(prefix="phb-fhir-story-") as folder:
        data, port = Path(folder) / "data", free_port()
        settings = read_settings(data=data, port=port, trust_local_key=True)
        tokens: dict[Asked, str] = {}

        def token_of(who: Asked) -> str:
            if who not in tokens:
                tokens[who] = sign(settings, who.name, who, _MINUTES)
            return tokens[who]

        token_of(_AUDITOR)  # which makes the key that the server trusts
        with _running(settings, Path(folder) / "log", console):
            yield f"http://127.0.0.1:{port}{API_PATH}", token_of


@contextmanager
def _running(settings: Settings, log: Path, console: Console) -> Iterator[None]:
    words = ["serve", "--data", str(settings.data), "--port", str(settings.port), "--trust-local-key"]
    bare = {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX) or name in _KEPT}
    with log.open("wb") as output:
        command = [sys.executable, "-m", "phb_fhir.cli.main", *words]
        process = subprocess.Popen(  # noqa: S603 - our own program
            command, env={**bare, **_PRIVATE}, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        try:
            with console.status("Starting a server of its own"):
                _until_ready(settings.port, process, log)
            yield
        finally:
            end(process, STOP_TIMEOUT_S)


def _until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(round(READY_TIMEOUT_S / _POLL_S)):
        if process.poll() is not None:
            said = log.read_text(errors="replace").strip().splitlines()
            raise CannotStart(f"The server for the story did not start. {said[-1] if said else ''}".strip())
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(_POLL_S)
    raise CannotStart(f"The server for the story was not ready within {READY_TIMEOUT_S:.0f} seconds.")

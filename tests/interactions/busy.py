"""Somebody who writes all the time, for tests of what readers see meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self, TypeVar

import httpx

T = TypeVar("T")
WAIT_S = 30.0


class Writer:
    """A context manager: a thread calls `change(client, number)`, again and again. What it raises is raised at the end."""

    def __init__(self, base: str, change: Callable[[httpx.Client, int], Any]) -> None:
        self._base = base
        self._change = change
        self._stop = False
        self._done = 0
        self._turn = threading.Condition()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._thread.join(WAIT_S)
        if self._error is not None:
            raise self._error

    def between(self, items: Iterable[T]) -> Iterator[T]:
        """`items`, after each of which at least one more change is made."""
        for item in items:
            yield item
            self._wait_for_more()

    def _wait_for_more(self) -> None:
        with self._turn:
            before = self._done
            assert self._turn.wait_for(lambda: self._done > before or self._error, WAIT_S)

    def _run(self) -> None:
        headers = {"Content-Type": "application/fhir+json", "Prefer": "return=minimal"}
        try:
            with httpx.Client(base_url=self._base, headers=headers, timeout=WAIT_S) as client:
                while not self._stop:
                    self._change(client, self._done)
                    with self._turn:
                        self._done += 1
                        self._turn.notify_all()
        except BaseException as error:  # noqa: BLE001 - raised again where the test waits
            with self._turn:
                self._error = error
                self._turn.notify_all()

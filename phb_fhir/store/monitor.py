"""What MongoDB is asked and how long it takes, told to whoever counts."""

from __future__ import annotations

from typing import Protocol

from pymongo import monitoring

from phb_fhir.store.watch import AWAIT_MAX_MS


class Counts(Protocol):
    def command(self, name: str, seconds: float, *, succeeded: bool) -> None: ...

    def connections(self, state: str, change: int) -> None: ...

    def room(self, left: int) -> None: ...


class CommandTimes(monitoring.CommandListener):
    """Waiting for news (`store/watch.py`) is not counted: it takes as long as there are none."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._waits: set[int] = set()

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name == "getMore" and event.command.get("maxTimeMS") == AWAIT_MAX_MS:
            self._waits.add(event.request_id)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self._count(event, succeeded=True)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        self._count(event, succeeded=False)

    def _count(
        self, event: monitoring.CommandSucceededEvent | monitoring.CommandFailedEvent, *, succeeded: bool
    ) -> None:
        if event.request_id in self._waits:
            self._waits.discard(event.request_id)
        else:
            self._counts.command(event.command_name, event.duration_micros / 1e6, succeeded=succeeded)


# the listener interface names every argument `event`, used or not
# ruff: noqa: ARG002


class PoolSizes(monitoring.ConnectionPoolListener):
    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def connection_created(self, event: monitoring.ConnectionCreatedEvent) -> None:
        self._counts.connections("open", 1)

    def connection_closed(self, event: monitoring.ConnectionClosedEvent) -> None:
        self._counts.connections("open", -1)

    def connection_checked_out(self, event: monitoring.ConnectionCheckedOutEvent) -> None:
        self._counts.connections("in use", 1)

    def connection_checked_in(self, event: monitoring.ConnectionCheckedInEvent) -> None:
        self._counts.connections("in use", -1)

    def pool_created(self, event: monitoring.PoolCreatedEvent) -> None:
        pass

    def pool_ready(self, event: monitoring.PoolReadyEvent) -> None:
        pass

    def pool_cleared(self, event: monitoring.PoolClearedEvent) -> None:
        pass

    def pool_closed(self, event: monitoring.PoolClosedEvent) -> None:
        pass

    def connection_ready(self, event: monitoring.ConnectionReadyEvent) -> None:
        pass

    def connection_check_out_started(self, event: monitoring.ConnectionCheckOutStartedEvent) -> None:
        pass

    def connection_check_out_failed(self, event: monitoring.ConnectionCheckOutFailedEvent) -> None:
        pass

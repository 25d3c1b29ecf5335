"""What MongoDB is asked and how long it takes, told to whoever counts."""

from __future__ import annotations

from typing import Protocol

from pymongo import monitoring


class Counts(Protocol):
    def command(self, name: str, seconds: float, *, succeeded: bool) -> None: ...

    def connections(self, state: str, change: int) -> None: ...


class CommandTimes(monitoring.CommandListener):
    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        pass

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self._counts.command(event.command_name, event.duration_micros / 1e6, succeeded=True)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        self._counts.command(event.command_name, event.duration_micros / 1e6, succeeded=False)


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

"""What `/metrics` shows (Prometheus): requests, their durations, MongoDB's commands and its connections."""

from __future__ import annotations

import os
from collections import Counter as Counts

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from phb_fhir.wire.exchange import Exchange

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """One set a process; `under_way` are the requests not answered yet.

    With several workers (PROMETHEUS_MULTIPROC_DIR is set) what is shown is the sum of all.
    """

    def __init__(self) -> None:
        self.under_way = 0
        self._waiting: list[tuple[Exchange, float]] = []
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "phb_fhir_requests",
            "Requests answered",
            ("interaction", "type", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "phb_fhir_request_seconds",
            "Time to answer",
            ("interaction",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._shown_under_way = Gauge(
            "phb_fhir_requests_under_way",
            "Requests not answered yet",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._commands = Histogram(
            "phb_fhir_mongodb_command_seconds",
            "Time of MongoDB commands",
            ("command", "outcome"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._connections = Gauge(
            "phb_fhir_mongodb_connections",
            "MongoDB connections, open and in use",
            ("state",),
            registry=self._registry,
            multiprocess_mode="livesum",
        )

        self._room = Gauge(
            "phb_fhir_mongodb_disk_free_bytes",
            "What is left on the disk of MongoDB, when somebody last looked",
            registry=self._registry,
            multiprocess_mode="livemin",
        )

    def begun(self) -> None:
        self.under_way += 1

    def ended(self, exchange: Exchange, seconds: float) -> None:
        self.under_way -= 1
        self._waiting.append((exchange, seconds))

    def settle(self) -> None:
        """Count what has begun and ended since the last time: once for many is cheaper than once for each."""
        ended, self._waiting = self._waiting, []
        self._shown_under_way.set(self.under_way)
        cells = Counts((exchange.interaction, exchange.type, exchange.status) for exchange, _ in ended)
        for (interaction, type_, status), count in cells.items():
            self._requests.labels(interaction, type_, str(status)).inc(count)
        clocks = {exchange.interaction: self._seconds.labels(exchange.interaction) for exchange, _ in ended}
        for exchange, seconds in ended:
            clocks[exchange.interaction].observe(seconds)

    def command(self, name: str, seconds: float, *, succeeded: bool) -> None:
        self._commands.labels(name, "ok" if succeeded else "failed").observe(seconds)

    def connections(self, state: str, change: int) -> None:
        self._connections.labels(state).inc(change)

    def room(self, left: int) -> None:
        self._room.set(left)

    def text(self) -> bytes:
        """The exposition of this process, or of all of them."""
        self.settle()
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)

"""Structured logs: one JSON object a line on stderr, or coloured lines for a person.

A request's line has its id, interaction, type, status and time. It never has the query or the body: a search for an NHS
number must not leave that number in a log file. Of a fault it has where and what, and not the words (`wire/discreet`).
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
import structlog

from phb_fhir.wire.discreet import first_line, mask_numbers, tell_exception
from phb_fhir.wire.exchange import Exchange

_LINES_AT_ONCE = 12  # that is under 4096 bytes, which go into a pipe whole, whatever other workers write there
_LINE = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z


def configure(log_format: Literal["json", "console"]) -> None:
    """Set up logging for this process; what libraries log goes the same way."""
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    shared: list[Any] = [structlog.stdlib.add_log_level, stamp, tell_exception, mask_numbers]
    renderer: Any = _for_people() if log_format == "console" else _json
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr)
        if log_format == "console"
        else structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    render = _for_people() if log_format == "console" else structlog.processors.JSONRenderer()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
            foreign_pre_chain=[first_line, *shared],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _for_people() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())


class RequestLog:
    """The line that each request leaves. As JSON, the lines of one turn of the event loop are written together."""

    def __init__(self, log_format: Literal["json", "console"]) -> None:
        self._log = structlog.get_logger("phb_fhir.request")
        self._as_json = log_format == "json"
        self._out = sys.stderr.buffer
        self._waiting: list[tuple[Exchange, str, float]] = []

    def ended(self, exchange: Exchange, method: str, seconds: float) -> None:
        """Note a request that was answered, for the next `write`."""
        self._waiting.append((exchange, method, seconds))

    def write(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not self._as_json:
            for one in waiting:
                self._log.info("request", **_line(*one))
            return
        stamp = {"event": "request", "level": "info", "timestamp": datetime.now(UTC)}
        lines = [orjson.dumps(_line(*one) | stamp, option=_LINE) for one in waiting]
        for start in range(0, len(lines), _LINES_AT_ONCE):
            self._out.write(b"".join(lines[start : start + _LINES_AT_ONCE]))
            self._out.flush()


def _line(exchange: Exchange, method: str, seconds: float) -> dict[str, Any]:
    return {
        "request_id": exchange.request_id,
        "method": method,
        "interaction": exchange.interaction,
        "type": exchange.type,
        "status": exchange.status,
        "ms": round(seconds * 1000, 2),
    }


def _json(_logger: Any, _method: str, event: dict[str, Any]) -> bytes:
    return orjson.dumps(event, default=str)

"""Structured logs: one JSON object a line on stderr, or coloured lines for a person.

A request's line has its id, interaction, type, status and time. It never has the query or the body: a search for an NHS
number must not leave that number in a log file.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import orjson
import structlog


def configure(log_format: Literal["json", "console"]) -> None:
    """Set up logging for this process; what libraries log goes the same way."""
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    shared: list[Any] = [structlog.stdlib.add_log_level, stamp, structlog.processors.format_exc_info]
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
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _for_people() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())


def _json(_logger: Any, _method: str, event: dict[str, Any]) -> bytes:
    return orjson.dumps(event, default=str)

"""What is known of one request while it is answered: for the log, the metrics and the X-Request-ID header."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Exchange:
    request_id: str
    interaction: str = "other"
    type: str = ""
    status: int = 0

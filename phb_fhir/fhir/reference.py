"""References and ids, as text (R4 §2.3, §2.24.0.1 id)."""

from __future__ import annotations

import re

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


def is_id(text: str) -> bool:
    """Whether `text` can be a resource's logical id."""
    return _ID.fullmatch(text) is not None

"""Escapes in search values: a backslash before a comma, bar, dollar or backslash (R4 §3.1.1.4.19).

Any other backslash stands for itself here; `search/conditions` refuses a query that has one, as R4 asks.
"""

from __future__ import annotations

import re

_ESCAPED = re.compile(r"\\([,|$\\])")


def split_escaped(text: str, separator: str, *, keep_escapes: bool = False) -> list[str]:
    """`text` cut at each unescaped separator; escapes are resolved unless they are wanted for a later cut."""
    if "\\" not in text:
        return text.split(separator)
    parts = [""]
    for piece in re.split(r"(\\[,|$\\])", text):  # every second one is an escape
        if _ESCAPED.fullmatch(piece):
            parts[-1] += piece if keep_escapes else piece[1]
        else:
            first, *others = piece.split(separator)
            parts[-1] += first
            parts += others
    return parts


def unescape(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)

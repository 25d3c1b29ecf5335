"""Escapes in search values: a backslash before a comma, bar, dollar or backslash (R4 §3.1.1.4.0.1)."""

from __future__ import annotations

import re


def split_escaped(text: str, separator: str, *, keep_escapes: bool = False) -> list[str]:
    """`text` cut at each unescaped separator; escapes are resolved unless they are wanted for a later cut."""
    parts, current, escaped = [], "", False
    for letter in text:
        if escaped:
            current, escaped = current + ("\\" if keep_escapes else "") + letter, False
        elif letter == "\\":
            escaped = True
        elif letter == separator:
            parts.append(current)
            current = ""
        else:
            current += letter
    parts.append(current + ("\\" if escaped else ""))
    return parts


def unescape(text: str) -> str:
    return re.sub(r"\\([,|$\\])", r"\1", text)

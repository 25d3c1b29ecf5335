"""Token parameters: `system|code`, `code`, `|code`, `system|` (R4 §3.1.1.4.10).

A resource's token is kept twice, so that every form is one equality or one prefix of an index:
`identifier=https://fhir.nhs.uk/Id/nhs-number|9000000009` and, for a search that names no system, `identifier=*9000000009`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from phb_fhir.outcome import Kind, Refusal, refuse
from phb_fhir.query import Token
from phb_fhir.search.escapes import split_escaped

ANY_SYSTEM = "*"


def parse(parameter: str, text: str) -> Token:
    """The token that one value of a query string asks for. Raises Rejected (400) when it says nothing."""
    parts = split_escaped(text, "|")
    if len(parts) > 2:
        raise refuse(
            Refusal.BAD_REQUEST, Kind.INVALID,
            f"{parameter}={text} has more than one '|'; write [system]|[code], and a '|' inside either as '\\|'",
        )  # fmt: skip
    system, code = (None, parts[0]) if len(parts) == 1 else (parts[0], parts[1] or None)
    if not system and not code:
        raise refuse(
            Refusal.BAD_REQUEST,
            Kind.INVALID,
            f"{parameter} needs a value: [code], [system]|[code], |[code] or [system]|",
        )
    return Token(parameter, system, code)


def entries(parameter: str, element: Any) -> Iterator[str]:
    """The index entries of one element: an Identifier for now; every token type once search is built out."""
    if isinstance(element, dict) and isinstance(value := element.get("value"), str):
        system = element.get("system")
        yield f"{parameter}={_escaped(system) if isinstance(system, str) else ''}|{value}"
        yield f"{parameter}={ANY_SYSTEM}{value}"


def entry_wanted(token: Token) -> tuple[str, str | None]:
    """The entry a search looks for: (entry, None) for equality, (low, high) for every entry from low up to, not including, high."""
    if token.system is None:
        return f"{token.parameter}={ANY_SYSTEM}{token.code}", None
    start = f"{token.parameter}={_escaped(token.system)}|"
    if token.code is None:
        return start, start[:-1] + chr(ord("|") + 1)
    return start + token.code, None


def _escaped(system: str) -> str:
    # so that no system can be read as another's end, or as the mark of any system
    return system.replace("\\", "\\\\").replace("|", "\\|").replace(ANY_SYSTEM, f"\\{ANY_SYSTEM}")

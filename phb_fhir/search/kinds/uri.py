"""Uri parameters (R4 §3.1.1.4.14): the whole uri, letter for letter. For now `url`, by which definitions are found.

A canonical may carry the version it means, `url=https://example.org/ValueSet/a|1.0` (R4 §2.3.0.5.1), so a definition is kept
in the index under its url, and under its url with its version.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from phb_fhir.outcome import Kind, Refusal, refuse
from phb_fhir.query import Uri
from phb_fhir.search.escapes import split_escaped


def parse(parameter: str, text: str) -> Uri:
    """The uri that one value of a query string asks for. Raises Rejected (400) when it says nothing."""
    parts = split_escaped(text, "|")
    if len(parts) > 2 or not all(parts):
        raise refuse(
            Refusal.BAD_REQUEST, Kind.INVALID,
            f"{parameter}={text} is not [url] or [url]|[version]; a '|' inside either is written '\\|'",
        )  # fmt: skip
    return Uri(parameter, parts[0], parts[1] if len(parts) == 2 else None)


def entries(parameter: str, uri: Any, version: Any) -> Iterator[str]:
    """The index entries of a definition with this url and version."""
    if isinstance(uri, str):
        yield entry_wanted(Uri(parameter, uri, None))
        if isinstance(version, str):
            yield entry_wanted(Uri(parameter, uri, version))


def entry_wanted(asked: Uri) -> str:
    """The entry a search looks for."""
    start = f"{asked.parameter}={_escaped(asked.uri)}"
    return start if asked.version is None else f"{start}|{_escaped(asked.version)}"


def _escaped(text: str) -> str:
    # so that no url can be read as another with its version
    return text.replace("\\", "\\\\").replace("|", "\\|")

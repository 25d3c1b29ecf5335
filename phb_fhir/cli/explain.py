"""`phb-fhir explain`: how a running server answers a search, and what that costs its database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import typer

from phb_fhir.settings import Settings

EXIT_REFUSED = 2
ASKED_MAX_S = 60.0
LINE_MAX = 80  # characters of what is made of parts, to stand on one line
_FOR_THE_SHELL = ("filter", "sort")  # to be pasted into one of MongoDB's, as they are
_FHIR_JSON = "application/fhir+json"


def explain(settings: Settings, search: str, server: str | None, token: str) -> int:
    """Asks the server and says what it says; gives the code to end with."""
    address = f"{(server or settings.api_url).rstrip('/')}/{search.lstrip('/')}"
    asked = httpx.URL(address).copy_add_param("_explain", "true")
    headers = {"Accept": _FHIR_JSON} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        with httpx.Client(timeout=ASKED_MAX_S, headers=headers, follow_redirects=False) as client:
            answer = client.get(asked)
        said = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        typer.echo(f"phb-fhir: {address} gives no answer of a FHIR server: {error}", err=True)
        return EXIT_REFUSED
    if answer.status_code != 200:
        for issue in said.get("issue", []):
            typer.echo(f"phb-fhir: {issue.get('diagnostics', issue.get('code'))}", err=True)
        return EXIT_REFUSED
    for line in lines(said):
        typer.echo(line)
    return 0


def lines(bundle: dict[str, Any]) -> Iterator[str]:
    """What a searchset with an explanation says, for a person."""
    entries = bundle.get("entry", [])
    matches = sum(entry.get("search", {}).get("mode") == "match" for entry in entries)
    total = f" of {bundle['total']}" if "total" in bundle else ""
    yield f"{matches}{total} found on this page"
    for link in bundle.get("link", []):
        if link["relation"] == "self":
            yield f"applied: {link['url']}"
    for text in _explanations(entries):
        yield from _told(text)


def _explanations(entries: list[dict[str, Any]]) -> Iterator[Any]:
    """The explanations among the outcomes: the diagnostics that are JSON objects."""
    for entry in entries:
        if entry.get("search", {}).get("mode") == "outcome":
            for issue in entry["resource"].get("issue", []):
                try:
                    said = orjson.loads(issue.get("diagnostics", ""))
                except orjson.JSONDecodeError:
                    said = None
                if isinstance(said, dict):
                    yield said


def _told(said: dict[str, Any], indent: str = "") -> Iterator[str]:
    """One line for what is short, several with an indent for what is made of parts."""
    for name, value in said.items():
        if isinstance(value, dict) and name not in _FOR_THE_SHELL and len(_short(value)) > LINE_MAX:
            yield f"{indent}{name}:"
            yield from _told(value, indent + "  ")
        elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
            yield f"{indent}{name}:"
            for each in value:
                parts = (
                    _told(each, indent + "    ") if isinstance(each, dict) else iter([f"{indent}    {_short(each)}"])
                )
                first = next(parts, f"{indent}    ")
                yield f"{indent}  - {first.lstrip()}"
                yield from parts
        else:
            yield f"{indent}{name}: {_short(value)}"


def _short(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()

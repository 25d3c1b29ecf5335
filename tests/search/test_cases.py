"""What R4's search page promises, sentence by sentence: `cases/*.yaml`, a file for each section, asked over HTTP.

A file has groups; a group's `given` resources are there while its `cases` are asked, and nothing else is. A case `says`
the promise in our words and `asks` for a path (`{base}` is the server's address, `{at:Patient/x}` when that was last
updated). What must come back is any of

    finds:    the ids of the matches, in any order (`Type/id` where several types are searched)
    in_order: the ids of the matches as they must follow each other
    includes: what comes along, as `Type/id`
    total:    Bundle.total; `~` where there must be none
    applied:  the query of the self link, as a list of `name=value`
    outcome:  the words that the one entry of mode `outcome` must have
    elements: by id, the elements that a returned resource has
    versions: by id, the versions of it that are in the Bundle
    links:    the relations of the Bundle's links
    refused:  {status, code, says}: how it is turned down, the words its sentence must have

`raw` sends the path as it is written, for cases about encoding; `form` asks by POST; `headers` are added.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
import yaml

from tests.builders import bundle, entry
from tests.running import RunningServer

FOLDER = Path(__file__).parent / "cases"
DEFINITIONS = ("ValueSet", "CodeSystem")
EXPECTATIONS = frozenset(
    ("finds", "in_order", "includes", "total", "applied", "outcome", "elements", "versions", "links", "refused")
)
WORDS = EXPECTATIONS | {"says", "asks", "raw", "form", "headers"}


class Case(NamedTuple):
    file: str
    group: int
    given: list[dict[str, Any]]
    one_by_one: bool
    told: dict[str, Any]


def _cases() -> Iterator[Case]:
    for path in sorted(FOLDER.glob("*.yaml")):
        groups = yaml.safe_load(path.read_text())["groups"]
        for number, group in enumerate(groups):
            for told in group["cases"]:
                yield Case(path.stem, number, group["given"], group.get("one_by_one", False), told)


CASES = list(_cases())


def _name(case: Case) -> str:
    return f"{case.file}: {case.told['says']}"


class Given:
    """The server with the resources of one group; loaded when the first of the group's cases is asked."""

    def __init__(self, client: httpx.Client, server: RunningServer, database: Any) -> None:
        self.client = client
        self.base = server.base
        self._server = server
        self._database = database
        self._loaded: tuple[str, int] | None = None
        self._definitions: list[str] = []
        self.at: dict[str, str] = {}

    def load(self, case: Case) -> None:
        if self._loaded == (case.file, case.group):
            return
        self.clear()
        given = [self.told(one) for one in case.given]
        entries = [entry("PUT", f"{one['resourceType']}/{one['id']}", one) for one in given]
        for crowd in [[one] for one in entries] if case.one_by_one else [entries]:
            answer = self.client.post("/", json=bundle("transaction", *crowd))
            assert answer.status_code == 200, answer.text
            for asked, done in zip(crowd, answer.json()["entry"], strict=True):
                self.at[asked["request"]["url"]] = done["response"]["lastModified"]
        self._loaded = (case.file, case.group)
        self._definitions = [one["request"]["url"] for one in entries if one["resource"]["resourceType"] in DEFINITIONS]

    def clear(self) -> None:
        for url in self._definitions:  # through the server, so that it knows them gone
            assert self.client.delete(f"/{url}").status_code in (200, 204)
        for collection in ("resources", "history", "locks"):
            self._database[collection].delete_many({})
        self._server.foretold.reset()
        self._loaded, self._definitions = None, []

    def told(self, anything: Any) -> Any:
        """With the server's own address, and the times of what was given, in place of their names."""
        if isinstance(anything, str):
            text = anything.replace("{base}", self.base)
            return re.sub(r"\{at:([^}]+)\}", lambda found: self.at[found[1]], text)
        if isinstance(anything, list):
            return [self.told(one) for one in anything]
        if isinstance(anything, dict):
            return {name: self.told(value) for name, value in anything.items()}
        return anything


@pytest.fixture(scope="module")
def given(server: RunningServer, mongodb_admin: Any) -> Iterator[Given]:
    headers = {"Accept": "application/fhir+json"}
    with httpx.Client(base_url=server.base, headers=headers, timeout=30, verify=False) as client:
        loaded = Given(client, server, mongodb_admin[server.settings.mongodb_database])
        yield loaded
        loaded.clear()


def _ask(given: Given, told: dict[str, Any]) -> httpx.Response:
    asks = given.told(told["asks"])
    headers = told.get("headers", {})
    if "form" in told:
        return given.client.post(asks, data=given.told(told["form"]), headers=headers)
    if told.get("raw"):
        return given.client.get(httpx.URL(given.base + asks), headers=headers)
    path, _, query = asks.partition("?")
    pairs = [tuple(pair.split("=", 1)) if "=" in pair else (pair, "") for pair in query.split("&")] if query else []
    return given.client.get(path, params=pairs, headers=headers)


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_search_keeps_what_its_section_promises(given: Given, case: Case) -> None:
    assert set(case.told) <= WORDS, "a word that the runner does not know checks nothing"
    assert EXPECTATIONS & set(case.told), "a case that expects nothing cannot fail"
    given.load(case)
    answer = _ask(given, case.told)
    if "refused" in case.told:
        _check_refused(answer, case.told["refused"])
        return
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["resourceType"], found["type"]) == ("Bundle", "searchset")
    for word in sorted(EXPECTATIONS & set(case.told)):
        CHECKS[word](found, given.told(case.told[word]))


def _check_refused(answer: httpx.Response, wanted: dict[str, Any]) -> None:
    assert answer.status_code == wanted["status"], answer.text
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    issues = outcome["issue"]
    assert wanted["code"] in [issue["code"] for issue in issues]
    said = " ".join(issue["diagnostics"] for issue in issues)
    for words in [wanted["says"]] if isinstance(wanted["says"], str) else wanted["says"]:
        assert words in said


def _entries(found: dict[str, Any], mode: str) -> list[dict[str, Any]]:
    return [one["resource"] for one in found.get("entry", []) if one["search"]["mode"] == mode]


def _keys(resources: list[dict[str, Any]]) -> list[str]:
    return [f"{one['resourceType']}/{one['id']}" for one in resources]


def _matches(found: dict[str, Any], wanted: list[str]) -> list[str]:
    """As they are written in the case: with their types, or ids alone."""
    keys = _keys(_entries(found, "match"))
    return keys if any("/" in one for one in wanted) else [one.partition("/")[2] for one in keys]


def _check_finds(found: dict[str, Any], wanted: list[str]) -> None:
    assert sorted(_matches(found, wanted)) == sorted(wanted)


def _check_order(found: dict[str, Any], wanted: list[str]) -> None:
    assert _matches(found, wanted) == wanted


def _check_includes(found: dict[str, Any], wanted: list[str]) -> None:
    assert sorted(_keys(_entries(found, "include"))) == sorted(wanted)


def _check_total(found: dict[str, Any], wanted: int | None) -> None:
    assert found.get("total") == wanted


def _check_applied(found: dict[str, Any], wanted: list[str]) -> None:
    (url,) = [link["url"] for link in found["link"] if link["relation"] == "self"]
    applied = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    assert [f"{name}={value}" for name, value in applied] == wanted


def _check_outcome(found: dict[str, Any], wanted: str) -> None:
    (outcome,) = _entries(found, "outcome")
    assert wanted in " ".join(issue["diagnostics"] for issue in outcome["issue"])


def _check_elements(found: dict[str, Any], wanted: dict[str, list[str]]) -> None:
    resources = [one["resource"] for one in found["entry"] if one["search"]["mode"] != "outcome"]
    shown = {one["id"]: sorted(one) for one in resources}
    assert {id_: shown[id_] for id_ in wanted} == {id_: sorted(names) for id_, names in wanted.items()}


def _check_versions(found: dict[str, Any], wanted: dict[str, list[str]]) -> None:
    shown = [(one["resource"]["id"], one["resource"]["meta"]["versionId"]) for one in found["entry"]]
    assert {id_: [version for one, version in shown if one == id_] for id_ in wanted} == wanted


def _check_links(found: dict[str, Any], wanted: list[str]) -> None:
    assert sorted(link["relation"] for link in found["link"]) == sorted(wanted)


CHECKS: dict[str, Callable[[dict[str, Any], Any], None]] = {
    "finds": _check_finds,
    "in_order": _check_order,
    "includes": _check_includes,
    "total": _check_total,
    "applied": _check_applied,
    "outcome": _check_outcome,
    "elements": _check_elements,
    "links": _check_links,
    "versions": _check_versions,
}

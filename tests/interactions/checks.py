"""What several tests of writing ask of an answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.builders import NHS_NUMBER, bundle
from tests.running import RunningServer, new_database

JSON_PATCH = {"Content-Type": "application/json-patch+json"}


def refused(answer: httpx.Response, status: int, code: str, *words: str, at: str = "") -> dict[str, Any]:
    """The one issue of a refusal, once its status, issue code, words and expression are as they should be."""
    assert answer.status_code == status, answer.text
    return refused_by(answer.json(), code, *words, at=at)


def refused_by(outcome: dict[str, Any], code: str, *words: str, at: str = "") -> dict[str, Any]:
    """The one issue of an OperationOutcome, held to the same."""
    assert outcome["resourceType"] == "OperationOutcome"
    assert [issue["severity"] for issue in outcome["issue"]] == ["error"], outcome
    issue: dict[str, Any] = outcome["issue"][0]
    assert issue["code"] == code, issue
    assert issue.get("expression", [""]) == [at], issue
    for word in words:
        assert word in issue["details"]["text"], issue
    return issue


def told(answer: httpx.Response, status: int, text: str) -> None:
    """A success that is told as an OperationOutcome with one sentence, because Prefer asked for that."""
    assert answer.status_code == status, answer.text
    issue = {"severity": "information", "code": "informational", "details": {"text": text}, "diagnostics": text}
    assert answer.json() == {"resourceType": "OperationOutcome", "issue": [issue]}


def made(answer: httpx.Response, status: int = 201) -> dict[str, Any]:
    """The resource in the answer to a write that succeeded."""
    assert answer.status_code == status, answer.text
    resource: dict[str, Any] = answer.json()
    return resource


def sent(api: httpx.Client, kind: str, *entries: dict[str, Any], **headers: str) -> list[dict[str, Any]]:
    """The entries of the answer to a batch or transaction that succeeded; header names with `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = api.post("", json=bundle(kind, *entries), headers=named)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["resourceType"], answer.json()["type"]) == ("Bundle", f"{kind}-response")
    answered: list[dict[str, Any]] = answer.json()["entry"]
    assert len(answered) == len(entries)
    return answered


def nhs(number: str) -> str:
    """The search criteria for a person by NHS number."""
    return f"identifier={NHS_NUMBER}|{number}"


def ids(api: httpx.Client, question: str) -> list[str]:
    """The ids that a search finds, in order."""
    answer = api.get(question)
    assert answer.status_code == 200, answer.text
    return sorted(entry["resource"]["id"] for entry in answer.json().get("entry", []))


def versions(api: httpx.Client, key: str) -> list[tuple[str, str, bool]]:
    """The history of a resource, newest first: the method, the ETag, and whether there is content."""
    answer = api.get(f"{key}/_history")
    assert answer.status_code == 200, answer.text
    entries = answer.json()["entry"]
    assert answer.json()["total"] == len(entries)
    return [(each["request"]["method"], each["response"]["etag"], "resource" in each) for each in entries]


def nothing_was_written(api: httpx.Client) -> bool:
    """Whether the server's whole history is empty."""
    history = api.get("_history").json()
    return history["total"] == 0 and "entry" not in history


@contextmanager
def server_with(mongodb_uri: str, **settings: Any) -> Iterator[httpx.Client]:
    """A client of a server of its own, empty and with these settings."""
    headers = {"Content-Type": "application/fhir+json"}
    with (
        new_database(mongodb_uri) as database,
        RunningServer(mongodb_uri, database.name, **settings) as server,
        httpx.Client(base_url=server.base, headers=headers, timeout=30, verify=False) as api,
    ):
        yield api

"""How tests ask an operation, and what they make of its answer."""

from __future__ import annotations

from typing import Any

import httpx

Json = dict[str, Any]


def parameters(*rows: tuple[str, Any], **named: Any) -> Json:
    """Parameters with each value by its type; a row is (name, value) where a name stands twice or has a dash."""
    pairs = [*rows, *named.items()]
    return {"resourceType": "Parameters", "parameter": [{"name": name, **_valued(value)} for name, value in pairs]}


def _valued(value: Any) -> Json:
    if isinstance(value, dict):
        if "resourceType" in value:
            return {"resource": value}
        return {"valueCodeableConcept" if "coding" in value else "valueCoding": value}
    return {{bool: "valueBoolean", int: "valueInteger"}.get(type(value), "valueString"): value}


def said(answer: httpx.Response) -> Json:
    """The resource that an operation answered with."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/fhir+json;charset=utf-8"
    assert "etag" not in answer.headers
    assert "location" not in answer.headers
    resource: Json = answer.json()
    return resource


def values(answer: httpx.Response) -> Json:
    """The values of the Parameters that an operation answered with, by name."""
    resource = said(answer)
    assert resource["resourceType"] == "Parameters"
    return {row["name"]: next(v for k, v in row.items() if k != "name") for row in resource["parameter"]}


def issues(answer: httpx.Response) -> list[tuple[str, str, str]]:
    """What $validate found, in its order: severity, issue type, place."""
    return [found(issue) for issue in outcome(answer)]


def found(issue: Json) -> tuple[str, str, str]:
    return issue["severity"], issue["code"], issue.get("expression", [""])[0]


def outcome(answer: httpx.Response) -> list[Json]:
    resource = said(answer)
    assert resource["resourceType"] == "OperationOutcome"
    listed: list[Json] = resource["issue"]
    return listed


def good(text: str) -> Json:
    """The whole outcome of $validate where there is nothing to find."""
    issue = {"severity": "information", "code": "informational", "details": {"text": text}, "diagnostics": text}
    return {"resourceType": "OperationOutcome", "issue": [issue]}

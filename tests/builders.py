"""Small resources for tests: each function returns a valid R4 dict with one telling default."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
PURCHASE_REFERENCE = "https://fhir.phb.nhs.example/Id/phb-purchase-reference"


def person(nhs_number: str = "9000000009", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "identifier": [{"system": NHS_NUMBER, "value": nhs_number}],
        "name": [{"family": "Marsh", "given": ["Jill"]}],
        **more,
    }


def budget(person_reference: str = "Patient/jill", **more: Any) -> dict[str, Any]:
    return {"resourceType": "Account", "status": "active", "subject": [{"reference": person_reference}], **more}


def purchase(reference: str = "P-1", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "ChargeItem",
        "identifier": [{"system": PURCHASE_REFERENCE, "value": reference}],
        "status": "billable",
        "code": {"text": "Massage therapy"},
        "subject": {"reference": "Patient/jill"},
        **more,
    }


def task(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Task", "status": "requested", "intent": "order", **more}


def entry(
    method: str, url: str, resource: dict[str, Any] | None = None, full_url: str = "", **request: str
) -> dict[str, Any]:
    """An entry of a batch or transaction."""
    made: dict[str, Any] = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        made["resource"] = resource
    if full_url:
        made["fullUrl"] = full_url
    return made


def bundle(kind: str, *entries: dict[str, Any]) -> dict[str, Any]:
    """A Bundle of the type `kind`: transaction, batch, collection, …"""
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def bundle_of(resources: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """A transaction that puts each of them where it says it is."""
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in resources
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


class Problem(NamedTuple):
    """What a refusal says: its status, and of its one issue the type, the sentence and the place."""

    status: int
    code: str
    text: str
    expression: str = ""


def problem(answer: Any) -> Problem:
    """The refusal in an HTTP answer, which must be an OperationOutcome in full form (R4 §2.20) with one issue."""
    assert answer.headers["content-type"] == "application/fhir+json;charset=utf-8"
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    (issue,) = outcome["issue"]
    assert issue["severity"] in ("error", "fatal")
    assert issue["details"]["text"] == issue["diagnostics"]
    assert set(issue) <= {"severity", "code", "details", "diagnostics", "expression"}
    (place,) = issue.get("expression", [""])
    return Problem(answer.status_code, issue["code"], issue["diagnostics"], place)

"""Payments for tests: small PaymentReconciliations, bank accounts, and what the ledger has of it."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import httpx
from pymongo import MongoClient

from tests.running import RunningServer

BASE = "https://fhir.phb.nhs.example"
REFERENCE = f"{BASE}/Id/phb-payment-reference"
TYPE = "http://terminology.hl7.org/CodeSystem/payment-type"
NORTH = "Organization/harbourside-north"
WILLOW = "Organization/willow-tree-budgets"
DOCUMENTS = {"jill": "DocumentReference/jill-receipt-massage-2026-10-09"}


def pounds(amount: float | str) -> dict[str, Any]:
    return {"value": float(amount), "currency": "GBP"}


def line(amount: float | str, request: str = "", kind: str = "payment") -> dict[str, Any]:
    """A line of a payment."""
    made: dict[str, Any] = {"type": {"coding": [{"system": TYPE, "code": kind}]}, "amount": pounds(amount)}
    return made | ({"request": {"reference": request}} if request else {})


def payment(
    reference: str,
    *lines: dict[str, Any],
    payee: str,
    issuer: str = NORTH,
    account: str = "Account/jill-budget",
    part: str = "",
    outcome: str = "queued",
    **more: Any,
) -> dict[str, Any]:
    """A payment that is on its way, unless it says otherwise."""
    whole = round(sum(one["amount"]["value"] for one in lines), 2)
    extension = [
        {"url": f"{BASE}/StructureDefinition/phb-account", "valueReference": {"reference": account}},
        {"url": f"{BASE}/StructureDefinition/phb-payee", "valueReference": {"reference": payee}},
    ]
    if part:
        extension.append({"url": f"{BASE}/StructureDefinition/phb-element", "valueId": part})
    return {
        "resourceType": "PaymentReconciliation",
        "extension": extension,
        "status": "active",
        "created": "2026-11-22T08:00:00Z",
        "paymentIssuer": {"reference": issuer},
        "outcome": outcome,
        "paymentDate": "2026-11-22",
        "paymentAmount": pounds(whole),
        "paymentIdentifier": {"system": REFERENCE, "value": reference},
        "detail": list(lines),
        **more,
    }


def advance(reference: str, amount: float | str, **more: Any) -> dict[str, Any]:
    """An advance to Jill, of the part that she holds."""
    return payment(reference, line(amount, kind="advance"), **{"payee": "Patient/jill", "part": "daily-life"} | more)


class Books:
    """What the ledger has, looked at behind the server's back: pence."""

    def __init__(self, server: RunningServer, mongodb_admin: MongoClient[dict[str, Any]]) -> None:
        self._database = mongodb_admin[server.settings.mongodb_database]
        self._base = server.base

    def pot(self, account: str, pot: str) -> dict[str, int]:
        found = self._database.balances.find_one({"_id": account}) or {"pots": []}
        names = ("allocated", "committed", "spent", "advanced")
        for name, *sums in found["pots"]:
            if name == pot:
                return dict(zip(names, sums, strict=True))
        return dict.fromkeys(names, 0)

    def about(self, key: str) -> list[tuple[str, str, str, int]]:
        """(account, pot, kind, pence with its sign) of the entries about a purchase, payment or notice, in their order."""
        rows = self._database.ledger.find({"about": key}).sort([("at", 1), ("account", 1), ("n", 1)])
        return [(one["account"], one["pot"], one["kind"], _moved(one)) for one in rows]

    def agrees(self) -> bool:
        """Whether every balance is what its entries come to, and nothing is below nothing; and all that `$fsck` looks at."""
        outcome = httpx.get(f"{self._base}/$fsck", timeout=60).json()
        assert [one for one in outcome["issue"] if one["severity"] != "information"] == []
        for balance in self._database.balances.find({}):
            for pot, *sums in balance["pots"]:
                rows = list(self._database.ledger.find({"account": balance["_id"], "pot": pot}))
                names = ("allocated", "committed", "spent", "advanced")
                if sums != [sum(row[name] for row in rows) for name in names] or sums[0] - sums[1] - sums[2] < 0:
                    return False
        return True


def _moved(entry: dict[str, Any]) -> int:
    return next((entry[name] for name in ("allocated", "committed", "spent", "advanced") if entry[name]), 0)


def said(answer: httpx.Response) -> list[str]:
    """Why something was refused."""
    assert answer.status_code == 422, answer.text
    return [issue["diagnostics"] for issue in answer.json()["issue"]]


def made(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code in (200, 201), answer.text
    resource: dict[str, Any] = answer.json()
    return resource


def evidence(person: str, *, name: str = "receipt") -> dict[str, Any]:
    """A receipt, whose bytes are in it."""
    content = f"a {name}".encode()
    attachment = {
        "contentType": "text/plain",
        "data": base64.b64encode(content).decode(),
        "size": len(content),
        "hash": base64.b64encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode(),
    }
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "type": {"coding": [{"system": f"{BASE}/CodeSystem/phb-evidence-type", "code": name}]},
        "subject": {"reference": person},
        "date": "2026-11-21T10:00:00Z",
        "author": [{"reference": person}],
        "content": [{"attachment": attachment}],
    }

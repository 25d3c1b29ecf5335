"""Purchases accepted, each judged by every rule and posted to its budget's ledger, beside transactions of two plain documents.

Spread over many budgets, and all on one. Every purchase is of one penny, in the plan, in the directory and within the money, so that it
becomes billable by itself; each has a reference of its own.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop

from phb_fhir.data import data_path
from phb_fhir.fhir.codec import dumps
from phb_fhir.store.embedded import PrivateMongo
from tools.bench import mongo_only
from tools.bench.load import answers_per_second, one_answer
from tools.bench.processes import our_server
from tools.bench.rounds import Comparison, measure_in_turn
from tools.bench.samples import request

TYPE = "ChargeItem"
CONNECTIONS = 16
BUDGETS = 32
_GOALS = {"spread over budgets": 0.6, "all on one budget": 0.3}
_PERSON = re.compile(r'(?<=[/"])jill(?=[-"])')
_NUMBER = re.compile(r'"((?:PHB|PUR|PAY|TSK)-\d{4}-\d+[^"]*)"')
_BASE = "https://fhir.phb.nhs.example"

_FIRST = "BEN-000000000000"

_numbers = itertools.count(1)


def compare_purchases(folder: Path, rounds: int, seconds: float) -> Iterator[Comparison]:
    """Both ways of spending. Raises BenchFailed, CannotStart."""
    data, log = folder / "purchases-data", folder / "purchases.log"
    with PrivateMongo(data) as mongo, our_server(log, "--mongodb-uri", mongo.uri) as server:
        names = [f"p{number}" for number in range(BUDGETS)]
        for name in names:
            one_answer(server.port, request("POST", "", dumps(story_of(name))))
        for what, among in (("spread over budgets", names), ("all on one budget", names[:1])):
            asked = purchases_of(among)

            def ours(asked: Iterator[bytes] = asked) -> float:
                return answers_per_second(server.port, asked, connections=CONNECTIONS, seconds=seconds, status=201)

            def plain() -> float:
                return uvloop.run(mongo_only.pairs_per_second(mongo.uri, at_once=CONNECTIONS, seconds=seconds))

            rates = measure_in_turn(ours, plain, rounds=rounds)
            title = f"purchases {what}, {CONNECTIONS} at once"
            yield Comparison(title, "transactions of two documents", _GOALS[what], rates)


def story_of(name: str) -> dict[str, Any]:
    """Jill's story of the examples, told of somebody else, as one transaction."""
    texts = [path.read_text() for path in sorted((data_path("examples") / "jill").glob("*.json"))]
    resources = [json.loads(_NUMBER.sub(rf'"\1-{name}"', _PERSON.sub(name, text))) for text in texts]
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in resources
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def purchases_of(names: list[str]) -> Iterator[bytes]:
    """Requests that record purchases of these people in turn, never twice with the same reference."""
    heads = [request("POST", f"/{TYPE}", dumps(_massage(name))).split(_FIRST.encode()) for name in names]
    for number in _numbers:
        before, after = heads[number % len(heads)]
        yield before + b"BEN-%012d" % number + after


def _massage(name: str) -> dict[str, Any]:
    link = [
        {"url": "carePlan", "valueReference": {"reference": f"CarePlan/{name}-plan"}},
        {"url": "activityId", "valueString": "massage"},
    ]
    return {
        "resourceType": TYPE,
        "extension": [
            {"url": f"{_BASE}/StructureDefinition/phb-element", "valueId": "daily-life"},
            {"url": f"{_BASE}/StructureDefinition/phb-purchase-link", "extension": link},
        ],
        "identifier": [{"system": f"{_BASE}/Id/phb-purchase-reference", "value": _FIRST}],
        "definitionCanonical": [f"{_BASE}/ChargeItemDefinition/massage-therapy|1"],
        "status": "planned",
        "code": {
            "coding": [{"system": f"{_BASE}/CodeSystem/phb-purchase-category", "code": "therapy"}],
            "text": "Massage therapy, one hour",
        },
        "subject": {"reference": f"Patient/{name}"},
        "occurrenceDateTime": "2026-11-20",
        "quantity": {"value": 1},
        "priceOverride": {"value": 0.01, "currency": "GBP"},
        "enterer": {"reference": f"Patient/{name}"},
        "account": [{"reference": f"Account/{name}-budget"}],
    }

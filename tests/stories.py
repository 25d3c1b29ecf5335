"""The people of `examples/`, whole, to begin a journey with: Jill, or as many like her as a test needs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx

from tests.fresh import write_down

EXAMPLES = Path(__file__).parents[1] / "examples"
JILLS = "jill"
FAMILY = "family"
_PERSONS = {JILLS: "jill", FAMILY: "asha"}


def story(folder: str = JILLS, name: str = "") -> list[dict[str, Any]]:
    """All resources of a story. With a `name`, it is told of somebody else: their ids and references, and every business number."""
    texts = [path.read_text() for path in sorted((EXAMPLES / folder).glob("*.json"))]
    if name:
        person = re.compile(rf'(?<=[/"]){_PERSONS[folder]}(?=[-"])')
        texts = [person.sub(name, text) for text in texts]
        texts = [re.sub(r'"((?:PHB|PUR|PAY|TSK)-\d{4}-\d+[^"]*)"', rf'"\1-{name}"', text) for text in texts]
    return [json.loads(text) for text in texts]


def tell(api: httpx.Client, folder: str = JILLS, name: str = "") -> None:
    """Record a story."""
    write_down(api, story(folder, name))


def massage(reference: str = "PUR-1", *, pounds: str = "45.00", name: str = "jill", **more: Any) -> dict[str, Any]:
    """A purchase for Jill that needs nobody's decision at £45.00: in her plan, in the directory, from the part she holds."""
    base = "https://fhir.phb.nhs.example"
    return {
        "resourceType": "ChargeItem",
        "extension": [
            {"url": f"{base}/StructureDefinition/phb-element", "valueId": "daily-life"},
            {
                "url": f"{base}/StructureDefinition/phb-purchase-link",
                "extension": [
                    {"url": "carePlan", "valueReference": {"reference": f"CarePlan/{name}-plan"}},
                    {"url": "activityId", "valueString": "massage"},
                ],
            },
        ],
        "identifier": [{"system": f"{base}/Id/phb-purchase-reference", "value": reference}],
        "definitionCanonical": [f"{base}/ChargeItemDefinition/massage-therapy|1"],
        "status": "planned",
        "code": {
            "coding": [{"system": f"{base}/CodeSystem/phb-purchase-category", "code": "therapy"}],
            "text": "Massage therapy, one hour",
        },
        "subject": {"reference": f"Patient/{name}"},
        "occurrenceDateTime": "2026-11-20",
        "quantity": {"value": 1},
        "priceOverride": {"value": float(pounds), "currency": "GBP"},
        "enterer": {"reference": f"Patient/{name}"},
        "account": [{"reference": f"Account/{name}-budget"}],
        **more,
    }

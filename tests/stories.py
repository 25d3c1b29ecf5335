"""The people of `examples/`, whole, to begin a journey with: Jill, or as many like her as a test needs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx

from phb_fhir.rules.words import value_of
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


def ask_again(api: httpx.Client) -> str:
    """Another request of Asha's mother for her budgets to be managed as one, which nobody has answered yet."""
    asked = next(one for one in story(FAMILY) if one["id"] == "asha-joint-request")
    kept = {name: one for name, one in asked.items() if name not in ("id", "identifier", "businessStatus", "output")}
    made = api.post("/Task", json=kept | {"status": "requested"})
    assert made.status_code == 201, made.text
    return f"Task/{made.json()['id']}"


RUTH, WILLOW = "RelatedPerson/ruth-harper", "Organization/willow-tree-budgets"
SAM, BRODIE = "RelatedPerson/sam", "Practitioner/brodie"


def three_paid() -> list[dict[str, Any]]:
    """Jill's story, where some of what is paid directly is paid to Ruth, and some to an organisation; and Jill lets four act for her."""
    sam = {"resourceType": "RelatedPerson", "id": "sam", "patient": {"reference": "Patient/jill"}}
    brodie = {"resourceType": "Practitioner", "id": "brodie"}
    return [*(one for resource in story() for one in _with_three_paid(resource)), sam, brodie]


def _with_three_paid(resource: dict[str, Any]) -> list[dict[str, Any]]:
    if resource["resourceType"] == "Account":
        (row,) = [one for one in resource["extension"] if value_of(one, "id") == "daily-life"]
        held = (("daily-life", "Patient/jill", 15000.0), ("ruths", RUTH, 3000.0), ("willows", WILLOW, 300.0))
        rows = [_held(row, *one) for one in held]
        others = [one for one in resource["extension"] if one is not row]
        return [{**resource, "extension": [*others, *rows]}]
    if resource["id"] == "jill-direct-payment":
        actor = [_named(resource, key) for key in ("Patient/jill", RUTH, WILLOW)]
        return [resource | {"provision": resource["provision"] | {"actor": actor}}]
    if resource["id"] == "jill-ruth-delegate":
        return [resource, *(_lets(resource, id_, key) for id_, key in (("c-1", SAM), ("c-2", BRODIE), ("c-3", WILLOW)))]
    return [resource]


def _held(row: dict[str, Any], id_: str, holder: str, amount: float) -> dict[str, Any]:
    values = {
        "id": {"valueId": id_},
        "holder": {"valueReference": {"reference": holder}},
        "amount": {"valueMoney": {"value": amount, "currency": "GBP"}},
    }
    parts = [{"url": one["url"], **values[one["url"]]} if one["url"] in values else one for one in row["extension"]]
    return {**row, "extension": parts}


def _named(consent: dict[str, Any], key: str) -> dict[str, Any]:
    return {**consent["provision"]["actor"][0], "reference": {"reference": key}}


def _lets(consent: dict[str, Any], id_: str, key: str) -> dict[str, Any]:
    """The same for somebody who is not close to her: the profile of delegates is not for them."""
    kept = {name: one for name, one in consent.items() if name not in ("meta", "verification")}
    provision = consent["provision"] | {"actor": [_named(consent, key)]}
    return kept | {"id": id_, "category": consent["category"][:1], "provision": provision}


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

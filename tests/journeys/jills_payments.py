"""Payments of what Jill bought."""

from __future__ import annotations

from typing import Any

import httpx

from tests.paying import BASE, evidence, line, made, payment

COUNSELLING = "ChargeItem/jill-counselling-2026-11-26"  # £60.00, billable, of the part that the NHS holds
NIGHTS = "ChargeItem/jill-overnight-2026-11"  # billable, of the part that Willow Tree holds
MASSAGE = "ChargeItem/jill-massage-2026-10-09"  # £45.00, billed, of the part that Jill holds
BED = "ChargeItem/jill-profiling-bed"  # £1850.00, billed and paid
STILLWATER = "Organization/stillwater-counselling"
MOBILITY = "Organization/harbour-mobility"
LANTERN = "Organization/lantern-home-care"
BUDGET = "Account/jill-budget"
THERAPY, DAILY, NURSING = "therapy-and-equipment", "daily-life", "nights-and-payroll"


def pay(api: httpx.Client, resource: dict[str, Any]) -> dict[str, Any]:
    return made(api.post("/PaymentReconciliation", json=resource))


def update(api: httpx.Client, stored: dict[str, Any], **changes: Any) -> httpx.Response:
    return api.put(f"/PaymentReconciliation/{stored['id']}", json={**stored, **changes})


def with_receipt(api: httpx.Client, charge: str) -> None:
    document = made(api.post("/DocumentReference", json=evidence("Patient/jill", name="invoice")))
    found = made(api.get(f"/{charge}"))
    found["supportingInformation"] = [{"reference": f"DocumentReference/{document['id']}"}]
    made(api.put(f"/{charge}", json=found))


def counselling(reference: str = "PAY-1", amount: float = 60, **more: Any) -> dict[str, Any]:
    return payment(reference, line(amount, COUNSELLING), **{"payee": STILLWATER} | more)


def plain_charge() -> dict[str, Any]:
    """A charge that has to do with no budget."""
    code = {"text": "Parking"}
    return {"resourceType": "ChargeItem", "status": "billable", "code": code, "subject": {"reference": "Patient/jill"}}


def billed(jill: httpx.Client, key: str, by: str) -> float:
    """The price of a purchase that was paid by the NHS team or a third party, without a payment that is recorded here."""
    with_receipt(jill, key)
    charge = made(jill.get(f"/{key}"))
    rest = [one for one in charge["extension"] if not one["url"].endswith("phb-paid-by")]
    paid = {"url": f"{BASE}/StructureDefinition/phb-paid-by", "valueCode": by}
    made(jill.put(f"/{key}", json={**charge, "status": "billed", "extension": [*rest, paid]}))
    price: float = charge["priceOverride"]["value"]
    return price


# ---- invoices ------------------------------------------------------------------------------------


def invoice(amount: float = 60, **more: Any) -> dict[str, Any]:
    money = {"value": float(amount), "currency": "GBP"}
    return {
        "resourceType": "Invoice",
        "status": "issued",
        "subject": {"reference": "Patient/jill"},
        "date": "2026-11-21",
        "issuer": {"reference": STILLWATER},
        "account": {"reference": BUDGET},
        "lineItem": [
            {"chargeItemReference": {"reference": COUNSELLING}, "priceComponent": [{"type": "base", "amount": money}]}
        ],
        "totalNet": money,
        "totalGross": money,
        **more,
    }

"""C32E3 AC1: the purchase trail against a budget is displayed to its commissioner, in order and complete (R17).

Jill's purchases of one month: one in the plan, one that was corrected, one that somebody had to decide, one refused, one taken back. For
each the commissioner sees what shows it, what it was for, who entered and who approved it, what paid it, and every version of it.
"""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
from typing import Any

import pytest

from tests.builders import bundle, entry
from tests.operations.asking import parameters
from tests.operations.money import told
from tests.paying import line, payment
from tests.reports.signed_in import (
    ANOTHER_COMMISSIONER,
    COMMISSIONER,
    FINANCE,
    JILL,
    PRIYA,
    PROVIDER,
    STRANGER,
    running_stories,
)
from tests.security.world import World
from tests.stories import massage

BASE = "https://fhir.phb.nhs.example"
RECEIPT = b"%PDF-1.4 a receipt for a massage"
TRAIL = "/Account/jill-budget/$statement"
PAID_BY = {"url": f"{BASE}/StructureDefinition/phb-paid-by", "valueCode": "person"}


@pytest.fixture(scope="module")
def world(mongodb_uri):
    with running_stories(mongodb_uri) as made:
        yield made


@pytest.fixture(scope="module")
def bought(world: World) -> dict[str, str]:
    """What was bought, by what became of it, in the order it was: the keys."""
    massage_ = made(world, JILL, "ChargeItem", massage("PUR-E3-1"))
    billed = massage_ | {
        "status": "billed",
        "supportingInformation": [{"reference": receipt(world)}],
        "extension": [*massage_["extension"], PAID_BY],
    }
    changed(world, JILL, billed)

    corrected = made(world, JILL, "ChargeItem", massage("PUR-E3-2"))
    changed(world, JILL, corrected | {"priceOverride": {"value": 40.00, "currency": "GBP"}})

    tools = unusual("PUR-E3-3", "A greenhouse heater")
    decided = made(world, JILL, "ChargeItem", tools)
    assert decided["status"] == "planned"
    approve = world.post(PRIYA, f"/ChargeItem/{decided['id']}/$approve", parameters(reason="It keeps her outdoors."))
    assert (approve.status_code, approve.json()["status"]) == (200, "billable"), approve.text

    refused = made(world, JILL, "ChargeItem", unusual("PUR-E3-4", "A second television"))
    why = {"coding": [{"system": f"{BASE}/CodeSystem/phb-refusal-reason", "code": "not-linked-to-outcomes"}]}
    asked = parameters(("reason", why), ("explanation", "It serves none of the goals in your plan."))
    reject = world.post(PRIYA, f"/ChargeItem/{refused['id']}/$reject", asked)
    assert (reject.status_code, reject.json().get("status")) == (200, "aborted"), reject.text

    wrong = made(world, JILL, "ChargeItem", massage("PUR-E3-5"))
    changed(world, JILL, wrong | {"status": "entered-in-error"})

    names = {"billed": massage_, "corrected": corrected, "decided": decided, "refused": refused, "taken back": wrong}
    return {name: f"ChargeItem/{charge['id']}" for name, charge in names.items()}


def made(world: World, who: Any, type_: str, resource: dict[str, Any]) -> dict[str, Any]:
    answer = world.post(who, f"/{type_}", resource)
    assert answer.status_code == 201, answer.text
    return answer.json()


def changed(world: World, who: Any, resource: dict[str, Any]) -> None:
    answer = world.put(who, resource)
    assert answer.status_code == 200, answer.text


def unusual(reference: str, what: str) -> dict[str, Any]:
    """Something that is not in the directory, so that somebody has to decide."""
    charge = massage(reference)
    del charge["definitionCanonical"]
    charge["code"] = {
        "coding": [{"system": f"{BASE}/CodeSystem/phb-purchase-category", "code": "equipment"}],
        "text": what,
    }
    return charge


def receipt(world: World, who: Any = JILL, author: str = "Patient/jill") -> str:
    """A document of Jill's that shows a purchase, with the very bytes of it: the two are written together."""
    names = {name: f"urn:uuid:{uuid.uuid4()}" for name in ("document", "binary")}
    data = base64.b64encode(RECEIPT).decode()
    binary = {"resourceType": "Binary", "contentType": "application/pdf", "data": data}
    digest = base64.b64encode(hashlib.sha1(RECEIPT, usedforsecurity=False).digest()).decode()
    attachment = {"contentType": "application/pdf", "url": names["binary"], "size": len(RECEIPT), "hash": digest}
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "type": {"coding": [{"system": f"{BASE}/CodeSystem/phb-evidence-type", "code": "receipt"}]},
        "description": "Receipt from Riverbank",
        "subject": {"reference": "Patient/jill"},
        "date": "2026-11-21T10:00:00Z",
        "author": [{"reference": author}],
        "content": [{"attachment": attachment}],
    }
    answer = world.post(
        who,
        "/",
        bundle(
            "transaction",
            entry("POST", "DocumentReference", document, names["document"]),
            entry("POST", "Binary", binary | {"securityContext": {"reference": names["document"]}}, names["binary"]),
        ),
    )
    assert answer.status_code == 200, answer.text
    return "/".join(answer.json()["entry"][0]["response"]["location"].split("/")[-4:-2])


def trail(world: World, who: Any = COMMISSIONER) -> dict[str, Any]:
    return told(world.get(who, TRAIL))


def of(world: World, key: str, who: Any = COMMISSIONER) -> dict[str, Any]:
    return next(one for one in trail(world, who)["purchase"] if one["item"] == key)


# ---- what the commissioner sees --------------------------------------------------------------------


def test_every_purchase_is_there_in_the_order_it_was_recorded(world, bought):
    found = trail(world)
    listed = [one["item"] for one in found["purchase"]]
    assert [key for key in listed if key in bought.values()] == list(bought.values())
    times = [one["step"][0]["at"] for one in found["purchase"]]
    assert times == sorted(times)
    charged = world.get("system", "/ChargeItem?account=Account/jill-budget&_count=100").json()["entry"]
    assert {f"ChargeItem/{one['resource']['id']}" for one in charged} == set(listed)


def test_a_purchase_leads_to_its_evidence_its_activity_and_its_goal(world, bought):
    found = of(world, bought["billed"])
    assert (found["activity"], found["activityTitle"], found["goal"]) == (
        "massage",
        "Massage",
        ["Goal/jill-goal-skin-and-sleep"],
    )
    (evidence,) = found["evidence"]
    document = world.get(COMMISSIONER, f"/{evidence}").json()
    content = world.get(COMMISSIONER, f"/{document['content'][0]['attachment']['url']}", accept="application/pdf")
    assert content.content == RECEIPT


def test_it_tells_who_entered_and_who_approved_it_and_where_nobody_had_to(world, bought):
    assert {name: (of(world, key)["enteredBy"], of(world, key).get("approvedBy")) for name, key in bought.items()} == {
        "billed": ("Patient/jill", None),
        "corrected": ("Patient/jill", None),
        "decided": ("Patient/jill", "Practitioner/priya-nair"),
        "refused": ("Patient/jill", None),
        "taken back": ("Patient/jill", None),
    }


def test_every_version_stays_with_who_made_it_what_was_corrected_or_taken_back_too(world, bought):
    jill, priya = "Patient/jill", "Practitioner/priya-nair"
    steps = {
        name: [(one["status"], one["price"], one["by"]) for one in of(world, key)["step"]]
        for name, key in bought.items()
    }
    assert steps == {
        "billed": [("billable", 4_500, jill), ("billed", 4_500, jill)],
        "corrected": [("billable", 4_500, jill), ("billable", 4_000, jill)],
        "decided": [("planned", 4_500, jill), ("billable", 4_500, priya)],
        "refused": [("planned", 4_500, jill), ("aborted", 4_500, priya)],
        "taken back": [("billable", 4_500, jill), ("entered-in-error", 4_500, jill)],
    }
    for key in bought.values():
        for step in of(world, key)["step"]:
            version = world.get(COMMISSIONER, f"/{step['version']}")
            assert version.json()["status"] == step["status"]


def test_the_movements_of_money_lead_to_the_same_purchases_and_add_up(world, bought):
    found = trail(world)
    moved: dict[str, int] = {}
    for one in found["line"]:
        moved[one.get("item", "")] = moved.get(one.get("item", ""), 0) + one["change"]
    assert {name: moved.get(key, 0) for name, key in bought.items()} == {
        "billed": -4_500,
        "corrected": -4_000,
        "decided": -4_500,
        "refused": 0,
        "taken back": 0,
    }
    assert bought["refused"] not in moved
    assert found["opening"] + found["credits"] - found["debits"] - found["commitments"] == found["closing"]


def test_a_payment_is_part_of_the_trail(world):
    bed = of(world, "ChargeItem/jill-profiling-bed")
    assert [(one["item"], one["amount"]) for one in bed["payment"]] == [
        ("PaymentReconciliation/jill-payment-profiling-bed", 185_000)
    ]


def test_a_payment_made_now_is_part_of_the_trail_at_once(world):
    session = "ChargeItem/jill-counselling-2026-11-26"
    invoice = receipt(world, PRIYA, "Organization/stillwater-counselling")
    charge = world.get(PRIYA, f"/{session}").json()
    changed(world, PRIYA, charge | {"supportingInformation": [{"reference": invoice}]})
    assert "payment" not in of(world, session)
    made(
        world,
        COMMISSIONER,
        "PaymentReconciliation",
        payment("PAY-E3-1", line(60, session), payee="Organization/stillwater-counselling"),
    )
    assert [(one["amount"], one["outcome"]) for one in of(world, session)["payment"]] == [(6_000, "queued")]


def test_on_the_page_a_person_can_follow_it(world, bought):
    page = world.get(COMMISSIONER, f"{TRAIL}?format=html").text
    assert "Purchases, and who did what" in page
    assert re.search(r"Approved: [^<]*priya[^<]* \(care co-ordinator\)", page, re.IGNORECASE)
    assert "evidence: Receipt from Riverbank" in page
    assert "entered in error" in page


def test_jill_sees_the_same_trail_herself(world, bought):
    assert trail(world, JILL)["purchase"] == trail(world)["purchase"]


# ---- who does not ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "status"),
    [(STRANGER, 404), (ANOTHER_COMMISSIONER, 404), (PROVIDER, 403)],
    ids=("stranger", "another", "provider"),
)
@pytest.mark.parametrize("form", ["parameters", "bundle", "csv", "html"])
def test_nobody_else_is_shown_it_in_any_form(world, bought, who, status, form):
    answer = world.get(who, f"{TRAIL}?format={form}")
    assert answer.status_code == status
    assert "massage" not in answer.text.lower()


def test_who_sees_the_money_alone_sees_no_evidence(world, bought):
    found = of(world, bought["billed"], FINANCE)
    assert "evidence" not in found
    assert found["price"] == 4_500

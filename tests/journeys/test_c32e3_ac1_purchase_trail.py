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
from tests.journeys.planning import put
from tests.operations.asking import parameters
from tests.operations.money import told
from tests.paying import line, payment
from tests.people import People, signed_in
from tests.stories import FAMILY, JILLS, massage

BASE = "https://fhir.phb.nhs.example"
RECEIPT = b"%PDF-1.4 a receipt for a massage"
TRAIL = "/Account/jill-budget/$statement"
PAID_BY = {"url": f"{BASE}/StructureDefinition/phb-paid-by", "valueCode": "person"}


@pytest.fixture(scope="module")
def people(mongodb_uri):
    with signed_in(mongodb_uri, JILLS, FAMILY) as made:
        yield made


@pytest.fixture(scope="module")
def bought(people: People) -> dict[str, str]:
    """What was bought, by what became of it, in the order it was: the keys."""
    massage_ = made(people, "jill", "ChargeItem", massage("PUR-E3-1"))
    billed = massage_ | {
        "status": "billed",
        "supportingInformation": [{"reference": receipt(people)}],
        "extension": [*massage_["extension"], PAID_BY],
    }
    changed(people, "jill", billed)

    corrected = made(people, "jill", "ChargeItem", massage("PUR-E3-2"))
    changed(people, "jill", corrected | {"priceOverride": {"value": 40.00, "currency": "GBP"}})

    tools = unusual("PUR-E3-3", "A greenhouse heater")
    decided = made(people, "jill", "ChargeItem", tools)
    assert decided["status"] == "planned"
    approve = people["co-ordinator"].post(
        f"/ChargeItem/{decided['id']}/$approve", json=parameters(reason="It keeps her outdoors.")
    )
    assert (approve.status_code, approve.json()["status"]) == (200, "billable"), approve.text

    refused = made(people, "jill", "ChargeItem", unusual("PUR-E3-4", "A second television"))
    why = {"coding": [{"system": f"{BASE}/CodeSystem/phb-refusal-reason", "code": "not-linked-to-outcomes"}]}
    asked = parameters(("reason", why), ("explanation", "It serves none of the goals in your plan."))
    reject = people["co-ordinator"].post(f"/ChargeItem/{refused['id']}/$reject", json=asked)
    assert (reject.status_code, reject.json().get("status")) == (200, "aborted"), reject.text

    wrong = made(people, "jill", "ChargeItem", massage("PUR-E3-5"))
    changed(people, "jill", wrong | {"status": "entered-in-error"})

    names = {"billed": massage_, "corrected": corrected, "decided": decided, "refused": refused, "taken back": wrong}
    return {name: f"ChargeItem/{charge['id']}" for name, charge in names.items()}


def made(people: People, who: str, type_: str, resource: dict[str, Any]) -> dict[str, Any]:
    answer = people[who].post(f"/{type_}", json=resource)
    assert answer.status_code == 201, answer.text
    return answer.json()


def changed(people: People, who: str, resource: dict[str, Any]) -> None:
    answer = put(people[who], resource)
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


def receipt(people: People, who: str = "jill", author: str = "Patient/jill") -> str:
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
    answer = people[who].post(
        "/",
        json=bundle(
            "transaction",
            entry("POST", "DocumentReference", document, names["document"]),
            entry("POST", "Binary", binary | {"securityContext": {"reference": names["document"]}}, names["binary"]),
        ),
    )
    assert answer.status_code == 200, answer.text
    return "/".join(answer.json()["entry"][0]["response"]["location"].split("/")[-4:-2])


def trail(people: People, who: str = "commissioner") -> dict[str, Any]:
    return told(people[who].get(TRAIL))


def of(people: People, key: str, who: str = "commissioner") -> dict[str, Any]:
    return next(one for one in trail(people, who)["purchase"] if one["item"] == key)


# ---- what the commissioner sees --------------------------------------------------------------------


def test_every_purchase_is_there_in_the_order_it_was_recorded(people, bought):
    found = trail(people)
    listed = [one["item"] for one in found["purchase"]]
    assert [key for key in listed if key in bought.values()] == list(bought.values())
    times = [one["step"][0]["at"] for one in found["purchase"]]
    assert times == sorted(times)
    charged = people["system"].get("/ChargeItem?account=Account/jill-budget&_count=100").json()["entry"]
    assert {f"ChargeItem/{one['resource']['id']}" for one in charged} == set(listed)


def test_a_purchase_leads_to_its_evidence_its_activity_and_its_goal(people, bought):
    found = of(people, bought["billed"])
    assert (found["activity"], found["activityTitle"], found["goal"]) == (
        "massage",
        "Massage",
        ["Goal/jill-goal-skin-and-sleep"],
    )
    (evidence,) = found["evidence"]
    document = people["commissioner"].get(f"/{evidence}").json()
    content = people["commissioner"].get(
        f"/{document['content'][0]['attachment']['url']}", headers={"Accept": "application/pdf"}
    )
    assert content.content == RECEIPT


def test_it_tells_who_entered_and_who_approved_it_and_where_nobody_had_to(people, bought):
    assert {
        name: (of(people, key)["enteredBy"], of(people, key).get("approvedBy")) for name, key in bought.items()
    } == {
        "billed": ("Patient/jill", None),
        "corrected": ("Patient/jill", None),
        "decided": ("Patient/jill", "Practitioner/priya-nair"),
        "refused": ("Patient/jill", None),
        "taken back": ("Patient/jill", None),
    }


def test_every_version_stays_with_who_made_it_what_was_corrected_or_taken_back_too(people, bought):
    jill, priya = "Patient/jill", "Practitioner/priya-nair"
    steps = {
        name: [(one["status"], one["price"], one["by"]) for one in of(people, key)["step"]]
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
        for step in of(people, key)["step"]:
            version = people["commissioner"].get(f"/{step['version']}")
            assert version.json()["status"] == step["status"]


def test_the_movements_of_money_lead_to_the_same_purchases_and_add_up(people, bought):
    found = trail(people)
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


def test_a_payment_is_part_of_the_trail(people):
    bed = of(people, "ChargeItem/jill-profiling-bed")
    assert [(one["item"], one["amount"]) for one in bed["payment"]] == [
        ("PaymentReconciliation/jill-payment-profiling-bed", 185_000)
    ]


def test_a_payment_made_now_is_part_of_the_trail_at_once(people):
    session = "ChargeItem/jill-counselling-2026-11-26"
    invoice = receipt(people, "co-ordinator", "Organization/stillwater-counselling")
    charge = people["co-ordinator"].get(f"/{session}").json()
    changed(people, "co-ordinator", charge | {"supportingInformation": [{"reference": invoice}]})
    assert "payment" not in of(people, session)
    made(
        people,
        "commissioner",
        "PaymentReconciliation",
        payment("PAY-E3-1", line(60, session), payee="Organization/stillwater-counselling"),
    )
    assert [(one["amount"], one["outcome"]) for one in of(people, session)["payment"]] == [(6_000, "queued")]


def test_on_the_page_a_person_can_follow_it(people, bought):
    page = people["commissioner"].get(f"{TRAIL}?format=html").text
    assert "Purchases, and who did what" in page
    assert re.search(r"Approved: [^<]*priya[^<]* \(care co-ordinator\)", page, re.IGNORECASE)
    assert "evidence: Receipt from Riverbank" in page
    assert "entered in error" in page


def test_jill_sees_the_same_trail_herself(people, bought):
    assert trail(people, "jill")["purchase"] == trail(people)["purchase"]


# ---- who does not ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "status"),
    [("stranger", 404), ("another commissioner", 404), ("provider", 403)],
)
@pytest.mark.parametrize("form", ["parameters", "bundle", "csv", "html"])
def test_nobody_else_is_shown_it_in_any_form(people, bought, who, status, form):
    answer = people[who].get(f"{TRAIL}?format={form}")
    assert answer.status_code == status
    assert "massage" not in answer.text.lower()


def test_who_sees_the_money_alone_sees_no_evidence(people, bought):
    found = of(people, bought["billed"], "finance")
    assert "evidence" not in found
    assert found["price"] == 4_500

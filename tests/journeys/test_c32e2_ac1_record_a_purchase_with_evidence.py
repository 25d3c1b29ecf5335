"""C32E2 AC1: evidence of how and on what the money has been spent is captured, and recorded against the budget."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.builders import NHS_NUMBER, bundle, entry, problem
from tests.stories import massage, tell

BASE = "https://fhir.phb.nhs.example"
RECEIPT = b"%PDF-1.4 a receipt for a massage"


def left(api: httpx.Client) -> str:
    """What is left of the part that Jill holds, as a trial of a purchase of a penny tells it."""
    answer = api.post("/ChargeItem/$check-purchase", json=massage("TRIAL", pounds="0.01"))
    assert answer.status_code == 200, answer.text
    (amount,) = [one["valueMoney"]["value"] for one in answer.json()["parameter"] if one["name"] == "available"]
    return f"{amount + 0.01:.2f}"


def refused(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 422, answer.text
    return [issue["diagnostics"] for issue in answer.json()["issue"]]


# ---- the stages of a purchase --------------------------------------------------------------------


def test_a_purchase_in_the_plan_the_directory_and_the_money_becomes_billable_by_itself(jill: httpx.Client) -> None:
    before = left(jill)
    made = jill.post("/ChargeItem", json=massage())
    assert (made.status_code, made.json()["status"]) == (201, "billable")
    assert float(before) - float(left(jill)) == pytest.approx(45)


@pytest.mark.parametrize(
    "account",
    [
        [{"reference": "http://elsewhere.example/fhir/Account/1"}],
        [{"reference": "urn:uuid:6f1f4b1e-5d5a-4c0e-9d7b-000000000001"}],
        [{"display": "Jill's budget"}],
    ],
)
def test_a_purchase_of_a_budget_that_is_charged_to_nothing_here_is_refused(jill: httpx.Client, account: Any) -> None:
    astray = massage(account=account)
    for status in ("planned", "billable", "billed"):
        (why,) = refused(jill.post("/ChargeItem", json=astray | {"status": status}))
        assert why.startswith("This is a purchase of a personal health budget, and it is charged to no account that is")
    plain = {name: astray[name] for name in ("resourceType", "status", "subject", "account")} | {"code": {"text": "X"}}
    assert jill.post("/ChargeItem", json=plain).status_code == 201  # has nothing of a budget about it
    for word in (
        {"extension": astray["extension"][:1]},
        {"identifier": astray["identifier"]},
        {"code": astray["code"]},
    ):
        assert refused(jill.post("/ChargeItem", json=plain | word)) == [why]


def test_a_purchase_of_a_budget_that_is_charged_to_nothing_at_all_is_refused(jill: httpx.Client) -> None:
    whole = massage()
    plain = {name: whole[name] for name in ("resourceType", "status", "subject")} | {"code": {"text": "X"}}
    reason = {"coding": [{"system": f"{BASE}/CodeSystem/phb-purchase-reason", "code": "contingency"}]}
    for word in ({"extension": whole["extension"][:1]}, {"code": whole["code"]}, {"reason": [reason]}):
        for status in ("planned", "billable", "billed"):
            (why,) = refused(jill.post("/ChargeItem", json=plain | word | {"status": status}))
            assert why.startswith(
                "This is a purchase of a personal health budget, and it is charged to no account that is"
            )
        assert jill.post("/ChargeItem", json=plain | word | {"status": "aborted"}).status_code == 201
    assert jill.post("/ChargeItem", json=plain | {"identifier": whole["identifier"]}).status_code == 201


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"status": "on-hold"}, "The care plan is on hold."),
        ({"activity": {"status": "stopped"}}, "The activity 'massage' of the care plan was stopped."),
        ({"activity": {"status": "on-hold"}}, "The activity 'massage' of the care plan is on hold."),
    ],
)
def test_what_the_plan_does_not_have_done_now_waits_and_when_it_does_again_is_agreed(
    jill: httpx.Client, changed: dict[str, Any], why: str
) -> None:
    plan = jill.get("/CarePlan/jill-plan").json()
    detail = changed.get("activity", {})
    activities = [
        one | {"detail": one["detail"] | detail} if one["id"] == "massage" else one for one in plan["activity"]
    ]
    rests = jill.put(
        "/CarePlan/jill-plan", json=plan | {"status": changed.get("status", "active"), "activity": activities}
    )
    assert rests.status_code == 200, rests.text
    said = jill.post("/ChargeItem", json=massage(), headers={"Prefer": "return=OperationOutcome"}).json()
    assert why in [one["diagnostics"] for one in said["issue"]]
    assert jill.put("/CarePlan/jill-plan", json=plan).status_code == 200
    assert jill.post("/ChargeItem", json=massage("PUR-2")).json()["status"] == "billable"


def test_a_charge_to_another_account_is_that_accounts_unless_it_says_that_it_is_a_purchase_of_a_budget(
    jill: httpx.Client,
) -> None:
    number = {"system": "http://hospital.example/accounts", "value": "7"}
    hospital = jill.post(
        "/Account", json={"resourceType": "Account", "status": "active", "identifier": [number]}
    ).json()
    key, whole = f"Account/{hospital['id']}", massage()
    for named in ({"reference": key}, {"identifier": number}):
        plain = {name: whole[name] for name in ("resourceType", "status", "subject", "identifier")}
        plain |= {"account": [named], "code": {"text": "Massage"}}
        assert jill.post("/ChargeItem", json=plain).status_code == 201
        for word in ({"extension": whole["extension"][:1]}, {"code": whole["code"]}):
            for status in ("planned", "billable", "billed"):
                (why,) = refused(jill.post("/ChargeItem", json=plain | word | {"status": status}))
                assert why.startswith(
                    f"This is a purchase of a personal health budget, and {key} is none, so no budget"
                )
            assert jill.post("/ChargeItem", json=plain | word | {"status": "aborted"}).status_code == 201


def test_its_receipt_is_kept_byte_for_byte_and_it_is_billed(jill: httpx.Client) -> None:
    made = jill.post("/ChargeItem", json=massage()).json()
    binary = jill.post(
        "/Binary",
        content=RECEIPT,
        headers={"Content-Type": "application/pdf", "X-Security-Context": "Patient/jill"},
    )
    assert binary.status_code == 201
    id_ = binary.headers["location"].split("/Binary/")[1].split("/")[0]
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "type": {"coding": [{"system": f"{BASE}/CodeSystem/phb-evidence-type", "code": "receipt"}]},
        "subject": {"reference": "Patient/jill"},
        "date": "2026-11-21T10:00:00Z",
        "author": [{"reference": "Patient/jill"}],
        "content": [
            {
                "attachment": {
                    "contentType": "application/pdf",
                    "url": f"Binary/{id_}",
                    "size": len(RECEIPT),
                    "hash": base64.b64encode(hashlib.sha1(RECEIPT, usedforsecurity=False).digest()).decode(),
                }
            }
        ],
    }
    kept = jill.post("/DocumentReference", json=document)
    assert kept.status_code == 201, kept.text
    billed = billed_with(made, f"DocumentReference/{kept.json()['id']}")
    answer = jill.put(f"/ChargeItem/{made['id']}", json=billed)
    assert (answer.status_code, answer.json()["status"]) == (200, "billed")
    assert jill.get(f"/Binary/{id_}", headers={"Accept": "application/pdf"}).content == RECEIPT
    found = jill.get("/ChargeItem", params={"evidence": f"DocumentReference/{kept.json()['id']}"}).json()
    assert [one["resource"]["id"] for one in found["entry"]] == [made["id"]]
    (said,) = refused(jill.delete(f"/Binary/{id_}"))
    assert said.startswith("This is evidence of Massage therapy, one hour, and is kept until 31 March 2033:")
    (said,) = refused(jill.put(f"/Binary/{id_}", content=b"another", headers={"Content-Type": "application/pdf"}))
    assert said.startswith("This file is evidence, and is served back as it was handed in")
    assert jill.get(f"/Binary/{id_}", headers={"Accept": "application/pdf"}).content == RECEIPT
    loose = jill.post("/Binary", content=RECEIPT, headers={"Content-Type": "application/pdf"})
    assert jill.delete(f"/Binary/{loose.headers['location'].split('/Binary/')[1].split('/')[0]}").status_code == 204


def billed_with(charge: dict[str, Any], evidence: str) -> dict[str, Any]:
    billed = copy.deepcopy(charge) | {"status": "billed", "supportingInformation": [{"reference": evidence}]}
    billed["extension"].append({"url": f"{BASE}/StructureDefinition/phb-paid-by", "valueCode": "person"})
    return billed


@pytest.mark.parametrize("evidence", ["DocumentReference/nowhere", "DocumentReference/jill-direct-payment-agreement2"])
def test_a_purchase_is_not_billed_by_evidence_that_is_not_there(jill: httpx.Client, evidence: str) -> None:
    made = jill.post("/ChargeItem", json=massage()).json()
    said = refused(jill.put(f"/ChargeItem/{made['id']}", json=billed_with(made, evidence)))
    assert said == [f"There is no {evidence}."]


def test_a_waiver_takes_the_place_of_evidence(jill: httpx.Client) -> None:
    made = jill.post("/ChargeItem", json=massage()).json()
    billed = billed_with(made, "x") | {"supportingInformation": []}
    del billed["supportingInformation"]
    assert refused(jill.put(f"/ChargeItem/{made['id']}", json=billed))
    url = f"{BASE}/StructureDefinition/phb-evidence-waiver"
    parts = [
        {"url": "reason", "valueString": "The till was broken."},
        {"url": "waivedBy", "valueReference": {"reference": "PractitionerRole/priya-nair-coordinator"}},
        {"url": "date", "valueDate": "2026-11-21"},
    ]
    billed["extension"].append({"url": url, "extension": parts})
    assert jill.put(f"/ChargeItem/{made['id']}", json=billed).status_code == 200


# ---- what is refused, and why --------------------------------------------------------------------


def test_what_costs_more_than_is_left_is_refused_with_both_figures(jill: httpx.Client) -> None:
    said = problem(jill.post("/ChargeItem", json=massage(pounds="99999.00")))
    assert said == (
        422,
        "business-rule",
        f"£99,999.00 is more than the £{float(left(jill)):,.2f} left of the part 'daily-life'.",
        "ChargeItem.priceOverride",
    )


def test_the_last_penny_can_be_spent_and_no_more(jill: httpx.Client) -> None:
    rest = left(jill)
    over = f"{float(rest) + 0.01:.2f}"
    assert refused(jill.post("/ChargeItem", json=massage("P-1", pounds=over, status="billable")))
    assert jill.post("/ChargeItem", json=massage("P-2", pounds=rest, status="billable")).status_code == 201
    assert left_refused(jill) == ["£0.01 is more than the £0.00 left of the part 'daily-life'."]


def left_refused(api: httpx.Client) -> list[str]:
    answer = api.post("/ChargeItem/$check-purchase", json=massage("TRIAL", pounds="0.01")).json()
    (outcome,) = [one["resource"] for one in answer["parameter"] if one["name"] == "outcome"]
    return [issue["diagnostics"] for issue in outcome["issue"]]


EXCLUDED = (
    "gambling",
    "debt-repayment",
    "tobacco",
    "alcohol",
    "illegal",
    "emergency-acute-care",
    "vaccination-screening",
    "surgical-procedure",
    "nhs-charge",
)


@pytest.mark.parametrize("code", EXCLUDED)
def test_what_no_budget_may_buy_is_refused_in_every_status(jill: httpx.Client, code: str) -> None:
    for status in ("planned", "billable"):
        charge = massage(status=status)
        charge["code"]["coding"].append({"system": f"{BASE}/CodeSystem/phb-excluded-item", "code": code})
        del charge["definitionCanonical"]
        answer = jill.post("/ChargeItem", json=charge)
        assert answer.status_code == 422, answer.text


def test_care_that_stays_free_is_said_to_stay_free(jill: httpx.Client) -> None:
    charge = massage()
    charge["code"] = charge["code"] | {"text": "GP appointment"}
    del charge["definitionCanonical"]
    (said,) = refused(jill.post("/ChargeItem", json=charge))
    assert "It stays free on the NHS" in said


OUTSIDE = [
    (
        "2026-10-04",
        "4 October 2026 is outside the time for which the budget runs: from 5 October 2026 to 3 October 2027.",
    ),
    (
        "2027-10-04",
        "4 October 2027 is outside the time for which the budget runs: from 5 October 2026 to 3 October 2027.",
    ),
]


@pytest.mark.parametrize(("day", "why"), OUTSIDE)
def test_a_day_outside_the_budget_is_refused_with_all_that_it_is_outside_of(
    jill: httpx.Client, day: str, why: str
) -> None:
    said = refused(jill.post("/ChargeItem", json=massage(occurrenceDateTime=day)))
    assert said[0] == why
    assert len(said) == 3  # the budget, its part, the plan


def test_a_purchase_on_many_days_is_within_the_dates_on_the_last_of_them(jill: httpx.Client) -> None:
    charge = {name: value for name, value in massage().items() if name != "occurrenceDateTime"}
    answer = jill.post("/ChargeItem", json=charge | {"occurrenceTiming": {"event": ["2026-11-20", "2027-10-04"]}})
    assert refused(answer)[0] == OUTSIDE[1][1]
    assert answer.json()["issue"][0]["expression"] == ["ChargeItem.occurrenceTiming"]


OPEN_ENDED = [
    ({"occurrencePeriod": {"start": "2026-11-20"}}, "last"),
    ({"occurrencePeriod": {"end": "2026-11-20"}}, "first"),
    ({"occurrenceTiming": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "wk"}}}, "first and last"),
]


@pytest.mark.parametrize(("when", "missing"), OPEN_ENDED)
def test_a_purchase_begins_and_ends_on_days_that_are_known(
    jill: httpx.Client, when: dict[str, Any], missing: str
) -> None:
    charge = {name: value for name, value in massage().items() if name != "occurrenceDateTime"}
    assert refused(jill.post("/ChargeItem", json=charge | when)) == [
        f"Say for which days this is: its {missing} day is missing, and nothing is bought without end."
    ]


@pytest.mark.parametrize("day", ["2026-10-05", "2027-10-03"])
def test_the_first_and_the_last_day_of_the_budget_are_in_it(jill: httpx.Client, day: str) -> None:
    assert jill.post("/ChargeItem", json=massage(occurrenceDateTime=day)).status_code == 201


def test_all_reasons_are_given_at_once(jill: httpx.Client) -> None:
    charge = massage(pounds="99999.00", occurrenceDateTime="2028-01-01")
    charge["extension"][1]["extension"][1]["valueString"] = "parachuting"
    charge["code"]["text"] = "Cigarettes"
    assert len(refused(jill.post("/ChargeItem", json=charge))) == 6


def test_an_activity_that_is_not_in_the_plan_is_refused_with_those_that_are(jill: httpx.Client) -> None:
    charge = massage()
    charge["extension"][1]["extension"][1]["valueString"] = "parachuting"
    (said,) = refused(jill.post("/ChargeItem", json=charge))
    assert said.startswith("The care plan has no activity 'parachuting'; it has ")
    assert "massage" in said


def test_a_goal_that_is_not_in_the_plan_is_refused(jill: httpx.Client) -> None:
    url = "http://hl7.org/fhir/StructureDefinition/resource-pertainsToGoal"
    charge = massage()
    charge["extension"].append({"url": url, "valueReference": {"reference": "Goal/another"}})
    assert refused(jill.post("/ChargeItem", json=charge)) == ["Goal/another is not a goal of the care plan."]


def test_a_part_that_the_budget_does_not_have_is_refused_with_those_it_has(jill: httpx.Client) -> None:
    charge = massage()
    charge["extension"][0]["valueId"] = "holidays"
    parts = "daily-life, nights-and-payroll, therapy-and-equipment."
    assert refused(jill.post("/ChargeItem", json=charge)) == [f"The budget has no part 'holidays'; it has {parts}"]
    del charge["extension"][0]
    assert refused(jill.post("/ChargeItem", json=charge)) == [
        f"Say which part of the budget this is paid from: {parts}"
    ]


def test_another_persons_budget_is_no_place_to_charge_to(jill: httpx.Client) -> None:
    tell(jill, name="tom")
    charge = massage(subject={"reference": "Patient/tom"}, enterer={"reference": "Patient/tom"})
    said = refused(jill.post("/ChargeItem", json=charge))
    assert said == [
        "The budget is another person's than the purchase is for.",
        "Somebody else's budget cannot be purchased from.",
    ]


NHS_JILL, NHS_TOM = "9000000106", "9000000254"
NOT_HERS = "The budget is another person's than the purchase is for."


def number(value: str, system: str = NHS_NUMBER) -> dict[str, Any]:
    return {"identifier": {"system": system, "value": value}}


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        (number(NHS_JILL), []),
        (number(NHS_TOM), [NOT_HERS]),
        (number(NHS_JILL, "https://fhir.nhs.uk/Id/another-number"), [NOT_HERS]),
        ({"display": "Jill Harper"}, [NOT_HERS]),
        ({"reference": "https://elsewhere.example/fhir/Patient/jill"}, [NOT_HERS]),
    ],
    ids=["hers", "another person's", "another number", "a name alone", "elsewhere"],
)
def test_a_purchase_may_say_whom_it_is_for_by_a_number_which_is_that_of_whose_budget_it_is(
    jill: httpx.Client, subject: dict[str, Any], said: list[str]
) -> None:
    answer = jill.post("/ChargeItem", json=massage(subject=subject))
    assert answer.status_code == (422 if said else 201)
    assert not said or refused(answer) == said


# ---- what is unusual, and waits ------------------------------------------------------------------


def unusual(reference: str = "PUR-U", **more: Any) -> dict[str, Any]:
    charge = massage(reference, **more)
    charge["code"]["text"] = "A raised bed for the garden"
    del charge["definitionCanonical"]
    return charge


def waiting(api: httpx.Client, id_: str) -> list[dict[str, Any]]:
    found = api.get("/Task", params={"focus": f"ChargeItem/{id_}", "code": "unusual-request"}).json()
    return [one["resource"] for one in found.get("entry", [])]


def test_an_unusual_purchase_is_not_refused_but_waits_with_a_task_for_the_co_ordinator(jill: httpx.Client) -> None:
    made = jill.post("/ChargeItem", json=unusual())
    assert (made.status_code, made.json()["status"]) == (201, "planned")
    (task,) = waiting(jill, made.json()["id"])
    assert task["status"] == "requested"
    assert task["owner"] == {"reference": "PractitionerRole/priya-nair-coordinator"}
    assert "It is not in the directory." in task["description"]


def test_a_task_that_the_team_wrote_with_the_purchase_is_the_one_that_waits(jill: httpx.Client) -> None:
    (asked,) = waiting(jill, "jill-gardening-tools")  # in the story they come together
    assert asked["id"] == "jill-unusual-request"


def test_an_unusual_purchase_that_is_approved_is_billable_and_its_task_is_over(jill: httpx.Client) -> None:
    before = left(jill)
    made = jill.post("/ChargeItem", json=unusual()).json()
    assert left(jill) == before  # what waits holds no money
    reason = {"resourceType": "Parameters", "parameter": [{"name": "reason", "valueString": "It helps her get out."}]}
    answer = jill.post(f"/ChargeItem/{made['id']}/$approve", json=reason)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "billable"
    assert answer.json()["note"][-1]["text"] == "It helps her get out."
    assert float(before) - float(left(jill)) == pytest.approx(45)
    (task,) = waiting(jill, made["id"])
    assert (task["status"], task["businessStatus"]["coding"][0]["code"]) == ("completed", "approved")
    assert jill.post(f"/ChargeItem/{made['id']}/$approve", json=reason).status_code == 422


@pytest.mark.parametrize("status", ["ready", "on-hold"])
def test_the_task_is_over_wherever_it_stood_once_somebody_has_decided(jill: httpx.Client, status: str) -> None:
    made = jill.post("/ChargeItem", json=unusual()).json()
    (task,) = waiting(jill, made["id"])
    assert jill.put(f"/Task/{task['id']}", json={**task, "status": status}).status_code == 200
    reason = {"resourceType": "Parameters", "parameter": [{"name": "reason", "valueString": "It helps her get out."}]}
    assert jill.post(f"/ChargeItem/{made['id']}/$approve", json=reason).status_code == 200
    assert [one["status"] for one in waiting(jill, made["id"])] == ["completed"]


REASON = {
    "name": "reason",
    "valueCodeableConcept": {"coding": [{"system": f"{BASE}/CodeSystem/phb-refusal-reason", "code": "poor-value"}]},
}


def test_an_unusual_purchase_that_is_rejected_is_aborted_with_reasons_the_person_is_told(jill: httpx.Client) -> None:
    made = jill.post("/ChargeItem", json=unusual()).json()
    why = {"name": "explanation", "valueString": "There is one at the allotment already."}
    asked = {"resourceType": "Parameters", "parameter": [REASON, why]}
    answer = jill.post(f"/ChargeItem/{made['id']}/$reject", json=asked)
    assert (answer.status_code, answer.json()["status"]) == (200, "aborted")
    (task,) = waiting(jill, made["id"])
    assert (task["status"], task["businessStatus"]["coding"][0]["code"]) == ("completed", "not-approved")
    found = jill.get("/Communication", params={"recipient": "Patient/jill", "category": "decision-notice"}).json()
    (notice,) = [one["resource"] for one in found["entry"]]
    assert "There is one at the allotment already." in notice["payload"][0]["contentString"]
    again = jill.post(f"/ChargeItem/{made['id']}/$reject", json=asked)
    assert refused(again) == ["What is planned, billable or billed is refused; this purchase is aborted already."]
    for missing in ([REASON], [why]):
        asked = {"resourceType": "Parameters", "parameter": missing}
        assert jill.post(f"/ChargeItem/{made['id']}/$reject", json=asked).status_code == 400


def test_a_purchase_dearer_than_the_directory_waits(jill: httpx.Client) -> None:
    assert jill.post("/ChargeItem", json=massage(pounds="45.01")).json()["status"] == "planned"
    assert (
        jill.post("/ChargeItem", json=massage("P-2", pounds="90.00", quantity={"value": 2})).json()["status"]
        == "billable"
    )


def test_a_purchase_from_a_part_the_person_does_not_hold_is_asked_for_and_not_made(jill: httpx.Client) -> None:
    charge = massage()
    charge["extension"][0]["valueId"] = "therapy-and-equipment"
    asked = jill.post("/ChargeItem", json=charge).json()
    assert asked["status"] == "planned"
    assert (
        jill.put(f"/ChargeItem/{asked['id']}", json=asked | {"note": [{"text": "Soon?"}]}).json()["status"] == "planned"
    )
    assert jill.post(f"/ChargeItem/{asked['id']}/$approve").json()["status"] == "billable"
    (said,) = refused(jill.post("/ChargeItem", json=charge | {"status": "billable", "identifier": []} | NO_REFERENCE))
    assert said.startswith("The part 'therapy-and-equipment' is held by Organization/harbourside-north.")


NO_REFERENCE = {"identifier": [{"system": f"{BASE}/Id/phb-purchase-reference", "value": "PUR-OTHER"}]}


# ---- what was wrong is undone, never rewritten ---------------------------------------------------


@pytest.mark.parametrize("end", ["entered-in-error", "aborted"])
def test_what_was_committed_is_free_again_once_the_purchase_is_taken_back(jill: httpx.Client, end: str) -> None:
    before = left(jill)
    made = jill.post("/ChargeItem", json=massage()).json()
    assert jill.put(f"/ChargeItem/{made['id']}", json=made | {"status": end}).status_code == 200
    assert left(jill) == before


def test_a_price_that_is_corrected_moves_the_difference(jill: httpx.Client) -> None:
    before = left(jill)
    made = jill.post("/ChargeItem", json=massage()).json()
    price = made | {"priceOverride": {"value": 30.00, "currency": "GBP"}}
    assert jill.put(f"/ChargeItem/{made['id']}", json=price).status_code == 200
    assert float(before) - float(left(jill)) == pytest.approx(30)
    dear = made | {"priceOverride": {"value": 99999.00, "currency": "GBP"}}
    assert refused(jill.put(f"/ChargeItem/{made['id']}", json=dear))


def test_a_purchase_whose_money_moved_is_not_deleted(jill: httpx.Client) -> None:
    made = jill.post("/ChargeItem", json=massage()).json()
    (said,) = refused(jill.delete(f"/ChargeItem/{made['id']}"))
    assert "entered in error" in said
    waits = jill.post("/ChargeItem", json=unusual()).json()
    assert jill.delete(f"/ChargeItem/{waits['id']}").status_code == 204


def test_care_that_was_given_already_is_recorded_and_somebody_looks_into_it(jill: httpx.Client) -> None:
    system = f"{BASE}/CodeSystem/phb-purchase-reason"
    charge = massage(pounds="99999.00", status="billed")
    charge["extension"].append({"url": f"{BASE}/StructureDefinition/phb-paid-by", "valueCode": "person"})
    charge["supportingInformation"] = [{"reference": "DocumentReference/jill-receipt-massage-2026-10-09"}]
    assert refused(jill.post("/ChargeItem", json=charge))
    charge["reason"] = [{"coding": [{"system": system, "code": "care-already-given"}], "text": "A night in crisis."}]
    assert refused(jill.post("/ChargeItem", json=charge | {"occurrenceDateTime": "2026-12-24"}))
    made = jill.post("/ChargeItem", json=charge)
    assert made.status_code == 201, made.text
    found = jill.get("/Task", params={"focus": f"ChargeItem/{made.json()['id']}", "code": "overspend-query"}).json()
    assert len(found["entry"]) == 1


@pytest.mark.parametrize("price", ["10000000000.01", "1e30", "1e400", "45.000000000000000000000000000001"])
def test_no_price_is_more_than_all_the_money_there_is_or_finer_than_can_be_reckoned_with(
    jill: httpx.Client, price: str
) -> None:
    before = left(jill)
    charge = massage(status="billed", reason=CARE_GIVEN, supportingInformation=[{"reference": RECEIPT_KEPT}])
    charge["extension"].append({"url": f"{BASE}/StructureDefinition/phb-paid-by", "valueCode": "person"})
    body = json.dumps(charge).replace("45.0", price)
    answer = jill.post("/ChargeItem", content=body, headers={"Content-Type": "application/fhir+json"})
    issues = answer.json()["issue"]
    assert answer.status_code == 422
    assert {at for issue in issues for at in issue["expression"]} == {"ChargeItem.priceOverride"}
    keys = {key for issue in issues for key in re.findall(r"phb-gbp-\d", issue["diagnostics"])}
    assert keys == ({"phb-gbp-1", "phb-gbp-3"} if price.startswith("45.") else {"phb-gbp-3"})
    assert left(jill) == before


CARE_GIVEN = [
    {
        "coding": [{"system": f"{BASE}/CodeSystem/phb-purchase-reason", "code": "care-already-given"}],
        "text": "A crisis.",
    }
]
RECEIPT_KEPT = "DocumentReference/jill-receipt-massage-2026-10-09"


# ---- a purchase is recorded once -----------------------------------------------------------------


def test_the_same_reference_posted_again_answers_with_the_first_purchase(jill: httpx.Client) -> None:
    before = left(jill)
    first = jill.post("/ChargeItem", json=massage())
    again = jill.post("/ChargeItem", json=massage())
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert float(before) - float(left(jill)) == pytest.approx(45)
    other = problem(jill.post("/ChargeItem", json=massage(pounds="44.00")))
    assert other.code == "duplicate"


OTHERWISE = {
    "of another provider": {"performingOrganization": {"reference": "Organization/harbour-mobility"}},
    "by somebody else": {"performer": [{"actor": {"reference": "RelatedPerson/ruth-harper"}}]},
    "of another kind": {
        "code": {**massage()["code"], "coding": [{**massage()["code"]["coding"][0], "code": "service"}]}
    },
    "from another part": {
        "extension": [{**massage()["extension"][0], "valueId": "therapy-and-equipment"}, massage()["extension"][1]]
    },
    "for no activity": {"extension": massage()["extension"][:1]},
    "from money for emergencies": {
        "reason": [
            {"coding": [{"system": f"{BASE}/CodeSystem/phb-purchase-reason", "code": "contingency"}], "text": "Ill."}
        ]
    },
    "with a receipt that is not there": {"supportingInformation": [{"reference": RECEIPT_KEPT}]},
}


@pytest.mark.parametrize("more", OTHERWISE.values(), ids=OTHERWISE)
def test_the_same_reference_with_other_details_is_no_repetition(jill: httpx.Client, more: dict[str, Any]) -> None:
    first = jill.post("/ChargeItem", json=massage()).json()
    assert problem(jill.post("/ChargeItem", json=massage(**more))).code == "duplicate"
    assert jill.post("/ChargeItem", json=massage()).json()["id"] == first["id"]


def test_what_was_repeated_may_have_come_further_meanwhile(jill: httpx.Client) -> None:
    first = jill.post("/ChargeItem", json=massage()).json()
    more = {**first, "supportingInformation": [{"reference": RECEIPT_KEPT}], "note": [{"text": "She liked it."}]}
    assert jill.put(f"/ChargeItem/{first['id']}", json=more).status_code == 200
    again = jill.post("/ChargeItem", json=massage())
    assert (again.status_code, again.json()["id"]) == (200, first["id"])


def test_what_was_taken_back_as_an_error_is_recorded_anew_under_its_reference(jill: httpx.Client) -> None:
    before = left(jill)
    first = jill.post("/ChargeItem", json=massage()).json()
    assert jill.put(f"/ChargeItem/{first['id']}", json={**first, "status": "entered-in-error"}).status_code == 200
    anew = jill.post("/ChargeItem", json=massage(pounds="44.00"))
    assert (anew.status_code, anew.json()["status"]) == (201, "billable"), anew.text
    assert jill.post("/ChargeItem", json=massage(pounds="44.00")).json()["id"] == anew.json()["id"]
    assert float(before) - float(left(jill)) == pytest.approx(44)


def test_a_price_is_whole_and_nothing_is_multiplied_by_a_factor(jill: httpx.Client) -> None:
    why = "A factor (2.0) is not reckoned with here: the price (priceOverride) is all that is to be paid."
    assert reasons(jill.post("/ChargeItem", json=massage(factorOverride=2.0))) == [why]
    assert jill.post("/ChargeItem", json=massage(factorOverride=1.0)).status_code == 201


def test_the_same_reference_for_other_days_is_another_purchase(jill: httpx.Client) -> None:
    charge = {name: value for name, value in massage().items() if name != "occurrenceDateTime"}
    week, next_week = ({"occurrenceTiming": {"event": [day]}} for day in ("2026-11-20", "2026-11-27"))
    assert [jill.post("/ChargeItem", json=charge | week).status_code for _ in range(2)] == [201, 200]
    assert problem(jill.post("/ChargeItem", json=charge | next_week)).code == "duplicate"


def test_each_reference_of_a_purchase_is_its_own(jill: httpx.Client) -> None:
    first = jill.post("/ChargeItem", json=massage("PUR-1")).json()
    second = massage("PUR-2", occurrenceDateTime="2026-11-21")
    second["identifier"] += massage("PUR-1")["identifier"]
    text = f"The reference PUR-1 is that of ChargeItem/{first['id']} already, which is another purchase. Give this one a reference of its own."
    assert reasons(jill.post("/ChargeItem", json=second)) == [text]
    second["identifier"][1]["value"] = "PUR-3"
    made = jill.post("/ChargeItem", json=second).json()
    third = massage("PUR-3", occurrenceDateTime="2026-11-21")
    with ThreadPoolExecutor(4) as several:  # gathered, and alone
        answers = list(several.map(lambda one: jill.post("/ChargeItem", json=one), [third] * 4))
    assert [(one.status_code, one.json()["id"]) for one in answers] == [(200, made["id"])] * 4
    assert jill.put(f"/ChargeItem/{made['id']}", json=made).status_code == 200


def reasons(answer: httpx.Response) -> list[str]:
    assert answer.status_code in (409, 422), answer.text
    return [issue["diagnostics"] for issue in answer.json()["issue"]]


def test_a_purchase_does_not_take_on_the_reference_of_another(jill: httpx.Client) -> None:
    first, other = (jill.post("/ChargeItem", json=massage(reference)).json() for reference in ("PUR-1", "PUR-2"))
    taken = [{"op": "replace", "path": "/identifier/0/value", "value": "PUR-1"}]
    body = {"content": json.dumps(taken), "headers": {"Content-Type": "application/json-patch+json"}}
    for answer in (
        jill.put(f"/ChargeItem/{other['id']}", json=other | {"identifier": first["identifier"]}),
        jill.patch(f"/ChargeItem/{other['id']}", **body),
    ):
        said = problem(answer)
        assert (said.status, said.code, said.expression) == (422, "duplicate", "ChargeItem.identifier")
    assert jill.post("/ChargeItem", json=massage("PUR-1")).json()["id"] == first["id"]


def test_a_trial_of_what_is_recorded_already_says_so(jill: httpx.Client) -> None:
    made = jill.post("/ChargeItem", json=massage()).json()
    rows = {one["name"]: one for one in jill.post("/ChargeItem/$check-purchase", json=massage()).json()["parameter"]}
    assert rows["status"]["valueCode"] == "billable"
    (issue,) = rows["outcome"]["resource"]["issue"]
    assert issue["diagnostics"] == f"It is recorded already, as ChargeItem/{made['id']}."
    assert list(made)[:3] == ["resourceType", "id", "meta"]


def test_the_same_purchase_put_again_is_answered_with_what_became_of_it(jill: httpx.Client) -> None:
    charge = {**massage(), "id": "mine"}
    before = left(jill)
    first, again = (jill.put("/ChargeItem/mine", json=charge) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert again.json()["status"] == "billable"
    assert float(before) - float(left(jill)) == pytest.approx(45)
    other = jill.put("/ChargeItem/mine", json={**charge, "note": [{"text": "After all I would rather wait."}]})
    assert refused(other) == [
        "A purchase that is billable cannot become planned; it can become billed, not-billable, aborted, entered-in-error."
    ]
    noted = {**again.json(), "note": [{"text": "It was good."}]}
    assert jill.put("/ChargeItem/mine", json=noted).status_code == 200
    assert jill.put("/ChargeItem/mine", json=charge).status_code == 422


def test_the_same_request_id_posted_again_answers_as_the_first_time(jill: httpx.Client) -> None:
    before = left(jill)
    charge = massage()
    del charge["identifier"]
    headers = {"X-Request-ID": "0c7a1f6e-once-and-for-all"}
    answers = [jill.post("/ChargeItem", json=charge, headers=headers) for _ in range(3)]
    assert [one.status_code for one in answers] == [201] * 3
    assert len({one.headers["location"] for one in answers}) == 1
    assert len({one.text for one in answers}) == 1
    assert float(before) - float(left(jill)) == pytest.approx(45)
    other = jill.post("/ChargeItem", json=charge | {"quantity": {"value": 2}}, headers=headers)
    assert other.headers["location"] != answers[0].headers["location"]


def test_the_same_transaction_posted_again_answers_as_the_first_time(jill: httpx.Client) -> None:
    charges = [massage(f"P-{n}") for n in range(3)]
    entries = [{"resource": one, "request": {"method": "POST", "url": "ChargeItem"}} for one in charges]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    headers = {"X-Request-ID": "0c7a1f6e-a-whole-bundle"}
    first, again = (jill.post("", json=bundle, headers=headers) for _ in range(2))
    assert first.status_code == 200, first.text
    assert [one["response"] for one in again.json()["entry"]] == [one["response"] for one in first.json()["entry"]]


def test_two_purchases_of_one_bundle_cannot_each_fit_alone_and_overspend_together(jill: httpx.Client) -> None:
    rest = float(left(jill))
    half = f"{rest / 2 + 1:.2f}"
    charges = [massage(f"P-{n}", pounds=half, status="billable") for n in range(2)]
    entries = [{"resource": one, "request": {"method": "POST", "url": "ChargeItem"}} for one in charges]
    answer = jill.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 422, answer.text
    assert answer.json()["issue"][0]["expression"][0].startswith("Bundle.entry[1].resource.")
    assert float(left(jill)) == rest


def test_evidence_of_a_purchase_is_kept_and_may_be_entered_in_error(jill: httpx.Client) -> None:
    key = "DocumentReference/jill-receipt-massage-2026-10-09"
    (said,) = refused(jill.delete(f"/{key}"))
    assert said.startswith("This is evidence of Massage therapy, one hour, and is kept until 31 March 2033:")
    stored = jill.get(f"/{key}").json()
    assert jill.put(f"/{key}", json={**stored, "status": "entered-in-error"}).status_code == 200
    spare = {name: value for name, value in stored.items() if name not in ("id", "meta")}
    made = jill.post("/DocumentReference", json=spare).json()
    assert jill.delete(f"/DocumentReference/{made['id']}").status_code == 204


def test_a_task_that_is_over_already_asks_nobody_so_the_purchase_gets_one_that_waits(jill: httpx.Client) -> None:
    (story,) = waiting(jill, "jill-gardening-tools")
    charge = jill.get("/ChargeItem/jill-gardening-tools").json()
    charge["identifier"] = [{**charge["identifier"][0], "value": "PUR-OVER"}]
    sent = {name: value for name, value in story.items() if name not in ("id", "meta", "identifier", "input")}
    answered = {"coding": [{"system": f"{BASE}/CodeSystem/phb-task-business-status", "code": "approved"}]}
    over = {**sent, "status": "completed", "businessStatus": answered, "focus": {"reference": "ChargeItem/again"}}
    put = entry("PUT", "ChargeItem/again", {**charge, "id": "again"})
    answer = jill.post("/", json=bundle("transaction", put, entry("POST", "Task", over)))
    assert answer.status_code == 200, answer.text
    assert sorted(one["status"] for one in waiting(jill, "again")) == ["completed", "requested"]


def test_what_was_agreed_keeps_the_reference_by_which_it_is_known_when_it_is_posted_again(jill: httpx.Client) -> None:
    bought = jill.post("/ChargeItem", json=massage("PUR-KEPT")).json()
    assert bought["status"] == "billable"
    known = bought["identifier"]
    other = [{**known[0], "value": "PUR-OTHER"}]
    for changed in (
        {name: value for name, value in bought.items() if name != "identifier"},
        {**bought, "identifier": other},
    ):
        assert refused(jill.put(f"/ChargeItem/{bought['id']}", json=changed)) == [
            "The reference PUR-KEPT stays: posted again under it, this would be bought a second time. If it is wrong, take this back and record it anew."
        ]
    more = {**bought, "identifier": [*known, {"system": "https://shop.example/order", "value": "7"}]}
    assert jill.put(f"/ChargeItem/{bought['id']}", json=more).status_code == 200
    assert jill.post("/ChargeItem", json=massage("PUR-KEPT")).json()["id"] == bought["id"]

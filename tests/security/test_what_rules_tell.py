"""What rules say of the record, told to one who may not see all of it: what is hidden answers as what never was, and is not named.

Rules look at everything there is (`interactions/facts`), so that sums are whole. These are the places where somebody could have asked them for
what is another's: by a reference, by the address of a file, by the number of a budget.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from phb_fhir.rules.words import concept
from tests.people import PEOPLE, People, signed_in
from tests.stories import massage, tell

BASE = "https://fhir.phb.nhs.example"
RESTRICTED = {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}]}
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def people(mongodb_uri: str) -> Iterator[People]:
    """Jill, and Tom, whose record is as hers and whom she knows nothing of."""
    with signed_in(mongodb_uri) as made:
        tell(made["system"], name="tom")
        yield made


def ref(key: str) -> dict[str, str]:
    return {"reference": key}


def bought(**more: Any) -> dict[str, Any]:
    return massage(f"PUR-R-{next(_NUMBERS)}", **more)


def made(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code in (200, 201), answer.text
    found: dict[str, Any] = answer.json()
    return found


# ---- files -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def toms_file(people: People) -> str:
    """The id of a Binary that belongs to a document of Tom's."""
    whose = ref("DocumentReference/tom-receipt-massage-2026-10-09")
    data = base64.b64encode(b"what Tom bought").decode()
    content = {"resourceType": "Binary", "contentType": "application/pdf", "securityContext": whose, "data": data}
    return str(made(people["system"].post("/Binary", json=content))["id"])


def receipt(file: str) -> dict[str, Any]:
    attachment = {"contentType": "text/plain", "url": f"Binary/{file}", "size": 1, "hash": "AAAA"}
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "type": concept(f"{BASE}/CodeSystem/phb-evidence-type", "receipt"),
        "subject": ref("Patient/jill"),
        "date": "2026-11-20T10:00:00Z",
        "content": [{"attachment": attachment}],
    }


@pytest.mark.parametrize("who", ["jill", "ruth"])
def test_nobody_learns_the_hash_of_anothers_file_by_calling_it_their_receipt(
    people: People, toms_file: str, who: str
) -> None:
    hidden, never = (people[who].post("/DocumentReference", json=receipt(file)) for file in (toms_file, "never-was"))
    assert hidden.status_code == never.status_code == 422
    assert hidden.text.replace(toms_file, "never-was") == never.text
    seen = people["system"].post("/DocumentReference", json=receipt(toms_file))
    assert "The file's hash (SHA-1, base64) is " in seen.text


# ---- references --------------------------------------------------------------------------------------

FORMS = ("{}", "{}/_history/", "{}/", "{}/_history/1", "{}#part", "{}/_history/1#part", "{}?x=1", "{}|1")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("where", ["/ChargeItem", "/ChargeItem/$check-purchase"])
def test_however_a_reference_is_written_it_is_to_what_the_writer_may_see(people: People, where: str, form: str) -> None:
    def said(account: str) -> httpx.Response:
        charge = bought(account=[ref(form.format(f"Account/{account}"))]) | {"identifier": []}
        return people["jill"].post(where, json={name: value for name, value in charge.items() if value})

    hidden, never = said("tom-budget"), said("never-was")
    assert hidden.status_code == never.status_code == 422
    assert hidden.text.replace("tom-budget", "never-was") == never.text
    assert "There is no Account/never-was" in never.text


@pytest.mark.parametrize("form", FORMS)
def test_however_the_focus_of_a_task_is_written_nothing_is_told_of_it(people: People, form: str) -> None:
    def said(account: str) -> httpx.Response:
        review = {
            "resourceType": "Task",
            "status": "requested",
            "intent": "order",
            "code": concept(f"{BASE}/CodeSystem/phb-task-code", "phb-review"),
            "focus": ref(form.format(f"Account/{account}")),
            "for": ref("Patient/jill"),
            "requester": ref("Patient/jill"),
        }
        return people["jill"].post("/Task", json=review)

    hidden, never = said("tom-budget"), said("never-was")
    assert hidden.status_code == never.status_code == 422
    assert hidden.text.replace("tom-budget", "never-was") == never.text


# ---- the number of a budget --------------------------------------------------------------------------


def test_another_account_with_the_number_of_a_budget_changes_nothing_for_who_may_not_see_it(people: People) -> None:
    jill = people["jill"]
    number = {"system": f"{BASE}/Id/phb-account-number", "value": "PHB-2026-000417"}
    before = made(jill.post("/ChargeItem", json=bought(account=[{"identifier": number}])))
    assert before["account"] == [{"reference": "Account/jill-budget", "identifier": number}]
    theirs = {"resourceType": "Account", "status": "active", "owner": ref("Organization/wreake-valley")}
    made(people["another commissioner"].post("/Account", json=theirs | {"identifier": [number]}))
    after = made(jill.post("/ChargeItem", json=bought(account=[{"identifier": number}])))
    assert (after["status"], after["account"]) == ("billable", before["account"])
    kept = before | {"account": [{"identifier": number}], "note": [{"text": "It helped."}]}
    assert made(jill.put(f"/ChargeItem/{before['id']}", json=kept))["account"] == before["account"]
    assert made(jill.put(f"/ChargeItem/{before['id']}", json=kept | {"status": "entered-in-error"}))
    assert made(people["commissioner"].get(f"/ChargeItem/{after['id']}"))["id"] == after["id"]


def test_the_same_purchase_by_the_number_of_its_budget_is_the_same(people: People) -> None:
    number = {"system": f"{BASE}/Id/phb-account-number", "value": "PHB-2026-000417-tom"}
    charge = massage("PUR-R-SAME", name="tom")
    first = made(people["system"].post("/ChargeItem", json=charge))
    again = made(people["system"].post("/ChargeItem", json=charge | {"account": [{"identifier": number}]}))
    assert again["id"] == first["id"]


# ---- consents ----------------------------------------------------------------------------------------


def test_nobodys_consent_lets_others_see_what_is_somebody_elses(people: People) -> None:
    system, ruth = people["system"], people["ruth"]
    consent = made(system.get("/Consent/jill-ruth-delegate"))

    def seen_with(*accounts: str) -> list[int]:
        data = [{"meaning": "instance", "reference": ref(f"Account/{one}")} for one in accounts]
        made(
            system.put(
                "/Consent/jill-ruth-delegate", json=consent | {"provision": consent["provision"] | {"data": data}}
            )
        )
        keys = ("Account/jill-budget", "Account/tom-budget", "CarePlan/tom-plan", "ChargeItem/tom-gardening-tools")
        return [ruth.get(f"/{key}").status_code for key in keys]

    try:
        assert seen_with("jill-budget") == [200, 404, 404, 404]
        assert seen_with("jill-budget", "tom-budget") == [200, 404, 404, 404]
        assert seen_with("tom-budget") == [404, 404, 404, 404]
    finally:
        made(system.put("/Consent/jill-ruth-delegate", json=consent))


# ---- names -------------------------------------------------------------------------------------------


def test_what_the_writer_may_not_see_is_not_named_in_a_refusal(people: People) -> None:
    system, commissioner = people["system"], people["commissioner"]
    budget = made(system.get("/Account/jill-budget"))
    account = {name: value for name, value in budget.items() if name not in ("id", "meta", "type", "identifier")}
    charged = [ref("Account/stands")]  # which comes after them
    seen = made(system.post("/ChargeItem", json=bought(account=charged, status="billable")))
    hidden = made(system.post("/ChargeItem", json=bought(account=charged, status="billable", meta=RESTRICTED)))
    stands = made(system.put("/Account/stands", json=account | {"id": "stands"}))
    asked = stands | {"type": budget["type"]}
    refused = commissioner.put(f"/Account/{stands['id']}", json=asked)
    assert refused.status_code == 422
    assert hidden["id"] not in refused.text
    told = [
        issue["diagnostics"] for issue in refused.json()["issue"] if "before this was a budget" in issue["diagnostics"]
    ]
    assert sorted(text.partition(" was charged")[0] for text in told) == [
        f"ChargeItem/{seen['id']}",
        "What is not yours to see",
    ]
    whole = system.put(f"/Account/{stands['id']}", json=asked)
    assert f"ChargeItem/{hidden['id']} was charged here" in whole.text


def test_a_provider_is_not_told_who_else_delivers_or_from_which_budget(people: People) -> None:
    """By an invoice of theirs that others gave a budget, with a line for what they see in part alone."""
    system, price = people["system"], {"value": 45.0, "currency": "GBP"}
    other = {"performingOrganization": ref("Organization/lantern-home-care")}

    def lines(charge: str) -> dict[str, Any]:
        line = {
            "chargeItemReference": ref(f"ChargeItem/{charge}"),
            "priceComponent": [{"type": "base", "amount": price}],
        }
        return {"lineItem": [line], "totalNet": price, "totalGross": price}

    jills, toms = (
        str(made(system.post("/ChargeItem", json=massage(f"PUR-R-{one}", name=one, **other)))["id"])
        for one in ("jill", "tom")
    )
    draft = {
        "resourceType": "Invoice",
        "status": "draft",
        "date": "2026-11-21",
        "account": ref("Account/jill-budget"),
        "issuer": ref("Organization/riverbank-therapies"),
    }
    stands = made(system.post("/Invoice", json=draft | lines(jills)))
    for charge, why in ((jills, "was provided by somebody else"), (toms, "is paid from what is not yours to see")):
        sent = stands | lines(charge) | {"status": "issued"}
        refused = people["provider"].put(f"/Invoice/{stands['id']}", json=sent)
        assert refused.status_code == 422
        assert why in refused.text
        assert "lantern" not in refused.text
        assert "tom" not in refused.text


def test_rules_do_not_tell_who_may_change_and_not_read_what_there_was(people: People) -> None:
    """An app with `user/ChargeItem.u`: a purchase that was aborted, and one that never was, are refused in the same words."""
    system = people["system"]
    blind = people.as_(replace(PEOPLE["co-ordinator"], scope="user/ChargeItem.u"))
    reader = people.as_(replace(PEOPLE["co-ordinator"], scope="user/ChargeItem.ru"))
    refusals = []
    for status in ("aborted", "entered-in-error"):
        stands = made(system.post("/ChargeItem", json=bought(status="billable")))
        stands = made(system.put(f"/ChargeItem/{stands['id']}", json=stands | {"status": status}))
        asked = stands | {"status": "billable"}
        path = f"/ChargeItem/{stands['id']}"
        told = reader.put(path, json=asked)
        assert (told.status_code, f"that is {status} cannot become billable" in told.text) == (422, True), told.text
        hidden = blind.put(path, json=asked)
        assert hidden.status_code == 422
        assert "scopes of the token do not let it read" in hidden.text
        refusals.append([one["diagnostics"] for one in hidden.json()["issue"]])
    assert refusals[0] == refusals[1]

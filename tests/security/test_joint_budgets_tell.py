"""What a refusal tells of a joint budget: nothing of the budgets of other funders, to who may not see these."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from phb_fhir.cli.teller import values
from phb_fhir.cli.token import Asked
from phb_fhir.rules.joint import split
from tests.paying import BASE, NORTH, line, made, payment, said
from tests.people import People, signed_in
from tests.stories import FAMILY, JILLS, story

HEALTH, CARE, JOINT = "Account/asha-health", "Account/asha-social-care", "Account/asha-joint"
KIT = "ChargeItem/asha-sensory-kit"
ICB, COUNCIL = "Organization/wreake-valley", "Organization/wreake-valley-council"


@pytest.fixture(scope="module")
def people(mongodb_uri: str) -> Iterator[People]:
    with signed_in(mongodb_uri, JILLS, FAMILY) as signed:
        yield signed


def kit(reference: str, pounds: float) -> dict[str, Any]:
    charge = copy.deepcopy(next(one for one in story(FAMILY) if one["id"] == "asha-sensory-kit"))
    number = [{**charge["identifier"][0], "value": reference}]
    more = {"status": "billable", "identifier": number, "enterer": {"reference": ICB}}
    del charge["id"]
    return charge | more | {"priceOverride": {"value": pounds, "currency": "GBP"}}


@pytest.fixture(scope="module")
def funder(people: People) -> httpx.Client:
    """Of the council, whose budget is a part of the joint one that the NHS leads."""
    people.know("council's finance", Asked("finance", "Finance", organization=COUNCIL))
    return people["council"]


@pytest.mark.parametrize("who", ["council", "council's finance"])
def test_a_funder_sees_the_joint_budget_and_what_its_share_pays(people: People, funder: httpx.Client, who: str) -> None:
    asked = people[who]
    for key in (JOINT, KIT, CARE):
        assert asked.get(f"/{key}").json() == people["system"].get(f"/{key}").json()
    assert {one["fullUrl"][-10:] for one in asked.get("/Account").json()["entry"]} >= {JOINT[-10:], CARE[-10:]}
    assert asked.get(f"/ChargeItem?account={JOINT}&_total=accurate").json()["total"] >= 1
    assert asked.get(f"/{JOINT}/_history").json()["total"] >= 1
    assert asked.get(f"/{HEALTH}").status_code == 404
    assert asked.get(f"/ChargeItem?account={HEALTH}&_total=accurate").json()["total"] == 0
    assert people["jill"].get(f"/{JOINT}").status_code == 404
    assert people["commissioner"].get(f"/{JOINT}").status_code == 404  # of Jill's


def test_of_a_joint_budget_a_funder_is_told_its_own_share(people: People, funder: httpx.Client) -> None:
    whole = values(people["system"].get(f"/{JOINT}/$balance").json())
    own = values(people["system"].get(f"/{CARE}/$balance").json())
    told = funder.get(f"/{JOINT}/$balance")
    assert values(told.json())["available"] == own["available"] != whole["available"]
    assert values(people["another commissioner"].get(f"/{JOINT}/$balance").json())["available"] == whole["available"]
    funders = [one for one in told.json()["parameter"] if one["name"] == "funder"]
    assert [values({"parameter": one["part"]})["owner"] for one in funders] == [{"reference": COUNCIL}]
    for asked in ("$balance", "$statement", "$statement?format=bundle", "$statement?format=csv", "$ledger"):
        found = funder.get(f"/{JOINT}/{asked}")
        assert found.status_code == 200, found.text
        assert HEALTH not in found.text
        assert "Asha's health budget" not in found.text
    statement = values(funder.get(f"/{JOINT}/$statement").json())
    assert statement["closing"] == own["available"]


def test_a_funder_spends_nothing_from_a_joint_budget_that_another_leads(people: People, funder: httpx.Client) -> None:
    """Nor is it told by what it tries how much of the others' money is left."""
    before = people["system"].get(f"/{JOINT}/$ledger").json()
    for pounds in (6, 90_000):
        charge = kit(f"PUR-F-{pounds}", pounds) | {"enterer": {"reference": COUNCIL}}
        for where in ("/ChargeItem", "/ChargeItem/$check-purchase"):
            assert said(funder.post(where, json=charge)) == [f"There is no {JOINT}."]
        by_number = charge | {
            "account": [{"identifier": {"system": f"{BASE}/Id/phb-account-number", "value": "PHB-2026-000090"}}]
        }
        told = [funder.post(where, json=by_number) for where in ("/ChargeItem", "/ChargeItem/$check-purchase")]
        assert [one.status_code for one in told] == [422, 422]
        assert all("is here" in "".join(said(one)) or "is not here" in "".join(said(one)) for one in told), told[0].text
        charged = people["system"].get(f"/{KIT}").json()
        paid = payment(
            f"PAY-F-{pounds}", line(pounds, KIT), account=JOINT, issuer=COUNCIL, payee=charged["subject"]["reference"]
        )
        assert said(funder.post("/PaymentReconciliation", json=paid)) == [f"There is no {JOINT}."]
    change = [{"op": "replace", "path": "/description", "value": "Ours"}]
    headers = {"Content-Type": "application/json-patch+json"}
    for key in (JOINT, KIT):
        assert funder.patch(f"/{key}", json=change, headers=headers).status_code == 403
    for asked in (f"/{KIT}/$approve", f"/{KIT}/$reject", f"/{JOINT}/$close"):
        body = {"resourceType": "Parameters", "parameter": [{"name": "reason", "valueString": "We say so."}]}
        assert funder.post(asked, json=body).status_code in (400, 403), asked
    assert people["system"].get(f"/{JOINT}/$ledger").json() == before


def test_nobody_makes_a_joint_budget_theirs_by_naming_it(people: People) -> None:
    """A budget of one's own opens the joint one that it is a part of: so it is named by who sees that."""
    account = {
        "resourceType": "Account",
        "status": "active",
        "subject": [{"reference": "Patient/jill"}],
        "owner": {"reference": NORTH},
        "partOf": {"reference": JOINT},
    }
    commissioner = people["commissioner"]
    assert said(commissioner.post("/Account", json=account)) == [f"There is no {JOINT}."]
    plain = {name: it for name, it in account.items() if name != "partOf"}
    made_ = made(commissioner.post("/Account", json=plain))
    changed = commissioner.put(f"/Account/{made_['id']}", json=made_ | {"partOf": account["partOf"]})
    assert said(changed) == [f"There is no {JOINT}."]
    assert commissioner.get(f"/{JOINT}").status_code == 404


def test_what_would_fall_to_a_budget_that_is_hidden_is_told_without_its_name_and_its_money(people: People) -> None:
    assert people["another commissioner"].get(f"/{CARE}").status_code == 404
    own = "£75,000.00 of this would fall to Asha's health budget, which has £55,575.00 left."
    assert said(people["another commissioner"].post("/ChargeItem", json=kit("PUR-A", 90_000))) == [
        own,
        "A part of this would fall to another budget, which has not as much left.",
    ]
    assert said(people["system"].post("/ChargeItem", json=kit("PUR-B", 90_000))) == [
        own,
        "£15,000.00 of this would fall to Asha's social care budget, which has £11,450.00 left.",
    ]


def test_who_else_gives_money_is_not_told_to_who_may_not_see_their_budget(people: People) -> None:
    charge = made(people["system"].post("/ChargeItem", json=kit("PUR-C", 6)))
    key = f"ChargeItem/{charge['id']}"
    # issued by somebody who holds none of it
    paid = payment("PAY-X", line(6, key), account=JOINT, issuer=NORTH, payee="Organization/hollow-farm")
    told = {}
    for who in ("system", "another commissioner"):
        reasons = said(people[who].post("/PaymentReconciliation", json=paid))
        (told[who],) = [one for one in reasons if "it is paid by" in one]
    assert COUNCIL in told["system"]
    assert COUNCIL not in told["another commissioner"]
    assert ICB in told["another commissioner"]
    assert told["another commissioner"].endswith("another funder.")


def test_a_budget_that_is_hidden_and_suspended_is_not_named() -> None:
    member = {"resourceType": "Account", "id": "a", "name": "Asha's social care budget", "extension": []}
    for hidden in (False, True):
        found = split(100, [member, ACTIVE], {}, {"Account/a"} if hidden else ())
        (issue,) = found.issues
        assert ("social care" in issue.text) is not hidden
        assert issue.text.startswith("Another budget") is hidden


ACTIVE = {
    "resourceType": "Account",
    "id": "b",
    "extension": [{"url": f"{BASE}/StructureDefinition/phb-lifecycle-status", "valueCode": "active"}],
}


def test_what_another_funder_does_with_its_own_budget_changes_no_byte_for_a_funder(
    people: People, funder: httpx.Client
) -> None:
    asked = [
        *(f"/{JOINT}/{one}" for one in ("$balance", "$statement", "$ledger", "$everything")),
        "/ChargeItem?_total=accurate",
        "/Account?_total=accurate&_revinclude=Account:part-of",
    ]
    at = re.compile(r'"\d{4}-[^"]*"|_page=[^"]*')
    before = [at.sub("", funder.get(one).text) for one in asked]
    total = values(people["system"].get(f"/{JOINT}/$balance").json())["available"]
    alone = kit("PUR-G", 12) | {"account": [{"reference": HEALTH}]}
    alone["extension"] = [
        *alone["extension"],
        {"url": f"{BASE}/StructureDefinition/phb-element", "valueId": "home-care"},
    ]
    made(people["system"].post("/ChargeItem", json=alone))
    assert values(people["system"].get(f"/{JOINT}/$balance").json())["available"] != total
    assert [at.sub("", funder.get(one).text) for one in asked] == before


def test_a_funder_takes_its_own_budget_out_of_a_joint_one_that_it_does_not_lead(mongodb_uri: str) -> None:
    with signed_in(mongodb_uri, FAMILY) as people:
        assert people["council"].get("/Account/asha-joint").status_code == 200
        why = {
            "resourceType": "Parameters",
            "parameter": [{"name": "reason", "valueString": "We manage it ourselves."}],
        }
        assert people["another commissioner"].post(f"/{CARE}/$leave", json=why).status_code == 404
        left = people["council"].post(f"/{CARE}/$leave", json=why)
        assert left.status_code == 200, left.text
        assert "partOf" not in left.json()
        assert people["council"].get("/Account/asha-joint").status_code == 404
        assert people["council"].get(f"/{KIT}").status_code == 404
        told = people["system"].get(f"/Communication?about={CARE}").json()["entry"][0]["resource"]
        assert told["about"] == [{"reference": CARE}]
        assert told["sender"] == {"reference": COUNCIL}
        assert "We manage it ourselves." in told["payload"][0]["contentString"]

"""C32E10 AC1: several funders' budgets are managed as a single joint budget, which pays across health, care, education and other needs."""

from __future__ import annotations

import copy
import json
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from tests.builders import bundle_of
from tests.paying import BASE, Books, evidence, line, made, payment, said
from tests.running import RunningServer
from tests.stories import FAMILY, ask_again, story, tell

JOINT, HEALTH, CARE = "Account/asha-joint", "Account/asha-health", "Account/asha-social-care"
SCHOOL = "Account/asha-education"
BEACON = "Organization/beacon-budgets"
ICB = "Organization/wreake-valley"
TASK_CODE = f"{BASE}/CodeSystem/phb-task-code"


@pytest.fixture
def asha(api: httpx.Client) -> httpx.Client:
    tell(api, FAMILY)
    return api


def parameters(**rows: Any) -> dict[str, Any]:
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": name, f"value{type_}": value} for name, (type_, value) in rows.items()],
    }


def reference(key: str) -> tuple[str, dict[str, str]]:
    return ("Reference", {"reference": key})


def join(api: httpx.Client, account: str, *, request: str = "Task/asha-joint-request", **more: Any) -> httpx.Response:
    body = parameters(joint=reference(JOINT), request=reference(request), **more)
    return api.post(f"/{account}/$join", json=body)


def leave(api: httpx.Client, account: str, reason: str = "The council manages its part by itself from now on.") -> Any:
    return api.post(f"/{account}/$leave", json=parameters(reason=("String", reason)))


def joint_purchase(pounds: float, reference: str = "PUR-J1", status: str = "billable", **more: Any) -> dict[str, Any]:
    """Something for Asha from the joint budget."""
    charge = next(one for one in story(FAMILY) if one["id"] == "asha-sensory-kit")
    made_of = copy.deepcopy(charge) | {"status": status, **more}
    del made_of["id"]
    made_of["enterer"] = {"reference": "PractitionerRole/dana-reid-coordinator"}
    made_of["identifier"][0]["value"] = reference
    made_of["priceOverride"] = {"value": pounds, "currency": "GBP"}
    made_of.pop("performingOrganization", None)
    return made_of


def share(account: dict[str, Any], value: float | None) -> dict[str, Any]:
    url = f"{BASE}/StructureDefinition/phb-joint-share"
    rows = [one for one in account["extension"] if one["url"] != url]
    more = [] if value is None else [{"url": url, "valueDecimal": value}]
    return {**account, "extension": [*rows, *more]}


def education() -> list[dict[str, Any]]:
    """A third funder: the school's part, told as the council's is, not part of the joint budget yet."""
    names = ("asha-social-care", "asha-social-care-request", "asha-start")
    found = [one for one in story(FAMILY) if one["id"] in names]
    text = json.dumps(found).replace("asha-social-care", "asha-education").replace("PHB-2026-000089", "PHB-2026-000091")
    text = text.replace("Task/asha-start", "Task/asha-education-start").replace(
        '"asha-start"', '"asha-education-start"'
    )
    text = text.replace("social-care-personal-budget", "ehcp-education").replace('"breaks-and-clubs"', '"learning"')
    text = text.replace("TSK-2026", "TSK-EDU")
    told = json.loads(text)
    for one in told:
        one.pop("text", None)
        if one["resourceType"] == "Account":
            one.pop("partOf")
            one["extension"] = share(one, None)["extension"]
        elif one["id"] == "asha-education-start":
            one["focus"] = {"reference": SCHOOL}
    return told


def split_of(books: Books, key: str) -> dict[str, int]:
    """What of a purchase falls to each budget, now."""
    found: dict[str, int] = {}
    for account, _, _, pence in books.about(key):
        found[account] = found.get(account, 0) + pence
    return {account: pence for account, pence in found.items() if pence}


# ---- one budget to the person, exact ledgers for the funders -------------------------------------


def test_what_is_bought_jointly_falls_to_the_funders_five_to_one(asha: httpx.Client, books: Books) -> None:
    charge = made(asha.post("/ChargeItem", json=joint_purchase(180)))
    assert charge["status"] == "billable"
    assert split_of(books, f"ChargeItem/{charge['id']}") == {HEALTH: 15_000, CARE: 3_000}
    assert books.pot(JOINT, "") == dict.fromkeys(("allocated", "committed", "spent", "advanced"), 0)
    assert books.agrees()


@pytest.mark.parametrize(
    ("pounds", "health", "care"), [(0.01, 1, 0), (0.02, 2, 0), (0.03, 3, 0), (0.04, 3, 1), (10.01, 834, 167)]
)
def test_every_penny_falls_somewhere_and_always_to_the_same(
    asha: httpx.Client, books: Books, pounds: float, health: int, care: int
) -> None:
    charge = made(asha.post("/ChargeItem", json=joint_purchase(pounds)))
    falls = split_of(books, f"ChargeItem/{charge['id']}")
    assert (falls.get(HEALTH, 0), falls.get(CARE, 0)) == (health, care)


def test_a_joint_purchase_is_paid_whole_from_the_joint_budget_and_spent_as_it_was_split(
    asha: httpx.Client, books: Books
) -> None:
    receipt = made(asha.post("/DocumentReference", json=evidence("Patient/asha")))
    document = [{"reference": f"DocumentReference/{receipt['id']}"}]
    charge = made(asha.post("/ChargeItem", json=joint_purchase(180, supportingInformation=document)))
    key = f"ChargeItem/{charge['id']}"
    paid = payment("PAY-1", line(180, key), account=JOINT, issuer=BEACON, payee="Organization/hollow-farm")
    made(asha.post("/PaymentReconciliation", json={**paid, "outcome": "complete"}))
    assert made(asha.get(f"/{key}"))["status"] == "billed"
    kinds = [(account, kind, pence) for account, _, kind, pence in books.about(key)]
    assert {one for one in kinds if one[1] == "spend"} == {(HEALTH, "spend", 15_000), (CARE, "spend", 3_000)}
    refund = payment(
        "BACK-1", line(1, key, "adjustment"), account=JOINT, issuer="Organization/hollow-farm", payee=BEACON
    )
    made(asha.post("/PaymentReconciliation", json={**refund, "outcome": "complete"}))
    assert split_of(books, key) == {HEALTH: 14_917, CARE: 2_983}
    assert books.agrees()


def test_each_funder_may_pay_its_own_part_and_no_more(asha: httpx.Client) -> None:
    receipt = made(asha.post("/DocumentReference", json=evidence("Patient/asha")))
    document = [{"reference": f"DocumentReference/{receipt['id']}"}]
    charge = made(asha.post("/ChargeItem", json=joint_purchase(180, supportingInformation=document)))
    key = f"ChargeItem/{charge['id']}"
    council = {"account": CARE, "issuer": "Organization/wreake-valley-council", "payee": "Organization/hollow-farm"}
    (why,) = said(asha.post("/PaymentReconciliation", json=payment("PAY-1", line(30.01, key), **council)))
    assert why.startswith("£30.00 of Lights and switches to play with")
    made(asha.post("/PaymentReconciliation", json=payment("PAY-1", line(30, key), **council)))
    health = {"account": HEALTH, "issuer": ICB, "payee": "Organization/hollow-farm"}
    made(asha.post("/PaymentReconciliation", json=payment("PAY-2", line(150, key), **health)))


def advanced(books: Books) -> tuple[int, int]:
    """What was paid out of the parts that Beacon holds of the health and of the social care budget."""
    return books.pot(HEALTH, "home-care")["advanced"], books.pot(CARE, "breaks-and-clubs")["advanced"]


def bought_jointly(asha: httpx.Client, pounds: float) -> str:
    receipt = made(asha.post("/DocumentReference", json=evidence("Patient/asha")))
    document = [{"reference": f"DocumentReference/{receipt['id']}"}]
    charge = made(asha.post("/ChargeItem", json=joint_purchase(pounds, supportingInformation=document)))
    return f"ChargeItem/{charge['id']}"


FARM = "Organization/hollow-farm"
COUNCIL = "Organization/wreake-valley-council"


def test_what_a_funder_pays_of_its_part_is_paid_out_of_its_own_budget_to_the_penny(
    asha: httpx.Client, books: Books
) -> None:
    key = bought_jointly(asha, 180.01)
    health, care = advanced(books)
    made(
        asha.post(
            "/PaymentReconciliation", json=payment("PAY-1", line(29, key), account=CARE, issuer=COUNCIL, payee=FARM)
        )
    )
    assert advanced(books) == (health, care + 2_900)
    made(
        asha.post(
            "/PaymentReconciliation", json=payment("PAY-2", line("151.01", key), account=JOINT, issuer=ICB, payee=FARM)
        )
    )
    assert advanced(books) == (health + 15_001, care + 3_000)
    assert books.agrees()


def test_what_comes_back_to_a_funder_is_its_own_part_and_no_more(asha: httpx.Client, books: Books) -> None:
    key = bought_jointly(asha, 180)
    paid = payment("PAY-1", line(180, key), account=JOINT, issuer=ICB, payee=FARM, outcome="complete")
    made(asha.post("/PaymentReconciliation", json=paid))
    back = {"account": CARE, "issuer": FARM, "payee": COUNCIL, "outcome": "complete"}
    assert said(
        asha.post("/PaymentReconciliation", json=payment("BACK-1", line("30.01", key, "adjustment"), **back))
    ) == ["£30.00 is spent on Lights and switches to play with, for home and for outings, so no more can come back."]
    made(asha.post("/PaymentReconciliation", json=payment("BACK-1", line("10.01", key, "adjustment"), **back)))
    assert split_of(books, key) == {HEALTH: 15_000, CARE: 1_999}
    assert books.agrees()


def test_nobody_pays_from_another_funders_budget(asha: httpx.Client) -> None:
    key = bought_jointly(asha, 180)
    wrong = payment("PAY-1", line(30, key), account=HEALTH, issuer=COUNCIL, payee=FARM)
    (why,) = said(asha.post("/PaymentReconciliation", json=wrong))
    assert why.startswith(f"{COUNCIL} does not hold this money; it is paid by ")
    sent = payment("PAY-2", line(30, kind="advance"), account=HEALTH, issuer=COUNCIL, payee=BEACON, part="home-care")
    (why,) = said(asha.post("/PaymentReconciliation", json=sent))
    assert why == f"{COUNCIL} does not hold this money; it is paid by {ICB}."
    made(asha.post("/PaymentReconciliation", json={**sent, "paymentIssuer": {"reference": ICB}}))


def test_more_than_a_funder_has_is_refused_with_whose_part_it_is(asha: httpx.Client, books: Books) -> None:
    alone = joint_purchase(11_000, "PUR-C1", account=[{"reference": CARE}])
    alone["extension"].append({"url": f"{BASE}/StructureDefinition/phb-element", "valueId": "breaks-and-clubs"})
    made(asha.post("/ChargeItem", json=alone))
    pot = books.pot(CARE, "breaks-and-clubs")
    left = pot["allocated"] - pot["committed"] - pot["spent"]
    (why,) = said(asha.post("/ChargeItem", json=joint_purchase((left + 1) * 6 / 100)))
    assert why == (
        f"£{(left + 1) / 100:.2f} of this would fall to Asha's social care budget, which has £{left / 100:.2f} left."
    )
    made(asha.post("/ChargeItem", json=joint_purchase(left * 6 / 100)))
    assert books.agrees()


# ---- joining -------------------------------------------------------------------------------------


def given(pounds: float, receipt: str, reference: str) -> dict[str, Any]:
    """Care that was given before anybody could ask."""
    reason = {
        "coding": [{"system": f"{BASE}/CodeSystem/phb-purchase-reason", "code": "care-already-given"}],
        "text": "Urgent.",
    }
    charge = joint_purchase(pounds, reference, "billed", reason=[reason], occurrenceDateTime="2026-11-20")
    others = [one for one in charge["extension"] if not one["url"].endswith("phb-paid-by")]
    paid_by = {"url": f"{BASE}/StructureDefinition/phb-paid-by", "valueCode": "third-party"}
    document = [{"reference": f"DocumentReference/{receipt}"}]
    return {**charge, "extension": [*others, paid_by], "supportingInformation": document}


def test_care_that_was_given_already_is_recorded_though_a_funder_has_not_as_much_left(
    asha: httpx.Client, server: RunningServer, mongodb_admin: MongoClient[dict[str, Any]]
) -> None:
    receipt = made(asha.post("/DocumentReference", json=evidence("Patient/asha")))["id"]

    def asked(charge: dict[str, Any]) -> list[Any]:
        found = made(asha.get("/Task", params={"focus": f"ChargeItem/{charge['id']}", "code": "overspend-query"}))
        return found.get("entry", [])

    within = made(asha.post("/ChargeItem", json=given(60, receipt, "PUR-G1")))
    assert (within["status"], asked(within)) == ("billed", [])
    beyond = made(asha.post("/ChargeItem", json=given(90_000, receipt, "PUR-G2")))
    assert beyond["status"] == "billed"
    assert len(asked(beyond)) == 1
    books = Books(server, mongodb_admin)
    spent: dict[str, int] = {}
    for account, _, kind, pence in books.about(f"ChargeItem/{beyond['id']}"):
        assert kind == "spend"
        spent[account] = spent.get(account, 0) + pence
    assert spent == {HEALTH: 7_500_000, CARE: 1_500_000}
    outcome = made(asha.get("/$fsck"))
    assert [one for one in outcome["issue"] if one["severity"] != "information"] == []
    made(asha.put(f"/ChargeItem/{beyond['id']}", json={**beyond, "status": "entered-in-error"}))
    assert books.agrees()


def test_an_emergency_is_paid_from_what_the_funders_set_aside_for_it(asha: httpx.Client, books: Books) -> None:
    """Care at home changes at once while a child is ill (R80, R185)."""
    why = {
        "coding": [{"system": f"{BASE}/CodeSystem/phb-purchase-reason", "code": "contingency"}],
        "text": "Asha is ill.",
    }
    asked = made(asha.post("/ChargeItem", json=joint_purchase(60, status="planned", reason=[why])))
    assert (asked["status"], split_of(books, f"ChargeItem/{asked['id']}")) == ("planned", {})
    made(asha.post(f"/ChargeItem/{asked['id']}/$approve"))
    pots = [(account, pot, pence) for account, pot, _, pence in books.about(f"ChargeItem/{asked['id']}")]
    assert pots == [
        (HEALTH, "(contingency)", 5_000),
        (CARE, "breaks-and-clubs", 1_000),
    ]  # the council set nothing aside
    assert books.agrees()


def test_who_has_left_pays_its_part_of_what_was_bought_before_whatever_that_comes_to(
    asha: httpx.Client, books: Books
) -> None:
    charge = made(asha.post("/ChargeItem", json=joint_purchase(180)))
    key = f"ChargeItem/{charge['id']}"
    made(leave(asha, CARE))
    for pounds, health, care in ((174, 14_500, 2_900), (179.99, 14_999, 3_000), (180, 15_000, 3_000)):
        changed = {**made(asha.get(f"/{key}")), "priceOverride": {"value": pounds, "currency": "GBP"}}
        made(asha.put(f"/{key}", json=changed))
        assert split_of(books, key) == {HEALTH: health, CARE: care}
        assert books.agrees()
    made(join(asha, CARE, request=ask_again(asha), share=("Decimal", 1)))
    made(asha.put(f"/{key}", json={**made(asha.get(f"/{key}")), "status": "aborted"}))
    assert split_of(books, key) == {}
    assert books.agrees()


@pytest.mark.parametrize("account", [CARE, HEALTH])
def test_what_was_bought_stays_split_in_proportion_while_a_funder_is_suspended(
    asha: httpx.Client, books: Books, account: str
) -> None:
    charge = made(asha.post("/ChargeItem", json=joint_purchase(180)))
    key = f"ChargeItem/{charge['id']}"
    made(asha.post("/Communication", json={**letter(), "about": [{"reference": account}], "sent": "2026-11-21"}))
    suspended = copy.deepcopy(made(asha.get(f"/{account}")))
    (stage,) = [one for one in suspended["extension"] if one["url"].endswith("phb-lifecycle-status")]
    stage["valueCode"] = "suspended"
    made(asha.put(f"/{account}", json={**suspended, "status": "on-hold"}))
    changed = {**made(asha.get(f"/{key}")), "priceOverride": {"value": 174, "currency": "GBP"}}
    made(asha.put(f"/{key}", json=changed))
    assert split_of(books, key) == {HEALTH: 14_500, CARE: 2_900}
    made(asha.put(f"/{key}", json={**made(asha.get(f"/{key}")), "status": "aborted"}))
    assert split_of(books, key) == {}
    assert books.agrees()


def test_a_third_funder_joins_and_pays_its_share_from_then_on(asha: httpx.Client, books: Books) -> None:
    made(asha.post("", json=bundle_of(education())))
    joined = made(join(asha, SCHOOL, share=("Decimal", 2)))
    assert joined["partOf"] == {"reference": JOINT}
    charge = made(asha.post("/ChargeItem", json=joint_purchase(10)))
    assert split_of(books, f"ChargeItem/{charge['id']}") == {HEALTH: 625, CARE: 125, SCHOOL: 250}
    odd = made(asha.post("/ChargeItem", json=joint_purchase(0.05, "PUR-J2")))
    assert split_of(books, f"ChargeItem/{odd['id']}") == {HEALTH: 3, CARE: 1, SCHOOL: 1}
    assert books.agrees()


def test_a_budget_joins_only_because_the_person_asked_and_it_was_agreed(asha: httpx.Client) -> None:
    made(asha.post("", json=bundle_of(education())))
    task = made(asha.get("/Task/asha-joint-request"))
    made(asha.put("/Task/asha-joint-request", json={**task, "requester": {"reference": ICB}}))
    (why,) = said(join(asha, SCHOOL, share=("Decimal", 2)))
    assert why.startswith("Budgets are managed as one because the person asks for it")
    asked = {**task, "status": "requested", "focus": {"reference": SCHOOL}, "id": "asked"}
    del asked["businessStatus"], asked["output"], asked["executionPeriod"]
    asked["identifier"][0]["value"] = "TSK-9"
    made(asha.put("/Task/asked", json=asked))
    school = made(asha.get(f"/{SCHOOL}"))
    by_hand = {**share(school, 2), "partOf": {"reference": JOINT}}
    (why,) = said(asha.put(f"/{SCHOOL}", json=by_hand))
    assert why == "The person asked for a joint budget, and nobody has agreed to it yet (Task joint-budget-request)."
    made(join(asha, SCHOOL, request="Task/asked", share=("Decimal", 2)))
    agreed = made(asha.get("/Task/asked"))
    assert (agreed["status"], agreed["businessStatus"]["coding"][0]["code"]) == ("completed", "approved")
    assert agreed["output"][0]["valueReference"] == {"reference": JOINT}


def test_a_stranger_does_not_ask_for_the_person(asha: httpx.Client) -> None:
    made(asha.post("", json=bundle_of(education())))
    tell(asha, FAMILY, name="tom")
    task = made(asha.get("/Task/asha-joint-request"))
    mother = made(asha.get("/RelatedPerson/nisha-mistry"))
    stranger = {**mother, "id": "stranger", "patient": {"reference": "Patient/tom"}}
    made(asha.put("/RelatedPerson/stranger", json=stranger))
    made(asha.put("/Task/asha-joint-request", json={**task, "requester": {"reference": "RelatedPerson/stranger"}}))
    (why,) = said(join(asha, SCHOOL, share=("Decimal", 2)))
    assert why.startswith("RelatedPerson/stranger asked for the joint budget, and does not speak for the person")
    made(asha.put("/Task/asha-joint-request", json=task))
    made(join(asha, SCHOOL, share=("Decimal", 2)))


def test_each_has_a_share_or_none_has(asha: httpx.Client) -> None:
    made(asha.post("", json=bundle_of(education())))
    (why,) = said(join(asha, SCHOOL))
    assert why == (
        "This budget has no share, though the others (Asha's health budget, Asha's social care budget) do. Either each has a share, or none has."
    )


def test_another_persons_budget_and_what_is_no_joint_budget_are_not_joined(asha: httpx.Client) -> None:
    made(asha.post("", json=bundle_of(education())))
    tell(asha, FAMILY, name="tom")
    body = parameters(
        joint=reference("Account/tom-joint"), request=reference("Task/tom-joint-request"), share=("Decimal", 2)
    )
    assert "A joint budget is of budgets of the same person; this one is somebody else's." in said(
        asha.post(f"/{SCHOOL}/$join", json=body)
    )
    body = parameters(joint=reference(HEALTH), request=reference("Task/asha-joint-request"), share=("Decimal", 2))
    assert said(asha.post(f"/{SCHOOL}/$join", json=body)) == [
        "Account/asha-health is no joint budget, so nothing can be part of it."
    ]


# ---- by priority ---------------------------------------------------------------------------------


def test_without_shares_each_is_used_up_in_the_order_of_its_priority(asha: httpx.Client, books: Books) -> None:
    for n, account in enumerate((CARE, HEALTH)):
        found = share(made(asha.get(f"/{account}")), None)
        alone = {name: value for name, value in found.items() if name != "partOf"}
        alone["coverage"][0]["priority"] = n + 1
        made(asha.put(f"/{account}", json=alone))
    request = ask_again(asha)
    made(join(asha, CARE, request=request))
    made(join(asha, HEALTH, request=request))
    pot = books.pot(CARE, "breaks-and-clubs")
    left = pot["allocated"] - pot["committed"] - pot["spent"]
    first = made(asha.post("/ChargeItem", json=joint_purchase((left - 100) / 100)))
    assert split_of(books, f"ChargeItem/{first['id']}") == {CARE: left - 100}
    second = made(asha.post("/ChargeItem", json=joint_purchase(5, "PUR-J2")))
    assert split_of(books, f"ChargeItem/{second['id']}") == {CARE: 100, HEALTH: 400}
    assert books.agrees()


def test_without_a_share_and_a_priority_a_budget_does_not_join(asha: httpx.Client) -> None:
    for account in (CARE, HEALTH):
        made(leave(asha, account))
    health = made(asha.get(f"/{HEALTH}"))
    for row in health["coverage"]:
        row.pop("priority", None)
    made(asha.put(f"/{HEALTH}", json=health))
    (why,) = said(join(asha, HEALTH, request=ask_again(asha)))
    assert why.startswith("Say this budget's share beside the others' (phb-joint-share), or its priority")


def test_a_joint_budget_does_not_end_before_its_parts_have_left(asha: httpx.Client) -> None:
    joint = made(asha.get(f"/{JOINT}"))
    assert (
        "Asha's health budget, Asha's social care budget must leave this joint budget before it ends ($leave)."
        in said(asha.delete(f"/{JOINT}"))
    )
    assert made(asha.get(f"/{JOINT}"))["meta"] == joint["meta"]


def test_two_of_one_priority_are_told_apart_first(asha: httpx.Client) -> None:
    for account in (CARE, HEALTH):
        made(leave(asha, account))
    request = ask_again(asha)
    made(join(asha, CARE, request=request))
    (why,) = said(join(asha, HEALTH, request=request))
    assert why.startswith("Asha's social care budget has priority 1 already.")


@pytest.mark.parametrize("by", ["put", "patch"])
def test_a_joint_budget_stays_with_who_manages_it(asha: httpx.Client, by: str) -> None:
    council = "Organization/wreake-valley-council"
    joint = made(asha.get(f"/{JOINT}"))
    patch = [{"op": "replace", "path": "/owner/reference", "value": council}]
    headers = {"Content-Type": "application/json-patch+json"}
    (why,) = said(
        asha.put(f"/{JOINT}", json={**joint, "owner": {"reference": council}})
        if by == "put"
        else asha.patch(f"/{JOINT}", json=patch, headers=headers)
    )
    assert (
        why
        == f"This joint budget is {joint['owner']['reference']}'s. What another commissioner manages is another Account."
    )
    made(asha.put(f"/{JOINT}", json={**joint, "description": "Asha's budgets, together"}))


def test_a_budget_with_money_of_its_own_does_not_become_a_joint_one(asha: httpx.Client, books: Books) -> None:
    account, joint = made(asha.get(f"/{HEALTH}")), made(asha.get(f"/{JOINT}"))
    urls = {one["url"] for one in joint["extension"]}
    account = {name: account[name] for name in account if name in {*joint, "type"}}
    account |= {"type": joint["type"], "extension": [one for one in account["extension"] if one["url"] in urls]}
    why = "This budget is one funder's, with a ledger of its own. One of the other kind is another Account."
    assert why in said(asha.put(f"/{HEALTH}", json=account))
    assert books.agrees()


# ---- another share -------------------------------------------------------------------------------

NO_REVIEW = (
    "The share of an authorised budget in a joint one changes after a review: say why, from when, and which review decided it"
    " (phb-amendment-reason)."
)


def cited(account: dict[str, Any], review: str) -> dict[str, Any]:
    """The budget with another reason for a change, decided by this review."""
    parts: list[dict[str, Any]] = [
        {"url": "date", "valueDate": "2026-11-22"},
        {"url": "reason", "valueString": "The council pays for more of it."},
        {"url": "review", "valueReference": {"reference": review}},
    ]
    row = {"url": f"{BASE}/StructureDefinition/phb-amendment-reason", "extension": parts}
    return {**account, "extension": [*account["extension"], row]}


def test_another_share_of_a_joint_budget_comes_by_a_review(asha: httpx.Client, books: Books) -> None:
    care = share(made(asha.get(f"/{CARE}")), 5)
    assert said(asha.put(f"/{CARE}", json=care)) == [NO_REVIEW]
    assert said(join(asha, CARE, share=("Decimal", 5))) == [NO_REVIEW]
    review = copy.deepcopy(next(one for one in story(FAMILY) if one["id"] == "asha-needs-change-review"))
    review |= {"id": "shares", "focus": {"reference": JOINT}}
    review["identifier"][0]["value"] = "TSK-SHARES"
    made(asha.put("/Task/shares", json=review))
    made(asha.put(f"/{CARE}", json=cited(care, "Task/shares")))
    charge = made(asha.post("/ChargeItem", json=joint_purchase(10)))
    assert split_of(books, f"ChargeItem/{charge['id']}") == {HEALTH: 500, CARE: 500}
    made(asha.put(f"/{CARE}", json={**made(asha.get(f"/{CARE}")), "description": "With the same share."}))


def test_another_priority_in_a_joint_budget_comes_by_a_review(asha: httpx.Client) -> None:
    patch = [{"op": "replace", "path": "/coverage/0/priority", "value": 7}]
    answer = asha.patch(f"/{CARE}", json=patch, headers={"Content-Type": "application/json-patch+json"})
    assert said(answer) == [NO_REVIEW]


# ---- leaving -------------------------------------------------------------------------------------


def test_what_was_split_stays_split_when_a_funder_leaves(asha: httpx.Client, books: Books) -> None:
    receipt = made(asha.post("/DocumentReference", json=evidence("Patient/asha")))
    before = made(asha.post("/ChargeItem", json=joint_purchase(180)))
    key = f"ChargeItem/{before['id']}"
    left = made(leave(asha, CARE))
    assert "partOf" not in left
    assert not [one for one in left["extension"] if one["url"].endswith("phb-joint-share")]
    assert split_of(books, key) == {HEALTH: 15_000, CARE: 3_000}
    # it is billed as it was split, though one of the funders is not part of the joint budget any more
    paid_by = {"url": f"{BASE}/StructureDefinition/phb-paid-by", "valueCode": "third-party"}
    billed = {
        **before,
        "status": "billed",
        "supportingInformation": [{"reference": f"DocumentReference/{receipt['id']}"}],
        "extension": [*[one for one in before["extension"] if not one["url"].endswith("phb-paid-by")], paid_by],
    }
    made(asha.put(f"/{key}", json=billed))
    assert split_of(books, key) == {HEALTH: 15_000, CARE: 3_000}
    funders = {one["account"]: one["funder"] for one in books._database.ledger.find({"about": key, "kind": "spend"})}
    assert funders == {HEALTH: ICB, CARE: "Organization/wreake-valley-council"}
    after = made(asha.post("/ChargeItem", json=joint_purchase(180, "PUR-J2")))
    assert split_of(books, f"ChargeItem/{after['id']}") == {HEALTH: 18_000}
    assert books.agrees()


@pytest.mark.parametrize("outcome", ["complete", "error"])
def test_a_payment_that_is_on_its_way_when_a_funder_leaves_moves_that_funders_money_as_it_was_split(
    asha: httpx.Client, books: Books, outcome: str
) -> None:
    receipt = made(asha.post("/DocumentReference", json=evidence("Patient/asha")))
    document = [{"reference": f"DocumentReference/{receipt['id']}"}]
    charge = made(asha.post("/ChargeItem", json=joint_purchase(180, supportingInformation=document)))
    way = {"account": JOINT, "issuer": ICB, "payee": "Organization/hollow-farm"}
    sent = made(
        asha.post("/PaymentReconciliation", json=payment("PAY-1", line(180, f"ChargeItem/{charge['id']}"), **way))
    )
    key = f"PaymentReconciliation/{sent['id']}"
    advanced = [(account, kind, pence) for account, _, kind, pence in books.about(key)]
    assert sorted(advanced) == [(HEALTH, "advance", 15_000), (CARE, "advance", 3_000)]
    made(leave(asha, CARE))
    made(asha.put(f"/{key}", json={**sent, "outcome": outcome}))
    after = [(account, kind, pence) for account, _, kind, pence in books.about(key)][2:]
    undone = [(HEALTH, "reversal", -15_000), (CARE, "reversal", -3_000)]
    assert sorted(after) == ([] if outcome == "complete" else undone)
    funders = {one["account"]: one["funder"] for one in books._database.ledger.find({"about": key})}
    assert funders == {HEALTH: ICB, CARE: "Organization/wreake-valley-council"}
    assert books.agrees()


def test_the_person_is_told_in_writing_that_a_budget_left_and_why(asha: httpx.Client) -> None:
    made(leave(asha, CARE))
    found = asha.get("/Communication", params={"patient": "Patient/asha", "category": "decision-notice"}).json()
    texts = [part["contentString"] for one in found["entry"] for part in one["resource"]["payload"]]
    assert any(
        "Asha's social care budget is not part of the joint budget any more. The council" in one for one in texts
    )


def test_a_plain_put_takes_a_budget_out_as_well_and_not_silently(asha: httpx.Client) -> None:
    for one in (
        letter(recipient=[{"reference": ICB}]),
        letter(payload=[{"contentString": " "}]),
        letter(sent="2026-10-24T09:00:00Z"),
    ):
        made(asha.post("/Communication", json=one))
    left = taken_out(asha)
    written = asha.get("/Communication", params={"category": "decision-notice", "sent": "ge2026-11-22"}).json()["entry"]
    assert [part["contentString"] for one in written for part in one["resource"]["payload"]] == [
        "Asha's social care budget is not part of the joint budget any more.",
        "What was bought until now stays paid as it was.",
    ]
    assert "partOf" not in left


@pytest.mark.parametrize("recipient", ["Patient/asha", "RelatedPerson/nisha-mistry", ""])
def test_who_was_told_already_is_not_told_twice(asha: httpx.Client, recipient: str) -> None:
    made(asha.post("/Communication", json=letter(**({"recipient": [{"reference": recipient}]} if recipient else {}))))
    taken_out(asha)
    found = asha.get("/Communication", params={"category": "decision-notice", "sent": "ge2026-11-20"}).json()
    assert found["total"] == 1


def taken_out(api: httpx.Client) -> dict[str, Any]:
    account = share(made(api.get(f"/{CARE}")), None)
    return made(api.put(f"/{CARE}", json={name: one for name, one in account.items() if name != "partOf"}))


def letter(**more: Any) -> dict[str, Any]:
    """A decision about the council's budget, told in writing."""
    code = {"system": f"{BASE}/CodeSystem/phb-communication-category", "code": "decision-notice"}
    return {
        "resourceType": "Communication",
        "status": "completed",
        "category": [{"coding": [code]}],
        "subject": {"reference": "Patient/asha"},
        "about": [{"reference": CARE}],
        "sent": "2026-11-20T09:00:00Z",
        "payload": [{"contentString": "The council manages its part by itself."}],
        **more,
    }


@pytest.mark.parametrize("reason", [" ", "\n"])
def test_a_reason_is_more_than_blanks(asha: httpx.Client, reason: str) -> None:
    answer = leave(asha, CARE, reason)
    assert answer.status_code == 400, answer.text


def test_leaving_needs_a_reason_and_something_to_leave(asha: httpx.Client) -> None:
    assert asha.post(f"/{CARE}/$leave", json={"resourceType": "Parameters"}).status_code == 400
    made(leave(asha, CARE))
    assert said(leave(asha, CARE)) == ["Account/asha-social-care is part of no joint budget."]


def test_a_funder_that_is_suspended_is_not_paid_for_by_the_others(asha: httpx.Client) -> None:
    care = made(asha.get(f"/{CARE}"))
    stage = f"{BASE}/StructureDefinition/phb-lifecycle-status"
    extension = [{**one, "valueCode": "suspended"} if one["url"] == stage else one for one in care["extension"]]
    notice = {
        "resourceType": "Communication",
        "status": "completed",
        "category": [
            {"coding": [{"system": f"{BASE}/CodeSystem/phb-communication-category", "code": "decision-notice"}]}
        ],
        "subject": {"reference": "Patient/asha"},
        "about": [{"reference": CARE}],
        "sent": "2026-11-20T10:00:00Z",
        "recipient": [{"reference": "Patient/asha"}],
        "payload": [{"contentString": "Your budget is suspended while we look into an invoice."}],
    }
    made(asha.post("/Communication", json=notice))
    made(asha.put(f"/{CARE}", json={**care, "status": "on-hold", "extension": extension}))
    (why,) = said(asha.post("/ChargeItem", json=joint_purchase(180)))
    assert why == (
        "Asha's social care budget, which pays a part of this, is suspended: it becomes active, or leaves the joint budget, first."
    )
    made(leave(asha, CARE))
    made(asha.post("/ChargeItem", json=joint_purchase(180)))


def test_what_ashas_mother_asked_for_is_approved_and_falls_as_the_note_on_it_says(
    asha: httpx.Client, books: Books
) -> None:
    key = "ChargeItem/asha-sensory-kit"
    assert split_of(books, key) == {}
    assert made(asha.post(f"/{key}/$approve", json={"resourceType": "Parameters"}))["status"] == "billable"
    assert split_of(books, key) == {HEALTH: 15_000, CARE: 3_000}


# ---- coming back ---------------------------------------------------------------------------------

BACK = (
    "This budget was managed with others as the person asked, and left them since. That it comes back is asked for anew (Task"
    " joint-budget-request)."
)


def test_a_budget_that_left_comes_back_as_the_person_asks_anew_and_not_with_another_share_by_the_old_request(
    asha: httpx.Client,
) -> None:
    made(leave(asha, CARE))
    assert said(join(asha, CARE, share=("Decimal", 9))) == [BACK]
    by_hand = share(made(asha.get(f"/{CARE}")), 9) | {"partOf": {"reference": JOINT}}
    assert said(asha.put(f"/{CARE}", json=by_hand)) == [BACK]
    request = ask_again(asha)
    joined = made(join(asha, CARE, request=request, share=("Decimal", 9)))
    outputs = [one["valueReference"]["reference"] for one in made(asha.get(f"/{request}"))["output"]]
    assert outputs == [JOINT, f"{CARE}/_history/{joined['meta']['versionId']}"]


def test_each_budget_joins_once_by_a_request_that_is_for_all_of_them(asha: httpx.Client) -> None:
    asked = made(asha.get("/Task/asha-joint-request"))
    told = [one["valueReference"]["reference"] for one in asked["output"]]
    assert sorted(told) == sorted([JOINT, f"{CARE}/_history/1", f"{HEALTH}/_history/1"])


def test_one_review_names_each_of_the_budgets_that_one_transaction_changes_by_it(asha: httpx.Client) -> None:
    review = "Task/asha-needs-change-review"
    shared = [share(made(asha.get(f"/{key}")), value) for key, value in ((HEALTH, 6), (CARE, 2))]
    parts: list[dict[str, Any]] = [
        {"url": "date", "valueDate": "2026-11-22"},
        {"url": "reason", "valueString": "The council gives a larger share."},
        {"url": "review", "valueReference": {"reference": review}},
    ]
    why = {"url": f"{BASE}/StructureDefinition/phb-amendment-reason", "extension": parts}
    written = [{**one, "extension": [*one["extension"], why]} for one in shared]
    answer = asha.post("", json=bundle_of(written))
    assert answer.status_code == 200, answer.text
    named = [one.get("valueReference", {}).get("reference", "") for one in made(asha.get(f"/{review}"))["output"]]
    assert {f"{one['resourceType']}/{one['id']}/_history/2" for one in shared} <= {*named}

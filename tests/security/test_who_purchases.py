"""Who may purchase from a budget, ask for it, decide, and disallow: the roles of the policy, and the rules behind it (R11, R20, R76)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from phb_fhir.cli.token import Asked
from tests.paying import advance
from tests.people import People, signed_in
from tests.stories import massage, tell

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def people(mongodb_uri: str) -> Iterator[People]:
    with signed_in(mongodb_uri) as made:
        made.know("tom", Asked("person", "Tom", "Patient/tom", "tom"))
        made.know("cousin", Asked("delegate", "A cousin", "RelatedPerson/cousin", "jill"))
        yield made


def bought(**more: Any) -> dict[str, Any]:
    return massage(f"PUR-W-{next(_NUMBERS)}", **more)


def unusual(**more: Any) -> dict[str, Any]:
    charge = bought(**more)
    charge["code"]["text"] = "A kite"
    del charge["definitionCanonical"]
    return charge


ENTERERS = {
    "jill": "Patient/jill",
    "ruth": "RelatedPerson/ruth-harper",
    "co-ordinator": "PractitionerRole/priya-nair-coordinator",
    "commissioner": "Organization/harbourside-north",
    "system": "Patient/jill",
}


@pytest.mark.parametrize("who", ENTERERS)
def test_who_may_purchase_does_so_in_their_own_name(people: People, who: str) -> None:
    answer = people[who].post("/ChargeItem", json=bought(enterer={"reference": ENTERERS[who]}))
    assert (answer.status_code, answer.json().get("status")) == (201, "billable"), answer.text


@pytest.mark.parametrize(
    ("who", "text", "why", "status"),
    [
        ("commissioner", "GP appointment", "The practice is three hours away.", 201),
        ("commissioner", "GP appointment", "", 422),
        ("commissioner", "Emergency ambulance", "The practice is three hours away.", 422),
        ("co-ordinator", "GP appointment", "The practice is three hours away.", 422),
        ("jill", "GP appointment", "The practice is three hours away.", 422),
    ],
)
def test_of_primary_care_alone_a_commissioner_makes_an_exception_and_says_why(
    people: People, who: str, text: str, why: str, status: int
) -> None:
    charge = unusual(enterer={"reference": ENTERERS[who]})
    charge["code"]["text"] = text
    answer = people[who].post("/ChargeItem", json=charge | ({"overrideReason": why} if why else {}))
    assert answer.status_code == status, answer.text
    assert status == 201 or "It stays free on the NHS" in answer.json()["issue"][0]["diagnostics"]


@pytest.mark.parametrize("who", ["jill", "ruth", "co-ordinator"])
def test_nobody_enters_a_purchase_in_another_name(people: People, who: str) -> None:
    other = next(name for one, name in ENTERERS.items() if one != who)
    answer = people[who].post("/ChargeItem", json=bought(enterer={"reference": other}))
    assert answer.status_code == 422
    (issue,) = answer.json()["issue"]
    assert issue["diagnostics"] == "The purchase says that somebody else entered it than who is signed in."


@pytest.mark.parametrize("who", ["practice", "auditor", "tom", "cousin"])
def test_who_has_nothing_to_do_with_the_budget_purchases_nothing(people: People, who: str) -> None:
    answer = people[who].post("/ChargeItem", json=bought())
    assert answer.status_code in (403, 404, 422), answer.text
    assert "left" not in answer.text  # nobody learns what is in it


@pytest.mark.parametrize("who", ["jill", "ruth"])
def test_what_is_unusual_waits_when_the_person_asks_and_they_cannot_approve_it_themselves(
    people: People, who: str
) -> None:
    made = people[who].post("/ChargeItem", json=unusual(enterer={"reference": ENTERERS[who]}, status="billable"))
    assert (made.status_code, made.json()["status"]) == (201, "planned"), made.text
    address = f"/ChargeItem/{made.json()['id']}"
    assert people[who].put(address, json=made.json() | {"status": "billable"}).status_code == 422
    body = {"resourceType": "Parameters"}
    assert people[who].post(f"{address}/$approve", json=body).status_code == 422
    approved = people["co-ordinator"].post(f"{address}/$approve", json=body)
    assert (approved.status_code, approved.json()["status"]) == (200, "billable"), approved.text


def test_what_was_approved_is_not_made_another_purchase_afterwards(people: People) -> None:
    made = people["jill"].post("/ChargeItem", json=unusual()).json()
    people["co-ordinator"].post(f"/ChargeItem/{made['id']}/$approve", json={"resourceType": "Parameters"})
    stands = people["jill"].get(f"/ChargeItem/{made['id']}").json()
    dearer = stands | {"priceOverride": {"value": 90.0, "currency": "GBP"}}
    assert people["jill"].put(f"/ChargeItem/{made['id']}", json=dearer).status_code == 422
    noted = stands | {"note": [{"text": "It flies."}]}
    assert people["jill"].put(f"/ChargeItem/{made['id']}", json=noted).status_code == 200


def test_the_person_takes_a_purchase_back_and_only_the_nhs_disallows_one(people: People) -> None:
    made = people["jill"].post("/ChargeItem", json=bought()).json()
    address = f"/ChargeItem/{made['id']}"
    disallowed = made | {"status": "not-billable", "note": [{"text": "Not for this."}]}
    assert people["jill"].put(address, json=disallowed).status_code == 422
    assert people["jill"].put(address, json=made | {"status": "aborted"}).status_code == 200
    other = people["jill"].post("/ChargeItem", json=bought()).json()
    disallowed = other | {"status": "not-billable", "note": [{"text": "Not for this."}]}
    assert people["commissioner"].put(f"/ChargeItem/{other['id']}", json=disallowed).status_code == 200


def test_a_trial_is_for_who_may_purchase_and_tells_others_nothing(people: People) -> None:
    assert people["jill"].post("/ChargeItem/$check-purchase", json=bought()).status_code == 200
    for who in ("tom", "practice", "auditor"):
        answer = people[who].post("/ChargeItem/$check-purchase", json=bought())
        assert answer.status_code in (403, 404, 422), who
        assert "available" not in answer.text


def test_the_task_for_the_co_ordinator_is_hers_to_see_and_the_persons(people: People) -> None:
    made = people["jill"].post("/ChargeItem", json=unusual()).json()
    for who in ("jill", "co-ordinator"):
        found = people[who].get("/Task", params={"focus": f"ChargeItem/{made['id']}"}).json()
        assert found["total"] == 1, who


# ---- what is another's, as if it were not there ----------------------------------------------------------------------

ACCOUNT_NUMBER = "https://fhir.phb.nhs.example/Id/phb-account-number"


@pytest.fixture(scope="module")
def neighbours(mongodb_uri: str) -> Iterator[People]:
    """Jill, and Tom, whose record is as hers and whom she knows nothing of."""
    with signed_in(mongodb_uri) as made:
        tell(made["system"], name="tom")
        yield made


def charged_to(number: str) -> dict[str, Any]:
    """A purchase of Jill's that names its budget by a number."""
    return bought(account=[{"identifier": {"system": ACCOUNT_NUMBER, "value": number}}])


@pytest.mark.parametrize("where", ["/ChargeItem", "/ChargeItem/$check-purchase"])
def test_a_budget_named_by_its_number_is_one_that_the_writer_may_see(neighbours: People, where: str) -> None:
    jill = neighbours["jill"]
    mine = jill.post(where, json=charged_to("PHB-2026-000417"))
    assert mine.status_code in (200, 201), mine.text
    toms, nobodys = (jill.post(where, json=charged_to(number)) for number in ("PHB-2026-000417-tom", "PHB-0"))
    assert (toms.status_code, toms.json()) == (nobodys.status_code, nobodys.json())
    assert toms.status_code == 422
    assert toms.json()["issue"][0]["diagnostics"] == "The purchase is charged to no budget that is here."


def test_a_reference_that_somebody_else_has_given_is_free(neighbours: People) -> None:
    toms = neighbours["system"].get("/ChargeItem/tom-gardening-tools").json()["identifier"][0]["value"]
    tried = neighbours["jill"].post("/ChargeItem/$check-purchase", json=massage(toms))
    assert "tom-gardening-tools" not in tried.text
    made = neighbours["jill"].post("/ChargeItem", json=massage(toms))
    assert (made.status_code, made.json()["status"]) == (201, "billable"), made.text
    again = neighbours["jill"].post("/ChargeItem", json=massage(toms))
    assert (again.status_code, again.json()["id"]) == (200, made.json()["id"])
    other = neighbours["system"].post("/ChargeItem", json=massage(toms, pounds="46.00"))
    assert other.status_code == 422
    assert "which is another purchase" in other.text


def test_a_reference_within_the_budget_is_taken_and_what_is_restricted_is_not_named(neighbours: People) -> None:
    reference = f"PUR-W-{next(_NUMBERS)}"
    made = neighbours["jill"].post("/ChargeItem", json=massage(reference)).json()
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    restricted = made | {"meta": {"security": [label]}}
    assert neighbours["system"].put(f"/ChargeItem/{made['id']}", json=restricted).status_code == 200
    enterer = {"reference": ENTERERS["co-ordinator"]}
    refused = neighbours["co-ordinator"].post("/ChargeItem", json=massage(reference, enterer=enterer))
    assert refused.status_code == 422
    assert made["id"] not in refused.text
    (issue,) = refused.json()["issue"]
    assert (issue["code"], issue["diagnostics"]) == (
        "duplicate",
        f"The reference {reference} is that of another purchase already. Give this one a reference of its own.",
    )


def test_a_trial_refers_to_no_more_than_the_write_may(neighbours: People) -> None:
    def tried(document: str) -> Any:
        evidence = [{"reference": f"DocumentReference/{document}"}]
        return neighbours["jill"].post("/ChargeItem/$check-purchase", json=bought(supportingInformation=evidence))

    assert tried("jill-receipt-massage-2026-10-09").status_code == 200
    hidden, never = tried("tom-receipt-massage-2026-10-09"), tried("never-was")
    assert hidden.status_code == never.status_code == 422
    assert hidden.text.replace("tom-receipt-massage-2026-10-09", "never-was") == never.text


def test_a_payment_that_may_not_be_seen_is_not_named_and_of_another_budget_not_there(neighbours: People) -> None:
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    made = neighbours["system"].post("/PaymentReconciliation", json=advance("PAY-W", 10))
    assert made.status_code == 201, made.text
    paid = made.json()
    (seen,) = neighbours["commissioner"].post("/PaymentReconciliation", json=advance("PAY-W", 11)).json()["issue"]
    assert paid["id"] in seen["diagnostics"]
    restricted = paid | {"meta": {"security": [label]}}
    assert neighbours["system"].put(f"/PaymentReconciliation/{paid['id']}", json=restricted).status_code == 200
    (unseen,) = neighbours["commissioner"].post("/PaymentReconciliation", json=advance("PAY-W", 11)).json()["issue"]
    assert unseen["diagnostics"] == ("The payment is recorded already. Give another payment an identifier of its own.")
    toms = json.loads(json.dumps(advance("PAY-W", 11)).replace("/jill", "/tom"))
    assert neighbours["commissioner"].post("/PaymentReconciliation", json=toms).status_code == 201


def test_of_purchases_written_at_once_each_is_judged_by_what_its_own_writer_may_see(neighbours: People) -> None:
    references = [f"PUR-A-{number}" for number in range(12)]

    def post(asked: tuple[str, dict[str, Any]]) -> int:
        who, charge = asked
        return neighbours[who].post("/ChargeItem", json=charge).status_code

    toms = [massage(reference, pounds="1.00", name="tom") for reference in references]
    assert {post(("system", charge)) for charge in toms} == {201}
    jills = [("jill", massage(reference, pounds="1.01")) for reference in references]
    systems = [("system", massage(f"PUR-B-{number}", pounds="1.00", name="tom")) for number in range(12)]
    at_once = [each for pair in zip(systems, jills, strict=True) for each in pair]
    with ThreadPoolExecutor(len(at_once)) as pool:
        assert set(pool.map(post, at_once)) == {201}


def test_who_pays_says_no_with_the_reason_and_the_person_is_told(people: People) -> None:
    """R7, R139: the commissioner looks at what was bought, and says why it is not paid for."""
    charge = people["jill"].post("/ChargeItem", json=unusual(enterer={"reference": "Patient/jill"})).json()
    reason = {
        "coding": [{"system": "https://fhir.phb.nhs.example/CodeSystem/phb-refusal-reason", "code": "poor-value"}]
    }
    body = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "reason", "valueCodeableConcept": reason},
            {"name": "explanation", "valueString": "There are cheaper kites."},
        ],
    }
    no = people["commissioner"].post(f"/ChargeItem/{charge['id']}/$reject", json=body)
    assert no.status_code == 200, no.text
    for who in ("jill", "commissioner"):
        (told,) = people[who].get(f"/Communication?about=ChargeItem/{charge['id']}").json()["entry"]
        assert "There are cheaper kites." in told["resource"]["payload"][0]["contentString"]
    letter = {name: value for name, value in told["resource"].items() if name not in ("id", "meta")}
    stranger = people["another commissioner"].post("/Communication", json=letter)
    assert stranger.status_code in (403, 422), stranger.text
    assert people["finance"].post("/Communication", json=letter).status_code == 403
    # a letter about nothing of theirs is not theirs to write
    about = {name: value for name, value in letter.items() if name != "about"}
    assert people["commissioner"].post("/Communication", json=about).status_code == 403


def test_a_trial_says_what_is_wrong_in_the_purchase_beside_what_it_refers_to_that_is_not_there(people: People) -> None:
    wrong = bought(supportingInformation=[{"reference": "DocumentReference/nowhere"}])
    wrong["priceOverride"] = {"value": 45.0, "currency": "EUR"}
    answer = people["jill"].post("/ChargeItem/$check-purchase", json=wrong)
    texts = [issue["details"]["text"] for issue in answer.json()["issue"]]
    assert (answer.status_code, texts) == (
        422,
        ['The profile Pounds fixes "currency" to "GBP"; this is "EUR".', "There is no DocumentReference/nowhere."],
    )

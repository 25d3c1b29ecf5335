"""C32E5: whoever is signed in purchases in their own name, so that money of a part is spent by who holds it, or by the NHS team (R20)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from phb_fhir.cli.token import Asked
from phb_fhir.rules.budget import elements_of
from tests.builders import bundle, entry
from tests.fresh import write_down
from tests.journeys.planning import put
from tests.people import People, signed_in
from tests.stories import BRODIE, FAMILY, JILLS, RUTH, SAM, WILLOW, massage, three_paid

PRIYA = {"reference": "PractitionerRole/priya-nair-coordinator"}


@pytest.fixture(scope="module")
def people(mongodb_uri: str) -> Iterator[People]:
    with signed_in(mongodb_uri) as made:
        yield made


def notional(reference: str, **more: Any) -> dict[str, Any]:
    """A purchase in the plan and in the directory, from the part that the NHS holds for Jill."""
    charge = massage(reference, **more)
    charge["extension"][0]["valueId"] = "therapy-and-equipment"
    return charge


@pytest.mark.parametrize(
    "enterer",
    [{"display": "Priya Nair"}, {"identifier": {"system": "https://phb.example/staff", "value": "PN"}}, PRIYA],
)
@pytest.mark.parametrize("status", ["planned", "billable"])
def test_nobody_enters_a_purchase_in_anothers_name(people: People, enterer: dict[str, Any], status: str) -> None:
    answer = people["jill"].post("/ChargeItem", json=notional("PUR-NAME", enterer=enterer, status=status))
    assert answer.status_code == 422, answer.text
    (issue,) = answer.json()["issue"][:1]
    assert issue["expression"] == ["ChargeItem.enterer"]
    assert issue["diagnostics"] == (
        "The purchase says that somebody else entered it than who is signed in."
        if enterer is PRIYA
        else "The purchase does not say, by a reference, that it was entered by who is signed in."
    )


def test_who_entered_a_purchase_stays_on_record_so_that_who_asks_does_not_decide(people: People) -> None:
    asked = people["jill"].post("/ChargeItem", json=notional("PUR-STAYS"))
    assert (asked.status_code, asked.json()["status"]) == (201, "planned"), asked.text
    for enterer in (PRIYA, {"display": "Priya Nair"}):
        answer = put(people["jill"], asked.json() | {"enterer": enterer, "status": "billable"})
        assert answer.status_code == 422, answer.text
    assert (
        put(people["jill"], asked.json() | {"enterer": {**asked.json()["enterer"], "display": "Jill"}}).status_code
        == 200
    )
    approved = people["co-ordinator"].post(f"/ChargeItem/{asked.json()['id']}/$approve")
    assert (approved.status_code, approved.json().get("status")) == (200, "billable"), approved.text


def test_what_the_team_asked_for_is_not_made_into_another_purchase_by_who_does_not_hold_the_money(
    people: People,
) -> None:
    unusual = notional("PUR-TEAM", enterer=PRIYA)
    del unusual["definitionCanonical"]
    asked = people["co-ordinator"].post("/ChargeItem", json=unusual)
    assert (asked.status_code, asked.json()["status"]) == (201, "planned"), asked.text
    listed = asked.json() | {"definitionCanonical": notional("")["definitionCanonical"]}
    answer = put(people["jill"], listed | {"status": "billable"})
    assert answer.status_code == 422, answer.text
    assert "The part 'therapy-and-equipment' is held by Organization/harbourside-north." in answer.text
    answer = put(people["jill"], listed)
    assert answer.json().get("status") == "planned", answer.text


def test_nobody_keeps_the_co_ordinator_from_hearing_of_a_purchase_by_a_task_of_their_own(people: People) -> None:
    story = people["system"].get("/Task/jill-unusual-request").json()
    sent = {name: value for name, value in story.items() if name not in ("id", "meta", "identifier", "owner")}
    sent |= {
        "focus": {"reference": "urn:uuid:5b0c9a0e-0000-4000-8000-000000000001"},
        "owner": {"reference": "Patient/jill"},
    }
    sent |= {"requester": {"reference": "Patient/jill"}, "input": []}
    charge = entry("POST", "ChargeItem", notional("PUR-FORESTALLED"), sent["focus"]["reference"])
    task = entry("POST", "Task", {name: value for name, value in sent.items() if value})
    answer = people["jill"].post("/", json=bundle("transaction", charge, task))
    assert answer.status_code == 200, answer.text
    id_ = answer.json()["entry"][0]["response"]["location"].split("/")[-3]
    found = people["system"].get("/Task", params={"focus": f"ChargeItem/{id_}", "code": "unusual-request"}).json()
    owners = sorted(one["resource"]["owner"]["reference"] for one in found["entry"])
    assert owners == ["Patient/jill", PRIYA["reference"]]


JOINT = {"reference": "Account/asha-joint"}


def test_a_joint_budget_is_no_way_around_who_holds_its_parts(mongodb_uri: str) -> None:
    """Nisha's purchase is in the plan, in the directory and within the money, which others hold for Asha."""
    with signed_in(mongodb_uri, JILLS, FAMILY) as family:
        family.know("nisha", Asked("delegate", "Nisha Mistry", "RelatedPerson/nisha-mistry", "asha"))
        charge = massage("PUR-JOINT", name="asha", account=[JOINT], enterer={"reference": "RelatedPerson/nisha-mistry"})
        charge["extension"] = charge["extension"][1:]
        charge["extension"][0]["extension"][1]["valueString"] = "short-breaks"
        asked = family["nisha"].post("/ChargeItem", json=charge)
        assert (asked.status_code, asked.json().get("status")) == (201, "planned"), asked.text
        approved = family["system"].post(f"/ChargeItem/{asked.json()['id']}/$approve")
        assert (approved.status_code, approved.json().get("status")) == (200, "billable"), approved.text


# ---- several who hold direct payments ------------------------------------------------------------

WHO = {
    "jill": "Patient/jill",
    "ruth": RUTH,
    "sam": SAM,
    "brodie": BRODIE,
    "willow": WILLOW,
    "co-ordinator": PRIYA["reference"],
}
ALL = {"daily-life", "ruths", "willows", "nights-and-payroll", "therapy-and-equipment"}
SPENDS = {  # from which parts somebody buys without asking
    "jill": {"daily-life"},
    "ruth": {"daily-life", "ruths"},
    "sam": {"daily-life"},
    "brodie": {"daily-life"},
    "willow": {"daily-life", "willows", "nights-and-payroll"},
    "co-ordinator": ALL,
}


@pytest.fixture(scope="module")
def paid(mongodb_uri: str) -> Iterator[People]:
    with signed_in(mongodb_uri, FAMILY) as made:  # another's story, so that hers is told here
        write_down(made["system"], three_paid())
        made.know("sam", Asked("delegate", "Sam", SAM, "jill"))
        made.know("brodie", Asked("broker", "Brodie", BRODIE))
        made.know("willow", Asked("broker", "Willow Tree", organization=WILLOW))
        yield made


@pytest.mark.parametrize("part", sorted(ALL))
@pytest.mark.parametrize("who", WHO)
def test_of_several_who_hold_direct_payments_each_spends_their_own(paid: People, who: str, part: str) -> None:
    """Whoever acts for Jill spends what is paid to her, and asks for what others hold (R20)."""
    charge = massage(f"PUR-{who}-{part}", enterer={"reference": WHO[who]})
    charge["extension"][0]["valueId"] = part
    answer = paid[who].post("/ChargeItem", json=charge)
    assert answer.status_code == 201, answer.text
    assert answer.json()["status"] == ("billable" if part in SPENDS[who] else "planned")


def test_whoever_holds_a_part_decides_what_others_ask_of_it(paid: People) -> None:
    charge = massage("PUR-RUTHS")
    charge["extension"][0]["valueId"] = "ruths"
    asked = paid["jill"].post("/ChargeItem", json=charge).json()
    assert asked["status"] == "planned"
    answer = put(paid["jill"], asked | {"status": "billable"})
    assert answer.status_code == 422, answer.text
    assert answer.json()["issue"][0]["diagnostics"] == (
        "The part 'ruths' is held by RelatedPerson/ruth-harper. You can ask for this purchase (status planned); whoever holds the money, or the NHS"
        " team, makes it."
    )
    agreed = put(paid["ruth"], asked | {"status": "billable"})
    assert (agreed.status_code, agreed.json().get("status")) == (200, "billable"), agreed.text


# ---- what was agreed stays agreed ----------------------------------------------------------------

RIVERBANK, LANTERN = {"reference": "Organization/riverbank-therapies"}, {"reference": "Organization/lantern-home-care"}


def unlisted(reference: str, **more: Any) -> dict[str, Any]:
    charge = massage(reference, **more)
    del charge["definitionCanonical"]
    return charge


@pytest.mark.parametrize(
    "changed",
    [
        {"performingOrganization": LANTERN},
        {"performer": [{"actor": LANTERN}]},
        {"productCodeableConcept": {"text": "A massage chair"}},
    ],
)
def test_who_provides_what_was_agreed_and_what_it_is_changes_by_who_decides(
    people: People, changed: dict[str, Any]
) -> None:
    asked = people["jill"].post("/ChargeItem", json=unlisted(f"PUR-{[*changed]}", performingOrganization=RIVERBANK))
    agreed = people["co-ordinator"].post(f"/ChargeItem/{asked.json()['id']}/$approve").json()
    answer = put(people["jill"], agreed | changed)
    assert answer.status_code == 422, answer.text
    assert answer.json()["issue"][0]["diagnostics"] == (
        "What was agreed about this purchase can be changed by whoever decides it: It is not in the directory."
    )
    named = {**RIVERBANK, "display": "Riverbank Therapies"}
    assert put(people["jill"], agreed | {"performingOrganization": named}).status_code == 200


def test_who_provided_it_may_be_told_later_where_nobody_was_named(people: People) -> None:
    asked = people["jill"].post("/ChargeItem", json=unlisted("PUR-LATER"))
    agreed = people["co-ordinator"].post(f"/ChargeItem/{asked.json()['id']}/$approve").json()
    assert put(people["jill"], agreed | {"performingOrganization": RIVERBANK}).status_code == 200


def test_money_for_emergencies_is_used_by_who_decides_also_for_what_was_agreed_from_other_money(people: People) -> None:
    agreed = people["jill"].post("/ChargeItem", json=massage("PUR-EMERGENCY")).json()
    assert agreed["status"] == "billable"
    code = {"system": "https://fhir.phb.nhs.example/CodeSystem/phb-purchase-reason", "code": "contingency"}
    answer = put(people["jill"], agreed | {"reason": [{"coding": [code], "text": "Her assistant is ill."}]})
    assert answer.status_code == 422, answer.text
    assert answer.json()["issue"][0]["diagnostics"].endswith("It is to be paid from the money for emergencies.")


def test_two_consents_to_direct_payments_that_end_together_end_both_parts(mongodb_uri: str) -> None:
    with signed_in(mongodb_uri, FAMILY) as people:
        told = three_paid()
        (both,) = [one for one in told if one["id"] == "jill-direct-payment"]
        hers, ruths, willows = both["provision"]["actor"]
        apart = [
            both | {"id": id_, "provision": both["provision"] | {"actor": actors}}
            for id_, actors in (("hers", [hers]), ("theirs", [ruths, willows]))
        ]
        write_down(people["system"], [*(one for one in told if one is not both), *apart])
        ended = [one | {"status": "inactive"} for one in apart]
        entries = [entry("PUT", f"Consent/{one['id']}", one) for one in ended]
        answer = people["system"].post("/", json=bundle("transaction", *entries))
        assert answer.status_code == 200, answer.text
        account = people["system"].get("/Account/jill-budget").json()
        ends = {one.id: one.days.end for one in elements_of(account) if one.model == "direct-payment"}
        assert {*ends.values()} == {date(2026, 11, 22)}, ends


TAKEN_BACK = "This is paid from money that somebody else holds: they take it back, or the NHS team does. Tell them what is wrong with it."


def agreed_from(people: People, who: str, part: str, reference: str) -> dict[str, Any]:
    """What somebody has bought from a part that they hold."""
    charge = massage(reference, enterer={"reference": WHO[who]})
    charge["extension"][0]["valueId"] = part
    agreed: dict[str, Any] = people[who].post("/ChargeItem", json=charge).json()
    assert agreed["status"] == "billable"
    return agreed


@pytest.mark.parametrize("status", ["aborted", "entered-in-error"])
@pytest.mark.parametrize(
    ("holder", "part", "others"),
    [
        ("co-ordinator", "therapy-and-equipment", ["jill", "ruth", "brodie", "willow"]),
        ("willow", "nights-and-payroll", ["jill", "brodie"]),
        ("ruth", "ruths", ["jill", "sam"]),
    ],
)
def test_what_was_bought_from_a_part_is_taken_back_by_its_holder_or_the_nhs(
    paid: People, holder: str, part: str, others: list[str], status: str
) -> None:
    agreed = agreed_from(paid, holder, part, f"PUR-{part}-{status}")
    for who in others:
        answer = put(paid[who], agreed | {"status": status})
        assert answer.status_code == 422, answer.text
        assert [one["diagnostics"] for one in answer.json()["issue"]] == [TAKEN_BACK]
    assert put(paid[holder], agreed | {"status": status}).status_code == 200


def test_what_was_bought_from_anothers_part_is_not_moved_to_ones_own(paid: People) -> None:
    agreed = agreed_from(paid, "co-ordinator", "therapy-and-equipment", "PUR-MOVED")
    moved = [{**one, "valueId": "daily-life"} if "valueId" in one else one for one in agreed["extension"]]
    answer = put(paid["jill"], agreed | {"extension": moved})
    assert answer.status_code == 422, answer.text
    assert answer.json()["issue"][0]["diagnostics"].endswith(
        "The part 'therapy-and-equipment' is held by somebody else."
    )
    assert put(paid["co-ordinator"], agreed | {"extension": moved}).status_code == 200


def test_who_asked_for_a_purchase_withdraws_it_until_it_is_billed(paid: People) -> None:
    charge = massage("PUR-WITHDRAWN")
    charge["extension"][0]["valueId"] = "therapy-and-equipment"
    asked = paid["jill"].post("/ChargeItem", json=charge).json()
    agreed = paid["co-ordinator"].post(f"/ChargeItem/{asked['id']}/$approve").json()
    assert put(paid["ruth"], agreed | {"status": "aborted"}).status_code == 200  # who acts for Jill
    again = paid["jill"].post(
        "/ChargeItem", json=charge | {"identifier": [{**charge["identifier"][0], "value": "PUR-B"}]}
    )
    agreed = paid["co-ordinator"].post(f"/ChargeItem/{again.json()['id']}/$approve").json()
    receipt = {"reference": "DocumentReference/jill-receipt-massage-2026-10-09"}
    by = {"url": "https://fhir.phb.nhs.example/StructureDefinition/phb-paid-by", "valueCode": "nhs-team"}
    done = {"status": "billed", "supportingInformation": [receipt], "extension": [*agreed["extension"], by]}
    billed = put(paid["co-ordinator"], agreed | done)
    assert billed.status_code == 200, billed.text
    assert put(paid["jill"], billed.json() | {"status": "entered-in-error"}).status_code == 422

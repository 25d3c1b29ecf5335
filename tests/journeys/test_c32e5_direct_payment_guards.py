"""C32E5: what the law asks before money is paid to a person, and when it stops (RULE-DP, DP-1 to DP-9; R92)."""

from __future__ import annotations

import copy
from typing import Any

import httpx
import pytest

from tests.journeys.jills_budget import (
    BUDGET,
    PHB,
    Resource,
    begin,
    budget,
    coded,
    come_to,
    decided,
    found,
    put,
    read,
    refused,
    rows,
    signed_off,
    task,
    url,
)
from tests.stories import massage, story

CONSENT, AGREEMENT = "Consent/jill-direct-payment", "DocumentReference/jill-direct-payment-agreement"


def of_story(id_: str) -> Resource:
    (one,) = (each for each in story() if each["id"] == id_)
    return one


def ready(api: httpx.Client, *without: str) -> None:
    """Everything is there for the budget to begin, but for what is named."""
    begin(api, *without)
    come_to(api, "authorised")


def exclusion(**more: Any) -> Resource:
    return {
        "resourceType": "Flag",
        "id": "order",
        "status": "active",
        "code": coded("phb-dp-exclusion", "alcohol-treatment-requirement"),
        "subject": {"reference": "Patient/jill"},
        **more,
    }


def notional(stage: str) -> Resource:
    """The same budget without a direct payment: the NHS holds that part."""
    account = budget(stage)
    for row in rows(account, "phb-management-element"):
        parts = {part["url"]: part for part in row["extension"]}
        if parts["model"]["valueCode"] == "direct-payment":
            parts["model"]["valueCode"] = "notional"
            parts["holder"]["valueReference"] = {"reference": "Organization/harbourside-north"}
    return account


# ---- before it starts ----------------------------------------------------------------------------


def test_who_is_excluded_by_law_gets_no_direct_payment_and_the_other_ways_stay_open(api: httpx.Client) -> None:
    ready(api)
    assert put(api, exclusion()).status_code == 200
    assert refused(put(api, budget("active"))) == [
        "The law excludes this person from direct payments (DP-1). A notional or a third-party budget is still open to them."
    ]
    assert put(api, exclusion(status="inactive")).status_code == 200
    assert put(api, budget("active")).status_code == 200


def test_an_excluded_person_has_a_notional_budget(api: httpx.Client) -> None:
    begin(api, CONSENT, AGREEMENT)
    come_to(api, "sign-off-pending")
    assert put(api, exclusion()).status_code == 200
    assert put(api, *signed_off(), notional("authorised")).status_code == 200
    assert put(api, notional("active")).status_code == 200


def test_nobody_is_paid_who_has_not_agreed(api: httpx.Client) -> None:
    ready(api, CONSENT)
    assert refused(put(api, budget("active"))) == [
        "Nobody has agreed to a direct payment from this budget (DP-2): an active Consent says so. A notional or a third-party budget is still open to them."
    ]
    assert put(api, of_story("jill-direct-payment"), budget("active")).status_code == 200


def test_the_consent_names_who_is_paid(api: httpx.Client) -> None:
    ready(api, CONSENT)
    consent = copy.deepcopy(of_story("jill-direct-payment"))
    consent["provision"]["actor"][0]["reference"] = {"reference": "RelatedPerson/ruth-harper"}
    assert refused(put(api, consent, budget("active"))) == [
        "The consent to direct payments does not name Patient/jill, who holds the part 'daily-life' (DP-2)."
    ]


@pytest.mark.parametrize(
    "changed",
    [{"provision": {"period": {"start": "2026-10-05", "end": "2026-11-21"}}}, {"status": "proposed"}],
)
def test_a_consent_that_is_over_or_only_proposed_is_none(api: httpx.Client, changed: Resource) -> None:
    ready(api, CONSENT)
    consent = copy.deepcopy(of_story("jill-direct-payment"))
    provision = {**consent["provision"], **changed.get("provision", {})}
    assert put(api, {**consent, **changed, "provision": provision}).status_code == 200
    (reason,) = refused(put(api, budget("active")))
    assert reason.startswith("Nobody has agreed to a direct payment from this budget (DP-2)")


def test_for_a_child_somebody_with_parental_responsibility_agrees(api: httpx.Client) -> None:
    ready(api)
    assert put(api, {**of_story("jill"), "birthDate": "2011-11-23"}).status_code == 200
    reasons = refused(put(api, budget("active")))
    assert "For a child under 16, somebody with parental responsibility agrees to a direct payment (DP-2)." in reasons
    assert put(api, {**of_story("jill"), "birthDate": "2010-11-22"}).status_code == 200
    assert all(
        "DP-2" not in reason for reason in refused(put(api, budget("active")))
    )  # sixteen today; too young for the adults' ground


def test_both_sides_signed_an_agreement(api: httpx.Client) -> None:
    ready(api, AGREEMENT)
    assert refused(put(api, budget("active"))) == [
        "A direct payment begins with an agreement that both sides signed (a DocumentReference of type direct-payment-agreement, R92)."
    ]
    agreement = of_story("jill-direct-payment-agreement")
    assert put(api, {**agreement, "docStatus": "preliminary"}).status_code == 200
    assert len(refused(put(api, budget("active")))) == 1
    assert put(api, agreement, budget("active")).status_code == 200


@pytest.mark.parametrize("named", ["ruth-harper", "ruth-again"])
def test_nobody_of_the_household_is_paid_without_an_exception(api: httpx.Client, named: str) -> None:
    """By whichever record of them the plan names them."""
    begin(api)
    ruth = copy.deepcopy(of_story("ruth-harper"))
    again = {**ruth, "id": "ruth-again"}
    ruth["extension"] = [{"url": url("phb-connected-person"), "valueBoolean": True}]
    plan, sign_off = copy.deepcopy(signed_off())
    plan["activity"][0]["detail"]["performer"].append({"reference": f"RelatedPerson/{named}"})
    assert put(api, ruth, again, {**plan, "status": "draft"}).status_code == 200
    for stage in ("requested", "eligibility-confirmed", "indicative-set", "planning", "sign-off-pending"):
        assert put(api, budget(stage)).status_code == 200
    assert put(api, plan, sign_off, budget("authorised")).status_code == 200
    (reason,) = refused(put(api, budget("active")))
    assert reason.startswith(f"The plan pays RelatedPerson/{named}, of the person's own household.")
    asked = task("exception", "exception")
    assert put(api, asked).status_code == 200
    assert len(refused(put(api, budget("active")))) == 1
    assert put(api, decided("exception", "exception"), budget("active")).status_code == 200


def test_an_exception_for_one_of_the_household_is_none_for_another(api: httpx.Client) -> None:
    begin(api)
    household = [{"url": url("phb-connected-person"), "valueBoolean": True}]
    ruth = copy.deepcopy(of_story("ruth-harper")) | {"extension": household}
    sam = {name: it for name, it in ruth.items() if name != "identifier"} | {"id": "sam", "name": [{"text": "Sam"}]}
    plan, sign_off = copy.deepcopy(signed_off())
    names = [{"reference": f"RelatedPerson/{one}"} for one in ("ruth-harper", "sam")]
    plan["activity"][0]["detail"]["performer"] += names
    assert put(api, ruth, sam, {**plan, "status": "draft"}).status_code == 200
    for stage in ("requested", "eligibility-confirmed", "indicative-set", "planning", "sign-off-pending"):
        assert put(api, budget(stage)).status_code == 200
    assert put(api, plan, sign_off, budget("authorised")).status_code == 200
    assert put(api, decided("for-ruth", "exception", focus=names[0])).status_code == 200
    (reason,) = refused(put(api, budget("active")))
    assert reason.startswith("The plan pays RelatedPerson/sam, of the person's own household.")
    assert put(api, decided("for-sam", "exception", focus=names[1]), budget("active")).status_code == 200


# ---- while it runs -------------------------------------------------------------------------------


def ended(account: Resource) -> dict[str, str]:
    """The last day of each part."""
    found_: dict[str, str] = {}
    for row in rows(account, "phb-management-element"):
        parts = {part["url"]: part for part in row["extension"]}
        found_[parts["id"]["valueId"]] = parts["period"]["valuePeriod"]["end"]
    return found_


def withdrawn() -> Resource:
    consent = copy.deepcopy(of_story("jill-direct-payment"))
    reason = coded("phb-consent-status-reason", "withdrawn-by-person")
    extension = [{"url": url("phb-consent-status-reason"), "valueCodeableConcept": reason}]
    return {**consent, "status": "inactive", "extension": extension}


def test_consent_that_is_withdrawn_stops_the_payments_at_once_and_somebody_finds_another_way(api: httpx.Client) -> None:
    ready(api)
    assert put(api, of_story("massage-therapy"), budget("active")).status_code == 200
    assert put(api, withdrawn()).status_code == 200
    assert ended(read(api, BUDGET)) == {
        "daily-life": "2026-11-22",
        "nights-and-payroll": "2027-10-03",
        "therapy-and-equipment": "2027-10-03",
    }
    (asked,) = found(api, f"/Task?code={PHB}/CodeSystem/phb-task-code|management-model-request")
    assert (asked["status"], asked["priority"]) == ("requested", "urgent")
    assert asked["owner"] == {"reference": "PractitionerRole/priya-nair-coordinator"}
    assert "'daily-life' (£18,300.00)" in asked["description"]
    late = massage(occurrenceDateTime="2026-11-23")
    answer = api.post("/ChargeItem", json=late)
    assert answer.status_code == 422
    in_time = massage(occurrenceDateTime="2026-11-20")
    assert api.post("/ChargeItem", json=in_time).status_code == 201


def test_another_consent_keeps_the_payments_going(api: httpx.Client) -> None:
    ready(api)
    assert put(api, budget("active")).status_code == 200
    second = {**of_story("jill-direct-payment"), "id": "second"}
    assert put(api, second).status_code == 200
    assert put(api, withdrawn()).status_code == 200
    assert ended(read(api, BUDGET))["daily-life"] == "2027-10-03"


def test_deleting_the_consent_stops_them_too(api: httpx.Client) -> None:
    ready(api)
    assert put(api, budget("active")).status_code == 200
    assert api.delete(f"/{CONSENT}").status_code == 204
    assert ended(read(api, BUDGET))["daily-life"] == "2026-11-22"


@pytest.mark.parametrize(
    "changes",
    [
        {"period": {"start": "2026-10-05", "end": "2026-11-21"}},
        {"period": {"start": "2027-01-01"}},
        {"data": [{"meaning": "instance", "reference": {"reference": "Account/another"}}]},
    ],
)
def test_consent_that_is_changed_so_that_it_agrees_no_more_stops_them_as_well(
    api: httpx.Client, changes: Resource
) -> None:
    ready(api)
    other = {**budget("requested"), "id": "another"}
    del other["identifier"]
    assert put(api, budget("active"), other).status_code == 200
    consent = of_story("jill-direct-payment")
    assert put(api, consent | {"provision": consent["provision"] | changes}).status_code == 200
    assert ended(read(api, BUDGET))["daily-life"] == "2026-11-22"


@pytest.mark.parametrize("who", ["RelatedPerson/ruth-harper", "Organization/harbourside-north"])
def test_consent_that_is_changed_to_name_somebody_else_ends_the_part_and_somebody_is_told(
    api: httpx.Client, who: str
) -> None:
    ready(api)
    assert put(api, budget("active")).status_code == 200
    consent = copy.deepcopy(of_story("jill-direct-payment"))
    consent["provision"]["actor"][0]["reference"] = {"reference": who}
    assert put(api, consent).status_code == 200
    assert ended(read(api, BUDGET))["daily-life"] == "2026-11-22"
    (asked,) = found(api, f"/Task?code={PHB}/CodeSystem/phb-task-code|management-model-request")
    assert "'daily-life' (£18,300.00)" in asked["description"]


def test_a_consent_that_names_somebody_else_keeps_no_part_going_that_it_does_not_name(api: httpx.Client) -> None:
    ready(api)
    other = {**copy.deepcopy(of_story("jill-direct-payment")), "id": "other"}
    other["provision"]["actor"][0]["reference"] = {"reference": "RelatedPerson/ruth-harper"}
    assert put(api, other, budget("active")).status_code == 200
    assert put(api, withdrawn()).status_code == 200
    assert ended(read(api, BUDGET))["daily-life"] == "2026-11-22"


def test_a_consent_that_names_one_more_stops_nothing(api: httpx.Client) -> None:
    ready(api)
    assert put(api, budget("active")).status_code == 200
    consent = copy.deepcopy(of_story("jill-direct-payment"))
    (actor,) = consent["provision"]["actor"]
    consent["provision"]["actor"] = [actor, {**actor, "reference": {"reference": "RelatedPerson/ruth-harper"}}]
    assert put(api, consent).status_code == 200
    assert ended(read(api, BUDGET))["daily-life"] == "2027-10-03"
    assert found(api, f"/Task?code={PHB}/CodeSystem/phb-task-code|management-model-request") == []


def test_consent_that_is_over_keeps_no_payments_going(api: httpx.Client) -> None:
    ready(api)
    over = {**of_story("jill-direct-payment"), "id": "over"}
    over["provision"]["period"]["end"] = "2026-11-21"
    assert put(api, over, budget("active")).status_code == 200
    assert put(api, withdrawn()).status_code == 200
    assert ended(read(api, BUDGET))["daily-life"] == "2026-11-22"


def test_how_the_money_is_held_is_refused_with_reasons(api: httpx.Client) -> None:
    ready(api)
    asked = task("model", "management-model-request", requester={"reference": "Patient/jill"})
    assert put(api, asked).status_code == 200
    no = decided("model", "management-model-request", "not-approved")
    assert refused(put(api, no)) == ["Whoever is told no is told why: give the reason."]
    why = coded("phb-refusal-reason", "unable-to-manage")
    assert put(api, {**no, "statusReason": why}).status_code == 200

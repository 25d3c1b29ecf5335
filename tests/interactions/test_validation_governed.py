"""Nobody escapes a rule by leaving its profile out: what is a PHB resource by its own content is held to the PHB profile.

The guide says what it governs: an Account, a CarePlan or a Task by a code of its own, a ChargeItem by the Account it is
charged to, however that is named. Each refusal here has its twin: the same resource with what was missing, or the same
resource where no profile of the guide governs it.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.builders import bundle, entry
from tests.interactions.checks import JSON_PATCH, made, nothing_was_written, refused, sent
from tests.interactions.phb import (
    ASKED_FOR,
    BUDGET_NUMBER,
    GUIDE,
    HOSPITAL_NUMBER,
    by_number,
    charged,
    example,
    hospital_account,
    phb_budget,
    to,
)
from tests.running import RunningServer

BY_CODE = {"Account": "Account-jill-budget", "CarePlan": "CarePlan-jill-plan", "Task": "Task-jill-sign-off"}
UUID = "urn:uuid:1b4b1f7e-0000-4000-8000-000000000001"
OTHER = "urn:uuid:1b4b1f7e-0000-4000-8000-000000000002"

by_code = pytest.mark.parametrize("type_", BY_CODE)


def broken(type_: str, **more: Any) -> dict[str, Any]:
    return example(BY_CODE[type_], ASKED_FOR[type_], **more)


def whole(type_: str, **more: Any) -> dict[str, Any]:
    return example(BY_CODE[type_], **more)


def names_what_is_missing(answer: httpx.Response, type_: str, place: str = "") -> None:
    at = f"{place or type_}.{ASKED_FOR[type_]}"
    refused(answer, 422, "required", f'"{ASKED_FOR[type_]}"', at=at)


# ---- by a code of its own --------------------------------------------------------------------------------------------


@by_code
def test_a_create_that_claims_no_profile_is_held_to_the_one_that_governs_it(api: httpx.Client, type_: str) -> None:
    names_what_is_missing(api.post(type_, json=broken(type_)), type_)
    assert nothing_was_written(api)
    stored = made(api.post(type_, json=whole(type_)))
    assert "profile" not in stored["meta"]


@by_code
def test_an_update_that_claims_no_profile_is_held_to_it(api: httpx.Client, type_: str) -> None:
    names_what_is_missing(api.put(f"{type_}/one", json=broken(type_, id="one")), type_)
    made(api.put(f"{type_}/one", json=whole(type_, id="one")))
    names_what_is_missing(api.put(f"{type_}/one", json=broken(type_, id="one")), type_)
    made(api.put(f"{type_}/one", json=whole(type_, id="one", language="cy")), 200)


@by_code
def test_a_patch_that_leaves_what_breaks_the_profile_is_refused(api: httpx.Client, type_: str) -> None:
    made(api.put(f"{type_}/one", json=whole(type_, id="one")))
    take_away = [{"op": "remove", "path": f"/{ASKED_FOR[type_]}"}]
    names_what_is_missing(api.patch(f"{type_}/one", json=take_away, headers=JSON_PATCH), type_)
    other = [{"op": "add", "path": "/language", "value": "cy"}]
    made(api.patch(f"{type_}/one", json=other, headers=JSON_PATCH), 200)


@by_code
def test_an_entry_of_a_transaction_is_held_to_it_and_nothing_is_written(api: httpx.Client, type_: str) -> None:
    answer = api.post(
        "", json=bundle("transaction", entry("POST", type_, whole(type_)), entry("POST", type_, broken(type_)))
    )
    names_what_is_missing(answer, type_, "Bundle.entry[1].resource")
    assert nothing_was_written(api)
    sent(api, "transaction", entry("POST", type_, whole(type_)), entry("POST", type_, whole(type_)))


@by_code
def test_an_entry_of_a_batch_is_held_to_it_by_itself(api: httpx.Client, type_: str) -> None:
    good, bad = sent(api, "batch", entry("POST", type_, whole(type_)), entry("POST", type_, broken(type_)))
    assert (good["response"]["status"], bad["response"]["status"][:3]) == ("201 Created", "422")
    assert bad["response"]["outcome"]["issue"][0]["expression"] == [f"Bundle.entry[1].resource.{ASKED_FOR[type_]}"]


def test_to_claim_another_profile_instead_does_not_help(api: httpx.Client) -> None:
    other = {"profile": ["http://hl7.org/fhir/StructureDefinition/Account"]}
    names_what_is_missing(api.post("Account", json=phb_budget("owner", meta=other)), "Account")
    made(api.post("Account", json=phb_budget(meta=other)))


def test_to_claim_very_many_others_first_does_not_help(api: httpx.Client) -> None:
    many = {"profile": [f"https://others.example/StructureDefinition/p{n}" for n in range(100)]}
    names_what_is_missing(api.post("Account", json=phb_budget("owner", meta=many)), "Account")
    made(api.post("Account", json=phb_budget(meta=many)))


def test_to_claim_the_profile_last_of_very_many_does_not_help(api: httpx.Client) -> None:
    made(api.put("Account/b", json=phb_budget(id="b")))
    many = [f"https://others.example/StructureDefinition/p{n}" for n in range(100)]
    claims = {"profile": [*many, f"{GUIDE}/phb-purchase"]}
    names_what_is_missing(api.post("ChargeItem", json=charged(to("Account/b"), "enterer", meta=claims)), "ChargeItem")
    made(api.post("ChargeItem", json=charged(to("Account/b"), meta=claims)))


def test_accounts_of_others_are_welcome_with_the_base_rules(api: httpx.Client) -> None:
    made(api.post("Account", json=hospital_account()))
    refused(api.post("Account", json=hospital_account(status="open")), 422, "code-invalid", at="Account.status")


def test_care_plans_and_tasks_of_others_are_welcome_with_the_base_rules(api: httpx.Client) -> None:
    subject = {"reference": "Patient/jill"}
    made(
        api.post(
            "CarePlan", json={"resourceType": "CarePlan", "status": "active", "intent": "plan", "subject": subject}
        )
    )
    made(api.post("Task", json={"resourceType": "Task", "status": "requested", "intent": "order"}))


def test_a_profile_that_is_not_known_is_kept_and_does_not_refuse(api: httpx.Client) -> None:
    claim = {"profile": ["https://others.example/StructureDefinition/account"]}
    stored = made(api.post("Account", json=hospital_account(meta=claim)))
    assert stored["meta"]["profile"] == claim["profile"]


def test_a_definition_that_is_written_may_govern_more(api: httpx.Client) -> None:
    system = "https://others.example/CodeSystem/alert"
    parts = [{"url": "element", "valueString": "code"}, {"url": "system", "valueUri": system}]
    narrowed = {"id": "Flag.author", "path": "Flag.author", "min": 1}
    definition = {
        "resourceType": "StructureDefinition",
        "id": "alert",
        "extension": [{"url": f"{GUIDE}/phb-governs", "extension": parts}],
        "url": "https://others.example/StructureDefinition/alert",
        "name": "Alert",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": "Flag",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Flag",
        "derivation": "constraint",
        "differential": {"element": [{"id": "Flag", "path": "Flag"}, narrowed]},
    }
    code = {"coding": [{"system": system, "code": "falls"}]}
    flag = {"resourceType": "Flag", "status": "active", "code": code, "subject": {"reference": "Patient/jill"}}
    made(api.post("Flag", json=flag))
    made(api.put("StructureDefinition/alert", json=definition))
    refused(api.post("Flag", json=flag), 422, "required", at="Flag.author")
    made(api.post("Flag", json={**flag, "author": {"reference": "Practitioner/helen"}}))
    made(api.post("Flag", json={**flag, "code": {"text": "Falls"}}))


# ---- by what it refers to --------------------------------------------------------------------------------------------


def names_of(api: httpx.Client, server: RunningServer, key: str, system: str, number: str) -> dict[str, dict[str, Any]]:
    """Every way in which a ChargeItem may name the Account `key`, which has this number."""
    return {
        "relative": to(key),
        "of a version": to(f"{key}/_history/1"),
        "absolute": to(f"{server.base}/{key}"),
        "by another name of this machine": to(f"{server.base.replace('127.0.0.1', 'localhost')}/{key}"),
        "logical": by_number(system, number),
    }


WAYS = ["relative", "of a version", "absolute", "by another name of this machine", "logical"]


@pytest.mark.parametrize("kind", ["create", "update", "transaction"])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_charged_to_a_budget_is_a_purchase_however_the_budget_is_named(
    api: httpx.Client, server: RunningServer, way: str, kind: str
) -> None:
    made(api.put("Account/b", json=phb_budget(id="b")))
    account = names_of(api, server, "Account/b", BUDGET_NUMBER, "B-1")[way]
    bad, good = charged(account, "enterer", id="c"), charged(account, id="c")
    if kind == "create":
        names_what_is_missing(api.post("ChargeItem", json=bad), "ChargeItem")
        made(api.post("ChargeItem", json=good))
    elif kind == "update":
        names_what_is_missing(api.put("ChargeItem/c", json=bad), "ChargeItem")
        made(api.put("ChargeItem/c", json=good))
        names_what_is_missing(api.put("ChargeItem/c", json=bad), "ChargeItem")
    else:
        answer = api.post("", json=bundle("transaction", entry("POST", "ChargeItem", bad)))
        names_what_is_missing(answer, "ChargeItem", "Bundle.entry[0].resource")
        sent(api, "transaction", entry("POST", "ChargeItem", good))


@pytest.mark.parametrize("way", WAYS)
def test_what_is_charged_to_a_hospital_account_is_held_to_the_base_rules(
    api: httpx.Client, server: RunningServer, way: str
) -> None:
    made(api.put("Account/h", json=hospital_account(id="h")))
    account = names_of(api, server, "Account/h", HOSPITAL_NUMBER, "H-1")[way]
    made(api.post("ChargeItem", json=charged(account, "enterer")))
    made(api.put("ChargeItem/c", json=charged(account, "enterer", id="c")))
    sent(api, "transaction", entry("POST", "ChargeItem", charged(account, "enterer")))


def test_criteria_tell_what_is_meant_in_a_transaction_and_nowhere_else(api: httpx.Client) -> None:
    made(api.put("Account/h", json=hospital_account(id="h")))
    charge = charged(to(f"Account?identifier={HOSPITAL_NUMBER}|H-1"), "enterer")
    sent(api, "transaction", entry("POST", "ChargeItem", charge))
    refused(api.post("ChargeItem", json=charge), 422, "value", at="ChargeItem.account[0].reference")
    refused(api.put("ChargeItem/c", json={**charge, "id": "c"}), 422, "value", at="ChargeItem.account[0].reference")


def test_a_patch_that_charges_something_to_a_budget_makes_it_a_purchase(api: httpx.Client) -> None:
    made(api.put("Account/b", json=phb_budget(id="b")))
    made(api.put("Account/h", json=hospital_account(id="h")))
    made(api.put("ChargeItem/c", json=charged(to("Account/h"), "enterer", id="c")))
    move = [{"op": "replace", "path": "/account/0/reference", "value": "Account/b"}]
    names_what_is_missing(api.patch("ChargeItem/c", json=move, headers=JSON_PATCH), "ChargeItem")
    entered = [*move, {"op": "add", "path": "/enterer", "value": {"reference": "Patient/jill"}}]
    made(api.patch("ChargeItem/c", json=entered, headers=JSON_PATCH), 200)


def test_what_is_charged_to_a_contained_budget_is_a_purchase(api: httpx.Client) -> None:
    inside = [{**phb_budget(), "id": "b"}]
    names_what_is_missing(api.post("ChargeItem", json=charged(to("#b"), "enterer", contained=inside)), "ChargeItem")
    other = [{**hospital_account(), "id": "b"}]
    made(api.post("ChargeItem", json=charged(to("#b"), "enterer", contained=other)))


@pytest.mark.parametrize("order", [1, -1], ids=["after it", "before it"])
@pytest.mark.parametrize(
    "account",
    [
        entry("POST", "Account", phb_budget(), UUID),
        entry("PUT", "Account/b", phb_budget(id="b"), UUID),
        entry("PUT", "Account/b", phb_budget(id="b")),
        entry("POST", "Account", phb_budget(), UUID, ifNoneExist=f"identifier={BUDGET_NUMBER}|B-1"),
        entry("PUT", f"Account?identifier={BUDGET_NUMBER}|B-1", phb_budget(), UUID),
    ],
    ids=["created", "put", "put by its address", "created on a condition", "put on a condition"],
)
def test_what_is_charged_to_a_budget_of_the_same_transaction_is_a_purchase(
    api: httpx.Client, account: dict[str, Any], order: int
) -> None:
    reference = to(account.get("fullUrl", "Account/b"))
    bad, good = [account, entry("POST", "ChargeItem", charged(reference, "enterer"))], [account]
    good += [entry("POST", "ChargeItem", charged(reference))]
    answer = api.post("", json=bundle("transaction", *bad[::order]))
    names_what_is_missing(answer, "ChargeItem", f"Bundle.entry[{1 if order == 1 else 0}].resource")
    assert nothing_was_written(api)
    sent(api, "transaction", *good[::order])


@pytest.mark.parametrize("way", ["logical", "by criteria"])
def test_a_budget_of_the_same_transaction_is_found_by_its_identifier(api: httpx.Client, way: str) -> None:
    reference = by_number(BUDGET_NUMBER, "B-1") if way == "logical" else to(f"Account?identifier={BUDGET_NUMBER}|B-1")
    account = entry("POST", "Account", phb_budget())
    bad = bundle("transaction", entry("POST", "ChargeItem", charged(reference, "enterer")), account)
    names_what_is_missing(api.post("", json=bad), "ChargeItem", "Bundle.entry[0].resource")
    sent(api, "transaction", entry("POST", "ChargeItem", charged(reference)), account)


def test_a_hospital_account_that_the_same_transaction_makes_a_budget_makes_purchases(api: httpx.Client) -> None:
    made(api.put("Account/a", json=hospital_account(id="a")))
    changed = entry("PUT", "Account/a", phb_budget(id="a"))
    bad = bundle("transaction", changed, entry("POST", "ChargeItem", charged(to("Account/a"), "enterer")))
    names_what_is_missing(api.post("", json=bad), "ChargeItem", "Bundle.entry[1].resource")
    sent(api, "transaction", changed, entry("POST", "ChargeItem", charged(to("Account/a"))))


def test_a_hospital_account_of_the_same_transaction_makes_no_purchases(api: httpx.Client) -> None:
    account = entry("POST", "Account", hospital_account(), UUID)
    sent(api, "transaction", account, entry("POST", "ChargeItem", charged(to(UUID), "enterer"), OTHER))


def test_what_a_patch_of_the_same_transaction_makes_a_budget_makes_purchases(api: httpx.Client) -> None:
    made(api.put("Account/a", json=phb_budget("type", id="a")))
    add = {
        "name": "operation",
        "part": [{"name": "type", "valueCode": "add"}, {"name": "path", "valueString": "Account"}],
    }
    add["part"] += [
        {"name": "name", "valueString": "type"},
        {"name": "value", "valueCodeableConcept": phb_budget()["type"]},
    ]
    patch = entry("PATCH", "Account/a", {"resourceType": "Parameters", "parameter": [add]})
    bad = bundle("transaction", patch, entry("POST", "ChargeItem", charged(to("Account/a"), "enterer")))
    names_what_is_missing(api.post("", json=bad), "ChargeItem", "Bundle.entry[1].resource")
    sent(api, "transaction", patch, entry("POST", "ChargeItem", charged(to("Account/a"))))


def test_a_batch_charges_what_it_charges_to_what_is_there_by_then(api: httpx.Client) -> None:
    # a batch creates before it updates (R4 §3.1.0.11.2)
    bad = entry("PUT", "ChargeItem/c", charged(to("Account/id-1"), "enterer", id="c"))
    answered = sent(api, "batch", bad, entry("POST", "Account", phb_budget()))
    assert [one["response"]["status"][:3] for one in answered] == ["422", "201"]


def test_who_says_that_it_is_a_purchase_is_held_to_that_whatever_it_is_charged_to(api: httpx.Client) -> None:
    claim = {"profile": [f"{GUIDE}/phb-purchase"]}
    elsewhere = to("https://other.example/fhir/Account/b")
    names_what_is_missing(api.post("ChargeItem", json=charged(elsewhere, "enterer", meta=claim)), "ChargeItem")
    made(api.post("ChargeItem", json=charged(elsewhere, "enterer")))


# ---- what does not tell ----------------------------------------------------------------------------------------------


def warned(answer: httpx.Response) -> list[tuple[str, str]]:
    """The warnings of a write that succeeded and was asked for its outcome: the sentence and the place."""
    assert answer.status_code == 201, answer.text
    return [
        (one["diagnostics"], one["expression"][0]) for one in answer.json()["issue"] if one["severity"] == "warning"
    ]


OUTCOME = {"Prefer": "return=OperationOutcome"}


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        (to("Account/nowhere"), "There is no Account/nowhere here"),
        (by_number(BUDGET_NUMBER, "B-9"), f"identifier={BUDGET_NUMBER}|B-9 matches no Account here"),
        (by_number(HOSPITAL_NUMBER, "twice"), f"identifier={HOSPITAL_NUMBER}|twice matches more than one Account"),
    ],
    ids=["dangling", "logical, of none", "logical, of two"],
)
def test_a_reference_that_means_no_one_account_makes_no_purchase_and_is_told_of(
    api: httpx.Client, reference: dict[str, Any], sentence: str
) -> None:
    made(api.post("Account", json=hospital_account(number="twice")))
    made(api.post("Account", json=hospital_account(number="twice")))
    answer = api.post("ChargeItem", json=charged(reference, "enterer"), headers=OUTCOME)
    ((text, place),) = warned(answer)
    assert sentence in text
    assert place == "ChargeItem.account[0]"


@pytest.mark.parametrize(
    "reference",
    [to("https://other.example/fhir/Account/b"), to(UUID), {"display": "Jill's budget"}],
    ids=["another server's", "of no Bundle", "in words"],
)
def test_a_reference_to_what_is_elsewhere_makes_no_purchase(api: httpx.Client, reference: dict[str, Any]) -> None:
    made(api.put("Account/b", json=phb_budget(id="b")))
    assert warned(api.post("ChargeItem", json=charged(reference, "enterer"), headers=OUTCOME)) == []


# ---- once governed, governed -----------------------------------------------------------------------------------------


def stays(answer: httpx.Response, type_: str, element: str, profile: str) -> None:
    refused(
        answer,
        422,
        "business-rule",
        f"{type_}/one is governed by the profile {profile}",
        "stays so",
        at=f"{type_}.{element}",
    )


def other_kind(type_: str) -> dict[str, Any]:
    """The resource as one that no PHB profile governs."""
    concept = {"coding": [{"system": "http://others.example/kind", "code": "x"}]}
    return whole(
        type_,
        id="one",
        **{"Account": {"type": concept}, "CarePlan": {"category": [concept]}}.get(type_, {"code": concept}),
    )


@pytest.mark.parametrize(("type_", "element"), [("Account", "type"), ("CarePlan", "category"), ("Task", "code")])
def test_what_was_governed_cannot_be_made_something_else(api: httpx.Client, type_: str, element: str) -> None:
    made(api.put(f"{type_}/one", json=whole(type_, id="one")))
    answer = api.put(f"{type_}/one", json=other_kind(type_))
    issues = [(one["code"], one["expression"]) for one in answer.json()["issue"]]
    assert (answer.status_code, {code for code, _ in issues}) == (422, {"business-rule"})
    assert f"{type_}.{element}" in issues[0][1]
    made(api.put(f"{type_}/two", json={**other_kind(type_), "id": "two"}))


def test_a_patch_cannot_take_a_budget_out_of_its_rules(api: httpx.Client) -> None:
    made(api.put("Account/one", json=phb_budget(id="one")))
    patch = [{"op": "remove", "path": "/type"}]
    stays(api.patch("Account/one", json=patch, headers=JSON_PATCH), "Account", "type", "Personal health budget")
    assert api.get("Account/one").json()["type"] == phb_budget()["type"]


def test_a_transaction_cannot_take_a_budget_out_of_its_rules(api: httpx.Client) -> None:
    made(api.put("Account/one", json=phb_budget(id="one")))
    answer = api.post("", json=bundle("transaction", entry("PUT", "Account/one", phb_budget("type", id="one"))))
    refused(answer, 422, "business-rule", "stays so", at="Bundle.entry[0].resource.type")


def test_a_budget_that_was_deleted_comes_back_as_a_budget_or_not_at_all(api: httpx.Client) -> None:
    made(api.put("Account/one", json=phb_budget(id="one")))
    assert api.delete("Account/one").status_code == 204
    stays(api.put("Account/one", json=hospital_account(id="one")), "Account", "type", "Personal health budget")
    made(api.put("Account/one", json=phb_budget(id="one")))


def test_what_was_charged_to_a_deleted_budget_stays_a_purchase(api: httpx.Client) -> None:
    made(api.put("Account/one", json=phb_budget(id="one")))
    assert api.delete("Account/one").status_code == 204
    names_what_is_missing(api.post("ChargeItem", json=charged(to("Account/one"), "enterer")), "ChargeItem")
    made(api.post("ChargeItem", json=charged(to("Account/one"))))


def test_a_purchase_cannot_be_charged_to_a_hospital_account_afterwards(api: httpx.Client) -> None:
    made(api.put("Account/b", json=phb_budget(id="b")))
    made(api.put("Account/h", json=hospital_account(id="h")))
    made(api.put("ChargeItem/one", json=charged(to("Account/b"), id="one")))
    refused(
        api.put("ChargeItem/one", json=charged(to("Account/h"), id="one")), 422, "business-rule", "stays so",
        at="ChargeItem.account",
    )  # fmt: skip
    made(api.put("Account/b2", json=phb_budget(id="b2", number="B-2")))
    made(api.put("ChargeItem/one", json=charged(to("Account/b2"), id="one")), 200)


def test_a_budget_that_was_none_is_taken_back_as_entered_in_error(api: httpx.Client) -> None:
    made(api.put("Account/one", json=phb_budget(id="one")))
    rest = [one for one in phb_budget()["extension"] if one["url"] != f"{GUIDE}/phb-lifecycle-status"]
    stage = {"url": f"{GUIDE}/phb-lifecycle-status", "valueCode": "entered-in-error"}
    made(api.put("Account/one", json=phb_budget(id="one", status="entered-in-error", extension=[stage, *rest])), 200)


def test_a_hospital_account_may_become_a_budget_and_its_charges_are_judged_when_they_change(api: httpx.Client) -> None:
    made(api.put("Account/one", json=hospital_account(id="one")))
    made(api.put("ChargeItem/c", json=charged(to("Account/one"), "enterer", id="c")))
    made(api.put("Account/one", json=phb_budget(id="one")), 200)
    names_what_is_missing(
        api.put("ChargeItem/c", json=charged(to("Account/one"), "enterer", id="c", language="cy")), "ChargeItem"
    )
    made(api.put("ChargeItem/c", json=charged(to("Account/one"), id="c")), 200)


# ---- identifiers ------------------------------------------------------------------------------------------------------

WRONG_NHS_NUMBER = {
    "type": "Patient",
    "identifier": {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9000000000"},
}


def test_a_wrong_nhs_number_refuses_a_budget_and_is_only_told_of_elsewhere(api: httpx.Client) -> None:
    answer = api.post("Account", json=phb_budget(subject=[WRONG_NHS_NUMBER]))
    refused(answer, 422, "value", "is no NHS number", at="Account.subject[0].identifier.value")
    answer = api.post("Account", json=hospital_account(subject=[WRONG_NHS_NUMBER]), headers=OUTCOME)
    assert [place for _, place in warned(answer)] == ["Account.subject[0].identifier.value"]


def test_a_wrong_nhs_number_refuses_what_only_its_budget_makes_a_purchase(api: httpx.Client) -> None:
    made(api.put("Account/b", json=phb_budget(id="b")))
    made(api.put("Account/h", json=hospital_account(id="h")))
    answer = api.post("ChargeItem", json=charged(to("Account/b"), subject=WRONG_NHS_NUMBER))
    refused(answer, 422, "value", "is no NHS number", at="ChargeItem.subject.identifier.value")
    made(api.post("ChargeItem", json=charged(to("Account/h"), subject=WRONG_NHS_NUMBER)))


# ---- entries as they will be stored ----------------------------------------------------------------------------------


def test_a_reference_to_another_entry_must_point_to_a_type_it_may(api: httpx.Client) -> None:
    account = entry("POST", "Account", hospital_account(), UUID)
    bad = bundle("transaction", account, entry("POST", "ChargeItem", charged(None, subject=to(UUID))))
    refused(api.post("", json=bad), 422, "invalid", "not to Account", at="Bundle.entry[1].resource.subject")
    person = entry("POST", "Patient", {"resourceType": "Patient"}, UUID)
    sent(api, "transaction", person, entry("POST", "ChargeItem", charged(None, subject=to(UUID))))


def test_a_conditional_reference_must_point_to_a_type_it_may(api: httpx.Client) -> None:
    made(api.put("Account/h", json=hospital_account(id="h")))
    reference = to(f"Account?identifier={HOSPITAL_NUMBER}|H-1")
    bad = bundle("transaction", entry("POST", "ChargeItem", charged(None, subject=reference)))
    refused(api.post("", json=bad), 422, "invalid", "not to Account", at="Bundle.entry[0].resource.subject")
    sent(api, "transaction", entry("POST", "ChargeItem", charged(reference)))


def test_every_wrong_entry_of_a_transaction_is_named(api: httpx.Client) -> None:
    entries = [entry("POST", "Account", phb_budget("owner")), entry("POST", "Account", hospital_account())]
    answer = api.post("", json=bundle("transaction", *entries, entry("POST", "Task", broken("Task"))))
    assert answer.status_code == 422
    places = [one["expression"] for one in answer.json()["issue"]]
    assert places == [["Bundle.entry[0].resource.owner"], ["Bundle.entry[2].resource.for"]]
    assert nothing_was_written(api)

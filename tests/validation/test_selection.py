"""Which profiles a resource is held against: asked for, governing by content, put on a type by a guide, claimed.

A small guide of our own: a budget is an Account of type A or B, a purchase is a ChargeItem that points to a budget, a bill
is an Invoice that points to one by its account, and a payment is a PaymentNotice that points to a bill.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from phb_fhir.definitions.kept import Kept
from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.outcome import Issue
from phb_fhir.validation.frame import Mode
from phb_fhir.validation.governed import PHB_GOVERNS, governance_of, governing_alone, open_questions
from phb_fhir.validation.validate import validate

Resource = dict[str, Any]

R4 = load()
BASE = "https://guide.example/StructureDefinition"
KIND = "https://guide.example/CodeSystem/kind"
NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"


def governs(element: str, system: str = "", *codes: str, refers_to: str = "") -> Resource:
    parts: list[Resource] = [{"url": "element", "valueString": element}]
    parts += [{"url": "system", "valueUri": system}] if system else []
    parts += [{"url": "code", "valueCode": code} for code in codes]
    parts += [{"url": "refersTo", "valueCanonical": f"{BASE}/{refers_to}"}] if refers_to else []
    return {"url": PHB_GOVERNS, "extension": parts}


def profile(name: str, type_: str, asks: str, *ways: Resource, **more: Any) -> Resource:
    """A profile that wants the element `asks`."""
    element = f"{type_}.{asks}"
    return {
        "resourceType": "StructureDefinition",
        "url": f"{BASE}/{name}",
        "name": name,
        "title": name,
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": type_,
        "baseDefinition": f"http://hl7.org/fhir/StructureDefinition/{type_}",
        "derivation": "constraint",
        "extension": list(ways),
        "differential": {"element": [{"id": type_, "path": type_}, {"id": element, "path": element, "min": 1}]},
        **more,
    }


BUDGET = profile("budget", "Account", "owner", governs("type", KIND, "a", "b"))
PURCHASE = profile("purchase", "ChargeItem", "enterer", governs("account", refers_to="budget"))
BILL = profile("bill", "Invoice", "issuer", governs("account", refers_to="budget"))
PAYMENT = profile("payment", "PaymentNotice", "provider", governs("request", refers_to="bill"))
GUIDE = (BUDGET, PURCHASE, BILL, PAYMENT)


def known(*resources: Resource | Kept) -> Registry:
    return Registry.of(R4, resources or GUIDE)


def account(code: str = "a", system: str = KIND, **more: Any) -> Resource:
    return {
        "resourceType": "Account",
        "status": "active",
        "type": {"coding": [{"system": system, "code": code}]},
        **more,
    }


def charge(*accounts: str, **more: Any) -> Resource:
    return {
        "resourceType": "ChargeItem",
        "status": "billable",
        "code": {"text": "Swimming"},
        "subject": {"reference": "Patient/jill"},
        "account": [{"reference": reference} for reference in accounts],
        **more,
    }


def invoice(reference: str, **more: Any) -> Resource:
    return {"resourceType": "Invoice", "status": "issued", "account": {"reference": reference}, **more}


def notice(reference: str, **more: Any) -> Resource:
    return {
        "resourceType": "PaymentNotice",
        "status": "active",
        "request": {"reference": reference},
        "created": "2026-11-22",
        "payment": {"reference": "PaymentReconciliation/1"},
        "recipient": {"display": "The bank"},
        "amount": {"value": 1, "currency": "GBP"},
        **more,
    }


def bundle(kind: str, *entries: tuple[str, Resource]) -> Resource:
    method = {"request": {"method": "POST", "url": "x"}} if kind in ("transaction", "batch") else {}
    rows = [{"fullUrl": url, "resource": resource, **method} for url, resource in entries]
    return {"resourceType": "Bundle", "type": kind, "entry": rows}


def missing(resource: Resource, *guide: Resource | Kept, **more: Any) -> list[str]:
    """Where something that a profile wants is missing."""
    found = validate(resource, R4, known=known(*guide), **more)
    return [issue.expression for issue in found if issue.is_error and "The profile" in issue.text]


# ---- by a code -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["a", "b"])
def test_a_code_of_its_own_governs_a_resource(code: str) -> None:
    assert missing(account(code)) == ["Account.owner"]
    assert missing(account(code, owner={"display": "The ICB"})) == []


@pytest.mark.parametrize(
    "other",
    [
        account("c"),
        account("a", "https://others.example"),
        account(type={"text": "a"}),
        account(type={"coding": [{"code": "a"}]}),
    ],
    ids=["another code", "another system", "in words", "a code of no system"],
)
def test_any_other_code_does_not(other: Resource) -> None:
    assert missing(other) == []


def test_without_codes_every_code_of_the_system_governs() -> None:
    every = profile("budget", "Account", "owner", governs("type", KIND))
    assert missing(account("anything"), every) == ["Account.owner"]
    assert missing(account("anything", "https://others.example"), every) == []


def test_one_coding_of_several_is_enough() -> None:
    codings = [{"system": "https://others.example", "code": "x"}, {"system": KIND, "code": "b"}]
    assert missing(account(type={"coding": codings})) == ["Account.owner"]


def test_an_element_that_repeats_is_looked_at_whole() -> None:
    plan = profile("plan", "CarePlan", "title", governs("category", KIND, "plan"))
    other, kind = [{"coding": [{"system": KIND, "code": code}]} for code in ("other", "plan")]
    care_plan = {
        "resourceType": "CarePlan",
        "status": "active",
        "intent": "plan",
        "subject": {"reference": "Patient/1"},
    }
    assert missing({**care_plan, "category": [other, kind]}, plan) == ["CarePlan.title"]
    assert missing({**care_plan, "category": [other]}, plan) == []


def test_an_identifier_of_a_system_and_an_extension_govern_too() -> None:
    by_number = profile("budget", "Account", "owner", governs("identifier", KIND))
    assert missing({**account("x", "y"), "identifier": [{"system": KIND, "value": "1"}]}, by_number) == [
        "Account.owner"
    ]
    assert (
        missing({**account("x", "y"), "identifier": [{"system": "https://o.example", "value": "1"}]}, by_number) == []
    )
    by_extension = profile("budget", "Account", "owner", governs("extension", "https://o.example/e"))
    for url, expected in (("https://o.example/e", ["Account.owner"]), ("https://o.example/f", [])):
        extension = [{"url": url, "valueBoolean": True}]
        assert missing({**account("x", "y"), "extension": extension}, by_extension) == expected


def test_several_ways_stand_beside_each_other() -> None:
    either = profile("budget", "Account", "owner", governs("type", KIND, "a"), governs("identifier", KIND))
    assert missing(account("a"), either) == missing({**account("z"), "identifier": [{"system": KIND}]}, either)
    assert missing(account("z"), either) == []


def test_a_resource_that_is_all_wrong_is_looked_at_without_harm() -> None:
    for wrong in ([], 7, {"coding": 7}, {"coding": [7]}, {"coding": [{"system": KIND, "code": []}]}, [[7]], None):
        assert missing(account(type=wrong)) == []
        assert missing({**charge(), "account": wrong}) == []


# ---- by what it refers to --------------------------------------------------------------------------------------------


def test_what_is_contained_tells() -> None:
    assert missing(charge("#b", contained=[{**account(), "id": "b"}])) == ["ChargeItem.enterer"]
    assert missing(charge("#b", contained=[{**account("z"), "id": "b"}])) == []
    assert missing(charge("#other", contained=[{**account(), "id": "b"}])) == []


def test_what_is_not_at_hand_is_asked_of_the_caller() -> None:
    (question,) = open_questions(known(), charge("Account/b"))
    assert (question.target, question.type, question.at) == (f"{BASE}/budget", "Account", "ChargeItem.account[0]")
    assert missing(charge("Account/b")) == []
    assert missing(charge("Account/b"), governed=[question.profile]) == ["ChargeItem.enterer"]
    assert missing(charge("Account/b", enterer={"display": "Jill"}), governed=[question.profile]) == []


def test_nothing_is_asked_of_what_is_contained_or_of_another_type() -> None:
    assert open_questions(known(), charge("#b")) == []
    assert open_questions(known(), {"resourceType": "Patient", "account": [{"reference": "Account/b"}]}) == []


ACCOUNT, CHARGE, INVOICE, NOTICE = (f"urn:uuid:1b4b1f7e-0000-4000-8000-00000000000{n}" for n in range(4))


@pytest.mark.parametrize("kind", ["transaction", "batch"])
def test_the_entries_of_what_will_be_stored_one_by_one_are_governed(kind: str) -> None:
    sent = bundle(kind, (CHARGE, charge(ACCOUNT)), (ACCOUNT, account(owner={"display": "The ICB"})))
    assert missing(sent) == ["Bundle.entry[0].resource.enterer"]
    other = bundle(kind, (CHARGE, charge(ACCOUNT)), (ACCOUNT, account("z")))
    assert missing(other) == []


@pytest.mark.parametrize("kind", ["collection", "history", "searchset"])
def test_the_copies_in_any_other_bundle_are_not(kind: str) -> None:
    search = {"search": {"mode": "match"}} if kind == "searchset" else {}
    made = bundle(kind, (ACCOUNT, account()))
    made["entry"][0] |= search
    assert missing(made) == []


def test_what_is_contained_is_a_part_and_not_governed_itself() -> None:
    assert missing({"resourceType": "Basic", "code": {"text": "x"}, "subject": {"reference": "#b"},
                    "contained": [{**account(), "id": "b"}]}) == []  # fmt: skip


def test_references_are_followed_from_one_governed_resource_to_the_next() -> None:
    whole = bundle("transaction", (NOTICE, notice(INVOICE)), (INVOICE, invoice(ACCOUNT)), (ACCOUNT, account()))
    assert missing(whole) == [
        f"Bundle.entry[{n}].resource.{name}" for n, name in enumerate(("provider", "issuer", "owner"))
    ]
    other = bundle("transaction", (NOTICE, notice(INVOICE)), (INVOICE, invoice(ACCOUNT)), (ACCOUNT, account("z")))
    assert missing(other) == []


def test_references_in_a_circle_come_to_an_end() -> None:
    ring = profile("ring", "Account", "owner", governs("partOf", refers_to="ring"))
    one, other = account("z", partOf={"reference": CHARGE}), account("z", partOf={"reference": ACCOUNT})
    assert missing(bundle("transaction", (ACCOUNT, one), (CHARGE, other)), ring) == []


def test_a_resource_is_governed_alone_by_its_codes_and_what_it_contains() -> None:
    assert governing_alone(known(), account()) == {f"{BASE}/budget"}
    assert governing_alone(known(), charge("#b", contained=[{**account(), "id": "b"}])) == {f"{BASE}/purchase"}
    assert governing_alone(known(), charge("Account/b")) == set()


# ---- which definitions count -----------------------------------------------------------------------------------------


def test_a_later_version_of_a_profile_adds_and_takes_nothing_away() -> None:
    first = {**BUDGET, "version": "1.0"}
    later = profile("budget", "Account", "name", governs("type", KIND, "c"), version="2.0")
    nothing = profile("budget", "Account", "name", version="2.0")
    assert missing(account("a"), first, later) == ["Account.owner"]
    assert missing(account("c"), first, later) == ["Account.name"]
    assert missing(account("a"), first, nothing) == ["Account.owner"]
    # who claims the profile means the newest
    both = {"profile": [f"{BASE}/budget"]}
    assert missing(account("a", meta=both), first, nothing) == ["Account.owner", "Account.name"]


def test_two_profiles_may_govern_one_resource() -> None:
    named = profile("named", "Account", "name", governs("type", KIND, "a"))
    assert missing(account("a"), BUDGET, named) == ["Account.owner", "Account.name"]
    assert missing(account("b"), BUDGET, named) == ["Account.owner"]


def test_of_our_own_profiles_the_one_that_is_made_from_another_speaks_for_both() -> None:
    narrower = profile("joint", "Account", "name", governs("type", KIND, "b"), baseDefinition=BUDGET["url"])
    assert missing(account("a"), BUDGET, narrower) == ["Account.owner"]
    texts = {issue.text for issue in validate(account("b"), R4, known=known(BUDGET, narrower)) if issue.is_error}
    assert texts == {f'The profile joint asks for "{name}": at least 1.' for name in ("owner", "name")}


def test_a_stored_profile_does_not_speak_for_the_one_it_says_it_is_made_from() -> None:
    lax = profile("lax", "Account", "name", governs("type", KIND, "b"), baseDefinition=BUDGET["url"])
    lax["snapshot"] = {"element": [{"id": "Account", "path": "Account", "min": 0, "max": "*"}]}
    stored = Kept.of(lax, datetime(2026, 1, 1, tzinfo=UTC))
    assert missing(account("b"), BUDGET, stored) == ["Account.owner"]


@pytest.mark.parametrize(
    "broken",
    [
        {"kind": "logical"},
        {"derivation": "specialization"},
        {"extension": [{"url": PHB_GOVERNS}]},
        {"extension": [governs("type")]},
        {"extension": [{"url": PHB_GOVERNS, "extension": [{"url": "system", "valueUri": KIND}]}]},
        {"extension": [7]},
    ],
    ids=["no resource", "no constraint", "says nothing", "no system", "no element", "no object"],
)
def test_a_definition_that_is_not_whole_governs_nothing(broken: Resource) -> None:
    assert governance_of(known({**BUDGET, **broken})).types == frozenset()
    assert governance_of(known(BUDGET)).types == {"Account"}


def test_a_governing_profile_that_cannot_be_used_refuses_rather_than_passes() -> None:
    broken = profile("budget", "Account", "xyzzy", governs("type", KIND))
    (issue,) = [one for one in validate(account(), R4, known=known(broken)) if one.is_error]
    assert "was not held against the profile" in issue.text
    assert [one for one in validate(account("a", "z"), R4, known=known(broken)) if one.is_error] == []


# ---- modes -----------------------------------------------------------------------------------------------------------


def graver_than_information(resource: Resource, mode: Mode, **more: Any) -> list[tuple[str, str]]:
    found: list[Issue] = validate(resource, R4, known=known(), mode=mode, **more)
    return [(one.severity, one.expression) for one in found if "profile" in one.text and one.severity != "information"]


@pytest.mark.parametrize(("mode", "expected"), [("error", "error"), ("warn", "warning"), ("off", "")])
def test_the_mode_says_what_becomes_of_what_a_governing_or_claimed_profile_wants(mode: Mode, expected: str) -> None:
    told = [(expected, "Account.owner")] if expected else []
    assert graver_than_information(account(), mode) == told
    assert graver_than_information(account("z", meta={"profile": [f"{BASE}/budget"]}), mode) == told
    assert graver_than_information(account(owner={"display": "The ICB"}), mode) == []


@pytest.mark.parametrize("mode", ["error", "warn", "off"])
def test_what_the_caller_asks_for_and_what_r4_says_holds_in_every_mode(mode: Mode) -> None:
    assert graver_than_information(account("z"), mode, profiles=[f"{BASE}/budget"]) == [("error", "Account.owner")]
    wrong = [one.expression for one in validate(account(status="xyzzy"), R4, known=known(), mode=mode) if one.is_error]
    assert "Account.status" in wrong


def test_an_unknown_claim_warns_and_says_which_of_the_claims_it_is() -> None:
    claims = {"profile": [f"{BASE}/budget", "https://others.example/p"]}
    resource = account(owner={"display": "The ICB"}, meta=claims)
    assert graver_than_information(resource, "error") == [("warning", "Account.meta.profile[1]")]
    assert graver_than_information(resource, "off") == []


# ---- identifiers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "severity"),
    [
        (account(), "error"),
        (account("z", meta={"profile": [f"{BASE}/budget"]}), "error"),
        (account("z"), "warning"),
    ],
    ids=["governed", "claimed", "neither"],
)
def test_a_wrong_nhs_number_is_an_error_where_a_guide_rules_and_else_a_warning(
    resource: Resource, severity: str
) -> None:
    subject = [{"identifier": {"system": NHS_NUMBER, "value": "9000000000"}}]
    found = validate({**resource, "subject": subject}, R4, known=known())
    assert [one.severity for one in found if one.expression == "Account.subject[0].identifier.value"] == [severity]
    right = [{"identifier": {"system": NHS_NUMBER, "value": "9000000009"}}]
    found = validate({**resource, "subject": right}, R4, known=known())
    assert [one for one in found if "NHS number" in one.text] == []


def test_in_the_mode_warn_a_wrong_nhs_number_only_warns() -> None:
    subject = [{"identifier": {"system": NHS_NUMBER, "value": "9000000000"}}]
    found = validate(account(subject=subject), R4, known=known(), mode="warn")
    assert [one.severity for one in found if "NHS number" in one.text] == ["warning"]


def test_the_day_is_asked_for_only_where_a_rule_counts_from_it() -> None:
    asked: list[date] = []

    def day() -> date:
        asked.append(date(2026, 11, 22))
        return asked[-1]

    assert missing(account(), today=day) == ["Account.owner"]
    assert asked == []
    past = profile("past", "Account", "owner", governs("type", KIND))
    start = {"id": "Account.servicePeriod.start", "path": "Account.servicePeriod.start"}
    past["differential"]["element"].append(start | {"constraint": [{
        "key": "p-1", "severity": "error", "human": "It has begun.", "expression": "$this <= today()",
    }]})  # fmt: skip
    for begun, wrong in (("2026-11-22", False), ("2026-11-23", True)):
        found = validate(account(servicePeriod={"start": begun}), R4, known=known(past), today=day)
        assert any("It has begun" in one.text for one in found) is wrong
    assert len(asked) == 2

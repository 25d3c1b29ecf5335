"""A purchase's states, pair by pair (SM-C); who may purchase; and what makes it wait. No database: rules are functions of what they are told."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from phb_fhir.fhir.codec import Exact
from phb_fhir.rules.allocation import judge_allocation
from phb_fhir.rules.budget import elements_of
from phb_fhir.rules.case import Books, By, Case, Hold, Read
from phb_fhir.rules.ledger import CONTINGENCY, Ledger, Sums
from phb_fhir.rules.purchase import Purchase, is_of_a_budget, link_of, occurrence, read_purchase
from phb_fhir.rules.purchase_checks import STEPS, in_step, lets_purchase, refusals, waits
from phb_fhir.rules.purchasing import judge_purchase
from phb_fhir.rules.words import (
    ACCOUNT_TYPE,
    BASE,
    PURCHASE_CATEGORY,
    PURCHASE_REASON,
    PURCHASE_REFERENCE,
    concept,
)

TODAY = date(2026, 11, 22)
STATUSES = ("planned", "billable", "billed", "not-billable", "aborted", "entered-in-error")
# written by hand from SM-C: what each may become, beside staying what it is
MAY_BECOME = {
    "planned": {"billable", "billed", "aborted", "entered-in-error"},
    "billable": {"billed", "not-billable", "aborted", "entered-in-error"},
    "billed": {"not-billable", "entered-in-error"},
    "not-billable": {"billed", "entered-in-error"},
    "aborted": {"entered-in-error"},
    "entered-in-error": set(),
}


def extension(name: str, **value: Any) -> dict[str, Any]:
    return {"url": f"{BASE}/StructureDefinition/{name}", **value}


def part(id_: str, model: str, holder: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = [
        {"url": "id", "valueId": id_},
        {"url": "model", "valueCode": model},
        {"url": "holder", "valueReference": {"reference": holder}},
        {"url": "amount", "valueMoney": {"value": Exact("100.00"), "currency": "GBP"}},
    ]
    return extension("phb-management-element", extension=rows)


BUDGET: dict[str, Any] = {
    "resourceType": "Account",
    "id": "b",
    "subject": [{"reference": "Patient/jill"}],
    "owner": {"reference": "Organization/north"},
    "servicePeriod": {"start": "2026-04-01", "end": "2027-03-31"},
    "extension": [
        extension("phb-lifecycle-status", valueCode="active"),
        extension("phb-care-plan", valueReference={"reference": "CarePlan/p"}),
        part("mine", "direct-payment", "Patient/jill"),
        part("theirs", "third-party", "Organization/willow"),
    ],
}
PLAN: dict[str, Any] = {
    "resourceType": "CarePlan",
    "id": "p",
    "goal": [{"reference": "Goal/g"}],
    "activity": [{"id": "massage"}],
}
ITEM: dict[str, Any] = {
    "resourceType": "ChargeItemDefinition",
    "status": "active",
    "effectivePeriod": {"start": "2026-09-01"},
    "propertyGroup": [{"priceComponent": [{"type": "base", "amount": {"value": Exact("45.00"), "currency": "GBP"}}]}],
}
POTS = {"mine": Sums(10_000), "theirs": Sums(10_000), CONTINGENCY: Sums(5_000)}


def charge(**more: Any) -> dict[str, Any]:
    link = [
        {"url": "carePlan", "valueReference": {"reference": "CarePlan/p"}},
        {"url": "activityId", "valueString": "massage"},
    ]
    return {
        "resourceType": "ChargeItem",
        "id": "c",
        "status": "planned",
        "extension": [extension("phb-element", valueId="mine"), extension("phb-purchase-link", extension=link)],
        "code": {"text": "Massage"},
        "subject": {"reference": "Patient/jill"},
        "account": [{"reference": "Account/b"}],
        "enterer": {"reference": "Patient/jill"},
        "occurrenceDateTime": "2026-11-20",
        "quantity": {"value": 1},
        "priceOverride": {"value": Exact("45.00"), "currency": "GBP"},
        **more,
    }


def purchase(resource: dict[str, Any] | None = None, **more: Any) -> Purchase:
    known: dict[str, Any] = {"plan": PLAN, "linked": PLAN, "item": ITEM, "elements": tuple(elements_of(BUDGET)), **more}
    by = known.pop("by", By())
    budget = known.pop("budget", BUDGET)
    return Purchase(resource or charge(), "Account/b", budget, Ledger("Account/b", POTS), by, TODAY, **known)


def test_the_table_has_every_status() -> None:
    assert tuple(STEPS) == STATUSES == tuple(MAY_BECOME)


@pytest.mark.parametrize(("was", "now"), list(itertools.product(STATUSES, STATUSES)))
def test_a_purchase_goes_from_one_status_to_another_as_the_table_says_and_else_is_refused(was: str, now: str) -> None:
    issues = list(in_step(purchase(charge(status=now), before=charge(status=was))))
    if now == was or now in MAY_BECOME[was]:
        assert issues == []
    else:
        (issue,) = issues
        assert issue.text.startswith(f"A purchase that is {was} cannot become {now}; it can become ")


@pytest.mark.parametrize("status", STATUSES)
def test_a_new_purchase_may_have_any_status(status: str) -> None:
    assert list(in_step(purchase(charge(status=status)))) == []


def test_a_purchase_that_is_in_order_is_neither_refused_nor_waits() -> None:
    assert refusals(purchase()) == []
    assert waits(purchase()) == []


@pytest.mark.parametrize("status", ["not-billable", "aborted", "entered-in-error"])
def test_what_was_taken_back_is_refused_for_nothing(status: str) -> None:
    wrong = charge(status=status, occurrenceDateTime="2030-01-01", code={"text": "Cigarettes"})
    assert refusals(purchase(wrong)) == []


WAITING = [
    ({"item": None}, {}, "It is not in the directory."),
    ({"item": {**ITEM, "status": "retired"}}, {}, "It is not offered in the directory any more."),
    ({"item": {**ITEM, "effectivePeriod": {"start": "2026-12-01"}}}, {}, "It is not in the directory on that day."),
    ({}, {"priceOverride": {"value": Exact("45.01"), "currency": "GBP"}}, "The directory's price for it is £45.00."),
    (
        {"person": {"deceasedDateTime": "2026-11-19"}},
        {"occurrenceDateTime": "2026-11-20"},
        "The person died on 19 November 2026.",
    ),
    (
        {},
        {"code": {"text": "Bingo night"}},
        '"Bingo" may be what no budget pays for. A budget cannot pay for gambling.',
    ),
    ({}, {"quantity": {"value": Exact("0.5")}}, "The directory's price for it is £22.50."),
    (
        {},
        {"extension": [extension("phb-element", valueId="mine")]},
        "It is not linked to an activity of the care plan.",
    ),
]


def test_what_the_directory_calls_it_was_looked_at_when_it_came_there() -> None:
    item = {**ITEM, "title": "Bingo night"}
    assert waits(purchase(charge(code={"text": "Bingo night"}), item=item)) == []


@pytest.mark.parametrize(("known", "more", "why"), WAITING)
def test_what_is_unusual_waits_and_is_not_refused(known: dict[str, Any], more: dict[str, Any], why: str) -> None:
    made = purchase(charge(**more), **known)
    assert refusals(made) == []
    assert waits(made) == [why]


@pytest.mark.parametrize("died", ["2026-11-20", "2026-11-20T08:00:00Z", "2026-11", "2026", None])
def test_what_was_bought_before_somebody_died_is_as_it_was(died: str | None) -> None:
    patient = {"deceasedDateTime": died} if died else {"deceasedBoolean": True}
    assert waits(purchase(charge(occurrenceDateTime="2026-11-20"), person=patient)) == []


def test_money_for_emergencies_waits_wants_a_reason_and_has_a_pot_of_its_own() -> None:
    coded = {"coding": [{"system": f"{BASE}/CodeSystem/phb-purchase-reason", "code": "contingency"}]}
    made = purchase(charge(reason=[coded]))
    assert made.pot == CONTINGENCY
    assert [issue.expression for issue in refusals(made)] == ["ChargeItem.reason"]
    said = purchase(charge(reason=[{**coded, "text": "The carer is ill."}]))
    assert refusals(said) == []
    assert waits(said) == ["It is to be paid from the money for emergencies."]
    dear = charge(reason=[{**coded, "text": "Ill."}], priceOverride={"value": Exact("50.01"), "currency": "GBP"})
    assert [issue.expression for issue in refusals(purchase(dear))] == ["ChargeItem.priceOverride"]


CONSENT: dict[str, Any] = {
    "status": "active",
    "provision": {
        "type": "permit",
        "period": {"start": "2026-11-01", "end": "2026-11-30"},
        "actor": [{"reference": {"reference": "RelatedPerson/ruth"}}],
        "action": [{"coding": [{"system": f"{BASE}/CodeSystem/phb-consent-action", "code": "purchase"}]}],
        "data": [{"meaning": "related", "reference": {"reference": "Account/b"}}],
    },
}


def consent(**provision: Any) -> dict[str, Any]:
    return {**CONSENT, "provision": {**CONSENT["provision"], **provision}}


NOT_ENOUGH = [
    {**CONSENT, "status": "inactive"},
    consent(type="deny"),
    consent(period={"end": "2026-11-21"}),
    consent(period={"start": "2026-11-23"}),
    consent(actor=[]),
    consent(action=[{"coding": [{"code": "view"}]}]),
    consent(data=[{"meaning": "related", "reference": {"reference": "Account/other"}}]),
    {"status": "active"},
]


def test_a_representative_purchases_by_a_consent_that_holds_today() -> None:
    assert lets_purchase(CONSENT, "RelatedPerson/ruth", "Account/b", TODAY)
    ruth = charge(enterer={"reference": "RelatedPerson/ruth"})
    assert refusals(purchase(ruth, consents=(CONSENT,))) == []


@pytest.mark.parametrize("wrong", NOT_ENOUGH)
def test_a_representative_purchases_by_no_other(wrong: dict[str, Any]) -> None:
    ruth = charge(enterer={"reference": "RelatedPerson/ruth"})
    assert [issue.expression for issue in refusals(purchase(ruth, consents=(wrong,)))] == ["ChargeItem.enterer"]


def test_care_that_was_given_goes_beyond_what_is_left_by_the_word_of_those_who_decide_alone() -> None:
    code = {"system": f"{BASE}/CodeSystem/phb-purchase-reason", "code": "care-already-given"}

    def given(pounds: str, role: str, status: str = "billed") -> list[str]:
        price = {"value": Exact(pounds), "currency": "GBP"}
        more = {"reason": [{"coding": [code]}], "quantity": {"value": 9}, "priceOverride": price, "status": status}
        return waits(purchase(charge(**more), by=By(role, acts_for=frozenset({"Patient/jill"}))))

    assert given("100.01", "person") == ["It was given already, and comes to more than is left."]
    for role in ("delegate", "provider"):
        assert len(given("100.01", role)) == 1
    for role in ("", "system", "nhs-team", "care-coordinator", "commissioner"):
        assert given("100.01", role) == []
    assert given("100.00", "person") == given("100.01", "person", "billable") == []


def test_that_no_receipt_is_needed_is_recorded_by_who_decides_it() -> None:
    said = [{"url": "waivedBy", "valueReference": {"reference": "PractitionerRole/priya"}}]
    done = charge(status="billed", extension=[*charge()["extension"], extension("phb-evidence-waiver", extension=said)])

    def waived(by: By, before: dict[str, Any] | None) -> int:
        return len(refusals(purchase(done, by=by, before=before)))

    priya, sam = frozenset({"PractitionerRole/priya"}), frozenset({"PractitionerRole/sam"})
    jill = By("person", frozenset({"Patient/jill"}), frozenset({"Patient/jill"}))
    stood = charge(status="billed")
    assert waived(jill, None) == waived(jill, stood) == waived(By("care-coordinator", sam), stood) == 1
    for by in (By(), By("system"), By("care-coordinator", priya)):
        assert waived(by, stood) == 0
    assert waived(jill, done) == 0  # it was waived before


@pytest.mark.parametrize("end", ["2026-11-22", "2026-11", "2026"])
def test_a_consent_holds_on_its_last_day(end: str) -> None:
    assert lets_purchase(consent(period={"end": end}), "RelatedPerson/ruth", "Account/b", TODAY)


def test_money_that_somebody_else_holds_is_asked_for_and_not_spent() -> None:
    rows = [extension("phb-element", valueId="theirs"), charge()["extension"][1]]
    assert refusals(purchase(charge(extension=rows))) == []
    assert waits(purchase(charge(extension=rows))) == ["The part 'theirs' is held by somebody else."]
    assert [one.expression for one in refusals(purchase(charge(extension=rows, status="billable")))] == [
        "ChargeItem.status"
    ]
    holder = charge(extension=rows, status="billable", enterer={"reference": "Organization/willow"})
    assert refusals(purchase(holder)) == []


@pytest.mark.parametrize(("allowed", "count"), [("approved", 0), ("not-approved", 1)])
def test_somebody_of_the_household_is_paid_by_an_exception_alone(allowed: str, count: int) -> None:
    payee = {"resourceType": "RelatedPerson", "extension": [extension("phb-connected-person", valueBoolean=True)]}
    task = {
        "status": "completed",
        "focus": {"reference": "Account/b"},
        "businessStatus": {"coding": [{"system": f"{BASE}/CodeSystem/phb-task-business-status", "code": allowed}]},
    }
    friend = {"resourceType": "RelatedPerson"}
    assert len(refusals(purchase(payees=(payee,), exceptions=(task,)))) == count
    assert len(refusals(purchase(payees=(friend, payee), exceptions=(task,)))) == count
    assert refusals(purchase(payees=(friend,))) == []


def test_an_exception_from_the_limit_of_a_single_sum_pays_nobody_of_the_household() -> None:
    payee = {"resourceType": "RelatedPerson", "extension": [extension("phb-connected-person", valueBoolean=True)]}
    yes = {"coding": [{"system": f"{BASE}/CodeSystem/phb-task-business-status", "code": "approved"}]}
    task = {"status": "completed", "focus": {"reference": "Account/b"}, "businessStatus": yes}
    single = {"coding": [{"system": f"{BASE}/CodeSystem/phb-account-type", "code": "one-off"}]}
    assert refusals(purchase(payees=(payee,), exceptions=(task,))) == []
    assert len(refusals(purchase(payees=(payee,), exceptions=(task,), budget=BUDGET | {"type": single}))) == 1


def test_an_exception_about_somebody_is_for_them_whichever_record_of_them_is_named() -> None:
    def record(id_: str, name: str) -> dict[str, Any]:
        url = [extension("phb-connected-person", valueBoolean=True)]
        return {"resourceType": "RelatedPerson", "id": id_, "name": [{"text": name}], "extension": url}

    ruth, again, sam = record("ruth", "Ruth"), record("again", "Ruth"), record("sam", "Sam")
    task = {
        "status": "completed",
        "focus": {"reference": "RelatedPerson/ruth"},
        "businessStatus": {"coding": [{"system": f"{BASE}/CodeSystem/phb-task-business-status", "code": "approved"}]},
    }
    assert refusals(purchase(payees=(ruth,), exceptions=(task,))) == []
    assert refusals(purchase(payees=(again, ruth), exceptions=(task,))) == []
    assert len(refusals(purchase(payees=(ruth, sam), exceptions=(task,)))) == 1


def test_a_purchase_stays_linked_to_a_plan_that_another_has_replaced() -> None:
    later = {
        **BUDGET,
        "extension": [BUDGET["extension"][0], extension("phb-care-plan", valueReference={"reference": "CarePlan/q"})],
    }
    later["extension"] += BUDGET["extension"][2:]
    assert [issue.text for issue in refusals(purchase(budget=later))] == [
        "The purchase is linked to another care plan than the budget's, CarePlan/q."
    ]
    agreed = charge(status="billable")
    assert refusals(purchase(agreed, before=agreed, budget=later)) == []


STAGES = [("active", 0), ("suspended", 1), ("closing", 1), ("closed", 1), ("authorised", 1), ("requested", 1)]


@pytest.mark.parametrize(("stage", "count"), STAGES)
def test_new_purchases_need_a_budget_that_is_active(stage: str, count: int) -> None:
    budget = {**BUDGET, "extension": [extension("phb-lifecycle-status", valueCode=stage), *BUDGET["extension"][1:]]}
    assert len(refusals(purchase(budget=budget))) == count


@pytest.mark.parametrize(("stage", "count"), [("suspended", 0), ("closing", 0), ("closed", 1)])
def test_what_was_agreed_is_still_paid_until_the_budget_is_closed(stage: str, count: int) -> None:
    budget = {**BUDGET, "extension": [extension("phb-lifecycle-status", valueCode=stage), *BUDGET["extension"][1:]]}
    assert len(refusals(purchase(charge(status="billable"), before=charge(status="billable"), budget=budget))) == count


@pytest.mark.parametrize("stage", ["suspended", "closing"])
def test_what_was_only_proposed_is_not_paid_until_the_budget_is_active_again(stage: str) -> None:
    budget = {**BUDGET, "extension": [extension("phb-lifecycle-status", valueCode=stage), *BUDGET["extension"][1:]]}
    assert len(refusals(purchase(charge(status="billable"), before=charge(), budget=budget))) == 1


def test_a_purchase_stays_with_its_budget_from_when_money_is_held_for_it() -> None:
    elsewhere = [{"reference": "Account/other"}]
    assert refusals(purchase(charge(), before=charge(account=elsewhere))) == []
    (issue,) = refusals(purchase(charge(status="billable"), before=charge(status="billable", account=elsewhere)))
    assert issue.text.startswith("A purchase stays with the budget it was charged to.")


@pytest.mark.parametrize(
    ("role", "may"), [("person", False), ("delegate", False), ("care-coordinator", True), ("", True)]
)
def test_who_entered_a_purchase_stays_on_record(role: str, *, may: bool) -> None:
    another = charge(enterer={"reference": "RelatedPerson/ruth"})
    by = By(role, frozenset({"Patient/jill", "RelatedPerson/ruth"}), frozenset({"Patient/jill"}))
    said = [issue.text for issue in refusals(purchase(another, before=charge(), by=by))]
    assert ("Who entered a purchase stays on record." not in said) is may


BY_ITSELF: list[dict[str, Any]] = [
    {"meta": {"profile": [f"{BASE}/StructureDefinition/phb-purchase"]}},
    {"extension": [extension("phb-element", valueId="mine")]},
    {"code": concept(PURCHASE_CATEGORY, "therapy")},
    {"identifier": [{"system": PURCHASE_REFERENCE, "value": "P-1"}]},
    {"reason": [concept(PURCHASE_REASON, "contingency")]},
]


@pytest.mark.parametrize("said", BY_ITSELF, ids=lambda said: next(iter(said)))
def test_a_purchase_of_a_budget_says_so_by_any_word_of_the_guide(said: dict[str, Any]) -> None:
    hospitals = {"code": {"text": "Bed"}, "identifier": [{"system": "urn:x", "value": "1"}], "reason": [{"text": "a"}]}
    assert not is_of_a_budget(hospitals)
    assert is_of_a_budget(hospitals | said)


PERIODS = [
    ({"occurrenceDateTime": "2026-11-20T10:00:00Z"}, "2026-11-20", "2026-11-20"),
    ({"occurrenceDateTime": "2026-02"}, "2026-02-01", "2026-02-28"),
    ({"occurrencePeriod": {"start": "2026-10-01", "end": "2026-10-31"}}, "2026-10-01", "2026-10-31"),
    ({"occurrencePeriod": {"start": "2026"}}, "2026-01-01", "None"),
    (
        {"occurrenceTiming": {"repeat": {"boundsPeriod": {"start": "2026-10-01", "end": "2026-10"}}}},
        "2026-10-01",
        "2026-10-31",
    ),
    ({"occurrenceTiming": {"event": ["2026-11-20T10:00:00Z", "2026-10-02"]}}, "2026-10-02", "2026-11-20"),
    ({"occurrenceTiming": {"repeat": {"frequency": 1}}}, "None", "None"),
]


@pytest.mark.parametrize(("element", "start", "end"), PERIODS)
def test_the_days_a_purchase_is_for_are_whole_days(element: dict[str, Any], start: str, end: str) -> None:
    days = occurrence(element)
    assert (str(days.start), str(days.end)) == (start, end)


def test_a_purchase_without_a_link_has_none() -> None:
    assert link_of({}) == (None, "")


def test_a_purchase_from_no_budget_and_the_budget_that_comes_there_do_not_pass_each_other_by() -> None:
    now = datetime(2026, 11, 22, 9, tzinfo=UTC)
    charge = {"resourceType": "ChargeItem", "status": "billable", "account": [{"reference": "Account/b"}]}
    budget = {
        "resourceType": "Account",
        "type": {"coding": [{"system": ACCOUNT_TYPE, "code": "personal-health-budget"}]},
    }
    bought = judge_purchase(Case("ChargeItem", "p", None, charge, "ChargeItem/p/_history/1", now, now.date()))
    assert next(bought) == Read("Account/b")
    comes = judge_allocation(Case("Account", "b", None, budget, "Account/b/_history/1", now, now.date()))
    assert next(comes) == Books("Account/b")
    assert (
        bought.send({"Account/b": None})
        == comes.send({"Account/b": Ledger("Account/b")})
        == Hold("no budget Account/b")
    )


@pytest.mark.parametrize("account", [[], [{"display": "Jill's money"}], [{"reference": "Patient/jill"}]])
def test_what_is_charged_to_no_account_is_no_purchase_and_asks_nothing_of_the_record(account: list[Any]) -> None:
    asking = read_purchase({"resourceType": "ChargeItem", "account": account}, By(), TODAY)
    with pytest.raises(StopIteration) as ended:
        next(asking)
    assert ended.value.value is None


# ---- from a joint budget -------------------------------------------------------------------------


def member(id_: str, *parts: dict[str, Any]) -> dict[str, Any]:
    stage, _, *_ = BUDGET["extension"]
    return {**BUDGET, "id": id_, "extension": [stage, *parts, extension("phb-joint-share", valueDecimal=Decimal(1))]}


LEFT = {"mine": 30_000, "theirs": 30_000, "small": 5_000}


def jointly(pounds: str, *members: dict[str, Any], **more: Any) -> list[str]:
    """Why this waits, bought from a joint budget."""
    ledgers = {
        f"Account/{one['id']}": Ledger(
            f"Account/{one['id']}", {each.id: Sums(LEFT[each.id]) for each in elements_of(one)}
        )
        for one in members
    }
    bought = charge(priceOverride={"value": Exact(pounds), "currency": "GBP"}, **more)
    bought["extension"] = bought["extension"][1:]
    parts = tuple(each for one in members for each in elements_of(one))
    item = {name: one for name, one in ITEM.items() if name != "propertyGroup"}
    asked = purchase(
        bought,
        item=item,
        members=members,
        ledgers=ledgers,
        elements=parts,
        by=By("person", patients=frozenset({"Patient/jill"})),
    )
    return waits(asked)


HERS, ALSO_HERS = (member(id_, part("mine", "direct-payment", "Patient/jill")) for id_ in ("one", "two"))
THEIRS = member("three", part("theirs", "third-party", "Organization/willow"))


def test_what_falls_to_parts_of_a_joint_budget_that_others_hold_waits_for_who_decides() -> None:
    assert jointly("45.00", HERS, ALSO_HERS) == []
    assert jointly("45.00", HERS, THEIRS) == [
        "Some of it falls to a part of the budgets that is held by somebody else."
    ]


def test_care_that_was_given_waits_where_one_funder_of_a_joint_budget_has_not_as_much_left() -> None:
    code = {"system": f"{BASE}/CodeSystem/phb-purchase-reason", "code": "care-already-given"}
    given = {"status": "billed", "reason": [{"coding": [code], "text": "Urgent."}]}
    poor = member("poor", part("small", "direct-payment", "Patient/jill"))
    assert jointly("100.00", HERS, poor, **given) == []
    assert jointly("100.02", HERS, poor, **given) == ["It was given already, and comes to more than is left."]

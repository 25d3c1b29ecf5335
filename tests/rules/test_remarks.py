"""What is said of a budget without keeping it from being written: an offer in a crisis (R59), a choice too soon (R173), and growing up (R184). Pure, of `rules/remarks`."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from phb_fhir.rules.case import Case, Find, Read, Sees, answered
from phb_fhir.rules.characteristics import CRITERION
from phb_fhir.rules.remarks import chosen_too_soon, coming_of_age, offered_in_a_crisis, remarked
from phb_fhir.rules.words import ACCOUNT_TYPE, ELIGIBILITY, concept, extension_url

TODAY = date(2026, 11, 22)
Resource = dict[str, Any]


def offer(day: str = "2026-11-20", **more: str) -> Resource:
    parts = [{"url": "offered", "valueDate": day}, *({"url": name, "valueDate": text} for name, text in more.items())]
    return {"url": extension_url("phb-offer"), "extension": parts}


def budget(*offers: Resource, stage: str = "requested") -> Resource:
    return {
        "resourceType": "Account",
        "id": "budget",
        "type": concept(ACCOUNT_TYPE, "personal-health-budget"),
        "subject": [{"reference": "Patient/jill"}],
        "extension": [{"url": extension_url("phb-lifecycle-status"), "valueCode": stage}, *offers],
    }


def case(before: Resource | None, after: Resource | None, *, is_own: bool = False) -> Case:
    now = datetime(2026, 11, 22, 9, tzinfo=UTC)
    return Case("Account", "budget", before, after, "Account/budget/_history/2", now, TODAY, is_own=is_own)


# ---- an offer in a crisis ------------------------------------------------------------------------


def flag(status: str = "active", code: str = "recent-crisis", **period: str) -> Resource:
    return {
        "resourceType": "Flag",
        "id": "crisis",
        "status": status,
        "code": concept(CRITERION, code),
        "period": period,
    }


def said_of(after: Resource, *flags: Resource, before: Resource | None = None) -> list[str]:
    answers: dict[Any, Any] = {Find("Flag", ("patient", "Patient/jill")): list(flags)}
    issues = answered(offered_in_a_crisis(case(before, after), after), answers)
    assert {issue.severity for issue in issues} <= {"warning"}
    return [issue.text for issue in issues]


def test_an_offer_in_a_crisis_is_remarked_on() -> None:
    (text,) = said_of(budget(offer()), flag())
    assert text.startswith("The person has been through a health crisis lately")


def test_a_flag_that_the_writer_may_not_see_is_not_told_of() -> None:
    after = budget(offer())
    answers: dict[Any, Any] = {Find("Flag", ("patient", "Patient/jill")): [flag()], Sees("Flag/crisis"): frozenset()}
    assert answered(offered_in_a_crisis(case(None, after), after), answers) == []


@pytest.mark.parametrize(
    ("after", "flags"),
    [
        (budget(offer()), ()),
        (budget(), (flag(),)),
        (budget(offer(deferredUntil="2027-02-01")), (flag(),)),
        (budget(offer()), (flag("inactive"),)),
        (budget(offer()), (flag(code="lives-alone"),)),
        (budget(offer()), (flag(start="2026-01-01", end="2026-10-31"),)),
        (budget(offer("2026-03-01")), (flag(start="2026-11-01"),)),
    ],
)
def test_an_offer_at_another_time_or_put_off_is_not(after: Resource, flags: tuple[Resource, ...]) -> None:
    assert said_of(after, *flags) == []


def test_a_day_to_ask_again_that_has_come_already_puts_nothing_off() -> None:
    assert said_of(budget(offer(deferredUntil="2026-11-22")), flag()) != []


def test_an_offer_that_stood_before_is_not_remarked_on_again() -> None:
    assert said_of(budget(offer()), flag(), before=budget(offer())) == []
    assert said_of(budget(offer("2026-11-01"), offer()), flag(), before=budget(offer("2026-11-01"))) != []


# ---- growing up ----------------------------------------------------------------------------------


def coverage(category: str, status: str = "active", **period: str) -> Resource:
    return {"resourceType": "Coverage", "status": status, "type": concept(ELIGIBILITY, category), "period": period}


CHILDS = coverage("cyp-continuing-care", start="2020-01-01")
ADULTS = coverage("chc-adult", start="2027-05-03")


def said_to(born: str, *covers: Resource) -> list[str]:
    answers: dict[Any, Any] = {
        Read("Patient/jill"): {"Patient/jill": {"resourceType": "Patient", "birthDate": born}},
        Find("Coverage", ("beneficiary", "Patient/jill")): list(covers),
    }
    issues = answered(coming_of_age(case(None, budget()), budget(), "Account.coverage"), answers)
    assert {issue.severity for issue in issues} <= {"warning"}
    return [issue.text for issue in issues]


@pytest.mark.parametrize(
    ("born", "count"),
    [("2008-11-22", 0), ("2008-11-23", 1), ("2009-11-22", 1), ("2009-11-23", 0), ("1971-04-02", 0)],
)
def test_who_turns_eighteen_within_a_year_without_a_ground_from_then_on_is_remarked_on(born: str, count: int) -> None:
    assert len(said_to(born, CHILDS)) == count


@pytest.mark.parametrize(
    ("covers", "count"),
    [
        ((), 1),
        ((CHILDS,), 1),  # it is for children, whether it says when it ends or not
        ((CHILDS, ADULTS), 0),
        ((coverage("chc-adult", start="2026-01-01", end="2027-05-02"),), 1),
        ((coverage("chc-adult", "cancelled", start="2026-01-01"),), 1),
    ],
)
def test_a_ground_that_goes_on_after_the_birthday_is_enough(covers: tuple[Resource, ...], count: int) -> None:
    assert len(said_to("2009-05-03", *covers)) == count


def test_of_what_is_over_deleted_or_written_by_the_server_nothing_is_said() -> None:
    for one in (case(None, budget(stage="closed")), case(budget(), None), case(None, budget(offer()), is_own=True)):
        assert answered(remarked(one), {}) == []


# ---- a model before any goal ---------------------------------------------------------------------


def held(model: str = "direct-payment", plan: str = "CarePlan/plan") -> Resource:
    parts = [{"url": "id", "valueId": "daily"}, {"url": "model", "valueCode": model}]
    link = {"url": extension_url("phb-care-plan"), "valueReference": {"reference": plan}}
    made = budget({"url": extension_url("phb-management-element"), "extension": parts}, stage="planning")
    return {**made, "extension": [*made["extension"], *([link] if plan else [])]}


def chosen(before: Resource | None, after: Resource, *goals: str) -> int:
    plan = {"resourceType": "CarePlan", "goal": [{"reference": one} for one in goals]}
    issues = answered(chosen_too_soon(case(before, after), after), {Read("CarePlan/plan"): {"CarePlan/plan": plan}})
    assert {issue.severity for issue in issues} <= {"warning"}
    return len(issues)


def test_how_money_is_held_is_remarked_on_while_the_plan_has_no_goal() -> None:
    assert chosen(None, held()) == chosen(None, held(plan="")) == chosen(held(), held("third-party")) == 1
    assert chosen(None, held(), "Goal/1") == chosen(held(), held()) == chosen(None, budget()) == 0

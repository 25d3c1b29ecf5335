"""Direct payments: the states of a consent pair by pair (SM-E), and what a plan costs."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from phb_fhir.rules.amendment import overlapping, reduction
from phb_fhir.rules.case import By, Case, Find, Read, answered
from phb_fhir.rules.direct_payment import (
    CONSENT_STEPS,
    FOR_OTHERS,
    LEGAL_BASIS,
    _consent_step,
    connected,
    cost_of,
    direct_payments,
    judge_consent,
)
from phb_fhir.rules.words import ACCOUNT_TYPE, BUSINESS_STATUS, TASK_CODE, concept, extension_url

STATUSES = tuple(CONSENT_STEPS)
DRAWN = {
    *(("draft", one) for one in ("proposed", "active", "rejected", "entered-in-error")),
    *(("proposed", one) for one in ("active", "rejected", "entered-in-error")),
    *(("active", one) for one in ("inactive", "entered-in-error")),
    *((one, "entered-in-error") for one in ("rejected", "inactive")),
}


@pytest.mark.parametrize("was", STATUSES)
@pytest.mark.parametrize("now", STATUSES)
def test_a_consent_goes_from_being_proposed_to_being_withdrawn_and_not_back(was: str, now: str) -> None:
    moment = datetime(2026, 11, 22, 9, tzinfo=UTC)
    case = Case("Consent", "1", {"status": was}, {"status": now}, "Consent/1/_history/2", moment, date(2026, 11, 22))
    assert (not _consent_step(case)) is (was == now or (was, now) in DRAWN)


@pytest.mark.parametrize("ground", sorted(FOR_OTHERS))
def test_a_ground_of_the_law_is_recorded_by_who_has_seen_the_papers(ground: str) -> None:
    moment = datetime(2026, 11, 22, 9, tzinfo=UTC)

    def said(before: dict[str, Any] | None, after: dict[str, Any], role: str = "person") -> int:
        by = By(role, frozenset(), frozenset({"Patient/jill"}))
        case = Case("Consent", "1", before, after, "Consent/1/_history/2", moment, date(2026, 11, 22), by)
        return sum(one.is_error for one in answered(judge_consent(case), {}).issues)

    ruth, sam = ({"actor": [{"reference": {"reference": f"RelatedPerson/{one}"}}]} for one in ("ruth", "sam"))
    by_law = {"status": "active", "policyRule": concept(LEGAL_BASIS, ground), "provision": ruth}
    chosen = by_law | {"policyRule": concept(LEGAL_BASIS, "consent")}
    assert said(None, by_law) == said(chosen, by_law) == said(by_law, by_law | {"provision": sam}) == 1
    assert said(None, chosen) == said(None, by_law, "care-coordinator") == said(None, by_law, "") == 0
    assert said(by_law, by_law | {"note": []}) == said(by_law, chosen) == 0


@pytest.mark.parametrize(
    ("kind", "focus", "count"),
    [
        ("personal-health-budget", "Account/one", 0),
        ("one-off", "Account/one", 1),
        ("one-off", "CarePlan/plan", 0),
        ("one-off", "RelatedPerson/ruth", 0),
    ],
)
def test_an_exception_from_the_limit_of_a_single_sum_pays_nobody_of_the_household(
    kind: str, focus: str, count: int
) -> None:
    """Of such a budget, an approved exception about the budget is from the £200 (DP-5)."""
    linked = {"url": extension_url("phb-care-plan"), "valueReference": {"reference": "CarePlan/plan"}}
    account = {"id": "one", "type": concept(ACCOUNT_TYPE, kind), "extension": [linked]}
    cost = {"url": extension_url("phb-activity-cost"), **money(50)}
    done_by = {"performer": [{"reference": "RelatedPerson/ruth"}]}
    plan = {"activity": [{"extension": [cost], "detail": done_by}]}
    ruth = {
        "resourceType": "RelatedPerson",
        "id": "ruth",
        "extension": [{"url": extension_url("phb-connected-person"), "valueBoolean": True}],
    }
    yes = {"status": "completed", "focus": {"reference": focus}, "businessStatus": concept(BUSINESS_STATUS, "approved")}

    foci = sorted({"CarePlan/plan", "RelatedPerson/ruth", *(() if kind == "one-off" else ("Account/one",))})
    asked = Find("Task", ("code", f"{TASK_CODE}|exception"), ("focus", ",".join(foci)))
    answers = {
        Read("CarePlan/plan"): {"CarePlan/plan": plan},
        Read("RelatedPerson/ruth"): {"RelatedPerson/ruth": ruth},
        asked: [yes] if focus in foci else [],
    }
    assert len(answered(connected(account), answers)) == count


def money(pounds: float) -> dict[str, Any]:
    return {"valueMoney": {"value": int(pounds), "currency": "GBP"}}


def part(id_: str, model: str, pounds: int, end: str = "2027-10-03") -> dict[str, Any]:
    return {
        "url": extension_url("phb-management-element"),
        "extension": [
            {"url": "id", "valueId": id_},
            {"url": "model", "valueCode": model},
            {"url": "holder", "valueReference": {"reference": "Patient/jill"}},
            {"url": "amount", **money(pounds)},
            {"url": "period", "valuePeriod": {"start": "2026-10-05", "end": end}},
        ],
    }


def approved(pounds: int, start: str = "2026-10-05", end: str | None = "2027-10-03") -> dict[str, Any]:
    period = {"start": start, **({"end": end} if end else {})}
    return {
        "url": extension_url("phb-budget-amount"),
        "extension": [
            {"url": "type", "valueCode": "approved"},
            {"url": "amount", **money(pounds)},
            {"url": "period", "valuePeriod": period},
        ],
    }


def budget(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Account", "extension": list(rows)}


def test_a_direct_payment_that_is_over_is_none() -> None:
    account = budget(
        part("a", "direct-payment", 1), part("b", "direct-payment", 1, "2026-11-21"), part("c", "notional", 1)
    )
    assert [one.id for one in direct_payments(account, date(2026, 11, 22))] == ["a"]


@pytest.mark.parametrize(
    ("after", "less"),
    [
        (budget(approved(1000), part("a", "direct-payment", 600)), 0),
        (budget(approved(900), part("a", "direct-payment", 600)), 100_00),
        (budget(approved(1000), part("a", "direct-payment", 500), part("b", "notional", 500)), 100_00),
        (budget(approved(1200), part("a", "direct-payment", 800)), 0),
    ],
)
def test_a_reduction_is_less_in_all_or_less_paid_out(after: dict[str, Any], less: int) -> None:
    assert reduction(budget(approved(1000), part("a", "direct-payment", 600)), after) == less


@pytest.mark.parametrize(
    ("rows", "is_right"),
    [
        ([approved(1, "2026-04-06", "2026-10-04"), approved(1, "2026-10-05", "2027-04-04")], True),
        ([approved(1, "2026-10-05", "2027-04-04"), approved(1, "2026-04-06", "2026-10-04")], True),
        ([approved(1, "2026-04-06", "2026-10-05"), approved(1, "2026-10-05", "2027-04-04")], False),
        ([approved(1, "2026-04-06", None), approved(1, "2026-10-05", "2027-04-04")], False),
        ([approved(1)], True),
    ],
)
def test_rows_of_one_amount_do_not_overlap(rows: list[dict[str, Any]], is_right: bool) -> None:
    assert (not overlapping(budget(*rows))) is is_right


def test_a_plan_costs_what_the_budget_pays_for() -> None:
    def activity(funding: str, pounds: int) -> dict[str, Any]:
        rows = [
            {"url": extension_url("phb-activity-cost"), **money(pounds)},
            {"url": extension_url("phb-activity-funding"), "valueCode": funding},
        ]
        return {"extension": rows}

    plan = {
        "activity": [
            activity("personal-health-budget", 100),
            activity("local-authority", 20),
            activity("unpaid", 3),
            {},
        ]
    }
    assert (cost_of(plan), cost_of(plan, with_others=True)) == (100_00, 120_00)

"""The stages of a budget, pair by pair (SM-A), and who may take a step."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from phb_fhir.rules.case import By, Case
from phb_fhir.rules.lifecycle import STAGES, STEPS, _by_whom, _deleted, _stays_a_budget, _stepped
from phb_fhir.rules.words import extension_url

ACCOUNT_TYPE = "https://fhir.phb.nhs.example/CodeSystem/phb-account-type"

# the pairs that may follow each other, written out once more, as somebody would draw them
DRAWN = {
    *(
        (one, other)
        for one, other in zip(
            STAGES[:9],
            (
                "eligibility-confirmed",
                "indicative-set",
                "planning",
                "sign-off-pending",
                "authorised",
                "active",
                "suspended",
                "closing",
                "closed",
            ),
            strict=True,
        )
    ),
    ("suspended", "active"),
    ("active", "closing"),
    ("authorised", "closing"),
    ("sign-off-pending", "planning"),
    *((one, "declined-by-person") for one in STAGES[:6]),
    *((one, "refused") for one in STAGES[:5]),
    *((one, "not-eligible") for one in STAGES[:5]),
    *((one, "requested") for one in ("declined-by-person", "refused", "not-eligible")),
    *((one, "entered-in-error") for one in STAGES if one != "entered-in-error"),
}


def budget(stage: str, person: str = "Patient/jill", kind: str = "personal-health-budget") -> dict[str, Any]:
    return {
        "resourceType": "Account",
        "id": "one",
        "type": {"coding": [{"system": ACCOUNT_TYPE, "code": kind}]} if kind else {"text": "another"},
        "subject": [{"reference": person}],
        "extension": [{"url": extension_url("phb-lifecycle-status"), "valueCode": stage}],
    }


def case(before: dict[str, Any] | None, after: dict[str, Any] | None, by: By | None = None) -> Case:
    now = datetime(2026, 11, 22, 9, tzinfo=UTC)
    return Case("Account", "one", before, after, "Account/one/_history/2", now, date(2026, 11, 22), by or By())


def test_the_stages_are_those_of_the_guide() -> None:
    assert STAGES == (
        "requested",
        "eligibility-confirmed",
        "indicative-set",
        "planning",
        "sign-off-pending",
        "authorised",
        "active",
        "suspended",
        "closing",
        "closed",
        "declined-by-person",
        "refused",
        "not-eligible",
        "entered-in-error",
    )


@pytest.mark.parametrize("was", STAGES)
@pytest.mark.parametrize("now", STAGES)
def test_a_stage_follows_another_or_is_refused_with_what_may(was: str, now: str) -> None:
    said = [issue.text for issue in _stepped(case(budget(was), budget(now)))]
    if was == now or (was, now) in DRAWN:
        assert said == []
    else:
        after = ", ".join(STEPS[was]) or "nothing else"
        assert said == [f"A budget that is {was} cannot become {now}; it can become {after}."]


@pytest.mark.parametrize("stage", STAGES)
def test_a_budget_may_be_brought_in_at_any_stage(stage: str) -> None:
    assert list(_stepped(case(None, budget(stage)))) == []


@pytest.mark.parametrize("role", ["", "system", "care-coordinator", "nhs-team", "commissioner"])
def test_professionals_take_every_step(role: str) -> None:
    assert list(_by_whom(case(budget("planning"), budget("sign-off-pending"), By(role)))) == []


@pytest.mark.parametrize("was", ["", *STAGES])
@pytest.mark.parametrize("now", STAGES)
def test_a_person_asks_and_says_no_and_takes_no_other_step(was: str, now: str) -> None:
    jill = By("person", frozenset(("Patient/jill",)), frozenset(("Patient/jill",)))
    said = list(_by_whom(case(budget(was) if was else None, budget(now), jill)))
    assert (not said) is (now in ("requested", "declined-by-person") and was != now)


@pytest.mark.parametrize("by", [By("person", patients=frozenset(("Patient/ted",))), By("finance"), By("provider")])
def test_others_take_no_step(by: By) -> None:
    assert len(list(_by_whom(case(None, budget("requested"), by)))) == 1


def test_whoever_acts_for_the_person_asks_and_says_no_as_well() -> None:
    ruth = By("delegate", acts_for=frozenset(("Patient/jill",)))
    assert list(_by_whom(case(None, budget("requested"), ruth))) == []


def test_what_follows_from_a_rule_is_nobodys_step() -> None:
    own = replace(case(budget("active"), budget("suspended"), By("person")), is_own=True)
    assert list(_by_whom(own)) == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_budget_past_being_asked_for_is_not_deleted(stage: str) -> None:
    assert (not list(_deleted(case(budget(stage), None)))) is (stage == "requested")


@pytest.mark.parametrize("stage", STAGES)
def test_whose_it_is_and_that_it_is_one_stays_once_it_is_more_than_asked_for(stage: str) -> None:
    for changed in (budget(stage, "Patient/ted"), budget(stage, kind="")):
        assert (not list(_stays_a_budget(case(budget(stage), changed)))) is (stage == "requested")
    assert list(_stays_a_budget(case(budget(stage), budget(stage)))) == []

"""How long evidence is kept: the financial year of the purchase and six more, or what the commissioner says (pure, of `rules/evidence`)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from phb_fhir.rules.case import Case, Find, PolicyOf, Read, answered
from phb_fhir.rules.commissioning import Policy
from phb_fhir.rules.evidence import judge_evidence, judge_file, kept_until
from phb_fhir.rules.words import EVIDENCE_TYPE, concept

KEY = "DocumentReference/receipt"
BUDGET = "Account/budget"
NORTH = {"identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "QX1"}}
Resource = dict[str, Any]


def document(code: str = "receipt", **more: Any) -> Resource:
    return {
        "resourceType": "DocumentReference",
        "id": "receipt",
        "status": "current",
        "type": concept(EVIDENCE_TYPE, code),
        **more,
    }


def charge(day: str = "2026-11-20", name: str = "Massage therapy") -> Resource:
    return {
        "resourceType": "ChargeItem",
        "id": "massage",
        "status": "billed",
        "code": {"text": name},
        "occurrenceDateTime": day,
        "account": [{"reference": BUDGET}],
    }


def said(
    today: date,
    *charges: Resource,
    years: int = 6,
    before: Resource | None = None,
    after: Resource | None = None,
    key: str = KEY,
    pointing: Resource | None = None,
) -> list[str]:
    """Why the evidence of these purchases, or the file it points to, cannot be deleted on a day, or become what comes after."""
    now = datetime(today.year, today.month, today.day, 9, tzinfo=UTC)
    type_, id_ = key.split("/")
    case = Case(type_, id_, before or document(), after, f"{key}/_history/2", now, today)
    money = ("status", "billable,billed,not-billable")
    answers: dict[Any, Any] = {
        Find("ChargeItem", ("evidence", KEY), money): list(charges),
        Find("DocumentReference", ("location", "Binary/receipt")): [pointing or document()],
        Read(BUDGET): {BUDGET: {"resourceType": "Account", "id": "budget", "owner": NORTH}},
        PolicyOf("QX1"): Policy(evidence_years=years),
    }
    decision = answered(judge_evidence(case) if type_ == "DocumentReference" else judge_file(case), answers)
    return [issue.text for issue in decision.issues]


@pytest.mark.parametrize(
    ("day", "until"),
    [
        ("2026-03-31", date(2032, 3, 31)),
        ("2026-04-01", date(2033, 3, 31)),
        ("2026-12-31", date(2033, 3, 31)),
        ("2027-01-01", date(2033, 3, 31)),
        ("2026", date(2033, 3, 31)),  # at the latest
    ],
)
def test_it_is_kept_for_the_financial_year_and_six_more(day: str, until: date) -> None:
    assert kept_until(charge(day), 6, date(2026, 11, 22)) == until


def test_a_purchase_that_does_not_say_when_it_was_is_taken_to_be_of_today() -> None:
    assert kept_until({"resourceType": "ChargeItem"}, 6, date(2026, 11, 22)) == date(2033, 3, 31)


@pytest.mark.parametrize(("today", "count"), [(date(2033, 3, 31), 1), (date(2033, 4, 1), 0)])
@pytest.mark.parametrize("key", [KEY, "Binary/receipt"])
def test_evidence_and_its_file_are_not_deleted_before_that_day_has_passed(key: str, today: date, count: int) -> None:
    assert len(said(today, charge(), key=key)) == count


def test_the_refusal_says_what_it_is_evidence_of_and_until_when_it_is_kept() -> None:
    (text,) = said(date(2026, 11, 22), charge("2025-01-10", "Gym"), charge())
    assert text == (
        "This is evidence of Massage therapy, and is kept until 31 March 2033: 6 years after the financial year that the purchase was made"
        " in. If it was never meant, mark it as entered in error; its record stays."
    )


def test_a_commissioner_keeps_it_for_as_long_as_it_says() -> None:
    assert said(date(2028, 3, 31), charge(), years=1) != []
    assert said(date(2028, 4, 1), charge(), years=1) == []


def test_what_is_evidence_of_no_purchase_may_go_and_so_may_other_documents() -> None:
    assert said(date(2026, 11, 22)) == []
    letter = {"resourceType": "DocumentReference", "id": "receipt", "status": "current"}
    assert said(date(2026, 11, 22), charge(), before=letter) == []


def test_it_stays_evidence_and_may_be_another_kind_of_it() -> None:
    other = {**document(), "type": {"text": "A letter"}}
    assert said(date(2026, 11, 22), charge(), after=other) != []
    assert said(date(2033, 4, 1), charge(), after=other) == []
    assert said(date(2026, 11, 22), charge(), after=document("invoice")) == []
    assert said(date(2026, 11, 22), charge(), after=document(status="entered-in-error")) == []


def test_what_was_entered_in_error_stays_as_well() -> None:
    assert said(date(2026, 11, 22), charge(), before=document(status="entered-in-error")) != []


FILE = {
    "contentType": "text/plain",
    "url": "Binary/receipt",
    "size": 3,
    "hash": "M0SLjzE3+9NZxm2XiKPMS3SHvpM=",
}  # "abc"
OTHER = {**FILE, "hash": "AAAA"}


def with_files(*attachments: Resource, **more: Any) -> Resource:
    return document(
        **{"subject": {"reference": "Patient/jill"}, "content": [{"attachment": one} for one in attachments]} | more
    )


@pytest.mark.parametrize(
    "after",
    [
        with_files(OTHER),
        with_files(OTHER, status="entered-in-error"),
        with_files(FILE, subject={"reference": "Patient/asha"}),
        with_files(status="entered-in-error"),
    ],
)
def test_its_file_is_not_changed_for_another_nor_said_to_be_about_somebody_else(after: Resource) -> None:
    assert said(date(2026, 11, 22), charge(), before=with_files(FILE), after=after)[0].startswith("This is evidence of")


@pytest.mark.parametrize(
    "after",
    [
        with_files(FILE, description="The first of two"),
        with_files(FILE, status="superseded"),
        with_files(FILE, status="entered-in-error"),
    ],
)
def test_what_else_it_says_may_change(after: Resource) -> None:
    assert said(date(2026, 11, 22), charge(), before=with_files(FILE), after=after) == []


def binary(data: str = "YWJj", **more: Any) -> Resource:
    return {"resourceType": "Binary", "id": "receipt", "contentType": "text/plain", "data": data, **more}


@pytest.mark.parametrize(
    ("after", "count"),
    [
        (binary("YWJk"), 1),
        (binary("YWJjZA=="), 1),
        (binary(contentType="text/csv"), 1),
        (binary(securityContext={"reference": "DocumentReference/of-another"}), 1),
        (binary(), 0),
        (binary(language="en"), 0),
    ],
)
def test_a_file_that_is_evidence_stays_the_one_that_was_handed_in(after: Resource, count: int) -> None:
    day = date(2026, 11, 22)
    assert (
        len(said(day, charge(), before=binary(), after=after, key="Binary/receipt", pointing=with_files(FILE))) == count
    )


def test_a_file_of_evidence_that_was_never_meant_may_change() -> None:
    never = with_files(FILE, status="entered-in-error")
    assert said(date(2026, 11, 22), before=binary(), after=binary("YWJk"), key="Binary/receipt", pointing=never) == []

"""The indicative amount: from an assessment by the commissioner's table, with its working, before the planning begins (R37, R46, R178, R179)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.journeys.jills_budget import (
    BUDGET,
    Resource,
    around,
    begin,
    budget,
    come_to,
    put,
    read,
    refused,
    rows,
    stands,
    url,
)

ASSESSMENT = "QuestionnaireResponse/jill-needs-assessment"
WORKING = [
    "Table 2026/27 of NHS Harbourside ICB, North, for https://fhir.phb.nhs.example/Questionnaire/dst-adult|1.",
    "altered-states: none, 0 points.",
    "behaviour: none, 0 points.",
    "breathing: none, 0 points.",
    "cognition: low, 1 point.",
    "communication: low, 1 point.",
    "continence: high, 6 points.",
    "drug-therapies: moderate, 3 points.",
    "mobility: severe, 10 points.",
    "nutrition: moderate, 3 points.",
    "other: low, 1 point.",
    "psychological-emotional: moderate, 3 points.",
    "skin: high, 6 points.",
    "Together 34 points.",
    "From 30 points on: £500.00 and £5.00 for each point more; 4 more make £520.00 a week.",
]


@pytest.fixture
def confirmed(api: httpx.Client) -> httpx.Client:
    """Jill's budget with its eligibility confirmed, and no amount yet."""
    begin(api)
    for stage in ("requested", "eligibility-confirmed"):
        assert put(api, budget(stage, "phb-budget-amount")).status_code == 200
    return api


def calculate(api: httpx.Client, method: str = "ras", source: str = ASSESSMENT, **more: Any) -> httpx.Response:
    rows_ = [
        {"name": "source", "valueReference": {"reference": source}},
        {"name": "method", "valueCode": method},
        *({"name": name, "valueBoolean": value} for name, value in more.items()),
    ]
    return api.post(f"/{BUDGET}/$calculate-indicative", json={"resourceType": "Parameters", "parameter": rows_})


def told(answer: httpx.Response) -> tuple[float, str, list[str]]:
    assert answer.status_code == 200, answer.text
    found = answer.json()["parameter"]
    steps = [row["valueString"] for row in found if row["name"] == "explanation"]
    return float(found[0]["valueMoney"]["value"]), found[1]["valueCode"], steps


def kept(api: httpx.Client) -> dict[str, Any]:
    (row,) = rows(read(api, BUDGET), "phb-budget-amount")
    parts: dict[str, Any] = {"working": []}
    for part in row["extension"]:
        value = next(value for name, value in part.items() if name != "url")
        if part["url"] == "working":
            parts["working"].append(value)
        else:
            parts[part["url"]] = value
    return parts


def test_the_amount_is_worked_out_and_kept_with_its_working(confirmed: httpx.Client) -> None:
    assert told(calculate(confirmed)) == (520.00, "wk", WORKING)
    account = read(confirmed, BUDGET)
    assert stands(account) == ("indicative-set", "on-hold")
    row = kept(confirmed)
    assert (row["type"], row["amount"], row["frequency"]) == ("indicative", {"value": 520.00, "currency": "GBP"}, "wk")
    assert (row["method"]["coding"][0]["code"], row["source"]) == ("ras", {"reference": ASSESSMENT})
    assert row["period"] == {"start": "2026-10-05", "end": "2027-10-03"}
    assert row["working"] == WORKING


def test_a_dry_run_says_the_same_and_writes_nothing(confirmed: httpx.Client) -> None:
    before = read(confirmed, BUDGET)
    assert told(calculate(confirmed, dryRun=True)) == (520.00, "wk", WORKING)
    assert read(confirmed, BUDGET) == before


def test_working_it_out_again_puts_the_new_amount_in_the_place_of_the_old(confirmed: httpx.Client) -> None:
    assert calculate(confirmed).status_code == 200
    assert told(calculate(confirmed, "face"))[0] == 520.00
    assert kept(confirmed)["working"] == ["FACE: the assessment says £520.00 a week."]


def test_where_the_form_says_another_amount_the_table_counts(confirmed: httpx.Client) -> None:
    (assessment,) = (one for one in around() if one["id"] == "jill-needs-assessment")
    assessment["item"][-1]["answer"] = [{"valueDecimal": 600.00}]
    assert put(confirmed, assessment).status_code == 200
    amount, _, steps = told(calculate(confirmed))
    assert (amount, steps[-1]) == (520.00, "The form itself says £600.00 a week; the table is what counts.")


def test_nothing_is_named_before_the_person_was_told(api: httpx.Client) -> None:
    begin(api, "Communication/jill-information-given", "Task/jill-step-1-information")
    for stage in ("requested", "eligibility-confirmed"):
        assert put(api, budget(stage, "phb-budget-amount")).status_code == 200
    (reason,) = refused(calculate(api))
    assert reason.startswith("The person is told about personal health budgets first (R44)")


def test_what_is_agreed_already_is_changed_by_a_review(api: httpx.Client) -> None:
    begin(api)
    come_to(api, "authorised")
    assert refused(calculate(api)) == [
        "This budget is authorised: its amount is agreed, and a review changes it. Ask with dryRun to see what would come out."
    ]
    assert told(calculate(api, dryRun=True))[0] == 520.00


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("actual-cost", "The actual cost is that of a plan"),
        ("manual", "An amount by judgement is decided by a person"),
        ("dice", '"dice" is no method of working out an amount; there are ras, face, package-cost.'),
    ],
)
def test_a_method_that_needs_no_assessment_is_refused_with_what_to_do(
    confirmed: httpx.Client, method: str, said: str
) -> None:
    (reason,) = refused(calculate(confirmed, method))
    assert reason.startswith(said)


def test_an_assessment_of_somebody_else_or_unfinished_is_refused(confirmed: httpx.Client) -> None:
    (assessment,) = (one for one in around() if one["id"] == "jill-needs-assessment")
    other = {**assessment, "id": "other", "subject": {"reference": "Patient/other"}, "status": "in-progress"}
    assert put(confirmed, other).status_code == 200
    assert refused(calculate(confirmed, source="QuestionnaireResponse/other")) == [
        "QuestionnaireResponse/other is about another person.",
        "QuestionnaireResponse/other is in-progress; an assessment is finished before money is worked out from it.",
    ]


def test_a_commissioner_without_a_table_says_so(confirmed: httpx.Client) -> None:
    account: Resource = read(confirmed, BUDGET)
    account["owner"] = {"reference": "Organization/harbourside-icb"}
    assert put(confirmed, account).status_code == 200
    (reason,) = refused(calculate(confirmed))
    assert reason.startswith(
        "This commissioner has no resource-allocation table for https://fhir.phb.nhs.example/Questionnaire/dst-adult|1"
    )


@pytest.mark.parametrize("source", ["QuestionnaireResponse/none", "Patient/jill"])
def test_what_is_no_assessment_is_refused(confirmed: httpx.Client, source: str) -> None:
    assert calculate(confirmed, source=source).status_code in (400, 422)


def test_the_extension_of_the_working_is_the_guides(confirmed: httpx.Client) -> None:
    assert calculate(confirmed).status_code == 200
    account = read(confirmed, BUDGET)
    assert [row["url"] for row in account["extension"]].count(url("phb-budget-amount")) == 1
    answer = confirmed.post("/Account/$validate", json=account)
    assert not [one for one in answer.json()["issue"] if one["severity"] == "error"]

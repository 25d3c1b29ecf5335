"""The indicative amount, worked out: points, bands, and every step in words."""

from __future__ import annotations

from typing import Any

import pytest

from phb_fhir.rules.commissioning import Band, Policy, Table
from phb_fhir.rules.indicative import amounts_in, with_indicative, worked_out
from phb_fhir.rules.words import BASE

LEVEL = f"{BASE}/CodeSystem/phb-dst-level"
POINTS = {"none": 0, "low": 1, "moderate": 3, "high": 6, "severe": 10, "priority": 15}
TABLE = Table(
    "https://example.org/needs",
    "2026",
    "wk",
    POINTS,
    {"breathing": {"severe": 12}},
    (Band(0, 0, 1000), Band(10, 10_000), Band(20, 30_000, 501)),
)
NORTH = Policy(name="North", tables=(TABLE,))


def assessed(*levels: tuple[str, str], amount: Any = None, **more: Any) -> dict[str, Any]:
    items: list[dict[str, Any]] = [
        {"linkId": domain, "answer": [{"valueCoding": {"system": LEVEL, "code": level}}]} for domain, level in levels
    ]
    if amount is not None:
        items.append({"linkId": "weekly-amount", "answer": [amount]})
    return {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": "https://example.org/needs|3",
        "item": items,
        **more,
    }


@pytest.mark.parametrize(
    ("levels", "pence"),
    [
        ([("skin", "none")], 0),
        ([("skin", "high")], 6000),
        ([("skin", "high"), ("mobility", "moderate")], 9000),
        ([("mobility", "severe")], 10_000),
        ([("breathing", "severe")], 10_000),
        ([("mobility", "severe"), ("skin", "severe")], 30_000),
        ([("mobility", "severe"), ("breathing", "severe")], 31_002),
        ([("mobility", "priority"), ("skin", "priority")], 35_010),
    ],
)
def test_levels_make_points_and_points_make_money(levels: list[tuple[str, str]], pence: int) -> None:
    assert worked_out(assessed(*levels), "ras", NORTH).pence == pence


def test_every_step_is_told() -> None:
    found = worked_out(assessed(("mobility", "severe"), ("breathing", "severe")), "ras", NORTH)
    assert found.steps == (
        "Table 2026 of North, for https://example.org/needs|3.",
        "breathing: severe, 12 points.",
        "mobility: severe, 10 points.",
        "Together 22 points.",
        "From 20 points on: £300.00 and £5.01 for each point more; 2 more make £310.02 a week.",
    )


@pytest.mark.parametrize(
    ("answer", "pence"),
    [
        ({"valueInteger": 520}, {52_000}),
        ({"valueQuantity": {"value": 520}}, {52_000}),
        ({"valueQuantity": {"value": 520, "unit": "£"}}, {52_000}),
        ({"valueQuantity": {"value": 520, "unit": "pounds a week", "code": "GBP"}}, {52_000}),
        ({"valueQuantity": {"value": 520, "unit": "hours"}}, set()),
        ({"valueQuantity": {"value": 520, "code": "EUR"}}, set()),
        ({"valueString": "520"}, set()),
    ],
)
def test_an_amount_that_the_form_says_is_read_exactly(answer: dict[str, Any], pence: set[int]) -> None:
    assert amounts_in(assessed(amount=answer)) == pence


def test_an_assessment_that_says_several_amounts_or_less_than_nothing_gives_none() -> None:
    twice = assessed(amount={"valueInteger": 520})
    twice["item"].append({"linkId": "weekly-amount", "answer": [{"valueInteger": 540}]})
    (several,) = worked_out(twice, "face", NORTH).issues
    (less,) = worked_out(assessed(amount={"valueInteger": -50}), "package-cost", NORTH).issues
    assert several.text.startswith("The assessment says several amounts (£520.00, £540.00)")
    assert less.text.startswith("The assessment says less than nothing (-£50.00)")


def test_an_assessment_without_levels_or_without_an_amount_gives_none() -> None:
    assert worked_out(assessed(), "ras", NORTH).issues[0].text == "The assessment gives no domain a level."
    assert worked_out(assessed(), "face", NORTH).issues[0].text.startswith("The assessment says no amount")


def test_the_row_takes_the_place_of_the_one_there_was_and_leaves_the_others() -> None:
    account = {"extension": [{"url": "x"}], "servicePeriod": {"start": "2026-10-05"}}
    once = with_indicative(
        account, worked_out(assessed(("skin", "high")), "ras", NORTH), "ras", "QuestionnaireResponse/1"
    )
    again = with_indicative(once, worked_out(assessed(("skin", "low")), "ras", NORTH), "ras", "QuestionnaireResponse/2")
    assert [row["url"].rpartition("/")[2] for row in again["extension"]] == ["x", "phb-budget-amount"]
    working = [part["valueString"] for part in again["extension"][1]["extension"] if part["url"] == "working"]
    assert working[1] == "skin: low, 1 point."
    assert account["extension"] == [{"url": "x"}]


def test_two_levels_for_one_domain_are_for_somebody_to_put_right() -> None:
    twice = assessed(("skin", "high"), ("skin", "low"))
    assert [one.text for one in worked_out(twice, "ras", NORTH).issues] == [
        "The assessment gives skin 2 levels (high, low): one counts, and it is for who filled it in to say which."
    ]


def test_a_level_that_there_is_not_is_no_nothing() -> None:
    (issue,) = worked_out(assessed(("skin", "hihg")), "ras", NORTH).issues
    assert issue.text == "The assessment gives skin a level that there is not: hihg."


def test_a_domain_that_the_table_counts_and_the_assessment_leaves_out_is_told() -> None:
    steps = worked_out(assessed(("skin", "high")), "ras", NORTH).steps
    assert "breathing: the assessment gives no level, so it counts nothing." in steps

"""Commissioners' documents: what they say, and what is said of one that is wrong (R178, R179)."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from phb_fhir.data import data_path
from phb_fhir.rules.commissioning import STANDARD, Band, Policies, Policy, WrongPolicy, parse_policies, read_policies
from phb_fhir.rules.eligibility import categories
from phb_fhir.settings import WrongSetting

FORM = "https://example.org/Questionnaire/needs"
LEVELS = {"none": 0, "low": 1, "moderate": 2, "high": 3, "severe": 4, "priority": 5}


def table(**more: Any) -> dict[str, Any]:
    return {
        "questionnaire": FORM,
        "version": "1",
        "frequency": "wk",
        "points": LEVELS,
        "bands": [{"from": 0, "amount": "10.00"}],
        **more,
    }


def document(**more: Any) -> dict[str, Any]:
    return {"name": "North", "commissioners": ["98Z"], **more}


def parsed(**more: Any) -> Policy:
    return parse_policies({"north.json": document(**more)}).of("98Z")


def test_what_a_document_leaves_out_is_common_practice() -> None:
    assert parsed() == Policy(name="North")
    assert (STANDARD.surplus_weeks, STANDARD.contingency_weeks, STANDARD.notice_days) == (8, 4, 28)
    assert (STANDARD.first_review_months, STANDARD.review_months, STANDARD.evidence_years) == (3, 12, 6)
    assert (STANDARD.one_off_max, STANDARD.one_off_exception_max) == (20_000, 40_000)


def test_what_a_document_says_is_read_exactly() -> None:
    policy = parsed(
        acceptedCategories=["chc-adult"],
        defaultOffer=["chc-adult"],
        criteria={"mental-health": "Group/who"},
        surplusWeeks=6,
        reviewMonths=6,
        oneOffMax="150.50",
        delegatedSignOffMax="0.00",
        allocation=[table(bands=[{"from": 0, "amount": "0.00", "perPoint": "12.34"}, {"from": 5, "amount": "99.99"}])],
    )
    assert (policy.surplus_weeks, policy.review_months, policy.one_off_max) == (6, 6, 15_050)
    assert (policy.accepts("chc-adult"), policy.accepts("wheelchair"), STANDARD.accepts("wheelchair")) == (
        True,
        False,
        True,
    )
    assert (policy.criteria, policy.default_offer) == ({"mental-health": "Group/who"}, {"chc-adult"})
    assert policy.delegated_sign_off_max == 0
    (found,) = policy.tables
    assert found.bands == (Band(0, 0, 1234), Band(5, 9999))
    assert policy.table_for(f"{FORM}|2") is found
    assert policy.table_for("https://example.org/another") is None


def test_each_commissioner_has_its_own_and_others_the_standard_one() -> None:
    policies = parse_policies(
        {
            "a.json": document(noticeDays=14),
            "b.json": document(name="Everybody else", commissioners=[], noticeDays=42),
        }
    )
    assert [policies.of(code).notice_days for code in ("98Z", "98z", "97Z", "")] == [14, 14, 42, 42]
    assert Policies().of("98Z") == STANDARD


WRONG = {
    "no name": ({"name": None}, "a.json is not right at $.name"),
    "a longer review than the law allows": (
        {"reviewMonths": 13},
        "a.json is not right at $.reviewMonths: 13 is greater",
    ),
    "a later first review": ({"firstReviewMonths": 4}, "a.json is not right at $.firstReviewMonths"),
    "money that is no text": ({"oneOffMax": 200.5}, "a.json is not right at $.oneOffMax"),
    "part of a penny": ({"oneOffMax": "1.005"}, "a.json is not right at $.oneOffMax"),
    "less for an exception": ({"oneOffExceptionMax": "100.00"}, "a.json is not right at $.oneOffExceptionMax"),
    "a word nobody knows": ({"surplusWeek": 8}, "a.json is not right at $: "),
    "a level nobody knows": (
        {"allocation": [table(points={**LEVELS, "huge": 9})]},
        "a.json is not right at $.allocation[0].points",
    ),
    "a level without points": (
        {"allocation": [table(points={"none": 0})]},
        "a.json is not right at $.allocation[0].points: 'low' is a required property",
    ),
    "bands that do not begin at none": (
        {"allocation": [table(bands=[{"from": 1, "amount": "1.00"}])]},
        "a.json is not right at $.allocation[0].bands: the first band begins at 0",
    ),
    "bands out of order": (
        {
            "allocation": [
                table(
                    bands=[{"from": 0, "amount": "1.00"}, {"from": 9, "amount": "2.00"}, {"from": 5, "amount": "3.00"}]
                )
            ]
        },
        "a.json is not right at $.allocation[0].bands: ",
    ),
    "less money for more need": (
        {
            "allocation": [
                table(bands=[{"from": 0, "amount": "0.00", "perPoint": "10.00"}, {"from": 5, "amount": "39.99"}])
            ]
        },
        "a.json is not right at $.allocation[0].bands[1]: at 5 points it gives less than one point fewer would.",
    ),
    "two tables for one form": (
        {"allocation": [table(), table()]},
        "a.json is not right at $.allocation: there are two tables",
    ),
    "a form with a version, which no assessment would be read by": (
        {"allocation": [table(questionnaire=f"{FORM}|1")]},
        "a.json is not right at $.allocation[0].questionnaire: ",
    ),
    "fewer points for more need": (
        {"allocation": [table(points={**LEVELS, "severe": 2})]},
        "a.json is not right at $.allocation[0].points: severe gives fewer points than high does.",
    ),
    "fewer points for more need in one domain": (
        {"allocation": [table(domains={"breathing": {"moderate": 9}})]},
        "a.json is not right at $.allocation[0].domains.breathing: high gives fewer points than moderate does.",
    ),
    "a domain nobody knows": (
        {"allocation": [table(domains={"breathing": {"severe": 4}, "breathng": {"priority": 20}})]},
        "a.json is not right at $.allocation[0].domains: 'breathng' is not one of ['breathing', ",
    ),
    "days with a decimal point": (
        {"noticeDays": 28.0},
        "a.json is not right at $.noticeDays: 28.0 has a decimal point; counts are written without.",
    ),
    "points with a decimal point": (
        {"allocation": [table(bands=[{"from": 0.0, "amount": "1.00"}])]},
        "a.json is not right at $.allocation[0].bands[0].from: 0.0 has a decimal point",
    ),
    "a category nobody knows": (
        {"acceptedCategories": ["chc-adult", "chc-adults"]},
        "a.json is not right at $.acceptedCategories[1]: 'chc-adults' is not one of ['chc-adult', ",
    ),
    "an offer to a category nobody knows": ({"defaultOffer": ["nope"]}, "a.json is not right at $.defaultOffer[0]"),
    "criteria of a category nobody knows": (
        {"criteria": {"nope": "Group/1"}},
        "a.json is not right at $.criteria: 'nope' is not one of",
    ),
    "no group": ({"criteria": {"mental-health": "Patient/1"}}, "a.json is not right at $.criteria['mental-health']"),
}


@pytest.mark.parametrize(("changed", "said"), WRONG.values(), ids=WRONG)
def test_a_document_that_is_wrong_is_named_with_the_place_in_it(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(WrongPolicy) as caught:
        parse_policies({"a.json": document(**changed)})
    assert str(caught.value).startswith(said)


def test_the_same_money_at_the_edge_of_a_band_is_right() -> None:
    bands = [{"from": 0, "amount": "0.00", "perPoint": "10.00"}, {"from": 5, "amount": "40.00"}]
    assert parsed(allocation=[table(bands=bands)]).tables[0].bands[1] == Band(5, 4000)


@pytest.mark.parametrize("codes", [["98Z"], []])
def test_two_documents_for_the_same_commissioners_are_refused(codes: list[str]) -> None:
    with pytest.raises(WrongPolicy, match="another document"):
        parse_policies({"a.json": document(commissioners=codes), "b.json": document(commissioners=copy.copy(codes))})


# ---- in a folder ---------------------------------------------------------------------------------


def test_the_shipped_documents_are_right_and_have_a_table_for_jill() -> None:
    policies = read_policies()
    assert policies.standard == Policy(name="Common practice")
    assert policies.of("98Z").table_for("https://fhir.phb.nhs.example/Questionnaire/dst-adult|1") is not None


def test_a_folder_of_ones_own_takes_the_place_of_the_shipped_ones(tmp_path: Path) -> None:
    (tmp_path / "north.json").write_text(json.dumps(document(noticeDays=14)))
    (tmp_path / "readme.txt").write_text("no document")
    assert read_policies(tmp_path).of("98Z").notice_days == 14
    assert read_policies(tmp_path).of("97Z") == STANDARD


@pytest.mark.parametrize(
    ("text", "said"), [("{", "cannot be read as JSON"), ("[]", "is not right at $: [] is not of type")]
)
def test_what_is_no_document_stops_the_start_with_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "north.json").write_text(text)
    with pytest.raises(WrongSetting) as caught:
        read_policies(tmp_path)
    assert caught.value.sentence.startswith(
        "The setting commissioning_folder (PHB_COMMISSIONING_FOLDER) is not right: in "
    )
    assert f"north.json {said}" in caught.value.sentence


def test_a_folder_that_is_not_there_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(WrongSetting, match="there is no folder"):
        read_policies(tmp_path / "none")


@pytest.mark.parametrize("category", categories())
def test_each_category_of_the_guide_may_be_accepted(category: str) -> None:
    assert parsed(acceptedCategories=[category], defaultOffer=[category]).accepted == frozenset((category,))


DOMAINS = json.loads((data_path("profiles") / "CodeSystem-phb-dst-domain.json").read_bytes())["concept"]


@pytest.mark.parametrize("domain", [one["code"] for one in DOMAINS])
def test_each_domain_of_the_guide_may_count_otherwise(domain: str) -> None:
    (found,) = parsed(allocation=[table(domains={domain: {"priority": 9}})]).tables
    assert found.domains == {domain: {"priority": 9}}

"""C32E5, E10: what a person can choose from is in the record for them to find: who could hold their money (R83), who helps with a direct payment
(R82, R171, R175), and the councils that commissioners work with (R199).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.journeys.jills_budget import PHB
from tests.people import People, signed_in
from tests.stories import FAMILY, JILLS

KIND = f"{PHB}/CodeSystem/phb-organization-type"
SUPPORT = "https://harbourside.nhs.example/CodeSystem/support"


@pytest.fixture(scope="module")
def people(mongodb_uri: str) -> Iterator[People]:
    with signed_in(mongodb_uri, JILLS, FAMILY) as made:
        yield made


def found(people: People, who: str, type_: str, **asked: str) -> list[str]:
    """The ids of what somebody finds."""
    answer = people[who].get(f"/{type_}", params=asked)
    assert answer.status_code == 200, answer.text
    return sorted(one["resource"]["id"] for one in answer.json().get("entry", []))


@pytest.mark.parametrize("who", ["jill", "ruth", "co-ordinator"])
def test_everybody_who_could_hold_the_money_is_found(people: People, who: str) -> None:
    holders = found(people, who, "Organization", type=f"{KIND}|third-party-budget-holder")
    assert holders == ["beacon-budgets", "willow-tree-budgets"]


@pytest.mark.parametrize("who", ["jill", "commissioner"])
def test_councils_are_among_the_organisations(people: People, who: str) -> None:
    assert found(people, who, "Organization", type=f"{KIND}|local-authority") == ["wreake-valley-council"]


def test_who_helps_with_a_direct_payment_is_found_by_what_they_do(people: People) -> None:
    for kind in ("brokerage", "payroll"):
        service: dict[str, Any] = {
            "resourceType": "HealthcareService",
            "id": kind,
            "active": True,
            "providedBy": {"reference": "Organization/willow-tree-budgets"},
            "category": [{"coding": [{"system": SUPPORT, "code": kind}]}],
            "name": f"Help with direct payments: {kind}",
        }
        assert people["system"].put(f"/HealthcareService/{kind}", json=service).status_code == 201
    assert found(people, "jill", "HealthcareService", **{"service-category": f"{SUPPORT}|brokerage"}) == ["brokerage"]
    everything = found(people, "jill", "HealthcareService", organization="Organization/willow-tree-budgets")
    assert everything == ["brokerage", "payroll"]
    assert "payroll-service" in found(people, "jill", "ChargeItemDefinition", title="payroll")

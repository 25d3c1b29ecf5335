"""Nothing is deleted that a budget needs which is not over: whose money it is, who holds it, who acts and cares, what it stands on (R86)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from tests.builders import bundle, bundle_of, entry
from tests.paying import made, said
from tests.running import RunningServer
from tests.stories import FAMILY, tell

JILLS = "Jill's personal health budget is active, and"


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("Organization/harbourside-north", "its money is theirs. Close it first."),
        (
            "Organization/willow-tree-budgets",
            "they hold a part of it. Close it, or have the part held by somebody else, first.",
        ),
        ("CareTeam/jill-team", "they are the team of its plan. Close it, or name another team in the plan, first."),
        (
            "PractitionerRole/priya-nair-coordinator",
            "they are in the team of its plan. Close it, or have somebody else in the team, first.",
        ),
        (
            "DocumentReference/jill-direct-payment-agreement",
            "its direct payments are agreed on by this. Close it, or record another agreement, first.",
        ),
        ("Coverage/jill-continuing-healthcare", "stands on this cover. Close it, or name another cover, first."),
        (
            "RelatedPerson/ruth-harper",
            "an active consent names them for it. Close it, or end the consent (Consent/jill-ruth-delegate), first.",
        ),
    ],
)
def test_what_an_open_budget_needs_is_not_deleted(jill: httpx.Client, key: str, why: str) -> None:
    reasons = said(jill.delete(f"/{key}"))
    assert f"{JILLS} {why}" in reasons
    removal = entry("DELETE", key)
    assert said(jill.post("/", json=bundle("transaction", removal))) == reasons
    assert jill.get(f"/{key}").status_code == 200


@pytest.mark.parametrize(
    "type_", ["Organization", "CareTeam", "Coverage", "RelatedPerson", "Practitioner", "PractitionerRole"]
)
def test_what_no_budget_names_goes(jill: httpx.Client, type_: str) -> None:
    named = {
        "Organization": {"name": "A shop"},
        "CareTeam": {"subject": {"reference": "Patient/jill"}},
        "Coverage": {
            "status": "active",
            "beneficiary": {"reference": "Patient/jill"},
            "payor": [{"reference": "Patient/jill"}],
        },
        "RelatedPerson": {"patient": {"reference": "Patient/jill"}},
        "Practitioner": {},
        "PractitionerRole": {},
    }[type_]
    id_ = made(jill.post(f"/{type_}", json={"resourceType": type_, **named}))["id"]
    assert jill.delete(f"/{type_}/{id_}").status_code == 204


def test_who_acts_no_more_goes(jill: httpx.Client) -> None:
    consent = made(jill.get("/Consent/jill-ruth-delegate"))
    removal = entry("DELETE", "RelatedPerson/ruth-harper")
    ending = entry("PUT", "Consent/jill-ruth-delegate", {**consent, "status": "inactive"})
    assert jill.post("/", json=bundle("transaction", ending, removal)).status_code == 200
    assert jill.get("/RelatedPerson/ruth-harper").status_code == 410


def test_what_only_a_budget_names_that_is_over_goes(jill: httpx.Client) -> None:
    over = {
        "resourceType": "Account",
        "id": "never",
        "status": "on-hold",
        "type": made(jill.get("/Account/jill-budget"))["type"],
        "subject": [{"reference": "Patient/jill"}],
        "coverage": [{"coverage": {"reference": "Coverage/once"}}],
        "owner": {"reference": "Organization/once"},
    }
    stage = {"url": "https://fhir.phb.nhs.example/StructureDefinition/phb-lifecycle-status"}
    wrong = [{**stage, "valueCode": "entered-in-error"}]
    once = {"resourceType": "Organization", "id": "once", "name": "Once"}
    made(jill.post("/", json=bundle_of([once])))
    asked = {**over, "extension": [{**stage, "valueCode": "requested"}]}
    answer = jill.put("/Account/never", json=asked)
    assert answer.status_code == 201, answer.text
    (why,) = said(jill.delete("/Organization/once"))
    assert why == "Account/never is requested, and its money is theirs. Close it first."
    made(jill.put("/Account/never", json={**over, "status": "entered-in-error", "extension": wrong}))
    assert jill.delete("/Organization/once").status_code == 204


def test_each_funder_of_a_joint_budget_stays(api: httpx.Client) -> None:
    tell(api, FAMILY)
    for key in ("Organization/wreake-valley-council", "Organization/beacon-budgets", "Coverage/asha-social-care"):
        assert said(api.delete(f"/{key}"))
        assert api.get(f"/{key}").status_code == 200


def test_an_item_of_the_directory_that_was_bought_is_retired_and_stays(jill: httpx.Client) -> None:
    url = "/ChargeItemDefinition/massage-therapy"
    why = "This was bought, and purchases tell by it what. Retire it (status retired) instead: nobody buys it any more, and it stays in the record."
    assert said(jill.delete(url)) == [why]
    item = made(jill.get(url))
    made(jill.put(url, json={**item, "status": "retired"}))
    assert said(jill.delete(url)) == [why]
    another = {**item, "id": "another", "version": "2", "status": "draft"}
    made(jill.put("/ChargeItemDefinition/another", json=another))
    assert jill.delete("/ChargeItemDefinition/another").status_code == 204  # version 1 alone was bought
    made(jill.put("/ChargeItemDefinition/twice", json={**item, "id": "twice"}))
    assert jill.delete("/ChargeItemDefinition/twice").status_code == 204  # the other tells as well what was bought


def test_an_item_of_the_directory_that_was_bought_keeps_its_price_under_its_version(jill: httpx.Client) -> None:
    url = "/ChargeItemDefinition/massage-therapy"
    item = made(jill.get(url))
    (price,) = item["propertyGroup"][0]["priceComponent"]
    dearer = {**item, "propertyGroup": [{"priceComponent": [{**price, "amount": {"value": 99, "currency": "GBP"}}]}]}
    next_one = "Add an item with the same url and the next version instead, and retire this one."
    refused = jill.put(url, json={**dearer, "version": "1.1"})
    assert refused.status_code == 422
    assert [one["expression"] for one in refused.json()["issue"]] == [
        ["ChargeItemDefinition.version"], ["ChargeItemDefinition.propertyGroup"],
    ]  # fmt: skip
    assert said(jill.put(url, json=dearer)) == [
        f"This was bought, and purchases tell by it what; its price stays. {next_one}"
    ]
    made(jill.put(url, json={**item, "description": "Forty minutes, at home"}))
    made(jill.put("/ChargeItemDefinition/next", json={**dearer, "id": "next", "version": "1.1"}))
    made(jill.put("/ChargeItemDefinition/next", json={**item, "id": "next", "version": "1.1"}))  # nobody bought it
    made(jill.put("/ChargeItemDefinition/twice", json={**item, "id": "twice"}))
    assert said(jill.put(url, json=dearer))  # that its name is there twice makes no difference


def test_an_item_of_the_directory_that_was_retired_stays_so(jill: httpx.Client) -> None:
    url = "/ChargeItemDefinition/massage-therapy"
    item = made(jill.get(url))
    made(jill.put(url, json={**item, "status": "retired"}))
    for status in ("active", "draft"):
        assert said(jill.put(url, json={**item, "status": status})) == [
            f"An item of the directory that is retired cannot become {status}; it can become nothing else."
        ]


ROUNDS = 6


def test_a_cover_is_deleted_or_a_budget_stands_on_it_and_never_both(
    mongodb_uri: str, mongodb_admin: MongoClient[dict[str, Any]], database_name: str
) -> None:
    """Through two servers, neither of which knows what the other has under way."""
    del mongodb_admin
    with (
        RunningServer(mongodb_uri, database_name) as one,
        RunningServer(mongodb_uri, database_name) as other,
        httpx.Client(base_url=one.base, timeout=60) as first,
        httpx.Client(base_url=other.base, timeout=60) as second,
        ThreadPoolExecutor(2) as several,
    ):
        tell(first)
        cover = made(first.get("/Coverage/jill-continuing-healthcare"))
        account = made(first.get("/Account/jill-budget"))
        for number in range(ROUNDS):
            key = f"cover-{number}"
            made(first.put(f"/Coverage/{key}", json=cover | {"id": key}))
            named = [{"coverage": {"reference": f"Coverage/{key}"}, "priority": 1}]
            written = several.submit(first.put, "/Account/jill-budget", json=account | {"coverage": named})
            deleted = several.submit(second.delete, f"/Coverage/{key}")
            assert (written.result().status_code, deleted.result().status_code) in ((200, 422), (422, 204), (422, 200))
            made(first.put("/Account/jill-budget", json=account))

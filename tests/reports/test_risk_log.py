"""RiskAssessment/$risk-log: what was done against risks, gathered without names (R117)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from zlib import crc32

import httpx
import pytest

from tests.builders import problem
from tests.fresh import write_down
from tests.people import People, signed_in
from tests.stories import FAMILY

Resource = dict[str, Any]
ADDRESS = "/RiskAssessment/$risk-log"
RESIDUAL = "https://fhir.phb.nhs.example/StructureDefinition/phb-residual-risk"
LIKELY = "http://terminology.hl7.org/CodeSystem/risk-probability"
OTHER = "What fewer than five people have in common"


def risk(
    person: int, name: str = "Skin breaking down", done: str = "A cushion.", remains: str = "low", **more: Any
) -> Resource:
    likely = {"coding": [{"system": LIKELY, "code": remains}]}
    return {
        "resourceType": "RiskAssessment",
        "id": f"r{person}-{crc32((name + done).encode())}",
        "status": "final",
        "subject": {"reference": f"Patient/p{person}"},
        "code": {"text": name},
        "extension": [{"url": RESIDUAL, "valueCodeableConcept": likely}],
        "prediction": [{"outcome": {"text": "A sore"}}],
        "mitigation": done,
        **more,
    }


def person(number: int) -> Resource:
    return {"resourceType": "Patient", "id": f"p{number}", "name": [{"text": f"Person {number}"}]}


def log(api: httpx.Client, *risks: Resource) -> list[Resource]:
    write_down(api, [*(person(number) for number in range(12)), *risks])
    answer = api.get(ADDRESS)
    assert answer.status_code == 200, answer.text
    groups: list[Resource] = answer.json().get("group", [])
    return groups


def told(group: Resource) -> tuple[str, list[int | None]]:
    """What a group or stratum is of, and how many people, of how many little remains and of how many more; None for what is masked."""
    called = group.get("code") or group["value"]
    text = called.get("text") or called["coding"][0]["code"]
    return text, [one.get("count") for one in group["population"]]


def strata(group: Resource) -> list[tuple[str, list[int | None]]]:
    (by_answer,) = group["stratifier"]
    return [told(one) for one in by_answer["stratum"]]


def test_what_at_least_five_people_have_in_common_is_told_with_what_was_done_about_it(api: httpx.Client) -> None:
    cushions = [risk(number) for number in range(6)]
    turned = [risk(number, "skin  breaking down", "Turned at night", "high") for number in range(6, 11)]
    (group,) = log(api, *cushions, *turned)
    assert told(group) == ("Skin breaking down", [11, 6, 5])
    assert strata(group) == [("A cushion.", [6, 6, 0]), ("Turned at night", [5, 0, 5])]


def test_a_code_says_what_a_risk_is_however_it_is_called(api: httpx.Client) -> None:
    fall = {"system": "http://snomed.info/sct", "code": "129839007", "display": "At risk for falls"}
    named = [risk(number, code={"coding": [fall], "text": f"{number} falls"}) for number in range(5)]
    (group,) = log(api, *named)
    assert group["code"] == {"coding": [fall]}


def test_what_few_have_in_common_is_told_without_its_words_and_numbers(api: httpx.Client) -> None:
    """A risk of one person, and what is done for one, may have their name in it."""
    common = [risk(number) for number in range(6)]
    own = risk(6, done="Ruth Harper sits with her at 4 Mill Lane.")
    rare = risk(7, "Choir practice with Jill", "She goes all the same.")
    answer = str(log(api, *common, own, rare))
    assert not any(word in answer for word in ("Ruth", "Mill", "Choir", "Jill", "Person", "Patient/"))


def test_small_numbers_cannot_be_worked_out_from_the_others(api: httpx.Client) -> None:
    common = [risk(number) for number in range(6)]
    (group,) = log(api, *common, risk(6, done="Something of her own."))
    assert told(group) == ("Skin breaking down", [None, None, 0])
    assert strata(group) == [("A cushion.", [6, 6, 0]), (OTHER, [None, None, 0])]


def test_each_person_counts_once_and_what_is_not_finished_or_answered_does_not(api: httpx.Client) -> None:
    again = [risk(number, done="Looked at daily") for number in range(5)]
    draft = risk(9, status="preliminary", done="Planned")
    nothing = {name: one for name, one in risk(10, done="").items() if name != "mitigation"}
    (group,) = log(api, *(risk(number) for number in range(5)), *again, draft, nothing)
    assert told(group)[1][0] == 5


def test_where_there_is_nothing_to_gather_the_log_has_no_groups(api: httpx.Client) -> None:
    assert log(api) == []
    assert problem(api.get(f"{ADDRESS}?of=jill"))[0] == 400


# ---- whom it is for ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def people(mongodb_uri: str) -> Iterator[People]:
    with signed_in(mongodb_uri, "jill", FAMILY) as made:
        for number in range(20, 25):
            made["system"].put(f"/Patient/p{number}", json=person(number))
            made["system"].put(f"/RiskAssessment/s{number}", json={**risk(number), "id": f"s{number}"})
        yield made


@pytest.mark.parametrize("who", ["jill", "ruth"])
def test_it_is_for_those_who_plan_with_people(people: People, who: str) -> None:
    text = "$risk-log is for those who plan with people: the NHS team, care co-ordinators and commissioners."
    assert problem(people[who].get(ADDRESS))[:3] == (403, "forbidden", text)


def test_it_goes_by_what_whoever_asks_may_read(people: People) -> None:
    """Nobody hears of people whose record is not theirs to read, not even as a number."""
    everything = people["system"].get(ADDRESS).json()
    assert "Skin breaking down" in [told(one)[0] for one in everything["group"]]
    hers = people["co-ordinator"].get(ADDRESS)
    assert hers.status_code == 200, hers.text
    assert [told(one) for one in hers.json()["group"]] == [(OTHER, [None, None, 0])]

"""Who has a copy of a plan: the person, who acts for them, their team and commissioner; and each no more of it than they may read (R99)."""

from __future__ import annotations

import pytest

from tests.people import PEOPLE, signed_in
from tests.stories import JILLS

ADDRESS = "/CarePlan/jill-plan/$document"


@pytest.fixture(scope="module")
def people(mongodb_uri):
    with signed_in(mongodb_uri, JILLS) as made:
        yield made


@pytest.mark.parametrize("form", ["document", "html"])
@pytest.mark.parametrize("who", sorted(PEOPLE))
def test_whoever_reads_the_plan_has_a_copy_of_it_and_nobody_else(people, who, form):
    read = people[who].get("/CarePlan/jill-plan").status_code
    answer = people[who].get(ADDRESS, params={"format": form})
    assert answer.status_code == read
    if read != 200:
        assert "Jill" not in answer.text


def test_the_person_and_their_team_are_among_those(people):
    read = {who for who in PEOPLE if people[who].get(ADDRESS).status_code == 200}
    assert {"jill", "ruth", "co-ordinator", "system"} <= read
    assert not {"stranger", "another commissioner", "provider", "finance", "analyst", "auditor"} & read


@pytest.mark.parametrize("who", ["jill", "ruth", "co-ordinator", "commissioner", "practice", "system"])
def test_a_copy_has_what_its_reader_may_read_and_no_more(people, who):
    copy = people[who].get(ADDRESS)
    assert copy.status_code == 200
    _, *entries = copy.json()["entry"]
    assert entries
    for entry in entries:
        key = f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
        assert people[who].get(f"/{key}").json() == entry["resource"]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("RiskAssessment/jill-risk-skin", "red marks that stay for a day"),
        ("QuestionnaireResponse/jill-plan-content", "geography"),
        ("Task/jill-step-6-first-review", "15 December 2026 to"),
        ("Task/jill-sign-off", "Signed off on"),
    ],
)
def test_what_is_restricted_is_in_nobodys_copy_who_may_not_read_it(people, key, said):
    system = people["system"]
    before = system.get(f"/{key}").json()
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    assert said in system.get(ADDRESS, params={"format": "html"}).text
    try:
        meta = {**before["meta"], "security": [label]}
        assert system.put(f"/{key}", json={**before, "meta": meta}).status_code == 200
        hidden = [who for who in ("ruth", "co-ordinator") if people[who].get(f"/{key}").status_code == 404]
        assert hidden
        for who in hidden:
            assert said not in people[who].get(ADDRESS, params={"format": "html"}).text
            entries = people[who].get(ADDRESS).json()["entry"]
            assert key not in {f"{one['resource']['resourceType']}/{one['resource'].get('id')}" for one in entries}
    finally:
        now = system.get(f"/{key}").json()
        assert system.put(f"/{key}", json={**now, "meta": before["meta"]}).status_code == 200

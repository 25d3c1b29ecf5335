"""Patient/$everything (R4 operation Patient-everything) and Account/$everything."""

from __future__ import annotations

import pytest

from tests.builders import person, problem
from tests.fresh import write_down


def of_jill(type_: str, id_: str, **more) -> dict:
    return {"resourceType": type_, "id": id_, "subject": {"reference": "Patient/jill"}, **more}


def observation(id_: str, day: str, **more) -> dict:
    return of_jill("Observation", id_, status="final", code={"text": "weight"}, effectiveDateTime=day, **more)


def charge(id_: str, **more) -> dict:
    account = [{"reference": "Account/budget"}]
    return of_jill("ChargeItem", id_, status="billable", code={"text": "swimming"}, account=account, **more)


def task(id_: str, focus: str) -> dict:
    return {
        "resourceType": "Task",
        "id": id_,
        "status": "requested",
        "intent": "order",
        "focus": {"reference": focus},
        "for": {"reference": "Patient/jill"},
    }


RECORD = [
    {**person(), "id": "jill", "generalPractitioner": [{"reference": "Organization/surgery"}]},
    {**person(), "id": "another"},
    {"resourceType": "Organization", "id": "surgery", "name": "Oakfield Surgery"},
    {"resourceType": "Organization", "id": "unrelated", "name": "Elsewhere"},
    {"resourceType": "Practitioner", "id": "nurse"},
    observation("o1", "2026-01-10", performer=[{"reference": "Practitioner/nurse"}]),
    observation("o2", "2026-05-10"),
    {**observation("other", "2026-05-10"), "subject": {"reference": "Patient/another"}},
    {
        "resourceType": "Account",
        "id": "budget",
        "status": "active",
        "subject": [{"reference": "Patient/jill"}],
        "extension": [
            {
                "url": "https://fhir.phb.nhs.example/StructureDefinition/phb-care-plan",
                "valueReference": {"reference": "CarePlan/plan"},
            }
        ],
    },
    of_jill("CarePlan", "plan", status="active", intent="plan", goal=[{"reference": "Goal/swim"}]),
    of_jill("Goal", "swim", lifecycleStatus="active", description={"text": "Swim"}),
    charge("c1", supportingInformation=[{"reference": "DocumentReference/receipt"}]),
    charge("c2"),
    {**charge("elsewhere"), "account": [{"reference": "Account/another"}]},
    of_jill("DocumentReference", "receipt", status="current", content=[{"attachment": {"url": "urn:oid:1.2"}}]),
    of_jill("DocumentReference", "letter", status="current", content=[{"attachment": {"url": "urn:oid:1.3"}}]),
    task("t-budget", "Account/budget"),
    task("t-plan", "CarePlan/plan"),
    task("t-purchase", "ChargeItem/c1"),
    task("t-other", "ChargeItem/elsewhere"),
]
SUPPORTING = {"Organization/surgery", "Practitioner/nurse"}
JILLS = {
    f"{one['resourceType']}/{one['id']}"
    for one in RECORD
    if one["resourceType"] not in ("Organization", "Practitioner")
} - {"Patient/another", "Observation/other"}
BUDGETS = {
    "Account/budget",
    "Patient/jill",
    "CarePlan/plan",
    "Goal/swim",
    "ChargeItem/c1",
    "ChargeItem/c2",
    "DocumentReference/receipt",
    "Task/t-budget",
    "Task/t-plan",
    "Task/t-purchase",
}


@pytest.fixture
def record(api):
    write_down(api, RECORD)
    return api


def keys(answer, mode: str = "") -> list[str]:
    assert answer.status_code == 200, answer.text
    rows = [row for row in answer.json().get("entry", []) if mode in ("", row["search"]["mode"])]
    return [f"{row['resource']['resourceType']}/{row['resource']['id']}" for row in rows]


def pages(api, path: str, mode: str = "match") -> list[str]:
    found = []
    while path:
        answer = api.get(path)
        found += keys(answer, mode)
        path = next((link["url"] for link in answer.json()["link"] if link["relation"] == "next"), "")
    return found


def test_everything_of_a_patient_is_the_record_and_what_it_refers_to_and_nothing_of_others(record):
    answer = record.get("/Patient/jill/$everything")
    assert set(keys(answer, "match")) == JILLS
    assert set(keys(answer, "include")) == SUPPORTING
    assert answer.json()["type"] == "searchset"
    assert answer.json()["total"] == len(JILLS)
    (link,) = answer.json()["link"]
    assert link["url"].endswith("/Patient/jill/$everything")


def test_everything_of_a_budget_is_the_budget_with_its_plan_purchases_evidence_and_tasks(record):
    answer = record.get("/Account/budget/$everything")
    assert set(keys(answer)) == BUDGETS
    assert answer.json()["total"] == len(BUDGETS)


@pytest.mark.parametrize(
    ("path", "expected"), [("/Patient/jill/$everything", JILLS), ("/Account/budget/$everything", BUDGETS)]
)
def test_pages_together_are_everything_once(record, path, expected):
    found = pages(record, f"{path}?_count=3")
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("shaping", ["_summary=true", "_elements=status,subject", "_format=json&_pretty=true"])
def test_a_page_is_shaped_as_the_one_before_it(record, shaping):
    answer = record.get(f"/Patient/jill/$everything?{shaping}&_count=2")
    links = {link["relation"]: link["url"] for link in answer.json()["link"]}
    assert links["self"].endswith(f"/$everything?_count=2&{shaping}")
    following = record.get(links["next"])
    (itself,) = (link["url"] for link in following.json()["link"] if link["relation"] == "self")
    assert f"_count=2&{shaping}" in itself
    tagged = ["SUBSETTED" in str(row["resource"].get("meta")) for row in following.json()["entry"]]
    assert tagged == ["_format" not in shaping] * len(tagged)
    assert (b"\n" in following.content) == ("_pretty" in shaping)


def test_the_inputs_may_be_sent_as_parameters(record):
    body = {
        "resourceType": "Parameters",
        "parameter": [{"name": "_type", "valueCode": "Observation"}, {"name": "_count", "valueInteger": 1}],
    }
    answer = record.post("/Patient/jill/$everything", json=body)
    assert keys(answer) == ["Observation/o1"]
    onward = next(link["url"] for link in answer.json()["link"] if link["relation"] == "next")
    assert keys(record.get(onward)) == ["Observation/o2"]


def test_type_says_which_types_come(record):
    assert set(keys(record.get("/Patient/jill/$everything?_type=Observation,Practitioner"))) == {
        "Observation/o1",
        "Observation/o2",
        "Practitioner/nurse",
    }
    assert set(keys(record.get("/Account/budget/$everything?_type=Task"))) == {
        "Task/t-budget",
        "Task/t-plan",
        "Task/t-purchase",
    }


def test_since_leaves_out_what_was_written_before(record):
    changed = record.put("/Observation/o2", json={**observation("o2", "2026-05-11")})
    since = changed.json()["meta"]["lastUpdated"]
    assert keys(record.get("/Patient/jill/$everything", params={"_since": since}), "match") == ["Observation/o2"]


def test_start_and_end_are_about_when_care_was_given(record):
    found = set(keys(record.get("/Patient/jill/$everything?start=2026-02&end=2026-06"), "match"))
    assert "Observation/o2" in found
    assert "Observation/o1" not in found
    assert "Patient/jill" in found


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/Patient/nobody/$everything", 404, "no Patient/nobody"),
        ("/Patient/jill/$everything?_type=Organisation", 400, "never brings a Organisation"),
        ("/Patient/jill/$everything?start=yesterday", 400, '"start" must be a date'),
        ("/Patient/jill/$everything?start=2027&end=2026", 400, '"start" is after "end"'),
        ("/Patient/jill/$everything?_sort=date", 400, "has no parameter"),
        ("/Account/budget/$everything?start=2026", 400, "has no parameter"),
        ("/Observation/o1/$everything", 404, "$everything is not an operation of Observation"),
        ("/Patient/$everything", 404, "/Patient/[id]/$everything"),
        ("/Patient/jill/$everything?_page=abc", 400, "_page"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(record, path, status, words):
    refused = problem(record.get(path))
    assert refused.status == status
    assert words in refused.text


def test_everything_of_a_deleted_patient_is_gone(record):
    record.delete("/Patient/another")
    assert problem(record.get("/Patient/another/$everything")).status == 410

"""Chains and `_has` by canonicals (R4 §2.3.0.5.1, §3.1.1.4.13): as few definitions are, and as many are.

Each case is asked in every way there is to answer it: with the definitions' names in one condition, with each candidate looked
at, and with bounds so low that nothing is few.
"""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import pytest

from phb_fhir.fhir.codec import dumps
from phb_fhir.interactions import joins
from phb_fhir.interactions.canonicals import Name, meant_by, names_of, naming
from phb_fhir.interactions.joins import Joins
from phb_fhir.query import AllOf, AnyOf, Key, Linked, LinkedFrom, Not, Query
from phb_fhir.search.kinds.keys import beginning
from phb_fhir.search.kinds.kind import Index
from phb_fhir.store.store import Hit
from tests.builders import bundle, entry, problem
from tests.fresh import write_down
from tests.interactions.test_history import got, link, pages
from tests.interactions.test_joins import BOUNDS
from tests.interactions.test_search import keys
from tests.search.parsing import ASKING
from tests.store.stores import Commands, opened, put, run, version

ASKED_WITHIN = {
    **{name: BOUNDS[name] for name in ("few", "many", "very many", "from what points")},
    "many names": {"NAMES_MAX": 0},
    "many names, asked for one by one": {"NAMES_MAX": 0, "BATCH": 1, "_CHUNK": 1, "FEW": 0},
}
ACME = "http://acme.example"


def survey(id_: str, url: str, version_: str = "", **more: Any) -> dict[str, Any]:
    stated = {"version": version_} if version_ else {}
    return {"resourceType": "Questionnaire", "id": id_, "url": url, "status": "active", **stated, **more}


def answers(id_: str, canonical: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "QuestionnaireResponse",
        "id": id_,
        "questionnaire": canonical,
        "status": "completed",
        **more,
    }


RECORD = [
    survey("s1", f"{ACME}/s", "1", title="Old"),
    survey("s2", f"{ACME}/s", "2", title="New"),
    survey("bar", f"{ACME}/a|b", "1", title="Odd"),
    survey("plain", f"{ACME}/plain", title="Plain", status="draft"),
    {"resourceType": "Questionnaire", "id": "bare", "status": "retired", "title": "Bare"},
    answers("any", f"{ACME}/s"),
    answers("old", f"{ACME}/s|1", status="amended"),
    answers("new", f"{ACME}/s|2", status="stopped"),
    answers("newer", f"{ACME}/s|3"),
    answers("odd", f"{ACME}/a"),
    answers("to-plain", f"{ACME}/plain", status="in-progress"),
    answers("here", "Questionnaire/bare", status="entered-in-error"),
    answers("here-too", "Questionnaire/bare|1", status="entered-in-error"),
    {
        "resourceType": "CarePlan",
        "id": "both",
        "status": "active",
        "intent": "plan",
        "subject": {"display": "Somebody"},
        "instantiatesCanonical": [f"{ACME}/s|2", f"{ACME}/plain"],
    },
]


@pytest.fixture(params=ASKED_WITHIN)
def record(request: pytest.FixtureRequest, api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> httpx.Client:
    for name, most in ASKED_WITHIN[request.param].items():
        monkeypatch.setattr(joins, name, most)
    write_down(api, RECORD)
    return api


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("QuestionnaireResponse?questionnaire.title=old", ["any", "old"]),
        ("QuestionnaireResponse?questionnaire.title=new", ["any", "new"]),
        ("QuestionnaireResponse?questionnaire.title=old,new", ["any", "old", "new"]),
        ("QuestionnaireResponse?questionnaire.title=old&questionnaire.title=new", ["any"]),
        ("QuestionnaireResponse?questionnaire.title=odd", []),
        ("QuestionnaireResponse?questionnaire.title=plain", ["to-plain"]),
        ("QuestionnaireResponse?questionnaire.title=bare", ["here"]),
        ("QuestionnaireResponse?questionnaire.title=nothing", []),
        ("QuestionnaireResponse?questionnaire.status=active&status=completed", ["any"]),
        ("QuestionnaireResponse?questionnaire.status:not=active", ["to-plain", "here"]),
        ("QuestionnaireResponse?questionnaire:Questionnaire._id=s1", ["any", "old"]),
        (
            "QuestionnaireResponse?_filter=not (questionnaire.status eq active)",
            ["newer", "odd", "to-plain", "here", "here-too"],
        ),
        (
            "QuestionnaireResponse?questionnaire._has:CarePlan:instantiates-canonical:status=active",
            ["any", "new", "to-plain"],
        ),
        ("CarePlan?instantiates-canonical.title=plain", ["both"]),
        ("CarePlan?instantiates-canonical.title=new", ["both"]),
        ("CarePlan?instantiates-canonical.title=old", []),
        ("Questionnaire?_has:QuestionnaireResponse:questionnaire:status=completed", ["s1", "s2"]),
        ("Questionnaire?_has:QuestionnaireResponse:questionnaire:status=amended", ["s1"]),
        ("Questionnaire?_has:QuestionnaireResponse:questionnaire:status=stopped,in-progress", ["s2", "plain"]),
        ("Questionnaire?_has:QuestionnaireResponse:questionnaire:status=entered-in-error", ["bare"]),
        ("Questionnaire?_has:QuestionnaireResponse:questionnaire:_id=newer,odd,here-too", []),
        ("Questionnaire?_has:QuestionnaireResponse:questionnaire:status=completed&title=new", ["s2"]),
        ("Questionnaire?_has:CarePlan:instantiates-canonical:status=active", ["s2", "plain"]),
        ("Questionnaire?_has:QuestionnaireResponse:questionnaire:questionnaire.title=old", ["s1", "s2"]),
    ],
)
def test_a_condition_by_canonicals_finds_what_keeps_it(record: httpx.Client, address: str, expected: list[str]) -> None:
    type_ = address.partition("?")[0]
    wanted = [f"{type_}/{id_}" for id_ in expected]
    exact = got(record, f"/{address}&_total=accurate")
    assert (keys(exact), exact["total"]) == (wanted, len(wanted))
    walked = list(pages(record, f"/{address}&_count=1"))
    assert list(itertools.chain(*map(keys, walked))) == wanted
    back = list(pages(record, link(walked[-1], "self"), "previous"))
    assert list(itertools.chain(*(keys(page)[::-1] for page in back))) == wanted[::-1]
    assert keys(got(record, f"/{address}&_sort=-_id")) == sorted(wanted, reverse=True)


def test_a_definition_in_another_version_is_meant_by_what_states_that(record: httpx.Client) -> None:
    address = "/QuestionnaireResponse?questionnaire.title=new"
    record.put("/Questionnaire/s2", json=survey("s2", f"{ACME}/s", "3", title="New"))
    assert keys(got(record, address)) == ["QuestionnaireResponse/any", "QuestionnaireResponse/newer"]
    record.delete("/Questionnaire/s2")
    assert keys(got(record, address)) == []


def test_conditional_changes_go_by_canonicals(record: httpx.Client) -> None:
    ask = {"If-None-Exist": "questionnaire.title=old&status=amended"}
    assert record.post("/QuestionnaireResponse", json=answers("x", f"{ACME}/s"), headers=ask).status_code == 200
    assert record.delete("/QuestionnaireResponse?questionnaire.title=old&status=amended").status_code == 204
    assert record.post("/QuestionnaireResponse", json=answers("x", f"{ACME}/s"), headers=ask).status_code == 201


def test_a_conditional_reference_by_canonicals_means_what_is_stored(record: httpx.Client) -> None:
    task = {"resourceType": "Task", "status": "requested", "intent": "order"}
    focus = {"reference": "Questionnaire?_has:QuestionnaireResponse:questionnaire:status=amended"}
    made = record.post("", json=bundle("transaction", entry("POST", "Task", {**task, "focus": focus})))
    assert made.status_code == 200, made.text
    location = made.json()["entry"][0]["response"]["location"].partition("/_history/")[0]
    assert got(record, location)["focus"] == {"reference": "Questionnaire/s1"}


def test_more_definitions_of_one_url_than_can_be_looked_at_are_refused(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_down(api, RECORD)
    address = "/QuestionnaireResponse?questionnaire.status=active"
    monkeypatch.setattr(joins, "JOINED_MAX", 0)
    monkeypatch.setattr(joins, "_CHUNK", 1)
    monkeypatch.setattr(joins, "CANDIDATES_MAX", 4)
    assert api.get(f"{address}&_count=1").status_code == 200
    monkeypatch.setattr(joins, "CANDIDATES_MAX", 1)
    assert problem(api.get(f"{address}&_count=1"))[:2] == (400, "too-costly")


# ---- names -----------------------------------------------------------------------------------------------------------


def hit(id_: str, *entries: str) -> Hit:
    found = version(id_, text=dumps({}).decode())
    return Hit(found, [], Index(dict.fromkeys(entries)))


def test_a_definition_is_meant_by_its_address_its_url_and_its_url_with_its_version():
    assert list(names_of([hit("1", "url=http://a", "url=http://a|2", "version=*2"), hit("2", "code=*x")])) == [
        Name("Task/1"),
        Name("http://a"),
        Name("http://a", "2"),
        Name("Task/2"),
    ]


@pytest.mark.parametrize(
    ("entries", "meant"),
    [
        (["p=http://a"], [Name("http://a")]),
        (["p=http://a", "p=http://a|1"], [Name("http://a", "1")]),
        (["p=http://a", "p=http://a|1", "p=http://b"], [Name("http://a", "1"), Name("http://b")]),
        (["p=http://a", "p=http://a|1", "p=http://a|2"], [Name("http://a", "1"), Name("http://a", "2")]),
        ([r"p=http://a\|b"], [Name(r"http://a\|b")]),
        ([r"p=http://a\|b", r"p=http://a\|b|1\|2"], [Name(r"http://a\|b", r"1\|2")]),
        (["pp=http://a", "p:", "q=http://a"], []),
    ],
)
def test_what_states_a_version_means_that_one_alone(entries: list[str], meant: list[Name]):
    assert list(meant_by(entries, "p")) == meant


def test_what_names_a_definition_states_its_version_or_none():
    unstated = AllOf((Key(("p=http://a",)), Not(beginning("p=http://a|"))))
    assert naming("p", [Name("http://a"), Name("http://a", "2")]) == AnyOf((Key(("p=http://a|2",)), unstated))
    assert naming("p", [Name("http://a")]) == unstated


# ---- what it costs ---------------------------------------------------------------------------------------------------


def test_a_chain_by_canonicals_asks_once_for_the_definitions(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        commands = Commands()
        async with opened(mongodb_uri, database_name, commands) as store:
            for number in range(1, 9):
                await put(store, version(str(number)), (f"url=http://a/{number}", "status=*active"))
            commands.count.clear()
            chain = Linked("definition", ("Task",), Key(("status=*active",)), by_url=True)
            asked = await Joins(store, ASKING).resolve(Query(("Task",), chain))
            assert asked.left == ()
            assert commands.count == {"find": 1, "count": 1}

    run(story)


def test_a_has_by_canonicals_asks_once_for_the_little_that_points(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        commands = Commands()
        async with opened(mongodb_uri, database_name, commands) as store:
            for number in range(1, 9):
                await put(store, version(str(number)), (f"definition=http://a/{number}", "status=*active"))
            commands.count.clear()
            back = LinkedFrom("Task", "definition", Key(("status=*active",)), by_url=True)
            asked = await Joins(store, ASKING).resolve(Query(("Task",), back))
            assert asked.query.where == Key(tuple(f"url=http://a/{number}" for number in range(1, 9)))
            assert commands.count == {"find": 1, "count": 1}

    run(story)

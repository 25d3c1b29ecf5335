"""_include and _revinclude: what a page brings along (R4 §3.1.1.5.3), and what it looks like."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import pytest

from phb_fhir.interactions import includes
from tests.builders import NHS_NUMBER, person, problem, purchase
from tests.fresh import write_down
from tests.interactions.test_history import got, link, pages
from tests.interactions.test_joins import reading
from tests.interactions.test_search import FORM, keys, outcomes

SURVEY = "https://fhir.phb.nhs.example/Questionnaire/wellbeing"

RECORD: list[dict[str, Any]] = [
    {"resourceType": "Organization", "id": "trust", "name": "Northern Trust"},
    {"resourceType": "Organization", "id": "ward", "name": "Ward 7", "partOf": {"reference": "Organization/trust"}},
    {"resourceType": "Practitioner", "id": "grey", "name": [{"family": "Grey"}]},
    {"resourceType": "Group", "id": "all", "type": "person", "actual": True},
    person("9000000009", id="ann", managingOrganization={"reference": "Organization/ward"}),
    person("9000000017", id="bob", generalPractitioner=[{"reference": "Practitioner/grey"}]),
    purchase("P-1", id="a1", subject={"reference": "Patient/ann"}, enterer={"reference": "Practitioner/grey"}),
    purchase(
        "P-2", id="a2", subject={"reference": "Patient/ann"}, performingOrganization={"reference": "Organization/ward"}
    ),
    purchase("P-3", id="b1", subject={"reference": "Patient/bob"}),
    purchase("P-4", id="g1", subject={"reference": "Group/all"}),
    purchase("P-5", id="n1", subject={"reference": "Patient/nobody"}),
    purchase("P-6", id="x1", subject={"reference": "http://elsewhere.example/fhir/Patient/ann"}),
    purchase("P-7", id="y1", subject={"identifier": {"system": NHS_NUMBER, "value": "9000000009"}}),
    reading("w1", "Patient/ann", "29463-7", performer=[{"reference": "Practitioner/grey"}]),
    reading("w2", "Patient/ann", "29463-7", hasMember=[{"reference": "Observation/w1"}]),
    reading("w3", "Patient/bob", "29463-7", hasMember=[{"reference": "Observation/w2"}]),
]


@pytest.fixture
def record(api: httpx.Client) -> httpx.Client:
    write_down(api, RECORD)
    return api


def included(found: dict[str, Any]) -> list[str]:
    """What came along, as Type/id."""
    entries = found.get("entry", [])
    return ["/".join(one["fullUrl"].split("/")[-2:]) for one in entries if one["search"]["mode"] == "include"]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ChargeItem?_id=a1&_include=ChargeItem:subject", ["Patient/ann"]),
        ("ChargeItem?_id=a1,a2&_include=ChargeItem:subject", ["Patient/ann"]),  # once
        ("ChargeItem?_id=a1,b1,g1&_include=ChargeItem:subject", ["Patient/ann", "Patient/bob", "Group/all"]),
        ("ChargeItem?_id=a1,g1&_include=ChargeItem:subject:Patient", ["Patient/ann"]),
        ("ChargeItem?_id=a1,g1&_include=ChargeItem:subject:Group", ["Group/all"]),
        ("ChargeItem?_id=a1,g1&_include=ChargeItem:patient", ["Patient/ann"]),
        ("ChargeItem?_id=a1&_include=ChargeItem:context", []),
        # what is not here: never was, is elsewhere, or is named by an identifier alone
        ("ChargeItem?_id=n1,x1,y1&_include=ChargeItem:subject", []),
        # all references
        ("ChargeItem?_id=a1&_include=ChargeItem:*", ["Patient/ann", "Practitioner/grey"]),
        ("ChargeItem?_id=a2&_include=ChargeItem:*", ["Organization/ward", "Patient/ann"]),
        ("ChargeItem?_id=a1&_include=*", ["Patient/ann", "Practitioner/grey"]),
        ("ChargeItem?_id=a1,a2&_include=ChargeItem:*:Patient", ["Patient/ann"]),
        # several
        (
            "ChargeItem?_id=a1&_include=ChargeItem:enterer&_include=ChargeItem:subject",
            ["Practitioner/grey", "Patient/ann"],
        ),
        # the other way round
        ("Patient?_id=ann&_revinclude=ChargeItem:subject", ["ChargeItem/a1", "ChargeItem/a2"]),
        ("Patient?_id=ann,bob&_revinclude=ChargeItem:patient", ["ChargeItem/a1", "ChargeItem/a2", "ChargeItem/b1"]),
        (
            "Patient?_id=bob&_revinclude=Observation:patient&_revinclude=ChargeItem:subject",
            ["Observation/w3", "ChargeItem/b1"],
        ),
        ("Practitioner?_id=grey&_revinclude=ChargeItem:*", ["ChargeItem/a1"]),
        ("Practitioner?_id=grey&_revinclude=Observation:performer", ["Observation/w1"]),
        ("Organization?_id=trust&_revinclude=Organization:partof", ["Organization/ward"]),
        ("Practitioner?_id=grey&_revinclude=*", ["Patient/bob", "ChargeItem/a1", "Observation/w1"]),
        # only what matches is followed …
        ("ChargeItem?_id=a1&_include=ChargeItem:subject&_include=ChargeItem:performing-organization", ["Patient/ann"]),
        (
            "ChargeItem?_id=a1&_include=ChargeItem:subject&_include:iterate=Patient:organization",
            ["Patient/ann", "Organization/ward"],
        ),
        # … unless it is iterated
        (
            "ChargeItem?_id=a2&_include=ChargeItem:performing-organization&_include:iterate=Organization:partof",
            ["Organization/ward", "Organization/trust"],
        ),
        ("Observation?_id=w3&_include=Observation:has-member", ["Observation/w2"]),
        ("Observation?_id=w3&_include:iterate=Observation:has-member", ["Observation/w2", "Observation/w1"]),
        ("Observation?_id=w1&_revinclude:iterate=Observation:has-member", ["Observation/w2", "Observation/w3"]),
        (
            "Organization?_id=ward&_revinclude=Patient:organization&_revinclude:iterate=ChargeItem:subject",
            ["Patient/ann", "ChargeItem/a1", "ChargeItem/a2"],
        ),
    ],
)
def test_a_search_brings_along_what_is_asked_for(record: httpx.Client, address: str, expected: list[str]) -> None:
    plain = got(record, "/" + "&".join(part for part in address.split("&") if "include" not in part.partition("=")[0]))
    found = got(record, f"/{address}")
    assert sorted(included(found)) == sorted(expected)
    assert (keys(found), found["total"]) == (keys(plain), plain["total"])
    urls = [one["fullUrl"] for one in found["entry"]]
    assert len(urls) == len(set(urls))
    for one in found["entry"]:
        assert one["resource"] == got(record, one["fullUrl"])
    type_, _, query = address.partition("?")
    assert record.post(f"/{type_}/_search", content=query, headers=FORM).json() == found


def test_what_is_included_stands_behind_the_matches(record: httpx.Client) -> None:
    found = got(record, "/ChargeItem?_id=a1,b1&_include=ChargeItem:subject")
    assert [one["search"]["mode"] for one in found["entry"]] == ["match", "match", "include", "include"]


def test_a_match_that_would_also_be_included_is_a_match(record: httpx.Client) -> None:
    found = got(record, "/Observation?_include=Observation:has-member&_revinclude=Observation:has-member")
    assert (keys(found), included(found)) == (["Observation/w1", "Observation/w2", "Observation/w3"], [])


def test_each_page_brings_along_its_own(record: httpx.Client) -> None:
    walked = list(pages(record, "/ChargeItem?_id=a1,b1,g1&_include=ChargeItem:subject&_count=1"))
    assert [(keys(page), included(page)) for page in walked] == [
        (["ChargeItem/a1"], ["Patient/ann"]),
        (["ChargeItem/b1"], ["Patient/bob"]),
        (["ChargeItem/g1"], ["Group/all"]),
    ]
    assert {page["total"] for page in walked} == {3}
    back = list(pages(record, link(walked[-1], "previous"), "previous"))
    assert list(itertools.chain(*map(included, back))) == ["Patient/bob", "Patient/ann"]


def test_what_was_deleted_does_not_come_along(record: httpx.Client) -> None:
    record.delete("/Patient/ann")
    assert included(got(record, "/ChargeItem?_id=a1&_include=ChargeItem:subject")) == []
    record.delete("/ChargeItem/b1")
    assert included(got(record, "/Patient?_id=bob&_revinclude=ChargeItem:subject")) == []


def test_a_reference_of_this_servers_own_address_brings_its_target(record: httpx.Client, server: Any) -> None:
    mine = purchase("P-9", id="o1", subject={"reference": f"{server.base}/Patient/bob"})
    record.put("/ChargeItem/o1", json=mine)
    assert included(got(record, "/ChargeItem?_id=o1&_include=ChargeItem:subject")) == ["Patient/bob"]
    assert "ChargeItem/o1" in included(got(record, "/Patient?_id=bob&_revinclude=ChargeItem:subject"))


# ---- versions --------------------------------------------------------------------------------------------------------


def test_a_reference_to_a_version_brings_that_version(record: httpx.Client) -> None:
    record.put("/Patient/ann", json=person("9000000009", id="ann", active=True))
    record.put("/ChargeItem/v1", json=purchase("P-9", id="v1", subject={"reference": "Patient/ann/_history/1"}))
    record.put("/ChargeItem/v2", json=purchase("P-9", id="v2", subject={"reference": "Patient/ann/_history/2"}))
    record.put("/ChargeItem/v9", json=purchase("P-9", id="v9", subject={"reference": "Patient/ann/_history/9"}))
    for id_, versions in (
        ("v1", ["1"]),
        ("v2", ["2"]),
        ("v9", []),
        ("a1", ["2"]),
        ("a1,v2", ["2"]),
        ("a1,v1", ["2", "1"]),
    ):
        found = got(record, f"/ChargeItem?_id={id_}&_include=ChargeItem:subject")
        there = [one["resource"] for one in found["entry"] if one["search"]["mode"] == "include"]
        assert [one["meta"]["versionId"] for one in there] == versions
    old = got(record, "/ChargeItem?_id=v1&_include=ChargeItem:subject")["entry"][1]
    assert old["resource"] == got(record, "/Patient/ann/_history/1")
    assert old["fullUrl"].endswith("/Patient/ann")


def test_a_version_that_is_included_is_followed_as_it_was(record: httpx.Client) -> None:
    record.put("/Patient/ann", json=person("9000000009", id="ann"))
    record.put("/ChargeItem/v1", json=purchase("P-9", id="v1", subject={"reference": "Patient/ann/_history/1"}))
    address = "/ChargeItem?_id={}&_include=ChargeItem:subject&_include:iterate=Patient:organization"
    assert included(got(record, address.format("v1"))) == ["Patient/ann", "Organization/ward"]
    assert included(got(record, address.format("a1"))) == ["Patient/ann"]


def test_what_refers_to_a_version_comes_along_too(record: httpx.Client) -> None:
    record.put("/ChargeItem/v1", json=purchase("P-9", id="v1", subject={"reference": "Patient/bob/_history/1"}))
    assert included(got(record, "/Patient?_id=bob&_revinclude=ChargeItem:subject")) == [
        "ChargeItem/b1",
        "ChargeItem/v1",
    ]


# ---- canonicals ------------------------------------------------------------------------------------------------------


@pytest.fixture
def surveys(api: httpx.Client) -> httpx.Client:
    def survey(id_: str, version: str) -> dict[str, Any]:
        return {"resourceType": "Questionnaire", "id": id_, "url": SURVEY, "version": version, "status": "active"}

    def answers(id_: str, canonical: str) -> dict[str, Any]:
        return {"resourceType": "QuestionnaireResponse", "id": id_, "questionnaire": canonical, "status": "completed"}

    write_down(
        api,
        [
            survey("one", "1"),
            survey("two", "2"),
            answers("old", f"{SURVEY}|1"),
            answers("new", f"{SURVEY}|2"),
            answers("any", SURVEY),
            answers("other", "https://elsewhere.example/Questionnaire/wellbeing"),
        ],
    )
    return api


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("QuestionnaireResponse?_id=old&_include=QuestionnaireResponse:questionnaire", ["Questionnaire/one"]),
        ("QuestionnaireResponse?_id=new&_include=QuestionnaireResponse:questionnaire", ["Questionnaire/two"]),
        (
            "QuestionnaireResponse?_id=any&_include=QuestionnaireResponse:questionnaire",
            ["Questionnaire/one", "Questionnaire/two"],
        ),
        ("QuestionnaireResponse?_id=other&_include=QuestionnaireResponse:questionnaire", []),
        (
            "Questionnaire?_id=one&_revinclude=QuestionnaireResponse:questionnaire",
            ["QuestionnaireResponse/old", "QuestionnaireResponse/any"],
        ),
    ],
)
def test_a_canonical_brings_along_what_has_that_url_and_version(
    surveys: httpx.Client, address: str, expected: list[str]
) -> None:
    assert included(got(surveys, f"/{address}")) == expected


# ---- bounds ----------------------------------------------------------------------------------------------------------


def test_more_than_may_come_along_is_cut_and_said(record: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    address = "/Patient?_id=ann&_revinclude=ChargeItem:subject"
    monkeypatch.setattr(includes, "INCLUDED_MAX", 2)
    assert (included(got(record, address)), outcomes(got(record, address))) == (["ChargeItem/a1", "ChargeItem/a2"], [])
    monkeypatch.setattr(includes, "INCLUDED_MAX", 1)
    found = got(record, address)
    assert included(found) == ["ChargeItem/a1"]
    assert [one["search"]["mode"] for one in found["entry"]] == ["match", "include", "outcome"]
    assert outcomes(found) == [
        "No more than 1 resources come along with a page; others that _include or _revinclude ask for are left out."
    ]
    assert found["total"] == 1


def test_references_are_followed_so_many_times_and_then_it_is_said(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = [
        reading(f"o{n}", "Patient/ann", "29463-7", hasMember=[{"reference": f"Observation/o{n + 1}"}]) for n in range(5)
    ]
    write_down(api, [*chain, reading("o5", "Patient/ann", "29463-7")])
    address = "/Observation?_id=o0&_include:iterate=Observation:has-member"
    everything = [f"Observation/o{n}" for n in range(1, 6)]
    assert (included(got(api, address)), outcomes(got(api, address))) == (everything, [])
    monkeypatch.setattr(includes, "ROUNDS_MAX", 3)
    found = got(api, address)
    assert included(found) == everything[:3]
    assert outcomes(found)[0].startswith("References are followed no more than 3 times;")


def test_references_in_a_ring_come_to_an_end(api: httpx.Client) -> None:
    ring = [
        reading(f"o{n}", "Patient/ann", "29463-7", hasMember=[{"reference": f"Observation/o{(n + 1) % 3}"}])
        for n in range(3)
    ]
    write_down(api, ring)
    found = got(api, "/Observation?_id=o0&_include:iterate=Observation:has-member")
    assert (included(found), outcomes(found)) == (["Observation/o1", "Observation/o2"], [])


# ---- with less of each resource --------------------------------------------------------------------------------------


def test_includes_do_not_go_with_a_summary_of_text(record: httpx.Client) -> None:
    address = "/ChargeItem?_id=a1&_summary=text"
    for more in ("&_include=ChargeItem:subject", "&_include=*"):
        found = problem(record.get(address + more))
        assert found[:2] == (400, "not-supported")
        assert "_summary=text" in found.text
    assert problem(record.get("/Patient?_id=ann&_summary=text&_revinclude=ChargeItem:subject"))[:2] == (
        400,
        "not-supported",
    )
    assert keys(got(record, address)) == ["ChargeItem/a1"]


@pytest.mark.parametrize("summary", ["true", "data"])
def test_what_is_included_is_summarised_like_the_matches(record: httpx.Client, summary: str) -> None:
    found = got(record, f"/ChargeItem?_id=a1&_include=ChargeItem:subject&_summary={summary}")
    assert included(found) == ["Patient/ann"]
    assert [[tag["code"] for tag in one["resource"]["meta"]["tag"]] for one in found["entry"]] == [["SUBSETTED"]] * 2


def test_a_list_of_elements_is_of_the_matches_alone(record: httpx.Client) -> None:
    found = got(record, "/ChargeItem?_id=a1&_include=ChargeItem:subject&_elements=status")
    match, come = (one["resource"] for one in found["entry"])
    assert sorted(match) == ["code", "id", "meta", "resourceType", "status", "subject"]
    assert come == got(record, "/Patient/ann")


def test_a_count_brings_nothing_along(record: httpx.Client) -> None:
    found = got(record, "/ChargeItem?_id=a1&_include=ChargeItem:subject&_summary=count")
    assert (found["total"], "entry" in found) == (1, False)

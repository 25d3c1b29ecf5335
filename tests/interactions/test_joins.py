"""Conditions on other resources: chaining, _has, _list (R4 §3.1.1.4.15, §3.1.1.4.16, §3.1.1.5.12).

Each case is asked twice: as a few resources are, whose keys are listed, and as very many are, which are looked at in batches.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import httpx
import pytest

from phb_fhir.app import at_work
from phb_fhir.interactions import joins
from phb_fhir.outcome import Refusal, Rejected
from phb_fhir.query import Key, Linked, Query
from phb_fhir.store import found
from tests.builders import NHS_NUMBER, bundle, entry, person, problem, purchase
from tests.fresh import write_down
from tests.interactions.test_history import got, link, pages
from tests.interactions.test_search import FORM, keys, outcomes
from tests.running import RunningServer

BOUNDS = {
    "few": {},
    # where so many must be led to, no page begins with what points
    "many": {"JOINED_MAX": 0, "POINTING_MAX": 0, "FEW": 0, "BATCH": 2, "LED_MAX": 50_000},
    "very many": {
        "JOINED_MAX": 0,
        "POINTING_MAX": 0,
        "POINTED_MAX": 0,
        "FEW": 0,
        "BATCH": 1,
        "LED_MAX": 50_000,
    },
    "few after all": {"JOINED_MAX": 2, "FEW": 0, "RARE": 1, "BATCH": 3, "LED_MAX": 50_000},
    "from what points": {"JOINED_MAX": 0, "FEW": 0, "LED_MAX": 1},
    "from what points, in vain": {"JOINED_MAX": 0, "FEW": 0, "BATCH": 1},
}


def reading(id_: str, subject: str, code: str, value: float = 1, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": subject},
        "valueQuantity": {"value": value, "system": "http://unitsofmeasure.org", "code": "kg"},
        **more,
    }


RECORD: list[dict[str, Any]] = [
    {"resourceType": "Organization", "id": "trust", "name": "Northern Trust", "active": True},
    {"resourceType": "Organization", "id": "ward", "name": "Ward 7", "partOf": {"reference": "Organization/trust"}},
    {"resourceType": "Practitioner", "id": "grey", "name": [{"family": "Grey"}]},
    person("9000000009", id="ann", gender="female", managingOrganization={"reference": "Organization/ward"}),
    person("9000000017", id="bob", gender="male", generalPractitioner=[{"reference": "Practitioner/grey"}]),
    person("9000000025", id="cleo", gender="female", name=[{"family": "Nowak"}]),
    person("9000000033", id="dan", gender="male", name=[{"family": "Nowak"}]),
    {"resourceType": "Group", "id": "all", "type": "person", "actual": True, "name": "Nowak"},
    purchase("P-1", id="a1", subject={"reference": "Patient/ann"}, status="billable"),
    purchase("P-2", id="a2", subject={"reference": "Patient/ann"}, status="billed"),
    purchase("P-3", id="b1", subject={"reference": "Patient/bob"}, status="billable"),
    purchase("P-4", id="c1", subject={"reference": "Patient/cleo"}, status="billed"),
    purchase("P-5", id="g1", subject={"reference": "Group/all"}, status="billed"),
    purchase("P-6", id="v1", subject={"reference": "Patient/dan/_history/1"}, status="billed"),
    purchase("P-7", id="x1", subject={"reference": "http://elsewhere.example/fhir/Patient/ann"}),
    purchase("P-8", id="y1", subject={"identifier": {"system": NHS_NUMBER, "value": "9000000009"}}),
    reading("w1", "Patient/ann", "29463-7", 60, performer=[{"reference": "Practitioner/grey"}]),
    reading("w2", "Patient/bob", "29463-7", 90),
    reading("h1", "Patient/bob", "8302-2", 180),
    reading("h2", "Patient/dan", "8302-2", 170),
    {
        "resourceType": "List",
        "id": "watched",
        "status": "current",
        "mode": "changes",
        "entry": [
            {"item": {"reference": "Patient/bob"}},
            {"item": {"reference": "Patient/cleo"}, "deleted": True},
            {"item": {"reference": "Patient/dan/_history/1"}},
            {"item": {"reference": "Patient/nobody"}},
            {"item": {"reference": "ChargeItem/a1"}},
            {"item": {"display": "somebody"}},
        ],
    },
]


@pytest.fixture(params=BOUNDS)
def record(request: pytest.FixtureRequest, api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> httpx.Client:
    for name, most in BOUNDS[request.param].items():
        monkeypatch.setattr(joins, name, most)
    write_down(api, RECORD)
    return api


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        # chained (R4 §3.1.1.4.15)
        ("ChargeItem?subject:Patient.gender=female", ["a1", "a2", "c1"]),
        ("ChargeItem?subject:Patient.gender=male", ["b1", "v1"]),
        ("ChargeItem?subject:Patient.gender=other", []),
        ("ChargeItem?patient.gender=female", ["a1", "a2", "c1"]),
        ("ChargeItem?subject:Patient.name=nowak", ["c1", "v1"]),
        (f"ChargeItem?subject:Patient.identifier={NHS_NUMBER}|9000000009", ["a1", "a2"]),
        ("ChargeItem?subject:Patient.gender=female&status=billed", ["a2", "c1"]),
        ("ChargeItem?subject:Patient.gender=female&subject:Patient.name=nowak", ["c1"]),
        ("ChargeItem?subject:Patient.gender=female,male", ["a1", "a2", "b1", "c1", "v1"]),
        ("ChargeItem?subject:Patient.gender:not=female", ["b1", "v1"]),
        ("ChargeItem?subject:Patient._id=ann", ["a1", "a2"]),
        ("ChargeItem?subject:Patient.organization:missing=false", ["a1", "a2"]),
        # of whichever type it points to
        ("ChargeItem?subject.identifier=9000000009", ["a1", "a2"]),
        ("ChargeItem?subject._id=ann,all", ["a1", "a2", "g1"]),
        # over several links
        ("ChargeItem?subject:Patient.organization.name=ward", ["a1", "a2"]),
        ("ChargeItem?subject:Patient.organization.partof.name=northern", ["a1", "a2"]),
        ("ChargeItem?subject:Patient.organization.partof.name=southern", []),
        ("ChargeItem?subject:Patient.general-practitioner:Practitioner.family=grey", ["b1"]),
        # reverse chained (R4 §3.1.1.4.16)
        ("Patient?_has:Observation:patient:code=29463-7", ["ann", "bob"]),
        ("Patient?_has:Observation:patient:code=http://loinc.org|8302-2", ["bob", "dan"]),
        ("Patient?_has:Observation:patient:code=1234-5", []),
        ("Patient?_has:Observation:patient:code=29463-7&_has:Observation:patient:code=8302-2", ["bob"]),
        ("Patient?_has:Observation:patient:code=29463-7,8302-2", ["ann", "bob", "dan"]),
        ("Patient?_has:Observation:patient:code=29463-7&gender=male", ["bob"]),
        ("Patient?_has:Observation:patient:value-quantity=gt80&gender=male", ["bob", "dan"]),
        ("Patient?_has:Observation:patient:code=29463-7&_has:ChargeItem:patient:status=billed", ["ann"]),
        ("Practitioner?_has:Observation:performer:code=29463-7", ["grey"]),
        # a _has in a _has, a chain in a _has, and a _has at the end of a chain
        ("Organization?_has:Patient:organization:_has:Observation:patient:code=29463-7", ["ward"]),
        ("Organization?_has:Patient:organization:_has:Observation:patient:code=8302-2", []),
        ("Patient?_has:Observation:patient:performer:Practitioner.family=grey", ["ann"]),
        ("ChargeItem?subject:Patient._has:Observation:patient:code=8302-2", ["b1", "v1"]),
        # joined by or and not
        ("ChargeItem?_filter=status eq billed and patient.gender eq female", ["a2", "c1"]),
        ("ChargeItem?_filter=status eq billed or patient.gender eq female", ["a1", "a2", "c1", "g1", "v1"]),
        ("ChargeItem?_filter=not (patient.gender eq female)", ["b1", "g1", "v1", "x1", "y1"]),
        # lists
        ("Patient?_list=watched", ["bob", "dan"]),
        ("ChargeItem?_list=watched", ["a1"]),
        ("Patient?_list=watched&gender=male&_has:Observation:patient:code=29463-7", ["bob"]),
        ("Observation?_list=watched", []),
        ("ChargeItem?subject:Patient._list=watched", ["b1", "v1"]),
    ],
)
def test_a_condition_on_other_resources_finds_what_keeps_it(
    record: httpx.Client, address: str, expected: list[str]
) -> None:
    type_, _, query = address.partition("?")
    wanted = [f"{type_}/{id_}" for id_ in expected]
    assert keys(got(record, f"/{address}")) == wanted
    assert keys(record.post(f"/{type_}/_search", content=query, headers=FORM).json()) == wanted
    exact = got(record, f"/{address}&_total=accurate")
    assert (keys(exact), exact["total"]) == (wanted, len(wanted))
    assert got(record, f"/{address}&_count=0")["total"] == len(wanted)
    walked = list(pages(record, f"/{address}&_count=1"))
    assert list(itertools.chain(*map(keys, walked))) == wanted
    back = list(pages(record, link(walked[-1], "self"), "previous"))
    assert list(itertools.chain(*(keys(page)[::-1] for page in back))) == wanted[::-1]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("_id", ["a1", "a2", "c1"]),
        ("-_id", ["c1", "a2", "a1"]),
        ("-identifier", ["c1", "a2", "a1"]),
        ("status,-_id", ["a1", "c1", "a2"]),
    ],
)
def test_what_keeps_a_condition_on_others_comes_in_the_order_asked_for(
    record: httpx.Client, order: str, expected: list[str]
) -> None:
    address = f"/ChargeItem?subject:Patient.gender=female&_sort={order}"
    wanted = [f"ChargeItem/{id_}" for id_ in expected]
    assert keys(got(record, address)) == wanted
    walked = list(pages(record, f"{address}&_count=1"))
    assert list(itertools.chain(*map(keys, walked))) == wanted
    back = list(pages(record, link(walked[-1], "self"), "previous"))
    assert list(itertools.chain(*(keys(page)[::-1] for page in back))) == wanted[::-1]


def test_a_changed_target_is_found_by_what_it_is_now(record: httpx.Client) -> None:
    record.put("/Patient/cleo", json=person("9000000025", id="cleo", gender="male"))
    assert keys(got(record, "/ChargeItem?subject:Patient.gender=female")) == ["ChargeItem/a1", "ChargeItem/a2"]
    record.delete("/Patient/ann")
    assert keys(got(record, "/ChargeItem?subject:Patient.gender=female")) == []


def test_what_was_deleted_points_to_nobody(record: httpx.Client) -> None:
    record.delete("/Observation/w1")
    assert keys(got(record, "/Patient?_has:Observation:patient:code=29463-7")) == ["Patient/bob"]


# ---- bounds ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def crowd(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> httpx.Client:
    """Thirty people, the tenth and the twentieth of them women, each with a purchase; lists of three make many."""
    monkeypatch.setattr(joins, "JOINED_MAX", 1)
    monkeypatch.setattr(joins, "BATCH", 3)
    numbers = range(1, 31)
    people = [person(id=f"p{n:02}", gender="female" if n in (10, 20) else "male") for n in numbers]
    write_down(api, people + [purchase(id=f"c{n:02}", subject={"reference": f"Patient/p{n:02}"}) for n in numbers])
    return api


WOMENS = ["ChargeItem/c10", "ChargeItem/c20"]
BY_GENDER = "/ChargeItem?subject:Patient.gender=female"


def test_a_page_ends_after_so_many_candidates_and_says_where_to_go_on(
    crowd: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joins, "CANDIDATES_MAX", 6)
    walked = list(pages(crowd, f"{BY_GENDER}&_count=2"))
    assert list(itertools.chain(*map(keys, walked))) == WOMENS
    assert [len(keys(page)) for page in walked] == [0, 1, 0, 1, 0, 0][: len(walked)]
    assert all(link(page, "previous") for page in walked[1:])
    back = list(pages(crowd, link(walked[-1], "self"), "previous"))
    assert list(itertools.chain(*(keys(page)[::-1] for page in back))) == WOMENS[::-1]


def test_a_total_that_takes_too_long_is_refused(
    crowd: httpx.Client, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joins, "_COUNTED", 1)
    asked = Query(("ChargeItem",), Linked("subject", ("Patient",), Key(("gender=*female",))))

    async def count(most_s: float) -> int:
        async with at_work(server.settings) as context:
            found = joins.Joins(context.reader, context.asking())
            return await found.count(await found.resolve(asked), most_s)

    assert got(crowd, f"{BY_GENDER}&_total=accurate")["total"] == asyncio.run(count(60)) == 2
    with pytest.raises(Rejected, match="which takes too long") as refused:
        asyncio.run(count(0))
    assert refused.value.refusal is Refusal.UNAVAILABLE


def test_a_total_that_costs_a_look_at_each_is_told_where_it_is_asked_for(crowd: httpx.Client) -> None:
    assert "total" not in got(crowd, f"{BY_GENDER}&_count=1")
    assert got(crowd, f"{BY_GENDER}&_count=1&_total=accurate")["total"] == 2
    assert "total" not in got(crowd, f"{BY_GENDER}&_total=none")


def test_a_total_is_told_unasked_where_the_page_holds_all_of_it(crowd: httpx.Client) -> None:
    assert got(crowd, BY_GENDER)["total"] == 2
    assert got(crowd, "/ChargeItem?subject:Patient.gender=female&_id=c10")["total"] == 1


def test_more_joins_than_are_taken_are_refused(api: httpx.Client) -> None:
    many = "&".join(["subject:Patient.gender=female"] * (joins.JOINS_MAX + 1))
    found = problem(api.get(f"/ChargeItem?{many}"))
    assert found[:3] == (400, "too-costly", "The search has 51 conditions on other resources; at most 50 are taken.")
    assert api.get(f"/ChargeItem?{many.partition('&')[2]}").status_code == 200


def test_a_list_that_is_not_there_has_nothing(api: httpx.Client) -> None:
    assert got(api, "/Patient?_list=watched")["total"] == 0
    write_down(api, RECORD)
    assert got(api, "/Patient?_list=watched")["total"] > 0
    api.delete("/List/watched")
    assert got(api, "/Patient?_list=watched")["total"] == 0


# ---- conditional interactions ----------------------------------------------------------------------------------------

ANNS = "subject:Patient.identifier=9000000009&status=billed"
NOBODYS = "subject:Patient.identifier=9000000041&status=billed"


def test_a_conditional_update_by_a_chain_changes_the_one_that_matches(record: httpx.Client) -> None:
    changed = purchase("P-2", subject={"reference": "Patient/ann"}, status="aborted")
    answer = record.put(f"/ChargeItem?{ANNS}", json=changed)
    assert (answer.status_code, answer.json()["id"]) == (200, "a2")
    created = record.put(f"/ChargeItem?{NOBODYS}", json=changed)
    assert created.status_code == 201


def test_a_conditional_update_by_a_chain_that_matches_several_is_refused(record: httpx.Client) -> None:
    answer = record.put("/ChargeItem?subject:Patient.gender=female", json=purchase())
    assert problem(answer)[:2] == (412, "multiple-matches")


def test_a_conditional_create_by_a_chain_makes_nothing_that_is_there(record: httpx.Client) -> None:
    ask = {"If-None-Exist": ANNS}
    assert record.post("/ChargeItem", json=purchase(), headers=ask).status_code == 200
    assert record.post("/ChargeItem", json=purchase(), headers={"If-None-Exist": NOBODYS}).status_code == 201


def test_a_conditional_delete_by_has_takes_away_what_matches(record: httpx.Client) -> None:
    assert record.delete("/Patient?_has:Observation:patient:code=8302-2").status_code == 204
    assert keys(got(record, "/Patient")) == ["Patient/ann", "Patient/cleo"]


def test_a_conditional_reference_by_a_chain_means_what_is_stored(record: httpx.Client) -> None:
    reference = "Patient?organization.name=ward"
    made = record.post(
        "", json=bundle("transaction", entry("POST", "ChargeItem", purchase(subject={"reference": reference})))
    )
    assert made.status_code == 200, made.text
    location = made.json()["entry"][0]["response"]["location"].partition("/_history/")[0]
    assert got(record, location)["subject"] == {"reference": "Patient/ann"}


def test_a_transaction_that_writes_what_its_own_criteria_match_is_refused(record: httpx.Client) -> None:
    mine = purchase(id="new", subject={"reference": "Patient/bob"}, status="billed")
    unless = "subject:Patient.identifier=9000000017&status=billed"
    entries = [entry("PUT", "ChargeItem/new", mine), entry("POST", "ChargeItem", purchase(), ifNoneExist=unless)]
    answer = record.post("", json=bundle("transaction", *entries))
    assert problem(answer)[:2] == (400, "duplicate")


def test_a_conditional_write_that_cannot_be_decided_within_bounds_is_refused(
    crowd: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joins, "CANDIDATES_MAX", 6)
    found = problem(crowd.put("/ChargeItem?subject:Patient.gender=female", json=purchase()))
    assert found[:2] == (400, "too-costly")
    kept = crowd.put("/ChargeItem?subject:Patient.gender=female&_id=c10", json=purchase(id="c10", status="billed"))
    assert kept.status_code == 200


# ---- what must be read -----------------------------------------------------------------------------------------------


def test_what_must_be_read_is_looked_at_together_with_everything_else(record: httpx.Client) -> None:
    record.put(
        "/ChargeItem/b1", json=purchase("P-3", id="b1", subject={"reference": "Patient/bob"}, code={"text": "Swimming"})
    )
    assert keys(got(record, "/ChargeItem?_content=swimming")) == ["ChargeItem/b1"]
    assert keys(got(record, "/ChargeItem?_content=swimming&subject:Patient.gender=male")) == ["ChargeItem/b1"]
    assert keys(got(record, "/ChargeItem?_content=swimming&subject:Patient.gender=female")) == []
    assert outcomes(got(record, "/ChargeItem?_content=swimming")) == []


# ---- what a resource contains ----------------------------------------------------------------------------------------


def request(id_: str, code: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest",
        "id": id_,
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/ann"},
        "medicationReference": {"reference": "#med"},
        "contained": [
            {"resourceType": "Medication", "id": "med", "code": {"coding": [{"code": code}]}, **more},
            {"resourceType": "Medication", "id": "other", "code": {"coding": [{"code": "unused"}]}},
        ],
        "note": [{"text": "see #other"}],
        "supportingInformation": [{"reference": "#other"}],
    }


@pytest.fixture
def medicines(record: httpx.Client) -> httpx.Client:
    outside = {"resourceType": "Medication", "id": "stock", "code": {"coding": [{"code": "paste"}]}}
    bought = request("out", "x")
    bought |= {"medicationReference": {"reference": "Medication/stock"}, "contained": [], "supportingInformation": []}
    del bought["contained"], bought["supportingInformation"], bought["note"]
    made = {"manufacturer": {"reference": "Organization/trust"}}
    write_down(record, [outside, request("in", "paste"), request("pill", "pill", **made), bought])
    return record


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("medication.code=paste", ["in", "out"]),
        ("medication:Medication.code=pill", ["pill"]),
        ("medication.code=unused", []),  # it is there, but not as the medication
        ("medication.code:not=paste", ["pill"]),
        ("medication.code=paste&patient.gender=female", ["in", "out"]),
        ("medication.manufacturer.name=northern", ["pill"]),
        ("medication._id=med", []),  # an id inside means nothing outside
    ],
)
def test_a_chain_is_kept_by_what_a_resource_contains(medicines: httpx.Client, query: str, expected: list[str]) -> None:
    found = got(medicines, f"/MedicationRequest?{query}")
    assert keys(found) == [f"MedicationRequest/{id_}" for id_ in expected]
    assert keys(got(medicines, "/Medication?code=paste")) == ["Medication/stock"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("composition.status=final", ["letter"]),
        ("composition:Composition.title=discharge", ["letter"]),
        ("composition.status=preliminary", []),
        ("message.event=sent", ["post"]),
        ("composition=Composition/inner", ["letter"]),
    ],
)
def test_a_chain_is_kept_by_what_a_document_or_a_message_begins_with(
    record: httpx.Client, query: str, expected: list[str]
) -> None:
    """R4, Bundle-composition and Bundle-message: "this parameter provides access to search its contents"."""
    composition = {
        "resourceType": "Composition",
        "id": "inner",
        "status": "final",
        "type": {"text": "Letter"},
        "date": "2026-01-01",
        "author": [{"display": "Dr Bell"}],
        "title": "Discharge",
    }
    header = {
        "resourceType": "MessageHeader",
        "eventCoding": {"system": "http://example.org/events", "code": "sent"},
        "source": {"endpoint": "http://example.org/app"},
    }
    letter = {
        "resourceType": "Bundle",
        "id": "letter",
        "type": "document",
        "identifier": {"system": "http://example.org/letters", "value": "1"},
        "timestamp": "2026-01-01T10:00:00Z",
        "entry": [{"fullUrl": "http://example.org/fhir/Composition/inner", "resource": composition}],
    }
    post = {
        "resourceType": "Bundle",
        "id": "post",
        "type": "message",
        "entry": [{"fullUrl": "urn:uuid:5a7e4f0c-0f3e-4a55-8b43-9a2f1d0f3b11", "resource": header}],
    }
    write_down(record, [letter, post])
    assert keys(got(record, f"/Bundle?{query}")) == [f"Bundle/{id_}" for id_ in expected]


# ---- what no index leads to ------------------------------------------------------------------------------------------

UNSERVED = "subject:Patient.name:contains=ars"


def test_a_condition_on_many_others_that_no_index_serves_is_refused(
    record: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keys(got(record, f"/ChargeItem?{UNSERVED}")) == ["ChargeItem/a1", "ChargeItem/a2", "ChargeItem/b1"]
    monkeypatch.setattr(found, "SCANNED_MAX", -1)  # sizes are remembered for a while, so as if there were many
    for address in (f"/ChargeItem?{UNSERVED}", "/Organization?_has:Patient:organization:name:contains=ars"):
        assert problem(record.get(address))[:2] == (400, "too-costly")
    assert problem(record.put(f"/ChargeItem?{UNSERVED}", json=purchase()))[:2] == (400, "too-costly")
    assert problem(record.delete("/ChargeItem?_filter=not (status eq billed)"))[:2] == (400, "too-costly")
    assert keys(got(record, "/ChargeItem?subject:Patient.name=mars")) == [
        "ChargeItem/a1",
        "ChargeItem/a2",
        "ChargeItem/b1",
    ]

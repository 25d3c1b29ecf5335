"""search within a compartment (R4 §2.10): `Patient/1/ChargeItem`, `Patient/1/*`, by GET and by form."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import pytest

from tests.builders import budget, bundle, entry, person, problem, purchase, task
from tests.fresh import write_down
from tests.interactions.test_history import got, link, pages
from tests.interactions.test_joins import reading
from tests.interactions.test_search import FORM, keys

RECORD: list[dict[str, Any]] = [
    {"resourceType": "Practitioner", "id": "grey", "name": [{"family": "Grey"}]},
    person(id="ann", generalPractitioner=[{"reference": "Practitioner/grey"}]),
    person(id="bob", link=[{"other": {"reference": "Patient/ann"}, "type": "seealso"}]),
    budget("Patient/ann", id="a"),
    budget("Patient/bob", id="b"),
    purchase("P-1", id="a1", subject={"reference": "Patient/ann"}, status="billable"),
    purchase("P-2", id="a2", subject={"reference": "Patient/ann"}, status="billed"),
    purchase("P-3", id="b1", subject={"reference": "Patient/bob"}, enterer={"reference": "Practitioner/grey"}),
    reading("w1", "Patient/ann", "29463-7", performer=[{"reference": "Practitioner/grey"}]),
    reading("w2", "Patient/bob", "29463-7", performer=[{"reference": "Patient/ann"}]),
    task(id="t", **{"for": {"reference": "Patient/ann"}}),
]


@pytest.fixture
def record(api: httpx.Client) -> httpx.Client:
    write_down(api, RECORD)
    return api


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("Patient/ann/ChargeItem", ["ChargeItem/a1", "ChargeItem/a2"]),
        ("Patient/ann/ChargeItem?status=billed", ["ChargeItem/a2"]),
        ("Patient/ann/ChargeItem?subject=Patient/bob", []),
        ("Patient/bob/ChargeItem", ["ChargeItem/b1"]),
        ("Patient/nobody/ChargeItem", []),
        ("Patient/ann/Account", ["Account/a"]),
        ("Patient/ann/Observation", ["Observation/w1", "Observation/w2"]),  # as subject, and as performer
        ("Patient/bob/Observation", ["Observation/w2"]),
        ("Patient/ann/Patient", ["Patient/ann", "Patient/bob"]),  # itself, and who is linked to it
        ("Practitioner/grey/Observation", ["Observation/w1"]),
        ("Practitioner/grey/ChargeItem", ["ChargeItem/b1"]),
        ("Patient/bob/*", ["Patient/bob", "Account/b", "ChargeItem/b1", "Observation/w2"]),
        ("Patient/bob/*?_type=Account,ChargeItem", ["Account/b", "ChargeItem/b1"]),
        ("Patient/bob/*?_lastUpdated=gt2030", []),
        ("Patient/bob/*?_id=b,w2,a", ["Account/b", "Observation/w2"]),
        ("Practitioner/grey/*", ["Practitioner/grey", "Patient/ann", "ChargeItem/b1", "Observation/w1"]),
    ],
)
def test_a_search_in_a_compartment_finds_what_is_in_it(
    record: httpx.Client, server: Any, address: str, expected: list[str]
) -> None:
    found = got(record, f"/{address}")
    assert (keys(found), found["total"]) == (expected, len(expected))
    assert link(found, "self") == f"{server.base}/{address}"
    path, _, query = address.partition("?")
    assert record.post(f"/{path}/_search", content=query, headers=FORM).json() == found
    walked = list(pages(record, f"/{address}{'&' if query else '?'}_count=1"))
    assert list(itertools.chain(*map(keys, walked))) == expected


def test_a_page_of_one_compartment_is_no_page_of_another(record: httpx.Client) -> None:
    token = link(got(record, "/Patient/ann/ChargeItem?_count=1"), "next").partition("_page=")[2]
    assert problem(record.get(f"/Patient/bob/ChargeItem?_count=1&_page={token}"))[:2] == (400, "invalid")
    assert problem(record.get(f"/ChargeItem?_count=1&_page={token}"))[:2] == (400, "invalid")
    assert keys(got(record, f"/Patient/ann/ChargeItem?_count=1&_page={token}")) == ["ChargeItem/a2"]


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("Patient/ann/Task", "No Task is ever in the compartment of a Patient."),
        ("Patient/ann/Organization", "No Organization is ever in the compartment of a Patient."),
        ("Patient/ann/Chargeitem", "'Chargeitem' is not a resource type of FHIR R4. Did you mean 'ChargeItem'?"),
        (
            "Account/a/ChargeItem",
            "There is no Account compartment; there are those of Device, Encounter, Patient, Practitioner, RelatedPerson.",
        ),
        ("Account/a/*", "There is no Account compartment; "),
        ("Pateint/ann/ChargeItem", "'Pateint' is not a resource type of FHIR R4. Did you mean 'Patient'?"),
    ],
)
@pytest.mark.parametrize("by", ["GET", "POST"])
def test_a_compartment_that_cannot_be_is_told_of(record: httpx.Client, by: str, address: str, text: str) -> None:
    answer = record.get(f"/{address}") if by == "GET" else record.post(f"/{address}/_search", headers=FORM)
    found = problem(answer)
    assert found[:2] == (404, "not-supported")
    assert text in found.text


def test_a_compartment_is_for_searching_alone(record: httpx.Client) -> None:
    answer = record.post("/Patient/ann/ChargeItem", json=purchase())
    assert problem(answer)[:2] == (405, "not-supported")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


def test_a_parameter_that_a_type_does_not_have_is_refused_in_a_compartment_too(record: httpx.Client) -> None:
    assert problem(record.get("/Patient/ann/ChargeItem?shoe-size=5"))[:2] == (400, "not-supported")
    assert problem(record.get("/Patient/ann/*?status=billed"))[:2] == (400, "not-supported")
    assert problem(record.get("/Patient/ann/ChargeItem?_type=Account"))[:2] == (400, "not-supported")


def test_a_compartment_follows_its_references(record: httpx.Client) -> None:
    record.put("/ChargeItem/a1", json=purchase("P-1", id="a1", subject={"reference": "Patient/bob"}))
    assert keys(got(record, "/Patient/ann/ChargeItem")) == ["ChargeItem/a2"]
    assert keys(got(record, "/Patient/bob/ChargeItem")) == ["ChargeItem/a1", "ChargeItem/b1"]
    record.delete("/ChargeItem/a1")
    assert keys(got(record, "/Patient/bob/ChargeItem")) == ["ChargeItem/b1"]


def test_a_new_resource_is_in_its_own_compartment_under_the_id_it_was_given(record: httpx.Client) -> None:
    made = record.post("/Patient", json=person()).json()["id"]
    assert keys(got(record, f"/Patient/{made}/*")) == [f"Patient/{made}"]


def test_a_batch_may_search_in_a_compartment(record: httpx.Client) -> None:
    for kind in ("batch", "transaction"):
        answer = record.post("", json=bundle(kind, entry("GET", "Patient/ann/ChargeItem?status=billed"))).json()
        assert keys(answer["entry"][0]["resource"]) == ["ChargeItem/a2"]

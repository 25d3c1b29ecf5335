"""`_has` where very many point (R4 §3.1.1.4.16): pages that begin with what points show everybody once, in one order.

Whom something points to stands where the first that points to them does, as it was when the first page was read.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phb_fhir.interactions import joins
from phb_fhir.store.plan import MERGED_MAX
from tests.builders import person, problem
from tests.fresh import write_down
from tests.interactions.test_history import got, link, pages
from tests.interactions.test_joins import reading
from tests.interactions.test_search import keys

WEIGHED = "/Patient?_has:Observation:patient:code=29463-7"
PEOPLE = 8
# whom each reading is of, in the order they were made; the third and the sixth are of another kind
OF = (5, 2, 7, 5, 0, 1, 2, 2, 3, 0, 5)
OTHER = (2, 5)
WEIGHTS = "http://sets.example/weights"
IN_ORDER = [f"Patient/p{n}" for n in (5, 2, 0, 3)]


@pytest.fixture
def many(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> httpx.Client:
    """A server to which these few are many."""
    monkeypatch.setattr(joins, "JOINED_MAX", 0)
    monkeypatch.setattr(joins, "FEW", 0)
    return api


@pytest.fixture
def weighed(many: httpx.Client) -> httpx.Client:
    write_down(many, [person(id=f"p{n}", gender="male" if n % 2 else "female") for n in range(PEOPLE)])
    for number, who in enumerate(OF):
        write_down(many, [reading(f"w{number}", f"Patient/p{who}", "8302-2" if number in OTHER else "29463-7")])
    return many


def walked(api: httpx.Client, address: str, relation: str = "next") -> list[str]:
    """All that the pages show; each page's own order turned round where they are walked backwards."""
    step = -1 if relation == "previous" else 1
    return [key for page in pages(api, address, relation) for key in keys(page)[::step]]


@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_everybody_that_is_pointed_to_is_met_once_forwards_and_backwards(weighed: httpx.Client, size: int) -> None:
    met = list(pages(weighed, f"{WEIGHED}&_count={size}"))
    assert list(itertools.chain(*map(keys, met))) == IN_ORDER
    assert [len(keys(page)) for page in met[:-1]] == [size] * (len(met) - 1)
    assert walked(weighed, link(met[-1], "self"), "previous") == IN_ORDER[::-1]
    assert got(weighed, f"{WEIGHED}&_count={size}&_total=accurate")["total"] == len(IN_ORDER)


def test_other_conditions_on_them_are_kept(weighed: httpx.Client) -> None:
    assert walked(weighed, f"{WEIGHED}&gender:not=male&_count=1") == ["Patient/p2", "Patient/p0"]
    both = f"{WEIGHED}&_has:Observation:patient:code=8302-2"
    assert walked(weighed, f"{both}&_count=1") == []
    assert sorted(walked(weighed, f"{WEIGHED}&_sort=-_id&_count=1")) == sorted(IN_ORDER)


def test_several_that_one_resource_points_to_are_met_once_each(many: httpx.Client) -> None:
    write_down(many, [person(id=f"p{n}") for n in range(PEOPLE)])

    def group(id_: str, *members: int) -> dict[str, Any]:
        listed = [{"entity": {"reference": one}} for one in (*(f"Patient/p{n}" for n in members), "Practitioner/grey")]
        return {"resourceType": "Group", "id": id_, "type": "person", "actual": True, "member": listed}

    for one in (group("g1", 6, 1, 4), group("g2"), group("g3", 1, 0, 4), group("g4", 4), group("g5", 7)):
        write_down(many, [one])
    expected = [f"Patient/p{n}" for n in (1, 4, 6, 0, 7)]
    address = "/Patient?_has:Group:member:type=person"
    for size in (1, 2, 10):
        met = list(pages(many, f"{address}&_count={size}"))
        assert list(itertools.chain(*map(keys, met))) == expected
        assert walked(many, link(met[-1], "self"), "previous") == expected[::-1]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(of=st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=12), size=st.integers(1, 4))
def test_whoever_points_to_whom_the_pages_show_the_same(
    many: httpx.Client, of: list[tuple[int, bool]], size: int
) -> None:
    for one in resources(many, "/Observation?_count=100"):
        assert many.delete(f"/Observation/{one['id']}").status_code == 204
    write_down(many, [person(id=f"p{n}") for n in range(6)])
    for number, (who, is_weight) in enumerate(of):
        made = reading("", f"Patient/p{who}", "29463-7" if is_weight else "8302-2", number)
        assert many.post("/Observation", json={k: v for k, v in made.items() if k != "id"}).status_code == 201
    expected = list(dict.fromkeys(f"Patient/p{who}" for who, is_weight in of if is_weight))
    met = list(pages(many, f"{WEIGHED}&_count={size}"))
    assert list(itertools.chain(*map(keys, met))) == expected
    assert walked(many, link(met[-1], "self"), "previous") == expected[::-1]


def resources(api: httpx.Client, address: str) -> list[dict[str, Any]]:
    return [one["resource"] for one in got(api, address).get("entry", [])]


# ---- while others write ----------------------------------------------------------------------------------------------


def test_who_was_shown_is_not_shown_again_when_what_pointed_to_them_first_is_gone(weighed: httpx.Client) -> None:
    first = got(weighed, f"{WEIGHED}&_count=1")
    assert keys(first) == ["Patient/p5"]
    assert weighed.delete("/Observation/w0").status_code == 204
    assert walked(weighed, link(first, "next")) == IN_ORDER[1:]
    # … and a new search has them where they stand now
    assert walked(weighed, f"{WEIGHED}&_count=1") == [f"Patient/p{n}" for n in (2, 5, 0, 3)]


def test_who_is_still_to_come_is_not_lost_when_something_earlier_points_to_them(weighed: httpx.Client) -> None:
    first = got(weighed, f"{WEIGHED}&_count=2")
    assert keys(first) == IN_ORDER[:2]
    # an older reading becomes one of the weights, of somebody whose turn has not come
    assert weighed.put("/Observation/w2", json=reading("w2", "Patient/p3", "29463-7")).status_code == 200
    assert walked(weighed, link(first, "next")) == IN_ORDER[2:]
    assert walked(weighed, f"{WEIGHED}&_count=2") == [f"Patient/p{n}" for n in (5, 2, 3, 0)]


def test_who_was_deleted_meanwhile_is_left_out(weighed: httpx.Client) -> None:
    first = got(weighed, f"{WEIGHED}&_count=2")
    assert weighed.delete("/Patient/p0").status_code == 204
    assert walked(weighed, link(first, "next")) == IN_ORDER[3:]


def test_a_page_goes_on_in_its_order_when_they_have_become_few(
    weighed: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = got(weighed, f"{WEIGHED}&_count=1")
    monkeypatch.undo()
    assert walked(weighed, link(first, "next")) == IN_ORDER[1:]
    # few are found and listed, in the order in which they were made
    assert walked(weighed, f"{WEIGHED}&_count=1") == sorted(IN_ORDER)


# ---- where it does not begin there -----------------------------------------------------------------------------------


def test_where_another_condition_leads_to_few_it_begins_with_those(weighed: httpx.Client) -> None:
    assert walked(weighed, f"{WEIGHED}&gender=male&_count=1") == ["Patient/p3", "Patient/p5"]


def test_where_most_of_what_points_leads_to_nobody_new_it_begins_with_the_candidates(
    weighed: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joins, "BATCH", 2)
    monkeypatch.setattr(joins, "RARE", 0)
    assert walked(weighed, f"{WEIGHED}&_count=4") == sorted(IN_ORDER)


def test_where_very_much_points_the_first_candidates_are_looked_at_before(
    weighed: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joins, "PROBED_MAX", 1)
    assert walked(weighed, f"{WEIGHED}&_count=3") == sorted(IN_ORDER)
    # … unless they do not fill a page
    monkeypatch.setattr(joins, "BATCH", 1)
    assert walked(weighed, f"{WEIGHED}&_count=3") == IN_ORDER


def test_an_explanation_tells_what_a_page_begins_with(weighed: httpx.Client) -> None:
    assert explained(weighed, WEIGHED)["begins_with"] == "what points: Observation"
    assert "begins_with" not in explained(weighed, f"{WEIGHED}&gender=male")


def explained(api: httpx.Client, address: str) -> dict[str, Any]:
    (said,) = (one for one in resources(api, f"{address}&_explain=true") if one["resourceType"] == "OperationOutcome")
    found: dict[str, Any] = json.loads(said["issue"][0]["diagnostics"])
    return found


def test_a_place_that_no_page_can_go_on_from_is_gone(weighed: httpx.Client) -> None:
    """A value set gets so many codes, while somebody turns the pages, that what has one of them is not in one order any more."""
    put_value_set(weighed, "29463-7")
    address = f"/Patient?_has:Observation:patient:code:in={WEIGHTS}&_count=1"
    first = got(weighed, address)
    assert weighed.get(link(first, "next")).status_code == 200
    put_value_set(weighed, "29463-7", *(f"code-{n}" for n in range(MERGED_MAX)))
    assert problem(weighed.get(link(first, "next")))[0] == 410


def test_a_value_set_without_a_url_is_named_by_its_address(weighed: httpx.Client) -> None:
    taken = {"include": [{"system": "http://loinc.org", "concept": [{"code": "29463-7"}]}]}
    body = {"resourceType": "ValueSet", "id": "nameless", "status": "active", "compose": taken}
    assert weighed.put("/ValueSet/nameless", json=body).is_success
    named = keys(got(weighed, "/Observation?code=http://loinc.org|29463-7&_count=100"))
    assert sorted(keys(got(weighed, "/Observation?code:in=ValueSet/nameless&_count=100"))) == sorted(named) != []
    others = keys(got(weighed, "/Observation?code:not-in=ValueSet/nameless&_count=100"))
    assert sorted(others + named) == sorted(keys(got(weighed, "/Observation?_count=100")))
    assert weighed.delete("/ValueSet/nameless").status_code == 204
    assert problem(weighed.get("/Observation?code:in=ValueSet/nameless"))[:2] == (400, "not-found")


def put_value_set(api: httpx.Client, *codes: str) -> None:
    concepts = [{"code": code} for code in codes]
    taken = {"include": [{"system": "http://loinc.org", "concept": concepts}]}
    body = {"resourceType": "ValueSet", "id": "weights", "url": WEIGHTS, "status": "active", "compose": taken}
    assert api.put("/ValueSet/weights", json=body).is_success

"""ValueSet/$expand over HTTP. What an expansion holds is told in tests/definitions; here, how it is asked for."""

from __future__ import annotations

import pytest

from tests.builders import problem
from tests.operations.asking import parameters, said

GENDERS = "http://hl7.org/fhir/ValueSet/administrative-gender"
GENDER = "http://hl7.org/fhir/administrative-gender"
PURCHASES = "https://fhir.phb.nhs.example/ValueSet/phb-purchase-category"
PURCHASE = "https://fhir.phb.nhs.example/CodeSystem/phb-purchase-category"


def codes(answer):
    return [row["code"] for row in said(answer)["expansion"].get("contains", [])]


def genders(*listed, **more):
    concepts = [{"code": code} for code in listed]
    compose = {"include": [{"system": GENDER, "concept": concepts}]}
    return {
        "resourceType": "ValueSet",
        "url": "http://example.org/ValueSet/some",
        "status": "active",
        "compose": compose,
    } | more


def test_a_value_set_is_expanded_by_its_url(api):
    found = said(api.get(f"/ValueSet/$expand?url={GENDERS}"))
    assert (found["resourceType"], found["url"], found["status"]) == ("ValueSet", GENDERS, "active")
    expansion = found["expansion"]
    assert (expansion["total"], expansion["timestamp"]) == (4, "2026-11-22T09:00:00.000Z")
    assert expansion["contains"][0] == {"system": GENDER, "code": "male", "display": "Male"}


def test_a_value_set_of_our_own_is_expanded(api):
    assert codes(api.get(f"/ValueSet/$expand?url={PURCHASES}")) == ["therapy", "personal-care", "service", "equipment"]


def test_inputs_shape_the_expansion(api):
    assert codes(api.get(f"/ValueSet/$expand?url={GENDERS}&filter=fem")) == ["female"]
    assert codes(api.get(f"/ValueSet/$expand?url={GENDERS}&offset=1&count=2")) == ["female", "other"]
    assert codes(api.post("/ValueSet/$expand", json=parameters(url=GENDERS, count=1))) == ["male"]


def test_an_input_that_may_be_repeated_is_taken_each_time(api):
    excluding = f"/ValueSet/$expand?url={GENDERS}&exclude-system=http://example.org/other"
    assert len(codes(api.get(excluding))) == 4
    assert codes(api.get(f"{excluding}&exclude-system={GENDER}")) == []


def test_a_value_set_that_is_sent_is_expanded_as_body_or_as_parameter(api):
    assert codes(api.post("/ValueSet/$expand", json=genders("male"))) == ["male"]
    assert codes(api.post("/ValueSet/$expand", json=parameters(valueSet=genders("male")))) == ["male"]
    assert codes(api.post("/ValueSet/$expand?filter=fem", json=genders("male", "female"))) == ["female"]


def test_a_stored_value_set_is_expanded_by_its_address(api):
    api.put("/ValueSet/some", json=genders("other", id="some"))
    assert codes(api.get("/ValueSet/some/$expand")) == ["other"]
    assert codes(api.post("/ValueSet/some/$expand", json=parameters(filter="x"))) == []


def test_a_stored_value_set_that_is_not_there_is_not_found_and_a_deleted_one_is_gone(api):
    assert problem(api.get("/ValueSet/some/$expand")) == (404, "not-found", "There is no ValueSet/some.", "")
    api.put("/ValueSet/some", json=genders("other", id="some"))
    api.delete("/ValueSet/some")
    sentence = "ValueSet/some was deleted (version 2)."
    assert problem(api.get("/ValueSet/some/$expand")) == (410, "deleted", sentence, "")


def test_a_value_set_that_is_not_known_is_not_found(api):
    answer = problem(api.get("/ValueSet/$expand?url=http://example.org/none"))
    assert answer[:2] == (404, "not-found")
    assert "http://example.org/none is not loaded here" in answer.text


def test_a_value_set_of_a_code_system_that_is_not_loaded_cannot_be_expanded_and_says_why(api):
    snomed = genders() | {"compose": {"include": [{"system": "http://snomed.info/sct"}]}}
    answer = problem(api.post("/ValueSet/$expand", json=snomed))
    assert answer[:2] == (422, "not-found")
    assert "SNOMED CT (http://snomed.info/sct) is not loaded here" in answer.text


def test_an_expansion_past_the_bound_is_too_costly_and_a_page_of_it_is_not(api):
    concepts = [{"code": f"c{number}"} for number in range(10_001)]
    system = {"resourceType": "ValueSet", "status": "active"}
    big = system | {"compose": {"include": [{"system": "http://example.org/big", "concept": concepts}]}}
    refused = problem(api.post("/ValueSet/$expand", json=big))
    assert refused[:2] == (422, "too-costly")
    assert refused.text == (
        "The value set cannot be expanded: it has 10,001 codes, more than the 10,000 that one answer may hold; "
        "ask for them in pages, with count and offset."
    )
    assert codes(api.post("/ValueSet/$expand?count=2&offset=9999", json=big)) == ["c9999", "c10000"]


def test_a_value_set_that_is_sent_and_is_no_valid_value_set_is_refused_with_the_place(api):
    broken = genders("male", status="plum")
    answer = problem(api.post("/ValueSet/$expand", json=broken))
    assert (answer.status, answer.expression) == (422, "ValueSet.status")
    inside = problem(api.post("/ValueSet/$expand", json=parameters(count=1, valueSet=broken)))
    assert (inside.status, inside.expression) == (422, "Parameters.parameter[1].resource.status")


def test_another_resource_than_a_value_set_is_refused(api):
    patient = {"resourceType": "Patient"}
    answer = problem(api.post("/ValueSet/$expand", json=patient))
    assert answer == (400, "invalid", 'The parameter "valueSet" must hold a ValueSet resource.', "")


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("", "Which value set is meant must be said: by url, by valueSet, or by asking the instance."),
        (f"url={GENDERS}&count=-1", 'The parameter "count" must be a whole number, not below 0.'),
        (f"url={GENDERS}&activeOnly=yes", 'The parameter "activeOnly" must be true or false.'),
        (f"url={GENDERS}&valueSet=x", 'The parameter "valueSet" must be an element of its type, not a text.'),
    ],
)
def test_inputs_that_mean_nothing_are_refused(api, query, sentence):
    assert problem(api.get(f"/ValueSet/$expand?{query}")) == (400, "invalid", sentence, "")


@pytest.mark.parametrize("name", ["context", "date", "system-version"])
def test_what_r4_has_and_this_server_has_not_is_refused_as_not_supported(api, name):
    answer = api.get(f"/ValueSet/$expand?url={GENDERS}&{name}=x")
    sentence = f'The parameter "{name}" of ValueSet/$expand is not supported here; nothing was answered without it.'
    assert problem(answer) == (400, "not-supported", sentence, "")

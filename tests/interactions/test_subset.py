"""_summary and _elements: less of a resource, and marked as less (R4 §3.1.1.5.8, §3.1.1.5.9)."""

from __future__ import annotations

import pytest

from tests.builders import problem
from tests.interactions.test_history import got

NARRATIVE = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Jill Marsh</div>'}
JILL = {
    "resourceType": "Patient",
    "id": "jill",
    "meta": {"tag": [{"system": "http://example.org/t", "code": "mine"}], "profile": ["http://example.org/p"]},
    "implicitRules": "http://example.org/rules",
    "language": "en-GB",
    "text": NARRATIVE,
    "contained": [{"resourceType": "Organization", "id": "o", "name": "Practice"}],
    "extension": [{"url": "http://example.org/x", "valueString": "x"}],
    "modifierExtension": [{"url": "http://example.org/m", "valueString": "m"}],
    "identifier": [{"system": "http://example.org/i", "value": "1"}],
    "active": True,
    "name": [{"family": "Marsh"}],
    "gender": "female",
    "_birthDate": {"extension": [{"url": "http://example.org/unknown", "valueCode": "asked"}]},
    "maritalStatus": {"text": "Single"},
    "contact": [{"name": {"text": "Ruth"}}],
    "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "en-GB"}]}, "preferred": True}],
    "managingOrganization": {"reference": "#o"},
    "link": [{"other": {"reference": "Patient/other"}, "type": "seealso"}],
}
OBSERVATION = {
    "resourceType": "Observation",
    "id": "weight",
    "text": NARRATIVE,
    "status": "final",
    "code": {"text": "Weight"},
    "valueQuantity": {"value": 62, "unit": "kg"},
    "note": [{"text": "after lunch"}],
    "component": [{"code": {"text": "c"}, "valueString": "v", "interpretation": [{"text": "high"}]}],
}
PLAN = {
    "resourceType": "CarePlan",
    "id": "plan",
    "text": NARRATIVE,
    "status": "active",
    "intent": "plan",
    "subject": {"reference": "Patient/jill"},
    "title": "Jill's plan",
    "note": [{"text": "n"}],
    "activity": [{"detail": {"status": "scheduled", "description": "Swim"}}],
}
SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
    "display": "subsetted",
}
# what a reader may not do without: what is mandatory, and what may change the meaning of the rest
KEPT_OF_JILL = {"resourceType", "id", "meta", "implicitRules", "modifierExtension", "active", "link"}


@pytest.fixture
def record(api):
    for resource in (JILL, OBSERVATION, PLAN):
        assert api.put(f"/{resource['resourceType']}/{resource['id']}", json=resource).status_code == 201
    return api


def cut(record, query, address="/Patient/jill"):
    """The subset, and the whole of what it is a subset of: every element in it is as it was, in the order it was."""
    part, whole = got(record, f"{address}?{query}"), got(record, address)
    rest = {name: value for name, value in part.items() if name != "meta"}
    assert rest.items() <= whole.items()
    assert [name for name in part if name != "meta"] == [name for name in whole if name in rest]
    return part


# ---- which elements --------------------------------------------------------------------------------------------------


def test_a_summary_has_the_elements_that_fhir_puts_in_one(record):
    part = cut(record, "_summary=true")
    assert set(part) == {
        *("resourceType", "id", "meta", "implicitRules", "identifier", "active", "name", "gender", "_birthDate"),
        *("managingOrganization", "link", "modifierExtension"),
    }


def test_a_summary_has_the_value_of_an_observation_and_not_its_note(record):
    part = got(record, "/Observation/weight?_summary=true")
    assert set(part) == {"resourceType", "id", "meta", "status", "code", "valueQuantity", "component"}
    assert part["component"] == [{"code": {"text": "c"}, "valueString": "v"}]


def test_a_summary_of_text_has_the_narrative_and_what_cannot_be_left_out(record):
    assert set(cut(record, "_summary=text")) == KEPT_OF_JILL | {"text"}
    assert set(cut(record, "_summary=text", "/CarePlan/plan")) == {
        *("resourceType", "id", "meta", "text", "status", "intent", "subject"),
    }


def test_a_summary_of_data_has_all_but_the_narrative(record):
    assert set(cut(record, "_summary=data")) == set(JILL) - {"text"}


def test_a_summary_that_is_false_is_the_whole_and_not_marked(record):
    assert record.get("/Patient/jill?_summary=false").content == record.get("/Patient/jill").content
    assert record.get("/Patient/jill?_elements=").content == record.get("/Patient/jill").content


@pytest.mark.parametrize(
    ("elements", "shown"),
    [
        ("gender", {"gender"}),
        ("gender,name", {"gender", "name"}),
        ("%20gender%20,,name,", {"gender", "name"}),
        ("birthDate", {"_birthDate"}),
        ("Patient.gender", {"gender"}),
        ("id,meta,resourceType", set()),
        ("text,contained", {"text", "contained"}),
        ("Patient.id,Patient.gender", {"gender"}),
    ],
)
def test_elements_are_shown_with_what_cannot_be_left_out(record, elements, shown):
    assert set(cut(record, f"_elements={elements}")) == KEPT_OF_JILL | shown


@pytest.mark.parametrize("address", ["/Patient/jill", "/Patient/jill/_history/1", "/Patient/_history", "/Patient"])
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("birthdate", "Did you mean birthDate?"),
        ("name.family", ""),
        ("Observation.gender", ""),
        ("Observation.value", ""),
        ("*", ""),
    ],
)
def test_an_element_that_the_type_does_not_have_is_refused_and_not_left_out_in_silence(record, address, name, hint):
    found = problem(record.get(f"{address}?_elements=gender,{name}"))
    assert found[:2] == (400, "not-supported")
    assert found.text.startswith(f"_elements={name}: Patient has no such element at its root.")
    assert hint in found.text


def test_under_leniency_an_element_that_is_not_known_is_left_out_and_a_search_says_so(record):
    lenient = {"Prefer": "handling=lenient"}
    part = record.get("/Patient/jill?_elements=gender,birthdate", headers=lenient).json()
    assert set(part) == KEPT_OF_JILL | {"gender"}
    found = record.get("/Patient?_elements=gender,birthdate", headers=lenient).json()
    assert [entry["resource"]["resourceType"] for entry in found["entry"]] == ["Patient", "OperationOutcome"]
    assert "Did you mean birthDate?" in found["entry"][1]["resource"]["issue"][0]["details"]["text"]


def test_a_change_whose_answer_is_to_have_an_element_that_there_is_not_is_not_made(record):
    found = problem(record.put("/Patient/jill?_elements=birthdate", json={**JILL, "active": False}))
    assert found[:2] == (400, "not-supported")
    assert got(record, "/Patient/jill")["meta"]["versionId"] == "1"


def test_an_element_of_one_of_several_types_is_known(record):
    both = got(record, "/?_type=Patient,Observation&_elements=gender,code")
    assert {frozenset(entry["resource"]) & {"gender", "code"} for entry in both["entry"]} == {
        frozenset({"gender"}),
        frozenset({"code"}),
    }
    assert record.get("/?_type=Patient,Observation&_elements=colour").status_code == 400
    assert record.get("/_history?_elements=gender").status_code == 200


@pytest.mark.parametrize("address", ["/_history", "/?_id=jill", "/?_lastUpdated=gt2020"])
def test_an_element_that_no_type_at_all_has_is_refused_where_all_types_are_asked(record, address):
    both = f"{address}{'&' if '?' in address else '?'}_elements=valueQuantity,gender"
    assert record.get(both).status_code == 200
    found = problem(record.get(f"{both},birthdate"))
    assert found[:2] == (400, "not-supported")
    assert found.text == "_elements=birthdate: no type has such an element at its root. Did you mean birthDate or date?"
    assert record.get(f"{both},birthdate", headers={"Prefer": "handling=lenient"}).status_code == 200


@pytest.mark.parametrize("query", ["_elements=name&_elements=gender", "_summary=true&_summary=text"])
@pytest.mark.parametrize("address", ["/Patient/jill", "/Patient/jill/_history/1", "/Patient/_history", "/Patient"])
def test_what_is_asked_for_twice_is_refused_and_not_half_answered(record, address, query):
    found = problem(record.get(f"{address}?{query}"))
    assert found[:2] == (400, "invalid")
    assert "stands more than once" in found.text


def test_an_element_with_a_choice_of_type_is_named_without_it(record):
    for name in ("value", "value[x]", "Observation.value", "valueQuantity"):
        part = cut(record, f"_elements={name}", "/Observation/weight")
        assert set(part) == {"resourceType", "id", "meta", "status", "code", "valueQuantity"}, name


# ---- how it is marked ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["_summary=true", "_summary=text", "_summary=data", "_elements=name"])
def test_a_subset_is_marked_beside_the_tags_that_were_there(record, query):
    assert cut(record, query)["meta"] == {
        "versionId": "1",
        "lastUpdated": "2026-11-22T09:00:00.000Z",
        "tag": [{"system": "http://example.org/t", "code": "mine"}, SUBSETTED],
        "profile": ["http://example.org/p"],
    }
    assert "SUBSETTED" not in record.get("/Patient/jill").text


@pytest.mark.parametrize("query", ["_elements=name", "_summary=true", "_summary=text", "_summary=data"])
def test_a_subset_written_back_is_refused_and_the_whole_stays(record, query):
    whole = got(record, "/Patient/jill")
    part = got(record, f"/Patient/jill?{query}")
    answer = record.put("/Patient/jill", json=part, headers={"If-Match": f'W/"{whole["meta"]["versionId"]}"'})
    assert answer.status_code == 422
    issue = answer.json()["issue"][0]
    place = f"Patient.meta.tag[{len(part['meta']['tag']) - 1}]"
    assert (issue["code"], issue["expression"]) == ("business-rule", [place])
    assert "would replace the whole" in issue["diagnostics"]
    assert got(record, "/Patient/jill") == whole


# ---- where it may be asked for ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/Patient?_id=jill", "/?_id=jill", "/Patient/jill/_history", "/Patient/_history"])
def test_entries_of_a_bundle_are_cut_as_a_read_is(record, address):
    for query in ("_summary=true", "_summary=text", "_summary=data", "_elements=name"):
        (entry,) = got(record, f"{address}{'&' if '?' in address else '?'}{query}")["entry"]
        assert entry["resource"] == cut(record, query)


def test_a_form_may_ask_for_less(record):
    found = record.post(
        "/Patient/_search",
        content="_id=jill&_elements=name",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    ).json()
    assert found["entry"][0]["resource"] == cut(record, "_elements=name")


def test_the_answer_to_a_write_may_be_less_and_what_is_stored_is_whole(api):
    answer = api.put("/Patient/jill?_elements=gender", json=JILL)
    assert set(answer.json()) == KEPT_OF_JILL | {"gender"}
    assert set(got(api, "/Patient/jill")) == set(JILL)


@pytest.mark.parametrize("query", ["_elements=id", "_summary=true"])
def test_less_of_the_answer_to_a_bundle_is_refused_and_nothing_is_done(api, query):
    sent = {
        "resource": {"resourceType": "Patient", "id": "jill"},
        "request": {"method": "PUT", "url": f"Patient/jill?{query}"},
    }
    of_all = {"resourceType": "Bundle", "type": "batch", "entry": [sent]}
    found = problem(api.post(f"/?{query}", json=of_all))
    assert found[:2] == (400, "not-supported")
    assert api.get("/Patient/jill").status_code == 404
    lenient = {"Prefer": "handling=lenient, return=representation"}
    answer = api.post(f"/?{query}", json=of_all, headers=lenient).json()
    assert answer["entry"][0]["response"]["status"] == "201 Created"
    assert answer["entry"][0]["resource"]["meta"]["tag"][0]["code"] == "SUBSETTED"


def test_the_capability_statement_may_be_asked_for_in_part(api):
    part = got(api, "/metadata?_summary=true")
    assert {"url", "fhirVersion", "kind", "software"} <= set(part)
    assert part["meta"]["tag"] == [SUBSETTED]


def test_a_count_of_one_resource_is_refused(record):
    for address in ("/Patient/jill", "/Patient/jill/_history/1", "/metadata"):
        found = problem(record.get(f"{address}?_summary=count"))
        text = "_summary=count counts what a search or a history finds; here there is one resource."
        assert found == (400, "invalid", text, "")


def test_a_summary_that_is_none_is_refused(record):
    found = problem(record.get("/Patient/jill?_summary=brief"))
    assert found == (400, "value", "_summary=brief: it is one of true, text, data, count, false.", "")


@pytest.mark.parametrize("summary", ["true", "text", "data", "count"])
def test_a_summary_and_elements_at_once_are_refused(record, summary):
    found = problem(record.get(f"/Patient?_summary={summary}&_elements=name"))
    assert found == (400, "invalid", "_summary and _elements ask for different things; send one of them.", "")


def test_a_summary_that_is_false_goes_with_elements(record):
    assert set(cut(record, "_summary=false&_elements=gender")) == KEPT_OF_JILL | {"gender"}


def test_a_subset_keeps_the_digits(api):
    body = (
        '{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"valueQuantity":{"value":10.00}}'
    )
    api.put("/Observation/o", content=body)
    for query in ("_summary=true", "_summary=data", "_elements=value"):
        assert '"value":10.00}' in api.get(f"/Observation/o?{query}").text

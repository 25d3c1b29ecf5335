"""A resource becomes index values: what is kept of it, and that nothing in a resource can keep it from being indexed."""

from __future__ import annotations

import gzip
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phb_fhir.definitions.kept import Kept
from phb_fhir.definitions.load import SearchParameter, load
from phb_fhir.definitions.search_parameters import SearchParameters, search_parameters
from phb_fhir.fhir import codec
from phb_fhir.fhir.codec import Exact
from phb_fhir.search.index import index_of
from phb_fhir.search.kinds.kind import Index
from phb_fhir.search.own import OwnBase
from tests.search.stored_parameters import search_parameter

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT.parent / "shared" / "conformance" / "examples" / "r4-4.0.1-instances.ndjson.gz"
R4 = load()
PARAMETERS = search_parameters(R4)
OWN = OwnBase("https://phb.example/fhir")


def indexed(resource: dict, parameters: SearchParameters = PARAMETERS) -> Index:
    return index_of(resource, parameters, OWN)


def keys(resource: dict, code: str, parameters: SearchParameters = PARAMETERS) -> list[str]:
    """The entries of one parameter, or of `_in`."""
    starts = (f"{code}=", f"{code}:", f"!{code}")
    return [key for key in indexed(resource, parameters).keys if key.startswith(starts)]


@cache
def examples() -> list[dict]:
    with gzip.open(EXAMPLES) as lines:
        return [codec.loads(line, depth_max=200) for line in lines]


# ---- whole answers ---------------------------------------------------------------------------------------------------

PURCHASE = {
    "resourceType": "ChargeItem",
    "id": "1",
    "status": "billed",
    "code": {"coding": [{"system": "https://codes.example", "code": "care", "display": "Personal care"}]},
    "subject": {"reference": "https://phb.example/fhir/Patient/7"},
    "account": [{"reference": "Account/2/_history/3"}],
    "occurrenceDateTime": "2026-11-22",
}


def test_a_purchase_is_found_by_all_that_it_says_and_by_what_the_guide_marks_as_missing():
    assert indexed(PURCHASE) == Index(
        keys=dict.fromkeys(
            [
                "account=Account/2",
                "account=Account/2/_history/3",
                "!activity",
                "!care-plan",
                "code=*care",
                "code=https://codes.example|care",
                "code:text=personal care",
                "!definition",
                "!element",
                "!evidence",
                "!goal",
                "patient=Patient/7",
                "status=*billed",
                "status=|billed",
                "status=http://hl7.org/fhir/chargeitem-status|billed",
                "subject=Patient/7",
                "_in=Patient/7",
            ]
        ),
        lo={"occurrence": "2026-11-22T00:00:00.000000Z"},
        spans={"occurrence": [{"lo": "2026-11-22T00:00:00.000000Z", "hi": "2026-11-23T00:00:00.000000Z"}]},
        digest=PARAMETERS.digest("ChargeItem"),
    )


def test_the_entries_keep_one_order():
    assert list(indexed(PURCHASE).keys) == list(indexed(deepcopy(PURCHASE)).keys)


def test_a_resource_that_says_nothing_has_only_marks():
    assert list(indexed({"resourceType": "Basic"}).keys) == []
    assert list(indexed({"resourceType": "RiskAssessment", "id": "1"}).keys) == ["!based-on"]


# ---- what is added to what the kinds make ----------------------------------------------------------------------------

CONCEPT, HIGH = {"coding": [{"code": "sys"}]}, {"coding": [{"code": "high"}]}
PRESSURE = {
    "resourceType": "Observation",
    "id": "bp",
    "status": "final",
    "code": {"coding": [{"code": "bp"}]},
    "valueString": "120 over high",
    "component": [
        {"code": CONCEPT, "valueQuantity": {"value": Exact("120"), "unit": "mmHg"}},
        {"code": {"coding": [{"code": "dia"}]}, "valueCodeableConcept": HIGH},
        {"code": CONCEPT},
    ],
}


def test_a_composite_joins_what_stands_in_one_element_and_never_across_elements():
    joined = indexed(PRESSURE).joined
    (row,) = joined["component-code-value-quantity"]
    assert row["0"] == {"k": ["=*sys", "=|sys"]}
    assert [list(span) for span in row["1"]["r"]] == [["lo", "hi", "u"]]
    assert joined["component-code-value-concept"] == [
        {"0": {"k": ["=*dia", "=|dia"]}, "1": {"k": ["=*high", "=|high"]}}
    ]
    assert joined["combo-code-value-quantity"] == joined["component-code-value-quantity"]
    assert "code-value-quantity" not in joined
    assert joined["code-value-string"] == [
        {"0": {"k": ["=*bp", "=|bp"]}, "1": {"k": ["=120 over high", ":exact=120 over high"]}}
    ]


def test_two_composites_that_read_one_element_by_different_kinds_do_not_mix_them_up():
    name, code = (
        "http://hl7.org/fhir/SearchParameter/individual-family",
        "http://hl7.org/fhir/SearchParameter/Patient-language",
    )

    def composite(id_: str, url: str) -> Kept:
        part = {"definition": url, "expression": "family"}
        more = {
            "id": id_,
            "url": f"https://x.example/{id_}",
            "code": id_,
            "type": "composite",
            "expression": "Patient.name",
        }
        return Kept.of(search_parameter(**more, component=[part, part]))

    parameters = PARAMETERS.changed([composite("as-text", name), composite("as-code", code)])
    joined = indexed({"resourceType": "Patient", "name": [{"family": "Byron"}]}, parameters).joined
    assert joined["as-text"][0]["1"] == {"k": ["=byron", ":exact=Byron"]}
    assert joined["as-code"][0]["1"] == {"k": ["=*Byron", "=|Byron"]}


@pytest.mark.parametrize(
    ("resource", "code", "entries"),
    [
        (
            {"resourceType": "Patient", "gender": "female"},
            "gender",
            ["gender=*female", "gender=|female", "gender=http://hl7.org/fhir/administrative-gender|female"],
        ),
        (
            {"resourceType": "DocumentReference", "content": [{"attachment": {"contentType": "text/xml"}}]},
            "contenttype",
            ["contenttype=*text/xml", "contenttype=|text/xml", "contenttype=urn:ietf:bcp:13|text/xml"],
        ),
        (
            {"resourceType": "ValueSet", "url": "https://x.example/ValueSet/a", "version": "1.0"},
            "url",
            ["url=https://x.example/ValueSet/a", "url=https://x.example/ValueSet/a|1.0"],
        ),
        (
            {"resourceType": "ValueSet", "url": "https://x.example/ValueSet/a"},
            "url",
            ["url=https://x.example/ValueSet/a"],
        ),
        (
            {
                "resourceType": "Bundle",
                "type": "document",
                "entry": [{"resource": {"resourceType": "Composition", "id": "5"}}],
            },
            "composition",
            ["composition=Composition/5", "composition:#"],
        ),
        ({"resourceType": "Patient"}, "deceased", ["deceased=*false", "deceased=|false"]),
        ({"resourceType": "Patient", "deceasedDateTime": "2026"}, "deceased", ["deceased=*true", "deceased=|true"]),
    ],
)
def test_what_the_definitions_and_the_resource_say_beside_the_value_is_kept_too(resource, code, entries):
    assert keys(resource, code) == entries


# ---- compartments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "compartments"),
    [
        ({"resourceType": "Patient", "id": "1"}, ["Patient/1"]),
        (
            {"resourceType": "Patient", "id": "1", "link": [{"other": {"reference": "Patient/2"}}]},
            ["Patient/1", "Patient/2"],
        ),
        ({"resourceType": "Account", "subject": [{"reference": "Patient/1/_history/4"}]}, ["Patient/1"]),
        ({"resourceType": "Account", "subject": [{"reference": "https://phb.example/fhir/Patient/1"}]}, ["Patient/1"]),
        ({"resourceType": "Account", "subject": [{"reference": "https://other.example/fhir/Patient/1"}]}, []),
        ({"resourceType": "Account", "subject": [{"reference": "#p"}, {"reference": "Group/1"}]}, []),
        ({"resourceType": "Account", "owner": {"reference": "Practitioner/1"}}, []),
        (
            {
                "resourceType": "Observation",
                "subject": {"reference": "Patient/1"},
                "encounter": {"reference": "Encounter/2"},
                "performer": [{"reference": "Practitioner/3"}, {"reference": "RelatedPerson/4"}],
                "device": {"reference": "Device/5"},
            },
            ["Device/5", "Encounter/2", "Patient/1", "Practitioner/3", "RelatedPerson/4"],
        ),
        ({"resourceType": "Encounter", "id": "1"}, ["Encounter/1"]),
        ({"resourceType": "Medication", "id": "1"}, []),
    ],
)
def test_a_resource_is_in_its_own_compartment_and_in_those_of_whom_it_names(resource, compartments):
    assert sorted(keys(resource, "_in")) == [f"_in={name}" for name in compartments]


# ---- what has no value -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "entries"),
    [
        ([], ["!nickname"]),
        ([{"use": "official", "given": ["Ada"]}], ["!nickname"]),
        ([{"use": "nickname", "_given": [{"extension": [{"url": "x"}]}]}], ["!nickname"]),
        ([{"use": "nickname", "given": ["Ada"]}], ["nickname=ada", "nickname:exact=Ada"]),
        ([{"use": "nickname", "given": ["?"]}], ["nickname:exact=?"]),
    ],
)
def test_a_parameter_that_lists_missing_is_marked_where_there_is_no_value(name, entries):
    marking = PARAMETERS.changed([Kept.of(search_parameter(modifier=["missing"]))])
    person = {"resourceType": "Patient", "id": "1", "name": name}
    assert keys(person, "nickname", marking) == entries
    silent = PARAMETERS.changed([Kept.of(search_parameter())])
    assert keys(person, "nickname", silent) == [entry for entry in entries if entry != "!nickname"]


def test_a_date_that_is_there_is_not_marked_as_missing():
    next_review = {"url": "next", "valueDate": "2027-01-01"}
    schedule = {
        "url": "https://fhir.phb.nhs.example/StructureDefinition/phb-review-schedule",
        "extension": [next_review],
    }
    assert "!next-review" not in indexed({"resourceType": "Account", "extension": [schedule]}).keys
    assert "!next-review" in indexed({"resourceType": "Account", "extension": []}).keys


# ---- parameters that come and go -------------------------------------------------------------------------------------


def test_the_values_follow_the_parameters_and_say_which_by_their_digest():
    person = {"resourceType": "Patient", "id": "1", "name": [{"use": "nickname", "given": ["Ada"]}]}
    more = PARAMETERS.changed([Kept.of(search_parameter())])
    assert keys(person, "nickname", more) == ["nickname=ada", "nickname:exact=Ada"]
    assert keys(person, "nickname") == []
    assert indexed(person, more).digest == more.digest("Patient") != indexed(person).digest


def test_a_stored_parameter_that_cannot_be_evaluated_gives_nothing_and_harms_nothing():
    broken = PARAMETERS.changed([Kept.of(search_parameter(expression="Patient.nope()"))])
    person = {"resourceType": "Patient", "id": "1", "name": [{"family": "Byron"}]}
    assert indexed(person, broken).keys == indexed(person).keys
    family = "http://hl7.org/fhir/SearchParameter/individual-family"
    parts = [{"definition": family, "expression": expression} for expression in ("family", "nope()")]
    joint = search_parameter(type="composite", expression="Patient.name", component=parts)
    joining = PARAMETERS.changed([Kept.of(joint)])
    assert "nickname" in joining.of("Patient")
    assert indexed(person, joining).keys == indexed(person).keys


def test_a_parameter_that_needs_the_engine_is_indexed_as_any_other():
    counted = PARAMETERS.changed([Kept.of(search_parameter(type="number", expression="Patient.name.given.count()"))])
    spans = indexed({"resourceType": "Patient", "name": [{"given": ["Ada", "May"]}]}, counted).spans["nickname"]
    one = indexed({"resourceType": "Patient", "name": [{"given": ["Ada"]}]}, counted).spans["nickname"]
    assert (len(spans), spans[0]["lo"] == spans[0]["hi"], spans[0]["lo"] > one[0]["lo"]) == (1, True, True)


# ---- all examples, and what could be in a database -------------------------------------------------------------------


def test_every_official_example_is_indexed_under_the_codes_of_its_type():
    count = 0
    for resource in examples():
        known, index = PARAMETERS.of(resource["resourceType"]), indexed(resource)
        codes = {key.removeprefix("!").partition("=")[0].partition(":")[0] for key in index.keys} - {"_in"}
        codes |= {*index.spans, *index.joined, *(path.partition("~")[0] for path in index.lo)}
        assert codes <= known.keys()
        assert codes.isdisjoint({"_id", "_lastUpdated", "_content", "_text", "_filter", "_query"})
        count += len(index.keys)
    assert count > 8_000


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(Exact("1E-400")),
    st.just(Exact("NaN")),
    st.text(max_size=8),
    st.sampled_from(["2026-13-45", "9999-12-31T23:59:60+14:00", "0000", "Patient/", "|", "#", "\ud800", "a" * 3000]),
    st.just([]),
    st.just([None, [], {}, 5]),
    st.just({}),
    st.just({"resourceType": [], "id": {}, "value": [], "code": [None], "coding": [{"code": 5, "system": []}, 7]}),
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_whatever_shape_a_stored_resource_has_it_is_indexed(data):
    resource = deepcopy(data.draw(st.sampled_from(examples())))
    for _ in range(data.draw(st.integers(1, 4))):
        node: object = resource
        for _ in range(data.draw(st.integers(0, 5))):
            inside = [child for child in _children(node) if type(child) in (dict, list) and child]
            if not inside:
                break
            node = data.draw(st.sampled_from(inside))
        places = [key for key in _places(node) if key != "resourceType" or node is not resource]
        if places:
            node[data.draw(st.sampled_from(places))] = deepcopy(data.draw(ODD))  # type: ignore[index]
    index = indexed(resource)
    assert index.digest == PARAMETERS.digest(resource["resourceType"])
    assert all(type(key) is str for key in index.keys)


def _children(node):
    return list(node.values()) if type(node) is dict else node if type(node) is list else []


def _places(node):
    return sorted(node) if type(node) is dict else list(range(len(node))) if type(node) is list else []


def test_of_an_engine_parameter_a_damaged_resource_has_no_values():
    parameters = PARAMETERS.changed([Kept.of(search_parameter(expression="Patient.name.given.select($this.upper())"))])
    damaged = {"resourceType": "Patient", "id": "1", "name": [{"given": [{"x": 1}, 5, None]}]}
    assert keys(damaged, "nickname", parameters) == []
    assert keys({**damaged, "name": [{"given": ["a"]}]}, "nickname", parameters) == ["nickname=a", "nickname:exact=A"]


def test_a_parameter_without_an_expression_or_of_a_special_type_is_not_indexed():
    location = {"resourceType": "Location", "position": {"latitude": Exact("1.5"), "longitude": 2}}
    assert isinstance(PARAMETERS.of("Location")["near"], SearchParameter)
    assert indexed(location) == Index(digest=PARAMETERS.digest("Location"))

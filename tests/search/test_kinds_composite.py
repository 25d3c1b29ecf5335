"""Composite parameters (R4 §3.1.1.4.17): the parts of one query value, in one element of the resource."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phb_fhir.definitions.load import load
from phb_fhir.definitions.search_parameters import search_parameters
from phb_fhir.fhir.codec import Exact
from phb_fhir.outcome import Kind
from phb_fhir.query import AllOf, Joined, Key
from phb_fhir.search.index import index_of
from phb_fhir.search.kinds import composite, date, quantity, string
from phb_fhir.search.match import Subject, match
from tests.search.asking import Here, asked, parameter, refusal

R4 = load()
PARAMETERS = search_parameters(R4)
OBSERVATION = PARAMETERS.of("Observation")
UCUM = "http://unitsofmeasure.org"


def part(code, value, system="http://loinc.org", unit="mm[Hg]"):
    """One component: a code, and a value in mm[Hg]."""
    return {
        "code": {"coding": [{"system": system, "code": code}]},
        "valueQuantity": {"value": Exact(str(value)), "system": UCUM, "code": unit},
    }


def observation(*components, **own):
    return {"resourceType": "Observation", "id": "1", "status": "final", "component": list(components), **own}


def finds(code, text, resource):
    node = asked(composite.KIND, PARAMETERS.of(resource["resourceType"])[code], text)
    made = index_of(resource, PARAMETERS, Here())
    return match(node, Subject(resource["resourceType"], "1", datetime(2026, 1, 1, tzinfo=UTC), made, resource))


PRESSURE = observation(part("8480-6", 107), part("8462-4", 60))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"http://loinc.org|8480-6$107|{UCUM}|mm[Hg]", True),
        ("8480-6$107", True),
        ("8480-6$gt100", True),
        ("8480-6$60", False),  # the other component's value
        ("8462-4$107", False),
        ("8462-4$lt61", True),
        (f"8480-6$14.265|{UCUM}|kPa", True),
        (f"8480-6$107|{UCUM}|kPa", False),
        ("8480-6$ne107", False),
        ("8480-6$ne60", True),
        ("http://other.example|8480-6$107", False),
    ],
)
def test_code_and_value_are_those_of_one_component(text, found):
    assert finds("component-code-value-quantity", text, PRESSURE) is found


def test_of_several_components_each_stands_for_itself_however_they_are_ordered():
    for components in ((part("a", 1), part("b", 2)), (part("b", 2), part("a", 1))):
        found = [
            finds("component-code-value-quantity", text, observation(*components))
            for text in ("a$1", "b$2", "a$2", "b$1")
        ]
        assert found == [True, True, False, False]


codes, numbers = st.sampled_from("abc"), st.integers(1, 3)


@given(st.lists(st.tuples(codes, numbers), max_size=4), codes, st.sampled_from(("", "gt", "le", "ne")), numbers)
def test_a_composite_is_found_exactly_when_one_element_has_both(pairs, code, prefix, number):
    keeps = {"": int.__eq__, "gt": int.__gt__, "le": int.__le__, "ne": int.__ne__}[prefix]
    expected = any(one == code and keeps(value, number) for one, value in pairs)
    resource = observation(*(part(one, value) for one, value in pairs))
    assert finds("component-code-value-quantity", f"{code}${prefix}{number}", resource) is expected


@pytest.mark.parametrize(
    ("code", "text", "own", "found"),
    [
        (
            "code-value-concept",
            "a$http://s|x",
            {"valueCodeableConcept": {"coding": [{"system": "http://s", "code": "x"}]}},
            True,
        ),
        (
            "code-value-concept",
            "a$y",
            {"valueCodeableConcept": {"coding": [{"system": "http://s", "code": "x"}]}},
            False,
        ),
        ("code-value-string", "a$ste", {"valueString": "Steady, €5 \\ week"}, True),
        ("code-value-string", "a$weekly", {"valueString": "Steady"}, False),
        ("code-value-date", "a$2026-03", {"valueDateTime": "2026-03-04"}, True),
        ("code-value-date", "a$sa2026-03", {"valueDateTime": "2026-03-04"}, False),
        ("code-value-date", "a$gt2026-03", {"valuePeriod": {"start": "2026-03-04"}}, True),
        ("code-value-quantity", f"a$5|{UCUM}|g", {"valueQuantity": {"value": 5, "system": UCUM, "code": "g"}}, True),
        ("combo-code-value-quantity", "a$5", {"valueQuantity": {"value": 5}}, True),
    ],
)
def test_each_part_is_asked_as_its_own_kind_asks(code, text, own, found):
    resource = observation(code={"coding": [{"code": "a"}]}, **own)
    assert finds(code, text, resource) is found
    assert not finds(code, text.replace("a$", "b$", 1), resource)


def test_a_part_may_hold_an_escaped_dollar():
    resource = observation(code={"coding": [{"code": "a$b"}]}, valueString="costs $5")
    assert finds("code-value-string", r"a\$b$costs", resource)
    assert not finds("code-value-string", r"a$costs", resource)


def test_what_a_part_escapes_of_its_own_stays_escaped():
    resource = observation(code={"coding": [{"code": "a|b"}, {"system": "x", "code": "y"}]}, valueString="steady")
    found = [finds("code-value-string", f"{code}$steady", resource) for code in (r"a\|b", "a|b", "x|y", r"x\|y")]
    assert found == [True, False, True, False]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("DocumentReference/7$replaces", True),
        ("7$replaces", True),
        ("DocumentReference/7$appends", False),
        ("DocumentReference/8$replaces", False),
    ],
)
def test_a_relationship_of_a_document_is_found_by_its_target_and_its_code(text, found):
    relates = [
        {"code": "replaces", "target": {"reference": "DocumentReference/7"}},
        {"code": "appends", "target": {"reference": "DocumentReference/8"}},
    ]
    resource = {"resourceType": "DocumentReference", "id": "1", "status": "current", "relatesTo": relates}
    assert finds("relationship", text, resource) is found


def test_a_variant_of_a_sequence_is_found_by_what_the_resource_says_of_its_chromosome():
    chromosome = {"coding": [{"code": "7"}]}
    resource = {
        "resourceType": "MolecularSequence", "id": "1", "coordinateSystem": 0, "referenceSeq": {"chromosome": chromosome},
        "variant": [{"start": 10, "end": 20}, {"start": 30, "end": 40}],
    }  # fmt: skip
    asked_for = ("7$lt15$gt15", "7$lt15$gt35", "8$lt15$gt15", "7$10$20", "7$10$40")
    found = [finds("chromosome-variant-coordinate", text, resource) for text in asked_for]
    assert found == [True, False, False, True, False]


def test_an_element_without_one_of_the_parts_has_no_composite_value():
    made = index_of(observation({"code": {"coding": [{"code": "a"}]}}, part("b", 1)), PARAMETERS, Here())
    assert len(made.joined["component-code-value-quantity"]) == 1


# ---- what is asked -----------------------------------------------------------------------------------------------

PARTS = (("code", "token", "code"), ("value-quantity", "quantity", "value.as(Quantity)"))


def test_the_first_part_of_a_composite_of_r4_is_asked_of_the_index_of_entries_too():
    node = asked(composite.KIND, OBSERVATION["code-value-quantity"], "a$5")
    assert isinstance(node, AllOf)
    entries, joined = node.parts
    assert entries == Key(("code=*a",))
    assert isinstance(joined, Joined)
    code, value = joined.parts
    assert code == Key(("=*a",))
    assert value == replace(asked(quantity.KIND, parameter("quantity"), "5"), parameter="")


def test_a_composite_of_a_deployment_is_asked_of_its_own_rows_alone():
    """What its first component looks at need not be what the parameter of that name looks at."""
    node = asked(composite.KIND, parameter("composite", "own", PARTS), "a$5")
    assert isinstance(node, Joined)
    assert node.parameter == "own"


@pytest.mark.parametrize(
    ("text", "count"),
    [("", "0 parts"), ("a", "1 part"), ("a$", "1 part"), ("$5", "1 part"), ("a$5$6", "3 parts"), (r"a\$5", "1 part")],
)
def test_a_wrong_number_of_parts_is_refused_and_told_how_to_write_it(text, count):
    issue = refusal(composite.KIND, parameter("composite", "both", PARTS), text)
    assert issue.kind is Kind.INVALID
    assert issue.text == f"both={text}: it has {count}; write [code]$[value-quantity], and a '$' inside a part as '\\$'"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a$x5", "both=a$x5: value-quantity=x5: 'x5' is no number; write it as 100, -5.40 or 1e2"),
        ("a$xx5", "both=a$xx5: value-quantity=xx5: the prefix 'xx' is not one of eq, ne, gt, lt, ge, le, sa, eb, ap"),
    ],
)
def test_a_part_that_is_badly_written_is_refused_by_its_own_name(text, said):
    assert refusal(composite.KIND, parameter("composite", "both", PARTS), text).text == said


def test_a_composite_has_no_modifiers_and_no_order():
    assert (composite.KIND.modifiers, composite.KIND.sort) == ((), "")
    assert {kind.sort for kind in (date.KIND, quantity.KIND, string.KIND)} == {"lo"}

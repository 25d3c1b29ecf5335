"""What terminology tells a search: the codes of a value set, and a code's kin (R4 §3.1.1.4.10)."""

from __future__ import annotations

import pytest

from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.outcome import Kind, Refusal, Rejected
from phb_fhir.search.codes import CODES_MAX, KnownCodes
from tests.definitions_at_hand import BASE, code_system, value_set

COLOURS = f"{BASE}/CodeSystem/colours"
COLOURS_SET = f"{BASE}/ValueSet/colours"
TREE = code_system(
    "animals",
    (),
    hierarchyMeaning="is-a",
    concept=[
        {
            "code": "animal",
            "concept": [{"code": "bird", "concept": [{"code": "robin"}, {"code": "wren"}]}, {"code": "cat"}],
        }
    ],
)
ANIMALS = TREE["url"]


def codes(*resources):
    return KnownCodes(Registry.of(load(), resources))


def refused(ask):
    with pytest.raises(Rejected) as caught:
        ask()
    assert caught.value.refusal is Refusal.BAD_REQUEST
    (issue,) = caught.value.issues
    return issue


# ---- value sets ------------------------------------------------------------------------------------------------------


def test_a_value_set_gives_its_codes_by_its_url_with_or_without_its_version_and_by_its_id():
    known = codes(code_system(), value_set())
    for name in (COLOURS_SET, f"{COLOURS_SET}|1.0", "ValueSet/colours"):
        assert known.members(name) == [(COLOURS, "red"), (COLOURS, "green")]


def test_a_value_set_of_r4_gives_its_codes():
    genders = codes().members("http://hl7.org/fhir/ValueSet/administrative-gender")
    assert sorted(code for _, code in genders) == ["female", "male", "other", "unknown"]
    assert {system for system, _ in genders} == {"http://hl7.org/fhir/administrative-gender"}


def test_codes_that_are_listed_are_known_without_their_system():
    listed = value_set(include={"system": "urn:elsewhere", "concept": [{"code": "a"}, {"code": "b"}]})
    assert codes(listed).members(COLOURS_SET) == [("urn:elsewhere", "a"), ("urn:elsewhere", "b")]


def test_of_two_value_sets_with_one_id_one_version_is_meant():
    first = value_set(include={"system": "urn:a", "concept": [{"code": "a"}]})
    second = value_set(include={"system": "urn:a", "concept": [{"code": "b"}]}, version="2.0")
    assert codes(first, second).members(COLOURS_SET) == [("urn:a", "b")]
    assert codes(first, second).members(f"{COLOURS_SET}|1.0") == [("urn:a", "a")]


@pytest.mark.parametrize(
    ("value_set_name", "kind", "word"),
    [
        (f"{BASE}/ValueSet/unknown", Kind.NOT_FOUND, f"{BASE}/ValueSet/unknown"),
        (f"{COLOURS_SET}|7.0", Kind.NOT_FOUND, "7.0"),
        ("ValueSet/unknown", Kind.NOT_FOUND, "ValueSet/unknown"),
        ("http://snomed.info/sct?fhir_vs=isa/126851005", None, "SNOMED"),
        ("http://hl7.org/fhir/ValueSet/ucum-units", None, "UCUM"),
        ("http://hl7.org/fhir/ValueSet/observation-codes", None, "LOINC"),
    ],
)
def test_a_value_set_that_cannot_be_listed_is_refused_by_name(value_set_name, kind, word):
    issue = refused(lambda: codes(code_system(), value_set()).members(value_set_name))
    assert kind is None or issue.kind is kind
    assert word in issue.text


def test_a_value_set_of_a_code_system_that_is_here_in_part_is_refused():
    whole, part = code_system(), code_system(content="fragment")
    assert codes(whole, value_set()).members(COLOURS_SET)
    issue = refused(lambda: codes(part, value_set()).members(COLOURS_SET))
    assert issue.kind is Kind.NOT_SUPPORTED
    assert COLOURS_SET in issue.text


def test_a_value_set_of_too_many_codes_is_refused():
    def of(count):
        return codes(code_system(codes=tuple(f"c{number}" for number in range(count))), value_set())

    assert len(of(CODES_MAX).members(COLOURS_SET)) == CODES_MAX
    assert refused(lambda: of(CODES_MAX + 1).members(COLOURS_SET)).kind is Kind.TOO_COSTLY


# ---- above and below -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "above", "below"),
    [
        ("animal", {"animal"}, {"animal", "bird", "robin", "wren", "cat"}),
        ("bird", {"bird", "animal"}, {"bird", "robin", "wren"}),
        ("robin", {"robin", "bird", "animal"}, {"robin"}),
    ],
)
def test_a_code_stands_with_those_above_it_and_those_below_it(code, above, below):
    known = codes(TREE)
    assert set(known.related(ANIMALS, code, "above")) == {(ANIMALS, one) for one in above}
    assert set(known.related(ANIMALS, code, "below")) == {(ANIMALS, one) for one in below}


@pytest.mark.parametrize(
    ("system", "code", "kind", "word"),
    [
        ("", "bird", Kind.VALUE, "[system]|[code]"),
        ("urn:unknown", "bird", Kind.NOT_SUPPORTED, "urn:unknown"),
        ("http://snomed.info/sct", "126851005", Kind.NOT_SUPPORTED, "SNOMED"),
        (ANIMALS, "stone", Kind.CODE_INVALID, "stone"),
    ],
)
def test_a_code_without_a_hierarchy_that_is_known_is_refused(system, code, kind, word):
    for relation in ("above", "below"):
        issue = refused(lambda relation=relation: codes(TREE).related(system, code, relation))
        assert issue.kind is kind
        assert word in issue.text


def test_a_hierarchy_that_means_something_else_is_refused():
    issue = refused(lambda: codes({**TREE, "hierarchyMeaning": "part-of"}).related(ANIMALS, "bird", "below"))
    assert (issue.kind, "part-of" in issue.text) == (Kind.NOT_SUPPORTED, True)


def test_what_is_below_is_not_told_of_a_system_that_is_here_in_part_and_what_is_above_is():
    part = codes({**TREE, "content": "fragment"})
    assert (ANIMALS, "animal") in part.related(ANIMALS, "bird", "above")
    assert refused(lambda: part.related(ANIMALS, "bird", "below")).kind is Kind.NOT_SUPPORTED


def test_a_code_with_too_many_below_it_is_refused():
    def of(count):
        below = [{"code": f"c{number}"} for number in range(count - 1)]
        return codes({**TREE, "concept": [{"code": "animal", "concept": below}]})

    assert len(of(CODES_MAX).related(ANIMALS, "animal", "below")) == CODES_MAX
    assert refused(lambda: of(CODES_MAX + 1).related(ANIMALS, "animal", "below")).kind is Kind.TOO_COSTLY

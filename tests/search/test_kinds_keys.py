"""How entries of the index are written and cut, and what a parameter's expression says of its elements."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phb_fhir.definitions.load import load
from phb_fhir.outcome import Kind, Rejected
from phb_fhir.search.expressions import extractor
from phb_fhir.search.kinds.elements import elements_of, is_mime, system_of, types_of
from phb_fhir.search.kinds.keys import LENGTH_MAX, beginning, check_length, cut, escaped, shown
from tests.search.one_parameter import made_up, r4

LETTERS = st.text("ab\ud7ff\ue000\U0010ffff\x00", max_size=3)
R4 = load()


@given(st.text("ab\ud7ff\ue000\U0010ffff", max_size=2), LETTERS)
def test_a_range_has_the_entries_that_begin_alike_and_no_others(start, entry):
    asked = beginning(f"p={start}")
    assert (asked.low <= f"p={entry}" < asked.high) is entry.startswith(start)


@given(st.text("ab\ud7ff\ue000\U0010ffff", max_size=2), LETTERS)
def test_a_range_has_everything_that_goes_on_from_its_beginning(start, rest):
    asked = beginning(f"p={start}")
    assert asked.low <= f"p={start}{rest}" < asked.high


@given(st.text("ab\ud7ff\ue000\U0010ffff", max_size=2))
def test_a_range_ends_at_a_text_that_mongodb_can_hold(start):
    asked = beginning(f"p={start}")
    assert asked.low.encode() < asked.high.encode()


@given(
    st.lists(st.text("a|\\*", max_size=3), min_size=2, max_size=2),
    st.lists(st.text("a|\\*", max_size=3), min_size=2, max_size=2),
)
def test_two_texts_with_a_bar_between_them_are_only_like_the_same_two(one, other):
    assert ("|".join(map(escaped, one)) == "|".join(map(escaped, other))) is (one == other)


@given(st.integers(0, 3), st.integers(0, 3))
def test_a_text_that_may_be_asked_for_is_never_like_a_longer_one(less, more):
    asked, kept = "x" * (LENGTH_MAX - less), "x" * (LENGTH_MAX + more)
    assert (asked == cut(kept)) is (asked == kept)


def test_a_value_of_the_greatest_length_is_taken_and_a_longer_one_refused():
    check_length("p", "x" * LENGTH_MAX)
    with pytest.raises(Rejected) as caught:
        check_length("p", "x" * (LENGTH_MAX + 1))
    (issue,) = caught.value.issues
    assert issue.kind is Kind.TOO_LONG
    assert issue.text == f"p={'x' * 100}… has 1001 characters; a search takes at most 1000 of them."


def test_a_value_is_shown_with_its_first_hundred_characters():
    assert shown("x" * 100) == "x" * 100
    assert shown("x" * 101) == "x" * 100 + "…"


# ---- what an expression says -------------------------------------------------------------------------------------------


def tokens():
    for type_ in sorted(R4.resource_types):
        for parameter in R4.search_parameters(type_).values():
            if parameter.type == "token" and parameter.expression and parameter.base == type_:
                yield parameter


def test_the_types_of_r4_s_parameters_are_those_that_their_evaluation_finds():
    known = [parameter for parameter in tokens() if types_of(parameter)]
    wrong = [(one.base, one.code) for one in known if types_of(one) != extractor(R4, one, one.base).types]
    assert wrong == []
    assert len(known) > 500  # most of them are plain paths


@pytest.mark.parametrize(
    ("parameter", "system"),
    [
        (r4("Patient", "gender"), "http://hl7.org/fhir/administrative-gender"),
        (r4("Task", "status"), "http://hl7.org/fhir/task-status"),
        (r4("Observation", "code"), ""),
        (r4("DocumentReference", "contenttype"), ""),
        (r4("Patient", "language"), ""),
        (made_up("token", expression="Patient.gender | Account.status"), ""),
        (made_up("token", expression="Patient.gender | Person.gender"), "http://hl7.org/fhir/administrative-gender"),
    ],
)
def test_the_system_of_a_code_is_the_one_that_its_binding_names(parameter, system):
    assert system_of(parameter) == system


@pytest.mark.parametrize(
    ("expression", "types"),
    [
        ("Patient.identifier", {"Identifier"}),
        ("(Observation.value as CodeableConcept)", {"CodeableConcept"}),
        ("Observation.value.as(CodeableConcept)", {"CodeableConcept"}),
        ("Observation.value.ofType(Quantity) | Observation.code", {"Quantity", "CodeableConcept"}),
        ("Patient.telecom.where(system='email')", {"ContactPoint"}),
        ("Patient.contact.gender", {"code"}),
        ("Patient.nothing", set()),
        ("Nothing.gender", set()),
        ("Patient.gender | Patient.deceased.exists()", set()),
        ("code", set()),
        ("", set()),
    ],
)
def test_the_types_of_an_expression_are_known_where_it_is_plain(expression, types):
    parameter = made_up("token", expression=expression)
    assert types_of(parameter) == types
    assert bool(elements_of(parameter)) is bool(types)


def test_content_types_are_mime_types_and_other_codes_are_not():
    assert is_mime(r4("DocumentReference", "contenttype"))
    assert not is_mime(r4("Patient", "gender"))
    assert not is_mime(r4("Patient", "active"))
    assert not is_mime(made_up("token"))

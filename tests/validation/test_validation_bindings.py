"""Codes that are allowed and about which there is something to say; and what is remembered of codes."""

from __future__ import annotations

import gc
import weakref

import pytest

from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.definitions.terminology import Terminology, core
from phb_fhir.outcome import Kind
from phb_fhir.validation.bindings import ABSTRACT
from phb_fhir.validation.validate import validate

R4 = load()
COLOURS = "http://example.org/colours"


def questionnaire(type_):
    return {"resourceType": "Questionnaire", "status": "draft", "item": [{"linkId": "1", "text": "A", "type": type_}]}


def colours(version, *codes):
    return {
        "resourceType": "CodeSystem",
        "url": COLOURS,
        "version": version,
        "name": "Colours",
        "status": "active",
        "content": "complete",
        "caseSensitive": True,
        "concept": [{"code": code} for code in codes],
    }


def basic(**coding):
    return {"resourceType": "Basic", "code": {"coding": [{"system": COLOURS, **coding}]}}


def told(resource, *conformance, **asked):
    """What is said below the resource itself."""
    found = validate(resource, R4, known=Registry.of(R4, conformance), **asked)
    return [(issue.severity, issue.kind, issue.expression) for issue in found if "." in issue.expression]


def _required():
    """Every value set that R4 requires the codes of, and the type of element that does."""
    for name in sorted(R4.resource_types | R4.complex_types):
        R4.type(name)
    for type_def in R4._types.values():
        for element in type_def.elements.values():
            if element.binding and element.binding.strength == "required" and element.type in ("code", "Quantity"):
                yield element.binding.value_set, element.type


def test_the_codes_of_required_bindings_about_which_there_is_something_to_say_are_these():
    found: dict[str, set[str]] = {}
    for value_set, _ in set(_required()):
        for codes in (R4.codes(value_set) or {}).values():
            for code in codes:
                answer = core(R4).validate_code(value_set, None, code)
                assert answer.valid
                if answer.severity != "information":
                    found.setdefault(value_set.partition("|")[0], set()).add(code)
    assert found == ABSTRACT


def test_a_code_that_only_groups_others_is_a_warning_and_its_neighbour_is_not():
    assert told(questionnaire("question")) == [("warning", Kind.CODE_INVALID, "Questionnaire.item[0].type")]
    assert told(questionnaire("string")) == []
    assert told(questionnaire("strng")) == [("error", Kind.CODE_INVALID, "Questionnaire.item[0].type")]


def test_a_coding_is_judged_by_the_version_it_names():
    both = colours("1", "red"), colours("2", "red", "blue")
    assert told(basic(code="blue", version="2"), *both) == []
    assert told(basic(code="blue"), *both) == [], "the newest, where none is named"
    [(severity, kind, place)] = told(basic(code="blue", version="1"), *both)
    assert (severity, kind, place) == ("error", Kind.CODE_INVALID, "Basic.code.coding[0]")


def test_a_coding_of_a_version_that_is_not_here_is_known_not_to_be_known():
    here = colours("1", "red")
    assert told(basic(code="red", version="3"), here) == []
    assert told(basic(code="blue", version="3"), here) == [("warning", Kind.NOT_SUPPORTED, "Basic.code.coding[0]")]


def test_what_was_said_of_codings_goes_with_the_terminology_that_said_it():
    terminology = Terminology.of(R4, [colours("1", "red")])
    assert told(basic(code="red"), terminology=terminology) == []
    gone = weakref.ref(terminology)
    del terminology
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("system", ["colours", "12:00", "2020-01-01T10:00:00+01:00", "./colours:red"])
def test_a_system_without_a_scheme_is_relative_though_it_has_a_colon(system):
    """RFC 3986 §3.1: a scheme begins with a letter; R4 §2.24.0.10: a system is absolute."""
    tagged = {"resourceType": "Basic", "meta": {"tag": [{"system": system, "code": "a"}]}, "code": {"text": "b"}}
    assert ("error", Kind.VALUE, "Basic.meta.tag[0].system") in told(tagged)
    tagged["meta"]["tag"][0]["system"] = "HTTP://example.org/colours"
    assert ("error", Kind.VALUE, "Basic.meta.tag[0].system") not in told(tagged)

"""Why nobody could search by a SearchParameter, in sentences with places (R4 §5.10)."""

from __future__ import annotations

import pytest

from phb_fhir.definitions.kept import Kept
from phb_fhir.definitions.load import load
from phb_fhir.definitions.search_parameters import search_parameters
from phb_fhir.outcome import Issue, Kind
from phb_fhir.search.usable import TAKES, usable, why_unusable
from tests.search.stored_parameters import BASE, search_parameter

R4 = load()
FAMILY = "http://hl7.org/fhir/SearchParameter/individual-family"


def issues(**more) -> list[Issue]:
    return why_unusable(search_parameter(**more), R4)


def composite(*components: tuple[str, str], **more) -> dict:
    rows = [{"definition": url, "expression": expression} for url, expression in components]
    url, expression = f"{BASE}/SearchParameter/both", "Patient.name"
    return search_parameter(
        **{
            "id": "both",
            "url": url,
            "code": "both",
            "type": "composite",
            "expression": expression,
            "component": rows,
            **more,
        }
    )


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"base": ["Patient", "Practitioner"], "expression": "name.given"},
        {"base": ["Resource"], "expression": "Resource.language", "type": "token"},
        {"type": "token", "expression": "Patient.contact.exists()"},
        {"type": "token", "expression": "Patient.name.given.count()"},  # only the data tells its type
        {"type": "reference", "expression": "Patient.link.other.where(resolve() is Patient)", "target": ["Patient"]},
        {"type": "date", "expression": "Patient.extension.value"},
    ],
)
def test_one_that_finds_what_its_type_takes_is_right(change):
    assert issues(**change) == []


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        ({"expression": "Patient.nam"}, Kind.VALUE, '"Patient.nam" finds nothing: Patient has no such element.'),
        (
            {"expression": "Patient.name.nope()"},
            Kind.VALUE,
            '"Patient.name.nope()" cannot be used: the function nope() is not known here.',
        ),
        (
            {"type": "date"},
            Kind.VALUE,
            "It finds string, of which a parameter of the type date can make nothing.",
        ),
        (
            {"type": "reference", "expression": "Patient.birthDate | Patient.contact.name"},
            Kind.VALUE,
            "It finds HumanName, date, of which a parameter of the type reference can make nothing.",
        ),
    ],
)
def test_an_expression_is_told_why_it_cannot_be_used(change, kind, text):
    assert issues(**change) == [Issue(kind, text, "SearchParameter.expression")]


def test_an_expression_is_compiled_for_each_type_it_is_for():
    (issue,) = issues(base=["Patient", "Account"], expression="name.given")
    assert issue.text == '"name.given" finds nothing: Account has no such element.'


def test_what_is_wrong_beside_its_expression_is_said_first_and_alone():
    assert [issue.expression for issue in issues(code="a.b", expression="Patient.nam")] == ["SearchParameter.code"]


def test_a_component_is_compiled_from_what_the_composite_finds():
    assert why_unusable(composite((FAMILY, "family"), (FAMILY, "given")), R4) == []
    assert why_unusable(composite((FAMILY, "family"), (FAMILY, "Patient.birthDate")), R4) == [
        Issue(
            Kind.VALUE,
            '"Patient.birthDate" finds nothing: HumanName has no such element.',
            "SearchParameter.component[1].expression",
        )
    ]
    assert why_unusable(composite((FAMILY, "family"), (FAMILY, "period")), R4) == [
        Issue(
            Kind.VALUE,
            "It finds Period, of which a parameter of the type string can make nothing.",
            "SearchParameter.component[1].expression",
        )
    ]


def test_a_composite_whose_own_expression_is_no_path_is_refused():
    (issue,) = why_unusable(composite((FAMILY, "family"), (FAMILY, "given"), expression="Patient.name.take(2)"), R4)
    assert (issue.kind, issue.expression) == (Kind.NOT_SUPPORTED, "SearchParameter.expression")


def test_every_parameter_of_r4_and_the_guide_finds_what_its_type_takes():
    for type_ in sorted(R4.resource_types):
        for parameter in search_parameters(R4).of(type_).values():
            if parameter.expression and parameter.type in TAKES:
                stated = {
                    "base": [type_],
                    "expression": parameter.expression,
                    "type": parameter.type,
                    "code": "another",
                }
                found = [issue for issue in issues(**stated) if issue.is_error]
                assert found == [], (type_, parameter.code)


def test_of_stored_parameters_those_are_usable_that_nothing_is_wrong_with():
    stored = [
        Kept.of(search_parameter()),
        Kept.of(search_parameter(id="b", url=f"{BASE}/b", code="b", expression="Patient.nam")),
        Kept.of(search_parameter(id="c", url=f"{BASE}/c", code="name")),
        Kept.of(search_parameter(id="d", url=f"{BASE}/d", code=[])),
        Kept.of(composite((FAMILY, "family"), (f"{BASE}/SearchParameter/nickname", "given"))),
    ]
    assert [kept.id for kept in usable(stored, R4)] == ["nickname", "both"]
    assert [kept.id for kept in usable(stored[1:], R4)] == []

"""What search expressions find, held against tables written by hand and against the FHIRPath engine (R4 §5.10)."""

from __future__ import annotations

import gzip
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phb_fhir.definitions.load import SearchParameter, load
from phb_fhir.definitions.search_parameters import search_parameters
from phb_fhir.fhir import codec
from phb_fhir.fhirpath.evaluate import compiled
from phb_fhir.search.engine import by_engine, points_to
from phb_fhir.search.expressions import EXPRESSION_LENGTH_MAX, component_of, extractor, program_of

EXAMPLES = Path(__file__).parents[2].parent / "shared" / "conformance" / "examples" / "r4-4.0.1-instances.ndjson.gz"
R4 = load()
PARAMETERS = search_parameters(R4)


def parameter(expression: str, type_: str = "token", base: str = "Patient") -> SearchParameter:
    return SearchParameter(base, "x", type_, expression, "")


def found(expression: str, resource: dict) -> list:
    return extractor(R4, parameter(expression), resource["resourceType"]).values(resource)


@cache
def examples() -> dict[str, list[dict]]:
    by_type = defaultdict(list)
    with gzip.open(EXAMPLES) as lines:
        for line in lines:
            resource = codec.loads(line, depth_max=200)
            by_type[resource["resourceType"]].append(resource)
    return by_type


# ---- shapes ----------------------------------------------------------------------------------------------------------

URL = "https://fhir.example/StructureDefinition"
NAMES = [
    {"use": "official", "family": "Byron", "given": ["Ada", "May"]},
    {"use": "nickname", "given": ["Lady"], "_given": [{"id": "g"}]},
]
PERSON = {
    "resourceType": "Patient",
    "id": "1",
    "extension": [
        {"url": f"{URL}/a", "valueCode": "x"},
        {"url": f"{URL}/b", "extension": [{"url": "c", "valueReference": {"reference": "Group/1"}}]},
        {"url": f"{URL}/a", "valueString": "y"},
    ],
    "contained": [{"resourceType": "Practitioner", "id": "p1"}, {"resourceType": "Organization", "id": "o1"}],
    "active": False,
    "name": NAMES,
    "telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "a@b"}, {"value": "?"}],
    "birthDate": "1815-12-10",
    "_birthDate": {"extension": [{"url": f"{URL}/time", "valueDateTime": "1815-12-10T10:00:00Z"}]},
    "_gender": {"extension": [{"url": f"{URL}/why", "valueCode": "unknown"}]},
    "multipleBirthInteger": 2,
    "generalPractitioner": [
        {"reference": "Organization/1"},
        {"reference": "https://other.example/fhir/Practitioner/2/_history/3"},
        {"reference": "#p1"},
        {"reference": "#o1"},
        {"reference": "#gone"},
        {"type": "Practitioner", "identifier": {"value": "9"}},
        {"display": "Dr"},
        {"reference": "urn:uuid:1", "type": "http://hl7.org/fhir/StructureDefinition/Practitioner"},
    ],
    "link": [{"other": {"reference": "Patient/2"}, "type": "seealso"}],
}
PRACTITIONERS = [PERSON["generalPractitioner"][place] for place in (1, 2, 5, 7)]


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("Patient.active", [("boolean", False)]),
        ("active", [("boolean", False)]),
        ("Practitioner.active | Patient.active", [("boolean", False)]),
        ("Resource.id", [("id", "1")]),
        ("Patient.name", [("HumanName", name) for name in NAMES]),
        ("Patient.name.given", [("string", "Ada"), ("string", "May"), ("string", "Lady")]),
        ("Patient.name.family | Patient.name.given", [("string", t) for t in ("Byron", "Ada", "May", "Lady")]),
        ("(Patient.name | Patient.contact.name).given", [("string", "Ada"), ("string", "May"), ("string", "Lady")]),
        ("Patient.name.where(use='nickname').given", [("string", "Lady")]),
        ("Patient.name.where(use = 'nickname' or family = 'Byron').use", [("code", "official"), ("code", "nickname")]),
        ("Patient.name.where(use='nickname' and family.exists()).use", []),
        ("Patient.name.where(family.exists().not()).use", [("code", "nickname")]),
        ("Patient.name.where(use != 'official').use", [("code", "nickname")]),
        ("Patient.name.given.where($this = 'May')", [("string", "May")]),
        ("Patient.name[1].use", [("code", "nickname")]),
        ("Patient.name.first().given", [("string", "Ada"), ("string", "May")]),
        ("Patient.name[2].use", []),
        ("Patient.telecom.where(system='email')", [("ContactPoint", PERSON["telecom"][1])]),
        ("Patient.multipleBirth", [("integer", 2)]),
        ("(Patient.multipleBirth as integer)", [("integer", 2)]),
        ("Patient.multipleBirth as integer", [("integer", 2)]),
        ("Patient.multipleBirth.as(boolean) | Patient.multipleBirth.ofType(FHIR.integer)", [("integer", 2)]),
        ("(Patient.multipleBirth as boolean)", []),
        ("Patient.name.use.ofType(string)", [("code", "official"), ("code", "nickname")]),  # a code is a string
        (f"Patient.extension('{URL}/a').value", [("code", "x"), ("string", "y")]),
        (f"Patient.extension.where(url = '{URL}/a').value.ofType(code)", [("code", "x")]),
        (f"Patient.extension('{URL}/b').extension('c').value.reference", [("string", "Group/1")]),
        (f"Patient.birthDate.extension('{URL}/time').value", [("dateTime", "1815-12-10T10:00:00Z")]),
        ("Patient.birthDate", [("date", "1815-12-10")]),
        ("Patient.gender", []),  # of which there is an extension only
        ("Patient.generalPractitioner.where(resolve() is Practitioner)", [("Reference", one) for one in PRACTITIONERS]),
        ("Patient.generalPractitioner.where(resolve() is Patient)", []),
        ("Patient.deceased.exists() and Patient.deceased != false", [("boolean", False)]),
        ("Patient.name.exists()", [("boolean", True)]),
        ("Patient.name.where(hasExtension('x')).given", []),
        (f"Patient.where(hasExtension('{URL}/a')).id", [("id", "1")]),
        # what is no path is the engine's
        ("Patient.name.given.count()", [("integer", 3)]),
        ("iif(Patient.active, 'a', 'b')", [("string", "b")]),
        ("Patient.name.given.select($this.upper())", [("string", "ADA"), ("string", "MAY"), ("string", "LADY")]),
        ("Patient.name.select(given.first() + ' ' + family)", [("string", "Ada Byron")]),
        ("Patient.name.given[2]", [("string", "Lady")]),
        ("Patient.contained.id", [("id", "p1"), ("id", "o1")]),
        ("Patient.generalPractitioner.select(iif(resolve() is Organization, reference, {}))",
         [("string", "Organization/1"), ("string", "#o1")]),
    ],
)  # fmt: skip
def test_an_expression_finds_typed_values_in_order(expression, values):
    assert found(expression, PERSON) == values


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        ({"deceasedBoolean": True}, True),
        ({"deceasedBoolean": False}, False),
        ({"deceasedDateTime": "2026"}, True),
        ({}, False),
    ],
)
def test_a_person_is_deceased_when_said_so_or_at_a_date(resource, said):
    expression = PARAMETERS.of("Patient")["deceased"].expression
    assert found(expression, {"resourceType": "Patient", **resource}) == [("boolean", said)]


def test_the_first_entry_of_a_document_is_found_as_its_composition():
    entries = [{"resource": {"resourceType": "Composition", "id": "1"}}, {"resource": PERSON}]
    document = {"resourceType": "Bundle", "type": "document", "entry": entries}
    expression = PARAMETERS.of("Bundle")["composition"].expression
    assert found(expression, document) == [("Composition", entries[0]["resource"])]
    assert found(PARAMETERS.of("Bundle")["message"].expression, document) == []
    assert found(expression, {**document, "entry": entries[::-1]}) == []


def test_a_component_begins_at_its_element_and_may_ask_the_resource():
    variant = {"start": 1}
    resource = {
        "resourceType": "MolecularSequence",
        "referenceSeq": {"chromosome": {"text": "X"}, "windowStart": 5},
        "variant": [variant],
    }
    of = ("MolecularSequence.variant", "MolecularSequence")
    assert component_of(R4, "start", *of).run(variant, resource) == [("integer", 1)]
    around = component_of(R4, "%resource.referenceSeq.chromosome", *of)
    assert around.run(variant, resource) == [("CodeableConcept", {"text": "X"})]
    both = component_of(R4, "start | %resource.referenceSeq.windowStart", *of)
    assert both.run(variant, resource) == [("integer", 1), ("integer", 5)]


@pytest.mark.parametrize(
    ("type_", "expression", "types", "is_list"),
    [
        ("Patient", "Patient.birthDate", {"date"}, False),
        ("Patient", "Patient.name.family", {"string"}, True),
        ("Patient", "Patient.name[0].family", {"string"}, False),
        ("Patient", "Patient.birthDate | Patient.deceased.as(dateTime)", {"date", "dateTime"}, True),
        ("Observation", "Observation.effective", {"dateTime", "Period", "Timing", "instant"}, False),
        (
            "Observation",
            "(Observation.value as dateTime) | (Observation.value as Period)",
            {"dateTime", "Period"},
            False,
        ),
        (
            "Observation",
            "(Observation.value as Quantity) | Observation.component.value.as(Quantity)",
            {"Quantity"},
            True,
        ),
        ("Observation", "Observation", {"Observation"}, False),
        ("Patient", "Patient.active.exists()", {"boolean"}, False),
        ("Patient", "Patient.name.given.count()", set(), True),
    ],
)
def test_types_and_number_of_values_are_known_beforehand(type_, expression, types, is_list):
    known = extractor(R4, parameter(expression, base=type_), type_)
    assert (known.types, known.is_list) == (types, is_list)


@pytest.mark.parametrize(
    ("reference", "type_"),
    [
        ({"reference": "Patient/1"}, "Patient"),
        ({"reference": "Patient/1", "type": "Group"}, "Patient"),
        ({"reference": "https://a.example/x/Patient/1/_history/2"}, "Patient"),
        ({"type": "Patient"}, "Patient"),
        ({"reference": "#"}, "Patient"),
        ({"reference": "#p1"}, "Practitioner"),
        ({"reference": "urn:uuid:0"}, ""),
        ({"reference": "Patient"}, ""),
        ({"reference": 5, "type": []}, ""),
        ({}, ""),
        ("https://a.example/Measure/1", "Measure"),
        (7, ""),
    ],
)
def test_what_a_reference_points_to_is_told_by_what_it_says(reference, type_):
    assert points_to(reference, PERSON) == type_


# ---- what cannot be used ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("Patient.nam", "finds nothing: Patient has no such element"),
        ("Practitioner.name", "finds nothing"),
        ("Patient.birthDate.as(Quantity)", "finds nothing"),
        ("Patient.name.family.family", "finds nothing"),
        ("Patient.name.", "it is not FHIRPath"),
        ("Patient.name extra", "it is not FHIRPath"),
        ("Patient.name.nope()", "nope"),
        ("Patient.name.where()", "arguments"),
        ("Patient.name.as(DateTime2)", 'there is no type "DateTime2"'),
        ("(Patient.name as Foo)", 'there is no type "Foo"'),
        ("Patient.birthDate = today()", "more than the resource"),
        ("Patient.extension.where(%extension.exists()).value", "%extension is for rules"),
        ("Patient.maritalStatus.memberOf('x')", "more than the resource"),
        ("Patient.generalPractitioner.resolve().name", "only its type"),
        ("Patient.link.other.where(resolve().name.exists())", "only its type"),
        ("Patient." + "name." * EXPRESSION_LENGTH_MAX, "the most"),
        ("(" * 1500 + "Patient.name" + ")" * 1500, "cannot be used"),
    ],
)
def test_an_expression_that_cannot_be_used_is_refused_with_the_reason(expression, why):
    with pytest.raises(ValueError, match=r"cannot be used|finds nothing|the most") as refused:
        extractor(R4, parameter(expression), "Patient")
    assert why in str(refused.value)


def test_an_expression_that_is_too_much_work_on_a_resource_finds_nothing_there_and_ends():
    expression = "Patient.name.where(given.combine(%resource.descendants()).count() > 1).family"
    assert found(expression, PERSON) == [("string", "Byron")]
    large = {**PERSON, "name": [{"family": str(number), "given": ["a"] * 9} for number in range(500)]}
    assert found(expression, large) == []


@pytest.mark.parametrize(
    ("expression", "count"),
    [
        ("Patient.contained.where(id = 'o1').id", 1),
        ("Patient.extension(%resource.id)", 0),
        ("Patient.active is boolean", 1),
        ("Patient.name is HumanName", 0),  # of one value only it could be said
        ("Patient.name[0 + 1].use", 1),
        ("(Patient.name | Patient.contact.name)[1].use", 1),
        ("Patient.name[1].given | Patient.name[0].family | Patient.name[1].use", 3),
        ("%context.id | %resource.id | %rootResource.id", 1),
        ("%ucum", 1),
        ("Patient.where(active).id", 0),
        ("Patient.where(active.not()).id", 1),
        ("Patient.name.where(given).use", 0),
        ("Patient.name.where(use = 'official' xor family.exists()).use", 0),
        ("Patient.name.where(use ~ 'OFFICIAL').use", 1),
        ("Patient.name.where(family = 'Byron').where(use = %resource.name[0].use).use", 1),
        ("Patient.name.where(use = family or use = 'nickname').use", 1),
        ("Patient.where(birthDate = '1815-12-10').id", 0),
        ("Patient.where(birthDate = @1815-12-10).id", 1),
        ("Patient.where(deceased = false).id", 0),
        ("Patient.where(deceased.exists() or active = false).id", 1),
        ("Patient.where(deceased = true and active = true).id", 0),
        ("Patient.where((deceased = true).not()).id", 0),
        ("Patient.where(name.exists(use = 'nickname')).id", 1),
        ("Patient.where(hasExtension(%resource.id)).id", 0),
        ("Patient.birthDate.where(extension.exists())", 1),
        ("Patient.name.given.where(extension.exists())", 0),
        ("Patient.link.other.where(reference is string)", 1),
        ("Patient.link.where(other.resolve() is Patient).type", 1),
        ("Patient.link.where(resolve() is Patient).type", 0),
        ("Patient.name.where($this.use = 'nickname').given", 1),
    ],
)
def test_what_is_hardly_a_path_finds_what_the_engine_finds(expression, count):
    values = program_of(R4, expression, "Patient").run(PERSON, PERSON)
    assert len(values) == count
    assert values == by_engine(compiled(expression), R4, "Patient")(PERSON, PERSON)


def test_an_expression_that_may_lead_to_a_great_many_places_is_left_to_the_engine():
    nested = {"url": "b", "valueCodeableConcept": {"extension": [{"url": "c", "valueCode": "x"}]}}
    resource = {"resourceType": "Patient", "extension": [nested]}
    assert found("Patient.extension.value.extension.value", resource) == [("code", "x")]
    assert found("Patient" + ".extension.value" * 40, resource) == []
    assert len(program_of(R4, "Patient.extension.value", "Patient").routes) == 50


# ---- all of R4's -----------------------------------------------------------------------------------------------------


def every_expression() -> list[tuple[str, str, str]]:
    return [
        (type_, code, one.expression)
        for type_ in sorted(R4.resource_types)
        for code, one in PARAMETERS.of(type_).items()
        if one.expression
    ]


def test_every_expression_of_r4_and_the_guide_is_compiled_to_routes_and_none_left_to_the_engine():
    left = {
        (type_, code)
        for type_, code, expression in every_expression()
        if (program := program_of(R4, expression, type_)).function is not None and not program.types
    }
    assert len(every_expression()) > 2_500
    assert left == set()


def test_every_component_of_a_composite_is_compiled_for_what_the_composite_finds():
    count = 0
    for type_ in sorted(R4.resource_types):
        for one in PARAMETERS.of(type_).values():
            for starts in program_of(R4, one.expression, type_).types if one.components else ():
                for part in one.components:
                    assert component_of(R4, part.expression, starts, type_).function is None
                    count += 1
    assert count > 140


def test_an_expression_is_compiled_once():
    one = program_of(R4, "Patient.name.family", "Patient")
    assert program_of(R4, "Patient.name.family", "Patient") is one


def test_on_all_examples_every_expression_finds_what_the_engine_finds_in_the_same_order():
    compared = with_values = 0
    for type_, resources in examples().items():
        for one in PARAMETERS.of(type_).values():
            if not one.expression:
                continue
            program, engine = program_of(R4, one.expression, type_), by_engine(compiled(one.expression), R4, type_)
            for resource in resources:
                values = program.run(resource, resource)
                assert values == engine(resource, resource), (type_, resource["id"], one.code)
                assert program.is_list or len(values) <= 1
                assert not program.types or {named for named, _ in values} <= program.types
                compared, with_values = compared + 1, with_values + bool(values)
    assert (compared > 11_000, with_values > 5_000) == (True, True)


def test_on_all_examples_every_component_finds_what_the_engine_finds():
    compared = 0
    for type_, resources in examples().items():
        for one in PARAMETERS.of(type_).values():
            for resource in resources if one.components else ():
                for starts, element in program_of(R4, one.expression, type_).run(resource, resource):
                    for part in one.components:
                        values = component_of(R4, part.expression, starts, type_).run(element, resource)
                        assert values == by_engine(compiled(part.expression), R4, starts)(element, resource)
                        compared += 1
    assert compared > 1_000


# ---- any expression --------------------------------------------------------------------------------------------------

OPEN_TYPES = {"Resource", "xhtml"}


@st.composite
def paths(draw, type_: str, start: str) -> str:
    """A path from an element of a type, with a condition or an index here and there."""
    text = start
    for _ in range(draw(st.integers(1, 4))):
        elements = [one for one in _elements(type_) if one.type not in OPEN_TYPES]
        if not elements:
            break
        element = draw(st.sampled_from(elements))
        text += f".{element.path_name}"
        type_ = element.type
        if element.choice:
            text += f".{draw(st.sampled_from(['ofType', 'as']))}({type_})"
        if draw(st.integers(0, 3)) == 0:
            text += draw(conditions(type_))
    return text


@st.composite
def conditions(draw, type_: str) -> str:
    plain = [one for one in _elements(type_) if one.type in ("code", "string", "uri", "boolean") and not one.choice]
    if not plain:
        return ""
    name = draw(st.sampled_from(plain)).path_name
    literal = draw(st.sampled_from(["'official'", "'final'", "'phone'", "'http://loinc.org'", "true", "false"]))
    forms = [f"{name} = {literal}", f"{name}.exists()", f"{name} = {literal} or {name}.exists()"]
    forms += [f"{name}.exists().not()", f"{name} = {literal} and {name}.exists()"]
    return draw(st.sampled_from(["[0]", "[1]", ".first()", *(f".where({form})" for form in forms)]))


def _elements(type_: str):
    try:
        return sorted(R4.type(type_).elements.values(), key=lambda one: one.name)
    except KeyError:
        return []


TYPES = ("Patient", "Observation", "CarePlan", "Questionnaire", "ValueSet", "MedicationRequest", "Claim")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_path_finds_what_the_engine_finds(data):
    type_ = data.draw(st.sampled_from(TYPES))
    sides = data.draw(st.lists(paths(type_, type_), min_size=1, max_size=2))
    expression = " | ".join(sides)
    try:
        program = program_of(R4, expression, type_)
    except ValueError as reason:
        assert "finds nothing" in str(reason)  # noqa: PT017 - most expressions are right
        return
    engine = by_engine(compiled(expression), R4, type_)
    for resource in examples()[type_][:12]:
        values = program.run(resource, resource)
        assert values == engine(resource, resource), expression
        assert program.is_list or len(values) <= 1

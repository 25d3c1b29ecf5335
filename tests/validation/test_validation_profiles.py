"""What a profile may ask, each with a resource that does it, one that does not, and what is said of that one."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from phb_fhir.outcome import Kind
from tests.validation.resources import observation, patient
from tests.validation.small_profiles import BASE, NAMED, element, errors, extension, profile, remarks, sliced

SYSTEM = "https://example.org/ids"


class Case(NamedTuple):
    elements: list[dict[str, Any]]  # the differential
    good: dict[str, Any]
    bad: dict[str, Any]
    issues: list[tuple[Kind, str, str]]  # kind, expression, a part of the sentence


def identified(*pairs):
    return patient(identifier=[{"system": f"{SYSTEM}/{system}", "value": value} for system, value in pairs])


def component(code, **value):
    return {"code": {"coding": [{"system": SYSTEM, "code": code}]}, **value}


def quantity(value, code="kg"):
    return {"value": value, "system": "http://unitsofmeasure.org", "code": code}


BY_SYSTEM = [
    sliced("Patient.identifier", ("value", "system"), min=1),
    element("Patient.identifier:one", min=1, max="1"),
    element("Patient.identifier:one.system", min=1, fixedUri=f"{SYSTEM}/one"),
    element("Patient.identifier:one.value", min=1, maxLength=3),
    element("Patient.identifier:two", min=0, max="1"),
    element("Patient.identifier:two.system", min=1, fixedUri=f"{SYSTEM}/two"),
]


def by_system(**slicing):
    return [sliced("Patient.identifier", ("value", "system"), **slicing), *BY_SYSTEM[1:]]


CASES = {
    # ---- cardinality
    "a minimum": Case(
        [element("Patient.name", min=1)],
        patient(name=[{"text": "A"}]),
        patient(),
        [(Kind.REQUIRED, "Patient.name", 'The profile Mine asks for "name": at least 1.')],
    ),
    "a maximum": Case(
        [element("Patient.name", max="1")],
        patient(name=[{"text": "A"}]),
        patient(name=[{"text": "A"}, {"text": "B"}]),
        [(Kind.INVALID, "Patient.name", '"name" 1 time at most, not 2')],
    ),
    "what is not allowed at all": Case(
        [element("Patient.contact.gender", max="0")],
        patient(contact=[{"name": {"text": "A"}}]),
        patient(contact=[{"name": {"text": "A"}}, {"name": {"text": "B"}, "gender": "male"}]),
        [(Kind.INVALID, "Patient.contact[1].gender", "leave it out")],
    ),
    "a minimum inside an element counts only where the element is": Case(
        [element("Patient.contact.name", min=1)],
        patient(),
        patient(contact=[{"gender": "male", "address": {"text": "here"}}]),
        [(Kind.REQUIRED, "Patient.contact[0].name", '"contact.name"')],
    ),
    "a minimum in a data type": Case(
        [element("Patient.name.family", min=1)],
        patient(name=[{"family": "A"}]),
        patient(name=[{"family": "A"}, {"text": "B"}]),
        [(Kind.REQUIRED, "Patient.name[1].family", '"name.family"')],
    ),
    "a primitive is there by its extension alone": Case(
        [element("Patient.birthDate", min=1)],
        patient(_birthDate={"extension": [{"url": "https://example.org/e", "valueCode": "unknown"}]}),
        patient(),
        [(Kind.REQUIRED, "Patient.birthDate", '"birthDate"')],
    ),
    # ---- values
    "a fixed primitive": Case(
        [element("Patient.gender", fixedCode="other")],
        patient(gender="other"),
        patient(gender="male"),
        [(Kind.VALUE, "Patient.gender", 'fixes "gender" to "other"; this is "male"')],
    ),
    "a fixed boolean": Case(
        [element("Patient.active", fixedBoolean=True)],
        patient(active=True),
        patient(active=False),
        [(Kind.VALUE, "Patient.active", 'fixes "active" to true; this is false')],
    ),
    "a fixed element has nothing more": Case(
        [element("Patient.maritalStatus", fixedCodeableConcept={"text": "M"})],
        patient(maritalStatus={"id": "m", "text": "M"}),
        patient(maritalStatus={"text": "M", "coding": [{"code": "M"}]}),
        [(Kind.VALUE, "Patient.maritalStatus", "fixes")],
    ),
    "a pattern is the least": Case(
        [element("Patient.maritalStatus", patternCodeableConcept={"coding": [{"code": "M"}]})],
        patient(maritalStatus={"text": "M", "coding": [{"code": "X"}, {"system": SYSTEM, "code": "M"}]}),
        patient(maritalStatus={"coding": [{"code": "X"}]}),
        [(Kind.VALUE, "Patient.maritalStatus", '"maritalStatus" to have at least')],
    ),
    "numbers are compared as numbers": Case(
        [element("Observation.value[x]", type=[{"code": "Quantity"}], fixedQuantity=quantity(1.0))],
        observation(valueQuantity=quantity(1.00)),
        observation(valueQuantity=quantity(1.5)),
        [(Kind.VALUE, "Observation.value.ofType(Quantity)", "fixes")],
    ),
    "a smallest value": Case(
        [element("Patient.multipleBirth[x]", type=[{"code": "integer"}], minValueInteger=2)],
        patient(multipleBirthInteger=2),
        patient(multipleBirthInteger=1),
        [(Kind.VALUE, "Patient.multipleBirth.ofType(integer)", "at least 2")],
    ),
    "a largest quantity, in its unit": Case(
        [element("Observation.value[x]", type=[{"code": "Quantity"}], maxValueQuantity=quantity(5))],
        observation(valueQuantity=quantity(5)),
        observation(valueQuantity=quantity(5.5)),
        [(Kind.VALUE, "Observation.value.ofType(Quantity)", "at most")],
    ),
    "a largest quantity, in another unit of the same kind": Case(
        [element("Observation.value[x]", type=[{"code": "Quantity"}], maxValueQuantity=quantity(5))],
        observation(valueQuantity=quantity(5000, "g")),
        observation(valueQuantity=quantity(5001, "g")),
        [(Kind.VALUE, "Observation.value.ofType(Quantity)", "at most")],
    ),
    "a largest date": Case(
        [element("Patient.birthDate", maxValueDate="2020-06-15")],
        patient(birthDate="2020-06"),
        patient(birthDate="2020-07"),
        [(Kind.VALUE, "Patient.birthDate", 'at most "2020-06-15"')],
    ),
    "a largest date counted from today": Case(
        [
            element(
                "Patient.birthDate", maxValueDuration={"value": 1, "system": "http://unitsofmeasure.org", "code": "a"}
            )
        ],
        patient(birthDate="2027-03-31"),
        patient(birthDate="2027-04-05"),
        [(Kind.VALUE, "Patient.birthDate", "at most")],
    ),
    "a length": Case(
        [element("Patient.name.family", maxLength=5)],
        patient(name=[{"family": "12345"}]),
        patient(name=[{"family": "123456"}]),
        [(Kind.TOO_LONG, "Patient.name[0].family", "5 characters; these are 6")],
    ),
    "a binding that the type leaves loose": Case(
        [
            element(
                "Patient.maritalStatus",
                binding={"strength": "required", "valueSet": "http://hl7.org/fhir/ValueSet/administrative-gender"},
            )
        ],
        patient(maritalStatus={"coding": [{"system": "http://hl7.org/fhir/administrative-gender", "code": "other"}]}),
        patient(maritalStatus={"coding": [{"system": "http://hl7.org/fhir/name-use", "code": "usual"}]}),
        [(Kind.CODE_INVALID, "Patient.maritalStatus", "is not in the value set")],
    ),
    "an invariant": Case(
        [
            element(
                "Patient.name",
                constraint=[
                    {"key": "x-1", "severity": "error", "human": "A name has a text", "expression": "text.exists()"}
                ],
            )
        ],
        patient(name=[{"text": "A"}]),
        patient(name=[{"text": "A"}, {"family": "A"}]),
        [(Kind.INVARIANT, "Patient.name[1]", "A name has a text (x-1)")],
    ),
    # ---- types
    "one type of a choice": Case(
        [element("Observation.value[x]", type=[{"code": "Quantity"}, {"code": "string"}])],
        observation(valueString="a"),
        observation(valueInteger=1),
        [(Kind.INVALID, "Observation.value.ofType(integer)", "as Quantity, string, not as integer")],
    ),
    "rules for one type of a choice": Case(
        [
            sliced("Observation.value[x]", ("type", "$this")),
            element("Observation.value[x]:valueQuantity", type=[{"code": "Quantity"}]),
            element("Observation.value[x]:valueQuantity.code", min=1),
        ],
        observation(valueString="a"),
        observation(valueQuantity={"value": 1}),
        [(Kind.REQUIRED, "Observation.value.ofType(Quantity).code", "value[x]:valueQuantity.code")],
    ),
    # ---- slicing
    "a slice that must be there": Case(
        BY_SYSTEM,
        identified(("one", "1"), ("other", "12345")),
        identified(("other", "1")),
        [(Kind.REQUIRED, "Patient.identifier", '"identifier:one": at least 1')],
    ),
    "a slice that may be there once": Case(
        BY_SYSTEM,
        identified(("one", "1"), ("two", "2")),
        identified(("one", "1"), ("two", "2"), ("two", "3")),
        [(Kind.INVALID, "Patient.identifier", '"identifier:two" 1 time at most, not 2')],
    ),
    "a rule inside a slice": Case(
        BY_SYSTEM,
        identified(("two", "12345"), ("one", "123")),
        identified(("two", "12345"), ("one", "1234")),
        [(Kind.TOO_LONG, "Patient.identifier[1].value", '"identifier:one.value" 3 characters')],
    ),
    "a closed slicing": Case(
        by_system(rules="closed"),
        identified(("two", "2"), ("one", "1")),
        identified(("one", "1"), ("other", "2")),
        [(Kind.INVALID, "Patient.identifier[1]", "one, two. This is none of them")],
    ),
    "a slicing open at its end": Case(
        by_system(rules="openAtEnd"),
        identified(("one", "1"), ("other", "2")),
        identified(("other", "2"), ("one", "1")),
        [(Kind.INVALID, "Patient.identifier[0]", "after those of its slices")],
    ),
    "an ordered slicing": Case(
        by_system(ordered=True),
        identified(("one", "1"), ("other", "2"), ("two", "2")),
        identified(("two", "2"), ("one", "1")),
        [(Kind.INVALID, "Patient.identifier[1]", "in this order: one, two")],
    ),
    "slices by pattern": Case(
        [
            sliced("Observation.component", ("pattern", "code")),
            element("Observation.component:a", min=1, max="1"),
            element(
                "Observation.component:a.code", patternCodeableConcept={"coding": [{"system": SYSTEM, "code": "a"}]}
            ),
        ],
        observation(component=[component("b"), component("a")]),
        observation(component=[component("b")]),
        [(Kind.REQUIRED, "Observation.component", '"component:a"')],
    ),
    "slices by a value deep down": Case(
        [
            sliced("Observation.component", ("value", "code.coding.code")),
            element("Observation.component:a", min=0, max="1"),
            element("Observation.component:a.code.coding.code", min=1, fixedCode="a"),
            element("Observation.component:a.value[x]", min=1),
        ],
        observation(component=[component("b"), component("a", valueString="x")]),
        observation(component=[component("b"), component("a")]),
        [(Kind.REQUIRED, "Observation.component[1].value", '"component:a.value[x]"')],
    ),
    "slices by whether something is there": Case(
        [
            sliced("Patient.identifier", ("exists", "period")),
            element("Patient.identifier:dated", min=0, max="1"),
            element("Patient.identifier:dated.period", min=1),
            element("Patient.identifier:undated", min=0, max="*"),
            element("Patient.identifier:undated.period", max="0"),
            element("Patient.identifier:undated.value", min=1),
        ],
        patient(identifier=[{"period": {"start": "2020"}}, {"value": "1"}, {"value": "2"}]),
        patient(identifier=[{"system": SYSTEM}, {"period": {"start": "2020"}}]),
        [(Kind.REQUIRED, "Patient.identifier[0].value", '"identifier:undated.value"')],
    ),
    "slices by the type of a target": Case(
        [
            sliced("Patient.generalPractitioner", ("type", "resolve()")),
            element(
                "Patient.generalPractitioner:org",
                min=1,
                max="1",
                type=[{"code": "Reference", "targetProfile": [f"{BASE}/Organization"]}],
            ),
        ],
        patient(
            contained=[{"resourceType": "Organization", "id": "o", "name": "A"}],
            generalPractitioner=[{"reference": "Practitioner/1"}, {"reference": "#o"}],
        ),
        patient(
            contained=[{"resourceType": "Practitioner", "id": "o"}],
            generalPractitioner=[{"reference": "#o"}],
        ),
        [(Kind.REQUIRED, "Patient.generalPractitioner", '"generalPractitioner:org"')],
    ),
    "slices by the type of a target that is elsewhere": Case(
        [
            sliced("Patient.generalPractitioner", ("type", "resolve()")),
            element(
                "Patient.generalPractitioner:org",
                min=1,
                max="1",
                type=[{"code": "Reference", "targetProfile": [f"{BASE}/Organization"]}],
            ),
        ],
        patient(generalPractitioner=[{"reference": "Practitioner/1"}, {"reference": "Organization/1"}]),
        patient(generalPractitioner=[{"reference": "Organization/1"}, {"type": "Organization", "display": "Oak"}]),
        [(Kind.INVALID, "Patient.generalPractitioner", '"generalPractitioner:org"')],
    ),
    "slices by what a target elsewhere is by R4's own definitions": Case(
        [
            sliced("Patient.generalPractitioner", ("profile", "resolve()")),
            element(
                "Patient.generalPractitioner:org",
                min=1,
                type=[{"code": "Reference", "targetProfile": [f"{BASE}/Organization"]}],
            ),
        ],
        patient(generalPractitioner=[{"reference": "Organization/1"}]),
        patient(generalPractitioner=[{"reference": "Practitioner/1"}]),
        [(Kind.REQUIRED, "Patient.generalPractitioner", '"generalPractitioner:org"')],
    ),
    "a target that is named by its type and an identifier": Case(
        [
            element(
                "Patient.generalPractitioner", type=[{"code": "Reference", "targetProfile": [f"{BASE}/Organization"]}]
            )
        ],
        patient(generalPractitioner=[{"type": "Organization", "identifier": {"value": "1"}}]),
        patient(generalPractitioner=[{"type": "Practitioner", "identifier": {"value": "1"}}]),
        [(Kind.INVALID, "Patient.generalPractitioner[0]", "not to Practitioner")],
    ),
    "a slice that is sliced again": Case(
        [
            sliced("Observation.category", ("pattern", "$this")),
            sliced(
                "Observation.category:mine",
                ("value", "coding.code"),
                min=1,
                max="2",
                patternCodeableConcept={"text": "mine"},
            ),
            element("Observation.category:mine/a", min=1, max="1"),
            element("Observation.category:mine/a.coding.code", min=1, fixedCode="a"),
        ],
        observation(category=[{"text": "mine"}, {"text": "mine", "coding": [{"code": "a"}]}]),
        observation(category=[{"text": "mine"}, {"text": "other", "coding": [{"code": "a"}]}]),
        [(Kind.REQUIRED, "Observation.category", "mine/a")],
    ),
    "a slice of a slice that must be there, where its slice need not": Case(
        [
            sliced("Observation.category", ("pattern", "$this")),
            sliced("Observation.category:mine", ("value", "coding.code"), patternCodeableConcept={"text": "mine"}),
            element("Observation.category:mine/a", min=1),
            element("Observation.category:mine/a.coding.code", min=1, fixedCode="a"),
        ],
        observation(category=[{"text": "mine", "coding": [{"code": "a"}]}]),
        observation(category=[{"text": "other"}]),
        [(Kind.REQUIRED, "Observation.category", "mine/a")],
    ),
}


@pytest.mark.parametrize("rule", CASES, ids=str)
def test_what_the_profile_asks_and_the_resource_does_passes(rule):
    case = CASES[rule]
    mine = profile(case.good["resourceType"], *case.elements)
    assert errors(case.good, mine) == []


@pytest.mark.parametrize("rule", CASES, ids=str)
def test_what_the_resource_does_not_do_is_told_with_kind_place_and_reason(rule):
    case = CASES[rule]
    found = errors(case.bad, profile(case.bad["resourceType"], *case.elements))
    assert [(issue.kind, issue.expression) for issue in found] == [issue[:2] for issue in case.issues]
    assert all(part in issue.text for issue, (_, _, part) in zip(found, case.issues, strict=True))


@pytest.mark.parametrize("rule", CASES, ids=str)
def test_what_a_profile_forbids_the_type_alone_allows(rule):
    assert errors(CASES[rule].bad, profiles=[]) == []


# ---- profiles of what is inside ------------------------------------------------------------------


def identifier_profile(name, system):
    return profile("Identifier", element("Identifier.system", min=1, fixedUri=f"{SYSTEM}/{system}"), name=name)


ONE, TWO = identifier_profile("One", "one"), identifier_profile("Two", "two")


def test_a_data_type_is_held_against_the_profile_its_element_names():
    mine = profile("Patient", element("Patient.identifier", type=[{"code": "Identifier", "profile": [ONE["url"]]}]))
    assert errors(identified(("one", "1")), mine, ONE) == []
    found = errors(identified(("one", "1"), ("two", "2")), mine, ONE)
    assert [issue.expression for issue in found] == ["Patient.identifier[1].system"]


def test_of_several_profiles_a_data_type_meets_one():
    both = [{"code": "Identifier", "profile": [ONE["url"], TWO["url"]]}]
    mine = profile("Patient", element("Patient.identifier", type=both))
    assert errors(identified(("two", "1"), ("one", "1")), mine, ONE, TWO) == []
    found = errors(identified(("three", "1")), mine, ONE, TWO)
    assert [issue.expression for issue in found] == ["Patient.identifier[0]"] + ["Patient.identifier[0].system"] * 2
    assert "none of the profiles" in found[0].text


def test_a_profile_that_an_element_names_and_nobody_knows_is_an_error():
    mine = profile("Patient", element("Patient.identifier", type=[{"code": "Identifier", "profile": [ONE["url"]]}]))
    assert errors(patient(), mine) == []
    [issue] = errors(identified(("one", "1")), mine)
    assert (issue.kind, issue.expression) == (Kind.NOT_FOUND, "Patient.identifier[0]")
    assert ONE["url"] in issue.text


def test_slices_are_told_apart_by_their_profiles():
    mine = profile(
        "Patient",
        sliced("Patient.identifier", ("profile", "$this"), rules="closed"),
        element("Patient.identifier:one", min=0, max="1", type=[{"code": "Identifier", "profile": [ONE["url"]]}]),
        element("Patient.identifier:two", min=1, max="1", type=[{"code": "Identifier", "profile": [TWO["url"]]}]),
    )
    assert errors(identified(("two", "1"), ("one", "1")), mine, ONE, TWO) == []
    found = errors(identified(("one", "1"), ("three", "1")), mine, ONE, TWO)
    assert [(i.kind, i.expression) for i in found] == [
        (Kind.REQUIRED, "Patient.identifier"),
        (Kind.INVALID, "Patient.identifier[1]"),
    ]


# ---- what R4 itself narrows ----------------------------------------------------------------------


def test_a_simple_quantity_has_no_comparator():
    def ranged(**low):
        return observation(referenceRange=[{"low": {**quantity(1), **low}}])

    assert errors(ranged(), profiles=[]) == []
    found = errors(ranged(comparator="<"), profiles=[])
    assert {i.expression.removesuffix(".comparator") for i in found} == {"Observation.referenceRange[0].low"}


def test_a_vital_sign_by_its_code_is_told_where_it_is_not_one_by_r4s_profile():
    weight = {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]}
    for kept, severity in ((False, "error"), (True, "warning")):
        found = remarks(observation(code=weight, subject={"reference": "Patient/1"}), keeps_unknown=kept)
        assert {"Observation.category", "Observation.effective"} <= {
            i.expression for i in found if i.severity == severity
        }
    assert [i for i in remarks(observation(subject={"reference": "Patient/1"})) if "Profile" in i.text] == []


def test_a_profile_of_a_bundle_reaches_into_the_resources_of_its_entries():
    mine = profile(
        "Bundle",
        sliced("Bundle.entry", ("type", "resource"), rules="closed"),
        element("Bundle.entry:patient", min=1, max="1"),
        element("Bundle.entry:patient.resource", min=1, type=[{"code": "Patient"}]),
        element("Bundle.entry:patient.resource.name", min=1),
        element("Bundle.entry:other", min=0, max="*"),
        element("Bundle.entry:other.resource", min=1, type=[{"code": "Observation"}]),
    )

    def bundled(*resources):
        entries = [{"fullUrl": f"urn:x:{n}", "resource": resource} for n, resource in enumerate(resources)]
        return {"resourceType": "Bundle", "type": "collection", "entry": entries}

    named = patient(name=[{"text": "A"}])
    assert errors(bundled(observation(), named), mine) == []
    assert [i.expression for i in errors(bundled(patient()), mine)] == ["Bundle.entry[0].resource.name"]
    found = errors(bundled(named, {"resourceType": "Device"}, named), mine)
    assert [i.expression for i in found] == ["Bundle.entry", "Bundle.entry[1]"]


def test_slices_are_told_apart_by_an_extension():
    kind = extension(
        "kind", element("Extension.value[x]", min=1, type=[{"code": "code"}]), context=[("element", "Element")]
    )
    mine = profile(
        "Patient",
        sliced("Patient.telecom", ("value", f"extension('{kind['url']}').value")),
        element("Patient.telecom:main", min=1, max="1"),
        sliced("Patient.telecom:main.extension", ("value", "url")),
        element(
            "Patient.telecom:main.extension:kind",
            min=1,
            max="1",
            type=[{"code": "Extension", "profile": [kind["url"]]}],
        ),
        element("Patient.telecom:main.extension:kind.value[x]", min=1, fixedCode="main", type=[{"code": "code"}]),
        element("Patient.telecom:main.system", min=1),
    )

    def telecom(code, **more):
        return {"extension": [{"url": kind["url"], "valueCode": code}], **more}

    assert errors(patient(telecom=[telecom("side"), telecom("main", system="phone", value="1")]), mine, kind) == []
    assert [i.expression for i in errors(patient(telecom=[telecom("side")]), mine, kind)] == ["Patient.telecom"]
    found = errors(patient(telecom=[telecom("main")]), mine, kind)
    assert [i.expression for i in found] == ["Patient.telecom[0].system"]


def test_a_profile_built_on_another_asks_for_what_both_ask():
    below = profile("Patient", element("Patient.gender", min=1), base=NAMED["url"])
    assert [i.expression for i in errors(patient(), below, NAMED)] == ["Patient.name", "Patient.gender"]


def test_a_profile_of_every_spelling_counts_a_choice_once():
    mine = profile("Observation", element("Observation.value[x]", min=1))
    assert errors(observation(valueBoolean=False), mine) == []
    assert (
        errors(observation(_valueString={"extension": [{"url": "https://example.org/e", "valueCode": "a"}]}), mine)
        == []
    )
    assert [i.expression for i in errors(observation(), mine)] == ["Observation.value"]


def test_numbers_and_units_that_prove_themselves_are_looked_at_wherever_they_stand():
    wrong = patient(identifier=[{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9434765918"}])
    assert [i.expression for i in remarks(wrong)] == ["Patient.identifier[0].value"]
    right = patient(identifier=[{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9434765919"}])
    assert remarks(right) == []
    assert "Observation.value.ofType(Quantity).code" in {
        i.expression for i in remarks(observation(valueQuantity=quantity(1, "kilo")))
    }


def test_a_limit_in_a_unit_that_cannot_be_compared_is_told_and_not_passed_over():
    mine = profile(
        "Observation", element("Observation.value[x]", type=[{"code": "Quantity"}], maxValueQuantity=quantity(5))
    )
    asked = observation(meta={"profile": [mine["url"]]}, valueQuantity=quantity(1, "m"))
    [issue] = [i for i in remarks(asked, mine) if "value" in i.expression]
    assert (issue.severity, issue.kind) == ("warning", Kind.NOT_SUPPORTED)
    assert "cannot be compared" in issue.text

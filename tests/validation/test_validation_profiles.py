"""What a profile may ask, each with a resource that does it, one that does not, and what is said of that one."""

from __future__ import annotations

from datetime import date
from typing import Any, NamedTuple

import pytest

from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.fhir import codec
from phb_fhir.outcome import Kind
from phb_fhir.validation.validate import validate

R4 = load()
TODAY = date(2026, 4, 1)
BASE = "http://hl7.org/fhir/StructureDefinition"
MINE = "https://example.org/StructureDefinition"
SYSTEM = "https://example.org/ids"


class Case(NamedTuple):
    elements: list[dict[str, Any]]  # the differential
    good: dict[str, Any]
    bad: dict[str, Any]
    issues: list[tuple[Kind, str, str]]  # kind, expression, a part of the sentence


def profile(type_, *elements, name="Mine", base="", context=()):
    made = {
        "resourceType": "StructureDefinition",
        "url": f"{MINE}/{name}",
        "name": name,
        "status": "active",
        "kind": "complex-type" if type_ in R4.complex_types else "resource",
        "abstract": False,
        "type": type_,
        "baseDefinition": base or f"{BASE}/{type_}",
        "derivation": "constraint",
        "differential": {"element": [{"id": e["path"], **e} for e in ({"path": type_}, *elements)]},
    }
    if context:
        made["context"] = [{"type": kind, "expression": expression} for kind, expression in context]
    return as_read(made)


def extension(name, *elements, context=(("element", "Patient"),)):
    return profile(
        "Extension", {"path": "Extension.url", "fixedUri": f"{MINE}/{name}"}, *elements, name=name, context=context
    )


def element(path, **what):
    return {
        "id": path,
        "path": ".".join(step.partition(":")[0] for step in path.split(".")),
        **slice_name(path),
        **what,
    }


def slice_name(path):
    _, colon, name = path.rpartition(".")[2].partition(":")
    return {"sliceName": name} if colon else {}


def sliced(path, *discriminators, rules="open", ordered=False, **what):
    rows = [{"type": kind, "path": where} for kind, where in discriminators]
    return element(path, slicing={"discriminator": rows, "rules": rules, "ordered": ordered}, **what)


def as_read(resource):
    return codec.loads(codec.dumps(resource), depth_max=100)


def errors(resource, *conformance, profiles=None):
    known = Registry.of(R4, conformance)
    asked = [f"{MINE}/Mine"] if profiles is None else profiles
    return [i for i in validate(as_read(resource), R4, asked, known=known, today=TODAY) if i.is_error]


def remarks(resource, *conformance, **asked):
    """What is said that is no error, the narrative that every resource should have (dom-6) aside."""
    found = validate(as_read(resource), R4, known=Registry.of(R4, conformance), **asked)
    return [issue for issue in found if issue.expression != resource["resourceType"]]


def patient(**elements):
    return {"resourceType": "Patient", **elements}


def observation(**elements):
    return {"resourceType": "Observation", "status": "final", "code": {"text": "Weight"}, **elements}


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


# ---- which profiles ------------------------------------------------------------------------------


NAMED = profile("Patient", element("Patient.name", min=1), name="Named")


def test_a_resource_is_held_against_what_it_claims_to_be():
    claim = patient(meta={"profile": [NAMED["url"]]})
    assert [issue.expression for issue in errors(claim, NAMED, profiles=[])] == ["Patient.name"]
    assert errors({**claim, "name": [{"text": "A"}]}, NAMED, profiles=[]) == []


def test_a_claim_that_nobody_here_knows_is_a_warning():
    [issue] = remarks(patient(meta={"profile": ["https://example.org/unknown"]}))
    assert (issue.severity, issue.expression) == ("warning", "Patient.meta.profile[0]")
    assert "https://example.org/unknown is not known here" in issue.text


def test_a_profile_that_is_asked_for_and_not_known_is_an_error():
    assert [issue.kind for issue in errors(patient(), profiles=["https://example.org/unknown"])] == [Kind.NOT_FOUND]


def test_a_profile_of_another_type_is_an_error():
    [issue] = errors(observation(), NAMED, profiles=[NAMED["url"]])
    assert "is for Patient, and this is an Observation" in issue.text


def test_the_claims_of_resources_inside_count_as_well():
    claim = patient(id="p", meta={"profile": [NAMED["url"]]})
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"fullUrl": "urn:x:1", "resource": claim}]}
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "a", "resource": claim}]}
    holder = observation(contained=[claim], subject={"reference": "#p"})
    found = [issue.expression for r in (bundle, parameters, holder) for issue in errors(r, NAMED, profiles=[])]
    assert found == [
        "Bundle.entry[0].resource.name",
        "Parameters.parameter[0].resource.name",
        "Observation.contained[0].name",
    ]


def test_a_version_of_a_profile_must_be_the_one_that_is_here():
    versioned = {**NAMED, "version": "1.2.0"}
    for asked in ("", "|1.2.0", "|1.2", "|1"):
        assert [i.expression for i in errors(patient(), versioned, profiles=[NAMED["url"] + asked])] == ["Patient.name"]
    assert [i.kind for i in errors(patient(), versioned, profiles=[NAMED["url"] + "|2"])] == [Kind.NOT_FOUND]


def test_of_several_versions_the_newest_is_meant():
    old = {**profile("Patient", element("Patient.birthDate", min=1), name="Named"), "version": "1.9.0"}
    new = {**NAMED, "version": "1.10.0"}
    assert [i.expression for i in errors(patient(), new, old, profiles=[NAMED["url"]])] == ["Patient.name"]
    assert [i.expression for i in errors(patient(), new, old, profiles=[NAMED["url"] + "|1.9.0"])] == [
        "Patient.birthDate"
    ]


def test_a_guide_may_put_a_profile_on_every_resource_of_a_type():
    guide = {
        "resourceType": "ImplementationGuide",
        "url": "https://example.org/ImplementationGuide/x",
        "global": [{"type": "Patient", "profile": NAMED["url"]}],
    }
    assert [issue.expression for issue in errors(patient(), NAMED, guide, profiles=[])] == ["Patient.name"]
    assert errors(observation(), NAMED, guide, profiles=[]) == []


def test_the_same_complaint_of_two_profiles_is_made_by_each_and_in_document_order():
    other = profile("Patient", element("Patient.name", min=1), element("Patient.gender", max="0"), name="Other")
    bad = patient(gender="male", birthDate="soon")
    found = errors(bad, NAMED, other, profiles=[NAMED["url"], other["url"]])
    assert [issue.expression for issue in found] == [
        "Patient.gender",
        "Patient.birthDate",
        "Patient.name",
        "Patient.name",
    ]


def test_r4s_own_profiles_are_known():
    bp = observation(meta={"profile": [f"{BASE}/bp"]})
    assert {"Observation.category", "Observation.component"} <= {i.expression for i in errors(bp, profiles=[])}


# ---- extensions ----------------------------------------------------------------------------------


COLOUR = extension("colour", element("Extension.value[x]", min=1, type=[{"code": "code"}]))


def coloured(**value):
    return [{"url": f"{MINE}/colour", **value}]


def test_a_known_extension_has_the_value_its_definition_asks_for():
    assert errors(patient(extension=coloured(valueCode="red")), COLOUR, profiles=[]) == []
    [issue] = errors(patient(extension=coloured(valueString="red")), COLOUR, profiles=[])
    assert (issue.kind, issue.expression) == (Kind.INVALID, "Patient.extension[0].value.ofType(string)")


def test_a_known_extension_stands_only_where_its_definition_says():
    assert errors(patient(_active={"extension": coloured(valueCode="red")}), COLOUR, profiles=[]) != []
    [issue] = errors(observation(extension=coloured(valueCode="red")), COLOUR, profiles=[])
    assert (issue.kind, issue.expression) == (Kind.EXTENSION, "Observation.extension[0]")
    assert "may stand on Patient, not here" in issue.text


CONTEXTS = {
    "an element": ("Patient.contact", {"contact": [{"name": {"text": "A"}, "extension": True}]}),
    "an element of a data type": ("HumanName.family", {"name": [{"family": "A", "_family": {"extension": True}}]}),
    "a data type": ("HumanName", {"contact": [{"name": {"text": "A", "extension": True}}]}),
    "a primitive type": ("date", {"birthDate": "2000", "_birthDate": {"extension": True}}),
    "any resource": ("Resource", {"extension": True}),
    "any domain resource": ("DomainResource", {"extension": True}),
    "any element": ("Element", {"address": [{"text": "a", "extension": True}]}),
    "any backbone": ("BackboneElement", {"contact": [{"name": {"text": "A"}, "extension": True}]}),
    "a choice": ("Patient.deceased[x]", {"deceasedBoolean": True, "_deceasedBoolean": {"extension": True}}),
}


def with_extension(value, made):
    if isinstance(value, dict):
        return {k: made if (k, v) == ("extension", True) else with_extension(v, made) for k, v in value.items()}
    return [with_extension(item, made) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("context", CONTEXTS, ids=str)
def test_an_extension_stands_on_what_its_context_names_and_nowhere_else(context):
    expression, content = CONTEXTS[context]
    here = patient(**with_extension(content, coloured(valueCode="red")))
    allowed = {**COLOUR, "context": [{"type": "element", "expression": expression}]}
    assert errors(here, allowed, profiles=[]) == []
    elsewhere = {**COLOUR, "context": [{"type": "element", "expression": "Observation.component"}]}
    assert [issue.kind for issue in errors(here, elsewhere, profiles=[])] == [Kind.EXTENSION]


@pytest.mark.parametrize(
    ("name", "allowing"), [("questionnaire-minOccurs", ("required", 0)), ("questionnaire-maxOccurs", ("repeats", 1))]
)
def test_a_rule_of_where_an_extension_may_stand_knows_the_extension(name, allowing):
    """R4 StructureDefinition.contextInvariant: "%extension can be used to refer to the extension itself"."""
    flag, alone = allowing

    def found(value, **item):
        extended = {
            "linkId": "1",
            "type": "string",
            **item,
            "extension": [{"url": f"{BASE}/{name}", "valueInteger": value}],
        }
        asked = {"resourceType": "Questionnaire", "status": "draft", "item": [extended]}
        return [(i.severity, i.kind, i.expression) for i in validate(as_read(asked), R4) if "may stand only" in i.text]

    assert found(2, **{flag: True}) == []
    assert found(alone) == []
    assert found(2) == [("error", Kind.INVARIANT, "Questionnaire.item[0].extension[0]")]


def test_a_context_may_be_a_fhirpath():
    home = {**COLOUR, "context": [{"type": "fhirpath", "expression": "Patient.address.where(use = 'home')"}]}
    for use, count in (("home", 0), ("work", 1)):
        address = [{"text": "a", "use": "temp"}, {"text": "b", "use": use, "extension": coloured(valueCode="red")}]
        assert len(errors(patient(address=address), home, profiles=[])) == count


def test_a_context_may_be_another_extension():
    outer = extension("outer", element("Extension.extension", max="*"))
    inner = {**COLOUR, "context": [{"type": "extension", "expression": outer["url"]}]}
    inside = patient(extension=[{"url": outer["url"], "extension": coloured(valueCode="red")}])
    assert errors(inside, outer, inner, profiles=[]) == []
    assert [i.kind for i in errors(patient(extension=coloured(valueCode="red")), outer, inner, profiles=[])] == [
        Kind.EXTENSION
    ]


def test_the_parts_of_a_complex_extension_are_held_against_its_definition():
    parts = extension(
        "parts",
        sliced("Extension.extension", ("value", "url"), rules="closed"),
        element("Extension.extension:size", min=1, max="1"),
        element("Extension.extension:size.url", fixedUri="size"),
        element("Extension.extension:size.value[x]", min=1, type=[{"code": "integer"}]),
        element("Extension.value[x]", max="0"),
    )

    def whole(*inner):
        return patient(extension=[{"url": parts["url"], "extension": list(inner)}])

    assert errors(whole({"url": "size", "valueInteger": 1}), parts, profiles=[]) == []
    found = errors(whole({"url": "colour", "valueCode": "red"}), parts, profiles=[])
    assert {i.expression for i in found} == {"Patient.extension[0].extension", "Patient.extension[0].extension[0]"}
    [issue] = errors(whole({"url": "size", "valueString": "1"}), parts, profiles=[])
    assert issue.expression == "Patient.extension[0].extension[0].value.ofType(string)"


def test_an_extension_that_modifies_stands_where_modifying_extensions_stand():
    modifier = as_read({**COLOUR})
    modifier["differential"]["element"][0] |= {"isModifier": True, "isModifierReason": "it changes everything"}
    assert errors(patient(modifierExtension=coloured(valueCode="red")), modifier, profiles=[]) == []
    for there, definition in (("extension", modifier), ("modifierExtension", COLOUR)):
        [issue] = errors(patient(**{there: coloured(valueCode="red")}), definition, profiles=[])
        assert (issue.kind, issue.expression) == (Kind.EXTENSION, f"Patient.{there}[0]")


def test_an_extension_that_nobody_knows_is_named_and_refused_only_where_that_is_wished():
    unknown = patient(
        extension=[{"url": "https://fhir.nhs.uk/StructureDefinition/Extension-Unknown", "valueCode": "a"}]
    )
    for closed, severity in ((False, "information"), (True, "error")):
        [issue] = remarks(unknown, closed=closed)
        assert (issue.severity, issue.expression) == (severity, "Patient.extension[0]")


def test_an_extension_at_an_address_for_examples_is_refused_nowhere():
    [issue] = remarks(patient(extension=[{"url": "https://example.org/unknown", "valueCode": "a"}]), closed=True)
    assert (issue.severity, issue.expression) == ("information", "Patient.extension[0]")


def test_a_profile_may_hold_every_extension_to_one_definition():
    mine = profile("Patient", element("Patient.extension", type=[{"code": "Extension", "profile": [COLOUR["url"]]}]))
    assert errors(patient(extension=coloured(valueCode="red")), mine, COLOUR) == []
    other = {"url": "https://example.org/other", "valueCode": "red"}
    [issue] = errors(patient(extension=[*coloured(valueCode="red"), other]), mine, COLOUR)
    assert issue.expression.startswith("Patient.extension[1]")


def test_a_profile_asks_for_an_extension_by_its_url():
    mine = profile(
        "Patient",
        sliced("Patient.extension", ("value", "url")),
        element("Patient.extension:colour", min=1, max="1", type=[{"code": "Extension", "profile": [COLOUR["url"]]}]),
    )
    assert errors(patient(extension=coloured(valueCode="red")), mine, COLOUR) == []
    assert [(i.kind, i.expression) for i in errors(patient(), mine, COLOUR)] == [(Kind.REQUIRED, "Patient.extension")]


# ---- references ----------------------------------------------------------------------------------


GP = "Patient.generalPractitioner"
NAMED_GP = profile("Practitioner", element("Practitioner.name", min=1), name="NamedGP")


def test_a_reference_points_to_a_type_its_element_allows():
    for reference in (
        "Practitioner/1",
        "https://example.org/fhir/Organization/1/_history/2",
        "urn:uuid:x",
        "https://a/b",
    ):
        assert errors(patient(generalPractitioner=[{"reference": reference}]), profiles=[]) == []
    for wrong in (
        {"reference": "Patient/1"},
        {"reference": "https://example.org/fhir/Device/1"},
        {"type": "Device", "display": "a"},
    ):
        [issue] = errors(patient(generalPractitioner=[wrong]), profiles=[])
        assert (issue.kind, issue.expression) == (Kind.INVALID, f"{GP}[0]")


def test_a_contained_target_is_contained_and_of_an_allowed_type():
    there = [{"resourceType": "Practitioner", "id": "p"}]
    assert errors(patient(contained=there, generalPractitioner=[{"reference": "#p"}]), profiles=[]) == []
    missing = errors(patient(generalPractitioner=[{"reference": "#q"}]), profiles=[])
    assert {(i.expression) for i in missing} <= {f"{GP}[0]", f"{GP}[0].reference"}
    assert missing
    wrong = patient(contained=[patient(id="p")], generalPractitioner=[{"reference": "#p"}])
    assert [issue.expression for issue in errors(wrong, profiles=[])] == [f"{GP}[0]"]


def test_what_a_reference_says_of_its_target_is_so():
    [issue] = errors(
        patient(generalPractitioner=[{"reference": "Practitioner/1", "type": "Organization"}]), profiles=[]
    )
    assert issue.expression == f"{GP}[0].type"


def test_a_target_at_hand_meets_the_profile_and_one_elsewhere_is_taken_at_its_word():
    mine = profile("Patient", element(GP, type=[{"code": "Reference", "targetProfile": [NAMED_GP["url"]]}]))
    nameless = {"resourceType": "Practitioner", "id": "p"}
    named = {**nameless, "name": [{"family": "A"}]}
    me = patient(generalPractitioner=[{"reference": "#p"}])
    assert errors({**me, "contained": [named]}, mine, NAMED_GP) == []
    assert [i.expression for i in errors({**me, "contained": [nameless]}, mine, NAMED_GP)] == [f"{GP}[0]"]
    assert errors(patient(generalPractitioner=[{"reference": "Practitioner/1"}]), mine, NAMED_GP) == []
    assert errors(patient(generalPractitioner=[{"reference": "Organization/1"}]), mine, NAMED_GP) != []


def test_targets_are_found_in_the_bundle_around():
    mine = profile("Patient", element(GP, type=[{"code": "Reference", "targetProfile": [NAMED_GP["url"]]}]))

    def bundled(reference, **practitioner):
        me = patient(id="1", meta={"profile": [mine["url"]]}, generalPractitioner=[{"reference": reference}])
        gp = {"resourceType": "Practitioner", "id": "2", **practitioner}
        entries = [("https://a/fhir/Patient/1", me), ("https://a/fhir/Practitioner/2", gp)]
        bundle = {"resourceType": "Bundle", "type": "collection"}
        return {**bundle, "entry": [{"fullUrl": url, "resource": resource} for url, resource in entries]}

    for reference in ("Practitioner/2", "https://a/fhir/Practitioner/2"):
        assert errors(bundled(reference, name=[{"family": "A"}]), mine, NAMED_GP, profiles=[]) == []
        [issue] = errors(bundled(reference), mine, NAMED_GP, profiles=[])
        assert issue.expression == "Bundle.entry[0].resource.generalPractitioner[0]"
    assert errors(bundled("https://b/fhir/Practitioner/2"), mine, NAMED_GP, profiles=[]) == []


def test_profiles_that_point_at_each_other_come_to_an_end():
    friend = [{"code": "Reference", "targetProfile": [f"{MINE}/Mine"]}]
    mine = profile("Patient", element("Patient.link.other", type=friend), element("Patient.gender", fixedCode="other"))

    def linked(id_, to, gender):
        return patient(id=id_, gender=gender, link=[{"type": "seealso", "other": {"reference": f"Patient/{to}"}}])

    def ring(last):
        people = [linked("1", "2", "other"), linked("2", "1", last)]
        entries = [{"fullUrl": f"https://a/Patient/{p['id']}", "resource": p} for p in people]
        people[0]["meta"] = {"profile": [mine["url"]]}
        return {"resourceType": "Bundle", "type": "collection", "entry": entries}

    assert errors(ring("other"), mine, profiles=[]) == []
    assert [i.expression for i in errors(ring("male"), mine, profiles=[])] == ["Bundle.entry[0].resource.link[0].other"]


@pytest.mark.parametrize(
    ("mode", "contained", "external"), [("contained", 0, 1), ("bundled", 1, 1), ("referenced", 0, 0)]
)
def test_a_profile_says_where_a_target_may_be(mode, contained, external):
    mine = profile("Patient", element(GP, type=[{"code": "Reference", "aggregation": [mode]}]))
    claim = {"meta": {"profile": [mine["url"]]}}

    def found(me):
        entry = {"fullUrl": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520", "resource": {**me, **claim}}
        return len(errors({"resourceType": "Bundle", "type": "collection", "entry": [entry]}, mine, profiles=[]))

    inside = [{"resourceType": "Practitioner", "id": "p"}]
    assert found(patient(contained=inside, generalPractitioner=[{"reference": "#p"}])) == contained
    assert found(patient(generalPractitioner=[{"reference": "https://a/fhir/Practitioner/1"}])) == external


# ---- definitions ---------------------------------------------------------------------------------


def test_a_definition_that_no_snapshot_can_be_made_from_is_refused():
    assert errors(NAMED, profiles=[]) == []
    [issue] = errors(profile("Patient", element("Patient.nome", min=1)), profiles=[])
    assert issue.expression == "StructureDefinition.differential"
    assert "nome" in issue.text


def test_a_definition_without_a_usable_snapshot_says_so_where_it_is_claimed():
    broken = profile("Patient", element("Patient.nome", min=1), name="Broken")
    [issue] = remarks(patient(meta={"profile": [broken["url"]]}), broken)
    assert (issue.severity, issue.expression) == ("warning", "Patient.meta.profile[0]")
    assert "nome" in issue.text


def test_work_for_profiles_has_a_bound():
    loop = profile(
        "Observation", element("Observation.hasMember", type=[{"code": "Reference", "targetProfile": [f"{MINE}/Mine"]}])
    )
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {
                "fullUrl": f"https://a/Observation/{n}",
                "resource": observation(
                    id=str(n),
                    meta={"profile": [loop["url"]]},
                    hasMember=[{"reference": f"Observation/{m}"} for m in range(60)],
                ),
            }
            for n in range(60)
        ],
    }
    assert errors(bundle, loop, profiles=[]) == []


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


# ---- further down --------------------------------------------------------------------------------


def test_a_profile_may_ask_for_an_extension_of_a_primitive():
    born = "http://hl7.org/fhir/StructureDefinition/patient-birthTime"
    mine = profile(
        "Patient",
        sliced("Patient.birthDate.extension", ("value", "url")),
        element("Patient.birthDate.extension:time", min=1, max="1", type=[{"code": "Extension", "profile": [born]}]),
    )
    there = {"extension": [{"url": born, "valueDateTime": "2000-01-01T10:00:00Z"}]}
    assert errors(patient(birthDate="2000-01-01", _birthDate=there), mine) == []
    assert errors(patient(), mine) == []
    [issue] = errors(patient(birthDate="2000-01-01"), mine)
    assert (issue.kind, issue.expression) == (Kind.REQUIRED, "Patient.birthDate.extension")


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


def test_a_target_that_is_to_be_contained_is_contained_also_where_the_resource_stands_alone():
    organisation = {"resourceType": "Organization", "id": "o", "name": "O"}
    target = {
        "code": "Reference",
        "targetProfile": ["http://hl7.org/fhir/StructureDefinition/Organization"],
        "aggregation": ["contained"],
    }
    mine = profile("Patient", element("Patient.managingOrganization", type=[target]))
    assert errors(patient(contained=[organisation], managingOrganization={"reference": "#o"}), mine) == []
    [issue] = errors(patient(managingOrganization={"reference": "Organization/o"}), mine)
    assert (issue.kind, issue.expression) == (Kind.INVALID, "Patient.managingOrganization")

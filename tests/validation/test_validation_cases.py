"""Each structural rule with what it refuses and, beside it, the nearest thing it allows."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from phb_fhir.definitions.load import load
from phb_fhir.fhir import codec
from phb_fhir.fhir.codec import Exact
from phb_fhir.outcome import Kind
from phb_fhir.validation.validate import ISSUES_MAX, validate
from tests.validation.resources import observation, patient

R4 = load()
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">'
EXT = "https://example.org/e"
NATIONALITY = "http://hl7.org/fhir/StructureDefinition/patient-nationality"


class Case(NamedTuple):
    good: dict[str, Any]
    bad: dict[str, Any]
    issues: list[tuple[Kind, str, str]]  # kind, expression, a part of the sentence


def narrative(inside):
    return patient(text={"status": "generated", "div": f"{DIV}{inside}</div>"})


def of_type(spelling, value):
    """An extension's value takes every type."""
    return patient(extension=[{"url": EXT, spelling: value}])


def primitive(spelling, good, bad, says, kind=Kind.VALUE):
    name = spelling.removeprefix("value")
    type_ = name if name == "Quantity" else name[0].lower() + name[1:]
    where = f"Patient.extension[0].value.ofType({type_})"
    return Case(of_type(spelling, good), of_type(spelling, bad), [(kind, where, says)])


CASES = {
    # ---- types and properties
    "a resource names a type that R4 has": Case(
        patient(), {"resourceType": "Patiant"}, [(Kind.STRUCTURE, "", 'did you mean "Patient"?')]
    ),
    "a resource names its type": Case(patient(), {"id": "1"}, [(Kind.STRUCTURE, "", '"resourceType" is missing')]),
    "an abstract type is no resource": Case(
        {"resourceType": "Basic", "code": {"text": "x"}},
        {"resourceType": "DomainResource"},
        [(Kind.STRUCTURE, "", '"DomainResource"')],
    ),
    "an unknown property is refused and the nearest one named": Case(
        patient(birthDate="2000"),
        patient(brithDate="2000"),
        [(Kind.STRUCTURE, "Patient.brithDate", 'Patient has no property "brithDate"; did you mean "birthDate"?')],
    ),
    "an unknown property deep down is refused where it is": Case(
        patient(contact=[{"name": {"family": "A"}}, {"name": {"family": "B"}}]),
        patient(contact=[{"name": {"family": "A"}}, {"name": {"surname": "B", "family": "B"}}]),
        [(Kind.STRUCTURE, "Patient.contact[1].name.surname", "HumanName has no property")],
    ),
    "a choice is written with its type": Case(
        observation(valueString="x"),
        observation(value="x"),
        [(Kind.STRUCTURE, "Observation.value", "valueQuantity, valueCodeableConcept, valueString")],
    ),
    "a choice has only the types listed for it": Case(
        observation(valueInteger=1),
        observation(valueDecimal=1.5),
        [(Kind.STRUCTURE, "Observation.valueDecimal", "no property")],
    ),
    "resourceType stands in resources only": Case(
        patient(name=[{"text": "A"}]),
        patient(name=[{"text": "A", "resourceType": "HumanName"}]),
        [(Kind.STRUCTURE, "Patient.name[0].resourceType", "no property")],
    ),
    "comments are no part of R4's JSON": Case(
        patient(),
        patient(fhir_comments=["x"]),
        [(Kind.STRUCTURE, "Patient.fhir_comments", "no property")],
    ),
    # ---- JSON shapes
    "an element that repeats is a list even of one": Case(
        patient(name=[{"text": "A"}]),
        patient(name={"text": "A"}),
        [(Kind.STRUCTURE, "Patient.name", "put the value in brackets")],
    ),
    "what should be a list is still looked into": Case(
        patient(name=[{"family": "A"}]),
        patient(name={"familie": "A"}),
        [
            (Kind.STRUCTURE, "Patient.name", "brackets"),
            (Kind.STRUCTURE, "Patient.name.familie", 'did you mean "family"?'),
        ],
    ),
    "an element that does not repeat is no list": Case(
        patient(maritalStatus={"text": "M"}),
        patient(maritalStatus=[{"text": "M"}]),
        [(Kind.STRUCTURE, "Patient.maritalStatus", "does not repeat")],
    ),
    "a primitive that repeats is a list even of one": Case(
        patient(name=[{"given": ["A"]}]),
        patient(name=[{"given": "A"}]),
        [(Kind.STRUCTURE, "Patient.name[0].given", "brackets")],
    ),
    "a primitive that does not repeat is no list": Case(
        patient(birthDate="2000"),
        patient(birthDate=["2000"]),
        [(Kind.STRUCTURE, "Patient.birthDate", "A list stands where a calendar date")],
    ),
    "an object is no text": Case(
        patient(managingOrganization={"display": "A"}),
        patient(managingOrganization="Organization/1"),
        [(Kind.STRUCTURE, "Patient.managingOrganization", "where an object, Reference, belongs")],
    ),
    "a text is no object": Case(
        patient(name=[{"family": "A"}]),
        patient(name=[{"family": {"value": "A"}}]),
        [(Kind.STRUCTURE, "Patient.name[0].family", "An object stands where a text")],
    ),
    "an item of a list is an object": Case(
        patient(name=[{"text": "A"}]),
        patient(name=[{"text": "A"}, "B", None, ["C"]]),
        [
            (Kind.STRUCTURE, "Patient.name[1]", "A text stands"),
            (Kind.STRUCTURE, "Patient.name[2]", "null is not allowed"),
            (Kind.STRUCTURE, "Patient.name[3]", "A list stands"),
        ],
    ),
    "true is no text and no number": Case(
        patient(active=True, multipleBirthInteger=1),
        patient(active="true", multipleBirthInteger=True),
        [
            (Kind.STRUCTURE, "Patient.active", "A text stands where true or false"),
            (Kind.STRUCTURE, "Patient.multipleBirth.ofType(integer)", "where a whole number"),
        ],
    ),
    "an empty object is left out": Case(
        patient(), patient(maritalStatus={}), [(Kind.STRUCTURE, "Patient.maritalStatus", "empty object")]
    ),
    "an empty list is left out": Case(
        patient(),
        patient(name=[], contained=[], link=[]),
        [
            (Kind.STRUCTURE, "Patient.name", 'leave "name" out'),
            (Kind.STRUCTURE, "Patient.contained", "empty list"),
            (Kind.STRUCTURE, "Patient.link", "empty list"),
        ],
    ),
    "an empty list of primitives is left out": Case(
        patient(name=[{"given": ["A"]}]),
        patient(name=[{"given": []}]),
        [(Kind.STRUCTURE, "Patient.name[0].given", "empty list")],
    ),
    "null is left out": Case(
        patient(),
        patient(birthDate=None, maritalStatus=None, name=None, contained=None),
        [
            (Kind.STRUCTURE, "Patient.birthDate", "null"),
            (Kind.STRUCTURE, "Patient.maritalStatus", "null"),
            (Kind.STRUCTURE, "Patient.name", "null"),
            (Kind.STRUCTURE, "Patient.contained", "null"),
        ],
    ),
    "an element is more than its id": Case(
        patient(maritalStatus={"id": "m", "text": "x"}),
        patient(maritalStatus={"id": "m"}),
        [(Kind.INVARIANT, "Patient.maritalStatus", "ele-1")],
    ),
    # ---- cardinality and choices
    "a required element is there": Case(
        observation(),
        {"resourceType": "Observation", "status": "final"},
        [(Kind.REQUIRED, "Observation.code", 'Observation must have "code"')],
    ),
    "a required primitive is there even by its extension alone": Case(
        {
            "resourceType": "Observation",
            "_status": {"extension": [{"url": EXT, "valueCode": "unknown"}]},
            "code": {"text": "x"},
        },
        {"resourceType": "Observation", "code": {"text": "x"}},
        [(Kind.REQUIRED, "Observation.status", '"status"')],
    ),
    "a required list is there": Case(
        {"resourceType": "Flag", "status": "active", "code": {"text": "x"}, "subject": {"display": "A"}},
        {"resourceType": "OperationOutcome"},
        [(Kind.REQUIRED, "OperationOutcome.issue", '"issue"')],
    ),
    "a required element of a backbone is there": Case(
        patient(link=[{"other": {"reference": "Patient/1"}, "type": "seealso"}]),
        patient(link=[{"other": {"reference": "Patient/1"}}]),
        [(Kind.REQUIRED, "Patient.link[0].type", 'Patient.link must have "type"')],
    ),
    "one spelling of a required choice is there": Case(
        {
            "resourceType": "MedicationAdministration",
            "status": "completed",
            "subject": {"display": "A"},
            "effectiveDateTime": "2024",
            "medicationReference": {"reference": "Medication/1"},
        },
        {
            "resourceType": "MedicationAdministration",
            "status": "completed",
            "subject": {"display": "A"},
            "effectiveDateTime": "2024",
        },
        [(Kind.REQUIRED, "MedicationAdministration.medication", "medicationCodeableConcept, medicationReference")],
    ),
    "a choice is made once": Case(
        observation(valueString="x", _valueString={"id": "v"}),
        observation(valueString="x", valueInteger=1),
        [(Kind.STRUCTURE, "Observation.value", '"valueString" and "valueInteger" both give value[x]')],
    ),
    "a choice is made once, twins counted": Case(
        observation(_valueString={"extension": [{"url": EXT, "valueCode": "a"}]}),
        observation(_valueString={"extension": [{"url": EXT, "valueCode": "a"}]}, valueInteger=1),
        [(Kind.STRUCTURE, "Observation.value", "only one")],
    ),
    # ---- primitives
    "boolean": primitive("valueBoolean", False, 0, "true or false", Kind.STRUCTURE),
    "integer is at least -2^31": primitive("valueInteger", -2147483648, -2147483649, "whole number"),
    "integer is less than 2^31": primitive("valueInteger", 2147483647, 2147483648, "2147483647"),
    "integer has no fraction": primitive("valueInteger", 1, 1.0, "with a fraction", Kind.STRUCTURE),
    "integer has no 26 digits": primitive(
        "valueInteger", 1, Exact("1" * 26), "1" * 26 + " stands where a whole number", Kind.STRUCTURE
    ),
    "integer is not -0": primitive("valueInteger", 0, Exact("-0"), "-0 stands where a whole number", Kind.STRUCTURE),
    "integer is no text": primitive("valueInteger", 1, "1", "A text stands", Kind.STRUCTURE),
    "unsignedInt may be 0": primitive("valueUnsignedInt", 0, -1, "from 0"),
    "positiveInt starts at 1": primitive("valuePositiveInt", 1, 0, "from 1"),
    "decimal with a fraction": primitive("valueDecimal", 1.5, "1.5", "a number", Kind.STRUCTURE),
    "decimal without a fraction": primitive("valueDecimal", 10, True, "a number", Kind.STRUCTURE),
    "string is not empty": primitive("valueString", " a\tb\r\nc ", "", "1 to 1048576 characters"),
    "string is at most 1 MB": primitive("valueString", "a" * 2**20, "a" * (2**20 + 1), "1048576"),
    "string has no vertical tab": primitive("valueString", "a\u00a0b", "a\x0bb", "a text"),
    "markdown is not empty": primitive("valueMarkdown", "*a*\n", "", "1 to 1048576 characters"),
    "code has no leading space": primitive("valueCode", "a b", " a", "a code"),
    "code has single spaces": primitive("valueCode", "a b c", "a  b", "a code"),
    "id has no underscore": primitive("valueId", "A-z.9", "a_b", "an id"),
    "id has at most 64 characters": primitive("valueId", "a" * 64, "a" * 65, "1 to 64"),
    "uri has no spaces": primitive("valueUri", "urn:a:b", "http://a b", "a URI"),
    "uri is not empty": primitive("valueUri", "a", "", "a URI"),
    "url has no spaces": primitive("valueUrl", "https://a/b", "https://a /b", "a URL"),
    "canonical has no line end": primitive("valueCanonical", "http://a|1", "http://a\n", "a canonical"),
    "canonical has a scheme": primitive("valueCanonical", "urn:a:1", "10:00:00", "a canonical"),
    "oid": primitive("valueOid", "urn:oid:1.2.840", "1.2.840", "an OID"),
    "oid has no leading zeros": primitive("valueOid", "urn:oid:2.0.10", "urn:oid:2.01", "an OID"),
    "uuid is in lower case": primitive(
        "valueUuid",
        "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
        "urn:uuid:C757873D-EC9A-4326-A141-556F43239520",
        "lower case",
    ),
    "date may be a year or month": primitive("valueDate", "2024-02", "2024-2", "a calendar date"),
    "date has no time": primitive("valueDate", "2024-02-03", "2024-02-03T00:00:00Z", "a calendar date"),
    "date is in the calendar": primitive("valueDate", "2024-02-29", "2023-02-29", "a calendar date"),
    "date has a month": primitive("valueDate", "2024-12-31", "2024-13-01", "a calendar date"),
    "date is no number": primitive("valueDate", "2024", 2024, "A number stands", Kind.STRUCTURE),
    "dateTime has seconds": primitive("valueDateTime", "2024-01-01T10:00:00Z", "2024-01-01T10:00Z", "seconds"),
    "dateTime has a zone": primitive(
        "valueDateTime", "2024-01-01T10:00:00.5+01:00", "2024-01-01T10:00:00", "time zone"
    ),
    "dateTime may be a date": primitive("valueDateTime", "2024-01-01", "01/01/2024", "a date"),
    "dateTime has no hour 24": primitive("valueDateTime", "2024-01-01T23:59:60Z", "2024-01-01T24:00:00Z", "a date"),
    "dateTime is in the calendar": primitive("valueDateTime", "2024-04-30T10:00:00Z", "2024-04-31T10:00:00Z", "a date"),
    "instant has a time": primitive("valueInstant", "2024-01-01T10:00:00Z", "2024-01-01", "time zone"),
    "instant has a zone of at most 14 hours": primitive(
        "valueInstant", "2024-01-01T10:00:00+14:00", "2024-01-01T10:00:00+14:30", "time zone"
    ),
    "time has seconds": primitive("valueTime", "10:00:00", "10:00", "time of day"),
    "time has no zone": primitive("valueTime", "10:00:00.25", "10:00:00Z", "time of day"),
    "base64Binary may be wrapped": primitive("valueBase64Binary", "QUJD\r\n RA==", "QUJDRA", "base64"),
    "base64Binary has base64's letters": primitive("valueBase64Binary", "+/+/", "-_-_", "base64"),
    "base64Binary is not blank": primitive("valueBase64Binary", "QQ==", " ", "base64"),
    # ---- twins
    "a twin holds an id or extensions": Case(
        patient(birthDate="2000", _birthDate={"id": "b"}),
        patient(birthDate="2000", _birthDate={"value": "b"}),
        [(Kind.STRUCTURE, "Patient.birthDate.value", "no property")],
    ),
    "a twin is an object": Case(
        patient(birthDate="2000", _birthDate={"extension": [{"url": EXT, "valueTime": "10:00:00"}]}),
        patient(birthDate="2000", _birthDate=[{"id": "b"}]),
        [(Kind.STRUCTURE, "Patient.birthDate", '"_birthDate" holds the id and extensions of "birthDate"')],
    ),
    "a twin is not empty": Case(
        patient(birthDate="2000"),
        patient(birthDate="2000", _birthDate={}),
        [(Kind.STRUCTURE, "Patient.birthDate", "empty object")],
    ),
    "a twin without a value is more than an id": Case(
        patient(birthDate="2000", _birthDate={"id": "b"}),
        patient(_birthDate={"id": "b"}),
        [(Kind.INVARIANT, "Patient.birthDate", "ele-1")],
    ),
    "the extension in a twin is checked": Case(
        patient(_birthDate={"extension": [{"url": EXT, "valueCode": "a"}]}),
        patient(_birthDate={"extension": [{"url": EXT, "valueCode": "a "}]}),
        [(Kind.VALUE, "Patient.birthDate.extension[0].value.ofType(code)", "a code")],
    ),
    "only primitives have twins": Case(
        patient(name=[{"text": "A"}]),
        patient(name=[{"text": "A"}], _name=[{"id": "n"}]),
        [(Kind.STRUCTURE, "Patient.name", "its id and extensions go inside it")],
    ),
    "a null in a list stands where its twin speaks": Case(
        patient(name=[{"given": ["A", None], "_given": [None, {"extension": [{"url": EXT, "valueCode": "a"}]}]}]),
        patient(name=[{"given": ["A", None], "_given": [{"id": "g"}, None]}]),
        [(Kind.STRUCTURE, "Patient.name[0].given[1]", "null")],
    ),
    "a null in a list needs a twin": Case(
        patient(name=[{"given": ["A"]}]),
        patient(name=[{"given": ["A", None]}]),
        [(Kind.STRUCTURE, "Patient.name[0].given[1]", "null")],
    ),
    "a list and its twin line up": Case(
        patient(name=[{"given": ["A", "B"], "_given": [None, {"id": "g"}]}]),
        patient(name=[{"given": ["A", "B"], "_given": [{"id": "g"}]}]),
        [
            (
                Kind.STRUCTURE,
                "Patient.name[0].given",
                '"_given" line up, and have 2 and 1 entries: fill the shorter with null',
            )
        ],
    ),
    "the twin of a list is a list": Case(
        patient(name=[{"given": ["A"], "_given": [{"id": "g"}]}]),
        patient(name=[{"given": ["A"], "_given": {"id": "g"}}]),
        [(Kind.STRUCTURE, "Patient.name[0].given", "a list of objects and nulls")],
    ),
    "a twin by itself has no nulls": Case(
        patient(name=[{"_given": [{"extension": [{"url": EXT, "valueCode": "a"}]}]}]),
        patient(name=[{"_given": [None, {"extension": [{"url": EXT, "valueCode": "a"}]}]}]),
        [(Kind.STRUCTURE, "Patient.name[0].given[0]", "there is none")],
    ),
    "an entry given by its twin alone is more than an id": Case(
        patient(name=[{"given": ["A"], "_given": [{"id": "g"}]}]),
        patient(name=[{"_given": [{"id": "g"}]}]),
        [(Kind.INVARIANT, "Patient.name[0].given[0]", "ele-1")],
    ),
    # ---- required bindings
    "a code is one of its required value set": Case(
        patient(gender="female"),
        patient(gender="woman"),
        [(Kind.CODE_INVALID, "Patient.gender", "female, male, other, unknown")],
    ),
    "a code that is no code is told so first": Case(
        patient(gender="female"), patient(gender="female "), [(Kind.VALUE, "Patient.gender", "a code")]
    ),
    "codes in a list are looked at one by one": Case(
        {"resourceType": "Location", "hoursOfOperation": [{"daysOfWeek": ["mon", "tue"]}]},
        {"resourceType": "Location", "hoursOfOperation": [{"daysOfWeek": ["mon", "tuesday"]}]},
        [(Kind.CODE_INVALID, "Location.hoursOfOperation[0].daysOfWeek[1]", "tue")],
    ),
    "of a long value set the nearest codes are named": Case(
        {
            "resourceType": "Basic",
            "code": {"text": "x"},
            "extension": [{"url": EXT, "valueDataRequirement": {"type": "Patient"}}],
        },
        {
            "resourceType": "Basic",
            "code": {"text": "x"},
            "extension": [{"url": EXT, "valueDataRequirement": {"type": "Pateint"}}],
        },
        [(Kind.CODE_INVALID, "Basic.extension[0].value.ofType(DataRequirement).type", "Patient, ")],
    ),
    "a concept has a coding of its required value set": Case(
        {
            "resourceType": "Condition",
            "subject": {"display": "A"},
            "clinicalStatus": {
                "coding": [
                    {"system": "urn:mine", "code": "x"},
                    {"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"},
                ]
            },
        },
        {
            "resourceType": "Condition",
            "subject": {"display": "A"},
            "clinicalStatus": {"coding": [{"system": "urn:mine", "code": "active"}]},
        },
        [(Kind.CODE_INVALID, "Condition.clinicalStatus", "is not in the value set")],
    ),
    "a concept with a required binding is more than a text": Case(
        {
            "resourceType": "Condition",
            "subject": {"display": "A"},
            "clinicalStatus": {"extension": [{"url": EXT, "valueCode": "unknown"}]},
        },
        {"resourceType": "Condition", "subject": {"display": "A"}, "clinicalStatus": {"text": "active"}},
        [(Kind.CODE_INVALID, "Condition.clinicalStatus", "is required here")],
    ),
    "a loose binding refuses nothing": Case(
        patient(maritalStatus={"coding": [{"system": "urn:mine", "code": "single-ish"}]}, language="x-mine"),
        patient(maritalStatus={"coding": [{"system": "urn:mine", "code": " "}]}),
        [(Kind.VALUE, "Patient.maritalStatus.coding[0].code", "a code")],
    ),
    # ---- references and extensions
    "a reference points, identifies or displays": Case(
        patient(managingOrganization={"display": "A"}, generalPractitioner=[{"identifier": {"value": "1"}}]),
        patient(managingOrganization={"type": "Organization"}),
        [(Kind.REQUIRED, "Patient.managingOrganization", 'at least one of "reference", "identifier"')],
    ),
    "a reference may be an extension alone": Case(
        patient(managingOrganization={"extension": [{"url": EXT, "valueCode": "unknown"}]}),
        patient(managingOrganization={"id": "x", "type": "Organization"}),
        [(Kind.REQUIRED, "Patient.managingOrganization", "at least one")],
    ),
    "an extension has a url": Case(
        patient(extension=[{"url": EXT, "valueCode": "a"}]),
        patient(extension=[{"valueCode": "a"}]),
        [(Kind.REQUIRED, "Patient.extension[0].url", '"url"')],
    ),
    "the url of an extension is absolute unless it stands in another": Case(
        patient(extension=[{"url": EXT, "extension": [{"url": "part", "valueCode": "a"}]}]),
        patient(extension=[{"url": "part", "valueCode": "a"}]),
        [(Kind.EXTENSION, "Patient.extension[0].url", "absolute")],
    ),
    "the url of an extension has a scheme, not a colon somewhere": Case(
        patient(extension=[{"url": "urn:x:part", "valueCode": "a"}]),
        patient(extension=[{"url": "10:00:00", "valueCode": "a"}]),
        [(Kind.EXTENSION, "Patient.extension[0].url", "absolute")],
    ),
    "an extension has a value or extensions, not both": Case(
        patient(extension=[{"url": EXT, "extension": [{"url": "part", "valueCode": "a"}]}]),
        patient(extension=[{"url": EXT, "valueCode": "a", "extension": [{"url": "part", "valueCode": "a"}]}]),
        [(Kind.EXTENSION, "Patient.extension[0]", "not both (ext-1)")],
    ),
    "an extension has something": Case(
        patient(extension=[{"url": EXT, "_valueCode": {"extension": [{"url": EXT, "valueCode": "a"}]}}]),
        patient(extension=[{"url": EXT}]),
        [(Kind.EXTENSION, "Patient.extension[0]", "neither (ext-1)")],
    ),
    "a modifier extension that nobody knows is not ignored": Case(
        patient(extension=[{"url": EXT, "valueCode": "a"}]),
        patient(modifierExtension=[{"url": EXT, "valueCode": "a"}]),
        [(Kind.EXTENSION, "Patient.modifierExtension[0]", "cannot be ignored")],
    ),
    # ---- resources inside resources
    "a contained resource is checked by its own type": Case(
        observation(contained=[patient(id="p", birthDate="2000")], subject={"reference": "#p"}),
        observation(contained=[patient(id="p", birthDate="soon", status="final")], subject={"reference": "#p"}),
        [
            (Kind.VALUE, "Observation.contained[0].birthDate", "calendar date"),
            (Kind.STRUCTURE, "Observation.contained[0].status", "Patient has no property"),
        ],
    ),
    "a contained resource names its type": Case(
        observation(contained=[patient(id="p")], subject={"reference": "#p"}),
        observation(contained=[{"of": "#"}, {"resourceType": "Pet", "of": "#"}, "Patient/1"]),
        [
            (Kind.STRUCTURE, "Observation.contained[0]", "missing"),
            (Kind.STRUCTURE, "Observation.contained[1]", '"Pet"'),
            (Kind.STRUCTURE, "Observation.contained[2]", "JSON object"),
        ],
    ),
    "a contained resource contains no other": Case(
        observation(contained=[patient(id="p"), patient(id="q")], focus=[{"reference": "#p"}, {"reference": "#q"}]),
        observation(
            contained=[
                patient(
                    id="p",
                    contained=[patient(id="q", extension=[{"url": EXT, "valueReference": {"reference": "#"}}])],
                )
            ],
            focus=[{"reference": "#p"}],
        ),
        [(Kind.INVARIANT, "Observation.contained[0].contained", "dom-2")],
    ),
    "a contained resource is pointed to": Case(
        observation(contained=[patient(id="p")], performer=[{"reference": "#p"}]),
        observation(contained=[patient(id="p")], performer=[{"reference": "Patient/p"}]),
        [(Kind.INVARIANT, "Observation.contained[0]", 'nothing refers to "p"')],
    ),
    "a contained resource may point to its container": Case(
        observation(
            contained=[
                patient(id="p", managingOrganization={"reference": "#o"}),
                {"resourceType": "Organization", "id": "o", "name": "A"},
            ],
            subject={"reference": "#p"},
        ),
        observation(
            contained=[patient(id="p"), {"resourceType": "Organization", "id": "o", "name": "A"}],
            subject={"reference": "#p"},
        ),
        [(Kind.INVARIANT, "Observation.contained[1]", 'nothing refers to "o"')],
    ),
    "the resource of a Bundle's entry is checked": Case(
        {"resourceType": "Bundle", "type": "collection", "entry": [{"fullUrl": "urn:x:1", "resource": patient()}]},
        {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"fullUrl": "urn:x:1", "resource": patient(active="yes")}],
        },
        [(Kind.STRUCTURE, "Bundle.entry[0].resource.active", "true or false")],
    ),
    "the resource of a parameter is checked": Case(
        {"resourceType": "Parameters", "parameter": [{"name": "a", "resource": patient()}]},
        {"resourceType": "Parameters", "parameter": [{"name": "a", "resource": [patient()]}]},
        [(Kind.STRUCTURE, "Parameters.parameter[0].resource", "JSON object")],
    ),
    "elements that contain themselves are checked all the way down": Case(
        {
            "resourceType": "Questionnaire",
            "status": "draft",
            "item": [{"linkId": "1", "type": "group", "item": [{"linkId": "1.1", "type": "string"}]}],
        },
        {
            "resourceType": "Questionnaire",
            "status": "draft",
            "item": [{"linkId": "1", "type": "group", "item": [{"linkId": "1.1", "type": "text?"}]}],
        },
        [(Kind.CODE_INVALID, "Questionnaire.item[0].item[0].type", "text")],
    ),
    # ---- narrative
    "a narrative is well formed": Case(
        narrative("<p>a<br/></p>"), narrative("<p>a<br></p>"), [(Kind.INVARIANT, "Patient.text.div", "well-formed")]
    ),
    "a narrative is one div in the XHTML namespace": Case(
        narrative("a"),
        patient(text={"status": "generated", "div": "<div>a</div>"}),
        [(Kind.INVARIANT, "Patient.text.div", 'one <div xmlns="http://www.w3.org/1999/xhtml">')],
    ),
    "a narrative is no plain text": Case(
        narrative("a"),
        patient(text={"status": "generated", "div": "a"}),
        [(Kind.INVARIANT, "Patient.text.div", "syntax error")],
    ),
    "a narrative is a text": Case(
        narrative("a"),
        patient(text={"status": "generated", "div": {"p": "a"}}),
        [(Kind.STRUCTURE, "Patient.text.div", "XHTML")],
    ),
    "a narrative has plain elements only": Case(
        narrative("<table><tr><td>a</td></tr></table>"),
        narrative("<p>a</p><script>alert(1)</script>"),
        [(Kind.INVARIANT, "Patient.text.div", "<script>")],
    ),
    "a narrative has plain attributes only": Case(
        narrative('<p style="color: red" class="x">a</p>'),
        narrative('<p onclick="alert(1)">a</p>'),
        [(Kind.INVARIANT, "Patient.text.div", '"onclick"')],
    ),
    "a narrative links to no script": Case(
        narrative('<a href="https://example.org">a</a>'),
        narrative('<a href=" JavaScript:alert(1)">a</a>'),
        [(Kind.INVARIANT, "Patient.text.div", "is a script")],
    ),
    "a narrative declares no entities": Case(
        narrative("&#160;a &amp; b"),
        patient(text={"status": "generated", "div": f'<!DOCTYPE div [<!ENTITY a "b">]>{DIV}&a;</div>'}),
        [(Kind.INVARIANT, "Patient.text.div", "DOCTYPE")],
    ),
    "a narrative knows no entities of HTML": Case(
        narrative("&#160;a"), narrative("&nbsp;a"), [(Kind.INVARIANT, "Patient.text.div", "undefined entity")]
    ),
    "a narrative says something": Case(
        narrative('<img src="a.png" alt="A"/>'),
        narrative("<p> \n </p>"),
        [(Kind.INVARIANT, "Patient.text.div", "txt-2")],
    ),
    "a narrative says it in CDATA, and not in an attribute or a comment": Case(
        narrative("<![CDATA[a]]>"),
        narrative('<!-- > a --><p title="> a"></p>'),
        [(Kind.INVARIANT, "Patient.text.div", "txt-2")],
    ),
    "a narrative says something if all of it is a hard space": Case(
        narrative("<p>&#160;</p>"), narrative("<p>&#32;</p>"), [(Kind.INVARIANT, "Patient.text.div", "txt-2")]
    ),
    "a narrative has whole characters": Case(
        narrative("\U0001f600"), narrative("\ud83d"), [(Kind.INVARIANT, "Patient.text.div", "half a character")]
    ),
    # ---- what R4 says in words beside its patterns
    "a code has no white space but single spaces": primitive("valueCode", "a b", "a\tb", "single spaces"),
    "base64 comes in groups of four": primitive("valueBase64Binary", "QUJD", "QUJD=", "base64"),
    "a URI that says it is a UUID is one": primitive(
        "valueUri", "urn:uuid:c757873d-ec9a-4326-a141-556f43239520", "urn:uuid:c757873d", "a UUID or OID"
    ),
    "a UUID is in lower case": primitive(
        "valueUri",
        "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
        "urn:uuid:C757873D-EC9A-4326-A141-556F43239520",
        "a UUID or OID",
    ),
    "a URI that says it is an OID is one": primitive("valueUrl", "urn:oid:2.16.840.1", "urn:oid:2.x", "a UUID or OID"),
    "an OID is a URN": primitive("valueUri", "urn:oid:1.2.3", "oid:1.2.3", "a UUID or OID"),
    "a canonical that says it is a UUID is one, its version and fragment aside": primitive(
        "valueCanonical", "urn:uuid:c757873d-ec9a-4326-a141-556f43239520|1#a", "urn:uuid:1|1#a", "a UUID or OID"
    ),
    "an element's id is given once": Case(
        patient(name=[{"id": "a", "family": "A"}, {"id": "b", "family": "B"}]),
        patient(name=[{"id": "a", "family": "A"}], _birthDate={"id": "a"}, birthDate="2000"),
        [(Kind.INVALID, "Patient.birthDate.id", 'has the id "a" as well')],
    ),
    "an element's id may be that of an element of a contained resource": Case(
        patient(
            contained=[{"resourceType": "Organization", "id": "o", "_name": {"id": "a"}, "name": "O"}],
            managingOrganization={"id": "a", "reference": "#o"},
        ),
        patient(
            contained=[
                {
                    "resourceType": "Organization",
                    "id": "o",
                    "name": "O",
                    "alias": ["A"],
                    "_alias": [{"id": "a"}],
                    "_name": {"id": "a"},
                }
            ],
            managingOrganization={"reference": "#o"},
        ),
        [(Kind.INVALID, "Patient.contained[0].name.id", 'has the id "a" as well')],
    ),
    "a contained resource has an id of its own": Case(
        patient(
            contained=[{"resourceType": "Organization", "id": f"o{n}", "name": "O"} for n in (1, 2)],
            managingOrganization={"reference": "#o1"},
            generalPractitioner=[{"reference": "#o2"}],
        ),
        patient(
            contained=[{"resourceType": "Organization", "id": "o1", "name": "O"} for _ in (1, 2)],
            managingOrganization={"reference": "#o1"},
        ),
        [(Kind.INVALID, "Patient.contained[1].id", '"#o1" names neither')],
    ),
    "a complex extension has the parts of its definition": Case(
        patient(extension=[{"url": NATIONALITY, "extension": [{"url": "period", "valuePeriod": {"start": "2020"}}]}]),
        patient(extension=[{"url": NATIONALITY, "extension": [{"url": "perod", "valuePeriod": {"start": "2020"}}]}]),
        [(Kind.EXTENSION, "Patient.extension[0].extension[0]", 'no part "perod": it has code, period')],
    ),
    "the value of an identifier that is a URI is one": Case(
        patient(identifier=[{"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3"}]),
        patient(identifier=[{"system": "urn:ietf:rfc:3986", "value": "1.2.3"}]),
        [(Kind.VALUE, "Patient.identifier[0].value", "a whole URI")],
    ),
    "the size of an attachment is that of its data": Case(
        patient(photo=[{"contentType": "image/png", "data": "QU\nI=", "size": 2}]),
        patient(photo=[{"contentType": "image/png", "data": "QUI=", "size": 4}]),
        [(Kind.VALUE, "Patient.photo[0].size", 'are 2 bytes before base64, and "size" says 4')],
    ),
    "a period may end in the year, or the month, that it starts in": Case(
        observation(effectivePeriod={"start": "2026-11-22", "end": "2026"}),
        observation(effectivePeriod={"start": "2026-11-22", "end": "2026-10"}),
        [(Kind.INVARIANT, "Observation.effective.ofType(Period)", "starts before it ends")],
    ),
}


def errors(resource):
    """What refuses a resource; unknown extensions and codes that cannot be known are remarks."""
    return [issue for issue in validate(resource, R4) if issue.is_error]


def _as_read(resource):
    """As the codec reads it: decimals exact."""
    try:
        return codec.loads(codec.dumps(resource), depth_max=100)
    except TypeError:
        return resource  # half a character is not to be written as JSON


@pytest.mark.parametrize("rule", CASES, ids=str)
def test_what_the_rule_allows_passes(rule):
    assert errors(_as_read(CASES[rule].good)) == []


@pytest.mark.parametrize("rule", CASES, ids=str)
def test_what_breaks_the_rule_is_refused_with_its_kind_place_and_reason(rule):
    found = errors(_as_read(CASES[rule].bad))
    expected = CASES[rule].issues
    assert [(issue.kind, issue.expression) for issue in found] == [issue[:2] for issue in expected]
    assert all(part in issue.text for issue, (_, _, part) in zip(found, expected, strict=True))


def test_everything_wrong_is_told_at_once_in_the_order_of_the_document():
    resource = {
        "resourceType": "Patient",
        "gender": "x",
        "name": [{"family": ""}, {"given": "A"}],
        "birthDate": "2023-02-30",
        "link": [{"type": "seealso"}],
    }
    assert [issue.expression for issue in errors(resource)] == [
        "Patient.gender",
        "Patient.name[0].family",
        "Patient.name[1].given",
        "Patient.birthDate",
        "Patient.link[0].other",
    ]


def test_a_great_many_problems_are_cut_off_and_counted():
    resource = patient(name=[{"family": ""}] * (ISSUES_MAX + 7))
    found = validate(resource, R4)
    assert len(found) == ISSUES_MAX + 1
    assert found[-1].text.startswith("There are 8 more problems")  # dom-6 is one
    assert not found[-1].is_error


def test_nesting_without_end_is_an_issue_and_no_crash():
    inner: dict[str, Any] = {"url": EXT, "valueCode": "a"}
    for _ in range(5_000):
        inner = {"url": EXT, "extension": [inner]}
    found = errors(patient(extension=[inner]))
    assert [(issue.kind, issue.expression) for issue in found] == [(Kind.TOO_COSTLY, "Patient")]


@pytest.mark.parametrize("value", [None, [], "Patient", 1, True])
def test_what_is_no_object_is_an_issue_and_no_crash(value):
    assert [issue.kind for issue in validate(value, R4)] == [Kind.STRUCTURE]


def test_numbers_too_long_for_python_to_spell_are_an_issue_and_no_crash():
    found = errors(patient(multipleBirthInteger=10**6_000))
    assert [(issue.kind, issue.expression) for issue in found] == [
        (Kind.VALUE, "Patient.multipleBirth.ofType(integer)")
    ]


def test_long_names_and_values_are_quoted_short():
    found = errors(patient(**{"x" * 5_000: 1, "gender": "y" * 5_000}))
    assert len(found) == 2
    assert max(len(issue.text) for issue in found) < 300


def test_blanks_in_base64_cost_no_more_than_their_length():
    # the published pattern would take longer than the universe has
    assert [issue.kind for issue in errors(of_type("valueBase64Binary", " " * 5_000 + "QUJ"))] == [Kind.VALUE]


def test_a_hundred_links_that_lead_nowhere_are_told_wherever_they_stand():
    whole = '<a href="http://a.example">a</a>' * 200
    broken = "".join(f'<a href="#nowhere-{n}">a</a>' for n in range(150))
    assert len(validate(narrative(whole), R4)) == 0
    told = validate(narrative(whole + broken), R4)
    assert len(told) == 100
    assert 'The link "#nowhere-99" leads nowhere' in told[-1].text


def test_validating_changes_nothing_in_the_resource():
    for case in CASES.values():
        before = repr(case.bad)
        validate(case.bad, R4)
        assert repr(case.bad) == before

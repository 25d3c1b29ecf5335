"""Rules that HL7's own validator holds beside the definitions, each with what it refuses and the nearest it allows."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.fhir import codec
from phb_fhir.outcome import Kind
from phb_fhir.validation.validate import validate
from tests.validation.resources import observation, patient

R4 = load()
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">'
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
ROLE = "http://terminology.hl7.org/CodeSystem/v3-orderableDrugForm"
HERE = "http://example.org/fhir"
SHA_1 = "Kq5sNclPz7QV2+lfQIuc6R7oRu0="  # of `hello world`
OTHER_SHA_1 = "EfatjsUqKYSrqv18O1FlA3hcIHI="


class Case(NamedTuple):
    good: dict[str, Any]
    bad: dict[str, Any]
    place: str
    says: str
    kind: Kind = Kind.INVALID


def errors(resource, **options):
    parsed = codec.loads(codec.dumps(resource), depth_max=100)
    return [issue for issue in validate(parsed, R4, **options) if issue.is_error]


def narrative(inside, **elements):
    return patient(text={"status": "generated", "div": f"{DIV}{inside}</div>"}, **elements)


def photo(**elements):
    return patient(photo=[{"contentType": "text/plain", "data": "aGVsbG8gd29ybGQ=", **elements}])


def about(reference):
    return observation(subject={"reference": reference})


def entry(type_, id_, **elements):
    return {"fullUrl": f"{HERE}/{type_}/{id_}", "resource": {"resourceType": type_, "id": id_, **elements}}


def bundle(kind, *entries, **elements):
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries), **elements}


def message(reference):
    header = {"eventUri": "http://example.org/event", "source": {"endpoint": HERE}, "focus": [{"reference": reference}]}
    return bundle("message", entry("MessageHeader", "m", **header), entry("Patient", "p"))


def document(link):
    composition = {
        "status": "final",
        "type": {"text": "Plan"},
        "date": "2026",
        "author": [{"display": "A"}],
        "title": "Plan",
    }
    return bundle(
        "document",
        entry("Composition", "c", **composition),
        entry("Binary", "css", contentType="text/css", data="YQ=="),
        identifier={"system": "urn:ietf:rfc:3986", "value": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520"},
        timestamp="2026-11-22T09:00:00Z",
        link=[{"relation": "stylesheet", "url": "Binary/css"}, {"relation": "stylesheet", "url": link}],
    )


def coded(code, system=CATEGORY):
    return observation(category=[{"coding": [{"system": system, "code": code}]}])


def heart_rate(status="final", **elements):
    loinc = {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}
    return {"resourceType": "Observation", "status": status, "code": loinc, **elements}


WHOLE_HEART_RATE = heart_rate(
    category=[{"coding": [{"system": CATEGORY, "code": "vital-signs"}]}],
    subject={"reference": "Patient/1"},
    effectiveDateTime="2026-11-22",
    valueQuantity={"value": 60, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"},
)

CASES = {
    "a code is one of its system": Case(
        coded("laboratory"), coded("laboratorium"), "Observation.category[0].coding[0]", "is not a code of", Kind.CODE_INVALID
    ),
    "a unit is a code of its system": Case(
        observation(valueQuantity={"value": 1, "system": ROLE, "code": "TAB"}),
        observation(valueQuantity={"value": 1, "system": ROLE, "code": "TABS"}),
        "Observation.value.ofType(Quantity)",
        "is not a code of",
        Kind.CODE_INVALID,
    ),
    "the system of a Coding is absolute": Case(
        patient(meta={"tag": [{"system": "http://example.org/tags", "code": "a"}]}),
        patient(meta={"tag": [{"system": "tags", "code": "a"}]}),
        "Patient.meta.tag[0].system",
        "absolute",
        Kind.VALUE,
    ),
    "the system of an identifier is absolute": Case(
        patient(identifier=[{"system": "https://example.org/hospital", "value": "1"}]),
        patient(identifier=[{"system": "hospital", "value": "1"}]),
        "Patient.identifier[0].system",
        "absolute",
        Kind.VALUE,
    ),
    "a canonical is absolute, or the address of a definition": Case(
        patient(meta={"profile": ["StructureDefinition/mine"]}),
        patient(meta={"profile": ["mine"]}),
        "Patient.meta.profile[0]",
        "absolute",
        Kind.VALUE,
    ),
    "a canonical inside the resource leads somewhere": Case(
        {
            "resourceType": "QuestionnaireResponse",
            "status": "completed",
            "questionnaire": "#q",
            "contained": [{"resourceType": "Questionnaire", "id": "q", "status": "active"}],
        },
        {"resourceType": "QuestionnaireResponse", "status": "completed", "questionnaire": "#q"},
        "QuestionnaireResponse.questionnaire",
        "no resource contained",
    ),
    "a reference has no blanks": Case(
        about("Patient/1"), about("Patient/1 "), "Observation.subject.reference", "is not the address", Kind.VALUE
    ),
    "a conditional reference stands in a transaction": Case(
        bundle("transaction", {**entry("Observation", "o", **{k: v for k, v in about("Patient?identifier=1").items() if k != "resourceType"}), "request": {"method": "PUT", "url": "Observation/o"}}),
        bundle("collection", entry("Observation", "o", **{k: v for k, v in about("Patient?identifier=1").items() if k != "resourceType"})),
        "Bundle.entry[0].resource.subject.reference",
        "is not the address",
        Kind.VALUE,
    ),
    "the hash of an attachment is that of its data": Case(
        photo(hash=SHA_1), photo(hash=OTHER_SHA_1), "Patient.photo[0].hash", "SHA-1", Kind.VALUE
    ),
    "what a message is about is in it": Case(
        message("Patient/p"), message("Patient/q"), "Bundle.entry[0].resource.focus[0]", "not in the Bundle", Kind.NOT_FOUND
    ),
    "a stylesheet of a document is in it": Case(
        document("https://example.org/a.css"), document("Binary/gone"), "Bundle.link[1].url", "not in the Bundle", Kind.NOT_FOUND
    ),
    "vital signs are what R4 asks of them": Case(
        heart_rate("entered-in-error", **{k: v for k, v in WHOLE_HEART_RATE.items() if k not in ("resourceType", "status", "code", "effectiveDateTime")}),
        {k: v for k, v in WHOLE_HEART_RATE.items() if k != "effectiveDateTime"},
        "Observation.effective",
        "effective",
        Kind.REQUIRED,
    ),
    "an image inside the resource leads somewhere": Case(
        narrative('<img src="#a" alt="A"/>', id="a"), narrative('<img src="#b" alt="B"/>', id="a"), "Patient.text.div", "leads nowhere", Kind.INVARIANT
    ),
    "a link is not empty": Case(
        narrative('<a href="https://example.org">A</a>'), narrative('<a href="">A</a>'), "Patient.text.div", "not empty", Kind.INVARIANT
    ),
    "a link has no blanks": Case(
        narrative('<a href="https://example.org/a%20b">A</a>'), narrative('<a href="https://example.org/a b">A</a>'), "Patient.text.div", "no blanks", Kind.INVARIANT
    ),
    "all of a narrative is XHTML": Case(
        narrative('<p xmlns="http://www.w3.org/1999/xhtml">A</p>'), narrative('<p xmlns="http://www.w3.org/2000/svg">A</p>'), "Patient.text.div", "namespace", Kind.INVARIANT
    ),
    "keys are written with kbd, and nobody inserts": Case(
        narrative("<kbd>A</kbd><address>B</address>"), narrative("<ins>A</ins>"), "Patient.text.div", "<ins>", Kind.INVARIANT
    ),
    "an item stands in a list": Case(
        narrative("<ul><li>A</li></ul>"), narrative("<li>A</li>"), "Patient.text.div", "<li> stands in", Kind.INVARIANT
    ),
    "a list holds items": Case(
        narrative("<ol><li><p>A</p></li></ol>"), narrative("<ol><p>A</p></ol>"), "Patient.text.div", "<ol> holds", Kind.INVARIANT
    ),
    "text in a table stands in a cell": Case(
        narrative("<table><tr> <td>A</td> </tr></table>"), narrative("<table><tr>A</tr></table>"), "Patient.text.div", "inside a cell", Kind.INVARIANT
    ),
    "a paragraph holds no blocks": Case(
        narrative("<div><p>A</p></div>"), narrative("<p><div>A</div></p>"), "Patient.text.div", "is a block", Kind.INVARIANT
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", CASES, ids=str)
def test_what_the_rule_allows_passes(rule):
    assert errors(CASES[rule].good) == []


@pytest.mark.parametrize("rule", CASES, ids=str)
def test_what_the_rule_forbids_is_an_error_at_its_place(rule):
    case = CASES[rule]
    (issue,) = errors(case.bad)
    assert (issue.kind, issue.expression) == (case.kind, case.place)
    assert case.says in issue.text


KEPT = {
    "a code that its system does not have": coded("laboratorium"),
    "a text whose lists are not lists": narrative("<li>A</li>"),
    "vital signs that are not whole": heart_rate(valueString="60"),
}


@pytest.mark.parametrize("what", KEPT, ids=str)
def test_what_is_only_kept_for_others_to_read_is_not_refused_for_it(what):
    assert errors(KEPT[what]) != []
    assert errors(KEPT[what], keeps_unknown=True) == []
    assert [each for each in validate(KEPT[what], R4, keeps_unknown=True) if each.severity == "warning"] != []


def test_a_display_that_is_not_the_codes_is_a_warning():
    named = observation(category=[{"coding": [{"system": CATEGORY, "code": "laboratory", "display": "Kitchen"}]}])
    (issue,) = [each for each in validate(named, R4) if "Kitchen" in each.text]
    assert (issue.severity, issue.expression) == ("warning", "Observation.category[0].coding[0]")


@pytest.mark.parametrize("url", ["http://example.org/a", "https://fhir.example.com/a", "http://acme.com/a"])
def test_an_extension_at_an_address_kept_for_examples_is_no_error_even_where_unknown_ones_are(url):
    assert errors(patient(extension=[{"url": url, "valueString": "A"}]), closed=True) == []


@pytest.mark.parametrize("url", ["http://example.org.uk/a", "https://notexample.org/a", "https://fhir.nhs.uk/a"])
def test_an_extension_that_nobody_knows_is_an_error_where_unknown_ones_are(url):
    (issue,) = errors(patient(extension=[{"url": url, "valueString": "A"}]), closed=True)
    assert issue.kind is Kind.EXTENSION


# ---- profiles that ask for more than they may -----------------------------------------------------


def profile(*elements):
    return {
        "resourceType": "StructureDefinition",
        "url": "https://example.org/sd",
        "name": "Mine",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": "Patient",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
        "derivation": "constraint",
        "differential": {"element": [{"id": "Patient", "path": "Patient"}, *elements]},
    }


def element(path, **says):
    return {"id": path, "path": path, **says}


def held(resource, mine):
    return errors(resource, profiles=[mine["url"]], known=Registry.of(R4, [mine]))


WIDER = profile(element("Patient.gender", min=1, max="*"))


def test_a_profile_that_widens_is_held_against_a_resource_as_far_as_it_narrows():
    assert held(patient(gender="other"), WIDER) == []
    (issue,) = held(patient(), WIDER)
    assert (issue.kind, issue.expression) == (Kind.REQUIRED, "Patient.gender")


def test_a_profile_that_widens_is_itself_refused():
    (issue,) = errors(WIDER)
    assert (issue.expression, "widened" in issue.text) == ("StructureDefinition.differential", True)


def test_a_profile_of_an_element_that_is_not_there_is_held_against_nothing():
    (issue,) = held(patient(), profile(element("Patient.nome", min=1)))
    assert "was not held against" in issue.text


BY_USE = element("Patient.name", slicing={"discriminator": [{"type": "value", "path": "use"}], "rules": "open"})


def named(slice_, use):
    row = {"id": f"Patient.name:{slice_}", "path": "Patient.name", "sliceName": slice_}
    return row, {"id": f"Patient.name:{slice_}.use", "path": "Patient.name.use", "min": 1, "fixedCode": use}


def test_what_is_of_two_slices_is_refused_and_what_is_of_one_is_not():
    assert held(patient(name=[{"use": "usual"}]), profile(BY_USE, *named("a", "usual"), *named("b", "old"))) == []
    (issue,) = held(patient(name=[{"use": "usual"}]), profile(BY_USE, *named("a", "usual"), *named("b", "usual")))
    assert (issue.expression, "a and b" in issue.text) == ("Patient.name[0]", True)

"""Extensions, each held against its own definition: its value, where it stands, its parts, and those nobody knows."""

from __future__ import annotations

import pytest

from phb_fhir.outcome import Kind
from phb_fhir.validation.validate import validate
from tests.validation.resources import observation, patient
from tests.validation.small_profiles import (
    BASE,
    MINE,
    R4,
    as_read,
    element,
    errors,
    extension,
    profile,
    remarks,
    sliced,
)

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

"""What the definitions answer, held against what FHIR R4 4.0.1 says."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest

from phb_fhir.definitions.load import Binding, Component, load

R4 = load()


def test_the_definitions_are_those_of_4_0_1_with_all_its_146_concrete_resource_types():
    assert R4.fhir_version == "4.0.1"
    assert len(R4.resource_types) == 146
    assert {"Patient", "Parameters", "Bundle", "Binary"} <= R4.resource_types
    assert R4.resource_types.isdisjoint({"Resource", "DomainResource", "HumanName"})


def test_loading_twice_gives_the_same_frozen_object():
    assert load() is R4
    with pytest.raises(FrozenInstanceError):
        R4.fhir_version = "5.0.0"


def test_every_type_name_an_element_mentions_is_a_type_that_can_be_asked_for():
    named = R4.resource_types | R4.complex_types | R4.primitive_types | R4.abstract_types
    todo, seen = list(named), set()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(element.type for element in R4.type(name).elements.values())
    assert len(seen) == 682


def test_an_element_knows_its_type_cardinality_flags_and_binding():
    status = R4.type("Observation").elements["status"]
    assert (status.type, status.min, status.max, status.is_list) == ("code", 1, 1, False)
    assert (status.is_summary, status.is_modifier) == (True, True)
    assert status.binding == Binding("required", "http://hl7.org/fhir/ValueSet/observation-status|4.0.1")
    name = R4.type("Patient").elements["name"]
    assert (name.type, name.min, name.max, name.is_list, name.binding) == ("HumanName", 0, None, True, None)


def test_a_choice_is_spelled_out_and_each_spelling_knows_its_path_name():
    observation = R4.type("Observation")
    assert observation.elements["valueQuantity"].choice == "value[x]"
    assert observation.elements["valueQuantity"].path_name == "value"
    assert "value" not in observation.elements
    assert "value[x]" not in observation.elements
    assert observation.choices["value[x]"][:3] == ("valueQuantity", "valueCodeableConcept", "valueString")
    assert len(R4.type("Extension").choices["value[x]"]) == 50


def test_a_backbone_type_is_named_by_its_path_and_a_content_reference_leads_back_to_it():
    contact = R4.type("Patient.contact")
    assert (contact.kind, contact.base) == ("backbone", "BackboneElement")
    assert contact.elements["organization"].targets == ("Organization",)
    assert R4.type("Timing.repeat").base == "Element"
    assert R4.type("Questionnaire.item").elements["item"].type == "Questionnaire.item"
    assert R4.type("ValueSet.compose").elements["exclude"].type == "ValueSet.compose.include"


def test_a_reference_lists_its_targets_and_none_stands_for_any():
    assert R4.type("Patient").elements["managingOrganization"].targets == ("Organization",)
    assert R4.type("Provenance").elements["target"].targets == ()
    instantiates = R4.type("CarePlan").elements["instantiatesCanonical"]
    assert (instantiates.type, instantiates.targets[0]) == ("canonical", "PlanDefinition")


def test_the_id_of_a_resource_is_an_id_and_that_of_an_element_a_string():
    assert {R4.type(name).elements["id"].type for name in R4.resource_types} == {"id"}
    assert R4.type("HumanName").elements["id"].type == "string"
    assert R4.type("Extension").elements["url"].type == "uri"


def test_invariants_stand_where_they_are_stated_and_are_not_repeated():
    assert [invariant.key for invariant in R4.type("Patient.contact").invariants] == ["pat-1"]
    assert R4.type("Patient").invariants == ()
    assert {invariant.key for invariant in R4.type("DomainResource").invariants} >= {"dom-2", "dom-3"}
    assert [invariant.key for invariant in R4.type("Element").invariants] == ["ele-1"]
    div = R4.type("Narrative").elements["div"]
    assert [invariant.key for invariant in div.invariants] == ["txt-1", "txt-2"]


def test_a_profile_on_a_type_is_kept():
    assert R4.type("Range").elements["low"].profiles == ("SimpleQuantity",)
    assert R4.type("Observation").elements["valueQuantity"].profiles == ()


def test_the_largest_value_set_of_a_loose_binding_is_kept():
    language = R4.type("Patient").elements["language"].binding
    assert (language.strength, language.largest) == ("preferred", "http://hl7.org/fhir/ValueSet/all-languages")


@pytest.mark.parametrize("name", ["Patiant", "Patient.nothing", "", "../index", "Definition"])
def test_a_name_fhir_does_not_have_is_a_key_error(name):
    assert not R4.has_type(name)
    with pytest.raises(KeyError):
        R4.type(name)


def test_search_parameters_include_those_of_every_resource_and_of_domain_resources_only_where_they_belong():
    assert {"_id", "_lastUpdated", "_tag", "_text", "birthdate"} <= R4.search_parameters("Patient").keys()
    bundle = R4.search_parameters("Bundle")
    assert {"_id", "composition"} <= bundle.keys()
    assert "_text" not in bundle
    with pytest.raises(KeyError):
        R4.search_parameters("HumanName")


def test_a_search_parameter_says_type_targets_and_an_expression_for_its_own_type_only():
    patient = R4.search_parameters("Observation")["patient"]
    assert (patient.type, patient.target) == ("reference", ("Patient", "Group"))
    assert patient.expression == "Observation.subject.where(resolve() is Patient)"
    code = R4.search_parameters("Condition")["code"]
    assert (code.base, code.expression, code.description) == (
        "Condition",
        "Condition.code",
        "Code for the condition",
    )


def test_a_composite_names_its_parts_with_their_types():
    composite = R4.search_parameters("Observation")["code-value-quantity"]
    assert composite.components == (
        Component("code", "token", "code"),
        Component("value-quantity", "quantity", "value.as(Quantity)"),
    )


def test_no_example_parameter_is_taken_for_a_real_one():
    found = {p.url for name in R4.resource_types for p in R4.search_parameters(name).values()}
    assert not [url for url in found if "/example" in url]
    assert len(found) > 1_300


def test_the_patient_compartment_names_who_belongs_to_it_and_through_what():
    patient = R4.compartment("Patient")
    assert patient.members["CarePlan"] == ("patient", "performer")
    assert "Organization" not in patient.members
    assert R4.compartment("Encounter").members["Encounter"] == ("{def}",)
    with pytest.raises(KeyError):
        R4.compartment("Organization")


def test_every_compartment_parameter_is_a_search_parameter_of_its_member():
    for name in ("Patient", "Encounter", "RelatedPerson", "Practitioner", "Device"):
        for member, codes in R4.compartment(name).members.items():
            assert set(codes) - {"{def}"} <= R4.search_parameters(member).keys(), (name, member)


def test_the_codes_of_a_required_value_set_are_listed_with_or_without_its_version():
    gender = {"http://hl7.org/fhir/administrative-gender": {"male", "female", "other", "unknown"}}
    assert R4.codes("http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1") == gender
    assert R4.codes("http://hl7.org/fhir/ValueSet/administrative-gender") == gender


def test_codes_that_cannot_be_listed_are_none_and_these_are_known():
    bound = {
        element.binding.value_set
        for name in list(R4._types)
        for element in R4.type(name).elements.values()
        if element.binding and element.binding.strength == "required"
    }
    assert "http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1" in bound
    assert {url for url in bound if R4.codes(url) is None} <= {
        "http://hl7.org/fhir/ValueSet/currencies|4.0.1",
        "http://hl7.org/fhir/ValueSet/mimetypes|4.0.1",
        "http://hl7.org/fhir/ValueSet/ucum-units|4.0.1",
        "http://loinc.org/vs/LL379-9|4.0.1",
    }


def test_the_pattern_of_every_primitive_compiles_once():
    for name in R4.primitive_types:
        assert isinstance(R4.pattern(name), re.Pattern)
        assert R4.pattern(name) is R4.pattern(name)
    assert R4.pattern("id").fullmatch("a-1.B")
    assert not R4.pattern("id").fullmatch("a_1")


def test_loading_reads_no_type_until_one_is_asked_for():
    code = (
        "from phb_fhir.definitions.load import load; d = load(); assert not d._types;"
        " d.type('Patient.contact'); print(*sorted({name.partition('.')[0] for name in d._types}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["Patient"]

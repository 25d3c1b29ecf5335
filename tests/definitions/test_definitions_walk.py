"""Every place that points somewhere is found by its type, and rewritten where it stands."""

from __future__ import annotations

import copy
import gzip
from pathlib import Path

import pytest

from phb_fhir.definitions.load import load
from phb_fhir.definitions.walk import references, rewrite
from phb_fhir.fhir import codec

R4 = load()
EXAMPLES = Path(__file__).parents[2].parent / "shared" / "conformance" / "examples" / "r4-4.0.1-instances.ndjson.gz"
XHTML = "http://www.w3.org/1999/xhtml"


def _found(resource, **flags):
    return [(at.path, at.kind, at.value) for at in references(resource, R4, **flags)]


FINDS = {
    "a reference, with what it may point to": (
        {"resourceType": "CarePlan", "subject": {"reference": "Patient/1"}},
        [("CarePlan.subject.reference", "Reference", "Patient/1")],
    ),
    "a reference in a list of a backbone element": (
        {"resourceType": "CarePlan", "activity": [{}, {"reference": {"reference": "Task/1"}}]},
        [("CarePlan.activity[1].reference.reference", "Reference", "Task/1")],
    ),
    "a choice, by its FHIRPath name": (
        {"resourceType": "MedicationRequest", "medicationReference": {"reference": "#m"}},
        [("MedicationRequest.medication.reference", "Reference", "#m")],
    ),
    "the extension of a resource": (
        {
            "resourceType": "Patient",
            "extension": [{"url": "http://e.org/x", "valueReference": {"reference": "Group/1"}}],
        },
        [
            ("Patient.extension[0].url", "uri", "http://e.org/x"),
            ("Patient.extension[0].value.reference", "Reference", "Group/1"),
        ],
    ),
    "the extension of a primitive": (
        {"resourceType": "Patient", "_birthDate": {"extension": [{"valueUuid": "urn:uuid:1"}]}},
        [("Patient.birthDate.extension[0].value", "uri", "urn:uuid:1")],
    ),
    "the extension of a primitive in a list": (
        {"resourceType": "Patient", "name": [{"_given": [None, {"extension": [{"valueUrl": "http://u"}]}]}]},
        [("Patient.name[0].given[1].extension[0].value", "uri", "http://u")],
    ),
    "a contained resource, by its own type": (
        {
            "resourceType": "Observation",
            "contained": [{"resourceType": "Patient", "managingOrganization": {"reference": "Organization/1"}}],
        },
        [("Observation.contained[0].managingOrganization.reference", "Reference", "Organization/1")],
    ),
    "canonicals, alone and in a list": (
        {"resourceType": "CarePlan", "instantiatesCanonical": ["http://p|1"], "instantiatesUri": ["urn:x"]},
        [
            ("CarePlan.instantiatesCanonical[0]", "canonical", "http://p|1"),
            ("CarePlan.instantiatesUri[0]", "uri", "urn:x"),
        ],
    ),
    "the text of a narrative": (
        {"resourceType": "Patient", "text": {"status": "generated", "div": "<div>x</div>"}},
        [("Patient.text.div", "xhtml", "<div>x</div>")],
    ),
    "elements that contain themselves": (
        {"resourceType": "Questionnaire", "item": [{"item": [{"definition": "http://d#1"}]}]},
        [("Questionnaire.item[0].item[0].definition", "uri", "http://d#1")],
    ),
    "the resource of a parameter": (
        {
            "resourceType": "Parameters",
            "parameter": [{"part": [{"resource": {"resourceType": "Task", "focus": {"reference": "CarePlan/1"}}}]}],
        },
        [("Parameters.parameter[0].part[0].resource.focus.reference", "Reference", "CarePlan/1")],
    ),
}


@pytest.mark.parametrize("case", FINDS, ids=str)
def test_the_walk_finds(case):
    resource, expected = FINDS[case]
    assert _found(resource) == expected


def test_what_looks_like_a_reference_and_is_none_is_left_alone():
    resource = {
        "resourceType": "Patient",
        "reference": "Patient/1",
        "birthDate": "2000",
        "name": [{"text": "Patient/1", "family": "http://x"}],
        "nickname": {"reference": "Patient/1"},
    }
    assert _found(resource) == []


@pytest.mark.parametrize(
    "resource",
    [
        {},
        {"resourceType": "Nothing", "subject": {"reference": "Patient/1"}},
        {"resourceType": ["Patient"]},
        {"resourceType": "CarePlan", "subject": "Patient/1", "activity": {"reference": [1]}, "contained": [None, 1]},
        {"resourceType": "CarePlan", "subject": {"reference": {"reference": 5}}, "instantiatesUri": [None, {}]},
    ],
)
def test_shapes_that_are_wrong_are_passed_over_without_harm(resource):
    assert _found(resource) == []


def test_the_entries_of_a_bundle_are_walked_only_when_asked_for():
    bundle = {
        "resourceType": "Bundle",
        "entry": [
            {
                "fullUrl": "urn:uuid:1",
                "resource": {"resourceType": "Task", "focus": {"reference": "urn:uuid:2"}},
                "response": {"outcome": {"resourceType": "OperationOutcome", "implicitRules": "http://r"}},
            }
        ],
    }
    assert _found(bundle) == [("Bundle.entry[0].fullUrl", "uri", "urn:uuid:1")]
    assert _found(bundle, into_bundles=True) == [
        ("Bundle.entry[0].fullUrl", "uri", "urn:uuid:1"),
        ("Bundle.entry[0].resource.focus.reference", "Reference", "urn:uuid:2"),
        ("Bundle.entry[0].response.outcome.implicitRules", "uri", "http://r"),
    ]


def test_a_place_knows_what_it_may_point_to():
    resource = {
        "resourceType": "CarePlan",
        "subject": {"reference": "Patient/1", "type": "Patient"},
        "instantiatesCanonical": ["http://p"],
        "supportingInfo": [{"reference": "Binary/1"}],
    }
    assert [(at.value, at.targets) for at in references(resource, R4)] == [
        ("Patient/1", ("Patient", "Group")),
        ("Patient", ()),
        (
            "http://p",
            ("PlanDefinition", "Questionnaire", "Measure", "ActivityDefinition", "OperationDefinition"),
        ),
        ("Binary/1", ()),
    ]


def test_rewriting_sets_what_the_mapping_answers_and_leaves_the_rest_as_it_was():
    resource = {
        "resourceType": "CarePlan",
        "subject": {"reference": "urn:uuid:1", "display": "urn:uuid:1"},
        "addresses": [{"reference": "Condition/9"}],
        "instantiatesUri": ["urn:uuid:2", "urn:uuid:1"],
    }
    rewrite(resource, R4, lambda at: {"urn:uuid:1": f"{at.kind}/1"}.get(at.value))
    assert resource == {
        "resourceType": "CarePlan",
        "subject": {"reference": "Reference/1", "display": "urn:uuid:1"},
        "addresses": [{"reference": "Condition/9"}],
        "instantiatesUri": ["urn:uuid:2", "uri/1"],
    }


def test_in_a_narrative_only_links_that_are_exactly_a_mapped_url_are_rewritten():
    div = (
        f'<div xmlns="{XHTML}"><a href="urn:uuid:1">urn:uuid:1</a><img alt="" src = \'http://e?a=1&amp;b\'/>'
        '<a href="urn:uuid:11"> href="urn:uuid:1" </a><a data-href="urn:uuid:1" href="#x">y</a></div>'
    )
    resource = {"resourceType": "Patient", "text": {"status": "generated", "div": div}}
    new = {"urn:uuid:1": "Patient/1", "http://e?a=1&b": 'Binary/1?"&'}
    asked = []
    rewrite(resource, R4, lambda at: asked.append((at.kind, at.path, at.value)) or new.get(at.value))
    assert resource["text"]["div"] == (
        f'<div xmlns="{XHTML}"><a href="Patient/1">urn:uuid:1</a><img alt="" src = "Binary/1?&quot;&amp;"/>'
        '<a href="urn:uuid:11"> href="urn:uuid:1" </a><a data-href="urn:uuid:1" href="#x">y</a></div>'
    )
    assert set(asked) == {
        ("xhtml", "Patient.text.div", url) for url in ("urn:uuid:1", "http://e?a=1&b", "urn:uuid:11", "#x")
    }


def test_in_the_official_examples_the_walk_finds_every_reference_a_blind_search_finds():
    """Each string called "reference" is one of a Reference, save in the few types with an element of that name."""
    others = {"uri", "canonical"}
    with gzip.open(EXAMPLES) as lines:
        resources = [codec.loads(line, depth_max=200) for line in lines]
    assert len(resources) == 497
    for resource in resources:
        found = [at for at in references(resource, R4, into_bundles=True) if at.key == "reference"]
        assert {(id(at.holder)) for at in found} == set(_blind(resource))
        assert {at.kind for at in found} <= {"Reference", *others}


def _blind(value):
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield id(value)
        for inner in value.values():
            yield from _blind(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _blind(inner)


def test_a_mapping_that_answers_nothing_changes_nothing_in_any_example():
    with gzip.open(EXAMPLES) as lines:
        for line in lines:
            resource = codec.loads(line, depth_max=200)
            before = copy.deepcopy(resource)
            rewrite(resource, R4, lambda _: None)
            assert resource == before

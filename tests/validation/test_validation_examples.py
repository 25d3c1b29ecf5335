"""What others published as right passes, and what the official validator finds right is not refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from phb_fhir.definitions.load import load
from phb_fhir.fhir import codec
from phb_fhir.validation.validate import validate

R4 = load()
CONFORMANCE = Path(__file__).parents[2].parent / "shared" / "conformance"
VALIDATOR = CONFORMANCE / "validator"
CASES = json.loads((VALIDATOR / "manifest.json").read_text())["cases"]

# Right only for a validator told to look away from part of the resource.
LOOKS_AWAY = {
    "contained-resource-bad-id-ignore",  # validateContains: IGNORE; its contained id is too long
    "aggregation-apart-good4",  # the Encounter lacks its required class
}
# Cases whose errors need no more than the definitions of the types, and where they are. (For a missing or unknown
# element the official validator names the parent; we name the element.)
STRUCTURAL = {
    "attachment-with-invalid-binary": ["Media.content.data"],
    "patient-extension-bad": ["Patient.extension[0].url"],
    "empty-array": ["DocumentReference.category[0].coding"],
    "resource-invalid-id-3": ["Location.contained[0].id"],
    "patient-id-bad-1 / R4": ["Patient.id"],
    "patient-id-bad-2 / R4": ["Patient.id"],
    "patient-id-only": ["Patient.implicitRules"],
    "comments-4": ["Patient.fhir_comments"],
    "ai3": ["Patient.unknownElement"],
    "ai4": ["Patient.birthDate"],
    "list-xhtml-empty": ["List.text.div"],
    "bundle-dual-subject": ["Bundle.entry[0].resource.subject"],
    "Observation-ex-pain.json": ["Observation.value.ofType(integer).value", "Observation.code"],
    "aggregation-bundle-good4": ["Bundle.entry[0].resource.class"],
}


def _lines(name):
    with gzip.open(CONFORMANCE / name) as lines:
        yield from (codec.loads(line, depth_max=200) for line in lines)


def _told(issues):
    return [f"{issue.expression}: {issue.text}" for issue in issues if issue.is_error]


def test_every_official_example_validates_without_an_error():
    resources = list(_lines("examples/r4-4.0.1-instances.ndjson.gz"))
    assert len(resources) == 497
    found = {f"{r['resourceType']}/{r.get('id')}": _told(validate(r, R4)) for r in resources}
    assert {name: issues for name, issues in found.items() if issues} == {}


def test_every_entry_of_the_synthetic_records_validates_but_for_one_code_that_is_none():
    entries = [e["resource"] for b in _lines("synthea/transactions.ndjson.gz") for e in b["entry"]]
    assert len(entries) == 6_862
    told = [issue for entry in entries for issue in _told(validate(entry, R4))]
    assert [text.partition(":")[0] for text in told] == ["Observation.category[0].coding[0]"]
    assert '"vital-sign" is not a code of Observation Category Codes' in told[0]


def test_the_synthetic_records_may_be_kept_as_whole_bundles_too():
    bundles = _lines("synthea/transactions.ndjson.gz")
    assert [issue for b in bundles for issue in _told(validate(b, R4, keeps_unknown=True))] == []


def _resource(case):
    return codec.loads((VALIDATOR / case["resource"]).read_bytes(), depth_max=200)


RIGHT = [
    case
    for case in CASES
    if not (case["expected"] or {}).get("errors")
    and not (case["expected"] or {}).get("fatal")
    and case["name"] not in LOOKS_AWAY
]


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case["name"])
def test_a_case_of_the_official_validator_without_errors_is_not_refused(case):
    assert _told(validate(_resource(case), R4)) == []


def test_there_are_many_such_cases():
    assert len(RIGHT) > 50


@pytest.mark.parametrize("name", STRUCTURAL)
def test_the_structural_errors_of_the_official_validator_are_found_all_of_them_at_their_places(name):
    case = next(case for case in CASES if case["name"] == name)
    assert case["expected"]["errors"] + case["expected"]["fatal"] == len(STRUCTURAL[name])
    assert [issue.expression for issue in validate(_resource(case), R4) if issue.is_error] == STRUCTURAL[name]

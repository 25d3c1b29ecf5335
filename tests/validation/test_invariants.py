"""Every invariant of R4 and of UK Core is evaluated for real, and what is known to be right passes."""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path

import pytest

from phb_fhir.definitions.load import Invariant
from phb_fhir.definitions.terminology import Terminology
from phb_fhir.fhir import codec
from phb_fhir.fhirpath.values import NotEvaluableError
from phb_fhir.outcome import Issue, Kind
from phb_fhir.validation.closures import CLOSURES
from phb_fhir.validation.invariants import AS_MEANT, by_fhirpath, code_of, hold, rules_of
from tests.validation.elements import R4, TERMINOLOGY, check_invariants, elements, frame_of, stated

CONFORMANCE = Path(__file__).parents[2].parent / "shared" / "conformance"
VALIDATOR = CONFORMANCE / "validator" / "resources"


def _structures():
    """The StructureDefinitions of the UK Core package and of the validator suite."""
    (package,) = (CONFORMANCE / "uk-core").glob("*.tgz")
    with tarfile.open(package) as archive:
        for member in archive:
            if member.name.endswith(".json"):
                yield from _inside(json.load(archive.extractfile(member)))
    for path in sorted(VALIDATOR.glob("*.json")):
        try:
            yield from _inside(json.loads(path.read_bytes()))
        except ValueError:
            continue  # some cases of the suite are about JSON that is none


def _inside(value):
    if isinstance(value, dict):
        if value.get("resourceType") == "StructureDefinition":
            yield value
        yield from (found for child in value.values() for found in _inside(child))
    elif isinstance(value, list):
        yield from (found for child in value for found in _inside(child))


def _of_profiles():
    rows = (
        row
        for structure in _structures()
        for view in ("differential", "snapshot")
        for element in structure.get(view, {}).get("element", ())
        for row in element.get("constraint", ())
    )
    return {
        Invariant(row["key"], row["severity"], row["human"], row["expression"]) for row in rows if "expression" in row
    }


def _unevaluable(invariants):
    for invariant in invariants:
        try:
            code_of(invariant)
        except NotEvaluableError as reason:
            yield invariant.key, str(reason)


def _examples():
    with gzip.open(CONFORMANCE / "examples/r4-4.0.1-instances.ndjson.gz") as lines:
        yield from (codec.loads(line, depth_max=200) for line in lines)


def test_every_invariant_of_r4_is_fhirpath_we_evaluate():
    invariants = {invariant for _, _, invariant in stated()}
    assert len({(i.key, i.expression) for i in invariants}) == 239
    assert list(_unevaluable(invariants)) == []


def test_every_invariant_of_uk_core_and_the_validator_suite_is_fhirpath_we_evaluate():
    invariants = _of_profiles()
    assert {"ukcore-diag-lab-001", "ukcore-imm-001", "sqty-1", "add-7", "bc-mm-1", "cont-3"} <= {
        i.key for i in invariants
    }
    assert list(_unevaluable(invariants)) == []


def test_every_official_example_keeps_every_invariant():
    """497 examples. What is told is by warnings that HL7's own validator gives as well: no narrative, or a bad name."""
    told, asked = {}, 0
    for resource in _examples():
        for one in elements(resource):
            rules = (*rules_of(one.invariants, one.type), *(by_fhirpath(i, one.type) for i in one.invariants))
            asked += len(rules)
            for issue in hold(rules, one.value, one.twin, one.at, one.frame):
                told.setdefault((issue.severity, issue.details["coding"][0]["code"]), set()).add(issue.expression)
    assert asked > 120_000
    assert set(told) == {("warning", key) for key in ("dom-6", "cmd-0", "csd-0", "pdf-0", "tst-0", "vsd-0")}


def test_every_correction_of_a_published_expression_is_of_one_that_is_published():
    published = {(invariant.key, invariant.expression) for _, _, invariant in stated()}
    assert AS_MEANT.keys() <= published


# ---- what is said ----------------------------------------------------------------------------------


def _said(invariant, type_name, value, frame=None):
    frame = frame or frame_of(value)
    return list(check_invariants((invariant,), value, frame.at, frame, type_name))


def _stated_as(key, place):
    return next(invariant for there, _, invariant in stated() if (there, invariant.key) == (place, key))


def test_a_broken_invariant_with_a_closure_says_what_is_wrong_and_what_would_be_right():
    period = {"start": "2026-04-02", "end": "2026-04-01"}
    task = {"resourceType": "Task", "executionPeriod": period}
    frame = frame_of(task)
    issues = list(
        check_invariants((_stated_as("per-1", "Period"),), period, ("Task", "executionPeriod", None), frame, "Period")
    )
    text = 'A period starts before it ends; this one starts "2026-04-02" and ends "2026-04-01" (per-1).'
    assert issues == [Issue(Kind.INVARIANT, text, "Task.executionPeriod", "error", {"coding": [{"code": "per-1"}]})]


@pytest.mark.parametrize(
    ("place", "key", "value", "text"),
    [
        ("Reference", "ref-1", {"reference": "#x"}, '"#x" points to no resource contained in this one: nothing is contained in it (ref-1).'),
        ("Quantity", "qty-3", {"code": "mg"}, '"code" is given without "system": give "system" as well, or leave both out (qty-3).'),
        ("CarePlan.activity", "cpl-3", {"detail": {}, "reference": {}}, '"detail" and "reference" are given together: only one of them may be (cpl-3).'),
        ("Patient.contact", "pat-1", {}, 'None of "name", "telecom", "address" and "organization" is given: at least one must be (pat-1).'),
    ],
)  # fmt: skip
def test_the_sentence_of_a_closure(place, key, value, text):
    assert [issue.text for issue in _said(_stated_as(key, place), place, value)] == [text]


def test_a_changed_expression_of_a_known_key_is_evaluated_as_it_stands():
    changed = Invariant("per-1", "error", "A start needs an end", "start.exists() implies end.exists()")
    assert ("per-1", changed.expression) not in CLOSURES
    assert _said(changed, "Period", {"start": "2026-04-02", "end": "2026-04-01"}) == []
    (issue,) = _said(changed, "Period", {"start": "2026-04-02"})
    assert issue.text == "A start needs an end (per-1)."


def test_the_severity_of_an_invariant_is_that_of_its_issue():
    for severity in ("error", "warning"):
        (issue,) = _said(Invariant("x-1", severity, "No", "false"), "Patient", {"resourceType": "Patient"})
        assert (issue.severity, issue.kind) == (severity, Kind.INVARIANT)


def test_an_expression_that_cannot_be_evaluated_warns_and_says_why():
    (issue,) = _said(Invariant("x-1", "error", "Is lucky.", "id.isLucky()"), "Patient", {"resourceType": "Patient"})
    assert (issue.kind, issue.severity) == (Kind.NOT_SUPPORTED, "warning")
    assert issue.text == (
        'Whether "Is lucky" (x-1) holds is not known: it cannot be evaluated here: '
        "the function isLucky() is not known here."
    )


def test_an_empty_answer_breaks_an_invariant():
    assert len(_said(Invariant("x-1", "error", "Is active", "active"), "Patient", {"resourceType": "Patient"})) == 1


# ---- what is not known here ------------------------------------------------------------------------

SCT = "http://snomed.info/sct"
MEMBER = Invariant("x-1", "error", "The code is one of ours", "memberOf('http://x/codes')")


@pytest.mark.parametrize(
    ("code", "told"),
    [("a", []), ("b", [Kind.INVARIANT])],
)
def test_member_of_asks_the_terminology(code, told):
    codes = {
        "resourceType": "CodeSystem",
        "url": "http://x/system",
        "content": "complete",
        "concept": [{"code": "a"}],
        "status": "active",
    }
    value_set = {
        "resourceType": "ValueSet",
        "url": "http://x/codes",
        "compose": {"include": [{"system": "http://x/system"}]},
    }
    frame = frame_of({"resourceType": "Basic"}, terminology=Terminology.of(R4, (codes, value_set)))
    concept = {"coding": [{"system": "http://x/other", "code": "z"}, {"system": "http://x/system", "code": code}]}
    assert [issue.kind for issue in _said(MEMBER, "CodeableConcept", concept, frame)] == told


def test_codes_that_are_not_known_here_are_no_error_and_no_silent_pass():
    value_set = {"resourceType": "ValueSet", "url": "http://x/codes", "compose": {"include": [{"system": SCT}]}}
    for terminology in (TERMINOLOGY, Terminology.of(R4, (value_set,))):
        frame = frame_of({"resourceType": "Basic"}, terminology=terminology)
        (issue,) = _said(MEMBER, "Coding", {"system": SCT, "code": "1"}, frame)
        assert (issue.kind, issue.severity) == (Kind.NOT_SUPPORTED, "warning")
        assert "which codes are in http://x/codes is not known here" in issue.text


@pytest.mark.parametrize(
    ("answer", "told"),
    [(True, []), (False, [(Kind.INVARIANT, "error")]), (None, [(Kind.NOT_SUPPORTED, "warning")])],
)
def test_conforms_to_asks_for_the_profile(answer, told):
    conforms = Invariant("x-1", "error", "It is one of ours", "conformsTo('http://x/profile')")
    frame = frame_of({"resourceType": "Basic"}, conforms=lambda *_: answer)
    assert [(issue.kind, issue.severity) for issue in _said(conforms, "Basic", frame.resource, frame)] == told


def test_a_reference_that_leads_out_of_the_resource_decides_nothing():
    author = Invariant(
        "x-1",
        "error",
        "A practitioner wrote it",
        "author.resolve().all($this is Practitioner) and author.resolve().exists()",
    )
    plan = {"resourceType": "CarePlan", "author": {"reference": "Practitioner/1"}}
    assert [issue.severity for issue in _said(author, "CarePlan", plan)] == ["warning"]
    contained = {
        "resourceType": "CarePlan",
        "contained": [{"resourceType": "Patient", "id": "a"}],
        "author": {"reference": "#a"},
    }
    assert [issue.severity for issue in _said(author, "CarePlan", contained)] == ["error"]


# ---- UK Core ---------------------------------------------------------------------------------------

COLLECTOR = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Specimen.collection.collector"


@pytest.mark.parametrize(
    ("key", "type_name", "bad", "good"),
    [
        ("ukcore-diag-lab-001", "DiagnosticReport", {"status": "final"}, {"status": "final", "issued": "2026-01-01T00:00:00Z"}),
        ("ukcore-imm-001", "Immunization", {"status": "not-done"}, {"status": "completed"}),
        ("ukcore-obs-grplab-001", "Observation", {"valueString": "x"}, {"status": "final"}),
        ("ukcore-obs-lab-001", "Observation", {"status": "final"}, {"note": [{"text": "x"}]}),
        ("ukcore-spec-001", "Specimen",
         {"collection": {"collector": {"reference": "Patient/1", "extension": [{"url": COLLECTOR}]}}},
         {"collection": {"collector": {"reference": "Patient/1"}}}),
        ("sqty-1", "Quantity", {"comparator": "<"}, {"value": 1}),
    ],
)  # fmt: skip
def test_an_invariant_of_uk_core_tells_what_breaks_it_and_passes_its_twin(key, type_name, bad, good):
    invariant = next(invariant for invariant in _of_profiles() if invariant.key == key)
    bad, good = ({"resourceType": type_name, **value} if type_name != "Quantity" else value for value in (bad, good))
    assert [issue.details["coding"][0]["code"] for issue in _said(invariant, type_name, bad)] == [key]
    assert _said(invariant, type_name, good) == []

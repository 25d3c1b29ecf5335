"""What a profile asks of what a reference points to: its type, its profile, and where it is."""

from __future__ import annotations

import pytest

from phb_fhir.outcome import Kind
from tests.validation.resources import patient
from tests.validation.small_profiles import MINE, element, errors, profile

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

"""Which profiles a resource is held against: those it claims, those that are asked for, and what becomes of those nobody knows or can use."""

from __future__ import annotations

from phb_fhir.outcome import Kind
from tests.validation.resources import observation, patient
from tests.validation.small_profiles import BASE, MINE, NAMED, element, errors, profile, remarks


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

"""Deny by default: what a token does not say is no access, and who somebody is has to be told beyond doubt, over HTTP."""

from __future__ import annotations

import pytest

from tests.security.elements import (
    ABOUT_PEOPLE,
    ref,
)
from tests.security.world import ACTORS, LOADED_AT, THINGS, made_new

NOTHING_SAID = {
    "no role": {"fhirUser": "Patient/jill", "patient": "jill"},
    "an unknown role": {"role": "superuser", "fhirUser": "Patient/jill", "patient": "jill"},
    "a role in other letters": {"role": "System"},
    "a role with a blank": {"role": "system "},
    "no scope": {**ACTORS["jill"], "scope": ""},
    "a scope that is none": {**ACTORS["jill"], "scope": "patient/*"},
    "a scope of another kind": {**ACTORS["jill"], "scope": "openid fhirUser launch/patient"},
    "a scope with letters out of order": {**ACTORS["jill"], "scope": "patient/*.sr"},
    "a scope of version 1 with criteria": {**ACTORS["jill"], "scope": "patient/*.read?category=a"},
    "a scope with an asterisk in a name": {**ACTORS["jill"], "scope": "patient/Pat*.rs"},
    "a scope for an unknown context": {**ACTORS["jill"], "scope": "admin/*.cruds"},
}


@pytest.mark.parametrize("claims", NOTHING_SAID.values(), ids=NOTHING_SAID)
def test_what_a_token_does_not_say_is_no_access(world, claims):
    assert world.get("jill", "/Patient/jill").status_code == 200
    for path in (
        "/Patient/jill",
        "/Patient",
        "/",
        "/_history",
        "/Organization/oak",
        "/Patient/jill/$everything",
        "/Patient/jill/Account",
    ):
        answer = world.get({**claims, "sub": "x"}, path)
        assert answer.status_code == 403, (path, answer.text)
        assert "Jill" not in answer.text
        assert "zq" not in answer.text


CLAIM_MISSING = {
    "a person without a record": {"role": "person"},
    "a person who is a practitioner": {"role": "person", "fhirUser": "Practitioner/tom", "patient": "jill"},
    **{
        f"a {role} who is somebody elsewhere, launched with her record": {
            "role": role,
            "fhirUser": f"https://elsewhere.example/fhir/{type_}/jill",
            "patient": "jill",
        }
        for role, type_ in (("person", "Patient"), ("delegate", "RelatedPerson"), ("peer-supporter", "Practitioner"))
    },
    "a person who is a device": {"role": "person", "fhirUser": "Device/jill", "patient": "jill"},
    "a person who is several": {"role": "person", "fhirUser": "Patient/jill Patient/ted", "patient": "jill"},
    "a person launched with another's record": {
        "role": "person",
        "fhirUser": "Patient/mo",
        "patient": "jill",
        "scope": "patient/*.cruds",
    },
    "a delegate without a name": {"role": "delegate"},
    "a delegate in whose name only an organisation acts": {"role": "delegate", "organization": "Organization/willow"},
    "a broker without an organisation": {"role": "broker"},
    "a care co-ordinator without a name": {"role": "care-coordinator"},
    "an NHS team without an organisation": {"role": "nhs-team"},
    "a commissioner without an organisation": {"role": "commissioner"},
    "a commissioner that is a practitioner": {"role": "commissioner", "fhirUser": "Organization/north"},
    "a provider without an organisation": {"role": "provider"},
    "a practice without an organisation": {"role": "practice"},
    "finance without an organisation": {"role": "finance"},
    "an organisation that is elsewhere": {
        "role": "commissioner",
        "organization": "https://elsewhere.example/fhir/Organization/north",
    },
    "an organisation of another type": {"role": "commissioner", "organization": "Patient/north"},
    "several organisations": {"role": "commissioner", "organization": "Organization/north,Organization/south"},
    "an ODS code that nobody has": {"role": "commissioner", "ods_code": "Z99"},
}


@pytest.mark.parametrize("claims", CLAIM_MISSING.values(), ids=CLAIM_MISSING)
def test_a_missing_claim_is_no_access_to_anybodys_record(world, claims):
    for type_ in ABOUT_PEOPLE.split():
        answer = world.get({**claims, "sub": "x"}, f"/{type_}?_total=accurate")
        ids = [one["resource"]["id"] for one in answer.json().get("entry", ())]
        assert answer.status_code in (200, 403)
        assert set(ids) <= {"directory", "figures"}, (type_, ids)
    assert "zq" not in world.get({**claims, "sub": "x"}, "/?_total=accurate").text
    assert world.get({**claims, "sub": "x"}, "/Patient/jill").status_code in (403, 404)


def test_who_is_somebody_elsewhere_is_told_why_they_see_nothing(world):
    elsewhere = {**ACTORS["jill"], "fhirUser": "https://elsewhere.example/fhir/Patient/jill"}
    refused = world.get(elsewhere, "/Patient/jill")
    assert refused.status_code == 403
    assert "a user or patient of another server" in refused.text
    here = {**ACTORS["jill"], "fhirUser": f"{world.base}/Patient/jill"}
    assert world.get(here, "/Patient/jill").status_code == 200


KNOWN_BY = {
    "an ODS code": ({"role": "commissioner", "ods_code": "X00"}, "north"),
    "an NHS number": ({"role": "person", "nhs_number": "9000000009"}, "jill"),
    "the launch context alone": ({"role": "person", "patient": "jill"}, "jill"),
    "an NHS number, and by another server": (
        {"role": "person", "nhs_number": "9000000009", "fhirUser": "https://elsewhere.example/fhir/Patient/7"},
        "jill",
    ),
    "its organisation, and by another server": (
        {
            "role": "commissioner",
            "organization": "Organization/north",
            "fhirUser": "https://elsewhere.example/Practitioner/7",
        },
        "north",
    ),
}


@pytest.mark.parametrize(("claims", "as_"), KNOWN_BY.values(), ids=KNOWN_BY)
def test_who_is_known_by_a_national_identifier_sees_the_same(world, claims, as_):
    for type_ in ("Patient", "Account", "Task", "Consent"):
        asked = f"/{type_}?_total=accurate&_sort=_id"
        assert world.get({**claims, "sub": "x"}, asked).json() == world.get(as_, asked).json()


def test_a_second_record_with_somebodys_nhs_number_neither_locks_them_out_nor_leads_them_to_it(world):
    world.restore()
    by_number = {"role": "person", "nhs_number": "9000000009", "sub": "x"}

    def signed_in_as() -> set[str]:
        answer = world.get(by_number, "/Patient")
        return {one["resource"]["id"] for one in answer.json().get("entry", ())}

    assert signed_in_as() == {"jill"}
    jill = THINGS["Patient", "jill"]
    again = {
        **made_new("Patient", "jill"),
        "identifier": jill["identifier"],
        "managingOrganization": ref("Organization/harbour"),
    }
    made = world.post("harbour", "/Patient", again)
    assert made.status_code == 201, made.text
    assert signed_in_as() == {"jill"}
    # one that was there before and is given the number later is no older by that
    world.write({**THINGS["Patient", "asha"], "identifier": jill["identifier"]})
    assert signed_in_as() == {"jill"}
    # the first is changed in other ways, and keeps the number
    world.server.foretold.set(seconds=LOADED_AT + 60)
    world.write({**jill, "language": "cy"})
    assert signed_in_as() == {"jill"}
    # what is replaced, or not in use, is nobody's to sign in as
    second = {**again, "id": made.json()["id"], "active": False}
    world.write({**jill, "link": [{"other": ref(f"Patient/{second['id']}"), "type": "replaced-by"}]})
    world.write({**THINGS["Patient", "asha"]})
    assert signed_in_as() == {second["id"]}
    world.write(second)
    assert signed_in_as() == set()
    world.restore()

"""Who may do what: the policy table cell by cell, over HTTP.

`EXPECTED` says by hand what `security/policy.POLICY` says in predicates, so that a change of one must be made in the other. Each cell that
is allowed is tried on a resource of one's own and on one of somebody else's: the first succeeds, the second is not there. Each cell
that is not allowed is 403, whatever is asked for. In SMART's letters: c create, r read, u update, d delete, s search.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from datetime import datetime
from typing import Any

import pytest

from phb_fhir.interactions import access, seen
from phb_fhir.security.local_key import LOCAL_ISSUER, local_key
from phb_fhir.security.policy import POLICY, anybody
from tests.builders import NHS_NUMBER, bundle, entry
from tests.running import FIRST_MOMENT
from tests.security.elements import (
    BUDGETS,
    LABELS,
    PHB,
    Resource,
    coded,
    consent,
    extension,
    labelled,
    ref,
    secret,
    thing,
)
from tests.security.record import paid, record
from tests.security.world import ACTORS, LOADED_AT, USER, World, running_world, whole_world

PLAN = "CarePlan CareTeam Goal RiskAssessment"
MONEY = "Account ChargeItem Coverage Invoice PaymentReconciliation"
CLINICAL = (
    "AllergyIntolerance Appointment ClinicalImpression Condition Device DiagnosticReport Encounter EpisodeOfCare "
    "FamilyMemberHistory Flag Immunization List MedicationRequest MedicationStatement Observation Procedure ServiceRequest"
)
DIRECTORY = "ChargeItemDefinition HealthcareService Location Organization Practitioner PractitionerRole"
GUIDE = (
    "ActivityDefinition CapabilityStatement CodeSystem CompartmentDefinition ConceptMap Endpoint GraphDefinition ImplementationGuide "
    "Library Measure NamingSystem OperationDefinition PlanDefinition Questionnaire SearchParameter StructureDefinition StructureMap ValueSet"
)
ABOUT_PEOPLE = (
    f"Patient {MONEY} {PLAN} DocumentReference Binary Task Consent RelatedPerson Communication QuestionnaireResponse {CLINICAL} "
    "Provenance AuditEvent Group MeasureReport"
)
UNNAMED = "AdverseEvent Basic Media Person"
CARING = f"Patient {MONEY} {PLAN} DocumentReference Binary Task Consent RelatedPerson Communication QuestionnaireResponse {CLINICAL}"
TRUSTED = {
    "rs": "Patient Account Invoice PaymentReconciliation CareTeam RiskAssessment Consent RelatedPerson List",
    "crs": "DocumentReference Binary",
    "crsu": "ChargeItem CarePlan Goal QuestionnaireResponse Task",
}

# what each role may do, beside reading the directory and the guide; what is not said, it may not
EXPECTED: dict[str, dict[str, str]] = {
    "person": {
        "rs": f"Patient Account Coverage Invoice PaymentReconciliation CareTeam RiskAssessment {CLINICAL} Provenance AuditEvent",
        "crs": "Communication DocumentReference Binary",
        "crsu": "CarePlan ChargeItem Consent Goal QuestionnaireResponse RelatedPerson Task",
    },
    "delegate": TRUSTED,
    "broker": TRUSTED,
    "peer-supporter": TRUSTED,
    "care-coordinator": {"crsu": CARING, "rs": "Provenance"},
    "nhs-team": {"crsu": CARING, "rs": "Provenance"},
    "commissioner": {
        "rs": f"Patient {PLAN} DocumentReference Binary Consent RelatedPerson QuestionnaireResponse Provenance MeasureReport",
        "crs": "ChargeItemDefinition Communication HealthcareService List",
        "crsu": f"{MONEY} Task Group",
    },
    "provider": {
        "rs": "ChargeItem Patient List",
        "rsu": "Task",
        "crsu": "ChargeItemDefinition HealthcareService Invoice",
    },
    "practice": {
        "rs": f"Patient {MONEY} {PLAN} Consent RelatedPerson QuestionnaireResponse",
        "crs": f"Communication DocumentReference Binary {CLINICAL}",
        "crsu": "Task",
    },
    "finance": {"rs": "Account ChargeItem Coverage List", "crsu": "Invoice PaymentReconciliation", "rsu": "Task"},
    "analyst": {"rs": "MeasureReport List"},
    "auditor": {"rs": "AuditEvent Provenance List"},
    "system": {
        "crsud": f"{CARING} Provenance Group MeasureReport {DIRECTORY} {GUIDE} {UNNAMED}",
        "rs": "AuditEvent",
    },
}
WHO = {  # the actor of each role
    "person": "jill",
    "delegate": "ruth",
    "broker": "willow",
    "peer-supporter": "pat",
    "care-coordinator": "priya",
    "nhs-team": "harbour",
    "commissioner": "north",
    "provider": "river",
    "practice": "oak",
    **{role: role for role in ("finance", "analyst", "auditor", "system")},
}
# which resource is one's own, where it is not Jill's; "" where no resource of the type can be
OWN: dict[str, dict[str, str]] = {
    "delegate": {"Consent": "c-ruth", "RelatedPerson": "ruth", "List": "directory"},
    "broker": {"Consent": "c-willow", "RelatedPerson": "", "List": "directory"},
    "peer-supporter": {"Consent": "c-pat", "RelatedPerson": "", "List": "directory"},
    "commissioner": {
        "MeasureReport": "figures",
        "Group": "criteria",
        "List": "directory",
        "ChargeItemDefinition": "massage",
        "HealthcareService": "physio",
    },
    "provider": {
        "Invoice": "river-invoice",
        "Task": "river-task",
        "List": "directory",
        "ChargeItemDefinition": "massage",
        "HealthcareService": "physio",
    },
    "practice": {"Task": "oak-task"},
    "finance": {"Invoice": "north-invoice", "List": "directory"},
    "analyst": {"MeasureReport": "figures", "List": "directory"},
    "auditor": {"List": "directory"},
    "system": {"MeasureReport": "figures", "Group": "criteria"},
}
# which is somebody else's, where it is not Ted's: of the purchases that Ted made, the provider sees one in part
OTHER: dict[str, dict[str, str]] = {"provider": {"ChargeItem": "ted-respite"}}
SEES_ALL = {"auditor": ["AuditEvent", "Provenance"], "system": None}  # of which there is no somebody else's
PUBLIC = frozenset(f"{DIRECTORY} {GUIDE}".split())
TYPES = f"{ABOUT_PEOPLE} {DIRECTORY} {GUIDE} {UNNAMED}".split()
THINGS = {(one["resourceType"], one["id"]): one for one in whole_world()}


@pytest.fixture(scope="module")
def world(mongodb_uri):
    with running_world(mongodb_uri) as world:
        yield world


def letters_of(role: str, type_: str) -> str:
    said = [letters for letters, types in EXPECTED[role].items() if type_ in types.split()]
    return "".join(sorted({*"".join(said), *("rs" if type_ in PUBLIC and role != "system" else "")}))


def event_of(world: World, patient: str) -> str:
    """The id of an AuditEvent that concerns this patient."""
    assert world.get(patient, f"/Patient/{patient}").status_code == 200
    found = world.get("auditor", f"/AuditEvent?patient=Patient/{patient}&_count=1&_sort=_id").json()
    return found["entry"][0]["resource"]["id"]


def own_id(world: World, role: str, type_: str) -> str:
    if type_ == "AuditEvent":
        return event_of(world, "jill")
    named = OWN.get(role, {}).get(type_)
    if named is not None:
        return named
    of_all = [id_ for other, id_ in THINGS if other == type_ and not id_.startswith(("ted", "mo", "asha"))]
    return next((id_ for id_ in ("jill", f"jill-{type_.lower()}") if id_ in of_all), of_all[0] if of_all else "")


def other_id(world: World, role: str, type_: str) -> str:
    """One that the role's actor may not see; "" where they see all."""
    seen = SEES_ALL.get(role, ())
    if seen is None or type_ in seen or type_ in PUBLIC:
        return ""
    if type_ == "AuditEvent":
        return event_of(world, "ted")
    return OTHER.get(role, {}).get(type_) or ("ted" if type_ == "Patient" else f"ted-{type_.lower()}")


def made_new(type_: str, id_: str) -> Resource:
    """The same resource without an id, to be created again."""
    return {name: value for name, value in THINGS[type_, id_].items() if name not in ("id", "identifier")} | (
        {"identifier": [{"value": "again"}]} if type_ in ("Patient", "ChargeItem") else {}
    )


def same_but_for(answer, id_: str) -> tuple[int, str, dict[str, str]]:
    headers = {
        name: value for name, value in answer.headers.items() if name not in ("date", "x-request-id", "content-length")
    }
    return answer.status_code, answer.text.replace(id_, "[id]"), headers


def check_never(world: World, who: str, letter: str, type_: str, id_: str) -> None:
    """403, the same for what is there and for what is not."""
    body = THINGS.get((type_, id_), {"resourceType": type_})
    asked = {
        "r": [("GET", f"/{type_}/{id_ or 'x'}", None), ("GET", f"/{type_}/never-was", None)],
        "s": [("GET", f"/{type_}", None)],
        "c": [("POST", f"/{type_}", {name: value for name, value in body.items() if name != "id"})],
        "u": [("PUT", f"/{type_}/{id_}", body)] if id_ else [],
        "d": [("DELETE", f"/{type_}/{id_ or 'x'}", None), ("DELETE", f"/{type_}/never-was", None)],
    }
    for method, path, sent in asked[letter]:
        answer = world.ask(who, method, path, sent)
        assert answer.status_code in REFUSED[letter], (who, method, path, answer.text)


REFUSED = {
    "r": (403,),
    "s": (403,),
    "c": (403,),
    "u": (403, 404),
    "d": (403, 404),
}  # what is not seen is not there to be changed


def check_read(world: World, who: str, role: str, type_: str) -> None:
    own, other = own_id(world, role, type_), other_id(world, role, type_)
    if own:
        assert world.get(who, f"/{type_}/{own}").status_code == 200, (who, type_, own)
    if other:
        unseen, never = world.get(who, f"/{type_}/{other}"), world.get(who, f"/{type_}/never-was")
        assert unseen.status_code == 404, (who, type_, other)
        assert same_but_for(unseen, other) == same_but_for(never, "never-was")


def check_search(world: World, who: str, role: str, type_: str) -> None:
    own, other = own_id(world, role, type_), other_id(world, role, type_)
    ids = [id_ for id_ in (own, other) if id_]
    answer = world.get(who, f"/{type_}?_id={','.join(ids) or 'x'}&_total=accurate")
    assert answer.status_code == 200, (who, type_, answer.text)
    found = answer.json()
    assert [one["resource"]["id"] for one in found.get("entry", ())] == ([own] if own else []), (who, type_)
    assert found["total"] == (1 if own else 0)


def check_create(world: World, who: str, role: str, type_: str) -> None:
    own, other = own_id(world, role, type_), other_id(world, role, type_)
    made = world.post(who, f"/{type_}", made_new(type_, own))
    assert made.status_code == 201, (who, type_, made.text)
    if other and (type_, other) in THINGS:
        stored = world.database.resources.count_documents({"type": type_})
        refused = world.post(who, f"/{type_}", made_new(type_, other))
        assert refused.status_code in (403, 422), (who, type_, refused.text)
        assert world.database.resources.count_documents({"type": type_}) == stored


def check_update(world: World, who: str, role: str, type_: str) -> None:
    own, other = own_id(world, role, type_), other_id(world, role, type_)
    changed = world.put(who, {**THINGS[type_, own], "language": "cy"})
    assert changed.status_code == 200, (who, type_, changed.text)
    if other:
        before = world.stands(f"{type_}/{other}")
        unseen = world.put(who, {**THINGS[type_, other], "language": "cy"})
        never = world.put(who, {**THINGS[type_, other], "id": "never-was", "language": "cy"})
        assert unseen.status_code == 404, (who, type_, unseen.text)
        assert same_but_for(unseen, other) == same_but_for(never, "never-was")
        assert world.stands(f"{type_}/{other}") == before


def check_delete(world: World, who: str, role: str, type_: str) -> None:
    id_ = f"to-go-{type_.lower()}"
    world.write({**made_new(type_, own_id(world, role, type_)), "id": id_})
    assert world.delete(who, f"/{type_}/{id_}").status_code in (200, 204), (who, type_)
    assert world.get(who, f"/{type_}/{id_}").status_code == 410


CHECKS = {"r": check_read, "s": check_search, "c": check_create, "u": check_update, "d": check_delete}


@pytest.mark.parametrize("letter", "rscud")
@pytest.mark.parametrize("role", EXPECTED)
def test_a_role_does_what_the_table_says_and_nothing_else(world, role, letter):
    world.restore()
    for type_ in TYPES:
        if letter in letters_of(role, type_):
            CHECKS[letter](world, WHO[role], role, type_)
        else:
            check_never(world, WHO[role], letter, type_, own_id(world, role, type_))


@pytest.mark.parametrize("role", EXPECTED)
def test_no_type_that_is_served_is_forgotten(world, role):
    """Every type that the server serves, the ones that no row names among them, in one batch."""
    served = [one["type"] for one in world.client.get("/metadata").json()["rest"][0]["resource"]]
    asked = [entry("GET", f"{type_}?_summary=count") for type_ in served]
    statuses: dict[str, str] = {}
    for part in (
        itertools.batched(asked, 50)
        if hasattr(itertools, "batched")
        else [asked[n : n + 50] for n in range(0, len(asked), 50)]
    ):
        answer = world.post(WHO[role], "/", bundle("batch", *part))
        statuses |= {
            one["request"]["url"].partition("?")[0]: done["response"]["status"][:3]
            for one, done in zip(part, answer.json()["entry"], strict=True)
        }
    sees = {type_ for type_ in served if role == "system" or "s" in letters_of(role, type_)}
    assert {type_ for type_, status in statuses.items() if status == "200"} == sees
    assert {status for type_, status in statuses.items() if type_ not in sees} <= {"403"}


def test_nobody_writes_the_trail_not_even_the_system(world):
    (event,) = world.get("system", "/AuditEvent?_count=1").json()["entry"]
    event = event["resource"]
    tried = [
        ("POST", "/AuditEvent", {name: value for name, value in event.items() if name not in ("id", "meta")}),
        ("PUT", f"/AuditEvent/{event['id']}", event),
        ("PUT", "/AuditEvent/another", {**event, "id": "another"}),
        ("PATCH", f"/AuditEvent/{event['id']}", {"language": "cy"}),
        ("DELETE", f"/AuditEvent/{event['id']}", None),
        ("DELETE", "/AuditEvent?_id=" + event["id"], None),
        ("POST", f"/AuditEvent/{event['id']}/$meta-add", {"resourceType": "Parameters"}),
    ]
    for method, path, body in tried:
        headers = {"content_type": "application/merge-patch+json"} if method == "PATCH" else {}
        assert world.ask("system", method, path, body, **headers).status_code == 403, (method, path)
    for kind in ("batch", "transaction"):
        for method, path, body in tried[:3]:
            answer = world.post("system", "/", bundle(kind, entry(method, path[1:], body)))
            status = answer.json()["entry"][0]["response"]["status"][:3] if kind == "batch" else str(answer.status_code)
            assert status == "403", (kind, method, path)
    assert world.get("system", f"/AuditEvent/{event['id']}").json() == event


# ---- deny by default -----------------------------------------------------------------------------------------------

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


# ---- scopes --------------------------------------------------------------------------------------------------------


def with_scope(who: str, scope: str) -> dict[str, str]:
    return {**ACTORS[who], "scope": scope}


SCOPES = {
    # the scope: what may be done with Jill's Observation (r s), her Task (c u r), and her Condition (r)
    "patient/*.cruds": "Or Os Tc Tu Tr Cr",
    "user/*.cruds": "Or Os Tc Tu Tr Cr",
    "patient/*.rs": "Or Os Tr Cr",
    "patient/*.read": "Or Os Tr Cr",
    "patient/*.*": "Or Os Tc Tu Tr Cr",
    "patient/*.write": "Tc Tu",
    "patient/Observation.rs": "Or Os",
    "patient/Observation.read": "Or Os",
    "patient/Observation.r": "Or",
    "patient/Observation.s": "Os",
    "patient/Observation.r patient/Observation.s": "Or Os",
    "patient/Task.cu": "Tc Tu",
    "patient/Task.c": "Tc",
    "patient/Task.u": "Tu",
    "patient/Task.cruds": "Tc Tu Tr",
    "patient/Observation.rs patient/Task.r": "Or Os Tr",
    "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|vital-signs": "Or Os",
    "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory": "",
    "patient/Observation.rs?category=vital-signs&status=final": "Or Os",
    "patient/Observation.rs?category=vital-signs&status=amended": "",
    "patient/Observation.rs?no-such-parameter=1": "",
    "patient/Observation.rs?_content=observation": "Or Os",  # which only the whole resource can tell
    "patient/Observation.rs?_content=elsewhere": "",
    "patient/Observation.rs?_text=observation": "",
    "patient/Observation.rs?_list=nowhere": "",
    "patient/Observation.rs?_list=of-observations": "Or Os",
    "patient/Observation.rs?category=laboratory patient/Observation.rs?status=final": "Or Os",
    "patient/Encounter.rs": "",
}


@pytest.mark.parametrize(("scope", "expected"), SCOPES.items(), ids=SCOPES)
def test_a_scope_lets_its_token_do_what_it_says(world, scope, expected):
    world.restore()
    who, task = with_scope("jill", scope), record("jill")["Task"]
    fresh = {name: value for name, value in task.items() if name != "id"}
    listed = [{"item": ref("Observation/jill-observation")}]
    world.write({**record("jill")["List"], "id": "of-observations", "entry": listed})
    found = world.get(who, "/Observation?_id=jill-observation")
    told = world.get(who, "/Observation/_history?_count=100")
    assert told.status_code in (200, 403)
    if told.status_code == 200:  # what is searched is found in the history
        there = {one["fullUrl"].rpartition("/")[2] for one in told.json()["entry"]} if told.json()["total"] else set()
        assert ("jill-observation" in there) is ("Os" in expected)
    done = {
        "Or": world.get(who, "/Observation/jill-observation").status_code == 200,
        "Os": found.status_code == 200 and found.json()["total"] == 1,
        "Tc": world.post(who, "/Task", fresh).status_code == 201,
        "Tu": world.put(who, {**task, "language": "cy"}).status_code == 200,
        "Tr": world.get(who, "/Task/jill-task").status_code == 200,
        "Cr": world.get(who, "/Condition/jill-condition").status_code == 200,
    }
    assert [name for name, is_done in done.items() if is_done] == [name for name in done if name in expected.split()]
    world.restore()


def test_a_scope_to_change_alone_shows_nothing_of_what_was_there(world):
    """What an app may change and not read, it is not told by changing nothing of it."""
    world.restore()
    task = record("jill")["Task"]
    for scope, is_told in (("patient/Task.cu", False), ("patient/Task.cru", True)):
        changed = world.put(with_scope("jill", scope), {**task, "language": "cy"}, prefer="return=representation")
        assert changed.status_code == 200, changed.text
        assert (secret("jill") in changed.text) is is_told
        sent = bundle("transaction", entry("PUT", "Task/jill-task", {**task, "language": "en"}))
        answered = world.post(with_scope("jill", scope), "/", sent, prefer="return=representation")
        assert answered.status_code == 200, answered.text
        assert (secret("jill") in answered.text) is is_told
    fresh = {name: value for name, value in task.items() if name != "id"}
    made = world.post(with_scope("jill", "patient/Task.c"), "/Task", fresh)
    assert (made.status_code, secret("jill") in made.text) == (201, True)  # it is their own
    world.restore()


def test_of_the_roles_each_reads_all_that_it_changes():
    for role, rows in POLICY.items():
        for row in rows:
            for type_ in row.types if "u" in row.letters else ():
                reading = (one for one in rows if "r" in one.letters and type_ in one.types and not one.is_masked)
                assert any(one.where in (row.where, anybody) for one in reading), (role, type_)


CLAIMS = {"meta": {"profile": [f"{PHB}/StructureDefinition/phb-task"]}, "code": None}
CONDITION = [  # of a FHIRPath Patch: that somebody wrote a word in it
    {"name": "type", "valueCode": "delete"},
    {"name": "path", "valueString": f"Task.where(description.contains('{secret('jill')}')).language"},
]
PATCHES: dict[str, tuple[str, Any]] = {
    "JSON Patch": ("json-patch+json", [{"op": "test", "path": "/status", "value": "requested"}]),
    "JSON Patch that copies": ("json-patch+json", [{"op": "copy", "from": "/status", "path": "/language"}]),
    "FHIRPath Patch": (
        "fhir+json",
        {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": CONDITION}]},
    ),
    "Merge Patch": ("merge-patch+json", CLAIMS),
}


@pytest.mark.parametrize("kind", PATCHES)
def test_a_patch_is_for_who_reads_what_it_goes_by(world, kind):
    """Whether it fits, and what is wrong with what it makes, would tell an app that may change something and not read it."""
    world.restore()
    content_type, sent = PATCHES[kind]
    headers = {"content_type": f"application/{content_type}"}
    for scope in ("patient/Task.u", "patient/Task.cud", "patient/Task.u patient/Task.r?status=draft"):
        refused = world.ask(with_scope("jill", scope), "PATCH", "/Task/jill-task", sent, **headers)
        assert refused.status_code == 403, (scope, refused.text)
        assert "do not let it read Task/jill-task" in refused.text
        assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    for scope in ("patient/Task.ru", "patient/Task.us", "patient/Task.u patient/Task.r?_id=jill-task"):
        taken = world.ask(with_scope("jill", scope), "PATCH", "/Task/jill-task", sent, **headers)
        assert taken.status_code in (200, 400, 422), (scope, taken.text)
    world.restore()


def test_an_update_that_changes_nothing_is_a_version_like_any_other_for_who_does_not_read(world):
    """Else an app that guesses what is there hears whether it is right."""
    world.restore()
    stands = world.stands("Task/jill-task") or {}
    other = {**stands, "language": "cy"}

    def versions(scope: str) -> list[str]:
        return [world.put(with_scope("jill", scope), one).headers["etag"] for one in (stands, other, other)]

    assert versions("patient/Task.u") == ['W/"2"', 'W/"3"', 'W/"4"']
    world.restore()
    first, *more = versions("patient/Task.ru")
    assert (first, more) == ('W/"1"', ['W/"2"'] * 2)
    world.restore()


CONDITIONAL: dict[str, tuple[str, str, Any, dict[str, str]]] = {
    # what is asked under a condition that Jill's Task keeps, and the scope that lets it be done at all
    "create": ("POST", "/Task", {}, {"if_none_exist": "_id=jill-task"}),
    "update": ("PUT", "/Task?_id=jill-task", {"language": "cy"}, {}),
    "patch": ("PATCH", "/Task?_id=jill-task", None, {"content_type": "application/merge-patch+json"}),
}


@pytest.mark.parametrize("kind", CONDITIONAL)
def test_a_condition_is_looked_at_by_who_may_search_and_is_not_taken_for_one_that_nothing_keeps(world, kind):
    world.restore()
    method, path, more, headers = CONDITIONAL[kind]
    task = {name: value for name, value in record("jill")["Task"].items() if name != "id"}
    sent = {"language": "cy"} if more is None else task | more
    count = world.database.resources.count_documents({"type": "Task"})
    for scope in ("patient/Task.cu", "patient/Task.write", "patient/Task.cru"):
        refused = world.ask(with_scope("jill", scope), method, path, sent, **headers)
        assert refused.status_code == 403, (scope, refused.text)
        assert "do not let it search Task" in refused.text
        assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    assert world.database.resources.count_documents({"type": "Task"}) == count
    assert world.ask(with_scope("jill", "patient/Task.cus"), method, path, sent, **headers).status_code == 200
    assert world.database.resources.count_documents({"type": "Task"}) == count
    world.restore()


def test_a_change_is_shown_to_who_may_read_what_came_of_it(world):
    """An app that changes any of her observations, and reads those of one category."""
    world.restore()
    vital = "?category=http://terminology.hl7.org/CodeSystem/observation-category|vital-signs"
    who = {"sub": "vital"} | with_scope("priya", f"user/Observation.u user/Observation.rs{vital}")
    patch = {"content_type": "application/merge-patch+json", "prefer": "return=representation"}
    for id_, is_told in (("jill-laboratory", False), ("jill-observation", True)):
        assert world.get(who, f"/Observation/{id_}").status_code == (200 if is_told else 404)
        changed = world.ask(who, "PATCH", f"/Observation/{id_}", {"language": "cy"}, **patch)
        assert (changed.status_code, secret("jill") in changed.text) == (200 if is_told else 403, is_told)
        stands = world.stands(f"Observation/{id_}") or {}
        sent = bundle("transaction", entry("PUT", f"Observation/{id_}", {**stands, "language": "en"}))
        answered = world.post(who, "/", sent, prefer="return=representation")
        assert (answered.status_code, secret("jill") in answered.text) == (200, is_told)
    world.restore()


def test_a_scope_of_one_patient_narrows_whoever_has_it_to_that_patient(world):
    north = {**ACTORS["north"], "patient": "jill", "scope": "patient/*.rs"}
    assert world.get("north", "/Patient?_total=accurate").json()["total"] == 2
    assert world.get(north, "/Patient?_total=accurate").json()["total"] == 1
    assert world.get("north", "/Account/mo-account").status_code == 200
    assert world.get(north, "/Account/mo-account").status_code == 404
    nobody = {**ACTORS["north"], "scope": "patient/*.rs"}
    assert world.get(nobody, "/Patient?_total=accurate").json()["total"] == 0
    assert world.get({**north, "patient": "ted"}, "/Patient?_total=accurate").json()["total"] == 0


def test_a_scope_of_one_patient_leaves_the_directory_open(world):
    scoped = with_scope("jill", "patient/*.rs")
    for key in ("List/directory", "ChargeItemDefinition/massage", "Organization/oak", "Questionnaire/a-questionnaire"):
        assert world.get(scoped, f"/{key}").status_code == 200, key
    assert world.get(scoped, "/List?_total=accurate&_sort=_id").json()["total"] == 2  # and her own
    assert world.get(scoped, "/ChargeItemDefinition?_list=directory").json()["total"] == 1


def test_a_scope_adds_nothing_to_a_role(world):
    jill = with_scope("jill", "system/*.cruds user/*.cruds patient/*.cruds")
    assert world.get(jill, "/Patient/jill").status_code == 200
    assert world.get(jill, "/Patient/ted").status_code == 404
    assert world.delete(jill, "/Patient/jill").status_code == 403


@pytest.mark.parametrize(
    "word", ["_count=5", "_sort=date", "_elements=id", "_summary=true", "_include=Observation:subject"]
)
def test_a_scope_with_what_is_no_condition_grants_nothing(world, word):
    scoped = with_scope("jill", f"patient/Observation.rs?{word}")
    assert world.get(scoped, "/Observation").json()["total"] == 0
    assert world.get(scoped, "/Observation/jill-laboratory").status_code == 404
    beside = with_scope("jill", f"patient/Observation.rs?{word} patient/Observation.rs?category=laboratory")
    assert world.get(beside, "/Observation").json()["total"] == 1


def test_scopes_for_reading_and_for_searching_reach_each_as_far_as_its_own(world):
    both = with_scope("jill", "patient/Observation.r?category=vital-signs patient/Observation.s?category=laboratory")
    assert [one["resource"]["id"] for one in world.get(both, "/Observation").json()["entry"]] == ["jill-laboratory"]
    assert world.get(both, "/Observation?_id=jill-observation&_summary=count").json()["total"] == 0
    history = world.get(both, "/Observation/_history").json()["entry"]
    assert {one["resource"]["id"] for one in history} == {"jill-laboratory"}
    for path in ("", "/_history", "/_history/1"):
        assert world.get(both, f"/Observation/jill-observation{path}").status_code == 200
        assert world.get(both, f"/Observation/jill-laboratory{path}").status_code == 404


CONDITIONED = (
    "",
    "?_id:missing=false",
    "?code:missing=false",
    "?_lastUpdated=ge2000",
    "?_security:not=N",
    "?_content=jill",
)


@pytest.mark.parametrize("criteria", CONDITIONED)
def test_what_is_restricted_now_is_so_in_all_its_past_whatever_a_scope_asks(world, criteria):
    who = {"sub": "past"} | with_scope("priya", f"user/Condition.rs{criteria}")
    assert [one["resource"]["id"] for one in world.get(who, "/Condition").json()["entry"]] == ["jill-condition"]
    for path in ("/once-open", "/once-open/_history/1", "/once-open/_history/2", "/once-open/_history"):
        assert world.get(who, f"/Condition{path}").status_code == 404, path
    told = world.get(who, "/Condition/_history").json()
    assert {one["resource"]["id"] for one in told["entry"]} == {"jill-condition"}
    assert told["total"] == 1


OF_DELETED = {  # a scope, and whether it reached the final observation that was deleted
    "patient/Observation.rs": True,
    "patient/Observation.rs?status=final": True,
    "patient/Observation.rs?status=amended": False,
    "patient/Observation.rs?status:not=final": False,
    "patient/Observation.rs?status:missing=true": False,
    "patient/Observation.rs?_filter=not+(status+eq+final)": False,
    "patient/Observation.rs?_content=jill": True,
    "patient/Observation.rs?_content=elsewhere": False,
}


@pytest.mark.parametrize(("scope", "is_told"), OF_DELETED.items(), ids=OF_DELETED)
def test_a_deletion_is_seen_by_whose_scope_reached_what_was_deleted(world, scope, is_told):
    who = with_scope("jill", scope)
    assert world.get(who, "/Observation/jill-deleted").status_code == (410 if is_told else 404)
    assert world.get(who, "/Observation/jill-deleted/_history").status_code == (200 if is_told else 404)
    told = world.get(who, "/Observation/_history?_count=100").json().get("entry", ())
    methods = [one["request"]["method"] for one in told if one["fullUrl"].endswith("/jill-deleted")]
    assert methods == (["DELETE", "PUT"] if is_told else [])


IN_PART = {  # a scope of a provider's token, its launch context, and whether purchases that others deliver are there
    "user/ChargeItem.rs": ("", True),
    "user/ChargeItem.rs?status=billable": ("", True),
    "user/ChargeItem.rs?_id=ted-chargeitem,jill-chargeitem": ("", True),
    "user/ChargeItem.rs?subject=Patient/ted": ("", False),
    "user/ChargeItem.rs?subject:not=Patient/mo": ("", False),
    "user/ChargeItem.rs?patient.name=ted": ("", False),
    "user/ChargeItem.rs?account=Account/ted-account": ("", False),
    "user/ChargeItem.rs?code:text=ted": ("", False),
    "user/ChargeItem.rs?_content=ted": ("", False),
    "user/ChargeItem.rs?_list=ted-list": ("", False),
    "user/ChargeItem.rs?_has:Provenance:target:recorded=ge2000": ("", False),
    "user/ChargeItem.rs?_filter=subject+eq+Patient/ted": ("", False),
    "patient/ChargeItem.rs": ("ted", False),
    "patient/ChargeItem.rs user/ChargeItem.rs": ("ted", True),
}


@pytest.mark.parametrize(("scope", "expected"), IN_PART.items(), ids=IN_PART)
def test_no_scope_tells_whose_purchase_it_is_that_is_seen_in_part(world, scope, expected):
    patient, is_there = expected
    world.write({**record("ted")["List"], "id": "ted-list", "entry": [{"item": ref("ChargeItem/ted-chargeitem")}]})
    who = {"sub": "river", **ACTORS["river"], "scope": scope} | ({"patient": patient} if patient else {})
    assert world.get(who, "/ChargeItem/ted-chargeitem").status_code == (200 if is_there else 404)
    for path in ("/ChargeItem?_count=50", "/ChargeItem/_history?_count=50"):
        ids = {one["resource"]["id"] for one in world.get(who, path).json().get("entry", ())}
        assert ("ted-chargeitem" in ids) is is_there
    world.restore()


ASKING_OTHERS = {  # who, and a scope that asks something of others; whether that is of what they may see, and so is answered
    "a provider of budgets": ("river", "ChargeItem.rs?account.owner=Organization/north", False),
    "a provider of who has such a budget": ("river", "Patient.rs?_has:Account:patient:owner=Organization/north", False),
    "a provider of a list": ("river", "ChargeItem.rs?_list=of-purchases", False),
    "a provider of whom it delivers to": ("river", "ChargeItem.rs?subject:Patient.family=jill", True),
    "a provider of an organisation": ("river", "ChargeItem.rs?performing-organization.name=river", True),
    "finance of a person": ("finance", "Account.rs?patient.family=jill", False),
    "a commissioner of its budgets": ("north", "ChargeItem.rs?account.owner=Organization/north", True),
    "a person of their budget": ("jill", "ChargeItem.rs?account.owner=Organization/north", True),
    "a person of their list": ("jill", "ChargeItem.rs?_list=of-purchases", True),
    "a delegate of a budget": ("lim", "ChargeItem.rs?account._id=jill-account", True),
    "a delegate of another's list": ("lim", "ChargeItem.rs?_list=of-purchases", False),
    "who sees restricted ones": ("jill", "Patient.rs?_has:Condition:patient:_id=jill-restricted", True),
    "who does not see restricted ones": ("priya", "Patient.rs?_has:Condition:patient:_id=jill-restricted", False),
}


@pytest.mark.parametrize("name", ASKING_OTHERS)
def test_a_scope_asks_of_others_no_more_than_its_holder_may_see(world, name):
    who, scope, is_answered = ASKING_OTHERS[name]
    listed = [{"item": ref("ChargeItem/jill-chargeitem")}]
    world.write({**record("jill")["List"], "id": "of-purchases", "entry": listed})
    type_ = scope.partition(".")[0]
    key = {"Patient": "Patient/jill"}.get(type_, f"{type_}/jill-{type_.lower()}")
    holder = {"sub": "asks", **ACTORS[who], "scope": f"user/{scope}"}
    assert world.get(who, f"/{key}").status_code == 200
    assert world.get(holder, f"/{key}").status_code == (200 if is_answered else 404)
    ids = {one["resource"]["id"] for one in world.get(holder, f"/{type_}?_count=50").json().get("entry", ())}
    assert (key.partition("/")[2] in ids) is is_answered
    world.restore()


def test_a_scope_of_ones_own_record_shows_who_looked_at_it(world):
    for scope in ("patient/AuditEvent.rs", "patient/AuditEvent.rs?action=R,E"):
        assert world.get(with_scope("jill", scope), "/AuditEvent?_summary=count").json()["total"], scope


def test_who_acts_in_one_budget_sees_no_plan_of_somebody_else_that_it_names(world):
    misled = {**record("jill")["Account"]}
    misled["extension"] = [extension("phb-care-plan", valueReference=ref("CarePlan/mo-careplan"))]
    world.write(misled)
    assert world.get("lim", "/Account/jill-account").status_code == 200
    assert world.get("lim", "/CarePlan/mo-careplan").status_code == 404
    assert world.get("lim", "/CarePlan?_total=accurate").json()["total"] == 0
    world.restore()


def test_a_scope_that_does_not_reach_is_told_in_the_header_and_a_role_is_not(world):
    reads = with_scope("jill", "patient/Observation.r")
    refused = world.get(reads, "/Observation", origin="http://localhost")
    assert refused.status_code == 403
    assert "WWW-Authenticate" in refused.headers["access-control-expose-headers"]  # for SMART apps in browsers
    assert refused.headers["www-authenticate"] == (
        'Bearer realm="phb-fhir", error="insufficient_scope", '
        'error_description="The scopes of the token do not let it search Observation."'
    )
    assert "www-authenticate" not in world.get(reads, "/Observation/jill-observation").headers
    assert "www-authenticate" not in world.get("jill", "/MeasureReport").headers


def test_a_scope_with_criteria_holds_for_histories_and_what_comes_along(world):
    vital = with_scope("jill", "patient/Observation.rs?category=vital-signs patient/Patient.rs")
    assert world.get(vital, "/Observation/jill-observation/_history").status_code == 200
    assert world.get(vital, "/Observation/jill-laboratory/_history").status_code == 404
    ids = [
        one["resource"]["id"]
        for one in world.get(vital, "/Observation/_history?_count=100").json()["entry"]
        if "resource" in one
    ]
    assert "jill-observation" in ids
    assert "jill-laboratory" not in ids
    along = world.get(vital, "/Patient?_id=jill&_revinclude=Observation:subject").json()["entry"]
    assert "jill-observation" in json.dumps(along)
    assert "jill-laboratory" not in json.dumps(along)
    assert world.get(vital, "/Patient?_has:Observation:subject:category=laboratory").json()["total"] == 0
    assert world.get(vital, "/Patient?_has:Observation:subject:category=vital-signs").json()["total"] == 1


# ---- consents ------------------------------------------------------------------------------------------------------

VIC = "RelatedPerson/vic"
RESOURCE_TYPES = "http://hl7.org/fhir/resource-types"
OF_OLD, OF_NOW = {"start": "2020-01-01", "end": "2021-01-01"}, {"start": "2026-01-01"}
DENIAL = consent("c-denial", "Patient/jill", VIC, provision_type="deny")


def denying(**more: Any) -> Resource:
    """A Consent of Jill's to Vic with a nested provision that denies."""
    return consent("c-vic", "Patient/jill", VIC, "view", provision_provision=[{"type": "deny", **more}])


def denial(**changed: Any) -> Resource:
    """Another Consent of Jill's, which denies."""
    return {**DENIAL, "provision": {**DENIAL["provision"], "action": [], **changed}}


def to(*names: str) -> list[Resource]:
    return [{"role": coded("DELEGATEE"), "reference": ref(f"RelatedPerson/{name}")} for name in names]


OTHER_BUDGET = [{"meaning": "instance", "reference": ref("Account/jill-second")}]
VIEW, PURCHASE = ([coded(one, f"{PHB}/CodeSystem/phb-consent-action")] for one in ("view", "purchase"))
LIMITED = {
    # what stands beside or in the Consent that lets Vic look, and what he then reads: her budget, her plan
    "another right denied within": (denying(action=PURCHASE), (200, 200)),
    "all denied within": (denying(), (404, 404)),
    "denied within to somebody else": (denying(actor=to("exa")), (200, 200)),
    "denied within to him and somebody else": (denying(actor=to("exa", "vic")), (404, 404)),
    "denied within in the past": (denying(period=OF_OLD), (200, 200)),
    "denied within from now on": (denying(period=OF_NOW), (404, 404)),
    "denied within until the future": (denying(period={"end": "2030"}), (404, 404)),
    "denied within what is permitted within": (
        consent(
            "c-vic",
            "Patient/jill",
            VIC,
            "view",
            provision_provision=[{"type": "permit", "provision": [{"type": "deny", "action": VIEW}]}],
        ),
        (404, 404),
    ),
    "denied beside it": (denial(), (404, 404)),
    "the right denied beside it": (denial(action=VIEW), (404, 404)),
    "another right denied beside it": (denial(action=PURCHASE), (200, 200)),
    "denied beside it, without a period": (denial(period={}), (404, 404)),
    "denied beside it in the past": (denial(period=OF_OLD), (200, 200)),
    "denied beside it to somebody else": (denial(actor=to("exa")), (200, 200)),
    "denied beside it for one budget": (denial(data=OTHER_BUDGET), (404, 404)),
    "denied beside it, and withdrawn": ({**denial(), "status": "inactive"}, (200, 200)),
    "denied by somebody else": ({**denial(), "patient": ref("Patient/mo")}, (200, 200)),
    "for some types": (
        consent("c-vic", "Patient/jill", VIC, "view", provision_class=[{"system": RESOURCE_TYPES, "code": "CarePlan"}]),
        (404, 200),
    ),
    "for types of another kind": (
        consent("c-vic", "Patient/jill", VIC, "view", provision_class=[{"system": "urn:x", "code": "CarePlan"}]),
        (404, 404),
    ),
    "for some labels": (
        consent("c-vic", "Patient/jill", VIC, "view", provision_securityLabel=[{"system": LABELS, "code": "N"}]),
        (404, 404),
    ),
    "for some dates of data": (
        consent("c-vic", "Patient/jill", VIC, "view", provision_dataPeriod={"end": "2020"}),
        (404, 404),
    ),
    "for some codes": (consent("c-vic", "Patient/jill", VIC, "view", provision_code=[coded("x")]), (404, 404)),
}


@pytest.mark.parametrize("name", LIMITED)
def test_a_consent_gives_no_more_than_it_and_those_beside_it_say(world, name):
    resource, expected = LIMITED[name]
    resource["provision"] = {key: value for key, value in resource["provision"].items() if value}
    world.write(resource)
    statuses = tuple(
        world.get("vic", f"/{key}").status_code for key in ("Account/jill-account", "CarePlan/jill-careplan")
    )
    world.restore()
    assert statuses == expected
    assert world.get("vic", "/Account/jill-account").status_code == 200


def test_consents_that_ended_lock_nobody_out_and_those_of_others_not_who_is_launched_with_a_patient(world, monkeypatch):
    """Anybody may name a broker in a Consent of theirs, as often as they like."""
    named = consent("c-more", "Patient/ted", "Organization/willow", "view")
    monkeypatch.setattr(access, "CONSENTS_MAX", 5)
    monkeypatch.setattr(access, "CASELOAD_MAX", 5)
    world.write(*({**named, "id": f"c-more-{number}", "status": "inactive"} for number in range(8)))
    assert world.get("willow", "/Account/jill-account").status_code == 200
    world.write(*({**named, "id": f"c-more-{number}"} for number in range(8)))
    refused = world.get("willow", "/Account/jill-account")
    assert (refused.status_code, "consents name you" in refused.text) == (403, True)
    launched = {**ACTORS["willow"], "patient": "jill"}
    assert world.get(launched, "/Account/jill-account").status_code == 200
    assert world.get(launched, "/Account/ted-account").status_code == 404
    ended = {**record("jill")["CareTeam"], "status": "inactive", "participant": [{"member": ref("Practitioner/priya")}]}
    world.write(*({**ended, "id": f"ended-{number}"} for number in range(8)))
    assert world.get("priya", "/Account/jill-account").status_code == 200
    world.restore()


def test_who_acts_for_many_is_asked_about_all_of_them_at_once(world, monkeypatch):
    """A broker whom thousands trust: what they see of others through a join is one condition, however many these are."""
    monkeypatch.setattr(seen, "PREDICATE_JOINS_MAX", 3)
    account, payment = record("ted")["Account"], record("ted")["PaymentReconciliation"]
    budgets = [f"ted-{number}" for number in range(8)]
    for name in budgets:
        named = {"identifier": [{"system": BUDGETS, "value": f"B-{name}"}], "subject": [ref(f"Patient/{name}")]}
        paid_ = {"extension": paid(f"Account/{name}", "Organization/river"), "paymentIdentifier": {"value": name}}
        world.write(
            thing("Patient", name, active=True),
            {**account, "id": name, **named},
            {**payment, "id": name, **paid_},
            consent(f"c-{name}", f"Patient/{name}", "Organization/willow", "view"),
        )
    found = world.get("willow", "/PaymentReconciliation?_count=100")
    assert found.status_code == 200, found.text
    ids = {one["resource"]["id"] for one in found.json()["entry"]}
    assert ids >= set(budgets)
    assert "ted-paymentreconciliation" not in ids
    world.restore()


def test_a_team_that_thousands_of_care_teams_name_is_let_in(world):
    """One of a whole ICB takes part in the care of more than two thousand people."""
    world.restore()
    of = {"status": "active", "subject": ref("Patient/asha"), "participant": [{"member": ref("Organization/willow")}]}
    for start in range(0, 2_001, 667):
        world.write(*(thing("CareTeam", f"of-many-{one}", **of) for one in range(start, start + 667)))
    team = {"role": "nhs-team", "organization": "Organization/willow"}
    found = world.get(team, "/Account/asha-account")
    assert found.status_code == 200, found.text
    assert world.get(team, "/Account/ted-account").status_code == 404
    world.restore()


def test_a_delegate_is_known_by_their_nhs_number_in_however_many_records(world):
    """Anybody may say that somebody with that number is close to them, and more often than once."""
    number = {"identifier": [{"system": NHS_NUMBER, "value": "9999999468"}]}
    claims = {"role": "delegate", "nhs_number": "9999999468"}
    ted = ref("Patient/ted")
    world.write(*(thing("RelatedPerson", f"close-{one:03}", patient=ted, **number) for one in range(101)))
    world.write(
        thing("RelatedPerson", "close-to-jill", patient=ref("Patient/jill"), **number),
        consent("c-close", "Patient/jill", "RelatedPerson/close-to-jill", "view"),
        consent("c-last", "Patient/ted", "RelatedPerson/close-100", "view"),
    )
    for who in (claims, {**claims, "patient": "jill"}):
        assert world.get(who, "/Account/jill-account").status_code == 200
    assert world.get(claims, "/Account/ted-account").status_code == 200
    assert world.get({**claims, "patient": "jill"}, "/Account/ted-account").status_code == 404
    world.restore()


DAYS = {
    # in summer, when it is an hour later in England than by UTC
    "before the first day": ({"start": "2027-06-30", "end": "2027-06-30"}, "2027-06-29T22:59:59Z", 404),
    "as the first day begins": ({"start": "2027-06-30", "end": "2027-06-30"}, "2027-06-29T23:00:00Z", 200),
    "as the last day ends": ({"start": "2027-06-30", "end": "2027-06-30"}, "2027-06-30T22:59:59Z", 200),
    "after the last day": ({"start": "2027-06-30", "end": "2027-06-30"}, "2027-06-30T23:00:00Z", 404),
    "after the last month": ({"start": "2027-06", "end": "2027-06"}, "2027-06-30T23:00:00Z", 404),
    "until an instant, before it": (
        {"start": "2027-05-01", "end": "2027-06-30T23:30:00Z"},
        "2027-06-30T23:29:59Z",
        200,
    ),
    "until an instant, after it": ({"start": "2027-05-01", "end": "2027-06-30T23:30:00Z"}, "2027-06-30T23:30:01Z", 404),
    "in winter, as the last day ends": ({"start": "2026-12-01", "end": "2026-12-01"}, "2026-12-01T23:59:59Z", 200),
    "in winter, after the last day": ({"start": "2026-12-01", "end": "2026-12-01"}, "2026-12-02T00:00:00Z", 404),
}


@pytest.mark.parametrize(("period", "at", "status"), DAYS.values(), ids=DAYS)
def test_the_days_of_a_consent_are_days_in_england(world, period, at, status):
    world.write(consent("c-vic", "Patient/jill", VIC, "view", provision_period=period))
    world.hold_the_clock(int((datetime.fromisoformat(at) - FIRST_MOMENT).total_seconds()))
    answered = world.get("vic", "/Account/jill-account").status_code
    world.restore()
    world.hold_the_clock()
    assert answered == status


def test_a_request_that_comes_again_is_answered_to_who_may_still_write_that(world):
    task = {name: it for name, it in record("jill")["Task"].items() if name != "id"}
    observation = {name: it for name, it in record("jill")["Observation"].items() if name != "id"}

    def sends(who: Any, path: str, body: Resource) -> tuple[int, str]:
        answer = world.post(who, path, body, x_request_id=f"again{path.replace('/', '-')}")
        return answer.status_code, answer.json().get("id", "") if answer.status_code == 201 else ""

    first = sends("ruth", "/Task", task)
    assert first[0] == 201
    assert sends("ruth", "/Task", task) == first
    assert sends({**ACTORS["ruth"], "scope": "user/Account.cruds", "sub": "ruth"}, "/Task", task) == (403, "")
    world.write(consent("c-ruth", "Patient/jill", "RelatedPerson/ruth", "view", status="inactive"))
    assert sends("ruth", "/Task", task) == (403, "")
    written = sends("priya", "/Observation", observation)
    assert written[0] == 201
    assert sends("priya", "/Observation", observation) == written
    world.write(labelled({**observation, "id": written[1]}, "R"))
    assert sends("priya", "/Observation", observation) == (403, "")
    world.restore()


REACHES = {
    # who acts for Jill: which of these they read
    "ruth": "Account/jill-account Account/jill-second ChargeItem/jill-chargeitem ChargeItem/jill-second-purchase CarePlan/jill-careplan "
    "CarePlan/jill-other-plan PaymentReconciliation/jill-second-payment Task/jill-task Patient/jill",
    "lim": "Account/jill-account ChargeItem/jill-chargeitem CarePlan/jill-careplan Task/jill-task Patient/jill",
    "vic": "Account/jill-account Account/jill-second ChargeItem/jill-chargeitem ChargeItem/jill-second-purchase CarePlan/jill-careplan "
    "CarePlan/jill-other-plan PaymentReconciliation/jill-second-payment Patient/jill",
    "pay": "PaymentReconciliation/jill-second-payment",
    "den": "Account/jill-account Account/jill-second ChargeItem/jill-chargeitem ChargeItem/jill-second-purchase CarePlan/jill-careplan "
    "CarePlan/jill-other-plan PaymentReconciliation/jill-second-payment Task/jill-task Patient/jill",
    "exa": "",
    "wes": "",
    "fay": "",
    "bas": "",
    "una": "",
    "sam": "",
}


ABOUT = {
    # what a task about Jill has as its focus: whether who acts for her in one of her two budgets has to do with it
    "her budget": ("Account/jill-account", True),
    "her other budget": ("Account/jill-second", False),
    "her plan": ("CarePlan/jill-careplan", True),
    "a version of her plan": ("CarePlan/jill-careplan/_history/1", True),
    "her other plan": ("CarePlan/jill-other-plan", False),
    "a version of her other plan": ("CarePlan/jill-other-plan/_history/1", False),
    "a purchase": ("ChargeItem/jill-chargeitem", True),
    "a purchase from the other": ("ChargeItem/jill-second-purchase", False),
    "a payment": ("PaymentReconciliation/jill-paymentreconciliation", True),
    "a payment from the other": ("PaymentReconciliation/jill-second-payment", False),
    "a task about her budget": ("Task/about-one", True),
    "a task about her other budget": ("Task/about-other", False),
    "herself": ("Patient/jill", True),
    "her assessment": ("QuestionnaireResponse/jill-questionnaireresponse", True),
}


def test_who_acts_in_one_budget_has_nothing_to_do_with_tasks_about_others(world):
    world.restore()

    def about(id_: str, focus: str) -> Resource:
        return {**record("jill")["Task"], "id": id_, "focus": ref(focus)}

    names = {f"about-{number}": focus for number, (focus, _) in enumerate(ABOUT.values())}
    world.write(about("about-one", "Account/jill-account"), about("about-other", "Account/jill-second"))
    world.write(*(about(id_, focus) for id_, focus in names.items()))
    found = {
        who: {id_ for id_ in names if world.get(who, f"/Task/{id_}").status_code == 200} for who in ("ruth", "lim")
    }
    listed = world.get("lim", "/Task?_count=100&_total=accurate").json()
    told = world.get("lim", "/Task/_history?_count=100").json()
    changed = world.put("lim", {**about("about-1", "Account/jill-second"), "language": "cy"})
    moved = world.put("lim", about("about-0", "Account/jill-second"))
    world.restore()
    theirs = {id_ for id_, (_, is_theirs) in zip(names, ABOUT.values(), strict=True) if is_theirs}
    assert found == {"ruth": set(names), "lim": theirs}
    for answer in (listed, told):
        ids = {one["resource"]["id"] for one in answer["entry"]}
        assert ids & set(names) == theirs
        assert "about-other" not in ids
    assert changed.status_code == 404
    assert moved.status_code in (403, 422)


SAID_IN = {
    # what of the plans' parts who acts in her first budget sees: by the plan that it is part of
    "a goal of her plan": (record("jill")["Goal"], True),
    "a goal of her other plan": ({**record("jill")["Goal"], "id": "other-goal"}, False),
    "the team of her plan": ({**record("jill")["CareTeam"], "id": "plan-team"}, True),
    "the team of her other plan": ({**record("jill")["CareTeam"], "id": "other-team"}, False),
    "an answer for her plan": (
        {**record("jill")["QuestionnaireResponse"], "id": "plan-answer", "basedOn": [ref("CarePlan/jill-careplan")]},
        True,
    ),
    "an answer for her other plan": (
        {**record("jill")["QuestionnaireResponse"], "id": "other-answer", "basedOn": [ref("CarePlan/jill-other-plan")]},
        False,
    ),
    "an answer for no plan": (record("jill")["QuestionnaireResponse"], True),
    "a risk of her plan": (
        {**record("jill")["RiskAssessment"], "id": "plan-risk", "basedOn": ref("CarePlan/jill-careplan")},
        True,
    ),
    "a risk of her other plan": (
        {**record("jill")["RiskAssessment"], "id": "other-risk", "basedOn": ref("CarePlan/jill-other-plan")},
        False,
    ),
}


def test_who_acts_in_one_budget_sees_what_is_said_in_its_plan_and_not_in_others(world):
    world.restore()
    plan, other = THINGS["CarePlan", "jill-careplan"], THINGS["CarePlan", "jill-other-plan"]
    world.write(
        *(one for one, _ in SAID_IN.values()),
        {**plan, "goal": [ref("Goal/jill-goal")], "careTeam": [ref("CareTeam/plan-team")]},
        {**other, "goal": [ref("Goal/other-goal")], "careTeam": [ref("CareTeam/other-team")]},
    )
    keys = {name: f"{one['resourceType']}/{one['id']}" for name, (one, _) in SAID_IN.items()}
    for who, expected in (
        ("ruth", dict.fromkeys(keys, True)),
        ("lim", {name: sees for name, (_, sees) in SAID_IN.items()}),
    ):
        assert {name: world.get(who, f"/{key}").status_code == 200 for name, key in keys.items()} == expected
    found = world.get("lim", "/?_type=Goal,CareTeam,QuestionnaireResponse,RiskAssessment&_count=100").json()
    assert not {one["resource"]["id"] for one in found["entry"]} & {
        "other-goal",
        "other-team",
        "other-answer",
        "other-risk",
    }
    made = world.post("lim", "/Goal", made_new("Goal", "jill-goal"))
    assert made.status_code == 201, made.text
    assert world.get("lim", f"/Goal/{made.json()['id']}").status_code == 200
    world.restore()


EVIDENCE_OF = {  # whether who acts in her first budget sees a document about Jill: by the purchases that it is evidence of
    "a purchase": (("jill-chargeitem",), True),
    "a purchase from the other": (("jill-second-purchase",), False),
    "one from each": (("jill-chargeitem", "jill-second-purchase"), True),
    "none": ((), False),
}


def test_who_acts_in_one_budget_sees_the_evidence_of_its_purchases_and_what_they_handed_in(world):
    world.restore()
    told, file = record("jill")["DocumentReference"], record("jill")["Binary"]
    charges = {id_: THINGS["ChargeItem", id_] for id_ in ("jill-chargeitem", "jill-second-purchase")}
    for number, (of, _) in enumerate(EVIDENCE_OF.values()):
        letter = f"DocumentReference/letter-{number}"
        world.write(
            {**told, "id": f"letter-{number}"}, {**file, "id": f"file-{number}", "securityContext": ref(letter)}
        )
        for one in of:
            charges[one] = {
                **charges[one],
                "supportingInformation": [*charges[one].get("supportingInformation", ()), ref(letter)],
            }
    world.write(*charges.values())
    keys = [
        f"{type_}-{number}"
        for type_ in ("DocumentReference/letter", "Binary/file")
        for number in range(len(EVIDENCE_OF))
    ]
    found = {who: [world.get(who, f"/{key}").status_code == 200 for key in keys] for who in ("ruth", "lim")}
    assert found == {"ruth": [True] * len(keys), "lim": [is_theirs for _, is_theirs in EVIDENCE_OF.values()] * 2}
    for path in (
        "/DocumentReference?_count=100",
        "/DocumentReference/_history?_count=100",
        "/Binary/_history?_count=100",
    ):
        told_ids = {one["resource"]["id"] for one in world.get("lim", path).json()["entry"]}
        assert not told_ids & {"letter-1", "letter-3", "file-1", "file-3"}, path
    # what they hand in themselves they see at once, and make the evidence of a purchase
    letter = world.post("lim", "/DocumentReference", made_new("DocumentReference", "jill-documentreference"))
    assert letter.status_code == 201, letter.text
    key = f"DocumentReference/{letter.json()['id']}"
    sent = world.post("lim", "/Binary", {**made_new("Binary", "jill-binary"), "securityContext": ref(key)})
    assert sent.status_code == 201, sent.text
    for theirs in (key, f"Binary/{sent.json()['id']}"):
        assert world.get("lim", f"/{theirs}").status_code == 200
        assert world.get("duo", f"/{theirs}").status_code == 200
    with_it = {**charges["jill-chargeitem"], "supportingInformation": [ref(key)]}
    assert world.put("lim", with_it).status_code == 200
    hidden = {**charges["jill-chargeitem"], "supportingInformation": [ref("DocumentReference/letter-3")]}
    assert world.put("lim", hidden).status_code == 422
    world.restore()


RECEIPT = {
    **record("jill")["DocumentReference"],
    "type": coded("receipt", f"{PHB}/CodeSystem/phb-evidence-type"),
    "date": "2026-10-09T09:00:00Z",
    "content": [
        {
            "attachment": {
                "contentType": "application/pdf",
                "data": "aGVsbG8=",
                "size": 5,
                "hash": "qvTGHdzF6KLavt4PO0gs2a6pQ00=",
            }
        }
    ],
}


FILE = {
    "resourceType": "Binary",
    "contentType": "text/plain",
    "data": "aGVsbG8=",
    "securityContext": ref("Patient/jill"),
}


@pytest.mark.parametrize("who", ["jill", "ruth", "lim", "willow", "priya", "harbour", "oak"])
def test_who_hands_in_evidence_may_put_its_file_under_the_person(world, who):
    world.restore()
    sent = world.post(who, "/Binary", FILE)
    assert sent.status_code == 201, sent.text
    key = f"Binary/{sent.json()['id']}"
    assert world.get(who, f"/{key}").status_code == 200
    sees = {
        one
        for one in ("jill", "ruth", "lim", "vic", "north", "ted", "south")
        if world.get(one, f"/{key}").status_code == 200
    }
    assert sees == {"jill", "ruth", *([who] if who == "lim" else [])}
    found = world.get("jill", f"/AuditEvent?entity={key}&patient=Patient/jill&_total=accurate")
    assert found.json()["total"] >= 1
    world.restore()


def test_who_hands_in_nothing_puts_no_file_under_anybody(world):
    world.restore()
    for who, of in (
        ("vic", "jill"),
        ("river", "jill"),
        ("north", "jill"),
        ("jill", "ted"),
        ("ruth", "ted"),
        ("exa", "jill"),
    ):
        assert world.post(who, "/Binary", {**FILE, "securityContext": ref(f"Patient/{of}")}).status_code in (
            403,
            422,
        ), who
    world.restore()


def test_a_commissioner_sees_what_proves_its_own_purchases_and_not_those_of_other_funders(world):
    """Jill has a second budget, of another commissioner, and a receipt for each, and one for none yet."""
    world.restore()
    world.write({**THINGS["Account", "jill-second"], "owner": ref("Organization/south")})
    charges = {"north": "jill-chargeitem", "south": "jill-second-purchase"}
    for funder, charge in charges.items():
        key = f"DocumentReference/of-{funder}"
        attachment = {**RECEIPT["content"][0]["attachment"]}
        world.write(
            {**RECEIPT, "id": f"of-{funder}", "content": [{"attachment": attachment}]},
            {**record("jill")["Binary"], "id": f"file-{funder}", "securityContext": ref(key)},
            {**THINGS["ChargeItem", charge], "supportingInformation": [ref(key)]},
        )
    world.write(
        {**RECEIPT, "id": "of-none"},
        {**record("jill")["Binary"], "id": "file-none", "securityContext": ref("DocumentReference/of-none")},
    )
    for who, other in (("north", "south"), ("south", "north")):
        for own in (f"DocumentReference/of-{who}", f"Binary/file-{who}"):
            assert world.get(who, f"/{own}").status_code == 200, (who, own)
        for hidden in (other, "none"):
            for key in (f"DocumentReference/of-{hidden}", f"Binary/file-{hidden}"):
                assert world.get(who, f"/{key}").status_code == 404, (who, key)
    for who in ("jill", "ruth", "priya"):
        assert world.get(who, "/DocumentReference/of-south").status_code == 200
    world.restore()


SHARED, JOINT = "Account/jill-account", "Account/jill-joint"


def said_by(type_: str, **more: Any) -> Resource:
    """Something of Jill's that nothing leads to, but for what it says itself."""
    return {**record("jill")[type_], "id": "lone", **more}


def about(key: str) -> dict[str, Any]:
    return {"about": [ref(key)]} if key else {"about": []}


def related(key: str) -> dict[str, Any]:
    return {"context": {"related": [ref(key)]}}


def amount_from(source: str) -> Resource:
    parts = [
        {"url": "type", "valueCode": "indicative"},
        {"url": "amount", "valueMoney": {"value": 10, "currency": "GBP"}},
        {"url": "source", "valueReference": ref(source)},
    ]
    return extension("phb-budget-amount", extension=parts)


# what Jill's record holds, beside; and who sees it of the two commissioners, whose budgets are north's jill-account and south's jill-second
OF_WHOM: dict[str, tuple[list[Resource], str]] = {
    "a plan of no budget": ([said_by("CarePlan")], ""),
    "a draft that is to replace a plan": (
        [said_by("CarePlan", status="draft", replaces=[ref("CarePlan/jill-careplan")])],
        "north",
    ),
    "a plan that was replaced": (
        [said_by("CarePlan"), {**THINGS["CarePlan", "jill-other-plan"], "replaces": [ref("CarePlan/lone")]}],
        "south",
    ),
    "a plan that something was bought by": (
        [
            said_by("CarePlan"),
            {
                **record("jill")["ChargeItem"],
                "extension": [
                    extension(
                        "phb-purchase-link",
                        extension=[
                            {"url": "carePlan", "valueReference": ref("CarePlan/lone")},
                            {"url": "activityId", "valueString": "a"},
                        ],
                    )
                ],
            },
        ],
        "north",
    ),
    "a goal of no plan": ([said_by("Goal")], ""),
    "a goal of the other plan": (
        [said_by("Goal"), {**THINGS["CarePlan", "jill-other-plan"], "goal": [ref("Goal/lone")]}],
        "south",
    ),
    "a team of no plan": ([said_by("CareTeam")], ""),
    "a team of the other plan": (
        [said_by("CareTeam"), {**THINGS["CarePlan", "jill-other-plan"], "careTeam": [ref("CareTeam/lone")]}],
        "south",
    ),
    "a risk of no plan": ([said_by("RiskAssessment")], ""),
    "a risk of a plan": ([said_by("RiskAssessment", basedOn=ref("CarePlan/jill-careplan"))], "north"),
    "an assessment of its own": ([said_by("QuestionnaireResponse")], ""),
    "an answer for the other plan": (
        [said_by("QuestionnaireResponse", basedOn=[ref("CarePlan/jill-other-plan")])],
        "south",
    ),
    "an assessment that an amount rests on": (
        [
            said_by("QuestionnaireResponse"),
            {
                **THINGS["Account", "jill-second"],
                "owner": ref("Organization/south"),
                "extension": [amount_from("QuestionnaireResponse/lone")],
            },
        ],
        "south",
    ),
    "an assessment that comes with a task of theirs": (
        [
            said_by("QuestionnaireResponse"),
            said_by(
                "Task",
                input=[{"type": {"text": "papers"}, "valueReference": ref("QuestionnaireResponse/lone")}],
            ),
        ],
        "north",
    ),
    "the record of a review of the other budget": (
        [
            said_by("QuestionnaireResponse"),
            said_by(
                "Task",
                owner=ref("Organization/harbour"),
                focus=ref("Account/jill-second"),
                output=[{"type": {"text": "record"}, "valueReference": ref("QuestionnaireResponse/lone")}],
            ),
        ],
        "south",
    ),
    "a letter about nothing here": ([said_by("Communication", **about(""))], ""),
    "a letter about the other budget": ([said_by("Communication", **about("Account/jill-second"))], "south"),
    "a letter about a purchase": ([said_by("Communication", **about("ChargeItem/jill-chargeitem"))], "north"),
    "a letter about a task": (
        [said_by("Communication", **about("Task/lone")), said_by("Task", focus=ref(SHARED))],
        "north",
    ),
    "a letter about the cover that they give": (
        [said_by("Communication", **about("Coverage/jill-coverage"))],
        "north",
    ),
    "a letter from them": ([said_by("Communication", **about(""), sender=ref("Organization/south"))], "south"),
    "a letter to them": ([said_by("Communication", **about(""), recipient=[ref("Organization/north")])], "north"),
    "a paper about nothing here": ([said_by("DocumentReference")], ""),
    "a paper about the other budget": ([said_by("DocumentReference", **related("Account/jill-second"))], "south"),
    "a statement of the bank about a purchase": (
        [said_by("DocumentReference", **related("ChargeItem/jill-chargeitem"))],
        "north",
    ),
    "a paper about a plan": ([said_by("DocumentReference", **related("CarePlan/jill-other-plan"))], "south"),
    "what a budget's amount rests on": (
        [
            said_by("DocumentReference"),
            {
                **record("jill")["Account"],
                "extension": [
                    *record("jill")["Account"]["extension"],
                    amount_from("DocumentReference/lone"),
                ],
            },
        ],
        "north",
    ),
    "a consent for all budgets": (
        [{**consent("lone", "Patient/jill", "Organization/jill-nobody", "view")}],
        "north south",
    ),
    "a consent for the other budget": (
        [consent("lone", "Patient/jill", "Organization/jill-nobody", "view", accounts=("Account/jill-second",))],
        "south",
    ),
    "cover that somebody else gives": ([said_by("Coverage", payor=[ref("Organization/jill-nobody")])], ""),
    "cover that they give": ([said_by("Coverage", payor=[ref("Organization/south")])], "south"),
    "cover that a budget rests on": (
        [
            said_by("Coverage", payor=[ref("Organization/jill-nobody")]),
            {**record("jill")["Account"], "coverage": [{"coverage": ref("Coverage/lone")}]},
        ],
        "north",
    ),
    "the plan of a joint budget that theirs is a part of": (
        [
            said_by("CarePlan"),
            {
                **record("jill")["Account"],
                "id": "jill-joint",
                "identifier": [],
                "owner": ref("Organization/south"),
                "extension": [extension("phb-care-plan", valueReference=ref("CarePlan/lone"))],
            },
            {**record("jill")["Account"], "partOf": ref(JOINT)},
        ],
        "north south",
    ),
}


@pytest.mark.parametrize("name", OF_WHOM)
def test_a_commissioner_sees_what_concerns_its_own_budgets_and_not_those_of_other_funders(world, name):
    """Jill has a second budget, of another commissioner, with a plan of its own; both see her, each their own."""
    world.restore()
    world.write({**THINGS["Account", "jill-second"], "owner": ref("Organization/south")})
    written, seen_by = OF_WHOM[name]
    world.write(*({name: value for name, value in one.items() if value != []} for one in written))
    key = f"{written[0]['resourceType']}/lone"
    found = {who for who in ("north", "south") if world.get(who, f"/{key}").status_code == 200}
    assert found == set(seen_by.split())
    for who in ("north", "south"):
        asked = f"/{written[0]['resourceType']}?_id=lone&_total=accurate"
        assert world.get(who, asked).json()["total"] == (who in found), who
        assert world.get(who, "/Patient/jill").status_code == 200
    world.restore()


LONE = "QuestionnaireResponse/lone"


def test_nobody_opens_something_by_moving_a_reference_to_where_it_opens(world):
    """A task of north's refers to an assessment that it does not see; written as what the task brings, it would be seen."""
    world.restore()
    papers = [{"type": {"text": "papers"}, "valueReference": ref(LONE)}]
    task = {**record("jill")["Task"], "id": "asked", "reasonReference": ref(LONE)}
    world.write(said_by("QuestionnaireResponse"), task)
    seen = world.get("north", "/Task/asked").json()
    assert world.get("north", f"/{LONE}").status_code == 404
    for who, status in (("north", 422), ("priya", 200)):
        changed = world.put(who, {**seen, "input": papers})
        assert changed.status_code == status, changed.text
        assert world.get("north", f"/{LONE}").status_code == (404 if status == 422 else 200)
    # what stands there already stays there, also beside others
    others = [{"type": {"text": "note"}, "valueString": "a"}, *papers]
    assert world.put("north", {**world.stands("Task/asked"), "input": others}).status_code == 200
    world.restore()


def test_nobody_opens_something_by_naming_it_beside_what_names_it(world):
    """A new task of north's names the task that it sees, and brings what that one only refers to."""
    world.restore()
    task = {**record("jill")["Task"], "id": "asked", "reasonReference": ref(LONE)}
    world.write(said_by("QuestionnaireResponse"), task)
    assert world.get("north", "/Task/asked").status_code == 200
    papers = [{"type": {"text": "papers"}, "valueReference": ref(LONE)}]
    bringing = {**record("jill")["Task"], "basedOn": [ref("Task/asked")], "input": papers}
    del bringing["id"]
    for who, status in (("north", 422), ("priya", 201)):
        made = world.post(who, "/Task", bringing)
        assert made.status_code == status, made.text
        assert world.get("north", f"/{LONE}").status_code == (404 if status == 422 else 200)
    world.restore()


def test_nobody_moves_a_reference_from_one_extension_into_another(world):
    world.restore()
    plan = {**said_by("CarePlan"), "status": "draft"}
    other = extension("another", valueReference=ref("CarePlan/lone"))
    account = record("jill")["Account"]
    world.write(plan, {**account, "extension": [*account["extension"], {**other, "url": "http://another.example"}]})
    moved = {**account, "extension": [extension("phb-care-plan", valueReference=ref("CarePlan/lone"))]}
    assert world.put("north", moved).status_code == 422
    assert world.get("north", "/CarePlan/lone").status_code == 404
    kept = [{**other, "url": "http://another.example"}, *account["extension"]]
    assert world.put("north", {**account, "extension": kept, "language": "cy"}).status_code == 200
    world.restore()


@pytest.mark.parametrize(("who", "status"), [("jill", 200), ("ruth", 200), ("priya", 200), ("lim", 403), ("vic", 403)])
def test_who_acts_in_one_budget_is_not_told_of_the_whole_record_by_what_it_comes_to(world, who, status):
    world.restore()
    assert world.get(who, "/Patient/jill/$check-eligibility").status_code == status


WORRY = coded("safeguarding-referral", f"{PHB}/CodeSystem/phb-task-code")


@pytest.mark.parametrize("who", ["ruth", "willow", "pat", "lim"])
def test_a_worry_about_harm_is_not_told_to_who_acts_for_the_person(world, who):
    """It may be about them. Who raised it, and who has to do with it, sees it; so do the person, the team and the practice."""
    world.restore()
    asked = {"requester": ref("Organization/oak"), "authoredOn": "2026-11-20T09:00:00Z"}
    worry = {**record("jill")["Task"], "id": "worry", "code": WORRY, **asked}
    world.write(worry)
    assert world.get(who, "/Task/worry").status_code == 404
    assert world.get(who, "/Task?_id=worry&_total=accurate").json()["total"] == 0
    assert world.get(who, f"/Task?code={PHB}/CodeSystem/phb-task-code|safeguarding-referral").json()["total"] == 0
    assert "Task/worry" not in world.get(who, "/Patient/jill/$everything?_count=1000").text
    for other in ("jill", "priya", "harbour", "oak"):
        assert world.get(other, "/Task/worry").status_code == 200, other
    own = next(ACTORS[who][name] for name in ("fhirUser", "organization") if name in ACTORS[who])
    raised = {name: value for name, value in worry.items() if name != "id"} | {"requester": ref(own)}
    made = world.post(who, "/Task", raised)
    assert made.status_code == 201, made.text
    assert world.get(who, f"/Task/{made.json()['id']}").status_code == 200
    world.restore()


TASKS_ABOUT = {  # which tasks about their budgets a commissioner sees, who neither owns them nor asked for them
    "a budget of theirs": ("jill", "Account/jill-account", True),
    "a purchase from it": ("jill", "ChargeItem/jill-chargeitem", True),
    "a payment from it": ("jill", "PaymentReconciliation/jill-paymentreconciliation", True),
    "an invoice to it": ("jill", "Invoice/jill-invoice", True),
    "the plan of one of theirs": ("jill", "CarePlan/jill-careplan", True),
    "a plan of nobody's budget": ("jill", "CarePlan/jill-lone", False),
    "a budget of others": ("ted", "Account/ted-account", False),
    "a purchase from that": ("ted", "ChargeItem/ted-chargeitem", False),
    "somebody who has a budget of theirs": ("jill", "Patient/jill", False),
    "nothing": ("jill", "", False),
}


@pytest.mark.parametrize("name", TASKS_ABOUT)
def test_a_commissioner_sees_the_tasks_about_their_own_budgets(world, name):
    world.restore()
    of, focus, is_theirs = TASKS_ABOUT[name]
    world.write({**record("jill")["CarePlan"], "id": "jill-lone"})
    task = {
        **record(of)["Task"],
        "id": "about",
        "owner": ref(f"Patient/{of}"),
        "requester": ref("Organization/harbour"),
    }
    world.write(task | ({"focus": ref(focus)} if focus else {}))
    assert world.get("north", "/Task/about").status_code == (200 if is_theirs else 404)
    assert world.get("north", "/Task?_id=about&_total=accurate").json()["total"] == is_theirs
    assert world.get("finance", "/Task/about").status_code == 404
    # to see is not to answer: it is neither theirs to complete
    changed = world.put("north", {**world.stands("Task/about"), "status": "cancelled"})
    assert changed.status_code == (403 if is_theirs else 404), changed.text
    world.write(labelled(task | ({"focus": ref(focus)} if focus else {}), "R"))
    assert world.get("north", "/Task/about").status_code == 404
    world.restore()


def test_an_nhs_team_sees_who_wrote_the_records_of_the_patients_whom_it_manages(world):
    world.restore()
    world.write({**THINGS["Patient", "ted"], "managingOrganization": ref("Organization/harbour")})
    found = world.get("harbour", "/Provenance?target=Account/ted-account")
    assert found.json()["total"] >= 1, found.text
    assert world.get("harbour", "/Provenance/ted-provenance").status_code == 200
    assert world.get("harbour", "/Provenance?target=Account/mo-account").json()["total"] == 0
    world.restore()
    assert world.get("harbour", "/Provenance?target=Account/ted-account").json()["total"] == 0


@pytest.mark.parametrize(("who", "expected"), REACHES.items(), ids=REACHES)
def test_a_consent_opens_what_it_says_while_it_lasts(world, who, expected):
    world.restore()
    wanted = dict.fromkeys(key for keys in REACHES.values() for key in keys.split())
    assert [key for key in wanted if world.get(who, f"/{key}").status_code == 200] == [
        key for key in wanted if key in expected.split()
    ]


def test_a_consent_to_see_is_none_to_buy(world):
    world.restore()
    bought = {name: value for name, value in record("jill")["ChargeItem"].items() if name not in ("id", "identifier")}
    assert world.post("ruth", "/ChargeItem", bought).status_code == 201
    seen = {name: value for name, value in bought.items() if name != "supportingInformation"}
    assert world.post("vic", "/ChargeItem", seen).status_code == 403
    assert world.post("pay", "/ChargeItem", seen).status_code == 422
    assert world.post("lim", "/ChargeItem", bought).status_code == 201
    assert world.post("lim", "/ChargeItem", {**bought, "account": [ref("Account/jill-second")]}).status_code in (
        403,
        422,
    )
    assert world.post("ruth", "/ChargeItem", {**bought, "account": [ref("Account/jill-second")]}).status_code == 201


@pytest.mark.parametrize("who", ["jill", "priya"])
def test_a_consent_counts_from_the_next_request_and_so_does_its_withdrawal(world, who):
    world.restore()
    given = next(one for (type_, id_), one in THINGS.items() if type_ == "Consent" and id_ == "c-wes")
    assert world.get("wes", "/Account/jill-account").status_code == 404
    assert world.put(who, {**given, "status": "active"}).status_code == 200
    assert world.get("wes", "/Account/jill-account").status_code == 200
    assert world.get("wes", "/Account?_summary=count").json()["total"] == 2
    assert world.put(who, given).status_code == 200
    assert world.get("wes", "/Account/jill-account").status_code == 404
    assert world.get("wes", "/Account?_summary=count").json()["total"] == 0


def test_what_somebody_asked_for_is_not_told_to_them_once_the_consent_is_withdrawn(world):
    """What becomes of it is the person's: a review has the sums of its day in it. What they have to do themselves is still told."""
    world.restore()
    given = next(one for (type_, id_), one in THINGS.items() if type_ == "Consent" and id_ == "c-ruth")
    keys = ("Task/asked-by-ruth", "Task/for-ruth")
    assert [world.get("ruth", f"/{key}").status_code for key in keys] == [200, 200]
    assert world.put("jill", {**given, "status": "inactive"}).status_code == 200
    assert [world.get("ruth", f"/{key}").status_code for key in keys] == [404, 200]
    found = world.get("ruth", "/Task?_total=accurate").json()
    assert [one["resource"]["id"] for one in found["entry"]] == ["for-ruth"]
    asked = {name: value for name, value in record("jill")["Task"].items() if name != "id"}
    assert world.post("ruth", "/Task", {**asked, "requester": ref("RelatedPerson/ruth")}).status_code in (403, 422)
    world.restore()


def test_a_care_team_counts_from_the_next_request_and_so_does_its_end(world):
    world.restore()
    team = next(one for (type_, id_), one in THINGS.items() if (type_, id_) == ("CareTeam", "team-over"))
    assert world.get("sam", "/Account/jill-account").status_code == 404
    world.write({**team, "status": "active"})
    assert world.get("sam", "/Account/jill-account").status_code == 200
    world.write(team)
    assert world.get("sam", "/Account/jill-account").status_code == 404


PAST, COMING = {"end": "2026-01-01"}, {"start": "2028-01-01"}
OVER = {  # who sees Jill by what, and how that says that it is over
    "a team of another time": ("priya", "CareTeam", "team", {"period": PAST}),
    "a team that is yet to begin": ("priya", "CareTeam", "team", {"period": COMING}),
    "a role that somebody has left": ("priya", "PractitionerRole", "priya-role", {"period": PAST}),
    "a role that is not in use": ("priya", "PractitionerRole", "priya-role", {"active": False}),
    "a relation that ended": ("ruth", "RelatedPerson", "ruth", {"period": PAST}),
    "a relation that is not in use": ("ruth", "RelatedPerson", "ruth", {"active": False}),
    "a peer supporter who is not in use": ("pat", "Practitioner", "pat", {"active": False}),
}


@pytest.mark.parametrize("name", OVER)
def test_what_somebody_is_no_longer_gives_them_nothing(world, name):
    """Though the Consent, or the team, has not been changed."""
    world.restore()
    who, type_, id_, over = OVER[name]
    # by the team alone, and not because her organisation manages the patient
    claims = {name: value for name, value in ACTORS[who].items() if name != "organization"} | {"sub": name}
    goes_on = {"period": {"start": "2026-01-01"}} if "period" in over else {"active": True}
    for more, is_seen in ((goes_on, True), (over, False), (goes_on, True)):
        world.write({**THINGS[type_, id_], **more})
        assert world.get(claims, "/Account/jill-account").status_code == (200 if is_seen else 404)
    world.restore()


# ---- restricted records --------------------------------------------------------------------------------------------

RESTRICTED = ("Condition/jill-restricted", "Observation/jill-very", "Task/jill-restricted-task")


@pytest.mark.parametrize("who", ["ruth", "priya", "harbour", "oak", "north"])
def test_a_restricted_record_is_not_there_for_those_who_help(world, who):
    for key in RESTRICTED:
        assert world.get(who, f"/{key}").status_code in (403, 404), (who, key)
        assert world.get("jill", f"/{key}").status_code == 200


@pytest.mark.parametrize(
    "resource", [record("jill")["ChargeItem"], RECEIPT, record("jill")["Binary"]], ids=lambda one: one["resourceType"]
)
def test_a_person_does_not_hide_what_was_bought_from_who_pays_for_it(world, resource):
    world.restore()
    type_ = resource["resourceType"]
    new = {name: value for name, value in resource.items() if name not in ("id", "identifier")}
    for label in ("R", "V"):
        refused = world.post("jill", f"/{type_}", labelled(new, label))
        assert refused.status_code == 403, refused.text
        assert "neither is restricted" in refused.text
    assert world.post("jill", f"/{type_}", labelled(new, "N")).status_code == 201
    if type_ == "ChargeItem":
        assert world.put("jill", labelled(resource, "R")).status_code == 403
        world.write(labelled(resource, "R"))  # by others it may be, and she may go on with it
        assert world.put("jill", {**labelled(resource, "R"), "language": "cy"}).status_code == 200
    letter = labelled({**record("jill")["Communication"], "id": None}, "R")
    assert world.post("jill", "/Communication", {n: v for n, v in letter.items() if v is not None}).status_code == 201
    world.restore()


def test_the_file_of_a_restricted_document_is_restricted_with_it(world):
    world.restore()
    letter = record("jill")["DocumentReference"]
    for who in ("ruth", "priya", "oak", "north"):
        assert world.get(who, "/Binary/jill-binary").status_code == 200, who
    world.write(labelled(letter, "R"))
    for who in ("ruth", "priya", "oak", "north"):
        assert world.get(who, "/Binary/jill-binary").status_code == 404, who
        assert "Binary/jill-binary" not in world.get(who, "/Binary/_history?_count=100").text, who
    assert world.get("jill", "/Binary/jill-binary").status_code == 200
    world.restore()


def restricting(*codes: str) -> Resource:
    labels = [{"system": LABELS, "code": code} for code in codes]
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"security": labels}}]}


@pytest.mark.parametrize("who", ["priya", "harbour", "oak"])
def test_who_breaks_the_glass_does_not_leave_it_open(world, who):
    """What was opened for once is closed again; whose record it is takes the restriction off."""
    world.restore()
    for key in ("Condition/jill-restricted", "Observation/jill-very"):
        opened = world.get(who, f"/{key}", x_purpose_of_use="BTG").json()
        open_ = {name: value for name, value in opened.items() if name != "meta"}
        for answer in (
            world.put(who, open_, x_purpose_of_use="BTG"),
            world.post(who, f"/{key}/$meta-delete", restricting("R", "V"), x_purpose_of_use="BTG"),
            world.post(who, "/", bundle("transaction", entry("PUT", key, open_)), x_purpose_of_use="BTG"),
        ):
            assert answer.status_code == 403, answer.text
            assert world.get("oak", f"/{key}").status_code == 404
        if who != "oak":  # who does not change such records
            assert world.put(who, {**opened, "language": "cy"}, x_purpose_of_use="BTG").status_code == 200
    task = {name: value for name, value in THINGS["Task", "jill-restricted-task"].items() if name != "meta"}
    assert world.put("jill", task).status_code == 200
    assert world.get("oak", "/Task/jill-restricted-task").status_code == 200
    world.restore()


@pytest.mark.parametrize("type_", ["Account", "ChargeItem", "Coverage", "Invoice", "PaymentReconciliation", "Binary"])
@pytest.mark.parametrize("who", ["priya", "harbour"])
def test_nobody_hides_money_from_who_pays_by_breaking_the_glass(world, who, type_):
    world.restore()
    resource = record("jill")[type_]
    key = f"{type_}/{resource['id']}"
    new = {name: value for name, value in resource.items() if name not in ("id", "identifier")}
    if type_ == "PaymentReconciliation":
        new["paymentIdentifier"] = {**new["paymentIdentifier"], "value": "PAY-hidden"}
    for answer in (
        world.post(who, f"/{type_}", labelled(new, "R"), x_purpose_of_use="BTG"),
        world.put(who, labelled(resource, "V"), x_purpose_of_use="BTG"),
        world.post(who, f"/{key}/$meta-add", restricting("R"), x_purpose_of_use="ETREAT"),
    ):
        assert answer.status_code == 403, answer.text
    assert world.get("north", f"/{key}").status_code == 200
    condition = {name: value for name, value in record("jill")["Condition"].items() if name != "id"}
    assert world.post(who, "/Condition", labelled(condition, "R"), x_purpose_of_use="BTG").status_code == 201
    world.restore()


FILE_ASKED = (
    "/Binary/jill-binary",
    "/Binary/jill-binary/_history",
    "/Binary/_history",
    "/Binary?_id=jill-binary&_summary=count",
)


@pytest.mark.parametrize("path", FILE_ASKED)
@pytest.mark.parametrize("who", ["priya", "harbour", "oak"])
def test_breaking_the_glass_opens_the_file_with_its_document_and_tells_the_person(world, who, path):
    world.restore()
    world.write(labelled(record("jill")["DocumentReference"], "R"))
    tasks = world.get("jill", "/Task?_summary=count").json()["total"]
    found = world.get(who, path, x_purpose_of_use="BTG")
    assert found.status_code == 200, found.text
    assert found.json().get("total", 1) >= 1
    assert world.get("jill", "/Task?_summary=count").json()["total"] == tasks + 1
    world.restore()


def test_a_file_that_is_restricted_itself_and_says_not_whose_it_is_stays_closed(world):
    world.restore()
    world.write(labelled(record("jill")["Binary"], "R"))
    assert world.get("priya", "/Binary/jill-binary", x_purpose_of_use="BTG").status_code == 404
    assert world.get("jill", "/Binary/jill-binary").status_code == 200
    world.restore()


@pytest.mark.parametrize("who", ["priya", "harbour", "oak"])
def test_breaking_the_glass_opens_it_and_tells_the_person(world, who):
    world.restore()
    tasks = world.get("jill", "/Task?_summary=count").json()["total"]
    answer = world.get(who, "/Condition/jill-restricted", x_purpose_of_use="BTG")
    assert answer.status_code == 200
    assert world.get(who, "/Condition/jill-restricted").status_code == 404  # only while the purpose is stated
    assert world.get(who, "/Condition/jill-restricted", x_purpose_of_use="TREAT").status_code == 404
    assert world.get("jill", "/Task?_summary=count").json()["total"] == tasks + 1
    (told,) = world.get("jill", "/Task?_sort=-_lastUpdated&_count=1").json()["entry"]
    said = {
        "priya": "priya (care co-ordinator, harbour trust)",
        "harbour": "harbour (NHS team, harbour trust)",
        "oak": "oak (practice, oak trust)",
    }[who]
    opened = f"{said} opened parts of your record that are kept restricted, to break the glass, on 23 November 2026 at "
    assert told["resource"]["description"].startswith(opened)
    # those who may not see what is restricted do not learn of it by this
    for other in ("ruth", "priya", "harbour", "oak", "north"):
        assert world.get(other, f"/Task/{told['resource']['id']}").status_code == 404, other
        assert "opened parts" not in world.get(other, "/Task?_count=100").text, other
        assert f"Task/{told['resource']['id']}" not in world.get(other, "/Provenance?_count=100").text, other
    answered = world.put("jill", {**told["resource"], "status": "accepted"})
    assert answered.status_code == 200, answered.text
    assert "UTC" not in told["resource"]["description"]


@pytest.mark.parametrize("who", ["ruth", "north", "river", "finance"])
def test_who_may_not_break_the_glass_sees_no_more_by_trying(world, who):
    world.restore()
    for key in RESTRICTED:
        assert world.get(who, f"/{key}", x_purpose_of_use="BTG").status_code in (403, 404), (who, key)
    assert world.get("jill", "/Task?_summary=count").json()["total"] == 7


def test_a_refusal_that_goes_by_what_was_opened_is_told_to_the_person_too(world):
    world.restore()
    tasks = world.get("jill", "/Task?_summary=count").json()["total"]
    body = {"resourceType": "Condition", "subject": {"reference": "Patient/jill"}}
    asked = "/Condition?patient=Patient/jill"
    refused = world.ask("priya", "PUT", asked, body, x_purpose_of_use="BTG")
    assert refused.status_code == 412, refused.text
    assert world.get("jill", "/Task?_summary=count").json()["total"] == tasks + 1


def opening(world, who: str, purpose: str) -> str:
    """The reference of the Task that tells Jill of an opening: whoever opens her record can work it out."""
    stretch = int((FIRST_MOMENT.timestamp() + LOADED_AT) // world.server.settings.break_glass_max_s)
    told = "\n".join((LOCAL_ISSUER, who, "Patient/jill", purpose, str(stretch)))
    return f"OPENED-{hashlib.sha256(told.encode()).hexdigest()[:32]}"


TELLING = "https://fhir.phb.nhs.example/Id/phb-task-reference"


@pytest.mark.parametrize("way", ["create", "update", "patch", "transaction"])
def test_nobody_lays_out_beforehand_what_tells_of_an_opening(world, way):
    world.restore()
    named = {"identifier": [{"system": TELLING, "value": opening(world, "priya", "BTG")}]}
    task = {**record("jill")["Task"], "status": "cancelled", **named}
    new = {name: value for name, value in task.items() if name != "id"}
    tries = {
        "create": lambda: world.post("priya", "/Task", new),
        "update": lambda: world.put("priya", task),
        "patch": lambda: world.ask(
            "priya", "PATCH", "/Task/jill-task", named, content_type="application/merge-patch+json"
        ),
        "transaction": lambda: world.post("priya", "/", bundle("transaction", entry("POST", "Task", new))),
    }
    assert tries[way]().status_code == 403
    assert world.get("priya", "/Condition/jill-restricted", x_purpose_of_use="BTG").status_code == 200
    (told,) = world.get("jill", f"/Task?identifier={TELLING}|{opening(world, 'priya', 'BTG')}").json()["entry"]
    assert "opened parts of your record" in told["resource"]["description"]


@pytest.mark.parametrize("who", ["priya", "harbour", "ruth", "oak"])
def test_nobody_takes_back_what_told_of_an_opening_and_the_person_answers_it(world, who):
    world.restore()
    assert world.get("priya", "/Condition/jill-restricted", x_purpose_of_use="ETREAT").status_code == 200
    (told,) = world.get("jill", f"/Task?identifier={TELLING}|{opening(world, 'priya', 'ETREAT')}").json()["entry"]
    task = told["resource"]
    unnamed = {name: value for name, value in task.items() if name != "identifier"}
    for changed in ({**task, "status": "cancelled"}, {**task, "description": "Nothing."}, unnamed):
        assert world.put(who, changed).status_code in (403, 404)
    assert world.put("jill", unnamed).status_code == 403
    assert world.put("jill", {**task, "status": "completed"}).status_code == 200


def test_what_nobody_could_be_told_of_stays_closed_whatever_the_purpose(world):
    """A payment says whose it is by its budget alone, so it opens for whoever may see it, or not at all."""
    world.restore()
    payment = world.stands("PaymentReconciliation/jill-paymentreconciliation")
    assert world.get("priya", "/PaymentReconciliation/jill-paymentreconciliation").status_code == 200
    world.write(labelled(payment, "R"))
    for purpose in ("TREAT", "BTG"):
        answer = world.get("priya", "/PaymentReconciliation/jill-paymentreconciliation", x_purpose_of_use=purpose)
        assert answer.status_code == 404, purpose
    assert world.get("jill", "/PaymentReconciliation/jill-paymentreconciliation").status_code == 200
    world.restore()


def test_breaking_the_glass_reaches_no_further_than_ones_own_patients(world):
    assert world.get("priya", "/Condition/ted-condition", x_purpose_of_use="BTG").status_code == 404
    assert world.get("priya", "/Condition/jill-restricted", x_purpose_of_use="not a code").status_code == 400


LIVES = {
    # how long a token that breaks the glass lives, how long ago it was issued, in minutes, and what it opens
    "an opening": (60, 0, 200),
    "an opening, half of it": (60, 30, 200),
    "a little longer": (61, 0, 404),
    "longer, and nearly over": (61, 59, 404),
    "a working day, and nearly over": (480, 450, 404),
}


@pytest.mark.parametrize(("minutes", "ago", "status"), LIVES.values(), ids=LIVES)
def test_a_token_breaks_the_glass_if_it_lives_no_longer_than_an_opening(world, minutes, ago, status):
    claims = {**ACTORS["priya"], "sub": f"{minutes}-{ago}", "scope": USER, "purpose_of_use": "BTG"}
    token = local_key(world.server.settings.data).sign(claims, now=time.time() - ago * 60, life_s=minutes * 60)
    found = world.client.get("/Condition/jill-restricted", headers={"Authorization": f"Bearer {token}"})
    world.restore()
    assert found.status_code == status


COUNTED = {
    "counted": "/Condition?_summary=count",
    "asked for none of": "/Condition?_count=0",
    "asked through": "/Patient?_has:Condition:patient:code:text=restricted&_summary=count",
}


@pytest.mark.parametrize("name", COUNTED)
def test_who_counts_what_is_restricted_is_told_to_whose_it_is(world, name):
    """In the list of who looked, beside the Task, though the answer was a number."""
    world.restore()
    request_id = name.replace(" ", "-")
    answer = world.get("priya", COUNTED[name], x_purpose_of_use="BTG", x_request_id=request_id)
    assert answer.json()["total"] >= 1
    found = world.get("jill", "/AuditEvent?patient=Patient/jill&agent=Practitioner/priya&_count=1000").json()
    events = [one["resource"] for one in found["entry"] if request_id in json.dumps(one["resource"])]
    world.restore()
    told = [one["text"]["div"] for one in events if "asked about your" in one["text"]["div"]]
    assert len(told) == 1
    assert "breaking the glass" in told[0]


def test_the_purpose_that_opened_something_is_taken_down_and_not_one_that_was_not_taken(world):
    """The token lives too long for the purpose that it states; the request states one that counts."""
    claims = {**ACTORS["priya"], "sub": "long", "scope": USER, "purpose_of_use": "BTG"}
    token = local_key(world.server.settings.data).sign(claims, now=time.time(), life_s=8 * 3600)
    headers = {"Authorization": f"Bearer {token}", "X-Purpose-Of-Use": "ETREAT", "X-Request-ID": "for-treatment"}
    assert world.client.get("/Condition/jill-restricted", headers=headers).status_code == 200
    found = world.get("auditor", "/AuditEvent?entity=Condition/jill-restricted&_count=1000").json()
    (event,) = [one["resource"] for one in found["entry"] if "for-treatment" in json.dumps(one["resource"])]
    world.restore()
    assert [one["coding"][0]["code"] for one in event["purposeOfEvent"]] == ["ETREAT"]


def traced(world: Any, who: str, **headers: str) -> set[str]:
    """What somebody is told was written, by whom, since the world was made."""
    found = world.get(who, "/Provenance?_count=200&_total=accurate", **headers).json()
    targets = {one["reference"] for entry in found.get("entry", ()) for one in entry["resource"]["target"]}
    assert found["total"] == len(found.get("entry", ()))
    return {target for target in targets if "/traced-" in target}


def test_who_wrote_what_is_restricted_is_told_to_those_who_see_it(world):
    jill = record("jill")
    task, condition = {**jill["Task"], "id": "traced-task"}, {**jill["Condition"], "id": "traced-condition"}
    bought = {name: it for name, it in jill["ChargeItem"].items() if name != "identifier"} | {"id": "traced-purchase"}
    world.write(task, labelled(condition, "R"), labelled(bought, "V"))
    opened, all_ = {"Task/traced-task/_history/1"}, {"Condition/traced-condition/_history/1"}
    all_ |= opened | {"ChargeItem/traced-purchase/_history/1"}
    assert {who: traced(world, who) for who in ("jill", "priya", "harbour", "north", "auditor")} == {
        **dict.fromkeys(("jill", "auditor"), all_),
        **dict.fromkeys(("priya", "harbour"), opened),
        "north": set(),  # whom tasks do not concern
    }
    found = world.get("system", "/Provenance?target=Condition/traced-condition").json()["entry"][0]["resource"]["id"]
    for path in (f"/Provenance/{found}", f"/Provenance/{found}/_history", f"/Provenance/{found}/_history/1"):
        assert (world.get("jill", path).status_code, world.get("priya", path).status_code) == (200, 404)
    assert traced(world, "priya", x_purpose_of_use="BTG") == opened
    world.write(labelled(task, "R"))
    assert traced(world, "priya") == set()  # nor what was written before it was restricted
    world.write(task, bought)
    told = traced(world, "priya")
    assert "ChargeItem/traced-purchase/_history/2" in told
    assert told & all_ == opened  # its first version was written together with what is restricted still
    assert world.delete("system", "/Condition/traced-condition").status_code in (200, 204)
    assert not any("Condition" in target for target in traced(world, "priya"))
    world.restore()


@pytest.mark.parametrize("who", ["jill", "ruth"])
def test_nobody_hides_what_they_did_by_the_provenance_that_they_send(world, who):
    world.restore()
    sent = labelled(
        {"resourceType": "Provenance", "recorded": "2026-11-22T09:00:00Z", "agent": [{"who": {"display": "x"}}]},
        "R",
        "N",
    )
    bought = made_new("ChargeItem", "jill-chargeitem")
    made = world.post(who, "/ChargeItem", bought, x_provenance=json.dumps(sent))
    assert made.status_code == 201, made.text
    found = world.get("north", f"/Provenance?target=ChargeItem/{made.json()['id']}").json()
    (provenance,) = [one["resource"] for one in found["entry"]]
    assert [one["code"] for one in provenance["meta"]["security"]] == ["N"]
    world.restore()


def test_how_restricted_a_record_is_holds_for_all_of_its_past(world):
    world.restore()
    for path in ("/Condition/once-open", "/Condition/once-open/_history/2", "/Condition/once-open/_history/1"):
        assert world.get("priya", path).status_code == 404
        assert world.get("jill", path).status_code == 200
    world.write({**record("jill")["Condition"], "id": "once-open"})
    statuses = [world.get("priya", f"/Condition/once-open/_history/{number}").status_code for number in (1, 2, 3)]
    assert statuses == [200, 200, 200]


def test_every_role_is_somebody_here():
    assert {actor["role"] for actor in ACTORS.values()} == set(EXPECTED)

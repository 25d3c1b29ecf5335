"""Who may do what: the policy table cell by cell, over HTTP.

`EXPECTED` says by hand what `security/policy.POLICY` says in predicates, so that a change of one must be made in the other. Each cell that
is allowed is tried on a resource of one's own and on one of somebody else's: the first succeeds, the second is not there. Each cell
that is not allowed is 403, whatever is asked for. In SMART's letters: c create, r read, u update, d delete, s search.
"""

from __future__ import annotations

import itertools

import pytest

from tests.builders import bundle, entry
from tests.security.elements import (
    ABOUT_PEOPLE,
    CLINICAL,
    MONEY,
    PLAN,
)
from tests.security.world import ACTORS, THINGS, World, made_new

DIRECTORY = "ChargeItemDefinition HealthcareService Location Organization Practitioner PractitionerRole"
GUIDE = (
    "ActivityDefinition CapabilityStatement CodeSystem CompartmentDefinition ConceptMap Endpoint GraphDefinition ImplementationGuide "
    "Library Measure NamingSystem OperationDefinition PlanDefinition Questionnaire SearchParameter StructureDefinition StructureMap ValueSet"
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


def test_every_role_is_somebody_here():
    assert {actor["role"] for actor in ACTORS.values()} == set(EXPECTED)

"""One patient's record: a resource of each type that the policy names for patients, and of some that it names for nobody.

Each text in it ends in a word that is nowhere else (`secret`), so that a byte of it in the wrong answer shows.
"""

from __future__ import annotations

import base64

from tests.builders import NHS_NUMBER
from tests.security.elements import BUDGETS, PHB, Resource, coded, consent, extension, ref, secret

NUMBERS = {"jill": "9000000009", "mo": "9000000017", "asha": "9000000025", "ted": "9000000033"}


class Around:
    """Who is around a patient: what makes a record one's own."""

    def __init__(self, commissioner: str, practice: str, provider: str, trust: str) -> None:
        self.commissioner = f"Organization/{commissioner}"
        self.practice = f"Organization/{practice}"
        self.provider = f"Organization/{provider}"
        self.trust = f"Organization/{trust}"


AROUND = {
    "jill": Around("north", "oak", "river", "harbour"),
    "mo": Around("north", "elm", "lantern", "inland"),
    "asha": Around("south", "oak", "lantern", "inland"),
    "ted": Around("south", "elm", "lantern", "inland"),
}


class Whose:
    """A patient, and the names under which what is theirs is found."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.around = AROUND[name]
        self.patient = ref(f"Patient/{name}")
        self.account = f"Account/{name}-account"
        self.plan = f"CarePlan/{name}-careplan"
        self.letter = f"DocumentReference/{name}-documentreference"

    def said(self, kind: str) -> str:
        """A text of this kind, by which it is known whose it is."""
        return f"{self.name} {kind} {secret(self.name)}"


def record(of: str) -> dict[str, Resource]:
    """One patient's record by type, under `<patient>-<type>`, the Patient under the patient's name."""
    made = {type_: content for part in PARTS for type_, content in part(Whose(of)).items()}
    ids = {type_: of if type_ == "Patient" else f"{of}-{type_.lower()}" for type_ in made}
    return {type_: {"resourceType": type_, **content, "id": ids[type_]} for type_, content in made.items()}


def _person(whose: Whose) -> dict[str, Resource]:
    """The patient."""
    return {
        "Patient": {
            "identifier": [{"system": NHS_NUMBER, "value": NUMBERS[whose.name]}],
            "active": True,
            "name": [{"family": whose.said("family"), "given": [whose.said("given")]}],
            "telecom": [{"system": "phone", "value": whose.said("phone")}],
            "birthDate": "1968-05-11",
            "address": [{"city": whose.said("city")}],
            "generalPractitioner": [ref(whose.around.practice)],
            "managingOrganization": ref(whose.around.trust),
        },
    }


def _money(whose: Whose) -> dict[str, Resource]:
    """What the budget is, and what was bought and paid with it."""
    return {
        "Account": {
            "identifier": [{"system": BUDGETS, "value": f"B-{whose.name}"}],
            "status": "active",
            "name": whose.said("budget"),
            "subject": [whose.patient],
            "owner": ref(whose.around.commissioner),
            "extension": [extension("phb-care-plan", valueReference=ref(whose.plan))],
        },
        "ChargeItem": {
            "identifier": [{"system": f"{PHB}/Id/phb-purchase-reference", "value": f"P-{whose.name}"}],
            "status": "billable",
            "definitionCanonical": [f"{PHB}/ChargeItemDefinition/massage"],
            "code": coded("therapy", text="Massage"),
            "subject": whose.patient,
            "account": [ref(whose.account)],
            "occurrenceDateTime": "2026-10-09",
            "performingOrganization": ref(whose.around.provider),
            "supportingInformation": [ref(whose.letter)],
            "quantity": {"value": 1},
            "note": [{"text": whose.said("note")}],
        },
        "Coverage": {
            "status": "active",
            "beneficiary": whose.patient,
            "payor": [ref(whose.around.commissioner)],
            "subscriberId": whose.said("cover"),
        },
        "Invoice": {
            "status": "issued",
            "subject": whose.patient,
            "account": ref(whose.account),
            "issuer": ref(whose.around.provider),
            "note": [{"text": whose.said("invoice")}],
        },
        "PaymentReconciliation": {
            "status": "active",
            "created": "2026-10-10",
            "paymentDate": "2026-10-11",
            "paymentAmount": {"value": 45, "currency": "GBP"},
            "disposition": whose.said("payment"),
            "outcome": "complete",
            "paymentIssuer": ref(whose.around.commissioner),
            "paymentIdentifier": {"system": f"{PHB}/Id/phb-payment-reference", "value": f"PAY-{whose.name}"},
            "extension": paid(whose.account, whose.around.provider),
        },
    }


def paid(account: str, payee: str) -> list[Resource]:
    return [extension("phb-account", valueReference=ref(account)), extension("phb-payee", valueReference=ref(payee))]


def _plan(whose: Whose) -> dict[str, Resource]:
    """What is planned, who does it, and the papers of it."""
    return {
        "CarePlan": {
            "status": "active",
            "intent": "plan",
            "title": whose.said("plan"),
            "subject": whose.patient,
            "goal": [ref(f"Goal/{whose.name}-goal")],
            "careTeam": [ref(f"CareTeam/{whose.name}-careteam")],
            "supportingInfo": [
                ref(f"RiskAssessment/{whose.name}-riskassessment"),
                ref(f"QuestionnaireResponse/{whose.name}-questionnaireresponse"),
            ],
        },
        "CareTeam": {
            "status": "active",
            "name": whose.said("team"),
            "subject": whose.patient,
            "participant": [{"member": ref(whose.around.practice)}],
        },
        "Goal": {"lifecycleStatus": "active", "description": {"text": whose.said("goal")}, "subject": whose.patient},
        "RiskAssessment": {"status": "final", "mitigation": whose.said("risk"), "subject": whose.patient},
        "DocumentReference": {
            "status": "current",
            "description": whose.said("letter"),
            "subject": whose.patient,
            "content": [{"attachment": {"url": f"Binary/{whose.name}-binary", "title": whose.said("title")}}],
        },
        "Binary": {
            "contentType": "text/plain",
            "securityContext": ref(whose.letter),
            "data": base64.b64encode(whose.said("content").encode()).decode(),
        },
    }


def _dealings(whose: Whose) -> dict[str, Resource]:
    """What people have to do with one another: tasks, rights, letters."""
    return {
        "Task": {
            "status": "requested",
            "intent": "order",
            "description": whose.said("task"),
            "for": whose.patient,
            "owner": ref(whose.around.commissioner),
        },
        "Consent": consent(
            f"{whose.name}-consent", f"Patient/{whose.name}", f"Organization/{whose.name}-nobody", "view"
        ),
        "RelatedPerson": {"patient": whose.patient, "name": [{"text": whose.said("relation")}]},
        "Communication": {
            "status": "completed",
            "subject": whose.patient,
            "about": [ref(whose.account)],
            "payload": [{"contentString": whose.said("said")}],
        },
        "QuestionnaireResponse": {
            "status": "completed",
            "subject": whose.patient,
            "item": [{"linkId": "1", "answer": [{"valueString": whose.said("answer")}]}],
        },
    }


def _findings(whose: Whose) -> dict[str, Resource]:
    """What was found and what happened, of a clinical record."""
    return {
        "AdverseEvent": {"actuality": "actual", "subject": whose.patient, "event": {"text": whose.said("event")}},
        "AllergyIntolerance": {
            "clinicalStatus": coded("active", "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"),
            "patient": whose.patient,
            "code": {"text": whose.said("allergy")},
        },
        "Appointment": {
            "status": "booked",
            "start": "2026-12-01T09:00:00Z",
            "end": "2026-12-01T10:00:00Z",
            "description": whose.said("appointment"),
            "participant": [{"actor": whose.patient, "status": "accepted"}],
        },
        "ClinicalImpression": {"status": "completed", "summary": whose.said("impression"), "subject": whose.patient},
        "Condition": {"code": {"text": whose.said("condition")}, "subject": whose.patient},
        "Device": {
            "patient": whose.patient,
            "deviceName": [{"name": whose.said("device"), "type": "user-friendly-name"}],
        },
        "DiagnosticReport": {"status": "final", "code": {"text": whose.said("report")}, "subject": whose.patient},
        "Encounter": {
            "status": "finished",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
            "reasonCode": [{"text": whose.said("encounter")}],
            "subject": whose.patient,
        },
        "EpisodeOfCare": {"status": "active", "patient": whose.patient, "type": [{"text": whose.said("episode")}]},
        "FamilyMemberHistory": {
            "status": "completed",
            "patient": whose.patient,
            "relationship": coded("FTH", "http://terminology.hl7.org/CodeSystem/v3-RoleCode"),
            "name": whose.said("father"),
        },
    }


def _care(whose: Whose) -> dict[str, Resource]:
    """What was done and given, of a clinical record."""
    return {
        "Flag": {"status": "active", "code": {"text": whose.said("flag")}, "subject": whose.patient},
        "Immunization": {
            "status": "completed",
            "vaccineCode": {"text": whose.said("vaccine")},
            "patient": whose.patient,
            "occurrenceDateTime": "2026-01-02",
        },
        "List": {"status": "current", "mode": "working", "title": whose.said("list"), "subject": whose.patient},
        "MedicationRequest": {
            "status": "active",
            "intent": "order",
            "medicationCodeableConcept": {"text": whose.said("medicine")},
            "subject": whose.patient,
        },
        "MedicationStatement": {
            "status": "active",
            "medicationCodeableConcept": {"text": whose.said("medicine")},
            "subject": whose.patient,
        },
        "Observation": {
            "status": "final",
            "category": [coded("vital-signs", "http://terminology.hl7.org/CodeSystem/observation-category")],
            "code": {"text": whose.said("observation")},
            "subject": whose.patient,
        },
        "Procedure": {"status": "completed", "code": {"text": whose.said("procedure")}, "subject": whose.patient},
        "ServiceRequest": {
            "status": "active",
            "intent": "order",
            "code": {"text": whose.said("service")},
            "subject": whose.patient,
        },
    }


def _others(whose: Whose) -> dict[str, Resource]:
    """Who did it, and what the policy names for no patient."""
    return {
        "Provenance": {
            "target": [ref(whose.account)],
            "recorded": "2026-10-09T09:00:00Z",
            "agent": [{"who": {"display": whose.said("agent")}}],
        },
        "Basic": {"code": {"text": whose.said("basic")}, "subject": whose.patient},
        "Media": {"status": "completed", "subject": whose.patient, "content": {"title": whose.said("media")}},
        "Person": {"name": [{"text": whose.said("person")}], "link": [{"target": whose.patient}]},
    }


PARTS = (_person, _money, _plan, _dealings, _findings, _care, _others)

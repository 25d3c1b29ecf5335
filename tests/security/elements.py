"""What the records of these tests are written with: references, codes, extensions, labels, consents, and words that give them away."""

from __future__ import annotations

from typing import Any

PHB = "https://fhir.phb.nhs.example"
LABELS = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
BUDGETS = f"{PHB}/Id/phb-budget-reference"
ODS = "https://fhir.nhs.uk/Id/ods-organization-code"

Resource = dict[str, Any]


def secret(of: str) -> str:
    """The word that only the record of this patient has in it; nobody ever sends it."""
    return f"zq{of}zq"


def ref(reference: str) -> dict[str, str]:
    return {"reference": reference}


def coded(code: str, system: str = "http://codes.example", text: str = "") -> Resource:
    return {"coding": [{"system": system, "code": code}], **({"text": text} if text else {})}


def extension(name: str, **value: Any) -> Resource:
    return {"url": f"{PHB}/StructureDefinition/{name}", **value}


def labelled(resource: Resource, *codes: str) -> Resource:
    """The resource with security labels of v3 Confidentiality."""
    return {**resource, "meta": {"security": [{"system": LABELS, "code": code} for code in codes]}}


def consent(id_: str, patient: str, actor: str, *actions: str, accounts: tuple[str, ...] = (), **more: Any) -> Resource:
    """A Consent that lets somebody act for a patient; `more` replaces elements of it, `provision_…` those of its provision."""
    provision = {
        "type": "permit",
        "period": {"start": "2026-01-01", "end": "2028-01-01"},
        "actor": [{"role": coded("DELEGATEE"), "reference": ref(actor)}],
        "action": [coded(action, f"{PHB}/CodeSystem/phb-consent-action") for action in actions],
        **(
            {"data": [{"meaning": "dependents", "reference": ref(account)} for account in accounts]} if accounts else {}
        ),
    }
    inner = {name.removeprefix("provision_"): value for name, value in more.items() if name.startswith("provision_")}
    outer = {name: value for name, value in more.items() if not name.startswith("provision_")}
    return {
        "resourceType": "Consent",
        "id": id_,
        "status": "active",
        "scope": coded("patient-privacy", "http://terminology.hl7.org/CodeSystem/consentscope"),
        "category": [coded("INFA", "http://terminology.hl7.org/CodeSystem/v3-ActCode")],
        "patient": ref(patient),
        "policyRule": coded("consent", f"{PHB}/CodeSystem/phb-legal-basis"),
        "provision": {**provision, **inner},
        **outer,
    }


def thing(type_: str, id_: str, **more: Any) -> Resource:
    return {"resourceType": type_, "id": id_, **more}


PLAN = "CarePlan CareTeam Goal RiskAssessment"
MONEY = "Account ChargeItem Coverage Invoice PaymentReconciliation"
CLINICAL = (
    "AllergyIntolerance Appointment ClinicalImpression Condition Device DiagnosticReport Encounter EpisodeOfCare "
    "FamilyMemberHistory Flag Immunization List MedicationRequest MedicationStatement Observation Procedure ServiceRequest"
)
ABOUT_PEOPLE = (
    f"Patient {MONEY} {PLAN} DocumentReference Binary Task Consent RelatedPerson Communication QuestionnaireResponse {CLINICAL} "
    "Provenance AuditEvent Group MeasureReport"
)

"""Each invariant of R4 with the least that breaks it, and its twin that keeps it.

A case is an element as it stands in its resource, given by the place the invariant is stated on. Where the rest of the
resource matters, it is given too.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from phb_fhir.validation.invariants import by_fhirpath, hold, rules_of
from tests.validation.elements import frame_of, stated

UCUM = "http://unitsofmeasure.org"
TERMS = "http://terminology.hl7.org/CodeSystem"
XHTML = '<div xmlns="http://www.w3.org/1999/xhtml">'
IN_ERROR = {"coding": [{"system": f"{TERMS}/condition-ver-status", "code": "entered-in-error"}]}
ALLERGY_IN_ERROR = {"coding": [{"system": f"{TERMS}/allergyintolerance-verification", "code": "entered-in-error"}]}
ACTIVE, RESOLVED = (
    {"coding": [{"system": f"{TERMS}/condition-clinical", "code": code}]} for code in ("active", "resolved")
)
TEXT, REF = {"text": "x"}, {"reference": "Patient/1"}


class Case(NamedTuple):
    """`place` is where the invariant is stated."""

    place: str
    key: str
    bad: Any
    good: Any
    around: Any = None  # element → resource

    def __str__(self) -> str:
        return f"{self.place} {self.key}"


def case(place: str, key: str, bad: Any, good: Any, around: Any = None) -> Case:
    return Case(place, key, bad, good, around)


def both(place: str, key: str, one: str, other: str, value: Any = "x") -> Case:
    """Two elements that exclude each other."""
    return Case(place, key, {one: value, other: value}, {one: value})


def lacks(place: str, key: str, given: str, lacking: str, value: Any = "x") -> Case:
    """An element that needs another."""
    return Case(place, key, {given: value}, {given: value, lacking: value})


def none(place: str, key: str, given: str, value: Any = "x") -> Case:
    """None of several elements is there, of which one must be."""
    return Case(place, key, {"id": "1"}, {given: value})


def snapshot(*elements: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"resourceType": "StructureDefinition", "snapshot": {"element": list(elements)}, **more}


def differential(*elements: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"resourceType": "StructureDefinition", "differential": {"element": list(elements)}, **more}


def bundle(kind: str, *entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, **({"entry": list(entries)} if entries else {}), **more}


def of_type(resource_type: str, **rest: Any) -> dict[str, Any]:
    return {"resourceType": resource_type, **rest}


PATIENT = of_type("Patient", id="p", contact=[REF])
FULL = {"fullUrl": "urn:uuid:1", "resource": PATIENT}
ITEM = "Questionnaire.item"
DEF = "StructureDefinition"
WITH_CHILD = {"linkId": "1", "item": [{"linkId": "2"}]}
CODED = {"coding": [{"system": "s", "code": "c"}]}

CASES = [
    # every element and resource
    case("Element", "ele-1", {"id": "1"}, {"id": "1", "extension": [{"url": "u", "valueCode": "c"}]}),
    case("Extension", "ext-1", {"url": "u"}, {"url": "u", "valueString": "x"}),
    case("DomainResource", "dom-2",
         of_type("Patient", contained=[of_type("Patient", id="a", contained=[of_type("Patient", id="b")])]),
         of_type("Patient", contained=[of_type("Patient", id="a")])),
    case("DomainResource", "dom-3",
         of_type("Patient", contained=[of_type("Organization", id="a")], managingOrganization={"reference": "#b"}),
         of_type("Patient", contained=[of_type("Organization", id="a")], managingOrganization={"reference": "#a"})),
    case("DomainResource", "dom-4", of_type("Patient", contained=[of_type("Patient", meta={"versionId": "1"})]),
         of_type("Patient", contained=[of_type("Patient", meta={"source": "urn:x"})])),
    case("DomainResource", "dom-5", of_type("Patient", contained=[of_type("Patient", meta={"security": [{"code": "R"}]})]),
         of_type("Patient", meta={"security": [{"code": "R"}]}, contained=[of_type("Patient", meta={"source": "urn:x"})])),
    case("DomainResource", "dom-6", of_type("Patient"), of_type("Patient", text={"status": "generated", "div": f"{XHTML}x</div>"})),
    # data types
    case("Reference", "ref-1", {"reference": "#b"}, {"reference": "#a"},
         lambda node: of_type("Patient", contained=[of_type("Organization", id="a")], managingOrganization=node)),
    case("Period", "per-1", {"start": "2026-04-02", "end": "2026-04-01"}, {"start": "2026-04-01", "end": "2026-04-01"}),
    case("Period", "per-1", {"start": "2026-04-02", "end": "2026-03"}, {"start": "2026-04-02", "end": "2026-04"}),
    case("Period", "per-1", {"start": "2027", "end": "2026-04-01"}, {"start": "2026", "end": "2026-04-01"}),
    case("Range", "rng-2", {"low": {"value": 2, "unit": "mg"}, "high": {"value": 1, "unit": "mg"}},
         {"low": {"value": 2, "unit": "mg"}, "high": {"value": 10, "unit": "mg"}}),
    case("Ratio", "rat-1", {"numerator": {"value": 1}}, {"numerator": {"value": 1}, "denominator": {"value": 2}}),
    case("Quantity", "qty-3", {"value": 1, "code": "mg"}, {"value": 1, "code": "mg", "system": UCUM}),
    case("Age", "age-1", {"value": 0, "code": "a", "system": UCUM}, {"value": 1, "code": "a", "system": UCUM}),
    case("Count", "cnt-3", {"value": Decimal("1.5"), "code": "1", "system": UCUM}, {"value": 1, "code": "1", "system": UCUM}),
    case("Distance", "dis-1", {"value": 1, "code": "km", "system": "urn:x"}, {"value": 1, "code": "km", "system": UCUM}),
    case("Duration", "drt-1", {"code": "h", "system": UCUM}, {"value": 1, "code": "h", "system": UCUM}),
    lacks("ContactPoint", "cpt-2", "value", "system"),
    lacks("Attachment", "att-1", "data", "contentType"),
    none("Expression", "exp-1", "expression"),
    lacks("Timing.repeat", "tim-1", "duration", "durationUnit"),
    lacks("Timing.repeat", "tim-2", "period", "periodUnit"),
    case("Timing.repeat", "tim-4", {"duration": -1}, {"duration": 0}),
    case("Timing.repeat", "tim-5", {"period": -1}, {"period": 0}),
    lacks("Timing.repeat", "tim-6", "periodMax", "period", 1),
    lacks("Timing.repeat", "tim-7", "durationMax", "duration", 1),
    lacks("Timing.repeat", "tim-8", "countMax", "count", 1),
    case("Timing.repeat", "tim-9", {"offset": 10, "when": ["CM"]}, {"offset": 10, "when": ["ACM"]}),
    both("Timing.repeat", "tim-10", "timeOfDay", "when", ["x"]),
    both("TriggerDefinition", "trd-1", "data", "timingDate", ["2026-01-01"]),
    lacks("TriggerDefinition", "trd-2", "condition", "data", [{}]),
    case("TriggerDefinition", "trd-3", {"type": "data-added"}, {"type": "data-added", "data": [{"type": "Patient"}]}),
    case("DataRequirement.codeFilter", "drq-1", {"path": "x", "searchParam": "y"}, {"path": "x"}),
    case("DataRequirement.dateFilter", "drq-2", {"id": "1"}, {"searchParam": "y"}),
    case("Narrative.div", "txt-1", f"{XHTML}<form>x</form></div>", f"{XHTML}<p>x</p></div>"),
    case("Narrative.div", "txt-2", f"{XHTML}<p> </p></div>", f"{XHTML}<p>x</p></div>"),
    # people and organisations
    none("Patient.contact", "pat-1", "name", {"family": "x"}),
    none("Organization", "org-1", "name"),
    case("Organization.address", "org-2", {"use": "home"}, {"use": "work"}),
    case("Organization.telecom", "org-3", {"use": "home"}, {"use": "work"}),
    none("InsurancePlan", "ipn-1", "name"),
    case("CareTeam.participant", "ctm-1", {"onBehalfOf": REF, "member": {"reference": "#a"}},
         {"onBehalfOf": REF, "member": {"reference": "#b"}},
         lambda node: of_type("CareTeam", contained=[of_type("Patient", id="a"), of_type("Practitioner", id="b")],
                              participant=[node])),
    # care and work
    both("CarePlan.activity", "cpl-3", "detail", "reference", REF),
    case("Task", "inv-1", of_type("Task", authoredOn="2026-04-02", lastModified="2026-04-01"),
         of_type("Task", authoredOn="2026-04-01", lastModified="2026-04-02T10:00:00Z")),
    case("RequestGroup.action", "rqg-1", {"resource": REF, "action": [{}]}, {"resource": REF}),
    lacks("Goal.target", "gol-1", "detailString", "measure"),
    lacks("ServiceRequest", "prr-1", "orderDetail", "code"),
    case("CoverageEligibilityResponse.insurance.item", "ces-1", {"category": TEXT, "productOrService": TEXT}, {"category": TEXT}),
    none("Appointment.participant", "app-1", "actor", REF),
    lacks("Appointment", "app-2", "start", "end", "2026-01-01T10:00:00Z"),
    case("Appointment", "app-3", {"status": "booked"}, {"status": "proposed"}),
    case("Appointment", "app-4", of_type("Appointment", status="booked", cancelationReason=TEXT),
         of_type("Appointment", status="cancelled", cancelationReason=TEXT)),
    none("AppointmentResponse", "apr-1", "actor", REF),
    none("Consent", "ppc-1", "policyRule", TEXT),
    *(case("Consent", key, {"scope": {"coding": [{"system": "something", "code": code}]}},
           {"scope": {"coding": [{"system": "something", "code": code}]}, "patient": REF})
      for key, code in (("ppc-2", "patient-privacy"), ("ppc-3", "research"), ("ppc-4", "adr"), ("ppc-5", "treatment"))),
    both("List", "lst-1", "emptyReason", "entry", [{}]),
    case("List", "lst-2", {"mode": "working", "entry": [{"deleted": True}]}, {"mode": "changes", "entry": [{"deleted": True}]}),
    case("List", "lst-3", {"mode": "snapshot", "entry": [{"date": "2026-01-01"}]},
         {"mode": "working", "entry": [{"date": "2026-01-01"}]}),
    case("Group", "grp-1", {"actual": False, "member": [{"entity": REF}]}, {"actual": True, "member": [{"entity": REF}]}),
    case("Linkage", "lnk-1", {"item": [{"type": "source"}]}, {"item": [{"type": "source"}, {"type": "alternate"}]}),
    none("NutritionOrder", "nor-1", "supplement", [TEXT]),
    both("AuditEvent.entity", "sev-1", "name", "query"),
    # clinical
    case("AllergyIntolerance", "ait-1", {"code": TEXT}, {"code": TEXT, "verificationStatus": ALLERGY_IN_ERROR}),
    case("AllergyIntolerance", "ait-2", {"clinicalStatus": ACTIVE, "verificationStatus": ALLERGY_IN_ERROR},
         {"clinicalStatus": ACTIVE}),
    none("Condition.stage", "con-1", "summary", TEXT),
    none("Condition.evidence", "con-2", "code", [TEXT]),
    case("Condition", "con-3", {"category": [TEXT]}, {"category": [TEXT], "verificationStatus": IN_ERROR}),
    case("Condition", "con-4", {"abatementDateTime": "2026", "clinicalStatus": ACTIVE},
         {"abatementDateTime": "2026", "clinicalStatus": RESOLVED}),
    case("Condition", "con-5", {"verificationStatus": IN_ERROR, "clinicalStatus": ACTIVE}, {"verificationStatus": IN_ERROR}),
    none("Observation.referenceRange", "obs-3", "text"),
    both("Observation", "obs-6", "dataAbsentReason", "valueQuantity", {"value": 1}),
    case("Observation", "obs-7", of_type("Observation", code=CODED, valueString="x", component=[{"code": CODED}]),
         of_type("Observation", code=CODED, component=[{"code": CODED}])),
    none("Immunization.education", "imm-1", "reference"),
    none("ImmunizationRecommendation.recommendation", "imr-1", "targetDisease", TEXT),
    none("MedicationAdministration.dosage", "mad-1", "rateQuantity", {"value": 1}),
    case("MedicationDispense", "mdd-1", {"whenPrepared": "2026-02-01", "whenHandedOver": "2026-01-01"},
         {"whenPrepared": "2026-01-01", "whenHandedOver": "2026-02-01"}),
    both("FamilyMemberHistory", "fhs-1", "ageString", "bornString"),
    lacks("FamilyMemberHistory", "fhs-2", "estimatedAge", "ageString", True),
    case("RiskAssessment.prediction", "ras-2", {"probabilityDecimal": 101}, {"probabilityDecimal": 100}),
    case("RiskAssessment.prediction.probability", "ras-1", {"low": {"value": 1, "code": "mg", "system": UCUM}},
         {"low": {"value": 1, "code": "%", "system": UCUM}}),
    case("MolecularSequence", "msq-3", {"coordinateSystem": 2}, {"coordinateSystem": 1}),
    lacks("MolecularSequence.referenceSeq", "msq-5", "chromosome", "genomeBuild"),
    case("MolecularSequence.referenceSeq", "msq-6", {"genomeBuild": "x", "referenceSeqString": "y"}, {"genomeBuild": "x"}),
    # documents, Bundles, messages
    none("Composition.section", "cmp-1", "text", TEXT),
    both("Composition.section", "cmp-2", "emptyReason", "entry", [REF]),
    case("Bundle", "bdl-1", {"type": "batch", "total": 1}, {"type": "searchset", "total": 1}),
    case("Bundle", "bdl-2", bundle("batch", {"search": {"mode": "match"}}), bundle("searchset", {"search": {"mode": "match"}})),
    case("Bundle", "bdl-3", bundle("batch", FULL), bundle("batch", {**FULL, "request": {"method": "POST", "url": "Patient"}})),
    case("Bundle", "bdl-4", bundle("collection", {**FULL, "response": {"status": "200"}}),
         bundle("batch-response", {**FULL, "response": {"status": "200"}})),
    none("Bundle.entry", "bdl-5", "resource", PATIENT),
    case("Bundle", "bdl-7", bundle("collection", FULL, FULL), bundle("history", FULL, FULL)),
    case("Bundle.entry", "bdl-8", {"fullUrl": "http://x/Patient/1/_history/2"}, {"fullUrl": "http://x/Patient/1"}),
    case("Bundle", "bdl-9", bundle("document", identifier={"value": "1"}),
         bundle("document", identifier={"system": "urn:x", "value": "1"})),
    case("Bundle", "bdl-10", bundle("document"), bundle("document", timestamp="2026-01-01T00:00:00Z")),
    case("Bundle", "bdl-11", bundle("document", FULL), bundle("document", {"resource": of_type("Composition")}, FULL)),
    case("Bundle", "bdl-12", bundle("message", FULL), bundle("message", {"resource": of_type("MessageHeader")}, FULL)),
    case("MessageDefinition.focus", "md-1", {"max": "0"}, {"max": "1"}),
    case("Parameters.parameter", "inv-1", {"valueString": "x", "resource": PATIENT}, {"valueString": "x"}),
    # Questionnaire
    case(ITEM, "que-1", {"type": "group"}, {"type": "group", "item": [WITH_CHILD]}),
    case("Questionnaire", "que-2", of_type("Questionnaire", item=[WITH_CHILD, {"linkId": "2"}]),
         of_type("Questionnaire", item=[WITH_CHILD, {"linkId": "3"}])),
    case(ITEM, "que-3", {"type": "display", "code": [{"code": "x"}]}, {"type": "group", "code": [{"code": "x"}]}),
    both(ITEM, "que-4", "answerOption", "answerValueSet"),
    case(ITEM, "que-5", {"type": "boolean", "answerValueSet": "urn:x"}, {"type": "choice", "answerValueSet": "urn:x"}),
    case(ITEM, "que-6", {"type": "display", "required": True}, {"type": "string", "required": True}),
    case("Questionnaire.item.enableWhen", "que-7", {"operator": "exists", "answerString": "x"},
         {"operator": "exists", "answerBoolean": False}),
    case(ITEM, "que-8", {"type": "group", "initial": [{"valueString": "x"}]}, {"type": "string", "initial": [{"valueString": "x"}]}),
    case(ITEM, "que-9", {"type": "display", "readOnly": False}, {"type": "group", "readOnly": False}),
    case(ITEM, "que-10", {"type": "date", "maxLength": 8}, {"type": "text", "maxLength": 8}),
    both(ITEM, "que-11", "answerOption", "initial", [{}]),
    case(ITEM, "que-12", {"enableWhen": [{}, {}]}, {"enableWhen": [{}, {}], "enableBehavior": "all"}),
    case(ITEM, "que-13", {"initial": [{}, {}]}, {"initial": [{}, {}], "repeats": True}),
    both("QuestionnaireResponse.item", "qrs-1", "answer", "item", [{}]),
    # terminology
    none("ValueSet.compose.include", "vsd-1", "system"),
    lacks("ValueSet.compose.include", "vsd-2", "concept", "system"),
    both("ValueSet.compose.include", "vsd-3", "concept", "filter", [{}]),
    none("ValueSet.expansion.contains", "vsd-6", "display"),
    case("ValueSet.expansion.contains", "vsd-9", {"display": "x"}, {"display": "x", "abstract": True}),
    lacks("ValueSet.expansion.contains", "vsd-10", "code", "system"),
    case("CodeSystem", "csd-1", of_type("CodeSystem", concept=[{"code": "a", "concept": [{"code": "a"}]}]),
         of_type("CodeSystem", concept=[{"code": "a", "concept": [{"code": "b"}]}])),
    case("ConceptMap.group.element.target", "cmd-1", {"equivalence": "narrower"}, {"equivalence": "narrower", "comment": "x"}),
    case("ConceptMap.group.unmapped", "cmd-2", {"mode": "fixed"}, {"mode": "fixed", "code": "x"}),
    case("ConceptMap.group.unmapped", "cmd-3", {"mode": "other-map"}, {"mode": "other-map", "url": "x"}),
    case("NamingSystem", "nsd-1", {"kind": "root", "uniqueId": [{"type": "uuid"}]}, {"kind": "root", "uniqueId": [{"type": "oid"}]}),
    case("NamingSystem", "nsd-2", {"uniqueId": [{"type": "oid", "preferred": True}] * 2},
         {"uniqueId": [{"type": "oid", "preferred": True}, {"type": "oid", "preferred": False}]}),
    # what a server says of itself
    none("CapabilityStatement", "cpb-1", "rest", [{}]),
    none("CapabilityStatement", "cpb-2", "description"),
    case("CapabilityStatement", "cpb-3", {"kind": "capability", "messaging": [{"endpoint": [{"address": "x"}]}]},
         {"kind": "instance", "messaging": [{"endpoint": [{"address": "x"}]}]}),
    case("CapabilityStatement", "cpb-7", {"document": [{"mode": "producer", "profile": "x"}] * 2},
         {"document": [{"mode": "producer", "profile": "x"}, {"mode": "consumer", "profile": "x"}]}),
    case("CapabilityStatement.rest", "cpb-9", {"resource": [{"type": "Patient"}] * 2}, {"resource": [{"type": "Patient"}]}),
    case("CapabilityStatement.rest.resource", "cpb-12", {"searchParam": [{"name": "a"}] * 2}, {"searchParam": [{"name": "a"}]}),
    *(row for place, keys in (("CapabilityStatement", ("cpb-14", "cpb-15", "cpb-16")),
                              ("TerminologyCapabilities", ("tcp-3", "tcp-4", "tcp-5")))
      for row in (case(place, keys[0], {"kind": "instance"}, {"kind": "instance", "implementation": {}}),
                  case(place, keys[1], {"kind": "capability", "implementation": {}}, {"kind": "capability", "software": {}}),
                  case(place, keys[2], {"kind": "requirements", "software": {}}, {"kind": "requirements"}))),
    case("TerminologyCapabilities.codeSystem", "tcp-1", {"version": [{"code": "1"}, {"isDefault": True}]},
         {"version": [{"code": "1"}, {"code": "2"}]}),
    none("TerminologyCapabilities", "tcp-2", "description"),
    none("OperationDefinition.parameter", "opd-1", "type"),
    case("OperationDefinition.parameter", "opd-2", {"type": "code", "searchType": "token"}, {"type": "string", "searchType": "token"}),
    case("OperationDefinition.parameter", "opd-3", {"type": "code", "targetProfile": ["x"]},
         {"type": "Reference", "targetProfile": ["x"]}),
    lacks("SearchParameter", "spd-1", "xpath", "xpathUsage"),
    case("SearchParameter", "spd-2", {"type": "token", "chain": ["x"]}, {"type": "reference", "chain": ["x"]}),
    lacks("StructureMap.group.rule.target", "smp-1", "element", "context"),
    lacks("StructureMap.group.rule.target", "smp-2", "context", "contextType"),
    case("ImplementationGuide", "ig-2",
         of_type("ImplementationGuide", fhirVersion=["4.0.1"], definition={"resource": [{"fhirVersion": ["3.0.2"]}]}),
         of_type("ImplementationGuide", fhirVersion=["4.0.1"], definition={"resource": [{"fhirVersion": ["4.0.1"]}]})),
    case("ImplementationGuide.definition", "ig-1", {"grouping": [{"id": "a"}], "resource": [{"groupingId": "b"}]},
         {"grouping": [{"id": "a"}], "resource": [{"groupingId": "a"}]}),
    case("Measure", "mea-1", {"group": [{"stratifier": [{"code": TEXT, "component": [{}]}]}]},
         {"group": [{"stratifier": [{"code": TEXT}]}]}),
    case("MeasureReport", "mrp-1", {"type": "data-collection", "group": [{}]}, {"type": "summary", "group": [{}]}),
    case("MeasureReport", "mrp-2", {"group": [{"stratifier": [{"stratum": [{"value": TEXT, "component": [{}]}]}]}]},
         {"group": [{"stratifier": [{"stratum": [{"value": TEXT}]}]}]}),
    # tests of servers
    *(case(place, key, {"operation": {}, "assert": {}}, {"operation": {}})
      for place, key in (("TestReport.setup.action", "inv-1"), ("TestReport.test.action", "inv-2"),
                         ("TestScript.setup.action", "tst-1"), ("TestScript.test.action", "tst-2"))),
    case("TestScript.metadata", "tst-4", {"capability": [{"description": "x"}]}, {"capability": [{"required": True}]}),
    case("TestScript.variable", "tst-3", {"expression": "x", "headerField": "x", "path": "x"}, {"expression": "x"}),
    *(case(f"TestScript.{part}.action.operation", key, {"targetId": "x", "url": "y"}, {"targetId": "x"})
      for part, key in (("setup", "tst-7"), ("test", "tst-8"), ("teardown", "tst-9"))),
    *(row for part, keys in (("setup", ("tst-5", "tst-10", "tst-12")), ("test", ("tst-6", "tst-11", "tst-13")))
      for row in (case(f"TestScript.{part}.action.assert", keys[0], {"path": "x", "expression": "y"}, {"path": "x"}),
                  case(f"TestScript.{part}.action.assert", keys[1], {"compareToSourceId": "x"},
                       {"compareToSourceId": "x", "compareToSourcePath": "y"}),
                  case(f"TestScript.{part}.action.assert", keys[2], {"direction": "request", "response": "okay"},
                       {"direction": "response", "response": "okay"}))),
    # StructureDefinition
    case(DEF, "sdf-1", snapshot({"path": "A"}, {"path": "A"}, derivation="specialization"),
         snapshot({"path": "A"}, {"path": "A.b"}, derivation="specialization")),
    none("StructureDefinition.mapping", "sdf-2", "uri"),
    case("StructureDefinition.snapshot", "sdf-3", {"element": [{"min": 0, "max": "1"}]},
         {"element": [{"min": 0, "max": "1", "definition": "x"}]}),
    case(DEF, "sdf-4", {"abstract": False}, {"abstract": True}),
    case(DEF, "sdf-5", {"type": "Extension", "derivation": "constraint"},
         {"type": "Extension", "derivation": "constraint", "context": [{}]}),
    none(DEF, "sdf-6", "differential", {"element": []}),
    case("StructureDefinition.snapshot", "sdf-8", {"element": [{"path": "Patient"}, {"path": "Account.name"}]},
         {"element": [{"path": "Patient"}, {"path": "Patient.name"}]},
         lambda node: of_type(DEF, kind="resource", type="Patient", snapshot=node)),
    case("StructureDefinition.differential", "sdf-8a", {"element": [{"path": "Patient"}, {"path": "Account.name"}]},
         {"element": [{"path": "Patient"}, {"path": "Patient.name"}]},
         lambda node: of_type(DEF, kind="resource", type="Patient", differential=node)),
    case("StructureDefinition.snapshot", "sdf-8b", {"element": [{"path": "x"}]}, {"element": [{"base": {"path": "x"}}]}),
    case(DEF, "sdf-9", differential({"path": "A", "label": "x"}), differential({"path": "A"}, {"path": "A.b", "label": "x"})),
    case("StructureDefinition.snapshot.element", "sdf-10", {"binding": {"strength": "example"}},
         {"binding": {"strength": "example", "description": "x"}}),
    case(DEF, "sdf-11", snapshot({"path": "Account"}, kind="resource", type="Patient"),
         snapshot({"path": "Patient"}, kind="resource", type="Patient")),
    case(DEF, "sdf-14", differential({"path": "A"}), differential({"path": "A", "id": "A"})),
    case(DEF, "sdf-15", snapshot({"path": "A", "type": [{"code": "x"}]}, kind="resource"), snapshot({"path": "A"}, kind="resource")),
    case(DEF, "sdf-15a", differential({"path": "A", "type": [{"code": "x"}]}, kind="resource"),
         differential({"path": "A"}, kind="resource")),
    case(DEF, "sdf-16", snapshot({"id": "A"}, {"id": "A"}), snapshot({"id": "A"}, {"id": "A.b"})),
    case(DEF, "sdf-17", differential({"id": "A"}, {"id": "A"}), differential({"id": "A"}, {"id": "A.b"})),
    case(DEF, "sdf-18", {"type": "Patient", "contextInvariant": ["true"]}, {"type": "Extension", "contextInvariant": ["true"]}),
    case(DEF, "sdf-19", snapshot({"type": [{"code": "a b"}]}, url="http://hl7.org/fhir/StructureDefinition/x"),
         snapshot({"type": [{"code": "Patient"}]}, url="http://hl7.org/fhir/StructureDefinition/x")),
    case("StructureDefinition.differential", "sdf-20", {"element": [{"path": "A", "slicing": {"rules": "open"}}]},
         {"element": [{"path": "A.b", "slicing": {"rules": "open"}}]}),
    case(DEF, "sdf-21", differential({"defaultValueString": "x"}, derivation="constraint"),
         differential({"defaultValueString": "x"}, derivation="specialization")),
    case(DEF, "sdf-22", differential({"defaultValueString": "x"}, url="http://hl7.org/fhir/StructureDefinition/x"),
         differential({"defaultValueString": "x"}, url="urn:x")),
    case(DEF, "sdf-23", differential({"path": "A", "sliceName": "x"}), differential({"path": "A.b", "sliceName": "x"})),
    # ElementDefinition
    none("ElementDefinition.slicing", "eld-1", "description"),
    case("ElementDefinition", "eld-2", {"min": 2, "max": "1"}, {"min": 2, "max": "10"}),
    case("ElementDefinition.max", "eld-3", "many", "*"),
    case("ElementDefinition.type", "eld-4", {"code": "string", "aggregation": ["contained"]},
         {"code": "Reference", "aggregation": ["contained"]}),
    case("ElementDefinition", "eld-5", {"contentReference": "#x", "type": [{"code": "string"}]}, {"contentReference": "#x"}),
    case("ElementDefinition", "eld-6", {"fixedString": "x", "type": [{}, {}]}, {"fixedString": "x", "type": [{}]}),
    case("ElementDefinition", "eld-7", {"patternString": "x", "type": [{}, {}]}, {"patternString": "x", "type": [{}]}),
    both("ElementDefinition", "eld-8", "patternString", "fixedString"),
    case("ElementDefinition.binding", "eld-12", {"valueSet": "ftp://x"}, {"valueSet": "https://x"}),
    case("ElementDefinition", "eld-13", {"type": [{"code": "code"}] * 2}, {"type": [{"code": "code"}, {"code": "string"}]}),
    case("ElementDefinition", "eld-14", {"constraint": [{"key": "a"}] * 2}, {"constraint": [{"key": "a"}, {"key": "b"}]}),
    both("ElementDefinition", "eld-15", "defaultValueString", "meaningWhenMissing"),
    case("ElementDefinition", "eld-16", {"sliceName": "a b"}, {"sliceName": "a/b-c_[x]@"}),
    case("ElementDefinition.type", "eld-17", {"code": "string", "targetProfile": ["x"]}, {"code": "canonical", "targetProfile": ["x"]}),
    lacks("ElementDefinition", "eld-18", "isModifier", "isModifierReason", True),
    case("ElementDefinition", "eld-19", {"path": "Patient.na me"}, {"path": "Patient.extension:a"}),
    case("ElementDefinition", "eld-20", {"path": "Patient.name_1"}, {"path": "Observation.value[x]"}),
    none("ElementDefinition.constraint", "eld-21", "expression"),
    lacks("ElementDefinition", "eld-22", "sliceIsConstraining", "sliceName"),
]  # fmt: skip
PLACES = {(place, invariant.key): (type_name, invariant) for place, type_name, invariant in stated()}
NAMES = sorted(place for place, key in PLACES if key.endswith("-0") and key != "cid-0")
CASES += [
    case(place, next(key for there, key in PLACES if there == place and key.endswith("-0")),
         of_type(place, name="a name"), of_type(place, name="AName"))
    for place in NAMES
]  # fmt: skip
CANNOT_FAIL = {
    ("ElementDefinition", "eld-11"),  # select() answers for each type, true or false; exists() asks only for an answer
    ("ChargeItemDefinition", "cid-0"),  # it is about the name, and a ChargeItemDefinition has none
}


def told(one: Case, value: Any) -> list[str]:
    """The keys of the invariants that the closure or FHIRPath of this case finds broken."""
    type_name, invariant = PLACES[one.place, one.key]
    resource = one.around(value) if one.around else value if one.place[0].isupper() and "." not in one.place else {}
    frame = frame_of({"resourceType": one.place.partition(".")[0], **resource})
    node = frame.resource if resource is value and type(value) is dict and "resourceType" in value else value
    rules = rules_of([invariant], type_name)
    holds = by_fhirpath(invariant, type_name).test(node, None, frame)
    issues = list(hold(rules, node, None, frame.at, frame))
    assert bool(issues) is not holds, "plain Python and FHIRPath disagree"
    assert all(issue.kind.value == "invariant" for issue in issues), issues
    assert all(f"({one.key})." in issue.text for issue in issues)
    return [issue.details["coding"][0]["code"] for issue in issues if issue.details]


@pytest.mark.parametrize("one", CASES, ids=str)
def test_what_breaks_an_invariant_is_told_and_its_twin_passes(one):
    assert (told(one, one.bad), told(one, one.good)) == ([one.key], [])


def test_every_invariant_of_r4_that_can_be_broken_has_such_a_case():
    assert {(one.place, one.key) for one in CASES} | CANNOT_FAIL >= {
        key for key in PLACES if not key[0].endswith(".extension")
    }

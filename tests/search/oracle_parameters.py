"""The search parameters that the oracle knows, by hand: the tables of R4's own pages of each type, as plain paths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


def _any(_: Any) -> bool:
    return True


@dataclass(frozen=True)
class Parameter:
    """`form` says what a path's elements are where their JSON does not; `system` is that of a `code`."""

    kind: str
    paths: tuple[str, ...]
    targets: tuple[str, ...] = ()
    form: str = ""
    system: str = ""
    keeps: Callable[[Any], bool] = _any
    components: tuple[Parameter, ...] = ()


def _token(*paths: str, form: str = "", system: str = "") -> Parameter:
    return Parameter("token", paths, form=form, system=system)


def _string(*paths: str, form: str = "") -> Parameter:
    return Parameter("string", paths, form=form)


def _date(*paths: str) -> Parameter:
    return Parameter("date", paths)


def _quantity(*paths: str) -> Parameter:
    return Parameter("quantity", paths)


def _reference(path: str, *targets: str) -> Parameter:
    return Parameter("reference", (path,), targets)


def _is_patient(element: Any) -> bool:
    """`where(resolve() is Patient)`: what the reference itself says."""
    return "Patient/" in element.get("reference", "")


def _patient(path: str) -> Parameter:
    return Parameter("reference", (path,), ("Patient",), keeps=_is_patient)


def _composite(paths: tuple[str, ...], *components: Parameter) -> Parameter:
    return Parameter("composite", paths, components=components)


def _of_kind(system: str, paths: tuple[str, ...]) -> Parameter:
    return Parameter("token", paths, form="telecom", keeps=lambda one: one.get("system") == system)


HL7 = "http://hl7.org/fhir/"
PEOPLE = ("Practitioner", "Organization", "Device", "Patient", "PractitionerRole", "RelatedPerson")

EVERY_TYPE = {
    "_id": _token("id"),
    "_lastUpdated": _date("meta.lastUpdated"),
    "_tag": _token("meta.tag"),
    "_security": _token("meta.security"),
    "_profile": Parameter("uri", ("meta.profile",)),
    "_source": Parameter("uri", ("meta.source",)),
}

AN_OBSERVATION = ("",)
A_COMPONENT = ("component",)

PARAMETERS: dict[str, dict[str, Parameter]] = {
    "Patient": {
        "active": _token("active"),
        "address": _string("address"),
        "address-city": _string("address.city"),
        "address-postalcode": _string("address.postalCode"),
        "address-use": _token("address.use", system=HL7 + "address-use"),
        "birthdate": _date("birthDate"),
        "death-date": _date("deceasedDateTime"),
        "email": _of_kind("email", ("telecom",)),
        "phone": _of_kind("phone", ("telecom",)),
        "telecom": _token("telecom", form="telecom"),
        "family": _string("name.family", form="family"),
        "given": _string("name.given"),
        "name": _string("name"),
        "gender": _token("gender", system=HL7 + "administrative-gender"),
        "general-practitioner": _reference("generalPractitioner", "Practitioner", "Organization", "PractitionerRole"),
        "identifier": _token("identifier"),
        "link": _reference("link.other", "Patient", "RelatedPerson"),
        "organization": _reference("managingOrganization", "Organization"),
    },
    "Organization": {
        "active": _token("active"),
        "identifier": _token("identifier"),
        "name": _string("name", "alias"),
        "partof": _reference("partOf", "Organization"),
    },
    "Account": {
        "identifier": _token("identifier"),
        "name": _string("name"),
        "owner": _reference("owner", "Organization"),
        "part-of": _reference("partOf", "Account"),
        "patient": _patient("subject"),
        "period": _date("servicePeriod"),
        "status": _token("status", system=HL7 + "account-status"),
        "subject": _reference(
            "subject",
            "Patient",
            "Device",
            "Practitioner",
            "PractitionerRole",
            "Location",
            "HealthcareService",
            "Organization",
        ),
        "type": _token("type"),
    },
    "CarePlan": {
        "activity-code": _token("activity.detail.code"),
        "activity-date": _date(
            "activity.detail.scheduledTiming", "activity.detail.scheduledPeriod", "activity.detail.scheduledString"
        ),
        "based-on": _reference("basedOn", "CarePlan"),
        "category": _token("category"),
        "condition": _reference("addresses", "Condition"),
        "date": _date("period"),
        "instantiates-canonical": _reference("instantiatesCanonical", "PlanDefinition"),
        "instantiates-uri": Parameter("uri", ("instantiatesUri",)),
        "intent": _token("intent", system=HL7 + "request-intent"),
        "part-of": _reference("partOf", "CarePlan"),
        "patient": _patient("subject"),
        "performer": _reference("activity.detail.performer", *PEOPLE, "CareTeam", "HealthcareService"),
        "status": _token("status", system=HL7 + "request-status"),
        "subject": _reference("subject", "Patient", "Group"),
    },
    "ChargeItem": {
        "account": _reference("account", "Account"),
        "code": _token("code"),
        "entered-date": _date("enteredDate"),
        "enterer": _reference("enterer", *PEOPLE),
        "factor-override": Parameter("number", ("factorOverride",)),
        "identifier": _token("identifier"),
        "occurrence": _date("occurrenceDateTime", "occurrencePeriod", "occurrenceTiming"),
        "patient": _patient("subject"),
        "performing-organization": _reference("performingOrganization", "Organization"),
        "price-override": _quantity("priceOverride"),
        "quantity": _quantity("quantity"),
        "service": _reference("service", "Observation", "Procedure"),
        "subject": _reference("subject", "Patient", "Group"),
    },
    "Task": {
        "authored-on": _date("authoredOn"),
        "business-status": _token("businessStatus"),
        "code": _token("code"),
        "focus": _reference("focus", "Patient", "Account", "CarePlan", "ChargeItem", "Task", "Observation"),
        "group-identifier": _token("groupIdentifier"),
        "identifier": _token("identifier"),
        "modified": _date("lastModified"),
        "owner": _reference("owner", *PEOPLE, "CareTeam", "HealthcareService"),
        "part-of": _reference("partOf", "Task"),
        "patient": _patient("for"),
        "period": _date("executionPeriod"),
        "priority": _token("priority", system=HL7 + "request-priority"),
        "status": _token("status", system=HL7 + "task-status"),
        "subject": _reference("for", "Patient", "Account", "CarePlan", "ChargeItem", "Task", "Observation"),
    },
    "Observation": {
        "category": _token("category"),
        "code": _token("code"),
        "combo-code": _token("code", "component.code"),
        "combo-value-quantity": _quantity("valueQuantity", "component.valueQuantity"),
        "component-code": _token("component.code"),
        "component-value-quantity": _quantity("component.valueQuantity"),
        "component-value-concept": _token("component.valueCodeableConcept"),
        "date": _date("effectiveDateTime", "effectivePeriod", "effectiveTiming", "effectiveInstant"),
        "derived-from": _reference("derivedFrom", "Observation", "Media"),
        "has-member": _reference("hasMember", "Observation", "QuestionnaireResponse"),
        "identifier": _token("identifier"),
        "patient": _patient("subject"),
        "performer": _reference("performer", *PEOPLE, "CareTeam"),
        "status": _token("status", system=HL7 + "observation-status"),
        "subject": _reference("subject", "Patient", "Group", "Device", "Location"),
        "value-concept": _token("valueCodeableConcept"),
        "value-date": _date("valueDateTime", "valuePeriod"),
        "value-quantity": _quantity("valueQuantity"),
        "value-string": _string("valueString", "valueCodeableConcept.text"),
        "code-value-quantity": _composite(AN_OBSERVATION, _token("code"), _quantity("valueQuantity")),
        "code-value-concept": _composite(AN_OBSERVATION, _token("code"), _token("valueCodeableConcept")),
        "code-value-string": _composite(AN_OBSERVATION, _token("code"), _string("valueString")),
        "code-value-date": _composite(AN_OBSERVATION, _token("code"), _date("valueDateTime", "valuePeriod")),
        "component-code-value-quantity": _composite(A_COMPONENT, _token("code"), _quantity("valueQuantity")),
        "component-code-value-concept": _composite(A_COMPONENT, _token("code"), _token("valueCodeableConcept")),
        "combo-code-value-quantity": _composite(("", "component"), _token("code"), _quantity("valueQuantity")),
    },
    "Condition": {
        "abatement-age": _quantity("abatementAge", "abatementRange"),
        "category": _token("category"),
        "clinical-status": _token("clinicalStatus"),
        "code": _token("code"),
        "evidence": _token("evidence.code"),
        "identifier": _token("identifier"),
        "onset-age": _quantity("onsetAge", "onsetRange"),
        "onset-date": _date("onsetDateTime", "onsetPeriod"),
        "onset-info": _string("onsetString"),
        "patient": _patient("subject"),
        "recorded-date": _date("recordedDate"),
        "subject": _reference("subject", "Patient", "Group"),
    },
    "PlanDefinition": {
        "status": _token("status", system=HL7 + "publication-status"),
        "title": _string("title"),
        "url": Parameter("uri", ("url",)),
    },
    "List": {
        "code": _token("code"),
        "item": _reference("entry.item"),
        "status": _token("status", system=HL7 + "list-status"),
    },
}
for _of_type in PARAMETERS.values():
    _of_type.update(EVERY_TYPE)

# by which reference resources of a type are part of others of it; and those that make a hierarchy of their own (§3.1.1.4.14)
HIERARCHIES = {"Organization": "partof", "Account": "part-of", "CarePlan": "part-of", "Task": "part-of"}
OWN_HIERARCHIES = {("CarePlan", "based-on")}

# which parameters put a resource into a patient's compartment (CompartmentDefinition/patient)
COMPARTMENT: dict[str, tuple[str, ...]] = {
    "Patient": ("link",),
    "Account": ("subject",),
    "CarePlan": ("patient", "performer"),
    "ChargeItem": ("subject",),
    "Observation": ("subject", "performer"),
    "Condition": ("patient",),
}

# what the oracle knows of UCUM: what a unit measures in, and how much of that it is
UNITS: dict[str, tuple[str, Decimal]] = {
    "g": ("g", Decimal(1)),
    "mg": ("g", Decimal("0.001")),
    "kg": ("g", Decimal(1000)),
    "m": ("m", Decimal(1)),
    "cm": ("m", Decimal("0.01")),
    "a": ("a", Decimal(1)),
}

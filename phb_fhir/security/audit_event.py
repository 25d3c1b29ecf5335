"""What an audit record says, as AuditEvents (profile phb-audit-event): for auditors, and for the person whose record it is.

A person asks who looked at their record, and gets what concerns them and nothing else. So a record about several people becomes
several events: one for each of them, with what was theirs, and one of the whole access, with the query as it ran and how much it
brought, which stands in nobody's record but that of a person who asked it (a query may name others). So it is with what was refused:
whose it would have been is told to them, and not to whoever was refused. An access to one person's record by reading or changing
it, or by that person, is one event.

Everything here is a function of the record and its place in the trail. Publishing twice makes the same events, with the same ids,
and `phb-fhir audit verify` holds what is published against what was sealed, byte by byte.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any, NamedTuple

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.reference import unversioned
from phb_fhir.security.audit import Record, Row, Who, moment_of

PROFILE = "https://fhir.phb.nhs.example/StructureDefinition/phb-audit-event"
SEQUENCE = "https://fhir.phb.nhs.example/StructureDefinition/phb-audit-sequence"
_CARE_TEAM_ROLE = "https://fhir.phb.nhs.example/CodeSystem/phb-care-team-role"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_ID_LENGTH = 40

# what each role is called, and its code in our own list of roles where it is one of a care team
ROLES: dict[str, tuple[str, str]] = {
    "person": ("the person", "person"),
    "delegate": ("delegate", "representative"),
    "care-coordinator": ("care co-ordinator", "care-coordinator"),
    "nhs-team": ("NHS team", ""),
    "broker": ("broker", "planning-support"),
    "peer-supporter": ("peer supporter", "peer-supporter"),
    "commissioner": ("commissioner", ""),
    "provider": ("provider", ""),
    "practice": ("practice", ""),
    "finance": ("finance", ""),
    "analyst": ("analyst", ""),
    "auditor": ("auditor", ""),
    "system": ("a system", ""),
}

# what people call things: one, several
WORDS: dict[str, tuple[str, str]] = {
    "Account": ("budget", "budgets"),
    "AuditEvent": ("record of who looked", "record of who looked"),
    "Binary": ("file", "files"),
    "CarePlan": ("care plan", "care plans"),
    "CareTeam": ("care team", "care teams"),
    "ChargeItem": ("purchase", "purchases"),
    "Condition": ("health condition", "health conditions"),
    "Consent": ("consent", "consents"),
    "Coverage": ("funding", "fundings"),
    "DocumentReference": ("document", "documents"),
    "Patient": ("personal details", "personal details"),
    "PaymentReconciliation": ("payment", "payments"),
    "Provenance": ("record of changes", "records of changes"),
    "QuestionnaireResponse": ("filled-in form", "filled-in forms"),
    "RelatedPerson": ("contact", "contacts"),
    "RiskAssessment": ("risk assessment", "risk assessments"),
}
_APART_SINCE = 2  # with which `Record.words` what a person asked about another is told to each by itself
_ALL_SINCE = 3  # with which a question about all types is called that, and not by its address alone
WORDED_SINCE = {"Binary": 1}  # with which `Record.words` a type is called so; before that, by its own name
# purposes of use (v3 ActReason), in words
PURPOSES: dict[str, str] = {
    "BTG": "breaking the glass",
    "CAREMGT": "for the management of care",
    "COVERAGE": "for funding",
    "ETREAT": "in an emergency",
    "FAMRQT": "as the family asked for",
    "HOPERAT": "to run the service",
    "HPAYMT": "for payment",
    "PATADMIN": "for administration",
    "PATRQT": "as the person asked for",
    "TREAT": "for treatment and care",
}
_TYPES_TOLD_MAX = 8  # in one sentence
_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")


class Verb(NamedTuple):
    """How an interaction is told: "looked at", "tried to look at"; its code as AuditEvent.action, and FHIR's for it."""

    did: str
    tried: str
    action: str
    code: str = ""


_LOOKED = ("looked at", "tried to look at", "R")
VERBS: dict[str, Verb] = {
    "read": Verb(*_LOOKED),
    "vread": Verb(*_LOOKED),
    "history-instance": Verb("looked at the history of", "tried to look at the history of", "R"),
    "history-type": Verb("looked at the history of", "tried to look at the history of", "R"),
    "history-system": Verb("looked at the history of", "tried to look at the history of", "R"),
    "search-type": Verb("looked at", "tried to look at", "E"),
    "search-system": Verb("looked at", "tried to look at", "E"),
    "create": Verb("added", "tried to add", "C"),
    "update": Verb("changed", "tried to change", "U"),
    "patch": Verb("changed", "tried to change", "U"),
    "delete": Verb("deleted", "tried to delete", "D"),
    "batch": Verb("sent several requests about", "tried to send several requests about", "E"),
    "transaction": Verb("changed together", "tried to change together", "E"),
    "backup": Verb("copied", "tried to copy", "R", "operation"),
    "restore": Verb("restored", "tried to restore", "C", "operation"),
}
_WHOLE = {
    "backup": "the whole record to the file",
    "restore": "the whole record from the file",
}  # what commands do with it
_DICOM = "http://dicom.nema.org/resources/ontology/DCM"
_REST = {"system": f"{_TERMINOLOGY}/audit-event-type", "code": "rest", "display": "RESTful Operation"}
_TYPES = {
    "backup": {"system": _DICOM, "code": "110106", "display": "Export"},
    "restore": {"system": _DICOM, "code": "110107", "display": "Import"},
}
_OPERATION = Verb("looked at", "tried to look at", "E", "operation")


class Place(NamedTuple):
    """A record's place in the trail: its number, the seal before it and its own, and when its block was sealed."""

    number: int
    before: bytes
    seal: bytes
    at: datetime


def events(record: Record, place: Place) -> list[Resource]:
    """The AuditEvents of a record, with their ids. They are `PROFILE`, whole but for `meta.versionId` and `lastUpdated`."""
    patients = record.patients
    if _is_one(record, patients):
        return [_event(record, place, patients[0] if patients else "", _shown(record, patients), is_whole=True)]
    nobodys = _shown(record, ()) if record.is_refused else tuple(row for row in record.what if len(row) == 1)
    of_each: dict[str, list[Row]] = {patient: [] for patient in patients}
    for row in record.what:
        for patient in row[1:]:
            of_each[patient].append(row)
    told = [_event(record, place, patient, tuple(rows), is_whole=False) for patient, rows in of_each.items()]
    return [_event(record, place, "", nobodys, is_whole=True), *told]


def _is_one(record: Record, patients: Sequence[str]) -> bool:
    """Whether one event tells all of it to everybody concerned: nobody else's is in it."""
    if not patients:
        return True
    is_own = len(patients) == 1 and record.who.user == f"Patient/{patients[0]}"
    # a person who asks about another has that among what they did, and the other is told by an event of their own
    is_anothers = record.who.user.startswith("Patient/") and record.words >= _APART_SINCE
    return is_own or (len(patients) == 1 and not record.query and not record.is_refused and not is_anothers)


def _shown(record: Record, patients: Sequence[str]) -> tuple[Row, ...]:
    """What the event of the whole tells of. Of what was refused, only what was asked for: a person who reads what they did
    themselves must not learn from it whether that is there, or whose it is.
    """
    if patients or not record.is_refused:
        return record.what
    return tuple(dict.fromkeys((unversioned(row[0]),) for row in record.what))


def id_of(place: Place, patient: str, *, is_whole: bool) -> str:
    """The id of an event. It tells nothing, so that nobody learns from it how much was done by others."""
    about = "" if is_whole else patient
    return hashlib.sha256(place.seal + about.encode()).hexdigest()[:_ID_LENGTH]


def _event(record: Record, place: Place, patient: str, rows: Sequence[Row], *, is_whole: bool) -> Resource:
    said = sentence(record, patient, rows)
    made: Resource = {
        "resourceType": "AuditEvent",
        "id": id_of(place, patient, is_whole=is_whole),
        "meta": {"profile": [PROFILE]},
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{escape(said)}</p></div>',
        },
        "extension": [_sequence(place)],
        "type": _TYPES.get(record.interaction, _REST),
        "subtype": _subtype(record),
        "action": _verb(record).action,
        "recorded": record.at,
        "outcome": "0" if not record.is_refused else "4" if record.status < 500 else "8",
        "outcomeDesc": _outcome(record, said, is_whole=is_whole),
    }
    if record.purpose:
        made["purposeOfEvent"] = [purpose_of(record.purpose)]
    made["agent"] = _agents(record, patient, is_whole=is_whole)
    made["source"] = {"observer": {"display": "phb_fhir"}}
    made["entity"] = _entities(record, patient, rows, said, is_whole=is_whole)
    return made


def _sequence(place: Place) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [
        {"url": "number", "valuePositiveInt": place.number},
        {"url": "previous", "valueBase64Binary": base64.b64encode(place.before).decode()},
        {"url": "hash", "valueBase64Binary": base64.b64encode(place.seal).decode()},
    ]
    return {"url": SEQUENCE, "extension": parts}


def _verb(record: Record) -> Verb:
    return VERBS.get(record.interaction, _OPERATION)


def _subtype(record: Record) -> list[dict[str, str]]:
    code = _verb(record).code or record.interaction
    return [{"system": "http://hl7.org/fhir/restful-interaction", "code": code}]


def _outcome(record: Record, said: str, *, is_whole: bool) -> str:
    if not record.is_refused:
        return said
    # the reason was told to whoever asked, and may name others of those it was about
    return record.why if is_whole and record.why else f"Refused ({record.status})."


def purpose_of(code: str) -> dict[str, Any]:
    """A purpose of use as a CodeableConcept."""
    return {"coding": [{"system": f"{_TERMINOLOGY}/v3-ActReason", "code": code}]}


# ---- who -------------------------------------------------------------------------------------------------------------


def _agents(record: Record, patient: str, *, is_whole: bool) -> list[dict[str, Any]]:
    who = record.who
    if who.user.startswith("Patient/") and who.user != f"Patient/{patient}" and not is_whole:
        # an event is found by the patients it refers to, and this one is somebody else's to read
        who = who._replace(user="")
    asked: dict[str, Any] = {}
    if who.role:
        asked["role"] = [role_of(who.role)]
    asked["who"] = reference_to(who)
    if who.subject:
        asked["altId"] = who.subject
    asked["name"] = called(who)
    asked["requestor"] = True
    if record.address:
        asked["network"] = {"address": record.address, "type": "2"}
    agents = [asked]
    if who.client:
        agents.append({"who": {"identifier": {"value": who.client}, "display": who.client}, "requestor": False})
    if organization := authority_of(who):
        agents.append({"who": organization, "requestor": False})
    if who.patient and record.who.user != f"Patient/{who.patient}":
        agents.append({"type": {"text": "on behalf of"}, "who": _on_behalf_of(who), "requestor": False})
    return agents


def _on_behalf_of(who: Who) -> dict[str, Any]:
    # an identifier and no reference: whoever is only acted for is told by the event about them, if there is one
    return {"identifier": {"value": f"Patient/{who.patient}"}, "display": "the person acted for"}


def reference_to(who: Who) -> dict[str, Any]:
    """The Reference to whoever asked: to the resource that is known here, else by the account that signed in."""
    found: dict[str, Any] = {}
    if who.user:
        found["reference"] = who.user
    elif who.user_identifier:
        system, bar, value = who.user_identifier.rpartition("|")
        found["identifier"] = {**({"system": system} if bar else {}), "value": value}
    elif who.subject:
        found["identifier"] = {**({"system": who.issuer} if is_uri(who.issuer) else {}), "value": who.subject}
    return {**found, "display": called(who)}


def is_uri(text: str) -> bool:
    return bool(re.match(r"[a-z][a-z0-9+.-]*:\S+\Z", text))


def authority_of(who: Who) -> dict[str, Any] | None:
    """The Reference to the organisation that was acted for."""
    found: dict[str, Any] = {}
    if who.organization:
        found["reference"] = who.organization
    elif who.ods_code:
        found["identifier"] = {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": who.ods_code}
    if found and who.organization_name:
        found["display"] = who.organization_name
    return found or None


def role_of(role: str) -> dict[str, Any]:
    """A role as a CodeableConcept."""
    words, code = ROLES.get(role, (role, ""))
    coding = {"coding": [{"system": _CARE_TEAM_ROLE, "code": code}]} if code else {}
    return {**coding, "text": words[:1].upper() + words[1:]}


def called(who: Who) -> str:
    """What to call whoever asked."""
    if who.name:
        return who.name
    if who.user or who.subject or who.client:
        return who.user or who.client or who.subject
    return "Somebody who was not signed in"


# ---- what ------------------------------------------------------------------------------------------------------------


def _entities(record: Record, patient: str, rows: Sequence[Row], said: str, *, is_whole: bool) -> list[dict[str, Any]]:
    found = [_patient(patient, said)] if patient else []
    # what was refused is in the trail of whoever tried: it must not be in that of the person they tried for, who has one of their own
    is_named = not (is_whole and record.is_refused)
    others = (row[0] for row in rows if unversioned(row[0]) != f"Patient/{patient}" or not patient)
    found += [_domain_resource(reference, is_person_named=is_named) for reference in others]
    return [*found, _request(record, said, is_whole=is_whole)]


def _patient(patient: str, said: str) -> dict[str, Any]:
    return {
        "what": {"reference": f"Patient/{patient}"},
        "type": {"system": f"{_TERMINOLOGY}/audit-entity-type", "code": "1", "display": "Person"},
        "role": {"system": f"{_TERMINOLOGY}/object-role", "code": "1", "display": "Patient"},
        "description": said,
    }


def _domain_resource(reference: str, *, is_person_named: bool) -> dict[str, Any]:
    type_, is_one, _ = reference.partition("/")
    is_named = bool(is_one) and (
        is_person_named or type_ != "Patient"
    )  # of what could not be made there is the type alone
    return {
        **({"what": {"reference": reference}} if is_named else {}),
        "type": {"system": "http://hl7.org/fhir/resource-types", "code": type_},
        "role": {"system": f"{_TERMINOLOGY}/object-role", "code": "4", "display": "Domain Resource"},
    }


def _request(record: Record, said: str, *, is_whole: bool) -> dict[str, Any]:
    """The request itself: its id, and for the event of the whole also the query as it ran."""
    made: dict[str, Any] = {
        "type": {"system": f"{_TERMINOLOGY}/audit-entity-type", "code": "2", "display": "System Object"},
        "role": {"system": f"{_TERMINOLOGY}/object-role", "code": "24", "display": "Query"},
        "description": said,
    }
    details = {"request-id": record.request_id, "method": record.method}
    if is_whole:
        # what was asked for, refused or not: the path may name what it was about, and the query anybody
        details |= {"path": record.path, "resources": str(len(record.what) + record.more) if record.what else ""}
        if record.query:
            made["query"] = base64.b64encode(record.query.encode()).decode()
    made["detail"] = [{"type": name, "valueString": value} for name, value in details.items() if value]
    return made


# ---- in words --------------------------------------------------------------------------------------------------------


def sentence(record: Record, patient: str, rows: Sequence[Row]) -> str:
    """What happened, in words for the person it concerns; for nobody in particular, if none."""
    verb = _verb(record)
    who = _introduced(record, patient)
    what = _told(record, patient, rows)
    at = when(moment_of(record))
    using = f", using {record.interaction}" if record.interaction.startswith("$") else ""
    why = f", {PURPOSES.get(record.purpose, f'for the purpose {record.purpose}')}" if record.purpose else ""
    if not record.is_refused:
        did = "asked about" if _is_only_asked(record, patient, rows) else verb.did
        return f"{who} {did} {what}{using} {at}{why}."
    end = "was refused" if record.status < 500 else "it failed"
    return f"{who} {verb.tried} {what}{using} {at}{why}, and {end}."


def _introduced(record: Record, patient: str) -> str:
    return "You" if patient and record.who.user == f"Patient/{patient}" else introduced(record.who)


def introduced(who: Who) -> str:
    """Whoever asked, by name, with their role and whom they act for: "Priya Nair (care co-ordinator, Harbourside Community Trust)"."""
    around = [ROLES.get(who.role, (who.role, ""))[0]] if who.role else []
    if who.organization_name or who.organization or who.ods_code:
        around.append(who.organization_name or who.organization or who.ods_code)
    return f"{called(who)} ({', '.join(around)})" if around else called(who)


def _is_only_asked(record: Record, patient: str, rows: Sequence[Row]) -> bool:
    """Whether a search named a patient of whose record it brought nothing: a number, or what has to do with it."""
    own = [row for row in rows if patient in row[1:]] if patient else []
    return bool(own and record.words) and not any("/" in row[0] for row in own)


def _told(record: Record, patient: str, rows: Sequence[Row]) -> str:
    own = [row for row in rows if patient in row[1:]] if patient else rows
    types = Counter(row[0].partition("/")[0] for row in _each_once(own))
    if patient:
        if not types:
            return "something about you"
        if not record.is_refused and _is_only_asked(record, patient, rows):
            return _listed([f"your {_words(type_, record.words)[1]}" for type_ in types])
        added = record.interaction == "create"
        parts = [_counted(type_, count, "a " if added else "your ", record.words) for type_, count in types.items()]
        return _listed(parts) + (" to your record" if added else "")
    if types and len(types) <= _TYPES_TOLD_MAX and len(rows) == len(record.what):
        return _listed([_counted(type_, count, "the ", record.words) for type_, count in types.items()])
    return _asked(record)


def _asked(record: Record) -> str:
    """What was asked for, where nothing in particular came of it, or what came of it is told to each person by itself."""
    brought = [row for row in record.what if "/" in row[0] or not record.words]
    if brought:
        count, people = len(brought) + record.more, len(record.patients)
        of = f" of {people} {'person' if people == 1 else 'people'}" if people else ""
        return f"{count} resource{'' if count == 1 else 's'}{of}"
    if whole := _WHOLE.get(record.interaction):
        return f"{whole} {record.path}"
    asked = record.path.partition("/")[0]
    if record.words >= _ALL_SINCE and (not asked or asked.startswith("_")):
        return f"all that is theirs to see (/{record.path})"
    return (
        f"/{record.path}"
        if not asked or asked.startswith(("_", "$"))
        else f"{_words(asked, record.words)[1]} (/{record.path})"
    )


def _each_once(rows: Sequence[Row]) -> list[Row]:
    return list({unversioned(row[0]): row for row in rows}.values())


def _counted(type_: str, count: int, whose: str, words: int) -> str:
    one, several = _words(type_, words)
    if count > 1 and one != several:
        return f"{count} of your {several}" if whose == "your " else f"{count} {several}"
    if whose == "a ":
        whose = "" if one == several else "an " if one[0] in "aeiou" else "a "
    return whose + one


def _words(type_: str, words: int) -> tuple[str, str]:
    """What one and several resources of a type are called, in the words of a time."""
    known = WORDS.get(type_) if words >= WORDED_SINCE.get(type_, 0) else None
    return known or _split(type_)


def _split(type_: str) -> tuple[str, str]:
    words = _CAPITAL.sub(" ", type_).lower()
    return words, f"{words}s"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


# whatever the machine's language is
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def when(at: datetime) -> str:
    """An instant as the clocks in England show it, in words."""
    local = at + timedelta(hours=1) if _is_summer(at) else at
    return f"on {local.day} {_MONTHS[local.month - 1]} {local.year} at {local:%H:%M}"


def _is_summer(at: datetime) -> bool:
    """Whether it is British Summer Time: from the last Sunday of March to that of October, each at 1:00 UTC.

    By the Summer Time Act 1972 as amended in 2002, and not by the machine's list of time zones: what was published once must read
    the same wherever it is verified.
    """
    return _last_sunday(at.year, 3) <= at < _last_sunday(at.year, 10)


def _last_sunday(year: int, month: int) -> datetime:
    last = datetime(year, month, 31, 1, tzinfo=UTC)
    return last - timedelta(days=(last.weekday() + 1) % 7)

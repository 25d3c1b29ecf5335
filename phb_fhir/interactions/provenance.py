"""The Provenance that goes with what a request writes: the server's own where somebody is signed in, and what X-Provenance brought."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import instant_text
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.judging import by_whom
from phb_fhir.interactions.spelling import check_spelling
from phb_fhir.interactions.validation import Content, check_resource
from phb_fhir.outcome import Issue, Kind, Refusal, Rejected, refuse
from phb_fhir.rules.around import PROFESSIONALS
from phb_fhir.rules.case import SPEAK_FOR_THEMSELVES
from phb_fhir.rules.words import key_of
from phb_fhir.search.access import LABEL, labels_of, patients_of
from phb_fhir.security.policy import RESTRICTED
from phb_fhir.security.provenance import HEADER, Activity, Made, build_provenance, check_sent, complete
from phb_fhir.store.store import Write

ABOUT_OTHERS = ("Provenance", "AuditEvent")  # which have none of their own: it would have no end


async def provenance_of(context: Context, writes: Sequence[Write], now: datetime) -> list[Resource]:
    """The Provenances of these writes, yet to be stored. Raises Rejected (400) for a wrong X-Provenance.

    Where somebody is signed in there is one for each patient concerned, so that nobody learns from theirs what was written of others, and
    one for what concerns nobody; what is restricted has another, which is seen by who sees that.
    """
    trail, sent, at = context.trail, context.provenance, instant_text(now)
    if trail is None and sent is None:
        return []
    about = [write for write in writes if write.after.type not in ABOUT_OTHERS]
    if not about:
        return []
    if sent is not None:
        everything = [_made(write) for write in about]
        issues = [*check_sent(sent, everything), *_signed_by_others(context, sent)]
        _check(context, complete(sent, everything, None, at), issues)
    purpose = "" if trail is None else trail.asker.purpose
    told = []
    for patient, group in _by_patient(about) if trail is not None else [("", about)]:
        who = None if trail is None else await trail.who([patient] if patient else [])
        made = [_made(write) for write in group]
        if sent is not None:
            made_of = {name: value for name, value in complete(sent, made, who, at, purpose).items() if name != "id"}
            told.append(_labelled(made_of if who is None else _open(made_of), group))
        elif who is not None:
            told.append(_labelled(build_provenance(made, who, at, purpose), group))
    return told


def _signed_by_others(context: Context, sent: Resource) -> Iterator[Issue]:
    """A professional signs for themselves, or their team hands it in: not the person, nor whom a consent lets act (R108)."""
    by, signatures = by_whom(context), sent.get("signature")
    for index, one in enumerate(signatures if isinstance(signatures, list) else ()):
        who = one.get("who") if isinstance(one, dict) else None
        signer = key_of(context.own.local(str(who.get("reference", "")))) if isinstance(who, dict) else ""
        is_professional = signer.partition("/")[0] in PROFESSIONALS
        if by.role in SPEAK_FOR_THEMSELVES and is_professional and signer not in by.names:
            text = (
                f"{HEADER} says that {signer} signed; a professional signs for themselves, or their team hands that in."
            )
            yield Issue(Kind.BUSINESS_RULE, text, f"Provenance.signature[{index}].who")


def _labelled(provenance: Resource, writes: Sequence[Write]) -> Resource:
    """The Provenance, as restricted as what it tells of."""
    labels = {label for write in writes for label in labels_of(write.after.access)} & set(RESTRICTED.keys)
    codings = [dict(zip(("system", "code"), label.removeprefix(LABEL).split("|"), strict=True)) for label in labels]
    if not codings:
        return provenance
    meta = provenance.get("meta", {})
    others = [one for one in meta.get("security", ()) if one not in codings]
    return {**provenance, "meta": {**meta, "security": [*others, *sorted(codings, key=str)]}}


def _open(provenance: Resource) -> Resource:
    """A Provenance without what a client restricted of it: else whoever sends one could hide what they did from who sees the change."""
    meta = provenance.get("meta", {})
    kept = [
        one
        for one in meta.get("security", ())
        if f"{LABEL}{one.get('system')}|{one.get('code')}" not in RESTRICTED.keys
    ]
    left = {name: value for name, value in meta.items() if name != "security"} | ({"security": kept} if kept else {})
    return {name: value for name, value in provenance.items() if name != "meta"} | ({"meta": left} if left else {})


def _by_patient(writes: Sequence[Write]) -> list[tuple[str, list[Write]]]:
    """The writes, sorted by whom they concern (the id of a Patient, or "") and whether they are restricted; what concerns two people at once is
    told to both.
    """
    groups: dict[tuple[str, bool], list[Write]] = {}
    for write in writes:
        is_restricted = not set(RESTRICTED.keys).isdisjoint(write.after.access)
        for patient in patients_of(write.after.access) or [""]:
            groups.setdefault((patient, is_restricted), []).append(write)
    return [(patient.removeprefix("Patient/"), group) for (patient, _), group in groups.items()]


def not_to_be_written() -> Rejected:
    """The refusal of any change of the audit trail, whoever asks."""
    text = "The audit trail is written by the server alone; nobody adds to it, changes it or takes anything away."
    return refuse(Refusal.FORBIDDEN, Kind.FORBIDDEN, text, "AuditEvent")


def _made(write: Write) -> Made:
    after, before = write.after, write.before
    is_new = before is None or before.is_deleted
    activity: Activity = "DELETE" if after.is_deleted else "CREATE" if is_new else "UPDATE"
    return Made(after.key, after.number, activity, 0 if before is None or is_new else before.number)


def _check(context: Context, told: Resource, issues: list[Issue]) -> None:
    """Raise Rejected (400) with all that is wrong with what a client sent."""
    if not issues:
        try:
            check_resource(context, told, "Provenance")
            check_spelling(context, Content("Provenance", "provenance", told))
        except Rejected as rejected:
            issues = [Issue(one.kind, f"{HEADER}: {one.text}", one.expression) for one in rejected.issues]
    if issues:
        raise Rejected(Refusal.BAD_REQUEST, *issues)

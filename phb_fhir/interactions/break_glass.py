"""Breaking the glass: a restricted record is opened for a stated purpose, and the person whose record it is gets to know.

Who may break the glass, and sees restricted records while they state `BTG` or `ETREAT` as their purpose of use, is the policy's to say
(`security/policy`). What is here keeps it from being quiet: before the answer leaves, a Task for the person says who opened their record,
when and why. One Task stands for one opening, of no more than `break_glass_max_s`; whoever looks again later, opens it again.

Sources: R4 §6.1 (security labels, break the glass), v3 Confidentiality and ActReason; R169.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from phb_fhir.change import Create, Criteria
from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import instant_text
from phb_fhir.interactions.access import Access
from phb_fhir.interactions.commit import commit
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.judgement import OPENING, TASK_REFERENCE
from phb_fhir.outcome import Kind, Refusal, refuse
from phb_fhir.query import Key, Query
from phb_fhir.security.audit_event import introduced, when
from phb_fhir.security.policy import CONFIDENTIALITY

OPENED_MAX = 50  # patients whose restricted records one answer may open
_TASK_CODE = {
    "system": "https://fhir.phb.nhs.example/CodeSystem/phb-task-code",
    "code": "give-information",
    "display": "Give information",
}
_WHY = {"BTG": "to break the glass", "ETREAT": "for emergency treatment"}


async def tell_opened(context: Context) -> None:
    """Tell those whose restricted records this request opened. Raises Rejected; then nothing of them may be answered."""
    access = context.access
    if access is None or not access.opened:
        return
    if len(access.opened) > OPENED_MAX:
        text = f"This would open restricted records of more than {OPENED_MAX} people at once. Ask about one of them."
        raise refuse(Refusal.FORBIDDEN, Kind.TOO_COSTLY, text)
    # the server tells them, whatever the one who asks may write
    unseen = context._replace(access=None, reader=context.store)
    called = introduced(await context.trail.who()) if context.trail else "Somebody"
    for patient in sorted(access.opened):
        await commit(unseen, _told(context, access, called, patient))


def _told(context: Context, access: Access, called: str, patient: str) -> Create:
    now, most_s = context.now(), context.settings.break_glass_max_s
    name = _name_of(access, patient, now, most_s)
    named = f"identifier={TASK_REFERENCE}|{name}"
    unless = Criteria(Query(("Task",), Key((named,))), named)
    return Create("Task", context.new_id(), _task(access, called, patient, name, now, most_s), unless)


def _name_of(access: Access, patient: str, now: datetime, most_s: int) -> str:
    """The same for all that one person does with one record, for one purpose, within one stretch of time."""
    actor = access.actor
    stretch = int(now.timestamp()) // most_s
    told = "\n".join((actor.issuer, actor.subject, patient, access.purpose, str(stretch)))
    return f"{OPENING}{hashlib.sha256(told.encode()).hexdigest()[:32]}"


def _task(access: Access, called: str, patient: str, name: str, now: datetime, most_s: int) -> Resource:
    who = access.who
    by = next(one for one in ((who.user, who.organization) if who else ()) if one)
    at = instant_text(now)
    text = (
        f"{called} opened parts of your record that are kept restricted, {_WHY[access.purpose]}, {when(now)}. "
        f"You can ask them, or us, why."
    )
    return {
        "resourceType": "Task",
        # that there is something restricted is told to whose record it is, and to nobody who may not see that
        "meta": {"security": [{"system": CONFIDENTIALITY, "code": "R", "display": "restricted"}]},
        "identifier": [{"system": TASK_REFERENCE, "value": name}],
        "status": "requested",
        "intent": "order",
        "priority": "urgent",
        "code": {"coding": [_TASK_CODE]},
        "description": text,
        "for": {"reference": patient},
        "authoredOn": at,
        "lastModified": at,
        "requester": {"reference": by},
        "owner": {"reference": patient},
        "reasonCode": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": access.purpose}]
        },
        "restriction": {"period": {"start": at, "end": instant_text(now + timedelta(seconds=most_s))}},
    }

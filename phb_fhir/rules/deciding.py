"""Tasks that decide something (SM-D): sign-offs, appeals, referrals to the panel. What they have in common.

A decision is a Task that is completed with an answer in `businessStatus`. Who decided is its `owner`. Once it is made it stands as it was
made: what was wrong is entered in error, or put right by an appeal. The person is told in writing, by a Communication that the server writes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import instant_text
from phb_fhir.outcome import Issue
from phb_fhir.rules.budget import last_day
from phb_fhir.rules.case import Asking, By, Case, Follow, Read, no_step, refusal
from phb_fhir.rules.words import BASE, BUSINESS_STATUS, TASK_CODE, TASK_PARAMETER, code_in, concept, key_of

COMMUNICATION = f"{BASE}/CodeSystem/phb-communication-category"

SENDERS = (
    "Organization",
    "Practitioner",
    "PractitionerRole",
)  # Communication.sender knows no CareTeam, as Task.owner does
COMMISSIONER = ("commissioner",)

# SM-D: from which status a Task that decides may come to which. The names of R4.
STEPS: Mapping[str, tuple[str, ...]] = {
    "draft": ("draft", "requested", "cancelled", "entered-in-error"),
    "requested": (
        "requested",
        "received",
        "accepted",
        "in-progress",
        "completed",
        "rejected",
        "cancelled",
        "entered-in-error",
    ),
    "received": ("received", "accepted", "in-progress", "completed", "rejected", "cancelled", "entered-in-error"),
    "accepted": ("accepted", "in-progress", "completed", "on-hold", "rejected", "cancelled", "entered-in-error"),
    "ready": ("ready", "in-progress", "completed", "on-hold", "cancelled", "entered-in-error"),
    "in-progress": ("in-progress", "completed", "on-hold", "failed", "cancelled", "entered-in-error"),
    "on-hold": ("on-hold", "accepted", "in-progress", "cancelled", "entered-in-error"),
    "rejected": ("rejected", "entered-in-error"),
    "cancelled": ("cancelled", "entered-in-error"),
    "failed": ("failed", "entered-in-error"),
    "completed": ("completed", "entered-in-error"),
    "entered-in-error": ("entered-in-error",),
}

# what a decision is: nobody changes it once it is made
_DECISION = ("code", "focus", "for", "owner", "businessStatus", "statusReason", "reasonReference", "output")


def kind_of(task: Resource | None) -> str:
    """What is to be done, as a code of phb-task-code; "" for another Task, and for none."""
    return "" if task is None else code_in(task.get("code"), TASK_CODE)


def is_about(case: Case, code: str) -> bool:
    """Whether a write is of a Task of this kind."""
    return code in (kind_of(case.before), kind_of(case.after))


def answer_of(task: Resource | None) -> str:
    """What was decided: a code of phb-task-business-status; "" while nothing is."""
    if task is None or task.get("status") != "completed":
        return ""
    return code_in(task.get("businessStatus"), BUSINESS_STATUS)


def is_being_decided(case: Case) -> bool:
    """Whether this write is the decision."""
    was = None if case.before is None else case.before.get("status")
    return case.after is not None and case.after.get("status") == "completed" and was != "completed"


def given(task: Resource, code: str) -> list[Any]:
    """The values of the inputs of a kind (phb-task-parameter)."""
    return [value for one in _rows(task, "input", code) for value in _values(one)]


def brought(task: Resource, code: str) -> list[Any]:
    """The values of the outputs of a kind."""
    return [value for one in _rows(task, "output", code) for value in _values(one)]


def _rows(task: Resource, name: str, code: str) -> list[Mapping[str, Any]]:
    return [one for one in task.get(name, ()) if code_in(one.get("type"), TASK_PARAMETER) == code]


def _values(row: Mapping[str, Any]) -> Iterator[Any]:
    return (value for name, value in row.items() if name.startswith("value"))


# ---- what may become of it -----------------------------------------------------------------------


def check_step(case: Case, steps: Mapping[str, tuple[str, ...]] = STEPS) -> Iterator[Issue]:
    """What is wrong with the change of status, with the change of what was decided, and with taking it away."""
    before, after = case.before, case.after
    if after is None:
        if answer_of(before):
            text = (
                "A decision is not deleted: it stays in the record. If it was never meant, mark it as entered in error."
            )
            yield refusal(text, "Task")
        return
    if before is None:
        return
    was, is_now = str(before.get("status")), str(after.get("status"))
    if is_now not in steps.get(was, ()):
        yield no_step("A task", was, is_now, steps.get(was, ()), "Task.status")
    if answer_of(before) and is_now == "entered-in-error" and not (case.is_own or case.by.is_professional):
        text = "That a decision was never meant is for those to say who decide. To have it looked at again, ask for an appeal."
        yield refusal(text, "Task.status")
    if answer_of(before) and is_now == "completed":
        for name in _DECISION:
            if bare(before.get(name)) != bare(after.get(name)):
                text = "What was decided stands as it was decided. To have it looked at again, ask for an appeal."
                yield refusal(text, f"Task.{name}")


_ASKING = ("draft", "requested", "cancelled", "entered-in-error")  # what whoever asks may say of it


def check_taken_up(case: Case) -> Iterator[Issue]:
    """Nobody takes up, sets a day for or turns down what they ask for themselves: that is for those who decide for the NHS."""
    before, after = case.before or {}, case.after
    if after is None or case.is_own or case.by.is_professional:
        return
    was, now = before.get("status"), after.get("status")
    if now not in (was, "completed", *_ASKING):  # a decision says by itself whose it is
        text = "This is taken up by those who decide it: the NHS team or the commissioner. Whoever asks for it can withdraw it (cancelled)."
        yield refusal(text, "Task.status")
    elif was is not None and was not in _ASKING and key_of(before.get("owner")) != key_of(after.get("owner")):
        yield refusal(
            "Who decides this is for the NHS team or the commissioner to say, once it is taken up.", "Task.owner"
        )


def bare(value: Any) -> Any:
    """The value without the names that are for reading only (`display`)."""
    if isinstance(value, dict):
        return {name: bare(one) for name, one in value.items() if name != "display"}
    return [bare(one) for one in value] if isinstance(value, list) else value


def same_person(task: Resource, person: str, what: str) -> Iterator[Issue]:
    """A Task is for the person whose plan, budget or decision it is about."""
    if person and key_of(task.get("for")) != person:
        yield refusal(f"The task is for {key_of(task.get('for')) or 'nobody'}; {what} is that of {person}.", "Task.for")


# ---- who decides ---------------------------------------------------------------------------------


def persons_behind(*keys: str) -> Asking[dict[str, frozenset[str]]]:
    """Everybody who stands behind each of these references: themselves, and of a role whoever has it."""
    roles = [key for key in keys if key.startswith("PractitionerRole/")]
    found: dict[str, Resource | None] = (yield Read(*roles)) if roles else {}
    return {key: frozenset({key, key_of((found.get(key) or {}).get("practitioner"))} - {""}) for key in keys}


def check_decider(
    by: By, owner: str, role: Resource | None, for_organization: Collection[str] = COMMISSIONER
) -> Iterator[Issue]:
    """Who records a decision is who decides, or the commissioner whose role it is (R96).

    Where an organisation decides, those do who act for it in one of the roles `for_organization`.
    """
    if by.is_anybody or by.role == "system":
        return
    names = {key_of((role or {}).get("practitioner"))}
    if by.role == "commissioner":
        names.add(key_of((role or {}).get("organization")))
    if not owner.startswith("Organization/") or by.role in for_organization:
        names.add(owner)
    if not by.is_professional or not names & by.names:
        text = f"This is for {owner or 'its owner'} to decide; a decision is recorded by who made it."
        yield refusal(text, "Task.owner")


def is_brought_in(case: Case) -> bool:
    """Whether the write brings in what was decided before (R182): nobody is to be told of it now."""
    return case.is_new and (case.by.role == "system" or day_of_decision(case) < case.today)


# ---- the person is told --------------------------------------------------------------------------


def notice(case: Case, topic: str, *sentences: str) -> Follow:
    """The letter that tells of a decision: to the person, and to whoever asked for it on their behalf (R139, R140)."""
    task = case.after or {}
    person, asker = task.get("for") or {}, task.get("requester") or {}
    recipients = [person, *([asker] if key_of(asker).startswith("RelatedPerson/") else [])]
    letter: Resource = {
        "resourceType": "Communication",
        "status": "completed",
        "category": [concept(COMMUNICATION, "decision-notice", "Notice of a decision")],
        "subject": _reference(person),
        "topic": {"text": topic},
        "about": [{"reference": case.key}],
        "sent": instant_text(case.now),
        "recipient": [_reference(one) for one in recipients],
        "payload": [{"contentString": one} for one in sentences if one],
    }
    owner = task.get("owner") or {}
    if key_of(owner).partition("/")[0] in SENDERS:
        letter["sender"] = _reference(owner)
    return Follow(letter)


def _reference(of: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in of.items() if name in ("reference", "identifier", "display")}


def reason_in_words(task: Resource) -> str:
    """Why it was decided like this, as it was said; else in the words of its codes."""
    reason = task.get("statusReason") or {}
    shown = (one.get("display") or one.get("code") for one in reason.get("coding", ()))
    return str(reason.get("text") or "; ".join(str(one) for one in shown if one))


def day_of_decision(case: Case) -> date:
    """The day a decision was made: of one that is brought in, the day it says itself."""
    said = last_day(((case.after or {}).get("executionPeriod") or {}).get("end"))
    return said if case.is_new and said is not None and said < case.today else case.today

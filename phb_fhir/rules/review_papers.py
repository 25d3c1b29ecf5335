"""What goes with a review: the person hears of it before, and what was noted since the last one is at hand (R147, R152, R156).

    a review that has a day       the person is told in writing when it is, and what for: there are no surprises
    one that begins, or is over   names what was noted since the last: the person's forms and readings, and the notes in the plan
    one that is over              a remark where nobody said what the person thinks, or who took part

Only references are gathered: who reads the review reads what it names where they may.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import instant_text
from phb_fhir.outcome import Issue
from phb_fhir.rules.around import COMMUNICATION, has_died
from phb_fhir.rules.budget import first_day, in_words, last_day
from phb_fhir.rules.case import NOTHING, Asking, Case, Decision, Find, Follow, Judging, Read, advice
from phb_fhir.rules.deciding import SENDERS, brought, given
from phb_fhir.rules.plan import activities_of
from phb_fhir.rules.plan_record import FILLED_IN, FORMS, VALID, answers
from phb_fhir.rules.review import due_of, is_planned, is_review, planned_for, purpose_of, reviews_of
from phb_fhir.rules.words import BASE, TASK_PARAMETER, concept, key_of, keys_in

NOTED = "noted-since"
TOOK_PART = "took-part"
NOTED_MAX = 100  # forms and readings that a review names, the newest
_RECORD = f"{BASE}/Questionnaire/phb-review"
_THE_PERSON = "The person"  # an answer to the item perspective


def judge_papers(case: Case) -> Judging:
    """What the person is told of a review, what is gathered for it, and what may be missing of one that is over."""
    task = case.after
    if task is None or not is_review(task):
        return NOTHING
    follow = yield from _announced(case, task)
    content = (yield from _with_notes(case, task)) if _begins(case) else None
    issues = (yield from _whose_views(task)) if _ends(case) else []
    return Decision(tuple(issues), content, follow=tuple(follow))


# ---- there are no surprises ----------------------------------------------------------------------


def _announced(case: Case, task: Resource) -> Asking[list[Follow]]:
    """The letter that says when a review is and what it is for (R147), once it has a day, and when that is another."""
    day, person = planned_for(task), key_of(task.get("for"))
    if day is None or not is_planned(task) or _is_known(case, task, day) or _is_brought_in(case, day):
        return []
    if not person or has_died((yield Read(person))[person]):
        return []
    said = hashlib.sha256(f"{case.id} {day.isoformat()}".encode()).hexdigest()[:32]
    id_ = f"review-notice-{said}"  # one for each day, however often the review is looked at in one transaction
    return [Follow({"resourceType": "Communication", "id": id_, **_letter(case, task)}, f"Communication/{id_}")]


def _is_known(case: Case, task: Resource, day: date) -> bool:
    """Whether the person was told of this day, or asked for it."""
    before = case.before
    if before is not None and is_planned(before):
        return planned_for(before) == day
    return (
        case.is_new
        and not case.is_own
        and key_of(task.get("for")) in (key_of(task.get("requester")), *case.by.patients)
    )


def _is_brought_in(case: Case, day: date) -> bool:
    """What comes into the record with its history tells nobody anything new (R182)."""
    return day < case.today or (case.is_new and case.by.role == "system" and not case.is_own)


def _letter(case: Case, task: Resource) -> Resource:
    person, owner = task.get("for") or {}, task.get("owner") or {}
    sender = {"sender": owner} if key_of(owner).partition("/")[0] in SENDERS else {}
    return {
        "status": "completed",
        "category": [concept(COMMUNICATION, "review-notice", "Notice of a review")],
        "subject": person,
        "topic": {"text": "A review of your personal health budget"},
        "about": [{"reference": case.key}],
        "sent": instant_text(case.now),
        "recipient": [person],
        **sender,
        "payload": [{"contentString": one} for one in _sentences(task, is_another=case.before is not None)],
    }


def _sentences(task: Resource, *, is_another: bool) -> Iterator[str]:
    what = "a review of your care plan and your budget"
    when = _in_words(planned_for(task), due_of(task))
    yield f"The day of {what} was set: {when}." if is_another else f"There will be {what}, {when}."
    yield f"What it is for: {task.get('description')}"
    yield (
        "It looks at how you are, at what works and what does not, and at the money. If another day is better, or you want somebody with you, say"
        " so; and you need not wait for it: you can ask for a review at any time."
    )


def _in_words(start: date | None, end: date | None) -> str:
    if end is not None and start in (None, end):
        return f"by {in_words(end)}"
    return " ".join(f"{word} {in_words(day)}" for word, day in (("from", start), ("to", end)) if day is not None)


# ---- what was noted since the last ---------------------------------------------------------------


def _begins(case: Case) -> bool:
    """Whether a review that was here begins, or is over, with this write."""
    before, after = case.before, case.after or {}
    return before is not None and after.get("status") in ("in-progress", "completed") != before.get("status")


def _ends(case: Case) -> bool:
    return (case.after or {}).get("status") == "completed" and (case.before or {}).get("status") != "completed"


def _with_notes(case: Case, task: Resource) -> Asking[Resource | None]:
    """The review with references to what was noted since the last among its inputs, unless it names some (R156)."""
    key = key_of(task.get("focus"))
    account: Resource | None = (yield Read(key))[key] if key else None
    if account is None or given(task, NOTED):
        return None
    reviews = yield from reviews_of(account)
    since = max((day for one in reviews if one.get("id") != case.id and (day := _over_on(one))), default=None)
    found = yield from _noted(keys_in(task.get("basedOn")), since)
    if not found:
        return None
    rows = [
        {"type": concept(TASK_PARAMETER, NOTED, "Noted since the last review"), "valueReference": one} for one in found
    ]
    return {**task, "input": [*task.get("input", ()), *rows]}


def _over_on(review: Mapping[str, Any]) -> date | None:
    """The day a review took place; None for one that did not."""
    return (
        first_day((review.get("executionPeriod") or {}).get("start")) if review.get("status") == "completed" else None
    )


def _noted(plans: list[str], since: date | None) -> Asking[list[Resource]]:
    """References to the notes in the plans, and to forms and readings about them, since a day: the newest first."""
    if not plans:
        return []
    named = ",".join(plans)
    read: Mapping[str, Resource | None] = yield Read(*plans)
    forms: list[Resource] = yield Find("QuestionnaireResponse", ("based-on", named))
    readings: list[Resource] = yield Find("Observation", ("based-on", named))
    dated = [
        *((one, one.get("authored")) for one in forms if _is_diary(one)),
        *((one, _when(one)) for one in readings if one.get("status") in VALID),
    ]
    later = [(str(when), f"{one['resourceType']}/{one['id']}") for one, when in dated if _is_since(when, since)]
    notes = [one for key, plan in read.items() if plan is not None for one in _notes(key, plan, since)]
    return [*notes, *({"reference": key} for _, key in sorted(later, reverse=True)[:NOTED_MAX])]


def _is_diary(form: Resource) -> bool:
    """Whether a form about a plan is neither part of it nor the record of a review."""
    return form.get("status") in FILLED_IN and _questionnaire(form) not in (*FORMS, _RECORD)


def _questionnaire(form: Resource) -> str:
    return str(form.get("questionnaire", "")).partition("|")[0]


def _when(reading: Mapping[str, Any]) -> Any:
    return (
        reading.get("effectiveDateTime") or (reading.get("effectivePeriod") or {}).get("start") or reading.get("issued")
    )


def _is_since(when: Any, since: date | None) -> bool:
    day = last_day(when)
    return since is None or (day is not None and day >= since)


def _notes(key: str, plan: Resource, since: date | None) -> Iterator[Resource]:
    """A reference to the plan that says how many notes there are in it, where there are any."""
    written: Iterable[Mapping[str, Any]] = [
        *plan.get("note", ()),
        *(note for one in activities_of(plan) for note in one.get("progress", ())),
    ]
    count = sum(_is_since(one.get("time"), since) for one in written)
    if count:
        yield {"reference": key, "display": f"{count} {'note' if count == 1 else 'notes'} in the care plan"}


# ---- whose views ---------------------------------------------------------------------------------


def _whose_views(task: Resource) -> Asking[list[Issue]]:
    """A remark where a review that is over does not say what the person thinks, or who took part (R152); a closing one may have to do without."""
    if purpose_of(task) == "closing":
        return []
    person = key_of(task.get("for"))
    forms = [key for one in brought(task, "record") if (key := key_of(one)).startswith("QuestionnaireResponse/")]
    read: Mapping[str, Resource | None] = (yield Read(*forms)) if forms else {}
    issues = []
    if not any(_tells_what_they_think(form, person) for form in read.values() if form is not None):
        text = (
            "Nobody said in this review what the person thinks: a record of Questionnaire/phb-review may be theirs (perspective: The person), beside"
            " those of others (R152)."
        )
        issues.append(advice(text, "Task.output"))
    if not brought(task, TOOK_PART):
        text = "This review does not say who took part in it: name each in an output took-part (R152)."
        issues.append(advice(text, "Task.output"))
    return issues


def _tells_what_they_think(form: Resource, person: str) -> bool:
    speaks = key_of(form.get("source"))
    return (
        _THE_PERSON in answers(form).get("perspective", ())
        or (bool(person) and speaks == person)
        or speaks.startswith("RelatedPerson/")
    )

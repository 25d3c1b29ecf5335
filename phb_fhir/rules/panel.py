"""The risk enablement panel (RULE-PANEL a to s, R116 to R136; SM-G): it decides what the usual process cannot settle, and finally.

    requested → received by the convenor → accepted: a day is set → in-progress: it sits → completed: approved, not-approved, referred-on
              → rejected: not for the panel, or too late

The business status says more of where it is, scheduled → quorate → decided: LABELS tells which goes with which status.

A referral is a Task `risk-panel-referral` about a budget or a plan. The panel is a CareTeam of the kind `risk-enablement-panel`, named by the
input `panel`. Who has to sit on it, and how it votes, is in `panel_meeting`; the tables below say who may refer, and what. The clauses are those of
the source (S4, appendix 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import days_later, instant_text
from phb_fhir.outcome import Issue
from phb_fhir.rules.around import coordinator_in, is_of, says_why, teams_of
from phb_fhir.rules.budget import first_day, in_words, is_budget, last_day, owner_of, person_of, plan_of, stage_of
from phb_fhir.rules.case import (
    NOTHING,
    SPEAK_FOR_THEMSELVES,
    Asking,
    By,
    Case,
    Decision,
    Find,
    Follow,
    Judging,
    Read,
    Sees,
    refusal,
)
from phb_fhir.rules.deciding import (
    STEPS,
    answer_of,
    brought,
    check_decider,
    check_step,
    check_taken_up,
    day_of_decision,
    given,
    is_about,
    is_being_decided,
    is_brought_in,
    notice,
    persons_behind,
    reason_in_words,
    same_person,
)
from phb_fhir.rules.panel_meeting import (
    Seat,
    check_from_outside,
    check_members,
    check_presence,
    check_quorum,
    check_suitable,
    check_unanimous,
    check_votes,
    present_at,
    seats_of,
    votes_of,
)
from phb_fhir.rules.plan import budgets_of, is_plan
from phb_fhir.rules.words import BASE, BUSINESS_STATUS, TASK_CODE, code_in, codings, concept, key_of
from phb_fhir.rules.working_days import working_days_after, working_days_between

CODE = "risk-panel-referral"
TEAM_KIND = f"{BASE}/CodeSystem/phb-care-team-kind"
REFERRER = f"{BASE}/CodeSystem/phb-panel-referrer"
REDIRECTION = f"{BASE}/CodeSystem/phb-panel-redirection"
REVIEW_TYPE = f"{BASE}/CodeSystem/phb-review-type"

NOTICE_WORKING_DAYS = 7  # clause f: before a decision is required
PAPERS_DAYS = 7  # clause f: calendar days before it, for all paperwork
_LAST_YEAR = 9990  # beyond which no day is reckoned

# clause h: what somebody is, who refers in a role
REFERS_AS: Mapping[str, tuple[str, ...]] = {
    "service-user": ("Patient", "RelatedPerson"),
    "carer": ("RelatedPerson",),
    "clinician": ("Practitioner", "PractitionerRole"),
    "panel-manager": ("Practitioner", "PractitionerRole"),
    "broker": ("Practitioner", "PractitionerRole", "Organization", "RelatedPerson"),
    "peer-support-worker": ("Practitioner", "PractitionerRole", "RelatedPerson"),
    "project-manager": ("Practitioner", "PractitionerRole"),
    "steering-or-project-group-member": ("Practitioner", "PractitionerRole", "Patient", "RelatedPerson"),
}
# clause e: what is not for the panel, and where it goes instead
REDIRECTIONS: Mapping[str, str] = {
    "eligibility-refusal-complaint": "That somebody is not eligible is looked at again by an appeal against that decision.",
    "safeguarding": "A worry about harm or abuse goes to the safeguarding team, at once (Task safeguarding-referral).",
    "complaint": "A complaint goes to the complaints process of the organisation it is about.",
}
SCHEDULED, QUORATE = "scheduled", "quorate"
REFERRED = frozenset(("requested", "received", "accepted", "ready", "in-progress", "on-hold", "completed"))
SITS = frozenset(("accepted", "in-progress", "on-hold", "completed"))
PANEL_STEPS: Mapping[str, tuple[str, ...]] = {
    **STEPS,
    "requested": ("requested", "received", "rejected", "cancelled", "entered-in-error"),
    "received": ("received", "accepted", "rejected", "cancelled", "entered-in-error"),
    "accepted": ("accepted", "in-progress", "completed", "on-hold", "rejected", "cancelled", "entered-in-error"),
    "ready": (),
}
# SM-G: what the business status may say of a referral that has a status; "" for nothing. Of what came to nothing it may say what it said
LABELS: Mapping[str, tuple[str, ...]] = {
    "draft": ("",),
    "requested": ("",),
    "received": ("",),
    "accepted": ("", SCHEDULED),
    "on-hold": ("", SCHEDULED),
    "in-progress": ("", SCHEDULED, QUORATE),
    "completed": ("approved", "not-approved", "referred-on"),
}


def judge_panel(case: Case) -> Judging:
    """What may become of a referral, and what follows from the panel's decision."""
    if not is_about(case, CODE):
        return NOTHING
    issues = [*check_step(case, PANEL_STEPS), *check_taken_up(case), *check_label(case)]
    task = case.after
    if task is None or task.get("status") not in REFERRED:
        return Decision(tuple(issues))
    about = (yield from _about(task)) if _is_worth_asking(case) else None
    if about is not None:
        issues += [
            *_in_scope(task, about),
            *check_referrer(case.by, task, is_new=_is_made(case)),
            *check_notice(task, asked_on(case, task)),
        ]
        issues += yield from _to_the_convenor(task, about)
        issues += yield from _papers_in_time(case, task)
    if about is not None and task.get("status") in SITS:
        issues += yield from _panel_is_fit(case, task)
    if task.get("status") == "in-progress" and label_of(task) == QUORATE != label_of(case.before):
        issues += yield from _has_quorum(case, task)
    if is_being_decided(case):
        issues += yield from _decided(case, task)
    if any(one.is_error for one in issues) or not is_being_decided(case):
        return Decision(tuple(issues))
    return Decision(tuple(issues), follow=tuple((yield from _following(case, task))))


def _is_made(case: Case) -> bool:
    """Whether this write makes the referral."""
    return case.before is None or case.before.get("status") not in REFERRED


def _is_worth_asking(case: Case) -> bool:
    """Whether this write says something about the referral that was not judged yet."""
    before, after = case.before or {}, case.after or {}
    if _is_made(case):
        return True
    names = ("status", "focus", "for", "requester", "owner", "reasonCode", "authoredOn", "restriction", "input")
    return any(before.get(name) != after.get(name) for name in names)


# ---- what it is about ----------------------------------------------------------------------------


class About(NamedTuple):
    """What a referral is about. `budgets` are the budget itself, or those of the plan."""

    what: Resource | None
    person: str
    budgets: Sequence[Resource]


def _about(task: Resource) -> Asking[About]:
    key = key_of(task.get("focus"))
    found: dict[str, Resource | None] = (yield Read(key)) if key else {}
    what = found.get(key)
    if what is not None and is_plan(what):
        return About(what, key_of(what.get("subject")), (yield from budgets_of(key)))
    if what is not None and is_budget(what):
        return About(what, person_of(what), [what])
    return About(None, "", [])


def _in_scope(task: Resource, about: About) -> Iterator[Issue]:
    """Clauses e and i: it is about the use of a budget, and no other process is for it."""
    if about.what is None:
        text = "A referral is about a personal health budget, or the plan of one (focus)."
        yield refusal(text, "Task.focus")
        return
    yield from same_person(task, about.person, "what it is about")
    reasons = {code for system, code in codings(task.get("reasonCode")) if system == REDIRECTION}
    for code in sorted(reasons & REDIRECTIONS.keys()):
        yield refusal(f"This is not for the panel. {REDIRECTIONS[code]}", "Task.reasonCode")
    if not reasons and any(stage_of(one) == "not-eligible" for one in about.budgets):
        text = f"This is not for the panel. {REDIRECTIONS['eligibility-refusal-complaint']}"
        yield refusal(text, "Task.focus")


def check_referrer(by: By, task: Resource, *, is_new: bool) -> Iterator[Issue]:
    """Clause h: who may refer, in writing, and as what."""
    if is_new and not str(task.get("description") or "").strip():
        yield refusal("A referral is made in writing: say what the panel is to decide.", "Task.description")
    asker = key_of(task.get("requester"))
    role = next((code for one in given(task, "referrer-role") if (code := code_in(one, REFERRER))), "")
    type_ = asker.partition("/")[0]
    if role in REFERS_AS and type_ and type_ not in REFERS_AS[role]:
        text = f"A referral by the {role} is asked for by a {' or '.join(REFERS_AS[role])}; this one names {asker}."
        yield refusal(text, "Task.requester")
    if role == "service-user" and type_ == "Patient" and asker != key_of(task.get("for")):
        yield refusal("The person who refers is the one whose budget it is.", "Task.requester")
    if is_new and by.role in SPEAK_FOR_THEMSELVES and asker not in by.names | by.patients:
        yield refusal(f"You refer this to the panel, and it says that {asker or 'nobody'} does.", "Task.requester")


def asked_on(case: Case, task: Resource) -> date | None:
    """The day from which notice counts: that of the referral; where it is made now, or its time cut short, today at the earliest."""
    said = first_day(task.get("authoredOn"))
    if said is None or is_brought_in(case) or case.by.role == "system" or not _asks_anew(case, task):
        return said
    return max(said, case.today)


def _asks_anew(case: Case, task: Resource) -> bool:
    """Whether this write makes the referral, gives it another day, or wants the decision sooner than it did."""
    before = case.before or {}
    if _is_made(case) or is_waived(before) or before.get("authoredOn") != task.get("authoredOn"):
        return True
    was, now = due_of(before), due_of(task)
    return now is not None and (was is None or now < was)


def check_notice(task: Resource, asked: date | None) -> Iterator[Issue]:
    """Clause f: seven working days from the day it was asked, unless it is said why less will do."""
    due = due_of(task)
    if asked is None or due is None or is_waived(task) or due.year > _LAST_YEAR:
        return
    days = working_days_between(asked, due)
    if days < NOTICE_WORKING_DAYS:
        earliest = working_days_after(asked, NOTICE_WORKING_DAYS)
        text = (
            f"The panel is asked at least {NOTICE_WORKING_DAYS} working days before a decision is needed. From {in_words(asked)} to "
            f"{in_words(due)} there are {days}; the first day it can decide is {in_words(earliest)}. "
            "If that is too late, say why the notice is waived (input notice-waived)."
        )
        yield refusal(text, "Task.restriction.period.end")


def due_of(task: Resource) -> date | None:
    """The day a decision is needed."""
    return last_day(((task.get("restriction") or {}).get("period") or {}).get("end"))


def is_waived(task: Resource) -> bool:
    return any(isinstance(one, str) and one.strip() for one in given(task, "notice-waived"))


def _to_the_convenor(task: Resource, about: About) -> Asking[list[Issue]]:
    """Clause g: it goes to somebody of the commissioner, who convenes the panel."""
    owner, owners = key_of(task.get("owner")), {owner_of(one) for one in about.budgets} - {""}
    if not owner.startswith("PractitionerRole/") or not owners:
        return []
    role: Resource | None = (yield Read(owner))[owner]
    if role is None or role.get("active") is False:
        return [refusal(f"{owner} convenes no panel: there is no such role, or nobody has it any more.", "Task.owner")]
    employer = key_of(role.get("organization"))
    found: dict[str, Resource | None] = (yield Read(employer)) if employer else {}
    if {employer, key_of((found.get(employer) or {}).get("partOf"))} & owners:
        return []
    seen: frozenset[str] = yield Sees(*(f"Account/{one['id']}" for one in about.budgets))
    told = sorted({owner_of(one) for one in about.budgets if f"Account/{one['id']}" in seen} - {""})
    named = f" ({', '.join(told)})" if told else ""
    text = f"A referral goes to the convenor of the panel, who is of the commissioner{named}; {owner} is not."
    return [refusal(text, "Task.owner")]


def _papers_in_time(case: Case, task: Resource) -> Asking[list[Issue]]:
    """Clause f: all paperwork is there seven days before."""
    due = due_of(task)
    papers = [key for one in given(task, "papers") if (key := key_of(one))]
    if due is None or not papers or is_waived(task):
        return []
    known = {key for one in given(case.before, "papers") if (key := key_of(one))} if case.before is not None else set()
    found: dict[str, Resource | None] = yield Read(*papers)
    issues = []
    for key in papers:
        came = _came(case, task, found[key], is_known=key in known)
        if came is not None and (due - came).days < PAPERS_DAYS:
            text = (
                f"{key} came on {in_words(came)}. All papers are with the panel at least {PAPERS_DAYS} days before a decision is needed, "
                f"by {in_words(days_later(due, -PAPERS_DAYS))}, unless the notice is waived."
            )
            issues.append(refusal(text, "Task.input"))
    return issues


def _came(case: Case, task: Resource, paper: Resource | None, *, is_known: bool) -> date | None:
    """The day a paper came: with the referral, or today; never before it was written."""
    written = first_day((paper or {}).get("date") or (paper or {}).get("authored"))
    came = asked_on(case, task) if case.is_new else None if is_known else case.today
    return max((day for day in (written, came) if day is not None), default=None)


def _panel_is_fit(case: Case, task: Resource) -> Asking[list[Issue]]:
    """Clauses k and o: who sits on the panel, once a day is set."""
    panel = yield from _panel_of(task)
    if panel is None:
        text = (
            "Once a day is set, a referral names its panel (input panel): a CareTeam of the kind risk-enablement-panel."
        )
        return [refusal(text, "Task.input")]
    seats = [*seats_of(panel, day_of_decision(case))]
    issues = [*check_members(seats)]
    if not is_of(panel, person := key_of(task.get("for"))):
        issues.append(
            refusal(f"CareTeam/{panel.get('id')} is the panel about somebody else, not {person}.", "Task.input")
        )
    return issues + (yield from check_from_outside(task, seats))


def _panel_of(task: Resource) -> Asking[Resource | None]:
    key = next((key for one in given(task, "panel") if (key := key_of(one))), "")
    found: dict[str, Resource | None] = (yield Read(key)) if key.startswith("CareTeam/") else {}
    panel = found.get(key)
    if panel is None or panel.get("status", "active") != "active":
        return None
    kinds = {code_in(one, TEAM_KIND) for one in panel.get("category", ())}
    return panel if "risk-enablement-panel" in kinds else None


# ---- where it is ---------------------------------------------------------------------------------


def label_of(task: Resource | None) -> str:
    """What the business status says of a referral: a code of phb-task-business-status; "" for nothing."""
    return code_in((task or {}).get("businessStatus"), BUSINESS_STATUS)


def check_label(case: Case) -> Iterator[Issue]:
    """Whether the business status goes with the status, and does not go back while the panel sits."""
    after = case.after
    if after is None or after.get("status") not in LABELS:
        return
    was, is_now, status = label_of(case.before), label_of(after), str(after["status"])
    is_same = case.before is not None and (case.before.get("status"), was) == (status, is_now)
    if not is_same and is_now not in LABELS[status]:
        known = " or ".join(f"'{one}'" for one in LABELS[status] if one) or "nothing yet"
        said = f"'{is_now}'" if is_now else "nothing"
        yield refusal(f"The business status of a referral that is {status} says {known}; this one says {said}.", _LABEL)
    elif was == QUORATE and is_now != QUORATE and status == "in-progress":
        text = "The panel was quorate. Where members have left since, and it cannot decide, the referral is put on hold until it can."
        yield refusal(text, _LABEL)


_LABEL = "Task.businessStatus"


def _has_quorum(case: Case, task: Resource) -> Asking[list[Issue]]:
    """Clause l: those are there whom the panel needs to decide: who has voted, or takes part in the appointment for it."""
    there = {one.member for one in votes_of(task)} | (yield from _met(case))
    behind = yield from persons_behind(*sorted(there))
    return [*check_quorum(there, (yield from _seats(case, task)), behind)]


def _met(case: Case) -> Asking[set[str]]:
    """Who takes part in the appointment for the referral."""
    meetings: list[Resource] = yield Find("Appointment", ("supporting-info", case.key))
    return {who for one in meetings for who in present_at(one)}


def _seats(case: Case, task: Resource) -> Asking[list[Seat]]:
    panel = yield from _panel_of(task)
    return [] if panel is None else [*seats_of(panel, day_of_decision(case))]


# ---- the decision --------------------------------------------------------------------------------


def _decided(case: Case, task: Resource) -> Asking[list[Issue]]:
    owner = key_of(task.get("owner"))
    found: dict[str, Resource | None] = (yield Read(owner)) if owner.startswith("PractitionerRole/") else {}
    issues = [*check_decider(case.by, owner, found.get(owner))]
    votes, seats = votes_of(task), (yield from _seats(case, task))
    behind = yield from persons_behind(*(one.member for one in votes))
    issues += [*check_votes(votes, seats, behind), *check_presence(task, votes, seats)]
    is_approved = answer_of(task) == "approved"
    if is_approved:
        issues += check_unanimous(votes, (yield from _met(case)), seats)
    elif not says_why(task):
        text = "A panel that does not agree, or refers on, says why, and who decides instead (statusReason)."
        issues.append(refusal(text, "Task.statusReason"))
    issues += yield from _is_written_down(task, is_approved=is_approved)
    return issues + (yield from _can_be_reviewed(task))


def _is_written_down(task: Resource, *, is_approved: bool) -> Asking[list[Issue]]:
    """Clauses j and q: minutes are there, and the seven questions were answered; for approval, all of them with yes."""
    records = [key for one in brought(task, "suitability-record") if (key := key_of(one))]
    minutes = [key for one in brought(task, "minutes") if (key := key_of(one))]
    found: dict[str, Resource | None] = (yield Read(*records, *minutes)) if records or minutes else {}
    person = key_of(task.get("for"))
    issues = []
    for key in (*records, *minutes):
        one = found[key]
        if one is None or one.get("status") not in ("completed", "amended", "current"):
            issues.append(refusal(f"{key} is not there, or not finished.", "Task.output"))
        elif key_of(one.get("subject")) not in ("", person):
            issues.append(refusal(f"{key} is about somebody else.", "Task.output"))
    for key in records if is_approved else ():
        issues += check_suitable(found[key])
    return issues


# ---- what follows --------------------------------------------------------------------------------


def _following(case: Case, task: Resource) -> Asking[list[Follow]]:
    """The person is told; the care team carries out what was agreed (clause d); where it is to be looked at again, a review is planned (clause r)."""
    is_new, days = not is_brought_in(case), _reviews_on(task)
    follow = [notice(case, *_letter(task))] if is_new else []
    plan, budget = yield from _plan_and_budget(task)
    owner = coordinator_in((yield from teams_of(plan)), case.today) or key_of(task.get("owner"))
    if is_new and answer_of(task) == "approved":
        follow.append(Follow(_carried_out(case, task, owner)))
    follow += [Follow(_review(case, task, plan or {}, budget or {}, owner, day)) for day in days]
    return follow


def _carried_out(case: Case, task: Resource, owner: str) -> Resource:
    """What the panel agreed to, for the care team to do (R121)."""
    at = instant_text(case.now)
    return {
        "resourceType": "Task",
        "partOf": [{"reference": case.key}],
        "status": "requested",
        "intent": "order",
        "priority": "routine",
        "code": concept(TASK_CODE, "panel-follow-up", "Carry out what the panel agreed"),
        "description": f"The risk enablement panel agreed; see that it is done. It was asked: {task.get('description')}",
        "focus": task.get("focus"),
        "for": task.get("for"),
        "authoredOn": at,
        "lastModified": at,
        "requester": task.get("owner"),
        "owner": {"reference": owner},
    }


def _reviews_on(task: Resource) -> list[str]:
    return [one for one in brought(task, "review-on") if isinstance(one, str)]


def _plan_and_budget(task: Resource) -> Asking[tuple[Resource | None, Resource | None]]:
    """The plan and the budget that a referral is about, whichever of them it names."""
    about = yield from _about(task)
    budget = next(iter(about.budgets), None)
    if is_plan(about.what):
        return about.what, budget
    key = plan_of(budget) if budget is not None else ""
    found: dict[str, Resource | None] = (yield Read(key)) if key else {}
    return found.get(key), budget


def _can_be_reviewed(task: Resource) -> Asking[list[Issue]]:
    if not _reviews_on(task):
        return []
    plan, budget = yield from _plan_and_budget(task)
    if plan is not None and budget is not None:
        return []
    text = "A review is of a budget and its plan; link the two before the panel sets a day to look at them again (review-on)."
    return [refusal(text, "Task.output")]


def _review(case: Case, task: Resource, plan: Resource, budget: Resource, owner: str, day: str) -> Resource:
    at = instant_text(case.now)
    return {
        "resourceType": "Task",
        "basedOn": [{"reference": f"CarePlan/{plan.get('id')}"}],
        "partOf": [{"reference": case.key}],
        "status": "ready",
        "intent": "plan",
        "priority": "routine",
        "code": concept(TASK_CODE, "phb-review", "Review"),
        "description": f"The risk enablement panel wants to look at this again: {task.get('description')}",
        "focus": {"reference": f"Account/{budget.get('id')}"},
        "for": task.get("for"),
        "authoredOn": at,
        "lastModified": at,
        "requester": task.get("owner"),
        "owner": {"reference": owner},
        "reasonCode": concept(REVIEW_TYPE, "scheduled", "Scheduled review"),
        "restriction": {"period": {"end": day}},
    }


def _letter(task: Resource) -> tuple[str, ...]:
    outcome = answer_of(task)
    return (
        f"The risk enablement panel {_SAID.get(outcome, 'decided')}",
        f"It was asked: {task.get('description')}",
        f"The panel {_SAID.get(outcome, 'decided')}.",
        f"Why: {reason_in_words(task)}" if reason_in_words(task) else "",
    )


_SAID = {
    "approved": "agreed",
    "not-approved": "did not agree",
    "referred-on": "did not decide, and referred it on",
}

"""Appeals (R142 to R146; SM-F): a decision is looked at once more, by somebody who did not make it.

    requested → received → accepted → in-progress → completed: upheld, part-upheld, not-upheld
                         → rejected, cancelled

The person asks, or who speaks for them, or anybody who writes it down for them. What can be appealed is a decision: a Task of DECISIONS that is
over, or the decision to pay back. There is one reconsideration of each (regulations 7, 8, 13 and 15 of SI 2013/1617 know one). What the panel
decided is final (R119, R143), as it decides with the person at the table. The profile asks for the outcome and its reasons.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from phb_fhir.fhir.codec import Resource
from phb_fhir.outcome import Issue
from phb_fhir.rules.case import (
    NOTHING,
    SPEAK_FOR_THEMSELVES,
    Asking,
    By,
    Case,
    Decision,
    Find,
    Hold,
    Judging,
    Read,
    refusal,
)
from phb_fhir.rules.deciding import (
    STEPS,
    answer_of,
    check_decider,
    check_step,
    check_taken_up,
    is_about,
    is_being_decided,
    is_brought_in,
    kind_of,
    notice,
    persons_behind,
    reason_in_words,
    same_person,
)
from phb_fhir.rules.words import TASK_CODE, key_of

CODE = "appeal"
NOTICE = "repayment-notice"  # can be appealed from the day it is given (SM-J)
# what can be appealed, in words
DECISIONS: Mapping[str, str] = {
    "plan-sign-off": "whether the plan is signed off",
    "eligibility-request": "whether a budget is offered",
    "phb-request": "whether a budget is set up",
    "management-model-request": "how the money is held",
    "unusual-request": "whether something may be bought",
    "phb-review": "what a review changed",
    NOTICE: "what is to be paid back",
    "exception": "whether an exception is made",
    "joint-budget-request": "whether budgets are managed as one",
}
OVER = frozenset(("completed", "rejected"))
CAME_TO_NOTHING = frozenset(("cancelled", "rejected", "failed", "entered-in-error"))
DECIDING = frozenset(("accepted", "in-progress", "completed"))
DECIDERS = ("commissioner", "nhs-team", "care-coordinator")  # roles in which somebody decides for their organisation

# SM-F: an appeal is taken up before it is decided, and decided after it was looked at
APPEAL_STEPS: Mapping[str, tuple[str, ...]] = {
    **STEPS,
    "requested": ("requested", "received", "accepted", "rejected", "cancelled", "entered-in-error"),
    "received": ("received", "accepted", "rejected", "cancelled", "entered-in-error"),
    "accepted": ("accepted", "in-progress", "on-hold", "cancelled", "entered-in-error"),
    "ready": (),
}
_WORDS = {"upheld": "succeeded", "part-upheld": "succeeded in part", "not-upheld": "did not succeed"}


def judge_appeal(case: Case) -> Judging:
    """What may become of an appeal, and what follows from its outcome."""
    if not is_about(case, CODE):
        return NOTHING
    issues = [*check_step(case, APPEAL_STEPS), *check_taken_up(case)]
    task = case.after
    if task is None or task.get("status") in CAME_TO_NOTHING or task.get("status") == "draft":
        return Decision(tuple(issues))
    decision = yield from _decision_of(task)
    if _is_asked(case):
        yield Hold(f"appeal {key_of(task.get('focus'))}")  # of two that come at once, one sees the other
        issues += yield from _asked(case, task, decision)
    if task.get("status") in DECIDING and _is_given_to_somebody(case):
        issues += yield from _by_somebody_else(task, decision)
    if is_being_decided(case):
        issues += yield from _by_its_owner(case, task, decision)
        issues += [] if _is_asked(case) else (yield from _only_one(case, key_of(task.get("focus"))))
    if issues or not is_being_decided(case) or is_brought_in(case):
        return Decision(tuple(issues))
    return Decision(follow=(notice(case, *_letter(task, decision)),))


def _is_asked(case: Case) -> bool:
    """Whether this write asks for the appeal, or asks for something else than it did."""
    before, after = case.before, case.after or {}
    if before is None or before.get("status") == "draft":
        return True
    return any(key_of(before.get(name)) != key_of(after.get(name)) for name in ("focus", "for", "requester"))


def _is_given_to_somebody(case: Case) -> bool:
    before, after = case.before or {}, case.after or {}
    return before.get("status") not in DECIDING or key_of(before.get("owner")) != key_of(after.get("owner"))


def _decision_of(task: Resource) -> Asking[Resource | None]:
    key = key_of(task.get("focus"))
    found: dict[str, Resource | None] = (yield Read(key)) if key.startswith("Task/") else {}
    return found.get(key)


# ---- asking --------------------------------------------------------------------------------------


def _asked(case: Case, task: Resource, decision: Resource | None) -> Asking[list[Issue]]:
    issues = [*_can_be_appealed(decision)]
    if decision is not None:
        issues += same_person(task, key_of(decision.get("for")), "the decision")
        issues += yield from _only_one(case, key_of(task.get("focus")))
    issues += _asks_for_themselves(case.by, task)
    return issues + (yield from _by_whom(task))


def _can_be_appealed(decision: Resource | None) -> Iterator[Issue]:
    kind = kind_of(decision)
    if decision is None:
        yield refusal("An appeal is about a decision that is in the record (focus: its Task).", "Task.focus")
    elif kind == CODE:
        text = "This is an appeal that was decided. A decision is looked at again once; you can still complain, to the NHS or the Ombudsman."
        yield refusal(text, "Task.focus")
    elif kind == "risk-panel-referral":
        text = "What the risk enablement panel decided is final. You can still complain, to the NHS or the Ombudsman."
        yield refusal(text, "Task.focus")
    elif kind not in DECISIONS:
        what = "; ".join(DECISIONS.values())
        yield refusal(f"Nothing was decided by this task that could be appealed. What can be: {what}.", "Task.focus")
    elif decision.get("status") not in OVER and kind != NOTICE:
        text = f"Nothing is decided yet: the task about {DECISIONS[kind]} is {decision.get('status')}."
        yield refusal(text, "Task.focus")


def _only_one(case: Case, decision: str) -> Asking[list[Issue]]:
    """One reconsideration of each decision; one that was withdrawn does not count."""
    found: list[Resource] = yield Find("Task", ("focus", decision), ("code", f"{TASK_CODE}|{CODE}"))
    others = [one for one in found if one.get("id") != case.id and one.get("status") not in CAME_TO_NOTHING]
    if not others:
        return []
    last = others[0]
    stands = f"decided ({answer_of(last)})" if answer_of(last) else f"being looked at ({last.get('status')})"
    text = f"This decision has been appealed already, by Task/{last.get('id')}, which is {stands}. A decision is looked at again once."
    return [refusal(text, "Task.focus")]


def _asks_for_themselves(by: By, task: Resource) -> Iterator[Issue]:
    """Whoever asks for themselves is who the appeal says it is; a professional may write down for somebody what they ask."""
    asker = key_of(task.get("requester"))
    if by.role in SPEAK_FOR_THEMSELVES and asker not in by.names | by.patients:
        yield refusal(f"You ask for this appeal, and it says that {asker or 'nobody'} does.", "Task.requester")


def _by_whom(task: Resource) -> Asking[list[Issue]]:
    asker, person = key_of(task.get("requester")), key_of(task.get("for"))
    if asker == person:
        return []
    found: dict[str, Resource | None] = (yield Read(asker)) if asker.startswith("RelatedPerson/") else {}
    if key_of((found.get(asker) or {}).get("patient")) == person:
        return []
    text = "An appeal is asked for by the person whom the decision is about, or by somebody who speaks for them (requester)."
    return [refusal(text, "Task.requester")]


# ---- deciding ------------------------------------------------------------------------------------


def _by_somebody_else(task: Resource, decision: Resource | None) -> Asking[list[Issue]]:
    """R142: not who decided first, in this role or another."""
    owner, first = key_of(task.get("owner")), key_of((decision or {}).get("owner"))
    if not owner or not first:
        return []
    behind = yield from persons_behind(owner, first)
    if not behind[owner] & behind[first]:
        return []
    text = f"An appeal is decided by somebody who did not make the decision: {first} did, so {owner} cannot."
    return [refusal(text, "Task.owner")]


def _by_its_owner(case: Case, task: Resource, decision: Resource | None) -> Asking[list[Issue]]:
    """Whoever owns the appeal decides it; not by the hand of who decided first, whomever they act for."""
    owner, first = key_of(task.get("owner")), key_of((decision or {}).get("owner"))
    found: dict[str, Resource | None] = (yield Read(owner)) if owner.startswith("PractitionerRole/") else {}
    behind = yield from persons_behind(first)
    themselves = {name for name in case.by.names if not name.startswith("Organization/")}
    issues = [*check_decider(case.by, owner, found.get(owner), DECIDERS)]
    if behind[first] & themselves:
        issues.append(refusal("You made the decision that is appealed; somebody else looks at it again.", "Task.owner"))
    return issues


def _letter(task: Resource, decision: Resource | None) -> tuple[str, ...]:
    what = DECISIONS.get(kind_of(decision), "the decision")
    return (
        f"Your appeal {_WORDS.get(answer_of(task), 'was decided')}",
        f"You asked for somebody else to look at this: {what}. The appeal {_WORDS.get(answer_of(task), 'was decided')}.",
        f"Why: {reason_in_words(task)}",
        "This was the reconsideration. If you are still not content, you can complain, to the NHS or the Ombudsman.",
    )

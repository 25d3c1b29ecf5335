"""Tasks that have no table of states of their own (SM-D), and the requests among them that somebody decides (R3, R140, DP-3, DP-5).

What is over stays over: it is done again by another Task; and no Task becomes one of another kind. A request that is decided says yes or no, and why
not; a no or a yes is given by whoever may, never by who asks for it. Nor does whoever holds the money say that somebody has looked into how it is
used (R48, R76, R87, R88, R107, R121), or at a worry about harm (R51, R113).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from phb_fhir.outcome import Issue
from phb_fhir.rules.around import says_why
from phb_fhir.rules.case import NOTHING, PROFESSIONALS, SPEAK_FOR_THEMSELVES, Case, Decision, Judging, refusal
from phb_fhir.rules.deciding import answer_of, bare, check_step, kind_of
from phb_fhir.rules.words import key_of

# kinds whose rules have a table of their own
_OWN_STEPS = frozenset(("phb-review", "plan-sign-off", "appeal", "risk-panel-referral", "repayment-notice"))
_OWN_ASKERS = frozenset(("phb-review", "appeal", "risk-panel-referral"))  # and those that look at who asks
_COMMISSIONER = frozenset(("", "system", "commissioner"))

# who decides each kind of request ("" is anybody of an open server), and the sentence for others
DECIDED: Mapping[str, tuple[frozenset[str], str]] = {
    "phb-request": (PROFESSIONALS, "Whether a budget is set up is decided by the NHS team or the commissioner."),
    "eligibility-request": (
        _COMMISSIONER,
        "A case outside the groups that have a right is decided by the commissioner.",
    ),
    "management-model-request": (
        PROFESSIONALS,
        "How the money is held is agreed with the NHS team or the commissioner; they record it.",
    ),
    "joint-budget-request": (
        PROFESSIONALS,
        "Whether budgets are managed as one is agreed by the NHS team or the commissioner.",
    ),
    "exception": (PROFESSIONALS, "Whether an exception is made is decided by the NHS team or the commissioner."),
}

# what somebody sees to, by the roles that say when it is done, and the sentence for others; two kinds are asked by the NHS, or by the server
_ASKED_BY_NHS = frozenset(("surplus-review", "overspend-query"))
_BY_NHS = (
    PROFESSIONALS,
    "Whether this is done is for the NHS team or the commissioner to say; they complete the task.",
)
_BY_PRACTICE = (
    PROFESSIONALS | {"practice"},
    "What a practice is asked is answered by the practice, or recorded by the NHS team.",
)
SEEN_TO: Mapping[str, tuple[frozenset[str], str]] = {
    "surplus-review": _BY_NHS,
    "overspend-query": _BY_NHS,
    "start-up-checklist": _BY_NHS,
    "unusual-request": _BY_NHS,
    "provider-check": _BY_NHS,
    "panel-follow-up": _BY_NHS,
    "safeguarding-referral": _BY_NHS,  # nobody about whom, or about whose helpers, it is says that it was looked into
    "clinical-information-request": _BY_PRACTICE,
    "medical-history-confirmation": _BY_PRACTICE,
}

_GOING_ON = ("requested", "received", "accepted", "ready", "in-progress", "on-hold")
OVER = ("rejected", "cancelled", "failed", "completed")
_NEXT = (*_GOING_ON, *OVER, "entered-in-error")
STEPS: Mapping[str, tuple[str, ...]] = {
    "draft": ("draft", *_NEXT),
    **dict.fromkeys(_GOING_ON, _NEXT),
    **{status: (status, "entered-in-error") for status in OVER},
    "entered-in-error": ("entered-in-error",),
}


def judge_request(case: Case) -> Judging:
    """What may become of a Task, and who decides what it asks for."""
    yield from ()
    kinds = {kind_of(case.before), kind_of(case.after)} - {""}
    if case.is_own or not kinds:
        return NOTHING
    asked = (*_kind_stays(case), *(() if kinds & _OWN_ASKERS else _asked_by(case)))
    if kinds & _OWN_STEPS:
        return Decision(asked) if asked else NOTHING
    stands = case.before is not None and kind_of(case.before) in DECIDED
    issues = check_step(case, STEPS) if stands else _stepped(case)
    return Decision((*asked, *_stays(case), *issues, *_decided(case), *_seen_to(case)))


def _kind_stays(case: Case) -> Iterator[Issue]:
    """What was asked for, or decided, as one thing is not another afterwards: each kind has its own who decide it."""
    before, after = case.before, case.after
    if before is None or after is None or before.get("status") == "draft" or after.get("status") == "entered-in-error":
        return
    was, now = kind_of(before), kind_of(after)
    if was != now and (
        now or not case.by.is_professional
    ):  # to be of no kind of ours at all is the profile's to refuse
        text = "What a task is about, its kind, stays as it was asked for. Take this one back, and make another."
        yield refusal(text, "Task.code")


def _stays(case: Case) -> Iterator[Issue]:
    """What others ask for stays as they asked it, and what is over is of what it was of: but for the NHS team and the commissioner."""
    before, after = case.before, case.after
    if before is None or after is None or case.by.is_professional or before.get("status") == "draft":
        return
    if before.get("status") not in OVER and key_of(before.get("requester")) in case.by.names | case.by.patients:
        return
    for name in ("focus", "for", "description"):
        if bare(before.get(name)) != bare(after.get(name)):
            text = "What this is about is for who asked for it, while it waits, and for the NHS team or the commissioner to change."
            yield refusal(text, f"Task.{name}")


def _asked_by(case: Case) -> Iterator[Issue]:
    """Whoever asks for something asks in their own name: who acts for somebody is not that person (R168). Professionals write down what others ask."""
    asker = key_of((case.after or {}).get("requester"))
    if case.by.role not in SPEAK_FOR_THEMSELVES or asker in ("", key_of((case.before or {}).get("requester"))):
        return
    if asker not in case.by.names | case.by.patients:
        text = "Who asks for this is who is signed in: name yourself. For whom you ask stands in Task.for."
        yield refusal(text, "Task.requester")


def _stepped(case: Case) -> Iterator[Issue]:
    return (issue for issue in check_step(case, STEPS) if issue.expression == "Task.status")


def _decided(case: Case) -> Iterator[Issue]:
    task, kind = case.after, kind_of(case.after)
    if task is None or kind not in DECIDED or task.get("status") != "completed":
        return
    answer = answer_of(task)
    if answer not in ("approved", "not-approved"):
        text = "A request that is completed was decided: say approved or not-approved."
        yield refusal(text, "Task.businessStatus")
    if answer == "not-approved" and not says_why(task):
        yield refusal("Whoever is told no is told why: give the reason.", "Task.statusReason")
    roles, text = DECIDED[kind]
    if answer != answer_of(case.before) and case.by.role not in roles:
        yield refusal(text, "Task.businessStatus")


def _seen_to(case: Case) -> Iterator[Issue]:
    """Who asked for something may withdraw it; else it is over by the word of those who see to it."""
    task, before, kind = case.after, case.before or {}, kind_of(case.after)
    if task is None or kind not in SEEN_TO or case.by.role in SEEN_TO[kind][0]:
        return
    status, asker = task.get("status"), key_of((case.before or task).get("requester"))
    withdraws = status == "cancelled" and asker in case.by.names | case.by.patients
    ends = status in (*OVER, "entered-in-error") and status != before.get("status")
    if status == "completed" or (ends and not withdraws):
        yield refusal(SEEN_TO[kind][1], "Task.status")
    elif kind in _ASKED_BY_NHS and kind_of(before) != kind:
        text = "How the money is used is asked about by the NHS team or the commissioner. To have it looked at, call a review."
        yield refusal(text, "Task.code")

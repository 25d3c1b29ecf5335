"""The life of a budget, from being asked for to being closed (C32E1, SM-A): which stage follows which, what each needs, who takes the step.

    requested → eligibility-confirmed → indicative-set → planning → sign-off-pending → authorised → active ⇄ suspended → closing → closed

STEPS is the table of stages, `stages.NEEDS` what must be in the record at each. A need is looked at when a budget comes to a stage at which
it holds, and when what it looks at changes while it is there; not because time has passed: that a Coverage has ended since is for a review
to find, and is no reason to refuse a new telephone number. A budget may be brought in at any stage, with everything that stage needs.

Which Account.status goes with a stage is the profile's to say (phb-acc-5). Where the guide's profiles ask for an element already, these
rules do not ask again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from phb_fhir.fhir.codec import Resource
from phb_fhir.outcome import Issue
from phb_fhir.rules.amendment import amended, told_in_reviews
from phb_fhir.rules.budget import ONGOING, is_budget, is_joint, owner_of, person_of, stage_of
from phb_fhir.rules.case import NOTHING, Case, Decision, Judging, no_step, refusal
from phb_fhir.rules.deletion import leaned_on, needed_still
from phb_fhir.rules.remarks import remarked
from phb_fhir.rules.review import scheduled
from phb_fhir.rules.stages import needed

STEPS: Mapping[str, tuple[str, ...]] = {
    "requested": ("eligibility-confirmed", "declined-by-person", "refused", "not-eligible", "entered-in-error"),
    "eligibility-confirmed": ("indicative-set", "declined-by-person", "refused", "not-eligible", "entered-in-error"),
    "indicative-set": ("planning", "declined-by-person", "refused", "not-eligible", "entered-in-error"),
    "planning": ("sign-off-pending", "declined-by-person", "refused", "not-eligible", "entered-in-error"),
    # a plan that cannot be signed off yet goes back to be changed (R139)
    "sign-off-pending": ("authorised", "planning", "declined-by-person", "refused", "not-eligible", "entered-in-error"),
    "authorised": ("active", "closing", "declined-by-person", "entered-in-error"),
    "active": ("suspended", "closing", "entered-in-error"),
    "suspended": ("active", "closing", "entered-in-error"),
    "closing": ("closed", "entered-in-error"),
    "closed": ("entered-in-error",),
    # nothing said once is said for ever: people change their minds, needs change, appeals succeed (R53, R142)
    "declined-by-person": ("requested", "entered-in-error"),
    "refused": ("requested", "entered-in-error"),
    "not-eligible": ("requested", "entered-in-error"),
    "entered-in-error": (),
}
STAGES = tuple(STEPS)
_STAGE = "Account.extension.where(url.endsWith('phb-lifecycle-status')).value"
# a person asks for a budget, and says no to one; whatever else becomes of it, professionals decide with them
_PERSONS = frozenset(("requested", "declined-by-person"))


def judge_budget(case: Case) -> Judging:
    """What speaks against a write of a budget, and the review that follows from its becoming active."""
    if not (is_budget(case.before) or is_budget(case.after)):
        return NOTHING
    if case.after is None:
        return Decision(tuple(_deleted(case)))
    issues = [*_stays_a_budget(case), *_stepped(case), *_by_whom(case)]
    if new := leaned_on(case.after) - leaned_on(case.before):
        yield needed_still(*sorted(new))
    issues += yield from needed(case)
    issues += yield from amended(case)
    if any(issue.is_error for issue in issues):
        return Decision(tuple(issues))
    issues += yield from remarked(case)
    content, follow = yield from scheduled(case)
    told = yield from told_in_reviews(case)
    return Decision(tuple(issues), content=content, follow=(*follow, *told))


def _stays_a_budget(case: Case) -> Iterator[Issue]:
    """Whose budget and whose money it is, and that it is a budget, never changes: another person's, or funder's, is another Account."""
    if case.before is None or case.after is None or not is_budget(case.before):
        return
    if stage_of(case.before) in ("", "requested"):
        return
    if not is_budget(case.after):
        yield refusal("A personal health budget stays one: its type cannot be taken away.", "Account.type")
    elif person_of(case.before) != person_of(case.after):
        yield refusal("A budget stays the same person's. Another person has another Account.", "Account.subject")
    elif stage_of(case.before) in ONGOING:
        yield from _stays_whose_it_is(case.before, case.after)


def _stays_whose_it_is(before: Resource, after: Resource) -> Iterator[Issue]:
    """Money that one commissioner allocated is not used as another's: each funder's sums are exact (RULE-LEDGER)."""
    if is_joint(before) != is_joint(after):
        was = "joint, and has no money of its own" if is_joint(before) else "one funder's, with a ledger of its own"
        yield refusal(f"This budget is {was}. One of the other kind is another Account.", "Account.type")
    elif owner_of(before) != owner_of(after):
        what = "This joint budget" if is_joint(before) else "The money of this budget"
        text = f"{what} is {owner_of(before)}'s. What another commissioner {'manages' if is_joint(before) else 'gives'} is another Account."
        yield refusal(text, "Account.owner")


def _stepped(case: Case) -> Iterator[Issue]:
    was, now = stage_of(case.before), stage_of(case.after)
    if not was or was == now or now in STEPS.get(was, ()) or not is_budget(case.after):
        return
    yield no_step("A budget", was, now, STEPS.get(was, ()), _STAGE)


def _by_whom(case: Case) -> Iterator[Issue]:
    by = case.by
    if case.is_own or by.is_professional:
        return
    was, now = stage_of(case.before), stage_of(case.after)
    is_theirs = person_of(case.after or {}) in by.patients | by.acts_for
    if is_theirs and now in _PERSONS and was != now:
        return
    text = "A budget is changed by the NHS team or the commissioner. The person asks for one, says no to one, and calls a review at any time."
    yield refusal(text, "Account")


def _deleted(case: Case) -> Iterator[Issue]:
    """What was never more than asked for may go; the rest is somebody's history."""
    stage = stage_of(case.before)
    if stage not in ("", "requested"):
        text = f"This budget has come to {stage}, and its record is kept. Mark it as entered in error, or close it."
        yield refusal(text, "Account")

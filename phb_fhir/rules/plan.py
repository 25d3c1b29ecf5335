"""Care plans of budgets (C32E4; SM-B; R18, R38, R93, R100, R105): what may become of them, and what is kept as it was agreed.

A plan is a draft for as long as anybody likes, and anybody who may write it changes it freely. It becomes active by being signed off:
a Task `plan-sign-off` that approved it (`sign_off`). From then on what was agreed stands: an amended plan is a new draft that names this
one in `replaces`. When that is signed off, the budgets go over to it, and this one ends, in one transaction.

    draft → active ⇄ on-hold → completed or revoked

A budget names its plan (`phb-care-plan`), a plan may serve several budgets, and both are of the same person.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.outcome import Issue
from phb_fhir.rules.around import names_of
from phb_fhir.rules.budget import OVER, days_of, is_budget, person_of, plan_of, stage_of
from phb_fhir.rules.case import NOTHING, Asking, Case, Decision, Find, Follow, Judging, Read, no_step, refusal
from phb_fhir.rules.deciding import answer_of, bare
from phb_fhir.rules.words import BASE, TASK_CODE, code_in, extensions, key_of, keys_in, with_value

PLAN_KIND = f"{BASE}/CodeSystem/phb-plan-kind"
LINK = "Account.extension.where(url.endsWith('phb-care-plan')).valueReference"

# SM-B: from which status a plan may come to which
STEPS: Mapping[str, tuple[str, ...]] = {
    "draft": ("draft", "active", "revoked", "entered-in-error"),
    "active": ("active", "on-hold", "completed", "revoked", "entered-in-error"),
    "on-hold": ("on-hold", "active", "completed", "revoked", "entered-in-error"),
    "completed": ("completed", "entered-in-error"),
    "revoked": ("revoked", "entered-in-error"),
    "entered-in-error": ("entered-in-error",),
}
IN_FORCE = frozenset(("active", "on-hold"))
NEEDS_SIGN_OFF = frozenset(("active", "on-hold", "completed"))  # a plan that was revoked may never have been agreed
ENDED = frozenset(("completed", "revoked", "entered-in-error"))
LIVE = frozenset(("authorised", "active", "suspended"))  # stages in which a budget is spent by its plan, or will be

# what was agreed; everything else (notes, progress, who contributes, the team's own record) lives on
_AGREED = ("intent", "subject", "period", "description", "addresses", "goal", "replaces")
_AGREED_OF_ACTIVITY = ("extension", "modifierExtension", "reference")
_LIVES_ON = ("status", "statusReason")  # of the detail of an activity
_AGREED_OF_GOAL = ("description", "category", "subject", "addresses")


# ---- readings ------------------------------------------------------------------------------------


def is_plan(plan: Resource | None) -> bool:
    """Whether a CarePlan is that of a personal health budget."""
    return plan is not None and any(code_in(one, PLAN_KIND) for one in plan.get("category", ()))


def key_of_plan(plan: Resource) -> str:
    return f"CarePlan/{plan.get('id')}"


def status_of(plan: Resource | None) -> str:
    return "" if plan is None else str(plan.get("status", ""))


def activities_of(plan: Resource) -> list[dict[str, Any]]:
    """The activities that are meant to happen."""
    return [one for one in plan.get("activity", ()) if (one.get("detail") or {}).get("status") not in _NOT_MEANT]


_NOT_MEANT = ("cancelled", "stopped", "entered-in-error")


def activity_title(activity: Mapping[str, Any]) -> str:
    """What an activity is called; "" where it has no name."""
    title = next((one.get("valueString") for one in extensions(activity, _ACTIVITY_TITLE)), None)
    return str(title or ((activity.get("detail") or {}).get("code") or {}).get("text") or "")


_ACTIVITY_TITLE = "http://hl7.org/fhir/StructureDefinition/careplan-activity-title"


def title_of(plan: Resource) -> str:
    return str(plan.get("title") or key_of_plan(plan))


def budgets_of(*plans: str) -> Asking[list[Resource]]:
    """The budgets that name any of these plans, but for those that are over."""
    found: list[Resource] = (yield Find("Account", ("care-plan", ",".join(plans)))) if plans else []
    return [one for one in found if is_budget(one) and stage_of(one) not in OVER]


def budgets_for(plan: Resource) -> Asking[list[Resource]]:
    """The budgets that go with a plan once it is in force: those that name it, and the same person's that name one it replaces."""
    key, person = key_of_plan(plan), key_of(plan.get("subject"))
    found = yield from budgets_of(key, *keys_in(plan.get("replaces")))
    return [one for one in found if plan_of(one) == key or person_of(one) == person]


def sign_offs_of(plan: str) -> Asking[list[Resource]]:
    """The Tasks that approved a plan."""
    found: list[Resource] = yield Find("Task", ("focus", plan), ("code", f"{TASK_CODE}|plan-sign-off"))
    return [one for one in found if answer_of(one) == "approved"]


def version_in(reference: Any) -> str:
    """The version that a reference names: `3` of `CarePlan/1/_history/3`; "" for none."""
    text = reference.get("reference", "") if isinstance(reference, dict) else ""
    _, names_version, version = text.partition("/_history/")
    return version if names_version else ""


# ---- a plan is written ---------------------------------------------------------------------------


def judge_plan(case: Case) -> Judging:
    """What may become of a plan, and what follows when it takes effect."""
    if not (is_plan(case.before) or is_plan(case.after)):
        return NOTHING
    if case.after is None:
        return (yield from _deleted(case))
    issues = [*_step(case), *_kept(case), *_ids(case.after)]
    issues += yield from _one_person(case, case.after)
    is_starting = case.after.get("status") in NEEDS_SIGN_OFF and status_of(case.before) not in NEEDS_SIGN_OFF
    if is_starting:
        issues += yield from _signed_off(case, case.after)
    if is_starting or _replaces_others(case):
        issues += yield from _replaces_its_own(case.after, is_starting=is_starting)
    if _is_ending(case):
        issues += yield from _leaves_no_budget(case)
    takes_effect = is_starting and case.after.get("status") in IN_FORCE
    follow = (yield from taking_effect(case, case.after)) if takes_effect and not issues else []
    return Decision(tuple(issues), follow=tuple(follow))


def _step(case: Case) -> Iterator[Issue]:
    was, is_now = status_of(case.before), status_of(case.after)
    if case.before is None:
        if is_now not in STEPS:
            yield refusal(
                f"A plan is draft, active, on-hold, completed or revoked; '{is_now}' says none of it.", _STATUS
            )
        return
    if not is_plan(case.after) and was != "draft":
        yield refusal("A plan that was signed off stays the plan of a personal health budget.", "CarePlan.category")
    allowed = STEPS.get(was, tuple(STEPS))
    if is_now in allowed:
        return
    if is_now == "draft":
        text = f"This plan is {was}; it does not become a draft again. To change it, write a new draft that names it in 'replaces'."
        yield refusal(text, _STATUS)
    else:
        yield no_step("A plan", was, is_now, allowed, _STATUS)


_STATUS = "CarePlan.status"


def _kept(case: Case) -> Iterator[Issue]:
    """What was agreed stands, in a plan that is no draft any more (R105: in a draft anything may change)."""
    before, after = case.before, case.after
    if before is None or after is None or status_of(before) == "draft" or status_of(after) == "entered-in-error":
        return
    for name in _AGREED:
        if bare(before.get(name)) != bare(after.get(name)):
            yield refusal(f"The {_IN_WORDS.get(name, name)} {_WAS_AGREED}", f"CarePlan.{name}")
    yield from _activities_kept(before, after)
    if gone := [
        one for one in keys_in(before.get("supportingInfo")) if one not in keys_in(after.get("supportingInfo"))
    ]:
        text = f"{', '.join(gone)} {_WAS_AGREED} More may be added; nothing is taken away."
        yield refusal(text, "CarePlan.supportingInfo")


_WAS_AGREED = (
    "was agreed when the plan was signed off. To change it, write a new draft that names this plan in 'replaces'."
)
_IN_WORDS = {
    "subject": "person",
    "addresses": "list of needs",
    "goal": "list of goals",
    "replaces": "plan that it replaces",
}


def _activities_kept(before: Resource, after: Resource) -> Iterator[Issue]:
    was = {str(one.get("id")): one for one in before.get("activity", ())}
    is_now = {str(one.get("id")): one for one in after.get("activity", ())}
    for id_ in was.keys() - is_now.keys():
        text = (
            f"The activity '{id_}' {_WAS_AGREED} One that ends early is marked as stopped or cancelled; its id stays."
        )
        yield refusal(text, "CarePlan.activity")
    for id_ in is_now.keys() - was.keys():
        text = f"The activity '{id_}' was not agreed when the plan was signed off. To add it, write a new draft that names this plan in 'replaces'."
        yield refusal(text, "CarePlan.activity")
    for place, one in enumerate(after.get("activity", ())):
        id_ = str(one.get("id"))
        if id_ in was and _agreed(was[id_]) != _agreed(one):
            yield refusal(f"What the activity '{id_}' is and costs {_WAS_AGREED}", f"CarePlan.activity[{place}]")


def _agreed(activity: Mapping[str, Any]) -> Any:
    detail = {name: value for name, value in (activity.get("detail") or {}).items() if name not in _LIVES_ON}
    return bare([[activity.get(name) for name in _AGREED_OF_ACTIVITY], detail])


def _ids(plan: Resource) -> Iterator[Issue]:
    """A purchase names an activity by its id, so no two have the same (R19)."""
    seen: set[str] = set()
    for place, one in enumerate(plan.get("activity", ())):
        id_ = str(one.get("id", ""))
        if id_ and id_ in seen:
            yield refusal(
                f"Two activities have the id '{id_}'; purchases name them by it.", f"CarePlan.activity[{place}].id"
            )
        seen.add(id_)


def _one_person(case: Case, plan: Resource) -> Asking[list[Issue]]:
    """A plan and its budgets are of one person."""
    person = key_of(plan.get("subject"))
    if case.before is None or key_of(case.before.get("subject")) == person:
        return []
    budgets = [one for one in (yield from budgets_of(case.key)) if person_of(one) != person]
    names = yield from names_of(budgets)
    text = "{} goes with this plan, and is the budget of {}."
    return [
        refusal(text.format(name, person_of(one)), "CarePlan.subject") for name, one in zip(names, budgets, strict=True)
    ]


def _signed_off(case: Case, plan: Resource) -> Asking[list[Issue]]:
    """Somebody signed off what the plan says: in this transaction, or of the version that is now put in force."""
    tasks = yield from sign_offs_of(case.key)
    if not tasks:
        text = (
            "A plan becomes active by being signed off: ask CarePlan/$sign-off, or complete a Task 'plan-sign-off' about this plan "
            "with the answer 'approved', by itself or in the same transaction."
        )
        return [refusal(text, _STATUS)]
    if any(_is_of(case, plan, version_in(task.get("focus"))) for task in tasks):
        return []
    text = "What was signed off is another version of this plan. It has changed since: have it signed off as it is now."
    return [refusal(text, _STATUS)]


def _is_of(case: Case, plan: Resource, version: str) -> bool:
    """Whether a version that was signed off says what the plan says."""
    if not version or case.version.endswith(f"/{version}"):
        return True
    before = case.before or {}
    is_current = version == str((before.get("meta") or {}).get("versionId"))
    return is_current and not [*_kept_as(before, plan)]


def _kept_as(before: Resource, after: Resource) -> Iterator[Issue]:
    """What of the agreement would be another one, as if `before` had been in force."""
    for name in _AGREED:
        if bare(before.get(name)) != bare(after.get(name)):
            yield refusal(name)
    yield from _activities_kept(before, after)


def _replaces_others(case: Case) -> bool:
    """Whether this write says of other plans that this one takes their place."""
    return keys_in((case.after or {}).get("replaces")) != keys_in((case.before or {}).get("replaces"))


def _replaces_its_own(plan: Resource, *, is_starting: bool) -> Asking[list[Issue]]:
    """The plan that this one takes the place of is one of the same person; once this one is in force, it is one that was."""
    keys = keys_in(plan.get("replaces"))
    found: dict[str, Resource | None] = (yield Read(*keys)) if keys else {}
    issues = []
    for key, other in found.items():
        if other is None or not is_plan(other):
            issues.append(refusal(f"{key} is no plan of a personal health budget that could be replaced.", _REPLACES))
        elif key_of(other.get("subject")) != key_of(plan.get("subject")):
            issues.append(refusal(f"{key} is the plan of somebody else.", _REPLACES))
        elif is_starting and status_of(other) == "draft":
            issues.append(
                refusal(f"{key} is a draft: change it, or withdraw it (revoked), instead of replacing it.", _REPLACES)
            )
    return issues


_REPLACES = "CarePlan.replaces"


def _is_ending(case: Case) -> bool:
    return status_of(case.before) in IN_FORCE and status_of(case.after) in ENDED


def _leaves_no_budget(case: Case) -> Asking[list[Issue]]:
    """Money that is being spent has a plan to be spent by."""
    budgets = [one for one in (yield from budgets_of(case.key)) if stage_of(one) in LIVE]
    names = yield from names_of(budgets)
    text = f"{{}} is {{}} and is spent by this plan. {_INSTEAD}"
    return [refusal(text.format(name, stage_of(one)), _STATUS) for name, one in zip(names, budgets, strict=True)]


_INSTEAD = "Close the budget first, or sign off a plan that replaces this one; this one then ends by itself."


def _deleted(case: Case) -> Asking[Decision]:
    was_signed_off = bool((yield from sign_offs_of(case.key)))
    if was_signed_off or status_of(case.before) not in ("draft", "entered-in-error"):
        text = "A plan that was signed off is not deleted: it stays in the record. It can be completed, revoked, or entered in error."
        return Decision((refusal(text, "CarePlan"),))
    names = yield from names_of((yield from budgets_of(case.key)))
    return Decision(
        tuple(refusal(f"{one} names this plan; link it to another one first.", "CarePlan") for one in names)
    )


# ---- a plan takes effect -------------------------------------------------------------------------


def taking_effect(case: Case, plan: Resource) -> Asking[list[Follow]]:
    """What follows once a plan is signed off: its budgets are authorised and go over to it, and the plan that it replaces ends."""
    replaced = keys_in(plan.get("replaces"))
    budgets = yield from budgets_for(plan)
    moved = [(one, _with_plan(one, case.key, plan)) for one in budgets]
    follow = [Follow(after, f"Account/{after['id']}") for before, after in moved if after != before]
    found: dict[str, Resource | None] = (yield Read(*replaced)) if replaced else {}
    for key, old in found.items():
        if old is not None and status_of(old) in IN_FORCE:
            follow.append(Follow({**old, "status": _end_of(case, old)}, key))
    return follow


def _with_plan(budget: Resource, key: str, plan: Resource) -> Resource:
    made = budget
    if plan_of(budget) != key:
        made = with_value(made, "phb-care-plan", "Reference", {"reference": key, "display": title_of(plan)})
    if stage_of(budget) == "sign-off-pending":
        made = with_value(made, "phb-lifecycle-status", "Code", "authorised")
    return made


def _end_of(case: Case, plan: Resource) -> str:
    """A plan whose time is over was completed; one that ends earlier was revoked (R4 request status)."""
    end = days_of(plan.get("period")).end
    return "completed" if end is not None and end < case.today else "revoked"


# ---- a budget names its plan ---------------------------------------------------------------------


def judge_link(case: Case) -> Judging:
    """A budget's plan is a plan of a budget, and of the same person; one that is being spent changes to nothing less than a plan in force."""
    budget = case.after
    if budget is None or not is_budget(budget):
        return NOTHING
    plan, before = plan_of(budget), plan_of(case.before) if case.before is not None else ""
    is_same_person = case.before is not None and person_of(case.before) == person_of(budget)
    if stage_of(budget) == "entered-in-error" or (plan == before and is_same_person):
        return NOTHING
    if not plan:
        return Decision(tuple(_unlinked(budget))) if before else NOTHING
    found: dict[str, Resource | None] = yield Read(plan)
    return Decision(tuple(_linked(budget, plan, found[plan])))


def _linked(budget: Resource, key: str, plan: Resource | None) -> Iterator[Issue]:
    if plan is None or not is_plan(plan):
        yield refusal(f"{key} is no plan of a personal health budget; write one, of the kind phb-plan.", LINK)
        return
    if key_of(plan.get("subject")) != person_of(budget):
        yield refusal(
            f"{key} is the plan of somebody else: {key_of(plan.get('subject'))}, not {person_of(budget)}.", LINK
        )
    if stage_of(budget) in LIVE and status_of(plan) not in IN_FORCE:
        text = f"{key} is {status_of(plan)}. A budget that is {stage_of(budget)} goes with a plan that is signed off and in force."
        yield refusal(text, LINK)


def _unlinked(budget: Resource) -> Iterator[Issue]:
    if stage_of(budget) in LIVE:
        yield refusal(f"A budget that is {stage_of(budget)} is spent by its plan; it cannot be without one.", LINK)


# ---- a goal is written ---------------------------------------------------------------------------


def judge_goal(case: Case) -> Judging:
    """What a goal of a plan in force is about was agreed with it; how far it is, everybody may say at any time."""
    before = case.before
    if before is None or (changed := _changed(before, case.after)) is None:
        return NOTHING
    plans: Sequence[Resource] = yield Find("CarePlan", ("goal", case.key), ("status", ",".join(sorted(IN_FORCE))))
    issues = [
        refusal(f"This goal was agreed in {title_of(one)}, which is in force. {_NEW_GOAL}", changed)
        for one in plans
        if is_plan(one)
    ]
    return Decision(tuple(issues[:1]))


_NEW_GOAL = "How far it is can be told here at any time; for another goal write a new plan that replaces this one."


def _changed(before: Resource, after: Resource | None) -> str | None:
    if after is None:
        return "Goal"
    return next((f"Goal.{name}" for name in _AGREED_OF_GOAL if bare(before.get(name)) != bare(after.get(name))), None)

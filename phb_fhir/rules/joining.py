"""Joining a joint budget, and leaving it (C32E10, R28, R197, R198; RULE-JOINT).

A budget is part of a joint one (`Account.partOf`) because the person asked for that: a Task `joint-budget-request` of the person, or of who
speaks for them, that was agreed. Each budget keeps its money, its owner and its ledger. All of them have a share (`phb-joint-share`), or none
has, and the priority of their coverage says which is used first. While a budget is part of it, a review changes either (`amendment`). What was
bought before somebody leaves stays split as it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import instant_text
from phb_fhir.outcome import Issue
from phb_fhir.rules.around import COMMUNICATION, NEVER_MEANT, names_of, told_lately
from phb_fhir.rules.budget import OVER, days_of, is_budget, is_joint, joint_of, owner_of, person_of, stage_of
from phb_fhir.rules.case import NOTHING, Asking, Case, Decision, Find, Follow, Hold, Judging, Read, refusal
from phb_fhir.rules.joint import falls_otherwise, ranks_of, share_of
from phb_fhir.rules.tasks import naming
from phb_fhir.rules.words import BUSINESS_STATUS, TASK_CODE, code_in, concept, key_of, value_of

REQUEST = "joint-budget-request"
_PART_OF = "Account.partOf"
_SHARE = "Account.extension.where(url.endsWith('phb-joint-share'))"


def judge_joining(case: Case) -> Judging:
    """What speaks against a budget's joining a joint one, leaving it, or changing its share."""
    after = case.after
    if after is None:
        return (yield from _dissolved(case)) if is_budget(case.before) and is_joint(case.before or {}) else NOTHING
    if not is_budget(after) or after.get("status") == "entered-in-error":
        return NOTHING
    was, now = joint_of(case.before or {}), joint_of(after)
    if is_joint(after):
        return (yield from _closed_with_parts(case, after))
    if not now:
        return (yield from _left(case, was))
    if was == now and not falls_otherwise(case.before or {}, after):
        return NOTHING
    return (yield from _joined(case, after, now, is_new=was != now))


def _joined(case: Case, account: Resource, key: str, *, is_new: bool) -> Judging:
    joint: Resource | None = (yield Read(key))[key]
    if joint is None or not is_budget(joint) or not is_joint(joint):
        return Decision((refusal(f"{key} is no joint budget, so nothing can be part of it.", _PART_OF),))
    yield Hold(f"joint {key}")
    members: list[Resource] = yield Find("Account", ("part-of", key))
    others = [one for one in members if one.get("id") != case.id and stage_of(one) not in OVER]
    issues = [*_same_person(account, joint), *_by_who_may(case), *(yield from _shared(account, others))]
    follow: list[Follow] = []
    if is_new:
        if stage_of(joint) in OVER or stage_of(joint) == "closing":
            issues.append(refusal(f"The joint budget is {stage_of(joint)}, and nothing joins it any more.", _PART_OF))
        requests: list[Resource] = yield Find(
            "Task", ("patient", person_of(account)), ("code", f"{TASK_CODE}|{REQUEST}")
        )
        about = [one for one in requests if key_of(one.get("focus")) in (key, case.key)]
        speakers = yield from _speakers(case, person_of(account), about)
        issues += _asked_for(case.key, about, speakers)
        follow = [_followed(case, one) for one in about if is_agreed(one) and not _is_used(one, case.key)]
    return Decision(tuple(issues), follow=tuple(follow))


def _same_person(account: Resource, joint: Resource) -> Iterator[Issue]:
    if person_of(account) != person_of(joint):
        yield refusal("A joint budget is of budgets of the same person; this one is somebody else's.", _PART_OF)


def _by_who_may(case: Case) -> Iterator[Issue]:
    if not case.by.is_professional:
        text = "The NHS team or the commissioner joins budgets, because the person asked for it (Task joint-budget-request)."
        yield refusal(text, _PART_OF)


def _shared(account: Resource, others: Sequence[Resource]) -> Asking[list[Issue]]:
    """All have a share, or none has: then all have a priority, and no two the same."""
    has = bool(share_of(account))
    with_share = [one for one in others if share_of(one)]
    if others and has != bool(with_share):
        names = ", ".join((yield from names_of(others)))
        said = "has a share, and" if has else "has no share, though"
        text = f"This budget {said} the others ({names}) {'have none' if has else 'do'}. Either each has a share, or none has."
        return [refusal(text, _SHARE)]
    return [] if has else (yield from _ranked(account, others))


def _ranked(account: Resource, others: Sequence[Resource]) -> Asking[list[Issue]]:
    own = min(ranks_of(account), default=None)
    if own is None:
        text = "Say this budget's share beside the others' (phb-joint-share), or its priority (coverage.priority): 1 is used first."
        return [refusal(text, _SHARE)]
    names = yield from names_of([one for one in others if min(ranks_of(one), default=None) == own][:1])
    text = "{} has priority {} already. Without shares, each budget has a priority of its own: 1 is used first."
    return [refusal(text.format(name, own), "Account.coverage.priority") for name in names]


def _speakers(case: Case, person: str, requests: Iterable[Resource]) -> Asking[frozenset[str]]:
    """The person, and of those close to them who asked: who is recorded as theirs, and active, or may act for them by an active Consent."""
    askers = {key_of(one.get("requester")) for one in requests}
    close = sorted(key for key in askers if key.startswith("RelatedPerson/"))
    if not close:
        return frozenset((person,))
    found: dict[str, Resource | None] = yield Read(*close)
    theirs = {key for key, one in found.items() if one is not None and _is_theirs(one, person)}
    consents: list[Resource] = yield Find(
        "Consent", ("patient", person), ("status", "active"), ("actor", ",".join(close))
    )
    for consent in consents:
        provision = consent.get("provision", {})
        if provision.get("type") != "deny" and days_of(provision.get("period")).covers(case.today):
            theirs |= {key_of(one.get("reference")) for one in provision.get("actor", ())} & set(close)
    return frozenset((person, *theirs))


def _is_theirs(related: Resource, person: str) -> bool:
    return key_of(related.get("patient")) == person and related.get("active", True) is not False


def _asked_for(budget: str, requests: Iterable[Resource], speakers: Collection[str]) -> list[Issue]:
    """The person, or who speaks for them, asked for it, and it was agreed; once for each time that this budget joins."""
    meant = [one for one in requests if one.get("status") not in NEVER_MEANT]
    made = [one for one in meant if key_of(one.get("requester")) in speakers]
    theirs = [one for one in made if not _is_used(one, budget)]
    if any(is_agreed(one) for one in theirs):
        return []
    if made and not theirs:
        text = "This budget was managed with others as the person asked, and left them since. That it comes back is asked for anew (Task joint-budget-request)."
        return [refusal(text, _PART_OF)]
    if any(one.get("status") == "completed" for one in theirs):
        return [refusal("The person asked for a joint budget, and that was not agreed.", _PART_OF)]
    if theirs:
        return [
            refusal(
                "The person asked for a joint budget, and nobody has agreed to it yet (Task joint-budget-request).",
                _PART_OF,
            )
        ]
    strangers = [key for one in meant if (key := key_of(one.get("requester"))).startswith("RelatedPerson/")]
    if strangers:
        text = (
            f"{strangers[0]} asked for the joint budget, and does not speak for the person: they are recorded as close to them and active, or"
            " an active Consent lets them act."
        )
        return [refusal(text, _PART_OF)]
    text = (
        "Budgets are managed as one because the person asks for it: a Task joint-budget-request about the joint budget, whose requester is"
        " the person or somebody who speaks for them."
    )
    return [refusal(text, _PART_OF)]


def is_agreed(task: Resource) -> bool:
    """Whether a request for a joint budget was agreed."""
    return task.get("status") == "completed" and code_in(task.get("businessStatus"), BUSINESS_STATUS) == "approved"


def _is_used(task: Resource, budget: str) -> bool:
    """Whether a budget has joined by this request already: it names the version in which that did, among its outputs."""
    named = (one.get("valueReference", {}).get("reference", "") for one in task.get("output", ()))
    return any(str(one).startswith(f"{budget}/_history/") for one in named)


def _followed(case: Case, task: Resource) -> Follow:
    """The request with the version of the budget that came of it, as a review has it."""
    return naming(case, task, f"Task/{task['id']}")


def _left(case: Case, was: str) -> Judging:
    """The team may take a budget out, and the person is told; what the funders spent until then stays as it was split."""
    after = case.after or {}
    if not was:
        return NOTHING
    issues = [] if case.is_own else [*_by_who_may(case)]
    if value_of(after, "phb-joint-share") is not None:
        text = "A budget that is part of no joint one has no share of it: take the share away as well."
        issues.append(refusal(text, _SHARE))
    if issues or (yield from told_lately(case)):
        return Decision(tuple(issues))
    return Decision(follow=(Follow(letter_of_leaving(after, was, "", instant_text(case.now))),))


def letter_of_leaving(account: Resource, joint: str, reason: str, at: str) -> Resource:
    """The person is told, in writing, that their budgets are not managed as one any more. `joint` is "" where its writer does not see it."""
    name = account.get("name") or f"Account/{account['id']}"
    person = account["subject"][0]
    text = f"{name} is not part of the joint budget any more. {reason}".strip()
    kept = "What was bought until now stays paid as it was."
    return {
        "resourceType": "Communication",
        "status": "completed",
        "category": [concept(COMMUNICATION, "decision-notice", "Notice of a decision")],
        "subject": person,
        "about": [{"reference": key} for key in (f"Account/{account['id']}", joint) if key],
        "sent": at,
        "recipient": [person],
        "sender": {"reference": owner_of(account)},
        "payload": [{"contentString": text}, {"contentString": kept}],
    }


def _closed_with_parts(case: Case, joint: Resource) -> Judging:
    """A joint budget ends when nothing is part of it any more."""
    if stage_of(joint) not in OVER or stage_of(case.before) in OVER or case.before is None:
        return NOTHING
    return (yield from _dissolved(case))


def _dissolved(case: Case) -> Judging:
    members: list[Any] = yield Find("Account", ("part-of", case.key))
    going = [one for one in members if stage_of(one) not in OVER]
    if not going:
        return NOTHING
    names = ", ".join((yield from names_of(going)))
    return Decision((refusal(f"{names} must leave this joint budget before it ends ($leave).", "Account"),))

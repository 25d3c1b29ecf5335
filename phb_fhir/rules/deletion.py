"""What a budget needs stays in the record until it is over: the person, whose money it is, who holds it, who acts and cares, what it stands on.

LEANS is the table: by which searches the budgets are found that need a resource of a type, and what is said of each. Only a deletion asks;
one search each, by an index. What is merely named in a budget that is over is history, and goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from phb_fhir.fhir.codec import Resource
from phb_fhir.outcome import Issue
from phb_fhir.rules.around import names_of
from phb_fhir.rules.budget import OVER, days_of, elements_of, is_budget, person_of, stage_of
from phb_fhir.rules.case import NOTHING, Asking, Case, Decision, Find, Hold, Judging, Read, refusal
from phb_fhir.rules.direct_payment import AGREEMENT, budgets_of, direct_payments
from phb_fhir.rules.words import EVIDENCE_TYPE, code_in, key_of, keys_in


class Lean(NamedTuple):
    """`parameter` of Account finds the budgets; of one of them is said `why`."""

    parameter: str
    why: str


_HOLDS = Lean(
    "holder", "{name} is {stage}, and they hold a part of it. Close it, or have the part held by somebody else, first."
)
_CARES = Lean(
    "care-plan.care-team.participant",
    "{name} is {stage}, and they are in the team of its plan. Close it, or have somebody else in the team, first.",
)
LEANS: Mapping[str, tuple[Lean, ...]] = {
    "Patient": (
        Lean(
            "patient",
            "{name} is this person's budget, and is {stage}. Close it first: what is held for them would be nobody's.",
        ),
    ),
    "Organization": (Lean("owner", "{name} is {stage}, and its money is theirs. Close it first."), _HOLDS),
    "RelatedPerson": (_HOLDS,),
    "Practitioner": (_CARES,),
    "PractitionerRole": (_CARES,),
    "CareTeam": (
        Lean(
            "care-plan.care-team",
            "{name} is {stage}, and they are the team of its plan. Close it, or name another team in the plan, first.",
        ),
    ),
    "Coverage": (
        Lean("coverage", "{name} is {stage}, and stands on this cover. Close it, or name another cover, first."),
    ),
}
_AGREED = (
    "{name} is {stage}, and its direct payments are agreed on by this. Close it, or record another agreement, first."
)
_ACTS = "{name} is {stage}, and an active consent names them for it. Close it, or end the consent (Consent/{consent}), first."
TOLD_MAX = 10  # budgets that a refusal names
_NOT_OVER = ("lifecycle:not", ",".join(sorted(OVER)))


def judge_deletion(case: Case) -> Judging:
    """Nothing is deleted that a budget needs which is not over: what is held for somebody would be nobody's (R86)."""
    if case.before is None or case.after is not None:
        return NOTHING
    if case.type in _ONES_OWN:
        yield needed_still(case.key)
    issues: list[Issue] = []
    for lean in LEANS[case.type]:
        found: list[Resource] = yield Find("Account", (lean.parameter, case.key), _NOT_OVER)
        issues += yield from _said(case, found, lean.why)
    if case.type == "RelatedPerson":
        issues += yield from _consented(case)
    return Decision(tuple(issues))


# of one person, so that nobody else's budget waits for them
_ONES_OWN = frozenset(("Coverage", "Patient", "RelatedPerson"))


def leaned_on(account: Resource | None) -> frozenset[str]:
    """What a budget that is not over needs, of what is one person's own."""
    if account is None or not is_budget(account) or stage_of(account) in OVER:
        return frozenset()
    covers = (key_of(one.get("coverage")) for one in account.get("coverage", ()))
    holders = (one.holder for one in elements_of(account))
    found = (person_of(account), *covers, *holders)
    return frozenset(key for key in found if key.partition("/")[0] in _ONES_OWN)


def needed_still(*keys: str) -> Hold:
    """What comes to need something, and the deletion of that, do not pass each other by."""
    return Hold(*(f"needed {key}" for key in keys))


def _said(case: Case, accounts: list[Resource], why: str, consent: str = "") -> Asking[list[Issue]]:
    budgets = [one for one in accounts if is_budget(one) and stage_of(one) not in OVER][:TOLD_MAX]
    names = yield from names_of(budgets)
    return [
        refusal(why.format(name=name, stage=stage_of(one) or "not over", consent=consent), case.type)
        for name, one in zip(names, budgets, strict=True)
    ]


def _consented(case: Case) -> Asking[list[Issue]]:
    """What speaks against losing somebody who acts for the person, or is paid for them, by a consent that stands (R11, DP-2)."""
    found: list[Resource] = yield Find("Consent", ("actor", case.key), ("status", "active"))
    issues: list[Issue] = []
    for consent in found:
        end = days_of((consent.get("provision") or {}).get("period")).end
        keys = budgets_of(consent) if end is None or end >= case.today else []
        read: Mapping[str, Resource | None] = (yield Read(*keys)) if keys else {}
        there = [one for one in read.values() if one is not None]
        issues += yield from _said(case, there, _ACTS, str(consent.get("id")))
    return issues


def judge_agreement(case: Case) -> Judging:
    """What both sides signed stays while direct payments are made on it (R92)."""
    document = case.before or {}
    if case.after is not None or code_in(document.get("type"), EVIDENCE_TYPE) != AGREEMENT:
        return NOTHING
    found: list[Resource] = yield Find("Consent", ("source-reference", case.key), ("status", "active"))
    related = keys_in((document.get("context") or {}).get("related"))
    keys = sorted({*(key for one in found for key in budgets_of(one)), *related})
    accounts = [key for key in keys if key.startswith("Account/")]
    read: Mapping[str, Resource | None] = (yield Read(*accounts)) if accounts else {}
    paid = [one for one in read.values() if one is not None and direct_payments(one, case.today)]
    return Decision(tuple((yield from _said(case, paid, _AGREED))))

"""The person whose budget it is stays in the record for as long as money is held for them."""

from __future__ import annotations

from phb_fhir.fhir.codec import Resource
from phb_fhir.rules.budget import OVER, is_budget, stage_of
from phb_fhir.rules.case import NOTHING, Case, Decision, Find, Judging, refusal


def judge_person(case: Case) -> Judging:
    """Nobody is deleted who has a budget that is not over: what is held for them would be nobody's (R86)."""
    if case.before is None or case.after is not None:
        return NOTHING
    found: list[Resource] = yield Find("Account", ("patient", case.key))
    issues = []
    for account in found:
        stage = stage_of(account)
        if is_budget(account) and stage not in OVER:
            name = account.get("name") or f"Account/{account['id']}"
            text = f"{name} is this person's budget, and is {stage}. Close it first: what is held for them would be nobody's."
            issues.append(refusal(text, "Patient"))
    return Decision(tuple(issues))

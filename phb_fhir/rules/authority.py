"""Who may agree to the money of a budget, whichever way it comes to have it (R96; C32E4).

Signing off a plan authorises the budgets that wait for it, and whoever signs off has a limit (`sign_off`). A budget that comes to have money
afterwards (it waited at an earlier stage, it is linked to a plan in force, a review decided on more, it is brought in) is held to the same
limits: of the role that signed off the plan, or of whoever writes it. Past these, the commissioner writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.money import sterling
from phb_fhir.outcome import Issue
from phb_fhir.rules.allocation import allocation
from phb_fhir.rules.around import policy_of
from phb_fhir.rules.budget import owner_of, plan_of
from phb_fhir.rules.case import Asking, Case, Read, refusal
from phb_fhir.rules.plan import sign_offs_of
from phb_fhir.rules.plan_record import PlanRecord, is_health, read_plan
from phb_fhir.rules.sign_off import check_funder, check_limit, may_act, yearly
from phb_fhir.rules.words import key_of

_AMOUNT = "Account.extension.where(url.endsWith('phb-budget-amount'))"


def within_authority(case: Case, account: Resource) -> Asking[list[Issue]]:
    """Whether somebody agreed to the money that a budget comes to have who may agree to so much."""
    if case.is_own or _is_commissioners(case, account) or not _has_more(case.before, account):
        return []
    key = plan_of(account)
    plan: Resource | None = (yield Read(key))[key] if key else None
    if plan is None:
        return []  # told already
    record = yield from read_plan(plan, case.today)
    budgets = [one for one in record.with_money if is_health(record, one)]
    if account.get("id") not in {one.get("id") for one in budgets}:
        return []  # the council's money is the council's to agree
    signed = {key_of(one.get("owner")) for one in (yield from sign_offs_of(key))}
    policy = yield from policy_of(account.get("owner"))
    keys = sorted(one for one in signed | case.by.names if one.startswith("PractitionerRole/"))
    roles: Mapping[str, Resource | None] = (yield Read(*keys)) if keys else {}
    most = policy.delegated_sign_off_max
    there = [(key in signed, one) for key, one in roles.items() if one is not None]
    if any(_may_agree(one, record, budgets, most, is_signed=is_signed) for is_signed, one in there):
        return []
    return [_too_much(sum(yearly(record, one) for one in budgets))]


def _is_commissioners(case: Case, account: Resource) -> bool:
    """Whether whose money it is writes this; or the system, or anybody where nobody signs in."""
    by = case.by
    return by.role in ("", "system") or (by.role == "commissioner" and owner_of(account) in by.names)


def _has_more(before: Resource | None, after: Resource) -> bool:
    return sum(allocation(after).values()) > sum(allocation(before).values())


def _may_agree(
    role: Resource, record: PlanRecord, budgets: Sequence[Resource], most: int | None, *, is_signed: bool
) -> bool:
    """Whether a role may agree to this money; one that signed off the plan did so while it had that role."""
    why_not = [*check_funder(role, record, budgets), *check_limit(role, record, budgets, most)]
    return not why_not and (is_signed or not [*may_act(role, record)])


def _too_much(pence: int) -> Issue:
    text = (
        f"The money of this plan comes to {sterling(pence)} a year, which is more than whoever signed it off, or writes this, may agree to (R96)."
        " The commissioner agrees to it by writing this itself."
    )
    return refusal(text, _AMOUNT)

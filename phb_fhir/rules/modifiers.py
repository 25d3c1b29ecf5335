"""What may turn round what a resource says is understood, or it is refused (R4 §2.4.1.1, §2.27.1).

A modifier extension may say that a purchase was never made, or that a consent denies; `implicitRules` that everything in it is read otherwise.
The rules read neither, and the guide has none of them. Elsewhere in the record they are kept as they were sent; what is about a budget is
reckoned with, and nobody reckons with what they do not understand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.outcome import Issue
from phb_fhir.rules.budget import is_budget
from phb_fhir.rules.case import NOTHING, Asking, Case, Decision, Judging, Read, refusal
from phb_fhir.rules.naming import account_meant
from phb_fhir.rules.words import value_of


def judge_modifiers(is_concerned: Callable[[Resource], bool]) -> Callable[[Case], Judging]:
    """The rule for a type of which this look tells what is about a budget; where it names an account, that account is one."""

    def judge(case: Case) -> Judging:
        after = case.after
        if after is None or case.is_own or not is_concerned(after):
            return NOTHING
        issues = [*_not_understood(case.before or {}, after, case.type)]
        return Decision(tuple(issues)) if issues and (yield from _is_of_a_budget(case)) else NOTHING

    return judge


def _is_of_a_budget(case: Case) -> Asking[bool]:
    named = _ACCOUNT.get(case.type)
    if named is None:
        return True
    for reference in named(case.after or {}):
        account = yield from account_meant(reference)
        if account and is_budget((yield Read(account))[account]):
            return True
    return False


_ACCOUNT: Mapping[str, Callable[[Resource], list[Any]]] = {
    "ChargeItem": lambda charge: charge.get("account", []),
    "Invoice": lambda invoice: [invoice.get("account")],
    "PaymentReconciliation": lambda payment: [value_of(payment, "phb-account")],
}


def _not_understood(before: Resource, after: Resource, type_: str) -> Iterator[Issue]:
    """What modifies, and was not there before as it is."""
    known = dict(modifiers(before, type_))
    for place, modifier in modifiers(after, type_):
        if known.get(place) != modifier:
            what = modifier if isinstance(modifier, str) else modifier.get("url")
            text = (
                f"{what} may change what this means, and is not understood here: what is about a budget is written without it, or money would be"
                " reckoned with that means something else."
            )
            yield refusal(text, place)


def modifiers(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """The modifier extensions in a resource, and its implicit rules, by where they stand."""
    if isinstance(value, list):
        for index, one in enumerate(value):
            yield from modifiers(one, f"{place}[{index}]")
    elif isinstance(value, dict):
        for name, one in value.items():
            if name == "implicitRules":
                yield f"{place}.{name}", one
            elif name == "modifierExtension" and isinstance(one, list):
                yield from ((f"{place}.{name}[{index}]", each) for index, each in enumerate(one))
            elif isinstance(one, dict | list):
                yield from modifiers(one, f"{place}.{name}")

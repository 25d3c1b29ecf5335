"""Which account a purchase or an invoice means: by its address, or by a number that one Account has.

Of several with a number, those that whoever asks may not see are not there: else somebody could give another's number to an account of
theirs. Several that are left are one too many, where any of them is a budget: nobody's money is used by guessing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.outcome import Issue
from phb_fhir.rules.budget import is_budget
from phb_fhir.rules.case import Asking, Find, Read, Sees, refusal
from phb_fhir.rules.words import key_of, pair_of, token_of


def account_meant(reference: Any) -> Asking[str]:
    """`Account/1`; "" for none, or several."""
    found = yield from accounts_meant(reference)
    return found[0] if len(found) == 1 else ""


def accounts_meant(reference: Any) -> Asking[list[str]]:
    if key := key_of(reference):
        return [key] if key.startswith("Account/") else []
    system, value = pair_of(reference.get("identifier")) if isinstance(reference, dict) else ("", "")
    found: list[Resource] = (yield Find("Account", ("identifier", token_of(system, value)))) if value else []
    keys = [f"Account/{one['id']}" for one in found]
    if len(keys) > 1:
        seen: frozenset[str] = yield Sees(*keys)
        keys = [key for key in keys if key in seen]
    return keys


def addressed(reference: Mapping[str, Any], account: str) -> Mapping[str, Any]:
    """The reference with the address beside the number: it is found by that, and stays with it whoever has the number later."""
    return reference if key_of(reference) else {"reference": account, **reference}


def is_unknown_account(reference: Any) -> Asking[bool]:
    """Whether an identifier leads to nothing that whoever asks knows of: it is not there, or not theirs to see.

    What is referred to by its address was looked at already (`interactions/judgement`).
    """
    if not isinstance(reference, dict) or key_of(reference) or not reference.get("identifier"):
        return False
    account = yield from account_meant(reference)
    return not account or account not in (yield Sees(account))


def several_meant(references: Any, at: str) -> Asking[Issue | None]:
    """Why it cannot be told whose money is meant; None where it can, or where none of it is a budget's."""
    several = references if isinstance(references, list) else [references]
    meant: list[str] = []
    for one in several:
        meant += yield from accounts_meant(one)
    if not meant or len(meant) == len(several) == 1:
        return None
    found: dict[str, Resource | None] = yield Read(*meant)
    if not any(is_budget(one) for one in found.values()):
        return None
    if len(several) > 1:
        return refusal("One budget pays: name it alone.", at)
    _, value = pair_of(several[0].get("identifier"))
    text = f"{len(meant)} accounts have the number {value}, and it cannot be told which of them is meant. Name the budget by its address."
    return refusal(text, at)

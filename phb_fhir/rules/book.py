"""RULES: which rules judge writes of which type. Read this first.

Only what its content shows to be about a personal health budget is judged; each rule looks for itself, and passes the rest by
untouched. Of several writes in one transaction, types are judged in the order of this table, so that a purchase finds its budget's
money posted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from phb_fhir.change import Change, Create
from phb_fhir.fhir.codec import Resource
from phb_fhir.rules.allocation import judge_allocation
from phb_fhir.rules.appeal import judge_appeal
from phb_fhir.rules.around import has_died
from phb_fhir.rules.budget import is_budget
from phb_fhir.rules.case import Rule
from phb_fhir.rules.death import judge_death
from phb_fhir.rules.deletion import LEANS, judge_agreement, judge_deletion
from phb_fhir.rules.direct_payment import is_budgets_consent, judge_consent, judge_household, judge_signing
from phb_fhir.rules.due import judge_due
from phb_fhir.rules.evidence import is_evidence, judge_evidence, judge_file
from phb_fhir.rules.invoice import judge_invoice
from phb_fhir.rules.item import judge_item
from phb_fhir.rules.joining import judge_joining
from phb_fhir.rules.letters import is_notice, judge_letter
from phb_fhir.rules.lifecycle import judge_budget
from phb_fhir.rules.modifiers import judge_modifiers
from phb_fhir.rules.paid import amounts_by_purchase, purchases_paid
from phb_fhir.rules.panel import judge_panel
from phb_fhir.rules.paying import judge_paid, judge_payment
from phb_fhir.rules.plan import is_plan, judge_goal, judge_link, judge_plan
from phb_fhir.rules.plan_answers import judge_answers, judge_author
from phb_fhir.rules.purchase import is_told_as_purchase
from phb_fhir.rules.purchasing import judge_purchase
from phb_fhir.rules.repayment import judge_repayment
from phb_fhir.rules.requests import judge_request
from phb_fhir.rules.review import judge_review
from phb_fhir.rules.review_papers import judge_papers
from phb_fhir.rules.sign_off import judge_sign_off
from phb_fhir.rules.training import judge_training
from phb_fhir.rules.words import (
    PAYMENT_REFERENCE,
    PURCHASE_REFERENCE,
    TASK_CODE,
    code_in,
    key_of,
    keys_in,
    pair_of,
    value_of,
)


def is_of_the_guide(task: Resource) -> bool:
    """Whether a Task is of a kind that the guide has."""
    return bool(code_in(task.get("code"), TASK_CODE))


def is_anything(_: Resource) -> bool:
    """Whether it is about a budget is told by the account it names."""
    return True


RULES: Mapping[str, tuple[Rule, ...]] = {
    "Account": (judge_modifiers(is_budget), judge_budget, judge_allocation, judge_link, judge_joining),
    "DocumentReference": (judge_modifiers(is_evidence), judge_evidence, judge_signing, judge_agreement),
    "Binary": (judge_file,),
    "ChargeItem": (judge_modifiers(is_anything), judge_purchase, judge_paid),
    "PaymentReconciliation": (judge_modifiers(is_anything), judge_payment),
    "Invoice": (judge_modifiers(is_anything), judge_invoice),
    "CarePlan": (judge_modifiers(is_plan), judge_plan, judge_training),
    "Goal": (judge_goal,),
    "QuestionnaireResponse": (judge_author, judge_answers),
    "Task": (
        judge_modifiers(is_of_the_guide),
        judge_sign_off,
        judge_appeal,
        judge_panel,
        judge_request,
        judge_review,
        judge_papers,
        judge_repayment,
        judge_due,
    ),
    "Consent": (judge_modifiers(is_budgets_consent), judge_consent),
    "RelatedPerson": (judge_household, judge_deletion),
    "Communication": (judge_letter,),
    "Organization": (judge_deletion,),
    "Practitioner": (judge_deletion,),
    "PractitionerRole": (judge_deletion,),
    "CareTeam": (judge_deletion,),
    "Coverage": (judge_deletion,),
    "ChargeItemDefinition": (judge_item,),
    "Patient": (judge_deletion, judge_death),
}

ORDER: Mapping[str, int] = {type_: rank for rank, type_ in enumerate(RULES)}


def is_concerned(type_: str, resource: Resource) -> bool:
    """Whether there may be something to judge about what is new: a quick look, before anything is read."""
    looks = _LOOKS.get(type_)
    return type_ in RULES and (looks is None or looks(resource))


def is_judged_for_all(type_: str, resource: Resource) -> bool:
    """The same where nobody is signed in: then rules that ask who writes have nothing to say of what is new."""
    return type_ not in _BY_WHOM and is_concerned(type_, resource)


def is_gathered(change: Change) -> bool:
    """Whether many of these come at once, and are best written together: purchases."""
    if not isinstance(change, Create) or change.type != "ChargeItem" or change.unless is not None:
        return False
    return is_concerned(change.type, change.resource)


_LOOKS: Mapping[str, Callable[[Resource], bool]] = {
    "Account": is_budget,
    "ChargeItem": lambda charge: bool(charge.get("account")) or is_told_as_purchase(charge),
    "DocumentReference": is_evidence,
    "Binary": lambda _: False,
    "CarePlan": is_plan,
    "Goal": lambda _: False,
    "QuestionnaireResponse": lambda form: bool(form.get("author")),  # a new one changes nothing that was agreed
    "Consent": is_budgets_consent,
    "Task": is_of_the_guide,
    "Communication": lambda letter: bool(letter.get("sender")) or is_notice(letter),
    "PaymentReconciliation": lambda payment: (
        value_of(payment, "phb-account") is not None or bool(purchases_paid(payment))
    ),
    "Invoice": lambda invoice: bool(invoice.get("account")) or bool(amounts_by_purchase(invoice)),
    **dict.fromkeys((*LEANS, "ChargeItemDefinition"), lambda _: False),  # a new one takes nothing away
    "Patient": has_died,
}


# of what is new of these, rules ask only who wrote it
_BY_WHOM = frozenset(("Communication", "QuestionnaireResponse"))

# identifiers that one resource of the type alone may have: two that are written at once wait for each other
_NAMES: Mapping[str, str] = {"ChargeItem": PURCHASE_REFERENCE, "PaymentReconciliation": PAYMENT_REFERENCE}


def names_in(resource: Resource) -> list[str]:
    """The business identifiers in a purchase or payment that no other may have."""
    system = _NAMES.get(str(resource.get("resourceType")))
    several: Any = resource.get("identifier") if system else None
    found = [pair_of(one) for one in several] if isinstance(several, list) else []
    if isinstance(paid := resource.get("paymentIdentifier"), dict) and system:
        found.append(("payment", pair_of(paid)[1]))
    return [f"{one_system}|{value}" for one_system, value in found if one_system in (system, "payment")]


def budgets_in(resource: Resource) -> list[str]:
    """The accounts that a purchase or payment is about, whose ledgers it may post to."""
    accounts: Any = resource.get("account")
    found = keys_in(accounts if isinstance(accounts, list) else [accounts])
    paid = key_of(value_of(resource, "phb-account"))
    return [*found, *([paid] if paid else [])]

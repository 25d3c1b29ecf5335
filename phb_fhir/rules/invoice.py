"""Invoices (C32E7, R22): what a provider asks to be paid for purchases of a budget, line by line.

An invoice that is issued names purchases of its budget, asks no more for each than it costs, and adds up. It is balanced once all of it is
paid: by a payment that names it, which balances it by itself, or by payments for its purchases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.money import pence_of, sterling
from phb_fhir.outcome import Issue
from phb_fhir.rules.budget import is_budget, joint_of, person_of
from phb_fhir.rules.case import Asking, By, Case, Decision, Find, Hold, Judging, Read, no_step, refusal
from phb_fhir.rules.naming import account_meant, addressed, is_unknown_account, several_meant
from phb_fhir.rules.paid import (
    INVOICED,
    amounts_by_purchase,
    counts,
    is_done,
    line_total,
    paid_for,
    payments_for,
    reference_of,
)
from phb_fhir.rules.purchase import budget_charged
from phb_fhir.rules.words import key_of, keys_in, refers_to

STEPS: Mapping[str, tuple[str, ...]] = {
    "draft": ("draft", "issued", "cancelled", "entered-in-error"),
    "issued": ("issued", "balanced", "cancelled", "entered-in-error"),
    "balanced": ("balanced", "issued", "entered-in-error"),  # issued again, where its payment was taken back
    "cancelled": ("cancelled", "entered-in-error"),
    "entered-in-error": ("entered-in-error",),
}
_TERMS = ("issuer", "account", "subject", "lineItem", "totalNet", "totalGross")


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice with what the record says of its budget and purchases. `others` are the other invoices for the same purchases;
    `person` is who it is about, where it does not say so by their address.
    """

    invoice: Resource
    budget: Resource
    by: By
    before: Resource | None = None
    purchases: Mapping[str, Resource | None] = field(default_factory=dict)
    others: Sequence[Resource] = ()
    payments: Sequence[Resource] = ()
    person: Resource | None = None

    @property
    def issuer(self) -> str:
        return key_of(self.invoice.get("issuer"))

    @property
    def account(self) -> str:
        return key_of(self.invoice.get("account"))


def judge_invoice(case: Case) -> Judging:
    """What is to be said of a write of an Invoice that asks to be paid from a budget."""
    content = case.after or case.before or {}
    named = content.get("account")
    if case.after is not None and (several := (yield from several_meant(named, "Invoice.account"))):
        return Decision((several,))
    is_new = case.by.role not in ("", "system") and (case.before or {}).get("account") != named
    if is_new and (yield from is_unknown_account(named)):
        return Decision((refusal("The invoice is for no budget that is here.", "Invoice.account"),))
    account = yield from account_meant(named)
    budget: Resource | None = (yield Read(account))[account] if account else None
    if budget is None or not is_budget(budget):
        return Decision(tuple((yield from _for_no_budget(case))))
    if case.after is None:
        return Decision(tuple((yield from _deleted(case, content))))
    after = _addressed(case.after, account)
    case = replace(case, before=case.before and _addressed(case.before, account), after=after)
    issues = [*_stepped(case)]
    if after.get("status") in INVOICED and not issues:
        invoice = yield from _read(case, after, budget)
        issues += [issue for check in CHECKS for issue in check(invoice)]
    return Decision(tuple(issues), content=None if key_of(named) else after)


def _for_no_budget(case: Case) -> Asking[list[Issue]]:
    """An invoice that names no budget asks nothing for what a budget bought: it would be held to no price, and counted beside those that are."""
    invoice, before = case.after or {}, case.before or {}
    stood = before.get("status") in INVOICED and all(before.get(name) == invoice.get(name) for name in _TERMS)
    if invoice.get("status") not in INVOICED or stood:
        return []
    for key in amounts_by_purchase(invoice):
        if budget := (yield from budget_charged(key)):
            return [
                refusal(
                    f"{key} is a purchase of {budget}: the invoice names the budget that is to pay.", "Invoice.account"
                )
            ]
    return []


def _addressed(invoice: Resource, account: str) -> Resource:
    named = invoice.get("account")
    return {**invoice, "account": addressed(named, account)} if isinstance(named, dict) else invoice


def _read(case: Case, invoice: Resource, budget: Resource) -> Asking[Invoice]:
    found = Invoice(invoice, budget, case.by, case.before)
    who = person_of(budget)
    if who and invoice.get("subject") and not key_of(invoice["subject"]):
        found = replace(found, person=(yield Read(who))[who])
    keys = [key for key in amounts_by_purchase(invoice) if key.startswith("ChargeItem/")]
    if not keys:
        return found
    yield Hold(*(f"invoiced {key}" for key in sorted(keys)))
    purchases: dict[str, Resource | None] = yield Read(*keys)
    payments, invoices = yield from payments_for(keys)
    others = [one for key, one in invoices.items() if one is not None and key != case.key]
    return replace(found, purchases=purchases, others=others, payments=payments)


def _deleted(case: Case, invoice: Resource) -> Asking[list[Issue]]:
    """One that was sent is kept; and one that was taken back, while somebody has paid it: what they paid for is told by its lines."""
    if invoice.get("status") in INVOICED:
        return [refusal("An invoice that was sent is kept. Cancel it, or mark it as entered in error.", "Invoice")]
    yield Hold(*(f"paid {key}" for key in sorted(amounts_by_purchase(invoice))))
    payments: list[Resource] = yield Find("PaymentReconciliation", ("purchase", case.key))
    paying = sorted(reference_of(one) for one in payments if counts(one))
    text = "{} pays this invoice, and its lines tell what for: it is kept."
    return [refusal(text.format(one), "Invoice") for one in paying[:1]]


def _stepped(case: Case) -> Iterator[Issue]:
    before, after = case.before, case.after or {}
    if before is None:
        return
    was, now = str(before.get("status")), str(after.get("status"))
    if now not in STEPS.get(was, ()):
        yield no_step("An invoice", was, now, STEPS.get(was, ()), "Invoice.status")
    elif was != "draft" and any(before.get(name) != after.get(name) for name in _TERMS):
        text = "What an invoice that was sent asks for stays as it is. Cancel it, and send another."
        yield refusal(text, "Invoice.lineItem")


# ---- what speaks against it ----------------------------------------------------------------------


def _for_its_person(i: Invoice) -> Iterator[Issue]:
    subject = i.invoice.get("subject")
    if subject is not None and not refers_to(subject, person_of(i.budget), i.person):
        yield refusal("The budget is another person's than the invoice is about.", "Invoice.subject")


def _lines(i: Invoice) -> Iterator[Issue]:
    """Each line names a purchase of this budget, which its issuer provided, and asks no more than it costs."""
    if any(not key_of(one.get("chargeItemReference")) for one in i.invoice.get("lineItem", ())):
        yield refusal("Each line says which purchase it is about.", "Invoice.lineItem.chargeItem")
    for key, asked in amounts_by_purchase(i.invoice).items():
        charge = i.purchases.get(key)
        if charge is None:
            yield refusal(f"There is no {key}.", "Invoice.lineItem.chargeItem")
        else:
            yield from _line(i, key, charge, asked)


def _line(i: Invoice, key: str, charge: Resource, asked: int) -> Iterator[Issue]:
    name = str((charge.get("code") or {}).get("text") or key)
    accounts = keys_in(charge.get("account"))
    if not {i.account, joint_of(i.budget)} & {*accounts}:
        text = f"{name} is paid from {', '.join(accounts) or 'no budget'}, not from {i.account}."
        yield refusal(text, "Invoice.lineItem.chargeItem")
        return  # of what is not this budget's no more is told
    providers = {
        key_of(charge.get("performingOrganization")),
        *(key_of(o.get("actor")) for o in charge.get("performer", ())),
    }
    if providers - {""} and i.issuer not in providers:
        # a provider is not told who else delivers what is in their directory (`security/mask`)
        whom = "somebody else" if i.by.role == "provider" else ", ".join(sorted(providers - {""}))
        text = f"{name} was provided by {whom}; {i.issuer or 'whoever issues this'} cannot ask for its price."
        yield refusal(text, "Invoice.issuer")
    price = pence_of(charge.get("priceOverride")) or 0
    before = sum(amounts_by_purchase(one).get(key, 0) for one in i.others if one.get("status") in INVOICED)
    if asked + before > price:
        already = f", and {sterling(before)} of it is invoiced already" if before else ""
        yield refusal(
            f"{name} costs {sterling(price)}{already}; {sterling(asked)} is asked for.",
            "Invoice.lineItem.priceComponent",
        )


def _adds_up(i: Invoice) -> Iterator[Issue]:
    lines = i.invoice.get("lineItem", ())
    if any("amount" not in part for line in lines for part in line.get("priceComponent", ())):
        text = "Each price component says its amount in pounds: what a factor alone would come to is not reckoned with."
        yield refusal(text, "Invoice.lineItem.priceComponent")
    for name, with_tax in (("totalNet", False), ("totalGross", True)):
        said = i.invoice.get(name)
        whole = sum(line_total(one, with_tax=with_tax) for one in lines)
        if said is not None and pence_of(said) != whole:
            yield refusal(f"The lines come to {sterling(whole)}, which is not what {name} says.", f"Invoice.{name}")


def _by_who_may(i: Invoice) -> Iterator[Issue]:
    if i.before is None and i.by.role == "provider" and i.issuer not in i.by.names:
        yield refusal("A provider asks to be paid in their own name.", "Invoice.issuer")


def _is_paid(i: Invoice) -> Iterator[Issue]:
    """What is balanced was paid."""
    if i.invoice.get("status") != "balanced":
        return
    done = [one for one in i.payments if is_done(one)]
    known: dict[str, Resource | None] = {f"Invoice/{one['id']}": one for one in (*i.others, i.invoice)}
    for key, asked in amounts_by_purchase(i.invoice).items():
        paid = paid_for(key, done, known)
        if paid < asked:
            name = str(((i.purchases.get(key) or {}).get("code") or {}).get("text") or key)
            yield refusal(f"Of the {sterling(asked)} for {name}, {sterling(paid)} is paid.", "Invoice.status")


CHECKS = (_for_its_person, _lines, _adds_up, _by_who_may, _is_paid)

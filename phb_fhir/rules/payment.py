"""Payments (C32E7, R22, R86; SM-I; decision 0021): what a PaymentReconciliation pays from a budget, and what that moves.

A line pays a purchase (or an invoice, whole), pays an advance to whoever holds a part, or takes something back. What is paid for a purchase
posts nothing: the purchase's own rule spends its price, once, when it is billed. A payment itself posts

    advance, advance-returned   what left the commissioner for a part that somebody else holds, from the moment it is queued
    refund                      what comes back of a purchase, about that purchase, once it is there

STATUS and OUTCOME are the tables of SM-I; CHECKS what speaks against a payment. A payment that is complete, or that was sent to the bank, stays
as it is: what was wrong with it is undone by cancelling it or entering it in error, and paid anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, NamedTuple

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import instant_text
from phb_fhir.fhir.money import divided, pence_of, sterling
from phb_fhir.outcome import Issue, Kind
from phb_fhir.rules.allocation import pot_name
from phb_fhir.rules.budget import Element, element_of, elements_of, is_budget, joint_of, owner_of, person_of, stage_of
from phb_fhir.rules.case import (
    NOTHING,
    Asking,
    Books,
    By,
    Case,
    Decision,
    Find,
    Follow,
    Judging,
    Posted,
    Read,
    refusal,
)
from phb_fhir.rules.invoice import STANDING as INVOICE_STANDING
from phb_fhir.rules.invoice import amounts_by_purchase, total_of
from phb_fhir.rules.ledger import CONTINGENCY, NONE, Entry, Ledger, Sums, Told, entry, positions, reversal
from phb_fhir.rules.purchase import lets, read_purchase, refusals
from phb_fhir.rules.words import BASE, PAYMENT_REFERENCE, code_in, extensions, key_of, keys_in, pair_of, value_of, with_value

STATUS: Mapping[str, tuple[str, ...]] = {
    "draft": ("draft", "active", "cancelled", "entered-in-error"),
    "active": ("active", "cancelled", "entered-in-error"),
    "cancelled": ("cancelled", "entered-in-error"),
    "entered-in-error": ("entered-in-error",),
}
# of one that is active; the rest of a partial one is another payment
OUTCOME: Mapping[str, tuple[str, ...]] = {
    "queued": ("queued", "complete", "error", "partial"),
    "complete": ("complete",),
    "partial": ("partial",),
    "error": ("error",),
}
# what of a payment never changes once it is complete or was sent
_TERMS = ("paymentIssuer", "paymentIdentifier", "paymentAmount", "paymentDate", "detail")
_TERM_EXTENSIONS = ("phb-account", "phb-payee", "phb-element")
_PAID_FROM = ("active", "suspended", "closing")
_RECORDED_BY = frozenset(("", "system", "care-coordinator", "nhs-team", "commissioner", "finance"))
_FOR_THEMSELVES = frozenset(("commissioner", "finance"))

_ACCOUNT = "PaymentReconciliation.extension.where(url.endsWith('phb-account')).value"
_PAYEE = "PaymentReconciliation.extension.where(url.endsWith('phb-payee')).value"
_PART = "PaymentReconciliation.extension.where(url.endsWith('phb-element')).value"
_ISSUER = "PaymentReconciliation.paymentIssuer"


# ---- what the record says ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment with all that is known about it. `family` are the budgets it may be about beside its own: the joint one it is part of, or
    those that make it up. `others` are the other payments for the same purchases, `posted` the ledger entries about each purchase.
    """

    payment: Resource
    account: str
    budget: Resource
    by: By
    today: date
    before: Resource | None = None
    family: Mapping[str, Resource] = field(default_factory=dict)
    purchases: Mapping[str, Resource | None] = field(default_factory=dict)
    invoices: Mapping[str, Resource | None] = field(default_factory=dict)
    others: Sequence[Resource] = ()
    posted: Mapping[str, Sequence[Entry]] = field(default_factory=dict)
    consents: Sequence[Resource] = ()

    @property
    def issuer(self) -> str:
        return key_of(self.payment.get("paymentIssuer"))

    @property
    def payee(self) -> str:
        return key_of(value_of(self.payment, "phb-payee"))

    @property
    def part(self) -> str:
        found = value_of(self.payment, "phb-element")
        return found if isinstance(found, str) else ""

    @property
    def budgets(self) -> dict[str, Resource]:
        return {self.account: self.budget, **self.family}

    @property
    def elements(self) -> list[Element]:
        return [one for budget in self.budgets.values() for one in elements_of(budget)]

    @property
    def owners(self) -> frozenset[str]:
        return frozenset(owner_of(one) for one in self.budgets.values()) - {""}

    @property
    def holders(self) -> frozenset[str]:
        return frozenset(one.holder for one in self.elements) - {""}

    @property
    def nominees(self) -> frozenset[str]:
        """Who may receive direct payments for the person, by a consent."""
        keys = tuple(self.budgets)
        several = [one for one in self.consents if any(lets(one, "receive-payment", "", key, self.today) for key in keys)]
        return frozenset(key_of(a.get("reference")) for one in several for a in one["provision"].get("actor", ())) - {""}

    @property
    def is_incoming(self) -> bool:
        """Whether money comes back: from a provider to the budget's side, or from whoever holds a part to the commissioner."""
        if self.payee in self.owners:
            return self.issuer not in self.owners
        return self.payee in self.holders | self.nominees and self.issuer not in self.owners | self.holders | self.nominees

    @property
    def lines(self) -> list[Line]:
        way = -1 if self.is_incoming else 1
        return [one._replace(pence=one.pence * way) for one in lines_of(self.payment)]

    @property
    def shares(self) -> list[Share]:
        """What the lines pay of each purchase, invoices taken apart."""
        return [share for line in self.lines if line.kind != "advance" for share in shares_of(line, self.invoices)]

    def price(self, purchase: str) -> int:
        return pence_of((self.purchases.get(purchase) or {}).get("priceOverride")) or 0


def read_payment(case: Case, payment: Resource) -> Asking[Payment | None]:
    """All that the rules of a payment want to know; None where it is made from no budget, and is none of theirs."""
    account = key_of(value_of(payment, "phb-account"))
    if not account:
        return None
    budget: Resource | None = (yield Read(account))[account]
    if budget is None or not is_budget(budget):
        return None
    found = Payment(payment, account, budget, case.by, case.today, case.before)
    found = replace(found, family=(yield from _family(account, budget)))
    consents: list[Resource] = yield Find("Consent", ("patient", person_of(budget)), ("status", "active"))
    found = replace(found, consents=tuple(consents))
    return (yield from _with_purchases(found, case))


def _family(account: str, budget: Resource) -> Asking[dict[str, Resource]]:
    """The joint budget that this one is part of, and all that make up the same one."""
    top = joint_of(budget) or account
    members: list[Resource] = yield Find("Account", ("part-of", top))
    parent: Resource | None = (yield Read(top))[top] if top != account else None
    found = {f"Account/{one['id']}": one for one in members} | ({top: parent} if parent is not None else {})
    return {key: one for key, one in found.items() if key != account}


def _with_purchases(found: Payment, case: Case) -> Asking[Payment]:
    versions = [one for one in (found.payment, case.before) if one is not None]
    named = {line.request for version in versions for line in lines_of(version)}
    invoice_keys = sorted(key for key in named if key.startswith("Invoice/"))
    invoices: dict[str, Resource | None] = (yield Read(*invoice_keys)) if invoice_keys else {}
    direct = {key for key in named if key.startswith("ChargeItem/")}
    within = {key for one in invoices.values() if one is not None for key in amounts_by_purchase(one)}
    keys = sorted(direct | within)
    if not keys:
        return replace(found, invoices=invoices)
    purchases: dict[str, Resource | None] = yield Read(*keys)
    posted = {}
    for key in keys:
        posted[key] = yield Posted(key)
    others, more = yield from payments_for(keys)
    others = [one for one in others if one.get("id") != case.id]
    return replace(found, invoices={**more, **invoices}, purchases=purchases, posted=posted, others=tuple(others))


# ---- what speaks against it ----------------------------------------------------------------------


def _stepped(p: Payment) -> Iterator[Issue]:
    if p.before is None:
        return
    was, now = str(p.before.get("status")), str(p.payment.get("status"))
    if now not in STATUS.get(was, ()):
        yield _no_step(was, now, STATUS.get(was, ()), "PaymentReconciliation.status")
    elif was == now == "active":
        was, now = str(p.before.get("outcome")), str(p.payment.get("outcome"))
        if now not in OUTCOME.get(was, ()):
            yield _no_step(was, now, OUTCOME.get(was, ()), "PaymentReconciliation.outcome")
    elif was == "active" and run_of(p.before) and p.before.get("outcome") == "queued":
        text = f"This payment was sent to the bank with the run {run_of(p.before)}. Record what came of it first."
        yield refusal(text, "PaymentReconciliation.status")


def _no_step(was: str, now: str, steps: Sequence[str], at: str) -> Issue:
    further = ", ".join(one for one in steps if one != was) or "nothing else"
    return refusal(f"A payment that is {was} cannot become {now}; it can become {further}.", at)


def _stays_as_it_is(p: Payment) -> Iterator[Issue]:
    before = p.before
    is_sent = run_of(before) and before is not None and before.get("status") == "active"
    if before is None or not (is_sent or is_done(before)):
        return
    if run_of(before) != run_of(p.payment):
        yield refusal("The run that a payment was sent with stays on record.", "PaymentReconciliation.identifier")
    if _terms(before) == _terms(p.payment):
        return
    if p.payment.get("outcome") == "partial" and before.get("outcome") == "queued" and _is_less(before, p.payment):
        return
    said = f"was sent to the bank with the run {run_of(before)}" if not is_done(before) else "was made"
    text = f"This payment {said}, and stays as it is. Take it back (cancelled, or entered-in-error), and record another."
    yield refusal(text, "PaymentReconciliation.detail")


def _terms(payment: Resource) -> list[Any]:
    plain = [bare(payment.get(name)) for name in _TERMS]
    return plain + [bare(value_of(payment, name)) for name in _TERM_EXTENSIONS]


def _is_less(before: Resource, after: Resource) -> bool:
    """Whether a partial payment has some of the lines it was to have, none of them for more."""
    was = {(one.kind, one.request): one.pence for one in lines_of(before)}
    now = lines_of(after)
    same = [bare(before.get(name)) == bare(after.get(name)) for name in _TERMS if name not in ("paymentAmount", "detail")]
    return all(same) and all(abs(one.pence) <= abs(was.get((one.kind, one.request), 0)) for one in now)


def _from_an_open_budget(p: Payment) -> Iterator[Issue]:
    if counts(p.before):
        return
    stage = stage_of(p.budget)
    allowed = ("active",) if any(one.kind == "advance" and one.pence > 0 for one in p.lines) else _PAID_FROM
    if stage in allowed or (stage == "closed" and all(one.pence < 0 for one in p.lines)):
        return
    yield refusal(f"The budget is {stage or 'at no stage yet'}; {_WHEN[allowed]}", _ACCOUNT)


_WHEN: Mapping[tuple[str, ...], str] = {
    ("active",): "money is paid in advance from one that is active.",
    _PAID_FROM: "purchases are paid from one that is active, suspended or closing.",
}


def _by_who_may(p: Payment) -> Iterator[Issue]:
    """Money is paid by who has it: the commissioner, or who holds the part (RULE-MODEL, R20)."""
    if p.by.role not in _RECORDED_BY:
        yield refusal("Payments are recorded by the commissioner, the NHS team or finance.", "PaymentReconciliation")
    if p.before is None and p.by.role in _FOR_THEMSELVES and not p.by.names & {p.issuer, p.payee}:
        yield refusal("The payment is neither made nor received by the organisation that is signed in.", _ISSUER)
    if p.is_incoming:
        return
    for line in p.lines:
        may = p.owners if line.kind == "advance" else p.owners | _paying(p, line)
        if p.issuer not in may:
            who = ", ".join(sorted(may)) or "nobody"
            yield refusal(f"{p.issuer or 'Whoever issues this'} does not hold this money; it is paid by {who}.", _ISSUER)
            return


def _paying(p: Payment, line: Line) -> frozenset[str]:
    """Who may pay a line beside the commissioner: those who hold what its purchases are paid from."""
    pots = {pot for share in shares_of(line, p.invoices) for _, pot in _held(p, share.purchase)}
    found = [one for one in p.elements if one.id in pots]
    holders = {one.holder for one in found}
    return frozenset(holders | (p.nominees if any(one.model == "direct-payment" for one in found) else frozenset()))


def _held(p: Payment, purchase: str) -> dict[tuple[str, str], int]:
    """What a purchase holds of each pot, committed or spent; this payment's own refunds left out."""
    entries = [one for one in p.posted.get(purchase, ()) if not _is_of(one, p.payment)]
    found = {place: sums.committed + sums.spent for place, sums in positions(entries).items()}
    return {place: pence for place, pence in found.items() if pence}


def _is_of(one: Entry, payment: Resource) -> bool:
    return one.cause.startswith(f"PaymentReconciliation/{payment.get('id')}/")


def _to_whom(p: Payment) -> Iterator[Issue]:
    for n, detail in enumerate(p.payment.get("detail", ())):
        said = key_of(detail.get("payee"))
        if said and said != p.payee:
            text = f"This line is paid to {said}, and the payment to {p.payee or 'nobody'}: a payment has one payee."
            yield refusal(text, f"PaymentReconciliation.detail[{n}].payee")
    if p.is_incoming:
        return
    for share in p.shares:
        charge = p.purchases.get(share.purchase)
        may = _owed(p, charge, share.purchase) if charge is not None else frozenset()
        if share.pence > 0 and may and p.payee not in may:
            text = f"{_name(charge, share.purchase)} is owed to {', '.join(sorted(may))}, not to {p.payee or 'nobody'}."
            yield refusal(text, _PAYEE)


def _owed(p: Payment, charge: Resource, purchase: str) -> frozenset[str]:
    """Who is owed for a purchase: who provided it, or who paid for it already. Nobody where it names no provider."""
    named = {key_of(charge.get("performingOrganization")), *(key_of(o.get("actor")) for o in charge.get("performer", ()))}
    if not named - {""}:
        return frozenset()
    pots = {pot for _, pot in _held(p, purchase)}
    by = value_of(charge, "phb-paid-by")
    paid = {
        "person": {person_of(p.budget)},
        "representative": {key_of(charge.get("enterer")), *p.nominees},
        "third-party": {one.holder for one in p.elements if one.id in pots},
    }.get(str(by), set())
    return frozenset((named | paid) - {""})


def _name(charge: Resource | None, key: str) -> str:
    return str(((charge or {}).get("code") or {}).get("text") or key)


def _for_something(p: Payment) -> Iterator[Issue]:
    """Each line says what it is for, as its kind asks."""
    for line in p.lines:
        if line.kind not in ("payment", "advance", "adjustment"):
            yield refusal("A line is a payment, an advance or an adjustment.", f"{line.at}.type")
        elif line.kind == "payment" and line.pence < 0:
            text = "Money that comes back for a purchase is an adjustment; a payment is more than nothing."
            yield refusal(text, f"{line.at}.amount")
        elif line.kind != "advance" and not line.request:
            yield refusal("Say which purchase this line is about.", f"{line.at}.request")
        elif line.kind == "adjustment" and line.pence < 0 and not line.request.startswith("ChargeItem/"):
            yield refusal("What comes back is about one purchase: say which.", f"{line.at}.request")
        elif not line.pence:
            yield refusal("A line is of more or less than nothing, in whole pence.", f"{line.at}.amount")


def _there(p: Payment) -> Iterator[Issue]:
    """What is paid for is there, was agreed, and is this budget's."""
    for line in p.lines:
        if line.request.startswith("Invoice/"):
            yield from _invoice(p, line)
    for share in p.shares:
        charge = p.purchases.get(share.purchase)
        if charge is None:
            yield refusal(f"There is no {share.purchase}.", f"{share.at}.request")
            continue
        accounts = keys_in(charge.get("account"))
        if not accounts or accounts[0] not in _reach(p):
            text = f"{_name(charge, share.purchase)} is not paid from this budget, but from {', '.join(accounts) or 'none'}."
            yield refusal(text, f"{share.at}.request")
        elif share.pence > 0 and charge.get("status") not in ("billable", "billed"):
            text = f"{_name(charge, share.purchase)} is {charge.get('status')}. What is approved (billable) or billed is paid."
            yield refusal(text, f"{share.at}.request")


def _reach(p: Payment) -> frozenset[str]:
    """The accounts whose purchases may be paid from this one: itself, the joint one it is part of, and those it is made of."""
    return frozenset((p.account, joint_of(p.budget), *(k for k, one in p.family.items() if joint_of(one) == p.account)))


def _invoice(p: Payment, line: Line) -> Iterator[Issue]:
    invoice = p.invoices.get(line.request)
    if invoice is None:
        yield refusal(f"There is no {line.request}.", f"{line.at}.request")
    elif invoice.get("status") not in INVOICE_STANDING:
        yield refusal(f"{line.request} is {invoice.get('status')}; one that is issued is paid.", f"{line.at}.request")
    elif line.pence != total_of(invoice):
        text = f"{line.request} comes to {sterling(total_of(invoice))}. An invoice is paid whole; a part of it by its purchases."
        yield refusal(text, f"{line.at}.amount")


def _no_more_than_the_price(p: Payment) -> Iterator[Issue]:
    """All payments for a purchase come to no more than its price; and what a funder pays of a joint one to no more than its part."""
    standing = [one for one in p.others if counts(one)]
    for purchase, pence in _sums(p).items():
        before = paid_for(purchase, standing, p.invoices)
        if pence > 0 and before + pence > p.price(purchase):
            paid = f", and {sterling(before)} of it is paid already or on its way" if before else ""
            text = f"{_name(p.purchases.get(purchase), purchase)} costs {sterling(p.price(purchase))}{paid}."
            yield refusal(text, "PaymentReconciliation.detail")
        yield from _no_more_than_its_part(p, purchase, pence, standing)


def _no_more_than_its_part(p: Payment, purchase: str, pence: int, standing: Sequence[Resource]) -> Iterator[Issue]:
    charged = keys_in((p.purchases.get(purchase) or {}).get("account"))
    if not charged or charged[0] == p.account or charged[0] != joint_of(p.budget):
        return
    part = sum(held for (account, _), held in _held(p, purchase).items() if account == p.account)
    own = [one for one in standing if key_of(value_of(one, "phb-account")) == p.account]
    before = paid_for(purchase, own, p.invoices)
    if before + pence > part:
        name = _name(p.purchases.get(purchase), purchase)
        text = f"{sterling(part)} of {name} falls to this budget; the rest is paid from the others."
        yield refusal(text, "PaymentReconciliation.detail")


def _sums(p: Payment) -> dict[str, int]:
    """What this payment pays of each purchase."""
    found: dict[str, int] = {}
    for share in p.shares:
        found[share.purchase] = found.get(share.purchase, 0) + max(share.pence, 0)
    return found


def _no_more_than_was_spent(p: Payment) -> Iterator[Issue]:
    """What comes back of a purchase is no more than was spent on it."""
    for purchase, pence in _refunds(p).items():
        spent = sum(_spent(p, purchase).values()) + _to_be_billed(p, purchase)
        if pence > spent:
            text = f"{sterling(spent)} is spent on {_name(p.purchases.get(purchase), purchase)}, so no more can come back."
            yield refusal(text, "PaymentReconciliation.detail")


def _to_be_billed(p: Payment, purchase: str) -> int:
    """What this same payment bills, which the ledger does not show yet."""
    charge = p.purchases.get(purchase) or {}
    return _held_in_all(p, purchase) if charge.get("status") == "billable" and _is_paid_whole(p, purchase) else 0


def _held_in_all(p: Payment, purchase: str) -> int:
    return sum(_held(p, purchase).values())


def _refunds(p: Payment) -> dict[str, int]:
    found: dict[str, int] = {}
    for share in p.shares:
        if share.pence < 0:
            found[share.purchase] = found.get(share.purchase, 0) - share.pence
    return found


def _spent(p: Payment, purchase: str) -> dict[tuple[str, str], int]:
    entries = [one for one in p.posted.get(purchase, ()) if not _is_of(one, p.payment)]
    return {place: sums.spent for place, sums in positions(entries).items() if sums.spent > 0}


def _advances(p: Payment) -> Iterator[Issue]:
    """Money is paid in advance to whoever holds a part that is paid out (R86, DP-6)."""
    lines = [one for one in p.lines if one.kind == "advance"]
    if not lines:
        return
    element = element_of(elements_of(p.budget), p.part)
    if element is None:
        known = ", ".join(one.id for one in elements_of(p.budget)) or "none: say it of the budget that has"
        yield refusal(f"Say for which part of this budget the advance is; it has {known}.", _PART)
        return
    if element.model == "notional":
        text = f"{pot_name(element.id).capitalize()} is notional: the NHS holds it, and pays for purchases as they are made."
        yield refusal(text, _PART)
        return
    may = {element.holder} | (p.nominees if element.model == "direct-payment" else frozenset())
    if not p.is_incoming and p.payee not in may:
        text = f"{pot_name(element.id).capitalize()} is paid to {', '.join(sorted(may))}, who holds it or receives it for them."
        yield refusal(text, _PAYEE)


CHECKS: tuple[Callable[[Payment], Iterator[Issue]], ...] = (
    _for_something,
    _from_an_open_budget,
    _by_who_may,
    _to_whom,
    _there,
    _no_more_than_the_price,
    _no_more_than_was_spent,
    _advances,
)


# ---- what becomes of it --------------------------------------------------------------------------


def judge_payment(case: Case) -> Judging:
    """What is to be said of a write of a PaymentReconciliation that is made from a budget, and what follows from it."""
    if case.after is None:
        return (yield from _deleted(case))
    payment = yield from read_payment(case, case.after)
    if payment is None:
        return (yield from _taken_away(case))
    if case.is_new and (first := (yield from _first(case, payment))):
        return first
    issues = [*_stepped(payment), *_stays_as_it_is(payment)]
    if counts(case.after) and not issues:
        issues += [issue for check in CHECKS for issue in check(payment)]
    follow: list[Follow] = []
    if counts(case.after) and not issues:
        billed, why = yield from _billed(case, payment)
        follow += billed
        issues += why
    if issues:
        return Decision(tuple(issues))
    entries, issues = yield from _entries(case, payment)
    follow += _failed(case, payment)
    return Decision(tuple(issues), entries=tuple(entries), follow=tuple(follow))


def _deleted(case: Case) -> Judging:
    if counts(case.before) or (yield Posted(case.key)):
        text = "Money has moved by this payment, and its record is kept. Mark it as entered in error instead: that undoes it."
        return Decision((refusal(text, "PaymentReconciliation"),))
    return NOTHING


def _taken_away(case: Case) -> Judging:
    """A payment that names no budget any more, where it did."""
    if counts(case.before) and (yield from read_payment(case, case.before or {})) is not None:
        text = "A payment stays with its budget. Take it back (cancelled, or entered-in-error), and record it anew."
        return Decision((refusal(text, _ACCOUNT),))
    return NOTHING


def _first(case: Case, p: Payment) -> Asking[Decision | None]:
    """The same payment posted again answers with the first result; another under the same identifier is refused."""
    system, value = pair_of(p.payment.get("paymentIdentifier"))
    found: list[Resource] = (yield Find("PaymentReconciliation", ("payment-identifier", f"{system}|{value}"))) if value else []
    numbers = [number for one in p.payment.get("identifier", ()) if (number := pair_of(one)[1]) and pair_of(one)[0] == PAYMENT_REFERENCE]
    for number in numbers:
        found += yield Find("PaymentReconciliation", ("identifier", f"{PAYMENT_REFERENCE}|{number}"))
    for one in found:
        if one.get("id") == case.id or one.get("status") == "entered-in-error":
            continue
        key = f"PaymentReconciliation/{one['id']}"
        if _terms(one) == _terms(p.payment) and not case.names_id:
            return Decision(first=key)
        text = f"The payment {reference_of(one)} is recorded already, as {key}. Give another payment an identifier of its own."
        return Decision((Issue(Kind.DUPLICATE, text, "PaymentReconciliation.paymentIdentifier"),))
    return None


def _is_paid_whole(p: Payment, purchase: str) -> bool:
    done = [*(one for one in p.others if is_done(one)), *([p.payment] if is_done(p.payment) else [])]
    return paid_for(purchase, done, p.invoices) >= p.price(purchase) > 0


def _billed(case: Case, p: Payment) -> Asking[tuple[list[Follow], list[Issue]]]:
    """Purchases that are paid whole with this become billed. Nobody is paid without what a billed purchase must have (RULE-EVID)."""
    follow, issues = [], []
    for share in p.shares:
        charge = p.purchases.get(share.purchase)
        if share.pence <= 0 or charge is None or charge.get("status") != "billable":
            continue
        billed = {**charge, "status": "billed"}
        if not extensions(charge, "phb-paid-by"):
            billed = with_value(billed, "phb-paid-by", "Code", _paid_by(p, share.purchase))
        known = yield from read_purchase(billed, case.by, case.today, charge)
        for why in refusals(known) if known is not None else ():
            issues.append(refusal(f"{_name(charge, share.purchase)} cannot be paid yet. {why.text}", f"{share.at}.request"))
        if _is_paid_whole(p, share.purchase):
            follow.append(Follow(billed, share.purchase))
    return follow, issues


def _paid_by(p: Payment, purchase: str) -> str:
    pots = {pot for _, pot in _held(p, purchase)}
    models = {one.model for one in p.elements if one.id in pots and one.holder == p.issuer}
    return "third-party" if "third-party" in models else "nhs-team"


def _failed(case: Case, p: Payment) -> list[Follow]:
    """A payment that failed is told on its purchases, which wait to be paid as before."""
    before = case.before or {}
    if not counts(before) or p.payment.get("status") != "active" or p.payment.get("outcome") != "error":
        return []
    why = f": {p.payment['disposition']}" if p.payment.get("disposition") else ""
    follow = []
    for share in p.shares:
        charge = p.purchases.get(share.purchase)
        if charge is None or share.pence <= 0:
            continue
        text = f"The payment {reference_of(p.payment)} of {sterling(share.pence)} failed{why}. It is still to be paid."
        note = {"time": instant_text(case.now), "text": text}
        follow.append(Follow({**charge, "note": [*charge.get("note", ()), note]}, share.purchase))
    return follow


# ---- what moves ----------------------------------------------------------------------------------

Place = tuple[str, str, str]  # what it is about, the account, the pot


def _entries(case: Case, p: Payment) -> Asking[tuple[list[Entry], list[Issue]]]:
    """What moves in the ledgers: from what this payment has posted to what it is to have posted."""
    own: list[Entry] = [] if case.is_new else (yield Posted(case.key))
    theirs = [one for entries in p.posted.values() for one in entries if _is_of(one, p.payment)]
    was: dict[Place, Sums] = {}
    for one in (*own, *theirs):
        place = (one.about, one.account, one.pot)
        was[place] = was.get(place, NONE).plus(one.sums)
    wanted = _wanted(case, p) if counts(p.payment) else {}
    was, issues = _undone(p, was, wanted)
    told = {key: owner_of(one) for key, one in p.budgets.items()}
    entries = list(_moves(case, p, was, wanted, told))
    issues += yield from _overdrawn(entries)
    return entries, issues


def _wanted(case: Case, p: Payment) -> dict[Place, Sums]:
    found: dict[Place, Sums] = {}

    def add(about: str, place: tuple[str, str], sums: Sums) -> None:
        found[about, *place] = found.get((about, *place), NONE).plus(sums)

    for line in p.lines:
        if line.kind == "advance" and (line.pence > 0 or is_done(p.payment)):
            add(case.key, (p.account, p.part), Sums(advanced=line.pence))
    for purchase, pence in _sums(p).items():
        for place, part in _spread(pence, _held(p, purchase)).items():
            if p.issuer in p.owners and _is_held(p, place):  # the commissioner pays for a part that is paid out
                add(case.key, place, Sums(advanced=part))
    for purchase, pence in (_refunds(p) if is_done(p.payment) else {}).items():
        for place, part in _spread(pence, _held(p, purchase)).items():
            is_over = stage_of(p.budgets.get(place[0])) == "closed"
            add(purchase, place, Sums(spent=-part, allocated=-part if is_over else 0))
            if p.payee in p.owners and _is_held(p, place):
                add(case.key, place, Sums(advanced=-part))
    return {place: sums for place, sums in found.items() if any(sums)}


def _spread(pence: int, held: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """An amount over the pots that a purchase holds money of, as they hold it."""
    if not pence or not held:
        return {}
    places = sorted(held)
    parts = divided(pence, [held[place] for place in places])
    return {place: part for place, part in zip(places, parts, strict=True) if part}


def _is_held(p: Payment, place: tuple[str, str]) -> bool:
    """Whether the pot is a part that is paid out to somebody else."""
    account, pot = place
    element = element_of(elements_of(p.budgets[account]), pot) if account in p.budgets and pot != CONTINGENCY else None
    return element is not None and element.model != "notional"


def _undone(
    p: Payment, was: Mapping[Place, Sums], wanted: Mapping[Place, Sums]
) -> tuple[dict[Place, Sums], list[Issue]]:
    """What is still there to be undone: with a purchase that was taken back, what came back of it is undone already."""
    left, issues = dict(was), []
    for place in was:
        charge = p.purchases.get(place[0])
        if charge is None or wanted.get(place) == was[place] or charge.get("status") == "billed":
            continue
        if charge.get("status") == "not-billable":
            text = f"{_name(charge, place[0])} was disallowed since, with what had come back of it. Put that right first."
            issues.append(refusal(text, "PaymentReconciliation.detail"))
        del left[place]
    return left, issues


def _moves(
    case: Case, p: Payment, was: Mapping[Place, Sums], wanted: Mapping[Place, Sums], funders: Mapping[str, str]
) -> Iterator[Entry]:
    day = str(p.payment.get("paymentDate") or case.today.isoformat())[:10]
    for place in dict.fromkeys((*was, *wanted)):
        had, wants = was.get(place, NONE), wanted.get(place, NONE)
        if had == wants:
            continue
        about, account, pot = place
        told = Told(case.version, about, funders.get(account, ""), day)
        if any(had):
            yield reversal(had, account, pot, told)
        yield from _kinds(wants, account, pot, told)


def _kinds(sums: Sums, account: str, pot: str, told: Told) -> Iterator[Entry]:
    if sums.advanced > 0:
        yield entry("advance", sums.advanced, account, pot, told)
    if sums.advanced < 0:
        yield entry("advance-returned", -sums.advanced, account, pot, told)
    if sums.spent < 0:
        yield entry("refund", -sums.spent, account, pot, told)
    if sums.allocated < 0:
        yield entry("surplus-recovery", -sums.allocated, account, pot, told)


def _overdrawn(entries: Sequence[Entry]) -> Asking[list[Issue]]:
    """Never more is paid out for a part than it was given, and never more returned than was paid out."""
    if not entries:
        return []
    accounts = sorted({one.account for one in entries})
    books: dict[str, Ledger] = yield Books(*accounts)
    issues = []
    for (account, pot), moved in positions(entries).items():
        before = books[account].of(pot)
        after = before.plus(moved)
        if moved.advanced > 0 and after.advanced > after.allocated:
            text = (
                f"{pot_name(pot).capitalize()} has {sterling(before.allocated)}, and {sterling(before.advanced)} of it is paid out "
                f"already: {sterling(moved.advanced)} more is too much."
            )
            issues.append(refusal(text, "PaymentReconciliation.paymentAmount"))
        if moved.advanced < 0 and after.advanced < 0:
            text = f"{sterling(before.advanced)} was paid out for {pot_name(pot)}, so {sterling(-moved.advanced)} cannot come back."
            issues.append(refusal(text, "PaymentReconciliation.paymentAmount"))
        if moved.available < 0 and after.available < 0:
            text = f"What had come back to {pot_name(pot)} is spent since: {sterling(-after.available)} would be missing."
            issues.append(refusal(text, "PaymentReconciliation.detail"))
    return issues


# ---- the purchase's side -------------------------------------------------------------------------


def judge_paid(case: Case) -> Judging:
    """A purchase that is paid, or about to be, keeps its price; one whose payment is on its way is not taken back meanwhile."""
    before, after = case.before, case.after
    if before is None or case.is_own or before.get("status") not in ("billable", "billed"):
        return NOTHING
    was, now = pence_of(before.get("priceOverride")) or 0, pence_of((after or {}).get("priceOverride")) or 0
    is_back = after is None or after.get("status") not in ("billable", "billed")
    if not is_back and now >= was:
        return NOTHING
    payments, invoices = yield from payments_for((case.key,))
    on_way = [one for one in payments if counts(one) and one.get("outcome") == "queued"]
    if is_back and on_way:
        text = f"The payment {reference_of(on_way[0])} for this is on its way. Cancel it first, or wait for what comes of it."
        return Decision((refusal(text, "ChargeItem.status"),))
    paid = paid_for(case.key, [one for one in payments if counts(one)], invoices)
    if not is_back and paid > now:
        text = f"{sterling(paid)} is paid for this or on its way, so it cannot cost {sterling(now)}. Record what comes back as a refund."
        return Decision((refusal(text, "ChargeItem.priceOverride"),))
    return NOTHING

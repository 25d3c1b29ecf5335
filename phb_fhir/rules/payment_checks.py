"""What speaks against a payment (C32E7, R22; SM-I, RULE-MODEL, RULE-LEDGER; decision 0021).

STATUS and OUTCOME are the tables of SM-I, CHECKS what is looked at when a payment begins to hold money, by being paid or on its way, and when it
changes; STILL what is looked at when it is told what came of it. One that is complete, or was sent to the bank, stays as it is: what was wrong
with it is undone by cancelling it or entering it in error, and paid anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.money import sterling
from phb_fhir.outcome import Issue
from phb_fhir.rules.allocation import pot_first
from phb_fhir.rules.around import died_on, has_died
from phb_fhir.rules.budget import (
    Element,
    element_of,
    elements_of,
    first_day,
    in_words,
    joint_of,
    person_of,
    stage_of,
)
from phb_fhir.rules.case import (
    no_step,
    refusal,
)
from phb_fhir.rules.direct_payment import MODEL, excluded, why_not_paid
from phb_fhir.rules.ledger import positions
from phb_fhir.rules.paid import (
    INVOICED,
    Line,
    came_back,
    counts,
    is_done,
    lines_of,
    paid_for,
    run_of,
    shares_of,
    total_of,
)
from phb_fhir.rules.payment import (
    Payment,
    came_from,
    held_for,
    is_of,
    is_paid_whole,
    name_of,
    paid_by_purchase,
    pays_a_part,
    refunded_by_purchase,
    terms_of,
)
from phb_fhir.rules.words import key_of, keys_in, value_of

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
_UNDONE = ("cancelled", "entered-in-error")
_PAID_FROM = ("active", "suspended", "closing")
_RECORDED_BY = frozenset(("", "system", "care-coordinator", "nhs-team", "commissioner", "finance"))
_FOR_THEMSELVES = frozenset(("commissioner", "finance"))

ACCOUNT = "PaymentReconciliation.extension.where(url.endsWith('phb-account')).value"
_PAYEE = "PaymentReconciliation.extension.where(url.endsWith('phb-payee')).value"
_PART = "PaymentReconciliation.extension.where(url.endsWith('phb-element')).value"
_ISSUER = "PaymentReconciliation.paymentIssuer"
_DETAIL = "PaymentReconciliation.detail"


# ---- what speaks against it ----------------------------------------------------------------------


def stepped(p: Payment) -> Iterator[Issue]:
    if p.before is None:
        return
    was, now = str(p.before.get("status")), str(p.payment.get("status"))
    if now not in STATUS.get(was, ()):
        yield no_step("A payment", was, now, STATUS.get(was, ()), "PaymentReconciliation.status")
    elif was == now == "active":
        was, now = str(p.before.get("outcome")), str(p.payment.get("outcome"))
        if now not in OUTCOME.get(was, ()):
            yield no_step("A payment", was, now, OUTCOME.get(was, ()), "PaymentReconciliation.outcome")
    elif was == now and now in _UNDONE and _outcome(p.before) != _outcome(p.payment):
        text = f"A payment that is {now} keeps the outcome it had. What was paid all the same is another payment."
        yield refusal(text, "PaymentReconciliation.outcome")
    elif was == "active" and run_of(p.before) and p.before.get("outcome") == "queued":
        text = f"This payment was sent to the bank with the run {run_of(p.before)}. Record what came of it first."
        yield refusal(text, "PaymentReconciliation.status")


def _outcome(payment: Resource) -> str:
    return str(payment.get("outcome") or "")


def stays_as_it_is(p: Payment) -> Iterator[Issue]:
    before = p.before
    is_sent = run_of(before) and before is not None and before.get("status") == "active"
    if before is None or not (is_sent or is_done(before)):
        return
    if run_of(before) != run_of(p.payment):
        yield refusal("The run that a payment was sent with stays on record.", "PaymentReconciliation.identifier")
    if terms_of(before) == terms_of(p.payment):
        return
    if _is_rest(before, p):
        return
    said = f"was sent to the bank with the run {run_of(before)}" if not is_done(before) else "was made"
    text = (
        f"This payment {said}, and stays as it is. Take it back (cancelled, or entered-in-error), and record another."
    )
    yield refusal(text, _DETAIL)


def _is_less(before: Resource, after: Resource) -> bool:
    """Whether a partial payment has some of the lines it was to have, none of them for more, and is else the same."""
    was = {(one.kind, one.request): one.pence for one in lines_of(before)}
    whole = {**after, **{name: before.get(name) for name in ("paymentAmount", "detail")}}
    is_same = terms_of(before) == terms_of(whole)
    return is_same and all(abs(one.pence) <= abs(was.get((one.kind, one.request), 0)) for one in lines_of(after))


def _from_an_open_budget(p: Payment) -> Iterator[Issue]:
    if counts(p.before):
        return
    stage, day = stage_of(p.budget), first_day(p.payment.get("paymentDate"))
    is_new_advance = any(one.kind == "advance" and one.pence > 0 for one in p.lines)
    # what went out while it was active is recorded, and asked back
    is_told_late = is_done(p.payment) and day is not None and day < p.today and p.stage_then in ("active", "")
    allowed = ("active",) if is_new_advance and not is_told_late else _PAID_FROM
    if stage in allowed or (stage == "closed" and all(one.pence < 0 for one in p.lines)):
        return
    yield refusal(f"The budget is {stage or 'at no stage yet'}; {_WHEN[allowed]}", ACCOUNT)


_WHEN: Mapping[tuple[str, ...], str] = {
    ("active",): "money is paid in advance from one that is active.",
    _PAID_FROM: "purchases are paid from one that is active, suspended or closing.",
}


def _is_not_ahead(p: Payment) -> Iterator[Issue]:
    """What was paid was paid by now. What the bank was sent keeps its day: the bank says when it is done."""
    day = first_day(p.payment.get("paymentDate"))
    if is_done(p.payment) and not is_done(p.before) and not run_of(p.before) and day is not None and day > p.today:
        text = f"{in_words(day)} is still to come: a payment that is to be made then is queued until it is."
        yield refusal(text, "PaymentReconciliation.paymentDate")


def _recorded_by(p: Payment) -> Iterator[Issue]:
    if p.by.role not in _RECORDED_BY:
        yield refusal("Payments are recorded by the commissioner, the NHS team or finance.", "PaymentReconciliation")


def _by_who_may(p: Payment) -> Iterator[Issue]:
    """Money is paid by who has it: the commissioner, or who holds the part (RULE-MODEL, R20)."""
    if p.before is None and p.by.role in _FOR_THEMSELVES and not p.by.names & {p.issuer, p.payee}:
        yield refusal("The payment is neither made nor received by the organisation that is signed in.", _ISSUER)
    if p.is_incoming:
        return
    for line in p.lines:
        may = p.payers if line.kind == "advance" else p.payers | _paying(p, line)
        if p.issuer not in may:
            who = _among(may, p.named) or "nobody"
            yield refusal(
                f"{p.issuer or 'Whoever issues this'} does not hold this money; it is paid by {who}.", _ISSUER
            )
            return


def _among(who: Collection[str], named: Collection[str], other: str = "another funder") -> str:
    """Who of these is told in a sentence: of those around a joint budget, the ones whose budgets the writer may see."""
    told = sorted({*who} & {*named})
    return ", ".join([*told, *([other] if len(told) < len(who) else [])])


def _paying(p: Payment, line: Line) -> frozenset[str]:
    """Who may pay a line beside the commissioner: those who hold what its purchases are paid from."""
    pots = {pot for share in shares_of(line, p.invoices) for _, pot in held_for(p, share.purchase)}
    found = [one for one in p.elements if one.id in pots]
    holders = {one.holder for one in found}
    return frozenset(holders | (p.nominees if any(one.model == "direct-payment" for one in found) else frozenset()))


def _to_whom(p: Payment) -> Iterator[Issue]:
    for n, detail in enumerate(p.payment.get("detail", ())):
        said = key_of(detail.get("payee"))
        if said and said != p.payee:
            text = f"This line is paid to {said}, and the payment to {p.payee or 'nobody'}: a payment has one payee."
            yield refusal(text, f"PaymentReconciliation.detail[{n}].payee")
    if p.is_incoming:
        yield from _back_to_whom(p)
        return
    for share in p.shares:
        charge = p.purchases.get(share.purchase)
        may = _owed(p, charge, share.purchase) if charge is not None else frozenset()
        if share.pence > 0 and may and p.payee not in may:
            seen = (
                {*provides(charge), person_of(p.budget)} if charge is not None and share.purchase in p.seen else set()
            )
            who = _among(may, p.named | seen, "somebody else")
            yield refusal(f"{name_of(charge, share.purchase)} is owed to {who}, not to {p.payee or 'nobody'}.", _PAYEE)


def _back_to_whom(p: Payment) -> Iterator[Issue]:
    """What comes back of a purchase comes back to where its money came from: else it would be there to be spent, and be in somebody else's hands."""
    for line in p.lines:
        may = p.payers | _paying(p, line)
        if line.kind == "adjustment" and line.request in p.purchases and p.payee not in may:
            name = name_of(p.purchases.get(line.request), line.request)
            who = _among(may, p.named, "somebody else")
            yield refusal(
                f"{name} was paid by {who}, so what comes back of it comes back to them, not to {p.payee}.", _PAYEE
            )
            return


def _owed(p: Payment, charge: Resource, purchase: str) -> frozenset[str]:
    """Who is owed for a purchase: who provided it, or who paid for it already; where it is billed, and somebody else than issues this paid, they alone.
    Nobody where it names no provider.
    """
    named = provides(charge)
    if not named:
        return frozenset()
    pots = {pot for _, pot in held_for(p, purchase)}
    by = value_of(charge, "phb-paid-by")
    found = {
        "person": {person_of(p.budget)},
        "representative": {key_of(charge.get("enterer")), *p.nominees},
        "third-party": {one.holder for one in p.elements if one.id in pots},
    }.get(str(by), set())
    paid = frozenset(found - {""})
    is_paid = charge.get("status") == "billed" and paid and p.issuer not in paid
    return paid if is_paid else named | paid


def provides(charge: Resource) -> frozenset[str]:
    """Who provides what was bought, as far as it says."""
    performers = (key_of(one.get("actor")) for one in charge.get("performer", ()))
    return frozenset((key_of(charge.get("performingOrganization")), *performers)) - {""}


def _for_something(p: Payment) -> Iterator[Issue]:
    """There is a line, and each says what it is for, as its kind asks."""
    if not p.lines:
        yield refusal(
            "Say what this payment pays: a purchase, an invoice or an advance, in a line of its own.", _DETAIL
        )
    for line in p.lines:
        if line.kind not in ("payment", "advance", "adjustment"):
            yield refusal("A line is a payment, an advance or an adjustment.", f"{line.at}.type")
        elif line.kind == "payment" and line.pence < 0:
            text = (
                "Money that comes back for a purchase is an adjustment; a payment is more than nothing, and goes out."
            )
            yield refusal(text, f"{line.at}.amount")
        elif line.kind == "adjustment" and line.pence > 0:
            text = "An adjustment is what comes back for a purchase. What is paid beside is a payment."
            yield refusal(text, f"{line.at}.amount")
        elif line.kind != "advance" and not line.request:
            yield refusal("Say which purchase this line is about.", f"{line.at}.request")
        elif line.kind == "adjustment" and not line.request.startswith("ChargeItem/"):
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
            text = f"{name_of(charge, share.purchase)} is not paid from this budget, but from {', '.join(accounts) or 'none'}."
            yield refusal(text, f"{share.at}.request")
        elif share.pence > 0 and charge.get("status") not in ("billable", "billed"):
            text = f"{name_of(charge, share.purchase)} is {charge.get('status')}. What is approved (billable) or billed is paid."
            yield refusal(text, f"{share.at}.request")


def _reach(p: Payment) -> frozenset[str]:
    """The accounts whose purchases may be paid from this one: itself, the joint one it is part of, and those it is made of."""
    return frozenset((p.account, joint_of(p.budget), *(k for k, one in p.family.items() if joint_of(one) == p.account)))


def _invoice(p: Payment, line: Line) -> Iterator[Issue]:
    invoice = p.invoices.get(line.request)
    if invoice is None:
        yield refusal(f"There is no {line.request}.", f"{line.at}.request")
    elif invoice.get("status") not in INVOICED:
        yield refusal(f"{line.request} is {invoice.get('status')}; one that is issued is paid.", f"{line.at}.request")
    elif line.pence != total_of(invoice):
        text = f"{line.request} comes to {sterling(total_of(invoice))}. An invoice is paid whole; a part of it by its purchases."
        yield refusal(text, f"{line.at}.amount")


def _no_more_than_the_price(p: Payment) -> Iterator[Issue]:
    """All payments for a purchase come to no more than its price; and what a funder pays of a joint one to no more than its part."""
    standing = [one for one in p.others if counts(one)]
    for purchase, pence in paid_by_purchase(p).items():
        before = paid_for(purchase, standing, p.invoices)
        if p.purchases.get(purchase) is not None and pence > 0 and before + pence > p.price(purchase):
            paid = f", and {sterling(before)} of it is paid already or on its way" if before else ""
            text = f"{name_of(p.purchases.get(purchase), purchase)} costs {sterling(p.price(purchase))}{paid}."
            yield refusal(text, _DETAIL)
        yield from _no_more_than_its_part(p, purchase, pence, standing)


def _no_more_than_its_part(p: Payment, purchase: str, pence: int, standing: Sequence[Resource]) -> Iterator[Issue]:
    if not pays_a_part(p, purchase):
        return
    part = sum(came_from(p, purchase).values())
    own = [one for one in standing if key_of(value_of(one, "phb-account")) == p.account]
    before = paid_for(purchase, own, p.invoices)
    if before + pence > part:
        name = name_of(p.purchases.get(purchase), purchase)
        text = f"{sterling(part)} of {name} falls to this budget; the rest is paid from the others."
        yield refusal(text, _DETAIL)


def _no_more_than_was_spent(p: Payment) -> Iterator[Issue]:
    """What comes back of a purchase is no more than was spent on it; and of one that the NHS pays, no more than it has paid, where that is recorded."""
    for purchase, pence in refunded_by_purchase(p).items():
        there, name = came_from(p, purchase), name_of(p.purchases.get(purchase), purchase)
        spent = sum(one for place, one in _spent(p, purchase).items() if place in there) + _to_be_billed(p, purchase)
        if pence > spent:
            yield refusal(f"{sterling(spent)} is spent on {name}, so no more can come back.", _DETAIL)
        else:
            yield from _no_more_than_was_paid(p, purchase, pence)


def _no_more_than_was_paid(p: Payment, purchase: str, pence: int) -> Iterator[Issue]:
    charge = p.purchases.get(purchase) or {}
    done = [one for one in (*p.others, p.payment) if is_done(one)]
    paid, back = paid_for(purchase, done, p.invoices), came_back(purchase, [one for one in p.others if is_done(one)])
    if paid and pence > paid - back and value_of(charge, "phb-paid-by") == "nhs-team":
        already = f", and {sterling(back)} of it came back" if back else ""
        text = (
            f"{sterling(paid)} is paid for {name_of(charge, purchase)}{already}, so {sterling(pence)} cannot come back."
        )
        yield refusal(text, _DETAIL)


def _to_be_billed(p: Payment, purchase: str) -> int:
    """What this same payment bills, which the ledger does not show yet."""
    charge = p.purchases.get(purchase) or {}
    held = sum(came_from(p, purchase).values())
    return held if charge.get("status") == "billable" and is_paid_whole(p, purchase) else 0


def _spent(p: Payment, purchase: str) -> dict[tuple[str, str], int]:
    entries = [one for one in p.posted.get(purchase, ()) if not is_of(one, p.payment)]
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
        text = f"{pot_first(element.id)} is notional: the NHS holds it, and pays for purchases as they are made."
        yield refusal(text, _PART)
        return
    yield from _after_death(p)
    yield from [*_while_agreed(p, element)] or _while_it_runs(p, element)
    may = {element.holder} | (
        p.nominees - _others_paid(p, element) if element.model == "direct-payment" else frozenset()
    )
    if p.is_incoming:
        yield from _returned(p, element.model == "third-party", may)
    elif p.payee not in may:
        who = _among(may, p.named, "somebody else")
        text = f"{pot_first(element.id)} is paid to {who}, who holds it or receives it for them."
        yield refusal(text, _PAYEE)


def _others_paid(p: Payment, part: Element) -> frozenset[str]:
    """Who is paid directly for another part than this: by a consent they receive what is theirs."""
    parts = elements_of(p.budget)
    return frozenset(one.holder for one in parts if one.model == "direct-payment") - {part.holder}


def _after_death(p: Payment) -> Iterator[Issue]:
    """Nothing new is paid in advance for somebody who died. What was paid before, or is said late to have been, stands."""
    if p.is_incoming or not has_died(p.person) or (p.before is not None and counts(p.before)):
        return
    died, day = died_on(p.person), first_day(p.payment.get("paymentDate"))
    if is_done(p.payment) if died is None else day is not None and day <= died:
        return
    when = f" on {in_words(died)}" if died is not None else ""
    text = f"The person died{when}: nothing more is paid in advance. What is still to be paid for is recorded as a purchase."
    yield refusal(text, _DETAIL)


def _while_it_runs(p: Payment, part: Element) -> Iterator[Issue]:
    """A part that has ended is paid nothing in advance: what was bought in its time is paid for. What was on its way, or was paid by then, stands."""
    day, end = first_day(p.payment.get("paymentDate")) or p.today, part.days.end
    if p.is_incoming or end is None or day <= end or (p.before is not None and counts(p.before)):
        return
    text = (
        f"{pot_first(part.id)} ended on {in_words(end)}, so nothing is paid in advance on {in_words(day)}. What is still to be paid for is"
        " recorded as a purchase."
    )
    yield refusal(text, _PART)


def _while_agreed(p: Payment, part: Element) -> Iterator[Issue]:
    """Direct payments are made while the law allows them and somebody agrees (DP-1, DP-2, DP-9). What was paid on an earlier day stands."""
    day = first_day(p.payment.get("paymentDate")) or p.today
    if part.model != MODEL or p.is_incoming or (p.before is not None and counts(p.before)):
        return
    if is_done(p.payment) and day < p.today:
        return
    if p.is_excluded:
        yield excluded(_PART)
    yield from why_not_paid(part, p.account, p.consents, max(day, p.today), _PART)


def check_sending(p: Payment) -> Iterator[Issue]:
    """What speaks against sending a payment to the bank that was queued before: an advance is still to be one that could be made now."""
    if not any(line.kind == "advance" for line in p.lines):
        return
    if not p.is_incoming and has_died(p.person):
        died = died_on(p.person)
        when = f" on {in_words(died)}" if died is not None else ""
        text = f"The person died{when}: this advance is held. Cancel it; what is still to be paid for is recorded as a purchase."
        yield refusal(text, "PaymentReconciliation.identifier")
        return
    as_new = replace(p, before=None)
    yield from _from_an_open_budget(as_new)
    yield from _advances(as_new)


def _may_be_sent(p: Payment) -> Iterator[Issue]:
    """A run asks the same before it sends anything; so does whoever marks a payment as sent by hand."""
    if run_of(p.payment) and not run_of(p.before):
        yield from check_sending(p)


def _returned(p: Payment, is_held: bool, may: Collection[str]) -> Iterator[Issue]:
    """What was paid in advance comes back to the commissioner; from a third party, by itself. A person can issue no payment in R4."""
    if p.payee not in p.owners:
        who = _among(p.owners, p.named)
        yield refusal(f"{p.issuer} does not hold this money; it is paid by {who}, and comes back to them.", _ISSUER)
    elif is_held and p.issuer not in may:
        text = f"{p.issuer} does not hold this money; it comes back from {_among(may, p.named, 'somebody else')}."
        yield refusal(text, _ISSUER)
    elif p.counted > 0 and (key_of(p.payment.get("request")) or not _says_what_it_is(p.payment)):
        text = (
            f"{p.repaid} is repaid, and {sterling(p.counted)} was taken off by that: this would be taken off a second time. If it is other money, name"
            " no request, and say in words what it is (processNote)."
        )
        yield refusal(text, "PaymentReconciliation.request")


def _says_what_it_is(payment: Resource) -> bool:
    return any(str(one.get("text") or "").strip() for one in payment.get("processNote", ()))


def checks_of(p: Payment) -> Iterator[Issue]:
    """All that speaks against a payment that holds money."""
    return (issue for check in (STILL if stands(p) else CHECKS) for issue in check(p))


def stands(p: Payment) -> bool:
    """Whether it was on its way before, as it is now. What was right then is not asked again: that a consent has ended since, or a part is held
    otherwise, undoes nothing that the bank did.
    """
    before = p.before
    return before is not None and counts(before) and (terms_of(before) == terms_of(p.payment) or _is_rest(before, p))


def _is_rest(before: Resource, p: Payment) -> bool:
    return p.payment.get("outcome") == "partial" and before.get("outcome") == "queued" and _is_less(before, p.payment)


STILL: tuple[Callable[[Payment], Iterator[Issue]], ...] = (
    _for_something,
    _is_not_ahead,
    _recorded_by,
    _no_more_than_was_spent,  # what comes back counts once it is there
    _may_be_sent,
)
CHECKS: tuple[Callable[[Payment], Iterator[Issue]], ...] = (
    _for_something,
    _from_an_open_budget,
    _is_not_ahead,
    _recorded_by,
    _by_who_may,
    _to_whom,
    _there,
    _no_more_than_the_price,
    _no_more_than_was_spent,
    _advances,
    _may_be_sent,
)

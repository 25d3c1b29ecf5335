"""What becomes of a payment: what it moves in the ledgers, and the purchases and invoices it settles (C32E7, R22, R86; decision 0021).

What is paid for a purchase posts nothing: the purchase's own rule spends its price, once, when it is billed, and a payment that pays it
whole bills it. A payment itself posts

    advance, advance-returned   what left the commissioner for a part that somebody else holds, from the moment it is queued
    refund                      what came back of a purchase, about that purchase, once it is there

One that is cancelled, fails or was entered in error is undone by contra-entries. An advance on a budget whose money has built up is made,
and asked about (`surplus`). `judge_paid` keeps the purchase's side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import instant_text
from phb_fhir.fhir.money import divided, pence_of, sterling
from phb_fhir.outcome import Issue, Kind
from phb_fhir.rules.allocation import held_until_a_budget, pot_first, pot_name
from phb_fhir.rules.budget import (
    is_held,
    owner_of,
    stage_of,
)
from phb_fhir.rules.case import (
    NOTHING,
    Asking,
    Books,
    Case,
    Decision,
    Find,
    Follow,
    Hold,
    Judging,
    Posted,
    Read,
    Sees,
    follow_on,
    refusal,
)
from phb_fhir.rules.deciding import bare
from phb_fhir.rules.ledger import CONTINGENCY, NONE, Entry, Ledger, Sums, Told, entry, positions, reversal
from phb_fhir.rules.paid import (
    came_back,
    counts,
    is_done,
    lines_of,
    paid_for,
    payments_for,
    purchases_paid,
    reference_of,
)
from phb_fhir.rules.payment import (
    Payment,
    came_from,
    falls_to,
    held_for,
    is_of,
    is_paid_whole,
    name_of,
    paid_by_purchase,
    payment_day,
    read_payment,
    refunded_by_purchase,
    terms_of,
)
from phb_fhir.rules.payment_checks import ACCOUNT, checks_of, provides, stands, stays_as_it_is, stepped
from phb_fhir.rules.purchase import MONEY, budget_charged, element_id, read_purchase, reason_of
from phb_fhir.rules.purchase_checks import refusals
from phb_fhir.rules.surplus import asked_about
from phb_fhir.rules.words import PAYMENT_REFERENCE, extensions, key_of, keys_in, pair_of, token_of, value_of, with_value

# ---- what becomes of it --------------------------------------------------------------------------


def judge_payment(case: Case) -> Judging:
    """What is to be said of a write of a PaymentReconciliation that is made from a budget, and what follows from it."""
    if case.after is None:
        return (yield from _deleted(case))
    payment = yield from read_payment(case, case.after)
    if payment is None:
        if counts(case.after):
            if nowhere := (yield from _from_nowhere(case, case.after)):
                return Decision((refusal(nowhere, ACCOUNT),))
            yield held_until_a_budget(keys_in([value_of(case.after, "phb-account")]))
        return (yield from _taken_away(case))
    if names := _new_names(case):
        yield Hold(*names)  # one payment alone has them, however it came by them
        if first := (yield from _first(case, payment)):
            return first
    issues = [*stepped(payment), *stays_as_it_is(payment)]
    if counts(case.after) and not issues:
        yield held(payment.purchases)
        issues += checks_of(payment)
    if is_done(case.before) and not is_done(case.after) and not issues:
        issues += yield from _paid_for_nothing(case, payment)
    follow: list[Follow] = []
    if counts(case.after) and not issues:
        billed, why = yield from _billed(case, payment)
        follow += billed
        issues += why
    if issues:
        return Decision(tuple(issues))
    entries, issues = yield from _entries(case, payment)
    follow += [*(yield from _failed(case, payment)), *_settled(payment)]
    if not issues and _is_advanced(payment):
        follow += yield from _asked_about(case, payment, entries)
    return Decision(tuple(issues), entries=tuple(entries), follow=tuple(follow))


def _new_names(case: Case) -> list[str]:
    """The identifiers that a payment has now and had not before, under which it could be confused with another."""
    before, after = (_names(one) for one in (case.before or {}, case.after or {}))
    return [f"PaymentReconciliation {name}" for name in after if name not in before]


def _names(payment: Resource) -> list[str]:
    numbers = [pair_of(one) for one in payment.get("identifier", ())]
    return [f"payment|{pair_of(payment.get('paymentIdentifier'))[1]}"] + [
        f"{system}|{value}" for system, value in numbers if system == PAYMENT_REFERENCE
    ]


def held(purchases: Iterable[str]) -> Hold:
    """Two that pay for one purchase, or one that pays for it and one that takes it back, do not pass each other by."""
    return Hold(*(f"paid {key}" for key in sorted(purchases)))


def _deleted(case: Case) -> Judging:
    is_payment = counts(case.before) and (yield from read_payment(case, case.before or {})) is not None
    if is_payment or (yield Posted(case.key)):
        text = "Money has moved by this payment, and its record is kept. Mark it as entered in error instead: that undoes it."
        return Decision((refusal(text, "PaymentReconciliation"),))
    return NOTHING


def _from_nowhere(case: Case, payment: Resource) -> Asking[str]:
    """Why a payment that is made from no budget here is not taken: it says that it is, or pays for what one of them bought. "" where it may be."""
    named = value_of(payment, "phb-account")
    account = key_of(named)
    if account:
        return "" if (yield Read(account))[account] is not None else f"There is no {account}."
    if counts(case.before) and bare(value_of(case.before or {}, "phb-account")) == bare(named):
        return ""
    if named is not None:
        return "The payment is made from no budget that is here. Name the budget by its address (Account/…)."
    for key in purchases_paid(payment):
        if budget := (yield from budget_charged(key)):
            return f"{key} is a purchase of {budget}: say from which budget this pays for it (phb-account)."
    return ""


def _taken_away(case: Case) -> Judging:
    """A payment that names no budget any more, where it did."""
    if counts(case.before) and (yield from read_payment(case, case.before or {})) is not None:
        text = "A payment stays with its budget. Take it back (cancelled, or entered-in-error), and record it anew."
        return Decision((refusal(text, ACCOUNT),))
    return NOTHING


def _first(case: Case, p: Payment) -> Asking[Decision | None]:
    """The same payment posted again answers with the first result; another under the same identifier is refused.

    What the writer may not see is not named; and of another budget, it is not there.
    """
    system, value = pair_of(p.payment.get("paymentIdentifier"))
    found: list[Resource] = (
        (yield Find("PaymentReconciliation", ("payment-identifier", token_of(system, value)))) if value else []
    )
    numbers = [
        number
        for one in p.payment.get("identifier", ())
        if (number := pair_of(one)[1]) and pair_of(one)[0] == PAYMENT_REFERENCE
    ]
    for number in numbers:
        found += yield Find("PaymentReconciliation", ("identifier", token_of(PAYMENT_REFERENCE, number)))
    others = {
        f"PaymentReconciliation/{one['id']}": one
        for one in found
        if one.get("id") != case.id and one.get("status") != "entered-in-error"
    }
    seen: frozenset[str] = (yield Sees(*others)) if others else frozenset()
    for key, one in others.items():
        if key in seen and terms_of(one) == terms_of(p.payment) and case.is_new and not case.names_id:
            return Decision(first=key)
        if key not in seen and key_of(value_of(one, "phb-account")) != p.account:
            continue
        named = f"{reference_of(one)} is recorded already, as {key}" if key in seen else "is recorded already"
        text = f"The payment {named}. Give another payment an identifier of its own."
        return Decision((Issue(Kind.DUPLICATE, text, "PaymentReconciliation.paymentIdentifier"),))
    return None


def _billed(case: Case, p: Payment) -> Asking[tuple[list[Follow], list[Issue]]]:
    """Purchases that are paid whole with this become billed. Nobody is paid without what a billed purchase must have (RULE-EVID): that is looked
    at when the payment is queued. What was lost since keeps no payment from being recorded that the bank has made; its purchase tells of it.
    """
    follow: list[Follow] = []
    issues: list[Issue] = []
    for share in p.shares:
        charge = p.purchases.get(share.purchase)
        if share.pence <= 0 or charge is None or charge.get("status") != "billable":
            continue
        made = partial(_as_billed, paid_by=_paid_by(p, share.purchase))
        known = yield from read_purchase(made(charge), case.by, case.today, charge)
        name = name_of(charge, share.purchase)
        why = refusals(known) if known is not None else []
        if why and stands(p):
            text = f"{reference_of(p.payment)} paid this, and it is not billed yet: {' '.join(one.text for one in why)}"
            follow += (yield from _noted(case, charge, share.purchase, text)) if is_done(p.payment) else []
            continue
        issues += [refusal(f"{name} cannot be paid yet. {one.text}", f"{share.at}.request") for one in why]
        if is_paid_whole(p, share.purchase):
            follow.append(follow_on(charge, share.purchase, made))
    return follow, issues


def _as_billed(charge: Resource, *, paid_by: str) -> Resource:
    billed = {**charge, "status": "billed"}
    return billed if extensions(charge, "phb-paid-by") else with_value(billed, "phb-paid-by", "Code", paid_by)


def _noted(case: Case, charge: Resource, purchase: str, text: str) -> Asking[list[Follow]]:
    """The purchase with a note of what became of a payment for it; nothing where it could not be written as it stands."""
    note = {"time": instant_text(case.now), "text": text}

    def noted(now: Resource) -> Resource:
        return {**now, "note": [*now.get("note", ()), note]}

    known = yield from read_purchase(noted(charge), case.by, case.today, charge)
    return [] if known is not None and refusals(known) else [follow_on(charge, purchase, noted)]


_HOLDS: Mapping[str, str] = {"third-party": "third-party", "direct-payment": "representative"}


def _paid_by(p: Payment, purchase: str) -> str:
    """Who paid for a purchase, of phb-paid-by: whoever issues this may hold the part, for the person (a person issues no payment in R4)."""
    pots = {pot for _, pot in held_for(p, purchase)}
    models = {one.model for one in p.elements if one.id in pots and one.holder == p.issuer}
    return next((code for model, code in _HOLDS.items() if model in models), "nhs-team")


def _failed(case: Case, p: Payment) -> Asking[list[Follow]]:
    """A payment that failed, or was taken back, is told on its purchases, which wait to be paid as before."""
    before = case.before or {}
    if not counts(before) or counts(p.payment):
        return []
    is_failed = p.payment.get("status") == "active"
    notes = [str(one.get("text")) for one in p.payment.get("processNote", ()) if one.get("text")] if is_failed else []
    why = f" ({notes[-1].rstrip('.')})" if notes else ""
    follow: list[Follow] = []
    for share in p.shares:
        charge = p.purchases.get(share.purchase)
        if charge is None or share.pence <= 0 or charge.get("status") not in MONEY:
            continue
        became = "failed" if is_failed else "was taken back"
        text = (
            f"The payment {reference_of(p.payment)} of {sterling(share.pence)} {became}{why}. It is still to be paid."
        )
        follow += yield from _noted(case, charge, share.purchase, text)
    return follow


def _settled(p: Payment) -> Iterator[Follow]:
    """Invoices that this payment pays are balanced; once it is undone, they ask to be paid again."""
    for line in p.lines:
        invoice = p.invoices.get(line.request)
        if invoice is None or line.pence <= 0:
            continue
        if is_done(p.payment) and invoice.get("status") == "issued":
            yield Follow({**invoice, "status": "balanced"}, line.request)
        elif is_done(p.before) and not is_done(p.payment) and invoice.get("status") == "balanced":
            yield Follow({**invoice, "status": "issued"}, line.request)


def _is_advanced(p: Payment) -> bool:
    """Whether this write makes an advance."""
    is_made = counts(p.payment) and not counts(p.before)
    return is_made and any(line.kind == "advance" and line.pence > 0 for line in p.lines)


def _asked_about(case: Case, p: Payment, entries: Iterable[Entry]) -> Asking[list[Follow]]:
    ledger: Ledger = (yield Books(p.account))[p.account]
    ledger = ledger.after(one for one in entries if one.account == p.account)
    return (yield from asked_about(case, p.budget, ledger))


# ---- what moves ----------------------------------------------------------------------------------

Place = tuple[str, str, str]  # what it is about, the account, the pot


def _entries(case: Case, p: Payment) -> Asking[tuple[list[Entry], list[Issue]]]:
    """What moves in the ledgers: from what this payment has posted to what it is to have posted. What was made moves nothing again, however the
    parts are held by now.
    """
    if is_done(p.before) and is_done(p.payment) and terms_of(p.before or {}) == terms_of(p.payment):
        return [], []
    own: list[Entry] = [] if case.is_new else (yield Posted(case.key))
    theirs = [one for entries in p.posted.values() for one in entries if is_of(one, p.payment)]
    was: dict[Place, Sums] = {}
    for one in (*own, *theirs):
        place = (one.about, one.account, one.pot)
        was[place] = was.get(place, NONE).plus(one.sums)
    wanted = _wanted(case, p, (yield from _paid_out(p, was))) if counts(p.payment) else {}
    was, issues = _undone(p, was, wanted)
    told = {key: owner_of(one) for key, one in p.paying.items()}
    entries = list(_moves(case, p, was, wanted, told))
    issues += yield from _overdrawn(entries)
    return entries, issues


def _paid_out(p: Payment, was: Mapping[Place, Sums]) -> Asking[dict[tuple[str, str], int]]:
    """What is paid out of each pot from which something comes back, but for what this payment itself has moved."""
    back = refunded_by_purchase(p) if is_done(p.payment) else {}
    places = {place for purchase in back for place in held_for(p, purchase)}
    books: dict[str, Ledger] = (yield Books(*sorted({account for account, _ in places}))) if places else {}
    own = _by_pot(was)
    return {place: books[place[0]].of(place[1]).advanced - own.get(place, NONE).advanced for place in places}


def _by_pot(moved: Mapping[Place, Sums]) -> dict[tuple[str, str], Sums]:
    found: dict[tuple[str, str], Sums] = {}
    for (_, *place), sums in moved.items():
        at = (place[0], place[1])
        found[at] = found.get(at, NONE).plus(sums)
    return found


def _wanted(case: Case, p: Payment, paid_out: Mapping[tuple[str, str], int]) -> dict[Place, Sums]:
    found: dict[Place, Sums] = {}

    def add(about: str, place: tuple[str, str], sums: Sums) -> None:
        found[about, *place] = found.get((about, *place), NONE).plus(sums)

    for line in p.lines:
        if line.kind == "advance" and (line.pence > 0 or is_done(p.payment)):
            add(case.key, (p.account, p.part), Sums(advanced=line.pence))
    for purchase, pence in paid_by_purchase(p).items():
        for place, part in _spread(pence, falls_to(p, purchase)).items():
            if p.issuer in p.owners and _is_held(p, place):  # the commissioner pays for a part that is paid out
                add(case.key, place, Sums(advanced=part))
                add(purchase, place, Sums(advanced=-min(part, _counted(p, purchase, place))))
    for purchase, pence in (refunded_by_purchase(p) if is_done(p.payment) else {}).items():
        for place, part in _spread(pence, came_from(p, purchase)).items():
            is_over = stage_of(p.paying.get(place[0])) == "closed"
            add(purchase, place, Sums(spent=-part, allocated=-part if is_over else 0))
            if p.owners & {p.issuer, p.payee} and _is_held(p, place):
                there = paid_out[place] + found.get((case.key, *place), NONE).advanced
                add(case.key, place, Sums(advanced=-max(min(part, there), 0)))
    return {place: sums for place, sums in found.items() if any(sums)}


def _counted(p: Payment, purchase: str, place: tuple[str, str]) -> int:
    """What a purchase says by itself that the NHS paid beside of a part: what this payment pays of it is not counted twice."""
    entries = [one for one in p.posted.get(purchase, ()) if not is_of(one, p.payment)]
    return max(positions(entries).get(place, NONE).advanced, 0)


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
    return account in p.paying and is_held(p.paying[account], pot)


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
            text = f"{name_of(charge, place[0])} was disallowed since, with what had come back of it. Put that right first."
            issues.append(refusal(text, "PaymentReconciliation.detail"))
        del left[place]
    return left, issues


def _moves(
    case: Case, p: Payment, was: Mapping[Place, Sums], wanted: Mapping[Place, Sums], funders: Mapping[str, str]
) -> Iterator[Entry]:
    day = payment_day(p.payment, case.today)
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
                f"{pot_first(pot)} has {sterling(before.allocated)}, and {sterling(before.advanced)} of it is paid out "
                f"already: {sterling(moved.advanced)} more is too much."
            )
            issues.append(refusal(text, "PaymentReconciliation.paymentAmount"))
        if moved.advanced < 0 and after.advanced < 0:
            text = f"{sterling(before.advanced)} was paid out for {pot_name(pot)}, so {sterling(-moved.advanced)} cannot come back."
            issues.append(refusal(text, "PaymentReconciliation.paymentAmount"))
        if moved.available < 0 and after.available < 0:
            text = (
                f"What had come back to {pot_name(pot)} is spent since: {sterling(-after.available)} would be missing."
            )
            issues.append(refusal(text, "PaymentReconciliation.detail"))
    return issues


# ---- the purchase's side -------------------------------------------------------------------------


def _paid_for_nothing(case: Case, p: Payment) -> Asking[list[Issue]]:
    """Why a refund stays that let its purchase be taken back: without it, what funders paid would be there to be spent again."""
    issues = []
    back = {line.request for line in lines_of(case.before or {}) if line.kind == "adjustment"}
    for purchase in sorted(back):
        charge = p.purchases.get(purchase)
        if charge is None or charge.get("status") in ("billable", "billed", "not-billable"):
            continue
        yield held((purchase,))
        if out := (yield from _still_out(purchase, charge, p.others, p.invoices)):
            name, paid = name_of(charge, purchase), reference_of(_done_for(purchase, p.others, p.invoices)[0])
            text = (
                f"{name} was taken back since, because this came back: the {sterling(out)} that the NHS paid for it ({paid}) would be there to be"
                " spent again. Where that was never paid either, take that payment back first, or both together."
            )
            issues.append(refusal(text, "PaymentReconciliation.status"))
    return issues


def _still_out(
    purchase: str, charge: Resource, payments: Sequence[Resource], invoices: Mapping[str, Resource | None]
) -> Asking[int]:
    """The pence that funders paid for a purchase, less what came back of it. What its holder paid is to be made good by them."""
    done = _done_for(purchase, payments, invoices)
    if not done:
        return 0
    paying = [value_of(one, "phb-account") for one in done]
    accounts = sorted({*keys_in(charge.get("account")), *keys_in(paying)})
    found: dict[str, Resource | None] = yield Read(*accounts)
    members: list[Resource] = yield Find("Account", ("part-of", ",".join(accounts)))
    funders = {owner_of(one) for one in (*found.values(), *members) if one is not None}
    theirs = [one for one in done if key_of(one.get("paymentIssuer")) in funders]
    returned = came_back(purchase, [one for one in payments if is_done(one)])
    return max(paid_for(purchase, theirs, invoices) - returned, 0)


def _done_for(purchase: str, payments: Iterable[Resource], invoices: Mapping[str, Resource | None]) -> list[Resource]:
    return [one for one in payments if is_done(one) and paid_for(purchase, [one], invoices) > 0]


def judge_paid(case: Case) -> Judging:
    """A purchase that is paid, or about to be, keeps its price, whence it is paid, and who was paid for it; one whose payment is on its way is not
    taken back meanwhile.
    """
    before, after = case.before, case.after
    if before is None or case.is_own or before.get("status") not in ("billable", "billed"):
        return NOTHING
    was, now = pence_of(before.get("priceOverride")) or 0, pence_of((after or {}).get("priceOverride")) or 0
    is_back = after is None or after.get("status") not in ("billable", "billed")
    gone = provides(before) - provides(after or {})
    is_moved = not is_back and _pot(before) != _pot(after or {})
    if not is_back and now >= was and not gone and not is_moved:
        return NOTHING
    yield held((case.key,))
    payments, invoices = yield from payments_for((case.key,))
    on_way = [one for one in payments if counts(one) and one.get("outcome") == "queued"]
    if is_back and on_way:
        text = f"The payment {reference_of(on_way[0])} for this is on its way. Cancel it first, or wait for what comes of it."
        return Decision((refusal(text, "ChargeItem.status"),))
    if is_back and (out := (yield from _still_out(case.key, before, payments, invoices))):
        text = (
            f"The NHS paid {sterling(out)} for this ({reference_of(_done_for(case.key, payments, invoices)[0])}), which has not come back: it would be there to be spent"
            " again. Record the refund first; or where it was not paid, take the payment back as well (entered-in-error)."
        )
        return Decision((refusal(text, "ChargeItem.status"),))
    if not is_back and (theirs := [one for one in _paid_to(gone, payments) if paid_for(case.key, [one], invoices)]):
        who, name = key_of(value_of(theirs[0], "phb-payee")), reference_of(theirs[0])
        text = f"{name} pays {who} for this, so it stays provided by them. Where somebody else was owed, take the payment back first."
        return Decision((refusal(text, "ChargeItem.performingOrganization"),))
    standing = [one for one in payments if counts(one) and paid_for(case.key, [one], invoices)]
    if is_moved and standing and (yield from _is_paid_out(before, after or {})):
        text = (
            f"{reference_of(standing[0])} pays this from {pot_name(_pot(before))}, so it stays paid from there. Where that was wrong, take the payment back"
            " first."
        )
        return Decision((refusal(text, "ChargeItem.extension.where(url.endsWith('phb-element'))"),))
    paid = paid_for(case.key, standing, invoices)
    if not is_back and paid > now:
        text = f"{sterling(paid)} is paid for this or on its way, so it cannot cost {sterling(now)}. Record what comes back as a refund."
        return Decision((refusal(text, "ChargeItem.priceOverride"),))
    return NOTHING


def _pot(charge: Resource) -> str:
    return CONTINGENCY if reason_of(charge) == "contingency" else element_id(charge)


def _is_paid_out(*versions: Resource) -> Asking[bool]:
    """Whether any of these is paid from a part that somebody else holds: what was paid out of it is told by the payment."""
    accounts = keys_in(versions[0].get("account"))
    found: dict[str, Resource | None] = yield Read(*accounts)
    return any(one is not None and is_held(one, _pot(charge)) for one in found.values() for charge in versions)


def _paid_to(who: frozenset[str], payments: Iterable[Resource]) -> list[Resource]:
    """The payments to these that were made, or are on their way."""
    return [one for one in payments if counts(one) and key_of(value_of(one, "phb-payee")) in who]

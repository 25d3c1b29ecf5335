"""A budget's own money: what its approved rows and its parts say is posted to its ledger (R37, R80, R20; SM-A).

Money is allocated when the budget is authorised. From then on the ledger follows the record: more is an allocation, less a reduction,
what moves from one part to another a transfer; nothing may be taken that is spent or committed. On closing, what is left is recovered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.money import sterling
from phb_fhir.outcome import Issue
from phb_fhir.rules.budget import ONGOING, amounts_of, elements_of, is_budget, is_joint, owner_of, stage_of
from phb_fhir.rules.case import NOTHING, Asking, Books, Case, Decision, Find, Hold, Judging, Posted, refusal
from phb_fhir.rules.ledger import CONTINGENCY, UNASSIGNED, Entry, Ledger, Sums, Told, entry, reversal, transfer
from phb_fhir.rules.paid import counts
from phb_fhir.rules.words import pair_of, token_of

_AMOUNT = "Account.extension.where(url.endsWith('phb-budget-amount'))"
_PART = "Account.extension.where(url.endsWith('phb-management-element'))"


def judge_allocation(case: Case) -> Judging:
    """What a write of an Account moves in its ledger. Joint budgets have no money of their own."""
    if not (is_budget(case.before) or is_budget(case.after)):
        return NOTHING
    ledger: Ledger = (yield Books(case.key))[case.key]
    if case.after is None:
        return Decision((_kept(case.key),)) if ledger.last else NOTHING
    issues = yield from _charged_before(case)
    if is_joint(case.after):
        return Decision(tuple(issues))
    issues += _too_much_in_parts(case.after)
    was = _allocated(case, ledger)
    entries = list(_moves(case, was, allocation(case.after)))
    after = ledger.after(entries)
    issues += _taken(case, ledger, after)
    if is_closing := stage_of(case.after) == "closed" and stage_of(case.before) != "closed":
        entries += _recovered(case, after)
        issues += _open(after)
    if was and not is_closing and stage_of(case.before) == stage_of(case.after) == "closed" and entries:
        issues.append(refusal("This budget is closed, and its money is settled: its amounts cannot change.", _AMOUNT))
    return Decision(tuple(issues), entries=() if issues else tuple(entries))


def _allocated(case: Case, ledger: Ledger) -> dict[str, int]:
    """What each pot has been given before this write. Of a budget whose amounts change that is what its ledger says, even where an amount was
    reckoned otherwise when it was posted: so a change puts right what `check` tells of.
    """
    was = allocation(case.before) if ledger.last and case.before is not None else {}
    is_settled = stage_of(case.before) == "closed" and stage_of(case.after) != "entered-in-error"
    if was == allocation(case.after) or is_settled:
        return was
    return {pot: sums.allocated for pot, sums in ledger.pots.items() if sums.allocated}


def _charged_before(case: Case) -> Asking[list[Issue]]:
    """What was charged here before this was a budget, or had the identifier that it is charged to, was held to none of its rules, and its
    ledger shows nothing of it.
    """
    is_new = not is_budget(case.before)
    known = [] if is_new else _tokens(case.before or {})
    tokens = [one for one in _tokens(case.after or {}) if one not in known]
    if not is_new and not tokens:
        return []
    yield held_until_a_budget([*([case.key] if is_new else []), *tokens])
    found: list[Resource] = []
    money = ("status", "billable,billed")
    if tokens:
        found += yield Find("ChargeItem", ("account:identifier", ",".join(tokens)), money, is_stored=True)
    if is_new:
        about = ("account", case.key)
        found += yield Find("ChargeItem", about, money, is_stored=True)
        payments: list[Resource] = yield Find("PaymentReconciliation", about, ("status", "active"), is_stored=True)
        found += [one for one in payments if counts(one)]
    return (yield from _unposted(found, "was a budget" if is_new else "had that identifier"))


def _unposted(charged: Iterable[Resource], since: str) -> Asking[list[Issue]]:
    text = "{} was charged here before this " + since + ": take it back, and record it anew once there is one."
    posted = {}
    for key in (f"{one['resourceType']}/{one['id']}" for one in charged):
        posted[key] = yield Posted(key)
    return [refusal(text.format(key), "Account") for key, entries in posted.items() if not entries]


def _tokens(account: Resource) -> list[str]:
    pairs = (pair_of(one) for one in account.get("identifier", ()))
    return [token_of(system, value) for system, value in pairs if value]


def held_until_a_budget(accounts: Iterable[str]) -> Hold:
    """What is charged to an account that is no budget yet, by its key or an identifier, and its becoming one, do not pass each other by."""
    return Hold(*(f"no budget {account}" for account in accounts))


def allocation(account: Resource | None) -> dict[str, int]:
    """What each pot of a budget has been given, by what the Account says: pence. Nothing before it is authorised."""
    if account is None or stage_of(account) not in ONGOING or is_joint(account):
        return {}
    parts = {one.id: one.pence for one in elements_of(account)}
    approved = sum(row.worth for row in amounts_of(account, "approved"))
    contingency = sum(row.worth for row in amounts_of(account, "contingency"))
    pots = {**parts, UNASSIGNED: approved - sum(parts.values()), CONTINGENCY: contingency}
    return {pot: pence for pot, pence in pots.items() if pence}


def _moves(case: Case, was: Mapping[str, int], wants: Mapping[str, int]) -> Iterator[Entry]:
    """The entries that lead from one allocation to another."""
    told = _told(case)
    if was and case.after is not None and stage_of(case.after) == "entered-in-error":
        for pot, pence in was.items():
            yield reversal(Sums(allocated=pence), case.key, pot, told)
        return
    more, less = _differences(was, wants), _differences(wants, was)
    set_aside = more.pop(CONTINGENCY, 0)
    if set_aside:
        yield entry("contingency", set_aside, case.key, CONTINGENCY, told)
    yield from _transfers(case, less, more, told)
    for pot, pence in more.items():
        yield entry("allocation", pence, case.key, pot, told)
    for pot, pence in less.items():
        yield entry("reduction", pence, case.key, pot, told)


def _differences(of: Mapping[str, int], to: Mapping[str, int]) -> dict[str, int]:
    """By how much each pot of `to` is more than that of `of`."""
    return {pot: more for pot in to if (more := to[pot] - of.get(pot, 0)) > 0}


def _transfers(case: Case, less: dict[str, int], more: dict[str, int], told: Told) -> Iterator[Entry]:
    """What goes from pots that lose to pots that gain; both are left with what remains."""
    for giver in [pot for pot in less if pot != CONTINGENCY]:
        for taker in list(more):
            pence = min(less.get(giver, 0), more[taker])
            if pence:
                yield transfer(-pence, case.key, giver, told)
                yield transfer(pence, case.key, taker, told)
                _use(less, giver, pence)
                _use(more, taker, pence)


def _use(pots: dict[str, int], pot: str, pence: int) -> None:
    pots[pot] -= pence
    if not pots[pot]:
        del pots[pot]


def _recovered(case: Case, ledger: Ledger) -> list[Entry]:
    """What is left of each pot goes back to whoever gave it."""
    told = _told(case)._replace(reason="left over when the budget closed")
    return [
        entry("surplus-recovery", sums.available, case.key, pot, told)
        for pot, sums in ledger.pots.items()
        if sums.available > 0
    ]


def _told(case: Case) -> Told:
    return Told(case.version, funder=owner_of(case.after or {}), day=case.today.isoformat())


def _too_much_in_parts(account: Resource) -> Iterator[Issue]:
    if stage_of(account) in ONGOING and allocation(account).get(UNASSIGNED, 0) < 0:
        parts = sum(one.pence for one in elements_of(account))
        approved = sum(row.worth for row in amounts_of(account, "approved"))
        text = f"The parts of the budget come to {sterling(parts)}, and {sterling(approved)} is approved."
        yield refusal(text, _PART)


def _taken(case: Case, before: Ledger, after: Ledger) -> Iterator[Issue]:
    """What is spent or committed cannot be taken away again."""
    for pot, sums in after.pots.items():
        if sums.available < 0 and sums.available < before.of(pot).available:
            used = sums.committed + sums.spent
            text = (
                f"{sterling(used)} of {pot_name(pot)} is spent or committed already, so it cannot be cut to "
                f"{sterling(max(sums.allocated, 0))}."
            )
            yield refusal(text, _PART if pot else _AMOUNT)
    yield from _paid_out(case, before, after)
    if (
        case.after is not None
        and stage_of(case.after) == "entered-in-error"
        and any((after.total.committed, after.total.spent, after.total.advanced))
    ):
        text = "Purchases were made from this budget, or money was paid out. Take these back first, or close it."
        yield refusal(text, "Account.status")


def _paid_out(case: Case, before: Ledger, after: Ledger) -> Iterator[Issue]:
    """What was paid out to whoever holds a part is theirs to spend: it is not given to another part, nor is the part held by somebody else,
    while it is in their hands. What the NHS spent of a part that it held is not paid out as well.
    """
    if case.after is None or stage_of(case.after) == "entered-in-error":
        return
    for pot, sums in after.pots.items():
        if sums.advanced > sums.allocated < before.of(pot).allocated:
            text = (
                f"{sterling(sums.advanced)} of {pot_name(pot)} is paid out already, so it cannot be cut to {sterling(max(sums.allocated, 0))}."
                " What is not spent is asked back first (repayment-notice)."
            )
            yield refusal(text, _PART)
    stood = {one.id: one for one in elements_of(case.before or {})}
    for one in elements_of(case.after):
        sums, was = before.of(one.id), stood.get(one.id, one)
        if sums.advanced > sums.spent and (was.model, was.holder) != (one.model, one.holder):
            text = (
                f"{sterling(sums.advanced - sums.spent)} of {pot_name(one.id)} was paid out to {was.holder} and is not spent. Ask it back first"
                " (repayment-notice), or end this part and give what is left a part of its own, held in the other way."
            )
            yield refusal(text, _PART)
        elif was.model == "notional" != one.model and sums.spent > sums.advanced:
            text = (
                f"{sterling(sums.spent - sums.advanced)} of {pot_name(one.id)} was spent by the NHS, which held it; paid out, it would be spent a second"
                " time. End this part at what is spent, and give what is left a part of its own, held in the other way."
            )
            yield refusal(text, _PART)


def _open(ledger: Ledger) -> Iterator[Issue]:
    if committed := ledger.total.committed:
        text = f"{sterling(committed)} is still committed to purchases; each must be paid or taken back before the budget closes."
        yield refusal(text, "Account.status")


def _kept(key: str) -> Issue:
    text = f"Money has moved on {key}, and its record is kept: close the budget, or mark it as entered in error."
    return refusal(text, "Account")


def pot_name(pot: str) -> str:
    """A pot in a sentence."""
    if pot == CONTINGENCY:
        return "the money for emergencies"
    return f"the part '{pot}'" if pot else "the money that no part holds"


def pot_first(pot: str) -> str:
    """A pot at the beginning of a sentence."""
    name = pot_name(pot)
    return f"{name[0].upper()}{name[1:]}"

"""What becomes of a purchase: its status, its ledger entries, and the Task for whoever decides (SM-C; decision 5 of the guide; R76, R88).

What is in the plan, in the directory and within the money of its part needs nobody's decision: it becomes billable by itself. What is
unusual waits as planned. What is wrong is undone by contra-entries, never rewritten; and the same business identifier posted again is
answered with the first purchase.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.money import divided, sterling
from phb_fhir.outcome import Issue, Kind
from phb_fhir.rules.allocation import held_until_a_budget
from phb_fhir.rules.budget import (
    is_budget,
    is_held,
    is_joint,
    owner_of,
    stage_of,
)
from phb_fhir.rules.case import (
    NOTHING,
    Asking,
    Books,
    By,
    Case,
    Decision,
    Find,
    Follow,
    Hold,
    Judging,
    Posted,
    Read,
    Sees,
    advice,
    refusal,
)
from phb_fhir.rules.joint import Bought, Split, split
from phb_fhir.rules.ledger import UNASSIGNED, Entry, Ledger, Sums, Told, entry, moved, positions
from phb_fhir.rules.naming import several_meant
from phb_fhir.rules.paid import came_back, counts, is_done, paid_for, payments_for
from phb_fhir.rules.purchase import (
    MONEY,
    OPEN,
    Purchase,
    account_of,
    element_id,
    is_of_a_budget,
    is_told_as_purchase,
    is_unknown,
    link_of,
    occurrence,
    purchase_day,
    read_purchase,
    reason_of,
    references_of,
)
from phb_fhir.rules.purchase_checks import disallowed_by, in_step, is_given, refusals, short, taken_back_by, waits
from phb_fhir.rules.tasks import task_to_decide
from phb_fhir.rules.words import (
    BUSINESS_STATUS,
    PURCHASE_REFERENCE,
    TASK_CODE,
    TASK_PARAMETER,
    concept,
    extension_url,
    extensions,
    key_of,
    keys_in,
    pair_of,
    token_of,
    value_of,
    with_value,
)

# what was decided about a purchase, which nobody changes without deciding again
_WHEN = ("occurrenceDateTime", "occurrencePeriod", "occurrenceTiming")
_WHAT = ("code", "productCodeableConcept", "productReference", "definitionCanonical")
_FROM = ("performer", "performingOrganization")
_TERMS = ("priceOverride", "quantity", *_WHAT, *_WHEN)
_TERM_EXTENSIONS = ("phb-element", "phb-purchase-link")


def judge_purchase(case: Case) -> Judging:
    """What is to be said of a write of a ChargeItem that is charged to a budget, and what follows from it."""
    # what a rule changes once more in the transaction that makes it has posted already
    posted: list[Entry] = [] if case.is_new and not case.is_own else (yield Posted(case.key))
    if case.after is None:
        return _deleted(posted)
    several = (yield from several_meant(case.after.get("account"), "ChargeItem.account")) if _is_open(case) else None
    if several is not None:
        return Decision((several,))
    if case.by.role not in ("", "system") and (yield from is_unknown(case.after, case.before)):
        return Decision((refusal("The purchase is charged to no budget that is here.", "ChargeItem.account"),))
    purchase = yield from read_purchase(case.after, case.by, case.today, case.before)
    if purchase is None:
        if astray := [*_astray(case, case.after), *(yield from _elsewhere(case, case.after))]:
            return Decision(tuple(astray))
        if case.after.get("status") in MONEY:
            yield held_until_a_budget(_names(case.after.get("account", ())))
        return _taken_away(posted)
    if _is_put_again(case):
        return Decision(first=case.key)
    if first := (yield from _first(case, purchase)):
        return first
    purchase = yield from _with_left(_with_only_part(purchase), posted)
    issues = refusals(purchase)
    if purchase.status not in OPEN:
        issues += [*in_step(purchase), *disallowed_by(purchase), *taken_back_by(purchase)]
    if issues:
        return Decision(tuple(issues))
    return (yield from _decided(case, purchase, posted))


def _is_open(case: Case) -> bool:
    return case.after is not None and case.after.get("status") in OPEN


def _astray(case: Case, charge: Resource) -> Iterator[Issue]:
    """Why a purchase of a budget, by its content, is not taken that is charged to nothing that could be here: no ledger would ever know of it."""
    before, accounts = case.before or {}, charge.get("account") or []
    stood = before.get("status") in OPEN and before.get("account", []) == accounts
    says = is_of_a_budget(charge) if accounts else is_told_as_purchase(charge)
    if _is_open(case) and not stood and not any(_names(accounts)) and says:
        text = (
            "This is a purchase of a personal health budget, and it is charged to no account that is here, so no budget would pay for it. Name"
            " the budget by its address (Account/…) or by its number."
        )
        yield refusal(text, "ChargeItem.account")


def _elsewhere(case: Case, charge: Resource) -> Asking[list[Issue]]:
    """Why what has the guide's words about purchases is not charged to an account that is here and no budget, such as a hospital's: no ledger
    would know of it. What is not there yet may become a budget.
    """
    stood = (case.before or {}).get("status") in OPEN and (case.before or {}).get("account") == charge.get("account")
    if not _is_open(case) or stood or not is_told_as_purchase(charge):
        return []
    account = yield from account_of(charge)
    found: Resource | None = (yield Read(account))[account] if account else None
    if found is None or is_budget(found):
        return []
    text = (
        f"This is a purchase of a personal health budget, and {account} is none, so no budget would pay for it. Name the budget; or, where this is no"
        " such purchase, leave out what the guide says of them (phb-)."
    )
    return [refusal(text, "ChargeItem.account")]


def _names(accounts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """By what each account is named: its key, or an identifier."""
    for one in accounts:
        system, value = pair_of(one.get("identifier"))
        if key := key_of(one):
            yield key
        elif value:
            yield token_of(system, value)


def _decided(case: Case, purchase: Purchase, posted: list[Entry]) -> Judging:
    why = waits(purchase) if purchase.status in OPEN else []
    status = _status(purchase, why)
    if isinstance(status, Issue):
        return Decision((status,))
    charge = purchase.charge if status == purchase.status else {**purchase.charge, "status": status}
    purchase = replace(purchase, charge=charge)
    paid = (yield from _paid_here(case, purchase)) if _is_paid_beside(purchase, posted) else None
    entries, issues = _entries(case, purchase, posted, paid)
    if issues and (others := sorted(purchase.ledgers)):
        seen: frozenset[str] = yield Sees(*others)
        _, issues = _entries(case, replace(purchase, hidden=frozenset(others) - seen), posted, paid)
    if issues:
        return Decision(tuple(issues))
    follow = list((yield from _tasks(case, purchase, why, entries)))
    said = tuple(advice(one, "ChargeItem") for one in why) if status == "planned" else ()
    changed = charge if charge is not case.after else None
    return Decision(said, changed, tuple(entries), tuple(follow))


def _status(p: Purchase, why: list[str]) -> str | Issue:
    """The status it gets: billable by itself where nothing has to be decided, planned where something has."""
    is_decided = p.by.is_professional or p.was_money
    if p.status == "planned":
        return "planned" if why else "billable"
    if p.status in MONEY and why and not is_decided:
        if p.before is not None:
            return refusal(f"Somebody has to decide this: {' '.join(why)}", "ChargeItem.status")
        return "planned"
    if p.was_money and why and not p.by.is_professional and _changes_terms(p):
        text = f"What was agreed about this purchase can be changed by whoever decides it: {' '.join(why)}"
        return refusal(text, "ChargeItem")
    return p.status


def _changes_terms(p: Purchase) -> bool:
    before = p.before or {}
    plain = any(before.get(name) != p.charge.get(name) for name in _TERMS)
    extended = any(extensions(before, name) != extensions(p.charge, name) for name in _TERM_EXTENSIONS)
    return plain or extended or reason_of(before) != reason_of(p.charge) or _is_from_another(before, p.charge)


def _is_from_another(before: Resource, after: Resource) -> bool:
    """Whether somebody else provides it than was agreed; where nobody was named, whoever it is may be told later."""
    was, now = ({name: _plain(one[name]) for name in _FROM if name in one} for one in (before, after))
    return bool(was) and was != now


def _with_only_part(p: Purchase) -> Purchase:
    """The purchase with its part named, where the budget has one part alone."""
    is_open = not element_id(p.charge) and not p.members and not p.is_contingency and p.status in OPEN
    if is_open and len(p.elements) == 1 and not p.ledger.of(UNASSIGNED).allocated:
        return replace(p, charge=with_value(p.charge, "phb-element", "Id", p.elements[0].id))
    return p


def _with_left(p: Purchase, posted: Sequence[Entry]) -> Asking[Purchase]:
    """The purchase with the ledgers of funders who have left the joint budget since: what was split stays split."""
    missing = sorted({one.account for one in posted} - {p.account, *p.ledgers})
    if not missing:
        return p
    books: dict[str, Ledger] = yield Books(*missing)
    accounts: dict[str, Resource | None] = yield Read(*missing)
    left = {one.account: one.funder for one in posted if one.account in missing}
    closed = frozenset(key for key, one in accounts.items() if stage_of(one) == "closed")
    return replace(p, ledgers={**p.ledgers, **books}, left=left, closed=closed)


def _is_put_again(case: Case) -> bool:
    """Whether a purchase is put once more as it was put first: what asked for it was agreed by itself then, and nothing was written since."""
    before, after = case.before or {}, case.after or {}
    if case.is_own or (before.get("status"), after.get("status")) != ("billable", "planned"):
        return False
    return case.version == f"{case.key}/_history/2" and _as_put(before, after) == _as_put(after, after)


def _as_put(charge: Resource, put: Resource) -> Resource:
    """A purchase without what the server has changed in what was put: its status, and the name of the only part there is."""
    named = extensions(put, "phb-element")
    rows = [one for one in charge.get("extension", ()) if named or one.get("url") != extension_url("phb-element")]
    return {name: one for name, one in charge.items() if name not in ("status", "meta", "extension")} | {
        "extension": rows
    }


def _first(case: Case, purchase: Purchase) -> Asking[Decision | None]:
    """The same business identifier posted again answers with the first result; with other details, or taken on later, it is refused.

    What the writer may not see is not named; and of another budget, it is not there.
    """
    known = references_of(case.before or {})
    for reference in (one for one in references_of(purchase.charge) if one not in known):
        if (said := (yield from _named_before(case, purchase, reference))) is not None:
            return said
    return None


def _named_before(case: Case, purchase: Purchase, reference: str) -> Asking[Decision | None]:
    if not case.is_new:
        yield Hold(f"ChargeItem {PURCHASE_REFERENCE}|{reference}")  # as whoever posts it does
    found: list[Resource] = yield Find("ChargeItem", ("identifier", token_of(PURCHASE_REFERENCE, reference)))
    others = {
        f"ChargeItem/{one['id']}": one
        for one in found
        if one.get("id") != case.id and one.get("status") != "entered-in-error"  # that was none
    }
    seen: frozenset[str] = (yield Sees(*others)) if others else frozenset()
    for key, one in others.items():
        is_of_budget = (yield from account_of(one)) == purchase.account
        if case.is_new and key in seen and is_of_budget and _same(one, purchase.charge) and not case.names_id:
            return Decision(first=key)
        if key not in seen and not is_of_budget:
            continue
        whose = f"{key} already, which is another purchase" if key in seen else "another purchase already"
        text = f"The reference {reference} is that of {whose}. Give this one a reference of its own."
        return Decision((Issue(Kind.DUPLICATE, text, "ChargeItem.identifier"),))
    return None


def _same(one: Resource, other: Resource) -> bool:
    """Whether a purchase that is posted is one of this budget that is here: what, when, how much, from whom, out of which money, and with no evidence
    that is not there. Its status may have moved on since, and evidence may have come.
    """
    if any(_plain(one.get(name)) != _plain(other.get(name)) for name in _SAME):
        return False
    if _plain([*link_of(one)]) != _plain([*link_of(other)]) or reason_of(one) != reason_of(other):
        return False
    if element_id(other) not in ("", element_id(one)):  # the server names the only part there is
        return False
    return set(keys_in(other.get("supportingInformation"))) <= set(keys_in(one.get("supportingInformation")))


_SAME = ("subject", *_WHAT, "priceOverride", "factorOverride", "quantity", *_FROM, *_WHEN)


def _plain(value: Any) -> Any:
    """References and accounts without what is only for reading."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items() if name != "display"}
    return [_plain(each) for each in value] if isinstance(value, list) else value


_OWN = ("commitment", "release", "spend", "advance", "reversal")


class _Paid(NamedTuple):
    """The pence that payments of its funders pay of a purchase, or are to; and what came back of it to them."""

    out: int
    back: int


def _is_paid_beside(p: Purchase, posted: Sequence[Entry]) -> bool:
    """Whether the NHS paid for it, or did: of a part that somebody else holds that counts as paid out, so that nobody is paid it in advance as well."""
    is_paid = p.status == "billed" and value_of(p.charge, "phb-paid-by") == "nhs-team" and bool(p.elements)
    return is_paid or any(sums.advanced for sums in positions(posted).values())


def _paid_here(case: Case, p: Purchase) -> Asking[_Paid]:
    """What payments that are here pay of it: these say themselves what they paid out."""
    yield Hold(f"paid {case.key}")  # as whoever pays for it does
    funders = {owner_of(one) for one in (p.budget, *p.members)} | {*p.left.values()}
    payments, invoices = yield from payments_for((case.key,))
    theirs = [one for one in payments if counts(one) and key_of(one.get("paymentIssuer")) in funders]
    back = [one for one in payments if is_done(one) and key_of(value_of(one, "phb-payee")) in funders]
    return _Paid(paid_for(case.key, theirs, invoices), came_back(case.key, back))


def _paid_out(p: Purchase, spent: Split, posted: Sequence[Entry], own: str, paid: _Paid) -> dict[tuple[str, str], int]:
    """What the NHS paid beside of each part that somebody else holds. What payments have taken over of it since stays taken over; of who has left
    a joint budget, it stays as it was. Once it is taken back, that is what came back of it: nothing of the two together.
    """
    was, taken = (positions(one for one in posted if one.cause.startswith(own) is is_own) for is_own in (True, False))
    if not spent.places:
        counted = {place: sums.advanced for place, sums in positions(posted).items() if sums.advanced > 0}
        rest = max(paid.back - paid.out, 0)
        return (
            dict(zip(counted, divided(min(rest, sum(counted.values())), [*counted.values()]), strict=True))
            if counted
            else {}
        )
    budgets = {p.account: p.budget, **{f"Account/{one['id']}": one for one in p.members}}
    parts = divided(max(sum(spent.places.values()) - paid.out, 0), [*spent.places.values()])
    beside = dict(zip(spent.places, parts, strict=True)) if value_of(p.charge, "phb-paid-by") == "nhs-team" else {}
    found = {place: beside.get(place, 0) - taken.get(place, Sums()).advanced for place in spent.places}
    held = {
        place: pence for place, pence in found.items() if place[0] in budgets and is_held(budgets[place[0]], place[1])
    }
    return held | {place: was[place].advanced for place in found if place[0] not in budgets and place in was}


def _entries(
    case: Case, p: Purchase, posted: list[Entry], paid: _Paid | None = None
) -> tuple[list[Entry], list[Issue]]:
    """What moves in the ledgers, and why it cannot. `paid` is what is to be known of payments, of what the NHS paid."""
    sum_ = MONEY.get(p.status)
    # a refund stands beside what was spent, until the purchase is taken back and all of it with it
    own = f"{case.key}/_history/"
    was = positions(one for one in posted if sum_ is None or (one.kind in _OWN and one.cause.startswith(own)))
    falls = _falls(p, was, sum_)
    if falls.issues:
        return [], list(falls.issues)
    wanted = {place: Sums(**{sum_: pence}) for place, pence in falls.places.items()} if sum_ else {}
    if paid is not None and p.status != "billable":
        for place, pence in _paid_out(p, falls, posted, own, paid).items():
            wanted[place] = wanted.get(place, Sums())._replace(advanced=pence)
    funders = {p.account: owner_of(p.budget), **p.left}
    funders |= {f"Account/{one['id']}": owner_of(one) for one in p.members}
    day = purchase_day(p.charge, case.today)
    accounts = {place[0] for place in (*was, *wanted)}
    reason = "care already given" if is_given(p) else ""
    told = {account: Told(case.version, case.key, funders.get(account, ""), day, reason) for account in accounts}
    entries = moved(was, wanted, told)
    issues = [] if is_given(p) else list(_overspent(p, entries))
    issues += _less_than_came_back(p, positions([*posted, *entries]))
    return [*entries, *_recovered(entries, told, _closed(p))], issues


def _falls(p: Purchase, was: Mapping[tuple[str, str], Sums], sum_: str | None) -> Split:
    """Over which accounts and pots the price falls. What a joint budget split once stays split as it was, while its price stays; and, where somebody
    has left since, or is not active now, in the same proportions after that: nobody pays what fell to another.
    """
    if sum_ is None:
        return Split({})
    if not is_joint(p.budget):
        return Split({(p.account, p.pot): p.pence} if p.pence else {})
    held = {place: sums.committed + sums.spent for place, sums in was.items() if sums.committed + sums.spent}
    if sum(held.values()) == p.pence:
        return Split(held)
    resting = {f"Account/{one['id']}" for one in p.members if stage_of(one) != "active"}
    if any(account in p.left or account in resting for account, _ in held):  # they pay on for what was bought before
        return Split(dict(zip(held, divided(p.pence, list(held.values())), strict=True)))
    back = {account: _without(ledger, was) for account, ledger in p.ledgers.items()}
    return split(p.pence, p.members, back, p.hidden, Bought(occurrence(p.charge), is_given(p), p.is_contingency))


def _without(ledger: Ledger, was: Mapping[tuple[str, str], Sums]) -> Ledger:
    """The ledger as if this purchase had not been posted."""
    pots = {pot: sums.plus(was.get((ledger.account, pot), Sums()).opposite) for pot, sums in ledger.pots.items()}
    return replace(ledger, pots=pots)


def _overspent(p: Purchase, entries: Sequence[Entry]) -> Iterator[Issue]:
    """Money is never spent twice: what is available after this is not less than nothing."""
    ledgers = {p.account: p.ledger, **p.ledgers}
    for (account, pot), sums in positions(entries).items():
        available = ledgers[account].of(pot).available
        if sums.available < 0 and available + sums.available < 0:
            is_hidden = account in p.hidden
            text = "A part of this would fall to another budget, which has not as much left."
            yield refusal(text, "ChargeItem.priceOverride") if is_hidden else short(p.pence, available, pot)


def _less_than_came_back(p: Purchase, after: Mapping[tuple[str, str], Sums]) -> Iterator[Issue]:
    """What came back of a purchase came back of what it costs, where that was paid from; no more can, or money would be made of nothing."""
    if not any(sums.spent < 0 for sums in after.values()):
        return
    whole = sum(sums.spent for sums in after.values())
    if whole < 0:
        text = f"{sterling(p.pence - whole)} came back for this already, so it cannot cost {sterling(p.pence)}."
        yield refusal(text, "ChargeItem.priceOverride")
    else:
        text = (
            "A part of its price came back already to where it was paid from, so it stays paid from there. Take it back (entered-in-error), and"
            " record it anew."
        )
        yield refusal(text, "ChargeItem")


def _closed(p: Purchase) -> frozenset[str]:
    """The budgets that it falls to, or did, and that are closed by now."""
    known = {p.account: p.budget, **{f"Account/{one['id']}": one for one in p.members}}
    return p.closed | {key for key, one in known.items() if stage_of(one) == "closed"}


def _recovered(entries: Sequence[Entry], told: Mapping[str, Told], closed: Collection[str]) -> list[Entry]:
    """What comes back to a budget that is closed goes back to whoever gave it."""
    return [
        entry("surplus-recovery", sums.available, *place, told[place[0]])
        for place, sums in positions(entries).items()
        if sums.available > 0 and place[0] in closed
    ]


def _deleted(posted: Sequence[Entry]) -> Decision:
    if not posted:
        return NOTHING
    text = (
        "Money has moved on this purchase, and its record is kept. Mark it as entered in error instead: that undoes it."
    )
    return Decision((refusal(text, "ChargeItem"),))


def _taken_away(posted: Sequence[Entry]) -> Decision:
    """A purchase that names no budget any more, where it did."""
    if not any(positions(posted).values()):
        return NOTHING
    text = "A purchase stays with the budget it was charged to. Take it back (entered-in-error), and record it anew."
    return Decision((refusal(text, "ChargeItem.account"),))


def _tasks(case: Case, p: Purchase, why: Sequence[str], entries: Sequence[Entry]) -> Asking[list[Follow]]:
    """The Task for whoever decides; its end, once it is decided; and the question that an overspend raises."""
    follow: list[Follow] = []
    if p.status == "planned" and case.is_new and not (yield from _is_asked(case)):
        text = f"Decide whether the budget can pay for this: {_what(p)}, {sterling(p.pence)}. {' '.join(why)}"
        follow.append((yield from _task(case, p, "unusual-request", text)))
    elif case.before is not None and case.before.get("status") == "planned" and p.status != "planned":
        follow += yield from _ended(case, p)
    if is_given(p) and not p.was_money and any(_overspent(p, entries)):
        text = f"{_what(p)} was given already and costs {sterling(p.pence)}, more than is left. Find out why, and what follows (R88)."
        follow.append((yield from _task(case, p, "overspend-query", text)))
    return follow


def _is_asked(case: Case) -> Asking[bool]:
    """Whether somebody who decides for the NHS wrote the Task themselves, together with the purchase. From anybody else it might reach nobody."""
    if not case.by.is_professional:
        return False
    return bool((yield from _waiting(case)))


def _waiting(case: Case) -> Asking[list[Resource]]:
    """The Tasks that ask for a decision about it and have none yet."""
    code = f"{TASK_CODE}|unusual-request"
    open_ = "requested,received,accepted,ready,in-progress,on-hold"
    found: list[Resource] = yield Find("Task", ("focus", case.key), ("code", code), ("status", open_))
    return found


def _what(p: Purchase) -> str:
    return str((p.charge.get("code") or {}).get("text") or "a purchase")


def _task(case: Case, p: Purchase, code: str, text: str) -> Asking[Follow]:
    task = yield from task_to_decide(case, p.budget, p.plan, code, text, {"reference": case.key, "display": _what(p)})
    enterer = p.charge.get("enterer")
    if isinstance(enterer, dict):
        task["requester"] = {
            name: value for name, value in enterer.items() if name in ("reference", "identifier", "display")
        }
    task["input"] = [{"type": concept(TASK_PARAMETER, "purchase"), "valueReference": {"reference": case.key}}]
    return Follow(task)


_ENDS = {"billable": "approved", "billed": "approved"}


def _ended(case: Case, p: Purchase) -> Asking[list[Follow]]:
    """The Task that asked for a decision is over once there is one, or once whoever asked has withdrawn it: then nobody said no."""
    tasks = yield from _waiting(case)
    at = case.now.isoformat(timespec="seconds")
    end: Resource = {
        "status": "completed",
        "businessStatus": concept(BUSINESS_STATUS, _ENDS.get(p.status, "not-approved")),
    }
    if p.status not in _ENDS and is_their_own(p.charge, case.by):
        end = {"status": "cancelled", "statusReason": {"text": "Whoever asked for this has withdrawn it."}}
    return [Follow({**task, **end, "lastModified": at}, f"Task/{task['id']}") for task in tasks]


def is_their_own(charge: Resource, by: By) -> bool:
    """Whether whoever acts asked for the purchase themselves, and decides nothing for the NHS."""
    return not by.is_professional and key_of(charge.get("enterer")) in by.names | by.patients

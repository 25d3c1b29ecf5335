"""A payment of a budget (C32E7, R22, R86; decision 0021), read: a PaymentReconciliation, with all that the record says about what it pays.

    payment          this: what is known
    payment_checks   what speaks against it, and the tables of SM-I
    paying           what becomes of it: its ledger entries, and the purchases it bills

A line pays a purchase (or an invoice, whole), pays an advance to whoever holds a part, or is an adjustment: what comes back for a purchase.
Money goes out, or it comes in: `is_incoming` tells which, by who issues the payment and who receives it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.money import pence_of
from phb_fhir.rules.around import version_at
from phb_fhir.rules.budget import (
    LONDON,
    Element,
    days_of,
    elements_of,
    first_day,
    is_budget,
    is_joint,
    joint_of,
    owner_of,
    person_of,
    stage_of,
)
from phb_fhir.rules.case import (
    Asking,
    By,
    Case,
    Find,
    Posted,
    Read,
    Sees,
)
from phb_fhir.rules.deciding import bare
from phb_fhir.rules.eligibility import exclusions
from phb_fhir.rules.ledger import Entry, positions
from phb_fhir.rules.paid import (
    Line,
    Share,
    amounts_by_purchase,
    counts,
    is_done,
    lines_of,
    paid_for,
    payments_for,
    shares_of,
)
from phb_fhir.rules.repayment import CODE as REPAYMENT
from phb_fhir.rules.repayment import ENDED, state_of
from phb_fhir.rules.words import TASK_CODE, key_of, keys_in, value_of

# what of a payment never changes once it is complete or was sent
TERMS = ("paymentIssuer", "paymentIdentifier", "paymentAmount", "paymentDate", "detail")
TERM_EXTENSIONS = ("phb-account", "phb-payee", "phb-element")


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment with all that is known about it. `family` are the budgets it may be about beside its own: the joint one it is part of, or
    those that make it up. `others` are the other payments for the same purchases, `posted` the ledger entries about each purchase. `left` are
    the budgets that these purchases fell to and that have left the joint one since. `seen` are those of all these budgets and purchases that
    whoever writes may see, and be told of. `person`, and whether the law excludes them from direct payments, are read where money is paid in advance.
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
    left: Mapping[str, Resource] = field(default_factory=dict)
    seen: frozenset[str] = frozenset()
    consents: Sequence[Resource] = ()
    person: Resource | None = None
    is_excluded: bool = False
    stage_then: str = ""  # the budget's, when the day of the payment began; "" where it was not recorded yet
    # a notice to repay that is repaid, and the pence that this took off: the one that it names, or one that it may well be for
    repaid: str = ""
    counted: int = 0

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
    def paying(self) -> dict[str, Resource]:
        """The budgets whose money it may move: what was split over one that has left stays split as it was."""
        return {**self.left, **self.budgets}

    @property
    def elements(self) -> list[Element]:
        return [one for budget in self.budgets.values() for one in elements_of(budget)]

    @property
    def owners(self) -> frozenset[str]:
        return frozenset(owner_of(one) for one in self.paying.values()) - {""}

    @property
    def payers(self) -> frozenset[str]:
        """Whose money leaves this budget: its funder's; of a joint one, any of them; and the one's who manages the joint budget it is part of."""
        if is_joint(self.budget):
            return self.owners
        joint = self.family.get(joint_of(self.budget))
        return frozenset(owner_of(one) for one in (self.budget, joint) if one is not None) - {""}

    @property
    def named(self) -> frozenset[str]:
        """Who gave the money and who holds it, of the budgets that whoever writes may see."""
        seen = {key: one for key, one in self.paying.items() if key in self.seen}
        holders = {one.holder for budget in seen.values() for one in elements_of(budget)}
        receiving = {who for one in self.consents for who in receivers(one, seen, self.today)}
        return frozenset(holders | {owner_of(one) for one in seen.values()} | receiving) - {""}

    @property
    def holders(self) -> frozenset[str]:
        return frozenset(one.holder for one in self.elements) - {""}

    @property
    def nominees(self) -> frozenset[str]:
        """Who may receive direct payments for the person, by a consent."""
        return frozenset(who for one in self.consents for who in receivers(one, self.budgets, self.today))

    @property
    def is_incoming(self) -> bool:
        """Whether money comes back: from a provider to the budget's side, or from whoever holds a part to the commissioner."""
        if self.payee in self.owners:
            return self.issuer not in self.owners
        return (
            self.payee in self.holders | self.nominees and self.issuer not in self.owners | self.holders | self.nominees
        )

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


def receivers(consent: Resource, accounts: Collection[str], day: date) -> frozenset[str]:
    """Who may receive payments from these budgets on a day, by a Consent (SM-E)."""
    provision = consent.get("provision") or {}
    codings = (coding for one in provision.get("action", ()) for coding in one.get("coding", ()))
    data = {key_of(one.get("reference")) for one in provision.get("data", ())}
    holds = (
        consent.get("status") == "active"
        and provision.get("type") != "deny"
        and days_of(provision.get("period")).covers(day)
    )
    if (
        not holds
        or not any(one.get("code") == "receive-payment" for one in codings)
        or (data and not data & set(accounts))
    ):
        return frozenset()
    return frozenset(key_of(one.get("reference")) for one in provision.get("actor", ())) - {""}


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
    if (who := person_of(budget)) and any(line.kind == "advance" for line in lines_of(payment)):
        excluded = yield from exclusions(who, case.today)
        found = replace(found, person=(yield Read(who))[who], is_excluded=bool(excluded))
    if (day := first_day(payment.get("paymentDate"))) is not None and stage_of(budget) != "active":
        then = yield from version_at(account, datetime.combine(day, time.min, LONDON))
        found = replace(found, stage_then=stage_of(then))
    if found.is_incoming and any(line.kind == "advance" for line in found.lines):
        repaid, counted = yield from _repaid(found)
        found = replace(found, repaid=repaid, counted=counted)
    found = yield from _with_purchases(found, case)
    asked = [*found.paying, *found.purchases]
    return replace(found, seen=(yield Sees(*asked)) if len(asked) > 1 else frozenset(asked))


def _repaid(p: Payment) -> Asking[tuple[str, int]]:
    """The notice to repay that took this money off already, perhaps, and how much: the one it names; else, where none waits to be repaid, any
    about its part.
    """
    named = key_of(p.payment.get("request"))
    keys = [named] if named.startswith("Task/") else []
    if not named:
        about = ",".join(key for key in (p.account, joint_of(p.budget)) if key)
        notices: list[Resource] = yield Find("Task", ("code", f"{TASK_CODE}|{REPAYMENT}"), ("focus", about))
        if any(state_of(one) not in ("", *ENDED) for one in notices):
            return "", 0
        keys = [f"Task/{one['id']}" for one in notices if state_of(one) == "repaid"]
    for key in keys:
        entries: list[Entry] = yield Posted(key)
        places = {(one.account, one.pot) for one in entries}
        counted = -sum(one.sums.advanced for one in entries)
        if counted > 0 and (named or (p.account, p.part) in places):
            return key, counted
    return "", 0


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
    found = replace(found, left=(yield from _left(found, posted)))
    return replace(found, invoices={**more, **invoices}, purchases=purchases, posted=posted, others=tuple(others))


def _left(found: Payment, posted: Mapping[str, Sequence[Entry]]) -> Asking[dict[str, Resource]]:
    accounts = sorted({one.account for entries in posted.values() for one in entries} - {*found.budgets})
    read: dict[str, Resource | None] = (yield Read(*accounts)) if accounts else {}
    return {key: one for key, one in read.items() if one is not None}


def held_for(p: Payment, purchase: str) -> dict[tuple[str, str], int]:
    """What a purchase holds of each pot, committed or spent; this payment's own refunds left out."""
    entries = [one for one in p.posted.get(purchase, ()) if not is_of(one, p.payment)]
    found = {place: sums.committed + sums.spent for place, sums in positions(entries).items()}
    return {place: pence for place, pence in found.items() if pence}


def pays_a_part(p: Payment, purchase: str) -> bool:
    """Whether a purchase of a joint budget is paid from one of those that it falls to."""
    charged = keys_in((p.purchases.get(purchase) or {}).get("account"))
    if not charged or charged[0] == p.account:
        return False
    return charged[0] == joint_of(p.budget) or any(account == p.account for account, _ in held_for(p, purchase))


def came_from(p: Payment, purchase: str) -> dict[tuple[str, str], int]:
    """What a purchase holds of the pots of this payment: where one funder's budget pays or is paid back for a joint purchase, its part."""
    held = held_for(p, purchase)
    if not pays_a_part(p, purchase):
        return held
    return {place: pence for place, pence in held.items() if place[0] == p.account}


def falls_to(p: Payment, purchase: str) -> dict[tuple[str, str], int]:
    """The pots that this payment pays for, with what they hold: of a joint purchase, but for what each funder has paid from its own budget."""
    held = came_from(p, purchase)
    paid: dict[str, int] = {}
    for one in p.others:
        account = key_of(value_of(one, "phb-account"))
        if counts(one) and account != p.account:
            paid[account] = paid.get(account, 0) + paid_for(purchase, [one], p.invoices)
    left = {}
    for place, pence in sorted(held.items()):
        take = min(paid.get(place[0], 0), pence)
        paid[place[0]] = paid.get(place[0], 0) - take
        left[place] = pence - take
    return {place: pence for place, pence in left.items() if pence} or held


def is_of(one: Entry, payment: Resource) -> bool:
    return one.cause.startswith(f"PaymentReconciliation/{payment.get('id')}/")


def name_of(charge: Resource | None, key: str) -> str:
    return str(((charge or {}).get("code") or {}).get("text") or key)


def paid_by_purchase(p: Payment) -> dict[str, int]:
    """What this payment pays of each purchase."""
    found: dict[str, int] = {}
    for share in p.shares:
        found[share.purchase] = found.get(share.purchase, 0) + max(share.pence, 0)
    return found


def refunded_by_purchase(p: Payment) -> dict[str, int]:
    found: dict[str, int] = {}
    for share in p.shares:
        if share.pence < 0:
            found[share.purchase] = found.get(share.purchase, 0) - share.pence
    return found


def is_paid_whole(p: Payment, purchase: str) -> bool:
    done = [*(one for one in p.others if is_done(one)), *([p.payment] if is_done(p.payment) else [])]
    return paid_for(purchase, done, p.invoices) >= p.price(purchase) > 0


def payment_day(payment: Resource, today: date) -> str:
    """The day under which a payment is in the ledger (`2026-10-09`)."""
    return str(payment.get("paymentDate") or today.isoformat())[:10]


def terms_of(payment: Resource) -> list[Any]:
    plain = [bare(payment.get(name)) for name in TERMS]
    return plain + [bare(value_of(payment, name)) for name in TERM_EXTENSIONS]

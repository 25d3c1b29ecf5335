"""Whether purchases and payments hold of budgets what they say: billable is committed, billed is spent, anything else holds nothing.

What a payment gives back of a purchase stands beside what the purchase has spent, and is the payment's; so of a purchase that holds money,
its own entries count, and of one that holds none, all that are about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.money import pence_of, sterling
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.facts import Facts
from phb_fhir.reports.check_causes import read_text
from phb_fhir.reports.check_ledger import sums_in
from phb_fhir.reports.drift import Drift
from phb_fhir.rules.allocation import pot_name
from phb_fhir.rules.budget import is_budget, is_joint, owner_of
from phb_fhir.rules.ledger import CONTINGENCY, NONE, Sums
from phb_fhir.rules.paid import counts, is_done, lines_of
from phb_fhir.rules.purchase import MONEY, account_of, element_id, reason_of
from phb_fhir.rules.words import key_of, value_of
from phb_fhir.store.sweep import Still

Place = tuple[str, str]  # account and pot


@dataclass(slots=True)
class _Held:
    """What entries about a purchase or payment come to, by place: those it caused itself, and all of them."""

    own: dict[Place, Sums] = field(default_factory=dict)
    whole: dict[Place, Sums] = field(default_factory=dict)


_CHECKED = ("ChargeItem", "PaymentReconciliation")


async def check_positions(context: Context, still: Still, contents: Mapping[str, Resource | None]) -> list[Drift]:
    """What is wrong with those of these resources, by key, that may hold money; None for one that was deleted."""
    wanted = {key: one for key, one in contents.items() if key.partition("/")[0] in _CHECKED}
    if not wanted:
        return []
    held = await _held(still, list(wanted))
    accounts = {key: await _account(context, key, one) for key, one in wanted.items() if one is not None}
    texts = await still.contents({account for account in accounts.values() if account})
    budgets = {account: read_text(context, text) for account, text in texts.items()}
    found: list[Drift] = []
    for key, content in wanted.items():
        account = accounts.get(key, "")
        budget = budgets.get(account)
        budget = budget if is_budget(budget) else None
        check = _purchase if key.startswith("ChargeItem/") else _payment
        found += check(key, content or {}, account, budget, held.get(key) or _Held())
    return found


async def _held(still: Still, keys: list[str]) -> dict[str, _Held]:
    found: dict[str, _Held] = {}
    async for one in still.about(keys):
        about, place = str(one["about"]), (str(one.get("account")), str(one.get("pot")))
        sums = sums_in(one) or NONE  # what cannot be read is told of with its account
        held = found.setdefault(about, _Held())
        held.whole[place] = held.whole.get(place, NONE).plus(sums)
        if str(one.get("cause")).startswith(f"{about}/"):
            held.own[place] = held.own.get(place, NONE).plus(sums)
    return found


async def _account(context: Context, key: str, content: Resource) -> str:
    if key.startswith("PaymentReconciliation/"):
        return key_of(value_of(content, "phb-account"))
    return await Facts(context, context.store).ask(account_of(content))


def _purchase(key: str, charge: Resource, account: str, budget: Resource | None, held: _Held) -> Iterator[Drift]:
    sum_ = MONEY.get(str(charge.get("status"))) if budget is not None else None
    if sum_ is None or budget is None:
        return _nothing(key, "committed or spent", {place: (s.committed, s.spent) for place, s in held.whole.items()})
    pence = pence_of(charge.get("priceOverride")) or 0
    other = "spent" if sum_ == "committed" else "committed"
    has = {place: getattr(sums, sum_) for place, sums in held.own.items() if getattr(sums, sum_)}
    wrong = {place: getattr(sums, other) for place, sums in held.own.items() if getattr(sums, other)}
    if wrong:
        text = f"It is {charge.get('status')}, and its entries have {sterling(sum(wrong.values()))} {other} besides."
        return iter([Drift("position", key, text)])
    if is_joint(budget):
        return _joint(key, sum_, pence, sum(has.values()))
    pot = CONTINGENCY if reason_of(charge) == "contingency" else element_id(charge)
    return _alone(key, sum_, {(account, pot): pence} if pence else {}, has)


def _joint(key: str, sum_: str, pence: int, has: int) -> Iterator[Drift]:
    if has != pence:
        text = f"It says {sterling(pence)} is {sum_}, and over its budgets {sterling(has)} is."
        yield Drift("position", key, text)


def _alone(key: str, sum_: str, wanted: Mapping[Place, int], has: Mapping[Place, int]) -> Iterator[Drift]:
    for place in dict.fromkeys((*wanted, *has)):
        if wanted.get(place, 0) != has.get(place, 0):
            where = f"{pot_name(place[1])} of {place[0]}"
            text = f"It says {sterling(wanted.get(place, 0))} is {sum_} from {where}, and its entries say {sterling(has.get(place, 0))}."
            yield Drift("position", key, text)


def _nothing(key: str, what: str, has: Mapping[Place, tuple[int, ...]]) -> Iterator[Drift]:
    for (account, pot), sums in has.items():
        if any(sums):
            text = f"It holds no money, and its entries still have {sterling(sum(sums))} {what} from {pot_name(pot)} of {account}."
            yield Drift("position", key, text)


def _payment(key: str, payment: Resource, account: str, budget: Resource | None, held: _Held) -> Iterator[Drift]:
    """What a payment has advanced, where its lines alone tell: of one that holds nothing, nothing; of one that is all advances, their sum."""
    del account
    advanced = {place: sums.advanced for place, sums in held.whole.items() if sums.advanced}
    if budget is None or not counts(payment):
        yield from _nothing(key, "advanced", {place: (pence,) for place, pence in advanced.items()})
        return
    lines = lines_of(payment)
    if lines and all(line.kind == "advance" and line.pence > 0 for line in lines):
        # what comes back to the commissioner counts once it is there
        is_there = is_done(payment) or key_of(value_of(payment, "phb-payee")) != owner_of(budget)
        says, has = sum(line.pence for line in lines) if is_there else 0, sum(advanced.values())
        if abs(has) != says:
            text = f"It says {sterling(says)} is paid in advance, and its entries say {sterling(abs(has))}."
            yield Drift("position", key, text)

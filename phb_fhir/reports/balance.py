"""What a budget comes to, now or at any instant: allocated, committed, spent, advanced, available (RULE-LEDGER; R12, R28, R80).

Money for emergencies is told apart, and is in no other sum: nobody should plan with it. Parts are by the id of their management element.
A joint budget has no money of its own: it is the budgets that it is made of, whole, with what is bought from it and what each funder
buys alone; `funders` has each of them to the penny (decision 6 of the implementation guide). Which budgets these were at a past instant is told
by their versions of then; they are all of one person. To a funder that does not lead it, it is that funder's own share: its budgets among these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from phb_fhir.fhir.codec import Resource
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.facts import Facts
from phb_fhir.interactions.seen import whole
from phb_fhir.reports.stays import stays_of
from phb_fhir.rules.budget import Element, elements_of, is_joint, owner_of
from phb_fhir.rules.case import Asking, Find
from phb_fhir.rules.ledger import CONTINGENCY, NONE, UNASSIGNED, Ledger, Sums, summed


@dataclass(frozen=True, slots=True)
class Part:
    """A pot of one account, with the element it is of, where there is one now. `id` is "" for what no part holds."""

    account: str
    id: str
    sums: Sums
    element: Element | None = None


@dataclass(frozen=True, slots=True)
class Funder:
    """One budget of a joint one: `account` (`Account/1`), whose money it is, and what it comes to."""

    account: str
    name: str
    owner: str
    sums: Sums
    contingency: Sums | None


@dataclass(frozen=True, slots=True)
class Balance:
    """`sums` is all but the money for emergencies; `contingency` that, None where none was ever set aside."""

    account: str
    sums: Sums
    contingency: Sums | None
    parts: tuple[Part, ...]
    funders: tuple[Funder, ...] = ()


async def read_balance(context: Context, account: Resource, as_of: datetime | None) -> Balance:
    """The balance of a budget, now or as it stood at an instant: all of it, whoever asks."""
    members = await members_of(context, account, as_of)
    keys = [f"Account/{one['id']}" for one in members]
    ledgers = await ledgers_of(context, keys, as_of)
    return balance_of(account, members, ledgers, is_now=as_of is None)


async def members_of(context: Context, account: Resource, as_of: datetime | None = None) -> list[Resource]:
    """The budgets whose ledgers a budget goes by, now or at an instant: those a joint one is made of, else itself alone. Their contents are of now."""
    if not is_joint(account):
        return [account]
    if as_of is None:
        found = await Facts(context, whole(context.reader)).ask(_parts_of(f"Account/{account['id']}"))
    else:
        found = [one.account for one in await stays_of(context, account, as_of, as_of) if one.left is None]
    told = await told_of(context, account, found)
    return sorted((one for one in found if f"Account/{one['id']}" in told), key=lambda one: str(one["id"]))


async def told_of(context: Context, joint: Resource, members: Sequence[Resource]) -> set[str]:
    """Of the budgets that a joint one is made of, those that the one who asks is told of: of one that another leads, a funder of its own."""
    reader, keys = whole(context.reader), [f"Account/{one['id']}" for one in members]
    leads = await context.may_name(reader, [f"Account/{joint['id']}"])
    return {*keys} if leads else await context.may_name(reader, keys)


def _parts_of(key: str) -> Asking[list[Resource]]:
    found: list[Resource] = yield Find("Account", ("part-of", key))
    return found


async def ledgers_of(context: Context, accounts: Sequence[str], as_of: datetime | None) -> dict[str, Ledger]:
    """The ledgers of these accounts, now or at an instant."""
    ledger = whole(context.reader).ledger
    if as_of is None:
        return await ledger.of(accounts)
    return {account: await ledger.as_of(account, as_of) for account in accounts}


def balance_of(
    account: Resource, members: Sequence[Resource], ledgers: Mapping[str, Ledger], *, is_now: bool
) -> Balance:
    """What these ledgers, of the members, come to. `is_now`: parts that have no money yet are told of, too."""
    key = f"Account/{account['id']}"
    own = [(f"Account/{one['id']}", one) for one in members]
    sums = summed(without_contingency(ledgers[each]) for each, _ in own)
    aside = [found for each, _ in own if (found := contingency_of(ledgers[each])) is not None]
    parts = tuple(part for each, one in own for part in _parts(each, one, ledgers[each], is_now=is_now))
    funders = tuple(_funder(each, one, ledgers[each]) for each, one in own) if is_joint(account) else ()
    return Balance(key, sums, summed(aside) if aside else None, parts, funders)


def without_contingency(ledger: Ledger) -> Sums:
    return summed(sums for pot, sums in ledger.pots.items() if pot != CONTINGENCY)


def contingency_of(ledger: Ledger) -> Sums | None:
    return ledger.pots.get(CONTINGENCY)


def _parts(key: str, account: Resource, ledger: Ledger, *, is_now: bool) -> list[Part]:
    elements = {one.id: one for one in elements_of(account)}
    known = list(elements) if is_now else [id_ for id_ in elements if id_ in ledger.pots]
    pots = dict.fromkeys([*known, *(pot for pot in ledger.pots if pot not in (UNASSIGNED, CONTINGENCY))])
    if ledger.of(UNASSIGNED) != NONE:
        pots[UNASSIGNED] = None
    return [Part(key, pot, ledger.of(pot), elements.get(pot)) for pot in pots]


def _funder(key: str, account: Resource, ledger: Ledger) -> Funder:
    name = str(account.get("name") or "")
    return Funder(key, name, owner_of(account), without_contingency(ledger), contingency_of(ledger))

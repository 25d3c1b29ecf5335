"""Joint budgets: one budget to the person, an exact ledger for each funder (E10, R28; decision 6 of the implementation guide).

What is bought from a joint budget is split over the budgets it is made of: by their shares (`phb-joint-share`), where they have any; else
in the order of their coverage's priority, each until it is used up. Within a budget its parts are used in the order they stand in. Every
penny falls somewhere, and always to the same: no part of it is rounded away. What is set aside for emergencies pays for these, and each part for
the days for which it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.money import divided, sterling
from phb_fhir.outcome import Issue
from phb_fhir.rules.budget import OVER, Days, days_of, elements_of, stage_of
from phb_fhir.rules.case import refusal
from phb_fhir.rules.ledger import CONTINGENCY, UNASSIGNED, Ledger
from phb_fhir.rules.words import value_of

_NO_PRIORITY = 1_000_000  # after all that have one


class Split(NamedTuple):
    """Where an amount falls: pence by (account, pot); and why it cannot, if it cannot."""

    places: dict[tuple[str, str], int]
    issues: tuple[Issue, ...] = ()


class Bought(NamedTuple):
    """What is bought, as far as that says whose money it is: for which days; care that was given already, so that each budget takes what falls to
    it, whether or not it has as much left (R88); or something for an emergency, which is paid from what is set aside for these (R80).
    """

    days: Days = Days()
    is_given: bool = False
    is_contingency: bool = False


ANYTHING = Bought()


def split(
    pence: int,
    members: Sequence[Resource],
    ledgers: Mapping[str, Ledger],
    hidden: Collection[str] = (),
    bought: Bought = ANYTHING,
) -> Split:
    """An amount over the budgets that a joint one is made of; of those that are `hidden` from whoever asks, no name and no sum is told.

    Of each, the parts are used that run on all days it is for. One with a share that does not run then is not paid for by the others.
    """
    active = sorted((one for one in members if stage_of(one) == "active"), key=_rank)
    if not active:
        return Split({}, (refusal("None of the budgets that make up this joint one is active.", "ChargeItem.account"),))
    if waiting := [one for one in members if stage_of(one) not in ("active", *OVER)]:
        return Split({}, tuple(_not_now(one, hidden) for one in waiting))
    shares = [share_of(one) for one in active]
    over = [one for one in active if any(shares) and not _runs(days_of(one.get("servicePeriod")), bought)]
    if over:
        return Split({}, tuple(_not_then(one, hidden) for one in over))
    falls = divided(pence, shares) if any(shares) else _in_order(pence, active, ledgers, bought)
    places: dict[tuple[str, str], int] = {}
    issues: list[Issue] = []
    for member, part in zip(active, falls, strict=True):
        ledger = ledgers[_key(member)]
        pots = _pots(member, ledger, bought)
        left = part
        for pot in pots:
            take = min(left, max(ledger.of(pot).available, 0))
            if take:
                places[_key(member), pot] = take
                left -= take
        if left and bought.is_given:
            pot = next((one for one in pots if one), UNASSIGNED)
            places[_key(member), pot] = places.get((_key(member), pot), 0) + left
        elif left:
            issues.append(_short(member, part, part - left, hidden))
    return Split(places, tuple(issues))


def _runs(days: Days, bought: Bought) -> bool:
    """Whether these days cover all for which something is bought."""
    return all(day is None or days.covers(day) for day in bought.days)


def share_of(member: Resource) -> Decimal:
    """Its share beside the others'; 0 where it has none."""
    found = value_of(member, "phb-joint-share")
    return Decimal(found) if isinstance(found, int | Decimal) and not isinstance(found, bool) else Decimal(0)


def _in_order(pence: int, members: Sequence[Resource], ledgers: Mapping[str, Ledger], bought: Bought) -> list[int]:
    """Each as much as it has, one after another; what is then left falls to the last that runs, which has not got it."""
    falls: list[int] = []
    last = len(members) - 1
    for at, member in enumerate(members):
        ledger = ledgers[_key(member)]
        has = sum(max(ledger.of(pot).available, 0) for pot in _pots(member, ledger, bought))
        last = at if _runs(days_of(member.get("servicePeriod")), bought) else last
        falls.append(min(pence, has))
        pence -= falls[-1]
    falls[last] += pence
    return falls


def ranks_of(member: Resource) -> list[int]:
    """The priorities of its coverage: 1 is used first."""
    ranks = [one.get("priority") for one in member.get("coverage", ())]
    return [rank for rank in ranks if isinstance(rank, int) and not isinstance(rank, bool)]


def falls_otherwise(before: Resource, after: Resource) -> bool:
    """Whether something else of what is bought jointly would fall to a budget: by its share, or by when its turn is."""
    was, now = ((share_of(one), min(ranks_of(one), default=_NO_PRIORITY)) for one in (before, after))
    return was != now


def _rank(member: Resource) -> tuple[int, str]:
    return min(ranks_of(member), default=_NO_PRIORITY), _key(member)


def _pots(member: Resource, ledger: Ledger, bought: Bought) -> list[str]:
    """What of a budget pays for something, in order. For an emergency, what is set aside for these; where nothing is, its own part as ever."""
    if not _runs(days_of(member.get("servicePeriod")), bought):
        return []
    if bought.is_contingency and ledger.of(CONTINGENCY).allocated:
        return [CONTINGENCY]
    return [UNASSIGNED, *(one.id for one in elements_of(member) if _runs(one.days, bought))]


def _not_now(member: Resource, hidden: Collection[str]) -> Issue:
    """Nobody pays another funder's part because that one is suspended, or on its way out."""
    name, stage = member.get("name") or _key(member), stage_of(member) or "at no stage yet"
    if _key(member) in hidden:
        name, stage = "Another budget", "not active"
    text = f"{name}, which pays a part of this, is {stage}: it becomes active, or leaves the joint budget, first."
    return refusal(text, "ChargeItem.account")


def _not_then(member: Resource, hidden: Collection[str]) -> Issue:
    """Nobody pays another funder's part because that one's money is for other days."""
    text = f"{member.get('name') or _key(member)}, which pays a part of this, runs {days_of(member.get('servicePeriod'))}, and not on all of these days."
    if _key(member) in hidden:
        text = "Another budget, which pays a part of this, does not run on all of these days."
    return refusal(text, "ChargeItem.occurrence")


def _short(member: Resource, part: int, has: int, hidden: Collection[str]) -> Issue:
    name = member.get("name") or _key(member)
    text = f"{sterling(part)} of this would fall to {name}, which has {sterling(has)} left."
    if _key(member) in hidden:
        text = "A part of this would fall to another budget, which has not as much left."
    return refusal(text, "ChargeItem.priceOverride")


def _key(member: Resource) -> str:
    return f"Account/{member['id']}"

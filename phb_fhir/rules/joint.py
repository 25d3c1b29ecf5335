"""Joint budgets: one budget to the person, an exact ledger for each funder (E10, R28; decision 6 of the implementation guide).

What is bought from a joint budget is split over the budgets it is made of: by their shares (`phb-joint-share`), where they have any; else
in the order of their coverage's priority, each until it is used up. Within a budget its parts are used in the order they stand in. Every
penny falls somewhere, and always to the same: no part of it is rounded away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.money import divided, sterling
from phb_fhir.outcome import Issue
from phb_fhir.rules.budget import OVER, elements_of, stage_of
from phb_fhir.rules.case import refusal
from phb_fhir.rules.ledger import UNASSIGNED, Ledger
from phb_fhir.rules.words import value_of

_NO_PRIORITY = 1_000_000  # after all that have one


class Split(NamedTuple):
    """Where an amount falls: pence by (account, pot); and why it cannot, if it cannot."""

    places: dict[tuple[str, str], int]
    issues: tuple[Issue, ...] = ()


def split(
    pence: int,
    members: Sequence[Resource],
    ledgers: Mapping[str, Ledger],
    hidden: Collection[str] = (),
    *,
    is_given: bool = False,
) -> Split:
    """An amount over the budgets that a joint one is made of; of those that are `hidden` from whoever asks, no name and no sum is told.

    For care that was given already (`is_given`), each budget takes what falls to it, whether or not it has as much left (R88).
    """
    active = sorted((one for one in members if stage_of(one) == "active"), key=_rank)
    if not active:
        return Split({}, (refusal("None of the budgets that make up this joint one is active.", "ChargeItem.account"),))
    if waiting := [one for one in members if stage_of(one) not in ("active", *OVER)]:
        return Split({}, tuple(_not_now(one, hidden) for one in waiting))
    shares = [share_of(one) for one in active]
    falls = divided(pence, shares) if any(shares) else _in_order(pence, active, ledgers)
    places: dict[tuple[str, str], int] = {}
    issues: list[Issue] = []
    for member, part in zip(active, falls, strict=True):
        ledger = ledgers[_key(member)]
        left = part
        for pot in _pots(member):
            take = min(left, max(ledger.of(pot).available, 0))
            if take:
                places[_key(member), pot] = take
                left -= take
        if left and is_given:
            pot = next((one.id for one in elements_of(member)), UNASSIGNED)
            places[_key(member), pot] = places.get((_key(member), pot), 0) + left
        elif left:
            issues.append(_short(member, part, part - left, hidden))
    return Split(places, tuple(issues))


def share_of(member: Resource) -> Decimal:
    """Its share beside the others'; 0 where it has none."""
    found = value_of(member, "phb-joint-share")
    return Decimal(found) if isinstance(found, int | Decimal) and not isinstance(found, bool) else Decimal(0)


def _in_order(pence: int, members: Sequence[Resource], ledgers: Mapping[str, Ledger]) -> list[int]:
    """Each as much as it has, one after another; what is then left falls to the last, which has not got it."""
    falls = []
    for member in members:
        has = sum(max(ledgers[_key(member)].of(pot).available, 0) for pot in _pots(member))
        falls.append(min(pence, has))
        pence -= falls[-1]
    falls[-1] += pence
    return falls


def ranks_of(member: Resource) -> list[int]:
    """The priorities of its coverage: 1 is used first."""
    ranks = [one.get("priority") for one in member.get("coverage", ())]
    return [rank for rank in ranks if isinstance(rank, int) and not isinstance(rank, bool)]


def _rank(member: Resource) -> tuple[int, str]:
    return min(ranks_of(member), default=_NO_PRIORITY), _key(member)


def _pots(member: Resource) -> Iterator[str]:
    yield UNASSIGNED
    yield from (one.id for one in elements_of(member))


def _not_now(member: Resource, hidden: Collection[str]) -> Issue:
    """Nobody pays another funder's part because that one is suspended, or on its way out."""
    name, stage = member.get("name") or _key(member), stage_of(member) or "at no stage yet"
    if _key(member) in hidden:
        name, stage = "Another budget", "not active"
    text = f"{name}, which pays a part of this, is {stage}: it becomes active, or leaves the joint budget, first."
    return refusal(text, "ChargeItem.account")


def _short(member: Resource, part: int, has: int, hidden: Collection[str]) -> Issue:
    name = member.get("name") or _key(member)
    text = f"{sterling(part)} of this would fall to {name}, which has {sterling(has)} left."
    if _key(member) in hidden:
        text = "A part of this would fall to another budget, which has not as much left."
    return refusal(text, "ChargeItem.priceOverride")


def _key(member: Resource) -> str:
    return f"Account/{member['id']}"

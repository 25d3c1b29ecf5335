"""The trail of purchases: from each to its evidence, its place in the plan, its payments, who approved it, and all its versions (E3, R17).

Everything is read as the one who asks sees it: what they may not see is left out of the trail, as if it were not there. What was
corrected, refused or entered in error stays in it: the steps are the versions, and none is ever taken away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from phb_fhir.change import Version
from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import instant_text
from phb_fhir.fhir.money import pence_of
from phb_fhir.interactions.contents import held
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.joins import Joins
from phb_fhir.outcome import Kind, Refusal, refuse
from phb_fhir.query import HistoryQuery, Key, Query
from phb_fhir.rules.criteria import goals_of
from phb_fhir.rules.plan import activity_title
from phb_fhir.rules.purchase import MONEY, element_id, link_of, occurrence
from phb_fhir.rules.words import PERTAINS_TO_GOAL, extensions, key_of, keys_in, value_of
from phb_fhir.search.parse import parse_criteria
from phb_fhir.security.audit_event import role_of
from phb_fhir.store.store import Reader

PURCHASES_MAX = 2_000  # in one report
VERSIONS_OF_ONE_MAX = 500
PAYMENTS_MAX = 5_000
_TOGETHER = 100  # purchases that are asked about in one question
_AT_ONCE = 8
_ORIGINS_MAX = 10_000  # Provenances of those
_DECIDING = frozenset(role_of(role)["text"] for role in ("care-coordinator", "nhs-team", "commissioner", "system"))


class Named(NamedTuple):
    """Something that is referred to, and what it is called."""

    key: str
    name: str = ""


NOBODY = Named("")


class Agent(NamedTuple):
    """Who made a version, and in which role, in words, as its Provenance says."""

    who: Named
    role: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One version of a purchase: what it then was, and who made it."""

    number: int
    at: datetime
    status: str
    pence: int
    by: Agent | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    key: str
    day: str
    pence: int
    status: str


@dataclass(frozen=True, slots=True)
class Trail:
    """One purchase with all that belongs to it. `plan` is as it was linked, with the version where one was named; `accounts` are what it is
    charged to.
    """

    key: str
    version: int
    item: str
    status: str
    pence: int
    day: str
    part: str
    evidence: tuple[Named, ...] = ()
    no_evidence: str = ""
    plan: str = ""
    activity: Named = NOBODY
    goals: tuple[Named, ...] = ()
    payments: tuple[Payment, ...] = ()
    entered_by: Named = NOBODY
    steps: tuple[Step, ...] = ()
    accounts: tuple[str, ...] = ()

    @property
    def approval(self) -> Step | None:
        """The step that made it billable, the last time that happened; None where it never was."""
        into = None
        before = ""
        for step in self.steps:
            if step.status in MONEY and before not in MONEY:
                into = step
            before = step.status
        return into

    @property
    def approved_by(self) -> Agent | None:
        """Who decided that it could be paid.

        Nobody, where it was in the plan, in the directory and within the money, and was entered by somebody who decides nothing.
        """
        step = self.approval
        if step is None or step.by is None:
            return None
        return step.by if step.number > 1 or step.by.role in _DECIDING else None


async def purchases_since(context: Context, accounts: Sequence[str], start: datetime | None) -> list[str]:
    """The purchases charged to these accounts that were written since an instant, by key. Raises Rejected (422) for too many."""
    criteria = [("account", ",".join(accounts)), *([("_lastUpdated", f"ge{instant_text(start)}")] if start else [])]
    query = parse_criteria("ChargeItem", criteria, context.asking())
    found = await Joins(context.reader, context.asking()).matching(query, count=PURCHASES_MAX + 1)
    if len(found) > PURCHASES_MAX:
        raise too_much("purchases")
    return [version.key for version in found]


def too_much(what: str) -> Exception:
    text = f"There are too many {what} in this time for one report; ask for a shorter time."
    return refuse(Refusal.UNPROCESSABLE, Kind.TOO_COSTLY, text)


async def read_trails(context: Context, keys: Sequence[str], accounts: Sequence[str]) -> dict[str, Trail]:
    """The trails of these purchases, those that may be seen. `accounts` are what they are charged to, and paid from."""
    if len(keys) > PURCHASES_MAX:
        raise too_much("purchases")
    paid = await _payments(context, accounts)
    trails: dict[str, Trail] = {}
    for start in range(0, len(keys), _TOGETHER):
        trails |= await _together(context, keys[start : start + _TOGETHER], paid)
    return trails


async def _together(context: Context, keys: Sequence[str], paid: Mapping[str, tuple[Payment, ...]]) -> dict[str, Trail]:
    current = [one for one in (await context.reader.read_all(keys)).values() if one.json is not None]
    charges = {one.key: _content(context, one) for one in current}
    origins = await _origins(context, list(charges))
    around = await _around(context, charges.values())
    versions = await _versions(context, current)
    return {
        one.key: _trail(one, charges[one.key], around, _steps(context, versions[one.key], origins), paid)
        for one in current
    }


def _content(context: Context, version: Version) -> Resource:
    return held(context, version) or {}


# ---- the versions, and who made them ---------------------------------------------------------------


async def _versions(context: Context, current: Sequence[Version]) -> dict[str, list[Version]]:
    """All versions of each, oldest first."""
    found = {one.key: [one] for one in current}
    several = [one for one in current if one.number > 1]
    width = 1 if context.reader.is_in_transaction else _AT_ONCE
    for start in range(0, len(several), width):
        these = several[start : start + width]
        asked = [_history(context.reader, one) for one in these]
        found |= dict(zip((one.key for one in these), await asyncio.gather(*asked), strict=True))
    return found


async def _history(reader: Reader, version: Version) -> list[Version]:
    query = HistoryQuery(version.type, version.id)
    found = await reader.history(query, after=None, count=VERSIONS_OF_ONE_MAX)
    return sorted(found, key=lambda one: one.number)


def _steps(context: Context, versions: Sequence[Version], origins: Mapping[str, Agent]) -> tuple[Step, ...]:
    made = []
    for version in versions:
        content = _content(context, version)
        by = origins.get(f"{version.key}/_history/{version.number}")
        status = "deleted" if version.is_deleted else str(content.get("status", ""))
        made.append(Step(version.number, version.at, status, pence_of(content.get("priceOverride")) or 0, by))
    return tuple(made)


async def _origins(context: Context, keys: Sequence[str]) -> dict[str, Agent]:
    """Who made which version (`ChargeItem/1/_history/2`), by the Provenances of these."""
    if not keys:
        return {}
    query = Query(("Provenance",), Key(tuple(f"target={key}" for key in keys)))
    found: dict[str, Agent] = {}
    for version in await context.reader.search(query, count=_ORIGINS_MAX):
        content = _content(context, version)
        agent = _agent(content)
        for target in content.get("target", ()) if agent is not None else ():
            found.setdefault(str(target.get("reference", "")), agent)  # type: ignore[arg-type]
    return found


def _agent(provenance: Resource) -> Agent | None:
    """The agent who did it: who was signed in is the last of them, where others are named too."""
    several = provenance.get("agent", ())
    if not several:
        return None
    last = several[-1]
    role = next((str(one["text"]) for one in last.get("role", ()) if one.get("text")), "")
    return Agent(_named(last.get("who")), role)


def _named(reference: Any) -> Named:
    found = reference if isinstance(reference, dict) else {}
    return Named(key_of(found), str(found.get("display") or ""))


# ---- what belongs to it ----------------------------------------------------------------------------


async def _around(context: Context, charges: Iterable[Resource]) -> dict[str, Resource]:
    """What these refer to, by reference, with the version where one is named: plans, goals, evidence."""
    keys: dict[str, None] = {}
    for charge in charges:
        plan = _plan_reference(charge)
        named = [*keys_in(charge.get("supportingInformation")), key_of(plan), *_goal_keys(charge)]
        keys.update((key, None) for key in named if key)
        if plan.count("/") > 1:
            keys[plan] = None
    found: dict[str, Resource] = {}
    current = await context.reader.read_all([key for key in keys if key.count("/") == 1])
    found.update((key, _content(context, one)) for key, one in current.items() if one.json is not None)
    for key in [key for key in keys if key.count("/") > 1]:
        type_, id_, _, number = key.split("/")
        version = await context.reader.read_version(type_, id_, int(number)) if number.isdecimal() else None
        if version is not None and version.json is not None:
            found[key] = _content(context, version)
    plans = [one for key, one in found.items() if key.startswith("CarePlan/")]
    goals = dict.fromkeys(key for plan in plans for one in plan.get("activity", ()) for key in goals_of(one))
    more = await context.reader.read_all([key for key in goals if key not in found])
    found.update((key, _content(context, one)) for key, one in more.items() if one.json is not None)
    return found


def _plan_reference(charge: Resource) -> str:
    reference, _ = link_of(charge)
    return str(reference.get("reference", "")) if isinstance(reference, dict) and key_of(reference) else ""


def _goal_keys(charge: Resource) -> list[str]:
    return [key for one in extensions(charge, PERTAINS_TO_GOAL) if (key := key_of(one.get("valueReference")))]


def _trail(
    version: Version,
    charge: Resource,
    around: Mapping[str, Resource],
    steps: tuple[Step, ...],
    paid: Mapping[str, tuple[Payment, ...]],
) -> Trail:
    plan, (_, activity_id) = _plan_reference(charge), link_of(charge)
    linked = around.get(plan) or around.get(key_of(plan))
    several: list[Resource] = (linked or {}).get("activity", [])
    activity = next((one for one in several if one.get("id") == activity_id), {})
    goals = _goal_keys(charge) or goals_of(activity)
    days = occurrence(charge)
    day = days.end or days.start
    return Trail(
        version.key,
        version.number,
        str((charge.get("code") or {}).get("text") or "A purchase"),
        str(charge.get("status", "")),
        pence_of(charge.get("priceOverride")) or 0,
        day.isoformat() if day else "",
        element_id(charge),
        tuple(Named(key, _title(around[key])) for key in keys_in(charge.get("supportingInformation")) if key in around),
        _why_no_evidence(charge),
        plan if linked is not None else "",
        Named(activity_id, _called(activity)) if linked is not None else NOBODY,
        tuple(Named(key, _title(around[key])) for key in goals if key in around),
        paid.get(version.key, ()),
        _named(charge.get("enterer")),
        steps,
        tuple(keys_in(charge.get("account"))),
    )


def _why_no_evidence(charge: Resource) -> str:
    waiver = next(iter(extensions(charge, "phb-evidence-waiver")), {})
    return str(value_of(waiver, "reason") or "")


def _called(activity: Mapping[str, Any]) -> str:
    return activity_title(activity) or str((activity.get("detail") or {}).get("description") or "")


def _title(resource: Resource) -> str:
    """What a document or goal calls itself."""
    said = resource.get("description")
    return str(said.get("text") or "") if isinstance(said, dict) else str(said or "")


# ---- what was paid for it --------------------------------------------------------------------------


async def _payments(context: Context, accounts: Sequence[str]) -> dict[str, tuple[Payment, ...]]:
    """The payments for each purchase, directly or by an invoice, those that may be seen."""
    about = Key(tuple(f"account={key}" for key in accounts))
    payments = await context.reader.search(Query(("PaymentReconciliation",), about), count=PAYMENTS_MAX + 1)
    invoices = await context.reader.search(Query(("Invoice",), about), count=PAYMENTS_MAX + 1)
    if max(len(payments), len(invoices)) > PAYMENTS_MAX:
        raise too_much("payments")
    billed = {one.key: _charged(_content(context, one)) for one in invoices}
    found: dict[str, list[Payment]] = {}
    for version in payments:
        for key, payment in _paid(version.key, _content(context, version), billed):
            found.setdefault(key, []).append(payment)
    return {key: tuple(sorted(several, key=lambda one: (one.day, one.key))) for key, several in found.items()}


def _charged(invoice: Resource) -> list[str]:
    return [key for one in invoice.get("lineItem", ()) if (key := key_of(one.get("chargeItemReference")))]


def _paid(key: str, payment: Resource, billed: Mapping[str, Sequence[str]]) -> Iterable[tuple[str, Payment]]:
    for detail in payment.get("detail", ()):
        request = key_of(detail.get("request"))
        for purchase in [request] if request.startswith("ChargeItem/") else billed.get(request, ()):
            day = str(detail.get("date") or payment.get("paymentDate") or "")
            pence = pence_of(detail.get("amount")) or 0
            yield purchase, Payment(key, day, pence, str(payment.get("outcome") or payment.get("status") or ""))

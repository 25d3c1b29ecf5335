"""A purchase, read: a ChargeItem that is charged to a budget (`phb-purchase`), with all that the record says about it (C32E2).

It is proposed as `planned`, commits its price as `billable`, and spends it as `billed` (SM-C). What speaks against one is in
`purchase_checks`, what becomes of one in `purchasing`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.money import pence_of
from phb_fhir.rules.around import is_connected, with_their_records
from phb_fhir.rules.budget import (
    Days,
    Element,
    days_of,
    element_of,
    elements_of,
    first_day,
    is_budget,
    is_joint,
    last_day,
    person_of,
    plan_of,
)
from phb_fhir.rules.case import (
    Asking,
    Books,
    By,
    Find,
    Read,
    ReadVersion,
)
from phb_fhir.rules.ledger import CONTINGENCY, Ledger
from phb_fhir.rules.naming import account_meant, addressed, is_unknown_account
from phb_fhir.rules.words import (
    PURCHASE_CATEGORY,
    PURCHASE_REASON,
    PURCHASE_REFERENCE,
    TASK_CODE,
    code_in,
    extension_url,
    extensions,
    key_of,
    keys_in,
    pair_of,
    value_of,
)

MONEY = {"billable": "committed", "billed": "spent"}  # which sum a status holds
OPEN = ("planned", "billable", "billed")


@dataclass(frozen=True, slots=True)
class Purchase:
    """A purchase with all that is known about it. `budget` is the budget it is charged to, under the key `account`.

    `elements` are the parts of the budget, or of those that a joint one is made of. `plan` is the care plan as it is, `linked` the version
    that the purchase was linked to; `item` is that of the directory. `payees` are the records of those close to the person whom it pays. `person` is whom it is for: where no address says that, the budget's
    own. `consents` and `exceptions` are read where somebody acts for the person, or is paid who lives with them. `left` are the accounts
    that have left the joint budget since this was split, with their funders; `hidden` those of all of them that a refusal must not tell of.
    """

    charge: Resource
    account: str
    budget: Resource
    ledger: Ledger
    by: By
    today: date
    plan: Resource | None = None
    linked: Resource | None = None
    item: Resource | None = None
    evidence: Mapping[str, Resource | None] = field(default_factory=dict)
    consents: Sequence[Resource] = ()
    payees: Sequence[Resource] = ()
    exceptions: Sequence[Resource] = ()
    members: Sequence[Resource] = ()
    ledgers: Mapping[str, Ledger] = field(default_factory=dict)
    before: Resource | None = None
    left: Mapping[str, str] = field(default_factory=dict)
    closed: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    elements: tuple[Element, ...] = ()
    person: Resource | None = None

    @property
    def status(self) -> str:
        return str(self.charge.get("status", ""))

    @property
    def pence(self) -> int:
        return pence_of(self.charge.get("priceOverride")) or 0

    @property
    def element(self) -> Element | None:
        return element_of(self.elements, element_id(self.charge))

    @property
    def is_contingency(self) -> bool:
        return reason_of(self.charge) == "contingency"

    @property
    def pot(self) -> str:
        return CONTINGENCY if self.is_contingency else element_id(self.charge)

    @property
    def pays_household(self) -> bool:
        """Whether it pays somebody who lives with the person (regulation 7(8); DP-5)."""
        return any(is_connected(one) for one in self.payees)

    @property
    def was_money(self) -> bool:
        return self.before is not None and self.before.get("status") in MONEY


def element_id(charge: Resource) -> str:
    found = value_of(charge, "phb-element")
    return found if isinstance(found, str) else ""


def reason_of(charge: Resource) -> str:
    """`contingency` or `care-already-given` (phb-purchase-reason); "" for neither."""
    return next((code for one in charge.get("reason", ()) if (code := code_in(one, PURCHASE_REASON))), "")


def occurrence(charge: Resource) -> Days:
    """The days a purchase is for; of a Timing, from the first of its events to the last, or its bounds."""
    if "occurrencePeriod" in charge:
        return days_of(charge["occurrencePeriod"])
    if isinstance(timing := charge.get("occurrenceTiming"), dict):
        events = sorted(one for one in timing.get("event", ()) if isinstance(one, str))
        if events:
            return Days(first_day(events[0]), last_day(events[-1]))
        return days_of((timing.get("repeat") or {}).get("boundsPeriod"))
    return Days(first_day(charge.get("occurrenceDateTime")), last_day(charge.get("occurrenceDateTime")))


def purchase_day(charge: Resource, today: date) -> str:
    """The day under which a purchase is in the ledger (`2026-10-09`): its last, or that of its writing."""
    return (occurrence(charge).end or today).isoformat()


def link_of(charge: Resource) -> tuple[Any, str]:
    """The reference to the care plan, and the id of the activity."""
    link = next(iter(extensions(charge, "phb-purchase-link")), {})
    return value_of(link, "carePlan"), str(value_of(link, "activityId") or "")


def references_of(charge: Resource) -> list[str]:
    """The business identifiers of a purchase."""
    pairs = (pair_of(one) for one in charge.get("identifier", ()))
    return [value for system, value in pairs if system == PURCHASE_REFERENCE and value]


def reference_of(charge: Resource) -> str:
    """The business identifier of a purchase; "" for none."""
    return next(iter(references_of(charge)), "")


def account_of(charge: Resource) -> Asking[str]:
    """`Account/1`: the one it is charged to, by reference or by an identifier that one Account has; "" for none, or several."""
    accounts = charge.get("account")
    return (yield from account_meant(accounts[0])) if isinstance(accounts, list) and len(accounts) == 1 else ""


def _addressed(charge: Resource, account: str) -> Resource:
    (named,) = charge["account"]
    return charge if key_of(named) else {**charge, "account": [addressed(named, account)]}


def is_of_a_budget(charge: Resource) -> bool:
    """Whether its own content says that it is a purchase of a budget, whatever it is charged to: by a word of the guide, or its reference."""
    return is_told_as_purchase(charge) or bool(reference_of(charge))


def is_told_as_purchase(charge: Resource) -> bool:
    """Whether it has a word of the guide about purchases. A number that it has in another place's books is none."""
    profiles = (charge.get("meta") or {}).get("profile") or ()
    urls = (one.get("url") for one in charge.get("extension", ()))
    reasons = (code_in(one, PURCHASE_REASON) for one in charge.get("reason", ()))
    return (
        any(str(one).startswith(extension_url("phb-")) for one in (*profiles, *urls))
        or bool(code_in(charge.get("code"), PURCHASE_CATEGORY))
        or any(reasons)
    )


def budget_charged(key: str) -> Asking[str]:
    """`Account/1`: the budget to which a purchase that is here is charged; "" for none."""
    charge: Resource | None = (yield Read(key))[key]
    account = yield from account_of(charge or {})
    found: Resource | None = (yield Read(account))[account] if account else None
    return account if is_budget(found) else ""


def read_purchase(charge: Resource, by: By, today: date, before: Resource | None = None) -> Asking[Purchase | None]:
    """All that the rules of a purchase want to know; None where it is charged to no budget, and is none of theirs."""
    account = yield from account_of(charge)
    if not account or (yield from is_unknown(charge, before)):
        return None
    wanted = [account, *keys_named(charge)]
    found: dict[str, Resource | None] = yield Read(*wanted)
    budget = found[account]
    if budget is None or not is_budget(budget):
        return None
    charge = _addressed(charge, account)
    books: dict[str, Ledger] = yield Books(account)
    performers = [key_of(one.get("actor")) for one in charge.get("performer", ())]
    payees = [one for key in performers if key.startswith("RelatedPerson/") and (one := found.get(key)) is not None]
    purchase = Purchase(
        charge,
        account,
        budget,
        books[account],
        by,
        today,
        evidence={key: found[key] for key in keys_in(charge.get("supportingInformation"))},
        payees=tuple((yield from with_their_records(payees, person_of(budget)))),
        before=before,
        elements=tuple(elements_of(budget)),
        person=found.get(key_of(charge.get("subject"))),
    )
    if is_joint(budget):
        purchase = yield from _with_members(purchase)
    purchase = yield from _with_plan(purchase)
    return (yield from _with_who(purchase))


def is_unknown(charge: Resource, before: Resource | None = None) -> Asking[bool]:
    """Whether it is newly charged, by an identifier, to what whoever asks knows nothing of."""
    accounts = charge.get("account")
    if not isinstance(accounts, list) or len(accounts) != 1 or (before or {}).get("account") == accounts:
        return False
    return (yield from is_unknown_account(accounts[0]))


def keys_named(charge: Resource) -> list[str]:
    """What a purchase refers to that its rules look at: its evidence, its plan, whom it pays, and whom it is for."""
    plan = key_of(link_of(charge)[0])
    performers = [key_of(one.get("actor")) for one in charge.get("performer", ()) if isinstance(one, dict)]
    people = [key for key in performers if key.startswith("RelatedPerson/")]
    person = key_of(charge.get("subject"))
    return [*keys_in(charge.get("supportingInformation")), *(key for key in (plan, person) if key), *people]


def _with_members(purchase: Purchase) -> Asking[Purchase]:
    members: list[Resource] = yield Find("Account", ("part-of", purchase.account))
    ledgers: dict[str, Ledger] = (yield Books(*(f"Account/{one['id']}" for one in members))) if members else {}
    elements = tuple(one for member in members for one in elements_of(member))
    return replace(purchase, members=tuple(members), ledgers=ledgers, elements=elements)


def _with_plan(purchase: Purchase) -> Asking[Purchase]:
    """The plan of the budget, the version that the purchase was linked to, and the item of the directory."""
    reference, _ = link_of(purchase.charge)
    plan = key_of(reference) or plan_of(purchase.budget)
    found: dict[str, Resource | None] = (yield Read(plan)) if plan.startswith("CarePlan/") else {}
    current = found.get(plan)
    linked = current
    if number := _version_in(reference):
        linked = (yield ReadVersion(plan, number)) or current
    item = yield from _item(purchase.charge)
    return replace(purchase, plan=current, linked=linked, item=item)


def _version_in(reference: Any) -> int:
    text = reference.get("reference", "") if isinstance(reference, dict) else ""
    found = re.fullmatch(r"CarePlan/[^/]+/_history/(\d{1,9})", text)
    return int(found[1]) if found else 0


def _item(charge: Resource) -> Asking[Resource | None]:
    """The item of the directory that a purchase names, by url and version."""
    canonical = next(iter(charge.get("definitionCanonical", ())), "")
    if not isinstance(canonical, str) or not canonical:
        return None
    url, _, version = canonical.partition("|")
    found: list[Resource] = yield Find("ChargeItemDefinition", ("url", url))
    return next((one for one in found if not version or one.get("version") == version), None)


def _with_who(purchase: Purchase) -> Asking[Purchase]:
    """Whom it is for, what lets a representative purchase, and what excepts somebody from a rule: read only where it matters."""
    who = person_of(purchase.budget)
    if who and not key_of(purchase.charge.get("subject")):
        purchase = replace(purchase, person=(yield Read(who))[who])
    enterer = key_of(purchase.charge.get("enterer"))
    if enterer.startswith("RelatedPerson/"):
        consents: list[Resource] = yield Find("Consent", ("patient", person_of(purchase.budget)), ("status", "active"))
        purchase = replace(purchase, consents=tuple(consents))
    if purchase.pays_household:
        code = f"{TASK_CODE}|exception"
        tasks: list[Resource] = yield Find("Task", ("patient", person_of(purchase.budget)), ("code", code))
        purchase = replace(purchase, exceptions=tuple(tasks))
    return purchase

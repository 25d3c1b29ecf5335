"""What is worth knowing when a budget is written or reviewed, and keeps nothing from being written (R59, R173, R184).

offered_in_a_crisis   an offer is unlikely to help shortly after a health crisis; asked later, it may
chosen_too_soon       how the money is held is chosen once it is known what it is for
coming_of_age         who turns 18 within a year needs a ground that goes on after that
"""

from __future__ import annotations

from collections.abc import Iterator

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import months_later
from phb_fhir.outcome import Issue
from phb_fhir.rules.around import flagged
from phb_fhir.rules.budget import OVER, days_of, elements_of, first_day, is_joint, person_of, plan_of, stage_of
from phb_fhir.rules.case import Asking, Case, Find, Read, Sees, advice
from phb_fhir.rules.characteristics import CRITERION
from phb_fhir.rules.eligibility import categories
from phb_fhir.rules.words import ELIGIBILITY, code_in, extensions, keys_in, value_of

ADULT_FROM = 18
_YEAR_MONTHS = 12
_PART = "Account.extension.where(url.endsWith('phb-management-element'))"
_OFFER = "Account.extension.where(url.endsWith('phb-offer'))"


def remarked(case: Case) -> Asking[list[Issue]]:
    """What is to be said of a budget as it is written by somebody; nothing of one that is over."""
    account = case.after
    if account is None or case.is_own or stage_of(account) in OVER:
        return []
    issues = yield from offered_in_a_crisis(case, account)
    issues += yield from chosen_too_soon(case, account)
    return issues + (yield from coming_of_age(case, account, "Account.coverage"))


def offered_in_a_crisis(case: Case, account: Resource) -> Asking[list[Issue]]:
    """A new offer that was made while a Flag `recent-crisis` of the person stood, and is not put off (`deferredUntil`)."""
    offered = [*_new_offers(case, account)]
    if not offered:
        return []
    flags: list[Resource] = yield Find("Flag", ("patient", person_of(account)))
    seen: frozenset[str] = (yield Sees(*(f"Flag/{one['id']}" for one in flags))) if flags else frozenset()
    flags = [one for one in flags if f"Flag/{one['id']}" in seen]  # a remark tells what the flag does
    days = [first_day(value_of(row, "offered")) or case.today for row in offered]
    if not any("recent-crisis" in flagged(flags, CRITERION, day) for day in days):
        return []
    text = (
        "The person has been through a health crisis lately (Flag recent-crisis), and an offer made now is unlikely to help them. It is"
        " recorded; ask them when they would rather be asked again (deferredUntil; R59)."
    )
    return [advice(text, _OFFER)]


def _new_offers(case: Case, account: Resource) -> Iterator[Resource]:
    """The offers that were not there before, but for those that are put off to a later day."""
    known = {value_of(row, "offered") for row in extensions(case.before or {}, "phb-offer")}
    for row in extensions(account, "phb-offer"):
        until = first_day(value_of(row, "deferredUntil"))
        if value_of(row, "offered") not in known and (until is None or until <= case.today):
            yield dict(row)


def chosen_too_soon(case: Case, account: Resource) -> Asking[list[Issue]]:
    """A part that is newly held in some way, while the plan has no goal yet: nobody is rushed into a direct payment (R173)."""
    known = {(one.id, one.model) for one in elements_of(case.before or {})}
    if is_joint(account) or not {(one.id, one.model) for one in elements_of(account)} - known:
        return []
    key = plan_of(account)
    plan: Resource | None = (yield Read(key))[key] if key else None
    if keys_in((plan or {}).get("goal")):
        return []
    text = (
        "How the money is held is chosen here before it is written down what the person wants to achieve: the plan has no goal yet. It is recorded;"
        " there is no rush, and they may choose again once they know what the money is for (R173)."
    )
    return [advice(text, _PART)]


def coming_of_age(case: Case, account: Resource, at: str) -> Asking[list[Issue]]:
    """A person who turns 18 within twelve months, without a Coverage recorded that stands from then on."""
    person = person_of(account)
    patient: Resource | None = (yield Read(person))[person] if person else None
    born = first_day((patient or {}).get("birthDate"))
    adult = months_later(born, ADULT_FROM * _YEAR_MONTHS) if born is not None else case.today
    if not case.today < adult <= months_later(case.today, _YEAR_MONTHS):
        return []
    covers: list[Resource] = yield Find("Coverage", ("beneficiary", person))
    if any(
        one.get("status") == "active" and days_of(one.get("period")).covers(adult) and _is_for_adults(one)
        for one in covers
    ):
        return []
    text = (
        "The person turns 18 within twelve months, and no Coverage is recorded that goes on after that. Find out in time, with them, what"
        " ground for a budget there is then, and record it (R184)."
    )
    return [advice(text, at)]


def _is_for_adults(coverage: Resource) -> bool:
    category = categories().get(code_in(coverage.get("type"), ELIGIBILITY))
    return category is not None and (category.age_max is None or category.age_max >= ADULT_FROM)

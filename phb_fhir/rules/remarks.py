"""What is worth knowing when a budget is written or reviewed, and keeps nothing from being written (R59, R165, R173, R174, R184).

offered_in_a_crisis   an offer is unlikely to help shortly after a health crisis; asked later, it may
told_in_one_form      a leaflet alone is not enough: information comes in several forms
capacity_not_thought_of   whether the person can decide these things is thought of at the beginning
chosen_too_soon       how the money is held is chosen once it is known what it is for
agreed_for_other_days what was agreed for days that a part, or the budget, has no more, stays agreed
coming_of_age         who turns 18 within a year needs a ground that goes on after that
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import months_later
from phb_fhir.fhir.money import pence_of, sterling
from phb_fhir.outcome import Issue
from phb_fhir.rules.around import capacity_findings, flagged, told, turns
from phb_fhir.rules.budget import (
    OVER,
    Days,
    days_of,
    elements_of,
    first_day,
    is_joint,
    joint_of,
    person_of,
    plan_of,
    stage_of,
)
from phb_fhir.rules.case import Asking, Case, Find, Read, Sees, advice
from phb_fhir.rules.characteristics import CRITERION
from phb_fhir.rules.eligibility import categories
from phb_fhir.rules.plan_record import answers
from phb_fhir.rules.purchase import occurrence
from phb_fhir.rules.words import ELIGIBILITY, code_in, extensions, keys_in, value_of

ADULT_FROM = 18
_YEAR_MONTHS = 12
_TOLD_MAX = 3  # purchases that a remark names
_PART = "Account.extension.where(url.endsWith('phb-management-element'))"
_OFFER = "Account.extension.where(url.endsWith('phb-offer'))"


def remarked(case: Case) -> Asking[list[Issue]]:
    """What is to be said of a budget as it is written by somebody; nothing of one that is over."""
    account = case.after
    if account is None or case.is_own or stage_of(account) in OVER:
        return []
    issues = yield from offered_in_a_crisis(case, account)
    issues += yield from told_in_one_form(case, account)
    issues += yield from capacity_not_thought_of(case, account)
    issues += yield from chosen_too_soon(case, account)
    issues += yield from agreed_for_other_days(case, account)
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


def _comes_to(case: Case, account: Resource, stage: str) -> bool:
    """Whether somebody brings a budget to this stage now; a joint one goes by those it is made of."""
    return case.before is not None and stage_of(account) == stage != stage_of(case.before) and not is_joint(account)


def told_in_one_form(case: Case, account: Resource) -> Asking[list[Issue]]:
    """A budget that goes on to an amount, of which the person was told in one form alone, as far as that is recorded (R174)."""
    if not _comes_to(case, account, "indicative-set"):
        return []
    given = yield from told(person_of(account), "phb-information-given")
    forms = {form for one in given for medium in one.get("medium", ()) if (form := _form(medium))}
    keys = [f"Communication/{one['id']}" for one in given]
    seen: frozenset[str] = (yield Sees(*keys)) if keys and len(forms) <= 1 else frozenset()
    if not seen or not seen >= set(keys):
        return []  # several forms; or it is not theirs to hear of; or a Task says that the person was told
    how = f"only as '{min(forms)}'" if forms else "without a word about how"
    text = (
        f"That the person was told about budgets is recorded {how} (Communication.medium). A leaflet alone is not enough: tell them in another way as"
        " well, such as by talking it through (R174)."
    )
    return [advice(text, "Account")]


def _form(medium: Mapping[str, Any]) -> str:
    coded = next((one.get("display") or one.get("code") for one in medium.get("coding", ())), "")
    return str(medium.get("text") or coded or "")


def capacity_not_thought_of(case: Case, account: Resource) -> Asking[list[Issue]]:
    """A planning that begins before anybody wrote down whether the person can decide these things (R165); they are taken to be able to (R162)."""
    person = person_of(account)
    if not _comes_to(case, account, "planning") or not person or (yield from capacity_findings(person)):
        return []
    forms: list[Resource] = yield Find("QuestionnaireResponse", ("subject", person))
    if any(_CONSIDERED in answers(one) for one in forms if one.get("status") not in _NEVER_SAID):
        return []
    text = (
        "Nothing says that it was thought about whether the person may need somebody else to decide some of this with them, or for them. They are"
        " taken to be able to; ask now rather than later, and write it down (capacity-considered of Questionnaire/phb-plan-content; R165)."
    )
    return [advice(text, "Account")]


_CONSIDERED = "capacity-considered"
_NEVER_SAID = ("entered-in-error", "stopped")


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


def agreed_for_other_days(case: Case, account: Resource) -> Asking[list[Issue]]:
    """What is committed for days that a part, or the budget, had until this write: nobody has to find out by its bill."""
    issues = []
    for name, element, was, now in _on_other_days(case.before or {}, account):
        charges = yield from _agreed(case, account, element, was, now)
        if charges:
            told = ", ".join(f"ChargeItem/{one['id']}" for one in charges[:_TOLD_MAX])
            more = f" and {len(charges) - _TOLD_MAX} more" if len(charges) > _TOLD_MAX else ""
            pence = sum(pence_of(one.get("priceOverride")) or 0 for one in charges)
            text = (
                f"{name} is for the time {now}, and {sterling(pence)} is agreed for other days ({told}{more}). It stays agreed, and is paid for; take"
                " back what is not wanted any more."
            )
            issues.append(advice(text, _PART if element else "Account.servicePeriod"))
    return issues


def _on_other_days(before: Resource, after: Resource) -> Iterator[tuple[str, str, Days, Days]]:
    """The budget (""), or its parts by their ids, that are for other days now than they were."""
    was, now = days_of(before.get("servicePeriod")), days_of(after.get("servicePeriod"))
    if before and was != now:
        yield "The budget", "", was, now
    stood = {one.id: one.days for one in elements_of(before)}
    for one in elements_of(after):
        if one.id in stood and stood[one.id] != one.days:
            yield f"The part '{one.id}'", one.id, stood[one.id], one.days


def _agreed(case: Case, account: Resource, element: str, was: Days, now: Days) -> Asking[list[Resource]]:
    """What is committed for days before or after `now`, of which there are fewer than in `was`; as far as whoever writes may see it."""
    joint = joint_of(account)
    about = [("account", ",".join((case.key, *([joint] if joint else [])))), ("status", "billable")]
    about += [("element", element)] if element else []
    found: dict[str, Resource] = {}
    for sign, day, old in (("lt", now.start, was.start), ("gt", now.end, was.end)):
        if day is not None and day != old:
            later: list[Resource] = yield Find("ChargeItem", *about, ("occurrence", f"{sign}{day.isoformat()}"))
            found |= {f"ChargeItem/{one['id']}": one for one in later}
    seen: frozenset[str] = (yield Sees(*found)) if found else frozenset()
    return [found[key] for key in sorted(seen) if not _all_within(occurrence(found[key]), now)]


def _all_within(days: Days, runs: Days) -> bool:
    return all(day is None or runs.covers(day) for day in days)


def coming_of_age(case: Case, account: Resource, at: str) -> Asking[list[Issue]]:
    """A person who turns 18 within twelve months, without a Coverage recorded that stands from then on."""
    person = person_of(account)
    patient: Resource | None = (yield Read(person))[person] if person else None
    adult = turns(patient, ADULT_FROM)
    if adult is None or not case.today < adult <= months_later(case.today, _YEAR_MONTHS):
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

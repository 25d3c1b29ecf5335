"""What the record says around a care plan: goals, needs, forms, risks, team, budgets, reviews. Read in few questions, for who judges the plan.

read_plan      the PlanRecord of a plan as it is on a day
answers        what was answered in a form
amount_in      what a budget has for the time of the plan
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.rules.around import TEAM_ROLE, capacity_of, is_of, lacks
from phb_fhir.rules.budget import Days, amounts_of, days_of, is_joint, owner_of
from phb_fhir.rules.case import Asking, Find, Read
from phb_fhir.rules.deciding import answer_of, kind_of
from phb_fhir.rules.plan import budgets_for, key_of_plan
from phb_fhir.rules.words import BASE, ELIGIBILITY, TASK_CODE, code_in, key_of, keys_in

PLAN_CONTENT = f"{BASE}/Questionnaire/phb-plan-content"
RISK_SHEET = f"{BASE}/Questionnaire/phb-risk-sheet"
FORMS = frozenset((PLAN_CONTENT, RISK_SHEET))  # which the criteria look into

OTHER_FUNDERS = frozenset(("social-care-personal-budget", "ehcp-education"))  # of a joint budget, beside the NHS
_ORGANIZATION = f"{BASE}/CodeSystem/phb-organization-type"
_NHS = frozenset(("icb", "sub-icb-location", "ccg"))  # who commissions for the NHS
VALID = frozenset(("final", "amended", "corrected"))
FILLED_IN = frozenset(("completed", "amended"))


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """A plan with all that is known around it on a day. `found` are contents by key; None for what is not there.

    `offered` are those of its goals' descriptions that are titles in the directory.
    """

    plan: Resource
    day: date
    found: Mapping[str, Resource | None]
    records: Sequence[Resource] = ()
    risks: Sequence[Resource] = ()
    reviews: Sequence[Resource] = ()
    panels: Sequence[Resource] = ()
    budgets: Sequence[Resource] = ()
    capacity: Resource | None = None
    consents: Sequence[Resource] = ()
    offered: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        return key_of_plan(self.plan)

    @property
    def period(self) -> Days:
        return days_of(self.plan.get("period"))

    @property
    def with_money(self) -> list[Resource]:
        """The budgets that hold money themselves, which a joint one does not."""
        return [one for one in self.budgets if not is_joint(one)]

    def form(self, questionnaire: str) -> Resource | None:
        """The last form of a kind that was filled in."""
        filled = [one for one in self.records if _is_form(one, questionnaire) and one.get("status") in FILLED_IN]
        return max(filled, key=lambda one: str(one.get("authored", "")), default=None)

    def of(self, keys: Iterable[str]) -> list[Resource]:
        return [one for key in keys if (one := self.found.get(key)) is not None]

    def in_role(self, role: str) -> list[str]:
        """Who has a role in the team on the day (`PractitionerRole/1`)."""
        return [key for team in self.of(keys_in(self.plan.get("careTeam"))) for key in members(team, role, self.day)]


def members(team: Resource, role: str, day: date, system: str = TEAM_ROLE) -> Iterator[str]:
    """Who has a role in a team on a day."""
    if team.get("status", "active") != "active":
        return
    for one in team.get("participant", ()):
        roles = {code_in(each, system) for each in one.get("role", ())}
        if role in roles and days_of(one.get("period")).covers(day) and (key := key_of(one.get("member"))):
            yield key


def read_plan(plan: Resource, day: date) -> Asking[PlanRecord]:
    """All that the criteria look at."""
    key, person = key_of_plan(plan), key_of(plan.get("subject"))
    named = [key for name in ("supportingInfo", "goal", "addresses", "careTeam") for key in keys_in(plan.get(name))]
    found: dict[str, Resource | None] = dict((yield Read(*named)) if named else {})
    found = {key: one if _may_show(one, person) else None for key, one in found.items()}
    shown = [one for one in found.values() if one is not None]
    records: list[Resource] = yield Find("QuestionnaireResponse", ("based-on", key))
    risks: list[Resource] = yield Find("RiskAssessment", ("based-on", key))
    reviews: list[Resource] = yield Find("Task", ("based-on", key), ("code", f"{TASK_CODE}|phb-review"))
    budgets = yield from budgets_for(plan)
    capacity, consents = yield from _capacity(person)
    panels = yield from _panels(key, budgets)
    record = PlanRecord(
        plan,
        day,
        found,
        _each_once(shown, [one for one in records if _may_show(one, person)], "QuestionnaireResponse"),
        _each_once(shown, [one for one in risks if _may_show(one, person)], "RiskAssessment"),
        [one for one in _each_once(shown, reviews, "Task") if kind_of(one) == "phb-review"],
        panels,
        budgets,
        capacity,
        consents,
        (yield from _offered(found)),
    )
    return (yield from _with_people(record))


def _may_show(resource: Resource | None, person: str) -> bool:
    """Whether this can show something of the person's plan: not where it is somebody else's. Of goals, the criterion itself tells that."""
    found = resource or {}
    return found.get("resourceType") == "Goal" or is_of(found, person)


def _each_once(shown: Iterable[Resource], more: Iterable[Resource], type_: str) -> list[Resource]:
    found = {str(one.get("id")): one for one in (*shown, *more) if one.get("resourceType") == type_}
    return list(found.values())


def _offered(found: Mapping[str, Resource | None]) -> Asking[frozenset[str]]:
    """Which goals are called as something in the directory is (R102): goals are no services."""
    goals = [one for one in found.values() if one is not None and one["resourceType"] == "Goal"]
    named = {text for one in goals if (text := str((one.get("description") or {}).get("text") or ""))}
    if not named:
        return frozenset()
    wanted = ",".join(re.sub(r"([\\,|$])", r"\\\1", one) for one in sorted(named))  # escaped, R4 §3.1.1.4.0.1
    items: list[Resource] = yield Find("ChargeItemDefinition", ("title:exact", wanted))
    return frozenset(str(one.get("title")) for one in items) & named


def _capacity(person: str) -> Asking[tuple[Resource | None, list[Resource]]]:
    """The last finding on the person's capacity to agree to a plan, and where it is that they lack it, the consents that let others act for them."""
    last = (yield from capacity_of(person, "care-plan")) if person else None
    if not lacks(last):
        return last, []
    consents: list[Resource] = yield Find("Consent", ("patient", person), ("status", "active"))
    return last, consents


def _panels(plan: str, budgets: Sequence[Resource]) -> Asking[list[Resource]]:
    """What the panel decided about this plan, or a budget it serves."""
    focus = ",".join([plan, *(f"Account/{one.get('id')}" for one in budgets)])
    found: list[Resource] = yield Find("Task", ("focus", focus), ("code", f"{TASK_CODE}|risk-panel-referral"))
    return [one for one in found if answer_of(one) == "approved"]


def _with_people(record: PlanRecord) -> Asking[PlanRecord]:
    """The same with those whom the team names, the people behind their roles, what the budgets are covered by, and whose they are."""
    people = [*record.in_role("care-coordinator"), *record.in_role("health-contact")]
    covers = [key for one in record.budgets for key in coverages_of(one)]
    wanted = [*people, *covers, *(owner for one in record.budgets if (owner := owner_of(one)))]
    more: dict[str, Resource | None] = (yield Read(*wanted)) if wanted else {}
    behind = [key for one in more.values() if one is not None and (key := key_of(one.get("practitioner")))]
    names: dict[str, Resource | None] = (yield Read(*behind)) if behind else {}
    return replace(record, found={**record.found, **more, **names})


def coverages_of(account: Resource) -> list[str]:
    return [key for one in account.get("coverage", ()) if (key := key_of(one.get("coverage")))]


def _is_form(record: Resource, questionnaire: str) -> bool:
    return str(record.get("questionnaire", "")).partition("|")[0] == questionnaire


# ---- readings of a form --------------------------------------------------------------------------


def answers(record: Resource | None) -> dict[str, list[Any]]:
    """The answers in a form by their linkId, nested ones as well; nothing that is blank."""
    found: dict[str, list[Any]] = {}
    for item in _items(record or {}):
        values = [value for one in item.get("answer", ()) for name, value in one.items() if name.startswith("value")]
        if said := [value for value in values if not isinstance(value, str) or value.strip()]:
            found.setdefault(str(item.get("linkId")), []).extend(said)
    return found


def _items(element: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for item in element.get("item", ()):
        yield item
        yield from _items(item)
        for one in item.get("answer", ()):
            yield from _items(one)


# ---- its money -----------------------------------------------------------------------------------


def is_health(r: PlanRecord, account: Resource) -> bool:
    """Whether a budget is of the NHS's money, and not that of another funder of a joint budget: whatever it is covered by, where the NHS gives it."""
    kinds = {code_in(one.get("type"), ELIGIBILITY) for one in r.of(coverages_of(account))}
    givers = {code_in(kind, _ORGANIZATION) for one in r.of([owner_of(account)]) for kind in one.get("type", ())}
    return not kinds or bool(kinds - OTHER_FUNDERS) or bool(givers & _NHS)


def amount_in(r: PlanRecord, account: Resource, *types: str) -> int:
    """What a budget has for the time of the plan: pence."""
    return sum(row.worth for row in amounts_of(account, *types) if meets(row.days, r.period))


def meets(one: Days, other: Days) -> bool:
    """Whether two periods have a day in common."""
    starts_in_time = one.start is None or other.end is None or one.start <= other.end
    return starts_in_time and (one.end is None or other.start is None or other.start <= one.end)

"""Who may have a budget (C32E6, RULE-ELIG, R2, R3, R21, R50).

A Coverage of a category that the commissioner accepts is the ground; it must stand on the day, be the person's own, and fit their age.
A category that the law gives a right to needs nobody's leave. For `discretionary` the commissioner has decided this one case, in a Task.
Where a commissioner has criteria of its own for a category that is no right, they hold as well (`characteristics`).

`check_eligibility` says all of it for a person: each ground and why it does not stand, each criterion and why it failed. `eligible_by` is
the same of one budget: no budget without a ground.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any, NamedTuple

import orjson

from phb_fhir.data import data_path
from phb_fhir.fhir.codec import Resource
from phb_fhir.outcome import Issue
from phb_fhir.rules.around import age_on, has_died, is_decided, policy_of
from phb_fhir.rules.budget import days_of, in_words, person_of
from phb_fhir.rules.case import Asking, Find, Read, refusal
from phb_fhir.rules.characteristics import Criterion, evaluated
from phb_fhir.rules.commissioning import Policy
from phb_fhir.rules.words import BASE, BUSINESS_STATUS, ELIGIBILITY, TASK_CODE, code_in, key_of, keys_in

DISCRETIONARY = "discretionary"
EXCLUSION = f"{BASE}/CodeSystem/phb-dp-exclusion"
GROUP_KIND = f"{BASE}/CodeSystem/phb-group-kind"
_COVERAGE = "Account.coverage"


class Category(NamedTuple):
    """A row of CodeSystem phb-eligibility-category. Ages are in whole years, both included."""

    code: str
    display: str
    is_right: bool
    age_min: int | None
    age_max: int | None


@cache
def categories() -> Mapping[str, Category]:
    """The categories by their code, as the guide defines them."""
    system = orjson.loads((data_path("profiles") / "CodeSystem-phb-eligibility-category.json").read_bytes())
    return {row["code"]: _category(row) for row in system["concept"]}


def _category(row: Mapping[str, Any]) -> Category:
    found = {one["code"]: next(value for name, value in one.items() if name != "code") for one in row["property"]}
    return Category(row["code"], row["display"], found["legalRight"], found.get("minAge"), found.get("maxAge"))


@dataclass(frozen=True, slots=True)
class Ground:
    """A Coverage of a person, and what keeps it from being a ground: sentences, none where it stands."""

    category: Category | None
    coverage: str
    why_not: tuple[str, ...] = ()

    @property
    def stands(self) -> bool:
        return not self.why_not


@dataclass(frozen=True, slots=True)
class Eligibility:
    """What `check_eligibility` found. `barriers` keep the person from any budget."""

    grounds: tuple[Ground, ...]
    criteria: tuple[Criterion, ...]
    is_excluded: bool
    barriers: tuple[str, ...] = ()

    @property
    def is_eligible(self) -> bool:
        return not self.barriers and any(ground.stands for ground in self.grounds)

    @property
    def issues(self) -> tuple[Issue, ...]:
        """What stands in the way."""
        if self.is_eligible:
            return ()
        said = [refusal(text, "Patient") for text in self.barriers]
        said += [refusal(why, ground.coverage) for ground in self.grounds for why in ground.why_not]
        return tuple(said or [refusal(NO_GROUND, "Patient")])


NO_GROUND = (
    "Nothing is recorded that lets this person have a budget. Record the Coverage that does, or ask the commissioner to decide the case"
    " (Task eligibility-request)."
)


def check_eligibility(person: str, day: date) -> Asking[Eligibility]:
    """All that speaks for and against a budget for a person on a day."""
    patient: Resource | None = (yield Read(person))[person]
    found: list[Resource] = yield Find("Coverage", ("beneficiary", person))
    coverages = [one for one in found if code_in(one.get("type"), ELIGIBILITY)]
    grounds: list[Ground] = []
    for coverage in coverages:
        grounds += [(yield from _ground(coverage, person, patient, day))]
    payors = [key_of(payor) for coverage in coverages for payor in coverage.get("payor", ())]
    around = [*payors, key_of((patient or {}).get("managingOrganization"))]
    criteria = yield from _criteria(tuple(dict.fromkeys(key for key in around if key)), person, day)
    excluded = yield from exclusions(person, day)
    barriers = ("The person has died.",) if has_died(patient) else ()
    return Eligibility(tuple(grounds), criteria, bool(excluded), barriers)


def exclusions(person: str, day: date) -> Asking[list[str]]:
    """The codes for which the law excludes a person from direct payments on a day (DP-1): Flags with a code of phb-dp-exclusion."""
    flags: list[Resource] = yield Find("Flag", ("patient", person))
    standing = [one for one in flags if one.get("status") == "active" and days_of(one.get("period")).covers(day)]
    return [code for one in standing if (code := code_in(one.get("code"), EXCLUSION))]


def eligible_by(account: Resource, day: date) -> Asking[list[Issue]]:
    """Why none of the grounds that a budget names stands on a day; nothing where one does (R21, R66)."""
    person = person_of(account)
    keys = [key for row in account.get("coverage", ()) if (key := key_of(row.get("coverage")))]
    read: Mapping[str, Resource | None] = yield Read(person, *keys)
    if has_died(read.get(person)):
        return [refusal("The person has died: no budget begins, and one there is is closed.", "Account.subject")]
    issues: list[Issue] = []
    for key in keys:
        coverage = read[key]
        if coverage is None:
            issues.append(refusal(f"There is no {key}, which is named as the ground for this budget.", _COVERAGE))
            continue
        ground = yield from _ground(coverage, person, read.get(person), day)
        if ground.stands:
            return []
        issues += [refusal(why, _COVERAGE) for why in ground.why_not]
    return issues or [refusal("A budget names the Coverage that says why the person may have it.", _COVERAGE)]


def _ground(coverage: Resource, person: str, patient: Resource | None, day: date) -> Asking[Ground]:
    """One Coverage as a ground."""
    policy = yield from policy_of(next(iter(coverage.get("payor", ())), None))
    category = categories().get(code_in(coverage.get("type"), ELIGIBILITY))
    why = [*_why_not(coverage, category, person, patient, day, policy)]
    if category is not None and not why:
        why += yield from _undecided(category, coverage, person)
        if not category.is_right and (group := policy.criteria.get(category.code, "")):
            why += yield from _unmet(group, person, day)
    return Ground(category, f"Coverage/{coverage.get('id', '')}", tuple(why))


def _why_not(
    coverage: Resource, category: Category | None, person: str, patient: Resource | None, day: date, policy: Policy
) -> Iterator[str]:
    """What the Coverage itself, and the person's age, say against it."""
    if category is None:
        yield "The Coverage has no category of eligibility."
        return
    if key_of(coverage.get("beneficiary")) != person:
        yield f"The Coverage for {category.display} is another person's."
    if coverage.get("status") != "active":
        yield f"The Coverage for {category.display} is {coverage.get('status')}, not active."
    period = days_of(coverage.get("period"))
    if not period.covers(day):
        yield f"The Coverage for {category.display} holds {period}, not on {in_words(day)}."
    if not policy.accepts(category.code):
        yield f"The commissioner does not accept {category.display} as a ground ({policy.name})."
    yield from _age(category, age_on(patient, day))


def _age(category: Category, age: int | None) -> Iterator[str]:
    if age is None:
        if category.age_min is not None or category.age_max is not None:
            yield f"{category.display} depends on the age, and the person's date of birth is not known."
    elif category.age_min is not None and age < category.age_min:
        yield f"{category.display} is for people of {category.age_min} and older; the person is {age}."
    elif category.age_max is not None and age > category.age_max:
        yield f"{category.display} is for people of at most {category.age_max}; the person is {age}."


def _undecided(category: Category, coverage: Resource, person: str) -> Asking[list[str]]:
    """A case outside the groups is decided first, by the commissioner who pays (R3)."""
    if category.code != DISCRETIONARY:
        return []
    tasks: list[Resource] = yield Find("Task", ("code", f"{TASK_CODE}|eligibility-request"), ("patient", person))
    about = {"", f"Coverage/{coverage.get('id')}", person}
    approved = [one for one in tasks if is_decided(one, BUSINESS_STATUS, "approved")]
    theirs = yield from _by_who_pays(coverage, approved)
    foci = [key_of(one.get("focus")) for one in theirs]
    if about.intersection(foci) or (yield from _of_its_budget(coverage, foci)):
        return []
    text = "This case is for the commissioner to decide: a Task eligibility-request for this person must be completed, and approved."
    return [text if len(theirs) == len(approved) else f"{text} It is decided by who pays, and not by somebody else."]


def _by_who_pays(coverage: Resource, tasks: Sequence[Resource]) -> Asking[list[Resource]]:
    """Of these decisions, those whose owner is the Coverage's payor, or a role there; all, where no payor is named by a reference."""
    payors = set(keys_in(coverage.get("payor")))
    owners = [key_of(one.get("owner")) for one in tasks]
    roles = sorted({key for key in owners if key.startswith("PractitionerRole/")})
    found: Mapping[str, Resource | None] = (yield Read(*roles)) if payors and roles else {}
    behind = [{key, key_of((found.get(key) or {}).get("organization"))} for key in owners]
    return [one for one, names in zip(tasks, behind, strict=True) if not payors or names & payors]


def _of_its_budget(coverage: Resource, foci: Sequence[str]) -> Asking[bool]:
    """Whether one of these is a budget that rests on this Coverage, or on none yet: what was decided of another budget is another case."""
    keys = sorted({key for key in foci if key.startswith("Account/")})
    budgets: Mapping[str, Resource | None] = (yield Read(*keys)) if keys else {}
    grounds = [keys_in([row.get("coverage") for row in one.get("coverage", ())]) for one in budgets.values() if one]
    return any(not named or f"Coverage/{coverage.get('id')}" in named for named in grounds)


# ---- the commissioner's own criteria -------------------------------------------------------------


def _unmet(group: str, person: str, day: date) -> Asking[list[str]]:
    found: Resource | None = (yield Read(group))[group]
    if found is None:
        return [f"The commissioner's criteria ({group}) are not there."]
    judged = yield from evaluated(found, person, day)
    return [f"{one.name}: {one.why}" for one in judged if one.held is not True]


def _criteria(commissioners: Sequence[str], person: str, day: date) -> Asking[tuple[Criterion, ...]]:
    """Each criterion of each Group that these commissioners have, and whether it holds for the person."""
    said: list[Criterion] = []
    if commissioners:
        groups: list[Resource] = yield Find("Group", ("managing-entity", ",".join(commissioners)))
        for group in groups:
            if (
                code_in(group.get("code"), GROUP_KIND) == "criteria"
                and not group.get("actual")
                and group.get("active", True)
            ):
                said += yield from evaluated(group, person, day)
    return tuple(said)

"""What a commissioner asks of people, held against one person's record (Group of kind `criteria`; R21, R33).

Each characteristic has a code of phb-candidate-criterion; CHARACTERISTICS says how each is told from the record, and of which types it must know
something. Three answers are possible: it holds, it does not, or the record does not say. `exclude` turns the first two around.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import days_later
from phb_fhir.rules.around import age_on, flagged, participants
from phb_fhir.rules.budget import days_of, first_day, is_budget, stage_of
from phb_fhir.rules.case import Asking, Find, Read
from phb_fhir.rules.words import BASE, ELIGIBILITY, code_in, codings, extensions, key_of, keys_in, value_of

CRITERION = f"{BASE}/CodeSystem/phb-candidate-criterion"
EXCLUSION = f"{BASE}/CodeSystem/phb-dp-exclusion"
LEVEL = f"{BASE}/CodeSystem/phb-dst-level"
DOMAIN = f"{BASE}/CodeSystem/phb-dst-domain"
_ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_YEAR_DAYS = 365
_UNIT_DAYS = {"d": 1, "wk": 7, "mo": 30, "a": 365}


@dataclass(frozen=True, slots=True)
class Criterion:
    """One characteristic, judged. `held` is None where the record does not say. `group` is whose it is."""

    group: str
    code: str
    name: str
    held: bool | None
    why: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What the record has of a person on a day, by type."""

    person: str
    day: date
    patient: Resource
    records: Mapping[str, Sequence[Resource]] = field(default_factory=dict)

    def of(self, type_: str) -> Sequence[Resource]:
        return self.records.get(type_, ())


class Said(NamedTuple):
    held: bool | None
    why: str


UNKNOWN = Said(None, "the record does not say")


def evaluated(group: Resource, person: str, day: date) -> Asking[list[Criterion]]:
    """Each characteristic of a Group, and whether it holds for a person on a day."""
    rows = [(code_in(one.get("code"), CRITERION), one) for one in group.get("characteristic", ())]
    facts = yield from _facts(person, day, {type_ for code, _ in rows for type_ in _needs(code)})
    key = f"Group/{group.get('id', '')}"
    return [_judged(key, code, one, facts) for code, one in rows]


def _facts(person: str, day: date, types: set[str]) -> Asking[Facts]:
    patient: Resource | None = (yield Read(person))[person]
    records = {}
    for type_ in sorted(types):
        records[type_] = yield Find(type_, ("patient", person))
    return Facts(person, day, patient or {}, records)


def _judged(group: str, code: str, row: Mapping[str, Any], facts: Facts) -> Criterion:
    name = _name(row, code)
    known = CHARACTERISTICS.get(code)
    said = known.tell(facts, _value(row)) if known is not None else UNKNOWN
    if row.get("exclude") and said.held is not None:
        said = Said(not said.held, f"{said.why}; whom this holds for is left out")
    return Criterion(group, code, name, said.held, said.why)


def _name(row: Mapping[str, Any], code: str) -> str:
    concept = row.get("code") or {}
    return str(concept.get("text") or next((one.get("display") for one in concept.get("coding", ())), "") or code)


def _value(row: Mapping[str, Any]) -> Any:
    return next((value for name, value in row.items() if name.startswith("value")), None)


# ---- how each is told ----------------------------------------------------------------------------


def _age(facts: Facts, value: Any) -> Said:
    age = age_on(facts.patient, facts.day)
    return UNKNOWN if age is None else _within(age, value, f"the person is {age}")


def _within(count: int, value: Any, what: str) -> Said:
    low, high = _bound(value, "low"), _bound(value, "high")
    held = (low is None or low <= count) and (high is None or count <= high)
    asked = " and ".join(
        [*([f"at least {low}"] if low is not None else []), *([f"at most {high}"] if high is not None else [])]
    )
    return Said(held, f"{what}; {asked or 'anything'} is asked for")


def _bound(value: Any, name: str) -> Decimal | int | None:
    found = value.get(name, {}).get("value") if isinstance(value, dict) else None
    return found if isinstance(found, int | Decimal) and not isinstance(found, bool) else None


def _flag(*, has: bool, value: Any, yes: str, no: str) -> Said:
    return Said(has is (value is not False), yes if has else no)


def _covered(facts: Facts) -> Iterator[str]:
    """The categories of current Coverages."""
    current = (one for one in facts.of("Coverage") if one.get("status") == "active")
    for one in current:
        code = code_in(one.get("type"), ELIGIBILITY)
        if code and days_of(one.get("period")).covers(facts.day):
            yield code


def _category(facts: Facts, value: Any) -> Said:
    wanted, has = code_in(value, ELIGIBILITY), sorted(set(_covered(facts)))
    return Said(wanted in has, f"the person has {', '.join(has)}" if has else "the person has no current Coverage")


def _any_coverage(facts: Facts, value: Any) -> Said:
    has = any(_covered(facts))
    return _flag(has=has, value=value, yes="there is a current Coverage", no="there is no current Coverage")


def _with_category(code: str) -> Callable[[Facts, Any], Said]:
    def tell(facts: Facts, value: Any) -> Said:
        has = code in set(_covered(facts))
        return _flag(has=has, value=value, yes=f"a current Coverage says {code}", no=f"no current Coverage says {code}")

    return tell


def _has_budget(facts: Facts, value: Any) -> Said:
    has = any(is_budget(one) and stage_of(one) == "active" for one in facts.of("Account"))
    return _flag(has=has, value=value, yes="the person has an active budget", no="the person has no active budget")


def _declined(facts: Facts, value: Any) -> Said:
    span = _days(value)
    if span is None:
        return UNKNOWN
    days = [
        day
        for account in facts.of("Account")
        for offer in extensions(account, "phb-offer")
        if value_of(offer, "response") == "declined" and (day := first_day(value_of(offer, "offered")))
    ]
    lately = [day for day in days if day >= days_later(facts.day, -span)]
    return Said(bool(lately), "an offer was declined in that time" if lately else "no offer was declined in that time")


def _days(quantity: Any) -> int | None:
    found = quantity if isinstance(quantity, dict) else {}
    unit, count = _UNIT_DAYS.get(str(found.get("code", ""))), found.get("value")
    return int(count * unit) if unit and isinstance(count, int | Decimal) else None


def _conditions(facts: Facts) -> list[Resource]:
    return [one for one in facts.of("Condition") if _clinical(one) in ("active", "recurrence", "relapse", "")]


def _clinical(condition: Resource) -> str:
    return next((code for _, code in codings(condition.get("clinicalStatus"))), "")


def _condition(facts: Facts, value: Any) -> Said:
    wanted = set(codings(value))
    has = any(wanted & set(codings(one.get("code"))) for one in _conditions(facts))
    return Said(has, "the record has this condition" if has else "the record does not have this condition")


def _condition_count(facts: Facts, value: Any) -> Said:
    count = len(_conditions(facts))
    return _within(count, value, f"the record has {count} condition{'' if count == 1 else 's'}")


def levels_of(response: Resource) -> dict[str, str]:
    """The level of each domain in an assessment by the decision support tool, by the domain's link id; of several, the last."""
    return {domain: levels[-1] for domain, levels in levels_said(response).items()}


def levels_said(response: Resource) -> dict[str, list[str]]:
    """Every level that an assessment gives a domain, in the order in which they stand there."""
    found: dict[str, list[str]] = {}
    pending = list(reversed(response.get("item", ())))
    while pending:
        item = pending.pop()
        pending += reversed(item.get("item", ()))
        for answer in item.get("answer", ()):
            pending += reversed(answer.get("item", ()))
            coding = answer.get("valueCoding") or {}
            if coding.get("system") == LEVEL:
                found.setdefault(str(item.get("linkId")), []).append(str(coding.get("code")))
    return found


def _last_levels(facts: Facts) -> dict[str, str]:
    done = [one for one in facts.of("QuestionnaireResponse") if one.get("status") in ("completed", "amended")]
    assessments = [(str(one.get("authored", "")), levels) for one in done if (levels := levels_of(one))]
    return max(assessments, key=lambda pair: pair[0], default=("", dict[str, str]()))[1]


def _domain_level(facts: Facts, value: Any) -> Said:
    domain, level, levels = code_in(value, DOMAIN), code_in(value, LEVEL), _last_levels(facts)
    if not domain or not level or domain not in levels:
        return UNKNOWN
    return Said(levels[domain] == level, f"the last assessment says {levels[domain]} for {domain}")


def _grave_count(facts: Facts, value: Any) -> Said:
    levels = _last_levels(facts)
    count = sum(level in ("severe", "priority") for level in levels.values())
    return _within(count, value, f"{count} domains were severe or priority") if levels else UNKNOWN


def _admissions(facts: Facts, value: Any) -> Said:
    since = days_later(facts.day, -_YEAR_DAYS)
    starts = [
        first_day(one.get("period", {}).get("start"))
        for one in facts.of("Encounter")
        if one.get("class", {}).get("system") == _ACT_CODE and one.get("class", {}).get("code") in ("EMER", "NONAC")
    ]
    count = sum(start is not None and since <= start <= facts.day for start in starts)
    return _within(count, value, f"{count} emergency admissions in twelve months")


def _has_plan(facts: Facts, value: Any) -> Said:
    has = any(one.get("status") == "active" for one in facts.of("CarePlan"))
    return _flag(has=has, value=value, yes="there is an active care plan", no="there is no active care plan")


def _has_carer(facts: Facts, value: Any) -> Said:
    has = any("carer" in roles for _, roles in participants(facts.of("CareTeam"), facts.day))
    return _flag(has=has, value=value, yes="the care team names a carer", no="the care team names no carer")


def _practice(facts: Facts, value: Any) -> Said:
    has = key_of(value) in keys_in(facts.patient.get("generalPractitioner"))
    return Said(has, "it is the person's practice" if has else "it is not the person's practice")


def _place(facts: Facts, value: Any) -> Said:
    has = key_of(value) == key_of(facts.patient.get("managingOrganization"))
    return Said(has, "the person belongs there" if has else "the person does not belong there")


def _growing_up(facts: Facts, value: Any) -> Said:
    age = age_on(facts.patient, facts.day)
    said = f"the person is {age}"
    return UNKNOWN if age is None else _flag(has=age in (16, 17), value=value, yes=said, no=said)


def _excluded(facts: Facts, value: Any) -> Said:
    has = bool(flagged(facts.of("Flag"), EXCLUSION, facts.day))
    return _flag(has=has, value=value, yes="direct payments are excluded by law", no="nothing excludes direct payments")


def _crisis(facts: Facts, value: Any) -> Said:
    has = "recent-crisis" in flagged(facts.of("Flag"), CRITERION, facts.day)
    return _flag(has=has, value=value, yes="there was a health crisis lately", no="no crisis is flagged")


def _ethnic(facts: Facts, value: Any) -> Said:
    url = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-EthnicCategory"
    has = value_of(facts.patient, url)
    if has is None:
        return UNKNOWN
    held = bool(set(codings(value)) & set(codings(has)))
    return Said(held, "it is the person's ethnic category" if held else "it is not the person's ethnic category")


class Told(NamedTuple):
    """Of which types something must be known, and how it is told."""

    types: tuple[str, ...]
    tell: Callable[[Facts, Any], Said]


# what is not here is for a person to find out: home-care-package, weekly-package-cost, lives-alone, deprivation-decile
CHARACTERISTICS: Mapping[str, Told] = {
    "age": Told((), _age),
    "eligibility-category": Told(("Coverage",), _category),
    "active-coverage": Told(("Coverage",), _any_coverage),
    "has-active-phb": Told(("Account",), _has_budget),
    "condition": Told(("Condition",), _condition),
    "condition-count": Told(("Condition",), _condition_count),
    "dst-domain-level": Told(("QuestionnaireResponse",), _domain_level),
    "dst-severe-or-priority-count": Told(("QuestionnaireResponse",), _grave_count),
    "recent-crisis": Told(("Flag",), _crisis),
    "emergency-admissions-12m": Told(("Encounter",), _admissions),
    "care-plan-present": Told(("CarePlan",), _has_plan),
    "carer-present": Told(("CareTeam",), _has_carer),
    "registered-practice": Told((), _practice),
    "sub-icb-location": Told((), _place),
    "transition-16-18": Told((), _growing_up),
    "ethnic-category": Told((), _ethnic),
    "dp-excluded": Told(("Flag",), _excluded),
    "offer-declined-within": Told(("Account",), _declined),
    "wheelchair-service-accepted": Told(("Coverage",), _with_category("wheelchair")),
    "s117-status": Told(("Coverage",), _with_category("s117-aftercare")),
}


def _needs(code: str) -> tuple[str, ...]:
    known = CHARACTERISTICS.get(code)
    return known.types if known is not None else ()

"""Who and what is around a budget: its commissioner's policy, the person, the team, and how many days and months there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import days_later, months_later, span_of
from phb_fhir.rules.budget import days_of, first_day, last_day, person_of
from phb_fhir.rules.case import Asking, Case, Find, PolicyOf, Read, ReadVersion, Sees
from phb_fhir.rules.commissioning import Policy
from phb_fhir.rules.words import BASE, TASK_CODE, code_in, key_of, keys_in, pair_of, value_of

ODS = "https://fhir.nhs.uk/Id/ods-organization-code"
TEAM_ROLE = f"{BASE}/CodeSystem/phb-care-team-role"
OBSERVATION = f"{BASE}/CodeSystem/phb-observation-code"
DECISION = f"{BASE}/CodeSystem/phb-capacity-decision"
CAPACITY = f"{BASE}/CodeSystem/phb-capacity-status"
COMMUNICATION = f"{BASE}/CodeSystem/phb-communication-category"

CHILD_UNDER = 16  # for direct payments; for NHS Continuing Healthcare an adult is 18, as the categories say
PROFESSIONALS = ("Organization", "Practitioner", "PractitionerRole")
TOLD_DAYS = 28  # how long ago somebody was told at the most of what is done now
NEVER_MEANT = frozenset(("rejected", "cancelled", "failed", "entered-in-error"))


def policy_of(commissioner: Any) -> Asking[Policy]:
    """The policy of the organisation that a Reference is to."""
    code = yield from ods_of(commissioner)
    found: Policy = yield PolicyOf(code)
    return found


def ods_of(organization: Any) -> Asking[str]:
    """The ODS code of the organisation that a Reference is to; "" where nobody knows it."""
    code = _ods(organization.get("identifier")) if isinstance(organization, dict) else ""
    if code or not (key := key_of(organization)):
        return code
    found = (yield Read(key))[key]
    return next((code for each in (found or {}).get("identifier", ()) if (code := _ods(each))), "")


def _ods(identifier: Any) -> str:
    system, value = pair_of(identifier)
    return value if system == ODS else ""


def version_at(key: str, at: datetime) -> Asking[Resource | None]:
    """The version of a resource that was current at an instant: of those recorded by then, the last; None before there was any."""
    last, next_, then = 0, 1, None
    while (version := (yield from _recorded_by(key, next_, at))) is not None:
        last, next_, then = next_, 2 * next_, version
    while next_ - last > 1:
        middle = (last + next_) // 2
        if (version := (yield from _recorded_by(key, middle, at))) is None:
            next_ = middle
        else:
            last, then = middle, version
    return then


def _recorded_by(key: str, number: int, at: datetime) -> Asking[Resource | None]:
    version: Resource | None = yield ReadVersion(key, number)
    return version if version is not None and datetime.fromisoformat(version["meta"]["lastUpdated"]) <= at else None


# ---- those close to the person -------------------------------------------------------------------


def is_connected(person: Resource | None) -> bool:
    """Whether somebody close (a RelatedPerson) is recorded as living in the person's household (regulation 7(8); DP-5)."""
    return value_of(person or {}, "phb-connected-person") is True


def with_their_records(close: Iterable[Resource], person: str) -> Asking[list[Resource]]:
    """These RelatedPersons, and whatever else is recorded of the same human beings around a person: what one record says of them is so."""
    named = list(close)
    found: list[Resource] = (yield Find("RelatedPerson", ("patient", person))) if named and person else []
    keys = {one.get("id") for one in named}
    return named + [
        one for one in found if one.get("id") not in keys and any(is_same_human(one, each) for each in named)
    ]


def is_same_human(one: Resource, other: Resource) -> bool:
    """Whether two RelatedPersons of one person are of one human being: by a number that both have, else by name, unless born on other days."""
    numbers, others = _numbers(one), _numbers(other)
    if numbers & others:
        return True
    systems = {system for system, _ in numbers} & {system for system, _ in others}
    born = {day for each in (one, other) if (day := first_day(each.get("birthDate"))) is not None}
    return not systems and len(born) <= 1 and bool(_called(one) & _called(other))


def _numbers(person: Resource) -> set[tuple[str, str]]:
    return {pair for each in person.get("identifier", ()) if (pair := pair_of(each))[1]}


def _called(person: Resource) -> set[str]:
    """What somebody is called, first and last name, in one way of writing."""
    return {" ".join(said.split()).casefold() for name in person.get("name", ()) if (said := _full(name)).strip()}


def _full(name: Mapping[str, Any]) -> str:
    given, family = next(iter(name.get("given", ())), ""), name.get("family", "")
    return f"{given} {family}" if family else str(name.get("text") or given)


# ---- the person ----------------------------------------------------------------------------------


def age_on(patient: Resource | None, day: date) -> int | None:
    """Years of age on a day. Of a birth date without its day, or month, as if it were the first: the most they can be. None where it is not
    known.
    """
    born = first_day((patient or {}).get("birthDate"))
    if born is None:
        return None
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


def turns(patient: Resource | None, age: int) -> date | None:
    """The first day on which somebody is as old as that. Who was born on 29 February is so from 1 March, in a year without one."""
    born = first_day((patient or {}).get("birthDate"))
    if born is None:
        return None
    later = months_later(born, age * 12)
    return later if later.day == born.day else days_later(later, 1)


def has_died(patient: Resource | None) -> bool:
    found = patient or {}
    return bool(found.get("deceasedBoolean") or found.get("deceasedDateTime"))


def died_on(patient: Resource | None) -> date | None:
    """The day somebody died, where it is known."""
    return last_day((patient or {}).get("deceasedDateTime"))


def lacks_capacity(person: str, decision: str) -> Asking[bool]:
    """Whether the last record of the person's capacity for a decision says they lack it. Where nothing is recorded, they have it (R162)."""
    return lacks((yield from capacity_of(person, decision)))


def capacity_of(person: str, decision: str) -> Asking[Resource | None]:
    """The last finding on a person's capacity that is about a decision (of phb-capacity-decision), or does not say by a code which it is about
    (R162: a finding is about one decision); None where there is none.
    """
    findings = yield from capacity_findings(person)
    about = [one for one in findings if (codes := _decisions(one)) is None or decision in codes]
    return max(about, key=_when, default=None)


def capacity_findings(person: str) -> Asking[list[Resource]]:
    """What was found on a person's capacity, of whichever decision."""
    found: list[Resource] = yield Find("Observation", ("patient", person), ("code", f"{OBSERVATION}|mental-capacity"))
    return [one for one in found if one.get("status") in ("final", "amended", "corrected")]


def _decisions(finding: Resource) -> frozenset[str] | None:
    """The decisions that a finding on capacity names by codes; None where it names none."""
    told = [one for one in finding.get("component", ()) if code_in(one.get("code"), OBSERVATION) == "capacity-decision"]
    codes = frozenset(code for one in told if (code := code_in(one.get("valueCodeableConcept"), DECISION)))
    return codes or None


def lacks(capacity: Resource | None) -> bool:
    """Whether a finding says that somebody lacks capacity."""
    return code_in((capacity or {}).get("valueCodeableConcept"), CAPACITY) == "lacks-capacity"


def _when(observation: Resource) -> str:
    """The instant for which something was found, as a text that sorts where it does; of a time, its beginning."""
    said = observation.get("effectiveDateTime") or (observation.get("effectivePeriod") or {}).get("start")
    return span_of(said)[0] if said else ""


# ---- the team ------------------------------------------------------------------------------------


def teams_of(plan: Resource | None) -> Asking[list[Resource]]:
    """The care teams that a plan names, those that are there and around the same person."""
    keys, person = keys_in((plan or {}).get("careTeam")), key_of((plan or {}).get("subject"))
    found = (yield Read(*keys)) if keys else {}
    return [team for team in found.values() if team is not None and is_of(team, person)]


def coordinator_in(teams: Iterable[Resource], day: date) -> str:
    """Who is the care co-ordinator on a day (`PractitionerRole/1`); "" for nobody."""
    return next((who for who, roles in participants(teams, day) if "care-coordinator" in roles), "")


def participants(teams: Iterable[Resource], day: date) -> Iterator[tuple[str, frozenset[str]]]:
    """Who is in these teams on a day, and in which roles."""
    for team in teams:
        if team.get("status", "active") != "active":
            continue
        for one in team.get("participant", ()):
            who = key_of(one.get("member"))
            if who and days_of(one.get("period")).covers(day):
                yield who, frozenset(code for role in one.get("role", ()) if (code := code_in(role, TEAM_ROLE)))


def is_of(resource: Resource, person: str) -> bool:
    """Whether a resource is about this person, as far as it says about whom it is."""
    return key_of(resource.get("subject")) in ("", person)


# ---- budgets -------------------------------------------------------------------------------------


def names_of(budgets: Sequence[Resource]) -> Asking[list[str]]:
    """What budgets are called in a sentence; those that whoever asks may not see are not named."""
    keys = [f"Account/{one['id']}" for one in budgets]
    seen: frozenset[str] = (yield Sees(*keys)) if keys else frozenset()
    return [
        str(one.get("name") or key) if key in seen else "Another budget" for key, one in zip(keys, budgets, strict=True)
    ]


# ---- what was said and decided -------------------------------------------------------------------


def told(person: str, category: str) -> Asking[list[Resource]]:
    """The messages of a category that went to a person, or to who acts for them."""
    found: list[Resource] = yield Find(
        "Communication", ("patient", person), ("category", f"{COMMUNICATION}|{category}")
    )
    return [one for one in found if one.get("status") == "completed" and one.get("sent") and _reaches(one, person)]


def _reaches(message: Mapping[str, Any], person: str) -> bool:
    """Whether a message goes to the person or somebody close to them; one that names nobody goes to whom it is about."""
    recipients = {*keys_in(message.get("recipient"))}
    return not recipients or person in recipients or any(key.startswith("RelatedPerson/") for key in recipients)


def says_something(message: Mapping[str, Any]) -> bool:
    """Whether a message has reasons in it: words, an attachment, or a code."""
    parts = message.get("payload") or ()
    said = (str(one.get("contentString", "")).strip() or one.keys() - {"contentString"} for one in parts)
    return bool(message.get("reasonCode")) or any(said)


def told_lately(case: Case) -> Asking[bool]:
    """Whether the person was told why, in writing, of what is done now with this budget."""
    after = case.after or case.before or {}
    notices = yield from told(person_of(after), "decision-notice")
    since = days_later(case.today, -TOLD_DAYS)
    sent = [one for one in notices if case.key in keys_in(one.get("about")) and says_something(one)]
    return any((day := first_day(one.get("sent"))) is not None and since <= day <= case.today for one in sent)


def tasks_about(code: str, *keys: str) -> Asking[list[Resource]]:
    """The tasks of a kind whose focus is any of these, but for those that came to nothing."""
    focus = ",".join(key for key in keys if key)
    found: list[Resource] = (yield Find("Task", ("code", f"{TASK_CODE}|{code}"), ("focus", focus))) if focus else []
    return [one for one in found if one.get("status") not in NEVER_MEANT]


def is_of_professional(task: Mapping[str, Any]) -> bool:
    """Whether a professional or their organisation asked for it."""
    return key_of(task.get("requester")).partition("/")[0] in PROFESSIONALS


def is_decided(task: Mapping[str, Any], system: str, *answers: str) -> bool:
    """Whether a task was completed with one of these answers."""
    return task.get("status") == "completed" and code_in(task.get("businessStatus"), system) in answers


def says_why(task: Mapping[str, Any]) -> bool:
    reason = task.get("statusReason") or {}
    return bool(reason.get("text") or reason.get("coding"))


# ---- time ----------------------------------------------------------------------------------------


def flagged(flags: Iterable[Resource], system: str, day: date) -> frozenset[str]:
    """The codes of a system that active Flags have on a day."""
    standing = (one for one in flags if one.get("status") == "active" and days_of(one.get("period")).covers(day))
    return frozenset(code for one in standing if (code := code_in(one.get("code"), system)))

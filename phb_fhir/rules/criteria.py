"""The nine criteria that a plan is signed off by (R93 to R95, R97, R101 to R106, R109), each held against the record.

    check_criteria  nine Results, in the order of CRITERIA: what shows each, and what is missing
    check_sign_off  the same, of a plan whose record is yet to be read

What a criterion asks may stand in any style: the answers of the form `phb-plan-content` may be whole sentences, or the place in a document
where they stand ("page 3 of my plan"); that is the index that R97 asks of a plan in free form. Missing is what keeps a plan from being
signed off; notes tell of threads that are broken without that (R94).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.money import pence_of, sterling
from phb_fhir.rules.around import OBSERVATION, lacks
from phb_fhir.rules.budget import days_of, elements_of, person_of
from phb_fhir.rules.case import Asking
from phb_fhir.rules.plan import activities_of, activity_title
from phb_fhir.rules.plan_record import (
    PLAN_CONTENT,
    RISK_SHEET,
    VALID,
    PlanRecord,
    amount_in,
    answers,
    is_health,
    meets,
    read_plan,
)
from phb_fhir.rules.words import BASE, code_in, extensions, key_of, keys_in, value_of

CONSENT_KIND = f"{BASE}/CodeSystem/phb-consent-kind"
LEGAL_BASIS = f"{BASE}/CodeSystem/phb-legal-basis"
RISK = "http://terminology.hl7.org/CodeSystem/risk-probability"

ACCEPTABLE = frozenset(("negligible", "low", "moderate"))  # a risk that remains high goes to the panel (R116)
_SMALL = frozenset(("negligible", "low"))  # beyond which those who agree to a risk share it (R115)
SPEAKS_FOR = frozenset(  # on which legal bases somebody speaks for a person who lacks capacity
    (
        "parental-responsibility",
        "best-interest",
        "health-and-welfare-lasting-power-of-attorney",
        "court-appointed-personal-welfare-deputy",
    )
)
CODES = (
    "who-the-person-is",
    "working-and-not-working",
    "important-to-and-for",
    "risks-and-contingency",
    "outcomes",
    "money",
    "action-plan",
    "care-coordinator",
    "monitoring-and-review",
)
OPEN_REVIEW = frozenset(("ready", "requested", "received", "accepted", "in-progress", "on-hold"))
_NO_GOAL = frozenset(("rejected", "cancelled", "entered-in-error"))
NO_RISK = frozenset(("cancelled", "entered-in-error"))
_PAID_BY_BUDGET = ("", "personal-health-budget")
_PAID_BY_OTHERS = ("local-authority", "education")


class Result(NamedTuple):
    """What a criterion came to. `evidence` are references to what shows it."""

    code: str
    evidence: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_met(self) -> bool:
        return not self.missing


def _unanswered(record: PlanRecord, **questions: str) -> Iterator[str]:
    """A sentence for each of these questions of the plan's form that has no answer."""
    form = record.form(PLAN_CONTENT)
    said = answers(form)
    for name, words in questions.items():
        if name.replace("_", "-") not in said:
            yield f"The plan does not say {words}."


def _shown_by(*resources: Resource | None) -> tuple[str, ...]:
    return tuple(f"{one['resourceType']}/{one['id']}" for one in resources if one is not None)


# ---- the nine ------------------------------------------------------------------------------------


def who_the_person_is(r: PlanRecord) -> Result:
    """R93.1: the person, and where they lack capacity how that was found and who speaks for them."""
    form = r.form(PLAN_CONTENT)
    missing = [
        *_unanswered(
            r,
            about_me="who the person is",
            strengths="what the person is good at",
            social_context="who and what is in the person's life",
        )
    ]
    needs = r.of(keys_in(r.plan.get("addresses")))
    if "health-needs" not in answers(form) and not needs:
        missing.append("The plan does not say what the person needs for their health.")
    speakers = [one for one in r.consents if _speaks_for(one, r.day)]
    if r.capacity is not None and lacks(r.capacity):
        missing += _capacity_is_told(r.capacity)
        if not speakers:
            missing.append(
                "The person lacks capacity, and nobody speaks for them by law: an active Consent is needed that names a "
                "RelatedPerson and the legal basis they act on."
            )
    else:
        speakers = []
    shown = _shown_by(form, *needs, r.capacity, *speakers)
    return Result("who-the-person-is", shown, tuple(missing))


def _capacity_is_told(capacity: Resource) -> Iterator[str]:
    told = {code_in(one.get("code"), OBSERVATION) for one in capacity.get("component", ())}
    if not {"capacity-decision", "capacity-basis"} <= told or not capacity.get("performer"):
        yield "The person lacks capacity, and the record of it does not say for which decision, by whom it was found, and what it rests on."


def _speaks_for(consent: Resource, day: date) -> bool:
    provision = consent.get("provision") or {}
    people = [key_of(one.get("reference")) for one in provision.get("actor", ())]
    return (
        any(code_in(one, CONSENT_KIND) == "delegate" for one in consent.get("category", ()))
        and code_in(consent.get("policyRule"), LEGAL_BASIS) in SPEAKS_FOR
        and any(key.startswith("RelatedPerson/") for key in people)
        and days_of(provision.get("period")).covers(day)
    )


def working_and_not_working(r: PlanRecord) -> Result:
    """R93.2: as the person sees it."""
    form = r.form(PLAN_CONTENT)
    missing = [*_unanswered(r, working="what is working", not_working="what is not working")]
    source = key_of((form or {}).get("source"))
    if form is not None and source.partition("/")[0] not in ("Patient", "RelatedPerson"):
        missing.append(
            "What is working and not working is told by the person, or by who speaks for them (source of the form)."
        )
    return Result("working-and-not-working", _shown_by(form), tuple(missing))


def important_to_and_for(r: PlanRecord) -> Result:
    """R93.3."""
    missing = _unanswered(
        r, important_to="what is important to the person", important_for="what is important for the person's health"
    )
    return Result("important-to-and-for", _shown_by(r.form(PLAN_CONTENT)), tuple(missing))


def risks_and_contingency(r: PlanRecord) -> Result:
    """R93.4, R104, R110 to R115: each risk has an answer, and what remains is acceptable, or the panel agreed to it."""
    sheet = r.form(RISK_SHEET)
    risks = [one for one in r.risks if one.get("status") not in NO_RISK]
    missing = [sentence for one in risks for sentence in _risk(one, has_panel=bool(r.panels))]
    if not risks and answers(sheet).get("no-risks") != [True]:
        missing.append("The plan has no risk that was looked at, and the risk sheet does not say that there is none.")
    missing += _unanswered(r, contingency="what to do when things go wrong")
    contacts = r.in_role("health-contact")
    reached = [key for key in contacts if (r.found.get(key) or {}).get("telecom")]
    if not contacts:
        missing.append("The team has nobody to call in health services (role health-contact).")
    elif not reached:
        missing.append("The contact in health services has no telephone number or other way to be reached.")
    shown = (*_shown_by(*risks, sheet, r.form(PLAN_CONTENT), *r.panels), *reached)
    notes = (*_worries(sheet), *(_unshared(sheet) if any(_remains(one) not in _SMALL for one in risks) else ()))
    return Result("risks-and-contingency", shown, (*missing, *_sheet(sheet)), notes)


def _risk(risk: Resource, *, has_panel: bool) -> Iterator[str]:
    name = (risk.get("code") or {}).get("text") or f"RiskAssessment/{risk.get('id')}"
    if risk.get("status") not in VALID:
        yield f"The risk “{name}” has not been assessed to the end."
        return
    if not risk.get("prediction"):
        yield f"The risk “{name}” does not say what might happen."
    if not risk.get("mitigation"):
        yield f"The risk “{name}” does not say what is done about it."
    residual = _remains(risk)
    if residual not in ACCEPTABLE and not has_panel:
        what = f"is {residual}" if residual else "is not told"
        yield f"What remains of the risk “{name}” {what}. It must be moderate or less, or the risk enablement panel must have agreed to it."


def _remains(risk: Resource) -> str:
    """What remains of a risk, as a code; "" where that is not told."""
    return code_in(value_of(risk, "phb-residual-risk"), RISK)


def _sheet(sheet: Resource | None) -> Iterator[str]:
    """R113, R114: what the prompts of the risk sheet bring up is dealt with."""
    said = answers(sheet)
    if said.get("harm-abuse") == [True] and "harm-abuse-detail" not in said:
        yield "The risk sheet says that there could be harm or abuse, and not what the worry is or who has been told."
    if said.get("employs-assistant") == [True] and "pa-support" not in said:
        yield "The risk sheet does not say what support there is for employing a personal assistant."


def _worries(sheet: Resource | None) -> Iterator[str]:
    """R111 to R113: which prompts of a risk sheet nobody answered, and what a yes asks for besides."""
    said = answers(sheet)
    for name, words in _PROMPTS.items() if sheet is not None else ():
        if name not in said:
            yield f"The risk sheet does not say {words}."
    if said.get("harm-abuse") == [True]:
        yield "The risk sheet says that there could be harm or abuse: tell the safeguarding team, if nobody has (Task safeguarding-referral)."


def _unshared(sheet: Resource | None) -> Iterator[str]:
    """R115: what was decided together about the risks, who does what, and who bears what remains."""
    said = answers(sheet)
    left_out = [words for name, words in _SHARED.items() if name not in said]
    if left_out:
        yield f"The risk sheet does not say {', '.join(left_out)}: where something risky is agreed, write down the decision that was shared."


_SHARED = {
    "decision": "what was decided together",
    "course-of-action": "what was agreed to do",
    "roles": "who does what from now on",
    "risk-sharing": "how the risk is shared",
}
_PROMPTS = {
    "worried": "whether the person or their clinician is worried about anything",
    "past": "whether anything has happened that might happen again",
    "harm-abuse": "whether there could be harm or abuse",
}


def outcomes(r: PlanRecord) -> Result:
    """R93.5, R102, R103, R109: what the person wants to achieve, and what is done for each of it."""
    keys = keys_in(r.plan.get("goal"))
    goals = {key: one for key in keys if (one := r.found.get(key)) and one.get("lifecycleStatus") not in _NO_GOAL}
    missing = [] if goals else ["The plan has no goal."]
    missing += [f"{key} is not there." for key in keys if r.found.get(key) is None]
    served = {key for one in activities_of(r.plan) for key in goals_of(one)}
    for key, goal in goals.items():
        if key not in served:
            missing.append(f"Nothing in the plan is done for the goal “{_goal(goal)}”.")
        if key_of(goal.get("subject")) != key_of(r.plan.get("subject")):
            missing.append(f"The goal “{_goal(goal)}” is that of somebody else.")
    return Result("outcomes", tuple(goals), tuple(missing), tuple(_threads(r, goals)))


def goals_of(activity: Mapping[str, Any]) -> list[str]:
    return keys_in((activity.get("detail") or {}).get("goal"))


def _threads(r: PlanRecord, goals: Mapping[str, Resource]) -> Iterator[str]:
    """R94: from needs to goals to what is done; where the thread breaks without keeping the plan from being signed off."""
    needs = keys_in(r.plan.get("addresses"))
    addressed = {key for goal in goals.values() for key in keys_in(goal.get("addresses"))}
    for key in needs:
        if goals and key not in addressed:
            yield f"No goal says that it answers the need {_need(r, key)}."
    for goal in goals.values():
        if not keys_in(goal.get("addresses")):
            yield f"The goal “{_goal(goal)}” does not say which need it answers."
        if key_of(goal.get("expressedBy")).partition("/")[0] not in ("Patient", "RelatedPerson"):
            yield f"The goal “{_goal(goal)}” is not in the words of the person, or of who speaks for them."
        if _goal(goal) in r.offered or _goal(goal).casefold() in {
            _activity(one).casefold() for one in activities_of(r.plan)
        }:
            yield f"The goal “{_goal(goal)}” names a service. Goals are what will be better, be kept, or be avoided by it."
        yield from _unagreed(goal, among=len(goals))
    for one in activities_of(r.plan):
        if one.get("detail") and not goals_of(one):
            yield f"The activity “{_activity(one)}” does not say which goal it serves."


def _unagreed(goal: Resource, *, among: int) -> Iterator[str]:
    """R103: what matters most, the person and the professional agree on; of a single goal there is no order."""
    if goal.get("lifecycleStatus") == "proposed":
        yield f"The goal “{_goal(goal)}” is only proposed: say that both agreed to it (lifecycleStatus)."
    if among > 1 and not goal.get("priority"):
        yield f"The goal “{_goal(goal)}” does not say how much it matters beside the others (priority)."


def _goal(goal: Resource) -> str:
    return str((goal.get("description") or {}).get("text") or f"Goal/{goal.get('id')}")


def _need(r: PlanRecord, key: str) -> str:
    code = (r.found.get(key) or {}).get("code") or {}
    shown = code.get("text") or next((one["display"] for one in code.get("coding", ()) if one.get("display")), "")
    return f"“{shown}”" if shown else key


def _activity(activity: Mapping[str, Any]) -> str:
    return activity_title(activity) or str(activity.get("id", "without a name"))


def money(r: PlanRecord) -> Result:
    """R93.6, R58, R62: who holds the money, what it pays for, and that it is enough."""
    if not r.budgets:
        return Result("money", (), ("No budget goes with this plan: link it to one (phb-care-plan of the Account).",))
    ours = [one for one in r.with_money if is_health(r, one)]
    others = [one for one in r.with_money if not is_health(r, one)]
    missing = [sentence for one in r.with_money for sentence in _is_held(r, one)]
    missing += [
        f"{one.get('name') or 'A budget'} is that of somebody else." for one in r.budgets if _is_anothers(r, one)
    ]
    missing += _uncosted(r)
    missing += _enough(r, ours, _PAID_BY_BUDGET, "the budget")
    if others:
        missing += _enough(r, others, _PAID_BY_OTHERS, "the other funders' part")
    return Result("money", tuple(f"Account/{one['id']}" for one in r.budgets), tuple(missing))


def _is_anothers(r: PlanRecord, account: Resource) -> bool:
    return person_of(account) != key_of(r.plan.get("subject"))


def _is_held(r: PlanRecord, account: Resource) -> Iterator[str]:
    name = account.get("name") or "The budget"
    approved = amount_in(r, account, "approved")
    held = sum(one.pence for one in elements_of(account) if meets(one.days, r.period))
    if not approved:
        yield f"{name} has no approved amount for the time of the plan."
    elif held < approved:
        yield (
            f"{name} says who holds {sterling(held)} of the approved {sterling(approved)}. "
            f"Say how the other {sterling(approved - held)} is held (phb-management-element)."
        )


def _uncosted(r: PlanRecord) -> Iterator[str]:
    for one in activities_of(r.plan):
        if value_of(one, "phb-activity-funding") == "personal-health-budget" and _cost(one) is None:
            yield f"The activity “{_activity(one)}” is paid for by the budget, and does not say what it costs."


def _cost(activity: Mapping[str, Any]) -> int | None:
    return pence_of(value_of(activity, "phb-activity-cost"))


def _enough(r: PlanRecord, budgets: Sequence[Resource], fundings: Sequence[str], whose: str) -> Iterator[str]:
    paid = [one for one in activities_of(r.plan) if (value_of(one, "phb-activity-funding") or "") in fundings]
    costs = sum(_cost(one) or 0 for one in paid)
    has = sum(amount_in(r, one, "approved", "contingency") for one in budgets)
    if costs > has:
        yield f"What the plan pays for from {whose} comes to {sterling(costs)}; there is {sterling(has)}, {sterling(costs - has)} too little."


def action_plan(r: PlanRecord) -> Result:
    """R93.7, R106: who does what, and when."""
    meant = activities_of(r.plan)
    missing = [] if meant else ["The plan has nothing that anybody does (activity)."]
    missing += [sentence for one in meant if not one.get("reference") for sentence in _who_what_when(one)]
    return Result("action-plan", (r.key,) if meant else (), tuple(missing))


def _who_what_when(activity: Mapping[str, Any]) -> Iterator[str]:
    detail, name = activity.get("detail") or {}, _activity(activity)
    if not (detail.get("description") or detail.get("code")):
        yield f"The activity “{name}” does not say what is done."
    if not detail.get("performer"):
        yield f"The activity “{name}” does not say who does it."
    if not any(part.startswith("scheduled") for part in detail):
        yield f"The activity “{name}” does not say when."


def care_coordinator(r: PlanRecord) -> Result:
    """R93.8, R157, R161: somebody with a name."""
    keys = r.in_role("care-coordinator")
    named = [key for key in keys if _has_name(r, key)]
    if not keys:
        missing = "The plan's team has no care co-ordinator."
    elif not named:
        missing = f"{keys[0]} is the care co-ordinator, and the record does not have their name."
    else:
        missing = ""
    shown = (*_shown_by(*r.of(keys_in(r.plan.get("careTeam")))), *named)
    return Result("care-coordinator", shown, (missing,) if missing else ())


def _has_name(r: PlanRecord, key: str) -> bool:
    found = r.found.get(key) or {}
    person = r.found.get(key_of(found.get("practitioner"))) or (found if key.startswith("Practitioner/") else {})
    return any(name.get("text") or name.get("family") or name.get("given") for name in person.get("name", ()))


def monitoring_and_review(r: PlanRecord) -> Result:
    """R93.9, R147, R149: how it is looked at, when, and how people will know."""
    missing = [
        *_unanswered(
            r,
            monitoring_how="how and when outcomes and money are looked at",
            signs_going_well="how people will know that it is going well",
            signs_going_wrong="how people will know that it is going wrong",
        )
    ]
    reviews = [one for one in r.reviews if one.get("status") in OPEN_REVIEW and _due(one)]
    scheduled = [one for one in r.budgets if _schedule(one)]
    if not reviews and not scheduled:
        missing.append(
            "No review has a date: plan one (a Task phb-review about this plan, or phb-review-schedule of the budget)."
        )
    shown = _shown_by(r.form(PLAN_CONTENT), *reviews, *scheduled)
    return Result("monitoring-and-review", shown, tuple(missing))


def _due(task: Resource) -> Any:
    return ((task.get("restriction") or {}).get("period") or {}).get("end")


def _schedule(account: Resource) -> Any:
    rows = extensions(account, "phb-review-schedule")
    return next((day for row in rows for name in ("next", "first") if (day := value_of(row, name))), None)


CRITERIA: Sequence[Callable[[PlanRecord], Result]] = (
    who_the_person_is,
    working_and_not_working,
    important_to_and_for,
    risks_and_contingency,
    outcomes,
    money,
    action_plan,
    care_coordinator,
    monitoring_and_review,
)


def check_criteria(record: PlanRecord) -> list[Result]:
    """The nine, in their order."""
    return [criterion(record) for criterion in CRITERIA]


def check_sign_off(plan: Resource, day: date) -> Asking[list[Result]]:
    """What each of the nine criteria comes to for a plan, as it is on a day."""
    record = yield from read_plan(plan, day)
    return check_criteria(record)

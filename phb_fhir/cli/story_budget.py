"""Steps that every story of a budget takes: an Account is what it was, with what is known by then."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from phb_fhir.cli.teller import Resource, Teller, coded, money, url

# what a budget has from which stage on; the rest of the paper comes with it
_FROM: dict[str, str] = {
    "phb-care-plan": "planning",
    "phb-offer": "planning",
    "phb-management-element": "sign-off-pending",
    "phb-bank-account": "active",
    "phb-monitoring-terms": "active",
    "phb-payment-schedule": "active",
    "phb-review-schedule": "sign-off-pending",
    "phb-joint-share": "never",
    "phb-amendment-reason": "never",
}
_AMOUNT_FROM = {"indicative": "never", "approved": "sign-off-pending", "contingency": "sign-off-pending"}
STAGES = (
    "requested",
    "eligibility-confirmed",
    "indicative-set",
    "planning",
    "sign-off-pending",
    "authorised",
    "active",
)


def at(teller: Teller, key: str, stage: str, *, without: Collection[str] = ()) -> Resource:
    """The budget's paper as it is at a stage."""
    paper = teller.paper(key)
    kept = [one for one in paper["extension"] if _is_there(one, stage, without)]
    for one in kept:
        if one["url"] == url("phb-lifecycle-status"):
            one["valueCode"] = stage
    made = {**paper, "extension": kept, "status": "active" if stage == "active" else "on-hold"}
    made.pop("partOf", None)
    if stage == "requested":
        made.pop("coverage", None)
    return made


def _is_there(one: Resource, stage: str, without: Collection[str]) -> bool:
    name = one["url"].rpartition("/")[2]
    if name in without:
        return False
    since = _FROM.get(name, "requested")
    if name == "phb-budget-amount":
        since = _AMOUNT_FROM.get(_part(one, "type"), "never")
    return since in STAGES and STAGES.index(since) <= STAGES.index(stage)


def _part(row: Resource, name: str) -> Any:
    found: Resource = next((part for part in row["extension"] if part["url"] == name), {})
    return next((value for key, value in found.items() if key != "url"), None)


def brought_to(teller: Teller, key: str, there: Resource, stage: str) -> Resource:
    """What is stored, at the next stage, with what the paper has by then. What was worked out meanwhile stays."""
    made = at(teller, key, stage)
    worked_out = [one for one in there["extension"] if is_indicative(one)]
    known: Resource = {name: there[name] for name in ("id", "meta", "partOf") if name in there}
    return {**made, **known, "extension": [*made["extension"], *worked_out]}


def is_indicative(one: Resource) -> bool:
    """Whether a row of a budget is the amount that it began with."""
    return bool(one["url"] == url("phb-budget-amount") and _part(one, "type") == "indicative")


def with_stage(account: Resource, stage: str) -> Resource:
    """What is stored, at another stage and otherwise as it is."""
    rows = [
        {**one, "valueCode": stage} if one["url"] == url("phb-lifecycle-status") else one
        for one in account["extension"]
    ]
    return {**account, "extension": rows, "status": "active" if stage == "active" else "on-hold"}


def review_record(who: str, today: str, said: dict[str, str]) -> Resource:
    """What was said at a review: of outcomes and of money."""
    return {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": "https://fhir.phb.nhs.example/Questionnaire/phb-review|0.1.0",
        "status": "completed",
        "subject": {"reference": who},
        "authored": today,
        "item": [{"linkId": link, "answer": [{"valueString": text}]} for link, text in said.items()],
    }


def finished(task: Resource, today: str, outcome: str, record: str) -> Resource:
    """A review that is over, with its record and what was decided."""
    output = [
        {"type": coded("phb-task-parameter", "record"), "valueReference": {"reference": record}},
        {
            "type": coded("phb-task-parameter", "review-outcome"),
            "valueCodeableConcept": coded("phb-review-outcome", outcome),
        },
    ]
    period = {"start": today, "end": today}
    return {**task, "status": "completed", "executionPeriod": period, "output": output}


def reached(goal: Resource, today: str, how: str = "in-progress") -> Resource:
    """A goal, with whether it is reached."""
    system = "http://terminology.hl7.org/CodeSystem/goal-achievement"
    return {**goal, "achievementStatus": {"coding": [{"system": system, "code": how}]}, "statusDate": today}


def with_amount(row: Resource, name: str, pounds: str, *, until: str = "") -> Resource:
    """A row of money, or a part, with another amount, where it is the one of this type or id (that runs until this day)."""
    parts = {part["url"]: part for part in row.get("extension", ())}
    if name not in (parts.get("type", {}).get("valueCode"), parts.get("id", {}).get("valueId")):
        return row
    if until and parts["period"]["valuePeriod"].get("end") != until:
        return row
    return {
        **row,
        "extension": [
            {**one, "valueMoney": money(pounds)} if one["url"] == "amount" else one for one in row["extension"]
        ],
    }


def with_amendment(account: Resource, day: str, reason: str, review: str) -> Resource:
    """The budget with why its money changed."""
    parts = [
        {"url": "date", "valueDate": day},
        {"url": "reason", "valueString": reason},
        {"url": "review", "valueReference": {"reference": review}},
    ]
    row = {"url": url("phb-amendment-reason"), "extension": parts}
    return {**account, "extension": [*account["extension"], row]}

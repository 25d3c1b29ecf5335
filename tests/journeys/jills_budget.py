"""Jill's budget before it began: the people and papers of her story, with which the journeys of a budget take each step themselves."""

from __future__ import annotations

import copy
from typing import Any

import httpx

from tests.builders import bundle_of
from tests.fresh import write_down
from tests.stories import story

Resource = dict[str, Any]

PHB = "https://fhir.phb.nhs.example"
BUDGET = "Account/jill-budget"
STAGES = (
    "requested",
    "eligibility-confirmed",
    "indicative-set",
    "planning",
    "sign-off-pending",
    "authorised",
    "active",
)
STATUS = {
    "active": "active",
    "closed": "inactive",
    "declined-by-person": "inactive",
    "refused": "inactive",
    "not-eligible": "inactive",
    "entered-in-error": "entered-in-error",
}
# what comes with the budget, or after it
_LATER = (
    "ChargeItem",
    "PaymentReconciliation",
    "Account",
    "Provenance",
    "Task/jill-sign-off",
    "Task/jill-step-6-first-review",
    "Task/jill-unusual-request",
)
_MONEY = {"approved", "contingency"}


def around(*without: str, **changed: Any) -> list[Resource]:
    """Everybody and everything around the budget while its plan is a draft, without what is named (`Coverage/jill-…`).

    `changed` maps a type to a function of each resource of it.
    """
    gone = {*without, *_LATER}
    found = [one for one in story() if not gone & {one["resourceType"], key(one)}]
    found = [{**one, "status": "draft"} if one["resourceType"] == "CarePlan" else one for one in found]
    return [changed[one["resourceType"]](one) if one["resourceType"] in changed else one for one in found]


def whole(*without: str) -> list[Resource]:
    """Everybody and everything around the budget once its plan is signed off."""
    signed = signed_off()
    return [
        one for one in around(*without, "CarePlan/jill-plan") if key(one) not in {key(two) for two in signed}
    ] + signed


def signed_off() -> list[Resource]:
    """The plan, active, with its sign-off."""
    return [one for one in story() if key(one) in ("CarePlan/jill-plan", "Task/jill-sign-off")]


def key(resource: Resource) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def url(name: str) -> str:
    return f"{PHB}/StructureDefinition/{name}"


def budget(stage: str = "active", *without: str, **more: Any) -> Resource:
    """Jill's budget at a stage, without these extensions. Before it is authorised it has no approved money, and no parts."""
    (found,) = (one for one in story() if key(one) == BUDGET)
    made = copy.deepcopy(found)
    kept = [one for one in made["extension"] if one["url"] not in {url(name) for name in without}]
    if stage in STAGES[:5]:
        kept = [one for one in kept if not _is_money(one)]
    for one in kept:
        if one["url"] == url("phb-lifecycle-status"):
            one["valueCode"] = stage
    return {**made, "extension": kept, "status": STATUS.get(stage, "on-hold"), **more}


def _is_money(row: Resource) -> bool:
    if row["url"] == url("phb-management-element"):
        return True
    parts = {part["url"]: part for part in row.get("extension", ())}
    return row["url"] == url("phb-budget-amount") and parts["type"]["valueCode"] in _MONEY


def rows(account: Resource, name: str) -> list[Resource]:
    """The extensions of this name."""
    return [one for one in account["extension"] if one["url"] == url(name)]


def at_stage(account: Resource, stage: str) -> Resource:
    """A budget that was read, at another stage of those in which it has money."""
    (row,) = rows(account, "phb-lifecycle-status")
    row["valueCode"] = stage
    return {**account, "status": STATUS.get(stage, "on-hold")}


def with_rows(account: Resource, name: str, *made: Resource) -> Resource:
    """The budget with these extensions of the name, and no others."""
    others = [one for one in account["extension"] if one["url"] != url(name)]
    return {**account, "extension": [*others, *({"url": url(name), "extension": one} for one in made)]}


def offer(response: str, by: str = "Patient/jill", day: str = "2026-07-14") -> list[Resource]:
    return [
        {"url": "offered", "valueDate": day},
        {"url": "response", "valueCode": response},
        {"url": "respondedBy", "valueReference": {"reference": by}},
    ]


def reason(review: str, day: str = "2026-12-31", text: str = "Her needs have changed.") -> list[Resource]:
    """A row of phb-amendment-reason."""
    return [
        {"url": "date", "valueDate": day},
        {"url": "reason", "valueString": text},
        {"url": "review", "valueReference": {"reference": review}},
    ]


def task(id_: str, code: str, **more: Any) -> Resource:
    """A Task about Jill's budget that the co-ordinator owns."""
    return {
        "resourceType": "Task",
        "id": id_,
        "status": "requested",
        "intent": "order",
        "code": coded("phb-task-code", code),
        "description": "As agreed with Jill.",
        "focus": {"reference": BUDGET},
        "for": {"reference": "Patient/jill"},
        "authoredOn": "2026-11-20T09:00:00Z",
        "lastModified": "2026-11-20T09:00:00Z",
        "requester": {"reference": "PractitionerRole/priya-nair-coordinator"},
        "owner": {"reference": "PractitionerRole/priya-nair-coordinator"},
        **more,
    }


def decided(id_: str, code: str, answer: str = "approved", **more: Any) -> Resource:
    return task(id_, code, status="completed", businessStatus=coded("phb-task-business-status", answer), **more)


def review(id_: str = "review", purpose: str = "on-request", **more: Any) -> Resource:
    return task(
        id_,
        "phb-review",
        **{
            "basedOn": [{"reference": "CarePlan/jill-plan"}],
            "reasonCode": coded("phb-review-type", purpose),
            "status": "in-progress",
            **more,
        },
    )


def finished(task_: Resource, outcome: str = "change-budget", record: str = "review-record") -> Resource:
    """A review that is over: it took place today, and says what it decided."""
    return {
        **task_,
        "status": "completed",
        "executionPeriod": {"start": "2026-11-22", "end": "2026-11-22"},
        "output": [
            {
                "type": coded("phb-task-parameter", "record"),
                "valueReference": {"reference": f"QuestionnaireResponse/{record}"},
            },
            {
                "type": coded("phb-task-parameter", "review-outcome"),
                "valueCodeableConcept": coded("phb-review-outcome", outcome),
            },
        ],
    }


def record(id_: str = "review-record", *without: str) -> Resource:
    """What was said at a review, without the sections that are named."""
    said = {"outcomes": "She swims every week.", "money": "As planned."}
    return {
        "resourceType": "QuestionnaireResponse",
        "id": id_,
        "questionnaire": f"{PHB}/Questionnaire/phb-review|0.1.0",
        "status": "completed" if not without else "in-progress",
        "subject": {"reference": "Patient/jill"},
        "authored": "2026-11-22T09:00:00Z",
        "item": [
            {"linkId": link, "answer": [{"valueString": text}]} for link, text in said.items() if link not in without
        ],
    }


def looked_at_goals(day: str = "2026-11-22") -> list[Resource]:
    """Jill's goals, each with whether it is reached, as a review finds them."""
    achieved = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/goal-achievement", "code": "in-progress"}]}
    return [
        {**one, "achievementStatus": achieved, "statusDate": day} for one in story() if one["resourceType"] == "Goal"
    ]


def notice(sent: str, id_: str = "notice", **more: Any) -> Resource:
    """A decision about the budget, told in writing."""
    return {
        "resourceType": "Communication",
        "id": id_,
        "status": "completed",
        "category": [coded("phb-communication-category", "decision-notice")],
        "subject": {"reference": "Patient/jill"},
        "about": [{"reference": BUDGET}],
        "sent": sent,
        "recipient": [{"reference": "Patient/jill"}],
        "payload": [
            {"contentString": "The overnight care is no longer needed. You can ask for this to be looked at again."}
        ],
        **more,
    }


def coded(system: str, code: str) -> Resource:
    return {"coding": [{"system": f"{PHB}/CodeSystem/{system}", "code": code}]}


def put(api: httpx.Client, *resources: Resource) -> httpx.Response:
    """Write these together."""
    return api.post("", json=bundle_of(list(resources)))


def begin(api: httpx.Client, *without: str, **changed: Any) -> None:
    write_down(api, around(*without, **changed))


def come_to(api: httpx.Client, stage: str) -> Resource:
    """The budget, brought to a stage step by step, from where it stands."""
    there = api.get(f"/{BUDGET}")
    begun = STAGES.index(stands(there.json())[0]) + 1 if there.status_code == 200 else 0
    ahead = STAGES[begun : STAGES.index(stage) + 1]
    write_down(api, *([*(signed_off() if one == "authorised" else ()), budget(one)] for one in ahead))
    return read(api, BUDGET)


def read(api: httpx.Client, key_: str) -> Resource:
    answer = api.get(f"/{key_}")
    assert answer.status_code == 200, answer.text
    found: Resource = answer.json()
    return found


def stands(account: Resource) -> tuple[str, str]:
    """The stage and the status of a budget."""
    (row,) = rows(account, "phb-lifecycle-status")
    return row["valueCode"], account["status"]


def refused(answer: httpx.Response) -> list[str]:
    """All the reasons of a refusal by rule."""
    assert answer.status_code == 422, answer.text
    assert {issue["code"] for issue in answer.json()["issue"]} == {"business-rule"}, answer.text
    return [issue["diagnostics"] for issue in answer.json()["issue"]]


def found(api: httpx.Client, search: str) -> list[Resource]:
    answer = api.get(search)
    assert answer.status_code == 200, answer.text
    return [one["resource"] for one in answer.json().get("entry", ())]

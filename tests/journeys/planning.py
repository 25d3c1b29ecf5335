"""Jill's story up to the day her plan is signed off, and the steps from there: for the journeys of C32E4."""

from __future__ import annotations

import copy
from typing import Any

import httpx

from tests.fresh import write_down
from tests.journeys.jills_budget import read
from tests.stories import story

BASE = "https://fhir.phb.nhs.example"
TASK_CODE = f"{BASE}/CodeSystem/phb-task-code"
PARAMETER = f"{BASE}/CodeSystem/phb-task-parameter"
BUSINESS = f"{BASE}/CodeSystem/phb-task-business-status"
CRITERION = f"{BASE}/CodeSystem/phb-signoff-criterion"
REASON = f"{BASE}/CodeSystem/phb-refusal-reason"
LIFECYCLE = f"{BASE}/StructureDefinition/phb-lifecycle-status"
CARE_PLAN = f"{BASE}/StructureDefinition/phb-care-plan"
PRIYA = "PractitionerRole/priya-nair-coordinator"

CRITERIA = (
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
_LATER = ("ChargeItem", "PaymentReconciliation", "Invoice", "Provenance")
Resource = dict[str, Any]


def planned(name: str = "jill") -> dict[str, Resource]:
    """Everything of Jill's, by key, as it was on the day before the sign-off: the plan a draft, the budget waiting for it.

    With another name, of somebody like her.
    """
    told = story(name="" if name == "jill" else name)
    found = {f"{one['resourceType']}/{one['id']}": one for one in told if one["resourceType"] not in _LATER}
    del found[f"Task/{name}-unusual-request"]
    plan, budget, task = found[f"CarePlan/{name}-plan"], found[f"Account/{name}-budget"], found[f"Task/{name}-sign-off"]
    plan["status"] = "draft"
    set_stage(budget, "sign-off-pending", "on-hold")
    for given_later in ("businessStatus", "executionPeriod", "output"):
        del task[given_later]
    task["status"] = "requested"
    return found


def set_stage(budget: Resource, stage: str, status: str) -> None:
    budget["status"] = status
    next(one for one in budget["extension"] if one["url"] == LIFECYCLE)["valueCode"] = stage


def record(api: httpx.Client, resources: dict[str, Resource]) -> None:
    write_down(api, resources.values())


def put(api: httpx.Client, resource: Resource) -> httpx.Response:
    return api.put(f"/{resource['resourceType']}/{resource['id']}", json=resource)


def changed(api: httpx.Client, key: str, **more: Any) -> httpx.Response:
    return put(api, {**read(api, key), **more})


def stage(api: httpx.Client, key: str = "Account/jill-budget") -> str:
    return value(read(api, key), LIFECYCLE)


def plan_linked(api: httpx.Client, key: str = "Account/jill-budget") -> str:
    return value(read(api, key), CARE_PLAN)["reference"]


def value(resource: Resource, url: str) -> Any:
    (found,) = [one for one in resource["extension"] if one["url"] == url]
    return next(content for name, content in found.items() if name.startswith("value"))


def parameters(**values: Any) -> Resource:
    rows = [
        {"name": name, f"value{type_}": one}
        for name, (type_, content) in values.items()
        for one in (content if isinstance(content, list) else [content])
    ]
    return {"resourceType": "Parameters", "parameter": rows}


def sign_off(api: httpx.Client, plan: str = "jill-plan", authoriser: str = PRIYA, **more: Any) -> httpx.Response:
    asked = {"authoriser": ("Reference", {"reference": authoriser}), "personPresent": ("Boolean", True), **more}
    return api.post(f"/CarePlan/{plan}/$sign-off", json=parameters(**asked))


def coded(system: str, *codes: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code} for code in codes]}


def approved(task: Resource, **more: Any) -> Resource:
    """The Task as whoever decides completes it by hand."""
    answers = [{"type": coded(CRITERION, code), "valueBoolean": True} for code in CRITERIA]
    there = {"type": coded(PARAMETER, "person-present"), "valueBoolean": True}
    made = {"status": "completed", "businessStatus": coded(BUSINESS, "approved"), "output": [*answers, there], **more}
    return {**copy.deepcopy(task), **made}


def letters(api: httpx.Client) -> list[Resource]:
    """The decisions that Jill was told of in writing, oldest first."""
    category = f"{BASE}/CodeSystem/phb-communication-category|decision-notice"
    found = api.get("/Communication", params={"patient": "jill", "category": category, "_sort": "sent"}).json()
    return [row["resource"] for row in found.get("entry", [])]


def said_in(letter: Resource) -> str:
    return " ".join(one["contentString"] for one in letter["payload"])


def diet() -> Resource:
    """Another care plan of Jill's, which no budget pays for."""
    plan = planned()["CarePlan/jill-plan"]
    del plan["meta"]
    return {**plan, "id": "diet", "category": plan["category"][:1]}


def amended(api: httpx.Client, **more: Any) -> Resource:
    """The draft of a plan that replaces Jill's: the same, but that there is massage every week, which costs £1,170.00 more."""
    plan = copy.deepcopy(read(api, "CarePlan/jill-plan"))
    for name in ("versionId", "lastUpdated"):
        del plan["meta"][name]
    massage = next(one for one in plan["activity"] if one["id"] == "massage")
    massage["extension"][1]["valueMoney"]["value"] = 2340.00
    massage["detail"]["description"] = "One hour every week, 52 in the year, at £45.00."
    replaces = [{"reference": "CarePlan/jill-plan"}]
    return {**plan, "id": "jill-plan-2", "status": "draft", "title": "Jill's second plan", "replaces": replaces, **more}

"""PHB resources as somebody sends them who does not say so: taken from the examples, without `meta.profile`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from phb_fhir.data import data_path

GUIDE = "https://fhir.phb.nhs.example/StructureDefinition"
BUDGET_NUMBER = "https://fhir.phb.nhs.example/Id/phb-budget-number"
HOSPITAL_NUMBER = "https://fhir.st-elsewhere.example/Id/account"

# leaving this out breaks the profile, and not R4
ASKED_FOR = {"Account": "owner", "ChargeItem": "enterer", "CarePlan": "title", "Task": "for"}


def _requested(budget: dict[str, Any]) -> dict[str, Any]:
    stage = {"url": f"{GUIDE}/phb-lifecycle-status", "valueCode": "requested"}
    return {**budget, "status": "on-hold", "extension": [stage]}


def _asked(task: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in task.items() if name not in ("businessStatus", "output", "executionPeriod")}
    return {**kept, "status": "requested"}


# each at a point at which the rules of the domain ask for nothing beside it: these tests are about profiles
EARLY: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "Account-jill-budget": _requested,
    "CarePlan-jill-plan": lambda plan: {**plan, "status": "draft"},
    "Task-jill-sign-off": _asked,
    "ChargeItem-jill-swimming-2026-10": lambda charge: {**charge, "status": "aborted"},
}


def example(name: str, *without: str, **more: Any) -> dict[str, Any]:
    """An example of Jill's without its id, its claims, and what is named."""
    found = json.loads((data_path("examples") / "jill" / f"{name}.json").read_bytes())
    found = EARLY.get(name, dict)(found)
    return {**{key: value for key, value in found.items() if key not in ("id", "meta", *without)}, **more}


def phb_budget(*without: str, number: str = "B-1", **more: Any) -> dict[str, Any]:
    """An Account of a PHB type: a budget that was asked for, which needs nothing beside it."""
    stage = {"url": f"{GUIDE}/phb-lifecycle-status", "valueCode": "requested"}
    asked = {"status": "on-hold", "extension": [stage], "identifier": [{"system": BUDGET_NUMBER, "value": number}]}
    return example("Account-jill-budget", "coverage", *without, **{**asked, **more})


def hospital_account(number: str = "H-1", **more: Any) -> dict[str, Any]:
    """An Account that is nobody's personal health budget."""
    kind = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PBILLACCT"}
    return {
        "resourceType": "Account",
        "identifier": [{"system": HOSPITAL_NUMBER, "value": number}],
        "status": "active",
        "type": {"coding": [kind]},
        **more,
    }


def charged(account: dict[str, Any] | None, *without: str, **more: Any) -> dict[str, Any]:
    """A purchase, charged to what `account` (a Reference) points to."""
    accounts = {} if account is None else {"account": [account]}
    return {**example("ChargeItem-jill-swimming-2026-10", "account", *without), **accounts, **more}


def to(reference: str) -> dict[str, Any]:
    return {"reference": reference}


def by_number(system: str, value: str) -> dict[str, Any]:
    """A logical reference: by an identifier alone."""
    return {"type": "Account", "identifier": {"system": system, "value": value}}

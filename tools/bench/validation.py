"""Full validation beside the structural check of `fhir.resources`: the same resources, in one process, by CPU time.

Ours is everything a write is held against: structure, bindings, invariants, the profiles of `profiles/` by what the resource is
and by what it claims. Theirs is `model_validate` of the R4B model, which knows types, cardinalities and formats. Both are
given the resource as it is decoded; decoding is in neither.
"""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

from fhir.resources.R4B import get_fhir_model_class

from phb_fhir.data import data_path
from phb_fhir.definitions.guide import read_guide
from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.fhir.codec import Resource, dumps, loads
from phb_fhir.validation.validate import validate
from tools.bench.load import BenchFailed
from tools.bench.rounds import Comparison, measure_in_turn

GOAL = 0.5  # of their rate: full validation in no more than twice the time of the structural check alone
BUNDLE_BYTES = 1_000_000
ACTIVITIES = 10
EXAMPLES = (
    "Account-jill-budget",
    "CarePlan-jill-plan",
    "ChargeItem-jill-swimming-2026-10",
    "Task-jill-sign-off",
    "Patient-jill",
)


def compare_validation(rounds: int, seconds: float) -> Iterator[Comparison]:
    """One comparison for each resource. Raises BenchFailed when one of them is not valid: refusing may be quicker."""
    guide = read_guide(data_path("profiles"))
    known = Registry.of(load(), guide.resources)
    gc.collect()
    gc.freeze()  # as the server does once it has started
    for name, resource in _resources():
        model = get_fhir_model_class(resource["resourceType"])
        if any(issue.is_error for issue in validate(resource, known.definitions, known=known)):
            raise BenchFailed(f"{name} is not valid; the comparison is about resources that are.")
        rates = measure_in_turn(
            _rate(lambda it=resource: validate(it, known.definitions, known=known), seconds),  # type: ignore[misc]
            _rate(lambda it=resource, of=model: of.model_validate(it), seconds),  # type: ignore[misc]
            rounds=rounds,
        )
        yield Comparison(f"validation, {name}", "fhir.resources", GOAL, rates)


def _rate(work: Callable[[], Any], seconds: float) -> Callable[[], float]:
    """How many times a second of CPU time `work` can be done."""

    def measure() -> float:
        begun, spent, count = time.process_time(), 0.0, 0
        while spent < seconds:
            work()
            count += 1
            spent = time.process_time() - begun
        return count / spent

    return measure


def _resources() -> Iterator[tuple[str, Resource]]:
    made = {name: _example(name) for name in EXAMPLES}
    plan = made["CarePlan-jill-plan"]
    plan["activity"] = list(itertools.islice(itertools.cycle(plan["activity"]), ACTIVITIES))
    for name, resource in made.items():
        number = f" with {ACTIVITIES} activities" if resource is plan else ""
        yield f"{name.partition('-')[0]}{number}, {len(dumps(resource)) / 1000:.1f} KB", resource
    yield f"Bundle of {BUNDLE_BYTES / 1_000_000:.0f} MB", _bundle(list(made.values()))


def _bundle(resources: list[Resource]) -> Resource:
    """A collection of them all, again and again, each time with an id of its own."""
    entries: list[dict[str, Any]] = []
    size = 0
    for number, resource in zip(itertools.count(1), itertools.cycle(resources)):
        if size >= BUNDLE_BYTES:
            break
        text = dumps({**resource, "id": f"{resource['id']}-{number}"})
        again = loads(text, depth_max=64)  # nothing is shared, as nothing is in what was received
        url = f"https://example.org/fhir/{again['resourceType']}/{again['id']}"
        entries.append({"fullUrl": url, "resource": again})
        size += len(text)
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def _example(name: str) -> Resource:
    made: Resource = loads((data_path("examples") / "jill" / f"{name}.json").read_bytes(), depth_max=64)
    return made

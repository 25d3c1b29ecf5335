"""Many people's records, made of real-looking ones: the synthetic patients of `../shared/conformance/synthea` for the person, their
care plan and observations, and Jill's from `examples/` for the budget, the purchases and the tasks.

Person `n` is copied from source `n` modulo the number of sources, with ids, NHS number, family name and days of their own: the
times of observations are spread over ten years, so that every month has its share of any population. Family names come from a
pool of fixed size, as they do among people: of a larger population more are called the same.

A copy is made of the text, because a million of them are made.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from phb_fhir.data import data_path
from phb_fhir.fhir.codec import dumps, loads

Resource = dict[str, Any]

SOURCES = Path(__file__).parents[2].parent / "shared" / "conformance" / "synthea" / "transactions.ndjson.gz"
NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
REFERENCE = "https://fhir.phb.nhs.example/Id/phb-purchase-reference"
OBSERVATIONS_EACH = 5
BOUGHT = ("jill-counselling-2026-11-26", "jill-gardening-tools", "jill-massage-2026-10-09", "jill-swimming-2026-10")
TASKS = ("jill-request", "jill-step-1-information")
FAMILY_NAMES = 500
FIRST_DAY = datetime(2010, 1, 1, tzinfo=UTC)
DAYS = 3_650
WRITTEN = datetime(2026, 11, 22, 9, tzinfo=UTC)
_DEPTH_MAX = 100
# what stands in a template where something of the person's own comes
_PERSON, _NHS_NUMBER, _FAMILY, _AT = "{person}", "{nhs}", "{family}", "{at}"


class Copy(NamedTuple):
    type: str
    id: str
    json: str


def copies_of(number: int) -> Iterator[Copy]:
    """The resources of one person, about fourteen, with ids `p7`, `p7-1`, `p7-2`, …"""
    sources = _sources()
    own = {_PERSON: f"p{number}", _NHS_NUMBER: identifier_of(number), _FAMILY: family_of(number)}
    for index, template in enumerate(sources[number % len(sources)]):
        text = template.json.replace(_AT, time_of(number, index))
        for place, name in own.items():
            text = text.replace(place, name)
        yield Copy(template.type, template.id.replace(_PERSON, own[_PERSON]), text)


def identifier_of(number: int) -> str:
    """The NHS number of a person: made up, without a check digit's meaning."""
    return f"9{number:09d}"


def family_of(number: int) -> str:
    return f"Family{number * 7919 % FAMILY_NAMES:03d}"


def time_of(number: int, index: int) -> str:
    """When the observation that is a person's resource `index` was made."""
    return (FIRST_DAY + timedelta(days=(number * 37 + index * 731) % DAYS, minutes=number % 1440)).isoformat()


@cache
def _sources() -> list[list[Copy]]:
    with gzip.open(SOURCES) as lines:
        return [_of_one([entry["resource"] for entry in loads(line, depth_max=_DEPTH_MAX)["entry"]]) for line in lines]


def _of_one(record: list[Resource]) -> list[Copy]:
    """What is copied of one record, with ids and references between the copies marked as the person's own."""
    patient, plans, seen = ([one for one in record if one["resourceType"] == name] for name in _COPIED)
    jill = [_example("Account-jill-budget"), *(_example(f"ChargeItem-{name}") for name in BOUGHT)]
    observations = seen[:: max(1, len(seen) // OBSERVATIONS_EACH)][:OBSERVATIONS_EACH]
    chosen = [*patient, *jill, *(_example(f"Task-{name}") for name in TASKS), *plans[:1], *observations]
    names = {f"urn:uuid:{patient[0]['id']}": f"Patient/{_PERSON}", "Patient/jill": f"Patient/{_PERSON}"}
    names["Account/jill-budget"] = f"Account/{_PERSON}-1"
    return [_template(_replaced(one, names), index) for index, one in enumerate(chosen)]


_COPIED = ("Patient", "CarePlan", "Observation")


def _template(resource: Resource, index: int) -> Copy:
    resource["id"] = f"{_PERSON}-{index}" if index else _PERSON
    resource["meta"] = {**resource.get("meta", {}), "versionId": "1", "lastUpdated": WRITTEN.isoformat()}
    match resource["resourceType"]:
        case "Patient":
            resource["identifier"] = [{"system": NHS_NUMBER, "value": _NHS_NUMBER}]
            resource["name"] = [{**resource["name"][0], "family": _FAMILY}]
        case "Observation":
            resource |= {"effectiveDateTime": _AT, "issued": _AT}
        case "ChargeItem" | "Task":
            resource["identifier"] = [{"system": REFERENCE, "value": resource["id"]}]
    return Copy(resource["resourceType"], resource["id"], dumps(resource).decode())


def _example(name: str) -> Resource:
    made: Resource = loads((data_path("examples") / "jill" / f"{name}.json").read_bytes(), depth_max=_DEPTH_MAX)
    return made


def _replaced(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, list):
        return [_replaced(item, names) for item in value]
    return {key: _replaced(item, names) for key, item in value.items()} if isinstance(value, dict) else value

"""fhirpy, as its users use it. What it needed is in docs/clients.md."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fhirpy import AsyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome, ResourceNotFound

SYSTEM = "https://fhir.nhs.uk/Id/nhs-number"


def client_for(api: httpx.Client, **headers: str) -> AsyncFHIRClient:
    return AsyncFHIRClient(str(api.base_url).rstrip("/"), extra_headers=headers)


def test_a_record_is_saved_found_changed_and_deleted(api: httpx.Client) -> None:
    async def journey() -> None:
        client = client_for(api)
        person = client.resource(
            "Patient", name=[{"family": "Marsh"}], identifier=[{"system": SYSTEM, "value": "9000000009"}]
        )
        await person.save()
        assert (person.id, person["meta"]["versionId"]) == ("id-1", "1")
        person["name"][0]["given"] = ["Jill"]
        await person.save()
        assert person["meta"]["versionId"] == "2"
        await person.patch(active=True)
        found = await client.resources("Patient").search(identifier=f"{SYSTEM}|9000000009").fetch()
        assert [(each.id, each["active"], each["name"]) for each in found] == [
            ("id-1", True, [{"family": "Marsh", "given": ["Jill"]}])
        ]
        await person.delete()
        with pytest.raises(ResourceNotFound):
            await client.reference("Patient", "id-1").to_resource()

    asyncio.run(journey())


def test_get_or_create_makes_one_and_then_finds_it(api: httpx.Client) -> None:
    async def journey() -> list[tuple[Any, bool]]:
        client = client_for(api, Prefer="handling=lenient")
        wanted = client.resource("Patient", identifier=[{"system": SYSTEM, "value": "9000000009"}])
        search = client.resources("Patient").search(identifier=f"{SYSTEM}|9000000009")
        answers = [await search.get_or_create(wanted) for _ in range(2)]
        return [(person.id, created) for person, created in answers]

    first, second = asyncio.run(journey())
    assert (first[1], second[1]) == (True, False)
    assert first[0] == second[0]


def test_pages_are_walked_and_counted(api: httpx.Client) -> None:
    for _ in range(5):
        api.post("/Patient", json={"resourceType": "Patient"})

    async def journey() -> tuple[int, int]:
        client = client_for(api, Prefer="handling=lenient")
        seen = [person.id async for person in client.resources("Patient").limit(2)]
        return len(set(seen)), await client.resources("Patient").count()

    assert asyncio.run(journey()) == (5, 5)


def test_a_misspelt_parameter_is_raised_with_its_sentence(api: httpx.Client) -> None:
    async def journey() -> None:
        await client_for(api).resources("Patient").search(identifer="1").fetch()

    with pytest.raises(OperationOutcome, match="Did you mean identifier"):
        asyncio.run(journey())

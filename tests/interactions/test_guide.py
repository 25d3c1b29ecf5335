"""The guide of profiles/ is readable as resources of the server, and nobody changes it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from phb_fhir.app import at_work
from phb_fhir.data import data_path
from phb_fhir.definitions.guide import NO_GUIDE, Guide, read_guide
from phb_fhir.interactions.guide import keep_guide
from phb_fhir.operations.registry import OPERATIONS
from phb_fhir.rules.sign_off import CODES
from phb_fhir.settings import Settings
from tests.builders import problem
from tests.definitions_at_hand import BASE, code_system, profile, value_set
from tests.running import RunningServer, new_database

GUIDE = read_guide(data_path("profiles"))
HEADERS = {"Content-Type": "application/fhir+json"}


@pytest.fixture(scope="module")
def guided(mongodb_uri: str) -> Iterator[httpx.Client]:
    """A server as it is by default, with its guide."""
    with (
        new_database(mongodb_uri) as database,
        RunningServer(mongodb_uri, database.name, guide=True) as running,
        httpx.Client(base_url=running.base, headers=HEADERS, timeout=30, verify=False) as client,
    ):
        yield client


def found(client: httpx.Client, type_: str, **query: str) -> list[str]:
    answer = client.get(f"/{type_}", params=query)
    assert answer.status_code == 200, answer.text
    return [one["resource"]["id"] for one in answer.json().get("entry", [])]


def test_every_canonical_url_of_the_guide_resolves_with_its_version_and_without(guided):
    for kept in GUIDE.resources:
        assert found(guided, kept.type, url=kept.url) == [kept.id]
        assert found(guided, kept.type, url=f"{kept.url}|{kept.version}") == [kept.id]
        assert found(guided, kept.type, url=f"{kept.url}|0.0.0-none") == []


def test_every_definition_of_the_guide_is_read_as_it_is_and_profiles_with_their_snapshots(guided):
    for kept in GUIDE.resources:
        answer = guided.get(f"/{kept.type}/{kept.id}")
        assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"1"')
        resource = answer.json()
        if kept.type == "StructureDefinition":
            elements = resource.pop("snapshot")["element"]
            assert all("definition" in element for element in elements), kept.id
        expected = json.loads((GUIDE.folder / f"{kept.type}-{kept.id}.json").read_bytes())
        assert {k: v for k, v in resource.items() if k != "meta"} == {
            k: v for k, v in expected.items() if k not in ("meta", "snapshot")
        }


def test_nobody_changes_or_deletes_what_is_the_guides(guided):
    account = guided.get("/StructureDefinition/phb-account").json()
    told = "StructureDefinition/phb-account is part of this server's implementation guide, and is not changed or deleted here."
    of_url = (
        "https://fhir.phb.nhs.example/StructureDefinition/phb-account is part of this server and is not changed here"
    )
    patch = {"Content-Type": "application/json-patch+json"}
    tried = [
        (guided.put("/StructureDefinition/phb-account", json=profile(id="phb-account")), told),
        (guided.delete("/StructureDefinition/phb-account"), told),
        (guided.delete("/StructureDefinition", params={"url": account["url"]}), told),
        (
            guided.patch("/StructureDefinition/phb-account", json=[{"op": "remove", "path": "/title"}], headers=patch),
            told,
        ),
        (guided.put("/StructureDefinition/phb-account", json={**account, "title": "Mine"}), of_url),
    ]
    for answer, start in tried:
        refused = problem(answer)
        assert refused.status == 422
        assert refused.text.startswith(start)
    assert guided.get("/StructureDefinition/phb-account").json() == account
    mine = profile()
    assert guided.put("/StructureDefinition/born", json=mine).status_code == 201
    assert guided.delete("/StructureDefinition/born").status_code == 204


# ---- from one state of the guide to the next -------------------------------------------------------------------------


def a_guide(folder: Path, *resources: dict[str, Any]) -> Guide:
    folder.mkdir()
    for resource in resources:
        (folder / f"{resource['resourceType']}-{resource['id']}.json").write_text(json.dumps(resource))
    return read_guide(folder)


@pytest.fixture
def keep(mongodb_uri: str, database_name: str):
    """Keeps guides in an empty database, as many starts one after the other would."""
    settings = Settings(mongodb_uri=mongodb_uri, mongodb_database=database_name)

    async def starts(*guides: Guide) -> None:
        async with at_work(settings) as context:
            for guide in guides:
                await keep_guide(context, guide)

    return lambda *guides: asyncio.run(starts(*guides))


@pytest.fixture
def versions(mongodb_admin: MongoClient[dict[str, Any]], database_name: str):
    """What stands, each with the number of its version; what is deleted under a minus."""

    def standing() -> dict[str, int]:
        resources = mongodb_admin[database_name].resources
        return {d["_id"]: -d["version"] if d["deleted"] else d["version"] for d in resources.find()}

    return standing


def test_a_guide_that_is_there_is_left_as_it_is_and_a_changed_one_changes_what_changed(keep, versions, tmp_path):
    first = a_guide(tmp_path / "1", profile(), code_system(), value_set())
    keep(first, first)
    keep(first)
    assert versions() == {"StructureDefinition/born": 1, "CodeSystem/colours": 1, "ValueSet/colours": 1}
    second = a_guide(tmp_path / "2", profile(), code_system(codes=("red",)), profile("more"))
    keep(second)
    after = {
        "StructureDefinition/born": 1,
        "CodeSystem/colours": 2,
        "ValueSet/colours": -2,
        "StructureDefinition/more": 1,
    }
    assert versions() == after
    keep(first)
    assert versions() == {**after, "CodeSystem/colours": 3, "ValueSet/colours": 3, "StructureDefinition/more": -2}


def test_without_a_guide_what_was_there_of_one_is_taken_away(keep, versions, tmp_path):
    keep(NO_GUIDE)
    assert versions() == {}
    keep(a_guide(tmp_path / "1", profile()), NO_GUIDE)
    assert versions() == {"StructureDefinition/born": -2}


def test_starts_at_the_same_moment_put_it_there_once(mongodb_uri, database_name, versions, tmp_path):
    settings = Settings(mongodb_uri=mongodb_uri, mongodb_database=database_name)
    guide = a_guide(tmp_path / "1", profile(), code_system(), value_set())

    async def start() -> None:
        async with at_work(settings) as context:
            await keep_guide(context, guide)

    async def together() -> None:
        await asyncio.gather(*(start() for _ in range(5)))

    asyncio.run(together())
    assert versions() == {"StructureDefinition/born": 1, "CodeSystem/colours": 1, "ValueSet/colours": 1}


def test_somebody_elses_resource_at_an_id_of_the_guide_is_left_alone(
    keep, versions, tmp_path, mongodb_uri, database_name
):
    theirs = profile(url=f"{BASE}/theirs")
    with RunningServer(mongodb_uri, database_name) as running:
        assert httpx.put(f"{running.base}/StructureDefinition/born", json=theirs, headers=HEADERS).status_code == 201
        keep(a_guide(tmp_path / "1", profile(), code_system()))
        assert httpx.get(f"{running.base}/StructureDefinition/born").json()["url"] == theirs["url"]
    assert versions() == {"StructureDefinition/born": 1, "CodeSystem/colours": 1}


def test_how_a_plan_is_authorised_is_told_as_it_is_done(guided):
    """R138: by the nine criteria, and by operations and forms that are there."""
    process = guided.get("/PlanDefinition/phb-authorisation").json()
    steps = [*process["action"], *(inner for one in process["action"] for inner in one.get("action", ()))]
    (check,) = [one for one in steps if one["id"] == "check"]
    assert tuple(one["code"][0]["coding"][0]["code"] for one in check["action"]) == CODES
    assert {one["definitionUri"] for one in steps if "definitionUri" in one} <= OPERATIONS.keys()
    assert found(guided, "Questionnaire", url=process["action"][0]["definitionCanonical"]) == ["phb-plan-content"]
    known = {one["id"] for one in steps}
    assert {one["actionId"] for step in steps for one in step.get("relatedAction", ())} <= known

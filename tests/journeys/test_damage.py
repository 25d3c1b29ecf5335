"""What somebody broke in the database by hand costs what was broken, and nothing beside it; and a start that meets a fault ends."""

from __future__ import annotations

import os
import subprocess
import sys

import httpx

from tests.builders import person, problem
from tests.definitions_at_hand import BASE, claiming, profile
from tests.running import START_TIMEOUT_S, RunningServer

HEADERS = {"Content-Type": "application/fhir+json"}


def test_a_definition_that_is_damaged_is_not_used_and_all_others_are(mongodb_uri, mongodb_admin, database_name):
    resources = mongodb_admin[database_name].resources
    with (
        RunningServer(mongodb_uri, database_name) as server,
        httpx.Client(base_url=server.base, headers=HEADERS) as client,
    ):
        assert client.put("/StructureDefinition/born", json=profile()).status_code == 201
        whole = resources.find_one({"_id": "StructureDefinition/born"})
    resources.insert_one({**whole, "_id": "StructureDefinition/a", "id": "a", "json": '{"resourceType":'})
    resources.insert_one({"_id": "StructureDefinition/b", "type": "StructureDefinition", "deleted": False})
    with (
        RunningServer(mongodb_uri, database_name) as server,
        httpx.Client(base_url=server.base, headers=HEADERS) as client,
    ):
        refused = problem(client.post("/Patient", json=claiming(person(), "born")))
        assert (refused.status, refused.expression) == (422, "Patient.birthDate")
        resources.update_one({"_id": "StructureDefinition/a"}, {"$set": {"json": "[]", "version": 2}})
        other = {
            **profile(path="Patient.gender"),
            "id": "c",
            "url": f"{BASE}/StructureDefinition/other",
            "name": "Other",
        }
        assert client.put("/StructureDefinition/c", json=other).status_code == 201
        refused = problem(client.post("/Patient", json=claiming(person(), "other")))
        assert (refused.status, refused.expression) == (422, "Patient.gender")


def test_a_start_that_meets_a_fault_of_our_own_ends_instead_of_answering_503_for_good(
    mongodb_uri, mongodb_admin, database_name
):
    mongodb_admin[database_name].meta.insert_one({"_id": "guide", "digest": "another", "urls": 5})
    ours = {"PHB_MONGODB_URI": mongodb_uri, "PHB_MONGODB_DATABASE": database_name, "PHB_OPEN": "true"}
    command = [sys.executable, "-m", "uvicorn", "--factory", "phb_fhir.app:create", "--port", "0"]
    ended = subprocess.run(
        command, env=os.environ | ours, capture_output=True, text=True, timeout=START_TIMEOUT_S, check=False
    )
    assert ended.returncode != 0
    assert "Application startup failed" in ended.stderr
    mongodb_admin[database_name].meta.delete_one({"_id": "guide"})
    with RunningServer(mongodb_uri, database_name, guide=True) as server:
        assert httpx.get(f"{server.base}/metadata").status_code == 200

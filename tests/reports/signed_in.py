"""Both stories on a server that asks for tokens, with the people in them who ask."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from phb_fhir.security.local_key import local_key
from tests.running import RunningServer
from tests.security.world import USER, World
from tests.stories import FAMILY, JILLS, bundle_of, story

JILL = {"role": "person", "fhirUser": "Patient/jill", "patient": "jill", "scope": "patient/*.cruds"}
RUTH = {"role": "delegate", "fhirUser": "RelatedPerson/ruth-harper", "scope": USER}
PRIYA = {"role": "care-coordinator", "fhirUser": "Practitioner/priya-nair", "scope": USER}
COMMISSIONER = {"role": "commissioner", "organization": "Organization/harbourside-north", "scope": USER}
FINANCE = {"role": "finance", "organization": "Organization/harbourside-north", "scope": USER}
ANOTHER_COMMISSIONER = {"role": "commissioner", "organization": "Organization/wreake-valley", "scope": USER}
COUNCIL = {"role": "commissioner", "organization": "Organization/wreake-valley-council", "scope": USER}
STRANGER = {"role": "person", "fhirUser": "Patient/asha", "patient": "asha", "scope": "patient/*.cruds"}
PROVIDER = {"role": "provider", "organization": "Organization/riverbank-therapies", "scope": USER}
AUDITOR = {"role": "auditor", "scope": USER}
ANALYST = {"role": "analyst", "organization": "Organization/harbourside-north", "scope": USER}
SYSTEM = "system"


@contextmanager
def running_stories(mongodb_uri: str, **settings: Any) -> Iterator[World]:
    """The server with Jill's and the family's stories told, until the tests are done."""
    name = f"test_{uuid.uuid4().hex}"
    with tempfile.TemporaryDirectory(prefix="phb-fhir-stories-") as folder, MongoClient[Any](mongodb_uri) as mongo:
        key = local_key(Path(folder))
        secure = {"open": False, "trust_local_key": True, "data": Path(folder), "rate_client_max": 0, **settings}
        try:
            with RunningServer(mongodb_uri, name, **secure) as server:
                world = World(server, key, mongo[name])
                with world.client:
                    for folder_of in (JILLS, FAMILY):
                        answer = world.post(SYSTEM, "", bundle_of(story(folder_of)))
                        assert answer.status_code == 200, answer.text[:3000]
                    yield world
        finally:
            mongo.drop_database(name)

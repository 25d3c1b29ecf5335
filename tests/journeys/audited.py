"""A secure server on an empty database, people who are signed in there, and what they find out about each other."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from pymongo import MongoClient

from phb_fhir.cli.token import Asked, sign
from tests.running import RunningServer

JILL = Asked("person", "Jill Harper", "Patient/jill", "jill")
SAM = Asked("person", "Sam Archer", "Patient/sam", "sam")
SYSTEM = Asked("system", "The system")
AUDITOR = Asked("auditor", "An auditor")
PRIYA = Asked("care-coordinator", "Priya Nair", "Practitioner/priya", organization="Organization/harbourside")


class Audited:
    """A server that keeps an audit trail. `as_` gives a client of somebody; `admin` looks behind the server's back."""

    def __init__(self, server: RunningServer, admin: MongoClient[dict[str, Any]]) -> None:
        self.server = server
        self.database = admin[server.settings.mongodb_database]
        self._clients: list[httpx.Client] = []

    def as_(self, who: Asked | None, **headers: str) -> httpx.Client:
        made = {"Content-Type": "application/fhir+json"} | {name.replace("_", "-"): it for name, it in headers.items()}
        if who is not None:
            made["Authorization"] = f"Bearer {sign(self.server.settings, who.name, who, 60)}"
        client = httpx.Client(base_url=self.server.base, headers=made, timeout=30, verify=False)
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def looked(self, who: Asked, about: str = "jill") -> list[str]:
        """What somebody finds in the list of who looked, in words, the oldest first."""
        return [words(event) for event in self.events(who, f"patient=Patient/{about}")]

    def events(self, who: Asked, *criteria: str) -> list[dict[str, Any]]:
        """The AuditEvents that somebody finds, in the order of the trail."""
        answer = self.as_(who).get("/AuditEvent?" + "&".join((*criteria, "_count=1000")))
        assert answer.status_code == 200, answer.text
        found = [entry["resource"] for entry in answer.json().get("entry", [])]
        # whose own trail it is, is not told the numbers
        return sorted(found, key=number_of if all("extension" in one for one in found) else _recorded)


def _recorded(event: dict[str, Any]) -> str:
    return str(event["recorded"])


def words(event: dict[str, Any]) -> str:
    div = str(event["text"]["div"])
    return div.removeprefix('<div xmlns="http://www.w3.org/1999/xhtml"><p>').removesuffix("</p></div>")


def number_of(event: dict[str, Any]) -> int:
    return int(event["extension"][0]["extension"][0]["valuePositiveInt"])


@contextmanager
def audited(mongodb_uri: str, admin: MongoClient[dict[str, Any]], folder: Path, **settings: Any) -> Iterator[Audited]:
    name = f"test_{uuid.uuid4().hex}"
    secure = {"open": False, "trust_local_key": True, "data": folder, "rate_client_max": 0, "rate_failed_max": 0}
    try:
        with RunningServer(mongodb_uri, name, **(secure | settings)) as server:
            made = Audited(server, admin)
            try:
                yield made
            finally:
                made.close()
    finally:
        admin.drop_database(name)


def populate(server: Audited) -> None:
    """Jill and Sam with a budget each, and the co-ordinator who has Jill in her care."""
    system = server.as_(SYSTEM)
    for resource in (
        {"resourceType": "Patient", "id": "jill", "name": [{"family": "Harper", "given": ["Jill"]}]},
        {"resourceType": "Patient", "id": "sam", "name": [{"family": "Archer", "given": ["Sam"]}]},
        {"resourceType": "Organization", "id": "harbourside", "name": "Harbourside Community Trust"},
        {"resourceType": "Practitioner", "id": "priya", "name": [{"family": "Nair", "given": ["Priya"]}]},
        budget("jill-budget", "jill"),
        budget("sam-budget", "sam"),
        {
            "resourceType": "CareTeam",
            "id": "team",
            "status": "active",
            "subject": {"reference": "Patient/jill"},
            "participant": [{"member": {"reference": "Practitioner/priya"}}],
        },
    ):
        answer = system.put(f"/{resource['resourceType']}/{resource['id']}", json=resource)
        assert answer.status_code == 201, answer.text


def budget(id_: str, of: str, **more: Any) -> dict[str, Any]:
    """A bare Account of a patient, which no profile governs."""
    return {
        "resourceType": "Account",
        "id": id_,
        "status": "active",
        "subject": [{"reference": f"Patient/{of}"}],
        **more,
    }

"""A secure server on an empty database, people who are signed in there, and what they find out about each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from phb_fhir.cli.token import Asked
from tests.people import People
from tests.running import secure_server

JILL = Asked("person", "Jill Harper", "Patient/jill", "jill")
SAM = Asked("person", "Sam Archer", "Patient/sam", "sam")
SYSTEM = Asked("system", "The system")
AUDITOR = Asked("auditor", "An auditor")
PRIYA = Asked("care-coordinator", "Priya Nair", "Practitioner/priya", organization="Organization/harbourside")


class Audited(People):
    """A server that keeps an audit trail."""

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
def audited(mongodb_uri: str, **settings: Any) -> Iterator[Audited]:
    with secure_server(mongodb_uri, **settings) as (server, database), Audited(server, database) as made:
        yield made


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

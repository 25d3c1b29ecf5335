"""A small world for the tests of who may see and do what: four patients whose records have nothing in common with one another's,
everybody who works with them, and a server that asks for tokens.

Jill is whom the actors of these tests act for. Ted is whom none of them may see: another commissioner, another practice, another
provider, another team. Mo shares the commissioner with Jill, Asha shares the practice, so that "own" is never "all". Each record
has a resource of each type that the policy names for patients (`record`), and each text in it ends in a word that is nowhere else
(`secret`), so that a byte of it in the wrong answer shows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
from pymongo.database import Database

from phb_fhir.security.local_key import local_key
from tests.builders import bundle, entry
from tests.running import Place, RunningServer, secure_server
from tests.security.definitions import guide
from tests.security.elements import BUDGETS, ODS, PHB, Resource, coded, consent, extension, labelled, ref, secret, thing
from tests.security.record import AROUND, paid, record

LOADED_AT = 100_000  # seconds after the first moment at which tests begin, long after everything was loaded


def directory() -> list[Resource]:
    """What everybody may see: organisations, who works there, and what can be bought."""
    organisations = ("north", "south", "oak", "elm", "river", "lantern", "harbour", "inland", "willow", "jill-nobody")
    organisations += ("mo-nobody", "asha-nobody", "ted-nobody")
    return [
        *(
            thing("Organization", name, name=f"{name} trust", identifier=[{"system": ODS, "value": f"X{number:02}"}])
            for number, name in enumerate(organisations)
        ),
        *(thing("Practitioner", name, name=[{"text": name}]) for name in ("priya", "tom", "sam", "bea", "pat", "una")),
        thing(
            "PractitionerRole",
            "priya-role",
            practitioner=ref("Practitioner/priya"),
            organization=ref("Organization/harbour"),
        ),
        thing("Location", "clinic", name="Clinic"),
        thing("HealthcareService", "physio", name="Physiotherapy", providedBy=ref("Organization/river")),
        item("massage", "river"),
        item("respite", "lantern"),
        thing(
            "List",
            "directory",
            status="current",
            mode="working",
            title="What can be bought",
            source=ref("Practitioner/priya"),
            code=coded("phb-directory", f"{PHB}/CodeSystem/phb-list-code"),
            entry=[{"item": ref("ChargeItemDefinition/massage")}],
        ),
    ]


def item(id_: str, provider: str) -> Resource:
    """Something that can be bought, of this provider's part of the directory."""
    return thing(
        "ChargeItemDefinition",
        id_,
        url=f"{PHB}/ChargeItemDefinition/{id_}",
        status="active",
        title=id_,
        extension=[extension("phb-provider", valueReference=ref(f"Organization/{provider}"))],
    )


def aggregates() -> list[Resource]:
    """What is of nobody in particular, and criteria of two commissioners."""
    report = {
        "status": "complete",
        "type": "summary",
        "measure": "http://defined.example/Measure",
        "period": {"start": "2026"},
    }
    return [
        thing("MeasureReport", "figures", **report),
        thing("MeasureReport", "ted-measurereport", **{**report, "type": "individual"}, subject=ref("Patient/ted")),
        thing("Group", "criteria", type="person", actual=False, managingEntity=ref("Organization/north")),
        thing("Group", "ted-group", type="person", actual=False, managingEntity=ref("Organization/south")),
    ]


ALL_RIGHTS = ("view", "purchase", "plan", "receive-payment")
_RELATIONS = ("ruth", "lim", "vic", "exa", "wes", "fay", "den", "duo", "bas", "pay")


def consents() -> list[Resource]:
    """Whom Jill has let act for her, in every way there is; `duo` acts for Mo as well, whose record they may only see."""
    jill, related = "Patient/jill", "RelatedPerson/"
    return [
        *(thing("RelatedPerson", name, patient=ref(jill), name=[{"text": name}]) for name in _RELATIONS),
        thing("RelatedPerson", "duo-mo", patient=ref("Patient/mo")),
        consent("c-ruth", jill, f"{related}ruth", *ALL_RIGHTS),
        consent("c-lim", jill, f"{related}lim", *ALL_RIGHTS, accounts=("Account/jill-account",)),
        consent("c-vic", jill, f"{related}vic", "view"),
        consent("c-pay", jill, f"{related}pay", "receive-payment"),
        consent(
            "c-exa", jill, f"{related}exa", *ALL_RIGHTS, provision_period={"start": "2025-01-01", "end": "2026-01-01"}
        ),
        consent("c-wes", jill, f"{related}wes", *ALL_RIGHTS, status="inactive"),
        consent(
            "c-fay", jill, f"{related}fay", *ALL_RIGHTS, provision_period={"start": "2027-06-01", "end": "2028-01-01"}
        ),
        consent("c-bas", jill, f"{related}bas", *ALL_RIGHTS, policyRule={"text": "no code of a legal basis"}),
        consent(
            "c-den",
            jill,
            f"{related}den",
            *ALL_RIGHTS,
            provision_provision=[{"type": "deny", "action": [coded("view", f"{PHB}/CodeSystem/phb-consent-action")]}],
        ),
        consent("c-duo", jill, f"{related}duo", *ALL_RIGHTS),
        consent("c-duo-mo", "Patient/mo", f"{related}duo", "view"),
        consent("c-willow", jill, "Organization/willow", *ALL_RIGHTS),
        consent("c-pat", jill, "Practitioner/pat", *ALL_RIGHTS),
        consent("c-ted", "Patient/ted", "RelatedPerson/ted-relatedperson", *ALL_RIGHTS),
    ]


def teams() -> list[Resource]:
    """Priya co-ordinates Jill's care, in her role; Una's part in it is over, and so is Sam's whole team."""

    def team(id_: str, patient: str, *participants: Resource, status: str = "active") -> Resource:
        return thing("CareTeam", id_, status=status, subject=ref(f"Patient/{patient}"), participant=list(participants))

    over = {"end": "2026-01-01"}
    return [
        team(
            "team",
            "jill",
            {"member": ref("PractitionerRole/priya-role")},
            {"member": ref("Organization/harbour")},
            {"member": ref("Practitioner/una"), "period": over},
        ),
        team("team-over", "jill", {"member": ref("Practitioner/sam")}, status="inactive"),
        team("team-ted", "ted", {"member": ref("Practitioner/tom")}),
    ]


def joint() -> list[Resource]:
    """A joint budget of Jill's that the other commissioner leads, with a part of each, and what was bought from these."""
    jill = record("jill")
    south, joint_ = ref("Organization/south"), "Account/jill-joint"
    bought = {
        name: it for name, it in jill["ChargeItem"].items() if name not in ("identifier", "supportingInformation")
    }

    def account(id_: str, **more: Any) -> Resource:
        return {
            **jill["Account"],
            "id": id_,
            "name": id_,
            "identifier": [{"system": BUDGETS, "value": f"B-{id_}"}],
            **more,
        }

    return [
        account("jill-joint", owner=south),
        account("jill-part", partOf=ref(joint_)),
        account("jill-other-part", owner=south, partOf=ref(joint_)),
        {**bought, "id": "jill-joint-purchase", "account": [ref(joint_)]},
        {**bought, "id": "jill-other-part-purchase", "account": [ref("Account/jill-other-part")]},
    ]


def further() -> list[Resource]:
    """What the tests need besides: a second budget of Jill's, restricted records, work for others."""
    jill = record("jill")
    again = lambda type_, id_, **more: {**jill[type_], "id": id_, **more}  # noqa: E731
    second = "Account/jill-second"
    return [
        again(
            "Account",
            "jill-second",
            name="second",
            identifier=[{"system": BUDGETS, "value": "B-jill-second"}],
            extension=[extension("phb-care-plan", valueReference=ref("CarePlan/jill-other-plan"))],
        ),
        again("CarePlan", "jill-other-plan", title="other plan"),
        again("ChargeItem", "jill-second-purchase", account=[ref(second)]),
        again("PaymentReconciliation", "jill-second-payment", extension=paid(second, "Organization/river")),
        labelled(again("Condition", "jill-restricted", code={"text": f"restricted {secret('restricted')}"}), "R"),
        labelled(again("Observation", "jill-very", code={"text": f"very restricted {secret('restricted')}"}), "N", "V"),
        labelled(again("Task", "jill-restricted-task", description=f"restricted {secret('restricted')}"), "R"),
        again(
            "Observation",
            "jill-laboratory",
            category=[coded("laboratory", "http://terminology.hl7.org/CodeSystem/observation-category")],
        ),
        again("Task", "river-task", owner=ref("Organization/river")),
        again("Task", "oak-task", owner=ref("Organization/oak"), requester=ref("Organization/oak")),
        {**{name: value for name, value in jill["Invoice"].items() if name != "account"}, "id": "river-invoice"},
        {**{name: value for name, value in jill["Invoice"].items() if name != "subject"}, "id": "north-invoice"},
        again("Task", "asked-by-ruth", requester=ref("RelatedPerson/ruth")),
        again("Task", "for-ruth", owner=ref("RelatedPerson/ruth")),
        {
            **record("ted")["ChargeItem"],
            "id": "ted-respite",
            "definitionCanonical": [f"{PHB}/ChargeItemDefinition/respite"],
        },
    ]


PATIENTS = tuple(AROUND)


def whole_world() -> list[Resource]:
    records = [resource for of in PATIENTS for resource in record(of).values()]
    return [*directory(), *guide(), *records, *aggregates(), *consents(), *teams(), *further()]


# ---- who is asking -------------------------------------------------------------------------------------------------

USER = "user/*.cruds"
ACTORS: dict[str, dict[str, str]] = {
    "system": {"role": "system", "scope": "system/*.cruds"},
    "jill": {"role": "person", "fhirUser": "Patient/jill", "patient": "jill", "scope": "patient/*.cruds"},
    "ted": {"role": "person", "fhirUser": "Patient/ted", "patient": "ted", "scope": "patient/*.cruds"},
    "mo": {"role": "person", "fhirUser": "Patient/mo", "patient": "mo", "scope": "patient/*.cruds"},
    **{name: {"role": "delegate", "fhirUser": f"RelatedPerson/{name}"} for name in _RELATIONS},
    "willow": {"role": "broker", "organization": "Organization/willow"},
    "pat": {"role": "peer-supporter", "fhirUser": "Practitioner/pat"},
    "priya": {"role": "care-coordinator", "fhirUser": "Practitioner/priya", "organization": "Organization/harbour"},
    "una": {"role": "care-coordinator", "fhirUser": "Practitioner/una"},
    "sam": {"role": "care-coordinator", "fhirUser": "Practitioner/sam"},
    "harbour": {"role": "nhs-team", "organization": "Organization/harbour"},
    "north": {"role": "commissioner", "organization": "Organization/north"},
    "south": {"role": "commissioner", "organization": "Organization/south"},
    "river": {"role": "provider", "organization": "Organization/river"},
    "lantern": {"role": "provider", "organization": "Organization/lantern"},
    "oak": {"role": "practice", "organization": "Organization/oak"},
    "elm": {"role": "practice", "organization": "Organization/elm"},
    "finance": {"role": "finance", "organization": "Organization/north"},
    "analyst": {"role": "analyst", "organization": "Organization/north"},
    "auditor": {"role": "auditor"},
    # whose tokens have a search in their scopes: what these ask tells no more than their holders may see
    "searching": {
        "role": "provider",
        "organization": "Organization/river",
        "scope": "user/ChargeItem.rs?account.owner=Organization/south user/ChargeItem.rs?patient.family=ted "
        "user/ChargeItem.rs?_list=ted-list user/Patient.rs?_has:Account:patient:owner=Organization/north "
        "user/Task.rs?status:missing=false user/Organization.rs",
    },
    "past": {
        "role": "care-coordinator",
        "fhirUser": "Practitioner/priya",
        "organization": "Organization/harbour",
        "scope": "user/*.rs?_lastUpdated=ge2000",
    },
}


_WRITTEN = {"type": {"$ne": "AuditEvent"}}
_KEPT = ("resources", "history", "ledger", "balances", "requests")


class World:
    """The server with its data. `get("jill", "/Patient/jill")` asks as an actor, or with claims."""

    def __init__(self, server: RunningServer, database: Database[dict[str, Any]]) -> None:
        self.server = server
        self.database = database
        self._key = local_key(server.settings.data)
        self._tokens: dict[str, str] = {}
        self._snapshot: dict[str, list[dict[str, Any]]] = {}
        # no TLS here, so no authorities to load: that would take longer than most tests
        headers = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
        self.client = httpx.Client(base_url=server.base, headers=headers, timeout=60, verify=False)

    @property
    def base(self) -> str:
        return self.server.base

    def token(self, who: str | Mapping[str, str]) -> str:
        claims = {"scope": USER, "sub": str(who), **(ACTORS[who] if isinstance(who, str) else who)}
        name = repr(sorted(claims.items()))
        if name not in self._tokens:
            self._tokens[name] = self._key.sign(claims, now=time.time(), life_s=3600)
        return self._tokens[name]

    def ask(
        self, who: str | Mapping[str, str], method: str, path: str, body: Any = None, **headers: str
    ) -> httpx.Response:
        """`headers` are written with underscores: `if_match="W/…"`."""
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        said["Authorization"] = f"Bearer {self.token(who)}"
        if isinstance(body, bytes | str):
            return self.client.request(method, path, content=body, headers=said)
        return self.client.request(method, path, json=body, headers=said)

    def get(self, who: str | Mapping[str, str], path: str, **headers: str) -> httpx.Response:
        return self.ask(who, "GET", path, **headers)

    def post(self, who: str | Mapping[str, str], path: str, body: Any = None, **headers: str) -> httpx.Response:
        return self.ask(who, "POST", path, body, **headers)

    def put(self, who: str | Mapping[str, str], resource: Resource, **headers: str) -> httpx.Response:
        return self.ask(who, "PUT", f"/{resource['resourceType']}/{resource['id']}", resource, **headers)

    def delete(self, who: str | Mapping[str, str], path: str, **headers: str) -> httpx.Response:
        return self.ask(who, "DELETE", path, **headers)

    def stands(self, key: str) -> Resource | None:
        """What is stored under this key, asked behind everybody's back; None where nothing is, or it was deleted."""
        answer = self.get("system", f"/{key}")
        return answer.json() if answer.status_code == 200 else None

    def write(self, *resources: Resource) -> None:
        """Put these as the system."""
        sent = [entry("PUT", f"{one['resourceType']}/{one['id']}", one) for one in resources]
        answer = self.post("system", "/", bundle("transaction", *sent))
        assert answer.status_code == 200, answer.text[:6000]

    # --- the same moment, the same data, again ---

    def hold_the_clock(self, at: int = LOADED_AT) -> None:
        """What is asked from now on is asked at this very moment, and finds the same ids to give."""
        self.server.foretold.place = Place(at, 1_000_000, step_s=0)

    def keep(self) -> None:
        """Remember what is stored, for `restore`."""
        self._snapshot = {name: list(self.database[name].find(_WRITTEN)) for name in _KEPT}

    def restore(self) -> None:
        """Everything is as it was when it was kept, but for the audit trail, which stays."""
        for name, documents in self._snapshot.items():
            there = {one["_id"]: one for one in self.database[name].find(_WRITTEN)}
            kept = {one["_id"]: one for one in documents}
            if gone := [id_ for id_ in there if id_ not in kept]:
                self.database[name].delete_many({"_id": {"$in": gone}})
            for id_, document in kept.items():
                if there.get(id_) != document:
                    self.database[name].replace_one({"_id": id_}, document, upsert=True)


@contextmanager
def running_world(mongodb_uri: str, **settings: Any) -> Iterator[World]:
    """A server that asks for tokens, with the whole world in it, which goes when the tests are done."""
    with secure_server(mongodb_uri, **settings) as (server, database):
        world = World(server, database)
        with world.client:
            _load(world)
            yield world


def _load(world: World) -> None:
    world.write(*whole_world())
    # what was deleted, and what went from one record into another, leave histories behind
    for of in ("jill", "ted"):
        observation = {**record(of)["Observation"], "id": f"{of}-deleted"}
        world.write(observation)
        assert world.delete("system", f"/Observation/{of}-deleted").status_code in (200, 204)
    task = record("jill")["Task"]
    world.write({**task, "id": "moved-away"}, {**record("ted")["Task"], "id": "moved-in"})
    world.write({**record("ted")["Task"], "id": "moved-away"}, {**task, "id": "moved-in"})
    once_open = {**record("jill")["Condition"], "id": "once-open"}
    world.write(once_open)
    world.write(labelled(once_open, "R"))
    world.hold_the_clock()
    world.keep()


THINGS = {(one["resourceType"], one["id"]): one for one in whole_world()}


RECEIPT = {
    **record("jill")["DocumentReference"],
    "type": coded("receipt", f"{PHB}/CodeSystem/phb-evidence-type"),
    "date": "2026-10-09T09:00:00Z",
    "content": [
        {
            "attachment": {
                "contentType": "application/pdf",
                "data": "aGVsbG8=",
                "size": 5,
                "hash": "qvTGHdzF6KLavt4PO0gs2a6pQ00=",
            }
        }
    ],
}


def made_new(type_: str, id_: str) -> Resource:
    """The same resource without an id, to be created again."""
    return {name: value for name, value in THINGS[type_, id_].items() if name not in ("id", "identifier")} | (
        {"identifier": [{"value": "again"}]} if type_ in ("Patient", "ChargeItem") else {}
    )

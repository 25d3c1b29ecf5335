"""Every access and every change is taken down, let through or refused; the person can ask who looked; and nobody can bend it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import date
from functools import cache
from typing import Any

import pytest

from phb_fhir.cli.token import Asked
from phb_fhir.data import data_path
from phb_fhir.definitions.guide import read_guide
from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.interactions import publishing
from phb_fhir.security.audit import Record
from phb_fhir.security.audit_event import PROFILE
from phb_fhir.validation.validate import validate
from tests.builders import bundle, entry
from tests.journeys.audited import AUDITOR, JILL, PRIYA, SAM, SYSTEM, Audited, audited, budget, populate
from tests.processes import until
from tests.store.test_faults import Road

WHO = "Priya Nair (care co-ordinator, Harbourside Community Trust)"


@pytest.fixture(scope="module")
def running(mongodb_uri: str) -> Iterator[Audited]:
    with audited(mongodb_uri) as server:
        yield server


@pytest.fixture
def server(running: Audited) -> Audited:
    """The server with Jill's and Sam's budgets, and nothing else done yet that a test looks at."""
    populate_once(running)
    return running


def populate_once(server: Audited) -> None:
    if not server.database.resources.count_documents({"_id": "Patient/jill"}):
        populate(server)


@cache
def known() -> Registry:
    return Registry.of(load(), read_guide(data_path("profiles")).resources)


def taken_down(server: Audited, before: int = 0) -> list[Record]:
    """The records in the chain behind the first so many, once those of changes are sealed."""
    assert until(lambda: not server.database.audit_pending.count_documents({}))
    texts = [text for block in server.database.audit.find().sort("_id", 1) for text in block["records"]]
    return [Record.read(text) for text in texts[before:]]


def count(server: Audited) -> int:
    return len(taken_down(server))


def seen(before: int, server: Audited) -> list[tuple[str, int, str]]:
    return [(one.interaction, one.status, one.path) for one in taken_down(server, before)]


# ---- what is taken down ----------------------------------------------------------------------------------------------

ASKED = [
    ("GET", "/Account/jill-budget", None, "read", 200),
    ("GET", "/Account/jill-budget/_history/1", None, "vread", 200),
    ("GET", "/Account/jill-budget/_history", None, "history-instance", 200),
    ("GET", "/Account?status=active", None, "search-type", 200),
    ("GET", "/Patient/jill/Account", None, "search-type", 200),
    ("GET", "/Patient/jill/$everything", None, "$everything", 200),
    ("GET", "/Patient/jill/$meta", None, "$meta", 200),
    ("HEAD", "/Account/jill-budget", None, "read", 200),
    ("GET", "/Account/sam-budget", None, "read", 404),
    ("GET", "/Account/none", None, "read", 404),
    ("GET", "/Account?nonsense=1", None, "search-type", 400),
    ("GET", "/Nonsense/1", None, "read", 404),
    ("DELETE", "/Account/jill-budget", None, "delete", 403),
    ("POST", "/Observation", {"resourceType": "Observation"}, "create", 422),
    ("POST", "/Account/jill-budget", {}, "", 405),
]


@pytest.mark.parametrize(("method", "path", "body", "interaction", "status"), ASKED)
def test_one_request_leaves_one_record(
    server: Audited, method: str, path: str, body: Any, interaction: str, status: int
) -> None:
    before = count(server)
    answer = server.as_(PRIYA, X_Request_ID="asked-1").request(method, path, json=body)
    assert answer.status_code in (status, 400 if status == 422 else status), answer.text
    (made,) = taken_down(server, before)
    assert (made.interaction, made.status, made.method) == (interaction, answer.status_code, method)
    assert made.path == path.partition("?")[0].strip("/")
    assert (made.request_id, made.address) == ("asked-1", "127.0.0.1")
    assert (made.who.subject, made.who.role, made.who.user) == ("Priya Nair", "care-coordinator", "Practitioner/priya")
    assert (made.who.organization, made.who.organization_name) == (
        "Organization/harbourside",
        "Harbourside Community Trust",
    )
    if status >= 400:
        assert made.why == "; ".join(issue["diagnostics"] for issue in answer.json()["issue"])


def test_what_was_looked_at_is_told_by_version_and_by_person(server: Audited) -> None:
    before = count(server)
    priya = server.as_(PRIYA)
    assert priya.get("/Account/jill-budget").status_code == 200
    assert priya.get("/Account", params={"status": "active"}).json()["total"] == 1
    assert priya.get("/Account/sam-budget").status_code == 404
    read, searched, refused = taken_down(server, before)
    assert read.what == searched.what == (("Account/jill-budget/_history/1", "jill"),)
    assert searched.query == "status=active"
    assert refused.what == (("Account/sam-budget/_history/1", "sam"),), (
        "what was refused is known as well as what was not"
    )


def test_a_search_by_form_is_told_with_its_criteria(server: Audited) -> None:
    before = count(server)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = server.as_(PRIYA).post("/Account/_search", content="status=active", headers=form)
    assert answer.status_code == 200
    (made,) = taken_down(server, before)
    assert (made.method, made.interaction, made.query) == ("POST", "search-type", "status=active")


def test_whoever_is_not_signed_in_is_taken_down_too(server: Audited) -> None:
    before = count(server)
    assert server.as_(None).get("/Account/jill-budget").status_code == 401
    assert server.as_(None, Authorization="Bearer nonsense").get("/Account/jill-budget").status_code == 401
    first, second = taken_down(server, before)
    assert [one.what for one in (first, second)] == [(("Account/jill-budget/_history/1", "jill"),)] * 2
    assert {one.who for one in (first, second)} == {Record("", "", "", "", "", 0).who}
    assert all(one.why for one in (first, second))


WISHES = ("/Account/jill-budget?_format=image/png", "/Account/jill-budget?_pretty=nicely")


@pytest.mark.parametrize("path", WISHES)
def test_who_asks_for_an_answer_that_nobody_writes_is_known_first(server: Audited, path: str) -> None:
    """Else it would be told as a stranger's, and a stranger would hear of it before being asked who they are."""
    before = count(server)
    refused = server.as_(PRIYA).get(path)
    assert refused.status_code in (400, 406)
    assert server.as_(None).get(path).status_code == 401
    assert server.as_(None, Authorization="Bearer nonsense").get(path).status_code == 401
    known_, *strangers = taken_down(server, before)
    assert (known_.who.subject, known_.status) == ("Priya Nair", refused.status_code)
    assert [one.status for one in strangers] == [401, 401]


def test_what_anybody_may_ask_is_not_taken_down(server: Audited) -> None:
    before = count(server)
    assert server.as_(None).get("/metadata").status_code == 200
    assert server.as_(None).options("/Account").status_code == 204
    assert taken_down(server, before) == []


def test_the_purpose_of_use_is_taken_down(server: Audited) -> None:
    before = count(server)
    assert server.as_(PRIYA, X_Purpose_Of_Use="TREAT").get("/Account/jill-budget").status_code == 200
    assert [one.purpose for one in taken_down(server, before)] == ["TREAT"]


def test_who_states_a_purpose_of_use_that_is_none_is_taken_down_by_name(server: Audited) -> None:
    before = count(server)
    assert server.as_(PRIYA, X_Purpose_Of_Use="to have a look").get("/Account/jill-budget").status_code == 400
    (made,) = taken_down(server, before)
    assert (made.who.subject, made.status, made.purpose) == ("Priya Nair", 400, "")


@pytest.fixture
def ruth(server: Audited) -> Asked:
    """Jill's sister, whom she lets act for her, in the launch context of nobody."""
    actions = [
        {"coding": [{"system": "https://fhir.phb.nhs.example/CodeSystem/phb-consent-action", "code": code}]}
        for code in ("view", "plan")
    ]
    party = {"role": {"coding": [{"code": "x"}]}, "reference": {"reference": "RelatedPerson/ruth"}}
    made = [
        {"resourceType": "RelatedPerson", "id": "ruth", "patient": {"reference": "Patient/jill"}},
        {
            "resourceType": "Consent",
            "id": "ruth",
            "status": "active",
            "patient": {"reference": "Patient/jill"},
            "scope": {"coding": [{"code": "patient-privacy"}]},
            "category": [{"coding": [{"code": "x"}]}],
            "policyRule": {"coding": [{"code": "consent"}]},
            "provision": {"type": "permit", "period": {"start": "2020"}, "actor": [party], "action": actions},
        },
    ]
    for one in made:
        assert server.as_(SYSTEM).put(f"/{one['resourceType']}/{one['id']}", json=one).status_code in (200, 201)
    return Asked("delegate", "Ruth Harper", "RelatedPerson/ruth", scope="user/*.cruds")


def test_on_whose_behalf_somebody_acts_is_taken_down_in_no_launch_context_too(server: Audited, ruth: Asked) -> None:
    before = count(server)
    client = server.as_(ruth)
    assert client.get("/Account/jill-budget").status_code == 200
    assert client.get("/Account/sam-budget").status_code == 404
    task = {"resourceType": "Task", "status": "requested", "intent": "order", "for": {"reference": "Patient/jill"}}
    posted = client.post("/Task", json=task)
    assert posted.status_code == 201, posted.text
    assert [one.who.patient for one in taken_down(server, before)] == ["jill", "", "jill"]
    found = server.as_(SYSTEM).get(f"/Provenance?target=Task/{posted.json()['id']}").json()["entry"]
    assert [one["resource"]["agent"][0]["onBehalfOf"] for one in found] == [{"reference": "Patient/jill"}]
    told = server.events(AUDITOR, "entity=Account/jill-budget")[-1]["agent"]
    assert {"value": "Patient/jill"} in [one["who"].get("identifier") for one in told]


def test_what_is_not_modified_was_asked_for_all_the_same(server: Audited) -> None:
    before = count(server)
    assert server.as_(PRIYA, If_None_Match='W/"1"').get("/Account/jill-budget").status_code == 304
    assert [(one.interaction, one.status) for one in taken_down(server, before)] == [("read", 304)]


# ---- changes ---------------------------------------------------------------------------------------------------------


def test_each_change_leaves_one_record_and_one_provenance(server: Audited) -> None:
    system = server.as_(SYSTEM)
    before = count(server)
    assert system.put("/Account/changing", json=budget("changing", "jill")).status_code == 201
    assert system.put("/Account/changing", json=budget("changing", "sam")).status_code == 200
    patch = [{"op": "replace", "path": "/status", "value": "inactive"}]
    header = {"Content-Type": "application/json-patch+json"}
    assert system.patch("/Account/changing", json=patch, headers=header).status_code == 200
    assert system.delete("/Account/changing").status_code == 204
    assert seen(before, server) == [
        ("create", 201, "Account/changing"),
        ("update", 200, "Account/changing"),
        ("patch", 200, "Account/changing"),
        ("delete", 204, "Account/changing"),
    ]
    whats = [one.what for one in taken_down(server, before)]
    assert whats == [
        (("Account/changing/_history/1", "jill"),),
        (("Account/changing/_history/2", "sam", "jill"),),  # she is told that it was taken from her
        (("Account/changing/_history/3", "sam"),),
        (("Account/changing/_history/4", "sam"),),
    ]
    found = [provenance(server, f"Account/changing/_history/{number}") for number in range(1, 5)]
    assert [one["activity"]["coding"][0]["code"] for one in found] == ["CREATE", "UPDATE", "UPDATE", "DELETE"]
    assert found[1]["entity"] == [{"role": "revision", "what": {"reference": "Account/changing/_history/1"}}]
    assert found[0]["agent"][0]["who"]["display"] == "The system"


def provenance(server: Audited, target: str) -> dict[str, Any]:
    answer = server.as_(SYSTEM).get("/Provenance", params={"target": target})
    (found,) = [one["resource"] for one in answer.json()["entry"]]
    return dict(found)


def test_a_change_that_changes_nothing_is_told_as_a_look(server: Audited) -> None:
    system = server.as_(SYSTEM)
    before = count(server)
    assert system.put("/Account/jill-budget", json=budget("jill-budget", "jill")).status_code == 200
    assert seen(before, server) == [("update", 200, "Account/jill-budget")]
    assert server.database.resources.find_one({"_id": "Account/jill-budget"})["version"] == 1


def test_a_transaction_is_taken_down_with_what_it_read(server: Audited) -> None:
    before = count(server)
    posted = bundle(
        "transaction",
        entry("POST", "Account", budget("x", "jill"), "urn:uuid:8f0ee44a-6ae6-4c6b-9f49-7d6d1d1ab111"),
        entry("POST", "Account", budget("y", "sam"), "urn:uuid:8f0ee44a-6ae6-4c6b-9f49-7d6d1d1ab112"),
        entry("PUT", "Practitioner/another", {"resourceType": "Practitioner", "id": "another"}),
        entry("GET", "Account/jill-budget"),
    )
    answer = server.as_(SYSTEM).post("", json=posted)
    assert answer.status_code == 200, answer.text
    made = taken_down(server, before)
    assert sorted((one.interaction, one.path, len(one.what)) for one in made) == [
        ("create", "", 3),
        ("read", "Account/jill-budget", 1),
    ]
    whats = [row for one in made for row in one.what if one.interaction == "create"]
    told = [[one["reference"] for one in provenance(server, row[0])["target"]] for row in whats]
    assert sorted(told) == sorted([row[0]] for row in whats), "each person's by itself"


def test_a_transaction_that_fails_leaves_its_refusal_and_nothing_else(server: Audited) -> None:
    before, provenances = count(server), server.database.resources.count_documents({"type": "Provenance"})
    posted = bundle(
        "transaction",
        entry("PUT", "Account/failing", budget("failing", "jill")),
        entry("PUT", "Account/jill-budget", budget("jill-budget", "jill", name="Another"), ifMatch='W/"7"'),
        entry("GET", "Account/sam-budget"),
    )
    answer = server.as_(SYSTEM).post("", json=posted)
    assert answer.status_code == 412
    (made,) = taken_down(server, before)
    assert (made.interaction, made.status) == ("transaction", 412)
    assert made.what == (
        ("Account/failing",),
        ("Account/jill-budget/_history/1", "jill"),
        ("Account/sam-budget/_history/1", "sam"),
    )
    assert server.database.resources.count_documents({"type": "Provenance"}) == provenances
    assert server.as_(SYSTEM).get("/Account/failing").status_code == 404


def test_each_entry_of_a_batch_is_taken_down_by_itself(server: Audited) -> None:
    before = count(server)
    posted = bundle(
        "batch",
        entry("GET", "Account/jill-budget"),
        entry("GET", "Account/sam-budget"),
        entry("PUT", "Practitioner/batched", {"resourceType": "Practitioner", "id": "batched"}),
        entry("GET", "Nonsense/1"),
        entry("POST", "", {"resourceType": "Bundle"}),
    )
    answer = server.as_(PRIYA).post("", json=posted)
    statuses = [one["response"]["status"][:3] for one in answer.json()["entry"]]
    found = Counter((one.interaction, str(one.status), one.path) for one in taken_down(server, before))
    paths = ["Account/jill-budget", "Account/sam-budget", "Practitioner/batched", "Nonsense/1", ""]
    assert Counter((status, path) for _, status, path in found) == Counter(zip(statuses, paths, strict=True))
    assert found["read", "200", "Account/jill-budget"] == found["read", "404", "Account/sam-budget"] == 1


# ---- who looked ------------------------------------------------------------------------------------------------------


def test_a_person_finds_who_looked_in_words_at_once(server: Audited) -> None:
    before = len(server.looked(JILL))
    priya = server.as_(PRIYA)
    assert priya.get("/Account/jill-budget").status_code == 200
    assert priya.get("/Account/sam-budget").status_code == 404
    answer = server.as_(SAM).get("/Account/jill-budget")
    assert answer.status_code == 404
    hers = [line.partition(" on 22 November 2026")[0] for line in server.looked(JILL)[before:]]
    assert hers[0] == "You looked at your record of who looked"
    assert hers[1:] == [f"{WHO} looked at your budget", "Sam Archer (the person) tried to look at your budget"]
    assert [line for line in server.looked(SAM, "sam") if line.startswith(f"{WHO} tried to look at your budget")]


NAMING = {
    # what is asked that brings nothing of Jill's record, and what she is told of it
    "Condition?patient=Patient/jill&_summary=count": "asked about your health conditions",
    "Condition?patient=jill&code=x": "asked about your health conditions",
    "Patient/jill/Condition?_summary=count": "asked about your health conditions",
    "Organization?_has:Account:owner:patient=jill": "asked about your organizations",
    "Account?subject=Patient/jill&status=inactive": "asked about your budgets",
    "Account?subject=Patient/sam,Patient/jill&status=inactive": "asked about your budgets",
    "Patient?_id=jill&_summary=count": "asked about your personal details",
    "?_type=Account&_has:Provenance:target:patient=jill&_summary=count": "asked about your resources",
    "Account?patient=jill&_id=jill-budget": "looked at your budget",
    "Account?status=inactive": "",
}


@pytest.mark.parametrize("asked", NAMING)
def test_a_person_is_told_who_asked_about_them_though_it_brought_a_number_or_nothing(
    server: Audited, asked: str
) -> None:
    before = len(server.looked(JILL))
    answer = server.as_(PRIYA).get(f"/{asked}")
    assert answer.status_code == 200, answer.text
    hers = [line.partition(" on 22 November 2026")[0] for line in server.looked(JILL)[before:]]
    assert hers[1:] == ([f"{WHO} {NAMING[asked]}"] if NAMING[asked] else [])


def test_who_asks_about_somebody_learns_nothing_from_their_own_trail(server: Audited) -> None:
    """Whether there is such a person: the same is kept of both."""

    def told(id_: str) -> list[str]:
        before = {event["id"] for event in server.events(SAM)}
        assert server.as_(SAM).get(f"/Account?patient={id_}&_summary=count").json()["total"] == 0
        found = [event for event in server.events(SAM) if event["id"] not in before]
        return sorted(event["text"]["div"].partition(" on 22")[0] for event in found)

    assert told("jill") == told("jack")


TRUST = {"reference": "Organization/harbourside"}
GUIDE = "https://fhir.phb.nhs.example"
# what does not say itself whose it is, and leads to what does
LEADING = {
    "file": {"resourceType": "Binary", "contentType": "text/plain", "data": "aGVsbG8="},
    "payment": {
        "resourceType": "PaymentReconciliation",
        "status": "draft",
        "created": "2026-10-10",
        "paymentDate": "2026-10-11",
        "paymentAmount": {"value": 45, "currency": "GBP"},
        "outcome": "queued",
        "paymentIssuer": TRUST,
        "paymentIdentifier": {"system": f"{GUIDE}/Id/phb-payment-reference", "value": "PAY-1"},
        "extension": [
            {"url": f"{GUIDE}/StructureDefinition/phb-account", "valueReference": {"reference": "Account/jill-budget"}},
            {"url": f"{GUIDE}/StructureDefinition/phb-payee", "valueReference": TRUST},
        ],
    },
    "invoice": {"resourceType": "Invoice", "status": "issued", "account": {"reference": "Account/jill-budget"}},
}


@pytest.mark.parametrize("thing", LEADING)
def test_a_person_finds_who_looked_at_what_leads_to_their_record(server: Audited, thing: str) -> None:
    sent = [entry("POST", LEADING[thing]["resourceType"], LEADING[thing])]
    if thing == "file":  # written together with what says whose it is
        sent[0]["resource"] = {**LEADING[thing], "securityContext": {"reference": RECEIVED}}
        receipt = {
            "resourceType": "DocumentReference",
            "status": "current",
            "subject": {"reference": "Patient/jill"},
            "content": [{"attachment": {"title": "Receipt"}}],
        }
        sent.append({**entry("POST", "DocumentReference", receipt), "fullUrl": RECEIVED})
    before = len(server.looked(JILL))
    made = server.as_(SYSTEM).post("/", json=bundle("transaction", *sent))
    assert made.status_code == 200, made.text
    key = "/" + made.json()["entry"][0]["response"]["location"].split("/fhir/")[-1].partition("/_history")[0]
    assert server.as_(SYSTEM).get(key).status_code == 200
    assert server.as_(SAM).get(key).status_code == 404
    hers = [line.partition(" on 22 November 2026")[0] for line in server.looked(JILL)[before:]]
    added = {"file": "a file and a document", "payment": "a payment", "invoice": "an invoice"}[thing]
    assert hers[1:] == [
        f"The system (a system) added {added} to your record",
        f"The system (a system) looked at your {thing}",
        f"Sam Archer (the person) tried to look at your {thing}",
    ]
    assert not [line for line in server.looked(SAM, "sam") if f"your {thing}" in line]


RECEIVED = "urn:uuid:5f1d5a1e-1c1e-4a7a-9c57-3a5a3f3b9a11"


def test_nobody_learns_from_the_trail_what_they_may_not_see(server: Audited) -> None:
    """What Sam reads of his own attempts is the same, whether or not there was something."""

    def told(path: str) -> str:
        before = {event["id"] for event in server.events(SAM)}
        assert server.as_(SAM).get(path).status_code == 404
        found = [event for event in server.events(SAM) if event["id"] not in before]
        (event,) = [event for event in found if event["outcome"] == "4"]
        assert "extension" not in event, "a number would tell how much everybody does"
        for name in ("id", "recorded", "meta"):
            del event[name]
        return json.dumps(event).replace(path[1:], "Account/asked").replace("request-id", "")

    def plain(text: str) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(text)
        for one in event["entity"]:
            one.pop("detail", None)
        event["text"] = event["text"]["div"].partition(" at ")[0]
        return {name: value for name, value in event.items() if name != "entity"} | {
            "entity": [
                {**one, "description": one.get("description", "").partition(" at 09")[0]} for one in event["entity"]
            ]
        }

    assert plain(told("/Account/jill-budget")) == plain(told("/Account/no-one-budget"))
    assert "jill" not in json.dumps(server.events(SAM)).replace("Account/jill-budget", "")


def test_every_event_is_valid_by_our_own_profile(server: Audited) -> None:
    events = server.events(AUDITOR)
    assert len(events) > 10
    for event in events:
        issues = validate(event, load(), (PROFILE,), known=known(), today=lambda: date(2026, 11, 22))
        assert [issue.text for issue in issues if issue.severity in ("error", "fatal")] == []


def test_every_provenance_of_the_server_is_valid_by_our_own_profile(server: Audited) -> None:
    found = server.as_(SYSTEM).get("/Provenance?_count=1000").json()["entry"]
    for one in found:
        issues = validate(one["resource"], load(), (), known=known(), today=lambda: date(2026, 11, 22))
        assert [issue.text for issue in issues if issue.severity != "information" and "(dom-6)" not in issue.text] == []


QUESTIONS = [
    "/AuditEvent?patient=Patient/jill",
    "/Patient/jill/AuditEvent",
    "/Patient/jill/*",
    "/Patient/jill/$everything?_type=AuditEvent",
    "/AuditEvent/_history",
    "/_history",
    "/?_type=AuditEvent",
    "/Account?_id=jill-budget&_revinclude=AuditEvent:entity",
    "/Account?_has:AuditEvent:entity:action=R",
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_whoever_could_see_an_event_finds_what_was_done_a_moment_ago(server: Audited, question: str) -> None:
    before = server.database.resources.count_documents({"type": "AuditEvent"})
    assert server.as_(PRIYA).get("/Account/jill-budget").status_code == 200
    assert server.as_(SYSTEM).get(question + ("&" if "?" in question else "?") + "_count=1").status_code == 200
    assert server.database.resources.count_documents({"type": "AuditEvent"}) > before


def test_what_was_done_is_published_without_anybody_asking(server: Audited) -> None:
    assert server.as_(PRIYA, X_Request_ID="unasked").get("/Account/jill-budget").status_code == 200
    assert until(
        lambda: server.database.resources.count_documents({"type": "AuditEvent", "json": {"$regex": "unasked"}})
    )


@pytest.mark.parametrize(("who", "status"), [(None, 401), (SYSTEM, 400)])
def test_a_token_that_stands_in_the_address_is_not_kept(server: Audited, who: Asked | None, status: int) -> None:
    before = count(server)
    answer = server.as_(who).get("/Account?status=active&access_token=ey.very.secret&_count=3")
    assert answer.status_code == status
    [kept] = taken_down(server, before)
    assert kept.query == "status=active&access_token=…&_count=3"


LONG = "x" * 50_000
LONG_ADDRESSES = (
    f"/Patient/{LONG}",
    f"/{LONG}",
    f"/Patient/jill/_history/{LONG}",
    f"/Patient/jill/{LONG}",
    "/Patient/jill" + "/x" * 20_000,
    f"/Patient/${LONG}",
)


@pytest.mark.parametrize("is_known", [True, False])
def test_an_address_that_is_very_long_is_kept_as_its_beginning_and_can_still_be_told_from_others(
    server: Audited, is_known: bool
) -> None:
    before = count(server)
    for address in LONG_ADDRESSES:
        client = server.as_(SYSTEM if is_known else None)
        assert client.get(address).status_code in ((404, 405) if is_known else (401,))
    kept = taken_down(server, before)
    assert len(kept) == len({one.path for one in kept}) == len(LONG_ADDRESSES)
    assert max(len(one.text()) for one in kept) < 6_000


def test_a_question_that_would_wait_too_long_is_told_to_come_again(
    server: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(publishing, "PUBLISH_WAIT_MAX_S", 0.0)
        answer = server.as_(JILL).get("/AuditEvent")
        assert (answer.status_code, "Ask again in a moment" in answer.text) == (503, True)
        assert answer.headers["retry-after"]
    assert server.as_(JILL).get("/AuditEvent").status_code == 200


def test_an_event_can_be_read_by_its_id_and_has_one_version(server: Audited) -> None:
    *_, event = server.events(AUDITOR)
    answer = server.as_(AUDITOR).get(f"/AuditEvent/{event['id']}")
    assert answer.json() == event
    assert answer.headers["etag"] == 'W/"1"'


# ---- what cannot be kept is not answered -----------------------------------------------------------------------------


def test_no_answer_leaves_whose_record_cannot_be_kept(mongodb_uri: str) -> None:
    with (
        Road(mongodb_uri, b"audit", 0) as road,
        audited(road.uri, commit_time_max_s=1.0) as server,
    ):
        populate(server)
        priya = server.as_(PRIYA)
        assert priya.get("/Account/jill-budget").status_code == 200
        road.tolls = 1_000_000  # whatever goes to the collections of the trail is cut off; everything else arrives
        for path in ("/Account/jill-budget", "/Account", "/Account/none"):
            answer = priya.get(path)
            assert answer.status_code == 503, answer.text
            assert "jill" not in answer.text
        road.tolls = 0
        assert priya.get("/Account/jill-budget").status_code == 200


# ---- nobody writes it ------------------------------------------------------------------------------------------------

EVENT = {
    "resourceType": "AuditEvent",
    "id": "forged",
    "type": {"code": "rest"},
    "recorded": "2026-11-22T09:00:00Z",
    "agent": [{"requestor": True, "who": {"display": "x"}}],
    "source": {"observer": {"display": "x"}},
}
LABEL = {
    "resourceType": "Parameters",
    "parameter": [{"name": "meta", "valueMeta": {"tag": [{"system": "urn:x", "code": "y"}]}}],
}


def ways(id_: str) -> list[tuple[str, str, Any, dict[str, str]]]:
    patch = [{"op": "remove", "path": "/outcomeDesc"}]
    return [
        ("POST", "/AuditEvent", EVENT, {}),
        ("PUT", "/AuditEvent/forged", EVENT, {}),
        ("PUT", f"/AuditEvent/{id_}", {**EVENT, "id": id_}, {}),
        ("PATCH", f"/AuditEvent/{id_}", patch, {"Content-Type": "application/json-patch+json"}),
        ("DELETE", f"/AuditEvent/{id_}", None, {}),
        ("PUT", "/AuditEvent?action=R", EVENT, {}),
        ("PATCH", f"/AuditEvent?_id={id_}", patch, {"Content-Type": "application/json-patch+json"}),
        ("DELETE", f"/AuditEvent?_id={id_}", None, {}),
        ("POST", "/AuditEvent", EVENT, {"If-None-Exist": "action=X"}),
        ("POST", f"/AuditEvent/{id_}/$meta-add", LABEL, {}),
        ("POST", f"/AuditEvent/{id_}/$meta-delete", LABEL, {}),
        ("POST", "", bundle("transaction", entry("POST", "AuditEvent", EVENT)), {}),
        ("POST", "", bundle("transaction", entry("DELETE", f"AuditEvent/{id_}")), {}),
        ("POST", "", bundle("transaction", entry("DELETE", f"AuditEvent?_id={id_}")), {}),
    ]


@pytest.mark.parametrize("who", [SYSTEM, AUDITOR, JILL, PRIYA], ids=lambda who: who.role)
def test_nobody_writes_the_trail_by_any_way(server: Audited, who: Any) -> None:
    *_, event = server.events(AUDITOR)
    before = server.database.resources.find_one({"_id": f"AuditEvent/{event['id']}"})
    client = server.as_(who)
    for method, path, body, headers in ways(event["id"]):
        answer = client.request(method, path, json=body, headers=headers)
        assert answer.status_code == 403, (method, path, answer.text)
    answer = client.post("", json=bundle("batch", entry("DELETE", f"AuditEvent/{event['id']}")))
    assert answer.json()["entry"][0]["response"]["status"] == "403 Forbidden"
    assert server.database.resources.find_one({"_id": f"AuditEvent/{event['id']}"}) == before
    assert server.as_(SYSTEM).get("/AuditEvent/forged").status_code == 404

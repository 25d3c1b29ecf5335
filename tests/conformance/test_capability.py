"""Every promise of the capability statement, as `/metadata` serves it, is exercised on every type it is made for.

The statement is walked, not our list of what should be in it: a promise for which no exercise is written here fails, so
that none can be added without showing that it is kept. The resources are the least of each type (`minimal`).
"""

from __future__ import annotations

import copy
import json

import httpx
import pytest

from phb_fhir import __version__
from phb_fhir.data import data_path
from phb_fhir.definitions.load import load
from tests import stories
from tests.builders import bundle, entry, problem
from tests.conformance.minimal import IDENTIFIER, minimal
from tests.interactions.checks import server_with
from tests.journeys import planning
from tests.journeys.jills_budget import (
    BUDGET,
    begin,
    budget,
    come_to,
    finished,
    looked_at_goals,
    put,
    record,
    review,
)
from tests.operations import money

R4 = load()
WRITTEN = json.loads(data_path("capability_statement.json").read_bytes())
TYPES = [row["type"] for row in WRITTEN["rest"][0]["resource"]]
of_each_type = pytest.mark.parametrize("type_", TYPES)


@pytest.fixture(scope="module")
def promised(server):
    """The statement as it is served."""
    return httpx.get(f"{server.base}/metadata").json()


@pytest.fixture(scope="module")
def rows(promised):
    return {row["type"]: row for row in promised["rest"][0]["resource"]}


def one_of(type_, **more):
    return {**minimal(type_), "id": "one", **more}


def content(resource):
    """What a resource says itself, without what the server sets."""
    return {name: value for name, value in resource.items() if name not in ("id", "meta")}


def matches(answer):
    assert answer.status_code == 200, answer.text
    return [one["resource"]["id"] for one in answer.json().get("entry", []) if one["search"]["mode"] == "match"]


# ---- the statement itself --------------------------------------------------------------------------------------------


def test_the_statement_is_the_one_that_was_written_with_this_software_and_this_address(promised, server):
    expected = copy.deepcopy(WRITTEN)
    expected["software"]["version"] = __version__
    expected["implementation"]["url"] = server.base
    mode = "https://fhir.phb.nhs.example/StructureDefinition/phb-validation-mode"
    expected["rest"][0]["extension"] = [{"url": mode, "valueCode": "error"}]
    assert without_joins(promised) == expected


def without_joins(statement):
    """The statement without what can be included, which follows from its search parameters (test_capability_search.py)."""
    told = copy.deepcopy(statement)
    for row in told["rest"][0]["resource"]:
        row.pop("searchInclude", None)
        row.pop("searchRevInclude", None)
    return told


def test_the_statement_is_a_valid_resource_that_can_be_stored_and_read(api, promised):
    answer = api.put(f"/CapabilityStatement/{promised['id']}", json=promised)
    assert answer.status_code == 201
    assert content(answer.json()) == content(promised)


def test_the_statement_names_the_version_of_fhir_that_is_spoken(promised):
    assert (promised["fhirVersion"], R4.fhir_version, promised["kind"]) == ("4.0.1", "4.0.1", "instance")


def test_every_type_of_fhir_is_promised_once_and_by_its_own_definition(promised):
    listed = [(row["type"], row["profile"]) for row in promised["rest"][0]["resource"]]
    assert listed == [(name, f"http://hl7.org/fhir/StructureDefinition/{name}") for name in sorted(R4.resource_types)]
    assert len(listed) == 146  # R4's 148 without the two that are abstract


def test_there_is_nothing_in_the_statement_that_is_not_looked_at_here(promised, rows):
    said = {"resourceType", "id", "url", "version", "name", "title", "status", "experimental", "date", "publisher"}
    said |= {"description", "kind", "software", "implementation", "fhirVersion", "format", "patchFormat", "rest"}
    assert set(promised) == said
    (rest,) = promised["rest"]
    assert set(rest) == {"extension", "mode", "documentation", "resource", "interaction", "searchParam", "operation"}
    assert rest["mode"] == "server"
    for row in rows.values():
        said = {"type", "profile", "interaction", "searchParam", "operation", *FLAGS}
        assert said <= set(row) <= said | {"searchInclude", "searchRevInclude"}


def test_what_is_not_a_mode_of_the_statement_is_refused(api):
    for mode in ("full", "normative"):
        assert api.get(f"/metadata?mode={mode}").json() == api.get("/metadata").json()
    found = problem(api.get("/metadata?mode=partial"))
    assert found[:3] == (400, "not-supported", "mode=partial: it is one of full, normative, terminology.")


def test_what_is_known_of_codes_is_told_in_a_resource_that_holds(api):
    known = api.get("/metadata?mode=terminology").json()
    issues = api.post("/TerminologyCapabilities/$validate", json=known).json()["issue"]
    assert [issue["details"]["text"] for issue in issues if issue["severity"] in ("error", "fatal")] == []
    assert (known["resourceType"], known["kind"]) == ("TerminologyCapabilities", "instance")
    assert known["implementation"]["url"] == str(api.base_url).rstrip("/")
    systems = {row["uri"]: row for row in known["codeSystem"]}
    assert systems["http://hl7.org/fhir/administrative-gender"] == {
        "uri": "http://hl7.org/fhir/administrative-gender",
        "version": [{"code": "4.0.1", "isDefault": True}],
        "subsumption": True,
    }
    assert systems["http://unitsofmeasure.org"]["version"][0]["compositional"] is True
    assert "http://snomed.info/sct" not in systems  # none of whose codes are here
    assert len(systems) == len(known["codeSystem"]) > 1_000


def test_each_system_that_is_told_of_is_looked_up_and_each_parameter_taken(api):
    known = api.get("/metadata?mode=terminology&_elements=codeSystem,expansion").json()
    taken = {row["name"] for row in known["expansion"]["parameter"]}
    assert {"filter", "offset", "count", "url"} <= taken
    for name in taken & {"filter", "displayLanguage"}:
        url = f"/ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/administrative-gender&{name}=en"
        assert api.get(url).status_code == 200
    for row in known["codeSystem"][::100]:
        asked = api.get("/CodeSystem/$validate-code", params={"url": row["uri"], "code": "no such code"})
        assert asked.status_code == 200, row["uri"]


def test_a_code_system_that_is_written_is_told_of(api):
    url, address = "http://example.org/colours", "/metadata?mode=terminology&_elements=codeSystem"
    colours = {"resourceType": "CodeSystem", "url": url, "version": "3", "status": "active", "content": "complete"}
    assert url not in api.get(address).text
    assert api.post("/CodeSystem", json={**colours, "concept": [{"code": "red"}]}).status_code == 201
    (row,) = [row for row in api.get(address).json()["codeSystem"] if row["uri"] == url]
    assert row == {"uri": url, "version": [{"code": "3", "isDefault": True}], "subsumption": True}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_statement_cannot_be_written(api, method):
    assert api.request(method, "/metadata").status_code == 405


# ---- formats ---------------------------------------------------------------------------------------------------------


def test_every_format_is_read_and_written(api, promised):
    assert promised["format"] == ["application/fhir+json", "json"]
    for name in promised["format"]:
        answer = api.get("/metadata", params={"_format": name}, headers={"Accept": "text/html"})
        assert answer.headers["content-type"] == "application/fhir+json;charset=utf-8"
    for media_type in (name for name in promised["format"] if "/" in name):
        answer = api.post("/Basic", json=minimal("Basic"), headers={"Content-Type": media_type, "Accept": media_type})
        assert answer.status_code == 201
        assert answer.headers["content-type"].startswith(media_type)


# ---- one story for each type -----------------------------------------------------------------------------------------

PATCHES = {
    "application/json-patch+json": '[{"op":"replace","path":"/language","value":"LANGUAGE"}]',
    "application/fhir+json": '{"resourceType":"Parameters","parameter":[{"name":"operation","part":['
    '{"name":"type","valueCode":"replace"},{"name":"path","valueString":"TYPE.language"},'
    '{"name":"value","valueCode":"LANGUAGE"}]}]}',
    "application/merge-patch+json": '{"language":"LANGUAGE"}',
}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Story:
    """What is done with one type, on a server that holds nothing else. The steps follow one another."""

    def __init__(self, api, type_):
        self.api, self.type, self.least = api, type_, minimal(type_)
        self.all, self.one = f"/{type_}", f"/{type_}/one"

    def said(self, id_, **more):
        return {**self.least, "id": id_, **more}

    def create(self):
        answer = self.api.post(self.all, json=self.least)
        assert (answer.status_code, answer.headers["etag"]) == (201, 'W/"1"'), answer.text
        assert answer.headers["location"].endswith(f"{self.all}/id-1/_history/1")
        assert content(answer.json()) == self.least

    def create_by_update(self):
        answer = self.api.put(self.one, json=self.said("one"))
        assert (answer.status_code, answer.headers["etag"]) == (201, 'W/"1"'), answer.text

    def read(self):
        answer = self.api.get(self.one)
        assert (answer.status_code, answer.json()["id"]) == (200, "one")
        assert content(answer.json()) == self.least
        assert self.api.get(f"{self.all}/none").status_code == 404

    def read_conditionally(self):
        fresh = self.api.get(self.one)
        for name, header in (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified")):
            again = self.api.get(self.one, headers={name: fresh.headers[header]})
            assert (again.status_code, again.content) == (304, b"")
        assert self.api.get(self.one, headers={"If-None-Match": 'W/"9"'}).status_code == 200
        early = {"If-Modified-Since": "Sat, 21 Nov 2026 09:00:00 GMT"}
        assert self.api.get(self.one, headers=early).status_code == 200

    def update(self):
        answer = self.api.put(self.one, json=self.said("one", language="en"))
        assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"2"'), answer.text
        assert content(answer.json()) == {**self.least, "language": "en"}

    def versions(self):
        stale = self.api.put(self.one, json=self.said("one"), headers={"If-Match": 'W/"1"'})
        assert stale.status_code == 412
        fresh = self.api.put(self.one, json=self.said("one", language="fr"), headers={"If-Match": 'W/"2"'})
        assert (fresh.status_code, fresh.headers["etag"]) == (200, 'W/"3"')

    def vread(self):
        past = [self.api.get(f"{self.one}/_history/{number}").json() for number in (1, 2, 3)]
        assert [one.get("language") for one in past] == [None, "en", "fr"]
        assert content(past[0]) == self.least

    def patch(self):
        for number, (media_type, body) in enumerate(PATCHES.items()):
            language = f"de-x-{number}"
            patch = body.replace("TYPE", self.type).replace("LANGUAGE", language)
            answer = self.api.patch(self.one, content=patch, headers={"Content-Type": media_type})
            assert answer.status_code == 200, answer.text
            assert content(answer.json()) == {**self.least, "language": language}
        assert answer.headers["etag"] == 'W/"6"'

    def search(self):
        assert matches(self.api.get(self.all)) == ["id-1", "one"]
        assert matches(self.api.post(f"{self.all}/_search", content="_count=1", headers=FORM)) == ["id-1"]

    def create_conditionally(self):
        there = self.api.post(self.all, json=self.least, headers={"If-None-Exist": "_id=one"})
        assert (there.status_code, there.json()["id"]) == (200, "one")
        made = self.api.post(self.all, json=self.least, headers={"If-None-Exist": "_id=two"})
        assert (made.status_code, made.headers["etag"]) == (201, 'W/"1"')

    def update_conditionally(self):
        there = self.api.put(f"{self.all}?_id=one", json=self.least)
        assert (there.status_code, there.headers["etag"], there.json()["id"]) == (200, 'W/"7"', "one")
        assert self.api.put(f"{self.all}?_id=two", json=self.said("two")).status_code == 201

    def delete_several_conditionally(self):
        assert self.api.delete(f"{self.all}?_id=two,id-1,none").status_code == 204
        left = matches(self.api.get(self.all))
        assert "one" in left
        assert not {"two", "id-1"} & set(left)

    def point_anywhere(self):
        """Literal, logical and local references are kept as they are, whether their targets are here or not."""
        pointers = [
            {"url": "http://example.org/literal", "valueReference": {"reference": "Patient/elsewhere"}},
            {"url": "http://example.org/absolute", "valueReference": {"reference": "https://example.org/Patient/1"}},
            {"url": "http://example.org/logical", "valueReference": {"identifier": IDENTIFIER}},
            {"url": "http://example.org/local", "valueReference": {"reference": "#inside"}},
        ]
        if R4.type(self.type).base == "DomainResource":  # the few others have no extensions
            inside = {"resourceType": "Basic", "id": "inside", "code": {"text": "text"}}
            resource = self.said("pointing", contained=[inside], extension=pointers)
            answer = self.api.put(f"{self.all}/pointing", json=resource)
            assert answer.status_code == 201, answer.text
            assert answer.json()["extension"] == pointers

    def delete(self):
        assert self.api.delete(self.one).status_code == 204
        assert self.api.get(self.one).status_code == 410

    def history_of_one(self):
        expected = [
            ("DELETE", 'W/"8"'),
            *(("PATCH", f'W/"{n}"') for n in (6, 5, 4)),
            *(("PUT", f'W/"{n}"') for n in (3, 2, 1)),
        ]
        expected.insert(1, ("PUT", 'W/"7"'))
        assert told(self.api, f"{self.one}/_history") == expected

    def history_of_all(self):
        found = told(self.api, f"{self.all}/_history")
        assert [row for row in found if row[1] == 'W/"8"'] == [("DELETE", 'W/"8"')]
        assert found[-1] == ("POST", 'W/"1"')
        assert found == told(self.api, "/_history")


def told(api, address):
    return [(one["request"]["method"], one["response"]["etag"]) for one in api.get(address).json()["entry"]]


# each step, with the interactions and the flags that it shows to be kept
STEPS = (
    (Story.create, "create"),
    (Story.create_by_update, ("updateCreate", True)),
    (Story.read, "read"),
    (Story.read_conditionally, ("conditionalRead", "full-support")),
    (Story.update, "update"),
    (Story.versions, ("versioning", "versioned")),
    (Story.vread, "vread", ("readHistory", True)),
    (Story.patch, "patch"),
    (Story.search, "search-type"),
    (Story.create_conditionally, ("conditionalCreate", True)),
    (Story.update_conditionally, ("conditionalUpdate", True)),
    (Story.delete_several_conditionally, ("conditionalDelete", "multiple")),
    (Story.point_anywhere, ("referencePolicy", ("literal", "logical", "local"))),
    (Story.delete, "delete"),
    (Story.history_of_one, "history-instance"),
    (Story.history_of_all, "history-type"),
)
SHOWN = {promise for _, *promises in STEPS for promise in promises}
FLAGS = {promise[0] for promise in SHOWN if isinstance(promise, tuple)}


@of_each_type
def test_every_interaction_and_every_flag_that_is_promised_is_kept_and_no_other_is_promised(api, rows, type_):
    row = rows[type_]
    flags = {(name, tuple(row[name]) if isinstance(row[name], list) else row[name]) for name in FLAGS}
    assert {one["code"] for one in row["interaction"]} | flags == SHOWN
    story = Story(api, type_)
    for step, *_ in STEPS:
        step(story)


def test_the_patches_of_the_story_are_the_formats_that_are_promised(promised):
    assert promised["patchFormat"] == list(PATCHES)


# ---- operations ------------------------------------------------------------------------------------------------------

GENDER = "http://hl7.org/fhir/administrative-gender"
GENDERS = "http://hl7.org/fhir/ValueSet/administrative-gender"
ROLES = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"


def said(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()


def validate(api, type_):
    least = minimal(type_)
    body = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": least}]}
    assert api.put(f"/{type_}/one", json=one_of(type_)).status_code in (200, 201)
    for answer in (
        api.post(f"/{type_}/$validate", json=body),
        api.post(f"/{type_}/$validate", json=body if type_ == "Parameters" else least),
        api.get(f"/{type_}/one/$validate"),
        api.post(f"/{type_}/one/$validate?mode=delete"),
    ):
        outcome = said(answer)
        assert outcome["resourceType"] == "OperationOutcome"
        assert "error" not in {issue["severity"] for issue in outcome["issue"]}


def expand(api, _type):
    found = said(api.get(f"/ValueSet/$expand?url={GENDERS}"))
    assert [row["code"] for row in found["expansion"]["contains"]] == ["male", "female", "other", "unknown"]


def validate_code_in_value_set(api, _type):
    for code, result in (("male", True), ("plum", False)):
        found = said(api.get(f"/ValueSet/$validate-code?url={GENDERS}&system={GENDER}&code={code}"))
        assert found["parameter"][0] == {"name": "result", "valueBoolean": result}


def validate_code_in_code_system(api, _type):
    for code, result in (("male", True), ("plum", False)):
        found = said(api.get(f"/CodeSystem/$validate-code?url={GENDER}&code={code}"))
        assert found["parameter"][0] == {"name": "result", "valueBoolean": result}


def lookup(api, _type):
    found = said(api.get(f"/CodeSystem/$lookup?system={GENDER}&code=male"))
    assert {"name": "display", "valueString": "Male"} in found["parameter"]


def subsumes(api, _type):
    found = said(api.get(f"/CodeSystem/$subsumes?system={ROLES}&codeA=FAMMEMB&codeB=AUNT"))
    assert found["parameter"] == [{"name": "outcome", "valueCode": "subsumes"}]


def snapshot(api, _type):
    found = said(api.get(f"/StructureDefinition/$snapshot?url={R4_DEFINED}StructureDefinition/bp"))
    assert found["snapshot"]["element"][0]["path"] == "Observation"


TAG = {"system": "http://example.org/tags", "code": "zebra"}


def tags_told(answer):
    (row,) = said(answer)["parameter"]
    return row["valueMeta"].get("tag", [])


def meta(api, type_):
    assert api.put(f"/{type_}/tagged", json={**one_of(type_, meta={"tag": [TAG]}), "id": "tagged"}).status_code == 201
    for address in (f"/{type_}/tagged/$meta", f"/{type_}/$meta"):
        assert tags_told(api.get(address)) == [TAG]


def meta_add(api, type_):
    change_tags(api, type_, "$meta-add", [], [TAG])


def meta_delete(api, type_):
    change_tags(api, type_, "$meta-delete", [TAG], [])


def change_tags(api, type_, operation, before, after):
    body = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [TAG]}}]}
    labels = {"meta": {"tag": before}} if before else {}
    assert api.put(f"/{type_}/changed", json={**one_of(type_, **labels), "id": "changed"}).status_code < 300
    assert tags_told(api.post(f"/{type_}/changed/{operation}", json=body)) == after
    assert tags_told(api.get(f"/{type_}/changed/$meta")) == after


def everything_of_a_patient(api, _type):
    everything(api, "Patient", "Observation", {"subject": {"reference": "Patient/one"}})


def everything_of_an_account(api, _type):
    everything(api, "Account", "ChargeItem", {"account": [{"reference": "Account/one"}]})


def everything(api, type_, other, link):
    assert api.put(f"/{type_}/one", json=one_of(type_)).status_code < 300
    assert api.put(f"/{other}/one", json=one_of(other, **link)).status_code < 300
    assert api.put(f"/{other}/two", json={**one_of(other), "id": "two"}).status_code < 300
    found = said(api.get(f"/{type_}/one/$everything"))
    assert {f"{row['resource']['resourceType']}/{row['resource']['id']}" for row in found["entry"]} == {
        f"{type_}/one",
        f"{other}/one",
    }


def check_eligibility(api, _type):
    begin(api)
    found = said(api.get("/Patient/jill/$check-eligibility"))
    assert found["parameter"][0] == {"name": "eligible", "valueBoolean": True}


def risk_log(api, _type):
    found = said(api.get("/RiskAssessment/$risk-log"))
    assert (found["resourceType"], found["type"]) == ("MeasureReport", "summary")


def calculate_indicative(api, _type):
    begin(api)
    come_to(api, "eligibility-confirmed")
    source = {"name": "source", "valueReference": {"reference": "QuestionnaireResponse/jill-needs-assessment"}}
    rows = [source, {"name": "method", "valueCode": "ras"}]
    found = said(api.post(f"/{BUDGET}/$calculate-indicative", json={"resourceType": "Parameters", "parameter": rows}))
    assert found["parameter"][0]["name"] == "amount"


def close(api, _type):
    begin(api)
    come_to(api, "active")
    last = review(purpose="closing")
    over = [record(), *looked_at_goals(), finished(last, "close")]
    assert put(api, last, budget("closing")).status_code == 200
    assert put(api, *over).status_code == 200
    rows = [
        {"name": "review", "valueReference": {"reference": "Task/review"}},
        {"name": "reason", "valueString": "She moves away."},
    ]
    found = said(api.post(f"/{BUDGET}/$close", json={"resourceType": "Parameters", "parameter": rows}))
    assert found["status"] == "inactive"


def waiting(api):
    """Jill's plan, waiting to be signed off."""
    if api.get("/CarePlan/jill-plan").status_code == 404:
        planning.record(api, planning.planned())


def check_sign_off(api, _type):
    waiting(api)
    assert said(api.get("/CarePlan/jill-plan/$check-sign-off"))["parameter"][0] == {
        "name": "ready",
        "valueBoolean": True,
    }


def document(api, _type):
    waiting(api)
    found = said(api.get("/CarePlan/jill-plan/$document"))
    assert (found["type"], found["entry"][0]["resource"]["resourceType"]) == ("document", "Composition")


def refuse_plan(api, _type):
    waiting(api)
    reason = {"coding": [{"system": f"{GUIDE}CodeSystem/phb-refusal-reason", "code": "poor-value"}]}
    asked = planning.parameters(
        reason=("CodeableConcept", reason), guidance=("String", "Look nearer by"), personPresent=("Boolean", True)
    )
    assert said(api.post("/CarePlan/jill-plan/$refuse", json=asked))["status"] == "completed"


def sign_off(api, _type):
    waiting(api)
    assert said(planning.sign_off(api))["parameter"][0]["resource"]["status"] == "active"


def panel_decide(api, _type):
    waiting(api)  # what a panel needs to decide is told in tests/journeys; that it is asked for a decision, here
    answer = api.post("/Task/jill-sign-off/$panel-decide", json={"resourceType": "Parameters"})
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["diagnostics"] == '"decision" is one of approved, not-approved, referred-on.'


def asha(api):
    """The family's story, with its joint budget."""
    if api.get("/Account/asha-joint").status_code == 404:
        stories.tell(api, stories.FAMILY)


def leave(api, _type):
    asha(api)
    asked = planning.parameters(reason=("String", "The council manages its part by itself from now on."))
    assert "partOf" not in said(api.post("/Account/asha-social-care/$leave", json=asked))


def join(api, _type):
    asha(api)
    reason = planning.parameters(reason=("String", "For a day."))
    assert api.post("/Account/asha-health/$leave", json=reason).status_code == 200
    asked = planning.parameters(
        joint=("Reference", {"reference": "Account/asha-joint"}),
        request=("Reference", {"reference": stories.ask_again(api)}),
        share=("Decimal", 5),
    )
    found = said(api.post("/Account/asha-health/$join", json=asked))
    assert found["partOf"] == {"reference": "Account/asha-joint"}


def request_repayment(api, _type):
    asha(api)
    ground = {"coding": [{"system": f"{GUIDE}CodeSystem/phb-repayment-ground", "code": "plan-changed"}]}
    asked = planning.parameters(
        ground=("CodeableConcept", ground),
        amount=("Money", {"value": 100, "currency": "GBP"}),
        due=("Date", "2027-01-31"),
        reason=("String", "The plan changed in October."),
    )
    asked["parameter"].append({"name": "from", "valueReference": {"reference": "Organization/beacon-budgets"}})
    found = said(api.post("/Account/asha-health/$request-repayment", json=asked))
    assert found["businessStatus"]["coding"][0]["code"] == "issued"


def payment_run(api, _type):
    told = {"name": "One", "sort-code": "600001", "account-number": "71930284"}
    parts = [{"name": name, "valueString": text} for name, text in told.items()]
    parts.append({"name": "holder", "valueReference": {"reference": "Organization/one"}})
    asked = planning.parameters(issuer=("Reference", {"reference": "Organization/one"}), run=("String", "RUN-1"))
    asked["parameter"].append({"name": "account", "part": parts})
    found = said(api.post("/PaymentReconciliation/$payment-run", json=asked))
    assert found["parameter"] == [{"name": "run", "valueString": "RUN-1"}]


def payment_results(api, _type):
    asked = planning.parameters(document=("Base64Binary", "PGE+"))
    answer = api.post("/PaymentReconciliation/$payment-results", json=asked)
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["diagnostics"].startswith("This is no XML that can be read")


def balance(api, _type):
    asha(api)
    found = money.told(api.get("/Account/asha-joint/$balance"))
    assert found["available"] == sum(one["available"] for one in found["funder"])


def ledger(api, _type):
    asha(api)
    found = money.told(api.get("/Account/asha-health/$ledger?_count=1"))
    assert [one["number"] for one in found["entry"]] == [1]


def statement(api, _type):
    asha(api)
    found = money.told(api.get("/Account/asha-health/$statement"))
    assert found["closing"] == money.told(api.get("/Account/asha-health/$balance"))["available"]


def check_purchase(api, _type):
    stories.tell(api)
    found = money.told(api.post("/ChargeItem/$check-purchase", json=stories.massage("TRIAL")))
    assert found["status"] == "billable"


def waiting_purchase(api, reference):
    stories.tell(api)
    dear = stories.massage(reference, pounds="46.00")
    return api.post("/ChargeItem", json=dear).json()["id"]


def approve(api, _type):
    id_ = waiting_purchase(api, "DEAR-1")
    assert said(api.post(f"/ChargeItem/{id_}/$approve", json={"resourceType": "Parameters"}))["status"] == "billable"


def reject(api, _type):
    id_ = waiting_purchase(api, "DEAR-2")
    rows = [
        {"name": "reason", "valueCodeableConcept": {"text": "Too dear."}},
        {"name": "explanation", "valueString": "It costs less elsewhere."},
    ]
    asked = {"resourceType": "Parameters", "parameter": rows}
    assert said(api.post(f"/ChargeItem/{id_}/$reject", json=asked))["status"] == "aborted"


R4_DEFINED = "http://hl7.org/fhir/"
GUIDE = "https://fhir.phb.nhs.example/"
OPERATIONS = {
    f"{GUIDE}OperationDefinition/{name}": exercise
    for name, exercise in {
        "phb-account-everything": everything_of_an_account,
        "phb-account-balance": balance,
        "phb-account-ledger": ledger,
        "phb-account-statement": statement,
        "phb-account-join": join,
        "phb-account-leave": leave,
        "phb-account-request-repayment": request_repayment,
        "phb-paymentreconciliation-payment-results": payment_results,
        "phb-paymentreconciliation-payment-run": payment_run,
        "phb-chargeitem-approve": approve,
        "phb-chargeitem-check-purchase": check_purchase,
        "phb-chargeitem-reject": reject,
        "phb-careplan-check-sign-off": check_sign_off,
        "phb-careplan-document": document,
        "phb-careplan-refuse": refuse_plan,
        "phb-careplan-sign-off": sign_off,
        "phb-task-panel-decide": panel_decide,
        "phb-account-calculate-indicative": calculate_indicative,
        "phb-account-close": close,
        "phb-patient-check-eligibility": check_eligibility,
        "phb-riskassessment-risk-log": risk_log,
    }.items()
} | {
    f"{R4_DEFINED}OperationDefinition/{name}": exercise
    for name, exercise in {
        "Resource-validate": validate,
        "Resource-meta": meta,
        "Resource-meta-add": meta_add,
        "Resource-meta-delete": meta_delete,
        "Patient-everything": everything_of_a_patient,
        "ValueSet-expand": expand,
        "ValueSet-validate-code": validate_code_in_value_set,
        "CodeSystem-validate-code": validate_code_in_code_system,
        "CodeSystem-lookup": lookup,
        "CodeSystem-subsumes": subsumes,
        "StructureDefinition-snapshot": snapshot,
    }.items()
}


@of_each_type
def test_every_operation_that_is_promised_is_there_under_its_name_and_another_is_not(api, rows, type_):
    listed = rows[type_]["operation"]
    assert {"name": "validate", "definition": f"{R4_DEFINED}OperationDefinition/Resource-validate"} in listed
    for operation in listed:
        assert operation["definition"].endswith(f"-{operation['name']}")
        OPERATIONS[operation["definition"]](api, type_)
    there = {operation["name"] for operation in listed}
    for name in {"document", "everything", "expand", "lookup"} - there:
        assert api.get(f"/{type_}/one/${name}").status_code == 404


# ---- versioned-update, by setting -------------------------------------------------------------------------------------


def test_types_that_the_setting_names_promise_versioned_update_and_keep_it(mongodb_uri):
    with server_with(mongodb_uri, versioned_update=("Account", "CarePlan")) as api:
        said = {row["type"]: row["versioning"] for row in api.get("/metadata").json()["rest"][0]["resource"]}
        assert {type_ for type_, versioning in said.items() if versioning == "versioned-update"} == {
            "Account",
            "CarePlan",
        }
        assert set(said.values()) == {"versioned", "versioned-update"}
        for type_, refused in (("Account", 400), ("CarePlan", 400), ("Patient", 200)):
            api.put(f"/{type_}/one", json=one_of(type_))
            assert api.put(f"/{type_}/one", json=one_of(type_, language="cy")).status_code == refused
            named = api.put(f"/{type_}/one", json=one_of(type_, language="en"), headers={"If-Match": "*"})
            assert named.status_code == 200


# ---- the whole system ------------------------------------------------------------------------------------------------


def transaction(api):
    entries = [entry("PUT", "Basic/one", one_of("Basic")), entry("POST", "Patient", minimal("Patient"))]
    answer = api.post("", json=bundle("transaction", *entries))
    assert (answer.status_code, answer.json()["type"]) == (200, "transaction-response")
    assert [one["response"]["status"] for one in answer.json()["entry"]] == ["201 Created"] * 2
    broken = bundle(
        "transaction", entry("PUT", "Basic/two", {**one_of("Basic"), "id": "two"}), entry("GET", "Basic/no")
    )
    assert api.post("", json=broken).status_code == 404
    assert api.get("/Basic/two").status_code == 404


def batch(api):
    entries = [entry("PUT", "Basic/one", one_of("Basic")), entry("GET", "Basic/none"), entry("GET", "Basic/one")]
    answer = api.post("", json=bundle("batch", *entries))
    assert (answer.status_code, answer.json()["type"]) == (200, "batch-response")
    statuses = [one["response"]["status"] for one in answer.json()["entry"]]
    assert statuses == ["201 Created", "404 Not Found", "200 OK"]


def search_system(api):
    for type_ in ("Basic", "Patient"):
        api.put(f"/{type_}/one", json=one_of(type_))
    assert matches(api.get("/?_id=one")) == ["one", "one"]


def history_system(api):
    for type_ in ("Basic", "Patient"):
        api.put(f"/{type_}/one", json=one_of(type_))
    assert [one["fullUrl"].split("/")[-2] for one in api.get("/_history").json()["entry"]] == ["Patient", "Basic"]


SYSTEM = {
    "transaction": transaction,
    "batch": batch,
    "search-system": search_system,
    "history-system": history_system,
}


@pytest.mark.parametrize("code", SYSTEM)
def test_every_interaction_of_the_system_is_there_when_it_is_promised(api, promised, code):
    assert [one["code"] for one in promised["rest"][0]["interaction"]] == list(SYSTEM)
    SYSTEM[code](api)


def test_every_operation_of_the_whole_system_is_there_under_its_name(api, promised):
    listed = promised["rest"][0]["operation"]
    assert listed == [
        {"name": "fsck", "definition": f"{GUIDE}OperationDefinition/phb-fsck"},
        {"name": "meta", "definition": f"{R4_DEFINED}OperationDefinition/Resource-meta"},
    ]
    api.put("/Basic/one", json=one_of("Basic", meta={"tag": [TAG]}))
    assert tags_told(api.get("/$meta")) == [TAG]
    assert said(api.get("/$fsck"))["issue"][0]["diagnostics"] == "Everything agrees."
    assert api.get("/$everything").status_code == 404

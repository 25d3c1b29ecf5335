"""A search parameter that comes later finds what was written before; until it does, it says so instead of finding half."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from phb_fhir.app import at_work
from phb_fhir.change import Create, Delete, Patch, Put
from phb_fhir.definitions.kept import Kept
from phb_fhir.definitions.load import load
from phb_fhir.definitions.package import Package, read_package
from phb_fhir.definitions.registry import Registry
from phb_fhir.definitions.search_parameters import SearchParameters, search_parameters
from phb_fhir.interactions import packages, reindex
from phb_fhir.interactions.commit import commit
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.knowledge import Knowledge
from phb_fhir.interactions.reindex import COMPARTMENTS, Turn, check_settled, counts, mark, note_of, state_of
from phb_fhir.outcome import Refusal, Rejected
from phb_fhir.settings import read_settings
from tests.builders import bundle, entry, person, problem
from tests.definitions_at_hand import BASE, claiming, profile, search_parameter
from tests.interactions.test_knowledge import version
from tests.packages import MANIFEST, packed
from tests.processes import until
from tests.store.stores import run

R4 = load()
SHIPPED = search_parameters(R4)
JUST_BEGUN = (
    "Patient cannot be searched by marital yet, because not every Patient is indexed for it: it is under way. "
    "Ask again in a moment."
)
FAR = datetime.now(UTC) + timedelta(days=1)
SINGLE = {"coding": [{"system": "urn:marital", "code": "S"}]}
MARRIED = {"coding": [{"system": "urn:marital", "code": "M"}]}


def put(api: httpx.Client, resource: Mapping[str, Any], status: int = 201) -> None:
    answer = api.put(f"/{resource['resourceType']}/{resource['id']}", json=resource)
    assert answer.status_code == status, answer.text


def found(api: httpx.Client, search: str) -> list[str]:
    """The ids that a search finds, once it is answered."""
    answers: list[httpx.Response] = []

    def is_answered() -> bool:
        answers.append(api.get(search))
        return answers[-1].status_code != 503

    assert until(is_answered), answers[-1].text
    assert answers[-1].status_code == 200, answers[-1].text
    return sorted(one["resource"]["id"] for one in answers[-1].json().get("entry", []))


@pytest.fixture
def database(api, shelf):
    """What the server of `api` keeps, behind its back."""
    return shelf.database


@contextmanager
def nobody_at_work(database: Any) -> Iterator[None]:
    """The turn is somebody's who does nothing, and does not die either."""
    held = {"owner": "somebody", "until": FAR, "state": "done"}
    database.meta.update_one({"_id": "reindex"}, {"$set": held}, upsert=True)
    try:
        yield
    finally:
        database.meta.update_one({"_id": "reindex"}, {"$set": {"until": datetime(1970, 1, 1, tzinfo=UTC)}})


# ---- over HTTP -------------------------------------------------------------------------------------------------------


def test_a_parameter_finds_what_was_written_before_it_and_what_is_written_after(api, database):
    put(api, person(id="before", maritalStatus=MARRIED))
    put(api, person(id="single", maritalStatus=SINGLE))
    assert problem(api.get("/Patient?marital=M")).status == 400
    put(api, search_parameter())
    put(api, person(id="after", maritalStatus=MARRIED))
    assert found(api, "/Patient?marital=M") == ["after", "before"]
    assert found(api, "/Patient?marital=urn:marital|S") == ["single"]
    assert found(api, "/Patient?marital:missing=true") == []


def test_to_be_indexed_anew_is_no_new_version(api, database):
    put(api, person(id="one", maritalStatus=MARRIED))
    before = api.get("/Patient/one")
    put(api, search_parameter())
    assert found(api, "/Patient?marital=M") == ["one"]
    after = api.get("/Patient/one")
    assert (after.content, after.headers["etag"]) == (before.content, 'W/"1"')
    assert after.headers["last-modified"] == before.headers["last-modified"]
    assert len(api.get("/Patient/one/_history").json()["entry"]) == 1
    assert database.history.count_documents({}) == 0


def test_a_search_that_would_find_half_is_refused_and_others_are_answered(api, database):
    put(api, person(id="before", maritalStatus=MARRIED))
    with nobody_at_work(database):
        put(api, search_parameter())
        put(api, person(id="after", maritalStatus=MARRIED))
        for search in ("marital=M", "marital:missing=true", "_sort=marital", "name=marsh&marital:not=S"):
            refused = api.get(f"/Patient?{search}")
            assert problem(refused)[:3] == (503, "transient", JUST_BEGUN)
            assert int(refused.headers["retry-after"]) > 0
        assert problem(api.get("/Observation?subject:Patient.marital=M")).status == 503
        assert problem(api.get("/?_type=Patient,Basic&name=marsh")).status == 400
        for search in ("name=marsh", "_id=before,after", "_lastUpdated=gt2020", "_has:Observation:subject:code=x"):
            assert api.get(f"/Patient?{search}").status_code == 200, search
        assert found(api, "/Patient?name=marsh") == ["after", "before"]
    assert found(api, "/Patient?marital=M") == ["after", "before"]


def test_what_would_bring_half_along_is_refused_by_whatever_name_the_reference_is_asked_for(api, database):
    surgery = {"resourceType": "Organization", "id": "surgery", "name": "Oakfield Surgery"}
    put(api, surgery)
    put(api, person(id="before", generalPractitioner=[{"reference": "Organization/surgery"}]))
    registered = {"type": "reference", "expression": "Patient.generalPractitioner", "target": ["Organization"]}
    bringing = [
        f"{start}{name}"
        for start in ("/Patient?_include=", "/Organization?_revinclude=")
        for name in ("Patient:registered", "Patient:*", "*")
    ]
    with nobody_at_work(database):
        put(api, search_parameter("registered", **registered))
        for search in bringing:
            assert problem(api.get(search)).status == 503, search
        for search in ("/Patient?_include=Patient:organization", "/Organization?_revinclude=Observation:*"):
            assert api.get(search).status_code == 200, search
    for search in bringing:
        assert found(api, search) == ["before", "surgery"], search


def test_a_conditional_change_is_refused_too_while_its_condition_would_see_half(api, database):
    put(api, person(id="before", maritalStatus=MARRIED))
    with nobody_at_work(database):
        put(api, search_parameter())
        headers = {"If-None-Exist": "marital=M"}
        assert problem(api.post("/Patient", json=person(), headers=headers)).status == 503
        assert problem(api.delete("/Patient?marital=M")).status == 503
        assert problem(api.put("/Patient?marital=M", json=person())).status == 503
        entries = [entry("POST", "Patient", person(), ifNoneExist="marital=M"), entry("POST", "Patient", person())]
        assert problem(api.post("", json=bundle("transaction", *entries))).status == 503
        assert found(api, "/Patient") == ["before"]
    assert found(api, "/Patient?marital=M") == ["before"]
    assert api.delete("/Patient?marital=M").status_code == 204


def test_how_far_it_is_stands_in_the_refusal_and_at_the_address_for_operators(api, database, server):
    for number in range(3):
        put(api, person(id=f"p{number}", maritalStatus=MARRIED))
    with nobody_at_work(database):
        put(api, search_parameter())
        told = {"state": "running", "since": datetime(2026, 11, 22, 9, tzinfo=UTC), "at": FAR}
        rows = {"Patient": {"done": 1, "total": 3, "failed": 0}}
        database.meta.update_one({"_id": "reindex"}, {"$set": {**told, "types": rows}})
        text = problem(api.get("/Patient?marital=M")).text
        assert "1 of 3 are ready since 2026-11-22T09:00:00" in text
        database.meta.update_one({"_id": "reindex"}, {"$set": {"types.Patient.done": 3}})  # for what came before
        assert problem(api.get("/Patient?marital=M")).text == JUST_BEGUN
        database.meta.update_one({"_id": "reindex"}, {"$set": {"types.Patient.done": 1}})
        state = httpx.get(f"{server.root}/index").json()
        assert (state["status"], state["by"], state["types"]) == ("running", "somebody", rows)
        assert state["since"].startswith("2026-11-22T09:00:00")
        database.meta.update_one({"_id": "reindex"}, {"$set": {"until": datetime(1970, 1, 1, tzinfo=UTC)}})
        assert httpx.get(f"{server.root}/index").json()["status"] in ("interrupted", "running")
    assert found(api, "/Patient?marital=M") == ["p0", "p1", "p2"]

    def state_when_done() -> bool:
        state = httpx.get(f"{server.root}/index").json()
        return (state["status"], state["types"]) == ("idle", {"Patient": {"done": 3, "total": 3, "failed": 0}})

    assert until(state_when_done)


def test_a_parameter_that_is_changed_finds_by_what_it_says_now(api):
    put(api, person(id="one", maritalStatus=MARRIED, gender="female"))
    put(api, search_parameter())
    assert found(api, "/Patient?marital=M") == ["one"]
    put(api, search_parameter(expression="Patient.gender"), 200)
    assert found(api, "/Patient?marital=female") == ["one"]
    assert found(api, "/Patient?marital=M") == []


def test_a_parameter_that_is_deleted_or_retired_is_unknown_and_its_values_are_taken_away(api, database):
    put(api, person(id="one", maritalStatus=MARRIED))
    for take_away in (
        lambda: api.delete("/SearchParameter/marital"),
        lambda: put(api, search_parameter(status="retired"), 200),
    ):
        put_back = api.put("/SearchParameter/marital", json=search_parameter())
        assert put_back.status_code in (200, 201)
        assert found(api, "/Patient?marital=M") == ["one"]
        take_away()
        assert problem(api.get("/Patient?marital=M")).status == 400
        assert until(lambda: not any(key.startswith("marital") for key in keys_of(database, "Patient/one")))


def keys_of(database: Any, key: str) -> list[str]:
    return database.resources.find_one({"_id": key})["ix"]["k"]


def test_a_parameter_in_a_transaction_with_what_it_finds(api):
    entries = [
        entry("PUT", "Patient/one", person(id="one", maritalStatus=MARRIED)),
        entry("PUT", "SearchParameter/marital", search_parameter()),
    ]
    assert api.post("", json=bundle("transaction", *entries)).status_code == 200
    assert found(api, "/Patient?marital=M") == ["one"]


def test_a_parameter_of_every_resource_is_one_of_each_type(api):
    put(api, person(id="one", language="cy"))
    put(api, {"resourceType": "Basic", "id": "two", "code": {"text": "a"}, "language": "cy"})
    put(api, search_parameter("lang", base=["Resource"], type="token", expression="Resource.language"))
    assert found(api, "/Patient?lang=cy") == ["one"]
    assert found(api, "/Basic?lang=cy") == ["two"]


def test_a_parameter_of_every_resource_is_one_of_a_search_of_all_types(api):
    put(api, person(id="welsh", language="cy"))
    put(api, {"resourceType": "Organization", "id": "welsh-too", "name": "Cymru", "language": "cy"})
    put(api, person(id="english", language="en"))
    assert problem(api.get("/?tongue=cy")).status == 400
    put(api, search_parameter("tongue", base=["Resource"], expression="Resource.language"))
    assert found(api, "/?tongue=cy") == ["welsh", "welsh-too"]
    assert found(api, "/?tongue=cy&_type=Patient,Device") == ["welsh"]
    listed = api.get("/metadata").json()["rest"][0]["searchParam"]
    assert [one["type"] for one in listed if one["name"] == "tongue"] == ["token"]


def test_a_definition_that_is_indexed_anew_is_known_as_before(api, database):
    """Its document changes in place, which is no news to those who follow what is written."""
    put(api, profile())
    put(api, search_parameter("kinds", base=["StructureDefinition"], expression="StructureDefinition.kind"))
    assert found(api, "/StructureDefinition?kinds=resource") == ["born"]
    put(api, search_parameter())  # and heard of whatever came before
    assert found(api, "/Patient?marital=M") == []
    claims = claiming(person())
    assert problem(api.post("/Patient", json=claims)).expression == "Patient.birthDate"


# ---- what cannot be used, and what is our own ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "place", "telling"),
    [
        ({"code": "name"}, "SearchParameter.code", "already"),
        ({"code": "_mine"}, "SearchParameter.code", "letter"),
        ({"expression": "Patient.nome"}, "SearchParameter.expression", "nome"),
        ({"expression": "Patient.(("}, "SearchParameter.expression", ""),
        ({"expression": "Observation.code"}, "SearchParameter.expression", "Patient"),
        ({"base": ["Person", "Patient", "Patent"]}, "SearchParameter.base[2]", "Patent"),
        ({"type": "special"}, "SearchParameter.type", "special"),
        ({"type": "date"}, "SearchParameter.expression", ""),
    ],
)
def test_a_parameter_that_cannot_work_is_refused_with_the_reason(api, more, place, telling):
    refused = api.put("/SearchParameter/marital", json=search_parameter(**more))
    assert refused.status_code == 422, refused.text
    issues = refused.json()["issue"]
    assert next(issue["expression"] for issue in issues if issue["severity"] == "error") == [place]
    assert telling in issues[0]["diagnostics"]
    checked = api.post("/SearchParameter/$validate", json=search_parameter(**more)).json()
    assert "error" in {issue["severity"] for issue in checked["issue"]}
    put(api, search_parameter())


@pytest.mark.parametrize(
    ("url", "owner"),
    [
        ("http://hl7.org/fhir/SearchParameter/individual-birthdate", "FHIR R4"),
        ("http://hl7.org/fhir/SearchParameter/Resource-id", "FHIR R4"),
        ("https://fhir.phb.nhs.example/SearchParameter/phb-chargeitem-status", "this server"),
    ],
)
def test_a_parameter_of_r4_or_of_the_guide_is_not_changed_by_anybody(api, url, owner):
    refused = problem(api.put("/SearchParameter/marital", json=search_parameter(url=url)))
    assert refused[:2] == (422, "business-rule")
    assert f"is part of {owner}" in refused.text
    put(api, search_parameter(url="http://hl7.org/fhir/SearchParameter/of-another-version"))


def test_metadata_lists_a_parameter_from_its_writing_to_its_deletion(api):
    def listed(type_: str) -> list[dict[str, Any]]:
        rows = {row["type"]: row for row in api.get("/metadata").json()["rest"][0]["resource"]}
        return [one for one in rows[type_]["searchParam"] if one["name"] in ("marital", "carer")]

    assert listed("Patient") == []
    put(api, search_parameter(description="By marital status."))
    expected = {"name": "marital", "definition": f"{BASE}/SearchParameter/marital", "type": "token"}
    assert listed("Patient") == [{**expected, "documentation": "By marital status."}]
    assert listed("Person") == []
    carer = {"type": "reference", "expression": "Patient.contact.organization", "target": ["Organization"]}
    put(api, search_parameter("carer", **carer))
    rows = {row["type"]: row for row in api.get("/metadata").json()["rest"][0]["resource"]}
    assert "Patient:carer" in rows["Patient"]["searchInclude"]
    assert "Patient:carer" in rows["Organization"]["searchRevInclude"]
    assert "Patient:carer" not in rows["Practitioner"]["searchRevInclude"]
    for id_ in ("marital", "carer"):
        api.delete(f"/SearchParameter/{id_}")
    assert listed("Patient") == []


# ---- one worker's part, step by step ---------------------------------------------------------------------------------


@asynccontextmanager
async def worker(uri: str, database_name: str) -> AsyncIterator[Context]:
    """A worker that does nothing by itself, and knows what it wrote and what was there when it began."""
    async with at_work(read_settings(mongodb_uri=uri, mongodb_database=database_name, open=True)) as context:
        await reindex.note_all(context)
        yield context


async def catch_up(context: Context) -> None:
    """This worker's turn, once."""
    turn = Turn(context)
    await turn.run()
    await context.store.reindexing.leave(turn.owner)


async def write(context: Context, resource: dict[str, Any]) -> None:
    await commit(context, Put(resource["resourceType"], resource["id"], resource))


async def is_refused(context: Context, *codes: str, types: tuple[str, ...] = ("Patient",)) -> bool:
    try:
        await check_settled(context, types, codes)
    except Rejected as rejected:
        return rejected.refusal is Refusal.UNAVAILABLE
    return False


def digests(database: Any, type_: str = "Patient") -> set[str | None]:
    return {row.get("ix", {}).get("g") for row in database.resources.find({"type": type_, "deleted": False})}


@pytest.fixture
def own(mongodb_admin: MongoClient[dict[str, Any]], database_name: str):
    """The database of `worker`, behind its back."""
    return mongodb_admin[database_name]


def test_what_a_worker_writes_that_has_not_heard_of_a_parameter_is_told_of_and_mended(mongodb_uri, database_name, own):
    async def story() -> None:
        async with worker(mongodb_uri, database_name) as late, worker(mongodb_uri, database_name) as context:
            await write(context, search_parameter())
            await write(late, person(id="by-the-old", maritalStatus=MARRIED))
            assert await is_refused(context, "marital")
            await catch_up(context)
            assert not await is_refused(context, "marital")
            await write(late, person(id="later-still", maritalStatus=MARRIED))
            assert await is_refused(context, "marital")  # it had been settled, but not for long enough to be remembered
            await catch_up(context)
            assert digests(own) == {context.parameters.digest("Patient")}

    run(story)


def test_a_worker_that_has_not_heard_undoes_nothing(mongodb_uri, database_name, own):
    async def story() -> None:
        async with worker(mongodb_uri, database_name) as late, worker(mongodb_uri, database_name) as context:
            await write(context, search_parameter())
            await write(context, person(id="one"))
            await catch_up(late)
            assert digests(own) == {context.parameters.digest("Patient")}
            late.knowledge.learn([await late.store.read("SearchParameter", "marital")])
            await commit(context, Delete("SearchParameter", "marital"))
            await catch_up(late)
            assert digests(own) == {late.parameters.digest("Patient")}
            await catch_up(context)
            assert digests(own) == {SHIPPED.digest("Patient")}

    run(story)


def test_once_every_worker_has_heard_nobody_looks_any_more(mongodb_uri, database_name, own):
    async def story() -> None:
        async with worker(mongodb_uri, database_name) as context:
            await write(context, search_parameter())
            await write(context, person(id="one"))
            assert not await is_refused(context, "marital", "name")
            assert set(context.knowledge.settled) == {("Patient", "name")}  # every build has that one
            own.resources.update_one({"_id": "Patient/one"}, {"$set": {"ix.g": "unheard of"}})
            assert not await is_refused(context, "name")
            assert await is_refused(context, "marital")
            own.resources.update_one({"_id": "Patient/one"}, {"$set": {"ix.g": context.parameters.digest("Patient")}})
            context.knowledge.news_at -= reindex.SETTLE_S + context.settings.commit_time_max_s
            assert not await is_refused(context, "marital")
            own.resources.update_one({"_id": "Patient/one"}, {"$set": {"ix.g": "unheard of"}})
            assert not await is_refused(context, "marital")

    run(story)


def test_a_parameter_that_changes_is_not_settled_by_what_it_was(mongodb_uri, database_name, own):
    async def story() -> None:
        async with worker(mongodb_uri, database_name) as context:
            await write(context, search_parameter())
            await write(context, person(id="one"))
            context.knowledge.news_at = -1e9
            assert not await is_refused(context, "marital", "name")
            await reindex.note_all(context)
            await write(context, search_parameter(expression="Patient.gender"))
            assert await is_refused(context, "marital")
            assert not await is_refused(context, "name")
            await reindex.note_all(context)
            await write(context, search_parameter("other", expression="Patient.active"))
            await catch_up(context)
            assert not await is_refused(context, "marital", "other")

    run(story)


def test_a_parameter_that_was_taken_away_and_is_back_is_not_settled_by_what_it_was(mongodb_uri, database_name, own):
    async def story() -> None:
        async with worker(mongodb_uri, database_name) as context:
            await write(context, search_parameter())
            await write(context, person(id="one"))
            context.knowledge.news_at = -1e9
            assert not await is_refused(context, "marital")
            await commit(context, Delete("SearchParameter", "marital"))
            await catch_up(context)
            await write(context, search_parameter())
            assert await is_refused(context, "marital")

    run(story)


def test_a_package_brings_parameters_that_build_on_each_other_and_one_that_cannot_be_used_keeps_it_out(
    mongodb_uri, database_name, own, tmp_path
):
    parts = [
        {"definition": f"{BASE}/SearchParameter/{name}", "expression": path}
        for name, path in (("marital", "maritalStatus"), ("sex", "gender"))
    ]
    both = search_parameter("both", type="composite", expression="Patient", component=parts)
    files = {
        "a.json": search_parameter(),
        "b.json": search_parameter("sex", expression="Patient.gender"),
        "c.json": both,
    }

    def package(**more: Any) -> Package:
        path = tmp_path / "some.tgz"
        path.write_bytes(packed({"package.json": MANIFEST, **files, **more}))
        return read_package(path, R4)

    async def story() -> None:
        async with worker(mongodb_uri, database_name) as context:
            await write(context, person(id="one", maritalStatus=MARRIED, gender="female"))
            wrong = package(**{"d.json": search_parameter("bad", expression="Patient.nome")})
            problems = [one for one in packages.problems_in(context, [wrong]) if one.issue.is_error]
            assert [(one.file, one.issue.expression) for one in problems] == [("d.json", "SearchParameter.expression")]
            assert [one for one in packages.problems_in(context, [package()]) if one.issue.is_error] == []
            await packages.install(context, [package()])
            await catch_up(context)
            assert context.parameters.of("Patient")["both"].type == "composite"
            [row] = own.resources.find_one({"_id": "Patient/one"})["ix"]["c"]["both"]
            assert "=*M" in row["0"]["k"]
            assert "=*female" in row["1"]["k"]

    run(story)


def test_a_digest_stands_for_what_its_note_says_and_without_a_note_for_nothing(mongodb_uri, database_name, own):
    async def story() -> None:
        async with worker(mongodb_uri, database_name) as context:
            await write(context, search_parameter())
            await write(context, person(id="one"))
            note = note_of(context.parameters, "Patient")
            own.resources.update_one({"_id": "Patient/one"}, {"$set": {"ix.g": "another"}})
            assert await is_refused(context, "name")
            lacking = {**note, "parameters": {c: m for c, m in note["parameters"].items() if c != "birthdate"}}
            await context.store.reindexing.note({"another": lacking})
            for code in ("name", "marital", "_tag", COMPARTMENTS):
                assert not await is_refused(context, code), code
            assert await is_refused(context, "birthdate")
            assert await is_refused(context, "name", "birthdate")
            assert not await is_refused(context, "_id", "_lastUpdated", "_list", "_text", "of-no-type")
            assert await is_refused(context, "birthdate", types=())
            assert not await is_refused(context, "birthdate", types=("Person",))

    run(story)


def test_what_an_older_build_wrote_is_mended_and_until_then_nothing_finds_half_of_it(mongodb_uri, database_name, own):
    async def story() -> None:
        async with worker(mongodb_uri, database_name) as context:
            await write(context, person(id="one", gender="female"))
            whole = own.resources.find_one({"_id": "Patient/one"})
            own.resources.update_one({}, {"$set": {"ix": {"token": ["identifier=a|"]}}, "$unset": {"seq": 1}})
            assert await is_refused(context, "gender")
            assert await is_refused(context, COMPARTMENTS)
            assert not await is_refused(context, "_id", "_lastUpdated")
            await catch_up(context)
            assert not await is_refused(context, "gender")
            after = own.resources.find_one({"_id": "Patient/one"})
            assert (after["ix"]["k"], after["version"]) == (whole["ix"]["k"], 1)

    run(story)


def test_what_a_newer_build_wrote_is_let_be(mongodb_uri, database_name, own):
    async def story() -> None:
        async with worker(mongodb_uri, database_name) as context:
            await write(context, person(id="one"))
            for build, expected in (([99], {"other"}), ([0, 0, 1], {context.parameters.digest("Patient")})):
                own.resources.update_one({}, {"$set": {"ix.g": "other"}})
                own.meta.delete_one({"_id": "parameters/other"})
                await context.store.reindexing.note({"other": {"build": build, "parameters": {}}})
                await catch_up(context)
                assert digests(own) == expected

    run(story)


def test_a_document_that_is_damaged_takes_no_other_with_it_and_is_told_of(mongodb_uri, database_name, own):
    async def story() -> None:
        async with worker(mongodb_uri, database_name) as context:
            for id_ in ("good", "no-json", "not-json", "no-version"):
                await write(context, person(id=id_, maritalStatus=MARRIED))
            own.resources.update_one({"_id": "Patient/no-json"}, {"$unset": {"json": 1}})
            own.resources.update_one({"_id": "Patient/not-json"}, {"$set": {"json": '{"resourceType":'}})
            own.resources.update_one({"_id": "Patient/no-version"}, {"$unset": {"version": 1}})
            await write(context, search_parameter())
            await catch_up(context)
            assert not await is_refused(context, "marital")
            assert (await state_of(context.store))["types"] == {"Patient": {"done": 4, "total": 4, "failed": 2}}
            with_values = {row["_id"] for row in own.resources.find({"ix.k": "marital=*M"})}
            assert with_values == {"Patient/good", "Patient/no-version"}

    run(story)


def test_a_worker_takes_up_what_another_left_and_says_who_and_since_when(mongodb_uri, database_name, own, monkeypatch):
    async def story() -> None:
        async with worker(mongodb_uri, database_name) as context:
            for number in range(25):
                await write(context, person(id=f"p{number}", maritalStatus=MARRIED))
            await write(context, search_parameter())
            monkeypatch.setattr(reindex, "BATCH_MAX", 10)
            first, next_ = Turn(context), Turn(context)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(first, "_tell", dies_at_the_second(first._tell))
                with pytest.raises(RuntimeError):
                    await first.run()
            half = await state_of(context.store)
            assert (half["status"], half["by"]) == ("running", first.owner)
            assert await counts(context) == {"Patient": (25, 15), "SearchParameter": (1, 0)}
            await next_.run()
            assert digests(own) != {context.parameters.digest("Patient")}  # it is not its turn
            await context.store.reindexing.leave(first.owner)
            assert (await state_of(context.store))["status"] == "interrupted"
            await next_.run()
            done = await state_of(context.store)
            assert (done["status"], done["by"], done["since"]) == ("idle", next_.owner, half["since"])
            assert done["types"] == {"Patient": {"done": 25, "total": 25, "failed": 0}}
            assert digests(own) == {context.parameters.digest("Patient")}

    run(story)


def test_a_worker_that_died_before_it_could_say_that_all_is_done_is_spoken_for(mongodb_uri, database_name, own):
    async def story() -> None:
        async with worker(mongodb_uri, database_name) as context:
            await write(context, person(id="one"))
            dead = reindex.owner()
            await context.store.reindexing.take(dead)
            await context.store.reindexing.tell(dead, {"Patient": {"done": 0, "total": 1, "failed": 1}})
            await context.store.reindexing.leave(dead)
            await catch_up(context)
            state = await state_of(context.store)
            assert (state["status"], state["types"]) == ("idle", {"Patient": {"done": 1, "total": 1, "failed": 1}})

    run(story)


def dies_at_the_second(tell: Any) -> Any:
    told = 0

    async def telling() -> bool:
        nonlocal told
        told += 1
        if told > 1:
            raise RuntimeError("killed")
        return bool(await tell())

    return telling


def test_a_parameter_that_comes_in_the_middle_is_not_left_out(mongodb_uri, database_name, own, monkeypatch):
    async def story() -> None:
        async with worker(mongodb_uri, database_name) as context:
            for number in range(6):
                await write(context, person(id=f"p{number}", maritalStatus=MARRIED, gender="female"))
            await write(context, search_parameter())
            monkeypatch.setattr(reindex, "BATCH_MAX", 2)
            turn = Turn(context)
            running = asyncio.create_task(turn.run())
            while (await counts(context))["Patient"].stale == 6:
                await asyncio.sleep(0)
            await write(context, search_parameter("sex", expression="Patient.gender"))
            await running
            await turn.run()
            assert own.resources.count_documents({"ix.k": {"$all": ["marital=*M", "sex=*female"]}}) == 6
            assert digests(own) == {context.parameters.digest("Patient")}

    run(story)


def test_writes_go_on_while_it_runs_and_win(mongodb_uri, database_name, own, monkeypatch):
    async def story() -> None:
        async with worker(mongodb_uri, database_name) as context:
            for number in range(20):
                await write(context, person(id=f"p{number}", maritalStatus=SINGLE))
            await write(context, search_parameter())
            monkeypatch.setattr(reindex, "BATCH_MAX", 3)
            running = asyncio.create_task(catch_up(context))
            for number in range(0, 20, 2):
                await commit(context, Patch("Patient", f"p{number}", lambda one: {**one, "maritalStatus": MARRIED}))
            await commit(context, Create("Patient", "fresh", person(maritalStatus=MARRIED)))
            await commit(context, Delete("Patient", "p1"))
            await running
            await catch_up(context)
            married = {row["_id"] for row in own.resources.find({"ix.k": "marital=*M"})}
            assert married == {"Patient/fresh", *(f"Patient/p{number}" for number in range(0, 20, 2))}
            assert own.resources.count_documents({"ix.k": "marital=*S"}) == 9
            assert not await is_refused(context, "marital")

    run(story)


# ---- what is known ---------------------------------------------------------------------------------------------------


def kept(resource: dict[str, Any]) -> Kept:
    return Kept.of(resource)


def test_the_mark_of_a_parameter_changes_with_what_it_finds_and_with_nothing_else():
    def made(**more: Any) -> str:
        parameters = SHIPPED.changed([kept(search_parameter(**more))])
        return mark(parameters.of("Patient")["marital"])

    assert made() == made(description="In other words.", version="9", url="urn:other", id="other")
    different = [
        {"expression": "Patient.gender"},
        {"type": "string", "expression": "Patient.maritalStatus.text"},
        {"modifier": ["missing"]},
    ]
    assert len({made(), *(made(**more) for more in different)}) == 4


def test_a_digest_follows_from_the_parameters_whatever_the_order_they_came_in():
    one, other = kept(search_parameter()), kept(search_parameter("sex", expression="Patient.gender"))
    digests = {SHIPPED.changed(order).digest("Patient") for order in ([one, other], [other, one])}
    assert len(digests) == 1
    assert digests != {SHIPPED.digest("Patient")}
    assert SHIPPED.changed([one]).digest("Person") == SHIPPED.digest("Person")


def test_who_lacks_a_version_that_is_stored_is_behind_and_who_knows_more_is_not():
    knowledge = Knowledge(Registry.of(R4, []))
    assert not knowledge.is_behind("SearchParameter", {})
    assert knowledge.is_behind("SearchParameter", {"SearchParameter/marital": 1})
    knowledge.learn([version(search_parameter(), 2)])
    assert not knowledge.is_behind("SearchParameter", {"SearchParameter/marital": 1})
    assert knowledge.is_behind("SearchParameter", {"SearchParameter/marital": 3})
    assert knowledge.is_behind("SearchParameter", {})  # it is gone, and that was not heard
    knowledge.learn([version(search_parameter(), 3, deleted=True)])
    assert not knowledge.is_behind("SearchParameter", {})


def test_the_parameters_known_are_the_shipped_ones_and_the_newest_of_each_stored_one():
    knowledge = Knowledge(Registry.of(R4, []))
    assert knowledge.parameters is knowledge.own_parameters is SHIPPED
    assert not knowledge.news.is_set()
    knowledge.learn([version(search_parameter("old", code="marital", url="urn:same", version="1.9"))])
    knowledge.learn(
        [
            version(
                search_parameter(
                    "new", code="marital", url="urn:same", version="1.10", expression="Patient.name", type="string"
                )
            )
        ]
    )
    knowledge.learn([version(search_parameter("ancient", code="marital", url="urn:same", version="1.1"))])
    known: SearchParameters = knowledge.parameters
    assert known.of("Patient")["marital"].type == "string"
    assert knowledge.parameters is known
    assert knowledge.news.is_set()
    assert knowledge.own_parameters is SHIPPED

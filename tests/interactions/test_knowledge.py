"""What is written of profiles, value sets and code systems is what the next resource is judged by; what is our own stays."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from phb_fhir.change import Version
from phb_fhir.data import data_path
from phb_fhir.definitions.guide import read_guide
from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.definitions.terminology import terminology_of
from phb_fhir.fhir.codec import dumps
from phb_fhir.interactions.knowledge import Knowledge
from phb_fhir.outcome import Kind, Refusal, refuse
from phb_fhir.validation.profile import plans_of
from phb_fhir.validation.validate import validate
from tests.builders import bundle, entry, person, problem
from tests.definitions_at_hand import BASE, bound, claiming, code_system, profile, value_set

R4 = load()
OURS = "https://fhir.phb.nhs.example/StructureDefinition/phb-account"
START = datetime(2026, 11, 22, 9, tzinfo=UTC)


def nobody(name: str = "born"):
    return claiming(person(), name)


def somebody(name: str = "born"):
    return claiming(person(birthDate="1950-01-01"), name)


def painted(code: str):
    coding = {"system": f"{BASE}/CodeSystem/colours", "code": code}
    return claiming({"resourceType": "Basic", "code": {"coding": [coding]}}, "painted")


def put(api, resource):
    return api.put(f"/{resource['resourceType']}/{resource['id']}", json=resource).status_code


# ---- over HTTP -------------------------------------------------------------------------------------------------------


def test_a_profile_is_known_from_its_writing_to_its_deletion(api):
    assert api.post("/Patient", json=nobody()).status_code == 201
    assert put(api, profile()) == 201
    refused = problem(api.post("/Patient", json=nobody()))
    assert (refused.status, refused.expression) == (422, "Patient.birthDate")
    assert api.post("/Patient", json=somebody()).status_code == 201
    assert api.delete("/StructureDefinition/born").status_code == 204
    assert api.post("/Patient", json=nobody()).status_code == 201


def test_a_profile_that_is_changed_or_patched_counts_as_it_stands(api):
    put(api, profile())
    put(api, profile(path="Patient.gender"))
    assert problem(api.post("/Patient", json=somebody())).expression == "Patient.gender"
    headers = {"Content-Type": "application/json-patch+json"}
    patch = [{"op": "replace", "path": "/differential/element/1/min", "value": 0}]
    assert api.patch("/StructureDefinition/born", json=patch, headers=headers).status_code == 200
    assert api.post("/Patient", json=nobody()).status_code == 201


def test_a_transaction_of_definitions_is_known_whole_and_a_refused_one_not_at_all(api):
    definitions = [code_system(), value_set(), bound()]
    entries = [entry("PUT", f"{r['resourceType']}/{r['id']}", r) for r in definitions]
    spoilt = bundle("transaction", *entries, entry("PUT", "Patient/x", {"resourceType": "Patient", "id": "x", "no": 1}))
    assert api.post("", json=spoilt).status_code == 400
    assert api.post("/Basic", json=painted("blue")).status_code == 201
    assert api.post("", json=bundle("transaction", *entries)).status_code == 200
    assert "blue" in problem(api.post("/Basic", json=painted("blue"))).text
    assert api.post("/Basic", json=painted("red")).status_code == 201


def test_of_two_definitions_with_one_url_the_newer_version_counts_and_then_the_later_written(api):
    def expected() -> str:
        return problem(api.post("/Patient", json=nobody())).expression

    put(api, profile(id="one", version="1.10"))
    put(api, profile(id="two", version="1.9", path="Patient.gender"))
    assert expected() == "Patient.birthDate"
    put(api, profile(id="three", version="1.10", path="Patient.active"))
    assert expected() == "Patient.active"
    api.delete("/StructureDefinition/three")
    assert expected() == "Patient.birthDate"
    pinned = claiming(person())
    pinned["meta"]["profile"][0] += "|1.9"
    assert problem(api.post("/Patient", json=pinned)).expression == "Patient.gender"


@pytest.mark.parametrize(
    ("definition", "expression"),
    [
        (profile(path="Patient.nome"), "StructureDefinition.differential"),
        (profile(baseDefinition=f"{BASE}/StructureDefinition/born"), "StructureDefinition.baseDefinition"),
        (value_set(include={"valueSet": [f"{BASE}/ValueSet/colours"]}), "ValueSet.compose.include[0].valueSet[0]"),
        (
            value_set(include={"system": "urn:x", "filter": [{"property": "a", "op": "like", "value": "b"}]}),
            "ValueSet.compose.include[0].filter[0].op",
        ),
        (
            value_set(include={"system": "urn:x", "filter": [{"property": "a", "op": "regex", "value": "(("}]}),
            "ValueSet.compose.include[0].filter[0].value",
        ),
        (code_system(codes=("red", "red")), "CodeSystem"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_definition_that_cannot_be_used_is_refused_where_it_is_wrong(api, definition, expression):
    refused = problem(api.put(f"/{definition['resourceType']}/{definition['id']}", json=definition))
    assert (refused.status, refused.expression) == (422, expression)
    good = {"StructureDefinition": profile(), "ValueSet": value_set(), "CodeSystem": code_system()}
    assert put(api, good[definition["resourceType"]]) == 201


def test_value_sets_that_are_made_of_each_other_are_refused_with_the_one_that_closes_the_circle(api):
    a = value_set("a", include={"valueSet": [f"{BASE}/ValueSet/b"]})
    b = value_set("b", include={"valueSet": [f"{BASE}/ValueSet/a|1.0"]})
    assert put(api, a) == 201
    assert problem(api.put("/ValueSet/b", json=b)).text == (
        f"{BASE}/ValueSet/a|1.0 leads back to this value set, {BASE}/ValueSet/b; a value set cannot be made of itself."
    )


# ---- what is our own -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("definition", "owner"),
    [
        (profile(url="http://hl7.org/fhir/StructureDefinition/Patient"), "FHIR R4"),
        (profile(url="http://hl7.org/fhir/StructureDefinition/bp", version="99"), "FHIR R4"),
        (value_set(url="http://hl7.org/fhir/ValueSet/administrative-gender"), "FHIR R4"),
        (code_system(url="http://hl7.org/fhir/administrative-gender"), "FHIR R4"),
        (profile(url=OURS, path="Account.status"), "this server"),
        (profile(url=OURS, path="Account.status", version="99.0"), "this server"),
        (value_set(url="https://fhir.phb.nhs.example/ValueSet/phb-account-type"), "this server"),
    ],
)
def test_a_definition_under_a_url_of_r4_or_of_this_server_is_refused_however_it_comes(api, definition, owner):
    type_, id_ = definition["resourceType"], definition["id"]
    told = (
        f"{definition['url']} is part of {owner} and is not changed here; give a definition of yours a url of its own."
    )
    tried = [
        api.put(f"/{type_}/{id_}", json=definition),
        api.post(f"/{type_}", json=definition),
        api.put(f"/{type_}?url=urn:none", json=definition),
        api.post("", json=bundle("transaction", entry("PUT", f"{type_}/{id_}", definition))),
    ]
    assert [(problem(one).status, problem(one).text) for one in tried] == [(422, told)] * 4
    mine = {**definition, "url": f"{BASE}/mine"}
    assert put(api, mine) == 201
    headers = {"Content-Type": "application/json-patch+json"}
    patch = [{"op": "replace", "path": "/url", "value": definition["url"]}]
    assert problem(api.patch(f"/{type_}/{id_}", json=patch, headers=headers)).text == told


def test_what_r4_names_but_does_not_publish_may_be_given():
    knowledge = Knowledge(Registry.of(R4, []))
    assert knowledge.owner("StructureDefinition", "http://hl7.org/fhir/StructureDefinition/of-another-version") == ""
    assert knowledge.owner("CodeSystem", "http://snomed.info/sct") == ""
    assert knowledge.owner("CodeSystem", "http://terminology.hl7.org/CodeSystem/v3-ActCode") == ""
    assert knowledge.owner("StructureDefinition", "http://hl7.org/fhir/StructureDefinition/Patient|4.0.1") == "FHIR R4"


def test_what_is_stored_under_a_url_of_our_own_all_the_same_is_not_used():
    """As after an update of this software that brings a definition which somebody had written before."""
    guide = read_guide(data_path("profiles"))
    knowledge = Knowledge(Registry.of(R4, guide.resources), guide.urls)
    before = knowledge.known.structure(OURS)
    knowledge.learn([version(profile(url=OURS, version="99", path="Account.status"))])
    assert knowledge.known.structure(OURS) is before


# ---- keeping up ------------------------------------------------------------------------------------------------------


def version(resource, number: int = 1, *, deleted: bool = False) -> Version:
    json = None if deleted else dumps(resource)
    at = START + timedelta(seconds=number)
    return Version(resource["resourceType"], resource["id"], number, at, "PUT", json)


def knows(knowledge: Knowledge, path: str = "Patient.birthDate") -> bool:
    issues = validate(nobody(), R4, known=knowledge.known)
    return any(issue.expression == path for issue in issues if issue.is_error)


def test_a_change_that_comes_late_or_twice_changes_nothing():
    knowledge = Knowledge(Registry.of(R4, []))
    knowledge.learn([version(profile(path="Patient.gender"), 2)])
    known = knowledge.known
    knowledge.learn([version(profile(), 1), version(profile(path="Patient.gender"), 2)])
    assert knowledge.known is known
    assert knows(knowledge, "Patient.gender")
    knowledge.learn([version(profile(), 3, deleted=True)])
    knowledge.learn([version(profile(), 2)])
    assert not knows(knowledge, "Patient.gender")


def test_what_is_no_definition_changes_nothing():
    knowledge = Knowledge(Registry.of(R4, []))
    known = knowledge.known
    knowledge.learn([version({**person(), "id": "a"}), version({**code_system(), "url": None})])
    assert knowledge.known is known


def test_a_registry_that_was_replaced_is_let_go_of_with_all_that_was_made_of_it():
    knowledge = Knowledge(Registry.of(R4, []))
    knowledge.learn([version(profile()), version(code_system()), version(value_set()), version(bound())])
    for resource in (nobody(), somebody(), painted("red"), painted("blue")):
        validate(resource, R4, known=knowledge.known)
    made = [knowledge.known, plans_of(knowledge.known), terminology_of(knowledge.known)]
    gone = [weakref.ref(each) for each in made]
    knowledge.learn([version(profile(), 2, deleted=True)])
    assert knowledge.known is not made[0]
    made.clear()
    gc.collect()
    assert [each() for each in gone] == [None, None, None]
    assert not any(issue.is_error for issue in validate(painted("red"), R4, known=knowledge.known))


class Source:
    """A store to follow: what stands, and what then happens; a refusal among it ends the watch, None waits for ever."""

    def __init__(self, *watches: tuple[list[Version], list[Version | str | None]]) -> None:
        self._watches = iter(watches)

    @asynccontextmanager
    async def watch(self, _types: Collection[str]) -> AsyncIterator[Source]:
        self._standing, self._happening = next(self._watches)
        yield self

    async def current(self) -> AsyncIterator[Version]:
        for each in self._standing:
            yield each

    async def changes(self) -> AsyncIterator[Version | str]:
        for each in self._happening:
            if each is None:
                await asyncio.Event().wait()
            elif isinstance(each, str) and each == "over":
                raise refuse(Refusal.UNAVAILABLE, Kind.TRANSIENT, "The stream is over.")
            else:
                yield each  # type: ignore[misc]


def followed(*watches, until) -> Knowledge:
    """What is known once `until` holds of it, of these watches one after the other."""

    async def follow() -> Knowledge:
        knowledge = Knowledge(Registry.of(R4, []))
        task = asyncio.create_task(knowledge.follow(Source(*watches)))
        async with asyncio.timeout(30):
            while not until(knowledge):
                await asyncio.sleep(0.01)
        task.cancel()
        return knowledge

    return asyncio.run(follow())


def test_what_stands_is_known_when_it_is_ready():
    knowledge = followed(([version(profile())], [None]), until=lambda one: one.ready.is_set())
    assert knows(knowledge)


def test_what_happens_is_learnt_and_what_is_gone_altogether_is_forgotten():
    assert knows(followed(([], [version(profile()), None]), until=knows))
    gone = followed(
        ([version(profile())], ["StructureDefinition/born", version(code_system()), None]),
        until=lambda one: one.known.code_system(f"{BASE}/CodeSystem/colours") is not None,
    )
    assert not knows(gone)


def test_after_a_stream_is_over_all_is_as_it_stands_then():
    knowledge = followed(
        ([version(profile()), version(value_set())], [version(code_system()), "over"]),
        ([version(value_set()), version(bound())], [None]),
        until=lambda one: one.known.structure(f"{BASE}/StructureDefinition/painted") is not None,
    )
    known = knowledge.known
    assert not knows(knowledge)
    assert known.code_system(f"{BASE}/CodeSystem/colours") is None
    assert known.value_set(f"{BASE}/ValueSet/colours") is not None


def test_what_this_process_writes_while_it_begins_again_is_not_forgotten():
    async def follow() -> Knowledge:
        knowledge = Knowledge(Registry.of(R4, []))
        source = Source(([], [None]))
        current = source.current

        async def current_and_a_write() -> AsyncIterator[Version]:
            knowledge.learn([version(profile())])  # after the question went out, before its answer is in
            async for each in current():
                yield each

        source.current = current_and_a_write  # type: ignore[method-assign]
        task = asyncio.create_task(knowledge.follow(source))
        await asyncio.wait_for(knowledge.ready.wait(), 30)
        task.cancel()
        return knowledge

    assert knows(asyncio.run(follow()))

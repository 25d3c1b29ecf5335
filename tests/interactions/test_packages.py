"""Packages become resources: all that they define or nothing, each where its like is, and the same package again changes nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from phb_fhir.app import at_work
from phb_fhir.change import Effect
from phb_fhir.data import data_path
from phb_fhir.definitions.guide import read_guide
from phb_fhir.definitions.kept import Kept
from phb_fhir.definitions.load import load
from phb_fhir.definitions.package import Package, build_package, read_package
from phb_fhir.definitions.registry import Registry
from phb_fhir.interactions import packages
from phb_fhir.interactions.packages import Installed
from phb_fhir.outcome import Rejected
from phb_fhir.settings import Settings
from tests.builders import person, problem
from tests.definitions_at_hand import BASE, bound, claiming, code_system, profile, value_set
from tests.packages import MANIFEST, UK_CORE, packed
from tests.running import RunningServer

R4 = load()


class Record:
    """A database, and what packages do to it."""

    def __init__(self, settings: Settings, admin: MongoClient[dict[str, Any]], folder: Path) -> None:
        self.settings = settings
        self.resources = admin[settings.mongodb_database].resources
        self.folder = folder

    def package(self, files: dict[str, Any] | bytes, **manifest: Any):
        path = self.folder / "some.tgz"
        given = files if isinstance(files, bytes) else packed({"package.json": {**MANIFEST, **manifest}, **files})
        path.write_bytes(given)
        return read_package(path, R4)

    def install(self, files: dict[str, Any] | bytes, **manifest: Any) -> Installed:
        [done] = self.install_all(self.package(files, **manifest))
        return done

    def install_all(self, *found) -> list[Installed]:
        async def work() -> list[Installed]:
            async with at_work(self.settings) as context:
                return await packages.install(context, found)

        return asyncio.run(work())

    def uninstall(self, name: str = "some.package") -> packages.Uninstalled | None:
        async def work() -> packages.Uninstalled | None:
            async with at_work(self.settings) as context:
                return await packages.uninstall(context, name)

        return asyncio.run(work())

    def problems(self, *found) -> list[tuple[str, str, str]]:
        """The errors in packages: file, place, sentence."""

        async def work() -> list[tuple[str, str, str]]:
            async with at_work(self.settings) as context:
                told = packages.problems_in(context, found)
                return [(one.file, one.issue.expression, one.issue.text) for one in told if one.issue.is_error]

        return asyncio.run(work())

    def installed(self) -> list[tuple[str, str, int]]:
        async def work() -> list[dict[str, Any]]:
            async with at_work(self.settings) as context:
                return await packages.installed(context)

        return [(one["name"], one["version"], len(one["resources"])) for one in asyncio.run(work())]

    def versions(self) -> dict[str, int]:
        return {document["_id"]: document["version"] for document in self.resources.find()}


@pytest.fixture
def record(mongodb_uri: str, mongodb_admin: MongoClient[dict[str, Any]], database_name: str, tmp_path: Path) -> Record:
    return Record(Settings(mongodb_uri=mongodb_uri, mongodb_database=database_name), mongodb_admin, tmp_path)


COLOURS = {"a.json": code_system(), "b.json": value_set(), "c.json": bound()}


def test_a_package_becomes_resources_and_again_changes_nothing(record):
    assert record.install(COLOURS).effects == {Effect.CREATED: 3}
    stands = {"CodeSystem/colours": 1, "ValueSet/colours": 1, "StructureDefinition/painted": 1}
    assert record.versions() == stands
    assert record.install(COLOURS).effects == {Effect.UNCHANGED: 3}
    assert record.versions() == stands
    assert record.installed() == [("some.package", "1.2.3", 3)]


def test_what_changed_in_a_package_is_updated_where_it_is(record):
    record.install(COLOURS)
    changed = {**COLOURS, "a.json": code_system(codes=("red",)), "d.json": profile()}
    done = record.install(changed, version="1.2.4")
    assert done.effects == {Effect.UPDATED: 1, Effect.UNCHANGED: 2, Effect.CREATED: 1}
    assert record.versions()["CodeSystem/colours"] == 2
    assert record.installed() == [("some.package", "1.2.4", 4)]


def test_a_definition_goes_over_the_one_with_its_url_and_version_wherever_that_is(record):
    record.install({"a.json": profile(id="here")})
    record.install({"a.json": profile(id="there", title="Changed")})
    assert record.versions() == {"StructureDefinition/here": 2}


def test_a_newer_version_takes_the_place_of_the_older_under_the_id_they_share(record):
    record.install({"a.json": profile()})
    record.install({"a.json": profile(version="2.0")})
    assert record.versions() == {"StructureDefinition/born": 2}


def test_an_id_that_another_definition_has_is_left_to_it(record):
    record.install({"a.json": profile(url=f"{BASE}/first")})
    record.install({"a.json": profile(), "b.json": profile(url=f"{BASE}/third")})
    versions = record.versions()
    assert versions.pop("StructureDefinition/born") == 1
    assert f"url={BASE}/first" in record.resources.find_one({"_id": "StructureDefinition/born"})["ix"]["k"]
    assert list(versions.values()) == [1, 1]


def test_definitions_without_an_id_get_one(record):
    without = {key: value for key, value in profile().items() if key != "id"}
    assert record.install({"a.json": without}).effects == {Effect.CREATED: 1}
    assert record.install({"a.json": without}).effects == {Effect.UNCHANGED: 1}


def test_fragments_of_one_code_system_stay_two(record):
    fragment = code_system(content="fragment")
    files = {"a.json": fragment, "b.json": {**fragment, "id": "other", "concept": [{"code": "blue"}]}}
    assert record.install(files).effects == {Effect.CREATED: 2}
    assert record.install(files).effects == {Effect.UNCHANGED: 2}


def test_all_packages_are_stored_or_none(record):
    good = record.package(COLOURS)
    too_large = Kept.of(profile(description="x" * 17_000_000))
    with pytest.raises(Rejected, match="larger than the 16 MB"):
        record.install_all(good, Package("other.package", "1", {"a.json": too_large}))
    assert (record.versions(), record.installed()) == ({}, [])
    record.install_all(good)
    assert len(record.versions()) == 3


def test_a_package_is_installed_over_what_others_may_only_update_by_naming_its_version(record):
    record.install(COLOURS)
    record.settings = record.settings.model_copy(update={"versioned_update": ("CodeSystem",)})
    assert record.install({**COLOURS, "a.json": code_system(codes=("red",))}).effects[Effect.UPDATED] == 1


def test_a_package_is_taken_away_whole_and_can_be_brought_again(record):
    record.install(COLOURS)
    assert record.uninstall() == ("some.package 1.2.3", 3, (), ())
    assert record.resources.count_documents({"deleted": False}) == 0
    assert record.installed() == []
    assert record.uninstall() is None
    assert record.install(COLOURS).effects == {Effect.CREATED: 3}
    assert record.resources.count_documents({"deleted": False}) == 3


def test_what_another_package_has_brought_too_or_somebody_has_changed_stays(record, mongodb_uri):
    record.install({**COLOURS, "d.json": profile()})
    record.install({"d.json": profile()}, name="other.package")
    with RunningServer(mongodb_uri, record.settings.mongodb_database) as running:
        theirs = {**code_system(), "title": "Ours"}
        assert httpx.put(f"{running.base}/CodeSystem/colours", json=theirs, verify=False, timeout=30).status_code == 200
    assert record.uninstall() == ("some.package 1.2.3", 2, ("StructureDefinition/born",), ("CodeSystem/colours",))
    standing = {document["_id"] for document in record.resources.find({"deleted": False})}
    assert {"StructureDefinition/born", "CodeSystem/colours"} <= standing
    assert standing.isdisjoint({"ValueSet/colours", "StructureDefinition/painted"})
    assert record.installed() == [("other.package", "1.2.3", 1)]


def test_every_problem_is_named_with_its_file_and_its_place_and_nothing_else_is(record):
    wrong = {
        "a.json": profile(path="Patient.nome"),
        "b.json": value_set(status="valid"),
        "c.json": code_system(codes=("a", "a")),
        "d.json": bound(),
    }
    found = record.problems(record.package(wrong))
    assert [(file, place) for file, place, _ in found] == [
        ("a.json", "StructureDefinition.differential"),
        ("b.json", "ValueSet.status"),
        ("c.json", "CodeSystem"),
    ]
    assert record.problems(record.package({"a.json": profile(), "d.json": bound()})) == []


def test_the_definitions_of_packages_may_lean_on_each_other_in_any_order(record):
    upon = profile("upon", baseDefinition=f"{BASE}/StructureDefinition/born")
    missing = record.package(
        {"a.json": {**upon, "differential": {"element": [{"id": "Patient.nome", "path": "Patient.nome"}]}}}
    )
    base = record.package({"z.json": profile()}, name="base.package")
    assert [place for _, place, _ in record.problems(missing, base)] == ["StructureDefinition.differential"]
    assert record.problems(record.package({"a.json": upon}), base) == []
    circle = {
        "a.json": value_set("a", include={"valueSet": [f"{BASE}/ValueSet/b"]}),
        "b.json": value_set("b", include={"valueSet": [f"{BASE}/ValueSet/a"]}),
    }
    assert [file for file, _, _ in record.problems(record.package(circle))] == ["a.json", "b.json"]


def test_what_is_r4s_own_or_this_servers_is_left_out_and_told(record):
    own = {
        "a.json": profile(url="http://hl7.org/fhir/StructureDefinition/Patient"),
        "b.json": profile(url="https://fhir.phb.nhs.example/StructureDefinition/phb-account", path="Account.status"),
        "c.json": profile(),
    }
    done = record.install(own)
    assert done.effects == {Effect.CREATED: 1}
    assert done.left_out == (own["a.json"]["url"], own["b.json"]["url"])
    assert record.versions() == {"StructureDefinition/born": 1}


def test_packages_that_are_not_here_are_told_until_they_are(record):
    needs = {"hl7.fhir.r4.core": "4.0.1", "other.package": "1.2.3"}
    assert record.install({"a.json": profile()}, dependencies=needs).missing == ("other.package#1.2.3",)
    record.install({"a.json": profile("other")}, name="other.package")
    assert record.install({"a.json": profile()}, dependencies=needs).missing == ()


def test_installs_at_the_same_moment_make_nothing_twice(record):
    package = record.package(COLOURS)

    async def one() -> list[Installed]:
        async with at_work(record.settings) as context:
            return await packages.install(context, [package])

    async def together() -> list[list[Installed]]:
        return await asyncio.gather(*(one() for _ in range(4)))

    effects = [done.effects for [done] in asyncio.run(together())]
    assert sorted(effects, key=str) == [{Effect.CREATED: 3}, *[{Effect.UNCHANGED: 3}] * 3]
    assert set(record.versions().values()) == {1}


def test_a_server_that_runs_goes_by_a_package_that_another_process_installs(record, mongodb_uri):
    with RunningServer(mongodb_uri, record.settings.mongodb_database) as running:
        headers = {"Content-Type": "application/fhir+json"}
        with httpx.Client(base_url=running.base, headers=headers, timeout=30, verify=False) as client:
            assert client.post("/Patient", json=claiming(person())).status_code == 201
            record.install({"a.json": profile()})
            answers = (client.post("/Patient", json=claiming(person())) for _ in range(1_000))
            refused = next(answer for answer in answers if answer.status_code == 422)
            assert problem(refused).expression == "Patient.birthDate"


def test_uk_core_is_installed_whole_without_an_error(record):
    package = read_package(UK_CORE, R4)
    assert record.problems(package) == []
    [done] = record.install_all(package)
    assert (done.effects, done.left_out, done.missing) == ({Effect.CREATED: 197}, (), ())


def test_our_own_package_is_installed_into_another_server_which_has_it_already(record):
    guide = read_guide(data_path("profiles"))
    _, body = build_package(guide, Registry.of(R4, guide.resources))
    done = record.install(body)
    assert done.effects == {}
    assert sorted(done.left_out) == sorted(kept.url for kept in guide.resources)

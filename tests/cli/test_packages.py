"""`phb-fhir packages`, as a person runs it: beside a server, without one, and refused with a sentence and code 2."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests import commands
from tests.builders import person
from tests.commands import Done
from tests.definitions_at_hand import claiming, profile
from tests.packages import MANIFEST, UK_CORE, packed
from tests.processes import ServerProcess, ask, until


def run(*words: str | Path, **settings: str) -> Done:
    return commands.run("packages", *words, **settings)


def said(done: Done) -> str:
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def refused(done: Done) -> list[str]:
    assert (done.returncode, done.stdout) == (2, ""), done.stdout
    return done.stderr.splitlines()


@pytest.fixture
def package(tmp_path: Path):
    """Writes a package, and gives its path."""

    def write(files: dict[str, Any], **manifest: Any) -> Path:
        path = tmp_path / f"{manifest.get('name', 'some')}.tgz"
        path.write_bytes(packed({"package.json": {**MANIFEST, **manifest}, **files}))
        return path

    return write


@pytest.fixture
def database(mongodb_uri: str, database_name: str) -> tuple[list[str], dict[str, str]]:
    """The words that name an empty database, and the environment that does."""
    return ["--mongodb-uri", mongodb_uri], {"PHB_MONGODB_DATABASE": database_name}


def test_a_package_is_installed_listed_and_installed_again(database, package):
    where, settings = database
    some = package({"a.json": profile(), "p.json": {"resourceType": "Patient"}}, dependencies={"other.package": "2.0"})
    assert said(run("list", *where, **settings)) == "No package is installed.\n"
    rest = "  1 resources define nothing, and were left in it.\n  It builds on packages that are not installed: other.package#2.0.\n"
    assert said(run("install", some, *where, **settings)) == f"some.package 1.2.3: 1 new.\n{rest}"
    assert said(run("install", some, *where, **settings)) == f"some.package 1.2.3: 1 unchanged.\n{rest}"
    assert said(run("list", *where, **settings)).startswith("some.package 1.2.3: one definition, installed 20")
    assert said(run("uninstall", "some.package", *where, **settings)) == "some.package 1.2.3: one definition deleted.\n"
    assert refused(run("uninstall", "some.package", *where, **settings)) == [
        "phb-fhir: No package some.package is installed: phb-fhir packages list shows those that are."
    ]


def test_what_is_wrong_is_refused_with_every_problem_and_one_sentence_and_changes_nothing(database, package):
    where, settings = database
    good = package({"a.json": profile("good")}, name="good")
    wrong = package(
        {"a.json": profile(path="Patient.nome"), "b.json": profile("other", path="Patient.nome")}, name="bad"
    )
    *problems, sentence = refused(run("install", good, wrong, *where, **settings))
    assert sentence == "phb-fhir: Nothing was installed: the definitions have 2 problems."
    assert [line.partition(": StructureDefinition.differential: ")[0] for line in problems] == [
        "bad 1.2.3, a.json",
        "bad 1.2.3, b.json",
    ]
    assert said(run("list", *where, **settings)) == "No package is installed.\n"


def test_what_is_no_package_is_refused_with_one_sentence(database, package, tmp_path):
    where, settings = database
    none = tmp_path / "none.tgz"
    assert refused(run("install", none, *where, **settings)) == [
        f"phb-fhir: {none} cannot be read: No such file or directory."
    ]
    r5 = package({"a.json": profile()}, fhirVersions=["5.0.0"])
    assert refused(run("install", r5, *where, **settings)) == [
        "phb-fhir: The package some.package 1.2.3 is for FHIR 5.0.0; this server takes packages for 4.0."
    ]


def test_a_database_that_cannot_be_reached_is_told_in_one_sentence(package):
    [sentence] = refused(run("install", package({"a.json": profile()}), "--mongodb-uri", "mongodb://127.0.0.1:9/?x=1"))
    assert sentence.startswith("phb-fhir: ")


def test_on_a_data_folder_it_works_with_a_server_and_without(package, tmp_path):
    data = tmp_path / "data"
    nobody = claiming(person())
    assert said(run("install", package({"a.json": profile()}), "--data", data)) == "some.package 1.2.3: 1 new.\n"
    with ServerProcess(tmp_path, data=data, guide=False) as server:
        assert ask(server.base, "POST", "/Patient", nobody).status == 422
        newer = package({"a.json": profile(path="Patient.active")}, version="1.2.4")
        assert said(run("install", newer, "--data", data)) == "some.package 1.2.4: 1 updated.\n"
        there = claiming(person(active=True))
        assert until(lambda: ask(server.base, "POST", "/Patient", there).status == 201)
        assert ask(server.base, "POST", "/Patient", claiming(person(birthDate="1950-01-01"))).status == 422
        assert said(run("list", "--data", data)).startswith("some.package 1.2.4: one definition")
        assert server.stop() == 0
    assert said(run("list", "--data", data)).startswith("some.package 1.2.4: one definition")


def test_uk_core_is_installed_into_a_running_server(tmp_path, mongodb_uri, database_name):
    settings = {"mongodb_uri": mongodb_uri, "mongodb_database": database_name}
    with ServerProcess(tmp_path, **settings) as server:
        done = run("install", UK_CORE, "--mongodb-uri", mongodb_uri, PHB_MONGODB_DATABASE=database_name)
        assert said(done) == "fhir.r4.ukcore.stu2 2.0.0-snapshot-test-4: 197 new.\n"
        url = "https://fhir.hl7.org.uk/StructureDefinition/UKCore-Patient"
        bundle = ask(server.base, "GET", f"/StructureDefinition?url={url}").json()
        assert [one["resource"]["id"] for one in bundle["entry"]] == ["UKCore-Patient"]
        sex = f"{url.rpartition('/')[0]}/Extension-UKCore-BirthSex"
        wrong = person(extension=[{"url": sex, "valueString": "not as its definition says"}])
        assert until(lambda: ask(server.base, "POST", "/Patient", wrong).status == 422)


def test_our_own_package_is_built_and_taken_by_this_server_which_has_it(database, tmp_path):
    where, settings = database
    out = tmp_path / "out"
    path = Path(said(run("build", "--out", out)).strip())
    assert path.parent == out
    assert [file.name for file in out.iterdir()] == [path.name]
    with tarfile.open(path) as tar:
        assert tar.getnames()[0] == "package/package.json"
    told = said(run("install", path, *where, **settings))
    assert ": nothing to do.\n" in told
    assert "are R4's own or this server's, which stand" in told


def test_a_folder_that_cannot_be_written_is_told_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    [sentence] = refused(run("build", "--out", tmp_path / "file"))
    assert "cannot be written" in sentence

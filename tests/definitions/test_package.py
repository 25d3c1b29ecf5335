"""FHIR packages: what is read from one, what is refused and why, and that what we build is one."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from phb_fhir.data import data_path
from phb_fhir.definitions import package as module
from phb_fhir.definitions.guide import read_guide
from phb_fhir.definitions.load import load
from phb_fhir.definitions.package import WrongPackage, build_package, read_package
from phb_fhir.definitions.registry import Registry
from phb_fhir.validation.validate import validate
from tests.definitions_at_hand import BASE, code_system, profile, value_set
from tests.packages import MANIFEST, packed, tgz

R4 = load()


def read(tmp_path: Path, files: dict[str, Any] | bytes, name: str = "some.tgz"):
    path = tmp_path / name
    path.write_bytes(files if isinstance(files, bytes) else packed(files))
    return read_package(path, R4)


def why(tmp_path: Path, files: dict[str, Any] | bytes) -> str:
    with pytest.raises(WrongPackage) as caught:
        read(tmp_path, files)
    return caught.value.sentence.replace(str(tmp_path), "")


def test_a_package_is_read_with_its_definitions_in_the_order_of_their_files(tmp_path):
    found = read(tmp_path, {"b.json": value_set(), "a.json": profile(), "c.json": code_system()})
    assert (found.name, found.version, found.label) == ("some.package", "1.2.3", "some.package 1.2.3")
    assert [(file, kept.type, kept.url, kept.version) for file, kept in found.resources.items()] == [
        ("a.json", "StructureDefinition", f"{BASE}/StructureDefinition/born", "1.0"),
        ("b.json", "ValueSet", f"{BASE}/ValueSet/colours", "1.0"),
        ("c.json", "CodeSystem", f"{BASE}/CodeSystem/colours", "1.0"),
    ]
    assert [kept.read() for kept in found.resources.values()] == [profile(), value_set(), code_system()]


def test_numbers_are_read_digit_for_digit(tmp_path):
    body = json.dumps(profile()).replace('"min": 1', '"min": 1, "minValueDecimal": 1.10').encode()
    [kept] = read(tmp_path, {"a.json": body}).resources.values()
    assert str(kept.read()["differential"]["element"][1]["minValueDecimal"]) == "1.10"


def test_examples_other_folders_indexes_and_what_is_no_json_are_left_in_it(tmp_path):
    files = {
        "a.json": profile(),
        ".index.json": {"index-version": 2, "files": []},
        "notes.md": b"# Notes",
        "list.json": {"no": "resource"},
        "example/b.json": profile("b"),
        "examples/c.json": b"not even JSON",
        "other/d.json": profile("d"),
        "../e.json": profile("e"),
        "../package/../../f.json": profile("f"),
        "/g.json": profile("g"),
    }
    assert list(read(tmp_path, files).resources) == ["a.json"]


def test_resources_that_define_nothing_are_counted_and_left_in_it(tmp_path):
    found = read(tmp_path, {"a.json": profile(), "p.json": {"resourceType": "Patient"}})
    assert (list(found.resources), found.others) == (["a.json"], 1)


def test_a_link_is_no_file(tmp_path):
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as tar:
        for name, content in (("package.json", MANIFEST), ("a.json", profile())):
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(json.dumps(content))
            tar.addfile(member, io.BytesIO(json.dumps(content).encode()))
        link = tarfile.TarInfo("package/b.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert list(read(tmp_path, body.getvalue()).resources) == ["a.json"]


def test_what_it_builds_on_is_told_but_for_r4_itself(tmp_path):
    dependencies = {"hl7.fhir.r4.core": "4.0.1", "hl7.terminology.r4": "6.0.0", "a.b": "1.0"}
    found = read(tmp_path, {"package.json": {**MANIFEST, "dependencies": dependencies}, "a.json": profile()})
    assert found.missing == ["a.b#1.0", "hl7.terminology.r4#6.0.0"]


@pytest.mark.parametrize(
    "stated",
    [
        {"fhirVersions": ["4.0.1"]},
        {"fhirVersions": ["4.0.0"]},
        {"fhirVersions": ["5.0.0", "4.0.1"]},
        {"fhir-version-list": ["4.0.1"]},
        {"fhirVersion": "4.0"},
        {"dependencies": {"hl7.fhir.r4.core": "4.0.1"}},
    ],
)
def test_a_package_for_r4_is_taken_however_it_says_so(tmp_path, stated):
    manifest = {"name": "some.package", "version": "1.2.3", **stated}
    assert list(read(tmp_path, {"package.json": manifest, "a.json": profile()}).resources) == ["a.json"]


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        (
            {"fhirVersions": ["5.0.0"]},
            "The package some.package 1.2.3 is for FHIR 5.0.0; this server takes packages for 4.0.",
        ),
        ({"fhirVersions": ["4.3.0", "3.0.2"]}, "is for FHIR 4.3.0, 3.0.2; this server takes packages for 4.0."),
        ({"fhirVersions": ["4.00"]}, "is for FHIR 4.00; this server takes packages for 4.0."),
        ({"dependencies": {"hl7.fhir.r5.core": "5.0.0"}}, "does not say which version of FHIR it is for"),
        ({}, "does not say which version of FHIR it is for; this server takes packages for 4.0."),
    ],
)
def test_a_package_for_another_version_of_fhir_is_refused(tmp_path, stated, told):
    manifest = {"name": "some.package", "version": "1.2.3", **stated}
    assert told in why(tmp_path, {"package.json": manifest, "a.json": profile()})


WRONG: dict[str, tuple[dict[str, Any] | bytes, str]] = {
    "nothing at all": (b"", "/some.tgz is no FHIR package: it cannot be unpacked (empty file)."),
    "no tgz": (
        b"PK\x03\x04 a zip",
        "/some.tgz is no FHIR package: it cannot be unpacked (Not a gzipped file (b'PK')).",
    ),
    "a tgz that breaks off": (
        packed({"a.json": profile()})[:-200],
        "/some.tgz is no FHIR package: it cannot be unpacked",
    ),
    "gzip, but no tar": (gzip.compress(b"x" * 2000), "/some.tgz is no FHIR package: it cannot be unpacked"),
    "no manifest": (
        {"package.json": None, "a.json": profile()},
        "/some.tgz is no FHIR package: it has no package/package.json.",
    ),
    "a manifest that is no JSON": (
        {"package.json": b"{", "a.json": profile()},
        "/some.tgz is no FHIR package: its package/package.json is no JSON object.",
    ),
    "a manifest that is a list": (
        {"package.json": [], "a.json": profile()},
        "/some.tgz is no FHIR package: its package/package.json is no JSON object.",
    ),
    "no name": (
        {"package.json": {**MANIFEST, "name": ""}, "a.json": profile()},
        "/some.tgz is no FHIR package: its package/package.json gives no proper name.",
    ),
    "a name that leads elsewhere": (
        {"package.json": {**MANIFEST, "name": "../x"}, "a.json": profile()},
        "/some.tgz is no FHIR package: its package/package.json gives no proper name.",
    ),
    "no version": (
        {"package.json": {**MANIFEST, "version": 1}, "a.json": profile()},
        "/some.tgz is no FHIR package: its package/package.json gives no proper version.",
    ),
    "nothing to use": (
        {},
        "The package some.package 1.2.3 has no definitions in its folder package/; there is nothing to use.",
    ),
    "a file that is no JSON": (
        {"a.json": b"{'"},
        "The package some.package 1.2.3 cannot be used: a.json is no JSON object (",
    ),
    "a file that is a list": (
        {"a.json": []},
        "The package some.package 1.2.3 cannot be used: a.json is no JSON object (it is no JSON object).",
    ),
    "a key twice": (
        {"a.json": b'{"resourceType": "ValueSet", "url": "urn:a", "url": "urn:b"}'},
        'The package some.package 1.2.3 cannot be used: a.json: The body is not well-formed JSON: the key "url" stands twice',
    ),
    "a type of another version": (
        {"a.json": {"resourceType": "SubscriptionTopic", "url": "urn:a"}},
        "The package some.package 1.2.3 cannot be used: a.json is a SubscriptionTopic, which FHIR R4 does not have.",
    ),
    "a definition that nobody can name": (
        {"a.json": {**value_set(), "url": None}},
        "The package some.package 1.2.3 cannot be used: a.json defines a ValueSet without a url.",
    ),
    "one definition twice": (
        {"a.json": profile(), "b.json": profile()},
        f"The package some.package 1.2.3 cannot be used: a.json and b.json define the same StructureDefinition, {BASE}/StructureDefinition/born.",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_package_is_refused_with_the_reason(tmp_path, case):
    files, told = WRONG[case]
    assert why(tmp_path, files).startswith(told)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(WrongPackage) as caught:
        read_package(tmp_path / "none.tgz", R4)
    assert caught.value.sentence == f"{tmp_path / 'none.tgz'} cannot be read: No such file or directory."


def test_two_versions_of_a_definition_and_two_fragments_of_a_code_system_are_two_definitions(tmp_path):
    fragment = {**code_system(), "content": "fragment"}
    files = {
        "a.json": profile(),
        "b.json": profile(version="1.1"),
        "c.json": fragment,
        "d.json": {**fragment, "id": "other"},
    }
    assert list(read(tmp_path, files).resources) == ["a.json", "b.json", "c.json", "d.json"]


# ---- bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bound", "most", "told"),
    [
        ("FILE_BYTES_MAX", 100, "bytes, and a package may have 100 at most."),
        ("UNPACKED_BYTES_MAX", 5_000, "is not taken: it unpacks to more than 5000 bytes."),
        ("MEMBERS_MAX", 2, "is not taken: it has more than 2 files."),
        ("MEMBER_BYTES_MAX", 300, "is not taken: its file a.json has"),
        ("MANIFEST_BYTES_MAX", 20, "its package/package.json is no JSON object."),
    ],
)
def test_what_is_larger_than_a_bound_is_refused(tmp_path, monkeypatch, bound, most, told):
    files = {"a.json": profile(), "example/b.json": {"resourceType": "Patient", "id": "b" * 3_000}}
    assert list(read(tmp_path, files).resources) == ["a.json"]
    monkeypatch.setattr(module, bound, most)
    assert told in why(tmp_path, files)


def test_a_file_that_unpacks_to_a_thousand_times_its_size_is_not_unpacked(tmp_path):
    bomb = tgz({"package/package.json": json.dumps(MANIFEST).encode(), "package/example/zeros.json": b"0" * 20_000_000})
    assert len(bomb) < 50_000
    assert "has no definitions" in why(tmp_path, bomb)  # within the bounds it is passed over, and not kept


# ---- ours ------------------------------------------------------------------------------------------------------------

GUIDE = read_guide(data_path("profiles"))
KNOWN = Registry.of(R4, GUIDE.resources)


@pytest.fixture(scope="module")
def built() -> tuple[str, dict[str, bytes]]:
    name, body = build_package(GUIDE, KNOWN)
    with tarfile.open(fileobj=io.BytesIO(body), mode="r:gz") as tar:
        return name, {member.name: tar.extractfile(member).read() for member in tar}


def test_our_package_has_a_manifest_by_the_rules_of_fhir_packages(built):
    name, files = built
    assert next(iter(files)) == "package/package.json"
    manifest = json.loads(files["package/package.json"])
    assert name == f"{manifest['name']}-{manifest['version']}.tgz"
    assert manifest["fhirVersions"] == ["4.0.1"]
    assert manifest["dependencies"]["hl7.fhir.r4.core"] == "4.0.1"
    assert manifest["type"] == "IG"
    assert manifest["canonical"] == "https://fhir.phb.nhs.example"
    for told in ("description", "author", "title"):
        assert isinstance(manifest[told], str)
        assert manifest[told]


def test_our_package_has_every_definition_of_the_guide_with_its_snapshot_and_every_example(built):
    _, files = built
    definitions = {name: json.loads(body) for name, body in files.items() if name.count("/") == 1 and "/." not in name}
    del definitions["package/package.json"]
    assert {(r["resourceType"], r["id"]) for r in definitions.values()} == {(k.type, k.id) for k in GUIDE.resources}
    for name, resource in definitions.items():
        assert name == f"package/{resource['resourceType']}-{resource['id']}.json"
        if resource["resourceType"] == "StructureDefinition":
            assert resource["snapshot"]["element"], name
    examples = {name for name in files if name.startswith("package/example/") and "/." not in name}
    assert examples == {f"package/example/{name}" for name, _ in GUIDE.examples()}


@pytest.mark.parametrize("folder", ["package", "package/example"])
def test_the_index_of_a_folder_tells_what_each_of_its_files_is(built, folder):
    _, files = built
    index = json.loads(files[f"{folder}/.index.json"])
    assert index["index-version"] == 2
    there = [name for name in files if name.rpartition("/")[0] == folder and "/." not in name]
    assert [f"{folder}/{row['filename']}" for row in index["files"]] == [
        n for n in there if not n.endswith("package.json")
    ]
    for row in index["files"]:
        resource = json.loads(files[f"{folder}/{row['filename']}"])
        told = {key: value for key, value in row.items() if key != "filename"}
        assert told == {key: resource[key] for key in told}
        assert {"resourceType", "id"} <= told.keys()
        assert "url" in told or "url" not in resource


def test_our_package_is_the_same_bytes_every_time():
    assert build_package(GUIDE, KNOWN) == build_package(read_guide(GUIDE.folder), KNOWN)


def test_our_package_is_read_again_whole_and_valid(tmp_path):
    name, body = build_package(GUIDE, KNOWN)
    found = read(tmp_path, body, name)
    assert len(found.resources) == len(GUIDE.resources)
    assert (found.others, found.missing) == (0, [m for m in found.missing if not m.startswith("hl7.fhir.r4.core")])
    known = Registry.of(R4, found.resources.values())
    wrong = {
        file: issues
        for file, kept in found.resources.items()
        if (issues := [i for i in validate(kept.read(), R4, known=known, keeps_unknown=True) if i.is_error])
    }
    assert wrong == {}


def test_a_guide_without_a_manifest_makes_no_package(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(profile()))
    with pytest.raises(WrongPackage) as caught:
        build_package(read_guide(tmp_path), KNOWN)
    assert caught.value.sentence == f"{tmp_path} is no FHIR package: it has no package/package.json."


def test_the_digest_of_a_guide_changes_with_every_letter_of_its_definitions_and_with_nothing_else(tmp_path):
    def digest() -> str:
        return read_guide(tmp_path).digest

    (tmp_path / "a.json").write_text(json.dumps(profile()))
    first = digest()
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "notes.md").write_text("notes")
    assert digest() == first
    (tmp_path / "a.json").write_text(json.dumps(profile(version="1.1")))
    second = digest()
    (tmp_path / "a.json").rename(tmp_path / "b.json")
    assert len({first, second, digest()}) == 3


def test_a_guide_with_a_profile_of_which_no_snapshot_can_be_made_makes_no_package(tmp_path):
    wrong = profile(path="Patient.nome")
    (tmp_path / "a.json").write_text(json.dumps(wrong))
    (tmp_path / "package.json").write_text(json.dumps(MANIFEST))
    guide = read_guide(tmp_path)
    with pytest.raises(WrongPackage, match=f"{wrong['url']} has no snapshot and none can be made: .*nome"):
        build_package(guide, Registry.of(R4, guide.resources))

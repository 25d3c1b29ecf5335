"""`phb-fhir validate`, as a person or a program runs it: what it reads, what it says, and the code it ends with."""

from __future__ import annotations

import gzip
import io
import json
import os
import pty
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from phb_fhir.cli.main import app
from phb_fhir.settings import PREFIX

ROOT = Path(__file__).parents[2]
JILL = ROOT / "examples" / "jill" / "Patient-jill.json"
WAIT_S = 120.0
PERSON = "https://example.org/StructureDefinition/person"

NARRATIVE = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">a</div>'}
GOOD = {"resourceType": "Basic", "id": "a", "text": NARRATIVE, "code": {"text": "a"}}
BAD = {**GOOD, "id": "b", "created": "yesterday", "cost": 1}
BARE = {"resourceType": "Basic", "id": "c", "code": {"text": "c"}}  # no narrative: a warning


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)


def validate(*words: str | Path, stdin: bytes | None = None):
    return CliRunner().invoke(app, ["validate", *map(str, words)], input=stdin)


def written(path: Path, *resources: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(resource) for resource in resources))
    return path


def as_json(*words: str | Path, stdin: bytes | None = None) -> dict[str, Any]:
    return json.loads(validate(*words, "--format", "json", stdin=stdin).stdout)


def sources(told: dict[str, Any]) -> list[str]:
    return [row["source"] for row in told["results"]]


# ---- what is said, and the code ----------------------------------------------------------------------------------------


def test_a_good_file_is_one_line_and_code_0(tmp_path):
    ran = validate(written(tmp_path / "a.json", GOOD))
    assert (ran.exit_code, ran.stdout) == (0, "1 resource, 0 with errors: 0 errors, 0 warnings\n")


def test_a_bad_file_is_told_with_severity_place_and_sentence_and_code_1(tmp_path):
    file = written(tmp_path / "b.json", BAD)
    ran = validate(file)
    name, created, cost, summary = ran.stdout.splitlines()
    assert name == f"{file}  Basic/b"
    assert re.fullmatch(r'  error       Basic\.created: "yesterday" is not a calendar date: .+\.', created)
    assert re.fullmatch(r'  error       Basic\.cost: Basic has no property "cost".*', cost)
    assert summary == "1 resource, 1 with errors: 2 errors, 0 warnings"
    assert ran.exit_code == 1


def test_a_warning_is_told_and_is_code_0(tmp_path):
    ran = validate(written(tmp_path / "c.json", BARE))
    assert "  warning     Basic: " in ran.stdout
    assert ran.stdout.endswith("1 resource, 0 with errors: 0 errors, 1 warning\n")
    assert ran.exit_code == 0


def test_one_bad_file_among_good_ones_is_code_1(tmp_path):
    written(tmp_path / "a.json", GOOD)
    written(tmp_path / "b.json", BAD)
    ran = validate(tmp_path)
    assert ran.exit_code == 1
    assert ran.stdout.endswith("2 resources, 1 with errors: 2 errors, 0 warnings\n")


def test_json_is_one_document_with_a_result_for_each_resource_and_the_sums(tmp_path):
    told = as_json(
        written(tmp_path / "a.json", GOOD), written(tmp_path / "b.json", BAD), written(tmp_path / "c.json", BARE)
    )
    assert told["summary"] == {"resources": 3, "withErrors": 1, "errors": 2, "warnings": 1, "remarks": 0}
    good, bad, bare = told["results"]
    assert good == {"source": str(tmp_path / "a.json"), "resourceType": "Basic", "id": "a", "issue": []}
    assert [(row["severity"], row["code"], row["expression"]) for row in bad["issue"]] == [
        ("error", "value", ["Basic.created"]),
        ("error", "structure", ["Basic.cost"]),
    ]
    assert [row["severity"] for row in bare["issue"]] == ["warning"]


def test_json_of_nothing_but_good_ones_is_a_document_too(tmp_path):
    ran = validate(written(tmp_path / "a.json", GOOD), "--format", "json")
    assert ran.exit_code == 0
    assert json.loads(ran.stdout)["summary"]["withErrors"] == 0


def test_no_colours_go_into_a_file(tmp_path):
    ran = validate(written(tmp_path / "b.json", BAD))
    assert "\x1b" not in ran.stdout


def test_what_a_file_says_cannot_command_the_terminal(tmp_path):
    ran = validate(written(tmp_path / "b.json", {**GOOD, "id": "\x1b[2J\u202eb", "\x1b]0;owned\x07": 1}))
    assert ran.exit_code == 1
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", ran.stdout)
    assert "\\u001b[2J" in ran.stdout


# ---- what is read ------------------------------------------------------------------------------------------------------


def test_a_folder_is_read_with_all_below_it_in_the_order_of_names(tmp_path):
    for name in ("z.json", "b/y.json", "b/a.ndjson", "a.json", ".hidden.json", ".git/x.json", "notes.txt"):
        written(tmp_path / name, GOOD)
    expected = ["a.json", "b/a.ndjson:1", "b/y.json", "z.json"]
    assert sources(as_json(tmp_path)) == [str(tmp_path / name) for name in expected]


def test_files_are_read_in_the_order_they_are_named(tmp_path):
    b, a = written(tmp_path / "b.json", GOOD), written(tmp_path / "a.json", GOOD)
    assert sources(as_json(b, a)) == [str(b), str(a)]


def test_a_link_in_a_folder_that_leads_back_to_it_is_not_followed(tmp_path):
    written(tmp_path / "a.json", GOOD)
    (tmp_path / "again").symlink_to(tmp_path)
    assert sources(as_json(tmp_path)) == [str(tmp_path / "a.json")]


def test_each_line_of_ndjson_is_a_resource_and_blank_ones_are_none(tmp_path):
    file = tmp_path / "a.ndjson"
    file.write_text(f"{json.dumps(GOOD)}\n\n{json.dumps(BAD)}\n")
    told = as_json(file)
    assert sources(told) == [f"{file}:1", f"{file}:3"]
    assert [bool(row["issue"]) for row in told["results"]] == [False, True]


def test_compressed_ndjson_is_read_the_same(tmp_path):
    file = tmp_path / "a.ndjson.gz"
    file.write_bytes(gzip.compress(f"{json.dumps(GOOD)}\n{json.dumps(BAD)}".encode()))
    assert sources(as_json(file)) == [f"{file}:1", f"{file}:2"]


def test_standard_input_is_one_resource(tmp_path):
    told = as_json("-", stdin=json.dumps(BAD, indent=2).encode())
    assert sources(told) == ["standard input"]
    assert told["summary"]["errors"] == 2


def test_standard_input_is_a_resource_on_each_line(tmp_path):
    told = as_json("-", stdin=f"{json.dumps(GOOD)}\n{json.dumps(BAD)}\n".encode())
    assert sources(told) == ["standard input:1", "standard input:2"]
    assert told["summary"]["withErrors"] == 1


def test_our_own_examples_have_no_errors():
    ran = validate(ROOT / "examples" / "jill", ROOT / "examples" / "family")
    assert ran.exit_code == 0
    assert "0 errors" in ran.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"resourceType": "Patient"', "not well-formed JSON"),
        (b"", "not well-formed JSON: it is empty"),
        (b"\xff\xfe", "not valid UTF-8"),
        (b'<Patient xmlns="http://hl7.org/fhir"/>', "not well-formed JSON"),
        (b'{"id": "a", "id": "b"}', "stands twice"),
        (b"[1]", "must be one FHIR resource"),
        (b'{"name": "package"}', 'no "resourceType"'),
        (b'{"resourceType": "Patent"}', 'no resource type "Patent"'),
        (b'{"resourceType": "Basic", "code": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nests deeper"),
        (b'{"resourceType": "Basic", "code": ' + b'{"a":' * 65 + b"1" + b"}" * 66, "nests deeper than the 64 levels"),
    ],
)
def test_what_is_no_resource_is_a_problem_of_its_file_and_the_others_are_still_read(tmp_path, content, says):
    (tmp_path / "a.json").write_bytes(content)
    written(tmp_path / "b.json", GOOD)
    ran = validate(tmp_path)
    assert ran.exit_code == 1
    assert says in ran.stdout
    assert ran.stdout.endswith("2 resources, 1 with errors: 1 error, 0 warnings\n")


def test_what_is_larger_than_the_bound_is_a_problem_and_what_is_not_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("PHB_BODY_BYTES_MAX", "1000")
    large = {**GOOD, "text": {"status": "generated", "div": f"<div>{'x' * 1000}</div>"}}
    file = tmp_path / "a.json"
    lines = tmp_path / "b.ndjson"
    written(file, large)
    written(lines, GOOD, large, GOOD)
    told = as_json(file, lines)
    assert sources(told) == [str(file), *(f"{lines}:{number}" for number in (1, 2, 3))]
    said = [[issue["diagnostics"] for issue in row["issue"]] for row in told["results"]]
    assert said[1] == said[3] == []
    assert "The file is larger than the 1000 bytes" in said[0][0]
    assert "The line is larger than the 1000 bytes" in said[2][0]


def test_damaged_compression_is_a_problem_of_its_file(tmp_path):
    whole = gzip.compress(f"{json.dumps(GOOD)}\n{json.dumps(GOOD)}\n".encode())
    (tmp_path / "a.ndjson.gz").write_bytes(whole[:-12])
    (tmp_path / "b.ndjson.gz").write_bytes(b"none of it")
    told = as_json(tmp_path)
    assert sum("cannot be read" in str(row["issue"]) for row in told["results"]) == 2


def test_a_file_name_that_is_no_text_is_spelled_out(tmp_path):
    raw = os.fsencode(tmp_path) + b"/\xff\x1b.json"
    Path(os.fsdecode(raw)).write_text(json.dumps(BAD))
    assert sources(as_json(tmp_path)) == [f"{tmp_path}/\\xff\x1b.json"]
    assert "\\xff\\u001b.json" in validate(tmp_path).stdout


# ---- profiles and packages ---------------------------------------------------------------------------------------------


def package(path: Path, *resources: dict[str, Any], version: str = "4.0.1") -> Path:
    files = {f"{r['resourceType']}-{r['id']}.json": r for r in resources}
    files["package.json"] = {"name": "test.people", "version": "1.0.0", "fhirVersions": [version]}
    with tarfile.open(path, "w:gz") as tgz:
        for name, content in files.items():
            body = json.dumps(content).encode()
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(body)
            tgz.addfile(member, io.BytesIO(body))
    return path


def person_profile() -> dict[str, Any]:
    return {
        "resourceType": "StructureDefinition",
        "id": "person",
        "url": PERSON,
        "name": "Person",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": "Patient",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
        "derivation": "constraint",
        "differential": {"element": [{"id": "Patient.birthDate", "path": "Patient.birthDate", "min": 1}]},
    }


def test_a_profile_of_a_package_is_known_and_asked_for(tmp_path):
    tgz = package(tmp_path / "people.tgz", person_profile())
    told = as_json(
        written(tmp_path / "bad.json", {"resourceType": "Patient"}),
        written(tmp_path / "good.json", {"resourceType": "Patient", "birthDate": "1950"}),
        *("--package", tgz, "--profile", PERSON),
    )
    assert [[i["expression"] for i in row["issue"] if i["severity"] == "error"] for row in told["results"]] == [
        [["Patient.birthDate"]],
        [],
    ]


def test_a_profile_that_a_resource_claims_is_held_against_it_with_the_package_and_a_warning_without(tmp_path):
    file = written(tmp_path / "a.json", {"resourceType": "Patient", "meta": {"profile": [PERSON]}})
    assert validate(file).exit_code == 0
    assert "is not known here" in validate(file).stdout
    assert validate(file, "--package", package(tmp_path / "people.tgz", person_profile())).exit_code == 1


def test_a_budget_is_held_against_its_profile_though_it_claims_none(tmp_path):
    budget = json.loads((ROOT / "examples" / "jill" / "Account-jill-budget.json").read_text())
    budget.pop("meta", None)
    assert validate(written(tmp_path / "good.json", budget)).exit_code == 0
    del budget["servicePeriod"]
    assert validate(written(tmp_path / "bad.json", budget)).exit_code == 1


def test_a_hospitals_account_is_welcome_with_the_base_rules(tmp_path):
    assert validate(written(tmp_path / "a.json", {"resourceType": "Account", "status": "active"})).exit_code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere.json"], "There is no file or folder nowhere.json."),
        ([JILL, "--profile", "http://example.org/none"], "The profile http://example.org/none is not known here."),
        ([JILL, "--package", "nowhere.tgz"], "nowhere.tgz cannot be read"),
        ([JILL, "--package", JILL], "is no FHIR package"),
        ([JILL, "--format", "xml"], "Invalid value for '--format'"),
        ([], "Missing argument"),
    ],
)
def test_what_cannot_be_done_is_a_sentence_on_standard_error_and_code_2(words, says):
    ran = validate(*words)
    assert ran.exit_code == 2
    assert ran.stdout == ""
    assert says in re.sub(r"[\s│]+", " ", ran.stderr)


def test_a_package_of_another_fhir_is_code_2(tmp_path):
    ran = validate(JILL, "--package", package(tmp_path / "r5.tgz", person_profile(), version="5.0.0"))
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "is for FHIR 5.0.0" in ran.stderr


def test_a_folder_with_nothing_to_validate_is_code_2(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    ran = validate(tmp_path)
    assert ran.exit_code == 2
    assert "There is no .json or .ndjson or .ndjson.gz file" in ran.stderr


# ---- as a program of its own -------------------------------------------------------------------------------------------


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "phb_fhir.cli.main", "validate", *map(str, words)]


def test_its_help_does_not_wait_for_the_definitions():
    loaded = "import sys; from phb_fhir.cli.main import app; app(['validate', '--help'], standalone_mode=False); "
    loaded += (
        "print([name for name in sys.modules if name.startswith(('phb_fhir.validation', 'phb_fhir.app', 'fastapi'))])"
    )
    ran = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, timeout=WAIT_S, check=True)
    assert "--profile" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "[]"


def test_on_a_terminal_there_are_colours_and_a_bar_and_the_report_goes_where_it_is_sent(tmp_path):
    written(tmp_path / "b.json", BAD)
    screen, theirs = pty.openpty()
    shown = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CI")} | {
        "TERM": "xterm-256color"
    }
    with subprocess.Popen(command(tmp_path), stdout=subprocess.PIPE, stderr=theirs, env=shown) as ran:
        os.close(theirs)
        bar = _read_all(screen)  # first: a terminal holds little, and the report fits into its pipe
        report, _ = ran.communicate(timeout=WAIT_S)
    assert ran.returncode == 1
    assert b"Validating" in bar
    assert b"\x1b" not in report
    assert b"Basic.created" in report
    assert b"Basic.created" not in bar


def test_a_report_on_a_terminal_is_coloured(tmp_path):
    written(tmp_path / "b.json", BAD)
    screen, theirs = pty.openpty()
    shown = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CI")} | {
        "TERM": "xterm-256color"
    }
    with subprocess.Popen(command(tmp_path), stdout=theirs, stderr=theirs, env=shown) as ran:
        os.close(theirs)
        told = _read_all(screen)
        ran.wait(WAIT_S)
    assert re.search(rb"\x1b\[31m  error", told)
    assert b"1 resource, 1 with errors" in told


def _read_all(descriptor: int) -> bytes:
    """What a terminal was sent, until nobody holds its other side."""
    found = b""
    with os.fdopen(descriptor, "rb", buffering=0) as screen:
        while True:
            try:
                found += screen.read(65_536) or b""
            except OSError:  # the other side is closed, as Linux says it
                return found

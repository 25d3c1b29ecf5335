"""Nothing that is sent makes validation run away, however it was made.

Measured is work, and not time: the lines of Python that are executed, which are the same on every machine. Twice the input is
about twice the work. Where an input and a profile multiply, a bound ends the work and an error says so: what was not looked at
has not been found right. The large inputs run in a process of their own, which is stopped rather than waited for.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry, core
from phb_fhir.definitions.snapshot import SnapshotFailed, generate_snapshot
from phb_fhir.fhir import codec
from phb_fhir.outcome import Issue, Kind
from phb_fhir.validation.frame import ERRORS_MAX
from phb_fhir.validation.validate import ISSUES_MAX, validate
from tests.validation.hostile import BOUNDED, GROWING, TOO_LARGE, Hostile, Input, patient, profile, rows

ROOT = Path(__file__).parents[2]
R4 = load()
SMALL = 80
LARGE_TIMEOUT_S = 300.0  # for all of the large ones; they take some seconds each
DEPTH_MAX = 64


def judge(made: Input) -> list[Issue]:
    known = Registry.of(R4, made.known) if made.known else core(R4)
    return validate(made.resource, R4, made.profiles, known=known)


def work(hostile: Hostile, size: int) -> int:
    """How many lines of Python validating it executes, everything that is made once having been made."""
    made = hostile.make(size)
    known = Registry.of(R4, made.known) if made.known else core(R4)
    validate(made.resource, R4, made.profiles, known=known)
    count = 0

    def line(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return line

    before = sys.gettrace()
    sys.settrace(line)
    try:
        validate(made.resource, R4, made.profiles, known=known)
    finally:
        sys.settrace(before)
    return count


def grows_as_its_input(hostile: Hostile) -> bool:
    return work(hostile, 2 * SMALL) < 2.2 * work(hostile, SMALL) + 3_000


@pytest.mark.parametrize("name", GROWING)
def test_twice_the_input_is_about_twice_the_work(name):
    assert grows_as_its_input(GROWING[name])


def test_work_that_multiplies_would_be_seen():
    """The same measure of what does multiply, where no bound is reached yet."""
    assert not grows_as_its_input(BOUNDED["an invariant that multiplies"])


# ---- a megabyte of each ----------------------------------------------------------------------------------------------

_RUN = """
import json
from tests.validation.hostile import BOUNDED, GROWING
from tests.validation.test_hostile import judge
for name, hostile in {**GROWING, **BOUNDED}.items():
    told = judge(hostile.make(hostile.large))
    print(json.dumps([name, len(told), sorted({issue.kind.value for issue in told if issue.is_error})]), flush=True)
"""


@pytest.fixture(scope="module")
def told() -> dict[str, tuple[int, list[str]]]:
    """By name, how many problems each large input has, and of which kinds its errors are."""
    ran = subprocess.run(
        [sys.executable, "-c", _RUN], cwd=ROOT, capture_output=True, text=True, timeout=LARGE_TIMEOUT_S, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return {name: (count, kinds) for name, count, kinds in map(json.loads, ran.stdout.splitlines())}


def test_a_megabyte_of_anything_is_judged_with_an_answer_that_can_be_read(told):
    assert told.keys() == {*GROWING, *BOUNDED}
    assert [name for name, (count, _) in told.items() if count > ISSUES_MAX + 1] == []


@pytest.mark.parametrize("name", BOUNDED)
def test_what_multiplies_is_ended_by_a_bound_that_refuses_it(told, name):
    assert Kind.TOO_COSTLY.value in told[name][1]


@pytest.mark.parametrize("name", sorted(BOUNDED.keys() - {"texts that grow"}))  # where the expression alone is too much
def test_a_little_of_the_same_is_judged_to_the_end(name):
    assert [issue for issue in judge(BOUNDED[name].make(3)) if issue.kind is Kind.TOO_COSTLY] == []


@pytest.mark.parametrize("name", [name for name in GROWING if "in" not in name.split()])
def test_the_large_ones_are_about_a_megabyte(name):
    size = len(codec.dumps(GROWING[name].make(GROWING[name].large).resource))
    assert 400_000 < size < 2_500_000


# ---- how much is told ------------------------------------------------------------------------------------------------


def test_an_error_behind_a_thousand_warnings_is_still_told():
    unknown = rows(ISSUES_MAX + 50, lambda i: {"system": f"http://x/{i}", "code": "a"})
    good = {"resourceType": "Basic", "code": {"coding": unknown}}
    found = validate(good, R4)
    assert [issue for issue in found if issue.is_error] == []
    assert len(found) == ISSUES_MAX + 1
    bad = validate({**good, "zzz": 1}, R4)
    assert [issue.expression for issue in bad if issue.is_error] == ["Basic.zzz"]
    assert len(bad) == ISSUES_MAX + 1
    assert bad[-1].text.startswith("There are ")


def test_more_errors_than_anybody_reads_end_the_run_and_the_resource_stays_refused():
    found = judge(patient(name=[{"given": [1] * (ERRORS_MAX + 5)}]))
    assert sum(issue.is_error for issue in found) == ISSUES_MAX
    assert found[-1].text.startswith(f"There are at least {ERRORS_MAX - ISSUES_MAX} more problems")


# ---- definitions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TOO_LARGE)
def test_a_definition_whose_snapshot_would_be_too_large_is_refused_with_the_reason(name):
    [issue] = [issue for issue in judge(TOO_LARGE[name]) if issue.kind is Kind.INVALID and issue.is_error]
    assert "more than" in issue.text or "are the most" in issue.text


def test_a_definition_with_many_slices_has_a_snapshot_with_all_of_them():
    made = generate_snapshot(GROWING["slices of a differential"].make(900).resource, core(R4).structure)
    assert sum(row.get("sliceName", "").startswith("s") for row in made) == 900


def test_definitions_that_derive_from_each_other_are_refused():
    ring = [profile(url=f"http://x/{i}", baseDefinition=f"http://x/{(i + 1) % 3}") for i in range(3)]
    known = Registry.of(R4, ring)
    with pytest.raises(SnapshotFailed, match="circle"):
        generate_snapshot(ring[0], lambda url: known.find("StructureDefinition", url))
    assert known.structure("http://x/0") is None
    assert known.structure_problem("http://x/0")


def test_a_long_line_of_definitions_without_snapshots_is_refused_with_the_reason():
    line = [profile(url=f"http://x/{i}", baseDefinition=f"http://x/{i + 1}") for i in range(500)]
    found = validate({"resourceType": "Patient"}, R4, ["http://x/0"], known=Registry.of(R4, line))
    assert any(issue.kind is Kind.NOT_FOUND and issue.is_error for issue in found)

"""SECURITY.md names the test that holds each defence: each of them is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text()
ROWS = re.findall(r"^\| [STRIDE, ]+ \|.*\|$", TEXT, re.MULTILINE)


def test_every_threat_names_the_tests_that_hold_its_defence_and_they_are_there():
    assert len(ROWS) > 30
    for row in ROWS:
        named = re.findall(r"`([a-z]+/test_\w+\.py)`", row.rsplit("|", 2)[1])
        assert named, row
        assert [name for name in named if not (ROOT / "tests" / name).is_file()] == []


def test_every_room_that_stands_is_looked_at():
    rooms = {path.name for path in (ROOT / "phb_fhir").iterdir() if (path / "__init__.py").is_file()}
    looked_at = set(re.findall(r"[a-z]+", " ".join(re.findall(r"^### (.*):", TEXT, re.MULTILINE))))
    assert rooms - looked_at <= {"fhir", "fhirpath"}  # pure functions, reached through the others


def test_each_kind_of_threat_is_thought_of():
    kinds = {kind for row in ROWS for kind in re.findall(r"\b[STRIDE]\b", row.split("|")[1])}
    assert kinds == set("STRIDE")


def test_every_link_and_setting_is_there():
    for link in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (ROOT / link).is_file()
    settings = (ROOT / "docs" / "settings.md").read_text()
    assert [name for name in re.findall(r"`(PHB_\w+)`", TEXT) if f"`{name}`" not in settings] == []

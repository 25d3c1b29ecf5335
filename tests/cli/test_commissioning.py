"""Commissioners' documents are read when the server starts: one that is wrong ends the start with a sentence."""

from __future__ import annotations

import json
from pathlib import Path

from tests.commands import run


def test_a_policy_that_is_wrong_ends_the_start_with_its_place(tmp_path: Path, mongodb_uri: str) -> None:
    (tmp_path / "north.json").write_text(json.dumps({"name": "North", "commissioners": [], "reviewMonths": 24}))
    where = ["--open", "--port", "0", "--mongodb-uri", mongodb_uri]
    done = run("serve", *where, PHB_COMMISSIONING_FOLDER=str(tmp_path), PHB_MONGODB_DATABASE="test_never_opened")
    assert done.returncode == 2
    assert done.stderr == (
        f"phb-fhir: The setting commissioning_folder (PHB_COMMISSIONING_FOLDER) is not right: in {tmp_path}, north.json is not right at"
        " $.reviewMonths: 24 is greater than the maximum of 12.\n"
    )

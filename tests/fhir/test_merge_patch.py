"""JSON Merge Patch: the examples of RFC 7396 that apply to objects, and what a resource adds."""

from __future__ import annotations

from typing import Any

import pytest

from phb_fhir.fhir.merge_patch import apply_merge_patch
from phb_fhir.outcome import Rejected

PATIENT = {"resourceType": "Patient", "id": "1", "active": True, "name": [{"family": "A"}], "meta": {"source": "x"}}


@pytest.mark.parametrize(
    ("patch", "changed"),
    [
        ({"active": False}, {"active": False}),
        ({"active": None}, {"active": None}),
        ({"name": [{"text": "B"}]}, {"name": [{"text": "B"}]}),
        ({"meta": {"source": None, "tag": []}}, {"meta": {"tag": []}}),
        ({"maritalStatus": {"text": "m", "coding": None}}, {"maritalStatus": {"text": "m"}}),
        ({"active": {"a": {"b": None}}}, {"active": {"a": {}}}),
        ({"resourceType": "Patient", "id": "1"}, {}),
    ],
)
def test_a_merge_patch_replaces_adds_and_takes_away(patch: dict[str, Any], changed: dict[str, Any]) -> None:
    expected = {name: value for name, value in {**PATIENT, **changed}.items() if value is not None}
    before = {**PATIENT}
    assert apply_merge_patch(PATIENT, patch) == expected
    assert before == PATIENT


@pytest.mark.parametrize(("name", "value"), [("id", "2"), ("id", None), ("resourceType", "Group")])
def test_a_merge_patch_that_would_change_what_it_is_about_is_refused(name: str, value: Any) -> None:
    with pytest.raises(Rejected) as refused:
        apply_merge_patch(PATIENT, {name: value})
    assert refused.value.issues[0].expression == f"Patient.{name}"

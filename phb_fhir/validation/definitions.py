"""A StructureDefinition that somebody sends must be of use: without a snapshot of its own, one can be made from it.

What cannot be made into a snapshot (an element its base does not have, a cardinality wider than the base's) could never be
held against anything, and would be found out only when the first resource claims it.
"""

from __future__ import annotations

from typing import Any

from phb_fhir.definitions.registry import with_snapshot
from phb_fhir.definitions.snapshot import SnapshotFailed
from phb_fhir.definitions.trail import Trail, path_of
from phb_fhir.outcome import Issue, Kind
from phb_fhir.validation.frame import Frame


def check_definition(node: dict[str, Any], trail: Trail, frame: Frame) -> None:
    """A profile with a differential alone."""
    base = node.get("baseDefinition")
    if "snapshot" in node or type(base) is not str or frame.known.structure(base) is None:
        return
    if not _is_whole(node) or any(issue.is_error for issue in frame.issues):
        return  # its shape is complained of already
    try:
        with_snapshot(node, frame.known.structure)
    except SnapshotFailed as reason:
        text = f"No snapshot can be made from this differential. {reason}"
        frame.issues.append(Issue(Kind.INVALID, text, path_of((trail, "differential", None))))


def _is_whole(node: dict[str, Any]) -> bool:
    differential = node.get("differential")
    elements = differential.get("element") if type(differential) is dict else None
    return type(elements) is list and all(
        type(element) is dict and type(element.get("path")) is str for element in elements
    )

"""Small profiles to make snapshots of."""

from __future__ import annotations

STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"
MINE = "http://example.org/StructureDefinition/"


def row(id_, **said):
    """One row of a differential: its path and its slice follow from its id."""
    steps = [step.partition(":") for step in id_.split(".")]
    placed = {"id": id_, "path": ".".join(name for name, _, _ in steps)}
    return placed | ({"sliceName": steps[-1][2]} if steps[-1][2] else {}) | said


def profile(*rows, base="Patient", name="mine", **more):
    """A profile of `base` (a type of R4, or a URL of ours) of which these are the rows."""
    return {
        "resourceType": "StructureDefinition",
        "url": MINE + name,
        "kind": "resource",
        "type": rows[0]["path"].partition(".")[0] if rows else base,
        "baseDefinition": base if "://" in base else STRUCTURE + base,
        "derivation": "constraint",
        "differential": {"element": [*rows]},
        **more,
    }


BY_SYSTEM = {"discriminator": [{"type": "value", "path": "system"}], "rules": "open"}


def sliced_base():
    return profile(
        row("Patient.identifier", slicing=BY_SYSTEM),
        row("Patient.identifier:a", max="1"),
        row("Patient.identifier:a.system", min=1),
        row("Patient.identifier:b", min=1),
        name="sliced",
    )


def extension(*rows, name="ext", **more):
    return profile(*rows, base="Extension", name=name, kind="complex-type", type="Extension", **more)

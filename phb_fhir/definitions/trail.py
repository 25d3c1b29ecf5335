"""Where we are inside a resource, cheaply kept while walking and spelled out only when somebody asks.

A trail is the resource type's name, or (the trail above, the element's FHIRPath name, its index in a list or
None). `path_of` writes it as FHIRPath: `Patient.contact[1].name.family`. A choice is written by its FHIRPath
name, so the property `valueQuantity` of an Observation is at `Observation.value`; the twin `_birthDate` is at
`Patient.birthDate`.
"""

from __future__ import annotations

from typing import TypeAlias

Trail: TypeAlias = "str | tuple[Trail, str, int | None]"


def path_of(trail: Trail) -> str:
    """The FHIRPath of a trail."""
    steps: list[str] = []
    while not isinstance(trail, str):
        trail, name, index = trail
        steps.append(f".{name}" if index is None else f".{name}[{index}]")
    return trail + "".join(reversed(steps))

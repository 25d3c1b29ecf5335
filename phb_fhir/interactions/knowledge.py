"""What this server knows of profiles, extensions and codes at this moment.

A registry never changes; knowing more means putting the next one here. A request takes `known` once where it begins to
judge, so that what it says first and last is of one mind.
"""

from __future__ import annotations

from phb_fhir.definitions.registry import Registry


class Knowledge:
    """`known` is what resources are held against from now on."""

    __slots__ = ("known",)

    def __init__(self, known: Registry) -> None:
        self.known = known

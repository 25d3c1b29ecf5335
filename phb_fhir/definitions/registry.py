"""The conformance resources the server knows, found by canonical URL.

`core(definitions)` knows what R4 itself publishes: every type, extension and profile (`r4_structures.zip`, one entry
read when first asked for). `Registry.of` puts more on top, such as the resources of packages and those written at run
time. A registry never changes; adding a resource means building the next one, which costs little because snapshots and
plans are only made when somebody asks.

A canonical may carry a version, `url|1.2`. A core URL is answered whatever its version says (its value sets are bound
as `…|4.0.1`); for any other the version must be there. Without a version the newest is meant.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from phb_fhir.definitions.snapshot import SnapshotFailed, generate_snapshot
from phb_fhir.fhir import codec

if TYPE_CHECKING:
    from phb_fhir.definitions.load import Definitions

Resource = dict[str, Any]
T = TypeVar("T")

CORE = "http://hl7.org/fhir/"
_STRUCTURE = CORE + "StructureDefinition/"
_ARCHIVE = Path(__file__).parent / "r4_structures.zip"
_DEPTH_MAX = 200
_KEPT = frozenset(("StructureDefinition", "ValueSet", "CodeSystem", "ImplementationGuide", "Questionnaire"))
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True, eq=False)
class Registry:
    """What is known beside the types: `resources` by type and url, each with its versions, newest last."""

    definitions: Definitions
    resources: Mapping[str, Mapping[str, tuple[Resource, ...]]]
    _structures: dict[str, Resource | None] = field(default_factory=dict, repr=False)
    _derived: dict[Callable[[Registry], Any], Any] = field(default_factory=dict, repr=False)

    @staticmethod
    def of(definitions: Definitions, resources: Iterable[Resource]) -> Registry:
        """R4 and these conformance resources; resources of other types are passed over."""
        found: dict[str, dict[str, list[Resource]]] = {}
        for resource in resources:
            kind, url = resource.get("resourceType"), resource.get("url")
            if kind in _KEPT and isinstance(url, str):
                found.setdefault(str(kind), {}).setdefault(url, []).append(resource)
        return Registry(
            definitions,
            {kind: {u: tuple(sorted(rs, key=_newness)) for u, rs in urls.items()} for kind, urls in found.items()},
        )

    def structure(self, canonical: str) -> Resource | None:
        """The StructureDefinition of this URL, with a snapshot; None when there is none, or its snapshot cannot be
        made (`structure_problem` says why).
        """
        if canonical not in self._structures:
            self._structures[canonical] = self._structure(canonical)
        return self._structures[canonical]

    def structure_problem(self, canonical: str) -> str:
        """Why a definition that is here cannot be used, in a sentence; empty when it can, or is not here."""
        found = self._published(canonical)
        if found is None:
            return ""
        try:
            with_snapshot(found, self._base)
        except SnapshotFailed as reason:
            return f"The definition {canonical} has no snapshot and none can be made: {reason}"
        return ""

    def value_set(self, canonical: str) -> Resource | None:
        """The ValueSet of this URL, of those added."""
        return self.find("ValueSet", canonical)

    def code_system(self, canonical: str) -> Resource | None:
        """The CodeSystem of this URL, of those added."""
        return self.find("CodeSystem", canonical)

    def find(self, kind: str, canonical: str) -> Resource | None:
        """The resource of this type and canonical URL, of those added."""
        url, _, version = canonical.partition("|")
        versions = self.resources.get(kind, {}).get(url, ())
        if not version or url.startswith(CORE):
            return versions[-1] if versions else None
        return next((r for r in reversed(versions) if _is_version(r.get("version"), version)), None)

    def global_profiles(self, resource_type: str) -> tuple[str, ...]:
        """The profiles that an implementation guide here puts on every resource of a type."""
        return self.derived(_globals).get(resource_type, ())

    def derived(self, build: Callable[[Registry], T]) -> T:
        """`build(self)`, built once and kept as long as this registry."""
        if build not in self._derived:
            self._derived[build] = build(self)
        return cast("T", self._derived[build])

    def _structure(self, canonical: str) -> Resource | None:
        found = self._published(canonical)
        if found is None:
            return None
        try:
            return with_snapshot(found, self._base)
        except SnapshotFailed:
            return None

    def _base(self, canonical: str) -> Resource | None:
        """What a snapshot is made from; one that derives from itself has none."""
        if canonical in self._structures:
            return self._structures[canonical]
        self._structures[canonical] = None  # until it is made
        made = self._structure(canonical)
        if made is None:
            del self._structures[canonical]
        else:
            self._structures[canonical] = made
        return made

    def _published(self, canonical: str) -> Resource | None:
        return self.find("StructureDefinition", canonical) or self.definitions.derived(_core)(canonical)


def core(definitions: Definitions) -> Registry:
    """What R4 itself publishes, always the same registry."""
    return definitions.derived(_core_registry)


def _core_registry(definitions: Definitions) -> Registry:
    return Registry.of(definitions, ())


def _core(_: Definitions) -> Callable[[str], Resource | None]:
    archive = zipfile.ZipFile(_ARCHIVE)
    names = frozenset(archive.namelist())
    read: dict[str, Resource] = {}

    def structure(canonical: str) -> Resource | None:
        url = canonical.partition("|")[0]
        name = f"{url.removeprefix(_STRUCTURE)}.json"
        if not url.startswith(_STRUCTURE) or name not in names:
            return None
        if name not in read:
            read[name] = codec.loads(archive.read(name), depth_max=_DEPTH_MAX)
        return read[name]

    return structure


def _globals(registry: Registry) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for versions in registry.resources.get("ImplementationGuide", {}).values():
        for row in versions[-1].get("global", ()):
            found[row["type"]] = (*found.get(row["type"], ()), row["profile"])
    return found


def _is_version(there: Any, asked: str) -> bool:
    """`1.2.3` answers to 1.2.3, and to 1.2 and 1 as well."""
    return isinstance(there, str) and (there == asked or there.startswith(asked + "."))


def _newness(resource: Resource) -> tuple[Any, ...]:
    parts = _DIGITS.split(str(resource.get("version", "")))
    return tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts if part)


# ---- snapshots -----------------------------------------------------------------------------------


def with_snapshot(structure: Resource, resolve: Callable[[str], Resource | None]) -> Resource:
    """`structure` itself where it has a snapshot, else a copy with one generated. Raises SnapshotFailed."""
    if structure.get("snapshot", {}).get("element"):
        return structure
    return {**structure, "snapshot": {"element": generate_snapshot(structure, resolve)}}

"""The conformance resources the server knows, found by canonical URL.

`core(definitions)` knows what R4 itself publishes: every type, extension and profile (`r4_structures.zip`, one entry
read when first asked for). `Registry.of` puts more on top, such as the resources of packages and those written at run
time. A registry never changes; adding a resource means building the next one (`changed`), which costs little: resources are
kept as text until somebody asks (`kept.py`), and snapshots and plans are only made then.

A canonical may carry a version, `url|1.2`. A core URL is answered whatever its version says (its value sets are bound
as `…|4.0.1`); for any other the version must be there. Without a version the newest is meant.
"""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from phb_fhir.definitions.kept import DEPTH_MAX, Kept
from phb_fhir.definitions.snapshot import SnapshotFailed, generate_snapshot
from phb_fhir.definitions.terminology_tables import tables
from phb_fhir.fhir import codec

if TYPE_CHECKING:
    from phb_fhir.definitions.load import Definitions

Resource = dict[str, Any]
T = TypeVar("T")

_BASES_MAX = 50  # definitions without a snapshot, each of which stands on the next

CORE = "http://hl7.org/fhir/"
_STRUCTURE = CORE + "StructureDefinition/"
_ARCHIVE = Path(__file__).parent / "r4_structures.zip"
_NOT_MADE: Resource = {}
TYPES = frozenset(
    ("StructureDefinition", "ValueSet", "CodeSystem", "ImplementationGuide", "Questionnaire", "SearchParameter")
)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Registry:
    """What is known beside the types: `resources` by type and url, each with its versions, newest last."""

    definitions: Definitions
    resources: Mapping[str, Mapping[str, tuple[Kept, ...]]]
    _structures: dict[str, Resource | None] = field(default_factory=dict, repr=False)
    _derived: dict[Callable[[Registry], Any], Any] = field(default_factory=dict, repr=False)
    _making: set[str] = field(default_factory=set, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)  # large resources are judged in threads

    @staticmethod
    def of(definitions: Definitions, resources: Iterable[Resource | Kept]) -> Registry:
        """R4 and these conformance resources; resources of other types are passed over."""
        come = (each if isinstance(each, Kept) else Kept.of(each) for each in resources)
        return Registry(definitions, {}).changed((), come)

    def changed(self, gone: Iterable[Kept], come: Iterable[Kept]) -> Registry:
        """The registry that follows this one: without these, and with those."""
        made: dict[str, dict[str, tuple[Kept, ...]]] = {}
        touched: dict[tuple[str, str], list[Kept]] = {}
        left = set(gone)
        added = [kept for kept in come if kept.type in TYPES and kept.url]
        for kept in (*left, *added):
            there = self.resources.get(kept.type, {}).get(kept.url, ())
            touched.setdefault((kept.type, kept.url), [row for row in there if row not in left])
        for kept in added:
            touched[kept.type, kept.url].append(kept)
        for (type_, url), rows in touched.items():
            urls = made.setdefault(type_, dict(self.resources.get(type_, {})))
            urls[url] = tuple(sorted(rows, key=lambda row: row.newness))
            if not rows:
                del urls[url]
        return Registry(self.definitions, {**self.resources, **made})

    def forget(self) -> None:
        """Let go of what was worked out: for a registry that has been replaced, whose plans know it as it knows them."""
        self._structures.clear()
        self._derived.clear()

    def structure(self, canonical: str) -> Resource | None:
        """The StructureDefinition of this URL, with a snapshot; None when there is none, or its snapshot cannot be
        made (`structure_problem` says why).
        """
        found = self._structures.get(canonical, _NOT_MADE)
        if found is _NOT_MADE:
            with self._lock:
                found = self._structures[canonical] = self._structure(canonical)
        return found

    def tolerated(self, canonical: str) -> Resource | None:
        """A StructureDefinition that asks for more than its base allows, as far as it can be held against anything.

        HL7's own validator uses such profiles too; the fault is the definition's, and is told of where that is looked at.
        """
        found = self._published(canonical)
        if found is None:
            return None
        try:
            made = generate_snapshot(found, self._published, is_strict=False)
        except SnapshotFailed:
            return None
        return {**found, "snapshot": {"element": made}}

    def structure_problem(self, canonical: str) -> str:
        """Why a definition that is here cannot be used, in a sentence; empty when it can, or is not here."""
        found = self._published(canonical)
        if found is None:
            return ""
        try:
            with self._lock:
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
            return versions[-1].read() if versions else None
        return next((kept.read() for kept in reversed(versions) if _is_version(kept.version, version)), None)

    def global_profiles(self, resource_type: str) -> tuple[str, ...]:
        """The profiles that an implementation guide here puts on every resource of a type."""
        return self.derived(_globals).get(resource_type, ())

    def derived(self, build: Callable[[Registry], T]) -> T:
        """`build(self)`, built once and kept as long as this registry."""
        found = self._derived.get(build)
        if found is None:
            found = self._derived[build] = build(self)
        return cast("T", found)

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
        found = self._structures.get(canonical, _NOT_MADE)
        if found is not _NOT_MADE:
            return found
        if canonical in self._making or len(self._making) >= _BASES_MAX:
            return None
        self._making.add(canonical)
        try:
            made = self._structure(canonical)
        finally:
            self._making.remove(canonical)
        if made is not None:
            self._structures[canonical] = made
        return made

    def _published(self, canonical: str) -> Resource | None:
        return self.find("StructureDefinition", canonical) or self.definitions.derived(_core)(canonical)


def is_core(definitions: Definitions, type_: str, url: str) -> bool:
    """Whether R4 itself publishes a definition of this type under this url of FHIR's own."""
    find = _CORE_FINDS.get(type_)
    return find is not None and url.startswith(CORE) and find(definitions, url) is not None


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
            read[name] = codec.loads(archive.read(name), depth_max=DEPTH_MAX)
        return read[name]

    return structure


_CORE_FINDS: dict[str, Callable[[Definitions, str], Resource | None]] = {
    "StructureDefinition": lambda definitions, url: definitions.derived(_core)(url),
    "ValueSet": lambda definitions, url: tables(definitions.folder).value_set(url),
    "CodeSystem": lambda definitions, url: tables(definitions.folder).code_system_resource(url),
    "SearchParameter": lambda definitions, url: definitions.derived(_core_parameters).get(url),
}


def _core_parameters(definitions: Definitions) -> dict[str, Resource]:
    """The search parameters that R4 publishes, by url; what each is made of is not for here (`search_parameters`)."""
    found = (definitions.search_parameters(type_).values() for type_ in definitions.resource_types)
    return {parameter.url: {} for parameters in found for parameter in parameters}


def _globals(registry: Registry) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for versions in registry.resources.get("ImplementationGuide", {}).values():
        for row in versions[-1].read().get("global", ()):
            found[row["type"]] = (*found.get(row["type"], ()), row["profile"])
    return found


def _is_version(there: str, asked: str) -> bool:
    """`1.2.3` answers to 1.2.3, and to 1.2 and 1 as well."""
    return there == asked or there.startswith(asked + ".")


# ---- snapshots -----------------------------------------------------------------------------------


def with_snapshot(structure: Resource, resolve: Callable[[str], Resource | None]) -> Resource:
    """`structure` itself where it has a snapshot, else a copy with one generated. Raises SnapshotFailed."""
    if structure.get("snapshot", {}).get("element"):
        return structure
    return {**structure, "snapshot": {"element": generate_snapshot(structure, resolve)}}

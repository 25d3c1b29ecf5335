"""What is loaded: the CodeSystems and ValueSets that R4 publishes, and those put on top of them.

What is brought along stands before what R4 publishes under the same url; of several versions the newest, unless a canonical
names one (`url|version`). A code system known only by its name hides none that has codes. Fragments of one system are
read together, supplements add to the system they name, and a supplement to a system that is not here shows at least that
the codes it speaks of exist.

Some value sets are implied (R4 §4.9.7): all codes of a code system that names one, and those SNOMED CT, LOINC and UCUM
define by the form of their urls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from phb_fhir.definitions.kept import Kept
from phb_fhir.definitions.terminology_grammars import GRAMMARS, LOINC, MEDIA_TYPES, NAMES, SNOMED, UCUM
from phb_fhir.definitions.terminology_systems import CodeSystem, read_code_system
from phb_fhir.definitions.terminology_tables import Tables
from phb_fhir.definitions.terminology_value_sets import Held, View, make_view, named

Json = dict[str, Any]

_R4_VERSION = "4.0.1"


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """The resources, by url. Frozen: what fills up inside is only a memory of what was made ready."""

    base: Tables
    systems: Mapping[str, tuple[Kept, ...]]  # added CodeSystems, the newest last
    supplements: Mapping[str, tuple[Kept, ...]]  # by the url of what they supplement
    value_sets: Mapping[str, tuple[Kept, ...]]
    whole_systems: Mapping[str, str]  # CodeSystem.valueSet: the system all of whose codes it means
    views: dict[str, View] = field(default_factory=dict, repr=False)
    _made: dict[tuple[str, str], CodeSystem] = field(default_factory=dict, repr=False)

    def resources(self) -> list[Kept]:
        """All that were put on top."""
        kept = (self.systems, self.supplements, self.value_sets)
        return [resource for table in kept for rows in table.values() for resource in rows]

    def value_set(self, canonical: str) -> Json | None:
        """The ValueSet of this canonical: added, published by R4, or implied by a code system."""
        url, _, version = canonical.partition("|")
        added = _of_version(self.value_sets.get(url, ()), version)
        if added is not None:
            return added.read()
        published = self.base.value_set(url)
        return published if published is not None and _is_in_r4(published, version) else self._implied(canonical)

    def view(self, canonical: str) -> View | None:
        """The same, made ready to be asked."""
        if canonical not in self.views:
            resource = self.value_set(canonical)
            if resource is None:
                return None
            self.views[canonical] = make_view(resource, self)
        return self.views[canonical]

    def code_system(self, canonical: str) -> Json | None:
        """The CodeSystem resource of this canonical: added, or published by R4."""
        url, _, version = canonical.partition("|")
        added = _of_version(self.systems.get(url, ()), version)
        if added is not None:
            return added.read()
        supplement = _of_version([r for rows in self.supplements.values() for r in rows if r.url == url], version)
        published = supplement.read() if supplement is not None else self.base.code_system_resource(url)
        return published if published is not None and _is_in_r4(published, version) else None

    def held(self, url: str, version: str = "") -> Held:
        """What is here of a code system, in the version asked for where that is here."""
        system = self._code_system(url, "")
        if version and (system is None or not _is_version(system.version, version)):
            other = self._code_system(url, version)
            if other is None:
                return self._other_version(url, version, system)
            system = other
        return self._held(url, system)

    def _held(self, url: str, system: CodeSystem | None) -> Held:
        grammar = GRAMMARS.get(url)
        name = NAMES.get(url) or (system.title if system is not None else grammar.name if grammar else "")
        version = system.version if system is not None else ""
        if system is not None and not system.concepts and system.content != "complete":
            system = None
        is_closed = system is not None and system.content == "complete" and not system.is_compositional
        if self._is_supplement(url):
            return Held(url, name or url, version, None, is_closed=True)
        why = "" if is_closed or (grammar and system is None) else _why_open(url, name, system)
        return Held(url, name or url, version, system, is_closed, grammar, why)

    def _other_version(self, url: str, version: str, system: CodeSystem | None) -> Held:
        held = self._held(url, system)
        if system is None:
            return held
        here = f"; version {system.version} is" if system.version else ""
        why = f'version "{version[:60]}" of {named(held)} is not loaded here{here}'
        return held._replace(is_closed=False, grammar=None, why=why, is_other_version=True)

    def _code_system(self, url: str, version: str) -> CodeSystem | None:
        """The code system of this version, or the best there is; None when there is none."""
        if (url, version) in self._made:
            return self._made[url, version]
        chosen = self._chosen(url, version)
        if not chosen:
            return None
        supplements = [kept.read() for kept in self.supplements.get(url, ())]
        plain = not supplements and len(chosen) == 1 and chosen[0] is self.base.code_system_resource(url)
        made = self.base.code_system(url) if plain else read_code_system(chosen, supplements)
        if made is not None:
            self._made[url, version] = made
        return made

    def _chosen(self, url: str, version: str) -> list[Json]:
        """The resources to read it from: a complete one, or all fragments, or examples, or what names it only.

        A supplement to a system that is not here is itself a fragment: the codes it adds to exist.
        """
        published = self.base.code_system_resource(url)
        added = self.systems.get(url, ())
        candidates = [Kept.of(published)] if published is not None and _is_in_r4(published, version) else []
        candidates += [kept for kept in added if _is_version(kept.version, version)]
        for content in ("complete", "fragment", "example"):
            found = [kept for kept in candidates if kept.content == content]
            if found:
                return [kept.read() for kept in (found[-1:] if content == "complete" else found)]
        supplements = () if version else self.supplements.get(url, ())
        shown_by = [
            {**kept.read(), "url": url, "content": "fragment", "title": NAMES.get(url, url)} for kept in supplements
        ]
        return shown_by or [kept.read() for kept in candidates]

    def _is_supplement(self, url: str) -> bool:
        return any(kept.url == url for rows in self.supplements.values() for kept in rows)

    def _implied(self, canonical: str) -> Json | None:
        """The value set a code system implies: all its codes, or what SNOMED CT, LOINC and UCUM define."""
        url = canonical.partition("|")[0]
        system = self.whole_systems.get(url)
        if system is None and self._code_system(url, "") is not None:
            system = url  # R4 itself binds ExplanationOfBenefit.priority to the url of a code system
        if system is not None:
            return _value_set(canonical, {"system": system})
        for prefix, build in _IMPLIED:
            if canonical.startswith(prefix):
                include = build(canonical)
                return _value_set(canonical, include) if include else None
        return None


def loaded(base: Tables, resources: Iterable[Json | Kept]) -> Loaded:
    """R4's own and these; resources of other types are passed over."""
    systems: dict[str, list[Kept]] = {}
    supplements: dict[str, list[Kept]] = {}
    value_sets: dict[str, list[Kept]] = {}
    for resource in [*base.supplements(), *resources]:
        kept = resource if isinstance(resource, Kept) else Kept.of(resource)
        if not kept.url:
            continue
        if kept.type == "ValueSet":
            _put(value_sets, kept.url, kept)
        elif kept.type == "CodeSystem" and kept.content == "supplement":
            _put(supplements, kept.supplements.partition("|")[0], kept)
        elif kept.type == "CodeSystem":
            _put(systems, kept.url, kept)
    return Loaded(base, _sorted(systems), _sorted(supplements), _sorted(value_sets), _whole_systems(systems))


def _put(table: dict[str, list[Kept]], url: str, kept: Kept) -> None:
    """The resource instead of an earlier one of the same url and version."""
    rows = table.setdefault(url, [])
    rows[:] = [row for row in rows if _identity(row) != _identity(kept)]
    rows.append(kept)


def _identity(kept: Kept) -> tuple[str, str, str]:
    """A code system may come in several fragments, each a resource of its own."""
    return kept.url, kept.version, kept.id if kept.content == "fragment" else ""


def _sorted(table: Mapping[str, list[Kept]]) -> dict[str, tuple[Kept, ...]]:
    return {url: tuple(sorted(rows, key=lambda kept: kept.newness)) for url, rows in table.items()}


def _of_version(resources: Iterable[Kept], version: str) -> Kept | None:
    found = [kept for kept in resources if _is_version(kept.version, version)]
    return found[-1] if found else None


def _is_version(there: Any, asked: str) -> bool:
    """`1.2.3` answers to 1.2.3, and to 1.2 and 1 as well, an edition of SNOMED CT to each release; any version to none."""
    return not asked or (isinstance(there, str) and (there == asked or there.startswith((asked + ".", asked + "/"))))


def _is_in_r4(published: Json, asked: str) -> bool:
    """What R4 publishes also answers to its version: R4 itself binds v3 value sets as |4.0.1."""
    return _is_version(published.get("version"), asked) or _is_version(_R4_VERSION, asked)


def _whole_systems(systems: Mapping[str, list[Kept]]) -> dict[str, str]:
    return {kept.valueSet.partition("|")[0]: url for url, rows in systems.items() for kept in rows if kept.valueSet}


def _value_set(canonical: str, include: Json) -> Json:
    return {"resourceType": "ValueSet", "url": canonical, "status": "active", "compose": {"include": [include]}}


def _implied_by_snomed(canonical: str) -> Json | None:
    """http://snomed.info/sct[/module[/version/date]]?fhir_vs[=isa/id, =refset[/id], =ecl/expression]."""
    edition, _, query = canonical.partition("?")
    name, _, asked = query.partition("=")
    if name != "fhir_vs":
        return None
    include: Json = {"system": SNOMED}
    if edition != SNOMED:
        include["version"] = edition
    kind, _, value = asked.partition("/")
    if kind == "isa":
        include["filter"] = [{"property": "concept", "op": "is-a", "value": value}]
    elif kind == "ecl":
        include["filter"] = [{"property": "constraint", "op": "=", "value": value}]
    elif kind:
        include["filter"] = [{"property": "concept", "op": "in", "value": value}]
    return include


def _implied_by_loinc(canonical: str) -> Json | None:
    """http://loinc.org/vs for all of LOINC, http://loinc.org/vs/LL123-4 for an answer list."""
    answers = canonical.removeprefix(f"{LOINC}/vs").removeprefix("/")
    filters = [{"property": "LIST", "op": "=", "value": answers}] if answers else []
    return {"system": LOINC, "filter": filters}


def _implied_by_ucum(canonical: str) -> Json | None:
    """http://unitsofmeasure.org/vs for all units, …/vs/[unit] for those that measure the same."""
    like = canonical.removeprefix(f"{UCUM}/vs").removeprefix("/")
    return {"system": UCUM, "filter": [{"property": "canonical", "op": "=", "value": like}] if like else []}


def _implied_by_media_types(_: str) -> Json | None:
    """R4 binds some media types to the text of BCP 13 itself."""
    return {"system": MEDIA_TYPES}


_IMPLIED: tuple[tuple[str, Callable[[str], Json | None]], ...] = (
    ("http://www.rfc-editor.org/bcp/bcp13.txt", _implied_by_media_types),
    (SNOMED, _implied_by_snomed),
    (f"{LOINC}/vs", _implied_by_loinc),
    (f"{UCUM}/vs", _implied_by_ucum),
)


def _why_open(url: str, name: str, system: CodeSystem | None) -> str:
    called = f"{name} ({url})" if name and name != url else url
    if system is None:
        return f"the code system {called} is not loaded here"
    if system.content == "complete":
        return f"{called} also has codes that are put together from others, and these cannot be checked here"
    return f"only a part of {called} is loaded here"

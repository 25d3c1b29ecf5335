"""A value set written out as the list of its codes: ValueSet.expansion (R4 §4.9.8, the operation $expand).

The list is flat and in the order of the definition. It is the same each time it is asked for, so that pages of it fit
together. What shaped it stands in its parameters, the version of every code system that has one among them.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from phb_fhir.definitions.terminology_systems import dicts
from phb_fhir.definitions.terminology_value_sets import UNCLOSED, CannotExpandError, Entry, make_view
from phb_fhir.fhir import codec
from phb_fhir.outcome import Kind

if TYPE_CHECKING:
    from phb_fhir.definitions.terminology_value_sets import Sources

Json = dict[str, Any]

CODES_MAX = 10_000  # codes in one answer; a longer list is read in pages
_KEPT = ("url", "version", "name", "title", "status", "experimental", "date", "publisher", "description", "copyright")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Asked:
    """How an expansion is wanted; every field is a parameter of $expand.

    `designations` narrows which are included: a language, or the code of a use. `exclude_systems` are canonicals.
    """

    filter: str = ""
    offset: int = 0
    count: int | None = None
    active_only: bool = False
    include_designations: bool = False
    include_definition: bool = False
    exclude_not_for_ui: bool = False
    display_language: str = ""
    designations: tuple[str, ...] = ()
    exclude_systems: tuple[str, ...] = ()


@dataclass(slots=True)
class Expansion:
    """The codes that were asked for, of all that there are."""

    entries: list[Entry]
    total: int
    is_unclosed: bool
    is_published: bool
    versions: list[str] = field(default_factory=list)


def expand(sources: Sources, value_set: str | Json, asked: Asked, timestamp: str) -> Json:
    """The ValueSet with its expansion. Raises CannotExpandError, with a sentence for a person."""
    view = sources.view(value_set) if isinstance(value_set, str) else make_view(value_set, sources)
    if view is None:
        raise CannotExpandError(Kind.NOT_FOUND, f"the value set {value_set} is not loaded here")
    found = _selected(view.entries().values(), asked)
    resource: Json = {"resourceType": "ValueSet"}
    resource |= {name: view.resource[name] for name in _KEPT if name in view.resource}
    resource.setdefault("status", "unknown")
    if asked.include_definition and "compose" in view.resource:
        resource["compose"] = view.resource["compose"]
    resource["expansion"] = _expansion(view.resource, found, asked, timestamp)
    return resource


def _selected(entries: Iterable[Entry], asked: Asked) -> Expansion:
    kept = [entry for entry in entries if _is_wanted(entry, asked)]
    versions = {f"{e.held.url}|{e.held.version}": None for e in kept if e.held.version and not e.is_published}
    unclosed = any(_is_of_more(entry) for entry in kept)
    page = kept[asked.offset :] if asked.count is None else kept[asked.offset : asked.offset + asked.count]
    if len(page) > CODES_MAX:
        what = f"it has {len(kept):,} codes, more than the {CODES_MAX:,} that one answer may hold"
        raise CannotExpandError(Kind.TOO_COSTLY, f"{what}; ask for them in pages, with count and offset")
    return Expansion(page, len(kept), unclosed, any(entry.is_published for entry in kept), list(versions))


def _is_of_more(entry: Entry) -> bool:
    """Whether there may be more codes where this one comes from."""
    return (entry.held.in_part and not entry.listed) or (entry.is_published and not entry.held.is_closed)


def _is_wanted(entry: Entry, asked: Asked) -> bool:
    if asked.active_only and is_inactive(entry):
        return False
    if asked.exclude_not_for_ui and is_abstract(entry):
        return False
    if asked.exclude_systems and _is_excluded(entry, asked.exclude_systems):
        return False
    return not asked.filter or _is_about(entry, asked.filter)


def _is_excluded(entry: Entry, canonicals: tuple[str, ...]) -> bool:
    parts = [canonical.partition("|") for canonical in canonicals]
    return any(url == entry.held.url and version in ("", entry.held.version) for url, _, version in parts)


def _is_about(entry: Entry, text: str) -> bool:
    """Every word of the filter begins the code, or a word of one of its names."""
    names = [entry.code, display_of(entry) or "", *(str(d.get("value", "")) for d in _designations(entry))]
    words = [word for name in names for word in _WORD.findall(name.casefold())]
    wanted = text.casefold().split()
    return all(entry.code.casefold().startswith(part) or any(w.startswith(part) for w in words) for part in wanted)


# ---- what an entry says ---------------------------------------------------------------------------


def is_inactive(entry: Entry) -> bool:
    """Whether the code is kept for old records only."""
    return entry.listed.get("inactive") is True or (
        entry.held.system is not None and entry.code in entry.held.system.inactive
    )


def is_abstract(entry: Entry) -> bool:
    """Whether the code only groups others."""
    return entry.listed.get("abstract") is True or (
        entry.held.system is not None and entry.code in entry.held.system.abstract
    )


def display_of(entry: Entry) -> str | None:
    """What the value set calls the code, else what its system does (R4 §4.9.6)."""
    listed = entry.listed.get("display")
    if isinstance(listed, str):
        return listed
    system = entry.held.system
    return system.display(entry.code) if system is not None and entry.code in system.concepts else None


def _designations(entry: Entry) -> list[Json]:
    system = entry.held.system
    own = system.designations(entry.code) if system is not None and entry.code in system.concepts else []
    listed = dicts(entry.listed.get("designation"))
    return [*listed, *(row for row in own if row not in listed)]


# ---- writing it -----------------------------------------------------------------------------------


def _expansion(value_set: Json, found: Expansion, asked: Asked, timestamp: str) -> Json:
    parameters = _parameters(found, asked)
    if found.is_published:
        when = value_set.get("expansion", {}).get("timestamp")
        parameters.append(
            {"name": "published-expansion", "valueDateTime": when} if when else {"name": "published-expansion"}
        )
    expansion: Json = {"extension": [{"url": UNCLOSED, "valueBoolean": True}]} if found.is_unclosed else {}
    expansion |= {"identifier": _identifier(value_set, parameters), "timestamp": timestamp, "total": found.total}
    if asked.offset or asked.count is not None:
        expansion["offset"] = asked.offset
    if parameters:
        expansion["parameter"] = parameters
    if found.entries:
        expansion["contains"] = [_row(entry, asked) for entry in found.entries]
    return expansion


def _identifier(value_set: Json, parameters: list[Json]) -> str:
    """The same for all pages of the same list (R4 §4.9.8.1)."""
    same = [row for row in parameters if row["name"] not in ("offset", "count")]
    content = {
        "url": value_set.get("url"),
        "version": value_set.get("version"),
        "compose": value_set.get("compose"),
        "p": same,
    }
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, codec.canonical(content).decode())}"


def _parameters(found: Expansion, asked: Asked) -> list[Json]:
    rows: list[tuple[str, str, Any]] = [("version", "valueUri", version) for version in found.versions]
    texts = (("filter", asked.filter), ("displayLanguage", asked.display_language))
    rows += [(name, "valueString" if name == "filter" else "valueCode", text) for name, text in texts if text]
    rows += [("designation", "valueString", text) for text in asked.designations]
    rows += [("exclude-system", "valueUri", text) for text in asked.exclude_systems]
    flags: Mapping[str, bool] = {
        "activeOnly": asked.active_only,
        "includeDesignations": asked.include_designations,
        "includeDefinition": asked.include_definition,
        "excludeNotForUI": asked.exclude_not_for_ui,
    }
    rows += [(name, "valueBoolean", True) for name, is_set in flags.items() if is_set]
    if asked.offset:
        rows.append(("offset", "valueInteger", asked.offset))
    if asked.count is not None:
        rows.append(("count", "valueInteger", asked.count))
    return [{"name": name, key: value} for name, key, value in rows]


def _row(entry: Entry, asked: Asked) -> Json:
    row: Json = {"system": entry.held.url} if entry.held.url else {}
    if is_abstract(entry):
        row["abstract"] = True
    if is_inactive(entry):
        row["inactive"] = True
    row["code"] = entry.code
    display = _display_in(entry, asked.display_language)
    if display:
        row["display"] = display
    designations = [d for d in _designations(entry) if _is_asked_for(d, asked.designations)]
    if asked.include_designations and designations:
        row["designation"] = designations
    return row


def _display_in(entry: Entry, language: str) -> str | None:
    """The name in the language asked for, where there is one."""
    plain = display_of(entry)
    if not language:
        return plain
    return next(
        (d["value"] for d in _designations(entry) if speaks(d, language) and isinstance(d.get("value"), str)), plain
    )


def speaks(designation: Json, language: str) -> bool:
    """Whether a designation is in a language: `en` is met by `en-GB`, not the other way round."""
    there = str(designation.get("language", "")).lower()
    return there == language.lower() or there.startswith(language.lower() + "-")


def _is_asked_for(designation: Json, wanted: tuple[str, ...]) -> bool:
    """`designation` of $expand: use as system|code, or a language as urn:ietf:bcp:47|code."""
    if not wanted:
        return True
    raw = designation.get("use")
    use = raw if isinstance(raw, dict) else {}
    has = {f"{use.get('system', '')}|{use.get('code', '')}", f"urn:ietf:bcp:47|{designation.get('language', '')}"}
    return not has.isdisjoint(wanted)

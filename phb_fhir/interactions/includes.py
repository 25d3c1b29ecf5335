"""`_include` and `_revinclude`: what the matches of a page refer to, and what refers to them (R4 §3.1.1.5.4).

References are read from the index values that came with each match, so nothing is parsed. Work goes in rounds: the first
starts from the matches, and with `:iterate` each next one from what the round before brought, until nothing new comes or a
bound is reached, which is then said. A reference to a version brings that very version; a canonical brings whatever has that
url (and version, where it states one). What was deleted, or never was here, is simply not there; and what is in the Bundle
already is not put there twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from phb_fhir.change import Version
from phb_fhir.fhir.codec import loads
from phb_fhir.fhir.reference import unversioned
from phb_fhir.interactions.canonicals import LOCAL, meant_by, names_of
from phb_fhir.interactions.subset import STORED_DEPTH_MAX
from phb_fhir.outcome import Issue, Kind
from phb_fhir.query import Id, Include, Key, Query
from phb_fhir.search.asking import Asking
from phb_fhir.search.index import index_of
from phb_fhir.store.store import Hit, Reader

INCLUDED_MAX = 1_000  # resources that one page brings along
ROUNDS_MAX = 10  # of following references, the first included
_CHUNK = 500  # ids or entries in one question
_VERSIONED = re.compile(r"([A-Z][A-Za-z]*/[A-Za-z0-9\-.]{1,64})/_history/([1-9][0-9]{0,8})")


class Included(NamedTuple):
    """`versions` in the order they were found. `issues` say what was left out where a bound was reached."""

    versions: list[Version]
    issues: list[Issue]


async def find_included(
    reader: Reader, matches: Sequence[Hit], includes: Sequence[Include], asking: Asking
) -> Included:
    """What the matches of a page bring along."""
    found = _Found(reader, asking, matches)
    sources = list(matches)
    for turn in range(ROUNDS_MAX):
        wanted = [include for include in includes if turn == 0 or include.iterate]
        if not sources or not wanted:
            return Included(found.versions, [])
        sources = await found.follow(sources, wanted)
        if found.is_cut:
            return Included(
                found.versions, [_left_out(f"No more than {INCLUDED_MAX} resources come along with a page")]
            )
    issues = [_left_out(f"References are followed no more than {ROUNDS_MAX} times")] if sources else []
    return Included(found.versions, issues)


def _left_out(said: str) -> Issue:
    return Issue(
        Kind.TOO_COSTLY, f"{said}; others that _include or _revinclude ask for are left out.", severity="warning"
    )


class _Found:
    """What was found so far, beside the matches."""

    def __init__(self, reader: Reader, asking: Asking, matches: Iterable[Hit]) -> None:
        self._reader = reader
        self._asking = asking
        self._there = {(hit.version.key, hit.version.number) for hit in matches}
        self._asked = {hit.version.key for hit in matches}  # whose current version is there, or is known not to be
        self.versions: list[Version] = []
        self.is_cut = False

    async def follow(self, sources: Sequence[Hit], includes: Sequence[Include]) -> list[Hit]:
        """What these bring that was not there before."""
        fresh: list[Hit] = []
        for include in includes:
            brought = await (self._pointing(sources, include) if include.reverse else self._targets(sources, include))
            for hit in brought:
                identity = (hit.version.key, hit.version.number)
                if identity in self._there:
                    continue
                if len(self.versions) == INCLUDED_MAX:
                    self.is_cut = True
                    return fresh
                self._there.add(identity)
                self.versions.append(hit.version)
                fresh.append(hit)
        return fresh

    def _codes(self, type_: str, parameter: str) -> Sequence[str]:
        """The reference parameter that is meant, or all that the type has."""
        if parameter != "*":
            return (parameter,)
        return [code for code, one in self._asking.parameters.of(type_).items() if one.type == "reference"]

    async def _find(self, types: tuple[str, ...], entries: Sequence[str]) -> list[Hit]:
        """What has one of these index entries; one more than is taken, if there are so many."""
        most = INCLUDED_MAX + 1 + len(self._there)  # some may be there already
        found: list[Hit] = []
        for chunk in _chunks(entries):
            if len(found) < most:
                found += await self._reader.find(Query(types, Key(chunk)), count=most)
        return found

    # ---- what is referred to -----------------------------------------------------------------------

    async def _targets(self, sources: Sequence[Hit], include: Include) -> list[Hit]:
        wanted = _Wanted()
        for source in sources:
            if include.type in ("*", source.version.type):
                for code in self._codes(source.version.type, include.parameter):
                    wanted.take(source, code)
        start = f"{include.target}/" if include.target else ""
        keys = [key for key in wanted.keys if key.startswith(start) and key not in self._asked]
        self._asked.update(keys)
        found: list[Hit] = []
        for chunk in _chunks(keys):
            query = Query(tuple({key.partition("/")[0]: None for key in chunk}), Id(chunk))
            there = {hit.version.key: hit for hit in await self._reader.find(query, count=len(chunk))}
            found += [there[key] for key in chunk if key in there]
        for key, number in wanted.versions:
            if key.startswith(start) and (key, number) not in self._there:
                found += await self._version(key, number)
        if wanted.canonicals and (types := self._types_with_url(include)):
            found += await self._find(types, [f"url={url}" for url in wanted.canonicals])
        return found

    async def _version(self, key: str, number: int) -> list[Hit]:
        type_, _, id_ = key.partition("/")
        version = await self._reader.read_version(type_, id_, number)
        if version is None or version.json is None or version.number != number:
            return []
        resource = loads(version.json, depth_max=STORED_DEPTH_MAX)
        index = index_of(resource, self._asking.parameters, self._asking.own)
        return [Hit(version, [], index)]

    def _types_with_url(self, include: Include) -> tuple[str, ...]:
        """What a canonical may mean: the types that are found by their url, of those that are wanted."""
        asked = (include.target,) if include.target else sorted(self._asking.definitions.resource_types)
        return tuple(type_ for type_ in asked if "url" in self._asking.parameters.of(type_))

    # ---- what refers to it -------------------------------------------------------------------------

    async def _pointing(self, sources: Sequence[Hit], include: Include) -> list[Hit]:
        names = names_of(hit for hit in sources if include.target in ("", hit.version.type))
        all_types = sorted(self._asking.definitions.resource_types) if include.type == "*" else [include.type]
        codes = dict.fromkeys(code for type_ in all_types for code in self._codes(type_, include.parameter))
        types = () if include.type == "*" else (include.type,)
        entries = [f"{code}={text}" for code in codes for text in dict.fromkeys(name.text for name in names)]
        found = await self._find(types, entries)
        return [hit for hit in found if any(names.keys() & meant_by(hit.index.keys, code).keys() for code in codes)]


class _Wanted:
    """What the references of several sources mean, each once, in the order they stand."""

    def __init__(self) -> None:
        self.keys: dict[str, None] = {}
        self.versions: dict[tuple[str, int], None] = {}
        self.canonicals: dict[str, None] = {}

    def take(self, source: Hit, code: str) -> None:
        """Take up one parameter. What names a version has an entry without it too, to be found by, which means nothing here."""
        texts = list(_texts(source, code))
        wider = {unversioned(text) for text in texts if _VERSIONED.fullmatch(text)}
        wider |= {text.rpartition("|")[0] for text in texts if "|" in text}
        for text in texts:
            if found := _VERSIONED.fullmatch(text):
                self.versions[found[1], int(found[2])] = None
            elif text not in wider:
                (self.keys if LOCAL.fullmatch(text) else self.canonicals)[text] = None


def _texts(hit: Hit, code: str) -> Iterator[str]:
    start = f"{code}="
    return (entry[len(start) :] for entry in hit.index.keys if entry.startswith(start))


def _chunks(entries: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(entries[start : start + _CHUNK]) for start in range(0, len(entries), _CHUNK))

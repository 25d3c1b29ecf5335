"""What this server knows of profiles, extensions and codes at this moment.

Two layers. Below is what came with the software: FHIR R4 and the guide of `profiles/`. On top is what is stored: the
StructureDefinitions, ValueSets, CodeSystems and SearchParameters that somebody wrote, by PUT or in a package. `follow` keeps the upper layer
as the database has it, whichever process writes there; what this process writes it learns before it answers (`learn`), so
that whoever writes a profile and then a resource is judged by that profile.

The lower layer stands: a stored definition with the url of R4's own or of the guide's is not used, and may not be written
(`check_own`). Else anybody who may write a StructureDefinition could weaken the rules that all others rely on. Of two
stored resources with one url the newer version counts, and of two with one version the one that was written later.

A registry never changes; knowing more means putting the next one here. A request takes `known` once where it begins to
judge, so that what it says first and last is of one mind. So it is with `parameters`, what resources are found by: a
SearchParameter counts for what is written from then on, and `interactions/reindex` sees to what was written before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from time import monotonic
from types import MappingProxyType
from typing import Protocol

import structlog

from phb_fhir.change import Version
from phb_fhir.definitions.kept import Kept
from phb_fhir.definitions.registry import TYPES, Registry, is_core
from phb_fhir.definitions.search_parameters import SearchParameters, search_parameters
from phb_fhir.fhir.codec import Resource
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.search.usable import usable

PARAMETER = "SearchParameter"
_NONE: Mapping[str, tuple[Kept, ...]] = MappingProxyType({})
TOGETHER_S = 0.1  # what others write within this time is learnt at once: a package is hundreds of changes
BEGIN_AGAIN_S = 0.1  # after a stream ended; twice as long each time, up to …
BEGIN_AGAIN_MAX_S = 1.0

_log = structlog.get_logger("phb_fhir")


class Stored(Protocol):
    """Somebody to follow: what is there now, and then every change."""

    def current(self) -> AsyncIterator[Version]: ...

    def changes(self) -> AsyncIterator[Version | str]: ...


class Watchable(Protocol):
    def watch(self, types: Collection[str]) -> AbstractAsyncContextManager[Stored]: ...


class Knowledge:
    """`own` is what came with the software, and `known` all that resources are held against from now on.

    `guide` are the urls of the guide's resources by their keys. `news` is set when a SearchParameter came or went, and
    `news_at` when, by the monotonic clock; `settled` has, by type and code, the mark of a parameter that no resource lacks.
    They are for `interactions/reindex`.
    """

    __slots__ = (
        "_come",
        "_fresh",
        "_gone",
        "_guide_urls",
        "_known",
        "_later",
        "_parameters",
        "_parameters_of",
        "_stored",
        "guide",
        "news",
        "news_at",
        "own_parameters",
        "ready",
        "settled",
    )

    def __init__(self, own: Registry, guide: Mapping[str, str] = MappingProxyType({})) -> None:
        self.guide = guide
        self._guide_urls = frozenset(guide.values())
        self.ready = asyncio.Event()  # set once what is stored is known
        self._known = own
        self._stored: dict[str, tuple[int, Kept | None]] = {}  # by key: the version, and what it holds
        self._gone: list[Kept] = []
        self._come: list[Kept] = []
        self._fresh: set[str] = set()  # the keys learnt since the last beginning
        self._later: list[Version | str] = []
        self.own_parameters = search_parameters(own.definitions)  # R4's and the guide's
        self._parameters, self._parameters_of = self.own_parameters, _NONE
        self.news = asyncio.Event()
        self.news_at = monotonic()
        self.settled: dict[tuple[str, str], str] = {}

    @property
    def known(self) -> Registry:
        """The profiles, extensions and codes of this moment."""
        if self._gone or self._come:
            before, self._known = self._known, self._known.changed(self._gone, self._come)
            self._gone, self._come = [], []
            before.forget()
        return self._known

    @property
    def parameters(self) -> SearchParameters:
        """What resources are found by, at this moment. Of several versions of one parameter the newest counts."""
        stored = self.known.resources.get(PARAMETER, _NONE)
        if stored is not self._parameters_of:
            newest = [versions[-1] for url, versions in sorted(stored.items()) if url not in self._guide_urls]
            taken = usable(newest, self.known.definitions)
            self._parameters = self.own_parameters.changed(taken) if taken else self.own_parameters
            self._parameters_of = stored
        return self._parameters

    # --- what is stored ---

    def is_behind(self, type_: str, stored: Mapping[str, int]) -> bool:
        """Whether there is something in the store, of these version numbers by key, that is not known here yet."""
        there = {key for key, (_, kept) in self._stored.items() if kept is not None and kept.type == type_}
        newer = any(self._stored.get(key, (0, None))[0] < number for key, number in stored.items())
        return newer or not there <= stored.keys()

    def learn(self, written: Sequence[Version]) -> None:
        """Take up what was written, unless something newer is known already."""
        for version in written:
            if version.type in TYPES:
                self._fresh.add(version.key)
                self._take(version)

    async def load(self, store: Watchable) -> None:
        """Take up what is stored now, once. Raises Rejected."""
        async with store.watch(TYPES) as stored:
            await self._begin(stored)

    async def follow(self, store: Watchable) -> None:
        """Be as the store is, for as long as this runs. Whatever goes wrong, it begins again."""
        wait = BEGIN_AGAIN_S
        while True:
            try:
                async with store.watch(TYPES) as stored:
                    await self._begin(stored)
                    wait = BEGIN_AGAIN_S
                    async for change in stored.changes():
                        self._learn_later(change)
            except Rejected as rejected:
                _log.warning("definitions", reason=rejected.issues[0].text, again_in_s=wait)
            except Exception:  # noqa: BLE001 - a fault in one change must not leave this process behind for good
                _log.exception("definitions", again_in_s=wait)
            await asyncio.sleep(wait)
            wait = min(2 * wait, BEGIN_AGAIN_MAX_S)

    async def _begin(self, stored: Stored) -> None:
        self._fresh.clear()
        seen: set[str] = set()
        async for version in stored.current():
            seen.add(version.key)
            self._take(version)
        for key in self._stored.keys() - seen - self._fresh:
            self._lose(key)
        self.ready.set()

    def _learn_later(self, change: Version | str) -> None:
        if not self._later:
            asyncio.get_running_loop().call_later(TOGETHER_S, self._learn_now)
        self._later.append(change)

    def _learn_now(self) -> None:
        changes, self._later = self._later, []
        for change in changes:
            if isinstance(change, str):
                self._lose(change)
            else:
                self._take(change)

    def _take(self, version: Version) -> None:
        number, before = self._stored.get(version.key, (0, None))
        if version.number <= number:
            return
        kept = self._kept(version)
        self._stored[version.key] = (version.number, kept)
        self._exchange(before, kept)

    def _lose(self, key: str) -> None:
        """Of a document that is gone altogether, which no request does: an operator by hand, or a restored copy."""
        _, before = self._stored.pop(key, (0, None))
        self._exchange(before, None)

    def _exchange(self, before: Kept | None, after: Kept | None) -> None:
        if PARAMETER in (kept.type for kept in (before, after) if kept is not None):
            self.news_at = monotonic()
            self.settled.clear()  # what is taken away and brought back may be lacked again
            self.news.set()
        if before is not None:
            if before in self._come:
                self._come.remove(before)
            else:
                self._gone.append(before)
        if after is not None:
            self._come.append(after)

    def _kept(self, version: Version) -> Kept | None:
        """None for what is deleted, is found by no url, or would take the place of what is the server's own."""
        if version.json is None:
            return None
        try:
            kept = Kept.of_text(version.json, version.at)
        except ValueError as error:
            _log.warning(
                "definitions", reason=f"{version.key} is damaged, and resources are not held against it: {error}"
            )
            return None
        if kept.type == "ValueSet" and not kept.url:
            kept.url = version.key  # R4 asks no url of it, and `:in` may name it by its address here
        return None if not kept.url or self.owner(kept.type, kept.url) else kept

    # --- what is our own ---

    def owner(self, type_: str, url: str) -> str:
        """Whose a canonical url is, when it is not anybody's to write: "FHIR R4" or "this server", else empty."""
        plain = url.partition("|")[0]
        if plain in self._guide_urls:
            return "this server"
        return "FHIR R4" if is_core(self._known.definitions, type_, plain) else ""

    def check_own(self, resource: Resource) -> None:
        """Raise Rejected (422) for a definition under a url that is the server's own or FHIR's."""
        type_, url = resource.get("resourceType"), resource.get("url")
        if type(type_) is str and type(url) is str and (owner := self.owner(type_, url)):
            text = (
                f"{url[:200]} is part of {owner} and is not changed here; give a definition of yours a url of its own."
            )
            raise refuse(Refusal.UNPROCESSABLE, Kind.BUSINESS_RULE, text, f"{type_}.url")

    def check_guide(self, current: Version) -> None:
        """Raise Rejected (422) before the guide's own resource, which `interactions/guide` put there, is changed."""
        url = self.guide.get(current.key)
        if url and current.json is not None and Kept.of_text(current.json).url == url:
            text = f"{current.key} is part of this server's implementation guide, and is not changed or deleted here."
            raise refuse(Refusal.UNPROCESSABLE, Kind.BUSINESS_RULE, text)

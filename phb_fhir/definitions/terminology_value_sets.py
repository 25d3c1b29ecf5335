"""Is a code in a value set? `View` is one ValueSet made ready to answer that, and to list its codes (R4 §4.9).

The answer has three values. Where a code system is not loaded, or only in part, "cannot be known" is the truth, and it is
carried through includes (one yes suffices), excludes (one yes removes), and the value sets that one include names
(all must agree), as in any three-valued logic. So a code that is listed by name is known to be in, even when nobody here
has its code system; and a code of another system is known to be out.

A value set is prepared once: what its filters let through is worked out when first needed and kept. Everything is
bounded: how many includes, how many nested value sets, how many codes an expansion may come to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from phb_fhir.definitions.terminology_filters import UnansweredError, codes_of, listed_by_constraint, words_of
from phb_fhir.definitions.terminology_grammars import SNOMED, Answer, Grammar
from phb_fhir.definitions.terminology_systems import CodeSystem, dicts
from phb_fhir.outcome import Kind

Json = dict[str, Any]
Key = tuple[str, str]  # system, code

INCLUDES_MAX = 500  # includes and excludes of one value set
NESTED_MAX = 100  # value sets that one value set leads to
DEPTH_MAX = 30  # value sets inside value sets
ENTRIES_MAX = 100_000  # codes looked at for one expansion

_EXTENSION = "http://hl7.org/fhir/StructureDefinition/valueset-"
UNCLOSED = _EXTENSION + "unclosed"  # on an expansion: there are codes that it does not list
_TOO_COSTLY = _EXTENSION + "toocostly"  # it was cut short


class Held(NamedTuple):
    """What is here of a code system. `is_closed`: a code that is not found is no code of it; else `why` it may be.

    `is_other_version`: the codes at hand are those of another version than the one asked for.
    """

    url: str
    name: str
    version: str
    system: CodeSystem | None
    is_closed: bool
    grammar: Grammar | None = None
    why: str = ""
    is_other_version: bool = False

    @property
    def in_part(self) -> bool:
        """Whether the codes at hand are some of more."""
        return self.system is not None and not self.is_closed and not self.is_other_version

    def judge(self, code: str) -> Answer:
        """Whether the system has this code."""
        if self.system is not None and self.system.find(code) is not None:
            return Answer(True)
        if self.is_closed:
            return Answer(False)
        return self.grammar.check(code) if self.grammar is not None else Answer(None, self.why)

    def spelled(self, code: str) -> str:
        """The code as its system writes it, where that is known."""
        return (self.system.find(code) or code) if self.system is not None else code


def named(held: Held) -> str:
    """A code system as a sentence names it."""
    return f"{held.name} ({held.url})" if held.name != held.url else held.url


class Sources(Protocol):
    """Where a value set finds what it speaks of."""

    def held(self, url: str, version: str = "") -> Held:
        """What is here of a code system."""

    def value_set(self, canonical: str) -> Json | None:
        """A ValueSet; None when it is not loaded."""

    def view(self, canonical: str) -> View | None:
        """The same, made ready."""


class Found(NamedTuple):
    """An answer about a code, and when it is yes, which code: its system, its spelling, the row that lists it."""

    valid: bool | None
    why: str = ""
    system: str = ""
    code: str = ""
    listed: Json | None = None


class Entry(NamedTuple):
    """One code of an expansion."""

    held: Held
    code: str
    listed: Json  # compose.include.concept or expansion.contains; empty where the code is not listed by name
    is_published: bool = False  # known only from the expansion that came with the value set


class CannotExpandError(Exception):
    """Why a value set cannot be listed."""

    def __init__(self, kind: Kind, why: str) -> None:
        super().__init__(why)
        self.kind = kind
        self.why = why


_OUT = Found(False)


# ---- one include or exclude -----------------------------------------------------------------------


class Part:
    """One include or exclude: some codes of a code system, and the value sets that they must be in as well."""

    def __init__(self, row: Json, sources: Sources) -> None:
        self.system = row["system"] if isinstance(row.get("system"), str) else ""
        self.version = row["version"] if isinstance(row.get("version"), str) else ""
        self.value_sets = [url for url in row.get("valueSet") or () if isinstance(url, str)]
        self.listed = {c["code"]: c for c in dicts(row.get("concept")) if isinstance(c.get("code"), str)}
        self.filters = dicts(row.get("filter"))
        self._sources = sources
        self._held: Held | None = None
        self._through: dict[str, None] = {}
        self._doubt: str | None = None  # why the filters do not say all; None: not looked at yet

    @property
    def held(self) -> Held:
        """What is here of the code system."""
        if self._held is None:
            self._held = self._sources.held(self.system, self.version)
        return self._held

    def judge(self, code: str) -> Found:
        """Whether this code of the system is meant; the value sets are not looked at."""
        if self.listed:
            return self._judge_listed(code)
        answer = self.held.judge(code)
        if answer.valid is False or not self.filters:
            return Found(answer.valid, answer.why, self.system, self.held.spelled(code))
        spelled = self.held.spelled(code)
        doubt = self._looked_through()
        if spelled in self._through:
            return Found(True, "", self.system, spelled)
        return Found(None, doubt) if doubt else _OUT

    def _judge_listed(self, code: str) -> Found:
        spelled = code if code in self.listed else self.held.spelled(code)
        if spelled not in self.listed:
            return _OUT
        if self.held.is_closed and self.held.judge(spelled).valid is False:
            return _OUT  # listed, but no code of its system: in no expansion either
        return Found(True, "", self.system, spelled, self.listed[spelled])

    def _looked_through(self) -> str:
        """Why a code that the filters did not let through may be meant all the same; empty when it may not."""
        if self._doubt is None:
            self._through, self._doubt = self._filtered()
        return self._doubt

    def _filtered(self) -> tuple[dict[str, None], str]:
        by_name, are_all = listed_by_constraint(self.filters) if self.system == SNOMED else (frozenset(), False)
        if by_name:
            return dict.fromkeys(sorted(by_name)), "" if are_all else self.held.why
        if self.held.system is None:
            return (
                {},
                self.held.why
                or f"what {self.held.name} has of {' and '.join(map(words_of, self.filters))} is not known here",
            )
        try:
            return codes_of(self.held.system, self.filters), "" if self.held.is_closed else self.held.why
        except UnansweredError as reason:
            return {}, str(reason)

    def entries(self) -> Iterator[Entry]:
        """The codes meant, in order. Raises CannotExpandError."""
        held = self.held
        if self.listed:
            for code, row in self.listed.items():
                if not held.is_closed or held.judge(code).valid:
                    yield Entry(held, held.spelled(code), row)
            return
        if held.is_other_version:
            raise CannotExpandError(Kind.NOT_FOUND, held.why)
        if self.filters:
            doubt = self._looked_through()
            if doubt and not (held.in_part and self._through):
                raise CannotExpandError(Kind.NOT_SUPPORTED, doubt)
            yield from (Entry(held, code, {}) for code in self._through)
            return
        if held.system is None or (held.grammar is not None and not held.is_closed):
            raise _not_a_list(held)
        yield from (Entry(held, code, {}) for code in held.system.concepts)


def _not_a_list(held: Held) -> CannotExpandError:
    if held.grammar is not None:
        return CannotExpandError(Kind.TOO_COSTLY, f"{held.name} is a grammar, not a list: its codes have no end")
    return CannotExpandError(Kind.NOT_FOUND, held.why)


# ---- the value set --------------------------------------------------------------------------------


@dataclass(slots=True)
class _Work:
    """What one expansion may still look at, and the value sets it is through with."""

    left: int = ENTRIES_MAX
    done: dict[int, dict[Key, Entry]] = field(default_factory=dict)

    def take(self, codes: int) -> None:
        self.left -= codes
        if self.left < 0:
            raise CannotExpandError(Kind.TOO_COSTLY, f"more than {ENTRIES_MAX:,} codes would have to be looked at")


@dataclass(slots=True, eq=False)
class View:
    """One value set, ready. `problem` says why its definition cannot be used at all.

    `verdicts` remembers what was said of codes that are in it or may be; `Terminology` fills it.
    """

    resource: Json
    url: str
    title: str
    include: list[Part]
    exclude: list[Part]
    with_inactive: bool
    problem: str
    published: dict[Key, Json]  # the codes of the expansion it was published with
    published_whole: bool  # it is no page, and was not cut short
    published_all: bool  # and nothing else is in the value set
    sources: Sources
    verdicts: dict[tuple[str | None, str], Any] = field(default_factory=dict)
    choices: dict[str, Any] = field(default_factory=dict)  # for sentences: how its codes are listed there
    parts: int = 1  # includes and excludes that may be asked about one code, those of value sets on the way among them

    # -- judging

    def judge(self, system: str | None, code: str, seen: dict[int, Found] | None = None) -> Found:
        """Whether the code is in it. Without a system any of its systems may have it.

        `seen` holds what was found out about this code in other value sets on the way.
        """
        seen = {} if seen is None else seen
        if id(self) not in seen:
            seen[id(self)] = _OUT  # circles are refused when a value set is prepared, this only ends the walk
            seen[id(self)] = self._judged(system, code, seen)
        return seen[id(self)]

    def _judged(self, system: str | None, code: str, seen: dict[int, Found]) -> Found:
        if self.problem:
            return Found(None, self.problem)
        if not self.include:
            return self._as_published(system, code)
        found = self._composed(system, code, seen)
        if found.valid is None:
            published = self._as_published(system, code)
            return published if published.valid else found
        if found.valid and found.listed is None:
            return found._replace(listed=self.published.get((found.system, found.code)))
        return found

    def _composed(self, system: str | None, code: str, seen: dict[int, Found]) -> Found:
        found = _any(self._judge_part(part, system, code, seen) for part in self.include)
        if found.valid is False:
            return found
        for part in self.exclude:
            away = self._judge_part(part, system, code, seen)
            if away.valid:
                return _OUT
            if away.valid is None:
                found = Found(None, away.why)
        if found.valid and not self.with_inactive and self._is_inactive(found):
            return Found(False, "the code is inactive, and the value set takes in active codes only")
        return found

    def _judge_part(self, part: Part, system: str | None, code: str, seen: dict[int, Found]) -> Found:
        if part.system and system is not None and system != part.system:
            return _OUT
        answers = [part.judge(code)] if part.system else []
        for canonical in part.value_sets:
            view = self.sources.view(canonical)
            answers.append(view.judge(system, code, seen) if view else Found(None, _not_loaded(canonical)))
        return _all(answers)

    def _as_published(self, system: str | None, code: str) -> Found:
        """By the expansion it was published with: a code there is in; another is out only if that is all there is."""
        if system is not None:
            keys: Iterable[Key] = [(system, code)]
        else:
            keys = [key for key in self.published if key[1] == code]
        for key in keys:
            if key in self.published:
                return Found(True, "", *key, self.published[key])
        if self.published and self.published_all:
            return _OUT
        return Found(None, f"the value set {self.url} does not say which codes it has")

    def _is_inactive(self, found: Found) -> bool:
        system = self.sources.held(found.system).system
        return system is not None and found.code in system.inactive

    def speaks_of(self, system: str) -> bool:
        """Whether it may have codes of this system."""
        return any(part.system in ("", system) for part in self.include) or any(
            key[0] == system for key in self.published
        )

    # -- listing

    def entries(self) -> dict[Key, Entry]:
        """Its codes, in order. Raises CannotExpandError."""
        if self.problem:
            raise CannotExpandError(Kind.INVALID, self.problem)
        if not self.include:
            return self._published_entries(CannotExpandError(Kind.INVALID, f"the value set {self.url} has no content"))
        return self._entries(_Work())

    def _entries(self, work: _Work) -> dict[Key, Entry]:
        if id(self) not in work.done:
            try:
                work.done[id(self)] = self._composed_entries(work)
            except CannotExpandError as reason:
                work.done[id(self)] = self._published_entries(reason)
        return work.done[id(self)]

    def _composed_entries(self, work: _Work) -> dict[Key, Entry]:
        found: dict[Key, Entry] = {}
        for part in self.include:
            for entry in self._part_entries(part, work):
                work.take(1 + len(self.exclude))
                key = (entry.held.url, entry.code)
                if key not in found and self._stays(entry):
                    found[key] = entry if entry.listed else entry._replace(listed=self.published.get(key, {}))
        return found

    def _part_entries(self, part: Part, work: _Work) -> Iterator[Entry]:
        views = [self._nested(canonical) for canonical in part.value_sets]
        if part.system:
            own: Iterable[Entry] = part.entries()
        else:
            own = views.pop(0).nested_entries(work).values() if views else ()
        for entry in own:
            work.take(len(views))
            if all(_certain(view.judge(entry.held.url, entry.code)) for view in views):
                yield entry

    def nested_entries(self, work: _Work) -> dict[Key, Entry]:
        """The same as `entries`, for a value set that takes this one in; they share what may be looked at."""
        return self.entries() if self.problem or not self.include else self._entries(work)

    def _nested(self, canonical: str) -> View:
        view = self.sources.view(canonical)
        if view is None:
            raise CannotExpandError(Kind.NOT_FOUND, _not_loaded(canonical))
        return view

    def _stays(self, entry: Entry) -> bool:
        system = entry.held.system
        if not self.with_inactive and system is not None and entry.code in system.inactive:
            return False
        away = (self._judge_part(part, entry.held.url, entry.code, {}) for part in self.exclude)
        return not any(_certain(found) for found in away)

    def _published_entries(self, reason: CannotExpandError) -> dict[Key, Entry]:
        if not self.published_whole:
            raise reason
        rows = self.published.items()
        return {key: Entry(self.sources.held(key[0]), key[1], row, is_published=True) for key, row in rows}


def _certain(found: Found) -> bool:
    if found.valid is None:
        raise CannotExpandError(Kind.NOT_FOUND, found.why)
    return found.valid


def _any(answers: Iterable[Found]) -> Found:
    """Yes if one says yes; else the first doubt; else no."""
    result = _OUT
    for found in answers:
        if found.valid:
            return found
        if result.valid is False and (found.valid is None or (found.why and not result.why)):
            result = found
    return result


def _all(answers: list[Found]) -> Found:
    """No if one says no; else the first doubt; else yes, in the words of the first."""
    if not answers:
        return _OUT
    return next((a for a in answers if a.valid is False), next((a for a in answers if a.valid is None), answers[0]))


def _not_loaded(canonical: str) -> str:
    return f"the value set {canonical} is not loaded here"


# ---- making a view --------------------------------------------------------------------------------


def make_view(resource: Json, sources: Sources) -> View:
    """The ValueSet made ready. What is wrong with it is its `problem`; nothing is raised."""
    compose = resource["compose"] if isinstance(resource.get("compose"), dict) else {}
    expansion = resource["expansion"] if isinstance(resource.get("expansion"), dict) else {}
    rows = {name: dicts(compose.get(name)) for name in ("include", "exclude")}
    url = str(resource.get("url") or "(of the request)")
    problem = ""
    if sum(map(len, rows.values())) > INCLUDES_MAX:
        problem, rows = (
            f"the value set {url} has more than {INCLUDES_MAX} includes and excludes",
            {"include": [], "exclude": []},
        )
    published = {(str(row.get("system", "")), row["code"]): row for row in _contained(expansion)}
    is_whole = _is_whole(expansion, len(published))
    view = View(
        resource=resource,
        url=url,
        title=str(resource.get("title") or resource.get("name") or url),
        include=[Part(row, sources) for row in rows["include"]],
        exclude=[Part(row, sources) for row in rows["exclude"]],
        with_inactive=compose.get("inactive") is not False,
        problem=problem,
        published=published,
        published_whole=is_whole,
        published_all=is_whole and not _is_marked(expansion, UNCLOSED),
        sources=sources,
    )
    view.problem = view.problem or _follow(view)
    return view


def _follow(view: View) -> str:
    """Count the parts of the value sets it takes in; why those cannot be followed, empty when they can."""
    view.parts = 1 + _parts_in(view.resource)
    seen: set[str] = set()
    waiting = [(canonical, 1) for canonical in _nested_in(view.resource)]
    while waiting:
        canonical, depth = waiting.pop()
        nested = view.sources.value_set(canonical)
        if nested is view.resource:
            return f"the value set {view.url} takes itself in"
        if nested is None or canonical in seen:
            continue
        seen.add(canonical)
        if len(seen) > NESTED_MAX or depth > DEPTH_MAX:
            return f"the value set {view.url} leads to more value sets than can be followed here"
        waiting += [(inner, depth + 1) for inner in _nested_in(nested)]
        view.parts += _parts_in(nested)
    return ""


def _parts_in(resource: Json) -> int:
    compose = resource.get("compose")
    rows = [*dicts(compose.get("include")), *dicts(compose.get("exclude"))] if isinstance(compose, dict) else []
    return len(rows) + sum(1 for _ in _nested_in(resource))


def _nested_in(resource: Json) -> Iterator[str]:
    compose = resource.get("compose")
    for row in [*dicts(compose.get("include")), *dicts(compose.get("exclude"))] if isinstance(compose, dict) else ():
        yield from (url for url in row.get("valueSet") or () if isinstance(url, str))


def _contained(expansion: Json) -> Iterator[Json]:
    """Every code of an expansion, however nested, in order."""
    waiting = list(reversed(dicts(expansion.get("contains"))))
    while waiting:
        row = waiting.pop()
        if isinstance(row.get("code"), str):
            yield row
        waiting += reversed(dicts(row.get("contains")))


def _is_whole(expansion: Json, count: int) -> bool:
    """Whether an expansion lists all it knew: it is no page, and was not cut short."""
    total = expansion.get("total")
    is_short = isinstance(total, int) and total > count
    return bool(count) and not is_short and not expansion.get("offset") and not _is_marked(expansion, _TOO_COSTLY)


def _is_marked(expansion: Json, url: str) -> bool:
    return any(row.get("url") == url for row in dicts(expansion.get("extension")))

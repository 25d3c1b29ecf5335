"""Terminology from what is loaded: is this code in that value set, what is it called, what is it a kind of.

`core(definitions)` knows what R4 itself publishes; `Terminology.of` puts CodeSystems and ValueSets on top, from packages or
written at run time, and `terminology_of` those of a registry. A terminology never changes: adding a resource means building the next one, which costs little, as
everything is read and worked out when somebody asks (R4 §4.8, §4.9, §4.10).

An answer is a `Verdict`, and its `valid` has three values. `None` means that it cannot be known here, because a code system
is not loaded (SNOMED CT, dm+d, LOINC) or only in part; the sentence says which. Nothing passes silently, and no code is
called wrong that may be right.

What is brought along stands before what R4 publishes under the same url; of several versions the newest, unless a canonical
names one (`url|version`). A code system known only by its name hides none that has codes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from phb_fhir.definitions.kept import Kept
from phb_fhir.definitions.terminology_expand import Asked, expand
from phb_fhir.definitions.terminology_loaded import Loaded, loaded
from phb_fhir.definitions.terminology_lookup import answer
from phb_fhir.definitions.terminology_systems import CodeSystem
from phb_fhir.definitions.terminology_tables import tables
from phb_fhir.definitions.terminology_value_sets import CannotExpandError, Found, Held, View, make_view, named
from phb_fhir.definitions.terminology_verdicts import (
    SHOWN_MAX,
    Verdict,
    accepted,
    in_system,
    not_in,
    shown,
    unknown,
    unknown_in,
)
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse

if TYPE_CHECKING:
    from phb_fhir.definitions.load import Definitions
    from phb_fhir.definitions.registry import Registry

Json = dict[str, Any]

_REMEMBERED_MAX = 4096  # codes of one value set whose verdicts are kept
_CODINGS_MAX = 16_384  # codings whose verdicts are kept
_CODING_CHARACTERS_MAX = 200  # of code and display together; longer ones are not kept
_NO_TIME = "1970-01-01T00:00:00Z"  # there is no clock here; whoever has one says when


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Terminology:
    """What is known of codes: the questions, over what is loaded. `_said` is what was said of codings, and only a memory."""

    loaded: Loaded
    _said: dict[tuple[str, str, str | None, str | None], Verdict] = field(default_factory=dict, repr=False)

    @staticmethod
    def of(definitions: Definitions, resources: Iterable[Json | Kept] = ()) -> Terminology:
        """R4 and these CodeSystems and ValueSets; resources of other types are passed over."""
        return Terminology(loaded(tables(definitions.folder), resources))

    def adding(self, *resources: Json) -> Terminology:
        """A terminology that knows these as well; one of the same url and version is replaced."""
        return Terminology(loaded(self.loaded.base, [*self.loaded.resources(), *resources]))

    def value_set(self, canonical: str) -> Json | None:
        """The ValueSet of this canonical: added, published by R4, or implied by a code system."""
        return self.loaded.value_set(canonical)

    def code_system(self, canonical: str) -> Json | None:
        """The CodeSystem of this canonical: added, or published by R4."""
        return self.loaded.code_system(canonical)

    def validate_code(
        self,
        value_set: str | Json,
        system: str | None,
        code: str,
        display: str | None = None,
        *,
        version: str | None = None,
        abstract: bool | None = None,
    ) -> Verdict:
        """Whether a code is in a value set, given by its canonical or as a resource.

        Without a system (`None`, an element of type code) any system of the value set may have it; an empty one (a
        Coding that names none) is in no value set. `version` is that of the code system. `abstract` says whether a
        code that only groups others will do: True yes, False no, None yes with a warning.
        """
        view = self.loaded.views.get(value_set) if isinstance(value_set, str) else make_view(value_set, self.loaded)
        if view is None:
            view = self.loaded.view(str(value_set))
            if view is None:
                what = f"the value set {value_set}"
                return unknown(shown(code), f"{what} is not loaded here", what)
        verdict: Verdict | None = view.verdicts.get((system, code))
        is_plain = version is None and abstract is None
        if verdict and is_plain and (display is None or display == verdict.display or verdict.valid is None):
            return verdict
        return self._judged(view, system, code, display, version, abstract=abstract)

    def validate_code_in_system(
        self,
        system: str,
        code: str,
        display: str | None = None,
        *,
        version: str | None = None,
        abstract: bool | None = None,
    ) -> Verdict:
        """Whether a code system has this code."""
        return in_system(self.loaded.held(system, version or ""), code, display, abstract=abstract)

    def judge_coding(self, system: str, code: str, display: str | None, version: str | None) -> Verdict:
        """The same of a Coding as it stands in a resource. The same few come again and again, so what was said is kept."""
        key = (system, code, display, version)
        verdict = self._said.get(key)
        if verdict is None:
            verdict = self.validate_code_in_system(system, code, display, version=version)
            if len(self._said) < _CODINGS_MAX and len(code) + len(display or "") <= _CODING_CHARACTERS_MAX:
                self._said[key] = verdict
        return verdict

    def expand(
        self,
        value_set: str | Json,
        *,
        filter: str = "",  # noqa: A002 - R4's own name
        offset: int = 0,
        count: int | None = None,
        active_only: bool = False,
        include_designations: bool = False,
        timestamp: str = _NO_TIME,
    ) -> Json:
        """The ValueSet with its expansion, given by its canonical or as a resource. `timestamp` is when, as an instant.

        Raises Rejected, with the reason: not loaded, no list but a grammar, or too many codes for one answer.
        """
        asked = Asked(filter, offset, count, active_only, include_designations)
        return self.expand_as(value_set, asked, timestamp)

    def expand_as(self, value_set: str | Json, asked: Asked, timestamp: str) -> Json:
        """The same, with everything $expand may be asked."""
        try:
            return expand(self.loaded, value_set, asked, timestamp)
        except CannotExpandError as reason:
            is_absent = isinstance(value_set, str) and self.loaded.view(value_set) is None
            refusal = Refusal.NOT_FOUND if is_absent else Refusal.UNPROCESSABLE
            raise refuse(refusal, reason.kind, _sentence("The value set cannot be expanded: ", reason.why)) from None

    def lookup(
        self,
        system: str,
        code: str,
        version: str | None = None,
        properties: tuple[str, ...] = (),
        display_language: str = "",
    ) -> Json:
        """What is known about a code, as the Parameters of $lookup. Raises Rejected when it is not known."""
        held = self.loaded.held(system, version or "")
        if held.is_other_version:
            raise refuse(Refusal.NOT_FOUND, Kind.NOT_FOUND, _sentence("", held.why))
        found = held.judge(code)
        if not found.valid:
            why = f"{shown(code)} is not known as a code of {named(held)}"
            raise refuse(Refusal.NOT_FOUND, Kind.NOT_FOUND, _sentence(why, f": {found.why}" if found.why else ""))
        return answer(held, held.spelled(code), properties, display_language)

    def subsumes(self, system: str, a: str, b: str, version: str | None = None) -> str:
        """How two codes of a system stand: equivalent, subsumes, subsumed-by, not-subsumed (R4 §4.8.19).

        Raises Rejected when that cannot be said from what is loaded.
        """
        held = self.loaded.held(system, version or "")
        if held.system is None or held.is_other_version:
            raise _cannot_say(held.why or f"{held.name} has no hierarchy that is known here")
        if not held.system.has_subsumption:
            meaning = held.system.hierarchy_meaning
            raise _cannot_say(f"the hierarchy of {named(held)} means {meaning}, not what is a kind of what")
        above, below = (_known_code(held, held.system, code) for code in (a, b))
        if above == below:
            return "equivalent"
        if held.system.subsumes(above, below):
            return "subsumes"
        if held.system.subsumes(below, above):
            return "subsumed-by"
        if not held.is_closed:
            raise _cannot_say(held.why)
        return "not-subsumed"

    def _judged(
        self,
        view: View,
        system: str | None,
        code: str,
        display: str | None,
        version: str | None,
        *,
        abstract: bool | None,
    ) -> Verdict:
        found = view.judge(system, code) if system != "" else Found(False)
        held = self.loaded.held(system or found.system, version or "")
        if held.is_other_version and found.valid is False and view.speaks_of(held.url):
            found = Found(None, held.why)
        if found.valid is None:
            verdict = unknown_in(view, system, code, found.why)
            return verdict if version else _remembered(view, system, code, verdict)
        if not found.valid:
            return not_in(view, system, code, found.why)
        if version is None and abstract is None:
            plain = _remembered(view, system, code, accepted(held, found, code, None, abstract=None))
            if display in (None, plain.display):
                return plain
        return accepted(held, found, code, display, abstract=abstract)


def core(definitions: Definitions) -> Terminology:
    """What R4 itself publishes, always the same terminology."""
    return definitions.derived(_core)


def terminology_of(known: Registry) -> Terminology:
    """The codes of what is known, always the same terminology for the same registry."""
    return known.derived(_of_known)


def _of_known(known: Registry) -> Terminology:
    added = (r for kind in ("CodeSystem", "ValueSet") for rs in known.resources.get(kind, {}).values() for r in rs)
    return Terminology.of(known.definitions, added)


def _core(definitions: Definitions) -> Terminology:
    return Terminology.of(definitions)


def _remembered(view: View, system: str | None, code: str, verdict: Verdict) -> Verdict:
    if len(view.verdicts) < _REMEMBERED_MAX and len(code) <= SHOWN_MAX:
        return view.verdicts.setdefault((system, code), verdict)  # type: ignore[no-any-return]
    return verdict


def _known_code(held: Held, system: CodeSystem, code: str) -> str:
    known = system.find(code)
    if known is None:
        why = f": {held.why}" if held.why else ""
        sentence = _sentence(f"{shown(code)} is not known as a code of {named(held)}", why)
        raise refuse(Refusal.UNPROCESSABLE, Kind.CODE_INVALID, sentence)
    return known


def _cannot_say(why: str) -> Rejected:
    return refuse(
        Refusal.UNPROCESSABLE,
        Kind.NOT_SUPPORTED,
        _sentence("Which of the codes is a kind of the other cannot be said: ", why),
    )


def _sentence(start: str, why: str) -> str:
    whole = start + why
    return whole[:1].upper() + whole[1:] + ("" if whole.endswith((".", "?")) else ".")

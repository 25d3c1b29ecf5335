"""What terminology tells a search: the codes of a value set (`:in`, `:not-in`), and a code's kin (`:above`, `:below`).

The codes become entries looked for in the index. Where they are not all known, resources would be missing from the answer
without a word, so such a search is refused, with the reason: the value set is not loaded, is a grammar and not a list, or
its code system is here only in part (R4 §4.8.8, §4.9.8).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from phb_fhir.definitions.registry import Registry
from phb_fhir.definitions.terminology import Terminology, terminology_of
from phb_fhir.definitions.terminology_systems import CodeSystem, dicts
from phb_fhir.definitions.terminology_value_sets import UNCLOSED, Held, named
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.search.asking import badly_written, too_costly, unsupported

CODES_MAX = 1_000  # that one value of a parameter may stand for
_BY_ID = "ValueSet/"

Pairs = Sequence[tuple[str, str]]  # (system, code)


class _Found(NamedTuple):
    """A code as its system spells it."""

    system: CodeSystem
    code: str


class KnownCodes:
    """The codes of what is known (`search/kinds/kind.Codes`)."""

    __slots__ = ("_known",)

    def __init__(self, known: Registry) -> None:
        self._known = known

    def members(self, value_set: str) -> Pairs:
        """The (system, code) pairs of a value set, by its url or as `ValueSet/[id]`. Raises Rejected (400)."""
        try:
            expanded = self._terminology.expand(self._canonical(value_set), count=CODES_MAX + 1)
        except Rejected as rejected:
            raise Rejected(Refusal.BAD_REQUEST, *rejected.issues) from None
        expansion = expanded["expansion"]
        if any(extension.get("url") == UNCLOSED for extension in dicts(expansion.get("extension"))):
            raise unsupported(f"The value set {value_set} has more codes than are known here.")
        return _bounded(
            [(str(row.get("system", "")), str(row["code"])) for row in dicts(expansion.get("contains"))],
            f"The value set {value_set}",
        )

    def related(self, system: str, code: str, relation: Literal["above", "below"]) -> Pairs:
        """The code itself and those that subsume it (above), or that it subsumes (below). Raises Rejected (400)."""
        if not system:
            raise badly_written(f"{code}: which codes are kinds of which is known by system; write [system]|[code].")
        held = self._terminology.loaded.held(system)
        found = _found(held, code)
        kin = found.system.ancestors if relation == "above" else found.system.descendants
        if relation == "below" and not held.is_closed:
            raise unsupported(f"What is a kind of {system}|{code} cannot be listed: {held.why}.")
        return _bounded([(system, one) for one in (found.code, *kin(found.code))], f"{system}|{code}")

    @property
    def _terminology(self) -> Terminology:
        return terminology_of(self._known)

    def _canonical(self, value_set: str) -> str:
        """The url of a value set that is named by its id here; of two with one id, the one written last."""
        if not value_set.startswith(_BY_ID):
            return value_set
        rows = (kept for versions in self._known.resources.get("ValueSet", {}).values() for kept in versions)
        same = [kept for kept in rows if kept.id == value_set.removeprefix(_BY_ID)]
        if not same:
            raise refuse(Refusal.BAD_REQUEST, Kind.NOT_FOUND, f"There is no {value_set} here.")
        kept = max(same, key=lambda one: one.at)
        return f"{kept.url}|{kept.version}" if kept.version else kept.url


def _found(held: Held, code: str) -> _Found:
    if held.system is None:
        raise unsupported(
            f"{named(held)} has no hierarchy that is known here, so what is a kind of {code} is not known."
        )
    if not held.system.has_subsumption:
        meaning = held.system.hierarchy_meaning
        raise unsupported(f"The hierarchy of {named(held)} means {meaning}, not what is a kind of what.")
    known = held.system.find(code)
    if known is None:
        raise refuse(Refusal.BAD_REQUEST, Kind.CODE_INVALID, f"{code} is not known as a code of {named(held)}.")
    return _Found(held.system, known)


def _bounded(pairs: list[tuple[str, str]], what: str) -> Pairs:
    if len(pairs) > CODES_MAX:
        raise too_costly(f"{what} stands for more than {CODES_MAX} codes, which are too many for one search.")
    return pairs

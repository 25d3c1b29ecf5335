"""Figures without the small ones: in a MeasureReport no number tells of so few that somebody could be recognised (R32).

From one to four is masked, by the data-absent-reason that the guide has for it (`phb-measure-report`), whoever wrote the report. And so is what a
masked number could be worked out from, until nothing can:

* the total of the same population, and a score of the group;
* where another way of dividing the group (a stratifier) tells all of its parts, which add up to that total, the smallest of them;
* of three populations in one place, of which two would tell the third (all, counted, left out), the smallest of the others.

What several reports tell together, of one quarter and of the next, say, is for whoever makes them to see to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from phb_fhir.fhir.codec import Resource

FEW = range(1, 5)  # people who could be recognised: the guide's standard
_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_MASKED = {"extension": [{"url": _ABSENT, "valueCode": "masked"}]}
_RELATED_MIN = 3  # populations in one place, of which one may be the difference of the others

# what of a group is a figure, or says what it is of: no references to people, no words of others' extensions
_PARTS: dict[str, tuple[str, ...]] = {
    "group": ("code", "population", "measureScore", "stratifier"),
    "population": ("code", "count", "_count"),
    "stratifier": ("code", "stratum"),
    "stratum": ("value", "component", "population", "measureScore"),
    "component": ("code", "value"),
    "code": ("coding", "text"),
    "value": ("coding", "text"),
    "coding": ("system", "version", "code", "display"),
    "measureScore": ("value", "unit", "system", "code"),
    "_count": (),
}
Population = dict[str, Any]
Place = list[Population]  # the populations of a group, or of one stratum


def suppressed(groups: Any) -> list[Resource]:
    """The groups of a MeasureReport, with what they may tell."""
    return [_group(_kept("group", one)) for one in groups if isinstance(one, dict)] if isinstance(groups, list) else []


def _kept(name: str, value: dict[str, Any]) -> dict[str, Any]:
    return {inner: _part(inner, value[inner]) for inner in _PARTS[name] if inner in value}


def _part(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_part(name, one) for one in value]
    return _kept(name, value) if isinstance(value, dict) and name in _PARTS else value


def _group(group: Resource) -> Resource:
    """The group, made anew already, with what is masked."""
    strata = [stratum for one in group.get("stratifier", ()) for stratum in one.get("stratum", ())]
    places: list[Place] = [one.get("population", []) for one in (group, *strata)]
    divided = [
        [one.get("population", []) for one in stratifier.get("stratum", ())]
        for stratifier in group.get("stratifier", ())
    ]
    for one in (one for place in places for one in place if _is_few(one)):
        _mask(one)
    while any([*map(_hide_difference, places), *_hide_totals(places[0], divided)]):  # each turn masks one more at least
        pass
    for one in (group, *strata) if not all(_is_told(one) for place in places for one in place) else ():
        one.pop("measureScore", None)
    return group


def _is_few(population: Population) -> bool:
    """Whether a number tells of few, or cannot be told from one that does."""
    count = population.get("count")
    return not (isinstance(count, int) and not isinstance(count, bool) and count >= 0) or count in FEW


def _mask(population: Population) -> None:
    population.pop("count", None)
    population["_count"] = _MASKED


def _is_told(population: Population) -> bool:
    return "count" in population


def _hide_difference(place: Place) -> bool:
    """Mask one more where one of several alone is masked; gives whether it did."""
    told = [one for one in place if _is_told(one)]
    return len(place) >= _RELATED_MIN and len(told) == len(place) - 1 and _mask_smallest(told)


def _hide_totals(whole: Place, divided: Iterable[list[Place]]) -> Iterator[bool]:
    """Mask what a masked number is the rest of: its total, and one part at least of each way of dividing that."""
    rows = [[_by_code(place) for place in places] for places in divided]
    of_all = _by_code(whole)
    for code in dict.fromkeys([*of_all, *(code for row in rows for place in row for code in place)]):
        total = of_all.get(code)
        parts = [[place[code] for place in row if code in place] for row in rows]
        cells = [*(one for row in parts for one in row), *(() if total is None else (total,))]
        if all(map(_is_told, cells)) and (total is None or not any(_leaves_few(total, row) for row in parts)):
            continue
        if total is not None and _is_told(total):
            _mask(total)
            yield True
        for row in parts:
            if row and all(map(_is_told, row)):
                yield _mask_smallest(row)


def _leaves_few(total: Population, row: list[Population]) -> bool:
    """Whether those who are in no part are few."""
    return bool(row) and total["count"] - sum(one["count"] for one in row) in FEW


def _mask_smallest(told: list[Population]) -> bool:
    """Mask the smallest number that is not nothing; gives whether there was one."""
    some = [one for one in told if one["count"]]
    for one in sorted(some, key=lambda one: int(one["count"]))[:1]:
        _mask(one)
    return bool(some)


def _by_code(place: Place) -> dict[tuple[str, int], Population]:
    """The populations of one place, by what they are of: by a code, however else it is called, and which one with that code it is."""
    found: dict[tuple[str, int], Population] = {}
    for one in place:
        code = _code_of(one.get("code"))
        found[code, sum(known == code for known, _ in found)] = one
    return found


def _code_of(concept: Any) -> str:
    concept = concept if isinstance(concept, dict) else {}
    codes = [str(one["code"]) for one in concept.get("coding", ()) if isinstance(one, dict) and "code" in one]
    return min(codes, default=str(concept.get("text", "")))

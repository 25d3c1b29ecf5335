"""Every value against every question, for each search type: where chance would miss a boundary, these do not.

A table is a population that has every value of the pools once, and each question that can be asked of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any, NamedTuple

from tests.search.generators import (
    ASKED_NUMBERS,
    BASE,
    CODES,
    DAYS,
    MOMENTS,
    NUMBERS,
    PERIODS,
    SYSTEMS,
    TIMINGS,
    URIS,
    WORDS,
    YEARS,
)
from tests.search.oracle_values import CURRENCIES, UCUM
from tests.search.questions import ASKED_TIMES, BEGINNINGS, INSIDES, PREFIXES, Question, escaped

Resource = dict[str, Any]

UNITS: tuple[Resource, ...] = (
    {},
    {"unit": "mg"},
    {"system": UCUM, "code": "mg"},
    {"system": UCUM, "code": "g"},
    {"system": UCUM, "code": "cm"},
    {"unit": "g", "system": UCUM, "code": "mg"},
    {"system": SYSTEMS[0], "code": "mg"},
)
ASKED_UNITS = ("", "||mg", "||g", f"|{UCUM}|mg", f"|{UCUM}|g", f"|{UCUM}|kg", f"|{UCUM}|cm", f"|{SYSTEMS[0]}|mg")
SOME_NUMBERS = ("0", "5", "5.4", "5.40", "5.4e-3")
RANGES = ({"low": 1, "high": 5}, {"low": 5, "high": 5.4}, {"low": 5.4}, {"high": 5}, {"low": 100, "high": 5400})


class Table(NamedTuple):
    """`asked` are the parameters to ask for, one in each question."""

    type: str
    resources: list[Resource]
    asked: list[tuple[str, str]]

    def questions(self) -> list[Question]:
        return [Question(f"/{self.type}", (self.type,), (pair,)) for pair in self.asked]


def _table(type_: str, contents: Iterable[Resource], asked: Iterable[tuple[str, str]], **needed: Any) -> Table:
    """Resources with these contents and one without any, all of them asked for `:missing` too."""
    each = [{"resourceType": type_, **needed, **one, "id": f"r{n}"} for n, one in enumerate([*contents, {}])]
    pairs = list(dict.fromkeys(asked))
    names = dict.fromkeys(name.partition(":")[0] for name, _ in pairs if "$" not in name)
    missing = [(f"{name}:missing", value) for name in names for value in ("true", "false") if "-value-" not in name]
    return Table(type_, each, [*pairs, *missing])


PERSON = {"reference": "Patient/p1"}
CHARGE: Resource = {"status": "billable", "code": {"text": "x"}, "subject": PERSON}
SEEN: Resource = {"status": "final", "code": {"text": "x"}}


def _dates() -> Table:
    moments: list[Resource] = [{"occurrenceDateTime": one} for one in (*DAYS, *MOMENTS)]
    spans = [{"occurrencePeriod": one} for one in PERIODS] + [{"occurrenceTiming": one} for one in TIMINGS]
    asked = (("occurrence", prefix + time) for prefix, time in product(PREFIXES, ASKED_TIMES))
    return _table("ChargeItem", moments + spans, asked, **CHARGE)


def _numbers() -> Table:
    asked = (("factor-override", prefix + number) for prefix, number in product(PREFIXES, ASKED_NUMBERS))
    return _table("ChargeItem", ({"factorOverride": one} for one in NUMBERS), asked, **CHARGE)


def _quantities() -> Table:
    contents = ({"quantity": {"value": number, **unit}} for number, unit in product(NUMBERS, UNITS))
    asked = product(PREFIXES[1:], SOME_NUMBERS, ASKED_UNITS)
    return _table("ChargeItem", contents, (("quantity", "".join(parts)) for parts in asked), **CHARGE)


def _money() -> Table:
    contents = [{"priceOverride": {"value": number, "currency": one}} for number in NUMBERS for one in ("GBP", "EUR")]
    asked = product(PREFIXES[1:], SOME_NUMBERS, ("", "||GBP", f"|{CURRENCIES}|GBP", "||USD"))
    return _table("ChargeItem", contents, (("price-override", "".join(parts)) for parts in asked), **CHARGE)


def _ranges() -> Table:
    ranges = [{"onsetRange": {end: {"value": number, **YEARS} for end, number in one.items()}} for one in RANGES]
    ages = [{"onsetAge": {"value": number, **YEARS}} for number in NUMBERS if number > 0]
    asked = product(PREFIXES[1:], ("1", "5", "5.4", "5.40", "100"), ("", f"|{UCUM}|a"))
    return _table("Condition", ranges + ages, (("onset-age", "".join(parts)) for parts in asked), subject=PERSON)


def _strings() -> Table:
    names = [{"name": [{"family": one}]} for one in WORDS] + [{"name": [{"given": [one, "Zed"]}]} for one in WORDS]
    starts = [(name, escaped(text)) for name in ("family", "name", "given") for text in sorted(BEGINNINGS)]
    exact = [(f"{name}:exact", escaped(text)) for name in ("family", "name") for text in WORDS]
    inside = [("name:contains", escaped(text)) for text in sorted(INSIDES)]
    return _table("Patient", names, starts + exact + inside)


def _tokens() -> Table:
    systems, codes = tuple(dict.fromkeys(SYSTEMS)), tuple(dict.fromkeys(CODES))
    codings: list[Resource] = [{"code": code} for code in codes]
    codings += [{"system": system, "code": code} for system in systems for code in codes]
    codings += [{"system": system, "display": "Apple"} for system in systems]
    contents: list[Resource] = [{"category": [{"coding": [one]}]} for one in codings]
    contents += [{"category": [{"text": word}]} for word in WORDS]
    contents += [{"category": [{"coding": [codings[0]]}, {"coding": [codings[-4], codings[1]], "text": WORDS[0]}]}]
    values = [start + escaped(code) for start in ("", "|", *(f"{one}|" for one in systems)) for code in codes]
    values += [f"{system}|" for system in systems]
    asked = [("category" + modifier, value) for modifier in ("", ":not") for value in values]
    asked += [("category:not", f"{one},{values[0]}") for one in values[:12]]
    asked += [("category:text", escaped(text)) for text in sorted(BEGINNINGS)]
    return _table("Observation", contents, asked, **SEEN)


def _identifiers() -> Table:
    types = [{"coding": [{"system": system, "code": code}]} for system in SYSTEMS[1:3] for code in ("a", "b")]
    two = {"coding": [*types[0]["coding"], *types[3]["coding"]], "text": "Apple"}
    values: list[Resource] = [
        {"value": "1"},
        {"value": "1", "system": SYSTEMS[0]},
        {"value": "2", "system": SYSTEMS[0]},
    ]
    single = [
        {**value, **typed} for value in values for typed in ({"type": types[0]}, {"type": types[3]}, {"type": two}, {})
    ]
    contents = [{"identifier": [one]} for one in single] + [{"identifier": [single[0], single[-2]]}]
    typed = product(SYSTEMS[1:3], ("a", "b"), ("1", "2"))
    asked = [("identifier:of-type", "|".join(parts)) for parts in typed]
    asked += [("identifier", one) for one in ("1", "|1", f"{SYSTEMS[0]}|1", f"{SYSTEMS[0]}|", "3")]
    return _table("Observation", contents, [*asked, ("identifier:text", "app")], **SEEN)


def _uris() -> Table:
    contents = [{"instantiatesUri": [one]} for one in URIS] + [{"instantiatesUri": [URIS[0], URIS[-1]]}]
    plain = [("instantiates-uri", one) for one in URIS]
    near = [("instantiates-uri" + way, one) for way in (":below", ":above") for one in URIS if one.startswith("http")]
    return _table("CarePlan", contents, plain + near, status="active", intent="plan", subject=PERSON)


def _references() -> Table:
    keys = ("Patient/p1", "Patient/p2", "Group/p1")
    ways = [way for one in keys for way in (one, f"{one}/_history/1", f"{BASE}/{one}", f"http://o.example/fhir/{one}")]
    identifiers = [{"value": "1"}, {"value": "1", "system": SYSTEMS[0]}]
    contents: list[Resource] = [{"subject": {"reference": one}} for one in ways]
    contents += [{"subject": {"identifier": one}} for one in identifiers] + [{"subject": {"display": "x"}}]
    asked = [("subject", one) for one in [*ways, "p2", "p1", f"{ways[0]},{ways[4]}"]]
    asked += [("subject:Patient", "p1"), ("subject:Group", "p1"), ("patient", "p1"), ("patient", "Patient/p2")]
    asked += [("subject:identifier", one) for one in ("1", "|1", f"{SYSTEMS[0]}|1", f"{SYSTEMS[0]}|")]
    return _table("Observation", contents, asked, **SEEN)


def _composites() -> Table:
    pairs = list(product(("a", "b"), ({"value": 5, "unit": "mg"}, {"value": 5400, "system": UCUM, "code": "mg"})))
    parts: list[Resource] = [{"code": {"coding": [{"code": code}]}, "valueQuantity": value} for code, value in pairs]
    contents = [*parts, *({"component": [one, other]} for one, other in product(parts, parts))]
    values = ("5", "gt5", "lt100||mg", f"5.4|{UCUM}|g")
    names = ("code-value-quantity", "component-code-value-quantity", "combo-code-value-quantity")
    asked = [(name, f"{code}${value}") for name in names for code in ("a", "b", "|a") for value in values]
    return _table("Observation", contents, asked, **SEEN)


TABLES = {
    "date": _dates,
    "number": _numbers,
    "quantity": _quantities,
    "money": _money,
    "range": _ranges,
    "string": _strings,
    "token": _tokens,
    "identifier": _identifiers,
    "uri": _uris,
    "reference": _references,
    "composite": _composites,
}

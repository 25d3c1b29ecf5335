"""The filters of ValueSet.compose.include, each a row of one table (R4 §4.9.5, http://hl7.org/fhir/filter-operator).

A filter takes a code system and answers with the codes it lets through. One that cannot be answered (an operator R4
does not have, a property the system does not have, a hierarchy that is not subsumption) raises `UnansweredError` with the
reason; nobody may take that for an empty set.

Regular expressions are run by RE2, whose time grows with the text alone, whatever the pattern: value sets come from
whoever may write one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import re2  # type: ignore[import-untyped]

from phb_fhir.definitions.terminology_systems import CodeSystem

Json = dict[str, Any]
Operator = Callable[[CodeSystem, str, str], Iterator[str]]

_PATTERN_CHARACTERS_MAX = 1000
_PATTERN_BYTES_MAX = 1 << 20  # what RE2 may hold of one pattern
_HIERARCHY = ("concept", "code", "parent", "child", "")


class UnansweredError(Exception):
    """A filter that cannot be answered here; its text says why."""


def codes_of(system: CodeSystem, filters: list[Json]) -> dict[str, None]:
    """The codes every one of these filters lets through, in the order of the system. Raises UnansweredError."""
    kept = dict.fromkeys(system.concepts)
    for row in filters:
        through = set(_through(system, row))
        kept = {code: None for code in kept if code in through}
    return kept


def words_of(row: Json) -> str:
    """A filter as a person reads it."""
    return f"{row.get('property')} {row.get('op')} {row.get('value')}"


def _through(system: CodeSystem, row: Json) -> Iterator[str]:
    name, operator, value = (row.get(part) for part in ("property", "op", "value"))
    if not (isinstance(name, str) and isinstance(operator, str) and isinstance(value, str)):
        raise UnansweredError("a filter lacks its property, its op or its value")
    if operator not in OPERATORS:
        raise UnansweredError(f'R4 has no filter operator "{operator}"')
    if operator in _HIERARCHICAL:
        _check_hierarchy(system, name, value)
    elif not system.knows_property(name):
        raise UnansweredError(f'the code system {system.url} has no property "{name}"')
    return OPERATORS[operator](system, name, value)


def _check_hierarchy(system: CodeSystem, name: str, value: str) -> None:
    if name not in _HIERARCHY and system.role(name) not in ("parent", "child"):
        raise UnansweredError(f'"{name}" is no hierarchy of the code system {system.url}')
    if not system.has_subsumption:
        meaning = system.hierarchy_meaning
        raise UnansweredError(
            f"the hierarchy of {system.url} means {meaning}, which does not say what is a kind of what"
        )
    if system.find(value) is None and system.content == "complete":
        raise UnansweredError(f'the code system {system.url} has no code "{value}"')


# ---- on the hierarchy -----------------------------------------------------------------------------


def _known(system: CodeSystem, value: str) -> str:
    return system.find(value) or value


def _is_a(system: CodeSystem, _: str, value: str) -> Iterator[str]:
    code = _known(system, value)
    if code in system.concepts:
        yield code
    yield from system.descendants(code)


def _descendent_of(system: CodeSystem, _: str, value: str) -> Iterator[str]:
    return system.descendants(_known(system, value))


def _is_not_a(system: CodeSystem, name: str, value: str) -> Iterator[str]:
    left_out = set(_is_a(system, name, value))
    return (code for code in system.concepts if code not in left_out)


def _generalizes(system: CodeSystem, _: str, value: str) -> Iterator[str]:
    code = _known(system, value)
    if code in system.concepts:
        yield code
    yield from system.ancestors(code)


# ---- on a property --------------------------------------------------------------------------------


def _equals(system: CodeSystem, name: str, value: str) -> Iterator[str]:
    return _with_value_among(system, name, [value])


def _in(system: CodeSystem, name: str, value: str) -> Iterator[str]:
    return _with_value_among(system, name, value.split(","))


def _not_in(system: CodeSystem, name: str, value: str) -> Iterator[str]:
    through = set(_in(system, name, value))
    return (code for code in system.concepts if code not in through)


def _with_value_among(system: CodeSystem, name: str, values: list[str]) -> Iterator[str]:
    wanted = {value.strip() for value in values}
    if name in ("code", "concept") or system.role(name) in ("parent", "child"):
        wanted = {_known(system, value) for value in wanted}
    return (code for code in system.concepts if not wanted.isdisjoint(system.values(code, name)))


def _exists(system: CodeSystem, name: str, value: str) -> Iterator[str]:
    if value not in ("true", "false"):
        raise UnansweredError(f'the value of an exists filter is true or false, not "{value}"')
    return (code for code in system.concepts if system.has_value(code, name) == (value == "true"))


def _regex(system: CodeSystem, name: str, value: str) -> Iterator[str]:
    pattern = pattern_of(value)
    return (code for code in system.concepts if any(pattern.fullmatch(text) for text in system.values(code, name)))


def pattern_of(value: str) -> Any:
    """The regular expression of a filter, ready to match. Raises UnansweredError."""
    if len(value) > _PATTERN_CHARACTERS_MAX:
        raise UnansweredError(f"a regular expression may have {_PATTERN_CHARACTERS_MAX} characters")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PATTERN_BYTES_MAX
    try:
        return re2.compile(value, options)
    except re2.error as problem:
        raise UnansweredError(f"the regular expression {value} cannot be used: {_reason(problem)}") from None


def _reason(problem: Exception) -> str:
    text = problem.args[0] if problem.args else ""
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text)


OPERATORS: dict[str, Operator] = {
    "=": _equals,
    "is-a": _is_a,
    "descendent-of": _descendent_of,
    "is-not-a": _is_not_a,
    "regex": _regex,
    "in": _in,
    "not-in": _not_in,
    "generalizes": _generalizes,
    "exists": _exists,
}
_HIERARCHICAL = ("is-a", "descendent-of", "is-not-a", "generalizes")


# ---- SNOMED CT without SNOMED CT ------------------------------------------------------------------

_CONSTRAINT_TERM = re.compile(
    r"(?P<self><<|descendantOrSelfOf\b)?\s*(?P<code>[0-9]{6,18})(?:\s*\|[^|]*\|)?", re.IGNORECASE
)
_OR = re.compile(r"\bOR\b", re.IGNORECASE)


def listed_by_constraint(filters: list[Json]) -> tuple[frozenset[str], bool]:
    """The concepts that an expression constraint names one by one, and whether it names no others.

    `387713003 OR 28571000087109` lists two; `descendantOrSelfOf 71388002` at least one. Anything else lists none.
    """
    if len(filters) != 1 or filters[0].get("property") != "constraint" or filters[0].get("op") != "=":
        return frozenset(), False
    terms = _OR.split(str(filters[0].get("value")))
    found = [
        _CONSTRAINT_TERM.fullmatch(term.strip()) for term in terms
    ]  # blanks around it are not the pattern's to try
    codes = frozenset(term["code"] for term in found if term)
    return codes, all(term and not term["self"] for term in found)

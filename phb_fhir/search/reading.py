"""A query string read from left to right: what each parameter is, and where what it says goes.

`Reading` holds what was read so far. The names of `CONTROLS` shape the answer (`search/results`); every other name is a
condition (`search/chains`). What cannot be applied is a problem, or under leniency left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from phb_fhir.outcome import Issue, Kind, Rejected
from phb_fhir.query import Include, Node, Order, Total
from phb_fhir.search.asking import (
    Asking,
    Condition,
    NotKnown,
    Types,
    badly_written,
    malformed,
    parse_flag,
    suggestion,
    too_costly,
    unsupported,
)
from phb_fhir.search.chains import condition
from phb_fhir.search.filter_text import parse_filter
from phb_fhir.search.results import (
    INCLUDES_MAX,
    check_contained,
    check_elements,
    check_sorted_once,
    check_subset,
    check_text_alone,
    elements_in,
    parse_count,
    parse_include,
    parse_sort,
    parse_total,
)

# these shape the answer, and are read where the request is (`wire/request`), for not only a search has them
PRESENTATION = frozenset({"_format", "_pretty", "_summary", "_elements"})
RESULT = frozenset(
    {"_sort", "_count", "_total", "_include", "_revinclude", "_contained", "_containedType", "_page", "_explain"}
)
_ONCE = frozenset({"_count", "_total", "_page", "_explain", "_type", "_contained"})
_OWN_NAMES = RESULT | PRESENTATION | {"_type"}


def condition_of(types: Types, name: str, asking: Asking) -> Condition:
    """What the parameter of this name asks, once its value is there. Raises Rejected for a name or modifier not known."""
    try:
        if name != "_filter":
            return condition(types, name, asking)
        if not asking.is_promised(types, name):
            raise asking.unknown(types, name)
    except NotKnown as rejected:
        # a name that is not known may be meant for one of those that every search has
        raise asking.told(rejected, types, _OWN_NAMES) from None
    return lambda value: parse_filter(types, value, asking)


@dataclass(slots=True)
class Reading:
    """What was read so far. `types` are those `_type` leaves of the `given` ones."""

    types: Types
    given: Types
    asking: Asking
    parts: list[Node] = field(default_factory=list)
    order: Order = ()
    count: int = -1
    total: Total | None = None
    page: str | None = None
    includes: list[Include] = field(default_factory=list)
    summary: str = ""
    elements: str = ""
    explain: bool = False
    applied: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[Issue] = field(default_factory=list)
    wrong: list[Issue] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.count = self.asking.count_default

    def take(self, name: str, value: str) -> None:
        try:
            used = self._read(name, value)
        except NotKnown as rejected:
            self._refuse(name, self.asking.told(rejected))
            return
        except Rejected as rejected:
            self._refuse(name, rejected)
            return
        if used is not None:
            self.applied.append((name, used))

    def _read(self, name: str, value: str) -> str | None:
        """Reads one parameter; the value that is applied, None where the self link does not show it."""
        if name in _ONCE and name in self.seen:
            raise malformed(f"{name} stands more than once; say it once.")
        self.seen.add(name)
        if not value:  # which is no error, whatever it would have asked for (R4 §3.1.1.3)
            text = f"{name} has no value, so it is not applied; a condition needs one."
            self.ignored.append(Issue(Kind.INFORMATIONAL, text))
            return None
        control = CONTROLS.get(name.partition(":")[0])
        asks = None if control or name in PRESENTATION else condition_of(self.types, name, self.asking)
        if control:
            return control(self, name, value)
        if asks:
            self.parts.append(asks(value))
        return value

    def _refuse(self, name: str, rejected: Rejected) -> None:
        is_past_bounds = any(issue.kind is Kind.TOO_COSTLY for issue in rejected.issues)
        may_be_left_out = self.asking.lenient and name.partition(":")[0] != "_query" and not is_past_bounds
        (self.ignored if may_be_left_out else self.wrong).extend(rejected.issues)


def _take_count(reading: Reading, name: str, value: str) -> str:
    _plain_name(name)
    reading.count = parse_count(value, reading.asking.count_default, reading.asking.count_max)
    return str(reading.count)


def _take_total(reading: Reading, name: str, value: str) -> str:
    _plain_name(name)
    reading.total = parse_total(value)
    return value


def _take_page(reading: Reading, name: str, value: str) -> None:
    _plain_name(name)
    reading.page = value


def _take_explain(reading: Reading, name: str, value: str) -> str:
    _plain_name(name)
    reading.explain = parse_flag(name, value)
    return value


def _take_sort(reading: Reading, name: str, value: str) -> str:
    _plain_name(name, " '-' before a parameter sorts downwards: _sort=-date." if name.startswith("_sort:") else "")
    order = reading.order + parse_sort(reading.types, value, reading.asking)
    check_sorted_once(order)
    reading.order = order
    return value


def _take_include(reading: Reading, name: str, value: str) -> str:
    if len(reading.includes) >= INCLUDES_MAX:
        raise too_costly(f"{name}={value}: at most {INCLUDES_MAX} inclusions are taken.")
    include = parse_include(name, value, reading.asking)
    check_text_alone(reading.summary, has_includes=True)
    reading.includes.append(include)
    return value


def _take_summary(reading: Reading, name: str, value: str) -> str:
    _plain_name(name)
    check_subset(name, value, reading.summary, reading.elements)
    check_text_alone(value, has_includes=bool(reading.includes))
    reading.summary = value
    return value


def _take_elements(reading: Reading, name: str, value: str) -> str:
    _plain_name(name)
    check_subset(name, value, reading.summary, reading.elements)
    check_elements(elements_in(value), reading.types, reading.asking.definitions)
    reading.elements = value
    return value


def _take_contained(_: Reading, name: str, value: str) -> str:
    check_contained(name, value)
    return value


def _take_type(reading: Reading, name: str, value: str) -> str:
    """What it means was settled before everything else; here it is checked."""
    _plain_name(name)
    if len(reading.given) == 1:
        raise unsupported(f"_type={value}: this search is of {reading.given[0]} already.")
    for type_ in value.split(","):
        if not _is_searched(type_, reading.given, reading.asking):
            hint = suggestion(type_, reading.given or reading.asking.served())
            raise badly_written(f"_type={value}: '{type_}' is no resource type that is searched here.{hint}")
    return value


CONTROLS: dict[str, Callable[[Reading, str, str], str | None]] = {
    "_sort": _take_sort,
    "_count": _take_count,
    "_total": _take_total,
    "_include": _take_include,
    "_revinclude": _take_include,
    "_summary": _take_summary,
    "_elements": _take_elements,
    "_contained": _take_contained,
    "_containedType": _take_contained,
    "_page": _take_page,
    "_explain": _take_explain,
    "_type": _take_type,
}


def _plain_name(name: str, hint: str = "") -> None:
    code, colon, modifier = name.partition(":")
    if colon:
        raise unsupported(f"{name}: ':{modifier}' is not a modifier of {code}; it takes none.{hint}")


def types_asked(types: Types, listed: list[tuple[str, str]], asking: Asking) -> Types:
    """The types that `_type` leaves; all of them where it says nothing that can be used, or is left out."""
    text = next((value for name, value in listed if name == "_type"), "") if len(types) != 1 else ""
    named = tuple(dict.fromkeys(text.split(",")))
    known = tuple(one for one in named if _is_searched(one, types, asking))
    return types if not known or (asking.lenient and known != named) else known


def _is_searched(type_: str, given: Types, asking: Asking) -> bool:
    return asking.is_served(type_) and (not given or type_ in given)

"""A query string becomes a Query, or a refusal that names what is wrong and what would be right.

Strict unless asked otherwise: what is not understood is refused, because a search that silently drops a condition answers
with other people's records. Under `Prefer: handling=lenient` (R4 §3.1.1.4.1) the parameter is left out, reported, and
absent from the self link.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal, cast

from phb_fhir.outcome import Issue, Kind, Refusal, Rejected, refuse
from phb_fhir.query import AllOf, AnyOf, Id, Node, Query, Total
from phb_fhir.search.escapes import split_escaped, unescape
from phb_fhir.search.kinds import date, token, uri

Parameters = Iterable[tuple[str, str]]

VALUES_MAX = 1_000  # of one parameter, joined by commas
PARAMETERS_MAX = 100

# these shape the answer, and are read where the request is (`wire/request`)
PRESENTATION = frozenset({"_format", "_pretty", "_summary", "_elements"})
RESULT = frozenset({"_count", "_total", "_page"})


@dataclass(frozen=True, slots=True)
class Search:
    """A search that was understood: what is asked, how it is to be answered, and what was left out."""

    query: Query
    count: int
    total: Total
    page: str | None
    applied: tuple[tuple[str, str], ...]
    ignored: list[Issue] = field(default_factory=list)


def parse_search(
    types: tuple[str, ...],
    parameters: Parameters,
    allowed: Collection[str],
    *,
    count_default: int,
    count_max: int,
    lenient: bool = False,
) -> Search:
    """The search that these parameters ask for. Raises Rejected (400) with every problem at once."""
    parts: list[Node] = []
    controls: dict[str, str] = {}
    applied: list[tuple[str, str]] = []
    wrong: list[Issue] = []
    ignored: list[Issue] = []
    for name, value in _bounded(parameters):
        try:
            if name in RESULT:
                _take_once(controls, name, value)
            elif name not in PRESENTATION:
                parts.append(parse_parameter(name, value, allowed))
        except Rejected as rejected:
            # what is not known may be left out; what is known and badly written is a mistake, however lenient we are
            is_unknown = all(issue.kind is Kind.NOT_SUPPORTED for issue in rejected.issues)
            (ignored if is_unknown else wrong).extend(rejected.issues)
            continue
        if name != "_page":
            applied.append((name, value))
    try:
        count = parse_count(controls.get("_count"), count_default, count_max)
        total = parse_total(controls.get("_total"))
    except Rejected as rejected:
        raise Rejected(Refusal.BAD_REQUEST, *wrong, *ignored, *rejected.issues) from None
    if wrong or (ignored and not lenient):
        raise Rejected(Refusal.BAD_REQUEST, *wrong, *ignored)
    return Search(Query(types, AllOf(tuple(parts))), count, total, controls.get("_page"), tuple(applied), ignored)


def parse_criteria(type_: str, parameters: Parameters, allowed: Collection[str]) -> Query:
    """The query of a conditional interaction: search parameters only, at least one, never lenient.

    Raises Rejected (400): a criterion that was dropped would widen what is overwritten or deleted.
    """
    parts: list[Node] = []
    issues: list[Issue] = []
    for name, value in _bounded(parameters):
        try:
            parts.append(parse_parameter(name, value, allowed))
        except Rejected as rejected:
            issues.extend(rejected.issues)
    if issues:
        raise Rejected(Refusal.BAD_REQUEST, *issues)
    if not parts:
        raise refuse(
            Refusal.BAD_REQUEST,
            Kind.REQUIRED,
            f"A conditional interaction needs a condition, such as {type_}?identifier=[system]|[value].",
        )
    return Query((type_,), AllOf(tuple(parts)))


def parse_parameter(name: str, value: str, allowed: Collection[str]) -> Node:
    """One condition; its comma-separated values are alternatives (R4 §3.1.1.3.2). Raises Rejected (400)."""
    code, _, modifier = name.partition(":")
    if code not in allowed or code not in _PARSERS:
        raise refuse(Refusal.BAD_REQUEST, Kind.NOT_SUPPORTED, _unknown(code, allowed))
    if modifier:
        raise refuse(
            Refusal.BAD_REQUEST,
            Kind.NOT_SUPPORTED,
            f"{name}: the modifier ':{modifier}' is not supported on {code}.",
        )
    values = split_escaped(value, ",", keep_escapes=True)
    if len(values) > VALUES_MAX:
        raise refuse(
            Refusal.BAD_REQUEST,
            Kind.TOO_COSTLY,
            f"{name} has {len(values)} values; at most {VALUES_MAX} are taken.",
        )
    nodes = tuple(_PARSERS[code](code, one) for one in values)
    return nodes[0] if len(nodes) == 1 else AnyOf(nodes)


def parse_count(text: str | None, default: int, most: int) -> int:
    """`_count`: how many on a page; more than `most` means `most` (R4 §3.1.1.5.3 lets a server send fewer)."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        raise refuse(Refusal.BAD_REQUEST, Kind.VALUE, f"_count={text} is not a whole number of 0 or more.")
    return min(int(text), most)


def parse_total(text: str | None) -> Total:
    if text is None:
        return "accurate"
    if text not in ("none", "estimate", "accurate"):
        raise refuse(Refusal.BAD_REQUEST, Kind.VALUE, f"_total={text}: it is one of none, estimate, accurate.")
    return cast("Literal['none', 'estimate', 'accurate']", text)


def _id_node(parameter: str, text: str) -> Node:
    if not text:
        raise refuse(Refusal.BAD_REQUEST, Kind.INVALID, f"{parameter} needs a value.")
    return Id((unescape(text),))


_PARSERS: dict[str, Callable[[str, str], Node]] = {
    "_id": _id_node,
    "_lastUpdated": date.parse_updated,
    "identifier": token.parse,
    "url": uri.parse,
}
PARAMETERS = frozenset(_PARSERS)


def _bounded(parameters: Parameters) -> list[tuple[str, str]]:
    listed = list(parameters)
    if len(listed) > PARAMETERS_MAX:
        raise refuse(
            Refusal.BAD_REQUEST,
            Kind.TOO_COSTLY,
            f"{len(listed)} parameters; at most {PARAMETERS_MAX} are taken.",
        )
    return listed


def _take_once(controls: dict[str, str], name: str, value: str) -> None:
    if name in controls:
        raise refuse(Refusal.BAD_REQUEST, Kind.INVALID, f"{name} stands more than once; say it once.")
    controls[name] = value


def _unknown(code: str, allowed: Collection[str]) -> str:
    known = sorted(set(allowed) & set(_PARSERS)) + sorted(RESULT | PRESENTATION)
    near = get_close_matches(code, known, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"The search parameter '{code}' is not known here.{hint} Known are: {', '.join(known)}."

"""A query string becomes a Query, or a refusal that names what is wrong and what would be right.

Strict unless asked otherwise: what is not understood is refused, because a search that silently drops a condition answers
with other people's records. Under `Prefer: handling=lenient` (R4 §3.1.1.3) whatever cannot be applied is left out, reported,
and absent from the self link. Two things are refused even then: `_query`, which R4 says SHALL be, and what is past a bound.

A parameter without a value is no error, says R4 (§3.1.1.3), and so is left out and reported either way; but not where it
guards a write.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from phb_fhir.outcome import Issue, Kind, Refusal, Rejected, refuse
from phb_fhir.query import EVERYTHING, AllOf, Include, Node, Order, Query, Total
from phb_fhir.search.asking import (
    CHAIN_LINKS_MAX,
    PARAMETERS_MAX,
    VALUES_MAX,
    Asking,
    Types,
    badly_written,
    too_costly,
    unsupported,
)
from phb_fhir.search.reading import PRESENTATION, RESULT, Reading, condition_of, types_asked
from phb_fhir.search.results import parse_count

__all__ = [
    "CHAIN_LINKS_MAX",
    "PARAMETERS_MAX",
    "PRESENTATION",
    "RESULT",
    "VALUES_MAX",
    "Asking",
    "Search",
    "parse_count",
    "parse_criteria",
    "parse_search",
]

Parameters = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Search:
    """A search that was understood: what is asked, how it is to be answered, and what was left out.

    `applied` are the parameters that were, in their order, as the self link shows them; `total` is None where not asked.
    """

    query: Query
    order: Order
    count: int
    total: Total | None
    page: str | None
    includes: tuple[Include, ...]
    applied: tuple[tuple[str, str], ...]
    ignored: list[Issue] = field(default_factory=list)
    explain: bool = False


def parse_search(types: Types, parameters: Parameters, asking: Asking, within: Node = EVERYTHING) -> Search:
    """The search that these parameters ask for. Raises Rejected (400) with every problem at once.

    `types` is empty for a search of all types; `within` is a condition beforehand, such as that of a compartment.
    """
    listed = _bounded(parameters)
    reading = Reading(types_asked(types, listed, asking), types, asking)
    for name, value in listed:
        reading.take(name, value)
    if reading.wrong:
        raise Rejected(Refusal.BAD_REQUEST, *reading.wrong)
    parts = (() if within == EVERYTHING else (within,)) + tuple(reading.parts)
    return Search(
        query=Query(reading.types, AllOf(parts)),
        order=reading.order,
        count=reading.count,
        total=reading.total,
        page=reading.page,
        includes=tuple(reading.includes),
        applied=tuple(reading.applied),
        ignored=reading.ignored,
        explain=reading.explain,
    )


def parse_criteria(type_: str, parameters: Parameters, asking: Asking) -> Query:
    """The query of a conditional interaction: search parameters only, at least one, never lenient.

    Raises Rejected (400): a criterion that was dropped would widen what is overwritten or deleted.
    """
    parts: list[Node] = []
    issues: list[Issue] = []
    for name, value in _bounded(parameters):
        try:
            parts.append(_criterion((type_,), name, value, asking))
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


def _criterion(types: Types, name: str, value: str, asking: Asking) -> Node:
    if name.partition(":")[0] in RESULT | PRESENTATION:
        raise unsupported(f"{name}: it shapes an answer; a conditional interaction takes search parameters only.")
    asks = condition_of(types, name, asking)
    if not value:
        raise badly_written(f"{name} needs a value: a condition that is left out would let more resources match.")
    return asks(value)


def _bounded(parameters: Parameters) -> list[tuple[str, str]]:
    listed = list(parameters)
    if len(listed) > PARAMETERS_MAX:
        raise too_costly(f"{len(listed)} parameters; at most {PARAMETERS_MAX} are taken.")
    return listed

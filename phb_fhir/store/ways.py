"""Which conditions of a query an index leads to, and what they ask of it.

An entry (`ix.k`) and an id are looked up. Of periods only beginnings are in an index. What ends at or after a moment and is no
longer than a day begins at most a day before it; whatever has a longer interval also has, under `~end`, the end of its last. So
what reaches a moment is found by its beginning, or by its last beginning (`~max`, of lists), or by its last end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from phb_fhir.query import AllOf, AnyOf, Bound, Id, Key, KeyRange, Node, Query, Span, Updated
from phb_fhir.search.order import LATEST
from phb_fhir.store.documents import UNIT, canonical_unit

SEQ = "seq"  # the order of a search that asks for none and is not led by a period
ANY_TYPE = "Resource"  # stands among the types of a search that names none, and may meet others on its next page
RANGED_TYPES_MAX = 20  # a search of more types at once is not led by a period


@dataclass(frozen=True, slots=True)
class Way:
    """A condition that an index leads to. `points`: how many places in the index that are, None for a range of it."""

    kind: Literal["id", "key", "value", "time"]
    node: Node
    points: int | None = None
    reach: Reach | None = None

    @property
    def mode(self) -> str:
        """The name of the order that it leads through, where none was asked for."""
        if self.reach is not None:
            return f"by {self.reach.parameter}"
        return "by time" if self.kind == "time" else SEQ


def conditions(node: Node) -> list[Node]:
    """What must hold, one by one."""
    if isinstance(node, AllOf):
        return [inner for part in node.parts for inner in conditions(part)]
    return [_merged(node)]


def _merged(node: Node) -> Node:
    """Any of these keys, in one condition."""
    if not isinstance(node, AnyOf):
        return node
    parts = [inner for part in node.parts for inner in _alternatives(part)]
    keys = dict.fromkeys(key for part in parts if isinstance(part, Key) for key in part.keys)
    others = tuple(part for part in parts if not isinstance(part, Key))
    merged = (Key(tuple(keys)), *others) if keys else others
    return merged[0] if len(merged) == 1 else AnyOf(merged)


def _alternatives(node: Node) -> list[Node]:
    if isinstance(node, AnyOf):
        return [inner for part in node.parts for inner in _alternatives(part)]
    return [node]


def ways(query: Query) -> list[Way]:
    """Which of the conditions an index leads to."""
    found: list[Way] = []
    for node in conditions(query.where):
        if isinstance(node, Id) or node == AnyOf(()):
            found.append(Way("id", node, len(node.ids) if isinstance(node, Id) else 0))
        elif isinstance(node, Updated):
            if node.inside:
                found.append(Way("time", node))
        elif is_keyed(node):
            found.append(Way("key", node, _points(node)))
    if query.types and len(query.types) <= RANGED_TYPES_MAX and ANY_TYPE not in query.types:
        found += [Way("value", _spans(query, reach), reach=reach) for reach in reaches(query).values()]
    return found


def _spans(query: Query, reach: Reach) -> Node:
    found = ((node, reach_of(node)) for node in conditions(query.where))
    return AllOf(tuple(node for node, of_it in found if of_it and of_it.parameter == reach.parameter))


def types_named(query: Query) -> tuple[str, ...]:
    """The types that the ids asked for begin with, where each does."""
    for node in conditions(query.where):
        if isinstance(node, Id) and node.ids and all("/" in id_ for id_ in node.ids):
            return tuple(sorted({id_.partition("/")[0] for id_ in node.ids}))
    return ()


def is_keyed(node: Node) -> bool:
    match node:
        case Key() | KeyRange():
            return True
        case AllOf(parts):
            return any(is_keyed(part) for part in parts)
        case AnyOf(parts):
            return bool(parts) and all(is_keyed(part) for part in parts)
    return False


def _points(node: Node) -> int | None:
    match node:
        case Key(keys):
            return len(keys)
        case AllOf(parts):
            return _points(next(part for part in parts if is_keyed(part)))
        case AnyOf(parts):
            each = [_points(part) for part in parts]
            return None if None in each else sum(points or 0 for points in each)
    return None


# --- what is asked of the intervals of a parameter ---


@dataclass(frozen=True, slots=True)
class Reach:
    """What must be true of the intervals of one parameter in all that matches. No interval ends before it begins.

    One begins at or after `begins`; one ends at or after `ends`; one begins at or before `before`.
    """

    parameter: str
    begins: str | None = None
    ends: str | None = None
    before: str | None = None

    @property
    def is_open(self) -> bool:
        return self.begins is None and self.ends is None and self.before is None

    def and_(self, other: Reach) -> Reach:
        return Reach(
            self.parameter,
            _most(self.begins, other.begins),
            _most(self.ends, other.ends),
            min((v for v in (self.before, other.before) if v is not None), default=None),
        )

    def or_(self, other: Reach) -> Reach:
        before = None if self.before is None or other.before is None else max(self.before, other.before)
        if self.begins is not None and other.begins is not None:
            return Reach(self.parameter, min(self.begins, other.begins), None, before)
        # what begins at or after a moment ends there too
        mine, others = _most(self.begins, self.ends), _most(other.begins, other.ends)
        return Reach(self.parameter, None, None if mine is None or others is None else min(mine, others), before)


def _most(one: str | None, other: str | None) -> str | None:
    return max((value for value in (one, other) if value is not None), default=None)


def reaches(query: Query) -> dict[str, Reach]:
    """What is asked of the intervals of each parameter, as far as an index can tell."""
    found: dict[str, Reach] = {}
    for node in conditions(query.where):
        reach = reach_of(node)
        if reach is not None:
            known = found.get(reach.parameter)
            found[reach.parameter] = known.and_(reach) if known else reach
    return found


def reach_of(node: Node) -> Reach | None:
    match node:
        case Span():
            reach: Reach | None = _of_span(node)
        case AnyOf(parts) if parts:
            reach = _hull([reach_of(part) for part in parts])
        case AllOf(parts):
            reach = _overlap([reach_of(part) for part in parts])
        case _:
            return None
    return None if reach is None or reach.is_open else reach


def _of_span(span: Span) -> Reach:
    unit = None if span.unit is None else canonical_unit(span.unit)
    if unit is None:
        return _of_bounds(span.parameter, span.bounds, "")
    # with the unit in front, so nothing before or after the texts of this unit is meant
    reach = _of_bounds(span.parameter + UNIT, span.bounds, f"{unit}|")
    before = reach.before or f"{unit}|{LATEST}"
    return replace(reach, before=before, begins=reach.begins or (None if reach.ends else f"{unit}|"))


def _of_bounds(name: str, bounds: Sequence[Bound], start: str) -> Reach:
    reach = Reach(name)
    for bound in bounds:
        value = start + bound.value
        if bound.is_ in ("<", "<="):
            reach = reach.and_(Reach(name, before=value))
        elif bound.end == "lo":
            reach = reach.and_(Reach(name, begins=value))
        else:
            reach = reach.and_(Reach(name, ends=value))
    return reach


def _hull(parts: Sequence[Reach | None]) -> Reach | None:
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or len({part.parameter for part in known}) > 1:
        return None
    hull = known[0]
    for part in known[1:]:
        hull = hull.or_(part)
    return hull


def _overlap(parts: Sequence[Reach | None]) -> Reach | None:
    known = [part for part in parts if part is not None]
    if not known:
        return None
    overlap = known[0]
    for part in known[1:]:
        overlap = overlap.and_(part) if part.parameter == overlap.parameter else overlap
    return overlap
